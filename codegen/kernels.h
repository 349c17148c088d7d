/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The distinct kernels of a model: each is emitted once, under a key made of
 * its family, its body and what the family knows beside it, and called
 * wherever the model needs it.  Two modules of one context hold them: loop
 * kernels get LLVM's optimiser, templates only its tidying.
 */
#ifndef TEGU_CODEGEN_KERNELS_H
#define TEGU_CODEGEN_KERNELS_H

#include "codegen/body.h"
#include "codegen/emit.h"
#include "ir/base/map.h"

typedef enum tegu_family {
#define TEGU_FAMILY(id, text, effort) TEGU_FAMILY_##id,
#include "codegen/kernels.def"
    TEGU_FAMILY_COUNT
} tegu_family;

/* TEGU_FAMILY_COUNT when none has this text. */
tegu_family tegu_family_find(const char *text);

enum { TEGU_NO_KERNEL = -1 };

typedef struct tegu_kernels {
    tegu_arena *arena; /* lives as long as the compilation */
    tegu_arena *scratch;
    tegu_emitter *loops, *templates; /* borrowed; both NULL: plan only, emit
                                        nothing, every kernel is number 0 */
    tegu_map *index;                 /* key -> number */
    TEGU_VEC(const char *) names;
} tegu_kernels;

void tegu_kernels_init(tegu_kernels *k, tegu_arena *arena, tegu_arena *scratch,
                       tegu_emitter *loops, tegu_emitter *templates);

/* Each gives the kernel's number, emitting it when it is new. */
/* TEGU_NO_KERNEL: the body would expand beyond reason. */
int32_t tegu_kernels_loop(tegu_kernels *k, const tegu_body *body,
                          tegu_state_layout layout);
/* The rows' count is in the slot after the body's own (tegu_body_slots). */
int32_t tegu_kernels_contract(tegu_kernels *k, const tegu_body *body,
                              const tegu_body_contract *c);
/* `cached`: K and V lie in the layouts KEYS and VALUES.  Query tokens, then
 * the offset (or unless causal the number of keys) follow the body's slots. */
int32_t tegu_kernels_attention(tegu_kernels *k, const tegu_body *body,
                               const tegu_body_attention *a, bool cached);
/* True when the templates take attention of this shape. */
bool tegu_attention_fits(const tegu_graph *g, const tegu_node *node);

/* A fast 64-bit mix for keys. */
uint64_t tegu_key_mix(uint64_t key, uint64_t value);
uint64_t tegu_key_text(uint64_t key, const char *text);

#endif
