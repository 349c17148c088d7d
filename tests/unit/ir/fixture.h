/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.h - what the IR's tests share: an arena with its messages, and IR
 * text in and out. */
#ifndef TEGU_TESTS_FIXTURE_H
#define TEGU_TESTS_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ir/ir.h"

typedef struct fixture {
    tegu_arena *arena;
    tegu_diag *diag;
} fixture;

fixture fixture_open(void);
void fixture_close(fixture *f);

/* The unit, or NULL with messages. */
tegu_unit *parse(fixture *f, const char *text);
/* The same, failing the test with the messages. */
tegu_unit *parse_good(fixture *f, const char *text);
const char *printed(fixture *f, const tegu_unit *unit);

/* The first message since the last call, "" if none; forgets all. */
const char *take_message(fixture *f);
/* Its text begins so. */
void assert_message(fixture *f, const char *prefix);

/* A unit "t" with axes T, S (symbolic), dim, heads and an empty core graph. */
tegu_graph *empty_graph(fixture *f);
/* A new input node. */
tegu_value input(tegu_graph *g, const char *name, const tegu_type *type);

#endif
