/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementary functions of f32 as straight-line code, for scalars and for
 * fixed vectors alike: no branches, no tables, no calls, so that a loop of
 * scalars vectorises and a vector needs nothing else.
 *
 * Greatest error found by tests/unit/codegen/test_math.c (every exponent,
 * against libm in double), in units of the last place of the f32 result,
 * with fused multiply-add; x86-64-v2 has none and is allowed 1 ulp more:
 *
 *     exp 1.1   log 1.5   tanh 2   erf 2   sigmoid 2.5   sin, cos 1.5
 *     rsqrt 1.5   pow 0.6
 *
 * All results follow IEEE 754 at the edges: NaN in, NaN out (but see pow);
 * exp overflows to inf and underflows through the denormals; log(0) = -inf,
 * log(x < 0) = NaN; pow has the rules of C's powf, including pow(x, 0) =
 * pow(1, y) = 1 for NaN too and signs for odd integer exponents.
 * sin and cos reduce in double: the bound holds for |x| <= 1e6, beyond it
 * the absolute error grows like |x| * 1e-16, past 1e15 the value means
 * nothing but stays within [-1, 1]; infinities give NaN.
 *
 * The emitter's fast-math flags are ignored: the algorithms depend on
 * the order of their operations.
 */
#ifndef TEGU_CODEGEN_MATH_H
#define TEGU_CODEGEN_MATH_H

#include "codegen/emit.h"

LLVMValueRef tegu_math_exp(tegu_emitter *e, LLVMValueRef x);
/* 2^x for x <= 0, at most 2 ulp; -126 and below give about 2^-126.  For
 * softmax, where smaller weights do not count. */
LLVMValueRef tegu_math_exp2_below(tegu_emitter *e, LLVMValueRef x);
LLVMValueRef tegu_math_log(tegu_emitter *e, LLVMValueRef x);
LLVMValueRef tegu_math_tanh(tegu_emitter *e, LLVMValueRef x);
LLVMValueRef tegu_math_erf(tegu_emitter *e, LLVMValueRef x);
LLVMValueRef tegu_math_sin(tegu_emitter *e, LLVMValueRef x);
LLVMValueRef tegu_math_cos(tegu_emitter *e, LLVMValueRef x);
LLVMValueRef tegu_math_rsqrt(tegu_emitter *e, LLVMValueRef x);
LLVMValueRef tegu_math_pow(tegu_emitter *e, LLVMValueRef x, LLVMValueRef y);
/* 1 / (1 + e^-x) */
LLVMValueRef tegu_math_sigmoid(tegu_emitter *e, LLVMValueRef x);

#endif
