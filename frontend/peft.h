/* SPDX-License-Identifier: Apache-2.0 */
/* peft.h - adapters: from files to adapted weights of a unit.
 *
 * An adapter is opened once and applied to a unit whose weights it adapts:
 * every use of a targeted parameter becomes lora, singlora or dora of it
 * (ops.def), so that interpreter, passes and weights emission know what it
 * means.  Layouts: docs/passes.md, "Adapters".
 */
#ifndef TEGU_FRONTEND_PEFT_H
#define TEGU_FRONTEND_PEFT_H

#include "frontend/safetensors.h"
#include "ir/unit.h"

/* What a tensor is to the module that it adapts. */
typedef enum tegu_adapter_part {
    TEGU_PART_A,           /* LoRA's [r, in] */
    TEGU_PART_B,           /* [out, r] */
    TEGU_PART_EMBEDDING_A, /* [r, n] of a table [n, d]; GGUF: [n, r] */
    TEGU_PART_EMBEDDING_B, /* [d, r] */
    TEGU_PART_MAGNITUDE,   /* DoRA's [out] */
    TEGU_PART_SINGLE,      /* SingLoRA's [max(out, in), r] */
    TEGU_PART_STEP,        /* SingLoRA's step of the ramp, one number */
    TEGU_PART_BASE,        /* a copy of the base weight, compared only */
    TEGU_PART_WEIGHT,      /* replaces the module's weight */
    TEGU_PART_BIAS,        /* replaces its bias */
    TEGU_PART_COUNT
} tegu_adapter_part;

typedef enum tegu_adapter_kind {
    TEGU_ADAPTER_NONE, /* only replacements */
    TEGU_ADAPTER_LORA,
    TEGU_ADAPTER_EMBEDDING,
    TEGU_ADAPTER_DORA,
    TEGU_ADAPTER_SINGLORA
} tegu_adapter_kind;

/* One module of the model that the adapter changes. */
typedef struct tegu_adapter_site {
    const char *module; /* as in the file, without base_model.model. */
    tegu_adapter_kind kind;
    int64_t rank;
    double scale; /* alpha/r or alpha/sqrt(r), times the ramp */
    const tegu_stored_tensor *parts[TEGU_PART_COUNT];
} tegu_adapter_site;

/* The modules that a config says it adapts. */
typedef struct tegu_adapter_targets {
    bool stated; /* there is a list, an expression or "all-linear" */
    bool all_linear;
    const char *regex; /* of whole module names; NULL: names */
    TEGU_VEC(const char *) names;
    TEGU_VEC(const char *) exclude;
    const char *exclude_regex;
    TEGU_VEC(int64_t) layers; /* empty: all */
    TEGU_VEC(const char *) patterns;
    TEGU_VEC(const char *) saved; /* modules_to_save */
    bool biases;                  /* bias is not "none" */
} tegu_adapter_targets;

typedef struct tegu_adapter {
    tegu_arena *arena;
    tegu_diag *diag;
    const char *name; /* last part of the path */
    const char *path; /* of the tensors */
    const char *config_path;
    tegu_file file;   /* of the tensors */
    tegu_file config; /* data NULL: none was read */
    bool gguf;        /* rows of q and k are in GGUF's order */
    tegu_adapter_targets targets;
    TEGU_VEC(tegu_stored_tensor) tensors;
    TEGU_VEC(tegu_adapter_site) sites;
} tegu_adapter;

/* SingLoRA's files may leave open how alpha and r make the scale. */
typedef enum tegu_singlora_scale {
    TEGU_SCALE_FROM_FILE, /* else guessed, with a warning */
    TEGU_SCALE_R,         /* alpha / r */
    TEGU_SCALE_SQRT       /* alpha / sqrt(r) */
} tegu_singlora_scale;

typedef struct tegu_adapter_options {
    tegu_singlora_scale scale;
    double ramp;  /* u in 0..1; negative: from the file, else 1 + warning */
    double alpha; /* where the file names none; 0: guessed, with a warning */
} tegu_adapter_options;

/* Reads a PEFT folder, a bare safetensors file or a GGUF adapter and checks
 * all that can be without the model: every tensor has a role, partners are
 * there, ranks and alpha make sense, modules are the config's targets.  NULL
 * after reporting.  Close it, applied or not. */
tegu_adapter *tegu_adapter_open(tegu_arena *arena, tegu_diag *diag,
                                const char *path,
                                const tegu_adapter_options *options);
/* Unmaps the file unless a unit took it. */
void tegu_adapter_close(tegu_adapter *adapter);

/* Adapts the unit's weights at model level; `weight` scales the change (not 0,
 * finite).  `apart`: the adapter becomes one of the unit's own (unit.h), under
 * its name as a C identifier, to be kept and switched; it may then replace no
 * tensor.  The unit takes the mapped file and notes both; `adapter` must be in
 * an arena that lives as long.  False after reporting; the unit is then of no
 * use. */
bool tegu_adapter_apply(tegu_unit *unit, tegu_adapter *adapter, double weight,
                        bool apart);

/* One line per site: module, kind, rank, scale. */
void tegu_adapter_print(tegu_text *out, const tegu_adapter *adapter);

#endif
