/* SPDX-License-Identifier: Apache-2.0 */
/* provider_pca.c - the directions that hold most of the stream's energy.
 *
 * Takes X^T X; gives its `width` leading eigenvectors (Ashkboos et al. 2024,
 * SliceGPT, section 3.3), which no other subspace beats in kept energy.  1 %
 * of the mean diagonal is added first, as there: it keeps a rank-deficient
 * Gram matrix away from noise and moves no eigenvector.
 */
#include "passes/linalg.h"
#include "passes/provider.h"

static bool find(tegu_subspace *s)
{
    int64_t n = s->extent;
    tegu_mark mark = tegu_arena_mark(s->scratch);
    double *a = tegu_arena_copy(s->scratch, s->stats->gram,
                                (size_t)(n * n) * sizeof *a);
    double *values = TEGU_ARRAY(s->scratch, double, (size_t)n), trace = 0;
    bool ok;

    for (int64_t i = 0; i < n; i++)
        trace += a[i * n + i];
    for (int64_t i = 0; i < n; i++)
        a[i * n + i] += 0.01 * trace / (double)n;
    ok = tegu_eigen(n, a, values);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < s->width; j++)
            s->q[i * s->width + j] = a[j * n + i];
    tegu_arena_release(s->scratch, mark);
    return ok || tegu_error(s->unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                            "the eigenproblem of the activations failed");
}

const tegu_provider tegu_provider_pca = {"pca", true, false, find};
