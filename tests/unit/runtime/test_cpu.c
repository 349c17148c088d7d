/* SPDX-License-Identifier: Apache-2.0 */
/* CPU features against the compiler's own detection. */
#include "tests/unit/runtime/support.h"

#include <stdbool.h>
#include <string.h>

static void listed_features_are_those_it_has(void **state)
{
    (void)state;
    char text[2048];
    size_t length = tegu_cpu_features(text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_true(length > 0);
    for (char *name = strtok(text, ","); name; name = strtok(NULL, ",")) {
        assert_int_equal(name[0], '+');
        assert_int_equal(tegu_cpu_has(name + 1), 1);
    }
    assert_int_equal(tegu_cpu_has("no-such-feature"), 0);
    assert_int_equal(tegu_cpu_has(""), 0);
}

static void short_buffers_are_cut_and_terminated(void **state)
{
    (void)state;
    char whole[2048], part[2048];
    size_t length = tegu_cpu_features(whole, sizeof whole);
    assert_int_equal(tegu_cpu_features(NULL, 0), length);
    for (size_t size = 1; size <= length + 2; size++) {
        memset(part, 'x', sizeof part);
        assert_int_equal(tegu_cpu_features(part, size), length);
        size_t kept = size - 1 < length ? size - 1 : length;
        assert_int_equal(strlen(part), kept);
        assert_memory_equal(part, whole, kept);
        assert_int_equal(part[size], 'x');
    }
}

#if defined(__x86_64__)
/* The compiler's own detection is the reference. */
static void x86_features_agree_with_the_compiler(void **state)
{
    (void)state;
    __builtin_cpu_init();
#define CHECK(name)                                                            \
    assert_int_equal(tegu_cpu_has(name), !!__builtin_cpu_supports(name))
    CHECK("sse3");
    CHECK("ssse3");
    CHECK("sse4.1");
    CHECK("sse4.2");
    CHECK("popcnt");
    CHECK("avx");
    CHECK("avx2");
    CHECK("fma");
    CHECK("bmi");
    CHECK("bmi2");
    CHECK("avx512f");
    CHECK("avx512bw");
    CHECK("avx512dq");
    CHECK("avx512vl");
    CHECK("avx512vnni");
    CHECK("avx512bf16");
    CHECK("avx512vbmi");
#undef CHECK
}

static void x86_level_matches_the_features(void **state)
{
    (void)state;
    const char *level = tegu_cpu_level();
    assert_memory_equal(level, "x86-64", 6);
    bool v4 = strcmp(level, "x86-64-v4") == 0;
    bool v3 = v4 || strcmp(level, "x86-64-v3") == 0;
    assert_true(v3 == (tegu_cpu_has("avx2") && tegu_cpu_has("fma") &&
                       tegu_cpu_has("bmi2") && tegu_cpu_has("lzcnt") &&
                       tegu_cpu_has("movbe") && tegu_cpu_has("f16c")));
    if (v3)
        assert_true(v4 ==
                    (tegu_cpu_has("avx512bw") && tegu_cpu_has("avx512vl") &&
                     tegu_cpu_has("avx512dq")));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listed_features_are_those_it_has),
        cmocka_unit_test(short_buffers_are_cut_and_terminated),
#if defined(__x86_64__)
        cmocka_unit_test(x86_features_agree_with_the_compiler),
        cmocka_unit_test(x86_level_matches_the_features),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
