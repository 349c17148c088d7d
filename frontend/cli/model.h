/* SPDX-License-Identifier: Apache-2.0 */
/* model.h - driving a compiled language model: its `step` entry, tokens of a
 * text or file, and quality over windows of tokens. */
#ifndef TEGU_CLI_MODEL_H
#define TEGU_CLI_MODEL_H

#include "frontend/cli/cli.h"
#include "tegu/runtime.h"

/* The language-model convention: entry `step`, input i32[T], output
 * f32[T, vocab]; `prompt`, when present, gives f32[1, vocab]. */
typedef struct tegu_lm {
    tegu_session *session;
    const tegu_entry *step, *prompt; /* prompt NULL if there is none */
    int64_t most;                    /* largest T of one call */
    int64_t context;                 /* rows the state holds; most if none */
    int64_t vocab;
} tegu_lm;

/* False after reporting what the model lacks. */
bool tegu_lm_init(tegu_cli *cli, tegu_session *session, tegu_lm *lm);
/* Runs tokens [count] through `step` in calls of at most lm->most; logits
 * [count, vocab]. */
bool tegu_lm_step(const tegu_lm *lm, const int32_t *tokens, int64_t count,
                  float *logits);
/* The same, but only the last token's logits [vocab]; through `prompt` when
 * the model has it. scratch [count, vocab] is used otherwise (may be NULL
 * when the model has `prompt`). */
bool tegu_lm_prompt(const tegu_lm *lm, const int32_t *tokens, int64_t count,
                    float *logits, float *scratch);

/* Values for the unit's axes with every symbolic one at `length`, within its
 * bounds. */
int64_t *tegu_symbols_at(tegu_cli *cli, const tegu_unit *unit, int64_t length);

typedef struct tegu_tokens {
    const int32_t *ids;
    int64_t count;
    int64_t row;           /* ids of one row of a stored matrix; 0: a list */
    const char *source;    /* path as given */
    const char *made_from; /* lines of provenance: the file, the tokenizer */
} tegu_tokens;

/* Opens --tokenizer, or the unit's own; the caller closes it. */
bool tegu_open_tokenizer(tegu_cli *cli, const tegu_unit *unit,
                         tegu_tokenizer **tokenizer);
/* Reads stored ids from `file` (FILE[:TENSOR]) or encodes the text of `text`,
 * whichever is not NULL; checks ids against the vocabulary. */
bool tegu_load_tokens(tegu_cli *cli, const tegu_lm *lm, const char *file,
                      const char *text, tegu_tokens *tokens);
/* Reads --tokens or encodes --text; checks ids against the vocabulary.
 * count 0 and true when neither was given. */
bool tegu_read_tokens(tegu_cli *cli, const tegu_lm *lm, tegu_tokens *tokens);

/* Windows over tokens: window w feeds ids[start .. start + length - 1] and
 * predicts one further; of these the last `counted` are scored. */
typedef struct tegu_windows {
    int64_t length, stride, predictions; /* predictions: limit, 0 = all */
} tegu_windows;

typedef struct tegu_quality {
    double nll; /* mean, natural logarithm */
    double perplexity;
    double kl;       /* mean KL(reference || this); NaN: reference */
    double same_top; /* share of equal likeliest tokens; NaN as kl */
    int64_t predictions;
} tegu_quality;

/* Runs every model over the windows side by side; [0] is the reference of the
 * KL divergence.  quality [count]. */
bool tegu_measure_quality(tegu_cli *cli, const tegu_lm *models, uint32_t count,
                          const tegu_tokens *tokens,
                          const tegu_windows *windows, tegu_quality *quality);

/* Opens a pool for -t (NULL for one thread); the caller destroys it. */
bool tegu_open_pool(tegu_cli *cli, int64_t threads, tegu_pool **pool);

/* Writes a JSON value (jansson, stolen) to --json; "-" is standard output. */
struct json_t;
bool tegu_write_json(tegu_cli *cli, struct json_t *json);

#endif
