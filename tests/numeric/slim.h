/* SPDX-License-Identifier: Apache-2.0 */
/* slim.h - wiki5m of ../shared, reduced by pipelines and measured: what tests
 * of lossy passes share.
 */
#ifndef TEGU_TESTS_SLIM_H
#define TEGU_TESTS_SLIM_H

#include "passes/calibrate.h"

typedef struct slim {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_unit *unit;
    tegu_calibration calibration;
    const int32_t *valid;       /* valid_ids [20481] */
    tegu_manager_report report; /* of the last pipeline */
} slim;

/* False when ../shared is absent.  Else the model and calib_ids. */
bool slim_open(slim *s);
void slim_close(slim *s);
/* Runs a pipeline at model level; the test fails with its messages. */
void slim_run(slim *s, const char *pipeline);
/* Perplexity over valid_ids: `windows` (at most 80) of 256, as reference.md
 * section 1 says.  The unit is compiled by a copy. */
double slim_perplexity(slim *s, int64_t windows);
/* The figure of the last report's row i; the test fails when it is absent. */
double slim_figure(const slim *s, uint32_t row, const char *name);

#endif
