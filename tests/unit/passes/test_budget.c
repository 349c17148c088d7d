/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets: what each kind promises, and the means of the search: trials in one
 * compiled model, elements of sites. */
#include "bench.h"
#include "passes/sites.h"

#include <math.h>
#include <string.h>

enum { SEQUENCES = 24, LENGTH = 8, VOCAB = 64 };

#define LAYER "model.layers.1."

/* A model with what it takes to run it; counts compilations. */
typedef struct lab {
    bench b;
    int32_t tokens[SEQUENCES * LENGTH];
    tegu_calibration data;
    int compiled, reloaded;
    bool forgetful; /* executors cannot read parameters again */
} lab;

/* The interpreter, with its reloads counted. */
typedef struct counted {
    tegu_executor outer, *inner;
    lab *lab;
} counted;

static bool call(void *self, const char *entry, const tegu_tensor *inputs,
                 uint32_t input_count, tegu_tensor *outputs,
                 uint32_t output_count)
{
    counted *c = self;

    return c->inner->call(c->inner->self, entry, inputs, input_count, outputs,
                          output_count);
}

static void reset(void *self)
{
    counted *c = self;

    c->inner->reset(c->inner->self);
}

static bool reload(void *self, const char *param)
{
    counted *c = self;

    c->lab->reloaded++;
    return c->inner->reload(c->inner->self, param);
}

static void destroy(void *self)
{
    counted *c = self;

    c->inner->destroy(c->inner->self);
}

static tegu_executor *interpret(void *data, tegu_unit *unit)
{
    lab *l = data;
    counted *c = TEGU_NEW(unit->arena, counted);

    l->compiled++;
    c->lab = l;
    c->inner = tegu_interp_create(unit, unit->arena);
    c->outer = (tegu_executor){.self = c,
                               .call = call,
                               .reset = reset,
                               .reload = l->forgetful ? NULL : reload,
                               .destroy = destroy};
    return &c->outer;
}

static void open_bench(lab *l, bench b)
{
    *l = (lab){.b = b};
    bench_randomise(&l->b, 0.5);
    bench_tokens(l->tokens, SEQUENCES * LENGTH, VOCAB);
    l->data = (tegu_calibration){.tokens = l->tokens,
                                 .sequences = SEQUENCES,
                                 .length = LENGTH,
                                 .source = "test",
                                 .compile = interpret,
                                 .data = l};
}

static void open_lab(lab *l)
{
    open_bench(l, bench_llama("2"));
}

static bool try_pipeline(lab *l, const char *text)
{
    tegu_manager_options options = {
        .verify_each = true, .calibration = &l->data, .lanes = 8};
    tegu_pipeline *pipeline = tegu_pipeline_parse(l->b.arena, l->b.diag, text);

    l->b.report = (tegu_manager_report){.remarks = {.arena = l->b.arena}};
    return pipeline &&
           tegu_manager_run(l->b.unit, pipeline, &options, &l->b.report);
}

static void run(lab *l, const char *text)
{
    if (try_pipeline(l, text))
        return;
    tegu_diag_render(l->b.diag, stderr, false);
    fail_msg("pipeline %s fails", text);
}

static void set_numbers(lab *l, const char *name, float value)
{
    tegu_param *param = tegu_unit_find_param(l->b.unit, name);
    int64_t count = tegu_type_elements(param->type);
    float *data = TEGU_ARRAY(l->b.arena, float, (size_t)count);

    for (int64_t i = 0; i < count; i++)
        data[i] = value;
    param->source = TEGU_SOURCE_DATA;
    param->stored = TEGU_F32;
    param->data = data;
}

/* --- promises --- */

typedef enum measure { PARAMS, FLOPS, BYTES } measure;

/* Of the model, or of one token, by the cost model. */
static double size_of(lab *l, measure what)
{
    int64_t *symbols =
        TEGU_ARRAY(l->b.arena, int64_t, l->b.unit->axes.count + 1);
    tegu_cost cost;

    symbols[tegu_unit_find_axis(l->b.unit, "T")] = 1;
    assert_true(tegu_entry_cost(l->b.unit,
                                tegu_unit_find_entry(l->b.unit, "step"),
                                symbols, 0, false, &cost));
    return what == PARAMS  ? tegu_unit_parameters(l->b.unit)
           : what == FLOPS ? cost.flops
                           : cost.bytes_weights;
}

static void budgets_are_met_and_used(void **state)
{
    static const struct {
        const char *pipeline;
        measure what;
        double keep;
    } rows[] = {
        {"budget{params=0.8,axis=none}", PARAMS, 0.8},
        {"budget{params=0.7}", PARAMS, 0.7},
        {"budget{params=0.5}", PARAMS, 0.5},
        {"budget{flops=0.8,axis=none}", FLOPS, 0.8},
        {"budget{flops=0.6}", FLOPS, 0.6},
        {"budget{bytes=0.8,axis=none,round=4}", BYTES, 0.8},
        {"budget{bytes=0.6}", BYTES, 0.6},
        {"budget{params=0.8,targets=none}", PARAMS, 0.8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lab l;
        double before, part;
        open_lab(&l);
        before = size_of(&l, rows[i].what);
        run(&l, rows[i].pipeline);
        part = size_of(&l, rows[i].what) / before;
        if (part > rows[i].keep || part < rows[i].keep - 0.05)
            fail_msg("%s: %g of the size", rows[i].pipeline, part);
        bench_close(&l.b);
    }
}

/* Of the unit as it is now, against the model as opened. */
static double rise(lab *l)
{
    lab original;
    tegu_judge judge;
    tegu_verdict before, after;

    open_lab(&original);
    assert_true(tegu_judge_open(&judge, original.b.unit, &original.data, 4096,
                                original.b.arena, &before));
    assert_true(tegu_judge_unit(&judge, l->b.unit, &after));
    tegu_judge_close(&judge);
    bench_close(&original.b);
    return after.loss - before.loss;
}

static void a_perplexity_budget_is_kept_and_used(void **state)
{
    static const struct {
        const char *pipeline;
        double most;
    } rows[] = {{"budget{ppl=+50%,axis=none}", 1.5}, {"budget{ppl=+20%}", 1.2}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lab l;
        double before;
        open_lab(&l);
        before = size_of(&l, PARAMS);
        run(&l, rows[i].pipeline);
        assert_true(rise(&l) <= log(rows[i].most));
        assert_true(size_of(&l, PARAMS) < before);
        bench_close(&l.b);
    }
}

static void what_no_size_meets_is_refused_before_anything_runs(void **state)
{
    lab l;

    (void)state;
    open_lab(&l);
    assert_false(try_pipeline(&l, "budget{params=0.05,round=1}"));
    assert_message(&l.b, "no sizes meet the budget params=0.05; the nearest "
                         "model has 0.2");
    assert_int_equal(l.compiled, 0);
    bench_close(&l.b);
}

/* Without values no change of queries and keys is seen. */
static void a_site_that_no_prediction_shows_keeps_some_sensitivity(void **state)
{
    lab l;
    bool seen = false;

    (void)state;
    open_lab(&l);
    set_numbers(&l, LAYER "self_attn.v_proj.weight", 0);
    run(&l, "budget{params=0.8,axis=none}");
    for (uint32_t i = 0; i < l.b.report.sites.count; i++) {
        const tegu_site_row *row = &l.b.report.sites.data[i];
        if (strcmp(row->site, LAYER "self_attn.q_proj.weight") != 0)
            continue;
        seen = true;
        assert_string_equal(row->figures[3].name, "sensitivity");
        assert_true(row->figures[3].value > 0);
    }
    assert_true(seen);
    bench_close(&l.b);
}

static void equal_searches_give_equal_models(void **state)
{
    lab a, b;

    (void)state;
    open_lab(&a);
    open_lab(&b);
    run(&a, "budget{params=0.6}");
    run(&b, "budget{params=0.6}");
    assert_string_equal(bench_printed(&a.b), bench_printed(&b.b));
    for (uint32_t i = 0; i < a.b.unit->params.count; i++) {
        const tegu_param *p = &a.b.unit->params.data[i];
        const tegu_param *q = &b.b.unit->params.data[i];
        if (p->source == TEGU_SOURCE_DATA)
            assert_memory_equal(p->data, q->data,
                                4 * (size_t)tegu_type_elements(p->type));
    }
    bench_close(&a.b);
    bench_close(&b.b);
}

/* --- probes --- */

static void find_sites(lab *l, tegu_sites *sites)
{
    assert_true(tegu_sites_find(sites, l->b.unit, "hidden", "attention", "dim",
                                1, l->b.arena));
    assert_true(tegu_sites_measure(sites, &l->data, l->b.arena));
}

/* A change in place says what the reduced model says, and is undone. */
static void a_probe_equals_the_reduced_model(void **state)
{
    lab l;
    tegu_sites sites;
    tegu_judge judge;
    tegu_verdict original, probed, again, reduced;

    (void)state;
    open_lab(&l);
    find_sites(&l, &sites);
    assert_int_equal(sites.list.count, 2 + 8);
    assert_true(
        tegu_judge_open(&judge, l.b.unit, &l.data, 4096, l.b.arena, &original));
    for (uint32_t i = 0; i < sites.list.count; i++) {
        tegu_arena *arena = tegu_arena_create();
        tegu_unit *copy = tegu_unit_clone(l.b.unit, arena);
        int64_t sizes[10];
        tegu_change changes[2];
        uint32_t count;
        for (uint32_t k = 0; k < 10; k++)
            sizes[k] = sites.list.data[k].full;
        sizes[i] = sites.list.data[i].most / 2;
        assert_true(tegu_site_change(&sites.list.data[i], sizes[i], l.b.arena,
                                     changes, &count));
        l.compiled = l.reloaded = 0;
        assert_true(
            tegu_judge_changes(&judge, changes, count, l.b.arena, &probed));
        assert_int_equal(l.compiled, 0);
        assert_int_equal(l.reloaded, 2 * count); /* there and back */
        assert_true(tegu_judge_changes(&judge, changes, 0, l.b.arena, &again));
        assert_true(again.loss == original.loss);
        assert_true(tegu_sites_apply(&sites, copy, sizes, l.b.arena));
        assert_true(tegu_judge_unit(&judge, copy, &reduced));
        assert_true(probed.divergence > 1e-4);
        assert_float_equal(probed.divergence, reduced.divergence, 1e-5);
        tegu_arena_destroy(arena);
    }
    tegu_judge_close(&judge);
    bench_close(&l.b);
}

static tegu_verdict probe(lab *l, const char *param, int compilations)
{
    tegu_judge judge;
    tegu_verdict original, verdict;
    size_t count = (size_t)tegu_type_elements(
        tegu_unit_find_param(l->b.unit, param)->type);
    tegu_change change = {param, TEGU_ARRAY(l->b.arena, double, count)};

    assert_true(tegu_judge_open(&judge, l->b.unit, &l->data, 4096, l->b.arena,
                                &original));
    l->compiled = 0;
    assert_true(tegu_judge_changes(&judge, &change, 1, l->b.arena, &verdict));
    assert_int_equal(l->compiled, compilations);
    tegu_judge_close(&judge);
    return verdict;
}

static void what_cannot_be_reloaded_is_compiled(void **state)
{
    lab l;
    tegu_verdict in_place, anew;

    (void)state;
    open_lab(&l);
    in_place = probe(&l, LAYER "mlp.down_proj.weight", 0);
    l.forgetful = true;
    anew = probe(&l, LAYER "mlp.down_proj.weight", 1);
    assert_true(in_place.divergence == anew.divergence);
    assert_true(in_place.loss == anew.loss);
    bench_close(&l.b);
}

static const char adapted[] = "unit adapted\n"
                              "axis T in 1..8\n"
                              "param \"table\" : f32[64, 6]\n"
                              "param \"mix\" : f32[6, 6]\n"
                              "param \"a\" : f32[2, 6]\n"
                              "param \"b\" : f32[6, 2]\n"
                              "\n"
                              "entry step model {\n"
                              "  %1 = input {name=\"tokens\"} : i32[T]\n"
                              "  %2 = param {name=\"table\"} : f32[64, 6]\n"
                              "  %3 = embed %1, %2 : f32[T, 6]\n"
                              "  %4 = param {name=\"mix\"} : f32[6, 6]\n"
                              "  %5 = param {name=\"a\"} : f32[2, 6]\n"
                              "  %6 = param {name=\"b\"} : f32[6, 2]\n"
                              "  %7 = lora %4, %5, %6 : f32[6, 6]\n"
                              "  %8 = linear %3, %7 : f32[T, 6]\n"
                              "  %9 = linear %8, %2 : f32[T, 64]\n"
                              "  return \"logits\" %9\n"
                              "}\n";

/* The change takes the adapted weight's place, not the base's under it. */
static void a_changed_weight_has_its_adapters_in_it(void **state)
{
    lab l;
    tegu_verdict verdict;

    (void)state;
    open_bench(&l, bench_text(adapted));
    verdict = probe(&l, "mix", 1); /* zeros: equal logits */
    assert_float_equal(verdict.loss, log(VOCAB), 1e-6);
    bench_close(&l.b);
}

/* --- elements --- */

static double elements(const lab *l, const char *name)
{
    return (double)tegu_type_elements(
        tegu_unit_find_param(l->b.unit, name)->type);
}

/* What is counted for a narrower stream is what projecting leaves. */
static void elements_of_sites_follow_the_residual_axis(void **state)
{
    static const char *const parts[] = {
        "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"};
    lab l;
    tegu_sites sites;
    double hidden = 0;

    (void)state;
    open_lab(&l);
    assert_true(tegu_sites_find(&sites, l.b.unit, "hidden", "attention", "dim",
                                1, l.b.arena));
    run(&l, "slice{keep=0.5}");
    for (int i = 0; i < 3; i++)
        hidden +=
            elements(&l, tegu_format(l.b.arena, "model.layers.0.%s", parts[i]));
    for (uint32_t i = 0; i < sites.list.count; i++) {
        const tegu_site *site = &sites.list.data[i];
        double whole = hidden, unit = hidden / (double)site->full;
        if (!site->is_hidden) {
            const tegu_type *type =
                tegu_unit_find_param(l.b.unit, site->weight)->type;
            whole = (double)tegu_type_elements(type);
            unit = (double)(type->dims[0].offset + type->dims[1].offset);
        }
        assert_true(tegu_site_elements(site, 0.5, site->full) == whole);
        assert_true(tegu_site_elements(site, 0.5, 3) == 3 * unit);
        assert_true(tegu_site_elements(site, 1, site->full) > whole);
    }
    bench_close(&l.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budgets_are_met_and_used),
        cmocka_unit_test(a_perplexity_budget_is_kept_and_used),
        cmocka_unit_test(what_no_size_meets_is_refused_before_anything_runs),
        cmocka_unit_test(
            a_site_that_no_prediction_shows_keeps_some_sensitivity),
        cmocka_unit_test(equal_searches_give_equal_models),
        cmocka_unit_test(a_probe_equals_the_reduced_model),
        cmocka_unit_test(what_cannot_be_reloaded_is_compiled),
        cmocka_unit_test(a_changed_weight_has_its_adapters_in_it),
        cmocka_unit_test(elements_of_sites_follow_the_residual_axis),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
