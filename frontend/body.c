/* SPDX-License-Identifier: Apache-2.0 */
/* body.c - statements, and what they stand in: functions, blocks, entries.
 *
 * A call binds its arguments in a new frame and runs the body; the frame's
 * prefix and suffix say which layer's parameters and states are meant.  A body
 * that reported an error once is not run again, so that a mistake in a layer
 * is not reported per layer.
 */
#include "frontend/c_name.h"
#include "frontend/elab.h"
#include <inttypes.h>
#include <string.h>

/* --- statements --- */

/* Names a node after the first variable that holds it. */
static void name_node(tegu_elab *el, const tegu_frame *frame, const char *name,
                      const tegu_term *term)
{
    if (term->kind != TEGU_TERM_TENSOR)
        return;
    tegu_node *node = &el->graph->nodes.data[term->u.tensor];
    if (node->name || el->core || tegu_op_kind_of(node->op) == TEGU_KIND_LEAF)
        return;
    const char *full = tegu_format(el->arena, "%s%s", name, frame->suffix);
    node->name = tegu_intern_cstr(el->unit->names, full);
}

/* Does the value have the type that was written behind the name? */
static bool check_written(tegu_elab *el, const tegu_type_expr *expr,
                          tegu_loc loc, const char *what, const tegu_term *term)
{
    tegu_type want;
    if (term->kind == TEGU_TERM_ERROR || !tegu_elab_type(el, expr, &want))
        return false;
    tegu_value v = tegu_elab_tensor(
        el, loc, term, expr->has_dtype ? want.dtype : TEGU_DTYPE_COUNT);
    if (!v)
        return false;
    const tegu_type *got = tegu_graph_type(el->graph, v);
    return tegu_types_agree(el, loc, what, got, &want);
}

static void run_let(tegu_elab *el, tegu_frame *frame, const tegu_stmt *s)
{
    tegu_term value = tegu_elab_expr(el, s->values.data[0]);
    bool many = value.kind == TEGU_TERM_TUPLE, bad = false;
    uint32_t count = many ? value.u.list.count : 1;
    if (value.kind != TEGU_TERM_ERROR && count != s->names.count)
        bad = !tegu_elab_error(el, s->names.data[0].loc, TEGU_E_ARGUMENT,
                               "%u name%s for %u result%s", s->names.count,
                               s->names.count == 1 ? "" : "s", count,
                               count == 1 ? "" : "s");
    for (uint32_t i = 0; i < s->names.count; i++) {
        tegu_term term = bad || value.kind == TEGU_TERM_ERROR
                             ? tegu_term_error()
                         : many ? value.u.list.items[i]
                                : value;
        const tegu_named *n = &s->names.data[i];
        const char *what = tegu_format(el->arena, "'%s' is declared", n->name);
        if (s->has_type && !check_written(el, &s->type, n->loc, what, &term))
            term = tegu_term_error();
        tegu_elab_bind(el, frame, n->name, n->loc, term);
        name_node(el, frame, n->name, &term);
    }
}

static void run_return(tegu_elab *el, tegu_frame *frame, const tegu_stmt *s)
{
    uint32_t count = s->values.count;
    tegu_term *items = TEGU_ARRAY(el->arena, tegu_term, count);
    bool ok = true;
    for (uint32_t i = 0; i < count; i++) {
        items[i] = tegu_elab_expr(el, s->values.data[i]);
        ok = ok && items[i].kind != TEGU_TERM_ERROR;
    }
    frame->returned = true;
    frame->result = tegu_term_error();
    if (!ok)
        return;
    frame->result = items[0];
    if (count > 1) {
        frame->result.kind = TEGU_TERM_TUPLE;
        frame->result.u.list.items = items;
        frame->result.u.list.count = count;
    }
}

static void run_set(tegu_elab *el, const tegu_stmt *s)
{
    tegu_term target;
    const tegu_named *n = &s->names.data[0];
    if (!tegu_elab_find(el, n->name, &target)) {
        tegu_elab_unknown(el, n->loc, "state", n->name, false);
        return;
    }
    tegu_term value = tegu_elab_expr(el, s->values.data[0]);
    if (target.kind == TEGU_TERM_ERROR || value.kind == TEGU_TERM_ERROR)
        return;
    if (target.kind != TEGU_TERM_STATE) {
        tegu_elab_error(el, n->loc, TEGU_E_STATE,
                        "set writes a state; '%s' is %s", n->name,
                        tegu_term_describe(&target));
        return;
    }
    const tegu_state *state = tegu_unit_find_state(el->unit, target.u.state);
    if (state->appended) {
        tegu_elab_error(el, n->loc, TEGU_E_STATE,
                        "'%s' is a cache; it is written by append(%s, x)",
                        n->name, n->name);
        return;
    }
    tegu_value v = tegu_elab_tensor(el, s->values.data[0]->loc, &value,
                                    state->type->dtype);
    const char *what = tegu_format(el->arena, "state '%s' is", n->name);
    if (v && tegu_types_agree(el, n->loc, what, tegu_graph_type(el->graph, v),
                              state->type))
        tegu_elab_update(el, n->loc, target.u.state, v);
}

static void run_stmt(tegu_elab *el, tegu_frame *frame, const tegu_stmt *s)
{
    switch (s->kind) {
    case TEGU_STMT_LET: run_let(el, frame, s); break;
    case TEGU_STMT_RETURN: run_return(el, frame, s); break;
    case TEGU_STMT_SET: run_set(el, s); break;
    case TEGU_STMT_STATE:
        tegu_elab_bind(el, frame, s->names.data[0].name, s->names.data[0].loc,
                       tegu_elab_state(el, s));
        break;
    case TEGU_STMT_PARAM:
        tegu_elab_bind(el, frame, s->names.data[0].name, s->names.data[0].loc,
                       tegu_elab_expr(el, s->values.data[0]));
        break;
    }
}

/* Runs a body in `frame`; its result is in frame->result. */
static void elab_body(tegu_elab *el, tegu_frame *frame)
{
    const tegu_decl *decl = frame->decl;
    el->frame = frame;
    for (uint32_t i = 0; i < decl->body.count; i++) {
        const tegu_stmt *s = decl->body.data[i];
        if (frame->returned) {
            tegu_elab_error(el, s->loc, TEGU_E_SYNTAX,
                            "nothing runs after return");
            break;
        }
        run_stmt(el, frame, s);
    }
    if (!frame->returned && !decl->value)
        tegu_elab_error(el, decl->end, TEGU_E_SYNTAX,
                        "'%s' ends without return", decl->name);
    el->frame = frame->parent;
}

/* --- calls --- */

/* A default may use the formals before it, and nothing of the caller. */
static tegu_term default_value(tegu_elab *el, tegu_frame *frame,
                               const tegu_formal *formal)
{
    tegu_frame *outer = el->frame;
    el->frame = frame;
    tegu_term term = tegu_elab_expr(el, formal->value);
    el->frame = outer;
    return term;
}

/* The argument for a formal: by position, by name or by default. */
static bool argument(tegu_elab *el, tegu_frame *frame, tegu_site *site,
                     uint32_t i, tegu_site_arg *out)
{
    const tegu_formal *formal = &frame->decl->formals.data[i];
    tegu_site_arg *named = tegu_site_take(site, formal->name);
    if (i < site->positional && named)
        return tegu_elab_error(el, named->loc, TEGU_E_ARGUMENT,
                               "'%s' is given twice", formal->name);
    if (i < site->positional)
        *out = site->args.data[i];
    else if (named)
        *out = *named;
    else if (formal->value)
        *out = (tegu_site_arg){.loc = formal->value->loc,
                               .term = default_value(el, frame, formal)};
    else
        return tegu_elab_error(el, site->loc, TEGU_E_ARGUMENT,
                               "'%s' needs '%s'", site->name, formal->name);
    return out->term.kind != TEGU_TERM_ERROR;
}

/* Binds a tensor argument; numbers become constants of the written dtype. */
static bool bind_tensor(tegu_elab *el, tegu_frame *frame,
                        const tegu_formal *formal, tegu_site_arg *arg)
{
    bool optional = formal->value && formal->value->kind == TEGU_EXPR_NONE;
    if (arg->term.kind == TEGU_TERM_NONE && optional)
        return tegu_elab_bind(el, frame, formal->name, formal->loc, arg->term);
    tegu_term term = arg->term;
    if (term.kind != TEGU_TERM_STATE) {
        tegu_dtype hint =
            formal->type.has_dtype ? formal->type.dtype : TEGU_DTYPE_COUNT;
        term =
            tegu_term_tensor(tegu_elab_tensor(el, arg->loc, &arg->term, hint));
    }
    if (term.kind == TEGU_TERM_ERROR)
        return false;
    const tegu_type *type = tegu_elab_type_of(el, &term);
    tegu_frame *outer = el->frame;
    el->frame = frame;
    bool ok = tegu_elab_match(el, frame, formal, arg->loc, type) &&
              tegu_elab_bind(el, frame, formal->name, formal->loc, term);
    el->frame = outer;
    return ok;
}

static bool bind_formal(tegu_elab *el, tegu_frame *frame,
                        const tegu_formal *formal, tegu_site_arg *arg)
{
    if (formal->has_type)
        return bind_tensor(el, frame, formal, arg);
    if (arg->term.kind == TEGU_TERM_TENSOR || arg->term.kind == TEGU_TERM_STATE)
        return tegu_elab_error(el, arg->loc, TEGU_E_ARGUMENT,
                               "'%s' of '%s' is known at compile time, not a "
                               "tensor; give it a type to take one",
                               formal->name, frame->decl->name);
    return tegu_elab_bind(el, frame, formal->name, formal->loc, arg->term);
}

static bool bind_formals(tegu_elab *el, tegu_frame *frame, tegu_site *site)
{
    const tegu_decl *decl = frame->decl;
    const char **known =
        TEGU_ARRAY(el->arena, const char *, decl->formals.count + 1);
    bool ok = true;
    for (uint32_t i = 0; i < decl->formals.count; i++) {
        const tegu_formal *formal = &decl->formals.data[i];
        tegu_site_arg arg;
        known[i] = formal->name;
        ok = argument(el, frame, site, i, &arg) &&
             bind_formal(el, frame, formal, &arg) && ok;
    }
    if (site->positional > decl->formals.count)
        return tegu_elab_error(
            el, site->loc, TEGU_E_ARGUMENT, "'%s' takes %u argument%s, got %u",
            site->name, decl->formals.count,
            decl->formals.count == 1 ? "" : "s", site->positional);
    return tegu_site_finish(el, site, known, decl->formals.count) && ok;
}

/* The prefix and suffix of a block's frame, from its index and `from`. */
static bool enter_block(tegu_elab *el, tegu_frame *frame)
{
    const tegu_decl *decl = frame->decl;
    if (decl->kind != TEGU_DECL_BLOCK)
        return true;
    bool indexed = decl->formals.count && !decl->formals.data[0].has_type &&
                   frame->bindings.count &&
                   tegu_term_is_static(&frame->bindings.data[0].term);
    if (indexed)
        frame->suffix = tegu_format(el->arena, "%s_%" PRId64, frame->suffix,
                                    frame->bindings.data[0].term.u.dim.offset);
    if (!decl->prefix)
        return true;
    tegu_frame *outer = el->frame;
    el->frame = frame;
    const char *own = tegu_elab_interpolate(el, decl->prefix_loc, decl->prefix);
    el->frame = outer;
    if (own)
        frame->prefix = tegu_format(el->arena, "%s%s", frame->prefix, own);
    return own != NULL;
}

/* Do the results have the types that the header promises? */
static bool check_results(tegu_elab *el, tegu_frame *frame)
{
    const tegu_decl *decl = frame->decl;
    const tegu_term *result = &frame->result;
    bool many = result->kind == TEGU_TERM_TUPLE, ok = true;
    uint32_t count = many ? result->u.list.count : 1;
    if (decl->results.count == 0)
        return true;
    if (count != decl->results.count)
        return tegu_elab_error(el, decl->loc, TEGU_E_ARGUMENT,
                               "'%s' promises %u result%s, but returns %u",
                               decl->name, decl->results.count,
                               decl->results.count == 1 ? "" : "s", count);
    el->frame = frame;
    for (uint32_t i = 0; i < count; i++) {
        const tegu_formal *r = &decl->results.data[i];
        const tegu_term *term = many ? &result->u.list.items[i] : result;
        const char *what = tegu_format(el->arena, "'%s' promises", decl->name);
        if (term->kind == TEGU_TERM_TEXT || term->kind == TEGU_TERM_NONE)
            ok = tegu_elab_error(el, r->loc, TEGU_E_ARGUMENT,
                                 "'%s' returns %s, not a tensor", decl->name,
                                 tegu_term_describe(term));
        else
            ok = check_written(el, &r->type, r->loc, what, term) && ok;
    }
    el->frame = frame->parent;
    return ok;
}

tegu_term tegu_elab_call(tegu_elab *el, tegu_symbol *symbol, tegu_site *site)
{
    const tegu_decl *decl = symbol->decl;
    if (decl->value || symbol->failed)
        return tegu_term_error();
    if (decl->kind == TEGU_DECL_ENTRY) {
        tegu_elab_error(el, site->loc, TEGU_E_NAME,
                        "'%s' is an entry; entries are called from outside, "
                        "functions from here",
                        decl->name);
        return tegu_term_error();
    }
    tegu_frame *frame = TEGU_NEW(el->arena, tegu_frame);
    frame->parent = el->frame;
    frame->decl = decl;
    frame->prefix = el->frame ? el->frame->prefix : "";
    frame->suffix = el->frame ? el->frame->suffix : "";
    symbol->called = true;
    if (!bind_formals(el, frame, site) || !enter_block(el, frame))
        return tegu_term_error();
    uint32_t before = tegu_diag_errors(el->diag);
    elab_body(el, frame);
    bool ok = tegu_diag_errors(el->diag) == before &&
              frame->result.kind != TEGU_TERM_ERROR && check_results(el, frame);
    symbol->failed = symbol->failed || tegu_diag_errors(el->diag) != before;
    return ok ? frame->result : tegu_term_error();
}

/* --- entries --- */

void tegu_elab_begin(tegu_elab *el, tegu_frame *frame, const tegu_decl *decl)
{
    el->graph = tegu_graph_create(el->unit, TEGU_LEVEL_MODEL);
    el->leaves = tegu_map_create(el->arena);
    el->steps = el->depth = 0;
    *frame = (tegu_frame){.decl = decl, .prefix = "", .suffix = ""};
    el->frame = frame;
}

static tegu_term input_node(tegu_elab *el, const tegu_formal *formal,
                            const tegu_type *type)
{
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_INPUT, "name", formal->name);
    tegu_node_spec spec = {.op = TEGU_OP_INPUT,
                           .type = type,
                           .attrs = &attr,
                           .attr_count = 1,
                           .loc = formal->loc};
    return tegu_elab_node(el, &spec);
}

static bool add_input(tegu_elab *el, tegu_frame *frame, tegu_entry *entry,
                      const tegu_formal *formal)
{
    tegu_type type;
    bool plain = formal->has_type && !formal->value;
    if (!plain)
        tegu_elab_error(el, formal->loc, TEGU_E_ARGUMENT,
                        "an entry's argument is a tensor: %s: f32[...]",
                        formal->name);
    bool ok = plain && tegu_elab_type(el, &formal->type, &type);
    tegu_term input = tegu_term_error();
    if (ok) {
        const tegu_type *interned = tegu_unit_type(el->unit, &type);
        tegu_argument argument = {formal->name, interned};
        tegu_vec_push(el->arena, &entry->arguments, argument);
        input = input_node(el, formal, interned);
    }
    return tegu_elab_bind(el, frame, formal->name, formal->loc, input) && ok;
}

/* Argument and result names become C parameters of one function. */
static bool check_entry_names(tegu_elab *el, const tegu_decl *decl)
{
    bool ok = true;
    uint32_t inputs = decl->formals.count;
    uint32_t count = inputs + decl->results.count;
    for (uint32_t i = 0; i < count; i++) {
        const tegu_formal *f = i < inputs ? &decl->formals.data[i]
                                          : &decl->results.data[i - inputs];
        if (!f->name) {
            ok = tegu_elab_error(el, f->loc, TEGU_E_SYNTAX,
                                 "a result of an entry has a name: -> logits: "
                                 "f32[...]");
            continue;
        }
        ok =
            tegu_c_name_check(el->diag, f->loc, TEGU_C_ARGUMENT, f->name) && ok;
        const tegu_symbol *global = tegu_module_find(el->module, f->name);
        bool hides = global && global->decl->kind == TEGU_DECL_AXIS;
        for (uint32_t k = 0; k < i && !hides; k++) {
            const tegu_formal *g = k < inputs ? &decl->formals.data[k]
                                              : &decl->results.data[k - inputs];
            hides = g->name && strcmp(f->name, g->name) == 0;
        }
        if (hides && i >= inputs)
            ok = tegu_elab_error(el, f->loc, TEGU_E_NAME,
                                 "'%s' is the name of an argument or axis "
                                 "already",
                                 f->name);
    }
    return ok;
}

/* Every symbolic axis of the graph must be read off an argument's shape. */
static bool check_symbols(tegu_elab *el, const tegu_entry *entry)
{
    const tegu_graph *g = el->graph;
    bool *bound = TEGU_ARRAY(el->arena, bool, el->unit->axes.count);
    for (uint32_t i = 0; i < entry->arguments.count; i++) {
        const tegu_type *type = entry->arguments.data[i].type;
        for (uint32_t k = 0; k < type->rank; k++)
            if (type->dims[k].scale == 1 && type->dims[k].offset == 0)
                bound[type->dims[k].symbol] = true;
    }
    for (uint32_t v = 1; v < g->nodes.count; v++) {
        const tegu_node *n = tegu_graph_node(g, v);
        for (uint32_t k = 0; k < n->type->rank; k++) {
            tegu_axis_id symbol = n->type->dims[k].symbol;
            if (symbol && !bound[symbol])
                return tegu_elab_error(
                    el, n->loc, TEGU_E_AXIS,
                    "axis '%s' is not the size of any argument of '%s', so "
                    "its size is not known at a call",
                    el->unit->axes.data[symbol].name, entry->name);
        }
    }
    return true;
}

static bool add_results(tegu_elab *el, tegu_frame *frame)
{
    const tegu_decl *decl = frame->decl;
    const tegu_term *result = &frame->result;
    if (decl->results.count == 0)
        return tegu_elab_error(el, decl->loc, TEGU_E_SYNTAX,
                               "an entry names its results: entry %s(...) -> "
                               "y: f32[...]",
                               decl->name);
    if (result->kind == TEGU_TERM_ERROR || !check_results(el, frame))
        return false;
    for (uint32_t i = 0; i < decl->results.count; i++) {
        const tegu_formal *r = &decl->results.data[i];
        const tegu_term *term =
            result->kind == TEGU_TERM_TUPLE ? &result->u.list.items[i] : result;
        tegu_value v = tegu_elab_tensor(el, r->loc, term, r->type.dtype);
        if (v && r->name)
            tegu_graph_add_result(el->graph, r->name, v);
    }
    return true;
}

void tegu_elab_entry(tegu_elab *el, tegu_symbol *symbol)
{
    tegu_frame frame;
    tegu_loc loc = symbol->loc;
    const tegu_decl *decl = symbol->decl;
    symbol->called = true;
    bool ok = tegu_c_name_check(el->diag, loc, TEGU_C_ENTRY, decl->name);
    if (decl->value)
        return;
    tegu_elab_begin(el, &frame, decl);
    tegu_entry entry = {.name = decl->name, .graph = el->graph, .loc = loc};
    ok = check_entry_names(el, decl) && ok;
    for (uint32_t i = 0; i < decl->formals.count; i++)
        ok = add_input(el, &frame, &entry, &decl->formals.data[i]) && ok;
    elab_body(el, &frame);
    ok = add_results(el, &frame) && ok;
    if (ok && check_symbols(el, &entry))
        tegu_vec_push(el->arena, &el->unit->entries, entry);
    el->graph = NULL;
    el->frame = NULL;
}

/* --- what nothing calls --- */

/* True when every dimension is known without a call. */
static bool is_closed(tegu_elab *el, const tegu_type_expr *type)
{
    tegu_term term;
    for (uint32_t i = 0; i < type->dims.count; i++) {
        const tegu_dim_expr *d = &type->dims.data[i];
        if (d->rest ||
            (d->size->kind == TEGU_EXPR_NAME &&
             !tegu_elab_find(el, d->size->u.text, &term) &&
             (d->size->u.text[0] == '_' ||
              (d->size->u.text[0] >= 'A' && d->size->u.text[0] <= 'Z'))))
            return false;
    }
    return true;
}

void tegu_elab_uncalled(tegu_elab *el, tegu_symbol *symbol)
{
    tegu_frame frame;
    const tegu_decl *decl = symbol->decl;
    if (decl->value)
        return;
    tegu_elab_begin(el, &frame, decl);
    el->dry = true;
    uint32_t states = el->unit->states.count;
    tegu_map *owners = el->state_owners;
    el->state_owners = tegu_map_create(el->arena);
    tegu_site site = {.name = decl->name, .loc = decl->loc};
    bool ok = true;
    for (uint32_t i = 0; i < decl->formals.count && ok; i++) {
        const tegu_formal *formal = &decl->formals.data[i];
        bool index = i == 0 && decl->kind == TEGU_DECL_BLOCK;
        tegu_site_arg arg = {.loc = formal->loc};
        tegu_type type;
        if (formal->value)
            arg.term = tegu_elab_expr(el, formal->value);
        else if (formal->has_type && is_closed(el, &formal->type) &&
                 tegu_elab_type(el, &formal->type, &type))
            arg.term = input_node(el, formal, tegu_unit_type(el->unit, &type));
        else if (!formal->has_type && index)
            arg.term = tegu_term_integer(0);
        else
            ok = false;
        tegu_vec_push(el->arena, &site.args, arg);
        site.positional++;
    }
    el->frame = NULL;
    if (ok)
        tegu_elab_call(el, symbol, &site);
    el->unit->states.count = states;
    el->state_owners = owners;
    el->dry = false;
    el->graph = NULL;
}
