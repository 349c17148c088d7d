/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - measures FMA peak and streaming read bandwidth.
 *
 * Takes a target; generates two kernels (independent chains of fused
 * multiply-adds in registers; a sum over a large buffer) and times them.
 * performance.md, "Limits", holds what to expect of known machines.
 */
#define _DEFAULT_SOURCE /* madvise, MAP_ANONYMOUS */
#include "codegen/limits.h"

#include "codegen/emit.h"
#include "codegen/jit.h"
#include "codegen/object.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum {
    CHAINS = 12,          /* accumulators of the FMA kernel */
    STREAMS = 8,          /* accumulators of the reading kernel */
    FMA_ROUNDS = 1 << 20, /* per call */
    BUFFER_BYTES = 256 << 20
};

typedef void (*kernel)(void **args, int64_t part, int64_t parts);

struct tegu_limits_probe {
    tegu_code *code;
    kernel fma, read;
    unsigned lanes;
    float *buffer;
};

/* sink[part * 16] gets the result, so that the work is not dropped. */
static void store_sum(tegu_emitter *e, LLVMValueRef function, tegu_loop *loop)
{
    LLVMValueRef sum = loop->value[0];
    for (unsigned i = 1; i < loop->count; i++)
        sum = tegu_emit_fadd(e, sum, loop->value[i]);
    LLVMValueRef sink = tegu_emit_slot_ptr(e, LLVMGetParam(function, 0), 0);
    LLVMValueRef at = LLVMBuildMul(e->builder, LLVMGetParam(function, 1),
                                   tegu_emit_int(e, 16), "");
    tegu_emit_store(e, tegu_emit_sum(e, sum), tegu_emit_at(e, e->f32, sink, at),
                    4, NULL);
    LLVMBuildRetVoid(e->builder);
}

/* args: sink, rounds. */
static void emit_fma(tegu_emitter *e)
{
    LLVMValueRef function = tegu_emit_kernel(e, "tegu_limits_fma");
    LLVMTypeRef type = tegu_emit_type(e->f32, e->target->lanes);
    LLVMValueRef init[CHAINS], next[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        init[i] = tegu_emit_real(type, i);
    LLVMValueRef rounds = tegu_emit_slot_i64(e, LLVMGetParam(function, 0), 1);
    /* A factor read from memory, so that no round is computed ahead. */
    LLVMValueRef sink = tegu_emit_slot_ptr(e, LLVMGetParam(function, 0), 0);
    LLVMValueRef factor = tegu_emit_splat(
        e, tegu_emit_load(e, e->f32, sink, 4, NULL), e->target->lanes);
    tegu_loop loop;
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, tegu_emit_int(e, 0), rounds,
                    tegu_emit_int(e, 1), CHAINS, init);
    for (int i = 0; i < CHAINS; i++)
        next[i] = tegu_emit_fma(e, loop.value[i], factor, factor);
    tegu_loop_end(e, &loop, next);
    store_sum(e, function, &loop);
}

/* args: sink, buffer, count of groups of STREAMS vectors. */
static void emit_read(tegu_emitter *e)
{
    LLVMValueRef function = tegu_emit_kernel(e, "tegu_limits_read");
    LLVMTypeRef type = tegu_emit_type(e->f32, e->target->lanes);
    LLVMValueRef args = LLVMGetParam(function, 0);
    LLVMValueRef buffer = tegu_emit_slot_ptr(e, args, 1);
    LLVMValueRef lo, hi, init[STREAMS], next[STREAMS];
    tegu_emit_share(e, tegu_emit_slot_i64(e, args, 2),
                    LLVMGetParam(function, 1), LLVMGetParam(function, 2), &lo,
                    &hi);
    for (int i = 0; i < STREAMS; i++)
        init[i] = tegu_emit_real(type, 0);
    tegu_loop loop;
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, lo, hi, tegu_emit_int(e, 1),
                    STREAMS, init);
    int64_t lanes = e->target->lanes;
    LLVMValueRef first = LLVMBuildMul(e->builder, loop.index,
                                      tegu_emit_int(e, STREAMS * lanes), "");
    for (int i = 0; i < STREAMS; i++) {
        LLVMValueRef at =
            LLVMBuildAdd(e->builder, first, tegu_emit_int(e, i * lanes), "");
        LLVMValueRef x = tegu_emit_load(
            e, type, tegu_emit_at(e, e->f32, buffer, at), 64, NULL);
        next[i] = tegu_emit_fadd(e, loop.value[i], x);
    }
    tegu_loop_end(e, &loop, next);
    store_sum(e, function, &loop);
}

static bool generate(tegu_limits_probe *probe, const tegu_target *target,
                     tegu_failure *failure)
{
    tegu_emitter *e = tegu_emitter_create(target, "limits", NULL, failure);
    if (!e)
        return false;
    emit_fma(e);
    emit_read(e);
    tegu_bytes object = {0};
    bool ok = tegu_object_optimise(e, TEGU_EFFORT_LIGHT, failure) &&
              tegu_object_write(e, TEGU_OBJECT_ELF, &object, failure);
    tegu_emitter_destroy(e);
    if (!ok)
        return false;
    probe->code = tegu_code_create(failure);
    ok = probe->code &&
         tegu_code_add(probe->code, object.data, object.size, failure);
    tegu_bytes_free(&object);
    if (!ok)
        return false;
    probe->fma =
        (kernel)tegu_code_find(probe->code, "tegu_limits_fma", failure);
    probe->read =
        (kernel)tegu_code_find(probe->code, "tegu_limits_read", failure);
    return probe->fma && probe->read;
}

tegu_limits_probe *tegu_limits_create(const tegu_target *target,
                                      tegu_failure *failure)
{
    tegu_limits_probe *probe = calloc(1, sizeof *probe);
    if (!probe) {
        tegu_fail(failure, "out of memory");
        return NULL;
    }
    probe->lanes = target->lanes;
    void *buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED) {
        tegu_fail(failure, "no memory for the bandwidth measurement");
        free(probe);
        return NULL;
    }
    madvise(buffer, BUFFER_BYTES, MADV_HUGEPAGE);
    probe->buffer = buffer;
    for (size_t i = 0; i < BUFFER_BYTES / sizeof(float); i += 16)
        probe->buffer[i] = 1e-3f;
    if (!generate(probe, target, failure)) {
        tegu_limits_destroy(probe);
        return NULL;
    }
    return probe;
}

void tegu_limits_destroy(tegu_limits_probe *probe)
{
    if (!probe)
        return;
    if (probe->code)
        tegu_code_destroy(probe->code);
    munmap(probe->buffer, BUFFER_BYTES);
    free(probe);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct task {
    kernel run;
    void **args;
} task;

static void run_part(void *data, int64_t part, int64_t parts)
{
    task *t = data;
    t->run(t->args, part, parts);
}

static double timed(kernel run, void **args, const tegu_jit_options *threads)
{
    task t = {run, args};
    double start = now();
    if (threads->parallel_for && threads->threads > 1)
        threads->parallel_for(threads->pool, run_part, &t, threads->threads);
    else
        run(args, 0, 1);
    return now() - start;
}

void tegu_limits_measure(tegu_limits_probe *probe,
                         const tegu_jit_options *threads, tegu_limits *limits)
{
    float sink[16 * 64] = {0.5f};
    int64_t parts = threads->threads > 1 ? threads->threads : 1;
    if (parts > 64)
        parts = 64;
    void *fma[2] = {sink, (void *)(intptr_t)FMA_ROUNDS};
    int64_t groups = BUFFER_BYTES / 4 / STREAMS / (int64_t)probe->lanes;
    void *read[3] = {sink, probe->buffer, (void *)(intptr_t)groups};
    tegu_jit_options use = *threads;
    use.threads = parts;
    double fma_best = 1e30, read_best = 1e30;
    for (int i = 0; i < 4; i++) {
        double f = timed(probe->fma, fma, &use);
        double r = timed(probe->read, read, &use);
        fma_best = f < fma_best ? f : fma_best;
        read_best = r < read_best ? r : read_best;
    }
    limits->flops =
        2.0 * CHAINS * probe->lanes * FMA_ROUNDS * (double)parts / fma_best;
    limits->bytes = (double)BUFFER_BYTES / read_best;
}
