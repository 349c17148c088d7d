/* SPDX-License-Identifier: Apache-2.0 */
/* pass.h - passes, and the manager that alone verifies, times, prints, counts
 * and checks them.
 *
 * A pass is a row of passes.def: name, summary, exact or lossy, the level it
 * needs and gives, and its parameters with types and defaults.  Its function
 * gets the unit and its parsed parameters and rewrites the entries' graphs
 * (or parameters).  A pass never calls another pass, never prints, never
 * verifies.
 */
#ifndef TEGU_PASSES_PASS_H
#define TEGU_PASSES_PASS_H

#include "ir/ir.h"

typedef enum tegu_outcome {
    TEGU_FAILED = -1, /* a diagnostic was reported */
    TEGU_UNCHANGED,
    TEGU_CHANGED
} tegu_outcome;

typedef enum tegu_option_kind {
    TEGU_OPTION_INT,
    TEGU_OPTION_FLOAT,
    TEGU_OPTION_BOOL,
    TEGU_OPTION_TEXT
} tegu_option_kind;

typedef struct tegu_option {
    const char *pass; /* id of the pass */
    const char *key;
    tegu_option_kind kind;
    const char *value; /* default as text */
    double lo, hi;     /* bounds of numbers */
    const char *summary;
} tegu_option;

/* Parsed option values of one step of a pipeline. */
typedef struct tegu_options {
    const char *pass;
    const char **values; /* as text, in passes.def order */
} tegu_options;
int64_t tegu_option_int(const tegu_options *options, const char *key);
double tegu_option_float(const tegu_options *options, const char *key);
bool tegu_option_bool(const tegu_options *options, const char *key);
const char *tegu_option_text(const tegu_options *options, const char *key);

/* Tokens and the means to run graphs over them: passes/calibrate.h. */
typedef struct tegu_calibration tegu_calibration;

/* One figure of a site: "kept_energy" 0.993. */
typedef struct tegu_figure {
    const char *name; /* a JSON key */
    double value;
} tegu_figure;

/* What a lossy pass did at one place of the model. */
typedef struct tegu_site_row {
    const char *pass;
    const char *site; /* "layers.3.mlp" */
    const tegu_figure *figures;
    uint32_t count;
} tegu_site_row;
typedef TEGU_VEC(tegu_site_row) tegu_site_rows;

/* What a pass works with besides the unit. */
typedef struct tegu_pass_env {
    tegu_arena *scratch; /* released after each pass */
    const tegu_options *options;
    tegu_text *report;                   /* lossy passes add their lines here */
    tegu_site_rows *sites;               /* by tegu_report_site */
    const tegu_calibration *calibration; /* NULL: none was given */
    int lanes;                           /* widths are best multiples of this */
} tegu_pass_env;

/* Adds a site's figures to the report, as one aligned line of text and as a
 * row for --json.  Copies everything. */
void tegu_report_site(tegu_pass_env *env, const char *site,
                      const tegu_figure *figures, uint32_t count);
/* What widths are rounded to by an option `round`: 0 stands for the target's
 * vectors. */
int64_t tegu_pass_multiple(const tegu_pass_env *env, int64_t round);

typedef struct tegu_pass {
    const char *name;
    const char *summary;
    uint8_t needs; /* levels it accepts */
    uint8_t gives; /* level after it; 0: the same */
    bool lossy;
    tegu_outcome (*run)(tegu_unit *unit, tegu_pass_env *env);
} tegu_pass;

/* All passes, by passes.def. */
const tegu_pass *tegu_pass_table(uint32_t *count);
const tegu_pass *tegu_pass_find(const char *name);
const tegu_option *tegu_pass_options(const tegu_pass *pass, uint32_t *count);

/* A parsed pipeline: steps in order. */
typedef struct tegu_pipeline tegu_pipeline;
/* Parses "cse,fuse{max=8},-O2"; presets -O0 -O1 -O2 may stand as a step.
 * Errors: unknown pass or option (did you mean), bad value, out of bounds,
 * unbalanced braces, trailing comma.  `loc.file` names the string
 * ("<pipeline>"), columns point into it. */
tegu_pipeline *tegu_pipeline_parse(tegu_arena *arena, tegu_diag *diag,
                                   const char *text);
/* The canonical text with every option that differs from its default. */
const char *tegu_pipeline_print(const tegu_pipeline *pipeline,
                                tegu_arena *arena);
/* Appends preset `level` (0, 1, 2) down to kernel level: what compile runs
 * after the user's own pipeline. */
void tegu_pipeline_add_preset(tegu_pipeline *pipeline, int level);

/* Steps run, with statistics. */
typedef struct tegu_step_report {
    const char *text; /* the step as printed */
    double seconds;
    bool changed;
    uint32_t nodes_before, nodes_after;
    double check_ratio; /* --check-each: max |difference| / bound */
} tegu_step_report;

typedef struct tegu_manager_options {
    bool verify_each;
    bool check_each; /* interpret before and after each pass */
    uint64_t check_seed;
    const char *print_before, *print_after; /* pass names or "all"; NULL */
    bool print_changed;                     /* only when it changed something */
    const char *stop_after;                 /* NULL: run all */
    FILE *print_to;                         /* stderr by the command line */
    const tegu_calibration *calibration;    /* NULL: none */
    int lanes;                              /* of the target's vectors; 0: 16 */
} tegu_manager_options;

typedef struct tegu_manager_report {
    TEGU_VEC(tegu_step_report) steps;
    tegu_text remarks;    /* lines that passes reported */
    tegu_site_rows sites; /* rows of lossy passes, in order */
} tegu_manager_report;

/* Runs the pipeline over the unit; false after reporting (a verifier or
 * --check-each failure names the pass). */
bool tegu_manager_run(tegu_unit *unit, const tegu_pipeline *pipeline,
                      const tegu_manager_options *options,
                      tegu_manager_report *report);

#endif
