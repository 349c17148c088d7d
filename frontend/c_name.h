/* SPDX-License-Identifier: Apache-2.0 */
/* c_name.h - names of a model that appear in its C header. */
#ifndef TEGU_FRONTEND_C_NAME_H
#define TEGU_FRONTEND_C_NAME_H

#include "ir/base/diag.h"

/* What a name is used for: more words are reserved for some. */
typedef enum tegu_c_use {
    TEGU_C_MODEL,   /* prefix of every symbol, NAME.h */
    TEGU_C_ENTRY,   /* NAME_entry() */
    TEGU_C_ARGUMENT /* a parameter of NAME_entry(), a symbolic axis */
} tegu_c_use;

enum { TEGU_C_NAME_LIMIT = 64 };

/* Reports unless the name is a C identifier that C, C++ and docs/abi.md leave
 * free for this use. */
bool tegu_c_name_check(tegu_diag *diag, tegu_loc loc, tegu_c_use use,
                       const char *name);

#endif
