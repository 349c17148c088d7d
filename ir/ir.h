/* SPDX-License-Identifier: Apache-2.0 */
/* ir.h - what can be done with a unit: text, verification, inference,
 * reference interpretation, cost.  Syntax and meaning: docs/ir.md.
 */
#ifndef TEGU_IR_IR_H
#define TEGU_IR_IR_H

#include "ir/unit.h"

/* --- text (print.c, parse.c): print(parse(print(u))) == print(u) --- */
void tegu_unit_print(tegu_text *out, const tegu_unit *unit);
/* Parses IR text into a new unit in `arena`; NULL after reporting errors. */
tegu_unit *tegu_unit_parse(tegu_arena *arena, tegu_diag *diag, const char *file,
                           const char *text, size_t size);

/* --- verification (verify.c) --- */
/* Every invariant of docs/ir.md: order, levels, arity, types re-inferred,
 * entries' results, updates, states, kernels' bodies.  Reports E_INTERNAL. */
bool tegu_unit_verify(const tegu_unit *unit);
bool tegu_graph_verify(const tegu_graph *graph);

/* --- type inference (infer.c) --- */
/* The result type of spec, or NULL after reporting at spec->loc.  Messages
 * name the op, both shapes and the axes involved. */
const tegu_type *tegu_infer(const tegu_graph *g, const tegu_node_spec *spec);

/* --- tensors and executors --- */
/* A concrete tensor: row-major, packed. */
typedef struct tegu_tensor {
    tegu_dtype dtype;
    uint32_t rank;
    int64_t dims[TEGU_MAX_RANK];
    void *data;
} tegu_tensor;
int64_t tegu_tensor_elements(const tegu_tensor *t);

/* Runs entries of one model with one state; the interpreter and the JIT
 * implement it.  One thread at a time. */
typedef struct tegu_executor tegu_executor;
struct tegu_executor {
    void *self;
    /* inputs in the entry's order; outputs' data is allocated by the caller
     * with the sizes that tegu_executor_output gives.  Advances the position
     * when the entry updates state.  False after reporting. */
    bool (*call)(void *self, const char *entry, const tegu_tensor *inputs,
                 uint32_t input_count, tegu_tensor *outputs,
                 uint32_t output_count);
    void (*reset)(void *self);
    int64_t (*position)(void *self);
    /* Back to an earlier position; false when the state cannot. */
    bool (*rewind)(void *self, int64_t position);
    /* Reads a parameter of the unit again, whose data has changed but not its
     * type, so that calls give what a fresh executor would.  False where
     * nothing that runs depends on a parameter of that name (it may have been
     * folded into another), or after reporting.  NULL: it cannot. */
    bool (*reload)(void *self, const char *param);
    void (*destroy)(void *self);
};
/* Binds the entry's symbols from inputs' shapes: symbols[axis] (array of
 * unit->axes.count, zeroed).  Reports wrong count, dtype, shape, bounds. */
bool tegu_entry_bind(tegu_unit *unit, const tegu_entry *entry,
                     const tegu_tensor *inputs, uint32_t input_count,
                     int64_t *symbols);
/* The entry that a call names, its symbols bound; NULL after reporting. */
const tegu_entry *tegu_unit_bind(tegu_unit *unit, const char *name,
                                 const tegu_tensor *inputs,
                                 uint32_t input_count, uint32_t output_count,
                                 int64_t *symbols);
/* Shape of output i for bound symbols. */
void tegu_entry_output(const tegu_unit *unit, const tegu_entry *entry,
                       uint32_t i, const int64_t *symbols, tegu_tensor *out);

/* --- interpreter (interp.c): the definition of every op --- */
/* f32 results rounded once per op from an f64 shadow; reductions in f64. */
tegu_executor *tegu_interp_create(tegu_unit *unit, tegu_arena *arena);
/* One evaluated value: f32 (or int) data beside the f64 shadow and an error
 * bound per element for any f32 implementation (docs/ir.md, "numerics"):
 * |native - exact| <= bound.  A bound of infinity: any answer is right; a NaN
 * or infinite exact with bound 0: exactly that. */
typedef struct tegu_shadow {
    tegu_tensor value;
    double *exact; /* floats; NULL: value.data is exact, bound 0 */
    double *bound;
    uint8_t *uncertain; /* integers and bool: 1 where another answer is right
                           as well (argmax of a near tie); NULL: must equal */
} tegu_shadow;
/* Evaluates a whole entry graph (any level) with shadows for its results.
 * `inputs` as in the entry's arguments, dims given; `states` (one per
 * unit->states, value.data allocated by the caller and zero at position 0,
 * the rest NULL then) is read and updated, its shadows live in `arena` like
 * the results'; `position` is the call's offset.  results: results.count. */
bool tegu_interp_shadow(const tegu_graph *graph, tegu_arena *arena,
                        const tegu_tensor *inputs, uint32_t input_count,
                        tegu_shadow *states, int64_t position,
                        const int64_t *symbols, tegu_shadow *results);
/* The same with bounds that are likely instead of certain: errors of different
 * elements and operands add as independent ones (root of the sum of squares).
 * A certain bound grows with every contraction and says nothing after a few
 * layers; a likely one stays near what f32 code does to whole models. */
bool tegu_interp_likely(const tegu_graph *graph, tegu_arena *arena,
                        const tegu_tensor *inputs, uint32_t input_count,
                        tegu_shadow *states, int64_t position,
                        const int64_t *symbols, tegu_shadow *results);
/* Zeroed states of a unit for tegu_interp_shadow, in the arena. */
tegu_shadow *tegu_interp_states(const tegu_unit *unit, tegu_arena *arena);
/* Evaluates one constant value (tegu_graph_constant) into out (f32 or int,
 * caller-allocated by type). */
bool tegu_interp_constant(const tegu_graph *graph, tegu_value v,
                          tegu_arena *scratch, void *out);

/* --- cost (flops.c): conventions of docs/ir.md --- */
typedef struct tegu_cost {
    double macs;              /* multiply-adds of contractions */
    double flops;             /* 2 macs + element-wise and reduction flops */
    double transcendentals;   /* exp, rsqrt, div, ... listed apart */
    double bytes_weights;     /* weights read, each once */
    double bytes_activations; /* values read and written between kernels */
    double bytes_state;       /* state read and written */
    double contraction_flops; /* 2 macs, attention as executed */
} tegu_cost;
/* Cost of one call with the given symbol values at `position`; attention
 * counted as executed (causal), `dense` counts the full rectangle. */
bool tegu_entry_cost(tegu_unit *unit, const tegu_entry *entry,
                     const int64_t *symbols, int64_t position, bool dense,
                     tegu_cost *cost);
/* Parameters used by the entries: elements and bytes as f32. */
double tegu_unit_parameters(const tegu_unit *unit);

/* --- legalisation of one composite, shared by interp, flops, legalise --- */
/* A core graph with ARG leaves that defines `node` of `g`; cached per
 * (op, attributes, input types) in the unit.  NULL after reporting. */
tegu_graph *tegu_composite_body(const tegu_graph *g, const tegu_node *node);

#endif
