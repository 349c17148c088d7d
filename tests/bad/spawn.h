/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - running a program in the current folder, for a bounded time. */
#ifndef TEGU_TESTS_BAD_SPAWN_H
#define TEGU_TESTS_BAD_SPAWN_H

#include "ir/base/str.h"

#include <sys/types.h>

typedef struct spawned {
    bool ended;      /* false: it took too long, and was killed */
    int code;        /* exit code; -1 when a signal ended it */
    int signal;      /* 0: none */
    const char *out; /* standard output, in the arena; "" if redirected */
    const char *err;
    size_t out_size, err_size;
} spawned;

/* Runs program with the words of `line`: separated by blanks, '...' keeps them
 * together, `> FILE` redirects standard output, `< FILE` standard input. */
spawned spawn_line(tegu_arena *arena, const char *program, const char *line);

/* Starts program with an argv (NULL at its end), output thrown away. */
pid_t spawn_start(const char *program, const char *const *argv);

#endif
