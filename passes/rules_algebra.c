/* SPDX-License-Identifier: Apache-2.0 */
/* rules_algebra.c - rewrite rules on arithmetic, logic, casts and selects.
 *
 * Requirements on rules: rules.h.  What keeps them exact is said at each rule
 * that needs a reason; the rest hold for every value by definition.
 */
#include "passes/rules.h"
#include <float.h>
#include <math.h>

#define X TEGU_P_ANY(0)
#define Y TEGU_P_ANY(1)
#define Z TEGU_P_ANY(2)
#define C1 TEGU_P_CONST(1)
#define C2 TEGU_P_CONST(2)
#define NUMBER TEGU_P_NUMBER
#define P TEGU_P
#define P_TRAIT TEGU_P_TRAIT

static tegu_dtype dtype_of(const tegu_match *m, tegu_value v)
{
    return tegu_graph_type(m->g, v)->dtype;
}

static bool is_float(const tegu_match *m)
{
    return m->node.type->dtype == TEGU_F32;
}

static bool is_int(tegu_dtype dtype)
{
    return dtype == TEGU_I32 || dtype == TEGU_I64;
}

static double number_of(const tegu_match *m, uint32_t slot)
{
    double number = 0;

    tegu_match_number(m->g, m->bound[slot], &number);
    return number;
}

/* 2^k, k in [-126, 126]: its reciprocal is a normal number as well. */
static bool is_power_of_two(double number)
{
    int exponent;

    return fabs(frexp(number, &exponent)) == 0.5 && exponent >= -125 &&
           exponent <= 127;
}

/* --- results that are an operand or a literal --- */

static tegu_value keep_x(const tegu_match *m)
{
    return tegu_match_shaped(m, m->bound[0]);
}

static tegu_value keep_y(const tegu_match *m)
{
    return tegu_match_shaped(m, m->bound[1]);
}

static tegu_value give_one(const tegu_match *m)
{
    return tegu_match_literal(m, 1);
}

static tegu_value give_zero(const tegu_match *m)
{
    return tegu_match_literal(m, 0);
}

static tegu_value give_zero_if_int(const tegu_match *m)
{
    return is_int(m->node.type->dtype) ? give_zero(m) : 0;
}

/* x + c = x for integers' 0 and floats' -0; +0 would turn -0 into +0. */
static tegu_value keep_x_plus_zero(const tegu_match *m)
{
    double c = number_of(m, 1);

    return c == 0 && (!is_float(m) || signbit(c)) ? keep_x(m) : 0;
}

/* x - c = x for integers' 0 and floats' +0. */
static tegu_value keep_x_minus_zero(const tegu_match *m)
{
    double c = number_of(m, 1);

    return c == 0 && !signbit(c) ? keep_x(m) : 0;
}

/* A comparison of a value with itself, which floats decide by NaN. */
static tegu_value compare_self(const tegu_match *m)
{
    if (dtype_of(m, m->bound[0]) == TEGU_F32)
        return 0;
    switch (m->node.op) {
    case TEGU_OP_EQ:
    case TEGU_OP_LE: return give_one(m);
    case TEGU_OP_NE:
    case TEGU_OP_LT: return give_zero(m);
    default: return 0;
    }
}

static tegu_value keep_inner(const tegu_match *m)
{
    tegu_value inner = m->node.inputs[0];
    bool same = tegu_graph_node(m->g, inner)->op == m->node.op;

    return same && m->node.input_count == 1 ? inner : 0;
}

static tegu_value keep_x_of_two(const tegu_match *m)
{
    return m->node.input_count == 2 ? keep_x(m) : 0;
}

/* --- other ops --- */

static tegu_value to_neg(const tegu_match *m)
{
    return tegu_match_shaped(m, tegu_match_unary(m, TEGU_OP_NEG, m->bound[0]));
}

static tegu_value to_abs(const tegu_match *m)
{
    return tegu_match_unary(m, TEGU_OP_ABS, m->bound[0]);
}

static tegu_value to_add(const tegu_match *m)
{
    return tegu_match_binary(m, TEGU_OP_ADD, m->bound[0], m->bound[1]);
}

static tegu_value to_sub(const tegu_match *m)
{
    return tegu_match_binary(m, TEGU_OP_SUB, m->bound[0], m->bound[1]);
}

static tegu_value to_mul(const tegu_match *m)
{
    return tegu_match_binary(m, TEGU_OP_MUL, m->bound[0], m->bound[1]);
}

static tegu_value to_div(const tegu_match *m)
{
    return tegu_match_binary(m, TEGU_OP_DIV, m->bound[0], m->bound[1]);
}

static tegu_value to_square(const tegu_match *m)
{
    return tegu_match_shaped(
        m, tegu_match_binary(m, TEGU_OP_MUL, m->bound[0], m->bound[0]));
}

static tegu_value to_reciprocal(const tegu_match *m)
{
    tegu_value one = tegu_build_scalar(m->g, m->node.loc, TEGU_F32, 1);

    return tegu_match_shaped(
        m, tegu_match_binary(m, TEGU_OP_DIV, one, m->bound[0]));
}

static tegu_value to_rsqrt(const tegu_match *m)
{
    return tegu_match_shaped(m,
                             tegu_match_unary(m, TEGU_OP_RSQRT, m->bound[0]));
}

static tegu_value to_ne(const tegu_match *m)
{
    return tegu_match_binary(m, TEGU_OP_NE, m->bound[0], m->bound[1]);
}

static tegu_value to_eq(const tegu_match *m)
{
    return tegu_match_binary(m, TEGU_OP_EQ, m->bound[0], m->bound[1]);
}

/* x op c with a new scalar c, in the node's shape. */
static tegu_value with_number(const tegu_match *m, tegu_op op, double number)
{
    tegu_value c =
        tegu_build_scalar(m->g, m->node.loc, m->node.type->dtype, number);

    return tegu_match_shaped(m, tegu_match_binary(m, op, m->bound[0], c));
}

/* Both sides round the same exact quotient once. */
static tegu_value div_to_mul(const tegu_match *m)
{
    double c = number_of(m, 1);

    if (!is_float(m) || !is_power_of_two(c))
        return 0;
    return with_number(m, TEGU_OP_MUL, 1 / c);
}

static tegu_value mul_by_minus(const tegu_match *m)
{
    return is_float(m) ? with_number(m, TEGU_OP_MUL, -number_of(m, 1)) : 0;
}

static tegu_value commute(const tegu_match *m)
{
    double number;

    if (m->node.input_count != 2 ||
        tegu_match_number(m->g, m->node.inputs[1], &number))
        return 0;
    return tegu_match_binary(m, m->node.op, m->node.inputs[1],
                             m->node.inputs[0]);
}

/* (x op a) op b = x op (a op b): always for max, min, and, or; for integers,
 * which wrap, while the literal is representable; for float products by powers
 * of two of at least 1, where no step but the last can round or overflow. */
static bool combine(const tegu_match *m, double a, double b, double *c)
{
    double limit = m->node.type->dtype == TEGU_I32 ? 0x1p31 - 1 : 0x1p53;

    switch (m->node.op) {
    case TEGU_OP_MAX: *c = isnan(a) || a > b ? a : b; return true;
    case TEGU_OP_MIN: *c = isnan(a) || a < b ? a : b; return true;
    case TEGU_OP_AND: *c = a != 0 && b != 0; return true;
    case TEGU_OP_OR: *c = a != 0 || b != 0; return true;
    case TEGU_OP_ADD: *c = a + b; return !is_float(m) && fabs(*c) <= limit;
    case TEGU_OP_MUL:
        *c = a * b;
        if (!is_float(m))
            return fabs(*c) <= limit;
        return is_power_of_two(a) && is_power_of_two(b) && a >= 1 && b >= 1 &&
               *c <= FLT_MAX;
    default: return false;
    }
}

static tegu_value reassociate(const tegu_match *m)
{
    const tegu_node *inner = tegu_graph_node(m->g, m->node.inputs[0]);
    double c;

    if (inner->op != m->node.op ||
        !combine(m, number_of(m, 1), number_of(m, 2), &c))
        return 0;
    return with_number(m, m->node.op, c);
}

/* --- select and cast --- */

static tegu_value select_constant(const tegu_match *m)
{
    double c = 0;

    tegu_match_number(m->g, m->node.inputs[0], &c);
    return tegu_match_shaped(m, m->node.inputs[c != 0 ? 1 : 2]);
}

static tegu_value select_swapped(const tegu_match *m)
{
    tegu_value inputs[] = {m->bound[0], m->bound[2], m->bound[1]};

    return tegu_match_build(m, TEGU_OP_SELECT, 3, inputs, 0, NULL, NULL);
}

static tegu_value cast_same(const tegu_match *m)
{
    return dtype_of(m, m->bound[0]) == m->node.type->dtype ? m->bound[0] : 0;
}

/* i32 -> i64 -> t: the middle step changes no value. */
static tegu_value cast_widened(const tegu_match *m)
{
    if (dtype_of(m, m->bound[0]) != TEGU_I32 ||
        dtype_of(m, m->node.inputs[0]) != TEGU_I64)
        return 0;
    return tegu_match_build(m, TEGU_OP_CAST, 1, &m->bound[0], 1, m->node.attrs,
                            NULL);
}

/* clang-format off */
static const tegu_rule rules[] = {
    {"commute-constants", P_TRAIT(COMMUTES, TEGU_P_CONST(0), Y), commute},
    {"reassociate",       P_TRAIT(ASSOCIATES, P_TRAIT(ASSOCIATES, X, C1), C2),
                          reassociate},
    {"add-zero",          P(ADD, X, C1), keep_x_plus_zero},
    {"add-neg",           P(ADD, X, P(NEG, Y)), to_sub},
    {"neg-add",           P(ADD, P(NEG, Y), X), to_sub},
    {"sub-zero",          P(SUB, X, C1), keep_x_minus_zero},
    {"sub-neg",           P(SUB, X, P(NEG, Y)), to_add},
    {"sub-self",          P(SUB, X, X), give_zero_if_int},
    {"mul-one",           P(MUL, X, NUMBER(1)), keep_x},
    {"mul-zero",          P(MUL, X, NUMBER(0)), give_zero_if_int},
    {"mul-minus-one",     P(MUL, X, NUMBER(-1)), to_neg},
    {"mul-neg-neg",       P(MUL, P(NEG, X), P(NEG, Y)), to_mul},
    {"mul-neg-constant",  P(MUL, P(NEG, X), C1), mul_by_minus},
    {"neg-mul-constant",  P(NEG, P(MUL, X, C1)), mul_by_minus},
    {"neg-neg",           P(NEG, P(NEG, X)), keep_x},
    {"abs-neg",           P(ABS, P(NEG, X)), to_abs},
    {"div-one",           P(DIV, X, NUMBER(1)), keep_x},
    {"div-power-of-two",  P(DIV, X, C1), div_to_mul},
    {"div-neg-neg",       P(DIV, P(NEG, X), P(NEG, Y)), to_div},
    {"div-sqrt",          P(DIV, NUMBER(1), P(SQRT, X)), to_rsqrt},
    {"pow-zero",          P(POW, X, NUMBER(0)), give_one},
    {"pow-one",           P(POW, X, NUMBER(1)), keep_x},
    {"pow-two",           P(POW, X, NUMBER(2)), to_square},
    {"pow-reciprocal",    P(POW, X, NUMBER(-1)), to_reciprocal},
    {"max-lowest",        P(MAX, X, NUMBER(-INFINITY)), keep_x},
    {"min-highest",       P(MIN, X, NUMBER(INFINITY)), keep_x},
    {"unary-idempotent",  P_TRAIT(IDEMPOTENT, P_TRAIT(IDEMPOTENT, X)),
                          keep_inner},
    {"binary-idempotent", P_TRAIT(IDEMPOTENT, X, X), keep_x_of_two},
    {"not-not",           P(NOT, P(NOT, X)), keep_x},
    {"not-equal",         P(NOT, P(EQ, X, Y)), to_ne},
    {"not-unequal",       P(NOT, P(NE, X, Y)), to_eq},
    {"and-true",          P(AND, X, NUMBER(1)), keep_x},
    {"and-false",         P(AND, X, NUMBER(0)), give_zero},
    {"or-true",           P(OR, X, NUMBER(1)), give_one},
    {"or-false",          P(OR, X, NUMBER(0)), keep_x},
    {"compare-self",      P_TRAIT(BOOLEAN, X, X), compare_self},
    {"select-same",       P(SELECT, X, Y, Y), keep_y},
    {"select-constant",   P(SELECT, TEGU_P_CONST(0), Y, Z), select_constant},
    {"select-not",        P(SELECT, P(NOT, X), Y, Z), select_swapped},
    {"cast-same",         P(CAST, X), cast_same},
    {"cast-widened",      P(CAST, P(CAST, X)), cast_widened},
};
/* clang-format on */

tegu_rule_table tegu_rules_algebra(void)
{
    return (tegu_rule_table){rules, sizeof rules / sizeof rules[0]};
}
