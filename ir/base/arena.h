/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - memory by lifetime: the only allocator of the compiler.
 *
 * An arena is named for the lifetime it serves (context, unit, scratch) and is
 * freed as a whole, or back to a mark.  Allocation never returns NULL: when
 * the system has no memory, or the arena's byte budget is spent, control
 * leaves through the arena's failure jump (exit code 71 at the command line).
 * malloc, realloc and free appear in arena.c only.  An arena serves one
 * thread at a time.
 */
#ifndef TEGU_BASE_ARENA_H
#define TEGU_BASE_ARENA_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tegu_arena tegu_arena;

/* A point to free back to; valid until an earlier mark is released. */
typedef struct tegu_mark {
    void *chunk;
    size_t used;
} tegu_mark;

/* Creates an empty arena; NULL when the system has no memory. */
tegu_arena *tegu_arena_create(void);
/* Frees every block.  NULL is allowed. */
void tegu_arena_destroy(tegu_arena *arena);
/* Where allocation failure goes: longjmp(*failure, 71).  NULL: abort(). */
void tegu_arena_on_failure(tegu_arena *arena, jmp_buf *failure);
/* What was set, so that an arena can share another's failure jump. */
jmp_buf *tegu_arena_failure(const tegu_arena *arena);
/* At most `bytes` live bytes from now on; 0: no limit. */
void tegu_arena_limit(tegu_arena *arena, size_t bytes);
/* Live bytes handed out. */
size_t tegu_arena_bytes(const tegu_arena *arena);

/* Takes the failure jump: for a size that no memory could hold. */
_Noreturn void tegu_arena_fail(const tegu_arena *arena);

/* `bytes` zeroed bytes, 64-byte aligned when bytes >= 4096, else 16. */
void *tegu_arena_alloc(tegu_arena *arena, size_t bytes);
/* The same without zeroing, for large buffers that are filled at once. */
void *tegu_arena_alloc_raw(tegu_arena *arena, size_t bytes);
/* count * size with an overflow check (failure jump when it wraps). */
void *tegu_arena_array(tegu_arena *arena, size_t count, size_t size);
/* A copy of `bytes` bytes. */
void *tegu_arena_copy(tegu_arena *arena, const void *data, size_t bytes);

tegu_mark tegu_arena_mark(const tegu_arena *arena);
/* Frees all that was allocated since the mark. */
void tegu_arena_release(tegu_arena *arena, tegu_mark mark);

#define TEGU_NEW(arena, type) ((type *)tegu_arena_alloc((arena), sizeof(type)))
#define TEGU_ARRAY(arena, type, count)                                         \
    ((type *)tegu_arena_array((arena), (count), sizeof(type)))

#endif
