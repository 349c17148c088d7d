/* SPDX-License-Identifier: Apache-2.0 */
/* ops.h - the op table's enumerations and queries; the facts are in ops.def. */
#ifndef TEGU_IR_OPS_H
#define TEGU_IR_OPS_H

#include "ir/types.h"

typedef enum tegu_op {
#define TEGU_OP(id, text, min, max, infer, kind, levels, flops, traits, sum)   \
    TEGU_OP_##id,
#include "ir/ops.def"
    TEGU_OP_COUNT
} tegu_op;

typedef enum tegu_op_kind {
    TEGU_KIND_LEAF,
    TEGU_KIND_MAP,
    TEGU_KIND_REDUCE,
    TEGU_KIND_CONTRACT,
    TEGU_KIND_MOVE,
    TEGU_KIND_INDEX,
    TEGU_KIND_STATE,
    TEGU_KIND_COMPOSITE,
    TEGU_KIND_KERNEL
} tegu_op_kind;

/* Bits: graphs that may hold an op. */
typedef enum tegu_level {
    TEGU_LEVEL_MODEL = 1,
    TEGU_LEVEL_CORE = 2,
    TEGU_LEVEL_KERNEL = 4
} tegu_level;

/* "model", "core", "kernel". */
const char *tegu_level_text(tegu_level level);
/* False when no level has this name. */
bool tegu_level_find(const char *text, size_t size, tegu_level *level);

enum {
    TEGU_COMMUTES = 1 << 0,
    TEGU_ASSOCIATES = 1 << 1,
    TEGU_IDEMPOTENT = 1 << 2,
    TEGU_BOOLEAN = 1 << 3,
    TEGU_FLOATONLY = 1 << 4,
    TEGU_NATIVE = 1 << 5,
    TEGU_CHEAP = 1 << 6
};

typedef enum tegu_flops_rule {
    TEGU_FLOPS_NONE,
    TEGU_FLOPS_MAP,
    TEGU_FLOPS_TRANS,
    TEGU_FLOPS_REDUCE,
    TEGU_FLOPS_CONTRACT,
    TEGU_FLOPS_EXPAND
} tegu_flops_rule;

typedef enum tegu_attr_kind {
    TEGU_ATTR_INT,
    TEGU_ATTR_FLOAT,
    TEGU_ATTR_BOOL,
    TEGU_ATTR_INTS,
    TEGU_ATTR_DTYPE,
    TEGU_ATTR_TEXT
} tegu_attr_kind;

/* One attribute as ops.def declares it. */
typedef struct tegu_attr_info {
    tegu_op op;
    const char *key;
    tegu_attr_kind kind;
    const char *value; /* default as text, NULL when required */
    const char *summary;
} tegu_attr_info;

typedef struct tegu_op_info {
    const char *id;   /* "ADD" */
    const char *text; /* "add" */
    uint8_t min, max; /* inputs; max 255: any number */
    tegu_op_kind kind;
    uint8_t levels; /* tegu_level bits */
    tegu_flops_rule flops;
    uint32_t traits;
    const char *infer; /* name of the inference rule */
    const char *summary;
    const tegu_attr_info *attrs; /* in printed order */
    uint32_t attr_count;
} tegu_op_info;

/* Static data, never NULL for op < TEGU_OP_COUNT. */
const tegu_op_info *tegu_op_get(tegu_op op);
/* TEGU_OP_COUNT when no op has this text. */
tegu_op tegu_op_find(const char *text, size_t size);
static inline bool tegu_op_has(tegu_op op, uint32_t trait)
{
    return (tegu_op_get(op)->traits & trait) != 0;
}
static inline tegu_op_kind tegu_op_kind_of(tegu_op op)
{
    return tegu_op_get(op)->kind;
}

#endif
