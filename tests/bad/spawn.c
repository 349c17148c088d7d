/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c - see spawn.h.  Output goes through files without a name, so that a
 * child that writes much cannot block. */
#define _GNU_SOURCE /* environ, memfd_create */
#include "tests/bad/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SECONDS = 30, STEP_NS = 1000000 };

typedef struct command {
    TEGU_VEC(const char *) argv;
    const char *out, *in; /* NULL: not redirected */
} command;

/* The next word of the line, NULL at its end. */
static const char *next_word(tegu_arena *arena, const char **at)
{
    tegu_text word = {.arena = arena};
    *at += strspn(*at, " ");
    if (!**at)
        return NULL;
    bool quoted = false;
    for (; **at && (quoted || **at != ' '); (*at)++) {
        if (**at == '\'')
            quoted = !quoted;
        else
            tegu_text_add(&word, *at, 1);
    }
    return tegu_text_cstr(&word);
}

static command split(tegu_arena *arena, const char *program, const char *line)
{
    command c = {0};
    tegu_vec_push(arena, &c.argv, program);
    for (const char *word; (word = next_word(arena, &line)) != NULL;) {
        if (strcmp(word, ">") == 0)
            c.out = next_word(arena, &line);
        else if (strcmp(word, "<") == 0)
            c.in = next_word(arena, &line);
        else
            tegu_vec_push(arena, &c.argv, word);
    }
    tegu_vec_push(arena, &c.argv, NULL);
    return c;
}

static bool wait_for(pid_t child, spawned *result)
{
    int status;
    struct timespec step = {0, STEP_NS};
    for (long i = 0; waitpid(child, &status, WNOHANG) == 0; i++) {
        if (i * (STEP_NS / 1000) > MOST_SECONDS * 1000000L) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return false;
        }
        nanosleep(&step, NULL);
    }
    result->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return true;
}

static const char *read_all(tegu_arena *arena, int fd, size_t *size)
{
    off_t end = lseek(fd, 0, SEEK_END);
    char *text = tegu_arena_alloc(arena, (size_t)end + 1);
    *size = (size_t)end;
    if (pread(fd, text, (size_t)end, 0) != end)
        *size = 0;
    close(fd);
    return text;
}

spawned spawn_line(tegu_arena *arena, const char *program, const char *line)
{
    spawned result = {.code = -1, .out = "", .err = ""};
    command c = split(arena, program, line);
    posix_spawn_file_actions_t files;
    int out = memfd_create("out", MFD_CLOEXEC);
    int err = memfd_create("err", MFD_CLOEXEC);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, c.in ? c.in : "/dev/null",
                                     O_RDONLY, 0);
    if (c.out)
        posix_spawn_file_actions_addopen(&files, 1, c.out, O_WRONLY, 0);
    else
        posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, err, 2);
    pid_t child;
    if (posix_spawnp(&child, program, &files, NULL,
                     (char *const *)(uintptr_t)c.argv.data, environ) == 0)
        result.ended = wait_for(child, &result);
    posix_spawn_file_actions_destroy(&files);
    result.out = read_all(arena, out, &result.out_size);
    result.err = read_all(arena, err, &result.err_size);
    return result;
}

pid_t spawn_start(const char *program, const char *const *argv)
{
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
    pid_t child;
    if (posix_spawnp(&child, program, &files, NULL,
                     (char *const *)(uintptr_t)argv, environ) != 0)
        child = -1;
    posix_spawn_file_actions_destroy(&files);
    return child;
}
