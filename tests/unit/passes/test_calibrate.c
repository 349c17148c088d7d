/* SPDX-License-Identifier: Apache-2.0 */
/* Calibration: statistics against sums over the whole model's values, how
 * sequences and calls are cut, and what a clone shares. */
#include "bench.h"
#include "passes/calibrate.h"

#include <math.h>
#include <string.h>

enum { LENGTH = 12, SEQUENCES = 5, VOCAB = 64, MOST_SITES = 16 };

static tegu_executor *interpret(void *data, tegu_unit *unit)
{
    (void)data;
    return tegu_interp_create(unit, unit->arena);
}

/* The llama example with random weights, and tokens for it. */
typedef struct lab {
    bench b;
    int32_t tokens[SEQUENCES * LENGTH];
    tegu_calibration data;
    tegu_site_request requests[MOST_SITES];
    tegu_site_stats stats[MOST_SITES];
    uint32_t count;
} lab;

/* Asks for Gram matrices of every linear's input, each value once or more. */
static void ask_linears(lab *l)
{
    const tegu_graph *g = tegu_unit_find_entry(l->b.unit, "step")->graph;

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (node->op != TEGU_OP_LINEAR || l->count == MOST_SITES)
            continue;
        l->requests[l->count++] = (tegu_site_request){
            .value = node->inputs[0], .gram = true, .sample_stride = 7};
    }
    assert_in_range(l->count, 8, MOST_SITES);
}

static void lab_open(lab *l)
{
    memset(l, 0, sizeof *l);
    l->b = bench_llama("2");
    bench_randomise(&l->b, 0.3);
    bench_tokens(l->tokens, SEQUENCES * LENGTH, VOCAB);
    l->data = (tegu_calibration){.tokens = l->tokens,
                                 .sequences = SEQUENCES,
                                 .length = LENGTH,
                                 .source = "test",
                                 .compile = interpret};
    ask_linears(l);
}

static void lab_run(lab *l, int64_t most_tokens)
{
    if (tegu_calibrate(l->b.unit, &l->data, l->b.arena, l->requests, l->count,
                       most_tokens, l->stats))
        return;
    tegu_diag_render(l->b.diag, stderr, false);
    fail_msg("calibration fails");
}

/* The rows of a value in all sequences, from the unchanged whole graph. */
static float *all_rows(lab *l, tegu_value v, int64_t columns)
{
    tegu_unit *copy = tegu_unit_clone(l->b.unit, l->b.arena);
    tegu_entry *step = tegu_unit_find_entry(copy, "step");
    tegu_executor *run = tegu_interp_create(copy, copy->arena);
    uint32_t before = step->graph->results.count;
    float *rows = tegu_arena_array(l->b.arena, SEQUENCES * LENGTH,
                                   (size_t)columns * sizeof *rows);
    float *logits = TEGU_ARRAY(l->b.arena, float, LENGTH *VOCAB);

    assert_int_equal(before, 1);
    tegu_graph_add_result(step->graph, "site", v);
    for (int s = 0; s < SEQUENCES; s++) {
        tegu_tensor in = {TEGU_I32, 1, {LENGTH}, l->tokens + s * LENGTH};
        tegu_tensor out[2] = {
            {TEGU_F32, 2, {LENGTH, VOCAB}, logits},
            {TEGU_F32, 2, {LENGTH, columns}, rows + s * LENGTH * columns}};
        run->reset(run->self);
        assert_true(run->call(run->self, "step", &in, 1, out, 2));
    }
    run->destroy(run->self);
    return rows;
}

static void assert_near(double got, double want)
{
    if (fabs(got - want) > 1e-9 * (1 + fabs(want)))
        fail_msg("%.17g, expected %.17g", got, want);
}

static void check_site(lab *l, uint32_t i)
{
    const tegu_site_stats *s = &l->stats[i];
    const float *x = all_rows(l, l->requests[i].value, s->columns);

    assert_int_equal(s->rows, SEQUENCES * LENGTH);
    for (int64_t a = 0; a < s->columns; a++) {
        double sum = 0, absolute = 0;
        for (int64_t r = 0; r < s->rows; r++) {
            sum += x[r * s->columns + a];
            absolute += fabs((double)x[r * s->columns + a]);
        }
        assert_near(s->sum[a], sum);
        assert_near(s->sum_abs[a], absolute);
        assert_near(s->sum_square[a], s->gram[a * s->columns + a]);
        for (int64_t b = 0; b < s->columns; b++) {
            double product = 0;
            for (int64_t r = 0; r < s->rows; r++)
                product +=
                    (double)x[r * s->columns + a] * x[r * s->columns + b];
            assert_near(s->gram[a * s->columns + b], product);
        }
    }
    assert_int_equal(s->sample_rows, (s->rows + 6) / 7);
    for (int64_t r = 0; r < s->sample_rows; r++)
        assert_memory_equal(s->samples + r * s->columns, x + 7 * r * s->columns,
                            (size_t)s->columns * sizeof *x);
}

static void statistics_are_those_of_the_whole_model(void **state)
{
    lab l;

    (void)state;
    lab_open(&l);
    lab_run(&l, 0);
    for (uint32_t i = 0; i < l.count; i++)
        check_site(&l, i);
    bench_close(&l.b);
}

static void asking_for_one_site_gives_what_asking_for_all_gives(void **state)
{
    lab all, one;

    (void)state;
    lab_open(&all);
    lab_run(&all, 0);
    lab_open(&one);
    one.requests[0] = all.requests[2];
    one.count = 1;
    lab_run(&one, 0);
    assert_memory_equal(one.stats[0].gram, all.stats[2].gram,
                        (size_t)(one.stats[0].columns * one.stats[0].columns) *
                            sizeof(double));
    bench_close(&one.b);
    bench_close(&all.b);
}

/* Causal attention over a cache: the first 16 tokens in one call or in calls
 * of 4 with the cache between them. */
static void cutting_a_sequence_into_calls_changes_no_statistic(void **state)
{
    lab whole, cut;
    tegu_unit *unit;
    tegu_axis_id axis;

    (void)state;
    lab_open(&whole);
    lab_run(&whole, 0);
    lab_open(&cut);
    unit = cut.b.unit;
    axis = tegu_unit_find_entry(unit, "step")
               ->arguments.data[0]
               .type->dims[0]
               .symbol;
    unit->axes.data[axis].hi = 5;
    lab_run(&cut, 0);
    for (uint32_t i = 0; i < whole.count; i++) {
        int64_t n = whole.stats[i].columns;
        assert_int_equal(cut.stats[i].rows, whole.stats[i].rows);
        for (int64_t k = 0; k < n * n; k++)
            if (fabs(cut.stats[i].gram[k] - whole.stats[i].gram[k]) >
                1e-4 * (1 + fabs(whole.stats[i].gram[k])))
                fail_msg("site %u element %d", i, (int)k);
    }
    bench_close(&cut.b);
    bench_close(&whole.b);
}

static void most_tokens_rounds_up_to_sequences(void **state)
{
    static const struct {
        int64_t most, rows;
    } cases[] = {{1, LENGTH},
                 {LENGTH, LENGTH},
                 {LENGTH + 1, 2 * LENGTH},
                 {0, SEQUENCES * LENGTH},
                 {1000, SEQUENCES * LENGTH}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lab l;
        lab_open(&l);
        l.count = 1;
        lab_run(&l, cases[i].most);
        assert_int_equal(l.stats[0].rows, cases[i].rows);
        bench_close(&l.b);
    }
}

static void normalised_rows_have_unit_mean_square(void **state)
{
    lab l;
    double trace = 0;

    (void)state;
    lab_open(&l);
    l.requests[0].normalised = true;
    lab_run(&l, 0);
    for (int64_t i = 0; i < l.stats[0].columns; i++)
        trace += l.stats[0].gram[i * l.stats[0].columns + i];
    assert_near(trace, (double)(l.stats[0].rows * l.stats[0].columns));
    bench_close(&l.b);
}

static void calibration_leaves_the_unit_as_it_was(void **state)
{
    lab l;
    const char *before;

    (void)state;
    lab_open(&l);
    before = bench_printed(&l.b);
    lab_run(&l, 0);
    assert_string_equal(bench_printed(&l.b), before);
    bench_close(&l.b);
}

static void a_clone_changes_without_the_original(void **state)
{
    bench b = bench_llama("1"), copy = b;
    const char *before = bench_printed(&b);

    (void)state;
    copy.unit = tegu_unit_clone(b.unit, b.arena);
    assert_string_equal(bench_printed(&copy), before);
    assert_true(tegu_unit_verify(copy.unit));
    bench_run(&copy, "-O2");
    copy.unit->params.data[0].source = TEGU_SOURCE_RANDOM;
    assert_string_not_equal(bench_printed(&copy), before);
    assert_string_equal(bench_printed(&b), before);
    bench_close(&b);
}

static void sites_are_reported_as_text_and_as_rows(void **state)
{
    bench b = bench_open();
    tegu_text text = {.arena = b.arena};
    tegu_site_rows rows = {0};
    tegu_options options = {.pass = "fold_norms"};
    tegu_pass_env env = {.options = &options, .report = &text, .sites = &rows};
    char name[] = "layer.0", figure[] = "error";
    tegu_figure figures[] = {{figure, 0.125}, {"width", 48}};

    (void)state;
    tegu_report_site(&env, name, figures, 2);
    tegu_report_site(&env, "layer.1", figures, 1);
    name[0] = figure[0] = 'X';
    figures[0].value = 7;
    assert_string_equal(
        tegu_text_cstr(&text),
        "fold-norms: layer.0                                       error "
        "0.125      width 48\n"
        "fold-norms: layer.1                                       error "
        "0.125\n");
    assert_int_equal(rows.count, 2);
    assert_string_equal(rows.data[0].pass, "fold-norms");
    assert_string_equal(rows.data[0].site, "layer.0");
    assert_int_equal(rows.data[0].count, 2);
    assert_string_equal(rows.data[0].figures[0].name, "error");
    assert_true(rows.data[0].figures[0].value == 0.125);
    assert_int_equal(rows.data[1].count, 1);
    bench_close(&b);
}

static void what_cannot_be_calibrated_is_said(void **state)
{
    static const char *const cases[][2] = {
        {"unit t\nentry f model {\n  %1 = input {name=\"x\"} : f32[3]\n"
         "  return \"y\" %1\n}\n",
         "calibration needs entry step(tokens: i32[T]), but the model has no "
         "entry step"},
        {"unit t\nentry step model {\n  %1 = input {name=\"x\"} : f32[3]\n"
         "  return \"y\" %1\n}\n",
         "calibration needs entry step(tokens: i32[T]), but its step takes "
         "something else"}};
    int32_t tokens[1] = {0};
    tegu_calibration data = {
        .tokens = tokens, .sequences = 1, .length = 1, .compile = interpret};
    tegu_site_request request = {.value = 1};
    tegu_site_stats stats;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b = bench_text(cases[i][0]);
        assert_false(
            tegu_calibrate(b.unit, &data, b.arena, &request, 1, 0, &stats));
        assert_message(&b, cases[i][1]);
        assert_false(
            tegu_calibrate(b.unit, NULL, b.arena, &request, 1, 0, &stats));
        assert_message(&b, "there is no calibration data; give --calib FILE");
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_are_those_of_the_whole_model),
        cmocka_unit_test(asking_for_one_site_gives_what_asking_for_all_gives),
        cmocka_unit_test(cutting_a_sequence_into_calls_changes_no_statistic),
        cmocka_unit_test(most_tokens_rounds_up_to_sequences),
        cmocka_unit_test(normalised_rows_have_unit_mean_square),
        cmocka_unit_test(calibration_leaves_the_unit_as_it_was),
        cmocka_unit_test(a_clone_changes_without_the_original),
        cmocka_unit_test(sites_are_reported_as_text_and_as_rows),
        cmocka_unit_test(what_cannot_be_calibrated_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
