/* SPDX-License-Identifier: Apache-2.0 */
/* See cast.h.  f16 to f32 is F. Giesen's ("half to float done quic", 2012):
 * shift, then a multiplication that also makes denormals. */
#include "codegen/cast.h"

#include <string.h>

static LLVMValueRef whole(LLVMValueRef like, int64_t value)
{
    return tegu_emit_integer(LLVMTypeOf(like), value);
}

static LLVMTypeRef retyped(LLVMValueRef like, LLVMTypeRef element)
{
    return tegu_emit_retype(LLVMTypeOf(like), element);
}

/* ---- between registers and memory ---- */

LLVMTypeRef tegu_cast_stored(const tegu_emitter *e, tegu_dtype dtype)
{
    switch (dtype) {
    case TEGU_I32: return e->i32;
    case TEGU_I64: return e->i64;
    case TEGU_F32: return e->f32;
    case TEGU_F64: return e->f64;
    case TEGU_F16:
    case TEGU_BF16: return e->i16;
    default: return e->i8;
    }
}

LLVMTypeRef tegu_cast_carrier(const tegu_emitter *e, tegu_dtype dtype)
{
    return dtype == TEGU_BOOL ? e->i1 : tegu_cast_stored(e, dtype);
}

LLVMValueRef tegu_cast_unpack(tegu_emitter *e, LLVMValueRef bits,
                              tegu_dtype dtype)
{
    if (dtype != TEGU_BOOL)
        return bits;
    return LLVMBuildICmp(e->builder, LLVMIntNE, bits, whole(bits, 0), "");
}

LLVMValueRef tegu_cast_pack(tegu_emitter *e, LLVMValueRef x, tegu_dtype dtype)
{
    if (dtype != TEGU_BOOL)
        return x;
    return LLVMBuildZExt(e->builder, x, retyped(x, e->i8), "");
}

/* ---- casts ---- */

static LLVMValueRef float_of(tegu_emitter *e, LLVMValueRef bits)
{
    return LLVMBuildBitCast(e->builder, bits, retyped(bits, e->f32), "");
}

static LLVMValueRef float_of_f16(tegu_emitter *e, LLVMValueRef bits)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef size = LLVMBuildAnd(b, bits, whole(bits, 0x7fff), "");
    LLVMValueRef sign = LLVMBuildAnd(b, bits, whole(bits, 0x8000), "");
    LLVMValueRef small =
        float_of(e, LLVMBuildShl(b, size, whole(bits, 13), ""));
    LLVMValueRef x =
        LLVMBuildFMul(b, small, tegu_emit_real(LLVMTypeOf(small), 0x1p112), "");
    LLVMValueRef special =
        LLVMBuildICmp(b, LLVMIntUGE, size, whole(bits, 0x7c00), "");
    LLVMValueRef exponent = LLVMBuildSelect(b, special, whole(bits, 0x7f800000),
                                            whole(bits, 0), "");
    LLVMValueRef y = LLVMBuildBitCast(b, x, LLVMTypeOf(bits), "");
    y = LLVMBuildOr(b, y, exponent, "");
    sign = LLVMBuildShl(b, sign, whole(bits, 16), "");
    return float_of(e, LLVMBuildOr(b, y, sign, ""));
}

/* A storage type as f32 or i32; compute types stay. */
static LLVMValueRef computable(tegu_emitter *e, LLVMValueRef x,
                               tegu_dtype *from)
{
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef wide = retyped(x, e->i32);
    tegu_dtype stored = *from;
    tegu_dtype_kind kind = tegu_dtype_kind_of(stored);
    if (kind == TEGU_STORAGE_FLOAT)
        *from = TEGU_F32;
    else if (kind == TEGU_STORAGE_INT)
        *from = TEGU_I32;
    switch (stored) {
    case TEGU_F16: return float_of_f16(e, LLVMBuildZExt(b, x, wide, ""));
    case TEGU_BF16:
        x = LLVMBuildZExt(b, x, wide, "");
        return float_of(e, LLVMBuildShl(b, x, whole(x, 16), ""));
    case TEGU_F64: return LLVMBuildFPTrunc(b, x, retyped(x, e->f32), "");
    case TEGU_I8: return LLVMBuildSExt(b, x, wide, "");
    case TEGU_U8: return LLVMBuildZExt(b, x, wide, "");
    default: return x;
    }
}

static LLVMValueRef from_float(tegu_emitter *e, LLVMValueRef x, tegu_dtype to)
{
    static const char name[] = "llvm.fptosi.sat";
    if (to == TEGU_F32)
        return x;
    if (to == TEGU_BOOL)
        return LLVMBuildFCmp(e->builder, LLVMRealUNE, x,
                             tegu_emit_real(LLVMTypeOf(x), 0), "");
    LLVMTypeRef types[] = {retyped(x, tegu_cast_carrier(e, to)), LLVMTypeOf(x)};
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, types, 2);
    return tegu_emit_call(e, f, &x, 1);
}

LLVMValueRef tegu_cast(tegu_emitter *e, LLVMValueRef x, tegu_dtype from,
                       tegu_dtype to)
{
    LLVMBuilderRef b = e->builder;
    x = computable(e, x, &from);
    if (from == TEGU_F32)
        return from_float(e, x, to);
    LLVMTypeRef type = retyped(x, tegu_cast_carrier(e, to));
    if (to == TEGU_BOOL)
        return LLVMBuildICmp(b, LLVMIntNE, x, whole(x, 0), "");
    if (from == TEGU_BOOL)
        return to == TEGU_F32 ? LLVMBuildUIToFP(b, x, type, "")
                              : LLVMBuildZExt(b, x, type, "");
    if (to == TEGU_F32)
        return LLVMBuildSIToFP(b, x, type, "");
    if (from == to)
        return x;
    return to == TEGU_I64 ? LLVMBuildSExt(b, x, type, "")
                          : LLVMBuildTrunc(b, x, type, "");
}
