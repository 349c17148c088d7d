/* SPDX-License-Identifier: Apache-2.0 */
/* linalg.c - dense linear algebra over LAPACKE and CBLAS.
 *
 * Symmetric matrices read the same in row and column order, so that LAPACK's
 * column order is used without copies: its eigenvectors, columns there, are
 * our rows.
 */
#include "passes/linalg.h"

#include <assert.h>
#include <cblas.h>
#include <lapacke.h>
#include <limits.h>

static int size_of(int64_t n)
{
    assert(n >= 0 && n <= INT_MAX);
    return (int)n;
}

static int stride_of(int64_t n)
{
    return n > 0 ? size_of(n) : 1;
}

void tegu_multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n,
                   int64_t k, const double *a, const double *b, double *c)
{
    cblas_dgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                transpose_b ? CblasTrans : CblasNoTrans, size_of(m), size_of(n),
                size_of(k), 1, a, stride_of(transpose_a ? m : k), b,
                stride_of(transpose_b ? k : n), 0, c, stride_of(n));
}

static void swap_rows(int64_t n, double *x, double *y)
{
    cblas_dswap(size_of(n), x, 1, y, 1);
}

bool tegu_eigen(int64_t n, double *a, double *values)
{
    if (LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'U', size_of(n), a, stride_of(n),
                       values) != 0)
        return false;
    for (int64_t i = 0, k = n - 1; i < k; i++, k--) {
        double value = values[i];
        values[i] = values[k];
        values[k] = value;
        swap_rows(n, a + i * n, a + k * n);
    }
    return true;
}

bool tegu_invert(int64_t n, double *a)
{
    int size = size_of(n), stride = stride_of(n);

    if (LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'U', size, a, stride) != 0 ||
        LAPACKE_dpotri(LAPACK_COL_MAJOR, 'U', size, a, stride) != 0)
        return false;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < i; k++)
            a[k * n + i] = a[i * n + k];
    return true;
}

bool tegu_solve_rows(int64_t n, double *a, int64_t m, double *b)
{
    return LAPACKE_dposv(LAPACK_COL_MAJOR, 'U', size_of(n), size_of(m), a,
                         stride_of(n), b, stride_of(n)) == 0;
}

double tegu_dot(int64_t n, const double *x, const double *y)
{
    return cblas_ddot(size_of(n), x, 1, y, 1);
}

void tegu_add_scaled(int64_t n, double factor, const double *x, double *y)
{
    cblas_daxpy(size_of(n), factor, x, 1, y, 1);
}

double tegu_energy(int64_t m, int64_t n, const double *w, const double *g,
                   double *work)
{
    double sum = 0;

    tegu_multiply(false, false, m, n, n, w, g, work);
    for (int64_t i = 0; i < m; i++)
        sum += tegu_dot(n, work + i * n, w + i * n);
    return sum;
}
