/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See nest.h.  Indices are kept affine as long as possible, as polyhedral
 * compilers do; a quotient or remainder takes out the terms that the divisor
 * divides, so that splitting and merging axes costs no division where the
 * shapes agree.
 */
#include "codegen/nest.h"

#include <assert.h>
#include <string.h>

#include "codegen/body.h"

/* ---- scopes ---- */

tegu_scope *tegu_nest_push(tegu_nest *n)
{
    tegu_scope *s = TEGU_NEW(n->arena, tegu_scope);
    s->parent = n->scope;
    s->memo = TEGU_ARRAY(n->arena, tegu_memo *, n->body->nodes.count);
    n->scope = s;
    return s;
}

/* Closes the block that was left open before a loop. */
void tegu_nest_pop(tegu_nest *n)
{
    tegu_scope *s = n->scope;
    if (s->before) {
        LLVMBuilderRef b = n->e->builder;
        LLVMBasicBlockRef here = LLVMGetInsertBlock(b);
        LLVMPositionBuilderAtEnd(b, s->before);
        LLVMBuildBr(b, s->start);
        LLVMPositionBuilderAtEnd(b, here);
    }
    n->scope = s->parent;
}

static uint32_t add_atom(tegu_nest *n, const tegu_atom *atom)
{
    tegu_vec_push(n->arena, &n->atoms, *atom);
    return n->atoms.count - 1;
}

void tegu_nest_loop_begin(tegu_nest *n, tegu_nest_loop *l, LLVMValueRef lo,
                          LLVMValueRef hi, int64_t bound, unsigned count,
                          LLVMValueRef *init)
{
    tegu_emitter *e = n->e;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
    LLVMBasicBlockRef start =
        LLVMAppendBasicBlockInContext(e->context, e->function, "");
    LLVMPositionBuilderAtEnd(e->builder, start);
    tegu_loop_begin(e, &l->loop, TEGU_LOOP_OPEN, lo, hi, tegu_emit_int(e, 1),
                    count, init);
    tegu_scope *s = tegu_nest_push(n);
    s->before = before;
    s->start = start;
    tegu_atom variable = {.value = l->loop.index, .hi = bound, .scope = s};
    l->atom = add_atom(n, &variable);
}

void tegu_nest_loop_end(tegu_nest *n, tegu_nest_loop *l, LLVMValueRef *next)
{
    tegu_loop_end(n->e, &l->loop, next);
    tegu_nest_pop(n);
}

/* The outermost scope from `wanted` inwards that no branch separates from
 * the present one. */
static tegu_scope *reachable(const tegu_nest *n, tegu_scope *wanted)
{
    tegu_scope *barrier = wanted;
    for (tegu_scope *s = n->scope; s != wanted; s = s->parent)
        if (!s->before) {
            barrier = s;
            break;
        }
    return barrier;
}

void tegu_nest_enter(tegu_nest *n, tegu_scope *scope, tegu_detour *d)
{
    d->from = n->scope;
    d->child = NULL;
    d->block = LLVMGetInsertBlock(n->e->builder);
    scope = reachable(n, scope);
    if (scope == n->scope)
        return;
    for (d->child = n->scope; d->child->parent != scope;)
        d->child = d->child->parent;
    LLVMPositionBuilderAtEnd(n->e->builder, d->child->before);
    n->scope = scope;
}

void tegu_nest_leave(tegu_nest *n, tegu_detour *d)
{
    if (!d->child)
        return;
    d->child->before = LLVMGetInsertBlock(n->e->builder);
    LLVMPositionBuilderAtEnd(n->e->builder, d->block);
    n->scope = d->from;
}

static bool is_visible(const tegu_nest *n, const tegu_scope *scope)
{
    const tegu_scope *s = n->scope;
    while (s && s != scope)
        s = s->parent;
    return s != NULL;
}

tegu_scope *tegu_nest_home(const tegu_nest *n, const tegu_index *at,
                           uint32_t count)
{
    for (tegu_scope *s = n->scope; s->parent; s = s->parent)
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t t = 0; t < at[i].count; t++)
                if (n->atoms.data[at[i].terms[t].atom].scope == s)
                    return s;
    tegu_scope *outermost = n->scope;
    while (outermost->parent)
        outermost = outermost->parent;
    return outermost;
}

/* ---- extents ---- */

int64_t tegu_nest_bound(const tegu_nest *n, tegu_dim dim)
{
    return tegu_dim_most(n->unit, dim);
}

int64_t tegu_nest_least(const tegu_nest *n, tegu_dim dim)
{
    return tegu_dim_least(n->unit, dim);
}

LLVMValueRef tegu_nest_extent(tegu_nest *n, tegu_dim dim)
{
    tegu_emitter *e = n->e;
    LLVMValueRef offset = tegu_emit_int(e, dim.offset);
    if (tegu_dim_is_static(dim))
        return offset;
    LLVMValueRef symbol = n->symbols[dim.symbol];
    if (dim.scale != 1)
        symbol = LLVMBuildNSWMul(e->builder, symbol,
                                 tegu_emit_int(e, dim.scale), "");
    return dim.offset ? LLVMBuildNSWAdd(e->builder, symbol, offset, "")
                      : symbol;
}

/* ---- indices ---- */

tegu_index tegu_index_constant(int64_t value)
{
    return (tegu_index){.offset = value};
}

tegu_index tegu_index_atom(uint32_t atom)
{
    return (tegu_index){.count = 1, .terms = {{atom, 1}}};
}

tegu_index tegu_index_given(tegu_nest *n, LLVMValueRef value, int64_t lo,
                            int64_t hi)
{
    tegu_atom atom = {.value = value, .lo = lo, .hi = hi, .scope = n->scope};
    return tegu_index_atom(add_atom(n, &atom));
}

static bool same_index(const tegu_index *a, const tegu_index *b)
{
    if (a->offset != b->offset || a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->terms[i].atom != b->terms[i].atom ||
            a->terms[i].factor != b->terms[i].factor)
            return false;
    return true;
}

static int64_t saturated(int64_t a, int64_t b, int64_t c)
{
    int64_t product, sum;
    if (__builtin_mul_overflow(a, b, &product) ||
        __builtin_add_overflow(product, c, &sum))
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    return sum;
}

void tegu_index_range(const tegu_nest *n, const tegu_index *a, int64_t *lo,
                      int64_t *hi)
{
    *lo = *hi = a->offset;
    for (uint32_t i = 0; i < a->count; i++) {
        const tegu_atom *atom = &n->atoms.data[a->terms[i].atom];
        int64_t f = a->terms[i].factor;
        *lo = saturated(f, f > 0 ? atom->lo : atom->hi, *lo);
        *hi = saturated(f, f > 0 ? atom->hi : atom->lo, *hi);
    }
}

/* Replaces a sum that has grown too long by one atom. */
static tegu_index shortened(tegu_nest *n, const tegu_index *a)
{
    int64_t lo, hi;
    tegu_detour d;
    tegu_index_range(n, a, &lo, &hi);
    tegu_nest_enter(n, tegu_nest_home(n, a, 1), &d);
    tegu_index result = tegu_index_given(n, tegu_index_value(n, a), lo, hi);
    tegu_nest_leave(n, &d);
    return result;
}

tegu_index tegu_index_scale(const tegu_index *a, int64_t factor)
{
    tegu_index result = *a;
    if (factor == 0)
        return tegu_index_constant(0);
    result.offset *= factor;
    for (uint32_t i = 0; i < a->count; i++)
        result.terms[i].factor *= factor;
    return result;
}

tegu_index tegu_index_add(tegu_nest *n, const tegu_index *a,
                          const tegu_index *b)
{
    tegu_index x = *a, y = *b;
    if (x.count + y.count > TEGU_INDEX_TERMS) {
        if (x.count > 1)
            x = shortened(n, &x);
        if (y.count > TEGU_INDEX_TERMS - 1)
            y = shortened(n, &y);
    }
    tegu_index sum = tegu_index_constant(x.offset + y.offset);
    uint32_t i = 0, j = 0;
    while (i < x.count || j < y.count) {
        bool left =
            j == y.count || (i < x.count && x.terms[i].atom <= y.terms[j].atom);
        bool both = left && j < y.count && x.terms[i].atom == y.terms[j].atom;
        tegu_term term = left ? x.terms[i++] : y.terms[j++];
        if (both)
            term.factor += y.terms[j++].factor;
        if (term.factor)
            sum.terms[sum.count++] = term;
    }
    return sum;
}

/* The atom of this kind, made where its operands live, or the one that was
 * made before. */
static tegu_index derived(tegu_nest *n, tegu_atom_kind kind,
                          const tegu_index *of, LLVMValueRef by,
                          LLVMValueRef make(tegu_nest *, LLVMValueRef,
                                            LLVMValueRef),
                          int64_t lo, int64_t hi)
{
    for (uint32_t i = 0; i < n->atoms.count; i++) {
        const tegu_atom *atom = &n->atoms.data[i];
        if (atom->kind == kind && atom->by == by && same_index(&atom->of, of) &&
            is_visible(n, atom->scope))
            return tegu_index_atom(i);
    }
    tegu_detour d;
    tegu_nest_enter(n, tegu_nest_home(n, of, 1), &d);
    tegu_atom atom = {.lo = lo,
                      .hi = hi,
                      .scope = n->scope,
                      .kind = kind,
                      .of = *of,
                      .by = by};
    atom.value = make(n, tegu_index_value(n, of), by);
    uint32_t id = add_atom(n, &atom);
    tegu_nest_leave(n, &d);
    return tegu_index_atom(id);
}

static LLVMValueRef make_quotient(tegu_nest *n, LLVMValueRef a, LLVMValueRef by)
{
    return LLVMBuildUDiv(n->e->builder, a, by, "");
}

static LLVMValueRef make_remainder(tegu_nest *n, LLVMValueRef a,
                                   LLVMValueRef by)
{
    return LLVMBuildURem(n->e->builder, a, by, "");
}

static LLVMValueRef make_product(tegu_nest *n, LLVMValueRef a, LLVMValueRef by)
{
    return LLVMBuildNSWMul(n->e->builder, a, by, "");
}

static LLVMValueRef make_clamped(tegu_nest *n, LLVMValueRef a, LLVMValueRef by)
{
    LLVMValueRef last =
        LLVMBuildNSWSub(n->e->builder, by, tegu_emit_int(n->e, 1), "");
    LLVMValueRef high = tegu_emit_binary(n->e, "llvm.smin", a, last);
    return tegu_emit_binary(n->e, "llvm.smax", high, tegu_emit_int(n->e, 0));
}

/* Extents are computed once, in the function's own scope, so that they can
 * tell atoms apart. */
static LLVMValueRef shared_extent(tegu_nest *n, tegu_dim dim)
{
    if (tegu_dim_is_static(dim))
        return tegu_emit_int(n->e, dim.offset);
    tegu_index offset = tegu_index_constant(dim.offset);
    if (dim.scale == 1 && dim.offset == 0)
        return n->symbols[dim.symbol];
    tegu_index scale = tegu_index_constant(dim.scale);
    tegu_index product =
        derived(n, TEGU_ATOM_PRODUCT, &scale, n->symbols[dim.symbol],
                make_product, INT64_MIN / 4, INT64_MAX / 4);
    tegu_index sum = tegu_index_add(n, &product, &offset);
    tegu_index whole =
        derived(n, TEGU_ATOM_PRODUCT, &sum, tegu_emit_int(n->e, 1),
                make_product, 0, INT64_MAX / 4);
    return n->atoms.data[whole.terms[0].atom].value;
}

static tegu_index index_times(tegu_nest *n, const tegu_index *a, tegu_dim dim)
{
    if (tegu_dim_is_static(dim))
        return tegu_index_scale(a, dim.offset);
    if (a->count == 0 && a->offset == 0)
        return *a;
    int64_t lo, hi;
    tegu_index_range(n, a, &lo, &hi);
    hi = saturated(hi, tegu_nest_bound(n, dim), 0);
    return derived(n, TEGU_ATOM_PRODUCT, a, shared_extent(n, dim), make_product,
                   lo < 0 ? INT64_MIN : 0, hi);
}

tegu_index tegu_index_plus(tegu_nest *n, const tegu_index *a, tegu_dim dim)
{
    tegu_index b = tegu_index_constant(dim.offset);
    if (!tegu_dim_is_static(dim)) {
        tegu_index one = tegu_index_constant(1);
        b = derived(n, TEGU_ATOM_PRODUCT, &one, shared_extent(n, dim),
                    make_product, tegu_nest_least(n, dim),
                    tegu_nest_bound(n, dim));
    }
    return tegu_index_add(n, a, &b);
}

tegu_index tegu_index_clamp(tegu_nest *n, const tegu_index *a, tegu_dim size)
{
    int64_t lo, hi;
    tegu_index_range(n, a, &lo, &hi);
    if (lo >= 0 && hi < tegu_nest_least(n, size))
        return *a;
    int64_t last = tegu_nest_bound(n, size) - 1;
    return derived(n, TEGU_ATOM_CLAMPED, a, shared_extent(n, size),
                   make_clamped, 0, last > 0 ? last : 0);
}

/* a = quotient * d + rest, where rest keeps the terms that d does not
 * divide. */
static void take_multiples(const tegu_index *a, int64_t d, tegu_index *quotient,
                           tegu_index *rest)
{
    int64_t low = ((a->offset % d) + d) % d;
    *quotient = tegu_index_constant((a->offset - low) / d);
    *rest = tegu_index_constant(low);
    for (uint32_t i = 0; i < a->count; i++) {
        tegu_term t = a->terms[i];
        if (t.factor % d == 0)
            quotient->terms[quotient->count++] =
                (tegu_term){t.atom, t.factor / d};
        else
            rest->terms[rest->count++] = t;
    }
}

static void index_divide(tegu_nest *n, const tegu_index *a, tegu_dim by,
                         tegu_index *quotient, tegu_index *remainder)
{
    tegu_index outer = tegu_index_constant(0), rest = *a;
    int64_t lo, hi, least = tegu_nest_least(n, by);
    if (tegu_dim_is_static(by) && by.offset > 0)
        take_multiples(a, by.offset, &outer, &rest);
    tegu_index_range(n, &rest, &lo, &hi);
    if (lo < 0) {
        outer = tegu_index_constant(0);
        rest = *a;
    }
    if (lo >= 0 && hi < least) {
        *quotient = outer;
        *remainder = rest;
        return;
    }
    LLVMValueRef d = shared_extent(n, by);
    if (least < 1) {
        tegu_detour detour;
        tegu_nest_enter(n, tegu_nest_home(n, NULL, 0), &detour);
        d = tegu_emit_binary(n->e, "llvm.smax", d, tegu_emit_int(n->e, 1));
        tegu_nest_leave(n, &detour);
    }
    int64_t most = hi / (least > 0 ? least : 1);
    tegu_index inner = derived(n, TEGU_ATOM_QUOTIENT, &rest, d, make_quotient,
                               0, most > 0 ? most : 0);
    *quotient = tegu_index_add(n, &outer, &inner);
    *remainder = derived(n, TEGU_ATOM_REMAINDER, &rest, d, make_remainder, 0,
                         tegu_nest_bound(n, by) - 1);
}

tegu_index tegu_index_join(tegu_nest *n, const tegu_index *at,
                           const tegu_dim *dims, uint32_t count)
{
    tegu_index linear = tegu_index_constant(0);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            linear = index_times(n, &linear, dims[i]);
        linear = tegu_index_add(n, &linear, &at[i]);
    }
    return linear;
}

void tegu_index_split(tegu_nest *n, const tegu_index *linear,
                      const tegu_dim *dims, uint32_t count, tegu_index *out)
{
    tegu_index rest = *linear;
    uint32_t first = 0;
    while (first + 1 < count && tegu_dim_is_one(dims[first]))
        out[first++] = tegu_index_constant(0);
    for (uint32_t i = count; i-- > first + 1;)
        index_divide(n, &rest, dims[i], &rest, &out[i]);
    if (count > 0)
        out[first] = rest;
}

LLVMValueRef tegu_index_value(tegu_nest *n, const tegu_index *a)
{
    LLVMBuilderRef b = n->e->builder;
    LLVMValueRef sum = NULL;
    for (uint32_t i = 0; i < a->count; i++) {
        LLVMValueRef term = n->atoms.data[a->terms[i].atom].value;
        assert(is_visible(n, n->atoms.data[a->terms[i].atom].scope));
        if (a->terms[i].factor != 1)
            term = LLVMBuildNSWMul(b, term,
                                   tegu_emit_int(n->e, a->terms[i].factor), "");
        sum = sum ? LLVMBuildNSWAdd(b, sum, term, "") : term;
    }
    LLVMValueRef offset = tegu_emit_int(n->e, a->offset);
    if (!sum)
        return offset;
    return a->offset ? LLVMBuildNSWAdd(b, sum, offset, "") : sum;
}
