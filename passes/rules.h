/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - private to canonicalise: rewrite rules as data.
 *
 * A rule has a name, a pattern and an action.  The pattern is matched against
 * a node of the graph being built, whose inputs are in canonical form; the
 * action returns the value to take instead, existing or newly built, or 0 to
 * decline.  Requirements on every rule:
 *  1. it keeps the meaning of the node for every input, by the rules of IEEE
 *     754 with NaN, infinities and signed zeros (a NaN's sign and payload, and
 *     the sign of a zero that a sum or a maximum of zeros gives, are not part
 *     of the meaning), or lies inside the bounds of docs/ir.md where it says
 *     so;
 *  2. the replacement has the node's element type and shape;
 *  3. it decreases the measure of canonicalise.c;
 *  4. it duplicates no work.
 * Its golden test is tests/golden/rules/<name>.tir.
 */
#ifndef TEGU_PASSES_RULES_H
#define TEGU_PASSES_RULES_H

#include "passes/passes.h"

typedef enum tegu_pattern_kind {
    TEGU_MATCH_ANY,   /* any value */
    TEGU_MATCH_OP,    /* a node of `op`, its inputs by `in` */
    TEGU_MATCH_TRAIT, /* a node whose op has trait `op`, inputs by `in` */
    TEGU_MATCH_CONST, /* a literal of one element, maybe broadcast */
    TEGU_MATCH_NUMBER /* the same, equal to `number` (bitwise) */
} tegu_pattern_kind;

enum { TEGU_BIND_MAX = 6 };

typedef struct tegu_pattern tegu_pattern;
struct tegu_pattern {
    tegu_pattern_kind kind;
    uint32_t op;   /* tegu_op, or trait bit */
    uint32_t bind; /* slot of `bound` + 1; 0: not bound; the same slot
                      twice must be the same value */
    double number;
    const tegu_pattern *in[3];
};

typedef struct tegu_match {
    tegu_graph *g;
    tegu_node node; /* a copy of the node matched */
    tegu_value bound[TEGU_BIND_MAX];
} tegu_match;

typedef tegu_value (*tegu_rule_action)(const tegu_match *m);

typedef struct tegu_rule {
    const char *name;
    const tegu_pattern *pattern;
    tegu_rule_action apply;
} tegu_rule;

typedef struct tegu_rule_table {
    const tegu_rule *rules;
    uint32_t count;
} tegu_rule_table;

/* The rules on arithmetic, and on movement, reduction and index. */
tegu_rule_table tegu_rules_algebra(void);
tegu_rule_table tegu_rules_movement(void);

/* --- for actions --- */

/* The number that a literal of one element, maybe broadcast, stands for. */
bool tegu_match_number(const tegu_graph *g, tegu_value v, double *number);
/* `v` in the matched node's shape: itself, or a broadcast of it. */
tegu_value tegu_match_shaped(const tegu_match *m, tegu_value v);
/* A scalar literal of the matched node's element type, in its shape. */
tegu_value tegu_match_literal(const tegu_match *m, double number);
tegu_value tegu_match_unary(const tegu_match *m, tegu_op op, tegu_value a);
tegu_value tegu_match_binary(const tegu_match *m, tegu_op op, tegu_value a,
                             tegu_value b);
/* Like the matched node, with another type and inputs and attributes. */
tegu_value tegu_match_build(const tegu_match *m, tegu_op op,
                            uint32_t input_count, const tegu_value *inputs,
                            uint32_t attr_count, const tegu_attr *attrs,
                            const tegu_type *type);

/* Patterns are constant trees of compound literals. */
#define TEGU_P_ANY(slot)                                                       \
    (&(const tegu_pattern){.kind = TEGU_MATCH_ANY, .bind = (slot) + 1})
#define TEGU_P_CONST(slot)                                                     \
    (&(const tegu_pattern){.kind = TEGU_MATCH_CONST, .bind = (slot) + 1})
#define TEGU_P_NUMBER(value)                                                   \
    (&(const tegu_pattern){.kind = TEGU_MATCH_NUMBER, .number = (value)})
#define TEGU_P(id, ...)                                                        \
    (&(const tegu_pattern){                                                    \
        .kind = TEGU_MATCH_OP, .op = TEGU_OP_##id, .in = {__VA_ARGS__}})
#define TEGU_P_TRAIT(id, ...)                                                  \
    (&(const tegu_pattern){                                                    \
        .kind = TEGU_MATCH_TRAIT, .op = TEGU_##id, .in = {__VA_ARGS__}})

#endif
