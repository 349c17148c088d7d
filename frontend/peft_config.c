/* SPDX-License-Identifier: Apache-2.0 */
/* peft_config.c - what an adapter says about itself.
 *
 * Takes    adapter_config.json as PEFT writes it (LoraConfig; SingLoRA's ports
 *          add ramp_up_steps), or the metadata of a bare safetensors file.
 * Produces the numbers of a tegu_peft_config and the adapter's targets, all of
 *          it copied, so that the JSON tree need not outlive the opening.
 * Leaves   base_model_name_or_path alone: it is never opened or fetched.
 */
#include "frontend/peft_config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT = 16 << 20, RANK_LIMIT = 1 << 20 };

static const char *copy_text(tegu_adapter *a, const char *text)
{
    return tegu_arena_copy(a->arena, text, strlen(text) + 1);
}

/* --- keys that change what is computed --- */

/* Values under which a key that we do not read changes nothing. */
typedef enum neutral { UNSET, FALSE_OR_UNSET, EMPTY_OR_UNSET } neutral;

static const struct {
    const char *key;
    neutral neutral;
} refused[] = {
    {"layer_replication", EMPTY_OR_UNSET},
    {"lora_bias", FALSE_OR_UNSET},
    {"target_parameters", EMPTY_OR_UNSET},
    {"trainable_token_indices", EMPTY_OR_UNSET},
    {"alora_invocation_tokens", EMPTY_OR_UNSET},
    {"use_qalora", FALSE_OR_UNSET},
    {"arrow_config", UNSET},
};

static bool is_neutral(const json_t *value, neutral kind)
{
    if (!value || (kind == FALSE_OR_UNSET && json_is_false(value)))
        return true;
    return kind == EMPTY_OR_UNSET &&
           (json_is_array(value) || json_is_object(value)) &&
           json_array_size(value) + json_object_size(value) == 0;
}

/* These initialisations moved part of the base weights into the adapter. */
static void check_initialisation(const tegu_hf_config *json)
{
    static const char *const moved[] = {"pissa", "olora", "corda", "loftq"};
    const json_t *value = tegu_config_get(json, NULL, "init_lora_weights");
    if (!json_is_string(value))
        return;
    for (size_t i = 0; i < sizeof moved / sizeof *moved; i++)
        if (strncmp(json_string_value(value), moved[i], strlen(moved[i])) == 0)
            tegu_config_error(json, NULL, "init_lora_weights",
                              TEGU_E_UNSUPPORTED,
                              "is %s, which changed the base weights; save "
                              "the adapter converted to plain LoRA",
                              moved[i]);
}

static void check_support(const tegu_hf_config *json)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!is_neutral(tegu_config_get(json, NULL, refused[i].key),
                        refused[i].neutral))
            tegu_config_error(json, NULL, refused[i].key, TEGU_E_UNSUPPORTED,
                              "is not supported: it changes what the adapter "
                              "computes");
    check_initialisation(json);
}

/* --- lists --- */

typedef TEGU_VEC(const char *) text_list;

/* A string or an array of strings. */
static void read_names(tegu_adapter *a, const tegu_hf_config *json,
                       const char *key, text_list *out)
{
    const json_t *value = tegu_config_get(json, NULL, key), *item;
    size_t i;
    if (json_is_string(value)) {
        tegu_vec_push(a->arena, out, copy_text(a, json_string_value(value)));
        return;
    }
    if (value && !json_is_array(value))
        tegu_config_error(json, NULL, key, TEGU_E_ADAPTER,
                          "must be a string or a list of strings");
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item) || !*json_string_value(item)) {
            tegu_config_error(json, NULL, key, TEGU_E_ADAPTER,
                              "must be a list of names; item %zu is not one",
                              i);
            return;
        }
        tegu_vec_push(a->arena, out, copy_text(a, json_string_value(item)));
    }
}

static void read_layers(tegu_adapter *a, const tegu_hf_config *json)
{
    const char *key = "layers_to_transform";
    const json_t *value = tegu_config_get(json, NULL, key);
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    for (size_t i = 0; value && i < count; i++) {
        const json_t *item =
            json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_integer(item) || json_integer_value(item) < 0) {
            tegu_config_error(json, NULL, key, TEGU_E_ADAPTER,
                              "must be layer numbers from 0");
            return;
        }
        tegu_vec_push(a->arena, &a->targets.layers, json_integer_value(item));
    }
}

/* A string is one expression, a list is names. */
static void read_modules(tegu_adapter *a, const tegu_hf_config *json,
                         const char *key, const char **regex, text_list *names)
{
    if (json_is_string(tegu_config_get(json, NULL, key)))
        *regex = copy_text(a, tegu_config_text(json, NULL, key, ""));
    else
        read_names(a, json, key, names);
}

static void read_targets(tegu_adapter *a, const tegu_hf_config *json)
{
    tegu_adapter_targets *t = &a->targets;
    text_list names = {0}, exclude = {0}, patterns = {0}, saved = {0};
    read_modules(a, json, "target_modules", &t->regex, &names);
    read_modules(a, json, "exclude_modules", &t->exclude_regex, &exclude);
    read_names(a, json, "layers_pattern", &patterns);
    read_names(a, json, "modules_to_save", &saved);
    read_layers(a, json);
    for (uint32_t i = 0; i < names.count; i++)
        tegu_vec_push(a->arena, &t->names, names.data[i]);
    for (uint32_t i = 0; i < exclude.count; i++)
        tegu_vec_push(a->arena, &t->exclude, exclude.data[i]);
    for (uint32_t i = 0; i < patterns.count; i++)
        tegu_vec_push(a->arena, &t->patterns, patterns.data[i]);
    for (uint32_t i = 0; i < saved.count; i++)
        tegu_vec_push(a->arena, &t->saved, saved.data[i]);
    t->all_linear = t->regex && strcmp(t->regex, "all-linear") == 0;
    if (t->all_linear)
        t->regex = NULL;
    t->stated = t->all_linear || t->regex || t->names.count;
    const char *bias = tegu_config_text(json, NULL, "bias", "none");
    t->biases = strcmp(bias, "all") == 0 || strcmp(bias, "lora_only") == 0;
    if (!t->biases && strcmp(bias, "none") != 0)
        tegu_config_error(json, NULL, "bias", TEGU_E_ADAPTER,
                          "is \"%s\"; it must be none, all or lora_only",
                          tegu_escaped(a->arena, bias, strlen(bias)));
}

/* --- numbers --- */

static void read_kind(tegu_adapter *a, tegu_peft_config *c)
{
    const char *type = tegu_config_text(&c->json, NULL, "peft_type", NULL);
    c->singlora = strcmp(type, "SINGLORA") == 0;
    if (*type && !c->singlora && strcmp(type, "LORA") != 0)
        tegu_config_error(&c->json, NULL, "peft_type", TEGU_E_UNSUPPORTED,
                          "is \"%s\"; LORA and SINGLORA are supported",
                          tegu_escaped(a->arena, type, strlen(type)));
}

/* u in 0..1 under a key of ours, in no other tool's files. */
static double read_ramp(const tegu_peft_config *c)
{
    const json_t *value = tegu_config_get(&c->json, NULL, "singlora_ramp");
    double u = json_number_value(value);
    if (!value)
        return -1;
    if (!json_is_number(value) || !(u >= 0 && u <= 1))
        tegu_config_error(&c->json, NULL, "singlora_ramp", TEGU_E_ADAPTER,
                          "must be a number from 0 to 1");
    return u;
}

bool tegu_peft_config_open(tegu_adapter *adapter, const char *path,
                           tegu_peft_config *c)
{
    uint32_t errors = tegu_diag_errors(adapter->diag);
    *c = (tegu_peft_config){
        .json = {.arena = adapter->arena, .diag = adapter->diag}};
    adapter->config_path = path;
    if (!tegu_json_open(adapter->arena, adapter->diag, path, CONFIG_LIMIT,
                        &c->json.json))
        return false;
    const tegu_hf_config *json = &c->json;
    adapter->config = json->json.file;
    read_kind(adapter, c);
    c->rank = tegu_config_int(json, NULL, "r", 8, 1, RANK_LIMIT);
    c->alpha = tegu_config_positive(json, NULL, "lora_alpha", 8);
    c->rslora = tegu_config_bool(json, "use_rslora", false);
    c->scale_known = tegu_config_get(json, NULL, "use_rslora") != NULL;
    c->dora = tegu_config_bool(json, "use_dora", false);
    c->ramp = read_ramp(c);
    if (tegu_config_get(json, NULL, "ramp_up_steps"))
        c->ramp_steps = tegu_config_positive(json, NULL, "ramp_up_steps", 1);
    tegu_config_bool(json, "fan_in_fan_out", false);
    read_targets(adapter, json);
    check_support(json);
    if (tegu_diag_errors(adapter->diag) == errors)
        return true;
    tegu_peft_config_close(c);
    return false;
}

void tegu_peft_config_close(tegu_peft_config *config)
{
    if (config->json.json.root)
        tegu_json_close(&config->json.json);
}

/* --- metadata --- */

/* A number under any of the names; `missing` when there is none. */
static bool metadata_number(tegu_adapter *a, const tegu_safetensors *file,
                            const char *const *names, double missing,
                            double least, double *value)
{
    *value = missing;
    for (; *names; names++) {
        const char *text = tegu_safetensors_metadata(file, *names);
        char *end;
        if (!text)
            continue;
        *value = strtod(text, &end);
        if (end != text && !*end && isfinite(*value) && *value >= least &&
            (*value > 0 || least == 0))
            return true;
        return tegu_error(a->diag, tegu_loc_file(a->path), TEGU_E_ADAPTER,
                          "metadata '%s' is '%s'; it must be a number %s",
                          *names, tegu_escaped(a->arena, text, strlen(text)),
                          least > 0 ? "of 1 or more" : "of 0 or more");
    }
    return true;
}

bool tegu_peft_config_metadata(tegu_adapter *adapter,
                               const tegu_safetensors *file,
                               tegu_peft_config *c)
{
    static const char *const rank[] = {"rank", "r", "lora_rank", NULL};
    static const char *const alpha[] = {"alpha", "lora_alpha", NULL};
    static const char *const steps[] = {"ramp_up_steps", NULL};
    static const char *const ramp[] = {"singlora_ramp", NULL};
    double r;
    *c = (tegu_peft_config){
        .json = {.arena = adapter->arena, .diag = adapter->diag}};
    if (!metadata_number(adapter, file, rank, 0, 1, &r) ||
        !metadata_number(adapter, file, alpha, 0, 1e-30, &c->alpha) ||
        !metadata_number(adapter, file, steps, 0, 1, &c->ramp_steps) ||
        !metadata_number(adapter, file, ramp, -1, 0, &c->ramp))
        return false;
    if (r != floor(r) || r > RANK_LIMIT || c->ramp > 1)
        return tegu_error(adapter->diag, tegu_loc_file(adapter->path),
                          TEGU_E_ADAPTER,
                          "metadata names rank %g and ramp %g; a rank is a "
                          "whole number to %d, a ramp at most 1",
                          r, c->ramp, RANK_LIMIT);
    c->rank = (int64_t)r;
    const char *rslora = tegu_safetensors_metadata(file, "use_rslora");
    c->scale_known = rslora != NULL;
    c->rslora = rslora && strcmp(rslora, "true") == 0;
    return true;
}
