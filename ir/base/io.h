/* SPDX-License-Identifier: Apache-2.0 */
/* io.h - files: read whole or mapped, written all-or-nothing.
 *
 * Errors come back as text ("no such file or directory"), never printed.
 * Reading: regular files only, sizes checked, EINTR and short reads handled.
 * Writing: a set of outputs is staged under temporary names beside their
 * targets (O_EXCL), synced, and renamed together at commit; abort removes
 * them and leaves old files untouched.
 */
#ifndef TEGU_BASE_IO_H
#define TEGU_BASE_IO_H

#include "ir/base/arena.h"
#include "ir/base/vec.h"
#include <stdbool.h>

typedef struct tegu_file {
    const unsigned char *data; /* a byte after the end is NUL if read */
    size_t size;
    bool mapped;
    uint64_t device, inode; /* to refuse an output that is an input */
    const char *name;       /* last part of the path; "-": standard input */
} tegu_file;
typedef TEGU_VEC(tegu_file) tegu_files;

/* Reads the whole file into the arena; at most `limit` bytes (0: 1 GiB).
 * "-" is standard input.  False: *error says why, in the arena. */
bool tegu_file_read(tegu_arena *arena, const char *path, size_t limit,
                    tegu_file *file, const char **error);
/* Maps the file read-only; unmap with tegu_file_unmap. */
bool tegu_file_map(tegu_arena *arena, const char *path, tegu_file *file,
                   const char **error);
void tegu_file_unmap(tegu_file *file);

typedef struct tegu_outputs tegu_outputs;
/* One set of outputs; `abort`ed implicitly by destroy when not committed. */
tegu_outputs *tegu_outputs_create(tegu_arena *arena);
/* Opens the temporary file for `path`; following writes go to it. */
bool tegu_outputs_open(tegu_outputs *outputs, const char *path,
                       const char **error);
bool tegu_outputs_write(tegu_outputs *outputs, const void *data, size_t size,
                        const char **error);
/* Syncs and renames every output. */
bool tegu_outputs_commit(tegu_outputs *outputs, const char **error);
void tegu_outputs_destroy(tegu_outputs *outputs);
/* mkdir -p. */
bool tegu_make_directory(tegu_arena *arena, const char *path,
                         const char **error);
/* dir/name in the arena ("" dir: name). */
char *tegu_path_join(tegu_arena *arena, const char *dir, const char *name);
/* The directory part of a path ("." when none), the last component. */
char *tegu_path_dir(tegu_arena *arena, const char *path);
const char *tegu_path_base(const char *path);
bool tegu_path_is_dir(const char *path);
bool tegu_path_exists(const char *path);

#endif
