/* SPDX-License-Identifier: Apache-2.0 */
/* provider.c - what several providers need: selection and QR. */
#include "passes/provider.h"

#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct scored {
    double score;
    int64_t index;
} scored;

static int by_score(const void *x, const void *y)
{
    const scored *a = x, *b = y;
    if (a->score != b->score)
        return a->score < b->score ? 1 : -1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int by_index(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return a < b ? -1 : a > b;
}

void tegu_select_largest(tegu_arena *scratch, const double *scores, int64_t n,
                         int64_t width, int64_t *chosen)
{
    tegu_mark mark = tegu_arena_mark(scratch);
    scored *all = TEGU_ARRAY(scratch, scored, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        all[i] = (scored){scores[i], i};
    qsort(all, (size_t)n, sizeof *all, by_score);
    for (int64_t i = 0; i < width; i++)
        chosen[i] = all[i].index;
    qsort(chosen, (size_t)width, sizeof *chosen, by_index);
    tegu_arena_release(scratch, mark);
}

bool tegu_orthonormalise(tegu_unit *unit, tegu_arena *scratch, double *a,
                         int64_t rows, int64_t columns, int64_t *rank)
{
    tegu_mark mark = tegu_arena_mark(scratch);
    double *tau = TEGU_ARRAY(scratch, double, (size_t)columns);
    lapack_int m = (lapack_int)rows, n = (lapack_int)columns;
    lapack_int info = LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, m, n, a, n, tau);
    double most = 0;

    for (int64_t j = 0; j < columns; j++)
        most = fmax(most, fabs(a[j * columns + j]));
    *rank = 0;
    for (int64_t j = 0; j < columns; j++)
        *rank += fabs(a[j * columns + j]) > 1e-12 * most;
    if (!info)
        info = LAPACKE_dorgqr(LAPACK_ROW_MAJOR, m, n, n, a, n, tau);
    tegu_arena_release(scratch, mark);
    return !info || tegu_error(unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                               "the QR factorisation failed (LAPACK info %d)",
                               (int)info);
}
