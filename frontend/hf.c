/* SPDX-License-Identifier: Apache-2.0 */
/* hf.c - a Hugging Face folder as text of the language.
 *
 * Takes    config.json and the names of the tensors in model.safetensors or
 *          its shards.
 * Produces what a person would write for that model: axes, one block for a
 *          layer, the entries step and prompt.
 * How      a row of `families` per model_type; keys that could change the
 *          meaning and are not understood are refused by name, and tensors
 *          that the text does not use are warned of.
 * Leaves   shapes of tensors to the language's loader.
 */
#include "frontend/hf.h"
#include "frontend/c_name.h"
#include "frontend/frontend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t largest_config = (size_t)16 << 20;

static const tegu_hf_family families[] = {
    {"llama", "LlamaForCausalLM", "model.", "embed_tokens.weight",
     tegu_hf_write_llama, TEGU_HF_MAY_BIAS},
    {"mistral", "MistralForCausalLM", "model.", "embed_tokens.weight",
     tegu_hf_write_llama, TEGU_HF_NEEDS_KV | TEGU_HF_WINDOW},
    {"qwen2", "Qwen2ForCausalLM", "model.", "embed_tokens.weight",
     tegu_hf_write_llama,
     TEGU_HF_QKV_BIAS | TEGU_HF_NEEDS_KV | TEGU_HF_MAY_WINDOW},
    {"gpt2", "GPT2LMHeadModel", "transformer.", "wte.weight",
     tegu_hf_write_gpt2, 0},
};
enum { FAMILIES = sizeof families / sizeof *families };

/* Keys that make another model of it, unless null, false or this number. */
static const struct {
    const char *key;
    double neutral;
} refused[] = {
    {"quantization_config", 0},
    {"num_local_experts", 0},
    {"num_experts", 0},
    {"n_routed_experts", 0},
    {"num_experts_per_tok", 0},
    {"moe_intermediate_size", 0},
    {"is_encoder_decoder", 0},
    {"add_cross_attention", 0},
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"query_pre_attn_scalar", 0},
    {"qk_norm", 0},
    {"use_qk_norm", 0},
    {"clip_qkv", 0},
    {"partial_rotary_factor", 1},
    {"embedding_multiplier", 1},
    {"residual_multiplier", 1},
    {"attention_multiplier", 0},
    {"logits_scaling", 1},
    {"logit_scale", 1},
    {"scale_attn_by_inverse_layer_idx", 0},
    {"pruned_heads", 0},
};

/* --- checks of the config --- */

int64_t tegu_hf_size(tegu_hf *hf, const char *key)
{
    return tegu_config_int(&hf->config, NULL, key, 0, 1, TEGU_HF_LARGEST);
}

void tegu_hf_check_multiple(tegu_hf *hf, const char *key, int64_t value,
                            const char *of, int64_t divisor)
{
    if (value % divisor)
        tegu_config_error(&hf->config, NULL, key, TEGU_E_CONFIG,
                          "is %lld, which is not a multiple of '%s' %lld",
                          (long long)value, of, (long long)divisor);
}

void tegu_hf_check_product(tegu_hf *hf, const char *a_key, int64_t a,
                           const char *b_key, int64_t b)
{
    if (b > ((int64_t)1 << 48) / a)
        tegu_config_error(&hf->config, NULL, a_key, TEGU_E_CONFIG,
                          "times '%s' is %lld * %lld; at most 2^48 elements "
                          "make a tensor",
                          b_key, (long long)a, (long long)b);
}

static bool is_neutral(const json_t *value, double neutral)
{
    if (!value || json_is_false(value))
        return true;
    if (json_is_object(value) && json_object_size(value) == 0)
        return true;
    return json_is_number(value) && json_number_value(value) == neutral;
}

static void refuse_strange_keys(tegu_hf *hf)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const char *key = refused[i].key;
        if (!is_neutral(tegu_config_get(&hf->config, NULL, key),
                        refused[i].neutral))
            tegu_config_error(&hf->config, NULL, key, TEGU_E_UNSUPPORTED,
                              "is not supported: it changes what the model "
                              "computes");
    }
}

/* The class that wrote the weights must be the one with the head. */
static void check_architecture(tegu_hf *hf)
{
    const json_t *list = tegu_config_get(&hf->config, NULL, "architectures");
    if (!list)
        return;
    const json_t *first = json_array_get(list, 0);
    if (!json_is_string(first))
        tegu_config_error(&hf->config, NULL, "architectures", TEGU_E_CONFIG,
                          "must be an array of strings");
    else if (strcmp(json_string_value(first), hf->family->architecture) != 0)
        tegu_config_error(&hf->config, NULL, "architectures",
                          TEGU_E_UNSUPPORTED,
                          "has '%s'; of model type '%s', tegu imports %s",
                          tegu_escaped(hf->arena, json_string_value(first),
                                       json_string_length(first)),
                          hf->family->model_type, hf->family->architecture);
}

/* dtype (older: torch_dtype) only says how the weights are stored, which the
 * weights say themselves; one that tegu cannot read is refused here, by name.
 */
static void check_dtype(tegu_hf *hf)
{
    static const char *const known[] = {"float32", "float16", "bfloat16",
                                        "float64", "auto"};
    const char *key =
        tegu_config_get(&hf->config, NULL, "dtype") ? "dtype" : "torch_dtype";
    const char *dtype = tegu_config_text(&hf->config, NULL, key, "auto");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(dtype, known[i]) == 0)
            return;
    tegu_config_error(&hf->config, NULL, key, TEGU_E_UNSUPPORTED,
                      "is '%s'; tegu reads weights in float32, float16 and "
                      "bfloat16",
                      tegu_escaped(hf->arena, dtype, strlen(dtype)));
}

/* One token id or a list of them; hosts read it from the config. */
static void check_eos(tegu_hf *hf)
{
    const json_t *eos = tegu_config_get(&hf->config, NULL, "eos_token_id");
    bool good = !eos || json_is_integer(eos) || json_is_array(eos);
    for (size_t i = 0; i < json_array_size(eos); i++)
        good = good && json_is_integer(json_array_get(eos, i));
    if (!good)
        tegu_config_error(&hf->config, NULL, "eos_token_id", TEGU_E_CONFIG,
                          "must be an integer or an array of integers");
}

bool tegu_hf_is_tied(tegu_hf *hf, bool missing)
{
    bool given = tegu_config_get(&hf->config, NULL, "tie_word_embeddings");
    if (!given && hf->tensors)
        missing = !tegu_tensors_find(hf->tensors, "lm_head.weight");
    bool tied = tegu_config_bool(&hf->config, "tie_word_embeddings", missing);
    if (tied) /* a stored copy of the table is no surprise */
        tegu_map_set(hf->used, "lm_head.weight", strlen("lm_head.weight"), 0);
    return tied;
}

/* --- the folder --- */

static bool has_file(const tegu_hf *hf, const char *name)
{
    return tegu_path_exists(tegu_path_join(hf->arena, hf->folder, name));
}

/* Opens the weights to see how their tensors are called; a folder without any
 * can still be planned. */
static bool open_weights(tegu_hf *hf)
{
    static const char *const names[] = {"model.safetensors",
                                        "model.safetensors.index.json"};
    size_t i = has_file(hf, names[0]) || !has_file(hf, names[1]) ? 0 : 1;
    hf->weights = names[i];
    hf->weights_path = tegu_path_join(hf->arena, hf->folder, names[i]);
    if (!has_file(hf, names[i])) {
        tegu_warning(hf->diag, tegu_loc_file(hf->folder),
                     "no model.safetensors is here: the tensors' names are "
                     "assumed");
        return true;
    }
    hf->tensors = tegu_tensors_open(hf->arena, hf->diag, hf->weights_path);
    return hf->tensors != NULL;
}

/* Some files were saved without the head's class, and so without prefix. */
static void find_prefix(tegu_hf *hf)
{
    const tegu_hf_family *family = hf->family;
    hf->body = family->body;
    if (!hf->tensors)
        return;
    const char *full =
        tegu_format(hf->arena, "%s%s", family->body, family->embedding);
    if (!tegu_tensors_find(hf->tensors, full) &&
        tegu_tensors_find(hf->tensors, family->embedding))
        hf->body = "";
}

/* The part of a tensor's name that `used` knows: behind the prefix, with the
 * layer's number as {i}; the name itself for a number past the last layer. */
static const char *used_name(const tegu_hf *hf, const char *name)
{
    size_t body = strlen(hf->body), layer = strlen(hf->layer);
    if (strncmp(name, hf->body, body) != 0 ||
        strncmp(name + body, hf->layer, layer) != 0)
        return name;
    const char *digits = name + body + layer;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 9 || digits[count] != '.' ||
        strtoll(digits, NULL, 10) >= hf->layers)
        return name;
    return tegu_format(hf->arena, "{i}%s", digits + count);
}

/* Tables that older files carry, computed by every reader anew. */
static bool is_computed(const char *name)
{
    static const char *const endings[] = {".rotary_emb.inv_freq", ".attn.bias",
                                          ".attn.masked_bias"};
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t length = strlen(endings[i]);
        if (size > length && strcmp(name + size - length, endings[i]) == 0)
            return true;
    }
    return false;
}

static void warn_of_unused(tegu_hf *hf, const char *name)
{
    tegu_mark mark = tegu_arena_mark(hf->arena);
    const char *known = used_name(hf, name);
    bool used = tegu_map_find(hf->used, known, strlen(known)) != NULL;
    tegu_arena_release(hf->arena, mark);
    if (used || is_computed(name))
        return;
    known = used_name(hf, name);
    tegu_map_set(hf->used, known, strlen(known), 0);
    tegu_warning(hf->diag, tegu_loc_file(hf->weights_path),
                 "tensor '%s' is not used: a %s has none of that name",
                 tegu_escaped(hf->arena, name, strlen(name)),
                 hf->family->model_type);
}

static void check_all_used(tegu_hf *hf)
{
    for (uint32_t i = 0; hf->tensors && i < hf->tensors->files.count; i++) {
        const tegu_safetensors *file = hf->tensors->files.data[i];
        for (uint32_t k = 0; k < file->tensors.count; k++)
            warn_of_unused(hf, file->tensors.data[k].name);
    }
}

/* --- writing --- */

const char *tegu_hf_number(tegu_hf *hf, double number)
{
    if (number == floor(number) && fabs(number) < 1e15)
        return tegu_format(hf->arena, "%.1f", number);
    tegu_text text = {.arena = hf->arena};
    tegu_text_number(&text, number, false);
    char *exponent = strpbrk(text.data, "e");
    if (exponent && exponent[2] == '0') /* 1e-05 */
        memmove(exponent + 2, exponent + 3, strlen(exponent + 3) + 1);
    return text.data;
}

static bool is_keyword(const char *name)
{
    static const char *const words[] = {
#define TEGU_KEYWORD(id, text, starts) text,
#include "frontend/tokens.def"
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return false;
}

/* A C identifier after the folder: "Llama-3.2-1B" gives llama_3_2_1b. */
static const char *model_name(const tegu_hf *hf)
{
    enum { LONGEST = 40 };
    size_t end = strlen(hf->folder);
    while (end > 1 && hf->folder[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && hf->folder[start - 1] != '/')
        start--;
    tegu_text name = {.arena = hf->arena};
    for (size_t i = start; i < end && name.count < LONGEST; i++) {
        char c = hf->folder[i];
        bool digit = c >= '0' && c <= '9';
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        else if (!digit && !(c >= 'a' && c <= 'z'))
            c = '_';
        if (digit && name.count == 0)
            tegu_text_add(&name, "m", 1);
        if (c != '_' || (name.count > 0 && name.data[name.count - 1] != '_'))
            tegu_text_add(&name, &c, 1);
    }
    while (name.count > 0 && name.data[name.count - 1] == '_')
        name.data[--name.count] = 0;
    if (name.count == 0)
        return hf->family->model_type;
    tegu_diag *unheard = tegu_diag_create(hf->arena);
    if (is_keyword(name.data) ||
        !tegu_c_name_check(unheard, tegu_loc_none(), TEGU_C_MODEL, name.data))
        tegu_text_printf(&name, "_%s", hf->family->model_type);
    return name.data;
}

void tegu_hf_write_head(tegu_hf *hf, const char *what)
{
    tegu_text_printf(hf->out, "# %s, imported from config.json and %s.\n", what,
                     hf->weights);
    tegu_text_printf(hf->out, "model %s\n\n", model_name(hf));
}

void tegu_hf_write_axis(tegu_hf *hf, const char *declared, const char *comment)
{
    tegu_text_printf(hf->out, "axis %-27s# %s\n", declared, comment);
}

static void write_files(tegu_hf *hf)
{
    tegu_text_printf(hf->out, "\nweights \"%s\"\n", hf->weights);
    if (has_file(hf, "tokenizer.json"))
        tegu_text_printf(hf->out, "tokenizer \"tokenizer.json\"\n");
    tegu_text_printf(hf->out, "\n");
}

void tegu_hf_write_calls(tegu_hf *hf, const char *context)
{
    tegu_hf_write_axis(hf, context, "tokens that the caches hold");
    tegu_hf_write_axis(hf, "T in 1..context", "tokens in one call");
    write_files(hf);
}

void tegu_hf_write_param(tegu_hf *hf, bool in_layer, const char *name,
                         const char *shape)
{
    const char *known =
        in_layer ? tegu_format(hf->arena, "{i}.%s", name) : name;
    tegu_map_set(hf->used, known, strlen(known), 0);
    tegu_text_printf(hf->out, "param \"%s\" [%s]", name, shape);
}

/* Columns since the last line break. */
static int column(const tegu_text *text)
{
    uint32_t at = text->count;
    while (at > 0 && text->data[at - 1] != '\n')
        at--;
    return (int)(text->count - at);
}

void tegu_hf_write_linear(tegu_hf *hf, tegu_hf_linear linear)
{
    tegu_arena *arena = hf->arena;
    tegu_text_printf(hf->out, "linear(");
    int indent = column(hf->out);
    tegu_text_printf(hf->out, "%s, ", linear.input);
    tegu_hf_write_param(hf, true, tegu_format(arena, "%s.weight", linear.name),
                        tegu_format(arena, "%s, %s", linear.out, linear.in));
    if (linear.transposed)
        tegu_text_printf(hf->out, " transposed");
    if (linear.bias) {
        tegu_text_printf(hf->out, ",\n%*s", indent, "");
        tegu_hf_write_param(
            hf, true, tegu_format(arena, "%s.bias", linear.name), linear.out);
    }
    tegu_text_printf(hf->out, ")");
}

static void write_entry(tegu_hf *hf, const char *comment, const char *name,
                        const char *rows, const char *trunk, const char *head)
{
    tegu_text_printf(hf->out,
                     "\n# %s\n"
                     "entry %s(tokens: i32[T]) -> logits: f32[%s, vocab] {\n"
                     "  return linear(%s, ",
                     comment, name, rows, trunk);
    tegu_hf_write_param(hf, false, head, "vocab, dim");
    tegu_text_printf(hf->out, ")\n}\n");
}

void tegu_hf_write_entries(tegu_hf *hf, const char *head)
{
    write_entry(hf, "Scores of the next token after every token.", "step", "T",
                "trunk(tokens)", head);
    write_entry(hf,
                "The same after the last token only: what reading a prompt "
                "needs.",
                "prompt", "1", "last(trunk(tokens))", head);
}

/* --- the import --- */

static const tegu_hf_family *find_family(tegu_hf *hf)
{
    uint32_t before = tegu_diag_errors(hf->diag);
    const char *type = tegu_config_text(&hf->config, NULL, "model_type", NULL);
    for (size_t i = 0; i < FAMILIES; i++)
        if (strcmp(families[i].model_type, type) == 0)
            return &families[i];
    if (tegu_diag_errors(hf->diag) > before)
        return NULL;
    tegu_text known = {.arena = hf->arena};
    for (size_t i = 0; i < FAMILIES; i++)
        tegu_text_printf(&known, "%s%s", i ? ", " : "", families[i].model_type);
    tegu_config_error(&hf->config, NULL, "model_type", TEGU_E_UNSUPPORTED,
                      "is '%s'; tegu imports %s",
                      tegu_escaped(hf->arena, type, strlen(type)), known.data);
    return NULL;
}

static void import(tegu_hf *hf)
{
    hf->family = find_family(hf);
    refuse_strange_keys(hf);
    if (!hf->family || !open_weights(hf))
        return;
    find_prefix(hf);
    check_architecture(hf);
    check_dtype(hf);
    check_eos(hf);
    hf->family->write(hf);
    check_all_used(hf);
    if (hf->tensors)
        tegu_tensors_close(hf->tensors);
}

bool tegu_import_hf(tegu_arena *arena, tegu_diag *diag, const char *folder,
                    tegu_text *out, tegu_file *config)
{
    tegu_text text = {.arena = arena};
    tegu_hf hf = {.arena = arena,
                  .diag = diag,
                  .folder = folder,
                  .config = {.arena = arena, .diag = diag},
                  .used = tegu_map_create(arena),
                  .out = &text};
    uint32_t before = tegu_diag_errors(diag);
    const char *path = tegu_path_join(arena, folder, "config.json");
    if (!tegu_json_open(arena, diag, path, largest_config, &hf.config.json))
        return false;
    *config = hf.config.json.file;
    import(&hf);
    tegu_json_close(&hf.config.json);
    if (tegu_diag_errors(diag) > before)
        return false;
    tegu_text_add(out, text.data, text.count);
    return true;
}
