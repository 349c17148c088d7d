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
    double *result = square_matrix(arena, n);
    tegu_mark mark = tegu_arena_mark(arena);
    double *vectors = square_matrix(arena, n);
    double *scaled = square_matrix(arena, n);
    double *values = TEGU_ARRAY(arena, double, (size_t)n);
    bool ok;

    memcpy(vectors, gram, (size_t)n * (size_t)n * sizeof *gram);
    ok = tegu_eigen(n, vectors, values);
    for (int64_t j = 0; ok && j < n; j++) {
        double value = values[j] > least * values[0] ? values[j] : 0;
        double factor = value > 0 ? pow(value, power) : 0;
        for (int64_t i = 0; i < n; i++)
            scaled[j * n + i] = factor * vectors[j * n + i];
    }
    if (ok)
        tegu_multiply(true, false, n, n, n, vectors, scaled, result);
    tegu_arena_release(arena, mark);
    return ok ? result : NULL;
}

/* What one matrix is factored with. */
typedef struct factoring {
    const tegu_matrix *matrix;
    tegu_powers *powers;
    const double *weight; /* [out, in], adapters applied */
    double *basis;        /* [full, out] */
    tegu_arena *scratch;
} factoring;

/* basis: eigenvectors of W G^p W^T. */
static bool find_outer(const factoring *f)
{
    int64_t out = f->matrix->out, in = f->matrix->in;
    tegu_powers *p = f->powers;
    double *half =
        tegu_arena_array(f->scratch, (size_t)out, (size_t)in * sizeof(double));
    double *values = TEGU_ARRAY(f->scratch, double, (size_t)out);

    if (!p->whole)
        p->whole = raise(p->n, p->gram, p->power, p->arena);
    if (!p->whole)
        return false;
    tegu_multiply(false, false, out, in, in, f->weight, p->whole, half);
    tegu_multiply(false, true, out, out, in, half, f->weight, f->basis);
    return tegu_eigen(out, f->basis, values);
}

/* basis: W S v_j over its length, by the inner eigenproblem. */
static bool find_inner(const factoring *f)
{
    int64_t out = f->matrix->out, in = f->matrix->in;
    tegu_powers *p = f->powers;
    double *half =
        tegu_arena_array(f->scratch, (size_t)out, (size_t)in * sizeof(double));
    double *vectors = square_matrix(f->scratch, in);
    double *values = TEGU_ARRAY(f->scratch, double, (size_t)in);

    if (!p->half)
        p->half = raise(p->n, p->gram, p->power / 2, p->arena);
    if (!p->half)
        return false;
    tegu_multiply(false, false, out, in, in, f->weight, p->half, half);
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
static void measure(const factoring *f, int64_t full, double *lost)
{
    int64_t out = f->matrix->out, in = f->matrix->in;
    size_t row = (size_t)in * sizeof(double);
    double *thin = tegu_arena_array(f->scratch, (size_t)full, row);
    double *work = tegu_arena_array(f->scratch, (size_t)out, row);
    double all = tegu_energy(out, in, f->weight, f->powers->gram, work),
           sum = 0;

    tegu_multiply(false, false, full, in, out, f->basis, f->weight, thin);
    tegu_multiply(false, false, full, in, in, thin, f->powers->gram, work);
    for (int64_t k = full; k >= 0; k--) {
        lost[k] = all > 0 ? sum / all : 0;
        if (k > 0)
            sum += tegu_dot(in, thin + (k - 1) * in, work + (k - 1) * in);
    }
}

static const double *read_weight(const tegu_matrix *matrix, tegu_arena *arena)
{
    const tegu_node *linear = tegu_graph_node(matrix->graph, matrix->linear);

    return tegu_constant_read(matrix->graph, linear->inputs[1], arena);
}

bool tegu_factor_weight(const tegu_matrix *matrix, tegu_powers *powers,
                        tegu_arena *arena, tegu_factors *factors)
{
    int64_t out = matrix->out, in = matrix->in;
    tegu_factors f = {.matrix = matrix,
                      .full = out < in ? out : in,
                      .most = tegu_break_even(out, in)};
    factoring how = {.matrix = matrix, .powers = powers, .scratch = arena};
    size_t row = (size_t)out * sizeof(double);
    tegu_mark mark;
    bool ok;

    f.basis =
        tegu_arena_array(arena, (size_t)f.most, (size_t)out * sizeof *f.basis);
    f.lost = TEGU_ARRAY(arena, double, (size_t)f.full + 1);
    mark = tegu_arena_mark(arena);
    how.weight = read_weight(matrix, arena);
    how.basis = tegu_arena_array(arena, (size_t)f.full, row);
    if (!how.weight)
        return false;
    ok = out <= in ? find_outer(&how) : find_inner(&how);
    if (ok)
        measure(&how, f.full, f.lost);
    for (int64_t i = 0; i < f.most * out; i++)
        f.basis[i] = (float)how.basis[i];
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

/* U_k^T [rank, out] */
static double *widen(const tegu_factors *f, int64_t rank, tegu_arena *arena)
{
    int64_t count = rank * f->matrix->out;
    double *wide = TEGU_ARRAY(arena, double, (size_t)count);

    for (int64_t i = 0; i < count; i++)
        wide[i] = (double)f->basis[i];
    return wide;
}

/* U_k^T W [rank, in]; NULL after reporting. */
static double *project(const tegu_factors *f, int64_t rank, tegu_arena *arena)
{
    const tegu_matrix *m = f->matrix;
    double *v =
        tegu_arena_array(arena, (size_t)rank, (size_t)m->in * sizeof(double));
    tegu_mark mark = tegu_arena_mark(arena);
    const double *weight = read_weight(m, arena);

    if (weight)
        tegu_multiply(false, false, rank, m->in, m->out, widen(f, rank, arena),
                      weight, v);
    tegu_arena_release(arena, mark);
    return weight ? v : NULL;
}

double *tegu_factor_product(const tegu_factors *f, int64_t rank,
                            tegu_arena *arena)
{
    int64_t out = f->matrix->out, in = f->matrix->in;
    double *product =
        tegu_arena_array(arena, (size_t)out, (size_t)in * sizeof(double));
    tegu_mark mark = tegu_arena_mark(arena);
    const double *v = project(f, rank, arena);

    if (v)
        tegu_multiply(true, false, out, in, rank, widen(f, rank, arena), v,
                      product);
    tegu_arena_release(arena, mark);
    return v ? product : NULL;
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
    const double *v = project(f, rank, scratch);

    if (!v)
        return false;
    for (int64_t i = 0; i < m->out; i++)
        for (int64_t j = 0; j < rank; j++)
            u[i * rank + j] = (double)f->basis[j * m->out + i];
    thin.dims[0] = wide.dims[1] = tegu_width_dim(unit, "rank", rank);
    replacement->name = m->weight;
    replacement->inner = tegu_param_add(
        unit, tegu_format(scratch, "%s.v", m->weight), &thin, v, m->loc);
    replacement->outer = tegu_param_add(
        unit, tegu_format(scratch, "%s.u", m->weight), &wide, u, m->loc);
    tegu_arena_release(scratch, mark);
    return replacement->inner && replacement->outer;
}
