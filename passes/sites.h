/* SPDX-License-Identifier: Apache-2.0 */
/* sites.h - the places of a model that can be made smaller by a choice of
 * size, each with what it loses at every size.
 */
#ifndef TEGU_PASSES_SITES_H
#define TEGU_PASSES_SITES_H

#include "passes/factor.h"
#include "passes/intermediate.h"
#include "passes/judge.h"

typedef struct tegu_site {
    const char *weight; /* the reader's, or the matrix's parameter */
    bool is_hidden;     /* a hidden width, else a matrix's rank */
    int64_t full;       /* sizes are 1..most, or full: untouched */
    int64_t most;
    int64_t round;        /* sizes below full are multiples of this */
    double *lost;         /* [full + 1]: relative output error at each size */
    double unit_elements; /* weights per size */
    double full_elements; /* weights when untouched */
    /* the part of each that shrinks with the residual axis */
    double unit_carried, full_carried;
    double sensitivity; /* divergence per relative error */
    /* what it takes to reduce it */
    const tegu_region *region;
    const tegu_matrix *matrix;
    int64_t *order;        /* [full]: elements in the order they go */
    double *triangle;      /* rows of the Gram matrix up to the diagonal */
    tegu_site_stats stats; /* without it */
    tegu_factors factors;
} tegu_site;

typedef struct tegu_sites {
    TEGU_VEC(tegu_site) list;
    tegu_unit *unit;
    const tegu_calibration *data; /* that they were measured with */
    const char *axis;             /* of the hidden layers */
    double residual; /* the part of the residual axis that is left: 1 */
    tegu_regions regions;
    tegu_matrices matrices;
} tegu_sites;

/* Finds the hidden layers on `axis` and the matrices `targets` ("": none) of
 * the unit; `residual` names the axis that weights may lose besides.  Widths
 * become multiples of `round`, ranks of `round` where they are at least that.
 * False after reporting.  Everything lives in `arena`; the unit must stay as it
 * is until the sites are applied. */
bool tegu_sites_find(tegu_sites *sites, tegu_unit *unit, const char *axis,
                     const char *targets, const char *residual, int64_t round,
                     tegu_arena *arena);
/* Measures what every size loses, in as few runs over the calibration data as
 * 512 MB of statistics allow; keeps half a Gram matrix per hidden layer and
 * the subspaces per matrix.  False after reporting. */
bool tegu_sites_measure(tegu_sites *sites, const tegu_calibration *data,
                        tegu_arena *arena);
/* Weights of a site at a size, `residual` of the residual axis left. */
double tegu_site_elements(const tegu_site *site, double residual, int64_t size);
/* Weights of all sites at sizes [count]; NULL: untouched. */
double tegu_sites_elements(const tegu_sites *sites, const int64_t *sizes);
/* Sizes [count] of least sum of sensitivity times relative error with at most
 * `elements` weights in all sites together, by Lagrange's multiplier (Shoham
 * and Gersho 1988); the smallest sizes when even they are more. */
void tegu_sites_allocate(const tegu_sites *sites, double elements,
                         int64_t *sizes);
/* The site's weight as if it were reduced to a size, in its full shape: dropped
 * columns are zero, factors multiplied.  changes [2] in `scratch`; *count of
 * them; false after reporting. */
bool tegu_site_change(const tegu_site *site, int64_t size, tegu_arena *scratch,
                      tegu_change *changes, uint32_t *count);
/* Reduces the measured sites that are below full in `unit`, sites->unit or a
 * clone, whose arena is not `scratch`; false after reporting. */
bool tegu_sites_apply(const tegu_sites *sites, tegu_unit *unit,
                      const int64_t *sizes, tegu_arena *scratch);

#endif
