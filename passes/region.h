/* SPDX-License-Identifier: Apache-2.0 */
/* region.h - hidden layers: an axis that linears write, element-wise ops pass
 * and one linear reads, so that its elements can be dropped or merged without
 * anything else noticing.  Contractions by constant weights count as linears;
 * with an axis of experts, each expert has elements of its own.
 */
#ifndef TEGU_PASSES_REGION_H
#define TEGU_PASSES_REGION_H

#include "passes/pass.h"

/* Where a tensor has the region's two axes. */
typedef struct tegu_region_axes {
    uint32_t width;
    int experts; /* -1: none */
} tegu_region_axes;

/* A parameter cut with the region: a writer's weight or bias, or a constant
 * [.., width] of an element-wise op. */
typedef struct tegu_region_part {
    const char *name;
    tegu_value value; /* with the adapters on it */
    tegu_region_axes axes;
} tegu_region_part;

typedef struct tegu_region {
    tegu_graph *graph;     /* that the values below are in */
    tegu_value reader;     /* the linear, or the contraction, that reads it */
    tegu_value input;      /* what it reads, [.., width] */
    tegu_value map;        /* by what: the weight with its adapters */
    const char *weight;    /* the parameter of that */
    tegu_region_axes axes; /* of it; a linear's: {1, -1} */
    const char *bias;      /* the reader's bias parameter; NULL: none */
    int64_t width;
    int64_t experts;   /* 1: no axis of them */
    int input_experts; /* the axis of the input; -1: none */
    tegu_value rows;   /* the expert that each row chose, where weights are
                          gathered; 0: every row goes to all */
    /* A number per row, and per expert, that what the reader makes is times;
     * 0: none. */
    tegu_value gate;
    int gate_experts;
    TEGU_VEC(tegu_region_part) parts;
    tegu_loc loc;
} tegu_region;
typedef TEGU_VEC(tegu_region) tegu_regions;

/* The regions of all entries, one per reader, in entry `step` where it has
 * them.  False after
 * reporting: an op forbids it, entries differ, a parameter has other uses, or
 * there is no such axis or region. */
bool tegu_axis_regions(tegu_unit *unit, const char *axis, tegu_arena *arena,
                       tegu_regions *regions);
/* True when entry `step`, which calibration runs, has it; else reports. */
bool tegu_region_measurable(tegu_unit *unit, const tegu_region *region);
/* The region read by this weight; NULL: none. */
const tegu_region *tegu_region_find(const tegu_regions *regions,
                                    const char *weight);

/* --- contractions (region_stack.c) --- */

/* True for a contraction by a constant, maybe gathered from, that sums over
 * an axis for which `is_axis` holds. */
bool tegu_stack_reads(const tegu_graph *g, const bool *constant, tegu_value v,
                      bool (*is_axis)(const void *data, const tegu_dim *dim),
                      const void *data);
/* Fills a region's reader out of such a contraction; why it cannot, or
 * NULL. */
const char *tegu_stack_open(tegu_graph *g, const bool *constant, tegu_value v,
                            tegu_region *region);
/* The weight of a contraction, or the constant of a gather, that writes a
 * region, and its axes, where the result's experts are at `experts` (-1:
 * none); why not, or NULL. */
const char *tegu_stack_written(const tegu_region *region, const bool *constant,
                               tegu_value v, int experts, tegu_value *weight,
                               tegu_region_axes *axes);
/* Finds the gate of a region: `user` is the reader's only one (0: none). */
void tegu_stack_gate(tegu_region *region, tegu_value user);
/* What a region's expert reads, times its gate: added to the graph where it
 * is not the input itself. */
tegu_value tegu_stack_input(const tegu_region *region, int64_t expert);

#endif
