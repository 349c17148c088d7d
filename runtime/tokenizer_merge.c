/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_merge.c: one piece of text into tokens by byte pair encoding.
 *
 * Takes a piece; appends its ids.  The piece starts as one symbol per
 * character (or per byte token, or unknown); then the pair of neighbours with
 * the lowest rank, the leftmost among equals, becomes one symbol until no
 * pair is left.  Symbols are a linked list in an array, pairs wait in a heap
 * and are dropped when popped if a neighbour has changed since: O(n log n).
 * Sennrich et al. 2016; SentencePiece's and llama2.c's merging by score is
 * the same with ranks made from the scores (tokenizer_plain.c).
 */
#include "runtime/tokenizer.h"

#include <string.h>

typedef struct tegu_tok_symbol {
    int32_t id;         /* -1: merged into its left neighbour */
    int32_t prev, next; /* indices, or -1 */
} symbol;

typedef struct tegu_tok_candidate {
    uint32_t rank;
    int32_t at; /* index of the left symbol */
    int32_t left, right, result;
} candidate;

static bool sooner(const candidate *a, const candidate *b)
{
    return a->rank < b->rank || (a->rank == b->rank && a->at < b->at);
}

static bool push(tegu_tok_work *work, candidate item)
{
    void *heap = work->heap;
    bool grown = tegu_tok_reserve(&heap, &work->heap_capacity,
                                  work->heap_count + 1, sizeof *work->heap);
    work->heap = heap;
    if (!grown)
        return false;
    size_t at = work->heap_count++;
    for (; at > 0 && sooner(&item, &work->heap[(at - 1) / 2]);
         at = (at - 1) / 2)
        work->heap[at] = work->heap[(at - 1) / 2];
    work->heap[at] = item;
    return true;
}

static candidate pop(tegu_tok_work *work)
{
    candidate *heap = work->heap, top = heap[0];
    size_t count = --work->heap_count, at = 0;
    candidate item = heap[count];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && sooner(&heap[child + 1], &heap[child]))
            child++;
        if (!sooner(&heap[child], &item))
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
    return top;
}

/* Queues the pair that starts at symbol `at`, if the merges have it. */
static bool offer(const tegu_tokenizer *t, tegu_tok_work *work, int32_t at)
{
    if (at < 0 || work->symbols[at].next < 0)
        return true;
    int32_t left = work->symbols[at].id;
    int32_t right = work->symbols[work->symbols[at].next].id;
    const tegu_tok_pair *pair = tegu_tok_pairs_find(&t->pairs, left, right);
    return !pair ||
           push(work, (candidate){pair->rank, at, left, right, pair->result});
}

static bool add_symbol(tegu_tok_work *work, int32_t id)
{
    void *symbols = work->symbols;
    bool grown =
        tegu_tok_reserve(&symbols, &work->symbol_capacity,
                         work->symbol_count + 1, sizeof *work->symbols);
    work->symbols = symbols;
    if (!grown)
        return false;
    int32_t at = (int32_t)work->symbol_count++;
    work->symbols[at] = (symbol){id, at - 1, -1};
    if (at > 0)
        work->symbols[at - 1].next = at;
    return true;
}

/* ---- the symbols a piece starts with ---- */

static size_t character_size(const char *text, size_t size)
{
    size_t n = 1;
    while (n < size && ((unsigned char)text[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* The id of a character: inside a word it carries the model's prefix, at its
 * end the suffix. */
static int32_t find_character(const tegu_tokenizer *t, const char *text,
                              size_t size, bool first, bool last)
{
    size_t before = first ? 0 : strlen(t->word_prefix);
    size_t after = last ? strlen(t->word_suffix) : 0;
    if (before + after == 0)
        return tegu_tok_vocab_find(&t->vocab, text, size);
    char joined[256];
    if (before + size + after > sizeof joined)
        return -1;
    memcpy(joined, t->word_prefix, before);
    memcpy(joined + before, text, size);
    memcpy(joined + before + size, t->word_suffix, after);
    return tegu_tok_vocab_find(&t->vocab, joined, before + size + after);
}

static bool has_bytes(const tegu_tokenizer *t, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (t->byte_ids[(unsigned char)text[i]] < 0)
            return false;
    return t->byte_fallback;
}

static tegu_status add_unknown(const tegu_tokenizer *t, const char *text,
                               size_t size, bool *after_unknown,
                               tegu_tok_work *work)
{
    if (t->unk < 0)
        return tegu_runtime_fail(work->message, TEGU_STATUS_UNSUPPORTED,
                                 "the vocabulary has no token for '%.*s'",
                                 (int)size, text);
    bool fused = *after_unknown && t->fuse_unk;
    *after_unknown = true;
    if (!fused && !add_symbol(work, t->unk))
        return tegu_runtime_out_of_memory(work->message);
    return TEGU_STATUS_OK;
}

static tegu_status add_character(const tegu_tokenizer *t, const char *text,
                                 size_t size, int32_t id, bool *after_unknown,
                                 tegu_tok_work *work)
{
    if (id < 0 && !has_bytes(t, text, size))
        return add_unknown(t, text, size, after_unknown, work);
    *after_unknown = false;
    bool added = true;
    if (id >= 0)
        added = add_symbol(work, id);
    for (size_t i = 0; id < 0 && added && i < size; i++)
        added = add_symbol(work, t->byte_ids[(unsigned char)text[i]]);
    return added ? TEGU_STATUS_OK : tegu_runtime_out_of_memory(work->message);
}

static tegu_status add_characters(const tegu_tokenizer *t, const char *piece,
                                  size_t size, tegu_tok_work *work)
{
    bool after_unknown = false;
    tegu_status status = TEGU_STATUS_OK;
    work->symbol_count = 0;
    for (size_t at = 0, n; at < size && status == TEGU_STATUS_OK; at += n) {
        n = character_size(piece + at, size - at);
        int32_t id = find_character(t, piece + at, n, at == 0, at + n == size);
        status = add_character(t, piece + at, n, id, &after_unknown, work);
    }
    return status;
}

/* ---- merging ---- */

static bool merge_pairs(const tegu_tokenizer *t, tegu_tok_work *work)
{
    work->heap_count = 0;
    for (size_t i = 0; i + 1 < work->symbol_count; i++)
        if (!offer(t, work, (int32_t)i))
            return false;
    while (work->heap_count > 0) {
        candidate best = pop(work);
        symbol *left = &work->symbols[best.at];
        if (left->id != best.left || left->next < 0 ||
            work->symbols[left->next].id != best.right)
            continue;
        symbol *right = &work->symbols[left->next];
        left->id = best.result;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0)
            work->symbols[left->next].prev = best.at;
        if (!offer(t, work, left->prev) || !offer(t, work, best.at))
            return false;
    }
    return true;
}

tegu_status tegu_tok_merge(const tegu_tokenizer *t, const char *piece,
                           size_t size, tegu_tok_work *work)
{
    if (t->ignore_merges) {
        int32_t id = tegu_tok_vocab_find(&t->vocab, piece, size);
        if (id >= 0)
            return tegu_tok_add_id(&work->ids, id)
                       ? TEGU_STATUS_OK
                       : tegu_runtime_out_of_memory(work->message);
    }
    tegu_status status = add_characters(t, piece, size, work);
    if (status != TEGU_STATUS_OK)
        return status;
    bool done = merge_pairs(t, work);
    for (size_t i = 0; done && i < work->symbol_count; i++)
        if (work->symbols[i].id >= 0)
            done = tegu_tok_add_id(&work->ids, work->symbols[i].id);
    return done ? TEGU_STATUS_OK : tegu_runtime_out_of_memory(work->message);
}
