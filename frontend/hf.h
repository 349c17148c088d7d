/* SPDX-License-Identifier: Apache-2.0 */
/* hf.h - what the importers of the Hugging Face families share. */
#ifndef TEGU_FRONTEND_HF_H
#define TEGU_FRONTEND_HF_H

#include "frontend/hf_config.h"
#include "frontend/safetensors.h"

/* Differences inside the Llama family. */
enum {
    TEGU_HF_QKV_BIAS = 1,   /* q, k and v always have a bias, o never */
    TEGU_HF_NEEDS_KV = 2,   /* num_key_value_heads has no neutral default */
    TEGU_HF_WINDOW = 4,     /* sliding_window counts; 4096 when missing */
    TEGU_HF_MAY_WINDOW = 8, /* ... counts if use_sliding_window says so */
    TEGU_HF_MAY_BIAS = 16   /* attention_bias and mlp_bias are read */
};

typedef struct tegu_hf tegu_hf;

/* One value of model_type. */
typedef struct tegu_hf_family {
    const char *model_type;
    const char *architecture; /* the one whose output is logits */
    const char *body;         /* prefix of names below the head */
    const char *embedding;    /* the token table, behind that prefix */
    void (*write)(tegu_hf *hf);
    unsigned traits;
} tegu_hf_family;

struct tegu_hf {
    tegu_arena *arena;
    tegu_diag *diag;
    const char *folder;
    const tegu_hf_family *family;
    tegu_hf_config config;
    const char *weights; /* file name of the weights */
    const char *weights_path;
    tegu_tensors *tensors; /* NULL: there are none to look at */
    const char *body;      /* the prefix that the tensors have */
    const char *layer;     /* "layers." or "h." */
    int64_t layers;
    tegu_map *used; /* names, layers' as "{i}.rest" */
    tegu_text *out;
};

enum { TEGU_HF_LARGEST = INT32_MAX }; /* of any size in a config */

/* A size: an integer in 1..TEGU_HF_LARGEST. */
int64_t tegu_hf_size(tegu_hf *hf, const char *key);
/* Reports when `key` is not a multiple of `of`. */
void tegu_hf_check_multiple(tegu_hf *hf, const char *key, int64_t value,
                            const char *of, int64_t divisor);
/* Reports when a * b is above 2^48 elements: no tensor is that large. */
void tegu_hf_check_product(tegu_hf *hf, const char *a_key, int64_t a,
                           const char *b_key, int64_t b);
/* True when the head reads the token embedding: as the config says, else
 * whether the weights have no head of their own. */
bool tegu_hf_is_tied(tegu_hf *hf, bool missing);

/* A number of the language: 1e-5, 10000.0. */
const char *tegu_hf_number(tegu_hf *hf, double number);
/* `model`, comments. */
void tegu_hf_write_head(tegu_hf *hf, const char *what);
/* The axes of a call: `context` (as declared), T within it; then `weights` and
 * `tokenizer`. */
void tegu_hf_write_calls(tegu_hf *hf, const char *context);
/* "axis DECLARED  # COMMENT", comments in one column. */
void tegu_hf_write_axis(tegu_hf *hf, const char *declared, const char *comment);
/* `param "name" [shape]`; in_layer: the name goes on behind the block's
 * prefix. */
void tegu_hf_write_param(tegu_hf *hf, bool in_layer, const char *name,
                         const char *shape);
/* A linear layer of a block, continued under its first argument. */
typedef struct tegu_hf_linear {
    const char *input; /* expression */
    const char *name;  /* without .weight */
    const char *out, *in;
    bool bias, transposed;
} tegu_hf_linear;
void tegu_hf_write_linear(tegu_hf *hf, tegu_hf_linear linear);
/* The entries `step` and `prompt` over fn trunk. */
void tegu_hf_write_entries(tegu_hf *hf, const char *head);

void tegu_hf_write_llama(tegu_hf *hf);
void tegu_hf_write_gpt2(tegu_hf *hf);

#endif
