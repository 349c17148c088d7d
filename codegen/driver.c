/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries (see driver.h): checks, then the kernels in order, then the new
 * position.  Workspace slots lie one after another, each as large as its
 * largest tensor for the symbols of the call, so that workspace_bytes is
 * exact.  Arguments of kernels are written into one block on the stack.
 */
#include "codegen/driver.h"

#include <math.h>
#include <string.h>

/* Work below this many operations is not worth a fork and join. */
static const double least_parallel = 32768;

typedef struct writer {
    tegu_emitter *e;
    const tegu_plan *plan;
    const tegu_plan_entry *entry;
    LLVMValueRef run;      /* the function that calls kernels */
    LLVMValueRef *symbols; /* per axis id */
    LLVMValueRef *offsets; /* per workspace slot, i64 */
    LLVMValueRef context, weights, state, workspace, position, block;
    LLVMValueRef *inputs, *outputs;
    LLVMValueRef *data, *on; /* per unit->adapters: its tensors; i1 */
} writer;

/* ---- small pieces ---- */

void tegu_abi_require(tegu_emitter *e, LLVMValueRef ok, tegu_abi_status status)
{
    if (LLVMIsAConstantInt(ok) && LLVMConstIntGetZExtValue(ok))
        return;
    LLVMBasicBlockRef bad =
        LLVMAppendBasicBlockInContext(e->context, e->function, "");
    LLVMBasicBlockRef good =
        LLVMAppendBasicBlockInContext(e->context, e->function, "");
    LLVMBuildCondBr(e->builder, ok, good, bad);
    LLVMPositionBuilderAtEnd(e->builder, bad);
    LLVMBuildRet(e->builder, LLVMConstInt(e->i32, status, 0));
    LLVMPositionBuilderAtEnd(e->builder, good);
}

LLVMValueRef tegu_abi_not_null(tegu_emitter *e, LLVMValueRef pointer)
{
    return LLVMBuildIsNotNull(e->builder, pointer, "");
}

LLVMValueRef tegu_abi_aligned(tegu_emitter *e, LLVMValueRef pointer)
{
    LLVMValueRef bits = LLVMBuildPtrToInt(e->builder, pointer, e->i64, "");
    LLVMValueRef low = LLVMBuildAnd(e->builder, bits,
                                    tegu_emit_int(e, TEGU_ALIGNMENT - 1), "");
    return LLVMBuildICmp(e->builder, LLVMIntEQ, low, tegu_emit_int(e, 0), "");
}

LLVMValueRef tegu_abi_byte(tegu_emitter *e, LLVMValueRef base,
                           LLVMValueRef offset)
{
    return tegu_emit_at(e, e->i8, base, offset);
}

LLVMValueRef tegu_abi_field(tegu_emitter *e, LLVMTypeRef type,
                            LLVMValueRef base, int64_t offset)
{
    LLVMValueRef at = tegu_abi_byte(e, base, tegu_emit_int(e, offset));
    return tegu_emit_load(e, type, at, 8, NULL);
}

void tegu_abi_set_field(tegu_emitter *e, LLVMValueRef base, int64_t offset,
                        LLVMValueRef value)
{
    LLVMValueRef at = tegu_abi_byte(e, base, tegu_emit_int(e, offset));
    tegu_emit_store(e, value, at, 8, NULL);
}

int64_t tegu_abi_adapter(uint32_t slot, int64_t field)
{
    return TEGU_CONTEXT_ADAPTERS + (int64_t)slot * TEGU_ADAPTER_BYTES + field;
}

LLVMValueRef tegu_abi_matches(tegu_emitter *e, const tegu_plan *plan,
                              LLVMValueRef state)
{
    LLVMValueRef hash = tegu_abi_field(e, e->i64, state, TEGU_STATE_HASH);
    return LLVMBuildICmp(e->builder, LLVMIntEQ, hash,
                         LLVMConstInt(e->i64, plan->abi, 0), "");
}

/* ---- extents and sizes ---- */

static LLVMValueRef extent(writer *w, tegu_dim dim)
{
    tegu_emitter *e = w->e;
    LLVMValueRef offset = tegu_emit_int(e, dim.offset);
    if (tegu_dim_is_static(dim))
        return offset;
    LLVMValueRef scaled = LLVMBuildNSWMul(e->builder, w->symbols[dim.symbol],
                                          tegu_emit_int(e, dim.scale), "");
    return LLVMBuildNSWAdd(e->builder, scaled, offset, "");
}

static LLVMValueRef count_of(writer *w, const tegu_type *t, uint32_t axes)
{
    LLVMValueRef count = tegu_emit_int(w->e, 1);
    for (uint32_t i = 0; i < axes; i++)
        count =
            LLVMBuildNSWMul(w->e->builder, count, extent(w, t->dims[i]), "");
    return count;
}

static LLVMValueRef buffer_bytes(writer *w, const tegu_buffer *buffer)
{
    tegu_emitter *e = w->e;
    LLVMValueRef most = tegu_emit_int(e, 0);
    for (uint32_t i = 0; i < buffer->types.count; i++) {
        const tegu_type *t = buffer->types.data[i];
        LLVMValueRef bytes = LLVMBuildNSWMul(
            e->builder, count_of(w, t, t->rank),
            tegu_emit_int(e, (int64_t)tegu_dtype_bytes(t->dtype)), "");
        most = i ? tegu_emit_binary(e, "llvm.smax", most, bytes) : bytes;
    }
    LLVMValueRef up = LLVMBuildNSWAdd(e->builder, most,
                                      tegu_emit_int(e, TEGU_ALIGNMENT - 1), "");
    return LLVMBuildAnd(e->builder, up, tegu_emit_int(e, -TEGU_ALIGNMENT), "");
}

/* Fills w->offsets; the end of the last slot is the size of all. */
static LLVMValueRef lay_out(writer *w)
{
    LLVMValueRef end = tegu_emit_int(w->e, 0);
    uint32_t count = w->entry->buffers.count;
    w->offsets = TEGU_ARRAY(w->plan->arena, LLVMValueRef, count);
    for (uint32_t i = 0; i < count; i++) {
        w->offsets[i] = end;
        end = LLVMBuildNSWAdd(w->e->builder, end,
                              buffer_bytes(w, &w->entry->buffers.data[i]), "");
    }
    return end;
}

/* All symbols lie within their bounds. */
static LLVMValueRef in_bounds(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMValueRef all = LLVMConstInt(e->i1, 1, 0);
    for (uint32_t i = 0; i < w->entry->symbols.count; i++) {
        tegu_axis_id id = w->entry->symbols.data[i];
        const tegu_axis *axis = &w->plan->unit->axes.data[id];
        LLVMValueRef low = LLVMBuildICmp(e->builder, LLVMIntSGE, w->symbols[id],
                                         tegu_emit_int(e, axis->lo), "");
        LLVMValueRef high =
            LLVMBuildICmp(e->builder, LLVMIntSLE, w->symbols[id],
                          tegu_emit_int(e, axis->hi), "");
        all = LLVMBuildAnd(e->builder, all,
                           LLVMBuildAnd(e->builder, low, high, ""), "");
    }
    return all;
}

static void bind_symbols(writer *w, LLVMValueRef function, unsigned first)
{
    w->symbols =
        TEGU_ARRAY(w->plan->arena, LLVMValueRef, w->plan->unit->axes.count);
    for (uint32_t i = 0; i < w->entry->symbols.count; i++)
        w->symbols[w->entry->symbols.data[i]] =
            LLVMGetParam(function, first + i);
}

static void emit_workspace_bytes(writer *w)
{
    tegu_emitter *e = w->e;
    uint32_t count = w->entry->symbols.count;
    LLVMTypeRef *types = TEGU_ARRAY(w->plan->arena, LLVMTypeRef, count);
    for (uint32_t i = 0; i < count; i++)
        types[i] = e->i64;
    const char *name = tegu_format(w->plan->arena, "%s_%s_workspace_bytes",
                                   w->plan->unit->name, w->entry->entry->name);
    LLVMValueRef function =
        tegu_emit_function(e, name, e->i64, types, count, TEGU_LINKAGE_PUBLIC);
    bind_symbols(w, function, 0);
    LLVMValueRef bytes = lay_out(w);
    LLVMBuildRet(e->builder, LLVMBuildSelect(e->builder, in_bounds(w), bytes,
                                             tegu_emit_int(e, 0), ""));
}

/* ---- checks ---- */

/* An adapter that is on has tensors. */
static void check_adapters(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMBuilderRef b = e->builder;
    uint32_t count = w->plan->unit->adapters.count;
    w->data = TEGU_ARRAY(w->plan->arena, LLVMValueRef, count);
    w->on = TEGU_ARRAY(w->plan->arena, LLVMValueRef, count);
    for (uint32_t i = 1; i < count; i++) {
        const tegu_weights_file *file = &w->plan->files[i];
        if (!file->used)
            continue;
        LLVMValueRef scale =
            tegu_abi_field(e, e->f32, w->context,
                           tegu_abi_adapter(file->slot, TEGU_ADAPTER_SCALE));
        w->data[i] =
            tegu_abi_field(e, e->ptr, w->context,
                           tegu_abi_adapter(file->slot, TEGU_ADAPTER_DATA));
        w->on[i] =
            LLVMBuildFCmp(b, LLVMRealUNE, scale, LLVMConstReal(e->f32, 0), "");
        LLVMValueRef off = LLVMBuildNot(b, w->on[i], "");
        tegu_abi_require(
            e, LLVMBuildOr(b, off, tegu_abi_not_null(e, w->data[i]), ""),
            TEGU_ABI_E_NULL);
        tegu_abi_require(e, tegu_abi_aligned(e, w->data[i]), TEGU_ABI_E_ALIGN);
    }
}

static void check_pointers(writer *w)
{
    tegu_emitter *e = w->e;
    const tegu_entry *entry = w->entry->entry;
    tegu_abi_require(e, tegu_abi_not_null(e, w->context), TEGU_ABI_E_NULL);
    w->weights = tegu_abi_field(e, e->ptr, w->context, TEGU_CONTEXT_WEIGHTS);
    w->state = tegu_abi_field(e, e->ptr, w->context, TEGU_CONTEXT_STATE);
    tegu_abi_require(e, tegu_abi_not_null(e, w->weights), TEGU_ABI_E_NULL);
    tegu_abi_require(e, tegu_abi_not_null(e, w->state), TEGU_ABI_E_NULL);
    for (uint32_t i = 0; i < entry->arguments.count; i++)
        tegu_abi_require(e, tegu_abi_not_null(e, w->inputs[i]),
                         TEGU_ABI_E_NULL);
    for (uint32_t i = 0; i < entry->graph->results.count; i++)
        tegu_abi_require(e, tegu_abi_not_null(e, w->outputs[i]),
                         TEGU_ABI_E_NULL);
    tegu_abi_require(e, tegu_abi_aligned(e, w->weights), TEGU_ABI_E_ALIGN);
    tegu_abi_require(e, tegu_abi_aligned(e, w->state), TEGU_ABI_E_ALIGN);
    check_adapters(w);
}

/* A workspace that nothing is written to may be missing. */
static void check_workspace(writer *w, LLVMValueRef bytes)
{
    tegu_emitter *e = w->e;
    LLVMBuilderRef b = e->builder;
    LLVMValueRef needed = lay_out(w);
    LLVMValueRef none =
        LLVMBuildICmp(b, LLVMIntEQ, needed, tegu_emit_int(e, 0), "");
    LLVMValueRef there = tegu_abi_not_null(e, w->workspace);
    LLVMValueRef aligned = tegu_abi_aligned(e, w->workspace);
    tegu_abi_require(e, LLVMBuildOr(b, none, there, ""), TEGU_ABI_E_NULL);
    tegu_abi_require(e, LLVMBuildOr(b, none, aligned, ""), TEGU_ABI_E_ALIGN);
    tegu_abi_require(e, LLVMBuildICmp(b, LLVMIntUGE, bytes, needed, ""),
                     TEGU_ABI_E_SIZE);
}

static void check_values(writer *w, LLVMValueRef workspace_bytes)
{
    tegu_emitter *e = w->e;
    LLVMBuilderRef b = e->builder;
    tegu_abi_require(e, tegu_abi_matches(e, w->plan, w->state),
                     TEGU_ABI_E_MISMATCH);
    tegu_abi_require(e, in_bounds(w), TEGU_ABI_E_BOUNDS);
    check_workspace(w, workspace_bytes);
    w->position = tegu_abi_field(e, e->i64, w->state, TEGU_STATE_POSITION);
    for (uint32_t i = 0; i < w->entry->appends.count; i++) {
        const tegu_append_check *check = &w->entry->appends.data[i];
        LLVMValueRef room = LLVMBuildNSWSub(
            b, tegu_emit_int(e, check->capacity), extent(w, check->rows), "");
        tegu_abi_require(e, LLVMBuildICmp(b, LLVMIntSLE, w->position, room, ""),
                         TEGU_ABI_E_CONTEXT);
    }
}

/* ---- kernel calls ---- */

/* run(context, kernel, args, parallel): on the host's threads if there are
 * any, else here. */
static LLVMValueRef emit_run(tegu_emitter *e)
{
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef parameters[] = {e->ptr, e->ptr, e->ptr, e->i1};
    LLVMTypeRef kernel[] = {e->ptr, e->i64, e->i64};
    LLVMTypeRef parallel[] = {e->ptr, e->ptr, e->ptr, e->i64};
    LLVMValueRef run = tegu_emit_function(e, "run", e->none, parameters, 4,
                                          TEGU_LINKAGE_PRIVATE);
    LLVMValueRef context = LLVMGetParam(run, 0), k = LLVMGetParam(run, 1);
    LLVMValueRef args = LLVMGetParam(run, 2);
    tegu_emit_noinline(e, run);
    LLVMValueRef threads =
        tegu_abi_field(e, e->i64, context, TEGU_CONTEXT_THREADS);
    LLVMValueRef fork =
        tegu_abi_field(e, e->ptr, context, TEGU_CONTEXT_PARALLEL);
    LLVMValueRef many =
        LLVMBuildICmp(b, LLVMIntSGT, threads, tegu_emit_int(e, 1), "");
    LLVMValueRef wanted =
        LLVMBuildAnd(b, tegu_abi_not_null(e, fork), LLVMGetParam(run, 3), "");
    tegu_if branch;
    tegu_if_begin(e, &branch, LLVMBuildAnd(b, many, wanted, ""));
    LLVMValueRef pool = tegu_abi_field(e, e->ptr, context, TEGU_CONTEXT_POOL);
    LLVMValueRef shared[] = {pool, k, args, threads};
    LLVMBuildCall2(b, LLVMFunctionType(e->none, parallel, 4, 0), fork, shared,
                   4, "");
    tegu_if_else(e, &branch);
    LLVMValueRef alone[] = {args, tegu_emit_int(e, 0), tegu_emit_int(e, 1)};
    LLVMBuildCall2(b, LLVMFunctionType(e->none, kernel, 3, 0), k, alone, 3, "");
    tegu_if_end(e, &branch);
    LLVMBuildRetVoid(b);
    return run;
}

static LLVMValueRef address(writer *w, tegu_place place)
{
    tegu_emitter *e = w->e;
    const tegu_weight *weight;
    switch (place.kind) {
    case TEGU_PLACE_INPUT: return w->inputs[place.index];
    case TEGU_PLACE_OUTPUT: return w->outputs[place.index];
    case TEGU_PLACE_WEIGHT:
        weight = &w->plan->weights.data[place.index];
        return tegu_abi_byte(
            e, weight->adapter ? w->data[weight->adapter] : w->weights,
            tegu_emit_int(e, (int64_t)weight->offset));
    case TEGU_PLACE_SCALE:
        return tegu_abi_byte(
            e, w->context,
            tegu_emit_int(e, tegu_abi_adapter(w->plan->files[place.index].slot,
                                              TEGU_ADAPTER_SCALE)));
    case TEGU_PLACE_STATE:
        return tegu_abi_byte(
            e, w->state,
            tegu_emit_int(e, (int64_t)w->plan->state_offsets[place.index]));
    case TEGU_PLACE_SLOT:
        return tegu_abi_byte(e, w->workspace, w->offsets[place.index]);
    case TEGU_PLACE_NONE: break;
    }
    return LLVMConstNull(e->ptr);
}

static LLVMValueRef slot_value(writer *w, const tegu_slot *slot)
{
    switch (slot->kind) {
    case TEGU_SLOT_PLACE: return address(w, slot->place);
    case TEGU_SLOT_SYMBOL: return w->symbols[slot->index];
    case TEGU_SLOT_POSITION: return w->position;
    case TEGU_SLOT_COUNT: return count_of(w, slot->type, slot->index);
    case TEGU_SLOT_NUMBER: break;
    }
    return tegu_emit_int(w->e, slot->number);
}

static LLVMValueRef kernel_function(tegu_emitter *e, const char *name)
{
    LLVMTypeRef parameters[] = {e->ptr, e->i64, e->i64};
    LLVMValueRef function = LLVMGetNamedFunction(e->module, name);
    if (function)
        return function;
    function = LLVMAddFunction(e->module, name,
                               LLVMFunctionType(e->none, parameters, 3, 0));
    LLVMSetVisibility(function, LLVMHiddenVisibility);
    return function;
}

static void emit_call(writer *w, const tegu_call *call)
{
    tegu_emitter *e = w->e;
    tegu_if needed;
    if (call->adapter)
        tegu_if_begin(e, &needed, w->on[call->adapter]);
    for (uint32_t i = 0; i < call->slot_count; i++)
        tegu_abi_set_field(e, w->block, 8 * (int64_t)i,
                           slot_value(w, &call->slots[i]));
    double least = ceil(least_parallel / call->cost);
    LLVMValueRef work = count_of(w, call->space, call->space->rank);
    LLVMValueRef worth =
        LLVMBuildICmp(e->builder, LLVMIntSGE, work,
                      tegu_emit_int(e, least > 1 ? (int64_t)least : 1), "");
    const char *name = w->plan->kernels->names.data[call->kernel];
    LLVMValueRef arguments[] = {w->context, kernel_function(e, name), w->block,
                                worth};
    tegu_emit_call(e, w->run, arguments, 4);
    if (call->adapter)
        tegu_if_end(e, &needed);
}

/* ---- entries ---- */

static uint32_t largest_call(const tegu_plan_entry *entry)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < entry->calls.count; i++)
        if (entry->calls.data[i].slot_count > most)
            most = entry->calls.data[i].slot_count;
    return most;
}

/* context, symbols, inputs, outputs, workspace, its size. */
static LLVMValueRef begin_entry(writer *w, LLVMValueRef *bytes)
{
    tegu_emitter *e = w->e;
    const tegu_entry *entry = w->entry->entry;
    uint32_t symbols = w->entry->symbols.count;
    uint32_t inputs = entry->arguments.count;
    uint32_t outputs = entry->graph->results.count;
    uint32_t count = 1 + symbols + inputs + outputs + 2;
    LLVMTypeRef *types = TEGU_ARRAY(w->plan->arena, LLVMTypeRef, count);
    for (uint32_t i = 0; i < count; i++)
        types[i] = (i > 0 && i <= symbols) || i + 1 == count ? e->i64 : e->ptr;
    const char *name =
        tegu_format(w->plan->arena, "%s_%s", w->plan->unit->name, entry->name);
    LLVMValueRef f =
        tegu_emit_function(e, name, e->i32, types, count, TEGU_LINKAGE_PUBLIC);
    w->context = LLVMGetParam(f, 0);
    bind_symbols(w, f, 1);
    w->inputs = TEGU_ARRAY(w->plan->arena, LLVMValueRef, inputs + outputs);
    w->outputs = w->inputs + inputs;
    for (uint32_t i = 0; i < inputs + outputs; i++)
        w->inputs[i] = LLVMGetParam(f, 1 + symbols + i);
    w->workspace = LLVMGetParam(f, count - 2);
    *bytes = LLVMGetParam(f, count - 1);
    return f;
}

static void emit_entry(writer *w)
{
    tegu_emitter *e = w->e;
    LLVMValueRef bytes;
    begin_entry(w, &bytes);
    check_pointers(w);
    check_values(w, bytes);
    w->block = tegu_emit_stack(e, e->i64, largest_call(w->entry), 16);
    for (uint32_t i = 0; i < w->entry->calls.count; i++)
        emit_call(w, &w->entry->calls.data[i]);
    if (w->entry->advances)
        tegu_abi_set_field(e, w->state, TEGU_STATE_POSITION,
                           LLVMBuildNSWAdd(e->builder, w->position,
                                           extent(w, w->entry->rows), ""));
    LLVMBuildRet(e->builder, LLVMConstInt(e->i32, TEGU_ABI_OK, 0));
}

void tegu_emit_entries(tegu_emitter *e, const tegu_plan *plan)
{
    writer w = {.e = e, .plan = plan, .run = emit_run(e)};
    for (uint32_t i = 0; i < plan->unit->entries.count; i++) {
        w.entry = &plan->entries[i];
        emit_workspace_bytes(&w);
        emit_entry(&w);
    }
}
