/* SPDX-License-Identifier: Apache-2.0 */
/* planner.h - what plan.c (entries) and plan_kernel.c (one kernel node) share
 * while a plan is made. */
#ifndef TEGU_CODEGEN_PLANNER_H
#define TEGU_CODEGEN_PLANNER_H

#include "codegen/plan.h"

/* One operand of a kernel to be called. */
typedef struct tegu_operand {
    tegu_place place; /* NONE: a constant, placed when it is known how */
    tegu_value value; /* in the entry's graph; 0: made by the planner */
    const tegu_type *type;
} tegu_operand;

typedef struct tegu_planner {
    tegu_plan *plan;
    tegu_plan_entry *entry;
    const tegu_graph *graph; /* the entry's */
    bool *constant;          /* per value */
    uint32_t *uses;
    tegu_place *places; /* per value; NONE: not computed yet */
} tegu_planner;

/* A kernel node, or a piece of one. */
typedef struct tegu_job {
    const tegu_graph *body;
    const tegu_operand *operands;
    uint32_t operand_count;
    tegu_place result;
    tegu_value node;    /* the kernel in the entry's graph; 0: a piece */
    tegu_family family; /* the first to try */
    bool in_place;      /* its append may write into the state */
} tegu_job;

/* Adds the calls that compute the job; false after reporting. */
bool tegu_planner_run(tegu_planner *p, const tegu_job *job);
/* A kernel that computes node v of `from` alone, over `operands` (one per
 * input), into `result`. */
bool tegu_planner_single(tegu_planner *p, const tegu_graph *from, tegu_value v,
                         const tegu_operand *operands, tegu_place result,
                         bool in_place);
/* A copy of a tensor. */
bool tegu_planner_copy(tegu_planner *p, const tegu_operand *from,
                       tegu_place to);

/* A new workspace slot of its own. */
tegu_place tegu_planner_buffer(tegu_planner *p, const tegu_type *type);
/* What a constant value is computed from, as a number; names of adapters do
 * not count. */
uint64_t tegu_weight_definition(const tegu_graph *g, tegu_value v);
/* Where a constant value of the entry lies in the weights (plan_weight.c);
 * packed [n, k] when n > 0. */
tegu_place tegu_planner_weight(tegu_planner *p, tegu_value v, int64_t n,
                               int64_t k);

#endif
