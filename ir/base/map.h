/* SPDX-License-Identifier: Apache-2.0 */
/* map.h - a hash map from byte strings to 64-bit values, insertion order kept.
 *
 * Keys are copied into the arena.  The hash is seeded per map, so that chosen
 * keys cannot make it slow; iteration is by insertion order, so that nothing
 * printed depends on the hash.
 */
#ifndef TEGU_BASE_MAP_H
#define TEGU_BASE_MAP_H

#include "ir/base/arena.h"
#include <stdbool.h>

typedef struct tegu_map tegu_map;

tegu_map *tegu_map_create(tegu_arena *arena);
/* Sets key -> value; true when the key was new. */
bool tegu_map_set(tegu_map *map, const void *key, size_t size, uint64_t value);
/* The value's address, NULL when absent; valid until the next set. */
uint64_t *tegu_map_find(const tegu_map *map, const void *key, size_t size);
uint32_t tegu_map_count(const tegu_map *map);
/* The i-th key inserted: a copy with a NUL behind it that lives as long as the
 * map.  `size` may be NULL. */
const void *tegu_map_key(const tegu_map *map, uint32_t i, size_t *size);

#endif
