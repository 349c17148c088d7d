/* SPDX-License-Identifier: Apache-2.0 */
/* test_io.c - reading, mapping, staged outputs, paths; in a fresh folder. */
#define _XOPEN_SOURCE 700 /* mkdtemp, symlink */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ir/base/io.h"
#include "ir/base/str.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct fixture {
    tegu_arena *arena;
    char dir[64];
} fixture;

static int create(void **state)
{
    static fixture f;
    f.arena = tegu_arena_create();
    strcpy(f.dir, "/tmp/tegu-test-io-XXXXXX");
    *state = &f;
    return !f.arena || !mkdtemp(f.dir);
}

/* Names in the folder, "." and ".." left out; removes them when asked. */
static int entries(const fixture *f, bool remove_them)
{
    DIR *dir = opendir(f->dir);
    assert_non_null(dir);
    int count = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        count++;
        if (remove_them)
            remove(tegu_path_join(f->arena, f->dir, e->d_name));
    }
    closedir(dir);
    return count;
}

static int destroy(void **state)
{
    fixture *f = *state;
    entries(f, true);
    int failed = rmdir(f->dir);
    tegu_arena_destroy(f->arena);
    return failed;
}

static char *in_dir(const fixture *f, const char *name)
{
    return tegu_path_join(f->arena, f->dir, name);
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *get(const fixture *f, const char *path)
{
    tegu_file file;
    const char *error = NULL;
    assert_true(tegu_file_read(f->arena, path, 0, &file, &error));
    return (const char *)file.data;
}

static void files_are_read_and_mapped_whole(void **state)
{
    fixture *f = *state;
    const char *path = in_dir(f, "input");
    put(path, "some bytes");
    tegu_file read, mapped;
    const char *error;
    assert_true(tegu_file_read(f->arena, path, 0, &read, &error));
    assert_true(tegu_file_map(f->arena, path, &mapped, &error));
    assert_int_equal(read.size, 10);
    assert_string_equal((const char *)read.data, "some bytes");
    assert_int_equal(mapped.size, 10);
    assert_memory_equal(mapped.data, "some bytes", 10);
    assert_true(mapped.mapped && read.inode == mapped.inode &&
                read.device == mapped.device);
    tegu_file_unmap(&mapped);
    assert_null(mapped.data);
}

static void empty_files_are_empty(void **state)
{
    fixture *f = *state;
    const char *path = in_dir(f, "empty");
    put(path, "");
    tegu_file read, mapped;
    const char *error;
    assert_true(tegu_file_read(f->arena, path, 0, &read, &error));
    assert_true(tegu_file_map(f->arena, path, &mapped, &error));
    assert_int_equal(read.size + mapped.size, 0);
    tegu_file_unmap(&mapped);
}

static void unreadable_inputs_say_why(void **state)
{
    fixture *f = *state;
    put(in_dir(f, "big"), "0123456789");
    assert_int_equal(mkfifo(in_dir(f, "fifo"), 0600), 0);
    const struct {
        const char *path, *error;
    } cases[] = {
        {in_dir(f, "absent"), "no such file or directory"},
        {in_dir(f, "big/x"), "not a directory"},
        {f->dir, "is a directory"},
        {in_dir(f, "fifo"), "is not a regular file"},
        {"/dev/null", "is not a regular file"},
        {in_dir(f, "big"), "is larger than 9 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tegu_file file;
        const char *error = NULL;
        assert_false(tegu_file_read(f->arena, cases[i].path, 9, &file, &error));
        assert_string_equal(error, cases[i].error);
    }
    tegu_file file;
    const char *error = NULL;
    assert_false(tegu_file_map(f->arena, f->dir, &file, &error));
    assert_string_equal(error, "is a directory");
}

static void outputs_appear_together_at_commit(void **state)
{
    fixture *f = *state;
    const char *a = in_dir(f, "a"), *b = in_dir(f, "b");
    put(b, "old");
    const char *error = NULL;
    tegu_outputs *outputs = tegu_outputs_create(f->arena);
    assert_true(tegu_outputs_open(outputs, a, &error));
    assert_true(tegu_outputs_write(outputs, "first", 5, &error));
    assert_true(tegu_outputs_open(outputs, b, &error));
    assert_true(tegu_outputs_write(outputs, "new", 3, &error));
    assert_false(tegu_path_exists(a));
    assert_string_equal(get(f, b), "old");
    assert_true(tegu_outputs_commit(outputs, &error));
    tegu_outputs_destroy(outputs);
    assert_string_equal(get(f, b), "new");
    tegu_file file;
    assert_true(tegu_file_read(f->arena, a, 0, &file, &error));
    assert_int_equal(file.size, 5);
    assert_memory_equal(file.data, "first", 5);
    assert_int_equal(entries(f, false), 2);
}

static void outputs_without_commit_leave_no_trace(void **state)
{
    fixture *f = *state;
    const char *path = in_dir(f, "kept");
    put(path, "old");
    const char *error = NULL;
    tegu_outputs *outputs = tegu_outputs_create(f->arena);
    assert_true(tegu_outputs_open(outputs, path, &error));
    assert_true(tegu_outputs_write(outputs, "new", 3, &error));
    assert_true(tegu_outputs_open(outputs, in_dir(f, "other"), &error));
    tegu_outputs_destroy(outputs);
    assert_string_equal(get(f, path), "old");
    assert_int_equal(entries(f, false), 1);
}

static void large_writes_keep_their_order(void **state)
{
    fixture *f = *state;
    const char *path = in_dir(f, "large"), *error = NULL;
    enum { SIZE = 200000 };
    char *bytes = tegu_arena_alloc(f->arena, SIZE);
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7 % 251);
    tegu_outputs *outputs = tegu_outputs_create(f->arena);
    assert_true(tegu_outputs_open(outputs, path, &error));
    const size_t parts[] = {1, 65535, 65537, 3, 65536, 3388};
    size_t at = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; at += parts[i++])
        assert_true(tegu_outputs_write(outputs, bytes + at, parts[i], &error));
    assert_int_equal(at, SIZE);
    assert_true(tegu_outputs_commit(outputs, &error));
    tegu_file file;
    assert_true(tegu_file_read(f->arena, path, 0, &file, &error));
    assert_int_equal(file.size, SIZE);
    assert_memory_equal(file.data, bytes, SIZE);
}

static void targets_that_are_not_files_are_refused(void **state)
{
    fixture *f = *state;
    assert_int_equal(symlink("nowhere", in_dir(f, "dangling")), 0);
    char *long_name = tegu_arena_alloc(f->arena, 400);
    memset(long_name, 'n', 399);
    const struct {
        const char *path, *error;
    } cases[] = {
        {"", "the name is empty"},
        {f->dir, "is a directory"},
        {"/dev/null", "is not a regular file"},
        {in_dir(f, "absent/x"), "no such file or directory"},
        {in_dir(f, "absent/"), "names a directory that does not exist"},
        {in_dir(f, "dangling"), "no such file or directory"},
        {in_dir(f, long_name), "file name too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *error = NULL;
        tegu_outputs *outputs = tegu_outputs_create(f->arena);
        assert_false(tegu_outputs_open(outputs, cases[i].path, &error));
        assert_string_equal(error, cases[i].error);
        tegu_outputs_destroy(outputs);
    }
    assert_int_equal(entries(f, false), 1);
}

static void one_target_cannot_be_written_twice(void **state)
{
    fixture *f = *state;
    const char *error = NULL, *path = in_dir(f, "a");
    tegu_outputs *outputs = tegu_outputs_create(f->arena);
    assert_false(tegu_outputs_write(outputs, "x", 1, &error));
    assert_string_equal(error, "no output is open");
    assert_true(tegu_outputs_open(outputs, path, &error));
    assert_false(tegu_outputs_open(outputs, path, &error));
    assert_string_equal(error, "is written twice");
    tegu_outputs_destroy(outputs);
    assert_int_equal(entries(f, false), 0);
}

static void links_are_followed_and_stay(void **state)
{
    fixture *f = *state;
    const char *error = NULL, *link = in_dir(f, "link");
    put(in_dir(f, "real"), "old");
    assert_int_equal(symlink("real", link), 0);
    tegu_outputs *outputs = tegu_outputs_create(f->arena);
    assert_true(tegu_outputs_open(outputs, link, &error));
    assert_true(tegu_outputs_write(outputs, "new", 3, &error));
    assert_true(tegu_outputs_commit(outputs, &error));
    struct stat info;
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_string_equal(get(f, in_dir(f, "real")), "new");
}

static void directories_are_made_with_their_parents(void **state)
{
    fixture *f = *state;
    const char *error = NULL;
    char *deep = in_dir(f, "x/y//z/");
    assert_true(tegu_make_directory(f->arena, deep, &error));
    assert_true(tegu_make_directory(f->arena, deep, &error));
    assert_true(tegu_path_is_dir(deep));
    put(in_dir(f, "file"), "");
    assert_false(tegu_make_directory(f->arena, in_dir(f, "file"), &error));
    assert_string_equal(error, "is not a directory");
    rmdir(in_dir(f, "x/y/z"));
    rmdir(in_dir(f, "x/y"));
}

static void paths_are_taken_apart_and_joined(void **state)
{
    tegu_arena *arena = ((fixture *)*state)->arena;
    assert_string_equal(tegu_path_dir(arena, "a/b/c"), "a/b");
    assert_string_equal(tegu_path_dir(arena, "c"), ".");
    assert_string_equal(tegu_path_dir(arena, "/c"), "/");
    assert_string_equal(tegu_path_base("a/b/c"), "c");
    assert_string_equal(tegu_path_base("c"), "c");
    assert_string_equal(tegu_path_join(arena, "a", "b"), "a/b");
    assert_string_equal(tegu_path_join(arena, "a/", "b"), "a/b");
    assert_string_equal(tegu_path_join(arena, "", "b"), "b");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, create, destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(files_are_read_and_mapped_whole),
        IN_FOLDER(empty_files_are_empty),
        IN_FOLDER(unreadable_inputs_say_why),
        IN_FOLDER(outputs_appear_together_at_commit),
        IN_FOLDER(outputs_without_commit_leave_no_trace),
        IN_FOLDER(large_writes_keep_their_order),
        IN_FOLDER(targets_that_are_not_files_are_refused),
        IN_FOLDER(one_target_cannot_be_written_twice),
        IN_FOLDER(links_are_followed_and_stay),
        IN_FOLDER(directories_are_made_with_their_parents),
        IN_FOLDER(paths_are_taken_apart_and_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
