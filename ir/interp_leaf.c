/* SPDX-License-Identifier: Apache-2.0 */
/* interp_leaf.c - leaves: arguments, weights, states, constants, indices.
 *
 * Data that already is what the interpreter works on is borrowed, never
 * copied: inputs, states, constants, f32 weights as they lie in their file.
 */
#include "ir/interp.h"

#include <string.h>

static bool missing(tegu_interp *it, const tegu_node *node, const char *what)
{
    const char *name = tegu_node_text(node, "name");
    return tegu_error(it->unit->diag, node->loc, TEGU_E_INTERNAL,
                      "there is no %s '%s' to read", what,
                      tegu_escaped(it->arena, name, strlen(name)));
}

/* Elements of the cell's dtype in memory. */
static void give_elements(tegu_interp *it, const void *data, tegu_cell *out)
{
    if (tegu_dtype_is_compute(out->dtype))
        out->planes[TEGU_PLANE_DATA] = tegu_block_borrow(it, data);
    else
        tegu_elements_load(out->dtype, data, out->count,
                           tegu_cell_plane(it, out, TEGU_PLANE_DATA));
}

static bool eval_input(tegu_interp *it, const tegu_node *node,
                       const tegu_cell *const *in, tegu_cell *out)
{
    (void)in;
    const char *name = tegu_node_text(node, "name");
    uint32_t count = it->entry ? it->entry->arguments.count : 0;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(it->entry->arguments.data[i].name, name) == 0) {
            give_elements(it, it->inputs[i].data, out);
            return true;
        }
    return missing(it, node, "argument");
}

static bool eval_param(tegu_interp *it, const tegu_node *node,
                       const tegu_cell *const *in, tegu_cell *out)
{
    (void)in;
    const tegu_param *param =
        tegu_unit_find_param(it->unit, tegu_node_text(node, "name"));
    if (!param)
        return missing(it, node, "parameter");
    bool plain = param->source == TEGU_SOURCE_DATA && !param->transposed &&
                 param->stored == out->dtype && out->dtype != TEGU_BOOL &&
                 (uintptr_t)param->data % tegu_dtype_bytes(out->dtype) == 0;
    if (plain) {
        out->planes[TEGU_PLANE_DATA] = tegu_block_borrow(it, param->data);
        return true;
    }
    return tegu_param_read(it->unit, param, 0, out->count,
                           tegu_cell_plane(it, out, TEGU_PLANE_DATA));
}

static bool eval_state(tegu_interp *it, const tegu_node *node,
                       const tegu_cell *const *in, tegu_cell *out)
{
    (void)in;
    const tegu_state *state =
        tegu_unit_find_state(it->unit, tegu_node_text(node, "name"));
    if (!state || !it->states)
        return missing(it, node, "state");
    const tegu_shadow *s = &it->states[state - it->unit->states.data];
    if (it->shadow && s->exact) {
        out->planes[TEGU_PLANE_EXACT] = tegu_block_borrow(it, s->exact);
        out->planes[TEGU_PLANE_BOUND] = tegu_block_borrow(it, s->bound);
        return true;
    }
    give_elements(it, s->value.data, out);
    if (it->shadow && s->uncertain)
        out->planes[TEGU_PLANE_UNSURE] = tegu_block_borrow(it, s->uncertain);
    return true;
}

static bool eval_const(tegu_interp *it, const tegu_node *node,
                       const tegu_cell *const *in, tegu_cell *out)
{
    (void)in;
    give_elements(it, node->data, out);
    return true;
}

static void put_index(tegu_cell *cell, int64_t at, int64_t value)
{
    void *data = tegu_cell_at(cell, TEGU_PLANE_DATA);
    switch (tegu_carrier(cell->dtype)) {
    case TEGU_I32: ((int32_t *)data)[at] = (int32_t)value; break;
    case TEGU_I64: ((int64_t *)data)[at] = value; break;
    case TEGU_F32: ((float *)data)[at] = (float)value; break;
    default: ((uint8_t *)data)[at] = value != 0; break;
    }
}

static bool eval_iota(tegu_interp *it, const tegu_node *node,
                      const tegu_cell *const *in, tegu_cell *out)
{
    (void)in;
    uint32_t axis = (uint32_t)tegu_node_int(node, "axis");
    int64_t inner = 1;
    for (uint32_t d = axis + 1; d < out->rank; d++)
        inner *= out->dims[d];
    tegu_cell_plane(it, out, TEGU_PLANE_DATA);
    for (int64_t i = 0; i < out->count; i++)
        put_index(out, i, i / inner % out->dims[axis]);
    return true;
}

static bool eval_position(tegu_interp *it, const tegu_node *node,
                          const tegu_cell *const *in, tegu_cell *out)
{
    (void)node, (void)in;
    tegu_cell_plane(it, out, TEGU_PLANE_DATA);
    put_index(out, 0, it->position);
    return true;
}

static bool eval_adapter_scale(tegu_interp *it, const tegu_node *node,
                               const tegu_cell *const *in, tegu_cell *out)
{
    const tegu_unit_adapter *adapter =
        tegu_unit_find_adapter(it->unit, tegu_node_text(node, "name"));
    (void)in;
    if (!adapter)
        return missing(it, node, "adapter");
    float *data = tegu_cell_plane(it, out, TEGU_PLANE_DATA);
    *data = (float)adapter->scale;
    return true;
}

static bool eval_size(tegu_interp *it, const tegu_node *node,
                      const tegu_cell *const *in, tegu_cell *out)
{
    tegu_cell_plane(it, out, TEGU_PLANE_DATA);
    put_index(out, 0, in[0]->dims[tegu_node_int(node, "axis")]);
    return true;
}

static bool eval_arg(tegu_interp *it, const tegu_node *node,
                     const tegu_cell *const *in, tegu_cell *out)
{
    (void)in;
    tegu_cell_share(&it->args[tegu_node_int(node, "index")], out);
    return true;
}

static const tegu_eval leaves[TEGU_OP_COUNT] = {
    [TEGU_OP_INPUT] = eval_input,
    [TEGU_OP_PARAM] = eval_param,
    [TEGU_OP_STATE] = eval_state,
    [TEGU_OP_CONST] = eval_const,
    [TEGU_OP_IOTA] = eval_iota,
    [TEGU_OP_POSITION] = eval_position,
    [TEGU_OP_SIZE] = eval_size,
    [TEGU_OP_ARG] = eval_arg,
    [TEGU_OP_ADAPTER_SCALE] = eval_adapter_scale,
};

bool tegu_eval_leaf(tegu_interp *it, const tegu_node *node,
                    const tegu_cell *const *in, tegu_cell *out)
{
    return leaves[node->op](it, node, in, out);
}
