/* SPDX-License-Identifier: Apache-2.0 */
/* See cast.h.  The f16 conversions are F. Giesen's ("half to float done
 * quic", 2012): integer shifts, with one multiplication or addition that
 * makes denormals. */
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

static LLVMValueRef bits_of(tegu_emitter *e, LLVMValueRef x)
{
    return LLVMBuildBitCast(e->builder, x, retyped(x, e->i32), "");
}

static LLVMValueRef float_of(tegu_emitter *e, LLVMValueRef bits)
{
    return LLVMBuildBitCast(e->builder, bits, retyped(bits, e->f32), "");
}

/* ---- 16-bit floats ---- */

static LLVMValueRef round_to_even(tegu_emitter *e, LLVMValueRef bits, int shift)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef by = whole(bits, shift);
    LLVMValueRef odd =
        LLVMBuildAnd(b, LLVMBuildLShr(b, bits, by, ""), whole(bits, 1), "");
    LLVMValueRef half = whole(bits, (1 << (shift - 1)) - 1);
    LLVMValueRef sum = LLVMBuildAdd(b, bits, half, "");
    return LLVMBuildLShr(b, LLVMBuildAdd(b, sum, odd, ""), by, "");
}

/* The bits of x as bf16, in the low half of an i32. */
static LLVMValueRef bf16_bits(tegu_emitter *e, LLVMValueRef x)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef bits = bits_of(e, x);
    LLVMValueRef nan = LLVMBuildFCmp(b, LLVMRealUNO, x, x, "");
    LLVMValueRef high = LLVMBuildLShr(b, bits, whole(bits, 16), "");
    LLVMValueRef quiet = LLVMBuildOr(b, high, whole(bits, 0x40), "");
    return LLVMBuildSelect(b, nan, quiet, round_to_even(e, bits, 16), "");
}

/* The bits of |x| (as i32) as f16, by size: denormal, normal, inf, NaN. */
static LLVMValueRef f16_magnitude(tegu_emitter *e, LLVMValueRef size)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef x = float_of(e, size);
    LLVMValueRef shifted =
        LLVMBuildFAdd(b, x, tegu_emit_real(LLVMTypeOf(x), 0.5), "");
    LLVMValueRef small =
        LLVMBuildSub(b, bits_of(e, shifted), whole(size, 0x3f000000), "");
    LLVMValueRef rebased =
        LLVMBuildSub(b, size, whole(size, (127 - 15) << 23), "");
    LLVMValueRef normal = round_to_even(e, rebased, 13);
    LLVMValueRef is_small =
        LLVMBuildICmp(b, LLVMIntULT, size, whole(size, 0x38800000), "");
    LLVMValueRef is_big =
        LLVMBuildICmp(b, LLVMIntUGE, size, whole(size, 0x477ff000), "");
    LLVMValueRef is_nan =
        LLVMBuildICmp(b, LLVMIntUGT, size, whole(size, 0x7f800000), "");
    LLVMValueRef y = LLVMBuildSelect(b, is_small, small, normal, "");
    y = LLVMBuildSelect(b, is_big, whole(size, 0x7c00), y, "");
    return LLVMBuildSelect(b, is_nan, whole(size, 0x7e00), y, "");
}

static LLVMValueRef f16_bits(tegu_emitter *e, LLVMValueRef x)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef bits = bits_of(e, x);
    LLVMValueRef size = LLVMBuildAnd(b, bits, whole(bits, 0x7fffffff), "");
    LLVMValueRef sign = LLVMBuildLShr(b, bits, whole(bits, 16), "");
    sign = LLVMBuildAnd(b, sign, whole(bits, 0x8000), "");
    return LLVMBuildOr(b, f16_magnitude(e, size), sign, "");
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
    LLVMValueRef y = LLVMBuildOr(b, bits_of(e, x), exponent, "");
    sign = LLVMBuildShl(b, sign, whole(bits, 16), "");
    return float_of(e, LLVMBuildOr(b, y, sign, ""));
}

static LLVMValueRef float_of_bf16(tegu_emitter *e, LLVMValueRef bits)
{
    return float_of(e, LLVMBuildShl(e->builder, bits, whole(bits, 16), ""));
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
    switch (tegu_dtype_kind_of(dtype)) {
    case TEGU_COMPUTE_BOOL: return e->i1;
    case TEGU_COMPUTE_FLOAT:
    case TEGU_STORAGE_FLOAT: return e->f32;
    default: return dtype == TEGU_I64 ? e->i64 : e->i32;
    }
}

LLVMValueRef tegu_cast_unpack(tegu_emitter *e, LLVMValueRef bits,
                              tegu_dtype dtype)
{
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef carrier = retyped(bits, tegu_cast_carrier(e, dtype));
    LLVMTypeRef wide = retyped(bits, e->i32);
    switch (dtype) {
    case TEGU_BOOL:
        return LLVMBuildICmp(b, LLVMIntNE, bits, whole(bits, 0), "");
    case TEGU_F16: return float_of_f16(e, LLVMBuildZExt(b, bits, wide, ""));
    case TEGU_BF16: return float_of_bf16(e, LLVMBuildZExt(b, bits, wide, ""));
    case TEGU_F64: return LLVMBuildFPTrunc(b, bits, carrier, "");
    case TEGU_I8: return LLVMBuildSExt(b, bits, carrier, "");
    case TEGU_U8: return LLVMBuildZExt(b, bits, carrier, "");
    default: return bits;
    }
}

LLVMValueRef tegu_cast_pack(tegu_emitter *e, LLVMValueRef x, tegu_dtype dtype)
{
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef stored = retyped(x, tegu_cast_stored(e, dtype));
    switch (dtype) {
    case TEGU_BOOL: return LLVMBuildZExt(b, x, stored, "");
    case TEGU_F16: return LLVMBuildTrunc(b, f16_bits(e, x), stored, "");
    case TEGU_BF16: return LLVMBuildTrunc(b, bf16_bits(e, x), stored, "");
    case TEGU_F64: return LLVMBuildFPExt(b, x, stored, "");
    case TEGU_I8:
    case TEGU_U8: return LLVMBuildTrunc(b, x, stored, "");
    default: return x;
    }
}

/* ---- casts ---- */

/* An f32 rounded to the precision of a storage type. */
static LLVMValueRef rounded(tegu_emitter *e, LLVMValueRef x, tegu_dtype to)
{
    if (to == TEGU_F16)
        return float_of_f16(e, f16_bits(e, x));
    return to == TEGU_BF16 ? float_of_bf16(e, bf16_bits(e, x)) : x;
}

/* An i32 or i64 held to the values of i8 or u8 by dropping bits. */
static LLVMValueRef wrapped(tegu_emitter *e, LLVMValueRef x, tegu_dtype to)
{
    LLVMBuilderRef b = e->builder;
    if (to != TEGU_I8 && to != TEGU_U8)
        return x;
    LLVMTypeRef wide = LLVMTypeOf(x);
    x = LLVMBuildTrunc(b, x, retyped(x, e->i8), "");
    return to == TEGU_I8 ? LLVMBuildSExt(b, x, wide, "")
                         : LLVMBuildZExt(b, x, wide, "");
}

static LLVMValueRef saturated(tegu_emitter *e, LLVMValueRef x, tegu_dtype to)
{
    static const char name[] = "llvm.fptosi.sat", nameu[] = "llvm.fptoui.sat";
    bool is_byte = to == TEGU_I8 || to == TEGU_U8;
    LLVMTypeRef result = retyped(x, is_byte ? e->i8 : tegu_cast_carrier(e, to));
    LLVMTypeRef types[] = {result, LLVMTypeOf(x)};
    unsigned id = to == TEGU_U8 ? LLVMLookupIntrinsicID(nameu, strlen(nameu))
                                : LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, types, 2);
    LLVMValueRef y = tegu_emit_call(e, f, &x, 1);
    if (!is_byte)
        return y;
    LLVMTypeRef wide = retyped(x, e->i32);
    return to == TEGU_I8 ? LLVMBuildSExt(e->builder, y, wide, "")
                         : LLVMBuildZExt(e->builder, y, wide, "");
}

static LLVMValueRef from_integer(tegu_emitter *e, LLVMValueRef x,
                                 tegu_dtype from, tegu_dtype to)
{
    LLVMBuilderRef b = e->builder;
    bool is_bool = from == TEGU_BOOL;
    LLVMTypeRef type = retyped(x, tegu_cast_carrier(e, to));
    if (to == TEGU_BOOL)
        return LLVMBuildICmp(b, LLVMIntNE, x, whole(x, 0), "");
    if (tegu_cast_carrier(e, to) == e->f32)
        return rounded(e,
                       is_bool ? LLVMBuildUIToFP(b, x, type, "")
                               : LLVMBuildSIToFP(b, x, type, ""),
                       to);
    if (is_bool)
        x = LLVMBuildZExt(b, x, type, "");
    else if (from != TEGU_I64 && to == TEGU_I64)
        x = LLVMBuildSExt(b, x, type, "");
    else if (from == TEGU_I64 && to != TEGU_I64)
        x = LLVMBuildTrunc(b, x, type, "");
    return wrapped(e, x, to);
}

LLVMValueRef tegu_cast(tegu_emitter *e, LLVMValueRef x, tegu_dtype from,
                       tegu_dtype to)
{
    bool real = tegu_cast_carrier(e, from) == e->f32;
    if (!real)
        return from_integer(e, x, from, to);
    if (to == TEGU_BOOL)
        return LLVMBuildFCmp(e->builder, LLVMRealUNE, x,
                             tegu_emit_real(LLVMTypeOf(x), 0), "");
    return tegu_cast_carrier(e, to) == e->f32 ? rounded(e, x, to)
                                              : saturated(e, x, to);
}
