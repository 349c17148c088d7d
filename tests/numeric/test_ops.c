/* SPDX-License-Identifier: Apache-2.0 */
/* test_ops.c - every op at its edges: zeros, infinities, NaN, denormals, wrap,
 * saturation, rank 0, empty axes, extents of 1.
 *
 * Each row runs through each backend: the interpreter, and native code where
 * it is built in (native.h).
 */
#include "tests/numeric/native.h"
#include "tests/numeric/numeric.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define INF INFINITY
#define DEN 0x1p-149
#define MAX (double)FLT_MAX
#define IMIN (-0x1p31)
#define IMAX (0x1p31 - 1)
#define LMIN (-0x1p63)

enum { MOST = 8 };

/* How a result may differ. */
typedef enum closeness {
    BITWISE, /* signs of zeros count */
    EQUAL,   /* either zero */
    CLOSE    /* 4 ulp, or the least denormal */
} closeness;

/* One op on vectors of n elements. */
typedef struct row {
    tegu_op op;
    tegu_dtype from, to;
    closeness close;
    int n;
    double in[3][MOST];
    double want[MOST];
} row;

/* clang-format off */
#define F TEGU_F32
#define I TEGU_I32
#define L TEGU_I64
#define B TEGU_BOOL
static const row rows[] = {
    {TEGU_OP_NEG, F, F, BITWISE, 7, {{0, -0.0, 1, INF, -INF, NAN, DEN}},
        {-0.0, 0, -1, -INF, INF, NAN, -DEN}},
    {TEGU_OP_NEG, I, I, BITWISE, 4, {{0, 5, -5, IMIN}}, {0, -5, 5, IMIN}},
    {TEGU_OP_NEG, L, L, BITWISE, 4, {{0, 5, -0x1p40, LMIN}},
        {0, -5, 0x1p40, LMIN}},
    {TEGU_OP_ABS, F, F, BITWISE, 6, {{-0.0, -3, INF, -INF, NAN, -DEN}},
        {0, 3, INF, INF, NAN, DEN}},
    {TEGU_OP_ABS, I, I, BITWISE, 3, {{-7, 7, IMIN}}, {7, 7, IMIN}},
    {TEGU_OP_ABS, L, L, BITWISE, 3, {{-0x1p40, 7, LMIN}}, {0x1p40, 7, LMIN}},
    {TEGU_OP_SIGN, F, F, EQUAL, 8, {{0, -0.0, 3, -2, INF, -INF, NAN, -DEN}},
        {0, 0, 1, -1, 1, -1, NAN, -1}},
    {TEGU_OP_SIGN, I, I, BITWISE, 4, {{0, 9, -9, IMIN}}, {0, 1, -1, -1}},
    {TEGU_OP_SIGN, L, L, BITWISE, 3, {{0, 0x1p50, LMIN}}, {0, 1, -1}},
    {TEGU_OP_FLOOR, F, F, BITWISE, 8,
        {{-0.5, 0.5, -0.0, 2.5, -2.5, INF, NAN, 0x1p30}},
        {-1, 0, -0.0, 2, -3, INF, NAN, 0x1p30}},
    {TEGU_OP_CEIL, F, F, BITWISE, 8,
        {{-0.5, 0.5, -0.0, 2.5, -2.5, -INF, NAN, DEN}},
        {-0.0, 1, -0.0, 3, -2, -INF, NAN, 1}},
    {TEGU_OP_ROUND, F, F, BITWISE, 8,
        {{0.5, 1.5, 2.5, -0.5, -1.5, 8388609, INF, NAN}},
        {0, 2, 2, -0.0, -2, 8388609, INF, NAN}},
    {TEGU_OP_EXP, F, F, CLOSE, 8, {{0, 1, 89, -104, -103, INF, -INF, NAN}},
        {1, 2.718281828459045, INF, 0, 0x1p-149, INF, 0, NAN}},
    {TEGU_OP_LOG, F, F, CLOSE, 8, {{1, 0, -0.0, -1, INF, NAN, 10, DEN}},
        {0, -INF, -INF, NAN, INF, NAN, 2.302585092994046,
         -103.27892990343185}},
    {TEGU_OP_SQRT, F, F, BITWISE, 8, {{4, 0, -0.0, -1, INF, NAN, 2, DEN}},
        {2, 0, -0.0, NAN, INF, NAN, 0x1.6a09e6p+0, 0x1.6a09e6p-75}},
    {TEGU_OP_RSQRT, F, F, CLOSE, 6, {{4, 0, -1, INF, NAN, DEN}},
        {0.5, INF, NAN, 0, NAN, 0x1.6a09e6p+74}},
    {TEGU_OP_TANH, F, F, CLOSE, 8, {{0, -0.0, INF, -INF, NAN, 20, 1e-30, 0.5}},
        {0, -0.0, 1, -1, NAN, 1, 1e-30, 0.46211715726000973}},
    {TEGU_OP_ERF, F, F, CLOSE, 8, {{0, -0.0, INF, -INF, NAN, 9, 1e-30, 0.5}},
        {0, -0.0, 1, -1, NAN, 1, 1.1283791670955126e-30,
         0.5204998778130465}},
    {TEGU_OP_SIN, F, F, CLOSE, 6, {{0, INF, NAN, 1, -0.0, 1e-30}},
        {0, NAN, NAN, 0.8414709848078965, -0.0, 1e-30}},
    {TEGU_OP_COS, F, F, CLOSE, 5, {{0, -INF, NAN, 1, -1}},
        {1, NAN, NAN, 0.5403023058681398, 0.5403023058681398}},
    {TEGU_OP_SIGMOID, F, F, CLOSE, 6, {{0, INF, -INF, NAN, 100, -80}},
        {0.5, 1, 0, NAN, 1, 1.8048513878454153e-35}},
    {TEGU_OP_NOT, B, B, BITWISE, 2, {{0, 1}}, {1, 0}},

    {TEGU_OP_ADD, F, F, BITWISE, 6,
        {{INF, 0, -0.0, MAX, DEN, 1}, {-INF, -0.0, -0.0, MAX, DEN, 0x1p-25}},
        {NAN, 0, -0.0, INF, 0x1p-148, 1}},
    {TEGU_OP_ADD, I, I, BITWISE, 3, {{IMAX, IMIN, 3}, {1, -1, 4}},
        {IMIN, IMAX, 7}},
    {TEGU_OP_ADD, L, L, BITWISE, 2, {{0x1p62, LMIN}, {0x1p62, LMIN}},
        {LMIN, 0}},
    {TEGU_OP_SUB, F, F, BITWISE, 5,
        {{INF, 0, 0x1p-126, 1, NAN}, {INF, 0, 0x1p-149, 0x1p-25, 1}},
        {NAN, 0, 0x1.fffffcp-127, 1, NAN}},
    {TEGU_OP_SUB, I, I, BITWISE, 2, {{IMIN, 3}, {1, 5}}, {IMAX, -2}},
    {TEGU_OP_SUB, L, L, BITWISE, 2, {{LMIN, 3}, {LMIN, 5}}, {0, -2}},
    {TEGU_OP_MUL, F, F, BITWISE, 6,
        {{0, 1e20, DEN, -1, -0.0, 0x1p-75}, {INF, 1e20, 0.5, 0, 3, 0x1p-74}},
        {NAN, INF, 0, -0.0, -0.0, DEN}},
    {TEGU_OP_MUL, I, I, BITWISE, 3, {{65536, IMIN, -3}, {65536, -1, 5}},
        {0, IMIN, -15}},
    {TEGU_OP_MUL, L, L, BITWISE, 2, {{0x1p40, LMIN}, {0x1p40, -1}}, {0, LMIN}},
    {TEGU_OP_DIV, F, F, BITWISE, 7,
        {{1, -1, 0, 1, INF, 1, 0x1p-149}, {0, 0, 0, INF, INF, 3, 2}},
        {INF, -INF, NAN, 0, NAN, 0x1.555556p-2, 0}},
    {TEGU_OP_DIV, I, I, BITWISE, 6,
        {{7, -7, 5, IMIN, 0, IMIN}, {-2, 2, 0, -1, 3, 0}},
        {-3, -3, 0, IMIN, 0, 0}},
    {TEGU_OP_DIV, L, L, BITWISE, 4,
        {{-7, LMIN, 9, 0x1p40}, {2, -1, 0, 0x1p20}}, {-3, LMIN, 0, 0x1p20}},
    {TEGU_OP_MOD, F, F, EQUAL, 8,
        {{5.5, -5.5, 5.5, 1, INF, 1, 0, NAN}, {2, 2, -2, 0, 1, INF, 1, 1}},
        {1.5, -1.5, 1.5, NAN, NAN, 1, 0, NAN}},
    {TEGU_OP_MOD, I, I, BITWISE, 5,
        {{7, -7, 7, 5, IMIN}, {2, 2, -2, 0, -1}}, {1, -1, 1, 0, 0}},
    {TEGU_OP_MOD, L, L, BITWISE, 4,
        {{-7, 7, 5, LMIN}, {2, -2, 0, -1}}, {-1, 1, 0, 0}},
    {TEGU_OP_POW, F, F, CLOSE, 8,
        {{0, -1, 2, -2, 0, 4, INF, 10}, {0, 0.5, 3, 3, -1, 0.5, -1, 38}},
        {1, NAN, 8, -8, INF, 2, 0, 1e38}},
    {TEGU_OP_POW, F, F, CLOSE, 4,
        {{NAN, 1, -0.0, 0.5}, {0, NAN, -3, INF}}, {1, 1, -INF, 0}},
    {TEGU_OP_MAX, F, F, EQUAL, 6,
        {{1, NAN, 1, INF, -INF, 0}, {2, 1, NAN, -INF, -INF, -0.0}},
        {2, NAN, NAN, INF, -INF, 0}},
    {TEGU_OP_MAX, I, I, BITWISE, 2, {{IMIN, 4}, {IMAX, -4}}, {IMAX, 4}},
    {TEGU_OP_MAX, L, L, BITWISE, 2, {{LMIN, 0x1p40}, {0, 1}}, {0, 0x1p40}},
    {TEGU_OP_MIN, F, F, EQUAL, 6,
        {{1, NAN, 1, INF, INF, 0}, {2, 1, NAN, -INF, INF, -0.0}},
        {1, NAN, NAN, -INF, INF, 0}},
    {TEGU_OP_MIN, I, I, BITWISE, 2, {{IMIN, 4}, {IMAX, -4}}, {IMIN, -4}},
    {TEGU_OP_MIN, L, L, BITWISE, 2, {{LMIN, 0x1p40}, {0, 1}}, {LMIN, 1}},

    {TEGU_OP_EQ, F, B, BITWISE, 5,
        {{1, NAN, 0, INF, DEN}, {1, NAN, -0.0, INF, 0}}, {1, 0, 1, 1, 0}},
    {TEGU_OP_EQ, I, B, BITWISE, 2, {{3, IMIN}, {3, IMAX}}, {1, 0}},
    {TEGU_OP_EQ, L, B, BITWISE, 2, {{3, 0x1p40}, {3, 0}}, {1, 0}},
    {TEGU_OP_EQ, B, B, BITWISE, 4, {{0, 0, 1, 1}, {0, 1, 0, 1}}, {1, 0, 0, 1}},
    {TEGU_OP_NE, F, B, BITWISE, 4,
        {{1, NAN, 0, 2}, {1, NAN, -0.0, 3}}, {0, 1, 0, 1}},
    {TEGU_OP_NE, I, B, BITWISE, 2, {{3, IMIN}, {3, IMAX}}, {0, 1}},
    {TEGU_OP_NE, L, B, BITWISE, 2, {{3, 0x1p40}, {3, 0}}, {0, 1}},
    {TEGU_OP_NE, B, B, BITWISE, 4, {{0, 0, 1, 1}, {0, 1, 0, 1}}, {0, 1, 1, 0}},
    {TEGU_OP_LT, F, B, BITWISE, 6,
        {{1, 2, NAN, 1, -0.0, -INF}, {2, 1, 1, NAN, 0, INF}},
        {1, 0, 0, 0, 0, 1}},
    {TEGU_OP_LT, I, B, BITWISE, 3, {{IMIN, 3, 4}, {IMAX, 3, 3}}, {1, 0, 0}},
    {TEGU_OP_LT, L, B, BITWISE, 2, {{LMIN, 3}, {0, 3}}, {1, 0}},
    {TEGU_OP_LT, B, B, BITWISE, 4, {{0, 0, 1, 1}, {0, 1, 0, 1}}, {0, 1, 0, 0}},
    {TEGU_OP_LE, F, B, BITWISE, 6,
        {{1, 2, NAN, 1, -0.0, -INF}, {2, 1, 1, NAN, 0, INF}},
        {1, 0, 0, 0, 1, 1}},
    {TEGU_OP_LE, I, B, BITWISE, 3, {{IMIN, 3, 4}, {IMAX, 3, 3}}, {1, 1, 0}},
    {TEGU_OP_LE, L, B, BITWISE, 2, {{LMIN, 3}, {0, 3}}, {1, 1}},
    {TEGU_OP_LE, B, B, BITWISE, 4, {{0, 0, 1, 1}, {0, 1, 0, 1}}, {1, 1, 0, 1}},
    {TEGU_OP_AND, B, B, BITWISE, 4, {{0, 0, 1, 1}, {0, 1, 0, 1}}, {0, 0, 0, 1}},
    {TEGU_OP_OR, B, B, BITWISE, 4, {{0, 0, 1, 1}, {0, 1, 0, 1}}, {0, 1, 1, 1}},
    {TEGU_OP_ADD_IF, F, F, BITWISE, 6,
        {{1, 1, -0.0, 2, 3, NAN}, {2, NAN, INF, -1, 4, 1},
         {1, 0, -0.0, DEN, NAN, 0}},
        {3, 1, -0.0, 1, 7, NAN}},
    {TEGU_OP_SELECT, F, F, BITWISE, 4,
        {{1, 0, 1, 0}, {NAN, NAN, -0.0, 1}, {1, 2, 3, INF}},
        {NAN, 2, -0.0, INF}},
    {TEGU_OP_SELECT, I, I, BITWISE, 2, {{1, 0}, {IMIN, 1}, {2, IMAX}},
        {IMIN, IMAX}},
    {TEGU_OP_SELECT, L, L, BITWISE, 2, {{1, 0}, {LMIN, 1}, {2, 3}}, {LMIN, 3}},
    {TEGU_OP_SELECT, B, B, BITWISE, 2, {{1, 0}, {1, 1}, {0, 0}}, {1, 0}},

    {TEGU_OP_CAST, F, I, BITWISE, 8,
        {{1.9, -1.9, 3e9, -3e9, NAN, INF, -INF, 2147483520}},
        {1, -1, IMAX, IMIN, 0, IMAX, IMIN, 2147483520}},
    {TEGU_OP_CAST, F, L, BITWISE, 6, {{-2.5, 1e19, -1e19, NAN, INF, 0x1p40}},
        {-2, 0x1p63, LMIN, 0, 0x1p63, 0x1p40}},
    {TEGU_OP_CAST, F, B, BITWISE, 5, {{0, -0.0, 0.5, NAN, DEN}},
        {0, 0, 1, 1, 1}},
    {TEGU_OP_CAST, F, F, BITWISE, 3, {{-0.0, NAN, DEN}}, {-0.0, NAN, DEN}},
    {TEGU_OP_CAST, I, F, BITWISE, 4, {{16777217, IMAX, IMIN, -3}},
        {16777216, 0x1p31, IMIN, -3}},
    {TEGU_OP_CAST, I, L, BITWISE, 3, {{IMAX, IMIN, -3}}, {IMAX, IMIN, -3}},
    {TEGU_OP_CAST, I, I, BITWISE, 2, {{IMAX, IMIN}}, {IMAX, IMIN}},
    {TEGU_OP_CAST, I, B, BITWISE, 3, {{0, -1, 256}}, {0, 1, 1}},
    {TEGU_OP_CAST, L, I, BITWISE, 4, {{0x1p32 + 5, 0x1p31, -1, LMIN}},
        {5, IMIN, -1, 0}},
    {TEGU_OP_CAST, L, F, BITWISE, 3, {{0x1p40 + 1, LMIN, -3}},
        {0x1p40, LMIN, -3}},
    {TEGU_OP_CAST, L, L, BITWISE, 1, {{LMIN}}, {LMIN}},
    {TEGU_OP_CAST, L, B, BITWISE, 3, {{0, 0x1p40, -1}}, {0, 1, 1}},
    {TEGU_OP_CAST, B, F, BITWISE, 2, {{0, 1}}, {0, 1}},
    {TEGU_OP_CAST, B, I, BITWISE, 2, {{0, 1}}, {0, 1}},
    {TEGU_OP_CAST, B, L, BITWISE, 2, {{0, 1}}, {0, 1}},
    {TEGU_OP_CAST, B, B, BITWISE, 2, {{0, 1}}, {0, 1}},
};
#undef F
#undef I
#undef L
#undef B
/* clang-format on */

/* Whole programs without inputs: what the result "r" must be. */
static const struct {
    const char *program;
    int n;
    double want[12];
} programs[] = {
/* clang-format off */
#define P(lines) "unit m\nentry f core {\n" lines "}\n"
#define R(v) "return \"r\" %" #v "\n"
    /* rank 0 */
    {P("%1 = const 2 : f32[]\n%2 = mul %1, %1 : f32[]\n" R(2)), 1, {4}},
    {P("%1 = const 2 : f32[]\n%2 = reshape %1 : f32[1, 1]\n"
       "%3 = reduce.sum %2 {axes=[0, 1]} : f32[]\n" R(3)), 1, {2}},
    {P("%1 = const [2, 3] : f32[2]\n"
       "%2 = contract %1, %1 {a=[0], b=[0]} : f32[]\n" R(2)), 1, {13}},
    {P("%1 = const 3 : f32[]\n%2 = broadcast %1 : f32[2, 2]\n" R(2)), 4,
        {3, 3, 3, 3}},
    {P("%1 = const 3 : f32[]\n%2 = transpose %1 {perm=[]} : f32[]\n" R(2)), 1,
        {3}},
    {P("%1 = const [5, 6] : i32[2]\n%2 = const 1 : i32[]\n"
       "%3 = gather %1, %2 : i32[]\n" R(3)), 1, {6}},
    /* empty axes */
    {P("%1 = const [] : f32[0, 3]\n%2 = neg %1 : f32[0, 3]\n" R(2)), 0, {0}},
    {P("%1 = const [] : f32[0, 3]\n%2 = const [1, 2, 3] : f32[3]\n"
       "%3 = add %1, %2 : f32[0, 3]\n" R(3)), 0, {0}},
    {P("%1 = const [] : f32[0]\n%2 = const [1] : f32[1]\n"
       "%3 = add %1, %2 : f32[0]\n" R(3)), 0, {0}},
    {P("%1 = const [] : f32[2, 0]\n"
       "%2 = reduce.sum %1 {axes=[1]} : f32[2]\n" R(2)), 2, {0, 0}},
    {P("%1 = const [] : f32[2, 0]\n"
       "%2 = reduce.max %1 {axes=[1]} : f32[2]\n" R(2)), 2, {-INF, -INF}},
    {P("%1 = const [] : f32[0, 2]\n"
       "%2 = reduce.min %1 {axes=[0]} : f32[2]\n" R(2)), 2, {INF, INF}},
    {P("%1 = const [] : i32[0]\n"
       "%2 = reduce.max %1 {axes=[0]} : i32[]\n" R(2)), 1, {IMIN}},
    {P("%1 = const [] : i32[0]\n"
       "%2 = reduce.min %1 {axes=[0]} : i32[]\n" R(2)), 1, {IMAX}},
    {P("%1 = const [] : i64[0]\n"
       "%2 = reduce.max %1 {axes=[0]} : i64[]\n" R(2)), 1, {LMIN}},
    {P("%1 = const [] : f32[2, 0]\n%2 = const [] : f32[0, 3]\n"
       "%3 = contract %1, %2 {a=[1], b=[0]} : f32[2, 3]\n" R(3)), 6,
        {0, 0, 0, 0, 0, 0}},
    {P("%1 = const [] : f32[0, 2]\n%2 = const [1, 2] : f32[1, 2]\n"
       "%3 = concat %1, %2, %1 {axis=0} : f32[1, 2]\n" R(3)), 2, {1, 2}},
    {P("%1 = const [] : f32[0]\n"
       "%2 = pad %1 {low=[1], high=[2], value=9} : f32[3]\n" R(2)), 3,
        {9, 9, 9}},
    {P("%1 = const [1, 2] : f32[2]\n"
       "%2 = slice %1 {start=[1], step=[1]} : f32[0]\n" R(2)), 0, {0}},
    {P("%1 = const [1, 2] : f32[2]\n%2 = const [] : i32[0]\n"
       "%3 = gather %1, %2 : f32[0]\n" R(3)), 0, {0}},
    {P("%1 = const [] : f32[3, 0]\n"
       "%2 = transpose %1 {perm=[1, 0]} : f32[0, 3]\n" R(2)), 0, {0}},
    {P("%1 = const [] : f32[3, 0]\n%2 = reshape %1 : f32[0, 7]\n" R(2)), 0,
        {0}},
    /* reductions */
    {P("%1 = const [1, nan, 5] : f32[3]\n"
       "%2 = reduce.max %1 {axes=[0]} : f32[]\n" R(2)), 1, {NAN}},
    {P("%1 = const [nan, 1, 5] : f32[3]\n"
       "%2 = reduce.min %1 {axes=[0]} : f32[]\n" R(2)), 1, {NAN}},
    {P("%1 = const [inf, -inf] : f32[2]\n"
       "%2 = reduce.sum %1 {axes=[0]} : f32[]\n" R(2)), 1, {NAN}},
    {P("%1 = const [2147483647, 1] : i32[2]\n"
       "%2 = reduce.sum %1 {axes=[0]} : i32[]\n" R(2)), 1, {IMIN}},
    {P("%1 = const [1, 2, 3, 4, 5, 6] : i64[1, 2, 3]\n"
       "%2 = reduce.sum %1 {axes=[0, 2], keep=true} : i64[1, 2, 1]\n" R(2)), 2,
        {6, 15}},
    {P("%1 = const [1, 2, 3, 4, 5, 6] : f32[3, 2]\n"
       "%2 = reduce.max %1 {axes=[0]} : f32[2]\n" R(2)), 2, {5, 6}},
    {P("%1 = const [1, 3, 3, nan, 5, nan, -inf, -inf, -inf] : f32[3, 3]\n"
       "%2 = argmax %1 {axis=1} : i32[3]\n" R(2)), 3, {1, 0, 0}},
    {P("%1 = const [4, 9, 9, -1] : i64[4]\n"
       "%2 = argmax %1 {axis=0} : i32[]\n" R(2)), 1, {1}},
    /* contraction: outer product, batch, several axes */
    {P("%1 = const [1, 2] : f32[2]\n%2 = const [3, 4, 5] : f32[3]\n"
       "%3 = contract %1, %2 {a=[], b=[]} : f32[2, 3]\n" R(3)), 6,
        {3, 4, 5, 6, 8, 10}},
    {P("%1 = const [1, 2, 3, 4] : f32[2, 2]\n"
       "%2 = contract %1, %1 {a=[1], b=[1], batch_a=[0], batch_b=[0]}"
       " : f32[2]\n" R(2)), 2, {5, 25}},
    {P("%1 = const [1, 2, 3, 4] : f32[2, 2]\n"
       "%2 = contract %1, %1 {a=[0, 1], b=[1, 0]} : f32[]\n" R(2)), 1, {29}},
    {P("%1 = const [inf, 1] : f32[2]\n%2 = const [0, 1] : f32[2]\n"
       "%3 = contract %1, %2 {a=[0], b=[0]} : f32[]\n" R(3)), 1, {NAN}},
    /* movement */
    {P("%1 = const [1, 2, 3, 4, 5, 6] : i32[2, 3]\n"
       "%2 = slice %1 {start=[-1, -1], step=[-1, -2]} : i32[2, 2]\n" R(2)), 4,
        {6, 4, 3, 1}},
    {P("%1 = const [1, 2, 3, 4, 5, 6] : f32[1, 2, 3]\n"
       "%2 = transpose %1 {perm=[2, 0, 1]} : f32[3, 1, 2]\n" R(2)), 6,
        {1, 4, 2, 5, 3, 6}},
    {P("%1 = const [true, false] : bool[2]\n"
       "%2 = pad %1 {low=[1], high=[1], value=1} : bool[4]\n" R(2)), 4,
        {1, 1, 0, 1}},
    {P("%1 = const [1, 2] : i64[2, 1]\n%2 = const [3, 4] : i64[2, 1]\n"
       "%3 = concat %1, %2, %1 {axis=1} : i64[2, 3]\n" R(3)), 6,
        {1, 3, 1, 2, 4, 2}},
    {P("%1 = const [1, 2] : f32[2, 1]\n%2 = broadcast %1 : f32[2, 2, 2]\n"
       R(2)), 8, {1, 1, 2, 2, 1, 1, 2, 2}},
    /* indices */
    {P("%1 = const [1, 2, 3, 4, 5, 6] : f32[3, 2]\n"
       "%2 = const [-5, 1, 100] : i32[3]\n"
       "%3 = gather %1, %2 : f32[3, 2]\n" R(3)), 6, {1, 2, 3, 4, 5, 6}},
    {P("%1 = const [false, true] : bool[2]\n" "%2 = const [9223372036854775807]"
       " : i64[1]\n%3 = gather %1, %2 : bool[1]\n" R(3)), 1, {1}},
    {P("%1 = iota {axis=1} : f32[2, 3]\n" R(1)), 6, {0, 1, 2, 0, 1, 2}},
    {P("%1 = iota {axis=0} : i64[2, 2]\n" R(1)), 4, {0, 0, 1, 1}},
    {P("%1 = position : i32[]\n" R(1)), 1, {0}},
    {P("%1 = const [1, 2, 3] : f32[1, 3]\n%2 = size %1 {axis=1} : i32[]\n"
       R(2)), 1, {3}},
    {"unit m\nadapter off 0\nadapter tone -0.5\nentry f core {\n"
     "%1 = adapter_scale {name=\"tone\"} : f32[]\n"
     "%2 = adapter_scale {name=\"off\"} : f32[]\n"
     "%3 = const [1, 2] : f32[2]\n"
     "%4 = add_if %3, %3, %2 : f32[2]\n%5 = mul %4, %1 : f32[2]\n" R(5) "}\n",
     2, {-0.5, -1}},
    {"unit m\nstate \"s\" append : f32[3, 2]\nentry f core {\n"
     "%1 = state {name=\"s\"} : f32[3, 2]\n%2 = const [1, 2] : f32[1, 2]\n"
     "%3 = append %1, %2 : f32[3, 2]\n" R(3) "update \"s\" %3\n}\n", 6,
        {1, 2, 0, 0, 0, 0}},
#undef P
#undef R
    /* clang-format on */
};

/* --- running --- */

static bool close_enough(double got, double want, closeness close)
{
    if (isnan(want))
        return isnan(got);
    if (got == want)
        return close != BITWISE || want != 0 || signbit(got) == signbit(want);
    if (close != CLOSE || isinf(want) || isinf(got))
        return false;
    return fabs(got - want) <= fabs(want) * 0x1p-21 + DEN;
}

static void call(numeric_model *model, numeric_backend backend,
                 tegu_tensor *out, const char *what)
{
    const tegu_entry *entry = numeric_entry(model);
    tegu_entry_output(model->unit, entry, 0, model->symbols, out);
    numeric_allocate(model->arena, out);
    tegu_executor *executor = backend(model);
    if (!executor || !executor->call(executor->self, entry->name, model->inputs,
                                     entry->arguments.count, out, 1)) {
        numeric_dump(model, what);
        fail_msg("%s failed", what);
    }
    executor->destroy(executor->self);
}

/* The row repeated to a length that has whole vectors and a rest. */
enum { LENGTH = 43 };

static numeric_model row_model(const row *r)
{
    static const char names[] = "abc";
    char text[600];
    const tegu_op_info *info = tegu_op_get(r->op);
    int at = snprintf(text, sizeof text, "unit m\nentry f core {\n");
    for (int k = 0; k < info->min; k++) {
        bool condition = r->op == TEGU_OP_SELECT && k == 0;
        at +=
            snprintf(text + at, sizeof text - (size_t)at,
                     "%%%d = input {name=\"%c\"} : %s[%d]\n", k + 1, names[k],
                     tegu_dtype_text(condition ? TEGU_BOOL : r->from), LENGTH);
    }
    at += snprintf(text + at, sizeof text - (size_t)at, "%%%d = %s",
                   info->min + 1, info->text);
    for (int k = 0; k < info->min; k++)
        at += snprintf(text + at, sizeof text - (size_t)at, "%s%%%d",
                       k ? ", " : " ", k + 1);
    if (r->op == TEGU_OP_CAST)
        at += snprintf(text + at, sizeof text - (size_t)at, " {dtype=%s}",
                       tegu_dtype_text(r->to));
    snprintf(text + at, sizeof text - (size_t)at,
             " : %s[%d]\nreturn \"r\" %%%d\n}\n", tegu_dtype_text(r->to),
             LENGTH, info->min + 1);
    return numeric_parse(text);
}

static void run_row(const row *r, numeric_backend backend)
{
    numeric_model model = row_model(r);
    const char *name = tegu_op_get(r->op)->text;
    for (int k = 0; k < tegu_op_get(r->op)->min; k++) {
        tegu_tensor *t = &model.inputs[k];
        t->dtype = numeric_entry(&model)->arguments.data[k].type->dtype;
        t->rank = 1;
        t->dims[0] = LENGTH;
        numeric_allocate(model.arena, t);
        for (int i = 0; i < LENGTH; i++)
            numeric_set(t, i, r->in[k][i % r->n]);
    }
    tegu_tensor out;
    call(&model, backend, &out, name);
    for (int i = 0; i < LENGTH; i++) {
        double got = numeric_get(&out, i), want = r->want[i % r->n];
        if (!close_enough(got, want, r->close))
            fail_msg("%s of %s: element %d of (%.9g, %.9g, %.9g) is %.9g, "
                     "not %.9g",
                     name, tegu_dtype_text(r->from), i % r->n,
                     r->in[0][i % r->n], r->in[1][i % r->n], r->in[2][i % r->n],
                     got, want);
    }
    numeric_destroy(&model);
}

static void elements_at_the_edges(void **state)
{
    const numeric_backend *backend = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        run_row(&rows[i], *backend);
}

static void shapes_at_the_edges(void **state)
{
    const numeric_backend *backend = *state;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        numeric_model model = numeric_parse(programs[i].program);
        tegu_tensor out;
        call(&model, *backend, &out, programs[i].program);
        assert_int_equal(tegu_tensor_elements(&out), programs[i].n);
        for (int k = 0; k < programs[i].n; k++) {
            double got = numeric_get(&out, k), want = programs[i].want[k];
            if (!close_enough(got, want, EQUAL))
                fail_msg("%s\nelement %d is %.9g, not %.9g",
                         programs[i].program, k, got, want);
        }
        numeric_destroy(&model);
    }
}

static void every_op_has_a_row(void **state)
{
    (void)state;
    bool seen[TEGU_OP_COUNT] = {false};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        seen[rows[i].op] = true;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        numeric_model model = numeric_parse(programs[i].program);
        const tegu_graph *g = numeric_entry(&model)->graph;
        for (tegu_value v = 1; v < g->nodes.count; v++)
            seen[tegu_graph_node(g, v)->op] = true;
        numeric_destroy(&model);
    }
    seen[TEGU_OP_INPUT] = true; /* of every element-wise row */
    seen[TEGU_OP_PARAM] = true; /* of the random programs */
    for (int op = 0; op < TEGU_OP_COUNT; op++) {
        const tegu_op_info *info = tegu_op_get((tegu_op)op);
        if (!seen[op] && info->kind != TEGU_KIND_COMPOSITE &&
            info->kind != TEGU_KIND_KERNEL && op != TEGU_OP_ARG)
            fail_msg("'%s' has no row", info->text);
    }
}

int main(void)
{
    int failed = 0;
    uint32_t count;
    const numeric_named_backend *backends = numeric_backends(&count);
    for (uint32_t i = 0; i < count; i++) {
        numeric_backend backend = backends[i].backend;
        const struct CMUnitTest tests[] = {
            cmocka_unit_test_prestate(elements_at_the_edges, &backend),
            cmocka_unit_test_prestate(shapes_at_the_edges, &backend),
            cmocka_unit_test(every_op_has_a_row),
        };
        failed +=
            cmocka_run_group_tests_name(backends[i].name, tests, NULL, NULL);
    }
    return failed;
}
