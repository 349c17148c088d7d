/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a filled emitter to bytes: verify, optimise, write.  Same module, same
 * target, same bytes, whatever the machine or the thread.
 *
 * Functions return false with a message.  After a failure of
 * tegu_object_write the emitter can only be destroyed.  Thread-safe for
 * distinct emitters.
 */
#ifndef TEGU_CODEGEN_OBJECT_H
#define TEGU_CODEGEN_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

#include <llvm-c/TargetMachine.h>

#include "codegen/failure.h"
#include "codegen/target.h"

struct tegu_emitter;

typedef enum tegu_object_kind {
    TEGU_OBJECT_ELF, /* relocatable object */
    TEGU_OBJECT_ASSEMBLY,
    TEGU_OBJECT_LLVM, /* textual IR */
    TEGU_OBJECT_BITCODE
} tegu_object_kind;

/* What LLVM's passes do to a module. */
typedef enum tegu_effort {
    TEGU_EFFORT_NONE,  /* straight to the code generator */
    TEGU_EFFORT_LIGHT, /* tidying, for template kernels */
    TEGU_EFFORT_O1,
    TEGU_EFFORT_O2 /* with the vectorisers, for loop kernels */
} tegu_effort;

typedef struct tegu_bytes {
    char *data; /* freed by tegu_bytes_free */
    size_t size;
} tegu_bytes;

void tegu_bytes_free(tegu_bytes *bytes);

/* Registers LLVM's backends and our fatal-error handler, once per process.
 * Called by whatever here needs it; thread-safe. */
void tegu_object_initialise(void);

/* A machine for the target: PIC, small code model, all of LLVM's code
 * generator optimisations.  NULL with a message; the caller disposes of it.
 */
LLVMTargetMachineRef tegu_object_machine(const tegu_target *target,
                                         tegu_failure *failure);

/* Verifies, then runs the passes of one effort over the whole module. */
bool tegu_object_optimise(struct tegu_emitter *e, tegu_effort effort,
                          tegu_failure *failure);

/* Moves all of `from`, made beside `into`, into it; `from` keeps an empty
 * shell that can only be destroyed. */
bool tegu_object_join(struct tegu_emitter *into, struct tegu_emitter *from,
                      tegu_failure *failure);

/* Writes the module, which stays as it is, so that several kinds can be
 * written.  `out` is set only on success. */
bool tegu_object_write(struct tegu_emitter *e, tegu_object_kind kind,
                       tegu_bytes *out, tegu_failure *failure);

#endif
