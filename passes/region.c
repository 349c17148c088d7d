/* SPDX-License-Identifier: Apache-2.0 */
/* region.c - finds hidden layers: axes between linears that only element-wise
 * ops pass.
 *
 * Takes graphs at model level.  From each linear, or contraction by a
 * constant, that reads a value on the axis it walks back through element-wise
 * ops (kind MAP, or composites whose type rule is one of theirs, so that a new
 * activation needs no change here) and transposes of other axes to those that
 * write the axis.  What stands on the way must have no
 * other reader; every other op on it forbids cutting the axis and is named.
 */
#include "passes/region.h"
#include "passes/adapted.h"

#include <ctype.h>
#include <string.h>

typedef struct finder {
    tegu_unit *unit;
    tegu_graph *g;
    const char *axis;
    tegu_arena *arena;
    const uint32_t *uses;
    const bool *constant;
    bool *inside; /* per value: in the region being found */
    int *experts; /* per value inside: its axis of experts; -1: none */
} finder;

/* --- axes --- */

/* "hidden" is meant by hidden and by hidden_482, which a pass made of it. */
static bool axis_is(const char *name, const char *wanted)
{
    size_t size = strlen(wanted);

    if (strncmp(name, wanted, size) != 0)
        return false;
    if (name[size] == '\0')
        return true;
    if (name[size] != '_' || !name[size + 1])
        return false;
    for (const char *c = name + size + 1; *c; c++)
        if (!isdigit((unsigned char)*c))
            return false;
    return true;
}

static bool dim_has(const void *data, const tegu_dim *dim)
{
    const finder *f = data;

    if (!tegu_dim_is_static(*dim))
        return false;
    for (uint32_t i = 0; i < TEGU_MAX_FACTORS && dim->axes[i]; i++)
        if (axis_is(f->unit->axes.data[dim->axes[i]].name, f->axis))
            return true;
    return false;
}

static const tegu_dim *last_dim(const finder *f, tegu_value v)
{
    const tegu_type *type = tegu_graph_type(f->g, v);

    return type->rank ? &type->dims[type->rank - 1] : NULL;
}

/* --- one region --- */

static bool is_elementwise(tegu_op op)
{
    const tegu_op_info *info = tegu_op_get(op);

    return info->kind == TEGU_KIND_MAP ||
           (info->kind == TEGU_KIND_COMPOSITE &&
            (!strcmp(info->infer, "MAP") || !strcmp(info->infer, "BROADCAST")));
}

/* The parameter under a weight and its adapters; NULL when it is none. */
static const char *param_of(const finder *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, tegu_adapted_base(f->g, v));

    return node->op == TEGU_OP_PARAM ? tegu_node_text(node, "name") : NULL;
}

static bool refuse(const finder *f, tegu_loc loc, const char *what,
                   const char *why)
{
    return tegu_error(f->unit->diag, loc, TEGU_E_UNSUPPORTED,
                      "axis '%s' cannot be cut: '%s' %s", f->axis, what, why);
}

static bool add_part(const finder *f, tegu_region *region, tegu_value v,
                     const tegu_node *reader, tegu_region_axes axes)
{
    tegu_region_part part = {param_of(f, v), v, axes};
    bool is_vector = axes.width + 1 == tegu_graph_type(f->g, v)->rank;

    if (!part.name || (is_vector && tegu_adapted_base(f->g, v) != v))
        return refuse(f, reader->loc, tegu_op_get(reader->op)->text,
                      "takes a constant that is not a parameter");
    tegu_vec_push(f->arena, &region->parts, part);
    return true;
}

static const char shared[] =
    "gives all experts the same elements, but each keeps others; give its "
    "constant an axis of experts";

static bool add_linear(const finder *f, tegu_region *region, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);
    const tegu_region_axes rows = {0, -1};

    if (!f->constant[node->inputs[1]])
        return refuse(f, node->loc, "linear", "has a computed weight");
    if (region->experts > 1)
        return refuse(f, node->loc, "linear", shared);
    return add_part(f, region, node->inputs[1], node, rows) &&
           (node->input_count < 3 ||
            add_part(f, region, node->inputs[2], node, rows));
}

/* A contraction, or rows gathered from a constant. */
static bool add_stack(const finder *f, tegu_region *region, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);
    tegu_region_axes axes;
    tegu_value weight;
    const char *why = tegu_stack_written(region, f->constant, v, f->experts[v],
                                         &weight, &axes);

    if (!why && region->experts > 1 && axes.experts < 0)
        why = shared;
    return why ? refuse(f, node->loc, tegu_op_get(node->op)->text, why)
               : add_part(f, region, weight, node, axes);
}

/* An input of an element-wise op of the region, whose axes align at the last
 * one. */
static bool add_input(const finder *f, tegu_region *region, tegu_value user,
                      tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, user);
    const tegu_type *type = tegu_graph_type(f->g, v);
    const tegu_dim *dim = last_dim(f, v);
    int experts = f->experts[user];

    if (!dim || tegu_dim_is_one(*dim))
        return true; /* the same for all elements of the axis */
    if (experts >= 0)
        experts += (int)type->rank - (int)node->type->rank;
    if (experts >= 0 && type->dims[experts].offset != region->experts)
        experts = -1;
    if (f->constant[v]) {
        tegu_region_axes axes = {type->rank - 1, experts};
        if (region->experts > 1 && experts < 0)
            return refuse(f, node->loc, tegu_op_get(node->op)->text, shared);
        return add_part(f, region, v, node, axes);
    }
    f->inside[v] = true;
    f->experts[v] = experts;
    return true;
}

/* A transpose that leaves the last axis where it is. */
static bool add_turned(const finder *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);
    const int64_t *perm = tegu_node_attr(node, "perm")->as.ints.data;
    uint32_t last = node->type->rank - 1;
    int experts = f->experts[v];

    if (perm[last] != (int64_t)last)
        return refuse(f, node->loc, "transpose",
                      "moves it from its last place");
    f->inside[node->inputs[0]] = true;
    f->experts[node->inputs[0]] = experts < 0 ? -1 : (int)perm[experts];
    return true;
}

static bool add_value(const finder *f, tegu_region *region, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);

    if (node->op == TEGU_OP_LINEAR)
        return add_linear(f, region, v);
    if (node->op == TEGU_OP_CONTRACT ||
        (node->op == TEGU_OP_GATHER && f->constant[node->inputs[0]]))
        return add_stack(f, region, v);
    if (node->op == TEGU_OP_TRANSPOSE)
        return add_turned(f, v);
    if (!is_elementwise(node->op))
        return refuse(f, node->loc, tegu_op_get(node->op)->text,
                      "is not element-wise, and only linears and "
                      "element-wise ops may stand on it");
    for (uint32_t i = 0; i < node->input_count; i++)
        if (!add_input(f, region, v, node->inputs[i]))
            return false;
    return true;
}

static bool is_writer(tegu_op op)
{
    return op == TEGU_OP_LINEAR || op == TEGU_OP_CONTRACT ||
           op == TEGU_OP_GATHER;
}

/* Every use of the region's values must be in it, or the reader's. */
static bool check_uses(const finder *f, const tegu_region *region)
{
    uint32_t *left = TEGU_ARRAY(f->arena, uint32_t, f->g->nodes.count);

    memcpy(left, f->uses, f->g->nodes.count * sizeof *left);
    for (tegu_value v = region->reader; v > 0; v--) {
        const tegu_node *node = tegu_graph_node(f->g, v);
        if (v == region->reader)
            left[region->input]--;
        else if (f->inside[v] && !is_writer(node->op))
            for (uint32_t i = 0; i < node->input_count; i++)
                left[node->inputs[i]]--;
    }
    for (tegu_value v = 1; v < region->reader; v++) {
        const tegu_node *node = tegu_graph_node(f->g, v);
        if (f->inside[v] && left[v])
            return refuse(f, node->loc, tegu_op_get(node->op)->text,
                          "has readers besides the one linear");
    }
    return true;
}

static bool open_linear(const finder *f, tegu_value reader, tegu_region *region)
{
    const tegu_node *node = tegu_graph_node(f->g, reader);

    *region = (tegu_region){.graph = f->g,
                            .reader = reader,
                            .input = node->inputs[0],
                            .map = node->inputs[1],
                            .axes = {1, -1},
                            .width = last_dim(f, node->inputs[0])->offset,
                            .experts = 1,
                            .input_experts = -1,
                            .loc = node->loc};
    if (node->input_count > 2) {
        region->bias = param_of(f, node->inputs[2]);
        if (!region->bias)
            return refuse(f, node->loc, "linear", "has a computed bias");
    }
    return true;
}

static bool open_region(const finder *f, tegu_value reader, tegu_region *region)
{
    const tegu_node *node = tegu_graph_node(f->g, reader);
    const char *text = tegu_op_get(node->op)->text, *why = NULL;

    if (node->op == TEGU_OP_CONTRACT)
        why = tegu_stack_open(f->g, f->constant, reader, region);
    else if (!open_linear(f, reader, region))
        return false;
    if (why)
        return refuse(f, node->loc, text, why);
    region->weight = param_of(f, region->map);
    return (region->weight && f->constant[region->map]) ||
           refuse(f, node->loc, text, "has a computed weight");
}

/* The one node that uses v; 0: none or several. */
static tegu_value only_user(const finder *f, tegu_value v)
{
    for (tegu_value u = v + 1; f->uses[v] == 1 && u < f->g->nodes.count; u++) {
        const tegu_node *node = tegu_graph_node(f->g, u);
        for (uint32_t i = 0; f->uses[u] && i < node->input_count; i++)
            if (node->inputs[i] == v)
                return u;
    }
    return 0;
}

static bool find_region(finder *f, tegu_value reader, tegu_regions *regions)
{
    tegu_region region;

    if (!open_region(f, reader, &region))
        return false;
    f->inside = TEGU_ARRAY(f->arena, bool, f->g->nodes.count);
    f->experts = TEGU_ARRAY(f->arena, int, f->g->nodes.count);
    f->inside[region.input] = true;
    f->experts[region.input] = region.input_experts;
    for (tegu_value v = region.input; v > 0; v--)
        if (f->inside[v] && !add_value(f, &region, v))
            return false;
    if (!check_uses(f, &region))
        return false;
    tegu_stack_gate(&region, only_user(f, reader));
    tegu_vec_push(f->arena, regions, region);
    return true;
}

static bool is_reader(const finder *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);

    if (!f->uses[v])
        return false;
    if (node->op == TEGU_OP_CONTRACT)
        return tegu_stack_reads(f->g, f->constant, v, dim_has, f);
    return node->op == TEGU_OP_LINEAR && !f->constant[node->inputs[0]] &&
           dim_has(f, last_dim(f, node->inputs[0]));
}

/* Finds the regions on the named axis, or on one that a pass made of it
 * (hidden_482), in entry `entry` (index): in order, empty when there are none.
 * False after reporting where an op forbids cutting the axis.  Memory from
 * `arena`. */
static bool find_in_entry(tegu_unit *unit, uint32_t entry, const char *axis,
                          tegu_arena *arena, tegu_regions *regions)
{
    finder f = {.unit = unit,
                .g = unit->entries.data[entry].graph,
                .axis = axis,
                .arena = arena};

    f.uses = tegu_graph_uses(f.g, arena);
    f.constant = tegu_graph_constant(f.g, arena);
    for (tegu_value v = 1; v < f.g->nodes.count; v++)
        if (is_reader(&f, v) && !find_region(&f, v, regions))
            return false;
    return true;
}

/* --- all entries --- */

const tegu_region *tegu_region_find(const tegu_regions *regions,
                                    const char *weight)
{
    for (uint32_t i = 0; i < regions->count; i++)
        if (regions->data[i].weight == weight)
            return &regions->data[i];
    return NULL;
}

static bool same_parts(const tegu_region *a, const tegu_region *b)
{
    if (a->parts.count != b->parts.count || a->bias != b->bias)
        return false;
    for (uint32_t i = 0; i < a->parts.count; i++)
        if (a->parts.data[i].name != b->parts.data[i].name ||
            a->parts.data[i].axes.width != b->parts.data[i].axes.width ||
            a->parts.data[i].axes.experts != b->parts.data[i].axes.experts)
            return false;
    return true;
}

/* How often the entry reads the parameter `name`, adapters aside. */
static uint32_t count_readers(finder *f, const char *name)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < f->g->results.count; i++)
        count += param_of(f, f->g->results.data[i].value) == name;
    for (tegu_value v = 1; v < f->g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(f->g, v);
        if (!f->uses[v] || tegu_node_is_adapted(node))
            continue;
        for (uint32_t i = 0; i < node->input_count; i++)
            count += param_of(f, node->inputs[i]) == name;
    }
    return count;
}

static bool check_shared(finder *f, const tegu_region *region, bool here,
                         const char *name)
{
    if (!name || count_readers(f, name) == (here ? 1u : 0u))
        return true;
    return tegu_error(f->unit->diag, region->loc, TEGU_E_UNSUPPORTED,
                      "axis '%s' cannot be cut: parameter '%s' is also used "
                      "elsewhere",
                      f->axis, name);
}

/* A region's parameters must serve it alone, once per entry. */
static bool check_entry(tegu_unit *unit, uint32_t entry, const char *axis,
                        tegu_arena *arena, const tegu_regions *here,
                        const tegu_regions *all)
{
    finder f = {.unit = unit,
                .g = unit->entries.data[entry].graph,
                .axis = axis,
                .arena = arena};

    f.uses = tegu_graph_uses(f.g, arena);
    for (uint32_t i = 0; i < all->count; i++) {
        const tegu_region *region = &all->data[i];
        const tegu_region *mine = tegu_region_find(here, region->weight);
        if (mine && !same_parts(mine, region))
            return tegu_error(unit->diag, mine->loc, TEGU_E_UNSUPPORTED,
                              "axis '%s' cannot be cut: entries use '%s' in "
                              "different ways",
                              axis, region->weight);
        if (!check_shared(&f, region, mine != NULL, region->weight) ||
            !check_shared(&f, region, mine != NULL, region->bias))
            return false;
        for (uint32_t p = 0; p < region->parts.count; p++)
            if (!check_shared(&f, region, mine != NULL,
                              region->parts.data[p].name))
                return false;
    }
    return true;
}

static bool axis_known(const tegu_unit *unit, const char *axis)
{
    for (uint32_t i = 1; i < unit->axes.count; i++)
        if (axis_is(unit->axes.data[i].name, axis))
            return true;
    return false;
}

static bool refuse_axis(tegu_unit *unit, const char *axis, tegu_arena *arena)
{
    const char **names = TEGU_ARRAY(arena, const char *, unit->axes.count);
    tegu_loc loc = tegu_loc_file(unit->source);
    const char *near;

    if (axis_known(unit, axis))
        return tegu_error(unit->diag, loc, TEGU_E_UNSUPPORTED,
                          "no linear reads axis '%s' behind linears that "
                          "write it",
                          axis);
    for (uint32_t i = 1; i < unit->axes.count; i++)
        names[i - 1] = unit->axes.data[i].name;
    near = tegu_nearest(axis, names, unit->axes.count - 1);
    return tegu_error(
        unit->diag, loc, TEGU_E_USAGE, "the model has no axis '%s'%s%s%s",
        tegu_escaped(arena, axis, strlen(axis)), near ? "; did you mean '" : "",
        near ? near : "", near ? "'?" : "");
}

bool tegu_axis_regions(tegu_unit *unit, const char *axis, tegu_arena *arena,
                       tegu_regions *regions)
{
    uint32_t count = unit->entries.count, first = 0;
    tegu_regions *found = TEGU_ARRAY(arena, tegu_regions, count + 1);

    for (uint32_t i = 0; i < count; i++) {
        if (!strcmp(unit->entries.data[i].name, "step"))
            first = i;
        if (!find_in_entry(unit, i, axis, arena, &found[i]))
            return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const tegu_regions *next = &found[(first + i) % count];
        for (uint32_t k = 0; k < next->count; k++)
            if (!tegu_region_find(regions, next->data[k].weight))
                tegu_vec_push(arena, regions, next->data[k]);
    }
    if (regions->count == 0)
        return refuse_axis(unit, axis, arena);
    for (uint32_t i = 0; i < count; i++)
        if (!check_entry(unit, i, axis, arena, &found[i], regions))
            return false;
    return true;
}

bool tegu_region_measurable(tegu_unit *unit, const tegu_region *region)
{
    const tegu_entry *step = tegu_unit_find_entry(unit, "step");

    return (step && region->graph == step->graph) ||
           tegu_error(unit->diag, region->loc, TEGU_E_UNSUPPORTED,
                      "calibration runs entry step, which does not use '%s'",
                      region->weight);
}
