/* SPDX-License-Identifier: Apache-2.0 */
/* lexer.h - source text to tokens, one at a time. */
#ifndef TEGU_FRONTEND_LEXER_H
#define TEGU_FRONTEND_LEXER_H

#include "ir/base/diag.h"

typedef enum tegu_token_kind {
    TEGU_TOK_END,
    TEGU_TOK_NAME,    /* text: interned */
    TEGU_TOK_INTEGER, /* integer */
    TEGU_TOK_FLOAT,   /* number */
    TEGU_TOK_STRING,  /* text: interned, escapes resolved */
#define TEGU_KEYWORD(id, text, starts) TEGU_TOK_##id##_WORD,
#define TEGU_SIGN(id, text) TEGU_TOK_##id,
#include "frontend/tokens.def"
    TEGU_TOK_COUNT
} tegu_token_kind;

typedef struct tegu_token {
    tegu_token_kind kind;
    tegu_loc loc;
    const char *text;
    int64_t integer;
    double number;
    bool bad; /* reported: whatever follows from it stays silent */
} tegu_token;

typedef struct tegu_lexer {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_interner *names;
    const char *file;
    const char *text;
    size_t size, at;
    uint32_t line;
    size_t line_start; /* offset of the line's first byte */
} tegu_lexer;

enum {
    TEGU_SOURCE_LIMIT = 16 << 20, /* bytes of one source file */
    TEGU_NAME_LIMIT = 255,        /* bytes of a name */
    TEGU_STRING_LIMIT = 4096      /* bytes of a string */
};

/* Checks the whole text (size, UTF-8, no control or bidirectional characters)
 * and gives it to diag.  False after reporting the first offence.  A byte
 * order mark at the start is skipped. */
bool tegu_lexer_init(tegu_lexer *lexer, tegu_arena *arena, tegu_diag *diag,
                     tegu_interner *names, const char *file, const char *text,
                     size_t size);
/* The next token, END at the end and ever after.  A malformed one is reported
 * and given as a `bad` token. */
tegu_token tegu_lexer_next(tegu_lexer *lexer);

/* "','", "name", "end of file": for "expected ...". */
const char *tegu_token_text(tegu_token_kind kind);
/* True for keywords that begin a declaration / a statement. */
bool tegu_token_starts_declaration(tegu_token_kind kind);
bool tegu_token_starts_statement(tegu_token_kind kind);

#endif
