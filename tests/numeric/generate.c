/* SPDX-License-Identifier: Apache-2.0 */
/* generate.c - random programs: types, leaves, values, results; see
 * generate.h.  The ops are in
 * generate_ops.c and generate_model.c. */
#include "tests/numeric/generator.h"

#include <float.h>
#include <math.h>
#include <string.h>

generate_options generate_defaults(void)
{
    return (generate_options){.max_nodes = 60, .max_elements = 2048};
}

/* --- types --- */

tegu_dtype generate_dtype(generator *gen)
{
    static const tegu_dtype weighted[] = {
        TEGU_F32, TEGU_F32, TEGU_F32, TEGU_F32, TEGU_F32,
        TEGU_F32, TEGU_I32, TEGU_I32, TEGU_I64, TEGU_BOOL,
    };
    return weighted[numeric_below(&gen->rng, 10)];
}

bool generate_fits(const generator *gen, const tegu_type *type)
{
    int64_t most = 1;
    for (uint32_t d = 0; d < type->rank; d++) {
        int64_t lo, hi;
        if (!tegu_dim_bounds(gen->unit, type->dims[d], &lo, &hi) || lo < 0 ||
            __builtin_mul_overflow(most, hi > 0 ? hi : 1, &most) ||
            most > gen->options->max_elements)
            return false;
    }
    return true;
}

static tegu_dim random_dim(generator *gen)
{
    static const int64_t extents[] = {0,  1,  1,  2,  3,  4,   7,   8,   9,
                                      15, 16, 17, 31, 32, 33,  63,  64,  65,
                                      2,  3,  4,  5,  6,  127, 129, 255, 1000};
    uint32_t count = sizeof extents / sizeof *extents;
    if (gen->symbol && numeric_chance(&gen->rng, 0.3))
        return tegu_unit_axis_dim(gen->unit, gen->symbol);
    uint32_t i = numeric_below(&gen->rng, count);
    if (extents[i] == 0 && numeric_chance(&gen->rng, 0.7))
        i = 3; /* emptiness spreads: keep it rare */
    return tegu_dim_static(extents[i]);
}

tegu_type generate_type(generator *gen, tegu_dtype dtype)
{
    static const uint8_t ranks[] = {0, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6};
    tegu_type type = {.dtype = dtype};
    uint32_t rank = ranks[numeric_below(&gen->rng, sizeof ranks)];
    for (uint32_t d = 0; d < rank; d++) {
        type.dims[type.rank++] = random_dim(gen);
        if (!generate_fits(gen, &type))
            type.dims[type.rank - 1] =
                tegu_dim_static(1 + numeric_below(&gen->rng, 2));
        if (!generate_fits(gen, &type))
            type.rank--;
    }
    return type;
}

/* --- values --- */

static double random_float(generator *gen)
{
    static const double usual[] = {0,        -0.0,      1,        -1, 0.5, 2,
                                   0x1p-149, -0x1p-130, 0x1p-126, 3,  -7};
    static const double extreme[] = {INFINITY, -INFINITY, NAN,  FLT_MAX,
                                     -FLT_MAX, 1e20,      88.8, -104.5};
    if (gen->options->specials && numeric_chance(&gen->rng, 0.08))
        return extreme[numeric_below(&gen->rng, 8)];
    if (numeric_chance(&gen->rng, 0.1))
        return usual[numeric_below(&gen->rng, 11)];
    return (double)(float)(numeric_normal(&gen->rng) * 1.5);
}

static int64_t random_integer(generator *gen, tegu_dtype dtype)
{
    int64_t least = dtype == TEGU_I32 ? INT32_MIN : INT64_MIN;
    int64_t most = dtype == TEGU_I32 ? INT32_MAX : INT64_MAX;
    if (numeric_chance(&gen->rng, 0.03))
        return numeric_chance(&gen->rng, 0.5) ? least : most;
    return (int64_t)numeric_below(&gen->rng, 21) - 10;
}

static void fill(generator *gen, tegu_tensor *tensor)
{
    int64_t count = tegu_tensor_elements(tensor);
    for (int64_t i = 0; i < count; i++)
        switch (tensor->dtype) {
        case TEGU_BOOL:
            ((uint8_t *)tensor->data)[i] = numeric_chance(&gen->rng, 0.5);
            break;
        case TEGU_I32:
            ((int32_t *)tensor->data)[i] =
                (int32_t)random_integer(gen, TEGU_I32);
            break;
        case TEGU_I64:
            ((int64_t *)tensor->data)[i] = random_integer(gen, TEGU_I64);
            break;
        default: ((float *)tensor->data)[i] = (float)random_float(gen); break;
        }
}

static tegu_tensor filled(generator *gen, const tegu_type *type)
{
    tegu_tensor tensor = {.dtype = type->dtype, .rank = type->rank};
    for (uint32_t d = 0; d < type->rank; d++)
        tensor.dims[d] = tegu_dim_value(type->dims[d], gen->model->symbols);
    numeric_allocate(gen->model->arena, &tensor);
    fill(gen, &tensor);
    return tensor;
}

/* --- leaves --- */

static tegu_value add_input(generator *gen, const tegu_type *type)
{
    tegu_entry *entry = numeric_entry(gen->model);
    uint32_t i = entry->arguments.count;
    const char *name = tegu_intern_cstr(
        gen->unit->names, tegu_format(gen->model->arena, "x%u", i));
    type = tegu_unit_type(gen->unit, type);
    tegu_vec_push(gen->unit->arena, &entry->arguments,
                  (tegu_argument){name, type});
    gen->model->inputs[i] = filled(gen, type);
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_INPUT, "name", name);
    return tegu_build(gen->g, tegu_loc_none(), TEGU_OP_INPUT, 0, NULL, 1, &attr,
                      type);
}

static tegu_value add_param(generator *gen, const tegu_type *type)
{
    const char *name = tegu_intern_cstr(
        gen->unit->names, tegu_format(gen->model->arena, "w%u", gen->params));
    type = tegu_unit_type(gen->unit, type);
    tegu_param param = {.name = name,
                        .type = type,
                        .source = TEGU_SOURCE_DATA,
                        .stored = type->dtype,
                        .data = filled(gen, type).data};
    uint32_t index;
    tegu_unit_add_param(gen->unit, &param, &index);
    gen->params++;
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_PARAM, "name", name);
    return tegu_build(gen->g, tegu_loc_none(), TEGU_OP_PARAM, 0, NULL, 1, &attr,
                      type);
}

tegu_value generate_leaf(generator *gen, const tegu_type *type)
{
    bool room = numeric_entry(gen->model)->arguments.count < NUMERIC_MAX_INPUTS;
    bool fixed = tegu_type_is_static(type);
    if (room && (!fixed || numeric_chance(&gen->rng, 0.4)))
        return add_input(gen, type);
    if (!fixed)
        return 0;
    if (numeric_chance(&gen->rng, 0.5))
        return add_param(gen, type);
    return tegu_build_const(gen->g, tegu_loc_none(),
                            tegu_unit_type(gen->unit, type),
                            filled(gen, type).data);
}

tegu_value generate_pick(generator *gen, tegu_dtype dtype)
{
    uint32_t count = gen->g->nodes.count - 1;
    for (int tries = 0; count && tries < 12; tries++) {
        uint32_t back = numeric_below(&gen->rng, count);
        if (numeric_chance(&gen->rng, 0.5))
            back %= 6; /* rather something recent */
        tegu_value v = count - back;
        if (dtype == TEGU_DTYPE_COUNT ||
            tegu_graph_type(gen->g, v)->dtype == dtype)
            return v;
    }
    tegu_type type = generate_type(
        gen, dtype == TEGU_DTYPE_COUNT ? generate_dtype(gen) : dtype);
    return generate_leaf(gen, &type);
}

/* --- states that are replaced as a whole --- */

static tegu_value add_replaced_state(generator *gen)
{
    tegu_type type = generate_type(gen, TEGU_F32);
    if (!tegu_type_is_static(&type))
        return 0;
    tegu_state state = {.name = tegu_intern_cstr(gen->unit->names, "memory"),
                        .type = tegu_unit_type(gen->unit, &type)};
    tegu_vec_push(gen->unit->arena, &gen->unit->states, state);
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_STATE, "name", state.name);
    return tegu_build(gen->g, tegu_loc_none(), TEGU_OP_STATE, 0, NULL, 1, &attr,
                      state.type);
}

/* The state's next value: one of its type, the latest; else a function. */
static void update_replaced_state(generator *gen, tegu_value state)
{
    tegu_graph *g = gen->g;
    tegu_value next = 0;
    for (tegu_value v = g->nodes.count; v-- > 1 && !next;)
        if (v != state && tegu_graph_node(g, v)->op != TEGU_OP_STATE &&
            tegu_graph_node(g, v)->op != TEGU_OP_APPEND &&
            tegu_type_equal(tegu_graph_type(g, v), tegu_graph_type(g, state)))
            next = v;
    if (!next)
        next = tegu_build_unary(g, tegu_loc_none(), TEGU_OP_COS, state);
    tegu_graph_add_update(g, tegu_node_text(tegu_graph_node(g, state), "name"),
                          next);
}

/* --- programs --- */

/* Most values that nothing uses become results; the rest is dead. */
static void add_results(generator *gen)
{
    tegu_graph *g = gen->g;
    const uint32_t *uses = tegu_graph_uses(g, gen->model->arena);
    uint8_t *used = TEGU_ARRAY(gen->model->arena, uint8_t, g->nodes.count);
    for (tegu_value v = 1; v < g->nodes.count; v++)
        for (uint32_t i = 0; i < tegu_graph_node(g, v)->input_count; i++)
            used[tegu_graph_node(g, v)->inputs[i]] = 1;
    uint32_t wanted = 1 + numeric_below(&gen->rng, NUMERIC_MAX_RESULTS - 1);
    for (tegu_value v = g->nodes.count; v-- > 1 && g->results.count < wanted;) {
        bool sink = !used[v] && !uses[v];
        if (v + 1 != g->nodes.count &&
            !(sink && numeric_chance(&gen->rng, 0.8)))
            continue;
        const char *name = tegu_intern_cstr(
            gen->unit->names,
            tegu_format(gen->model->arena, "r%u", g->results.count));
        tegu_graph_add_result(g, name, v);
    }
}

/* How an op is made at the program's level. */
static generate_maker maker_of(const generator *gen, tegu_op op)
{
    generate_maker maker = generate_core_maker(op);
    if (!maker &&
        (gen->g->level == TEGU_LEVEL_MODEL || tegu_op_has(op, TEGU_NATIVE)))
        maker = generate_model_maker(op);
    return maker;
}

/* Of two ops drawn, the one that the program has fewer of. */
static tegu_op rarer_op(generator *gen)
{
    tegu_op best = TEGU_OP_COUNT;
    for (int i = 0; i < 2;) {
        tegu_op op = (tegu_op)numeric_below(&gen->rng, TEGU_OP_COUNT);
        if (!maker_of(gen, op))
            continue;
        if (best == TEGU_OP_COUNT || gen->made[op] < gen->made[best])
            best = op;
        i++;
    }
    return best;
}

static void start(generator *gen, numeric_model *model, uint64_t seed,
                  const generate_options *options)
{
    *gen = (generator){.model = model,
                       .unit = model->unit,
                       .options = options,
                       .rng = {seed * 0x2545f4914f6cdd1du + 1}};
    tegu_unit *unit = model->unit;
    if (numeric_chance(&gen->rng, 0.5)) {
        static const int64_t most[] = {1, 4, 9, 17, 40};
        int64_t hi = most[numeric_below(&gen->rng, 5)];
        gen->symbol = tegu_unit_add_axis(unit, "T", true, 1, hi);
    }
    model->symbols = TEGU_ARRAY(model->arena, int64_t, unit->axes.count);
    if (gen->symbol)
        model->symbols[gen->symbol] =
            1 +
            numeric_below(&gen->rng, (uint32_t)unit->axes.data[gen->symbol].hi);
    gen->g = tegu_graph_create(unit, numeric_chance(&gen->rng, 0.5)
                                         ? TEGU_LEVEL_MODEL
                                         : TEGU_LEVEL_CORE);
    tegu_entry entry = {.name = tegu_intern_cstr(unit->names, "f"),
                        .graph = gen->g};
    tegu_vec_push(unit->arena, &unit->entries, entry);
}

numeric_model generate_model(uint64_t seed, const generate_options *options)
{
    numeric_model model = numeric_create();
    generator gen;
    start(&gen, &model, seed, options);
    tegu_type type = generate_type(&gen, TEGU_F32);
    if (gen.symbol) {
        type.rank = type.rank ? type.rank : 1;
        type.dims[0] = tegu_unit_axis_dim(gen.unit, gen.symbol);
        if (!generate_fits(&gen, &type))
            type.rank = 1;
    }
    add_input(&gen, &type);
    tegu_value state =
        numeric_chance(&gen.rng, 0.1) ? add_replaced_state(&gen) : 0;
    uint32_t nodes = 1 + numeric_below(&gen.rng, options->max_nodes);
    for (uint32_t i = 0; i < nodes; i++) {
        tegu_op op = rarer_op(&gen);
        if (maker_of(&gen, op)(&gen, op))
            gen.made[op]++;
    }
    if (state)
        update_replaced_state(&gen, state);
    add_results(&gen);
    if (model.unit->states.count)
        model.calls = 1 + numeric_below(&gen.rng, 3);
    return model;
}

void generate_count(const numeric_model *model, uint32_t *nodes)
{
    const tegu_graph *g = numeric_entry(model)->graph;
    for (tegu_value v = 1; v < g->nodes.count; v++)
        nodes[tegu_graph_node(g, v)->op]++;
}
