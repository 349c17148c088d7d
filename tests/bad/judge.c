/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c - runs one bad command line and compares all that can be seen from
 * outside with its row: exit code, messages, files. */
#include "tests/bad/cli.h"
#include "tests/bad/spawn.h"

#include <string.h>

/* Byte offset of a control byte other than a line's end; -1 if none. */
static long control_byte(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\n') ||
            text[i] == 0x7f)
            return (long)i;
    return -1;
}

/* The first line ends with a code of diag.def: " [E0101]". */
static bool ends_with_code(const char *line, size_t size)
{
    return size > 8 && strncmp(line + size - 8, " [E", 3) == 0 &&
           strspn(line + size - 5, "0123456789") == 4 && line[size - 1] == ']';
}

static const char *judge_run(const scratch *s, const spawned *run,
                             const cli_row *row)
{
    size_t first = strcspn(run->err, "\n");
    if (!run->ended)
        return "took too long";
    if (run->signal)
        return tegu_format(s->arena, "ended by signal %d", run->signal);
    if (run->code != row->code)
        return tegu_format(s->arena, "exit code %d, not %d", run->code,
                           row->code);
    if (strncmp(run->err, row->first, strlen(row->first)) != 0)
        return tegu_format(s->arena, "the first line does not begin with\n%s",
                           row->first);
    if (!ends_with_code(run->err, first))
        return "the first line does not end with a message's code";
    if (run->err[run->err_size - 1] != '\n')
        return "the last line has no end";
    long at = control_byte(run->err, run->err_size);
    if (at >= 0)
        return tegu_format(s->arena, "control byte at %ld", at);
    if (!tegu_utf8_valid(run->err, run->err_size))
        return "standard error is not UTF-8";
    if (run->out_size)
        return "something was printed to standard output";
    return NULL;
}

const char *cli_judge(const scratch *s, const char *program, const cli_row *row)
{
    cli_build(s, row->builder, row->content);
    const char *before = scratch_snapshot(s);
    spawned run = spawn_line(s->arena, program, scratch_expand(s, row->line));
    const char *after = scratch_snapshot(s);
    const char *wrong = judge_run(s, &run, row);
    if (!wrong && strcmp(before, after) != 0)
        wrong = tegu_format(s->arena, "files changed, from\n%sto\n%s", before,
                            after);
    if (!wrong)
        return NULL;
    return tegu_format(s->arena, "%s: %s\n--- standard error:\n%.2000s",
                       row->what, wrong, run.err);
}
