/* SPDX-License-Identifier: Apache-2.0 */
/* See failure.h. */
#include "codegen/failure.h"

#include <stdarg.h>
#include <stdio.h>

bool tegu_fail(tegu_failure *failure, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
    for (char *c = failure->text; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    return false;
}
