/* SPDX-License-Identifier: Apache-2.0 */
/* Weights into the panels that contraction kernels read: see contract.h. */
#include <string.h>

#include "codegen/contract.h"

bool tegu_pack_size(int64_t n, int64_t k, unsigned panel, size_t *bytes)
{
    size_t columns, size;
    if (n < 1 || k < 1 ||
        __builtin_add_overflow((size_t)n, (size_t)panel - 1, &columns))
        return false;
    columns -= columns % panel;
    if (__builtin_mul_overflow(columns, (size_t)k, &size) ||
        __builtin_mul_overflow(size, sizeof(float), &size))
        return false;
    *bytes = size;
    return true;
}

/* One panel, in strips of k that keep both sides in the cache. */
static void pack_panel(float *out, const float *w, int64_t columns, int64_t k,
                       int64_t n_stride, int64_t k_stride, unsigned panel)
{
    enum { STRIP = 64 };
    for (int64_t lo = 0; lo < k; lo += STRIP) {
        int64_t hi = lo + STRIP < k ? lo + STRIP : k;
        for (int64_t j = 0; j < columns; j++)
            for (int64_t i = lo; i < hi; i++)
                out[i * panel + j] = w[j * n_stride + i * k_stride];
    }
    if (columns < panel)
        for (int64_t i = 0; i < k; i++)
            memset(out + i * panel + columns, 0,
                   (size_t)(panel - columns) * sizeof *out);
}

void tegu_pack_panels(float *out, const float *w, int64_t n, int64_t k,
                      int64_t n_stride, int64_t k_stride, unsigned panel,
                      int64_t first, int64_t last)
{
    for (int64_t p = first; p < last; p++) {
        int64_t left = n - p * panel;
        pack_panel(out, w + p * panel * n_stride, left < panel ? left : panel,
                   k, n_stride, k_stride, panel);
        out += k * panel;
    }
}
