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

/* One entry of a kernel's argument array: memory, or a number. */
typedef struct slot {
    void *data; /* NULL: `value` is the argument */
    size_t bytes;
    int64_t value;
} slot;
#define SLOTS 16

/* Something that can run a kernel: here, or under qemu. */
typedef struct runner {
    tegu_target target;
    tegu_code *code;    /* here */
    char directory[64]; /* qemu: holds one program per kernel */
} runner;

/* False, with a line of explanation, if the target does not run here and the
 * cross compiler or qemu is missing. */
bool runner_can(const char *target);
/* Emits, and loads or links; kernels are the names to be called. */
void runner_open(runner *r, const char *target, tegu_effort effort,
                 emit_function *emit, void *data, const char *const *kernels,
                 size_t count);
/* Calls the kernel for every part in turn; memory is updated. */
void runner_call(runner *r, const char *name, slot *slots, size_t count,
                 int64_t parts);
void runner_close(runner *r);

/* Registers that the innermost loops of some functions keep on the stack, by
 * the comments in LLVM's assembly.  The functions are those whose label
 * starts with `label` ("\nNAME"); `loops` counts their innermost loops. */
size_t loop_spills(const char *assembly, const char *label, size_t *loops);

/* Numbers in [-1, 1), the same on every run. */
typedef struct noise {
    uint64_t state;
} noise;
float noise_next(noise *n);

/* Zeroed memory aligned to 64 bytes, freed by free(). */
float *floats(size_t count);

#endif
