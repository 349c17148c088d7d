/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The elementary functions against libm in double, over every exponent and
 * the edges, as vectors and as scalar loops that LLVM vectorises, on every
 * instruction set that this machine runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/math.h"
#include "tests/unit/codegen/harness.h"

typedef LLVMValueRef function(tegu_emitter *e, LLVMValueRef x);
typedef double reference(double x);

static double ref_rsqrt(double x)
{
    return 1.0 / sqrt(x);
}

static double ref_sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double ref_exp2(double x)
{
    return exp2(x < -126 ? -126 : x);
}

/* ulps: allowed with fma. */
typedef struct function_case {
    const char *name;
    function *emit;
    reference *expect;
    double lo, hi, ulps;
} function_case;

static const function_case cases[] = {
    {"f_exp", tegu_math_exp, exp, -110, 90, 1.1},
    {"f_exp2_below", tegu_math_exp2_below, ref_exp2, -200, 0, 2},
    {"f_log", tegu_math_log, log, -1, INFINITY, 1.5},
    {"f_tanh", tegu_math_tanh, tanh, -20, 20, 2},
    {"f_erf", tegu_math_erf, erf, -8, 8, 2},
    {"f_sin", tegu_math_sin, sin, -1e6, 1e6, 1.5},
    {"f_cos", tegu_math_cos, cos, -1e6, 1e6, 1.5},
    {"f_rsqrt", tegu_math_rsqrt, ref_rsqrt, 0, INFINITY, 1.5},
    {"f_sigmoid", tegu_math_sigmoid, ref_sigmoid, -105, 105, 2.5},
};
#define CASES (sizeof cases / sizeof cases[0])
#define BLOCK 4096

typedef struct request {
    unsigned lanes; /* 1: scalar loop */
} request;

/* NAME(args, 0, 1): slots 0 in, 1 out; BLOCK elements. */
static void emit_case(tegu_emitter *e, const function_case *c, unsigned lanes)
{
    LLVMValueRef self = tegu_emit_kernel(e, c->name);
    LLVMValueRef args = LLVMGetParam(self, 0);
    LLVMValueRef in = tegu_emit_slot_ptr(e, args, 0);
    LLVMValueRef out = tegu_emit_slot_ptr(e, args, 1);
    LLVMTypeRef type = tegu_emit_type(e->f32, lanes);
    tegu_loop loop;
    tegu_loop_begin(e, &loop, lanes == 1 ? TEGU_LOOP_OPEN : TEGU_LOOP_AS_IS,
                    tegu_emit_int(e, 0), tegu_emit_int(e, BLOCK),
                    tegu_emit_int(e, lanes), 0, NULL);
    LLVMValueRef x = tegu_emit_load(
        e, type, tegu_emit_at(e, e->f32, in, loop.index), 4, NULL);
    tegu_emit_buffer(e, x, 0, 2);
    LLVMValueRef store = tegu_emit_store(
        e, c->emit(e, x), tegu_emit_at(e, e->f32, out, loop.index), 4, NULL);
    tegu_emit_buffer(e, store, 1, 2);
    tegu_loop_end(e, &loop, NULL);
    LLVMBuildRetVoid(e->builder);
}

static void emit_cases(void *data, tegu_emitter *e)
{
    const request *r = data;
    for (size_t i = 0; i < CASES; i++)
        emit_case(e, &cases[i], r->lanes);
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Error in units of the last place of the f32 nearest to `exact`. */
static double ulps_off(float got, double exact)
{
    float rounded = (float)exact;
    if (isnan(exact) || isnan(got))
        return isnan(exact) && isnan(got) ? 0 : INFINITY;
    if (isinf(rounded) || isinf(got))
        return got == rounded ? 0 : INFINITY;
    return fabs(got - exact) /
           ldexp(1, ilogb(fmax(fabs(exact), 0x1p-126)) - 23);
}

/* Every 2^32 / (count BLOCK)-th float, a different offset per exponent. */
static double sweep(kernel *run, const function_case *c)
{
    float *in = floats(BLOCK), *out = floats(BLOCK);
    void *args[] = {in, out};
    double worst = 0;
    uint32_t bits = 12345;
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < BLOCK; i++, bits += 5243u)
            in[i] = float_of(bits);
        run(args, 0, 1);
        for (size_t i = 0; i < BLOCK; i++) {
            if (!(in[i] >= c->lo && in[i] <= c->hi))
                continue;
            double exact = c->expect(in[i]);
            double off = ulps_off(out[i], exact);
            worst = off > worst ? off : worst;
        }
    }
    free(in);
    free(out);
    return worst;
}

static void check_target(const char *name, unsigned lanes)
{
    tegu_target target = target_named(name);
    request r = {lanes};
    tegu_code *code =
        load(&target, lanes == 1 ? TEGU_EFFORT_O2 : TEGU_EFFORT_LIGHT,
             emit_cases, &r);
    printf("    %s, %s:", name, lanes == 1 ? "scalar loop" : "vectors");
    for (size_t i = 0; i < CASES; i++) {
        double most = cases[i].ulps + (target.fma ? 0 : 1);
        double worst = sweep(find(code, cases[i].name), &cases[i]);
        printf(" %s %.2f", cases[i].name + 2, worst);
        fflush(stdout);
        assert_true(worst <= most);
    }
    printf(" ulp\n");
    tegu_code_destroy(code);
}

static void errors_stay_within_the_stated_ulps(void **state)
{
    (void)state;
    static const char *const names[] = {"x86-64-v2", "x86-64-v3", "native"};
    for (size_t i = 0; i < 3; i++) {
        tegu_target target = target_named(names[i]);
        if (!tegu_target_runs_here(&target))
            continue;
        check_target(names[i], target.lanes);
        check_target(names[i], 1);
    }
}

typedef struct edge {
    const char *name;
    float in, out;
} edge;

static const edge edges[] = {
    {"f_exp", 0, 1},
    {"f_exp", -0.0f, 1},
    {"f_exp", 1e-45f, 1},
    {"f_exp", INFINITY, INFINITY},
    {"f_exp", -INFINITY, 0},
    {"f_exp", 89, INFINITY},
    {"f_exp", 88.7228394f, INFINITY},
    {"f_exp", -103.97208f, 1e-45f},
    {"f_exp", -104.1f, 0},
    {"f_exp", NAN, NAN},
    {"f_log", 1, 0},
    {"f_log", 0, -INFINITY},
    {"f_log", -0.0f, -INFINITY},
    {"f_log", INFINITY, INFINITY},
    {"f_log", -1, NAN},
    {"f_log", -INFINITY, NAN},
    {"f_log", NAN, NAN},
    {"f_log", 1e-45f, -103.278929f},
    {"f_tanh", INFINITY, 1},
    {"f_tanh", -INFINITY, -1},
    {"f_tanh", NAN, NAN},
    {"f_tanh", 1e-45f, 1e-45f},
    {"f_erf", INFINITY, 1},
    {"f_erf", -INFINITY, -1},
    {"f_erf", 30, 1},
    {"f_erf", 1e30f, 1},
    {"f_erf", NAN, NAN},
    {"f_sin", 0, 0},
    {"f_sin", INFINITY, NAN},
    {"f_sin", NAN, NAN},
    {"f_cos", 0, 1},
    {"f_cos", -INFINITY, NAN},
    {"f_cos", NAN, NAN},
    {"f_rsqrt", 0, INFINITY},
    {"f_rsqrt", INFINITY, 0},
    {"f_rsqrt", -1, NAN},
    {"f_sigmoid", INFINITY, 1},
    {"f_sigmoid", -INFINITY, 0},
    {"f_sigmoid", 0, 0.5f},
    {"f_sigmoid", NAN, NAN},
};

static void edges_follow_ieee(void **state)
{
    (void)state;
    tegu_target target = target_named("native");
    request r = {target.lanes};
    tegu_code *code = load(&target, TEGU_EFFORT_NONE, emit_cases, &r);
    float *in = floats(BLOCK), *out = floats(BLOCK);
    void *args[] = {in, out};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        in[0] = edges[i].in;
        find(code, edges[i].name)(args, 0, 1);
        if (isnan(edges[i].out) ? !isnan(out[0]) : out[0] != edges[i].out)
            fail_msg("%s(%g) gave %.9g, not %.9g", edges[i].name, edges[i].in,
                     out[0], edges[i].out);
    }
    free(in);
    free(out);
    tegu_code_destroy(code);
}

static void sine_of_anything_is_at_most_one(void **state)
{
    (void)state;
    tegu_target target = target_named("native");
    request r = {target.lanes};
    tegu_code *code = load(&target, TEGU_EFFORT_NONE, emit_cases, &r);
    float *in = floats(BLOCK), *out = floats(BLOCK);
    void *args[] = {in, out};
    for (size_t i = 0; i < BLOCK; i++)
        in[i] = ldexpf(1.0f + (float)i / BLOCK, (int)(i % 128));
    find(code, "f_sin")(args, 0, 1);
    for (size_t i = 0; i < BLOCK; i++)
        assert_true(fabsf(out[i]) <= 1);
    free(in);
    free(out);
    tegu_code_destroy(code);
}

/* pow(args): slots x, y, out */
static void emit_power(void *data, tegu_emitter *e)
{
    (void)data;
    unsigned lanes = e->target->lanes;
    LLVMValueRef self = tegu_emit_kernel(e, "f_pow");
    LLVMValueRef array[3];
    LLVMTypeRef type = tegu_emit_type(e->f32, lanes);
    tegu_loop loop;
    for (unsigned i = 0; i < 3; i++)
        array[i] = tegu_emit_slot_ptr(e, LLVMGetParam(self, 0), i);
    tegu_loop_begin(e, &loop, TEGU_LOOP_AS_IS, tegu_emit_int(e, 0),
                    tegu_emit_int(e, BLOCK), tegu_emit_int(e, lanes), 0, NULL);
    for (unsigned i = 0; i < 3; i++)
        array[i] = tegu_emit_at(e, e->f32, array[i], loop.index);
    LLVMValueRef x = tegu_emit_load(e, type, array[0], 4, NULL);
    LLVMValueRef y = tegu_emit_load(e, type, array[1], 4, NULL);
    tegu_emit_store(e, tegu_math_pow(e, x, y), array[2], 4, NULL);
    tegu_loop_end(e, &loop, NULL);
    LLVMBuildRetVoid(e->builder);
}

static void power_agrees_with_c(void **state)
{
    (void)state;
    static const float special[] = {
        0,     -0.0f,    1,   -1,     2,         -2,     0.5f,       -3,      3,
        1e38f, INFINITY, NAN, 1e-45f, -INFINITY, 0.333f, 1.0000001f, 16777215};
    enum { S = sizeof special / sizeof special[0] };
    tegu_target target = target_named("native");
    tegu_code *code = load(&target, TEGU_EFFORT_LIGHT, emit_power, NULL);
    float *x = floats(BLOCK), *y = floats(BLOCK), *out = floats(BLOCK);
    void *args[] = {x, y, out};
    noise n = {7};
    double worst = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        x[i] = i < S * S ? special[i / S] : expf(20 * noise_next(&n));
        y[i] = i < S * S ? special[i % S] : 5 * noise_next(&n);
    }
    find(code, "f_pow")(args, 0, 1);
    for (size_t i = 0; i < BLOCK; i++) {
        double off = ulps_off(out[i], pow(x[i], y[i]));
        if (off > 0.6)
            fail_msg("pow(%g, %g) gave %.9g", x[i], y[i], out[i]);
        worst = off > worst ? off : worst;
    }
    printf("    pow: %.2f ulp\n", worst);
    free(x);
    free(y);
    free(out);
    tegu_code_destroy(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_stay_within_the_stated_ulps),
        cmocka_unit_test(edges_follow_ieee),
        cmocka_unit_test(sine_of_anything_is_at_most_one),
        cmocka_unit_test(power_agrees_with_c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
