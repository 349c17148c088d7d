/* SPDX-License-Identifier: Apache-2.0 */
/* test_arena.c - alignment, zeroing, marks, limits, growth of vectors. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ir/base/arena.h"
#include "ir/base/vec.h"

#include <string.h>

static void blocks_are_aligned_and_zeroed(void **state)
{
    (void)state;
    tegu_arena *arena = tegu_arena_create();
    const size_t sizes[] = {0,    1,     15,     16,     17,     4095,
                            4096, 20000, 262143, 262144, 3000000};
    for (size_t round = 0; round < 3; round++) {
        tegu_mark mark = tegu_arena_mark(arena);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            unsigned char *block = tegu_arena_alloc(arena, sizes[i]);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % (sizes[i] < 4096 ? 16 : 64), 0);
            for (size_t at = 0; at < sizes[i]; at++)
                assert_int_equal(block[at], 0);
            memset(block, 0xab, sizes[i]);
        }
        tegu_arena_release(arena, mark);
    }
    tegu_arena_destroy(arena);
}

static void release_frees_what_came_after_the_mark_only(void **state)
{
    (void)state;
    tegu_arena *arena = tegu_arena_create();
    char *kept = tegu_arena_copy(arena, "kept", 5);
    char *large = tegu_arena_alloc(arena, 1 << 20);
    large[(1 << 20) - 1] = 'x';
    size_t before = tegu_arena_bytes(arena);
    tegu_mark mark = tegu_arena_mark(arena);
    char *first = tegu_arena_alloc(arena, 100);
    for (int i = 0; i < 50; i++) {
        tegu_arena_alloc(arena, 30000);
        tegu_arena_alloc_raw(arena, 300000);
    }
    assert_true(tegu_arena_bytes(arena) >= before + 50 * 330000);
    tegu_arena_release(arena, mark);
    assert_int_equal(tegu_arena_bytes(arena), before);
    assert_string_equal(kept, "kept");
    assert_int_equal(large[(1 << 20) - 1], 'x');
    assert_ptr_equal(tegu_arena_alloc(arena, 100), first);
    tegu_arena_destroy(arena);
}

static void a_mark_of_the_empty_arena_frees_everything(void **state)
{
    (void)state;
    tegu_arena *arena = tegu_arena_create();
    tegu_mark mark = tegu_arena_mark(arena);
    tegu_arena_alloc(arena, 10);
    tegu_arena_alloc(arena, 1 << 20);
    tegu_arena_release(arena, mark);
    assert_int_equal(tegu_arena_bytes(arena), 0);
    tegu_arena_destroy(arena);
}

/* What an allocation does when it cannot succeed. */
typedef void attempt(tegu_arena *arena);

static void over_limit(tegu_arena *arena)
{
    tegu_arena_alloc(arena, 5000);
}
static void over_limit_large(tegu_arena *arena)
{
    tegu_arena_alloc(arena, 1 << 20);
}
static void wrapping_array(tegu_arena *arena)
{
    tegu_arena_array(arena, SIZE_MAX / 2, 3);
}
static void largest_block(tegu_arena *arena)
{
    tegu_arena_limit(arena, 0);
    tegu_arena_alloc(arena, SIZE_MAX);
}
static void largest_that_malloc_refuses(tegu_arena *arena)
{
    tegu_arena_limit(arena, 0);
    tegu_arena_alloc(arena, SIZE_MAX / 2 - 4096);
}
static void full_vector(tegu_arena *arena)
{
    uint32_t capacity = 1u << 31;
    char *data = NULL;
    tegu_vec_grow(arena, &data, &capacity, 1);
}

/* The code that the failure jump brings; 0 when the attempt came back. */
static int code_of(tegu_arena *arena, attempt *attempted)
{
    jmp_buf failure;
    int code = setjmp(failure);
    if (code == 0) {
        tegu_arena_on_failure(arena, &failure);
        attempted(arena);
    }
    return code;
}

static void impossible_allocations_take_the_failure_jump(void **state)
{
    (void)state;
    static attempt *const attempts[] = {over_limit,
                                        over_limit_large,
                                        wrapping_array,
                                        largest_block,
                                        largest_that_malloc_refuses,
                                        full_vector};
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        tegu_arena *arena = tegu_arena_create();
        tegu_arena_limit(arena, 4096);
        assert_int_equal(code_of(arena, attempts[i]), 71);
        assert_true(tegu_arena_bytes(arena) <= 4096);
        tegu_arena_destroy(arena);
    }
}

static void vectors_keep_their_elements_while_growing(void **state)
{
    (void)state;
    tegu_arena *arena = tegu_arena_create();
    TEGU_VEC(uint64_t) v = {0};
    for (uint64_t i = 0; i < 100000; i++)
        tegu_vec_push(arena, &v, i * i);
    assert_int_equal(v.count, 100000);
    for (uint64_t i = 0; i < 100000; i++)
        assert_true(v.data[i] == i * i);
    tegu_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_zeroed),
        cmocka_unit_test(release_frees_what_came_after_the_mark_only),
        cmocka_unit_test(a_mark_of_the_empty_arena_frees_everything),
        cmocka_unit_test(impossible_allocations_take_the_failure_jump),
        cmocka_unit_test(vectors_keep_their_elements_while_growing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
