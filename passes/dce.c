/* SPDX-License-Identifier: Apache-2.0 */
/* dce.c - drop what no result or update needs.
 *
 * Takes graphs of any level.  Produces the same graphs without unreachable
 * nodes; order, names and types stay.  The model of a pass: a rewrite that
 * copies what is reachable.
 */
#include "passes/passes.h"

static tegu_graph *drop_dead(tegu_graph *graph, tegu_pass_env *env)
{
    uint32_t *uses = tegu_graph_uses(graph, env->scratch);

    for (tegu_value v = 1; v < graph->nodes.count; v++)
        if (!uses[v])
            return tegu_graph_rewrite(graph, graph->level, NULL, NULL);
    return graph;
}

tegu_outcome tegu_pass_dce(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, drop_dead);
}
