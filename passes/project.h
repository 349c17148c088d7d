/* SPDX-License-Identifier: Apache-2.0 */
/* project.h - private to passes/: the change of basis of a named axis.
 *
 * Rotating, slicing (SliceGPT), pruning and DOTResize are one transformation:
 * the stream x at a site becomes z = x Q with Q [extent, width] of orthonormal
 * columns, absorbed by what writes and reads it.  They differ in where Q comes
 * from: a provider.
 */
#ifndef TEGU_PASSES_PROJECT_H
#define TEGU_PASSES_PROJECT_H

#include "passes/axis.h"
#include "passes/calibrate.h"
#include "passes/replace.h"

/* A basis that a site's stream is held in. */
typedef struct tegu_basis {
    uint32_t id; /* equal ids: equal bases */
    int64_t width;
    const double *q; /* [extent, width]; NULL: the original */
    tegu_dim dim;    /* what the stream's last dimension becomes */
} tegu_basis;

/* --- weights (project_weight.c) --- */

/* A factor on one side of a weight; data NULL: none. */
typedef struct tegu_factor {
    const double *data; /* [rows, columns] */
    int64_t rows, columns;
    tegu_dim dim; /* of the projected side */
    uint64_t key; /* equal keys: equal data */
} tegu_factor;

/* Projected weights made so far: each once, however many entries and trial
 * graphs ask for it. */
typedef struct tegu_weight {
    const char *key;
    const char *name;      /* while graphs are made: no other weight's */
    const char *wanted;    /* where it is free at the end */
    const char *final;     /* NULL: no entry needs the weight */
    const char *base;      /* the parameter it was made from; NULL: a new one */
    const tegu_type *type; /* of `arena`'s unit; dims are what counts */
    const float *data;
    uint32_t adapter; /* whose it is (unit.h) */
} tegu_weight;

typedef struct tegu_weights {
    tegu_arena *arena; /* of the data: as long as the model */
    tegu_arena *scratch;
    TEGU_VEC(tegu_weight) made;
} tegu_weights;

/* left^T W right as a value of `into`; W is the constant v of `from`, rank 2
 * ([out, in]; a table: [rows, extent], left none) or, with left none, of any
 * rank with its last dimension projected.  Adapters stay adapters: lora's
 * factors are projected, singlora becomes lora; dora and computed weights are
 * evaluated.  0 after reporting. */
tegu_value tegu_project_weight(tegu_weights *weights, const tegu_graph *from,
                               tegu_graph *into, tegu_value v,
                               const tegu_factor *left,
                               const tegu_factor *right);
/* left^T (b + W shift) as a new vector; bias 0: none; shift [in], may be
 * NULL.  0 after reporting. */
tegu_value tegu_project_bias(tegu_weights *weights, const tegu_graph *from,
                             tegu_graph *into, const tegu_node *linear,
                             const tegu_factor *left, const double *shift);
/* Constant v of any rank with two of its axes projected: axes[i] by
 * factors[i] (data NULL: it stays).  With `shift` [axes[1]'s extent] the sum of
 * v times it over axes[1], which goes, instead; named like a bias.  0 after
 * reporting. */
tegu_value tegu_project_stack(tegu_weights *weights, const tegu_graph *from,
                              tegu_graph *into, tegu_value v, const int axes[2],
                              const tegu_factor factors[2],
                              const double *shift);
/* A new matrix [left.columns, right.columns] = left^T right, and a vector
 * left^T shift, named after `name`. */
tegu_value tegu_project_skip(tegu_weights *weights, tegu_graph *into,
                             tegu_loc loc, const char *name,
                             const tegu_factor *left, const tegu_factor *right);
tegu_value tegu_project_shift(tegu_weights *weights, tegu_graph *into,
                              tegu_loc loc, const char *name,
                              const tegu_factor *left, const double *shift);
/* Gives made weights the names of the parameters that they replace, where no
 * entry needs those any more, and the others the names they want.  False
 * after reporting. */
bool tegu_weights_settle(tegu_weights *weights, tegu_unit *unit);
uint64_t tegu_numbers_key(const double *data, int64_t count);

/* --- graphs (project_graph.c) --- */

/* Writes `flow`'s graph (of a unit whose values are numbered as in `from`)
 * with every site in its basis.  `bases` by site; [0] is the original. */
typedef struct tegu_projection {
    const tegu_axis_flow *flow;
    const tegu_basis *bases;
    tegu_weights *weights;
} tegu_projection;
/* `from` is flow's graph or its clone in another unit; the new graph lives in
 * from's unit.  `wanted` [count]: only what these carried values need, which
 * become the results, in the original basis; count 0: everything.  NULL after
 * reporting. */
tegu_graph *tegu_project_graph(tegu_projection *p, const tegu_graph *from,
                               const tegu_value *wanted, uint32_t count);

/* --- errors (project_measure.c) --- */

/* Runs entry `step` of `unit`, a clone that it may change, and then `projected`
 * in its place, whose results are the streams at `values` in the original
 * basis, over at most `most_tokens` of the calibration tokens.  errors[i]: |x'
 * - x| / |x| of the stream at values[i], without its mean where `centred`.
 * False after reporting. */
bool tegu_project_measure(tegu_unit *unit, tegu_entry *step,
                          tegu_graph *projected, const tegu_value *values,
                          uint32_t count, bool centred,
                          const tegu_calibration *data, int64_t most_tokens,
                          double *errors);

/* --- the transformation (project.c) --- */

struct tegu_provider;

typedef struct tegu_reduction {
    const char *axis;
    double keep;       /* of the axis' extent, in (0, 1] */
    const char *basis; /* "shared" or "per-site" */
    int64_t round;     /* the width becomes a multiple of this; 1: any;
                          0: of the target's vectors */
    const struct tegu_provider *provider;
    uint64_t seed;
    double eps;
    bool manhattan;
    bool measure; /* report the streams' errors */
} tegu_reduction;

/* Projects the axis in all entries; FAILED after reporting.  Sites that entry
 * `step` does not have keep the original basis. */
tegu_outcome tegu_project_axis(tegu_unit *unit, tegu_pass_env *env,
                               const tegu_reduction *how);

#endif
