/* SPDX-License-Identifier: Apache-2.0 */
/* interp_convert.c - between element types, for the interpreter.
 *
 * Defines cast: float to integer truncates and saturates, NaN gives 0; to a
 * shorter float rounds to nearest, ties to even, overflow gives infinity;
 * integers wrap.  Storage types live in carriers (interp.h).
 */
#include "ir/interp.h"

#include <math.h>
#include <string.h>

tegu_dtype tegu_carrier(tegu_dtype dtype)
{
    switch (tegu_dtype_kind_of(dtype)) {
    case TEGU_STORAGE_FLOAT: return TEGU_F32;
    case TEGU_STORAGE_INT: return TEGU_I32;
    default: return dtype;
    }
}

/* --- floats --- */

/* The nearest multiple of the last place of a float with `digits` bits of
 * significand, smallest normal 2^lowest, and least value `overflow` that
 * rounds to infinity. */
static double round_to(double x, int digits, int lowest, double overflow)
{
    if (x == 0 || !isfinite(x))
        return x;
    int exponent;
    frexp(x, &exponent);
    if (exponent - 1 < lowest)
        exponent = lowest + 1;
    double unit = ldexp(1, exponent - digits);
    double r = nearbyint(x / unit) * unit;
    if (fabs(r) >= overflow)
        return copysign(INFINITY, x);
    return copysign(r, x);
}

double tegu_storage_round(tegu_dtype dtype, double x)
{
    switch (dtype) {
    case TEGU_F16: return round_to(x, 11, -14, 0x1p16);
    case TEGU_BF16: return round_to(x, 8, -126, 0x1p128);
    case TEGU_F32: return (double)(float)x;
    default: return x;
    }
}

static uint16_t half_bits(float value)
{
    double x = tegu_storage_round(TEGU_F16, (double)value);
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    double size = fabs(x);
    if (isnan(x))
        return sign | 0x7e00;
    if (isinf(x))
        return sign | 0x7c00;
    if (size < 0x1p-14)
        return sign | (uint16_t)(size * 0x1p24);
    int exponent;
    double fraction = frexp(size, &exponent); /* in [0.5, 1) */
    unsigned significand = (unsigned)(fraction * 2048) - 1024;
    return (uint16_t)(sign | (unsigned)(exponent + 14) << 10 | significand);
}

static float half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31;
    int fraction = bits & 1023;
    float size;
    if (exponent == 31)
        size = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        size = (float)fraction * 0x1p-24f;
    else
        size = ldexpf((float)(1024 + fraction), exponent - 25);
    return bits & 0x8000 ? -size : size;
}

static uint16_t bfloat_bits(float value)
{
    float x = (float)tegu_storage_round(TEGU_BF16, (double)value);
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static float bfloat_value(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* --- integers --- */

static int64_t saturate(double x, double low, double high, int64_t least,
                        int64_t greatest)
{
    if (x <= low)
        return least;
    if (x >= high)
        return greatest;
    return (int64_t)x;
}

int64_t tegu_float_to_int(tegu_dtype dtype, double x)
{
    if (dtype == TEGU_BOOL)
        return x != 0;
    if (isnan(x))
        return 0;
    switch (dtype) {
    case TEGU_I8: return saturate(x, -128, 127, -128, 127);
    case TEGU_U8: return saturate(x, 0, 255, 0, 255);
    case TEGU_I32:
        return saturate(x, INT32_MIN, INT32_MAX, INT32_MIN, INT32_MAX);
    default: return saturate(x, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX);
    }
}

/* --- arrays --- */

#define LOAD(name, STORED, TYPE, EXPRESSION)                                   \
    static void name(const unsigned char *from, int64_t n, void *to)           \
    {                                                                          \
        TYPE *y = to;                                                          \
        for (int64_t i = 0; i < n; i++) {                                      \
            STORED x;                                                          \
            memcpy(&x, from + (size_t)i * sizeof x, sizeof x);                 \
            y[i] = (TYPE)(EXPRESSION);                                         \
        }                                                                      \
    }
LOAD(load_bool, uint8_t, uint8_t, x != 0)
LOAD(load_f16, uint16_t, float, half_value(x))
LOAD(load_bf16, uint16_t, float, bfloat_value(x))
LOAD(load_f64, double, float, x)
LOAD(load_i8, int8_t, int32_t, x)
LOAD(load_u8, uint8_t, int32_t, x)

void tegu_elements_load(tegu_dtype dtype, const void *from, int64_t n, void *to)
{
    static void (*const loads[TEGU_DTYPE_COUNT])(const unsigned char *, int64_t,
                                                 void *) = {
        [TEGU_BOOL] = load_bool, [TEGU_F16] = load_f16, [TEGU_BF16] = load_bf16,
        [TEGU_F64] = load_f64,   [TEGU_I8] = load_i8,   [TEGU_U8] = load_u8,
    };
    if (n == 0)
        return;
    if (loads[dtype])
        loads[dtype](from, n, to);
    else
        memcpy(to, from, (size_t)n * tegu_dtype_bytes(dtype));
}

#define STORE(name, STORED, TYPE, EXPRESSION)                                  \
    static void name(const void *from, int64_t n, unsigned char *to)           \
    {                                                                          \
        const TYPE *a = from;                                                  \
        for (int64_t i = 0; i < n; i++) {                                      \
            TYPE x = a[i];                                                     \
            STORED y = (STORED)(EXPRESSION);                                   \
            memcpy(to + (size_t)i * sizeof y, &y, sizeof y);                   \
        }                                                                      \
    }
STORE(store_f16, uint16_t, float, half_bits(x))
STORE(store_bf16, uint16_t, float, bfloat_bits(x))
STORE(store_f64, double, float, x)
STORE(store_8, uint8_t, int32_t, x)

void tegu_elements_store(tegu_dtype dtype, const void *from, int64_t n,
                         void *to)
{
    static void (*const stores[TEGU_DTYPE_COUNT])(const void *, int64_t,
                                                  unsigned char *) = {
        [TEGU_F16] = store_f16, [TEGU_BF16] = store_bf16,
        [TEGU_F64] = store_f64, [TEGU_I8] = store_8,
        [TEGU_U8] = store_8,
    };
    if (n == 0)
        return;
    if (stores[dtype])
        stores[dtype](from, n, to);
    else
        memcpy(to, from, (size_t)n * tegu_dtype_bytes(dtype));
}
