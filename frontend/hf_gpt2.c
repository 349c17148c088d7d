/* SPDX-License-Identifier: Apache-2.0 */
/* hf_gpt2.c - GPT-2: LayerNorm, learned positions, one joint projection.
 *
 * Takes    the config of a gpt2.
 * Produces its text.  Its linear layers are Conv1D, stored as [in, out]:
 *          `transposed` says so.
 * Source   transformers' configuration_gpt2.py and modeling_gpt2.py; defaults
 *          of missing keys are theirs.
 */
#include "frontend/hf.h"

#include <string.h>

typedef struct gpt2 {
    int64_t layers, dim, heads, hidden, vocab, positions;
    double eps;
    const char *activation; /* op of the language */
    bool scaled;            /* scores by 1/sqrt(head_dim) */
    bool tied;
} gpt2;

/* --- reading --- */

static const char *read_activation(tegu_hf *hf)
{
    static const struct {
        const char *name, *op;
    } known[] = {{"gelu_new", "gelu_tanh"}, {"gelu_pytorch_tanh", "gelu_tanh"},
                 {"gelu", "gelu"},          {"relu", "relu"},
                 {"silu", "silu"},          {"swish", "silu"}};
    const char *key = "activation_function";
    const char *name = tegu_config_text(&hf->config, NULL, key, "gelu_new");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].op;
    tegu_config_error(&hf->config, NULL, key, TEGU_E_UNSUPPORTED,
                      "is '%s'; tegu knows gelu_new, gelu, relu and silu",
                      tegu_escaped(hf->arena, name, strlen(name)));
    return "gelu_tanh";
}

static gpt2 read_config(tegu_hf *hf)
{
    enum { MOST_LAYERS = 4096, WIDEST = TEGU_HF_LARGEST / 4 };
    gpt2 m = {0};
    const tegu_hf_config *c = &hf->config;
    m.layers = tegu_config_int(c, NULL, "n_layer", 0, 1, MOST_LAYERS);
    m.dim = tegu_config_int(c, NULL, "n_embd", 0, 1, WIDEST);
    m.heads = tegu_hf_size(hf, "n_head");
    m.vocab = tegu_hf_size(hf, "vocab_size");
    m.positions = tegu_hf_size(hf, "n_positions");
    m.hidden =
        tegu_config_int(c, NULL, "n_inner", 4 * m.dim, 1, TEGU_HF_LARGEST);
    m.eps = tegu_config_positive(c, NULL, "layer_norm_epsilon", 1e-5);
    m.activation = read_activation(hf);
    m.scaled = tegu_config_bool(c, "scale_attn_weights", true);
    m.tied = tegu_hf_is_tied(hf, true);
    tegu_hf_check_multiple(hf, "n_embd", m.dim, "n_head", m.heads);
    tegu_hf_check_product(hf, "vocab_size", m.vocab, "n_embd", m.dim);
    tegu_hf_check_product(hf, "n_positions", m.positions, "n_embd", m.dim);
    tegu_hf_check_product(hf, "n_inner", m.hidden, "n_embd", m.dim);
    return m;
}

/* --- writing --- */

static void write_axes(tegu_hf *hf, const gpt2 *m)
{
    tegu_text *out = hf->out;
    tegu_text_printf(out,
                     "axis layers = %lld, dim = %lld, heads = %lld, "
                     "head_dim = dim / heads\n",
                     (long long)m->layers, (long long)m->dim,
                     (long long)m->heads);
    const char *hidden =
        m->hidden == 4 * m->dim
            ? "4 * dim"
            : tegu_format(hf->arena, "%lld", (long long)m->hidden);
    tegu_text_printf(out, "axis hidden = %s, vocab = %lld\n", hidden,
                     (long long)m->vocab);
    tegu_hf_write_axis(
        hf, tegu_format(hf->arena, "positions = %lld", (long long)m->positions),
        "rows of the table of positions");
    tegu_hf_write_calls(hf, "context = positions");
}

static void write_norm(tegu_hf *hf, const gpt2 *m, bool in_layer, const char *x,
                       const char *name)
{
    tegu_text_printf(hf->out, "layer_norm(%s, ", x);
    tegu_hf_write_param(hf, in_layer, tegu_format(hf->arena, "%s.weight", name),
                        "dim");
    tegu_text_printf(hf->out, ", ");
    tegu_hf_write_param(hf, in_layer, tegu_format(hf->arena, "%s.bias", name),
                        "dim");
    tegu_text_printf(hf->out, ", eps = %s)", tegu_hf_number(hf, m->eps));
}

static void write_conv1d(tegu_hf *hf, const char *input, const char *name,
                         const char *to, const char *from)
{
    tegu_hf_write_linear(hf, (tegu_hf_linear){.input = input,
                                              .name = name,
                                              .out = to,
                                              .in = from,
                                              .bias = true,
                                              .transposed = true});
}

static void write_block(tegu_hf *hf, const gpt2 *m)
{
    tegu_text *out = hf->out;
    tegu_text_printf(
        out,
        "# One layer: attention over the cached keys and values, then an "
        "MLP.\n"
        "block layer(i, x: f32[T, dim]) from \"%sh.{i}.\" {\n"
        "  state keys: append f32[context, heads, head_dim]\n"
        "  state values: append f32[context, heads, head_dim]\n\n"
        "  let h = ",
        hf->body);
    write_norm(hf, m, true, "x", "ln_1");
    tegu_text_printf(out, "\n  let qkv = ");
    write_conv1d(hf, "h", "attn.c_attn", "3 * heads * head_dim", "dim");
    tegu_text_printf(
        out,
        "\n"
        "  let width = heads * head_dim\n"
        "  let q = split(qkv[.., 0..width], heads)\n"
        "  let k = split(qkv[.., width..2 * width], heads)\n"
        "  let v = split(qkv[.., 2 * width..3 * width], heads)\n"
        "  let a = attention(q, append(keys, k), append(values, v), "
        "position(),\n"
        "                    %scausal = true)\n"
        "  let y = x + ",
        m->scaled ? "" : "scale = 1.0, ");
    write_conv1d(hf, "merge(a)", "attn.c_proj", "dim", "heads * head_dim");
    tegu_text_printf(out, "\n\n  let g = ");
    write_norm(hf, m, true, "y", "ln_2");
    tegu_text_printf(out, "\n  let m = %s(", m->activation);
    write_conv1d(hf, "g", "mlp.c_fc", "hidden", "dim");
    tegu_text_printf(out, ")\n  return y + ");
    write_conv1d(hf, "m", "mlp.c_proj", "dim", "hidden");
    tegu_text_printf(out, "\n}\n\n");
}

static void write_trunk(tegu_hf *hf, const gpt2 *m, const char *table)
{
    tegu_text *out = hf->out;
    tegu_text_printf(out, "# The tokens' hidden states after the last layer.\n"
                          "fn trunk(tokens: i32[T]) -> f32[T, dim] {\n"
                          "  let x = embed(tokens, ");
    tegu_hf_write_param(hf, false, table, "vocab, dim");
    tegu_text_printf(out, ")\n  let p = embed(position() + iota(T), ");
    tegu_hf_write_param(hf, false,
                        tegu_format(hf->arena, "%swpe.weight", hf->body),
                        "positions, dim");
    tegu_text_printf(out, ")\n"
                          "  let y = repeat layer(0..layers, x + p)\n"
                          "  return ");
    write_norm(hf, m, false, "y", tegu_format(hf->arena, "%sln_f", hf->body));
    tegu_text_printf(out, "\n}\n");
}

void tegu_hf_write_gpt2(tegu_hf *hf)
{
    gpt2 m = read_config(hf);
    const char *table =
        tegu_format(hf->arena, "%s%s", hf->body, hf->family->embedding);
    hf->layer = "h.";
    hf->layers = m.layers;
    tegu_hf_write_head(hf, "A GPT-2 language model");
    write_axes(hf, &m);
    write_block(hf, &m);
    write_trunk(hf, &m, table);
    tegu_hf_write_entries(hf, m.tied ? table : "lm_head.weight");
}
