/* SPDX-License-Identifier: Apache-2.0 */
/* test_hf.c - Hugging Face folders as text of the language: what is written
 * for each feature of a config, and what is refused how. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "folder.h"
#include "frontend/frontend.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const llama =
    "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"],"
    " \"hidden_size\": 64, \"intermediate_size\": 96,"
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
    " \"num_key_value_heads\": 2, \"vocab_size\": 100,"
    " \"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-05,"
    " \"rope_theta\": 10000.0, \"hidden_act\": \"silu\","
    " \"tie_word_embeddings\": false}";

static const char *const qwen2 =
    "{\"model_type\": \"qwen2\", \"architectures\": [\"Qwen2ForCausalLM\"],"
    " \"hidden_size\": 64, \"intermediate_size\": 96,"
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
    " \"num_key_value_heads\": 2, \"vocab_size\": 100,"
    " \"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-06,"
    " \"rope_theta\": 1000000.0, \"hidden_act\": \"silu\","
    " \"sliding_window\": 32, \"max_window_layers\": 0,"
    " \"use_sliding_window\": false, \"tie_word_embeddings\": true}";

static const char *const mistral =
    "{\"model_type\": \"mistral\", \"hidden_size\": 64,"
    " \"intermediate_size\": 96, \"num_hidden_layers\": 2,"
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2,"
    " \"vocab_size\": 100, \"max_position_embeddings\": 128,"
    " \"sliding_window\": 32, \"tie_word_embeddings\": false}";

static const char *const gpt2 =
    "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"],"
    " \"n_embd\": 48, \"n_layer\": 2, \"n_head\": 4, \"n_positions\": 64,"
    " \"n_inner\": null, \"vocab_size\": 90, \"layer_norm_epsilon\": 1e-05,"
    " \"activation_function\": \"gelu_new\"}";

/* Writes config.json: `base` with the members of `changes` set; one whose new
 * value is "absent" is left out. */
static void put_config(folder *f, const char *base, const char *changes)
{
    json_t *config = json_loads(base, 0, NULL);
    json_t *patch = json_loads(changes, 0, NULL);
    assert_non_null(config);
    assert_non_null(patch);
    const char *key;
    json_t *value;
    json_object_foreach(patch, key, value)
    {
        const char *text = json_string_value(value);
        if (text && strcmp(text, "absent") == 0)
            json_object_del(config, key);
        else
            json_object_set(config, key, value);
    }
    char *text = json_dumps(config, JSON_INDENT(1));
    folder_put(f, "config.json", text);
    free(text);
    json_decref(config);
    json_decref(patch);
}

/* The imported text; NULL when it was refused. */
static const char *import(folder *f, const char *path)
{
    tegu_text text = {.arena = f->arena};
    tegu_file config;
    tegu_diag_clear(f->diag);
    return tegu_import_hf(f->arena, f->diag, path, &text, &config)
               ? tegu_text_cstr(&text)
               : NULL;
}

static const char *import_changed(folder *f, const char *base,
                                  const char *changes)
{
    put_config(f, base, changes);
    return import(f, f->path);
}

static void assert_contains(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        fail_msg("no '%s' in:\n%s", part, text ? text : "(refused)");
}

static void a_llama_reads_as_a_person_would_write_it(void **state)
{
    folder *f = *state;
    const char *text = import(f, "examples/models/wiki5m");
    assert_string_equal(folder_messages(f), "");
    assert_contains(text, "model wiki5m\n");
    tegu_file file;
    const char *error;
    assert_true(tegu_file_read(f->arena, "examples/03_llama/llama.tegu", 0,
                               &file, &error));
    const char *by_hand = (const char *)file.data;
    assert_string_equal(strstr(text, "\naxis"), strstr(by_hand, "\naxis"));
}

static void features_of_a_config_appear_in_the_text(void **state)
{
    static const struct {
        const char *const *base;
        const char *changes;
        const char *part;
    } cases[] = {
        {&llama, "{}", "head_dim = dim / heads\n"},
        {&llama, "{\"head_dim\": 16}", "head_dim = dim / heads\n"},
        {&llama, "{\"head_dim\": 32}", "head_dim = 32\n"},
        {&llama, "{\"num_key_value_heads\": null}", "kv_heads = 4,"},
        {&llama, "{\"num_key_value_heads\": \"absent\"}", "kv_heads = 4,"},
        {&llama, "{\"rms_norm_eps\": \"absent\"}", "eps = 1e-6)"},
        {&llama, "{\"hidden_act\": \"swish\"}", "swiglu("},
        {&llama, "{\"tie_word_embeddings\": true}",
         "return linear(trunk(tokens), "
         "param \"model.embed_tokens.weight\" [vocab, dim])"},
        {&llama, "{}",
         "return linear(last(trunk(tokens)), "
         "param \"lm_head.weight\" [vocab, dim])"},
        {&llama, "{\"attention_bias\": true}",
         "param \"self_attn.o_proj.weight\" [dim, heads * head_dim],\n"
         "                     param \"self_attn.o_proj.bias\" [dim])"},
        {&llama, "{\"mlp_bias\": true}",
         "  let m = swiglu(linear(g, param \"mlp.gate_proj.weight\" "
         "[hidden, dim],\n"
         "                        param \"mlp.gate_proj.bias\" [hidden]),\n"
         "                 linear(g, param \"mlp.up_proj.weight\" "
         "[hidden, dim],\n"
         "                        param \"mlp.up_proj.bias\" [hidden]))"},
        {&llama, "{\"rope_theta\": 500000}", "theta = 500000.0)"},
        {&llama, "{\"rope_theta\": \"absent\"}", "theta = 10000.0)"},
        {&llama, "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}}",
         "rope(q, position(), theta = 10000.0, factor = 4.0)"},
        {&llama, "{\"rope_scaling\": {\"rope_type\": \"default\"}}",
         "rope(q, position(), theta = 10000.0)"},
        {&llama,
         "{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 32.0,"
         "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
         "\"original_max_position_embeddings\": 8192}}",
         "rope(k, position(), theta = 10000.0, factor = 32.0, low = 1.0, "
         "high = 4.0, original = 8192)"},
        {&llama,
         "{\"rope_theta\": \"absent\", \"rope_parameters\": {\"rope_theta\": "
         "1e6, \"rope_type\": \"linear\", \"factor\": 2.5}}",
         "theta = 1000000.0, factor = 2.5)"},
        {&llama, "{\"eos_token_id\": [1, 2], \"dtype\": \"bfloat16\"}",
         "entry step"},
        {&llama, "{\"max_position_embeddings\": 131072}",
         "axis context = 131072           # tokens"},
        {&mistral, "{\"attention_bias\": true}",
         "[dim, heads * head_dim])\n\n"},
        {&mistral, "{}", "causal = true, window = 32)"},
        {&mistral, "{\"sliding_window\": null}", "causal = true)"},
        {&mistral, "{\"sliding_window\": \"absent\"}", "window = 4096)"},
        {&qwen2, "{}",
         "  let q = split(linear(h, param \"self_attn.q_proj.weight\" "
         "[heads * head_dim, dim],\n"
         "                       param \"self_attn.q_proj.bias\" "
         "[heads * head_dim]), heads)\n"},
        {&qwen2, "{}",
         "linear(merge(a), param \"self_attn.o_proj.weight\" "
         "[dim, heads * head_dim])\n"},
        {&qwen2, "{}", "causal = true)"},
        {&qwen2, "{\"use_sliding_window\": true}", "window = 32)"},
        {&qwen2, "{\"use_sliding_window\": true, \"max_window_layers\": 2}",
         "causal = true)"},
        {&qwen2,
         "{\"use_sliding_window\": true, \"layer_types\": "
         "[\"full_attention\", \"full_attention\"]}",
         "causal = true)"},
        {&gpt2, "{}",
         "  let qkv = linear(h, param \"attn.c_attn.weight\" "
         "[3 * heads * head_dim, dim] transposed,\n"
         "                   param \"attn.c_attn.bias\" "
         "[3 * heads * head_dim])\n"},
        {&gpt2, "{}", "let m = gelu_tanh(linear(g, "},
        {&gpt2, "{}", "axis hidden = 4 * dim, vocab = 90\n"},
        {&gpt2, "{\"n_inner\": 100}", "axis hidden = 100, vocab = 90\n"},
        {&gpt2, "{\"activation_function\": \"relu\"}", "let m = relu("},
        {&gpt2, "{\"scale_attn_weights\": false}", "scale = 1.0, causal"},
        {&gpt2, "{}", "param \"transformer.wpe.weight\" [positions, dim]"},
        {&gpt2, "{\"tie_word_embeddings\": false}",
         "linear(trunk(tokens), param \"lm_head.weight\" [vocab, dim])"},
        {&gpt2, "{}",
         "linear(trunk(tokens), "
         "param \"transformer.wte.weight\" [vocab, dim])"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_contains(
            import_changed(*state, *cases[i].base, cases[i].changes),
            cases[i].part);
}

static void what_changes_the_meaning_is_refused_by_name(void **state)
{
    static const struct {
        const char *const *base;
        const char *changes;
        const char *message;
        int exit;
    } cases[] = {
        {&llama, "{\"model_type\": \"phi3\"}",
         "'model_type' is 'phi3'; tegu imports llama, mistral, qwen2, gpt2",
         69},
        {&llama, "{\"model_type\": \"absent\"}", "'model_type' is missing", 65},
        {&llama, "{\"model_type\": 3}",
         "'model_type' must be a string, not an integer", 65},
        {&llama, "{\"architectures\": [\"LlamaForSequenceClassification\"]}",
         "'architectures' has 'LlamaForSequenceClassification'", 69},
        {&llama, "{\"quantization_config\": {\"bits\": 4}}",
         "'quantization_config' is not supported", 69},
        {&llama, "{\"num_local_experts\": 8}",
         "'num_local_experts' is not supported", 69},
        {&llama, "{\"partial_rotary_factor\": 0.5}",
         "'partial_rotary_factor' is not supported", 69},
        {&llama, "{\"hidden_act\": \"gelu\"}",
         "'hidden_act' is 'gelu'; tegu knows silu", 69},
        {&llama, "{\"torch_dtype\": \"int8\"}", "'torch_dtype' is 'int8'", 69},
        {&llama, "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2}}",
         "'rope_scaling.type' is 'yarn'; tegu knows default, linear", 69},
        {&llama, "{\"rope_scaling\": {\"factor\": 2}}",
         "'rope_scaling.type' is missing", 65},
        {&llama, "{\"rope_scaling\": {\"type\": \"linear\"}}",
         "'rope_scaling.factor' is missing", 65},
        {&llama, "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}}",
         "'rope_scaling.factor' is 0; it must be above 0", 65},
        {&llama, "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0.5}}",
         "'rope_scaling.factor' must be at least 1", 65},
        {&llama, "{\"rope_scaling\": []}", "'rope_scaling' must be an object",
         65},
        {&llama,
         "{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8,"
         "\"low_freq_factor\": 4, \"high_freq_factor\": 1}}",
         "'rope_scaling.high_freq_factor' must be above", 65},
        {&llama, "{\"rope_parameters\": {\"rope_theta\": 5}}",
         "'rope_parameters.rope_theta' differs from", 65},
        {&llama,
         "{\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 5}}}",
         "'rope_parameters' differs between layers", 69},
        {&llama, "{\"hidden_size\": \"absent\"}", "'hidden_size' is missing",
         65},
        {&llama, "{\"hidden_size\": 64.0}",
         "'hidden_size' must be an integer, not a number with a fraction", 65},
        {&llama, "{\"hidden_size\": 0}",
         "'hidden_size' is 0; it must be 1 to 2147483647", 65},
        {&llama, "{\"hidden_size\": -64}", "'hidden_size' is -64", 65},
        {&llama, "{\"hidden_size\": 4294967296}", "is 4294967296", 65},
        {&llama, "{\"hidden_size\": 66}",
         "'hidden_size' is 66, which is not a multiple of "
         "'num_attention_heads' 4",
         65},
        {&llama, "{\"num_key_value_heads\": 3}",
         "'num_attention_heads' is 4, which is not a multiple of "
         "'num_key_value_heads' 3",
         65},
        {&llama, "{\"head_dim\": 15}", "'head_dim' gives heads of 15", 65},
        {&llama, "{\"num_hidden_layers\": 1000000}", "it must be 1 to 4096",
         65},
        {&llama, "{\"vocab_size\": 2147483647, \"hidden_size\": 2147483644}",
         "'vocab_size' times 'hidden_size' is 2147483647 * 2147483644", 65},
        {&llama, "{\"rms_norm_eps\": \"1e-5\"}",
         "'rms_norm_eps' must be a number, not a string", 65},
        {&llama, "{\"rms_norm_eps\": 0}", "'rms_norm_eps' is 0", 65},
        {&llama, "{\"tie_word_embeddings\": 1}",
         "'tie_word_embeddings' must be true or false, not an integer", 65},
        {&llama, "{\"eos_token_id\": \"</s>\"}", "'eos_token_id' must be", 65},
        {&mistral, "{\"num_key_value_heads\": \"absent\"}",
         "'num_key_value_heads' is missing", 65},
        {&mistral,
         "{\"layer_types\": [\"full_attention\", \"sliding_attention\"]}",
         "'layer_types' gives some layers a window and others none", 69},
        {&mistral, "{\"layer_types\": [\"full_attention\"]}",
         "'layer_types' must give", 65},
        {&qwen2, "{\"use_sliding_window\": true, \"max_window_layers\": 1}",
         "'max_window_layers' gives some layers a window", 69},
        {&gpt2, "{\"activation_function\": \"mish\"}",
         "'activation_function' is 'mish'; tegu knows gelu_new", 69},
        {&gpt2, "{\"scale_attn_by_inverse_layer_idx\": true}",
         "'scale_attn_by_inverse_layer_idx' is not supported", 69},
        {&gpt2, "{\"n_head\": 5}", "'n_embd' is 48, which is not a multiple",
         65},
    };
    folder *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = import_changed(f, *cases[i].base, cases[i].changes);
        if (text)
            fail_msg("%s was accepted", cases[i].changes);
        assert_contains(folder_messages(f), cases[i].message);
        assert_int_equal(tegu_diag_exit_code(f->diag), cases[i].exit);
    }
}

static void
all_problems_of_a_config_come_in_one_run_each_at_its_key(void **state)
{
    folder *f = *state;
    folder_put_tensors(f, "model.safetensors",
                       "model.embed_tokens.weight F32 2");
    folder_put(f, "config.json",
               "{\n"
               "  \"model_type\": \"llama\",\n"
               "  \"hidden_size\": \"64\",\n"
               "  \"hidden_act\": \"relu\",\n"
               "  \"num_attention_heads\": 4,\n"
               "  \"num_hidden_layers\": 1,\n"
               "  \"intermediate_size\": 0,\n"
               "  \"vocab_size\": 5,\n"
               "  \"num_key_value_heads\": 3,\n"
               "  \"head_dim\": 16\n"
               "}\n");
    assert_null(import(f, f->path));
    const char *messages = folder_messages(f);
    static const char *const parts[] = {
        "config.json:3:3: error: 'hidden_size' must be an integer, not a "
        "string [E0303]\n"
        "      \"hidden_size\": \"64\",\n"
        "      ^~~~~~~~~~~~~\n",
        "config.json:4:3: error: 'hidden_act' is 'relu'",
        "config.json:5:3: error: 'num_attention_heads' is 4, which",
        "config.json:7:3: error: 'intermediate_size' is 0;",
        "config.json:1:1: error: 'max_position_embeddings' is missing",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_contains(messages, parts[i]);
    assert_int_equal(tegu_diag_errors(f->diag), 5);
}

static void broken_folders_are_errors(void **state)
{
    folder *f = *state;
    assert_null(import(f, folder_file(f, "absent")));
    assert_int_equal(tegu_diag_exit_code(f->diag), 66);
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "config.json:1:1: error: is not JSON"},
        {"{\n \"a\": 1,\n \"a\": 2\n}", "config.json:3:"},
        {"[1]", "config.json:1:1: error: is not a JSON object"},
        {"{\"a\": \"\xff\"}", "config.json:1:8: error: is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        folder_put(f, "config.json", cases[i].text);
        assert_null(import(f, f->path));
        assert_contains(folder_messages(f), cases[i].message);
        assert_int_equal(tegu_diag_exit_code(f->diag), 65);
    }
}

static void
a_folder_without_weights_can_be_imported_with_a_warning(void **state)
{
    folder *f = *state;
    const char *text = import_changed(f, llama, "{}");
    assert_contains(text, "weights \"model.safetensors\"\n");
    assert_null(strstr(text, "tokenizer"));
    assert_contains(folder_messages(f),
                    "warning: no model.safetensors is here");
    folder_put(f, "tokenizer.json", "{}");
    assert_contains(import(f, f->path), "weights \"model.safetensors\"\n"
                                        "tokenizer \"tokenizer.json\"\n");
}

static void the_model_is_named_after_its_folder(void **state)
{
    static const struct {
        const char *folder, *model;
    } cases[] = {
        {"Llama-3.2-1B", "model llama_3_2_1b\n"},
        {"3b__v2.", "model m3b_v2\n"},
        {"model", "model model_llama\n"},
        {"static", "model static_llama\n"},
        {"___", "model llama\n"},
        {"x/.//", "model llama\n"},
        {"a-name-that-is-much-longer-than-a-symbol-of-C-should-be",
         "model a_name_that_is_much_longer_than_a_symbol\n"},
    };
    folder *f = *state;
    const char *error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = tegu_path_join(f->arena, f->path, cases[i].folder);
        assert_true(tegu_make_directory(f->arena, dir, &error));
        put_config(f, llama, "{}");
        char *config = tegu_path_join(f->arena, dir, "config.json");
        assert_int_equal(rename(folder_file(f, "config.json"), config), 0);
        assert_contains(import(f, dir), cases[i].model);
        remove(config);
        remove(dir);
    }
}

static void names_are_taken_from_the_weights(void **state)
{
    folder *f = *state;
    folder_put_tensors(f, "model.safetensors", "wte.weight F32 90,48");
    const char *text = import_changed(f, gpt2, "{}");
    assert_contains(text, "from \"h.{i}.\"");
    assert_contains(text, "param \"wpe.weight\"");
    assert_null(strstr(text, "transformer"));
    folder_put_tensors(f, "model.safetensors",
                       "embed_tokens.weight F32 100,64");
    text = import_changed(f, llama, "{\"tie_word_embeddings\": \"absent\"}");
    assert_contains(text, "from \"layers.{i}.\"");
    assert_contains(text,
                    "linear(trunk(tokens), param \"embed_tokens.weight\"");
}

static void a_missing_tie_flag_is_read_off_the_weights(void **state)
{
    folder *f = *state;
    folder_put_tensors(f, "model.safetensors",
                       "lm_head.weight F32 100,64\n"
                       "model.embed_tokens.weight F32 100,64");
    const char *text =
        import_changed(f, llama, "{\"tie_word_embeddings\": \"absent\"}");
    assert_contains(text, "linear(trunk(tokens), param \"lm_head.weight\"");
}

static void tensors_that_nothing_uses_are_warned_of_once(void **state)
{
    folder *f = *state;
    folder_put_tensors(f, "model.safetensors",
                       "model.embed_tokens.weight F32 100,64\n"
                       "lm_head.weight F32 100,64\n"
                       "model.layers.0.self_attn.q_proj.weight F32 64,64\n"
                       "model.layers.0.self_attn.q_norm.weight F32 16\n"
                       "model.layers.1.self_attn.q_norm.weight F32 16\n"
                       "model.layers.2.self_attn.q_proj.weight F32 64,64\n"
                       "model.layers.0.self_attn.rotary_emb.inv_freq F32 8");
    assert_non_null(import_changed(f, llama, "{}"));
    const char *path = folder_file(f, "model.safetensors");
    assert_string_equal(
        folder_messages(f),
        tegu_format(f->arena,
                    "%s: warning: tensor "
                    "'model.layers.0.self_attn.q_norm.weight' is not used: a "
                    "llama has none of that name\n"
                    "%s: warning: tensor "
                    "'model.layers.2.self_attn.q_proj.weight' is not used: a "
                    "llama has none of that name\n",
                    path, path));
}

static void shards_are_named_by_their_index(void **state)
{
    folder *f = *state;
    folder_put_tensors(f, "model-00001-of-00002.safetensors",
                       "model.embed_tokens.weight F32 100,64");
    folder_put_tensors(f, "model-00002-of-00002.safetensors",
                       "lm_head.weight F32 100,64");
    folder_put(f, "model.safetensors.index.json",
               "{\"weight_map\": {\"model.embed_tokens.weight\": "
               "\"model-00001-of-00002.safetensors\", \"lm_head.weight\": "
               "\"model-00002-of-00002.safetensors\"}}");
    assert_contains(import_changed(f, llama, "{}"),
                    "weights \"model.safetensors.index.json\"\n");
    assert_string_equal(folder_messages(f), "");
}

static void malformed_weights_stop_the_import(void **state)
{
    folder *f = *state;
    folder_put(f, "model.safetensors", "short");
    assert_null(import_changed(f, llama, "{}"));
    assert_contains(folder_messages(f), "model.safetensors@0x0: error: ");
}

#define IN_FOLDER(test)                                                        \
    cmocka_unit_test_setup_teardown(test, folder_create, folder_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_llama_reads_as_a_person_would_write_it),
        IN_FOLDER(features_of_a_config_appear_in_the_text),
        IN_FOLDER(what_changes_the_meaning_is_refused_by_name),
        IN_FOLDER(all_problems_of_a_config_come_in_one_run_each_at_its_key),
        IN_FOLDER(broken_folders_are_errors),
        IN_FOLDER(a_folder_without_weights_can_be_imported_with_a_warning),
        IN_FOLDER(the_model_is_named_after_its_folder),
        IN_FOLDER(names_are_taken_from_the_weights),
        IN_FOLDER(a_missing_tie_flag_is_read_off_the_weights),
        IN_FOLDER(tensors_that_nothing_uses_are_warned_of_once),
        IN_FOLDER(shards_are_named_by_their_index),
        IN_FOLDER(malformed_weights_stop_the_import),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
