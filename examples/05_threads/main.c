/* SPDX-License-Identifier: Apache-2.0 */
/* Two models in one program, called from several threads at once: each thread
 * has its own state and workspace; the weights are shared.  From the
 * repository's root:
 *   tegu compile examples/models/wiki5m --name left -o out
 *   tegu compile examples/models/wiki5m --name right --weights embed -o out
 *   cc examples/05_threads/main.c out/left.o out/right.o -Iout -Iinclude \
 *      -Lbuild/dev/runtime -ltegu_runtime -pthread -o out/threads
 *   out/threads out/left.weights
 */
#include "left.h"
#include "right.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <tegu/runtime.h>

enum { THREADS = 4, TOKENS = 32, VOCAB = 2048 };

typedef struct worker {
    const tegu_weights *weights;
    int number;
    int32_t last; /* the token that greedy decoding ended with */
    int status;
} worker;

static int32_t likeliest(const float *logits)
{
    int32_t best = 0;
    for (int32_t i = 1; i < VOCAB; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* Even workers run the left model, odd ones the right; both are the same
 * network, so all must end alike. */
#define RUN(name, NAME, data, size)                                            \
    do {                                                                       \
        name##_context model;                                                  \
        size_t bytes = name##_step_workspace_bytes(1);                         \
        void *state = aligned_alloc(64, NAME##_STATE_BYTES);                   \
        void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);           \
        int32_t id = 1;                                                        \
        w->status =                                                            \
            name##_init(&model, data, size, state, NAME##_STATE_BYTES);        \
        for (int i = 0; i < TOKENS && w->status == 0; i++) {                   \
            w->status = name##_step(&model, 1, &id, logits, workspace, bytes); \
            id = likeliest(logits);                                            \
        }                                                                      \
        w->last = id;                                                          \
        free(state);                                                           \
        free(workspace);                                                       \
    } while (0)

static void *work(void *data)
{
    worker *w = data;
    float logits[VOCAB];
    if (w->number % 2)
        RUN(right, RIGHT, NULL, 0);
    else
        RUN(left, LEFT, w->weights->data, w->weights->size);
    return NULL;
}

int main(int argc, char **argv)
{
    tegu_weights weights;
    tegu_reason why;
    if (argc < 2 || tegu_weights_open(argv[1], 0, &weights, &why))
        return 1;
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.weights = &weights, .number = i};
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    int bad = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        bad |= workers[i].status != 0 || workers[i].last != workers[0].last;
    }
    printf("%d threads, 2 models: %s\n", THREADS,
           bad ? "they disagree" : "all agree");
    tegu_weights_close(&weights);
    return bad;
}
