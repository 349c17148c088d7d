/* SPDX-License-Identifier: Apache-2.0 */
/* peft_config.h - adapter_config.json, or what a bare file's metadata says. */
#ifndef TEGU_FRONTEND_PEFT_CONFIG_H
#define TEGU_FRONTEND_PEFT_CONFIG_H

#include "frontend/hf_config.h"
#include "frontend/peft.h"

typedef struct tegu_peft_config {
    tegu_hf_config json; /* open while the adapter is read; root NULL: none */
    const tegu_adapter_options *options;
    bool singlora; /* peft_type SINGLORA */
    bool dora;
    bool rslora;
    bool scale_known;  /* the file says whether rslora */
    int64_t rank;      /* 0: from the tensors */
    double alpha;      /* 0: unknown */
    double ramp;       /* u; negative: not stated */
    double ramp_steps; /* T; 0: not stated */
} tegu_peft_config;

/* Opens `path` and reads it into *config and adapter->targets; false after
 * reporting.  Close it when true. */
bool tegu_peft_config_open(tegu_adapter *adapter, const char *path,
                           tegu_peft_config *config);
/* The same from a safetensors file's metadata: rank, alpha, ramp_up_steps,
 * ramp, use_rslora. */
bool tegu_peft_config_metadata(tegu_adapter *adapter,
                               const tegu_safetensors *file,
                               tegu_peft_config *config);
void tegu_peft_config_close(tegu_peft_config *config);

/* r and alpha of a module, by rank_pattern and alpha_pattern. */
bool tegu_peft_rank(tegu_adapter *adapter, const tegu_peft_config *config,
                    const char *module, int64_t *rank, double *alpha);

/* True when the config adapts the module; *ok false after reporting an
 * expression that cannot be used. */
bool tegu_peft_is_target(const tegu_adapter *adapter, const char *module,
                         bool *ok);
/* `module` is one of the names or ends with "." and it. */
bool tegu_peft_is_named(const char *module, const char *const *names,
                        uint32_t count);

#endif
