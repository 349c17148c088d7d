/* SPDX-License-Identifier: Apache-2.0 */
/* What rounding a width to a multiple costs, where the spectrum is known: the
 * streams and hidden layers of these models hold the energies below, one per
 * element. */
#include "bench.h"
#include "passes/calibrate.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 8, SEQUENCES = 4 };

/* Of 100. */
static const double energies[WIDTH] = {40, 20, 16, 10, 6, 4, 3, 1};

/* Token t is row t of a diagonal table. */
static const char stream[] =
    "model stream\n"
    "axis dim = 8, vocab = 8, T in 1..8\n"
    "weights random(seed = 5, std = 0.2)\n"
    "entry step(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
    "  return linear(embed(tokens, param \"in\" [vocab, dim]), param \"out\" "
    "[vocab, dim])\n}\n";

/* Token t lets element t of the hidden layer pass alone. */
static const char layer[] =
    "model layer\n"
    "axis dim = 8, hidden = 8, vocab = 8, T in 1..8\n"
    "weights random(seed = 5, std = 0.2)\n"
    "entry step(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
    "  let x = embed(tokens, param \"one\" [vocab, dim])\n"
    "  let h = relu(linear(x, param \"in\" [hidden, dim]))\n"
    "  return linear(h, param \"one_out\" [vocab, hidden])\n}\n";

static tegu_executor *interpret(void *data, tegu_unit *unit)
{
    (void)data;
    return tegu_interp_create(unit, unit->arena);
}

typedef struct lab {
    bench b;
    int32_t tokens[SEQUENCES * WIDTH];
    tegu_calibration data;
} lab;

/* Makes a square parameter diagonal. */
static void plant(lab *l, const char *name, bool energetic)
{
    tegu_param *param = tegu_unit_find_param(l->b.unit, name);
    float *data = TEGU_ARRAY(l->b.arena, float, WIDTH *WIDTH);

    for (int i = 0; i < WIDTH; i++)
        data[i * WIDTH + i] = energetic ? (float)sqrt(energies[i]) : 1;
    param->source = TEGU_SOURCE_DATA;
    param->stored = TEGU_F32;
    param->data = data;
}

static void lab_open(lab *l, const char *model)
{
    memset(l, 0, sizeof *l);
    l->b = bench_language(model);
    plant(l, "in", true);
    if (model == layer) {
        plant(l, "one", false);
        plant(l, "one_out", false);
    }
    for (int i = 0; i < SEQUENCES * WIDTH; i++)
        l->tokens[i] = i % WIDTH;
    l->data = (tegu_calibration){.tokens = l->tokens,
                                 .sequences = SEQUENCES,
                                 .length = WIDTH,
                                 .source = "test",
                                 .compile = interpret};
}

static void reduce(lab *l, const char *text, int lanes)
{
    tegu_manager_options options = {
        .verify_each = true, .calibration = &l->data, .lanes = lanes};
    tegu_pipeline *pipeline = tegu_pipeline_parse(l->b.arena, l->b.diag, text);

    l->b.report = (tegu_manager_report){.remarks = {.arena = l->b.arena}};
    if (pipeline &&
        tegu_manager_run(l->b.unit, pipeline, &options, &l->b.report))
        return;
    tegu_diag_render(l->b.diag, stderr, false);
    fail_msg("pipeline %s fails", text);
}

static bool has_figure(const lab *l, uint32_t row, const char *name)
{
    const tegu_site_row *r = &l->b.report.sites.data[row];

    for (uint32_t i = 0; i < r->count; i++)
        if (!strcmp(r->figures[i].name, name))
            return true;
    return false;
}

/* Energy of elements [from, to) of all. */
static double energy(int64_t from, int64_t to)
{
    double sum = 0;

    for (int64_t i = from; i < to; i++)
        sum += energies[i] / 100;
    return sum;
}

/* Asked for 5 of 8. */
static const struct {
    const char *pipeline;
    const char *model;
    const char *width; /* name of the figure */
    int lanes, taken;
    const char *line;
} cases[] = {
    {"slice{keep=0.625,basis=per-site,round=4}", stream, "width", 16, 4,
     "slice: width 5 rounded to 4, a multiple of 4: kept energy -6 % (mean of "
     "the sites)\n"},
    {"slice{keep=0.625,basis=per-site,round=3}", stream, "width", 16, 6,
     "slice: width 5 rounded to 6, a multiple of 3: kept energy +4 % (mean of "
     "the sites)\n"},
    {"slice{keep=0.625,basis=per-site,round=5}", stream, "width", 16, 5,
     "slice: width 5 rounded to 5, a multiple of 5: kept energy +0 % (mean of "
     "the sites)\n"},
    {"prune-width{keep=0.625,basis=per-site,round=0}", stream, "width", 4, 4,
     "prune-width: width 5 rounded to 4, a multiple of 4: kept energy -6 % "
     "(mean of the sites)\n"},
    {"reduce-hidden{keep=0.625,round=4}", layer, "kept", 16, 4,
     "reduce-hidden: widths rounded to multiples of 4: relative error +0.06 "
     "(mean of the layers)\n"},
    {"reduce-hidden{keep=0.625,round=3,method=select}", layer, "kept", 16, 6,
     "reduce-hidden: widths rounded to multiples of 3: relative error -0.04 "
     "(mean of the layers)\n"},
    {"reduce-hidden{keep=0.625,round=0}", layer, "kept", 4, 4,
     "reduce-hidden: widths rounded to multiples of 4: relative error +0.06 "
     "(mean of the layers)\n"},
    {"dotresize{axis=hidden,keep=0.625,round=0}", layer, "kept", 4, 4,
     "dotresize: widths rounded to multiples of 4: relative error +0.06 (mean "
     "of the layers)\n"},
};

static void rounding_costs_the_energy_between_both_widths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lab l;
        double cost = energy(0, 5) - energy(0, cases[i].taken);
        lab_open(&l, cases[i].model);
        reduce(&l, cases[i].pipeline, cases[i].lanes);
        assert_int_equal((int)bench_figure(&l.b, 0, cases[i].width),
                         cases[i].taken);
        assert_int_equal((int)bench_figure(&l.b, 0, "unrounded"), 5);
        if (!(fabs(bench_figure(&l.b, 0, "rounding_cost") - cost) < 1e-6))
            fail_msg("%s: rounding costs %g, not %g", cases[i].pipeline,
                     bench_figure(&l.b, 0, "rounding_cost"), cost);
        if (!strstr(tegu_text_cstr(&l.b.report.remarks), cases[i].line))
            fail_msg("%s says\n%s", cases[i].pipeline,
                     tegu_text_cstr(&l.b.report.remarks));
        bench_close(&l.b);
    }
}

/* Whatever the provider: the same as reducing to both widths. */
static void the_cost_is_the_difference_of_two_reductions(void **state)
{
    static const char *const passes[] = {
        "dotresize{basis=per-site", "dotresize{basis=shared",
        "dotresize{basis=per-site,cost=l1", "slice{basis=shared",
        "prune-width{basis=shared"};

    (void)state;
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        double kept[2], cost;
        lab l;
        for (int k = 0; k < 2; k++) {
            lab_open(&l, stream);
            reduce(&l,
                   tegu_format(l.b.arena, "%s,keep=%s}", passes[i],
                               k ? "0.75" : "0.625"),
                   16);
            kept[k] = bench_figure(&l.b, 0, "kept_energy");
            assert_false(has_figure(&l, 0, "rounding_cost"));
            bench_close(&l.b);
        }
        lab_open(&l, stream);
        reduce(&l, tegu_format(l.b.arena, "%s,keep=0.625,round=6}", passes[i]),
               16);
        cost = bench_figure(&l.b, 0, "rounding_cost");
        if (!(fabs(cost - (kept[0] - kept[1])) < 1e-9) || !(cost < 0))
            fail_msg("%s: rounding costs %g, reducing says %g", passes[i], cost,
                     kept[0] - kept[1]);
        bench_close(&l.b);
    }
}

/* 64 weights beside the layer and 16 per element: 0.8 of 192 leave 5. */
static void a_budget_states_weights_and_errors_of_rounding(void **state)
{
    static const struct {
        const char *round;
        int lanes, taken;
        const char *line;
    } budgets[] = {
        {"4", 16, 4, "multiples of 4: -16 weights (-8.3 %), predicted "},
        {"3", 16, 3, "multiples of 3: -32 weights (-17 %), predicted "},
        {"0", 2, 4, "multiples of 2: -16 weights (-8.3 %), predicted "},
        {"5", 16, 5, "multiples of 5: +0 weights (+0 %), predicted "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        lab l;
        int taken = budgets[i].taken;
        double cost = energy(taken, 5);
        lab_open(&l, layer);
        reduce(&l,
               tegu_format(l.b.arena,
                           "budget{params=0.8,axis=none,targets=none,round=%s}",
                           budgets[i].round),
               budgets[i].lanes);
        assert_int_equal((int)bench_figure(&l.b, 1, "width"), taken);
        assert_int_equal((int)bench_figure(&l.b, 1, "unrounded"), 5);
        assert_int_equal((int)bench_figure(&l.b, 1, "rounding_weights"),
                         16 * (taken - 5));
        if (!(fabs(bench_figure(&l.b, 1, "rounding_cost") - cost) < 1e-3))
            fail_msg("round=%s costs %g, not %g", budgets[i].round,
                     bench_figure(&l.b, 1, "rounding_cost"), cost);
        if (!strstr(tegu_text_cstr(&l.b.report.remarks), budgets[i].line))
            fail_msg("round=%s says\n%s", budgets[i].round,
                     tegu_text_cstr(&l.b.report.remarks));
        bench_close(&l.b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_costs_the_energy_between_both_widths),
        cmocka_unit_test(the_cost_is_the_difference_of_two_reductions),
        cmocka_unit_test(a_budget_states_weights_and_errors_of_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
