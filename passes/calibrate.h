/* SPDX-License-Identifier: Apache-2.0 */
/* calibrate.h - statistics of values inside a model, from calibration tokens.
 *
 * Takes a unit at model level, token sequences, and the values asked about;
 * runs the part of entry `step` that they need as compiled code, sequence by
 * sequence in fixed order, and streams the statistics: memory is bounded by
 * the statistics themselves, not by the number of tokens.  With a store
 * (stats.h) what an earlier run computed is taken from there instead.
 */
#ifndef TEGU_PASSES_CALIBRATE_H
#define TEGU_PASSES_CALIBRATE_H

#include "passes/pass.h"

/* Statistics of earlier runs: stats.h. */
typedef struct tegu_stats_store tegu_stats_store;

/* Calibration data and the means to run graphs; part of tegu_pass_env, NULL
 * there when neither --calib nor --stats was given. */
struct tegu_calibration {
    const int32_t *tokens; /* [sequences, length]; NULL: only what the store
                              has can be asked for */
    int64_t sequences, length;
    const char *source; /* for the report */
    /* Compiles a model-level unit (presets, codegen, JIT) and gives an
     * executor over it, NULL after reporting; destroyed by the caller.  The
     * command line provides the JIT, tests may provide the interpreter. */
    tegu_executor *(*compile)(void *data, tegu_unit *unit);
    void *data;
    /* Progress, may be NULL. */
    void (*progress)(void *data, const char *what, double done, double total);
    tegu_stats_store *store; /* NULL: none */
};

/* What to gather about one value of entry `step`: rows are its leading axes
 * flattened (tokens), columns its last axis. */
typedef struct tegu_site_request {
    tegu_value value;
    bool gram;             /* X^T X */
    bool normalised;       /* rows scaled to RMS 1 first (zero rows stay) */
    int64_t sample_stride; /* keep every n-th row; 0: none */
} tegu_site_request;

typedef struct tegu_site_stats {
    int64_t columns, rows; /* rows seen */
    double *gram;          /* [columns, columns], f64; NULL unless asked */
    double *sum, *sum_abs, *sum_square; /* [columns] */
    float *samples;                     /* [sample_rows, columns] */
    int64_t sample_rows;
} tegu_site_stats;

/* Gathers statistics for `count` values of entry `step` in one pass over the
 * tokens; at most `most_tokens` of them, rounded up to whole sequences (0:
 * all).  stats [count], memory from `arena`.  What the store has is not run
 * again, and what is run is kept there.  False after reporting (no entry step,
 * no calibration data, no tokens for what the store lacks).  Sets OpenBLAS to
 * one thread in the whole process, so that sums never depend on scheduling. */
bool tegu_calibrate(tegu_unit *unit, const tegu_calibration *calibration,
                    tegu_arena *arena, const tegu_site_request *requests,
                    uint32_t count, int64_t most_tokens,
                    tegu_site_stats *stats);

/* The data for the pass that is running; NULL after reporting that the pass
 * needs --calib. */
const tegu_calibration *tegu_pass_calibration(const tegu_unit *unit,
                                              const tegu_pass_env *env);
/* Whether there are tokens to run models over; false after reporting that
 * `what` ("judging predictions") needs --calib. */
bool tegu_calibration_has_tokens(const tegu_unit *unit,
                                 const tegu_calibration *calibration,
                                 const char *what);

#endif
