/* SPDX-License-Identifier: Apache-2.0 */
/* fold_rows.c - adapters folded into a weight, row by row.
 *
 * Row n of w + scale b a is w[n] + sum over j of (scale b[n][j]) a[j]: the row
 * stays in the first cache while the rows of a pass by, four at a time, so
 * that each element is loaded and stored once per four products.  A row's sums
 * are f64 and rounded once, so a folded weight is the nearest f32 to the exact
 * one but for f64's own rounding.
 * The same walk measures: the change's norm, and what folding costs in
 * accuracy, by comparing x W'^T with x W^T + scale (x a^T) b^T on one input.
 */
#include "passes/fold_rows.h"

#include <float.h>
#include <math.h>

/* acc += c[0] a[0] + ... over ranks. */
static void add_products(double *restrict acc, const double *restrict a,
                         const double *c, int64_t rank, int64_t columns)
{
    int64_t j = 0;

    for (; j + 4 <= rank; j += 4) {
        const double *a0 = a + j * columns, *a1 = a0 + columns;
        const double *a2 = a1 + columns, *a3 = a2 + columns;
        double c0 = c[j], c1 = c[j + 1], c2 = c[j + 2], c3 = c[j + 3];
        for (int64_t k = 0; k < columns; k++)
            acc[k] += c0 * a0[k] + c1 * a1[k] + c2 * a2[k] + c3 * a3[k];
    }
    for (; j < rank; j++) {
        const double *row = a + j * columns;
        for (int64_t k = 0; k < columns; k++)
            acc[k] += c[j] * row[k];
    }
}

static double dot(const double *a, const double *b, int64_t n)
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int64_t k = 0;

    for (; k + 4 <= n; k += 4) {
        s0 += a[k] * b[k];
        s1 += a[k + 1] * b[k + 1];
        s2 += a[k + 2] * b[k + 2];
        s3 += a[k + 3] * b[k + 3];
    }
    for (; k < n; k++)
        s0 += a[k] * b[k];
    return (s0 + s1) + (s2 + s3);
}

/* Numbers in -1..1 that repeat on every machine. */
static void fill_sample(double *x, int64_t n)
{
    uint64_t state = 0x9e3779b97f4a7c15u;

    for (int64_t k = 0; k < n; k++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[k] = (double)(int64_t)state * 0x1p-63;
    }
}

typedef struct folding {
    int64_t columns;
    const tegu_layer *layers;
    uint32_t count;
    double *acc;          /* the row being summed */
    double *start;        /* the row before */
    const double *x;      /* the sample input */
    double **low;         /* per layer: a x */
    double *c;            /* scale b[n] */
    double before, after; /* squares summed: of W, of W' - W */
    double error;
    bool finite;
} folding;

/* Sums row n in f64; returns what the unfolded form gives for x. */
static double sum_row(folding *f, int64_t n)
{
    double unfolded = dot(f->start, f->x, f->columns);

    for (uint32_t i = 0; i < f->count; i++) {
        const tegu_layer *l = &f->layers[i];
        for (int64_t j = 0; j < l->rank; j++)
            f->c[j] = l->scale * l->b[n * l->rank + j];
        add_products(f->acc, l->a, f->c, l->rank, f->columns);
        unfolded += dot(f->c, f->low[i], l->rank);
        if (l->op == TEGU_OP_DORA) {
            double length = sqrt(dot(f->acc, f->acc, f->columns));
            double factor = l->m[n] / length;
            for (int64_t k = 0; k < f->columns; k++)
                f->acc[k] *= factor;
            unfolded *= factor;
        }
    }
    return unfolded;
}

static void measure_row(folding *f, const float *row, double unfolded)
{
    double folded = 0, bound = 0, before = 0, after = 0;

    for (int64_t k = 0; k < f->columns; k++) {
        double w = (double)row[k], change = f->acc[k] - f->start[k];
        folded += w * f->x[k];
        bound += fabs(w * f->x[k]);
        before += f->start[k] * f->start[k];
        after += change * change;
    }
    f->before += before;
    f->after += after;
    f->finite = f->finite && bound <= (double)FLT_MAX * (double)f->columns;
    bound *= 0x1p-24;
    if (bound > 0)
        f->error = fmax(f->error, fabs(folded - unfolded) / bound);
}

static void fold_row(folding *f, float *row, int64_t n)
{
    for (int64_t k = 0; k < f->columns; k++)
        f->acc[k] = f->start[k] = (double)row[k];
    double unfolded = sum_row(f, n);
    for (int64_t k = 0; k < f->columns; k++)
        row[k] = (float)f->acc[k];
    measure_row(f, row, unfolded);
}

void tegu_fold_rows(tegu_arena *scratch, float *weight, int64_t rows,
                    int64_t columns, const tegu_layer *layers, uint32_t count,
                    tegu_fold_measure *measure)
{
    size_t width = (size_t)columns + 1;
    double *x = TEGU_ARRAY(scratch, double, width);
    folding f = {.columns = columns,
                 .layers = layers,
                 .count = count,
                 .acc = TEGU_ARRAY(scratch, double, width),
                 .start = TEGU_ARRAY(scratch, double, width),
                 .x = x,
                 .low = TEGU_ARRAY(scratch, double *, count + 1),
                 .finite = true};
    int64_t longest = 1;

    fill_sample(x, columns);
    for (uint32_t i = 0; i < count; i++) {
        int64_t rank = layers[i].rank;
        f.low[i] = TEGU_ARRAY(scratch, double, (size_t)rank + 1);
        for (int64_t j = 0; j < rank; j++)
            f.low[i][j] = dot(layers[i].a + j * columns, x, columns);
        longest = rank > longest ? rank : longest;
    }
    f.c = TEGU_ARRAY(scratch, double, (size_t)longest);
    for (int64_t n = 0; n < rows; n++)
        fold_row(&f, weight + n * columns, n);
    measure->change = f.before > 0 ? sqrt(f.after / f.before) : INFINITY;
    measure->error = f.error;
    measure->finite = f.finite;
}
