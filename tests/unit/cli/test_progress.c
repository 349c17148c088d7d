/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c: numbers for people. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/cli/cli.h"

static void counts_have_three_digits_and_a_prefix(void **state)
{
    (void)state;
    static const struct {
        double n;
        const char *text;
    } rows[] = {
        {0, "0"},          {7, "7"},           {999, "999"},
        {999.4, "999"},    {1000, "1.00 k"},   {999.5, "1.00 k"},
        {1234, "1.23 k"},  {9994, "9.99 k"},   {9996, "10.0 k"},
        {12345, "12.3 k"}, {99940, "99.9 k"},  {99960, "100 k"},
        {999499, "999 k"}, {999501, "1.00 M"}, {5.4e6, "5.40 M"},
        {1.1e9, "1.10 G"}, {2e12, "2.00 T"},   {3e15, "3.00 P"},
        {4e18, "4000 P"},
    };
    tegu_arena *arena = tegu_arena_create();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(tegu_count_text(arena, rows[i].n), rows[i].text);
    tegu_arena_destroy(arena);
}

static void bytes_have_their_unit(void **state)
{
    (void)state;
    tegu_arena *arena = tegu_arena_create();
    assert_string_equal(tegu_bytes_text(arena, 0), "0 B");
    assert_string_equal(tegu_bytes_text(arena, 64), "64 B");
    assert_string_equal(tegu_bytes_text(arena, 23.9e6), "23.9 MB");
    tegu_arena_destroy(arena);
}

static void the_clock_does_not_go_back(void **state)
{
    (void)state;
    double last = tegu_seconds();
    for (int i = 0; i < 1000; i++) {
        double now = tegu_seconds();
        assert_true(now >= last);
        last = now;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_have_three_digits_and_a_prefix),
        cmocka_unit_test(bytes_have_their_unit),
        cmocka_unit_test(the_clock_does_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
