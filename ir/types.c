/* SPDX-License-Identifier: Apache-2.0 */
/* types.c - element types as data, and arithmetic on symbolic dimensions.
 *
 * Takes dtypes.def.  Nothing here knows a unit: names and bounds of axes are
 * unit.c's.  Every size is computed with overflow checks.
 */
#include "ir/types.h"

#include <string.h>

static const struct {
    const char *text;
    size_t bytes;
    tegu_dtype_kind kind;
    const char *safetensors;
} dtype_table[TEGU_DTYPE_COUNT] = {
#define TEGU_DTYPE(id, text, bytes, kind, safetensors)                         \
    [TEGU_##id] = {text, bytes, TEGU_##kind, safetensors},
#include "ir/dtypes.def"
#undef TEGU_DTYPE
};

const char *tegu_dtype_text(tegu_dtype dtype)
{
    return dtype_table[dtype].text;
}

size_t tegu_dtype_bytes(tegu_dtype dtype)
{
    return dtype_table[dtype].bytes;
}

tegu_dtype_kind tegu_dtype_kind_of(tegu_dtype dtype)
{
    return dtype_table[dtype].kind;
}

bool tegu_dtype_is_compute(tegu_dtype dtype)
{
    return dtype_table[dtype].kind <= TEGU_COMPUTE_FLOAT;
}

const char *tegu_dtype_safetensors(tegu_dtype dtype)
{
    return dtype_table[dtype].safetensors;
}

static bool same_text(const char *name, const char *text, size_t size)
{
    return strlen(name) == size && memcmp(name, text, size) == 0;
}

tegu_dtype tegu_dtype_find(const char *text, size_t size)
{
    int d = 0;
    while (d < TEGU_DTYPE_COUNT && !same_text(dtype_table[d].text, text, size))
        d++;
    return (tegu_dtype)d;
}

tegu_dtype tegu_dtype_find_safetensors(const char *text, size_t size)
{
    int d = 0;
    while (d < TEGU_DTYPE_COUNT &&
           !same_text(dtype_table[d].safetensors, text, size))
        d++;
    return (tegu_dtype)d;
}

bool tegu_dim_equal(tegu_dim a, tegu_dim b)
{
    return a.scale == b.scale && a.offset == b.offset && a.symbol == b.symbol;
}

bool tegu_type_same_shape(const tegu_type *a, const tegu_type *b)
{
    if (a->rank != b->rank)
        return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (!tegu_dim_equal(a->dims[i], b->dims[i]))
            return false;
    return true;
}

bool tegu_type_equal(const tegu_type *a, const tegu_type *b)
{
    return a == b || (a->dtype == b->dtype && tegu_type_same_shape(a, b));
}

bool tegu_type_is_static(const tegu_type *type)
{
    for (uint32_t i = 0; i < type->rank; i++)
        if (!tegu_dim_is_static(type->dims[i]))
            return false;
    return true;
}

int64_t tegu_type_elements(const tegu_type *type)
{
    int64_t count = 1;
    for (uint32_t i = 0; i < type->rank; i++) {
        tegu_dim d = type->dims[i];
        if (!tegu_dim_is_static(d) ||
            __builtin_mul_overflow(count, d.offset, &count))
            return -1;
    }
    return count;
}

/* Multiplies the affine *product by d; at most one of them has a symbol. */
static bool multiply(tegu_dim *product, tegu_dim d)
{
    if (product->symbol && d.symbol)
        return false;
    int64_t factor = d.symbol ? product->offset : d.offset;
    tegu_dim affine = d.symbol ? d : *product;
    if (__builtin_mul_overflow(affine.scale, factor, &product->scale) ||
        __builtin_mul_overflow(affine.offset, factor, &product->offset))
        return false;
    product->symbol = product->scale ? affine.symbol : 0;
    return true;
}

/* Appends d's axes to the product's; false when there is no room or d, not
 * being 1, has none. */
static bool join_axes(tegu_dim *product, uint32_t *count, tegu_dim d)
{
    if (tegu_dim_is_one(d) && !d.axes[0])
        return true;
    if (!d.axes[0])
        return false;
    for (int i = 0; i < TEGU_MAX_FACTORS && d.axes[i]; i++) {
        if (*count == TEGU_MAX_FACTORS)
            return false;
        product->axes[(*count)++] = d.axes[i];
    }
    return true;
}

bool tegu_dims_product(const tegu_dim *dims, uint32_t from, uint32_t to,
                       tegu_dim *product)
{
    *product = tegu_dim_static(1);
    uint32_t axes = 0;
    bool named = true;
    for (uint32_t i = from; i < to; i++) {
        if (!multiply(product, dims[i]))
            return false;
        named = named && join_axes(product, &axes, dims[i]);
    }
    if (!named)
        memset(product->axes, 0, sizeof product->axes);
    return true;
}
