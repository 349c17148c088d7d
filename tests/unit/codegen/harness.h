/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests and the bench of the generators share: emit into a module,
 * run it here, and the f64 arithmetic to compare with.
 */
#ifndef TEGU_TESTS_HARNESS_H
#define TEGU_TESTS_HARNESS_H

#include <stdint.h>

#include "codegen/emit.h"
#include "codegen/jit.h"
#include "codegen/object.h"

/* A kernel as the generated code exports it. */
typedef void kernel(void *args, int64_t part, int64_t parts);

typedef void emit_function(void *data, tegu_emitter *e);

/* The target of a name; the process ends with the message if unknown. */
tegu_target target_named(const char *name);

/* Emits through the callback, runs the passes, writes one kind of output. */
tegu_bytes build(const tegu_target *target, tegu_effort effort,
                 emit_function *emit, void *data, tegu_object_kind kind);

/* The same, loaded; destroyed by the caller. */
tegu_code *load(const tegu_target *target, tegu_effort effort,
                emit_function *emit, void *data);
kernel *find(tegu_code *code, const char *name);

/* Numbers in [-1, 1), the same on every run. */
typedef struct noise {
    uint64_t state;
} noise;
float noise_next(noise *n);

/* Zeroed memory aligned to 64 bytes, freed by free(). */
float *floats(size_t count);

#endif
