/* SPDX-License-Identifier: Apache-2.0 */
/* args.c: every spelling of an option, and numbers at their bounds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/cli/cli.h"

#include <stdio.h>
#include <string.h>

typedef struct line {
    tegu_cli cli;
    char *words[16];
    int count;
} line;

/* Parses "tegu" and the words of `text`, separated by blanks. */
static bool parse(line *l, const char *text)
{
    tegu_arena *arena = tegu_arena_create();
    *l = (line){.cli = {.arena = arena, .diag = tegu_diag_create(arena)}};
    char *copy = tegu_format(arena, "tegu %s", text);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        l->words[l->count++] = word;
    return tegu_args_parse(&l->cli, l->count, l->words);
}

static void done(line *l)
{
    tegu_arena_destroy(l->cli.arena);
}

static void check_message(line *l, const char *text)
{
    uint32_t count;
    const tegu_message *m = tegu_diag_messages(l->cli.diag, &count);
    assert_int_equal(count, 1);
    assert_string_equal(m[0].text, text);
    assert_int_equal(tegu_diag_exit_code(l->cli.diag), 64);
}

static void options_are_spelled_in_four_ways(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "compile m -o out",       "compile m -oout",
        "compile m --output out", "compile m --output=out",
        "compile --output=out m", "compile -o out -- m",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        line l;
        assert_true(parse(&l, lines[i]));
        assert_int_equal(l.cli.args.command, TEGU_COMMAND_COMPILE);
        assert_int_equal(l.cli.args.operands.count, 1);
        assert_string_equal(l.cli.args.operands.data[0], "m");
        assert_string_equal(tegu_args_text(&l.cli.args, TEGU_CLI_OUTPUT, "?"),
                            "out");
        done(&l);
    }
}

static void a_value_may_begin_with_a_dash_or_hold_equals(void **state)
{
    (void)state;
    line l;
    assert_true(parse(&l, "compile m --features -avx2 -D a=b=c -p -O1"));
    assert_string_equal(tegu_args_text(&l.cli.args, TEGU_CLI_FEATURES, ""),
                        "-avx2");
    assert_string_equal(tegu_args_text(&l.cli.args, TEGU_CLI_DEFINE, ""),
                        "a=b=c");
    assert_string_equal(tegu_args_text(&l.cli.args, TEGU_CLI_PIPELINE, ""),
                        "-O1");
    done(&l);
}

static void repeated_options_are_kept_in_order_and_the_last_counts(void **state)
{
    (void)state;
    line l;
    assert_true(parse(&l, "compare m -p cse -p dce --pipeline=fold"));
    const tegu_texts *all = &l.cli.args.values[TEGU_CLI_PIPELINE];
    assert_int_equal(all->count, 3);
    assert_string_equal(all->data[0], "cse");
    assert_string_equal(all->data[1], "dce");
    assert_string_equal(tegu_args_text(&l.cli.args, TEGU_CLI_PIPELINE, ""),
                        "fold");
    done(&l);
}

static void a_lone_dash_is_an_operand_and_so_is_all_after_two(void **state)
{
    (void)state;
    line l;
    assert_true(parse(&l, "check -"));
    assert_string_equal(l.cli.args.operands.data[0], "-");
    done(&l);
    assert_true(parse(&l, "check -- --quiet"));
    assert_string_equal(l.cli.args.operands.data[0], "--quiet");
    assert_false(tegu_args_has(&l.cli.args, TEGU_CLI_QUIET));
    done(&l);
}

static void flags_are_given_or_not(void **state)
{
    (void)state;
    line l;
    assert_true(parse(&l, "check m -q"));
    assert_true(tegu_args_has(&l.cli.args, TEGU_CLI_QUIET));
    assert_false(tegu_args_has(&l.cli.args, TEGU_CLI_NAME));
    done(&l);
}

static void wrong_lines_are_answered_with_what_is_near(void **state)
{
    (void)state;
    static const struct {
        const char *words, *text;
    } rows[] = {
        {"chek m", "unknown command 'chek'; did you mean 'check'?"},
        {"check m --nmae x",
         "'tegu check' has no option '--nmae'; did you mean '--name'?"},
        {"check m --zzzzzz",
         "'tegu check' has no option '--zzzzzz': see 'tegu help check'"},
        {"check m --name", "option '--name' needs a value"},
        {"check m --quiet=1", "option '--quiet' takes no value"},
        {"check", "'tegu check' needs MODEL: see 'tegu help check'"},
        {"check a b", "one word too many: 'b'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        line l;
        assert_false(parse(&l, rows[i].words));
        check_message(&l, rows[i].text);
        done(&l);
    }
}

static void integers_are_taken_within_their_bounds_only(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } rows[] = {
        {"1", true, 1},    {"9", true, 9},
        {"+3", true, 3},   {"0", false, 0},
        {"10", false, 0},  {"-1", false, 0},
        {"3x", false, 0},  {"x", false, 0},
        {"3.0", false, 0}, {"1e0", false, 0},
        {"0x3", false, 0}, {"99999999999999999999", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char words[80];
        line l;
        int64_t value = -1;
        snprintf(words, sizeof words, "bench m -r %s", rows[i].text);
        assert_true(parse(&l, words));
        bool good = tegu_args_int(&l.cli, TEGU_CLI_REPEAT, 5, 1, 9, &value);
        assert_int_equal(good, rows[i].good);
        if (good)
            assert_int_equal(value, rows[i].value);
        else
            assert_int_equal(tegu_diag_exit_code(l.cli.diag), 64);
        done(&l);
    }
}

static void numbers_are_taken_when_finite_and_within_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {"0", true},      {"0.5", true},   {"1e-3", true}, {"2", true},
        {"2.01", false},  {"-0.1", false}, {"nan", false}, {"inf", false},
        {"1e999", false}, {"1,5", false},  {"x", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char words[80];
        line l;
        double value = -1;
        snprintf(words, sizeof words, "run m --temperature %s", rows[i].text);
        assert_true(parse(&l, words));
        assert_int_equal(
            tegu_args_float(&l.cli, TEGU_CLI_TEMPERATURE, 1, 0, 2, &value),
            rows[i].good);
        done(&l);
    }
}

static void an_option_that_is_missing_gives_the_fallback(void **state)
{
    (void)state;
    line l;
    int64_t n;
    double x;
    assert_true(parse(&l, "run m"));
    assert_true(tegu_args_int(&l.cli, TEGU_CLI_COUNT, 64, 1, 9, &n));
    assert_int_equal(n, 64);
    assert_true(tegu_args_float(&l.cli, TEGU_CLI_TOP_P, 0.5, 1, 2, &x));
    assert_true(x == 0.5);
    assert_string_equal(tegu_args_text(&l.cli.args, TEGU_CLI_NAME, "none"),
                        "none");
    done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_spelled_in_four_ways),
        cmocka_unit_test(a_value_may_begin_with_a_dash_or_hold_equals),
        cmocka_unit_test(
            repeated_options_are_kept_in_order_and_the_last_counts),
        cmocka_unit_test(a_lone_dash_is_an_operand_and_so_is_all_after_two),
        cmocka_unit_test(flags_are_given_or_not),
        cmocka_unit_test(wrong_lines_are_answered_with_what_is_near),
        cmocka_unit_test(integers_are_taken_within_their_bounds_only),
        cmocka_unit_test(numbers_are_taken_when_finite_and_within_bounds),
        cmocka_unit_test(an_option_that_is_missing_gives_the_fallback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
