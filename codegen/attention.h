/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention, f32: for every query token i and head h
 *
 *     out[i, h] = sum over visible j of softmax_j(scale q[i, h] . k[j, h'])
 *                 v[j, h'],                  h' = h / (heads / kv_heads)
 *
 * in one pass over keys and values with a running maximum (M. Milakov and N.
 * Gimelshein 2018; T. Dao et al. 2022).  The query heads that share a key
 * head are taken together, so that decoding loads each key once.
 *
 * q is [T, heads, D] and out the same, both contiguous.  Causal attention
 * sees the keys offset + i - window < j <= offset + i, where `offset` tokens
 * came before this call; otherwise every query sees all keys.
 *
 * Keys and values come from one of two layouts:
 *   a cache of `capacity` tokens, rounded up to a multiple of 64:
 *       K [kv_heads][capacity / 16][D][16], V [kv_heads][capacity][D]
 *   plain arrays [S, kv_heads, D] each: every chunk of keys is first turned
 *       into the cache's order, which costs little when T is not small.
 * Elements of tokens that no query may see are not used, whatever they hold.
 *
 * The relative error of the softmax weights is that of tegu_math_exp plus
 * about (D + 4) u sum |q k| scale, of the sums about 64 u a chunk of 64.
 */
#ifndef TEGU_CODEGEN_ATTENTION_H
#define TEGU_CODEGEN_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "codegen/emit.h"

#define TEGU_ATTENTION_MAX_DIM 512

typedef struct tegu_attention {
    const char *name;
    int64_t heads, kv_heads; /* kv_heads divides heads */
    int64_t d;               /* multiple of 4, <= TEGU_ATTENTION_MAX_DIM */
    int64_t capacity;        /* tokens of the cache; 0: plain K and V */
    int64_t window;          /* 0: none; needs causal */
    bool causal;
    float scale;
    unsigned slot_q, slot_k, slot_v, slot_out;
    unsigned slot_t;      /* i64: query tokens, may be 0 */
    unsigned slot_offset; /* i64: tokens before the call; unless causal, the
                             number of keys instead */
} tegu_attention;

/* Emits the kernel (signature: tegu_emit_kernel).  Parts are tiles of query
 * rows of a key head, dealt in turn; any number of parts is right. */
LLVMValueRef tegu_emit_attention(tegu_emitter *e, const tegu_attention *a);

/* f32 elements of a cache's K, and of its V. */
int64_t tegu_cache_elements(int64_t capacity, int64_t kv_heads, int64_t d);

/* Element offset of (token, head, component) in a cache. */
int64_t tegu_cache_k_index(int64_t capacity, int64_t d, int64_t token,
                           int64_t head, int64_t component);
int64_t tegu_cache_v_index(int64_t capacity, int64_t d, int64_t token,
                           int64_t head, int64_t component);
/* The same as code; token, head and component are i64. */
LLVMValueRef tegu_emit_cache_k(tegu_emitter *e, int64_t capacity, int64_t d,
                               LLVMValueRef token, LLVMValueRef head,
                               LLVMValueRef component);
LLVMValueRef tegu_emit_cache_v(tegu_emitter *e, int64_t capacity, int64_t d,
                               LLVMValueRef token, LLVMValueRef head,
                               LLVMValueRef component);

#endif
