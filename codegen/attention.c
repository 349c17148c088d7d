/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attention generator: see attention.h.
 *
 * A "row" is one query vector; the rows of a key head are numbered token *
 * group + (head within the group).  Up to TILES tiles of rows go through the
 * keys together, CHUNK keys at a time, so that a chunk is read from memory
 * once and from the first- or second-level cache by the other tiles:
 *
 *   NAME          deals groups of tiles to the parts; loops over chunks
 *   NAME.attend   (one per row count) scores of a tile, soft, values
 *   NAME.soft     scores to weights, running maximum and sum, for any rows
 *
 * Between chunks a row keeps in memory: its maximum m, the sum of its weights
 * l (a vector, added up at the end), and its output so far o.
 */
#include "codegen/attention.h"

#include <stdio.h>

#include "codegen/math.h"
#include "codegen/tile.h"

#define BLOCK 16
#define CHUNK 64
#define TILES 4
/* Tiles of at most so many rows ask for the next chunk ahead of time. */
#define FEW_ROWS 4
#define LOG2E 1.44269504088896340736
/* Below any score; finite, so that differences of two are not NaN. */
#define NOTHING (-1e30)

typedef LLVMValueRef value;

/* Pointers to what the rows of a tile keep; i64 facts about the chunk. */
typedef struct state {
    value q, k, v, scores, m, l, alpha, o;
    value depth, key, row, seen; /* keys, first key, first row, offset or S */
} state;
#define STATE_POINTERS 8
#define STATE_VALUES 12

typedef struct form {
    const tegu_attention *a;
    unsigned lanes, mr, nv;
    int64_t group, wide;       /* heads per key head; D rounded up to lanes */
    int64_t v_stride, kv_step; /* elements */
    LLVMTypeRef vector;
    value soft, attend[32];
    value q, k, v, out, tokens, seen; /* of NAME */
    value chunk_k;                    /* plain: the chunk in cache order */
    state s;                          /* of NAME: whole group */
} form;

static value at(tegu_emitter *e, value base, value index)
{
    return tegu_emit_at(e, e->f32, base, index);
}

static value at_constant(tegu_emitter *e, value base, int64_t index)
{
    return at(e, base, tegu_emit_int(e, index));
}

static value number(tegu_emitter *e, int64_t x)
{
    return tegu_emit_int(e, x);
}

/* A loop whose body runs as written. */
static void begin(tegu_emitter *e, tegu_loop *loop, value lo, value hi,
                  int64_t step)
{
    tegu_loop_begin(e, loop, TEGU_LOOP_AS_IS, lo, hi, number(e, step), 0, NULL);
}

static void end(tegu_emitter *e, tegu_loop *loop)
{
    tegu_loop_end(e, loop, NULL);
}

/* ---- cache layouts ---- */

static int64_t rounded(int64_t capacity)
{
    return (capacity + CHUNK - 1) / CHUNK * CHUNK;
}

int64_t tegu_cache_elements(int64_t capacity, int64_t kv_heads, int64_t d)
{
    return rounded(capacity) * kv_heads * d;
}

int64_t tegu_cache_k_index(int64_t capacity, int64_t d, int64_t token,
                           int64_t head, int64_t component)
{
    return head * rounded(capacity) * d + token / BLOCK * BLOCK * d +
           component * BLOCK + token % BLOCK;
}

int64_t tegu_cache_v_index(int64_t capacity, int64_t d, int64_t token,
                           int64_t head, int64_t component)
{
    return (head * rounded(capacity) + token) * d + component;
}

value tegu_emit_cache_k(tegu_emitter *e, int64_t capacity, int64_t d,
                        value token, value head, value component)
{
    value lane = LLVMBuildAnd(e->builder, token, number(e, BLOCK - 1), "");
    value block = tegu_tile_minus(e, token, lane);
    value sum = tegu_tile_times(e, head, rounded(capacity) * d);
    sum = tegu_tile_plus(e, sum, tegu_tile_times(e, block, d));
    sum = tegu_tile_plus(e, sum, tegu_tile_times(e, component, BLOCK));
    return tegu_tile_plus(e, sum, lane);
}

value tegu_emit_cache_v(tegu_emitter *e, int64_t capacity, int64_t d,
                        value token, value head, value component)
{
    value row = tegu_tile_times(e, head, rounded(capacity));
    row = tegu_tile_times(e, tegu_tile_plus(e, row, token), d);
    return tegu_tile_plus(e, row, component);
}

/* ---- attend: one tile, one chunk ---- */

/* Lanes that exist where `left` columns are left; NULL: all. */
static value left_mask(tegu_emitter *e, const form *f, int64_t left)
{
    return left < f->lanes ? tegu_emit_mask(e, f->lanes, number(e, left))
                           : NULL;
}

static value columns_mask(tegu_emitter *e, const form *f, int64_t first)
{
    return left_mask(e, f, f->a->d - first);
}

/* Asks for the lines that the same step of the next chunk will read.  Few
 * rows wait for memory, and while their weights are computed nothing else
 * would fetch; many rows find the chunk in cache. */
static void fetch_ahead(tegu_emitter *e, unsigned rows, value panel,
                        int64_t distance)
{
    if (rows > FEW_ROWS)
        return;
    LLVMTypeRef type = e->ptr;
    unsigned id = LLVMLookupIntrinsicID("llvm.prefetch", 13);
    value declared = LLVMGetIntrinsicDeclaration(e->module, id, &type, 1);
    value arguments[] = {at_constant(e, panel, distance),
                         LLVMConstInt(e->i32, 0, 0), LLVMConstInt(e->i32, 3, 0),
                         LLVMConstInt(e->i32, 1, 0)};
    LLVMBuildCall2(e->builder, LLVMGlobalGetValueType(declared), declared,
                   arguments, 4, "");
}

/* Moves the state to the keys from `first` (a lane of the chunk) on. */
static state at_key(tegu_emitter *e, const form *f, const state *s, value first)
{
    state moved = *s;
    value zero = number(e, 0);
    moved.k =
        at(e, s->k, tegu_emit_cache_k(e, CHUNK, f->a->d, first, zero, zero));
    moved.scores = at(e, s->scores, first);
    return moved;
}

/* scores[r] = q[r] . k for `nv` vectors of keys.  They lie in one block, or
 * fill blocks. */
static void emit_scores(tegu_emitter *e, const form *f, const state *s,
                        unsigned rows, unsigned nv, int64_t left)
{
    (void)left; /* chunks of keys are whole */
    value acc[TEGU_LOOP_VALUES], panel[16];
    unsigned count = rows * nv;
    tegu_loop loop;
    for (unsigned i = 0; i < count; i++)
        acc[i] = LLVMConstNull(f->vector);
    tegu_loop_begin(e, &loop, TEGU_LOOP_COUNTED, number(e, 0),
                    number(e, f->a->d), number(e, 1), count, acc);
    value step = at(e, s->k, tegu_tile_times(e, loop.index, BLOCK));
    for (unsigned v = 0; v < nv; v++) {
        int64_t key = (int64_t)v * f->lanes;
        int64_t offset = key / BLOCK * BLOCK * f->a->d + key % BLOCK;
        panel[v] = tegu_emit_load(e, f->vector, at_constant(e, step, offset),
                                  f->lanes * 4, NULL);
        if (f->a->capacity && key % BLOCK == 0)
            fetch_ahead(e, rows, at_constant(e, step, offset), CHUNK * f->a->d);
    }
    for (unsigned i = 0; i < count; i++)
        acc[i] = loop.value[i];
    tegu_tile_step(e, rows, nv, at(e, s->q, loop.index), f->wide, panel, acc);
    tegu_loop_end(e, &loop, acc);
    for (unsigned i = 0; i < count; i++)
        tegu_emit_store(
            e, loop.value[i],
            at_constant(e, s->scores, i / nv * CHUNK + i % nv * f->lanes),
            f->lanes * 4, NULL);
}

/* Moves the state to the columns from `first` on. */
static state at_column(tegu_emitter *e, const form *f, const state *s,
                       value first)
{
    (void)f;
    state moved = *s;
    moved.v = at(e, s->v, first);
    moved.o = at(e, s->o, first);
    return moved;
}

/* o[r] = o[r] * alpha[r] + weights[r] . v for `nv` vectors of columns, of
 * which `left` columns exist. */
static void emit_values(tegu_emitter *e, const form *f, const state *s,
                        unsigned rows, unsigned nv, int64_t left)
{
    value acc[TEGU_LOOP_VALUES], panel[16];
    unsigned count = rows * nv;
    tegu_loop loop;
    for (unsigned r = 0; r < rows; r++) {
        value alpha = tegu_emit_splat(
            e, tegu_emit_load(e, e->f32, at_constant(e, s->alpha, r), 4, NULL),
            f->lanes);
        for (unsigned v = 0; v < nv; v++) {
            value old = tegu_emit_load(
                e, f->vector, at_constant(e, s->o, r * f->wide + v * f->lanes),
                f->lanes * 4, NULL);
            acc[r * nv + v] = tegu_emit_fmul(e, old, alpha);
        }
    }
    tegu_loop_begin(e, &loop, TEGU_LOOP_COUNTED, number(e, 0), s->depth,
                    number(e, 1), count, acc);
    value row = at(e, s->v, tegu_tile_times(e, loop.index, f->v_stride));
    for (unsigned v = 0; v < nv; v++) {
        int64_t column = (int64_t)v * f->lanes;
        panel[v] = tegu_emit_load(e, f->vector, at_constant(e, row, column), 4,
                                  left_mask(e, f, left - column));
        if (column % BLOCK == 0)
            fetch_ahead(e, rows, at_constant(e, row, column),
                        CHUNK * f->v_stride);
    }
    for (unsigned i = 0; i < count; i++)
        acc[i] = loop.value[i];
    tegu_tile_step(e, rows, nv, at(e, s->scores, loop.index), CHUNK, panel,
                   acc);
    tegu_loop_end(e, &loop, acc);
    for (unsigned i = 0; i < count; i++)
        tegu_emit_store(
            e, loop.value[i],
            at_constant(e, s->o, i / nv * f->wide + i % nv * f->lanes),
            f->lanes * 4, NULL);
}

static void pack_state(const state *s, value *out)
{
    const value all[STATE_VALUES] = {s->q,     s->k,   s->v,     s->scores,
                                     s->m,     s->l,   s->alpha, s->o,
                                     s->depth, s->key, s->row,   s->seen};
    for (unsigned i = 0; i < STATE_VALUES; i++)
        out[i] = all[i];
}

static state state_of(value function)
{
    value p[STATE_VALUES];
    LLVMGetParams(function, p);
    return (state){p[0], p[1], p[2], p[3], p[4],  p[5],
                   p[6], p[7], p[8], p[9], p[10], p[11]};
}

/* void (state..., [rows]) */
static value start_helper(tegu_emitter *e, const form *f, const char *suffix,
                          unsigned number_of_rows, bool takes_rows)
{
    char name[256];
    LLVMTypeRef parameters[STATE_VALUES + 1];
    for (unsigned i = 0; i <= STATE_VALUES; i++)
        parameters[i] = i < STATE_POINTERS ? e->ptr : e->i64;
    snprintf(name, sizeof name, "%.200s.%s%u", f->a->name, suffix,
             number_of_rows);
    value function =
        tegu_emit_function(e, name, e->none, parameters,
                           STATE_VALUES + takes_rows, TEGU_LINKAGE_PRIVATE);
    for (unsigned i = 0; i < STATE_POINTERS; i++)
        tegu_emit_noalias(e, function, i);
    tegu_emit_noinline(e, function);
    return function;
}

typedef state move(tegu_emitter *e, const form *f, const state *s, value first);
typedef void stage(tegu_emitter *e, const form *f, const state *s,
                   unsigned rows, unsigned nv, int64_t left);

/* One stage over `count` keys or columns: whole groups of nv vectors in a
 * loop, what is left after it. */
static void emit_groups(tegu_emitter *e, const form *f, const state *s,
                        unsigned rows, int64_t count, move *to, stage *run)
{
    int64_t width = (int64_t)f->nv * f->lanes;
    int64_t whole = count - count % width, left = count - whole;
    tegu_loop loop;
    if (whole == width) {
        run(e, f, s, rows, f->nv, width);
    } else if (whole) {
        begin(e, &loop, number(e, 0), number(e, whole), width);
        state here = to(e, f, s, loop.index);
        run(e, f, &here, rows, f->nv, width);
        end(e, &loop);
    }
    if (left) {
        state here = to(e, f, s, number(e, whole));
        run(e, f, &here, rows, (unsigned)((left + f->lanes - 1) / f->lanes),
            left);
    }
}

static value emit_attend(tegu_emitter *e, const form *f, unsigned rows)
{
    value function = start_helper(e, f, "attend", rows, false);
    value arguments[STATE_VALUES + 1];
    state s = state_of(function);
    emit_groups(e, f, &s, rows, CHUNK, at_key, emit_scores);
    pack_state(&s, arguments);
    arguments[STATE_VALUES] = number(e, rows);
    tegu_emit_call(e, f->soft, arguments, STATE_VALUES + 1);
    emit_groups(e, f, &s, rows, f->a->d, at_column, emit_values);
    LLVMBuildRetVoid(e->builder);
    return function;
}

/* ---- soft: scores of a chunk to weights ---- */

/* Keys of vector v that the row sees; `last` and `first` are relative to the
 * chunk, inclusive. */
static value seen_mask(tegu_emitter *e, const form *f, value first, value last,
                       unsigned v)
{
    value base = number(e, (int64_t)v * f->lanes);
    value below = tegu_tile_plus(e, last, number(e, 1));
    value mask = tegu_emit_mask(e, f->lanes, tegu_tile_minus(e, below, base));
    if (!f->a->window)
        return mask;
    value early = tegu_emit_mask(e, f->lanes, tegu_tile_minus(e, first, base));
    return LLVMBuildAnd(e->builder, mask, LLVMBuildNot(e->builder, early, ""),
                        "");
}

/* The last key that `row` sees. */
static value last_key(tegu_emitter *e, const form *f, value row, value seen)
{
    if (!f->a->causal)
        return tegu_tile_minus(e, seen, number(e, 1));
    value token = LLVMBuildUDiv(e->builder, row, number(e, f->group), "");
    return tegu_tile_plus(e, seen, token);
}

/* One row of scores and what it shares with the other chunks. */
typedef struct soft_row {
    value scores, m, l, alpha; /* pointers */
    value first, last;         /* keys seen, relative to the chunk */
} soft_row;

static soft_row soft_row_of(tegu_emitter *e, const form *f, const state *s,
                            value r)
{
    soft_row row;
    value last = last_key(e, f, tegu_tile_plus(e, s->row, r), s->seen);
    row.last = tegu_tile_minus(e, last, s->key);
    row.first = tegu_tile_minus(e, row.last, number(e, f->a->window - 1));
    row.scores = at(e, s->scores, tegu_tile_times(e, r, CHUNK));
    row.m = at(e, s->m, r);
    row.l = at(e, s->l, tegu_tile_times(e, r, f->lanes));
    row.alpha = at(e, s->alpha, r);
    return row;
}

/* Turns scores, in units of log 2, into weights 2^(score - maximum). */
static void soften(tegu_emitter *e, const form *f, const soft_row *row,
                   bool masked)
{
    LLVMBuilderRef b = e->builder;
    unsigned n = CHUNK / f->lanes, align = f->lanes * 4;
    value score[CHUNK], mask[CHUNK], none = LLVMConstNull(f->vector);
    value nothing = tegu_emit_real(f->vector, NOTHING), most = nothing;
    for (unsigned v = 0; v < n; v++) {
        score[v] = tegu_emit_load(e, f->vector,
                                  at_constant(e, row->scores, v * f->lanes),
                                  align, NULL);
        if (masked) {
            mask[v] = seen_mask(e, f, row->first, row->last, v);
            score[v] = LLVMBuildSelect(b, mask[v], score[v], nothing, "");
        }
        most = tegu_emit_fmax(e, most, score[v]);
    }
    value old = tegu_emit_load(e, e->f32, row->m, 4, NULL);
    value new = tegu_emit_fmax(e, old, tegu_emit_max(e, most));
    value wide = tegu_emit_splat(e, new, f->lanes), sum = none;
    for (unsigned v = 0; v < n; v++) {
        value p = tegu_math_exp2_below(e, tegu_emit_fsub(e, score[v], wide));
        if (masked)
            p = LLVMBuildSelect(b, mask[v], p, none, "");
        tegu_emit_store(e, p, at_constant(e, row->scores, v * f->lanes), align,
                        NULL);
        sum = tegu_emit_fadd(e, sum, p);
    }
    value alpha = tegu_math_exp2_below(e, tegu_emit_fsub(e, old, new));
    value sums = tegu_emit_load(e, f->vector, row->l, align, NULL);
    sums = tegu_emit_fma(e, sums, tegu_emit_splat(e, alpha, f->lanes), sum);
    tegu_emit_store(e, sums, row->l, align, NULL);
    tegu_emit_store(e, new, row->m, 4, NULL);
    tegu_emit_store(e, alpha, row->alpha, 4, NULL);
}

/* Most chunks are seen whole and need no masks. */
static void emit_soft_row(tegu_emitter *e, const form *f, const state *s,
                          value r)
{
    LLVMBuilderRef b = e->builder;
    soft_row row = soft_row_of(e, f, s, r);
    tegu_if whole;
    value all =
        LLVMBuildICmp(b, LLVMIntSGE, row.last, number(e, CHUNK - 1), "");
    if (f->a->window) {
        value from = LLVMBuildICmp(b, LLVMIntSLE, row.first, number(e, 0), "");
        all = LLVMBuildAnd(b, all, from, "");
    }
    tegu_if_begin(e, &whole, all);
    soften(e, f, &row, false);
    tegu_if_else(e, &whole);
    soften(e, f, &row, true);
    tegu_if_end(e, &whole);
}

static value emit_soft(tegu_emitter *e, const form *f)
{
    value function = start_helper(e, f, "soft", 0, true);
    state s = state_of(function);
    tegu_loop loop;
    begin(e, &loop, number(e, 0), LLVMGetParam(function, STATE_VALUES), 1);
    emit_soft_row(e, f, &s, loop.index);
    end(e, &loop);
    LLVMBuildRetVoid(e->builder);
    return function;
}

/* ---- NAME ---- */

/* Pointer to vector 0 of a row's query (or output): [T, heads, D]. */
static value query_at(tegu_emitter *e, const form *f, value base, value head,
                      value row)
{
    value group = number(e, f->group);
    value token = LLVMBuildUDiv(e->builder, row, group, "");
    value within = LLVMBuildURem(e->builder, row, group, "");
    value index = tegu_tile_times(e, token, f->a->heads);
    index = tegu_tile_plus(e, index, tegu_tile_times(e, head, f->group));
    index = tegu_tile_plus(e, index, within);
    return at(e, base, tegu_tile_times(e, index, f->a->d));
}

/* Copies the queries, scaled so that scores are exponents of two,
 * of rows [lo, hi) and clears their sums. */
static void start_rows(tegu_emitter *e, const form *f, value head, value lo,
                       value hi)
{
    const state *s = &f->s;
    value scale = tegu_emit_real(f->vector, f->a->scale * LOG2E);
    tegu_loop loop;
    begin(e, &loop, lo, hi, 1);
    value r = tegu_tile_minus(e, loop.index, lo);
    value from = query_at(e, f, f->q, head, loop.index);
    value place = tegu_tile_times(e, r, f->wide);
    for (int64_t c = 0; c < f->wide; c += f->lanes) {
        value x = tegu_emit_load(e, f->vector, at_constant(e, from, c), 4,
                                 columns_mask(e, f, c));
        x = tegu_emit_fmul(e, x, scale);
        value here = tegu_tile_plus(e, place, number(e, c));
        tegu_emit_store(e, x, at(e, s->q, here), f->lanes * 4, NULL);
        tegu_emit_store(e, LLVMConstNull(f->vector), at(e, s->o, here),
                        f->lanes * 4, NULL);
    }
    tegu_emit_store(e, tegu_emit_real(e->f32, NOTHING), at(e, s->m, r), 4,
                    NULL);
    tegu_emit_store(e, LLVMConstNull(f->vector),
                    at(e, s->l, tegu_tile_times(e, r, f->lanes)), f->lanes * 4,
                    NULL);
    end(e, &loop);
}

static void finish_rows(tegu_emitter *e, const form *f, value head, value lo,
                        value hi)
{
    const state *s = &f->s;
    tegu_loop loop;
    begin(e, &loop, lo, hi, 1);
    value r = tegu_tile_minus(e, loop.index, lo);
    value to = query_at(e, f, f->out, head, loop.index);
    value sums = tegu_emit_load(e, f->vector,
                                at(e, s->l, tegu_tile_times(e, r, f->lanes)),
                                f->lanes * 4, NULL);
    value inverse =
        tegu_emit_fdiv(e, tegu_emit_real(e->f32, 1.0), tegu_emit_sum(e, sums));
    value wide = tegu_emit_splat(e, inverse, f->lanes);
    value place = tegu_tile_times(e, r, f->wide);
    for (int64_t c = 0; c < f->wide; c += f->lanes) {
        value x = tegu_emit_load(
            e, f->vector, at(e, s->o, tegu_tile_plus(e, place, number(e, c))),
            f->lanes * 4, NULL);
        tegu_emit_store(e, tegu_emit_fmul(e, x, wide), at_constant(e, to, c), 4,
                        columns_mask(e, f, c));
    }
    end(e, &loop);
}

/* Plain keys: `count` tokens from `key` on into cache order. */
static void turn_chunk(tegu_emitter *e, const form *f, value k, value key,
                       value count)
{
    tegu_loop token, component;
    begin(e, &token, number(e, 0), count, 1);
    value from = at(
        e, k,
        tegu_tile_times(e, tegu_tile_plus(e, key, token.index), f->v_stride));
    value to = at(e, f->chunk_k,
                  tegu_emit_cache_k(e, CHUNK, f->a->d, token.index,
                                    number(e, 0), number(e, 0)));
    begin(e, &component, number(e, 0), number(e, f->a->d), 1);
    value x = tegu_emit_load(e, e->f32, at(e, from, component.index), 4, NULL);
    tegu_emit_store(e, x, at(e, to, tegu_tile_times(e, component.index, BLOCK)),
                    4, NULL);
    end(e, &component);
    end(e, &token);
}

/* The tiles [from, to) of a group against the chunk of keys at `key`; `first`
 * is the group's first row. */
static void walk_tiles(tegu_emitter *e, const form *f, const tegu_tiling *t,
                       value from, value to, value first, state s)
{
    value arguments[STATE_VALUES], group = number(e, f->group);
    const state *g = &f->s;
    tegu_loop loop;
    tegu_if some;
    begin(e, &loop, from, to, 1);
    value lo = tegu_tile_first(e, t, loop.index);
    value hi =
        tegu_tile_first(e, t, tegu_tile_plus(e, loop.index, number(e, 1)));
    value last = last_key(e, f, tegu_tile_minus(e, hi, number(e, 1)), f->seen);
    value left = tegu_tile_minus(e, last, s.key);
    value any = LLVMBuildICmp(e->builder, LLVMIntSGE, left, number(e, 0), "");
    if (f->a->window) {
        value token = LLVMBuildUDiv(e->builder, lo, group, "");
        value early = tegu_tile_plus(e, f->seen, token);
        early = tegu_tile_minus(e, early, number(e, f->a->window - 1 + CHUNK));
        value late = LLVMBuildICmp(e->builder, LLVMIntSGT, s.key, early, "");
        any = LLVMBuildAnd(e->builder, any, late, "");
    }
    tegu_if_begin(e, &some, any);
    value r = tegu_tile_minus(e, lo, first);
    s.depth = tegu_tile_least(e, tegu_tile_plus(e, left, number(e, 1)),
                              number(e, CHUNK));
    s.row = lo;
    s.seen = f->seen;
    s.q = at(e, g->q, tegu_tile_times(e, r, f->wide));
    s.o = at(e, g->o, tegu_tile_times(e, r, f->wide));
    s.m = at(e, g->m, r);
    s.l = at(e, g->l, tegu_tile_times(e, r, f->lanes));
    s.scores = g->scores;
    s.alpha = g->alpha;
    pack_state(&s, arguments);
    tegu_tile_call(e, f->attend, 1, f->mr, tegu_tile_minus(e, hi, lo),
                   arguments, STATE_VALUES);
    tegu_if_end(e, &some);
    end(e, &loop);
}

/* First chunk that any row from `lo` on sees. */
static value first_chunk(tegu_emitter *e, const form *f, value lo)
{
    if (!f->a->window)
        return number(e, 0);
    value token = LLVMBuildUDiv(e->builder, lo, number(e, f->group), "");
    value key = tegu_tile_plus(e, f->seen, token);
    key = tegu_tile_minus(e, key, number(e, f->a->window - 1));
    key = tegu_tile_most(e, key, number(e, 0));
    return LLVMBuildAnd(e->builder, key, number(e, -CHUNK), "");
}

/* The tiles [from, to) of one key head. */
static void walk_group(tegu_emitter *e, const form *f, const tegu_tiling *t,
                       value head, value from, value to)
{
    tegu_loop chunk;
    state s = {0};
    value lo = tegu_tile_first(e, t, from), hi = tegu_tile_first(e, t, to);
    value past = tegu_tile_plus(
        e, last_key(e, f, tegu_tile_minus(e, hi, number(e, 1)), f->seen),
        number(e, 1));
    value k = at(e, f->k, tegu_tile_times(e, head, f->kv_step));
    value v = at(e, f->v, tegu_tile_times(e, head, f->kv_step));
    start_rows(e, f, head, lo, hi);
    begin(e, &chunk, first_chunk(e, f, lo), past, CHUNK);
    s.key = chunk.index;
    s.v = at(e, v, tegu_tile_times(e, chunk.index, f->v_stride));
    if (f->a->capacity) {
        s.k = at(e, k, tegu_tile_times(e, chunk.index, f->a->d));
    } else {
        value left = tegu_tile_minus(e, past, chunk.index);
        turn_chunk(e, f, k, chunk.index,
                   tegu_tile_least(e, left, number(e, CHUNK)));
        s.k = f->chunk_k;
    }
    walk_tiles(e, f, t, from, to, lo, s);
    end(e, &chunk);
    finish_rows(e, f, head, lo, hi);
}

/* This part's groups: every parts-th, so that the short and the long rows of
 * a causal triangle are shared evenly. */
static void walk(tegu_emitter *e, const form *f, value part, value parts)
{
    LLVMBuilderRef b = e->builder;
    tegu_loop loop;
    tegu_tiling t =
        tegu_tile_rows(e, tegu_tile_times(e, f->tokens, f->group), f->mr);
    value groups = tegu_tile_ceil(e, t.tiles, TILES), from, to;
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, part,
                    tegu_tile_times(e, groups, f->a->kv_heads), parts, 0, NULL);
    value head = LLVMBuildUDiv(b, loop.index, groups, "");
    value index = LLVMBuildURem(b, loop.index, groups, "");
    tegu_emit_share(e, t.tiles, index, groups, &from, &to);
    walk_group(e, f, &t, head, from, to);
    tegu_loop_end(e, &loop, NULL);
}

static form form_of(tegu_emitter *e, const tegu_attention *a)
{
    form f = {.a = a};
    f.lanes = e->target->lanes;
    f.mr = e->target->mr;
    for (f.nv = 1; f.nv * 2 <= e->target->nv;)
        f.nv *= 2; /* groups of keys must fit the blocks of 16 */
    f.group = a->heads / a->kv_heads;
    f.wide = (a->d + f.lanes - 1) / f.lanes * f.lanes;
    f.v_stride = a->capacity ? a->d : a->kv_heads * a->d;
    f.kv_step = a->capacity ? rounded(a->capacity) * a->d : a->d;
    f.vector = tegu_emit_type(e->f32, f.lanes);
    return f;
}

static value stack(tegu_emitter *e, int64_t count)
{
    return tegu_emit_stack(e, e->f32, (uint64_t)count, 64);
}

static void reserve(tegu_emitter *e, form *f)
{
    int64_t rows = TILES * f->mr;
    f->s.q = stack(e, rows * f->wide);
    f->s.o = stack(e, rows * f->wide);
    f->s.m = stack(e, rows);
    f->s.l = stack(e, rows * f->lanes);
    f->s.scores = stack(e, (int64_t)f->mr * CHUNK);
    f->s.alpha = stack(e, f->mr);
    if (!f->a->capacity)
        f->chunk_k = stack(e, CHUNK * f->a->d);
}

value tegu_emit_attention(tegu_emitter *e, const tegu_attention *a)
{
    form f = form_of(e, a);
    tegu_if some;
    f.soft = emit_soft(e, &f);
    for (unsigned r = 1; r <= f.mr; r++)
        f.attend[r] = emit_attend(e, &f, r);
    value self = tegu_emit_kernel(e, a->name);
    value args = LLVMGetParam(self, 0);
    reserve(e, &f);
    f.q = tegu_emit_slot_ptr(e, args, a->slot_q);
    f.k = tegu_emit_slot_ptr(e, args, a->slot_k);
    f.v = tegu_emit_slot_ptr(e, args, a->slot_v);
    f.out = tegu_emit_slot_ptr(e, args, a->slot_out);
    f.tokens = tegu_emit_slot_i64(e, args, a->slot_t);
    f.seen = tegu_emit_slot_i64(e, args, a->slot_offset);
    tegu_if_begin(
        e, &some,
        LLVMBuildICmp(e->builder, LLVMIntSGT, f.tokens, number(e, 0), ""));
    walk(e, &f, LLVMGetParam(self, 1), LLVMGetParam(self, 2));
    tegu_if_end(e, &some);
    LLVMBuildRetVoid(e->builder);
    return self;
}
