/* SPDX-License-Identifier: Apache-2.0 */
/* intermediate.c - reduces the width of hidden layers.
 *
 * Takes a unit at model level and calibration data.  Per layer: statistics of
 * what the reader reads, a choice of elements to keep, the reader's map
 * repaired by least squares over them, all parameters cut; of stacked experts
 * each by its own statistics, to one width.
 *   obs     greedy elimination with the OBS update (obs.h): the elements whose
 *           loss the rest can repair best go first
 *   select  keeps the largest mean |h_i| |map_i|
 *   merge   keeps the same, and sums the reader's columns along a transport
 *           plan (merge.c) in place of the repair
 *   barycentric  merge with the writers' rows averaged along the plan too
 * With `sequential` a layer's statistics are those behind the already reduced
 * layers; else those of the model as it was.  Memory: one
 * layer's statistics, or those of as many as statistics_bytes allow.
 */
#include "passes/intermediate.h"
#include "passes/linalg.h"
#include "passes/obs.h"
#include "passes/passes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of these tokens one is sampled for transport costs. */
enum { SAMPLE_STRIDE = 4 };
/* Gram matrices of layers measured in one run. */
static const double statistics_bytes = 64e6;

typedef struct reduction {
    tegu_unit *unit;
    tegu_unit *measured; /* where statistics come from */
    tegu_pass_env *env;
    const tegu_intermediate *how;
    const tegu_calibration *data;
    double *rounding; /* what it cost all layers so far */
} reduction;

/* --- choosing --- */

typedef struct scored {
    double score;
    int64_t index;
} scored;

static int by_score(const void *a, const void *b)
{
    const scored *x = a, *y = b;

    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The order of rising mean |h_i| |map_i|. */
static void order_by_score(const tegu_hidden *h, tegu_arena *scratch,
                           int64_t *order)
{
    scored *list = TEGU_ARRAY(scratch, scored, (size_t)h->width);

    for (int64_t i = 0; i < h->width; i++) {
        double square = 0;
        for (int64_t r = 0; r < h->out; r++) {
            double w = h->map[r * h->inputs + i];
            square += w * w;
        }
        list[i] = (scored){h->stats->sum_abs[i] * sqrt(square), i};
    }
    qsort(list, (size_t)h->width, sizeof *list, by_score);
    for (int64_t i = 0; i < h->width; i++)
        order[i] = list[i].index;
}

static bool choose(const reduction *r, const tegu_hidden *h, int64_t *order)
{
    tegu_arena *scratch = r->env->scratch;

    if (!strcmp(r->how->method, "obs"))
        return tegu_hidden_order(h, scratch, order,
                                 TEGU_ARRAY(scratch, double, (size_t)h->width));
    order_by_score(h, scratch, order);
    return true;
}

/* --- one layer --- */

static bool merges(const tegu_intermediate *how)
{
    return !strcmp(how->method, "merge") || !strcmp(how->method, "barycentric");
}

/* What a layer becomes: of each expert, one behind another, the elements kept
 * [count], the reader's map over them [out, count] and, where writers mix,
 * how: [width, count]. */
typedef struct cutting {
    int64_t width; /* that stays */
    int64_t count; /* with the constant input */
    int64_t *kept;
    double *map, *mix;
    double loss, worst; /* of the outputs' energy; of one expert's */
} cutting;

/* The reader's new map over `kept`, by repair or by merging. */
static bool find_map(const reduction *r, const tegu_hidden *h,
                     const int64_t *kept, int64_t count, double *map,
                     double *mix)
{
    if (!merges(r->how))
        return tegu_hidden_repair(h, kept, count, r->env->scratch, map);
    tegu_hidden_merge(h, kept, count, r->env->scratch, map, mix);
    return true;
}

static double energy(const tegu_hidden *h, tegu_arena *scratch)
{
    tegu_mark mark = tegu_arena_mark(scratch);
    double *work = tegu_arena_array(scratch, (size_t)h->out,
                                    (size_t)h->inputs * sizeof(double));
    double all = tegu_energy(h->out, h->inputs, h->map, h->gram, work);

    tegu_arena_release(scratch, mark);
    return all;
}

/* The order in which each expert's elements go, by what itself reads. */
static bool choose_all(const reduction *r, const tegu_hidden *h,
                       int64_t *orders)
{
    for (int64_t e = 0; e < h->region->experts; e++)
        if (!choose(r, &h[e], orders + e * h->width))
            return false;
    return true;
}

/* Repairs every expert. */
static bool find_cut(const reduction *r, const tegu_hidden *h,
                     const int64_t *orders, cutting *c)
{
    tegu_arena *scratch = r->env->scratch;
    double lost = 0, all = 0;

    for (int64_t e = 0; e < h->region->experts; e++) {
        int64_t *kept = c->kept + e * c->count;
        double *map = c->map + e * h->out * c->count, loss, own;
        tegu_hidden_kept(&h[e], orders + e * h->width, c->width, kept);
        if (!find_map(r, &h[e], kept, c->count, map,
                      c->mix + e * h->width * c->width))
            return false;
        loss = tegu_cut_loss(h->out, h->inputs, h[e].map, h[e].gram, map, kept,
                             c->count, scratch);
        own = energy(&h[e], scratch);
        lost += loss * own;
        all += own;
        c->worst = fmax(c->worst, loss);
    }
    c->loss = all > 0 ? lost / all : 0;
    return true;
}

static cutting start_cut(const reduction *r, const tegu_hidden *h,
                         int64_t width)
{
    tegu_arena *scratch = r->env->scratch;
    int64_t experts = h->region->experts;
    cutting c = {.width = width, .count = width + h->inputs - h->width};

    c.kept = tegu_arena_array(scratch, (size_t)experts,
                              (size_t)h->inputs * sizeof *c.kept);
    c.map = tegu_arena_array(scratch, (size_t)(experts * h->out),
                             (size_t)c.count * sizeof *c.map);
    c.mix = tegu_arena_array(scratch, (size_t)(experts * h->width),
                             (size_t)c.width * sizeof *c.mix);
    return c;
}

/* The loss that the width asked for would have had. */
static bool unrounded_loss(const reduction *r, const tegu_hidden *h,
                           const int64_t *orders, int64_t plain,
                           const cutting *taken, double *loss)
{
    tegu_mark mark = tegu_arena_mark(r->env->scratch);
    cutting c;
    bool ok = true;

    *loss = taken->loss;
    if (plain != taken->width) {
        c = start_cut(r, h, plain);
        ok = find_cut(r, h, orders, &c);
        *loss = c.loss;
    }
    tegu_arena_release(r->env->scratch, mark);
    return ok;
}

static bool report(const reduction *r, const tegu_hidden *h,
                   const int64_t *orders, const cutting *c)
{
    int64_t plain = tegu_kept_width(h->width, r->how->keep, 1);
    double loss;
    tegu_figure figures[7] = {
        {"width", (double)h->width},
        {"kept", (double)c->width},
        {"relative_error", c->loss},
    };
    uint32_t count = 3;

    if (r->how->round > 1) {
        if (!unrounded_loss(r, h, orders, plain, c, &loss))
            return false;
        figures[count++] = (tegu_figure){"unrounded", (double)plain};
        figures[count++] = (tegu_figure){"rounding_cost", c->loss - loss};
        *r->rounding += c->loss - loss;
    }
    if (h->region->experts > 1) {
        figures[count++] = (tegu_figure){"experts", (double)h->region->experts};
        figures[count++] = (tegu_figure){"worst_expert", c->worst};
    }
    tegu_report_site(r->env, h->region->weight, figures, count);
    return true;
}

static bool cut_layer(const reduction *r, const tegu_hidden *h)
{
    tegu_arena *scratch = r->env->scratch;
    int64_t *orders = tegu_arena_array(scratch, (size_t)h->region->experts,
                                       (size_t)h->width * sizeof *orders);
    cutting c =
        start_cut(r, h, tegu_kept_width(h->width, r->how->keep, r->how->round));
    tegu_replacement *list;
    uint32_t replaced;

    if (!choose_all(r, h, orders) || !find_cut(r, h, orders, &c) ||
        !report(r, h, orders, &c) ||
        !tegu_hidden_cut(
            r->unit, h, tegu_width_dim(r->unit, r->how->axis, c.width), c.kept,
            c.count, c.map,
            !strcmp(r->how->method, "barycentric") ? c.mix : NULL, scratch))
        return false;
    list = tegu_hidden_replaced(h, scratch, &replaced);
    return tegu_replace_weights(r->unit, scratch, list, replaced);
}

/* The region that `weight` reads, in the unit as it is now. */
static const tegu_region *find(const reduction *r, tegu_unit *unit,
                               const char *weight)
{
    tegu_regions *regions = TEGU_NEW(r->env->scratch, tegu_regions);

    if (!tegu_axis_regions(unit, r->how->axis, r->env->scratch, regions))
        return NULL;
    return tegu_region_find(regions, weight);
}

/* Statistics of regions [first, first + count) of those measured, experts one
 * behind another. */
static bool gather(const reduction *r, const tegu_regions *measured,
                   uint32_t first, uint32_t count, tegu_site_stats *stats)
{
    tegu_arena *scratch = r->env->scratch;
    uint32_t n = 0, requested = 0;
    tegu_site_request *requests;

    for (uint32_t i = 0; i < count; i++)
        n += (uint32_t)measured->data[first + i].experts;
    requests = TEGU_ARRAY(scratch, tegu_site_request, n);
    for (uint32_t i = 0; i < count; i++) {
        const tegu_region *region = &measured->data[first + i];
        if (!tegu_region_measurable(r->measured, region))
            return false;
        tegu_hidden_requests(region, requests + requested);
        requested += (uint32_t)region->experts;
    }
    for (uint32_t i = 0; i < n; i++)
        requests[i].sample_stride = merges(r->how) ? SAMPLE_STRIDE : 0;
    return tegu_calibrate(r->measured, r->data, scratch, requests, n, 0, stats);
}

/* How many regions from `first` on are measured in one run, and the experts
 * in them. */
static uint32_t choose_count(const reduction *r, const tegu_regions *measured,
                             uint32_t first, uint32_t *experts)
{
    double bytes = 0;
    uint32_t i = first;

    for (*experts = 0;
         i < measured->count && (i == first || bytes <= statistics_bytes);) {
        const tegu_region *region = &measured->data[i++];
        double width = (double)region->width;
        *experts += (uint32_t)region->experts;
        bytes += width * width * sizeof(double) * (double)region->experts;
        if (r->how->sequential || merges(r->how))
            break;
    }
    return i - first;
}

static bool reduce_layer(const reduction *r, const char *weight,
                         const tegu_site_stats *stats)
{
    tegu_arena *scratch = r->env->scratch;
    const tegu_region *region = find(r, r->unit, weight);
    tegu_hidden *hidden;

    if (!region)
        return false;
    hidden = TEGU_ARRAY(scratch, tegu_hidden, (size_t)region->experts);
    return tegu_hidden_open(region, stats, scratch, hidden) &&
           cut_layer(r, hidden);
}

/* Reduces as many layers from *next on as one run measures. */
static bool reduce_layers(const reduction *r, uint32_t *next)
{
    tegu_arena *scratch = r->env->scratch;
    tegu_regions measured = {0};
    tegu_site_stats *stats;
    uint32_t count, experts, first = *next, at = 0;

    if (!tegu_axis_regions(r->measured, r->how->axis, scratch, &measured))
        return false;
    count = choose_count(r, &measured, first, &experts);
    stats = TEGU_ARRAY(scratch, tegu_site_stats, experts);
    if (!gather(r, &measured, first, count, stats))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const tegu_region *region = &measured.data[first + i];
        tegu_mark mark = tegu_arena_mark(scratch);
        if (!reduce_layer(r, region->weight, &stats[at]))
            return false;
        at += (uint32_t)region->experts;
        tegu_arena_release(scratch, mark);
    }
    *next = first + count;
    return true;
}

static bool check(const tegu_unit *unit, const tegu_intermediate *how)
{
    static const char *const methods[] = {"obs", "select", "merge",
                                          "barycentric"};
    enum { METHODS = sizeof methods / sizeof methods[0] };
    const char *near = tegu_nearest(how->method, methods, METHODS);

    if (!strcmp(how->method, "barycentric"))
        tegu_warning(unit->diag, tegu_loc_none(),
                     "method 'barycentric' mixes rows before a nonlinearity, "
                     "which destroyed every model measured; 'merge' does not");
    for (uint32_t i = 0; i < METHODS; i++)
        if (!strcmp(how->method, methods[i]))
            return true;
    return tegu_error(
        unit->diag, tegu_loc_none(), TEGU_E_USAGE,
        "no method '%s' reduces a hidden axis; did you mean '%s'?",
        tegu_escaped(unit->arena, how->method, strlen(how->method)),
        near ? near : methods[0]);
}

/* Layer after layer; what one run needs is released after it. */
static bool reduce_all(const reduction *r, uint32_t count)
{
    tegu_arena *scratch = r->env->scratch;

    for (uint32_t next = 0; next < count;) {
        tegu_mark mark = tegu_arena_mark(scratch);
        if (!reduce_layers(r, &next))
            return false;
        tegu_arena_release(scratch, mark);
    }
    return true;
}

/* The same with statistics of the unit as it is now: of a clone, which gets
 * nodes for what experts read. */
static bool reduce_beside(reduction *r, uint32_t count)
{
    tegu_arena *arena = tegu_arena_create();
    bool ok;

    if (!arena)
        return tegu_error(r->unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                          "out of memory");
    tegu_arena_on_failure(arena, tegu_arena_failure(r->unit->arena));
    r->measured = tegu_unit_clone(r->unit, arena);
    ok = reduce_all(r, count);
    tegu_arena_destroy(arena);
    return ok;
}

tegu_outcome tegu_reduce_intermediate(tegu_unit *unit, tegu_pass_env *env,
                                      const tegu_intermediate *how)
{
    double rounding = 0;
    reduction r = {.unit = unit,
                   .measured = unit,
                   .env = env,
                   .how = how,
                   .rounding = &rounding};
    tegu_regions regions = {0};

    if (!check(unit, how) ||
        !tegu_axis_regions(unit, how->axis, env->scratch, &regions))
        return TEGU_FAILED;
    r.data = tegu_pass_calibration(unit, env);
    if (!r.data)
        return TEGU_FAILED;
    if (!(how->sequential ? reduce_all(&r, regions.count)
                          : reduce_beside(&r, regions.count)))
        return TEGU_FAILED;
    if (how->round > 1 && regions.count)
        tegu_text_printf(env->report,
                         "%s: widths rounded to multiples of %lld: relative "
                         "error %+.3g (mean of the layers)\n",
                         tegu_options_pass(env->options), (long long)how->round,
                         rounding / regions.count);
    return TEGU_CHANGED;
}
