/* SPDX-License-Identifier: Apache-2.0 */
/* axes.c - which dimensions go together.
 *
 * A dimension has a size and maybe the named axes it came from.  Sizes must
 * agree always; axes must agree where both sides have some, even if the sizes
 * happen to be equal: that is the check which finds a transposed weight in a
 * square matrix.  The IR compares sizes only, so this is done here, before a
 * node is added.  In expansions of composites sizes suffice (the op's own
 * operands were checked when it was written).
 */
#include "frontend/elab.h"
#include <string.h>

const char *tegu_elab_dim_text(const tegu_elab *el, tegu_dim dim)
{
    tegu_text text = {.arena = el->arena};
    tegu_dim_print(&text, el->unit, dim);
    return tegu_text_cstr(&text);
}

const char *tegu_elab_type_text(const tegu_elab *el, const tegu_type *type)
{
    return tegu_type_string(el->unit, el->arena, type);
}

/* "dim", "heads*head_dim" */
static const char *axes_text(const tegu_elab *el, tegu_dim dim)
{
    tegu_text text = {.arena = el->arena};
    for (int i = 0; i < TEGU_MAX_FACTORS && dim.axes[i]; i++)
        tegu_text_printf(&text, "%s%s", i ? "*" : "",
                         el->unit->axes.data[dim.axes[i]].name);
    return tegu_text_cstr(&text);
}

/* A symbol stands for its own axis. */
static tegu_dim with_axes(tegu_dim dim)
{
    if (!dim.axes[0] && dim.scale == 1 && dim.offset == 0)
        dim.axes[0] = dim.symbol;
    return dim;
}

/* Both dimensions have axes, and different ones. */
static bool axes_differ(tegu_dim a, tegu_dim b)
{
    a = with_axes(a);
    b = with_axes(b);
    return a.axes[0] && b.axes[0] && memcmp(a.axes, b.axes, sizeof a.axes) != 0;
}

bool tegu_dims_agree(tegu_elab *el, tegu_loc loc, const char *what, tegu_dim a,
                     tegu_dim b)
{
    if (!tegu_dim_equal(a, b))
        return tegu_elab_error(
            el, loc, TEGU_E_AXIS, "%s: %s and %s do not agree", what,
            tegu_elab_dim_text(el, a), tegu_elab_dim_text(el, b));
    if (el->core || !axes_differ(a, b))
        return true;
    tegu_dim value = a;
    memset(value.axes, 0, sizeof value.axes);
    return tegu_elab_error(
        el, loc, TEGU_E_AXIS,
        "%s: axes '%s' and '%s' differ, although both are %s; if they mean "
        "the same, rename one with 'as [...]'",
        what, axes_text(el, with_axes(a)), axes_text(el, with_axes(b)),
        tegu_elab_dim_text(el, value));
}

bool tegu_types_agree(tegu_elab *el, tegu_loc loc, const char *what,
                      const tegu_type *got, const tegu_type *want)
{
    const char *both = tegu_format(el->arena, "%s %s, not %s", what,
                                   tegu_elab_type_text(el, want),
                                   tegu_elab_type_text(el, got));
    if (got->dtype != want->dtype)
        return tegu_elab_error(el, loc, TEGU_E_DTYPE,
                               "%s; cast(x, %s) "
                               "converts",
                               both, tegu_dtype_text(want->dtype));
    if (got->rank != want->rank)
        return tegu_elab_error(el, loc, TEGU_E_SHAPE, "%s", both);
    for (uint32_t i = 0; i < got->rank; i++)
        if (!tegu_dims_agree(el, loc, both, got->dims[i], want->dims[i]))
            return false;
    return true;
}

/* --- the operands of an op --- */

typedef struct operands {
    tegu_elab *el;
    const tegu_node_spec *spec;
    const tegu_type *types[4];
    uint32_t count;
} operands;

/* "'add' got f32[T, dim=8] and f32[hidden=8]" */
static const char *describe(const operands *o, uint32_t a, uint32_t b)
{
    return tegu_format(o->el->arena, "'%s' got %s and %s",
                       tegu_op_get(o->spec->op)->text,
                       tegu_elab_type_text(o->el, o->types[a]),
                       tegu_elab_type_text(o->el, o->types[b]));
}

/* Axis i of operand a against axis j of operand b, where both exist. */
static bool pair(const operands *o, uint32_t a, int64_t i, uint32_t b,
                 int64_t j)
{
    const tegu_type *ta = o->types[a], *tb = o->types[b];
    if (i < 0 || j < 0 || i >= ta->rank || j >= tb->rank)
        return true;
    tegu_dim x = ta->dims[i], y = tb->dims[j];
    if (tegu_dim_equal(x, y) && !axes_differ(x, y))
        return true;
    return tegu_dims_agree(o->el, o->spec->loc, describe(o, a, b), x, y);
}

static bool check_broadcast_pair(const operands *o, uint32_t a, uint32_t b)
{
    const tegu_type *ta = o->types[a], *tb = o->types[b];
    for (int64_t k = 1; k <= ta->rank && k <= tb->rank; k++) {
        tegu_dim x = ta->dims[ta->rank - k], y = tb->dims[tb->rank - k];
        bool repeats = tegu_dim_is_one(x) || tegu_dim_is_one(y);
        if (repeats && !axes_differ(x, y))
            continue;
        if (!pair(o, a, ta->rank - k, b, tb->rank - k))
            return false;
    }
    return true;
}

static bool check_broadcast(const operands *o)
{
    for (uint32_t a = 0; a < o->count; a++)
        for (uint32_t b = a + 1; b < o->count; b++)
            if (!check_broadcast_pair(o, a, b))
                return false;
    return true;
}

static const tegu_attr *find_attr(const operands *o, const char *key)
{
    for (uint32_t i = 0; i < o->spec->attr_count; i++)
        if (strcmp(o->spec->attrs[i].info->key, key) == 0)
            return &o->spec->attrs[i];
    return NULL;
}

static bool check_pairs(const operands *o, const char *key_a, const char *key_b)
{
    const tegu_attr *a = find_attr(o, key_a), *b = find_attr(o, key_b);
    if (!a || !b)
        return true;
    for (uint32_t i = 0; i < a->as.ints.count && i < b->as.ints.count; i++)
        if (!pair(o, 0, a->as.ints.data[i], 1, b->as.ints.data[i]))
            return false;
    return true;
}

static bool check_contract(const operands *o)
{
    return check_pairs(o, "a", "b") && check_pairs(o, "batch_a", "batch_b");
}

static bool check_linear(const operands *o)
{
    return pair(o, 0, (int64_t)o->types[0]->rank - 1, 1, 1) &&
           (o->count < 3 || pair(o, 1, 0, 2, 0));
}

/* w [N, K], a [r, K], b [N, r] and m [N] */
static bool check_lora(const operands *o)
{
    return pair(o, 0, 1, 1, 1) && pair(o, 0, 0, 2, 0) && pair(o, 1, 0, 2, 1) &&
           (o->count < 4 || pair(o, 0, 0, 3, 0));
}

static bool check_norm(const operands *o)
{
    for (uint32_t i = 1; i < o->count; i++)
        if (!pair(o, 0, (int64_t)o->types[0]->rank - 1, i, 0))
            return false;
    return true;
}

static bool check_append(const operands *o)
{
    for (int64_t i = 1; i < o->types[0]->rank; i++)
        if (!pair(o, 0, i, 1, i))
            return false;
    return true;
}

/* q [T, heads, d], k and v [S, kv_heads, d] */
static bool check_attention(const operands *o)
{
    return pair(o, 0, 2, 1, 2) && pair(o, 0, 2, 2, 2) && pair(o, 1, 0, 2, 0) &&
           pair(o, 1, 1, 2, 1);
}

static const struct {
    const char *rule; /* column `infer` of ops.def */
    bool (*check)(const operands *);
} rules[] = {
    {"BROADCAST", check_broadcast}, {"COMPARE", check_broadcast},
    {"SELECT", check_broadcast},    {"CONTRACT", check_contract},
    {"LINEAR", check_linear},       {"NORM", check_norm},
    {"APPEND", check_append},       {"ATTENTION", check_attention},
    {"LORA", check_lora},           {"DORA", check_lora},
};

/* Any number of inputs: all axes but the one along which they follow. */
static bool check_concat(const operands *o)
{
    const tegu_attr *axis = find_attr(o, "axis");
    const tegu_graph *g = o->el->graph;
    operands two = *o;
    two.types[0] = tegu_graph_type(g, o->spec->inputs[0]);
    for (uint32_t n = 1; n < o->spec->input_count; n++) {
        two.types[1] = tegu_graph_type(g, o->spec->inputs[n]);
        for (int64_t i = 0; i < two.types[0]->rank; i++)
            if (axis && i != axis->as.i && !pair(&two, 0, i, 1, i))
                return false;
    }
    return true;
}

bool tegu_op_axes_agree(tegu_elab *el, const tegu_node_spec *spec)
{
    operands o = {.el = el, .spec = spec};
    if (el->core)
        return true;
    if (spec->op == TEGU_OP_CONCAT)
        return check_concat(&o);
    while (o.count < spec->input_count && o.count < 4) {
        o.types[o.count] = tegu_graph_type(el->graph, spec->inputs[o.count]);
        o.count++;
    }
    const char *rule = tegu_op_get(spec->op)->infer;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].rule, rule) == 0)
            return rules[i].check(&o);
    return true;
}
