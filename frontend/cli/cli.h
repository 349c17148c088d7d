/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - what the command files share: parsed arguments, the session that
 * holds one loaded and compiled model, progress, and number formatting.
 *
 * A command is one function in one file: it reads its arguments, calls the
 * library, prints, and returns an exit code.  Errors are reported to the
 * session's diagnostics, which main.c renders.
 */
#ifndef TEGU_CLI_CLI_H
#define TEGU_CLI_CLI_H

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/pass.h"

typedef enum tegu_command {
#define TEGU_COMMAND(id, name, operands, min, max, summary, details)           \
    TEGU_COMMAND_##id,
#include "frontend/cli/options.def"
    TEGU_COMMAND_COUNT
} tegu_command;

typedef enum tegu_cli_option {
#define TEGU_CLI(id, long_name, short_name, placeholder, commands, help)       \
    TEGU_CLI_##id,
#include "frontend/cli/options.def"
    TEGU_CLI_END
} tegu_cli_option;

typedef struct tegu_command_info {
    const char *name, *operands;
    int min, max;
    const char *summary, *details;
} tegu_command_info;

typedef struct tegu_cli_info {
    const char *long_name;
    char short_name;         /* 0: none */
    const char *placeholder; /* NULL: a flag */
    uint32_t commands;       /* bits 1 << tegu_command */
    const char *help;
} tegu_cli_info;

extern const tegu_command_info tegu_commands[TEGU_COMMAND_COUNT];
extern const tegu_cli_info tegu_cli_options[TEGU_CLI_END];

typedef TEGU_VEC(const char *) tegu_texts;

/* The command line, parsed; texts are borrowed from argv. */
typedef struct tegu_args {
    tegu_command command;
    tegu_texts operands;
    tegu_texts values[TEGU_CLI_END]; /* in order; flags: "" */
} tegu_args;

/* A file on disk, whatever its path. */
typedef struct tegu_file_id {
    uint64_t device, inode;
} tegu_file_id;

/* Data of --calib and what runs it (calib.c). */
typedef struct tegu_cli_calibration tegu_cli_calibration;

/* Everything a command works with. */
typedef struct tegu_cli {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_args args;
    TEGU_VEC(tegu_file_id) inputs;     /* never written to */
    tegu_cli_calibration *calibration; /* NULL until a pass may need it */
    tegu_outputs *outputs;             /* the last opened; removed unless
                                          committed, also when memory ends */
} tegu_cli;

/* --- args.c --- */
/* Parses argv; false after reporting usage errors (did you mean). */
bool tegu_args_parse(tegu_cli *cli, int argc, char **argv);
bool tegu_args_has(const tegu_args *args, tegu_cli_option option);
/* The last value, or `fallback`. */
const char *tegu_args_text(const tegu_args *args, tegu_cli_option option,
                           const char *fallback);
/* The last value as a number within [lo, hi]; false after reporting. */
bool tegu_args_int(tegu_cli *cli, tegu_cli_option option, int64_t fallback,
                   int64_t lo, int64_t hi, int64_t *value);
bool tegu_args_float(tegu_cli *cli, tegu_cli_option option, double fallback,
                     double lo, double hi, double *value);

/* --- help.c --- */
void tegu_help_command(FILE *out, tegu_command command);
void tegu_help_man(FILE *out);
void tegu_help_bash(FILE *out);

/* --- output.c --- */
/* Marks a file, or each file of a folder, as read by this command. */
void tegu_input_add(tegu_cli *cli, const char *path);
/* Reports "cannot write: error" at path; false. */
bool tegu_cannot_write(tegu_cli *cli, const char *path, const char *error);
/* tegu_outputs_open, refusing inputs; false after reporting. */
bool tegu_output_open(tegu_cli *cli, tegu_outputs *outputs, const char *path);
/* Whether `path` could be written now ("-" always can): asked before long
 * work.  False after reporting. */
bool tegu_output_check(tegu_cli *cli, const char *path);
/* Writes a whole file, or standard output for "-". */
bool tegu_output_write(tegu_cli *cli, const char *path, const char *data,
                       size_t size);

/* --- report.c --- */
/* What a model costs, as far as passes change it (report.h). */
typedef struct tegu_size {
    double parameters, macs, bytes;
} tegu_size;

/* --- session.c --- */
/* A model brought as far as a command needs it.  Everything lies in the
 * session's own arena, so several pipelines can be compared side by side. */
typedef struct tegu_session {
    tegu_arena *arena;
    tegu_unit *unit;
    const char *pipeline; /* canonical text of the user's passes */
    tegu_manager_report report;
    tegu_size before, after; /* the user's passes */
    tegu_artifact *artifact;
    tegu_executor *executor;
    double load_seconds, compile_seconds;
    TEGU_VEC(double) adapter_weights; /* of --adapter, in order */
    int lanes;                        /* for passes; 0: their default */
} tegu_session;
/* Loads the operand MODEL with the options given.  NULL after reporting. */
tegu_session *tegu_session_open(tegu_cli *cli, bool without_weights);
/* adapters.c: adapts the loaded model as --adapter says; false after
 * reporting. */
bool tegu_session_adapters(tegu_cli *cli, tegu_session *session);
/* Runs the given pipeline (NULL: the -p of the command line) and, when
 * `to_kernel`, the preset of -O down to kernel level. */
bool tegu_session_passes(tegu_cli *cli, tegu_session *session,
                         const char *pipeline, bool to_kernel);
/* Generates code for the target (NULL: this machine). */
bool tegu_session_codegen(tegu_cli *cli, tegu_session *session,
                          const tegu_target *target, bool embed_weights,
                          bool want_asm, bool want_llvm, bool want_bitcode);
/* Loads the object into this process; `threads` as for the ABI. */
bool tegu_session_jit(tegu_cli *cli, tegu_session *session, int64_t threads,
                      void *pool);
/* Passes, codegen and JIT for this machine in one go. */
bool tegu_session_native(tegu_cli *cli, tegu_session *session,
                         const char *pipeline, int64_t threads, void *pool);
void tegu_session_close(tegu_session *session);

/* --- calib.c --- */
/* The data of --calib and --stats, read when first asked for; NULL without the
 * options.  False after reporting. */
bool tegu_session_calibration(tegu_cli *cli, tegu_session *session,
                              const tegu_calibration **calibration);
/* Lines of provenance for the data that was read; "" when none was. */
const char *tegu_calibration_provenance(const tegu_cli *cli);
/* Adds what became of --stats and --save-stats to the session's remarks. */
void tegu_calibration_report(const tegu_cli *cli, tegu_session *session);
/* Writes what --save-stats asks for; false after reporting. */
bool tegu_calibration_save(tegu_cli *cli);
/* Ends the threads that calibration started. */
void tegu_calibration_close(tegu_cli *cli);

/* --- provenance.c --- */
/* A hash to tell inputs apart by; not against forgery. */
uint64_t tegu_input_hash(const void *bytes, size_t size);
/* Adds the line "WHAT NAME of SIZE bytes, hash HASH". */
void tegu_provenance_add(tegu_text *lines, const char *what,
                         const tegu_file *file);
/* All lines of a session, calibration data too, in its arena. */
const char *tegu_provenance(const tegu_cli *cli, const tegu_session *session);

/* --- progress.c --- */
/* A progress line on standard error: rewritten on a terminal, one line per
 * tenth elsewhere; silent with --quiet. */
typedef struct tegu_progress {
    const char *what;
    double start, shown;
    bool terminal, quiet;
    int tenth;
} tegu_progress;
void tegu_progress_start(tegu_progress *progress, const tegu_cli *cli,
                         const char *what);
void tegu_progress_step(tegu_progress *progress, double done, double total);
void tegu_progress_end(tegu_progress *progress);
/* Seconds of a monotonic clock. */
double tegu_seconds(void);
/* "5.4 M", "21.6 MB": three significant digits in the arena. */
const char *tegu_count_text(tegu_arena *arena, double n);
const char *tegu_bytes_text(tegu_arena *arena, double bytes);

/* --- commands --- */
#define TEGU_COMMAND(id, name, operands, min, max, summary, details)           \
    int tegu_command_##id(tegu_cli *cli);
#include "frontend/cli/options.def"

#endif
