/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the only main(): parses the command line, runs the command, prints
 * the diagnostics, returns the documented exit code.
 *
 * Memory failure anywhere below comes back here by the arena's failure jump.
 */
#include "frontend/cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static int (*const commands[TEGU_COMMAND_COUNT])(tegu_cli *) = {
#define TEGU_COMMAND(id, name, operands, min, max, summary, details)           \
    [TEGU_COMMAND_##id] = tegu_command_##id,
#include "frontend/cli/options.def"
};

static bool is_word(const char *word, const char *long_name, const char *other)
{
    return strcmp(word, long_name) == 0 || strcmp(word, other) == 0;
}

/* `tegu --help`, `tegu --version`, `tegu COMMAND --help`. */
static bool answer_at_once(tegu_cli *cli, int argc, char **argv)
{
    if (argc == 2 && is_word(argv[1], "--version", "-V")) {
        puts("tegu " TEGU_VERSION);
        return true;
    }
    if (argc == 2 && is_word(argv[1], "--help", "-h"))
        return tegu_command_HELP(cli) == 0;
    for (int c = 0; argc > 2 && c < TEGU_COMMAND_COUNT; c++) {
        if (strcmp(argv[1], tegu_commands[c].name) != 0)
            continue;
        for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
            if (is_word(argv[i], "--help", "-h")) {
                tegu_help_command(stdout, (tegu_command)c);
                return true;
            }
        }
    }
    return false;
}

static int run(tegu_cli *cli, int argc, char **argv)
{
    cli->args.command = TEGU_COMMAND_HELP;
    int code = 0;
    if (!answer_at_once(cli, argc, argv) && tegu_args_parse(cli, argc, argv))
        code = commands[cli->args.command](cli);
    if (code == 0)
        code = tegu_calibration_save(cli) ? 0 : 73;
    if (fflush(stdout) != 0 && code == 0) {
        tegu_error(cli->diag, tegu_loc_file("<stdout>"), TEGU_E_CANNOT_WRITE,
                   "cannot write to standard output");
    }
    tegu_calibration_close(cli);
    int worst = tegu_diag_exit_code(cli->diag);
    return worst ? worst : code;
}

/* LLVM and the C++ library abort when memory ends; our own checks, when tegu
 * is wrong.  Outputs are complete or untouched at any moment (io.h). */
static void on_abort(int number)
{
    static const char text[] = "tegu: error: stopped: out of memory, or an "
                               "internal error [E0004]\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(71);
    _exit(70);
}

/* A standard stream that the caller closed is opened on /dev/null, so that no
 * output file gets its number; past a file size limit, write() shall fail
 * like on a full disk, not end the program. */
static void prepare_process(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGABRT, on_abort);
#ifdef __GLIBC__
    /* Blocks of a MiB and more go back to the system when freed.  By itself
     * glibc raises that to 32 MiB as they come and go, and keeps the holes. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

int main(int argc, char **argv)
{
    prepare_process();
    tegu_arena *arena = tegu_arena_create();
    if (!arena) {
        fputs("tegu: error: out of memory [E0003]\n", stderr);
        return 71;
    }
    jmp_buf failure;
    tegu_cli *volatile shared = NULL;
    if (setjmp(failure)) {
        if (shared)
            tegu_outputs_destroy(shared->outputs);
        fputs("tegu: error: out of memory [E0003]\n", stderr);
        return 71;
    }
    tegu_arena_on_failure(arena, &failure);
    tegu_cli *cli = TEGU_NEW(arena, tegu_cli);
    cli->arena = arena;
    cli->diag = tegu_diag_create(arena);
    shared = cli;
    int code = run(cli, argc, argv);
    tegu_diag_render(cli->diag, stderr, isatty(STDERR_FILENO) == 1);
    tegu_arena_destroy(arena);
    return code;
}
