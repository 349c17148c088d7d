/* SPDX-License-Identifier: Apache-2.0 */
/* fold_rows.h - private to passes/: the arithmetic of fold-adapters. */
#ifndef TEGU_PASSES_FOLD_ROWS_H
#define TEGU_PASSES_FOLD_ROWS_H

#include "ir/base/arena.h"
#include "ir/ops.h"

/* One adapter on a weight [rows, columns], in f64. */
typedef struct tegu_layer {
    tegu_op op; /* LORA, SINGLORA, DORA */
    double scale;
    int64_t rank;
    const double *a; /* [rank][columns] */
    const double *b; /* [rows][rank] */
    const double *m; /* DORA: [rows] */
} tegu_layer;

/* What folding did to one weight. */
typedef struct tegu_fold_measure {
    double change; /* ||W' - W|| / ||W||, Frobenius */
    double error;  /* on a sample input: max |folded - unfolded| / bound, the
                      bound being half a unit in the last place per weight */
    bool finite;   /* every folded weight is a finite f32 */
} tegu_fold_measure;

/* Folds `count` layers, the first innermost, into `weight` [rows][columns]:
 * each row is summed in f64 and rounded once. */
void tegu_fold_rows(tegu_arena *scratch, float *weight, int64_t rows,
                    int64_t columns, const tegu_layer *layers, uint32_t count,
                    tegu_fold_measure *measure);

#endif
