/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - jansson behind one door, and a scanner that finds keys in text.
 *
 * Takes bytes from files; jansson checks them (UTF-8, surrogates, nesting,
 * range of integers, repeated keys).  The scanner runs over text that passed,
 * but trusts nothing: it never leaves [0, size).
 * jansson allocates by malloc: its trees are freed by their owners here and
 * never outlive the call that parsed them.
 */
#include "frontend/json.h"

#include <string.h>

json_t *tegu_json_parse(tegu_arena *arena, const char *text, size_t size,
                        size_t *at, const char **error)
{
    json_error_t problem;
    for (size_t i = 0; i < size;) {
        size_t length = tegu_utf8_length(text + i, size - i);
        if (length == 0) {
            *at = i;
            *error = "is not UTF-8";
            return NULL;
        }
        i += length;
    }
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    if (!root) {
        size_t place = problem.position > 0 ? (size_t)problem.position : 0;
        *at = place < size ? place : size;
        tegu_text shown = {.arena = arena}; /* it quotes the file */
        tegu_text_printf(&shown, "is not JSON: ");
        tegu_text_printable(&shown, problem.text, strlen(problem.text));
        *error = tegu_text_cstr(&shown);
    } else if (!json_is_object(root)) {
        json_decref(root);
        root = NULL;
        *at = 0;
        *error = "is not a JSON object";
    }
    return root;
}

static const char *text_of(const tegu_json *json)
{
    return (const char *)json->file.data;
}

static tegu_loc loc_at(const tegu_json *json, size_t at, size_t length)
{
    tegu_loc loc = {
        .file = json->path, .line = 1, .column = 1, .length = (uint32_t)length};
    for (size_t i = 0; i < at && i < json->file.size; i++) {
        loc.column++;
        if (json->file.data[i] == '\n') {
            loc.line++;
            loc.column = 1;
        }
    }
    return loc;
}

bool tegu_json_open(tegu_arena *arena, tegu_diag *diag, const char *path,
                    size_t limit, tegu_json *json)
{
    const char *error;
    *json = (tegu_json){.path = path};
    if (!tegu_file_read(arena, path, limit, &json->file, &error))
        return tegu_error(diag, tegu_loc_file(path), TEGU_E_NO_INPUT, "%s",
                          error);
    const char *text = text_of(json);
    tegu_diag_source(diag, path, text, json->file.size);
    size_t at = 0;
    json->root = tegu_json_parse(arena, text, json->file.size, &at, &error);
    if (!json->root)
        return tegu_error(diag, loc_at(json, at, 1), TEGU_E_JSON, "%s", error);
    return true;
}

void tegu_json_close(tegu_json *json)
{
    json_decref(json->root);
    json->root = NULL;
}

/* --- the scanner --- */

typedef struct scan {
    const char *text;
    size_t size;
    size_t at;
} scan;

static void skip_space(scan *s)
{
    while (s->at < s->size && strchr(" \t\r\n", s->text[s->at]) &&
           s->text[s->at])
        s->at++;
}

/* From an opening quote to behind the closing one. */
static void skip_string(scan *s)
{
    for (s->at++; s->at < s->size && s->text[s->at] != '"'; s->at++)
        s->at += s->text[s->at] == '\\';
    s->at = s->at < s->size ? s->at + 1 : s->size;
}

/* To the comma or bracket that ends the value at hand. */
static void skip_value(scan *s)
{
    size_t depth = 0;
    while (s->at < s->size) {
        char c = s->text[s->at];
        if (c == '"') {
            skip_string(s);
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        s->at++;
    }
}

/* Inside an object: steps to the member of this name, and leaves its key's
 * offset in *found; the scan is then at the value. */
static bool find_member(scan *s, const char *name, size_t *found)
{
    size_t length = strlen(name);
    for (;;) {
        skip_space(s);
        if (s->at >= s->size || s->text[s->at] != '"')
            return false;
        size_t key = s->at;
        skip_string(s);
        bool same = s->at - key == length + 2 &&
                    memcmp(s->text + key + 1, name, length) == 0;
        skip_space(s);
        s->at += s->at < s->size; /* the colon */
        skip_space(s);
        if (same) {
            *found = key;
            return true;
        }
        skip_value(s);
        s->at += s->at < s->size; /* the comma */
    }
}

size_t tegu_json_find(const char *text, size_t size, const char *const *keys)
{
    scan s = {.text = text, .size = size};
    size_t found = 0;
    skip_space(&s);
    for (; *keys; keys++) {
        if (s.at >= size || text[s.at] != '{')
            break;
        s.at++;
        if (!find_member(&s, *keys, &found))
            break;
    }
    return found;
}

tegu_loc tegu_json_loc(const tegu_json *json, const char *const *keys)
{
    size_t size = json->file.size;
    size_t at = tegu_json_find(text_of(json), size, keys);
    scan s = {.text = text_of(json), .size = size, .at = at};
    if (at < size && text_of(json)[at] == '"')
        skip_string(&s);
    return loc_at(json, at, s.at > at ? s.at - at : 1);
}
