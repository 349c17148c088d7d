/* SPDX-License-Identifier: Apache-2.0 */
/* judge.h - how far a changed model's predictions are from the original's. */
#ifndef TEGU_PASSES_JUDGE_H
#define TEGU_PASSES_JUDGE_H

#include "passes/calibrate.h"

typedef struct tegu_judge {
    const tegu_calibration *data;
    int64_t sequences, length; /* of the tokens judged */
    int64_t vocab;
    float *base; /* [sequences * length, vocab]: original's log
                    probabilities */
} tegu_judge;

typedef struct tegu_verdict {
    double divergence; /* mean KL(original || changed) per token, nats */
    double loss;       /* mean -log p(next token), nats */
} tegu_verdict;

/* Runs the original over the last sequences of the calibration data, as many
 * as `most_tokens` and 64 MB of predictions allow, at least one.  Entry `step`
 * must give logits [T, vocab].  False after reporting. */
bool tegu_judge_open(tegu_judge *judge, const tegu_unit *unit,
                     const tegu_calibration *data, int64_t most_tokens,
                     tegu_arena *arena, tegu_verdict *original);
/* Judges a changed unit, which stays as it is; false after reporting. */
bool tegu_judge_unit(const tegu_judge *judge, const tegu_unit *unit,
                     tegu_verdict *verdict);

#endif
