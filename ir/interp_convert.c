/* SPDX-License-Identifier: Apache-2.0 */
/* interp_convert.c - between element types, for the interpreter.
 *
 * Arguments may have storage types, whose elements are read into carriers
 * (interp.h).  Casts of floats to integers truncate and saturate, NaN gives 0.
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
    if (dtype == TEGU_I32)
        return saturate(x, INT32_MIN, INT32_MAX, INT32_MIN, INT32_MAX);
    return saturate(x, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX);
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
