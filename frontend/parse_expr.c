/* SPDX-License-Identifier: Apache-2.0 */
/* parse_expr.c - expressions and types of the language.
 *
 * Takes    the parser's tokens.
 * Produces expression trees of bounded height, so that no later walk over
 *          them can run out of stack.
 * How      recursive descent; binary operators by precedence climbing (Pratt,
 *          1973) over the table below.
 */
#include "frontend/parser.h"
#include <string.h>

tegu_expr *tegu_parser_error_expr(tegu_parser *p, tegu_loc loc)
{
    tegu_expr *e = TEGU_NEW(p->arena, tegu_expr);
    e->loc = loc;
    return e;
}

static tegu_expr *new_expr(tegu_parser *p, tegu_expr_kind kind, tegu_loc loc)
{
    tegu_expr *e = tegu_parser_error_expr(p, loc);
    e->kind = kind;
    return e;
}

/* Counts a child into the height of e; false when the tree grows too high. */
static bool adopt(tegu_parser *p, tegu_expr *e, const tegu_expr *child)
{
    if (child && child->height + 1 > e->height)
        e->height = child->height + 1;
    if (e->height <= TEGU_HEIGHT_LIMIT)
        return true;
    return tegu_parser_error(p, e->loc,
                             "the expression is nested more than %d deep; "
                             "name parts of it with let",
                             TEGU_HEIGHT_LIMIT);
}

static bool enter(tegu_parser *p)
{
    if (++p->nesting <= TEGU_NESTING_LIMIT)
        return true;
    return tegu_parser_error(p, p->token.loc, "nested more than %d deep",
                             TEGU_NESTING_LIMIT);
}

static void leave(tegu_parser *p)
{
    p->nesting--;
}

/* --- types --- */

static bool parse_dim(tegu_parser *p, tegu_type_expr *type)
{
    tegu_dim_expr dim = {0};
    if (tegu_parser_accept(p, TEGU_TOK_DOTS))
        dim.rest = true;
    else
        dim.size = tegu_parser_expr(p);
    tegu_vec_push(p->arena, &type->dims, dim);
    return !p->failed;
}

static bool parse_dims(tegu_parser *p, tegu_type_expr *type)
{
    if (!tegu_parser_expect(p, TEGU_TOK_LBRACKET))
        return false;
    while (p->token.kind != TEGU_TOK_RBRACKET) {
        if (!parse_dim(p, type))
            return false;
        if (!tegu_parser_accept(p, TEGU_TOK_COMMA))
            break;
    }
    if (!tegu_parser_expect(p, TEGU_TOK_RBRACKET))
        return false;
    if (type->dims.count > TEGU_MAX_RANK)
        return tegu_parser_error(p, type->loc,
                                 "the shape has %u dimensions; at most %d are "
                                 "supported",
                                 type->dims.count, TEGU_MAX_RANK);
    return true;
}

bool tegu_parser_type(tegu_parser *p, tegu_type_expr *type)
{
    *type = (tegu_type_expr){.loc = p->token.loc, .dtype = TEGU_F32};
    if (p->token.kind == TEGU_TOK_NAME) {
        const char *text = p->token.text;
        type->dtype = tegu_dtype_find(text, strlen(text));
        type->has_dtype = true;
        if (type->dtype == TEGU_DTYPE_COUNT)
            return tegu_parser_error(p, type->loc,
                                     "unknown element type '%s'; they are "
                                     "f32, i32, i64 and bool",
                                     text);
        if (!tegu_dtype_is_compute(type->dtype))
            return tegu_parser_error(p, type->loc,
                                     "'%s' exists in files only; values are "
                                     "f32, i32, i64 or bool, and weights are "
                                     "converted when they are read",
                                     text);
        tegu_parser_advance(p);
    }
    return parse_dims(p, type);
}

/* --- calls, indices --- */

static bool parse_arg(tegu_parser *p, tegu_call_args *args)
{
    tegu_call_arg arg = {.loc = p->token.loc};
    /* A word of the language may name an argument: sum(x, axis = 0). */
    if (p->token.text && p->token.kind != TEGU_TOK_STRING &&
        p->ahead.kind == TEGU_TOK_ASSIGN) {
        arg.name = p->token.text;
        tegu_parser_advance(p);
        tegu_parser_advance(p);
    }
    arg.value = tegu_parser_expr(p);
    tegu_vec_push(p->arena, args, arg);
    return !p->failed;
}

bool tegu_parser_args(tegu_parser *p, tegu_call_args *args)
{
    while (p->token.kind != TEGU_TOK_RPAREN) {
        if (!parse_arg(p, args))
            return false;
        if (!tegu_parser_accept(p, TEGU_TOK_COMMA))
            break;
    }
    return tegu_parser_expect(p, TEGU_TOK_RPAREN);
}

static bool adopt_args(tegu_parser *p, tegu_expr *e)
{
    for (uint32_t i = 0; i < e->u.call.args.count; i++)
        if (!adopt(p, e, e->u.call.args.data[i].value))
            return false;
    return true;
}

static tegu_expr *parse_call(tegu_parser *p)
{
    tegu_expr *e = new_expr(p, TEGU_EXPR_CALL, p->token.loc);
    e->u.call.name = p->token.text;
    tegu_parser_advance(p);
    tegu_parser_expect(p, TEGU_TOK_LPAREN);
    if (tegu_parser_args(p, &e->u.call.args))
        adopt_args(p, e);
    return e;
}

/* `repeat f(lo..hi, a, ...)` */
static tegu_expr *parse_repeat(tegu_parser *p)
{
    tegu_named name;
    tegu_parser_advance(p);
    tegu_expr *e = new_expr(p, TEGU_EXPR_REPEAT, p->token.loc);
    if (!tegu_parser_name(p, "the block to repeat", &name) ||
        !tegu_parser_expect(p, TEGU_TOK_LPAREN))
        return e;
    e->u.call.name = name.name;
    e->u.call.lo = tegu_parser_expr(p);
    if (!p->failed && p->token.kind != TEGU_TOK_DOTS)
        tegu_parser_expected(p, "'..': repeat counts, as in "
                                "repeat layer(0..layers, x)");
    if (p->failed)
        return e;
    tegu_parser_advance(p);
    e->u.call.hi = tegu_parser_expr(p);
    if (!adopt(p, e, e->u.call.lo) || !adopt(p, e, e->u.call.hi))
        return e;
    if (p->token.kind != TEGU_TOK_RPAREN &&
        !tegu_parser_expect(p, TEGU_TOK_COMMA))
        return e;
    if (tegu_parser_args(p, &e->u.call.args))
        adopt_args(p, e);
    return e;
}

static bool is_word(const tegu_token *token, const char *word)
{
    return token->kind == TEGU_TOK_NAME && strcmp(token->text, word) == 0;
}

static bool ends_index(tegu_token_kind kind)
{
    return kind == TEGU_TOK_COMMA || kind == TEGU_TOK_RBRACKET;
}

static tegu_index parse_index_item(tegu_parser *p)
{
    tegu_index item = {.loc = p->token.loc};
    if (p->token.kind != TEGU_TOK_DOTS)
        item.lo = tegu_parser_expr(p);
    if (!p->failed && tegu_parser_accept(p, TEGU_TOK_DOTS)) {
        item.range = true;
        item.rest = !item.lo && ends_index(p->token.kind);
        if (!ends_index(p->token.kind) && !is_word(&p->token, "by"))
            item.hi = tegu_parser_expr(p);
    }
    if (!p->failed && item.range && is_word(&p->token, "by")) {
        tegu_parser_advance(p);
        item.step = tegu_parser_expr(p);
    }
    return item;
}

static tegu_expr *parse_index(tegu_parser *p, tegu_expr *base)
{
    tegu_expr *e = new_expr(p, TEGU_EXPR_INDEX, p->token.loc);
    e->u.index.base = base;
    adopt(p, e, base);
    tegu_parser_advance(p);
    do {
        tegu_index item = parse_index_item(p);
        tegu_vec_push(p->arena, &e->u.index.items, item);
        if (p->failed || !adopt(p, e, item.lo) || !adopt(p, e, item.hi))
            return e;
    } while (tegu_parser_accept(p, TEGU_TOK_COMMA));
    tegu_parser_expect(p, TEGU_TOK_RBRACKET);
    return e;
}

/* --- the smallest expressions --- */

static tegu_expr *parse_param(tegu_parser *p)
{
    tegu_named name;
    tegu_expr *e = new_expr(p, TEGU_EXPR_PARAM, p->token.loc);
    tegu_parser_advance(p);
    if (!tegu_parser_string(p, "the tensor's name", &name))
        return e;
    e->loc = name.loc;
    e->u.param.name = name.name;
    if (!tegu_parser_type(p, &e->u.param.type))
        return e;
    if (is_word(&p->token, "transposed")) {
        e->u.param.transposed = true;
        tegu_parser_advance(p);
    }
    return e;
}

static tegu_expr *parse_braced(tegu_parser *p)
{
    if (!tegu_parser_expect(p, TEGU_TOK_LBRACE))
        return tegu_parser_error_expr(p, p->token.loc);
    tegu_expr *e = tegu_parser_expr(p);
    tegu_parser_expect(p, TEGU_TOK_RBRACE);
    return e;
}

/* `if c { a } else { b }`, `else if` */
static tegu_expr *parse_if(tegu_parser *p)
{
    tegu_expr *e = new_expr(p, TEGU_EXPR_IF, p->token.loc);
    tegu_parser_advance(p);
    e->u.choice.condition = tegu_parser_expr(p);
    if (p->failed)
        return e;
    e->u.choice.yes = parse_braced(p);
    if (!tegu_parser_expect(p, TEGU_TOK_ELSE_WORD))
        return e;
    if (p->token.kind == TEGU_TOK_IF_WORD && enter(p)) {
        e->u.choice.no = parse_if(p);
        leave(p);
    } else {
        e->u.choice.no = parse_braced(p);
    }
    if (adopt(p, e, e->u.choice.condition) && adopt(p, e, e->u.choice.yes))
        adopt(p, e, e->u.choice.no);
    return e;
}

static tegu_expr *parse_list(tegu_parser *p)
{
    tegu_expr *e = new_expr(p, TEGU_EXPR_LIST, p->token.loc);
    tegu_parser_advance(p);
    while (!p->failed && p->token.kind != TEGU_TOK_RBRACKET) {
        tegu_expr *item = tegu_parser_expr(p);
        tegu_vec_push(p->arena, &e->u.items, item);
        adopt(p, e, item);
        if (!tegu_parser_accept(p, TEGU_TOK_COMMA))
            break;
    }
    tegu_parser_expect(p, TEGU_TOK_RBRACKET);
    return e;
}

static tegu_expr *parse_parenthesis(tegu_parser *p)
{
    tegu_parser_advance(p);
    tegu_expr *e = tegu_parser_expr(p);
    tegu_parser_expect(p, TEGU_TOK_RPAREN);
    return e;
}

static tegu_expr *parse_literal(tegu_parser *p)
{
    tegu_expr *e = new_expr(p, TEGU_EXPR_ERROR, p->token.loc);
    if (p->token.bad) {
        tegu_parser_advance(p);
        return e;
    }
    switch ((int)p->token.kind) {
    case TEGU_TOK_INTEGER:
        e->kind = TEGU_EXPR_INTEGER;
        e->u.integer = p->token.integer;
        break;
    case TEGU_TOK_FLOAT:
        e->kind = TEGU_EXPR_FLOAT;
        e->u.number = p->token.number;
        break;
    case TEGU_TOK_TRUE_WORD:
    case TEGU_TOK_FALSE_WORD:
        e->kind = TEGU_EXPR_BOOL;
        e->u.truth = p->token.kind == TEGU_TOK_TRUE_WORD;
        break;
    case TEGU_TOK_NONE_WORD: e->kind = TEGU_EXPR_NONE; break;
    case TEGU_TOK_STRING:
    case TEGU_TOK_NAME:
        e->kind =
            p->token.kind == TEGU_TOK_NAME ? TEGU_EXPR_NAME : TEGU_EXPR_TEXT;
        e->u.text = p->token.text;
        break;
    default: tegu_parser_expected(p, "an expression"); return e;
    }
    tegu_parser_advance(p);
    return e;
}

static tegu_expr *parse_primary(tegu_parser *p)
{
    switch ((int)p->token.kind) {
    case TEGU_TOK_NAME:
        return p->ahead.kind == TEGU_TOK_LPAREN ? parse_call(p)
                                                : parse_literal(p);
    case TEGU_TOK_LPAREN: return parse_parenthesis(p);
    case TEGU_TOK_LBRACKET: return parse_list(p);
    case TEGU_TOK_PARAM_WORD: return parse_param(p);
    case TEGU_TOK_REPEAT_WORD: return parse_repeat(p);
    case TEGU_TOK_IF_WORD: return parse_if(p);
    default: return parse_literal(p);
    }
}

static tegu_expr *parse_as(tegu_parser *p, tegu_expr *base)
{
    tegu_expr *e = new_expr(p, TEGU_EXPR_AS, p->token.loc);
    tegu_parser_advance(p);
    e->u.as.base = base;
    tegu_parser_type(p, &e->u.as.type);
    adopt(p, e, base);
    return e;
}

/* `w adapt lora(...)` */
static tegu_expr *parse_adapt(tegu_parser *p, tegu_expr *base)
{
    tegu_parser_advance(p);
    tegu_expr *e = new_expr(p, TEGU_EXPR_ADAPT, p->token.loc);
    e->u.call.lo = base;
    if (p->token.kind != TEGU_TOK_NAME || p->ahead.kind != TEGU_TOK_LPAREN) {
        tegu_parser_expected(p, "an adapter: adapt lora(a, b, alpha = 16)");
        return e;
    }
    e->u.call.name = p->token.text;
    tegu_parser_advance(p);
    tegu_parser_advance(p);
    if (tegu_parser_args(p, &e->u.call.args))
        adopt_args(p, e);
    adopt(p, e, base);
    return e;
}

static tegu_expr *parse_postfix(tegu_parser *p)
{
    tegu_expr *e = parse_primary(p);
    while (!p->failed) {
        if (p->token.kind == TEGU_TOK_LBRACKET)
            e = parse_index(p, e);
        else if (p->token.kind == TEGU_TOK_AS_WORD)
            e = parse_as(p, e);
        else if (is_word(&p->token, "adapt"))
            e = parse_adapt(p, e);
        else
            break;
    }
    return e;
}

/* --- operators --- */

static tegu_expr *parse_unary(tegu_parser *p)
{
    tegu_token_kind op = p->token.kind;
    if (op != TEGU_TOK_MINUS && op != TEGU_TOK_NOT)
        return parse_postfix(p);
    tegu_expr *e = new_expr(p, TEGU_EXPR_UNARY, p->token.loc);
    if (!enter(p))
        return e;
    tegu_parser_advance(p);
    e->u.operation.op = op;
    e->u.operation.a = parse_unary(p);
    leave(p);
    adopt(p, e, e->u.operation.a);
    return e;
}

/* Binding strength; 0: no binary operator. */
static int precedence(tegu_token_kind kind)
{
    static const unsigned char table[TEGU_TOK_COUNT] = {
        [TEGU_TOK_OR] = 1,      [TEGU_TOK_AND] = 2,  [TEGU_TOK_EQ] = 3,
        [TEGU_TOK_NE] = 3,      [TEGU_TOK_LT] = 4,   [TEGU_TOK_LE] = 4,
        [TEGU_TOK_GT] = 4,      [TEGU_TOK_GE] = 4,   [TEGU_TOK_PLUS] = 5,
        [TEGU_TOK_MINUS] = 5,   [TEGU_TOK_STAR] = 6, [TEGU_TOK_SLASH] = 6,
        [TEGU_TOK_PERCENT] = 6,
    };
    return table[kind];
}

static tegu_expr *parse_binary(tegu_parser *p, int least)
{
    tegu_expr *a = parse_unary(p);
    while (!p->failed && precedence(p->token.kind) >= least) {
        tegu_expr *e = new_expr(p, TEGU_EXPR_BINARY, p->token.loc);
        e->u.operation.op = p->token.kind;
        e->u.operation.a = a;
        int level = precedence(p->token.kind);
        tegu_parser_advance(p);
        e->u.operation.b = parse_binary(p, level + 1);
        if (!adopt(p, e, a) || !adopt(p, e, e->u.operation.b))
            return e;
        a = e;
    }
    return a;
}

/* `205 of dim`, looser than any operator */
static tegu_expr *parse_of(tegu_parser *p)
{
    tegu_expr *a = parse_binary(p, 1);
    if (p->failed || !is_word(&p->token, "of"))
        return a;
    tegu_expr *e = new_expr(p, TEGU_EXPR_OF, p->token.loc);
    tegu_parser_advance(p);
    e->u.operation.a = a;
    e->u.operation.b = parse_binary(p, 1);
    if (adopt(p, e, a))
        adopt(p, e, e->u.operation.b);
    return e;
}

tegu_expr *tegu_parser_expr(tegu_parser *p)
{
    tegu_loc loc = p->token.loc;
    tegu_expr *e = enter(p) ? parse_of(p) : NULL;
    leave(p);
    return p->failed || !e ? tegu_parser_error_expr(p, loc) : e;
}
