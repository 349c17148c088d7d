/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The element-wise ops on values in registers (carriers, see cast.h), scalars
 * or vectors, with the meaning of ops.def: integers wrap, x/0 and x mod 0 are
 * 0, NaN and infinities follow IEEE 754.  e->flags go to float arithmetic.
 */
#ifndef TEGU_CODEGEN_SCALAR_H
#define TEGU_CODEGEN_SCALAR_H

#include "codegen/emit.h"
#include "ir/graph.h"

/* The node (kind MAP, of graph g) applied to its inputs' values; MOD takes
 * scalars only: it divides in a loop. */
LLVMValueRef tegu_scalar_map(tegu_emitter *e, const tegu_graph *g,
                             const tegu_node *node, LLVMValueRef *x);
/* Element of a CONST node's data. */
LLVMValueRef tegu_scalar_literal(tegu_emitter *e, tegu_dtype dtype,
                                 const char *data);
/* True when all elements of a CONST node are alike, and there are some. */
bool tegu_scalar_is_splat(const tegu_node *node);

/* a combined with b by REDUCE_SUM (in any order), REDUCE_MAX or REDUCE_MIN;
 * and what to start from. */
LLVMValueRef tegu_scalar_combine(tegu_emitter *e, tegu_op op, tegu_dtype dtype,
                                 LLVMValueRef a, LLVMValueRef b);
LLVMValueRef tegu_scalar_neutral(tegu_emitter *e, tegu_op op, tegu_dtype dtype);

#endif
