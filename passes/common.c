/* SPDX-License-Identifier: Apache-2.0 */
/* common.c - what several passes need: running over a unit's entries, and
 * small questions about types and nodes.
 */
#include "passes/passes.h"
#include <string.h>

tegu_outcome tegu_pass_entries(tegu_unit *unit, tegu_pass_env *env,
                               tegu_graph_pass pass)
{
    uint32_t count = unit->entries.count;
    tegu_graph **graphs = TEGU_ARRAY(env->scratch, tegu_graph *, count);
    bool changed = false;

    for (uint32_t i = 0; i < count; i++) {
        tegu_mark mark = tegu_arena_mark(env->scratch);
        graphs[i] = pass(unit->entries.data[i].graph, env);
        tegu_arena_release(env->scratch, mark);
        if (!graphs[i])
            return TEGU_FAILED;
        changed |= graphs[i] != unit->entries.data[i].graph;
    }
    for (uint32_t i = 0; i < count; i++)
        unit->entries.data[i].graph = graphs[i];
    return changed ? TEGU_CHANGED : TEGU_UNCHANGED;
}

const char *tegu_options_pass(const tegu_options *options)
{
    uint32_t count;
    const tegu_pass *table = tegu_pass_table(&count);

    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(tegu_pass_id(&table[i]), options->pass))
            return table[i].name;
    return options->pass;
}

static uint32_t next_dim(const tegu_type *type, uint32_t i)
{
    while (i < type->rank && tegu_dim_is_one(type->dims[i]))
        i++;
    return i;
}

bool tegu_type_squeezes(const tegu_type *a, const tegu_type *b)
{
    uint32_t i = next_dim(a, 0), j = next_dim(b, 0);

    while (i < a->rank && j < b->rank) {
        if (!tegu_dim_equal(a->dims[i], b->dims[j]))
            return false;
        i = next_dim(a, i + 1);
        j = next_dim(b, j + 1);
    }
    return i >= a->rank && j >= b->rank;
}

bool tegu_node_is_scalar_const(const tegu_node *node)
{
    return node->op == TEGU_OP_CONST && tegu_type_elements(node->type) == 1;
}

bool tegu_kernel_appends(const tegu_node *kernel)
{
    const tegu_graph *body = kernel->body;

    return tegu_graph_node(body, body->results.data[0].value)->op ==
           TEGU_OP_APPEND;
}

void tegu_report_site(tegu_pass_env *env, const char *site,
                      const tegu_figure *figures, uint32_t count)
{
    tegu_text *text = env->report;
    tegu_figure *copy = TEGU_ARRAY(text->arena, tegu_figure, count + 1);
    tegu_site_row row = {.figures = copy, .count = count};

    row.pass = tegu_options_pass(env->options);
    row.site = tegu_format(text->arena, "%s", site);
    tegu_text_printf(text, "%s: %-44s", row.pass, site);
    for (uint32_t i = 0; i < count; i++) {
        copy[i] = figures[i];
        copy[i].name = tegu_format(text->arena, "%s", figures[i].name);
        tegu_text_printf(text, "  %s %-9.5g", figures[i].name,
                         figures[i].value);
    }
    while (text->count && text->data[text->count - 1] == ' ')
        text->count--;
    tegu_text_add(text, "\n", 1);
    tegu_vec_push(text->arena, env->sites, row);
}

int64_t tegu_pass_multiple(const tegu_pass_env *env, int64_t round)
{
    return round ? round : env->lanes;
}
