/* SPDX-License-Identifier: Apache-2.0 */
/* provider.h - private to passes/: where a subspace comes from.
 *
 * A provider sees the statistics of a site's stream (or of all sites together)
 * and gives a basis of the subspace to keep.
 */
#ifndef TEGU_PASSES_PROVIDER_H
#define TEGU_PASSES_PROVIDER_H

#include "passes/calibrate.h"

typedef struct tegu_subspace {
    tegu_arena *scratch;
    tegu_unit *unit; /* for messages */
    int64_t extent, width;
    const tegu_site_stats *stats; /* NULL where the provider needs none */
    uint64_t seed;
    double eps;     /* ot: times the largest cost */
    bool manhattan; /* ot: L1 cost, from samples; else squared L2 */
    double *q;      /* out [extent, width], orthonormal columns */
    /* ot's report */
    int iterations;
    double marginal_error, entropy;
    int64_t rank; /* of the plan: |R_jj| > 1e-12 max |R| */
} tegu_subspace;

typedef struct tegu_provider {
    const char *name;
    bool needs_stats;               /* else no calibration is run */
    bool transports;                /* fills ot's report */
    bool (*find)(tegu_subspace *s); /* false after reporting */
} tegu_provider;

extern const tegu_provider tegu_provider_ot, tegu_provider_pca,
    tegu_provider_select, tegu_provider_random;

/* The `width` largest of scores[n], ascending indices; ties: the first. */
void tegu_select_largest(tegu_arena *scratch, const double *scores, int64_t n,
                         int64_t width, int64_t *chosen);
/* Replaces a [rows, columns], columns <= rows, by the Q of its thin QR
 * factorisation (Householder, LAPACKE), and gives its numerical rank.  False
 * after reporting. */
bool tegu_orthonormalise(tegu_unit *unit, tegu_arena *scratch, double *a,
                         int64_t rows, int64_t columns, int64_t *rank);

#endif
