/* SPDX-License-Identifier: Apache-2.0 */
/* peft_match.c - which modules a config speaks of, by PEFT's own rules
 * (peft/tuners/tuners_utils.py, check_target_module_exists and
 * get_pattern_key): names match whole modules or their ends behind a dot, one
 * string is an expression over the whole name, layers are found by the number
 * that follows layers_pattern, patterns of ranks match ends.
 *
 * Expressions are Python's; PCRE2 reads what configs use of them.  The work of
 * one match is bounded.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "frontend/peft_config.h"

#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { REGEX_LIMIT = 4096, MATCH_LIMIT = 1000000 };

static bool bad_regex(const tegu_adapter *a, const char *pattern,
                      const char *why)
{
    return tegu_error(a->diag, tegu_loc_file(a->config_path), TEGU_E_ADAPTER,
                      "expression '%s' %s",
                      tegu_escaped(a->arena, pattern, strlen(pattern)), why);
}

/* Does the pattern match the whole of `text`?  *group, when asked for: the
 * first group as a number, -1 when it took no part. */
static bool match_whole(const tegu_adapter *a, const char *pattern,
                        const char *text, bool *matched, int64_t *group)
{
    int number;
    PCRE2_SIZE at;
    *matched = false;
    if (strlen(pattern) > REGEX_LIMIT)
        return bad_regex(a, pattern, "is longer than 4096 bytes");
    pcre2_code *code = pcre2_compile(
        (PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
        PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &number, &at, NULL);
    if (!code) {
        PCRE2_UCHAR text_of[128];
        pcre2_get_error_message(number, text_of, sizeof text_of);
        return bad_regex(a, pattern,
                         tegu_format(a->arena, "cannot be read: %s", text_of));
    }
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (!data || !limits)
        tegu_arena_fail(a->arena);
    pcre2_set_match_limit(limits, MATCH_LIMIT);
    int got =
        pcre2_match(code, (PCRE2_SPTR)text, strlen(text), 0, 0, data, limits);
    *matched = got > 0;
    if (group) {
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(data);
        bool there = got > 1 && ends[2] != PCRE2_UNSET;
        *group = there ? strtoll(text + ends[2], NULL, 10) : -1;
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    pcre2_code_free(code);
    return got > 0 || got == PCRE2_ERROR_NOMATCH ||
           bad_regex(a, pattern, "takes too long to match");
}

bool tegu_peft_is_named(const char *module, const char *const *names,
                        uint32_t count)
{
    size_t length = strlen(module);
    for (uint32_t i = 0; i < count; i++) {
        size_t n = strlen(names[i]);
        if (n <= length && strcmp(module + length - n, names[i]) == 0 &&
            (n == length || module[length - n - 1] == '.'))
            return true;
    }
    return false;
}

/* --- layers --- */

static bool has_layer(const tegu_adapter_targets *t, int64_t layer)
{
    for (uint32_t i = 0; i < t->layers.count; i++)
        if (t->layers.data[i] == layer)
            return true;
    return false;
}

static bool in_layers(const tegu_adapter *a, const char *module, bool *ok)
{
    const tegu_adapter_targets *t = &a->targets;
    bool matched;
    int64_t layer;
    if (t->layers.count == 0)
        return true;
    if (t->patterns.count == 0) {
        *ok = *ok && match_whole(a, ".*\\.[^.]*\\.(\\d+)\\..*", module,
                                 &matched, &layer);
        return *ok && matched && has_layer(t, layer);
    }
    for (uint32_t i = 0; i < t->patterns.count && *ok; i++) {
        const char *pattern =
            tegu_format(a->arena, ".*\\.%s\\.(\\d+)\\..*", t->patterns.data[i]);
        *ok = match_whole(a, pattern, module, &matched, &layer);
        if (*ok && matched)
            return has_layer(t, layer);
    }
    return false;
}

/* --- modules --- */

static bool is_excluded(const tegu_adapter *a, const char *module, bool *ok)
{
    const tegu_adapter_targets *t = &a->targets;
    bool matched = false;
    if (t->exclude_regex)
        *ok = *ok && match_whole(a, t->exclude_regex, module, &matched, NULL);
    return matched ||
           tegu_peft_is_named(module, t->exclude.data, t->exclude.count);
}

bool tegu_peft_is_target(const tegu_adapter *adapter, const char *module,
                         bool *ok)
{
    const tegu_adapter_targets *t = &adapter->targets;
    bool matched = t->all_linear;
    if (!t->stated)
        return true;
    if (is_excluded(adapter, module, ok) || !*ok)
        return false;
    if (t->regex)
        *ok = match_whole(adapter, t->regex, module, &matched, NULL);
    else if (!t->all_linear)
        matched = tegu_peft_is_named(module, t->names.data, t->names.count);
    return *ok && matched && in_layers(adapter, module, ok);
}

/* --- rank_pattern, alpha_pattern --- */

/* The value whose key matches the module's end; NULL: none. */
static bool find_pattern(tegu_adapter *a, const tegu_peft_config *c,
                         const char *table, const char *module,
                         const json_t **found)
{
    json_t *object = tegu_config_get(&c->json, NULL, table), *value;
    const char *key;
    *found = NULL;
    if (object && !json_is_object(object)) {
        tegu_config_error(&c->json, NULL, table, TEGU_E_ADAPTER,
                          "must be an object of names and numbers");
        return false;
    }
    json_object_foreach(object, key, value)
    {
        bool matched;
        const char *body = *key == '^' ? key + 1 : key;
        const char *before = *key == '^' ? "" : "(?:.*\\.)?";
        const char *whole = tegu_format(a->arena, "%s(?:%s)", before, body);
        if (!match_whole(a, whole, module, &matched, NULL))
            return false;
        if (!matched)
            continue;
        *found = value;
        return true;
    }
    return true;
}

bool tegu_peft_rank(tegu_adapter *adapter, const tegu_peft_config *config,
                    const char *module, int64_t *rank, double *alpha)
{
    const json_t *r, *scale;
    *rank = config->rank;
    *alpha = config->alpha;
    if (!config->json.json.root)
        return true;
    if (!find_pattern(adapter, config, "rank_pattern", module, &r) ||
        !find_pattern(adapter, config, "alpha_pattern", module, &scale))
        return false;
    if (r && (!json_is_integer(r) || json_integer_value(r) < 1)) {
        tegu_config_error(&config->json, NULL, "rank_pattern", TEGU_E_ADAPTER,
                          "must give whole numbers from 1");
        return false;
    }
    if (scale && !(json_number_value(scale) > 0)) {
        tegu_config_error(&config->json, NULL, "alpha_pattern", TEGU_E_ADAPTER,
                          "must give numbers above 0");
        return false;
    }
    *rank = r ? json_integer_value(r) : *rank;
    *alpha = scale ? json_number_value(scale) : *alpha;
    return true;
}
