/* SPDX-License-Identifier: Apache-2.0 */
/* term.c - the compile-time values of the language and their arithmetic.
 *
 * Integers are checked 64-bit and affine in at most one symbolic axis (2 T +
 * 1); they keep the axes that a product came from (heads * head_dim).  Floats
 * are doubles.  Leaves tensors to node.c.
 */
#include "frontend/elab.h"
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

tegu_term tegu_term_dim(tegu_dim dim)
{
    return (tegu_term){TEGU_TERM_INTEGER, {.dim = dim}};
}

tegu_term tegu_term_integer(int64_t value)
{
    return tegu_term_dim(tegu_dim_static(value));
}

tegu_term tegu_term_float(double value)
{
    return (tegu_term){TEGU_TERM_FLOAT, {.number = value}};
}

tegu_term tegu_term_bool(bool value)
{
    return (tegu_term){TEGU_TERM_BOOL, {.truth = value}};
}

tegu_term tegu_term_tensor(tegu_value v)
{
    return v ? (tegu_term){TEGU_TERM_TENSOR, {.tensor = v}} : tegu_term_error();
}

const char *tegu_term_describe(const tegu_term *term)
{
    static const char *const texts[] = {
        [TEGU_TERM_ERROR] = "an error",        [TEGU_TERM_NONE] = "none",
        [TEGU_TERM_INTEGER] = "an integer",    [TEGU_TERM_FLOAT] = "a float",
        [TEGU_TERM_BOOL] = "a truth value",    [TEGU_TERM_TEXT] = "a string",
        [TEGU_TERM_DTYPE] = "a type",          [TEGU_TERM_LIST] = "a list",
        [TEGU_TERM_TENSOR] = "a tensor",       [TEGU_TERM_STATE] = "a state",
        [TEGU_TERM_TUPLE] = "several results",
    };
    return texts[term->kind];
}

bool tegu_term_is_static(const tegu_term *term)
{
    return term->kind == TEGU_TERM_INTEGER && tegu_dim_is_static(term->u.dim);
}

bool tegu_term_is_number(const tegu_term *term)
{
    return term->kind == TEGU_TERM_FLOAT || tegu_term_is_static(term);
}

double tegu_term_number(const tegu_term *term)
{
    assert(tegu_term_is_number(term));
    return term->kind == TEGU_TERM_FLOAT ? term->u.number
                                         : (double)term->u.dim.offset;
}

bool tegu_term_to_integer(tegu_elab *el, tegu_loc loc, const char *what,
                          const tegu_term *term, int64_t lo, int64_t hi,
                          int64_t *value)
{
    if (term->kind == TEGU_TERM_ERROR)
        return false;
    if (term->kind == TEGU_TERM_INTEGER && !tegu_term_is_static(term))
        return tegu_elab_error(el, loc, TEGU_E_CONSTANT,
                               "%s is %s, which is not known at compile time",
                               what, tegu_elab_dim_text(el, term->u.dim));
    if (term->kind != TEGU_TERM_INTEGER)
        return tegu_elab_error(el, loc, TEGU_E_CONSTANT,
                               "%s must be an integer, not %s", what,
                               tegu_term_describe(term));
    *value = term->u.dim.offset;
    if (*value < lo || *value > hi)
        return tegu_elab_error(
            el, loc, TEGU_E_CONSTANT,
            "%s is %" PRId64 "; it must be %s %" PRId64, what, *value,
            *value < lo ? "at least" : "at most", *value < lo ? lo : hi);
    return true;
}

/* --- integers --- */

static bool add_dims(tegu_dim a, tegu_dim b, tegu_dim *out)
{
    if (a.symbol && b.symbol && a.symbol != b.symbol)
        return false;
    *out = (tegu_dim){.symbol = a.symbol ? a.symbol : b.symbol};
    if (__builtin_add_overflow(a.scale, b.scale, &out->scale) ||
        __builtin_add_overflow(a.offset, b.offset, &out->offset))
        return false;
    if (out->scale == 0)
        out->symbol = 0;
    return true;
}

static bool multiply_dims(tegu_dim a, tegu_dim b, tegu_dim *out)
{
    tegu_dim both[] = {a, b};
    return tegu_dims_product(both, 0, 2, out);
}

static bool subtract_dims(tegu_dim a, tegu_dim b, tegu_dim *out)
{
    tegu_dim minus;
    return multiply_dims(b, tegu_dim_static(-1), &minus) &&
           add_dims(a, minus, out);
}

static tegu_term divide(tegu_elab *el, tegu_loc loc, tegu_dim a, tegu_dim b)
{
    int64_t n = b.offset;
    if (b.symbol || n == 0 || (n == -1 && a.offset == INT64_MIN)) {
        tegu_elab_error(el, loc, TEGU_E_CONSTANT,
                        b.symbol ? "division by a symbolic axis"
                        : n == 0 ? "division by zero"
                                 : "the quotient overflows");
        return tegu_term_error();
    }
    if (a.offset % n || a.scale % n) {
        tegu_elab_error(el, loc, TEGU_E_CONSTANT,
                        "%s / %s leaves a remainder; a size must divide "
                        "exactly, (a - a %% b) / b rounds down",
                        tegu_elab_dim_text(el, a), tegu_elab_dim_text(el, b));
        return tegu_term_error();
    }
    tegu_dim out = {a.scale / n, a.offset / n, a.symbol, {0}};
    if (n == 1)
        out = a;
    return tegu_term_dim(out);
}

static tegu_term modulo(tegu_elab *el, tegu_loc loc, tegu_dim a, tegu_dim b)
{
    if (a.symbol || b.symbol || b.offset == 0) {
        tegu_elab_error(el, loc, TEGU_E_CONSTANT,
                        a.symbol || b.symbol
                            ? "the remainder of a symbolic axis is not known "
                              "at compile time"
                            : "remainder of a division by zero");
        return tegu_term_error();
    }
    return tegu_term_integer(b.offset == -1 ? 0 : a.offset % b.offset);
}

static tegu_term compare_dims(tegu_elab *el, tegu_loc loc, tegu_token_kind op,
                              tegu_dim a, tegu_dim b)
{
    tegu_dim d;
    if (!subtract_dims(a, b, &d) || d.symbol) {
        tegu_elab_error(el, loc, TEGU_E_CONSTANT,
                        "whether %s %s %s is not known at compile time",
                        tegu_elab_dim_text(el, a),
                        op == TEGU_TOK_EQ || op == TEGU_TOK_NE ? "equals"
                                                               : "is below",
                        tegu_elab_dim_text(el, b));
        return tegu_term_error();
    }
    int64_t n = d.offset;
    return tegu_term_bool(op == TEGU_TOK_EQ   ? n == 0
                          : op == TEGU_TOK_NE ? n != 0
                          : op == TEGU_TOK_LT ? n < 0
                          : op == TEGU_TOK_LE ? n <= 0
                          : op == TEGU_TOK_GT ? n > 0
                                              : n >= 0);
}

static bool is_comparison(tegu_token_kind op)
{
    return op == TEGU_TOK_EQ || op == TEGU_TOK_NE || op == TEGU_TOK_LT ||
           op == TEGU_TOK_LE || op == TEGU_TOK_GT || op == TEGU_TOK_GE;
}

static tegu_term integer_binary(tegu_elab *el, tegu_loc loc, tegu_token_kind op,
                                tegu_dim a, tegu_dim b)
{
    if (is_comparison(op))
        return compare_dims(el, loc, op, a, b);
    if (op == TEGU_TOK_SLASH)
        return divide(el, loc, a, b);
    if (op == TEGU_TOK_PERCENT)
        return modulo(el, loc, a, b);
    tegu_dim out;
    bool ok = op == TEGU_TOK_PLUS    ? add_dims(a, b, &out)
              : op == TEGU_TOK_MINUS ? subtract_dims(a, b, &out)
                                     : multiply_dims(a, b, &out);
    if (ok)
        return tegu_term_dim(out);
    tegu_elab_error(el, loc, TEGU_E_CONSTANT,
                    a.symbol && b.symbol
                        ? "%s and %s give no multiple of one symbolic axis"
                        : "%s and %s give an integer beyond 64 bits",
                    tegu_elab_dim_text(el, a), tegu_elab_dim_text(el, b));
    return tegu_term_error();
}

/* --- floats, truth values, strings --- */

static tegu_term float_binary(tegu_elab *el, tegu_loc loc, tegu_token_kind op,
                              double a, double b)
{
    switch ((int)op) {
    case TEGU_TOK_PLUS: return tegu_term_float(a + b);
    case TEGU_TOK_MINUS: return tegu_term_float(a - b);
    case TEGU_TOK_STAR: return tegu_term_float(a * b);
    case TEGU_TOK_SLASH:
        if (b != 0.0)
            return tegu_term_float(a / b);
        tegu_elab_error(el, loc, TEGU_E_CONSTANT, "division by zero");
        return tegu_term_error();
    case TEGU_TOK_PERCENT: return tegu_term_float(fmod(a, b));
    case TEGU_TOK_EQ: return tegu_term_bool(a == b);
    case TEGU_TOK_NE: return tegu_term_bool(a != b);
    case TEGU_TOK_LT: return tegu_term_bool(a < b);
    case TEGU_TOK_LE: return tegu_term_bool(a <= b);
    case TEGU_TOK_GT: return tegu_term_bool(a > b);
    default: return tegu_term_bool(a >= b);
    }
}

/* Equality of two terms that only know == and !=; false: not such terms. */
static bool equal_terms(const tegu_term *a, const tegu_term *b, bool *equal)
{
    if (a->kind == TEGU_TERM_NONE || b->kind == TEGU_TERM_NONE)
        *equal = a->kind == b->kind;
    else if (a->kind != b->kind)
        return false;
    else if (a->kind == TEGU_TERM_TEXT)
        *equal = strcmp(a->u.text, b->u.text) == 0;
    else if (a->kind == TEGU_TERM_DTYPE)
        *equal = a->u.dtype == b->u.dtype;
    else if (a->kind == TEGU_TERM_BOOL)
        *equal = a->u.truth == b->u.truth;
    else
        return false;
    return true;
}

tegu_term tegu_term_binary(tegu_elab *el, tegu_loc loc, tegu_token_kind op,
                           const tegu_term *a, const tegu_term *b)
{
    bool logic = op == TEGU_TOK_AND || op == TEGU_TOK_OR, equal;
    if (!logic && a->kind == TEGU_TERM_INTEGER && b->kind == TEGU_TERM_INTEGER)
        return integer_binary(el, loc, op, a->u.dim, b->u.dim);
    if (!logic && tegu_term_is_number(a) && tegu_term_is_number(b))
        return float_binary(el, loc, op, tegu_term_number(a),
                            tegu_term_number(b));
    if ((op == TEGU_TOK_EQ || op == TEGU_TOK_NE) && equal_terms(a, b, &equal))
        return tegu_term_bool(equal == (op == TEGU_TOK_EQ));
    if (logic && a->kind == TEGU_TERM_BOOL && b->kind == TEGU_TERM_BOOL)
        return tegu_term_bool(op == TEGU_TOK_AND ? a->u.truth && b->u.truth
                                                 : a->u.truth || b->u.truth);
    tegu_elab_error(el, loc, TEGU_E_CONSTANT, "%s does not take %s and %s",
                    tegu_token_text(op), tegu_term_describe(a),
                    tegu_term_describe(b));
    return tegu_term_error();
}

tegu_term tegu_term_negate(tegu_elab *el, tegu_loc loc, const tegu_term *a)
{
    tegu_term zero = tegu_term_integer(0);
    if (a->kind == TEGU_TERM_FLOAT)
        return tegu_term_float(-a->u.number);
    if (a->kind == TEGU_TERM_INTEGER)
        return tegu_term_binary(el, loc, TEGU_TOK_MINUS, &zero, a);
    tegu_elab_error(el, loc, TEGU_E_CONSTANT, "'-' does not take %s",
                    tegu_term_describe(a));
    return tegu_term_error();
}

/* Ops with a meaning for compile-time numbers, in doubles. */
static const struct {
    tegu_op op;
    double (*one)(double);
    double (*two)(double, double);
} applications[] = {
    {TEGU_OP_SQRT, sqrt, NULL},   {TEGU_OP_EXP, exp, NULL},
    {TEGU_OP_LOG, log, NULL},     {TEGU_OP_ABS, fabs, NULL},
    {TEGU_OP_FLOOR, floor, NULL}, {TEGU_OP_CEIL, ceil, NULL},
    {TEGU_OP_MAX, NULL, fmax},    {TEGU_OP_MIN, NULL, fmin},
    {TEGU_OP_POW, NULL, pow},
};

bool tegu_term_apply(tegu_op op, const tegu_term *args, uint32_t count,
                     tegu_term *result)
{
    for (uint32_t i = 0; i < count; i++)
        if (!tegu_term_is_number(&args[i]))
            return false;
    for (size_t i = 0; i < sizeof applications / sizeof *applications; i++) {
        if (applications[i].op != op)
            continue;
        double a = tegu_term_number(&args[0]);
        double value = applications[i].one
                           ? applications[i].one(a)
                           : applications[i].two(a, tegu_term_number(&args[1]));
        bool whole =
            (op == TEGU_OP_MAX || op == TEGU_OP_MIN || op == TEGU_OP_ABS) &&
            args[0].kind == TEGU_TERM_INTEGER &&
            args[count - 1].kind == TEGU_TERM_INTEGER && fabs(value) <= 0x1p53;
        *result =
            whole ? tegu_term_integer((int64_t)value) : tegu_term_float(value);
        return true;
    }
    return false;
}
