/* SPDX-License-Identifier: Apache-2.0 */
/* hf_llama.c - the Llama family: RMSNorm, RoPE, grouped queries, SwiGLU.
 *
 * Takes    the config of a llama, mistral or qwen2.
 * Produces the text of examples/03_llama/llama.tegu, with that model's sizes,
 *          biases, rope scaling and attention window.
 * Source   transformers' configuration_*.py and modeling_*.py; defaults of
 *          missing keys are theirs.
 */
#include "frontend/hf.h"

#include <string.h>

typedef struct rope {
    double theta, factor; /* factor 1: not scaled */
    double low, high;     /* llama3; 0: linear */
    int64_t original;
} rope;

typedef struct llama {
    int64_t layers, dim, heads, kv_heads, head_dim, hidden, vocab, context;
    int64_t window; /* 0: all keys */
    double eps;
    rope rope;
    bool qkv_bias, out_bias, mlp_bias, tied;
    bool derived; /* head_dim is dim / heads */
} llama;

/* --- reading --- */

static void read_heads(tegu_hf *hf, llama *m)
{
    const tegu_hf_config *c = &hf->config;
    bool needs_kv = (hf->family->traits & TEGU_HF_NEEDS_KV) &&
                    !json_object_get(c->json.root, "num_key_value_heads");
    m->kv_heads = tegu_config_int(c, NULL, "num_key_value_heads",
                                  needs_kv ? 0 : m->heads, 1, TEGU_HF_LARGEST);
    tegu_hf_check_multiple(hf, "num_attention_heads", m->heads,
                           "num_key_value_heads", m->kv_heads);
    if (tegu_config_get(c, NULL, "head_dim")) {
        m->head_dim = tegu_hf_size(hf, "head_dim");
        m->derived = m->head_dim * m->heads == m->dim;
    } else {
        tegu_hf_check_multiple(hf, "hidden_size", m->dim, "num_attention_heads",
                               m->heads);
        m->head_dim = m->dim / m->heads;
        m->derived = true;
    }
    if (m->head_dim % 2)
        tegu_config_error(c, NULL, m->derived ? "hidden_size" : "head_dim",
                          TEGU_E_CONFIG,
                          "gives heads of %lld dimensions, but rotary "
                          "embedding needs an even number",
                          (long long)m->head_dim);
    tegu_hf_check_product(hf, "num_attention_heads", m->heads, "head_dim",
                          m->head_dim ? m->head_dim : 1);
}

static void read_llama3(tegu_hf *hf, const char *outer, int64_t context,
                        rope *r)
{
    const tegu_hf_config *c = &hf->config;
    r->low = tegu_config_positive(c, outer, "low_freq_factor", 0);
    r->high = tegu_config_positive(c, outer, "high_freq_factor", 0);
    r->original = tegu_config_int(c, outer, "original_max_position_embeddings",
                                  context, 1, TEGU_HF_LARGEST);
    if (tegu_config_get(c, outer, "low_freq_factor") &&
        tegu_config_get(c, outer, "high_freq_factor") && r->high <= r->low)
        tegu_config_error(c, outer, "high_freq_factor", TEGU_E_CONFIG,
                          "must be above 'low_freq_factor'");
}

/* The members of rope_scaling (older) or rope_parameters (newer). */
static void read_scaling(tegu_hf *hf, const char *outer, int64_t context,
                         rope *r)
{
    const tegu_hf_config *c = &hf->config;
    const char *key =
        tegu_config_get(c, outer, "rope_type") ? "rope_type" : "type";
    const char *type = tegu_config_text(
        c, outer, key, strcmp(outer, "rope_scaling") == 0 ? NULL : "default");
    const char *const partial = "partial_rotary_factor";
    if (tegu_config_get(c, outer, partial) &&
        tegu_config_positive(c, outer, partial, 1) != 1)
        tegu_config_error(c, outer, partial, TEGU_E_UNSUPPORTED,
                          "is not supported: heads are rotated whole");
    if (strcmp(type, "default") == 0 || strcmp(type, "") == 0)
        return;
    if (strcmp(type, "linear") != 0 && strcmp(type, "llama3") != 0) {
        tegu_config_error(c, outer, key, TEGU_E_UNSUPPORTED,
                          "is '%s'; tegu knows default, linear and llama3",
                          tegu_escaped(hf->arena, type, strlen(type)));
        return;
    }
    r->factor = tegu_config_positive(c, outer, "factor", 0);
    if (r->factor < 1)
        tegu_config_error(c, outer, "factor", TEGU_E_CONFIG,
                          "must be at least 1");
    if (strcmp(type, "llama3") == 0)
        read_llama3(hf, outer, context, r);
}

/* Two spellings: rope_theta beside rope_scaling, or both in rope_parameters. */
static void read_rope(tegu_hf *hf, int64_t context, rope *r)
{
    static const char *const spellings[] = {"rope_scaling", "rope_parameters"};
    const tegu_hf_config *c = &hf->config;
    r->factor = 1;
    r->theta = tegu_config_positive(c, NULL, "rope_theta", 10000);
    for (size_t i = 0; i < 2; i++) {
        const char *outer = spellings[i];
        const json_t *object = tegu_config_get(c, NULL, outer);
        if (!object)
            continue;
        if (!json_is_object(object)) {
            tegu_config_error(c, NULL, outer, TEGU_E_CONFIG,
                              "must be an object");
            continue;
        }
        if (tegu_config_get(c, outer, "full_attention") ||
            tegu_config_get(c, outer, "sliding_attention")) {
            tegu_config_error(c, NULL, outer, TEGU_E_UNSUPPORTED,
                              "differs between layers");
            continue;
        }
        double theta = tegu_config_positive(c, outer, "rope_theta", r->theta);
        if (tegu_config_get(c, NULL, "rope_theta") && theta != r->theta)
            tegu_config_error(c, outer, "rope_theta", TEGU_E_CONFIG,
                              "differs from 'rope_theta' outside");
        r->theta = theta;
        read_scaling(hf, outer, context, r);
    }
}

/* Layers that layer_types calls sliding_attention; -1 when it is not given. */
static int64_t sliding_layers(tegu_hf *hf, int64_t layers)
{
    const tegu_hf_config *c = &hf->config;
    const json_t *types = tegu_config_get(c, NULL, "layer_types");
    if (!types)
        return -1;
    int64_t sliding = 0, full = 0;
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        sliding += type && strcmp(type, "sliding_attention") == 0;
        full += type && strcmp(type, "full_attention") == 0;
    }
    if (sliding + full != layers)
        tegu_config_error(c, NULL, "layer_types", TEGU_E_CONFIG,
                          "must give full_attention or sliding_attention for "
                          "each of %lld layers",
                          (long long)layers);
    return sliding;
}

/* The window of every layer, 0 for none; layers that differ are refused. */
static int64_t read_window(tegu_hf *hf, int64_t layers)
{
    const tegu_hf_config *c = &hf->config;
    unsigned traits = hf->family->traits;
    unsigned windowed = TEGU_HF_WINDOW | TEGU_HF_MAY_WINDOW;
    int64_t sliding = sliding_layers(hf, layers);
    bool given = json_object_get(c->json.root, "sliding_window");
    int64_t missing = given ? 0 : traits & windowed ? 4096 : 0;
    int64_t window =
        tegu_config_int(c, NULL, "sliding_window", missing, 0, TEGU_HF_LARGEST);
    const char *key = "layer_types";
    if (traits & TEGU_HF_MAY_WINDOW) {
        if (!tegu_config_bool(c, "use_sliding_window", false))
            window = 0;
        int64_t first = tegu_config_int(c, NULL, "max_window_layers", 28, 0,
                                        TEGU_HF_LARGEST);
        if (sliding < 0 && window > 0) {
            sliding = first < layers ? layers - first : 0;
            key = "max_window_layers";
        }
    } else if (!(traits & windowed)) {
        window = 0;
    }
    if (sliding < 0 || window == 0)
        return window;
    if (sliding > 0 && sliding < layers)
        tegu_config_error(c, NULL, key, TEGU_E_UNSUPPORTED,
                          "gives some layers a window and others none");
    return sliding ? window : 0;
}

static void read_activation(tegu_hf *hf)
{
    const char *act = tegu_config_text(&hf->config, NULL, "hidden_act", "silu");
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        tegu_config_error(&hf->config, NULL, "hidden_act", TEGU_E_UNSUPPORTED,
                          "is '%s'; tegu knows silu",
                          tegu_escaped(hf->arena, act, strlen(act)));
}

static void read_biases(tegu_hf *hf, llama *m)
{
    unsigned traits = hf->family->traits;
    bool all = tegu_config_bool(&hf->config, "attention_bias", false);
    bool mlp = tegu_config_bool(&hf->config, "mlp_bias", false);
    m->out_bias = all && (traits & TEGU_HF_MAY_BIAS);
    m->qkv_bias = m->out_bias || (traits & TEGU_HF_QKV_BIAS);
    m->mlp_bias = mlp && (traits & TEGU_HF_MAY_BIAS);
}

static llama read_config(tegu_hf *hf)
{
    enum { MOST_LAYERS = 4096 };
    llama m = {0};
    const tegu_hf_config *c = &hf->config;
    m.layers = tegu_config_int(c, NULL, "num_hidden_layers", 0, 1, MOST_LAYERS);
    m.dim = tegu_hf_size(hf, "hidden_size");
    m.heads = tegu_hf_size(hf, "num_attention_heads");
    m.hidden = tegu_hf_size(hf, "intermediate_size");
    m.vocab = tegu_hf_size(hf, "vocab_size");
    m.context = tegu_hf_size(hf, "max_position_embeddings");
    m.eps = tegu_config_positive(c, NULL, "rms_norm_eps", 1e-6);
    read_heads(hf, &m);
    read_activation(hf);
    read_biases(hf, &m);
    read_rope(hf, m.context, &m.rope);
    m.window = read_window(hf, m.layers);
    m.tied = tegu_hf_is_tied(hf, false);
    tegu_hf_check_product(hf, "vocab_size", m.vocab, "hidden_size", m.dim);
    tegu_hf_check_product(hf, "intermediate_size", m.hidden, "hidden_size",
                          m.dim);
    return m;
}

/* --- writing --- */

static void write_axes(tegu_hf *hf, const llama *m)
{
    tegu_text *out = hf->out;
    tegu_text_printf(out,
                     "axis layers = %lld, dim = %lld, heads = %lld, "
                     "kv_heads = %lld, head_dim = ",
                     (long long)m->layers, (long long)m->dim,
                     (long long)m->heads, (long long)m->kv_heads);
    if (m->derived)
        tegu_text_printf(out, "dim / heads\n");
    else
        tegu_text_printf(out, "%lld\n", (long long)m->head_dim);
    tegu_text_printf(out, "axis hidden = %lld, vocab = %lld\n",
                     (long long)m->hidden, (long long)m->vocab);
    tegu_hf_write_calls(
        hf, tegu_format(hf->arena, "context = %lld", (long long)m->context));
}

/* `rope(x, position(), theta = ...)` */
static const char *rope_of(tegu_hf *hf, const rope *r, const char *x)
{
    tegu_text text = {.arena = hf->arena};
    tegu_text_printf(&text, "rope(%s, position(), theta = %s", x,
                     tegu_hf_number(hf, r->theta));
    if (r->factor != 1)
        tegu_text_printf(&text, ", factor = %s", tegu_hf_number(hf, r->factor));
    if (r->low > 0)
        tegu_text_printf(&text, ", low = %s, high = %s, original = %lld",
                         tegu_hf_number(hf, r->low),
                         tegu_hf_number(hf, r->high), (long long)r->original);
    tegu_text_printf(&text, ")");
    return text.data;
}

static void write_projection(tegu_hf *hf, const llama *m, const char *letter,
                             const char *heads)
{
    tegu_text_printf(hf->out, "  let %s = split(", letter);
    tegu_hf_write_linear(
        hf, (tegu_hf_linear){
                .input = "h",
                .name = tegu_format(hf->arena, "self_attn.%s_proj", letter),
                .out = tegu_format(hf->arena, "%s * head_dim", heads),
                .in = "dim",
                .bias = m->qkv_bias});
    tegu_text_printf(hf->out, ", %s)\n", heads);
}

static void write_norm(tegu_hf *hf, const llama *m, const char *result,
                       const char *x, const char *name)
{
    tegu_text_printf(hf->out, "  let %s = rms_norm(%s, ", result, x);
    tegu_hf_write_param(hf, true, name, "dim");
    tegu_text_printf(hf->out, ", eps = %s)\n", tegu_hf_number(hf, m->eps));
}

static void write_attention(tegu_hf *hf, const llama *m)
{
    tegu_text *out = hf->out;
    write_norm(hf, m, "h", "x", "input_layernorm.weight");
    write_projection(hf, m, "q", "heads");
    write_projection(hf, m, "k", "kv_heads");
    write_projection(hf, m, "v", "kv_heads");
    tegu_text_printf(out,
                     "  let a = attention(%s,\n"
                     "                    append(keys, %s),\n"
                     "                    append(values, v), position(), "
                     "causal = true",
                     rope_of(hf, &m->rope, "q"), rope_of(hf, &m->rope, "k"));
    if (m->window)
        tegu_text_printf(out, ", window = %lld", (long long)m->window);
    tegu_text_printf(out, ")\n  let y = x + ");
    tegu_hf_write_linear(hf, (tegu_hf_linear){.input = "merge(a)",
                                              .name = "self_attn.o_proj",
                                              .out = "dim",
                                              .in = "heads * head_dim",
                                              .bias = m->out_bias});
    tegu_text_printf(out, "\n\n");
}

static void write_mlp(tegu_hf *hf, const llama *m)
{
    tegu_text *out = hf->out;
    tegu_hf_linear linear = {.input = "g",
                             .name = "mlp.gate_proj",
                             .out = "hidden",
                             .in = "dim",
                             .bias = m->mlp_bias};
    write_norm(hf, m, "g", "y", "post_attention_layernorm.weight");
    tegu_text_printf(out, "  let m = swiglu(");
    tegu_hf_write_linear(hf, linear);
    tegu_text_printf(out, ",\n                 ");
    linear.name = "mlp.up_proj";
    tegu_hf_write_linear(hf, linear);
    tegu_text_printf(out, ")\n  return y + ");
    tegu_hf_write_linear(hf, (tegu_hf_linear){.input = "m",
                                              .name = "mlp.down_proj",
                                              .out = "dim",
                                              .in = "hidden",
                                              .bias = m->mlp_bias});
    tegu_text_printf(out, "\n}\n\n");
}

static void write_block(tegu_hf *hf, const llama *m)
{
    tegu_text_printf(
        hf->out,
        "# One layer: attention over the cached keys and values, then a gated "
        "MLP.\n"
        "block layer(i, x: f32[T, dim]) from \"%slayers.{i}.\" {\n"
        "  state keys: append f32[context, kv_heads, head_dim]\n"
        "  state values: append f32[context, kv_heads, head_dim]\n\n",
        hf->body);
    write_attention(hf, m);
    write_mlp(hf, m);
}

static void write_trunk(tegu_hf *hf, const llama *m, const char *table)
{
    tegu_text *out = hf->out;
    tegu_text_printf(out, "# The tokens' hidden states after the last layer.\n"
                          "fn trunk(tokens: i32[T]) -> f32[T, dim] {\n"
                          "  let x = embed(tokens, ");
    tegu_hf_write_param(hf, false, table, "vocab, dim");
    tegu_text_printf(out, ")\n"
                          "  let y = repeat layer(0..layers, x)\n"
                          "  return rms_norm(y, ");
    tegu_hf_write_param(
        hf, false, tegu_format(hf->arena, "%snorm.weight", hf->body), "dim");
    tegu_text_printf(out, ", eps = %s)\n}\n", tegu_hf_number(hf, m->eps));
}

void tegu_hf_write_llama(tegu_hf *hf)
{
    llama m = read_config(hf);
    const char *table =
        tegu_format(hf->arena, "%s%s", hf->body, hf->family->embedding);
    hf->layer = "layers.";
    hf->layers = m.layers;
    tegu_hf_write_head(hf, "A Llama-family language model");
    write_axes(hf, &m);
    write_block(hf, &m);
    write_trunk(hf, &m, table);
    tegu_hf_write_entries(hf, m.tied ? table : "lm_head.weight");
}
