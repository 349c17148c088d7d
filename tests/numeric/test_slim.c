/* SPDX-License-Identifier: Apache-2.0 */
/* test_slim.c - hidden widths, ranks and budgets on wiki5m against the
 * perplexities of ../shared/data/wiki5m/reference.md (sections 2.2, 2.3, 2.4):
 * at most 1 % above each.  TEGU_NUMERIC_ALL=1 runs every row, the search for a
 * budget too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/numeric/slim.h"

#include <math.h>
#include <stdlib.h>

static const struct row {
    const char *pipeline;
    double perplexity;
    double parameters; /* at most, millions */
    bool always;       /* else with TEGU_NUMERIC_ALL */
} rows[] = {
    {"dce", 31.7003, 5.402, true},
    {"reduce-hidden{keep=0.9}", 32.02, 5.084, false},
    {"reduce-hidden{keep=0.8}", 32.63, 4.766, false},
    {"reduce-hidden{keep=0.7}", 33.75, 4.453, true},
    {"reduce-hidden{keep=0.9,method=select}", 32.10, 5.084, false},
    {"reduce-hidden{keep=0.8,method=select}", 32.80, 4.766, false},
    {"reduce-hidden{keep=0.7,method=select}", 34.19, 4.453, true},
    {"reduce-hidden{keep=0.7,sequential=true}", 33.75, 4.453, false},
    {"low-rank{keep=0.8,targets=layers}", 36.5, 4.524, false},
    {"low-rank{keep=0.6,targets=layers,measure=false}", 56.6, 3.64, true},
    {"low-rank{keep=0.6},reduce-hidden{keep=0.7}", 34.28, 3.975, true},
    {"budget{params=0.7}", 33.4 / 1.01, 0.7 * 5.401857, false},
    {"budget{params=0.7,round=1}", 33.4 / 1.01, 0.7 * 5.401857, false},
};

static void check_row(const struct row *row)
{
    slim s;
    double got;

    assert_true(slim_open(&s));
    slim_run(&s, row->pipeline);
    got = slim_perplexity(&s, 80);
    if (!(got <= 1.01 * row->perplexity))
        fail_msg("%s: perplexity %.4f, reference %.4f", row->pipeline, got,
                 row->perplexity);
    if (tegu_unit_parameters(s.unit) > 1e6 * row->parameters)
        fail_msg("%s: %.0f parameters", row->pipeline,
                 tegu_unit_parameters(s.unit));
    slim_close(&s);
}

static bool present(void)
{
    slim s;

    if (!slim_open(&s))
        return false;
    slim_close(&s);
    return true;
}

static void perplexities_match_the_reference_study(void **state)
{
    (void)state;
    if (!present()) {
        print_message("skipped: no ../shared/data/wiki5m\n");
        skip();
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].always || getenv("TEGU_NUMERIC_ALL"))
            check_row(&rows[i]);
}

static void predicted_and_measured_losses_of_factors_agree(void **state)
{
    slim s;

    (void)state;
    if (!slim_open(&s)) {
        print_message("skipped: no ../shared/data/wiki5m\n");
        skip();
    }
    slim_run(&s, "low-rank{keep=0.6,gram_power=1}");
    assert_int_equal(s.report.sites.count, 24);
    for (uint32_t i = 0; i < s.report.sites.count; i++) {
        double predicted = slim_figure(&s, i, "predicted_error");
        double measured = slim_figure(&s, i, "measured_error");
        if (!(fabs(predicted - measured) <= 1e-4 * predicted))
            fail_msg("site %u: %g predicted, %g measured", i, predicted,
                     measured);
    }
    slim_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perplexities_match_the_reference_study),
        cmocka_unit_test(predicted_and_measured_losses_of_factors_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
