/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abi_client.c - an application of the model `tiny` that test_codegen.c
 * compiles, here and for AArch64: it holds the object to docs/abi.md.  Not
 * part of the build.
 *
 *     client OUT [WEIGHTS]    writes the logits of seven tokens to OUT;
 *                             exits with the line of the first broken promise
 */
#define _GNU_SOURCE
#include "tiny.h"

#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { T = 7, VOCAB = 50, THREADS = 8 };

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "client: line %d: %s\n", __LINE__, #condition);    \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

static const int32_t tokens[T] = {3, 49, 0, 17, 17, 1000000, -5};
static const void *weights;
static size_t weights_bytes;

/* `bytes` bytes that end (or begin) at a page that cannot be touched. */
static void *guarded(size_t bytes, int at_end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = (bytes + page - 1) / page * page + (bytes == 0 ? page : 0);
    char *base = mmap(NULL, body + 2 * page, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(base != MAP_FAILED);
    CHECK(mprotect(base + page, body, PROT_READ | PROT_WRITE) == 0);
    memset(base + page, 0xA5, body);
    return base + page + (at_end ? body - bytes : 0);
}

typedef struct model {
    tiny_context c;
    void *state, *work;
    size_t work_bytes;
    int32_t *in;
    float *out;
} model;

/* Buffers for calls of at most `count` tokens. */
static model open_for(int64_t count, int at_end)
{
    model m;
    m.work_bytes = tiny_step_workspace_bytes(count);
    CHECK(m.work_bytes > 0 && m.work_bytes <= TINY_STEP_WORKSPACE_MAX);
    m.state = guarded(TINY_STATE_BYTES, at_end);
    m.work = guarded(m.work_bytes, at_end);
    m.in = guarded(sizeof(int32_t) * (size_t)count, at_end);
    m.out = guarded(sizeof(float) * (size_t)count * VOCAB, at_end);
    for (int64_t i = 0; i < count; i++)
        m.in[i] = tokens[i % T];
    CHECK(tiny_init(&m.c, weights, weights_bytes, m.state, TINY_STATE_BYTES) ==
          TINY_OK);
    CHECK(m.c.parallel_for == NULL && m.c.threads == 1);
    return m;
}

static model open_model(int at_end)
{
    return open_for(T, at_end);
}

static int step(model *m, int64_t first, int64_t count)
{
    return tiny_step(&m->c, count, m->in + first, m->out + first * VOCAB,
                     m->work, m->work_bytes);
}

static int close_to(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(a[i] - b[i] < 1e-4f && b[i] - a[i] < 1e-4f))
            return 0;
    return 1;
}

/* ---- promises ---- */

static void check_pages(float *logits)
{
    for (int at_end = 0; at_end < 2; at_end++) {
        model m = open_model(at_end);
        CHECK(step(&m, 0, T) == TINY_OK);
        CHECK(tiny_position(&m.c) == T);
        if (at_end)
            CHECK(memcmp(logits, m.out, sizeof(float) * T * VOCAB) == 0);
        memcpy(logits, m.out, sizeof(float) * T * VOCAB);
    }
}

static void check_tokens_one_by_one(const float *logits)
{
    model m = open_model(1);
    for (int i = 0; i < T; i++)
        CHECK(step(&m, i, 1) == TINY_OK);
    CHECK(close_to(m.out, logits, T * VOCAB));
}

static void check_misuse(void)
{
    model m = open_model(1);
    tiny_context c = m.c;
    char *w = (char *)weights;
    CHECK(tiny_step(NULL, 1, m.in, m.out, m.work, m.work_bytes) == TINY_E_NULL);
    CHECK(tiny_step(&c, 1, NULL, m.out, m.work, m.work_bytes) == TINY_E_NULL);
    CHECK(tiny_step(&c, 1, m.in, NULL, m.work, m.work_bytes) == TINY_E_NULL);
    CHECK(tiny_step(&c, 1, m.in, m.out, NULL, m.work_bytes) == TINY_E_NULL);
    CHECK(tiny_step(&c, 1, m.in, m.out, (char *)m.work + 4, m.work_bytes) ==
          TINY_E_ALIGN);
    CHECK(tiny_step(&c, T, m.in, m.out, m.work, m.work_bytes - 1) ==
          TINY_E_SIZE);
    CHECK(step(&m, 0, 0) == TINY_E_BOUNDS);
    CHECK(step(&m, 0, -1) == TINY_E_BOUNDS);
    CHECK(step(&m, 0, TINY_STEP_T_MAX + 1) == TINY_E_BOUNDS);
    CHECK(step(&m, 0, INT64_MAX) == TINY_E_BOUNDS);
    CHECK(tiny_step_workspace_bytes(0) == 0);
    CHECK(tiny_step_workspace_bytes(INT64_MAX) == 0);
    CHECK(tiny_position(&m.c) == 0);
    c.state = (char *)m.state + 8;
    CHECK(tiny_step(&c, 1, m.in, m.out, m.work, m.work_bytes) == TINY_E_ALIGN);
    CHECK(tiny_reset(&c) == TINY_E_ALIGN);
    c.state = NULL;
    CHECK(tiny_step(&c, 1, m.in, m.out, m.work, m.work_bytes) == TINY_E_NULL);
    CHECK(tiny_reset(&c) == TINY_E_NULL && tiny_reset(NULL) == TINY_E_NULL);
    CHECK(tiny_position(&c) == -1 && tiny_save_bytes(&c) == 0);
    CHECK(tiny_position(NULL) == -1);
    c.state = m.work;
    CHECK(tiny_step(&c, 1, m.in, m.out, m.work, m.work_bytes) ==
          TINY_E_MISMATCH);
    CHECK(tiny_init(NULL, weights, weights_bytes, m.state, TINY_STATE_BYTES) ==
          TINY_E_NULL);
    CHECK(tiny_init(&c, weights, weights_bytes, NULL, TINY_STATE_BYTES) ==
          TINY_E_NULL);
    CHECK(tiny_init(&c, weights, weights_bytes, (char *)m.state + 16,
                    TINY_STATE_BYTES) == TINY_E_ALIGN);
    CHECK(tiny_init(&c, weights, weights_bytes, m.state,
                    TINY_STATE_BYTES - 1) == TINY_E_SIZE);
    if (!w) {
        CHECK(tiny_init(&c, m.work, 0, m.state, TINY_STATE_BYTES) ==
              TINY_E_MISMATCH);
        return;
    }
    CHECK(tiny_init(&c, NULL, weights_bytes, m.state, TINY_STATE_BYTES) ==
          TINY_E_NULL);
    CHECK(tiny_init(&c, w + 4, weights_bytes, m.state, TINY_STATE_BYTES) ==
          TINY_E_ALIGN);
    CHECK(tiny_init(&c, w, weights_bytes - 1, m.state, TINY_STATE_BYTES) ==
          TINY_E_SIZE);
    for (int i = 0; i < 24; i += 8) {
        w[i] ^= 1;
        CHECK(tiny_init(&c, w, weights_bytes, m.state, TINY_STATE_BYTES) ==
              TINY_E_MISMATCH);
        w[i] ^= 1;
    }
}

static void check_capacity(void)
{
    model m = open_model(1);
    int64_t used = 0;
    for (; used + T <= TINY_CONTEXT; used += T)
        CHECK(step(&m, 0, T) == TINY_OK);
    memset(m.out, 0, sizeof(float) * VOCAB);
    CHECK(step(&m, 0, T) == TINY_E_CONTEXT);
    CHECK(m.out[0] == 0 && tiny_position(&m.c) == used);
    for (; used < TINY_CONTEXT; used++)
        CHECK(step(&m, 0, 1) == TINY_OK);
    CHECK(step(&m, 0, 1) == TINY_E_CONTEXT);
}

static void check_rewind(const float *logits)
{
    model m = open_model(1);
    CHECK(step(&m, 0, T) == TINY_OK);
    CHECK(tiny_rewind(&m.c, T + 1) == TINY_E_POSITION);
    CHECK(tiny_rewind(&m.c, -1) == TINY_E_POSITION);
    CHECK(tiny_rewind(&m.c, 3) == TINY_OK && tiny_position(&m.c) == 3);
    memset(m.out, 0, sizeof(float) * T * VOCAB);
    CHECK(step(&m, 3, T - 3) == TINY_OK);
    CHECK(close_to(m.out + 3 * VOCAB, logits + 3 * VOCAB, (T - 3) * VOCAB));
    CHECK(tiny_rewind(&m.c, 0) == TINY_OK && step(&m, 0, T) == TINY_OK);
    CHECK(memcmp(m.out, logits, sizeof(float) * T * VOCAB) == 0);
    CHECK(tiny_reset(&m.c) == TINY_OK && tiny_position(&m.c) == 0);
}

static void check_saving(const float *logits)
{
    model a = open_model(1), b = open_model(1);
    size_t empty = tiny_save_bytes(&a.c);
    CHECK(step(&a, 0, 4) == TINY_OK);
    size_t bytes = tiny_save_bytes(&a.c);
    CHECK(empty > 0 && bytes > empty && bytes <= TINY_STATE_BYTES);
    char *saved = (char *)guarded(bytes + 1, 1) + 1;
    CHECK(tiny_save(&a.c, saved, bytes - 1) == TINY_E_SIZE);
    CHECK(tiny_save(&a.c, NULL, bytes) == TINY_E_NULL);
    CHECK(tiny_save(&a.c, saved, bytes) == TINY_OK);
    CHECK(tiny_load(&b.c, saved, bytes - 1) == TINY_E_SIZE);
    CHECK(tiny_load(&b.c, saved, 3) == TINY_E_SIZE);
    CHECK(tiny_load(&b.c, NULL, bytes) == TINY_E_NULL);
    saved[0] ^= 1;
    CHECK(tiny_load(&b.c, saved, bytes) == TINY_E_MISMATCH);
    saved[0] ^= 1;
    saved[15] ^= 0x40;
    CHECK(tiny_load(&b.c, saved, bytes) == TINY_E_MISMATCH);
    saved[15] ^= 0x40;
    CHECK(tiny_position(&b.c) == 0);
    CHECK(step(&b, 0, T) == TINY_OK);
    CHECK(tiny_load(&b.c, saved, bytes) == TINY_OK);
    CHECK(tiny_position(&b.c) == 4);
    CHECK(step(&a, 4, T - 4) == TINY_OK && step(&b, 4, T - 4) == TINY_OK);
    CHECK(memcmp(a.out + 4 * VOCAB, b.out + 4 * VOCAB,
                 sizeof(float) * (T - 4) * VOCAB) == 0);
    CHECK(close_to(b.out + 4 * VOCAB, logits + 4 * VOCAB, (T - 4) * VOCAB));
}

static void backwards(void *pool, tiny_task task, void *data, int64_t parts)
{
    ++*(int *)pool;
    for (int64_t part = parts; part-- > 0;)
        task(data, part, parts);
}

static void check_parts(void)
{
    int forks = 0;
    model whole = open_for(TINY_CONTEXT, 1), m = open_for(TINY_CONTEXT, 1);
    m.c.parallel_for = backwards;
    m.c.pool = &forks;
    m.c.threads = 5;
    CHECK(step(&whole, 0, TINY_CONTEXT) == TINY_OK);
    CHECK(step(&m, 0, TINY_CONTEXT) == TINY_OK && forks > 0);
    CHECK(close_to(m.out, whole.out, TINY_CONTEXT * VOCAB));
}

static void check_environment(void)
{
    model m = open_model(1);
    fesetround(FE_UPWARD);
#ifdef __x86_64__
    unsigned before = __builtin_ia32_stmxcsr() & ~0x3fu;
#endif
    CHECK(step(&m, 0, T) == TINY_OK);
    CHECK(fegetround() == FE_UPWARD);
#ifdef __x86_64__
    CHECK((__builtin_ia32_stmxcsr() & ~0x3fu) == before);
#endif
    fesetround(FE_TONEAREST);
}

static void *run_alone(void *logits)
{
    for (int round = 0; round < 20; round++) {
        model m = open_model(round & 1);
        CHECK(step(&m, 0, T) == TINY_OK);
        CHECK(memcmp(m.out, logits, sizeof(float) * T * VOCAB) == 0);
    }
    return NULL;
}

static void check_threads(float *logits)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, run_alone, logits) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void read_weights(const char *path)
{
    FILE *file = fopen(path, "rb");
    CHECK(file);
    weights_bytes = TINY_WEIGHTS_BYTES;
    void *data = guarded(weights_bytes, 1);
    CHECK(fread(data, 1, weights_bytes, file) == weights_bytes);
    CHECK(fgetc(file) == EOF);
    fclose(file);
    weights = data;
}

int main(int argc, char **argv)
{
    static float logits[T * VOCAB];
    if (argc > 2)
        read_weights(argv[2]);
    check_pages(logits);
    check_tokens_one_by_one(logits);
    check_misuse();
    check_capacity();
    check_rewind(logits);
    check_saving(logits);
    check_parts();
    check_environment();
    check_threads(logits);
    FILE *out = fopen(argv[1], "wb");
    CHECK(out);
    CHECK(fwrite(logits, sizeof logits, 1, out) == 1);
    CHECK(fclose(out) == 0);
    return 0;
}
