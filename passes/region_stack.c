/* SPDX-License-Identifier: Apache-2.0 */
/* region_stack.c - contractions as readers and writers of hidden layers.
 *
 * Takes contractions of values by constants.  A stack of experts' weights has
 * an axis that pairs with one of the value it reads, summed over or run along,
 * or a gather takes the weights of the expert that each row chose.  Of what an
 * expert reads, times the gate behind its reader, every row is one sample of
 * its inputs; rows that chose another count as 0.  Adds nodes for that to the
 * graph; they are nobody's until a calibration asks for them.
 */
#include "passes/contract.h"
#include "passes/region.h"

static const tegu_type *type_of(const tegu_graph *g, const tegu_node *node,
                                uint32_t operand)
{
    return tegu_graph_type(g, node->inputs[operand]);
}

static bool is_gathered(const tegu_graph *g, const bool *constant, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);

    return node->op == TEGU_OP_GATHER && constant[node->inputs[0]];
}

/* --- readers --- */

bool tegu_stack_reads(const tegu_graph *g, const bool *constant, tegu_value v,
                      bool (*is_axis)(const void *data, const tegu_dim *dim),
                      const void *data)
{
    const tegu_node *node = tegu_graph_node(g, v);
    bool summed;

    for (uint32_t o = 0; node->op == TEGU_OP_CONTRACT && o < 2; o++) {
        tegu_value weight = node->inputs[1 - o];
        const tegu_type *type = type_of(g, node, o);
        if (constant[node->inputs[o]] ||
            !(constant[weight] || is_gathered(g, constant, weight)))
            continue;
        for (uint32_t k = 0; k < type->rank; k++)
            if (tegu_contract_partner(node, o, k, &summed) >= 0 && summed &&
                is_axis(data, &type->dims[k]))
                return true;
    }
    return false;
}

/* Axis k of a weight as one of the constant: of a gathered one, -1 for the
 * axes that count rows. */
static int constant_axis(const tegu_graph *g, tegu_value rows, int k)
{
    int counted = rows ? (int)tegu_graph_type(g, rows)->rank : 0;

    if (!rows || k < 0)
        return k;
    return k < counted ? -1 : k - counted + 1;
}

/* The pairs of axes beside the last one of the input. */
static const char *find_experts(const tegu_node *node, uint32_t input,
                                tegu_region *r)
{
    const tegu_type *type = type_of(r->graph, node, input);
    bool summed;

    for (uint32_t k = 0; k + 1 < type->rank; k++) {
        int at = tegu_contract_partner(node, input, k, &summed);
        if (r->rows && (at != (int)k || summed))
            return "does not run along the rows that chose experts in their "
                   "order";
        if (at < 0 || r->rows)
            continue;
        if (r->input_experts >= 0)
            return "pairs its weight with more axes than one of experts";
        r->input_experts = (int)k;
        r->axes.experts = at;
    }
    if (r->rows)
        r->axes.experts = 0;
    if (r->axes.experts >= 0)
        r->experts =
            tegu_graph_type(r->graph, r->map)->dims[r->axes.experts].offset;
    return NULL;
}

const char *tegu_stack_open(tegu_graph *g, const bool *constant, tegu_value v,
                            tegu_region *region)
{
    const tegu_node *node = tegu_graph_node(g, v);
    uint32_t input =
        constant[node->inputs[0]] || is_gathered(g, constant, node->inputs[0]);
    const tegu_type *type = type_of(g, node, input);
    bool summed;
    int width = tegu_contract_partner(node, input, type->rank - 1, &summed);

    *region = (tegu_region){.graph = g,
                            .reader = v,
                            .input = node->inputs[input],
                            .map = node->inputs[1 - input],
                            .axes = {0, -1},
                            .width = type->dims[type->rank - 1].offset,
                            .experts = 1,
                            .input_experts = -1,
                            .loc = node->loc};
    if (!constant[region->map]) {
        const tegu_node *gather = tegu_graph_node(g, region->map);
        region->map = gather->inputs[0];
        region->rows = gather->inputs[1];
    }
    width = summed ? constant_axis(g, region->rows, width) : -1;
    if (width < 0)
        return "sums over it where it is not the last axis of what it reads";
    region->axes.width = (uint32_t)width;
    return find_experts(node, input, region);
}

/* --- writers --- */

/* Of a constant that the gather `from` takes rows of; k: the axis of what it
 * takes. */
static const char *written_by_choice(const tegu_region *region,
                                     const tegu_node *from, int k,
                                     tegu_value *weight, tegu_region_axes *axes)
{
    if (from->inputs[1] != region->rows)
        return "takes the weights of other experts than its reader does";
    k = constant_axis(region->graph, region->rows, k);
    *weight = from->inputs[0];
    *axes = (tegu_region_axes){(uint32_t)k, 0};
    return k < 0 ? "writes it by a computed weight" : NULL;
}

const char *tegu_stack_written(const tegu_region *region, const bool *constant,
                               tegu_value v, int experts, tegu_value *weight,
                               tegu_region_axes *axes)
{
    const tegu_graph *g = region->graph;
    const tegu_node *node = tegu_graph_node(g, v);
    uint32_t place = node->type->rank - 1, o;
    int last[2], own[2] = {-1, -1};

    if (node->op == TEGU_OP_GATHER)
        return written_by_choice(region, node, (int)place, weight, axes);
    tegu_contract_source(g, node, place, last);
    o = last[1] >= 0;
    if (experts >= 0)
        tegu_contract_source(g, node, (uint32_t)experts, own);
    *weight = node->inputs[o];
    if (last[0] >= 0 && last[1] >= 0)
        return "writes it by a computed weight";
    if (is_gathered(g, constant, *weight))
        return written_by_choice(region, tegu_graph_node(g, *weight), last[o],
                                 weight, axes);
    *axes = (tegu_region_axes){(uint32_t)last[o], own[o]};
    return constant[*weight] ? NULL : "writes it by a computed weight";
}

/* --- gates --- */

/* y times g, whose shape is y's but for a last dimension of 1. */
static bool scales(const tegu_type *y, const tegu_type *g)
{
    if (g->rank != y->rank || !tegu_dim_is_one(g->dims[g->rank - 1]))
        return false;
    for (uint32_t k = 0; k + 1 < y->rank; k++)
        if (!tegu_dim_equal(y->dims[k], g->dims[k]))
            return false;
    return true;
}

/* The place of the experts in what the reader makes; -1: summed over. */
static int result_experts(const tegu_region *r)
{
    const tegu_node *node = tegu_graph_node(r->graph, r->reader);

    for (uint32_t k = 0; r->input_experts >= 0 && k < node->type->rank; k++) {
        int axes[2];
        tegu_contract_source(r->graph, node, k, axes);
        if (axes[node->inputs[1] == r->input] == r->input_experts)
            return (int)k;
    }
    return -1;
}

/* sum over experts e of y[.., e, ..] g[.., e]: a contraction with the gate. */
static void find_mixing(tegu_region *r, const tegu_node *user, int at)
{
    uint32_t o = user->inputs[1] == r->reader;
    const tegu_type *y = tegu_graph_type(r->graph, r->reader);
    const tegu_type *g = tegu_graph_type(r->graph, user->inputs[1 - o]);
    bool summed, along;
    int experts, rows;

    if (at < 0 || y->rank != 3 || g->rank != 2)
        return;
    experts = tegu_contract_partner(user, o, (uint32_t)at, &summed);
    rows = tegu_contract_partner(user, o, at == 0 ? 1 : 0, &along);
    if (experts < 0 || !summed || rows < 0 || along)
        return;
    r->gate = user->inputs[1 - o];
    r->gate_experts = experts;
}

void tegu_stack_gate(tegu_region *r, tegu_value user)
{
    const tegu_node *node = tegu_graph_node(r->graph, user);
    const tegu_type *y = tegu_graph_type(r->graph, r->reader);
    int at = result_experts(r);

    if (r->bias || (r->experts > 1 && !r->rows && at < 0))
        return;
    if (user && node->op == TEGU_OP_CONTRACT)
        find_mixing(r, node, at);
    if (!user || node->op != TEGU_OP_MUL)
        return;
    tegu_value by = node->inputs[node->inputs[0] == r->reader];
    if (by == r->reader || !scales(y, tegu_graph_type(r->graph, by)))
        return;
    r->gate = by;
    r->gate_experts = at;
}

/* --- samples --- */

/* v at one index of an axis, which goes; v itself without axis. */
static tegu_value take(const tegu_region *r, tegu_value v, int axis,
                       int64_t index)
{
    tegu_type type = *tegu_graph_type(r->graph, v);
    int64_t start[TEGU_MAX_RANK] = {0}, step[TEGU_MAX_RANK];

    if (axis < 0)
        return v;
    for (uint32_t k = 0; k < type.rank; k++)
        step[k] = 1;
    start[axis] = index;
    type.dims[axis] = tegu_dim_static(1);
    tegu_attr attrs[] = {tegu_attr_of_ints(r->graph->unit, TEGU_OP_SLICE,
                                           "start", start, type.rank),
                         tegu_attr_of_ints(r->graph->unit, TEGU_OP_SLICE,
                                           "step", step, type.rank)};
    v = tegu_build(r->graph, r->loc, TEGU_OP_SLICE, 1, &v, 2, attrs,
                   tegu_unit_type(r->graph->unit, &type));
    for (uint32_t k = (uint32_t)axis; k + 1 < type.rank; k++)
        type.dims[k] = type.dims[k + 1];
    type.rank--;
    return tegu_build_reshape(r->graph, r->loc, v,
                              tegu_unit_type(r->graph->unit, &type));
}

/* x in the rows that chose the expert, 0 in others. */
static tegu_value mask(const tegu_region *r, tegu_value x, int64_t expert)
{
    tegu_graph *g = r->graph;
    tegu_type type = *tegu_graph_type(g, x);
    tegu_value wanted = tegu_build_scalar(
        g, r->loc, tegu_graph_type(g, r->rows)->dtype, (double)expert);
    tegu_value inputs[3] = {
        tegu_build_binary(g, r->loc, TEGU_OP_EQ, r->rows, wanted), x,
        tegu_build_scalar(g, r->loc, TEGU_F32, 0)};

    type.dtype = TEGU_BOOL;
    type.dims[type.rank - 1] = tegu_dim_static(1);
    inputs[0] = tegu_build_reshape(g, r->loc, inputs[0],
                                   tegu_unit_type(g->unit, &type));
    return tegu_build(g, r->loc, TEGU_OP_SELECT, 3, inputs, 0, NULL, NULL);
}

tegu_value tegu_stack_input(const tegu_region *r, int64_t expert)
{
    tegu_value x = r->rows ? mask(r, r->input, expert)
                           : take(r, r->input, r->input_experts, expert);
    tegu_type type = *tegu_graph_type(r->graph, x);
    tegu_value by;

    if (!r->gate)
        return x;
    by = take(r, r->gate, r->gate_experts, expert);
    type.dims[type.rank - 1] = tegu_dim_static(1);
    by = tegu_build_reshape(r->graph, r->loc, by,
                            tegu_unit_type(r->graph->unit, &type));
    return tegu_build_binary(r->graph, r->loc, TEGU_OP_MUL, x, by);
}
