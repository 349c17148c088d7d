/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_plain.c: the two formats without tokenizer.json: llama2.c's
 * binary file and GPT-2's vocab.json with merges.txt (the latter's vocabulary
 * is read by tokenizer_json.c).
 *
 * llama2.c (Karpathy 2023, tokenizer.py and run.c): i32 length of the longest
 * token, then per token f32 score, i32 length, bytes, to the end of the file;
 * little-endian.  Ids 0, 1, 2 are unknown, bos, eos.  Text gets a space in
 * front, characters without token become <0xHH>, and the neighbours whose
 * joined text has the best score merge first.
 */
#include "runtime/tokenizer.h"
#include "runtime/tokenizer_json.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

static tegu_status read_open(const char *path, int file, char **data,
                             size_t *size, tegu_reason *message)
{
    struct stat info;
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode))
        return tegu_runtime_fail(message, TEGU_STATUS_OPEN,
                                 "%s: error: not a regular file", path);
    if (info.st_size > (off_t)512 << 20)
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "%s: error: larger than 512 MiB", path);
    size_t capacity = (size_t)info.st_size, done = 0;
    char *bytes = malloc(capacity + 1);
    if (!bytes)
        return tegu_runtime_out_of_memory(message);
    ssize_t got = 0;
    while (done < capacity &&
           ((got = read(file, bytes + done, capacity - done)) > 0 ||
            (got < 0 && errno == EINTR)))
        done += got > 0 ? (size_t)got : 0;
    if (got < 0) {
        free(bytes);
        return tegu_runtime_fail(message, TEGU_STATUS_OPEN, "%s: error: %s",
                                 path, strerror(errno));
    }
    bytes[done] = '\0';
    *data = bytes;
    *size = done;
    return TEGU_STATUS_OK;
}

tegu_status tegu_tok_read_file(const char *path, char **data, size_t *size,
                               tegu_reason *message)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return tegu_runtime_fail(message, TEGU_STATUS_OPEN, "%s: error: %s",
                                 path, strerror(errno));
    tegu_status status = read_open(path, file, data, size, message);
    close(file);
    return status;
}

/* ---- llama2.c ---- */

typedef struct score {
    float value;
    int32_t id;
    uint32_t rank; /* 0 for the best; equal values have equal ranks */
} score;

typedef struct scores {
    score *items;
    size_t count, capacity;
} scores;

static uint32_t little_endian(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
           (uint32_t)b[3] << 24;
}

/* One record at *at; moves *at behind it. */
static tegu_status read_record(tegu_tokenizer *t, const char *path,
                               const tegu_tok_text *file, uint32_t longest,
                               size_t *at, scores *s, tegu_reason *message)
{
    size_t left = file->size - *at, id = s->count;
    uint32_t bits, length;
    float value;
    if (left < 8)
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "%s: error: the file ends inside token %zu",
                                 path, id);
    bits = little_endian(file->data + *at);
    length = little_endian(file->data + *at + 4);
    memcpy(&value, &bits, sizeof value);
    if (length == 0 || length > longest)
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "%s: error: token %zu has %u bytes, the "
                                 "file's limit is %u",
                                 path, id, (unsigned)length, (unsigned)longest);
    if (length > left - 8)
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "%s: error: the file ends inside token %zu",
                                 path, id);
    if (isnan(value))
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "%s: error: token %zu has no score", path, id);
    void *items = s->items;
    bool room =
        id < TEGU_TOK_MAX_ID &&
        tegu_tok_reserve(&items, &s->capacity, id + 1, sizeof *s->items);
    s->items = items;
    if (!room || !tegu_tok_vocab_add(&t->vocab, (int32_t)id,
                                     file->data + *at + 8, length))
        return tegu_runtime_out_of_memory(message);
    s->items[s->count++] = (score){value, (int32_t)id, 0};
    *at += 8 + (size_t)length;
    return TEGU_STATUS_OK;
}

static int by_value(const void *a, const void *b)
{
    const score *x = a, *y = b;
    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_id(const void *a, const void *b)
{
    const score *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static void rank(scores *s)
{
    qsort(s->items, s->count, sizeof *s->items, by_value);
    for (size_t i = 1; i < s->count; i++)
        s->items[i].rank =
            s->items[i - 1].rank + (s->items[i].value != s->items[i - 1].value);
    qsort(s->items, s->count, sizeof *s->items, by_id);
}

/* A merge for every way to cut a token into two tokens. */
static bool add_cuts(tegu_tokenizer *t, const score *token)
{
    size_t size;
    const char *text = tegu_tok_vocab_text(&t->vocab, token->id, &size);
    if (tegu_tok_vocab_find(&t->vocab, text, size) != token->id)
        return true; /* spelt like an earlier token, which is the one found */
    bool room = true;
    for (size_t cut = 1; room && cut < size; cut++) {
        int32_t left = tegu_tok_vocab_find(&t->vocab, text, cut);
        int32_t right = tegu_tok_vocab_find(&t->vocab, text + cut, size - cut);
        if (left >= 0 && right >= 0)
            room = tegu_tok_pairs_add(
                &t->pairs,
                (tegu_tok_pair){left, right, token->id, token->rank});
    }
    return room;
}

static tegu_status read_records(tegu_tokenizer *t, const char *path,
                                const tegu_tok_text *file, scores *s,
                                tegu_reason *message)
{
    if (file->size < 4)
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "%s: error: not a llama2.c tokenizer: the "
                                 "file has %zu bytes",
                                 path, file->size);
    uint32_t longest = little_endian(file->data);
    if (longest == 0 || longest > 65536)
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "%s: error: not a llama2.c tokenizer: "
                                 "longest token %u",
                                 path, (unsigned)longest);
    tegu_status status = TEGU_STATUS_OK;
    for (size_t at = 4; at < file->size && status == TEGU_STATUS_OK;)
        status = read_record(t, path, file, longest, &at, s, message);
    if (status == TEGU_STATUS_OK && s->count < 3)
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "%s: error: %zu tokens, but unknown, bos and "
                                 "eos must be there",
                                 path, s->count);
    return status;
}

/* What run.c does around the merges, as steps. */
static tegu_status llama2c_rules(tegu_tokenizer *t, tegu_reason *message)
{
    tegu_tok_step space = {.kind = TEGU_TOK_PREFIX};
    tegu_tok_step bytes = {.kind = TEGU_TOK_FALLBACK};
    tegu_tok_step strip = {
        .kind = TEGU_TOK_STRIP, .where = TEGU_TOK_FIRST, .mode = 1};
    t->bos = 1;
    t->eos = 2;
    t->byte_fallback = true;
    if (!tegu_tok_steps_text(&t->normalizers, space, " ") ||
        !tegu_tok_steps_add(&t->decoders, bytes) ||
        !tegu_tok_steps_text(&t->decoders, strip, " ") ||
        !tegu_tok_add_id(&t->before, 1))
        return tegu_runtime_out_of_memory(message);
    return tegu_tok_finish(t, message);
}

/* Control tokens have no text of their own: "\n<s>\n" is only their name. */
static tegu_status add_control(tegu_tokenizer *t, int32_t id)
{
    void *items = t->added;
    bool grown = tegu_tok_reserve(&items, &t->added_capacity,
                                  t->added_count + 1, sizeof *t->added);
    t->added = items;
    if (!grown)
        return TEGU_STATUS_MEMORY;
    t->added[t->added_count++] = (tegu_tok_added){.id = id, .special = true};
    return TEGU_STATUS_OK;
}

tegu_status tegu_tok_read_llama2c(tegu_tokenizer *t, const char *path,
                                  tegu_reason *message)
{
    tegu_tok_text file = {0};
    scores s = {0};
    tegu_status status =
        tegu_tok_read_file(path, &file.data, &file.size, message);
    if (status == TEGU_STATUS_OK)
        status = read_records(t, path, &file, &s, message);
    if (status == TEGU_STATUS_OK) {
        bool room = add_control(t, 1) == TEGU_STATUS_OK &&
                    add_control(t, 2) == TEGU_STATUS_OK;
        rank(&s);
        for (size_t i = 0; room && i < s.count; i++)
            room = add_cuts(t, &s.items[i]);
        status = room ? llama2c_rules(t, message)
                      : tegu_runtime_out_of_memory(message);
    }
    free(s.items);
    free(file.data);
    return status;
}

/* ---- GPT-2 ---- */

/* One line "left right" without its end. */
static tegu_status read_merge(tegu_tokenizer *t, const char *path,
                              size_t number, char *text, size_t size,
                              uint32_t rank_of, tegu_reason *message)
{
    tegu_reason why = {""};
    tegu_status status = tegu_tok_add_merge_text(t, text, size, rank_of, &why);
    if (status == TEGU_STATUS_FORMAT)
        return tegu_runtime_fail(message, status, "%s: error: line %zu: %s",
                                 path, number, why.text);
    return status == TEGU_STATUS_OK ? status
                                    : tegu_runtime_out_of_memory(message);
}

/* A first line that begins with #version is a comment, empty lines are
 * skipped, line ends may be CRLF. */
static tegu_status read_merges(tegu_tokenizer *t, const char *path, char *data,
                               size_t size, tegu_reason *message)
{
    uint32_t rank_of = 0;
    size_t number = 0;
    tegu_status status = TEGU_STATUS_OK;
    for (size_t at = 0, next; at < size && status == TEGU_STATUS_OK;
         at = next) {
        char *line = data + at;
        char *end = memchr(line, '\n', size - at);
        size_t length = end ? (size_t)(end - line) : size - at;
        next = at + length + (end ? 1 : 0);
        number++;
        if (length > 0 && line[length - 1] == '\r')
            length--;
        bool comment =
            number == 1 && length >= 8 && memcmp(line, "#version", 8) == 0;
        if (length > 0 && !comment)
            status =
                read_merge(t, path, number, line, length, rank_of++, message);
    }
    return status;
}

static tegu_status gpt2_rules(tegu_tokenizer *t, tegu_reason *message)
{
    static const char end[] = "<|endoftext|>";
    tegu_tok_step bytes = {.kind = TEGU_TOK_UNBYTES};
    tegu_status status =
        tegu_tok_steps_byte_level(&t->splitters, false, true, message);
    if (status != TEGU_STATUS_OK)
        return status;
    if (!tegu_tok_steps_add(&t->decoders, bytes))
        return tegu_runtime_out_of_memory(message);
    int32_t id = tegu_tok_vocab_find(&t->vocab, end, sizeof end - 1);
    if (id >= 0)
        status = tegu_tok_add_added(
            t, (tegu_tok_added){.id = id, .special = true}, message);
    t->bos = t->eos = id;
    return status == TEGU_STATUS_OK ? tegu_tok_finish(t, message) : status;
}

tegu_status tegu_tok_read_gpt2(tegu_tokenizer *t, const char *vocab,
                               const char *merges, tegu_reason *message)
{
    char *data = NULL;
    size_t size = 0;
    tegu_status status = tegu_tok_read_vocab_file(t, vocab, message);
    if (status == TEGU_STATUS_OK)
        status = tegu_tok_read_file(merges, &data, &size, message);
    if (status == TEGU_STATUS_OK)
        status = read_merges(t, merges, data, size, message);
    free(data);
    return status == TEGU_STATUS_OK ? gpt2_rules(t, message) : status;
}
