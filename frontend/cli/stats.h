/* SPDX-License-Identifier: Apache-2.0 */
/* stats.h - statistics of calibration in files: --stats and --save-stats.
 *
 * A file of statistics is a safetensors file.  Its metadata says `format`
 * tegu-statistics, the version of `tegu`, the `model`, the `calibration` data
 * by name and by digest (`tokens`), and its `sequences` and `length`.  A
 * statistic has a tensor per part, named by its key (passes/stats.h):
 * KEY.rows, KEY.gram, KEY.sum, KEY.sum_abs, KEY.sum_square, KEY.samples.
 */
#ifndef TEGU_CLI_STATS_H
#define TEGU_CLI_STATS_H

#include "frontend/cli/cli.h"
#include "frontend/safetensors.h"
#include "passes/stats.h"

/* The parts of a statistic; gram and samples may be missing. */
typedef enum tegu_stats_part {
    TEGU_STATS_ROWS,
    TEGU_STATS_GRAM,
    TEGU_STATS_SUM,
    TEGU_STATS_SUM_ABS,
    TEGU_STATS_SUM_SQUARE,
    TEGU_STATS_SAMPLES,
    TEGU_STATS_PARTS
} tegu_stats_part;

/* A statistic as it lies in mapped memory, unaligned. */
typedef struct tegu_stored_stats {
    tegu_digest key;
    tegu_stored_tensor parts[TEGU_STATS_PARTS]; /* bytes 0: missing */
    bool used;                                  /* by this command */
} tegu_stored_stats;

/* --- stats_file.c --- */

/* What a file says about itself, and its statistics. */
typedef struct tegu_stats_file {
    const char *path;
    const char *source; /* of the calibration data */
    tegu_digest tokens;
    int64_t sequences, length;
    TEGU_VEC(tegu_stored_stats) list;
    tegu_file mapped; /* the caller unmaps it */
} tegu_stats_file;

/* Maps and checks a file; false after reporting. */
bool tegu_stats_read(tegu_cli *cli, const char *path, tegu_stats_file *file);
/* The same of a file that is open, whichever version of tegu wrote it. */
bool tegu_stats_parse(tegu_cli *cli, const tegu_safetensors *st,
                      tegu_stats_file *file);
/* Writes those of `list` [count] that are used, all or nothing; false after
 * reporting. */
bool tegu_stats_write(tegu_cli *cli, const tegu_stats_file *head,
                      const char *model, const tegu_stored_stats *list,
                      uint32_t count);
/* The part's tensor for statistics in memory, nameless; bytes 0: missing. */
tegu_stored_tensor tegu_stats_tensor(const tegu_site_stats *stats,
                                     tegu_stats_part part);
/* Copies a stored statistic into the arena. */
tegu_site_stats tegu_stats_load(const tegu_stored_stats *stored,
                                tegu_arena *arena);

/* --- stats.c --- */

/* The store of one command. */
typedef struct tegu_kept_stats tegu_kept_stats;

/* Opens what --stats and --save-stats name; *kept is NULL with neither.  False
 * after reporting. */
bool tegu_kept_open(tegu_cli *cli, tegu_kept_stats **kept);
/* The file of --stats; NULL: none. */
const tegu_file *tegu_kept_input(const tegu_kept_stats *kept);
/* Gives the calibration its store.  Without tokens it gets the shape of those
 * that the file is of; with tokens that differ from them a warning says so. */
void tegu_kept_attach(tegu_kept_stats *kept, tegu_calibration *calibration);
/* Notes the model's mapped files, which are hashed once, and its name. */
void tegu_kept_note(tegu_kept_stats *kept, const tegu_unit *unit);
/* Adds the line that says how many statistics were reused and computed since
 * the last one; nothing when no pass asked for any. */
void tegu_kept_report(tegu_kept_stats *kept, tegu_text *remarks);
/* Writes --save-stats; false after reporting. */
bool tegu_kept_save(tegu_kept_stats *kept);
void tegu_kept_close(tegu_kept_stats *kept);

#endif
