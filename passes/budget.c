/* SPDX-License-Identifier: Apache-2.0 */
/* budget.c - searches sizes that meet a budget at the least measured damage.
 *
 * Takes a unit at model level, calibration data and one budget: a part of the
 * parameters, FLOPs or weight bytes to keep, or a rise of perplexity to stay
 * under.  Three kinds of sizes are searched together: the residual width
 * (one shared PCA basis, project.h), hidden widths (OBS order) and ranks of
 * the weights around attention.
 *
 * How: 1. each hidden layer and matrix is reduced alone, once, and the rise
 * of the divergence from the original's predictions, measured by running both,
 * over its relative error is its sensitivity: errors of different layers
 * become comparable.  2. For each residual width tried, all sites are measured
 * on the projected model and their sizes allocated so that sensitivity times
 * error is least under the budget (sites.h).  3. Each such model is judged by
 * running it; the best one is made.
 *
 * Damage is the KL divergence on the last part of the calibration data;
 * perplexity is measured there as well.  Works on copies until the end.
 */
#include "passes/judge.h"
#include "passes/passes.h"
#include "passes/project.h"
#include "passes/provider.h"
#include "passes/sites.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { JUDGED_TOKENS = 4096, BISECTIONS = 7 };

/* How far sites are reduced to learn their sensitivity. */
static const double probed = 0.5;
/* Residual widths tried. */
static const double streams[] = {1, 0.95, 0.9, 0.85, 0.8};
enum { STREAMS = sizeof streams / sizeof streams[0] };

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
    tegu_judge judge;
    tegu_verdict original;
    double *sensitivity; /* per site */
    uint32_t site_count;
} budget;

/* A model tried. */
typedef struct trial {
    double stream;
    double size;
    double elements; /* of the sites, as allocated */
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

static double total_elements(const tegu_sites *sites)
{
    double sum = 0;

    for (uint32_t i = 0; i < sites->list.count; i++)
        sum += sites->list.data[i].full_elements;
    return sum;
}

/* --- trials --- */

/* Makes the model of a residual width; the original at 1. */
static bool project(const budget *b, tegu_unit *unit, double stream,
                    tegu_pass_env *env)
{
    const tegu_reduction how = {
        .axis = tegu_option_text(b->env->options, "axis"),
        .keep = stream,
        .basis = "shared",
        .round = tegu_option_int(b->env->options, "round"),
        .provider = &tegu_provider_pca,
        .seed = 1,
        .eps = 10,
    };

    return stream >= 1 || tegu_project_axis(unit, env, &how) != TEGU_FAILED;
}

static bool open_sites(const budget *b, tegu_unit *unit, tegu_sites *sites,
                       tegu_arena *arena)
{
    const char *targets = tegu_option_text(b->env->options, "targets");

    if (!tegu_sites_open(sites, unit, b->data,
                         tegu_option_text(b->env->options, "hidden"),
                         strcmp(targets, "none") ? targets : "",
                         tegu_option_int(b->env->options, "round"), arena))
        return false;
    for (uint32_t i = 0; b->sensitivity && i < sites->list.count; i++)
        sites->list.data[i].sensitivity = b->sensitivity[i];
    return true;
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

/* A copy of `unit` with sites at these sizes, judged. */
static bool judge_sizes(const budget *b, const tegu_sites *sites,
                        const tegu_unit *unit, const int64_t *sizes,
                        double *size, tegu_verdict *verdict)
{
    tegu_arena *scratch = b->env->scratch, *arena = create_arena(b);
    tegu_mark mark = tegu_arena_mark(scratch);
    tegu_unit *copy = arena ? tegu_unit_clone(unit, arena) : NULL;
    bool ok = copy && tegu_sites_apply(sites, copy, sizes, scratch) &&
              measure_size(b, copy, size) &&
              tegu_judge_unit(&b->judge, copy, verdict);

    tegu_arena_release(scratch, mark);
    tegu_arena_destroy(arena);
    return ok;
}

/* Allocates for the budget that is left to the sites of this model. */
static bool try_size(const budget *b, const tegu_sites *sites,
                     const tegu_unit *unit, double elements, trial *t)
{
    int64_t *sizes =
        TEGU_ARRAY(b->env->scratch, int64_t, sites->list.count + 1);

    t->elements = elements;
    tegu_sites_allocate(sites, elements, sizes);
    return judge_sizes(b, sites, unit, sizes, &t->size, &t->verdict);
}

/* The smallest model whose perplexity stays under the budget. */
static bool try_perplexity(const budget *b, const tegu_sites *sites,
                           const tegu_unit *unit, trial *t)
{
    double most = b->original.loss + log(b->limit);
    double high = total_elements(sites), low = 0;

    if (!try_size(b, sites, unit, high, t))
        return false;
    if (t->verdict.loss > most) {
        t->size = INFINITY;
        return true;
    }
    for (int i = 0; i < BISECTIONS; i++) {
        trial next = {.stream = t->stream};
        double middle = (low + high) / 2;
        if (!try_size(b, sites, unit, middle, &next))
            return false;
        if (next.verdict.loss > most) {
            low = middle;
        } else {
            high = middle;
            *t = next;
        }
    }
    return true;
}

static bool try_unit(const budget *b, tegu_unit *unit, trial *t)
{
    tegu_arena *scratch = b->env->scratch;
    tegu_text text = {.arena = scratch};
    tegu_site_rows rows = {0};
    tegu_pass_env env = *b->env;
    tegu_sites sites;
    double size;

    env.report = &text;
    env.sites = &rows;
    if (!project(b, unit, t->stream, &env) ||
        !open_sites(b, unit, &sites, scratch) || !measure_size(b, unit, &size))
        return false;
    if (b->kind == BUDGET_PPL)
        return try_perplexity(b, &sites, unit, t);
    return try_size(b, &sites, unit,
                    total_elements(&sites) -
                        (size - b->limit * b->whole) / weight_size(b),
                    t);
}

static bool try_stream(const budget *b, trial *t)
{
    tegu_arena *arena = create_arena(b);
    bool ok = arena && try_unit(b, tegu_unit_clone(b->unit, arena), t);

    tegu_arena_destroy(arena);
    return ok;
}

/* --- sensitivities --- */

static bool probe_site(budget *b, const tegu_sites *sites, uint32_t i)
{
    const tegu_site *site = &sites->list.data[i];
    int64_t *sizes =
        TEGU_ARRAY(b->env->scratch, int64_t, sites->list.count + 1);
    tegu_verdict verdict;
    double size;

    for (uint32_t k = 0; k < sites->list.count; k++)
        sizes[k] = sites->list.data[k].full;
    sizes[i] = tegu_kept_width(site->most, probed, site->round);
    if (!judge_sizes(b, sites, b->unit, sizes, &size, &verdict))
        return false;
    b->sensitivity[i] = site->lost[sizes[i]] > 0
                            ? fmax(verdict.divergence, 0) / site->lost[sizes[i]]
                            : 0;
    return true;
}

static bool probe_all(budget *b)
{
    tegu_arena *scratch = b->env->scratch;
    tegu_sites *sites = TEGU_NEW(scratch, tegu_sites);
    double *sensitivity;

    if (!open_sites(b, b->unit, sites, scratch))
        return false;
    b->site_count = sites->list.count;
    sensitivity = TEGU_ARRAY(scratch, double, b->site_count);
    b->sensitivity = sensitivity;
    for (uint32_t i = 0; i < b->site_count; i++) {
        tegu_mark mark = tegu_arena_mark(scratch);
        if (!probe_site(b, sites, i))
            return false;
        tegu_arena_release(scratch, mark);
        if (b->data->progress)
            b->data->progress(b->data->data, "probing", i + 1, b->site_count);
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
    };

    tegu_report_site(b->env, "trial", figures, 4);
}

static bool search(const budget *b, trial *best)
{
    bool stream = strcmp(tegu_option_text(b->env->options, "axis"), "none");

    *best = (trial){.size = INFINITY};
    for (int i = 0; i < (stream ? STREAMS : 1); i++) {
        tegu_mark mark = tegu_arena_mark(b->env->scratch);
        trial t = {.stream = streams[i]};
        if (!try_stream(b, &t))
            return false;
        tegu_arena_release(b->env->scratch, mark);
        report_trial(b, &t);
        if (better(b, &t, best))
            *best = t;
    }
    if (meets(b, best))
        return true;
    return tegu_error(b->unit->diag, tegu_loc_none(), TEGU_E_UNSUPPORTED,
                      "no sizes meet the budget %s; the nearest model has %g "
                      "of the size",
                      kinds[b->kind], best->size / b->whole);
}

/* Makes the model that was best, and reports every site. */
static bool make(const budget *b, const trial *best)
{
    tegu_arena *scratch = b->env->scratch;
    tegu_sites sites;
    int64_t *sizes;

    if (!project(b, b->unit, best->stream, b->env) ||
        !open_sites(b, b->unit, &sites, scratch))
        return false;
    sizes = TEGU_ARRAY(scratch, int64_t, sites.list.count + 1);
    tegu_sites_allocate(&sites, best->elements, sizes);
    for (uint32_t i = 0; i < sites.list.count; i++) {
        const tegu_site *site = &sites.list.data[i];
        const tegu_figure figures[] = {
            {site->is_hidden ? "width" : "rank", (double)sizes[i]},
            {"of", (double)site->full},
            {"relative_error", site->lost[sizes[i]]},
            {"sensitivity", site->sensitivity},
        };
        tegu_report_site(b->env, site->weight, figures, 4);
    }
    return tegu_sites_apply(&sites, b->unit, sizes, scratch);
}

tegu_outcome tegu_pass_budget(tegu_unit *unit, tegu_pass_env *env)
{
    budget b = {.unit = unit, .env = env};
    trial best;

    if (!parse_options(&b))
        return TEGU_FAILED;
    b.data = tegu_pass_calibration(unit, env);
    if (!b.data ||
        !tegu_judge_open(&b.judge, unit, b.data, JUDGED_TOKENS, env->scratch,
                         &b.original) ||
        !measure_size(&b, unit, &b.whole) || !probe_all(&b) ||
        !search(&b, &best) || !make(&b, &best))
        return TEGU_FAILED;
    return TEGU_CHANGED;
}
