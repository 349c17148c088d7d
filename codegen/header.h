/* SPDX-License-Identifier: Apache-2.0 */
/* The C header of a compiled model, from its plan. */
#ifndef TEGU_CODEGEN_HEADER_H
#define TEGU_CODEGEN_HEADER_H

#include "codegen/plan.h"

/* Appends the header's text; C99 and C++, self-documenting. */
void tegu_header_write(tegu_text *out, const tegu_plan *plan,
                       const tegu_codegen_options *options);

#endif
