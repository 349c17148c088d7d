/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions between element types on scalars or vectors.  In registers a
 * bool is an i1, everything else what it is in memory; storage types are only
 * moved and cast from.  No conversion needs a library function.
 */
#ifndef TEGU_CODEGEN_CAST_H
#define TEGU_CODEGEN_CAST_H

#include "codegen/emit.h"
#include "ir/types.h"

/* The type in memory, and in registers (of one element). */
LLVMTypeRef tegu_cast_stored(const tegu_emitter *e, tegu_dtype dtype);
LLVMTypeRef tegu_cast_carrier(const tegu_emitter *e, tegu_dtype dtype);
/* What was loaded as it is in registers, and back. */
LLVMValueRef tegu_cast_unpack(tegu_emitter *e, LLVMValueRef bits,
                              tegu_dtype dtype);
LLVMValueRef tegu_cast_pack(tegu_emitter *e, LLVMValueRef x, tegu_dtype dtype);

/* ops.def's cast to a compute type: float to integer truncates and saturates,
 * NaN gives 0; f64 rounds to f32 first. */
LLVMValueRef tegu_cast(tegu_emitter *e, LLVMValueRef x, tegu_dtype from,
                       tegu_dtype to);

#endif
