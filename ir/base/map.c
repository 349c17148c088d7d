/* SPDX-License-Identifier: Apache-2.0 */
/* map.c - open addressing over an array of entries in insertion order.
 *
 * Takes byte strings; keeps a copy of each with a NUL behind it.  The slots
 * hold 1 + the entry's position, probed linearly, at most two thirds full.
 * The hash is SipHash-1-3 (Aumasson and Bernstein, 2012) under a random key
 * per map, so that the keys of a hostile file cannot be made to collide.
 */
#define _GNU_SOURCE /* getrandom */
#include "ir/base/map.h"
#include "ir/base/vec.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

typedef struct entry {
    const char *key;
    size_t size;
    uint64_t hash;
    uint64_t value;
} entry;

struct tegu_map {
    tegu_arena *arena;
    TEGU_VEC(entry) entries;
    uint32_t *slots;
    uint32_t slot_count; /* a power of two, or 0 */
    uint64_t seed[2];
};

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

static uint64_t sip_hash(const uint64_t seed[2], const unsigned char *bytes,
                         size_t size)
{
    uint64_t v[4] = {
        seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
        seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    size_t whole = size - size % 8;
    for (size_t i = 0; i <= whole; i += 8) {
        uint64_t word = 0;
        if (i < whole)
            memcpy(&word, bytes + i, 8);
        else if (i < size)
            memcpy(&word, bytes + i, size - i);
        if (i == whole)
            word |= (uint64_t)size << 56;
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

tegu_map *tegu_map_create(tegu_arena *arena)
{
    tegu_map *map = TEGU_NEW(arena, tegu_map);
    map->arena = arena;
    if (getrandom(map->seed, sizeof map->seed, GRND_NONBLOCK) !=
        (ssize_t)sizeof map->seed) {
        map->seed[0] = (uintptr_t)map;
        map->seed[1] = (uint64_t)time(NULL);
    }
    return map;
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t *find_slot(const tegu_map *map, const void *key, size_t size,
                           uint64_t hash)
{
    uint32_t mask = map->slot_count - 1;
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &map->slots[i];
        if (*slot == 0)
            return slot;
        const entry *e = &map->entries.data[*slot - 1];
        if (e->hash == hash && e->size == size &&
            (size == 0 || memcmp(e->key, key, size) == 0))
            return slot;
    }
}

static void grow_slots(tegu_map *map)
{
    uint32_t count;
    if (__builtin_mul_overflow(map->slot_count, 2u, &count))
        tegu_arena_fail(map->arena);
    map->slot_count = count ? count : 16;
    map->slots = TEGU_ARRAY(map->arena, uint32_t, map->slot_count);
    uint32_t mask = map->slot_count - 1;
    for (uint32_t n = 0; n < map->entries.count; n++) {
        uint32_t i = (uint32_t)map->entries.data[n].hash & mask;
        while (map->slots[i])
            i = (i + 1) & mask;
        map->slots[i] = n + 1;
    }
}

bool tegu_map_set(tegu_map *map, const void *key, size_t size, uint64_t value)
{
    uint64_t hash = sip_hash(map->seed, key, size);
    if (map->entries.count >= map->slot_count / 3 * 2)
        grow_slots(map);
    uint32_t *slot = find_slot(map, key, size, hash);
    if (*slot) {
        map->entries.data[*slot - 1].value = value;
        return false;
    }
    size_t with_nul;
    if (__builtin_add_overflow(size, (size_t)1, &with_nul))
        tegu_arena_fail(map->arena);
    char *copy = tegu_arena_alloc_raw(map->arena, with_nul);
    if (size)
        memcpy(copy, key, size);
    copy[size] = 0;
    tegu_vec_push(map->arena, &map->entries, (entry){copy, size, hash, value});
    *slot = map->entries.count;
    return true;
}

uint64_t *tegu_map_find(const tegu_map *map, const void *key, size_t size)
{
    if (map->entries.count == 0)
        return NULL;
    uint64_t hash = sip_hash(map->seed, key, size);
    uint32_t slot = *find_slot(map, key, size, hash);
    return slot ? &map->entries.data[slot - 1].value : NULL;
}

uint32_t tegu_map_count(const tegu_map *map)
{
    return map->entries.count;
}

const void *tegu_map_key(const tegu_map *map, uint32_t i, size_t *size)
{
    const entry *e = &map->entries.data[i];
    if (size)
        *size = e->size;
    return e->key;
}
