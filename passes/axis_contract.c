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

static const struct pairing {
    const char *summed, *batch;
} pairings[] = {{"a", "batch_a"}, {"b", "batch_b"}};

/* The place of `axis` in a list of axes; -1: it is not there. */
static int place_in(const tegu_node *node, const char *key, uint32_t axis)
{
    const tegu_attr *list = tegu_node_attr(node, key);

    for (uint32_t i = 0; i < list->as.ints.count; i++)
        if (list->as.ints.data[i] == (int64_t)axis)
            return (int)i;
    return -1;
}

static uint32_t rank_of(const tegu_graph *g, const tegu_node *node,
                        uint32_t operand)
{
    return tegu_graph_type(g, node->inputs[operand])->rank;
}

/* The operand's last dimension that the result has too, neither summed nor
 * run along; -1: none. */
static int last_free(const tegu_graph *g, const tegu_node *node,
                     uint32_t operand)
{
    for (uint32_t k = rank_of(g, node, operand); k-- > 0;)
        if (place_in(node, pairings[operand].summed, k) < 0 &&
            place_in(node, pairings[operand].batch, k) < 0)
            return (int)k;
    return -1;
}

/* The operand and its axis that make the result's last dimension; false: both
 * operands do. */
static bool last_source(const tegu_graph *g, const tegu_node *node,
                        uint32_t *operand, uint32_t *axis)
{
    for (*operand = 2; (*operand)-- > 0;) {
        int last = last_free(g, node, *operand);
        *axis = (uint32_t)last;
        if (last >= 0)
            return true;
    }
    return false;
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
    uint32_t stream = 1 - weight;
    int place = place_in(node, pairings[stream].summed,
                         rank_of(f->graph, node, stream) - 1);
    const tegu_attr *list = tegu_node_attr(node, pairings[weight].summed);

    return place < 0 ? -1 : (int)list->as.ints.data[place];
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
