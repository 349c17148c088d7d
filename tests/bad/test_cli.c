/* SPDX-License-Identifier: Apache-2.0 */
/* Bad command lines, one test per row of cli.def: the program that $TEGU names
 * must refuse each as its row says, leave every file as it was, and say so on
 * standard error only. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/bad/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_row rows[] = {
#define TEGU_BAD(what, builder, content, line, code, first)                    \
    {what, builder, content, line, code, first},
#include "tests/bad/cli.def"
};

enum { ROWS = sizeof rows / sizeof *rows };

static void row_is_refused_as_stated(void **state)
{
    const cli_row *row = *state;
    const char *program = getenv("TEGU");
    scratch s;
    assert_non_null(program);
    assert_true(scratch_enter(&s));
    const char *wrong = cli_judge(&s, program, row);
    char text[4000] = "";
    if (wrong)
        snprintf(text, sizeof text, "%s", wrong);
    scratch_leave(&s);
    if (wrong)
        fail_msg("%s", text);
}

/* --- the judge itself: programs that do wrong in one way each --- */

static const struct {
    const char *script, *complaint;
} offenders[] = {
    {"echo 'tegu: error: x [E0005]' >&2; exit 64", NULL},
    {"echo 'tegu: error: x [E0005]' >&2; exit 65", "exit code 65, not 64"},
    {"echo 'tegu: error: x [E0005]' >&2", "exit code 0, not 64"},
    {"echo 'tegu: error: y [E0005]' >&2; exit 64", "does not begin with"},
    {"exit 64", "does not begin with"},
    {"echo 'tegu: error: x' >&2; exit 64", "does not end with a message"},
    {"printf 'tegu: error: x [E0005]' >&2; exit 64", "has no end"},
    {"printf 'tegu: error: x\\033 [E0005]\\n' >&2; exit 64", "control byte"},
    {"printf 'tegu: error: x\\377 [E0005]\\n' >&2; exit 64", "not UTF-8"},
    {"kill -SEGV $$", "ended by signal 11"},
    {"echo 'tegu: error: x [E0005]' >&2; echo 1; exit 64", "was printed"},
    {"echo 'tegu: error: x [E0005]' >&2; : >part; exit 64", "files changed"},
    {"echo 'tegu: error: x [E0005]' >&2; rm out/m.o; exit 64", "files changed"},
    {"echo 'tegu: error: x [E0005]' >&2; echo new >out/m.o; exit 64",
     "files changed"},
    {"echo 'tegu: error: x [E0005]' >&2; mkdir new; exit 64", "files changed"},
};

static void judge_sees_each_kind_of_misbehaviour(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof offenders / sizeof *offenders; i++) {
        scratch s;
        assert_true(scratch_enter(&s));
        scratch_put(&s, "script", offenders[i].script,
                    strlen(offenders[i].script));
        cli_row row = {"offender", NONE, "", "script", 64, "tegu: error: x"};
        const char *wrong = cli_judge(&s, "sh", &row);
        bool right = offenders[i].complaint
                         ? wrong && strstr(wrong, offenders[i].complaint)
                         : !wrong;
        if (wrong && !right)
            print_error("%s\n", wrong);
        scratch_leave(&s);
        if (!right)
            fail_msg("offender %zu was judged wrongly", i);
    }
}

static void text_is_repeated_as_asked(void **state)
{
    (void)state;
    scratch s = {.arena = tegu_arena_create()};
    assert_string_equal(scratch_expand(&s, "a@{3*bc}d"), "abcbcbcd");
    assert_string_equal(scratch_expand(&s, "@{2*{}@{x}@{0*y}"), "{{@{x}");
    tegu_arena_destroy(s.arena);
}

int main(void)
{
    static struct CMUnitTest tests[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        tests[i] = (struct CMUnitTest){
            .name = rows[i].what,
            .test_func = row_is_refused_as_stated,
            .initial_state = (void *)(uintptr_t)&rows[i],
        };
    const struct CMUnitTest judge[] = {
        cmocka_unit_test(judge_sees_each_kind_of_misbehaviour),
        cmocka_unit_test(text_is_repeated_as_asked),
    };
    int failed = cmocka_run_group_tests_name("judge", judge, NULL, NULL);
    return failed + _cmocka_run_group_tests("rows", tests, ROWS, NULL, NULL);
}
