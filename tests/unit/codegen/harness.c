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

/* Occurrences of a word in [from, to). */
static size_t count_between(const char *from, const char *to, const char *word)
{
    size_t count = 0;
    while ((from = strstr(from, word)) != NULL && from < to) {
        count++;
        from++;
    }
    return count;
}

size_t loop_spills(const char *assembly, const char *label, size_t *loops)
{
    size_t spills = 0;
    *loops = 0;
    for (const char *f = strstr(assembly, label); f; f = strstr(f + 1, label)) {
        const char *last = strstr(f, "-- End function"), *loop = f;
        while ((loop = strstr(loop, "Inner Loop Header")) && loop < last) {
            const char *end = strstr(loop, "%bb.");
            end = end && end < last ? end : last;
            spills += count_between(loop, end, "Spill") +
                      count_between(loop, end, "Reload");
            ++*loops;
            loop = end;
        }
    }
    return spills;
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

/* ---- runners ---- */

#define DRIVER "tests/unit/codegen/qemu_driver.c"
#define CROSS "aarch64-linux-gnu-gcc"

static void shell(const char *command)
{
    if (system(command) != 0) {
        fprintf(stderr, "failed: %s\n", command);
        abort();
    }
}

bool runner_can(const char *name)
{
    tegu_target target = target_named(name);
    if (tegu_target_runs_here(&target))
        return true;
    if (target.arch != TEGU_ARCH_AARCH64) {
        printf("    %s does not run on this machine\n", name);
        return false;
    }
    if (system("command -v " CROSS " >/dev/null 2>&1 && "
               "command -v qemu-aarch64 >/dev/null 2>&1") == 0)
        return true;
    printf("    no " CROSS " or qemu-aarch64 here\n");
    return false;
}

static FILE *open_file(const runner *r, const char *name, const char *mode)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", r->directory, name);
    FILE *file = fopen(path, mode);
    if (!file)
        abort();
    return file;
}

static void link_programs(runner *r, const tegu_bytes *object,
                          const char *const *kernels, size_t count)
{
    char command[1024];
    FILE *file = open_file(r, "kernels.o", "wb");
    if (fwrite(object->data, 1, object->size, file) != object->size ||
        fclose(file))
        abort();
    for (size_t i = 0; i < count; i++) {
        snprintf(command, sizeof command,
                 CROSS " -std=c17 -O1 -static -DKERNEL=%s -o %s/%s " DRIVER
                       " %s/kernels.o -lm",
                 kernels[i], r->directory, kernels[i], r->directory);
        shell(command);
    }
}

void runner_open(runner *r, const char *target, tegu_effort effort,
                 emit_function *emit, void *data, const char *const *kernels,
                 size_t count)
{
    memset(r, 0, sizeof *r);
    r->target = target_named(target);
    if (tegu_target_runs_here(&r->target)) {
        r->code = load(&r->target, effort, emit, data);
        return;
    }
    snprintf(r->directory, sizeof r->directory, "/tmp/tegu-test-XXXXXX");
    if (!mkdtemp(r->directory))
        abort();
    tegu_bytes object = build(&r->target, effort, emit, data, TEGU_OBJECT_ELF);
    link_programs(r, &object, kernels, count);
    tegu_bytes_free(&object);
}

static void call_here(runner *r, const char *name, slot *slots, size_t count,
                      int64_t parts)
{
    int64_t args[SLOTS];
    for (size_t i = 0; i < count; i++)
        args[i] =
            slots[i].data ? (int64_t)(intptr_t)slots[i].data : slots[i].value;
    for (int64_t part = 0; part < parts; part++)
        find(r->code, name)(args, part, parts);
}

/* The format is qemu_driver.c's. */
static void call_there(runner *r, const char *name, slot *slots, size_t count,
                       int64_t parts)
{
    char command[512];
    uint64_t head[2] = {count, (uint64_t)parts};
    FILE *file = open_file(r, "in", "wb");
    size_t written = fwrite(head, sizeof head, 1, file);
    for (size_t i = 0; i < count; i++) {
        uint64_t each[2] = {slots[i].data ? slots[i].bytes : 0,
                            (uint64_t)slots[i].value};
        written += fwrite(each, sizeof each, 1, file);
        written +=
            slots[i].data && fwrite(slots[i].data, slots[i].bytes, 1, file);
    }
    if (fclose(file) || written <= count)
        abort();
    snprintf(command, sizeof command,
             "qemu-aarch64 -cpu max %s/%s <%s/in >%s/out", r->directory, name,
             r->directory, r->directory);
    shell(command);
    file = open_file(r, "out", "rb");
    for (size_t i = 0; i < count; i++)
        if (slots[i].data && slots[i].bytes &&
            fread(slots[i].data, slots[i].bytes, 1, file) != 1)
            abort();
    fclose(file);
}

void runner_call(runner *r, const char *name, slot *slots, size_t count,
                 int64_t parts)
{
    if (r->code)
        call_here(r, name, slots, count, parts);
    else
        call_there(r, name, slots, count, parts);
}

void runner_close(runner *r)
{
    char command[128];
    tegu_code_destroy(r->code);
    if (!r->directory[0])
        return;
    snprintf(command, sizeof command, "rm -r '%s'", r->directory);
    shell(command);
}
