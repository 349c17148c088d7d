/* SPDX-License-Identifier: Apache-2.0 */
/* node.c - elaboration's side of the graph: constants, parameters, states and
 * any other node are added here, so that location, name, limits and axes are
 * checked in one place.
 */
#include "frontend/elab.h"
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

tegu_loc tegu_elab_loc(const tegu_elab *el, tegu_loc loc)
{
    return el->at.file ? el->at : loc;
}

bool tegu_elab_error(tegu_elab *el, tegu_loc loc, tegu_diag_id id,
                     const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = tegu_format_v(el->arena, format, args);
    va_end(args);
    return tegu_error(el->diag, tegu_elab_loc(el, loc), id, "%s", text);
}

tegu_term tegu_elab_node(tegu_elab *el, const tegu_node_spec *spec)
{
    tegu_node_spec located = *spec;
    for (uint32_t i = 0; i < spec->input_count; i++)
        if (!spec->inputs[i])
            return tegu_term_error();
    if (el->graph->nodes.count >= TEGU_NODE_LIMIT) {
        if (el->graph->nodes.count == TEGU_NODE_LIMIT)
            tegu_elab_error(el, spec->loc, TEGU_E_RESOURCES,
                            "the entry grows past %d operations",
                            TEGU_NODE_LIMIT);
        el->steps = TEGU_STEP_LIMIT + 1;
        return tegu_term_error();
    }
    if (!tegu_op_axes_agree(el, spec))
        return tegu_term_error();
    located.loc = tegu_elab_loc(el, spec->loc);
    return tegu_term_tensor(tegu_graph_add(el->graph, &located));
}

tegu_term tegu_elab_reshape(tegu_elab *el, tegu_loc loc, tegu_value x,
                            const tegu_type *type)
{
    if (x && tegu_graph_type(el->graph, x) == type)
        return tegu_term_tensor(x);
    tegu_node_spec spec = {.op = TEGU_OP_RESHAPE,
                           .inputs = &x,
                           .input_count = 1,
                           .type = type,
                           .loc = loc};
    return tegu_elab_node(el, &spec);
}

/* --- constants --- */

/* Shape of a nested list; false when its rows differ. */
static bool list_shape(const tegu_term *term, tegu_type *type, uint32_t depth)
{
    if (term->kind != TEGU_TERM_LIST)
        return depth == type->rank;
    if (depth >= TEGU_MAX_RANK || term->u.list.count == 0)
        return false;
    for (uint32_t i = 0; i < term->u.list.count; i++) {
        if (i == 0 && depth == type->rank) {
            type->dims[depth] = tegu_dim_static(term->u.list.count);
            type->rank++;
        }
        if (type->dims[depth].offset != term->u.list.count ||
            !list_shape(&term->u.list.items[i], type, depth + 1))
            return false;
    }
    return true;
}

/* The dtype that all elements fit: f32 if any is a float. */
static bool list_dtype(const tegu_term *term, tegu_dtype *dtype)
{
    if (term->kind == TEGU_TERM_LIST) {
        for (uint32_t i = 0; i < term->u.list.count; i++)
            if (!list_dtype(&term->u.list.items[i], dtype))
                return false;
        return true;
    }
    tegu_dtype own = term->kind == TEGU_TERM_FLOAT  ? TEGU_F32
                     : term->kind == TEGU_TERM_BOOL ? TEGU_BOOL
                                                    : TEGU_I32;
    if (own == TEGU_I32 && !tegu_term_is_static(term))
        return false;
    if (*dtype == TEGU_DTYPE_COUNT || (*dtype == TEGU_I32 && own == TEGU_F32))
        *dtype = own;
    return *dtype == own || (*dtype == TEGU_F32 && own == TEGU_I32);
}

/* Writes one number as element `at`; NULL, or why it does not fit. */
static const char *store(const tegu_term *term, tegu_dtype dtype, void *data,
                         size_t at)
{
    if (dtype == TEGU_BOOL) {
        if (term->kind != TEGU_TERM_BOOL)
            return "is no truth value";
        ((uint8_t *)data)[at] = term->u.truth;
        return NULL;
    }
    if (!tegu_term_is_number(term))
        return "is no number";
    if (dtype == TEGU_F32) {
        double value = tegu_term_number(term);
        if (isfinite(value) && fabs(value) > FLT_MAX)
            return "is too large for f32";
        ((float *)data)[at] = (float)value;
        return NULL;
    }
    if (term->kind != TEGU_TERM_INTEGER)
        return "is no integer";
    int64_t value = term->u.dim.offset;
    if (dtype == TEGU_I32 && (value < INT32_MIN || value > INT32_MAX))
        return "is too large for i32";
    if (dtype == TEGU_I32)
        ((int32_t *)data)[at] = (int32_t)value;
    else
        ((int64_t *)data)[at] = value;
    return NULL;
}

static const char *store_all(const tegu_term *term, tegu_dtype dtype,
                             void *data, size_t *at)
{
    if (term->kind != TEGU_TERM_LIST)
        return store(term, dtype, data, (*at)++);
    for (uint32_t i = 0; i < term->u.list.count; i++) {
        const char *why = store_all(&term->u.list.items[i], dtype, data, at);
        if (why)
            return why;
    }
    return NULL;
}

static tegu_value constant(tegu_elab *el, tegu_loc loc, const tegu_term *term,
                           tegu_dtype hint)
{
    tegu_type type = {.dtype = TEGU_DTYPE_COUNT};
    if (!list_shape(term, &type, 0) || !list_dtype(term, &type.dtype)) {
        tegu_elab_error(el, loc, TEGU_E_CONSTANT,
                        term->kind == TEGU_TERM_LIST
                            ? "a tensor's literal has rows of equal length "
                              "with numbers of one kind"
                        : term->kind == TEGU_TERM_INTEGER
                            ? "a symbolic axis has no value at compile time; "
                              "size(x, axis) gives it as a tensor"
                            : "expected a tensor, got %s",
                        tegu_term_describe(term));
        return 0;
    }
    bool fits = hint != TEGU_DTYPE_COUNT && hint != type.dtype &&
                type.dtype == TEGU_I32 && hint != TEGU_BOOL;
    if (fits)
        type.dtype = hint;
    size_t at = 0;
    void *data = tegu_arena_array(el->arena, (size_t)tegu_type_elements(&type),
                                  tegu_dtype_bytes(type.dtype));
    const char *why = store_all(term, type.dtype, data, &at);
    if (why) {
        tegu_elab_error(el, loc, TEGU_E_CONSTANT, "the number %s", why);
        return 0;
    }
    tegu_node_spec spec = {.op = TEGU_OP_CONST,
                           .type = tegu_unit_type(el->unit, &type),
                           .data = data,
                           .loc = loc};
    return tegu_elab_node(el, &spec).u.tensor;
}

/* --- parameters and states --- */

/* The node of a leaf with this name, made at its first use in the graph. */
static tegu_value leaf(tegu_elab *el, tegu_op op, const char *name,
                       const tegu_type *type, tegu_loc loc)
{
    const char *key = tegu_format(el->arena, "%d %s", (int)op, name);
    const uint64_t *known = tegu_map_find(el->leaves, key, strlen(key));
    if (known)
        return (tegu_value)*known;
    tegu_attr attr = tegu_attr_of_text(op, "name", name);
    tegu_node_spec spec = {
        .op = op, .type = type, .attrs = &attr, .attr_count = 1, .loc = loc};
    tegu_value v = tegu_elab_node(el, &spec).u.tensor;
    if (v)
        tegu_map_set(el->leaves, key, strlen(key), v);
    return v;
}

static tegu_value state_value(tegu_elab *el, const char *name, tegu_loc loc)
{
    const tegu_state *state = tegu_unit_find_state(el->unit, name);
    return leaf(el, TEGU_OP_STATE, name, state->type, loc);
}

const tegu_type *tegu_elab_type_of(tegu_elab *el, const tegu_term *term)
{
    return term->kind == TEGU_TERM_STATE
               ? tegu_unit_find_state(el->unit, term->u.state)->type
               : tegu_graph_type(el->graph, term->u.tensor);
}

tegu_value tegu_elab_tensor(tegu_elab *el, tegu_loc loc, const tegu_term *term,
                            tegu_dtype hint)
{
    switch ((int)term->kind) {
    case TEGU_TERM_ERROR: return 0;
    case TEGU_TERM_TENSOR: return term->u.tensor;
    case TEGU_TERM_STATE: return state_value(el, term->u.state, loc);
    default: return constant(el, loc, term, hint);
    }
}

/* One `{name}` of a template; text points behind the brace. */
static bool interpolate_one(tegu_elab *el, tegu_loc loc, const char *name,
                            size_t length, tegu_text *out)
{
    tegu_term term;
    int64_t value;
    const char *key = tegu_intern(el->unit->names, name, length);
    if (!tegu_elab_find(el, key, &term))
        return tegu_elab_unknown(el, loc, "name in a string",
                                 tegu_escaped(el->arena, name, length), false);
    const char *what = tegu_format(el->arena, "'{%s}'", key);
    if (!tegu_term_to_integer(el, loc, what, &term, INT64_MIN, INT64_MAX,
                              &value))
        return false;
    tegu_text_printf(out, "%" PRId64, value);
    return true;
}

const char *tegu_elab_interpolate(tegu_elab *el, tegu_loc loc, const char *text)
{
    tegu_text out = {.arena = el->arena};
    while (*text) {
        size_t plain = strcspn(text, "{");
        tegu_text_add(&out, text, plain);
        text += plain;
        if (!*text)
            break;
        size_t length = strcspn(text + 1, "}");
        if (!text[1 + length]) {
            tegu_elab_error(el, loc, TEGU_E_SYNTAX,
                            "'{' without '}' in the string");
            return NULL;
        }
        if (!interpolate_one(el, loc, text + 1, length, &out))
            return NULL;
        text += length + 2;
    }
    return tegu_intern_cstr(el->unit->names, tegu_text_cstr(&out));
}

tegu_term tegu_elab_param(tegu_elab *el, const tegu_expr *e)
{
    tegu_type type;
    uint32_t index;
    const char *name = tegu_elab_interpolate(el, e->loc, e->u.param.name);
    if (!name ||
        !tegu_elab_static_type(el, &e->u.param.type, "a parameter", &type))
        return tegu_term_error();
    if (el->frame)
        name = tegu_format(el->arena, "%s%s", el->frame->prefix, name);
    tegu_loc loc = tegu_elab_loc(el, e->loc);
    if (!*name || strlen(name) > TEGU_STRING_LIMIT) {
        tegu_elab_error(el, loc, TEGU_E_NAME,
                        "a tensor's name has 1 to %d bytes", TEGU_STRING_LIMIT);
        return tegu_term_error();
    }
    if (e->u.param.transposed && type.rank != 2) {
        tegu_elab_error(el, loc, TEGU_E_SHAPE,
                        "only a matrix can be stored transposed, not %s",
                        tegu_elab_type_text(el, &type));
        return tegu_term_error();
    }
    tegu_param param = {.name = name,
                        .type = tegu_unit_type(el->unit, &type),
                        .loc = loc,
                        .transposed = e->u.param.transposed};
    if (el->dry) {
        tegu_node_spec spec = {
            .op = TEGU_OP_INPUT, .type = param.type, .loc = loc};
        tegu_attr attr = tegu_attr_of_text(TEGU_OP_INPUT, "name", name);
        spec.attrs = &attr;
        spec.attr_count = 1;
        return tegu_elab_node(el, &spec);
    }
    if (!tegu_unit_add_param(el->unit, &param, &index))
        return tegu_term_error();
    return tegu_term_tensor(leaf(el, TEGU_OP_PARAM, name, param.type, loc));
}

tegu_term tegu_elab_state(tegu_elab *el, const tegu_stmt *stmt)
{
    tegu_type type;
    tegu_loc loc = stmt->names.data[0].loc;
    if (!stmt->has_type ||
        !tegu_elab_static_type(el, &stmt->type, "a state", &type))
        return tegu_term_error();
    if (stmt->append && type.rank == 0) {
        tegu_elab_error(el, loc, TEGU_E_STATE,
                        "a cache needs a first axis for its rows");
        return tegu_term_error();
    }
    const char *suffix = el->frame ? el->frame->suffix : "";
    const char *name =
        tegu_format(el->arena, "%s%s", stmt->names.data[0].name, suffix);
    name = tegu_intern_cstr(el->unit->names, name);
    const uint64_t *owner = tegu_map_find(el->state_owners, name, strlen(name));
    if (owner && *owner != (uint64_t)(uintptr_t)stmt) {
        const tegu_stmt *other = (const tegu_stmt *)(uintptr_t)*owner;
        tegu_elab_error(el, loc, TEGU_E_STATE,
                        "state '%s' is declared elsewhere too; states of one "
                        "model need names of their own",
                        name);
        tegu_note(el->diag, other->names.data[0].loc, "the other one");
        return tegu_term_error();
    }
    if (!owner) {
        tegu_state state = {.name = name,
                            .type = tegu_unit_type(el->unit, &type),
                            .appended = stmt->append,
                            .loc = loc};
        tegu_map_set(el->state_owners, name, strlen(name),
                     (uint64_t)(uintptr_t)stmt);
        tegu_vec_push(el->arena, &el->unit->states, state);
    }
    return (tegu_term){TEGU_TERM_STATE, {.state = name}};
}

/* The extent that this entry's caches grow by so far; NULL: none. */
static const tegu_dim *appended_rows(const tegu_elab *el)
{
    const tegu_graph *g = el->graph;
    for (uint32_t i = 0; i < g->updates.count; i++) {
        const tegu_node *n = tegu_graph_node(g, g->updates.data[i].value);
        if (n->op == TEGU_OP_APPEND)
            return &tegu_graph_type(g, n->inputs[1])->dims[0];
    }
    return NULL;
}

/* append: all caches of an entry grow by the same rows, and fit. */
static bool check_rows(tegu_elab *el, tegu_loc loc, const tegu_state *state,
                       tegu_value v)
{
    const tegu_node *n = tegu_graph_node(el->graph, v);
    tegu_dim rows = tegu_graph_type(el->graph, n->inputs[1])->dims[0];
    const tegu_dim *others = appended_rows(el);
    int64_t lo, hi;
    if (others && !tegu_dim_equal(*others, rows))
        return tegu_elab_error(el, loc, TEGU_E_STATE,
                               "append adds %s rows here, but %s elsewhere in "
                               "the entry; all caches share one position",
                               tegu_elab_dim_text(el, rows),
                               tegu_elab_dim_text(el, *others));
    if (!tegu_dim_bounds(el->unit, rows, &lo, &hi) ||
        hi > state->type->dims[0].offset)
        return tegu_elab_error(el, loc, TEGU_E_STATE,
                               "append adds %s rows, up to %" PRId64
                               ", to a cache of %s",
                               tegu_elab_dim_text(el, rows), hi,
                               tegu_elab_dim_text(el, state->type->dims[0]));
    return true;
}

bool tegu_elab_update(tegu_elab *el, tegu_loc loc, const char *name,
                      tegu_value v)
{
    const tegu_state *state = tegu_unit_find_state(el->unit, name);
    for (uint32_t i = 0; i < el->graph->updates.count; i++)
        if (strcmp(el->graph->updates.data[i].state, name) == 0)
            return tegu_elab_error(el, loc, TEGU_E_STATE,
                                   "state '%s' is written twice in this "
                                   "entry; each call writes a state once",
                                   name);
    if (state->appended && !check_rows(el, loc, state, v))
        return false;
    tegu_graph_add_update(el->graph, name, v);
    return true;
}
