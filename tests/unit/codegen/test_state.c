/* SPDX-License-Identifier: Apache-2.0 */
/* test_state.c - the state block: its head, and each tensor at a multiple of
 * 64 bytes (docs/abi.md). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "codegen/codegen.h"

/* Bytes of the block of a model with these states. */
static size_t bytes_of(const char *states)
{
    tegu_arena *arena = tegu_arena_create();
    tegu_diag *diag = tegu_diag_create(arena);
    const char *text = tegu_format(arena,
                                   "unit m\n%s\nentry f kernel {\n"
                                   "  %%1 = input {name=\"x\"} : f32[4]\n"
                                   "  return \"y\" %%1\n}\n",
                                   states);
    tegu_unit *unit = tegu_unit_parse(arena, diag, "m.tir", text, strlen(text));
    if (!unit)
        tegu_diag_render(diag, stderr, false);
    assert_non_null(unit);
    size_t bytes = tegu_artifact_state(unit);
    tegu_unit_destroy(unit);
    tegu_arena_destroy(arena);
    return bytes;
}

static void every_tensor_fills_whole_lines(void **state)
{
    static const struct {
        const char *states;
        size_t bytes;
    } cases[] = {
        {"", 64},
        {"state \"a\" : f32[1]", 64 + 64},
        {"state \"a\" : f32[16]", 64 + 64},
        {"state \"a\" : f32[17]", 64 + 128},
        {"state \"a\" : f32[3]\nstate \"b\" : i32[5]", 64 + 64 + 64},
        {"state \"a\" : bool[65]\nstate \"b\" : f32[]\nstate \"c\" : i64[8]",
         64 + 128 + 64 + 64},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (bytes_of(cases[i].states) != cases[i].bytes)
            fail_msg("%s: %zu bytes, not %zu", cases[i].states,
                     bytes_of(cases[i].states), cases[i].bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tensor_fills_whole_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
