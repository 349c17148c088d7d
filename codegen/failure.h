/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way in which the functions of codegen/ report that they could not
 * do what was asked: they fill a tegu_failure and return false (or NULL).
 * The text is one line in the user's words, without a final full stop; the
 * caller adds the location and hands it to the diagnostics.
 */
#ifndef TEGU_CODEGEN_FAILURE_H
#define TEGU_CODEGEN_FAILURE_H

#include <stdbool.h>

typedef struct tegu_failure {
    char text[512]; /* always terminated; longer messages are cut */
} tegu_failure;

/* Formats the message and returns false.  Newlines become spaces. */
bool tegu_fail(tegu_failure *failure, const char *format, ...);

#endif
