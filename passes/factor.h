/* SPDX-License-Identifier: Apache-2.0 */
/* factor.h - weights of linears as products of two thin ones.
 *
 * W [out, in] becomes U (U^T W): U's columns are eigenvectors of W G^p W^T, G
 * the Gram matrix of what the linear reads.
 */
#ifndef TEGU_PASSES_FACTOR_H
#define TEGU_PASSES_FACTOR_H

#include "passes/calibrate.h"
#include "passes/replace.h"

/* A linear with a constant weight, in entry `step`. */
typedef struct tegu_matrix {
    const tegu_graph *graph;
    tegu_value linear;
    const char *weight; /* the parameter, interned */
    int64_t out, in;
    tegu_loc loc;
} tegu_matrix;
typedef TEGU_VEC(tegu_matrix) tegu_matrices;

/* The linears of entry `step` whose parameter's name matches the POSIX
 * extended regular expression `targets`; "attention": those that feed an
 * attention or read its result.  Each parameter once.  False after reporting:
 * a wrong expression, nothing found, a parameter that is also used otherwise.
 */
bool tegu_find_matrices(tegu_unit *unit, const char *targets, tegu_arena *arena,
                        tegu_matrices *matrices);

/* What matrices read: a Gram matrix [n, n] and its powers, made when they are
 * asked for; matrices that read one value share it. */
typedef struct tegu_powers {
    int64_t n;
    const double *gram;
    double power;
    tegu_arena *arena;    /* of the powers */
    double *whole, *half; /* G^p and G^(p/2); NULL: not yet */
} tegu_powers;

/* A matrix's best subspaces of every rank that saves elements. */
typedef struct tegu_factors {
    const tegu_matrix *matrix;
    int64_t full; /* min(out, in) */
    int64_t most; /* the break-even rank */
    float *basis; /* [most, out]: row j is u_j, as a model stores it */
    double *lost; /* [full + 1]: tr(dW G dW^T) / tr(W G W^T) at rank k */
} tegu_factors;

/* False after reporting.  `lost` is by the whole Gram matrix, whatever the
 * power, so that it is what the outputs lose.  The factors' memory is from
 * `arena`, which must not be that of the powers. */
bool tegu_factor_weight(const tegu_matrix *matrix, tegu_powers *powers,
                        tegu_arena *arena, tegu_factors *factors);
/* U_k U_k^T W [out, in] at rank k <= most, in `arena`; NULL after reporting. */
double *tegu_factor_product(const tegu_factors *factors, int64_t rank,
                            tegu_arena *arena);
/* The largest rank at which the factors have fewer elements than the weight;
 * 0: none. */
int64_t tegu_break_even(int64_t out, int64_t in);
/* floor(out in keep / (out + in)), at least 1, at most the above. */
int64_t tegu_kept_rank(int64_t out, int64_t in, double keep);
/* Adds the factors' parameters to the unit, NAME.u and NAME.v; the graphs wait
 * for tegu_replace_weights with *replacement.  The matrix's graph must still
 * have its weight. */
bool tegu_factor_store(tegu_unit *unit, const tegu_factors *factors,
                       int64_t rank, tegu_arena *scratch,
                       tegu_replacement *replacement);

#endif
