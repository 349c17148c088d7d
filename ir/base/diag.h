/* SPDX-License-Identifier: Apache-2.0 */
/* diag.h - messages to the user: collected here, rendered by the caller.
 *
 * A message is located (text: file, line, column; binary: file and byte
 * offset; or only a file), has an id from diag.def, one line of text (lower
 * case, no full stop, names the thing and the fix), and maybe notes.  The
 * first 20 errors are kept; the rest are counted.  Nothing here prints but
 * tegu_diag_render.
 */
#ifndef TEGU_BASE_DIAG_H
#define TEGU_BASE_DIAG_H

#include "ir/base/str.h"
#include <stdio.h>

typedef enum tegu_diag_id {
#define TEGU_DIAG(id, code, exit, title, help) TEGU_##id,
#include "ir/base/diag.def"
#undef TEGU_DIAG
    TEGU_DIAG_COUNT
} tegu_diag_id;

typedef enum tegu_severity {
    TEGU_NOTE,
    TEGU_WARNING,
    TEGU_ERROR
} tegu_severity;

/* Where: line and column count from 1, column in bytes; line 0: the whole
 * file, or, with `binary`, byte `offset` of it.  file NULL: nowhere. */
typedef struct tegu_loc {
    const char *file; /* interned path as the user gave it */
    uint32_t line;
    uint32_t column;
    uint32_t length; /* bytes to underline, at least 1 */
    bool binary;
    uint64_t offset;
} tegu_loc;

typedef struct tegu_message {
    tegu_severity severity;
    tegu_diag_id id;
    tegu_loc loc;
    const char *text;
    const char *source; /* the source line, NULL if not known */
} tegu_message;

typedef struct tegu_diag tegu_diag;

tegu_diag *tegu_diag_create(tegu_arena *arena);
/* Gives the text of a file, so that messages can show its lines; borrowed. */
void tegu_diag_source(tegu_diag *diag, const char *file, const char *text,
                      size_t size);
/* Reports an error; returns false, so that `return tegu_error(...)` fits. */
bool tegu_error(tegu_diag *diag, tegu_loc loc, tegu_diag_id id,
                const char *format, ...) TEGU_PRINTF(4, 5);
void tegu_warning(tegu_diag *diag, tegu_loc loc, const char *format, ...)
    TEGU_PRINTF(3, 4);
/* Attaches a note to the last message. */
void tegu_note(tegu_diag *diag, tegu_loc loc, const char *format, ...)
    TEGU_PRINTF(3, 4);
uint32_t tegu_diag_errors(const tegu_diag *diag);
/* All kept messages, in order of report. */
const tegu_message *tegu_diag_messages(const tegu_diag *diag, uint32_t *count);
/* The documented exit code of the first error; 0 without errors. */
int tegu_diag_exit_code(const tegu_diag *diag);
/* Writes `file:line:col: error: text [E0101]`, the source line and a caret
 * per message; colour when asked. */
void tegu_diag_render(const tegu_diag *diag, FILE *out, bool colour);
/* Forgets all messages (the sources stay). */
void tegu_diag_clear(tegu_diag *diag);

const char *tegu_diag_code(tegu_diag_id id); /* "E0101" */
const char *tegu_diag_title(tegu_diag_id id);
const char *tegu_diag_help(tegu_diag_id id);
/* TEGU_DIAG_COUNT when no message has this code. */
tegu_diag_id tegu_diag_find(const char *code);

static inline tegu_loc tegu_loc_none(void)
{
    return (tegu_loc){0};
}
static inline tegu_loc tegu_loc_file(const char *file)
{
    return (tegu_loc){.file = file};
}

#endif
