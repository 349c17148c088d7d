/* SPDX-License-Identifier: Apache-2.0 */
/* linalg.h - dense linear algebra of passes: f64, row-major, LAPACKE inside.
 *
 * Sizes are below 2^31 (asserted).  Nothing allocates but LAPACK itself; a
 * false return means that LAPACK found the matrix singular or did not
 * converge, and nothing is reported.
 */
#ifndef TEGU_PASSES_LINALG_H
#define TEGU_PASSES_LINALG_H

#include <stdbool.h>
#include <stdint.h>

/* c [m, n] = a b, a [m, k] (or its transpose [k, m]), b [k, n] (or [n, k]). */
void tegu_multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n,
                   int64_t k, const double *a, const double *b, double *c);
/* Eigenvalues of symmetric a [n, n], largest first; row j of a becomes the
 * j-th eigenvector (orthonormal). */
bool tegu_eigen(int64_t n, double *a, double *values);
/* The inverse of symmetric positive definite a [n, n], in place. */
bool tegu_invert(int64_t n, double *a);
/* b [m, n] becomes b a^-1; a [n, n] symmetric positive definite, destroyed. */
bool tegu_solve_rows(int64_t n, double *a, int64_t m, double *b);
/* sum of x_i y_i */
double tegu_dot(int64_t n, const double *x, const double *y);
/* y += factor x */
void tegu_add_scaled(int64_t n, double factor, const double *x, double *y);
/* tr(w g w^T), w [m, n], g [n, n] symmetric; work [m, n]. */
double tegu_energy(int64_t m, int64_t n, const double *w, const double *g,
                   double *work);

#endif
