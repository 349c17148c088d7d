/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the body of a kernel looks like to the generators: its root, what it
 * needs in its argument slots, how its loops may be split, what it costs, and
 * which family can emit it.  Pure analysis of the IR: no LLVM here.
 *
 * Slots of every kernel: 0 the result, 1 + i operand i, then one i64 per
 * symbol, then the position (i64) if it is needed, then what a family adds.
 */
#ifndef TEGU_CODEGEN_BODY_H
#define TEGU_CODEGEN_BODY_H

#include "ir/ir.h"

enum { TEGU_BODY_THIN = 8 };

/* A second contraction within the epilogue: columns [start, start + k) of
 * operand a, which has `stride` of them, with a constant [N, k]. */
typedef struct tegu_body_thin {
    tegu_value node;
    uint32_t a, b; /* operand numbers */
    int32_t gate;  /* operand: not needed while it is 0; -1: always */
    int64_t k, start, stride;
} tegu_body_thin;

/* A contraction of an activation [.., K] with a constant [N, K], the rest of
 * the body element-wise on its result, but for thin contractions. */
typedef struct tegu_body_contract {
    tegu_value node; /* the contract: the first of the body */
    uint32_t a, b;   /* operand numbers */
    int64_t n, k;
    uint32_t rows_rank; /* leading axes of its result that count rows */
    tegu_body_thin thin[TEGU_BODY_THIN];
    uint32_t thin_count;
} tegu_body_contract;

/* The number of terms that constant operand i is packed for; 0: row-major. */
int64_t tegu_body_packed(const tegu_body_contract *c, uint32_t i);

/* attention(q, k, v, offset) over operands. */
typedef struct tegu_body_attention {
    tegu_value node;
    uint32_t q, k, v;
    tegu_value offset; /* a scalar node: ARG, POSITION or CONST */
} tegu_body_attention;

typedef struct tegu_body {
    const tegu_graph *graph;
    tegu_value root;        /* the result without trailing reshapes; an
                               APPEND stays what it is */
    const tegu_type *space; /* what the outer loops run over: the root's
                               type, or the appended rows' */
    uint32_t operands;
    tegu_axis_id symbols[TEGU_MAX_RANK * 2];
    uint32_t symbol_count;
    bool position;  /* has a slot for it */
    uint32_t split; /* leading axes of the space that parts share */
    double cost;    /* flops or so per element of the space */
    bool in_place;  /* an APPEND root that reads nothing of the old
                       state */
} tegu_body;

enum { TEGU_SLOT_RESULT = 0, TEGU_SLOT_OPERAND = 1 };
static inline uint32_t tegu_body_slot_symbol(const tegu_body *b, uint32_t i)
{
    return TEGU_SLOT_OPERAND + b->operands + i;
}
static inline uint32_t tegu_body_slot_position(const tegu_body *b)
{
    return tegu_body_slot_symbol(b, b->symbol_count);
}
/* The first slot that is a family's own. */
static inline uint32_t tegu_body_slots(const tegu_body *b)
{
    return tegu_body_slot_position(b) + b->position;
}

/* Fills `out`; false when the body has more symbols than slots.  `may_append`:
 * an APPEND root may write into its state.  `scratch` is left as it was. */
bool tegu_body_read(const tegu_graph *graph, uint32_t operands, bool may_append,
                    tegu_arena *scratch, tegu_body *out);
/* True when the body has the form of the family. */
bool tegu_body_is_contract(const tegu_body *body, tegu_body_contract *out);
bool tegu_body_is_attention(const tegu_body *body, tegu_body_attention *out);
/* True when every op has a rule in the loop emitter and the body is small
 * enough for it. */
bool tegu_body_is_loops(const tegu_body *body);

/* Bounds of a dimension; generous ones where they overflow. */
int64_t tegu_dim_least(const tegu_unit *unit, tegu_dim dim);
int64_t tegu_dim_most(const tegu_unit *unit, tegu_dim dim);

#endif
