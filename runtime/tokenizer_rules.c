/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_rules.c: normalizers, pre-tokenizers, decoders, post-processors.
 *
 * Takes their JSON objects; produces lists of primitive steps and the ids
 * around a text.  One table per list says which types are known; any other
 * type is refused by its name.  A Sequence is its members one after another.
 * Names and defaults: Hugging Face tokenizers, src/{normalizers,
 * pre_tokenizers,decoders,processors}.
 */
#include "runtime/tokenizer_json.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

enum { max_depth = 16 };

typedef struct reader {
    const tegu_tok_source *source;
    const struct list *list;
    tegu_tok_steps *steps;
    bool fused; /* decoders: what follows sees the whole text */
    int depth;
} reader;

typedef struct rule {
    const char *type;
    tegu_status (*read)(reader *r, const json_t *object, const char *where);
    int mode; /* for rules that differ in one number */
} rule;

typedef struct list {
    const char *member; /* of the root object */
    const char *noun;
    const char *parts; /* member of a Sequence */
    const rule *rules;
} list;

static tegu_status add(reader *r, tegu_tok_step step)
{
    return tegu_tok_memory(r->source, tegu_tok_steps_add(r->steps, step));
}

static tegu_status add_text(reader *r, tegu_tok_step step, const char *content)
{
    return tegu_tok_memory(r->source,
                           tegu_tok_steps_text(r->steps, step, content));
}

static tegu_status compile(reader *r, const char *where, const char *pattern,
                           bool literal, pcre2_code **code)
{
    tegu_reason why = {""};
    tegu_status status = tegu_tok_compile(pattern, literal, code, &why);
    return status == TEGU_STATUS_OK
               ? status
               : tegu_tok_bad(r->source, "%s: %s", where, why.text);
}

/* "pattern": {"String": text} or {"Regex": expression}. */
static tegu_status read_pattern(reader *r, const json_t *object,
                                const char *where, pcre2_code **code)
{
    const json_t *pattern = json_object_get(object, "pattern");
    const json_t *literal = json_object_get(pattern, "String");
    const json_t *regex = json_object_get(pattern, "Regex");
    const json_t *text = literal ? literal : regex;
    if (!json_is_string(text) || (literal && regex))
        return tegu_tok_bad(r->source,
                            "%s.pattern must be {\"String\": text} or "
                            "{\"Regex\": text}",
                            where);
    return compile(r, where, json_string_value(text), literal != NULL, code);
}

/* ---- normalizers ---- */

static const rule *find_rule(const list *l, const char *type)
{
    for (const rule *row = l->rules; row->type; row++)
        if (strcmp(row->type, type) == 0)
            return row;
    return NULL;
}

static tegu_status read_form(reader *r, const json_t *object, const char *where)
{
    (void)where;
    const char *type = json_string_value(json_object_get(object, "type"));
    return add(r, (tegu_tok_step){.kind = TEGU_TOK_FORM,
                                  .mode = find_rule(r->list, type)->mode});
}

static tegu_status read_lowercase(reader *r, const json_t *object,
                                  const char *where)
{
    (void)object;
    (void)where;
    return add(r, (tegu_tok_step){.kind = TEGU_TOK_LOWER});
}

static tegu_status read_replace(reader *r, const json_t *object,
                                const char *where)
{
    const char *content = NULL;
    tegu_tok_step step = {.kind = TEGU_TOK_REPLACE};
    tegu_status status =
        tegu_tok_string(r->source, object, where, "content", &content);
    if (status == TEGU_STATUS_OK)
        status = read_pattern(r, object, where, &step.pattern);
    return status == TEGU_STATUS_OK ? add_text(r, step, content) : status;
}

static tegu_status read_prepend(reader *r, const json_t *object,
                                const char *where)
{
    const char *content = NULL;
    tegu_status status =
        tegu_tok_string(r->source, object, where, "prepend", &content);
    return status == TEGU_STATUS_OK
               ? add_text(r, (tegu_tok_step){.kind = TEGU_TOK_PREFIX}, content)
               : status;
}

static const rule normalizer_rules[] = {
    {"NFC", read_form, UTF8PROC_STABLE | UTF8PROC_COMPOSE},
    {"NFD", read_form, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
    {"NFKC", read_form, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
    {"NFKD", read_form, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT},
    {"Lowercase", read_lowercase, 0},
    {"Replace", read_replace, 0},
    {"Prepend", read_prepend, 0},
    {NULL, NULL, 0}};

/* ---- pre-tokenizers ---- */

static tegu_status read_byte_level(reader *r, const json_t *object,
                                   const char *where)
{
    bool space = true, regex = true;
    tegu_status status =
        tegu_tok_bool(r->source, object, where, "add_prefix_space", &space);
    if (status == TEGU_STATUS_OK)
        status = tegu_tok_bool(r->source, object, where, "use_regex", &regex);
    return status == TEGU_STATUS_OK
               ? tegu_tok_steps_byte_level(r->steps, space, regex,
                                           r->source->message)
               : status;
}

static tegu_status read_behaviour(reader *r, const json_t *object,
                                  const char *where, int *behaviour)
{
    static const char *const names[] = {[TEGU_TOK_REMOVED] = "Removed",
                                        [TEGU_TOK_ISOLATED] = "Isolated",
                                        [TEGU_TOK_WITH_PREVIOUS] =
                                            "MergedWithPrevious",
                                        [TEGU_TOK_WITH_NEXT] = "MergedWithNext",
                                        [TEGU_TOK_CONTIGUOUS] = "Contiguous"};
    const char *name = NULL;
    tegu_status status =
        tegu_tok_string(r->source, object, where, "behavior", &name);
    if (status != TEGU_STATUS_OK)
        return status;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) {
            *behaviour = (int)i;
            return TEGU_STATUS_OK;
        }
    return tegu_tok_bad(r->source, "%s: unknown behavior '%s'", where, name);
}

static tegu_status read_split(reader *r, const json_t *object,
                              const char *where)
{
    tegu_tok_step step = {.kind = TEGU_TOK_SPLIT};
    tegu_status status = read_behaviour(r, object, where, &step.mode);
    if (status == TEGU_STATUS_OK)
        status = tegu_tok_bool(r->source, object, where, "invert", &step.flag);
    if (status == TEGU_STATUS_OK)
        status = read_pattern(r, object, where, &step.pattern);
    return status == TEGU_STATUS_OK ? add(r, step) : status;
}

static tegu_status read_digits(reader *r, const json_t *object,
                               const char *where)
{
    bool single = false;
    tegu_tok_step step = {.kind = TEGU_TOK_SPLIT};
    tegu_status status =
        tegu_tok_bool(r->source, object, where, "individual_digits", &single);
    step.mode = single ? TEGU_TOK_ISOLATED : TEGU_TOK_CONTIGUOUS;
    if (status == TEGU_STATUS_OK)
        status = compile(r, where, "\\p{N}", false, &step.pattern);
    return status == TEGU_STATUS_OK ? add(r, step) : status;
}

typedef enum scheme { NEVER, ALWAYS, FIRST } scheme;

/* replacement (one character) and prepend_scheme, or its older spelling
 * add_prefix_space. */
static tegu_status read_metaspace_fields(reader *r, const json_t *object,
                                         const char *where,
                                         const char **character,
                                         scheme *prepend)
{
    const char *name = "";
    bool space = true;
    tegu_status status =
        tegu_tok_string(r->source, object, where, "replacement", character);
    if (status == TEGU_STATUS_OK)
        status =
            tegu_tok_bool(r->source, object, where, "add_prefix_space", &space);
    if (status == TEGU_STATUS_OK)
        status =
            tegu_tok_string(r->source, object, where, "prepend_scheme", &name);
    if (status != TEGU_STATUS_OK)
        return status;
    utf8proc_int32_t c;
    size_t size = strlen(*character);
    if (size == 0 ||
        utf8proc_iterate((const utf8proc_uint8_t *)*character,
                         (utf8proc_ssize_t)size, &c) != (utf8proc_ssize_t)size)
        return tegu_tok_bad(r->source, "%s.replacement must be one character",
                            where);
    *prepend = space ? ALWAYS : NEVER;
    if (strcmp(name, "first") == 0)
        *prepend = FIRST;
    else if (strcmp(name, "always") == 0)
        *prepend = ALWAYS;
    else if (strcmp(name, "never") == 0)
        *prepend = NEVER;
    else if (*name)
        return tegu_tok_bad(r->source, "%s: unknown prepend_scheme '%s'", where,
                            name);
    return TEGU_STATUS_OK;
}

static tegu_status add_replacement(reader *r, const char *where,
                                   tegu_tok_where which, const char *from,
                                   const char *to)
{
    tegu_tok_step step = {.kind = TEGU_TOK_REPLACE, .where = which};
    tegu_status status = compile(r, where, from, true, &step.pattern);
    return status == TEGU_STATUS_OK ? add_text(r, step, to) : status;
}

/* Spaces become the character, which also starts the text, and starts every
 * piece. */
static tegu_status read_metaspace(reader *r, const json_t *object,
                                  const char *where)
{
    const char *character = NULL;
    scheme prepend = ALWAYS;
    bool split = true;
    tegu_tok_step pieces = {.kind = TEGU_TOK_SPLIT, .mode = TEGU_TOK_WITH_NEXT};
    tegu_status status =
        read_metaspace_fields(r, object, where, &character, &prepend);
    if (status == TEGU_STATUS_OK)
        status = tegu_tok_bool(r->source, object, where, "split", &split);
    if (status == TEGU_STATUS_OK)
        status = add_replacement(r, where, TEGU_TOK_EVERYWHERE, " ", character);
    if (status == TEGU_STATUS_OK && prepend != NEVER)
        status = add_text(r,
                          (tegu_tok_step){.kind = TEGU_TOK_PREFIX,
                                          .flag = true,
                                          .where = prepend == FIRST
                                                       ? TEGU_TOK_FIRST
                                                       : TEGU_TOK_EVERYWHERE},
                          character);
    if (status == TEGU_STATUS_OK && split) {
        status = compile(r, where, character, true, &pieces.pattern);
        if (status == TEGU_STATUS_OK)
            status = add(r, pieces);
    }
    return status;
}

static const rule splitter_rules[] = {{"ByteLevel", read_byte_level, 0},
                                      {"Split", read_split, 0},
                                      {"Digits", read_digits, 0},
                                      {"Metaspace", read_metaspace, 0},
                                      {NULL, NULL, 0}};

/* ---- decoders ---- */

static tegu_status read_kind(reader *r, const json_t *object, const char *where)
{
    (void)where;
    const char *type = json_string_value(json_object_get(object, "type"));
    const rule *row = find_rule(r->list, type);
    return add(r, (tegu_tok_step){.kind = (tegu_tok_kind)row->mode});
}

static tegu_status read_fuse(reader *r, const json_t *object, const char *where)
{
    (void)object;
    (void)where;
    r->fused = true;
    return TEGU_STATUS_OK;
}

/* After Fuse the ends are the text's: its start is the first token's, its end
 * is not known when a text is written token by token. */
static tegu_status read_strip(reader *r, const json_t *object,
                              const char *where)
{
    const char *content = NULL;
    int64_t start = 0, stop = 0;
    tegu_status status =
        tegu_tok_string(r->source, object, where, "content", &content);
    if (status == TEGU_STATUS_OK)
        status = tegu_tok_integer(r->source, object, where, "start", 0, 1 << 20,
                                  &start);
    if (status == TEGU_STATUS_OK)
        status = tegu_tok_integer(r->source, object, where, "stop", 0, 1 << 20,
                                  &stop);
    if (status != TEGU_STATUS_OK)
        return status;
    if (r->fused && stop > 0)
        return tegu_runtime_fail(r->source->message, TEGU_STATUS_UNSUPPORTED,
                                 "%s: error: %s: stripping the end of the "
                                 "whole text is not supported",
                                 r->source->path, where);
    return add_text(r,
                    (tegu_tok_step){.kind = TEGU_TOK_STRIP,
                                    .where = r->fused ? TEGU_TOK_FIRST
                                                      : TEGU_TOK_EVERYWHERE,
                                    .mode = (int)start,
                                    .tail = (int)stop},
                    content);
}

/* The library drops every such character of the first token. */
static tegu_status read_metaspace_decoder(reader *r, const json_t *object,
                                          const char *where)
{
    const char *character = NULL;
    scheme prepend = ALWAYS;
    tegu_status status =
        read_metaspace_fields(r, object, where, &character, &prepend);
    if (status == TEGU_STATUS_OK)
        status = add_replacement(r, where, TEGU_TOK_FIRST, character,
                                 prepend == NEVER ? " " : "");
    if (status == TEGU_STATUS_OK)
        status = add_replacement(r, where, TEGU_TOK_REST, character, " ");
    return status;
}

static const rule decoder_rules[] = {
    {"ByteLevel", read_kind, TEGU_TOK_UNBYTES},
    {"ByteFallback", read_kind, TEGU_TOK_FALLBACK},
    {"Replace", read_replace, 0},
    {"Fuse", read_fuse, 0},
    {"Strip", read_strip, 0},
    {"Metaspace", read_metaspace_decoder, 0},
    {NULL, NULL, 0}};

/* ---- lists ---- */

static tegu_status read_rule(reader *r, const json_t *object,
                             const char *where);

static tegu_status read_sequence(reader *r, const json_t *object,
                                 const char *where)
{
    const json_t *parts = json_object_get(object, r->list->parts);
    if (!json_is_array(parts))
        return tegu_tok_bad(r->source, "%s.%s must be an array", where,
                            r->list->parts);
    tegu_status status = TEGU_STATUS_OK;
    for (size_t i = 0; i < json_array_size(parts) && status == TEGU_STATUS_OK;
         i++) {
        char inner[160];
        snprintf(inner, sizeof inner, "%.80s.%s[%zu]", where, r->list->parts,
                 i);
        status = read_rule(r, json_array_get(parts, i), inner);
    }
    return status;
}

static tegu_status read_rule(reader *r, const json_t *object, const char *where)
{
    const char *type = NULL;
    if (!json_is_object(object))
        return tegu_tok_bad(r->source, "%s must be an object", where);
    tegu_status status =
        tegu_tok_string(r->source, object, where, "type", &type);
    if (status != TEGU_STATUS_OK)
        return status;
    if (strcmp(type, "Sequence") == 0) {
        if (r->depth >= max_depth)
            return tegu_tok_bad(r->source, "%s: more than %d sequences deep",
                                where, max_depth);
        r->depth++;
        status = read_sequence(r, object, where);
        r->depth--;
        return status;
    }
    const rule *row = find_rule(r->list, type);
    if (!row)
        return tegu_runtime_fail(r->source->message, TEGU_STATUS_UNSUPPORTED,
                                 "%s: error: %s: the %s '%s' is not "
                                 "supported",
                                 r->source->path, where, r->list->noun, type);
    return row->read(r, object, where);
}

static const list normalizers = {"normalizer", "normalizer", "normalizers",
                                 normalizer_rules};
static const list splitters = {"pre_tokenizer", "pre-tokenizer",
                               "pretokenizers", splitter_rules};
static const list decoders = {"decoder", "decoder", "decoders", decoder_rules};

static tegu_status read_list(const tegu_tok_source *source, const json_t *root,
                             const list *l, tegu_tok_steps *steps)
{
    reader r = {.source = source, .list = l, .steps = steps};
    const json_t *object = json_object_get(root, l->member);
    if (!object || json_is_null(object))
        return TEGU_STATUS_OK;
    return read_rule(&r, object, l->member);
}

tegu_status tegu_tok_read_rules(const tegu_tok_source *source,
                                const json_t *root, tegu_tokenizer *t)
{
    tegu_tok_step space = {.kind = TEGU_TOK_PREFIX, .where = TEGU_TOK_REST};
    const json_t *decoder = json_object_get(root, "decoder");
    tegu_status status = read_list(source, root, &normalizers, &t->normalizers);
    if (status == TEGU_STATUS_OK)
        status = read_list(source, root, &splitters, &t->splitters);
    if (status == TEGU_STATUS_OK)
        status = read_list(source, root, &decoders, &t->decoders);
    /* Without a decoder the library puts spaces between tokens. */
    if (status == TEGU_STATUS_OK && (!decoder || json_is_null(decoder)))
        status = tegu_tok_memory(source,
                                 tegu_tok_steps_text(&t->decoders, space, " "));
    return status;
}

/* ---- post-processors ---- */

static tegu_status read_template_ids(const tegu_tok_source *source,
                                     const json_t *ids, const char *name,
                                     tegu_tokenizer *t, tegu_tok_ids *out)
{
    if (!json_is_array(ids))
        return tegu_tok_bad(
            source, "post_processor.special_tokens: '%s' has no ids", name);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        size_t size;
        if (!json_is_integer(id) ||
            !tegu_tok_vocab_text(&t->vocab, json_integer_value(id), &size))
            return tegu_tok_bad(source,
                                "post_processor.special_tokens: '%s' names "
                                "an id that is not in the vocabulary",
                                name);
        if (!tegu_tok_add_id(out, (int32_t)json_integer_value(id)))
            return tegu_tok_memory(source, false);
    }
    return TEGU_STATUS_OK;
}

/* "single": [{"SpecialToken": {"id": name}}, {"Sequence": {...}}, ...]. */
static tegu_status read_template(const tegu_tok_source *source,
                                 const json_t *object, tegu_tokenizer *t)
{
    const json_t *items = json_object_get(object, "single");
    const json_t *specials = json_object_get(object, "special_tokens");
    bool seen = false;
    if (!json_is_array(items))
        return tegu_tok_bad(source, "post_processor.single must be an array");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        if (json_is_object(json_object_get(item, "Sequence")) && !seen) {
            seen = true;
            continue;
        }
        const json_t *special = json_object_get(item, "SpecialToken");
        const char *name = json_string_value(json_object_get(special, "id"));
        if (!name)
            return tegu_tok_bad(source,
                                "post_processor.single[%zu] must be one "
                                "Sequence or a SpecialToken",
                                i);
        const json_t *ids =
            json_object_get(json_object_get(specials, name), "ids");
        tegu_status status = read_template_ids(source, ids, name, t,
                                               seen ? &t->after : &t->before);
        if (status != TEGU_STATUS_OK)
            return status;
    }
    return seen ? TEGU_STATUS_OK
                : tegu_tok_bad(source, "post_processor.single has no Sequence");
}

static tegu_status read_processor(const tegu_tok_source *source,
                                  const json_t *object, tegu_tokenizer *t,
                                  int depth)
{
    const char *type = NULL;
    if (!json_is_object(object))
        return tegu_tok_bad(source, "post_processor must be an object");
    tegu_status status =
        tegu_tok_string(source, object, "post_processor", "type", &type);
    if (status != TEGU_STATUS_OK || strcmp(type, "ByteLevel") == 0)
        return status; /* ByteLevel moves offsets, not ids */
    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(source, object, t);
    if (strcmp(type, "Sequence") != 0)
        return tegu_runtime_fail(source->message, TEGU_STATUS_UNSUPPORTED,
                                 "%s: error: the post-processor '%s' is not "
                                 "supported",
                                 source->path, type);
    const json_t *parts = json_object_get(object, "processors");
    if (!json_is_array(parts) || depth >= max_depth)
        return tegu_tok_bad(source, "post_processor.processors must be an "
                                    "array, and not nested deeply");
    for (size_t i = 0; i < json_array_size(parts) && status == TEGU_STATUS_OK;
         i++)
        status = read_processor(source, json_array_get(parts, i), t, depth + 1);
    return status;
}

tegu_status tegu_tok_read_post(const tegu_tok_source *source,
                               const json_t *root, tegu_tokenizer *t)
{
    const json_t *object = json_object_get(root, "post_processor");
    if (!object || json_is_null(object))
        return TEGU_STATUS_OK;
    return read_processor(source, object, t, 0);
}
