/* SPDX-License-Identifier: Apache-2.0 */
/* See kernels.h. */
#include "codegen/kernels.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "codegen/attention.h"
#include "codegen/contract.h"
#include "codegen/epilogue.h"
#include "codegen/loops.h"

static const char *const family_texts[TEGU_FAMILY_COUNT] = {
#define TEGU_FAMILY(id, text, effort) [TEGU_FAMILY_##id] = text,
#include "codegen/kernels.def"
};

/* Which module a family's code goes to: see kernels.def. */
typedef enum effort { LIGHT, LOOPS } effort;

static const effort efforts[TEGU_FAMILY_COUNT] = {
#define TEGU_FAMILY(id, text, effort) [TEGU_FAMILY_##id] = effort,
#include "codegen/kernels.def"
};

static tegu_emitter *emitter_of(const tegu_kernels *k, tegu_family family)
{
    return efforts[family] == LIGHT ? k->templates : k->loops;
}

tegu_family tegu_family_find(const char *text)
{
    int f = 0;
    while (f < TEGU_FAMILY_COUNT && strcmp(family_texts[f], text) != 0)
        f++;
    return (tegu_family)f;
}

uint64_t tegu_key_mix(uint64_t key, uint64_t value)
{
    uint64_t x = (key ^ value) * 0x9e3779b97f4a7c15u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 29;
}

uint64_t tegu_key_text(uint64_t key, const char *text)
{
    for (; *text; text++)
        key = tegu_key_mix(key, (unsigned char)*text);
    return tegu_key_mix(key, 256);
}

void tegu_kernels_init(tegu_kernels *k, tegu_arena *arena, tegu_arena *scratch,
                       tegu_emitter *loops, tegu_emitter *templates)
{
    *k = (tegu_kernels){.arena = arena,
                        .scratch = scratch,
                        .loops = loops,
                        .templates = templates};
    k->index = tegu_map_create(arena);
}

/* ---- interning ---- */

typedef struct kernel_key {
    uint64_t body;
    uint32_t family, operands, layout, cached;
} kernel_key;

static kernel_key key_of(tegu_family family, const tegu_body *body)
{
    return (kernel_key){.body = tegu_graph_hash(body->graph),
                        .family = family,
                        .operands = body->operands};
}

/* The number of a kernel that was emitted before, or TEGU_NO_KERNEL. */
static int32_t known(const tegu_kernels *k, const kernel_key *key)
{
    const uint64_t *found = tegu_map_find(k->index, key, sizeof *key);
    return found ? (int32_t)*found : TEGU_NO_KERNEL;
}

static const char *new_name(const tegu_kernels *k, tegu_family family)
{
    return tegu_format(k->arena, "%s_%" PRIu32, family_texts[family],
                       k->names.count);
}

static int32_t enter(tegu_kernels *k, const kernel_key *key, const char *name)
{
    tegu_map_set(k->index, key, sizeof *key, k->names.count);
    tegu_vec_push(k->arena, &k->names, name);
    return (int32_t)k->names.count - 1;
}

/* ---- families ---- */

int32_t tegu_kernels_loop(tegu_kernels *k, const tegu_body *body,
                          tegu_state_layout layout)
{
    kernel_key key = key_of(TEGU_FAMILY_LOOP, body);
    key.layout = layout;
    key.cached = body->in_place;
    int32_t number = known(k, &key);
    if (number != TEGU_NO_KERNEL || !k->loops)
        return k->loops ? number : 0;
    tegu_loops loops = {
        .name = new_name(k, TEGU_FAMILY_LOOP), .body = body, .layout = layout};
    if (!tegu_emit_loops(emitter_of(k, TEGU_FAMILY_LOOP), k->scratch, &loops))
        return TEGU_NO_KERNEL;
    return enter(k, &key, loops.name);
}

int32_t tegu_kernels_contract(tegu_kernels *k, const tegu_body *body,
                              const tegu_body_contract *c)
{
    kernel_key key = key_of(TEGU_FAMILY_CONTRACT, body);
    int32_t number = known(k, &key);
    if (number != TEGU_NO_KERNEL || !k->loops)
        return k->loops ? number : 0;
    tegu_epilogue_data data = {.body = body, .form = c, .scratch = k->scratch};
    tegu_contract contract = {
        .name = new_name(k, TEGU_FAMILY_CONTRACT),
        .n = c->n,
        .k = c->k,
        .a_stride = c->k,
        .y_stride = c->n,
        .slot_m = tegu_body_slots(body),
        .slot_a = TEGU_SLOT_OPERAND + c->a,
        .slot_w = TEGU_SLOT_OPERAND + c->b,
        .slot_y = TEGU_SLOT_RESULT,
        .data = &data,
    };
    if (body->root != c->node)
        contract.epilogue = tegu_epilogue_emit;
    for (; contract.thin_count < c->thin_count; contract.thin_count++) {
        const tegu_body_thin *thin = &c->thin[contract.thin_count];
        contract.thin[contract.thin_count] = (tegu_contract_thin){
            .k = thin->k,
            .start = thin->start,
            .stride = thin->stride,
            .slot_a = TEGU_SLOT_OPERAND + thin->a,
            .slot_w = TEGU_SLOT_OPERAND + thin->b,
            .slot_gate = thin->gate < 0 ? -1 : TEGU_SLOT_OPERAND + thin->gate,
        };
    }
    tegu_emit_contract(emitter_of(k, TEGU_FAMILY_CONTRACT), &contract);
    return enter(k, &key, contract.name);
}

bool tegu_attention_fits(const tegu_graph *g, const tegu_node *node)
{
    const tegu_type *q = tegu_graph_type(g, node->inputs[0]);
    const tegu_type *keys = tegu_graph_type(g, node->inputs[1]);
    int64_t window = tegu_node_int(node, "window");
    bool causal = tegu_node_bool(node, "causal");
    if (!tegu_dim_is_static(q->dims[1]) || !tegu_dim_is_static(q->dims[2]) ||
        !tegu_dim_is_static(keys->dims[1]))
        return false;
    int64_t heads = q->dims[1].offset, kv_heads = keys->dims[1].offset;
    int64_t d = q->dims[2].offset;
    return heads > 0 && kv_heads > 0 && heads % kv_heads == 0 && d > 0 &&
           d % 4 == 0 && d <= TEGU_ATTENTION_MAX_DIM &&
           (causal || window == 0) && window >= 0;
}

static float scale_of(const tegu_node *node, int64_t d)
{
    double scale = tegu_node_float(node, "scale");
    return (float)(scale != 0 ? scale : 1 / sqrt((double)d));
}

int32_t tegu_kernels_attention(tegu_kernels *k, const tegu_body *body,
                               const tegu_body_attention *a, bool cached)
{
    kernel_key key = key_of(TEGU_FAMILY_ATTENTION, body);
    key.cached = cached;
    int32_t number = known(k, &key);
    if (number != TEGU_NO_KERNEL || !k->loops)
        return k->loops ? number : 0;
    const tegu_node *node = tegu_graph_node(body->graph, a->node);
    const tegu_type *q = tegu_graph_type(body->graph, node->inputs[0]);
    const tegu_type *keys = tegu_graph_type(body->graph, node->inputs[1]);
    tegu_attention attention = {
        .name = new_name(k, TEGU_FAMILY_ATTENTION),
        .heads = q->dims[1].offset,
        .kv_heads = keys->dims[1].offset,
        .d = q->dims[2].offset,
        .capacity = cached ? keys->dims[0].offset : 0,
        .window = tegu_node_int(node, "window"),
        .causal = tegu_node_bool(node, "causal"),
        .scale = scale_of(node, q->dims[2].offset),
        .slot_q = TEGU_SLOT_OPERAND + a->q,
        .slot_k = TEGU_SLOT_OPERAND + a->k,
        .slot_v = TEGU_SLOT_OPERAND + a->v,
        .slot_out = TEGU_SLOT_RESULT,
        .slot_t = tegu_body_slots(body),
        .slot_offset = tegu_body_slots(body) + 1,
    };
    tegu_emit_attention(emitter_of(k, TEGU_FAMILY_ATTENTION), &attention);
    return enter(k, &key, attention.name);
}
