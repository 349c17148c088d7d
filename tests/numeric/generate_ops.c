/* SPDX-License-Identifier: Apache-2.0 */
/* generate_ops.c - one random node of a given op, with operands that fit.
 *
 * Operands of functions with poles (log, division, ...) are mostly moved away
 * from them, so that results stay finite and comparisons say something.
 */
#include "tests/numeric/generator.h"

#include <math.h>

static const tegu_type *type_of(const generator *gen, tegu_value v)
{
    return tegu_graph_type(gen->g, v);
}

static tegu_value add_node(generator *gen, tegu_op op, const tegu_value *inputs,
                           uint32_t input_count, const tegu_attr *attrs,
                           uint32_t attr_count, const tegu_type *type)
{
    for (uint32_t i = 0; i < input_count; i++)
        if (!inputs[i])
            return 0;
    if (type)
        type = tegu_unit_type(gen->unit, type);
    return tegu_build(gen->g, tegu_loc_none(), op, input_count, inputs,
                      attr_count, attrs, type);
}

static tegu_attr ints(generator *gen, tegu_op op, const char *key,
                      const int64_t *data, uint32_t count)
{
    return tegu_attr_of_ints(gen->unit, op, key, data, count);
}

/* --- element-wise --- */

static tegu_value scalar_op(generator *gen, tegu_op op, tegu_value x,
                            double value)
{
    tegu_value s = tegu_build_scalar(gen->g, tegu_loc_none(), TEGU_F32, value);
    return tegu_build_binary(gen->g, tegu_loc_none(), op, x, s);
}

/* |x| + 0.5: away from zero and from below. */
static tegu_value positive(generator *gen, tegu_value x)
{
    x = tegu_build_unary(gen->g, tegu_loc_none(), TEGU_OP_ABS, x);
    return scalar_op(gen, TEGU_OP_ADD, x, 0.5);
}

/* Within (-4, 4). */
static tegu_value small(generator *gen, tegu_value x)
{
    x = tegu_build_unary(gen->g, tegu_loc_none(), TEGU_OP_TANH, x);
    return scalar_op(gen, TEGU_OP_MUL, x, 4);
}

static bool wild(generator *gen)
{
    return numeric_chance(&gen->rng, gen->options->specials ? 0.6 : 0.04);
}

/* The element type that an op works on. */
static tegu_dtype operand_dtype(generator *gen, tegu_op op)
{
    if (tegu_op_has(op, TEGU_FLOATONLY))
        return TEGU_F32;
    if (op == TEGU_OP_NOT || op == TEGU_OP_AND || op == TEGU_OP_OR)
        return TEGU_BOOL;
    tegu_dtype dtype = generate_dtype(gen);
    bool any = op == TEGU_OP_EQ || op == TEGU_OP_NE || op == TEGU_OP_LT ||
               op == TEGU_OP_LE || op == TEGU_OP_SELECT || op == TEGU_OP_CAST;
    return dtype == TEGU_BOOL && !any ? TEGU_F32 : dtype;
}

static tegu_value make_unary(generator *gen, tegu_op op)
{
    tegu_value x = generate_pick(gen, operand_dtype(gen, op));
    bool pole = op == TEGU_OP_LOG || op == TEGU_OP_SQRT || op == TEGU_OP_RSQRT;
    if (!x)
        return 0;
    if (pole && !wild(gen))
        x = positive(gen, x);
    if (op == TEGU_OP_EXP && !wild(gen))
        x = small(gen, x);
    return add_node(gen, op, &x, 1, NULL, 0, NULL);
}

static tegu_value make_cast(generator *gen, tegu_op op)
{
    tegu_value x = generate_pick(gen, TEGU_DTYPE_COUNT);
    tegu_attr attr = tegu_attr_of_dtype(op, "dtype", generate_dtype(gen));
    return add_node(gen, op, &x, 1, &attr, 1, NULL);
}

/* The pair broadcasts to something that is allowed. */
static bool broadcasts(const generator *gen, const tegu_type *a,
                       const tegu_type *b)
{
    tegu_type out = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (uint32_t k = 1; k <= out.rank; k++) {
        tegu_dim x = k <= a->rank ? a->dims[a->rank - k] : tegu_dim_static(1);
        tegu_dim y = k <= b->rank ? b->dims[b->rank - k] : tegu_dim_static(1);
        if (!tegu_dim_equal(x, y) && !tegu_dim_is_one(x) && !tegu_dim_is_one(y))
            return false;
        out.dims[out.rank - k] = tegu_dim_is_one(x) ? y : x;
    }
    return generate_fits(gen, &out);
}

/* A second operand for a: a itself, an older value, or a new leaf. */
static tegu_value partner(generator *gen, tegu_value a, tegu_dtype dtype)
{
    const tegu_type *type = type_of(gen, a);
    if (type->dtype == dtype && numeric_chance(&gen->rng, 0.08))
        return a;
    for (int tries = 0; tries < 6; tries++) {
        tegu_value b = generate_pick(gen, dtype);
        if (b && broadcasts(gen, type, type_of(gen, b)))
            return b;
    }
    tegu_type leaf = *type_of(gen, a);
    leaf.dtype = dtype;
    for (uint32_t d = 0; d < leaf.rank; d++)
        if (numeric_chance(&gen->rng, 0.25))
            leaf.dims[d] = tegu_dim_static(1);
    return generate_leaf(gen, &leaf);
}

static tegu_value make_binary(generator *gen, tegu_op op)
{
    tegu_dtype dtype = operand_dtype(gen, op);
    tegu_value in[2] = {generate_pick(gen, dtype)};
    if (!in[0])
        return 0;
    in[1] = partner(gen, in[0], dtype);
    if (!in[1])
        return 0;
    if (numeric_chance(&gen->rng, 0.5)) {
        tegu_value swap = in[0];
        in[0] = in[1];
        in[1] = swap;
    }
    bool divides = op == TEGU_OP_DIV || op == TEGU_OP_MOD;
    if (divides && dtype == TEGU_F32 && !wild(gen))
        in[1] = positive(gen, in[1]);
    if (op == TEGU_OP_POW && !wild(gen)) {
        in[0] = positive(gen, small(gen, in[0]));
        in[1] = small(gen, in[1]);
    }
    return add_node(gen, op, in, 2, NULL, 0, NULL);
}

static tegu_value make_select(generator *gen, tegu_op op)
{
    tegu_dtype dtype = operand_dtype(gen, op);
    tegu_value a = generate_pick(gen, dtype);
    tegu_value b = a ? partner(gen, a, dtype) : 0;
    tegu_value c = b ? partner(gen, a, TEGU_BOOL) : 0;
    if (!c || !broadcasts(gen, type_of(gen, b), type_of(gen, c)))
        return 0;
    return add_node(gen, op, (tegu_value[]){c, a, b}, 3, NULL, 0, NULL);
}

/* The condition a float of one element, 0 more often than not. */
static tegu_value make_add_if(generator *gen, tegu_op op)
{
    tegu_type scalar = {.dtype = TEGU_F32};
    tegu_value a = generate_pick(gen, TEGU_F32);
    tegu_value b = a ? partner(gen, a, TEGU_F32) : 0;
    tegu_value s = b ? generate_leaf(gen, &scalar) : 0;
    if (!s)
        return 0;
    if (numeric_chance(&gen->rng, 0.6))
        s = add_node(gen, TEGU_OP_FLOOR,
                     (tegu_value[]){
                         add_node(gen, TEGU_OP_SIGMOID, &s, 1, NULL, 0, NULL)},
                     1, NULL, 0, NULL);
    return add_node(gen, op, (tegu_value[]){a, b, s}, 3, NULL, 0, NULL);
}

/* --- reductions, contraction --- */

static tegu_value pick_number(generator *gen)
{
    static const tegu_dtype numbers[] = {TEGU_F32, TEGU_F32, TEGU_I32,
                                         TEGU_I64};
    return generate_pick(gen, numbers[numeric_below(&gen->rng, 4)]);
}

static tegu_value make_reduce(generator *gen, tegu_op op)
{
    tegu_value x = pick_number(gen);
    if (!x || type_of(gen, x)->rank == 0)
        return 0;
    int64_t axes[TEGU_MAX_RANK];
    uint32_t count = 0, rank = type_of(gen, x)->rank;
    for (uint32_t d = 0; d < rank; d++)
        if (numeric_chance(&gen->rng, 0.4))
            axes[count++] = d;
    if (count == 0)
        axes[count++] = numeric_below(&gen->rng, rank);
    tegu_attr attrs[2] = {
        ints(gen, op, "axes", axes, count),
        tegu_attr_of_bool(op, "keep", numeric_chance(&gen->rng, 0.3))};
    return add_node(gen, op, &x, 1, attrs, 2, NULL);
}

static tegu_value make_argmax(generator *gen, tegu_op op)
{
    tegu_value x = pick_number(gen);
    if (!x || type_of(gen, x)->rank == 0)
        return 0;
    uint32_t axis = numeric_below(&gen->rng, type_of(gen, x)->rank);
    int64_t lo, hi;
    if (!tegu_dim_bounds(gen->unit, type_of(gen, x)->dims[axis], &lo, &hi) ||
        lo < 1)
        return 0;
    tegu_attr attr = tegu_attr_of_int(op, "axis", axis);
    return add_node(gen, op, &x, 1, &attr, 1, NULL);
}

/* Which axes of two operands pair up. */
typedef struct pairing {
    int64_t a[TEGU_MAX_RANK], b[TEGU_MAX_RANK];
    int64_t batch_a[TEGU_MAX_RANK], batch_b[TEGU_MAX_RANK];
    uint32_t count, batch;
} pairing;

/* A type for b in random axis order: batch, summed and new free extents. */
static tegu_type pair_with(generator *gen, const tegu_type *a, pairing *p)
{
    tegu_type b = {.dtype = TEGU_F32};
    for (uint32_t d = 0; d < a->rank; d++) {
        bool batch = numeric_chance(&gen->rng, 0.2);
        if (!batch && !numeric_chance(&gen->rng, 0.4))
            continue;
        if (batch) {
            p->batch_a[p->batch] = d;
            p->batch_b[p->batch++] = b.rank;
        } else {
            p->a[p->count] = d;
            p->b[p->count++] = b.rank;
        }
        b.dims[b.rank++] = a->dims[d];
    }
    static const int64_t extents[] = {1, 2, 3, 5, 8, 16, 17, 33};
    uint32_t fresh = numeric_below(&gen->rng, 3);
    for (uint32_t i = 0; i < fresh && b.rank < TEGU_MAX_RANK; i++)
        b.dims[b.rank++] =
            tegu_dim_static(extents[numeric_below(&gen->rng, 8)]);
    uint32_t shift = b.rank ? numeric_below(&gen->rng, b.rank) : 0;
    tegu_type turned = b;
    for (uint32_t d = 0; d < b.rank; d++)
        turned.dims[(d + shift) % b.rank] = b.dims[d];
    for (uint32_t i = 0; i < p->count; i++)
        p->b[i] = (p->b[i] + shift) % b.rank;
    for (uint32_t i = 0; i < p->batch; i++)
        p->batch_b[i] = (p->batch_b[i] + shift) % b.rank;
    return turned;
}

/* The number of products of the contraction is bearable. */
static bool bearable(const generator *gen, const tegu_type *a,
                     const tegu_type *b, const pairing *p)
{
    double products = 1;
    for (uint32_t d = 0; d < a->rank + b->rank; d++) {
        int64_t lo, hi;
        tegu_dim dim = d < a->rank ? a->dims[d] : b->dims[d - a->rank];
        bool paired = false;
        for (uint32_t i = 0; d >= a->rank && i < p->count; i++)
            paired |= p->b[i] == (int64_t)(d - a->rank);
        for (uint32_t i = 0; d >= a->rank && i < p->batch; i++)
            paired |= p->batch_b[i] == (int64_t)(d - a->rank);
        if (tegu_dim_bounds(gen->unit, dim, &lo, &hi) && !paired)
            products *= hi > 0 ? (double)hi : 1;
    }
    return products <= 400000;
}

static tegu_value make_contract(generator *gen, tegu_op op)
{
    tegu_value in[2] = {generate_pick(gen, TEGU_F32)};
    if (!in[0])
        return 0;
    pairing p = {.count = 0};
    tegu_type a = *type_of(gen, in[0]);
    tegu_type b = pair_with(gen, &a, &p);
    bool itself = numeric_chance(&gen->rng, 0.15);
    if (itself) { /* a with a: pairs of the same axes */
        for (uint32_t i = 0; i < p.count; i++)
            p.b[i] = p.a[i];
        for (uint32_t i = 0; i < p.batch; i++)
            p.batch_b[i] = p.batch_a[i];
        b = a;
    }
    uint32_t rank = a.rank + b.rank - 2 * p.count - p.batch;
    if (rank > 6 || !bearable(gen, &a, &b, &p) || !generate_fits(gen, &b))
        return 0;
    in[1] = itself ? in[0] : generate_leaf(gen, &b);
    tegu_attr attrs[4] = {ints(gen, op, "a", p.a, p.count),
                          ints(gen, op, "b", p.b, p.count),
                          ints(gen, op, "batch_a", p.batch_a, p.batch),
                          ints(gen, op, "batch_b", p.batch_b, p.batch)};
    return add_node(gen, op, in, 2, attrs, 4, NULL);
}

/* --- movement --- */

/* Random merges, splits and extents of one. */
static tegu_value make_reshape(generator *gen, tegu_op op)
{
    tegu_value x = generate_pick(gen, TEGU_DTYPE_COUNT);
    if (!x)
        return 0;
    const tegu_type from = *type_of(gen, x);
    tegu_type to = {.dtype = from.dtype};
    for (uint32_t d = 0; d < from.rank && to.rank < 5; d++) {
        tegu_dim dim = from.dims[d], joined;
        if (d + 1 < from.rank && numeric_chance(&gen->rng, 0.4) &&
            tegu_dims_product(from.dims, d, d + 2, &joined)) {
            to.dims[to.rank++] = joined;
            d++;
        } else if (tegu_dim_is_static(dim) && dim.offset > 2 &&
                   dim.offset % 2 == 0 && numeric_chance(&gen->rng, 0.5)) {
            to.dims[to.rank++] = tegu_dim_static(2);
            to.dims[to.rank++] = tegu_dim_static(dim.offset / 2);
        } else {
            to.dims[to.rank++] = dim;
        }
    }
    if (to.rank < 5 && numeric_chance(&gen->rng, 0.3))
        to.dims[to.rank++] = tegu_dim_static(1);
    return add_node(gen, op, &x, 1, NULL, 0, &to);
}

static tegu_value make_transpose(generator *gen, tegu_op op)
{
    tegu_value x = generate_pick(gen, TEGU_DTYPE_COUNT);
    if (!x)
        return 0;
    uint32_t rank = type_of(gen, x)->rank;
    int64_t perm[TEGU_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++)
        perm[d] = d;
    for (uint32_t d = rank; d > 1; d--) {
        uint32_t i = numeric_below(&gen->rng, d);
        int64_t swap = perm[i];
        perm[i] = perm[d - 1];
        perm[d - 1] = swap;
    }
    tegu_attr attr = ints(gen, op, "perm", perm, rank);
    return add_node(gen, op, &x, 1, &attr, 1, NULL);
}

static tegu_value make_broadcast(generator *gen, tegu_op op)
{
    tegu_value x = generate_pick(gen, TEGU_DTYPE_COUNT);
    if (!x || type_of(gen, x)->rank > 5)
        return 0;
    tegu_type to = *type_of(gen, x);
    for (uint32_t d = 0; d < to.rank; d++)
        if (tegu_dim_is_one(to.dims[d]))
            to.dims[d] = tegu_dim_static(1 + numeric_below(&gen->rng, 5));
    if (numeric_chance(&gen->rng, 0.5)) {
        for (uint32_t d = to.rank++; d > 0; d--)
            to.dims[d] = to.dims[d - 1];
        to.dims[0] = gen->symbol ? tegu_unit_axis_dim(gen->unit, gen->symbol)
                                 : tegu_dim_static(3);
    }
    return generate_fits(gen, &to) ? add_node(gen, op, &x, 1, NULL, 0, &to) : 0;
}

/* A random range of one axis. */
static tegu_dim slice_dim(generator *gen, tegu_dim dim, int64_t *start,
                          int64_t *step)
{
    *start = 0;
    *step = 1;
    if (!tegu_dim_is_static(dim) || dim.offset == 0)
        return dim;
    uint32_t extent = (uint32_t)dim.offset;
    uint32_t first = numeric_below(&gen->rng, extent);
    uint32_t stride = 1 + numeric_below(&gen->rng, 3);
    bool down = numeric_chance(&gen->rng, 0.3);
    uint32_t most = (down ? first : extent - 1 - first) / stride + 1;
    *start = numeric_chance(&gen->rng, 0.3) ? (int64_t)first - extent : first;
    *step = down ? -(int64_t)stride : stride;
    return tegu_dim_static(1 + numeric_below(&gen->rng, most));
}

static tegu_value make_slice(generator *gen, tegu_op op)
{
    tegu_value x = generate_pick(gen, TEGU_DTYPE_COUNT);
    if (!x)
        return 0;
    tegu_type to = *type_of(gen, x);
    int64_t start[TEGU_MAX_RANK], step[TEGU_MAX_RANK];
    for (uint32_t d = 0; d < to.rank; d++)
        to.dims[d] = slice_dim(gen, to.dims[d], &start[d], &step[d]);
    tegu_attr attrs[2] = {ints(gen, op, "start", start, to.rank),
                          ints(gen, op, "step", step, to.rank)};
    return add_node(gen, op, &x, 1, attrs, 2, &to);
}

static tegu_value make_pad(generator *gen, tegu_op op)
{
    tegu_value x = generate_pick(gen, TEGU_DTYPE_COUNT);
    if (!x)
        return 0;
    tegu_type to = *type_of(gen, x);
    int64_t low[TEGU_MAX_RANK], high[TEGU_MAX_RANK];
    for (uint32_t d = 0; d < to.rank; d++) {
        low[d] = numeric_below(&gen->rng, 3);
        high[d] = numeric_below(&gen->rng, 3);
        to.dims[d].offset += low[d] + high[d];
    }
    if (!generate_fits(gen, &to))
        return 0;
    double value = numeric_below(&gen->rng, 2);
    if (to.dtype == TEGU_F32 && value > 0)
        value = -1.5;
    tegu_attr attrs[3] = {ints(gen, op, "low", low, to.rank),
                          ints(gen, op, "high", high, to.rank),
                          tegu_attr_of_float(op, "value", value)};
    return add_node(gen, op, &x, 1, attrs, 3, NULL);
}

static tegu_value make_concat(generator *gen, tegu_op op)
{
    tegu_value in[4] = {generate_pick(gen, TEGU_DTYPE_COUNT)};
    if (!in[0] || type_of(gen, in[0])->rank == 0)
        return 0;
    tegu_type type = *type_of(gen, in[0]), sum = type;
    uint32_t axis = numeric_below(&gen->rng, type.rank);
    uint32_t count = 1 + numeric_below(&gen->rng, 4);
    for (uint32_t i = 1; i < count; i++) {
        tegu_type next = type;
        if (tegu_dim_is_static(type.dims[axis]))
            next.dims[axis] = tegu_dim_static(numeric_below(&gen->rng, 6));
        in[i] =
            numeric_chance(&gen->rng, 0.3) ? in[0] : generate_leaf(gen, &next);
        if (!in[i])
            return 0;
        tegu_dim added = type_of(gen, in[i])->dims[axis];
        sum.dims[axis].scale += added.scale;
        sum.dims[axis].offset += added.offset;
    }
    tegu_attr attr = tegu_attr_of_int(op, "axis", axis);
    return generate_fits(gen, &sum)
               ? add_node(gen, op, in, count, &attr, 1, NULL)
               : 0;
}

/* --- indices, states --- */

static tegu_value make_gather(generator *gen, tegu_op op)
{
    tegu_value in[2] = {generate_pick(gen, TEGU_DTYPE_COUNT)};
    tegu_dtype dtype = numeric_chance(&gen->rng, 0.8) ? TEGU_I32 : TEGU_I64;
    in[1] = generate_pick(gen, dtype);
    if (!in[0] || !in[1] || type_of(gen, in[0])->rank == 0)
        return 0;
    tegu_type out = *type_of(gen, in[1]);
    const tegu_type *table = type_of(gen, in[0]);
    int64_t lo, hi;
    if (!tegu_dim_bounds(gen->unit, table->dims[0], &lo, &hi) || lo < 1 ||
        out.rank + table->rank - 1 > 6)
        return 0;
    for (uint32_t d = 1; d < table->rank; d++)
        out.dims[out.rank++] = table->dims[d];
    return generate_fits(gen, &out) ? add_node(gen, op, in, 2, NULL, 0, NULL)
                                    : 0;
}

static tegu_value make_iota(generator *gen, tegu_op op)
{
    static const tegu_dtype dtypes[] = {TEGU_I32, TEGU_I64, TEGU_F32};
    tegu_type type = generate_type(gen, dtypes[numeric_below(&gen->rng, 3)]);
    if (type.rank == 0)
        return 0;
    tegu_attr attr =
        tegu_attr_of_int(op, "axis", numeric_below(&gen->rng, type.rank));
    return add_node(gen, op, NULL, 0, &attr, 1, &type);
}

static tegu_value make_position(generator *gen, tegu_op op)
{
    return add_node(gen, op, NULL, 0, NULL, 0, NULL);
}

static tegu_value make_size(generator *gen, tegu_op op)
{
    tegu_value x = generate_pick(gen, TEGU_DTYPE_COUNT);
    if (!x || type_of(gen, x)->rank == 0)
        return 0;
    tegu_attr attr = tegu_attr_of_int(
        op, "axis", numeric_below(&gen->rng, type_of(gen, x)->rank));
    return add_node(gen, op, &x, 1, &attr, 1, NULL);
}

/* A new cache for a value's rows; all of a program's caches advance alike. */
static tegu_value make_append(generator *gen, tegu_op op)
{
    tegu_value x = generate_pick(gen, TEGU_DTYPE_COUNT);
    if (!x || type_of(gen, x)->rank == 0 || gen->unit->states.count > 2)
        return 0;
    tegu_type type = *type_of(gen, x);
    int64_t lo, hi;
    bool first = !gen->rows.symbol && !gen->rows.offset;
    if (!tegu_dim_bounds(gen->unit, type.dims[0], &lo, &hi) || lo < 1 ||
        !(first || tegu_dim_equal(gen->rows, type.dims[0])))
        return 0;
    tegu_dim rows = type.dims[0];
    type.dims[0] = tegu_dim_static(3 * hi + numeric_below(&gen->rng, 4));
    if (!tegu_type_is_static(&type) || !generate_fits(gen, &type))
        return 0;
    const char *name = tegu_intern_cstr(
        gen->unit->names,
        tegu_format(gen->model->arena, "s%u", gen->unit->states.count));
    tegu_state state = {.name = name,
                        .type = tegu_unit_type(gen->unit, &type),
                        .appended = true};
    tegu_vec_push(gen->unit->arena, &gen->unit->states, state);
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_STATE, "name", name);
    tegu_value in[2] = {add_node(gen, TEGU_OP_STATE, NULL, 0, &attr, 1, &type),
                        x};
    tegu_value v = add_node(gen, op, in, 2, NULL, 0, NULL);
    tegu_graph_add_update(gen->g, name, v);
    gen->rows = rows;
    return v;
}

/* --- dispatch --- */

generate_maker generate_core_maker(tegu_op op)
{
    /* clang-format off */
    static const generate_maker makers[TEGU_OP_COUNT] = {
        [TEGU_OP_CAST] = make_cast,           [TEGU_OP_SELECT] = make_select,
        [TEGU_OP_ADD_IF] = make_add_if,
        [TEGU_OP_REDUCE_SUM] = make_reduce,   [TEGU_OP_REDUCE_MAX] = make_reduce,
        [TEGU_OP_REDUCE_MIN] = make_reduce,   [TEGU_OP_ARGMAX] = make_argmax,
        [TEGU_OP_CONTRACT] = make_contract,   [TEGU_OP_RESHAPE] = make_reshape,
        [TEGU_OP_TRANSPOSE] = make_transpose, [TEGU_OP_BROADCAST] = make_broadcast,
        [TEGU_OP_SLICE] = make_slice,         [TEGU_OP_PAD] = make_pad,
        [TEGU_OP_CONCAT] = make_concat,       [TEGU_OP_GATHER] = make_gather,
        [TEGU_OP_IOTA] = make_iota,           [TEGU_OP_POSITION] = make_position,
        [TEGU_OP_SIZE] = make_size,           [TEGU_OP_APPEND] = make_append,
    };
    /* clang-format on */
    if (makers[op])
        return makers[op];
    if (tegu_op_kind_of(op) != TEGU_KIND_MAP)
        return NULL;
    return tegu_op_get(op)->min == 1 ? make_unary : make_binary;
}
