/* SPDX-License-Identifier: Apache-2.0 */
/* scratch.c - see scratch.h. */
#define _GNU_SOURCE /* mkdtemp, nftw, get_current_dir_name */
#include "tests/bad/scratch.h"

#include "ir/base/io.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool scratch_enter(scratch *s)
{
    char *home = get_current_dir_name();
    s->arena = tegu_arena_create();
    if (!home || !s->arena)
        return false;
    s->home = tegu_format(s->arena, "%s", home);
    free(home);
    strcpy(s->path, "/tmp/tegu-bad-XXXXXX");
    return mkdtemp(s->path) && chdir(s->path) == 0;
}

static int remove_one(const char *path, const struct stat *info, int kind,
                      struct FTW *ftw)
{
    (void)info;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void scratch_leave(scratch *s)
{
    if (chdir(s->home) == 0)
        nftw(s->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    tegu_arena_destroy(s->arena);
}

void scratch_put(const scratch *s, const char *name, const void *data,
                 size_t size)
{
    const char *error;
    tegu_make_directory(s->arena, tegu_path_dir(s->arena, name), &error);
    FILE *file = fopen(name, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        perror(name);
        abort();
    }
}

/* --- snapshots --- */

static uint64_t hash_file(const scratch *s, const char *path)
{
    tegu_file file;
    const char *error;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    if (!tegu_file_map(s->arena, path, &file, &error))
        return 0;
    for (size_t i = 0; i < file.size; i++)
        hash = (hash ^ file.data[i]) * 1099511628211u;
    tegu_file_unmap(&file);
    return hash;
}

/* nftw has no argument for its callback. */
static const scratch *shown;
static tegu_text *listing;

static int list_one(const char *path, const struct stat *info, int kind,
                    struct FTW *ftw)
{
    (void)kind;
    (void)ftw;
    bool regular = S_ISREG(info->st_mode);
    tegu_text_printf(listing, "%s %o %lld %llx\n", path,
                     (unsigned)(info->st_mode & S_IFMT),
                     regular ? (long long)info->st_size : 0,
                     regular ? (unsigned long long)hash_file(shown, path) : 0);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *scratch_snapshot(const scratch *s)
{
    tegu_text text = {.arena = s->arena}, sorted = {.arena = s->arena};
    TEGU_VEC(char *) lines = {0};
    shown = s;
    listing = &text;
    nftw(".", list_one, 16, FTW_PHYS);
    char *data = tegu_format(s->arena, "%s", tegu_text_cstr(&text));
    for (char *line = strtok(data, "\n"); line; line = strtok(NULL, "\n"))
        tegu_vec_push(s->arena, &lines, line);
    qsort(lines.data, lines.count, sizeof *lines.data, by_text);
    for (uint32_t i = 0; i < lines.count; i++)
        tegu_text_printf(&sorted, "%s\n", lines.data[i]);
    return tegu_text_cstr(&sorted);
}

/* --- text --- */

const char *scratch_expand(const scratch *s, const char *text)
{
    tegu_text out = {.arena = s->arena};
    while (*text) {
        char *star = NULL;
        long n = strncmp(text, "@{", 2) == 0 ? strtol(text + 2, &star, 10) : 0;
        const char *end = star && *star == '*' ? strchr(star, '}') : NULL;
        if (!end) {
            tegu_text_add(&out, text++, 1);
            continue;
        }
        for (long i = 0; i < n; i++)
            tegu_text_add(&out, star + 1, (size_t)(end - star - 1));
        text = end + 1;
    }
    return tegu_text_cstr(&out);
}
