/* SPDX-License-Identifier: Apache-2.0 */
/* Classifies two pictures in one call (the network is not trained: see
 * mlp.tegu).  From the repository's root:
 *   tegu compile examples/02_mlp/mlp.tegu --weights embed -o out
 *   cc examples/02_mlp/main.c out/mlp.o -Iout -o out/mlp && out/mlp
 */
#include "mlp.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 2, SIDE = 28, CLASSES = 10 };

/* A filled ring: what a written zero looks like from far away. */
static void draw_ring(float *image, float radius)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            float dx = (float)x - 13.5f, dy = (float)y - 13.5f;
            float d = dx * dx + dy * dy - radius * radius;
            image[y * SIDE + x] = d > -20 && d < 20 ? 1.0f : 0.0f;
        }
}

int main(void)
{
    static alignas(64) char state[MLP_STATE_BYTES];
    static float images[BATCH * SIDE * SIDE], probabilities[BATCH * CLASSES];
    draw_ring(images, 8);
    draw_ring(images + SIDE * SIDE, 4);

    mlp_context model;
    size_t bytes = mlp_classify_workspace_bytes(BATCH);
    void *workspace = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (mlp_init(&model, NULL, 0, state, sizeof state) ||
        mlp_classify(&model, BATCH, images, probabilities, workspace, bytes))
        return 1;
    for (int b = 0; b < BATCH; b++) {
        float sum = 0;
        printf("picture %d:", b);
        for (int c = 0; c < CLASSES; c++) {
            printf(" %.3f", (double)probabilities[b * CLASSES + c]);
            sum += probabilities[b * CLASSES + c];
        }
        printf("  sum %.3f\n", (double)sum);
    }
    free(workspace);
    return 0;
}
