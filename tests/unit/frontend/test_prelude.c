/* SPDX-License-Identifier: Apache-2.0 */
/* The definitions of prelude.tegu, run by the interpreter, against the
 * textbook's formulas written down in C doubles. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/frontend.h"
#include "frontend/prelude.h"
#include "ir/ir.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 4096 };

typedef struct run {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_unit *unit;
    tegu_executor *executor;
    float out[MOST];
} run;

static void begin(run *r, const char *text)
{
    tegu_load_options options = {.name = "m"};
    r->arena = tegu_arena_create();
    r->diag = tegu_diag_create(r->arena);
    r->unit = tegu_language_load(r->arena, r->diag, "t.tegu", text,
                                 strlen(text), &options);
    if (!r->unit) {
        tegu_diag_render(r->diag, stderr, false);
        fail_msg("the model does not load");
    }
    r->executor = tegu_interp_create(r->unit, r->arena);
}

static void end(run *r)
{
    r->executor->destroy(r->executor->self);
    tegu_arena_destroy(r->arena);
}

/* Element i of input k: numbers in [-1, 1) without a pattern. */
static float sample(uint32_t k, int64_t i)
{
    uint32_t h = (uint32_t)i * 2654435761u + k * 40503u + 12345u;
    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    return (float)(h % 2000000u) / 1000000.0f - 1.0f;
}

/* Calls entry f with sample inputs of the given shapes ("T=3" is read off
 * dims) into r->out. */
static void call(run *r, const tegu_tensor *inputs, uint32_t count)
{
    int64_t symbols[16] = {0};
    tegu_tensor output;
    tegu_entry *entry = &r->unit->entries.data[0];
    assert_true(tegu_entry_bind(r->unit, entry, inputs, count, symbols));
    tegu_entry_output(r->unit, entry, 0, symbols, &output);
    assert_true(tegu_tensor_elements(&output) <= MOST);
    output.data = r->out;
    if (!r->executor->call(r->executor->self, "f", inputs, count, &output, 1)) {
        tegu_diag_render(r->diag, stderr, false);
        fail_msg("the call fails");
    }
}

static tegu_tensor tensor(run *r, uint32_t k, uint32_t rank, int64_t a,
                          int64_t b, int64_t c)
{
    tegu_tensor t = {.dtype = TEGU_F32, .rank = rank, .dims = {a, b, c}};
    int64_t n = tegu_tensor_elements(&t);
    float *data = TEGU_ARRAY(r->arena, float, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        data[i] = sample(k, i);
    t.data = data;
    return t;
}

static void check_close(const float *got, const double *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= 2e-6 * (1.0 + fabs(want[i]))))
            fail_msg("element %d is %.9g, not %.9g", (int)i, (double)got[i],
                     want[i]);
}

/* --- the table --- */

static void every_composite_has_a_definition_with_its_attributes(void **state)
{
    (void)state;
    char text[1 << 16];
    assert_true(tegu_prelude_size < sizeof text);
    memcpy(text, tegu_prelude_text, tegu_prelude_size);
    text[tegu_prelude_size] = 0;
    for (int op = 0; op < TEGU_OP_COUNT; op++) {
        const tegu_op_info *info = tegu_op_get((tegu_op)op);
        if (info->kind != TEGU_KIND_COMPOSITE)
            continue;
        char head[64];
        snprintf(head, sizeof head, "\nfn %s(", info->text);
        const char *found = strstr(text, head);
        if (!found)
            fail_msg("the prelude does not define '%s'", info->text);
        const char *body = strchr(found, '{');
        for (uint32_t i = 0; i < info->attr_count; i++) {
            char want[64];
            snprintf(want, sizeof want, "%s", info->attrs[i].key);
            const char *at = strstr(found, want);
            if (!at || at > body)
                fail_msg("'%s' has no attribute '%s'", info->text, want);
        }
    }
}

/* --- element by element --- */

static double relu(double x)
{
    return x > 0 ? x : 0;
}
static double silu(double x)
{
    return x / (1 + exp(-x));
}
static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}
static double gelu_tanh(double x)
{
    return 0.5 * x *
           (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

static void activations_follow_their_formulas(void **state)
{
    static const struct {
        const char *name;
        double (*f)(double);
    } rows[] = {{"relu", relu},
                {"silu", silu},
                {"gelu", gelu},
                {"gelu_tanh", gelu_tanh}};
    (void)state;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        run r;
        char text[128];
        double want[32];
        snprintf(text, sizeof text,
                 "entry f(x: f32[32]) -> y: f32[32] { return %s(4 * x) }",
                 rows[k].name);
        begin(&r, text);
        tegu_tensor x = tensor(&r, 0, 1, 32, 0, 0);
        call(&r, &x, 1);
        for (int i = 0; i < 32; i++)
            want[i] = rows[k].f(4.0 * (double)((float *)x.data)[i]);
        check_close(r.out, want, 32);
        end(&r);
    }
}

static void softmax_of_equal_scores_is_uniform(void **state)
{
    run r;
    double want[32];
    (void)state;
    begin(&r, "entry f(x: f32[4, 8]) -> y: f32[4, 8]"
              " { return softmax(x * 0.0 + 1e4) }");
    tegu_tensor x = tensor(&r, 0, 2, 4, 8, 0);
    call(&r, &x, 1);
    for (int i = 0; i < 32; i++)
        want[i] = 0.125;
    check_close(r.out, want, 32);
    end(&r);
}

static void norms_follow_their_formulas(void **state)
{
    run r;
    double rms[24], layer[24];
    (void)state;
    begin(&r, "axis T in 1..8\n"
              "entry f(x: f32[T, 8], w: f32[8], b: f32[8]) -> y: f32[2, T, 8]"
              " {\n  let p = reshape(rms_norm(x, w, eps = 0.01), [1, T, 8])\n"
              "  let q = reshape(layer_norm(x, w, b, 0.01), [1, T, 8])\n"
              "  return concat(p, q, axis = 0)\n}");
    tegu_tensor in[] = {tensor(&r, 0, 2, 3, 8, 0), tensor(&r, 1, 1, 8, 0, 0),
                        tensor(&r, 2, 1, 8, 0, 0)};
    const float *x = in[0].data, *w = in[1].data, *b = in[2].data;
    call(&r, in, 3);
    for (int t = 0; t < 3; t++) {
        double square = 0, mean = 0, variance = 0;
        for (int i = 0; i < 8; i++) {
            square += (double)x[t * 8 + i] * x[t * 8 + i] / 8;
            mean += x[t * 8 + i] / 8.0;
        }
        for (int i = 0; i < 8; i++)
            variance += pow(x[t * 8 + i] - mean, 2) / 8;
        for (int i = 0; i < 8; i++) {
            rms[t * 8 + i] = x[t * 8 + i] / sqrt(square + 0.01) * w[i];
            layer[t * 8 + i] =
                (x[t * 8 + i] - mean) / sqrt(variance + 0.01) * w[i] + b[i];
        }
    }
    check_close(r.out, rms, 24);
    check_close(r.out + 24, layer, 24);
    end(&r);
}

/* --- rope --- */

/* x [T, H, D] turned at positions from `at`, over the first n dimensions. */
static void turn(const float *x, int64_t T, int64_t H, int64_t D, int64_t n,
                 int64_t at, bool half, double factor, double *out)
{
    for (int64_t v = 0; v < T * H; v++) {
        const float *from = x + v * D;
        double *to = out + v * D;
        for (int64_t i = 0; i < D; i++)
            to[i] = from[i];
        for (int64_t i = 0; i < n / 2; i++) {
            double angle = (double)(at + v / H) *
                           pow(10000, -2.0 * (double)i / (double)n) / factor;
            int64_t a = half ? i : 2 * i, b = half ? i + n / 2 : 2 * i + 1;
            to[a] = from[a] * cos(angle) - from[b] * sin(angle);
            to[b] = from[b] * cos(angle) + from[a] * sin(angle);
        }
    }
}

static void rope_turns_pairs_of_both_styles(void **state)
{
    static const struct {
        const char *attrs;
        int64_t n;
        bool half;
        double factor;
    } rows[] = {
        {"", 8, true, 1},
        {", style = \"interleaved\"", 8, false, 1},
        {", dims = 4", 4, true, 1},
        {", dims = 4, style = \"interleaved\"", 4, false, 1},
        {", factor = 4", 8, true, 4},
    };
    (void)state;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        run r;
        double want[48];
        const char *form = "axis T in 1..8\n"
                           "entry f(x: f32[T, 2, 8]) -> y: f32[T, 2, 8]"
                           " { return rope(x, 5%s) }";
        char text[256];
        snprintf(text, sizeof text, form, rows[k].attrs);
        begin(&r, text);
        tegu_tensor x = tensor(&r, 0, 3, 3, 2, 8);
        call(&r, &x, 1);
        turn(x.data, 3, 2, 8, rows[k].n, 5, rows[k].half, rows[k].factor, want);
        check_close(r.out, want, 48);
        end(&r);
    }
}

/* Llama 3.1's scaling as transformers computes it (head 8, theta 10000, factor
 * 8, low 1, high 4, original 64): inv_freq by hand. */
static void llama3_frequencies_blend_between_two_wavelengths(void **state)
{
    run r;
    double want[4];
    const double tau = 2 * acos(-1.0);
    (void)state;
    begin(&r, "entry f(x: f32[4]) -> y: f32[4] { return x * 0.0 +"
              " rope_frequencies(8, theta = 10000, factor = 8, low = 1,"
              " high = 4, original = 64) }");
    tegu_tensor x = tensor(&r, 0, 1, 4, 0, 0);
    call(&r, &x, 1);
    want[0] = 1.0; /* wave 6.28 < 64 / 4 */
    double wave = tau / 0.1;
    double smooth = (64 / wave - 1) / 3; /* 16 < 62.8 < 64 */
    want[1] = (1 - smooth) * 0.1 / 8 + smooth * 0.1;
    want[2] = 0.01 / 8;
    want[3] = 0.001 / 8;
    check_close(r.out, want, 4);
    end(&r);
}

/* --- attention --- */

/* q [T, H, 4] at positions from `at`, k and v [S, G, 4]. */
static void attend(const float *q, const float *k, const float *v, int64_t T,
                   int64_t H, int64_t S, int64_t G, int64_t at, bool causal,
                   int64_t window, double scale, double *out)
{
    for (int64_t i = 0; i < T * H; i++) {
        int64_t g = i % H / (H / G), row = at + i / H;
        double total = 0, sum[4] = {0};
        for (int64_t j = 0; j < S; j++) {
            if ((causal && j > row) || (window && j <= row - window))
                continue;
            double score = 0;
            for (int c = 0; c < 4; c++)
                score += (double)q[i * 4 + c] * k[(j * G + g) * 4 + c];
            double weight = exp(score * scale);
            total += weight;
            for (int c = 0; c < 4; c++)
                sum[c] += weight * v[(j * G + g) * 4 + c];
        }
        for (int c = 0; c < 4; c++)
            out[i * 4 + c] = sum[c] / total;
    }
}

static void attention_sees_what_its_attributes_say(void **state)
{
    static const struct {
        const char *attrs;
        bool causal;
        int64_t window;
        double scale;
    } rows[] = {
        {"", true, 0, 0.5},
        {", causal = false", false, 0, 0.5},
        {", window = 2", true, 2, 0.5},
        {", causal = false, window = 3", false, 3, 0.5},
        {", scale = 3.0", true, 0, 3.0},
    };
    (void)state;
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        run r;
        double want[48];
        char text[256];
        snprintf(text, sizeof text,
                 "axis T in 1..8\n"
                 "entry f(q: f32[T, 4, 4], k: f32[7, 2, 4], v: f32[7, 2, 4])"
                 " -> y: f32[T, 4, 4] { return attention(q, k, v, 4%s) }",
                 rows[n].attrs);
        begin(&r, text);
        tegu_tensor in[] = {tensor(&r, 0, 3, 3, 4, 4),
                            tensor(&r, 1, 3, 7, 2, 4),
                            tensor(&r, 2, 3, 7, 2, 4)};
        call(&r, in, 3);
        attend(in[0].data, in[1].data, in[2].data, 3, 4, 7, 2, 4,
               rows[n].causal, rows[n].window, rows[n].scale, want);
        check_close(r.out, want, 48);
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_composite_has_a_definition_with_its_attributes),
        cmocka_unit_test(activations_follow_their_formulas),
        cmocka_unit_test(softmax_of_equal_scores_is_uniform),
        cmocka_unit_test(norms_follow_their_formulas),
        cmocka_unit_test(rope_turns_pairs_of_both_styles),
        cmocka_unit_test(llama3_frequencies_blend_between_two_wavelengths),
        cmocka_unit_test(attention_sees_what_its_attributes_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
