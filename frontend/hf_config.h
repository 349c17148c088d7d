/* SPDX-License-Identifier: Apache-2.0 */
/* hf_config.h - checked reading of a Hugging Face config.json.
 *
 * Each getter reports what is wrong with its key, placed at the key, and
 * returns something harmless, so that one run finds all problems of a config.
 * A key is `name`, or `outer.name` when outer is not NULL; null counts as
 * missing.
 */
#ifndef TEGU_FRONTEND_HF_CONFIG_H
#define TEGU_FRONTEND_HF_CONFIG_H

#include "frontend/json.h"

typedef struct tegu_hf_config {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_json json;
} tegu_hf_config;

/* NULL when missing or null. */
json_t *tegu_config_get(const tegu_hf_config *c, const char *outer,
                        const char *name);
/* An integer in [lo, hi]; `missing` stands in for a missing key, and a
 * `missing` outside [lo, hi] makes the key required. */
int64_t tegu_config_int(const tegu_hf_config *c, const char *outer,
                        const char *name, int64_t missing, int64_t lo,
                        int64_t hi);
/* A number above 0 (an integer will do); the key is required when `missing`
 * is not above 0. */
double tegu_config_positive(const tegu_hf_config *c, const char *outer,
                            const char *name, double missing);
bool tegu_config_bool(const tegu_hf_config *c, const char *name, bool missing);
/* `missing` NULL: the key is required; "" after reporting. */
const char *tegu_config_text(const tegu_hf_config *c, const char *outer,
                             const char *name, const char *missing);
/* Reports a problem of a key: "'outer.name' ...". */
void tegu_config_error(const tegu_hf_config *c, const char *outer,
                       const char *name, tegu_diag_id id, const char *format,
                       ...) TEGU_PRINTF(5, 6);

#endif
