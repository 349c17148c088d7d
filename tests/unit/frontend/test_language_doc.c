/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles every snippet of docs/language.md: blocks marked `tegu` must load
 * and verify, and so must the source written from them; blocks marked
 * `tegu-error` must give exactly the errors that their `#! LINE:COLUMN:
 * message` lines say. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/frontend.h"
#include "ir/ir.h"
#include "round_trip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    tegu_arena *arena;
    const char *text; /* the document */
} fixture;

static int set_up(void **state)
{
    static fixture f;
    tegu_file file;
    const char *error;
    f.arena = tegu_arena_create();
    if (!tegu_file_read(f.arena, "docs/language.md", 0, &file, &error))
        return -1;
    f.text = (const char *)file.data;
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    tegu_arena_destroy(((fixture *)*state)->arena);
    return 0;
}

/* The next block that begins with `fence`; NULL at the end. */
static const char *next_block(const char **at, const char *fence,
                              tegu_arena *arena)
{
    const char *begin = strstr(*at, fence);
    if (!begin)
        return NULL;
    begin += strlen(fence);
    const char *end = strstr(begin, "\n```");
    assert_non_null(end);
    *at = end + 4;
    return tegu_format(arena, "%.*s\n", (int)(end - begin), begin);
}

static tegu_unit *load(tegu_arena *arena, tegu_diag *diag, const char *snippet)
{
    tegu_load_options options = {.without_weights = true};
    if (!strstr(snippet, "model "))
        options.name = "snippet";
    const char *text =
        strstr(snippet, "entry ")
            ? snippet
            : tegu_format(arena,
                          "%sentry same(z: f32[1]) -> y: f32[1] { return z }",
                          snippet);
    return tegu_language_load(arena, diag, "snippet.tegu", text, strlen(text),
                              &options);
}

static void every_snippet_loads_and_verifies(void **state)
{
    fixture *f = *state;
    const char *at = f->text, *snippet;
    int count = 0;
    while ((snippet = next_block(&at, "```tegu\n", f->arena))) {
        tegu_diag *diag = tegu_diag_create(f->arena);
        tegu_unit *unit = load(f->arena, diag, snippet);
        if (!unit || !tegu_unit_verify(unit)) {
            tegu_diag_render(diag, stderr, false);
            fail_msg("this snippet does not load:\n%s", snippet);
        }
        for (uint32_t e = 0; e < unit->entries.count; e++) {
            int64_t symbols[64] = {0};
            tegu_cost cost;
            for (uint32_t a = 1; a < unit->axes.count; a++)
                symbols[a] = unit->axes.data[a].lo;
            assert_true(tegu_entry_cost(unit, &unit->entries.data[e], symbols,
                                        0, false, &cost));
        }
        round_trip(f->arena, unit);
        count++;
    }
    assert_true(count >= 10);
}

static void every_wrong_snippet_fails_as_it_says(void **state)
{
    fixture *f = *state;
    const char *at = f->text, *snippet;
    int count = 0;
    while ((snippet = next_block(&at, "```tegu-error\n", f->arena))) {
        tegu_diag *diag = tegu_diag_create(f->arena);
        assert_null(load(f->arena, diag, snippet));
        uint32_t messages, errors = 0;
        const tegu_message *m = tegu_diag_messages(diag, &messages);
        const char *want = snippet;
        for (uint32_t i = 0; i < messages; i++) {
            if (m[i].severity != TEGU_ERROR)
                continue;
            want = strstr(want, "#! ");
            if (!want)
                fail_msg("unexpected error: %s", m[i].text);
            want += 3;
            const char *got = tegu_format(f->arena, "%u:%u: %s", m[i].loc.line,
                                          m[i].loc.column, m[i].text);
            size_t length = strcspn(want, "\n");
            if (strlen(got) != length || strncmp(got, want, length) != 0)
                fail_msg("the snippet says %.*s\nbut gives   %s", (int)length,
                         want, got);
            errors++;
        }
        assert_null(strstr(want, "#! "));
        assert_true(errors > 0);
        count++;
    }
    assert_true(count >= 4);
}

/* The text from `begin` up to the next heading. */
static const char *section(fixture *f, const char *begin)
{
    const char *at = strstr(f->text, begin);
    assert_non_null(at);
    const char *end = strstr(at + strlen(begin), "\n#");
    return tegu_format(f->arena, "%.*s",
                       end ? (int)(end - at) : (int)strlen(at), at);
}

static void every_function_has_a_row_with_its_arguments(void **state)
{
    static const struct {
        const char *name, *named;
    } rows[] = {
#define TEGU_BUILTIN(name, min, max, named, summary) {#name, named},
#include "frontend/builtins.def"
    };
    fixture *f = *state;
    const char *table = section(f, "### Functions of the language");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *row =
            strstr(table, tegu_format(f->arena, "`%s`", rows[i].name));
        if (!row)
            row = strstr(table, tegu_format(f->arena, "`%s(", rows[i].name));
        if (!row && strcmp(rows[i].name, "position") == 0)
            row = strstr(f->text, "`position()` is");
        if (!row)
            fail_msg("docs/language.md has no function %s", rows[i].name);
        row = tegu_format(f->arena, "%.*s", (int)strcspn(row, "\n"), row);
        for (const char *word = rows[i].named; *word;) {
            size_t size = strcspn(word, " ");
            if (!strstr(row, tegu_format(f->arena, "%.*s", (int)size, word)))
                fail_msg("docs/language.md, %s: no argument %.*s", rows[i].name,
                         (int)size, word);
            word += size + (word[size] == ' ');
        }
    }
}

static void every_keyword_is_in_the_grammar(void **state)
{
    static const char *const words[] = {
#define TEGU_KEYWORD(id, text, starts) text,
#include "frontend/tokens.def"
    };
    fixture *f = *state;
    const char *grammar = section(f, "## Grammar");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(grammar, tegu_format(f->arena, "\"%s\"", words[i])))
            fail_msg("docs/language.md, Grammar: no \"%s\"", words[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_snippet_loads_and_verifies),
        cmocka_unit_test(every_wrong_snippet_fails_as_it_says),
        cmocka_unit_test(every_function_has_a_row_with_its_arguments),
        cmocka_unit_test(every_keyword_is_in_the_grammar),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
