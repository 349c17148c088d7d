/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions and contractions inside loop kernels (see nest.h): loops over
 * the axes that disappear, with the accumulators carried as phis.  Sums of
 * floats may be reordered (docs/ir.md, Numerics), which lets LLVM vectorise
 * them; everything else is exact in any order.
 */
#include "codegen/nest.h"

#include <string.h>

#include "codegen/scalar.h"

enum { ACCUMULATORS = 2 };

typedef struct reduction reduction;
struct reduction {
    const tegu_node *node;
    tegu_dim extents[TEGU_MAX_RANK]; /* of the axes that disappear */
    tegu_index inner[TEGU_MAX_RANK]; /* present index on each of them */
    uint32_t axes;
    unsigned count; /* accumulators */
    /* Takes in one element. */
    void (*step)(tegu_nest *n, const reduction *r, LLVMValueRef *acc);
    tegu_index a[TEGU_MAX_RANK], b[TEGU_MAX_RANK]; /* operands' indices */
    uint32_t slot_a[TEGU_MAX_RANK], slot_b[TEGU_MAX_RANK];
};

/* Loops over the axes from `axis` inwards; acc holds the values before and
 * after. */
static void accumulate(tegu_nest *n, reduction *r, uint32_t axis,
                       LLVMValueRef *acc)
{
    tegu_nest_loop l;
    if (axis == r->axes) {
        r->step(n, r, acc);
        return;
    }
    if (tegu_dim_is_one(r->extents[axis])) {
        r->inner[axis] = tegu_index_constant(0);
        accumulate(n, r, axis + 1, acc);
        return;
    }
    tegu_nest_loop_begin(
        n, &l, tegu_emit_int(n->e, 0), tegu_nest_extent(n, r->extents[axis]),
        tegu_nest_bound(n, r->extents[axis]) - 1, r->count, acc);
    r->inner[axis] = tegu_index_atom(l.atom);
    LLVMValueRef next[ACCUMULATORS];
    memcpy(next, l.loop.value, r->count * sizeof *next);
    accumulate(n, r, axis + 1, next);
    tegu_nest_loop_end(n, &l, next);
    memcpy(acc, l.loop.value, r->count * sizeof *acc);
}

/* ---- reduce ---- */

static void reduce_step(tegu_nest *n, const reduction *r, LLVMValueRef *acc)
{
    tegu_index at[TEGU_MAX_RANK];
    memcpy(at, r->a, sizeof at);
    for (uint32_t i = 0; i < r->axes; i++)
        at[r->slot_a[i]] = r->inner[i];
    LLVMValueRef x = tegu_nest_value(n, r->node->inputs[0], at);
    acc[0] =
        tegu_scalar_combine(n->e, r->node->op, r->node->type->dtype, acc[0], x);
}

static bool contains(const tegu_attr *ints, int64_t axis)
{
    for (uint32_t i = 0; i < ints->as.ints.count; i++)
        if (ints->as.ints.data[i] == axis)
            return true;
    return false;
}

LLVMValueRef tegu_rule_reduce(tegu_nest *n, const tegu_node *node,
                              const tegu_index *at)
{
    const tegu_type *from = tegu_graph_type(n->body, node->inputs[0]);
    const tegu_attr *axes = tegu_node_attr(node, "axes");
    bool keep = tegu_node_bool(node, "keep");
    reduction r = {.node = node, .count = 1, .step = reduce_step};
    uint32_t next = 0;
    for (uint32_t i = 0; i < from->rank; i++) {
        bool reduced = contains(axes, i);
        if (reduced) {
            r.slot_a[r.axes] = i;
            r.extents[r.axes++] = from->dims[i];
        } else {
            r.a[i] = at[next];
        }
        next += !reduced || keep;
    }
    LLVMValueRef acc[ACCUMULATORS] = {
        tegu_scalar_neutral(n->e, node->op, node->type->dtype)};
    accumulate(n, &r, 0, acc);
    return acc[0];
}

/* ---- argmax: the first greatest, a NaN being greater than all ---- */

static LLVMValueRef greater(tegu_nest *n, tegu_dtype dtype, LLVMValueRef x,
                            LLVMValueRef best)
{
    LLVMBuilderRef b = n->e->builder;
    if (dtype == TEGU_BOOL)
        return LLVMBuildICmp(b, LLVMIntUGT, x, best, "");
    if (dtype != TEGU_F32)
        return LLVMBuildICmp(b, LLVMIntSGT, x, best, "");
    LLVMValueRef more = LLVMBuildFCmp(b, LLVMRealUGT, x, best, "");
    LLVMValueRef real = LLVMBuildFCmp(b, LLVMRealORD, best, best, "");
    return LLVMBuildAnd(b, more, real, "");
}

static void argmax_step(tegu_nest *n, const reduction *r, LLVMValueRef *acc)
{
    LLVMBuilderRef b = n->e->builder;
    tegu_index at[TEGU_MAX_RANK];
    memcpy(at, r->a, sizeof at);
    at[r->slot_a[0]] = r->inner[0];
    tegu_dtype dtype = tegu_graph_type(n->body, r->node->inputs[0])->dtype;
    LLVMValueRef x = tegu_nest_value(n, r->node->inputs[0], at);
    LLVMValueRef i = tegu_index_value(n, &r->inner[0]);
    i = LLVMBuildTrunc(b, i, n->e->i32, "");
    LLVMValueRef more = greater(n, dtype, x, acc[0]);
    acc[0] = LLVMBuildSelect(b, more, x, acc[0], "");
    acc[1] = LLVMBuildSelect(b, more, i, acc[1], "");
}

LLVMValueRef tegu_rule_argmax(tegu_nest *n, const tegu_node *node,
                              const tegu_index *at)
{
    const tegu_type *from = tegu_graph_type(n->body, node->inputs[0]);
    uint32_t axis = (uint32_t)tegu_node_int(node, "axis");
    reduction r = {.node = node, .count = 2, .step = argmax_step, .axes = 1};
    r.extents[0] = from->dims[axis];
    r.slot_a[0] = axis;
    for (uint32_t i = 0, next = 0; i < from->rank; i++)
        if (i != axis)
            r.a[i] = at[next++];
    LLVMValueRef acc[ACCUMULATORS] = {
        tegu_scalar_neutral(n->e, TEGU_OP_REDUCE_MAX, from->dtype),
        LLVMConstInt(n->e->i32, 0, 0)};
    accumulate(n, &r, 0, acc);
    return acc[1];
}

/* ---- contract ---- */

static void contract_step(tegu_nest *n, const reduction *r, LLVMValueRef *acc)
{
    tegu_index a[TEGU_MAX_RANK], b[TEGU_MAX_RANK];
    memcpy(a, r->a, sizeof a);
    memcpy(b, r->b, sizeof b);
    for (uint32_t i = 0; i < r->axes; i++) {
        a[r->slot_a[i]] = r->inner[i];
        b[r->slot_b[i]] = r->inner[i];
    }
    LLVMValueRef x = tegu_nest_value(n, r->node->inputs[0], a);
    LLVMValueRef y = tegu_nest_value(n, r->node->inputs[1], b);
    acc[0] = tegu_scalar_combine(n->e, TEGU_OP_REDUCE_SUM, TEGU_F32, acc[0],
                                 tegu_emit_fmul(n->e, x, y));
}

/* Writes the result's indices on the free axes of one operand; the number
 * of result axes used so far is returned. */
static uint32_t place_free(const tegu_type *t, const tegu_attr *batch,
                           const tegu_attr *summed, const tegu_index *at,
                           uint32_t next, tegu_index *out)
{
    for (uint32_t i = 0; i < batch->as.ints.count; i++)
        out[batch->as.ints.data[i]] = at[i];
    for (uint32_t i = 0; i < t->rank; i++)
        if (!contains(batch, i) && !contains(summed, i))
            out[i] = at[next++];
    return next;
}

LLVMValueRef tegu_rule_contract(tegu_nest *n, const tegu_node *node,
                                const tegu_index *at)
{
    const tegu_type *ta = tegu_graph_type(n->body, node->inputs[0]);
    const tegu_type *tb = tegu_graph_type(n->body, node->inputs[1]);
    const tegu_attr *a = tegu_node_attr(node, "a");
    const tegu_attr *b = tegu_node_attr(node, "b");
    const tegu_attr *batch_a = tegu_node_attr(node, "batch_a");
    const tegu_attr *batch_b = tegu_node_attr(node, "batch_b");
    reduction r = {.node = node, .count = 1, .step = contract_step};
    uint32_t next = batch_a->as.ints.count;
    next = place_free(ta, batch_a, a, at, next, r.a);
    place_free(tb, batch_b, b, at, next, r.b);
    for (r.axes = 0; r.axes < a->as.ints.count; r.axes++) {
        r.slot_a[r.axes] = (uint32_t)a->as.ints.data[r.axes];
        r.slot_b[r.axes] = (uint32_t)b->as.ints.data[r.axes];
        r.extents[r.axes] = ta->dims[r.slot_a[r.axes]];
    }
    LLVMValueRef acc[ACCUMULATORS] = {
        tegu_scalar_neutral(n->e, TEGU_OP_REDUCE_SUM, TEGU_F32)};
    accumulate(n, &r, 0, acc);
    return acc[0];
}
