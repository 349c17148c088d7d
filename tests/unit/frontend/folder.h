/* SPDX-License-Identifier: Apache-2.0 */
/* folder.h - a fresh folder with an arena and a diag, for tests that need
 * files; everything in it is removed by folder_destroy. */
#ifndef TEGU_TESTS_FOLDER_H
#define TEGU_TESTS_FOLDER_H

#include "frontend/safetensors.h"

typedef struct folder {
    tegu_arena *arena;
    tegu_diag *diag;
    char path[64];
} folder;

/* cmocka setup and teardown; *state is a folder. */
int folder_create(void **state);
int folder_destroy(void **state);

/* Path of a file in the folder. */
const char *folder_file(const folder *f, const char *name);
/* Writes text to a file in the folder and returns its path. */
const char *folder_put(const folder *f, const char *name, const char *text);
/* Writes zero tensors: "name f32 2,3" per line; fails the test on error. */
const char *folder_put_tensors(const folder *f, const char *name,
                               const char *lines);
/* All messages as they are shown; "" when there are none. */
const char *folder_messages(const folder *f);

#endif
