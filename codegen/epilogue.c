/* SPDX-License-Identifier: Apache-2.0 */
/* See epilogue.h.  tegu_body_is_contract has made sure that only the ops
 * handled here occur, and that operands broadcast by rows or columns. */
#include "codegen/epilogue.h"

#include <assert.h>

#include "codegen/cast.h"
#include "codegen/scalar.h"

typedef struct call {
    const tegu_epilogue_data *d;
    tegu_emitter *e;
    LLVMValueRef args, row, col, mask;
    const LLVMValueRef *more;
    unsigned lanes;
    LLVMValueRef *done; /* per value of the body */
} call;

static LLVMValueRef load_arg(call *c, const tegu_node *node)
{
    tegu_emitter *e = c->e;
    LLVMBuilderRef b = e->builder;
    const tegu_type *t = node->type;
    const tegu_type *shape =
        tegu_graph_type(c->d->body->graph, c->d->form->node);
    bool by_column = t->rank > 0 && !tegu_dim_is_one(t->dims[t->rank - 1]);
    bool by_row = false;
    for (uint32_t i = 0; i + 1 < t->rank; i++)
        by_row |= !tegu_dim_is_one(t->dims[i]);
    by_row = by_row && t->rank == shape->rank;
    LLVMValueRef index = tegu_emit_int(e, 0);
    if (by_row)
        index = c->row;
    if (by_row && by_column)
        index = LLVMBuildNSWMul(b, index, tegu_emit_int(e, c->d->form->n), "");
    if (by_column)
        index = LLVMBuildNSWAdd(b, index, c->col, "");
    LLVMTypeRef stored = tegu_cast_stored(e, t->dtype);
    LLVMValueRef base = tegu_emit_slot_ptr(
        e, c->args, TEGU_SLOT_OPERAND + (unsigned)tegu_node_int(node, "index"));
    LLVMValueRef at = tegu_emit_at(e, stored, base, index);
    unsigned align = (unsigned)tegu_dtype_bytes(t->dtype);
    if (by_column)
        return tegu_cast_unpack(e,
                                tegu_emit_load(e,
                                               tegu_emit_type(stored, c->lanes),
                                               at, align, c->mask),
                                t->dtype);
    LLVMValueRef x = tegu_emit_load(e, stored, at, align, NULL);
    return tegu_emit_splat(e, tegu_cast_unpack(e, x, t->dtype), c->lanes);
}

/* The extent of an axis, from the symbols' slots. */
static LLVMValueRef extent(call *c, tegu_dim dim)
{
    tegu_emitter *e = c->e;
    const tegu_body *body = c->d->body;
    LLVMValueRef value = tegu_emit_int(e, dim.offset);
    for (uint32_t i = 0; i < body->symbol_count; i++)
        if (!tegu_dim_is_static(dim) && body->symbols[i] == dim.symbol) {
            LLVMValueRef symbol =
                tegu_emit_slot_i64(e, c->args, tegu_body_slot_symbol(body, i));
            symbol = LLVMBuildNSWMul(e->builder, symbol,
                                     tegu_emit_int(e, dim.scale), "");
            value = LLVMBuildNSWAdd(e->builder, value, symbol, "");
        }
    return value;
}

static LLVMValueRef scalar_leaf(call *c, const tegu_node *node)
{
    tegu_emitter *e = c->e;
    const tegu_body *body = c->d->body;
    LLVMValueRef wide;
    if (node->op == TEGU_OP_CONST)
        return tegu_emit_splat(
            e, tegu_scalar_literal(e, node->type->dtype, node->data), c->lanes);
    if (node->op == TEGU_OP_POSITION)
        wide = tegu_emit_slot_i64(e, c->args, tegu_body_slot_position(body));
    else
        wide = extent(c, tegu_graph_type(body->graph, node->inputs[0])
                             ->dims[tegu_node_int(node, "axis")]);
    LLVMValueRef x = LLVMBuildTrunc(e->builder, wide, e->i32, "");
    return tegu_emit_splat(e, x, c->lanes);
}

/* The sums of a thin contraction; body.c numbered them. */
static LLVMValueRef thin_sums(const call *c, tegu_value v)
{
    uint32_t i = 0;
    while (c->d->form->thin[i].node != v)
        i++;
    return c->more[i];
}

static LLVMValueRef value_of(call *c, tegu_value v)
{
    const tegu_graph *g = c->d->body->graph;
    const tegu_node *node = tegu_graph_node(g, v);
    LLVMValueRef x[3];
    if (c->done[v])
        return c->done[v];
    if (node->op == TEGU_OP_ARG) {
        c->done[v] = load_arg(c, node);
    } else if (node->op == TEGU_OP_CONTRACT) {
        c->done[v] = thin_sums(c, v);
    } else if (node->op == TEGU_OP_BROADCAST) {
        c->done[v] = value_of(c, node->inputs[0]);
    } else if (tegu_op_kind_of(node->op) == TEGU_KIND_LEAF) {
        c->done[v] = scalar_leaf(c, node);
    } else {
        assert(node->input_count <= 3);
        for (uint32_t i = 0; i < node->input_count; i++)
            x[i] = value_of(c, node->inputs[i]);
        c->done[v] = tegu_scalar_map(c->e, g, node, x);
    }
    return c->done[v];
}

LLVMValueRef tegu_epilogue_emit(void *data, tegu_emitter *e, LLVMValueRef args,
                                LLVMValueRef row, LLVMValueRef col,
                                LLVMValueRef acc, const LLVMValueRef *more,
                                LLVMValueRef mask)
{
    const tegu_epilogue_data *d = data;
    tegu_mark mark = tegu_arena_mark(d->scratch);
    call c = {.d = d,
              .e = e,
              .args = args,
              .row = row,
              .col = col,
              .more = more,
              .mask = mask,
              .lanes = tegu_emit_lanes(LLVMTypeOf(acc))};
    c.done = TEGU_ARRAY(d->scratch, LLVMValueRef, d->body->graph->nodes.count);
    c.done[d->form->node] = acc;
    LLVMFastMathFlags flags = e->flags;
    e->flags = LLVMFastMathAllowContract;
    LLVMValueRef result = value_of(&c, d->body->root);
    e->flags = flags;
    tegu_arena_release(d->scratch, mark);
    return result;
}
