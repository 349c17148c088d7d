/* SPDX-License-Identifier: Apache-2.0 */
/* generate.h - random programs over every op of models, from a seed.
 *
 * After NNSmith (Liu et al. 2023) and tegu's reliability notes: 1 to 60 nodes,
 * rank 0 to 6, extents around vector widths, zero and one, a symbolic axis in
 * half of the programs, constants and weights, shared operands, the same
 * operand twice, dead nodes, several results, states.  A program is a pure
 * function of its seed and the limits.
 */
#ifndef TEGU_TESTS_GENERATE_H
#define TEGU_TESTS_GENERATE_H

#include "tests/numeric/numeric.h"

typedef struct generate_options {
    uint32_t max_nodes;
    int64_t max_elements; /* of one tensor */
    bool specials;        /* NaN, infinities, greatest numbers */
} generate_options;

generate_options generate_defaults(void);
/* A model or core level model with one entry `f`; destroyed by the caller. */
numeric_model generate_model(uint64_t seed, const generate_options *options);
/* Adds the program's nodes by op. */
void generate_count(const numeric_model *model, uint32_t *nodes);

#endif
