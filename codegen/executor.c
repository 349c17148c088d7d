/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JIT executor (codegen.h): loads an artifact's object into this process
 * and calls it through its own ABI.  Entries have a signature each, so a
 * second, tiny object is made beside it: per entry a function that takes all
 * arguments from an array of 8-byte slots.
 */
#define _GNU_SOURCE
#include "codegen/codegen.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "codegen/driver.h"
#include "codegen/jit.h"
#include "codegen/object.h"
#include "codegen/weights.h"

/* A slot of an adapter in NAME_context. */
typedef struct adapter {
    const void *data;
    float scale;
} adapter;

/* NAME_context of the generated header. */
typedef struct context {
    const void *weights;
    void *state;
    tegu_kernel_parallel parallel_for;
    void *pool;
    int64_t threads;
    adapter adapters[];
} context;

typedef union slot {
    void *pointer;
    int64_t number;
} slot;

typedef int32_t entry_function(slot *slots);
typedef int32_t init_function(context *c, const void *weights, size_t bytes,
                              void *state, size_t state_bytes);
typedef int32_t adapter_function(context *c, int32_t slot, const void *data,
                                 size_t bytes, float scale);
typedef int32_t reset_function(const context *c);
typedef int32_t rewind_function(const context *c, int64_t position);
typedef int64_t position_function(const context *c);

/* Memory of its own, in huge pages where there are any. */
typedef struct region {
    void *base;
    size_t size;
} region;

typedef struct session {
    tegu_executor executor;
    tegu_unit *unit;
    tegu_arena *arena;
    const tegu_plan *plan;
    const tegu_artifact *artifact;
    tegu_code *code;
    region weights, state, workspace;
    region *adapters; /* per slot: its file */
    context *context;
    entry_function **entries;
    adapter_function *set_adapter; /* NULL: no adapters */
    reset_function *reset;
    rewind_function *rewind;
    position_function *position;
    int64_t *symbols;
} session;

static bool report(const session *s, tegu_diag_id id, const char *text)
{
    return tegu_error(s->unit->diag, tegu_loc_file(s->unit->source), id, "%s",
                      text);
}

/* ---- memory ---- */

static void unmap(region *r)
{
    if (r->base)
        munmap(r->base, r->size);
    *r = (region){0};
}

static bool map(const session *s, region *r, size_t size)
{
    unmap(r);
    void *base = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return report(
            s, TEGU_E_RESOURCES,
            tegu_format(s->arena, "no memory for %zu MiB", size >> 20));
    r->base = base;
    r->size = size ? size : 1;
    madvise(base, r->size, MADV_HUGEPAGE);
    return true;
}

typedef struct filling {
    unsigned char *to;
    size_t left;
} filling;

static bool fill(void *data, const void *bytes, size_t size)
{
    filling *f = data;
    if (size > f->left)
        return false;
    memcpy(f->to, bytes, size);
    f->to += size;
    f->left -= size;
    return true;
}

static bool load_adapter(session *s, uint32_t i)
{
    if (!map(s, &s->adapters[i], s->artifact->adapters[i].bytes))
        return false;
    filling f = {s->adapters[i].base, s->adapters[i].size};
    return tegu_artifact_adapter(s->artifact, i, fill, &f);
}

static bool load_weights(session *s)
{
    if (s->plan->embedded)
        return true;
    if (!map(s, &s->weights, s->artifact->weights_bytes))
        return false;
    filling f = {s->weights.base, s->weights.size};
    return tegu_artifact_weights(s->unit, s->artifact, fill, &f);
}

/* ---- the object with the entries' adapters ---- */

static uint32_t slots_of(const tegu_plan_entry *entry)
{
    return 1 + entry->symbols.count + entry->entry->arguments.count +
           entry->entry->graph->results.count + 2;
}

static const char *adapter_name(const session *s, const tegu_entry *entry)
{
    return tegu_format(s->arena, "%s_%s_adapter", s->unit->name, entry->name);
}

static void emit_adapter(const session *s, tegu_emitter *e,
                         const tegu_plan_entry *entry)
{
    uint32_t count = slots_of(entry), symbols = entry->symbols.count;
    LLVMTypeRef *types = TEGU_ARRAY(s->arena, LLVMTypeRef, count);
    LLVMValueRef *values = TEGU_ARRAY(s->arena, LLVMValueRef, count);
    LLVMValueRef f =
        tegu_emit_function(e, adapter_name(s, entry->entry), e->i32, &e->ptr, 1,
                           TEGU_LINKAGE_PUBLIC);
    for (uint32_t i = 0; i < count; i++) {
        types[i] = (i > 0 && i <= symbols) || i + 1 == count ? e->i64 : e->ptr;
        values[i] =
            tegu_abi_field(e, types[i], LLVMGetParam(f, 0), 8 * (int64_t)i);
    }
    LLVMValueRef target = LLVMAddFunction(
        e->module,
        tegu_format(s->arena, "%s_%s", s->unit->name, entry->entry->name),
        LLVMFunctionType(e->i32, types, count, 0));
    LLVMBuildRet(e->builder, tegu_emit_call(e, target, values, count));
}

static bool add_adapters(session *s, tegu_failure *failure)
{
    tegu_bytes object = {0};
    tegu_emitter *e =
        tegu_emitter_create(s->plan->target, "adapters", NULL, failure);
    if (!e)
        return false;
    for (uint32_t i = 0; i < s->unit->entries.count; i++)
        emit_adapter(s, e, &s->plan->entries[i]);
    bool done = tegu_object_write(e, TEGU_OBJECT_ELF, &object, failure) &&
                tegu_code_add(s->code, object.data, object.size, failure);
    tegu_bytes_free(&object);
    tegu_emitter_destroy(e);
    return done;
}

/* ---- linking ---- */

static tegu_code_function *find(session *s, const char *name,
                                tegu_failure *failure)
{
    return tegu_code_find(
        s->code, tegu_format(s->arena, "%s_%s", s->unit->name, name), failure);
}

static bool find_functions(session *s, init_function **init,
                           tegu_failure *failure)
{
    const char *init_name =
        tegu_format(s->arena, "init_%016" PRIx64, s->artifact->abi);
    *init = (init_function *)find(s, init_name, failure);
    if (s->artifact->adapter_count) {
        s->set_adapter = (adapter_function *)find(s, "set_adapter", failure);
        if (!s->set_adapter)
            return false;
    }
    s->reset = (reset_function *)find(s, "reset", failure);
    s->rewind = (rewind_function *)find(s, "rewind", failure);
    s->position = (position_function *)find(s, "position", failure);
    if (!*init || !s->reset || !s->rewind || !s->position)
        return false;
    s->entries = TEGU_ARRAY(s->arena, entry_function *, s->unit->entries.count);
    for (uint32_t i = 0; i < s->unit->entries.count; i++) {
        s->entries[i] = (entry_function *)tegu_code_find(
            s->code, adapter_name(s, &s->unit->entries.data[i]), failure);
        if (!s->entries[i])
            return false;
    }
    return true;
}

static bool load_code(session *s, init_function **init)
{
    tegu_failure failure;
    s->code = tegu_code_create(&failure);
    if (s->code &&
        tegu_code_add(s->code, s->artifact->object.data,
                      s->artifact->object.size, &failure) &&
        add_adapters(s, &failure) && find_functions(s, init, &failure))
        return true;
    return report(s, TEGU_E_INTERNAL, failure.text);
}

/* ---- the executor ---- */

/* Every adapter at the scale that the unit has now. */
static int32_t set_adapters(session *s)
{
    for (uint32_t i = 0; i < s->artifact->adapter_count; i++) {
        const tegu_artifact_slot *taken = &s->artifact->adapters[i];
        float scale = (float)s->unit->adapters.data[taken->adapter].scale;
        bool on = scale != 0;
        int32_t status = s->set_adapter(s->context, (int32_t)i,
                                        on ? s->adapters[i].base : NULL,
                                        on ? taken->bytes : 0, scale);
        if (status != TEGU_ABI_OK)
            return status;
    }
    return TEGU_ABI_OK;
}

static const char *status_text(int32_t status)
{
    static const char *const texts[] = {
#define TEGU_ABI_STATUS(id, summary) summary,
#include "codegen/status.def"
    };
    return status >= 0 && status < TEGU_ABI_STATUS_COUNT ? texts[status]
                                                         : "unknown status";
}

/* Tensors without elements may come without memory; the ABI wants some. */
static void *some(session *s, void *data)
{
    return data ? data : s->state.base;
}

static void fill_slots(session *s, const tegu_plan_entry *entry,
                       const tegu_tensor *inputs, const tegu_tensor *outputs,
                       slot *slots)
{
    uint32_t n = 0;
    slots[n++].pointer = s->context;
    for (uint32_t i = 0; i < entry->symbols.count; i++)
        slots[n++].number = s->symbols[entry->symbols.data[i]];
    for (uint32_t i = 0; i < entry->entry->arguments.count; i++)
        slots[n++].pointer = some(s, inputs[i].data);
    for (uint32_t i = 0; i < entry->entry->graph->results.count; i++)
        slots[n++].pointer = some(s, outputs[i].data);
    slots[n++].pointer = s->workspace.base;
    slots[n].number = (int64_t)s->workspace.size;
}

static bool run_entry(session *s, const tegu_plan_entry *entry,
                      const tegu_tensor *inputs, const tegu_tensor *outputs)
{
    size_t needed = tegu_plan_workspace(entry, s->symbols);
    if (needed > s->workspace.size && !map(s, &s->workspace, needed))
        return false;
    tegu_mark mark = tegu_arena_mark(s->arena);
    slot *slots = TEGU_ARRAY(s->arena, slot, slots_of(entry));
    fill_slots(s, entry, inputs, outputs, slots);
    int32_t status = set_adapters(s);
    if (status == TEGU_ABI_OK)
        status = s->entries[entry - s->plan->entries](slots);
    tegu_arena_release(s->arena, mark);
    if (status == TEGU_ABI_OK)
        return true;
    return tegu_error(s->unit->diag, entry->entry->loc, TEGU_E_CALL,
                      "entry '%s' at position %" PRId64 ": %s",
                      entry->entry->name, s->position(s->context),
                      status_text(status));
}

static bool session_call(void *self, const char *name,
                         const tegu_tensor *inputs, uint32_t input_count,
                         tegu_tensor *outputs, uint32_t output_count)
{
    session *s = self;
    const tegu_entry *entry = tegu_unit_bind(s->unit, name, inputs, input_count,
                                             output_count, s->symbols);
    if (!entry)
        return false;
    return run_entry(s, &s->plan->entries[entry - s->unit->entries.data],
                     inputs, outputs);
}

static void session_reset(void *self)
{
    session *s = self;
    s->reset(s->context);
}

static int64_t session_position(void *self)
{
    session *s = self;
    return s->position(s->context);
}

static bool session_rewind(void *self, int64_t position)
{
    session *s = self;
    return s->rewind(s->context, position) == TEGU_ABI_OK;
}

static bool session_reload(void *self, const char *param)
{
    session *s = self;
    return !s->plan->embedded &&
           tegu_weights_reload(s->plan, param, s->weights.base);
}

static void session_destroy(void *self)
{
    session *s = self;
    tegu_code_destroy(s->code);
    s->code = NULL;
    unmap(&s->weights);
    for (uint32_t i = 0; i < s->artifact->adapter_count; i++)
        unmap(&s->adapters[i]);
    unmap(&s->state);
    unmap(&s->workspace);
}

static bool start(session *s, const tegu_jit_options *options)
{
    init_function *init;
    if (!tegu_target_runs_here(s->plan->target))
        return report(s, TEGU_E_UNSUPPORTED,
                      "this machine cannot run code for the target");
    if (!load_code(s, &init) || !load_weights(s) ||
        !map(s, &s->state, s->artifact->state_bytes))
        return false;
    for (uint32_t i = 0; i < s->artifact->adapter_count; i++)
        if (!load_adapter(s, i))
            return false;
    bool embedded = s->plan->embedded;
    int32_t status = init(s->context, embedded ? NULL : s->weights.base,
                          embedded ? 0 : s->artifact->weights_bytes,
                          s->state.base, s->artifact->state_bytes);
    if (status != TEGU_ABI_OK)
        return report(s, TEGU_E_INTERNAL, status_text(status));
    if (options && options->parallel_for) {
        s->context->parallel_for = options->parallel_for;
        s->context->pool = options->pool;
        s->context->threads = options->threads;
    }
    return true;
}

tegu_executor *tegu_jit_create(tegu_unit *unit, tegu_arena *arena,
                               const tegu_artifact *artifact,
                               const tegu_jit_options *options)
{
    session *s = TEGU_NEW(arena, session);
    s->unit = unit;
    s->arena = arena;
    s->artifact = artifact;
    s->plan = artifact->layout;
    s->symbols = TEGU_ARRAY(arena, int64_t, unit->axes.count);
    s->adapters = TEGU_ARRAY(arena, region, artifact->adapter_count);
    s->context = tegu_arena_alloc(
        arena, sizeof *s->context + artifact->adapter_count * sizeof(adapter));
    s->executor = (tegu_executor){
        .self = s,
        .call = session_call,
        .reset = session_reset,
        .position = session_position,
        .rewind = session_rewind,
        .reload = session_reload,
        .destroy = session_destroy,
    };
    if (start(s, options))
        return &s->executor;
    session_destroy(s);
    return NULL;
}
