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
/* The same without interning: spec->type when given, else what was inferred.
 * Errors are reported as `as`, or under their own ids when it is
 * TEGU_DIAG_COUNT. */
bool tegu_infer_raw(const tegu_graph *g, const tegu_node_spec *spec,
                    const tegu_attr *attrs, tegu_diag_id as, tegu_type *out);

/* True when the type is part of the node (reshape, param), not inferred. */
bool tegu_op_type_given(tegu_op op);

/* Checks a type's own limits (rank, extents >= 0, elements, bytes) and that
 * its axes are the unit's; reports at loc, `as` as above.  `what` has the
 * type; NULL: it stands by itself. */
bool tegu_type_check(const tegu_unit *unit, const tegu_type *type,
                     const char *what, tegu_loc loc, tegu_diag_id as);

/* tegu_unit_verify, errors reported as `as`: what IR text breaks is the
 * user's, what a pass breaks is tegu's. */
bool tegu_unit_check(const tegu_unit *unit, tegu_diag_id as);

/* Limits of a unit: lookups by name are linear. */
enum {
    TEGU_MAX_AXES = 4096,
    TEGU_MAX_STATES = 4096,
    TEGU_MAX_ADAPTERS = 64,
    TEGU_MAX_ENTRIES = 256,
    TEGU_MAX_ARGUMENTS = 1024
};

#endif
