/* SPDX-License-Identifier: Apache-2.0 */
/* ops.c - the op table as data, read from ops.def.
 *
 * Takes ops.def; produces one array of ops and one of attributes, the rows of
 * an op's attributes being consecutive.  What the ops mean is left to infer.c
 * (types), interp.c (values) and flops.c (cost).
 */
#include "ir/ops.h"

#include <string.h>

/* The words of ops.def's columns. */
enum {
    M = TEGU_LEVEL_MODEL,
    C = TEGU_LEVEL_CORE,
    K = TEGU_LEVEL_KERNEL,
    COMMUTES = TEGU_COMMUTES,
    ASSOCIATES = TEGU_ASSOCIATES,
    IDEMPOTENT = TEGU_IDEMPOTENT,
    BOOLEAN = TEGU_BOOLEAN,
    FLOATONLY = TEGU_FLOATONLY,
    NATIVE = TEGU_NATIVE,
    CHEAP = TEGU_CHEAP
};
#define REQUIRED NULL

#define JOIN(a, b) a##b
#define NAME_AT(prefix, line) JOIN(prefix, line)

/* FIRST_<op> is the index of its first attribute: the enumerator after
 * BEFORE_<op> counts on from where the op found the counter. */
enum {
#define TEGU_OP(id, text, min, max, infer, kind, levels, flops, traits, sum)   \
    FIRST_##id, BEFORE_##id = FIRST_##id - 1,
#define TEGU_ATTR(op, key, kind, value, summary) NAME_AT(ATTR_, __LINE__),
#include "ir/ops.def"
    ATTR_COUNT
};

/* struct attrs_of_<op> has a byte per attribute, and one more. */
/* clang-format off */
struct attrs_of_nothing {
    char none;
#define TEGU_OP(id, text, min, max, infer, kind, levels, flops, traits, sum) \
    };                                                                       \
    struct attrs_of_##id {                                                   \
        char none;
#define TEGU_ATTR(op, key, kind, value, summary) char NAME_AT(attr, __LINE__);
#include "ir/ops.def"
};
/* clang-format on */

static const tegu_attr_info attr_table[] = {
#define TEGU_ATTR(op, key, kind, value, summary)                               \
    {TEGU_OP_##op, key, TEGU_ATTR_##kind, value, summary},
#include "ir/ops.def"
};

static const tegu_op_info op_table[] = {
#define TEGU_OP(id, text, min, max, infer, kind, levels, flops, traits, sum)   \
    {#id,                                                                      \
     text,                                                                     \
     min,                                                                      \
     max,                                                                      \
     TEGU_KIND_##kind,                                                         \
     levels,                                                                   \
     TEGU_FLOPS_##flops,                                                       \
     traits,                                                                   \
     #infer,                                                                   \
     sum,                                                                      \
     attr_table + FIRST_##id,                                                  \
     sizeof(struct attrs_of_##id) - 1},
#include "ir/ops.def"
};

_Static_assert(sizeof attr_table / sizeof attr_table[0] == ATTR_COUNT,
               "every attribute has its index");
_Static_assert(sizeof op_table / sizeof op_table[0] == TEGU_OP_COUNT,
               "every op has its row");

const tegu_op_info *tegu_op_get(tegu_op op)
{
    return &op_table[op];
}

tegu_op tegu_op_find(const char *text, size_t size)
{
    for (int op = 0; op < TEGU_OP_COUNT; op++) {
        const char *name = op_table[op].text;
        if (strlen(name) == size && memcmp(name, text, size) == 0)
            return (tegu_op)op;
    }
    return TEGU_OP_COUNT;
}

static const struct {
    tegu_level level;
    const char *text;
} level_table[] = {
    {TEGU_LEVEL_MODEL, "model"},
    {TEGU_LEVEL_CORE, "core"},
    {TEGU_LEVEL_KERNEL, "kernel"},
};
enum { LEVELS = sizeof level_table / sizeof level_table[0] };

const char *tegu_level_text(tegu_level level)
{
    int i = 0;
    while (i < LEVELS - 1 && level_table[i].level != level)
        i++;
    return level_table[i].text;
}

bool tegu_level_find(const char *text, size_t size, tegu_level *level)
{
    for (int i = 0; i < LEVELS; i++)
        if (strlen(level_table[i].text) == size &&
            memcmp(level_table[i].text, text, size) == 0) {
            *level = level_table[i].level;
            return true;
        }
    return false;
}
