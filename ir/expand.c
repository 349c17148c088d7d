/* SPDX-License-Identifier: Apache-2.0 */
/* expand.c - the definition of a composite op as a core graph.
 *
 * Takes a composite node; produces, once per (op, attributes, operand types),
 * a core graph over ARG leaves with one result.  What the op means comes from
 * the unit's expander (the prelude, which is written in the language); a
 * definition may use other composites, which are expanded in turn.
 */
#include "ir/ir.h"

#include <string.h>

/* Definitions within definitions; none of the prelude's goes beyond three. */
enum { MAX_DEPTH = 16 };

/* --- the cache's key: everything that the body depends on --- */

static void key_attr(tegu_text *key, const tegu_attr *attr)
{
    const char *text = attr->as.text;
    switch (attr->info->kind) {
    case TEGU_ATTR_TEXT: tegu_text_add(key, text, strlen(text) + 1); break;
    case TEGU_ATTR_INTS:
        tegu_text_add(key, (const char *)&attr->as.ints.count,
                      sizeof attr->as.ints.count);
        tegu_text_add(key, (const char *)attr->as.ints.data,
                      attr->as.ints.count * sizeof(int64_t));
        break;
    case TEGU_ATTR_INT:
        tegu_text_add(key, (const char *)&attr->as.i, sizeof attr->as.i);
        break;
    case TEGU_ATTR_FLOAT:
        tegu_text_add(key, (const char *)&attr->as.f, sizeof attr->as.f);
        break;
    case TEGU_ATTR_BOOL: tegu_text_add(key, attr->as.b ? "1" : "0", 1); break;
    case TEGU_ATTR_DTYPE:
        tegu_text_add(key, (const char *)&attr->as.dtype,
                      sizeof attr->as.dtype);
        break;
    }
}

static tegu_text key_of(const tegu_graph *g, const tegu_node *node)
{
    tegu_text key = {.arena = g->unit->arena};
    tegu_text_add(&key, (const char *)&node->op, sizeof node->op);
    for (uint32_t i = 0; i < tegu_op_get(node->op)->attr_count; i++)
        key_attr(&key, &node->attrs[i]);
    for (uint32_t i = 0; i < node->input_count; i++) {
        const tegu_type *type = tegu_graph_type(g, node->inputs[i]);
        tegu_text_add(&key, (const char *)&type, sizeof type);
    }
    return key;
}

/* --- expansion --- */

static tegu_value define(tegu_graph *into, const tegu_node *node,
                         const tegu_value *inputs)
{
    const tegu_expander *expander = &into->unit->expander;
    if (expander->expand)
        return expander->expand(expander->data, into, node, inputs);
    tegu_error(into->unit->diag, node->loc, TEGU_E_INTERNAL,
               "'%s' has no definition: the unit was made without a prelude",
               tegu_op_get(node->op)->text);
    return 0;
}

static tegu_value expand_visit(tegu_rewriter *rw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(rw->from, v);
    if (tegu_op_kind_of(node->op) != TEGU_KIND_COMPOSITE)
        return tegu_rewriter_copy(rw, v);
    tegu_value *inputs =
        TEGU_ARRAY(rw->into->unit->arena, tegu_value, node->input_count);
    for (uint32_t i = 0; i < node->input_count; i++)
        inputs[i] = rw->map[node->inputs[i]];
    return define(rw->into, node, inputs);
}

static bool has_composite(const tegu_graph *g)
{
    for (tegu_value v = 1; v < g->nodes.count; v++)
        if (tegu_op_kind_of(tegu_graph_node(g, v)->op) == TEGU_KIND_COMPOSITE)
            return true;
    return false;
}

/* The definition over ARG leaves; it may still hold composites. */
static tegu_graph *first_body(const tegu_graph *g, const tegu_node *node)
{
    tegu_graph *body = tegu_graph_create(g->unit, TEGU_LEVEL_CORE);
    tegu_value *inputs =
        TEGU_ARRAY(g->unit->arena, tegu_value, node->input_count);
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_attr index = tegu_attr_of_int(TEGU_OP_ARG, "index", i);
        inputs[i] = tegu_build(body, node->loc, TEGU_OP_ARG, 0, NULL, 1, &index,
                               tegu_graph_type(g, node->inputs[i]));
    }
    tegu_value result = define(body, node, inputs);
    if (!result)
        return NULL;
    if (!tegu_type_equal(tegu_graph_type(body, result), node->type)) {
        tegu_error(g->unit->diag, node->loc, TEGU_E_INTERNAL,
                   "the definition of '%s' gives %s, not %s",
                   tegu_op_get(node->op)->text,
                   tegu_type_string(g->unit, g->unit->arena,
                                    tegu_graph_type(body, result)),
                   tegu_type_string(g->unit, g->unit->arena, node->type));
        return NULL;
    }
    tegu_graph_add_result(body, "result", result);
    return body;
}

tegu_graph *tegu_composite_body(const tegu_graph *g, const tegu_node *node)
{
    tegu_unit *unit = g->unit;
    if (!unit->bodies)
        unit->bodies = tegu_map_create(unit->arena);
    tegu_text key = key_of(g, node);
    const uint64_t *found = tegu_map_find(unit->bodies, key.data, key.count);
    if (found)
        return (tegu_graph *)(uintptr_t)*found;
    tegu_graph *body = first_body(g, node);
    for (int depth = 0; body && has_composite(body); depth++) {
        if (depth == MAX_DEPTH) {
            tegu_error(unit->diag, node->loc, TEGU_E_INTERNAL,
                       "the definition of '%s' uses itself",
                       tegu_op_get(node->op)->text);
            return NULL;
        }
        body = tegu_graph_rewrite(body, TEGU_LEVEL_CORE, expand_visit, NULL);
    }
    if (body)
        tegu_map_set(unit->bodies, key.data, key.count,
                     (uint64_t)(uintptr_t)body);
    return body;
}
