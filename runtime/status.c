/* SPDX-License-Identifier: Apache-2.0 */
/* status.c: names of the statuses, text of the messages.  Control characters
 * of file names and file contents become '?', so that a message is one line.
 */
#include "runtime/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *tegu_status_name(tegu_status status)
{
    switch (status) {
    case TEGU_STATUS_OK: return "ok";
    case TEGU_STATUS_ARGUMENT: return "invalid argument";
    case TEGU_STATUS_OPEN: return "cannot open";
    case TEGU_STATUS_FORMAT: return "malformed file";
    case TEGU_STATUS_UNSUPPORTED: return "unsupported";
    case TEGU_STATUS_MEMORY: return "out of memory";
    case TEGU_STATUS_SYSTEM: return "system error";
    }
    return "unknown status";
}

tegu_status tegu_runtime_fail(tegu_reason *message, tegu_status status,
                              const char *format, ...)
{
    if (!message)
        return status;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(message->text, sizeof message->text, format, args);
    va_end(args);
    if (length < 0)
        message->text[0] = '\0';
    if ((size_t)length >= sizeof message->text && length > 0)
        memcpy(message->text + sizeof message->text - 4, "...", 4);
    for (char *c = message->text; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127)
            *c = '?';
    return status;
}

tegu_status tegu_runtime_out_of_memory(tegu_reason *message)
{
    return tegu_runtime_fail(message, TEGU_STATUS_MEMORY, "out of memory");
}
