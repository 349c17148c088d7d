/* SPDX-License-Identifier: Apache-2.0 */
/* The residual width of a real model: a rotation changes no logit, and the
 * reduced models are as good as the reference study's (reference.md of
 * ../shared/data/wiki5m, table 2.1).  TEGU_NUMERIC_ALL=1 runs every row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "frontend/safetensors.h"
#include "tests/numeric/slim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REFERENCE "../shared/data/wiki5m/reference.safetensors"

enum { PROMPTS = 4, LENGTH = 32, VOCAB = 2048, WINDOWS = 80 };

static bool open_or_skip(slim *s)
{
    if (slim_open(s))
        return true;
    print_message("skipped: no ../shared/data/wiki5m\n");
    skip();
    return false;
}

/* --- invariance --- */

/* Logits [LENGTH, VOCAB] for one prompt, from reset. */
static void logits_of(tegu_executor *run, int32_t *tokens, float *logits)
{
    tegu_tensor in = {TEGU_I32, 1, {LENGTH}, tokens};
    tegu_tensor out = {TEGU_F32, 2, {LENGTH, VOCAB}, logits};

    run->reset(run->self);
    assert_true(run->call(run->self, "step", &in, 1, &out, 1));
}

static void rotations_leave_the_reference_logits(void **state)
{
    slim s;

    (void)state;
    if (!open_or_skip(&s))
        return;
    tegu_safetensors *st = tegu_safetensors_open(s.arena, s.diag, REFERENCE);
    const tegu_stored_tensor *ids = tegu_safetensors_find(st, "prompt_ids");
    const tegu_stored_tensor *want = tegu_safetensors_find(st, "logits");
    int32_t *tokens = tegu_arena_copy(s.arena, ids->data, ids->bytes);
    const float *exact = tegu_arena_copy(s.arena, want->data, want->bytes);
    float *got = TEGU_ARRAY(s.arena, float, LENGTH *VOCAB);
    double worst = 0;

    assert_int_equal(want->bytes, PROMPTS * LENGTH * VOCAB * sizeof(float));
    slim_run(&s, "rotate{provider=random}");
    tegu_executor *run = s.calibration.compile(
        s.calibration.data, tegu_unit_clone(s.unit, s.arena));
    assert_non_null(run);
    for (int p = 0; p < PROMPTS; p++) {
        logits_of(run, tokens + p * LENGTH, got);
        for (int i = 0; i < LENGTH * VOCAB; i++)
            worst = fmax(worst,
                         fabs((double)got[i] - exact[p * LENGTH * VOCAB + i]));
    }
    run->destroy(run->self);
    print_message("largest difference of a logit: %.2g\n", worst);
    assert_true(worst < 2e-4);
    tegu_file_unmap(&st->file);
    slim_close(&s);
}

/* The model that comes with tegu, by the interpreter: no ../shared needed. */
static void rotations_leave_the_bundled_models_logits(void **state)
{
    enum { FEW = 6 };
    tegu_arena *arena = tegu_arena_create();
    tegu_diag *diag = tegu_diag_create(arena);
    tegu_load_options options = {0};
    tegu_unit *unit =
        tegu_load(arena, diag, "examples/models/wiki5m", &options);
    int32_t tokens[FEW] = {5, 310, 77, 1500, 12, 900};
    float *logits[2];

    (void)state;
    assert_non_null(unit);
    for (int i = 0; i < 2; i++) {
        tegu_manager_options how = {.verify_each = true};
        tegu_manager_report report = {.remarks = {.arena = arena}};
        tegu_tensor in = {TEGU_I32, 1, {FEW}, tokens};
        tegu_tensor out = {TEGU_F32, 2, {FEW, VOCAB}, NULL};
        if (i)
            assert_true(tegu_manager_run(
                unit,
                tegu_pipeline_parse(arena, diag, "rotate{provider=random}"),
                &how, &report));
        tegu_executor *run = tegu_interp_create(unit, arena);
        out.data = logits[i] = TEGU_ARRAY(arena, float, FEW *VOCAB);
        assert_true(run->call(run->self, "step", &in, 1, &out, 1));
        run->destroy(run->self);
    }
    for (int i = 0; i < FEW * VOCAB; i++)
        assert_true(fabs((double)logits[0][i] - logits[1][i]) < 2e-4);
    tegu_unit_destroy(unit);
    tegu_arena_destroy(arena);
}

/* --- quality --- */

static const struct {
    const char *pipeline;
    double perplexity; /* of the reference study */
    bool always;
} rows[] = {
    {"slice{keep=0.9}", 32.47, false},
    {"slice{keep=0.8}", 33.71, true},
    {"slice{keep=0.7}", 36.84, false},
    {"slice{keep=0.9,basis=per-site}", 32.17, false},
    {"slice{keep=0.8,basis=per-site}", 33.17, true},
    {"slice{keep=0.7,basis=per-site}", 36.07, false},
    {"dotresize{keep=0.9,basis=per-site}", 32.61, false},
    {"dotresize{keep=0.8,basis=per-site}", 34.66, false},
    {"dotresize{keep=0.7,basis=per-site}", 40.70, true},
    {"prune-width{keep=0.8,basis=per-site}", 42.81, false},
    {"prune-width{keep=0.8}", 42.12, false},
};

/* More energy kept by principal components than by anything else, and every
 * plan at its marginals with full rank. */
static void check_report(const slim *s, const char *pipeline, double *kept)
{
    assert_int_equal(s->report.sites.count, 13);
    *kept = 1;
    for (uint32_t i = 0; i < 13; i++) {
        double energy = slim_figure(s, i, "kept_energy");
        assert_true(energy > 0.5 && energy < 1);
        *kept = fmin(*kept, energy);
        if (strncmp(pipeline, "dotresize", 9) != 0)
            continue;
        assert_true(slim_figure(s, i, "marginal_error") < 1e-6);
        assert_true(slim_figure(s, i, "plan_rank") ==
                    slim_figure(s, i, "width"));
    }
}

static void reduced_widths_are_as_good_as_the_reference(void **state)
{
    const char *all = getenv("TEGU_NUMERIC_ALL");

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        slim s;
        double kept;
        if (!rows[i].always && !(all && strcmp(all, "0") != 0))
            continue;
        if (!open_or_skip(&s))
            return;
        slim_run(&s, rows[i].pipeline);
        check_report(&s, rows[i].pipeline, &kept);
        double got = slim_perplexity(&s, WINDOWS);
        print_message("%-38s %.4f  reference %.2f  least energy %.4f\n",
                      rows[i].pipeline, got, rows[i].perplexity, kept);
        if (!(got <= rows[i].perplexity * 1.01))
            fail_msg("%s: perplexity %.4f", rows[i].pipeline, got);
        slim_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotations_leave_the_reference_logits),
        cmocka_unit_test(rotations_leave_the_bundled_models_logits),
        cmocka_unit_test(reduced_widths_are_as_good_as_the_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
