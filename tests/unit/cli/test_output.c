/* SPDX-License-Identifier: Apache-2.0 */
/* output.c: inputs are known by what they are, not by how they are spelled. */
#define _XOPEN_SOURCE 700 /* mkdtemp, symlink */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static tegu_cli cli;
static char folder[] = "/tmp/tegu-output-XXXXXX";

static int enter(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/tegu-output-XXXXXX");
    tegu_arena *arena = tegu_arena_create();
    cli = (tegu_cli){.arena = arena, .diag = tegu_diag_create(arena)};
    return mkdtemp(folder) ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    static const char *const names[] = {"in", "soft", "hard", "out", "sub/in"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(tegu_path_join(cli.arena, folder, names[i]));
    rmdir(tegu_path_join(cli.arena, folder, "sub"));
    int failed = rmdir(folder);
    tegu_arena_destroy(cli.arena);
    return failed;
}

static const char *at(const char *name)
{
    return tegu_path_join(cli.arena, folder, name);
}

static void put(const char *name)
{
    FILE *file = fopen(at(name), "w");
    assert_non_null(file);
    assert_true(fputs("text", file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(const char *path)
{
    uint32_t count;
    tegu_diag_clear(cli.diag);
    assert_false(tegu_output_write(&cli, path, "new", 3));
    const tegu_message *m = tegu_diag_messages(cli.diag, &count);
    assert_int_equal(count, 1);
    assert_string_equal(m[0].text, "cannot write: this command reads that "
                                   "file");
    assert_int_equal(tegu_diag_exit_code(cli.diag), 73);
}

static void an_input_is_refused_by_any_name(void **state)
{
    (void)state;
    put("in");
    assert_int_equal(symlink("in", at("soft")), 0);
    assert_int_equal(link(at("in"), at("hard")), 0);
    tegu_input_add(&cli, at("in"));
    assert_refused(at("in"));
    assert_refused(at("soft"));
    assert_refused(at("hard"));
    assert_refused(at("./in"));
}

static void
the_files_of_an_input_folder_are_refused_others_are_not(void **state)
{
    (void)state;
    put("in");
    assert_int_equal(mkdir(at("sub"), 0777), 0);
    put("sub/in");
    tegu_input_add(&cli, at("sub"));
    assert_refused(at("sub/in"));
    assert_refused(at("sub"));
    assert_true(tegu_output_write(&cli, at("in"), "new", 3));
    assert_true(tegu_output_write(&cli, at("out"), "new", 3));
}

static void asking_whether_a_file_can_be_written_changes_nothing(void **state)
{
    (void)state;
    struct stat before, after;
    put("in");
    assert_int_equal(stat(at("in"), &before), 0);
    assert_true(tegu_output_check(&cli, at("in")));
    assert_true(tegu_output_check(&cli, at("out")));
    assert_true(tegu_output_check(&cli, "-"));
    assert_int_equal(stat(at("in"), &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_false(tegu_path_exists(at("out")));
    assert_false(tegu_output_check(&cli, at("none/out")));
    assert_false(tegu_output_check(&cli, folder));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(an_input_is_refused_by_any_name),
        TEST(the_files_of_an_input_folder_are_refused_others_are_not),
        TEST(asking_whether_a_file_can_be_written_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
