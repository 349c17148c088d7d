/* SPDX-License-Identifier: Apache-2.0 */
/* types.h - element types, symbolic dimensions, tensor types.
 *
 * A dimension is `scale * symbol + offset`: static when symbol is 0, else
 * affine in one bounded symbolic axis (T in 1..512).  Beside its value it keeps
 * the axes it came from (heads*head_dim keeps both), which passes aim at and
 * type errors name; axes never take part in the equality of values.
 */
#ifndef TEGU_IR_TYPES_H
#define TEGU_IR_TYPES_H

#include "ir/base/str.h"

typedef enum tegu_dtype {
#define TEGU_DTYPE(id, text, bytes, kind, safetensors) TEGU_##id,
#include "ir/dtypes.def"
#undef TEGU_DTYPE
    TEGU_DTYPE_COUNT
} tegu_dtype;

typedef enum tegu_dtype_kind {
    TEGU_COMPUTE_BOOL,
    TEGU_COMPUTE_INT,
    TEGU_COMPUTE_FLOAT,
    TEGU_STORAGE_FLOAT,
    TEGU_STORAGE_INT
} tegu_dtype_kind;

const char *tegu_dtype_text(tegu_dtype dtype);
size_t tegu_dtype_bytes(tegu_dtype dtype);
tegu_dtype_kind tegu_dtype_kind_of(tegu_dtype dtype);
bool tegu_dtype_is_compute(tegu_dtype dtype);
const char *tegu_dtype_safetensors(tegu_dtype dtype);
/* TEGU_DTYPE_COUNT when no type has this text / safetensors name. */
tegu_dtype tegu_dtype_find(const char *text, size_t size);
tegu_dtype tegu_dtype_find_safetensors(const char *text, size_t size);

enum { TEGU_MAX_RANK = 8, TEGU_MAX_FACTORS = 4 };

/* Index into the unit's axes; 0: none. */
typedef uint32_t tegu_axis_id;

typedef struct tegu_dim {
    int64_t scale;                       /* 0 when static */
    int64_t offset;                      /* the value when static */
    tegu_axis_id symbol;                 /* 0 when static */
    tegu_axis_id axes[TEGU_MAX_FACTORS]; /* provenance: factors, 0-padded */
} tegu_dim;

/* Interned per unit (tegu_unit_type): equal types with equal axes share one
 * address. */
typedef struct tegu_type {
    tegu_dtype dtype;
    uint32_t rank;
    tegu_dim dims[TEGU_MAX_RANK];
} tegu_type;

static inline tegu_dim tegu_dim_static(int64_t n)
{
    return (tegu_dim){.offset = n};
}
static inline bool tegu_dim_is_static(tegu_dim d)
{
    return d.symbol == 0;
}
static inline bool tegu_dim_is_one(tegu_dim d)
{
    return d.symbol == 0 && d.offset == 1;
}
/* Equal values for every value of the symbols. */
bool tegu_dim_equal(tegu_dim a, tegu_dim b);
/* Equal dtype, rank and dimension values (axes do not matter). */
bool tegu_type_equal(const tegu_type *a, const tegu_type *b);
bool tegu_type_same_shape(const tegu_type *a, const tegu_type *b);
/* True when every dimension is static. */
bool tegu_type_is_static(const tegu_type *type);
/* Number of elements of a static type; -1 when symbolic or it overflows. */
int64_t tegu_type_elements(const tegu_type *type);
/* The product of dimensions [from, to) as scale/offset/symbol; false when it
 * has no affine form (T * T) or overflows. */
bool tegu_dims_product(const tegu_dim *dims, uint32_t from, uint32_t to,
                       tegu_dim *product);

#endif
