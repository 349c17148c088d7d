/* SPDX-License-Identifier: Apache-2.0 */
/* interp_contract.c - contractions, in f64.
 *
 * Both operands are brought to [batch, rows, k] and packed into panels of
 * TILE rows as f64, k outermost, so that the innermost loops have constant
 * bounds and vectorise (the panel order of Goto and van de Geijn 2008).
 *
 * Bound of sum a b in any order, with or without fused multiply-add, whose
 * operands are off by ea and eb (Higham 2002, section 3.1), with g = gamma_k,
 * A = |a| + ea and B = |b| + eb:
 *     g sum A B + sum (ea |b| + |a| eb + ea eb)
 *   = sum (g A + ea) |b| + sum (1 + g) A eb
 * which are two more contractions, the second only when b has errors.  A
 * likely bound (ir.h) is the root of the sums of the terms' squares.
 */
#include "ir/interp.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { TILE = 4, BLOCK = 256, CHUNK = 512 };

/* What is multiplied with what. */
typedef enum factor {
    FACTOR_VALUE, /* a b */
    FACTOR_SIZE,  /* (g A + ea) |b| */
    FACTOR_ERROR, /* (1 + g) A eb */
    FACTOR_COUNT
} factor;

typedef struct problem {
    tegu_cell a, b; /* [batch, m, k] and [batch, n, k] */
    int64_t batch, m, n, k;
    double gamma;
    bool shadow, likely;
    factor factors; /* how many of them are needed */
} problem;

/* --- packing --- */

static void combine(const problem *p, bool left, int64_t n, const double *x,
                    const double *e, factor f, double *to)
{
    double g = p->gamma;
    for (int64_t i = 0; i < n; i++) {
        double size = fabs(x[i]), all = size + e[i];
        switch (f) {
        case FACTOR_VALUE: to[i] = x[i]; break;
        case FACTOR_SIZE: to[i] = left ? g * all + e[i] : size; break;
        default: to[i] = left ? (1 + g) * all : e[i]; break;
        }
        if (p->likely && f != FACTOR_VALUE)
            to[i] *= to[i];
    }
}

/* Rows [first, first + TILE) of the batch's `rows` rows into
 * to[factor][k][TILE]; rows past the end are zeros. */
static void pack(const problem *p, bool left, int64_t base, int64_t first,
                 int64_t rows, double *to)
{
    const tegu_cell *cell = left ? &p->a : &p->b;
    double x[CHUNK], e[CHUNK], part[CHUNK];
    for (int r = 0; r < TILE; r++)
        for (int64_t at = 0; at < p->k; at += CHUNK) {
            int64_t n = p->k - at < CHUNK ? p->k - at : CHUNK;
            memset(x, 0, sizeof x);
            memset(e, 0, sizeof e);
            if (first + r < rows)
                tegu_cell_load(cell, (base + first + r) * p->k + at, n, x, e);
            for (int f = 0; f < (int)p->factors; f++) {
                combine(p, left, n, x, e, (factor)f, part);
                double *y = to + (f * p->k + at) * TILE + r;
                for (int64_t i = 0; i < n; i++)
                    y[i * TILE] = part[i];
            }
        }
}

/* sums[i][j] += a[k][i] b[k][j] over k. */
static void multiply(int64_t k, const double *a, const double *b,
                     double sums[TILE][TILE])
{
    double s0[TILE] = {0}, s1[TILE] = {0}, s2[TILE] = {0}, s3[TILE] = {0};
    for (int64_t i = 0; i < k; i++, a += TILE, b += TILE)
        for (int j = 0; j < TILE; j++) {
            s0[j] += a[0] * b[j];
            s1[j] += a[1] * b[j];
            s2[j] += a[2] * b[j];
            s3[j] += a[3] * b[j];
        }
    for (int j = 0; j < TILE; j++) {
        sums[0][j] += s0[j];
        sums[1][j] += s1[j];
        sums[2][j] += s2[j];
        sums[3][j] += s3[j];
    }
}

/* --- results --- */

/* Whether the finite products could, in some order, overflow and turn an
 * infinite sum into NaN: column r of a's panel with column c of b's. */
static bool may_overflow(int64_t k, const double *a, const double *b, int r,
                         int c)
{
    double size = 0;
    for (int64_t i = 0; i < k; i++) {
        double product = fabs(a[i * TILE + r] * b[i * TILE + c]);
        size += isfinite(product) ? product : 0;
    }
    return size >= (double)FLT_MAX;
}

/* The bound of element (r, c) of a tile. */
static double bound_of(const problem *p, const double *a, const double *b,
                       int r, int c, double exact, double error)
{
    bool errors =
        p->a.planes[TEGU_PLANE_BOUND] || p->b.planes[TEGU_PLANE_BOUND];
    if (p->k == 0 || (isnan(exact) && !errors))
        return 0;
    if (p->likely)
        error = sqrt(error);
    if (!isfinite(exact))
        return errors || may_overflow(p->k, a, b, r, c) ? INFINITY : 0;
    if (!(error < p->gamma * (double)FLT_MAX))
        return INFINITY; /* a part of the sum may overflow */
    return error + (double)p->k * 0x1p-149;
}

/* Panels of a against one panel of b: rows i.., columns j... */
static void tile(const problem *p, int64_t batch, int64_t i, int64_t j,
                 const double *a, const double *b, tegu_cell *out)
{
    double value[TILE][TILE] = {{0}}, error[TILE][TILE] = {{0}};
    float *values = tegu_cell_at(out, TEGU_PLANE_DATA);
    double *exact = tegu_cell_at(out, TEGU_PLANE_EXACT);
    double *bound = tegu_cell_at(out, TEGU_PLANE_BOUND);
    multiply(p->k, a, b, value);
    for (int f = 1; f < (int)p->factors; f++)
        multiply(p->k, a + f * p->k * TILE, b + f * p->k * TILE, error);
    for (int r = 0; r < TILE && i + r < p->m; r++)
        for (int c = 0; c < TILE && j + c < p->n; c++) {
            int64_t at = (batch * p->m + i + r) * p->n + j + c;
            if (!p->shadow) {
                values[at] = (float)value[r][c];
                continue;
            }
            exact[at] = value[r][c];
            bound[at] = bound_of(p, a, b, r, c, value[r][c], error[r][c]);
            tegu_bound_settle(&exact[at], &bound[at]);
        }
}

static void contract(const problem *p, double *panels_a, double *panel_b,
                     tegu_cell *out)
{
    int64_t panel = (int64_t)p->factors * p->k * TILE;
    for (int64_t z = 0; z < p->batch; z++)
        for (int64_t block = 0; block < p->m; block += BLOCK) {
            int64_t end = p->m - block < BLOCK ? p->m : block + BLOCK;
            for (int64_t i = block; i < end; i += TILE)
                pack(p, true, z * p->m, i, p->m,
                     panels_a + (i - block) / TILE * panel);
            for (int64_t j = 0; j < p->n; j += TILE) {
                pack(p, false, z * p->n, j, p->n, panel_b);
                for (int64_t i = block; i < end; i += TILE)
                    tile(p, z, i, j, panels_a + (i - block) / TILE * panel,
                         panel_b, out);
            }
        }
}

/* --- the op --- */

static bool listed(const tegu_attr *axes, uint32_t d)
{
    for (uint32_t i = 0; i < axes->as.ints.count; i++)
        if (axes->as.ints.data[i] == (int64_t)d)
            return true;
    return false;
}

/* The operand as [batch, free, summed]; the products of their extents. */
static void arrange(tegu_interp *it, const tegu_cell *in,
                    const tegu_attr *batch, const tegu_attr *summed,
                    tegu_cell *out, int64_t extents[3])
{
    uint32_t perm[TEGU_MAX_RANK], n = 0;
    extents[0] = extents[1] = extents[2] = 1;
    for (uint32_t i = 0; i < batch->as.ints.count; i++) {
        perm[n] = (uint32_t)batch->as.ints.data[i];
        extents[0] *= in->dims[perm[n++]];
    }
    for (uint32_t d = 0; d < in->rank; d++)
        if (!listed(batch, d) && !listed(summed, d)) {
            perm[n++] = d;
            extents[1] *= in->dims[d];
        }
    for (uint32_t i = 0; i < summed->as.ints.count; i++) {
        perm[n] = (uint32_t)summed->as.ints.data[i];
        extents[2] *= in->dims[perm[n++]];
    }
    tegu_cell_transpose(it, in, perm, out);
}

bool tegu_eval_contract(tegu_interp *it, const tegu_node *node,
                        const tegu_cell *const *in, tegu_cell *out)
{
    problem p = {
        .shadow = it->shadow, .likely = it->likely, .factors = FACTOR_SIZE};
    int64_t left[3], right[3];
    arrange(it, in[0], tegu_node_attr(node, "batch_a"),
            tegu_node_attr(node, "a"), &p.a, left);
    arrange(it, in[1], tegu_node_attr(node, "batch_b"),
            tegu_node_attr(node, "b"), &p.b, right);
    p.batch = left[0];
    p.m = left[1];
    p.n = right[1];
    p.k = left[2];
    p.gamma = tegu_bound_gamma(p.k);
    if (p.shadow)
        p.factors = p.b.planes[TEGU_PLANE_BOUND] ? FACTOR_COUNT : FACTOR_ERROR;
    tegu_cell_allocate(it, out);
    size_t panel = (size_t)p.factors * (size_t)p.k * TILE * sizeof(double);
    int64_t rows = p.m < BLOCK ? p.m : BLOCK;
    size_t panels = (size_t)((rows + TILE - 1) / TILE);
    tegu_block *a = tegu_block_take(it, panels * panel);
    tegu_block *b = tegu_block_take(it, panel);
    if (out->count)
        contract(&p, a->data, b->data, out);
    tegu_block_drop(it, a);
    tegu_block_drop(it, b);
    tegu_cell_drop(it, &p.a);
    tegu_cell_drop(it, &p.b);
    return true;
}
