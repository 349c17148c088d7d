/* SPDX-License-Identifier: Apache-2.0 */
/* sites.h - the places of a model that can be made smaller by a choice of
 * size, each with what it loses at every size.
 */
#ifndef TEGU_PASSES_SITES_H
#define TEGU_PASSES_SITES_H

#include "passes/factor.h"
#include "passes/intermediate.h"

typedef struct tegu_site {
    const char *weight; /* the reader's, or the matrix's parameter */
    bool is_hidden;     /* a hidden width, else a matrix's rank */
    int64_t full;       /* sizes are 1..most, or full: untouched */
    int64_t most;
    int64_t round;        /* sizes below full are multiples of this */
    double *lost;         /* [full + 1]: relative output error at each size */
    double unit_elements; /* weights per size */
    double full_elements; /* weights when untouched */
    double sensitivity;   /* divergence per relative error */
    /* what it takes to reduce it */
    const tegu_hidden *hidden;
    const int64_t *order;
    const tegu_factors *factors;
} tegu_site;

typedef struct tegu_sites {
    TEGU_VEC(tegu_site) list;
    const char *axis; /* of the hidden layers */
} tegu_sites;

/* Finds the hidden layers on `axis` and the matrices `targets` ("": none) of
 * the unit, and measures them in one run over the calibration data.  False
 * after reporting.  Everything lives in `arena`; the unit's graphs must stay
 * until the sites are applied. */
bool tegu_sites_open(tegu_sites *sites, tegu_unit *unit,
                     const tegu_calibration *data, const char *axis,
                     const char *targets, int64_t round, tegu_arena *arena);
/* Sizes [count] of least sum of sensitivity times relative error with at most
 * `elements` weights in all sites together, by Lagrange's multiplier (Shoham
 * and Gersho 1988); the smallest sizes when even they are more. */
void tegu_sites_allocate(const tegu_sites *sites, double elements,
                         int64_t *sizes);
/* Reduces the sites that are below full; false after reporting. */
bool tegu_sites_apply(const tegu_sites *sites, tegu_unit *unit,
                      const int64_t *sizes, tegu_arena *scratch);

#endif
