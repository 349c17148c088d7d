/* SPDX-License-Identifier: Apache-2.0 */
/* frontend.h - from a model's files to a unit at model level.
 *
 * MODEL is a .tegu file (the language), a .tir file (IR text) or a Hugging
 * Face folder.  A folder is imported by writing the language and loading that
 * text, so there is one way into the IR.
 */
#ifndef TEGU_FRONTEND_FRONTEND_H
#define TEGU_FRONTEND_FRONTEND_H

#include "ir/unit.h"

/* `-D key=value`: replaces the value of an axis or constant. */
typedef struct tegu_define {
    const char *key, *value;
} tegu_define;

typedef struct tegu_load_options {
    const char *name; /* model name; NULL: from the source */
    const tegu_define *defines;
    uint32_t define_count;
    bool without_weights; /* shapes only: no weights file is read */
} tegu_load_options;

/* Loads and checks a model; NULL after reporting every error (up to 20).
 * Weights are mapped; parameters missing from them are errors. */
tegu_unit *tegu_load(tegu_arena *arena, tegu_diag *diag, const char *path,
                     const tegu_load_options *options);

/* The language alone: `text` of `path`; files named in it (imports, weights)
 * are relative to path's folder and may not leave it. */
tegu_unit *tegu_language_load(tegu_arena *arena, tegu_diag *diag,
                              const char *path, const char *text, size_t size,
                              const tegu_load_options *options);

/* What a written model says beside its graphs. */
typedef struct tegu_write_options {
    const char *comment;   /* one line at the top; NULL: none */
    const char *weights;   /* file name, where one is needed */
    const char *tokenizer; /* file name; NULL: none */
} tegu_write_options;
/* Writes a unit at model level, also one that passes changed, as a file of
 * the language that loads as the same graphs: every value by itself, every
 * parameter with its own shape.  False after reporting what the language has
 * no form for. */
bool tegu_write_language(tegu_unit *unit, const tegu_write_options *options,
                         tegu_text *out);
/* Whether it names a weights file: false for a unit without weights, and for
 * random weights, which the text describes. */
bool tegu_write_needs_weights(const tegu_unit *unit);

/* Writes the language for a Hugging Face folder: what a person would write.
 * weights names are relative to the folder.  *config is the file that the
 * text was made from, in the arena. */
bool tegu_import_hf(tegu_arena *arena, tegu_diag *diag, const char *folder,
                    tegu_text *out, tegu_file *config);

#endif
