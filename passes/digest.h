/* SPDX-License-Identifier: Apache-2.0 */
/* digest.h - 128-bit hashes of bytes, to know equal content again in a later
 * run.
 *
 * Made for accidents, not for forgery.  The same on every little-endian
 * machine.
 */
#ifndef TEGU_PASSES_DIGEST_H
#define TEGU_PASSES_DIGEST_H

#include "ir/base/arena.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct tegu_digest {
    uint64_t words[2];
} tegu_digest;

/* Characters of a digest as text. */
enum { TEGU_DIGEST_TEXT = 32 };

tegu_digest tegu_digest_of(const void *data, size_t size);
bool tegu_digest_equal(tegu_digest a, tegu_digest b);
/* 32 lower-case hexadecimal digits and a NUL, in the arena. */
const char *tegu_digest_text(tegu_arena *arena, tegu_digest digest);
/* Reads the first 32 characters of `text` [size]; false when they are not what
 * tegu_digest_text writes. */
bool tegu_digest_parse(const char *text, size_t size, tegu_digest *digest);

#endif
