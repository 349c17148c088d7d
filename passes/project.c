/* SPDX-License-Identifier: Apache-2.0 */
/* project.c - the change of basis of a named axis: analysis, statistics,
 * subspaces, new graphs.
 *
 * Takes a model-level unit; projects the named axis in all entries on the
 * span that a provider gives, all sites on one (`shared`) or each on its own
 * (`per-site`).  Shared: statistics of the unchanged model's streams, tokens
 * scaled to RMS 1, summed over the sites; no skip matrices arise.  Per site
 * (Ashkboos et al. 2024, SliceGPT, section 3.3): one site after the other, each
 * seeing the prefix already projected, its own stream still whole; residual
 * sums get Q_l^T Q_l+1.  Recipes: papers.md 3.3, reference.md section 3.
 */
#include "passes/intermediate.h"
#include "passes/linalg.h"
#include "passes/project.h"
#include "passes/provider.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { MEASURED_TOKENS = 4096 };

/* A site of the model: the same in every entry that has it. */
typedef struct place {
    const char *name;
    tegu_value value; /* in step; 0: another entry's */
    tegu_basis basis;
    tegu_figure figures[10]; /* what to report */
    uint32_t count;
} place;

typedef struct reducer {
    tegu_unit *unit;
    tegu_pass_env *env;
    const tegu_reduction *how;
    tegu_axis_id axis;
    int64_t extent, width;
    int64_t asked;         /* the width before rounding */
    int64_t multiple;      /* that the width is rounded to; 1: none */
    tegu_axis_flow *flows; /* by entry */
    uint32_t step;         /* the entry whose streams are looked at */
    TEGU_VEC(place) places;
    tegu_weights weights;
    tegu_dim whole, reduced;
} reducer;

static bool is_shared(const reducer *r)
{
    return !strcmp(r->how->basis, "shared");
}

/* --- what the options ask for --- */

static bool usage(const reducer *r, const char *what)
{
    return tegu_error(r->unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "pass '%s': %s", tegu_options_pass(r->env->options),
                      what);
}

static bool find_axis(reducer *r)
{
    tegu_unit *unit = r->unit;
    const char *name = r->how->axis;
    const char **known =
        TEGU_ARRAY(r->env->scratch, const char *, unit->axes.count);
    if (!is_shared(r) && strcmp(r->how->basis, "per-site") != 0)
        return usage(r, tegu_format(r->env->scratch,
                                    "basis is '%s'; it must be shared or "
                                    "per-site",
                                    tegu_escaped(r->env->scratch, r->how->basis,
                                                 strlen(r->how->basis))));
    r->axis = tegu_unit_find_axis(unit, name);
    for (uint32_t i = 1; !r->axis && i < unit->axes.count; i++)
        known[i - 1] = unit->axes.data[i].name;
    if (!r->axis) {
        const char *near = tegu_nearest(name, known, unit->axes.count - 1);
        return usage(
            r, tegu_format(r->env->scratch, "the model has no axis '%s'%s%s%s",
                           tegu_escaped(r->env->scratch, name, strlen(name)),
                           near ? "; did you mean '" : "", near ? near : "",
                           near ? "'?" : ""));
    }
    if (unit->axes.data[r->axis].symbolic)
        return usage(r, tegu_format(r->env->scratch,
                                    "axis '%s' is the caller's to choose; "
                                    "only axes of fixed extent have a basis",
                                    name));
    r->extent = unit->axes.data[r->axis].hi;
    return true;
}

static void choose_width(reducer *r)
{
    r->multiple = tegu_pass_multiple(r->env, r->how->round);
    r->asked = tegu_kept_width(r->extent, r->how->keep, 1);
    r->width = tegu_kept_width(r->extent, r->how->keep, r->multiple);
}

/* The axis that the reduced stream has: an old one of this extent, or a new
 * one named after the axis. */
static void name_width(reducer *r)
{
    tegu_unit *unit = r->unit;
    const char *name = unit->axes.data[r->axis].name, *tried;
    tegu_axis_id axis;

    r->whole = tegu_unit_axis_dim(unit, r->axis);
    r->reduced = r->whole;
    if (r->width == r->extent)
        return;
    tried = tegu_format(unit->arena, "%s_r", name);
    for (uint32_t n = 2; (axis = tegu_unit_find_axis(unit, tried)); n++) {
        if (!unit->axes.data[axis].symbolic &&
            unit->axes.data[axis].hi == r->width)
            break;
        tried = tegu_format(unit->arena, "%s_r%" PRIu32, name, n);
    }
    if (!axis)
        axis = tegu_unit_add_axis(unit, tegu_intern_cstr(unit->names, tried),
                                  false, r->width, r->width);
    r->reduced = tegu_unit_axis_dim(unit, axis);
}

/* --- sites --- */

static place *find_place(const reducer *r, const char *name)
{
    for (uint32_t i = 0; i < r->places.count; i++)
        if (!strcmp(r->places.data[i].name, name))
            return &r->places.data[i];
    return NULL;
}

static void collect_places(reducer *r, uint32_t entry)
{
    const tegu_axis_flow *flow = &r->flows[entry];
    for (uint32_t s = 1; s < flow->sites.count; s++) {
        const tegu_axis_site *site = &flow->sites.data[s];
        if (find_place(r, site->name))
            continue;
        place p = {.name = site->name,
                   .value = entry == r->step ? site->value : 0,
                   .basis = {.width = r->extent, .dim = r->whole}};
        tegu_vec_push(r->env->scratch, &r->places, p);
    }
}

/* Layer norms of one entry centre the streams that all write to. */
static void spread_centring(reducer *r)
{
    bool centred = false;
    for (uint32_t i = 0; i < r->unit->entries.count; i++)
        centred |= r->flows[i].centred;
    for (uint32_t i = 0; i < r->unit->entries.count; i++)
        r->flows[i].centred = centred;
}

static tegu_axis_kind analyse(reducer *r)
{
    tegu_unit *unit = r->unit;
    bool each = r->how->provider == &tegu_provider_select && is_shared(r);
    bool stream = false, between = false;

    r->flows = TEGU_ARRAY(r->env->scratch, tegu_axis_flow, unit->entries.count);
    for (uint32_t i = 0; i < unit->entries.count; i++) {
        tegu_axis_kind kind =
            tegu_axis_analyse(unit->entries.data[i].graph, r->env->scratch,
                              r->axis, each, &r->flows[i]);
        if (kind == TEGU_AXIS_REFUSED)
            return kind;
        between |= kind == TEGU_AXIS_INTERMEDIATE;
        stream |= r->flows[i].sites.count > 1;
        if (!strcmp(unit->entries.data[i].name, "step"))
            r->step = i;
    }
    if (between && !stream)
        return TEGU_AXIS_INTERMEDIATE;
    if (!stream) {
        usage(r, tegu_format(r->env->scratch,
                             "nothing carries axis '%s' from what writes it "
                             "to what reads it",
                             r->how->axis));
        return TEGU_AXIS_REFUSED;
    }
    spread_centring(r);
    name_width(r);
    collect_places(r, r->step);
    for (uint32_t i = 0; i < unit->entries.count; i++)
        collect_places(r, i);
    return TEGU_AXIS_STREAM;
}

/* --- graphs in the bases found so far --- */

static tegu_graph *project(reducer *r, uint32_t entry, tegu_graph *from,
                           const tegu_value *wanted, uint32_t count)
{
    const tegu_axis_flow *flow = &r->flows[entry];
    tegu_basis *bases =
        TEGU_ARRAY(r->env->scratch, tegu_basis, flow->sites.count);
    tegu_projection p = {.flow = flow, .bases = bases, .weights = &r->weights};

    bases[0] = (tegu_basis){.width = r->extent, .dim = r->whole};
    for (uint32_t s = 1; s < flow->sites.count; s++)
        bases[s] = find_place(r, flow->sites.data[s].name)->basis;
    return tegu_project_graph(&p, from, wanted, count);
}

/* --- statistics --- */

/* (I - 11^T/n) G (I - 11^T/n): the Gram matrix of rows without their mean. */
static void centre_gram(double *gram, int64_t n, tegu_arena *scratch)
{
    double *mean = TEGU_ARRAY(scratch, double, (size_t)n), all = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++)
            mean[i] += gram[i * n + k] / (double)n;
    for (int64_t i = 0; i < n; i++)
        all += mean[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++)
            gram[i * n + k] += all - mean[i] - mean[k];
}

static int64_t sample_stride(const reducer *r)
{
    const tegu_calibration *data = r->env->calibration;
    int64_t tokens = data->sequences * data->length;
    return r->how->manhattan ? (tokens - 1) / 4096 + 1 : 0;
}

/* The stream at one site as the projected prefix makes it. */
static bool observe(reducer *r, const place *at, tegu_site_stats *stats)
{
    tegu_arena *arena = tegu_arena_create();
    tegu_graph *graph = NULL;
    bool ok = arena != NULL;
    if (ok) {
        tegu_arena_on_failure(arena, tegu_arena_failure(r->unit->arena));
        tegu_unit *copy = tegu_unit_clone(r->unit, arena);
        tegu_entry *step = &copy->entries.data[r->step];
        graph = project(r, r->step, step->graph, &at->value, 1);
        if (graph) {
            tegu_site_request request = {.value = graph->results.data[0].value,
                                         .gram = true,
                                         .sample_stride = sample_stride(r)};
            step->graph = graph;
            ok = tegu_calibrate(copy, r->env->calibration, r->env->scratch,
                                &request, 1, 0, stats);
        }
    }
    tegu_arena_destroy(arena);
    return ok && graph;
}

/* Every site's stream in the unchanged model, tokens at RMS 1. */
static bool observe_all(reducer *r, tegu_site_stats *stats)
{
    tegu_site_request *requests =
        TEGU_ARRAY(r->env->scratch, tegu_site_request, r->places.count);
    uint32_t count = 0;
    for (; count < r->places.count && r->places.data[count].value; count++)
        requests[count] = (tegu_site_request){
            .value = r->places.data[count].value,
            .gram = true,
            .normalised = true,
            .sample_stride = sample_stride(r) * r->places.count};
    if (!tegu_calibrate(r->unit, r->env->calibration, r->env->scratch, requests,
                        count, 0, stats))
        return false;
    for (uint32_t i = 0; r->flows[r->step].centred && i < count; i++)
        centre_gram(stats[i].gram, r->extent, r->env->scratch);
    return true;
}

static void add(double *sum, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += x[i];
}

/* All sites' statistics as one; samples one after another. */
static tegu_site_stats merge(reducer *r, const tegu_site_stats *stats,
                             uint32_t count)
{
    tegu_arena *scratch = r->env->scratch;
    int64_t n = r->extent;
    tegu_site_stats all = {.columns = n,
                           .gram = TEGU_ARRAY(scratch, double, (size_t)(n * n)),
                           .sum_abs = TEGU_ARRAY(scratch, double, (size_t)n)};
    for (uint32_t i = 0; i < count; i++) {
        add(all.gram, stats[i].gram, n * n);
        add(all.sum_abs, stats[i].sum_abs, n);
        all.sample_rows += stats[i].sample_rows;
    }
    all.samples = TEGU_ARRAY(scratch, float, (size_t)(all.sample_rows * n));
    float *to = all.samples;
    for (uint32_t i = 0; i < count; i++) {
        size_t some = (size_t)(stats[i].sample_rows * n);
        if (some)
            memcpy(to, stats[i].samples, some * sizeof *to);
        to += some;
    }
    return all;
}

/* --- subspaces --- */

/* ||X Q||^2 / ||X||^2 from the Gram matrix. */
static double kept_energy(const tegu_subspace *s, const double *gram)
{
    int64_t n = s->extent, m = s->width;
    tegu_mark mark = tegu_arena_mark(s->scratch);
    double *work =
        tegu_arena_array(s->scratch, (size_t)n, (size_t)m * sizeof *work);
    double kept, all = 0;
    for (int64_t i = 0; i < n; i++)
        all += gram[i * n + i];
    tegu_multiply(false, false, n, m, n, gram, s->q, work);
    kept = tegu_dot(n * m, work, s->q);
    tegu_arena_release(s->scratch, mark);
    return all > 0 ? kept / all : 1;
}

/* max |Q^T Q - I| */
static double orthonormality(const tegu_subspace *s)
{
    int64_t m = s->width;
    tegu_mark mark = tegu_arena_mark(s->scratch);
    double *product =
        tegu_arena_array(s->scratch, (size_t)m, (size_t)m * sizeof *product);
    double worst = 0;
    tegu_multiply(true, false, m, m, s->extent, s->q, s->q, product);
    for (int64_t a = 0; a < m; a++)
        for (int64_t b = 0; b < m; b++)
            worst = fmax(worst, fabs(product[a * m + b] - (a == b)));
    tegu_arena_release(s->scratch, mark);
    return worst;
}

static void add_figure(place *at, const char *name, double value)
{
    at->figures[at->count++] = (tegu_figure){name, value};
}

/* `asked` is the subspace of the width before rounding. */
static void note_figures(const reducer *r, place *at, const tegu_subspace *s,
                         const tegu_subspace *asked, const double *gram)
{
    add_figure(at, "width", (double)r->width);
    if (r->multiple > 1)
        add_figure(at, "unrounded", (double)r->asked);
    if (gram) {
        double kept = kept_energy(s, gram);
        add_figure(at, "kept_energy", kept);
        add_figure(at, "predicted_error", sqrt(fmax(1 - kept, 0)));
        if (r->multiple > 1)
            add_figure(at, "rounding_cost", kept_energy(asked, gram) - kept);
    }
    if (r->how->provider->transports) {
        add_figure(at, "plan_entropy", s->entropy);
        add_figure(at, "plan_rank", (double)s->rank);
        add_figure(at, "sinkhorn_iterations", (double)s->iterations);
        add_figure(at, "marginal_error", s->marginal_error);
    }
}

static bool find_subspace(reducer *r, const tegu_site_stats *stats,
                          uint32_t index, int64_t width, tegu_subspace *s)
{
    *s = (tegu_subspace){
        .scratch = r->env->scratch,
        .unit = r->unit,
        .extent = r->extent,
        .width = width,
        .stats = stats,
        .seed = r->how->seed + index,
        .eps = r->how->eps,
        .manhattan = r->how->manhattan,
        .q = TEGU_ARRAY(r->env->scratch, double, (size_t)(r->extent * width))};
    if (!r->how->provider->find(s))
        return false;
    return orthonormality(s) < 1e-8 ||
           tegu_error(r->unit->diag, tegu_loc_none(), TEGU_E_INTERNAL,
                      "the basis of provider '%s' is not orthonormal",
                      r->how->provider->name);
}

/* That of the width asked for, where it is another and there are statistics to
 * tell them apart by. */
static bool find_asked(reducer *r, const tegu_site_stats *stats, uint32_t index,
                       const tegu_subspace *taken, tegu_subspace *asked)
{
    *asked = *taken;
    return r->asked == r->width || !r->how->provider->needs_stats ||
           find_subspace(r, stats, index, r->asked, asked);
}

static bool reduce_shared(reducer *r)
{
    tegu_site_stats *stats =
        TEGU_ARRAY(r->env->scratch, tegu_site_stats, r->places.count);
    bool seen = r->how->provider->needs_stats;
    tegu_site_stats all = {0};
    tegu_subspace s, asked;
    uint32_t count = 0;

    while (count < r->places.count && r->places.data[count].value)
        count++;
    if (seen && !observe_all(r, stats))
        return false;
    if (seen)
        all = merge(r, stats, count);
    if (!find_subspace(r, &all, 0, r->width, &s) ||
        !find_asked(r, &all, 0, &s, &asked))
        return false;
    for (uint32_t i = 0; i < r->places.count; i++) {
        r->places.data[i].basis = (tegu_basis){1, r->width, s.q, r->reduced};
        if (r->places.data[i].value)
            note_figures(r, &r->places.data[i], &s, &asked,
                         seen ? stats[i].gram : NULL);
    }
    return true;
}

static bool reduce_each(reducer *r)
{
    for (uint32_t i = 0; i < r->places.count; i++) {
        place *at = &r->places.data[i];
        tegu_site_stats stats = {0};
        bool seen = r->how->provider->needs_stats;
        tegu_subspace s, asked;
        if (!at->value)
            continue;
        if (seen && !observe(r, at, &stats))
            return false;
        if (!find_subspace(r, &stats, i, r->width, &s))
            return false;
        tegu_mark mark = tegu_arena_mark(r->env->scratch);
        if (!find_asked(r, &stats, i, &s, &asked))
            return false;
        note_figures(r, at, &s, &asked, seen ? stats.gram : NULL);
        tegu_arena_release(r->env->scratch, mark);
        at->basis = (tegu_basis){i + 1, r->width, s.q, r->reduced};
    }
    return true;
}

/* --- the report --- */

/* The sites of step; they come first. */
static uint32_t seen_places(const reducer *r, tegu_value *values)
{
    uint32_t count = 0;
    for (; count < r->places.count && r->places.data[count].value; count++)
        values[count] = r->places.data[count].value;
    return count;
}

/* The streams' errors on some of the calibration tokens. */
static bool measure(reducer *r)
{
    tegu_value *values =
        TEGU_ARRAY(r->env->scratch, tegu_value, r->places.count);
    uint32_t count = seen_places(r, values);
    double *errors = TEGU_ARRAY(r->env->scratch, double, count + 1);
    tegu_arena *arena = tegu_arena_create();
    bool ok = arena != NULL;
    if (ok) {
        tegu_arena_on_failure(arena, tegu_arena_failure(r->unit->arena));
        tegu_unit *copy = tegu_unit_clone(r->unit, arena);
        tegu_entry *step = &copy->entries.data[r->step];
        tegu_graph *graph = project(r, r->step, step->graph, values, count);
        ok = graph &&
             tegu_project_measure(copy, step, graph, values, count,
                                  r->flows[r->step].centred,
                                  r->env->calibration, MEASURED_TOKENS, errors);
    }
    for (uint32_t i = 0; ok && i < count; i++)
        add_figure(&r->places.data[i], "measured_error", errors[i]);
    tegu_arena_destroy(arena);
    return ok;
}

static const tegu_figure *find_figure(const place *at, const char *name)
{
    for (uint32_t i = 0; i < at->count; i++)
        if (!strcmp(at->figures[i].name, name))
            return &at->figures[i];
    return NULL;
}

/* One line about all sites. */
static void report_rounding(const reducer *r)
{
    const char *pass = tegu_options_pass(r->env->options);
    double cost = 0, count = 0;
    for (uint32_t i = 0; i < r->places.count; i++) {
        const tegu_figure *f = find_figure(&r->places.data[i], "rounding_cost");
        cost += f ? f->value : 0;
        count += f != NULL;
    }
    tegu_text_printf(r->env->report,
                     "%s: width %" PRId64 " rounded to %" PRId64
                     ", a multiple of %" PRId64,
                     pass, r->asked, r->width, r->multiple);
    if (count > 0)
        tegu_text_printf(r->env->report,
                         ": kept energy %+.3g %% (mean of the sites)",
                         100 * (0 - cost) / count);
    tegu_text_add(r->env->report, "\n", 1);
}

static bool report(reducer *r)
{
    if (r->how->measure && r->env->calibration && r->env->calibration->tokens &&
        !measure(r))
        return false;
    for (uint32_t i = 0; i < r->places.count; i++)
        if (r->places.data[i].count)
            tegu_report_site(r->env, r->places.data[i].name,
                             r->places.data[i].figures,
                             r->places.data[i].count);
    if (r->multiple > 1)
        report_rounding(r);
    return true;
}

/* --- the pass --- */

static bool rebuild(reducer *r)
{
    tegu_unit *unit = r->unit;
    for (uint32_t i = 0; i < unit->entries.count; i++) {
        tegu_entry *entry = &unit->entries.data[i];
        tegu_graph *graph = project(r, i, entry->graph, NULL, 0);
        if (!graph)
            return false;
        entry->graph = graph;
    }
    return tegu_weights_settle(&r->weights, unit);
}

static tegu_outcome reduce_between(reducer *r)
{
    tegu_intermediate how = {.axis = r->how->axis,
                             .keep = r->how->keep,
                             .method = "obs",
                             .round = r->multiple,
                             .sequential = false};
    return tegu_reduce_intermediate(r->unit, r->env, &how);
}

tegu_outcome tegu_project_axis(tegu_unit *unit, tegu_pass_env *env,
                               const tegu_reduction *how)
{
    reducer r = {.unit = unit,
                 .env = env,
                 .how = how,
                 .weights = {.arena = unit->arena, .scratch = env->scratch}};

    if (!unit->entries.count)
        return TEGU_UNCHANGED;
    if (!find_axis(&r))
        return TEGU_FAILED;
    if (how->provider->needs_stats && !tegu_pass_calibration(unit, env))
        return TEGU_FAILED;
    choose_width(&r);
    tegu_axis_kind kind = analyse(&r);
    if (kind == TEGU_AXIS_INTERMEDIATE)
        return reduce_between(&r);
    if (kind == TEGU_AXIS_REFUSED)
        return TEGU_FAILED;
    if (!(is_shared(&r) ? reduce_shared(&r) : reduce_each(&r)) || !report(&r) ||
        !rebuild(&r))
        return TEGU_FAILED;
    return TEGU_CHANGED;
}
