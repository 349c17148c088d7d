/* SPDX-License-Identifier: Apache-2.0 */
/* test_native.c - random programs through the whole compiler: what passes and
 * generated code give, against the interpreter's shadow of the program as it
 * was generated.
 *
 * TEGU_NUMERIC_COUNT sets how many programs each backend runs (those with NaN
 * and infinities are one in five), TEGU_NUMERIC_SEED the first seed.
 */
#include "tests/numeric/generate.h"
#include "tests/numeric/native.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static generate_options options_for(uint64_t seed)
{
    generate_options options = generate_defaults();
    options.specials = seed % 5 == 0;
    options.max_nodes = seed % 5 == 0 ? 20 : seed % 7 == 0 ? 60 : 25;
    return options;
}

/* The program with this seed; false after saying what differed. */
static bool check_program(uint64_t seed, const numeric_named_backend *b,
                          numeric_tally *tally)
{
    generate_options options = options_for(seed);
    numeric_model model = generate_model(seed, &options);
    numeric_model run = generate_model(seed, &options);
    numeric_mismatch m = {.element = -1};
    tegu_executor *executor = b->backend(&run);
    bool good = executor && numeric_agrees(&model, executor, tally, &m);
    if (!good) {
        tegu_diag_render(run.diag, stderr, false);
        numeric_dump(&model, tegu_format(model.arena,
                                         "TEGU_NUMERIC_SEED=%llu "
                                         "TEGU_NUMERIC_COUNT=1 test_native",
                                         (unsigned long long)seed));
        fprintf(stderr,
                "%s, seed %llu, call %u, result %u, element %lld: %.9g, "
                "exact %.17g, bound %.3g\n",
                b->name, (unsigned long long)seed, m.call, m.result,
                (long long)m.element, m.got, m.exact, m.bound);
    }
    if (executor)
        executor->destroy(executor->self);
    numeric_destroy(&run);
    numeric_destroy(&model);
    return good;
}

static void programs_agree_with_their_shadows(void **state)
{
    const numeric_named_backend *backend = *state;
    uint64_t seed = setting("TEGU_NUMERIC_SEED", 1);
    uint64_t count = setting("TEGU_NUMERIC_COUNT", backend->programs);
    numeric_tally tally = {0};
    int wrong = 0;
    for (uint64_t end = seed + count; seed < end && wrong < 5; seed++)
        wrong += !check_program(seed, backend, &tally);
    numeric_print_tally(&tally, backend->name);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    int failed = 0;
    uint32_t count;
    const numeric_named_backend *backends = numeric_backends(&count);
    for (uint32_t i = 0; i < count; i++) {
        const struct CMUnitTest tests[] = {
            {backends[i].name, programs_agree_with_their_shadows, NULL, NULL,
             (void *)(uintptr_t)&backends[i]},
        };
        failed +=
            cmocka_run_group_tests_name(backends[i].name, tests, NULL, NULL);
    }
    return failed;
}
