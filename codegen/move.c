/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Movement as arithmetic on indices (see nest.h): no op here touches data.
 * Where a value may not exist (padding, the other part of a concatenation)
 * the index is held inside the operand and the result selected, so that
 * loops stay free of branches; only an operand that may be empty is guarded
 * by a branch.
 */
#include "codegen/nest.h"

#include <string.h>

static const tegu_type *input_type(const tegu_nest *n, const tegu_node *node,
                                   uint32_t i)
{
    return tegu_graph_type(n->body, node->inputs[i]);
}

/* ---- reshape, transpose, slice ---- */

/* The next run of axes that both shapes split alike: [*i, end_i) of a and
 * [*j, end_j) of b have the same number of elements. */
static void next_group(const tegu_type *a, const tegu_type *b, uint32_t i,
                       uint32_t j, uint32_t *end_i, uint32_t *end_j)
{
    for (*end_i = i + 1; *end_i <= a->rank; ++*end_i)
        for (*end_j = j + 1; *end_j <= b->rank; ++*end_j) {
            tegu_dim p, q;
            if (tegu_dims_product(a->dims, i, *end_i, &p) &&
                tegu_dims_product(b->dims, j, *end_j, &q) &&
                tegu_dim_equal(p, q))
                return;
        }
    *end_i = a->rank;
    *end_j = b->rank;
}

LLVMValueRef tegu_rule_reshape(tegu_nest *n, const tegu_node *node,
                               const tegu_index *at)
{
    const tegu_type *to = node->type, *from = input_type(n, node, 0);
    tegu_index own[TEGU_MAX_RANK];
    uint32_t i = 0, j = 0, end_i, end_j;
    memset(own, 0, sizeof own);
    while (i < to->rank && j < from->rank) {
        next_group(to, from, i, j, &end_i, &end_j);
        tegu_index linear = tegu_index_join(n, at + i, to->dims + i, end_i - i);
        tegu_index_split(n, &linear, from->dims + j, end_j - j, own + j);
        i = end_i;
        j = end_j;
    }
    return tegu_nest_value(n, node->inputs[0], own);
}

LLVMValueRef tegu_rule_transpose(tegu_nest *n, const tegu_node *node,
                                 const tegu_index *at)
{
    const tegu_attr *perm = tegu_node_attr(node, "perm");
    tegu_index own[TEGU_MAX_RANK];
    for (uint32_t i = 0; i < node->type->rank; i++)
        own[perm->as.ints.data[i]] = at[i];
    return tegu_nest_value(n, node->inputs[0], own);
}

LLVMValueRef tegu_rule_slice(tegu_nest *n, const tegu_node *node,
                             const tegu_index *at)
{
    const tegu_type *from = input_type(n, node, 0);
    const int64_t *start = tegu_node_attr(node, "start")->as.ints.data;
    const int64_t *step = tegu_node_attr(node, "step")->as.ints.data;
    tegu_index own[TEGU_MAX_RANK];
    for (uint32_t i = 0; i < from->rank; i++) {
        tegu_index scaled = tegu_index_scale(&at[i], step[i]);
        tegu_index first = tegu_index_constant(start[i]);
        if (start[i] < 0)
            first = tegu_index_plus(n, &first, from->dims[i]);
        own[i] = tegu_index_add(n, &scaled, &first);
    }
    return tegu_nest_value(n, node->inputs[0], own);
}

/* ---- operands that cover only a part of the result ---- */

/* Input i of a node, needed where at[axis] - first lies inside it. */
typedef struct part {
    const tegu_node *node;
    uint32_t input;
    tegu_index at[TEGU_MAX_RANK];
} part;

static LLVMValueRef part_value(tegu_nest *n, void *data)
{
    const part *p = data;
    const tegu_type *t = input_type(n, p->node, p->input);
    tegu_index own[TEGU_MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++)
        own[i] = tegu_index_clamp(n, &p->at[i], t->dims[i]);
    return tegu_nest_value(n, p->node->inputs[p->input], own);
}

static bool may_be_empty(const tegu_nest *n, const tegu_type *t)
{
    for (uint32_t i = 0; i < t->rank; i++)
        if (tegu_nest_least(n, t->dims[i]) < 1)
            return true;
    return false;
}

/* The part's value where `inside` (NULL: everywhere) holds. */
static LLVMValueRef choose(tegu_nest *n, part *p, LLVMValueRef inside,
                           LLVMValueRef otherwise)
{
    if (!inside)
        return part_value(n, p);
    if (may_be_empty(n, input_type(n, p->node, p->input)))
        return tegu_nest_guard(n, inside, part_value, p, otherwise);
    LLVMValueRef value = part_value(n, p);
    return LLVMBuildSelect(n->e->builder, inside, value, otherwise, "");
}

static LLVMValueRef both(tegu_nest *n, LLVMValueRef a, LLVMValueRef b)
{
    return a && b ? LLVMBuildAnd(n->e->builder, a, b, "") : a ? a : b;
}

/* a >= 0, or a < dim; NULL when it always holds. */
static LLVMValueRef not_negative(tegu_nest *n, const tegu_index *a)
{
    int64_t lo, hi;
    tegu_index_range(n, a, &lo, &hi);
    if (lo >= 0)
        return NULL;
    return LLVMBuildICmp(n->e->builder, LLVMIntSGE, tegu_index_value(n, a),
                         tegu_emit_int(n->e, 0), "");
}

static LLVMValueRef below(tegu_nest *n, const tegu_index *a, tegu_dim dim)
{
    int64_t lo, hi;
    tegu_index_range(n, a, &lo, &hi);
    if (hi < tegu_nest_least(n, dim))
        return NULL;
    return LLVMBuildICmp(n->e->builder, LLVMIntSLT, tegu_index_value(n, a),
                         tegu_nest_extent(n, dim), "");
}

LLVMValueRef tegu_rule_pad(tegu_nest *n, const tegu_node *node,
                           const tegu_index *at)
{
    const tegu_type *from = input_type(n, node, 0);
    const int64_t *low = tegu_node_attr(node, "low")->as.ints.data;
    LLVMValueRef inside = NULL;
    part p = {.node = node};
    for (uint32_t i = 0; i < from->rank; i++) {
        tegu_index shift = tegu_index_constant(-low[i]);
        p.at[i] = tegu_index_add(n, &at[i], &shift);
        inside = both(n, inside, not_negative(n, &p.at[i]));
        inside = both(n, inside, below(n, &p.at[i], from->dims[i]));
    }
    return choose(
        n, &p, inside,
        tegu_nest_constant(n, from->dtype, tegu_node_float(node, "value")));
}

/* From the last input to the first: each covers what lies before its end. */
LLVMValueRef tegu_rule_concat(tegu_nest *n, const tegu_node *node,
                              const tegu_index *at)
{
    uint32_t rank = node->type->rank, count = node->input_count;
    int64_t axis = tegu_node_int(node, "axis");
    part p = {.node = node};
    tegu_index *first = TEGU_ARRAY(n->arena, tegu_index, count);
    memcpy(p.at, at, rank * sizeof *at);
    for (uint32_t i = 0; i + 1 < count; i++)
        first[i + 1] =
            tegu_index_plus(n, &first[i], input_type(n, node, i)->dims[axis]);
    LLVMValueRef value = NULL;
    for (uint32_t i = count; i-- > 0;) {
        tegu_dim extent = input_type(n, node, i)->dims[axis];
        tegu_index before = tegu_index_scale(&first[i], -1);
        p.input = i;
        p.at[axis] = tegu_index_add(n, &at[axis], &before);
        int64_t lo, hi;
        tegu_index_range(n, &p.at[axis], &lo, &hi);
        if (hi < 0 || lo >= tegu_nest_bound(n, extent))
            continue;
        LLVMValueRef inside = below(n, &p.at[axis], extent);
        if (!value)
            value = tegu_nest_constant(n, node->type->dtype, 0);
        value = choose(n, &p, inside, value);
    }
    return value ? value : tegu_nest_constant(n, node->type->dtype, 0);
}

/* ---- gather, append ---- */

LLVMValueRef tegu_rule_gather(tegu_nest *n, const tegu_node *node,
                              const tegu_index *at)
{
    const tegu_type *table = input_type(n, node, 0);
    const tegu_type *ids = input_type(n, node, 1);
    tegu_index own[TEGU_MAX_RANK];
    LLVMValueRef id = tegu_nest_value(n, node->inputs[1], at);
    if (ids->dtype != TEGU_I64)
        id = LLVMBuildSExt(n->e->builder, id, n->e->i64, "");
    tegu_index raw = tegu_index_given(n, id, INT64_MIN / 4, INT64_MAX / 4);
    own[0] = tegu_index_clamp(n, &raw, table->dims[0]);
    for (uint32_t i = 1; i < table->rank; i++)
        own[i] = at[ids->rank + i - 1];
    return tegu_nest_value(n, node->inputs[0], own);
}

/* The whole state after an append that cannot be done in place: row r is
 * row r - position of x where that exists, else the old one. */
LLVMValueRef tegu_rule_append(tegu_nest *n, const tegu_node *node,
                              const tegu_index *at)
{
    const tegu_type *x = input_type(n, node, 1);
    tegu_detour d;
    tegu_nest_enter(n, tegu_nest_home(n, NULL, 0), &d);
    LLVMValueRef negated = LLVMBuildNeg(n->e->builder, n->position, "");
    tegu_index back = tegu_index_given(n, negated, INT64_MIN / 4, 0);
    tegu_nest_leave(n, &d);
    part p = {.node = node, .input = 1};
    memcpy(p.at, at, x->rank * sizeof *at);
    p.at[0] = tegu_index_add(n, &at[0], &back);
    LLVMValueRef inside =
        both(n, not_negative(n, &p.at[0]), below(n, &p.at[0], x->dims[0]));
    LLVMValueRef old = tegu_nest_value(n, node->inputs[0], at);
    return choose(n, &p, inside, old);
}
