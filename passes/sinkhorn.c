/* SPDX-License-Identifier: Apache-2.0 */
/* sinkhorn.c - Sinkhorn's iteration in the log domain.
 *
 * Takes a cost matrix; produces the entropic transport plan between uniform
 * marginals (Cuturi 2013; log-domain updates: Peyre and Cuturi 2019, section
 * 4.4; papers.md 3.3).  Potentials f, g in f64:
 *   f_i = eps (log a - LSE_j (g_j - C_ij) / eps), and g_j alike,
 * which neither overflow nor underflow for any eps.  After an update of g the
 * columns' sums are exact and the rows' sums tell the error.
 */
#include "passes/sinkhorn.h"

#include <math.h>

typedef struct transport {
    int64_t n, m;
    const double *cost;
    double eps;
    double *f, *g; /* potentials over eps */
} transport;

/* log sum_j exp(g_j - C_ij / eps), or over i. */
static double row_sum(const transport *t, int64_t i)
{
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < t->m; j++)
        most = fmax(most, t->g[j] - t->cost[i * t->m + j] / t->eps);
    for (int64_t j = 0; j < t->m; j++)
        sum += exp(t->g[j] - t->cost[i * t->m + j] / t->eps - most);
    return most + log(sum);
}

/* The same over rows for all columns, row by row for the cache's sake. */
static void column_sums(const transport *t, double *most, double *sum)
{
    for (int64_t j = 0; j < t->m; j++) {
        most[j] = -INFINITY;
        sum[j] = 0;
    }
    for (int64_t i = 0; i < t->n; i++)
        for (int64_t j = 0; j < t->m; j++)
            most[j] = fmax(most[j], t->f[i] - t->cost[i * t->m + j] / t->eps);
    for (int64_t i = 0; i < t->n; i++)
        for (int64_t j = 0; j < t->m; j++)
            sum[j] += exp(t->f[i] - t->cost[i * t->m + j] / t->eps - most[j]);
}

/* Sum over rows of |T 1 - a|, the columns being exact. */
static double row_error(const transport *t)
{
    double error = 0;
    for (int64_t i = 0; i < t->n; i++)
        error += fabs(exp(t->f[i] + row_sum(t, i)) - 1 / (double)t->n);
    return error;
}

static void fill(const transport *t, double *plan, tegu_sinkhorn *report)
{
    double entropy = 0;
    for (int64_t i = 0; i < t->n; i++)
        for (int64_t j = 0; j < t->m; j++) {
            double log_t = t->f[i] + t->g[j] - t->cost[i * t->m + j] / t->eps;
            double mass = exp(log_t);
            plan[i * t->m + j] = mass;
            entropy -= mass > 0 ? mass * log_t : 0;
        }
    report->entropy = entropy / log((double)t->n * (double)t->m);
}

/* Both marginals as they came out. */
static double marginal_error(const transport *t, const double *plan,
                             double *columns)
{
    double error = 0;
    for (int64_t j = 0; j < t->m; j++)
        columns[j] = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double row = 0;
        for (int64_t j = 0; j < t->m; j++) {
            row += plan[i * t->m + j];
            columns[j] += plan[i * t->m + j];
        }
        error += fabs(row - 1 / (double)t->n);
    }
    for (int64_t j = 0; j < t->m; j++)
        error += fabs(columns[j] - 1 / (double)t->m);
    return error;
}

tegu_sinkhorn tegu_sinkhorn_plan(tegu_arena *scratch, int64_t n, int64_t m,
                                 const double *cost, double eps, int most,
                                 double tolerance, double *plan)
{
    tegu_sinkhorn report = {0};
    tegu_mark mark = tegu_arena_mark(scratch);
    transport t = {.n = n,
                   .m = m,
                   .cost = cost,
                   .eps = eps,
                   .f = TEGU_ARRAY(scratch, double, (size_t)n),
                   .g = TEGU_ARRAY(scratch, double, (size_t)m)};
    double *peak = TEGU_ARRAY(scratch, double, (size_t)m);
    double *sum = TEGU_ARRAY(scratch, double, (size_t)m);

    while (report.iterations < most && !report.converged) {
        for (int64_t i = 0; i < n; i++)
            t.f[i] = -log((double)n) - row_sum(&t, i);
        column_sums(&t, peak, sum);
        for (int64_t j = 0; j < m; j++)
            t.g[j] = -log((double)m) - peak[j] - log(sum[j]);
        report.iterations++;
        if (report.iterations % 5 == 0 || report.iterations < 5 ||
            report.iterations == most)
            report.converged = row_error(&t) < tolerance;
    }
    fill(&t, plan, &report);
    report.error = marginal_error(&t, plan, sum);
    tegu_arena_release(scratch, mark);
    return report;
}
