/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows a contraction in its kernel's body, on vectors of columns
 * before they are stored (contract.h's callback).
 */
#ifndef TEGU_CODEGEN_EPILOGUE_H
#define TEGU_CODEGEN_EPILOGUE_H

#include "codegen/body.h"
#include "codegen/emit.h"

typedef struct tegu_epilogue_data {
    const tegu_body *body;
    const tegu_body_contract *form;
    tegu_arena *scratch; /* left as it was by each call */
} tegu_epilogue_data;

/* A tegu_epilogue; `data` is a tegu_epilogue_data. */
LLVMValueRef tegu_epilogue_emit(void *data, tegu_emitter *e, LLVMValueRef args,
                                LLVMValueRef row, LLVMValueRef col,
                                LLVMValueRef acc, const LLVMValueRef *more,
                                LLVMValueRef mask);

#endif
