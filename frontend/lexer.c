/* SPDX-License-Identifier: Apache-2.0 */
/* lexer.c - source text to tokens.
 *
 * Takes    the bytes of one file.
 * Produces tokens on demand; names and strings interned, numbers converted.
 * How      one pass without lookahead beyond three bytes; the words and signs
 *          come from tokens.def.  Hostile text (control characters, bad UTF-8,
 *          bidirectional overrides: CVE-2021-42574) is refused before the
 *          first token.
 * Leaves   everything about order and meaning to the parser.
 */
#include "frontend/lexer.h"
#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct word {
    const char *text;
    tegu_token_kind kind;
} word;

static const word keywords[] = {
#define TEGU_KEYWORD(id, text, starts) {text, TEGU_TOK_##id##_WORD},
#include "frontend/tokens.def"
};
static const word signs[] = {
#define TEGU_SIGN(id, text) {text, TEGU_TOK_##id},
#include "frontend/tokens.def"
};
enum {
    KEYWORD_COUNT = sizeof keywords / sizeof *keywords,
    SIGN_COUNT = sizeof signs / sizeof *signs
};

/* What an error names: the quoted text of words and signs. */
static const char *const token_texts[] = {
    [TEGU_TOK_END] = "the end of the file", [TEGU_TOK_NAME] = "a name",
    [TEGU_TOK_INTEGER] = "an integer",      [TEGU_TOK_FLOAT] = "a number",
    [TEGU_TOK_STRING] = "a string",
#define TEGU_KEYWORD(id, text, starts) [TEGU_TOK_##id##_WORD] = "'" text "'",
#define TEGU_SIGN(id, text) [TEGU_TOK_##id] = "'" text "'",
#include "frontend/tokens.def"
};

const char *tegu_token_text(tegu_token_kind kind)
{
    return token_texts[kind];
}

/* What a keyword begins: a declaration, a statement of a body. */
enum { D = 1, S = 2 };
static const unsigned char keyword_starts[] = {
#define TEGU_KEYWORD(id, text, starts) starts,
#include "frontend/tokens.def"
};

static int starts_of(tegu_token_kind kind)
{
    for (size_t i = 0; i < KEYWORD_COUNT; i++)
        if (keywords[i].kind == kind)
            return keyword_starts[i];
    return 0;
}

bool tegu_token_starts_declaration(tegu_token_kind kind)
{
    return starts_of(kind) == D;
}

bool tegu_token_starts_statement(tegu_token_kind kind)
{
    return starts_of(kind) == S;
}

static tegu_loc loc_at(const tegu_lexer *lx, size_t at, size_t length)
{
    return (tegu_loc){.file = lx->file,
                      .line = lx->line,
                      .column = (uint32_t)(at - lx->line_start + 1),
                      .length = length < 1 ? 1 : (uint32_t)length};
}

/* Length of the UTF-8 sequence that a lead byte announces; 1 if none. */
static size_t sequence_length(unsigned char lead)
{
    return lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
}

/* U+202A-202E and U+2066-2069 are E2 80 AA-AE and E2 81 A6-A9. */
static bool is_bidi(const unsigned char *s, size_t length)
{
    return length == 3 && s[0] == 0xE2 &&
           ((s[1] == 0x80 && s[2] >= 0xAA && s[2] <= 0xAE) ||
            (s[1] == 0x81 && s[2] >= 0xA6 && s[2] <= 0xA9));
}

/* Why the character at s may not be in a source; NULL if it may. */
static const char *offence(const unsigned char *s, size_t length, size_t left)
{
    if (s[0] == 0)
        return "a NUL byte; source is text";
    if (s[0] < 0x20 && s[0] != '\t' && s[0] != '\n' && s[0] != '\r')
        return "a control character";
    if (s[0] == 0x7F)
        return "a control character";
    if (s[0] >= 0x80 &&
        (length > left || !tegu_utf8_valid((const char *)s, length)))
        return "bytes that are not UTF-8";
    if (is_bidi(s, length))
        return "a bidirectional control, which would hide what the text says";
    return NULL;
}

static bool check_text(tegu_lexer *lx)
{
    const unsigned char *text = (const unsigned char *)lx->text;
    for (size_t at = lx->at; at < lx->size;) {
        size_t length = sequence_length(text[at]);
        const char *why = offence(text + at, length, lx->size - at);
        if (why)
            return tegu_error(lx->diag, loc_at(lx, at, 1), TEGU_E_SYNTAX,
                              "the source has %s", why);
        if (text[at] == '\n') {
            lx->line++;
            lx->line_start = at + 1;
        }
        at += length;
    }
    return true;
}

bool tegu_lexer_init(tegu_lexer *lexer, tegu_arena *arena, tegu_diag *diag,
                     tegu_interner *names, const char *file, const char *text,
                     size_t size)
{
    *lexer = (tegu_lexer){.arena = arena,
                          .diag = diag,
                          .names = names,
                          .file = file,
                          .text = text,
                          .size = size,
                          .line = 1};
    if (size > TEGU_SOURCE_LIMIT)
        return tegu_error(diag, tegu_loc_file(file), TEGU_E_RESOURCES,
                          "the source has %zu bytes; at most %d are read", size,
                          TEGU_SOURCE_LIMIT);
    tegu_diag_source(diag, file, text, size);
    size_t start = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    lexer->at = start;
    if (!check_text(lexer))
        return false;
    lexer->at = start;
    lexer->line = 1;
    lexer->line_start = 0;
    return true;
}

static int peek(const tegu_lexer *lx, size_t ahead)
{
    return lx->at + ahead < lx->size ? (unsigned char)lx->text[lx->at + ahead]
                                     : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_part(int c)
{
    return is_name_start(c) || is_digit(c);
}

static void skip_blank(tegu_lexer *lx)
{
    for (;;) {
        int c = peek(lx, 0);
        if (c == '#') {
            while (peek(lx, 0) >= 0 && peek(lx, 0) != '\n')
                lx->at++;
        } else if (c == '\n') {
            lx->at++;
            lx->line++;
            lx->line_start = lx->at;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            lx->at++;
        } else {
            return;
        }
    }
}

/* strtod in the C locale, whatever the program's locale is. */
static double number_of(const char *text)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = c ? uselocale(c) : (locale_t)0;
    double value = strtod(text, NULL);
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    return value;
}

/* Skips the digits, point and exponent of a number; true when it is a float.
 * `0..4` is the integer 0 and a range. */
static bool skip_number(tegu_lexer *lx)
{
    bool is_float = false;
    while (is_digit(peek(lx, 0)))
        lx->at++;
    if (peek(lx, 0) == '.' && is_digit(peek(lx, 1))) {
        is_float = true;
        lx->at++;
        while (is_digit(peek(lx, 0)))
            lx->at++;
    }
    int e = peek(lx, 0), sign = peek(lx, 1);
    bool has_sign = sign == '+' || sign == '-';
    if ((e == 'e' || e == 'E') && is_digit(peek(lx, has_sign ? 2 : 1))) {
        is_float = true;
        lx->at += has_sign ? 2 : 1;
        while (is_digit(peek(lx, 0)))
            lx->at++;
    }
    return is_float;
}

static bool read_number(tegu_lexer *lx, tegu_token *token)
{
    size_t start = lx->at;
    bool is_float = skip_number(lx);
    token->kind = is_float ? TEGU_TOK_FLOAT : TEGU_TOK_INTEGER;
    size_t length = lx->at - start;
    if (is_name_part(peek(lx, 0))) {
        while (is_name_part(peek(lx, 0)))
            lx->at++;
        return tegu_error(
            lx->diag, loc_at(lx, start, lx->at - start), TEGU_E_SYNTAX,
            "malformed number '%s'; numbers are 12, 0.5 or 1e-5",
            tegu_escaped(lx->arena, lx->text + start, lx->at - start));
    }
    token->loc = loc_at(lx, start, length);
    const char *digits = tegu_format(
        lx->arena, "%.*s",
        (int)(length > TEGU_STRING_LIMIT ? TEGU_STRING_LIMIT : length),
        lx->text + start);
    errno = 0;
    if (is_float)
        token->number = number_of(digits);
    else
        token->integer = strtoll(digits, NULL, 10);
    if (is_float ? !isfinite(token->number) : errno == ERANGE)
        return tegu_error(lx->diag, token->loc, TEGU_E_SYNTAX,
                          "the number is too large; %s end at %s",
                          is_float ? "floats" : "integers",
                          is_float ? "1.8e308" : "9223372036854775807");
    return true;
}

static bool read_name(tegu_lexer *lx, tegu_token *token)
{
    size_t start = lx->at;
    while (is_name_part(peek(lx, 0)))
        lx->at++;
    size_t length = lx->at - start;
    token->loc = loc_at(lx, start, length);
    token->kind = TEGU_TOK_NAME;
    token->text = tegu_intern_cstr(lx->names, "_");
    if (length > TEGU_NAME_LIMIT)
        return tegu_error(lx->diag, token->loc, TEGU_E_SYNTAX,
                          "the name has %zu bytes; at most %d are allowed",
                          length, TEGU_NAME_LIMIT);
    token->text = tegu_intern(lx->names, lx->text + start, length);
    for (size_t i = 0; i < KEYWORD_COUNT; i++)
        if (strcmp(keywords[i].text, token->text) == 0)
            token->kind = keywords[i].kind;
    return true;
}

static int hex_value(int c)
{
    return is_digit(c)              ? c - '0'
           : (c >= 'a' && c <= 'f') ? c - 'a' + 10
           : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                    : -1;
}

/* Reads the escape after a backslash into *out. */
static bool read_escape(tegu_lexer *lx, char *out)
{
    static const char from[] = "\"\\nt", into[] = "\"\\\n\t";
    int c = peek(lx, 0);
    const char *found = c > 0 ? strchr(from, c) : NULL;
    if (found) {
        *out = into[found - from];
        lx->at++;
        return true;
    }
    int high = c == 'x' ? hex_value(peek(lx, 1)) : -1;
    int low = high >= 0 ? hex_value(peek(lx, 2)) : -1;
    if (low < 0 || high * 16 + low == 0)
        return tegu_error(lx->diag, loc_at(lx, lx->at - 1, 2), TEGU_E_SYNTAX,
                          "unknown escape; strings know \\\", \\\\, \\n, \\t "
                          "and \\x01 to \\xff");
    *out = (char)(high * 16 + low);
    lx->at += 3;
    return true;
}

/* Leaves a malformed string at the end of its line. */
static void skip_line(tegu_lexer *lx)
{
    while (peek(lx, 0) >= 0 && peek(lx, 0) != '\n')
        lx->at++;
}

static bool read_string(tegu_lexer *lx, tegu_token *token)
{
    size_t start = lx->at++, used = 0;
    char buffer[TEGU_STRING_LIMIT];
    token->kind = TEGU_TOK_STRING;
    token->text = tegu_intern_cstr(lx->names, "");
    for (;;) {
        int c = peek(lx, 0);
        if (c < 0 || c == '\n' || c == '\r')
            return tegu_error(lx->diag, loc_at(lx, start, 1), TEGU_E_SYNTAX,
                              "the string is not closed on its line");
        lx->at++;
        if (c == '"')
            break;
        char byte = (char)c;
        if (c == '\\' && !read_escape(lx, &byte)) {
            skip_line(lx);
            return false;
        }
        if (used == sizeof buffer) {
            skip_line(lx);
            return tegu_error(lx->diag, loc_at(lx, start, 1), TEGU_E_SYNTAX,
                              "the string is longer than %d bytes",
                              TEGU_STRING_LIMIT);
        }
        buffer[used++] = byte;
    }
    token->loc = loc_at(lx, start, lx->at - start);
    if (!tegu_utf8_valid(buffer, used))
        return tegu_error(lx->diag, token->loc, TEGU_E_SYNTAX,
                          "the string's escapes do not give UTF-8");
    token->text = tegu_intern(lx->names, buffer, used);
    return true;
}

static bool read_sign(tegu_lexer *lx, tegu_token *token)
{
    for (size_t i = 0; i < SIGN_COUNT; i++) {
        size_t length = strlen(signs[i].text);
        if (length > lx->size - lx->at ||
            memcmp(lx->text + lx->at, signs[i].text, length) != 0)
            continue;
        token->kind = signs[i].kind;
        token->loc = loc_at(lx, lx->at, length);
        lx->at += length;
        return true;
    }
    size_t start = lx->at;
    size_t length = sequence_length((unsigned char)lx->text[start]);
    lx->at += length;
    token->kind = TEGU_TOK_NAME;
    token->text = tegu_intern_cstr(lx->names, "_");
    return tegu_error(lx->diag, loc_at(lx, start, length), TEGU_E_SYNTAX,
                      "unexpected character '%s'",
                      tegu_escaped(lx->arena, lx->text + start, length));
}

tegu_token tegu_lexer_next(tegu_lexer *lx)
{
    skip_blank(lx);
    tegu_token token = {.loc = loc_at(lx, lx->at, 1)};
    int c = peek(lx, 0);
    if (c < 0)
        return token;
    token.bad = !(is_name_start(c) ? read_name(lx, &token)
                  : is_digit(c)    ? read_number(lx, &token)
                  : c == '"'       ? read_string(lx, &token)
                                   : read_sign(lx, &token));
    return token;
}
