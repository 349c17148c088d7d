/* SPDX-License-Identifier: Apache-2.0 */
/* gguf.h - reading GGUF files, versions 2 and 3 (ggml docs/gguf.md).
 *
 * Data is mapped and never copied.  Dimensions come out in row-major order,
 * slowest first, which is the reverse of the file's.
 */
#ifndef TEGU_FRONTEND_GGUF_H
#define TEGU_FRONTEND_GGUF_H

#include "frontend/safetensors.h"

/* A scalar or string of the header; arrays are checked and passed over. */
typedef struct tegu_gguf_value {
    bool is_text, is_array;
    double number;    /* of numbers and bools */
    const char *text; /* of strings; NUL-terminated copy */
    size_t size;
} tegu_gguf_value;

typedef struct tegu_gguf {
    const char *path;
    tegu_file file;
    TEGU_VEC(tegu_stored_tensor) tensors; /* in file order */
    TEGU_VEC(tegu_gguf_value) values;
    tegu_map *keys; /* key -> position in values */
} tegu_gguf;

/* Opens and checks a file; NULL after reporting the first problem with its
 * byte offset.  The caller unmaps gguf->file. */
tegu_gguf *tegu_gguf_open(tegu_arena *arena, tegu_diag *diag, const char *path);
/* The same over bytes in memory (tests, fuzzing). */
tegu_gguf *tegu_gguf_parse(tegu_arena *arena, tegu_diag *diag, const char *path,
                           const unsigned char *data, size_t size);
/* NULL when there is no such key. */
const tegu_gguf_value *tegu_gguf_find(const tegu_gguf *gguf, const char *key);

#endif
