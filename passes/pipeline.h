/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.h - private to pass.c and pipeline.c: steps of a pipeline. */
#ifndef TEGU_PASSES_PIPELINE_H
#define TEGU_PASSES_PIPELINE_H

#include "passes/passes.h"

typedef struct tegu_step {
    const tegu_pass *pass;
    tegu_options options;
    bool preset; /* left out when the unit is already past its level */
    tegu_loc loc;
} tegu_step;

struct tegu_pipeline {
    tegu_arena *arena;
    TEGU_VEC(tegu_step) steps;
};

/* Step i of a preset, and why it stands there; NULL past the end. */
const char *tegu_preset_step(int level, uint32_t i, const char **why);
/* "fuse{loops=false}": the step with options that differ from defaults. */
void tegu_step_print(tegu_text *text, const tegu_step *step);

#endif
