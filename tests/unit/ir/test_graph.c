/* SPDX-License-Identifier: Apache-2.0 */
/* test_graph.c - building, walking, hashing and rewriting graphs. */
#include "fixture.h"

#include <math.h>
#include <string.h>

static const tegu_type *matrix(tegu_unit *unit, int64_t rows, int64_t columns)
{
    return tegu_unit_shape(unit, TEGU_F32, 2, (int64_t[]){rows, columns});
}

static tegu_value unary(tegu_graph *g, tegu_op op, tegu_value x)
{
    return tegu_build_unary(g, tegu_loc_none(), op, x);
}

static tegu_value binary(tegu_graph *g, tegu_op op, tegu_value a, tegu_value b)
{
    return tegu_build_binary(g, tegu_loc_none(), op, a, b);
}

static tegu_value scalar(tegu_graph *g, tegu_dtype dtype, double value)
{
    return tegu_build_scalar(g, tegu_loc_none(), dtype, value);
}

static tegu_value param(tegu_graph *g, const char *name, const tegu_type *type)
{
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_PARAM, "name", name);
    return tegu_build(g, tegu_loc_none(), TEGU_OP_PARAM, 0, NULL, 1, &attr,
                      type);
}

/* --- building --- */

static void absent_attributes_take_their_defaults(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = empty_graph(&f);
    tegu_value x = input(
        g, "x", tegu_unit_shape(g->unit, TEGU_F32, 3, (int64_t[]){4, 2, 8}));
    tegu_value p = tegu_build(g, tegu_loc_none(), TEGU_OP_POSITION, 0, NULL, 0,
                              NULL, NULL);
    tegu_attr theta = tegu_attr_of_float(TEGU_OP_ROPE, "theta", 5e5);
    tegu_value v = tegu_build(g, tegu_loc_none(), TEGU_OP_ROPE, 2,
                              (tegu_value[]){x, p}, 1, &theta, NULL);
    const tegu_node *node = tegu_graph_node(g, v);
    assert_true(tegu_node_float(node, "theta") == 5e5);
    assert_string_equal(tegu_node_text(node, "style"), "half");
    assert_int_equal(tegu_node_int(node, "dims"), 0);
    assert_true(tegu_node_float(node, "factor") == 1);
    fixture_close(&f);
}

static void attributes_of_another_op_are_taken_by_name(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = empty_graph(&f);
    tegu_value x = input(g, "x", matrix(g->unit, 2, 3));
    tegu_attr axes =
        tegu_attr_of_ints(g->unit, TEGU_OP_MEAN, "axes", (int64_t[]){1}, 1);
    tegu_value v = tegu_build(g, tegu_loc_none(), TEGU_OP_REDUCE_SUM, 1, &x, 1,
                              &axes, NULL);
    assert_int_equal(tegu_graph_type(g, v)->rank, 1);
    assert_ptr_equal(tegu_graph_node(g, v)->attrs[0].info,
                     &tegu_op_get(TEGU_OP_REDUCE_SUM)->attrs[0]);
    tegu_attr theta = tegu_attr_of_float(TEGU_OP_ROPE, "theta", 1);
    assert_int_equal(
        tegu_build(g, tegu_loc_none(), TEGU_OP_NEG, 1, &x, 1, &theta, NULL), 0);
    assert_message(&f, "'neg' has no attribute 'theta'");
    tegu_attr axis = tegu_attr_of_int(TEGU_OP_IOTA, "axis", 0);
    tegu_attr axes_twice[] = {axes, axes};
    assert_int_equal(tegu_build(g, tegu_loc_none(), TEGU_OP_REDUCE_SUM, 1, &x,
                                2, axes_twice, NULL),
                     0);
    assert_message(&f, "'reduce.sum' is given twice the attribute 'axes'");
    assert_int_equal(
        tegu_build(g, tegu_loc_none(), TEGU_OP_SIZE, 1, &x, 0, NULL, NULL), 0);
    assert_message(&f, "'size' needs the attribute 'axis'");
    assert_true(tegu_build(g, tegu_loc_none(), TEGU_OP_SIZE, 1, &x, 1, &axis,
                           NULL) != 0);
    fixture_close(&f);
}

static void no_value_passes_through_silently(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = empty_graph(&f);
    tegu_value x = input(g, "x", matrix(g->unit, 2, 3));
    assert_int_equal(binary(g, TEGU_OP_ADD, x, 0), 0);
    assert_int_equal(unary(g, TEGU_OP_NEG, 0), 0);
    assert_int_equal(tegu_diag_errors(f.diag), 0);
    assert_int_equal(unary(g, TEGU_OP_NEG, 99), 0);
    assert_message(&f, "'neg' uses %99, which is no earlier value");
    fixture_close(&f);
}

static void a_given_type_keeps_its_axes(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = empty_graph(&f);
    tegu_axis_id dim = tegu_unit_find_axis(g->unit, "dim");
    tegu_type named = {.dtype = TEGU_F32, .rank = 1};
    named.dims[0] = tegu_unit_axis_dim(g->unit, dim);
    tegu_value x =
        input(g, "x", tegu_unit_shape(g->unit, TEGU_F32, 1, (int64_t[]){256}));
    tegu_value y =
        tegu_build(g, tegu_loc_none(), TEGU_OP_NEG, 1, &x, 0, NULL, &named);
    assert_int_equal(tegu_graph_type(g, y)->dims[0].axes[0], dim);
    fixture_close(&f);
}

static void scalars_saturate_to_their_type(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = empty_graph(&f);
    const void *data;
    data = tegu_graph_node(g, scalar(g, TEGU_I32, 1e12))->data;
    assert_true(*(const int32_t *)data == INT32_MAX);
    data = tegu_graph_node(g, scalar(g, TEGU_I32, (double)NAN))->data;
    assert_true(*(const int32_t *)data == 0);
    data = tegu_graph_node(g, scalar(g, TEGU_I64, -1e30))->data;
    assert_true(*(const int64_t *)data == INT64_MIN);
    data = tegu_graph_node(g, scalar(g, TEGU_BOOL, 2))->data;
    assert_true(*(const unsigned char *)data == 1);
    data = tegu_graph_node(g, scalar(g, TEGU_F32, 0.1))->data;
    assert_true(*(const float *)data == 0.1f);
    fixture_close(&f);
}

static void constants_are_copied(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = empty_graph(&f);
    float values[] = {1, 2};
    const tegu_type *type =
        tegu_unit_shape(g->unit, TEGU_F32, 1, (int64_t[]){2});
    tegu_value v = tegu_build_const(g, tegu_loc_none(), type, values);
    values[0] = 9;
    assert_true(((const float *)tegu_graph_node(g, v)->data)[0] == 1);
    tegu_node_spec spec = {.op = TEGU_OP_CONST,
                           .type = type,
                           .data = values,
                           .data_borrowed = true};
    v = tegu_graph_add(g, &spec);
    assert_ptr_equal(tegu_graph_node(g, v)->data, values);
    fixture_close(&f);
}

/* --- walking --- */

static void uses_count_what_results_reach(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = empty_graph(&f);
    tegu_value x = input(g, "x", matrix(g->unit, 2, 3));
    tegu_value y = binary(g, TEGU_OP_MUL, x, x);
    tegu_value dead = binary(g, TEGU_OP_ADD, y, x);
    tegu_graph_add_result(g, "r", y);
    tegu_graph_add_result(g, "s", y);
    uint32_t *uses = tegu_graph_uses(g, f.arena);
    assert_int_equal(uses[x], 2);
    assert_int_equal(uses[y], 2);
    assert_int_equal(uses[dead], 0);
    tegu_graph_add_update(g, "state", dead);
    uses = tegu_graph_uses(g, f.arena);
    assert_int_equal(uses[x], 3);
    assert_int_equal(uses[y], 3);
    assert_int_equal(uses[dead], 1);
    fixture_close(&f);
}

static void constants_depend_on_weights_alone(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit =
        parse_good(&f, "unit t\naxis T in 1..4\nparam \"w\" : f32[2]\n"
                       "entry e kernel {\n"
                       "%1 = input {name=\"x\"} : f32[T]\n"
                       "%2 = param {name=\"w\"} : f32[2]\n"
                       "%3 = iota {axis=0} : i32[2]\n"
                       "%4 = iota {axis=0} : i32[T]\n"
                       "%5 = position : i32[]\n"
                       "%6 = size %1 {axis=0} : i32[]\n"
                       "%7 = size %2 {axis=0} : i32[]\n"
                       "%8 = kernel %2 {family=\"loop\"} : f32[2] {\n"
                       "%1 = arg {index=0} : f32[2]\nreturn %1\n}\n"
                       "%9 = kernel {family=\"loop\"} : i32[] {\n"
                       "%1 = position : i32[]\nreturn %1\n}\n"
                       "%10 = kernel %1 {family=\"loop\"} : f32[T] {\n"
                       "%1 = arg {index=0} : f32[T]\nreturn %1\n}\n"
                       "return \"r\" %10\n}\n");
    static const bool expected[] = {0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0};
    bool *constant = tegu_graph_constant(unit->entries.data[0].graph, f.arena);
    for (int v = 1; v <= 10; v++)
        if (constant[v] != expected[v])
            fail_msg("%%%d is %sconstant", v, constant[v] ? "" : "not ");
    fixture_close(&f);
}

/* --- hash --- */

/* The hash of the only entry of a unit with this body. */
static uint64_t hash_of(fixture *f, const char *lines)
{
    const char *text = tegu_format(
        f->arena,
        "unit t\naxis T in 1..4\nstate \"s\" : f32[2]\nstate \"q\" : f32[2]\n"
        "entry e(\"x\" : f32[2], \"y\" : f32[T]) core {\n"
        "%%1 = input {name=\"x\"} : f32[2]\n%s}\n",
        lines);
    return tegu_graph_hash(parse_good(f, text)->entries.data[0].graph);
}

static void hash_is_that_of_the_meaning(void **state)
{
    (void)state;
    fixture f = fixture_open();
    const char *base = "%2 = neg %1 : f32[2]\n%3 = add %2, %1 : f32[2]\n"
                       "return \"r\" %3\n";
    static const char *const same[] = {
        /* names, dead code, order, repetition */
        "%2 \"b\" = neg %1 : f32[2]\n%3 = add %2, %1 : f32[2]\n"
        "return \"r\" %3\n",
        "%2 = abs %1 : f32[2]\n%3 = neg %1 : f32[2]\n"
        "%4 = add %3, %1 : f32[2]\nreturn \"r\" %4\n",
    };
    static const char *const other[] = {
        "%2 = neg %1 : f32[2]\n%3 = add %1, %2 : f32[2]\nreturn \"r\" %3\n",
        "%2 = neg %1 : f32[2]\n%3 = sub %2, %1 : f32[2]\nreturn \"r\" %3\n",
        "%2 = neg %1 : f32[2]\n%3 = add %2, %1 : f32[2]\n"
        "return \"r\" %3\nreturn \"s\" %3\n",
        "%2 = neg %1 : f32[2]\n%3 = add %2, %1 : f32[2]\n"
        "return \"r\" %3\nupdate \"s\" %3\n",
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        assert_true(hash_of(&f, same[i]) == hash_of(&f, base));
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        assert_true(hash_of(&f, other[i]) != hash_of(&f, base));
    /* Kept for ever: it names kernels in compiled objects. */
    assert_true(hash_of(&f, base) == 0x3740c2cb3b2ee93eu);
    fixture_close(&f);
}

static void hash_sees_constants_attributes_and_states(void **state)
{
    (void)state;
    fixture f = fixture_open();
    static const char *const all[] = {
        "%2 = const [1, 2] : f32[2]\nreturn \"r\" %2\n",
        "%2 = const [1, 3] : f32[2]\nreturn \"r\" %2\n",
        "%2 = const [1, 2] : i32[2]\nreturn \"r\" %2\n",
        "%2 = const [1, 2] : f32[2, 1]\nreturn \"r\" %2\n",
        "%2 = const [0, -0] : f32[2]\nreturn \"r\" %2\n",
        "%2 = const [0, 0] : f32[2]\nreturn \"r\" %2\n",
        "%2 = pad %1 {low=[1], high=[0]} : f32[3]\nreturn \"r\" %2\n",
        "%2 = pad %1 {low=[0], high=[1]} : f32[3]\nreturn \"r\" %2\n",
        "%2 = pad %1 {low=[0], high=[1], value=1} : f32[3]\nreturn \"r\" %2\n",
        "%2 = neg %1 : f32[2]\nupdate \"s\" %2\n",
        "%2 = neg %1 : f32[2]\nupdate \"q\" %2\n",
        "%2 = input {name=\"y\"} : f32[T]\nreturn \"r\" %2\n",
        "return \"r\" %1\n",
    };
    enum { ALL = sizeof all / sizeof all[0] };
    uint64_t hashes[ALL];
    for (int i = 0; i < ALL; i++) {
        hashes[i] = hash_of(&f, all[i]);
        for (int k = 0; k < i; k++)
            if (hashes[i] == hashes[k])
                fail_msg("alike:\n%s\n%s", all[i], all[k]);
    }
    fixture_close(&f);
}

/* --- rewriting --- */

static tegu_graph *sample(fixture *f)
{
    tegu_graph *g = empty_graph(f);
    tegu_value x = input(g, "x", matrix(g->unit, 2, 3));
    unary(g, TEGU_OP_ABS, x); /* dead */
    tegu_node_spec spec = {.op = TEGU_OP_NEG,
                           .inputs = &x,
                           .input_count = 1,
                           .name = "minus",
                           .loc = {.file = "a.tegu", .line = 7, .column = 3}};
    tegu_value y = tegu_graph_add(g, &spec);
    tegu_value w = param(g, "w", matrix(g->unit, 2, 1));
    tegu_value z = binary(g, TEGU_OP_MUL, y, w);
    tegu_graph_add_result(g, "r", z);
    tegu_graph_add_update(g, "s", y);
    return g;
}

static void rewriting_copies_what_is_reachable(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = sample(&f);
    tegu_graph *copy = tegu_graph_rewrite(g, TEGU_LEVEL_CORE, NULL, NULL);
    assert_non_null(copy);
    assert_int_equal(copy->nodes.count, g->nodes.count - 1);
    assert_true(tegu_graph_hash(copy) == tegu_graph_hash(g));
    assert_string_equal(copy->results.data[0].name, "r");
    assert_string_equal(copy->updates.data[0].state, "s");
    const tegu_node *node = tegu_graph_node(copy, copy->updates.data[0].value);
    assert_int_equal(node->op, TEGU_OP_NEG);
    assert_string_equal(node->name, "minus");
    assert_int_equal(node->loc.line, 7);
    fixture_close(&f);
}

/* Replaces -x by 0 - x, counting visits; a parameter named by data widens. */
typedef struct plan {
    int visits;
    tegu_op fail_at;
    const tegu_type *wider;
} plan;

static tegu_value replace(tegu_rewriter *rw, tegu_value v)
{
    plan *p = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);
    p->visits++;
    assert_true(rw->uses[v] > 0);
    if (node->op == p->fail_at) {
        tegu_error(rw->from->unit->diag, node->loc, TEGU_E_UNSUPPORTED,
                   "no such op here");
        return 0;
    }
    if (node->op == TEGU_OP_NEG)
        return binary(rw->into, TEGU_OP_SUB, scalar(rw->into, TEGU_F32, 0),
                      rw->map[node->inputs[0]]);
    if (node->op == TEGU_OP_PARAM && p->wider)
        return param(rw->into, "w", p->wider);
    return tegu_rewriter_copy(rw, v);
}

static void visits_replace_nodes(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = sample(&f);
    plan p = {.fail_at = TEGU_OP_COUNT};
    tegu_graph *made = tegu_graph_rewrite(g, TEGU_LEVEL_CORE, replace, &p);
    assert_non_null(made);
    assert_int_equal(p.visits, 4);
    const tegu_node *node = tegu_graph_node(made, made->updates.data[0].value);
    assert_int_equal(node->op, TEGU_OP_SUB);
    fixture_close(&f);
}

static void copies_follow_changed_types(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = sample(&f);
    plan p = {.fail_at = TEGU_OP_COUNT, .wider = matrix(g->unit, 2, 3)};
    assert_non_null(tegu_graph_rewrite(g, TEGU_LEVEL_CORE, replace, &p));
    p.wider = matrix(g->unit, 3, 1);
    assert_null(tegu_graph_rewrite(g, TEGU_LEVEL_CORE, replace, &p));
    assert_message(&f, "'mul' got f32[2, 3] and f32[3, 1]");
    fixture_close(&f);
}

static void a_failing_visit_fails_the_rewrite(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = sample(&f);
    plan p = {.fail_at = TEGU_OP_PARAM};
    assert_null(tegu_graph_rewrite(g, TEGU_LEVEL_CORE, replace, &p));
    assert_int_equal(tegu_diag_errors(f.diag), 1);
    assert_message(&f, "no such op here");
    fixture_close(&f);
}

static void attributes_are_equal_as_printed(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    tegu_op pad = TEGU_OP_PAD;
    tegu_attr zero = tegu_attr_of_float(pad, "value", 0);
    tegu_attr minus = tegu_attr_of_float(pad, "value", -0.0);
    tegu_attr nan = tegu_attr_of_float(pad, "value", (double)NAN);
    assert_true(tegu_attr_equal(&zero, &zero));
    assert_false(tegu_attr_equal(&zero, &minus));
    assert_true(tegu_attr_equal(&nan, &nan));
    tegu_attr one = tegu_attr_of_ints(unit, pad, "low", (int64_t[]){1, 2}, 2);
    tegu_attr two = tegu_attr_of_ints(unit, pad, "low", (int64_t[]){1, 3}, 2);
    tegu_attr none = tegu_attr_of_ints(unit, pad, "low", NULL, 0);
    assert_true(tegu_attr_equal(&one, &one));
    assert_false(tegu_attr_equal(&one, &two));
    assert_false(tegu_attr_equal(&one, &none));
    assert_true(tegu_attr_equal(&none, &none));
    assert_false(tegu_attr_equal(&none, &zero));
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_attributes_take_their_defaults),
        cmocka_unit_test(attributes_of_another_op_are_taken_by_name),
        cmocka_unit_test(no_value_passes_through_silently),
        cmocka_unit_test(a_given_type_keeps_its_axes),
        cmocka_unit_test(scalars_saturate_to_their_type),
        cmocka_unit_test(constants_are_copied),
        cmocka_unit_test(uses_count_what_results_reach),
        cmocka_unit_test(constants_depend_on_weights_alone),
        cmocka_unit_test(hash_is_that_of_the_meaning),
        cmocka_unit_test(hash_sees_constants_attributes_and_states),
        cmocka_unit_test(rewriting_copies_what_is_reachable),
        cmocka_unit_test(visits_replace_nodes),
        cmocka_unit_test(copies_follow_changed_types),
        cmocka_unit_test(a_failing_visit_fails_the_rewrite),
        cmocka_unit_test(attributes_are_equal_as_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
