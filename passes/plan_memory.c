/* SPDX-License-Identifier: Apache-2.0 */
/* plan_memory.c - workspace slots for what kernels compute.
 *
 * Takes kernel-level graphs.  Gives each kernel whose result needs workspace a
 * `slot` number; the size of a slot is the largest of its values for the
 * symbols of the call, and the workspace is the slots one after another, which
 * codegen computes.  Without a slot (-1) stay: results, which go straight to
 * the caller's buffer; appends, which write into the state; constants, which
 * lie in the weights.  The new value of a replaced state keeps its slot to
 * the end of the call, because the old one may still be read.
 *
 * Two values share a slot only when their lives, from the kernel that writes
 * one to the last kernel that reads it, do not touch.  Slots are given in
 * order of decreasing size, each value to the fitting slot that wastes least:
 * "greedy by size for shared objects" of Pisarchyk and Lee, Efficient Memory
 * Management for Deep Neural Net Inference, 2020, section 4.3.  Sizes are
 * compared at the symbols' upper bounds.
 */
#include "passes/passes.h"
#include <stdlib.h>

typedef struct interval {
    tegu_value value;
    uint32_t from, to; /* indices of nodes, both included */
    double bytes;      /* at the upper bounds */
    const tegu_type *type;
    int64_t slot;
} interval;

typedef struct plan {
    interval *values; /* by decreasing size */
    uint32_t count;
    int64_t *slots; /* per value of the graph; -1: none */
    uint32_t slot_count;
    tegu_arena *scratch;
} plan;

static double bytes_of(const tegu_unit *unit, const tegu_type *type)
{
    double bytes = (double)tegu_dtype_bytes(type->dtype);

    for (uint32_t i = 0; i < type->rank; i++) {
        int64_t lo = 0, hi = INT64_MAX;
        if (!tegu_dim_bounds(unit, type->dims[i], &lo, &hi))
            hi = INT64_MAX;
        bytes *= (double)hi;
    }
    return bytes;
}

/* Per value: 1 + the last node that reads it; results and updates live to the
 * end; 0: never read. */
static uint32_t *last_readers(const tegu_graph *g, tegu_arena *scratch)
{
    uint32_t *last = TEGU_ARRAY(scratch, uint32_t, g->nodes.count);

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        for (uint32_t i = 0; i < node->input_count; i++)
            last[node->inputs[i]] = v;
    }
    for (uint32_t i = 0; i < g->updates.count; i++)
        last[g->updates.data[i].value] = g->nodes.count;
    return last;
}

/* Marks values that need no workspace of their own. */
static bool *placed_elsewhere(const tegu_graph *g, tegu_arena *scratch)
{
    bool *elsewhere = tegu_graph_constant(g, scratch);

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        elsewhere[v] |= node->op != TEGU_OP_KERNEL || tegu_kernel_appends(node);
    }
    for (uint32_t i = 0; i < g->results.count; i++)
        elsewhere[g->results.data[i].value] = true;
    return elsewhere;
}

static int by_size(const void *a, const void *b)
{
    const interval *x = a, *y = b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->value < y->value ? -1 : 1;
}

static plan collect(const tegu_graph *g, tegu_arena *scratch)
{
    uint32_t *last = last_readers(g, scratch);
    bool *elsewhere = placed_elsewhere(g, scratch);
    plan p = {.values = TEGU_ARRAY(scratch, interval, g->nodes.count),
              .slots = TEGU_ARRAY(scratch, int64_t, g->nodes.count),
              .scratch = scratch};

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_type *type = tegu_graph_type(g, v);
        p.slots[v] = -1;
        if (elsewhere[v])
            continue;
        p.values[p.count++] = (interval){.value = v,
                                         .from = v,
                                         .to = last[v] > v ? last[v] : v,
                                         .bytes = bytes_of(g->unit, type),
                                         .type = type,
                                         .slot = -1};
    }
    qsort(p.values, p.count, sizeof *p.values, by_size);
    return p;
}

/* Whether `slot` is free for the i-th value; *same: it holds one of the same
 * type, *bytes: its size. */
static bool slot_is_free(const plan *p, uint32_t i, int64_t slot, bool *same,
                         double *bytes)
{
    const interval *v = &p->values[i];

    *same = false;
    *bytes = 0;
    for (uint32_t k = 0; k < i; k++) {
        const interval *w = &p->values[k];
        if (w->slot != slot)
            continue;
        if (w->from <= v->to && v->from <= w->to)
            return false;
        *same |= tegu_type_same_shape(v->type, w->type);
        *bytes = w->bytes > *bytes ? w->bytes : *bytes;
    }
    return true;
}

static void share_slots(plan *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        int64_t best = p->slot_count;
        double best_bytes = 0;
        bool best_same = false;
        for (int64_t s = 0; s < (int64_t)p->slot_count; s++) {
            bool same;
            double bytes;
            if (!slot_is_free(p, i, s, &same, &bytes))
                continue;
            if (best == (int64_t)p->slot_count || same > best_same ||
                (same == best_same && bytes < best_bytes)) {
                best = s;
                best_bytes = bytes;
                best_same = same;
            }
        }
        p->values[i].slot = best;
        p->slot_count += best == (int64_t)p->slot_count;
    }
}

static void separate_slots(plan *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        p->values[i].slot = p->values[i].value;
    p->slot_count = p->count;
}

/* Numbers the slots in the order in which the kernels first write them. */
static void number_slots(plan *p, uint32_t nodes)
{
    int64_t *number = TEGU_ARRAY(p->scratch, int64_t, nodes);
    int64_t next = 0;

    for (uint32_t i = 0; i < p->count; i++)
        p->slots[p->values[i].value] = p->values[i].slot;
    for (tegu_value v = 1; v < nodes; v++) {
        if (p->slots[v] < 0)
            continue;
        if (!number[p->slots[v]])
            number[p->slots[v]] = ++next;
        p->slots[v] = number[p->slots[v]] - 1;
    }
}

static tegu_value visit_kernel(tegu_rewriter *rw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(rw->from, v);
    const plan *p = rw->data;
    tegu_value *inputs;
    tegu_attr attrs[2];

    if (node->op != TEGU_OP_KERNEL)
        return tegu_rewriter_copy(rw, v);
    inputs = TEGU_ARRAY(p->scratch, tegu_value, node->input_count);
    for (uint32_t i = 0; i < node->input_count; i++)
        inputs[i] = rw->map[node->inputs[i]];
    attrs[0] = *tegu_node_attr(node, "family");
    attrs[1] = tegu_attr_of_int(TEGU_OP_KERNEL, "slot", p->slots[v]);
    tegu_node_spec spec = {.op = TEGU_OP_KERNEL,
                           .inputs = inputs,
                           .input_count = node->input_count,
                           .attrs = attrs,
                           .attr_count = 2,
                           .body = node->body,
                           .name = node->name,
                           .loc = node->loc};
    return tegu_graph_add(rw->into, &spec);
}

static tegu_graph *plan_graph(tegu_graph *graph, tegu_pass_env *env)
{
    bool reuse = tegu_option_bool(env->options, "reuse");
    plan p = collect(graph, env->scratch);
    bool changed = false;

    if (reuse)
        share_slots(&p);
    else
        separate_slots(&p);
    number_slots(&p, graph->nodes.count);
    for (tegu_value v = 1; v < graph->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(graph, v);
        changed |= node->op == TEGU_OP_KERNEL &&
                   tegu_node_int(node, "slot") != p.slots[v];
    }
    if (!changed)
        return graph;
    return tegu_graph_rewrite(graph, TEGU_LEVEL_KERNEL, visit_kernel, &p);
}

tegu_outcome tegu_pass_plan_memory(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, plan_graph);
}
