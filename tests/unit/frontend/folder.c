/* SPDX-License-Identifier: Apache-2.0 */
/* folder.c - see folder.h. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int folder_create(void **state)
{
    folder *f = calloc(1, sizeof *f);
    f->arena = tegu_arena_create();
    f->diag = tegu_diag_create(f->arena);
    strcpy(f->path, "/tmp/tegu-test-XXXXXX");
    *state = f;
    return !mkdtemp(f->path);
}

int folder_destroy(void **state)
{
    folder *f = *state;
    DIR *dir = opendir(f->path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove(folder_file(f, e->d_name));
    if (dir)
        closedir(dir);
    int failed = rmdir(f->path);
    tegu_arena_destroy(f->arena);
    free(f);
    return failed;
}

const char *folder_file(const folder *f, const char *name)
{
    return tegu_path_join(f->arena, f->path, name);
}

const char *folder_put(const folder *f, const char *name, const char *text)
{
    const char *path = folder_file(f, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    return path;
}

/* "name F32 2,3" up to the line's end. */
static tegu_stored_tensor parse_line(tegu_arena *arena, const char *line)
{
    tegu_stored_tensor t = {.bytes = 4};
    char name[200], dtype[20];
    int used = 0;
    assert_int_equal(sscanf(line, "%199s %19s%n", name, dtype, &used), 2);
    const char *at = line + used;
    while (*at && *at != '\n') {
        char *end;
        t.dims[t.rank] = strtoll(at + 1, &end, 10);
        t.bytes *= (size_t)t.dims[t.rank++];
        at = end;
    }
    t.name = tegu_format(arena, "%s", name);
    t.dtype_text = tegu_format(arena, "%s", dtype);
    if (strcmp(dtype, "F32") != 0)
        t.bytes /= 2;
    t.data = tegu_arena_alloc(arena, t.bytes);
    return t;
}

const char *folder_put_tensors(const folder *f, const char *name,
                               const char *lines)
{
    TEGU_VEC(tegu_stored_tensor) tensors = {0};
    while (*lines) {
        tegu_vec_push(f->arena, &tensors, parse_line(f->arena, lines));
        const char *stop = strchr(lines, '\n');
        lines = stop ? stop + 1 : lines + strlen(lines);
    }
    const char *path = folder_file(f, name), *error = NULL;
    tegu_outputs *outputs = tegu_outputs_create(f->arena);
    bool written = tegu_safetensors_write(f->arena, outputs, path, tensors.data,
                                          tensors.count, NULL, 0, &error) &&
                   tegu_outputs_commit(outputs, &error);
    tegu_outputs_destroy(outputs);
    if (!written)
        fail_msg("%s: %s", path, error);
    return path;
}

const char *folder_messages(const folder *f)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    tegu_diag_render(f->diag, out, false);
    fclose(out);
    const char *copy = tegu_format(f->arena, "%s", text);
    free(text);
    return copy;
}
