/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h - reading IR text: a cursor with its words, shared by parse.c
 * (lines) and parse_text.c (literals and types).
 *
 * Every reader skips blanks first, reports what it misses at the cursor and
 * returns false; the caller then skips the line.
 */
#ifndef TEGU_IR_PARSE_H
#define TEGU_IR_PARSE_H

#include "ir/internal.h"

typedef struct tegu_cursor {
    const char *at, *end;
    const char *line_start;
    uint32_t line;
    const char *file; /* interned */
    tegu_diag *diag;
    tegu_arena *arena;
    tegu_unit *unit;
} tegu_cursor;

/* Where a word of `size` bytes at p stands. */
tegu_loc tegu_cursor_loc(const tegu_cursor *c, const char *p, size_t size);
/* Reports "expected WHAT, found ..." at the cursor; returns false. */
bool tegu_cursor_expected(tegu_cursor *c, const char *what);

/* Skips blanks and a comment up to the end of the line. */
void tegu_skip_blanks(tegu_cursor *c);
/* To the first character of the next line; false at the end. */
bool tegu_next_line(tegu_cursor *c);
/* Expects nothing more on this line. */
bool tegu_read_line_end(tegu_cursor *c);

/* Takes the character if it is next. */
bool tegu_take(tegu_cursor *c, char mark);
bool tegu_read_mark(tegu_cursor *c, char mark);

/* A name of letters, digits and _; size 0 when none is next.  Ops also have
 * dots. */
typedef struct tegu_word {
    const char *text;
    size_t size;
} tegu_word;
tegu_word tegu_peek_word(tegu_cursor *c, bool dots);
tegu_word tegu_take_word(tegu_cursor *c, bool dots);
bool tegu_word_is(tegu_word word, const char *text);
/* A name, interned. */
bool tegu_read_name(tegu_cursor *c, const char *what, const char **name);

bool tegu_read_int(tegu_cursor *c, int64_t *value);
bool tegu_read_uint64(tegu_cursor *c, uint64_t *value);
bool tegu_read_double(tegu_cursor *c, double *value);
bool tegu_read_bool(tegu_cursor *c, bool *value);
bool tegu_read_dtype(tegu_cursor *c, tegu_dtype *dtype);
/* A string, interned, escapes resolved. */
bool tegu_read_string(tegu_cursor *c, const char **text);
bool tegu_read_value(tegu_cursor *c, uint32_t *number);
bool tegu_read_ints(tegu_cursor *c, const int64_t **data, uint32_t *count);
/* A type, checked and interned. */
bool tegu_read_type(tegu_cursor *c, const tegu_type **type);
/* The elements of a constant of this type, in the arena. */
bool tegu_read_elements(tegu_cursor *c, const tegu_type *type,
                        const void **data);

#endif
