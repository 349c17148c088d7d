/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h - what the passes' tests share: a work bench with one unit on it. */
#ifndef TEGU_TESTS_BENCH_H
#define TEGU_TESTS_BENCH_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "passes/pass.h"

typedef struct bench {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_unit *unit;
    tegu_manager_report report; /* of the last run */
} bench;

/* An empty bench; close frees everything. */
bench bench_open(void);
void bench_close(bench *b);
/* Puts the unit of IR text on a new bench, with the prelude; the test fails
 * when it is wrong. */
bench bench_text(const char *text);
/* The unit of a model in the language. */
bench bench_language(const char *text);
/* The llama example, small and without weights. */
bench bench_llama(const char *layers);

/* Runs a pipeline, verified and checked after each step. */
bool bench_try(bench *b, const char *pipeline);
/* The same; the test fails with the messages when it does not work. */
void bench_run(bench *b, const char *pipeline);
const char *bench_printed(bench *b);
tegu_graph *bench_graph(const bench *b);
/* The first message begins so; forgets all. */
void assert_message(bench *b, const char *prefix);

enum { BENCH_MOST = 8192 };
/* The entry's result for fixed tokens below 26, at most BENCH_MOST numbers;
 * how many there are. */
int64_t bench_call(bench *b, const char *entry, float *out);
double bench_difference(const float *a, const float *b, int64_t n);
/* Runs a pipeline over fixed calibration tokens, verified after each step. */
bool bench_reduce(bench *b, const char *pipeline);
/* The same; the test fails with the messages when it does not work. */
void bench_must_reduce(bench *b, const char *pipeline);
/* Gives every parameter random numbers, from a seed of its own. */
void bench_randomise(bench *b, double std);
/* Token ids below vocab to calibrate on. */
void bench_tokens(int32_t *tokens, int count, int32_t vocab);
/* The parameter's numbers, to be changed. */
float *bench_numbers(bench *b, const char *name);
/* A figure of the last run's report; the test fails when there is none. */
double bench_figure(const bench *b, uint32_t row, const char *name);

/* Kernels of the graph, of one family unless NULL. */
uint32_t count_kernels(const tegu_graph *g, const char *family);
/* Nodes of an op in a graph, kernels' bodies included. */
uint32_t count_ops(const tegu_graph *g, tegu_op op);

#endif
