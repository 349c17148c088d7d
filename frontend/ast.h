/* SPDX-License-Identifier: Apache-2.0 */
/* ast.h - the syntax tree of the language.
 *
 * Made by the parser, read by elaboration, never changed.  Names and strings
 * are interned in the unit's table, so == compares them.  All of it lives in
 * the unit's arena: the prelude's tree is read as long as the unit lives.
 */
#ifndef TEGU_FRONTEND_AST_H
#define TEGU_FRONTEND_AST_H

#include "frontend/lexer.h"
#include "ir/types.h"

typedef struct tegu_expr tegu_expr;

typedef enum tegu_expr_kind {
    TEGU_EXPR_ERROR,   /* reported; evaluates to nothing, silently */
    TEGU_EXPR_INTEGER, /* 12 */
    TEGU_EXPR_FLOAT,   /* 0.5 */
    TEGU_EXPR_BOOL,    /* true */
    TEGU_EXPR_NONE,    /* none */
    TEGU_EXPR_TEXT,    /* "half" */
    TEGU_EXPR_NAME,    /* x */
    TEGU_EXPR_LIST,    /* [a, b] */
    TEGU_EXPR_UNARY,   /* -a  !a */
    TEGU_EXPR_BINARY,  /* a + b  a < b  a && b */
    TEGU_EXPR_CALL,    /* f(a, key = b) */
    TEGU_EXPR_INDEX,   /* a[0..2, ..] */
    TEGU_EXPR_IF,      /* if c { a } else { b } */
    TEGU_EXPR_AS,      /* a as [dim, ..] */
    TEGU_EXPR_OF,      /* 205 of dim: a size of other axes */
    TEGU_EXPR_ADAPT,   /* a adapt lora(b, c, alpha = 16) */
    TEGU_EXPR_PARAM,   /* param "name" f32[dim] transposed */
    TEGU_EXPR_REPEAT   /* repeat f(0..n, a) */
} tegu_expr_kind;

/* One dimension of a written shape. */
typedef struct tegu_dim_expr {
    bool rest;       /* `..`: any number of dimensions */
    tegu_expr *size; /* else its size, or a name to bind */
} tegu_dim_expr;

/* `f32[T, dim]`, `[.., D]` */
typedef struct tegu_type_expr {
    tegu_loc loc;
    bool has_dtype;
    tegu_dtype dtype;
    TEGU_VEC(tegu_dim_expr) dims;
} tegu_type_expr;

typedef struct tegu_call_arg {
    const char *name; /* NULL: by position */
    tegu_loc loc;
    tegu_expr *value;
} tegu_call_arg;

typedef TEGU_VEC(tegu_call_arg) tegu_call_args;
typedef TEGU_VEC(tegu_expr *) tegu_exprs;

/* One item between the brackets of a[...]. */
typedef struct tegu_index {
    tegu_loc loc;
    bool rest;          /* a bare `..` */
    bool range;         /* lo..hi, either may be NULL */
    tegu_expr *lo, *hi; /* a single index: lo */
    tegu_expr *step;    /* `by s`, NULL: 1 */
} tegu_index;

struct tegu_expr {
    tegu_expr_kind kind;
    tegu_loc loc;
    uint32_t height; /* nesting below, bounded by the parser */
    union {
        int64_t integer;
        double number;
        bool truth;
        const char *text; /* TEXT, NAME */
        tegu_exprs items; /* LIST */
        struct {          /* UNARY (b NULL), BINARY, OF */
            tegu_token_kind op;
            tegu_expr *a, *b;
        } operation;
        struct { /* CALL, REPEAT (lo..hi), ADAPT (lo: what is adapted) */
            const char *name;
            tegu_call_args args;
            tegu_expr *lo, *hi;
        } call;
        struct {
            tegu_expr *base;
            TEGU_VEC(tegu_index) items;
        } index;
        struct {
            tegu_expr *condition, *yes, *no;
        } choice; /* IF */
        struct {
            tegu_expr *base;
            tegu_type_expr type;
        } as;
        struct {
            const char *name; /* with {i} still in it */
            tegu_type_expr type;
            bool transposed;
        } param;
    } u;
};

/* `x: f32[T]`, `eps = 1e-5`, `-> logits: f32[T]`. */
typedef struct tegu_formal {
    const char *name; /* NULL: an unnamed result */
    tegu_loc loc;
    bool has_type;
    tegu_type_expr type;
    tegu_expr *value; /* default; NULL: required */
} tegu_formal;

typedef enum tegu_stmt_kind {
    TEGU_STMT_LET,    /* let a, b: f32[T] = expr */
    TEGU_STMT_RETURN, /* return a, b */
    TEGU_STMT_STATE,  /* state s: append f32[n, dim] */
    TEGU_STMT_SET,    /* set s = expr */
    TEGU_STMT_PARAM   /* param w: f32[n] = "name" */
} tegu_stmt_kind;

typedef struct tegu_named {
    const char *name;
    tegu_loc loc;
} tegu_named;

typedef struct tegu_stmt {
    tegu_stmt_kind kind;
    tegu_loc loc;
    TEGU_VEC(tegu_named) names; /* LET any number, STATE, SET, PARAM one */
    bool has_type, append;      /* append: STATE */
    tegu_type_expr type;        /* LET, STATE */
    tegu_exprs values;          /* LET, SET, PARAM one; RETURN any number */
} tegu_stmt;

typedef TEGU_VEC(tegu_stmt *) tegu_stmts;

typedef enum tegu_decl_kind {
    TEGU_DECL_MODEL,     /* model name */
    TEGU_DECL_AXIS,      /* axis a = expr, axis T in lo..hi */
    TEGU_DECL_CONST,     /* const c = expr */
    TEGU_DECL_WEIGHTS,   /* weights "file", weights random(...) */
    TEGU_DECL_TOKENIZER, /* tokenizer "file" */
    TEGU_DECL_IMPORT,    /* import "file" */
    TEGU_DECL_FN,
    TEGU_DECL_BLOCK,
    TEGU_DECL_ENTRY,
    TEGU_DECL_STMT /* a state or param statement */
} tegu_decl_kind;

typedef struct tegu_decl {
    tegu_decl_kind kind;
    tegu_loc loc;               /* of the name or string, where there is one */
    const char *name;           /* or the file's */
    tegu_expr *value, *lo, *hi; /* AXIS, CONST; FN BLOCK ENTRY: value is set
                                   when the header could not be read */
    bool random;                /* WEIGHTS */
    tegu_call_args args;        /* WEIGHTS random(...) */
    TEGU_VEC(tegu_formal) formals; /* FN BLOCK ENTRY */
    TEGU_VEC(tegu_formal) results;
    const char *prefix; /* BLOCK from "...", NULL: none */
    tegu_loc prefix_loc;
    tegu_stmts body;
    tegu_loc end; /* of the closing brace */
    tegu_stmt *stmt;
} tegu_decl;

typedef TEGU_VEC(tegu_decl *) tegu_decls;

/* True for a declaration that is called: fn, block, entry. */
static inline bool tegu_decl_is_callable(const tegu_decl *decl)
{
    return decl->kind == TEGU_DECL_FN || decl->kind == TEGU_DECL_BLOCK ||
           decl->kind == TEGU_DECL_ENTRY;
}

/* Parses a file's text and appends its declarations; imports stay
 * declarations.  Reports every syntax error; false when there was any. */
bool tegu_parse(tegu_arena *arena, tegu_diag *diag, tegu_interner *names,
                const char *file, const char *text, size_t size,
                tegu_decls *decls);
/* Parses the value of -D, `expression` or `lo..hi`; *hi is NULL for the
 * former.  NULL after reporting. */
tegu_expr *tegu_parse_value(tegu_arena *arena, tegu_diag *diag,
                            tegu_interner *names, const char *file,
                            const char *text, tegu_expr **hi);

#endif
