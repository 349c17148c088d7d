/* SPDX-License-Identifier: Apache-2.0 */
/* scratch.h - a folder of its own for each case: made, filled by a builder,
 * compared with itself later, removed. */
#ifndef TEGU_TESTS_BAD_SCRATCH_H
#define TEGU_TESTS_BAD_SCRATCH_H

#include "ir/base/str.h"

typedef struct scratch {
    tegu_arena *arena;
    char path[64];    /* absolute; the current folder while it lives */
    const char *home; /* the folder to go back to: the repository's root */
} scratch;

/* Makes the folder and goes there; false when it cannot. */
bool scratch_enter(scratch *s);
/* Goes back and removes the folder with all that is in it. */
void scratch_leave(scratch *s);

/* Writes a file; its folders are made. */
void scratch_put(const scratch *s, const char *name, const void *data,
                 size_t size);
/* One line for each file, link and folder: name, kind, size and hash. */
const char *scratch_snapshot(const scratch *s);
/* The text with each `@{N*x}` replaced by N times x. */
const char *scratch_expand(const scratch *s, const char *text);

#endif
