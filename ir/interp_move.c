/* SPDX-License-Identifier: Apache-2.0 */
/* interp_move.c - movement, gather and append: elements copied bitwise, plane
 * by plane, with what is known of their errors.
 */
#include "ir/interp.h"

#include <math.h>
#include <string.h>

/* --- strided copies: any permutation, repetition, slice --- */

/* Element index i of the result lies at start + sum of index * stride. */
typedef struct view {
    uint32_t rank;
    int64_t dims[TEGU_MAX_RANK], strides[TEGU_MAX_RANK];
    int64_t start;
} view;

static void view_push(view *v, int64_t extent, int64_t stride)
{
    if (extent == 1)
        return;
    uint32_t last = v->rank - 1;
    if (v->rank && v->strides[last] == stride * extent) {
        v->dims[last] *= extent;
        v->strides[last] = stride;
        return;
    }
    v->dims[v->rank] = extent;
    v->strides[v->rank++] = stride;
}

/* Rows of n elements `stride` apart; tiles of two axes, so that a transposed
 * copy reads and writes whole cache lines. */
enum { TILE = 16 };
#define COPIES(suffix, TYPE)                                                   \
    static void row_##suffix(const void *from, int64_t stride, int64_t n,      \
                             void *to)                                         \
    {                                                                          \
        const TYPE *a = from;                                                  \
        TYPE *y = to;                                                          \
        for (int64_t i = 0; i < n; i++)                                        \
            y[i] = a[i * stride];                                              \
    }                                                                          \
    static void tile_##suffix(const void *from, int64_t stride,                \
                              const int64_t *n, int64_t step, void *to)        \
    {                                                                          \
        const TYPE *a = from;                                                  \
        TYPE *y = to;                                                          \
        for (int64_t i = 0; i < n[0]; i++)                                     \
            for (int64_t j = 0; j < n[1]; j++)                                 \
                y[i * step + j] = a[i + j * stride];                           \
    }
COPIES(8, uint8_t)
COPIES(32, uint32_t)
COPIES(64, uint64_t)

static void copy_row(size_t bytes, const void *from, int64_t stride, int64_t n,
                     void *to)
{
    if (stride == 1)
        memcpy(to, from, (size_t)n * bytes);
    else if (bytes == 1)
        row_8(from, stride, n, to);
    else if (bytes == 4)
        row_32(from, stride, n, to);
    else
        row_64(from, stride, n, to);
}

/* Axes n[0] (stride 1 in, `step` out) by n[1] (`stride` in, 1 out). */
static void copy_transposed(size_t bytes, const char *from, int64_t stride,
                            const int64_t *n, int64_t step, char *to)
{
    for (int64_t i = 0; i < n[0]; i += TILE)
        for (int64_t j = 0; j < n[1]; j += TILE) {
            int64_t m[2] = {n[0] - i < TILE ? n[0] - i : TILE,
                            n[1] - j < TILE ? n[1] - j : TILE};
            const char *a = from + (size_t)(i + j * stride) * bytes;
            char *y = to + (size_t)(i * step + j) * bytes;
            if (bytes == 1)
                tile_8(a, stride, m, step, y);
            else if (bytes == 4)
                tile_32(a, stride, m, step, y);
            else
                tile_64(a, stride, m, step, y);
        }
}

/* The axis that lies contiguous in the source when the last does not; rank
 * when there is none worth tiling. */
static uint32_t tiled_axis(const view *v)
{
    uint32_t last = v->rank - 1;
    if (v->strides[last] == 1 || v->strides[last] == 0)
        return v->rank;
    for (uint32_t d = 0; d < last; d++)
        if (v->strides[d] == 1 && v->dims[d] > 1)
            return d;
    return v->rank;
}

static void copy_view(const view *v, size_t bytes, const char *from, char *to)
{
    if (v->rank == 0) {
        memcpy(to, from + v->start * (int64_t)bytes, bytes);
        return;
    }
    uint32_t last = v->rank - 1, tiled = tiled_axis(v);
    int64_t index[TEGU_MAX_RANK] = {0}, steps[TEGU_MAX_RANK], step = 1;
    for (uint32_t d = v->rank; d-- > 0;) {
        steps[d] = step;
        step *= v->dims[d];
    }
    int64_t in = v->start, out = 0;
    for (;;) {
        const char *a = from + in * (int64_t)bytes;
        char *y = to + out * (int64_t)bytes;
        if (tiled < v->rank) {
            int64_t n[2] = {v->dims[tiled], v->dims[last]};
            copy_transposed(bytes, a, v->strides[last], n, steps[tiled], y);
        } else {
            copy_row(bytes, a, v->strides[last], v->dims[last], y);
        }
        uint32_t d = last;
        while (d-- > 0) {
            if (d == tiled)
                continue;
            in += v->strides[d];
            out += steps[d];
            if (++index[d] < v->dims[d])
                break;
            in -= v->strides[d] * v->dims[d];
            out -= steps[d] * v->dims[d];
            index[d] = 0;
        }
        if (d == UINT32_MAX)
            return;
    }
}

static void copy_cell(tegu_interp *it, const tegu_cell *in, const view *v,
                      tegu_cell *out)
{
    for (int p = 0; p < TEGU_PLANE_COUNT; p++) {
        if (!in->planes[p])
            continue;
        void *to = tegu_cell_plane(it, out, (tegu_plane)p);
        if (out->count)
            copy_view(v, tegu_plane_bytes(in, (tegu_plane)p),
                      tegu_cell_at(in, (tegu_plane)p), to);
    }
}

static void element_strides(const tegu_cell *cell, int64_t *strides)
{
    int64_t step = 1;
    for (uint32_t d = cell->rank; d-- > 0;) {
        strides[d] = step;
        step *= cell->dims[d];
    }
}

void tegu_cell_transpose(tegu_interp *it, const tegu_cell *cell,
                         const uint32_t *perm, tegu_cell *out)
{
    int64_t strides[TEGU_MAX_RANK];
    element_strides(cell, strides);
    view v = {0};
    out->dtype = cell->dtype;
    out->rank = cell->rank;
    out->count = cell->count;
    bool moves = false;
    for (uint32_t d = 0; d < cell->rank; d++) {
        out->dims[d] = cell->dims[perm[d]];
        view_push(&v, out->dims[d], strides[perm[d]]);
        moves |= perm[d] != d;
    }
    if (moves && v.rank > 1)
        copy_cell(it, cell, &v, out);
    else
        tegu_cell_share(cell, out);
}

/* --- planes read as if they were there --- */

/* Elements [at, at + n) of a plane; absent ones stand for exact values. */
static void read_plane(const tegu_cell *cell, tegu_plane plane, int64_t at,
                       int64_t n, void *to)
{
    size_t bytes = tegu_plane_bytes(cell, plane);
    const char *from = tegu_cell_at(cell, plane);
    if (n == 0)
        return;
    if (from) {
        memcpy(to, from + (size_t)at * bytes, (size_t)n * bytes);
    } else if (plane == TEGU_PLANE_EXACT) {
        const float *values = tegu_cell_at(cell, TEGU_PLANE_DATA);
        for (int64_t i = 0; i < n; i++)
            ((double *)to)[i] = (double)values[at + i];
    } else {
        memset(to, 0, (size_t)n * bytes);
    }
}

/* Takes for `out` the planes that hold all that the cells know; a bit each. */
static unsigned join_planes(tegu_interp *it, const tegu_cell *const *cells,
                            uint32_t count, tegu_cell *out)
{
    unsigned set = 0;
    for (uint32_t k = 0; k < count; k++)
        for (unsigned p = 0; p < TEGU_PLANE_COUNT; p++)
            if (cells[k]->planes[p])
                set |= 1u << p;
    if (set & 1u << TEGU_PLANE_EXACT)
        set &= ~(1u << TEGU_PLANE_DATA);
    for (unsigned p = 0; p < TEGU_PLANE_COUNT; p++)
        if (set & 1u << p)
            tegu_cell_plane(it, out, (tegu_plane)p);
    return set;
}

static char *plane_at(const tegu_cell *cell, tegu_plane plane, int64_t at)
{
    return (char *)tegu_cell_at(cell, plane) +
           (size_t)at * tegu_plane_bytes(cell, plane);
}

/* --- the ops --- */

static bool eval_reshape(tegu_interp *it, const tegu_node *node,
                         const tegu_cell *const *in, tegu_cell *out)
{
    (void)it, (void)node;
    tegu_cell_share(in[0], out);
    return true;
}

static bool eval_transpose(tegu_interp *it, const tegu_node *node,
                           const tegu_cell *const *in, tegu_cell *out)
{
    const int64_t *axes = tegu_node_attr(node, "perm")->as.ints.data;
    uint32_t perm[TEGU_MAX_RANK];
    for (uint32_t d = 0; d < out->rank; d++)
        perm[d] = (uint32_t)axes[d];
    tegu_cell_transpose(it, in[0], perm, out);
    return true;
}

static bool eval_broadcast(tegu_interp *it, const tegu_node *node,
                           const tegu_cell *const *in, tegu_cell *out)
{
    (void)node;
    int64_t strides[TEGU_MAX_RANK];
    element_strides(in[0], strides);
    view v = {0};
    uint32_t missing = out->rank - in[0]->rank;
    for (uint32_t d = 0; d < out->rank; d++) {
        bool repeats = d < missing || in[0]->dims[d - missing] == 1;
        view_push(&v, out->dims[d], repeats ? 0 : strides[d - missing]);
    }
    copy_cell(it, in[0], &v, out);
    return true;
}

static bool eval_slice(tegu_interp *it, const tegu_node *node,
                       const tegu_cell *const *in, tegu_cell *out)
{
    const int64_t *start = tegu_node_attr(node, "start")->as.ints.data;
    const int64_t *step = tegu_node_attr(node, "step")->as.ints.data;
    int64_t strides[TEGU_MAX_RANK];
    element_strides(in[0], strides);
    view v = {0};
    for (uint32_t d = 0; d < out->rank; d++) {
        int64_t first = start[d] < 0 ? start[d] + in[0]->dims[d] : start[d];
        v.start += first * strides[d];
        view_push(&v, out->dims[d], step[d] * strides[d]);
    }
    copy_cell(it, in[0], &v, out);
    return true;
}

/* Fills a plane with what `value` is in it. */
static void fill_plane(const tegu_cell *cell, tegu_plane plane, double value)
{
    void *to = tegu_cell_at(cell, plane);
    tegu_dtype carrier = tegu_carrier(cell->dtype);
    if (plane == TEGU_PLANE_EXACT)
        for (int64_t i = 0; i < cell->count; i++)
            ((double *)to)[i] = (double)(float)value;
    else if (plane != TEGU_PLANE_DATA)
        memset(to, 0, (size_t)cell->count * tegu_plane_bytes(cell, plane));
    else if (carrier == TEGU_F32)
        for (int64_t i = 0; i < cell->count; i++)
            ((float *)to)[i] = (float)value;
    else if (carrier == TEGU_I32)
        for (int64_t i = 0; i < cell->count; i++)
            ((int32_t *)to)[i] = (int32_t)tegu_float_to_int(TEGU_I32, value);
    else if (carrier == TEGU_I64)
        for (int64_t i = 0; i < cell->count; i++)
            ((int64_t *)to)[i] = tegu_float_to_int(TEGU_I64, value);
    else
        memset(to, value != 0, (size_t)cell->count);
}

static bool eval_pad(tegu_interp *it, const tegu_node *node,
                     const tegu_cell *const *in, tegu_cell *out)
{
    const int64_t *low = tegu_node_attr(node, "low")->as.ints.data;
    unsigned set = join_planes(it, in, 1, out);
    for (unsigned p = 0; p < TEGU_PLANE_COUNT; p++)
        if (set & 1u << p)
            fill_plane(out, (tegu_plane)p, tegu_node_float(node, "value"));
    uint32_t rank = out->rank;
    int64_t strides[TEGU_MAX_RANK], index[TEGU_MAX_RANK] = {0}, to = 0;
    element_strides(out, strides);
    for (uint32_t d = 0; d < rank; d++)
        to += low[d] * strides[d];
    int64_t row = rank ? in[0]->dims[rank - 1] : 1;
    for (int64_t at = 0; at < in[0]->count; at += row) {
        for (unsigned p = 0; p < TEGU_PLANE_COUNT; p++)
            if (set & 1u << p)
                read_plane(in[0], (tegu_plane)p, at, row,
                           plane_at(out, (tegu_plane)p, to));
        for (uint32_t d = rank ? rank - 1 : 0; d-- > 0;) {
            to += strides[d];
            if (++index[d] < in[0]->dims[d])
                break;
            to -= strides[d] * in[0]->dims[d];
            index[d] = 0;
        }
    }
    return true;
}

static bool eval_concat(tegu_interp *it, const tegu_node *node,
                        const tegu_cell *const *in, tegu_cell *out)
{
    uint32_t axis = (uint32_t)tegu_node_int(node, "axis");
    unsigned set = join_planes(it, in, node->input_count, out);
    int64_t outer = 1, inner = 1, first = 0;
    for (uint32_t d = 0; d < out->rank; d++)
        *(d < axis ? &outer : &inner) *= out->dims[d];
    for (uint32_t k = 0; k < node->input_count; k++) {
        int64_t row = outer ? in[k]->count / outer : 0;
        for (unsigned p = 0; p < TEGU_PLANE_COUNT; p++)
            for (int64_t i = 0; set & 1u << p && i < outer; i++)
                read_plane(in[k], (tegu_plane)p, i * row, row,
                           plane_at(out, (tegu_plane)p, i * inner + first));
        first += row;
    }
    return true;
}

static const tegu_eval moves[TEGU_OP_COUNT] = {
    [TEGU_OP_RESHAPE] = eval_reshape,
    [TEGU_OP_TRANSPOSE] = eval_transpose,
    [TEGU_OP_BROADCAST] = eval_broadcast,
    [TEGU_OP_SLICE] = eval_slice,
    [TEGU_OP_PAD] = eval_pad,
    [TEGU_OP_CONCAT] = eval_concat,
};

bool tegu_eval_move(tegu_interp *it, const tegu_node *node,
                    const tegu_cell *const *in, tegu_cell *out)
{
    return moves[node->op](it, node, in, out);
}

/* --- gather, append --- */

static int64_t index_at(const tegu_cell *cell, int64_t i)
{
    const void *data = tegu_cell_at(cell, TEGU_PLANE_DATA);
    return tegu_carrier(cell->dtype) == TEGU_I64 ? ((const int64_t *)data)[i]
                                                 : ((const int32_t *)data)[i];
}

/* Any row may be meant: nothing is known of this one. */
static void blur(tegu_cell *out, unsigned set, int64_t at, int64_t n)
{
    for (int64_t i = at; i < at + n; i++)
        if (set & 1u << TEGU_PLANE_BOUND)
            ((double *)tegu_cell_at(out, TEGU_PLANE_BOUND))[i] = INFINITY;
        else
            ((uint8_t *)tegu_cell_at(out, TEGU_PLANE_UNSURE))[i] = 1;
}

bool tegu_eval_gather(tegu_interp *it, const tegu_node *node,
                      const tegu_cell *const *in, tegu_cell *out)
{
    (void)node;
    const uint8_t *unsure = tegu_cell_at(in[1], TEGU_PLANE_UNSURE);
    unsigned set = 0;
    if (unsure) {
        tegu_cell_allocate(it, out);
        if (!out->planes[TEGU_PLANE_EXACT])
            tegu_cell_plane(it, out, TEGU_PLANE_UNSURE);
        for (unsigned p = 0; p < TEGU_PLANE_COUNT; p++)
            set |= out->planes[p] ? 1u << p : 0;
    } else {
        set = join_planes(it, in, 1, out);
    }
    int64_t rows = in[0]->dims[0];
    int64_t row = in[1]->count ? out->count / in[1]->count : 0;
    for (int64_t i = 0; i < in[1]->count; i++) {
        int64_t from = index_at(in[1], i);
        from = from < 0 ? 0 : from >= rows ? rows - 1 : from;
        for (unsigned p = 0; p < TEGU_PLANE_COUNT; p++)
            if (set & 1u << p)
                read_plane(in[0], (tegu_plane)p, from * row, row,
                           plane_at(out, (tegu_plane)p, i * row));
        if (unsure && unsure[i])
            blur(out, set, i * row, row);
    }
    return true;
}

bool tegu_eval_append(tegu_interp *it, const tegu_node *node,
                      const tegu_cell *const *in, tegu_cell *out)
{
    int64_t capacity = in[0]->dims[0], rows = in[1]->dims[0];
    int64_t row = capacity ? in[0]->count / capacity : 0;
    if (it->position < 0 || it->position > capacity - rows)
        return tegu_error(it->unit->diag, node->loc, TEGU_E_CALL,
                          "the state holds %lld rows; %lld more do not fit "
                          "after the first %lld",
                          (long long)capacity, (long long)rows,
                          (long long)it->position);
    unsigned set = join_planes(it, in, 2, out);
    for (unsigned p = 0; p < TEGU_PLANE_COUNT; p++) {
        if (!(set & 1u << p))
            continue;
        read_plane(in[0], (tegu_plane)p, 0, in[0]->count,
                   plane_at(out, (tegu_plane)p, 0));
        read_plane(in[1], (tegu_plane)p, 0, in[1]->count,
                   plane_at(out, (tegu_plane)p, it->position * row));
    }
    it->appended = rows;
    return true;
}
