/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_json.c: the model and the added tokens of a tokenizer.json.
 *
 * Takes the file; fills vocabulary, merges, added tokens, bos and eos; leaves
 * the lists of rules to tokenizer_rules.c.  Strict where a wrong file would
 * give wrong ids: duplicate keys and ids, merges of unknown tokens, ids out
 * of range, wrong types are errors; members that do not change ids are
 * ignored.  Parsing is jansson's, which bounds nesting.
 */
#include "runtime/tokenizer_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- errors and members ---- */

tegu_status tegu_tok_bad(const tegu_tok_source *source, const char *format, ...)
{
    char text[sizeof(tegu_reason)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return tegu_runtime_fail(source->message, TEGU_STATUS_FORMAT,
                             "%s: error: %s", source->path, text);
}

tegu_status tegu_tok_memory(const tegu_tok_source *source, bool room)
{
    return room ? TEGU_STATUS_OK : tegu_runtime_out_of_memory(source->message);
}

tegu_status tegu_tok_bool(const tegu_tok_source *source, const json_t *object,
                          const char *where, const char *key, bool *value)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return TEGU_STATUS_OK;
    if (!json_is_boolean(member))
        return tegu_tok_bad(source, "%s.%s must be true or false", where, key);
    *value = json_is_true(member);
    return TEGU_STATUS_OK;
}

tegu_status tegu_tok_string(const tegu_tok_source *source, const json_t *object,
                            const char *where, const char *key,
                            const char **value)
{
    const json_t *member = json_object_get(object, key);
    if (*value && (!member || json_is_null(member)))
        return TEGU_STATUS_OK;
    if (!json_is_string(member))
        return tegu_tok_bad(source, "%s.%s must be a string", where, key);
    *value = json_string_value(member);
    return TEGU_STATUS_OK;
}

tegu_status tegu_tok_integer(const tegu_tok_source *source,
                             const json_t *object, const char *where,
                             const char *key, int64_t low, int64_t high,
                             int64_t *value)
{
    const json_t *member = json_object_get(object, key);
    if (!json_is_integer(member))
        return tegu_tok_bad(source, "%s.%s must be an integer", where, key);
    *value = json_integer_value(member);
    if (*value < low || *value > high)
        return tegu_tok_bad(source, "%s.%s is %lld, outside %lld..%lld", where,
                            key, (long long)*value, (long long)low,
                            (long long)high);
    return TEGU_STATUS_OK;
}

/* The file as a JSON object; json_decref() it. */
static tegu_status load(const tegu_tok_source *source, json_t **root)
{
    char *data = NULL;
    size_t size = 0;
    json_error_t error;
    tegu_status status =
        tegu_tok_read_file(source->path, &data, &size, source->message);
    if (status != TEGU_STATUS_OK)
        return status;
    *root = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error);
    free(data);
    if (!*root)
        return tegu_tok_bad(source, "line %d column %d: %s", error.line,
                            error.column, error.text);
    if (json_is_object(*root))
        return TEGU_STATUS_OK;
    json_decref(*root);
    return tegu_tok_bad(source, "the file must be a JSON object");
}

typedef tegu_status read_function(const tegu_tok_source *source, json_t *root,
                                  tegu_tokenizer *t);

/* Reads what `read` finds in the file. */
static tegu_status read_file(const tegu_tok_source *source, read_function *read,
                             tegu_tokenizer *t)
{
    json_t *root = NULL;
    tegu_status status = load(source, &root);
    if (status != TEGU_STATUS_OK)
        return status;
    status = read(source, root, t);
    json_decref(root);
    return status;
}

/* ---- vocabulary ---- */

static tegu_status read_vocab(const tegu_tok_source *source, json_t *vocab,
                              const char *where, tegu_tokenizer *t)
{
    const char *token;
    json_t *id;
    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        return tegu_tok_bad(
            source, "%s must be an object of tokens and their ids", where);
    json_object_foreach(vocab, token, id)
    {
        long long value = json_integer_value(id);
        size_t size;
        if (!json_is_integer(id))
            return tegu_tok_bad(source,
                                "%s: the id of '%s' must be an "
                                "integer",
                                where, token);
        if (value < 0 || value > TEGU_TOK_MAX_ID)
            return tegu_tok_bad(source,
                                "%s: the id %lld of '%s' is outside "
                                "0..%d",
                                where, value, token, TEGU_TOK_MAX_ID);
        const char *other = tegu_tok_vocab_text(&t->vocab, value, &size);
        if (other)
            return tegu_tok_bad(source,
                                "%s: '%s' and '%.*s' both have the id %lld",
                                where, token, (int)size, other, value);
        if (!tegu_tok_vocab_add(&t->vocab, (int32_t)value, token,
                                strlen(token)))
            return tegu_tok_memory(source, false);
    }
    return TEGU_STATUS_OK;
}

static tegu_status read_vocab_root(const tegu_tok_source *source, json_t *root,
                                   tegu_tokenizer *t)
{
    return read_vocab(source, root, "the vocabulary", t);
}

tegu_status tegu_tok_read_vocab_file(tegu_tokenizer *t, const char *path,
                                     tegu_reason *message)
{
    tegu_tok_source source = {path, message};
    return read_file(&source, read_vocab_root, t);
}

/* ---- merges ---- */

/* The right part drops the prefix that it carries inside a word. */
static tegu_status add_merge(tegu_tokenizer *t, tegu_tok_span left,
                             tegu_tok_span right, const char *text,
                             uint32_t rank, tegu_reason *message)
{
    size_t skip = strlen(t->word_prefix);
    tegu_tok_pair pair = {.rank = rank};
    tegu_tok_span parts[2] = {left, right};
    int32_t ids[2];
    for (int i = 0; i < 2; i++) {
        size_t size = parts[i].end - parts[i].start;
        ids[i] = tegu_tok_vocab_find(&t->vocab, text + parts[i].start, size);
        if (ids[i] < 0)
            return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                     "the merge's token '%.*s' is not in the "
                                     "vocabulary",
                                     (int)(size < 100 ? size : 100),
                                     text + parts[i].start);
    }
    pair.left = ids[0];
    pair.right = ids[1];
    tegu_tok_text joined = {0};
    if (right.end - right.start < skip)
        skip = right.end - right.start;
    bool room =
        tegu_tok_append(&joined, text + left.start, left.end - left.start) &&
        tegu_tok_append(&joined, text + right.start + skip,
                        right.end - right.start - skip);
    if (room)
        pair.result = tegu_tok_vocab_find(&t->vocab, joined.data, joined.size);
    tegu_status status = TEGU_STATUS_OK;
    if (!room || (pair.result >= 0 && !tegu_tok_pairs_add(&t->pairs, pair)))
        status = tegu_runtime_out_of_memory(message);
    else if (pair.result < 0)
        status = tegu_runtime_fail(
            message, TEGU_STATUS_FORMAT,
            "the merged token '%.*s' is not in the vocabulary",
            (int)(joined.size < 100 ? joined.size : 100), joined.data);
    free(joined.data);
    return status;
}

tegu_status tegu_tok_add_merge_text(tegu_tokenizer *t, const char *text,
                                    size_t size, uint32_t rank,
                                    tegu_reason *message)
{
    const char *space = memchr(text, ' ', size);
    size_t cut = space ? (size_t)(space - text) : 0;
    if (!space || cut == 0 || cut + 1 == size ||
        memchr(space + 1, ' ', size - cut - 1))
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "the merge '%.*s' must be two tokens with "
                                 "one space between",
                                 (int)(size < 100 ? size : 100), text);
    return add_merge(t, (tegu_tok_span){0, cut}, (tegu_tok_span){cut + 1, size},
                     text, rank, message);
}

/* ["left", "right"]: tokens may contain spaces. */
static tegu_status add_merge_pair(tegu_tokenizer *t, const json_t *merge,
                                  uint32_t rank, tegu_reason *message)
{
    const json_t *left = json_array_get(merge, 0);
    const json_t *right = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(left) ||
        !json_is_string(right))
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "a merge must be \"left right\" or "
                                 "[\"left\", \"right\"]");
    tegu_tok_text text = {0};
    size_t cut = json_string_length(left);
    tegu_status status;
    if (tegu_tok_append(&text, json_string_value(left), cut) &&
        tegu_tok_append(&text, json_string_value(right),
                        json_string_length(right)))
        status = add_merge(t, (tegu_tok_span){0, cut},
                           (tegu_tok_span){cut, text.size}, text.data, rank,
                           message);
    else
        status = tegu_runtime_out_of_memory(message);
    free(text.data);
    return status;
}

static tegu_status read_merges(const tegu_tok_source *source,
                               const json_t *merges, tegu_tokenizer *t)
{
    if (!json_is_array(merges))
        return tegu_tok_bad(source, "model.merges must be an array");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *merge = json_array_get(merges, i);
        tegu_reason why = {""};
        tegu_status status =
            json_is_string(merge)
                ? tegu_tok_add_merge_text(t, json_string_value(merge),
                                          json_string_length(merge),
                                          (uint32_t)i, &why)
                : add_merge_pair(t, merge, (uint32_t)i, &why);
        if (status == TEGU_STATUS_MEMORY)
            return tegu_tok_memory(source, false);
        if (status != TEGU_STATUS_OK)
            return tegu_tok_bad(source, "model.merges[%zu]: %s", i, why.text);
    }
    return TEGU_STATUS_OK;
}

/* ---- model ---- */

static tegu_status read_affix(const tegu_tok_source *source,
                              const json_t *model, const char *key,
                              char **affix)
{
    const char *text = "";
    tegu_status status = tegu_tok_string(source, model, "model", key, &text);
    if (status != TEGU_STATUS_OK)
        return status;
    if (strlen(text) > 100)
        return tegu_tok_bad(source, "model.%s is longer than 100 bytes", key);
    char *copy = strdup(text);
    if (!copy)
        return tegu_tok_memory(source, false);
    free(*affix);
    *affix = copy;
    return TEGU_STATUS_OK;
}

static tegu_status read_unknown(const tegu_tok_source *source,
                                const json_t *model, tegu_tokenizer *t)
{
    const char *unk = "";
    const json_t *dropout = json_object_get(model, "dropout");
    if (dropout && !json_is_null(dropout) && json_number_value(dropout) != 0)
        return tegu_runtime_fail(source->message, TEGU_STATUS_UNSUPPORTED,
                                 "%s: error: model.dropout would make ids "
                                 "random: not supported",
                                 source->path);
    tegu_status status =
        tegu_tok_string(source, model, "model", "unk_token", &unk);
    if (status != TEGU_STATUS_OK || !*unk)
        return status;
    t->unk = tegu_tok_vocab_find(&t->vocab, unk, strlen(unk));
    return t->unk >= 0
               ? TEGU_STATUS_OK
               : tegu_tok_bad(source,
                              "model.unk_token '%s' is not in the vocabulary",
                              unk);
}

static tegu_status read_flags(const tegu_tok_source *source,
                              const json_t *model, tegu_tokenizer *t)
{
    struct {
        const char *key;
        bool *value;
    } flags[] = {{"byte_fallback", &t->byte_fallback},
                 {"fuse_unk", &t->fuse_unk},
                 {"ignore_merges", &t->ignore_merges}};
    tegu_status status = TEGU_STATUS_OK;
    for (size_t i = 0; i < 3 && status == TEGU_STATUS_OK; i++)
        status =
            tegu_tok_bool(source, model, "model", flags[i].key, flags[i].value);
    return status;
}

static tegu_status read_model(const tegu_tok_source *source, const json_t *root,
                              tegu_tokenizer *t)
{
    const json_t *model = json_object_get(root, "model");
    const char *type = "BPE"; /* files before 2020 leave it out */
    if (!json_is_object(model))
        return tegu_tok_bad(source, "model must be an object");
    tegu_status status = tegu_tok_string(source, model, "model", "type", &type);
    if (status != TEGU_STATUS_OK)
        return status;
    if (strcmp(type, "BPE") != 0)
        return tegu_runtime_fail(source->message, TEGU_STATUS_UNSUPPORTED,
                                 "%s: error: the model '%s' is not supported, "
                                 "only BPE",
                                 source->path, type);
    status =
        read_vocab(source, json_object_get(model, "vocab"), "model.vocab", t);
    if (status == TEGU_STATUS_OK)
        status = read_flags(source, model, t);
    if (status == TEGU_STATUS_OK)
        status = read_affix(source, model, "continuing_subword_prefix",
                            &t->word_prefix);
    if (status == TEGU_STATUS_OK)
        status =
            read_affix(source, model, "end_of_word_suffix", &t->word_suffix);
    if (status == TEGU_STATUS_OK)
        status = read_unknown(source, model, t);
    if (status == TEGU_STATUS_OK)
        status = read_merges(source, json_object_get(model, "merges"), t);
    return status;
}

/* ---- added tokens ---- */

/* Puts the token into the vocabulary unless the model has it under that id. */
static tegu_status place_added(const tegu_tok_source *source, const char *where,
                               const char *content, int64_t id,
                               tegu_tokenizer *t)
{
    size_t size = strlen(content), other_size;
    if (size == 0)
        return tegu_tok_bad(source, "%s.content is empty", where);
    int32_t known = tegu_tok_vocab_find(&t->vocab, content, size);
    if (known == id)
        return TEGU_STATUS_OK;
    if (known >= 0)
        return tegu_tok_bad(source,
                            "%s: '%s' has the id %d in the vocabulary and "
                            "%lld here",
                            where, content, (int)known, (long long)id);
    const char *other = tegu_tok_vocab_text(&t->vocab, id, &other_size);
    if (other)
        return tegu_tok_bad(source,
                            "%s: '%s' and '%.*s' both have the id "
                            "%lld",
                            where, content, (int)other_size, other,
                            (long long)id);
    return tegu_tok_memory(
        source, tegu_tok_vocab_add(&t->vocab, (int32_t)id, content, size));
}

static tegu_status read_added_token(const tegu_tok_source *source,
                                    const json_t *token, const char *where,
                                    tegu_tokenizer *t)
{
    const char *content = NULL;
    int64_t id = 0;
    tegu_tok_added added = {.normalized = false};
    struct {
        const char *key;
        bool *value;
    } flags[] = {{"special", &added.special},
                 {"single_word", &added.single_word},
                 {"lstrip", &added.lstrip},
                 {"rstrip", &added.rstrip},
                 {"normalized", &added.normalized}};
    tegu_status status =
        tegu_tok_integer(source, token, where, "id", 0, TEGU_TOK_MAX_ID, &id);
    if (status == TEGU_STATUS_OK)
        status = tegu_tok_string(source, token, where, "content", &content);
    for (size_t i = 0; i < 5 && status == TEGU_STATUS_OK; i++)
        status =
            tegu_tok_bool(source, token, where, flags[i].key, flags[i].value);
    if (status == TEGU_STATUS_OK)
        status = place_added(source, where, content, id, t);
    if (status != TEGU_STATUS_OK)
        return status;
    added.id = (int32_t)id;
    tegu_reason why = {""};
    status = tegu_tok_add_added(t, added, &why);
    return status == TEGU_STATUS_OK || status == TEGU_STATUS_MEMORY
               ? tegu_tok_memory(source, status == TEGU_STATUS_OK)
               : tegu_tok_bad(source, "%s: %s", where, why.text);
}

static tegu_status read_added(const tegu_tok_source *source, const json_t *root,
                              tegu_tokenizer *t)
{
    const json_t *tokens = json_object_get(root, "added_tokens");
    tegu_status status = TEGU_STATUS_OK;
    if (!tokens || json_is_null(tokens))
        return status;
    if (!json_is_array(tokens))
        return tegu_tok_bad(source, "added_tokens must be an array");
    for (size_t i = 0; i < json_array_size(tokens) && status == TEGU_STATUS_OK;
         i++) {
        char where[64];
        const json_t *token = json_array_get(tokens, i);
        snprintf(where, sizeof where, "added_tokens[%zu]", i);
        status = json_is_object(token)
                     ? read_added_token(source, token, where, t)
                     : tegu_tok_bad(source, "%s must be an object", where);
    }
    return status;
}

/* ---- bos and eos ---- */

/* The first of the names, ended by NULL, that is an added token. */
static int32_t find_special(const tegu_tokenizer *t, const char *const *names)
{
    for (; *names; names++) {
        int32_t id = tegu_tok_vocab_find(&t->vocab, *names, strlen(*names));
        for (size_t i = 0; i < t->added_count; i++)
            if (t->added[i].id == id)
                return id;
    }
    return -1;
}

/* "bos_token": "<s>", or {"content": "<s>", ...}, or null: there is none.
 * Without the member *id stays. */
static tegu_status read_config_token(const tegu_tok_source *source,
                                     const json_t *config, const char *key,
                                     const tegu_tokenizer *t, int32_t *id)
{
    const json_t *token = json_object_get(config, key);
    if (!token)
        return TEGU_STATUS_OK;
    *id = -1;
    if (json_is_null(token))
        return TEGU_STATUS_OK;
    if (json_is_object(token))
        token = json_object_get(token, "content");
    const char *text = json_string_value(token);
    if (!text)
        return tegu_tok_bad(source, "%s must be a string", key);
    *id = tegu_tok_vocab_find(&t->vocab, text, strlen(text));
    return *id >= 0 ? TEGU_STATUS_OK
                    : tegu_tok_bad(source, "%s '%s' is not in the vocabulary",
                                   key, text);
}

static tegu_status read_config(const tegu_tok_source *source, json_t *config,
                               tegu_tokenizer *t)
{
    tegu_status status =
        read_config_token(source, config, "bos_token", t, &t->bos);
    return status == TEGU_STATUS_OK
               ? read_config_token(source, config, "eos_token", t, &t->eos)
               : status;
}

/* The usual names, unless tokenizer_config.json next to the file says else. */
static tegu_status find_ends(tegu_tokenizer *t, const char *path,
                             tegu_reason *message)
{
    static const char *const bos[] = {"<s>", "<|begin_of_text|>", "<bos>",
                                      "<|startoftext|>", NULL};
    static const char *const eos[] = {"</s>", "<|end_of_text|>", "<eos>",
                                      "<|endoftext|>", NULL};
    static const char name[] = "tokenizer_config.json";
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    char *config = malloc(folder + sizeof name);
    if (!config)
        return tegu_runtime_out_of_memory(message);
    memcpy(config, path, folder);
    memcpy(config + folder, name, sizeof name);
    tegu_status status = TEGU_STATUS_OK;
    t->bos = find_special(t, bos);
    t->eos = find_special(t, eos);
    tegu_tok_source source = {config, message};
    if (access(config, F_OK) == 0)
        status = read_file(&source, read_config, t);
    free(config);
    return status;
}

static tegu_status read_tokenizer(const tegu_tok_source *source, json_t *root,
                                  tegu_tokenizer *t)
{
    tegu_status status = read_model(source, root, t);
    if (status == TEGU_STATUS_OK)
        status = tegu_tok_read_rules(source, root, t);
    if (status == TEGU_STATUS_OK)
        status = read_added(source, root, t);
    return status == TEGU_STATUS_OK ? tegu_tok_read_post(source, root, t)
                                    : status;
}

tegu_status tegu_tok_read_json(tegu_tokenizer *t, const char *path,
                               tegu_reason *message)
{
    tegu_tok_source source = {path, message};
    tegu_status status = read_file(&source, read_tokenizer, t);
    if (status == TEGU_STATUS_OK)
        status = find_ends(t, path, message);
    if (status != TEGU_STATUS_OK)
        return status;
    tegu_reason why = {""};
    status = tegu_tok_finish(t, &why);
    return status == TEGU_STATUS_OK || status == TEGU_STATUS_MEMORY
               ? tegu_tok_memory(&source, status == TEGU_STATUS_OK)
               : tegu_tok_bad(&source, "decoder: %s", why.text);
}
