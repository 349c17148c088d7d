/* SPDX-License-Identifier: Apache-2.0 */
/* axis.h - private to passes/: where a named axis runs through a graph.
 *
 * A value carries the axis when its last dimension is that axis and nothing
 * else.  A change of basis x -> x Q on that axis is absorbed by the ops that
 * write it (embedding tables, linears' and contractions' outputs) and read it
 * (their inputs); the ops between must let it pass: sums, norms, scales,
 * movement and mixing of rows.  A site is a place that may have a basis of its
 * own: a sum, or a written value that no sum absorbs.
 */
#ifndef TEGU_PASSES_AXIS_H
#define TEGU_PASSES_AXIS_H

#include "passes/passes.h"

/* How a node takes part. */
typedef enum tegu_axis_role {
    TEGU_AXIS_NONE,   /* it carries and reads nothing of the axis */
    TEGU_AXIS_FULL,   /* arguments, state: carries it in the basis it came in */
    TEGU_AXIS_TABLE,  /* rows of a constant table */
    TEGU_AXIS_LINEAR, /* linear, or a contraction with a weight: reads it by
                         its input, writes it by its output */
    TEGU_AXIS_SUM,    /* +, -, concatenation of rows: one basis for all */
    TEGU_AXIS_SCALE,  /* times a number per row, or per column */
    TEGU_AXIS_NORM,   /* rms_norm, layer_norm */
    TEGU_AXIS_MOVE,   /* rows moved, repeated, summed or mixed */
    TEGU_AXIS_EACH    /* element by element: passes a selection only */
} tegu_axis_role;

typedef enum tegu_axis_kind {
    TEGU_AXIS_STREAM,       /* every value that matters can be projected */
    TEGU_AXIS_INTERMEDIATE, /* it runs from linears through element-wise ops
                               to linears: neurons, reduce-hidden's matter */
    TEGU_AXIS_REFUSED       /* reported */
} tegu_axis_kind;

typedef struct tegu_axis_site {
    const char *name; /* of what writes there: the same in every entry */
    tegu_value value; /* the stream at the site */
} tegu_axis_site;

/* One graph's part; arrays by value.  Memory: the arena given. */
typedef struct tegu_axis_flow {
    const tegu_graph *graph;
    tegu_arena *arena;
    tegu_axis_id axis;
    int64_t extent;
    bool each;     /* element-wise ops pass (same selection everywhere) */
    uint8_t *role; /* tegu_axis_role */
    bool *carried;
    uint32_t *site; /* 0: in the basis it came in, else sites.data[n] */
    bool *constant; /* tegu_graph_constant */
    uint32_t *uses; /* tegu_graph_uses */
    TEGU_VEC(tegu_axis_site) sites; /* [0] is the original basis */
    bool centred; /* the norms subtract the mean (layer_norm) */
} tegu_axis_flow;

/* Finds where `axis` runs in `graph`; fills *flow.  REFUSED after reporting
 * at the op that forbids it.  A graph without the axis is a STREAM without
 * sites. */
tegu_axis_kind tegu_axis_analyse(const tegu_graph *graph, tegu_arena *arena,
                                 tegu_axis_id axis, bool each,
                                 tegu_axis_flow *flow);

/* A contraction's weight: a constant of any rank, such as experts' matrices one
 * behind another. */
typedef struct tegu_axis_stack {
    uint32_t operand;  /* which input it is */
    tegu_value weight; /* the constant */
    tegu_value rows;   /* indices of what a gather takes of it; 0: all */
    int reads, writes; /* its axes that are the flow's; -1: none */
} tegu_axis_stack;

/* True for a contraction that reads or writes the axis by a weight. */
bool tegu_axis_find_stack(const tegu_axis_flow *flow, tegu_value v,
                          tegu_axis_stack *stack);
/* True for a contraction whose last dimension is that of its input *stream,
 * whose rows it mixes. */
bool tegu_axis_mixes(const tegu_axis_flow *flow, tegu_value v,
                     uint32_t *stream);
/* Gathered rows of a constant that contractions alone take, as their weights,
 * carry nothing. */
void tegu_axis_set_weights_apart(tegu_axis_flow *flow);

/* True for a shape whose last dimension is 1, and for scalars. */
bool tegu_axis_is_row_factor(const tegu_type *type);

#endif
