/* SPDX-License-Identifier: Apache-2.0 */
/* See harness.h. */
#include "tests/unit/codegen/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void stop(const tegu_failure *failure)
{
    fprintf(stderr, "%s\n", failure->text);
    abort();
}

tegu_target target_named(const char *name)
{
    tegu_target target;
    tegu_failure failure;
    if (!tegu_target_find(&target, name, NULL, NULL, &failure))
        stop(&failure);
    return target;
}

tegu_bytes build(const tegu_target *target, tegu_effort effort,
                 emit_function *emit, void *data, tegu_object_kind kind)
{
    tegu_failure failure;
    tegu_bytes bytes = {NULL, 0};
    tegu_emitter *e = tegu_emitter_create(target, "test", NULL, &failure);
    if (!e)
        stop(&failure);
    emit(data, e);
    if (!tegu_object_optimise(e, effort, &failure) ||
        !tegu_object_write(e, kind, &bytes, &failure))
        stop(&failure);
    tegu_emitter_destroy(e);
    return bytes;
}

tegu_code *load(const tegu_target *target, tegu_effort effort,
                emit_function *emit, void *data)
{
    tegu_failure failure;
    tegu_bytes object = build(target, effort, emit, data, TEGU_OBJECT_ELF);
    tegu_code *code = tegu_code_create(&failure);
    if (!code || !tegu_code_add(code, object.data, object.size, &failure))
        stop(&failure);
    tegu_bytes_free(&object);
    return code;
}

kernel *find(tegu_code *code, const char *name)
{
    tegu_failure failure;
    tegu_code_function *function = tegu_code_find(code, name, &failure);
    if (!function)
        stop(&failure);
    return (kernel *)function;
}

/* SplitMix64, G. Steele, D. Lea, C. Flood 2014. */
float noise_next(noise *n)
{
    uint64_t z = n->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (float)((double)(z >> 40) / (double)(1 << 23) - 1.0);
}

float *floats(size_t count)
{
    size_t bytes = (count * sizeof(float) + 127) / 64 * 64;
    float *memory = aligned_alloc(64, bytes);
    if (!memory)
        abort();
    return memset(memory, 0, bytes);
}
