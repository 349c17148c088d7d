/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - the files that commands write, all-or-nothing, and never over a
 * file that the same command reads.
 *
 * Files are told apart by device and inode, so that links and other spellings
 * of a path do not hide an input.
 */
#define _XOPEN_SOURCE 700 /* dirent with d_name, stat */
#include "frontend/cli/cli.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

void tegu_input_add(tegu_cli *cli, const char *path)
{
    struct stat info;
    if (strcmp(path, "-") == 0 || stat(path, &info) != 0)
        return;
    tegu_file_id id = {(uint64_t)info.st_dev, (uint64_t)info.st_ino};
    tegu_vec_push(cli->arena, &cli->inputs, id);
    DIR *folder = S_ISDIR(info.st_mode) ? opendir(path) : NULL;
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char *file = tegu_path_join(cli->arena, path, entry->d_name);
        if (!tegu_path_is_dir(file))
            tegu_input_add(cli, file);
    }
    closedir(folder);
}

static bool is_input(const tegu_cli *cli, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return false;
    for (uint32_t i = 0; i < cli->inputs.count; i++)
        if (cli->inputs.data[i].device == (uint64_t)info.st_dev &&
            cli->inputs.data[i].inode == (uint64_t)info.st_ino)
            return true;
    return false;
}

bool tegu_cannot_write(tegu_cli *cli, const char *path, const char *error)
{
    return tegu_error(cli->diag, tegu_loc_file(*path ? path : NULL),
                      TEGU_E_CANNOT_WRITE, "cannot write: %s", error);
}

bool tegu_output_open(tegu_cli *cli, tegu_outputs *outputs, const char *path)
{
    const char *error;
    cli->outputs = outputs;
    if (is_input(cli, path))
        return tegu_cannot_write(cli, path, "this command reads that file");
    return tegu_outputs_open(outputs, path, &error) ||
           tegu_cannot_write(cli, path, error);
}

bool tegu_output_check(tegu_cli *cli, const char *path)
{
    if (strcmp(path, "-") == 0)
        return true;
    tegu_outputs *outputs = tegu_outputs_create(cli->arena);
    bool ok = tegu_output_open(cli, outputs, path);
    tegu_outputs_destroy(outputs);
    return ok;
}

bool tegu_output_write(tegu_cli *cli, const char *path, const char *data,
                       size_t size)
{
    const char *error;
    if (strcmp(path, "-") == 0) {
        fwrite(data, 1, size, stdout); /* main.c flushes and checks */
        return true;
    }
    tegu_outputs *outputs = tegu_outputs_create(cli->arena);
    bool ok = tegu_output_open(cli, outputs, path);
    if (ok && (!tegu_outputs_write(outputs, data, size, &error) ||
               !tegu_outputs_commit(outputs, &error)))
        ok = tegu_cannot_write(cli, path, error);
    tegu_outputs_destroy(outputs);
    return ok;
}
