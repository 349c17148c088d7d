/* SPDX-License-Identifier: Apache-2.0 */
/* interp_reduce.c - sums, extremes and argmax over axes.
 *
 * The reduced axes are moved last, so that each result is made of one
 * contiguous row.  Floats are summed in f64 and rounded once.  Bounds: any
 * order of an f32 sum is off by at most gamma_(n-1) sum |x| (Higham 2002,
 * section 4.2); an extreme by no more than the elements that may be it.
 */
#include "ir/interp.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { CHUNK = 512 };

/* --- values: one row to one element --- */

typedef void (*row_values)(const void *row, int64_t n, void *out);

static void sum_f32(const void *row, int64_t n, void *out)
{
    const float *x = row;
    double sums[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            sums[j] += (double)x[i + j];
    for (; i < n; i++)
        sum += (double)x[i];
    for (int j = 0; j < 8; j++)
        sum += sums[j];
    *(float *)out = (float)sum;
}

#define SUM(name, TYPE, U)                                                     \
    static void name(const void *row, int64_t n, void *out)                    \
    {                                                                          \
        const TYPE *x = row;                                                   \
        U sum = 0;                                                             \
        for (int64_t i = 0; i < n; i++)                                        \
            sum += (U)x[i];                                                    \
        *(TYPE *)out = (TYPE)sum;                                              \
    }
SUM(sum_i32, int32_t, uint32_t)
SUM(sum_i64, int64_t, uint64_t)

/* A NaN (x != x) wins and stays. */
#define EXTREME(name, TYPE, operator, NOTHING)                                 \
    static void name(const void *row, int64_t n, void *out)                    \
    {                                                                          \
        const TYPE *x = row;                                                   \
        TYPE best = NOTHING;                                                   \
        for (int64_t i = 0; i < n; i++)                                        \
            if (x[i] operator best || x[i] != x[i])                            \
                best = x[i];                                                   \
        *(TYPE *)out = best;                                                   \
    }
EXTREME(max_f32, float, >, -INFINITY)
EXTREME(max_i32, int32_t, >, INT32_MIN)
EXTREME(max_i64, int64_t, >, INT64_MIN)
EXTREME(min_f32, float, <, INFINITY)
EXTREME(min_i32, int32_t, <, INT32_MAX)
EXTREME(min_i64, int64_t, <, INT64_MAX)

#define ARGMAX(name, TYPE)                                                     \
    static void name(const void *row, int64_t n, void *out)                    \
    {                                                                          \
        const TYPE *x = row;                                                   \
        int64_t best = 0;                                                      \
        for (int64_t i = 1; i < n && x[best] == x[best]; i++)                  \
            if (x[i] > x[best] || x[i] != x[i])                                \
                best = i;                                                      \
        *(int32_t *)out = (int32_t)best;                                       \
    }
ARGMAX(argmax_f32, float)
ARGMAX(argmax_i32, int32_t)
ARGMAX(argmax_i64, int64_t)

/* clang-format off */
static const row_values values[TEGU_OP_COUNT][4] = {
    [TEGU_OP_REDUCE_SUM] = {[TEGU_F32] = sum_f32, [TEGU_I32] = sum_i32,
                            [TEGU_I64] = sum_i64},
    [TEGU_OP_REDUCE_MAX] = {[TEGU_F32] = max_f32, [TEGU_I32] = max_i32,
                            [TEGU_I64] = max_i64},
    [TEGU_OP_REDUCE_MIN] = {[TEGU_F32] = min_f32, [TEGU_I32] = min_i32,
                            [TEGU_I64] = min_i64},
    [TEGU_OP_ARGMAX] = {[TEGU_F32] = argmax_f32, [TEGU_I32] = argmax_i32,
                        [TEGU_I64] = argmax_i64},
};
/* clang-format on */

/* --- shadows: one row of a float cell --- */

/* A row read in chunks. */
typedef struct reader {
    const tegu_cell *cell;
    int64_t at, end;
    int64_t n;     /* elements in the buffers */
    double *x, *e; /* CHUNK each */
    bool likely;
} reader;

static bool next_chunk(reader *r)
{
    r->n = r->end - r->at < CHUNK ? r->end - r->at : CHUNK;
    if (r->n <= 0)
        return false;
    tegu_cell_load(r->cell, r->at, r->n, r->x, r->e);
    r->at += r->n;
    return true;
}

static void sum_shadow(reader r, double *exact, double *bound)
{
    double sum = 0, size = 0, error = 0;
    int64_t n = r.end - r.at;
    while (next_chunk(&r))
        for (int64_t i = 0; i < r.n; i++) {
            sum += r.x[i];
            size += isfinite(r.x[i]) ? fabs(r.x[i]) : 0;
            error += r.likely ? r.e[i] * r.e[i] : r.e[i];
        }
    double g = tegu_bound_gamma(n - 1);
    if (r.likely) { /* independent errors: Higham and Mary 2019 */
        error = sqrt(error);
        g = sqrt((double)n) * 0x1p-24;
    }
    *exact = sum;
    if (n <= 1)
        *bound = error;
    else if (size >= (double)FLT_MAX && !isnan(sum))
        *bound = INFINITY; /* a part of the sum may overflow */
    else if (!isfinite(sum))
        *bound = error == 0 ? 0 : INFINITY;
    else
        *bound = error * (1 + g) + g * size;
    tegu_bound_settle(exact, bound);
}

/* sign: 1 for the greatest, -1 for the least (of negated elements). */
static void extreme_shadow(reader r, double sign, double *exact, double *bound)
{
    reader again = r;
    double best = -INFINITY, low = -INFINITY, error = 0;
    bool nan = false, sure = false;
    while (next_chunk(&r))
        for (int64_t i = 0; i < r.n; i++) {
            double x = sign * r.x[i];
            nan |= isnan(x);
            sure |= isnan(x) && r.e[i] == 0;
            best = x > best ? x : best;
            low = x - 2 * r.e[i] > low ? x - 2 * r.e[i] : low;
        }
    while (next_chunk(&again))
        for (int64_t i = 0; i < again.n; i++) {
            double reach = sign * again.x[i] + 2 * again.e[i];
            if ((reach >= low || isinf(again.e[i])) && again.e[i] > error)
                error = again.e[i];
        }
    *exact = nan ? NAN : sign * best;
    *bound = nan ? (sure ? 0 : INFINITY) : error;
}

static void max_shadow(reader r, double *exact, double *bound)
{
    extreme_shadow(r, 1, exact, bound);
}
static void min_shadow(reader r, double *exact, double *bound)
{
    extreme_shadow(r, -1, exact, bound);
}

/* Whether some other element than `best` may be the first maximum. */
static bool argmax_unsure(reader r, int64_t best)
{
    double x, e;
    int64_t first = r.at;
    tegu_cell_load(r.cell, first + best, 1, &x, &e);
    if (isinf(e))
        return true;
    while (next_chunk(&r))
        for (int64_t i = 0; i < r.n; i++) {
            if (r.at - r.n + i == first + best)
                continue;
            if (isinf(r.e[i]) && !(isnan(x) && r.at - r.n + i > first + best))
                return true;
            if (e + r.e[i] > 0 && r.x[i] + 2 * (r.e[i] + e) >= x)
                return true;
        }
    return false;
}

static int64_t argmax_shadow(reader r, bool *unsure)
{
    reader again = r;
    int64_t best = 0, i = 0;
    double most = -INFINITY;
    while (next_chunk(&r) && !isnan(most))
        for (int64_t j = 0; j < r.n && !isnan(most); j++, i++)
            if (i == 0 || r.x[j] > most || isnan(r.x[j])) {
                most = r.x[j];
                best = i;
            }
    *unsure = again.end > again.at && argmax_unsure(again, best);
    return best;
}

/* --- the ops --- */

static bool is_reduced(const tegu_node *node, uint32_t axis)
{
    if (node->op == TEGU_OP_ARGMAX)
        return axis == (uint32_t)tegu_node_int(node, "axis");
    const tegu_attr *axes = tegu_node_attr(node, "axes");
    for (uint32_t i = 0; i < axes->as.ints.count; i++)
        if (axes->as.ints.data[i] == (int64_t)axis)
            return true;
    return false;
}

/* Moves the reduced axes last; the length of a row. */
static int64_t rows_of(tegu_interp *it, const tegu_node *node,
                       const tegu_cell *in, tegu_cell *rows)
{
    uint32_t perm[TEGU_MAX_RANK], n = 0;
    int64_t length = 1;
    for (uint32_t d = 0; d < in->rank; d++)
        if (!is_reduced(node, d))
            perm[n++] = d;
    for (uint32_t d = 0; d < in->rank; d++)
        if (is_reduced(node, d)) {
            perm[n++] = d;
            length *= in->dims[d];
        }
    tegu_cell_transpose(it, in, perm, rows);
    return length;
}

static void reduce_values(const tegu_node *node, const tegu_cell *rows,
                          int64_t length, tegu_cell *out)
{
    row_values f = values[node->op][tegu_carrier(rows->dtype)];
    const char *from = tegu_cell_at(rows, TEGU_PLANE_DATA);
    char *to = tegu_cell_at(out, TEGU_PLANE_DATA);
    size_t in_bytes = tegu_plane_bytes(rows, TEGU_PLANE_DATA);
    size_t out_bytes = tegu_plane_bytes(out, TEGU_PLANE_DATA);
    for (int64_t i = 0; i < out->count; i++)
        f(from + (size_t)(i * length) * in_bytes, length,
          to + (size_t)i * out_bytes);
}

static void reduce_unsure(tegu_interp *it, const tegu_cell *rows,
                          int64_t length, tegu_cell *out)
{
    const uint8_t *x = tegu_cell_at(rows, TEGU_PLANE_UNSURE);
    if (!x)
        return;
    uint8_t *y = tegu_cell_plane(it, out, TEGU_PLANE_UNSURE);
    for (int64_t i = 0; i < out->count; i++)
        y[i] = length && memchr(x + i * length, 1, (size_t)length) != NULL;
}

static void reduce_shadows(tegu_interp *it, const tegu_node *node,
                           const tegu_cell *rows, int64_t length,
                           tegu_cell *out)
{
    static void (*const shadows[TEGU_OP_COUNT])(reader, double *, double *) = {
        [TEGU_OP_REDUCE_SUM] = sum_shadow,
        [TEGU_OP_REDUCE_MAX] = max_shadow,
        [TEGU_OP_REDUCE_MIN] = min_shadow,
    };
    double *exact = tegu_cell_at(out, TEGU_PLANE_EXACT);
    double *bound = tegu_cell_at(out, TEGU_PLANE_BOUND);
    int32_t *index = tegu_cell_at(out, TEGU_PLANE_DATA);
    uint8_t *unsure = node->op == TEGU_OP_ARGMAX
                          ? tegu_cell_plane(it, out, TEGU_PLANE_UNSURE)
                          : NULL;
    double x[CHUNK], e[CHUNK];
    for (int64_t i = 0; i < out->count; i++) {
        reader r = {rows, i * length, (i + 1) * length, 0, x, e, it->likely};
        if (unsure) {
            bool maybe;
            index[i] = (int32_t)argmax_shadow(r, &maybe);
            unsure[i] = maybe;
        } else {
            shadows[node->op](r, &exact[i], &bound[i]);
        }
    }
}

bool tegu_eval_reduce(tegu_interp *it, const tegu_node *node,
                      const tegu_cell *const *in, tegu_cell *out)
{
    tegu_cell rows = {0};
    int64_t length = rows_of(it, node, in[0], &rows);
    bool floats = tegu_carrier(rows.dtype) == TEGU_F32;
    tegu_cell_allocate(it, out);
    if (it->shadow && floats) {
        reduce_shadows(it, node, &rows, length, out);
    } else {
        reduce_values(node, &rows, length, out);
        reduce_unsure(it, &rows, length, out);
    }
    tegu_cell_drop(it, &rows);
    return true;
}
