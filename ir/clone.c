/* SPDX-License-Identifier: Apache-2.0 */
/* clone.c - a second unit over the same model.
 *
 * Takes a unit; produces one in another arena with axes, types, parameters,
 * states and entries of its own.  What a graph never changes is shared with
 * the original: names, attributes, input lists, literals, the weights' bytes.
 * Nodes keep their numbers, so that values of the original name the same
 * values of the copy.
 */
#include "ir/ir.h"

#include <string.h>

static tegu_graph *clone_graph(tegu_unit *into, const tegu_graph *from);

static tegu_node clone_node(tegu_unit *into, const tegu_node *node)
{
    tegu_node copy = *node;
    copy.type = tegu_unit_type(into, node->type);
    if (node->body)
        copy.body = clone_graph(into, node->body);
    return copy;
}

static tegu_graph *clone_graph(tegu_unit *into, const tegu_graph *from)
{
    tegu_graph *g = tegu_graph_create(into, from->level);
    for (tegu_value v = 1; v < from->nodes.count; v++) {
        tegu_node node = clone_node(into, tegu_graph_node(from, v));
        tegu_vec_push(into->arena, &g->nodes, node);
    }
    for (uint32_t i = 0; i < from->results.count; i++)
        tegu_vec_push(into->arena, &g->results, from->results.data[i]);
    for (uint32_t i = 0; i < from->updates.count; i++)
        tegu_vec_push(into->arena, &g->updates, from->updates.data[i]);
    return g;
}

static void clone_entry(tegu_unit *into, const tegu_entry *from)
{
    tegu_entry entry = {.name = from->name, .loc = from->loc};
    for (uint32_t i = 0; i < from->arguments.count; i++) {
        tegu_argument argument = from->arguments.data[i];
        argument.type = tegu_unit_type(into, argument.type);
        tegu_vec_push(into->arena, &entry.arguments, argument);
    }
    entry.graph = clone_graph(into, from->graph);
    tegu_vec_push(into->arena, &into->entries, entry);
}

static void clone_tables(tegu_unit *into, const tegu_unit *from)
{
    for (uint32_t i = 0; i < from->axes.count; i++)
        tegu_vec_push(into->arena, &into->axes, from->axes.data[i]);
    for (uint32_t i = 0; i < from->params.count; i++) {
        tegu_param param = from->params.data[i];
        param.type = tegu_unit_type(into, param.type);
        tegu_map_set(into->param_index, param.name, strlen(param.name), i);
        tegu_vec_push(into->arena, &into->params, param);
    }
    for (uint32_t i = 0; i < from->adapters.count; i++)
        tegu_vec_push(into->arena, &into->adapters, from->adapters.data[i]);
    for (uint32_t i = 0; i < from->states.count; i++) {
        tegu_state state = from->states.data[i];
        state.type = tegu_unit_type(into, state.type);
        tegu_vec_push(into->arena, &into->states, state);
    }
}

tegu_unit *tegu_unit_clone(const tegu_unit *unit, tegu_arena *arena)
{
    tegu_unit *copy = TEGU_NEW(arena, tegu_unit);
    copy->arena = arena;
    copy->diag = unit->diag;
    copy->names = unit->names;
    copy->name = unit->name;
    copy->types = tegu_map_create(arena);
    copy->param_index = tegu_map_create(arena);
    copy->expander = unit->expander;
    copy->tokenizer = unit->tokenizer;
    copy->source = unit->source;
    clone_tables(copy, unit);
    for (uint32_t i = 0; i < unit->entries.count; i++)
        clone_entry(copy, &unit->entries.data[i]);
    return copy;
}
