/* SPDX-License-Identifier: Apache-2.0 */
/* legalise.c - from model level to core level.
 *
 * Takes model graphs.  Replaces every composite op by its definition
 * (tegu_composite_body, from the prelude), inlined over its inputs, so that
 * only core ops are left.  With `native`, composites with the NATIVE trait
 * stay: codegen has a kernel family for each.  Other nodes are copied.
 */
#include "passes/passes.h"

typedef struct legaliser {
    tegu_graph *into;
    tegu_arena *scratch;
    bool native;
} legaliser;

static bool is_expanded(const legaliser *l, tegu_op op)
{
    return tegu_op_kind_of(op) == TEGU_KIND_COMPOSITE &&
           !(l->native && tegu_op_has(op, TEGU_NATIVE));
}

static tegu_value expand(const legaliser *l, const tegu_graph *from,
                         const tegu_node *node, const tegu_value *inputs);

/* A node of a definition over the values that stand for its inputs. */
static tegu_value inline_node(const legaliser *l, const tegu_graph *body,
                              const tegu_node *node, const tegu_value *map,
                              const tegu_value *arguments, tegu_loc loc)
{
    tegu_value *inputs;

    if (node->op == TEGU_OP_ARG)
        return arguments[tegu_node_int(node, "index")];
    inputs = TEGU_ARRAY(l->scratch, tegu_value, node->input_count + 1);
    for (uint32_t i = 0; i < node->input_count; i++)
        inputs[i] = map[node->inputs[i]];
    if (is_expanded(l, node->op))
        return expand(l, body, node, inputs);
    tegu_node_spec spec = tegu_node_spec_of(node, inputs);
    spec.name = NULL;
    spec.loc = loc;
    return tegu_graph_add(l->into, &spec);
}

/* Inlines the definition of `node` over `inputs`, values of l->into. */
static tegu_value expand(const legaliser *l, const tegu_graph *from,
                         const tegu_node *node, const tegu_value *inputs)
{
    const tegu_graph *body = tegu_composite_body(from, node);
    tegu_value *map;

    if (!body)
        return 0;
    map = TEGU_ARRAY(l->scratch, tegu_value, body->nodes.count);
    for (tegu_value v = 1; v < body->nodes.count; v++) {
        map[v] = inline_node(l, body, tegu_graph_node(body, v), map, inputs,
                             node->loc);
        if (!map[v])
            return 0;
    }
    return map[body->results.data[0].value];
}

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    legaliser *l = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);
    tegu_value *inputs;

    l->into = rw->into;
    if (!is_expanded(l, node->op))
        return tegu_rewriter_copy(rw, v);
    inputs = TEGU_ARRAY(l->scratch, tegu_value, node->input_count + 1);
    for (uint32_t i = 0; i < node->input_count; i++)
        inputs[i] = rw->map[node->inputs[i]];
    return expand(l, rw->from, node, inputs);
}

static tegu_graph *legalise_graph(tegu_graph *graph, tegu_pass_env *env)
{
    legaliser l = {.scratch = env->scratch,
                   .native = tegu_option_bool(env->options, "native")};

    return tegu_graph_rewrite(graph, TEGU_LEVEL_CORE, visit, &l);
}

tegu_outcome tegu_pass_legalise(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, legalise_graph);
}
