/* SPDX-License-Identifier: Apache-2.0 */
/* canonicalise.c - apply the named rewrite rules until none matches.
 *
 * Takes model or core graphs.  Visits every node in order; its inputs are
 * canonical already.  The first rule of rules_algebra.c and rules_movement.c
 * whose pattern matches gives a replacement, which is tried again; when no
 * rule matches, the node stands.  Sweeps repeat until one changes nothing,
 * because a rule may build nodes that other rules match.  What rules leave
 * behind is dropped.
 *
 * Termination: every rule decreases, in lexicographic order,
 *   1. the cost of the ops that the results need: pow 8, div 5, other
 *      functions 4, not-equal and other arithmetic 2, contractions by
 *      weights whose summed axis is not their last 4, by stacks of them 7,
 *      movement 1;
 *   2. the sum over ops of their distance from leaves;
 *   3. constants that stand left, and broadcasts that are operands;
 * so there is no endless chain, whatever the order.
 */
#include "passes/rules.h"
#include <math.h>
#include <string.h>

enum { TABLES = 2, RULES_MAX = 128 };

typedef struct sweep {
    tegu_rule_table tables[TABLES];
    uint32_t fired[RULES_MAX]; /* per rule, over both tables */
    bool changed;
} sweep;

/* --- matching --- */

static bool read_scalar(const tegu_node *node, double *number)
{
    switch (node->type->dtype) {
    case TEGU_F32: *number = *(const float *)node->data; return true;
    case TEGU_I32: *number = *(const int32_t *)node->data; return true;
    case TEGU_I64: {
        int64_t i = *(const int64_t *)node->data;
        *number = (double)i;
        return i >= -(INT64_C(1) << 53) && i <= INT64_C(1) << 53;
    }
    case TEGU_BOOL: *number = *(const uint8_t *)node->data; return true;
    default: return false;
    }
}

bool tegu_match_number(const tegu_graph *g, tegu_value v, double *number)
{
    const tegu_node *node = tegu_graph_node(g, v);

    while (node->op == TEGU_OP_BROADCAST || node->op == TEGU_OP_RESHAPE)
        node = tegu_graph_node(g, node->inputs[0]);
    return tegu_node_is_scalar_const(node) && read_scalar(node, number);
}

static bool is_number(const tegu_graph *g, tegu_value v, double wanted)
{
    double number;

    return tegu_match_number(g, v, &number) && number == wanted &&
           (tegu_graph_type(g, v)->dtype != TEGU_F32 ||
            signbit(number) == signbit(wanted));
}

static bool bind(tegu_match *m, const tegu_pattern *pattern, tegu_value v)
{
    tegu_value *slot = &m->bound[pattern->bind ? pattern->bind - 1 : 0];

    if (!pattern->bind)
        return true;
    if (*slot && *slot != v)
        return false;
    *slot = v;
    return true;
}

static bool match(tegu_match *m, const tegu_pattern *pattern, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(m->g, v);
    double number;

    switch (pattern->kind) {
    case TEGU_MATCH_ANY: return bind(m, pattern, v);
    case TEGU_MATCH_CONST:
        return tegu_match_number(m->g, v, &number) && bind(m, pattern, v);
    case TEGU_MATCH_NUMBER: return is_number(m->g, v, pattern->number);
    case TEGU_MATCH_OP:
        if (node->op != (tegu_op)pattern->op)
            return false;
        break;
    case TEGU_MATCH_TRAIT:
        if (!tegu_op_has(node->op, pattern->op))
            return false;
        break;
    }
    for (uint32_t i = 0; i < 3 && pattern->in[i]; i++)
        if (i >= node->input_count ||
            !match(m, pattern->in[i], node->inputs[i]))
            return false;
    return bind(m, pattern, v);
}

/* --- building --- */

tegu_value tegu_match_build(const tegu_match *m, tegu_op op,
                            uint32_t input_count, const tegu_value *inputs,
                            uint32_t attr_count, const tegu_attr *attrs,
                            const tegu_type *type)
{
    return tegu_build(m->g, m->node.loc, op, input_count, inputs, attr_count,
                      attrs, type);
}

tegu_value tegu_match_unary(const tegu_match *m, tegu_op op, tegu_value a)
{
    return tegu_build_unary(m->g, m->node.loc, op, a);
}

tegu_value tegu_match_binary(const tegu_match *m, tegu_op op, tegu_value a,
                             tegu_value b)
{
    return tegu_build_binary(m->g, m->node.loc, op, a, b);
}

tegu_value tegu_match_shaped(const tegu_match *m, tegu_value v)
{
    if (!v || tegu_type_same_shape(tegu_graph_type(m->g, v), m->node.type))
        return v;
    return tegu_match_build(m, TEGU_OP_BROADCAST, 1, &v, 0, NULL, m->node.type);
}

tegu_value tegu_match_literal(const tegu_match *m, double number)
{
    return tegu_match_shaped(
        m, tegu_build_scalar(m->g, m->node.loc, m->node.type->dtype, number));
}

/* --- sweeping --- */

static tegu_value apply_first(sweep *s, tegu_graph *g, tegu_value v)
{
    uint32_t index = 0;

    for (uint32_t t = 0; t < TABLES; t++) {
        for (uint32_t i = 0; i < s->tables[t].count; i++, index++) {
            const tegu_rule *rule = &s->tables[t].rules[i];
            tegu_match m = {.g = g, .node = *tegu_graph_node(g, v)};
            tegu_value to;
            if (!match(&m, rule->pattern, v))
                continue;
            to = rule->apply(&m);
            if (!to)
                continue;
            s->fired[index]++;
            return to;
        }
    }
    return 0;
}

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    sweep *s = rw->data;
    tegu_value value = tegu_rewriter_copy(rw, v), to;

    while (value && (to = apply_first(s, rw->into, value)) != 0) {
        s->changed = true;
        value = to;
    }
    return value;
}

static void report_fired(const sweep *s, tegu_text *report)
{
    uint32_t index = 0;

    for (uint32_t t = 0; t < TABLES; t++)
        for (uint32_t i = 0; i < s->tables[t].count; i++, index++)
            if (s->fired[index])
                tegu_text_printf(report, "canonicalise: %s %u\n",
                                 s->tables[t].rules[i].name, s->fired[index]);
}

static tegu_graph *canonicalise(tegu_graph *graph, tegu_pass_env *env)
{
    sweep s = {.tables = {tegu_rules_algebra(), tegu_rules_movement()}};

    do {
        tegu_graph *next;
        s.changed = false;
        next = tegu_graph_rewrite(graph, graph->level, visit, &s);
        if (next && s.changed)
            next = tegu_graph_rewrite(next, graph->level, NULL, NULL);
        if (!next)
            return NULL;
        if (s.changed)
            graph = next;
    } while (s.changed);
    if (tegu_option_bool(env->options, "trace"))
        report_fired(&s, env->report);
    return graph;
}

tegu_outcome tegu_pass_canonicalise(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, canonicalise);
}
