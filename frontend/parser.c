/* SPDX-License-Identifier: Apache-2.0 */
/* parser.c - statements and declarations of the language.
 *
 * Takes    the text of one file.
 * Produces its declarations; imports are left for the loader to follow.
 * How      recursive descent with two tokens of lookahead.  An error ends its
 *          statement: the parser skips to the next keyword that begins one,
 *          and names that the statement defines stay known (their value is an
 *          ERROR expression), so that one mistake gives one message.
 */
#include "frontend/parser.h"
#include <string.h>

void tegu_parser_advance(tegu_parser *p)
{
    p->token = p->ahead;
    p->ahead = tegu_lexer_next(&p->lexer);
}

bool tegu_parser_error(tegu_parser *p, tegu_loc loc, const char *format, ...)
{
    if (p->failed)
        return false;
    p->failed = true;
    if (p->token.bad)
        return false;
    va_list args;
    va_start(args, format);
    const char *text = tegu_format_v(p->arena, format, args);
    va_end(args);
    return tegu_error(p->diag, loc, TEGU_E_SYNTAX, "%s", text);
}

/* The token as an error names it. */
static const char *found(tegu_parser *p)
{
    const tegu_token *t = &p->token;
    if (t->kind == TEGU_TOK_NAME)
        return tegu_format(p->arena, "'%s'", t->text);
    return tegu_token_text(t->kind);
}

bool tegu_parser_expected(tegu_parser *p, const char *what)
{
    return tegu_parser_error(p, p->token.loc, "expected %s, found %s", what,
                             found(p));
}

bool tegu_parser_accept(tegu_parser *p, tegu_token_kind kind)
{
    if (p->failed || p->token.kind != kind)
        return false;
    tegu_parser_advance(p);
    return true;
}

bool tegu_parser_expect(tegu_parser *p, tegu_token_kind kind)
{
    if (tegu_parser_accept(p, kind))
        return true;
    return tegu_parser_expected(p, tegu_token_text(kind));
}

bool tegu_parser_name(tegu_parser *p, const char *what, tegu_named *name)
{
    *name = (tegu_named){"_", p->token.loc};
    if (p->failed)
        return false;
    if (p->token.kind != TEGU_TOK_NAME || p->token.bad) {
        const char *text = tegu_token_text(p->token.kind);
        if (p->token.kind > TEGU_TOK_STRING && text[1] >= 'a')
            return tegu_parser_error(p, p->token.loc,
                                     "expected %s, but %s is a word of the "
                                     "language",
                                     what, text);
        return tegu_parser_expected(p, what);
    }
    name->name = p->token.text;
    tegu_parser_advance(p);
    return true;
}

bool tegu_parser_string(tegu_parser *p, const char *what, tegu_named *text)
{
    *text = (tegu_named){"", p->token.loc};
    if (p->failed)
        return false;
    if (p->token.kind != TEGU_TOK_STRING || p->token.bad)
        return tegu_parser_expected(p, what);
    text->name = p->token.text;
    tegu_parser_advance(p);
    return true;
}

/* --- statements --- */

static tegu_stmt *new_stmt(tegu_parser *p, tegu_stmt_kind kind)
{
    tegu_stmt *s = TEGU_NEW(p->arena, tegu_stmt);
    s->kind = kind;
    s->loc = p->token.loc;
    tegu_parser_advance(p);
    return s;
}

/* Reads a name of the statement; false when there is none. */
static bool add_name(tegu_parser *p, tegu_stmt *s, const char *what)
{
    tegu_named name;
    if (!tegu_parser_name(p, what, &name))
        return false;
    tegu_vec_push(p->arena, &s->names, name);
    return true;
}

static void add_value(tegu_parser *p, tegu_stmt *s)
{
    tegu_expr *e =
        p->failed ? tegu_parser_error_expr(p, s->loc) : tegu_parser_expr(p);
    tegu_vec_push(p->arena, &s->values, e);
}

/* `let a, b: f32[T] = expr` */
static tegu_stmt *parse_let(tegu_parser *p)
{
    tegu_stmt *s = new_stmt(p, TEGU_STMT_LET);
    do {
        if (!add_name(p, s, "a name after let"))
            break;
    } while (tegu_parser_accept(p, TEGU_TOK_COMMA));
    if (tegu_parser_accept(p, TEGU_TOK_COLON))
        s->has_type = tegu_parser_type(p, &s->type);
    if (!p->failed)
        tegu_parser_expect(p, TEGU_TOK_ASSIGN);
    add_value(p, s);
    return s->names.count ? s : NULL;
}

static tegu_stmt *parse_return(tegu_parser *p)
{
    tegu_stmt *s = new_stmt(p, TEGU_STMT_RETURN);
    do
        add_value(p, s);
    while (tegu_parser_accept(p, TEGU_TOK_COMMA));
    return s;
}

/* `state s: append f32[n, dim]` */
static tegu_stmt *parse_state(tegu_parser *p)
{
    tegu_stmt *s = new_stmt(p, TEGU_STMT_STATE);
    if (!add_name(p, s, "the state's name"))
        return NULL;
    if (!tegu_parser_expect(p, TEGU_TOK_COLON))
        return s;
    if (p->token.kind == TEGU_TOK_NAME &&
        strcmp(p->token.text, "append") == 0) {
        s->append = true;
        tegu_parser_advance(p);
    }
    s->has_type = tegu_parser_type(p, &s->type);
    return s;
}

static tegu_stmt *parse_set(tegu_parser *p)
{
    tegu_stmt *s = new_stmt(p, TEGU_STMT_SET);
    if (!add_name(p, s, "the state to set") ||
        !tegu_parser_expect(p, TEGU_TOK_ASSIGN))
        return NULL;
    add_value(p, s);
    return s;
}

/* `param w: f32[n] = "name"`, as the expression that it stands for. */
static tegu_stmt *parse_param_statement(tegu_parser *p)
{
    tegu_stmt *s = new_stmt(p, TEGU_STMT_PARAM);
    if (!add_name(p, s, "the parameter's name"))
        return NULL;
    tegu_named text = {"", s->loc};
    tegu_expr *e = tegu_parser_error_expr(p, s->loc);
    tegu_type_expr type = {0};
    bool transposed = false;
    if (tegu_parser_expect(p, TEGU_TOK_COLON) && tegu_parser_type(p, &type) &&
        tegu_parser_expect(p, TEGU_TOK_ASSIGN) &&
        tegu_parser_string(p, "the tensor's name as a string", &text)) {
        if (p->token.kind == TEGU_TOK_NAME &&
            strcmp(p->token.text, "transposed") == 0) {
            transposed = true;
            tegu_parser_advance(p);
        }
        e->kind = TEGU_EXPR_PARAM;
        e->loc = text.loc;
        e->u.param.name = text.name;
        e->u.param.type = type;
        e->u.param.transposed = transposed;
    }
    tegu_vec_push(p->arena, &s->values, e);
    return s;
}

static tegu_stmt *parse_stmt(tegu_parser *p)
{
    switch ((int)p->token.kind) {
    case TEGU_TOK_LET_WORD: return parse_let(p);
    case TEGU_TOK_RETURN_WORD: return parse_return(p);
    case TEGU_TOK_STATE_WORD: return parse_state(p);
    case TEGU_TOK_SET_WORD: return parse_set(p);
    case TEGU_TOK_PARAM_WORD: return parse_param_statement(p);
    default:
        tegu_parser_expected(p, "a statement (let, param, state, set or "
                                "return) or '}'");
        return NULL;
    }
}

/* After an error: on to the next statement, '}' or declaration.  Braces
 * opened on the way are skipped with what they hold. */
static void recover(tegu_parser *p)
{
    uint32_t depth = 0;
    for (; p->token.kind != TEGU_TOK_END; tegu_parser_advance(p)) {
        tegu_token_kind kind = p->token.kind;
        if (tegu_token_starts_declaration(kind))
            break;
        if (depth == 0 &&
            (tegu_token_starts_statement(kind) || kind == TEGU_TOK_RBRACE))
            break;
        if (kind == TEGU_TOK_LBRACE)
            depth++;
        else if (kind == TEGU_TOK_RBRACE)
            depth--;
    }
    p->failed = false;
    p->nesting = 0;
}

static void parse_body(tegu_parser *p, tegu_decl *decl)
{
    while (p->token.kind != TEGU_TOK_RBRACE && p->token.kind != TEGU_TOK_END &&
           !tegu_token_starts_declaration(p->token.kind)) {
        tegu_stmt *s = parse_stmt(p);
        if (p->failed)
            recover(p);
        if (s)
            tegu_vec_push(p->arena, &decl->body, s);
    }
    decl->end = p->token.loc;
    if (p->token.kind == TEGU_TOK_RBRACE)
        tegu_parser_advance(p);
    else
        tegu_parser_error(p, p->token.loc,
                          "expected '}' to close '%s' before %s", decl->name,
                          found(p));
}

/* --- declarations --- */

static tegu_decl *add_decl(tegu_parser *p, tegu_decls *decls,
                           tegu_decl_kind kind)
{
    tegu_decl *d = TEGU_NEW(p->arena, tegu_decl);
    d->kind = kind;
    d->loc = p->token.loc;
    tegu_vec_push(p->arena, decls, d);
    return d;
}

static bool name_decl(tegu_parser *p, tegu_decl *d, const char *what)
{
    tegu_named name;
    bool ok = tegu_parser_name(p, what, &name);
    d->name = ok ? name.name : NULL;
    d->loc = name.loc;
    return ok;
}

/* `a = expr, T in lo..hi, ...` */
static void parse_axes(tegu_parser *p, tegu_decls *decls)
{
    tegu_parser_advance(p);
    do {
        tegu_decl *d = add_decl(p, decls, TEGU_DECL_AXIS);
        if (!name_decl(p, d, "the axis' name"))
            return;
        if (tegu_parser_accept(p, TEGU_TOK_IN_WORD)) {
            d->lo = tegu_parser_expr(p);
            if (!p->failed)
                tegu_parser_expect(p, TEGU_TOK_DOTS);
            d->hi = p->failed ? d->lo : tegu_parser_expr(p);
        } else if (tegu_parser_accept(p, TEGU_TOK_ASSIGN)) {
            d->value = tegu_parser_expr(p);
        } else {
            tegu_parser_expected(p, "'= size' or 'in lo..hi'");
        }
        if (p->failed)
            d->value = tegu_parser_error_expr(p, d->loc);
    } while (tegu_parser_accept(p, TEGU_TOK_COMMA));
}

static void parse_const(tegu_parser *p, tegu_decls *decls)
{
    tegu_parser_advance(p);
    do {
        tegu_decl *d = add_decl(p, decls, TEGU_DECL_CONST);
        if (!name_decl(p, d, "the constant's name"))
            return;
        tegu_parser_expect(p, TEGU_TOK_ASSIGN);
        d->value =
            p->failed ? tegu_parser_error_expr(p, d->loc) : tegu_parser_expr(p);
    } while (tegu_parser_accept(p, TEGU_TOK_COMMA));
}

/* `x: f32[T]`, `eps = 1e-5`, `i` */
static bool parse_formal(tegu_parser *p, tegu_formal *formal)
{
    tegu_named name;
    *formal = (tegu_formal){0};
    if (!tegu_parser_name(p, "a parameter's name", &name))
        return false;
    formal->name = name.name;
    formal->loc = name.loc;
    if (tegu_parser_accept(p, TEGU_TOK_COLON))
        formal->has_type = tegu_parser_type(p, &formal->type);
    if (tegu_parser_accept(p, TEGU_TOK_ASSIGN))
        formal->value = tegu_parser_expr(p);
    return !p->failed;
}

static bool parse_formals(tegu_parser *p, tegu_decl *d)
{
    if (!tegu_parser_expect(p, TEGU_TOK_LPAREN))
        return false;
    while (p->token.kind != TEGU_TOK_RPAREN) {
        tegu_formal formal;
        if (!parse_formal(p, &formal))
            return false;
        tegu_vec_push(p->arena, &d->formals, formal);
        if (!tegu_parser_accept(p, TEGU_TOK_COMMA))
            break;
    }
    return tegu_parser_expect(p, TEGU_TOK_RPAREN);
}

/* `f32[T]` or `name: f32[T]` */
static bool parse_result(tegu_parser *p, tegu_decl *d)
{
    tegu_formal result = {.loc = p->token.loc, .has_type = true};
    if (p->token.kind == TEGU_TOK_NAME && p->ahead.kind == TEGU_TOK_COLON) {
        result.name = p->token.text;
        tegu_parser_advance(p);
        tegu_parser_advance(p);
    }
    if (!tegu_parser_type(p, &result.type))
        return false;
    tegu_vec_push(p->arena, &d->results, result);
    return true;
}

/* `-> type`, `-> (name: type, ...)` */
static bool parse_results(tegu_parser *p, tegu_decl *d)
{
    if (!tegu_parser_accept(p, TEGU_TOK_ARROW))
        return !p->failed;
    if (!tegu_parser_accept(p, TEGU_TOK_LPAREN))
        return parse_result(p, d);
    do {
        if (!parse_result(p, d))
            return false;
    } while (tegu_parser_accept(p, TEGU_TOK_COMMA));
    return tegu_parser_expect(p, TEGU_TOK_RPAREN);
}

static void parse_callable(tegu_parser *p, tegu_decls *decls,
                           tegu_decl_kind kind)
{
    tegu_parser_advance(p);
    tegu_decl *d = add_decl(p, decls, kind);
    if (!name_decl(p, d, "a name"))
        return;
    bool ok = parse_formals(p, d) && parse_results(p, d);
    if (ok && p->token.kind == TEGU_TOK_FROM_WORD) {
        tegu_named prefix;
        tegu_parser_advance(p);
        if (kind != TEGU_DECL_BLOCK)
            tegu_parser_error(p, p->token.loc,
                              "only a block takes 'from \"prefix\"'");
        else if (tegu_parser_string(p, "the prefix as a string", &prefix)) {
            d->prefix = prefix.name;
            d->prefix_loc = prefix.loc;
        }
    }
    if (!p->failed)
        tegu_parser_expect(p, TEGU_TOK_LBRACE);
    if (p->failed) {
        /* The header is wrong: read the body, but keep the name as one of
         * which nothing is known. */
        while (p->token.kind != TEGU_TOK_LBRACE &&
               p->token.kind != TEGU_TOK_END &&
               !tegu_token_starts_declaration(p->token.kind))
            tegu_parser_advance(p);
        p->failed = false;
        p->nesting = 0;
        d->value = tegu_parser_error_expr(p, d->loc);
        if (!tegu_parser_accept(p, TEGU_TOK_LBRACE))
            return;
    }
    parse_body(p, d);
}

/* `weights "file"`, `weights random(seed = 7, std = 0.02)` */
static void parse_weights(tegu_parser *p, tegu_decls *decls)
{
    tegu_parser_advance(p);
    tegu_decl *d = add_decl(p, decls, TEGU_DECL_WEIGHTS);
    if (p->token.kind == TEGU_TOK_NAME &&
        strcmp(p->token.text, "random") == 0) {
        d->random = true;
        tegu_parser_advance(p);
        if (tegu_parser_expect(p, TEGU_TOK_LPAREN))
            tegu_parser_args(p, &d->args);
        return;
    }
    tegu_named file;
    tegu_parser_string(p, "a file's name or random(...)", &file);
    d->name = file.name;
    d->loc = file.loc;
}

static void parse_file_decl(tegu_parser *p, tegu_decls *decls,
                            tegu_decl_kind kind)
{
    tegu_named file;
    tegu_parser_advance(p);
    tegu_decl *d = add_decl(p, decls, kind);
    tegu_parser_string(p, "a file's name", &file);
    d->name = file.name;
    d->loc = file.loc;
}

static void parse_global_stmt(tegu_parser *p, tegu_decls *decls)
{
    tegu_stmt *s = p->token.kind == TEGU_TOK_STATE_WORD
                       ? parse_state(p)
                       : parse_param_statement(p);
    if (!s)
        return;
    tegu_decl *d = add_decl(p, decls, TEGU_DECL_STMT);
    d->stmt = s;
    d->name = s->names.data[0].name;
    d->loc = s->names.data[0].loc;
}

static void parse_model(tegu_parser *p, tegu_decls *decls)
{
    tegu_parser_advance(p);
    name_decl(p, add_decl(p, decls, TEGU_DECL_MODEL), "the model's name");
}

static void parse_decl(tegu_parser *p, tegu_decls *decls)
{
    switch ((int)p->token.kind) {
    case TEGU_TOK_MODEL_WORD: parse_model(p, decls); break;
    case TEGU_TOK_AXIS_WORD: parse_axes(p, decls); break;
    case TEGU_TOK_CONST_WORD: parse_const(p, decls); break;
    case TEGU_TOK_WEIGHTS_WORD: parse_weights(p, decls); break;
    case TEGU_TOK_TOKENIZER_WORD:
        parse_file_decl(p, decls, TEGU_DECL_TOKENIZER);
        break;
    case TEGU_TOK_IMPORT_WORD:
        parse_file_decl(p, decls, TEGU_DECL_IMPORT);
        break;
    case TEGU_TOK_FN_WORD: parse_callable(p, decls, TEGU_DECL_FN); break;
    case TEGU_TOK_BLOCK_WORD: parse_callable(p, decls, TEGU_DECL_BLOCK); break;
    case TEGU_TOK_ENTRY_WORD: parse_callable(p, decls, TEGU_DECL_ENTRY); break;
    case TEGU_TOK_STATE_WORD:
    case TEGU_TOK_PARAM_WORD: parse_global_stmt(p, decls); break;
    default:
        tegu_parser_expected(p, "a declaration (model, axis, const, weights, "
                                "tokenizer, import, param, state, fn, block "
                                "or entry)");
        tegu_parser_advance(p);
        break;
    }
}

static bool begin(tegu_parser *p, tegu_arena *arena, tegu_diag *diag,
                  tegu_interner *names, const char *file, const char *text,
                  size_t size)
{
    *p = (tegu_parser){.arena = arena, .diag = diag};
    if (!tegu_lexer_init(&p->lexer, arena, diag, names, file, text, size))
        return false;
    tegu_parser_advance(p);
    tegu_parser_advance(p);
    return true;
}

bool tegu_parse(tegu_arena *arena, tegu_diag *diag, tegu_interner *names,
                const char *file, const char *text, size_t size,
                tegu_decls *decls)
{
    tegu_parser p;
    uint32_t before = tegu_diag_errors(diag);
    if (!begin(&p, arena, diag, names, file, text, size))
        return false;
    while (p.token.kind != TEGU_TOK_END) {
        parse_decl(&p, decls);
        if (!p.failed)
            continue;
        recover(&p);
        /* Outside bodies, statements and '}' begin nothing: on to the next
         * declaration. */
        while (p.token.kind != TEGU_TOK_END &&
               p.token.kind != TEGU_TOK_STATE_WORD &&
               !tegu_token_starts_declaration(p.token.kind))
            tegu_parser_advance(&p);
    }
    return tegu_diag_errors(diag) == before;
}

tegu_expr *tegu_parse_value(tegu_arena *arena, tegu_diag *diag,
                            tegu_interner *names, const char *file,
                            const char *text, tegu_expr **hi)
{
    tegu_parser p;
    uint32_t before = tegu_diag_errors(diag);
    *hi = NULL;
    if (!begin(&p, arena, diag, names, file, text, strlen(text)))
        return NULL;
    tegu_expr *value = tegu_parser_expr(&p);
    if (tegu_parser_accept(&p, TEGU_TOK_DOTS))
        *hi = tegu_parser_expr(&p);
    if (!p.failed && p.token.kind != TEGU_TOK_END)
        tegu_parser_expected(&p, "a value or lo..hi");
    return tegu_diag_errors(diag) == before ? value : NULL;
}
