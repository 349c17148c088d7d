/* SPDX-License-Identifier: Apache-2.0 */
/* fold-norms: which norms go into the following weights, and which stay. */
#include "bench.h"
#include <stdio.h>

static const char form[] =
    "unit t\naxis T in 1..8\n"
    "param \"w\" : f32[8]\nparam \"b\" : f32[8]\n"
    "param \"W\" : f32[6, 8]\nparam \"V\" : f32[5, 8]\nparam \"c\" : f32[6]\n"
    "entry f model {\n"
    "  %%1 = input {name=\"x\"} : f32[T, 8]\n"
    "  %%2 = param {name=\"w\"} : f32[8]\n"
    "  %%3 = param {name=\"b\"} : f32[8]\n"
    "  %%4 = param {name=\"W\"} : f32[6, 8]\n"
    "  %%5 = param {name=\"V\"} : f32[5, 8]\n"
    "  %%6 = param {name=\"c\"} : f32[6]\n"
    "%s}\n";

static const struct {
    const char *what;
    const char *lines;
    bool folded;
} cases[] = {
    {"two linears share one factor",
     "  %7 = rms_norm %1, %2 : f32[T, 8]\n"
     "  %8 = linear %7, %4, %6 : f32[T, 6]\n"
     "  %9 = linear %7, %5 : f32[T, 5]\n"
     "  return \"y\" %8\n  return \"z\" %9\n",
     true},
    {"a norm of a projected stream keeps its extent",
     "  %7 = rms_norm %1, %2 {extent=11} : f32[T, 8]\n"
     "  %8 = linear %7, %4, %6 : f32[T, 6]\n"
     "  return \"y\" %8\n",
     true},
    {"a norm that is a result stays",
     "  %7 = rms_norm %1, %2 : f32[T, 8]\n"
     "  %8 = linear %7, %4, %6 : f32[T, 6]\n"
     "  return \"y\" %8\n  return \"z\" %7\n",
     false},
    {"a norm with another reader stays",
     "  %7 = rms_norm %1, %2 : f32[T, 8]\n"
     "  %8 = linear %7, %4 : f32[T, 6]\n"
     "  %9 = neg %7 : f32[T, 8]\n"
     "  return \"y\" %8\n  return \"z\" %9\n",
     false},
    {"a layer_norm stays",
     "  %7 = layer_norm %1, %2, %3 : f32[T, 8]\n"
     "  %8 = linear %7, %4 : f32[T, 6]\n"
     "  return \"y\" %8\n",
     false},
    {"weights that are computed from inputs stay",
     "  %7 = rms_norm %1, %2 : f32[T, 8]\n"
     "  %8 = input {name=\"u\"} : f32[6, 8]\n"
     "  %9 = linear %7, %8 : f32[T, 6]\n"
     "  return \"y\" %9\n",
     false},
};

static void norms_fold_only_into_the_linears_that_read_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[2048];
        snprintf(text, sizeof text, form, cases[i].lines);
        bench b = bench_text(text);
        bench_run(&b, "fold-norms");
        if ((count_ops(bench_graph(&b), TEGU_OP_RSQRT) == 1) != cases[i].folded)
            fail_msg("%s:\n%s", cases[i].what, bench_printed(&b));
        assert_int_equal(b.report.steps.data[0].changed, cases[i].folded);
        bench_run(&b, "-O2");
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_fold_only_into_the_linears_that_read_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
