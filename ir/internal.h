/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what graph.c, infer.c, verify.c, print.c and parse.c share. */
#ifndef TEGU_IR_INTERNAL_H
#define TEGU_IR_INTERNAL_H

#include "ir/ir.h"

/* All attributes of spec->op in ops.def's order, defaults filled in, in the
 * unit's arena.  Missing, unknown, repeated or mistyped ones are reported
 * (false). */
bool tegu_spec_attrs(const tegu_graph *g, const tegu_node_spec *spec,
                     const tegu_attr **attrs);

/* tegu_infer with the attributes already in order. */
const tegu_type *tegu_infer_with(const tegu_graph *g,
                                 const tegu_node_spec *spec,
                                 const tegu_attr *attrs);

/* True when the type is part of the node (reshape, param), not inferred. */
bool tegu_op_type_given(tegu_op op);

/* The attribute's default; false when it is required. */
bool tegu_attr_default(tegu_unit *unit, const tegu_attr_info *info,
                       tegu_attr *attr);

/* Checks a type's own limits (rank, extents >= 0, elements, bytes) and that
 * its axes are the unit's; reports at loc. */
bool tegu_type_check(const tegu_unit *unit, const tegu_type *type,
                     const char *what, tegu_loc loc);

#endif
