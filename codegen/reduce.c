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

typedef struct reduction reduction;
struct reduction {
    const tegu_node *node;
    tegu_dim extents[TEGU_MAX_RANK]; /* of the axes that disappear */
    tegu_index inner[TEGU_MAX_RANK]; /* present index on each of them */
    uint32_t axes;
    LLVMValueRef greatest; /* argmax: known in the second round */
    /* Takes one element into the accumulator. */
    void (*step)(tegu_nest *n, const reduction *r, LLVMValueRef *acc);
    tegu_index a[TEGU_MAX_RANK], b[TEGU_MAX_RANK]; /* operands' indices */
    uint32_t slot_a[TEGU_MAX_RANK], slot_b[TEGU_MAX_RANK];
};

/* Loops over the axes from `axis` inwards; acc holds the value before and
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
    tegu_nest_loop_begin(n, &l, tegu_emit_int(n->e, 0),
                         tegu_nest_extent(n, r->extents[axis]),
                         tegu_nest_bound(n, r->extents[axis]) - 1, 1, acc);
    r->inner[axis] = tegu_index_atom(l.atom);
    LLVMValueRef next = l.loop.value[0];
    accumulate(n, r, axis + 1, &next);
    tegu_nest_loop_end(n, &l, &next);
    *acc = l.loop.value[0];
}

/* ---- reduce ---- */

static void reduce_step(tegu_nest *n, const reduction *r, LLVMValueRef *acc)
{
    tegu_index at[TEGU_MAX_RANK];
    memcpy(at, r->a, sizeof at);
    for (uint32_t i = 0; i < r->axes; i++)
        at[r->slot_a[i]] = r->inner[i];
    LLVMValueRef x = tegu_nest_value(n, r->node->inputs[0], at);
    *acc =
        tegu_scalar_combine(n->e, r->node->op, r->node->type->dtype, *acc, x);
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
    reduction r = {.node = node, .step = reduce_step};
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
    LLVMValueRef acc = tegu_scalar_neutral(n->e, node->op, node->type->dtype);
    accumulate(n, &r, 0, &acc);
    return acc;
}

/* ---- argmax ----
 * The greatest element first (a NaN if there is any), then the least index
 * where it stands: two reductions that LLVM vectorises, unlike one that
 * carries both. */

static LLVMValueRef element_along(tegu_nest *n, const reduction *r)
{
    tegu_index at[TEGU_MAX_RANK];
    memcpy(at, r->a, sizeof at);
    at[r->slot_a[0]] = r->inner[0];
    return tegu_nest_value(n, r->node->inputs[0], at);
}

static tegu_dtype input_dtype(const tegu_nest *n, const reduction *r)
{
    return tegu_graph_type(n->body, r->node->inputs[0])->dtype;
}

static void greatest_step(tegu_nest *n, const reduction *r, LLVMValueRef *acc)
{
    *acc = tegu_scalar_combine(n->e, TEGU_OP_REDUCE_MAX, input_dtype(n, r),
                               *acc, element_along(n, r));
}

/* x is the greatest: equal to it, or a NaN as it is. */
static LLVMValueRef stands_here(tegu_nest *n, const reduction *r,
                                LLVMValueRef x)
{
    LLVMBuilderRef b = n->e->builder;
    if (input_dtype(n, r) != TEGU_F32)
        return LLVMBuildICmp(b, LLVMIntEQ, x, r->greatest, "");
    LLVMValueRef equal = LLVMBuildFCmp(b, LLVMRealOEQ, x, r->greatest, "");
    LLVMValueRef nan = LLVMBuildFCmp(b, LLVMRealUNO, x, x, "");
    return LLVMBuildOr(b, equal, nan, "");
}

static void position_step(tegu_nest *n, const reduction *r, LLVMValueRef *acc)
{
    LLVMBuilderRef b = n->e->builder;
    LLVMValueRef here = stands_here(n, r, element_along(n, r));
    LLVMValueRef i =
        LLVMBuildTrunc(b, tegu_index_value(n, &r->inner[0]), n->e->i32, "");
    i = LLVMBuildSelect(b, here, i, LLVMConstInt(n->e->i32, INT32_MAX, 0), "");
    *acc = tegu_scalar_combine(n->e, TEGU_OP_REDUCE_MIN, TEGU_I32, *acc, i);
}

LLVMValueRef tegu_rule_argmax(tegu_nest *n, const tegu_node *node,
                              const tegu_index *at)
{
    const tegu_type *from = tegu_graph_type(n->body, node->inputs[0]);
    uint32_t axis = (uint32_t)tegu_node_int(node, "axis");
    reduction r = {.node = node, .step = greatest_step, .axes = 1};
    r.extents[0] = from->dims[axis];
    r.slot_a[0] = axis;
    for (uint32_t i = 0, next = 0; i < from->rank; i++)
        if (i != axis)
            r.a[i] = at[next++];
    r.greatest = tegu_scalar_neutral(n->e, TEGU_OP_REDUCE_MAX, from->dtype);
    accumulate(n, &r, 0, &r.greatest);
    LLVMValueRef none = LLVMConstInt(n->e->i32, INT32_MAX, 0), first = none;
    r.step = position_step;
    accumulate(n, &r, 0, &first);
    LLVMValueRef empty =
        LLVMBuildICmp(n->e->builder, LLVMIntEQ, first, none, "");
    return LLVMBuildSelect(n->e->builder, empty, LLVMConstInt(n->e->i32, 0, 0),
                           first, "");
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
    *acc = tegu_scalar_combine(n->e, TEGU_OP_REDUCE_SUM, TEGU_F32, *acc,
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
    reduction r = {.node = node, .step = contract_step};
    uint32_t next = batch_a->as.ints.count;
    next = place_free(ta, batch_a, a, at, next, r.a);
    place_free(tb, batch_b, b, at, next, r.b);
    for (r.axes = 0; r.axes < a->as.ints.count; r.axes++) {
        r.slot_a[r.axes] = (uint32_t)a->as.ints.data[r.axes];
        r.slot_b[r.axes] = (uint32_t)b->as.ints.data[r.axes];
        r.extents[r.axes] = ta->dims[r.slot_a[r.axes]];
    }
    LLVMValueRef acc = tegu_scalar_neutral(n->e, TEGU_OP_REDUCE_SUM, TEGU_F32);
    accumulate(n, &r, 0, &acc);
    return acc;
}
