/* SPDX-License-Identifier: Apache-2.0 */
/* compare.h - the figures of one pipeline, shared by the table, the JSON and
 * the page. */
#ifndef TEGU_CLI_COMPARE_H
#define TEGU_CLI_COMPARE_H

#include "frontend/cli/measure.h"

typedef struct tegu_variant {
    const char *pipeline; /* as given */
    tegu_session *session;
    tegu_lm lm;
    double parameters;
    tegu_cost prefill, decode; /* per token */
    double workspace, compile_seconds;
    tegu_workload work;
    tegu_samples prefill_samples, decode_samples; /* seconds per token */
    tegu_summary prefill_time, decode_time;
    bool has_quality;
    tegu_quality quality;
} tegu_variant;

/* One figure of the comparison; value(variant) is NaN when it is missing. */
typedef struct tegu_compare_row {
    const char *label;
    const char *key; /* of the JSON */
    double (*value)(const tegu_variant *variant);
    double (*spread)(const tegu_variant *variant); /* NULL: none */
    enum {
        TEGU_SHOW_COUNT,
        TEGU_SHOW_BYTES,
        TEGU_SHOW_TIME,
        TEGU_SHOW_PLAIN
    } show;
    bool chart; /* drawn as bars */
} tegu_compare_row;

extern const tegu_compare_row tegu_compare_rows[];
extern const uint32_t tegu_compare_row_count;
/* "1.23 ms", "4.5 MB": as the row shows values; "-" for NaN. */
const char *tegu_compare_text(tegu_arena *arena, const tegu_compare_row *row,
                              double value);

/* A self-contained page: legend, table, bars per figure, and quality against
 * decode latency. */
void tegu_compare_html(tegu_text *out, const char *model,
                       const tegu_variant *variants, uint32_t count);

#endif
