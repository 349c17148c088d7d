/* SPDX-License-Identifier: Apache-2.0 */
/* obs.c - optimal brain surgeon over the inputs of a linear map.
 *
 * Removing input i from W and repairing the others at best costs
 * |w_i|^2 / (G^-1)_ii and changes W by -w_i (G^-1)_i: / (G^-1)_ii (Hassibi and
 * Stork 1993, rows of W sharing one Hessian as in SparseGPT, Frantar and
 * Alistarh 2023).  Elimination takes the cheapest input, updates W and the
 * inverse, and goes on: n steps of a rank-one update over the inputs still
 * active, n^3 / 3 + n^2 out / 2 multiply-adds.  Active inputs lie in front:
 * the removed one changes places with the last.
 *
 * W is held transposed, one row per input, so that every update streams.
 */
#include "passes/obs.h"
#include "passes/linalg.h"

#include <string.h>

typedef struct elimination {
    int64_t out, n, active, fixed;
    double *columns; /* [n, out]: W^T */
    double *inverse; /* [n, n], the active part in front */
    double *square;  /* [n]: |w_i|^2 */
    int64_t *name;   /* [n]: input at each place */
    double *pivot;   /* [n]: row of the inverse of the one removed */
} elimination;

static double mean_diagonal(int64_t n, const double *gram)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += gram[i * n + i];
    return n ? sum / (double)n : 0;
}

/* A damping that makes even a zero matrix invertible. */
static double damping(int64_t n, const double *gram, double damp)
{
    double d = damp * mean_diagonal(n, gram);

    return d > 0 ? d : 1e-30;
}

static bool prepare(elimination *e, const double *w, const double *gram,
                    double damp, tegu_arena *scratch)
{
    int64_t n = e->n, out = e->out;
    size_t size = (size_t)n;

    e->columns =
        tegu_arena_array(scratch, size, (size_t)out * sizeof(double) + 1);
    e->inverse = tegu_arena_array(scratch, size, size * sizeof(double));
    e->square = TEGU_ARRAY(scratch, double, size);
    e->name = TEGU_ARRAY(scratch, int64_t, size);
    e->pivot = TEGU_ARRAY(scratch, double, size);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t r = 0; r < out; r++)
            e->columns[i * out + r] = w[r * n + i];
        e->square[i] =
            tegu_dot(out, e->columns + i * out, e->columns + i * out);
        e->name[i] = i;
    }
    memcpy(e->inverse, gram, size * size * sizeof(double));
    for (int64_t i = 0; i < n; i++)
        e->inverse[i * n + i] += damping(n, gram, damp);
    e->active = n;
    return tegu_invert(n, e->inverse);
}

/* The place of the cheapest input that may go. */
static int64_t cheapest(const elimination *e, double *cost)
{
    int64_t best = -1;

    for (int64_t i = 0; i < e->active; i++) {
        double c = e->square[i] / e->inverse[i * e->n + i];
        if (e->name[i] >= e->n - e->fixed)
            continue;
        if (best < 0 || c < *cost) {
            best = i;
            *cost = c;
        }
    }
    return best;
}

static void swap_places(elimination *e, int64_t a, int64_t b)
{
    int64_t n = e->n, out = e->out, name = e->name[a];
    double square = e->square[a];

    if (a == b)
        return;
    for (int64_t r = 0; r < out; r++) {
        double x = e->columns[a * out + r];
        e->columns[a * out + r] = e->columns[b * out + r];
        e->columns[b * out + r] = x;
    }
    for (int64_t i = 0; i < e->active; i++) {
        double x = e->inverse[a * n + i];
        e->inverse[a * n + i] = e->inverse[b * n + i];
        e->inverse[b * n + i] = x;
    }
    for (int64_t i = 0; i < e->active; i++) {
        double x = e->inverse[i * n + a];
        e->inverse[i * n + a] = e->inverse[i * n + b];
        e->inverse[i * n + b] = x;
    }
    e->name[a] = e->name[b];
    e->name[b] = name;
    e->square[a] = e->square[b];
    e->square[b] = square;
}

/* Removes the last active input: both updates of the file's head. */
static void remove_last(elimination *e)
{
    int64_t n = e->n, out = e->out, last = --e->active;
    const double *gone = e->columns + last * out;

    memcpy(e->pivot, e->inverse + last * n, (size_t)n * sizeof *e->pivot);
    for (int64_t i = 0; i < last; i++) {
        double factor = -e->pivot[i] / e->pivot[last];
        double *column = e->columns + i * out;
        tegu_add_scaled(out, factor, gone, column);
        e->square[i] = tegu_dot(out, column, column);
        tegu_add_scaled(last, factor, e->pivot, e->inverse + i * n);
    }
}

bool tegu_obs_order(int64_t out, int64_t n, const double *w, const double *gram,
                    double damp, int64_t fixed, tegu_arena *scratch,
                    int64_t *order, double *loss)
{
    tegu_mark mark = tegu_arena_mark(scratch);
    elimination e = {.out = out, .n = n, .fixed = fixed};
    bool ok = prepare(&e, w, gram, damp, scratch);
    double sum = 0;

    for (int64_t k = 0; ok && k < n - fixed; k++) {
        double cost = 0;
        int64_t place = cheapest(&e, &cost);
        order[k] = e.name[place];
        sum += cost;
        loss[k] = sum;
        swap_places(&e, place, e.active - 1);
        remove_last(&e);
    }
    tegu_arena_release(scratch, mark);
    return ok;
}

bool tegu_least_squares(int64_t out, int64_t n, const double *w,
                        const double *gram, double damp, const int64_t *kept,
                        int64_t count, tegu_arena *scratch, double *repaired)
{
    tegu_mark mark = tegu_arena_mark(scratch);
    size_t size = (size_t)count;
    double *among = tegu_arena_array(scratch, size, size * sizeof(double));
    double *across =
        tegu_arena_array(scratch, (size_t)n, size * sizeof(double));
    bool ok;

    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < count; k++)
            across[i * count + k] = gram[i * n + kept[k]];
    for (int64_t k = 0; k < count; k++) {
        double *row = across + kept[k] * count;
        row[k] += damping(n, gram, damp);
        memcpy(among + k * count, row, size * sizeof *among);
    }
    tegu_multiply(false, false, out, count, n, w, across, repaired);
    ok = tegu_solve_rows(count, among, out, repaired);
    tegu_arena_release(scratch, mark);
    return ok;
}

double tegu_cut_loss(int64_t out, int64_t n, const double *w,
                     const double *gram, const double *cut, const int64_t *kept,
                     int64_t count, tegu_arena *scratch)
{
    tegu_mark mark = tegu_arena_mark(scratch);
    size_t bytes = (size_t)out * sizeof(double);
    double *change = tegu_arena_array(scratch, (size_t)n, bytes);
    double *work = tegu_arena_array(scratch, (size_t)n, bytes);
    double all, lost;

    memcpy(change, w, bytes * (size_t)n);
    for (int64_t r = 0; r < out; r++)
        for (int64_t k = 0; k < count; k++)
            change[r * n + kept[k]] -= cut[r * count + k];
    lost = tegu_energy(out, n, change, gram, work);
    all = tegu_energy(out, n, w, gram, work);
    tegu_arena_release(scratch, mark);
    return all > 0 ? lost / all : 0;
}
