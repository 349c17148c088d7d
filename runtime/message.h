/* SPDX-License-Identifier: Apache-2.0 */
/* message.h: how the helpers fill a caller's tegu_reason. */
#ifndef TEGU_RUNTIME_MESSAGE_H
#define TEGU_RUNTIME_MESSAGE_H

#include "tegu/runtime.h"

/* Formats into `message` (NULL: drops the text) and returns `status`, so that
 * an error is one return statement.  Text that is too long ends in "...". */
tegu_status tegu_runtime_fail(tegu_reason *message, tegu_status status,
                              const char *format, ...);

/* "out of memory", TEGU_STATUS_MEMORY. */
tegu_status tegu_runtime_out_of_memory(tegu_reason *message);

#endif
