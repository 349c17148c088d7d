/* SPDX-License-Identifier: Apache-2.0 */
/* sinkhorn.h - private to passes/: entropic optimal transport.
 *
 *   min <T, C> + eps sum T (log T - 1),  T 1 = a = 1/n,  T^T 1 = b = 1/m
 */
#ifndef TEGU_PASSES_SINKHORN_H
#define TEGU_PASSES_SINKHORN_H

#include "ir/base/arena.h"
#include <stdbool.h>

typedef struct tegu_sinkhorn {
    int iterations;
    double error;   /* sum |T 1 - a| + sum |T^T 1 - b| */
    double entropy; /* -sum T log T over log(n m): 1 is a flat plan */
    bool converged; /* error < tolerance */
} tegu_sinkhorn;

/* Fills plan [n, m] for cost [n, m] and eps > 0 (in the cost's unit), in at
 * most `most` iterations.  Working memory in `scratch`. */
tegu_sinkhorn tegu_sinkhorn_plan(tegu_arena *scratch, int64_t n, int64_t m,
                                 const double *cost, double eps, int most,
                                 double tolerance, double *plan);

#endif
