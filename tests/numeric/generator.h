/* SPDX-License-Identifier: Apache-2.0 */
/* generator.h - what generate.c and generate_ops.c share. */
#ifndef TEGU_TESTS_GENERATOR_H
#define TEGU_TESTS_GENERATOR_H

#include "tests/numeric/generate.h"

typedef struct generator {
    numeric_model *model;
    tegu_unit *unit;
    tegu_graph *g;
    const generate_options *options;
    numeric_rng rng;
    tegu_axis_id symbol; /* 0: the program has static shapes only */
    tegu_dim rows;       /* extent that appends write; zero: none yet */
    uint32_t params;
    uint32_t made[TEGU_OP_COUNT]; /* nodes of the program by op */
} generator;

/* Leaves (generate.c). */
tegu_dtype generate_dtype(generator *gen);
tegu_type generate_type(generator *gen, tegu_dtype dtype);
/* An input, weight or constant of the type. */
tegu_value generate_leaf(generator *gen, const tegu_type *type);
/* A value made before of this element type (any when COUNT), or a new leaf. */
tegu_value generate_pick(generator *gen, tegu_dtype dtype);
/* True when the type never has more elements than allowed; an extent of 0
 * counts as 1, because reducing it away leaves the others. */
bool generate_fits(const generator *gen, const tegu_type *type);

/* Adds one node of the op, with what it needs; 0 when nothing fits. */
typedef tegu_value (*generate_maker)(generator *gen, tegu_op op);
/* NULL for ops that are made otherwise (generate_ops.c, generate_model.c). */
generate_maker generate_core_maker(tegu_op op);
generate_maker generate_model_maker(tegu_op op);

#endif
