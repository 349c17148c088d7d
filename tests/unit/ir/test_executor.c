/* SPDX-License-Identifier: Apache-2.0 */
/* test_executor.c - the interpreter as an executor: state over calls, kernels
 * and composites by their definitions, constants, arguments of storage types.
 * What the ops give is tests/numeric's concern.
 */
#include "fixture.h"

#include <math.h>
#include <string.h>

static tegu_tensor vector_of(tegu_dtype dtype, int64_t n, void *data)
{
    return (tegu_tensor){.dtype = dtype, .rank = 1, .dims = {n}, .data = data};
}

/* --- state --- */

/* A cache of four rows; gives the sum over it and the position before. */
static const char cache_text[] = "unit m\naxis T in 1..3\n"
                                 "state \"s\" append : f32[4]\n"
                                 "entry f core {\n"
                                 "  %1 = input {name=\"x\"} : f32[T]\n"
                                 "  %2 = state {name=\"s\"} : f32[4]\n"
                                 "  %3 = append %2, %1 : f32[4]\n"
                                 "  %4 = reduce.sum %3 {axes=[0]} : f32[]\n"
                                 "  %5 = position : i32[]\n"
                                 "  return \"sum\" %4\n  return \"at\" %5\n"
                                 "  update \"s\" %3\n}\n";

typedef struct answer {
    bool done;
    float sum;
    int32_t at;
} answer;

static answer give(tegu_executor *e, int64_t n, float *x)
{
    answer a = {.sum = -1, .at = -1};
    tegu_tensor in = vector_of(TEGU_F32, n, x);
    tegu_tensor out[2] = {{.dtype = TEGU_F32, .data = &a.sum},
                          {.dtype = TEGU_I32, .data = &a.at}};
    a.done = e->call(e->self, "f", &in, 1, out, 2);
    return a;
}

static void assert_answer(answer a, float sum, int32_t at)
{
    assert_true(a.done);
    assert_true(a.sum == sum);
    assert_int_equal(a.at, at);
}

static void a_cache_grows_rewinds_and_resets(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_executor *e = tegu_interp_create(parse_good(&f, cache_text), f.arena);
    assert_answer(give(e, 2, (float[]){1, 2}), 3, 0);
    assert_answer(give(e, 1, (float[]){4}), 7, 2);
    assert_int_equal(e->position(e->self), 3);
    assert_true(e->rewind(e->self, 1));
    assert_answer(give(e, 1, (float[]){10}), 11, 1); /* row 2 is gone */
    assert_false(e->rewind(e->self, 3));
    assert_false(e->rewind(e->self, -1));
    e->reset(e->self);
    assert_answer(give(e, 3, (float[]){1, 1, 1}), 3, 0);
    e->destroy(e->self);
    fixture_close(&f);
}

static void a_call_past_the_caches_end_fails_and_changes_nothing(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_executor *e = tegu_interp_create(parse_good(&f, cache_text), f.arena);
    assert_answer(give(e, 3, (float[]){1, 2, 3}), 6, 0);
    assert_false(give(e, 2, (float[]){5, 5}).done);
    assert_message(&f, "the state holds 4 rows; 2 more do not fit after the "
                       "first 3");
    assert_answer(give(e, 1, (float[]){4}), 10, 3);
    e->destroy(e->self);
    fixture_close(&f);
}

static void states_are_replaced_together(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit =
        parse_good(&f, "unit m\nstate \"a\" : f32[1]\nstate \"b\" : f32[1]\n"
                       "entry f core {\n"
                       "  %1 = input {name=\"x\"} : f32[1]\n"
                       "  %2 = state {name=\"a\"} : f32[1]\n"
                       "  %3 = state {name=\"b\"} : f32[1]\n"
                       "  %4 = reshape %3 : f32[1]\n"
                       "  %5 = add %2, %1 : f32[1]\n"
                       "  return \"a\" %2\n  return \"b\" %3\n"
                       "  update \"a\" %4\n  update \"b\" %5\n}\n");
    tegu_executor *e = tegu_interp_create(unit, f.arena);
    float x = 1, a, b;
    tegu_tensor in = vector_of(TEGU_F32, 1, &x);
    tegu_tensor out[2] = {vector_of(TEGU_F32, 1, &a),
                          vector_of(TEGU_F32, 1, &b)};
    static const float want[][2] = {{0, 0}, {0, 1}, {1, 1}, {1, 2}, {2, 2}};
    for (int i = 0; i < 5; i++) {
        assert_true(e->call(e->self, "f", &in, 1, out, 2));
        assert_true(a == want[i][0] && b == want[i][1]);
    }
    assert_true(e->rewind(e->self, 0));
    assert_true(e->call(e->self, "f", &in, 1, out, 2));
    assert_true(a == 0 && b == 0);
    fixture_close(&f);
}

static void shadows_carry_state_and_its_error_between_calls(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit =
        parse_good(&f, "unit m\nstate \"a\" : f32[1]\nentry f core {\n"
                       "  %1 = state {name=\"a\"} : f32[1]\n"
                       "  %2 = const 0.1 : f32[]\n"
                       "  %3 = add %1, %2 : f32[1]\n"
                       "  return \"a\" %3\n  update \"a\" %3\n}\n");
    const tegu_graph *g = unit->entries.data[0].graph;
    tegu_shadow *states = tegu_interp_states(unit, f.arena), r;
    double last = 0;
    for (int i = 1; i <= 50; i++) {
        assert_true(
            tegu_interp_shadow(g, f.arena, NULL, 0, states, 0, NULL, &r));
        assert_true(fabs(r.exact[0] - i * (double)0.1f) < 1e-14);
        if (i > 2) /* the first sum and its double are exact */
            assert_true(r.bound[0] > last);
        last = r.bound[0];
    }
    fixture_close(&f);
}

static void calls_that_do_not_fit_the_entry_are_refused(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_executor *e = tegu_interp_create(parse_good(&f, cache_text), f.arena);
    float x[5] = {0}, sum;
    tegu_tensor in = vector_of(TEGU_F32, 5, x);
    tegu_tensor out[2] = {{.data = &sum}, {.data = &sum}};
    assert_false(e->call(e->self, "g", &in, 1, out, 2));
    assert_message(&f, "the model has no entry 'g'");
    assert_false(e->call(e->self, "f", &in, 1, out, 1));
    assert_message(&f, "entry 'f' gives 2 results, not 1");
    assert_false(e->call(e->self, "f", &in, 1, out, 2));
    assert_message(&f, "entry 'f' takes 'x' as f32[T]");
    fixture_close(&f);
}

/* --- kernels, constants, storage types --- */

static void a_kernel_is_what_its_body_says(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit =
        parse_good(&f, "unit m\nentry f kernel {\n"
                       "  %1 = input {name=\"x\"} : f32[2]\n"
                       "  %2 = const 3 : f32[]\n"
                       "  %3 = kernel %1, %2 {family=\"loop\"} : f32[2] {\n"
                       "    %1 = arg {index=1} : f32[]\n"
                       "    %2 = arg {index=0} : f32[2]\n"
                       "    %3 = mul %2, %1 : f32[2]\n"
                       "    %4 = sub %3, %2 : f32[2]\n"
                       "    return %4\n  }\n"
                       "  %4 = kernel %3, %3 {family=\"loop\"} : f32[2] {\n"
                       "    %1 = arg {index=0} : f32[2]\n"
                       "    %2 = arg {index=1} : f32[2]\n"
                       "    %3 = add %1, %2 : f32[2]\n"
                       "    return %3\n  }\n"
                       "  return \"y\" %4\n}\n");
    tegu_executor *e = tegu_interp_create(unit, f.arena);
    float x[2] = {1, -2}, y[2];
    tegu_tensor in = vector_of(TEGU_F32, 2, x), out = vector_of(TEGU_F32, 2, y);
    assert_true(e->call(e->self, "f", &in, 1, &out, 1));
    assert_true(y[0] == 4 && y[1] == -8);
    fixture_close(&f);
}

/* Storage elements: 1.5, -0.25 and 3 in each type (integers: 1, -1, 3). */
static void arguments_of_storage_types_are_cast(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        tegu_dtype dtype;
        unsigned char bytes[24];
        float want[3];
    } cases[] = {
        {"f16", TEGU_F16, {0, 0x3e, 0, 0xb4, 0, 0x42}, {1.5f, -0.25f, 3}},
        {"f16",
         TEGU_F16,
         {1, 0, 0xff, 0x7b, 0, 0xfc},
         {0x1p-24f, 65504, -INFINITY}},
        {"bf16",
         TEGU_BF16,
         {0xc0, 0x3f, 0x80, 0xbe, 0x40, 0x40},
         {1.5f, -0.25f, 3}},
        {"f64",
         TEGU_F64,
         {0, 0, 0,    0,    0, 0, 0xf8, 0x3f, 0, 0, 0, 0,
          0, 0, 0xd0, 0xbf, 0, 0, 0,    0,    0, 0, 8, 0x40},
         {1.5f, -0.25f, 3}},
        {"i8", TEGU_I8, {1, 0xff, 3}, {1, -1, 3}},
        {"u8", TEGU_U8, {1, 0xff, 3}, {1, 255, 3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f = fixture_open();
        tegu_unit *unit =
            parse_good(&f, tegu_format(f.arena,
                                       "unit m\nentry f core {\n"
                                       "  %%1 = input {name=\"x\"} : %s[3]\n"
                                       "  %%2 = cast %%1 {dtype=f32} : f32[3]\n"
                                       "  return \"y\" %%2\n}\n",
                                       cases[i].type));
        tegu_executor *e = tegu_interp_create(unit, f.arena);
        unsigned char bytes[24];
        memcpy(bytes, cases[i].bytes, sizeof bytes);
        float y[3];
        tegu_tensor in = vector_of(cases[i].dtype, 3, bytes);
        tegu_tensor out = vector_of(TEGU_F32, 3, y);
        assert_true(e->call(e->self, "f", &in, 1, &out, 1));
        for (int k = 0; k < 3; k++)
            assert_true(y[k] == cases[i].want[k]);
        fixture_close(&f);
    }
}

static void constants_over_weights_are_evaluated(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = empty_graph(&f);
    static const uint16_t stored[6] = {0x3f80, 0x4000, 0x4040, /* 1 2 3 */
                                       0x4080, 0x40a0, 0x40c0};
    const tegu_type *type =
        tegu_unit_shape(g->unit, TEGU_F32, 2, (int64_t[]){2, 3});
    tegu_param param = {.name = "w",
                        .type = type,
                        .source = TEGU_SOURCE_DATA,
                        .stored = TEGU_BF16,
                        .data = stored};
    uint32_t index;
    assert_true(tegu_unit_add_param(g->unit, &param, &index));
    tegu_attr name = tegu_attr_of_text(TEGU_OP_PARAM, "name", "w");
    tegu_loc loc = tegu_loc_none();
    tegu_value w = tegu_build(g, loc, TEGU_OP_PARAM, 0, NULL, 1, &name, type);
    tegu_value s = tegu_build_const(
        g, loc, tegu_unit_shape(g->unit, TEGU_F32, 1, (int64_t[]){3}),
        (float[]){10, 100, 1000});
    tegu_value v = tegu_build_binary(g, loc, TEGU_OP_MUL, w, s);
    tegu_attr perm = tegu_attr_of_ints(g->unit, TEGU_OP_TRANSPOSE, "perm",
                                       (int64_t[]){1, 0}, 2);
    v = tegu_build(g, loc, TEGU_OP_TRANSPOSE, 1, &v, 1, &perm, NULL);
    float out[6];
    static const float want[6] = {10, 40, 200, 500, 3000, 6000};
    assert_true(tegu_interp_constant(g, v, f.arena, out));
    assert_memory_equal(out, want, sizeof want);

    tegu_unit_find_param(g->unit, "w")->source = TEGU_SOURCE_NONE;
    assert_false(tegu_interp_constant(g, v, f.arena, out));
    assert_message(&f, "parameter 'w' has no data");
    fixture_close(&f);
}

/* --- composites --- */

/* silu is x * sigmoid(x), swiglu is silu(gate) * up, relu is relu. */
static tegu_value expand(void *data, tegu_graph *into, const tegu_node *node,
                         const tegu_value *inputs)
{
    int *calls = data;
    tegu_loc loc = node->loc;
    ++*calls;
    if (node->op == TEGU_OP_RELU)
        return tegu_build_unary(into, loc, TEGU_OP_RELU, inputs[0]);
    if (node->op == TEGU_OP_SWIGLU)
        return tegu_build_binary(
            into, loc, TEGU_OP_MUL,
            tegu_build_unary(into, loc, TEGU_OP_SILU, inputs[0]), inputs[1]);
    return tegu_build_binary(
        into, loc, TEGU_OP_MUL, inputs[0],
        tegu_build_unary(into, loc, TEGU_OP_SIGMOID, inputs[0]));
}

static const char composite_text[] = "unit m\nentry f model {\n"
                                     "  %1 = input {name=\"x\"} : f32[2]\n"
                                     "  %2 = swiglu %1, %1 : f32[2]\n"
                                     "  %3 = swiglu %2, %1 : f32[2]\n"
                                     "  return \"y\" %3\n}\n";

static void a_composite_is_what_its_definition_says(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = parse_good(&f, composite_text);
    int calls = 0;
    unit->expander = (tegu_expander){&calls, expand};
    tegu_executor *e = tegu_interp_create(unit, f.arena);
    float x[2] = {0, 2}, y[2];
    tegu_tensor in = vector_of(TEGU_F32, 2, x), out = vector_of(TEGU_F32, 2, y);
    assert_true(e->call(e->self, "f", &in, 1, &out, 1));
    double once = 2 / (1 + exp(-2.0)) * 2;
    assert_true(y[0] == 0);
    assert_true(fabs((double)y[1] - once / (1 + exp(-once)) * 2) < 1e-6);
    assert_int_equal(calls, 2); /* swiglu and its silu, once for both */
    fixture_close(&f);
}

static void definitions_that_are_missing_or_endless_are_reported(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = parse_good(&f, composite_text);
    tegu_graph *g = unit->entries.data[0].graph;
    assert_null(tegu_composite_body(g, tegu_graph_node(g, 2)));
    assert_message(&f, "'swiglu' has no definition");
    int calls = 0;
    unit->expander = (tegu_expander){&calls, expand};
    tegu_value relu = tegu_build_unary(g, tegu_loc_none(), TEGU_OP_RELU, 1);
    assert_null(tegu_composite_body(g, tegu_graph_node(g, relu)));
    assert_message(&f, "the definition of 'relu' uses itself");
    fixture_close(&f);
}

static void definitions_are_kept_by_type_and_attribute(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = parse_good(&f, composite_text);
    tegu_graph *g = unit->entries.data[0].graph;
    int calls = 0;
    unit->expander = (tegu_expander){&calls, expand};
    tegu_loc loc = tegu_loc_none();
    tegu_value other = tegu_build_scalar(g, loc, TEGU_F32, 1);
    tegu_value a = tegu_build_unary(g, loc, TEGU_OP_SILU, 1);
    tegu_value b = tegu_build_unary(g, loc, TEGU_OP_SILU, a);
    tegu_value c = tegu_build_unary(g, loc, TEGU_OP_SILU, other);
    const tegu_graph *body = tegu_composite_body(g, tegu_graph_node(g, a));
    assert_non_null(body);
    assert_true(tegu_graph_verify(body));
    assert_ptr_equal(body, tegu_composite_body(g, tegu_graph_node(g, b)));
    assert_ptr_not_equal(body, tegu_composite_body(g, tegu_graph_node(g, c)));
    assert_int_equal(calls, 2);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_grows_rewinds_and_resets),
        cmocka_unit_test(a_call_past_the_caches_end_fails_and_changes_nothing),
        cmocka_unit_test(states_are_replaced_together),
        cmocka_unit_test(shadows_carry_state_and_its_error_between_calls),
        cmocka_unit_test(calls_that_do_not_fit_the_entry_are_refused),
        cmocka_unit_test(a_kernel_is_what_its_body_says),
        cmocka_unit_test(arguments_of_storage_types_are_cast),
        cmocka_unit_test(constants_over_weights_are_evaluated),
        cmocka_unit_test(a_composite_is_what_its_definition_says),
        cmocka_unit_test(definitions_that_are_missing_or_endless_are_reported),
        cmocka_unit_test(definitions_are_kept_by_type_and_attribute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
