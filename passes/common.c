/* SPDX-License-Identifier: Apache-2.0 */
/* common.c - what several passes need: running over a unit's entries, and
 * small questions about types and nodes.
 */
#include "passes/passes.h"

tegu_outcome tegu_pass_entries(tegu_unit *unit, tegu_pass_env *env,
                               tegu_graph_pass pass)
{
    uint32_t count = unit->entries.count;
    tegu_graph **graphs = TEGU_ARRAY(env->scratch, tegu_graph *, count);
    bool changed = false;

    for (uint32_t i = 0; i < count; i++) {
        tegu_mark mark = tegu_arena_mark(env->scratch);
        graphs[i] = pass(unit->entries.data[i].graph, env);
        tegu_arena_release(env->scratch, mark);
        if (!graphs[i])
            return TEGU_FAILED;
        changed |= graphs[i] != unit->entries.data[i].graph;
    }
    for (uint32_t i = 0; i < count; i++)
        unit->entries.data[i].graph = graphs[i];
    return changed ? TEGU_CHANGED : TEGU_UNCHANGED;
}

static uint32_t next_dim(const tegu_type *type, uint32_t i)
{
    while (i < type->rank && tegu_dim_is_one(type->dims[i]))
        i++;
    return i;
}

bool tegu_type_squeezes(const tegu_type *a, const tegu_type *b)
{
    uint32_t i = next_dim(a, 0), j = next_dim(b, 0);

    while (i < a->rank && j < b->rank) {
        if (!tegu_dim_equal(a->dims[i], b->dims[j]))
            return false;
        i = next_dim(a, i + 1);
        j = next_dim(b, j + 1);
    }
    return i >= a->rank && j >= b->rank;
}

bool tegu_node_is_scalar_const(const tegu_node *node)
{
    return node->op == TEGU_OP_CONST && tegu_type_elements(node->type) == 1;
}

bool tegu_kernel_appends(const tegu_node *kernel)
{
    const tegu_graph *body = kernel->body;

    return tegu_graph_node(body, body->results.data[0].value)->op ==
           TEGU_OP_APPEND;
}
