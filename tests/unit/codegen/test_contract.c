/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generated contractions against sums in double, under the bound
 * (K + 2) u sum |a b| (Higham 2002, section 3.1), around every tile edge.
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

#include "codegen/contract.h"
#include "codegen/math.h"
#include "tests/unit/codegen/harness.h"

enum {
    SLOT_M,
    SLOT_A,
    SLOT_W,
    SLOT_Y,
    SLOT_BIAS,
    SLOT_RESIDUAL,
    SLOT_THIN_A,
    SLOT_THIN_W,
    SLOT_GATED_W = SLOT_THIN_W + 1,
    SLOT_GATE,
    SLOT_COUNT
};

/* Two thin products of one A: the first always there, the other gated. */
enum { THIN = 2, THIN_STRIDE = 13 };
static const struct {
    int64_t k, start;
} thins[THIN] = {{3, 1}, {8, 4}};

/* Rows are further apart than they are long: what lies between must stay. */
#define A_GAP 5
#define Y_GAP 3
#define UNTOUCHED 12345.0f

typedef struct shape {
    int64_t n, k;
} shape;

typedef struct request {
    const shape *shapes;
    size_t count;
    bool fused;
} request;

static const char *kernel_name(const shape *s, char *name, size_t size)
{
    snprintf(name, size, "contract_%d_%d", (int)s->n, (int)s->k);
    return name;
}

/* residual[row, col] + silu(acc + bias[col]) + thin, + gated if it is on */
static LLVMValueRef fused_epilogue(void *data, tegu_emitter *e,
                                   LLVMValueRef args, LLVMValueRef row,
                                   LLVMValueRef col, LLVMValueRef acc,
                                   const LLVMValueRef *more, LLVMValueRef mask)
{
    const shape *s = data;
    LLVMTypeRef type = LLVMTypeOf(acc);
    LLVMValueRef bias = tegu_emit_slot_ptr(e, args, SLOT_BIAS);
    LLVMValueRef residual = tegu_emit_slot_ptr(e, args, SLOT_RESIDUAL);
    LLVMValueRef stride = tegu_emit_int(e, s->n);
    LLVMValueRef index = LLVMBuildAdd(
        e->builder, LLVMBuildMul(e->builder, row, stride, ""), col, "");
    LLVMValueRef b =
        tegu_emit_load(e, type, tegu_emit_at(e, e->f32, bias, col), 4, mask);
    LLVMValueRef r = tegu_emit_load(
        e, type, tegu_emit_at(e, e->f32, residual, index), 4, mask);
    LLVMValueRef y = tegu_emit_fadd(e, acc, b);
    y = tegu_emit_fadd(e, tegu_emit_fmul(e, y, tegu_math_sigmoid(e, y)), r);
    y = tegu_emit_fadd(e, y, more[0]);
    LLVMValueRef gate = tegu_emit_load(
        e, e->f32, tegu_emit_slot_ptr(e, args, SLOT_GATE), 4, NULL);
    LLVMValueRef on = LLVMBuildFCmp(e->builder, LLVMRealUNE, gate,
                                    LLVMConstReal(e->f32, 0), "");
    return LLVMBuildSelect(e->builder, on, tegu_emit_fadd(e, y, more[1]), y,
                           "");
}

static void emit_shapes(void *data, tegu_emitter *e)
{
    const request *r = data;
    char name[64];
    for (size_t i = 0; i < r->count; i++) {
        tegu_contract c = {.name =
                               kernel_name(&r->shapes[i], name, sizeof name),
                           .n = r->shapes[i].n,
                           .k = r->shapes[i].k,
                           .a_stride = r->shapes[i].k + A_GAP,
                           .y_stride = r->shapes[i].n + Y_GAP,
                           .slot_m = SLOT_M,
                           .slot_a = SLOT_A,
                           .slot_w = SLOT_W,
                           .slot_y = SLOT_Y,
                           .epilogue = r->fused ? fused_epilogue : NULL,
                           .data = (void *)&r->shapes[i]};
        for (unsigned t = 0; r->fused && t < THIN; t++)
            c.thin[c.thin_count++] =
                (tegu_contract_thin){.k = thins[t].k,
                                     .start = thins[t].start,
                                     .stride = THIN_STRIDE,
                                     .slot_a = SLOT_THIN_A,
                                     .slot_w = SLOT_THIN_W + t,
                                     .slot_gate = t ? SLOT_GATE : -1};
        tegu_emit_contract(e, &c);
    }
}

/* Operands of one shape at the greatest M. */
typedef struct operands {
    const shape *s;
    int64_t rows;
    float *a, *w, *packed, *y, *bias, *residual;
    size_t packed_bytes;
    double *sum, *size; /* (rows, n): sum a w, sum |a w| */
    float *thin_a, *thin_w[THIN], *thin_packed[THIN];
    size_t thin_bytes[THIN];
} operands;

static void fill(float *x, size_t count, uint64_t seed)
{
    noise n = {seed};
    for (size_t i = 0; i < count; i++)
        x[i] = noise_next(&n);
}

/* sum a w over k terms; *size: of |a w| */
static double dot(const float *a, const float *w, int64_t k, double *size)
{
    double sum = 0;
    *size = 0;
    for (int64_t l = 0; l < k; l++) {
        double term = (double)a[l] * (double)w[l];
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static void reference(operands *o)
{
    int64_t n = o->s->n, k = o->s->k;
    for (int64_t i = 0; i < o->rows; i++)
        for (int64_t j = 0; j < n; j++)
            o->sum[i * n + j] = dot(o->a + i * (k + A_GAP), o->w + j * k, k,
                                    &o->size[i * n + j]);
}

/* W [n, k] packed. */
static float *packed(const float *w, int64_t n, int64_t k, unsigned panel,
                     size_t *bytes)
{
    assert_true(tegu_pack_size(n, k, panel, bytes));
    float *out = floats(*bytes / sizeof(float));
    tegu_pack_panels(out, w, n, k, k, 1, panel, 0, (n + panel - 1) / panel);
    return out;
}

static operands operands_of(const shape *s, int64_t rows, unsigned panel)
{
    operands o = {.s = s, .rows = rows};
    size_t n = (size_t)s->n, k = (size_t)s->k, m = (size_t)rows;
    o.a = floats(m * (k + A_GAP));
    o.w = floats(n * k);
    o.y = floats(m * (n + Y_GAP));
    o.bias = floats(n);
    o.residual = floats(m * n);
    o.sum = calloc(m * n, sizeof *o.sum);
    o.size = calloc(m * n, sizeof *o.size);
    fill(o.a, m * (k + A_GAP), 1);
    fill(o.w, n * k, 2);
    fill(o.bias, n, 3);
    fill(o.residual, m * n, 4);
    o.packed = packed(o.w, s->n, s->k, panel, &o.packed_bytes);
    o.thin_a = floats(m * THIN_STRIDE);
    fill(o.thin_a, m * THIN_STRIDE, 5);
    for (int t = 0; t < THIN; t++) {
        size_t count = n * (size_t)thins[t].k;
        o.thin_w[t] = floats(count);
        fill(o.thin_w[t], count, 6 + (uint64_t)t);
        o.thin_packed[t] =
            packed(o.thin_w[t], s->n, thins[t].k, panel, &o.thin_bytes[t]);
    }
    reference(&o);
    return o;
}

static void operands_free(operands *o)
{
    free(o->a);
    free(o->w);
    free(o->packed);
    free(o->thin_a);
    for (int t = 0; t < THIN; t++) {
        free(o->thin_w[t]);
        free(o->thin_packed[t]);
    }
    free(o->y);
    free(o->bias);
    free(o->residual);
    free(o->sum);
    free(o->size);
}

/* Runs of a fused kernel: with the gated product switched off and on. */
typedef enum form { PLAIN, FUSED_OFF, FUSED_ON } form;

static void check_element(const operands *o, form as, int64_t i, int64_t j,
                          int64_t m, int64_t parts)
{
    int64_t n = o->s->n;
    double want = o->sum[i * n + j];
    double most = ((double)o->s->k + 2) * 0x1p-24 * o->size[i * n + j];
    if (as != PLAIN) {
        double x = want + (double)o->bias[j];
        want = x / (1 + exp(-x)) + (double)o->residual[i * n + j];
        most = 1.2 * most + 4e-7 * (fabs(x) + 1);
    }
    for (int t = 0; t < (int)as; t++) {
        int64_t k = thins[t].k;
        double size;
        want += dot(o->thin_a + i * THIN_STRIDE + thins[t].start,
                    o->thin_w[t] + j * k, k, &size);
        most += ((double)k + 4) * 0x1p-24 * (size + fabs(want));
    }
    float got = o->y[i * (n + Y_GAP) + j];
    if (!(fabs(got - want) <= most))
        fail_msg("M %d N %d K %d, %d parts: y[%d, %d] is %.9g, not %.9g "
                 "(bound %.2g)",
                 (int)m, (int)n, (int)o->s->k, (int)parts, (int)i, (int)j, got,
                 want, most);
}

static void check_call(runner *r, operands *o, form as, int64_t m,
                       int64_t parts)
{
    float gate = as == FUSED_ON ? -0.5f : 0;
    int64_t n = o->s->n, stride = n + Y_GAP;
    size_t size = sizeof(float);
    char name[64];
    for (int64_t i = 0; i < o->rows * stride; i++)
        o->y[i] = UNTOUCHED;
    slot slots[SLOT_COUNT] = {
        [SLOT_M] = {.value = m},
        [SLOT_A] = {o->a, (size_t)(o->rows * (o->s->k + A_GAP)) * size, 0},
        [SLOT_W] = {o->packed, o->packed_bytes, 0},
        [SLOT_Y] = {o->y, (size_t)(o->rows * stride) * size, 0},
        [SLOT_BIAS] = {o->bias, (size_t)n * size, 0},
        [SLOT_RESIDUAL] = {o->residual, (size_t)(o->rows * n) * size, 0},
        [SLOT_THIN_A] = {o->thin_a, (size_t)(o->rows * THIN_STRIDE) * size, 0},
        [SLOT_THIN_W] = {o->thin_packed[0], o->thin_bytes[0], 0},
        [SLOT_GATE] = {&gate, sizeof gate, 0}};
    if (as == FUSED_ON) /* else a null pointer, which nothing may read */
        slots[SLOT_GATED_W] = (slot){o->thin_packed[1], o->thin_bytes[1], 0};
    runner_call(r, kernel_name(o->s, name, sizeof name), slots, SLOT_COUNT,
                parts);
    for (int64_t i = 0; i < o->rows; i++)
        for (int64_t j = 0; j < stride; j++) {
            if (i < m && j < n)
                check_element(o, as, i, j, m, parts);
            else
                assert_true(o->y[i * stride + j] == UNTOUCHED);
        }
}

static void check_shapes(const char *target, request *q, const int64_t *ms,
                         size_t ms_count, int64_t most_parts)
{
    char names[32][64];
    const char *kernels[32];
    runner r;
    if (!runner_can(target))
        return;
    for (size_t i = 0; i < q->count; i++)
        kernels[i] = kernel_name(&q->shapes[i], names[i], sizeof names[i]);
    runner_open(&r, target, TEGU_EFFORT_LIGHT, emit_shapes, q, kernels,
                q->count);
    int64_t rows = 1;
    for (size_t i = 0; i < ms_count; i++)
        rows = ms[i] > rows ? ms[i] : rows;
    for (size_t i = 0; i < q->count; i++) {
        operands o = operands_of(&q->shapes[i], rows,
                                 tegu_target_panel(&r.target, q->shapes[i].n));
        for (size_t j = 0; j < ms_count; j++)
            for (int64_t parts = 1; parts <= most_parts; parts++)
                for (form as = q->fused ? FUSED_OFF : PLAIN;
                     as <= (q->fused ? FUSED_ON : PLAIN); as++)
                    check_call(&r, &o, as, ms[j], parts);
        operands_free(&o);
    }
    runner_close(&r);
}

static const char *const here[] = {"x86-64-v2", "x86-64-v3", "native"};

static const shape shapes[] = {
    {1, 1},    {1, 17},   {7, 3},   {8, 17},   {15, 2},    {16, 16},
    {17, 33},  {24, 7},   {63, 40}, {64, 256}, {65, 17},   {127, 20},
    {128, 64}, {129, 33}, {200, 5}, {70, 257}, {33, 2049}, {66, 4500}};
#define SHAPES (sizeof shapes / sizeof shapes[0])

static void sums_stay_within_the_bound_at_every_edge(void **state)
{
    (void)state;
    static const int64_t ms[] = {0, 1, 2,  3,  4,  5,  6,  7,
                                 8, 9, 10, 11, 12, 13, 17, 40};
    request q = {shapes, SHAPES, false};
    for (size_t i = 0; i < 3; i++)
        check_shapes(here[i], &q, ms, sizeof ms / sizeof ms[0], 5);
}

static void fused_epilogues_see_their_own_row_and_column(void **state)
{
    (void)state;
    static const int64_t ms[] = {1, 2, 6, 7, 13};
    request q = {shapes, SHAPES, true};
    for (size_t i = 0; i < 3; i++)
        check_shapes(here[i], &q, ms, sizeof ms / sizeof ms[0], 3);
}

static void many_rows_split_into_blocks_and_groups(void **state)
{
    (void)state;
    static const shape large[] = {{70, 5000}, {40, 130}};
    static const int64_t ms[] = {205, 331};
    request q = {large, 2, true};
    for (size_t i = 0; i < 3; i++)
        check_shapes(here[i], &q, ms, 2, 5);
}

static void neon_code_gives_the_same_sums(void **state)
{
    (void)state;
    static const shape few[] = {
        {1, 17}, {13, 3}, {24, 16}, {29, 40}, {37, 2100}};
    static const int64_t ms[] = {1, 2, 3, 5, 7, 8, 9, 16, 17};
    request q = {few, sizeof few / sizeof few[0], true};
    if (!runner_can("aarch64"))
        skip();
    check_shapes("aarch64", &q, ms, sizeof ms / sizeof ms[0], 2);
}

static void panels_can_be_packed_one_at_a_time(void **state)
{
    (void)state;
    enum { N = 37, K = 70, PANEL = 16, PANELS = 3 };
    float *w = floats(N * K), *all = floats(PANELS * PANEL * K);
    float *each = floats(PANELS * PANEL * K), *turned = floats(N * K);
    fill(w, N * K, 9);
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++)
            turned[k * N + n] = w[n * K + k];
    tegu_pack_panels(all, w, N, K, K, 1, PANEL, 0, PANELS);
    for (int p = 0; p < PANELS; p++)
        tegu_pack_panels(each + p * PANEL * K, turned, N, K, 1, N, PANEL, p,
                         p + 1);
    assert_memory_equal(all, each, sizeof(float) * PANELS * PANEL * K);
    assert_true(all[PANEL * K + 3 * PANEL + 2] == w[18 * K + 3]);
    assert_true(all[2 * PANEL * K + 5] == 0);
    free(w);
    free(all);
    free(each);
    free(turned);
}

static void pack_size_refuses_what_does_not_fit(void **state)
{
    (void)state;
    size_t bytes = 0;
    assert_true(tegu_pack_size(65, 3, 64, &bytes));
    assert_true(bytes == 128 * 3 * 4);
    assert_false(tegu_pack_size(INT64_MAX, INT64_MAX, 64, &bytes));
    assert_false(tegu_pack_size(0, 1, 64, &bytes));
    assert_false(tegu_pack_size(1, -1, 64, &bytes));
}

static size_t tile_spills(const tegu_target *target, int64_t n, size_t *loops)
{
    const shape one[] = {{n, 768}};
    request q = {one, 1, false};
    tegu_bytes text =
        build(target, TEGU_EFFORT_LIGHT, emit_shapes, &q, TEGU_OBJECT_ASSEMBLY);
    size_t spills = loop_spills(text.data, "\ntile_", loops);
    tegu_bytes_free(&text);
    return spills;
}

static void tiles_keep_their_sums_in_registers(void **state)
{
    (void)state;
    static const char *const names[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4",
                                        "aarch64"};
    static const int64_t ns[] = {256, 8, 24, 40};
    for (size_t i = 0; i < 16; i++) {
        tegu_target target = target_named(names[i / 4]);
        size_t loops = 0;
        assert_int_equal(tile_spills(&target, ns[i % 4], &loops), 0);
        assert_int_equal(loops, tegu_target_tile(&target, ns[i % 4]).mr - 1);
    }
}

/* As many columns as the vectors of one panel, rounded up to whole vectors;
 * the full panel as soon as it is needed. */
static void few_columns_get_narrow_panels_with_more_rows(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        int64_t n;
        unsigned panel, mr;
    } rows[] = {{"x86-64-v4", 1, 16, 12},  {"x86-64-v4", 16, 16, 12},
                {"x86-64-v4", 17, 32, 12}, {"x86-64-v4", 48, 48, 9},
                {"x86-64-v4", 49, 64, 6},  {"x86-64-v4", 4096, 64, 6},
                {"x86-64-v3", 8, 8, 12},   {"x86-64-v3", 9, 16, 6},
                {"aarch64", 8, 8, 12},     {"aarch64", 9, 12, 8}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tegu_target target = target_named(rows[i].target);
        assert_int_equal(tegu_target_panel(&target, rows[i].n), rows[i].panel);
        assert_int_equal(tegu_target_tile(&target, rows[i].n).mr, rows[i].mr);
    }
}

/* The other way round: shows that the count above sees what it should. */
static void tiles_that_are_too_large_spill(void **state)
{
    (void)state;
    tegu_target target = target_named("x86-64-v4");
    size_t loops = 0;
    target.mr = 8;
    assert_true(tile_spills(&target, 256, &loops) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_stay_within_the_bound_at_every_edge),
        cmocka_unit_test(fused_epilogues_see_their_own_row_and_column),
        cmocka_unit_test(many_rows_split_into_blocks_and_groups),
        cmocka_unit_test(neon_code_gives_the_same_sums),
        cmocka_unit_test(panels_can_be_packed_one_at_a_time),
        cmocka_unit_test(pack_size_refuses_what_does_not_fit),
        cmocka_unit_test(tiles_keep_their_sums_in_registers),
        cmocka_unit_test(few_columns_get_narrow_panels_with_more_rows),
        cmocka_unit_test(tiles_that_are_too_large_spill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
