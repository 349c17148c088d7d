/* SPDX-License-Identifier: Apache-2.0 */
/* test_switch.c - adapters that are kept apart and switched between calls.
 *
 * One model with two adapters, kept by keep-adapters and lowered by every
 * backend, is called while the adapters' scales change.  Each time it must
 * agree with the shadow of the same model with these scales written into its
 * lora ops; with all adapters off it gives the base model's bits.
 */
#include "frontend/prelude.h"
#include "passes/pass.h"
#include "tests/numeric/native.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The scales that the model is compiled with. */
static const double compiled[2] = {2, 0.5};

/* Two adapters on one weight, of the same x: in one kernel; ranks too large
 * for that; singlora, whose matrix is read twice; a table; and a norm whose
 * scales move into all weights behind it. */
static const char *text_of(tegu_arena *arena, const double scales[2])
{
    double a = scales[0], b = scales[1];
    return tegu_format(
        arena,
        "unit m\naxis T in 1..40\nadapter one %.17g\nadapter two %.17g\n"
        "weights random 7 0.2\n"
        "param \"table\" : f32[11, 40]\nparam \"g\" : f32[40]\n"
        "param \"wq\" : f32[36, 40]\nparam \"wk\" : f32[36, 40]\n"
        "param \"wv\" : f32[36, 40]\nparam \"wo\" : f32[40, 36]\n"
        "param \"bias\" : f32[36]\n"
        "param \"one:qa\" : f32[3, 40] of one\n"
        "param \"one:qb\" : f32[36, 3] of one\n"
        "param \"two:qa\" : f32[8, 40] of two\n"
        "param \"two:qb\" : f32[36, 8] of two\n"
        "param \"one:ka\" : f32[70, 40] of one\n"
        "param \"one:kb\" : f32[36, 70] of one\n"
        "param \"two:va\" : f32[40, 4] of two\n"
        "param \"two:oa\" : f32[2, 36] of two\n"
        "param \"two:ob\" : f32[40, 2] of two\n"
        "param \"one:ta\" : f32[2, 40] of one\n"
        "param \"one:tb\" : f32[11, 2] of one\n"
        "entry f model {\n"
        "  %%1 = input {name=\"t\"} : i32[T]\n"
        "  %%2 = param {name=\"table\"} : f32[11, 40]\n"
        "  %%3 = param {name=\"one:ta\"} : f32[2, 40]\n"
        "  %%4 = param {name=\"one:tb\"} : f32[11, 2]\n"
        "  %%5 = lora %%2, %%3, %%4 {scale=%.17g} : f32[11, 40]\n"
        "  %%6 = embed %%1, %%5 : f32[T, 40]\n"
        "  %%7 = param {name=\"g\"} : f32[40]\n"
        "  %%8 = rms_norm %%6, %%7 : f32[T, 40]\n"
        "  %%9 = param {name=\"wq\"} : f32[36, 40]\n"
        "  %%10 = param {name=\"one:qa\"} : f32[3, 40]\n"
        "  %%11 = param {name=\"one:qb\"} : f32[36, 3]\n"
        "  %%12 = lora %%9, %%10, %%11 {scale=%.17g} : f32[36, 40]\n"
        "  %%13 = param {name=\"two:qa\"} : f32[8, 40]\n"
        "  %%14 = param {name=\"two:qb\"} : f32[36, 8]\n"
        "  %%15 = lora %%12, %%13, %%14 {scale=%.17g} : f32[36, 40]\n"
        "  %%16 = param {name=\"bias\"} : f32[36]\n"
        "  %%17 = linear %%8, %%15, %%16 : f32[T, 36]\n"
        "  %%18 = param {name=\"wk\"} : f32[36, 40]\n"
        "  %%19 = param {name=\"one:ka\"} : f32[70, 40]\n"
        "  %%20 = param {name=\"one:kb\"} : f32[36, 70]\n"
        "  %%21 = lora %%18, %%19, %%20 {scale=%.17g} : f32[36, 40]\n"
        "  %%22 = linear %%8, %%21 : f32[T, 36]\n"
        "  %%23 = param {name=\"wv\"} : f32[36, 40]\n"
        "  %%24 = param {name=\"two:va\"} : f32[40, 4]\n"
        "  %%25 = singlora %%23, %%24 {scale=%.17g} : f32[36, 40]\n"
        "  %%26 = linear %%8, %%25 : f32[T, 36]\n"
        "  %%27 = swiglu %%17, %%22 : f32[T, 36]\n"
        "  %%28 = mul %%27, %%26 : f32[T, 36]\n"
        "  %%29 = param {name=\"wo\"} : f32[40, 36]\n"
        "  %%30 = param {name=\"two:oa\"} : f32[2, 36]\n"
        "  %%31 = param {name=\"two:ob\"} : f32[40, 2]\n"
        "  %%32 = lora %%29, %%30, %%31 {scale=%.17g} : f32[40, 36]\n"
        "  %%33 = linear %%28, %%32 : f32[T, 40]\n"
        "  %%34 = add %%6, %%33 : f32[T, 40]\n"
        "  return \"y\" %%34\n  return \"k\" %%22\n}\n",
        compiled[0], compiled[1], 0.3 * a, 0.7 * a, 1.5 * b, 0.1 * a, 0.4 * b,
        b);
}

static void run_pass(numeric_model *model, const char *text)
{
    tegu_pipeline *pipeline =
        tegu_pipeline_parse(model->arena, model->diag, text);
    tegu_manager_options options = {.verify_each = true, .check_each = true};
    tegu_manager_report report = {.remarks = {.arena = model->arena}};
    if (!pipeline ||
        !tegu_manager_run(model->unit, pipeline, &options, &report)) {
        tegu_diag_render(model->diag, stderr, false);
        fail_msg("%s", text);
    }
}

static numeric_model parse(const double scales[2])
{
    tegu_arena *arena = tegu_arena_create();
    numeric_model model = numeric_parse(text_of(arena, scales));
    tegu_arena_destroy(arena);
    tegu_prelude_attach(model.unit);
    return model;
}

/* Token ids and a length for a call; equal for equal `rows`. */
static void give_inputs(numeric_model *model, int64_t rows)
{
    tegu_tensor *t = &model->inputs[0];
    numeric_rng rng = {(uint64_t)rows};
    model->symbols = TEGU_ARRAY(model->arena, int64_t, 2);
    model->symbols[1] = rows;
    model->calls = 1;
    *t = (tegu_tensor){.dtype = TEGU_I32, .rank = 1, .dims = {rows}};
    numeric_allocate(model->arena, t);
    for (int64_t i = 0; i < rows; i++)
        numeric_set(t, i, numeric_below(&rng, 11));
}

static void switched_adapters_agree_with_written_scales(void **state)
{
    static const double settings[][2] = {{2, 0.5}, {0, 0},    {1, 0}, {0, -3},
                                         {0, 0},   {0.25, 2}, {2, 0}};
    const numeric_named_backend *backend = *state;
    numeric_model run = parse(compiled);
    numeric_tally tally = {0};
    run_pass(&run, "keep-adapters");
    tegu_executor *executor = backend->backend(&run);
    assert_non_null(executor);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        numeric_mismatch m = {.element = -1};
        numeric_model want = parse(settings[i]);
        give_inputs(&want, i % 2 ? 1 : 37);
        for (int k = 0; k < 2; k++)
            run.unit->adapters.data[1 + k].scale = settings[i][k];
        if (!numeric_agrees(&want, executor, &tally, &m))
            fail_msg("scales %g, %g: result %u, element %lld is %.9g, exact "
                     "%.17g, bound %.3g",
                     settings[i][0], settings[i][1], m.result,
                     (long long)m.element, m.got, m.exact, m.bound);
        numeric_destroy(&want);
    }
    executor->destroy(executor->self);
    numeric_destroy(&run);
}

/* Results of one call. */
static void call(numeric_model *model, tegu_executor *executor, float *y,
                 float *k)
{
    int64_t rows = model->symbols[1];
    tegu_tensor outputs[] = {
        {.dtype = TEGU_F32, .rank = 2, .dims = {rows, 40}, .data = y},
        {.dtype = TEGU_F32, .rank = 2, .dims = {rows, 36}, .data = k}};
    assert_true(
        executor->call(executor->self, "f", model->inputs, 1, outputs, 2));
}

static void adapters_that_are_off_leave_the_bases_bits(void **state)
{
    static const double none[] = {0, 0};
    const numeric_named_backend *backend = *state;
    numeric_model base = parse(none), run = parse(compiled);
    run_pass(&base, "fold-adapters");
    run_pass(&run, "keep-adapters");
    run.unit->adapters.data[1].scale = run.unit->adapters.data[2].scale = 0;
    tegu_executor *a = backend->backend(&base), *b = backend->backend(&run);
    assert_non_null(a);
    assert_non_null(b);
    for (int64_t rows = 1; rows <= 40; rows += 13) {
        float y[2][40 * 40], k[2][40 * 36];
        give_inputs(&base, rows);
        give_inputs(&run, rows);
        call(&base, a, y[0], k[0]);
        call(&run, b, y[1], k[1]);
        assert_memory_equal(y[0], y[1], (size_t)rows * 40 * sizeof(float));
        assert_memory_equal(k[0], k[1], (size_t)rows * 36 * sizeof(float));
    }
    a->destroy(a->self);
    b->destroy(b->self);
    numeric_destroy(&base);
    numeric_destroy(&run);
}

int main(void)
{
    int failed = 0;
    uint32_t count;
    const numeric_named_backend *backends = numeric_backends(&count);
    for (uint32_t i = 0; i < count; i++) {
        numeric_named_backend backend = backends[i];
        const struct CMUnitTest tests[] = {
            cmocka_unit_test_prestate(
                switched_adapters_agree_with_written_scales, &backend),
            cmocka_unit_test_prestate(
                adapters_that_are_off_leave_the_bases_bits, &backend),
        };
        failed += cmocka_run_group_tests_name(backend.name, tests, NULL, NULL);
    }
    return failed;
}
