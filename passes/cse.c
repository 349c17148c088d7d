/* SPDX-License-Identifier: Apache-2.0 */
/* cse.c - share equal computations.
 *
 * Takes graphs of any level.  Numbers every value by what it computes: its op,
 * its type with axes, its inputs' numbers, its attributes, a constant's bytes,
 * a kernel's body; inputs of commutative ops in either order.  Equal values
 * become one node (local value numbering, Cocke and Schwartz 1970; a graph is
 * one basic block).  No op has side effects but append, whose place in the
 * state is unique and which therefore is never merged.
 *
 * The key of a value is the byte string of all that; the map compares keys
 * whole, so that no hash collision can merge different values.
 */
#include "passes/passes.h"

typedef struct numbering {
    tegu_map *values; /* key -> value of the new graph */
    tegu_arena *scratch;
    bool changed;
} numbering;

static void add_bytes(tegu_text *key, const void *data, size_t size)
{
    tegu_text_add(key, data, size);
}

static void add_attr(tegu_text *key, const tegu_attr *attr)
{
    switch (attr->info->kind) {
    case TEGU_ATTR_INT: add_bytes(key, &attr->as.i, sizeof attr->as.i); break;
    case TEGU_ATTR_FLOAT: add_bytes(key, &attr->as.f, sizeof attr->as.f); break;
    case TEGU_ATTR_BOOL: add_bytes(key, &attr->as.b, sizeof attr->as.b); break;
    case TEGU_ATTR_DTYPE:
        add_bytes(key, &attr->as.dtype, sizeof attr->as.dtype);
        break;
    case TEGU_ATTR_TEXT: /* interned: equal texts have one address */
        add_bytes(key, &attr->as.text, sizeof attr->as.text);
        break;
    case TEGU_ATTR_INTS:
        add_bytes(key, &attr->as.ints.count, sizeof attr->as.ints.count);
        add_bytes(key, attr->as.ints.data,
                  attr->as.ints.count * sizeof *attr->as.ints.data);
        break;
    }
}

static void add_data(tegu_text *key, const tegu_node *node)
{
    int64_t count = tegu_type_elements(node->type);

    add_bytes(key, node->data,
              (size_t)count * tegu_dtype_bytes(node->type->dtype));
}

/* Everything about a node but its inputs. */
static void add_node(tegu_text *key, const tegu_node *node)
{
    add_bytes(key, &node->op, sizeof node->op);
    add_bytes(key, &node->type, sizeof node->type); /* interned */
    add_bytes(key, &node->input_count, sizeof node->input_count);
    for (uint32_t i = 0; i < tegu_op_get(node->op)->attr_count; i++)
        add_attr(key, &node->attrs[i]);
    if (node->op == TEGU_OP_CONST)
        add_data(key, node);
}

static void add_inputs(tegu_text *key, tegu_op op, const tegu_value *inputs,
                       uint32_t count)
{
    bool swap =
        count == 2 && tegu_op_has(op, TEGU_COMMUTES) && inputs[1] < inputs[0];

    for (uint32_t i = 0; i < count; i++)
        add_bytes(key, &inputs[swap ? 1 - i : i], sizeof *inputs);
}

/* A body is numbered by its nodes in order, each input by its index. */
static void add_body(tegu_text *key, const tegu_graph *body)
{
    for (tegu_value v = 1; v < body->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(body, v);
        add_node(key, node);
        add_inputs(key, node->op, node->inputs, node->input_count);
    }
    add_bytes(key, &body->results.data[0].value,
              sizeof body->results.data[0].value);
}

static bool appends(const tegu_node *node)
{
    return node->op == TEGU_OP_APPEND ||
           (node->op == TEGU_OP_KERNEL && tegu_kernel_appends(node));
}

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    numbering *n = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);
    tegu_value *inputs, value;
    tegu_text key = {.arena = n->scratch};
    uint64_t *known;

    if (appends(node))
        return tegu_rewriter_copy(rw, v);
    inputs = TEGU_ARRAY(n->scratch, tegu_value, node->input_count + 1);
    for (uint32_t i = 0; i < node->input_count; i++)
        inputs[i] = rw->map[node->inputs[i]];
    add_node(&key, node);
    add_inputs(&key, node->op, inputs, node->input_count);
    if (node->op == TEGU_OP_KERNEL)
        add_body(&key, node->body);
    known = tegu_map_find(n->values, key.data, key.count);
    if (known) {
        n->changed = true;
        return (tegu_value)*known;
    }
    value = tegu_rewriter_copy(rw, v);
    tegu_map_set(n->values, key.data, key.count, value);
    return value;
}

static tegu_graph *share(tegu_graph *graph, tegu_pass_env *env)
{
    numbering n = {.values = tegu_map_create(env->scratch),
                   .scratch = env->scratch};
    tegu_graph *result = tegu_graph_rewrite(graph, graph->level, visit, &n);

    return !result || n.changed ? result : graph;
}

tegu_outcome tegu_pass_cse(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, share);
}
