/* SPDX-License-Identifier: Apache-2.0 */
/* narrow.c - compute only the rows that are wanted.
 *
 * Takes    model graphs.  Where every reader of a value wants the same slice of
 *          its rows (axis 0), as `last` does before a language model's head,
 *          and the value's op is row-wise (row r of the result depends on row r
 *          of its operands), the op is computed on that slice alone.
 * How      demands go backwards from the slices: nothing, one slice, or all.
 *          Then the graph is rebuilt; a narrowed op slices those operands whose
 *          other readers want more.
 * Leaves   attention, rope, state: their rows are not independent of their
 *          place.
 */
#include "passes/passes.h"

/* The rows that are wanted of a value. */
typedef struct demand {
    enum { NOTHING, ROWS, ALL } kind;
    int64_t start; /* ROWS: as in the slice's attribute */
    tegu_dim extent;
} demand;

typedef struct narrowing {
    demand *demands; /* per old value */
} narrowing;

static bool same_rows(const demand *a, const demand *b)
{
    return a->start == b->start && tegu_dim_equal(a->extent, b->extent);
}

static void want(demand *of, demand wanted)
{
    if (of->kind == NOTHING)
        *of = wanted;
    else if (of->kind != wanted.kind ||
             (of->kind == ROWS && !same_rows(of, &wanted)))
        of->kind = ALL;
}

/* True for a slice of axis 0 alone, in steps of 1. */
static bool slices_rows(const tegu_graph *g, const tegu_node *node)
{
    if (node->op != TEGU_OP_SLICE || !node->type->rank)
        return false;
    const tegu_type *from = tegu_graph_type(g, node->inputs[0]);
    const int64_t *start = tegu_node_attr(node, "start")->as.ints.data;
    const int64_t *step = tegu_node_attr(node, "step")->as.ints.data;
    for (uint32_t d = 0; d < from->rank; d++)
        if (step[d] != 1 ||
            (d && (start[d] != 0 ||
                   !tegu_dim_equal(from->dims[d], node->type->dims[d]))))
            return false;
    return true;
}

/* True when the operand runs along with the result's rows. */
static bool has_rows(const tegu_type *operand, const tegu_type *result)
{
    return operand->rank == result->rank && operand->rank &&
           tegu_dim_equal(operand->dims[0], result->dims[0]);
}

/* True for a slice of other axes than axis 0. */
static bool keeps_rows(const tegu_graph *g, const tegu_node *node)
{
    return has_rows(tegu_graph_type(g, node->inputs[0]), node->type) &&
           tegu_node_attr(node, "start")->as.ints.data[0] == 0 &&
           tegu_node_attr(node, "step")->as.ints.data[0] == 1;
}

/* True when row r of the result depends on row r of operand i, and on all of
 * the operands for which this is false. */
static bool row_wise(const tegu_graph *g, const tegu_node *node, uint32_t i)
{
    const tegu_type *operand = tegu_graph_type(g, node->inputs[i]);
    const tegu_type *result = node->type;
    switch (node->op) {
    case TEGU_OP_LINEAR:
    case TEGU_OP_RMS_NORM:
    case TEGU_OP_LAYER_NORM:
    case TEGU_OP_SOFTMAX: return i == 0 && operand->rank >= 2;
    case TEGU_OP_EMBED: return i == 0;
    case TEGU_OP_RELU:
    case TEGU_OP_SILU:
    case TEGU_OP_GELU:
    case TEGU_OP_GELU_TANH: return true;
    case TEGU_OP_SLICE: return keeps_rows(g, node);
    case TEGU_OP_RESHAPE:
        return operand->rank && result->rank &&
               tegu_dim_equal(operand->dims[0], result->dims[0]);
    default:
        return (tegu_op_kind_of(node->op) == TEGU_KIND_MAP ||
                node->op == TEGU_OP_SWIGLU) &&
               has_rows(operand, result);
    }
}

static bool any_row_wise(const tegu_graph *g, const tegu_node *node)
{
    for (uint32_t i = 0; i < node->input_count; i++)
        if (row_wise(g, node, i))
            return true;
    return false;
}

static void demand_operands(const tegu_graph *g, const tegu_node *node,
                            demand *demands, demand own)
{
    const demand all = {.kind = ALL};
    if (own.kind == ALL && slices_rows(g, node)) {
        const int64_t *start = tegu_node_attr(node, "start")->as.ints.data;
        want(&demands[node->inputs[0]],
             (demand){ROWS, start[0], node->type->dims[0]});
        return;
    }
    for (uint32_t i = 0; i < node->input_count; i++)
        want(&demands[node->inputs[i]],
             own.kind == ROWS && row_wise(g, node, i) ? own : all);
}

/* Fills the demands; true when some op can be narrowed. */
static bool find_demands(const tegu_graph *g, demand *demands)
{
    bool found = false;
    for (uint32_t i = 0; i < g->results.count; i++)
        demands[g->results.data[i].value].kind = ALL;
    for (uint32_t i = 0; i < g->updates.count; i++)
        demands[g->updates.data[i].value].kind = ALL;
    for (tegu_value v = g->nodes.count - 1; v > 0; v--) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (demands[v].kind == NOTHING)
            continue;
        if (demands[v].kind == ROWS && !any_row_wise(g, node))
            demands[v].kind = ALL;
        found |= demands[v].kind == ROWS;
        demand_operands(g, node, demands, demands[v]);
    }
    return found;
}

/* The wanted rows of the new value of `v`, which has them all. */
static tegu_value slice(tegu_rewriter *rw, tegu_value v, const demand *rows,
                        tegu_loc loc)
{
    tegu_unit *unit = rw->into->unit;
    tegu_type type = *tegu_graph_type(rw->into, rw->map[v]);
    int64_t start[TEGU_MAX_RANK] = {rows->start}, step[TEGU_MAX_RANK];
    type.dims[0] = rows->extent;
    for (uint32_t d = 0; d < type.rank; d++)
        step[d] = 1;
    tegu_attr attrs[] = {
        tegu_attr_of_ints(unit, TEGU_OP_SLICE, "start", start, type.rank),
        tegu_attr_of_ints(unit, TEGU_OP_SLICE, "step", step, type.rank)};
    return tegu_build(rw->into, loc, TEGU_OP_SLICE, 1, &rw->map[v], 2, attrs,
                      tegu_unit_type(unit, &type));
}

static tegu_value narrow(tegu_rewriter *rw, tegu_value v, const demand *rows)
{
    const narrowing *n = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);
    tegu_unit *unit = rw->into->unit;
    tegu_value *inputs = TEGU_ARRAY(unit->arena, tegu_value, node->input_count);
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_value old = node->inputs[i];
        inputs[i] = rw->map[old];
        if (row_wise(rw->from, node, i) && n->demands[old].kind != ROWS)
            inputs[i] = slice(rw, old, rows, node->loc);
    }
    tegu_type type = *node->type;
    type.dims[0] = rows->extent;
    tegu_node_spec spec = tegu_node_spec_of(node, inputs);
    spec.type = tegu_unit_type(unit, &type);
    return tegu_graph_add(rw->into, &spec);
}

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    const narrowing *n = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);
    if (n->demands[v].kind == ROWS)
        return narrow(rw, v, &n->demands[v]);
    if (slices_rows(rw->from, node) && n->demands[node->inputs[0]].kind == ROWS)
        return rw->map[node->inputs[0]];
    return tegu_rewriter_copy(rw, v);
}

static tegu_graph *narrow_graph(tegu_graph *graph, tegu_pass_env *env)
{
    narrowing n = {.demands =
                       TEGU_ARRAY(env->scratch, demand, graph->nodes.count)};
    if (!find_demands(graph, n.demands))
        return graph;
    return tegu_graph_rewrite(graph, graph->level, visit, &n);
}

tegu_outcome tegu_pass_narrow(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, narrow_graph);
}
