/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Context and state (see driver.h): init, position, reset, rewind and saving.
 * A saved state is the head of the block followed by the rows in use of every
 * state tensor, packed.  What is in use is a run of bytes at the start of
 * each of a number of equal chunks: one for row-major tensors, one per head
 * for the layouts of caches.
 */
#include "codegen/driver.h"

#include <inttypes.h>
#include <string.h>

typedef struct writer {
    tegu_emitter *e;
    const tegu_plan *plan;
    LLVMValueRef copy, zero;              /* (to, from, bytes), (to, bytes) */
    LLVMValueRef reset_block, used_bytes; /* (state), (position) -> i64 */
} writer;

/* ---- state tensors ---- */

/* Tokens that the layout of cached keys interleaves (attention.h). */
enum { KEY_BLOCK = 16 };

/* How one state tensor lies: chunks of `chunk` bytes; at most `rows` rows of
 * `row` bytes within each, in groups of `group` rows; row 0: always used
 * whole. */
typedef struct extent {
    int64_t offset, chunks, chunk, rows, row, group;
} extent;

static extent extent_of(const tegu_plan *plan, uint32_t i)
{
    const tegu_state *s = &plan->unit->states.data[i];
    const tegu_type *t = s->type;
    size_t bytes = 0;
    tegu_state_size(s, &bytes);
    extent x = {.offset = (int64_t)plan->state_offsets[i],
                .chunks = 1,
                .chunk = (int64_t)bytes,
                .group = 1};
    if (!s->appended)
        return x;
    x.rows = t->dims[0].offset;
    if (s->layout == TEGU_LAYOUT_ROWS) {
        x.row = t->dims[0].offset ? x.chunk / t->dims[0].offset : 0;
        return x;
    }
    x.chunks = t->dims[1].offset;
    x.chunk /= x.chunks;
    x.row = t->dims[2].offset * (int64_t)sizeof(float);
    x.group = s->layout == TEGU_LAYOUT_KEYS ? KEY_BLOCK : 1;
    return x;
}

/* Bytes in use of each chunk with `position` rows. */
static LLVMValueRef used_of(writer *w, const extent *x, LLVMValueRef position)
{
    tegu_emitter *e = w->e;
    LLVMBuilderRef b = e->builder;
    if (!x->row)
        return tegu_emit_int(e, x->chunk);
    LLVMValueRef rows =
        tegu_emit_binary(e, "llvm.smin", position, tegu_emit_int(e, x->rows));
    if (x->group > 1) {
        rows = LLVMBuildAdd(b, rows, tegu_emit_int(e, x->group - 1), "");
        rows = LLVMBuildAnd(b, rows, tegu_emit_int(e, -x->group), "");
    }
    return LLVMBuildMul(b, rows, tegu_emit_int(e, x->row), "");
}

/* ---- helpers in the object ---- */

static LLVMValueRef emit_copy(tegu_emitter *e)
{
    LLVMTypeRef types[] = {e->ptr, e->ptr, e->i64};
    LLVMValueRef f =
        tegu_emit_function(e, "copy", e->none, types, 3, TEGU_LINKAGE_PRIVATE);
    tegu_loop loop;
    tegu_emit_noalias(e, f, 0);
    tegu_emit_noinline(e, f);
    tegu_loop_begin(e, &loop, TEGU_LOOP_OPEN, tegu_emit_int(e, 0),
                    LLVMGetParam(f, 2), tegu_emit_int(e, 1), 0, NULL);
    LLVMValueRef from = tegu_abi_byte(e, LLVMGetParam(f, 1), loop.index);
    LLVMValueRef to = tegu_abi_byte(e, LLVMGetParam(f, 0), loop.index);
    tegu_emit_store(e, tegu_emit_load(e, e->i8, from, 1, NULL), to, 1, NULL);
    tegu_loop_end(e, &loop, NULL);
    LLVMBuildRetVoid(e->builder);
    return f;
}

static LLVMValueRef emit_zero(tegu_emitter *e)
{
    LLVMTypeRef types[] = {e->ptr, e->i64};
    LLVMValueRef f =
        tegu_emit_function(e, "zero", e->none, types, 2, TEGU_LINKAGE_PRIVATE);
    tegu_loop loop;
    tegu_emit_noinline(e, f);
    tegu_loop_begin(e, &loop, TEGU_LOOP_OPEN, tegu_emit_int(e, 0),
                    LLVMGetParam(f, 1), tegu_emit_int(e, 1), 0, NULL);
    LLVMValueRef to = tegu_abi_byte(e, LLVMGetParam(f, 0), loop.index);
    tegu_emit_store(e, LLVMConstInt(e->i8, 0, 0), to, 1, NULL);
    tegu_loop_end(e, &loop, NULL);
    LLVMBuildRetVoid(e->builder);
    return f;
}

/* reset(state): zeros everywhere, then the hash. */
static LLVMValueRef emit_reset_block(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMTypeRef types[] = {e->ptr};
    LLVMValueRef f =
        tegu_emit_function(e, "reset", e->none, types, 1, TEGU_LINKAGE_PRIVATE);
    LLVMValueRef state = LLVMGetParam(f, 0);
    LLVMValueRef arguments[] = {
        state, tegu_emit_int(e, (int64_t)w->plan->state_bytes)};
    tegu_emit_noinline(e, f);
    tegu_emit_call(e, w->zero, arguments, 2);
    tegu_abi_set_field(e, state, TEGU_STATE_HASH,
                       LLVMConstInt(e->i64, w->plan->abi, 0));
    LLVMBuildRetVoid(e->builder);
    return f;
}

/* used(position): the size of a saved state. */
static LLVMValueRef emit_used_bytes(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMTypeRef types[] = {e->i64};
    LLVMValueRef f =
        tegu_emit_function(e, "used", e->i64, types, 1, TEGU_LINKAGE_PRIVATE);
    LLVMValueRef sum = tegu_emit_int(e, TEGU_STATE_HEAD);
    for (uint32_t i = 0; i < w->plan->unit->states.count; i++) {
        extent x = extent_of(w->plan, i);
        LLVMValueRef bytes =
            LLVMBuildMul(e->builder, used_of(w, &x, LLVMGetParam(f, 0)),
                         tegu_emit_int(e, x.chunks), "");
        sum = LLVMBuildAdd(e->builder, sum, bytes, "");
    }
    LLVMBuildRet(e->builder, sum);
    return f;
}

/* ---- functions of the ABI ---- */

static LLVMValueRef begin(writer *w, const char *verb, LLVMTypeRef result,
                          LLVMTypeRef *types, unsigned count)
{
    return tegu_emit_function(
        w->e, tegu_format(w->plan->arena, "%s_%s", w->plan->unit->name, verb),
        result, types, count, TEGU_LINKAGE_PUBLIC);
}

static void ret_status(tegu_emitter *e, tegu_abi_status status)
{
    LLVMBuildRet(e->builder, LLVMConstInt(e->i32, status, 0));
}

/* The state of a context that has been checked. */
static LLVMValueRef checked_state(writer *w, LLVMValueRef context)
{
    tegu_emitter *e = w->e;
    tegu_abi_require(e, tegu_abi_not_null(e, context), TEGU_ABI_E_NULL);
    LLVMValueRef state = tegu_abi_field(e, e->ptr, context, TEGU_CONTEXT_STATE);
    tegu_abi_require(e, tegu_abi_not_null(e, state), TEGU_ABI_E_NULL);
    tegu_abi_require(e, tegu_abi_aligned(e, state), TEGU_ABI_E_ALIGN);
    tegu_abi_require(e, tegu_abi_matches(e, w->plan, state),
                     TEGU_ABI_E_MISMATCH);
    return state;
}

static LLVMValueRef at_least(tegu_emitter *e, LLVMValueRef value,
                             LLVMValueRef least)
{
    return LLVMBuildICmp(e->builder, LLVMIntUGE, value, least, "");
}

static LLVMValueRef equal(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildICmp(e->builder, LLVMIntEQ, a, b, "");
}

/* A file's head: magic, hash, size. */
static void check_file(writer *w, const char *text,
                       const tegu_weights_file *file, LLVMValueRef weights,
                       LLVMValueRef bytes)
{
    tegu_emitter *e = w->e;
    uint64_t magic;
    memcpy(&magic, text, sizeof magic);
    LLVMValueRef size = tegu_emit_int(e, (int64_t)file->bytes);
    tegu_abi_require(e, tegu_abi_not_null(e, weights), TEGU_ABI_E_NULL);
    tegu_abi_require(e, tegu_abi_aligned(e, weights), TEGU_ABI_E_ALIGN);
    tegu_abi_require(e, at_least(e, bytes, size), TEGU_ABI_E_SIZE);
    LLVMValueRef expected[] = {LLVMConstInt(e->i64, magic, 0),
                               LLVMConstInt(e->i64, file->hash, 0), size};
    for (int i = 0; i < 3; i++)
        tegu_abi_require(
            e, equal(e, tegu_abi_field(e, e->i64, weights, 8 * i), expected[i]),
            TEGU_ABI_E_MISMATCH);
}

static void set_adapter(tegu_emitter *e, LLVMValueRef context, uint32_t slot,
                        LLVMValueRef data, LLVMValueRef scale)
{
    tegu_abi_set_field(e, context, tegu_abi_adapter(slot, TEGU_ADAPTER_DATA),
                       data);
    tegu_abi_set_field(e, context, tegu_abi_adapter(slot, TEGU_ADAPTER_SCALE),
                       scale);
}

/* One slot of set_adapter(context, slot, data, bytes, scale): off when data is
 * NULL, else the file is checked. */
static void emit_slot(writer *w, LLVMValueRef f, const tegu_weights_file *file)
{
    tegu_emitter *e = w->e;
    LLVMValueRef context = LLVMGetParam(f, 0), data = LLVMGetParam(f, 2);
    tegu_if mine, off;
    tegu_if_begin(e, &mine,
                  LLVMBuildICmp(e->builder, LLVMIntEQ, LLVMGetParam(f, 1),
                                LLVMConstInt(e->i32, file->slot, 0), ""));
    tegu_if_begin(e, &off, LLVMBuildIsNull(e->builder, data, ""));
    set_adapter(e, context, file->slot, data, LLVMConstNull(e->f32));
    tegu_if_else(e, &off);
    check_file(w, TEGU_ADAPTER_MAGIC, file, data, LLVMGetParam(f, 3));
    set_adapter(e, context, file->slot, data, LLVMGetParam(f, 4));
    tegu_if_end(e, &off);
    tegu_if_end(e, &mine);
}

static void emit_set_adapter(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef types[] = {e->ptr, e->i32, e->ptr, e->i64, e->f32};
    LLVMValueRef f = begin(w, "set_adapter", e->i32, types, 5);
    LLVMValueRef scale = LLVMGetParam(f, 4);
    LLVMValueRef slots = LLVMConstInt(e->i32, w->plan->slots, 0);
    tegu_abi_require(e, tegu_abi_not_null(e, LLVMGetParam(f, 0)),
                     TEGU_ABI_E_NULL);
    tegu_abi_require(
        e, LLVMBuildICmp(b, LLVMIntULT, LLVMGetParam(f, 1), slots, ""),
        TEGU_ABI_E_BOUNDS);
    /* x - x is 0 for finite x alone. */
    tegu_abi_require(e,
                     LLVMBuildFCmp(b, LLVMRealOEQ,
                                   LLVMBuildFSub(b, scale, scale, ""),
                                   LLVMConstNull(e->f32), ""),
                     TEGU_ABI_E_BOUNDS);
    for (uint32_t i = 1; i < w->plan->unit->adapters.count; i++)
        if (w->plan->files[i].used)
            emit_slot(w, f, &w->plan->files[i]);
    ret_status(e, TEGU_ABI_OK);
}

static void emit_init(writer *w, LLVMValueRef embedded)
{
    tegu_emitter *e = w->e;
    LLVMTypeRef types[] = {e->ptr, e->ptr, e->i64, e->ptr, e->i64};
    const char *verb =
        tegu_format(w->plan->arena, "init_%016" PRIx64, w->plan->abi);
    LLVMValueRef f = begin(w, verb, e->i32, types, 5);
    LLVMValueRef context = LLVMGetParam(f, 0), weights = LLVMGetParam(f, 1);
    LLVMValueRef bytes = LLVMGetParam(f, 2), state = LLVMGetParam(f, 3);
    tegu_abi_require(e, tegu_abi_not_null(e, context), TEGU_ABI_E_NULL);
    tegu_abi_require(e, tegu_abi_not_null(e, state), TEGU_ABI_E_NULL);
    tegu_abi_require(e, tegu_abi_aligned(e, state), TEGU_ABI_E_ALIGN);
    tegu_abi_require(e,
                     at_least(e, LLVMGetParam(f, 4),
                              tegu_emit_int(e, (int64_t)w->plan->state_bytes)),
                     TEGU_ABI_E_SIZE);
    if (embedded) {
        tegu_abi_require(e, LLVMBuildIsNull(e->builder, weights, ""),
                         TEGU_ABI_E_MISMATCH);
        tegu_abi_require(e, equal(e, bytes, tegu_emit_int(e, 0)),
                         TEGU_ABI_E_MISMATCH);
        weights = embedded;
    } else {
        check_file(w, TEGU_WEIGHTS_MAGIC, &w->plan->files[0], weights, bytes);
    }
    tegu_abi_set_field(e, context, TEGU_CONTEXT_WEIGHTS, weights);
    tegu_abi_set_field(e, context, TEGU_CONTEXT_STATE, state);
    tegu_abi_set_field(e, context, TEGU_CONTEXT_PARALLEL,
                       LLVMConstNull(e->ptr));
    tegu_abi_set_field(e, context, TEGU_CONTEXT_POOL, LLVMConstNull(e->ptr));
    tegu_abi_set_field(e, context, TEGU_CONTEXT_THREADS, tegu_emit_int(e, 1));
    for (uint32_t slot = 0; slot < w->plan->slots; slot++)
        set_adapter(e, context, slot, LLVMConstNull(e->ptr),
                    LLVMConstNull(e->f32));
    tegu_emit_call(e, w->reset_block, &state, 1);
    ret_status(e, TEGU_ABI_OK);
}

/* -1 for a context that has no state of this model. */
static void emit_position(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMBuilderRef b = e->builder;
    LLVMValueRef f = begin(w, "position", e->i64, &e->ptr, 1);
    LLVMBasicBlockRef blocks[4];
    for (int i = 0; i < 4; i++)
        blocks[i] = LLVMAppendBasicBlockInContext(e->context, f, "");
    LLVMBuildCondBr(b, tegu_abi_not_null(e, LLVMGetParam(f, 0)), blocks[0],
                    blocks[3]);
    LLVMPositionBuilderAtEnd(b, blocks[0]);
    LLVMValueRef state =
        tegu_abi_field(e, e->ptr, LLVMGetParam(f, 0), TEGU_CONTEXT_STATE);
    LLVMBuildCondBr(b, tegu_abi_not_null(e, state), blocks[1], blocks[3]);
    LLVMPositionBuilderAtEnd(b, blocks[1]);
    LLVMBuildCondBr(b, tegu_abi_matches(e, w->plan, state), blocks[2],
                    blocks[3]);
    LLVMPositionBuilderAtEnd(b, blocks[2]);
    LLVMBuildRet(b, tegu_abi_field(e, e->i64, state, TEGU_STATE_POSITION));
    LLVMPositionBuilderAtEnd(b, blocks[3]);
    LLVMBuildRet(b, tegu_emit_int(e, -1));
}

static void emit_reset(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMValueRef f = begin(w, "reset", e->i32, &e->ptr, 1);
    LLVMValueRef state = checked_state(w, LLVMGetParam(f, 0));
    tegu_emit_call(e, w->reset_block, &state, 1);
    ret_status(e, TEGU_ABI_OK);
}

/* Rows of row-major caches from `position` to `old` become what they were:
 * zero.  The other layouts are read by attention only, which never looks
 * past the position. */
static void clear_rows(writer *w, LLVMValueRef state, LLVMValueRef position,
                       LLVMValueRef old)
{
    tegu_emitter *e = w->e;
    for (uint32_t i = 0; i < w->plan->unit->states.count; i++) {
        extent x = extent_of(w->plan, i);
        const tegu_state *s = &w->plan->unit->states.data[i];
        if (!x.row || s->layout != TEGU_LAYOUT_ROWS)
            continue;
        LLVMValueRef first = used_of(w, &x, position);
        LLVMValueRef count =
            LLVMBuildSub(e->builder, used_of(w, &x, old), first, "");
        LLVMValueRef at =
            LLVMBuildAdd(e->builder, first, tegu_emit_int(e, x.offset), "");
        LLVMValueRef arguments[] = {tegu_abi_byte(e, state, at), count};
        tegu_emit_call(e, w->zero, arguments, 2);
    }
}

static void emit_rewind(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef types[] = {e->ptr, e->i64};
    bool replaced = false;
    for (uint32_t i = 0; i < w->plan->unit->states.count; i++)
        replaced |= !w->plan->unit->states.data[i].appended;
    LLVMValueRef f = begin(w, "rewind", e->i32, types, 2);
    LLVMValueRef state = checked_state(w, LLVMGetParam(f, 0));
    LLVMValueRef position = LLVMGetParam(f, 1);
    LLVMValueRef old = tegu_abi_field(e, e->i64, state, TEGU_STATE_POSITION);
    tegu_abi_require(e, LLVMBuildICmp(b, LLVMIntULE, position, old, ""),
                     TEGU_ABI_E_POSITION);
    LLVMValueRef to_start = equal(e, position, tegu_emit_int(e, 0));
    tegu_if branch;
    tegu_if_begin(e, &branch, to_start);
    tegu_emit_call(e, w->reset_block, &state, 1);
    tegu_if_end(e, &branch);
    if (replaced)
        tegu_abi_require(e,
                         LLVMBuildOr(b, to_start, equal(e, position, old), ""),
                         TEGU_ABI_E_POSITION);
    clear_rows(w, state, position, old);
    tegu_abi_set_field(e, state, TEGU_STATE_POSITION, position);
    ret_status(e, TEGU_ABI_OK);
}

/* ---- saving ---- */

static void emit_save_bytes(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMBuilderRef b = e->builder;
    LLVMValueRef f = begin(w, "save_bytes", e->i64, &e->ptr, 1);
    LLVMValueRef position_function = LLVMGetNamedFunction(
        e->module,
        tegu_format(w->plan->arena, "%s_position", w->plan->unit->name));
    LLVMValueRef context = LLVMGetParam(f, 0);
    LLVMValueRef position = tegu_emit_call(e, position_function, &context, 1);
    LLVMValueRef bytes = tegu_emit_call(e, w->used_bytes, &position, 1);
    LLVMValueRef valid =
        LLVMBuildICmp(b, LLVMIntSGE, position, tegu_emit_int(e, 0), "");
    LLVMBuildRet(b, LLVMBuildSelect(b, valid, bytes, tegu_emit_int(e, 0), ""));
}

/* Copies the parts in use between the state and packed bytes. */
static void copy_used(writer *w, LLVMValueRef state, LLVMValueRef packed,
                      LLVMValueRef position, bool save)
{
    tegu_emitter *e = w->e;
    LLVMBuilderRef b = e->builder;
    LLVMValueRef done = tegu_emit_int(e, TEGU_STATE_HEAD);
    for (uint32_t i = 0; i < w->plan->unit->states.count; i++) {
        extent x = extent_of(w->plan, i);
        LLVMValueRef used = used_of(w, &x, position);
        tegu_loop loop;
        tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, tegu_emit_int(e, 0),
                        tegu_emit_int(e, x.chunks), tegu_emit_int(e, 1), 1,
                        &done);
        LLVMValueRef at =
            LLVMBuildMul(b, loop.index, tegu_emit_int(e, x.chunk), "");
        at = LLVMBuildAdd(b, at, tegu_emit_int(e, x.offset), "");
        LLVMValueRef ours = tegu_abi_byte(e, state, at);
        LLVMValueRef theirs = tegu_abi_byte(e, packed, loop.value[0]);
        LLVMValueRef arguments[] = {save ? theirs : ours, save ? ours : theirs,
                                    used};
        tegu_emit_call(e, w->copy, arguments, 3);
        LLVMValueRef next = LLVMBuildAdd(b, loop.value[0], used, "");
        tegu_loop_end(e, &loop, &next);
        done = loop.value[0];
    }
}

static void copy_head(writer *w, LLVMValueRef to, LLVMValueRef from)
{
    LLVMValueRef arguments[] = {to, from, tegu_emit_int(w->e, TEGU_STATE_HEAD)};
    tegu_emit_call(w->e, w->copy, arguments, 3);
}

static void emit_save(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMTypeRef types[] = {e->ptr, e->ptr, e->i64};
    LLVMValueRef f = begin(w, "save", e->i32, types, 3);
    LLVMValueRef out = LLVMGetParam(f, 1);
    tegu_abi_require(e, tegu_abi_not_null(e, out), TEGU_ABI_E_NULL);
    LLVMValueRef state = checked_state(w, LLVMGetParam(f, 0));
    LLVMValueRef position =
        tegu_abi_field(e, e->i64, state, TEGU_STATE_POSITION);
    LLVMValueRef needed = tegu_emit_call(e, w->used_bytes, &position, 1);
    tegu_abi_require(e, at_least(e, LLVMGetParam(f, 2), needed),
                     TEGU_ABI_E_SIZE);
    copy_head(w, out, state);
    copy_used(w, state, out, position, true);
    ret_status(e, TEGU_ABI_OK);
}

/* A field of a saved state, which may lie anywhere. */
static LLVMValueRef loose_field(tegu_emitter *e, LLVMValueRef base,
                                int64_t offset)
{
    LLVMValueRef at = tegu_abi_byte(e, base, tegu_emit_int(e, offset));
    return tegu_emit_load(e, e->i64, at, 1, NULL);
}

static void emit_load(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef types[] = {e->ptr, e->ptr, e->i64};
    LLVMValueRef f = begin(w, "load", e->i32, types, 3);
    LLVMValueRef saved = LLVMGetParam(f, 1), bytes = LLVMGetParam(f, 2);
    tegu_abi_require(e, tegu_abi_not_null(e, saved), TEGU_ABI_E_NULL);
    LLVMValueRef state = checked_state(w, LLVMGetParam(f, 0));
    tegu_abi_require(e, at_least(e, bytes, tegu_emit_int(e, TEGU_STATE_HEAD)),
                     TEGU_ABI_E_SIZE);
    tegu_abi_require(e,
                     equal(e, loose_field(e, saved, TEGU_STATE_HASH),
                           LLVMConstInt(e->i64, w->plan->abi, 0)),
                     TEGU_ABI_E_MISMATCH);
    LLVMValueRef position = loose_field(e, saved, TEGU_STATE_POSITION);
    tegu_abi_require(e,
                     LLVMBuildICmp(b, LLVMIntULE, position,
                                   tegu_emit_int(e, w->plan->longest), ""),
                     TEGU_ABI_E_MISMATCH);
    LLVMValueRef needed = tegu_emit_call(e, w->used_bytes, &position, 1);
    tegu_abi_require(e, at_least(e, bytes, needed), TEGU_ABI_E_SIZE);
    tegu_emit_call(e, w->reset_block, &state, 1);
    tegu_abi_set_field(e, state, TEGU_STATE_POSITION, position);
    copy_used(w, state, saved, position, false);
    ret_status(e, TEGU_ABI_OK);
}

void tegu_emit_abi(tegu_emitter *e, const tegu_plan *plan,
                   LLVMValueRef embedded)
{
    writer w = {.e = e, .plan = plan};
    w.copy = emit_copy(e);
    w.zero = emit_zero(e);
    w.reset_block = emit_reset_block(&w);
    w.used_bytes = emit_used_bytes(&w);
    emit_init(&w, embedded);
    if (plan->slots)
        emit_set_adapter(&w);
    emit_position(&w);
    emit_reset(&w);
    emit_rewind(&w);
    emit_save_bytes(&w);
    emit_save(&w);
    emit_load(&w);
}
