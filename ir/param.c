/* SPDX-License-Identifier: Apache-2.0 */
/* param.c - reads parameters' elements, whatever their storage.
 *
 * Takes a parameter of a unit; produces elements in its logical row-major
 * order as its compute type.  Stored data may lie at any alignment and, for
 * rank 2, transposed; storage is little-endian as on every target of tegu.
 *
 * Random parameters: element i of a parameter is a pure function of (seed,
 * name, i), whatever is read in which order.  splitmix64 (Steele, Lea, Flood
 * 2014) of key + i gives four uniform 16-bit numbers; their sum, centred and
 * scaled to unit variance, is near normal (kurtosis 2.7, |x| <= 3.47), costs
 * one multiplication per number more than the hash and rounds alike on every
 * machine.
 */
#include "ir/unit.h"

#include <string.h>

/* Reads `count` elements, `stride` bytes apart, into out. */
typedef void reader(const unsigned char *from, size_t stride, int64_t count,
                    void *out);

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* IEEE binary16; subnormals by scaling, NaN payloads kept. */
static float float_of_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
    if ((h & 0x7c00) == 0x7c00)
        return float_of_bits(sign | magnitude | 0x7f800000);
    if ((h & 0x7c00) == 0) {
        float f = (float)(h & 0x03ff) * 0x1p-24f;
        return sign ? -f : f;
    }
    return float_of_bits(sign | (magnitude + ((127 - 15) << 23)));
}

static float float_of_bfloat(uint16_t b)
{
    return float_of_bits((uint32_t)b << 16);
}

#define SAME(x) (x)
#define NARROW(x) ((float)(x))
#define TRUTH(x) ((unsigned char)((x) != 0))

/* One reader per pair of types: STORED from the file, TYPE in memory. */
#define READER(name, STORED, TYPE, CONVERT)                                    \
    static void name(const unsigned char *from, size_t stride, int64_t count,  \
                     void *out)                                                \
    {                                                                          \
        TYPE *to = out;                                                        \
        for (int64_t i = 0; i < count; i++) {                                  \
            STORED x;                                                          \
            memcpy(&x, from + (size_t)i * stride, sizeof x);                   \
            to[i] = CONVERT(x);                                                \
        }                                                                      \
    }
READER(f32_of_f32, float, float, SAME)
READER(f32_of_f16, uint16_t, float, float_of_half)
READER(f32_of_bf16, uint16_t, float, float_of_bfloat)
READER(f32_of_f64, double, float, NARROW)
READER(f32_of_i8, int8_t, float, NARROW)
READER(f32_of_u8, uint8_t, float, NARROW)
READER(i32_of_i32, int32_t, int32_t, SAME)
READER(i32_of_i8, int8_t, int32_t, SAME)
READER(i32_of_u8, uint8_t, int32_t, SAME)
READER(i64_of_i64, int64_t, int64_t, SAME)
READER(i64_of_i32, int32_t, int64_t, SAME)
READER(i64_of_i8, int8_t, int64_t, SAME)
READER(i64_of_u8, uint8_t, int64_t, SAME)
READER(bool_of_bool, unsigned char, unsigned char, TRUTH)

/* By the parameter's type, then by the stored type; NULL: no conversion. */
static reader *const readers[TEGU_DTYPE_COUNT][TEGU_DTYPE_COUNT] = {
    [TEGU_F32] = {[TEGU_F32] = f32_of_f32,
                  [TEGU_F16] = f32_of_f16,
                  [TEGU_BF16] = f32_of_bf16,
                  [TEGU_F64] = f32_of_f64,
                  [TEGU_I8] = f32_of_i8,
                  [TEGU_U8] = f32_of_u8},
    [TEGU_I32] =
        {[TEGU_I32] = i32_of_i32, [TEGU_I8] = i32_of_i8, [TEGU_U8] = i32_of_u8},
    [TEGU_I64] = {[TEGU_I64] = i64_of_i64,
                  [TEGU_I32] = i64_of_i32,
                  [TEGU_I8] = i64_of_i8,
                  [TEGU_U8] = i64_of_u8},
    [TEGU_BOOL] = {[TEGU_BOOL] = bool_of_bool},
};

static void read_rows(const tegu_param *param, reader *read, int64_t first,
                      int64_t count, unsigned char *out)
{
    size_t to = tegu_dtype_bytes(param->type->dtype);
    size_t from = tegu_dtype_bytes(param->stored);
    const unsigned char *data = param->data;
    if (!param->transposed) {
        read(data + (size_t)first * from, from, count, out);
        return;
    }
    int64_t rows = param->type->dims[0].offset;
    int64_t columns = param->type->dims[1].offset;
    while (count > 0) {
        int64_t row = first / columns, column = first % columns;
        int64_t n = columns - column < count ? columns - column : count;
        read(data + (size_t)(column * rows + row) * from, (size_t)rows * from,
             n, out);
        out += (size_t)n * to;
        first += n;
        count -= n;
    }
}

/* --- random values --- */

static uint64_t splitmix64(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t random_key(const tegu_param *param)
{
    uint64_t key = 0xcbf29ce484222325u; /* FNV-1a of the name */
    for (const char *c = param->name; *c; c++)
        key = (key ^ (unsigned char)*c) * 0x100000001b3u;
    return splitmix64(key ^ splitmix64(param->seed));
}

/* Sum of four 16-bit uniforms minus its mean: variance (2^32 - 1) / 3. */
static int32_t centred(uint64_t key, int64_t i)
{
    uint64_t h = splitmix64(key + (uint64_t)i * 0x9e3779b97f4a7c15u);
    return (int32_t)(h & 0xffff) + (int32_t)(h >> 16 & 0xffff) +
           (int32_t)(h >> 32 & 0xffff) + (int32_t)(h >> 48) - 131070;
}

static double random_scale(const tegu_param *param)
{
    return param->std / 37837.22723720648; /* sqrt((2^32 - 1) / 3) */
}

static void random_f32(const tegu_param *param, int64_t first, int64_t count,
                       void *out)
{
    uint64_t key = random_key(param);
    float scale = (float)random_scale(param), *to = out;
    for (int64_t i = 0; i < count; i++)
        to[i] = (float)centred(key, first + i) * scale;
}

/* The integer nearest to zero within one of the normal number. */
static int64_t random_integer(const tegu_param *param, uint64_t key, int64_t i,
                              double limit)
{
    double x = (double)centred(key, i) * random_scale(param);
    return (int64_t)(x > limit ? limit : x < -limit ? -limit : x);
}

static void random_i32(const tegu_param *param, int64_t first, int64_t count,
                       void *out)
{
    uint64_t key = random_key(param);
    int32_t *to = out;
    for (int64_t i = 0; i < count; i++)
        to[i] = (int32_t)random_integer(param, key, first + i, INT32_MAX);
}

static void random_i64(const tegu_param *param, int64_t first, int64_t count,
                       void *out)
{
    uint64_t key = random_key(param);
    int64_t *to = out;
    for (int64_t i = 0; i < count; i++)
        to[i] = random_integer(param, key, first + i, 0x1p62);
}

static void random_bool(const tegu_param *param, int64_t first, int64_t count,
                        void *out)
{
    uint64_t key = random_key(param);
    unsigned char *to = out;
    for (int64_t i = 0; i < count; i++)
        to[i] = centred(key, first + i) > 0;
}

static void (*const random_fill[TEGU_DTYPE_COUNT])(const tegu_param *, int64_t,
                                                   int64_t, void *) = {
    [TEGU_F32] = random_f32,
    [TEGU_I32] = random_i32,
    [TEGU_I64] = random_i64,
    [TEGU_BOOL] = random_bool,
};

static bool refuse(const tegu_unit *unit, const tegu_param *param,
                   tegu_diag_id id, const char *why)
{
    return tegu_error(
        unit->diag, param->loc, id, "parameter '%s' %s",
        tegu_escaped(unit->arena, param->name, strlen(param->name)), why);
}

bool tegu_param_read(const tegu_unit *unit, const tegu_param *param,
                     int64_t first, int64_t count, void *out)
{
    tegu_dtype type = param->type->dtype;
    int64_t elements = tegu_type_elements(param->type);
    if (first < 0 || count < 0 || first > elements - count)
        return refuse(unit, param, TEGU_E_INTERNAL, "is read past its end");
    if (param->source == TEGU_SOURCE_NONE)
        return refuse(unit, param, TEGU_E_PARAM,
                      "has no data: the model was loaded without weights");
    if (param->source == TEGU_SOURCE_RANDOM && random_fill[type]) {
        random_fill[type](param, first, count, out);
        return true;
    }
    reader *read = readers[type][param->stored];
    if (!read)
        return refuse(unit, param, TEGU_E_DTYPE,
                      tegu_format(unit->arena,
                                  "is stored as %s, which cannot be read as %s",
                                  tegu_dtype_text(param->stored),
                                  tegu_dtype_text(type)));
    read_rows(param, read, first, count, out);
    return true;
}
