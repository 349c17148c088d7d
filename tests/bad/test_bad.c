/* SPDX-License-Identifier: Apache-2.0 */
/* Bad inputs, one row each: the exit code and the first message that every one
 * must give.  Sources that are too long or too deep to be written are made.
 * Rows of TEGU_GOOD lie just inside of what is allowed and must load, so that
 * a checker which refuses too much is found as well.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/frontend.h"
#include "ir/ir.h"
#include <stdio.h>
#include <string.h>

typedef struct row {
    const char *what;
    int exit;
    const char *message;
    const char *text;
    size_t size;
} row;

static const row language[] = {
#define TEGU_GOOD(what, text)
#define TEGU_BAD(what, exit, message, text)                                    \
    {what, exit, message, text, sizeof text - 1},
#include "tests/bad/language.def"
};

static const row accepted[] = {
#define TEGU_GOOD(what, text) {what, 0, "", text, sizeof text - 1},
#define TEGU_BAD(what, exit, message, text)
#include "tests/bad/language.def"
};

/* Loads a row's text; true when it gave what the row says. */
static bool check(const row *r)
{
    tegu_arena *arena = tegu_arena_create();
    tegu_diag *diag = tegu_diag_create(arena);
    tegu_load_options options = {0};
    if (!strstr(r->text, "model "))
        options.name = "bad";
    tegu_unit *unit =
        tegu_language_load(arena, diag, "bad.tegu", r->text, r->size, &options);
    uint32_t count;
    const tegu_message *m = tegu_diag_messages(diag, &count);
    const char *got = count ? tegu_format(arena, "%u:%u: %s", m[0].loc.line,
                                          m[0].loc.column, m[0].text)
                            : "";
    bool ok = (unit != NULL) == (r->exit == 0) &&
              tegu_diag_exit_code(diag) == r->exit &&
              strncmp(got, r->message, strlen(r->message)) == 0 &&
              (r->exit == 0) == (count == 0);
    if (unit)
        ok = ok && tegu_unit_verify(unit);
    if (!ok)
        fprintf(stderr,
                "%s: exit %d, expected %d\n  got      %s\n"
                "  expected %s\n",
                r->what, tegu_diag_exit_code(diag), r->exit, got, r->message);
    tegu_arena_destroy(arena);
    return ok;
}

static void check_all(const row *rows, size_t count)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong += !check(&rows[i]);
    assert_int_equal(wrong, 0);
}

static void every_bad_source_is_reported_as_listed(void **state)
{
    (void)state;
    assert_true(sizeof language / sizeof *language >= 150);
    check_all(language, sizeof language / sizeof *language);
}

static void every_source_just_inside_the_rules_loads(void **state)
{
    (void)state;
    check_all(accepted, sizeof accepted / sizeof *accepted);
}

/* --- sources that are made --- */

typedef struct made {
    const char *what;
    const char *before, *repeated, *between, *closing, *after;
    uint32_t count;
    int exit;
    const char *message;
} made;

static const char entry_begin[] = "entry f(x: f32[4]) -> y: f32[4] { return ";

/* before, repeated x count, between, closing x count, after */
static const made long_rows[] = {
    {"parentheses inside the limit", entry_begin, "(", "x", ")", "}", 150, 0,
     ""},
    {"100,000 parentheses", entry_begin, "(", "x", ")", "}", 100000, 65,
     "1:242: nested more than 200 deep"},
    {"100,000 brackets", entry_begin, "[", "1.0", "]", "}", 100000, 65,
     "1:242: nested more than 200 deep"},
    {"100,000 minus signs", entry_begin, "-", "x", "", "}", 100000, 65,
     "1:241: nested more than 200 deep"},
    {"100,000 conditions", entry_begin, "if true {", "x", "} else { x }", "}",
     100000, 65, "1:1836: nested more than 200 deep"},
    {"sum inside the limit", entry_begin, "x + ", "x", "", "}", 399, 0, ""},
    {"sum of 100,000 terms", entry_begin, "x + ", "x", "", "}", 100000, 65,
     "1:1644: the expression is nested more than 400 deep"},
    {"100,000 indices", entry_begin, "", "x", "[..]", "}", 100000, 65,
     "1:1643: the expression is nested more than 400 deep"},
    {"concat of 256 tensors", entry_begin, "", "concat(x", ", x", ")}", 255, 65,
     "1:42: 'concat' takes 1 to 255 tensors, got 256"},
    {"name inside the limit", "const ", "a", " = 1 ", "",
     "entry f(x: f32[4]) -> y: f32[4] { return x }", 255, 0, ""},
    {"name of a megabyte", "axis ", "a", " = 1 ", "",
     "entry f(x: f32[4]) -> y: f32[4] { return x }", 1 << 20, 65,
     "1:6: the name has 1048576 bytes"},
    {"string of a megabyte", "weights \"", "a", "\" ", "",
     "entry f(x: f32[4]) -> y: f32[4] { return x }", 1 << 20, 65,
     "1:9: the string is longer than 4096 bytes"},
    {"source of more than 16 MiB", "# ", "        ", "\n", "",
     "entry f(x: f32[4]) -> y: f32[4] { return x }", 1 << 21, 71,
     "0:0: the source has"},
    {"a million lines", "", "\n", "axis 2a = 1", "",
     "entry f(x: f32[4]) -> y: f32[4] { return x }", 1000000, 65,
     "1000001:6: malformed number"},
    {"bodies that are never closed", "", "fn f() { ", "", "", "", 1000, 65,
     "1:10: expected '}' to close 'f'"},
};

static void repeat(tegu_text *text, const char *piece, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        tegu_text_add(text, piece, strlen(piece));
}

static void long_and_deep_sources_meet_limits(void **state)
{
    size_t wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof long_rows / sizeof *long_rows; i++) {
        const made *m = &long_rows[i];
        tegu_arena *arena = tegu_arena_create();
        tegu_text text = {.arena = arena};
        repeat(&text, m->before, 1);
        repeat(&text, m->repeated, m->count);
        repeat(&text, m->between, 1);
        repeat(&text, m->closing, m->count);
        repeat(&text, m->after, 1);
        row r = {m->what, m->exit, m->message, tegu_text_cstr(&text),
                 text.count};
        wrong += !check(&r);
        tegu_arena_destroy(arena);
    }
    assert_int_equal(wrong, 0);
}

/* Cutting a good model anywhere, or changing a byte, must be survived. */
static void every_cut_and_changed_byte_is_survived(void **state)
{
    tegu_file file;
    const char *error;
    (void)state;
    tegu_arena *arena = tegu_arena_create();
    assert_true(tegu_file_read(arena, "examples/03_llama/llama.tegu", 0, &file,
                               &error));
    static const char changes[] = {0, '"', '{', ')', '9', '\xff'};
    tegu_load_options options = {.without_weights = true};
    uint32_t refused = 0;
    for (size_t at = 0; at < file.size; at += 7) {
        char *text = tegu_arena_copy(arena, file.data, file.size);
        text[at] = changes[at % sizeof changes];
        for (int cut = 0; cut < 2; cut++) {
            tegu_arena *own = tegu_arena_create();
            tegu_diag *diag = tegu_diag_create(own);
            tegu_unit *unit = tegu_language_load(
                own, diag, "llama.tegu", text, cut ? at : file.size, &options);
            assert_true((unit == NULL) == (tegu_diag_errors(diag) > 0));
            refused += unit == NULL;
            tegu_arena_destroy(own);
        }
    }
    assert_true(refused > file.size / 7);
    tegu_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_source_is_reported_as_listed),
        cmocka_unit_test(every_source_just_inside_the_rules_loads),
        cmocka_unit_test(long_and_deep_sources_meet_limits),
        cmocka_unit_test(every_cut_and_changed_byte_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
