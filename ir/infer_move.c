/* SPDX-License-Identifier: Apache-2.0 */
/* infer_move.c - types of ops that move elements: reshape, transpose,
 * broadcast, slice, pad, concat, gather, append.
 *
 * Rules of infer.h; what they demand for symbolic extents holds for every
 * value of the symbols.
 */
#include "ir/infer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- reshape --- */

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

static int compare_factors(const void *x, const void *y)
{
    const tegu_dim *a = x, *b = y;
    if (a->symbol != b->symbol)
        return a->symbol < b->symbol ? -1 : 1;
    if (a->scale != b->scale)
        return a->scale < b->scale ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

/* The number of elements as a product of an integer and primitive affine
 * factors in canonical order: unique by Gauss's lemma, so that equal counts
 * are equal factor by factor. */
typedef struct count_form {
    int64_t content;
    uint32_t factors;
    tegu_dim factor[TEGU_MAX_RANK];
} count_form;

static bool count_elements(const tegu_type *type, count_form *form)
{
    memset(form, 0, sizeof *form);
    form->content = 1;
    for (uint32_t i = 0; i < type->rank; i++) {
        tegu_dim d = type->dims[i];
        int64_t common = d.symbol ? gcd(d.scale, d.offset) : d.offset;
        if (d.symbol && d.scale < 0)
            common = -common;
        if (__builtin_mul_overflow(form->content, common, &form->content))
            return false;
        if (d.symbol) {
            tegu_dim *f = &form->factor[form->factors++];
            f->symbol = d.symbol;
            f->scale = d.scale / common;
            f->offset = d.offset / common;
        }
    }
    qsort(form->factor, form->factors, sizeof form->factor[0], compare_factors);
    return true;
}

static bool same_count(const tegu_type *a, const tegu_type *b)
{
    count_form x, y;
    if (!count_elements(a, &x) || !count_elements(b, &y) ||
        x.content != y.content)
        return false;
    if (x.content == 0)
        return true;
    if (x.factors != y.factors)
        return false;
    for (uint32_t i = 0; i < x.factors; i++)
        if (!tegu_dim_equal(x.factor[i], y.factor[i]))
            return false;
    return true;
}

bool tegu_shape_RESHAPE(tegu_inference *c)
{
    if (!tegu_want_given(c))
        return false;
    c->out = *c->spec->type;
    if (same_count(tegu_operand(c, 0), &c->out))
        return true;
    return tegu_refuse(c, TEGU_E_SHAPE,
                       "cannot turn %s into %s; the numbers of elements differ",
                       tegu_shown(c, tegu_operand(c, 0)),
                       tegu_shown(c, &c->out));
}

bool tegu_shape_TRANSPOSE(tegu_inference *c)
{
    const tegu_type *x = tegu_operand(c, 0);
    const tegu_attr *perm = tegu_inference_attr(c, "perm");
    uint32_t mask = 0;
    if (!tegu_axis_list(c, perm, x, &mask))
        return false;
    if (perm->as.ints.count != x->rank)
        return tegu_refuse(c, TEGU_E_ATTRIBUTE,
                           "got %s and a permutation of %u axes",
                           tegu_shown(c, x), perm->as.ints.count);
    c->out = *x;
    for (uint32_t i = 0; i < x->rank; i++)
        c->out.dims[i] = x->dims[perm->as.ints.data[i]];
    return true;
}

bool tegu_shape_BROADCAST_TO(tegu_inference *c)
{
    if (!tegu_want_given(c))
        return false;
    const tegu_type *x = tegu_operand(c, 0);
    c->out = *c->spec->type;
    bool fits = x->rank <= c->out.rank;
    for (uint32_t k = 1; fits && k <= x->rank; k++) {
        tegu_dim from = x->dims[x->rank - k];
        fits = tegu_dim_is_one(from) ||
               tegu_dim_equal(from, c->out.dims[c->out.rank - k]);
    }
    return fits || tegu_refuse(c, TEGU_E_SHAPE, "cannot repeat %s to %s",
                               tegu_shown(c, x), tegu_shown(c, &c->out));
}

/* --- slice --- */

/* For a fixed number n of elements: every index start + i*step lies inside an
 * axis of lo..hi elements; a negative start counts from the end. */
static bool fixed_slice_fits(int64_t start, int64_t step, int64_t n, int64_t lo)
{
    int64_t span, last;
    if (n == 0)
        return start >= -lo && start <= lo;
    if (__builtin_mul_overflow(n - 1, step, &span) ||
        __builtin_add_overflow(start, span, &last))
        return false;
    if (start < 0)
        return start >= -lo && last >= -lo && last < 0;
    return start < lo && last >= 0 && last < lo;
}

/* For a symbolic number of elements: start + n <= extent for every value. */
static bool symbolic_slice_fits(const tegu_unit *unit, int64_t start,
                                tegu_dim n, tegu_dim extent)
{
    int64_t lo, hi, most, end, unused;
    tegu_dim rest = {.symbol = n.symbol};
    if (extent.symbol == n.symbol) {
        if (__builtin_sub_overflow(extent.scale, n.scale, &rest.scale) ||
            __builtin_sub_overflow(extent.offset, n.offset, &rest.offset) ||
            __builtin_sub_overflow(rest.offset, start, &rest.offset))
            return false;
        return tegu_dim_bounds(unit, rest, &lo, &hi) && lo >= 0;
    }
    return tegu_dim_bounds(unit, n, &unused, &most) &&
           tegu_dim_bounds(unit, extent, &lo, &hi) &&
           !__builtin_add_overflow(start, most, &end) && end <= lo;
}

static bool slice_axis(const tegu_inference *c, uint32_t axis, int64_t start,
                       int64_t step)
{
    tegu_dim from = tegu_operand(c, 0)->dims[axis];
    tegu_dim n = c->out.dims[axis];
    int64_t lo, hi;
    bool fits = step != 0;
    if (fits && tegu_dim_is_static(n))
        fits = tegu_dim_bounds(c->unit, from, &lo, &hi) &&
               fixed_slice_fits(start, step, n.offset, lo);
    else
        fits = fits && step == 1 && start >= 0 &&
               symbolic_slice_fits(c->unit, start, n, from);
    if (fits)
        return true;
    return tegu_refuse(c, TEGU_E_SHAPE,
                       "takes %s elements of %s on axis %u from %" PRId64
                       " by %" PRId64 "; some lie outside",
                       tegu_extent(c, n), tegu_shown(c, tegu_operand(c, 0)),
                       axis, start, step);
}

/* The list has one number per axis of the operand. */
static bool want_per_axis(const tegu_inference *c, const tegu_attr *list)
{
    const tegu_type *x = tegu_operand(c, 0);
    return list->as.ints.count == x->rank ||
           tegu_refuse(c, TEGU_E_ATTRIBUTE, "got %s and %u numbers in '%s'",
                       tegu_shown(c, x), list->as.ints.count, list->info->key);
}

bool tegu_shape_SLICE(tegu_inference *c)
{
    const tegu_attr *start = tegu_inference_attr(c, "start");
    const tegu_attr *step = tegu_inference_attr(c, "step");
    const tegu_type *x = tegu_operand(c, 0);
    if (!tegu_want_given(c) || !want_per_axis(c, start) ||
        !want_per_axis(c, step))
        return false;
    c->out = *c->spec->type;
    if (c->out.rank != x->rank)
        return tegu_refuse(c, TEGU_E_SHAPE,
                           "cannot turn %s into %s; the numbers of axes differ",
                           tegu_shown(c, x), tegu_shown(c, &c->out));
    for (uint32_t i = 0; i < x->rank; i++)
        if (!slice_axis(c, i, start->as.ints.data[i], step->as.ints.data[i]))
            return false;
    return true;
}

/* --- pad, concat --- */

/* The border's value can be had in the element type. */
static bool pad_value_fits(tegu_dtype dtype, double value)
{
    if (dtype == TEGU_F32)
        return true;
    if (dtype == TEGU_BOOL)
        return value == 0 || value == 1;
    double limit = dtype == TEGU_I32 ? 0x1p31 : 0x1p63;
    return value >= -limit && value < limit && value == (double)(int64_t)value;
}

bool tegu_shape_PAD(tegu_inference *c)
{
    const tegu_attr *low = tegu_inference_attr(c, "low");
    const tegu_attr *high = tegu_inference_attr(c, "high");
    double value = tegu_inference_attr(c, "value")->as.f;
    if (!want_per_axis(c, low) || !want_per_axis(c, high))
        return false;
    c->out = *tegu_operand(c, 0);
    if (!pad_value_fits(c->out.dtype, value))
        return tegu_refuse(c, TEGU_E_ATTRIBUTE, "cannot pad %s with %g",
                           tegu_shown(c, &c->out), value);
    for (uint32_t i = 0; i < c->out.rank; i++) {
        int64_t before = low->as.ints.data[i], after = high->as.ints.data[i];
        tegu_dim *d = &c->out.dims[i];
        if (before < 0 || after < 0)
            return tegu_refuse(c, TEGU_E_ATTRIBUTE,
                               "has a negative border on axis %u", i);
        if (__builtin_add_overflow(d->offset, before, &d->offset) ||
            __builtin_add_overflow(d->offset, after, &d->offset))
            return tegu_refuse(c, TEGU_E_TOO_LARGE, "has a border past i64");
        if (before || after)
            memset(d->axes, 0, sizeof d->axes);
    }
    return true;
}

/* Adds operand i's extent on the axis to the result's. */
static bool lengthen(tegu_inference *c, uint32_t i, uint32_t axis)
{
    tegu_dim *sum = &c->out.dims[axis];
    tegu_dim d = tegu_operand(c, i)->dims[axis];
    if ((sum->symbol && d.symbol && sum->symbol != d.symbol) ||
        __builtin_add_overflow(sum->scale, d.scale, &sum->scale) ||
        __builtin_add_overflow(sum->offset, d.offset, &sum->offset))
        return tegu_refuse(c, TEGU_E_SHAPE,
                           "cannot add extents %s and %s on axis %u",
                           tegu_extent(c, *sum), tegu_extent(c, d), axis);
    sum->symbol = sum->scale ? sum->symbol | d.symbol : 0;
    memset(sum->axes, 0, sizeof sum->axes);
    return true;
}

static bool append_operand(tegu_inference *c, uint32_t i, uint32_t axis)
{
    const tegu_type *first = tegu_operand(c, 0), *x = tegu_operand(c, i);
    if (x->dtype != first->dtype || x->rank != first->rank)
        return tegu_refuse(c, TEGU_E_SHAPE,
                           "got %s and %s; element types and numbers of axes "
                           "must agree",
                           tegu_shown(c, first), tegu_shown(c, x));
    for (uint32_t k = 0; k < first->rank; k++) {
        if (k == axis)
            continue;
        if (!tegu_want_same(c, 0, k, i, k, "extents"))
            return false;
        if (!c->out.dims[k].axes[0])
            c->out.dims[k] = x->dims[k];
    }
    return lengthen(c, i, axis);
}

bool tegu_shape_CONCAT(tegu_inference *c)
{
    uint32_t axis;
    c->out = *tegu_operand(c, 0);
    if (!tegu_axis_attr(c, "axis", &c->out, &axis))
        return false;
    for (uint32_t i = 1; i < c->spec->input_count; i++)
        if (!append_operand(c, i, axis))
            return false;
    return true;
}

/* --- gather, append --- */

/* The table's axis 0 never is empty: clamped indices need an element. */
static bool want_rows(const tegu_inference *c, const tegu_type *table)
{
    int64_t lo, hi;
    if (table->rank > 0 && tegu_dim_bounds(c->unit, table->dims[0], &lo, &hi) &&
        lo >= 1)
        return true;
    return tegu_refuse(c, TEGU_E_SHAPE, "got %s as table; it must have rows",
                       tegu_shown(c, table));
}

static bool gather_from(tegu_inference *c, uint32_t table_at, uint32_t index_at)
{
    const tegu_type *table = tegu_operand(c, table_at);
    const tegu_type *index = tegu_operand(c, index_at);
    if (!tegu_want_integers(c, index_at) || !want_rows(c, table))
        return false;
    uint32_t rank = index->rank + table->rank - 1;
    if (rank > TEGU_MAX_RANK)
        return tegu_refuse(c, TEGU_E_TOO_LARGE,
                           "got %s and %s; the result would have %u axes",
                           tegu_shown(c, table), tegu_shown(c, index), rank);
    c->out = *index;
    c->out.dtype = table->dtype;
    for (uint32_t i = 1; i < table->rank; i++)
        c->out.dims[c->out.rank++] = table->dims[i];
    return true;
}

bool tegu_shape_GATHER(tegu_inference *c)
{
    return gather_from(c, 0, 1);
}

bool tegu_shape_EMBED(tegu_inference *c)
{
    return tegu_want_rank(c, 1, 2, "a table [rows, width]") &&
           gather_from(c, 1, 0);
}

bool tegu_shape_APPEND(tegu_inference *c)
{
    const tegu_type *state = tegu_operand(c, 0), *x = tegu_operand(c, 1);
    int64_t lo, hi, rows;
    bool fits =
        state->dtype == x->dtype && state->rank == x->rank && state->rank > 0;
    for (uint32_t i = 1; fits && i < state->rank; i++)
        fits = tegu_dim_equal(state->dims[i], x->dims[i]);
    fits = fits && tegu_dim_bounds(c->unit, x->dims[0], &lo, &rows) &&
           tegu_dim_bounds(c->unit, state->dims[0], &lo, &hi) && rows <= lo;
    c->out = *state;
    return fits ||
           tegu_refuse(c, TEGU_E_SHAPE,
                       "got state %s and %s; all but the first extent must "
                       "agree, and the rows must fit",
                       tegu_shown(c, state), tegu_shown(c, x));
}
