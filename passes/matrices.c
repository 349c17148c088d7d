/* SPDX-License-Identifier: Apache-2.0 */
/* matrices.c - finds the weights to factor: by their names, or those around
 * attention by structure.
 *
 * A linear feeds an attention when the attention's queries, keys or values
 * come from it with no other linear between; it reads its result when only
 * movement and element-wise ops stand between.
 */
#include "passes/adapted.h"
#include "passes/factor.h"

#include <regex.h>
#include <string.h>

typedef struct search {
    tegu_unit *unit;
    const tegu_graph *g;
    tegu_arena *arena;
    const bool *constant;
    const uint32_t *uses;
    tegu_value stack; /* a contraction whose weight the targets name; 0: none */
    const char *stacked; /* that weight */
} search;

/* --- around attention --- */

static bool is_linear(const search *s, tegu_value v)
{
    return tegu_graph_node(s->g, v)->op == TEGU_OP_LINEAR;
}

/* What the attentions' q, k and v come from, up to linears. */
static void mark_writers(const search *s, bool *chosen)
{
    bool *feeds = TEGU_ARRAY(s->arena, bool, s->g->nodes.count);

    for (tegu_value v = s->g->nodes.count; v-- > 1;) {
        const tegu_node *node = tegu_graph_node(s->g, v);
        bool attention = node->op == TEGU_OP_ATTENTION && s->uses[v];
        if (is_linear(s, v)) {
            chosen[v] |= feeds[v];
            continue;
        }
        for (uint32_t i = 0; i < node->input_count; i++)
            feeds[node->inputs[i]] |= attention ? i < 3 : feeds[v];
    }
}

static void mark_readers(const search *s, bool *chosen)
{
    bool *carries = TEGU_ARRAY(s->arena, bool, s->g->nodes.count);

    for (tegu_value v = 1; v < s->g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(s->g, v);
        tegu_op_kind kind = tegu_op_kind_of(node->op);
        carries[v] = node->op == TEGU_OP_ATTENTION;
        for (uint32_t i = 0; i < node->input_count; i++)
            if (kind == TEGU_KIND_MOVE || kind == TEGU_KIND_MAP)
                carries[v] |= carries[node->inputs[i]];
        if (is_linear(s, v))
            chosen[v] |= carries[node->inputs[0]];
    }
}

/* --- by name --- */

/* The parameter under a weight and its adapters where its name is a target;
 * else NULL. */
static const char *named(const search *s, const regex_t *regex, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(s->g, tegu_adapted_base(s->g, v));
    const char *name =
        node->op == TEGU_OP_PARAM ? tegu_node_text(node, "name") : NULL;

    return name && regexec(regex, name, 0, NULL, 0) == 0 ? name : NULL;
}

static void note_stack(search *s, const regex_t *regex, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(s->g, v);

    for (uint32_t i = 0; s->uses[v] && !s->stack && i < 2; i++) {
        s->stacked = named(s, regex, node->inputs[i]);
        s->stack = s->stacked ? v : 0;
    }
}

static bool mark_named(search *s, const char *targets, bool *chosen)
{
    regex_t regex;
    int error = regcomp(&regex, targets, REG_EXTENDED | REG_NOSUB);
    char why[128];

    if (error) {
        regerror(error, &regex, why, sizeof why);
        return tegu_error(s->unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "targets '%s' is no regular expression: %s",
                          tegu_escaped(s->arena, targets, strlen(targets)),
                          why);
    }
    for (tegu_value v = 1; v < s->g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(s->g, v);
        if (node->op == TEGU_OP_CONTRACT)
            note_stack(s, &regex, v);
        if (is_linear(s, v))
            chosen[v] = named(s, &regex, node->inputs[1]) != NULL;
    }
    regfree(&regex);
    return true;
}

/* --- the list --- */

static void add(const search *s, tegu_value v, tegu_matrices *matrices)
{
    const tegu_node *node = tegu_graph_node(s->g, v);
    const tegu_node *param =
        tegu_graph_node(s->g, tegu_adapted_base(s->g, node->inputs[1]));
    const tegu_type *type = tegu_graph_type(s->g, node->inputs[1]);
    tegu_matrix m = {.graph = s->g, .linear = v, .loc = node->loc};

    if (param->op != TEGU_OP_PARAM || !s->constant[node->inputs[1]] ||
        s->constant[node->inputs[0]])
        return;
    m.weight = tegu_node_text(param, "name");
    m.out = type->dims[0].offset;
    m.in = type->dims[1].offset;
    for (uint32_t i = 0; i < matrices->count; i++)
        if (matrices->data[i].weight == m.weight)
            return;
    if (tegu_break_even(m.out, m.in) < 1)
        return;
    tegu_vec_push(s->arena, matrices, m);
}

/* A reader of the parameter that is no linear keeps it whole. */
static bool check_uses(const search *s, const tegu_graph *g,
                       const tegu_matrix *m)
{
    const uint32_t *uses = tegu_graph_uses(g, s->arena);

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        for (uint32_t i = 0; uses[v] && i < node->input_count; i++) {
            const tegu_node *base =
                tegu_graph_node(g, tegu_adapted_base(g, node->inputs[i]));
            if (base->op != TEGU_OP_PARAM ||
                tegu_node_text(base, "name") != m->weight ||
                tegu_node_is_adapted(node) ||
                (node->op == TEGU_OP_LINEAR && i == 1))
                continue;
            return tegu_error(s->unit->diag, m->loc, TEGU_E_UNSUPPORTED,
                              "'%s' cannot be factored: '%s' uses it too",
                              m->weight, tegu_op_get(node->op)->text);
        }
    }
    return true;
}

static bool check(const search *s, const char *targets,
                  const tegu_matrices *matrices)
{
    if (matrices->count == 0 && s->stack)
        return tegu_error(
            s->unit->diag, tegu_graph_node(s->g, s->stack)->loc,
            TEGU_E_UNSUPPORTED,
            "'%s' is read by 'contract', and only linears' weights are "
            "factored; reduce-hidden makes experts narrower",
            s->stacked);
    if (matrices->count == 0)
        return tegu_error(
            s->unit->diag, tegu_loc_file(s->unit->source), TEGU_E_UNSUPPORTED,
            strcmp(targets, "attention")
                ? "no linear of entry step has a weight named like targets "
                  "'%s'"
                : "entry step has no '%s' with linears around it; name "
                  "targets=REGEX",
            tegu_escaped(s->arena, targets, strlen(targets)));
    for (uint32_t e = 0; e < s->unit->entries.count; e++)
        for (uint32_t i = 0; i < matrices->count; i++)
            if (!check_uses(s, s->unit->entries.data[e].graph,
                            &matrices->data[i]))
                return false;
    return true;
}

bool tegu_find_matrices(tegu_unit *unit, const char *targets, tegu_arena *arena,
                        tegu_matrices *matrices)
{
    const tegu_entry *step = tegu_unit_find_entry(unit, "step");
    search s = {.unit = unit, .arena = arena};
    bool *chosen;

    if (!step)
        return tegu_error(unit->diag, tegu_loc_file(unit->source),
                          TEGU_E_UNSUPPORTED,
                          "calibration needs entry step, which the model does "
                          "not have");
    s.g = step->graph;
    s.constant = tegu_graph_constant(s.g, arena);
    s.uses = tegu_graph_uses(s.g, arena);
    chosen = TEGU_ARRAY(arena, bool, s.g->nodes.count);
    if (!strcmp(targets, "attention")) {
        mark_writers(&s, chosen);
        mark_readers(&s, chosen);
    } else if (!mark_named(&s, targets, chosen)) {
        return false;
    }
    for (tegu_value v = 1; v < s.g->nodes.count; v++)
        if (chosen[v] && s.uses[v])
            add(&s, v, matrices);
    return check(&s, targets, matrices);
}
