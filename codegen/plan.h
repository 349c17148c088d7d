/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of a compiled model: which kernels each entry calls, in which
 * order and on what, how state, workspace and weights are laid out.  Made
 * once from a kernel-level unit (plan.c); the driver, the ABI's functions,
 * the header and the weights file are all written from it.  No LLVM types.
 */
#ifndef TEGU_CODEGEN_PLAN_H
#define TEGU_CODEGEN_PLAN_H

#include "codegen/codegen.h"
#include "codegen/kernels.h"

enum {
    TEGU_ALIGNMENT = 64,
    TEGU_STATE_HEAD = 64, /* hash, position, zeros (docs/abi.md) */
    TEGU_WEIGHTS_HEAD = 64
};

/* The first 8 bytes of a weights file, and of an adapter's. */
#define TEGU_WEIGHTS_MAGIC "tegu-w01"
#define TEGU_ADAPTER_MAGIC "tegu-a01"

/* Where a tensor lies. */
typedef enum tegu_place_kind {
    TEGU_PLACE_NONE,
    TEGU_PLACE_INPUT,  /* index: argument of the entry */
    TEGU_PLACE_OUTPUT, /* index: result of the entry */
    TEGU_PLACE_WEIGHT, /* index: plan->weights */
    TEGU_PLACE_STATE,  /* index: unit->states */
    TEGU_PLACE_SCALE,  /* index: unit->adapters; in the context */
    TEGU_PLACE_SLOT    /* index: the entry's slots in the workspace */
} tegu_place_kind;

typedef struct tegu_place {
    tegu_place_kind kind;
    uint32_t index;
} tegu_place;

/* What goes into one 8-byte slot of a kernel's arguments. */
typedef enum tegu_slot_kind {
    TEGU_SLOT_PLACE,  /* an address */
    TEGU_SLOT_SYMBOL, /* the value of axis `index` */
    TEGU_SLOT_POSITION,
    TEGU_SLOT_NUMBER, /* a constant */
    TEGU_SLOT_COUNT   /* the product of the first `index` extents of type */
} tegu_slot_kind;

typedef struct tegu_slot {
    tegu_slot_kind kind;
    tegu_place place;
    uint32_t index;
    int64_t number;
    const tegu_type *type;
} tegu_slot;

typedef struct tegu_call {
    int32_t kernel;
    uint32_t slot_count;
    tegu_slot *slots;
    const tegu_type *space; /* the elements that it computes, */
    double cost;            /* and the work for each */
    uint32_t adapter;       /* left out while that one is off; 0: never */
} tegu_call;

/* A workspace slot: as large as the largest of its tensors. */
typedef struct tegu_buffer {
    TEGU_VEC(const tegu_type *) types;
} tegu_buffer;

/* rows = an append's, which the position advances by. */
typedef struct tegu_append_check {
    int64_t capacity;
    tegu_dim rows;
} tegu_append_check;

typedef struct tegu_plan_entry {
    const tegu_entry *entry;
    TEGU_VEC(tegu_axis_id) symbols; /* ascending */
    TEGU_VEC(tegu_call) calls;
    TEGU_VEC(tegu_buffer) buffers;
    TEGU_VEC(tegu_append_check) appends;
    bool advances;
    tegu_dim rows; /* what the position advances by */
    size_t workspace_max;
} tegu_plan_entry;

/* A tensor of the weights file, or of an adapter's. */
typedef struct tegu_weight {
    const tegu_graph *graph; /* where the value is defined */
    tegu_value value;
    bool packed; /* as the panels of a contraction [n, k] */
    int64_t n, k;
    uint32_t adapter; /* whose file: unit->adapters; 0: the model's */
    size_t offset, bytes;
} tegu_weight;

/* A file of weights: a head of TEGU_WEIGHTS_HEAD bytes, then tensors. */
typedef struct tegu_weights_file {
    size_t bytes;
    uint64_t hash; /* in its head: the ABI's, or what fits an adapter's slot */
    bool used;
    uint32_t slot; /* of an adapter that is used: its number in the header */
} tegu_weights_file;

typedef struct tegu_plan {
    tegu_unit *unit;
    const tegu_target *target;
    tegu_kernels *kernels;
    tegu_arena *arena; /* of the artifact */
    tegu_map *weight_index;
    TEGU_VEC(tegu_weight) weights;
    tegu_weights_file *files; /* per unit->adapters; [0]: the model's */
    uint32_t slots;           /* adapters that are used */
    size_t *state_offsets;    /* per unit->states */
    size_t state_bytes;
    int64_t context; /* rows of the smallest cache; -1: no caches */
    int64_t longest; /* rows of the largest cache; 0: no caches */
    tegu_plan_entry *entries;
    bool embedded; /* weights inside the object */
    bool overflow; /* the weights exceed any size */
    uint64_t abi;
} tegu_plan;

/* Plans every entry of plan->unit, emitting kernels as they are needed;
 * `unit`, `target`, `kernels` and `arena` are given.  False after reporting.
 * Sets the states' layouts in the unit. */
bool tegu_plan_make(tegu_plan *plan);

/* ---- states (plan_state.c) ---- */
/* Decides layouts and offsets of all states. */
bool tegu_plan_states(tegu_plan *plan);
/* Bytes of a state tensor in the block. */
bool tegu_state_size(const tegu_state *state, size_t *bytes);
/* True when kernel node v of an entry may append to its state in place. */
bool tegu_plan_in_place(const tegu_plan *plan, const tegu_graph *g,
                        tegu_value v, tegu_arena *scratch);
/* True when attention node v reads caches in the layouts KEYS and VALUES. */
bool tegu_plan_cached(const tegu_plan *plan, const tegu_graph *g, tegu_value v,
                      const tegu_body_attention *a);

/* ---- sizes ---- */
/* Bytes of a type for given symbols (by axis id); false on overflow. */
bool tegu_type_size(const tegu_type *type, const int64_t *symbols,
                    size_t *bytes);
/* Bytes of an entry's workspace; SIZE_MAX on overflow. */
size_t tegu_plan_workspace(const tegu_plan_entry *entry,
                           const int64_t *symbols);
/* size rounded up to the alignment; false on overflow. */
bool tegu_align_size(size_t size, size_t *aligned);

/* The NAME of the model, and UP, its upper case, in the arena. */
const char *tegu_plan_upper(const tegu_plan *plan, const char *name);

#endif
