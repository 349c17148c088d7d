/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See plan.h: walks each entry's graph in its order.  Kernels on constants
 * alone are not called: they are evaluated when the weights are written.
 * Results go straight to the outputs; what is more than one result, a leaf,
 * or the new value of a state that is replaced as a whole, is copied at the
 * end, when everything has been read.
 */
#include <ctype.h>
#include <string.h>

#include "codegen/planner.h"

static const tegu_node *node_of(const tegu_planner *p, tegu_value v)
{
    return tegu_graph_node(p->graph, v);
}

/* ---- symbols ---- */

static void note_symbols(bool *used, const tegu_type *t)
{
    for (uint32_t i = 0; i < t->rank; i++)
        used[t->dims[i].symbol] |= !tegu_dim_is_static(t->dims[i]);
}

static void collect_symbols(tegu_planner *p)
{
    tegu_arena *arena = p->plan->arena;
    uint32_t count = p->plan->unit->axes.count;
    bool *used = TEGU_ARRAY(arena, bool, count);
    const tegu_entry *entry = p->entry->entry;
    for (uint32_t i = 0; i < entry->arguments.count; i++)
        note_symbols(used, entry->arguments.data[i].type);
    for (tegu_value v = 1; v < p->graph->nodes.count; v++) {
        const tegu_node *node = node_of(p, v);
        if (!p->uses[v])
            continue;
        note_symbols(used, node->type);
        for (tegu_value w = 1; node->body && w < node->body->nodes.count; w++)
            note_symbols(used, tegu_graph_type(node->body, w));
    }
    for (tegu_axis_id a = 1; a < count; a++)
        if (used[a])
            tegu_vec_push(arena, &p->entry->symbols, a);
}

/* ---- appends ---- */

static void note_append(tegu_planner *p, const tegu_graph *g,
                        const tegu_node *node)
{
    tegu_append_check check = {
        .capacity = node->type->dims[0].offset,
        .rows = tegu_graph_type(g, node->inputs[1])->dims[0]};
    p->entry->rows = check.rows;
    p->entry->advances = p->graph->updates.count > 0;
    for (uint32_t i = 0; i < p->entry->appends.count; i++)
        if (p->entry->appends.data[i].capacity == check.capacity &&
            tegu_dim_equal(p->entry->appends.data[i].rows, check.rows))
            return;
    tegu_vec_push(p->plan->arena, &p->entry->appends, check);
}

static void collect_appends(tegu_planner *p)
{
    for (tegu_value v = 1; v < p->graph->nodes.count; v++) {
        const tegu_graph *body = node_of(p, v)->body;
        for (tegu_value w = 1; p->uses[v] && body && w < body->nodes.count; w++)
            if (tegu_graph_node(body, w)->op == TEGU_OP_APPEND)
                note_append(p, body, tegu_graph_node(body, w));
    }
}

/* ---- places ---- */

tegu_place tegu_planner_buffer(tegu_planner *p, const tegu_type *type)
{
    tegu_buffer buffer = {0};
    tegu_vec_push(p->plan->arena, &buffer.types, type);
    tegu_vec_push(p->plan->arena, &p->entry->buffers, buffer);
    return (tegu_place){TEGU_PLACE_SLOT, p->entry->buffers.count - 1};
}

static tegu_place planned_buffer(tegu_planner *p, int64_t slot,
                                 const tegu_type *type)
{
    tegu_buffer *buffer = &p->entry->buffers.data[slot];
    for (uint32_t i = 0; i < buffer->types.count; i++)
        if (tegu_type_same_shape(buffer->types.data[i], type) &&
            buffer->types.data[i]->dtype == type->dtype)
            return (tegu_place){TEGU_PLACE_SLOT, (uint32_t)slot};
    tegu_vec_push(p->plan->arena, &buffer->types, type);
    return (tegu_place){TEGU_PLACE_SLOT, (uint32_t)slot};
}

/* The slots that plan-memory gave come first. */
static bool reserve_buffers(tegu_planner *p)
{
    int64_t greatest = -1;
    for (tegu_value v = 1; v < p->graph->nodes.count; v++)
        if (p->uses[v] && node_of(p, v)->op == TEGU_OP_KERNEL) {
            int64_t slot = tegu_node_int(node_of(p, v), "slot");
            greatest = slot > greatest ? slot : greatest;
        }
    if (greatest >= (int64_t)p->graph->nodes.count)
        return tegu_error(p->plan->unit->diag, p->entry->entry->loc,
                          TEGU_E_INTERNAL,
                          "entry '%s' has kernels in slot %lld, more than it "
                          "has values",
                          p->entry->entry->name, (long long)greatest);
    for (int64_t i = 0; i <= greatest; i++)
        tegu_vec_push(p->plan->arena, &p->entry->buffers, (tegu_buffer){0});
    return true;
}

/* Where the kernel v shall put its result. */
static tegu_place place_of_result(tegu_planner *p, tegu_value v, bool in_place)
{
    const tegu_node *node = node_of(p, v);
    int64_t slot = tegu_node_int(node, "slot");
    for (uint32_t i = 0; in_place && i < p->graph->updates.count; i++)
        if (p->graph->updates.data[i].value == v) {
            const tegu_state *state = tegu_unit_find_state(
                p->plan->unit, p->graph->updates.data[i].state);
            return (tegu_place){TEGU_PLACE_STATE,
                                (uint32_t)(state - p->plan->unit->states.data)};
        }
    for (uint32_t i = 0; i < p->graph->results.count; i++)
        if (p->graph->results.data[i].value == v)
            return (tegu_place){TEGU_PLACE_OUTPUT, i};
    return slot >= 0 ? planned_buffer(p, slot, node->type)
                     : tegu_planner_buffer(p, node->type);
}

static tegu_place place_of_leaf(const tegu_planner *p, const tegu_node *node)
{
    const tegu_entry *entry = p->entry->entry;
    if (node->op == TEGU_OP_STATE) {
        const tegu_state *state =
            tegu_unit_find_state(p->plan->unit, tegu_node_text(node, "name"));
        return (tegu_place){TEGU_PLACE_STATE,
                            (uint32_t)(state - p->plan->unit->states.data)};
    }
    if (node->op == TEGU_OP_ADAPTER_SCALE) {
        const tegu_unit_adapter *adapter =
            tegu_unit_find_adapter(p->plan->unit, tegu_node_text(node, "name"));
        uint32_t index = (uint32_t)(adapter - p->plan->unit->adapters.data);
        p->plan->files[index].used = true;
        return (tegu_place){TEGU_PLACE_SCALE, index};
    }
    for (uint32_t i = 0; i < entry->arguments.count; i++)
        if (node->op == TEGU_OP_INPUT &&
            strcmp(entry->arguments.data[i].name,
                   tegu_node_text(node, "name")) == 0)
            return (tegu_place){TEGU_PLACE_INPUT, i};
    return (tegu_place){TEGU_PLACE_NONE, 0};
}

static tegu_operand operand_of(const tegu_planner *p, tegu_value v)
{
    return (tegu_operand){.place = p->places[v],
                          .value = v,
                          .type = tegu_graph_type(p->graph, v)};
}

static tegu_operand *operands_of(const tegu_planner *p, const tegu_node *node)
{
    tegu_operand *operands =
        TEGU_ARRAY(p->plan->arena, tegu_operand, node->input_count);
    for (uint32_t i = 0; i < node->input_count; i++)
        operands[i] = operand_of(p, node->inputs[i]);
    return operands;
}

/* ---- nodes ---- */

static bool plan_kernel(tegu_planner *p, tegu_value v)
{
    const tegu_node *node = node_of(p, v);
    tegu_family family = tegu_family_find(tegu_node_text(node, "family"));
    if (family == TEGU_FAMILY_COUNT)
        return tegu_error(p->plan->unit->diag, node->loc, TEGU_E_INTERNAL,
                          "no kernel family is called '%s'",
                          tegu_node_text(node, "family"));
    tegu_job job = {.body = node->body,
                    .operands = operands_of(p, node),
                    .operand_count = node->input_count,
                    .node = v,
                    .family = family,
                    .in_place = tegu_plan_in_place(p->plan, p->graph, v,
                                                   p->plan->kernels->scratch)};
    job.result = p->places[v] = place_of_result(p, v, job.in_place);
    return tegu_planner_run(p, &job);
}

/* Constants keep place NONE until a kernel says how it wants them. */
static bool plan_node(tegu_planner *p, tegu_value v)
{
    const tegu_node *node = node_of(p, v);
    if (p->constant[v])
        return true;
    if (node->op == TEGU_OP_KERNEL)
        return plan_kernel(p, v);
    p->places[v] = place_of_leaf(p, node);
    if (p->places[v].kind != TEGU_PLACE_NONE)
        return true;
    p->places[v] = tegu_planner_buffer(p, node->type);
    return tegu_planner_single(p, p->graph, v, operands_of(p, node),
                               p->places[v], false);
}

/* ---- what remains at the end ---- */

static bool same_place(tegu_place a, tegu_place b)
{
    return a.kind == b.kind && a.index == b.index;
}

static bool copy_results(tegu_planner *p)
{
    for (uint32_t i = 0; i < p->graph->results.count; i++) {
        tegu_operand from = operand_of(p, p->graph->results.data[i].value);
        tegu_place to = {TEGU_PLACE_OUTPUT, i};
        if (!same_place(from.place, to) && !tegu_planner_copy(p, &from, to))
            return false;
    }
    return true;
}

/* A state that becomes another's old value is set aside first. */
static bool set_aside(tegu_planner *p, tegu_operand *values)
{
    for (uint32_t i = 0; i < p->graph->updates.count; i++) {
        tegu_value v = p->graph->updates.data[i].value;
        values[i] = operand_of(p, v);
        if (node_of(p, v)->op != TEGU_OP_STATE)
            continue;
        tegu_place aside = tegu_planner_buffer(p, values[i].type);
        if (!tegu_planner_copy(p, &values[i], aside))
            return false;
        values[i].place = aside;
    }
    return true;
}

static bool copy_updates(tegu_planner *p)
{
    tegu_operand *values =
        TEGU_ARRAY(p->plan->arena, tegu_operand, p->graph->updates.count);
    if (!set_aside(p, values))
        return false;
    for (uint32_t i = 0; i < p->graph->updates.count; i++) {
        const tegu_state *state = tegu_unit_find_state(
            p->plan->unit, p->graph->updates.data[i].state);
        tegu_place to = {TEGU_PLACE_STATE,
                         (uint32_t)(state - p->plan->unit->states.data)};
        if (!same_place(values[i].place, to) &&
            !tegu_planner_copy(p, &values[i], to))
            return false;
    }
    return true;
}

/* ---- sizes ---- */

size_t tegu_plan_workspace(const tegu_plan_entry *entry, const int64_t *symbols)
{
    size_t end = 0;
    for (uint32_t i = 0; i < entry->buffers.count; i++) {
        const tegu_buffer *buffer = &entry->buffers.data[i];
        size_t most = 0, bytes;
        for (uint32_t t = 0; t < buffer->types.count; t++) {
            if (!tegu_type_size(buffer->types.data[t], symbols, &bytes))
                return SIZE_MAX;
            most = bytes > most ? bytes : most;
        }
        if (!tegu_align_size(most, &most) ||
            __builtin_add_overflow(end, most, &end))
            return SIZE_MAX;
    }
    return end;
}

static bool bound_workspace(tegu_planner *p)
{
    const tegu_unit *unit = p->plan->unit;
    int64_t *symbols = TEGU_ARRAY(p->plan->arena, int64_t, unit->axes.count);
    for (uint32_t i = 0; i < unit->axes.count; i++)
        symbols[i] = unit->axes.data[i].hi;
    p->entry->workspace_max = tegu_plan_workspace(p->entry, symbols);
    if (p->entry->workspace_max <= (size_t)1 << 62)
        return true;
    return tegu_error(unit->diag, p->entry->entry->loc, TEGU_E_RESOURCES,
                      "entry '%s' needs a workspace larger than any memory "
                      "at the upper bounds of its axes",
                      p->entry->entry->name);
}

/* ---- the whole ---- */

/* Values for the weights file, which holds compute types only. */
static bool *find_constants(const tegu_graph *g, tegu_arena *arena)
{
    bool *constant = tegu_graph_constant(g, arena);
    for (tegu_value v = 1; v < g->nodes.count; v++)
        constant[v] =
            constant[v] && tegu_dtype_is_compute(tegu_graph_type(g, v)->dtype);
    return constant;
}

static bool plan_entry(tegu_plan *plan, const tegu_entry *entry,
                       tegu_plan_entry *out)
{
    const tegu_graph *g = entry->graph;
    tegu_planner p = {.plan = plan, .entry = out, .graph = g};
    out->entry = entry;
    p.uses = tegu_graph_uses(g, plan->arena);
    p.constant = find_constants(g, plan->arena);
    p.places = TEGU_ARRAY(plan->arena, tegu_place, g->nodes.count);
    collect_symbols(&p);
    collect_appends(&p);
    if (!reserve_buffers(&p))
        return false;
    for (tegu_value v = 1; v < g->nodes.count; v++)
        if (p.uses[v] && !plan_node(&p, v))
            return false;
    return copy_results(&p) && copy_updates(&p) && bound_workspace(&p);
}

bool tegu_plan_make(tegu_plan *plan)
{
    tegu_unit *unit = plan->unit;
    plan->weight_index = tegu_map_create(plan->arena);
    plan->files =
        TEGU_ARRAY(plan->arena, tegu_weights_file, unit->adapters.count);
    for (uint32_t i = 0; i < unit->adapters.count; i++)
        plan->files[i].bytes = TEGU_WEIGHTS_HEAD;
    plan->entries =
        TEGU_ARRAY(plan->arena, tegu_plan_entry, unit->entries.count);
    if (!tegu_plan_states(plan))
        return false;
    for (uint32_t i = 0; i < unit->entries.count; i++)
        if (!plan_entry(plan, &unit->entries.data[i], &plan->entries[i]))
            return false;
    if (plan->overflow)
        return tegu_error(unit->diag, tegu_loc_file(unit->source),
                          TEGU_E_RESOURCES,
                          "the weights are larger than any file");
    for (uint32_t i = 1; i < unit->adapters.count; i++)
        if (plan->files[i].used)
            plan->files[i].slot = plan->slots++;
    return true;
}

const char *tegu_plan_upper(const tegu_plan *plan, const char *name)
{
    char *upper = tegu_format(plan->arena, "%s", name);
    for (char *c = upper; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return upper;
}
