/* SPDX-License-Identifier: Apache-2.0 */
/* region.h - hidden layers: an axis that linears write, element-wise ops pass
 * and one linear reads, so that its elements can be dropped or merged without
 * anything else noticing.
 */
#ifndef TEGU_PASSES_REGION_H
#define TEGU_PASSES_REGION_H

#include "passes/pass.h"

/* A parameter cut with the region: a writer's weight [width, in] or bias, or a
 * vector [.., width] of an element-wise op. */
typedef struct tegu_region_part {
    const char *name;
    tegu_value value; /* with the adapters on it */
    bool is_vector;   /* cut along its last axis, else its first */
} tegu_region_part;

typedef struct tegu_region {
    const tegu_graph *graph; /* that the values below are in */
    tegu_value reader;       /* the linear that reads it */
    const char *weight;      /* the reader's weight parameter, [out, width] */
    const char *bias;        /* the reader's bias parameter; NULL: none */
    int64_t width;
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

#endif
