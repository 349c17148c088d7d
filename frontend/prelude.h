/* SPDX-License-Identifier: Apache-2.0 */
/* prelude.h - the definitions of composite ops, frontend/prelude.tegu. */
#ifndef TEGU_FRONTEND_PRELUDE_H
#define TEGU_FRONTEND_PRELUDE_H

#include "ir/unit.h"

/* The prelude's source, embedded at build time, and its size in bytes. */
extern const unsigned char tegu_prelude_text[];
extern const size_t tegu_prelude_size;

/* Sets unit->expander, so that composites can be expanded (interpreter, cost,
 * legalise).  tegu_load does it; a unit from tegu_unit_parse needs it. */
void tegu_prelude_attach(tegu_unit *unit);

#endif
