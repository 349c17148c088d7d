/* SPDX-License-Identifier: Apache-2.0 */
/* op_call.c - a call of an op by its text in ops.def: rms_norm(x, w, eps =
 * 1e-5).
 *
 * The first arguments are the op's inputs, up to their largest number; those
 * that follow are its attributes in the table's order, or named.  Names,
 * kinds and defaults of attributes are the table's.  A negative axis counts
 * from the end of the input that it belongs to.  Ops on compile-time numbers
 * alone are computed at once where term.c can.
 */
#include "frontend/elab.h"
#include <inttypes.h>
#include <string.h>

enum { MOST_ATTRS = 16 };

tegu_site_arg *tegu_site_take(tegu_site *site, const char *name)
{
    for (uint32_t i = site->positional; i < site->args.count; i++)
        if (strcmp(site->args.data[i].name, name) == 0) {
            site->args.data[i].used = true;
            return &site->args.data[i];
        }
    return NULL;
}

bool tegu_site_finish(tegu_elab *el, tegu_site *site, const char *const *known,
                      uint32_t count)
{
    for (uint32_t i = site->positional; i < site->args.count; i++) {
        const tegu_site_arg *arg = &site->args.data[i];
        if (arg->used)
            continue;
        const char *near = tegu_nearest(arg->name, known, count);
        return tegu_elab_error(
            el, arg->loc, TEGU_E_ARGUMENT, "'%s' has no argument '%s'%s",
            site->name, arg->name,
            near ? tegu_format(el->arena, "; did you mean '%s'?", near) : "");
    }
    return true;
}

bool tegu_elab_axis(tegu_elab *el, tegu_loc loc, const tegu_term *term,
                    const tegu_type *type, int64_t *axis)
{
    if (!tegu_term_to_integer(el, loc, "an axis", term, INT32_MIN, INT32_MAX,
                              axis))
        return false;
    int64_t rank = type->rank;
    if (*axis < -rank || *axis >= rank) {
        if (rank == 0)
            return tegu_elab_error(el, loc, TEGU_E_SHAPE,
                                   "%s has no axis %" PRId64,
                                   tegu_elab_type_text(el, type), *axis);
        return tegu_elab_error(
            el, loc, TEGU_E_SHAPE,
            "%s has no axis %" PRId64 "; its axes are %" PRId64 " to %" PRId64,
            tegu_elab_type_text(el, type), *axis, -rank, rank - 1);
    }
    if (*axis < 0)
        *axis += rank;
    return true;
}

/* --- inputs --- */

/* Inputs whose dtype does not follow the others': indices, positions,
 * conditions. */
static const struct {
    tegu_op op;
    uint32_t input;
    tegu_dtype dtype;
} fixed[] = {
    {TEGU_OP_EMBED, 0, TEGU_I32},   {TEGU_OP_GATHER, 1, TEGU_I32},
    {TEGU_OP_ROPE, 1, TEGU_I32},    {TEGU_OP_ATTENTION, 3, TEGU_I32},
    {TEGU_OP_SELECT, 0, TEGU_BOOL},
};

static tegu_dtype fixed_dtype(tegu_op op, uint32_t input)
{
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (fixed[i].op == op && fixed[i].input == input)
            return fixed[i].dtype;
    return TEGU_DTYPE_COUNT;
}

/* The dtype that numbers among the inputs take: that of the first tensor. */
static tegu_dtype common_dtype(tegu_elab *el, tegu_op op, const tegu_site *site,
                               uint32_t inputs)
{
    tegu_dtype numbers =
        tegu_op_has(op, TEGU_FLOATONLY) ? TEGU_F32 : TEGU_DTYPE_COUNT;
    for (uint32_t i = 0; i < inputs; i++) {
        const tegu_term *term = &site->args.data[i].term;
        if (fixed_dtype(op, i) != TEGU_DTYPE_COUNT)
            continue;
        if (term->kind == TEGU_TERM_TENSOR || term->kind == TEGU_TERM_STATE)
            return tegu_elab_type_of(el, term)->dtype;
        if (term->kind == TEGU_TERM_FLOAT)
            numbers = TEGU_F32;
    }
    return numbers;
}

static bool inputs_of(tegu_elab *el, tegu_op op, tegu_site *site,
                      uint32_t count, tegu_value *values)
{
    tegu_dtype common = common_dtype(el, op, site, count);
    bool ok = true;
    for (uint32_t i = 0; i < count; i++) {
        const tegu_site_arg *arg = &site->args.data[i];
        tegu_dtype hint = fixed_dtype(op, i);
        if (hint == TEGU_DTYPE_COUNT)
            hint = common;
        values[i] = tegu_elab_tensor(el, arg->loc, &arg->term, hint);
        ok = ok && values[i];
    }
    return ok;
}

/* --- attributes --- */

/* The input that an axis attribute speaks of; -1 for other attributes. */
static int axis_input(const char *key)
{
    static const char *const first[] = {"axis", "axes", "perm", "a", "batch_a"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (strcmp(key, first[i]) == 0)
            return 0;
    return strcmp(key, "b") == 0 || strcmp(key, "batch_b") == 0 ? 1 : -1;
}

static bool wrong_kind(tegu_elab *el, const tegu_site *site,
                       const tegu_site_arg *arg, const char *key,
                       const char *want)
{
    return tegu_elab_error(el, arg->loc, TEGU_E_ATTRIBUTE,
                           "'%s' of '%s' must be %s, not %s", key, site->name,
                           want, tegu_term_describe(&arg->term));
}

static bool ints_attr(tegu_elab *el, const tegu_site_arg *arg, const char *key,
                      const tegu_type *type, tegu_attr *attr)
{
    bool list = arg->term.kind == TEGU_TERM_LIST;
    const tegu_term *items = list ? arg->term.u.list.items : &arg->term;
    uint32_t count = list ? arg->term.u.list.count : 1;
    int64_t *data = TEGU_ARRAY(el->arena, int64_t, count ? count : 1);
    const char *what = tegu_format(el->arena, "'%s'", key);
    for (uint32_t i = 0; i < count; i++)
        if (!(type ? tegu_elab_axis(el, arg->loc, &items[i], type, &data[i])
                   : tegu_term_to_integer(el, arg->loc, what, &items[i],
                                          INT32_MIN, INT32_MAX, &data[i])))
            return false;
    *attr = tegu_attr_of_ints(el->unit, attr->info->op, key, data, count);
    return true;
}

/* The argument as the attribute that attr->info describes; `type`: of the
 * input whose axes it counts, NULL for others. */
static bool attr_of(tegu_elab *el, const tegu_site *site,
                    const tegu_site_arg *arg, const tegu_type *type,
                    tegu_attr *attr)
{
    const char *key = attr->info->key;
    const tegu_term *term = &arg->term;
    switch (attr->info->kind) {
    case TEGU_ATTR_INT:
        return type ? tegu_elab_axis(el, arg->loc, term, type, &attr->as.i)
                    : tegu_term_to_integer(
                          el, arg->loc, tegu_format(el->arena, "'%s'", key),
                          term, INT32_MIN, INT32_MAX, &attr->as.i);
    case TEGU_ATTR_FLOAT:
        if (!tegu_term_is_number(term))
            return wrong_kind(el, site, arg, key, "a number");
        attr->as.f = tegu_term_number(term);
        return true;
    case TEGU_ATTR_BOOL:
        if (term->kind != TEGU_TERM_BOOL)
            return wrong_kind(el, site, arg, key, "true or false");
        attr->as.b = term->u.truth;
        return true;
    case TEGU_ATTR_DTYPE:
        if (term->kind != TEGU_TERM_DTYPE)
            return wrong_kind(el, site, arg, key, "f32, i32, i64 or bool");
        attr->as.dtype = term->u.dtype;
        return true;
    case TEGU_ATTR_TEXT:
        if (term->kind != TEGU_TERM_TEXT)
            return wrong_kind(el, site, arg, key, "a string");
        attr->as.text = term->u.text;
        return true;
    case TEGU_ATTR_INTS: return ints_attr(el, arg, key, type, attr);
    }
    return false;
}

/* Arguments by position that are inputs; further ones are attributes. */
static uint32_t slots_of(const tegu_site *site, const tegu_op_info *info)
{
    return site->positional < info->max ? site->positional : info->max;
}

/* All attributes that the site gives. */
static bool attrs_of(tegu_elab *el, tegu_site *site, tegu_op op,
                     const tegu_value *values, uint32_t inputs,
                     tegu_attr *attrs, uint32_t *count)
{
    const tegu_op_info *info = tegu_op_get(op);
    const char *known[MOST_ATTRS];
    *count = 0;
    for (uint32_t i = 0; i < info->attr_count; i++) {
        const tegu_attr_info *row = &info->attrs[i];
        uint32_t at = slots_of(site, info) + i;
        tegu_site_arg *arg =
            at < site->positional ? &site->args.data[at] : NULL;
        tegu_site_arg *named = tegu_site_take(site, row->key);
        known[i] = row->key;
        if (arg && named)
            return tegu_elab_error(el, named->loc, TEGU_E_ARGUMENT,
                                   "'%s' is given twice", row->key);
        arg = arg ? arg : named;
        if (!arg)
            continue;
        int input = axis_input(row->key);
        const tegu_type *type = input >= 0 && (uint32_t)input < inputs
                                    ? tegu_graph_type(el->graph, values[input])
                                    : NULL;
        attrs[*count] = (tegu_attr){.info = row};
        if (!attr_of(el, site, arg, type, &attrs[(*count)++]))
            return false;
    }
    return tegu_site_finish(el, site, known, info->attr_count);
}

/* Inputs given, less a last one that is none. */
static bool check_count(tegu_elab *el, const tegu_site *site,
                        const tegu_op_info *info, uint32_t *inputs)
{
    uint32_t slots = slots_of(site, info);
    bool any = info->max == 255;
    *inputs = slots;
    if (slots > info->min &&
        site->args.data[slots - 1].term.kind == TEGU_TERM_NONE)
        --*inputs;
    if (site->positional >= info->min &&
        site->positional <= info->max + (any ? 0 : info->attr_count))
        return true;
    const char *want =
        any && !site->positional
            ? tegu_format(el->arena, "%d or more", info->min)
        : info->min == info->max
            ? tegu_format(el->arena, "%d", info->min)
            : tegu_format(el->arena, "%d to %d", info->min, info->max);
    return tegu_elab_error(el, site->loc, TEGU_E_ARGUMENT,
                           "'%s' takes %s tensor%s, got %u", site->name, want,
                           info->max == 1 ? "" : "s", site->positional);
}

tegu_term tegu_op_apply(tegu_elab *el, tegu_site *site, tegu_op op)
{
    const tegu_op_info *info = tegu_op_get(op);
    tegu_term terms[2], result;
    uint32_t inputs, attr_count;
    if (!check_count(el, site, info, &inputs))
        return tegu_term_error();
    if (site->args.count == inputs && inputs >= 1 && inputs <= 2) {
        for (uint32_t i = 0; i < inputs; i++)
            terms[i] = site->args.data[i].term;
        if (tegu_term_apply(op, terms, inputs, &result))
            return result;
    }
    tegu_value values[255];
    tegu_attr attrs[MOST_ATTRS];
    if (!inputs_of(el, op, site, inputs, values) ||
        !attrs_of(el, site, op, values, inputs, attrs, &attr_count))
        return tegu_term_error();
    tegu_node_spec spec = {.op = op,
                           .inputs = values,
                           .input_count = inputs,
                           .attrs = attrs,
                           .attr_count = attr_count,
                           .loc = site->loc};
    return tegu_elab_node(el, &spec);
}

/* Ops that the language writes in another way. */
static const struct {
    tegu_op op;
    const char *instead;
} otherwise[] = {
    {TEGU_OP_SLICE, "write x[a..b]"},
    {TEGU_OP_INPUT, "inputs are an entry's arguments"},
    {TEGU_OP_CONST, "write the numbers: [1.0, 2.0]"},
    {TEGU_OP_ARG, "only kernels' bodies hold it"},
    {TEGU_OP_KERNEL, "the compiler makes it"},
};

bool tegu_op_call(tegu_elab *el, tegu_site *site, tegu_term *result)
{
    tegu_op op = tegu_op_find(site->name, strlen(site->name));
    if (op == TEGU_OP_COUNT)
        return false;
    for (size_t i = 0; i < sizeof otherwise / sizeof *otherwise; i++)
        if (otherwise[i].op == op) {
            tegu_elab_error(el, site->loc, TEGU_E_NAME,
                            "'%s' is not called by name; %s", site->name,
                            otherwise[i].instead);
            *result = tegu_term_error();
            return true;
        }
    *result = tegu_op_apply(el, site, op);
    return true;
}
