/* SPDX-License-Identifier: Apache-2.0 */
/* Weights files as they are, and files that are none. */
#include "tests/unit/runtime/support.h"

#include <stdlib.h>
#include <string.h>

static const unsigned modes[] = {0, TEGU_WEIGHTS_HUGE};

static void bytes_of_the_file_are_there_and_aligned(void **state)
{
    size_t size = 5000001;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    const char *path = write_file(state, "w", bytes, size);
    for (int i = 0; i < 2; i++) {
        tegu_weights w;
        tegu_reason why = {""};
        assert_int_equal(tegu_weights_open(path, modes[i], &w, &why), 0);
        assert_string_equal(why.text, "");
        assert_int_equal(w.size, size);
        assert_int_equal((uintptr_t)w.data % 64, 0);
        assert_memory_equal(w.data, bytes, size);
        tegu_weights_close(&w);
        assert_null(w.data);
        tegu_weights_close(&w);
    }
    free(bytes);
}

static void huge_copy_survives_a_change_of_the_file(void **state)
{
    tegu_weights w;
    const char *path = write_file(state, "w", "before", 6);
    assert_int_equal(tegu_weights_open(path, TEGU_WEIGHTS_HUGE, &w, NULL), 0);
    assert_int_equal((uintptr_t)w.data % (2 << 20), 0);
    write_file(state, "w", "after!", 6);
    assert_memory_equal(w.data, "before", 6);
    tegu_weights_close(&w);
}

static void check_refused(const char *path, unsigned flags, tegu_status status,
                          const char *ending)
{
    tegu_weights w = {.size = 77};
    tegu_reason why = {""};
    assert_int_equal(tegu_weights_open(path, flags, &w, &why), status);
    assert_int_equal(w.size, 77);
    size_t length = strlen(why.text), tail = strlen(ending);
    assert_true(length >= tail);
    assert_string_equal(why.text + length - tail, ending);
    assert_int_equal(tegu_weights_open(path, flags, &w, NULL), status);
}

static void unusable_files_are_refused(void **state)
{
    const char *empty = write_file(state, "empty", "", 0);
    for (int i = 0; i < 2; i++) {
        check_refused(empty, modes[i], TEGU_STATUS_FORMAT,
                      "/empty: error: the file is empty");
        check_refused("/nowhere/w", modes[i], TEGU_STATUS_OPEN,
                      "/nowhere/w: error: No such file or directory");
        check_refused(*state, modes[i], TEGU_STATUS_OPEN,
                      ": error: not a regular file");
        check_refused("/dev/zero", modes[i], TEGU_STATUS_OPEN,
                      "/dev/zero: error: not a regular file");
    }
    check_refused(empty, 64, TEGU_STATUS_ARGUMENT, "invalid argument");
    check_refused(NULL, 0, TEGU_STATUS_ARGUMENT, "invalid argument");
}

static void messages_are_one_short_line(void **state)
{
    (void)state;
    char path[2000] = "/no\nwhere/";
    memset(path + 10, 'x', sizeof path - 11);
    tegu_weights w;
    tegu_reason why;
    assert_int_equal(tegu_weights_open(path, 0, &w, &why), TEGU_STATUS_OPEN);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    assert_memory_equal(why.text, "/no?where/xxx", 13);
    assert_string_equal(why.text + sizeof why.text - 5, "x...");
}

static void every_status_has_its_own_name(void **state)
{
    (void)state;
    for (int a = 0; a <= TEGU_STATUS_SYSTEM + 1; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(tegu_status_name((tegu_status)a),
                                    tegu_status_name((tegu_status)b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_the_file_are_there_and_aligned),
        cmocka_unit_test(huge_copy_survives_a_change_of_the_file),
        cmocka_unit_test(unusable_files_are_refused),
        cmocka_unit_test(messages_are_one_short_line),
        cmocka_unit_test(every_status_has_its_own_name),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
