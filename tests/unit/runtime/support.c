/* SPDX-License-Identifier: Apache-2.0 */
/* support.c: see support.h. */
#include "tests/unit/runtime/support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int make_folder(void **state)
{
    char *folder = strdup("/tmp/tegu-runtime-XXXXXX");
    *state = folder;
    return folder && mkdtemp(folder) ? 0 : -1;
}

int remove_folder(void **state)
{
    char path[512];
    DIR *folder = opendir(*state);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        snprintf(path, sizeof path, "%s/%s", (char *)*state, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    if (folder)
        closedir(folder);
    int failed = rmdir(*state);
    free(*state);
    return failed;
}

const char *write_file(void **state, const char *name, const void *data,
                       size_t size)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", (char *)*state, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    char *data = malloc((size_t)length + 1);
    assert_non_null(data);
    *size = fread(data, 1, (size_t)length, file);
    data[*size] = '\0';
    fclose(file);
    return data;
}

void need_file(const char *path)
{
    if (access(path, R_OK) == 0)
        return;
    print_message("%s is not there: skipped\n", path);
    skip();
}
