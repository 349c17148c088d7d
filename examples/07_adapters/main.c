/* SPDX-License-Identifier: Apache-2.0 */
/* One model three times: as it is, with an adapter folded into its weights,
 * and with the adapter kept beside them.  From the repository's root:
 *   tegu compile examples/models/wiki5m --name base -o out
 *   tegu compile examples/models/wiki5m --name folded -o out \
 *       --adapter examples/models/wiki5m-shakespeare --singlora-ramp 1
 *   tegu compile examples/models/wiki5m --name kept -o out -p keep-adapters \
 *       --adapter examples/models/wiki5m-shakespeare --singlora-ramp 1
 *   cc examples/07_adapters/main.c out/base.o out/folded.o out/kept.o -Iout \
 *       -lm -o out/adapters
 *   out/adapters out
 */
#include "base.h"
#include "folded.h"
#include "kept.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { VOCAB = 2048, PROMPT = 6 };

static const int32_t prompt[PROMPT] = {359, 1044, 72, 500, 11, 263};

static void *block(size_t bytes)
{
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void *read_weights(const char *folder, const char *name, size_t bytes)
{
    char path[512];
    void *weights = block(bytes);
    snprintf(path, sizeof path, "%s/%s.weights", folder, name);
    FILE *file = fopen(path, "rb");
    if (!weights || !file || fread(weights, 1, bytes, file) != bytes) {
        fprintf(stderr, "adapters: cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    return weights;
}

/* The logits after the prompt.  Every compiled model has functions of its own
 * name, so that any number of them live in one program. */
#define LOGITS(name, NAME)                                                     \
    static void name##_logits(const char *folder, float *logits)               \
    {                                                                          \
        name##_context model;                                                  \
        void *weights = read_weights(folder, #name, NAME##_WEIGHTS_BYTES);     \
        void *state = block(NAME##_STATE_BYTES);                               \
        void *workspace = block(NAME##_PROMPT_WORKSPACE_MAX);                  \
        if (name##_init(&model, weights, NAME##_WEIGHTS_BYTES, state,          \
                        NAME##_STATE_BYTES) ||                                 \
            name##_prompt(&model, PROMPT, prompt, logits, workspace,           \
                          NAME##_PROMPT_WORKSPACE_MAX))                        \
            exit(1);                                                           \
        free(workspace);                                                       \
        free(state);                                                           \
        free(weights);                                                         \
    }
LOGITS(base, BASE)
LOGITS(folded, FOLDED)
LOGITS(kept, KEPT)

/* The greatest difference, relative to the greatest logit. */
static double apart(const float *a, const float *b)
{
    double most = 0, size = 0;
    for (int i = 0; i < VOCAB; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    return most / size;
}

int main(int argc, char **argv)
{
    static float base[VOCAB], folded[VOCAB], kept[VOCAB];
    const char *folder = argc > 1 ? argv[1] : "out";
    base_logits(folder, base);
    folded_logits(folder, folded);
    kept_logits(folder, kept);
    printf("base and folded differ by %.2g, folded and kept by %.2g\n",
           apart(base, folded), apart(kept, folded));
    printf("kept has %zu kB more weights than folded\n",
           (KEPT_WEIGHTS_BYTES - FOLDED_WEIGHTS_BYTES) / 1000);
    return apart(base, folded) > 0.01 && apart(kept, folded) < 1e-5 ? 0 : 1;
}
