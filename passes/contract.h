/* SPDX-License-Identifier: Apache-2.0 */
/* contract.h - private to passes/: which axes of a contraction meet. */
#ifndef TEGU_PASSES_CONTRACT_H
#define TEGU_PASSES_CONTRACT_H

#include "ir/ir.h"

/* The axis of the other operand that `axis` of `operand` is paired with, and
 * whether the pair is summed over or runs along; -1: none. */
int tegu_contract_partner(const tegu_node *node, uint32_t operand,
                          uint32_t axis, bool *summed);
/* The axes of both operands that make the result's axis `place`; -1 for one
 * that does not. */
void tegu_contract_source(const tegu_graph *g, const tegu_node *node,
                          uint32_t place, int axes[2]);

#endif
