/* SPDX-License-Identifier: Apache-2.0 */
/* Calls a compiled vector function.  From the repository's root:
 *   tegu compile examples/01_vector/axpy.tegu -o out
 *   cc examples/01_vector/main.c out/axpy.o -Iout -o out/axpy && out/axpy
 */
#include "axpy.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    enum { N = 5 };
    static alignas(64) char weights[AXPY_WEIGHTS_BYTES];
    static alignas(64) char state[AXPY_STATE_BYTES];
    float a = 2, x[N] = {1, 2, 3, 4, 5}, y[N] = {10, 20, 30, 40, 50}, z[N];

    /* A model without parameters still has a weights file: its head. */
    FILE *file = fopen("out/axpy.weights", "rb");
    if (!file || fread(weights, 1, sizeof weights, file) != sizeof weights)
        return 1;
    fclose(file);

    axpy_context model;
    size_t bytes = axpy_axpy_workspace_bytes(N);
    void *workspace = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (axpy_init(&model, weights, sizeof weights, state, sizeof state) ||
        axpy_axpy(&model, N, &a, x, y, z, workspace, bytes))
        return 1;
    for (int i = 0; i < N; i++)
        printf("%g ", z[i]);
    putchar('\n');
    free(workspace);
    return 0;
}
