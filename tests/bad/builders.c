/* SPDX-License-Identifier: Apache-2.0 */
/* builders.c - what lies in the folder before a bad command line runs. */
#define _XOPEN_SOURCE 700 /* symlink, link */
#include "tests/bad/cli.h"

#include "ir/base/io.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void put_text(const scratch *s, const char *name, const char *text)
{
    scratch_put(s, name, text, strlen(text));
}

/* --- models --- */

static const char vector[] =
    "model m\naxis N in 1..64\n"
    "entry e(x: f32[N]) -> y: f32[N] { return x * 2.0 + 1.0 }\n";

static const char weighted[] =
    "model m\nweights \"%s\"\n"
    "entry e(x: f32[2]) -> y: f32[2] { return x * param \"a\" [2] }\n";

static const char language_model[] =
    "model lm\naxis vocab = 8, dim = 4, T in 1..16\n%s"
    "weights random(seed = 1, std = 0.1)\n"
    "entry step(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
    "  return linear(embed(tokens, param \"wte\" [vocab, dim]), "
    "param \"head\" [vocab, dim])\n}\n";

static const char good_tokenizer[] =
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,"
    "\"d\":3,\"\\n\":4,\" \":5,\"ab\":6,\"cd\":7},\"merges\":[\"a b\","
    "\"c d\"]}}";

/* --- safetensors --- */

/* "BYTES LENGTH|header": so many bytes of data, zero or "xVALUE"; the length
 * that the file states, or '=' for the header's own. */
static void put_tensors(const scratch *s, const char *name, const char *content)
{
    const char *header = strchr(content, '|') + 1;
    char *at;
    size_t bytes = (size_t)strtoull(content, &at, 10), size = strlen(header);
    int value = *at == 'x' ? (int)strtol(at + 1, &at, 10) : 0;
    uint64_t length = at[1] == '=' ? size : strtoull(at + 1, NULL, 10);
    unsigned char *file = tegu_arena_alloc(s->arena, 8 + size + bytes);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)(length >> (8 * i));
    memcpy(file + 8, header, size);
    memset(file + 8 + size, value, bytes);
    scratch_put(s, name, file, 8 + size + bytes);
}

static const char good_tensors[] =
    "8 =|{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";

static void put_weighted(const scratch *s, const char *weights)
{
    put_text(s, "m.tegu", tegu_format(s->arena, weighted, weights));
}

static void build_cut(const scratch *s, const char *content)
{
    put_weighted(s, "w.safetensors");
    put_tensors(s, "w.safetensors", good_tensors);
    if (truncate("w.safetensors", atol(content)) != 0)
        abort();
}

/* --- a Hugging Face folder --- */

static const struct {
    const char *key, *value;
} config[] = {
    {"architectures", "[\"LlamaForCausalLM\"]"},
    {"model_type", "\"llama\""},
    {"hidden_size", "8"},
    {"intermediate_size", "16"},
    {"num_hidden_layers", "1"},
    {"num_attention_heads", "2"},
    {"num_key_value_heads", "1"},
    {"head_dim", "4"},
    {"vocab_size", "8"},
    {"max_position_embeddings", "16"},
    {"rms_norm_eps", "1e-5"},
    {"rope_theta", "10000.0"},
    {"hidden_act", "\"silu\""},
    {"tie_word_embeddings", "true"},
};

static const struct {
    const char *name, *shape;
    unsigned elements;
} tensors[] = {
    {"model.embed_tokens.weight", "8,8", 64},
    {"model.layers.0.input_layernorm.weight", "8", 8},
    {"model.layers.0.mlp.down_proj.weight", "8,16", 128},
    {"model.layers.0.mlp.gate_proj.weight", "16,8", 128},
    {"model.layers.0.mlp.up_proj.weight", "16,8", 128},
    {"model.layers.0.post_attention_layernorm.weight", "8", 8},
    {"model.layers.0.self_attn.k_proj.weight", "4,8", 32},
    {"model.layers.0.self_attn.o_proj.weight", "8,8", 64},
    {"model.layers.0.self_attn.q_proj.weight", "8,8", 64},
    {"model.layers.0.self_attn.v_proj.weight", "4,8", 32},
    {"model.norm.weight", "8", 8},
};

static void put_config_weights(const scratch *s)
{
    tegu_text header = {.arena = s->arena};
    unsigned at = 0;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        unsigned end = at + 4 * tensors[i].elements;
        tegu_text_printf(&header,
                         "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],"
                         "\"data_offsets\":[%u,%u]}",
                         i ? "," : "{", tensors[i].name, tensors[i].shape, at,
                         end);
        at = end;
    }
    put_tensors(s, "hf/model.safetensors",
                tegu_format(s->arena, "%u =|%s}", at, tegu_text_cstr(&header)));
}

/* The usual keys, but for those that the content gives itself; a key given as
 * `-key` is left out. */
static void build_config(const scratch *s, const char *content)
{
    tegu_text text = {.arena = s->arena};
    put_config_weights(s);
    if (*content == '!') {
        put_text(s, "hf/config.json", content + 1);
        return;
    }
    for (size_t i = 0; i < sizeof config / sizeof *config; i++) {
        const char *quoted = tegu_format(s->arena, "\"%s\"", config[i].key);
        const char *without = tegu_format(s->arena, "-%s", config[i].key);
        if (!strstr(content, quoted) && !strstr(content, without))
            tegu_text_printf(&text, "%s\n %s: %s", text.count ? "," : "{",
                             quoted, config[i].value);
    }
    if (*content && *content != '-')
        tegu_text_printf(&text, ",\n %s", content);
    tegu_text_printf(&text, "\n}\n");
    put_text(s, "hf/config.json", tegu_text_cstr(&text));
}

/* --- scripts --- */

/* One line: `folder NAME`, `file NAME [TEXT]`, `soft OLD NEW`, `hard OLD NEW`,
 * `tensors NAME CONTENT`. */
static void run_line(const scratch *s, char *line)
{
    char *word = strtok(line, " "), *name = strtok(NULL, " ");
    char *rest = strtok(NULL, "");
    const char *error;
    bool ok = true;
    if (strcmp(word, "folder") == 0)
        ok = tegu_make_directory(s->arena, name, &error);
    else if (strcmp(word, "soft") == 0)
        ok = symlink(name, rest) == 0;
    else if (strcmp(word, "hard") == 0)
        ok = link(name, rest) == 0;
    else if (strcmp(word, "tensors") == 0)
        put_tensors(s, name, rest);
    else
        put_text(s, name, rest ? rest : "");
    if (!ok)
        abort();
}

static void run_script(const scratch *s, const char *script)
{
    while (*script) {
        size_t size = strcspn(script, "\n");
        run_line(s, tegu_format(s->arena, "%.*s", (int)size, script));
        script += size + (script[size] == '\n');
    }
}

/* --- all --- */

static void build_language_model(const scratch *s, const char *tokenizer)
{
    put_text(s, "lm.tegu",
             tegu_format(s->arena, language_model,
                         "tokenizer \"tokenizer.json\"\n"));
    put_text(s, "tokenizer.json", tokenizer);
    put_text(s, "t.txt", "ab cd ab cd abcd\n");
}

static const char *const old_outputs[] = {
    "out/m.o", "out/m.h", "out/m.weights", "old.tegu", "old.json",
};

void cli_build(const scratch *s, cli_builder builder, const char *content)
{
    for (size_t i = 0; i < sizeof old_outputs / sizeof *old_outputs; i++)
        put_text(s, old_outputs[i], "old");
    content = scratch_expand(s, content);
    switch (builder) {
    case NONE: break;
    case TEGU: put_text(s, "m.tegu", content); break;
    case TIR: put_text(s, "m.tir", content); break;
    case MODEL:
        put_text(s, "m.tegu", vector);
        run_script(s, content);
        break;
    case WEIGHTS:
        put_weighted(s, "w.safetensors");
        put_tensors(s, "w.safetensors", content);
        break;
    case BYTES:
        put_weighted(s, "w.safetensors");
        put_text(s, "w.safetensors", content);
        break;
    case CUT: build_cut(s, content); break;
    case INDEX:
        put_weighted(s, "w.safetensors.index.json");
        put_tensors(s, "w.safetensors", good_tensors);
        put_text(s, "w.safetensors.index.json", content);
        break;
    case CONFIG: build_config(s, content); break;
    case LM:
        build_language_model(s, good_tokenizer);
        run_script(s, content);
        break;
    case TOKENIZER: build_language_model(s, content); break;
    case TOKENS:
        build_language_model(s, good_tokenizer);
        put_tensors(s, "t.safetensors", content);
        break;
    }
}
