/* SPDX-License-Identifier: Apache-2.0 */
/* Elimination and repair of a linear map's inputs, against exhaustive search
 * on small maps.
 */
#include "bench.h"
#include "passes/obs.h"

#include <math.h>
#include <string.h>

enum { OUT = 3, N = 6, ROWS = 40 };

typedef struct lab {
    tegu_arena *arena;
    double x[ROWS * N]; /* the map's inputs */
    double w[OUT * N];
    double gram[N * N];
} lab;

/* Between -1 and 1, the same on every machine. */
static double noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (double)(1u << 23) - 1;
}

static void gather(lab *l)
{
    memset(l->gram, 0, sizeof l->gram);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++)
                l->gram[i * N + k] += l->x[r * N + i] * l->x[r * N + k];
}

static lab lab_open(uint32_t seed)
{
    lab l = {.arena = tegu_arena_create()};

    for (int i = 0; i < ROWS * N; i++)
        l.x[i] = noise(&seed) + (i % N == 2 ? 0.7 * l.x[i - 1] : 0);
    for (int i = 0; i < OUT * N; i++)
        l.w[i] = noise(&seed);
    gather(&l);
    return l;
}

static double energy(const lab *l)
{
    double sum = 0;

    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++)
                sum += l->w[o * N + i] * l->gram[i * N + k] * l->w[o * N + k];
    return sum;
}

/* The loss of the best map over the inputs in `mask`, times the energy. */
static double best_loss(const lab *l, unsigned mask)
{
    int64_t kept[N], count = 0;
    double cut[OUT * N];

    for (int i = 0; i < N; i++)
        if (mask >> i & 1)
            kept[count++] = i;
    assert_true(tegu_least_squares(OUT, N, l->w, l->gram, 0, kept, count,
                                   l->arena, cut));
    return energy(l) *
           tegu_cut_loss(OUT, N, l->w, l->gram, cut, kept, count, l->arena);
}

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * (1 + fabs(want))))
        fail_msg("%.15g, expected %.15g", got, want);
}

static void
elimination_takes_the_cheapest_input_and_knows_its_loss(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        lab l = lab_open(seed);
        int64_t order[N];
        double loss[N];
        unsigned left = (1u << N) - 1;
        assert_true(
            tegu_obs_order(OUT, N, l.w, l.gram, 0, 0, l.arena, order, loss));
        for (int k = 0; k < N - 1; k++) {
            double least = INFINITY;
            for (int i = 0; i < N; i++)
                if (left >> i & 1)
                    least = fmin(least, best_loss(&l, left & ~(1u << i)));
            left &= ~(1u << order[k]);
            assert_near(loss[k], least);
            assert_near(best_loss(&l, left), least);
        }
        assert_near(loss[N - 1], energy(&l));
        tegu_arena_destroy(l.arena);
    }
}

static void a_duplicate_goes_first_and_costs_nothing(void **state)
{
    lab l = lab_open(3);
    int64_t order[N], kept[N - 1];
    double loss[N], cut[OUT * (N - 1)];

    (void)state;
    for (int r = 0; r < ROWS; r++)
        l.x[r * N + 4] = l.x[r * N + 1];
    gather(&l);
    assert_true(
        tegu_obs_order(OUT, N, l.w, l.gram, 1e-10, 0, l.arena, order, loss));
    assert_true(order[0] == 1 || order[0] == 4);
    assert_true(loss[0] < 1e-8 * energy(&l));
    assert_true(loss[1] > 1e-3 * energy(&l));
    for (int i = 0, n = 0; i < N; i++)
        if (i != order[0])
            kept[n++] = i;
    assert_true(tegu_least_squares(OUT, N, l.w, l.gram, 1e-10, kept, N - 1,
                                   l.arena, cut));
    for (int o = 0; o < OUT; o++)
        for (int n = 0; n < N - 1; n++)
            if (kept[n] == 5 - order[0])
                assert_true(fabs(cut[o * (N - 1) + n] - l.w[o * N + 1] -
                                 l.w[o * N + 4]) < 1e-6);
    tegu_arena_destroy(l.arena);
}

static void fixed_inputs_are_never_removed(void **state)
{
    lab l = lab_open(5);
    int64_t order[N];
    double loss[N];

    (void)state;
    for (int o = 0; o < OUT; o++)
        l.w[o * N + N - 1] = 0; /* it would go first */
    assert_true(
        tegu_obs_order(OUT, N, l.w, l.gram, 0, 1, l.arena, order, loss));
    for (int k = 0; k < N - 1; k++)
        assert_true(order[k] != N - 1);
    tegu_arena_destroy(l.arena);
}

static void a_gram_matrix_that_is_none_is_refused(void **state)
{
    lab l = lab_open(7);
    int64_t order[N];
    double loss[N];

    (void)state;
    l.gram[0] = -1;
    assert_false(
        tegu_obs_order(OUT, N, l.w, l.gram, 0, 0, l.arena, order, loss));
    tegu_arena_destroy(l.arena);
}

/* Nothing is known of an input that was always 0, so that its column stays;
 * nor of any without samples. */
static void columns_without_samples_stay(void **state)
{
    (void)state;
    for (int none = 0; none < 2; none++) {
        lab l = lab_open(5);
        const int64_t kept[] = {0, 2, 3};
        double cut[OUT * 3];
        for (int i = 0; i < ROWS * N; i++)
            l.x[i] *= none || i % N == 3 ? 0 : 1;
        gather(&l);
        assert_true(tegu_least_squares(OUT, N, l.w, l.gram, 1e-4, kept, 3,
                                       l.arena, cut));
        for (int o = 0; o < OUT; o++)
            for (int k = none ? 0 : 2; k < 3; k++)
                assert_near(cut[o * 3 + k], l.w[o * N + kept[k]]);
        tegu_arena_destroy(l.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            elimination_takes_the_cheapest_input_and_knows_its_loss),
        cmocka_unit_test(a_duplicate_goes_first_and_costs_nothing),
        cmocka_unit_test(columns_without_samples_stay),
        cmocka_unit_test(fixed_inputs_are_never_removed),
        cmocka_unit_test(a_gram_matrix_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
