/* SPDX-License-Identifier: Apache-2.0 */
/* str.c - text building, escaping, interning, UTF-8 and edit distance.
 *
 * Takes bytes of any origin; what tegu_text_escape and tegu_text_printable
 * add is safe to show: well-formed UTF-8 without control or bidirectional
 * formatting characters.
 */
#include "ir/base/str.h"
#include "ir/base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for `more` bytes and a NUL. */
static void reserve(tegu_text *text, size_t more)
{
    size_t need;
    if (__builtin_add_overflow(more, (size_t)text->count + 1, &need) ||
        need > UINT32_MAX / 2)
        tegu_arena_fail(text->arena);
    if (need <= text->capacity)
        return;
    size_t capacity = text->capacity ? (size_t)text->capacity * 2 : 64;
    while (capacity < need)
        capacity *= 2;
    char *data = tegu_arena_alloc_raw(text->arena, capacity);
    if (text->count)
        memcpy(data, text->data, text->count);
    text->data = data;
    text->capacity = (uint32_t)capacity;
}

void tegu_text_add(tegu_text *text, const char *bytes, size_t size)
{
    reserve(text, size);
    if (size)
        memcpy(text->data + text->count, bytes, size);
    text->count += (uint32_t)size;
    text->data[text->count] = 0;
}

static void add_format(tegu_text *text, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    if (size < 0)
        tegu_arena_fail(text->arena);
    reserve(text, (size_t)size);
    vsnprintf(text->data + text->count, (size_t)size + 1, format, again);
    va_end(again);
    text->count += (uint32_t)size;
}

void tegu_text_printf(tegu_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_format(text, format, args);
    va_end(args);
}

char *tegu_format_v(tegu_arena *arena, const char *format, va_list args)
{
    tegu_text text = {.arena = arena};
    add_format(&text, format, args);
    return text.data;
}

char *tegu_format(tegu_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = tegu_format_v(arena, format, args);
    va_end(args);
    return text;
}

void tegu_text_number(tegu_text *text, double x, bool single)
{
    char digits[40];
    for (int p = single ? 6 : 15; p <= 17; p++) {
        snprintf(digits, sizeof digits, "%.*g", p, x);
        double back = strtod(digits, NULL);
        if (single ? (float)back == (float)x && strtof(digits, NULL) == (float)x
                   : back == x)
            break;
    }
    tegu_text_add(text, digits, strlen(digits));
}

const char *tegu_text_cstr(const tegu_text *text)
{
    return text->data ? text->data : "";
}

/* The table of RFC 3629 section 4 (UTF8-octets). */
size_t tegu_utf8_length(const char *bytes, size_t size)
{
    const unsigned char *s = (const unsigned char *)bytes;
    if (size == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    size_t length = s[0] < 0xc2   ? 0
                    : s[0] < 0xe0 ? 2
                    : s[0] < 0xf0 ? 3
                    : s[0] < 0xf5 ? 4
                                  : 0;
    if (length == 0 || length > size)
        return 0;
    unsigned low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool tegu_utf8_valid(const char *bytes, size_t size)
{
    while (size > 0) {
        size_t length = tegu_utf8_length(bytes, size);
        if (length == 0)
            return false;
        bytes += length;
        size -= length;
    }
    return true;
}

/* The code point of a character that tegu_utf8_length accepted. */
static uint32_t decode(const char *bytes, size_t length)
{
    const unsigned char *s = (const unsigned char *)bytes;
    if (length == 1)
        return s[0];
    uint32_t c = s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++)
        c = c << 6 | (s[i] & 0x3f);
    return c;
}

/* C1 controls, line separators, bidi marks, embeddings and isolates, and the
 * byte order mark: invisible, or able to reorder what is around them. */
static bool is_deceptive(uint32_t c)
{
    return (c >= 0x80 && c < 0xa0) || c == 0x61c || c == 0xfeff ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f);
}

/* Adds one character and returns how many bytes of input it was. */
static size_t add_shown(tegu_text *text, const char *bytes, size_t size,
                        bool quoted)
{
    size_t length = tegu_utf8_length(bytes, size);
    if (length == 0) {
        tegu_text_printf(text, "\\x%02x", (unsigned char)bytes[0]);
        return 1;
    }
    uint32_t c = decode(bytes, length);
    if (c == '\n')
        tegu_text_add(text, "\\n", 2);
    else if (c == '\t')
        tegu_text_add(text, "\\t", 2);
    else if (c < 0x20 || c == 0x7f)
        tegu_text_printf(text, "\\x%02x", (unsigned)c);
    else if (is_deceptive(c))
        tegu_text_printf(text, "\\u{%x}", (unsigned)c);
    else if (quoted && (c == '\'' || c == '"' || c == '\\'))
        tegu_text_printf(text, "\\%c", (int)c);
    else
        tegu_text_add(text, bytes, length);
    return length;
}

void tegu_text_escape(tegu_text *text, const char *bytes, size_t size)
{
    enum { CUT = 200 };
    size_t end = (size_t)text->count + CUT;
    while (size > 0) {
        if (text->count >= end) {
            tegu_text_add(text, "...", 3);
            return;
        }
        size_t used = add_shown(text, bytes, size, true);
        bytes += used;
        size -= used;
    }
    reserve(text, 0);
    text->data[text->count] = 0;
}

void tegu_text_printable(tegu_text *text, const char *bytes, size_t size)
{
    while (size > 0) {
        size_t used = add_shown(text, bytes, size, false);
        bytes += used;
        size -= used;
    }
}

const char *tegu_escaped(tegu_arena *arena, const char *bytes, size_t size)
{
    tegu_text text = {.arena = arena};
    tegu_text_escape(&text, bytes, size);
    return text.data;
}

/* A map whose values are its keys' positions. */
struct tegu_interner {
    tegu_map *map;
};

tegu_interner *tegu_interner_create(tegu_arena *arena)
{
    tegu_interner *interner = TEGU_NEW(arena, tegu_interner);
    interner->map = tegu_map_create(arena);
    return interner;
}

const char *tegu_intern(tegu_interner *interner, const char *bytes, size_t size)
{
    tegu_map *map = interner->map;
    const uint64_t *known = tegu_map_find(map, bytes, size);
    uint32_t position = known ? (uint32_t)*known : tegu_map_count(map);
    if (!known)
        tegu_map_set(map, bytes, size, position);
    return tegu_map_key(map, position, NULL);
}

const char *tegu_intern_cstr(tegu_interner *interner, const char *text)
{
    return tegu_intern(interner, text, strlen(text));
}

enum { LONGEST_WORD = 128 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits between two words of at most LONGEST_WORD bytes, an exchange of two
 * neighbours counting once: Damerau (1964) and Levenshtein (1966) in the
 * optimal string alignment form, three rows at a time. */
static size_t distance(const char *a, size_t m, const char *b, size_t n)
{
    size_t rows[3][LONGEST_WORD + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= n; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= m; i++) {
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            row[j] = last[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(row[j], least(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[n];
}

const char *tegu_nearest(const char *word, const char *const *candidates,
                         size_t count)
{
    size_t size = strlen(word);
    if (size < 2 || size > LONGEST_WORD)
        return NULL;
    size_t limit = size < 6 ? 1 : size / 3;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(candidates[i]);
        if (other > LONGEST_WORD)
            continue;
        size_t edits = distance(word, size, candidates[i], other);
        if (edits < limit || (edits == limit && !nearest)) {
            nearest = candidates[i];
            limit = edits;
        }
    }
    return nearest;
}
