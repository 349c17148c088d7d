/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.c: the public functions: open, encode, decode.
 *
 * Encoding cuts the text at added tokens looked for as written, normalizes
 * what lies between, cuts that at added tokens looked for after normalizing,
 * splits the rest into pieces and merges each piece into tokens: the order of
 * Hugging Face's tokenizers.  Decoding is a table made at open.
 */
#include "runtime/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>

enum { AS_WRITTEN, NORMALIZED };

/* ---- life ---- */

tegu_tokenizer *tegu_tok_create(void)
{
    tegu_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->unk = t->bos = t->eos = -1;
    for (int i = 0; i < 256; i++)
        t->byte_ids[i] = -1;
    t->word_prefix = strdup("");
    t->word_suffix = strdup("");
    if (!t->word_prefix || !t->word_suffix) {
        tegu_tokenizer_close(t);
        return NULL;
    }
    return t;
}

void tegu_tokenizer_close(tegu_tokenizer *t)
{
    if (!t)
        return;
    free(t->files[0]);
    free(t->files[1]);
    tegu_tok_vocab_free(&t->vocab);
    free(t->pairs.slots);
    tegu_tok_steps_free(&t->normalizers);
    tegu_tok_steps_free(&t->splitters);
    tegu_tok_steps_free(&t->decoders);
    free(t->added);
    free(t->tries[AS_WRITTEN].nodes);
    free(t->tries[NORMALIZED].nodes);
    free(t->before.data);
    free(t->after.data);
    free(t->word_prefix);
    free(t->word_suffix);
    free(t->decoded.data);
    if (t->spans[1] != t->spans[0])
        free(t->spans[1]);
    free(t->spans[0]);
    free(t);
}

static void free_pieces(tegu_tok_pieces *pieces)
{
    free(pieces->text.data);
    free(pieces->spans);
}

static void free_work(tegu_tok_work *work)
{
    for (int i = 0; i < 2; i++) {
        free_pieces(&work->normal[i]);
        free_pieces(&work->split[i]);
    }
    free(work->symbols);
    free(work->heap);
    free(work->ids.data);
}

/* Runs steps over one text; the result is in pieces[0]. */
static tegu_status run_text(const tegu_tok_steps *steps, bool at_start,
                            const char *text, size_t size,
                            tegu_tok_pieces pieces[2], tegu_reason *message)
{
    pieces[0].count = 0;
    pieces[0].text.size = 0;
    if (!tegu_tok_add_piece(&pieces[0], text, size))
        return tegu_runtime_out_of_memory(message);
    return tegu_tok_run(steps, at_start, &pieces[0], &pieces[1], message);
}

/* ---- what readers end with ---- */

tegu_status tegu_tok_add_added(tegu_tokenizer *t, tegu_tok_added added,
                               tegu_reason *message)
{
    void *items = t->added;
    bool room = tegu_tok_reserve(&items, &t->added_capacity, t->added_count + 1,
                                 sizeof *t->added);
    t->added = items;
    if (!room)
        return tegu_runtime_out_of_memory(message);
    int32_t index = (int32_t)t->added_count;
    t->added[t->added_count++] = added;
    size_t size;
    const char *text = tegu_tok_vocab_text(&t->vocab, added.id, &size);
    tegu_tok_pieces pieces[2];
    memset(pieces, 0, sizeof pieces);
    tegu_status status = TEGU_STATUS_OK;
    if (added.normalized) {
        status = run_text(&t->normalizers, true, text, size, pieces, message);
        text = pieces[0].text.data;
        size = pieces[0].count ? pieces[0].text.size : 0;
    }
    tegu_tok_trie *trie = &t->tries[added.normalized ? NORMALIZED : AS_WRITTEN];
    if (status == TEGU_STATUS_OK && size > 0 &&
        !tegu_tok_trie_add(trie, text, size, index))
        status = tegu_runtime_out_of_memory(message);
    free_pieces(&pieces[0]);
    free_pieces(&pieces[1]);
    return status;
}

/* What every token adds to a text, once as first and once as later token;
 * added tokens other than special ones go through the decoder too. */
static tegu_status decode_all(tegu_tokenizer *t, bool first,
                              tegu_tok_span *spans, tegu_reason *message)
{
    for (size_t id = 0; id < t->vocab.size; id++) {
        size_t size;
        const char *text = tegu_tok_vocab_text(&t->vocab, (int64_t)id, &size);
        spans[id].start = t->decoded.size;
        if (text) {
            tegu_status status = tegu_tok_run_decoder(
                &t->decoders, first, text, size, &t->decoded, message);
            if (status != TEGU_STATUS_OK)
                return status;
        }
        spans[id].end = t->decoded.size;
    }
    for (size_t i = 0; i < t->added_count; i++)
        if (t->added[i].special)
            spans[t->added[i].id] = (tegu_tok_span){0, 0};
    return TEGU_STATUS_OK;
}

static bool tells_first_apart(const tegu_tok_steps *steps)
{
    for (size_t i = 0; i < steps->count; i++)
        if (steps->items[i].where != TEGU_TOK_EVERYWHERE)
            return true;
    return false;
}

static void find_byte_tokens(tegu_tokenizer *t)
{
    for (size_t id = 0; id < t->vocab.size; id++) {
        size_t size;
        const char *text = tegu_tok_vocab_text(&t->vocab, (int64_t)id, &size);
        int byte = text ? tegu_tok_byte_token(text, size) : -1;
        if (byte >= 0)
            t->byte_ids[byte] = (int32_t)id;
    }
}

tegu_status tegu_tok_finish(tegu_tokenizer *t, tegu_reason *message)
{
    find_byte_tokens(t);
    size_t count = t->vocab.size ? t->vocab.size : 1;
    t->spans[0] = calloc(count, sizeof *t->spans[0]);
    if (!t->spans[0] || !tegu_tok_append(&t->decoded, "", 0))
        return tegu_runtime_out_of_memory(message);
    t->spans[1] = t->spans[0];
    tegu_status status = decode_all(t, false, t->spans[0], message);
    if (status != TEGU_STATUS_OK || !tells_first_apart(&t->decoders))
        return status;
    t->spans[1] = calloc(count, sizeof *t->spans[1]);
    if (!t->spans[1])
        return tegu_runtime_out_of_memory(message);
    return decode_all(t, true, t->spans[1], message);
}

/* ---- opening ---- */

static bool exists(const char *folder, const char *name, char *path,
                   size_t size)
{
    int length = snprintf(path, size, "%s/%s", folder, name);
    return length > 0 && (size_t)length < size && access(path, F_OK) == 0;
}

/* Keeps the path of a file that the reader succeeded with. */
static tegu_status note_file(tegu_tokenizer *t, const char *path,
                             tegu_status status, tegu_reason *message)
{
    size_t size = strlen(path) + 1, at = t->files[0] ? 1 : 0;
    if (status != TEGU_STATUS_OK)
        return status;
    t->files[at] = malloc(size);
    if (!t->files[at])
        return tegu_runtime_out_of_memory(message);
    memcpy(t->files[at], path, size);
    return TEGU_STATUS_OK;
}

static tegu_status read_json(tegu_tokenizer *t, const char *path,
                             tegu_reason *message)
{
    return note_file(t, path, tegu_tok_read_json(t, path, message), message);
}

static tegu_status read_gpt2(tegu_tokenizer *t, const char *vocab,
                             const char *merges, tegu_reason *message)
{
    tegu_status status = tegu_tok_read_gpt2(t, vocab, merges, message);
    status = note_file(t, vocab, status, message);
    return note_file(t, merges, status, message);
}

static tegu_status read_llama2c(tegu_tokenizer *t, const char *path,
                                tegu_reason *message)
{
    return note_file(t, path, tegu_tok_read_llama2c(t, path, message), message);
}

static tegu_status read_folder(tegu_tokenizer *t, const char *folder,
                               tegu_reason *message)
{
    char path[4096], merges[4096];
    if (exists(folder, "tokenizer.json", path, sizeof path))
        return read_json(t, path, message);
    if (exists(folder, "vocab.json", path, sizeof path) &&
        exists(folder, "merges.txt", merges, sizeof merges))
        return read_gpt2(t, path, merges, message);
    return tegu_runtime_fail(message, TEGU_STATUS_OPEN,
                             "%s: error: the folder has no tokenizer.json, "
                             "nor vocab.json with merges.txt",
                             folder);
}

static tegu_status read_any(tegu_tokenizer *t, const char *path,
                            tegu_reason *message)
{
    struct stat info;
    size_t length = strlen(path);
    if (stat(path, &info) != 0)
        return tegu_runtime_fail(message, TEGU_STATUS_OPEN, "%s: error: %s",
                                 path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return read_folder(t, path, message);
    if (length > 4 && strcmp(path + length - 4, ".bin") == 0)
        return read_llama2c(t, path, message);
    return read_json(t, path, message);
}

static tegu_status hand_over(tegu_tokenizer *t, tegu_status status,
                             tegu_tokenizer **result)
{
    if (status == TEGU_STATUS_OK)
        *result = t;
    else
        tegu_tokenizer_close(t);
    return status;
}

tegu_status tegu_tokenizer_open(const char *path, tegu_tokenizer **result,
                                tegu_reason *message)
{
    if (!path || !result)
        return tegu_runtime_fail(message, TEGU_STATUS_ARGUMENT,
                                 "tegu_tokenizer_open: NULL argument");
    tegu_tokenizer *t = tegu_tok_create();
    if (!t)
        return tegu_runtime_out_of_memory(message);
    return hand_over(t, read_any(t, path, message), result);
}

tegu_status tegu_tokenizer_open_gpt2(const char *vocab, const char *merges,
                                     tegu_tokenizer **result,
                                     tegu_reason *message)
{
    if (!vocab || !merges || !result)
        return tegu_runtime_fail(message, TEGU_STATUS_ARGUMENT,
                                 "tegu_tokenizer_open_gpt2: NULL argument");
    tegu_tokenizer *t = tegu_tok_create();
    if (!t)
        return tegu_runtime_out_of_memory(message);
    return hand_over(t, read_gpt2(t, vocab, merges, message), result);
}

/* ---- encoding ---- */

typedef struct encoder {
    const tegu_tokenizer *t;
    tegu_tok_work work;
    bool literal; /* special tokens in the text are text */
} encoder;

/* Normalized text without added tokens. */
static tegu_status encode_words(encoder *e, const char *text, size_t size,
                                bool at_start)
{
    tegu_tok_work *work = &e->work;
    tegu_status status = run_text(&e->t->splitters, at_start, text, size,
                                  work->split, work->message);
    for (size_t i = 0; i < work->split[0].count && status == TEGU_STATUS_OK;
         i++) {
        tegu_tok_span span = work->split[0].spans[i];
        status = tegu_tok_merge(e->t, work->split[0].text.data + span.start,
                                span.end - span.start, work);
    }
    return status;
}

static bool is_space(utf8proc_int32_t c)
{
    utf8proc_category_t category = utf8proc_category(c);
    return (c >= 9 && c <= 13) || c == 0x85 ||
           (category >= UTF8PROC_CATEGORY_ZS &&
            category <= UTF8PROC_CATEGORY_ZP);
}

static bool is_word(utf8proc_int32_t c)
{
    utf8proc_category_t category = utf8proc_category(c);
    return (category >= UTF8PROC_CATEGORY_LU &&
            category <= UTF8PROC_CATEGORY_NO) ||
           category == UTF8PROC_CATEGORY_PC;
}

/* The character that starts at `at`, or that ends there (back), and its
 * size; 0 at the ends of the text. */
static size_t character(const char *text, size_t size, size_t at, bool back,
                        utf8proc_int32_t *c)
{
    size_t start = at;
    if (back ? at == 0 : at >= size)
        return 0;
    if (back)
        do
            start--;
        while (((unsigned char)text[start] & 0xc0) == 0x80);
    return (size_t)utf8proc_iterate((const utf8proc_uint8_t *)text + start,
                                    (utf8proc_ssize_t)(size - start), c);
}

/* Whether a match at [start, end) counts; widens it over the white space that
 * the token swallows, to the left not beyond `done`. */
static bool accept(const encoder *e, const tegu_tok_added *added,
                   const char *text, size_t size, size_t done,
                   tegu_tok_span *span)
{
    utf8proc_int32_t c;
    size_t n;
    if (added->special && e->literal)
        return false;
    if (added->single_word &&
        ((character(text, size, span->start, true, &c) && is_word(c)) ||
         (character(text, size, span->end, false, &c) && is_word(c))))
        return false;
    while (added->lstrip && span->start > done &&
           (n = character(text, size, span->start, true, &c)) && is_space(c))
        span->start -= n;
    while (added->rstrip && (n = character(text, size, span->end, false, &c)) &&
           is_space(c))
        span->end += n;
    return true;
}

static tegu_status encode_gap(encoder *e, int level, const char *text,
                              size_t size, bool at_start);

/* Cuts at the added tokens of one level; what lies between goes on. */
static tegu_status encode_level(encoder *e, int level, const char *text,
                                size_t size, bool at_start)
{
    const tegu_tok_trie *trie = &e->t->tries[level];
    size_t done = 0;
    tegu_status status = TEGU_STATUS_OK;
    for (size_t at = 0, length = 0; at < size && status == TEGU_STATUS_OK;) {
        int32_t index =
            tegu_tok_trie_match(trie, text + at, size - at, &length);
        tegu_tok_span span = {at, at + length};
        at += index >= 0 ? length : 1;
        if (index < 0 ||
            !accept(e, &e->t->added[index], text, size, done, &span))
            continue;
        status = encode_gap(e, level, text + done, span.start - done,
                            at_start && done == 0);
        if (status == TEGU_STATUS_OK &&
            !tegu_tok_add_id(&e->work.ids, e->t->added[index].id))
            status = tegu_runtime_out_of_memory(e->work.message);
        at = done = span.end;
    }
    if (status != TEGU_STATUS_OK)
        return status;
    return encode_gap(e, level, text + done, size - done,
                      at_start && done == 0);
}

static tegu_status encode_gap(encoder *e, int level, const char *text,
                              size_t size, bool at_start)
{
    if (size == 0)
        return TEGU_STATUS_OK;
    if (level == NORMALIZED)
        return encode_words(e, text, size, at_start);
    tegu_tok_pieces *normal = e->work.normal;
    tegu_status status = run_text(&e->t->normalizers, at_start, text, size,
                                  normal, e->work.message);
    if (status != TEGU_STATUS_OK || normal[0].count == 0)
        return status;
    return encode_level(e, NORMALIZED, normal[0].text.data, normal[0].text.size,
                        at_start);
}

static tegu_status check_text(const char *text, size_t length,
                              tegu_reason *message)
{
    if ((!text && length > 0) || length >= (size_t)1 << 30)
        return tegu_runtime_fail(message, TEGU_STATUS_ARGUMENT,
                                 "the text must be below 1 GiB and not NULL");
    for (size_t at = 0; at < length;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                             (utf8proc_ssize_t)(length - at), &c);
        if (n <= 0)
            return tegu_runtime_fail(message, TEGU_STATUS_ARGUMENT,
                                     "the text is not UTF-8 at byte %zu", at);
        at += (size_t)n;
    }
    return TEGU_STATUS_OK;
}

static bool add_ids(tegu_tok_ids *to, const tegu_tok_ids *from)
{
    bool room = true;
    for (size_t i = 0; room && i < from->count; i++)
        room = tegu_tok_add_id(to, from->data[i]);
    return room;
}

static tegu_status encode(encoder *e, const char *text, size_t length,
                          bool bare)
{
    tegu_tok_ids *ids = &e->work.ids;
    /* Room for one, so that no result is a NULL pointer. */
    if (!tegu_tok_add_id(ids, 0))
        return tegu_runtime_out_of_memory(e->work.message);
    ids->count = 0;
    if (!bare && !add_ids(ids, &e->t->before))
        return tegu_runtime_out_of_memory(e->work.message);
    tegu_status status = TEGU_STATUS_OK;
    if (length > 0)
        status = encode_level(e, AS_WRITTEN, text, length, true);
    if (status == TEGU_STATUS_OK && !bare && !add_ids(ids, &e->t->after))
        status = tegu_runtime_out_of_memory(e->work.message);
    return status;
}

tegu_status tegu_tokenizer_encode(const tegu_tokenizer *t, const char *text,
                                  size_t length, unsigned flags, tegu_ids *ids,
                                  tegu_reason *message)
{
    unsigned known = TEGU_ENCODE_BARE | TEGU_ENCODE_LITERAL;
    if (!t || !ids || flags & ~known)
        return tegu_runtime_fail(message, TEGU_STATUS_ARGUMENT,
                                 "tegu_tokenizer_encode: invalid argument");
    tegu_status status = check_text(text, length, message);
    if (status != TEGU_STATUS_OK)
        return status;
    encoder e = {.t = t, .literal = flags & TEGU_ENCODE_LITERAL};
    e.work.message = message;
    status = encode(&e, text, length, flags & TEGU_ENCODE_BARE);
    if (status == TEGU_STATUS_OK) {
        *ids = (tegu_ids){e.work.ids.data, e.work.ids.count};
        e.work.ids = (tegu_tok_ids){0};
    }
    free_work(&e.work);
    return status;
}

/* ---- decoding and questions ---- */

const char *tegu_tokenizer_decode(const tegu_tokenizer *t, int32_t previous,
                                  int32_t id, size_t *length)
{
    *length = 0;
    if (id < 0 || (size_t)id >= t->vocab.size)
        return "";
    bool first = previous < 0 || previous == t->bos;
    tegu_tok_span span = t->spans[first][id];
    *length = span.end - span.start;
    return t->decoded.data + span.start;
}

const char *tegu_tokenizer_token(const tegu_tokenizer *t, int32_t id,
                                 size_t *length)
{
    return tegu_tok_vocab_text(&t->vocab, id, length);
}

int32_t tegu_tokenizer_find(const tegu_tokenizer *t, const char *token,
                            size_t length)
{
    return tegu_tok_vocab_find(&t->vocab, token, length);
}

const char *tegu_tokenizer_file(const tegu_tokenizer *t, size_t index)
{
    return index < sizeof t->files / sizeof *t->files ? t->files[index] : NULL;
}

int32_t tegu_tokenizer_size(const tegu_tokenizer *t)
{
    return (int32_t)t->vocab.size;
}

int32_t tegu_tokenizer_bos(const tegu_tokenizer *t)
{
    return t->bos;
}

int32_t tegu_tokenizer_eos(const tegu_tokenizer *t)
{
    return t->eos;
}
