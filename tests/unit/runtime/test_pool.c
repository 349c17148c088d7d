/* SPDX-License-Identifier: Apache-2.0 */
/* Plain (not atomic) memory is written by the tasks on purpose: under TSan
 * the tests then also prove that a run orders what its tasks did. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "tests/unit/runtime/support.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

enum { max_parts = 64 };

typedef struct job {
    tegu_pool *pool;
    int64_t counts[max_parts]; /* runs of each part */
    int64_t parts_seen[max_parts];
    pthread_t caller;
    int part0_elsewhere;
} job;

static void count(void *data, int64_t part, int64_t parts)
{
    job *j = data;
    j->counts[part]++;
    j->parts_seen[part] = parts;
    if (part == 0 && !pthread_equal(pthread_self(), j->caller))
        j->part0_elsewhere = 1;
}

static tegu_pool *create(int threads, unsigned flags)
{
    tegu_pool *pool = NULL;
    tegu_reason why = {""};
    assert_int_equal(tegu_pool_create(threads, flags, &pool, &why), 0);
    assert_string_equal(why.text, "");
    return pool;
}

static void every_part_runs_once_in_10000_runs(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 8; threads++) {
        job j = {.pool = create(threads, 0), .caller = pthread_self()};
        int64_t expected[max_parts] = {0};
        assert_int_equal(tegu_pool_threads(j.pool), threads);
        for (int run = 0; run < 10000; run++) {
            int64_t parts = 1 + run % 13;
            tegu_pool_run(j.pool, count, &j, parts);
            for (int64_t p = 0; p < parts; p++)
                expected[p]++;
            assert_int_equal(j.parts_seen[parts - 1], parts);
        }
        assert_memory_equal(j.counts, expected, sizeof expected);
        assert_false(j.part0_elsewhere);
        tegu_pool_destroy(j.pool);
    }
}

static void sleeping_workers_are_woken(void **state)
{
    (void)state;
    job j = {.pool = create(3, 0), .caller = pthread_self()};
    for (int run = 0; run < 20; run++) {
        nanosleep(&(struct timespec){0, 5000000}, NULL);
        tegu_pool_run(j.pool, count, &j, 6);
    }
    for (int p = 0; p < 6; p++)
        assert_int_equal(j.counts[p], 20);
    tegu_pool_destroy(j.pool);
}

static void slow_part(void *data, int64_t part, int64_t parts)
{
    if (part > 0)
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    count(data, part, parts);
}

static void caller_sleeps_until_slow_parts_are_done(void **state)
{
    (void)state;
    job j = {.pool = create(2, 0), .caller = pthread_self()};
    for (int run = 1; run <= 5; run++) {
        tegu_pool_run(j.pool, slow_part, &j, 2);
        assert_int_equal(j.counts[1], run);
    }
    tegu_pool_destroy(j.pool);
}

typedef struct nest {
    tegu_pool *pool;
    job inner[max_parts];
} nest;

static void run_inside(void *data, int64_t part, int64_t parts)
{
    nest *n = data;
    (void)parts;
    n->inner[part].caller = pthread_self();
    tegu_pool_run(n->pool, count, &n->inner[part], 5);
}

static void a_run_inside_a_task_is_serial_and_complete(void **state)
{
    (void)state;
    static nest n;
    n.pool = create(4, 0);
    tegu_pool_run(n.pool, run_inside, &n, 8);
    for (int outer = 0; outer < 8; outer++) {
        assert_false(n.inner[outer].part0_elsewhere);
        for (int p = 0; p < 5; p++)
            assert_int_equal(n.inner[outer].counts[p], 1);
    }
    tegu_pool_destroy(n.pool);
}

static void *call_often(void *data)
{
    job *j = data;
    j->caller = pthread_self();
    for (int run = 0; run < 2000; run++)
        tegu_pool_run(j->pool, count, j, 4);
    return NULL;
}

static void two_callers_at_once_both_get_their_parts(void **state)
{
    (void)state;
    tegu_pool *pool = create(2, 0);
    job jobs[2] = {{.pool = pool}, {.pool = pool}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, call_often, &jobs[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++)
        for (int p = 0; p < 4; p++)
            assert_int_equal(jobs[i].counts[p], 2000);
    tegu_pool_destroy(pool);
}

static void no_pool_and_no_parts_are_fine(void **state)
{
    (void)state;
    job j = {.caller = pthread_self()};
    tegu_pool_run(NULL, count, &j, 3);
    assert_int_equal(j.counts[2], 1);
    j.pool = create(2, 0);
    tegu_pool_run(j.pool, count, &j, 0);
    tegu_pool_run(j.pool, count, &j, -1);
    assert_int_equal(j.counts[0], 1);
    tegu_pool_destroy(j.pool);
    tegu_pool_destroy(NULL);
}

typedef struct masks {
    cpu_set_t of[max_parts];
} masks;

static void note_affinity(void *data, int64_t part, int64_t parts)
{
    (void)parts;
    masks *m = data;
    sched_getaffinity(0, sizeof m->of[part], &m->of[part]);
}

static void workers_are_pinned_and_the_caller_is_not(void **state)
{
    (void)state;
    cpu_set_t before, after;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int cpus = CPU_COUNT(&before);
    if (cpus < 2) {
        print_message("one CPU only: nothing is pinned: skipped\n");
        skip();
    }
    for (unsigned flags = 0; flags <= TEGU_POOL_UNPINNED; flags++) {
        masks m;
        tegu_pool *pool = create(2, flags);
        tegu_pool_run(pool, note_affinity, &m, 2);
        tegu_pool_destroy(pool);
        sched_getaffinity(0, sizeof after, &after);
        assert_true(CPU_EQUAL(&before, &after));
        assert_int_equal(CPU_COUNT(&m.of[1]), flags ? cpus : 1);
        CPU_AND(&after, &m.of[1], &before);
        assert_true(CPU_EQUAL(&after, &m.of[1]));
    }
    tegu_pool *pool = create(2, TEGU_POOL_PIN_CALLER);
    sched_getaffinity(0, sizeof after, &after);
    assert_int_equal(CPU_COUNT(&after), 1);
    tegu_pool_destroy(pool);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void zero_threads_means_all_cpus(void **state)
{
    (void)state;
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    tegu_pool *pool = create(0, 0);
    assert_int_equal(tegu_pool_threads(pool), CPU_COUNT(&set));
    tegu_pool_destroy(pool);
}

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    tegu_pool *pool = NULL;
    tegu_reason why;
    assert_int_equal(tegu_pool_create(-1, 0, &pool, &why),
                     TEGU_STATUS_ARGUMENT);
    assert_string_equal(why.text, "-1 threads requested, 0 to 1024 allowed");
    assert_int_equal(tegu_pool_create(1025, 0, &pool, NULL),
                     TEGU_STATUS_ARGUMENT);
    assert_int_equal(tegu_pool_create(1, 4, &pool, &why), TEGU_STATUS_ARGUMENT);
    assert_int_equal(tegu_pool_create(1, 0, NULL, &why), TEGU_STATUS_ARGUMENT);
    assert_null(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_runs_once_in_10000_runs),
        cmocka_unit_test(sleeping_workers_are_woken),
        cmocka_unit_test(caller_sleeps_until_slow_parts_are_done),
        cmocka_unit_test(a_run_inside_a_task_is_serial_and_complete),
        cmocka_unit_test(two_callers_at_once_both_get_their_parts),
        cmocka_unit_test(no_pool_and_no_parts_are_fine),
        cmocka_unit_test(workers_are_pinned_and_the_caller_is_not),
        cmocka_unit_test(zero_threads_means_all_cpus),
        cmocka_unit_test(wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
