/* SPDX-License-Identifier: Apache-2.0 */
/* provider_ot.c - DOTResize: the span of a transport plan (Verma, Murray, Duh,
 * arXiv 2507.04517; the reconstruction of papers.md 3.3).
 *
 * Takes statistics of a stream's neurons (columns).  The `width` neurons with
 * the largest mean |x| are the target; the cost of moving neuron i to target j
 * is the distance of their activations over the calibration tokens, squared L2
 * (from the Gram matrix) or L1 (from sampled tokens).  The entropic plan T
 * spreads each neuron over the targets, and since R R^-1 cancels between
 * writers and readers only its span matters: Q of the thin QR of T in f64.
 * Large eps is what makes it work (reference.md, section 4): then T tends to
 * 1 - C/eps, whose span holds the Gram matrix's columns at the targets, one
 * power iteration from the selection.
 */
#include "passes/provider.h"
#include "passes/sinkhorn.h"

#include <math.h>

enum { MOST_ITERATIONS = 2000 };
static const double tolerance = 1e-9;

static double squared_distance(const tegu_subspace *s, int64_t i, int64_t k)
{
    const double *g = s->stats->gram;
    int64_t n = s->extent;
    return fmax(g[i * n + i] + g[k * n + k] - 2 * g[i * n + k], 0);
}

static double manhattan_distance(const tegu_subspace *s, int64_t i, int64_t k)
{
    const float *x = s->stats->samples;
    double sum = 0;
    for (int64_t t = 0; t < s->stats->sample_rows; t++)
        sum += fabs((double)x[t * s->extent + i] - x[t * s->extent + k]);
    return sum;
}

/* The cost with each row's least taken off, which moves no plan, and its
 * largest entry before that. */
static double fill_cost(const tegu_subspace *s, const int64_t *target,
                        double *cost)
{
    double most = 0;
    for (int64_t i = 0; i < s->extent; i++) {
        double *row = cost + i * s->width, least = INFINITY;
        for (int64_t j = 0; j < s->width; j++) {
            row[j] = s->manhattan ? manhattan_distance(s, i, target[j])
                                  : squared_distance(s, i, target[j]);
            most = fmax(most, row[j]);
            least = fmin(least, row[j]);
        }
        for (int64_t j = 0; j < s->width; j++)
            row[j] -= least;
    }
    return most;
}

static bool find(tegu_subspace *s)
{
    tegu_mark mark = tegu_arena_mark(s->scratch);
    int64_t *target = TEGU_ARRAY(s->scratch, int64_t, (size_t)s->width);
    double *cost =
        TEGU_ARRAY(s->scratch, double, (size_t)(s->extent * s->width));
    double most;
    bool ok;

    tegu_select_largest(s->scratch, s->stats->sum_abs, s->extent, s->width,
                        target);
    most = fill_cost(s, target, cost);
    tegu_sinkhorn report = tegu_sinkhorn_plan(
        s->scratch, s->extent, s->width, cost, s->eps * (most > 0 ? most : 1),
        MOST_ITERATIONS, tolerance, s->q);
    s->iterations = report.iterations;
    s->marginal_error = report.error;
    s->entropy = report.entropy;
    ok = tegu_orthonormalise(s->unit, s->scratch, s->q, s->extent, s->width,
                             &s->rank);
    tegu_arena_release(s->scratch, mark);
    return ok;
}

const tegu_provider tegu_provider_ot = {"ot", true, true, find};
