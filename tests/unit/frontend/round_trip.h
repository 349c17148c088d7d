/* SPDX-License-Identifier: Apache-2.0 */
/* round_trip.h - writes a unit as source and loads that. */
#ifndef TEGU_TESTS_ROUND_TRIP_H
#define TEGU_TESTS_ROUND_TRIP_H

#include "ir/unit.h"

/* The unit that the written source of `unit` loads as, without weights; the
 * test fails with the source when that does not load, or when its entries do
 * not have the same names, arguments and graphs. */
tegu_unit *round_trip(tegu_arena *arena, tegu_unit *unit);
/* The source alone. */
const char *written(tegu_arena *arena, tegu_unit *unit);

#endif
