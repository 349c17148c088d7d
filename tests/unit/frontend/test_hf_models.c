/* SPDX-License-Identifier: Apache-2.0 */
/* test_hf_models.c - imported folders compute what transformers would.
 *
 * Two small models with random weights are written as Hugging Face folders,
 * loaded, interpreted, and compared with forward passes that are written here
 * in f64 after transformers' modeling_qwen2.py and modeling_gpt2.py.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "folder.h"
#include "frontend/frontend.h"
#include "ir/ir.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 11, MOST = 128 };

/* --- the model's files --- */

typedef struct model {
    folder *f;
    TEGU_VEC(tegu_stored_tensor) tensors;
    uint64_t random;
} model;

/* Uniform in (-1, 1): xorshift (Marsaglia, 2003). */
static float draw(model *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (float)((double)(m->random >> 40) / (1 << 23) - 1);
}

/* Adds a tensor of values around `middle`; cols 0: a vector. */
static void add(model *m, const char *name, int rows, int cols, float middle)
{
    int count = rows * (cols ? cols : 1);
    float *data = TEGU_ARRAY(m->f->arena, float, (size_t)count);
    for (int i = 0; i < count; i++)
        data[i] = middle + 0.4f * draw(m);
    tegu_stored_tensor t = {.name = name,
                            .dtype_text = "F32",
                            .rank = cols ? 2 : 1,
                            .dims = {rows, cols},
                            .data = (const unsigned char *)data,
                            .bytes = (size_t)count * sizeof *data};
    tegu_vec_push(m->f->arena, &m->tensors, t);
}

static const char *layer_name(const model *m, const char *format, int layer,
                              const char *rest)
{
    return tegu_format(m->f->arena, "%s%d.%s", format, layer, rest);
}

static const float *get(const model *m, const char *name)
{
    for (uint32_t i = 0; i < m->tensors.count; i++)
        if (strcmp(m->tensors.data[i].name, name) == 0)
            return (const float *)(const void *)m->tensors.data[i].data;
    fail_msg("the reference asks for '%s'", name);
    return NULL;
}

static void save(model *m, const char *config)
{
    const char *error = NULL;
    folder_put(m->f, "config.json", config);
    tegu_outputs *outputs = tegu_outputs_create(m->f->arena);
    bool saved = tegu_safetensors_write(m->f->arena, outputs,
                                        folder_file(m->f, "model.safetensors"),
                                        m->tensors.data, m->tensors.count, NULL,
                                        0, &error) &&
                 tegu_outputs_commit(outputs, &error);
    tegu_outputs_destroy(outputs);
    if (!saved)
        fail_msg("%s", error);
}

/* --- parts of the forward passes --- */

/* y = W x + b, W [out, in], or stored as [in, out]; b may be NULL. */
static void linear(const float *w, const float *b, bool transposed, int in,
                   int out, const double *x, double *y)
{
    for (int o = 0; o < out; o++) {
        y[o] = b ? b[o] : 0;
        for (int i = 0; i < in; i++)
            y[o] += x[i] * w[transposed ? i * out + o : o * in + i];
    }
}

static void rms_norm(const float *w, double eps, int n, const double *x,
                     double *y)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    for (int i = 0; i < n; i++)
        y[i] = x[i] / sqrt(sum / n + eps) * w[i];
}

static void layer_norm(const float *w, const float *b, double eps, int n,
                       const double *x, double *y)
{
    double mean = 0, variance = 0;
    for (int i = 0; i < n; i++)
        mean += x[i] / n;
    for (int i = 0; i < n; i++)
        variance += (x[i] - mean) * (x[i] - mean) / n;
    for (int i = 0; i < n; i++)
        y[i] = (x[i] - mean) / sqrt(variance + eps) * w[i] + b[i];
}

/* One query head over rows 0..t of keys and values, `stride` apart. */
static void attend(const double *q, const double *k, const double *v,
                   int stride, int size, int t, int window, double *out)
{
    double score[TOKENS], sum = 0, top = -INFINITY;
    int first = window && t >= window ? t - window + 1 : 0;
    for (int s = first; s <= t; s++) {
        score[s] = 0;
        for (int i = 0; i < size; i++)
            score[s] += q[i] * k[s * stride + i] / sqrt(size);
        top = score[s] > top ? score[s] : top;
    }
    for (int s = first; s <= t; s++)
        sum += score[s] = exp(score[s] - top);
    for (int i = 0; i < size; i++) {
        out[i] = 0;
        for (int s = first; s <= t; s++)
            out[i] += score[s] / sum * v[s * stride + i];
    }
}

/* --- a Qwen2 with every feature that the family has --- */

enum {
    Q_LAYERS = 2,
    Q_DIM = 32,
    Q_HEADS = 4,
    Q_KV = 2,
    Q_SIZE = 12, /* of a head; not dim / heads */
    Q_HIDDEN = 40,
    Q_VOCAB = 50,
    Q_WINDOW = 5
};

static const char *const qwen2_config =
    "{\"model_type\": \"qwen2\", \"hidden_size\": 32,"
    " \"intermediate_size\": 40, \"num_hidden_layers\": 2,"
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2,"
    " \"head_dim\": 12, \"vocab_size\": 50, \"rms_norm_eps\": 1e-3,"
    " \"max_position_embeddings\": 16, \"tie_word_embeddings\": true,"
    " \"use_sliding_window\": true, \"sliding_window\": 5,"
    " \"max_window_layers\": 0,"
    " \"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 1e4,"
    "  \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
    "  \"original_max_position_embeddings\": 64}}";

static void make_qwen2(model *m)
{
    static const struct {
        const char *name;
        int rows, cols;
        float middle;
    } rows[] = {
        {"input_layernorm.weight", Q_DIM, 0, 1},
        {"self_attn.q_proj.weight", Q_HEADS * Q_SIZE, Q_DIM, 0},
        {"self_attn.q_proj.bias", Q_HEADS * Q_SIZE, 0, 0},
        {"self_attn.k_proj.weight", Q_KV * Q_SIZE, Q_DIM, 0},
        {"self_attn.k_proj.bias", Q_KV * Q_SIZE, 0, 0},
        {"self_attn.v_proj.weight", Q_KV * Q_SIZE, Q_DIM, 0},
        {"self_attn.v_proj.bias", Q_KV * Q_SIZE, 0, 0},
        {"self_attn.o_proj.weight", Q_DIM, Q_HEADS * Q_SIZE, 0},
        {"post_attention_layernorm.weight", Q_DIM, 0, 1},
        {"mlp.gate_proj.weight", Q_HIDDEN, Q_DIM, 0},
        {"mlp.up_proj.weight", Q_HIDDEN, Q_DIM, 0},
        {"mlp.down_proj.weight", Q_DIM, Q_HIDDEN, 0},
    };
    for (int l = 0; l < Q_LAYERS; l++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            add(m, layer_name(m, "model.layers.", l, rows[i].name),
                rows[i].rows, rows[i].cols, rows[i].middle);
    add(m, "model.embed_tokens.weight", Q_VOCAB, Q_DIM, 0);
    add(m, "model.norm.weight", Q_DIM, 0, 1);
    save(m, qwen2_config);
}

/* Rotates halves by llama3's scaled frequencies (modeling_rope_utils.py). */
static void rope(double *x, int position)
{
    const double pi = 3.14159265358979323846;
    for (int i = 0; i < Q_SIZE / 2; i++) {
        double f = pow(1e4, -2.0 * i / Q_SIZE), turns = 64 * f / (2 * pi);
        if (turns < 1)
            f /= 8;
        else if (turns < 4)
            f *= (1 - (turns - 1) / 3) / 8 + (turns - 1) / 3;
        double c = cos(position * f), s = sin(position * f);
        double a = x[i], b = x[i + Q_SIZE / 2];
        x[i] = a * c - b * s;
        x[i + Q_SIZE / 2] = b * c + a * s;
    }
}

static void project(const model *m, int l, const char *letter, int heads,
                    int position, const double *h, double *out)
{
    const char *name = tegu_format(
        m->f->arena, "model.layers.%d.self_attn.%s_proj.", l, letter);
    linear(get(m, tegu_format(m->f->arena, "%sweight", name)),
           get(m, tegu_format(m->f->arena, "%sbias", name)), false, Q_DIM,
           heads * Q_SIZE, h, out);
    for (int i = 0; *letter != 'v' && i < heads; i++)
        rope(out + i * Q_SIZE, position);
}

static void qwen2_attention(const model *m, int l, double x[][MOST])
{
    enum { STRIDE = Q_KV * Q_SIZE };
    static double k[TOKENS * STRIDE], v[TOKENS * STRIDE];
    for (int t = 0; t < TOKENS; t++) {
        double h[Q_DIM], q[Q_HEADS * Q_SIZE], a[Q_HEADS * Q_SIZE], y[Q_DIM];
        rms_norm(
            get(m, layer_name(m, "model.layers.", l, "input_layernorm.weight")),
            1e-3, Q_DIM, x[t], h);
        project(m, l, "q", Q_HEADS, t, h, q);
        project(m, l, "k", Q_KV, t, h, k + t * STRIDE);
        project(m, l, "v", Q_KV, t, h, v + t * STRIDE);
        for (int i = 0; i < Q_HEADS; i++) {
            int group = i / (Q_HEADS / Q_KV) * Q_SIZE;
            attend(q + i * Q_SIZE, k + group, v + group, STRIDE, Q_SIZE, t,
                   Q_WINDOW, a + i * Q_SIZE);
        }
        linear(get(m, layer_name(m, "model.layers.", l,
                                 "self_attn.o_proj.weight")),
               NULL, false, Q_HEADS * Q_SIZE, Q_DIM, a, y);
        for (int i = 0; i < Q_DIM; i++)
            x[t][i] += y[i];
    }
}

static void qwen2_mlp(const model *m, int l, double *x)
{
    double h[Q_DIM], gate[Q_HIDDEN], up[Q_HIDDEN], y[Q_DIM];
    const char *stem = "model.layers.";
    rms_norm(get(m, layer_name(m, stem, l, "post_attention_layernorm.weight")),
             1e-3, Q_DIM, x, h);
    linear(get(m, layer_name(m, stem, l, "mlp.gate_proj.weight")), NULL, false,
           Q_DIM, Q_HIDDEN, h, gate);
    linear(get(m, layer_name(m, stem, l, "mlp.up_proj.weight")), NULL, false,
           Q_DIM, Q_HIDDEN, h, up);
    for (int i = 0; i < Q_HIDDEN; i++)
        gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    linear(get(m, layer_name(m, stem, l, "mlp.down_proj.weight")), NULL, false,
           Q_HIDDEN, Q_DIM, gate, y);
    for (int i = 0; i < Q_DIM; i++)
        x[i] += y[i];
}

static void run_qwen2(const model *m, const int32_t *tokens, double *logits)
{
    static double x[TOKENS][MOST];
    const float *table = get(m, "model.embed_tokens.weight");
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < Q_DIM; i++)
            x[t][i] = table[tokens[t] * Q_DIM + i];
    for (int l = 0; l < Q_LAYERS; l++) {
        qwen2_attention(m, l, x);
        for (int t = 0; t < TOKENS; t++)
            qwen2_mlp(m, l, x[t]);
    }
    for (int t = 0; t < TOKENS; t++) {
        double h[Q_DIM];
        rms_norm(get(m, "model.norm.weight"), 1e-3, Q_DIM, x[t], h);
        linear(table, NULL, false, Q_DIM, Q_VOCAB, h, logits + t * Q_VOCAB);
    }
}

/* --- GPT-2, saved without the head's class: names have no prefix --- */

enum {
    G_LAYERS = 2,
    G_DIM = 24,
    G_HEADS = 3,
    G_SIZE = G_DIM / G_HEADS,
    G_HIDDEN = 4 * G_DIM,
    G_VOCAB = 40,
    G_POSITIONS = 16
};

static const char *const gpt2_config =
    "{\"model_type\": \"gpt2\", \"n_embd\": 24, \"n_layer\": 2,"
    " \"n_head\": 3, \"n_positions\": 16, \"vocab_size\": 40,"
    " \"layer_norm_epsilon\": 1e-3, \"activation_function\": \"gelu_new\"}";

static void make_gpt2(model *m)
{
    static const struct {
        const char *name;
        int rows, cols;
        float middle;
    } rows[] = {
        {"ln_1.weight", G_DIM, 0, 1},
        {"ln_1.bias", G_DIM, 0, 0},
        {"attn.c_attn.weight", G_DIM, 3 * G_DIM, 0},
        {"attn.c_attn.bias", 3 * G_DIM, 0, 0},
        {"attn.c_proj.weight", G_DIM, G_DIM, 0},
        {"attn.c_proj.bias", G_DIM, 0, 0},
        {"ln_2.weight", G_DIM, 0, 1},
        {"ln_2.bias", G_DIM, 0, 0},
        {"mlp.c_fc.weight", G_DIM, G_HIDDEN, 0},
        {"mlp.c_fc.bias", G_HIDDEN, 0, 0},
        {"mlp.c_proj.weight", G_HIDDEN, G_DIM, 0},
        {"mlp.c_proj.bias", G_DIM, 0, 0},
    };
    for (int l = 0; l < G_LAYERS; l++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            add(m, layer_name(m, "h.", l, rows[i].name), rows[i].rows,
                rows[i].cols, rows[i].middle);
    add(m, "wte.weight", G_VOCAB, G_DIM, 0);
    add(m, "wpe.weight", G_POSITIONS, G_DIM, 0);
    add(m, "ln_f.weight", G_DIM, 0, 1);
    add(m, "ln_f.bias", G_DIM, 0, 0);
    save(m, gpt2_config);
}

/* A LayerNorm or a Conv1D of a layer, by the name of its tensors. */
static void gpt2_norm(const model *m, int l, const char *name, const double *x,
                      double *y)
{
    const char *stem = layer_name(m, "h.", l, name);
    layer_norm(get(m, tegu_format(m->f->arena, "%s.weight", stem)),
               get(m, tegu_format(m->f->arena, "%s.bias", stem)), 1e-3, G_DIM,
               x, y);
}

static void conv1d(const model *m, int l, const char *name, int in, int out,
                   const double *x, double *y)
{
    const char *stem = layer_name(m, "h.", l, name);
    linear(get(m, tegu_format(m->f->arena, "%s.weight", stem)),
           get(m, tegu_format(m->f->arena, "%s.bias", stem)), true, in, out, x,
           y);
}

static void gpt2_layer(const model *m, int l, double x[][MOST])
{
    enum { STRIDE = 3 * G_DIM };
    static double qkv[TOKENS * STRIDE];
    const double pi = 3.14159265358979323846;
    for (int t = 0; t < TOKENS; t++) {
        double h[G_DIM];
        gpt2_norm(m, l, "ln_1", x[t], h);
        conv1d(m, l, "attn.c_attn", G_DIM, STRIDE, h, qkv + t * STRIDE);
    }
    for (int t = 0; t < TOKENS; t++) {
        double a[G_DIM], y[G_DIM], h[G_DIM], g[G_HIDDEN];
        for (int i = 0; i < G_DIM; i += G_SIZE)
            attend(qkv + t * STRIDE + i, qkv + G_DIM + i, qkv + 2 * G_DIM + i,
                   STRIDE, G_SIZE, t, 0, a + i);
        conv1d(m, l, "attn.c_proj", G_DIM, G_DIM, a, y);
        for (int i = 0; i < G_DIM; i++)
            x[t][i] += y[i];
        gpt2_norm(m, l, "ln_2", x[t], h);
        conv1d(m, l, "mlp.c_fc", G_DIM, G_HIDDEN, h, g);
        for (int i = 0; i < G_HIDDEN; i++)
            g[i] *= 0.5 * (1 + tanh(sqrt(2 / pi) *
                                    (g[i] + 0.044715 * g[i] * g[i] * g[i])));
        conv1d(m, l, "mlp.c_proj", G_HIDDEN, G_DIM, g, y);
        for (int i = 0; i < G_DIM; i++)
            x[t][i] += y[i];
    }
}

static void run_gpt2(const model *m, const int32_t *tokens, double *logits)
{
    static double x[TOKENS][MOST];
    const float *table = get(m, "wte.weight"), *places = get(m, "wpe.weight");
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < G_DIM; i++)
            x[t][i] = table[tokens[t] * G_DIM + i] + places[t * G_DIM + i];
    for (int l = 0; l < G_LAYERS; l++)
        gpt2_layer(m, l, x);
    for (int t = 0; t < TOKENS; t++) {
        double h[G_DIM];
        layer_norm(get(m, "ln_f.weight"), get(m, "ln_f.bias"), 1e-3, G_DIM,
                   x[t], h);
        linear(table, NULL, false, G_DIM, G_VOCAB, h, logits + t * G_VOCAB);
    }
}

/* --- the comparison --- */

static void check_close(const float *got, const double *want, int count)
{
    for (int i = 0; i < count; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-4 * (1 + fabs(want[i]))))
            fail_msg("logit %d is %g, not %g", i, got[i], want[i]);
}

/* Calls an entry with tokens [first, first + count). */
static void call(const model *m, tegu_executor *run, const char *entry,
                 int32_t *tokens, int count, int rows, int vocab,
                 const double *want)
{
    float *logits = TEGU_ARRAY(m->f->arena, float, (size_t)(rows * vocab));
    tegu_tensor in = {
        .dtype = TEGU_I32, .rank = 1, .dims = {count}, .data = tokens};
    tegu_tensor out = {
        .dtype = TEGU_F32, .rank = 2, .dims = {rows, vocab}, .data = logits};
    if (!run->call(run->self, entry, &in, 1, &out, 1))
        fail_msg("%s", folder_messages(m->f));
    check_close(logits, want, rows * vocab);
}

static void check_model(model *m, int vocab, const double *want,
                        int32_t *tokens)
{
    tegu_load_options options = {0};
    tegu_unit *unit = tegu_load(m->f->arena, m->f->diag, m->f->path, &options);
    if (!unit)
        fail_msg("%s", folder_messages(m->f));
    assert_string_equal(folder_messages(m->f), "");
    tegu_executor *run = tegu_interp_create(unit, m->f->arena);
    assert_non_null(run);
    call(m, run, "step", tokens, TOKENS, TOKENS, vocab, want);
    run->reset(run->self);
    for (int t = 0; t < TOKENS; t++)
        call(m, run, "step", tokens + t, 1, 1, vocab, want + t * vocab);
    run->reset(run->self);
    call(m, run, "step", tokens, 4, 4, vocab, want);
    call(m, run, "prompt", tokens + 4, TOKENS - 4, 1, vocab,
         want + (TOKENS - 1) * vocab);
    run->destroy(run->self);
    tegu_unit_destroy(unit);
}

static void a_qwen2_folder_computes_what_transformers_does(void **state)
{
    static double logits[TOKENS * Q_VOCAB];
    int32_t tokens[TOKENS] = {3, 1, 4, 1, 5, 9, 2, 6, 49, 0, 7};
    model m = {.f = *state, .random = 88172645463325252u};
    make_qwen2(&m);
    run_qwen2(&m, tokens, logits);
    check_model(&m, Q_VOCAB, logits, tokens);
}

static void a_gpt2_folder_computes_what_transformers_does(void **state)
{
    static double logits[TOKENS * G_VOCAB];
    int32_t tokens[TOKENS] = {3, 1, 4, 1, 5, 9, 2, 6, 39, 0, 7};
    model m = {.f = *state, .random = 88172645463325252u};
    make_gpt2(&m);
    run_gpt2(&m, tokens, logits);
    check_model(&m, G_VOCAB, logits, tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_qwen2_folder_computes_what_transformers_does, folder_create,
            folder_destroy),
        cmocka_unit_test_setup_teardown(
            a_gpt2_folder_computes_what_transformers_does, folder_create,
            folder_destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
