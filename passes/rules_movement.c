/* SPDX-License-Identifier: Apache-2.0 */
/* rules_movement.c - rewrite rules on movement, reductions, index and
 * contractions.
 *
 * Requirements on rules: rules.h.  Movement keeps every bit, so these rules
 * are exact; two reassociate sums or their zero's sign, which docs/ir.md
 * allows (reduce-reduce, reduce-units).
 */
#include "passes/rules.h"

#define X TEGU_P_ANY(0)
#define Y TEGU_P_ANY(1)
#define P TEGU_P

static const tegu_type *type_of(const tegu_match *m, tegu_value v)
{
    return tegu_graph_type(m->g, v);
}

static tegu_node input_node(const tegu_match *m, uint32_t i)
{
    return *tegu_graph_node(m->g, m->node.inputs[i]);
}

static const int64_t *ints(const tegu_node *node, const char *key)
{
    return tegu_node_attr(node, key)->as.ints.data;
}

static uint32_t int_count(const tegu_node *node, const char *key)
{
    return tegu_node_attr(node, key)->as.ints.count;
}

static tegu_value keep_if_same(const tegu_match *m)
{
    return tegu_type_equal(m->node.type, type_of(m, m->bound[0])) ? m->bound[0]
                                                                  : 0;
}

static tegu_value to_reshape(const tegu_match *m)
{
    return tegu_build_reshape(m->g, m->node.loc, m->bound[0], m->node.type);
}

static tegu_value to_broadcast(const tegu_match *m)
{
    return tegu_match_shaped(m, m->bound[0]);
}

/* --- transpose --- */

static tegu_value transpose_identity(const tegu_match *m)
{
    const int64_t *perm = ints(&m->node, "perm");

    for (uint32_t i = 0; i < m->node.type->rank; i++)
        if (perm[i] != i)
            return 0;
    return m->bound[0];
}

static tegu_value transpose_twice(const tegu_match *m)
{
    tegu_node inner = input_node(m, 0);
    const int64_t *outer = ints(&m->node, "perm");
    int64_t perm[TEGU_MAX_RANK];
    tegu_attr attr;

    for (uint32_t i = 0; i < m->node.type->rank; i++)
        perm[i] = ints(&inner, "perm")[outer[i]];
    attr = tegu_attr_of_ints(m->g->unit, TEGU_OP_TRANSPOSE, "perm", perm,
                             m->node.type->rank);
    return tegu_match_build(m, TEGU_OP_TRANSPOSE, 1, &m->bound[0], 1, &attr,
                            NULL);
}

/* Only axes of extent 1 change places. */
static tegu_value transpose_units(const tegu_match *m)
{
    const int64_t *perm = ints(&m->node, "perm");
    int64_t last = -1;

    for (uint32_t i = 0; i < m->node.type->rank; i++) {
        if (tegu_dim_is_one(m->node.type->dims[i]))
            continue;
        if (perm[i] < last)
            return 0;
        last = perm[i];
    }
    return to_reshape(m);
}

/* --- broadcast --- */

/* An operand need not be repeated when another one has the result's shape. */
static tegu_value broadcast_operand(const tegu_match *m)
{
    tegu_value inputs[3];
    uint32_t count = m->node.input_count;
    bool found = false;

    if (tegu_op_kind_of(m->node.op) != TEGU_KIND_MAP || count < 2)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        inputs[i] = m->node.inputs[i];
    for (uint32_t i = 0; i < count && !found; i++) {
        tegu_node operand = input_node(m, i);
        for (uint32_t k = 0; k < count; k++)
            found |= k != i && operand.op == TEGU_OP_BROADCAST &&
                     tegu_type_same_shape(type_of(m, inputs[k]), m->node.type);
        if (found)
            inputs[i] = operand.inputs[0];
    }
    if (!found)
        return 0;
    return tegu_match_build(m, m->node.op, count, inputs, 0, NULL, NULL);
}

/* Movement of one repeated number. */
static tegu_value move_uniform(const tegu_match *m)
{
    double number;
    bool moves = m->node.op == TEGU_OP_RESHAPE ||
                 m->node.op == TEGU_OP_TRANSPOSE || m->node.op == TEGU_OP_SLICE;

    if (!moves || !tegu_match_number(m->g, m->node.inputs[0], &number))
        return 0;
    return tegu_match_literal(m, number);
}

/* --- slice, pad, concat --- */

static tegu_value slice_full(const tegu_match *m)
{
    for (uint32_t i = 0; i < m->node.type->rank; i++)
        if (ints(&m->node, "start")[i] != 0 || ints(&m->node, "step")[i] != 1)
            return 0;
    return keep_if_same(m);
}

static tegu_value build_slice(const tegu_match *m, tegu_value x,
                              const int64_t *start, const int64_t *step,
                              const tegu_type *type)
{
    tegu_unit *unit = m->g->unit;
    tegu_attr attrs[] = {
        tegu_attr_of_ints(unit, TEGU_OP_SLICE, "start", start, type->rank),
        tegu_attr_of_ints(unit, TEGU_OP_SLICE, "step", step, type->rank)};

    return tegu_match_build(m, TEGU_OP_SLICE, 1, &x, 2, attrs, type);
}

/* Element i of the outer one is start1 + (start2 + i step2) step1. */
static tegu_value slice_twice(const tegu_match *m)
{
    tegu_node inner = input_node(m, 0);
    int64_t start[TEGU_MAX_RANK], step[TEGU_MAX_RANK];

    for (uint32_t i = 0; i < m->node.type->rank; i++) {
        int64_t s1 = ints(&inner, "start")[i], t1 = ints(&inner, "step")[i];
        int64_t s2 = ints(&m->node, "start")[i];
        int64_t t2 = ints(&m->node, "step")[i];
        if (s1 < 0 || s2 < 0 || __builtin_mul_overflow(s2, t1, &start[i]) ||
            __builtin_add_overflow(start[i], s1, &start[i]) ||
            __builtin_mul_overflow(t1, t2, &step[i]) || start[i] < 0)
            return 0;
    }
    return build_slice(m, m->bound[0], start, step, m->node.type);
}

/* The input of a concatenation that rows [first, first + n) of `axis` lie in;
 * *first becomes relative to it. */
static tegu_value part_of_concat(const tegu_match *m, const tegu_node *concat,
                                 int64_t axis, int64_t n, int64_t *first)
{
    for (uint32_t i = 0; i < concat->input_count; i++) {
        tegu_dim extent = type_of(m, concat->inputs[i])->dims[axis];
        if (!tegu_dim_is_static(extent))
            return 0;
        if (*first < extent.offset)
            return *first + n <= extent.offset ? concat->inputs[i] : 0;
        *first -= extent.offset;
    }
    return 0;
}

static tegu_value slice_concat(const tegu_match *m)
{
    tegu_node concat = input_node(m, 0);
    int64_t axis = tegu_node_int(&concat, "axis"), start[TEGU_MAX_RANK];
    tegu_dim extent = m->node.type->dims[axis];
    tegu_value part;

    for (uint32_t i = 0; i < m->node.type->rank; i++)
        start[i] = ints(&m->node, "start")[i];
    if (!tegu_dim_is_static(extent) || start[axis] < 0 ||
        ints(&m->node, "step")[axis] != 1 || extent.offset < 1)
        return 0;
    part = part_of_concat(m, &concat, axis, extent.offset, &start[axis]);
    if (!part)
        return 0;
    return build_slice(m, part, start, ints(&m->node, "step"), m->node.type);
}

static tegu_value pad_nothing(const tegu_match *m)
{
    for (uint32_t i = 0; i < m->node.type->rank; i++)
        if (ints(&m->node, "low")[i] || ints(&m->node, "high")[i])
            return 0;
    return m->bound[0];
}

static tegu_value concat_one(const tegu_match *m)
{
    return m->node.input_count == 1 ? m->bound[0] : 0;
}

static bool is_concat_along(const tegu_match *m, tegu_value v, int64_t axis)
{
    const tegu_node *node = tegu_graph_node(m->g, v);

    return node->op == TEGU_OP_CONCAT && tegu_node_int(node, "axis") == axis;
}

static tegu_value concat_nested(const tegu_match *m)
{
    int64_t axis = tegu_node_int(&m->node, "axis");
    tegu_value inputs[255];
    uint32_t count = 0;
    bool nested = false;

    for (uint32_t i = 0; i < m->node.input_count; i++) {
        tegu_node part = input_node(m, i);
        bool flat = is_concat_along(m, m->node.inputs[i], axis);
        uint32_t n = flat ? part.input_count : 1;
        if (n > 255 - count)
            return 0;
        for (uint32_t k = 0; k < n; k++)
            inputs[count++] = flat ? part.inputs[k] : m->node.inputs[i];
        nested |= flat;
    }
    if (!nested)
        return 0;
    return tegu_match_build(m, TEGU_OP_CONCAT, count, inputs, 1, m->node.attrs,
                            NULL);
}

/* --- reductions --- */

static bool is_reduction(tegu_op op)
{
    return op == TEGU_OP_REDUCE_SUM || op == TEGU_OP_REDUCE_MAX ||
           op == TEGU_OP_REDUCE_MIN;
}

static tegu_value reduce_units(const tegu_match *m)
{
    if (!is_reduction(m->node.op))
        return 0;
    for (uint32_t i = 0; i < int_count(&m->node, "axes"); i++) {
        int64_t axis = ints(&m->node, "axes")[i];
        if (!tegu_dim_is_one(type_of(m, m->node.inputs[0])->dims[axis]))
            return 0;
    }
    return tegu_build_reshape(m->g, m->node.loc, m->node.inputs[0],
                              m->node.type);
}

/* Marks in `reduced` the axes of the inner reduction's input that either of
 * two nested ones reduces. */
static void mark_reduced(const tegu_node *outer, const tegu_node *inner,
                         uint32_t rank, bool *reduced)
{
    bool keep = tegu_node_bool(inner, "keep");
    uint32_t at[TEGU_MAX_RANK], count = 0;

    for (uint32_t i = 0; i < int_count(inner, "axes"); i++)
        reduced[ints(inner, "axes")[i]] = true;
    for (uint32_t i = 0; i < rank; i++)
        if (keep || !reduced[i])
            at[count++] = i;
    for (uint32_t i = 0; i < int_count(outer, "axes"); i++)
        reduced[at[ints(outer, "axes")[i]]] = true;
}

static tegu_value reduce_twice(const tegu_match *m)
{
    tegu_node inner;
    uint32_t rank, count = 0;
    bool reduced[TEGU_MAX_RANK] = {false}, keep;
    int64_t axes[TEGU_MAX_RANK];

    if (!is_reduction(m->node.op))
        return 0;
    inner = input_node(m, 0);
    if (inner.op != m->node.op)
        return 0;
    keep = tegu_node_bool(&inner, "keep");
    if (keep != tegu_node_bool(&m->node, "keep"))
        return 0;
    rank = type_of(m, inner.inputs[0])->rank;
    mark_reduced(&m->node, &inner, rank, reduced);
    for (uint32_t i = 0; i < rank; i++)
        if (reduced[i])
            axes[count++] = i;
    tegu_attr attrs[] = {
        tegu_attr_of_ints(m->g->unit, m->node.op, "axes", axes, count),
        tegu_attr_of_bool(m->node.op, "keep", keep)};
    return tegu_match_build(m, m->node.op, 1, &inner.inputs[0], 2, attrs, NULL);
}

static tegu_value argmax_unit(const tegu_match *m)
{
    int64_t axis = tegu_node_int(&m->node, "axis");

    if (!tegu_dim_is_one(type_of(m, m->bound[0])->dims[axis]))
        return 0;
    return tegu_match_literal(m, 0);
}

/* --- index --- */

static tegu_value gather_constant(const tegu_match *m)
{
    tegu_type type = *type_of(m, m->bound[0]);
    int64_t start[TEGU_MAX_RANK] = {0}, step[TEGU_MAX_RANK], rows, row;
    double number = 0;

    tegu_match_number(m->g, m->bound[1], &number);
    rows = type.dims[0].offset;
    if (!tegu_type_is_static(&type) || rows < 1 ||
        tegu_type_elements(type_of(m, m->bound[1])) != 1)
        return 0;
    row = number < 0 ? 0 : number >= (double)rows ? rows - 1 : (int64_t)number;
    start[0] = row;
    for (uint32_t i = 0; i < type.rank; i++)
        step[i] = 1;
    type.dims[0] = tegu_dim_static(1);
    return tegu_build_reshape(m->g, m->node.loc,
                              build_slice(m, m->bound[0], start, step,
                                          tegu_unit_type(m->g->unit, &type)),
                              m->node.type);
}

static tegu_value gather_iota(const tegu_match *m)
{
    const tegu_type *index = type_of(m, m->node.inputs[1]);

    return index->rank == 1 ? keep_if_same(m) : 0;
}

static tegu_value size_static(const tegu_match *m)
{
    tegu_dim dim =
        type_of(m, m->bound[0])->dims[tegu_node_int(&m->node, "axis")];

    if (!tegu_dim_is_static(dim) || dim.offset > INT32_MAX)
        return 0;
    return tegu_match_literal(m, (double)dim.offset);
}

/* --- contraction --- */

static bool is_weight(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);

    while (node->op == TEGU_OP_TRANSPOSE || node->op == TEGU_OP_RESHAPE)
        node = tegu_graph_node(g, node->inputs[0]);
    return node->op == TEGU_OP_PARAM;
}

/* Weights [K, N] become [N, K], the form of the packed kernels. */
static tegu_value contract_weights(const tegu_match *m)
{
    static const int64_t swap[] = {1, 0}, last[] = {1};
    tegu_unit *unit = m->g->unit;
    tegu_attr perm =
        tegu_attr_of_ints(unit, TEGU_OP_TRANSPOSE, "perm", swap, 2);
    tegu_value inputs[] = {m->bound[0], m->bound[1]};

    if (!is_weight(m->g, inputs[1]) || type_of(m, inputs[1])->rank != 2 ||
        int_count(&m->node, "b") != 1 || ints(&m->node, "b")[0] != 0 ||
        int_count(&m->node, "batch_b") != 0)
        return 0;
    inputs[1] =
        tegu_match_build(m, TEGU_OP_TRANSPOSE, 1, &inputs[1], 1, &perm, NULL);
    tegu_attr attrs[] = {
        *tegu_node_attr(&m->node, "a"),
        tegu_attr_of_ints(unit, TEGU_OP_CONTRACT, "b", last, 1)};
    return tegu_match_build(m, TEGU_OP_CONTRACT, 2, inputs, 2, attrs, NULL);
}

/* The summed axes of a are its last ones, in order, of fixed extents. */
static bool sums_trailing(const tegu_match *m)
{
    const tegu_type *a = type_of(m, m->bound[0]);
    uint32_t count = int_count(&m->node, "a");

    for (uint32_t i = 0; i < count; i++) {
        uint32_t axis = a->rank - count + i;
        if (ints(&m->node, "a")[i] != (int64_t)axis ||
            !tegu_dim_is_static(a->dims[axis]))
            return false;
    }
    return count > 0;
}

/* The axes of a stack: those that the result has, in order, then those summed
 * over; how many of the first. */
static uint32_t stack_axes(const tegu_match *m, int64_t perm[TEGU_MAX_RANK])
{
    const tegu_type *b = type_of(m, m->bound[1]);
    uint32_t count = int_count(&m->node, "b"), free = 0;

    for (uint32_t k = 0; k < b->rank; k++) {
        bool summed = false;
        for (uint32_t i = 0; i < count; i++)
            summed |= ints(&m->node, "b")[i] == (int64_t)k;
        if (!summed)
            perm[free++] = k;
    }
    for (uint32_t i = 0; i < count; i++)
        perm[free + i] = ints(&m->node, "b")[i];
    return free;
}

/* x with its axes from `from` on as one, and those before them too where
 * `both`; 0 when they have no product. */
static tegu_value merged(const tegu_match *m, tegu_value x, uint32_t from,
                         bool both)
{
    const tegu_type *was = type_of(m, x);
    tegu_type type = *was;
    uint32_t at = both ? 1 : from;

    type.rank = at + 1;
    if (!tegu_dims_product(was->dims, from, was->rank, &type.dims[at]) ||
        (both && !tegu_dims_product(was->dims, 0, from, &type.dims[0])))
        return 0;
    return tegu_build_reshape(m->g, m->node.loc, x,
                              tegu_unit_type(m->g->unit, &type));
}

/* Stacks of weights become matrices, at core level: at the model's, passes
 * look for the stacks. */
static tegu_value contract_stacks(const tegu_match *m)
{
    static const int64_t second[] = {1};
    tegu_unit *unit = m->g->unit;
    uint32_t rank = type_of(m, m->bound[1])->rank, free;
    int64_t perm[TEGU_MAX_RANK];
    int64_t first = type_of(m, m->bound[0])->rank - int_count(&m->node, "a");
    tegu_value in[2] = {m->bound[0]};

    if (m->g->level != TEGU_LEVEL_CORE || !is_weight(m->g, m->bound[1]) ||
        rank < 3 || int_count(&m->node, "batch_b") || !sums_trailing(m))
        return 0;
    free = stack_axes(m, perm);
    if (free == 0)
        return 0;
    tegu_attr order =
        tegu_attr_of_ints(unit, TEGU_OP_TRANSPOSE, "perm", perm, rank);
    in[1] = merged(m,
                   tegu_match_build(m, TEGU_OP_TRANSPOSE, 1, &m->bound[1], 1,
                                    &order, NULL),
                   free, true);
    in[0] = merged(m, in[0], (uint32_t)first, false);
    tegu_attr attrs[] = {
        tegu_attr_of_ints(unit, TEGU_OP_CONTRACT, "a", &first, 1),
        tegu_attr_of_ints(unit, TEGU_OP_CONTRACT, "b", second, 1)};
    return tegu_build_reshape(
        m->g, m->node.loc,
        tegu_match_build(m, TEGU_OP_CONTRACT, 2, in, 2, attrs, NULL),
        m->node.type);
}

/* clang-format off */
static const tegu_rule rules[] = {
    {"move-uniform",        X, move_uniform},
    {"reshape-same",        P(RESHAPE, X), keep_if_same},
    {"reshape-reshape",     P(RESHAPE, P(RESHAPE, X)), to_reshape},
    {"transpose-identity",  P(TRANSPOSE, X), transpose_identity},
    {"transpose-transpose", P(TRANSPOSE, P(TRANSPOSE, X)), transpose_twice},
    {"transpose-units",     P(TRANSPOSE, X), transpose_units},
    {"broadcast-same",      P(BROADCAST, X), keep_if_same},
    {"broadcast-broadcast", P(BROADCAST, P(BROADCAST, X)), to_broadcast},
    {"broadcast-operand",   X, broadcast_operand},
    {"slice-full",          P(SLICE, X), slice_full},
    {"slice-slice",         P(SLICE, P(SLICE, X)), slice_twice},
    {"slice-concat",        P(SLICE, P(CONCAT, X)), slice_concat},
    {"pad-zero",            P(PAD, X), pad_nothing},
    {"concat-one",          P(CONCAT, X), concat_one},
    {"concat-concat",       P(CONCAT, X), concat_nested},
    {"reduce-units",        X, reduce_units},
    {"reduce-reduce",       X, reduce_twice},
    {"argmax-unit",         P(ARGMAX, X), argmax_unit},
    {"gather-constant",     P(GATHER, X, TEGU_P_CONST(1)), gather_constant},
    {"gather-iota",         P(GATHER, X, P(IOTA, NULL)), gather_iota},
    {"size-static",         P(SIZE, X), size_static},
    {"contract-weights",    P(CONTRACT, X, Y), contract_weights},
    {"contract-stacks",     P(CONTRACT, X, Y), contract_stacks},
};
/* clang-format on */

tegu_rule_table tegu_rules_movement(void)
{
    return (tegu_rule_table){rules, sizeof rules / sizeof rules[0]};
}
