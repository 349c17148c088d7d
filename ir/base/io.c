/* SPDX-License-Identifier: Apache-2.0 */
/* io.c - files read whole or mapped, and outputs that appear all or not.
 *
 * Takes paths; produces bytes, or renamed files.  Errors are the system's
 * words in lower case, or our own where the system has none.
 * A mapped file's size is checked when it is mapped; one that somebody
 * truncates later still raises SIGBUS at its first missing page, as for every
 * program that maps files: outputs are therefore never written in place.
 */
#define _XOPEN_SOURCE 700 /* realpath */
#include "ir/base/io.h"
#include "ir/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t default_limit = (size_t)1 << 30;

/* --- errors --- */

static bool fail(const char **error, const char *text)
{
    *error = text;
    return false;
}

/* The system's words for `code`, in lower case. */
static bool fail_code(tegu_arena *arena, const char **error, int code)
{
    char words[256];
    if (strerror_r(code, words, sizeof words) != 0)
        return fail(error, tegu_format(arena, "system error %d", code));
    if (words[0] >= 'A' && words[0] <= 'Z' &&
        !(words[1] >= 'A' && words[1] <= 'Z'))
        words[0] = (char)(words[0] - 'A' + 'a');
    return fail(error, tegu_format(arena, "%s", words));
}

static bool fail_errno(tegu_arena *arena, const char **error)
{
    return fail_code(arena, error, errno);
}

static const char *what_it_is(mode_t mode)
{
    return S_ISDIR(mode) ? "is a directory" : "is not a regular file";
}

/* --- reading --- */

/* Opens a regular file; never waits for the other end of a FIFO. */
static int open_regular(tegu_arena *arena, const char *path, struct stat *info,
                        const char **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        fail_errno(arena, error);
        return -1;
    }
    if (fstat(fd, info) != 0)
        fail_errno(arena, error);
    else if (!S_ISREG(info->st_mode))
        fail(error, what_it_is(info->st_mode));
    else
        return fd;
    close(fd);
    return -1;
}

/* read() until `size` bytes or the end; -1 with errno set on failure. */
static ssize_t read_up_to(int fd, unsigned char *into, size_t size)
{
    size_t done = 0;
    while (done < size) {
        size_t ask = size - done < (1u << 30) ? size - done : 1u << 30;
        ssize_t got = read(fd, into + done, ask);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static bool too_large(tegu_arena *arena, size_t limit, const char **error)
{
    return fail(error, tegu_format(arena, "is larger than %zu bytes", limit));
}

/* The name that a file is known by; a copy, as the path may go away. */
static const char *name_of(tegu_arena *arena, const char *path)
{
    return tegu_format(arena, "%s", tegu_path_base(path));
}

/* A stream of unknown length: a buffer that doubles. */
static bool read_stream(tegu_arena *arena, int fd, size_t limit,
                        tegu_file *file, const char **error)
{
    size_t capacity = 65536, size = 0;
    unsigned char *data = tegu_arena_alloc_raw(arena, capacity);
    for (;;) {
        ssize_t got = read_up_to(fd, data + size, capacity - size);
        if (got < 0)
            return fail_errno(arena, error);
        size += (size_t)got;
        if (size > limit)
            return too_large(arena, limit, error);
        if (size < capacity)
            break;
        unsigned char *grown = tegu_arena_alloc_raw(arena, capacity * 2);
        memcpy(grown, data, size);
        data = grown;
        capacity *= 2;
    }
    data[size] = 0;
    *file = (tegu_file){.data = data, .size = size, .name = "-"};
    return true;
}

static bool read_regular(tegu_arena *arena, int fd, const struct stat *info,
                         size_t limit, tegu_file *file, const char **error)
{
    if (info->st_size < 0 || (uintmax_t)info->st_size > limit)
        return too_large(arena, limit, error);
    size_t size = (size_t)info->st_size;
    unsigned char *data = tegu_arena_alloc_raw(arena, size + 1);
    ssize_t got = read_up_to(fd, data, size);
    if (got < 0)
        return fail_errno(arena, error);
    if ((size_t)got != size)
        return fail(error, "became shorter while it was read");
    data[size] = 0;
    *file = (tegu_file){.data = data,
                        .size = size,
                        .device = (uint64_t)info->st_dev,
                        .inode = (uint64_t)info->st_ino};
    return true;
}

bool tegu_file_read(tegu_arena *arena, const char *path, size_t limit,
                    tegu_file *file, const char **error)
{
    limit = limit ? limit : default_limit;
    if (strcmp(path, "-") == 0)
        return read_stream(arena, STDIN_FILENO, limit, file, error);
    struct stat info;
    int fd = open_regular(arena, path, &info, error);
    if (fd < 0)
        return false;
    bool read = read_regular(arena, fd, &info, limit, file, error);
    close(fd);
    if (read)
        file->name = name_of(arena, path);
    return read;
}

bool tegu_file_map(tegu_arena *arena, const char *path, tegu_file *file,
                   const char **error)
{
    struct stat info;
    int fd = open_regular(arena, path, &info, error);
    if (fd < 0)
        return false;
    *file = (tegu_file){.data = (const unsigned char *)"",
                        .device = (uint64_t)info.st_dev,
                        .inode = (uint64_t)info.st_ino,
                        .name = name_of(arena, path)};
    bool mapped = true;
    if ((uintmax_t)info.st_size > SIZE_MAX / 2) {
        mapped = fail(error, "is too large to map");
    } else if (info.st_size > 0) {
        size_t size = (size_t)info.st_size;
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            mapped = fail_errno(arena, error);
        } else {
            file->data = data;
            file->size = size;
            file->mapped = true;
        }
    }
    close(fd);
    return mapped;
}

void tegu_file_unmap(tegu_file *file)
{
    if (file->mapped)
        munmap((void *)(uintptr_t)file->data, file->size);
    *file = (tegu_file){0};
}

/* --- writing --- */

enum { BUFFER = 64 << 10 };

typedef struct output {
    const char *path;   /* the target; links resolved */
    const char *staged; /* the temporary file; NULL once renamed */
    int fd;             /* -1 when closed */
} output;

struct tegu_outputs {
    tegu_arena *arena;
    TEGU_VEC(output) files; /* the last one is written to */
    unsigned char *buffer;
    size_t buffered; /* bytes waiting in buffer for the last file */
};

tegu_outputs *tegu_outputs_create(tegu_arena *arena)
{
    tegu_outputs *outputs = TEGU_NEW(arena, tegu_outputs);
    outputs->arena = arena;
    outputs->buffer = tegu_arena_alloc_raw(arena, BUFFER);
    return outputs;
}

static bool write_all(tegu_arena *arena, int fd, const unsigned char *data,
                      size_t size, const char **error)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size < (1u << 30) ? size : 1u << 30);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fail_errno(arena, error);
        data += done;
        size -= (size_t)done;
    }
    return true;
}

static bool flush(tegu_outputs *outputs, const char **error)
{
    size_t size = outputs->buffered;
    outputs->buffered = 0;
    if (size == 0)
        return true;
    const output *last = &outputs->files.data[outputs->files.count - 1];
    return write_all(outputs->arena, last->fd, outputs->buffer, size, error);
}

/* The file that `path` names once links are followed, if it may be replaced;
 * a path where nothing is yet stays as it is. */
static const char *resolve_target(tegu_arena *arena, const char *path,
                                  const char **error)
{
    struct stat info;
    if (*path == 0) {
        fail(error, "the name is empty");
    } else if (lstat(path, &info) != 0) {
        if (errno == ENOENT && path[strlen(path) - 1] != '/')
            return tegu_format(arena, "%s", path);
        if (errno == ENOENT)
            fail(error, "names a directory that does not exist");
        else
            fail_errno(arena, error);
    } else {
        char real[PATH_MAX];
        if (!realpath(path, real) || stat(real, &info) != 0)
            fail_errno(arena, error);
        else if (!S_ISREG(info.st_mode))
            fail(error, what_it_is(info.st_mode));
        else if (access(real, W_OK) != 0)
            fail_errno(arena, error);
        else
            return tegu_format(arena, "%s", real);
    }
    return NULL;
}

/* Creates a new file in the target's folder.  The names are taken in turn, so
 * one that a killed run left behind is stepped over. */
static int stage(tegu_arena *arena, const char *target, const char **staged,
                 const char **error)
{
    const char *dir = tegu_path_dir(arena, target);
    for (unsigned n = 0; n < 1000; n++) {
        char *name = tegu_format(arena, ".tegu-%ld-%u.part", (long)getpid(), n);
        *staged = tegu_path_join(arena, dir, name);
        int fd = open(*staged, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            break;
    }
    fail_errno(arena, error);
    return -1;
}

bool tegu_outputs_open(tegu_outputs *outputs, const char *path,
                       const char **error)
{
    if (!flush(outputs, error))
        return false;
    const char *target = resolve_target(outputs->arena, path, error);
    if (!target)
        return false;
    for (uint32_t i = 0; i < outputs->files.count; i++)
        if (strcmp(outputs->files.data[i].path, target) == 0)
            return fail(error, "is written twice");
    /* The row first: growing it may take the failure jump. */
    tegu_vec_push(outputs->arena, &outputs->files, (output){target, NULL, -1});
    output *added = &outputs->files.data[outputs->files.count - 1];
    const char *staged;
    added->fd = stage(outputs->arena, target, &staged, error);
    if (added->fd < 0) {
        outputs->files.count--;
        return false;
    }
    added->staged = staged;
    return true;
}

bool tegu_outputs_write(tegu_outputs *outputs, const void *data, size_t size,
                        const char **error)
{
    if (outputs->files.count == 0)
        return fail(error, "no output is open");
    if (size > BUFFER - outputs->buffered && !flush(outputs, error))
        return false;
    if (size >= BUFFER) {
        const output *last = &outputs->files.data[outputs->files.count - 1];
        return write_all(outputs->arena, last->fd, data, size, error);
    }
    if (size > 0)
        memcpy(outputs->buffer + outputs->buffered, data, size);
    outputs->buffered += size;
    return true;
}

static bool close_output(tegu_outputs *outputs, output *file,
                         const char **error)
{
    int fd = file->fd;
    file->fd = -1;
    /* Some file systems cannot sync (EINVAL); the data is written all the
     * same. */
    bool done = fsync(fd) == 0 || errno == EINVAL;
    if (!done)
        fail_errno(outputs->arena, error);
    if (close(fd) != 0 && done)
        done = fail_errno(outputs->arena, error);
    return done;
}

/* The names themselves reach the disk with their folder; a folder that cannot
 * be opened or synced still holds the renamed file. */
static void sync_folder(tegu_arena *arena, const char *path)
{
    int fd =
        open(tegu_path_dir(arena, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

bool tegu_outputs_commit(tegu_outputs *outputs, const char **error)
{
    if (!flush(outputs, error))
        return false;
    output *files = outputs->files.data;
    uint32_t count = outputs->files.count;
    for (uint32_t i = 0; i < count; i++)
        if (files[i].fd >= 0 && !close_output(outputs, &files[i], error))
            return false;
    for (uint32_t i = 0; i < count; i++) {
        if (files[i].staged && rename(files[i].staged, files[i].path) != 0)
            return fail_errno(outputs->arena, error);
        files[i].staged = NULL;
    }
    for (uint32_t i = 0; i < count; i++)
        sync_folder(outputs->arena, files[i].path);
    outputs->files.count = 0;
    return true;
}

void tegu_outputs_destroy(tegu_outputs *outputs)
{
    if (!outputs)
        return;
    for (uint32_t i = 0; i < outputs->files.count; i++) {
        const output *file = &outputs->files.data[i];
        if (file->fd >= 0)
            close(file->fd);
        if (file->staged)
            unlink(file->staged);
    }
    outputs->files.count = 0;
    outputs->buffered = 0;
}

/* --- paths --- */

bool tegu_make_directory(tegu_arena *arena, const char *path,
                         const char **error)
{
    char *part = tegu_format(arena, "%s", path);
    size_t size = strlen(part);
    if (size == 0)
        return fail(error, "the name is empty");
    for (size_t i = 1; i <= size; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        char stop = part[i];
        part[i] = 0;
        if (mkdir(part, 0777) != 0 && !tegu_path_is_dir(part))
            return errno == EEXIST ? fail(error, "is not a directory")
                                   : fail_errno(arena, error);
        part[i] = stop;
    }
    return true;
}

char *tegu_path_join(tegu_arena *arena, const char *dir, const char *name)
{
    size_t size = strlen(dir);
    bool separated = size == 0 || dir[size - 1] == '/';
    return tegu_format(arena, "%s%s%s", dir, separated ? "" : "/", name);
}

char *tegu_path_dir(tegu_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return tegu_format(arena, ".");
    size_t size = slash == path ? 1 : (size_t)(slash - path);
    char *dir = tegu_arena_alloc(arena, size + 1);
    memcpy(dir, path, size);
    return dir;
}

const char *tegu_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool tegu_path_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool tegu_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}
