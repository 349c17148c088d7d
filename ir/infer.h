/* SPDX-License-Identifier: Apache-2.0 */
/* infer.h - inference rules: one function per name in ops.def's infer column.
 *
 * A rule fills c->out from the operands' types and the attributes, or reports
 * and returns false.  Before it runs, arity, attributes and the element types
 * that traits ask for are checked; after it, c->out's limits.
 */
#ifndef TEGU_IR_INFER_H
#define TEGU_IR_INFER_H

#include "ir/internal.h"

typedef struct tegu_inference {
    const tegu_graph *g;
    tegu_unit *unit;
    const tegu_node_spec *spec;
    const tegu_attr *attrs;
    tegu_diag_id as; /* id of every message; TEGU_DIAG_COUNT: its own */
    tegu_type out;
} tegu_inference;

/* RULE(name, given): given: the type is the node's own, not inferred. */
#define TEGU_RULES(RULE)                                                       \
    RULE(GIVEN, true)                                                          \
    RULE(IOTA, true)                                                           \
    RULE(F32, false)                                                           \
    RULE(I32, false)                                                           \
    RULE(SIZE, false)                                                          \
    RULE(MAP, false)                                                           \
    RULE(CAST, false)                                                          \
    RULE(BROADCAST, false)                                                     \
    RULE(COMPARE, false)                                                       \
    RULE(SELECT, false)                                                        \
    RULE(ADD_IF, false)                                                        \
    RULE(REDUCE, false)                                                        \
    RULE(ARGMAX, false)                                                        \
    RULE(CONTRACT, false)                                                      \
    RULE(RESHAPE, true)                                                        \
    RULE(TRANSPOSE, false)                                                     \
    RULE(BROADCAST_TO, true)                                                   \
    RULE(SLICE, true)                                                          \
    RULE(PAD, false)                                                           \
    RULE(CONCAT, false)                                                        \
    RULE(GATHER, false)                                                        \
    RULE(APPEND, false)                                                        \
    RULE(LINEAR, false)                                                        \
    RULE(EMBED, false)                                                         \
    RULE(LORA, false)                                                          \
    RULE(SINGLORA, false)                                                      \
    RULE(DORA, false)                                                          \
    RULE(ROWS, false)                                                          \
    RULE(NORM, false)                                                          \
    RULE(ROPE, false)                                                          \
    RULE(ATTENTION, false)                                                     \
    RULE(BODY, false)

#define TEGU_DECLARE_RULE(name, given)                                         \
    bool tegu_shape_##name(tegu_inference *c);
TEGU_RULES(TEGU_DECLARE_RULE)
#undef TEGU_DECLARE_RULE

/* Type of operand i. */
const tegu_type *tegu_operand(const tegu_inference *c, uint32_t i);
/* The attribute of that name. */
const tegu_attr *tegu_inference_attr(const tegu_inference *c, const char *key);
/* Text of a type, of a dimension's value without axes; for messages. */
const char *tegu_shown(const tegu_inference *c, const tegu_type *type);
const char *tegu_extent(const tegu_inference *c, tegu_dim dim);

/* Report "'op' ..." at the node's location; return false. */
bool tegu_refuse(const tegu_inference *c, tegu_diag_id id, const char *format,
                 ...) TEGU_PRINTF(3, 4);

/* The attribute `key` as an axis of `type`: in range, else reported. */
bool tegu_axis_attr(const tegu_inference *c, const char *key,
                    const tegu_type *type, uint32_t *axis);
/* Every number in the list is an axis of `type` not yet in *mask; adds them
 * to *mask. */
bool tegu_axis_list(const tegu_inference *c, const tegu_attr *list,
                    const tegu_type *type, uint32_t *mask);
/* The operand has this rank / is a scalar i32. */
bool tegu_want_rank(const tegu_inference *c, uint32_t i, uint32_t rank,
                    const char *form);
bool tegu_want_position(const tegu_inference *c, uint32_t i);
/* The operand holds integers / floats. */
bool tegu_want_integers(const tegu_inference *c, uint32_t i);
bool tegu_want_floats(const tegu_inference *c, uint32_t i);
/* The spec's own type is there, with the element type of operand 0. */
bool tegu_want_given(const tegu_inference *c);
/* Two extents agree, else "got A and B; WHAT X and Y differ". */
bool tegu_want_same(const tegu_inference *c, uint32_t a, uint32_t a_axis,
                    uint32_t b, uint32_t b_axis, const char *what);

#endif
