/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tegu_bench_kernels: the generated kernels against this machine's limits,
 * which are measured in the same run: fused multiply-adds in registers, and
 * a plain read of 256 MiB.  Rounds are interleaved (every row once, then
 * every row again) and the medians are printed, so that a slow minute of the
 * machine hits all rows alike.
 *
 *     tegu_bench_kernels [TARGET] [THREADS] [ROUNDS]
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codegen/attention.h"
#include "codegen/contract.h"
#include "codegen/math.h"
#include "tests/unit/codegen/harness.h"

#define STREAM_FLOATS (64ll << 20)
#define PEAK_CHAINS 12
#define PEAK_TURNS 100000ll
#define EXP_FLOATS 4096ll

typedef enum row_kind { PEAK, STREAM, GEMM, ATTENTION, EXPONENTIAL } row_kind;

/* GEMM: m x n x k.  ATTENTION: m queries after which n keys are seen by the
 * last, heads of k, 32 of them, and as many key heads as `kv` says.  work:
 * flops (of visible pairs), bytes or elements of one call. */
typedef struct row {
    row_kind kind;
    int64_t m, n, k, kv;
    char name[48];
    void *args[8];
    kernel *run;
    double work;
    double *seconds;
} row;

static row rows[] = {
    {PEAK, 0, 0, 0, 0, "fma peak", {0}, 0, 0, 0},
    {STREAM, 0, 0, 0, 0, "read 256 MiB", {0}, 0, 0, 0},
    {GEMM, 512, 768, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 512, 2048, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 512, 768, 2048, 0, "", {0}, 0, 0, 0},
    {GEMM, 512, 32000, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 512, 688, 256, 0, "", {0}, 0, 0, 0},
    {GEMM, 512, 256, 688, 0, "", {0}, 0, 0, 0},
    {GEMM, 512, 2048, 5632, 0, "", {0}, 0, 0, 0},
    {GEMM, 31, 768, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 16, 768, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 16, 2048, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 8, 768, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 8, 2048, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 4, 768, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 2, 768, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 1, 768, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 1, 256, 256, 0, "", {0}, 0, 0, 0},
    {GEMM, 1, 32000, 768, 0, "", {0}, 0, 0, 0},
    {GEMM, 1, 8192, 8192, 0, "", {0}, 0, 0, 0},
    {ATTENTION, 512, 512, 64, 32, "", {0}, 0, 0, 0},
    {ATTENTION, 2048, 2048, 64, 32, "", {0}, 0, 0, 0},
    {ATTENTION, 2048, 2048, 64, 4, "", {0}, 0, 0, 0},
    {ATTENTION, 512, 512, 128, 8, "", {0}, 0, 0, 0},
    {ATTENTION, 1, 512, 64, 32, "", {0}, 0, 0, 0},
    {ATTENTION, 1, 4096, 64, 32, "", {0}, 0, 0, 0},
    {ATTENTION, 1, 8192, 64, 4, "", {0}, 0, 0, 0},
    {ATTENTION, 1, 32768, 64, 4, "", {0}, 0, 0, 0},
    {EXPONENTIAL, 0, 0, 0, 0, "exp of 4096", {0}, 0, 0, 0},
};
#define ROWS ((int)(sizeof rows / sizeof rows[0]))

/* ---- kernels of the bench itself ---- */

/* peak(args): PEAK_TURNS rounds of PEAK_CHAINS independent fma. */
static void emit_peak(tegu_emitter *e)
{
    LLVMValueRef self = tegu_emit_kernel(e, "peak"), acc[PEAK_CHAINS];
    LLVMValueRef at = tegu_emit_slot_ptr(e, LLVMGetParam(self, 0), 0);
    LLVMTypeRef type = tegu_emit_type(e->f32, e->target->lanes);
    LLVMValueRef x = tegu_emit_load(e, type, at, 4, NULL);
    tegu_loop loop;
    for (int i = 0; i < PEAK_CHAINS; i++)
        acc[i] = tegu_emit_fadd(e, x, tegu_emit_real(type, i));
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, tegu_emit_int(e, 0),
                    tegu_emit_int(e, PEAK_TURNS), tegu_emit_int(e, 1),
                    PEAK_CHAINS, acc);
    for (int i = 0; i < PEAK_CHAINS; i++)
        acc[i] = tegu_emit_fma(e, loop.value[i], x, x);
    tegu_loop_end(e, &loop, acc);
    LLVMValueRef sum = loop.value[0];
    for (int i = 1; i < PEAK_CHAINS; i++)
        sum = tegu_emit_fadd(e, sum, loop.value[i]);
    tegu_emit_store(e, sum, at, 4, NULL);
    LLVMBuildRetVoid(e->builder);
}

/* stream(args, part, parts): sums this part of slot 0 into slot 1. */
static void emit_stream(tegu_emitter *e)
{
    enum { CHAINS = 8 };
    LLVMValueRef self = tegu_emit_kernel(e, "stream"), acc[CHAINS], lo, hi;
    LLVMValueRef in = tegu_emit_slot_ptr(e, LLVMGetParam(self, 0), 0);
    LLVMValueRef out = tegu_emit_slot_ptr(e, LLVMGetParam(self, 0), 1);
    LLVMTypeRef type = tegu_emit_type(e->f32, e->target->lanes);
    int64_t step = CHAINS * e->target->lanes;
    tegu_loop loop;
    tegu_emit_share(e, tegu_emit_int(e, STREAM_FLOATS / step),
                    LLVMGetParam(self, 1), LLVMGetParam(self, 2), &lo, &hi);
    for (int i = 0; i < CHAINS; i++)
        acc[i] = LLVMConstNull(type);
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, lo, hi, tegu_emit_int(e, 1),
                    CHAINS, acc);
    LLVMValueRef base = tegu_emit_at(
        e, e->f32, in,
        LLVMBuildMul(e->builder, loop.index, tegu_emit_int(e, step), ""));
    for (int i = 0; i < CHAINS; i++) {
        LLVMValueRef x =
            tegu_emit_load(e, type,
                           tegu_emit_at(e, e->f32, base,
                                        tegu_emit_int(e, i * e->target->lanes)),
                           4, NULL);
        acc[i] = tegu_emit_fadd(e, loop.value[i], x);
    }
    tegu_loop_end(e, &loop, acc);
    LLVMValueRef sum = loop.value[0];
    for (int i = 1; i < CHAINS; i++)
        sum = tegu_emit_fadd(e, sum, loop.value[i]);
    tegu_emit_store(
        e, sum,
        tegu_emit_at(e, e->f32, out,
                     LLVMBuildMul(e->builder, LLVMGetParam(self, 1),
                                  tegu_emit_int(e, e->target->lanes), "")),
        4, NULL);
    LLVMBuildRetVoid(e->builder);
}

/* exponential(args): EXP_FLOATS from slot 0 to slot 1. */
static void emit_exponential(tegu_emitter *e)
{
    LLVMValueRef self = tegu_emit_kernel(e, "exponential");
    LLVMValueRef in = tegu_emit_slot_ptr(e, LLVMGetParam(self, 0), 0);
    LLVMValueRef out = tegu_emit_slot_ptr(e, LLVMGetParam(self, 0), 1);
    LLVMTypeRef type = tegu_emit_type(e->f32, e->target->lanes);
    tegu_loop loop;
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, tegu_emit_int(e, 0),
                    tegu_emit_int(e, EXP_FLOATS),
                    tegu_emit_int(e, e->target->lanes), 0, NULL);
    LLVMValueRef x = tegu_emit_load(
        e, type, tegu_emit_at(e, e->f32, in, loop.index), 4, NULL);
    tegu_emit_store(e, tegu_math_exp(e, x),
                    tegu_emit_at(e, e->f32, out, loop.index), 4, NULL);
    tegu_loop_end(e, &loop, NULL);
    LLVMBuildRetVoid(e->builder);
}

#define HEADS 32ll

static const char *row_name(const row *r, char *name, size_t size)
{
    if (r->kind == ATTENTION) {
        snprintf(name, size, "attention_%lld_%lld_%lld", (long long)r->k,
                 (long long)r->n, (long long)r->kv);
        return name;
    }
    snprintf(name, size, "gemm_%lld_%lld", (long long)r->n, (long long)r->k);
    return name;
}

static void emit_row(tegu_emitter *e, const row *r, const char *name)
{
    tegu_contract c = {.name = name,
                       .n = r->n,
                       .k = r->k,
                       .a_stride = r->k,
                       .y_stride = r->n,
                       .slot_m = 0,
                       .slot_a = 1,
                       .slot_w = 2,
                       .slot_y = 3};
    tegu_attention a = {.name = name,
                        .heads = HEADS,
                        .kv_heads = r->kv,
                        .d = r->k,
                        .capacity = r->n,
                        .causal = true,
                        .scale = 0.125f,
                        .slot_t = 0,
                        .slot_offset = 1,
                        .slot_q = 2,
                        .slot_k = 3,
                        .slot_v = 4,
                        .slot_out = 5};
    if (r->kind == GEMM)
        tegu_emit_contract(e, &c);
    else
        tegu_emit_attention(e, &a);
}

static void emit_all(void *data, tegu_emitter *e)
{
    (void)data;
    char name[64];
    emit_peak(e);
    emit_stream(e);
    emit_exponential(e);
    for (int i = 0; i < ROWS; i++) {
        const row *r = &rows[i];
        if (r->kind != GEMM && r->kind != ATTENTION)
            continue;
        row_name(r, name, sizeof name);
        if (!LLVMGetNamedFunction(e->module, name))
            emit_row(e, r, name);
    }
}

/* ---- running ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A second thread that spins for work, as the runtime's pool does. */
typedef struct helper {
    pthread_t thread;
    atomic_long asked, answered;
    row *work;
    int part, parts;
    bool stop;
} helper;

static void *serve(void *data)
{
    helper *h = data;
    for (long seen = 0;;) {
        while (atomic_load_explicit(&h->asked, memory_order_acquire) == seen)
            continue;
        seen++;
        if (h->stop)
            return NULL;
        h->work->run(h->work->args, h->part, h->parts);
        atomic_store_explicit(&h->answered, seen, memory_order_release);
    }
}

static void call(row *r, helper *helpers, int threads)
{
    if (r->kind == EXPONENTIAL)
        threads = 1; /* it has one part */
    for (int i = 1; i < threads; i++) {
        helpers[i].work = r;
        atomic_fetch_add_explicit(&helpers[i].asked, 1, memory_order_release);
    }
    r->run(r->args, 0, threads);
    for (int i = 1; i < threads; i++)
        while (
            atomic_load_explicit(&helpers[i].answered, memory_order_acquire) !=
            atomic_load_explicit(&helpers[i].asked, memory_order_relaxed))
            continue;
}

/* Seconds of one call: as many calls as fill a few milliseconds. */
static double measure(row *r, helper *helpers, int threads)
{
    long calls = 0;
    double start = now(), spent;
    do {
        call(r, helpers, threads);
        calls++;
        spent = now() - start;
    } while (spent < 4e-3);
    return spent / (double)calls;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

static float *random_floats(size_t count)
{
    noise n = {count};
    float *x = floats(count);
    for (size_t i = 0; i < count; i++)
        x[i] = noise_next(&n);
    return x;
}

static void prepare(row *r, tegu_code *code, const tegu_target *target,
                    int threads)
{
    char name[64];
    size_t bytes = 0;
    switch (r->kind) {
    case PEAK:
        r->args[0] = floats(target->lanes);
        r->run = find(code, "peak");
        r->work = 2.0 * PEAK_TURNS * PEAK_CHAINS * target->lanes * threads;
        break;
    case STREAM:
        r->args[0] = random_floats(STREAM_FLOATS);
        r->args[1] = floats(64 * target->lanes);
        r->run = find(code, "stream");
        r->work = 4.0 * STREAM_FLOATS;
        break;
    case GEMM:
        tegu_pack_size(r->n, r->k, tegu_target_panel(target, r->n), &bytes);
        r->args[0] = (void *)(intptr_t)r->m;
        r->args[1] = random_floats((size_t)(r->m * r->k));
        r->args[2] = random_floats(bytes / 4);
        r->args[3] = floats((size_t)(r->m * r->n));
        r->run = find(code, row_name(r, name, sizeof name));
        r->work = 2.0 * (double)r->m * (double)r->n * (double)r->k;
        snprintf(r->name, sizeof r->name, "%lldx%lldx%lld", (long long)r->m,
                 (long long)r->n, (long long)r->k);
        break;
    case ATTENTION:
        r->args[0] = (void *)(intptr_t)r->m;
        r->args[1] = (void *)(intptr_t)(r->n - r->m);
        bytes = (size_t)tegu_cache_elements(r->n, r->kv, r->k);
        r->args[2] = random_floats((size_t)(r->m * HEADS * r->k));
        r->args[3] = random_floats(bytes);
        r->args[4] = random_floats(bytes);
        r->args[5] = floats((size_t)(r->m * HEADS * r->k));
        r->run = find(code, row_name(r, name, sizeof name));
        r->work = 4.0 * HEADS * (double)r->k * (double)r->m *
                  ((double)r->n - 0.5 * (double)(r->m - 1));
        snprintf(r->name, sizeof r->name, "attend %lld of %lld, %lldx%lld",
                 (long long)r->m, (long long)r->n, (long long)r->kv,
                 (long long)r->k);
        break;
    case EXPONENTIAL:
        r->args[0] = random_floats(EXP_FLOATS);
        r->args[1] = floats(EXP_FLOATS);
        r->run = find(code, "exponential");
        r->work = EXP_FLOATS;
        break;
    }
}

static void release(row *r)
{
    int first = r->kind == GEMM ? 1 : r->kind == ATTENTION ? 2 : 0;
    for (int i = first; i < 8; i++)
        free(r->args[i]);
    free(r->seconds);
}

static void report(row *r, int rounds, double peak, double stream)
{
    double seconds = median(r->seconds, rounds);
    double rate = r->work / seconds * 1e-9;
    printf("%-24s %10.2f us", r->name, seconds * 1e6);
    if (r->kind == STREAM)
        printf("  %8.1f GB/s", rate);
    else if (r->kind == EXPONENTIAL)
        printf("  %8.3f ns/element", 1 / rate);
    else
        printf("  %8.1f GFLOP/s %6.1f %% of peak", rate, 100 * rate / peak);
    if (r->kind == GEMM && r->m < 32)
        printf("  weights %6.1f GB/s %6.1f %% of stream",
               2 * rate / (double)r->m, 200 * rate / (double)r->m / stream);
    if (r->kind == ATTENTION && r->m == 1)
        printf("  cache   %6.1f GB/s",
               8e-9 * (double)(r->n * r->kv * r->k) / seconds);
    printf("\n");
}

int main(int argc, char **argv)
{
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    int rounds = argc > 3 ? atoi(argv[3]) : 15;
    if (threads < 1 || threads > 64 || rounds < 1)
        return 64;
    tegu_target target = target_named(argc > 1 ? argv[1] : "native");
    double start = now();
    tegu_code *code = load(&target, TEGU_EFFORT_LIGHT, emit_all, NULL);
    printf("%s, %d thread(s); emitted in %.0f ms\n", target.cpu, threads,
           1e3 * (now() - start));
    static helper helpers[64];
    for (int i = 1; i < threads; i++) {
        helpers[i].part = i;
        helpers[i].parts = threads;
        if (pthread_create(&helpers[i].thread, NULL, serve, &helpers[i]))
            return 71;
    }
    for (int i = 0; i < ROWS; i++) {
        prepare(&rows[i], code, &target, threads);
        rows[i].seconds = calloc((size_t)rounds, sizeof(double));
        if (!rows[i].seconds)
            return 71;
    }
    for (int round = -1; round < rounds; round++)
        for (int i = 0; i < ROWS; i++)
            rows[i].seconds[round < 0 ? 0 : round] =
                measure(&rows[i], helpers, threads);
    double peak = rows[0].work / median(rows[0].seconds, rounds) * 1e-9;
    double stream = rows[1].work / median(rows[1].seconds, rounds) * 1e-9;
    for (int i = 0; i < ROWS; i++) {
        report(&rows[i], rounds, peak, stream);
        release(&rows[i]);
    }
    for (int i = 1; i < threads; i++) {
        helpers[i].stop = true;
        atomic_fetch_add(&helpers[i].asked, 1);
        pthread_join(helpers[i].thread, NULL);
    }
    tegu_code_destroy(code);
    return 0;
}
