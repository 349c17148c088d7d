/* SPDX-License-Identifier: Apache-2.0 */
/* test_diag.c - what the user sees of a message, and what is kept. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ir/base/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tegu_arena *arena;
static tegu_diag *diag;

static int create(void **state)
{
    (void)state;
    arena = tegu_arena_create();
    diag = tegu_diag_create(arena);
    return 0;
}

static int destroy(void **state)
{
    (void)state;
    tegu_arena_destroy(arena);
    return 0;
}

static void check_rendered(bool colour, const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    tegu_diag_render(diag, out, colour);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static tegu_loc at(uint32_t line, uint32_t column, uint32_t length)
{
    return (tegu_loc){
        .file = "m.tegu", .line = line, .column = column, .length = length};
}

static void a_text_message_shows_its_line_and_a_caret(void **state)
{
    (void)state;
    const char *source = "model m\nlet x = foo\r\n";
    tegu_diag_source(diag, "m.tegu", source, strlen(source));
    assert_false(tegu_error(diag, at(2, 9, 3), TEGU_E_UNSUPPORTED,
                            "no name '%s'", "foo"));
    tegu_note(diag, at(1, 7, 1), "in this model");
    check_rendered(false, "m.tegu:2:9: error: no name 'foo' [E0006]\n"
                          "    let x = foo\n"
                          "            ^~~\n"
                          "m.tegu:1:7: note: in this model\n"
                          "    model m\n"
                          "          ^\n");
    assert_int_equal(tegu_diag_exit_code(diag), 69);
}

static void places_are_written_by_their_kind(void **state)
{
    (void)state;
    tegu_error(diag, tegu_loc_none(), TEGU_E_USAGE, "no command");
    tegu_error(diag, tegu_loc_file("a b"), TEGU_E_NO_INPUT, "is a directory");
    tegu_error(diag,
               (tegu_loc){.file = "w.st", .binary = true, .offset = 0x1f2},
               TEGU_E_NO_INPUT, "cut short");
    tegu_warning(diag, at(3, 4, 1), "unused");
    check_rendered(false, "tegu: error: no command [E0005]\n"
                          "a b: error: is a directory [E0001]\n"
                          "w.st@0x1f2: error: cut short [E0001]\n"
                          "m.tegu:3:4: warning: unused\n");
    assert_int_equal(tegu_diag_exit_code(diag), 64);
}

static void tabs_and_wide_bytes_keep_the_caret_in_place(void **state)
{
    (void)state;
    const char *source = "\tx\xc3\xa9 = \033y";
    tegu_diag_source(diag, "m.tegu", source, strlen(source));
    tegu_error(diag, at(1, 8, 1), TEGU_E_USAGE, "y");
    check_rendered(false, "m.tegu:1:8: error: y [E0005]\n"
                          "        x\xc3\xa9 = \\x1by\n"
                          "             ^~~~\n");
}

static void hostile_names_cannot_write_to_the_terminal(void **state)
{
    (void)state;
    tegu_error(diag, tegu_loc_file("a\033[2Jb\n"), TEGU_E_USAGE, "%s",
               "x\ny\xe2\x80\xae");
    check_rendered(false, "a\\x1b[2Jb\\n: error: x\\ny\\u{202e} [E0005]\n");
}

static void long_lines_are_shown_around_the_caret(void **state)
{
    (void)state;
    char source[1001];
    memset(source, 'a', 1000);
    source[1000] = 0;
    source[500] = 'B';
    tegu_diag_source(diag, "m.tegu", source, 1000);
    const struct {
        uint32_t column;
        const char *start, *end;
        char marked;
    } cases[] = {{501, "    ...a", "a...\n", 'B'},
                 {1, "    aaaa", "a...\n", 'a'},
                 {1000, "    ...a", "aaaa\n", 'a'}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tegu_diag_clear(diag);
        tegu_error(diag, at(1, cases[i].column, 2), TEGU_E_USAGE, "x");
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        tegu_diag_render(diag, out, false);
        fclose(out);
        const char *line = strchr(text, '\n') + 1;
        const char *caret = strchr(line, '\n') + 1;
        assert_memory_equal(line, cases[i].start, 8);
        assert_memory_equal(caret - 5, cases[i].end, 5);
        assert_true(caret - line <= 110);
        assert_int_equal(line[strcspn(caret, "^")], cases[i].marked);
        free(text);
    }
}

static void places_outside_the_source_show_no_line(void **state)
{
    (void)state;
    tegu_diag_source(diag, "m.tegu", "one\n", 4);
    tegu_error(diag, at(7, 1, 1), TEGU_E_USAGE, "x");
    tegu_error(diag, at(1, 900, 5), TEGU_E_USAGE, "y");
    check_rendered(false, "m.tegu:7:1: error: x [E0005]\n"
                          "m.tegu:1:900: error: y [E0005]\n"
                          "    one\n"
                          "       ^\n");
}

static void twenty_errors_are_kept_and_all_are_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 25; i++) {
        tegu_error(diag, tegu_loc_none(), TEGU_E_NO_INPUT, "error %d", i);
        tegu_note(diag, tegu_loc_none(), "note %d", i);
    }
    uint32_t count;
    const tegu_message *messages = tegu_diag_messages(diag, &count);
    assert_int_equal(count, 40);
    assert_string_equal(messages[38].text, "error 19");
    assert_int_equal(tegu_diag_errors(diag), 25);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    tegu_diag_render(diag, out, false);
    fclose(out);
    const char *last = "tegu: note: 5 more errors not shown\n";
    assert_string_equal(text + size - strlen(last), last);
    free(text);
    tegu_diag_clear(diag);
    assert_int_equal(tegu_diag_errors(diag), 0);
    assert_int_equal(tegu_diag_exit_code(diag), 0);
    check_rendered(false, "");
}

static void colour_is_given_only_when_asked(void **state)
{
    (void)state;
    tegu_error(diag, tegu_loc_file("f"), TEGU_E_USAGE, "x");
    check_rendered(true,
                   "\033[1mf: \033[0m\033[1;31merror:\033[0m x [E0005]\n");
}

static void every_code_is_unique_and_documented(void **state)
{
    (void)state;
    static const int exits[] = {64, 65, 66, 69, 70, 71, 73};
    static const int exit_of[] = {
#define TEGU_DIAG(id, code, exit, title, help) exit,
#include "ir/base/diag.def"
#undef TEGU_DIAG
    };
    for (int i = 0; i < TEGU_DIAG_COUNT; i++) {
        const char *code = tegu_diag_code((tegu_diag_id)i);
        assert_int_equal(strlen(code), 5);
        assert_int_equal(code[0], 'E');
        assert_int_equal(strspn(code + 1, "0123456789"), 4);
        if (tegu_diag_find(code) != (tegu_diag_id)i)
            fail_msg("%s is used twice", code);
        assert_true(strlen(tegu_diag_title((tegu_diag_id)i)) > 0);
        size_t length = strlen(tegu_diag_help((tegu_diag_id)i));
        assert_true(length > 0);
        assert_int_equal(tegu_diag_help((tegu_diag_id)i)[length - 1], '.');
        bool documented = false;
        for (size_t e = 0; e < sizeof exits / sizeof *exits; e++)
            documented |= exits[e] == exit_of[i];
        assert_true(documented);
    }
    assert_int_equal(tegu_diag_find("E9999"), TEGU_DIAG_COUNT);
}

#define WITH_DIAG(test) cmocka_unit_test_setup_teardown(test, create, destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIAG(a_text_message_shows_its_line_and_a_caret),
        WITH_DIAG(places_are_written_by_their_kind),
        WITH_DIAG(tabs_and_wide_bytes_keep_the_caret_in_place),
        WITH_DIAG(hostile_names_cannot_write_to_the_terminal),
        WITH_DIAG(long_lines_are_shown_around_the_caret),
        WITH_DIAG(places_outside_the_source_show_no_line),
        WITH_DIAG(twenty_errors_are_kept_and_all_are_counted),
        WITH_DIAG(colour_is_given_only_when_asked),
        cmocka_unit_test(every_code_is_unique_and_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
