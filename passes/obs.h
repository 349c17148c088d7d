/* SPDX-License-Identifier: Apache-2.0 */
/* obs.h - which inputs of a linear map to keep, and how to repair the map.
 *
 * All matrices f64 row-major; gram [n, n] = X^T X of the map's inputs.
 */
#ifndef TEGU_PASSES_OBS_H
#define TEGU_PASSES_OBS_H

#include "ir/base/arena.h"
#include <stdbool.h>
#include <stdint.h>

/* Backward elimination of inputs of w [out, n] by least loss of the output.
 * order [n]: input removed k-th; loss [n]: tr(dW G dW^T) after k + 1 removals
 * with the best repair, G = gram plus `damp` times its mean diagonal.  The
 * last `fixed` inputs are never removed, so that order and loss have n - fixed
 * entries.  False when the damped Gram matrix is not positive definite. */
bool tegu_obs_order(int64_t out, int64_t n, const double *w, const double *gram,
                    double damp, int64_t fixed, tegu_arena *scratch,
                    int64_t *order, double *loss);
/* The map over inputs kept [count] whose output is nearest to w's over the
 * damped Gram matrix G, as above: w G[:, kept] G[kept, kept]^-1, into repaired
 * [out, count].  Where gram says nothing, columns stay as they are. */
bool tegu_least_squares(int64_t out, int64_t n, const double *w,
                        const double *gram, double damp, const int64_t *kept,
                        int64_t count, tegu_arena *scratch, double *repaired);
/* tr(dW G dW^T) / tr(W G W^T), dW = w less `cut` [out, count] at inputs
 * `kept`; 0 when both are. */
double tegu_cut_loss(int64_t out, int64_t n, const double *w,
                     const double *gram, const double *cut, const int64_t *kept,
                     int64_t count, tegu_arena *scratch);

#endif
