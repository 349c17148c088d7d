/* SPDX-License-Identifier: Apache-2.0 */
/* generate_model.c - one random node of a composite op: what models are made
 * of, with caches, grouped heads, windows and both spellings of rope. */
#include "tests/numeric/generator.h"

static const tegu_type *type_of(const generator *gen, tegu_value v)
{
    return tegu_graph_type(gen->g, v);
}

/* A value without empty axes, which the language of definitions has not. */
static tegu_value pick(generator *gen, tegu_dtype dtype)
{
    tegu_value v = generate_pick(gen, dtype);
    for (uint32_t d = 0; v && d < type_of(gen, v)->rank; d++) {
        int64_t lo, hi;
        if (!tegu_dim_bounds(gen->unit, type_of(gen, v)->dims[d], &lo, &hi) ||
            lo < 1)
            return 0;
    }
    return v;
}

static tegu_value add_node(generator *gen, tegu_op op, const tegu_value *inputs,
                           uint32_t input_count, const tegu_attr *attrs,
                           uint32_t attr_count)
{
    for (uint32_t i = 0; i < input_count; i++)
        if (!inputs[i])
            return 0;
    return tegu_build(gen->g, tegu_loc_none(), op, input_count, inputs,
                      attr_count, attrs, NULL);
}

/* A new leaf, or a value made before with this very shape. */
static tegu_value of_shape(generator *gen, const tegu_type *type)
{
    for (int tries = 0; tries < 4; tries++) {
        tegu_value v = generate_pick(gen, type->dtype);
        if (v && tegu_type_equal(type_of(gen, v), type))
            return v;
    }
    return generate_fits(gen, type) ? generate_leaf(gen, type) : 0;
}

static tegu_value vector_leaf(generator *gen, tegu_dim extent)
{
    tegu_type type = {.dtype = TEGU_F32, .rank = 1, .dims = {extent}};
    return generate_leaf(gen, &type);
}

/* The program's tokens: T, or a small number. */
static tegu_dim token_dim(generator *gen)
{
    if (gen->rows.symbol || gen->rows.offset)
        return gen->rows;
    if (gen->symbol)
        return tegu_unit_axis_dim(gen->unit, gen->symbol);
    return tegu_dim_static(1 + numeric_below(&gen->rng, 9));
}

/* --- layers --- */

static tegu_value make_linear(generator *gen, tegu_op op)
{
    static const int64_t widths[] = {1, 5, 8, 16, 17, 33, 48, 64, 100};
    tegu_value in[3] = {pick(gen, TEGU_F32)};
    if (!in[0] || type_of(gen, in[0])->rank == 0)
        return 0;
    const tegu_type x = *type_of(gen, in[0]);
    tegu_dim width = tegu_dim_static(widths[numeric_below(&gen->rng, 9)]);
    tegu_type w = {
        .dtype = TEGU_F32, .rank = 2, .dims = {width, x.dims[x.rank - 1]}};
    tegu_type out = x;
    out.dims[out.rank - 1] = width;
    if (!generate_fits(gen, &w) || !generate_fits(gen, &out))
        return 0;
    uint32_t count = 2 + numeric_below(&gen->rng, 2);
    in[1] = generate_leaf(gen, &w);
    in[2] = count == 3 ? vector_leaf(gen, width) : 0;
    return add_node(gen, op, in, count, NULL, 0);
}

static tegu_value make_embed(generator *gen, tegu_op op)
{
    tegu_value in[2] = {pick(gen, TEGU_I32)};
    if (!in[0])
        return 0;
    tegu_type table = {
        .dtype = TEGU_F32,
        .rank = 2,
        .dims = {tegu_dim_static(1 + numeric_below(&gen->rng, 20)),
                 tegu_dim_static(1 + numeric_below(&gen->rng, 40))}};
    tegu_type out = *type_of(gen, in[0]);
    if (out.rank > 4)
        return 0;
    out.dims[out.rank++] = table.dims[1];
    if (!generate_fits(gen, &out))
        return 0;
    in[1] = generate_leaf(gen, &table);
    return add_node(gen, op, in, 2, NULL, 0);
}

static tegu_value make_mean(generator *gen, tegu_op op)
{
    tegu_value x = pick(gen, TEGU_F32);
    if (!x || type_of(gen, x)->rank == 0)
        return 0;
    int64_t axis = numeric_below(&gen->rng, type_of(gen, x)->rank);
    tegu_attr attrs[2] = {
        tegu_attr_of_ints(gen->unit, op, "axes", &axis, 1),
        tegu_attr_of_bool(op, "keep", numeric_chance(&gen->rng, 0.5))};
    return add_node(gen, op, &x, 1, attrs, 2);
}

static tegu_value make_norm(generator *gen, tegu_op op)
{
    tegu_value in[3] = {pick(gen, TEGU_F32)};
    if (!in[0] || type_of(gen, in[0])->rank == 0)
        return 0;
    tegu_dim last = type_of(gen, in[0])->dims[type_of(gen, in[0])->rank - 1];
    bool shift = op == TEGU_OP_LAYER_NORM && numeric_chance(&gen->rng, 0.5);
    in[1] = vector_leaf(gen, last);
    in[2] = shift ? vector_leaf(gen, last) : 0;
    tegu_attr eps = tegu_attr_of_float(
        op, "eps", numeric_chance(&gen->rng, 0.5) ? 1e-5 : 0.25);
    return add_node(gen, op, in, shift ? 3 : 2, &eps, 1);
}

static tegu_value make_activation(generator *gen, tegu_op op)
{
    tegu_value x = pick(gen, TEGU_F32);
    if (!x || (op == TEGU_OP_SOFTMAX && type_of(gen, x)->rank == 0))
        return 0;
    return add_node(gen, op, &x, 1, NULL, 0);
}

static tegu_value make_gated(generator *gen, tegu_op op)
{
    tegu_value gate = pick(gen, TEGU_F32);
    if (!gate)
        return 0;
    tegu_value in[2] = {gate, of_shape(gen, type_of(gen, gate))};
    return add_node(gen, op, in, 2, NULL, 0);
}

/* --- adapted weights --- */

static tegu_value matrix_leaf(generator *gen, int64_t rows, int64_t columns)
{
    tegu_type type = {
        .dtype = TEGU_F32,
        .rank = 2,
        .dims = {tegu_dim_static(rows), tegu_dim_static(columns)}};
    return of_shape(gen, &type);
}

/* Finite weights only: fold-adapters refuses others.  Columns enough that no
 * row of dora's is zero. */
static tegu_value make_adapted(generator *gen, tegu_op op)
{
    int64_t n = 1 + (int64_t)numeric_below(&gen->rng, 33);
    int64_t k = 4 + (int64_t)numeric_below(&gen->rng, 30);
    int64_t r = 1 + (int64_t)numeric_below(&gen->rng, 8);
    if (gen->options->specials)
        return 0;
    tegu_attr scale = tegu_attr_of_float(op, "scale", 0.5);
    tegu_value in[4] = {matrix_leaf(gen, n, k)};
    if (op == TEGU_OP_SINGLORA) {
        in[1] = matrix_leaf(gen, n > k ? n : k, r);
        return add_node(gen, op, in, 2, &scale, 1);
    }
    in[1] = matrix_leaf(gen, r, k);
    in[2] = matrix_leaf(gen, n, r);
    if (op == TEGU_OP_LORA)
        return add_node(gen, op, in, 3, &scale, 1);
    in[3] = vector_leaf(gen, tegu_dim_static(n));
    return add_node(gen, op, in, 4, &scale, 1);
}

/* --- heads --- */

static tegu_value heads_leaf(generator *gen, tegu_dim rows, int64_t heads,
                             int64_t width)
{
    tegu_type type = {
        .dtype = TEGU_F32,
        .rank = 3,
        .dims = {rows, tegu_dim_static(heads), tegu_dim_static(width)}};
    return of_shape(gen, &type);
}

static tegu_value position_of(generator *gen)
{
    return tegu_build(gen->g, tegu_loc_none(), TEGU_OP_POSITION, 0, NULL, 0,
                      NULL, NULL);
}

static tegu_value make_rope(generator *gen, tegu_op op)
{
    int64_t width = 2 * (1 + (int64_t)numeric_below(&gen->rng, 12));
    tegu_value in[2] = {
        heads_leaf(gen, token_dim(gen), 1 + numeric_below(&gen->rng, 4), width),
        position_of(gen)};
    bool half = numeric_chance(&gen->rng, 0.5);
    bool part = width > 2 && numeric_chance(&gen->rng, 0.3);
    bool llama3 = numeric_chance(&gen->rng, 0.2);
    tegu_attr attrs[7] = {
        tegu_attr_of_float(op, "theta", half ? 10000 : 500),
        tegu_attr_of_text(
            op, "style",
            tegu_intern_cstr(gen->unit->names, half ? "half" : "interleaved")),
        tegu_attr_of_int(op, "dims", part ? width - 2 : 0),
        tegu_attr_of_float(op, "factor",
                           llama3 ? 8
                           : half ? 1
                                  : 2),
        tegu_attr_of_float(op, "low", llama3 ? 1 : 0),
        tegu_attr_of_float(op, "high", llama3 ? 4 : 0),
        tegu_attr_of_int(op, "original", llama3 ? 64 : 0)};
    return add_node(gen, op, in, 2, attrs, 7);
}

/* Keys or values that earlier calls left, with this call's after them. */
static tegu_value cached(generator *gen, tegu_value x, int64_t capacity)
{
    tegu_type type = *type_of(gen, x);
    gen->rows = type.dims[0];
    type.dims[0] = tegu_dim_static(capacity);
    const char *name = tegu_intern_cstr(
        gen->unit->names,
        tegu_format(gen->model->arena, "s%u", gen->unit->states.count));
    tegu_state state = {.name = name,
                        .type = tegu_unit_type(gen->unit, &type),
                        .appended = true};
    tegu_vec_push(gen->unit->arena, &gen->unit->states, state);
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_STATE, "name", name);
    tegu_value in[2] = {tegu_build(gen->g, tegu_loc_none(), TEGU_OP_STATE, 0,
                                   NULL, 1, &attr, state.type),
                        x};
    tegu_value v = add_node(gen, TEGU_OP_APPEND, in, 2, NULL, 0);
    tegu_graph_add_update(gen->g, name, v);
    return v;
}

/* Keys and values of `groups` heads over at least `rows` positions: given, or
 * cached, when every call's own are written first. */
static bool give_keys(generator *gen, tegu_dim rows, int64_t groups,
                      int64_t width, tegu_value *in)
{
    int64_t lo, hi;
    if (!tegu_dim_bounds(gen->unit, rows, &lo, &hi))
        return false;
    bool cache = gen->unit->states.count < 2 && numeric_chance(&gen->rng, 0.6);
    int64_t capacity = 3 * hi + numeric_below(&gen->rng, 20);
    tegu_dim extent = cache ? rows : tegu_dim_static(capacity);
    in[1] = heads_leaf(gen, extent, groups, width);
    in[2] = heads_leaf(gen, extent, groups, width);
    if (!in[1] || !in[2])
        return false;
    if (cache) {
        in[1] = cached(gen, in[1], capacity);
        in[2] = cached(gen, in[2], capacity);
    }
    return true;
}

static tegu_value make_attention(generator *gen, tegu_op op)
{
    int64_t groups = 1 + (int64_t)numeric_below(&gen->rng, 3);
    int64_t heads = groups * (1 + (int64_t)numeric_below(&gen->rng, 3));
    int64_t width = 1 + (int64_t)numeric_below(&gen->rng, 20);
    tegu_dim rows = token_dim(gen);
    tegu_value in[4] = {heads_leaf(gen, rows, heads, width)};
    if (!in[0] || !give_keys(gen, rows, groups, width, in))
        return 0;
    in[3] = position_of(gen);
    bool causal = numeric_chance(&gen->rng, 0.8);
    bool window = numeric_chance(&gen->rng, 0.3);
    tegu_attr attrs[3] = {
        tegu_attr_of_float(op, "scale", numeric_below(&gen->rng, 2) * 0.3),
        tegu_attr_of_bool(op, "causal", causal),
        tegu_attr_of_int(op, "window",
                         window ? 1 + numeric_below(&gen->rng, 9) : 0)};
    return add_node(gen, op, in, 4, attrs, 3);
}

generate_maker generate_model_maker(tegu_op op)
{
    static const generate_maker makers[TEGU_OP_COUNT] = {
        [TEGU_OP_LINEAR] = make_linear,
        [TEGU_OP_EMBED] = make_embed,
        [TEGU_OP_LORA] = make_adapted,
        [TEGU_OP_SINGLORA] = make_adapted,
        [TEGU_OP_DORA] = make_adapted,
        [TEGU_OP_MEAN] = make_mean,
        [TEGU_OP_RMS_NORM] = make_norm,
        [TEGU_OP_LAYER_NORM] = make_norm,
        [TEGU_OP_SOFTMAX] = make_activation,
        [TEGU_OP_RELU] = make_activation,
        [TEGU_OP_SILU] = make_activation,
        [TEGU_OP_GELU] = make_activation,
        [TEGU_OP_GELU_TANH] = make_activation,
        [TEGU_OP_SWIGLU] = make_gated,
        [TEGU_OP_ROPE] = make_rope,
        [TEGU_OP_ATTENTION] = make_attention,
    };
    return makers[op];
}
