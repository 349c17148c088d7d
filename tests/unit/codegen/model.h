/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of whole models share: IR text to a compiled model, called
 * beside the interpreter.
 */
#ifndef TEGU_TESTS_CODEGEN_MODEL_H
#define TEGU_TESTS_CODEGEN_MODEL_H

#include "codegen/codegen.h"
#include "tests/numeric/numeric.h"

/* A model from IR text at any level, its symbols all `symbol` and its inputs
 * random: floats normal, integers small, every 7th one far outside any
 * table. */
numeric_model model_open(const char *text, int64_t symbol);
/* Runs passes: "" for none, else a pipeline. */
void model_run_passes(numeric_model *model, const char *pipeline);
/* Compiles for a target ("" or NULL: this machine); the test fails with the
 * messages when that does. */
tegu_artifact *model_compile(numeric_model *model, const char *target,
                             int level, bool embed);

/* Calls parts one after the other, the last one first; counts its calls. */
typedef struct model_pool {
    int64_t calls;
} model_pool;
void model_parallel_for(void *pool, tegu_kernel_task task, void *data,
                        int64_t parts);

/* Compiles the unit here with so many threads and compares `calls` calls with
 * the interpreter. */
void model_check(const char *text, const char *pipeline, int64_t symbol,
                 int64_t threads, uint32_t calls, model_pool *pool);

#endif
