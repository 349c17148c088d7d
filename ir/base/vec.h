/* SPDX-License-Identifier: Apache-2.0 */
/* vec.h - growable typed arrays inside an arena.
 *
 * TEGU_VEC(T) declares one; zero is the empty vector.  Growth doubles and may
 * move the data: never keep an element's address across a push.
 */
#ifndef TEGU_BASE_VEC_H
#define TEGU_BASE_VEC_H

#include "ir/base/arena.h"

#define TEGU_VEC(T)                                                            \
    struct {                                                                   \
        T *data;                                                               \
        uint32_t count;                                                        \
        uint32_t capacity;                                                     \
    }

/* Makes room for one more element; used by tegu_vec_push. */
void tegu_vec_grow(tegu_arena *arena, void *data_pointer, uint32_t *capacity,
                   size_t element);

#define tegu_vec_push(arena, v, ...)                                           \
    do {                                                                       \
        if ((v)->count == (v)->capacity)                                       \
            tegu_vec_grow((arena), &(v)->data, &(v)->capacity,                 \
                          sizeof *(v)->data);                                  \
        (v)->data[(v)->count++] = (__VA_ARGS__);                               \
    } while (0)

#endif
