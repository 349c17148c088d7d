/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_json.h: reading tokenizer.json, shared by its files.
 *
 * Messages say where in the file: "model.merges[3]: ...".
 */
#ifndef TEGU_RUNTIME_TOKENIZER_JSON_H
#define TEGU_RUNTIME_TOKENIZER_JSON_H

#include <jansson.h>

#include "runtime/tokenizer.h"

typedef struct tegu_tok_source {
    const char *path;
    tegu_reason *message;
} tegu_tok_source;

/* `path: error: ` and the text, TEGU_STATUS_FORMAT. */
tegu_status tegu_tok_bad(const tegu_tok_source *source, const char *format,
                         ...);
/* Out of memory, as a message. */
tegu_status tegu_tok_memory(const tegu_tok_source *source, bool room);

/* An optional boolean member (absent or null: *value stays). */
tegu_status tegu_tok_bool(const tegu_tok_source *source, const json_t *object,
                          const char *where, const char *key, bool *value);
/* A string member; optional if *value is not NULL before. */
tegu_status tegu_tok_string(const tegu_tok_source *source, const json_t *object,
                            const char *where, const char *key,
                            const char **value);
/* A member of integers in [low, high]. */
tegu_status tegu_tok_integer(const tegu_tok_source *source,
                             const json_t *object, const char *where,
                             const char *key, int64_t low, int64_t high,
                             int64_t *value);

/* tokenizer_rules.c: the three lists of steps and the post-processor, from
 * the root object. */
tegu_status tegu_tok_read_rules(const tegu_tok_source *source,
                                const json_t *root, tegu_tokenizer *t);
/* After the added tokens are known. */
tegu_status tegu_tok_read_post(const tegu_tok_source *source,
                               const json_t *root, tegu_tokenizer *t);

/* The vocabulary of GPT-2: an object of token: id. */
tegu_status tegu_tok_read_vocab_file(tegu_tokenizer *t, const char *path,
                                     tegu_reason *message);
/* "left right"; the message has no path. */
tegu_status tegu_tok_add_merge_text(tegu_tokenizer *t, const char *text,
                                    size_t size, uint32_t rank,
                                    tegu_reason *message);

#endif
