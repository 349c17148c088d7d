/* SPDX-License-Identifier: Apache-2.0 */
/* interp.c - the reference interpreter: runs a graph of any level, node by
 * node, and so defines what every op means.
 *
 * Takes a graph, tensors and states; produces values, or values with shadows
 * (docs/ir.md, "Numerics").  Kernels are run by their bodies, composites by
 * tegu_composite_body.  A value's memory is given back after its last use.
 * The ops are in interp_map.c, interp_bound.c, interp_reduce.c,
 * interp_contract.c, interp_move.c and interp_leaf.c; the executor on top is
 * interp_run.c's.
 */
#include "ir/interp.h"

#include <string.h>

/* --- blocks: size classes of a quarter of a power of two --- */

static uint32_t size_class(size_t bytes, size_t *rounded)
{
    uint32_t power = 6; /* 64 bytes at least */
    while (power < 60 && ((size_t)1 << power) < bytes)
        power++;
    size_t quarter = (size_t)1 << (power - 3);
    for (uint32_t i = 4; i < 8; i++)
        if (quarter * (i + 1) >= bytes) {
            *rounded = quarter * (i + 1);
            return (power - 1) * 4 + i - 4;
        }
    *rounded = bytes;
    return TEGU_SIZE_CLASSES - 1;
}

tegu_block *tegu_block_take(tegu_interp *it, size_t bytes)
{
    size_t rounded;
    uint32_t class = size_class(bytes, &rounded);
    tegu_block *block = it->free[class];
    if (block) {
        it->free[class] = block->next;
    } else {
        block = TEGU_NEW(it->arena, tegu_block);
        block->data = tegu_arena_alloc_raw(it->arena, rounded);
        block->size_class = class;
    }
    block->references = 1;
    return block;
}

tegu_block *tegu_block_borrow(tegu_interp *it, const void *data)
{
    tegu_block *block = it->spare;
    if (block)
        it->spare = block->next;
    else
        block = TEGU_NEW(it->arena, tegu_block);
    block->data = (void *)(uintptr_t)data; /* only read: see interp.h */
    block->borrowed = true;
    block->references = 1;
    return block;
}

void tegu_block_drop(tegu_interp *it, tegu_block *block)
{
    if (--block->references > 0)
        return;
    tegu_block **list =
        block->borrowed ? &it->spare : &it->free[block->size_class];
    block->next = *list;
    *list = block;
}

/* --- cells --- */

void tegu_cell_drop(tegu_interp *it, tegu_cell *cell)
{
    for (int p = 0; p < TEGU_PLANE_COUNT; p++)
        if (cell->planes[p]) {
            tegu_block_drop(it, cell->planes[p]);
            cell->planes[p] = NULL;
        }
}

void tegu_cell_share(const tegu_cell *cell, tegu_cell *out)
{
    for (int p = 0; p < TEGU_PLANE_COUNT; p++) {
        out->planes[p] = cell->planes[p];
        if (cell->planes[p])
            cell->planes[p]->references++;
    }
}

size_t tegu_plane_bytes(const tegu_cell *cell, tegu_plane plane)
{
    switch (plane) {
    case TEGU_PLANE_DATA: return tegu_dtype_bytes(tegu_carrier(cell->dtype));
    case TEGU_PLANE_UNSURE: return 1;
    default: return sizeof(double);
    }
}

void *tegu_cell_plane(tegu_interp *it, tegu_cell *cell, tegu_plane plane)
{
    size_t bytes = (size_t)cell->count * tegu_plane_bytes(cell, plane);
    cell->planes[plane] = tegu_block_take(it, bytes);
    return cell->planes[plane]->data;
}

void tegu_cell_allocate(tegu_interp *it, tegu_cell *cell)
{
    if (it->shadow && tegu_carrier(cell->dtype) == TEGU_F32) {
        tegu_cell_plane(it, cell, TEGU_PLANE_EXACT);
        tegu_cell_plane(it, cell, TEGU_PLANE_BOUND);
    } else {
        tegu_cell_plane(it, cell, TEGU_PLANE_DATA);
    }
}

void tegu_cell_load(const tegu_cell *cell, int64_t first, int64_t n,
                    double *exact, double *bound)
{
    const double *from = tegu_cell_at(cell, TEGU_PLANE_EXACT);
    const double *errors = tegu_cell_at(cell, TEGU_PLANE_BOUND);
    const float *values = tegu_cell_at(cell, TEGU_PLANE_DATA);
    if (from)
        memcpy(exact, from + first, (size_t)n * sizeof(double));
    else
        for (int64_t i = 0; i < n; i++)
            exact[i] = (double)values[first + i];
    if (errors)
        memcpy(bound, errors + first, (size_t)n * sizeof(double));
    else
        memset(bound, 0, (size_t)n * sizeof(double));
}

/* --- graphs --- */

/* Gives out the node's type for the bound symbols. */
static bool shape_cell(tegu_interp *it, const tegu_node *node, tegu_cell *out)
{
    out->dtype = node->type->dtype;
    out->rank = node->type->rank;
    out->count = 1;
    for (uint32_t d = 0; d < out->rank; d++) {
        out->dims[d] = tegu_dim_value(node->type->dims[d], it->symbols);
        if (out->dims[d] < 0 ||
            __builtin_mul_overflow(out->count, out->dims[d], &out->count) ||
            out->count > INT64_MAX / 64)
            return tegu_error(
                it->unit->diag, node->loc, TEGU_E_TOO_LARGE,
                "'%s' gives %s, which cannot be held",
                tegu_op_get(node->op)->text,
                tegu_type_string(it->unit, it->arena, node->type));
    }
    return true;
}

/* Runs a body over arguments that the caller holds. */
static bool eval_body(tegu_interp *it, const tegu_graph *body,
                      const tegu_node *node, const tegu_cell *const *in,
                      tegu_cell *out)
{
    const tegu_graph *graph = it->graph;
    const tegu_cell *args = it->args;
    size_t bytes = (node->input_count + 1) * sizeof(tegu_cell);
    tegu_block *block = tegu_block_take(it, bytes);
    tegu_cell *cells = block->data;
    for (uint32_t i = 0; i < node->input_count; i++)
        cells[i] = *in[i];
    it->args = cells;
    bool done =
        tegu_interp_graph(it, body, &body->results.data[0].value, 1, out);
    it->graph = graph;
    it->args = args;
    tegu_block_drop(it, block);
    return done;
}

static bool eval_kernel(tegu_interp *it, const tegu_node *node,
                        const tegu_cell *const *in, tegu_cell *out)
{
    return eval_body(it, node->body, node, in, out);
}

static bool eval_composite(tegu_interp *it, const tegu_node *node,
                           const tegu_cell *const *in, tegu_cell *out)
{
    const tegu_graph *body = tegu_composite_body(it->graph, node);
    if (!body || !eval_body(it, body, node, in, out))
        return false;
    if (it->shadow && node->op == TEGU_OP_ATTENTION)
        tegu_bound_attention(it, in[2], out);
    return true;
}

static const tegu_eval evals[] = {
    [TEGU_KIND_LEAF] = tegu_eval_leaf,
    [TEGU_KIND_MAP] = tegu_eval_map,
    [TEGU_KIND_REDUCE] = tegu_eval_reduce,
    [TEGU_KIND_CONTRACT] = tegu_eval_contract,
    [TEGU_KIND_MOVE] = tegu_eval_move,
    [TEGU_KIND_INDEX] = tegu_eval_gather,
    [TEGU_KIND_STATE] = tegu_eval_append,
    [TEGU_KIND_COMPOSITE] = eval_composite,
    [TEGU_KIND_KERNEL] = eval_kernel,
};

/* Evaluates one node and lets go of operands that nothing else needs. */
static bool eval_node(tegu_interp *it, const tegu_graph *g, tegu_value v,
                      tegu_cell *cells, uint32_t *uses)
{
    const tegu_node *node = tegu_graph_node(g, v);
    tegu_block *block = tegu_block_take(it, (node->input_count + 1) *
                                                sizeof(const tegu_cell *));
    const tegu_cell **in = block->data;
    for (uint32_t i = 0; i < node->input_count; i++)
        in[i] = &cells[node->inputs[i]];
    it->graph = g;
    bool done = shape_cell(it, node, &cells[v]) &&
                evals[tegu_op_kind_of(node->op)](it, node, in, &cells[v]);
    tegu_block_drop(it, block);
    for (uint32_t i = 0; done && i < node->input_count; i++)
        if (--uses[node->inputs[i]] == 0)
            tegu_cell_drop(it, &cells[node->inputs[i]]);
    return done;
}

/* How often each value is used on the way to the roots. */
static void count_uses(const tegu_graph *g, const tegu_value *roots,
                       uint32_t count, uint32_t *uses)
{
    memset(uses, 0, g->nodes.count * sizeof *uses);
    for (uint32_t i = 0; i < count; i++)
        uses[roots[i]]++;
    for (tegu_value v = g->nodes.count; v-- > 1;) {
        const tegu_node *node = tegu_graph_node(g, v);
        for (uint32_t i = 0; uses[v] && i < node->input_count; i++)
            uses[node->inputs[i]]++;
    }
}

bool tegu_interp_graph(tegu_interp *it, const tegu_graph *g,
                       const tegu_value *roots, uint32_t count,
                       tegu_cell *results)
{
    size_t nodes = g->nodes.count;
    tegu_block *cell_block = tegu_block_take(it, nodes * sizeof(tegu_cell));
    tegu_block *use_block = tegu_block_take(it, nodes * sizeof(uint32_t));
    tegu_cell *cells = cell_block->data;
    uint32_t *uses = use_block->data;
    memset(cells, 0, nodes * sizeof *cells);
    count_uses(g, roots, count, uses);
    bool done = true;
    for (tegu_value v = 1; done && v < nodes; v++)
        if (uses[v])
            done = eval_node(it, g, v, cells, uses);
    for (uint32_t i = 0; done && i < count; i++) {
        results[i] = cells[roots[i]];
        tegu_cell_share(&cells[roots[i]], &results[i]);
    }
    for (uint32_t i = 0; done && i < count; i++)
        if (--uses[roots[i]] == 0)
            tegu_cell_drop(it, &cells[roots[i]]);
    tegu_block_drop(it, cell_block);
    tegu_block_drop(it, use_block);
    return done;
}
