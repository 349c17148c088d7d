/* SPDX-License-Identifier: Apache-2.0 */
/* replace.c - puts changed weights in place of those that linears read.
 *
 * Takes a unit whose parameters have new types and data, and the graphs that
 * still read the old ones.  Produces graphs of the new types: a rewrite that
 * lets every type be inferred again, drops the adapters on changed weights,
 * turns a linear by a factored weight into two, and lets states, slices and
 * reshapes of heads follow.
 */
#include "passes/replace.h"
#include "passes/adapted.h"

#include <string.h>

double *tegu_constant_read(const tegu_graph *g, tegu_value v, tegu_arena *arena)
{
    const tegu_node *node = tegu_graph_node(g, v);
    int64_t count = tegu_type_elements(node->type);
    double *wide = TEGU_ARRAY(arena, double, (size_t)count);
    tegu_mark mark = tegu_arena_mark(arena);
    float *data = TEGU_ARRAY(arena, float, (size_t)count);
    bool ok;

    if (node->op == TEGU_OP_PARAM)
        ok = tegu_param_read(
            g->unit,
            tegu_unit_find_param(g->unit, tegu_node_text(node, "name")), 0,
            count, data);
    else
        ok = tegu_interp_constant(g, v, arena, data);
    for (int64_t i = 0; ok && i < count; i++)
        wide[i] = (double)data[i];
    tegu_arena_release(arena, mark);
    return ok ? wide : NULL;
}

static const float *narrowed(tegu_unit *unit, const tegu_type *type,
                             const double *data)
{
    size_t count = (size_t)tegu_type_elements(type);
    float *out = TEGU_ARRAY(unit->arena, float, count);

    for (size_t i = 0; i < count; i++)
        out[i] = (float)data[i];
    return out;
}

void tegu_param_store(tegu_unit *unit, const char *name, const tegu_type *type,
                      const double *data)
{
    tegu_param *param = tegu_unit_find_param(unit, name);

    param->type = tegu_unit_type(unit, type);
    param->source = TEGU_SOURCE_DATA;
    param->stored = TEGU_F32;
    param->data = narrowed(unit, type, data);
    param->transposed = false;
}

const char *tegu_param_add(tegu_unit *unit, const char *name,
                           const tegu_type *type, const double *data,
                           tegu_loc loc)
{
    tegu_param param = {.name = tegu_intern_cstr(unit->names, name),
                        .type = tegu_unit_type(unit, type),
                        .loc = loc,
                        .source = TEGU_SOURCE_DATA,
                        .stored = TEGU_F32,
                        .data = narrowed(unit, type, data)};
    uint32_t index;

    for (int n = 2; tegu_unit_find_param(unit, param.name); n++)
        param.name = tegu_intern_cstr(
            unit->names, tegu_format(unit->arena, "%s.%d", name, n));
    return tegu_unit_add_param(unit, &param, &index) ? param.name : NULL;
}

tegu_dim tegu_width_dim(tegu_unit *unit, const char *axis, int64_t width)
{
    const char *name =
        tegu_format(unit->arena, "%s_%lld", axis, (long long)width);
    tegu_axis_id id = tegu_unit_find_axis(unit, name);

    if (!id)
        id = tegu_unit_add_axis(unit, name, false, width, width);
    if (unit->axes.data[id].symbolic || unit->axes.data[id].lo != width)
        return tegu_dim_static(width);
    return tegu_unit_axis_dim(unit, id);
}

tegu_dim tegu_dim_times(tegu_dim a, tegu_dim b)
{
    tegu_dim dim = tegu_dim_static(a.offset * b.offset);

    dim.axes[0] = a.axes[0];
    dim.axes[a.axes[0] != 0] = b.axes[0];
    return dim;
}

/* --- graphs --- */

typedef struct replacing {
    const tegu_replacement *list;
    tegu_map *index; /* name -> place in the list */
} replacing;

static const tegu_replacement *replacement_of(const tegu_rewriter *rw,
                                              tegu_value v)
{
    const replacing *r = rw->data;
    const tegu_node *node =
        tegu_graph_node(rw->from, tegu_adapted_base(rw->from, v));
    const char *name;
    uint64_t *place;

    if (node->op != TEGU_OP_PARAM)
        return NULL;
    name = tegu_node_text(node, "name");
    place = tegu_map_find(r->index, name, strlen(name));
    return place ? &r->list[*place] : NULL;
}

static tegu_value build_factored(tegu_rewriter *rw, const tegu_node *linear,
                                 const tegu_replacement *r)
{
    tegu_graph *g = rw->into;
    tegu_value thin[] = {rw->map[linear->inputs[0]],
                         tegu_build_param(g, linear->loc, r->inner)};
    tegu_value wide[3];

    wide[0] =
        tegu_build(g, linear->loc, TEGU_OP_LINEAR, 2, thin, 0, NULL, NULL);
    wide[1] = tegu_build_param(g, linear->loc, r->outer);
    wide[2] = linear->input_count > 2 ? rw->map[linear->inputs[2]] : 0;
    return tegu_build(g, linear->loc, TEGU_OP_LINEAR, linear->input_count, wide,
                      0, NULL, NULL);
}

/* Splitting [.., n] into [.., h, d] or merging it back, where h has changed. */
static tegu_value build_reshape(tegu_rewriter *rw, const tegu_node *node)
{
    const tegu_type *from = tegu_graph_type(rw->into, rw->map[node->inputs[0]]);
    tegu_type type = *node->type;
    uint32_t last = type.rank - 1;

    if (type.rank == from->rank + 1) {
        tegu_dim whole = from->dims[from->rank - 1];
        type.dims[last - 1] =
            tegu_dim_static(whole.offset / type.dims[last].offset);
        if (whole.axes[1])
            type.dims[last - 1].axes[0] = whole.axes[0];
    } else if (type.rank + 1 == from->rank) {
        type.dims[last] =
            tegu_dim_times(from->dims[last], from->dims[last + 1]);
    }
    return tegu_build_reshape(rw->into, node->loc, rw->map[node->inputs[0]],
                              tegu_unit_type(rw->into->unit, &type));
}

static tegu_value build_state(tegu_graph *g, const tegu_node *node)
{
    const char *name = tegu_node_text(node, "name");
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_STATE, "name", name);

    return tegu_build(g, node->loc, TEGU_OP_STATE, 0, NULL, 1, &attr,
                      tegu_unit_find_state(g->unit, name)->type);
}

/* How a slice of a linear's last axis follows its weight; NULL: it does not. */
static const tegu_slicing *slicing_of(const tegu_rewriter *rw,
                                      const tegu_node *slice)
{
    const tegu_node *linear = tegu_graph_node(rw->from, slice->inputs[0]);
    const tegu_replacement *r = linear->op == TEGU_OP_LINEAR
                                    ? replacement_of(rw, linear->inputs[1])
                                    : NULL;
    const int64_t *start = tegu_node_attr(slice, "start")->as.ints.data;

    for (uint32_t i = 0; r && i < r->slice_count; i++)
        if (r->slices[i].was == start[slice->type->rank - 1])
            return &r->slices[i];
    return NULL;
}

static tegu_value build_slice(tegu_rewriter *rw, const tegu_node *node,
                              const tegu_slicing *to)
{
    tegu_unit *unit = rw->into->unit;
    const tegu_attr *list = tegu_node_attr(node, "start");
    int64_t start[TEGU_MAX_RANK];
    tegu_type type = *node->type;

    memcpy(start, list->as.ints.data, type.rank * sizeof *start);
    start[type.rank - 1] = to->now;
    type.dims[type.rank - 1] = to->dim;
    tegu_attr attrs[] = {
        tegu_attr_of_ints(unit, TEGU_OP_SLICE, "start", start, type.rank),
        *tegu_node_attr(node, "step")};
    return tegu_build(rw->into, node->loc, TEGU_OP_SLICE, 1,
                      &rw->map[node->inputs[0]], 2, attrs,
                      tegu_unit_type(unit, &type));
}

/* True when the node's first input has another type than it had. */
static bool input_changed(const tegu_rewriter *rw, const tegu_node *node)
{
    return !tegu_type_equal(
        tegu_graph_type(rw->from, node->inputs[0]),
        tegu_graph_type(rw->into, rw->map[node->inputs[0]]));
}

/* The new weight has the adapter in it, which must not be one to switch. */
static tegu_value drop_adapter(tegu_rewriter *rw, const tegu_node *node,
                               const tegu_replacement *r)
{
    uint32_t owner = tegu_graph_adapter(rw->from, node->inputs[1]);

    if (!owner)
        return rw->map[node->inputs[0]];
    tegu_error(rw->into->unit->diag, node->loc, TEGU_E_UNSUPPORTED,
               "'%s' is made anew with adapter '%s' in it, which then cannot "
               "be kept apart: fold adapters, or leave the pass out",
               r->name, rw->into->unit->adapters.data[owner].name);
    return 0;
}

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(rw->from, v);
    const tegu_replacement *r;
    const tegu_slicing *slicing =
        node->op == TEGU_OP_SLICE ? slicing_of(rw, node) : NULL;

    if (slicing)
        return build_slice(rw, node, slicing);
    if (node->op == TEGU_OP_PARAM && (r = replacement_of(rw, v)) != NULL &&
        !r->inner)
        return tegu_build_param(rw->into, node->loc, r->name);
    if (tegu_node_is_adapted(node) && (r = replacement_of(rw, v)) != NULL)
        return drop_adapter(rw, node, r);
    if (node->op == TEGU_OP_LINEAR &&
        (r = replacement_of(rw, node->inputs[1])) != NULL && r->inner)
        return build_factored(rw, node, r);
    if (node->op == TEGU_OP_STATE)
        return build_state(rw->into, node);
    if (node->op == TEGU_OP_RESHAPE && node->type->rank > 1 &&
        input_changed(rw, node))
        return build_reshape(rw, node);
    return tegu_rewriter_copy(rw, v);
}

bool tegu_replace_weights(tegu_unit *unit, tegu_arena *scratch,
                          const tegu_replacement *replacements, uint32_t count)
{
    replacing r = {replacements, tegu_map_create(scratch)};

    for (uint32_t i = 0; i < count; i++)
        tegu_map_set(r.index, replacements[i].name,
                     strlen(replacements[i].name), i);
    for (uint32_t i = 0; i < unit->entries.count; i++) {
        tegu_graph **graph = &unit->entries.data[i].graph;
        tegu_graph *next =
            tegu_graph_rewrite(*graph, (*graph)->level, visit, &r);
        if (next) /* adapters and weights that nothing reads any more go */
            next = tegu_graph_rewrite(next, next->level, NULL, NULL);
        if (!next)
            return false;
        *graph = next;
    }
    return true;
}
