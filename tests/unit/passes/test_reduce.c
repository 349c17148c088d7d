/* SPDX-License-Identifier: Apache-2.0 */
/* Hidden widths, ranks and budgets on small models with planted weights. */
#include "bench.h"
#include "passes/calibrate.h"
#include "passes/sites.h"

#include <math.h>
#include <string.h>

enum { SEQUENCES = 24, LENGTH = 8, VOCAB = 16, DIM = 6, HIDDEN = 10 };

static const char mlp[] =
    "unit mlp\n"
    "axis T in 1..8\n"
    "axis vocab = 16\n"
    "axis dim = 6\n"
    "axis hidden = 10\n"
    "param \"table\" : f32[vocab=16, dim=6]\n"
    "param \"up\" : f32[hidden=10, dim=6]\n"
    "param \"up_bias\" : f32[hidden=10]\n"
    "param \"scale\" : f32[hidden=10]\n"
    "param \"down\" : f32[dim=6, hidden=10]\n"
    "param \"down_bias\" : f32[dim=6]\n"
    "param \"head\" : f32[vocab=16, dim=6]\n"
    "\n"
    "entry step model {\n"
    "  %1 = input {name=\"tokens\"} : i32[T]\n"
    "  %2 = param {name=\"table\"} : f32[vocab=16, dim=6]\n"
    "  %3 = embed %1, %2 : f32[T, dim=6]\n"
    "  %4 = param {name=\"up\"} : f32[hidden=10, dim=6]\n"
    "  %5 = param {name=\"up_bias\"} : f32[hidden=10]\n"
    "  %6 = linear %3, %4, %5 : f32[T, hidden=10]\n"
    "  %7 = gelu %6 : f32[T, hidden=10]\n"
    "  %8 = param {name=\"scale\"} : f32[hidden=10]\n"
    "  %9 = mul %7, %8 : f32[T, hidden=10]\n"
    "  %10 = param {name=\"down\"} : f32[dim=6, hidden=10]\n"
    "  %11 = param {name=\"down_bias\"} : f32[dim=6]\n"
    "  %12 = linear %9, %10, %11 : f32[T, dim=6]\n"
    "  %13 = add %3, %12 : f32[T, dim=6]\n"
    "  %14 = param {name=\"head\"} : f32[vocab=16, dim=6]\n"
    "  %15 = linear %13, %14 : f32[T, vocab=16]\n"
    "  return \"logits\" %15\n"
    "}\n";

static tegu_executor *interpret(void *data, tegu_unit *unit)
{
    (void)data;
    return tegu_interp_create(unit, unit->arena);
}

typedef struct lab {
    bench b;
    int32_t tokens[SEQUENCES * LENGTH];
    tegu_calibration data;
} lab;

static void fill(lab *l, int32_t vocab)
{
    bench_randomise(&l->b, 0.5);
    bench_tokens(l->tokens, SEQUENCES * LENGTH, vocab);
    l->data = (tegu_calibration){.tokens = l->tokens,
                                 .sequences = SEQUENCES,
                                 .length = LENGTH,
                                 .source = "test",
                                 .compile = interpret};
}

static void lab_mlp(lab *l)
{
    l->b = bench_text(mlp);
    fill(l, VOCAB);
}

static void lab_llama(lab *l)
{
    l->b = bench_llama("2");
    fill(l, 64);
}

/* The parameter's numbers, to be changed. */
static float *numbers(lab *l, const char *name)
{
    tegu_param *param = tegu_unit_find_param(l->b.unit, name);
    int64_t count = tegu_type_elements(param->type);
    float *data = TEGU_ARRAY(l->b.arena, float, (size_t)count);

    assert_true(tegu_param_read(l->b.unit, param, 0, count, data));
    param->source = TEGU_SOURCE_DATA;
    param->stored = TEGU_F32;
    param->data = data;
    return data;
}

static bool try_pipeline(lab *l, const char *text, bool calibrated)
{
    tegu_manager_options options = {
        .verify_each = true, .calibration = calibrated ? &l->data : NULL};
    tegu_pipeline *pipeline = tegu_pipeline_parse(l->b.arena, l->b.diag, text);

    l->b.report = (tegu_manager_report){.remarks = {.arena = l->b.arena}};
    return pipeline &&
           tegu_manager_run(l->b.unit, pipeline, &options, &l->b.report);
}

static void run(lab *l, const char *text)
{
    if (try_pipeline(l, text, true))
        return;
    tegu_diag_render(l->b.diag, stderr, false);
    fail_msg("pipeline %s fails", text);
}

static double figure(const lab *l, uint32_t row, const char *name)
{
    const tegu_site_row *r;

    assert_true(row < l->b.report.sites.count);
    r = &l->b.report.sites.data[row];
    for (uint32_t i = 0; i < r->count; i++)
        if (!strcmp(r->figures[i].name, name))
            return r->figures[i].value;
    fail_msg("no figure '%s'", name);
    return 0;
}

/* Logits of the first sequence. */
static void predict(lab *l, float logits[LENGTH * VOCAB])
{
    tegu_executor *e = tegu_interp_create(l->b.unit, l->b.arena);
    tegu_tensor in = {TEGU_I32, 1, {LENGTH}, l->tokens};
    tegu_tensor out = {TEGU_F32, 2, {LENGTH, VOCAB}, logits};

    assert_true(e->call(e->self, "step", &in, 1, &out, 1));
    e->destroy(e->self);
}

static void assert_close(const float *a, const float *b, int n, float most)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= most))
            fail_msg("element %d: %g and %g", i, (double)a[i], (double)b[i]);
}

static void copy_neuron(lab *l, int to, int from)
{
    float *up = numbers(l, "up"), *bias = numbers(l, "up_bias");

    memcpy(up + to * DIM, up + from * DIM, DIM * sizeof *up);
    bias[to] = bias[from];
}

/* --- hidden widths --- */

static void duplicate_neurons_merge_without_loss(void **state)
{
    static const char *const pipelines[] = {
        "reduce-hidden{keep=0.8}", "reduce-hidden{keep=0.8,sequential=true}"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        lab l;
        float before[LENGTH * VOCAB], after[LENGTH * VOCAB];
        lab_mlp(&l);
        copy_neuron(&l, 7, 2);
        copy_neuron(&l, 9, 4);
        predict(&l, before);
        run(&l, pipelines[i]);
        predict(&l, after);
        assert_int_equal((int)figure(&l, 0, "kept"), 8);
        assert_true(figure(&l, 0, "relative_error") < 1e-5);
        assert_close(before, after, LENGTH * VOCAB, 1e-2f);
        bench_close(&l.b);
    }
}

static void the_mean_of_what_goes_moves_into_the_bias(void **state)
{
    lab l;
    float before[LENGTH * VOCAB], after[LENGTH * VOCAB], *up;

    (void)state;
    lab_mlp(&l);
    up = numbers(&l, "up");
    memset(up + 3 * DIM, 0, DIM * sizeof *up);
    numbers(&l, "up_bias")[3] = 2;
    predict(&l, before);
    run(&l, "reduce-hidden{keep=0.9}");
    predict(&l, after);
    assert_int_equal((int)figure(&l, 0, "kept"), 9);
    assert_true(figure(&l, 0, "relative_error") < 1e-5);
    assert_close(before, after, LENGTH * VOCAB, 1e-2f);
    bench_close(&l.b);
}

static void every_parameter_on_the_axis_is_cut(void **state)
{
    static const char *const names[] = {"up", "up_bias", "scale"};
    lab l;

    (void)state;
    lab_mlp(&l);
    run(&l, "reduce-hidden{keep=0.5,method=select}");
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            tegu_unit_find_param(l.b.unit, names[i])->type->dims[0].offset, 5);
    assert_int_equal(
        tegu_unit_find_param(l.b.unit, "down")->type->dims[1].offset, 5);
    assert_int_equal(tegu_unit_find_axis(l.b.unit, "hidden_5") != 0, true);
    bench_close(&l.b);
}

static void a_cut_axis_is_found_again_by_its_first_name(void **state)
{
    lab l;

    (void)state;
    lab_llama(&l);
    run(&l, "reduce-hidden{keep=0.5},reduce-hidden{keep=0.5}");
    assert_int_equal(l.b.report.sites.count, 4);
    assert_int_equal((int)figure(&l, 0, "kept"), 24);
    assert_int_equal((int)figure(&l, 2, "width"), 24);
    assert_int_equal((int)figure(&l, 2, "kept"), 12);
    bench_close(&l.b);
}

static void widths_are_rounded_and_the_plain_one_reported(void **state)
{
    lab l;

    (void)state;
    lab_llama(&l);
    run(&l, "reduce-hidden{keep=0.6,round=16}");
    assert_int_equal((int)figure(&l, 0, "kept"), 32);
    assert_int_equal((int)figure(&l, 0, "unrounded"), 29);
    assert_int_equal(tegu_kept_width(48, 1, 32), 48);
    assert_int_equal(tegu_kept_width(48, 0.01, 16), 16);
    assert_int_equal(tegu_kept_width(8, 0.01, 16), 8);
    bench_close(&l.b);
}

/* Row sums of `down`, which merging keeps: columns move, none is lost. */
static void sum_down(lab *l, double sums[DIM])
{
    int64_t width =
        tegu_unit_find_param(l->b.unit, "down")->type->dims[1].offset;
    const float *down = numbers(l, "down");

    for (int r = 0; r < DIM; r++) {
        sums[r] = 0;
        for (int64_t i = 0; i < width; i++)
            sums[r] += (double)down[r * width + i];
    }
}

static void merging_moves_columns_and_keeps_rows(void **state)
{
    static const char *const methods[] = {"merge", "barycentric"};

    (void)state;
    for (int m = 0; m < 2; m++) {
        lab l;
        double before[DIM], after[DIM];
        uint32_t same = 0, messages;
        float *old, *new;
        lab_mlp(&l);
        old = numbers(&l, "up_bias");
        sum_down(&l, before);
        run(&l, tegu_format(l.b.arena, "reduce-hidden{keep=0.6,method=%s}",
                            methods[m]));
        sum_down(&l, after);
        new = numbers(&l, "up_bias");
        for (int r = 0; r < DIM; r++)
            assert_true(fabs(before[r] - after[r]) < 1e-5);
        for (int k = 0; k < 6; k++)
            for (int i = 0; i < HIDDEN; i++)
                same += old[i] == new[k];
        tegu_diag_messages(l.b.diag, &messages);
        assert_int_equal(same, m == 0 ? 6 : 0);
        assert_int_equal(messages, m == 0 ? 0 : 1);
        bench_close(&l.b);
    }
}

/* --- low rank --- */

static void a_low_rank_weight_stays_exact(void **state)
{
    lab l;
    float before[LENGTH * VOCAB], after[LENGTH * VOCAB], *head;

    (void)state;
    lab_mlp(&l);
    head = numbers(&l, "head");
    for (int r = 2; r < VOCAB; r++) /* rank 2 */
        for (int i = 0; i < DIM; i++)
            head[r * DIM + i] = 0.1f * (float)r * head[i] -
                                0.05f * (float)(r * r % 7) * head[DIM + i];
    predict(&l, before);
    run(&l, "low-rank{targets=^head$,keep=0.6}");
    predict(&l, after);
    assert_int_equal((int)figure(&l, 0, "rank"), 2);
    assert_true(figure(&l, 0, "predicted_error") < 1e-10);
    assert_close(before, after, LENGTH * VOCAB, 1e-4f);
    assert_non_null(tegu_unit_find_param(l.b.unit, "head"));
    assert_non_null(tegu_unit_find_param(l.b.unit, "head.u"));
    assert_non_null(tegu_unit_find_param(l.b.unit, "head.v"));
    bench_close(&l.b);
}

static void predicted_and_measured_errors_agree(void **state)
{
    static const char *const pipelines[] = {
        "low-rank{keep=0.5}", "low-rank{keep=0.5,gram_power=1}",
        "low-rank{keep=0.5,gram_power=0,allocate=loss}",
        "low-rank{keep=0.5,targets=weight}"};

    (void)state;
    for (int p = 0; p < 4; p++) {
        lab l;
        lab_llama(&l);
        run(&l, pipelines[p]);
        assert_true(l.b.report.sites.count >= 8);
        for (uint32_t i = 0; i < l.b.report.sites.count; i++) {
            double predicted = figure(&l, i, "predicted_error");
            double measured = figure(&l, i, "measured_error");
            if (!(fabs(predicted - measured) <= 1e-4 * predicted))
                fail_msg("%g and %g", predicted, measured);
        }
        bench_close(&l.b);
    }
}

static void whole_gram_loses_least_in_each_layer(void **state)
{
    lab whole, root;

    (void)state;
    lab_llama(&whole);
    lab_llama(&root);
    run(&whole, "low-rank{keep=0.5,gram_power=1,measure=false}");
    run(&root, "low-rank{keep=0.5,gram_power=0,measure=false}");
    for (uint32_t i = 0; i < whole.b.report.sites.count; i++)
        assert_true(figure(&whole, i, "predicted_error") <
                    figure(&root, i, "predicted_error"));
    bench_close(&whole.b);
    bench_close(&root.b);
}

/* --- heads --- */

static const char *o_proj = "model.layers.1.self_attn.o_proj.weight";
static const char *k_proj = "model.layers.1.self_attn.k_proj.weight";

static void heads_that_nothing_reads_go_first_and_cost_nothing(void **state)
{
    lab l;
    float *o, *k, *left;

    (void)state;
    lab_llama(&l); /* 4 heads of 8, 2 of keys, dim 32 */
    o = numbers(&l, o_proj);
    k = numbers(&l, k_proj);
    for (int r = 0; r < 32; r++)
        memset(o + r * 32, 0, 16 * sizeof *o); /* the first group's */
    run(&l, "prune-heads{keep=0.5}");
    assert_int_equal(l.b.report.sites.count, 2);
    assert_true(figure(&l, 0, "relative_error") > 1e-3);
    assert_true(figure(&l, 1, "relative_error") < 1e-6);
    left = numbers(&l, k_proj);
    assert_memory_equal(left, k + 8 * 32, 8 * 32 * sizeof *k);
    assert_int_equal(
        tegu_unit_find_param(l.b.unit, o_proj)->type->dims[1].offset, 16);
    for (uint32_t i = 0; i < l.b.unit->states.count; i++)
        assert_int_equal(l.b.unit->states.data[i].type->dims[1].offset, 1);
    run(&l, "-O2"); /* down to kernels, verified */
    bench_close(&l.b);
}

static void factored_heads_can_be_pruned(void **state)
{
    lab l;

    (void)state;
    lab_llama(&l);
    run(&l, "low-rank{keep=0.5},prune-heads{keep=0.5},-O2");
    assert_int_equal(
        tegu_unit_find_param(l.b.unit, tegu_format(l.b.arena, "%s.u", k_proj))
            ->type->dims[0]
            .offset,
        8);
    bench_close(&l.b);
}

/* --- budgets --- */

static void sizes_minimise_error_under_the_budget(void **state)
{
    double steep[] = {1, 0.5, 0.25, 0.125, 0};
    double flat[] = {1, 0.2, 0.1, 0.05, 0};
    tegu_sites sites = {.list = {.count = 2}, .residual = 1};
    tegu_site list[] = {{.full = 4,
                         .most = 3,
                         .round = 1,
                         .lost = steep,
                         .unit_elements = 10,
                         .full_elements = 40,
                         .sensitivity = 1},
                        {.full = 4,
                         .most = 3,
                         .round = 1,
                         .lost = flat,
                         .unit_elements = 10,
                         .full_elements = 40,
                         .sensitivity = 1}};
    int64_t sizes[2];

    (void)state;
    sites.list.data = list;
    tegu_sites_allocate(&sites, 80, sizes);
    assert_int_equal(sizes[0] + sizes[1], 8);
    tegu_sites_allocate(&sites, 60, sizes);
    assert_true(sizes[0] > sizes[1]);
    assert_true(10 * (sizes[0] + sizes[1]) <= 60);
    list[1].sensitivity = 100;
    tegu_sites_allocate(&sites, 60, sizes);
    assert_true(sizes[0] < sizes[1]);
}

static void budgets_are_met(void **state)
{
    static const char *const pipelines[] = {
        "budget{params=0.8,axis=none}", "budget{flops=0.8,axis=none}",
        "budget{bytes=0.8,axis=none,round=8}", "budget{params=0.7}"};

    (void)state;
    for (int i = 0; i < 4; i++) {
        lab l;
        double before;
        lab_llama(&l);
        before = tegu_unit_parameters(l.b.unit);
        run(&l, pipelines[i]);
        assert_true(figure(&l, 0, "size") <= 0.8);
        assert_true(figure(&l, 0, "size") > 0.6);
        assert_true(tegu_unit_parameters(l.b.unit) < 0.9 * before);
        bench_close(&l.b);
    }
}

static void a_perplexity_budget_is_kept(void **state)
{
    lab l;

    (void)state;
    lab_llama(&l);
    run(&l, "budget{ppl=+50%,axis=none}");
    assert_true(figure(&l, 0, "size") < 1);
    bench_close(&l.b);
}

/* --- refusals --- */

static const struct refusal {
    const char *pipeline, *message;
    bool on_llama, uncalibrated;
} refusals[] = {
    {"reduce-hidden{axis=dim}",
     "axis 'dim' cannot be cut: 'rms_norm' is not element-wise", true, false},
    {"reduce-hidden{axis=dim}", "axis 'dim' cannot be cut: 'embed' is not",
     false, false},
    {"reduce-hidden{axis=hiden}",
     "the model has no axis 'hiden'; did you mean 'hidden'?", false, false},
    {"reduce-hidden{axis=T}", "no linear reads axis 'T' behind", false, false},
    {"reduce-hidden{axis=vocab}", "no linear reads axis 'vocab' behind", false,
     false},
    {"reduce-hidden{method=ops}",
     "no method 'ops' reduces a hidden axis; did you mean 'obs'?", false,
     false},
    {"reduce-hidden", "pass 'reduce-hidden' needs calibration data", false,
     true},
    {"low-rank", "pass 'low-rank' needs calibration data", true, true},
    {"low-rank", "entry step has no 'attention' with linears around it", false,
     false},
    {"low-rank{targets=nothing}",
     "no linear of entry step has a weight named like targets 'nothing'", false,
     false},
    {"low-rank{targets=(}", "targets '(' is no regular expression", false,
     false},
    {"low-rank{targets=head,allocate=all}",
     "ranks are allocated uniform or by loss, not 'all'", false, false},
    {"prune-heads", "entry step has no attention", false, false},
    {"prune-heads", "pass 'prune-heads' needs calibration data", true, true},
    {"budget", "pass 'budget' needs one of params=", false, false},
    {"budget{params=0.5,flops=0.5}", "pass 'budget' takes one budget", false,
     false},
    {"budget{params=1.5}",
     "budget 'params' is a part to keep between 0 and 1, not '1.5'", false,
     false},
    {"budget{ppl=5}", "budget 'ppl' is a rise such as +5%, not '5'", false,
     false},
    {"budget{params=0.5}", "pass 'budget' needs calibration data", true, true},
    {"budget{params=0.001,axis=none}", "no sizes meet the budget params", true,
     false},
};

static void what_cannot_be_reduced_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        lab l;
        if (r->on_llama)
            lab_llama(&l);
        else
            lab_mlp(&l);
        assert_false(try_pipeline(&l, r->pipeline, !r->uncalibrated));
        assert_message(&l.b, r->message);
        bench_close(&l.b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(duplicate_neurons_merge_without_loss),
        cmocka_unit_test(the_mean_of_what_goes_moves_into_the_bias),
        cmocka_unit_test(every_parameter_on_the_axis_is_cut),
        cmocka_unit_test(a_cut_axis_is_found_again_by_its_first_name),
        cmocka_unit_test(widths_are_rounded_and_the_plain_one_reported),
        cmocka_unit_test(merging_moves_columns_and_keeps_rows),
        cmocka_unit_test(a_low_rank_weight_stays_exact),
        cmocka_unit_test(predicted_and_measured_errors_agree),
        cmocka_unit_test(whole_gram_loses_least_in_each_layer),
        cmocka_unit_test(heads_that_nothing_reads_go_first_and_cost_nothing),
        cmocka_unit_test(factored_heads_can_be_pruned),
        cmocka_unit_test(sizes_minimise_error_under_the_budget),
        cmocka_unit_test(budgets_are_met),
        cmocka_unit_test(a_perplexity_budget_is_kept),
        cmocka_unit_test(what_cannot_be_reduced_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
