/* SPDX-License-Identifier: Apache-2.0 */
/* measure.h - timing calls of a language model. */
#ifndef TEGU_CLI_MEASURE_H
#define TEGU_CLI_MEASURE_H

#include "frontend/cli/model.h"

/* Samples of one figure, in seconds per call or run. */
typedef struct tegu_samples {
    double *seconds;
    uint32_t count;
} tegu_samples;

typedef struct tegu_summary {
    double mean, deviation, median, least, most;
    double mad; /* median of the distances from the median */
} tegu_summary;

tegu_summary tegu_summarise(tegu_arena *arena, const tegu_samples *samples);

/* What a timed run works with; buffers live in the cli's arena. */
typedef struct tegu_workload {
    const tegu_lm *lm;
    int32_t *tokens; /* pseudo-random, fixed */
    int64_t prompt, generate;
    float *logits, *rows;
} tegu_workload;
/* Shortens prompt and generate to what the model holds. */
void tegu_workload_init(tegu_cli *cli, const tegu_lm *lm, int64_t prompt,
                        int64_t generate, tegu_workload *work);
/* Seconds to read the prompt from an empty state; negative on failure. */
double tegu_time_prompt(tegu_workload *work);
/* Seconds to generate `generate` tokens one by one from `position` tokens
 * (read before the clock starts). */
double tegu_time_generate(tegu_workload *work, int64_t position);

#endif
