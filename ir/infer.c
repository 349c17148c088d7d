/* SPDX-License-Identifier: Apache-2.0 */
/* infer.c - the type of a node from its operands: driver, leaves, element-wise
 * ops, reductions and contraction.
 *
 * Takes a specification with complete attributes; produces an interned type or
 * one located message in the user's words, naming the op, the operands' types
 * and the axes that do not agree.  Rules: docs/ir.md, "Inference rules".
 * Movement is infer_move.c's, composites infer_composite.c's.
 */
#include "ir/infer.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const struct {
    bool (*shape)(tegu_inference *);
    bool given;
} rules[] = {
#define RULE(name, given) {tegu_shape_##name, given},
    TEGU_RULES(RULE)
#undef RULE
};

enum {
#define RULE(name, given) RULE_##name,
    TEGU_RULES(RULE)
#undef RULE
};

static const uint8_t rule_of[TEGU_OP_COUNT] = {
#define TEGU_OP(id, text, min, max, infer, kind, levels, flops, traits, sum)   \
    RULE_##infer,
#include "ir/ops.def"
};

bool tegu_op_type_given(tegu_op op)
{
    return rules[rule_of[op]].given;
}

/* --- what rules share --- */

const tegu_type *tegu_operand(const tegu_inference *c, uint32_t i)
{
    return tegu_graph_type(c->g, c->spec->inputs[i]);
}

const tegu_attr *tegu_inference_attr(const tegu_inference *c, const char *key)
{
    const tegu_node node = {.op = c->spec->op, .attrs = c->attrs};
    return tegu_node_attr(&node, key);
}

const char *tegu_shown(const tegu_inference *c, const tegu_type *type)
{
    return tegu_type_string(c->unit, c->unit->arena, type);
}

const char *tegu_extent(const tegu_inference *c, tegu_dim dim)
{
    tegu_text text = {.arena = c->unit->arena};
    memset(dim.axes, 0, sizeof dim.axes);
    tegu_dim_print(&text, c->unit, dim);
    return tegu_text_cstr(&text);
}

bool tegu_refuse(const tegu_inference *c, tegu_diag_id id, const char *format,
                 ...)
{
    va_list args;
    va_start(args, format);
    const char *text = tegu_format_v(c->unit->arena, format, args);
    va_end(args);
    if (c->as != TEGU_DIAG_COUNT)
        id = c->as;
    return tegu_error(c->unit->diag, c->spec->loc, id, "'%s' %s",
                      tegu_op_get(c->spec->op)->text, text);
}

bool tegu_axis_attr(const tegu_inference *c, const char *key,
                    const tegu_type *type, uint32_t *axis)
{
    int64_t i = tegu_inference_attr(c, key)->as.i;
    if (i < 0 || i >= (int64_t)type->rank)
        return tegu_refuse(c, TEGU_E_ATTRIBUTE,
                           "got %s=%" PRId64 "; %s has axes 0 to %d", key, i,
                           tegu_shown(c, type), (int)type->rank - 1);
    *axis = (uint32_t)i;
    return true;
}

bool tegu_axis_list(const tegu_inference *c, const tegu_attr *list,
                    const tegu_type *type, uint32_t *mask)
{
    for (uint32_t i = 0; i < list->as.ints.count; i++) {
        int64_t axis = list->as.ints.data[i];
        if (axis < 0 || axis >= (int64_t)type->rank)
            return tegu_refuse(
                c, TEGU_E_ATTRIBUTE,
                "names axis %" PRId64 " in '%s'; %s has axes 0 to %d", axis,
                list->info->key, tegu_shown(c, type), (int)type->rank - 1);
        if (*mask >> axis & 1)
            return tegu_refuse(c, TEGU_E_ATTRIBUTE,
                               "names axis %" PRId64 " of %s twice", axis,
                               tegu_shown(c, type));
        *mask |= 1u << axis;
    }
    return true;
}

bool tegu_want_rank(const tegu_inference *c, uint32_t i, uint32_t rank,
                    const char *form)
{
    if (tegu_operand(c, i)->rank == rank)
        return true;
    return tegu_refuse(c, TEGU_E_SHAPE, "got %s as operand %u; it must be %s",
                       tegu_shown(c, tegu_operand(c, i)), i + 1, form);
}

bool tegu_want_position(const tegu_inference *c, uint32_t i)
{
    const tegu_type *type = tegu_operand(c, i);
    if (type->rank == 0 && type->dtype == TEGU_I32)
        return true;
    return tegu_refuse(c, TEGU_E_SHAPE, "got %s as position; it must be i32[]",
                       tegu_shown(c, type));
}

bool tegu_want_integers(const tegu_inference *c, uint32_t i)
{
    const tegu_type *type = tegu_operand(c, i);
    if (tegu_dtype_kind_of(type->dtype) == TEGU_COMPUTE_INT)
        return true;
    return tegu_refuse(c, TEGU_E_DTYPE,
                       "got %s as indices; they must be "
                       "integers",
                       tegu_shown(c, type));
}

bool tegu_want_floats(const tegu_inference *c, uint32_t i)
{
    const tegu_type *type = tegu_operand(c, i);
    if (type->dtype == TEGU_F32)
        return true;
    return tegu_refuse(c, TEGU_E_DTYPE, "got %s; it takes f32",
                       tegu_shown(c, type));
}

bool tegu_want_given(const tegu_inference *c)
{
    if (!c->spec->type)
        return tegu_refuse(c, TEGU_E_INTERNAL, "needs its result type");
    if (c->spec->type->dtype == tegu_operand(c, 0)->dtype)
        return true;
    return tegu_refuse(c, TEGU_E_DTYPE, "cannot turn %s into %s; use cast",
                       tegu_shown(c, tegu_operand(c, 0)),
                       tegu_shown(c, c->spec->type));
}

bool tegu_want_same(const tegu_inference *c, uint32_t a, uint32_t a_axis,
                    uint32_t b, uint32_t b_axis, const char *what)
{
    const tegu_type *x = tegu_operand(c, a), *y = tegu_operand(c, b);
    if (tegu_dim_equal(x->dims[a_axis], y->dims[b_axis]))
        return true;
    return tegu_refuse(c, TEGU_E_SHAPE, "got %s and %s; %s %s and %s differ",
                       tegu_shown(c, x), tegu_shown(c, y), what,
                       tegu_extent(c, x->dims[a_axis]),
                       tegu_extent(c, y->dims[b_axis]));
}

/* --- checks around the rule --- */

static bool check_arity(const tegu_inference *c)
{
    const tegu_op_info *op = tegu_op_get(c->spec->op);
    uint32_t n = c->spec->input_count;
    if (n >= op->min && (n <= op->max || op->max == 255))
        return true;
    if (op->max == 255)
        return tegu_refuse(c, TEGU_E_OPERANDS,
                           "takes %u or more operands, "
                           "got %u",
                           op->min, n);
    if (op->min != op->max)
        return tegu_refuse(c, TEGU_E_OPERANDS,
                           "takes %u or %u operands, "
                           "got %u",
                           op->min, op->max, n);
    return tegu_refuse(c, TEGU_E_OPERANDS, "takes %u operand%s, got %u",
                       op->min, op->min == 1 ? "" : "s", n);
}

/* Storage types may only be cast, or handed to a kernel that does. */
static bool check_storage(const tegu_inference *c)
{
    if (c->spec->op == TEGU_OP_CAST || c->spec->op == TEGU_OP_KERNEL)
        return true;
    for (uint32_t i = 0; i < c->spec->input_count; i++)
        if (!tegu_dtype_is_compute(tegu_operand(c, i)->dtype))
            return tegu_refuse(c, TEGU_E_DTYPE,
                               "cannot compute with %s; "
                               "cast it to f32 or i32 first",
                               tegu_shown(c, tegu_operand(c, i)));
    return true;
}

/* True when the dimension's symbol and axes are the unit's. */
static bool dim_is_known(const tegu_unit *unit, tegu_dim d)
{
    bool known = d.symbol < unit->axes.count &&
                 (d.symbol == 0) == (d.scale == 0) &&
                 (!d.symbol || unit->axes.data[d.symbol].symbolic);
    for (int k = 0; k < TEGU_MAX_FACTORS; k++)
        known = known && d.axes[k] < unit->axes.count;
    return known;
}

static bool type_error(const tegu_unit *unit, const tegu_type *type,
                       const char *what, tegu_loc loc, tegu_diag_id id,
                       const char *why)
{
    const char *subject =
        what ? tegu_format(unit->arena, "'%s'", what) : "this";
    return tegu_error(unit->diag, loc, id, "%s is %s: %s", subject,
                      tegu_type_string(unit, unit->arena, type), why);
}

bool tegu_type_check(const tegu_unit *unit, const tegu_type *type,
                     const char *what, tegu_loc loc, tegu_diag_id as)
{
    bool own = as == TEGU_DIAG_COUNT;
    tegu_diag_id large = own ? TEGU_E_TOO_LARGE : as;
    int64_t bytes = (int64_t)tegu_dtype_bytes(type->dtype);
    if (type->rank > TEGU_MAX_RANK)
        return tegu_error(unit->diag, loc, large,
                          "'%s' has %u axes; at most %d are allowed",
                          what ? what : "type", type->rank, TEGU_MAX_RANK);
    for (uint32_t i = 0; i < type->rank; i++) {
        tegu_dim d = type->dims[i];
        int64_t lo, hi;
        if (!dim_is_known(unit, d))
            return tegu_error(unit->diag, loc, own ? TEGU_E_INTERNAL : as,
                              "'%s' has an extent over an unknown axis",
                              what ? what : "type");
        if (!tegu_dim_bounds(unit, d, &lo, &hi) ||
            __builtin_mul_overflow(bytes, hi > 1 ? hi : 1, &bytes) ||
            bytes >= (int64_t)1 << 62)
            return type_error(unit, type, what, loc, large, "too large");
        if (lo < 0)
            return type_error(
                unit, type, what, loc, own ? TEGU_E_SHAPE : as,
                tegu_format(unit->arena, "axis %u can be negative", i));
    }
    return true;
}

bool tegu_infer_raw(const tegu_graph *g, const tegu_node_spec *spec,
                    const tegu_attr *attrs, tegu_diag_id as, tegu_type *out)
{
    tegu_inference c = {
        .g = g, .unit = g->unit, .spec = spec, .attrs = attrs, .as = as};
    const tegu_type *given = spec->type;
    const char *what = tegu_op_get(spec->op)->text;
    if (!check_arity(&c) || !check_storage(&c))
        return false;
    if (given && !tegu_type_check(g->unit, given, what, spec->loc, as))
        return false;
    if (!rules[rule_of[spec->op]].shape(&c) ||
        !tegu_type_check(g->unit, &c.out, what, spec->loc, as))
        return false;
    if (given && !tegu_type_equal(given, &c.out))
        return tegu_refuse(&c, TEGU_E_SHAPE, "gives %s, not %s",
                           tegu_shown(&c, &c.out), tegu_shown(&c, given));
    *out = given ? *given : c.out;
    return true;
}

const tegu_type *tegu_infer_with(const tegu_graph *g,
                                 const tegu_node_spec *spec,
                                 const tegu_attr *attrs)
{
    tegu_type type;
    if (!tegu_infer_raw(g, spec, attrs, TEGU_DIAG_COUNT, &type))
        return NULL;
    return tegu_unit_type(g->unit, &type);
}

const tegu_type *tegu_infer(const tegu_graph *g, const tegu_node_spec *spec)
{
    const tegu_attr *attrs;
    if (!tegu_spec_attrs(g, spec, &attrs))
        return NULL;
    return tegu_infer_with(g, spec, attrs);
}

/* --- leaves --- */

static bool given_leaf(tegu_inference *c)
{
    if (!c->spec->type)
        return tegu_refuse(c, TEGU_E_INTERNAL, "needs its type");
    c->out = *c->spec->type;
    return true;
}

bool tegu_shape_GIVEN(tegu_inference *c)
{
    if (!given_leaf(c))
        return false;
    if (c->spec->op == TEGU_OP_INPUT)
        return true;
    if (c->spec->op == TEGU_OP_ARG)
        return tegu_inference_attr(c, "index")->as.i >= 0 ||
               tegu_refuse(c, TEGU_E_ATTRIBUTE, "has a negative index");
    if (!tegu_dtype_is_compute(c->out.dtype))
        return tegu_refuse(c, TEGU_E_DTYPE, "cannot be %s: %s is for storage",
                           tegu_shown(c, &c->out),
                           tegu_dtype_text(c->out.dtype));
    if (!tegu_type_is_static(&c->out))
        return tegu_refuse(c, TEGU_E_SHAPE,
                           "cannot be %s: its shape must be fixed",
                           tegu_shown(c, &c->out));
    if (c->spec->op == TEGU_OP_CONST && !c->spec->data &&
        tegu_type_elements(&c->out))
        return tegu_refuse(c, TEGU_E_INTERNAL, "has no values");
    return true;
}

static bool want_i32_extent(const tegu_inference *c, tegu_dim dim)
{
    int64_t lo, hi;
    if (tegu_dim_bounds(c->unit, dim, &lo, &hi) && hi <= INT32_MAX)
        return true;
    return tegu_refuse(c, TEGU_E_TOO_LARGE,
                       "counts an axis of extent %s, past i32",
                       tegu_extent(c, dim));
}

bool tegu_shape_IOTA(tegu_inference *c)
{
    uint32_t axis = 0;
    if (!given_leaf(c) || !tegu_axis_attr(c, "axis", &c->out, &axis))
        return false;
    if (c->out.dtype == TEGU_BOOL || !tegu_dtype_is_compute(c->out.dtype))
        return tegu_refuse(c, TEGU_E_DTYPE,
                           "cannot be %s; it counts in i32, "
                           "i64 or f32",
                           tegu_shown(c, &c->out));
    return c->out.dtype != TEGU_I32 || want_i32_extent(c, c->out.dims[axis]);
}

bool tegu_shape_I32(tegu_inference *c)
{
    c->out = (tegu_type){.dtype = TEGU_I32};
    return true;
}

bool tegu_shape_F32(tegu_inference *c)
{
    c->out = (tegu_type){.dtype = TEGU_F32};
    return true;
}

bool tegu_shape_SIZE(tegu_inference *c)
{
    uint32_t axis = 0;
    const tegu_type *x = tegu_operand(c, 0);
    c->out = (tegu_type){.dtype = TEGU_I32};
    return tegu_axis_attr(c, "axis", x, &axis) &&
           want_i32_extent(c, x->dims[axis]);
}

/* --- element-wise --- */

/* BOOLEAN ops take bool, FLOATONLY ones f32, the rest any number. */
static bool want_elements(const tegu_inference *c, const tegu_type *type)
{
    tegu_op op = c->spec->op;
    if (tegu_op_has(op, TEGU_FLOATONLY))
        return type->dtype == TEGU_F32 ||
               tegu_refuse(c, TEGU_E_DTYPE, "got %s; it takes f32",
                           tegu_shown(c, type));
    if (tegu_op_has(op, TEGU_BOOLEAN))
        return type->dtype == TEGU_BOOL ||
               tegu_refuse(c, TEGU_E_DTYPE, "got %s; it takes bool",
                           tegu_shown(c, type));
    return type->dtype != TEGU_BOOL ||
           tegu_refuse(c, TEGU_E_DTYPE, "got %s; it takes numbers",
                       tegu_shown(c, type));
}

bool tegu_shape_MAP(tegu_inference *c)
{
    c->out = *tegu_operand(c, 0);
    return want_elements(c, &c->out);
}

bool tegu_shape_ROWS(tegu_inference *c)
{
    if (!tegu_shape_MAP(c))
        return false;
    return c->out.rank > 0 ||
           tegu_refuse(c, TEGU_E_SHAPE, "got %s; it works along the last axis",
                       tegu_shown(c, &c->out));
}

bool tegu_shape_CAST(tegu_inference *c)
{
    c->out = *tegu_operand(c, 0);
    c->out.dtype = tegu_inference_attr(c, "dtype")->as.dtype;
    return tegu_dtype_is_compute(c->out.dtype) ||
           tegu_refuse(c, TEGU_E_DTYPE, "cannot give %s, a type for storage",
                       tegu_dtype_text(c->out.dtype));
}

static const char *place_name(const tegu_inference *c, uint32_t from_end)
{
    if (from_end == 1)
        return "last dimensions";
    return tegu_format(c->unit->arena, "dimensions %u from the end", from_end);
}

/* The dimension in which a and b broadcast together. */
static bool join_dims(tegu_dim a, tegu_dim b, tegu_dim *out)
{
    if (tegu_dim_equal(a, b))
        *out = a.axes[0] ? a : b;
    else if (tegu_dim_is_one(a))
        *out = b;
    else if (tegu_dim_is_one(b))
        *out = a;
    else
        return false;
    return true;
}

/* Broadcasts c->out with the type; dtypes are the caller's. */
static bool join_shape(tegu_inference *c, const tegu_type *shown,
                       const tegu_type *type)
{
    tegu_type a = c->out;
    c->out.rank = a.rank > type->rank ? a.rank : type->rank;
    for (uint32_t k = 1; k <= c->out.rank; k++) {
        tegu_dim *out = &c->out.dims[c->out.rank - k];
        if (k > a.rank)
            *out = type->dims[type->rank - k];
        else if (k > type->rank)
            *out = a.dims[a.rank - k];
        else if (!join_dims(a.dims[a.rank - k], type->dims[type->rank - k],
                            out))
            return tegu_refuse(
                c, TEGU_E_SHAPE, "got %s and %s; %s %s and %s cannot broadcast",
                tegu_shown(c, shown), tegu_shown(c, type), place_name(c, k),
                tegu_extent(c, a.dims[a.rank - k]),
                tegu_extent(c, type->dims[type->rank - k]));
    }
    return true;
}

static bool join_pair(tegu_inference *c, uint32_t i, uint32_t j)
{
    const tegu_type *a = tegu_operand(c, i), *b = tegu_operand(c, j);
    if (a->dtype != b->dtype)
        return tegu_refuse(c, TEGU_E_DTYPE,
                           "got %s and %s; the element types differ",
                           tegu_shown(c, a), tegu_shown(c, b));
    c->out = *a;
    return join_shape(c, a, b);
}

bool tegu_shape_BROADCAST(tegu_inference *c)
{
    return join_pair(c, 0, 1) && want_elements(c, &c->out);
}

bool tegu_shape_COMPARE(tegu_inference *c)
{
    if (!join_pair(c, 0, 1))
        return false;
    c->out.dtype = TEGU_BOOL;
    return true;
}

bool tegu_shape_SELECT(tegu_inference *c)
{
    const tegu_type *condition = tegu_operand(c, 0);
    if (condition->dtype != TEGU_BOOL)
        return tegu_refuse(c, TEGU_E_DTYPE,
                           "got %s as condition; it must be bool",
                           tegu_shown(c, condition));
    if (!join_pair(c, 1, 2))
        return false;
    tegu_type branches = c->out;
    return join_shape(c, &branches, condition);
}

bool tegu_shape_ADD_IF(tegu_inference *c)
{
    if (!join_pair(c, 0, 1) || !join_pair(c, 0, 2))
        return false;
    tegu_type base = c->out;
    c->out = *tegu_operand(c, 1);
    return join_shape(c, tegu_operand(c, 1), &base) &&
           want_elements(c, &c->out);
}

/* --- reductions --- */

bool tegu_shape_REDUCE(tegu_inference *c)
{
    const tegu_type *x = tegu_operand(c, 0);
    const tegu_attr *axes = tegu_inference_attr(c, "axes");
    bool keep = tegu_inference_attr(c, "keep")->as.b;
    uint32_t mask = 0;
    if (!want_elements(c, x) || !tegu_axis_list(c, axes, x, &mask))
        return false;
    for (uint32_t i = 0; i < axes->as.ints.count; i++)
        if (i && axes->as.ints.data[i] < axes->as.ints.data[i - 1])
            return tegu_refuse(c, TEGU_E_ATTRIBUTE,
                               "names its axes out of order");
    if (!mask)
        return tegu_refuse(c, TEGU_E_ATTRIBUTE, "names no axis to reduce");
    c->out = (tegu_type){.dtype = x->dtype};
    for (uint32_t i = 0; i < x->rank; i++)
        if (!(mask >> i & 1))
            c->out.dims[c->out.rank++] = x->dims[i];
        else if (keep)
            c->out.dims[c->out.rank++] = tegu_dim_static(1);
    return true;
}

bool tegu_shape_ARGMAX(tegu_inference *c)
{
    const tegu_type *x = tegu_operand(c, 0);
    uint32_t axis = 0;
    int64_t lo, hi;
    if (!want_elements(c, x) || !tegu_axis_attr(c, "axis", x, &axis) ||
        !want_i32_extent(c, x->dims[axis]))
        return false;
    if (tegu_dim_bounds(c->unit, x->dims[axis], &lo, &hi) && lo < 1)
        return tegu_refuse(c, TEGU_E_SHAPE,
                           "got %s; axis %u may have no element",
                           tegu_shown(c, x), axis);
    c->out = (tegu_type){.dtype = TEGU_I32};
    for (uint32_t i = 0; i < x->rank; i++)
        if (i != axis)
            c->out.dims[c->out.rank++] = x->dims[i];
    return true;
}

/* --- contraction --- */

/* The pairs of axes named by two lists have equal extents. */
static bool pair_axes(const tegu_inference *c, const char *a, const char *b,
                      uint32_t *mask_a, uint32_t *mask_b)
{
    const tegu_attr *x = tegu_inference_attr(c, a);
    const tegu_attr *y = tegu_inference_attr(c, b);
    if (x->as.ints.count != y->as.ints.count)
        return tegu_refuse(c, TEGU_E_ATTRIBUTE,
                           "pairs %u axes in '%s' with %u in '%s'",
                           x->as.ints.count, a, y->as.ints.count, b);
    if (!tegu_axis_list(c, x, tegu_operand(c, 0), mask_a) ||
        !tegu_axis_list(c, y, tegu_operand(c, 1), mask_b))
        return false;
    for (uint32_t i = 0; i < x->as.ints.count; i++)
        if (!tegu_want_same(c, 0, (uint32_t)x->as.ints.data[i], 1,
                            (uint32_t)y->as.ints.data[i], "paired extents"))
            return false;
    return true;
}

bool tegu_shape_CONTRACT(tegu_inference *c)
{
    const tegu_type *a = tegu_operand(c, 0), *b = tegu_operand(c, 1);
    const tegu_attr *batch = tegu_inference_attr(c, "batch_a");
    uint32_t mask_a = 0, mask_b = 0;
    if (!tegu_want_floats(c, 0) || !tegu_want_floats(c, 1) ||
        !pair_axes(c, "a", "b", &mask_a, &mask_b) ||
        !pair_axes(c, "batch_a", "batch_b", &mask_a, &mask_b))
        return false;
    uint32_t used =
        (uint32_t)(__builtin_popcount(mask_a) + __builtin_popcount(mask_b));
    uint32_t rank = a->rank + b->rank - used + batch->as.ints.count;
    if (rank > TEGU_MAX_RANK)
        return tegu_refuse(c, TEGU_E_TOO_LARGE,
                           "got %s and %s; the result would have %u axes",
                           tegu_shown(c, a), tegu_shown(c, b), rank);
    c->out = (tegu_type){.dtype = TEGU_F32};
    for (uint32_t i = 0; i < batch->as.ints.count; i++)
        c->out.dims[c->out.rank++] = a->dims[batch->as.ints.data[i]];
    for (uint32_t i = 0; i < a->rank; i++)
        if (!(mask_a >> i & 1))
            c->out.dims[c->out.rank++] = a->dims[i];
    for (uint32_t i = 0; i < b->rank; i++)
        if (!(mask_b >> i & 1))
            c->out.dims[c->out.rank++] = b->dims[i];
    return true;
}
