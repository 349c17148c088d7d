/* SPDX-License-Identifier: Apache-2.0 */
/* test_str.c - text, escaping, UTF-8, interning, nearest names. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ir/base/str.h"

#include <string.h>

static int create(void **state)
{
    *state = tegu_arena_create();
    return *state == NULL;
}

static int destroy(void **state)
{
    tegu_arena_destroy(*state);
    return 0;
}

static void text_grows_and_stays_terminated(void **state)
{
    tegu_text text = {.arena = *state};
    assert_string_equal(tegu_text_cstr(&text), "");
    for (int i = 0; i < 1000; i++)
        tegu_text_printf(&text, "%d,", i % 10);
    tegu_text_add(&text, "end", 3);
    assert_int_equal(text.count, 2003);
    assert_int_equal(strlen(tegu_text_cstr(&text)), 2003);
    assert_string_equal(tegu_text_cstr(&text) + 1998, "9,end");
    assert_string_equal(tegu_format(*state, "%s-%d", "a", 7), "a-7");
}

static void hostile_bytes_are_escaped(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *escaped;
    } cases[] = {
        {"", 0, ""},
        {"plain.name", 10, "plain.name"},
        {"a\nb\tc", 5, "a\\nb\\tc"},
        {"\033[31m", 5, "\\x1b[31m"},
        {"a\0b", 3, "a\\x00b"},
        {"it's \"x\" \\", 10, "it\\'s \\\"x\\\" \\\\"},
        {"\xff\xc3", 2, "\\xff\\xc3"},
        {"\xc3\xa9", 2, "\xc3\xa9"},
        {"\xe2\x80\xae", 3, "\\u{202e}"},
        {"\xe2\x81\xa6", 3, "\\u{2066}"},
        {"\xc2\x85", 2, "\\u{85}"},
        {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(tegu_escaped(*state, cases[i].bytes, cases[i].size),
                            cases[i].escaped);
}

static void long_names_are_cut_and_long_lines_are_not(void **state)
{
    char name[1000];
    memset(name, 'x', sizeof name);
    const char *cut = tegu_escaped(*state, name, sizeof name);
    assert_int_equal(strlen(cut), 203);
    assert_string_equal(cut + 200, "...");
    tegu_text line = {.arena = *state};
    tegu_text_printable(&line, name, sizeof name);
    tegu_text_printable(&line, "'\\\033", 3);
    assert_int_equal(line.count, 1006);
    assert_string_equal(line.data + 1000, "'\\\\x1b");
}

static void utf8_follows_rfc_3629(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        bool valid;
    } cases[] = {
        {"ascii", true},
        {"\xc2\x80", true},
        {"\xdf\xbf", true},
        {"\xe0\xa0\x80", true},
        {"\xef\xbf\xbf", true},
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\x80", false},
        {"\xc0\x80", false},
        {"\xc1\xbf", false},
        {"\xe0\x9f\xbf", false},
        {"\xed\xa0\x80", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xc3", false},
        {"\xe2\x82", false},
        {"\xe2\x28\xa1", false},
        {"ok\xff", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            tegu_utf8_valid(cases[i].bytes, strlen(cases[i].bytes)),
            cases[i].valid);
}

static void equal_bytes_intern_to_one_address(void **state)
{
    tegu_interner *names = tegu_interner_create(*state);
    const char *first = tegu_intern(names, "alpha beta", 5);
    const char *others[500];
    for (int i = 0; i < 500; i++)
        others[i] = tegu_intern_cstr(names, tegu_format(*state, "n%d", i));
    assert_string_equal(first, "alpha");
    assert_ptr_equal(tegu_intern_cstr(names, "alpha"), first);
    assert_ptr_not_equal(tegu_intern_cstr(names, "alph"), first);
    assert_ptr_not_equal(tegu_intern(names, "alpha", 6), first);
    for (int i = 0; i < 500; i++)
        assert_ptr_equal(tegu_intern_cstr(names, tegu_format(*state, "n%d", i)),
                         others[i]);
}

static void the_nearest_name_is_suggested(void **state)
{
    (void)state;
    static const char *const names[] = {"hidden", "heads", "layers", "dim",
                                        "kv_heads"};
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        {"hiden", "hidden"},
        {"haeds", "heads"},
        {"layer", "layers"},
        {"dmi", "dim"},
        {"kvheads", "kv_heads"},
        {"vocab", NULL},
        {"d", NULL},
        {"", NULL},
        {"heads", "heads"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = tegu_nearest(cases[i].word, names, 5);
        if (cases[i].nearest)
            assert_string_equal(got, cases[i].nearest);
        else
            assert_null(got);
    }
    char endless[400] = {0};
    memset(endless, 'a', sizeof endless - 1);
    const char *const itself[] = {endless};
    assert_null(tegu_nearest(endless, itself, 1));
}

static void numbers_are_written_with_no_more_digits_than_needed(void **state)
{
    static const struct {
        double x;
        bool single;
        const char *text;
    } cases[] = {
        {0, false, "0"},
        {0.1, false, "0.1"},
        {-2.5, false, "-2.5"},
        {1e-5, false, "1e-05"},
        {1.0 / 3, false, "0.3333333333333333"},
        {0.1 + 0.2, false, "0.30000000000000004"},
        {10000, false, "10000"},
        {5e-324, false, "4.94065645841247e-324"},
        {(double)0.1f, false, "0.10000000149011612"},
        {(double)0.1f, true, "0.1"},
        {(double)16777217.0f, true, "16777216"},
        {3.4028234663852886e38, true, "3.4028235e+38"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tegu_text text = {.arena = *state};
        tegu_text_number(&text, cases[i].x, cases[i].single);
        assert_string_equal(tegu_text_cstr(&text), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_grows_and_stays_terminated, create,
                                        destroy),
        cmocka_unit_test_setup_teardown(hostile_bytes_are_escaped, create,
                                        destroy),
        cmocka_unit_test_setup_teardown(
            long_names_are_cut_and_long_lines_are_not, create, destroy),
        cmocka_unit_test(utf8_follows_rfc_3629),
        cmocka_unit_test_setup_teardown(equal_bytes_intern_to_one_address,
                                        create, destroy),
        cmocka_unit_test_setup_teardown(
            numbers_are_written_with_no_more_digits_than_needed, create,
            destroy),
        cmocka_unit_test(the_nearest_name_is_suggested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
