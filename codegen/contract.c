/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contraction generator: see contract.h.  Measurements behind the design
 * are in kernels.md 2a and 2b; the loop order is that of K. Goto and R. van
 * de Geijn (2008) without the packing of A.
 *
 *   NAME            shares the work out, walks blocks of rows, panels, tiles
 *   tile_RxV_...    R rows times one panel over a stretch of K, accumulators
 *                   in registers, sums to a buffer; shared by all kernels of
 *                   a module with the same K and row stride
 *   row_V_...       the same for a single row, several chains per column
 *   NAME.finish     buffer to Y through the epilogue: emitted once, whatever
 *                   tile the sums came from
 *
 * The buffer is what keeps the epilogue out of the tiles: it stays in the
 * first-level cache and costs about one K step in a hundred.  Thin products
 * (a kept adapter's second one) are tiles of their own into buffers behind it.
 *
 * Rows are dealt to tiles evenly (7 rows are 4 + 3, not 6 + 1).  K above
 * 2048 is cut into stretches whose sums are added, which bounds both the
 * rounding error and the part of a panel that must stay in cache.
 */
#include "codegen/contract.h"

#include <stdio.h>

#include "codegen/tile.h"

/* Longest run of K in one accumulator. */
#define STRETCH 2048
/* Tiles that share a stretch of a panel before the next stretch. */
#define GROUP 16
/* Least size of a block of rows, in tiles. */
#define MIN_BLOCK 64
/* Accumulators that hide the latency of a multiply-add in row_. */
#define CHAINS 8

typedef LLVMValueRef value;

/* One sum of products: the kernel's own, or a thin one. */
typedef struct product {
    int64_t k, stride; /* stride: elements from one row of A to the next */
    int64_t stretches, stretch; /* of K; stretch is the longest */
    value row, tile[32];        /* tile[r]: r rows */
    value a, w, buffer;         /* buffer: room for its sums */
    value on;                   /* i1; NULL: always */
} product;

/* What the functions of one kernel have in common. */
typedef struct shape {
    const tegu_contract *c;
    unsigned lanes, nv, mr;
    int64_t nr, panels;
    int64_t block; /* tiles in a block of rows, at most */
    int64_t room;  /* elements of a product's buffer */
    LLVMTypeRef vector;
    value finish;
    value args, part, parts; /* of NAME */
    product own, thin[TEGU_CONTRACT_THIN];
} shape;

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

static value at(tegu_emitter *e, value base, value index)
{
    return tegu_emit_at(e, e->f32, base, index);
}

static value at_constant(tegu_emitter *e, value base, int64_t index)
{
    return at(e, base, tegu_emit_int(e, index));
}

/* ---- tiles ---- */

/* acc[r][v] += A[r][k] * B[k][v]; `a` and `b` point to step k. */
static void multiply_step(tegu_emitter *e, const shape *s, const product *p,
                          unsigned rows, value a, value b, value *acc)
{
    value panel[16];
    for (unsigned v = 0; v < s->nv; v++)
        panel[v] = tegu_emit_load(e, s->vector, at_constant(e, b, v * s->lanes),
                                  s->lanes * 4, NULL);
    tegu_tile_step(e, rows, s->nv, a, p->stride, panel, acc);
}

static value buffer_at(tegu_emitter *e, const shape *s, value buffer,
                       unsigned i)
{
    return at_constant(e, buffer, (int64_t)i * s->lanes);
}

/* Starts (or finds) a function void (A, B, sums, depth). */
static bool start_tile(tegu_emitter *e, const shape *s, const product *p,
                       const char *kind, unsigned rows, value *function)
{
    char name[160];
    snprintf(name, sizeof name, "%s_%ux%u_k%lld_a%lld", kind, rows, s->nv,
             (long long)p->k, (long long)p->stride);
    *function = LLVMGetNamedFunction(e->module, name);
    if (*function)
        return false;
    LLVMTypeRef parameters[] = {e->ptr, e->ptr, e->ptr, e->i64};
    *function = tegu_emit_function(e, name, e->none, parameters, 4,
                                   TEGU_LINKAGE_PRIVATE);
    for (unsigned i = 0; i < 3; i++)
        tegu_emit_noalias(e, *function, i);
    tegu_emit_noinline(e, *function);
    return true;
}

/* Several stretches: the buffer holds the sums so far. */
static value emit_tile(tegu_emitter *e, const shape *s, const product *p,
                       unsigned rows)
{
    value function, acc[TEGU_LOOP_VALUES];
    unsigned count = rows * s->nv;
    bool whole = p->stretches == 1;
    tegu_loop loop;
    if (!start_tile(e, s, p, "tile", rows, &function))
        return function;
    value a = LLVMGetParam(function, 0), b = LLVMGetParam(function, 1);
    value sums = LLVMGetParam(function, 2);
    value depth = whole ? tegu_emit_int(e, p->k) : LLVMGetParam(function, 3);
    for (unsigned i = 0; i < count; i++)
        acc[i] = whole ? LLVMConstNull(s->vector)
                       : tegu_emit_load(e, s->vector, buffer_at(e, s, sums, i),
                                        s->lanes * 4, NULL);
    tegu_loop_begin(e, &loop, TEGU_LOOP_COUNTED, tegu_emit_int(e, 0), depth,
                    tegu_emit_int(e, 1), count, acc);
    for (unsigned i = 0; i < count; i++)
        acc[i] = loop.value[i];
    multiply_step(e, s, p, rows, at(e, a, loop.index),
                  at(e, b, tegu_tile_times(e, loop.index, s->nr)), acc);
    tegu_loop_end(e, &loop, acc);
    for (unsigned i = 0; i < count; i++)
        tegu_emit_store(e, loop.value[i], buffer_at(e, s, sums, i),
                        s->lanes * 4, NULL);
    LLVMBuildRetVoid(e->builder);
    return function;
}

/* One row over all of K: `ways` interleaved sums per column vector. */
static value emit_row(tegu_emitter *e, const shape *s, const product *p)
{
    value function, acc[TEGU_LOOP_VALUES];
    unsigned ways = s->nv < CHAINS ? CHAINS / s->nv : 1;
    int64_t even = p->k - p->k % ways;
    tegu_loop loop;
    if (!start_tile(e, s, p, "row", 1, &function))
        return function;
    value a = LLVMGetParam(function, 0), b = LLVMGetParam(function, 1);
    for (unsigned i = 0; i < ways * s->nv; i++)
        acc[i] = LLVMConstNull(s->vector);
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, tegu_emit_int(e, 0),
                    tegu_emit_int(e, even), tegu_emit_int(e, ways),
                    ways * s->nv, acc);
    value here = at(e, a, loop.index);
    value panel = at(e, b, tegu_tile_times(e, loop.index, s->nr));
    for (unsigned i = 0; i < ways * s->nv; i++)
        acc[i] = loop.value[i];
    for (unsigned u = 0; u < ways; u++)
        multiply_step(e, s, p, 1, at_constant(e, here, u),
                      at_constant(e, panel, u * s->nr), acc + u * s->nv);
    tegu_loop_end(e, &loop, acc);
    for (int64_t i = even; i < p->k; i++)
        multiply_step(e, s, p, 1, at_constant(e, a, i),
                      at_constant(e, b, i * s->nr),
                      loop.value + (i - even) * s->nv);
    for (unsigned v = 0; v < s->nv; v++) {
        value sum = loop.value[v];
        for (unsigned u = 1; u < ways; u++)
            sum = tegu_emit_fadd(e, sum, loop.value[u * s->nv + v]);
        tegu_emit_store(e, sum, buffer_at(e, s, LLVMGetParam(function, 2), v),
                        s->lanes * 4, NULL);
    }
    LLVMBuildRetVoid(e->builder);
    return function;
}

/* ---- buffer to Y ---- */

/* What the epilogue makes of vector v of a row; thin sums lie behind. */
static value finish_sum(tegu_emitter *e, const shape *s, value args, value sums,
                        value row, value col, value acc, int64_t v, value mask)
{
    value more[TEGU_CONTRACT_THIN];
    for (unsigned i = 0; i < s->c->thin_count; i++) {
        int64_t at = (i + 1) * s->room + v * s->lanes;
        more[i] = tegu_emit_load(e, s->vector, at_constant(e, sums, at),
                                 s->lanes * 4, NULL);
    }
    return s->c->epilogue(s->c->data, e, args, row, col, acc, more, mask);
}

/* One row of a panel that has `columns` (at most NR) columns. */
static void finish_row(tegu_emitter *e, const shape *s, value args, value sums,
                       value row, value col, value y, int64_t columns)
{
    for (int64_t v = 0; v * s->lanes < columns; v++) {
        int64_t left = columns - v * s->lanes;
        value mask = left < s->lanes
                         ? tegu_emit_mask(e, s->lanes, tegu_emit_int(e, left))
                         : NULL;
        value acc =
            tegu_emit_load(e, s->vector, at_constant(e, sums, v * s->lanes),
                           s->lanes * 4, NULL);
        value column = tegu_tile_plus(e, col, tegu_emit_int(e, v * s->lanes));
        if (s->c->epilogue)
            acc = finish_sum(e, s, args, sums, row, column, acc, v, mask);
        tegu_emit_store(e, acc, at_constant(e, y, v * s->lanes), 4, mask);
    }
}

static void finish_rows(tegu_emitter *e, const shape *s, value f,
                        int64_t columns)
{
    value args = LLVMGetParam(f, 0), sums = LLVMGetParam(f, 1);
    value first = LLVMGetParam(f, 2), rows = LLVMGetParam(f, 3);
    value col = tegu_tile_times(e, LLVMGetParam(f, 4), s->nr);
    value y = tegu_emit_slot_ptr(e, args, s->c->slot_y);
    tegu_loop loop;
    tegu_loop_begin(e, &loop, TEGU_LOOP_COUNTED, tegu_emit_int(e, 0), rows,
                    tegu_emit_int(e, 1), 0, NULL);
    value row = tegu_tile_plus(e, first, loop.index);
    value out = at(
        e, y, tegu_tile_plus(e, tegu_tile_times(e, row, s->c->y_stride), col));
    finish_row(e, s, args, at(e, sums, tegu_tile_times(e, loop.index, s->nr)),
               row, col, out, columns);
    tegu_loop_end(e, &loop, NULL);
}

/* void (args, sums, first row, rows, panel) */
static value emit_finish(tegu_emitter *e, const shape *s)
{
    char name[256];
    LLVMTypeRef parameters[] = {e->ptr, e->ptr, e->i64, e->i64, e->i64};
    snprintf(name, sizeof name, "%.240s.finish", s->c->name);
    value f = tegu_emit_function(e, name, e->none, parameters, 5,
                                 TEGU_LINKAGE_PRIVATE);
    int64_t tail = s->c->n - (s->panels - 1) * s->nr;
    tegu_if last;
    tegu_emit_noinline(e, f);
    if (s->panels > 1 && tail < s->nr) {
        tegu_if_begin(e, &last,
                      LLVMBuildICmp(e->builder, LLVMIntEQ, LLVMGetParam(f, 4),
                                    tegu_emit_int(e, s->panels - 1), ""));
        finish_rows(e, s, f, tail);
        tegu_if_else(e, &last);
        finish_rows(e, s, f, s->nr);
        tegu_if_end(e, &last);
    } else {
        finish_rows(e, s, f, tail);
    }
    LLVMBuildRetVoid(e->builder);
    return f;
}

/* ---- the walk ---- */

static value panel_at(tegu_emitter *e, const shape *s, const product *p,
                      value panel)
{
    return at(e, p->w, tegu_tile_times(e, panel, p->k * s->nr));
}

static void call_finish(tegu_emitter *e, const shape *s, value row, value rows,
                        value panel)
{
    value arguments[] = {s->args, s->own.buffer, row, rows, panel};
    tegu_emit_call(e, s->finish, arguments, 5);
}

/* One product over K from `a` and `b` on, `depth` terms, of some rows; rows
 * NULL: of one. */
static void call_product(tegu_emitter *e, const shape *s, const product *p,
                         value a, value b, value sums, value depth, value rows)
{
    value arguments[] = {a, b, sums, depth};
    if (rows)
        tegu_tile_call(e, p->tile, 2, s->mr, rows, arguments, 4);
    else
        tegu_emit_call(e, p->row, arguments, 4);
}

/* The thin products of the rows from `row` on, their sums `offset` elements
 * into each buffer. */
static void call_thin(tegu_emitter *e, const shape *s, value row, value rows,
                      value panel, value offset)
{
    for (unsigned i = 0; i < s->c->thin_count; i++) {
        const product *p = &s->thin[i];
        tegu_if gate;
        if (p->on)
            tegu_if_begin(e, &gate, p->on);
        call_product(e, s, p, at(e, p->a, tegu_tile_times(e, row, p->stride)),
                     panel_at(e, s, p, panel), at(e, p->buffer, offset),
                     tegu_emit_int(e, p->k), rows);
        if (p->on)
            tegu_if_end(e, &gate);
    }
}

/* M = 1: this part's panels, one after the other. */
static void walk_row(tegu_emitter *e, const shape *s)
{
    value lo, hi;
    tegu_loop loop;
    tegu_emit_share(e, tegu_emit_int(e, s->panels), s->part, s->parts, &lo,
                    &hi);
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, lo, hi, tegu_emit_int(e, 1), 0,
                    NULL);
    value zero = tegu_emit_int(e, 0);
    call_product(e, s, &s->own, s->own.a, panel_at(e, s, &s->own, loop.index),
                 s->own.buffer, tegu_emit_int(e, s->own.k), NULL);
    call_thin(e, s, zero, NULL, loop.index, zero);
    call_finish(e, s, zero, tegu_emit_int(e, 1), loop.index);
    tegu_loop_end(e, &loop, NULL);
}

static value next(tegu_emitter *e, value index)
{
    return tegu_tile_plus(e, index, tegu_emit_int(e, 1));
}

/* Tiles [lo, hi) of one panel; K in one stretch. */
static void walk_tiles(tegu_emitter *e, const shape *s, const tegu_tiling *t,
                       value lo, value hi, value panel)
{
    const product *p = &s->own;
    tegu_loop loop;
    value b = panel_at(e, s, p, panel);
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, lo, hi, tegu_emit_int(e, 1), 0,
                    NULL);
    value row = tegu_tile_first(e, t, loop.index);
    value rows = LLVMBuildSub(
        e->builder, tegu_tile_first(e, t, next(e, loop.index)), row, "");
    call_product(e, s, p, at(e, p->a, tegu_tile_times(e, row, p->stride)), b,
                 p->buffer, tegu_emit_int(e, p->k), rows);
    call_thin(e, s, row, rows, panel, tegu_emit_int(e, 0));
    call_finish(e, s, row, rows, panel);
    tegu_loop_end(e, &loop, NULL);
}

static void clear_buffer(tegu_emitter *e, const shape *s, value rows)
{
    tegu_loop loop;
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, tegu_emit_int(e, 0),
                    tegu_tile_times(e, rows, s->nv), tegu_emit_int(e, 1), 0,
                    NULL);
    tegu_emit_store(
        e, LLVMConstNull(s->vector),
        at(e, s->own.buffer, tegu_tile_times(e, loop.index, s->lanes)),
        s->lanes * 4, NULL);
    tegu_loop_end(e, &loop, NULL);
}

/* Tiles [lo, hi) of one group over the stretch of K that starts at k; k NULL:
 * of the thin products. */
static void walk_stretch(tegu_emitter *e, const shape *s, const tegu_tiling *t,
                         value lo, value hi, value panel, value k)
{
    LLVMBuilderRef b = e->builder;
    const product *p = &s->own;
    tegu_loop loop;
    value base = tegu_tile_first(e, t, lo);
    tegu_loop_begin(e, &loop, TEGU_LOOP_COUNTED, lo, hi, tegu_emit_int(e, 1), 0,
                    NULL);
    value row = tegu_tile_first(e, t, loop.index);
    value rows =
        LLVMBuildSub(b, tegu_tile_first(e, t, next(e, loop.index)), row, "");
    value offset = tegu_tile_times(e, LLVMBuildSub(b, row, base, ""), s->nr);
    if (k) {
        value left = LLVMBuildSub(b, tegu_emit_int(e, p->k), k, "");
        value depth = tegu_tile_least(e, left, tegu_emit_int(e, p->stretch));
        value first = tegu_tile_plus(e, tegu_tile_times(e, row, p->stride), k);
        value weights =
            at(e, panel_at(e, s, p, panel), tegu_tile_times(e, k, s->nr));
        call_product(e, s, p, at(e, p->a, first), weights,
                     at(e, p->buffer, offset), depth, rows);
    } else {
        call_thin(e, s, row, rows, panel, offset);
    }
    tegu_loop_end(e, &loop, NULL);
}

/* Tiles [lo, hi) of one panel; K in several stretches. */
static void walk_groups(tegu_emitter *e, const shape *s, const tegu_tiling *t,
                        value lo, value hi, value panel)
{
    tegu_loop group, stretch;
    tegu_loop_begin(e, &group, TEGU_LOOP_AS_IS, lo, hi, tegu_emit_int(e, GROUP),
                    0, NULL);
    value end = tegu_tile_least(
        e, hi, tegu_tile_plus(e, group.index, tegu_emit_int(e, GROUP)));
    value row = tegu_tile_first(e, t, group.index);
    value rows = LLVMBuildSub(e->builder, tegu_tile_first(e, t, end), row, "");
    clear_buffer(e, s, rows);
    tegu_loop_begin(e, &stretch, TEGU_LOOP_COUNTED, tegu_emit_int(e, 0),
                    tegu_emit_int(e, s->own.k),
                    tegu_emit_int(e, s->own.stretch), 0, NULL);
    walk_stretch(e, s, t, group.index, end, panel, stretch.index);
    tegu_loop_end(e, &stretch, NULL);
    if (s->c->thin_count)
        walk_stretch(e, s, t, group.index, end, panel, NULL);
    call_finish(e, s, row, rows, panel);
    tegu_loop_end(e, &group, NULL);
}

/* Blocks of rows: as many as the cache asks for, more if the parts would
 * get fewer than four panels each. */
static value count_blocks(tegu_emitter *e, const shape *s, value tiles)
{
    value need = tegu_tile_ceil(e, tiles, s->block);
    value want = tegu_tile_ceil(e, tegu_tile_times(e, s->parts, 4), s->panels);
    return tegu_tile_most(e, need, tegu_tile_least(e, want, tiles));
}

/* M > 1: this part's (block, panel) pairs, panels running fastest. */
static void walk_rows(tegu_emitter *e, const shape *s, value m)
{
    LLVMBuilderRef b = e->builder;
    tegu_loop loop;
    value lo, hi;
    tegu_tiling t = tegu_tile_rows(e, m, s->mr);
    value blocks = count_blocks(e, s, t.tiles);
    tegu_emit_share(e, tegu_tile_times(e, blocks, s->panels), s->part, s->parts,
                    &lo, &hi);
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, lo, hi, tegu_emit_int(e, 1), 0,
                    NULL);
    value count = tegu_emit_int(e, s->panels), from, to;
    value block = LLVMBuildUDiv(b, loop.index, count, "");
    value panel = LLVMBuildURem(b, loop.index, count, "");
    tegu_emit_share(e, t.tiles, block, blocks, &from, &to);
    if (s->own.stretches == 1)
        walk_tiles(e, s, &t, from, to, panel);
    else
        walk_groups(e, s, &t, from, to, panel);
    tegu_loop_end(e, &loop, NULL);
}

/* ---- the kernel ---- */

static void measure_product(product *p, int64_t k, int64_t stride)
{
    p->k = k;
    p->stride = stride;
    p->stretches = ceil_div(k, STRETCH);
    p->stretch = ceil_div(k, p->stretches);
}

static void measure(tegu_emitter *e, const tegu_contract *c, shape *s)
{
    s->c = c;
    s->lanes = e->target->lanes;
    s->nv = tegu_target_tile(e->target, c->n).nv;
    s->mr = tegu_target_tile(e->target, c->n).mr;
    s->nr = tegu_target_panel(e->target, c->n);
    s->panels = ceil_div(c->n, s->nr);
    measure_product(&s->own, c->k, c->a_stride);
    for (unsigned i = 0; i < c->thin_count; i++)
        measure_product(&s->thin[i], c->thin[i].k, c->thin[i].stride);
    s->room = (s->own.stretches == 1 ? 1 : GROUP) * s->mr * s->nr;
    /* Rows of A that share the second-level cache with a panel; for long K
     * enough to read the weights from memory only every MIN_BLOCK tiles. */
    int64_t rows = (int64_t)(e->target->l2 / 2) / (4 * c->k);
    s->block = rows / s->mr < MIN_BLOCK ? MIN_BLOCK : rows / s->mr;
    s->vector = tegu_emit_type(e->f32, s->lanes);
}

static void emit_functions(tegu_emitter *e, const shape *s, product *p)
{
    for (unsigned r = 2; r <= s->mr; r++)
        p->tile[r] = emit_tile(e, s, p, r);
    p->row = emit_row(e, s, p);
}

/* What the kernel's arguments say about its products. */
static void read_products(tegu_emitter *e, shape *s)
{
    const tegu_contract *c = s->c;
    value buffers = tegu_emit_stack(
        e, e->f32, (uint64_t)((c->thin_count + 1) * s->room), 64);
    s->own.a = tegu_emit_slot_ptr(e, s->args, c->slot_a);
    s->own.w = tegu_emit_slot_ptr(e, s->args, c->slot_w);
    s->own.buffer = buffers;
    for (unsigned i = 0; i < c->thin_count; i++) {
        const tegu_contract_thin *thin = &c->thin[i];
        product *p = &s->thin[i];
        p->a = at_constant(e, tegu_emit_slot_ptr(e, s->args, thin->slot_a),
                           thin->start);
        p->w = tegu_emit_slot_ptr(e, s->args, thin->slot_w);
        p->buffer = at_constant(e, buffers, (i + 1) * s->room);
        if (thin->slot_gate < 0)
            continue;
        value gate = tegu_emit_load(
            e, e->f32,
            tegu_emit_slot_ptr(e, s->args, (unsigned)thin->slot_gate), 4, NULL);
        p->on = LLVMBuildFCmp(e->builder, LLVMRealUNE, gate,
                              LLVMConstReal(e->f32, 0), "");
    }
}

value tegu_emit_contract(tegu_emitter *e, const tegu_contract *c)
{
    shape s = {0};
    tegu_if single, some;
    measure(e, c, &s);
    emit_functions(e, &s, &s.own);
    for (unsigned i = 0; i < c->thin_count; i++)
        emit_functions(e, &s, &s.thin[i]);
    s.finish = emit_finish(e, &s);
    value self = tegu_emit_kernel(e, c->name);
    s.args = LLVMGetParam(self, 0);
    s.part = LLVMGetParam(self, 1);
    s.parts = LLVMGetParam(self, 2);
    read_products(e, &s);
    value m = tegu_emit_slot_i64(e, s.args, c->slot_m);
    tegu_if_begin(
        e, &single,
        LLVMBuildICmp(e->builder, LLVMIntEQ, m, tegu_emit_int(e, 1), ""));
    walk_row(e, &s);
    tegu_if_else(e, &single);
    tegu_if_begin(
        e, &some,
        LLVMBuildICmp(e->builder, LLVMIntSGT, m, tegu_emit_int(e, 0), ""));
    walk_rows(e, &s, m);
    tegu_if_end(e, &some);
    tegu_if_end(e, &single);
    LLVMBuildRetVoid(e->builder);
    return self;
}
