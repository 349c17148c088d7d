/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codegen.c - the way from a kernel-level unit to an artifact: plan (which
 * emits the kernels), hash, driver and ABI functions, LLVM's passes on the
 * two modules, one object, the header.  See codegen.h.
 */
#include "codegen/codegen.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "codegen/compat.h"
#include "codegen/driver.h"
#include "codegen/header.h"
#include "codegen/object.h"
#include "codegen/planner.h"
#include "codegen/weights.h"

/* Changes whenever compiled models of equal plans would differ. */
#define CODEGEN_VERSION "tegu 0.1.0"

typedef struct job {
    tegu_unit *unit;
    const tegu_codegen_options *options;
    tegu_artifact *artifact;
    tegu_plan *plan;
    tegu_kernels kernels;
    tegu_emitter *main, *templates;
    tegu_arena *arena;
    tegu_failure failure;
} job;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool report(const job *j, tegu_diag_id id)
{
    return tegu_error(j->unit->diag, tegu_loc_file(j->unit->source), id, "%s",
                      j->failure.text);
}

/* ---- the hash ---- */

static uint64_t hash_target(uint64_t key, const tegu_target *t)
{
    key = tegu_key_text(key, t->triple);
    key = tegu_key_text(key, t->cpu);
    return tegu_key_text(key, t->features);
}

/* Ties object, header and weights: all that they are made from. */
static uint64_t abi_hash(const job *j)
{
    const tegu_unit *unit = j->unit;
    uint64_t key = tegu_key_text(1, CODEGEN_VERSION);
    key = tegu_key_text(key, unit->name);
    key = hash_target(key, j->options->target);
    key = tegu_key_mix(key, (uint64_t)j->options->level);
    key = tegu_key_mix(key, j->options->embed_weights);
    key = tegu_key_text(key, j->options->pipeline ? j->options->pipeline : "");
    key = tegu_key_text(key,
                        j->options->provenance ? j->options->provenance : "");
    for (uint32_t i = 0; i < unit->entries.count; i++) {
        key = tegu_key_text(key, unit->entries.data[i].name);
        key = tegu_key_mix(key, tegu_graph_hash(unit->entries.data[i].graph));
    }
    for (uint32_t i = 0; i < unit->states.count; i++)
        key = tegu_key_mix(key, unit->states.data[i].layout);
    for (uint32_t i = 0; i < j->plan->weights.count; i++)
        key = tegu_key_mix(key, j->plan->weights.data[i].offset);
    return key;
}

/* What an adapter's file must fit: the base model, the target's layout, and
 * which tensors lie where.  Neither names nor numbers of adapters count, so
 * that a slot takes any adapter of its form, made by another compilation. */
static uint64_t slot_hash(const job *j, uint32_t adapter)
{
    const tegu_codegen_options *o = j->options;
    uint64_t key = tegu_key_text(2, CODEGEN_VERSION);
    key = hash_target(key, o->target);
    key = tegu_key_text(key, o->pipeline ? o->pipeline : "");
    key = tegu_key_text(key, o->provenance ? o->provenance : "");
    for (uint32_t i = 0; i < j->plan->weights.count; i++) {
        const tegu_weight *w = &j->plan->weights.data[i];
        if (w->adapter != adapter)
            continue;
        key = tegu_key_mix(key, tegu_weight_definition(w->graph, w->value));
        key = tegu_key_mix(key, (uint64_t)w->n);
        key = tegu_key_mix(key, (uint64_t)w->k);
        key = tegu_key_mix(key, w->offset);
    }
    return key;
}

/* ---- weights inside the object ---- */

typedef struct gathered {
    char *bytes;
    size_t size;
} gathered;

static bool gather(void *data, const void *bytes, size_t size)
{
    gathered *g = data;
    memcpy(g->bytes + g->size, bytes, size);
    g->size += size;
    return true;
}

/* LLVM keeps four copies while it writes (kernels.md 1), and the small code
 * model ends at 2 GiB. */
#define EMBED_LIMIT ((size_t)1 << 30)

static bool embed(job *j, LLVMValueRef *out)
{
    tegu_emitter *e = j->main;
    size_t size = j->plan->files[0].bytes;
    *out = NULL;
    if (!j->options->embed_weights)
        return true;
    if (size > EMBED_LIMIT)
        return tegu_error(j->unit->diag, tegu_loc_file(j->unit->source),
                          TEGU_E_RESOURCES,
                          "%zu MiB of weights are too many to embed; leave "
                          "them in a file",
                          size >> 20);
    gathered g = {tegu_arena_alloc_raw(j->arena, size), 0};
    if (!tegu_weights_stream(j->plan, 0, gather, &g))
        return false;
    LLVMValueRef bytes = tegu_compat_bytes(e->context, g.bytes, g.size);
    *out = LLVMAddGlobal(e->module, LLVMTypeOf(bytes), "weights");
    LLVMSetInitializer(*out, bytes);
    LLVMSetGlobalConstant(*out, 1);
    LLVMSetLinkage(*out, LLVMInternalLinkage);
    LLVMSetAlignment(*out, TEGU_ALIGNMENT);
    return true;
}

/* ---- how it was made ---- */

/* Text in the object's comment section, for `tegu explain` and `strings`. */
static void add_provenance(job *j)
{
    const tegu_codegen_options *o = j->options;
    tegu_text text = {.arena = j->arena};
    tegu_text_printf(&text, TEGU_PROVENANCE "model %s, abi %016llx\n",
                     j->unit->name, (unsigned long long)j->plan->abi);
    tegu_text_printf(&text, "target %s, cpu %s\n", o->target->triple,
                     o->target->cpu);
    tegu_text_printf(&text, "pipeline '%s', then -O%d\n",
                     o->pipeline ? o->pipeline : "", o->level);
    tegu_text_printf(&text, "%s", o->provenance ? o->provenance : "");
    LLVMContextRef context = j->main->context;
    LLVMMetadataRef string =
        LLVMMDStringInContext2(context, tegu_text_cstr(&text), text.count);
    LLVMMetadataRef node = LLVMMDNodeInContext2(context, &string, 1);
    LLVMAddNamedMetadataOperand(j->main->module, "llvm.ident",
                                LLVMMetadataAsValue(context, node));
}

/* ---- object ---- */

/* Only the ABI's functions leave the object. */
static void make_local(tegu_emitter *e)
{
    for (LLVMValueRef f = LLVMGetFirstFunction(e->module); f;
         f = LLVMGetNextFunction(f)) {
        if (LLVMIsDeclaration(f) ||
            LLVMGetVisibility(f) != LLVMHiddenVisibility)
            continue;
        LLVMSetVisibility(f, LLVMDefaultVisibility);
        LLVMSetLinkage(f, LLVMInternalLinkage);
    }
}

static bool write_kind(job *j, tegu_object_kind kind, bool wanted,
                       tegu_blob *out)
{
    tegu_bytes bytes;
    if (!wanted)
        return true;
    if (!tegu_object_write(j->main, kind, &bytes, &j->failure))
        return false;
    out->data = tegu_arena_copy(j->arena, bytes.data, bytes.size);
    out->size = bytes.size;
    tegu_bytes_free(&bytes);
    return true;
}

static bool write_object(job *j)
{
    static const tegu_effort efforts[] = {TEGU_EFFORT_NONE, TEGU_EFFORT_O1,
                                          TEGU_EFFORT_O2};
    const tegu_codegen_options *o = j->options;
    tegu_artifact *a = j->artifact;
    if (!tegu_object_optimise(j->templates, TEGU_EFFORT_LIGHT, &j->failure) ||
        !tegu_object_optimise(j->main, efforts[o->level], &j->failure) ||
        !tegu_object_join(j->main, j->templates, &j->failure))
        return report(j, TEGU_E_INTERNAL);
    make_local(j->main);
    if (!write_kind(j, TEGU_OBJECT_ELF, true, &a->object) ||
        !write_kind(j, TEGU_OBJECT_ASSEMBLY, o->want_asm, &a->assembly) ||
        !write_kind(j, TEGU_OBJECT_LLVM, o->want_llvm, &a->llvm) ||
        !write_kind(j, TEGU_OBJECT_BITCODE, o->want_bitcode, &a->bitcode))
        return report(j, TEGU_E_INTERNAL);
    return true;
}

/* ---- the whole ---- */

static void describe_adapters(job *j)
{
    tegu_artifact *a = j->artifact;
    a->adapters = TEGU_ARRAY(j->arena, tegu_artifact_slot, j->plan->slots);
    for (uint32_t i = 1; i < j->unit->adapters.count; i++) {
        const tegu_weights_file *file = &j->plan->files[i];
        if (file->used)
            a->adapters[a->adapter_count++] = (tegu_artifact_slot){
                j->unit->adapters.data[i].name, i, file->bytes};
    }
}

static void describe(job *j)
{
    tegu_artifact *a = j->artifact;
    const tegu_plan *p = j->plan;
    tegu_text header = {.arena = j->arena};
    tegu_header_write(&header, p, j->options);
    a->header = (tegu_blob){(const unsigned char *)tegu_text_cstr(&header),
                            header.count};
    a->abi = p->abi;
    a->weights_bytes = p->files[0].bytes;
    describe_adapters(j);
    a->state_bytes = p->state_bytes;
    a->entry_count = j->unit->entries.count;
    a->entries = TEGU_ARRAY(j->arena, tegu_entry_sizes, a->entry_count);
    for (uint32_t i = 0; i < a->entry_count; i++)
        a->entries[i] = (tegu_entry_sizes){j->unit->entries.data[i].name,
                                           p->entries[i].workspace_max};
    a->kernel_count = j->kernels.names.count;
    a->layout = j->plan;
}

static bool compile(job *j)
{
    LLVMValueRef embedded;
    if (!tegu_plan_make(j->plan))
        return false;
    j->plan->abi = j->plan->files[0].hash = abi_hash(j);
    for (uint32_t i = 1; i < j->unit->adapters.count; i++)
        j->plan->files[i].hash = slot_hash(j, i);
    if (!embed(j, &embedded))
        return false;
    tegu_emit_entries(j->main, j->plan);
    tegu_emit_abi(j->main, j->plan, embedded);
    add_provenance(j);
    if (!write_object(j))
        return false;
    describe(j);
    return true;
}

static bool open_modules(job *j)
{
    const tegu_target *target = j->options->target;
    j->main = tegu_emitter_create(target, j->unit->name, NULL, &j->failure);
    if (j->main)
        j->templates =
            tegu_emitter_create(target, "templates", j->main, &j->failure);
    return j->templates || report(j, TEGU_E_INTERNAL);
}

static tegu_plan *new_plan(tegu_unit *unit, tegu_arena *arena,
                           const tegu_target *target, tegu_kernels *kernels)
{
    tegu_plan *plan = TEGU_NEW(arena, tegu_plan);
    tegu_target *copy = TEGU_NEW(arena, tegu_target);
    if (target)
        *copy = *target;
    *plan = (tegu_plan){
        .unit = unit, .arena = arena, .target = copy, .kernels = kernels};
    return plan;
}

tegu_artifact *tegu_codegen(tegu_unit *unit, tegu_arena *arena,
                            const tegu_codegen_options *options)
{
    double start = now();
    assert(options->level >= 0 && options->level <= 2);
    job j = {.unit = unit, .options = options, .arena = arena};
    j.artifact = TEGU_NEW(arena, tegu_artifact);
    j.plan = new_plan(unit, arena, options->target, &j.kernels);
    j.plan->embedded = options->embed_weights;
    bool done = false;
    tegu_arena *scratch = tegu_arena_create();
    if (!scratch) {
        tegu_fail(&j.failure, "no memory to compile");
        report(&j, TEGU_E_RESOURCES);
        return NULL;
    }
    tegu_arena_on_failure(scratch, tegu_arena_failure(unit->arena));
    if (open_modules(&j)) {
        tegu_kernels_init(&j.kernels, arena, scratch, j.main, j.templates);
        done = compile(&j);
    }
    j.plan->kernels = NULL;
    tegu_emitter_destroy(j.templates);
    tegu_emitter_destroy(j.main);
    tegu_arena_destroy(scratch);
    j.artifact->seconds = now() - start;
    return done ? j.artifact : NULL;
}

/* The plan for this machine, without code; NULL when it cannot be made. */
static tegu_plan *sizes_only(const tegu_unit *unit, tegu_arena *arena)
{
    tegu_kernels *kernels = TEGU_NEW(arena, tegu_kernels);
    tegu_target *target = TEGU_NEW(arena, tegu_target);
    tegu_failure failure;
    tegu_arena_on_failure(arena, tegu_arena_failure(unit->arena));
    tegu_kernels_init(kernels, arena, arena, NULL, NULL);
    if (!tegu_target_find(target, NULL, NULL, NULL, &failure))
        return NULL;
    tegu_plan *plan = new_plan((tegu_unit *)unit, arena, target, kernels);
    return tegu_plan_make(plan) ? plan : NULL;
}

size_t tegu_artifact_state(const tegu_unit *unit)
{
    tegu_arena *arena = tegu_arena_create();
    if (!arena)
        return SIZE_MAX;
    const tegu_plan *plan = sizes_only(unit, arena);
    size_t bytes = plan ? plan->state_bytes : SIZE_MAX;
    tegu_arena_destroy(arena);
    return bytes;
}

size_t tegu_artifact_workspace(const tegu_unit *unit, const tegu_entry *entry,
                               const int64_t *symbols)
{
    tegu_arena *arena = tegu_arena_create();
    if (!arena)
        return SIZE_MAX;
    const tegu_plan *plan = sizes_only(unit, arena);
    size_t bytes = SIZE_MAX;
    if (plan)
        bytes = tegu_plan_workspace(&plan->entries[entry - unit->entries.data],
                                    symbols);
    tegu_arena_destroy(arena);
    return bytes;
}

bool tegu_artifact_weights(tegu_unit *unit, const tegu_artifact *artifact,
                           bool (*write)(void *data, const void *bytes,
                                         size_t size),
                           void *data)
{
    (void)unit;
    return tegu_weights_stream(artifact->layout, 0, write, data);
}

bool tegu_artifact_adapter(const tegu_artifact *artifact, uint32_t slot,
                           bool (*write)(void *data, const void *bytes,
                                         size_t size),
                           void *data)
{
    return tegu_weights_stream(artifact->layout,
                               artifact->adapters[slot].adapter, write, data);
}
