/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.c - walks over whole graphs: uses, constants, hash, rewriting.
 *
 * Takes graphs as graph.c built them and never edits one: a rewrite builds the
 * next graph node by node in the old one's order, which keeps topological
 * order and types by construction.
 */
#include "ir/internal.h"

#include <string.h>

uint32_t *tegu_graph_uses(const tegu_graph *g, tegu_arena *arena)
{
    uint32_t *uses = TEGU_ARRAY(arena, uint32_t, g->nodes.count);
    for (uint32_t i = 0; i < g->results.count; i++)
        uses[g->results.data[i].value]++;
    for (uint32_t i = 0; i < g->updates.count; i++)
        uses[g->updates.data[i].value]++;
    for (tegu_value v = g->nodes.count; v-- > 1;) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (uses[v])
            for (uint32_t i = 0; i < node->input_count; i++)
                uses[node->inputs[i]]++;
    }
    return uses;
}

/* --- constants --- */

static bool leaf_is_constant(const tegu_node *node)
{
    return node->op == TEGU_OP_PARAM || node->op == TEGU_OP_CONST ||
           node->op == TEGU_OP_IOTA;
}

/* True when a kernel's body depends on nothing but its arguments. */
static bool body_is_constant(const tegu_graph *body)
{
    for (tegu_value v = 1; v < body->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(body, v);
        if (!tegu_type_is_static(node->type))
            return false;
        if (tegu_op_kind_of(node->op) == TEGU_KIND_LEAF &&
            node->op != TEGU_OP_ARG && node->op != TEGU_OP_SIZE &&
            !leaf_is_constant(node))
            return false;
    }
    return true;
}

bool *tegu_graph_constant(const tegu_graph *g, tegu_arena *arena)
{
    bool *constant = TEGU_ARRAY(arena, bool, g->nodes.count);
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        bool yes = tegu_type_is_static(node->type);
        if (node->op == TEGU_OP_KERNEL)
            yes = yes && body_is_constant(node->body);
        else if (node->input_count == 0)
            yes = yes && leaf_is_constant(node);
        for (uint32_t i = 0; i < node->input_count; i++)
            yes = yes && constant[node->inputs[i]];
        constant[v] = yes;
    }
    return constant;
}

uint32_t tegu_graph_adapter(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);
    uint32_t adapter = 0;
    if (node->op == TEGU_OP_PARAM)
        return tegu_unit_find_param(g->unit, tegu_node_text(node, "name"))
            ->adapter;
    for (uint32_t i = 0; !adapter && i < node->input_count; i++)
        adapter = tegu_graph_adapter(g, node->inputs[i]);
    return adapter;
}

/* --- hash --- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    uint64_t x = (hash ^ value) * 0x9e3779b97f4a7c15u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 29;
}

static uint64_t mix_bytes(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    hash = mix(hash, size);
    for (; size >= 8; size -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = mix(hash, word);
    }
    for (; size; size--, bytes++)
        hash = mix(hash, *bytes);
    return hash;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    return mix_bytes(hash, text, strlen(text));
}

static uint64_t mix_double(uint64_t hash, double value)
{
    return mix_bytes(hash, &value, sizeof value);
}

static uint64_t mix_type(uint64_t hash, const tegu_unit *unit,
                         const tegu_type *type)
{
    hash = mix(hash, type->dtype);
    hash = mix(hash, type->rank);
    for (uint32_t i = 0; i < type->rank; i++) {
        const tegu_dim *dim = &type->dims[i];
        const tegu_axis *axis = &unit->axes.data[dim->symbol];
        hash = mix(hash, (uint64_t)dim->offset);
        hash = mix(hash, (uint64_t)dim->scale);
        hash = mix(hash, dim->symbol);
        hash = mix(hash, (uint64_t)axis->lo);
        hash = mix(hash, (uint64_t)axis->hi);
    }
    return hash;
}

static uint64_t mix_attr(uint64_t hash, const tegu_attr *attr)
{
    switch (attr->info->kind) {
    case TEGU_ATTR_INT: return mix(hash, (uint64_t)attr->as.i);
    case TEGU_ATTR_FLOAT: return mix_double(hash, attr->as.f);
    case TEGU_ATTR_BOOL: return mix(hash, attr->as.b);
    case TEGU_ATTR_DTYPE: return mix(hash, attr->as.dtype);
    case TEGU_ATTR_TEXT: return mix_text(hash, attr->as.text);
    case TEGU_ATTR_INTS:
        return mix_bytes(hash, attr->as.ints.data,
                         attr->as.ints.count * sizeof(int64_t));
    }
    return hash;
}

/* A value's hash depends on its definition, not on its number, so that equal
 * computations hash alike whether they are shared or repeated. */
static uint64_t hash_node(const tegu_graph *g, const tegu_node *node,
                          const uint64_t *hashes)
{
    uint64_t hash = mix_text(0, tegu_op_get(node->op)->text);
    hash = mix_type(hash, g->unit, node->type);
    for (uint32_t i = 0; i < tegu_op_get(node->op)->attr_count; i++)
        hash = mix_attr(hash, &node->attrs[i]);
    hash = mix(hash, node->input_count);
    for (uint32_t i = 0; i < node->input_count; i++)
        hash = mix(hash, hashes[node->inputs[i]]);
    if (node->op == TEGU_OP_CONST)
        hash = mix_bytes(hash, node->data,
                         (size_t)tegu_type_elements(node->type) *
                             tegu_dtype_bytes(node->type->dtype));
    if (node->body)
        hash = mix(hash, tegu_graph_hash(node->body));
    return hash;
}

uint64_t tegu_graph_hash(const tegu_graph *g)
{
    tegu_arena *arena = g->unit->arena;
    tegu_mark mark = tegu_arena_mark(arena);
    uint32_t *uses = tegu_graph_uses(g, arena);
    uint64_t *hashes = TEGU_ARRAY(arena, uint64_t, g->nodes.count);
    for (tegu_value v = 1; v < g->nodes.count; v++)
        if (uses[v])
            hashes[v] = hash_node(g, tegu_graph_node(g, v), hashes);
    uint64_t hash = mix(g->level, g->results.count);
    for (uint32_t i = 0; i < g->results.count; i++)
        hash = mix(hash, hashes[g->results.data[i].value]);
    for (uint32_t i = 0; i < g->updates.count; i++) {
        hash = mix_text(hash, g->updates.data[i].state);
        hash = mix(hash, hashes[g->updates.data[i].value]);
    }
    tegu_arena_release(arena, mark);
    return hash;
}

/* --- rewriting --- */

/* True when every input kept its type, so the result keeps it too. */
static bool inputs_keep_types(const tegu_rewriter *rw, const tegu_node *node,
                              const tegu_value *inputs)
{
    for (uint32_t i = 0; i < node->input_count; i++)
        if (!tegu_type_equal(tegu_graph_type(rw->from, node->inputs[i]),
                             tegu_graph_type(rw->into, inputs[i])))
            return false;
    return true;
}

tegu_value tegu_rewriter_copy(tegu_rewriter *rw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(rw->from, v);
    tegu_arena *arena = rw->into->unit->arena;
    tegu_value *inputs = TEGU_ARRAY(arena, tegu_value, node->input_count);
    for (uint32_t i = 0; i < node->input_count; i++) {
        inputs[i] = rw->map[node->inputs[i]];
        if (!inputs[i])
            return 0;
    }
    tegu_node_spec spec = tegu_node_spec_of(node, inputs);
    if (!tegu_op_type_given(node->op) && !inputs_keep_types(rw, node, inputs))
        spec.type = NULL;
    return tegu_graph_add(rw->into, &spec);
}

tegu_graph *tegu_graph_rewrite(const tegu_graph *from, tegu_level level,
                               tegu_visit visit, void *data)
{
    tegu_arena *arena = from->unit->arena;
    tegu_rewriter rw = {
        .from = from,
        .into = tegu_graph_create(from->unit, level),
        .map = TEGU_ARRAY(arena, tegu_value, from->nodes.count),
        .uses = tegu_graph_uses(from, arena),
        .data = data,
    };
    if (!visit)
        visit = tegu_rewriter_copy;
    for (tegu_value v = 1; v < from->nodes.count; v++) {
        if (!rw.uses[v])
            continue;
        rw.map[v] = visit(&rw, v);
        if (!rw.map[v])
            return NULL;
    }
    for (uint32_t i = 0; i < from->results.count; i++)
        tegu_graph_add_result(rw.into, from->results.data[i].name,
                              rw.map[from->results.data[i].value]);
    for (uint32_t i = 0; i < from->updates.count; i++)
        tegu_graph_add_update(rw.into, from->updates.data[i].state,
                              rw.map[from->updates.data[i].value]);
    return rw.into;
}
