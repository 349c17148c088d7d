/* SPDX-License-Identifier: Apache-2.0 */
/* test_map.c - keys of any bytes, order, replacement, growth. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ir/base/map.h"

#include <stdio.h>
#include <string.h>

static void keys_are_found_in_insertion_order(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    tegu_arena *arena = tegu_arena_create();
    tegu_map *map = tegu_map_create(arena);
    char key[32];
    for (uint64_t i = 0; i < COUNT; i++) {
        int size = snprintf(key, sizeof key, "layer.%d.weight", (int)i);
        assert_true(tegu_map_set(map, key, (size_t)size, i * 3));
    }
    assert_int_equal(tegu_map_count(map), COUNT);
    for (uint64_t i = 0; i < COUNT; i++) {
        int size = snprintf(key, sizeof key, "layer.%d.weight", (int)i);
        const uint64_t *value = tegu_map_find(map, key, (size_t)size);
        assert_non_null(value);
        assert_true(*value == i * 3);
        size_t stored;
        assert_string_equal(tegu_map_key(map, (uint32_t)i, &stored), key);
        assert_int_equal(stored, size);
    }
    assert_null(tegu_map_find(map, "layer.", 6));
    tegu_arena_destroy(arena);
}

static void setting_again_replaces_the_value(void **state)
{
    (void)state;
    tegu_arena *arena = tegu_arena_create();
    tegu_map *map = tegu_map_create(arena);
    assert_null(tegu_map_find(map, "k", 1));
    assert_true(tegu_map_set(map, "k", 1, 1));
    assert_false(tegu_map_set(map, "k", 1, 2));
    assert_int_equal(*tegu_map_find(map, "k", 1), 2);
    assert_int_equal(tegu_map_count(map), 1);
    tegu_arena_destroy(arena);
}

static void keys_may_hold_any_bytes(void **state)
{
    (void)state;
    tegu_arena *arena = tegu_arena_create();
    tegu_map *map = tegu_map_create(arena);
    char bytes[20] = {0};
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_true(tegu_map_set(map, bytes, size, size));
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_int_equal(*tegu_map_find(map, bytes, size), size);
    assert_true(tegu_map_set(map, "a\0b", 3, 99));
    assert_null(tegu_map_find(map, "a\0c", 3));
    tegu_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_found_in_insertion_order),
        cmocka_unit_test(setting_again_replaces_the_value),
        cmocka_unit_test(keys_may_hold_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
