/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs objects in this process: the very bytes that `compile` would write go
 * to LLVM's LLJIT.  Undefined symbols are found among the functions of libm
 * (jit.c lists them) and nowhere else.
 */
#ifndef TEGU_CODEGEN_JIT_H
#define TEGU_CODEGEN_JIT_H

#include <stdbool.h>
#include <stddef.h>

#include "codegen/failure.h"

typedef struct tegu_code tegu_code;
typedef void tegu_code_function(void); /* cast to the true type */

/* NULL with a message on failure.  One thread at a time per tegu_code; the code
 * that it gives out is as thread-safe as the code says. */
tegu_code *tegu_code_create(tegu_failure *failure);
/* Unmaps all code: no function of it may be running. */
void tegu_code_destroy(tegu_code *code);

/* Adds an object for this machine; the bytes are copied. */
bool tegu_code_add(tegu_code *code, const void *object, size_t size,
                   tegu_failure *failure);

/* A function, or other symbol, by its name; links on first use. */
tegu_code_function *tegu_code_find(tegu_code *code, const char *name,
                                   tegu_failure *failure);

#endif
