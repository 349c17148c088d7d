/* SPDX-License-Identifier: Apache-2.0 */
/* fold.c - evaluate constant subgraphs.
 *
 * Takes model or core graphs.  Replaces every value that depends on literals
 * and static iotas only, and has at most `limit` elements, by a literal with
 * what the interpreter computes.  Values that depend on parameters stay
 * expressions, however small: their data is evaluated when weights are
 * written, so that text never carries weights.  A literal that only repeats
 * one element is kept as a broadcast of it.
 */
#include "passes/passes.h"
#include <string.h>

/* Elements of the largest operand evaluated on the way to a small result. */
enum { OPERAND_MAX = 1 << 22 };

typedef struct folder {
    const bool *constant; /* per old value: literals and iotas only */
    tegu_arena *scratch;
    int64_t limit;
    bool changed;
} folder;

/* Per value: depends on CONST and static IOTA only. */
static bool *literal_values(const tegu_graph *g, tegu_arena *scratch)
{
    bool *literal = tegu_graph_constant(g, scratch);

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        literal[v] &= node->op != TEGU_OP_PARAM &&
                      tegu_type_elements(node->type) <= OPERAND_MAX;
        for (uint32_t i = 0; i < node->input_count; i++)
            literal[v] &= literal[node->inputs[i]];
    }
    return literal;
}

static bool is_uniform(const unsigned char *data, int64_t count, size_t size)
{
    for (int64_t i = 1; i < count; i++)
        if (memcmp(data, data + (size_t)i * size, size) != 0)
            return false;
    return count > 1;
}

/* The broadcast that `node` already is, or of a scalar literal. */
static tegu_value build_uniform(tegu_graph *into, const tegu_node *node,
                                const void *data)
{
    const tegu_type *scalar = tegu_unit_scalar(into->unit, node->type->dtype);
    tegu_value value = tegu_build_const(into, node->loc, scalar, data);

    return tegu_build(into, node->loc, TEGU_OP_BROADCAST, 1, &value, 0, NULL,
                      node->type);
}

static bool is_folded(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);

    if (tegu_op_kind_of(node->op) == TEGU_KIND_LEAF)
        return node->op != TEGU_OP_SIZE;
    return node->op == TEGU_OP_BROADCAST &&
           tegu_graph_node(g, node->inputs[0])->op == TEGU_OP_CONST &&
           tegu_graph_type(g, node->inputs[0])->rank == 0;
}

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    folder *f = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);
    int64_t count = tegu_type_elements(node->type);
    size_t size = tegu_dtype_bytes(node->type->dtype);
    void *data;

    if (!f->constant[v] || is_folded(rw->from, v) || count < 0 ||
        count > f->limit)
        return tegu_rewriter_copy(rw, v);
    data = tegu_arena_array(f->scratch, (size_t)count + 1, size);
    if (!tegu_interp_constant(rw->from, v, f->scratch, data))
        return 0;
    f->changed = true;
    if (is_uniform(data, count, size))
        return build_uniform(rw->into, node, data);
    return tegu_build_const(rw->into, node->loc, node->type, data);
}

static tegu_graph *fold_graph(tegu_graph *graph, tegu_pass_env *env)
{
    folder f = {.constant = literal_values(graph, env->scratch),
                .scratch = env->scratch,
                .limit = tegu_option_int(env->options, "limit")};
    tegu_graph *result = tegu_graph_rewrite(graph, graph->level, visit, &f);

    if (!result || !f.changed)
        return result ? graph : NULL;
    return tegu_graph_rewrite(result, graph->level, NULL, NULL);
}

tegu_outcome tegu_pass_fold(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, fold_graph);
}
