/* SPDX-License-Identifier: Apache-2.0 */
/* gradient.h - reverse-mode gradients as graphs.
 *
 * For a value v = f(inputs) and the gradient dv of a scalar loss with respect
 * to v, each rule adds the nodes of the gradients with respect to the inputs.
 * Ops with a rule are the TEGU_GRADIENT rows of ops.def; docs/ir.md has the
 * formulas.
 */
#ifndef TEGU_IR_GRADIENT_H
#define TEGU_IR_GRADIENT_H

#include "ir/graph.h"

/* True when the op has a rule. */
bool tegu_gradient_is_known(tegu_op op);

/* Adds the gradients with respect to v's inputs where `wanted` is true, to
 * gradients[i], 0 elsewhere; both have one element per input.  False after
 * reporting: E_UNSUPPORTED for an op without a rule. */
bool tegu_gradient(tegu_graph *g, tegu_value v, tegu_value dv,
                   const bool *wanted, tegu_value *gradients);

/* Gradients of a linear whose weight is lora or singlora of a fixed one. */
typedef struct tegu_adapter_gradient {
    tegu_value x; /* of the linear's input */
    tegu_value a; /* of the adapter's first matrix */
    tegu_value b; /* of lora's second one; 0 for singlora */
} tegu_adapter_gradient;

/* The same for linear(x, lora(w, a, b)) or linear(x, singlora(w, a)) as a
 * whole: by thin products, so that no matrix of w's size is made.  False
 * after reporting. */
bool tegu_gradient_adapted(tegu_graph *g, tegu_value linear, tegu_value dy,
                           tegu_adapter_gradient *gradient);

#endif
