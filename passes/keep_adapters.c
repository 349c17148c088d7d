/* SPDX-License-Identifier: Apache-2.0 */
/* keep_adapters.c - compute adapters beside their weights.
 *
 * Takes    model graphs in which linear or embed read adapted weights.
 * Produces linear(x, w + s b a) = linear(x, w) + s ((x a^T) b^T), and for
 *          singlora (x a_in) a_out^T, where a_in and a_out are the prefixes of
 *          one matrix, or that matrix itself where the weight is square;
 *          embed(t, w + s b a) = embed(t, w) + s embed(t, b) a.
 *          Several adapters add up; a bias stays with the base.
 * Why      the base's weights stay as they are, to be shared or to switch
 *          adapters at run time, for 2 r (in + out) flops per token.
 * Refuses  dora, whose row lengths depend on the whole sum, and adapted
 *          weights that are read in other ways.
 */
#include "passes/adapted.h"

#include <inttypes.h>
#include <string.h>

typedef struct keeping {
    uint32_t linears, tables;
    double flops; /* per token */
    bool failed;
} keeping;

/* x [.., K] times m along m's axis `axis`. */
static tegu_value times(tegu_graph *g, tegu_loc loc, tegu_value x, tegu_value m,
                        int64_t axis)
{
    int64_t last = (int64_t)tegu_graph_type(g, x)->rank - 1;
    tegu_value inputs[] = {x, m};
    tegu_attr attrs[] = {
        tegu_attr_of_ints(g->unit, TEGU_OP_CONTRACT, "a", &last, 1),
        tegu_attr_of_ints(g->unit, TEGU_OP_CONTRACT, "b", &axis, 1)};

    return tegu_build(g, loc, TEGU_OP_CONTRACT, 2, inputs, 2, attrs, NULL);
}

static tegu_value linear(tegu_graph *g, tegu_loc loc, tegu_value x,
                         tegu_value w, tegu_value b)
{
    tegu_value inputs[] = {x, w, b};

    return tegu_build(g, loc, TEGU_OP_LINEAR, b ? 3 : 2, inputs, 0, NULL, NULL);
}

/* The thin products of one adapter, scaled. */
static tegu_value update(tegu_rewriter *rw, const tegu_node *user,
                         const tegu_node *adapter)
{
    tegu_graph *g = rw->into;
    tegu_loc loc = user->loc;
    bool single = adapter->op == TEGU_OP_SINGLORA;
    tegu_value a = rw->map[adapter->inputs[1]], y;
    tegu_value b = single ? a : rw->map[adapter->inputs[2]];
    int64_t rows = adapter->type->dims[0].offset;
    int64_t columns = adapter->type->dims[1].offset;

    if (single) {
        b = tegu_adapted_prefix(g, loc, a, rows);
        a = tegu_adapted_prefix(g, loc, a, columns);
    }
    if (user->op == TEGU_OP_EMBED) {
        tegu_value inputs[] = {rw->map[user->inputs[0]], b};
        y = tegu_build(g, loc, TEGU_OP_EMBED, 2, inputs, 0, NULL, NULL);
        y = y ? times(g, loc, y, a, single) : 0;
    } else {
        tegu_value x = rw->map[user->inputs[0]];
        y = single ? times(g, loc, x, a, 0) : linear(g, loc, x, a, 0);
        y = y ? linear(g, loc, y, b, 0) : 0;
    }
    return tegu_build_binary(
        g, loc, TEGU_OP_MUL, y,
        tegu_build_scalar(g, loc, TEGU_F32, tegu_node_float(adapter, "scale")));
}

static tegu_value keep(tegu_rewriter *rw, const tegu_node *user)
{
    keeping *k = rw->data;
    tegu_value v = user->inputs[1];
    tegu_value base = rw->map[tegu_adapted_base(rw->from, v)], y;
    tegu_value inputs[] = {rw->map[user->inputs[0]], base, 0};

    if (user->input_count == 3)
        inputs[2] = rw->map[user->inputs[2]];
    y = tegu_build(rw->into, user->loc, user->op, user->input_count, inputs, 0,
                   NULL, NULL);
    while (tegu_node_is_adapted(tegu_graph_node(rw->from, v))) {
        const tegu_node *adapter = tegu_graph_node(rw->from, v);
        y = tegu_build_binary(rw->into, user->loc, TEGU_OP_ADD, y,
                              update(rw, user, adapter));
        k->flops += 2 * (double)tegu_adapted_rank(rw->from, adapter) *
                    (double)(adapter->type->dims[0].offset +
                             adapter->type->dims[1].offset);
        v = adapter->inputs[0];
    }
    if (user->op == TEGU_OP_LINEAR)
        k->linears++;
    else
        k->tables++;
    return y;
}

/* Why an adapter on the way to the base cannot be kept; NULL: it can. */
static const char *obstacle(const tegu_graph *g, tegu_value v,
                            const tegu_node *user, uint32_t i)
{
    bool reads =
        (user->op == TEGU_OP_LINEAR || user->op == TEGU_OP_EMBED) && i == 1;

    if (tegu_node_is_adapted(user) && i == 0)
        return NULL; /* asked of the outermost */
    if (!reads)
        return "is read by an op other than linear and embed";
    for (; tegu_node_is_adapted(tegu_graph_node(g, v));
         v = tegu_graph_node(g, v)->inputs[0])
        if (tegu_graph_node(g, v)->op == TEGU_OP_DORA)
            return "is dora: its row lengths depend on the whole weight, so "
                   "only fold-adapters can take it";
    return NULL;
}

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(rw->from, v);

    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_value in = node->inputs[i];
        const char *why = NULL;
        if (tegu_node_is_adapted(tegu_graph_node(rw->from, in)))
            why = obstacle(rw->from, in, node, i);
        if (why) {
            tegu_error(rw->into->unit->diag, node->loc, TEGU_E_UNSUPPORTED,
                       "an adapted weight cannot be kept apart: it %s", why);
            return 0;
        }
    }
    if ((node->op == TEGU_OP_LINEAR || node->op == TEGU_OP_EMBED) &&
        tegu_node_is_adapted(tegu_graph_node(rw->from, node->inputs[1])))
        return keep(rw, node);
    return tegu_rewriter_copy(rw, v);
}

static tegu_graph *keep_graph(tegu_graph *graph, tegu_pass_env *env)
{
    keeping k = {0};
    tegu_graph *g = tegu_graph_rewrite(graph, graph->level, visit, &k);

    if (!g || k.linears + k.tables == 0)
        return g ? graph : NULL;
    tegu_text_printf(env->report,
                     "keep-adapters: %" PRIu32 " linears and %" PRIu32
                     " tables adapted beside the base, %.4g flops per token\n",
                     k.linears, k.tables, k.flops);
    return tegu_graph_rewrite(g, g->level, NULL, NULL);
}

tegu_outcome tegu_pass_keep_adapters(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, keep_graph);
}
