/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - memory by lifetime, and the vectors that grow inside it.
 *
 * Takes malloc's memory in chunks that double from 16 KiB to 1 MiB; blocks of
 * 256 KiB and more get memory of their own.  Such a block is described by a
 * `large` record inside the chunks, so that one position (chunk, used) orders
 * everything: releasing a mark frees the later chunks and each large block
 * whose record lies behind the mark.
 * This is the only file of the compiler that calls malloc and free.
 */
#include "ir/base/arena.h"
#include "ir/base/vec.h"

#include <stdlib.h>
#include <string.h>

enum {
    GRAIN = 16, /* alignment of small blocks */
    LINE = 64,  /* alignment of chunks and of blocks >= WIDE */
    WIDE = 4096,
    FIRST_CHUNK = 16 << 10,
    LAST_CHUNK = 1 << 20,
    LARGE = 256 << 10
};

typedef struct chunk {
    struct chunk *previous;
    uint64_t serial; /* grows along the list */
    size_t size;     /* bytes behind the header */
    size_t used;
} chunk;

typedef struct large {
    struct large *previous;
    void *base;      /* as malloc gave it */
    size_t bytes;    /* counted as live */
    uint64_t serial; /* position of this record */
    size_t at;
} large;

struct tegu_arena {
    chunk *top;
    large *large;
    jmp_buf *failure;
    size_t live;
    size_t limit; /* 0: none */
};

static const size_t header = (sizeof(chunk) + LINE - 1) / LINE * LINE;

static unsigned char *chunk_data(chunk *c)
{
    return (unsigned char *)c + header;
}

tegu_arena *tegu_arena_create(void)
{
    return calloc(1, sizeof(tegu_arena));
}

void tegu_arena_destroy(tegu_arena *arena)
{
    if (!arena)
        return;
    tegu_arena_release(arena, (tegu_mark){0});
    free(arena);
}

void tegu_arena_on_failure(tegu_arena *arena, jmp_buf *failure)
{
    arena->failure = failure;
}

jmp_buf *tegu_arena_failure(const tegu_arena *arena)
{
    return arena->failure;
}

void tegu_arena_limit(tegu_arena *arena, size_t bytes)
{
    arena->limit = bytes;
}

size_t tegu_arena_bytes(const tegu_arena *arena)
{
    return arena->live;
}

_Noreturn void tegu_arena_fail(const tegu_arena *arena)
{
    if (arena->failure)
        longjmp(*arena->failure, 71);
    abort();
}

/* Counts bytes as live, or fails. */
static void charge(tegu_arena *arena, size_t bytes)
{
    size_t live;
    if (__builtin_add_overflow(arena->live, bytes, &live) ||
        (arena->limit && live > arena->limit))
        tegu_arena_fail(arena);
    arena->live = live;
}

static size_t round_up(const tegu_arena *arena, size_t bytes, size_t to)
{
    size_t sum;
    if (__builtin_add_overflow(bytes, to - 1, &sum))
        tegu_arena_fail(arena);
    return sum - sum % to;
}

/* Puts a chunk with room for at least `bytes` on top. */
static void open_chunk(tegu_arena *arena, size_t bytes)
{
    size_t size = arena->top ? arena->top->size * 2 : FIRST_CHUNK;
    if (size > LAST_CHUNK)
        size = LAST_CHUNK;
    if (size < bytes)
        size = round_up(arena, bytes, LINE);
    chunk *c = aligned_alloc(LINE, header + size);
    if (!c)
        tegu_arena_fail(arena);
    *c = (chunk){.previous = arena->top,
                 .serial = arena->top ? arena->top->serial + 1 : 1,
                 .size = size};
    arena->top = c;
}

/* A block inside the chunks, not zeroed; less than LARGE bytes. */
static void *take_small(tegu_arena *arena, size_t bytes)
{
    size_t align = bytes >= WIDE ? LINE : GRAIN;
    bytes = bytes ? round_up(arena, bytes, GRAIN) : GRAIN;
    chunk *c = arena->top;
    size_t at = c ? (c->used + align - 1) / align * align : 0;
    if (!c || at > c->size || c->size - at < bytes) {
        open_chunk(arena, bytes);
        c = arena->top;
        at = 0;
    }
    charge(arena, at + bytes - c->used);
    c->used = at + bytes;
    return chunk_data(c) + at;
}

/* A block of its own; calloc's zero pages are not touched. */
static void *take_large(tegu_arena *arena, size_t bytes, int zeroed)
{
    size_t total;
    if (__builtin_add_overflow(bytes, (size_t)LINE, &total))
        tegu_arena_fail(arena);
    large *record = take_small(arena, sizeof(large));
    charge(arena, bytes);
    void *base = zeroed ? calloc(1, total) : malloc(total);
    if (!base) {
        arena->live -= bytes;
        tegu_arena_fail(arena);
    }
    size_t at = (size_t)((unsigned char *)record - chunk_data(arena->top));
    *record = (large){.previous = arena->large,
                      .base = base,
                      .bytes = bytes,
                      .serial = arena->top->serial,
                      .at = at};
    arena->large = record;
    return (unsigned char *)base + (LINE - (uintptr_t)base % LINE) % LINE;
}

void *tegu_arena_alloc(tegu_arena *arena, size_t bytes)
{
    if (bytes >= LARGE)
        return take_large(arena, bytes, 1);
    return memset(take_small(arena, bytes), 0, bytes);
}

void *tegu_arena_alloc_raw(tegu_arena *arena, size_t bytes)
{
    return bytes >= LARGE ? take_large(arena, bytes, 0)
                          : take_small(arena, bytes);
}

void *tegu_arena_array(tegu_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        tegu_arena_fail(arena);
    return tegu_arena_alloc(arena, bytes);
}

void *tegu_arena_copy(tegu_arena *arena, const void *data, size_t bytes)
{
    void *copy = tegu_arena_alloc_raw(arena, bytes);
    if (bytes)
        memcpy(copy, data, bytes);
    return copy;
}

tegu_mark tegu_arena_mark(const tegu_arena *arena)
{
    if (!arena->top)
        return (tegu_mark){0};
    return (tegu_mark){.chunk = arena->top, .used = arena->top->used};
}

void tegu_arena_release(tegu_arena *arena, tegu_mark mark)
{
    const chunk *kept = mark.chunk;
    uint64_t serial = kept ? kept->serial : 0;
    while (arena->large &&
           (arena->large->serial > serial || (arena->large->serial == serial &&
                                              arena->large->at >= mark.used))) {
        arena->live -= arena->large->bytes;
        free(arena->large->base);
        arena->large = arena->large->previous;
    }
    while (arena->top && arena->top != kept) {
        chunk *previous = arena->top->previous;
        arena->live -= arena->top->used;
        free(arena->top);
        arena->top = previous;
    }
    if (arena->top) {
        arena->live -= arena->top->used - mark.used;
        arena->top->used = mark.used;
    }
}

/* data_pointer is the address of some `T *`: read and written by memcpy, as
 * the types differ.  The old block stays in the arena until its release. */
void tegu_vec_grow(tegu_arena *arena, void *data_pointer, uint32_t *capacity,
                   size_t element)
{
    uint32_t grown;
    size_t bytes;
    if (__builtin_mul_overflow(*capacity, 2u, &grown))
        tegu_arena_fail(arena);
    grown = grown ? grown : 8;
    if (__builtin_mul_overflow((size_t)grown, element, &bytes))
        tegu_arena_fail(arena);
    void *old;
    memcpy(&old, data_pointer, sizeof old);
    void *data = tegu_arena_alloc_raw(arena, bytes);
    if (old)
        memcpy(data, old, *capacity * element);
    memcpy(data_pointer, &data, sizeof data);
    *capacity = grown;
}
