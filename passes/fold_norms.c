/* SPDX-License-Identifier: Apache-2.0 */
/* fold_norms.c - move norm scales into the following weights.
 *
 * Takes model graphs.  Where every reader of an rms_norm is the first input of
 * a linear with constant weights,
 *   linear(rms_norm(x, w), W, b) = linear(x, W * w) * r + b,
 *   r = rsqrt(mean(x * x) + eps), one number per row (the mean by the norm's
 *   extent where it has one),
 * so that all linears of a norm share r, the product W * w is evaluated when
 * weights are written, and the normalised x is never stored (SliceGPT,
 * Ashkboos et al. 2024, section 3.1; see papers on rotations, which rest on
 * the same identity).  A norm with any other reader, and layer_norm, whose
 * mean is not a factor, stay.
 */
#include "passes/passes.h"

typedef struct folding {
    const bool *constant;
    bool *folded;        /* per old value: an rms_norm that goes away */
    tegu_value *factors; /* per old value: its r in the new graph */
} folding;

static bool is_linear_of(const folding *f, const tegu_graph *g, tegu_value u,
                         tegu_value norm)
{
    const tegu_node *node = tegu_graph_node(g, u);

    return node->op == TEGU_OP_LINEAR && node->inputs[0] == norm &&
           node->inputs[1] != norm && f->constant[node->inputs[1]];
}

/* Marks the norms that only linears read. */
static bool find_norms(folding *f, const tegu_graph *g, tegu_arena *scratch)
{
    uint32_t *uses = tegu_graph_uses(g, scratch);
    uint32_t *linears = TEGU_ARRAY(scratch, uint32_t, g->nodes.count);
    bool found = false;

    for (tegu_value u = 1; u < g->nodes.count; u++) {
        const tegu_node *node = tegu_graph_node(g, u);
        if (uses[u] && node->op == TEGU_OP_LINEAR &&
            is_linear_of(f, g, u, node->inputs[0]))
            linears[node->inputs[0]]++;
    }
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        f->folded[v] = node->op == TEGU_OP_RMS_NORM && uses[v] > 0 &&
                       uses[v] == linears[v] && !f->constant[v] &&
                       f->constant[node->inputs[1]];
        found |= f->folded[v];
    }
    return found;
}

/* The mean of x * x over the last axis, by the norm's extent; [.., 1] */
static tegu_value build_mean(tegu_graph *g, const tegu_node *norm, tegu_value x)
{
    int64_t last = (int64_t)tegu_graph_type(g, x)->rank - 1;
    int64_t extent = tegu_node_int(norm, "extent");
    tegu_op op = extent ? TEGU_OP_REDUCE_SUM : TEGU_OP_MEAN;
    tegu_attr attrs[] = {tegu_attr_of_ints(g->unit, op, "axes", &last, 1),
                         tegu_attr_of_bool(op, "keep", true)};
    tegu_value square = tegu_build_binary(g, norm->loc, TEGU_OP_MUL, x, x);
    tegu_value mean = tegu_build(g, norm->loc, op, 1, &square, 2, attrs, NULL);
    tegu_value part;

    if (!extent)
        return mean;
    part = tegu_build_scalar(g, norm->loc, TEGU_F32, 1.0 / (double)extent);
    return tegu_build_binary(g, norm->loc, TEGU_OP_MUL, mean, part);
}

/* rsqrt(mean(x * x) + eps), [.., 1] */
static tegu_value build_factor(tegu_graph *g, const tegu_node *norm,
                               tegu_value x)
{
    tegu_value mean = build_mean(g, norm, x);
    tegu_value eps =
        tegu_build_scalar(g, norm->loc, TEGU_F32, tegu_node_float(norm, "eps"));

    return tegu_build_unary(
        g, norm->loc, TEGU_OP_RSQRT,
        tegu_build_binary(g, norm->loc, TEGU_OP_ADD, mean, eps));
}

static tegu_value build_linear(tegu_rewriter *rw, const tegu_node *linear)
{
    const folding *f = rw->data;
    tegu_graph *g = rw->into;
    const tegu_node *norm = tegu_graph_node(rw->from, linear->inputs[0]);
    tegu_value x = rw->map[linear->inputs[0]];
    tegu_value weight =
        tegu_build_binary(g, linear->loc, TEGU_OP_MUL,
                          rw->map[linear->inputs[1]], rw->map[norm->inputs[1]]);
    tegu_value inputs[] = {x, weight};
    tegu_value y =
        tegu_build(g, linear->loc, TEGU_OP_LINEAR, 2, inputs, 0, NULL, NULL);

    y = tegu_build_binary(g, linear->loc, TEGU_OP_MUL, y,
                          f->factors[linear->inputs[0]]);
    if (linear->input_count < 3)
        return y;
    return tegu_build_binary(g, linear->loc, TEGU_OP_ADD, y,
                             rw->map[linear->inputs[2]]);
}

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    folding *f = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);

    if (f->folded[v]) {
        tegu_value x = rw->map[node->inputs[0]];
        f->factors[v] = build_factor(rw->into, node, x);
        return f->factors[v] ? x : 0;
    }
    if (node->op == TEGU_OP_LINEAR && f->folded[node->inputs[0]])
        return build_linear(rw, node);
    return tegu_rewriter_copy(rw, v);
}

static tegu_graph *fold_scales(tegu_graph *graph, tegu_pass_env *env)
{
    uint32_t count = graph->nodes.count;
    folding f = {.constant = tegu_graph_constant(graph, env->scratch),
                 .folded = TEGU_ARRAY(env->scratch, bool, count),
                 .factors = TEGU_ARRAY(env->scratch, tegu_value, count)};

    if (!find_norms(&f, graph, env->scratch))
        return graph;
    return tegu_graph_rewrite(graph, graph->level, visit, &f);
}

tegu_outcome tegu_pass_fold_norms(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, fold_scales);
}
