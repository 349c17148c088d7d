/* SPDX-License-Identifier: Apache-2.0 */
/* shape.c - written types: evaluated (f32[T, dim]), matched ([.., D]) and
 * given to values (`x as [T, dim]`).
 */
#include "frontend/elab.h"
#include <inttypes.h>
#include <string.h>

enum { LARGEST_EXTENT = INT32_MAX };

/* A dimension's size must be an integer of 1 to 2^31 - 1 for every value of
 * its symbol. */
static bool check_dim(tegu_elab *el, tegu_loc loc, const tegu_term *term,
                      tegu_dim *dim)
{
    int64_t lo, hi;
    if (term->kind == TEGU_TERM_ERROR)
        return false;
    if (term->kind != TEGU_TERM_INTEGER)
        return tegu_elab_error(el, loc, TEGU_E_SHAPE,
                               "a dimension must be an integer, not %s",
                               tegu_term_describe(term));
    *dim = term->u.dim;
    if (!tegu_dim_bounds(el->unit, *dim, &lo, &hi) || lo < 1 ||
        hi > LARGEST_EXTENT)
        return tegu_elab_error(el, loc, TEGU_E_SHAPE,
                               "a dimension is %s; sizes are 1 to %d",
                               tegu_elab_dim_text(el, *dim), LARGEST_EXTENT);
    return true;
}

bool tegu_elab_type(tegu_elab *el, const tegu_type_expr *expr, tegu_type *type)
{
    bool ok = true;
    *type = (tegu_type){.dtype = expr->dtype};
    for (uint32_t i = 0; i < expr->dims.count; i++) {
        const tegu_dim_expr *dim = &expr->dims.data[i];
        if (dim->rest)
            return tegu_elab_error(el, expr->loc, TEGU_E_SHAPE,
                                   "'..' stands for dimensions that a call "
                                   "gives; here all must be written");
        tegu_term term = tegu_elab_expr(el, dim->size);
        ok =
            check_dim(el, dim->size->loc, &term, &type->dims[type->rank]) && ok;
        type->rank++;
    }
    return ok;
}

bool tegu_elab_static_type(tegu_elab *el, const tegu_type_expr *expr,
                           const char *what, tegu_type *type)
{
    if (!tegu_elab_type(el, expr, type))
        return false;
    for (uint32_t i = 0; i < type->rank; i++)
        if (!tegu_dim_is_static(type->dims[i]))
            return tegu_elab_error(el, expr->loc, TEGU_E_SHAPE,
                                   "%s has one size, but %s is symbolic", what,
                                   tegu_elab_dim_text(el, type->dims[i]));
    if (tegu_type_elements(type) < 0)
        return tegu_elab_error(el, expr->loc, TEGU_E_TOO_LARGE,
                               "%s of %s has more elements than 64 bits count",
                               what, tegu_elab_type_text(el, type));
    return true;
}

/* --- patterns --- */

/* A name that nothing defines and that begins with a capital is bound by the
 * call; `_` fits anything. */
static bool is_fresh(tegu_elab *el, const tegu_expr *size)
{
    tegu_term term;
    return size->kind == TEGU_EXPR_NAME && size->u.text[0] >= 'A' &&
           size->u.text[0] <= 'Z' && !tegu_elab_find(el, size->u.text, &term);
}

static bool is_any(const tegu_expr *size)
{
    return size->kind == TEGU_EXPR_NAME && strcmp(size->u.text, "_") == 0;
}

static bool match_dim(tegu_elab *el, tegu_frame *frame, const char *what,
                      tegu_loc loc, const tegu_expr *size, tegu_dim got)
{
    tegu_dim want;
    if (is_any(size))
        return true;
    if (is_fresh(el, size))
        return tegu_elab_bind(el, frame, size->u.text, size->loc,
                              tegu_term_dim(got));
    tegu_term term = tegu_elab_expr(el, size);
    return check_dim(el, size->loc, &term, &want) &&
           tegu_dims_agree(el, loc, what, got, want);
}

/* "'x' of 'f' takes f32[.., D], not f32[T]" */
static const char *pattern_text(tegu_elab *el, const tegu_frame *frame,
                                const tegu_formal *formal,
                                const tegu_type *type)
{
    return tegu_format(el->arena, "'%s' of '%s' got %s", formal->name,
                       frame->decl->name, tegu_elab_type_text(el, type));
}

bool tegu_elab_match(tegu_elab *el, tegu_frame *frame,
                     const tegu_formal *formal, tegu_loc loc,
                     const tegu_type *type)
{
    const tegu_type_expr *want = &formal->type;
    const char *what = pattern_text(el, frame, formal, type);
    uint32_t rest = 0, rests = 0;
    for (uint32_t i = 0; i < want->dims.count; i++)
        if (want->dims.data[i].rest) {
            rest = i;
            rests++;
        }
    if (rests > 1)
        return tegu_elab_error(el, want->loc, TEGU_E_SHAPE,
                               "only one '..' can stand in a shape");
    uint32_t written = want->dims.count - rests;
    if (want->has_dtype && want->dtype != type->dtype)
        return tegu_elab_error(
            el, loc, TEGU_E_DTYPE, "%s, but takes %s; cast(x, %s) converts",
            what, tegu_dtype_text(want->dtype), tegu_dtype_text(want->dtype));
    if (rests ? type->rank < written : type->rank != written)
        return tegu_elab_error(
            el, loc, TEGU_E_SHAPE, "%s, but takes %s%u dimension%s", what,
            rests ? "at least " : "", written, written == 1 ? "" : "s");
    for (uint32_t i = 0, at = 0; i < want->dims.count; i++) {
        if (rests && i == rest) {
            at += type->rank - written;
            continue;
        }
        if (!match_dim(el, frame, what, loc, want->dims.data[i].size,
                       type->dims[at++]))
            return false;
    }
    return true;
}

/* --- as, reshape --- */

/* The type that `x as [dims]` asks for: x's with other axes. */
static bool as_type(tegu_elab *el, const tegu_type_expr *expr,
                    const tegu_type *x, tegu_type *type)
{
    tegu_type_expr plain = *expr;
    uint32_t rest = expr->dims.count;
    for (uint32_t i = 0; i < expr->dims.count && rest == expr->dims.count; i++)
        if (expr->dims.data[i].rest)
            rest = i;
    if (rest == expr->dims.count)
        return tegu_elab_type(el, &plain, type);
    uint32_t kept =
        x->rank + 1 < expr->dims.count ? 0 : x->rank + 1 - expr->dims.count;
    tegu_type tail;
    plain.dims.count = rest;
    tegu_type_expr after = *expr;
    after.dims.data += rest + 1;
    after.dims.count -= rest + 1;
    if (!tegu_elab_type(el, &plain, type) || !tegu_elab_type(el, &after, &tail))
        return false;
    for (uint32_t i = 0; i < kept && type->rank < TEGU_MAX_RANK; i++) {
        type->dims[type->rank] = x->dims[type->rank];
        type->rank++;
    }
    for (uint32_t i = 0; i < tail.rank && type->rank < TEGU_MAX_RANK; i++)
        type->dims[type->rank++] = tail.dims[i];
    return true;
}

tegu_term tegu_elab_as(tegu_elab *el, const tegu_expr *e)
{
    tegu_term base = tegu_elab_expr(el, e->u.as.base);
    tegu_value x =
        tegu_elab_tensor(el, e->u.as.base->loc, &base, TEGU_DTYPE_COUNT);
    tegu_type type;
    if (!x || !as_type(el, &e->u.as.type, tegu_graph_type(el->graph, x), &type))
        return tegu_term_error();
    tegu_type old = *tegu_graph_type(el->graph, x);
    if (!e->u.as.type.has_dtype)
        type.dtype = old.dtype;
    bool same = type.dtype == old.dtype && tegu_type_same_shape(&type, &old);
    if (!same) {
        tegu_elab_error(el, e->loc, TEGU_E_SHAPE,
                        "'as' renames axes only: %s is not %s; reshape "
                        "changes sizes, cast the element type",
                        tegu_elab_type_text(el, &old),
                        tegu_elab_type_text(el, &type));
        return tegu_term_error();
    }
    return tegu_elab_reshape(el, e->loc, x, tegu_unit_type(el->unit, &type));
}

/* Fills the dimension at `unknown` with what whole's elements leave. */
static bool solve(tegu_elab *el, tegu_loc loc, const tegu_type *whole,
                  tegu_type *type, uint32_t unknown)
{
    tegu_dim all, others;
    tegu_type rest = *type;
    rest.dims[unknown] = tegu_dim_static(1);
    if (!tegu_dims_product(whole->dims, 0, whole->rank, &all) ||
        !tegu_dims_product(rest.dims, 0, rest.rank, &others))
        return tegu_elab_error(el, loc, TEGU_E_SHAPE,
                               "-1 cannot be worked out for %s",
                               tegu_elab_type_text(el, whole));
    if (others.symbol && all.symbol == others.symbol && others.scale &&
        all.scale % others.scale == 0 &&
        all.offset == others.offset * (all.scale / others.scale)) {
        type->dims[unknown] = tegu_dim_static(all.scale / others.scale);
        return true;
    }
    if (others.symbol || !others.offset || all.offset % others.offset ||
        all.scale % others.offset)
        return tegu_elab_error(el, loc, TEGU_E_SHAPE,
                               "-1 cannot be worked out: %s does not divide "
                               "by the other dimensions",
                               tegu_elab_type_text(el, whole));
    type->dims[unknown] = (tegu_dim){.scale = all.scale / others.offset,
                                     .offset = all.offset / others.offset,
                                     .symbol = all.symbol};
    return true;
}

bool tegu_elab_dims(tegu_elab *el, tegu_loc loc, const tegu_term *list,
                    const tegu_type *whole, tegu_type *type)
{
    uint32_t unknown = TEGU_MAX_RANK;
    type->rank = 0;
    if (list->kind != TEGU_TERM_LIST)
        return tegu_elab_error(el, loc, TEGU_E_SHAPE,
                               "a shape is a list of integers, not %s",
                               tegu_term_describe(list));
    if (list->u.list.count > TEGU_MAX_RANK)
        return tegu_elab_error(el, loc, TEGU_E_SHAPE,
                               "the shape has %u dimensions; at most %d are "
                               "supported",
                               list->u.list.count, TEGU_MAX_RANK);
    for (uint32_t i = 0; i < list->u.list.count; i++, type->rank++) {
        const tegu_term *item = &list->u.list.items[i];
        bool rest =
            whole && tegu_term_is_static(item) && item->u.dim.offset == -1;
        if (rest && unknown < TEGU_MAX_RANK)
            return tegu_elab_error(el, loc, TEGU_E_SHAPE,
                                   "only one dimension can be -1");
        if (rest)
            unknown = i;
        else if (!check_dim(el, loc, item, &type->dims[i]))
            return false;
    }
    return unknown == TEGU_MAX_RANK || solve(el, loc, whole, type, unknown);
}
