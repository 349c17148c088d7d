/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - private to pass.c: the unit's meaning on samples, compared. */
#ifndef TEGU_PASSES_CHECK_H
#define TEGU_PASSES_CHECK_H

#include "passes/passes.h"

/* What every entry computes on its samples. */
typedef struct tegu_meaning tegu_meaning;

/* Interprets every entry on samples made from `seed`; NULL after reporting.
 * Memory: `arena`.  Parameters without data are random for the while. */
tegu_meaning *tegu_meaning_of(tegu_unit *unit, tegu_arena *arena,
                              uint64_t seed);
/* False after reporting the first element of `after` that differs from
 * `before` by more than both bounds, which `pass` is blamed for.  *ratio: the
 * largest difference relative to its bound. */
bool tegu_meaning_agrees(tegu_unit *unit, const char *pass,
                         const tegu_meaning *before, const tegu_meaning *after,
                         double *ratio);

#endif
