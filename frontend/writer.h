/* SPDX-License-Identifier: Apache-2.0 */
/* writer.h - private to write*.c: from a unit at model level to the language.
 */
#ifndef TEGU_FRONTEND_WRITER_H
#define TEGU_FRONTEND_WRITER_H

#include "ir/unit.h"

/* How a value reads where it is used. */
typedef struct tegu_written {
    const char *text; /* NULL: not written yet */
    bool loose;       /* needs parentheses as an operand */
} tegu_written;

typedef struct tegu_writer {
    tegu_unit *unit;
    tegu_arena *arena;
    tegu_text *out;
    tegu_map *taken;     /* names that no let may have */
    const char **states; /* names of the unit's states in the text */
    tegu_graph *graph;   /* of the entry being written */
    tegu_written *values;
} tegu_writer;

/* --- write_expr.c --- */
void tegu_write_string(tegu_text *out, const char *text);
/* "f32[T, dim]" */
void tegu_write_type(const tegu_writer *w, tegu_text *out,
                     const tegu_type *type);
/* A double that reads back as itself. */
void tegu_write_number(tegu_text *out, double number);
/* The expression of node v over what its inputs are called; false after
 * reporting what the language cannot say. */
bool tegu_write_node(tegu_writer *w, tegu_value v, tegu_written *expr);

#endif
