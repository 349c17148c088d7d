/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - JSON of a model's files, with the places of its keys.
 *
 * jansson parses; this adds what its tree does not keep: where in the text a
 * key stands, so that a message can show the line.
 */
#ifndef TEGU_FRONTEND_JSON_H
#define TEGU_FRONTEND_JSON_H

#include "ir/base/diag.h"
#include "ir/base/io.h"
#include <jansson.h>

typedef struct tegu_json {
    const char *path;
    tegu_file file; /* its text, in the arena; NUL behind it */
    json_t *root;   /* an object */
} tegu_json;

/* Reads a file that holds one JSON object, of at most `limit` bytes; false
 * after reporting.  Close it when true. */
bool tegu_json_open(tegu_arena *arena, tegu_diag *diag, const char *path,
                    size_t limit, tegu_json *json);
void tegu_json_close(tegu_json *json);

/* Parses an object from bytes: UTF-8, no repeated keys, nothing behind it.
 * NULL: *at is the offset of the problem, *error says what it is. */
json_t *tegu_json_parse(tegu_arena *arena, const char *text, size_t size,
                        size_t *at, const char **error);

/* Offset of the key that `keys` lead to (outermost first, NULL at the end) in
 * the text of a valid object; of the innermost one there is; else 0. */
size_t tegu_json_find(const char *text, size_t size, const char *const *keys);
/* The place of such a key as a location. */
tegu_loc tegu_json_loc(const tegu_json *json, const char *const *keys);

#endif
