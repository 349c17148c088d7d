/* SPDX-License-Identifier: Apache-2.0 */
/* demo.h - a complete C program that calls a compiled model. */
#ifndef TEGU_CLI_DEMO_H
#define TEGU_CLI_DEMO_H

#include "ir/unit.h"

/* C99, needs only libc and the object; calls every entry once at its smallest
 * symbols on zero inputs and prints the first results. */
void tegu_demo_print(tegu_text *out, const tegu_unit *unit,
                     bool embedded_weights);

#endif
