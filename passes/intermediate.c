/* SPDX-License-Identifier: Apache-2.0 */
/* intermediate.c - reduces the width of hidden layers.
 *
 * Takes a unit at model level and calibration data.  Per layer: statistics of
 * what the reader reads, a choice of elements to keep, the reader's map
 * repaired by least squares over them, all parameters cut.
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

static void report(const reduction *r, const tegu_hidden *h, int64_t width,
                   double loss)
{
    double plain = (double)tegu_kept_width(h->width, r->how->keep, 1);
    const tegu_figure figures[] = {
        {"width", (double)h->width},
        {"kept", (double)width},
        {"unrounded", plain},
        {"relative_error", loss},
    };

    tegu_report_site(r->env, h->region->weight, figures, 4);
}

static bool merges(const tegu_intermediate *how)
{
    return !strcmp(how->method, "merge") || !strcmp(how->method, "barycentric");
}

/* The reader's new map over `kept`, by repair or by merging; *mix: how the
 * writers mix, NULL when they do not. */
static bool find_cut(const reduction *r, const tegu_hidden *h,
                     const int64_t *kept, int64_t count, double *cut,
                     double **mix)
{
    tegu_arena *scratch = r->env->scratch;

    *mix = NULL;
    if (!merges(r->how))
        return tegu_hidden_repair(h, kept, count, scratch, cut);
    *mix = tegu_arena_array(scratch, (size_t)h->width,
                            (size_t)count * sizeof(double));
    tegu_hidden_merge(h, kept, count, scratch, cut, *mix);
    if (strcmp(r->how->method, "barycentric") != 0)
        *mix = NULL;
    return true;
}

static bool cut_layer(const reduction *r, const tegu_hidden *h)
{
    tegu_arena *scratch = r->env->scratch;
    int64_t width = tegu_kept_width(h->width, r->how->keep, r->how->round);
    int64_t *order = TEGU_ARRAY(scratch, int64_t, (size_t)h->width);
    int64_t *kept = TEGU_ARRAY(scratch, int64_t, (size_t)h->inputs);
    tegu_replacement *list;
    uint32_t replaced;
    int64_t count;
    double *cut, *mix;

    if (!choose(r, h, order))
        return false;
    count = tegu_hidden_kept(h, order, width, kept);
    cut = tegu_arena_array(scratch, (size_t)h->out,
                           (size_t)count * sizeof(double));
    if (!find_cut(r, h, kept, count, cut, &mix) ||
        !tegu_hidden_cut(r->unit, h,
                         tegu_width_dim(r->unit, r->how->axis, width), kept,
                         count, cut, mix, scratch))
        return false;
    report(r, h, width,
           tegu_cut_loss(h->out, h->inputs, h->map, h->gram, cut, kept, count,
                         scratch));
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

/* Statistics of regions [first, first + count) of those measured. */
static bool gather(const reduction *r, const tegu_regions *measured,
                   uint32_t first, uint32_t count, tegu_site_stats *stats)
{
    tegu_arena *scratch = r->env->scratch;
    tegu_site_request *requests = TEGU_ARRAY(scratch, tegu_site_request, count);

    for (uint32_t i = 0; i < count; i++) {
        if (!tegu_region_measurable(r->measured, &measured->data[first + i]))
            return false;
        requests[i] = tegu_hidden_request(&measured->data[first + i]);
        requests[i].sample_stride = merges(r->how) ? SAMPLE_STRIDE : 0;
    }
    return tegu_calibrate(r->measured, r->data, scratch, requests, count, 0,
                          stats);
}

/* How many regions from `first` on are measured in one run. */
static uint32_t choose_count(const reduction *r, const tegu_regions *measured,
                             uint32_t first)
{
    double bytes = 0;
    uint32_t i = first;

    while (i < measured->count && (i == first || bytes <= statistics_bytes)) {
        double width = (double)measured->data[i++].width;
        bytes += width * width * sizeof(double);
        if (r->how->sequential || merges(r->how))
            break;
    }
    return i - first;
}

/* Reduces as many layers from *next on as one run measures. */
static bool reduce_layers(const reduction *r, uint32_t *next)
{
    tegu_arena *scratch = r->env->scratch;
    tegu_regions measured = {0};
    tegu_site_stats *stats;
    uint32_t count, first = *next;

    if (!tegu_axis_regions(r->measured, r->how->axis, scratch, &measured))
        return false;
    count = choose_count(r, &measured, first);
    stats = TEGU_ARRAY(scratch, tegu_site_stats, count);
    if (!gather(r, &measured, first, count, stats))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        tegu_mark mark = tegu_arena_mark(scratch);
        const tegu_region *region =
            find(r, r->unit, measured.data[first + i].weight);
        tegu_hidden hidden;
        if (!region || !tegu_hidden_open(region, &stats[i], scratch, &hidden) ||
            !cut_layer(r, &hidden))
            return false;
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

tegu_outcome tegu_reduce_intermediate(tegu_unit *unit, tegu_pass_env *env,
                                      const tegu_intermediate *how)
{
    reduction r = {.unit = unit, .measured = unit, .env = env, .how = how};
    tegu_regions regions = {0};

    if (!check(unit, how) ||
        !tegu_axis_regions(unit, how->axis, env->scratch, &regions))
        return TEGU_FAILED;
    r.data = tegu_pass_calibration(unit, env);
    if (!r.data)
        return TEGU_FAILED;
    if (!how->sequential)
        r.measured = tegu_unit_clone(unit, env->scratch);
    for (uint32_t next = 0; next < regions.count;) {
        tegu_mark mark = tegu_arena_mark(env->scratch);
        if (!reduce_layers(&r, &next))
            return TEGU_FAILED;
        tegu_arena_release(env->scratch, mark);
    }
    return TEGU_CHANGED;
}
