/* SPDX-License-Identifier: Apache-2.0 */
/* low_rank.c - weights of linears become products of two thin ones.
 *
 * Takes a unit at model level and calibration data.  Gram matrices come from
 * the model as it was (EMLoC: each layer sees the original network), factors
 * from factor.c; linear(x, W) becomes linear(linear(x, V), U).  Parameters W
 * stay in the unit under their names, unused, so that W and U V are both
 * addressable.
 *
 * Ranks: `uniform` keeps floor(out in keep / (out + in)) everywhere; `loss`
 * spends the same number of elements rank by rank where one saves most of the
 * relative error per element.
 *
 * The predicted loss tr(dW G dW^T) / tr(W G W^T) is compared with a measured
 * one: both maps run over the calibration tokens as compiled code.
 */
#include "passes/factor.h"
#include "passes/passes.h"

#include <string.h>

/* Gram matrices gathered in one run. */
static const double statistics_bytes = 64e6;

typedef struct lowering {
    tegu_unit *unit;
    tegu_unit *original; /* a copy, to measure with */
    tegu_pass_env *env;
    const tegu_calibration *data;
    tegu_matrices matrices;
    tegu_factors *factors;
    int64_t *rank;
    tegu_replacement *replacements;
    double *measured;
} lowering;

/* --- factors --- */

static tegu_value input_of(const lowering *l, uint32_t i)
{
    const tegu_matrix *m = &l->matrices.data[i];

    return tegu_graph_node(m->graph, m->linear)->inputs[0];
}

/* Statistics of what matrices [first, *next) read, from one run; each value
 * once.  of [count]: which a matrix needs. */
static tegu_powers *gather(const lowering *l, uint32_t first, uint32_t *next,
                           tegu_arena *arena, uint32_t *of)
{
    uint32_t count = l->matrices.count, some = 0;
    tegu_site_request *requests = TEGU_ARRAY(arena, tegu_site_request, count);
    tegu_site_stats *stats = TEGU_ARRAY(arena, tegu_site_stats, count);
    tegu_powers *powers = TEGU_ARRAY(arena, tegu_powers, count);
    double bytes = 0;
    uint32_t i;

    for (i = first; i < count && bytes <= statistics_bytes; i++) {
        double in = (double)l->matrices.data[i].in;
        uint32_t r = 0;
        while (r < some && requests[r].value != input_of(l, i))
            r++;
        of[i] = r;
        if (r < some)
            continue;
        requests[some++] =
            (tegu_site_request){.value = input_of(l, i), .gram = true};
        bytes += in * in * sizeof(double);
    }
    *next = i;
    if (!tegu_calibrate(l->original, l->data, arena, requests, some, 0, stats))
        return NULL;
    for (i = 0; i < some; i++)
        powers[i] = (tegu_powers){
            .n = stats[i].columns,
            .gram = stats[i].gram,
            .power = tegu_option_float(l->env->options, "gram_power"),
            .arena = arena};
    return powers;
}

/* Factors matrices [first, *next) from one run. */
static bool factor_some(const lowering *l, uint32_t first, uint32_t *next)
{
    tegu_arena *scratch = l->env->scratch, *arena = tegu_arena_create();
    uint32_t *of = TEGU_ARRAY(scratch, uint32_t, l->matrices.count);
    tegu_powers *powers;
    bool ok;

    if (!arena)
        return tegu_error(l->unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                          "out of memory");
    tegu_arena_on_failure(arena, tegu_arena_failure(scratch));
    powers = gather(l, first, next, arena, of);
    ok = powers != NULL;
    for (uint32_t i = first; ok && i < *next; i++)
        ok = tegu_factor_weight(&l->matrices.data[i], &powers[of[i]], scratch,
                                &l->factors[i]);
    tegu_arena_destroy(arena);
    return ok;
}

/* --- ranks --- */

static int64_t size_of(const lowering *l, uint32_t i, int64_t rank)
{
    return rank * (l->matrices.data[i].out + l->matrices.data[i].in);
}

static double gain(const lowering *l, uint32_t i)
{
    const tegu_factors *f = &l->factors[i];

    if (l->rank[i] >=
        tegu_break_even(l->matrices.data[i].out, l->matrices.data[i].in))
        return -1;
    return (f->lost[l->rank[i]] - f->lost[l->rank[i] + 1]) /
           (double)size_of(l, i, 1);
}

static void allocate_by_loss(const lowering *l, double keep)
{
    int64_t left = 0;

    for (uint32_t i = 0; i < l->matrices.count; i++) {
        const tegu_matrix *m = &l->matrices.data[i];
        left += size_of(l, i, tegu_kept_rank(m->out, m->in, keep) - 1);
        l->rank[i] = 1;
    }
    for (;;) {
        uint32_t best = l->matrices.count;
        double most = -1;
        for (uint32_t i = 0; i < l->matrices.count; i++) {
            double g = gain(l, i);
            if (size_of(l, i, 1) <= left && g > most) {
                most = g;
                best = i;
            }
        }
        if (best == l->matrices.count)
            return;
        l->rank[best]++;
        left -= size_of(l, best, 1);
    }
}

static bool allocate(const lowering *l)
{
    double keep = tegu_option_float(l->env->options, "keep");
    const char *how = tegu_option_text(l->env->options, "allocate");

    if (!strcmp(how, "loss")) {
        allocate_by_loss(l, keep);
        return true;
    }
    for (uint32_t i = 0; i < l->matrices.count; i++)
        l->rank[i] = tegu_kept_rank(l->matrices.data[i].out,
                                    l->matrices.data[i].in, keep);
    return !strcmp(how, "uniform") ||
           tegu_error(l->unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "ranks are allocated uniform or by loss, not '%s'",
                      tegu_escaped(l->env->scratch, how, strlen(how)));
}

/* --- measuring --- */

typedef struct comparing {
    const lowering *l;
    tegu_site_request *requests; /* per matrix: W x, and its error */
} comparing;

static tegu_value build_linear(tegu_graph *g, tegu_loc loc, tegu_value x,
                               tegu_value w)
{
    tegu_value inputs[] = {x, w};

    return tegu_build(g, loc, TEGU_OP_LINEAR, 2, inputs, 0, NULL, NULL);
}

/* A parameter of the unit in the copy, which lacks its axes. */
static tegu_value build_param(const lowering *l, tegu_graph *g,
                              const char *name)
{
    tegu_param param = *tegu_unit_find_param(l->unit, name);
    uint32_t index;
    const int64_t dims[] = {param.type->dims[0].offset,
                            param.type->dims[1].offset};

    param.type = tegu_unit_shape(g->unit, TEGU_F32, 2, dims);
    if (!tegu_unit_add_param(g->unit, &param, &index))
        return 0;
    return tegu_build_param(g, param.loc, name);
}

/* Beside each factored linear: its value without bias, and its error. */
static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    const comparing *c = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);
    tegu_graph *g = rw->into;

    for (uint32_t i = 0; i < c->l->matrices.count; i++) {
        const tegu_replacement *r = &c->l->replacements[i];
        tegu_value x, thin, y;
        if (c->l->matrices.data[i].linear != v)
            continue;
        x = rw->map[node->inputs[0]];
        thin = build_linear(g, node->loc, x, build_param(c->l, g, r->inner));
        thin = build_linear(g, node->loc, thin, build_param(c->l, g, r->outer));
        y = build_linear(g, node->loc, x, rw->map[node->inputs[1]]);
        c->requests[2 * i].value = y;
        c->requests[2 * i + 1].value =
            tegu_build_binary(g, node->loc, TEGU_OP_SUB, y, thin);
    }
    return tegu_rewriter_copy(rw, v);
}

static double sum_square(const tegu_site_stats *stats)
{
    double sum = 0;

    for (int64_t i = 0; i < stats->columns; i++)
        sum += stats->sum_square[i];
    return sum;
}

/* |dW x|^2 / |W x|^2 over the calibration tokens, by running both. */
static bool measure(const lowering *l)
{
    tegu_arena *scratch = l->env->scratch;
    uint32_t count = l->matrices.count;
    comparing c = {l, TEGU_ARRAY(scratch, tegu_site_request, 2 * count)};
    tegu_site_stats *stats = TEGU_ARRAY(scratch, tegu_site_stats, 2 * count);
    tegu_entry *step = tegu_unit_find_entry(l->original, "step");

    step->graph = tegu_graph_rewrite(step->graph, TEGU_LEVEL_MODEL, visit, &c);
    if (!step->graph || !tegu_calibrate(l->original, l->data, scratch,
                                        c.requests, 2 * count, 0, stats))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        double all = sum_square(&stats[2 * i]);
        l->measured[i] = all > 0 ? sum_square(&stats[2 * i + 1]) / all : 0;
    }
    return true;
}

static void report(const lowering *l, bool measured)
{
    for (uint32_t i = 0; i < l->matrices.count; i++) {
        const tegu_matrix *m = &l->matrices.data[i];
        const tegu_figure figures[] = {
            {"rank", (double)l->rank[i]},
            {"of", (double)l->factors[i].full},
            {"predicted_error", l->factors[i].lost[l->rank[i]]},
            {"measured_error", l->measured[i]},
        };
        tegu_report_site(l->env, m->weight, figures, measured ? 4 : 3);
    }
}

/* --- the pass --- */

static bool factor_all(const lowering *l)
{
    for (uint32_t next = 0; next < l->matrices.count;)
        if (!factor_some(l, next, &next))
            return false;
    if (!allocate(l))
        return false;
    for (uint32_t i = 0; i < l->matrices.count; i++)
        if (!tegu_factor_store(l->unit, &l->factors[i], l->rank[i],
                               l->env->scratch, &l->replacements[i]))
            return false;
    return true;
}

tegu_outcome tegu_pass_low_rank(tegu_unit *unit, tegu_pass_env *env)
{
    lowering l = {.unit = unit, .env = env};
    const char *targets = tegu_option_text(env->options, "targets");
    bool measured = tegu_option_bool(env->options, "measure");
    uint32_t count;

    if (!tegu_find_matrices(unit, targets, env->scratch, &l.matrices))
        return TEGU_FAILED;
    l.data = tegu_pass_calibration(unit, env);
    if (!l.data)
        return TEGU_FAILED;
    count = l.matrices.count;
    l.original = tegu_unit_clone(unit, env->scratch);
    l.factors = TEGU_ARRAY(env->scratch, tegu_factors, count);
    l.rank = TEGU_ARRAY(env->scratch, int64_t, count);
    l.replacements = TEGU_ARRAY(env->scratch, tegu_replacement, count);
    l.measured = TEGU_ARRAY(env->scratch, double, count);
    if (!factor_all(&l) || (measured && !measure(&l)))
        return TEGU_FAILED;
    report(&l, measured);
    return tegu_replace_weights(unit, env->scratch, l.replacements, count)
               ? TEGU_CHANGED
               : TEGU_FAILED;
}
