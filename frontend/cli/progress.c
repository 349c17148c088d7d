/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - the progress line, the clock, and how numbers are shown. */
#include "frontend/cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double tegu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void tegu_progress_start(tegu_progress *progress, const tegu_cli *cli,
                         const char *what)
{
    const char *term = getenv("TERM");
    *progress = (tegu_progress){
        .what = what,
        .start = tegu_seconds(),
        .terminal =
            isatty(STDERR_FILENO) == 1 && term && strcmp(term, "dumb") != 0,
        .quiet = tegu_args_has(&cli->args, TEGU_CLI_QUIET),
    };
}

void tegu_progress_step(tegu_progress *progress, double done, double total)
{
    double now = tegu_seconds();
    if (progress->quiet || total <= 0)
        return;
    double share = done / total, elapsed = now - progress->start;
    double left = share > 0 ? elapsed / share - elapsed : 0;
    if (progress->terminal && now - progress->shown > 0.1) {
        fprintf(stderr, "\r%s %3.0f %%  %.0f s left   ", progress->what,
                100 * share, left);
        progress->shown = now;
    } else if (!progress->terminal && (int)(share * 10) > progress->tenth &&
               elapsed > 2) {
        progress->tenth = (int)(share * 10);
        fprintf(stderr, "%s %d %%, %.0f s left\n", progress->what,
                progress->tenth * 10, left);
    }
}

void tegu_progress_end(tegu_progress *progress)
{
    if (!progress->quiet && progress->terminal && progress->shown > 0)
        fprintf(stderr, "\r%*s\r", 60, "");
}

static const char *scaled(tegu_arena *arena, double n, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    int p = 0;
    while (n >= 999.5 && p < 5) {
        n /= 1000;
        p++;
    }
    int digits = n >= 99.95 || p == 0 ? 0 : n >= 9.995 ? 1 : 2;
    const char *space = p || unit[0] ? " " : "";
    return tegu_format(arena, "%.*f%s%s%s", digits, n, space, prefixes[p],
                       unit);
}

const char *tegu_count_text(tegu_arena *arena, double n)
{
    return scaled(arena, n, "");
}

const char *tegu_bytes_text(tegu_arena *arena, double bytes)
{
    return scaled(arena, bytes, "B");
}
