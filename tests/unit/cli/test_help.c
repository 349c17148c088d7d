/* SPDX-License-Identifier: Apache-2.0 */
/* help.c: options.def appears whole in the help texts, the man page and the
 * bash completion. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *out;
static char *text;
static size_t size;

static void begin(void)
{
    out = open_memstream(&text, &size);
    assert_non_null(out);
}

static const char *end(void)
{
    assert_int_equal(fclose(out), 0);
    return text;
}

static void assert_has(const char *whole, const char *part)
{
    if (!strstr(whole, part))
        fail_msg("'%s' is missing in\n%s", part, whole);
}

/* "--name" with no letter of a longer name behind it. */
static bool has_option(const char *whole, const char *name)
{
    char word[64];
    int length = snprintf(word, sizeof word, "--%s", name);
    for (const char *at = whole; (at = strstr(at, word)) != NULL; at++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz-", at[length]) || !at[length])
            return true;
    return false;
}

static bool applies(int option, int command)
{
    return tegu_cli_options[option].commands >> command & 1;
}

static void every_option_is_in_the_help_of_its_commands(void **state)
{
    (void)state;
    for (int c = 0; c < TEGU_COMMAND_COUNT; c++) {
        begin();
        tegu_help_command(out, (tegu_command)c);
        const char *help = end();
        const char *options = strstr(help, "\noptions:\n");
        assert_has(help, tegu_commands[c].name);
        assert_has(help, tegu_commands[c].summary);
        for (int o = 0; o < TEGU_CLI_END; o++) {
            bool found =
                options && has_option(options, tegu_cli_options[o].long_name);
            if (applies(o, c) && !found)
                fail_msg("%s lacks --%s", tegu_commands[c].name,
                         tegu_cli_options[o].long_name);
        }
        free(text);
    }
}

static void every_option_has_a_text_and_a_name_of_its_own(void **state)
{
    (void)state;
    for (int o = 0; o < TEGU_CLI_END; o++) {
        const tegu_cli_info *info = &tegu_cli_options[o];
        assert_true(info->commands != 0);
        assert_true(info->commands < 1u << TEGU_COMMAND_COUNT);
        assert_true(info->help[0] != 0);
        for (int p = 0; p < o; p++) {
            const tegu_cli_info *other = &tegu_cli_options[p];
            if (!(info->commands & other->commands))
                continue;
            assert_string_not_equal(info->long_name, other->long_name);
            assert_false(info->short_name &&
                         info->short_name == other->short_name);
        }
    }
}

static void help_lines_fit_a_terminal_and_end_without_blanks(void **state)
{
    (void)state;
    for (int c = 0; c < TEGU_COMMAND_COUNT; c++) {
        begin();
        tegu_help_command(out, (tegu_command)c);
        end();
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
            size_t length = strlen(line);
            if (length > 80 || line[length - 1] == ' ')
                fail_msg("%zu columns: '%s'", length, line);
        }
        free(text);
    }
}

static void the_man_page_has_every_command_and_option(void **state)
{
    (void)state;
    begin();
    tegu_help_man(out);
    const char *man = end();
    for (int c = 0; c < TEGU_COMMAND_COUNT; c++) {
        char heading[64];
        snprintf(heading, sizeof heading, ".SH tegu %s\n",
                 tegu_commands[c].name);
        assert_has(man, heading);
    }
    for (int o = 0; o < TEGU_CLI_END; o++) {
        char name[64];
        int n = snprintf(name, sizeof name, "\\fB\\-\\-");
        for (const char *p = tegu_cli_options[o].long_name; *p; p++)
            n += snprintf(name + n, sizeof name - (size_t)n,
                          *p == '-' ? "\\-" : "%c", *p);
        assert_has(man, name);
    }
    free(text);
}

static void check_program(const char *command, const char *what)
{
    FILE *to = popen(command, "w");
    assert_non_null(to);
    assert_int_equal(fwrite(text, 1, size, to), size);
    if (pclose(to) != 0)
        fail_msg("%s does not take the %s", command, what);
}

static void the_man_page_is_roff_without_warnings(void **state)
{
    (void)state;
    if (system("command -v groff >/dev/null 2>&1") != 0) {
        print_message("groff is not installed\n");
        skip();
    }
    begin();
    tegu_help_man(out);
    end();
    check_program("test -z \"$(groff -man -Tascii -ww -z 2>&1)\"", "man page");
    free(text);
}

static void
the_completion_is_bash_and_has_every_command_and_option(void **state)
{
    (void)state;
    begin();
    tegu_help_bash(out);
    const char *bash = end();
    for (int c = 0; c < TEGU_COMMAND_COUNT; c++)
        assert_has(bash, tegu_commands[c].name);
    for (int o = 0; o < TEGU_CLI_END; o++)
        if (!has_option(bash, tegu_cli_options[o].long_name))
            fail_msg("--%s is missing", tegu_cli_options[o].long_name);
    if (system("command -v bash >/dev/null 2>&1") != 0) {
        free(text);
        print_message("bash is not installed\n");
        skip();
    }
    check_program("bash -n", "completion");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_is_in_the_help_of_its_commands),
        cmocka_unit_test(every_option_has_a_text_and_a_name_of_its_own),
        cmocka_unit_test(help_lines_fit_a_terminal_and_end_without_blanks),
        cmocka_unit_test(the_man_page_has_every_command_and_option),
        cmocka_unit_test(the_man_page_is_roff_without_warnings),
        cmocka_unit_test(
            the_completion_is_bash_and_has_every_command_and_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
