/* SPDX-License-Identifier: Apache-2.0 */
/* peft_open.c - the files of an adapter: which there are, and their tensors.
 *
 * Takes    a path: a folder as PEFT saves it, a safetensors file (with its
 *          numbers in the metadata), or a GGUF file of general.type adapter.
 * Produces an adapter with tensors under the names that PEFT gives them.
 * Leaves   pickle files closed: reading one would run what is in it.
 */
#include "frontend/gguf.h"
#include "frontend/peft_file.h"

#include <string.h>

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

static bool refuse_pickle(const tegu_adapter *a, const char *path)
{
    return tegu_error(a->diag, tegu_loc_file(path), TEGU_E_UNSUPPORTED,
                      "is a pickle file, which runs code when it is read; "
                      "save the adapter as safetensors");
}

/* --- safetensors --- */

static bool read_safetensors(tegu_adapter *a, const char *path,
                             tegu_safetensors **file)
{
    a->path = path;
    *file = tegu_safetensors_open(a->arena, a->diag, path);
    if (!*file)
        return false;
    a->file = (*file)->file;
    for (uint32_t i = 0; i < (*file)->tensors.count; i++)
        tegu_vec_push(a->arena, &a->tensors, (*file)->tensors.data[i]);
    return true;
}

static bool open_folder(tegu_adapter *a, const char *folder,
                        tegu_peft_config *config)
{
    const char *json = tegu_path_join(a->arena, folder, "adapter_config.json");
    const char *weights =
        tegu_path_join(a->arena, folder, "adapter_model.safetensors");
    const char *pickle = tegu_path_join(a->arena, folder, "adapter_model.bin");
    tegu_safetensors *file;
    if (!tegu_path_exists(weights) && tegu_path_exists(pickle))
        return refuse_pickle(a, pickle);
    if (!tegu_path_exists(json))
        return tegu_error(a->diag, tegu_loc_file(folder), TEGU_E_NO_INPUT,
                          "is no adapter: adapter_config.json is missing%s",
                          tegu_path_exists(weights)
                              ? "; its rank and alpha cannot be known"
                              : "");
    return tegu_peft_config_open(a, json, config) &&
           read_safetensors(a, weights, &file);
}

/* --- GGUF --- */

/* Modules of GGUF names, per architecture family; layers are "blk.N.". */
static const struct {
    const char *gguf, *module;
    const char *layer; /* prefix of a layer's modules; NULL: no layer's */
} gguf_names[] = {
    {"attn_q", "self_attn.q_proj", "model.layers."},
    {"attn_k", "self_attn.k_proj", "model.layers."},
    {"attn_v", "self_attn.v_proj", "model.layers."},
    {"attn_output", "self_attn.o_proj", "model.layers."},
    {"ffn_gate", "mlp.gate_proj", "model.layers."},
    {"ffn_up", "mlp.up_proj", "model.layers."},
    {"ffn_down", "mlp.down_proj", "model.layers."},
    {"token_embd", "model.embed_tokens", NULL},
    {"output", "lm_head", NULL},
};

/* "blk.3.attn_q.weight.lora_a" to "model.layers.3.self_attn.q_proj.lora_A";
 * NULL: not known. */
static const char *peft_name(tegu_adapter *a, const char *name)
{
    const char *stem = name, *layer = "";
    if (strncmp(name, "blk.", 4) == 0) {
        size_t digits = strspn(name + 4, "0123456789");
        if (digits == 0 || name[4 + digits] != '.')
            return NULL;
        layer = tegu_format(a->arena, "%.*s.", (int)digits, name + 4);
        stem = name + 5 + digits;
    }
    for (size_t i = 0; i < sizeof gguf_names / sizeof *gguf_names; i++) {
        size_t n = strlen(gguf_names[i].gguf);
        const char *rest = stem + n;
        bool table = strcmp(gguf_names[i].gguf, "token_embd") == 0;
        if (strncmp(stem, gguf_names[i].gguf, n) != 0 ||
            (stem == name) != !gguf_names[i].layer)
            continue;
        bool first = strcmp(rest, ".weight.lora_a") == 0;
        if (first || strcmp(rest, ".weight.lora_b") == 0)
            return tegu_format(a->arena, "%s%s%s.lora_%s%s",
                               gguf_names[i].layer ? gguf_names[i].layer : "",
                               layer, gguf_names[i].module,
                               table ? "embedding_" : "", first ? "A" : "B");
    }
    return NULL;
}

static bool gguf_text_is(const tegu_gguf *g, const char *key,
                         const char *wanted)
{
    const tegu_gguf_value *v = tegu_gguf_find(g, key);
    return v && v->is_text && strcmp(v->text, wanted) == 0;
}

static bool check_gguf(tegu_adapter *a, const tegu_gguf *g)
{
    if (!gguf_text_is(g, "general.type", "adapter"))
        return tegu_adapter_error(a, TEGU_E_ADAPTER, NULL,
                                  "is no adapter: general.type is not "
                                  "'adapter'");
    if (!gguf_text_is(g, "adapter.type", "lora"))
        return tegu_adapter_error(a, TEGU_E_UNSUPPORTED, NULL,
                                  "adapter.type is not 'lora'");
    return gguf_text_is(g, "general.architecture", "llama") ||
           tegu_adapter_error(a, TEGU_E_UNSUPPORTED, NULL,
                              "general.architecture is not 'llama': names "
                              "of other adapters are not known");
}

static bool open_gguf(tegu_adapter *a, const char *path,
                      tegu_peft_config *config)
{
    tegu_gguf *g = tegu_gguf_open(a->arena, a->diag, path);
    a->path = path;
    a->gguf = true;
    if (!g)
        return false;
    a->file = g->file;
    if (!check_gguf(a, g))
        return false;
    const tegu_gguf_value *alpha = tegu_gguf_find(g, "adapter.lora.alpha");
    if (alpha && !(alpha->number > 0 && alpha->number <= 1e30))
        return tegu_adapter_error(a, TEGU_E_ADAPTER, NULL,
                                  "adapter.lora.alpha is %g; it must be "
                                  "above 0",
                                  alpha->number);
    config->alpha = alpha ? alpha->number : 0;
    for (uint32_t i = 0; i < g->tensors.count; i++) {
        tegu_stored_tensor t = g->tensors.data[i];
        const char *name = peft_name(a, t.name);
        if (!name)
            return tegu_adapter_error(a, TEGU_E_ADAPTER, t.name,
                                      "is no tensor of an adapter: nothing "
                                      "would use it");
        t.name = name;
        tegu_vec_push(a->arena, &a->tensors, t);
    }
    return true;
}

/* --- any file --- */

static bool open_file(tegu_adapter *a, const char *path,
                      tegu_peft_config *config)
{
    tegu_safetensors *file;
    if (ends_with(path, ".gguf"))
        return open_gguf(a, path, config);
    if (ends_with(path, ".bin") || ends_with(path, ".pt") ||
        ends_with(path, ".pth"))
        return refuse_pickle(a, path);
    return read_safetensors(a, path, &file) &&
           tegu_peft_config_metadata(a, file, config);
}

tegu_adapter *tegu_adapter_open(tegu_arena *arena, tegu_diag *diag,
                                const char *path,
                                const tegu_adapter_options *options)
{
    tegu_adapter *a = TEGU_NEW(arena, tegu_adapter);
    tegu_peft_config config = {.options = options, .ramp = -1};
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    path = tegu_format(arena, "%.*s", (int)length, path);
    a->arena = arena;
    a->diag = diag;
    a->path = path;
    a->name = tegu_path_base(path);
    bool ok;
    if (!tegu_path_exists(path))
        ok = tegu_error(diag, tegu_loc_file(path), TEGU_E_NO_INPUT,
                        "adapter does not exist");
    else if (tegu_path_is_dir(path))
        ok = open_folder(a, path, &config);
    else
        ok = open_file(a, path, &config);
    config.options = options;
    ok = ok && tegu_adapter_settle(a, &config);
    tegu_peft_config_close(&config);
    if (ok)
        return a;
    tegu_adapter_close(a);
    return NULL;
}

void tegu_adapter_close(tegu_adapter *adapter)
{
    if (adapter->file.data)
        tegu_file_unmap(&adapter->file);
    adapter->file = (tegu_file){0};
}
