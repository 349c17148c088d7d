/* SPDX-License-Identifier: Apache-2.0 */
/* adapters.c - adapters of a compiled model from the outside: two slots, what
 * set_adapter refuses, swaps between calls, and contexts with different
 * adapters in threads at the same time.
 *   adapters WEIGHTS FIRST SECOND FOREIGN BASE_LOGITS
 * FIRST and SECOND are files of the two slots; FOREIGN is one of another
 * base; BASE_LOGITS is written for comparison with the model without adapters.
 */
#include "wiki5m.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 2048, PROMPT = 6, THREADS = 4, ROUNDS = 3 };

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "adapters.c:%d: %s\n", __LINE__, #condition);      \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

static const int32_t prompt[PROMPT] = {359, 1044, 72, 500, 11, 263};

typedef struct bytes {
    void *data;
    size_t size;
} bytes;

static bytes weights, first, second;

static void *block(size_t size)
{
    void *data = aligned_alloc(64, (size + 63) / 64 * 64);
    CHECK(data);
    return data;
}

static bytes read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    bytes b = {.size = (size_t)ftell(file)};
    b.data = block(b.size);
    rewind(file);
    CHECK(fread(b.data, 1, b.size, file) == b.size);
    fclose(file);
    return b;
}

static void open_context(wiki5m_context *c)
{
    void *state = block(WIKI5M_STATE_BYTES);
    memset(c, 0x5a, sizeof *c); /* init leaves nothing as it was */
    CHECK(wiki5m_init(c, weights.data, weights.size, state,
                      WIKI5M_STATE_BYTES) == WIKI5M_OK);
}

static void run(const wiki5m_context *c, float *logits)
{
    void *work = block(WIKI5M_PROMPT_WORKSPACE_MAX);
    CHECK(wiki5m_reset(c) == WIKI5M_OK);
    CHECK(wiki5m_prompt(c, PROMPT, prompt, logits, work,
                        WIKI5M_PROMPT_WORKSPACE_MAX) == WIKI5M_OK);
    free(work);
}

/* Sets both slots (a scale of 0: off) and runs. */
static void run_with(wiki5m_context *c, float a, float b, float *logits)
{
    CHECK(wiki5m_set_adapter(c, WIKI5M_ADAPTER_FIRST, first.data, first.size,
                             a) == WIKI5M_OK);
    CHECK(wiki5m_set_adapter(c, WIKI5M_ADAPTER_SECOND, b ? second.data : NULL,
                             b ? second.size : 0, b) == WIKI5M_OK);
    run(c, logits);
}

static double apart(const float *a, const float *b)
{
    double most = 0;
    for (int i = 0; i < VOCAB; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static void refuse_what_does_not_fit(wiki5m_context *c, const char *foreign)
{
    const int32_t slot = WIKI5M_ADAPTER_FIRST;
    bytes other = read_file(foreign);
    float before[VOCAB], after[VOCAB];
    char *broken = block(first.size);
    run_with(c, 1, 0, before);
    memcpy(broken, first.data, first.size);
    broken[0] ^= 1;
    CHECK(wiki5m_set_adapter(NULL, slot, first.data, first.size, 1) ==
          WIKI5M_E_NULL);
    CHECK(wiki5m_set_adapter(c, WIKI5M_ADAPTERS, first.data, first.size, 1) ==
          WIKI5M_E_BOUNDS);
    CHECK(wiki5m_set_adapter(c, -1, first.data, first.size, 1) ==
          WIKI5M_E_BOUNDS);
    CHECK(wiki5m_set_adapter(c, slot, first.data, first.size, NAN) ==
          WIKI5M_E_BOUNDS);
    CHECK(wiki5m_set_adapter(c, slot, first.data, first.size, INFINITY) ==
          WIKI5M_E_BOUNDS);
    CHECK(wiki5m_set_adapter(c, slot, (char *)first.data + 4, first.size, 1) ==
          WIKI5M_E_ALIGN);
    CHECK(wiki5m_set_adapter(c, slot, first.data, first.size - 1, 1) ==
          WIKI5M_E_SIZE);
    CHECK(wiki5m_set_adapter(c, slot, broken, first.size, 1) ==
          WIKI5M_E_MISMATCH);
    CHECK(wiki5m_set_adapter(c, slot, weights.data, weights.size, 1) ==
          WIKI5M_E_MISMATCH);
    CHECK(wiki5m_set_adapter(c, slot, other.data, other.size, 1) ==
          WIKI5M_E_MISMATCH);
    run(c, after); /* as it was */
    CHECK(memcmp(before, after, sizeof before) == 0);
    free(broken);
    free(other.data);
}

/* The second adapter is a copy of the first: what it gives in the one slot it
 * gives in the other, and both at a half are one. */
static void swap_between_calls(wiki5m_context *c, const char *base_logits)
{
    float base[VOCAB], one[VOCAB], two[VOCAB], both[VOCAB], moved[VOCAB];
    run(c, base);
    FILE *file = fopen(base_logits, "wb");
    CHECK(file && fwrite(base, sizeof base, 1, file) == 1);
    CHECK(fclose(file) == 0);
    run_with(c, 1, 0, one);
    CHECK(apart(base, one) > 0.1);
    run_with(c, 0, 1, two);
    CHECK(apart(one, two) < 1e-4);
    run_with(c, 0.5f, 0.5f, both);
    CHECK(apart(one, both) < 1e-3);
    run_with(c, -1, 0, two);
    CHECK(apart(base, two) > 0.1 && apart(one, two) > apart(base, two));
    run_with(c, 0, 0, two);
    CHECK(memcmp(base, two, sizeof base) == 0);
    /* The file of the other slot, from another compilation, fits as well. */
    CHECK(wiki5m_set_adapter(c, WIKI5M_ADAPTER_FIRST, second.data, second.size,
                             1) == WIKI5M_OK);
    run(c, moved);
    CHECK(memcmp(one, moved, sizeof one) == 0);
}

/* Contexts share weights and files, each with its own setting. */
static void *alternate(void *data)
{
    const int *number = data;
    float scale = (float)(*number % 2), want[VOCAB], got[VOCAB];
    wiki5m_context c;
    open_context(&c);
    run_with(&c, scale, 0, want);
    for (int i = 0; i < ROUNDS; i++) {
        run_with(&c, 1 - scale, 0, got);
        CHECK(apart(want, got) > 0.1);
        run_with(&c, scale, 0, got);
        CHECK(memcmp(want, got, sizeof want) == 0);
    }
    free(c.state);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    wiki5m_context c;
    CHECK(argc == 6);
    weights = read_file(argv[1]);
    first = read_file(argv[2]);
    second = read_file(argv[3]);
    CHECK(first.size == WIKI5M_ADAPTER_FIRST_BYTES);
    CHECK(second.size == WIKI5M_ADAPTER_SECOND_BYTES);
    CHECK(WIKI5M_ADAPTER_SECOND_SCALE == 0.5f);
    open_context(&c);
    swap_between_calls(&c, argv[5]);
    refuse_what_does_not_fit(&c, argv[4]);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(!pthread_create(&threads[i], NULL, alternate, &numbers[i]));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    free(c.state);
    free(weights.data);
    free(first.data);
    free(second.data);
    puts("adapters switched, swapped and refused as documented");
    return 0;
}
