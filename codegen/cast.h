/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions between element types on scalars or vectors.  In registers
 * f16, bf16 and f64 are carried as f32, i8 and u8 as i32, bool as i1 (the
 * interpreter's carriers); tegu_cast rounds or wraps to the type asked for,
 * and pack / unpack go between that and the bits in memory, exactly.  No
 * conversion needs a library function.
 */
#ifndef TEGU_CODEGEN_CAST_H
#define TEGU_CODEGEN_CAST_H

#include "codegen/emit.h"
#include "ir/types.h"

/* ops.def's cast: float to integer truncates and saturates, NaN gives 0. */
LLVMValueRef tegu_cast(tegu_emitter *e, LLVMValueRef x, tegu_dtype from,
                       tegu_dtype to);
/* The type in memory, and in registers (of one element). */
LLVMTypeRef tegu_cast_stored(const tegu_emitter *e, tegu_dtype dtype);
LLVMTypeRef tegu_cast_carrier(const tegu_emitter *e, tegu_dtype dtype);
LLVMValueRef tegu_cast_unpack(tegu_emitter *e, LLVMValueRef bits,
                              tegu_dtype dtype);
LLVMValueRef tegu_cast_pack(tegu_emitter *e, LLVMValueRef x, tegu_dtype dtype);

#endif
