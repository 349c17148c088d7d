/* SPDX-License-Identifier: Apache-2.0 */
/* An adapter folded into a model's weights, and the same adapter kept beside
 * them, switched and scaled between calls.  From the repository's root:
 *   tegu compile examples/models/wiki5m --name folded -o out \
 *       --adapter examples/models/wiki5m-shakespeare --singlora-ramp 1
 *   tegu compile examples/models/wiki5m --name model -o out --keep-adapters \
 *       --adapter examples/models/wiki5m-shakespeare --singlora-ramp 1
 *   cc examples/07_adapters/main.c out/folded.o out/model.o -Iout -lm \
 *       -o out/adapters
 *   out/adapters out
 */
#include "folded.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 2048, PROMPT = 6 };

static const int32_t prompt[PROMPT] = {359, 1044, 72, 500, 11, 263};

static void *block(size_t bytes)
{
    void *data = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!data)
        exit(1);
    return data;
}

/* Adapters are files like weights: read here, they might be mapped. */
static void *read_file(const char *folder, const char *name, size_t bytes)
{
    char path[512];
    void *data = block(bytes);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file || fread(data, 1, bytes, file) != bytes) {
        fprintf(stderr, "adapters: cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    return data;
}

static void require(int status)
{
    if (status) {
        fprintf(stderr, "adapters: status %d\n", status);
        exit(1);
    }
}

/* The folded model: nothing tells that there was an adapter. */
static void folded_logits(const char *folder, float *logits)
{
    folded_context c;
    void *state = block(FOLDED_STATE_BYTES);
    void *work = block(FOLDED_PROMPT_WORKSPACE_MAX);
    void *weights = read_file(folder, "folded.weights", FOLDED_WEIGHTS_BYTES);
    require(folded_init(&c, weights, FOLDED_WEIGHTS_BYTES, state,
                        FOLDED_STATE_BYTES));
    require(folded_prompt(&c, PROMPT, prompt, logits, work,
                          FOLDED_PROMPT_WORKSPACE_MAX));
    free(work);
    free(weights);
    free(state);
}

/* The logits after the prompt, with the adapters as they are set now. */
static void logits_of(const model_context *c, float *logits)
{
    void *work = block(MODEL_PROMPT_WORKSPACE_MAX);
    require(model_reset(c));
    require(model_prompt(c, PROMPT, prompt, logits, work,
                         MODEL_PROMPT_WORKSPACE_MAX));
    free(work);
}

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
    static float folded[VOCAB], off[VOCAB], on[VOCAB], half[VOCAB],
        again[VOCAB];
    const char *folder = argc > 1 ? argv[1] : "out";
    const size_t bytes = MODEL_ADAPTER_WIKI5M_SHAKESPEARE_BYTES;
    void *weights = read_file(folder, "model.weights", MODEL_WEIGHTS_BYTES);
    void *adapter =
        read_file(folder, "model.wiki5m_shakespeare.adapter", bytes);
    void *state = block(MODEL_STATE_BYTES);
    model_context c;

    folded_logits(folder, folded);
    require(
        model_init(&c, weights, MODEL_WEIGHTS_BYTES, state, MODEL_STATE_BYTES));
    logits_of(&c, off); /* the base model: adapters start switched off */
    require(model_set_adapter(&c, MODEL_ADAPTER_WIKI5M_SHAKESPEARE, adapter,
                              bytes, MODEL_ADAPTER_WIKI5M_SHAKESPEARE_SCALE));
    logits_of(&c, on);
    require(model_set_adapter(&c, MODEL_ADAPTER_WIKI5M_SHAKESPEARE, adapter,
                              bytes, 0.5f));
    logits_of(&c, half);
    require(
        model_set_adapter(&c, MODEL_ADAPTER_WIKI5M_SHAKESPEARE, NULL, 0, 0));
    logits_of(&c, again);

    printf("on and folded differ by %.2g\n", apart(on, folded));
    printf("off and on differ by %.2g, half by %.2g\n", apart(off, on),
           apart(half, on));
    printf("the adapter takes %zu kB, the base model %zu kB\n", bytes / 1000,
           (size_t)MODEL_WEIGHTS_BYTES / 1000);
    free(weights);
    free(adapter);
    free(state);
    return apart(on, folded) < 1e-5 && apart(off, on) > 0.01 &&
                   apart(half, on) < apart(off, on) &&
                   memcmp(off, again, sizeof off) == 0
               ? 0
               : 1;
}
