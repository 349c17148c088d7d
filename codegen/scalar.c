/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See scalar.h: a table from op to builders for floats, integers and bool.
 * Elementary functions are math.c's; conversions are cast.c's.
 */
#include "codegen/scalar.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "codegen/cast.h"
#include "codegen/math.h"

typedef LLVMValueRef builder(tegu_emitter *e, LLVMValueRef *x);

/* ---- f32 ---- */

static LLVMValueRef f_neg(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_fneg(e, x[0]);
}

static LLVMValueRef f_abs(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_unary(e, "llvm.fabs", x[0]);
}

/* x itself if it is a zero or NaN. */
static LLVMValueRef f_sign(tegu_emitter *e, LLVMValueRef *x)
{
    LLVMTypeRef type = LLVMTypeOf(x[0]);
    LLVMValueRef zero = tegu_emit_real(type, 0), one[2];
    one[0] = tegu_emit_real(type, 1);
    one[1] = x[0];
    LLVMValueRef unit = tegu_emit_intrinsic(e, "llvm.copysign", one, 2);
    LLVMValueRef some = LLVMBuildFCmp(e->builder, LLVMRealONE, x[0], zero, "");
    return LLVMBuildSelect(e->builder, some, unit, x[0], "");
}

static LLVMValueRef f_floor(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_unary(e, "llvm.floor", x[0]);
}

static LLVMValueRef f_ceil(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_unary(e, "llvm.ceil", x[0]);
}

static LLVMValueRef f_round(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_unary(e, "llvm.roundeven", x[0]);
}

static LLVMValueRef f_sqrt(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_unary(e, "llvm.sqrt", x[0]);
}

#define MATH(name)                                                             \
    static LLVMValueRef f_##name(tegu_emitter *e, LLVMValueRef *x)             \
    {                                                                          \
        return tegu_math_##name(e, x[0]);                                      \
    }
MATH(exp)
MATH(log)
MATH(rsqrt)
MATH(tanh)
MATH(erf)
MATH(sin)
MATH(cos)
MATH(sigmoid)
#undef MATH

static LLVMValueRef f_pow(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_math_pow(e, x[0], x[1]);
}

static LLVMValueRef f_add(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_fadd(e, x[0], x[1]);
}

static LLVMValueRef f_sub(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_fsub(e, x[0], x[1]);
}

static LLVMValueRef f_mul(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_fmul(e, x[0], x[1]);
}

static LLVMValueRef f_div(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_fdiv(e, x[0], x[1]);
}

static LLVMValueRef f_max(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_binary(e, "llvm.maximum", x[0], x[1]);
}

static LLVMValueRef f_min(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_binary(e, "llvm.minimum", x[0], x[1]);
}

#define COMPARE(name, predicate)                                               \
    static LLVMValueRef f_##name(tegu_emitter *e, LLVMValueRef *x)             \
    {                                                                          \
        return LLVMBuildFCmp(e->builder, LLVMReal##predicate, x[0], x[1], ""); \
    }
COMPARE(eq, OEQ)
COMPARE(ne, UNE)
COMPARE(lt, OLT)
COMPARE(le, OLE)
#undef COMPARE

/* Takes 28 bits of the quotient at a time: q * step is exact in double, and
 * so is the difference (long division, as every fmod). */
static LLVMValueRef divide_long(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef at = e->builder;
    LLVMValueRef init[2], next[2], zero = LLVMConstReal(e->f64, 0);
    tegu_loop loop;
    init[0] = a;
    init[1] = LLVMBuildFMul(at, b, LLVMConstReal(e->f64, 0x1p280), "");
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, tegu_emit_int(e, 0),
                    tegu_emit_int(e, 11), tegu_emit_int(e, 1), 2, init);
    LLVMValueRef r = loop.value[0], step = loop.value[1];
    LLVMValueRef q = LLVMBuildFDiv(at, r, step, "");
    q = tegu_emit_unary(e, "llvm.trunc", q);
    LLVMValueRef taken = LLVMBuildFMul(at, q, step, "");
    LLVMValueRef rest = LLVMBuildFSub(at, r, taken, "");
    LLVMValueRef over = LLVMBuildFCmp(at, LLVMRealOLT, rest, zero, "");
    LLVMValueRef back = LLVMBuildFAdd(at, rest, step, "");
    next[0] = LLVMBuildSelect(at, over, back, rest, "");
    next[1] = LLVMBuildFMul(at, step, LLVMConstReal(e->f64, 0x1p-28), "");
    tegu_loop_end(e, &loop, next);
    return loop.value[0];
}

/* fmod: exact, with the sign of a; NaN for x mod 0, inf mod y and NaN. */
static LLVMValueRef f_mod(tegu_emitter *e, LLVMValueRef *x)
{
    LLVMBuilderRef b = e->builder;
    LLVMFastMathFlags flags = e->flags;
    e->flags = LLVMFastMathNone;
    LLVMValueRef size[2], zero = LLVMConstReal(e->f32, 0);
    for (int i = 0; i < 2; i++)
        size[i] = LLVMBuildFPExt(b, tegu_emit_unary(e, "llvm.fabs", x[i]),
                                 e->f64, "");
    LLVMValueRef r = divide_long(e, size[0], size[1]);
    LLVMValueRef parts[] = {LLVMBuildFPTrunc(b, r, e->f32, ""), x[0]};
    LLVMValueRef value = tegu_emit_intrinsic(e, "llvm.copysign", parts, 2);
    LLVMValueRef whole = LLVMBuildFCmp(b, LLVMRealOLT, size[0], size[1], "");
    value = LLVMBuildSelect(b, whole, x[0], value, "");
    LLVMValueRef infinity = LLVMConstReal(e->f64, HUGE_VAL);
    LLVMValueRef finite = LLVMBuildFCmp(b, LLVMRealOLT, size[0], infinity, "");
    LLVMValueRef some = LLVMBuildFCmp(
        b, LLVMRealOGT, LLVMBuildFPTrunc(b, size[1], e->f32, ""), zero, "");
    LLVMValueRef fine = LLVMBuildAnd(b, finite, some, "");
    value =
        LLVMBuildSelect(b, fine, value, LLVMConstReal(e->f32, (double)NAN), "");
    e->flags = flags;
    return value;
}

/* ---- i32, i64 ---- */

static LLVMValueRef integer_like(LLVMValueRef x, int64_t value)
{
    return tegu_emit_integer(LLVMTypeOf(x), value);
}

static LLVMValueRef i_neg(tegu_emitter *e, LLVMValueRef *x)
{
    return LLVMBuildNeg(e->builder, x[0], "");
}

static LLVMValueRef i_abs(tegu_emitter *e, LLVMValueRef *x)
{
    LLVMValueRef negative =
        LLVMBuildICmp(e->builder, LLVMIntSLT, x[0], integer_like(x[0], 0), "");
    return LLVMBuildSelect(e->builder, negative, i_neg(e, x), x[0], "");
}

static LLVMValueRef i_max(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_binary(e, "llvm.smax", x[0], x[1]);
}

static LLVMValueRef i_min(tegu_emitter *e, LLVMValueRef *x)
{
    return tegu_emit_binary(e, "llvm.smin", x[0], x[1]);
}

static LLVMValueRef i_sign(tegu_emitter *e, LLVMValueRef *x)
{
    LLVMValueRef low[] = {x[0], integer_like(x[0], 1)};
    LLVMValueRef high[] = {i_min(e, low), integer_like(x[0], -1)};
    return i_max(e, high);
}

#define BINARY(prefix, name, Build)                                            \
    static LLVMValueRef prefix##_##name(tegu_emitter *e, LLVMValueRef *x)      \
    {                                                                          \
        return LLVMBuild##Build(e->builder, x[0], x[1], "");                   \
    }
BINARY(i, add, Add)
BINARY(i, sub, Sub)
BINARY(i, mul, Mul)
BINARY(b, and, And)
BINARY(b, or, Or)
#undef BINARY

#define COMPARE(prefix, name, predicate)                                       \
    static LLVMValueRef prefix##_##name(tegu_emitter *e, LLVMValueRef *x)      \
    {                                                                          \
        return LLVMBuildICmp(e->builder, LLVMInt##predicate, x[0], x[1], "");  \
    }
COMPARE(i, eq, EQ)
COMPARE(i, ne, NE)
COMPARE(i, lt, SLT)
COMPARE(i, le, SLE)
COMPARE(b, lt, ULT)
COMPARE(b, le, ULE)
#undef COMPARE

/* A divisor that cannot trap: 1 in place of 0, and of -1, whose quotient is
 * the negation, which wraps, and whose remainder is 0 like that of 1. */
static LLVMValueRef safe_divisor(tegu_emitter *e, LLVMValueRef *x,
                                 LLVMValueRef *is_zero, LLVMValueRef *is_minus)
{
    LLVMBuilderRef b = e->builder;
    *is_zero = LLVMBuildICmp(b, LLVMIntEQ, x[1], integer_like(x[1], 0), "");
    *is_minus = LLVMBuildICmp(b, LLVMIntEQ, x[1], integer_like(x[1], -1), "");
    LLVMValueRef special = LLVMBuildOr(b, *is_zero, *is_minus, "");
    return LLVMBuildSelect(b, special, integer_like(x[1], 1), x[1], "");
}

static LLVMValueRef i_div(tegu_emitter *e, LLVMValueRef *x)
{
    LLVMValueRef is_zero, is_minus;
    LLVMValueRef by = safe_divisor(e, x, &is_zero, &is_minus);
    LLVMValueRef q = LLVMBuildSDiv(e->builder, x[0], by, "");
    q = LLVMBuildSelect(e->builder, is_minus, i_neg(e, x), q, "");
    return LLVMBuildSelect(e->builder, is_zero, integer_like(q, 0), q, "");
}

static LLVMValueRef i_mod(tegu_emitter *e, LLVMValueRef *x)
{
    LLVMValueRef is_zero, is_minus;
    LLVMValueRef by = safe_divisor(e, x, &is_zero, &is_minus);
    return LLVMBuildSRem(e->builder, x[0], by, "");
}

/* ---- bool and any ---- */

static LLVMValueRef b_not(tegu_emitter *e, LLVMValueRef *x)
{
    return LLVMBuildNot(e->builder, x[0], "");
}

static LLVMValueRef select_any(tegu_emitter *e, LLVMValueRef *x)
{
    return LLVMBuildSelect(e->builder, x[0], x[1], x[2], "");
}

static LLVMValueRef f_add_if(tegu_emitter *e, LLVMValueRef *x)
{
    LLVMValueRef on = LLVMBuildFCmp(e->builder, LLVMRealUNE, x[2],
                                    LLVMConstNull(LLVMTypeOf(x[2])), "");
    return LLVMBuildSelect(e->builder, on, f_add(e, x), x[0], "");
}

/* clang-format off */
/* By the type of the last operand. */
static const struct {
    builder *real, *integer, *boolean;
} table[TEGU_OP_COUNT] = {
    [TEGU_OP_NEG]     = {f_neg,   i_neg,  NULL},
    [TEGU_OP_ABS]     = {f_abs,   i_abs,  NULL},
    [TEGU_OP_SIGN]    = {f_sign,  i_sign, NULL},
    [TEGU_OP_FLOOR]   = {f_floor, NULL,   NULL},
    [TEGU_OP_CEIL]    = {f_ceil,  NULL,   NULL},
    [TEGU_OP_ROUND]   = {f_round, NULL,   NULL},
    [TEGU_OP_EXP]     = {f_exp,   NULL,   NULL},
    [TEGU_OP_LOG]     = {f_log,   NULL,   NULL},
    [TEGU_OP_SQRT]    = {f_sqrt,  NULL,   NULL},
    [TEGU_OP_RSQRT]   = {f_rsqrt, NULL,   NULL},
    [TEGU_OP_TANH]    = {f_tanh,  NULL,   NULL},
    [TEGU_OP_ERF]     = {f_erf,   NULL,   NULL},
    [TEGU_OP_SIN]     = {f_sin,   NULL,   NULL},
    [TEGU_OP_COS]     = {f_cos,   NULL,   NULL},
    [TEGU_OP_SIGMOID] = {f_sigmoid, NULL, NULL},
    [TEGU_OP_NOT]     = {NULL,    NULL,   b_not},
    [TEGU_OP_ADD]     = {f_add,   i_add,  NULL},
    [TEGU_OP_SUB]     = {f_sub,   i_sub,  NULL},
    [TEGU_OP_MUL]     = {f_mul,   i_mul,  NULL},
    [TEGU_OP_DIV]     = {f_div,   i_div,  NULL},
    [TEGU_OP_MOD]     = {f_mod,   i_mod,  NULL},
    [TEGU_OP_POW]     = {f_pow,   NULL,   NULL},
    [TEGU_OP_MAX]     = {f_max,   i_max,  b_or},
    [TEGU_OP_MIN]     = {f_min,   i_min,  b_and},
    [TEGU_OP_EQ]      = {f_eq,    i_eq,   i_eq},
    [TEGU_OP_NE]      = {f_ne,    i_ne,   i_ne},
    [TEGU_OP_LT]      = {f_lt,    i_lt,   b_lt},
    [TEGU_OP_LE]      = {f_le,    i_le,   b_le},
    [TEGU_OP_AND]     = {NULL,    NULL,   b_and},
    [TEGU_OP_OR]      = {NULL,    NULL,   b_or},
    [TEGU_OP_SELECT]  = {select_any, select_any, select_any},
    [TEGU_OP_ADD_IF]  = {f_add_if, NULL,  NULL},
};
/* clang-format on */

static builder *builder_of(tegu_op op, tegu_dtype dtype)
{
    if (dtype == TEGU_F32)
        return table[op].real;
    return dtype == TEGU_BOOL ? table[op].boolean : table[op].integer;
}

LLVMValueRef tegu_scalar_map(tegu_emitter *e, const tegu_graph *g,
                             const tegu_node *node, LLVMValueRef *x)
{
    const tegu_type *t =
        tegu_graph_type(g, node->inputs[node->input_count - 1]);
    if (node->op == TEGU_OP_CAST)
        return tegu_cast(e, x[0], t->dtype, node->type->dtype);
    builder *build = builder_of(node->op, t->dtype);
    assert(build);
    return build(e, x);
}

LLVMValueRef tegu_scalar_literal(tegu_emitter *e, tegu_dtype dtype,
                                 const char *data)
{
    float f;
    int32_t i;
    int64_t l;
    switch (dtype) {
    case TEGU_F32:
        memcpy(&f, data, sizeof f);
        return LLVMConstReal(e->f32, (double)f);
    case TEGU_I32:
        memcpy(&i, data, sizeof i);
        return LLVMConstInt(e->i32, (unsigned long long)i, 1);
    case TEGU_I64:
        memcpy(&l, data, sizeof l);
        return LLVMConstInt(e->i64, (unsigned long long)l, 1);
    default: return LLVMConstInt(tegu_cast_carrier(e, dtype), data[0] != 0, 0);
    }
}

bool tegu_scalar_is_splat(const tegu_node *node)
{
    const char *data = node->data;
    size_t element = tegu_dtype_bytes(node->type->dtype);
    int64_t count = tegu_type_elements(node->type);
    for (int64_t i = 1; i < count; i++)
        if (memcmp(data, data + (size_t)i * element, element) != 0)
            return false;
    return count > 0;
}

/* ---- reductions ---- */

LLVMValueRef tegu_scalar_combine(tegu_emitter *e, tegu_op op, tegu_dtype dtype,
                                 LLVMValueRef a, LLVMValueRef b)
{
    static const tegu_op step[TEGU_OP_COUNT] = {
        [TEGU_OP_REDUCE_SUM] = TEGU_OP_ADD,
        [TEGU_OP_REDUCE_MAX] = TEGU_OP_MAX,
        [TEGU_OP_REDUCE_MIN] = TEGU_OP_MIN,
    };
    LLVMValueRef x[] = {a, b};
    LLVMFastMathFlags flags = e->flags;
    if (op == TEGU_OP_REDUCE_SUM)
        e->flags |= LLVMFastMathAllowReassoc;
    LLVMValueRef value = builder_of(step[op], dtype)(e, x);
    e->flags = flags;
    return value;
}

LLVMValueRef tegu_scalar_neutral(tegu_emitter *e, tegu_op op, tegu_dtype dtype)
{
    LLVMTypeRef type = tegu_cast_carrier(e, dtype);
    double sign = op == TEGU_OP_REDUCE_MAX ? -1 : 1;
    if (op == TEGU_OP_REDUCE_SUM)
        return LLVMConstNull(type);
    if (dtype == TEGU_F32)
        return LLVMConstReal(type, sign * HUGE_VAL);
    if (dtype == TEGU_BOOL)
        return LLVMConstInt(type, op == TEGU_OP_REDUCE_MIN, 0);
    int64_t least = dtype == TEGU_I32 ? INT32_MIN : INT64_MIN;
    return LLVMConstInt(
        type, (unsigned long long)(sign < 0 ? least : -(least + 1)), 1);
}
