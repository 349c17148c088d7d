/* SPDX-License-Identifier: Apache-2.0 */
/* The weights files of a plan, streamed (see codegen.h). */
#ifndef TEGU_CODEGEN_WEIGHTS_H
#define TEGU_CODEGEN_WEIGHTS_H

#include "codegen/plan.h"

/* Hands the bytes of the model's file (adapter 0) or an adapter's
 * (unit->adapters) to `write` in order; false when that returns false
 * or a parameter cannot be read (reported). */
bool tegu_weights_stream(const tegu_plan *plan, uint32_t adapter,
                         bool (*write)(void *data, const void *bytes,
                                       size_t size),
                         void *data);

/* Writes the tensors that depend on a parameter of plan->unit again into
 * `file`, the whole file in memory.  False when there are none, or after
 * reporting. */
bool tegu_weights_reload(const tegu_plan *plan, const char *param, void *file);

#endif
