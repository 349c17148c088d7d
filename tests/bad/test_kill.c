/* SPDX-License-Identifier: Apache-2.0 */
/* `tegu compile` stopped from outside: killed at any moment, or out of memory,
 * file size or descriptors, it leaves each output as it was or complete. */
#define _GNU_SOURCE /* setenv, kill */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ir/base/io.h"
#include "tests/bad/scratch.h"
#include "tests/bad/spawn.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

/* Weights of 8 MB, so that there is time to be killed while they are written.
 */
static const char model[] =
    "model m\naxis dim = 1024, T in 1..64\nweights random(seed = 1)\n"
    "entry e(x: f32[T, dim]) -> y: f32[T, dim] {\n"
    "  let h = relu(linear(x, param \"a\" [dim, dim]))\n"
    "  return softmax(linear(h, param \"b\" [dim, dim]))\n}\n";

static const char *const targets[] = {"out/m.o", "out/m.h", "out/m.weights"};
enum { TARGETS = sizeof targets / sizeof *targets };

static const char *program(void)
{
    const char *path = getenv("TEGU");
    assert_non_null(path);
    return path;
}

static int enter(void **state)
{
    scratch *s = calloc(1, sizeof *s);
    if (!s || !scratch_enter(s))
        return -1;
    scratch_put(s, "m.tegu", model, sizeof model - 1);
    *state = s;
    return 0;
}

static int leave(void **state)
{
    scratch_leave(*state);
    free(*state);
    return 0;
}

static void put_old_outputs(const scratch *s)
{
    for (int i = 0; i < TARGETS; i++)
        scratch_put(s, targets[i], "old", 3);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static tegu_file read_output(const scratch *s, const char *path)
{
    tegu_file file;
    const char *error;
    if (!tegu_file_read(s->arena, path, 0, &file, &error))
        fail_msg("%s: %s", path, error);
    return file;
}

static bool same(tegu_file a, tegu_file b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* Waits `delay` seconds, kills; 0 when the program had already ended. */
static int kill_after(pid_t child, double delay, int with)
{
    struct timespec wait = {(time_t)delay,
                            (long)((delay - (double)(time_t)delay) * 1e9)};
    int status;
    nanosleep(&wait, NULL);
    kill(child, with);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void killed_at_any_moment_leaves_outputs_old_or_complete(void **state)
{
    enum { TIMES = 24 };
    const scratch *s = *state;
    const char *const argv[] = {program(), "compile", "m.tegu", "-o",
                                "out",     "-q",      NULL};
    tegu_file complete[TARGETS];
    double start = seconds();
    spawned run = spawn_line(s->arena, program(), "compile m.tegu -o out -q");
    double whole = seconds() - start;
    assert_int_equal(run.code, 0);
    for (int i = 0; i < TARGETS; i++)
        complete[i] = read_output(s, targets[i]);
    int killed = 0;
    for (int n = 0; n < TIMES; n++) {
        put_old_outputs(s);
        pid_t child = spawn_start(program(), argv);
        assert_true(child > 0);
        int with = n % 2 ? SIGTERM : SIGKILL;
        int by = kill_after(child, whole * (n + 0.5) / TIMES, with);
        assert_true(by == 0 || by == with);
        killed += by != 0;
        for (int i = 0; i < TARGETS; i++) {
            tegu_file now = read_output(s, targets[i]);
            bool old = now.size == 3 && memcmp(now.data, "old", 3) == 0;
            assert_true(old || same(now, complete[i]));
        }
    }
    assert_true(killed > 0);
}

/* Runs compile through a shell with a limit set. */
static void check_limited(const scratch *s, const char *limit, int code,
                          const char *first)
{
    put_old_outputs(s);
    setenv("TEGU_PROGRAM", program(), 1);
    spawned run = spawn_line(
        s->arena, "sh",
        tegu_format(s->arena,
                    "-c '%s; exec \"$TEGU_PROGRAM\" compile m.tegu -o out'",
                    limit));
    if (run.code != code || strncmp(run.err, first, strlen(first)) != 0)
        fail_msg("%s: exit code %d, signal %d\n%s", limit, run.code, run.signal,
                 run.err);
    assert_int_equal(run.out_size, 0);
    for (int i = 0; i < TARGETS; i++)
        assert_int_equal(read_output(s, targets[i]).size, 3);
}

static void a_file_size_limit_is_an_error_not_a_signal(void **state)
{
    check_limited(*state, "ulimit -f 2", 73, "out/m.");
}

static void a_full_table_of_descriptors_is_an_error(void **state)
{
    check_limited(*state, "ulimit -n 5", 73, "out/m.");
}

static void closed_standard_streams_are_not_written_into_outputs(void **state)
{
    const scratch *s = *state;
    tegu_file before[TARGETS];
    put_old_outputs(s);
    spawn_line(s->arena, program(), "compile m.tegu -o out -q");
    for (int i = 0; i < TARGETS; i++)
        before[i] = read_output(s, targets[i]);
    put_old_outputs(s);
    setenv("TEGU_PROGRAM", program(), 1);
    spawned run = spawn_line(s->arena, "sh",
                             "-c '\"$TEGU_PROGRAM\" compile m.tegu -o out "
                             "<&- >&- 2>&-'");
    assert_int_equal(run.code, 0);
    for (int i = 0; i < TARGETS; i++)
        assert_true(same(read_output(s, targets[i]), before[i]));
}

#ifdef TEGU_LIMIT_MEMORY
/* Too little to start with (the loader's 127), to load, for LLVM (70, its own
 * words first), for the output. */
static void out_of_memory_is_an_error_not_a_signal(void **state)
{
    const scratch *s = *state;
    int refused = 0;
    /* OpenBLAS ends the program from its constructor when it cannot start
     * threads. */
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    put_old_outputs(s);
    setenv("TEGU_PROGRAM", program(), 1);
    const char *before = scratch_snapshot(s);
    for (int megabytes = 208; megabytes < 1000; megabytes += 24) {
        spawned run = spawn_line(
            s->arena, "sh",
            tegu_format(s->arena,
                        "-c 'ulimit -v %d; exec \"$TEGU_PROGRAM\" compile "
                        "m.tegu --weights embed -D dim=2048 -o out -q'",
                        megabytes * 1024));
        if (run.code == 0)
            break;
        if (run.code != 71 && run.code != 70 && run.code != 127)
            fail_msg("%d MB: exit code %d, signal %d\n%s", megabytes, run.code,
                     run.signal, run.err);
        assert_string_equal(scratch_snapshot(s), before);
        refused += run.code != 127;
    }
    assert_true(refused > 0);
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(killed_at_any_moment_leaves_outputs_old_or_complete),
        TEST(a_file_size_limit_is_an_error_not_a_signal),
        TEST(a_full_table_of_descriptors_is_an_error),
        TEST(closed_standard_streams_are_not_written_into_outputs),
#ifdef TEGU_LIMIT_MEMORY
        TEST(out_of_memory_is_an_error_not_a_signal),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
