/* SPDX-License-Identifier: Apache-2.0 */
/* parse_text.c - the words of IR text: names, numbers, strings, types.
 *
 * Takes a cursor inside a line; nothing here passes a line's end.  Numbers are
 * decimal; an integer past 64 bits or a finite number past its type's range is
 * an error, never rounded to infinity.
 */
#include "ir/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

tegu_loc tegu_cursor_loc(const tegu_cursor *c, const char *p, size_t size)
{
    return (tegu_loc){.file = c->file,
                      .line = c->line,
                      .column = (uint32_t)(p - c->line_start) + 1,
                      .length = size ? (uint32_t)size : 1};
}

static bool is_letter(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
}

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

static bool at_line_end(const tegu_cursor *c)
{
    return c->at == c->end || *c->at == '\n';
}

bool tegu_cursor_expected(tegu_cursor *c, const char *what)
{
    tegu_skip_blanks(c);
    if (at_line_end(c))
        return tegu_error(c->diag, tegu_cursor_loc(c, c->at, 1),
                          TEGU_E_IR_SYNTAX, "expected %s before the line ends",
                          what);
    size_t size = 1;
    if (is_letter(*c->at) || is_digit(*c->at))
        while (c->at + size < c->end && size < 64 &&
               (is_letter(c->at[size]) || is_digit(c->at[size])))
            size++;
    return tegu_error(c->diag, tegu_cursor_loc(c, c->at, size),
                      TEGU_E_IR_SYNTAX, "expected %s, found '%s'", what,
                      tegu_escaped(c->arena, c->at, size));
}

/* --- blanks and marks --- */

void tegu_skip_blanks(tegu_cursor *c)
{
    while (c->at < c->end &&
           (*c->at == ' ' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
    bool comment = c->at < c->end &&
                   (*c->at == '#' ||
                    (*c->at == '/' && c->at + 1 < c->end && c->at[1] == '/'));
    while (comment && !at_line_end(c))
        c->at++;
}

bool tegu_next_line(tegu_cursor *c)
{
    const char *found =
        c->at < c->end ? memchr(c->at, '\n', (size_t)(c->end - c->at)) : NULL;
    if (!found) {
        c->at = c->end;
        return false;
    }
    c->at = c->line_start = found + 1;
    c->line++;
    return true;
}

bool tegu_read_line_end(tegu_cursor *c)
{
    tegu_skip_blanks(c);
    return at_line_end(c) || tegu_cursor_expected(c, "the end of the line");
}

bool tegu_take(tegu_cursor *c, char mark)
{
    tegu_skip_blanks(c);
    if (c->at == c->end || *c->at != mark)
        return false;
    c->at++;
    return true;
}

bool tegu_read_mark(tegu_cursor *c, char mark)
{
    char what[] = {'\'', mark, '\'', 0};
    return tegu_take(c, mark) || tegu_cursor_expected(c, what);
}

/* --- words --- */

tegu_word tegu_peek_word(tegu_cursor *c, bool dots)
{
    tegu_skip_blanks(c);
    const char *p = c->at;
    if (p < c->end && is_letter(*p))
        while (p < c->end &&
               (is_letter(*p) || is_digit(*p) || (dots && *p == '.')))
            p++;
    return (tegu_word){c->at, (size_t)(p - c->at)};
}

tegu_word tegu_take_word(tegu_cursor *c, bool dots)
{
    tegu_word word = tegu_peek_word(c, dots);
    c->at += word.size;
    return word;
}

bool tegu_word_is(tegu_word word, const char *text)
{
    return strlen(text) == word.size && memcmp(text, word.text, word.size) == 0;
}

bool tegu_read_name(tegu_cursor *c, const char *what, const char **name)
{
    tegu_word word = tegu_peek_word(c, false);
    if (!word.size || word.size > 255)
        return tegu_cursor_expected(c, what);
    c->at += word.size;
    *name = tegu_intern(c->unit->names, word.text, word.size);
    return true;
}

bool tegu_read_bool(tegu_cursor *c, bool *value)
{
    tegu_word word = tegu_peek_word(c, false);
    *value = tegu_word_is(word, "true");
    if (!*value && !tegu_word_is(word, "false"))
        return tegu_cursor_expected(c, "true or false");
    c->at += word.size;
    return true;
}

bool tegu_read_dtype(tegu_cursor *c, tegu_dtype *dtype)
{
    tegu_word word = tegu_peek_word(c, false);
    *dtype = tegu_dtype_find(word.text, word.size);
    if (*dtype == TEGU_DTYPE_COUNT)
        return tegu_cursor_expected(c, "an element type");
    c->at += word.size;
    return true;
}

/* --- numbers --- */

/* Digits at p as a magnitude; false on overflow. */
static bool read_digits(const char **p, const char *end, uint64_t *value)
{
    bool fits = true;
    *value = 0;
    for (; *p < end && is_digit(**p); (*p)++)
        fits = fits && !__builtin_mul_overflow(*value, 10u, value) &&
               !__builtin_add_overflow(*value, (uint64_t)(**p - '0'), value);
    return fits;
}

static bool misfit(tegu_cursor *c, const char *end, const char *type)
{
    return tegu_error(c->diag, tegu_cursor_loc(c, c->at, (size_t)(end - c->at)),
                      TEGU_E_IR_SYNTAX, "%s does not fit %s",
                      tegu_escaped(c->arena, c->at, (size_t)(end - c->at)),
                      type);
}

bool tegu_read_uint64(tegu_cursor *c, uint64_t *value)
{
    tegu_skip_blanks(c);
    const char *p = c->at;
    bool fits = read_digits(&p, c->end, value);
    if (p == c->at)
        return tegu_cursor_expected(c, "a whole number");
    if (!fits)
        return misfit(c, p, "64 bits");
    c->at = p;
    return true;
}

bool tegu_read_int(tegu_cursor *c, int64_t *value)
{
    tegu_skip_blanks(c);
    bool negative = c->at < c->end && *c->at == '-';
    const char *digits = c->at + negative, *p = digits;
    uint64_t magnitude;
    bool fits = read_digits(&p, c->end, &magnitude);
    if (p == digits)
        return tegu_cursor_expected(c, "an integer");
    if (!fits || magnitude > (uint64_t)INT64_MAX + negative)
        return misfit(c, p, "i64");
    *value = (int64_t)(negative ? -magnitude : magnitude);
    c->at = p;
    return true;
}

/* [-] digits [. digits] [e [+-] digits], or inf, -inf, nan. */
static const char *scan_number(const tegu_cursor *c)
{
    const char *p = c->at, *end = c->end;
    if (p < end && *p == '-')
        p++;
    if (end - p >= 3 && (memcmp(p, "inf", 3) == 0 || memcmp(p, "nan", 3) == 0))
        return p + 3;
    const char *digits = p;
    while (p < end && (is_digit(*p) || *p == '.'))
        p++;
    if (p == digits)
        return c->at;
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *exponent = p + 1;
        if (exponent < end && (*exponent == '-' || *exponent == '+'))
            exponent++;
        if (exponent < end && is_digit(*exponent))
            for (p = exponent; p < end && is_digit(*p);)
                p++;
    }
    return p;
}

/* The number's text, NUL-terminated, and its end. */
static bool take_number(tegu_cursor *c, char text[static 64], const char **end)
{
    tegu_skip_blanks(c);
    *end = scan_number(c);
    size_t size = (size_t)(*end - c->at);
    if (!size || size >= 64)
        return tegu_cursor_expected(c, "a number");
    memcpy(text, c->at, size);
    text[size] = 0;
    return true;
}

/* True when all of the text was a number that is infinite only in word. */
static bool number_is_good(const char *text, const char *parsed, double value)
{
    bool spelled = strstr(text, "inf") || strstr(text, "nan");
    return *parsed == 0 && (spelled || value - value == 0);
}

bool tegu_read_double(tegu_cursor *c, double *value)
{
    char text[64], *parsed;
    const char *end;
    if (!take_number(c, text, &end))
        return false;
    *value = strtod(text, &parsed);
    if (!number_is_good(text, parsed, *value))
        return misfit(c, end, "f64");
    c->at = end;
    return true;
}

static bool read_float(tegu_cursor *c, float *value)
{
    char text[64], *parsed;
    const char *end;
    if (!take_number(c, text, &end))
        return false;
    *value = strtof(text, &parsed);
    if (!number_is_good(text, parsed, (double)*value))
        return misfit(c, end, "f32");
    c->at = end;
    return true;
}

bool tegu_read_value(tegu_cursor *c, uint32_t *number)
{
    uint64_t n;
    if (!tegu_read_mark(c, '%'))
        return false;
    const char *p = c->at;
    bool fits = read_digits(&p, c->end, &n);
    if (p == c->at)
        return tegu_cursor_expected(c, "a value's number");
    if (!fits || n == 0 || n > UINT32_MAX)
        return misfit(c, p, "the number of a value");
    *number = (uint32_t)n;
    c->at = p;
    return true;
}

bool tegu_read_ints(tegu_cursor *c, const int64_t **data, uint32_t *count)
{
    TEGU_VEC(int64_t) numbers = {0};
    if (!tegu_read_mark(c, '['))
        return false;
    if (!tegu_take(c, ']')) {
        do {
            int64_t n;
            if (!tegu_read_int(c, &n))
                return false;
            tegu_vec_push(c->arena, &numbers, n);
        } while (tegu_take(c, ','));
        if (!tegu_read_mark(c, ']'))
            return false;
    }
    *data = numbers.data;
    *count = numbers.count;
    return true;
}

/* --- strings --- */

static int hex_digit(char ch)
{
    if (is_digit(ch))
        return ch - '0';
    if (ch >= 'a' && ch <= 'f')
        return ch - 'a' + 10;
    return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* The byte that the escape after a backslash stands for; -1: no escape. */
static int read_escape(tegu_cursor *c)
{
    char kind = (char)(c->at < c->end ? *c->at++ : 0);
    if (kind == '"' || kind == '\\')
        return kind;
    if (kind == 'n')
        return '\n';
    if (kind != 'x' || c->end - c->at < 2)
        return -1;
    int high = hex_digit(c->at[0]), low = hex_digit(c->at[1]);
    int byte = high * 16 + low;
    if (high < 0 || low < 0 || byte == 0)
        return -1;
    c->at += 2;
    return byte;
}

bool tegu_read_string(tegu_cursor *c, const char **result)
{
    if (!tegu_take(c, '"'))
        return tegu_cursor_expected(c, "a string");
    tegu_text text = {.arena = c->arena};
    while (!at_line_end(c) && *c->at != '"') {
        const char *start = c->at;
        int byte = (unsigned char)*c->at++;
        if (byte == '\\')
            byte = read_escape(c);
        else if (byte < 0x20)
            byte = -1;
        if (byte < 0) {
            c->at = start;
            return tegu_cursor_expected(c, "a character or an escape");
        }
        char ch = (char)byte;
        tegu_text_add(&text, &ch, 1);
    }
    if (at_line_end(c))
        return tegu_cursor_expected(c, "'\"'");
    c->at++;
    *result = tegu_intern(c->unit->names, tegu_text_cstr(&text), text.count);
    return true;
}

/* --- types --- */

static bool read_axis(tegu_cursor *c, tegu_axis_id *axis)
{
    tegu_word word = tegu_peek_word(c, false);
    const char *name = NULL;
    if (!tegu_read_name(c, "an axis", &name))
        return false;
    *axis = tegu_unit_find_axis(c->unit, name);
    return *axis ||
           tegu_error(c->diag, tegu_cursor_loc(c, word.text, word.size),
                      TEGU_E_IR_NAME, "no axis is named '%s'", name);
}

/* The symbol's id at the cursor, and +N or -N after it. */
static bool read_symbolic(tegu_cursor *c, tegu_axis_id axis, tegu_dim *dim)
{
    if (!c->unit->axes.data[axis].symbolic)
        return tegu_error(
            c->diag, tegu_cursor_loc(c, c->at, 1), TEGU_E_IR_SYNTAX,
            "axis '%s' has a fixed extent: write %s=%lld",
            c->unit->axes.data[axis].name, c->unit->axes.data[axis].name,
            (long long)c->unit->axes.data[axis].lo);
    dim->symbol = axis;
    bool plus = tegu_take(c, '+');
    if (!plus && (c->at == c->end || *c->at != '-'))
        return true;
    if (plus && (c->at == c->end || !is_digit(*c->at)))
        return tegu_cursor_expected(c, "an offset");
    return tegu_read_int(c, &dim->offset);
}

/* 256, T, 2T+1, -T+8. */
static bool read_extent(tegu_cursor *c, tegu_dim *dim)
{
    tegu_axis_id axis;
    tegu_skip_blanks(c);
    bool bare_minus =
        c->at + 1 < c->end && *c->at == '-' && is_letter(c->at[1]);
    int64_t number = 1;
    bool digits = c->at < c->end && (is_digit(*c->at) || *c->at == '-');
    if (bare_minus) {
        c->at++;
        number = -1;
    } else if (digits && !tegu_read_int(c, &number)) {
        return false;
    }
    if (digits && !bare_minus && (c->at == c->end || !is_letter(*c->at))) {
        dim->offset = number;
        return number >= 0 || tegu_cursor_expected(c, "an extent >= 0");
    }
    if (number == 0)
        return tegu_cursor_expected(c, "a factor other than 0");
    dim->scale = number;
    return read_axis(c, &axis) && read_symbolic(c, axis, dim);
}

/* [axes =] extent */
static bool read_dim(tegu_cursor *c, tegu_dim *dim)
{
    *dim = (tegu_dim){0};
    tegu_word word = tegu_peek_word(c, false);
    if (!word.size)
        return read_extent(c, dim);
    tegu_axis_id axis;
    if (!read_axis(c, &axis))
        return false;
    dim->axes[0] = axis;
    for (int i = 1; tegu_take(c, '*'); i++) {
        if (i == TEGU_MAX_FACTORS)
            return tegu_cursor_expected(c, "at most four axes");
        if (!read_axis(c, &dim->axes[i]))
            return false;
    }
    if (dim->axes[1] || (c->at < c->end && *c->at == '='))
        return tegu_read_mark(c, '=') && read_extent(c, dim);
    dim->axes[0] = 0;
    dim->scale = 1;
    return read_symbolic(c, axis, dim);
}

bool tegu_read_type(tegu_cursor *c, const tegu_type **result)
{
    tegu_type type = {0};
    tegu_skip_blanks(c);
    const char *start = c->at;
    if (!tegu_read_dtype(c, &type.dtype) || !tegu_read_mark(c, '['))
        return false;
    if (!tegu_take(c, ']')) {
        do {
            if (type.rank == TEGU_MAX_RANK)
                return tegu_cursor_expected(c, "at most eight axes");
            if (!read_dim(c, &type.dims[type.rank++]))
                return false;
        } while (tegu_take(c, ','));
        if (!tegu_read_mark(c, ']'))
            return false;
    }
    tegu_loc loc = tegu_cursor_loc(c, start, (size_t)(c->at - start));
    if (!tegu_type_check(c->unit, &type, NULL, loc, TEGU_DIAG_COUNT))
        return false;
    *result = tegu_unit_type(c->unit, &type);
    return true;
}

/* --- elements --- */

static bool read_element(tegu_cursor *c, tegu_dtype dtype, void *to)
{
    bool truth;
    int64_t number;
    if (dtype == TEGU_F32)
        return read_float(c, to);
    if (dtype == TEGU_I64)
        return tegu_read_int(c, to);
    if (dtype == TEGU_BOOL) {
        if (!tegu_read_bool(c, &truth))
            return false;
        *(unsigned char *)to = truth;
        return true;
    }
    const char *start = c->at;
    if (!tegu_read_int(c, &number))
        return false;
    if (number < INT32_MIN || number > INT32_MAX) {
        const char *end = c->at;
        c->at = start;
        return misfit(c, end, "i32");
    }
    *(int32_t *)to = (int32_t)number;
    return true;
}

/* Elements written in the brackets ahead: what may be allocated for them. */
static int64_t count_commas(const tegu_cursor *c)
{
    int64_t commas = 0;
    for (const char *p = c->at; p < c->end && *p != '\n' && *p != ']'; p++)
        commas += *p == ',';
    return commas;
}

bool tegu_read_elements(tegu_cursor *c, const tegu_type *type,
                        const void **result)
{
    size_t bytes = tegu_dtype_bytes(type->dtype);
    int64_t count = tegu_type_elements(type);
    if (count < 0 || !tegu_dtype_is_compute(type->dtype))
        return tegu_error(c->diag, tegu_cursor_loc(c, c->at, 1), TEGU_E_SHAPE,
                          "a constant cannot be %s",
                          tegu_type_string(c->unit, c->arena, type));
    if (type->rank == 0) {
        void *data = tegu_arena_alloc(c->arena, bytes);
        *result = data;
        return read_element(c, type->dtype, data);
    }
    if (!tegu_read_mark(c, '['))
        return false;
    if (count > 0 && count - 1 != count_commas(c))
        return tegu_error(c->diag, tegu_cursor_loc(c, c->at, 1), TEGU_E_SHAPE,
                          "%lld values given for %s",
                          (long long)count_commas(c) + 1,
                          tegu_type_string(c->unit, c->arena, type));
    unsigned char *data =
        tegu_arena_array(c->arena, (size_t)(count > 0 ? count : 1), bytes);
    for (int64_t i = 0; i < count; i++) {
        if (i && !tegu_read_mark(c, ','))
            return false;
        if (!read_element(c, type->dtype, data + (size_t)i * bytes))
            return false;
    }
    *result = data;
    return tegu_read_mark(c, ']');
}
