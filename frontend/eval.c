/* SPDX-License-Identifier: Apache-2.0 */
/* eval.c - expressions: names, operators, conditions, lists, calls.
 *
 * Recursion is bounded by TEGU_DEPTH_LIMIT and work by TEGU_STEP_LIMIT, so
 * that no source can make the compiler run out of stack or time.
 */
#include "frontend/elab.h"
#include <math.h>
#include <string.h>

tegu_symbol *tegu_module_find(const tegu_module *module, const char *name)
{
    const uint64_t *at = tegu_map_find(module->index, name, strlen(name));
    return at ? &module->symbols.data[*at] : NULL;
}

/* --- scopes --- */

enum { LINEAR_SEARCH = 24 }; /* bindings of a frame before it gets an index */

static tegu_binding *find_binding(const tegu_frame *frame, const char *name)
{
    if (frame->index) {
        const uint64_t *at = tegu_map_find(frame->index, name, strlen(name));
        return at ? &frame->bindings.data[*at] : NULL;
    }
    for (uint32_t i = 0; i < frame->bindings.count; i++)
        if (strcmp(frame->bindings.data[i].name, name) == 0)
            return &frame->bindings.data[i];
    return NULL;
}

static void add_binding(tegu_elab *el, tegu_frame *frame, tegu_binding b)
{
    tegu_vec_push(el->arena, &frame->bindings, b);
    uint32_t count = frame->bindings.count, from = count - 1;
    if (count <= LINEAR_SEARCH)
        return;
    if (!frame->index) {
        frame->index = tegu_map_create(el->arena);
        from = 0;
    }
    for (uint32_t i = from; i < count; i++) {
        const char *name = frame->bindings.data[i].name;
        tegu_map_set(frame->index, name, strlen(name), i);
    }
}

bool tegu_elab_bind(tegu_elab *el, tegu_frame *frame, const char *name,
                    tegu_loc loc, tegu_term term)
{
    tegu_term reserved;
    if (strcmp(name, "_") == 0)
        return true;
    if (tegu_elab_reserved(name, &reserved))
        return tegu_elab_error(el, loc, TEGU_E_NAME,
                               "'%s' has a meaning already; choose another "
                               "name",
                               name);
    const tegu_binding *old = find_binding(frame, name);
    const tegu_symbol *global = tegu_module_find(el->module, name);
    if (old || (global && !tegu_decl_is_callable(global->decl))) {
        tegu_elab_error(el, loc, TEGU_E_NAME,
                        "'%s' is defined already; choose another name", name);
        tegu_note(el->diag, old ? old->loc : global->loc, "the first one");
        return false;
    }
    add_binding(el, frame, (tegu_binding){name, loc, term});
    return true;
}

/* The meaning of a parameter or state declared at file level: the same in
 * every frame. */
static tegu_term global_stmt(tegu_elab *el, const tegu_decl *decl)
{
    tegu_frame *frame = el->frame;
    el->frame = NULL;
    tegu_term term = decl->stmt->kind == TEGU_STMT_STATE
                         ? tegu_elab_state(el, decl->stmt)
                         : tegu_elab_expr(el, decl->stmt->values.data[0]);
    el->frame = frame;
    return term;
}

bool tegu_elab_reserved(const char *name, tegu_term *term)
{
    tegu_dtype dtype = tegu_dtype_find(name, strlen(name));
    *term = (tegu_term){TEGU_TERM_DTYPE, {.dtype = dtype}};
    if (dtype != TEGU_DTYPE_COUNT)
        return true;
    if (strcmp(name, "inf") == 0)
        *term = tegu_term_float(INFINITY);
    else if (strcmp(name, "pi") == 0)
        *term = tegu_term_float(3.14159265358979323846);
    else
        return false;
    return true;
}

bool tegu_elab_find(tegu_elab *el, const char *name, tegu_term *term)
{
    const tegu_binding *b = el->frame ? find_binding(el->frame, name) : NULL;
    if (b) {
        *term = b->term;
        return true;
    }
    tegu_symbol *symbol = tegu_module_find(el->module, name);
    if (!symbol)
        return tegu_elab_reserved(name, term);
    if (tegu_decl_is_callable(symbol->decl))
        return false;
    *term = symbol->decl->kind == TEGU_DECL_STMT ? global_stmt(el, symbol->decl)
                                                 : symbol->term;
    return true;
}

/* Names to choose from for "did you mean". */
typedef TEGU_VEC(const char *) name_list;

static void known_values(const tegu_elab *el, name_list *out)
{
    const tegu_frame *f = el->frame;
    for (uint32_t i = 0; f && i < f->bindings.count; i++)
        tegu_vec_push(el->arena, out, f->bindings.data[i].name);
    for (uint32_t i = 0; i < el->module->symbols.count; i++)
        if (!tegu_decl_is_callable(el->module->symbols.data[i].decl))
            tegu_vec_push(el->arena, out, el->module->symbols.data[i].name);
}

static void known_calls(const tegu_elab *el, name_list *out)
{
    uint32_t count;
    const char *const *builtins = tegu_builtin_names(&count);
    for (uint32_t i = 0; i < count; i++)
        tegu_vec_push(el->arena, out, builtins[i]);
    for (int op = 0; op < TEGU_OP_COUNT; op++)
        tegu_vec_push(el->arena, out, tegu_op_get((tegu_op)op)->text);
    for (uint32_t i = 0; i < el->module->symbols.count; i++)
        if (tegu_decl_is_callable(el->module->symbols.data[i].decl))
            tegu_vec_push(el->arena, out, el->module->symbols.data[i].name);
}

bool tegu_elab_unknown(tegu_elab *el, tegu_loc loc, const char *what,
                       const char *name, bool calls)
{
    name_list known = {0};
    calls ? known_calls(el, &known) : known_values(el, &known);
    const char *near = tegu_nearest(name, known.data, known.count);
    if (!near)
        return tegu_elab_error(el, loc, TEGU_E_NAME, "unknown %s '%s'", what,
                               name);
    return tegu_elab_error(el, loc, TEGU_E_NAME,
                           "unknown %s '%s'; did you mean '%s'?", what, name,
                           near);
}

static tegu_term eval_name(tegu_elab *el, const tegu_expr *e)
{
    tegu_term term;
    if (tegu_elab_find(el, e->u.text, &term))
        return term;
    if (tegu_module_find(el->module, e->u.text))
        tegu_elab_error(el, e->loc, TEGU_E_NAME,
                        "'%s' is a function; call it: %s(...)", e->u.text,
                        e->u.text);
    else
        tegu_elab_unknown(el, e->loc, "name", e->u.text, false);
    return tegu_term_error();
}

/* --- operators --- */

static bool is_tensor(const tegu_term *term)
{
    return term->kind == TEGU_TERM_TENSOR || term->kind == TEGU_TERM_STATE ||
           term->kind == TEGU_TERM_LIST;
}

static const struct {
    tegu_token_kind sign;
    tegu_op op;
    bool swapped; /* a > b is b < a */
} operators[] = {
    {TEGU_TOK_PLUS, TEGU_OP_ADD, false},
    {TEGU_TOK_MINUS, TEGU_OP_SUB, false},
    {TEGU_TOK_STAR, TEGU_OP_MUL, false},
    {TEGU_TOK_SLASH, TEGU_OP_DIV, false},
    {TEGU_TOK_PERCENT, TEGU_OP_MOD, false},
    {TEGU_TOK_EQ, TEGU_OP_EQ, false},
    {TEGU_TOK_NE, TEGU_OP_NE, false},
    {TEGU_TOK_LT, TEGU_OP_LT, false},
    {TEGU_TOK_LE, TEGU_OP_LE, false},
    {TEGU_TOK_GT, TEGU_OP_LT, true},
    {TEGU_TOK_GE, TEGU_OP_LE, true},
    {TEGU_TOK_AND, TEGU_OP_AND, false},
    {TEGU_TOK_OR, TEGU_OP_OR, false},
    {TEGU_TOK_NOT, TEGU_OP_NOT, false},
};

/* An operator on tensors: a call of its op. */
static tegu_term apply_operator(tegu_elab *el, const tegu_expr *e,
                                const tegu_term *a, const tegu_term *b)
{
    size_t row = 0;
    while (operators[row].sign != e->u.operation.op)
        row++;
    tegu_site site = {.name = tegu_op_get(operators[row].op)->text,
                      .loc = e->loc};
    tegu_site_arg first = {.loc = e->u.operation.a->loc, .term = *a};
    tegu_site_arg second = {0};
    if (b)
        second = (tegu_site_arg){.loc = e->u.operation.b->loc, .term = *b};
    bool swap = operators[row].swapped;
    tegu_vec_push(el->arena, &site.args, swap ? second : first);
    if (b)
        tegu_vec_push(el->arena, &site.args, swap ? first : second);
    site.positional = site.args.count;
    return tegu_op_apply(el, &site, operators[row].op);
}

static tegu_term eval_unary(tegu_elab *el, const tegu_expr *e)
{
    tegu_term a = tegu_elab_expr(el, e->u.operation.a);
    if (a.kind == TEGU_TERM_ERROR)
        return a;
    bool minus = e->u.operation.op == TEGU_TOK_MINUS;
    if (is_tensor(&a) && !minus)
        return apply_operator(el, e, &a, NULL);
    if (is_tensor(&a)) {
        tegu_site site = {.name = "neg", .loc = e->loc, .positional = 1};
        tegu_site_arg arg = {.loc = e->u.operation.a->loc, .term = a};
        tegu_vec_push(el->arena, &site.args, arg);
        return tegu_op_apply(el, &site, TEGU_OP_NEG);
    }
    if (minus)
        return tegu_term_negate(el, e->loc, &a);
    if (a.kind == TEGU_TERM_BOOL)
        return tegu_term_bool(!a.u.truth);
    tegu_elab_error(el, e->loc, TEGU_E_CONSTANT, "'!' does not take %s",
                    tegu_term_describe(&a));
    return tegu_term_error();
}

static tegu_term eval_binary(tegu_elab *el, const tegu_expr *e)
{
    tegu_term a = tegu_elab_expr(el, e->u.operation.a);
    tegu_term b = tegu_elab_expr(el, e->u.operation.b);
    if (a.kind == TEGU_TERM_ERROR || b.kind == TEGU_TERM_ERROR)
        return tegu_term_error();
    bool none = a.kind == TEGU_TERM_NONE || b.kind == TEGU_TERM_NONE;
    if (!none && (is_tensor(&a) || is_tensor(&b)))
        return apply_operator(el, e, &a, &b);
    return tegu_term_binary(el, e->loc, e->u.operation.op, &a, &b);
}

/* `n of axes`: the number n with the axes of another dimension. */
static tegu_term eval_of(tegu_elab *el, const tegu_expr *e)
{
    tegu_term n = tegu_elab_expr(el, e->u.operation.a);
    tegu_term of = tegu_elab_expr(el, e->u.operation.b);
    if (n.kind == TEGU_TERM_ERROR || of.kind == TEGU_TERM_ERROR)
        return tegu_term_error();
    if (n.kind != TEGU_TERM_INTEGER || of.kind != TEGU_TERM_INTEGER) {
        const tegu_term *odd = n.kind != TEGU_TERM_INTEGER ? &n : &of;
        tegu_elab_error(el, e->loc, TEGU_E_CONSTANT,
                        "'of' takes a size and the axes that it is of, not %s",
                        tegu_term_describe(odd));
        return tegu_term_error();
    }
    memcpy(n.u.dim.axes, of.u.dim.axes, sizeof n.u.dim.axes);
    return n;
}

static tegu_term eval_if(tegu_elab *el, const tegu_expr *e)
{
    tegu_term c = tegu_elab_expr(el, e->u.choice.condition);
    if (c.kind == TEGU_TERM_BOOL)
        return tegu_elab_expr(el, c.u.truth ? e->u.choice.yes : e->u.choice.no);
    if (c.kind != TEGU_TERM_ERROR)
        tegu_elab_error(el, e->u.choice.condition->loc, TEGU_E_CONSTANT,
                        "the condition of 'if' must be known at compile time, "
                        "not %s; where(c, a, b) chooses per element",
                        tegu_term_describe(&c));
    return tegu_term_error();
}

static tegu_term eval_list(tegu_elab *el, const tegu_expr *e)
{
    uint32_t count = e->u.items.count;
    tegu_term *items = TEGU_ARRAY(el->arena, tegu_term, count ? count : 1);
    tegu_term list = {.kind = TEGU_TERM_LIST};
    for (uint32_t i = 0; i < count; i++) {
        items[i] = tegu_elab_expr(el, e->u.items.data[i]);
        if (items[i].kind == TEGU_TERM_ERROR)
            return items[i];
        if (items[i].kind == TEGU_TERM_TENSOR ||
            items[i].kind == TEGU_TERM_STATE) {
            tegu_elab_error(el, e->u.items.data[i]->loc, TEGU_E_CONSTANT,
                            "a list holds compile-time values, not %s; concat "
                            "joins tensors",
                            tegu_term_describe(&items[i]));
            return tegu_term_error();
        }
    }
    list.u.list.items = items;
    list.u.list.count = count;
    return list;
}

/* --- calls --- */

bool tegu_elab_args(tegu_elab *el, const tegu_call_args *args, tegu_site *site)
{
    bool ok = true;
    for (uint32_t i = 0; i < args->count; i++) {
        const tegu_call_arg *from = &args->data[i];
        tegu_site_arg arg = {.name = from->name, .loc = from->loc};
        if (!from->name && site->positional < site->args.count)
            return tegu_elab_error(el, from->loc, TEGU_E_ARGUMENT,
                                   "arguments by position come before named "
                                   "ones");
        for (uint32_t k = site->positional; k < site->args.count; k++)
            if (from->name && strcmp(site->args.data[k].name, from->name) == 0)
                return tegu_elab_error(el, from->loc, TEGU_E_ARGUMENT,
                                       "'%s' is given twice", from->name);
        arg.term = tegu_elab_expr(el, from->value);
        if (arg.term.kind == TEGU_TERM_TUPLE)
            ok = tegu_elab_error(el, from->value->loc, TEGU_E_ARGUMENT,
                                 "the call gives several results; name them "
                                 "with let a, b = ...");
        ok = ok && arg.term.kind != TEGU_TERM_ERROR;
        tegu_vec_push(el->arena, &site->args, arg);
        site->positional += !from->name;
    }
    return ok;
}

static tegu_term eval_call(tegu_elab *el, const tegu_expr *e)
{
    tegu_term result;
    tegu_site site = {.name = e->u.call.name, .loc = e->loc};
    if (!tegu_elab_args(el, &e->u.call.args, &site))
        return tegu_term_error();
    tegu_symbol *symbol = tegu_module_find(el->module, site.name);
    if (symbol && tegu_decl_is_callable(symbol->decl))
        return tegu_elab_call(el, symbol, &site);
    if (tegu_builtin_call(el, &site, &result) ||
        tegu_op_call(el, &site, &result))
        return result;
    tegu_elab_unknown(el, e->loc, "function", site.name, true);
    return tegu_term_error();
}

/* Evaluates the bounds of a repeat. */
static bool repeat_bounds(tegu_elab *el, const tegu_expr *e, int64_t *lo,
                          int64_t *hi)
{
    tegu_term a = tegu_elab_expr(el, e->u.call.lo);
    tegu_term b = tegu_elab_expr(el, e->u.call.hi);
    return tegu_term_to_integer(el, e->u.call.lo->loc, "the first index", &a, 0,
                                INT32_MAX, lo) &&
           tegu_term_to_integer(el, e->u.call.hi->loc, "the end of the range",
                                &b, *lo, INT32_MAX, hi);
}

/* Threads the block's results into the first arguments of the next round. */
static bool thread(tegu_elab *el, const tegu_expr *e, tegu_site *site,
                   const tegu_term *result)
{
    bool many = result->kind == TEGU_TERM_TUPLE;
    uint32_t count = many ? result->u.list.count : 1;
    if (count > site->positional)
        return tegu_elab_error(el, e->loc, TEGU_E_ARGUMENT,
                               "'%s' gives %u results, but the next round "
                               "takes %u tensors",
                               site->name, count, site->positional);
    for (uint32_t i = 0; i < count; i++)
        site->args.data[i].term = many ? result->u.list.items[i] : *result;
    return true;
}

static tegu_term elab_repeat(tegu_elab *el, const tegu_expr *e)
{
    tegu_site args = {.name = e->u.call.name, .loc = e->loc};
    int64_t lo, hi;
    tegu_symbol *symbol = tegu_module_find(el->module, args.name);
    if (!symbol || !tegu_decl_is_callable(symbol->decl)) {
        tegu_elab_unknown(el, e->loc, "block", args.name, true);
        return tegu_term_error();
    }
    if (symbol->decl->kind != TEGU_DECL_BLOCK) {
        tegu_elab_error(el, e->loc, TEGU_E_ARGUMENT,
                        "repeat takes a block; '%s' is none", args.name);
        return tegu_term_error();
    }
    if (!repeat_bounds(el, e, &lo, &hi) ||
        !tegu_elab_args(el, &e->u.call.args, &args))
        return tegu_term_error();
    if (args.positional == 0) {
        tegu_elab_error(el, e->loc, TEGU_E_ARGUMENT,
                        "repeat threads a tensor through '%s'; give it one: "
                        "repeat %s(0..n, x)",
                        args.name, args.name);
        return tegu_term_error();
    }
    for (int64_t i = lo; i < hi; i++) {
        tegu_site round = {.name = args.name, .loc = args.loc};
        tegu_site_arg index = {.loc = e->loc, .term = tegu_term_integer(i)};
        tegu_vec_push(el->arena, &round.args, index);
        for (uint32_t k = 0; k < args.args.count; k++) {
            args.args.data[k].used = false;
            tegu_vec_push(el->arena, &round.args, args.args.data[k]);
        }
        round.positional = args.positional + 1;
        tegu_term result = tegu_elab_call(el, symbol, &round);
        if (result.kind == TEGU_TERM_ERROR || !thread(el, e, &args, &result))
            return tegu_term_error();
    }
    return args.args.data[0].term;
}

/* --- the dispatch --- */

static tegu_term eval_kind(tegu_elab *el, const tegu_expr *e)
{
    switch (e->kind) {
    case TEGU_EXPR_ERROR: return tegu_term_error();
    case TEGU_EXPR_INTEGER: return tegu_term_integer(e->u.integer);
    case TEGU_EXPR_FLOAT: return tegu_term_float(e->u.number);
    case TEGU_EXPR_BOOL: return tegu_term_bool(e->u.truth);
    case TEGU_EXPR_NONE: return (tegu_term){.kind = TEGU_TERM_NONE};
    case TEGU_EXPR_TEXT:
        return (tegu_term){TEGU_TERM_TEXT, {.text = e->u.text}};
    case TEGU_EXPR_NAME: return eval_name(el, e);
    case TEGU_EXPR_LIST: return eval_list(el, e);
    case TEGU_EXPR_UNARY: return eval_unary(el, e);
    case TEGU_EXPR_BINARY: return eval_binary(el, e);
    case TEGU_EXPR_IF: return eval_if(el, e);
    case TEGU_EXPR_CALL: return eval_call(el, e);
    case TEGU_EXPR_REPEAT: return elab_repeat(el, e);
    case TEGU_EXPR_INDEX: return tegu_elab_index(el, e);
    case TEGU_EXPR_AS: return tegu_elab_as(el, e);
    case TEGU_EXPR_OF: return eval_of(el, e);
    case TEGU_EXPR_ADAPT: return tegu_elab_adapt(el, e);
    case TEGU_EXPR_PARAM: return tegu_elab_param(el, e);
    }
    return tegu_term_error();
}

tegu_term tegu_elab_expr(tegu_elab *el, const tegu_expr *e)
{
    if (el->steps > TEGU_STEP_LIMIT)
        return tegu_term_error();
    if (++el->steps > TEGU_STEP_LIMIT || el->depth >= TEGU_DEPTH_LIMIT) {
        bool deep = el->depth >= TEGU_DEPTH_LIMIT;
        el->steps = TEGU_STEP_LIMIT + 1;
        tegu_elab_error(el, e->loc, TEGU_E_RESOURCES,
                        deep ? "calls nest too deep; a function that calls "
                               "itself must end at compile time"
                             : "the entry takes more than %d evaluations",
                        TEGU_STEP_LIMIT);
        return tegu_term_error();
    }
    el->depth++;
    tegu_term term = eval_kind(el, e);
    el->depth--;
    return term;
}
