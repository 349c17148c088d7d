/* SPDX-License-Identifier: Apache-2.0 */
/* Draws against the distribution computed by its definition. */
#include "tests/unit/runtime/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { vocab = 50, draws = 40000 };

static tegu_sampler sampler(float temperature, int32_t top_k, float top_p,
                            uint64_t seed)
{
    tegu_sampler s;
    assert_int_equal(tegu_sampler_init(&s, temperature, top_k, top_p, seed), 0);
    return s;
}

/* Distinct logits in no order: largest at 7 * k mod vocab for k = 49. */
static void make_logits(float logits[vocab])
{
    for (int k = 0; k < vocab; k++)
        logits[7 * k % vocab] = 0.11f * (float)k;
}

static int32_t pick(tegu_sampler *s, const float *logits, int32_t count)
{
    double scratch[vocab];
    assert_true(tegu_sampler_scratch(count) <= sizeof scratch);
    return tegu_sampler_pick(s, logits, count, scratch);
}

static void zero_temperature_takes_the_first_largest(void **state)
{
    (void)state;
    tegu_sampler s = sampler(0, 0, 1, 1);
    static const struct {
        float logits[4];
        int32_t expected;
    } cases[] = {
        {{1, 3, 2, 3}, 1},
        {{NAN, -5, NAN, -6}, 1},
        {{-INFINITY, NAN, -1e30f, -INFINITY}, 2},
        {{1, INFINITY, 2, INFINITY}, 1},
        {{NAN, NAN, NAN, NAN}, -1},
        {{-INFINITY, NAN, -INFINITY, NAN}, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(tegu_sampler_pick(&s, cases[i].logits, 4, NULL),
                         cases[i].expected);
    assert_int_equal(tegu_sampler_pick(&s, cases[0].logits, 0, NULL), -1);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The distribution by its definition: sort all, cut, renormalize. */
static void expect(const float *logits, float temperature, int32_t top_k,
                   float top_p, double p[vocab])
{
    double sorted[vocab], sum = 0, kept = 0, kept_sum = 0;
    for (int i = 0; i < vocab; i++)
        sorted[i] = p[i] = exp((double)(logits[i] - logits[7 * 49 % vocab]) /
                               (double)temperature);
    qsort(sorted, vocab, sizeof *sorted, compare);
    int limit = top_k ? top_k : vocab, count = 0;
    for (int i = 0; i < limit; i++)
        sum += sorted[i];
    while (count < limit && (count == 0 || kept < (double)top_p * sum))
        kept += sorted[count++];
    for (int i = 0; i < vocab; i++) {
        if (p[i] < sorted[count - 1])
            p[i] = 0;
        kept_sum += p[i];
    }
    for (int i = 0; i < vocab; i++)
        p[i] /= kept_sum;
}

/* Chi-squared: mean = degrees of freedom, deviation sqrt(2 * that). */
static void draws_follow_the_cut_distribution(void **state)
{
    (void)state;
    static const struct {
        float temperature;
        int32_t top_k;
        float top_p;
    } cases[] = {{1, 0, 1},       {0.5f, 0, 1},     {2, 0, 1},
                 {1, 10, 1},      {1, 1, 1},        {1, 0, 0.5f},
                 {1, 0, 0.01f},   {1.5f, 20, 0.8f}, {1, vocab + 5, 1},
                 {0.7f, 50, 0.9f}};
    float logits[vocab];
    make_logits(logits);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double p[vocab], chi = 0, freedom = -1;
        int32_t k = cases[c].top_k < vocab ? cases[c].top_k : 0;
        int counts[vocab] = {0};
        expect(logits, cases[c].temperature, k, cases[c].top_p, p);
        tegu_sampler s =
            sampler(cases[c].temperature, cases[c].top_k, cases[c].top_p, 99);
        for (int i = 0; i < draws; i++)
            counts[pick(&s, logits, vocab)]++;
        for (int i = 0; i < vocab; i++) {
            if (p[i] == 0)
                assert_int_equal(counts[i], 0);
            if (p[i] * draws < 5)
                continue;
            double d = counts[i] - p[i] * draws;
            chi += d * d / (p[i] * draws);
            freedom++;
        }
        assert_true(chi <= freedom + 4 * sqrt(2 * freedom) + 1e-9);
    }
}

static void unusable_logits_are_never_drawn(void **state)
{
    (void)state;
    static const float some[] = {NAN, 1, -INFINITY, 1, NAN};
    static const float infinite[] = {5, INFINITY, NAN, INFINITY, 1e30f};
    static const float none[] = {NAN, -INFINITY, NAN, NAN, -INFINITY};
    for (int32_t k = 0; k < 3; k++)
        for (int i = 0, odd = 0; i < 400; i++) {
            tegu_sampler s = sampler(1, k, i % 2 ? 1 : 0.9f, (uint64_t)i);
            int32_t a = pick(&s, some, 5), b = pick(&s, infinite, 5);
            assert_true((a == 1 || a == 3) && (b == 1 || b == 3));
            assert_int_equal(pick(&s, none, 5), -1);
            odd += a == 1;
            if (i == 399)
                assert_true(k == 1 ? odd == 400 : odd > 120 && odd < 280);
        }
}

static void huge_spread_of_logits_is_fine(void **state)
{
    (void)state;
    static const float logits[] = {-3e38f, 3e38f, 0, -1e-40f};
    for (float temperature = 1e-30f; temperature < 1e30f; temperature *= 1e3f) {
        tegu_sampler s = sampler(temperature, 0, 0.999f, 5);
        for (int i = 0; i < 20; i++)
            assert_int_equal(pick(&s, logits, 4), 1);
    }
}

/* The reference values pin the generator and the arithmetic: they must not
 * depend on compiler, libm or host. */
static void a_seed_gives_the_same_tokens_everywhere(void **state)
{
    (void)state;
    static const int32_t expected[] = {43, 22, 44, 38, 3,  30, 37, 9, 30, 8,
                                       44, 29, 23, 29, 37, 2,  1,  9, 37, 37};
    float logits[vocab];
    make_logits(logits);
    tegu_sampler s = sampler(0.8f, 40, 0.95f, 42);
    tegu_sampler t = sampler(0.8f, 40, 0.95f, 42);
    tegu_sampler other = sampler(0.8f, 40, 0.95f, 43);
    int differ = 0;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int32_t id = pick(&s, logits, vocab);
        assert_int_equal(id, expected[i]);
        assert_int_equal(pick(&t, logits, vocab), id);
        differ += pick(&other, logits, vocab) != id;
    }
    assert_true(differ > 0);
}

static void logits_are_left_alone(void **state)
{
    (void)state;
    float logits[vocab], before[vocab];
    make_logits(logits);
    memcpy(before, logits, sizeof logits);
    tegu_sampler s = sampler(1, 10, 0.5f, 3);
    pick(&s, logits, vocab);
    assert_memory_equal(logits, before, sizeof logits);
}

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    static const struct {
        float temperature;
        int32_t top_k;
        float top_p;
    } cases[] = {{-1, 0, 1}, {NAN, 0, 1},  {INFINITY, 0, 1}, {1, -1, 1},
                 {1, 0, 0},  {1, 0, 1.5f}, {1, 0, NAN},      {1, 0, -1}};
    tegu_sampler s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(tegu_sampler_init(&s, cases[i].temperature,
                                           cases[i].top_k, cases[i].top_p, 0),
                         TEGU_STATUS_ARGUMENT);
    assert_int_equal(tegu_sampler_scratch(0), 0);
    assert_int_equal(tegu_sampler_scratch(-3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_temperature_takes_the_first_largest),
        cmocka_unit_test(draws_follow_the_cut_distribution),
        cmocka_unit_test(unusable_logits_are_never_drawn),
        cmocka_unit_test(huge_spread_of_logits_is_fine),
        cmocka_unit_test(a_seed_gives_the_same_tokens_everywhere),
        cmocka_unit_test(logits_are_left_alone),
        cmocka_unit_test(wrong_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
