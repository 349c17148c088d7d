/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_vocab.c: tokens by text and by id, merges by pair, added tokens
 * by prefix, and the growing arrays under them.
 *
 * Both hash tables are open addressing with linear probing, at most half
 * full; the trie keeps children as sibling lists, so matching costs at most
 * the longest token times 256.
 */
#include "runtime/tokenizer.h"

#include <stdlib.h>
#include <string.h>

bool tegu_tok_reserve(void **array, size_t *capacity, size_t need, size_t item)
{
    if (need <= *capacity)
        return true;
    size_t wanted = *capacity < 16 ? 16 : *capacity, bytes;
    while (wanted < need)
        if (__builtin_mul_overflow(wanted, (size_t)2, &wanted))
            return false;
    if (__builtin_mul_overflow(wanted, item, &bytes))
        return false;
    void *grown = realloc(*array, bytes);
    if (!grown)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

bool tegu_tok_append(tegu_tok_text *text, const char *bytes, size_t size)
{
    size_t need;
    void *data = text->data;
    if (__builtin_add_overflow(text->size, size, &need))
        return false;
    bool grown = tegu_tok_reserve(&data, &text->capacity, need + 1, 1);
    text->data = data;
    if (!grown)
        return false;
    if (size > 0)
        memcpy(text->data + text->size, bytes, size);
    text->size = need;
    return true;
}

bool tegu_tok_add_piece(tegu_tok_pieces *pieces, const char *bytes, size_t size)
{
    if (size == 0)
        return true;
    void *spans = pieces->spans;
    bool grown = tegu_tok_reserve(&spans, &pieces->capacity, pieces->count + 1,
                                  sizeof *pieces->spans);
    pieces->spans = spans;
    size_t start = pieces->text.size;
    if (!grown || !tegu_tok_append(&pieces->text, bytes, size))
        return false;
    pieces->spans[pieces->count++] = (tegu_tok_span){start, start + size};
    return true;
}

bool tegu_tok_add_id(tegu_tok_ids *ids, int32_t id)
{
    void *data = ids->data;
    bool grown = tegu_tok_reserve(&data, &ids->capacity, ids->count + 1,
                                  sizeof *ids->data);
    ids->data = data;
    if (grown)
        ids->data[ids->count++] = id;
    return grown;
}

/* ---- tokens by text ---- */

/* FNV-1a, with a final mix because slots are chosen by the low bits. */
static uint64_t hash_bytes(const char *bytes, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

const char *tegu_tok_vocab_text(const tegu_tok_vocab *vocab, int64_t id,
                                size_t *size)
{
    *size = 0;
    if (id < 0 || (uint64_t)id >= vocab->size ||
        vocab->tokens[id].start > vocab->tokens[id].end)
        return NULL;
    tegu_tok_span span = vocab->tokens[id];
    *size = span.end - span.start;
    return vocab->text.data + span.start;
}

/* The slot that holds the text, or the free one where it belongs. */
static size_t find_slot(const tegu_tok_vocab *vocab, const char *bytes,
                        size_t size)
{
    size_t mask = vocab->slot_count - 1;
    size_t at = (size_t)hash_bytes(bytes, size) & mask;
    for (; vocab->slots[at]; at = (at + 1) & mask) {
        size_t length;
        const char *text =
            tegu_tok_vocab_text(vocab, (int64_t)vocab->slots[at] - 1, &length);
        if (length == size && memcmp(text, bytes, size) == 0)
            break;
    }
    return at;
}

int32_t tegu_tok_vocab_find(const tegu_tok_vocab *vocab, const char *bytes,
                            size_t size)
{
    if (vocab->slot_count == 0)
        return -1;
    return (int32_t)vocab->slots[find_slot(vocab, bytes, size)] - 1;
}

static bool grow_slots(tegu_tok_vocab *vocab)
{
    if (vocab->used < vocab->slot_count / 2)
        return true;
    size_t old_count = vocab->slot_count;
    uint32_t *old = vocab->slots;
    size_t count = old_count ? old_count * 2 : 1024;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    vocab->slots = slots;
    vocab->slot_count = count;
    for (size_t i = 0; i < old_count; i++) {
        size_t size;
        if (!old[i])
            continue;
        const char *text =
            tegu_tok_vocab_text(vocab, (int64_t)old[i] - 1, &size);
        slots[find_slot(vocab, text, size)] = old[i];
    }
    free(old);
    return true;
}

bool tegu_tok_vocab_add(tegu_tok_vocab *vocab, int32_t id, const char *bytes,
                        size_t size)
{
    void *tokens = vocab->tokens;
    size_t start = vocab->text.size, need = (size_t)id + 1;
    bool grown = tegu_tok_reserve(&tokens, &vocab->capacity, need,
                                  sizeof *vocab->tokens);
    vocab->tokens = tokens;
    if (!grown || !grow_slots(vocab) ||
        !tegu_tok_append(&vocab->text, bytes, size))
        return false;
    while (vocab->size < need)
        vocab->tokens[vocab->size++] = (tegu_tok_span){1, 0};
    vocab->tokens[id] = (tegu_tok_span){start, start + size};
    size_t at = find_slot(vocab, bytes, size);
    if (!vocab->slots[at]) {
        vocab->slots[at] = (uint32_t)id + 1;
        vocab->used++;
    }
    return true;
}

void tegu_tok_vocab_free(tegu_tok_vocab *vocab)
{
    free(vocab->text.data);
    free(vocab->tokens);
    free(vocab->slots);
}

/* ---- merges by pair ---- */

static tegu_tok_pair *pair_slot(const tegu_tok_pairs *pairs, int32_t left,
                                int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t mask = pairs->slot_count - 1;
    size_t at = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & mask;
    while (pairs->slots[at].left >= 0 &&
           (pairs->slots[at].left != left || pairs->slots[at].right != right))
        at = (at + 1) & mask;
    return &pairs->slots[at];
}

const tegu_tok_pair *tegu_tok_pairs_find(const tegu_tok_pairs *pairs,
                                         int32_t left, int32_t right)
{
    if (pairs->slot_count == 0)
        return NULL;
    const tegu_tok_pair *pair = pair_slot(pairs, left, right);
    return pair->left >= 0 ? pair : NULL;
}

static bool grow_pairs(tegu_tok_pairs *pairs)
{
    if (pairs->used < pairs->slot_count / 2)
        return true;
    tegu_tok_pairs grown = {.used = pairs->used};
    grown.slot_count = pairs->slot_count ? pairs->slot_count * 2 : 1024;
    grown.slots = calloc(grown.slot_count, sizeof *grown.slots);
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < grown.slot_count; i++)
        grown.slots[i].left = -1;
    for (size_t i = 0; i < pairs->slot_count; i++) {
        tegu_tok_pair old = pairs->slots[i];
        if (old.left >= 0)
            *pair_slot(&grown, old.left, old.right) = old;
    }
    free(pairs->slots);
    *pairs = grown;
    return true;
}

bool tegu_tok_pairs_add(tegu_tok_pairs *pairs, tegu_tok_pair pair)
{
    if (!grow_pairs(pairs))
        return false;
    tegu_tok_pair *slot = pair_slot(pairs, pair.left, pair.right);
    if (slot->left < 0)
        pairs->used++;
    *slot = pair;
    return true;
}

/* ---- added tokens by prefix ---- */

static bool add_node(tegu_tok_trie *trie, unsigned char byte)
{
    void *nodes = trie->nodes;
    bool grown = tegu_tok_reserve(&nodes, &trie->capacity, trie->count + 1,
                                  sizeof *trie->nodes);
    trie->nodes = nodes;
    if (grown)
        trie->nodes[trie->count++] = (tegu_tok_node){.added = -1, .byte = byte};
    return grown;
}

/* The child of `node` for `byte`, 0 if there is none. */
static uint32_t find_child(const tegu_tok_trie *trie, uint32_t node,
                           unsigned char byte)
{
    uint32_t child = trie->nodes[node].child;
    while (child && trie->nodes[child].byte != byte)
        child = trie->nodes[child].sibling;
    return child;
}

bool tegu_tok_trie_add(tegu_tok_trie *trie, const char *text, size_t size,
                       int32_t added)
{
    if (trie->count == 0 && !add_node(trie, 0))
        return false;
    uint32_t node = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        uint32_t child = find_child(trie, node, byte);
        if (!child) {
            child = (uint32_t)trie->count;
            if (trie->count >= UINT32_MAX || !add_node(trie, byte))
                return false;
            trie->nodes[child].sibling = trie->nodes[node].child;
            trie->nodes[node].child = child;
        }
        node = child;
    }
    trie->nodes[node].added = added;
    return true;
}

int32_t tegu_tok_trie_match(const tegu_tok_trie *trie, const char *text,
                            size_t size, size_t *length)
{
    int32_t found = -1;
    uint32_t node = 0;
    for (size_t i = 0; trie->count > 0 && i < size; i++) {
        node = find_child(trie, node, (unsigned char)text[i]);
        if (!node)
            break;
        if (trie->nodes[node].added >= 0) {
            found = trie->nodes[node].added;
            *length = i + 1;
        }
    }
    return found;
}
