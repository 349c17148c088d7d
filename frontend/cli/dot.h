/* SPDX-License-Identifier: Apache-2.0 */
/* dot.h - a unit's graphs as Graphviz text. */
#ifndef TEGU_CLI_DOT_H
#define TEGU_CLI_DOT_H

#include "ir/unit.h"

/* One cluster per entry; parameters and constants are drawn small. */
void tegu_dot_print(tegu_text *out, const tegu_unit *unit);

#endif
