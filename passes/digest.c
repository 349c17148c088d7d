/* SPDX-License-Identifier: Apache-2.0 */
/* digest.c - the bulk of XXH64 (Collet 2012): four lanes of one multiplication
 * and rotation per 64-bit word, each word's step a bijection of the lane, so
 * that no single change is ever lost; the lanes' 256 bits are folded in two
 * orders into the two words of the result.  Takes bytes; keeps nothing.
 */
#include "passes/digest.h"
#include "ir/base/str.h"

#include <string.h>

enum { LANES = 4, STRIPE = LANES * sizeof(uint64_t) };

static const uint64_t p1 = UINT64_C(0x9e3779b185ebca87);
static const uint64_t p2 = UINT64_C(0xc2b2ae3d27d4eb4f);
static const uint64_t p3 = UINT64_C(0x165667b19e3779f9);
static const uint64_t p4 = UINT64_C(0x85ebca77c2b2ae63);

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static uint64_t step(uint64_t lane, uint64_t word)
{
    return rotate(lane + word * p2, 31) * p1;
}

static void add_stripe(uint64_t *lanes, const unsigned char *bytes)
{
    uint64_t words[LANES];

    memcpy(words, bytes, STRIPE);
    for (int i = 0; i < LANES; i++)
        lanes[i] = step(lanes[i], words[i]);
}

/* Every bit of x in every bit of the result. */
static uint64_t avalanche(uint64_t x)
{
    x = (x ^ x >> 33) * p2;
    x = (x ^ x >> 29) * p3;
    return x ^ x >> 32;
}

tegu_digest tegu_digest_of(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t lanes[LANES] = {p1 + p2, p2, p3, p4}, a = size, b = ~a;
    unsigned char last[STRIPE] = {0};
    size_t left = size;

    for (; left >= STRIPE; bytes += STRIPE, left -= STRIPE)
        add_stripe(lanes, bytes);
    if (left)
        memcpy(last, bytes, left);
    add_stripe(lanes, last);
    for (int i = 0; i < LANES; i++) {
        a = (a ^ step(0, lanes[i])) * p1 + p4;
        b = (b ^ step(p3, lanes[LANES - 1 - i])) * p2 + p1;
    }
    return (tegu_digest){{avalanche(a), avalanche(b)}};
}

bool tegu_digest_equal(tegu_digest a, tegu_digest b)
{
    return a.words[0] == b.words[0] && a.words[1] == b.words[1];
}

const char *tegu_digest_text(tegu_arena *arena, tegu_digest digest)
{
    return tegu_format(arena, "%016llx%016llx",
                       (unsigned long long)digest.words[0],
                       (unsigned long long)digest.words[1]);
}

bool tegu_digest_parse(const char *text, size_t size, tegu_digest *digest)
{
    static const char digits[] = "0123456789abcdef";

    if (size < TEGU_DIGEST_TEXT)
        return false;
    *digest = (tegu_digest){{0, 0}};
    for (int i = 0; i < TEGU_DIGEST_TEXT; i++) {
        const char *digit = memchr(digits, text[i], 16);
        uint64_t *word = &digest->words[i / 16];
        if (!digit)
            return false;
        *word = *word << 4 | (uint64_t)(digit - digits);
    }
    return true;
}
