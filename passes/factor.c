/* SPDX-License-Identifier: Apache-2.0 */
/* factor.c - activation-aware low-rank factors of one weight.
 *
 * For inputs with Gram matrix G the best W' of rank k, by tr(dW G dW^T), is
 * U_k U_k^T W with U_k the first eigenvectors of W G W^T [out, out] (EMLoC's
 * emulator, SVD-LLM's optimum without inverting a whitening: papers.md 2.2).
 * G^p in its place gives less weight to the directions that few tokens use
 * heavily; p = 1/2 measures better (reference.md 2.3).  Where out > in the
 * eigenproblem is solved on the inner side: V of S W^T W S, S = G^(p/2), and
 * u_j = W S v_j over its length.
 */
#include "passes/factor.h"
#include "passes/linalg.h"

#include <math.h>
#include <string.h>

/* Eigenvalues below this part of the largest are rounding. */
static const double least = 1e-14;

static double *square_matrix(tegu_arena *arena, int64_t n)
{
    return tegu_arena_array(arena, (size_t)n, (size_t)n * sizeof(double));
}

/* gram^power [n, n], symmetric; NULL when it has no eigenvalues. */
static double *raise(int64_t n, const double *gram, double power,
                     tegu_arena *arena)
{
    double *vectors = square_matrix(arena, n);
    double *scaled = square_matrix(arena, n);
    double *result = square_matrix(arena, n);
    double *values = TEGU_ARRAY(arena, double, (size_t)n);

    memcpy(vectors, gram, (size_t)n * (size_t)n * sizeof *gram);
    if (!tegu_eigen(n, vectors, values))
        return NULL;
    for (int64_t j = 0; j < n; j++) {
        double value = values[j] > least * values[0] ? values[j] : 0;
        double factor = value > 0 ? pow(value, power) : 0;
        for (int64_t i = 0; i < n; i++)
            scaled[j * n + i] = factor * vectors[j * n + i];
    }
    tegu_multiply(true, false, n, n, n, vectors, scaled, result);
    return result;
}

/* basis: eigenvectors of W G^p W^T. */
static bool find_outer(tegu_factors *f, const double *gram, double power,
                       tegu_arena *scratch)
{
    int64_t out = f->matrix->out, in = f->matrix->in;
    double *powered = raise(in, gram, power, scratch);
    double *half =
        tegu_arena_array(scratch, (size_t)out, (size_t)in * sizeof(double));
    double *values = TEGU_ARRAY(scratch, double, (size_t)out);

    if (!powered)
        return false;
    tegu_multiply(false, false, out, in, in, f->weight, powered, half);
    tegu_multiply(false, true, out, out, in, half, f->weight, f->basis);
    return tegu_eigen(out, f->basis, values);
}

/* basis: W S v_j over its length, by the inner eigenproblem. */
static bool find_inner(tegu_factors *f, const double *gram, double power,
                       tegu_arena *scratch)
{
    int64_t out = f->matrix->out, in = f->matrix->in;
    double *root = raise(in, gram, power / 2, scratch);
    double *half =
        tegu_arena_array(scratch, (size_t)out, (size_t)in * sizeof(double));
    double *vectors = square_matrix(scratch, in);
    double *values = TEGU_ARRAY(scratch, double, (size_t)in);

    if (!root)
        return false;
    tegu_multiply(false, false, out, in, in, f->weight, root, half);
    tegu_multiply(true, false, in, in, out, half, half, vectors);
    if (!tegu_eigen(in, vectors, values))
        return false;
    tegu_multiply(false, true, in, out, in, vectors, half, f->basis);
    for (int64_t j = 0; j < in; j++) {
        double *u = f->basis + j * out;
        double length = sqrt(tegu_dot(out, u, u));
        double factor = values[j] > least * values[0] ? 1 / length : 0;
        for (int64_t i = 0; i < out; i++)
            u[i] *= factor;
    }
    return true;
}

/* lost[k]: the whole less what u_0 .. u_(k-1) keep, u^T W G W^T u each. */
static void measure(tegu_factors *f, const double *gram, tegu_arena *scratch)
{
    int64_t out = f->matrix->out, in = f->matrix->in;
    size_t row = (size_t)in * sizeof(double);
    double *thin = tegu_arena_array(scratch, (size_t)f->full, row);
    double *work = tegu_arena_array(scratch, (size_t)out, row);
    double all = tegu_energy(out, in, f->weight, gram, work), lost = 0;

    tegu_multiply(false, false, f->full, in, out, f->basis, f->weight, thin);
    tegu_multiply(false, false, f->full, in, in, thin, gram, work);
    for (int64_t k = f->full; k >= 0; k--) {
        f->lost[k] = all > 0 ? lost / all : 0;
        if (k > 0)
            lost += tegu_dot(in, thin + (k - 1) * in, work + (k - 1) * in);
    }
}

bool tegu_factor_weight(const tegu_matrix *matrix, const double *gram,
                        double power, tegu_arena *arena, tegu_factors *factors)
{
    int64_t out = matrix->out, in = matrix->in;
    const tegu_node *linear = tegu_graph_node(matrix->graph, matrix->linear);
    tegu_factors f = {.matrix = matrix, .full = out < in ? out : in};
    tegu_mark mark;
    bool ok;

    f.weight = tegu_constant_read(matrix->graph, linear->inputs[1], arena);
    f.basis =
        tegu_arena_array(arena, (size_t)f.full, (size_t)out * sizeof(double));
    f.lost = TEGU_ARRAY(arena, double, (size_t)f.full + 1);
    if (!f.weight)
        return false;
    mark = tegu_arena_mark(arena);
    ok = out <= in ? find_outer(&f, gram, power, arena)
                   : find_inner(&f, gram, power, arena);
    if (ok)
        measure(&f, gram, arena);
    tegu_arena_release(arena, mark);
    *factors = f;
    return (ok && isfinite(f.lost[0])) ||
           tegu_error(matrix->graph->unit->diag, matrix->loc,
                      TEGU_E_UNSUPPORTED,
                      "what '%s' reads over the calibration data has no "
                      "finite statistics",
                      matrix->weight);
}

int64_t tegu_break_even(int64_t out, int64_t in)
{
    return (out * in - 1) / (out + in);
}

int64_t tegu_kept_rank(int64_t out, int64_t in, double keep)
{
    double size = (double)out * (double)in / (double)(out + in);
    int64_t rank = (int64_t)floor(size * keep);
    int64_t most = tegu_break_even(out, in);

    rank = rank > 1 ? rank : 1;
    return rank < most ? rank : most;
}

bool tegu_factor_store(tegu_unit *unit, const tegu_factors *f, int64_t rank,
                       tegu_arena *scratch, tegu_replacement *replacement)
{
    const tegu_matrix *m = f->matrix;
    const tegu_node *linear = tegu_graph_node(m->graph, m->linear);
    tegu_type thin = *tegu_graph_type(m->graph, linear->inputs[1]);
    tegu_type wide = thin;
    tegu_mark mark = tegu_arena_mark(scratch);
    double *u = tegu_arena_array(scratch, (size_t)m->out,
                                 (size_t)rank * sizeof(double));
    double *v =
        tegu_arena_array(scratch, (size_t)rank, (size_t)m->in * sizeof(double));

    for (int64_t i = 0; i < m->out; i++)
        for (int64_t j = 0; j < rank; j++)
            u[i * rank + j] = f->basis[j * m->out + i];
    tegu_multiply(false, false, rank, m->in, m->out, f->basis, f->weight, v);
    thin.dims[0] = wide.dims[1] = tegu_width_dim(unit, "rank", rank);
    replacement->name = m->weight;
    replacement->inner = tegu_param_add(
        unit, tegu_format(scratch, "%s.v", m->weight), &thin, v, m->loc);
    replacement->outer = tegu_param_add(
        unit, tegu_format(scratch, "%s.u", m->weight), &wide, u, m->loc);
    tegu_arena_release(scratch, mark);
    return replacement->inner && replacement->outer;
}
