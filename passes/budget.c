/* SPDX-License-Identifier: Apache-2.0 */
/* budget.c - searches sizes that meet a budget at the least measured damage.
 *
 * Takes a unit at model level, calibration data and one budget: a part of the
 * parameters, FLOPs or weight bytes to keep, or a rise of perplexity to stay
 * under.  Three kinds of sizes are searched together: the residual width
 * (one shared PCA basis, project.h), hidden widths (OBS order) and ranks of
 * the weights around attention.
 *
 * How: 1. a budget that even the smallest sizes exceed is refused at once.
 * 2. All sites are measured in the model as it was.  3. Each hidden layer and
 * matrix is reduced alone, once, and the rise of the divergence from the
 * original's predictions, measured by running both, over its relative error is
 * its sensitivity: errors of different layers become comparable.  These probes
 * share one compiled model, whose weights change (judge.h).  4. For each
 * residual width tried, sizes are allocated so that sensitivity times error is
 * least under the budget (sites.h), the sites of a copy are reduced, then its
 * residual axis, whose basis is that of the reduced model, and it is judged by
 * running it.  Narrower residual widths are tried until one is no better than
 * the one before.  5. The unit is made what the best copy was.
 *
 * Damage is the KL divergence on the last part of the calibration data;
 * perplexity is measured there as well.  Works on copies until the end, one
 * after another.
 */
#include "passes/judge.h"
#include "passes/passes.h"
#include "passes/project.h"
#include "passes/provider.h"
#include "passes/sites.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { JUDGED_TOKENS = 4096, BISECTIONS = 7, CORRECTIONS = 3 };

/* How far sites are reduced to learn their sensitivity. */
static const double probed = 0.5;
/* Residual widths tried. */
static const double streams[] = {1, 0.95, 0.9, 0.85, 0.8};
enum { STREAMS = sizeof streams / sizeof streams[0] };
/* What a model may stay under its budget without another try, of the whole. */
static const double slack = 0.002;
/* Sensitivities are at least this part of the largest: a divergence near 0 may
 * be rounding, and is no licence to cut a site to nothing. */
static const double least_sensitivity = 1e-4;

typedef enum budget_kind {
    BUDGET_PARAMS,
    BUDGET_FLOPS,
    BUDGET_BYTES,
    BUDGET_PPL
} budget_kind;

static const char *const kinds[] = {"params", "flops", "bytes", "ppl"};

typedef struct budget {
    tegu_unit *unit;
    tegu_pass_env *env;
    const tegu_calibration *data;
    budget_kind kind;
    double limit; /* part to keep, or factor of the perplexity */
    double whole; /* the original's size */
    double rest;  /* what of it is in no site, in weights */
    int64_t round;
    const char *axis;  /* the residual axis; NULL: left alone */
    int64_t extent;    /* of it */
    tegu_arena *arena; /* of the sites */
    tegu_sites sites;
    tegu_judge judge;
    tegu_verdict original;
} budget;

/* A model tried. */
typedef struct trial {
    double stream;
    double size;
    double elements; /* that the sites were to have */
    int64_t *sizes;  /* of the sites */
    tegu_verdict verdict;
} trial;

/* --- options --- */

static bool parse_limit(budget *b, budget_kind kind, const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (kind == BUDGET_PPL) {
        b->limit = 1 + value / 100;
        if (end != text && !strcmp(end, "%") && value > 0 && value <= 1000)
            return true;
        return tegu_error(b->unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "budget 'ppl' is a rise such as +5%%, not '%s'",
                          tegu_escaped(b->env->scratch, text, strlen(text)));
    }
    b->limit = value;
    return (*end == '\0' && end != text && value > 0 && value < 1) ||
           tegu_error(b->unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "budget '%s' is a part to keep between 0 and 1, not '%s'",
                      kinds[kind],
                      tegu_escaped(b->env->scratch, text, strlen(text)));
}

static bool parse_options(budget *b)
{
    bool given = false;

    for (int kind = BUDGET_PARAMS; kind <= BUDGET_PPL; kind++) {
        const char *text = tegu_option_text(b->env->options, kinds[kind]);
        if (!strcmp(text, "none"))
            continue;
        if (given)
            return tegu_error(b->unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                              "pass 'budget' takes one budget, not several");
        given = true;
        b->kind = (budget_kind)kind;
        if (!parse_limit(b, b->kind, text))
            return false;
    }
    return given || tegu_error(b->unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                               "pass 'budget' needs one of params=, flops=, "
                               "bytes=, ppl=");
}

/* The residual axis to cut, and what widths are multiples of. */
static void read_axes(budget *b)
{
    const char *name = tegu_option_text(b->env->options, "axis");
    tegu_axis_id axis = tegu_unit_find_axis(b->unit, name);

    b->round =
        tegu_pass_multiple(b->env, tegu_option_int(b->env->options, "round"));
    if (!strcmp(name, "none"))
        return;
    b->axis = name;
    if (axis)
        b->extent = b->unit->axes.data[axis].hi;
}

/* --- sizes --- */

/* What the budget counts: weights, or FLOPs or weight bytes of one token. */
static bool measure_size(const budget *b, tegu_unit *unit, double *size)
{
    tegu_entry *step = tegu_unit_find_entry(unit, "step");
    int64_t *symbols =
        TEGU_ARRAY(b->env->scratch, int64_t, unit->axes.count + 1);
    tegu_cost cost;

    *size = tegu_unit_parameters(unit);
    if (b->kind == BUDGET_PARAMS || b->kind == BUDGET_PPL)
        return true;
    symbols[step->arguments.data[0].type->dims[0].symbol] = 1;
    if (!tegu_entry_cost(unit, step, symbols, 0, false, &cost))
        return false;
    *size = b->kind == BUDGET_FLOPS ? cost.flops : cost.bytes_weights;
    return true;
}

/* What one weight of a site counts. */
static double weight_size(const budget *b)
{
    return b->kind == BUDGET_FLOPS ? 2 : b->kind == BUDGET_BYTES ? 4 : 1;
}

/* The part of the residual axis that a stream really leaves. */
static double residual_of(const budget *b, double stream, int64_t round)
{
    if (stream >= 1 || !b->extent)
        return 1;
    return (double)tegu_kept_width(b->extent, stream, round) /
           (double)b->extent;
}

static bool find_sites(budget *b)
{
    const char *targets = tegu_option_text(b->env->options, "targets");

    if (!tegu_sites_find(&b->sites, b->unit,
                         tegu_option_text(b->env->options, "hidden"),
                         strcmp(targets, "none") ? targets : "",
                         b->axis ? b->axis : "", b->round, b->arena) ||
        !measure_size(b, b->unit, &b->whole))
        return false;
    b->rest = b->whole / weight_size(b) - tegu_sites_elements(&b->sites, NULL);
    return true;
}

static bool refuse(const budget *b, double nearest)
{
    return tegu_error(b->unit->diag, tegu_loc_none(), TEGU_E_UNSUPPORTED,
                      "no sizes meet the budget %s=%g; the nearest model has "
                      "%.3g of the size",
                      kinds[b->kind], b->limit, nearest / b->whole);
}

/* Refuses what even the smallest sizes exceed, before anything is run.  What
 * is in no site is taken to shrink with the residual axis. */
static bool check_reach(budget *b)
{
    int64_t *sizes =
        TEGU_ARRAY(b->env->scratch, int64_t, b->sites.list.count + 1);
    double nearest = INFINITY;

    if (b->kind == BUDGET_PPL)
        return true;
    for (uint32_t i = 0; i < b->sites.list.count; i++)
        sizes[i] = b->sites.list.data[i].round;
    for (int i = 0; i < (b->axis ? STREAMS : 1); i++) {
        double residual = residual_of(b, streams[i], b->round);
        b->sites.residual = residual;
        nearest = fmin(nearest, tegu_sites_elements(&b->sites, sizes) +
                                    residual * b->rest);
    }
    b->sites.residual = 1;
    nearest *= weight_size(b);
    return nearest <= b->limit * b->whole || refuse(b, nearest);
}

/* --- trials --- */

/* Makes the unit that of a residual width; leaves it alone at 1. */
static bool project(const budget *b, tegu_unit *unit, double stream,
                    tegu_pass_env *env)
{
    const tegu_reduction how = {
        .axis = b->axis,
        .keep = stream,
        .basis = "shared",
        .round = b->round,
        .provider = &tegu_provider_pca,
        .seed = 1,
        .eps = 10,
    };

    return stream >= 1 || tegu_project_axis(unit, env, &how) != TEGU_FAILED;
}

/* Makes the unit, the original or a copy, what a trial is. */
static bool reduce(const budget *b, tegu_unit *unit, const trial *t,
                   tegu_pass_env *env)
{
    return tegu_sites_apply(&b->sites, unit, t->sizes, b->env->scratch) &&
           project(b, unit, t->stream, env);
}

/* An arena for a copy of the model, apart from the scratch memory that is
 * released under it; NULL after reporting. */
static tegu_arena *create_arena(const budget *b)
{
    tegu_arena *arena = tegu_arena_create();

    if (arena)
        tegu_arena_on_failure(arena, tegu_arena_failure(b->unit->arena));
    else
        tegu_error(b->unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                   "out of memory");
    return arena;
}

/* Makes a copy with the trial's sizes and measures it; judges it where its
 * size is in [least, most], else its verdict is infinite. */
static bool try_sizes(const budget *b, trial *t, double least, double most)
{
    tegu_arena *scratch = b->env->scratch, *arena = create_arena(b);
    tegu_mark mark = tegu_arena_mark(scratch);
    tegu_unit *copy = arena ? tegu_unit_clone(b->unit, arena) : NULL;
    tegu_text text = {.arena = scratch};
    tegu_site_rows rows = {0};
    tegu_pass_env env = *b->env;
    bool ok;

    env.report = &text;
    env.sites = &rows;
    t->verdict = (tegu_verdict){INFINITY, INFINITY};
    ok = copy && reduce(b, copy, t, &env) && measure_size(b, copy, &t->size);
    tegu_arena_release(scratch, mark);
    if (ok && t->size >= least && t->size <= most)
        ok = tegu_judge_unit(&b->judge, copy, &t->verdict);
    tegu_arena_destroy(arena);
    return ok;
}

/* The largest model of a stream that the budget allows.  What is in no site
 * is taken to shrink with the stream at first, then to be what was measured. */
static bool try_size(const budget *b, trial *t)
{
    double most = b->limit * b->whole, unit = weight_size(b);
    double rest = b->sites.residual * b->rest;

    for (int i = 0; i < CORRECTIONS; i++) {
        double wanted, least;
        t->elements = most / unit - rest;
        tegu_sites_allocate(&b->sites, t->elements, t->sizes);
        wanted = unit * (tegu_sites_elements(&b->sites, t->sizes) + rest);
        least = i + 1 < CORRECTIONS ? wanted - slack * b->whole : 0;
        if (!try_sizes(b, t, least, most))
            return false;
        if (t->size >= least && t->size <= most)
            return true;
        rest += (t->size - wanted) / unit;
    }
    return true;
}

/* The smallest model of a stream whose perplexity stays under the budget,
 * where there is one smaller than `size`; else t->size is infinite. */
static bool try_perplexity(const budget *b, double size, trial *t)
{
    double most = b->original.loss + log(b->limit), low = 0;
    double high = fmin(tegu_sites_elements(&b->sites, NULL),
                       size - b->sites.residual * b->rest);
    trial next = *t;

    next.sizes = TEGU_ARRAY(b->env->scratch, int64_t, b->sites.list.count + 1);
    t->size = INFINITY;
    for (int i = 0; i <= BISECTIONS; i++) {
        double elements = i == 0 ? high : (low + high) / 2;
        next.elements = elements;
        tegu_sites_allocate(&b->sites, elements, next.sizes);
        if (!try_sizes(b, &next, 0, INFINITY))
            return false;
        if (next.verdict.loss > most) {
            if (i == 0)
                return true;
            low = elements;
        } else {
            int64_t *sizes = t->sizes;
            high = elements;
            *t = next;
            next.sizes = sizes;
        }
    }
    return true;
}

/* --- sensitivities --- */

/* The divergence with one site reduced alone. */
static bool probe_site(budget *b, tegu_site *site)
{
    int64_t size = tegu_kept_width(site->most, probed, site->round);
    tegu_change changes[2];
    tegu_verdict verdict;
    uint32_t count;

    if (!tegu_site_change(site, size, b->env->scratch, changes, &count) ||
        !tegu_judge_changes(&b->judge, changes, count, b->env->scratch,
                            &verdict))
        return false;
    site->sensitivity =
        site->lost[size] > 0 ? verdict.divergence / site->lost[size] : 0;
    return true;
}

static bool probe_all(budget *b)
{
    uint32_t count = b->sites.list.count;
    double most = 0;

    for (uint32_t i = 0; i < count; i++) {
        tegu_mark mark = tegu_arena_mark(b->env->scratch);
        if (!probe_site(b, &b->sites.list.data[i]))
            return false;
        tegu_arena_release(b->env->scratch, mark);
        most = fmax(most, b->sites.list.data[i].sensitivity);
        if (b->data->progress)
            b->data->progress(b->data->data, "probing", i + 1, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        tegu_site *site = &b->sites.list.data[i];
        site->sensitivity = fmax(site->sensitivity, least_sensitivity * most);
    }
    return true;
}

/* --- the search --- */

static bool meets(const budget *b, const trial *t)
{
    if (b->kind == BUDGET_PPL)
        return t->size < INFINITY;
    return t->size <= b->limit * b->whole;
}

static bool better(const budget *b, const trial *t, const trial *best)
{
    if (meets(b, t) != meets(b, best))
        return meets(b, t);
    if (b->kind == BUDGET_PPL || !meets(b, t))
        return t->size < best->size;
    return t->verdict.divergence < best->verdict.divergence;
}

static void report_trial(const budget *b, const trial *t)
{
    const tegu_figure figures[] = {
        {"stream", t->stream},
        {"size", t->size / b->whole},
        {"divergence", t->verdict.divergence},
        {"ppl", exp(t->verdict.loss)},
        {"ppl_rise", exp(t->verdict.loss - b->original.loss) - 1},
    };

    if (t->size < INFINITY)
        tegu_report_site(b->env, "trial", figures, 5);
}

static bool search(budget *b, trial *best)
{
    uint32_t count = b->sites.list.count;
    trial t = {.sizes = TEGU_ARRAY(b->arena, int64_t, count + 1)};

    *best = (trial){.size = INFINITY,
                    .sizes = TEGU_ARRAY(b->arena, int64_t, count + 1)};
    for (int i = 0; i < (b->axis ? STREAMS : 1); i++) {
        tegu_mark mark = tegu_arena_mark(b->env->scratch);
        t.stream = streams[i];
        b->sites.residual = residual_of(b, t.stream, b->round);
        if (!(b->kind == BUDGET_PPL ? try_perplexity(b, best->size, &t)
                                    : try_size(b, &t)))
            return false;
        report_trial(b, &t);
        if (better(b, &t, best)) {
            int64_t *sizes = best->sizes;
            *best = t;
            t.sizes = sizes;
        } else if (meets(b, best)) {
            break;
        }
        tegu_arena_release(b->env->scratch, mark);
    }
    return meets(b, best) || refuse(b, best->size);
}

/* --- the report --- */

/* What rounding did to a model. */
typedef struct rounding {
    double weights;    /* more than without */
    double divergence; /* predicted from the sites' errors, more than without */
} rounding;

/* The sizes that the sites of the trial would have had without rounding. */
static int64_t *unrounded_sizes(const budget *b, tegu_sites *sites,
                                const trial *t)
{
    uint32_t count = sites->list.count;
    int64_t *sizes = TEGU_ARRAY(b->env->scratch, int64_t, count + 1);

    sites->list.data = tegu_arena_copy(b->env->scratch, sites->list.data,
                                       count * sizeof *sites->list.data);
    for (uint32_t i = 0; i < count; i++)
        sites->list.data[i].round = 1;
    tegu_sites_allocate(sites, t->elements, sizes);
    return sizes;
}

static void report_site(const budget *b, uint32_t i, const trial *t,
                        double residual, const int64_t *plain, rounding *all)
{
    const tegu_site *site = &b->sites.list.data[i];
    int64_t size = t->sizes[i];
    tegu_figure figures[7] = {
        {site->is_hidden ? "width" : "rank", (double)size},
        {"of", (double)site->full},
        {"relative_error", site->lost[size]},
        {"sensitivity", site->sensitivity},
    };
    uint32_t count = 4;

    if (b->round > 1) {
        double cost = site->lost[size] - site->lost[plain[i]];
        double weights = tegu_site_elements(site, residual, size) -
                         tegu_site_elements(site, residual, plain[i]);
        figures[count++] = (tegu_figure){"unrounded", (double)plain[i]};
        figures[count++] = (tegu_figure){"rounding_cost", cost};
        figures[count++] = (tegu_figure){"rounding_weights", weights};
        all->divergence += site->sensitivity * cost;
        all->weights += weights;
    }
    tegu_report_site(b->env, site->weight, figures, count);
}

/* Weights that the residual width's rounding adds; the sites are linear in
 * it. */
static double residual_weights(const budget *b, tegu_sites *sites,
                               const trial *t)
{
    double more =
        residual_of(b, t->stream, b->round) - residual_of(b, t->stream, 1);
    double whole, none;

    sites->residual = 1;
    whole = tegu_sites_elements(sites, t->sizes);
    sites->residual = 0;
    none = tegu_sites_elements(sites, t->sizes);
    return more * (whole - none + b->rest);
}

static void report(const budget *b, const trial *t)
{
    tegu_sites sites = b->sites;
    double residual = residual_of(b, t->stream, b->round);
    rounding all = {0, 0};
    const int64_t *plain;

    sites.residual = residual;
    plain = unrounded_sizes(b, &sites, t);
    for (uint32_t i = 0; i < b->sites.list.count; i++)
        report_site(b, i, t, residual, plain, &all);
    if (b->round <= 1)
        return;
    all.weights += residual_weights(b, &sites, t);
    tegu_text_printf(b->env->report,
                     "budget: sizes rounded to multiples of %lld: %+.0f "
                     "weights (%+.2g %%), predicted divergence %+.2g\n",
                     (long long)b->round, all.weights,
                     100 * all.weights * weight_size(b) / b->whole,
                     all.divergence);
}

/* Makes the model that was best, and reports every site. */
static bool make(const budget *b, const trial *best)
{
    report(b, best);
    return reduce(b, b->unit, best, b->env);
}

static bool run(budget *b)
{
    trial best;
    bool ok;

    if (!find_sites(b) || !check_reach(b))
        return false;
    b->data = tegu_pass_calibration(b->unit, b->env);
    if (!b->data ||
        !tegu_calibration_has_tokens(b->unit, b->data, "judging predictions") ||
        !tegu_sites_measure(&b->sites, b->data, b->arena))
        return false;
    ok = tegu_judge_open(&b->judge, b->unit, b->data, JUDGED_TOKENS, b->arena,
                         &b->original) &&
         probe_all(b);
    tegu_judge_close(&b->judge);
    return ok && search(b, &best) && make(b, &best);
}

tegu_outcome tegu_pass_budget(tegu_unit *unit, tegu_pass_env *env)
{
    budget b = {.unit = unit, .env = env};
    bool ok;

    if (!parse_options(&b))
        return TEGU_FAILED;
    read_axes(&b);
    b.arena = create_arena(&b);
    ok = b.arena && run(&b);
    tegu_arena_destroy(b.arena);
    return ok ? TEGU_CHANGED : TEGU_FAILED;
}
