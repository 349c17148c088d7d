/* SPDX-License-Identifier: Apache-2.0 */
/* merge.c - merging a hidden layer's elements by optimal transport.
 *
 * Takes samples of what the reader reads and the elements kept.  The plan T
 * [width, count] carries every element to the kept ones at the cost of the L1
 * distance of their activations (entropic, sinkhorn.h).  The reader's columns
 * are summed along it, W T / rows of T, so that each dropped element's output
 * goes to those that resemble it (reference.md 2.2, "DOT merge").
 */
#include "passes/intermediate.h"
#include "passes/sinkhorn.h"

#include <math.h>
#include <string.h>

enum { ITERATIONS = 500 };
static const double tolerance = 1e-6, strength = 0.01;

static double distance(const tegu_site_stats *stats, int64_t i, int64_t k)
{
    const float *x = stats->samples;
    double sum = 0;

    for (int64_t t = 0; t < stats->sample_rows; t++, x += stats->columns)
        sum += fabs((double)x[i] - (double)x[k]);
    return sum;
}

/* Less each row's least, which moves no plan; the largest before that. */
static double fill_cost(const tegu_hidden *h, const int64_t *kept,
                        int64_t count, double *cost)
{
    double most = 0;

    for (int64_t i = 0; i < h->width; i++) {
        double *row = cost + i * count, least = INFINITY;
        for (int64_t j = 0; j < count; j++) {
            row[j] = distance(h->stats, i, kept[j]);
            most = fmax(most, row[j]);
            least = fmin(least, row[j]);
        }
        for (int64_t j = 0; j < count; j++)
            row[j] -= least;
    }
    return most;
}

static double *find_plan(const tegu_hidden *h, const int64_t *kept,
                         int64_t count, tegu_arena *arena)
{
    size_t row = (size_t)count * sizeof(double);
    double *plan = tegu_arena_array(arena, (size_t)h->width, row);
    double *cost = tegu_arena_array(arena, (size_t)h->width, row);
    double most = fill_cost(h, kept, count, cost);

    tegu_sinkhorn_plan(arena, h->width, count, cost,
                       strength * (most > 0 ? most : 1), ITERATIONS, tolerance,
                       plan);
    return plan;
}

void tegu_hidden_merge(const tegu_hidden *h, const int64_t *kept, int64_t count,
                       tegu_arena *arena, double *cut, double *mix)
{
    int64_t fixed = h->inputs - h->width, width = count - fixed;
    const double *plan = find_plan(h, kept, width, arena);
    double *columns = TEGU_ARRAY(arena, double, (size_t)width);

    memset(cut, 0, (size_t)h->out * (size_t)count * sizeof *cut);
    for (int64_t i = 0; i < h->width; i++) {
        double sum = 0;
        for (int64_t j = 0; j < width; j++) {
            sum += plan[i * width + j];
            columns[j] += plan[i * width + j];
        }
        for (int64_t r = 0; r < h->out; r++)
            for (int64_t j = 0; j < width; j++)
                cut[r * count + j] +=
                    h->map[r * h->inputs + i] * plan[i * width + j] / sum;
    }
    for (int64_t r = 0; fixed && r < h->out; r++)
        cut[r * count + width] = h->map[r * h->inputs + h->width];
    for (int64_t i = 0; i < h->width; i++)
        for (int64_t j = 0; j < width; j++)
            mix[i * width + j] = plan[i * width + j] / columns[j];
}
