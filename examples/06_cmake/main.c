/* SPDX-License-Identifier: Apache-2.0 */
/* Uses a model that tegu_add_model() compiled with its weights inside. */
#include "axpy.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <tegu/runtime.h>

int main(void)
{
    static alignas(64) char state[AXPY_STATE_BYTES];
    float a = 3, x[2] = {1, 2}, y[2] = {0.5f, 0.25f}, z[2];
    axpy_context model;
    size_t bytes = axpy_axpy_workspace_bytes(2);
    void *workspace = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (axpy_init(&model, NULL, 0, state, sizeof state) ||
        axpy_axpy(&model, 2, &a, x, y, z, workspace, bytes))
        return 1;
    printf("%s: %g %g\n", tegu_cpu_level(), z[0], z[1]);
    free(workspace);
    return z[0] == 3.5f && z[1] == 6.25f ? 0 : 1;
}
