/* SPDX-License-Identifier: Apache-2.0 */
/* Random programs through random pipelines: any subset and order of passes
 * either is refused with a reason or keeps what the program computes.
 * TEGU_SEEDS=N runs N seeds instead of 400. */
#include "bench.h"
#include "tests/numeric/generate.h"
#include <stdlib.h>

enum { STEPS = 7 };

/* Steps, the level they need and the one they leave: 'm' model, 'c' core, 'k'
 * kernel, '=' any, and the same. */
static const struct {
    const char *text;
    char needs, gives;
} steps[] = {
    {"canonicalise", 'c', '='},
    {"fold", 'c', '='},
    {"fold{limit=4}", 'c', '='},
    {"cse", '=', '='},
    {"dce", '=', '='},
    {"fuse", 'c', 'k'},
    {"fuse{epilogues=false}", 'c', 'k'},
    {"fuse{loops=false}", 'c', 'k'},
    {"plan-memory", 'k', '='},
    {"plan-memory{reuse=false}", 'k', '='},
    {"legalise", 'm', 'c'},
    {"narrow", 'm', '='},
    {"fold-norms", 'm', '='},
    {"-O0", '=', 'k'},
    {"-O1", '=', 'k'},
    {"-O2", '=', 'k'},
};

enum { STEP_COUNT = sizeof steps / sizeof steps[0] };

static uint32_t seeds(void)
{
    const char *text = getenv("TEGU_SEEDS");

    return text ? (uint32_t)strtoul(text, NULL, 10) : 400;
}

/* Mostly steps that the level allows, now and then any. */
static const char *random_pipeline(numeric_rng *rng, tegu_arena *arena)
{
    tegu_text text = {.arena = arena};
    uint32_t count = 1 + numeric_below(rng, STEPS);
    char level = 'c';

    while (count > 0) {
        uint32_t i = numeric_below(rng, STEP_COUNT);
        bool fits = steps[i].needs == '=' || steps[i].needs == level;
        if (!fits && !numeric_chance(rng, 0.02))
            continue;
        tegu_text_printf(&text, "%s%s", text.count ? "," : "", steps[i].text);
        level = steps[i].gives == '=' ? level : steps[i].gives;
        count--;
    }
    return tegu_text_cstr(&text);
}

/* Exit code of the run: 0, or 64 when a pass came at a wrong level. */
static int run(numeric_model *model, uint64_t seed, const char *text)
{
    tegu_manager_options options = {
        .verify_each = true, .check_each = true, .check_seed = seed};
    tegu_manager_report report = {0};
    tegu_pipeline *pipeline =
        tegu_pipeline_parse(model->arena, model->diag, text);

    assert_non_null(pipeline);
    tegu_diag_clear(model->diag); /* attempts of the generator */
    if (tegu_manager_run(model->unit, pipeline, &options, &report))
        return 0;
    return tegu_diag_exit_code(model->diag);
}

static void random_pipelines_keep_the_meaning_of_random_programs(void **state)
{
    generate_options options = generate_defaults();
    uint32_t done = 0;

    (void)state;
    options.max_elements = 2048;
    for (uint32_t seed = 1; seed <= seeds(); seed++) {
        numeric_rng rng = {seed};
        numeric_model model = generate_model(seed, &options);
        const char *text = random_pipeline(&rng, model.arena);
        int code = run(&model, seed, text);
        if (code != 0 && code != 64) {
            numeric_dump(&model, text);
            fail_msg("seed %u: pipeline %s", seed, text);
        }
        done += code == 0;
        options.specials = seed % 2;
        numeric_destroy(&model);
    }
    assert_true(done > seeds() / 2 && done < seeds());
}

static void presets_keep_the_meaning_of_random_programs(void **state)
{
    generate_options options = generate_defaults();

    (void)state;
    options.max_elements = 2048;
    for (uint32_t seed = 1; seed <= seeds(); seed++) {
        static const char *const presets[] = {"-O0", "-O1", "-O2"};
        numeric_model model = generate_model(seed, &options);
        if (run(&model, seed, presets[seed % 3]) != 0) {
            numeric_dump(&model, presets[seed % 3]);
            fail_msg("seed %u: pipeline %s", seed, presets[seed % 3]);
        }
        numeric_destroy(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_pipelines_keep_the_meaning_of_random_programs),
        cmocka_unit_test(presets_keep_the_meaning_of_random_programs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
