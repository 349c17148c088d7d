/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See math.h.  Polynomials and reductions: exp, log, tanh, sin, cos after
 * S. L. Moshier's Cephes (1989-2000), with the constants of its single
 * precision functions; erf after N. Juffa's two-piece minimax fit; pow by
 * series in double.  Integers are taken out of floats by adding 1.5 * 2^23
 * (or 2^52) and reading the low bits: unlike a conversion that is defined for
 * NaN and for every size.
 */
#include "codegen/math.h"

#include <math.h>

/* 1.5 * 2^23 and its bits: adding it rounds a float to an integer. */
#define ROUND_F32 12582912.0
#define ROUND_F32_BITS 0x4B400000
#define ROUND_F64 6755399441055744.0 /* 1.5 * 2^52 */

typedef LLVMValueRef value;

static value real(value like, double constant)
{
    return tegu_emit_real(LLVMTypeOf(like), constant);
}

static value bits_of(tegu_emitter *e, value x)
{
    LLVMTypeRef type = tegu_emit_retype(LLVMTypeOf(x), e->i32);
    return LLVMBuildBitCast(e->builder, x, type, "");
}

static value float_of(tegu_emitter *e, value bits)
{
    LLVMTypeRef type = tegu_emit_retype(LLVMTypeOf(bits), e->f32);
    return LLVMBuildBitCast(e->builder, bits, type, "");
}

static value integer(value like, int64_t constant)
{
    return tegu_emit_integer(LLVMTypeOf(like), constant);
}

static value absolute(tegu_emitter *e, value x)
{
    return tegu_emit_unary(e, "llvm.fabs", x);
}

static value sign_from(tegu_emitter *e, value size, value sign)
{
    return tegu_emit_binary(e, "llvm.copysign", size, sign);
}

/* A predicate by its LLVM name against a constant. */
static value compare(tegu_emitter *e, LLVMRealPredicate how, value x,
                     double constant)
{
    return LLVMBuildFCmp(e->builder, how, x, real(x, constant), "");
}

static value choose(tegu_emitter *e, value condition, value yes, value no)
{
    return LLVMBuildSelect(e->builder, condition, yes, no, "");
}

/* NaN stays NaN: it is the second operand. */
static value clamp(tegu_emitter *e, value x, double lo, double hi)
{
    x = tegu_emit_fmin(e, real(x, hi), x);
    return tegu_emit_fmax(e, real(x, lo), x);
}

/* c[0] x^(n-1) + ... + c[n-1], by Horner's rule. */
static value polynomial(tegu_emitter *e, value x, const double *c, unsigned n)
{
    value sum = real(x, c[0]);
    for (unsigned i = 1; i < n; i++)
        sum = tegu_emit_fma(e, sum, x, real(x, c[i]));
    return sum;
}

/* Runs with fast-math flags off whatever the caller has set. */
static LLVMFastMathFlags exact(tegu_emitter *e)
{
    LLVMFastMathFlags flags = e->flags;
    e->flags = LLVMFastMathNone;
    return flags;
}

static value restore(tegu_emitter *e, LLVMFastMathFlags flags, value result)
{
    e->flags = flags;
    return result;
}

/* 2^n as a float; n in [-126, 127] as i32. */
static value power_of_two(tegu_emitter *e, value n)
{
    LLVMBuilderRef b = e->builder;
    value biased = LLVMBuildAdd(b, n, integer(n, 127), "");
    return float_of(e, LLVMBuildShl(b, biased, integer(n, 23), ""));
}

/* x = n ln 2 + r; e^r by a polynomial of degree 7; the scaling by 2^n in two
 * steps reaches infinity and rounds only once on the way to zero. */
static value emit_exp(tegu_emitter *e, value x)
{
    static const double c[] = {1.9875691500e-4, 1.3981999507e-3,
                               8.3334519073e-3, 4.1665795894e-2,
                               1.6666665459e-1, 5.0000001201e-1};
    LLVMBuilderRef b = e->builder;
    x = clamp(e, x, -104.0, 89.0);
    value magic = real(x, ROUND_F32);
    value t = tegu_emit_fma(e, x, real(x, 1.44269504088896341), magic);
    value n = tegu_emit_fsub(e, t, magic);
    value r = tegu_emit_fma(e, n, real(x, -0.693359375), x);
    r = tegu_emit_fma(e, n, real(x, 2.12194440e-4), r);
    value square = tegu_emit_fmul(e, r, r);
    value p = tegu_emit_fma(e, polynomial(e, r, c, 6), square, r);
    p = tegu_emit_fadd(e, p, real(x, 1.0));
    value k = bits_of(e, t);
    k = LLVMBuildSub(b, k, integer(k, ROUND_F32_BITS), "");
    value half = LLVMBuildAShr(b, k, integer(k, 1), "");
    value rest = LLVMBuildSub(b, k, half, "");
    p = tegu_emit_fmul(e, p, power_of_two(e, half));
    return tegu_emit_fmul(e, p, power_of_two(e, rest));
}

/* x = n + f; 2^f by a polynomial, n added to its exponent. */
static value emit_exp2_below(tegu_emitter *e, value x)
{
    static const double c[] = {1.535336188319500e-4,
                               1.339887440266574e-3,
                               9.618437357674640e-3,
                               5.550332471162809e-2,
                               2.402264791363012e-1,
                               6.931472028550421e-1,
                               1.0};
    LLVMBuilderRef b = e->builder;
    x = tegu_emit_fmax(e, real(x, -126.0), x);
    value t = tegu_emit_fadd(e, x, real(x, ROUND_F32));
    value n = tegu_emit_fsub(e, t, real(x, ROUND_F32));
    value p = polynomial(e, tegu_emit_fsub(e, x, n), c, 7);
    value k = bits_of(e, t);
    k = LLVMBuildShl(b, k, integer(k, 23), "");
    return float_of(e, LLVMBuildAdd(b, bits_of(e, p), k, ""));
}

/* x = 2^k m with m in [sqrt(1/2), sqrt(2)). */
static value emit_log(tegu_emitter *e, value x)
{
    static const double c[] = {
        7.0376836292e-2,  -1.1514610310e-1, 1.1676998740e-1,
        -1.2420140846e-1, 1.4249322787e-1,  -1.6668057665e-1,
        2.0000714765e-1,  -2.4999993993e-1, 3.3333331174e-1};
    LLVMBuilderRef b = e->builder;
    value tiny = compare(e, LLVMRealOLT, x, 1.17549435e-38);
    value scaled = tegu_emit_fmul(e, x, real(x, 8388608.0));
    value bits = bits_of(e, choose(e, tiny, scaled, x));
    value above = LLVMBuildSub(b, bits, integer(bits, 0x3f3504f3), "");
    value k = LLVMBuildAShr(b, above, integer(bits, 23), "");
    value back = LLVMBuildShl(b, k, integer(bits, 23), "");
    value f = tegu_emit_fsub(e, float_of(e, LLVMBuildSub(b, bits, back, "")),
                             real(x, 1.0));
    value n = LLVMBuildSIToFP(b, k, LLVMTypeOf(x), "");
    n = tegu_emit_fsub(e, n, choose(e, tiny, real(x, 23.0), real(x, 0.0)));
    value square = tegu_emit_fmul(e, f, f);
    value y =
        tegu_emit_fmul(e, tegu_emit_fmul(e, polynomial(e, f, c, 9), f), square);
    y = tegu_emit_fma(e, n, real(x, -2.12194440e-4), y);
    y = tegu_emit_fma(e, square, real(x, -0.5), y);
    y = tegu_emit_fadd(e, f, y);
    y = tegu_emit_fma(e, n, real(x, 0.693359375), y);
    y = choose(e, compare(e, LLVMRealOEQ, x, 0.0), real(x, -INFINITY), y);
    y = choose(e, compare(e, LLVMRealOLT, x, INFINITY), y, x);
    return choose(e, compare(e, LLVMRealOLT, x, 0.0), real(x, NAN), y);
}

/* An odd polynomial near zero, 1 - 2 / (e^2x + 1) elsewhere. */
static value emit_tanh(tegu_emitter *e, value x)
{
    static const double c[] = {-5.70498872745e-3, 2.06390887954e-2,
                               -5.37397155531e-2, 1.33314422036e-1,
                               -3.33332819422e-1};
    value size = absolute(e, x), square = tegu_emit_fmul(e, x, x);
    value p = tegu_emit_fmul(e, polynomial(e, square, c, 5), square);
    value near = tegu_emit_fma(e, p, x, x);
    value power = emit_exp(e, tegu_emit_fadd(e, size, size));
    value far = tegu_emit_fdiv(e, real(x, -2.0),
                               tegu_emit_fadd(e, power, real(x, 1.0)));
    far = sign_from(e, tegu_emit_fadd(e, far, real(x, 1.0)), x);
    return choose(e, compare(e, LLVMRealOLT, size, 0.625), near, far);
}

static value emit_erf(tegu_emitter *e, value x)
{
    static const double c[] = {-5.96761703e-4, 4.99119423e-3,  -2.67681349e-2,
                               1.12819925e-1,  -3.76125336e-1, 1.28379166e-1};
    value t = absolute(e, x), s = tegu_emit_fmul(e, x, x);
    value r =
        tegu_emit_fma(e, real(x, -1.72853470e-5), t, real(x, 3.83197126e-4));
    value u =
        tegu_emit_fma(e, real(x, -3.88396438e-3), t, real(x, 2.42546219e-2));
    r = tegu_emit_fma(e, r, s, u);
    r = tegu_emit_fma(e, r, t, real(x, -1.06777877e-1));
    r = tegu_emit_fma(e, r, t, real(x, -6.34846687e-1));
    r = tegu_emit_fma(e, r, t, real(x, -1.28717512e-1));
    r = tegu_emit_fma(e, r, t, tegu_emit_fneg(e, t));
    value far = tegu_emit_fsub(e, real(x, 1.0), emit_exp(e, r));
    value near = tegu_emit_fma(e, polynomial(e, s, c, 6), x, x);
    return choose(e, compare(e, LLVMRealOGT, t, 0.927734375),
                  sign_from(e, far, x), near);
}

/* sin(x + shift pi/2).  The quadrant and the rest are found in double, with
 * pi/2 in three pieces whose first two have 33 bits: exact below 2^20
 * quadrants (W. J. Cody and W. Waite, 1980). */
static value emit_sine(tegu_emitter *e, value x, int shift)
{
    static const double sine[] = {-1.9515295891e-4, 8.3321608736e-3,
                                  -1.6666654611e-1};
    static const double cosine[] = {2.443315711809948e-5, -1.388731625493765e-3,
                                    4.166664568298827e-2};
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef wide = tegu_emit_retype(LLVMTypeOf(x), e->f64);
    LLVMTypeRef wide_bits = tegu_emit_retype(LLVMTypeOf(x), e->i64);
    LLVMTypeRef narrow_bits = tegu_emit_retype(LLVMTypeOf(x), e->i32);
    value d = LLVMBuildFPExt(b, x, wide, ""), magic = real(d, ROUND_F64);
    value t = tegu_emit_fma(e, d, real(d, 6.36619772367581382433e-1), magic);
    value n = tegu_emit_fsub(e, t, magic);
    d = tegu_emit_fma(e, n, real(d, -1.57079632673412561417), d);
    d = tegu_emit_fma(e, n, real(d, -6.07710050630396597660e-11), d);
    d = tegu_emit_fma(e, n, real(d, -2.02226624879595063154e-21), d);
    value k = LLVMBuildBitCast(b, t, wide_bits, "");
    k = LLVMBuildTrunc(b, k, narrow_bits, "");
    k = LLVMBuildAdd(b, k, integer(k, shift), "");
    value r = LLVMBuildFPTrunc(b, clamp(e, d, -0.8, 0.8), LLVMTypeOf(x), "");
    value z = tegu_emit_fmul(e, r, r);
    value s = tegu_emit_fmul(e, polynomial(e, z, sine, 3), z);
    s = tegu_emit_fma(e, s, r, r);
    value c = tegu_emit_fmul(e, polynomial(e, z, cosine, 3), z);
    c = tegu_emit_fma(e, z, real(x, -0.5), tegu_emit_fmul(e, c, z));
    c = tegu_emit_fadd(e, c, real(x, 1.0));
    value odd =
        LLVMBuildTrunc(b, k, tegu_emit_retype(LLVMTypeOf(x), e->i1), "");
    value flip = LLVMBuildAnd(b, k, integer(k, 2), "");
    flip = LLVMBuildShl(b, flip, integer(k, 30), "");
    value picked = bits_of(e, choose(e, odd, c, s));
    return float_of(e, LLVMBuildXor(b, picked, flip, ""));
}

/* e^-|x| / (1 + e^-|x|) or 1 / (1 + e^-|x|): no overflow, full left tail. */
static value emit_sigmoid(tegu_emitter *e, value x)
{
    value power = emit_exp(e, tegu_emit_fneg(e, absolute(e, x)));
    value one = real(x, 1.0);
    value top = choose(e, compare(e, LLVMRealOGE, x, 0.0), one, power);
    return tegu_emit_fdiv(e, top, tegu_emit_fadd(e, one, power));
}

/* ---- pow, in double ---- */

/* Natural logarithm of a finite positive normal double to 1e-12 relative:
 * 2 artanh((m - 1) / (m + 1)) + k ln 2. */
static value wide_log(tegu_emitter *e, value x)
{
    static const double c[] = {1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9,
                               1.0 / 7,  1.0 / 5,  1.0 / 3,  1.0};
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMTypeRef word = tegu_emit_retype(type, e->i64);
    LLVMTypeRef half = tegu_emit_retype(type, e->i32);
    value bits = LLVMBuildBitCast(b, x, word, "");
    value above = LLVMBuildSub(b, bits, integer(bits, 0x3fe6a09e667f3bcd), "");
    value high = LLVMBuildLShr(b, above, integer(bits, 32), "");
    value k = LLVMBuildAShr(b, LLVMBuildTrunc(b, high, half, ""),
                            tegu_emit_integer(half, 20), "");
    value back =
        LLVMBuildShl(b, LLVMBuildZExt(b, k, word, ""), integer(bits, 52), "");
    value m = LLVMBuildBitCast(b, LLVMBuildSub(b, bits, back, ""), type, "");
    value s = tegu_emit_fdiv(e, tegu_emit_fsub(e, m, real(x, 1.0)),
                             tegu_emit_fadd(e, m, real(x, 1.0)));
    value p = polynomial(e, tegu_emit_fmul(e, s, s), c, 8);
    p = tegu_emit_fmul(e, p, tegu_emit_fadd(e, s, s));
    return tegu_emit_fma(e, LLVMBuildSIToFP(b, k, type, ""),
                         real(x, 0.693147180559945309), p);
}

/* e^y of a double in [-200, 200] or NaN to 1e-11 relative. */
static value wide_exp(tegu_emitter *e, value y)
{
    static const double c[] = {1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                               1.0 / 5040,    1.0 / 720,    1.0 / 120,
                               1.0 / 24,      1.0 / 6,      0.5,
                               1.0,           1.0};
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef type = LLVMTypeOf(y);
    LLVMTypeRef word = tegu_emit_retype(type, e->i64);
    value magic = real(y, ROUND_F64);
    value t = tegu_emit_fma(e, y, real(y, 1.44269504088896341), magic);
    value n = tegu_emit_fsub(e, t, magic);
    value r = tegu_emit_fma(e, n, real(y, -0.693147180559945309), y);
    value k = LLVMBuildBitCast(b, t, word, "");
    k = LLVMBuildAdd(b, k, integer(k, 1023), "");
    k = LLVMBuildShl(b, k, integer(k, 52), "");
    return tegu_emit_fmul(e, polynomial(e, r, c, 11),
                          LLVMBuildBitCast(b, k, type, ""));
}

/* |x|^y without any sign. */
static value power_of_size(tegu_emitter *e, value size, value y)
{
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef wide = tegu_emit_retype(LLVMTypeOf(size), e->f64);
    value d = LLVMBuildFPExt(b, size, wide, "");
    value logarithm = wide_log(e, d);
    logarithm = choose(e, compare(e, LLVMRealOEQ, d, 0.0), real(d, -INFINITY),
                       logarithm);
    logarithm = choose(e, compare(e, LLVMRealOLT, d, INFINITY), logarithm, d);
    value exponent =
        tegu_emit_fmul(e, LLVMBuildFPExt(b, y, wide, ""), logarithm);
    value power = wide_exp(e, clamp(e, exponent, -200.0, 200.0));
    return LLVMBuildFPTrunc(b, power, LLVMTypeOf(size), "");
}

static value emit_pow(tegu_emitter *e, value x, value y)
{
    LLVMBuilderRef b = e->builder;
    value one = real(x, 1.0), size = absolute(e, x);
    value power = power_of_size(e, size, y);
    value half = tegu_emit_fmul(e, y, real(y, 0.5));
    value whole = LLVMBuildFCmp(b, LLVMRealOEQ, y,
                                tegu_emit_unary(e, "llvm.trunc", y), "");
    value even = LLVMBuildFCmp(b, LLVMRealOEQ, half,
                               tegu_emit_unary(e, "llvm.trunc", half), "");
    value odd = LLVMBuildAnd(b, whole, LLVMBuildNot(b, even, ""), "");
    power = choose(e, odd, sign_from(e, power, x), power);
    value finite = compare(e, LLVMRealOLT, size, INFINITY);
    value no = LLVMBuildAnd(b, finite, compare(e, LLVMRealOLT, x, 0.0), "");
    no = LLVMBuildAnd(b, no, LLVMBuildNot(b, whole, ""), "");
    power = choose(e, no, real(x, NAN), power);
    value unit = LLVMBuildOr(b, compare(e, LLVMRealOEQ, x, 1.0),
                             compare(e, LLVMRealOEQ, y, 0.0), "");
    value minus =
        LLVMBuildAnd(b, compare(e, LLVMRealOEQ, x, -1.0),
                     compare(e, LLVMRealOEQ, absolute(e, y), INFINITY), "");
    return choose(e, LLVMBuildOr(b, unit, minus, ""), one, power);
}

/* ---- the interface ---- */

/* Approximations of one argument, without the caller's flags. */
#define EXACT(name, result)                                                    \
    value tegu_math_##name(tegu_emitter *e, value x)                           \
    {                                                                          \
        LLVMFastMathFlags flags = exact(e);                                    \
        return restore(e, flags, result);                                      \
    }
EXACT(exp, emit_exp(e, x))
EXACT(exp2_below, emit_exp2_below(e, x))
EXACT(log, emit_log(e, x))
EXACT(tanh, emit_tanh(e, x))
EXACT(erf, emit_erf(e, x))
EXACT(sin, emit_sine(e, x, 0))
EXACT(cos, emit_sine(e, x, 1))
EXACT(sigmoid, emit_sigmoid(e, x))

value tegu_math_rsqrt(tegu_emitter *e, value x)
{
    LLVMFastMathFlags flags = exact(e);
    value root = tegu_emit_unary(e, "llvm.sqrt", x);
    return restore(e, flags, tegu_emit_fdiv(e, real(x, 1.0), root));
}

value tegu_math_pow(tegu_emitter *e, value x, value y)
{
    LLVMFastMathFlags flags = exact(e);
    return restore(e, flags, emit_pow(e, x, y));
}
