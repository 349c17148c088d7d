/* SPDX-License-Identifier: Apache-2.0 */
/* str.h - text: interned names, and a builder for printed output. */
#ifndef TEGU_BASE_STR_H
#define TEGU_BASE_STR_H

#include "ir/base/arena.h"
#include "ir/base/vec.h"
#include <stdarg.h>
#include <stdbool.h>

#if defined(__GNUC__)
#define TEGU_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define TEGU_PRINTF(f, a)
#endif

/* A NUL-terminated text that grows in an arena; zero but for the arena. */
typedef struct tegu_text {
    tegu_arena *arena;
    char *data;     /* NULL while empty */
    uint32_t count; /* bytes without the NUL */
    uint32_t capacity;
} tegu_text;

void tegu_text_add(tegu_text *text, const char *bytes, size_t size);
void tegu_text_printf(tegu_text *text, const char *format, ...)
    TEGU_PRINTF(2, 3);
/* Adds bytes as they may appear in a message: control characters, quotes,
 * backslashes, invalid UTF-8 and bidi controls as escapes, cut at 200. */
void tegu_text_escape(tegu_text *text, const char *bytes, size_t size);
/* The same without escaping quotes and backslashes, and without a cut: for
 * whole lines and messages on their way to a terminal. */
void tegu_text_printable(tegu_text *text, const char *bytes, size_t size);
/* Adds digits that read back as the finite number x, no more than it needs: as
 * a double, or when `single`, as the f32 that x is. */
void tegu_text_number(tegu_text *text, double x, bool single);
/* "" while empty. */
const char *tegu_text_cstr(const tegu_text *text);

/* printf into the arena. */
char *tegu_format(tegu_arena *arena, const char *format, ...) TEGU_PRINTF(2, 3);
char *tegu_format_v(tegu_arena *arena, const char *format, va_list args);
/* The escaped form of bytes (tegu_text_escape) as a string in the arena. */
const char *tegu_escaped(tegu_arena *arena, const char *bytes, size_t size);

/* Interned strings: equal bytes give the same pointer, so == compares. */
typedef struct tegu_interner tegu_interner;
tegu_interner *tegu_interner_create(tegu_arena *arena);
const char *tegu_intern(tegu_interner *interner, const char *bytes,
                        size_t size);
const char *tegu_intern_cstr(tegu_interner *interner, const char *text);

/* Bytes of the well-formed UTF-8 character that `bytes` starts with (RFC 3629:
 * no overlong forms, no surrogates); 0 when there is none. */
size_t tegu_utf8_length(const char *bytes, size_t size);
/* True when all the bytes are well-formed UTF-8. */
bool tegu_utf8_valid(const char *bytes, size_t size);
/* The candidate nearest to `word` by edit distance, for "did you mean";
 * NULL when none is within a third of its length. */
const char *tegu_nearest(const char *word, const char *const *candidates,
                         size_t count);

#endif
