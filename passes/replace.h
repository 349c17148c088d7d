/* SPDX-License-Identifier: Apache-2.0 */
/* replace.h - puts changed weights in place of those that linears read. */
#ifndef TEGU_PASSES_REPLACE_H
#define TEGU_PASSES_REPLACE_H

#include "passes/pass.h"

/* Rows of a weight of which some have gone: what was sliced from row `was` on
 * begins at `now` and has dimension `dim`. */
typedef struct tegu_slicing {
    int64_t was, now;
    tegu_dim dim;
} tegu_slicing;

/* A weight changed: `name` keeps its name with new type and data
 * (tegu_param_store), or, with `inner`, gives way to the product outer inner
 * of two parameters [out, k], [k, in].  Adapters on it are dropped: they are
 * in the new data.  Slices of what linears make of it follow `slices`. */
typedef struct tegu_replacement {
    const char *name;
    const char *inner, *outer; /* NULL: the parameter itself */
    const tegu_slicing *slices;
    uint32_t slice_count;
} tegu_replacement;

/* Elements of constant value v of a graph as f64, in `arena`, with adapters
 * applied; NULL after reporting. */
double *tegu_constant_read(const tegu_graph *g, tegu_value v,
                           tegu_arena *arena);
/* Gives an existing parameter this type and f32 data rounded from f64. */
void tegu_param_store(tegu_unit *unit, const char *name, const tegu_type *type,
                      const double *data);
/* Adds a parameter with such data; the name gets a number when it is taken.
 * The name given, or NULL after reporting. */
const char *tegu_param_add(tegu_unit *unit, const char *name,
                           const tegu_type *type, const double *data,
                           tegu_loc loc);
/* A dimension of `width` on an axis named for both (hidden_482), which is added
 * when the unit has none; without axis where the name means something else. */
tegu_dim tegu_width_dim(tegu_unit *unit, const char *axis, int64_t width);
/* The product of two static dimensions, with the first axis of each. */
tegu_dim tegu_dim_times(tegu_dim a, tegu_dim b);
/* Rewrites all entries' graphs to what the parameters and states now are;
 * reshapes that split or merge heads follow.  False after reporting. */
bool tegu_replace_weights(tegu_unit *unit, tegu_arena *scratch,
                          const tegu_replacement *replacements, uint32_t count);

#endif
