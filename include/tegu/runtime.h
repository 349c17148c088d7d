/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.h: optional helpers for programs that call compiled models.
 *
 * A compiled model needs none of this: it takes pointers and calls a
 * parallel_for that its caller may leave out.  This header offers what most
 * hosts then want: map the weights file, run parts on a pool of threads, ask
 * the CPU for its features, turn text into token ids and back, pick the next
 * token.  Link libtegu_runtime.a with pthreads and libm; a program that calls
 * the tokenizer also needs pcre2-8, utf8proc and jansson.
 *
 * Errors: functions return a tegu_status and write one line into the
 * caller's tegu_reason, which may be NULL.  Nothing prints, exits or keeps
 * state outside the objects named here.  An output argument is written only
 * on success, unless its function says otherwise.
 */
#ifndef TEGU_RUNTIME_H
#define TEGU_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tegu_status {
    TEGU_STATUS_OK = 0,
    TEGU_STATUS_ARGUMENT,    /* the call itself is wrong (range, encoding) */
    TEGU_STATUS_OPEN,        /* a file cannot be opened or read */
    TEGU_STATUS_FORMAT,      /* a file is malformed */
    TEGU_STATUS_UNSUPPORTED, /* well-formed, but not covered here */
    TEGU_STATUS_MEMORY,      /* out of memory */
    TEGU_STATUS_SYSTEM       /* the system refused: threads, mappings */
} tegu_status;

/* One line without a line feed, always terminated; "" before any error. */
typedef struct tegu_reason {
    char text[512];
} tegu_reason;

/* A short English name, "ok" or e.g. "out of memory"; never NULL. */
const char *tegu_status_name(tegu_status status);

/* ---- weights ----------------------------------------------------------
 * Read-only bytes of a NAME.weights or NAME.ADAPTER.adapter file.  Any number
 * of threads may read them; they must outlive every call of the model that was
 * initialised with them, or had the adapter set.
 */
typedef struct tegu_weights {
    const void *data; /* aligned to 64 bytes at least */
    size_t size;      /* bytes in the file */
    void *base;       /* private: start of the mapping */
    size_t extent;    /* private: bytes mapped */
} tegu_weights;

enum {
    /* Copy the file into anonymous memory advised as huge pages: some 10 %
     * more read bandwidth for models larger than the caches, at the price
     * of reading all of it now.  Without it the file is mapped: pages are
     * read when touched and shared between processes, and the file must not
     * be truncated while it is mapped (SIGBUS). */
    TEGU_WEIGHTS_HUGE = 1
};

/* Refuses what is not a regular file, and empty files. */
tegu_status tegu_weights_open(const char *path, unsigned flags,
                              tegu_weights *weights, tegu_reason *message);

/* Unmaps; accepts a zeroed or closed object. */
void tegu_weights_close(tegu_weights *weights);

/* ---- thread pool ------------------------------------------------------
 * Fork and join for loops of microseconds.  Idle workers spin for some tens
 * of microseconds and then sleep.  Do not fork() with a pool alive and
 * expect it in the child.
 */
typedef struct tegu_pool tegu_pool;
typedef void (*tegu_task)(void *data, int64_t part, int64_t parts);

enum {
    TEGU_POOL_UNPINNED = 1,  /* leave the workers to the scheduler */
    TEGU_POOL_PIN_CALLER = 2 /* pin the creating thread as well */
};

#define TEGU_POOL_MAX_THREADS 1024

/* threads: how many run parts, the caller among them, 1 to
 * TEGU_POOL_MAX_THREADS; 0: as many as CPUs in the affinity mask of the
 * process.  Workers are pinned to CPUs of that mask, one each, the caller's
 * present CPU last; with more threads than CPUs they are neither pinned nor
 * do they spin.  The caller's own affinity changes only with
 * TEGU_POOL_PIN_CALLER, and is not restored.
 */
tegu_status tegu_pool_create(int threads, unsigned flags, tegu_pool **pool,
                             tegu_reason *message);

/* Ends and joins the workers; NULL is accepted.  No call may be running. */
void tegu_pool_destroy(tegu_pool *pool);

/* Threads that run parts, the caller included. */
int tegu_pool_threads(const tegu_pool *pool);

/* Calls task(data, part, parts) once for every part in [0, parts) and
 * returns when all are done; what the tasks wrote is then visible.  Part 0
 * runs on the caller; parts may exceed the threads.  `pool` is a tegu_pool *,
 * typed as void so that the function fits a compiled model's parallel_for;
 * NULL runs the parts one after the other.
 * One pool serves one caller at a time: a call made while another runs (from
 * inside a task, or by a second thread) is carried out serially by its own
 * caller, in order, which is correct but not parallel.
 */
void tegu_pool_run(void *pool, tegu_task task, void *data, int64_t parts);

/* ---- CPU --------------------------------------------------------------
 * What the CPU and the operating system offer, asked anew at each call;
 * thread-safe.  Names are LLVM's: avx2, fma, avx512f, avx512vnni,
 * avx512bf16; neon, dotprod, i8mm, sve, bf16.
 */

/* Writes "+name,+name..." as snprintf would: always terminated when size is
 * not 0; returns the length of the whole text. */
size_t tegu_cpu_features(char *text, size_t size);

/* 1 if the feature is present, 0 if absent or unknown. */
int tegu_cpu_has(const char *name);

/* LLVM's name of the highest baseline: x86-64, x86-64-v2, x86-64-v3,
 * x86-64-v4; "generic" on other machines.  A constant string. */
const char *tegu_cpu_level(void);

/* ---- tokenizer --------------------------------------------------------
 * Text to token ids and back.  Opening is the only step that changes the
 * object: any number of threads may use one tokenizer at the same time.
 */
typedef struct tegu_tokenizer tegu_tokenizer;

/* Ids of one text: free() data when done. */
typedef struct tegu_ids {
    int32_t *data; /* [count]; never NULL on success */
    size_t count;
} tegu_ids;

enum {
    /* Without the tokens that the file's post-processor puts around a text
     * (llama2.c: without the beginning-of-sequence token). */
    TEGU_ENCODE_BARE = 1,
    /* Special tokens written out in the text are ordinary text. */
    TEGU_ENCODE_LITERAL = 2
};

/* path: a Hugging Face tokenizer.json (BPE models), a folder with one (or
 * with GPT-2's vocab.json and merges.txt), or llama2.c's tokenizer, known by
 * its name ending in .bin.  A tokenizer_config.json next to tokenizer.json
 * may name bos and eos; else added tokens with the usual names are taken.
 * Free with tegu_tokenizer_close.  Messages read `path: error: reason`.
 */
tegu_status tegu_tokenizer_open(const char *path, tegu_tokenizer **tokenizer,
                                tegu_reason *message);

/* GPT-2's pair of files, by whatever name. */
tegu_status tegu_tokenizer_open_gpt2(const char *vocab, const char *merges,
                                     tegu_tokenizer **tokenizer,
                                     tegu_reason *message);

void tegu_tokenizer_close(tegu_tokenizer *tokenizer); /* NULL is accepted */

/* length bytes of UTF-8 (zero bytes allowed, below 1 GiB); text may be NULL
 * when length is 0.  Fails on text that is not UTF-8 and, for vocabularies
 * without bytes and unknown token, on characters they cannot express.
 */
tegu_status tegu_tokenizer_encode(const tegu_tokenizer *tokenizer,
                                  const char *text, size_t length,
                                  unsigned flags, tegu_ids *ids,
                                  tegu_reason *message);

/* The bytes that `id` adds to a text after `previous` (-1: none).  The
 * leading space of a SentencePiece text is dropped after -1 and after bos.
 * Special tokens and unknown ids add nothing (length 0).  The bytes belong to
 * the tokenizer and are not terminated; a character may be spread over
 * several tokens, so only their concatenation is UTF-8.
 */
const char *tegu_tokenizer_decode(const tegu_tokenizer *tokenizer,
                                  int32_t previous, int32_t id, size_t *length);

/* The token as the vocabulary spells it ("Ġthe", "<s>"); NULL if there is no
 * such id. */
const char *tegu_tokenizer_token(const tegu_tokenizer *tokenizer, int32_t id,
                                 size_t *length);

/* The id of a vocabulary entry spelt `token`, or -1. */
int32_t tegu_tokenizer_find(const tegu_tokenizer *tokenizer, const char *token,
                            size_t length);

/* Path number `index` of the files that the tokens were read from; NULL past
 * the last. */
const char *tegu_tokenizer_file(const tegu_tokenizer *tokenizer, size_t index);

int32_t tegu_tokenizer_size(const tegu_tokenizer *tokenizer); /* top id + 1 */
int32_t tegu_tokenizer_bos(const tegu_tokenizer *tokenizer);  /* or -1 */
int32_t tegu_tokenizer_eos(const tegu_tokenizer *tokenizer);  /* or -1 */

/* ---- sampler ----------------------------------------------------------
 * The next token from a row of logits.  The same seed and logits give the
 * same tokens on every host: the exponential and the generator
 * (xoshiro256**) are our own.  One sampler serves one thread.
 */
typedef struct tegu_sampler {
    float temperature; /* 0: greedy */
    float top_p;       /* 1: off */
    int32_t top_k;     /* 0: off */
    uint64_t state[4]; /* private: the generator */
} tegu_sampler;

/* temperature >= 0 and finite, top_k >= 0, 0 < top_p <= 1; else
 * TEGU_STATUS_ARGUMENT. */
tegu_status tegu_sampler_init(tegu_sampler *sampler, float temperature,
                              int32_t top_k, float top_p, uint64_t seed);

/* Bytes of scratch for a vocabulary; alignment of float suffices.  0 for a
 * vocabulary below 1. */
size_t tegu_sampler_scratch(int32_t vocab);

/* An index into logits [vocab], or -1 if no logit is usable.  Divides by the
 * temperature, keeps the top_k largest, of these the fewest that reach top_p
 * of the probability, draws one.  Ties go to the lower index.  NaN counts as
 * minus infinity (never picked); if some logits are plus infinity, only these
 * count, all alike.  scratch may be NULL for a greedy sampler.
 */
int32_t tegu_sampler_pick(tegu_sampler *sampler, const float *logits,
                          int32_t vocab, void *scratch);

#ifdef __cplusplus
}
#endif
#endif
