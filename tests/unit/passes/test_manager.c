/* SPDX-License-Identifier: Apache-2.0 */
/* The manager: levels, printing, stopping, statistics, and that --check-each
 * finds a pass that changes what a model computes. */
#include "bench.h"
#include "passes/check.h"
#include <stdlib.h>
#include <string.h>

static const char chain[] = "unit t\n"
                            "axis T in 1..8\n"
                            "param \"w\" : f32[4]\n"
                            "entry f core {\n"
                            "  %1 = input {name=\"x\"} : f32[T, 4]\n"
                            "  %2 = param {name=\"w\"} : f32[4]\n"
                            "  %3 = add %1, %2 : f32[T, 4]\n"
                            "  %4 = neg %3 : f32[T, 4]\n"
                            "  %5 = neg %4 : f32[T, 4]\n"
                            "  return \"y\" %5\n"
                            "}\n";

static void passes_refuse_levels_they_do_not_take(void **state)
{
    static const char *const cases[][2] = {
        {"legalise", "pass 'legalise' cannot run at core level; it must "
                     "come earlier"},
        {"plan-memory", "pass 'plan-memory' cannot run at core level; run "
                        "'fuse' before it"},
        {"fuse,fold", "pass 'fold' cannot run at kernel level; it must come "
                      "earlier"},
        {"fuse,fuse", "pass 'fuse' cannot run at kernel level"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench b = bench_text(chain);
        assert_false(bench_try(&b, cases[i][0]));
        assert_int_equal(tegu_diag_exit_code(b.diag), 64);
        assert_message(&b, cases[i][1]);
        bench_close(&b);
    }
}

static void presets_leave_out_what_the_unit_is_past(void **state)
{
    bench b = bench_text(chain);

    (void)state;
    bench_run(&b, "fuse,-O2");
    assert_int_equal(bench_graph(&b)->level, TEGU_LEVEL_KERNEL);
    assert_string_equal(b.report.steps.data[0].text, "fuse");
    assert_string_equal(b.report.steps.data[b.report.steps.count - 1].text,
                        "plan-memory");
    for (uint32_t i = 0; i < b.report.steps.count; i++)
        assert_string_not_equal(b.report.steps.data[i].text, "legalise");
    bench_close(&b);
}

static void statistics_say_what_a_step_did(void **state)
{
    bench b = bench_text(chain);
    const tegu_step_report *step;

    (void)state;
    bench_run(&b, "canonicalise{trace=true},canonicalise");
    step = b.report.steps.data;
    assert_string_equal(step[0].text, "canonicalise{trace=true}");
    assert_true(step[0].changed);
    assert_int_equal(step[0].nodes_before, 5);
    assert_int_equal(step[0].nodes_after, 3);
    assert_true(step[0].seconds >= 0);
    assert_false(step[1].changed);
    assert_string_equal(tegu_text_cstr(&b.report.remarks),
                        "canonicalise: neg-neg 1\n");
    bench_close(&b);
}

/* Runs "canonicalise,cse,fuse" with options; what was printed. */
static char *print_run(bench *b, tegu_manager_options options, bool works)
{
    char *text = NULL;
    size_t size = 0;
    tegu_manager_report report = {0};

    options.print_to = open_memstream(&text, &size);
    assert_int_equal(
        tegu_manager_run(
            b->unit,
            tegu_pipeline_parse(b->arena, b->diag, "canonicalise,cse,fuse"),
            &options, &report),
        works);
    fclose(options.print_to);
    return text;
}

static void printing_names_the_step_and_skips_unchanged_ones(void **state)
{
    bench b = bench_text(chain);
    char *text = print_run(
        &b, (tegu_manager_options){.print_after = "all", .print_changed = true},
        true);

    (void)state;
    assert_non_null(strstr(text, "# after canonicalise\nunit t\n"));
    assert_null(strstr(text, "# after cse\n"));
    assert_non_null(strstr(text, "# after fuse\n"));
    assert_null(strstr(text, "# before"));
    free(text);
    bench_close(&b);
}

static void printing_before_shows_the_unit_as_it_was(void **state)
{
    bench b = bench_text(chain);
    char *text = print_run(
        &b, (tegu_manager_options){.print_before = "canonicalise"}, true);

    (void)state;
    assert_non_null(strstr(text, "# before canonicalise\n"));
    assert_non_null(strstr(text, "%5 = neg %4"));
    free(text);
    bench_close(&b);
}

static void stopping_after_a_pass_leaves_the_rest_out(void **state)
{
    bench b = bench_text(chain);

    (void)state;
    free(print_run(&b, (tegu_manager_options){.stop_after = "cse"}, true));
    assert_int_equal(bench_graph(&b)->level, TEGU_LEVEL_CORE);
    assert_int_equal(count_ops(bench_graph(&b), TEGU_OP_NEG), 0);
    bench_close(&b);
}

static void unknown_names_in_options_are_refused(void **state)
{
    bench b = bench_text(chain);

    (void)state;
    free(print_run(&b, (tegu_manager_options){.stop_after = "fuze"}, false));
    assert_message(&b, "unknown pass 'fuze'; did you mean 'fuse'?");
    free(print_run(&b, (tegu_manager_options){.print_after = "x"}, false));
    assert_message(&b, "unknown pass 'x'");
    bench_close(&b);
}

/* What the units compute, as if a pass had made one from the other. */
static bool agrees(const char *before, const char *after, bench *b)
{
    tegu_meaning *a, *c;
    bench other = bench_text(before);
    double ratio = 0;
    bool same;

    *b = bench_text(after);
    a = tegu_meaning_of(other.unit, b->arena, 3);
    c = tegu_meaning_of(b->unit, b->arena, 3);
    assert_non_null(a);
    assert_non_null(c);
    same = tegu_meaning_agrees(b->unit, "planted", a, c, &ratio);
    bench_close(&other);
    return same;
}

static const struct {
    const char *before, *after; /* lines between input and return of %9 */
} planted[] = {
    {"  %2 = neg %1 : f32[T, 4]\n", "  %2 = abs %1 : f32[T, 4]\n"},
    {"  %2 = const 1 : f32[]\n", "  %2 = const 1.000001 : f32[]\n"},
    {"  %2 = transpose %1 {perm=[0, 1]} : f32[T, 4]\n",
     "  %2 = slice %1 {start=[0, 3], step=[1, -1]} : f32[T, 4]\n"},
    {"  %2 = const 0 : f32[]\n", "  %2 = const inf : f32[]\n"},
    {"  %2 = const 0 : f32[]\n", "  %2 = const nan : f32[]\n"},
};

static void a_changed_meaning_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof planted / sizeof planted[0]; i++) {
        char before[512], after[512];
        static const char form[] =
            "unit t\naxis T in 1..8\nentry f core {\n"
            "  %%1 = input {name=\"x\"} : f32[T, 4]\n%s"
            "  %%3 = add %%1, %%2 : f32[T, 4]\n  return \"y\" %%3\n}\n";
        bench b;
        snprintf(before, sizeof before, form, planted[i].before);
        snprintf(after, sizeof after, form, planted[i].after);
        assert_true(agrees(before, before, &b));
        bench_close(&b);
        assert_false(agrees(before, after, &b));
        assert_int_equal(tegu_diag_exit_code(b.diag), 70);
        assert_message(&b, "pass 'planted' changed result 'y' of entry 'f' at "
                           "element ");
        bench_close(&b);
    }
}

static void a_changed_state_is_found(void **state)
{
    static const char form[] =
        "unit t\naxis T in 1..4\nstate \"s\" append : f32[8]\n"
        "entry f core {\n  %%1 = input {name=\"x\"} : f32[T]\n"
        "  %%2 = %s %%1 : f32[T]\n  %%3 = state {name=\"s\"} : f32[8]\n"
        "  %%4 = append %%3, %%2 : f32[8]\n  return \"y\" %%1\n"
        "  update \"s\" %%4\n}\n";
    char before[512], after[512];
    bench b;

    (void)state;
    snprintf(before, sizeof before, form, "neg");
    snprintf(after, sizeof after, form, "abs");
    assert_false(agrees(before, after, &b));
    assert_message(&b, "pass 'planted' changed state 's' of entry 'f'");
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_refuse_levels_they_do_not_take),
        cmocka_unit_test(presets_leave_out_what_the_unit_is_past),
        cmocka_unit_test(statistics_say_what_a_step_did),
        cmocka_unit_test(printing_names_the_step_and_skips_unchanged_ones),
        cmocka_unit_test(printing_before_shows_the_unit_as_it_was),
        cmocka_unit_test(stopping_after_a_pass_leaves_the_rest_out),
        cmocka_unit_test(unknown_names_in_options_are_refused),
        cmocka_unit_test(a_changed_meaning_is_found),
        cmocka_unit_test(a_changed_state_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
