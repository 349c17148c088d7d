/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - main() of a fuzz target without libFuzzer: runs it once over each
 * file named, and over each file of the folders named. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>

static int run_file(tegu_arena *arena, const char *path)
{
    tegu_file file;
    const char *error;
    if (!tegu_file_read(arena, path, 0, &file, &error)) {
        fprintf(stderr, "%s: %s\n", path, error);
        return -1;
    }
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(file.data, file.size);
    return 1;
}

/* Files run, or -1. */
static int run_folder(tegu_arena *arena, const char *path)
{
    int done = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return run_file(arena, path);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char *file = tegu_path_join(arena, path, entry->d_name);
        if (tegu_path_is_dir(file))
            continue;
        if (run_file(arena, file) < 0) {
            done = -1;
            break;
        }
        done++;
    }
    closedir(folder);
    return done;
}

int main(int argc, char **argv)
{
    tegu_arena *arena = tegu_arena_create();
    int files = 0;
    for (int i = 1; arena && i < argc; i++) {
        int done = run_folder(arena, argv[i]);
        if (done < 0)
            return 1;
        files += done;
    }
    tegu_arena_destroy(arena);
    printf("%d files run\n", files);
    return files ? 0 : 1;
}
