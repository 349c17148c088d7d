/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See loops.h: the loops around the elements that value.c computes.  The
 * leading axes of the space are one flat loop over a part's share; the others
 * follow one by one, the last one innermost.
 */
#include "codegen/loops.h"

#include <string.h>

#include "codegen/attention.h"
#include "codegen/nest.h"

/* Loads the slots; constants of the kernel's whole run. */
static void read_slots(tegu_nest *n, const tegu_body *body, LLVMValueRef args)
{
    tegu_emitter *e = n->e;
    LLVMValueRef *operands = TEGU_ARRAY(n->arena, LLVMValueRef, body->operands);
    for (uint32_t i = 0; i < body->operands; i++)
        operands[i] = tegu_emit_slot_ptr(e, args, TEGU_SLOT_OPERAND + i);
    n->operands = operands;
    n->operand_count = body->operands;
    n->symbols = TEGU_ARRAY(n->arena, LLVMValueRef, n->unit->axes.count);
    for (uint32_t i = 0; i < body->symbol_count; i++)
        n->symbols[body->symbols[i]] =
            tegu_emit_slot_i64(e, args, tegu_body_slot_symbol(body, i));
    if (body->position)
        n->position =
            tegu_emit_slot_i64(e, args, tegu_body_slot_position(body));
}

/* ---- stores ---- */

typedef struct target {
    const tegu_loops *loops;
    LLVMValueRef base; /* of the result, or of the state */
    tegu_value value;  /* whose elements are stored */
} target;

static LLVMValueRef cache_index(tegu_nest *n, const tegu_loops *loops,
                                const tegu_type *state, const tegu_index *at)
{
    int64_t capacity = state->dims[0].offset, d = state->dims[2].offset;
    LLVMValueRef token = tegu_index_value(n, &at[0]);
    LLVMValueRef head = tegu_index_value(n, &at[1]);
    LLVMValueRef component = tegu_index_value(n, &at[2]);
    if (loops->layout == TEGU_LAYOUT_KEYS)
        return tegu_emit_cache_k(n->e, capacity, d, token, head, component);
    return tegu_emit_cache_v(n->e, capacity, d, token, head, component);
}

/* Where element `at` of the appended rows goes in the state. */
static tegu_index state_index(tegu_nest *n, const tegu_loops *loops,
                              const tegu_index *at)
{
    const tegu_type *state =
        tegu_graph_type(loops->body->graph, loops->body->root);
    tegu_index own[TEGU_MAX_RANK];
    int64_t last = state->dims[0].offset - 1;
    tegu_detour d;
    tegu_nest_enter(n, tegu_nest_home(n, NULL, 0), &d);
    tegu_index first = tegu_index_given(n, n->position, 0, last);
    tegu_nest_leave(n, &d);
    memcpy(own, at, state->rank * sizeof *own);
    own[0] = tegu_index_add(n, &at[0], &first);
    if (loops->layout == TEGU_LAYOUT_ROWS)
        return tegu_index_join(n, own, state->dims, state->rank);
    LLVMValueRef linear = cache_index(n, loops, state, own);
    return tegu_index_given(n, linear, 0, INT64_MAX / 4);
}

static void store_element(tegu_nest *n, const target *t, const tegu_index *at)
{
    const tegu_type *space = t->loops->body->space;
    LLVMValueRef value = tegu_nest_value(n, t->value, at);
    tegu_index linear = t->loops->body->in_place
                            ? state_index(n, t->loops, at)
                            : tegu_index_join(n, at, space->dims, space->rank);
    tegu_nest_store(n, space->dtype, value, t->base, &linear);
}

/* ---- loops ---- */

static void inner_loops(tegu_nest *n, const target *t, uint32_t axis,
                        tegu_index *at)
{
    const tegu_type *space = t->loops->body->space;
    tegu_nest_loop l;
    if (axis == space->rank) {
        store_element(n, t, at);
        return;
    }
    if (tegu_dim_is_one(space->dims[axis])) {
        at[axis] = tegu_index_constant(0);
        inner_loops(n, t, axis + 1, at);
        return;
    }
    tegu_nest_loop_begin(n, &l, tegu_emit_int(n->e, 0),
                         tegu_nest_extent(n, space->dims[axis]),
                         tegu_nest_bound(n, space->dims[axis]) - 1, 0, NULL);
    at[axis] = tegu_index_atom(l.atom);
    inner_loops(n, t, axis + 1, at);
    tegu_nest_loop_end(n, &l, NULL);
}

/* The number of elements along the leading axes, and its upper bound. */
static LLVMValueRef flat_extent(tegu_nest *n, const tegu_type *space,
                                uint32_t split, int64_t *bound)
{
    LLVMValueRef count = tegu_emit_int(n->e, 1);
    *bound = 1;
    for (uint32_t i = 0; i < split; i++) {
        LLVMValueRef extent = tegu_nest_extent(n, space->dims[i]);
        count = LLVMBuildNSWMul(n->e->builder, count, extent, "");
        if (__builtin_mul_overflow(*bound, tegu_nest_bound(n, space->dims[i]),
                                   bound))
            *bound = INT64_MAX / 4;
    }
    return count;
}

static void outer_loop(tegu_nest *n, const target *t, LLVMValueRef part,
                       LLVMValueRef parts)
{
    const tegu_body *body = t->loops->body;
    tegu_index at[TEGU_MAX_RANK];
    tegu_nest_loop l;
    LLVMValueRef lo, hi;
    int64_t bound;
    memset(at, 0, sizeof at);
    LLVMValueRef count = flat_extent(n, body->space, body->split, &bound);
    tegu_emit_share(n->e, count, part, parts, &lo, &hi);
    tegu_nest_loop_begin(n, &l, lo, hi, bound - 1, 0, NULL);
    tegu_index flat = tegu_index_atom(l.atom);
    tegu_index_split(n, &flat, body->space->dims, body->split, at);
    inner_loops(n, t, body->split, at);
    tegu_nest_loop_end(n, &l, NULL);
}

LLVMValueRef tegu_emit_loops(tegu_emitter *e, tegu_arena *scratch,
                             const tegu_loops *loops)
{
    tegu_mark mark = tegu_arena_mark(scratch);
    const tegu_body *body = loops->body;
    tegu_nest n = {.e = e,
                   .arena = scratch,
                   .unit = body->graph->unit,
                   .body = body->graph};
    target t = {.loops = loops, .value = body->root};
    LLVMValueRef function = tegu_emit_kernel(e, loops->name);
    LLVMValueRef args = LLVMGetParam(function, 0);
    LLVMFastMathFlags flags = e->flags;
    e->flags = LLVMFastMathAllowContract;
    read_slots(&n, body, args);
    t.base = tegu_emit_slot_ptr(e, args, TEGU_SLOT_RESULT);
    if (body->in_place)
        t.value = tegu_graph_node(body->graph, body->root)->inputs[1];
    tegu_nest_push(&n);
    outer_loop(&n, &t, LLVMGetParam(function, 1), LLVMGetParam(function, 2));
    tegu_nest_pop(&n);
    LLVMBuildRetVoid(e->builder);
    e->flags = flags;
    tegu_arena_release(scratch, mark);
    if (!n.too_complex)
        return function;
    LLVMDeleteFunction(function);
    return NULL;
}
