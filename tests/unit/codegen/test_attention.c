/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generated attention against the definition in double: grouped heads, odd
 * dimensions, windows, both layouts, calls that continue a cache.
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

#include "codegen/attention.h"
#include "tests/unit/codegen/harness.h"

enum { SLOT_T, SLOT_OFFSET, SLOT_Q, SLOT_K, SLOT_V, SLOT_OUT, SLOT_COUNT };

typedef struct form {
    const char *name;
    int64_t heads, kv_heads, d, capacity, window;
    bool causal;
} form;

/* capacity 0: plain arrays */
static const form forms[] = {
    {"mha64", 3, 3, 64, 200, 0, true},
    {"gqa64", 8, 2, 64, 150, 0, true},
    {"gqa32", 6, 1, 32, 130, 0, true},
    {"odd80", 2, 1, 80, 100, 0, true},
    {"odd20", 4, 4, 20, 70, 0, true},
    {"tiny4", 2, 2, 4, 64, 0, true},
    {"mha128", 2, 2, 128, 140, 0, true},
    {"window64", 4, 2, 64, 300, 50, true},
    {"window8", 5, 1, 8, 330, 7, true},
    {"plain64", 4, 2, 64, 0, 0, true},
    {"plain12", 3, 3, 12, 0, 0, true},
    {"cross64", 4, 2, 64, 0, 0, false},
    {"cross24", 2, 2, 24, 0, 0, false},
    {"cached_cross", 4, 1, 16, 90, 0, false},
};
#define FORMS (sizeof forms / sizeof forms[0])
#define SCALE 0.3f

static void emit_forms(void *data, tegu_emitter *e)
{
    (void)data;
    for (size_t i = 0; i < FORMS; i++) {
        const form *f = &forms[i];
        tegu_attention a = {.name = f->name,
                            .heads = f->heads,
                            .kv_heads = f->kv_heads,
                            .d = f->d,
                            .capacity = f->capacity,
                            .window = f->window,
                            .causal = f->causal,
                            .scale = SCALE,
                            .slot_q = SLOT_Q,
                            .slot_k = SLOT_K,
                            .slot_v = SLOT_V,
                            .slot_out = SLOT_OUT,
                            .slot_t = SLOT_T,
                            .slot_offset = SLOT_OFFSET};
        tegu_emit_attention(e, &a);
    }
}

/* A call: t queries, keys [0, keys); plain copies of k and v, and the ones
 * that the kernel reads. */
typedef struct call {
    const form *f;
    int64_t t, keys;
    float *q, *k, *v, *out, *laid_k, *laid_v;
    size_t laid;
} call;

static int64_t plain_index(const form *f, int64_t token, int64_t head,
                           int64_t component)
{
    return (token * f->kv_heads + head) * f->d + component;
}

static void lay_out(call *c)
{
    const form *f = c->f;
    c->laid = (size_t)(f->capacity
                           ? tegu_cache_elements(f->capacity, f->kv_heads, f->d)
                           : c->keys * f->kv_heads * f->d);
    c->laid_k = floats(c->laid);
    c->laid_v = floats(c->laid);
    for (size_t i = 0; i < c->laid; i++)
        c->laid_k[i] = c->laid_v[i] = NAN;
    for (int64_t j = 0; j < c->keys; j++)
        for (int64_t h = 0; h < f->kv_heads; h++)
            for (int64_t i = 0; i < f->d; i++) {
                int64_t from = plain_index(f, j, h, i), k = from, v = from;
                if (f->capacity) {
                    k = tegu_cache_k_index(f->capacity, f->d, j, h, i);
                    v = tegu_cache_v_index(f->capacity, f->d, j, h, i);
                }
                c->laid_k[k] = c->k[from];
                c->laid_v[v] = c->v[from];
            }
}

static call call_of(const form *f, int64_t t, int64_t keys)
{
    call c = {.f = f, .t = t, .keys = keys};
    size_t q = (size_t)(t * f->heads * f->d);
    size_t kv = (size_t)(keys * f->kv_heads * f->d);
    noise n = {(uint64_t)(t * 1000 + keys)};
    c.q = floats(q);
    c.k = floats(kv);
    c.v = floats(kv);
    c.out = floats(q + 16);
    for (size_t i = 0; i < q; i++)
        c.q[i] = 2 * noise_next(&n);
    for (size_t i = 0; i < kv; i++) {
        c.k[i] = 2 * noise_next(&n);
        c.v[i] = noise_next(&n);
    }
    lay_out(&c);
    return c;
}

static void call_free(call *c)
{
    free(c->q);
    free(c->k);
    free(c->v);
    free(c->out);
    free(c->laid_k);
    free(c->laid_v);
}

static bool visible(const call *c, int64_t i, int64_t j)
{
    int64_t last = c->keys - c->t + i;
    if (!c->f->causal)
        return true;
    return j <= last && (!c->f->window || j > last - c->f->window);
}

static void check_row(const call *c, int64_t i, int64_t h)
{
    const form *f = c->f;
    const float *q = c->q + (i * f->heads + h) * f->d;
    const float *out = c->out + (i * f->heads + h) * f->d;
    int64_t kv = h / (f->heads / f->kv_heads);
    double *weight = calloc((size_t)c->keys, sizeof *weight);
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < c->keys; j++) {
        for (int64_t x = 0; x < f->d; x++)
            weight[j] += (double)q[x] * (double)c->k[plain_index(f, j, kv, x)];
        weight[j] *= (double)SCALE;
        if (visible(c, i, j) && weight[j] > most)
            most = weight[j];
    }
    for (int64_t j = 0; j < c->keys; j++) {
        weight[j] = visible(c, i, j) ? exp(weight[j] - most) : 0;
        sum += weight[j];
    }
    for (int64_t x = 0; x < f->d; x++) {
        double want = 0;
        for (int64_t j = 0; j < c->keys; j++)
            want += weight[j] / sum * (double)c->v[plain_index(f, j, kv, x)];
        if (!(fabs((double)out[x] - want) <= 2e-5))
            fail_msg("%s T %d keys %d: out[%d, %d, %d] is %.9g, not %.9g",
                     f->name, (int)c->t, (int)c->keys, (int)i, (int)h, (int)x,
                     (double)out[x], want);
    }
    free(weight);
}

static void check_call(runner *r, const form *f, int64_t t, int64_t keys,
                       int64_t parts)
{
    call c = call_of(f, t, keys);
    size_t size = sizeof(float), q = (size_t)(t * f->heads * f->d);
    slot slots[SLOT_COUNT] = {
        [SLOT_T] = {.value = t},
        [SLOT_OFFSET] = {.value = f->causal ? keys - t : keys},
        [SLOT_Q] = {c.q, q * size, 0},
        [SLOT_K] = {c.laid_k, c.laid * size, 0},
        [SLOT_V] = {c.laid_v, c.laid * size, 0},
        [SLOT_OUT] = {c.out, (q + 16) * size, 0}};
    for (size_t i = 0; i < q + 16; i++)
        c.out[i] = 777;
    runner_call(r, f->name, slots, SLOT_COUNT, parts);
    for (int64_t i = 0; i < t; i++)
        for (int64_t h = 0; h < f->heads; h++)
            check_row(&c, i, h);
    for (size_t i = 0; i < 16; i++)
        assert_true(c.out[q + i] == 777);
    call_free(&c);
}

typedef struct sizes {
    int64_t t, keys, parts;
} sizes;

static void check_target(const char *target, const sizes *each, size_t count)
{
    const char *kernels[FORMS];
    runner r;
    if (!runner_can(target))
        return;
    for (size_t i = 0; i < FORMS; i++)
        kernels[i] = forms[i].name;
    runner_open(&r, target, TEGU_EFFORT_LIGHT, emit_forms, NULL, kernels,
                FORMS);
    for (size_t i = 0; i < FORMS; i++)
        for (size_t j = 0; j < count; j++)
            if (!forms[i].capacity || each[j].keys <= forms[i].capacity)
                check_call(&r, &forms[i], each[j].t, each[j].keys,
                           each[j].parts);
    runner_close(&r);
}

static void every_form_agrees_with_the_definition(void **state)
{
    (void)state;
    static const char *const here[] = {"x86-64-v2", "x86-64-v3", "native"};
    static const sizes each[] = {
        {1, 1, 1},   {1, 15, 1},   {1, 16, 2},   {1, 17, 1},  {1, 64, 1},
        {1, 65, 3},  {1, 129, 1},  {2, 2, 1},    {3, 40, 2},  {5, 5, 1},
        {6, 64, 5},  {7, 7, 1},    {13, 64, 4},  {25, 25, 2}, {64, 64, 3},
        {70, 70, 2}, {66, 130, 1}, {130, 300, 2}};
    for (size_t i = 0; i < 3; i++)
        check_target(here[i], each, sizeof each / sizeof each[0]);
}

static void neon_code_agrees_with_the_definition(void **state)
{
    (void)state;
    static const sizes each[] = {{1, 1, 1}, {1, 64, 2}, {9, 70, 2}};
    if (!runner_can("aarch64"))
        skip();
    check_target("aarch64", each, sizeof each / sizeof each[0]);
}

static void no_queries_write_nothing(void **state)
{
    (void)state;
    runner r;
    const char *kernels[] = {"gqa64"};
    runner_open(&r, "native", TEGU_EFFORT_LIGHT, emit_forms, NULL, kernels, 1);
    check_call(&r, &forms[1], 0, 1, 2);
    runner_close(&r);
}

static void loops_over_keys_and_columns_do_not_spill(void **state)
{
    (void)state;
    static const char *const names[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4",
                                        "aarch64"};
    for (size_t i = 0; i < 4; i++) {
        tegu_target target = target_named(names[i]);
        size_t loops;
        tegu_bytes text = build(&target, TEGU_EFFORT_LIGHT, emit_forms, NULL,
                                TEGU_OBJECT_ASSEMBLY);
        assert_int_equal(loop_spills(text.data, "\nmha64.attend", &loops), 0);
        assert_true(loops >= 2 * target.mr);
        tegu_bytes_free(&text);
    }
}

/* index(args): slots 0 token, 1 head, 2 component, 3 two results */
static void emit_index(void *data, tegu_emitter *e)
{
    (void)data;
    LLVMValueRef self = tegu_emit_kernel(e, "index_of"), x[3];
    LLVMValueRef args = LLVMGetParam(self, 0);
    for (unsigned i = 0; i < 3; i++)
        x[i] = tegu_emit_slot_i64(e, args, i);
    LLVMValueRef out = tegu_emit_slot_ptr(e, args, 3);
    tegu_emit_store(e, tegu_emit_cache_k(e, 100, 20, x[0], x[1], x[2]), out, 8,
                    NULL);
    tegu_emit_store(e, tegu_emit_cache_v(e, 100, 20, x[0], x[1], x[2]),
                    tegu_emit_at(e, e->i64, out, tegu_emit_int(e, 1)), 8, NULL);
    LLVMBuildRetVoid(e->builder);
}

static void emitted_cache_indices_equal_the_c_functions(void **state)
{
    (void)state;
    tegu_target target = target_named("native");
    tegu_code *code = load(&target, TEGU_EFFORT_NONE, emit_index, NULL);
    kernel *run = find(code, "index_of");
    int64_t out[2];
    for (int64_t token = 0; token < 100; token += 7)
        for (int64_t head = 0; head < 3; head++)
            for (int64_t i = 0; i < 20; i++) {
                int64_t args[] = {token, head, i, (int64_t)(intptr_t)out};
                run(args, 0, 1);
                assert_int_equal(out[0],
                                 tegu_cache_k_index(100, 20, token, head, i));
                assert_int_equal(out[1],
                                 tegu_cache_v_index(100, 20, token, head, i));
                assert_true(out[0] < tegu_cache_elements(100, 3, 20));
            }
    tegu_code_destroy(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_agrees_with_the_definition),
        cmocka_unit_test(neon_code_agrees_with_the_definition),
        cmocka_unit_test(loops_over_keys_and_columns_do_not_spill),
        cmocka_unit_test(no_queries_write_nothing),
        cmocka_unit_test(emitted_cache_indices_equal_the_c_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
