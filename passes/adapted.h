/* SPDX-License-Identifier: Apache-2.0 */
/* adapted.h - private to passes/: adapted weights (lora, singlora, dora). */
#ifndef TEGU_PASSES_ADAPTED_H
#define TEGU_PASSES_ADAPTED_H

#include "passes/passes.h"

/* True for lora, singlora and dora. */
bool tegu_node_is_adapted(const tegu_node *node);
/* The weight under all adapters on `v`; `v` itself when there is none. */
tegu_value tegu_adapted_base(const tegu_graph *g, tegu_value v);
/* The number of ranks of an adapted node. */
int64_t tegu_adapted_rank(const tegu_graph *g, const tegu_node *node);
/* The first `rows` rows of a singlora's matrix; itself when it has no more. */
tegu_value tegu_adapted_prefix(tegu_graph *g, tegu_loc loc, tegu_value a,
                               int64_t rows);
/* A new parameter (or one of that name) of an adapter of the unit, f32;
 * `data` must live as long as the unit. */
tegu_value tegu_adapted_param(tegu_graph *g, tegu_loc loc, const char *name,
                              uint32_t owner, const tegu_type *type,
                              const float *data);
/* The run-time scale of an adapter of the unit. */
tegu_value tegu_adapted_scale(tegu_graph *g, tegu_loc loc, uint32_t owner);

#endif
