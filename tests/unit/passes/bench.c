/* SPDX-License-Identifier: Apache-2.0 */
/* bench.c - see bench.h. */
#include "bench.h"
#include "frontend/frontend.h"
#include "frontend/prelude.h"
#include <string.h>

bench bench_open(void)
{
    bench b = {.arena = tegu_arena_create()};

    b.diag = tegu_diag_create(b.arena);
    return b;
}

void bench_close(bench *b)
{
    if (b->unit)
        tegu_unit_destroy(b->unit);
    tegu_arena_destroy(b->arena);
}

static void check_unit(const bench *b)
{
    if (b->unit && tegu_unit_verify(b->unit))
        return;
    tegu_diag_render(b->diag, stderr, false);
    fail_msg("the unit under test is wrong");
}

bench bench_text(const char *text)
{
    bench b = bench_open();

    b.unit = tegu_unit_parse(b.arena, b.diag, "test.tir", text, strlen(text));
    if (b.unit)
        tegu_prelude_attach(b.unit);
    check_unit(&b);
    return b;
}

bench bench_llama(const char *layers)
{
    bench b = bench_open();
    tegu_define defines[] = {
        {"layers", layers}, {"context", "16"}, {"dim", "32"},  {"heads", "4"},
        {"kv_heads", "2"},  {"hidden", "48"},  {"vocab", "64"}};
    tegu_load_options options = {.defines = defines,
                                 .define_count =
                                     sizeof defines / sizeof defines[0],
                                 .without_weights = true};

    b.unit =
        tegu_load(b.arena, b.diag, "examples/03_llama/llama.tegu", &options);
    check_unit(&b);
    return b;
}

bool bench_try(bench *b, const char *text)
{
    tegu_manager_options options = {
        .verify_each = true, .check_each = true, .check_seed = 7};
    tegu_pipeline *pipeline = tegu_pipeline_parse(b->arena, b->diag, text);

    b->report = (tegu_manager_report){0};
    return pipeline &&
           tegu_manager_run(b->unit, pipeline, &options, &b->report);
}

void bench_run(bench *b, const char *pipeline)
{
    if (bench_try(b, pipeline))
        return;
    tegu_diag_render(b->diag, stderr, false);
    fail_msg("pipeline %s fails on\n%s", pipeline, bench_printed(b));
}

const char *bench_printed(bench *b)
{
    tegu_text text = {.arena = b->arena};

    tegu_unit_print(&text, b->unit);
    return tegu_text_cstr(&text);
}

tegu_graph *bench_graph(const bench *b)
{
    return b->unit->entries.data[0].graph;
}

void assert_message(bench *b, const char *prefix)
{
    uint32_t count;
    const tegu_message *messages = tegu_diag_messages(b->diag, &count);
    const char *text = count ? messages[0].text : "";

    if (strncmp(text, prefix, strlen(prefix)) != 0)
        fail_msg("message \"%s\", expected \"%s\"", text, prefix);
    tegu_diag_clear(b->diag);
}

uint32_t count_kernels(const tegu_graph *g, const char *family)
{
    uint32_t count = 0;

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        count += node->op == TEGU_OP_KERNEL &&
                 (!family || !strcmp(tegu_node_text(node, "family"), family));
    }
    return count;
}

uint32_t count_ops(const tegu_graph *g, tegu_op op)
{
    uint32_t count = 0;

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        count += node->op == op;
        if (node->op == TEGU_OP_KERNEL)
            count += count_ops(node->body, op);
    }
    return count;
}
