/* SPDX-License-Identifier: Apache-2.0 */
/* fuse: what kernel families promise to codegen, on graphs with every shape
 * of epilogue, and on a whole model. */
#include "bench.h"
#include <string.h>

/* --- what every kernel-level graph keeps --- */

static bool is_map(tegu_op op)
{
    return tegu_op_kind_of(op) == TEGU_KIND_MAP;
}

/* A contract kernel: one contraction of an operand, maybe reshaped, by a
 * constant operand; element-wise ops; reshapes at the end. */
static void check_contract(const tegu_node *kernel, const bool *constant)
{
    const tegu_graph *body = kernel->body;
    const tegu_node *contract = NULL, *a, *b;

    for (tegu_value v = 1; v < body->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(body, v);
        if (node->op == TEGU_OP_CONTRACT) {
            assert_null(contract);
            contract = node;
        }
        assert_true(is_map(node->op) || node->op == TEGU_OP_CONTRACT ||
                    node->op == TEGU_OP_ARG || node->op == TEGU_OP_CONST ||
                    node->op == TEGU_OP_POSITION ||
                    node->op == TEGU_OP_RESHAPE);
    }
    assert_non_null(contract);
    a = tegu_graph_node(body, contract->inputs[0]);
    b = tegu_graph_node(body, contract->inputs[1]);
    while (a->op == TEGU_OP_RESHAPE)
        a = tegu_graph_node(body, a->inputs[0]);
    assert_int_equal(a->op, TEGU_OP_ARG);
    assert_int_equal(b->op, TEGU_OP_ARG);
    assert_true(constant[kernel->inputs[tegu_node_int(b, "index")]]);
    assert_int_equal(b->type->rank, 2);
}

/* Nothing but leaves and kernels; scalars are in bodies, not operands. */
static void check_graph(const bench *b, const tegu_graph *g)
{
    bool *constant = tegu_graph_constant(g, b->arena);

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (node->op != TEGU_OP_KERNEL) {
            assert_int_equal(tegu_op_kind_of(node->op), TEGU_KIND_LEAF);
            continue;
        }
        if (!strcmp(tegu_node_text(node, "family"), "contract"))
            check_contract(node, constant);
        for (uint32_t i = 0; i < node->input_count; i++) {
            tegu_op op = tegu_graph_node(g, node->inputs[i])->op;
            assert_true(op != TEGU_OP_POSITION && op != TEGU_OP_IOTA &&
                        op != TEGU_OP_SIZE);
        }
    }
}

/* --- a whole model --- */

static void llama_has_13_kernels_per_layer(void **state)
{
    uint32_t kernels[2], contracts[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        bench b = bench_llama(i ? "2" : "1");
        const tegu_graph *g;
        uint32_t constants = 0;
        bench_run(&b, "-O2");
        g = bench_graph(&b);
        bool *constant = tegu_graph_constant(g, b.arena);
        for (tegu_value v = 1; v < g->nodes.count; v++)
            constants +=
                constant[v] && tegu_graph_node(g, v)->op == TEGU_OP_KERNEL;
        kernels[i] = count_kernels(g, NULL) - constants;
        contracts[i] = count_kernels(g, "contract");
        check_graph(&b, g);
        bench_close(&b);
    }
    assert_int_equal(contracts[1] - contracts[0], 7);
    assert_true(kernels[1] - kernels[0] <= 13);
}

static void rope_tables_are_shared_by_all_layers(void **state)
{
    bench b = bench_llama("3");

    (void)state;
    bench_run(&b, "-O2");
    assert_int_equal(count_ops(bench_graph(&b), TEGU_OP_COS), 1);
    assert_int_equal(count_ops(bench_graph(&b), TEGU_OP_SIN), 1);
    bench_close(&b);
}

static void unfused_kernels_hold_one_op(void **state)
{
    bench b = bench_llama("1");
    const tegu_graph *g;

    (void)state;
    bench_run(&b, "-O0");
    g = bench_graph(&b);
    check_graph(&b, g);
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        uint32_t costly = 0;
        for (tegu_value i = 1; node->body && i < node->body->nodes.count; i++)
            costly +=
                tegu_graph_node(node->body, i)->op != TEGU_OP_ARG &&
                !tegu_op_has(tegu_graph_node(node->body, i)->op, TEGU_CHEAP);
        assert_true(costly <= 1);
    }
    bench_close(&b);
}

/* --- epilogues --- */

static const char epilogue_form[] =
    "unit t\naxis T in 1..8\nparam \"W\" : f32[6, 4]\nparam \"c\" : f32[6]\n"
    "entry f core {\n"
    "  %%1 = input {name=\"x\"} : f32[T, 4]\n"
    "  %%2 = param {name=\"W\"} : f32[6, 4]\n"
    "  %%3 = contract %%1, %%2 {a=[1], b=[1]} : f32[T, 6]\n"
    "%s}\n";

static const struct {
    const char *what, *lines;
    uint32_t kernels;
} epilogues[] = {
    {"bias",
     "  %4 = param {name=\"c\"} : f32[6]\n  %5 = add %3, %4 : f32[T, 6]\n"
     "  return \"y\" %5\n",
     1},
    {"residual, twice the result",
     "  %4 = input {name=\"r\"} : f32[T, 6]\n  %5 = add %4, %3 : f32[T, 6]\n"
     "  %6 = add %5, %5 : f32[T, 6]\n  return \"y\" %6\n",
     1},
    {"row factor and a scalar of the position",
     "  %4 = input {name=\"r\"} : f32[T, 1]\n  %5 = mul %3, %4 : f32[T, 6]\n"
     "  %6 = position : i32[]\n  %7 = cast %6 {dtype=f32} : f32[]\n"
     "  %8 = add %5, %7 : f32[T, 6]\n  return \"y\" %8\n",
     1},
    {"a middle value that is a result ends the epilogue",
     "  %4 = neg %3 : f32[T, 6]\n  %5 = exp %4 : f32[T, 6]\n"
     "  return \"y\" %4\n  return \"z\" %5\n",
     2},
    {"an open diamond does not join",
     "  %4 = exp %3 : f32[T, 6]\n  %5 = transpose %3 {perm=[1, 0]} : "
     "f32[6, T]\n  return \"y\" %4\n  return \"z\" %5\n",
     3},
    {"a result of another shape does not join",
     "  %4 = input {name=\"r\"} : f32[2, T, 6]\n"
     "  %5 = add %3, %4 : f32[2, T, 6]\n  return \"y\" %5\n",
     2},
    {"another element type does not join",
     "  %4 = cast %3 {dtype=i32} : i32[T, 6]\n  return \"y\" %4\n", 2},
    {"a broadcast operand is computed before",
     "  %4 = param {name=\"c\"} : f32[6]\n  %5 = exp %4 : f32[6]\n"
     "  %6 = add %3, %5 : f32[T, 6]\n  return \"y\" %6\n",
     2},
    {"nothing follows a reshape",
     "  %4 = reshape %3 : f32[T, 2, 3]\n  %5 = neg %4 : f32[T, 2, 3]\n"
     "  return \"y\" %5\n",
     2},
};

static void epilogues_take_what_keeps_the_result(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof epilogues / sizeof epilogues[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, epilogue_form, epilogues[i].lines);
        bench b = bench_text(text);
        bench_run(&b, "fuse");
        check_graph(&b, bench_graph(&b));
        if (count_kernels(bench_graph(&b), NULL) != epilogues[i].kernels)
            fail_msg("%s: %u kernels\n%s", epilogues[i].what,
                     count_kernels(bench_graph(&b), NULL), bench_printed(&b));
        bench_close(&b);
    }
}

/* --- loops --- */

static const struct {
    const char *what, *lines;
    uint32_t kernels;
} loops[] = {
    {"a chain of element-wise ops is one kernel",
     "  %2 = exp %1 : f32[T, 8]\n  %3 = tanh %2 : f32[T, 8]\n"
     "  %4 = add %3, %1 : f32[T, 8]\n  return \"y\" %4\n",
     1},
    {"softmax is one kernel",
     "  %2 = reduce.max %1 {axes=[1], keep=true} : f32[T, 1]\n"
     "  %3 = sub %1, %2 : f32[T, 8]\n  %4 = exp %3 : f32[T, 8]\n"
     "  %5 = reduce.sum %4 {axes=[1], keep=true} : f32[T, 1]\n"
     "  %6 = div %4, %5 : f32[T, 8]\n  return \"y\" %6\n",
     1},
    {"a reduction over leading axes is a kernel before its reader",
     "  %2 = reduce.sum %1 {axes=[0], keep=true} : f32[1, 8]\n"
     "  %3 = sub %1, %2 : f32[T, 8]\n  return \"y\" %3\n",
     2},
    {"a costly value repeated over rows is a kernel before its reader",
     "  %2 = input {name=\"v\"} : f32[8]\n  %3 = exp %2 : f32[8]\n"
     "  %4 = mul %1, %3 : f32[T, 8]\n  return \"y\" %4\n",
     2},
    {"a cheap value repeated over rows is computed again",
     "  %2 = input {name=\"v\"} : f32[8]\n  %3 = neg %2 : f32[8]\n"
     "  %4 = mul %1, %3 : f32[T, 8]\n  return \"y\" %4\n",
     1},
    {"a costly value with two readers is one kernel",
     "  %2 = exp %1 : f32[T, 8]\n"
     "  %3 = reduce.sum %2 {axes=[0]} : f32[8]\n"
     "  %4 = neg %2 : f32[T, 8]\n  return \"y\" %3\n  return \"z\" %4\n",
     3},
    {"movement of an operand is free",
     "  %2 = transpose %1 {perm=[1, 0]} : f32[8, T]\n"
     "  %3 = exp %2 : f32[8, T]\n  %4 = abs %2 : f32[8, T]\n"
     "  return \"y\" %3\n  return \"z\" %4\n",
     2},
    {"a contraction of two inputs takes cheap producers",
     "  %2 = neg %1 : f32[T, 8]\n"
     "  %3 = contract %2, %1 {a=[1], b=[1]} : f32[T, T]\n"
     "  return \"y\" %3\n",
     1},
    {"a contraction takes no costly producers",
     "  %2 = exp %1 : f32[T, 8]\n"
     "  %3 = contract %2, %1 {a=[1], b=[1]} : f32[T, T]\n"
     "  return \"y\" %3\n",
     2},
};

static void loops_never_compute_costly_values_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "unit t\naxis T in 1..8\nentry f core {\n"
                 "  %%1 = input {name=\"x\"} : f32[T, 8]\n%s}\n",
                 loops[i].lines);
        bench b = bench_text(text);
        bench_run(&b, "fuse");
        if (count_kernels(bench_graph(&b), NULL) != loops[i].kernels)
            fail_msg("%s: %u kernels\n%s", loops[i].what,
                     count_kernels(bench_graph(&b), NULL), bench_printed(&b));
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_has_13_kernels_per_layer),
        cmocka_unit_test(rope_tables_are_shared_by_all_layers),
        cmocka_unit_test(unfused_kernels_hold_one_op),
        cmocka_unit_test(epilogues_take_what_keeps_the_result),
        cmocka_unit_test(loops_never_compute_costly_values_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
