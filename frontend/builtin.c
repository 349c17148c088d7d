/* SPDX-License-Identifier: Apache-2.0 */
/* builtin.c - the functions of builtins.def.
 *
 * Each takes an evaluated argument list and adds the nodes it stands for.
 * Leaves ops by their own names to op_call.c.
 */
#include "frontend/elab.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The argument as a tensor; 0 after reporting. */
static tegu_value tensor_arg(tegu_elab *el, tegu_site *site, uint32_t i)
{
    return tegu_elab_tensor(el, site->args.data[i].loc,
                            &site->args.data[i].term, TEGU_DTYPE_COUNT);
}

static const tegu_type *type_of(tegu_elab *el, tegu_value v)
{
    return tegu_graph_type(el->graph, v);
}

static tegu_term unary_node(tegu_elab *el, tegu_site *site, tegu_op op,
                            tegu_value x, const tegu_attr *attrs,
                            uint32_t attr_count, const tegu_type *type)
{
    tegu_node_spec spec = {.op = op,
                           .inputs = &x,
                           .input_count = x ? 1 : 0,
                           .attrs = attrs,
                           .attr_count = attr_count,
                           .type = type,
                           .loc = site->loc};
    return tegu_elab_node(el, &spec);
}

static tegu_term call_position(tegu_elab *el, tegu_site *site)
{
    const uint64_t *known = tegu_map_find(el->leaves, "position", 8);
    if (known)
        return tegu_term_tensor((tegu_value)*known);
    tegu_term v = unary_node(el, site, TEGU_OP_POSITION, 0, NULL, 0, NULL);
    if (v.kind == TEGU_TERM_TENSOR)
        tegu_map_set(el->leaves, "position", 8, v.u.tensor);
    return v;
}

/* --- sizes --- */

static tegu_term size_of(tegu_elab *el, tegu_site *site, tegu_value x,
                         int64_t axis)
{
    tegu_dim dim = type_of(el, x)->dims[axis];
    if (tegu_dim_is_static(dim))
        return tegu_term_dim(dim);
    tegu_attr attr = tegu_attr_of_int(TEGU_OP_SIZE, "axis", axis);
    return unary_node(el, site, TEGU_OP_SIZE, x, &attr, 1, NULL);
}

static tegu_term call_size(tegu_elab *el, tegu_site *site)
{
    int64_t axis;
    tegu_value x = tensor_arg(el, site, 0);
    if (!x || !tegu_elab_axis(el, site->args.data[1].loc,
                              &site->args.data[1].term, type_of(el, x), &axis))
        return tegu_term_error();
    return size_of(el, site, x, axis);
}

/* The axes that a term names: one integer or a list, ascending. */
static bool axes_of(tegu_elab *el, const tegu_site_arg *arg,
                    const tegu_type *type, int64_t *axes, uint32_t *count)
{
    bool list = arg->term.kind == TEGU_TERM_LIST, seen[TEGU_MAX_RANK] = {0};
    const tegu_term *items = list ? arg->term.u.list.items : &arg->term;
    uint32_t given = list ? arg->term.u.list.count : 1;
    for (uint32_t i = 0; i < given; i++) {
        int64_t axis;
        if (!tegu_elab_axis(el, arg->loc, &items[i], type, &axis))
            return false;
        if (seen[axis])
            return tegu_elab_error(el, arg->loc, TEGU_E_ATTRIBUTE,
                                   "axis %" PRId64 " is given twice", axis);
        seen[axis] = true;
    }
    *count = 0;
    for (uint32_t i = 0; i < type->rank; i++)
        if (seen[i])
            axes[(*count)++] = i;
    return true;
}

static tegu_term call_count(tegu_elab *el, tegu_site *site)
{
    int64_t axes[TEGU_MAX_RANK];
    uint32_t count;
    double known = 1;
    tegu_value x = tensor_arg(el, site, 0), product = 0;
    if (!x || !axes_of(el, &site->args.data[1], type_of(el, x), axes, &count))
        return tegu_term_error();
    for (uint32_t i = 0; i < count; i++) {
        tegu_term size = size_of(el, site, x, axes[i]);
        if (size.kind == TEGU_TERM_ERROR)
            return size;
        if (size.kind == TEGU_TERM_INTEGER) {
            known *= tegu_term_number(&size);
            continue;
        }
        tegu_attr to = tegu_attr_of_dtype(TEGU_OP_CAST, "dtype", TEGU_F32);
        tegu_value f =
            unary_node(el, site, TEGU_OP_CAST, size.u.tensor, &to, 1, NULL)
                .u.tensor;
        product =
            product ? tegu_build_binary(el->graph, tegu_elab_loc(el, site->loc),
                                        TEGU_OP_MUL, product, f)
                    : f;
    }
    tegu_term fixed = tegu_term_float(known);
    if (!product)
        return fixed;
    tegu_value scale = tegu_elab_tensor(el, site->loc, &fixed, TEGU_F32);
    return tegu_term_tensor(tegu_build_binary(
        el->graph, tegu_elab_loc(el, site->loc), TEGU_OP_MUL, product, scale));
}

static tegu_term call_iota(tegu_elab *el, tegu_site *site)
{
    tegu_site_arg *dims = &site->args.data[0];
    tegu_site_arg *along = tegu_site_take(site, "axis");
    tegu_term shape = dims->term;
    if (shape.kind != TEGU_TERM_LIST) {
        tegu_term *one = TEGU_NEW(el->arena, tegu_term);
        *one = shape;
        shape = (tegu_term){.kind = TEGU_TERM_LIST};
        shape.u.list.items = one;
        shape.u.list.count = 1;
    }
    tegu_type type = {.dtype = TEGU_I32};
    int64_t axis = 0;
    if (!tegu_elab_dims(el, dims->loc, &shape, NULL, &type) ||
        (along && !tegu_elab_axis(el, along->loc, &along->term, &type, &axis)))
        return tegu_term_error();
    tegu_attr attr = tegu_attr_of_int(TEGU_OP_IOTA, "axis", axis);
    return unary_node(el, site, TEGU_OP_IOTA, 0, &attr, 1,
                      tegu_unit_type(el->unit, &type));
}

/* --- shapes --- */

/* The axes that are left when n is split off a dimension's front. */
static tegu_dim rest_of(const tegu_elab *el, tegu_dim whole, tegu_dim n)
{
    int used = 0, left = 0;
    int64_t product = 1;
    tegu_dim rest = tegu_dim_static(whole.offset / n.offset);
    if (n.offset == 1 && !n.axes[0])
        return whole;
    while (used < TEGU_MAX_FACTORS && n.axes[used] &&
           n.axes[used] == whole.axes[used])
        used++;
    for (int i = used; i < TEGU_MAX_FACTORS && whole.axes[i]; i++) {
        const tegu_axis *axis = &el->unit->axes.data[whole.axes[i]];
        rest.axes[left++] = whole.axes[i];
        if (axis->symbolic ||
            __builtin_mul_overflow(product, axis->lo, &product))
            product = 0;
    }
    if (product != rest.offset)
        memset(rest.axes, 0, sizeof rest.axes);
    return rest;
}

static tegu_term call_split(tegu_elab *el, tegu_site *site)
{
    const tegu_site_arg *by = &site->args.data[1];
    tegu_value x = tensor_arg(el, site, 0);
    int64_t n;
    if (!x || !tegu_term_to_integer(el, by->loc, "the number of parts",
                                    &by->term, 1, INT32_MAX, &n))
        return tegu_term_error();
    tegu_type type = *type_of(el, x);
    tegu_dim whole = type.rank ? type.dims[type.rank - 1] : tegu_dim_static(0);
    if (!tegu_dim_is_static(whole) || whole.offset < 1 || whole.offset % n ||
        type.rank == TEGU_MAX_RANK) {
        tegu_elab_error(el, site->loc, TEGU_E_SHAPE,
                        "the last axis of %s does not split in %s parts",
                        tegu_elab_type_text(el, &type),
                        tegu_elab_dim_text(el, by->term.u.dim));
        return tegu_term_error();
    }
    tegu_dim front = {.axes = {whole.axes[0]}};
    bool factored = whole.axes[0] && whole.axes[1];
    if (!el->core && factored && by->term.u.dim.axes[0] &&
        by->term.u.dim.axes[0] != front.axes[0]) {
        tegu_elab_error(
            el, by->loc, TEGU_E_AXIS,
            "the last axis of %s is split by '%s', but begins with '%s'",
            tegu_elab_type_text(el, &type),
            el->unit->axes.data[by->term.u.dim.axes[0]].name,
            el->unit->axes.data[front.axes[0]].name);
        return tegu_term_error();
    }
    type.dims[type.rank - 1] = by->term.u.dim;
    type.dims[type.rank++] = rest_of(el, whole, by->term.u.dim);
    return tegu_elab_reshape(el, site->loc, x, tegu_unit_type(el->unit, &type));
}

static tegu_term call_merge(tegu_elab *el, tegu_site *site)
{
    tegu_value x = tensor_arg(el, site, 0);
    if (!x)
        return tegu_term_error();
    tegu_type type = *type_of(el, x);
    tegu_dim product;
    if (type.rank < 2 ||
        !tegu_dims_product(type.dims, type.rank - 2, type.rank, &product)) {
        tegu_elab_error(el, site->loc, TEGU_E_SHAPE,
                        "the last two axes of %s cannot be merged",
                        tegu_elab_type_text(el, &type));
        return tegu_term_error();
    }
    type.rank--;
    type.dims[type.rank - 1] = product;
    return tegu_elab_reshape(el, site->loc, x, tegu_unit_type(el->unit, &type));
}

static tegu_term call_reshape(tegu_elab *el, tegu_site *site)
{
    tegu_value x = tensor_arg(el, site, 0);
    if (!x)
        return tegu_term_error();
    tegu_type type = {.dtype = type_of(el, x)->dtype};
    const tegu_site_arg *dims = &site->args.data[1];
    if (!tegu_elab_dims(el, dims->loc, &dims->term, type_of(el, x), &type))
        return tegu_term_error();
    return tegu_elab_reshape(el, site->loc, x, tegu_unit_type(el->unit, &type));
}

static tegu_term call_broadcast(tegu_elab *el, tegu_site *site)
{
    tegu_value x = tensor_arg(el, site, 0);
    if (!x)
        return tegu_term_error();
    tegu_type type = {.dtype = type_of(el, x)->dtype};
    const tegu_site_arg *dims = &site->args.data[1];
    if (!tegu_elab_dims(el, dims->loc, &dims->term, NULL, &type))
        return tegu_term_error();
    return unary_node(el, site, TEGU_OP_BROADCAST, x, NULL, 0,
                      tegu_unit_type(el->unit, &type));
}

/* A slice that changes one axis: from `start` by `step`, `extent` long. */
static tegu_term slice_axis(tegu_elab *el, tegu_site *site, tegu_value x,
                            int64_t axis, int64_t start, int64_t step,
                            tegu_dim extent)
{
    tegu_type type = *type_of(el, x);
    int64_t starts[TEGU_MAX_RANK] = {0}, steps[TEGU_MAX_RANK];
    for (uint32_t i = 0; i < type.rank; i++)
        steps[i] = 1;
    starts[axis] = start;
    steps[axis] = step;
    type.dims[axis] = extent;
    tegu_attr attrs[] = {
        tegu_attr_of_ints(el->unit, TEGU_OP_SLICE, "start", starts, type.rank),
        tegu_attr_of_ints(el->unit, TEGU_OP_SLICE, "step", steps, type.rank)};
    return unary_node(el, site, TEGU_OP_SLICE, x, attrs, 2,
                      tegu_unit_type(el->unit, &type));
}

static tegu_term call_last(tegu_elab *el, tegu_site *site)
{
    tegu_value x = tensor_arg(el, site, 0);
    if (!x)
        return tegu_term_error();
    const tegu_type *type = type_of(el, x);
    if (type->rank == 0) {
        tegu_elab_error(el, site->loc, TEGU_E_SHAPE,
                        "'last' needs a tensor with rows, not %s",
                        tegu_elab_type_text(el, type));
        return tegu_term_error();
    }
    int64_t start =
        tegu_dim_is_static(type->dims[0]) ? type->dims[0].offset - 1 : -1;
    return slice_axis(el, site, x, 0, start, 1, tegu_dim_static(1));
}

static tegu_term call_reverse(tegu_elab *el, tegu_site *site)
{
    tegu_value x = tensor_arg(el, site, 0);
    tegu_site_arg *along = tegu_site_take(site, "axis");
    tegu_term none = tegu_term_integer(-1);
    int64_t axis;
    if (!x ||
        !tegu_elab_axis(el, along ? along->loc : site->loc,
                        along ? &along->term : &none, type_of(el, x), &axis))
        return tegu_term_error();
    tegu_dim dim = type_of(el, x)->dims[axis];
    if (tegu_dim_is_static(dim))
        return slice_axis(el, site, x, axis, dim.offset - 1, -1, dim);
    tegu_elab_error(el, site->loc, TEGU_E_SHAPE,
                    "only an axis of constant size can be reversed, not %s",
                    tegu_elab_dim_text(el, dim));
    return tegu_term_error();
}

/* --- state, selection, products --- */

static tegu_term call_append(tegu_elab *el, tegu_site *site)
{
    const tegu_term *to = &site->args.data[0].term;
    if (to->kind != TEGU_TERM_STATE) {
        tegu_elab_error(el, site->args.data[0].loc, TEGU_E_STATE,
                        "append writes to a state, not to %s",
                        tegu_term_describe(to));
        return tegu_term_error();
    }
    const char *name = to->u.state;
    if (!tegu_unit_find_state(el->unit, name)->appended) {
        tegu_elab_error(el, site->args.data[0].loc, TEGU_E_STATE,
                        "state '%s' is replaced by set; declare it as 'state "
                        "%s: append f32[...]' to append",
                        name, name);
        return tegu_term_error();
    }
    tegu_term v = tegu_op_apply(el, site, TEGU_OP_APPEND);
    if (v.kind == TEGU_TERM_TENSOR &&
        !tegu_elab_update(el, site->loc, name, v.u.tensor))
        return tegu_term_error();
    return v;
}

static tegu_term call_where(tegu_elab *el, tegu_site *site)
{
    return tegu_op_apply(el, site, TEGU_OP_SELECT);
}

static tegu_term call_matmul(tegu_elab *el, tegu_site *site)
{
    tegu_value x[2] = {tensor_arg(el, site, 0), tensor_arg(el, site, 1)};
    if (!x[0] || !x[1])
        return tegu_term_error();
    const tegu_type *a = type_of(el, x[0]), *b = type_of(el, x[1]);
    bool flat = b->rank == 2;
    if (a->rank < 1 || b->rank < 2 || (!flat && a->rank != b->rank)) {
        tegu_elab_error(el, site->loc, TEGU_E_SHAPE,
                        "'matmul' got %s and %s; it takes [.., m, k] and "
                        "[k, n] or [.., k, n]",
                        tegu_elab_type_text(el, a), tegu_elab_type_text(el, b));
        return tegu_term_error();
    }
    int64_t batch[TEGU_MAX_RANK], k_a = a->rank - 1, k_b = b->rank - 2;
    uint32_t batches = flat ? 0 : b->rank - 2;
    for (uint32_t i = 0; i < batches; i++)
        batch[i] = i;
    const tegu_op op = TEGU_OP_CONTRACT;
    tegu_attr attrs[] = {
        tegu_attr_of_ints(el->unit, op, "a", &k_a, 1),
        tegu_attr_of_ints(el->unit, op, "b", &k_b, 1),
        tegu_attr_of_ints(el->unit, op, "batch_a", batch, batches),
        tegu_attr_of_ints(el->unit, op, "batch_b", batch, batches)};
    tegu_node_spec spec = {.op = op,
                           .inputs = x,
                           .input_count = 2,
                           .attrs = attrs,
                           .attr_count = 4,
                           .loc = site->loc};
    return tegu_elab_node(el, &spec);
}

/* --- reductions --- */

static tegu_term reduce(tegu_elab *el, tegu_site *site, tegu_op op)
{
    tegu_value x = tensor_arg(el, site, 0);
    tegu_site_arg *one = tegu_site_take(site, "axis");
    tegu_site_arg *many = tegu_site_take(site, "axes");
    tegu_site_arg *keep = tegu_site_take(site, "keep");
    if (one && many) {
        tegu_elab_error(el, many->loc, TEGU_E_ARGUMENT,
                        "'%s' takes axis or axes, not both", site->name);
        return tegu_term_error();
    }
    if (keep && keep->term.kind != TEGU_TERM_BOOL) {
        tegu_elab_error(el, keep->loc, TEGU_E_ATTRIBUTE,
                        "'keep' must be true or false, not %s",
                        tegu_term_describe(&keep->term));
        return tegu_term_error();
    }
    if (!x)
        return tegu_term_error();
    const tegu_type *type = type_of(el, x);
    int64_t axes[TEGU_MAX_RANK];
    uint32_t count = type->rank;
    for (uint32_t i = 0; i < count; i++)
        axes[i] = i;
    tegu_site_arg *given = one ? one : many;
    if (given && !axes_of(el, given, type, axes, &count))
        return tegu_term_error();
    tegu_attr attrs[] = {
        tegu_attr_of_ints(el->unit, op, "axes", axes, count),
        tegu_attr_of_bool(op, "keep", keep && keep->term.u.truth)};
    return unary_node(el, site, op, x, attrs, 2, NULL);
}

static tegu_term call_sum(tegu_elab *el, tegu_site *site)
{
    return reduce(el, site, TEGU_OP_REDUCE_SUM);
}

static tegu_term call_mean(tegu_elab *el, tegu_site *site)
{
    return reduce(el, site, TEGU_OP_MEAN);
}

static tegu_term call_max(tegu_elab *el, tegu_site *site)
{
    return site->positional == 2 ? tegu_op_apply(el, site, TEGU_OP_MAX)
                                 : reduce(el, site, TEGU_OP_REDUCE_MAX);
}

static tegu_term call_min(tegu_elab *el, tegu_site *site)
{
    return site->positional == 2 ? tegu_op_apply(el, site, TEGU_OP_MIN)
                                 : reduce(el, site, TEGU_OP_REDUCE_MIN);
}

/* --- rotary frequencies --- */

typedef struct scaling {
    double theta, factor, low, high, original;
} scaling;

/* Frequency i of n/2: theta^(-2i/n), scaled linearly, or as Llama 3 does
 * (Hugging Face's _compute_llama3_parameters): long waves by the factor, short
 * ones not, those between smoothly. */
static double frequency(const scaling *s, int64_t i, int64_t n)
{
    const double tau = 6.28318530717958647692;
    double f = pow(s->theta, -2.0 * (double)i / (double)n);
    if (s->low == 0.0)
        return f / s->factor;
    double wave = tau / f;
    if (wave < s->original / s->high)
        return f;
    if (wave > s->original / s->low)
        return f / s->factor;
    double smooth = (s->original / wave - s->low) / (s->high - s->low);
    return (1.0 - smooth) * f / s->factor + smooth * f;
}

static bool scaling_of(tegu_elab *el, tegu_site *site, scaling *s)
{
    const struct {
        const char *name;
        double *to;
    } rows[] = {{"theta", &s->theta},
                {"factor", &s->factor},
                {"low", &s->low},
                {"high", &s->high},
                {"original", &s->original}};
    *s = (scaling){.theta = 10000.0, .factor = 1.0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tegu_site_arg *arg = tegu_site_take(site, rows[i].name);
        if (!arg)
            continue;
        if (!tegu_term_is_number(&arg->term))
            return tegu_elab_error(
                el, arg->loc, TEGU_E_ATTRIBUTE, "'%s' must be a number, not %s",
                rows[i].name, tegu_term_describe(&arg->term));
        *rows[i].to = tegu_term_number(&arg->term);
    }
    bool llama3 = s->low != 0.0;
    if (!(s->theta > 0.0 && s->factor > 0.0) ||
        (llama3 && !(s->low > 0.0 && s->high > s->low && s->original > 0.0)))
        return tegu_elab_error(el, site->loc, TEGU_E_ATTRIBUTE,
                               "rotary frequencies need theta > 0, factor > 0 "
                               "and, with low, high > low and original > 0");
    return true;
}

static tegu_term call_rope_frequencies(tegu_elab *el, tegu_site *site)
{
    scaling s;
    int64_t n;
    const tegu_site_arg *arg = &site->args.data[0];
    if (!scaling_of(el, site, &s) ||
        !tegu_term_to_integer(el, arg->loc, "the number of rotated dimensions",
                              &arg->term, 2, 1 << 20, &n))
        return tegu_term_error();
    if (n % 2) {
        tegu_elab_error(
            el, arg->loc, TEGU_E_SHAPE,
            "rotary embedding turns pairs; %" PRId64 " dimensions are odd", n);
        return tegu_term_error();
    }
    int64_t half = n / 2;
    float *data = TEGU_ARRAY(el->arena, float, (size_t)half);
    for (int64_t i = 0; i < half; i++)
        data[i] = (float)frequency(&s, i, n);
    tegu_node_spec spec = {.op = TEGU_OP_CONST,
                           .type =
                               tegu_unit_shape(el->unit, TEGU_F32, 1, &half),
                           .data = data,
                           .loc = site->loc};
    return tegu_elab_node(el, &spec);
}

/* --- the table --- */

typedef struct builtin {
    const char *name;
    uint32_t min, max;
    const char *named;
    tegu_term (*call)(tegu_elab *, tegu_site *);
} builtin;

static const builtin builtins[] = {
#define TEGU_BUILTIN(name, min, max, named, summary)                           \
    {#name, min, max, named, call_##name},
#include "frontend/builtins.def"
};
static const char *const names[] = {
#define TEGU_BUILTIN(name, min, max, named, summary) #name,
#include "frontend/builtins.def"
};

const char *const *tegu_builtin_names(uint32_t *count)
{
    *count = sizeof names / sizeof *names;
    return names;
}

/* Every named argument must be one of the blank-separated words. */
static bool check_named(tegu_elab *el, tegu_site *site, const builtin *b)
{
    const char *known[8];
    uint32_t count = 0;
    char *words = tegu_arena_copy(el->arena, b->named, strlen(b->named) + 1);
    char *save = NULL;
    for (char *w = strtok_r(words, " ", &save); w;
         w = strtok_r(NULL, " ", &save))
        known[count++] = w;
    for (uint32_t i = site->positional; i < site->args.count; i++)
        for (uint32_t k = 0; k < count; k++)
            if (strcmp(site->args.data[i].name, known[k]) == 0)
                site->args.data[i].used = true;
    return tegu_site_finish(el, site, known, count);
}

bool tegu_builtin_call(tegu_elab *el, tegu_site *site, tegu_term *result)
{
    const builtin *b = NULL;
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins && !b; i++)
        if (strcmp(builtins[i].name, site->name) == 0)
            b = &builtins[i];
    if (!b)
        return false;
    *result = tegu_term_error();
    if (site->positional < b->min || site->positional > b->max)
        tegu_elab_error(el, site->loc, TEGU_E_ARGUMENT,
                        "'%s' takes %u%s argument%s, got %u", b->name, b->max,
                        b->min == b->max ? "" : " at most",
                        b->max == 1 ? "" : "s", site->positional);
    else if (check_named(el, site, b))
        *result = b->call(el, site);
    return true;
}
