/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - x[a..b by s, i, ..] as slice and reshape nodes.
 *
 * Negative bounds count from the end.  A range keeps its axis' name when it
 * takes the whole of it, and takes the bound's name when it begins at 0
 * (x[0..kv_heads] has axis kv_heads).
 */
#include "frontend/elab.h"
#include <inttypes.h>
#include <string.h>

/* What is left of one axis. */
typedef struct part {
    tegu_dim extent;
    int64_t start, step;
    bool dropped; /* a single index */
    bool whole;
} part;

static bool out_of_range(tegu_elab *el, tegu_loc loc, tegu_dim axis)
{
    return tegu_elab_error(el, loc, TEGU_E_SHAPE,
                           "the index leaves the axis %s",
                           tegu_elab_dim_text(el, axis));
}

/* A bound of an index; *given is false for one that was left out. */
static bool bound(tegu_elab *el, const tegu_expr *e, tegu_dim *dim)
{
    if (!e)
        return true;
    tegu_term term = tegu_elab_expr(el, e);
    if (term.kind == TEGU_TERM_ERROR)
        return false;
    if (term.kind != TEGU_TERM_INTEGER)
        return tegu_elab_error(el, e->loc, TEGU_E_SHAPE,
                               "an index is an integer known at compile time, "
                               "not %s; gather takes tensors of indices",
                               tegu_term_describe(&term));
    *dim = term.u.dim;
    return true;
}

static bool single(tegu_elab *el, const tegu_index *item, tegu_dim axis,
                   part *out)
{
    tegu_dim at = {0};
    int64_t lo, hi;
    if (!bound(el, item->lo, &at))
        return false;
    if (at.symbol || !tegu_dim_bounds(el->unit, axis, &lo, &hi) ||
        at.offset < -lo || at.offset >= lo)
        return out_of_range(el, item->loc, axis);
    if (at.offset < 0 && !axis.symbol)
        at.offset += axis.offset;
    *out = (part){tegu_dim_static(1), at.offset, 1, true, false};
    return true;
}

/* hi - lo, as a dimension. */
static bool extent_of(tegu_dim lo, tegu_dim hi, tegu_dim *extent)
{
    *extent = hi;
    if (lo.offset == 0)
        return true;
    memset(extent->axes, 0, sizeof extent->axes);
    return !__builtin_sub_overflow(hi.offset, lo.offset, &extent->offset);
}

static bool step_of(tegu_elab *el, const tegu_index *item, int64_t *step)
{
    *step = 1;
    if (!item->step)
        return true;
    tegu_term term = tegu_elab_expr(el, item->step);
    return tegu_term_to_integer(el, item->step->loc, "a step", &term, 1,
                                INT32_MAX, step);
}

/* Counts bounds from the start.  lo stays negative only on a symbolic axis,
 * where hi then counts from the end too. */
static bool place(tegu_elab *el, const tegu_index *item, tegu_dim axis,
                  tegu_dim *lo, tegu_dim *hi)
{
    if (lo->symbol)
        return tegu_elab_error(el, item->loc, TEGU_E_SHAPE,
                               "a range begins at a constant, not at %s",
                               tegu_elab_dim_text(el, *lo));
    bool from_end = lo->offset < 0 && axis.symbol;
    if (lo->offset < 0 && !axis.symbol)
        lo->offset += axis.offset;
    if (!item->hi) {
        *hi = from_end ? tegu_dim_static(0) : axis;
        return lo->offset >= 0 || from_end || out_of_range(el, item->loc, axis);
    }
    if (!hi->symbol && hi->offset < 0 && !from_end) {
        hi->offset += axis.offset;
        hi->scale = axis.scale;
        hi->symbol = axis.symbol;
    }
    if ((from_end && (hi->symbol || hi->offset >= 0)) ||
        (!from_end && lo->offset < 0))
        return out_of_range(el, item->loc, axis);
    return true;
}

/* The range's end may not pass the axis' for any value of the symbols. */
static bool ends_inside(const tegu_elab *el, tegu_dim axis, tegu_dim hi)
{
    int64_t low, high, end_low, end_high;
    tegu_dim left = {.symbol = axis.symbol ? axis.symbol : hi.symbol};
    if (!axis.symbol || !hi.symbol || axis.symbol == hi.symbol)
        return !__builtin_sub_overflow(axis.scale, hi.scale, &left.scale) &&
               !__builtin_sub_overflow(axis.offset, hi.offset, &left.offset) &&
               tegu_dim_bounds(el->unit, left, &low, &high) && low >= 0;
    return tegu_dim_bounds(el->unit, axis, &low, &high) &&
           tegu_dim_bounds(el->unit, hi, &end_low, &end_high) &&
           end_high <= low;
}

static bool range(tegu_elab *el, const tegu_index *item, tegu_dim axis,
                  part *out)
{
    tegu_dim lo = {0}, hi = axis, extent;
    int64_t step, low, high;
    if (!bound(el, item->lo, &lo) || !bound(el, item->hi, &hi) ||
        !step_of(el, item, &step) || !place(el, item, axis, &lo, &hi))
        return false;
    int64_t least = axis.symbol && lo.offset < 0 ? -lo.offset : 0;
    if (least ? !tegu_dim_bounds(el->unit, axis, &low, &high) || least > low
              : !ends_inside(el, axis, hi))
        return out_of_range(el, item->loc, axis);
    if (!extent_of(lo, hi, &extent) ||
        !tegu_dim_bounds(el->unit, extent, &low, &high) || low < 1)
        return tegu_elab_error(el, item->loc, TEGU_E_SHAPE,
                               "the range of %s is empty",
                               tegu_elab_dim_text(el, axis));
    if (step > 1 && extent.symbol)
        return tegu_elab_error(el, item->loc, TEGU_E_SHAPE,
                               "a step needs a range of constant length, not "
                               "%s",
                               tegu_elab_dim_text(el, extent));
    if (step > 1)
        extent = tegu_dim_static((extent.offset - 1) / step + 1);
    bool whole = step == 1 && lo.offset == 0 && tegu_dim_equal(extent, axis);
    *out = (part){whole ? axis : extent, lo.offset, step, false, whole};
    return true;
}

/* One part per axis of x. */
static bool parts_of(tegu_elab *el, const tegu_expr *e, const tegu_type *x,
                     part *parts)
{
    uint32_t written = 0, rests = 0, count = e->u.index.items.count;
    for (uint32_t i = 0; i < count; i++)
        e->u.index.items.data[i].rest ? rests++ : written++;
    if (rests > 1)
        return tegu_elab_error(el, e->loc, TEGU_E_SHAPE,
                               "only one '..' can stand in an index; 0.. "
                               "takes a whole axis");
    if (written > x->rank)
        return tegu_elab_error(el, e->loc, TEGU_E_SHAPE, "%u indices for %s",
                               written, tegu_elab_type_text(el, x));
    for (uint32_t i = 0; i < x->rank; i++)
        parts[i] = (part){x->dims[i], 0, 1, false, true};
    for (uint32_t i = 0, axis = 0; i < count; i++) {
        const tegu_index *item = &e->u.index.items.data[i];
        if (item->rest) {
            axis += x->rank - written;
            continue;
        }
        tegu_dim dim = x->dims[axis];
        if (!(item->range ? range(el, item, dim, &parts[axis])
                          : single(el, item, dim, &parts[axis])))
            return false;
        axis++;
    }
    return true;
}

static tegu_value slice(tegu_elab *el, tegu_loc loc, tegu_value x,
                        const part *parts)
{
    tegu_type type = *tegu_graph_type(el->graph, x);
    int64_t start[TEGU_MAX_RANK], step[TEGU_MAX_RANK];
    bool whole = true;
    for (uint32_t i = 0; i < type.rank; i++) {
        start[i] = parts[i].start;
        step[i] = parts[i].step;
        type.dims[i] = parts[i].extent;
        whole = whole && parts[i].whole;
    }
    if (whole)
        return x;
    tegu_attr attrs[] = {
        tegu_attr_of_ints(el->unit, TEGU_OP_SLICE, "start", start, type.rank),
        tegu_attr_of_ints(el->unit, TEGU_OP_SLICE, "step", step, type.rank)};
    tegu_node_spec spec = {.op = TEGU_OP_SLICE,
                           .inputs = &x,
                           .input_count = 1,
                           .type = tegu_unit_type(el->unit, &type),
                           .attrs = attrs,
                           .attr_count = 2,
                           .loc = loc};
    return tegu_elab_node(el, &spec).u.tensor;
}

tegu_term tegu_elab_index(tegu_elab *el, const tegu_expr *e)
{
    part parts[TEGU_MAX_RANK];
    tegu_term base = tegu_elab_expr(el, e->u.index.base);
    tegu_value x =
        tegu_elab_tensor(el, e->u.index.base->loc, &base, TEGU_DTYPE_COUNT);
    if (!x || !parts_of(el, e, tegu_graph_type(el->graph, x), parts))
        return tegu_term_error();
    tegu_value v = slice(el, e->loc, x, parts);
    if (!v)
        return tegu_term_error();
    const tegu_type *sliced = tegu_graph_type(el->graph, v);
    tegu_type type = {.dtype = sliced->dtype};
    for (uint32_t i = 0; i < sliced->rank; i++)
        if (!parts[i].dropped)
            type.dims[type.rank++] = sliced->dims[i];
    if (type.rank == sliced->rank)
        return tegu_term_tensor(v);
    return tegu_elab_reshape(el, e->loc, v, tegu_unit_type(el->unit, &type));
}
