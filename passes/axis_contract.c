/* SPDX-License-Identifier: Apache-2.0 */
/* axis_contract.c - how contractions take part in an axis' run.
 *
 * Takes a flow whose constants and carried values are known.  A contraction
 * reads the axis where it sums over a carried value's last dimension, writes
 * it where its result's last dimension is a weight's, and mixes rows where
 * that is a carried value's own.  A weight is a constant, whatever its rank,
 * or what a gather takes of one (the experts that tokens chose).  Changes
 * nothing but `carried`.
 */
#include "passes/axis.h"
#include "passes/contract.h"

static uint32_t rank_of(const tegu_graph *g, const tegu_node *node,
                        uint32_t operand)
{
    return tegu_graph_type(g, node->inputs[operand])->rank;
}

/* The operand and its axis that make the result's last dimension; false: both
 * operands do. */
static bool last_source(const tegu_graph *g, const tegu_node *node,
                        uint32_t *operand, uint32_t *axis)
{
    int axes[2];

    tegu_contract_source(g, node, node->type->rank - 1, axes);
    *operand = axes[0] < 0;
    *axis = (uint32_t)axes[*operand];
    return axes[0] < 0 || axes[1] < 0;
}

bool tegu_axis_mixes(const tegu_axis_flow *f, tegu_value v, uint32_t *stream)
{
    const tegu_node *node = tegu_graph_node(f->graph, v);
    uint32_t axis;

    return node->op == TEGU_OP_CONTRACT &&
           last_source(f->graph, node, stream, &axis) &&
           f->carried[node->inputs[*stream]] &&
           axis + 1 == rank_of(f->graph, node, *stream) &&
           !f->carried[node->inputs[1 - *stream]];
}

/* --- weights --- */

static bool is_chosen(const tegu_axis_flow *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->graph, v);

    return node->op == TEGU_OP_GATHER && f->constant[node->inputs[0]] &&
           !f->constant[v];
}

/* Axis k of what a weight's operand is, as an axis of the constant; -1: it
 * counts the rows gathered. */
static int constant_axis(const tegu_graph *g, const tegu_axis_stack *s, int k)
{
    int rows = s->rows ? (int)tegu_graph_type(g, s->rows)->rank : 0;

    if (!s->rows || k < 0)
        return k;
    return k < rows ? -1 : k - rows + 1;
}

/* The axis of the weight that is summed with the stream's last one. */
static int summed_with(const tegu_axis_flow *f, const tegu_node *node,
                       uint32_t weight)
{
    bool summed;
    int at = tegu_contract_partner(
        node, 1 - weight, rank_of(f->graph, node, 1 - weight) - 1, &summed);

    return summed ? at : -1;
}

static bool stack_at(const tegu_axis_flow *f, tegu_value v, uint32_t operand,
                     tegu_axis_stack *s)
{
    const tegu_node *node = tegu_graph_node(f->graph, v);
    tegu_value weight = node->inputs[operand];
    uint32_t source, axis;

    *s = (tegu_axis_stack){
        .operand = operand, .weight = weight, .reads = -1, .writes = -1};
    if (is_chosen(f, weight)) {
        s->weight = tegu_graph_node(f->graph, weight)->inputs[0];
        s->rows = tegu_graph_node(f->graph, weight)->inputs[1];
    }
    if (!f->constant[s->weight])
        return false;
    if (f->carried[node->inputs[1 - operand]])
        s->reads = constant_axis(f->graph, s, summed_with(f, node, operand));
    if (f->carried[v] && last_source(f->graph, node, &source, &axis) &&
        source == operand)
        s->writes = constant_axis(f->graph, s, (int)axis);
    return (s->reads >= 0) == f->carried[node->inputs[1 - operand]] &&
           (s->writes >= 0) == f->carried[v] &&
           (s->reads >= 0 || s->writes >= 0);
}

bool tegu_axis_find_stack(const tegu_axis_flow *f, tegu_value v,
                          tegu_axis_stack *stack)
{
    return tegu_graph_node(f->graph, v)->op == TEGU_OP_CONTRACT &&
           (stack_at(f, v, 1, stack) || stack_at(f, v, 0, stack));
}

void tegu_axis_set_weights_apart(tegu_axis_flow *f)
{
    const tegu_graph *g = f->graph;
    uint32_t *weighs = TEGU_ARRAY(f->arena, uint32_t, g->nodes.count);

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (!f->uses[v] || node->op != TEGU_OP_CONTRACT)
            continue;
        for (uint32_t i = 0; i < 2; i++)
            weighs[node->inputs[i]] += !f->constant[node->inputs[1 - i]];
    }
    for (tegu_value v = 1; v < g->nodes.count; v++)
        if (is_chosen(f, v) && weighs[v] == f->uses[v])
            f->carried[v] = false;
}
