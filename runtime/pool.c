/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c: fork and join on spinning, pinned threads that fall asleep.
 *
 * A run publishes its task and then raises `generation`; every worker takes
 * part in every generation and lowers `pending` when it has nothing left to
 * do, so that nobody reads the task of a run that has returned.  Thread w
 * starts with part w; further parts come from the shared counter `next`.
 * Waiting on either side is ~20k pauses, then a futex: `sleepers` and
 * `caller_sleeps` spare the wake-up call when nobody sleeps.  Both follow the
 * same pattern: the waiter announces itself and lets the kernel compare the
 * word, the waker changes the word and then looks for waiters, all
 * sequentially consistent, so one of the two notices the other.
 * Measured in kernels.md section 4: 49-90 ns per run while spinning.
 */
#define _GNU_SOURCE /* CPU affinity, syscall */
#include "runtime/message.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { line = 64, spins = 20000 };

typedef struct worker {
    struct tegu_pool *pool;
    pthread_t thread;
    int index; /* 1 .. threads - 1; the caller is 0 */
} worker;

struct tegu_pool {
    /* Written by the caller, watched by the workers. */
    alignas(line) _Atomic uint32_t generation;
    _Atomic uint32_t sleepers;
    tegu_task task; /* valid while pending > 0 */
    void *data;
    int64_t parts;
    bool stop;
    /* Written by the workers. */
    alignas(line) _Atomic uint32_t pending; /* workers still in the run */
    _Atomic uint32_t caller_sleeps;
    alignas(line) _Atomic int64_t next; /* first part nobody has taken */
    alignas(line) atomic_flag busy;     /* a run is in progress */
    int threads;
    int started; /* workers created so far */
    int spin;    /* pauses before sleeping */
    worker workers[];
};

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* Returns when the word differs from `seen`, was woken, or for no reason. */
static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* The generation that follows `seen`. */
static uint32_t await_generation(tegu_pool *pool, uint32_t seen)
{
    for (int i = 0; i < pool->spin; i++) {
        uint32_t now =
            atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (now != seen)
            return now;
        pause_cpu();
    }
    atomic_fetch_add(&pool->sleepers, 1);
    uint32_t now;
    while ((now = atomic_load(&pool->generation)) == seen)
        futex_wait(&pool->generation, seen);
    atomic_fetch_sub(&pool->sleepers, 1);
    return now;
}

static void await_workers(tegu_pool *pool)
{
    for (int i = 0; i < pool->spin; i++) {
        if (!atomic_load_explicit(&pool->pending, memory_order_acquire))
            return;
        pause_cpu();
    }
    atomic_store(&pool->caller_sleeps, 1);
    uint32_t left;
    while ((left = atomic_load(&pool->pending)) != 0)
        futex_wait(&pool->pending, left);
    atomic_store(&pool->caller_sleeps, 0);
}

static void run_parts(tegu_pool *pool, int64_t first)
{
    int64_t parts = pool->parts, part = first;
    while (part < parts) {
        pool->task(pool->data, part, parts);
        if (parts <= pool->threads)
            return;
        part = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    }
}

static void *work(void *argument)
{
    worker *self = argument;
    tegu_pool *pool = self->pool;
    uint32_t seen = 0;
    for (;;) {
        seen = await_generation(pool, seen);
        if (pool->stop)
            return NULL;
        run_parts(pool, self->index);
        if (atomic_fetch_sub(&pool->pending, 1) == 1 &&
            atomic_load(&pool->caller_sleeps))
            futex_wake(&pool->pending);
    }
}

static void publish(tegu_pool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) != 0)
        futex_wake(&pool->generation);
}

static void run_serially(tegu_task task, void *data, int64_t parts)
{
    for (int64_t part = 0; part < parts; part++)
        task(data, part, parts);
}

void tegu_pool_run(void *opaque, tegu_task task, void *data, int64_t parts)
{
    tegu_pool *pool = opaque;
    if (!pool || pool->threads == 1 || parts <= 1 ||
        atomic_flag_test_and_set_explicit(&pool->busy, memory_order_acquire)) {
        run_serially(task, data, parts);
        return;
    }
    pool->task = task;
    pool->data = data;
    pool->parts = parts;
    atomic_store_explicit(&pool->next, pool->threads, memory_order_relaxed);
    atomic_store_explicit(&pool->pending, (uint32_t)pool->threads - 1,
                          memory_order_relaxed);
    publish(pool);
    run_parts(pool, 0);
    await_workers(pool);
    atomic_flag_clear_explicit(&pool->busy, memory_order_release);
}

int tegu_pool_threads(const tegu_pool *pool)
{
    return pool->threads;
}

void tegu_pool_destroy(tegu_pool *pool)
{
    if (!pool)
        return;
    pool->stop = true;
    publish(pool);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    free(pool);
}

/* ---- creation ---- */

/* The process's affinity mask, with room for any number of CPUs: CPU_ALLOC
 * sets of doubling size until the kernel accepts one. */
static cpu_set_t *affinity(int *limit)
{
    for (*limit = 1024; *limit <= 1 << 20; *limit *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)*limit);
        if (!set)
            return NULL;
        if (sched_getaffinity(0, CPU_ALLOC_SIZE((size_t)*limit), set) == 0)
            return set;
        CPU_FREE(set);
        if (errno != EINVAL)
            return NULL;
    }
    return NULL;
}

/* The next CPU of the set after `cpu`, cyclically; the set is not empty. */
static int next_cpu(const cpu_set_t *set, int limit, int cpu)
{
    do
        cpu = cpu + 1 < limit ? cpu + 1 : 0;
    while (!CPU_ISSET_S((size_t)cpu, CPU_ALLOC_SIZE((size_t)limit), set));
    return cpu;
}

/* Signals stay with the host's threads: workers are born with all blocked.
 * A worker that cannot be pinned is created all the same. */
static bool start_worker(tegu_pool *pool, int cpu, int limit)
{
    worker *self = &pool->workers[pool->started];
    *self = (worker){.pool = pool, .index = pool->started + 1};
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    cpu_set_t *one = cpu >= 0 ? CPU_ALLOC((size_t)limit) : NULL;
    if (one) {
        size_t bytes = CPU_ALLOC_SIZE((size_t)limit);
        CPU_ZERO_S(bytes, one);
        CPU_SET_S((size_t)cpu, bytes, one);
        (void)pthread_attr_setaffinity_np(&attributes, bytes, one);
        CPU_FREE(one);
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&self->thread, &attributes, work, self);
    if (failed)
        failed = pthread_create(&self->thread, NULL, work, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (failed)
        return false;
    pool->started++;
    return true;
}

static void pin_caller(int cpu, int limit)
{
    cpu_set_t *one = CPU_ALLOC((size_t)limit);
    if (!one)
        return;
    size_t bytes = CPU_ALLOC_SIZE((size_t)limit);
    CPU_ZERO_S(bytes, one);
    CPU_SET_S((size_t)cpu, bytes, one);
    (void)sched_setaffinity(0, bytes, one);
    CPU_FREE(one);
}

static tegu_pool *allocate(int threads, bool crowded)
{
    size_t size = sizeof(tegu_pool) + ((size_t)threads - 1) * sizeof(worker);
    tegu_pool *pool = aligned_alloc(line, (size + line - 1) / line * line);
    if (!pool)
        return NULL;
    memset(pool, 0, size);
    atomic_flag_clear(&pool->busy);
    pool->threads = threads;
    pool->spin = crowded ? 0 : spins;
    return pool;
}

/* Workers get the CPUs that follow the caller's own, which comes last. */
static bool start_workers(tegu_pool *pool, unsigned flags, const cpu_set_t *set,
                          int limit)
{
    int own = sched_getcpu();
    bool known = set && own >= 0 && own < limit &&
                 CPU_ISSET_S((size_t)own, CPU_ALLOC_SIZE((size_t)limit), set);
    bool pin = known && pool->spin && !(flags & TEGU_POOL_UNPINNED);
    int cpu = own;
    for (int i = 1; i < pool->threads; i++) {
        cpu = pin ? next_cpu(set, limit, cpu) : -1;
        if (!start_worker(pool, cpu, limit))
            return false;
    }
    if (known && flags & TEGU_POOL_PIN_CALLER)
        pin_caller(own, limit);
    return true;
}

tegu_status tegu_pool_create(int threads, unsigned flags, tegu_pool **result,
                             tegu_reason *message)
{
    unsigned known = TEGU_POOL_UNPINNED | TEGU_POOL_PIN_CALLER;
    if (!result || flags & ~known)
        return tegu_runtime_fail(message, TEGU_STATUS_ARGUMENT,
                                 "tegu_pool_create: invalid argument");
    if (threads < 0 || threads > TEGU_POOL_MAX_THREADS)
        return tegu_runtime_fail(message, TEGU_STATUS_ARGUMENT,
                                 "%d threads requested, 0 to %d allowed",
                                 threads, TEGU_POOL_MAX_THREADS);
    int limit = 0;
    cpu_set_t *set = affinity(&limit);
    int cpus = set ? CPU_COUNT_S(CPU_ALLOC_SIZE((size_t)limit), set) : 1;
    if (threads == 0)
        threads = cpus < TEGU_POOL_MAX_THREADS ? cpus : TEGU_POOL_MAX_THREADS;
    tegu_pool *pool = allocate(threads, threads > cpus);
    bool started = pool && start_workers(pool, flags, set, limit);
    if (set)
        CPU_FREE(set);
    if (!pool)
        return tegu_runtime_out_of_memory(message);
    if (!started) {
        int created = pool->started;
        tegu_pool_destroy(pool);
        return tegu_runtime_fail(message, TEGU_STATUS_SYSTEM,
                                 "cannot create %d threads, only %d", threads,
                                 created + 1);
    }
    *result = pool;
    return TEGU_STATUS_OK;
}
