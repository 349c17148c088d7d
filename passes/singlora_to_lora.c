/* SPDX-License-Identifier: Apache-2.0 */
/* singlora_to_lora.c - write singlora as lora, exactly.
 *
 * singlora(w, A){s} = w + s A[:out] A[:in]^T is lora with b = A[:out] and
 * a = A[:in]^T, so that what knows LoRA alone can take it (arXiv 2507.05566,
 * section 4.4, in the orientation of a weight [out, in]).
 */
#include "passes/adapted.h"

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(rw->from, v);
    tegu_graph *g = rw->into;
    bool *changed = rw->data;
    const int64_t perm[] = {1, 0};

    if (node->op != TEGU_OP_SINGLORA)
        return tegu_rewriter_copy(rw, v);
    tegu_value matrix = rw->map[node->inputs[1]];
    tegu_value a =
        tegu_adapted_prefix(g, node->loc, matrix, node->type->dims[1].offset);
    tegu_value b =
        tegu_adapted_prefix(g, node->loc, matrix, node->type->dims[0].offset);
    tegu_attr turn =
        tegu_attr_of_ints(g->unit, TEGU_OP_TRANSPOSE, "perm", perm, 2);
    tegu_attr scale = tegu_attr_of_float(TEGU_OP_LORA, "scale",
                                         tegu_node_float(node, "scale"));
    a = tegu_build(g, node->loc, TEGU_OP_TRANSPOSE, 1, &a, 1, &turn, NULL);
    tegu_value inputs[] = {rw->map[node->inputs[0]], a, b};
    *changed = true;
    return tegu_build(g, node->loc, TEGU_OP_LORA, 3, inputs, 1, &scale, NULL);
}

static tegu_graph *convert(tegu_graph *graph, tegu_pass_env *env)
{
    bool changed = false;
    tegu_graph *g = tegu_graph_rewrite(graph, graph->level, visit, &changed);

    (void)env;
    return !g || changed ? g : graph;
}

tegu_outcome tegu_pass_singlora_to_lora(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, convert);
}
