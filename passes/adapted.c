/* SPDX-License-Identifier: Apache-2.0 */
/* adapted.c - questions about adapted weights that several passes ask. */
#include "passes/adapted.h"

bool tegu_node_is_adapted(const tegu_node *node)
{
    return node->op == TEGU_OP_LORA || node->op == TEGU_OP_SINGLORA ||
           node->op == TEGU_OP_DORA;
}

tegu_value tegu_adapted_base(const tegu_graph *g, tegu_value v)
{
    while (tegu_node_is_adapted(tegu_graph_node(g, v)))
        v = tegu_graph_node(g, v)->inputs[0];
    return v;
}

int64_t tegu_adapted_rank(const tegu_graph *g, const tegu_node *node)
{
    const tegu_type *type = tegu_graph_type(g, node->inputs[1]);

    return type->dims[node->op == TEGU_OP_SINGLORA].offset;
}

tegu_value tegu_adapted_prefix(tegu_graph *g, tegu_loc loc, tegu_value a,
                               int64_t rows)
{
    tegu_type type = *tegu_graph_type(g, a);
    const int64_t start[] = {0, 0}, step[] = {1, 1};

    if (type.dims[0].offset == rows)
        return a;
    type.dims[0] = tegu_dim_static(rows);
    tegu_attr attrs[] = {
        tegu_attr_of_ints(g->unit, TEGU_OP_SLICE, "start", start, 2),
        tegu_attr_of_ints(g->unit, TEGU_OP_SLICE, "step", step, 2)};
    return tegu_build(g, loc, TEGU_OP_SLICE, 1, &a, 2, attrs,
                      tegu_unit_type(g->unit, &type));
}

tegu_value tegu_adapted_param(tegu_graph *g, tegu_loc loc, const char *name,
                              uint32_t owner, const tegu_type *type,
                              const float *data)
{
    tegu_param param = {.name = name,
                        .type = type,
                        .loc = loc,
                        .source = TEGU_SOURCE_DATA,
                        .stored = TEGU_F32,
                        .data = data,
                        .adapter = owner};
    uint32_t index;

    if (!tegu_unit_add_param(g->unit, &param, &index))
        return 0;
    return tegu_build_param(g, loc, name);
}

tegu_value tegu_adapted_scale(tegu_graph *g, tegu_loc loc, uint32_t owner)
{
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_ADAPTER_SCALE, "name",
                                       g->unit->adapters.data[owner].name);

    return tegu_build(g, loc, TEGU_OP_ADAPTER_SCALE, 0, NULL, 1, &attr, NULL);
}
