/* SPDX-License-Identifier: Apache-2.0 */
/* bench.c - see bench.h. */
#include "bench.h"
#include "frontend/frontend.h"
#include "frontend/prelude.h"
#include "passes/calibrate.h"
#include <math.h>
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

bench bench_language(const char *text)
{
    bench b = bench_open();
    tegu_load_options options = {0};
    const char *kept = tegu_format(b.arena, "%s", text); /* for messages */

    b.unit = tegu_language_load(b.arena, b.diag, "test.tegu", kept,
                                strlen(kept), &options);
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

/* --- reducing and running --- */

static tegu_executor *interpret(void *data, tegu_unit *unit)
{
    (void)data;
    return tegu_interp_create(unit, unit->arena);
}

int64_t bench_call(bench *b, const char *entry, float *out)
{
    int32_t tokens[] = {3, 17, 4, 25, 9, 3, 11};
    int64_t count = sizeof tokens / sizeof *tokens;
    tegu_tensor in = {TEGU_I32, 1, {count}, tokens}, result;
    int64_t *symbols = TEGU_ARRAY(b->arena, int64_t, b->unit->axes.count);
    tegu_executor *run = tegu_interp_create(b->unit, b->arena);
    tegu_entry *e = tegu_unit_find_entry(b->unit, entry);

    assert_non_null(e);
    assert_true(tegu_entry_bind(b->unit, e, &in, 1, symbols));
    tegu_entry_output(b->unit, e, 0, symbols, &result);
    assert_in_range(tegu_tensor_elements(&result), 1, BENCH_MOST);
    result.data = out;
    if (!run->call(run->self, entry, &in, 1, &result, 1)) {
        tegu_diag_render(b->diag, stderr, false);
        fail();
    }
    run->destroy(run->self);
    return tegu_tensor_elements(&result);
}

double bench_difference(const float *a, const float *b, int64_t n)
{
    double worst = 0;

    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)a[i] - b[i]));
    return worst;
}

bool bench_reduce(bench *b, const char *pipeline)
{
    static const int32_t tokens[4][16] = {
        {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
        {16, 3, 14, 5, 12, 7, 10, 9, 8, 11, 6, 13, 4, 15, 2, 17},
        {21, 22, 23, 24, 25, 26, 27, 28, 29, 20, 1, 12, 3, 14, 5, 16},
        {1, 1, 2, 3, 5, 8, 13, 21, 4, 25, 29, 24, 23, 17, 10, 27}};
    tegu_calibration data = {.tokens = tokens[0],
                             .sequences = 4,
                             .length = 16,
                             .source = "test",
                             .compile = interpret};
    tegu_manager_options options = {
        .verify_each = true, .calibration = &data, .lanes = 16};
    tegu_pipeline *p = tegu_pipeline_parse(b->arena, b->diag, pipeline);

    b->report = (tegu_manager_report){0};
    return p && tegu_manager_run(b->unit, p, &options, &b->report);
}

void bench_must_reduce(bench *b, const char *pipeline)
{
    if (bench_reduce(b, pipeline))
        return;
    tegu_diag_render(b->diag, stderr, false);
    fail_msg("pipeline %s fails", pipeline);
}

void bench_randomise(bench *b, double std)
{
    for (uint32_t i = 0; i < b->unit->params.count; i++) {
        tegu_param *param = &b->unit->params.data[i];
        param->source = TEGU_SOURCE_RANDOM;
        param->seed = i + 1;
        param->std = std;
    }
}

void bench_tokens(int32_t *tokens, int count, int32_t vocab)
{
    for (int i = 0; i < count; i++)
        tokens[i] = (i * i * 7 + i / 3) % vocab;
}

float *bench_numbers(bench *b, const char *name)
{
    tegu_param *param = tegu_unit_find_param(b->unit, name);
    int64_t count = tegu_type_elements(param->type);
    float *data = TEGU_ARRAY(b->arena, float, (size_t)count);

    assert_true(tegu_param_read(b->unit, param, 0, count, data));
    param->source = TEGU_SOURCE_DATA;
    param->stored = TEGU_F32;
    param->data = data;
    return data;
}

double bench_figure(const bench *b, uint32_t row, const char *name)
{
    const tegu_site_row *r;

    assert_true(row < b->report.sites.count);
    r = &b->report.sites.data[row];
    for (uint32_t i = 0; i < r->count; i++)
        if (!strcmp(r->figures[i].name, name))
            return r->figures[i].value;
    fail_msg("no figure '%s'", name);
    return 0;
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
