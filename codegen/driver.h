/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of the ABI (docs/abi.md) in LLVM IR, written from a plan:
 * entries and their workspace sizes (driver.c), and what handles context and
 * state (abi.c).
 */
#ifndef TEGU_CODEGEN_DRIVER_H
#define TEGU_CODEGEN_DRIVER_H

#include "codegen/emit.h"
#include "codegen/plan.h"

/* Status codes; the header names them UP_<id>. */
typedef enum tegu_abi_status {
#define TEGU_ABI_STATUS(id, summary) TEGU_ABI_##id,
#include "codegen/status.def"
    TEGU_ABI_STATUS_COUNT
} tegu_abi_status;

/* Byte offsets of the context's fields, and in the state's head. */
enum {
    TEGU_CONTEXT_WEIGHTS = 0,
    TEGU_CONTEXT_STATE = 8,
    TEGU_CONTEXT_PARALLEL = 16,
    TEGU_CONTEXT_POOL = 24,
    TEGU_CONTEXT_THREADS = 32,
    TEGU_CONTEXT_ADAPTERS = 40, /* one of these for each slot: */
    TEGU_ADAPTER_BYTES = 16,
    TEGU_ADAPTER_DATA = 0,
    TEGU_ADAPTER_SCALE = 8,
    TEGU_STATE_HASH = 0,
    TEGU_STATE_POSITION = 8
};

void tegu_emit_entries(tegu_emitter *e, const tegu_plan *plan);
/* `embedded`: the weights inside the object, else NULL. */
void tegu_emit_abi(tegu_emitter *e, const tegu_plan *plan,
                   LLVMValueRef embedded);

/* ---- shared by the two ---- */
/* Returns `status` from the function being written unless `ok` holds. */
void tegu_abi_require(tegu_emitter *e, LLVMValueRef ok, tegu_abi_status status);
LLVMValueRef tegu_abi_not_null(tegu_emitter *e, LLVMValueRef pointer);
LLVMValueRef tegu_abi_aligned(tegu_emitter *e, LLVMValueRef pointer);
LLVMValueRef tegu_abi_field(tegu_emitter *e, LLVMTypeRef type,
                            LLVMValueRef base, int64_t offset);
void tegu_abi_set_field(tegu_emitter *e, LLVMValueRef base, int64_t offset,
                        LLVMValueRef value);
/* True when the state belongs to this model. */
LLVMValueRef tegu_abi_matches(tegu_emitter *e, const tegu_plan *plan,
                              LLVMValueRef state);
/* Byte offset of a slot's field in the context. */
int64_t tegu_abi_adapter(uint32_t slot, int64_t field);
LLVMValueRef tegu_abi_byte(tegu_emitter *e, LLVMValueRef base,
                           LLVMValueRef offset);

#endif
