/* SPDX-License-Identifier: Apache-2.0 */
/* numeric.h - what the numeric tests share: a model under test, its runs, and
 * the comparison of what an executor gives with the interpreter's shadow.
 */
#ifndef TEGU_TESTS_NUMERIC_H
#define TEGU_TESTS_NUMERIC_H

#include "ir/ir.h"

enum { NUMERIC_MAX_INPUTS = 8, NUMERIC_MAX_RESULTS = 8 };

/* One model with one entry, and inputs for one call. */
typedef struct numeric_model {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_unit *unit;
    int64_t *symbols;                       /* by axis */
    tegu_tensor inputs[NUMERIC_MAX_INPUTS]; /* by argument */
    uint32_t calls; /* how often to call, at growing positions */
} numeric_model;

/* An empty unit; destroy frees everything that belongs to the model. */
numeric_model numeric_create(void);
void numeric_destroy(numeric_model *model);
/* From IR text; the test fails with the messages when it is wrong. */
numeric_model numeric_parse(const char *text);
tegu_entry *numeric_entry(const numeric_model *model);
/* Prints messages and the IR to stderr, with one line that repeats the run. */
void numeric_dump(const numeric_model *model, const char *repeat);

/* Random numbers: splitmix64. */
typedef struct numeric_rng {
    uint64_t state;
} numeric_rng;
uint64_t numeric_next(numeric_rng *rng);
/* Uniform in [0, n); n >= 1. */
uint32_t numeric_below(numeric_rng *rng, uint32_t n);
double numeric_normal(numeric_rng *rng);
/* True with this probability. */
bool numeric_chance(numeric_rng *rng, double probability);

/* Elements of a tensor as f64, and back. */
double numeric_get(const tegu_tensor *tensor, int64_t i);
void numeric_set(tegu_tensor *tensor, int64_t i, double value);
/* Zeroed data in the arena for a tensor with dtype, rank and dims. */
void numeric_allocate(tegu_arena *arena, tegu_tensor *tensor);

/* What a comparison saw; zero before the first. */
typedef struct numeric_tally {
    int64_t elements, certain;   /* compared; with a finite bound */
    double worst[TEGU_OP_COUNT]; /* greatest error / bound, by result's op */
} numeric_tally;

typedef struct numeric_mismatch {
    uint32_t call, result;
    int64_t element;
    double got, exact, bound;
} numeric_mismatch;

/* Calls the executor model->calls times beside the shadow interpreter of the
 * model; false at the first element that differs by more than 2 * bound + the
 * least denormal, or when either reports an error (element -1). */
bool numeric_agrees(const numeric_model *model, tegu_executor *executor,
                    numeric_tally *tally, numeric_mismatch *mismatch);
/* One element: NaN, infinities and exact results must be met exactly. */
bool numeric_accepts(double got, double exact, double bound);
void numeric_print_tally(const numeric_tally *tally, const char *title);

#endif
