/* SPDX-License-Identifier: Apache-2.0 */
/* greedy.c - prints the ids of greedy decoding from fixed tokens, and nothing
 * else: run natively and under qemu, the two must print the same.  The bits of
 * the logits after the first tokens go to a file if one is named.
 *   greedy WEIGHTS [LOGITS]
 */
#include "wiki5m.h"

#include <stdio.h>
#include <stdlib.h>

enum { VOCAB = 2048, TOKENS = 40 };

static void *block(size_t bytes)
{
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

int main(int argc, char **argv)
{
    static float logits[VOCAB];
    const int32_t prompt[] = {359, 1044, 72, 500, 11, 263};
    wiki5m_context model;
    void *weights = block(WIKI5M_WEIGHTS_BYTES);
    void *state = block(WIKI5M_STATE_BYTES);
    size_t bytes = WIKI5M_PROMPT_WORKSPACE_MAX + WIKI5M_STEP_WORKSPACE_MAX;
    void *workspace = block(bytes);
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (!file ||
        fread(weights, 1, WIKI5M_WEIGHTS_BYTES, file) != WIKI5M_WEIGHTS_BYTES)
        return 1;
    fclose(file);
    if (wiki5m_init(&model, weights, WIKI5M_WEIGHTS_BYTES, state,
                    WIKI5M_STATE_BYTES) ||
        wiki5m_prompt(&model, 6, prompt, logits, workspace, bytes))
        return 1;
    if (argc > 2) {
        file = fopen(argv[2], "wb");
        if (!file || fwrite(logits, sizeof logits, 1, file) != 1 ||
            fclose(file))
            return 1;
    }
    for (int n = 0; n < TOKENS; n++) {
        int32_t best = 0;
        for (int32_t i = 1; i < VOCAB; i++)
            if (logits[i] > logits[best])
                best = i;
        printf("%d ", (int)best);
        if (wiki5m_step(&model, 1, &best, logits, workspace, bytes))
            return 1;
    }
    putchar('\n');
    free(weights);
    free(state);
    free(workspace);
    return 0;
}
