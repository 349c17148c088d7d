/* SPDX-License-Identifier: Apache-2.0 */
/* Writes text with the compiled wiki5m.  From the repository's root:
 *   tegu compile examples/models/wiki5m -o out
 *   cc examples/04_generate/main.c out/wiki5m.o -Iout -Iinclude \
 *      -Lbuild/dev/runtime -ltegu_runtime $(pkg-config --libs jansson \
 *      libpcre2-8 libutf8proc) -pthread -lm -o out/generate
 *   out/generate out/wiki5m.weights examples/models/wiki5m " The river" 60 0.8
 */
#include "wiki5m.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tegu/runtime.h>

static int fail(const char *what)
{
    fprintf(stderr, "generate: %s\n", what);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return fail("usage: generate WEIGHTS TOKENIZER PROMPT [TOKENS "
                    "[TEMPERATURE]]");
    tegu_reason why;
    tegu_weights weights;
    tegu_tokenizer *tokenizer;
    tegu_ids ids;
    if (tegu_weights_open(argv[1], 0, &weights, &why) ||
        tegu_tokenizer_open(argv[2], &tokenizer, &why) ||
        tegu_tokenizer_encode(tokenizer, argv[3], strlen(argv[3]), 0, &ids,
                              &why))
        return fail(why.text);

    /* The caller owns all memory: state, workspace, logits. */
    wiki5m_context model;
    size_t bytes = WIKI5M_PROMPT_WORKSPACE_MAX > WIKI5M_STEP_WORKSPACE_MAX
                       ? WIKI5M_PROMPT_WORKSPACE_MAX
                       : WIKI5M_STEP_WORKSPACE_MAX;
    void *state = aligned_alloc(64, WIKI5M_STATE_BYTES);
    void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);
    float logits[2048];
    if (!state || !workspace ||
        wiki5m_init(&model, weights.data, weights.size, state,
                    WIKI5M_STATE_BYTES))
        return fail("cannot start the model");

    /* Without a temperature the likeliest token is taken. */
    tegu_sampler sampler;
    void *scratch = malloc(tegu_sampler_scratch(2048));
    float temperature = argc > 5 ? strtof(argv[5], NULL) : 0;
    if (!scratch ||
        tegu_sampler_init(&sampler, temperature, 40, 0.95f, /* seed */ 7))
        return fail("the temperature is a number from 0");
    if (wiki5m_prompt(&model, (int64_t)ids.count, ids.data, logits, workspace,
                      bytes))
        return fail("the prompt is empty or too long");
    fputs(argv[3], stdout);
    int32_t id = ids.data[ids.count - 1];
    for (int n = argc > 4 ? atoi(argv[4]) : 60; n > 0; n--) {
        int32_t next = tegu_sampler_pick(&sampler, logits, 2048, scratch);
        size_t length;
        const char *text = tegu_tokenizer_decode(tokenizer, id, next, &length);
        fwrite(text, 1, length, stdout);
        id = next;
        if (wiki5m_step(&model, 1, &id, logits, workspace, bytes))
            break; /* the context is full */
    }
    putchar('\n');
    free(scratch);
    free(ids.data);
    free(state);
    free(workspace);
    tegu_tokenizer_close(tokenizer);
    tegu_weights_close(&weights);
    return 0;
}
