/* SPDX-License-Identifier: Apache-2.0 */
/* judge.h - how far a changed model's predictions are from the original's. */
#ifndef TEGU_PASSES_JUDGE_H
#define TEGU_PASSES_JUDGE_H

#include "passes/calibrate.h"

struct tegu_hearing;

typedef struct tegu_judge {
    const tegu_unit *unit; /* the original; must stay as it is */
    const tegu_calibration *data;
    int64_t sequences, length; /* of the tokens judged */
    int64_t vocab;
    float *base;  /* [sequences * length, vocab]: original's probabilities */
    double *self; /* [sequences * length]: sum of p log p of each row */
    struct tegu_hearing *original; /* compiled; NULL when closed */
} tegu_judge;

typedef struct tegu_verdict {
    double divergence; /* mean KL(original || changed) per token, nats */
    double loss;       /* mean -log p(next token), nats */
} tegu_verdict;

/* A parameter with other numbers of the same shape. */
typedef struct tegu_change {
    const char *param;
    const double *data; /* what linears read: adapters on it are in it */
} tegu_change;

/* Runs the original over the last sequences of the calibration data, as many
 * as `most_tokens` and 64 MB of predictions allow, at least one, and keeps it
 * compiled.  Entry `step` must give logits [T, vocab].  False after reporting;
 * the judge is to be closed in any case. */
bool tegu_judge_open(tegu_judge *judge, const tegu_unit *unit,
                     const tegu_calibration *data, int64_t most_tokens,
                     tegu_arena *arena, tegu_verdict *original);
/* Gives the compiled original's memory back; only units can be judged then. */
void tegu_judge_close(tegu_judge *judge);
/* Judges a changed unit, which stays as it is; false after reporting. */
bool tegu_judge_unit(const tegu_judge *judge, const tegu_unit *unit,
                     tegu_verdict *verdict);
/* Judges the original with some parameters changed, in the compiled original
 * where it can read them again, which takes no compilation; else as a unit.
 * False after reporting. */
bool tegu_judge_changes(const tegu_judge *judge, const tegu_change *changes,
                        uint32_t count, tegu_arena *scratch,
                        tegu_verdict *verdict);

#endif
