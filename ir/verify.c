/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c - every invariant of docs/ir.md, "Invariants".
 *
 * Takes a unit from anywhere and trusts nothing in it but pointers; produces
 * true, or messages, one per broken invariant.  Runs after every pass: one
 * look at each node, no allocation but for messages.
 */
#include "ir/internal.h"

#include <string.h>

typedef struct checker {
    tegu_unit *unit;
    const tegu_entry *entry; /* NULL: a graph by itself */
    const bool *bound;       /* symbols that the entry's arguments have */
    const tegu_graph *g;
    bool is_body;
    tegu_diag_id as;
} checker;

static bool broken(const checker *c, tegu_loc loc, const char *format, ...)
    TEGU_PRINTF(3, 4);
static bool broken(const checker *c, tegu_loc loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = tegu_format_v(c->unit->arena, format, args);
    va_end(args);
    return tegu_error(c->unit->diag, loc, c->as, "%s", text);
}

static const char *shown(const checker *c, const char *name)
{
    return tegu_escaped(c->unit->arena, name, strlen(name));
}

static const char *typed(const checker *c, const tegu_type *type)
{
    return tegu_type_string(c->unit, c->unit->arena, type);
}

/* A letter or _, then letters, digits, _; at most 255 bytes. */
static bool is_identifier(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > 255 || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (const char *p = name; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
              (*p >= '0' && *p <= '9') || *p == '_'))
            return false;
    return true;
}

/* --- nodes --- */

/* Which graphs hold the op: its levels, NATIVE composites in core graphs, and
 * in kernels' bodies nothing that names the unit's own. */
static bool level_holds(const checker *c, tegu_op op)
{
    const tegu_op_info *info = tegu_op_get(op);
    bool core = c->g->level == TEGU_LEVEL_CORE;
    if (op == TEGU_OP_ARG)
        return core && (c->is_body || !c->entry);
    if (c->is_body && (op == TEGU_OP_INPUT || op == TEGU_OP_PARAM ||
                       op == TEGU_OP_STATE || op == TEGU_OP_ADAPTER_SCALE))
        return false;
    return (info->levels & c->g->level) != 0 ||
           (core && (info->traits & TEGU_NATIVE));
}

/* Everything that must hold before the node can be typed. */
static bool check_form(const checker *c, tegu_value v, const tegu_node *node)
{
    if ((unsigned)node->op >= TEGU_OP_COUNT || !node->type)
        return broken(c, node->loc, "%%%u has no op or no type", v);
    const tegu_op_info *info = tegu_op_get(node->op);
    if (!level_holds(c, node->op))
        return broken(c, node->loc, "%%%u: '%s' cannot stand in a %s", v,
                      info->text,
                      c->is_body ? "kernel's body"
                                 : tegu_format(c->unit->arena, "%s graph",
                                               tegu_level_text(c->g->level)));
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] == 0 || node->inputs[i] >= v)
            return broken(c, node->loc,
                          "%%%u: '%s' uses %%%u, which is no earlier value", v,
                          info->text, node->inputs[i]);
    for (uint32_t i = 0; i < info->attr_count; i++)
        if (!node->attrs || node->attrs[i].info != &info->attrs[i])
            return broken(c, node->loc,
                          "%%%u: '%s' lacks attribute '%s' at its place", v,
                          info->text, info->attrs[i].key);
    return (node->body != NULL) == (node->op == TEGU_OP_KERNEL) ||
           broken(c, node->loc, "%%%u: only kernels have bodies", v);
}

static const tegu_state *state_named(const checker *c, const char *name)
{
    return tegu_unit_find_state(c->unit, name);
}

static const tegu_type *argument_type(const tegu_entry *entry, const char *name)
{
    for (uint32_t i = 0; i < entry->arguments.count; i++)
        if (strcmp(entry->arguments.data[i].name, name) == 0)
            return entry->arguments.data[i].type;
    return NULL;
}

static bool check_adapter(const checker *c, tegu_value v, const tegu_node *node)
{
    const char *name = tegu_node_text(node, "name");
    return tegu_unit_find_adapter(c->unit, name) ||
           broken(c, node->loc, "%%%u: no adapter is named '%s'", v,
                  shown(c, name));
}

/* Input, param and state name something of the node's type. */
static bool check_name(const checker *c, tegu_value v, const tegu_node *node)
{
    const char *name = tegu_node_text(node, "name");
    const tegu_type *type = NULL;
    if (node->op == TEGU_OP_INPUT) {
        if (!c->entry)
            return true;
        type = argument_type(c->entry, name);
    } else if (node->op == TEGU_OP_PARAM) {
        const tegu_param *param = tegu_unit_find_param(c->unit, name);
        type = param ? param->type : NULL;
    } else {
        const tegu_state *state = state_named(c, name);
        type = state ? state->type : NULL;
    }
    if (!type)
        return broken(c, node->loc, "%%%u: no %s is named '%s'", v,
                      tegu_op_get(node->op)->text, shown(c, name));
    return tegu_type_equal(type, node->type) ||
           broken(c, node->loc, "%%%u: %s '%s' is %s, not %s", v,
                  tegu_op_get(node->op)->text, shown(c, name), typed(c, type),
                  typed(c, node->type));
}

/* The state that the value appends to: through an append, or a kernel whose
 * body is one; NULL when it is no append. */
static const char *appended_state(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);
    tegu_value target;
    if (node->op == TEGU_OP_APPEND) {
        target = node->inputs[0];
    } else if (node->op == TEGU_OP_KERNEL && node->body->results.count) {
        const tegu_graph *body = node->body;
        const tegu_node *root =
            tegu_graph_node(body, body->results.data[0].value);
        if (root->op != TEGU_OP_APPEND)
            return NULL;
        const tegu_node *arg = tegu_graph_node(body, root->inputs[0]);
        if (arg->op != TEGU_OP_ARG)
            return "";
        target = node->inputs[tegu_node_int(arg, "index")];
    } else {
        return NULL;
    }
    const tegu_node *state = tegu_graph_node(g, target);
    return state->op == TEGU_OP_STATE ? tegu_node_text(state, "name") : "";
}

/* An append is made in place, so it must be what its state becomes. */
static bool check_append(const checker *c, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(c->g, v);
    const char *name = appended_state(c->g, v);
    if (!name)
        return true;
    const tegu_state *state = state_named(c, name);
    if (!state || !state->appended)
        return broken(c, node->loc, "%%%u appends to what is no appended state",
                      v);
    for (uint32_t i = 0; i < c->g->updates.count; i++)
        if (c->g->updates.data[i].value == v &&
            strcmp(c->g->updates.data[i].state, name) == 0)
            return true;
    return broken(c, node->loc, "%%%u appends to '%s' without updating it", v,
                  shown(c, name));
}

/* In a body the state is an operand, and the append is the result. */
static bool check_body_append(const checker *c, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(c->g, v);
    if (node->op != TEGU_OP_APPEND)
        return true;
    const tegu_node *target = tegu_graph_node(c->g, node->inputs[0]);
    return (target->op == TEGU_OP_ARG && c->g->results.data[0].value == v) ||
           broken(c, node->loc,
                  "%%%u: an append in a body must be its result and append to "
                  "an operand",
                  v);
}

static bool check_type(const checker *c, const tegu_node *node)
{
    tegu_node_spec spec = {
        .op = node->op,
        .inputs = node->inputs,
        .input_count = node->input_count,
        .type = node->type,
        .data = node->data,
        .body = node->body,
        .loc = node->loc,
    };
    tegu_type type;
    return tegu_infer_raw(c->g, &spec, node->attrs, c->as, &type);
}

/* Each symbol of the type is the extent of some argument of the entry. */
static bool check_symbols(const checker *c, const tegu_node *node)
{
    for (uint32_t i = 0; i < node->type->rank; i++) {
        tegu_axis_id symbol = node->type->dims[i].symbol;
        if (symbol && !c->bound[symbol])
            return broken(c, node->loc,
                          "'%s' has extent %s, which no input of entry '%s' "
                          "has",
                          tegu_op_get(node->op)->text,
                          c->unit->axes.data[symbol].name, c->entry->name);
    }
    return true;
}

static bool check_graph(const checker *c);

static bool check_body(const checker *c, tegu_value v, const tegu_node *node)
{
    checker inner = *c;
    inner.g = node->body;
    inner.is_body = true;
    if (node->body->level != TEGU_LEVEL_CORE || node->body->updates.count ||
        node->body->results.count != 1)
        return broken(c, node->loc,
                      "%%%u: a kernel's body is a core graph with one result",
                      v);
    return check_graph(&inner);
}

static bool check_node(const checker *c, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(c->g, v);
    if ((node->body && !check_body(c, v, node)) || !check_type(c, node))
        return false;
    if (c->entry && !check_symbols(c, node))
        return false;
    if (c->is_body)
        return check_body_append(c, v);
    if (node->op == TEGU_OP_INPUT || node->op == TEGU_OP_PARAM ||
        node->op == TEGU_OP_STATE)
        return check_name(c, v, node);
    if (node->op == TEGU_OP_ADAPTER_SCALE)
        return check_adapter(c, v, node);
    return !c->entry || check_append(c, v);
}

/* --- graphs --- */

static bool check_outputs(const checker *c)
{
    const tegu_graph *g = c->g;
    tegu_loc loc = c->entry ? c->entry->loc : tegu_loc_none();
    for (uint32_t i = 0; i < g->results.count; i++)
        if (!g->results.data[i].value ||
            g->results.data[i].value >= g->nodes.count)
            return broken(c, loc, "result %u is no value", i);
    for (uint32_t i = 0; i < g->updates.count; i++)
        if (!g->updates.data[i].value ||
            g->updates.data[i].value >= g->nodes.count)
            return broken(c, loc, "update %u is no value", i);
    return true;
}

static bool check_graph(const checker *c)
{
    const tegu_graph *g = c->g;
    if (g->level != TEGU_LEVEL_MODEL && g->level != TEGU_LEVEL_CORE &&
        g->level != TEGU_LEVEL_KERNEL)
        return broken(c, tegu_loc_none(), "a graph has no level");
    if (g->unit != c->unit || g->nodes.count == 0)
        return broken(c, tegu_loc_none(), "a graph belongs to no unit");
    if (!check_outputs(c))
        return false;
    bool good = true;
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        /* Nothing can be said of what uses a malformed node. */
        if (!check_form(c, v, tegu_graph_node(g, v)))
            return false;
        good = check_node(c, v) && good;
    }
    return good;
}

/* --- entries --- */

static bool check_update(const checker *c, uint32_t i)
{
    const tegu_update *update = &c->g->updates.data[i];
    const tegu_state *state = state_named(c, update->state);
    tegu_loc loc = tegu_graph_node(c->g, update->value)->loc;
    if (!state)
        return broken(c, loc, "entry '%s' updates '%s', which is no state",
                      c->entry->name, shown(c, update->state));
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(c->g->updates.data[k].state, update->state) == 0)
            return broken(c, loc, "entry '%s' updates '%s' twice",
                          c->entry->name, shown(c, update->state));
    const tegu_type *type = tegu_graph_type(c->g, update->value);
    if (!tegu_type_equal(type, state->type))
        return broken(c, loc, "state '%s' is %s and cannot become %s",
                      shown(c, state->name), typed(c, state->type),
                      typed(c, type));
    const char *appended = appended_state(c->g, update->value);
    if (state->appended != (appended != NULL) ||
        (appended && strcmp(appended, state->name) != 0))
        return broken(c, loc,
                      state->appended
                          ? "state '%s' may only be appended to"
                          : "state '%s' may only be replaced as a whole",
                      shown(c, state->name));
    return true;
}

/* The rows that an append, or a kernel whose result is one, writes. */
static tegu_dim appended_rows(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);
    if (node->op == TEGU_OP_KERNEL) {
        g = node->body;
        node = tegu_graph_node(g, g->results.data[0].value);
    }
    return tegu_graph_type(g, node->inputs[1])->dims[0];
}

/* The position advances by the rows appended: one number for all caches. */
static bool check_rows(const checker *c)
{
    const tegu_graph *g = c->g;
    tegu_dim rows = {0};
    bool first = true;
    for (uint32_t i = 0; i < g->updates.count; i++) {
        tegu_value v = g->updates.data[i].value;
        if (!appended_state(g, v))
            continue;
        if (!first && !tegu_dim_equal(rows, appended_rows(g, v)))
            return broken(c, tegu_graph_node(g, v)->loc,
                          "entry '%s' appends different numbers of rows",
                          c->entry->name);
        rows = appended_rows(g, v);
        first = false;
    }
    return true;
}

/* Results and arguments become parameters of one C function. */
static bool check_result(const checker *c, uint32_t i)
{
    const char *name = c->g->results.data[i].name;
    tegu_loc loc = tegu_graph_node(c->g, c->g->results.data[i].value)->loc;
    if (!is_identifier(name))
        return broken(c, loc, "entry '%s' has a result named '%s'",
                      c->entry->name, shown(c, name));
    bool twice = argument_type(c->entry, name) != NULL;
    for (uint32_t k = 0; k < i; k++)
        twice = twice || strcmp(c->g->results.data[k].name, name) == 0;
    return !twice || broken(c, loc, "entry '%s' uses the name '%s' twice",
                            c->entry->name, shown(c, name));
}

static bool check_arguments(const checker *c, bool *bound)
{
    for (uint32_t i = 0; i < c->entry->arguments.count; i++) {
        const tegu_argument *a = &c->entry->arguments.data[i];
        if (!is_identifier(a->name))
            return broken(c, c->entry->loc,
                          "entry '%s' has an argument named '%s'",
                          c->entry->name, shown(c, a->name));
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(c->entry->arguments.data[k].name, a->name) == 0)
                return broken(c, c->entry->loc,
                              "entry '%s' has two arguments named '%s'",
                              c->entry->name, a->name);
        if (!tegu_type_check(c->unit, a->type, a->name, c->entry->loc, c->as))
            return false;
        for (uint32_t k = 0; k < a->type->rank; k++)
            bound[a->type->dims[k].symbol] = true;
    }
    return true;
}

static bool check_entry(checker *c)
{
    tegu_arena *arena = c->unit->arena;
    const tegu_entry *entry = c->entry;
    if (!is_identifier(entry->name))
        return broken(c, entry->loc, "an entry is named '%s'",
                      shown(c, entry->name));
    if (!entry->graph)
        return broken(c, entry->loc, "entry '%s' has no graph", entry->name);
    c->g = entry->graph;
    bool *bound = TEGU_ARRAY(arena, bool, c->unit->axes.count);
    c->bound = bound;
    if (!check_arguments(c, bound) || !check_graph(c))
        return false;
    if (!c->g->results.count && !c->g->updates.count)
        return broken(c, entry->loc, "entry '%s' gives no result", entry->name);
    if (c->g->results.count > TEGU_MAX_ARGUMENTS ||
        c->g->updates.count > c->unit->states.count)
        return broken(c, entry->loc,
                      "entry '%s' gives %u results and updates %u of %u states",
                      entry->name, c->g->results.count, c->g->updates.count,
                      c->unit->states.count);
    bool good = true;
    for (uint32_t i = 0; i < c->g->results.count; i++)
        good = check_result(c, i) && good;
    for (uint32_t i = 0; i < c->g->updates.count; i++)
        good = check_update(c, i) && good;
    return good && check_rows(c);
}

/* --- units --- */

static bool check_axes(const checker *c)
{
    const tegu_unit *unit = c->unit;
    for (tegu_axis_id i = 1; i < unit->axes.count; i++) {
        const tegu_axis *axis = &unit->axes.data[i];
        if (!is_identifier(axis->name))
            return broken(c, tegu_loc_none(), "an axis is named '%s'",
                          shown(c, axis->name));
        if (axis->lo < 0 || axis->hi < axis->lo ||
            (!axis->symbolic && axis->hi != axis->lo))
            return broken(c, tegu_loc_none(), "axis '%s' has wrong bounds",
                          axis->name);
        if (tegu_unit_find_axis(unit, axis->name) != i)
            return broken(c, tegu_loc_none(), "two axes are named '%s'",
                          axis->name);
    }
    return true;
}

/* Stored tensors have a fixed shape and an element type to compute with. */
static bool check_stored(const checker *c, const char *what, const char *name,
                         const tegu_type *type, tegu_loc loc)
{
    if (!tegu_type_check(c->unit, type, what, loc, c->as))
        return false;
    return (tegu_type_is_static(type) && tegu_dtype_is_compute(type->dtype)) ||
           broken(c, loc, "%s '%s' cannot be %s", what, shown(c, name),
                  typed(c, type));
}

static bool check_param(const checker *c, const tegu_param *param)
{
    if (!check_stored(c, "parameter", param->name, param->type, param->loc))
        return false;
    if (tegu_unit_find_param(c->unit, param->name) != param)
        return broken(c, param->loc, "parameter '%s' is not in the index",
                      shown(c, param->name));
    if (param->transposed && param->type->rank != 2)
        return broken(c, param->loc, "parameter '%s' is transposed, yet %s",
                      shown(c, param->name), typed(c, param->type));
    return param->source != TEGU_SOURCE_DATA || param->data ||
           tegu_type_elements(param->type) == 0 ||
           broken(c, param->loc, "parameter '%s' has lost its data",
                  shown(c, param->name));
}

static bool check_state(const checker *c, const tegu_state *state)
{
    uint32_t rank = state->type->rank;
    if (!check_stored(c, "state", state->name, state->type, state->loc))
        return false;
    if (state_named(c, state->name) != state)
        return broken(c, state->loc, "two states are named '%s'",
                      shown(c, state->name));
    if (state->appended && rank == 0)
        return broken(c, state->loc, "state '%s' has no axis to append along",
                      shown(c, state->name));
    return state->layout == TEGU_LAYOUT_ROWS ||
           (state->appended && rank == 3) ||
           broken(c, state->loc, "state '%s' is no cache of heads",
                  shown(c, state->name));
}

bool tegu_unit_check(const tegu_unit *unit, tegu_diag_id as)
{
    checker c = {.as = as};
    /* Messages need the unit's arena; nothing of the unit is changed. */
    c.unit = (tegu_unit *)(uintptr_t)unit;
    bool good = check_axes(&c);
    if (!is_identifier(unit->name))
        good = broken(&c, tegu_loc_none(), "a unit is named '%s'",
                      shown(&c, unit->name));
    if (!good)
        return false;
    for (uint32_t i = 0; i < unit->params.count; i++)
        good = check_param(&c, &unit->params.data[i]) && good;
    for (uint32_t i = 0; i < unit->states.count; i++)
        good = check_state(&c, &unit->states.data[i]) && good;
    for (uint32_t i = 0; good && i < unit->entries.count; i++) {
        c.entry = &unit->entries.data[i];
        if (tegu_unit_find_entry(c.unit, c.entry->name) != c.entry)
            good = broken(&c, c.entry->loc, "two entries are named '%s'",
                          shown(&c, c.entry->name));
        good = check_entry(&c) && good;
    }
    return good;
}

bool tegu_unit_verify(const tegu_unit *unit)
{
    return tegu_unit_check(unit, TEGU_E_INTERNAL);
}

bool tegu_graph_verify(const tegu_graph *graph)
{
    checker c = {.unit = graph->unit, .g = graph, .as = TEGU_E_INTERNAL};
    return check_graph(&c);
}
