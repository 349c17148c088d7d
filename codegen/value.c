/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elements of the nodes of a kernel's body (see nest.h): one rule per op, a
 * table from op to rule, and what every computed element goes through - it is
 * made once per index, in the outermost scope where its index is known.
 */
#include "codegen/nest.h"

#include <assert.h>
#include <string.h>

#include "codegen/cast.h"
#include "codegen/compat.h"
#include "codegen/scalar.h"

/* ---- types ---- */

/* The carrier's LLVM type. */
static LLVMTypeRef vector_type(const tegu_nest *n, tegu_dtype dtype)
{
    return tegu_cast_carrier(n->e, dtype);
}

LLVMValueRef tegu_nest_constant(const tegu_nest *n, tegu_dtype dtype,
                                double value)
{
    LLVMTypeRef type = vector_type(n, dtype);
    if (type == n->e->f32)
        return LLVMConstReal(type, value);
    if (dtype == TEGU_BOOL)
        return LLVMConstInt(type, value != 0, 0);
    return LLVMConstInt(type, (unsigned long long)(int64_t)value, 1);
}

/* ---- memory ---- */

static LLVMValueRef element_address(tegu_nest *n, tegu_dtype dtype,
                                    LLVMValueRef base, const tegu_index *linear)
{
    return tegu_emit_at(n->e, tegu_cast_stored(n->e, dtype), base,
                        tegu_index_value(n, linear));
}

static LLVMValueRef load_element(tegu_nest *n, tegu_dtype dtype,
                                 LLVMValueRef base, const tegu_index *linear)
{
    tegu_emitter *e = n->e;
    LLVMValueRef at = element_address(n, dtype, base, linear);
    LLVMValueRef x = tegu_emit_load(e, tegu_cast_stored(e, dtype), at,
                                    (unsigned)tegu_dtype_bytes(dtype), NULL);
    tegu_emit_buffer(e, x, 1, 2);
    return tegu_cast_unpack(e, x, dtype);
}

void tegu_nest_store(tegu_nest *n, tegu_dtype dtype, LLVMValueRef value,
                     LLVMValueRef base, const tegu_index *linear)
{
    tegu_emitter *e = n->e;
    value = tegu_cast_pack(e, value, dtype);
    LLVMValueRef at = element_address(n, dtype, base, linear);
    LLVMValueRef store =
        tegu_emit_store(e, value, at, (unsigned)tegu_dtype_bytes(dtype), NULL);
    tegu_emit_buffer(e, store, 0, 2);
}

/* ---- leaves ---- */

static LLVMValueRef rule_arg(tegu_nest *n, const tegu_node *node,
                             const tegu_index *at)
{
    const tegu_type *t = node->type;
    int64_t i = tegu_node_int(node, "index");
    assert(i >= 0 && (uint64_t)i < n->operand_count);
    tegu_index linear = tegu_index_join(n, at, t->dims, t->rank);
    return load_element(n, t->dtype, n->operands[i], &linear);
}

/* Small tables lie beside the code; LLVM drops those that fold away. */
static LLVMValueRef table_of(tegu_nest *n, const char *data, size_t size)
{
    tegu_emitter *e = n->e;
    LLVMValueRef bytes = tegu_compat_bytes(e->context, data, size);
    LLVMValueRef table = LLVMAddGlobal(e->module, LLVMTypeOf(bytes), "table");
    LLVMSetInitializer(table, bytes);
    LLVMSetGlobalConstant(table, 1);
    LLVMSetLinkage(table, LLVMInternalLinkage);
    LLVMSetUnnamedAddress(table, LLVMGlobalUnnamedAddr);
    LLVMSetAlignment(table, 64);
    return table;
}

static LLVMValueRef rule_const(tegu_nest *n, const tegu_node *node,
                               const tegu_index *at)
{
    const tegu_type *t = node->type;
    size_t element = tegu_dtype_bytes(t->dtype);
    int64_t count = tegu_type_elements(t);
    tegu_index linear = tegu_index_join(n, at, t->dims, t->rank);
    if (tegu_scalar_is_splat(node))
        linear = tegu_index_constant(0);
    if (count < 1)
        return tegu_nest_constant(n, t->dtype, 0);
    if (linear.count == 0)
        return tegu_scalar_literal(n->e, t->dtype,
                                   (const char *)node->data +
                                       (size_t)linear.offset * element);
    LLVMValueRef table = table_of(n, node->data, (size_t)count * element);
    return load_element(n, t->dtype, table, &linear);
}

static LLVMValueRef number(tegu_nest *n, tegu_dtype dtype, LLVMValueRef i64)
{
    LLVMBuilderRef b = n->e->builder;
    if (dtype == TEGU_F32)
        return LLVMBuildSIToFP(b, i64, n->e->f32, "");
    return LLVMBuildTrunc(b, i64, vector_type(n, dtype), "");
}

static LLVMValueRef rule_iota(tegu_nest *n, const tegu_node *node,
                              const tegu_index *at)
{
    tegu_dtype dtype = node->type->dtype;
    LLVMValueRef i = tegu_index_value(n, &at[tegu_node_int(node, "axis")]);
    return dtype == TEGU_I64 ? i : number(n, dtype, i);
}

static LLVMValueRef rule_position(tegu_nest *n, const tegu_node *node,
                                  const tegu_index *at)
{
    (void)at;
    return number(n, node->type->dtype, n->position);
}

static LLVMValueRef rule_size(tegu_nest *n, const tegu_node *node,
                              const tegu_index *at)
{
    (void)at;
    const tegu_type *t = tegu_graph_type(n->body, node->inputs[0]);
    int64_t axis = tegu_node_int(node, "axis");
    return number(n, node->type->dtype, tegu_nest_extent(n, t->dims[axis]));
}

/* ---- element-wise ---- */

/* The index of an operand that broadcasts to the result. */
static void aligned(const tegu_type *result, const tegu_type *operand,
                    const tegu_index *at, tegu_index *out)
{
    uint32_t skip = result->rank - operand->rank;
    for (uint32_t i = 0; i < operand->rank; i++)
        out[i] = tegu_dim_is_one(operand->dims[i]) ? tegu_index_constant(0)
                                                   : at[skip + i];
}

static LLVMValueRef rule_map(tegu_nest *n, const tegu_node *node,
                             const tegu_index *at)
{
    LLVMValueRef x[3];
    assert(node->input_count <= 3);
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_index own[TEGU_MAX_RANK];
        aligned(node->type, tegu_graph_type(n->body, node->inputs[i]), at, own);
        x[i] = tegu_nest_value(n, node->inputs[i], own);
    }
    return tegu_scalar_map(n->e, n->body, node, x);
}

static LLVMValueRef broadcast(tegu_nest *n, const tegu_node *node,
                              const tegu_index *at)
{
    tegu_index own[TEGU_MAX_RANK];
    aligned(node->type, tegu_graph_type(n->body, node->inputs[0]), at, own);
    return tegu_nest_value(n, node->inputs[0], own);
}

LLVMValueRef tegu_nest_guard(tegu_nest *n, LLVMValueRef condition,
                             tegu_thunk *then, void *data,
                             LLVMValueRef otherwise)
{
    LLVMBuilderRef b = n->e->builder;
    tegu_if branch;
    LLVMBasicBlockRef from[2];
    tegu_if_begin(n->e, &branch, condition);
    tegu_nest_push(n);
    LLVMValueRef values[] = {then(n, data), otherwise};
    tegu_nest_pop(n);
    from[0] = LLVMGetInsertBlock(b);
    tegu_if_else(n->e, &branch);
    from[1] = LLVMGetInsertBlock(b);
    tegu_if_end(n->e, &branch);
    LLVMValueRef phi = LLVMBuildPhi(b, LLVMTypeOf(otherwise), "");
    LLVMAddIncoming(phi, values, from, 2);
    return phi;
}

/* ---- dispatch ---- */

/* How each kind of op is computed; leaves and movement go by op. */
static tegu_rule *const by_kind[] = {
    [TEGU_KIND_MAP] = rule_map,
    [TEGU_KIND_REDUCE] = tegu_rule_reduce,
    [TEGU_KIND_CONTRACT] = tegu_rule_contract,
    [TEGU_KIND_INDEX] = tegu_rule_gather,
    [TEGU_KIND_STATE] = tegu_rule_append,
};

static tegu_rule *const by_op[TEGU_OP_COUNT] = {
    [TEGU_OP_ARG] = rule_arg,
    [TEGU_OP_CONST] = rule_const,
    [TEGU_OP_IOTA] = rule_iota,
    [TEGU_OP_POSITION] = rule_position,
    [TEGU_OP_SIZE] = rule_size,
    [TEGU_OP_ARGMAX] = tegu_rule_argmax,
    [TEGU_OP_RESHAPE] = tegu_rule_reshape,
    [TEGU_OP_TRANSPOSE] = tegu_rule_transpose,
    [TEGU_OP_BROADCAST] = broadcast,
    [TEGU_OP_SLICE] = tegu_rule_slice,
    [TEGU_OP_PAD] = tegu_rule_pad,
    [TEGU_OP_CONCAT] = tegu_rule_concat,
};

static tegu_rule *rule_of(tegu_op op)
{
    tegu_op_kind kind = tegu_op_kind_of(op);
    if (by_op[op])
        return by_op[op];
    return kind < sizeof by_kind / sizeof by_kind[0] ? by_kind[kind] : NULL;
}

static bool same_place(const tegu_index *a, const tegu_index *b, uint32_t rank)
{
    for (uint32_t i = 0; i < rank; i++) {
        if (a[i].offset != b[i].offset || a[i].count != b[i].count)
            return false;
        for (uint32_t t = 0; t < a[i].count; t++)
            if (a[i].terms[t].atom != b[i].terms[t].atom ||
                a[i].terms[t].factor != b[i].terms[t].factor)
                return false;
    }
    return true;
}

static LLVMValueRef remembered(const tegu_nest *n, tegu_value v,
                               const tegu_index *at, uint32_t rank)
{
    for (const tegu_scope *s = n->scope; s; s = s->parent)
        for (const tegu_memo *m = s->memo[v]; m; m = m->next)
            if (same_place(m->at, at, rank))
                return m->value;
    return NULL;
}

static void remember(tegu_nest *n, tegu_value v, const tegu_index *at,
                     uint32_t rank, LLVMValueRef value)
{
    tegu_memo *m = TEGU_NEW(n->arena, tegu_memo);
    m->at = tegu_arena_copy(n->arena, at, rank * sizeof *at);
    m->value = value;
    m->next = n->scope->memo[v];
    n->scope->memo[v] = m;
}

LLVMValueRef tegu_nest_value(tegu_nest *n, tegu_value v, const tegu_index *at)
{
    const tegu_node *node = tegu_graph_node(n->body, v);
    uint32_t rank = node->type->rank;
    LLVMValueRef value = remembered(n, v, at, rank);
    if (value)
        return value;
    if (++n->spent > TEGU_NEST_BUDGET) {
        n->too_complex = true;
        return LLVMGetPoison(vector_type(n, node->type->dtype));
    }
    tegu_rule *rule = rule_of(node->op);
    assert(rule);
    tegu_detour d;
    tegu_nest_enter(n, tegu_nest_home(n, at, rank), &d);
    value = rule(n, node, at);
    remember(n, v, at, rank, value);
    tegu_nest_leave(n, &d);
    return value;
}
