/* SPDX-License-Identifier: Apache-2.0 */
/* interp_bound.c - element-wise ops on shadows: the f64 result on f64 operands
 * and a bound on what f32 may differ from it (docs/ir.md, "Numerics").
 *
 * A bound is the error that comes in, at its worst within the operands'
 * bounds, plus k u |y| for the op's own rounding (u = 2^-24), plus the least
 * denormal where results can underflow.  Native code may be off by twice its
 * bound, so a decision (compare, floor, cast) is certain when it is the same
 * over twice the bounds.  After Higham, Accuracy and Stability of Numerical
 * Algorithms (2002), sections 2.2 and 3.1.
 */
#include "ir/interp.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define UNIT 0x1p-24
#define TINY 0x1p-149

/* Exact value and bound. */
typedef struct shade {
    double x, e;
} shade;

double tegu_bound_gamma(int64_t n)
{
    double nu = (double)n * UNIT;
    return nu < 1 ? nu / (1 - nu) : INFINITY;
}

void tegu_bound_settle(double *exact, double *bound)
{
    const double overflow = 0x1.ffffffp127; /* rounds to infinity */
    double size = fabs(*exact);
    if (isnan(*bound))
        *bound = INFINITY;
    if (isinf(*bound) || isnan(size) || isinf(size))
        return;
    if (size - 2 * *bound >= overflow) {
        *exact = copysign(INFINITY, *exact);
        *bound = 0;
    } else if (size + 2 * *bound >= overflow) {
        *bound = INFINITY;
    }
}

/* y with what came in and k units of its own; not finite: exactly that when
 * `sure`, else anything.  k == 1 says that the op is rounded correctly: exact
 * operands with a result that f32 holds leave no choice. */
static shade rounded(double y, double e, double k, bool sure)
{
    if (e == 0 && k == 1 && (double)(float)y == y && isfinite(y))
        return (shade){y, 0};
    shade r = {y, e + k * UNIT * fabs(y) + TINY};
    if (!isfinite(y))
        r.e = sure ? 0 : INFINITY;
    tegu_bound_settle(&r.x, &r.e);
    return r;
}

/* The sign is the same over twice the bound. */
static bool signed_surely(shade a)
{
    return a.e == 0 || fabs(a.x) > 2 * a.e;
}

/* --- one operand --- */

/* A monotone step function: no rounding, but jumps. */
static shade step(double (*f)(double), shade a)
{
    double y = f(a.x);
    if (a.e == 0 || isinf(a.e))
        return (shade){y, a.e};
    double up = f(a.x + 2 * a.e) - y, down = y - f(a.x - 2 * a.e);
    return (shade){y, up > down ? up : down};
}

static double sign_of(double x)
{
    return x > 0 ? 1.0 : x < 0 ? -1.0 : x;
}

static shade neg_shade(shade a)
{
    return (shade){-a.x, a.e};
}
static shade abs_shade(shade a)
{
    return (shade){fabs(a.x), a.e};
}
static shade sign_shade(shade a)
{
    return step(sign_of, a);
}
static shade floor_shade(shade a)
{
    return step(floor, a);
}
static shade ceil_shade(shade a)
{
    return step(ceil, a);
}
static shade round_shade(shade a)
{
    return step(nearbyint, a);
}

static shade exp_shade(shade a)
{
    double y = exp(a.x);
    double e = a.e == 0 ? 0 : y * expm1(a.e);
    return rounded(y, e, 2, a.e == 0 || !isfinite(a.x));
}

static shade log_shade(shade a)
{
    double y = log(a.x);
    bool sure = a.e == 0 || !isfinite(a.x) || a.x < -2 * a.e;
    double e = a.e == 0 || isinf(a.x) ? 0 : -log1p(-a.e / a.x);
    if (a.e > 0 && isfinite(a.x) && a.x >= -2 * a.e && a.x <= 2 * a.e)
        e = INFINITY;
    return rounded(y, e, 4, sure);
}

static shade sqrt_shade(shade a)
{
    double y = sqrt(a.x), e = 0;
    if (a.e > 0 && isfinite(a.x))
        e = a.x < 2 * a.e ? INFINITY : a.e / (y + sqrt(a.x - a.e));
    return rounded(y, e, 1, a.e == 0 || !isfinite(a.x) || a.x < -2 * a.e);
}

static shade rsqrt_shade(shade a)
{
    double y = 1 / sqrt(a.x), e = 0;
    if (a.e > 0 && isfinite(a.x)) {
        double r = a.e / a.x;
        e = a.x <= 2 * a.e ? INFINITY : y * r * 0.5 / ((1 - r) * sqrt(1 - r));
    }
    return rounded(y, e, 4, a.e == 0 || !isfinite(a.x) || a.x < -2 * a.e);
}

static shade tanh_shade(shade a)
{
    double y = tanh(a.x);
    double near = fmax(fabs(y) - a.e, 0);
    double e = a.e == 0 ? 0 : fmin(a.e * (1 - near * near), 2);
    return rounded(y, e, 4, true);
}

static shade erf_shade(shade a)
{
    double y = erf(a.x), e = 0;
    if (a.e > 0 && isfinite(a.x)) {
        double near = fmax(fabs(a.x) - a.e, 0);
        e = fmin(a.e * 1.1283791670955126 * exp(-near * near), 2);
    }
    return rounded(y, e, 4, true);
}

/* Relative to 1, not to y; arguments are reduced in double. */
static shade wave(double y, shade a)
{
    double own = 4 * UNIT * (1 - fabs(y));
    double far = fabs(a.x) > 1e6 ? fabs(a.x) * 1e-15 : 0;
    return rounded(y, fmin(a.e + own + far, 2), 4, true);
}
static shade sin_shade(shade a)
{
    return wave(sin(a.x), a);
}
static shade cos_shade(shade a)
{
    return wave(cos(a.x), a);
}

static shade sigmoid_shade(shade a)
{
    double y = 1 / (1 + exp(-a.x)), e = 0;
    if (a.e > 0 && isfinite(a.x)) {
        double other = 1 / (1 + exp(a.x));
        e = fmin(a.e / 4, fmin(y, other) * expm1(a.e));
    }
    return rounded(y, e, 4, true);
}

/* --- two operands --- */

static shade add_shade(shade a, shade b)
{
    return rounded(a.x + b.x, a.e + b.e, 1, true);
}
static shade sub_shade(shade a, shade b)
{
    return rounded(a.x - b.x, a.e + b.e, 1, true);
}

static shade mul_shade(shade a, shade b)
{
    double e = a.e == 0 && b.e == 0
                   ? 0
                   : fabs(a.x) * b.e + fabs(b.x) * a.e + a.e * b.e;
    bool sure =
        isnan(a.x) || isnan(b.x) || (signed_surely(a) && signed_surely(b));
    return rounded(a.x * b.x, e, 1, sure);
}

static shade div_shade(shade a, shade b)
{
    double y = a.x / b.x, e = 0;
    bool sure =
        isnan(a.x) || isnan(b.x) ||
        (signed_surely(a) && signed_surely(b) && (b.x != 0 || b.e == 0));
    if (a.e > 0 || b.e > 0)
        e = signed_surely(b) && b.x != 0
                ? (a.e + fabs(y) * b.e) / (fabs(b.x) - b.e)
                : INFINITY;
    return rounded(y, e, 1, sure);
}

/* fmod is exact; what comes in is magnified by the quotient, and jumps where
 * the quotient may be another. */
static shade mod_shade(shade a, shade b)
{
    double y = fmod(a.x, b.x);
    if (a.e == 0 && b.e == 0)
        return (shade){y, 0};
    if (isnan(a.x) || isnan(b.x))
        return (shade){y, 0};
    double q = fabs(trunc(a.x / b.x));
    double e = a.e + q * b.e;
    bool inside =
        fabs(b.x) - fabs(y) > 2 * (e + b.e) && (q == 0 || fabs(y) > 2 * e);
    return (shade){y, inside && isfinite(y) ? e : INFINITY};
}

static shade pow_shade(shade a, shade b)
{
    double y = pow(a.x, b.x), e = 0;
    bool sure = a.e == 0 && b.e == 0;
    if (!sure) {
        bool whole = b.e == 0 && b.x == trunc(b.x);
        double r = a.e / fabs(a.x);
        if (!isfinite(a.x) || !isfinite(b.x) || !(r < 0.25) ||
            (a.x < 0 && !whole))
            e = INFINITY;
        else
            e = fabs(y) * expm1((fabs(b.x) + b.e) * -log1p(-r) +
                                b.e * fabs(log(fabs(a.x))));
    }
    return rounded(y, e, 4, sure);
}

/* The greater (lesser) one: off by no more than either operand, and by its
 * own alone when it surely is the one. */
static shade extreme(shade a, shade b, bool greatest)
{
    bool first = greatest ? a.x > b.x : a.x < b.x;
    if (isnan(a.x) || isnan(b.x)) {
        bool sure = (isnan(a.x) && a.e == 0) || (isnan(b.x) && b.e == 0);
        return (shade){NAN, sure ? 0 : INFINITY};
    }
    if (a.x == b.x)
        first = (signbit(a.x) != 0) != greatest;
    shade r = first ? a : b, other = first ? b : a;
    if (!(fabs(a.x - b.x) > 2 * (a.e + b.e)) && other.e > r.e)
        r.e = other.e;
    if (isinf(other.e)) /* it may be NaN */
        r.e = INFINITY;
    return r;
}
static shade max_shade(shade a, shade b)
{
    return extreme(a, b, true);
}
static shade min_shade(shade a, shade b)
{
    return extreme(a, b, false);
}

/* The comparison may go either way. */
static bool undecided(shade a, shade b)
{
    if (a.e == 0 && b.e == 0)
        return false;
    if (isinf(a.e) || isinf(b.e))
        return true;
    if (!isfinite(a.x) || !isfinite(b.x))
        return false;
    return fabs(a.x - b.x) <= 2 * (a.e + b.e);
}

/* --- rows --- */

#define AT(s, i) ((shade){(s).exact[i], (s).bound[i]})

#define ROWS1(name)                                                            \
    static void name##_rows(size_t n, const tegu_shade *in,                    \
                            const tegu_shade_out *out)                         \
    {                                                                          \
        for (size_t i = 0; i < n; i++) {                                       \
            shade r = name##_shade(AT(in[0], i));                              \
            out->exact[i] = r.x;                                               \
            out->bound[i] = isinf(in[0].bound[i]) ? INFINITY : r.e;            \
        }                                                                      \
    }
#define ROWS2(name)                                                            \
    static void name##_rows(size_t n, const tegu_shade *in,                    \
                            const tegu_shade_out *out)                         \
    {                                                                          \
        for (size_t i = 0; i < n; i++) {                                       \
            shade a = AT(in[0], i), b = AT(in[1], i);                          \
            shade r = name##_shade(a, b);                                      \
            out->exact[i] = r.x;                                               \
            out->bound[i] = isinf(a.e) || isinf(b.e) ? INFINITY : r.e;         \
        }                                                                      \
    }
#define COMPARE(name, operator)                                                \
    static void name##_rows(size_t n, const tegu_shade *in,                    \
                            const tegu_shade_out *out)                         \
    {                                                                          \
        uint8_t *y = out->data;                                                \
        for (size_t i = 0; i < n; i++) {                                       \
            shade a = AT(in[0], i), b = AT(in[1], i);                          \
            y[i] = a.x operator b.x;                                           \
            out->unsure[i] = undecided(a, b);                                  \
        }                                                                      \
    }
/* clang-format off */
ROWS1(neg) ROWS1(abs) ROWS1(sign) ROWS1(floor) ROWS1(ceil) ROWS1(round)
ROWS1(exp) ROWS1(log) ROWS1(sqrt) ROWS1(rsqrt) ROWS1(tanh) ROWS1(erf) ROWS1(sin)
ROWS1(cos) ROWS1(sigmoid)
ROWS2(add) ROWS2(sub) ROWS2(mul) ROWS2(div) ROWS2(mod) ROWS2(pow) ROWS2(max)
ROWS2(min)
COMPARE(eq, ==) COMPARE(ne, !=) COMPARE(lt, <) COMPARE(le, <=)
    /* clang-format on */

    /* Of two numbers that may both be meant, the one chosen and a bound that
     * reaches the other. */
    static shade either(shade chosen, shade other)
{
    if (isnan(chosen.x) && isnan(other.x))
        return (shade){NAN, chosen.e + other.e};
    double reach = fabs(chosen.x - other.x) + other.e;
    if (chosen.x == other.x)
        reach = other.e;
    shade r = {chosen.x, reach > chosen.e ? reach : chosen.e};
    if (!isfinite(reach) || !isfinite(chosen.e))
        r.e = INFINITY;
    return r;
}

static void select_rows(size_t n, const tegu_shade *in,
                        const tegu_shade_out *out)
{
    const uint8_t *condition = in[0].data;
    for (size_t i = 0; i < n; i++) {
        shade a = AT(in[1], i), b = AT(in[2], i);
        shade r = condition[i] ? a : b;
        if (in[0].unsure[i])
            r = either(r, condition[i] ? b : a);
        out->exact[i] = r.x;
        out->bound[i] = r.e;
    }
}

static void add_if_rows(size_t n, const tegu_shade *in,
                        const tegu_shade_out *out)
{
    for (size_t i = 0; i < n; i++) {
        shade a = AT(in[0], i), b = AT(in[1], i), s = AT(in[2], i);
        shade sum = add_shade(a, b);
        if (isinf(a.e) || isinf(b.e))
            sum.e = INFINITY;
        shade r = s.x != 0 ? sum : a;
        if (s.e > 0)
            r = either(r, s.x != 0 ? a : sum);
        out->exact[i] = r.x;
        out->bound[i] = r.e;
    }
}

/* --- casts --- */

#define FROM_INTEGER(name, TYPE)                                               \
    static void name(size_t n, const tegu_shade *in,                           \
                     const tegu_shade_out *out)                                \
    {                                                                          \
        const TYPE *a = in[0].data;                                            \
        for (size_t i = 0; i < n; i++) {                                       \
            out->exact[i] = (double)(float)a[i];                               \
            out->bound[i] = in[0].unsure[i] ? INFINITY : 0;                    \
        }                                                                      \
    }
FROM_INTEGER(bool_f32, uint8_t)
FROM_INTEGER(i32_f32, int32_t)
FROM_INTEGER(i64_f32, int64_t)

/* From a storage type: the carrier has the value already. */
static void f32_f32(size_t n, const tegu_shade *in, const tegu_shade_out *out)
{
    memcpy(out->exact, in[0].exact, n * sizeof(double));
    memcpy(out->bound, in[0].bound, n * sizeof(double));
}

/* The integer is certain when it is the same over twice the bound (the
 * conversion is monotone; for bool: when zero is out of reach). */
static bool integer_sure(tegu_dtype dtype, shade a, int64_t y)
{
    if (a.e == 0)
        return true;
    if (isinf(a.e))
        return false;
    if (dtype == TEGU_BOOL)
        return fabs(a.x) > 2 * a.e;
    return tegu_float_to_int(dtype, a.x - 2 * a.e) == y &&
           tegu_float_to_int(dtype, a.x + 2 * a.e) == y;
}

#define TO_INTEGER(name, TYPE, DTYPE)                                          \
    static void name(size_t n, const tegu_shade *in,                           \
                     const tegu_shade_out *out)                                \
    {                                                                          \
        TYPE *y = out->data;                                                   \
        for (size_t i = 0; i < n; i++) {                                       \
            int64_t r = tegu_float_to_int(DTYPE, in[0].exact[i]);              \
            y[i] = (TYPE)r;                                                    \
            out->unsure[i] = !integer_sure(DTYPE, AT(in[0], i), r);            \
        }                                                                      \
    }
TO_INTEGER(f32_bool, uint8_t, TEGU_BOOL)
TO_INTEGER(f32_i32, int32_t, TEGU_I32)
TO_INTEGER(f32_i64, int64_t, TEGU_I64)

/* Likely bounds: two operands' errors add as independent ones do. */
static shade add_likely_shade(shade a, shade b)
{
    return rounded(a.x + b.x, hypot(a.e, b.e), 1, true);
}
static shade sub_likely_shade(shade a, shade b)
{
    return rounded(a.x - b.x, hypot(a.e, b.e), 1, true);
}
static shade mul_likely_shade(shade a, shade b)
{
    shade worst = mul_shade(a, b);
    if (!isfinite(worst.e) || (a.e == 0 && b.e == 0))
        return worst;
    return rounded(a.x * b.x, hypot(a.x * b.e, b.x * a.e) + a.e * b.e, 1, true);
}
ROWS2(add_likely)
ROWS2(sub_likely)
ROWS2(mul_likely)

/* clang-format off */
static const tegu_bound_rows kernels[TEGU_OP_COUNT] = {
#define ROW(ID, name) [TEGU_OP_##ID] = name##_rows
    ROW(NEG, neg), ROW(ABS, abs), ROW(SIGN, sign), ROW(FLOOR, floor),
    ROW(CEIL, ceil), ROW(ROUND, round), ROW(EXP, exp), ROW(LOG, log),
    ROW(SQRT, sqrt), ROW(RSQRT, rsqrt), ROW(TANH, tanh), ROW(ERF, erf),
    ROW(SIN, sin), ROW(COS, cos), ROW(SIGMOID, sigmoid), ROW(ADD, add),
    ROW(SUB, sub), ROW(MUL, mul), ROW(DIV, div), ROW(MOD, mod),
    ROW(POW, pow), ROW(MAX, max), ROW(MIN, min), ROW(EQ, eq), ROW(NE, ne),
    ROW(LT, lt), ROW(LE, le), ROW(SELECT, select),
    ROW(ADD_IF, add_if),
#undef ROW
};
static const tegu_bound_rows casts[4][4] = {
    [TEGU_BOOL] = {[TEGU_F32] = bool_f32},
    [TEGU_I32] = {[TEGU_F32] = i32_f32},
    [TEGU_I64] = {[TEGU_F32] = i64_f32},
    [TEGU_F32] = {[TEGU_F32] = f32_f32, [TEGU_BOOL] = f32_bool,
                  [TEGU_I32] = f32_i32, [TEGU_I64] = f32_i64},
};
/* clang-format on */

tegu_bound_rows tegu_bound_kernel(tegu_op op, tegu_dtype from, tegu_dtype to,
                                  bool likely)
{
    static const tegu_bound_rows likely_kernels[TEGU_OP_COUNT] = {
        [TEGU_OP_ADD] = add_likely_rows,
        [TEGU_OP_SUB] = sub_likely_rows,
        [TEGU_OP_MUL] = mul_likely_rows,
    };
    if (op == TEGU_OP_CAST)
        return casts[tegu_carrier(from)][to];
    return likely && likely_kernels[op] ? likely_kernels[op] : kernels[op];
}

/* --- attention --- */

/* Weights of softmax below 2^-126 may be taken as 2^-126: twice that per key,
 * times the key's value. */
void tegu_bound_attention(tegu_interp *it, const tegu_cell *v, tegu_cell *out)
{
    int64_t keys = v->dims[0], groups = v->dims[1], width = v->dims[2];
    int64_t share = groups ? out->dims[1] / groups : 0, row = groups * width;
    double *bound = tegu_cell_at(out, TEGU_PLANE_BOUND);
    if (out->count == 0)
        return;
    tegu_block *block = tegu_block_take(it, (size_t)row * 3 * sizeof(double));
    double *sums = block->data, *x = sums + row, *e = x + row;
    memset(sums, 0, (size_t)row * sizeof *sums);
    for (int64_t s = 0; s < keys; s++) {
        tegu_cell_load(v, s * row, row, x, e);
        for (int64_t i = 0; i < row; i++)
            sums[i] += 0x1p-125 * (fabs(x[i]) + e[i]);
    }
    for (int64_t i = 0; i < out->count; i++) {
        int64_t head = i / width % out->dims[1];
        double more = sums[head / share * width + i % width];
        if (!isnan(more))
            bound[i] += more;
    }
    tegu_block_drop(it, block);
}
