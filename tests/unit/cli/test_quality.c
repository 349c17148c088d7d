/* SPDX-License-Identifier: Apache-2.0 */
/* quality.c: perplexity and divergence of models whose distributions are
 * written down here, against sums done by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/cli/model.h"

#include <math.h>
#include <string.h>

enum { VOCAB = 3 };

/* A model without memory: the distribution after each token. */
typedef struct table {
    double share[VOCAB][VOCAB]; /* (token, next) */
    int resets, calls;
    tegu_executor executor;
    tegu_session session;
} table;

/* Every row is shifted by another number, which softmax does not see. */
static bool look_up(void *self, const char *entry, const tegu_tensor *inputs,
                    uint32_t input_count, tegu_tensor *outputs,
                    uint32_t output_count)
{
    table *t = self;
    const int32_t *tokens = inputs[0].data;
    float *logits = outputs[0].data;
    assert_string_equal(entry, "step");
    assert_int_equal(input_count + output_count, 2);
    for (int64_t i = 0; i < inputs[0].dims[0]; i++)
        for (int k = 0; k < VOCAB; k++)
            *logits++ =
                (float)(log(t->share[tokens[i]][k]) + 3.0 * (double)i - 4.0);
    t->calls++;
    return true;
}

static void count_reset(void *self)
{
    ((table *)self)->resets++;
}

static const table reference = {
    .share = {{.5, .25, .25}, {.25, .5, .25}, {.25, .25, .5}}};
static const table other = {
    .share = {{.125, .125, .75}, {.125, .125, .75}, {.125, .125, .75}}};

typedef struct fixture {
    tegu_cli cli;
    tegu_entry step;
    table tables[2];
    tegu_lm models[2];
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f = (fixture){.tables = {reference, other}, .step = {.name = "step"}};
    f.cli.arena = tegu_arena_create();
    f.cli.diag = tegu_diag_create(f.cli.arena);
    for (int m = 0; m < 2; m++) {
        table *t = &f.tables[m];
        t->executor =
            (tegu_executor){.self = t, .call = look_up, .reset = count_reset};
        t->session.executor = &t->executor;
        f.models[m] = (tegu_lm){.session = &t->session,
                                .step = &f.step,
                                .most = 2,
                                .context = 4,
                                .vocab = VOCAB};
    }
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    tegu_arena_destroy(((fixture *)*state)->cli.arena);
    return 0;
}

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) < 1e-6))
        fail_msg("got %.9f, not %.9f", got, want);
}

static void measure(fixture *f, tegu_windows windows, tegu_quality *quality)
{
    static const int32_t ids[] = {0, 1, 2, 1, 2};
    tegu_tokens tokens = {.ids = ids, .count = 5, .source = "ids"};
    assert_true(tegu_measure_quality(&f->cli, f->models, 2, &tokens, &windows,
                                     quality));
}

/* Predicted after 0 1 2 1: 1 2 1 2, by the reference with 1/4 each, by the
 * other with 1/8 or 3/4.  KL(p || q) of its rows: 1.25 ln 2 - 0.25 ln 3 after 0
 * and 1, ln 2 - 0.5 ln 3 after 2. */
static void check(const tegu_quality *quality)
{
    double ln2 = log(2), ln3 = log(3);
    assert_int_equal(quality[0].predictions, 4);
    assert_near(quality[0].nll, 2 * ln2);
    assert_near(quality[0].perplexity, 4);
    assert_true(isnan(quality[0].kl) && isnan(quality[0].same_top));
    assert_near(quality[1].nll, (3 * ln2 + 2 * ln2 - ln3) / 2);
    assert_near(quality[1].perplexity, sqrt(32.0 / 3));
    assert_near(quality[1].kl, (4.75 * ln2 - 1.25 * ln3) / 4);
    assert_near(quality[1].same_top, 0.25);
}

static void a_window_is_scored_as_done_by_hand(void **state)
{
    fixture *f = *state;
    tegu_quality quality[2];
    measure(f, (tegu_windows){.length = 4, .stride = 4}, quality);
    check(quality);
    assert_int_equal(f->tables[1].resets, 1);
    assert_int_equal(f->tables[1].calls, 2); /* of at most 2 tokens */
}

static void overlapping_windows_score_every_token_once(void **state)
{
    fixture *f = *state;
    tegu_quality quality[2];
    measure(f, (tegu_windows){.length = 2, .stride = 1}, quality);
    check(quality);
    assert_int_equal(f->tables[0].resets, 3);
}

static void a_limit_ends_inside_a_window(void **state)
{
    fixture *f = *state;
    tegu_quality quality[2];
    measure(f, (tegu_windows){.length = 2, .stride = 2, .predictions = 3},
            quality);
    assert_int_equal(quality[1].predictions, 3);
    assert_near(quality[1].nll, (3 * log(8) - log(6)) / 3);
}

static void a_model_against_itself_diverges_in_nothing(void **state)
{
    fixture *f = *state;
    tegu_quality quality[2];
    memcpy(f->tables[1].share, reference.share, sizeof reference.share);
    measure(f, (tegu_windows){.length = 4, .stride = 4}, quality);
    assert_true(quality[1].kl == 0);
    assert_true(quality[1].same_top == 1);
    assert_true(quality[1].nll == quality[0].nll);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_window_is_scored_as_done_by_hand,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            overlapping_windows_score_every_token_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_limit_ends_inside_a_window, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_model_against_itself_diverges_in_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
