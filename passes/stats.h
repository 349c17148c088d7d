/* SPDX-License-Identifier: Apache-2.0 */
/* stats.h - statistics of calibration kept for later runs.
 *
 * A statistic is found again by its key: a digest of the value's definition
 * (ops, types, attributes, literals, the content of the parameters under it,
 * the updates of the states that it reads), of the calibration tokens, of how
 * they are cut into calls, and of what was asked about it.  So a statistic of
 * another model, of other tokens or behind another prefix is never found.
 */
#ifndef TEGU_PASSES_STATS_H
#define TEGU_PASSES_STATS_H

#include "passes/calibrate.h"
#include "passes/digest.h"

/* Bytes that neither change nor go while the store lives. */
typedef struct tegu_pinned {
    const unsigned char *data;
    size_t size;
} tegu_pinned;

/* Where statistics are kept; part of tegu_calibration, its owner is whoever
 * provides the functions. */
struct tegu_stats_store {
    void *data; /* the functions' own */
    /* Looks for a statistic; stats->columns is 0 when there is none, else all
     * of it is in `arena`.  False after reporting. */
    bool (*find)(void *data, tegu_digest key, tegu_arena *arena,
                 tegu_site_stats *stats);
    /* Keeps a statistic that was computed; false after reporting. */
    bool (*keep)(void *data, tegu_digest key, const tegu_site_stats *stats);
    const char *path;   /* what to name when one is missing; NULL: nothing */
    tegu_digest tokens; /* tegu_tokens_digest of the calibration's */
    uint32_t reused, computed; /* so far */
    /* Digests of parameters, made once: */
    tegu_arena *arena; /* of the following; lives as long as the store */
    TEGU_VEC(tegu_pinned) pinned;
    tegu_map *digests; /* address and size -> place in made */
    TEGU_VEC(tegu_digest) made;
};

/* Says that bytes (a mapped file) stay as they are: parameters in them are
 * hashed once, others in every calibration. */
void tegu_stats_pin(tegu_stats_store *store, const void *data, size_t size);
/* The digest of all calibration tokens and their cut into sequences. */
tegu_digest tegu_tokens_digest(const int32_t *tokens, int64_t sequences,
                               int64_t length);
/* Keys of requests about values of entry `step` of the unit, whose first
 * `sequences` sequences run in calls of `call` tokens; keys [count].  The
 * unit's data are read, nothing is changed. */
void tegu_stats_keys(tegu_stats_store *store, const tegu_unit *unit,
                     const tegu_entry *step, const tegu_site_request *requests,
                     uint32_t count, int64_t sequences, int64_t call,
                     tegu_arena *scratch, tegu_digest *keys);

#endif
