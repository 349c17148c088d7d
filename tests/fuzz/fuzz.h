/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h - what the fuzz targets share.
 *
 * A target is one file with LLVMFuzzerTestOneInput.  It is built twice: with
 * libFuzzer (clang, the preset `fuzz`), and with replay.c as a plain program
 * that runs it over files, which ctest does for tests/fuzz/corpus.  Every
 * input that ever failed is kept in that corpus.
 */
#ifndef TEGU_TESTS_FUZZ_FUZZ_H
#define TEGU_TESTS_FUZZ_FUZZ_H

#include "ir/ir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run with the place and the text: what libFuzzer takes as a find. */
_Noreturn void fuzz_fail(const char *file, int line, const char *text);
#define FUZZ_CHECK(condition)                                                  \
    ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

/* One input on its way through a reader, with an arena of its own. */
typedef struct fuzz_case {
    tegu_arena *arena; /* bounded: running out of it is a proper answer */
    tegu_diag *diag;
    const char *text; /* the input, with a NUL behind it */
    size_t size;
} fuzz_case;

/* Calls read(c); it returns true when it accepted the input.  Checks the
 * promises on messages: none and accepted, or at least one, each a single line,
 * shown without control bytes, with a documented exit code that is not 70
 * (internal). */
void fuzz_read(const uint8_t *data, size_t size, bool (*read)(fuzz_case *c));

/* Checks that a verified unit prints, reads back and prints the same, and that
 * the default pipeline, verified after each pass, is never at fault. */
void fuzz_unit(fuzz_case *c, tegu_unit *unit);

/* Checks that a message is one line. */
void fuzz_check_line(const char *text);

#endif
