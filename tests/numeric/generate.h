/* SPDX-License-Identifier: Apache-2.0 */
/* generate.h - random programs over every core op, from a seed.
 *
 * After NNSmith (Liu et al. 2023) and tegu's reliability notes: 1 to 60 nodes,
 * rank 0 to 6, extents around vector widths, zero and one, a symbolic axis in
 * half of the programs, constants and weights, shared operands, the same
 * operand twice, dead nodes, several results, states.  Ops are drawn by least
 * coverage.
 */
#ifndef TEGU_TESTS_GENERATE_H
#define TEGU_TESTS_GENERATE_H

#include "tests/numeric/numeric.h"

typedef struct generate_options {
    uint32_t max_nodes;
    int64_t max_elements;             /* of one tensor */
    bool specials;                    /* NaN, infinities, greatest numbers */
    uint32_t coverage[TEGU_OP_COUNT]; /* nodes made so far, kept between
                                         calls */
} generate_options;

generate_options generate_defaults(void);
/* A core level model with one entry `f`; destroyed by the caller. */
numeric_model generate_model(uint64_t seed, generate_options *options);

#endif
