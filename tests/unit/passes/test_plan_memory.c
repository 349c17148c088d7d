/* SPDX-License-Identifier: Apache-2.0 */
/* plan-memory: no two values share a slot while both are alive, results and
 * caches need none, and sharing makes the workspace smaller. */
#include "bench.h"
#include <string.h>

/* Index of the last node that reads v; the end for updates. */
static uint32_t last_reader(const tegu_graph *g, tegu_value v)
{
    uint32_t last = v;

    for (tegu_value u = v + 1; u < g->nodes.count; u++)
        for (uint32_t i = 0; i < tegu_graph_node(g, u)->input_count; i++)
            if (tegu_graph_node(g, u)->inputs[i] == v)
                last = u;
    for (uint32_t i = 0; i < g->updates.count; i++)
        if (g->updates.data[i].value == v)
            last = g->nodes.count;
    return last;
}

static int64_t slot_of(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);

    return node->op == TEGU_OP_KERNEL ? tegu_node_int(node, "slot") : -1;
}

static void check_lives(const tegu_graph *g)
{
    for (tegu_value v = 1; v < g->nodes.count; v++)
        for (tegu_value w = v + 1; w < g->nodes.count; w++)
            if (slot_of(g, v) >= 0 && slot_of(g, v) == slot_of(g, w))
                assert_true(last_reader(g, v) < w);
}

static int64_t bytes_of(const tegu_type *type, int64_t t)
{
    int64_t bytes = (int64_t)tegu_dtype_bytes(type->dtype);

    for (uint32_t i = 0; i < type->rank; i++)
        bytes *= tegu_dim_is_static(type->dims[i])
                     ? type->dims[i].offset
                     : type->dims[i].scale * t + type->dims[i].offset;
    return bytes;
}

/* The sum over slots of their largest value, for symbols equal to t. */
static int64_t workspace(const bench *b, const tegu_graph *g, int64_t t)
{
    int64_t *slots = TEGU_ARRAY(b->arena, int64_t, g->nodes.count), sum = 0;

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        int64_t slot = slot_of(g, v), bytes;
        if (slot < 0)
            continue;
        assert_true(slot < g->nodes.count);
        bytes = bytes_of(tegu_graph_type(g, v), t);
        sum += bytes > slots[slot] ? bytes - slots[slot] : 0;
        slots[slot] = bytes > slots[slot] ? bytes : slots[slot];
    }
    return sum;
}

static void values_share_slots_only_when_not_alive_together(void **state)
{
    static const char *const pipelines[] = {"-O0", "-O1", "-O2",
                                            "legalise,fuse,plan-memory"};

    (void)state;
    for (size_t i = 0; i < sizeof pipelines / sizeof pipelines[0]; i++) {
        bench b = bench_llama("2");
        bench_run(&b, pipelines[i]);
        for (uint32_t e = 0; e < b.unit->entries.count; e++)
            check_lives(b.unit->entries.data[e].graph);
        bench_close(&b);
    }
}

static void reuse_makes_the_workspace_smaller(void **state)
{
    bench b = bench_llama("3");
    int64_t without[2], with[2];

    (void)state;
    bench_run(&b, "-O2,plan-memory{reuse=false}");
    for (int i = 0; i < 2; i++)
        without[i] = workspace(&b, bench_graph(&b), i ? 16 : 1);
    bench_run(&b, "plan-memory");
    for (int i = 0; i < 2; i++) {
        with[i] = workspace(&b, bench_graph(&b), i ? 16 : 1);
        assert_true(with[i] * 2 < without[i]);
    }
    bench_close(&b);
}

static void workspace_does_not_grow_with_layers(void **state)
{
    int64_t bytes[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        bench b = bench_llama(i ? "5" : "2");
        bench_run(&b, "-O2");
        bytes[i] = workspace(&b, bench_graph(&b), 16);
        bench_close(&b);
    }
    assert_int_equal(bytes[0], bytes[1]);
}

static void results_caches_and_constants_have_no_slot(void **state)
{
    bench b = bench_llama("1");
    const tegu_graph *g;
    bool *constant;

    (void)state;
    bench_run(&b, "-O2");
    g = bench_graph(&b);
    constant = tegu_graph_constant(g, b.arena);
    for (uint32_t i = 0; i < g->results.count; i++)
        assert_int_equal(slot_of(g, g->results.data[i].value), -1);
    for (uint32_t i = 0; i < g->updates.count; i++)
        assert_int_equal(slot_of(g, g->updates.data[i].value), -1);
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        if (constant[v])
            assert_int_equal(slot_of(g, v), -1);
        if (tegu_graph_node(g, v)->op == TEGU_OP_KERNEL &&
            !strcmp(tegu_node_text(tegu_graph_node(g, v), "family"),
                    "attention"))
            assert_true(slot_of(g, v) >= 0);
    }
    bench_close(&b);
}

static void a_replaced_state_keeps_its_slot_to_the_end(void **state)
{
    static const char text[] =
        "unit t\nstate \"s\" : f32[4]\nentry f core {\n"
        "  %1 = input {name=\"x\"} : f32[4]\n"
        "  %2 = state {name=\"s\"} : f32[4]\n"
        "  %3 = exp %1 : f32[4]\n"
        "  %4 = exp %3 : f32[4]\n  %5 = exp %4 : f32[4]\n"
        "  %6 = add %5, %2 : f32[4]\n"
        "  return \"y\" %6\n  update \"s\" %3\n}\n";
    bench b = bench_text(text);
    const tegu_graph *g;
    tegu_value update;

    (void)state;
    bench_run(&b, "fuse{loops=false},plan-memory");
    g = bench_graph(&b);
    update = g->updates.data[0].value;
    assert_true(slot_of(g, update) >= 0);
    for (tegu_value v = update + 1; v < g->nodes.count; v++)
        assert_int_not_equal(slot_of(g, v), slot_of(g, update));
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_share_slots_only_when_not_alive_together),
        cmocka_unit_test(reuse_makes_the_workspace_smaller),
        cmocka_unit_test(workspace_does_not_grow_with_layers),
        cmocka_unit_test(results_caches_and_constants_have_no_slot),
        cmocka_unit_test(a_replaced_state_keeps_its_slot_to_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
