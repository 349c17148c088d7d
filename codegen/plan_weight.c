/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The weights of a plan (plan.h): every constant operand of a kernel gets a
 * place in the file, in the order of first use.  Equal constants share it,
 * also between entries: they are told apart by a key of their definition.
 */
#include <string.h>

#include "codegen/contract.h"
#include "codegen/planner.h"

/* A parameter's name; without the adapter's, which comes first, so that what
 * fits the same slot is defined alike. */
static const char *own_name(const tegu_graph *g, const tegu_node *param)
{
    const char *name = tegu_node_text(param, "name");
    const char *colon = strchr(name, ':');
    if (colon && tegu_unit_find_param(g->unit, name)->adapter)
        return colon + 1;
    return name;
}

/* What a constant value is computed from, as a number. */
uint64_t tegu_weight_definition(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);
    uint64_t key = tegu_key_text(1, tegu_op_get(node->op)->text);
    key = tegu_key_mix(key, node->type->dtype);
    for (uint32_t i = 0; i < node->type->rank; i++)
        key = tegu_key_mix(key, (uint64_t)node->type->dims[i].offset);
    if (node->op == TEGU_OP_PARAM)
        return tegu_key_text(key, own_name(g, node));
    if (node->op == TEGU_OP_IOTA)
        return tegu_key_mix(key, (uint64_t)tegu_node_int(node, "axis"));
    if (node->op == TEGU_OP_CONST) {
        const unsigned char *bytes = node->data;
        size_t size = (size_t)tegu_type_elements(node->type) *
                      tegu_dtype_bytes(node->type->dtype);
        for (size_t i = 0; i < size; i++)
            key = tegu_key_mix(key, bytes[i]);
        return key;
    }
    if (node->body)
        key = tegu_key_mix(key, tegu_graph_hash(node->body));
    for (uint32_t i = 0; i < node->input_count; i++)
        key = tegu_key_mix(key, tegu_weight_definition(g, node->inputs[i]));
    return key;
}

typedef struct weight_key {
    uint64_t definition;
    int64_t n, k, adapter;
} weight_key;

static bool size_of(const tegu_plan *plan, const tegu_type *type, int64_t n,
                    int64_t k, size_t *bytes)
{
    if (n > 0)
        return tegu_pack_size(n, k, tegu_target_panel(plan->target, n), bytes);
    return tegu_type_size(type, NULL, bytes);
}

tegu_place tegu_planner_weight(tegu_planner *p, tegu_value v, int64_t n,
                               int64_t k)
{
    tegu_plan *plan = p->plan;
    uint32_t adapter = tegu_graph_adapter(p->graph, v);
    tegu_weights_file *file = &plan->files[adapter];
    weight_key key = {tegu_weight_definition(p->graph, v), n, k, adapter};
    tegu_place place = {TEGU_PLACE_WEIGHT, plan->weights.count};
    const uint64_t *found = tegu_map_find(plan->weight_index, &key, sizeof key);
    if (found) {
        place.index = (uint32_t)*found;
        return place;
    }
    tegu_weight w = {.graph = p->graph,
                     .value = v,
                     .packed = n > 0,
                     .n = n,
                     .k = k,
                     .adapter = adapter,
                     .offset = file->bytes};
    size_t end;
    if (!size_of(plan, tegu_graph_type(p->graph, v), n, k, &w.bytes) ||
        __builtin_add_overflow(w.offset, w.bytes, &end) ||
        !tegu_align_size(end, &end) || end > (size_t)1 << 62)
        plan->overflow = true;
    else
        file->bytes = end;
    file->used = true;
    tegu_map_set(plan->weight_index, &key, sizeof key, place.index);
    tegu_vec_push(plan->arena, &plan->weights, w);
    return place;
}
