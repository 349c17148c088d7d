/* SPDX-License-Identifier: Apache-2.0 */
/* axis.c - where a named axis runs through a graph.
 *
 * Takes a model-level graph and an axis; produces roles and sites (axis.h),
 * or a located refusal.  Values that pass the axis on to one another form a
 * component.  A component in which some op forbids a change of basis is left
 * in its own basis when nothing ties it to the stream (queries of a square
 * projection, which are split into heads), and refused when it holds a norm,
 * a table, state or a residual sum.  Changes nothing.
 */
#include "passes/axis.h"

#include <string.h>

typedef struct analysis {
    tegu_axis_flow *flow;
    const tegu_graph *g;
    uint32_t *parent;    /* union-find over values */
    tegu_value *blocker; /* per root: the first op that forbids; 0: none */
    bool *anchored;      /* per root: part of a stream */
} analysis;

/* --- components --- */

static uint32_t root_of(const analysis *a, tegu_value v)
{
    while (a->parent[v] != v)
        v = a->parent[v] = a->parent[a->parent[v]];
    return v;
}

static void join(analysis *a, tegu_value x, tegu_value y)
{
    uint32_t p = root_of(a, x), q = root_of(a, y);
    if (p == q)
        return;
    if (!a->blocker[p] || (a->blocker[q] && a->blocker[q] < a->blocker[p]))
        a->blocker[p] = a->blocker[q];
    a->anchored[p] |= a->anchored[q];
    a->parent[q] = p;
}

static void block(analysis *a, tegu_value v, tegu_value by)
{
    uint32_t root = root_of(a, v);
    if (!a->blocker[root])
        a->blocker[root] = by;
}

static void anchor(analysis *a, tegu_value v)
{
    a->anchored[root_of(a, v)] = true;
}

/* --- questions --- */

static bool carries(const analysis *a, tegu_value v)
{
    return a->flow->carried[v];
}

static bool last_is(const tegu_type *type, int64_t extent)
{
    const tegu_dim *last = &type->dims[type->rank ? type->rank - 1 : 0];
    return type->rank && tegu_dim_is_static(*last) && last->offset == extent;
}

static bool type_carries(const tegu_axis_flow *f, const tegu_type *type)
{
    const tegu_dim *last = &type->dims[type->rank ? type->rank - 1 : 0];
    return type->dtype == TEGU_F32 && last_is(type, f->extent) &&
           last->axes[0] == f->axis && !last->axes[1];
}

bool tegu_axis_is_row_factor(const tegu_type *type)
{
    return type->rank == 0 || tegu_dim_is_one(type->dims[type->rank - 1]);
}

static bool is_vector(const tegu_type *type, int64_t extent)
{
    for (uint32_t i = 0; i + 1 < type->rank; i++)
        if (!tegu_dim_is_one(type->dims[i]))
            return false;
    return last_is(type, extent);
}

static bool is_elementwise(tegu_op op)
{
    const tegu_op_info *info = tegu_op_get(op);
    return info->kind == TEGU_KIND_MAP ||
           (info->kind == TEGU_KIND_COMPOSITE &&
            (!strcmp(info->infer, "MAP") || !strcmp(info->infer, "BROADCAST")));
}

/* --- roles: which operands a node takes the axis from --- */

/* Operand i is the axis' own, or a constant along it. */
static bool sums_with(const analysis *a, tegu_value v)
{
    return carries(a, v) ||
           (a->flow->constant[v] &&
            last_is(tegu_graph_type(a->g, v), a->flow->extent));
}

static bool scales(const analysis *a, const tegu_node *node)
{
    const tegu_axis_flow *f = a->flow;
    uint32_t x = !carries(a, node->inputs[0]);
    tegu_value by = node->inputs[1 - x];
    const tegu_type *type = tegu_graph_type(a->g, by);
    if (x && node->op == TEGU_OP_DIV)
        return false;
    return carries(a, node->inputs[x]) && !carries(a, by) &&
           (tegu_axis_is_row_factor(type) ||
            (f->constant[by] && is_vector(type, f->extent)));
}

static bool keeps_last(const analysis *a, const tegu_node *node)
{
    const tegu_type *from = tegu_graph_type(a->g, node->inputs[0]);
    const tegu_attr *list = node->attrs;
    uint32_t last = from->rank - 1;
    switch ((int)node->op) {
    case TEGU_OP_RESHAPE:
    case TEGU_OP_BROADCAST: return true; /* rows stay whole */
    case TEGU_OP_SLICE:
        return tegu_node_attr(node, "start")->as.ints.data[last] == 0 &&
               tegu_node_attr(node, "step")->as.ints.data[last] == 1;
    case TEGU_OP_TRANSPOSE: return list->as.ints.data[last] == (int64_t)last;
    case TEGU_OP_MEAN:
    case TEGU_OP_REDUCE_SUM:
        for (uint32_t i = 0; i < list->as.ints.count; i++)
            if (list->as.ints.data[i] == (int64_t)last)
                return false;
        return true;
    case TEGU_OP_GATHER: return from->rank > 1;
    default: return false;
    }
}

static bool joins_rows(const analysis *a, const tegu_node *node)
{
    uint32_t last = node->type->rank - 1;
    if (node->op == TEGU_OP_CONCAT && tegu_node_int(node, "axis") == last)
        return false;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (!sums_with(a, node->inputs[i]))
            return false;
    return true;
}

static bool reads_constants(const analysis *a, const tegu_node *node)
{
    for (uint32_t i = 1; i < node->input_count; i++)
        if (!a->flow->constant[node->inputs[i]])
            return false;
    return true;
}

static bool works_on_each(const analysis *a, const tegu_node *node)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_value v = node->inputs[i];
        if (!sums_with(a, v) &&
            !tegu_axis_is_row_factor(tegu_graph_type(a->g, v)))
            return false;
    }
    return is_elementwise(node->op);
}

static tegu_axis_role role_of_contract(const analysis *a, tegu_value v)
{
    tegu_axis_stack stack;
    uint32_t stream;
    if (tegu_axis_find_stack(a->flow, v, &stack))
        return TEGU_AXIS_LINEAR;
    return tegu_axis_mixes(a->flow, v, &stream) ? TEGU_AXIS_MOVE
                                                : TEGU_AXIS_NONE;
}

/* The role of a node whose result carries the axis; NONE: it forbids. */
static tegu_axis_role role_of_carrier(const analysis *a, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(a->g, v);
    const bool *constant = a->flow->constant;
    switch ((int)node->op) {
    case TEGU_OP_INPUT:
    case TEGU_OP_STATE:
    case TEGU_OP_APPEND: return TEGU_AXIS_FULL;
    case TEGU_OP_EMBED:
        return constant[node->inputs[1]] ? TEGU_AXIS_TABLE : TEGU_AXIS_NONE;
    case TEGU_OP_LINEAR:
        return reads_constants(a, node) ? TEGU_AXIS_LINEAR : TEGU_AXIS_NONE;
    case TEGU_OP_CONTRACT: return role_of_contract(a, v);
    case TEGU_OP_GATHER:
        if (constant[node->inputs[0]] &&
            tegu_graph_type(a->g, node->inputs[0])->rank > 1)
            return TEGU_AXIS_TABLE;
        break;
    case TEGU_OP_RMS_NORM:
    case TEGU_OP_LAYER_NORM:
        return reads_constants(a, node) && carries(a, node->inputs[0])
                   ? TEGU_AXIS_NORM
                   : TEGU_AXIS_NONE;
    case TEGU_OP_ADD:
    case TEGU_OP_SUB:
    case TEGU_OP_CONCAT:
        if (joins_rows(a, node))
            return TEGU_AXIS_SUM;
        break;
    case TEGU_OP_MUL:
    case TEGU_OP_DIV:
        if (scales(a, node))
            return TEGU_AXIS_SCALE;
        break;
    default: break;
    }
    if (node->input_count && carries(a, node->inputs[0]) && keeps_last(a, node))
        return TEGU_AXIS_MOVE;
    return a->flow->each && works_on_each(a, node) ? TEGU_AXIS_EACH
                                                   : TEGU_AXIS_NONE;
}

/* Node v, which does not carry the axis, may read it by these operands only. */
static bool may_read(const analysis *a, tegu_value v, uint32_t i)
{
    const tegu_node *node = tegu_graph_node(a->g, v);
    tegu_axis_stack stack;
    const tegu_type *type = tegu_graph_type(a->g, node->inputs[i]);
    if (node->op == TEGU_OP_LINEAR)
        return i == 0 && reads_constants(a, node);
    if (node->op == TEGU_OP_CONTRACT)
        return tegu_axis_find_stack(a->flow, v, &stack) && stack.operand != i;
    if (node->op == TEGU_OP_APPEND)
        return i == 1;
    return node->op == TEGU_OP_SIZE &&
           tegu_node_int(node, "axis") != (int64_t)type->rank - 1;
}

/* --- one walk: roles, components, blockers --- */

static void walk_carrier(analysis *a, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(a->g, v);
    tegu_axis_role role = role_of_carrier(a, v);
    uint32_t carried = 0;

    a->flow->role[v] = (uint8_t)role;
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_value in = node->inputs[i];
        if (!carries(a, in))
            continue;
        carried++;
        if (role == TEGU_AXIS_NONE)
            block(a, in, v);
        if (role > TEGU_AXIS_LINEAR || is_elementwise(node->op))
            join(a, v, in);
    }
    if (role == TEGU_AXIS_NONE)
        block(a, v, v);
    if (role == TEGU_AXIS_NORM || role == TEGU_AXIS_TABLE ||
        role == TEGU_AXIS_FULL || (role == TEGU_AXIS_SUM && carried > 1))
        anchor(a, v);
}

static tegu_axis_role role_of_reader(tegu_op op)
{
    if (op == TEGU_OP_LINEAR || op == TEGU_OP_CONTRACT)
        return TEGU_AXIS_LINEAR;
    return op == TEGU_OP_APPEND ? TEGU_AXIS_FULL : TEGU_AXIS_NONE;
}

static void walk(analysis *a)
{
    tegu_axis_flow *f = a->flow;
    for (tegu_value v = 1; v < a->g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(a->g, v);
        if (!f->uses[v])
            continue;
        if (f->carried[v]) {
            walk_carrier(a, v);
            continue;
        }
        for (uint32_t i = 0; i < node->input_count; i++) {
            if (!carries(a, node->inputs[i]))
                continue;
            f->role[v] = (uint8_t)role_of_reader(node->op);
            if (!may_read(a, v, i))
                block(a, node->inputs[i], v);
        }
    }
}

static bool refuse(const analysis *a, tegu_value by)
{
    const tegu_node *node = tegu_graph_node(a->g, by);
    const tegu_unit *unit = a->g->unit;
    const char *axis = unit->axes.data[a->flow->axis].name;
    const char *op = tegu_op_get(node->op)->text;
    if (is_elementwise(node->op))
        return tegu_error(
            unit->diag, node->loc, TEGU_E_UNSUPPORTED,
            "'%s' works on the elements of axis '%s' one by one, so no change "
            "of basis passes it; a selection does: "
            "prune-width{axis=%s,basis=shared}",
            op, axis, axis);
    return tegu_error(unit->diag, node->loc, TEGU_E_UNSUPPORTED,
                      "'%s' needs axis '%s' as it is, so its basis cannot "
                      "change; give what it works on an axis of another name",
                      op, axis);
}

/* Leaves loose blocked components alone; false: one was part of a stream. */
static bool settle(analysis *a, tegu_value *first)
{
    tegu_axis_flow *f = a->flow;
    for (tegu_value v = 1; v < a->g->nodes.count; v++) {
        uint32_t root = root_of(a, v);
        if (!f->carried[v] || !a->blocker[root])
            continue;
        if (a->anchored[root])
            return refuse(a, a->blocker[root]);
        if (!*first)
            *first = a->blocker[root];
    }
    for (tegu_value v = 1; v < a->g->nodes.count; v++)
        if (f->carried[v] && a->blocker[root_of(a, v)])
            f->carried[v] = false;
    return true;
}

/* What is left of a LINEAR or APPEND between loose components reads and
 * writes nothing of the axis. */
static void drop_idle_roles(tegu_axis_flow *f)
{
    for (tegu_value v = 1; v < f->graph->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(f->graph, v);
        bool any = f->carried[v];
        for (uint32_t i = 0; i < node->input_count; i++)
            any |= f->carried[node->inputs[i]];
        if (!any || !f->uses[v])
            f->role[v] = TEGU_AXIS_NONE;
    }
}

/* --- norms that centre --- */

/* The stream itself read by a linear, or a result: centring would show. */
static bool reads_raw(const tegu_axis_flow *f, const bool *raw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->graph, v);
    if (f->role[v] == TEGU_AXIS_LINEAR || f->role[v] == TEGU_AXIS_FULL ||
        f->role[v] == TEGU_AXIS_EACH)
        for (uint32_t i = 0; i < node->input_count; i++)
            if (raw[node->inputs[i]])
                return true;
    return node->op == TEGU_OP_RMS_NORM && raw[node->inputs[0]];
}

static bool refuse_centring(const tegu_axis_flow *f, tegu_loc loc,
                            const char *op)
{
    const tegu_unit *unit = f->graph->unit;
    return tegu_error(unit->diag, loc, TEGU_E_UNSUPPORTED,
                      "%s reads axis '%s' with its mean, which layer_norm "
                      "elsewhere on the axis takes away; put a layer_norm "
                      "before it",
                      op, unit->axes.data[f->axis].name);
}

static bool check_centring(tegu_axis_flow *f)
{
    const tegu_graph *g = f->graph;
    bool *raw = TEGU_ARRAY(f->arena, bool, g->nodes.count);
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        raw[v] = f->carried[v] && f->role[v] != TEGU_AXIS_NORM;
        if (f->role[v] == TEGU_AXIS_MOVE || f->role[v] == TEGU_AXIS_SCALE)
            raw[v] = raw[node->inputs[0]] ||
                     (node->input_count > 1 && raw[node->inputs[1]]);
        f->centred |= f->carried[v] && node->op == TEGU_OP_LAYER_NORM;
    }
    if (!f->centred)
        return true;
    for (tegu_value v = 1; v < g->nodes.count; v++)
        if (f->uses[v] && reads_raw(f, raw, v))
            return refuse_centring(
                f, tegu_graph_node(g, v)->loc,
                tegu_format(f->arena, "'%s'",
                            tegu_op_get(tegu_graph_node(g, v)->op)->text));
    for (uint32_t i = 0; i < g->results.count; i++)
        if (raw[g->results.data[i].value])
            return refuse_centring(
                f, tegu_graph_node(g, g->results.data[i].value)->loc,
                tegu_format(f->arena, "result '%s'", g->results.data[i].name));
    return true;
}

/* --- sites --- */

/* What passes any basis on to its one result. */
static bool passes(const tegu_axis_flow *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->graph, v);
    if (f->role[v] == TEGU_AXIS_SCALE)
        for (uint32_t i = 0; i < node->input_count; i++)
            if (!f->carried[node->inputs[i]] &&
                !tegu_axis_is_row_factor(
                    tegu_graph_type(f->graph, node->inputs[i])))
                return false;
    return f->role[v] == TEGU_AXIS_SUM || f->role[v] == TEGU_AXIS_SCALE ||
           f->role[v] == TEGU_AXIS_MOVE;
}

/* Per value: it is made of nothing but what is written for it alone, so that
 * it can be written in whatever basis its user has. */
static bool *find_written(const tegu_axis_flow *f)
{
    const tegu_graph *g = f->graph;
    bool *written = TEGU_ARRAY(f->arena, bool, g->nodes.count);
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        written[v] = f->role[v] == TEGU_AXIS_TABLE ||
                     f->role[v] == TEGU_AXIS_LINEAR || passes(f, v);
        for (uint32_t i = 0; passes(f, v) && i < node->input_count; i++) {
            tegu_value in = node->inputs[i];
            written[v] &= !f->carried[in] || (written[in] && f->uses[in] == 1);
        }
    }
    return written;
}

/* The sum that takes v, which is written for it, maybe by way of scales and
 * movement; 0: none. */
static tegu_value absorbing_sum(const tegu_axis_flow *f, const bool *written,
                                const tegu_value *user, tegu_value v)
{
    while (written[v] && f->uses[v] == 1 && user[v] && f->carried[user[v]]) {
        v = user[v];
        if (f->role[v] == TEGU_AXIS_SUM)
            return v;
        if (!passes(f, v))
            return 0;
    }
    return 0;
}

static void add_site(tegu_axis_flow *f, tegu_value v)
{
    f->site[v] = f->sites.count;
    tegu_vec_push(f->arena, &f->sites, (tegu_axis_site){.value = v});
}

static void place_sites(tegu_axis_flow *f, tegu_value *user)
{
    const tegu_graph *g = f->graph;
    const bool *written = find_written(f);
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        for (uint32_t i = 0; f->uses[v] && i < node->input_count; i++)
            user[node->inputs[i]] = v;
    }
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        tegu_value in = node->input_count ? node->inputs[0] : 0;
        if (!f->carried[v] || f->role[v] == TEGU_AXIS_FULL || !f->uses[v] ||
            absorbing_sum(f, written, user, v))
            continue;
        if (f->role[v] <= TEGU_AXIS_SUM || f->role[v] == TEGU_AXIS_EACH)
            add_site(f, v);
        else
            f->site[v] = f->site[f->carried[in] ? in : node->inputs[1]];
    }
    for (tegu_value v = g->nodes.count; v-- > 1;)
        if (f->carried[v] && f->uses[v] && absorbing_sum(f, written, user, v))
            f->site[v] = f->site[absorbing_sum(f, written, user, v)];
}

/* --- names of sites: what writes there --- */

static const char *param_under(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);
    while (node->op != TEGU_OP_PARAM && node->input_count)
        node = tegu_graph_node(g, node->inputs[0]);
    return node->op == TEGU_OP_PARAM ? tegu_node_text(node, "name") : NULL;
}

static tegu_value weight_of(const tegu_axis_flow *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->graph, v);
    tegu_axis_stack stack;
    if (tegu_axis_find_stack(f, v, &stack))
        return stack.weight;
    return node->inputs[node->op == TEGU_OP_GATHER ? 0 : 1];
}

static void name_sites(tegu_axis_flow *f)
{
    const tegu_graph *g = f->graph;
    tegu_text *names = TEGU_ARRAY(f->arena, tegu_text, f->sites.count);
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (!f->carried[v] || !f->uses[v] ||
            (f->role[v] != TEGU_AXIS_TABLE && f->role[v] != TEGU_AXIS_LINEAR))
            continue;
        const char *name = param_under(g, weight_of(f, v));
        tegu_text *text = &names[f->site[v]];
        text->arena = f->arena;
        tegu_text_printf(text, "%s%s", text->count ? " + " : "",
                         name ? name : tegu_op_get(node->op)->text);
    }
    for (uint32_t s = 1; s < f->sites.count; s++) {
        const char *name = names[s].arena ? tegu_text_cstr(&names[s]) : "sum";
        uint32_t same = 0;
        for (uint32_t k = 1; k < s; k++)
            same += !strcmp(tegu_text_cstr(&names[k]), name);
        names[s].arena = f->arena;
        if (!names[s].count)
            tegu_text_printf(&names[s], "%s", name);
        f->sites.data[s].name =
            same ? tegu_format(f->arena, "%s (%u)", name, same + 1) : name;
    }
}

/* --- the analysis --- */

tegu_axis_kind tegu_axis_analyse(const tegu_graph *graph, tegu_arena *arena,
                                 tegu_axis_id axis, bool each,
                                 tegu_axis_flow *flow)
{
    uint32_t count = graph->nodes.count;
    analysis a = {.flow = flow,
                  .g = graph,
                  .parent = TEGU_ARRAY(arena, uint32_t, count),
                  .blocker = TEGU_ARRAY(arena, tegu_value, count),
                  .anchored = TEGU_ARRAY(arena, bool, count)};
    tegu_value first = 0;
    bool any = false;

    *flow = (tegu_axis_flow){.graph = graph,
                             .arena = arena,
                             .axis = axis,
                             .extent = graph->unit->axes.data[axis].hi,
                             .each = each,
                             .role = TEGU_ARRAY(arena, uint8_t, count),
                             .carried = TEGU_ARRAY(arena, bool, count),
                             .site = TEGU_ARRAY(arena, uint32_t, count),
                             .constant = tegu_graph_constant(graph, arena),
                             .uses = tegu_graph_uses(graph, arena)};
    tegu_vec_push(arena, &flow->sites, (tegu_axis_site){.name = "original"});
    for (tegu_value v = 1; v < count; v++) {
        a.parent[v] = v;
        flow->carried[v] = flow->uses[v] && !flow->constant[v] &&
                           type_carries(flow, tegu_graph_type(graph, v));
    }
    tegu_axis_set_weights_apart(flow);
    walk(&a);
    if (!settle(&a, &first))
        return TEGU_AXIS_REFUSED;
    for (tegu_value v = 1; v < count; v++)
        any |= flow->carried[v];
    if (!any && first) {
        if (is_elementwise(tegu_graph_node(graph, first)->op))
            return TEGU_AXIS_INTERMEDIATE;
        refuse(&a, first);
        return TEGU_AXIS_REFUSED;
    }
    drop_idle_roles(flow);
    if (!check_centring(flow))
        return TEGU_AXIS_REFUSED;
    place_sites(flow, TEGU_ARRAY(arena, tegu_value, count));
    name_sites(flow);
    return TEGU_AXIS_STREAM;
}
