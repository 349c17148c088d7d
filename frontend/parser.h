/* SPDX-License-Identifier: Apache-2.0 */
/* parser.h - what the two halves of the parser share (parse_expr.c knows
 * expressions and types, parser.c statements and declarations). */
#ifndef TEGU_FRONTEND_PARSER_H
#define TEGU_FRONTEND_PARSER_H

#include "frontend/ast.h"

enum {
    TEGU_NESTING_LIMIT = 200, /* open parentheses, brackets, operators */
    TEGU_HEIGHT_LIMIT = 400   /* of an expression's tree: a + b + c + ... */
};

typedef struct tegu_parser {
    tegu_lexer lexer;
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_token token, ahead; /* the next two */
    uint32_t nesting;
    bool failed; /* an error in this statement was reported;
                    the rest of it stays silent */
} tegu_parser;

void tegu_parser_advance(tegu_parser *p);
/* Reports at the token unless the statement has failed already. */
bool tegu_parser_error(tegu_parser *p, tegu_loc loc, const char *format, ...)
    TEGU_PRINTF(3, 4);
/* "expected X, found Y" */
bool tegu_parser_expected(tegu_parser *p, const char *what);
/* Skips the token when it is of the kind. */
bool tegu_parser_accept(tegu_parser *p, tegu_token_kind kind);
/* The same, an error when it is not. */
bool tegu_parser_expect(tegu_parser *p, tegu_token_kind kind);
/* A name; false and "_" after reporting. */
bool tegu_parser_name(tegu_parser *p, const char *what, tegu_named *name);

/* Never NULL: an ERROR expression after reporting. */
tegu_expr *tegu_parser_expr(tegu_parser *p);
tegu_expr *tegu_parser_error_expr(tegu_parser *p, tegu_loc loc);
/* `f32[...]`, or `[...]`. */
bool tegu_parser_type(tegu_parser *p, tegu_type_expr *type);
/* `(a, key = b)` after the opening parenthesis. */
bool tegu_parser_args(tegu_parser *p, tegu_call_args *args);
bool tegu_parser_string(tegu_parser *p, const char *what, tegu_named *text);

#endif
