/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.h: what the tokenizer's files share.
 *
 * Reading (tokenizer_json.c, tokenizer_plain.c) fills a tegu_tokenizer that
 * nothing changes afterwards.  A text then passes through steps
 * (tokenizer_steps.c), which rewrite and split it as normalizers and
 * pre-tokenizers say, and each piece is merged into tokens
 * (tokenizer_merge.c) by the vocabulary (tokenizer_vocab.c).
 */
#ifndef TEGU_RUNTIME_TOKENIZER_H
#define TEGU_RUNTIME_TOKENIZER_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/message.h"

/* ---- growing arrays; false or a status when memory runs out ---- */

typedef struct tegu_tok_text {
    char *data;
    size_t size, capacity;
} tegu_tok_text;

typedef struct tegu_tok_span {
    size_t start, end; /* bytes of a text */
} tegu_tok_span;

/* A text and the parts of it that are still to be worked on, in order. */
typedef struct tegu_tok_pieces {
    tegu_tok_text text;
    tegu_tok_span *spans;
    size_t count, capacity;
} tegu_tok_pieces;

typedef struct tegu_tok_ids {
    int32_t *data;
    size_t count, capacity;
} tegu_tok_ids;

/* Makes *array hold `need` items of `item` bytes; doubles. */
bool tegu_tok_reserve(void **array, size_t *capacity, size_t need, size_t item);
bool tegu_tok_append(tegu_tok_text *text, const char *bytes, size_t size);
bool tegu_tok_add_piece(tegu_tok_pieces *pieces, const char *bytes,
                        size_t size);
bool tegu_tok_add_id(tegu_tok_ids *ids, int32_t id);

/* ---- vocabulary ---- */

/* Sixteen times the largest vocabularies; a table is made of all ids up to the
 * highest, so that a small file with a large id takes 64 MB at most. */
enum { TEGU_TOK_MAX_ID = (1 << 22) - 1 };

typedef struct tegu_tok_vocab {
    tegu_tok_text text;    /* the tokens' bytes */
    tegu_tok_span *tokens; /* [size]; start > end: no such id */
    size_t size, capacity; /* highest id + 1 */
    uint32_t *slots;       /* open addressing by text: id + 1, 0: free */
    size_t slot_count;     /* a power of two, or 0 */
    size_t used;
} tegu_tok_vocab;

/* -1 if no token has that text. */
int32_t tegu_tok_vocab_find(const tegu_tok_vocab *vocab, const char *bytes,
                            size_t size);
/* NULL and *size 0 if there is no such id. */
const char *tegu_tok_vocab_text(const tegu_tok_vocab *vocab, int64_t id,
                                size_t *size);
/* id in 0..TEGU_TOK_MAX_ID and free; a text that exists already keeps its
 * first id in the index. */
bool tegu_tok_vocab_add(tegu_tok_vocab *vocab, int32_t id, const char *bytes,
                        size_t size);
void tegu_tok_vocab_free(tegu_tok_vocab *vocab);

/* ---- merges ---- */

typedef struct tegu_tok_pair {
    int32_t left, right; /* left -1: a free slot */
    int32_t result;
    uint32_t rank; /* lower merges first */
} tegu_tok_pair;

typedef struct tegu_tok_pairs {
    tegu_tok_pair *slots;
    size_t slot_count, used; /* slot_count: a power of two, or 0 */
} tegu_tok_pairs;

const tegu_tok_pair *tegu_tok_pairs_find(const tegu_tok_pairs *pairs,
                                         int32_t left, int32_t right);
/* A pair that exists already takes the new rank. */
bool tegu_tok_pairs_add(tegu_tok_pairs *pairs, tegu_tok_pair pair);

/* ---- steps ---- */

typedef enum tegu_tok_kind {
    TEGU_TOK_REPLACE,  /* every match of pattern by content */
    TEGU_TOK_PREFIX,   /* content in front of a text that is not empty */
    TEGU_TOK_FORM,     /* utf8proc normal form (mode: its options) */
    TEGU_TOK_LOWER,    /* lower case */
    TEGU_TOK_SPLIT,    /* at matches of pattern (mode: a tegu_tok_split) */
    TEGU_TOK_BYTES,    /* every byte as GPT-2's printable character */
    TEGU_TOK_UNBYTES,  /* decoding: the inverse */
    TEGU_TOK_FALLBACK, /* decoding: <0xHH> as the byte */
    TEGU_TOK_STRIP     /* decoding: content off the ends (mode, tail) */
} tegu_tok_kind;

typedef enum tegu_tok_split {
    TEGU_TOK_REMOVED,
    TEGU_TOK_ISOLATED,
    TEGU_TOK_WITH_PREVIOUS,
    TEGU_TOK_WITH_NEXT,
    TEGU_TOK_CONTIGUOUS
} tegu_tok_split;

/* Which tokens a decoding step concerns; which pieces a PREFIX. */
typedef enum tegu_tok_where {
    TEGU_TOK_EVERYWHERE,
    TEGU_TOK_FIRST,
    TEGU_TOK_REST
} tegu_tok_where;

typedef struct tegu_tok_step {
    tegu_tok_kind kind;
    tegu_tok_where where;
    int mode;            /* see the kinds; STRIP: times at the start */
    int tail;            /* STRIP: times at the end */
    bool flag;           /* SPLIT: matches and gaps change roles; PREFIX: not
                            before a text that begins with content */
    pcre2_code *pattern; /* REPLACE, SPLIT */
    char *content;       /* REPLACE, PREFIX, STRIP; owned */
    size_t size;         /* bytes of content */
} tegu_tok_step;

typedef struct tegu_tok_steps {
    tegu_tok_step *items;
    size_t count, capacity;
} tegu_tok_steps;

/* Compiles a regular expression or (literal) a plain string; the message on
 * failure has no path. */
tegu_status tegu_tok_compile(const char *pattern, bool literal,
                             pcre2_code **code, tegu_reason *message);
/* Takes the step, also when it fails. */
bool tegu_tok_steps_add(tegu_tok_steps *steps, tegu_tok_step step);
/* A step without pattern, with a copy of content. */
bool tegu_tok_steps_text(tegu_tok_steps *steps, tegu_tok_step step,
                         const char *content);
/* GPT-2's: a space in front (optional), its regular expression (optional),
 * the bytes. */
tegu_status tegu_tok_steps_byte_level(tegu_tok_steps *steps, bool space,
                                      bool regex, tegu_reason *message);
void tegu_tok_steps_free(tegu_tok_steps *steps);

/* Runs all steps over in->spans; the result is in *in, *spare is scratch.
 * at_start: the first piece begins the whole text. */
tegu_status tegu_tok_run(const tegu_tok_steps *steps, bool at_start,
                         tegu_tok_pieces *in, tegu_tok_pieces *spare,
                         tegu_reason *message);

/* Decoding: the bytes of one token, appended to out. */
tegu_status tegu_tok_run_decoder(const tegu_tok_steps *steps, bool first,
                                 const char *token, size_t size,
                                 tegu_tok_text *out, tegu_reason *message);

/* 0..255 of "<0xHH>" (upper-case hexadecimal), -1 of any other text. */
int tegu_tok_byte_token(const char *token, size_t size);

/* ---- added tokens ---- */

typedef struct tegu_tok_added {
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
} tegu_tok_added;

/* A trie of the added tokens' texts: node 0 is the root. */
typedef struct tegu_tok_node {
    uint32_t child, sibling; /* 0: none */
    int32_t added;           /* index of the token that ends here, or -1 */
    unsigned char byte;
} tegu_tok_node;

typedef struct tegu_tok_trie {
    tegu_tok_node *nodes;
    size_t count, capacity;
} tegu_tok_trie;

bool tegu_tok_trie_add(tegu_tok_trie *trie, const char *text, size_t size,
                       int32_t added);
/* The longest token at the start of text, or -1; *length is its size. */
int32_t tegu_tok_trie_match(const tegu_tok_trie *trie, const char *text,
                            size_t size, size_t *length);

/* ---- the tokenizer ---- */

struct tegu_tokenizer {
    char *files[2]; /* paths; NULL: none */
    tegu_tok_vocab vocab;
    tegu_tok_pairs pairs;
    tegu_tok_steps normalizers, splitters, decoders;
    tegu_tok_added *added;
    size_t added_count, added_capacity;
    tegu_tok_trie tries[2];     /* looked for before, after normalizing */
    tegu_tok_ids before, after; /* ids that the post-processor adds */
    int32_t byte_ids[256];      /* <0xHH>, or -1 */
    int32_t unk;                /* or -1 */
    bool byte_fallback, fuse_unk, ignore_merges;
    char *word_prefix;       /* continuing_subword_prefix, "" or text */
    char *word_suffix;       /* end_of_word_suffix */
    int32_t bos, eos;        /* or -1 */
    tegu_tok_text decoded;   /* what tokens add to a text */
    tegu_tok_span *spans[2]; /* [vocab.size] in decoded; [1]: as first */
};

/* Everything unset: no unk, no bytes, no bos. */
tegu_tokenizer *tegu_tok_create(void);

/* Registers vocab entry `added.id` as an added token, looked for in text by
 * its own bytes or, when `normalized`, by those that the normalizers make of
 * it: so after the normalizers are known. */
tegu_status tegu_tok_add_added(tegu_tokenizer *t, tegu_tok_added added,
                               tegu_reason *message);

/* What all readers end with: the byte tokens, what every token decodes to. */
tegu_status tegu_tok_finish(tegu_tokenizer *t, tegu_reason *message);

/* Readers fill a created tokenizer; a failed one is closed by the caller. */
tegu_status tegu_tok_read_json(tegu_tokenizer *t, const char *path,
                               tegu_reason *message);
tegu_status tegu_tok_read_gpt2(tegu_tokenizer *t, const char *vocab,
                               const char *merges, tegu_reason *message);
tegu_status tegu_tok_read_llama2c(tegu_tokenizer *t, const char *path,
                                  tegu_reason *message);

/* The whole file, at most 512 MiB, terminated; free() it. */
tegu_status tegu_tok_read_file(const char *path, char **data, size_t *size,
                               tegu_reason *message);

/* Scratch of one call. */
typedef struct tegu_tok_work {
    tegu_tok_pieces normal[2], split[2];
    tegu_tok_ids ids;
    struct tegu_tok_symbol *symbols; /* of the piece being merged */
    size_t symbol_count, symbol_capacity;
    struct tegu_tok_candidate *heap;
    size_t heap_count, heap_capacity;
    tegu_reason *message;
} tegu_tok_work;

/* Appends the ids of one piece. */
tegu_status tegu_tok_merge(const tegu_tokenizer *t, const char *piece,
                           size_t size, tegu_tok_work *work);

#endif
