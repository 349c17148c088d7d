/* SPDX-License-Identifier: Apache-2.0 */
/* passes.h - private to passes/: the passes' functions, and what several of
 * them need.  Everything borrows; new IR lives in the unit's arena, working
 * memory in the pass's scratch arena.
 */
#ifndef TEGU_PASSES_PASSES_H
#define TEGU_PASSES_PASSES_H

#include "passes/pass.h"

#define TEGU_PASS(id, name, needs, gives, loss, summary)                       \
    tegu_outcome tegu_pass_##id(tegu_unit *unit, tegu_pass_env *env);
#include "passes/passes.def"

/* The pass's id in passes.def, which its options carry. */
const char *tegu_pass_id(const tegu_pass *pass);

/* The name of the pass that the options are for, as users write it. */
const char *tegu_options_pass(const tegu_options *options);

/* Rewrites one graph: the new graph, or `graph` itself when nothing changed,
 * or NULL after reporting. */
typedef tegu_graph *(*tegu_graph_pass)(tegu_graph *graph, tegu_pass_env *env);
/* Runs `pass` on the graph of every entry and puts the new ones in place when
 * all succeeded; scratch memory is released after each entry. */
tegu_outcome tegu_pass_entries(tegu_unit *unit, tegu_pass_env *env,
                               tegu_graph_pass pass);

/* True when the dimensions other than 1 are equal and in the same order, so
 * that a reshape between the types moves no index. */
bool tegu_type_squeezes(const tegu_type *a, const tegu_type *b);
/* True for a CONST of one element. */
bool tegu_node_is_scalar_const(const tegu_node *node);
/* True for a kernel whose body's result is an append: it writes into the
 * state itself. */
bool tegu_kernel_appends(const tegu_node *kernel);

#endif
