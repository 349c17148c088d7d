/* SPDX-License-Identifier: Apache-2.0 */
/* weights.c: the bytes of a weights file, mapped or read into huge pages.
 *
 * Takes a path; produces read-only memory.  Leaves the contents to the
 * model's init, which checks magic, size and hash.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS, MADV_HUGEPAGE */
#include "runtime/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t huge_page = (size_t)2 << 20;

static tegu_status map_file(int file, tegu_weights *weights)
{
    void *base = mmap(NULL, weights->size, PROT_READ, MAP_PRIVATE, file, 0);
    if (base == MAP_FAILED)
        return TEGU_STATUS_SYSTEM;
    weights->base = base;
    weights->extent = weights->size;
    weights->data = base;
    return TEGU_STATUS_OK;
}

/* Fills size bytes; a file that ends early is an error (errno 0). */
static bool read_all(int file, char *into, size_t size)
{
    while (size > 0) {
        ssize_t got = read(file, into, size < (1u << 30) ? size : 1u << 30);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got < 0 ? errno : 0;
            return false;
        }
        into += got;
        size -= (size_t)got;
    }
    return true;
}

/* One huge page more than needed, so that the data can start on one. */
static tegu_status read_file(int file, tegu_weights *weights)
{
    size_t extent;
    if (__builtin_add_overflow(weights->size, 2 * huge_page - 1, &extent))
        return TEGU_STATUS_MEMORY;
    extent -= extent % huge_page;
    void *base = mmap(NULL, extent, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return TEGU_STATUS_MEMORY;
    size_t skip = (huge_page - (uintptr_t)base % huge_page) % huge_page;
    char *data = (char *)base + skip;
    /* Advice only: without huge pages the copy is merely slower to read. */
    (void)madvise(data, extent - huge_page, MADV_HUGEPAGE);
    if (!read_all(file, data, weights->size)) {
        int reason = errno;
        munmap(base, extent);
        errno = reason;
        return TEGU_STATUS_OPEN;
    }
    (void)mprotect(base, extent, PROT_READ);
    weights->base = base;
    weights->extent = extent;
    weights->data = data;
    return TEGU_STATUS_OK;
}

static tegu_status load(const char *path, int file, unsigned flags,
                        tegu_weights *weights, tegu_reason *message)
{
    struct stat info;
    if (fstat(file, &info) != 0)
        return tegu_runtime_fail(message, TEGU_STATUS_OPEN, "%s: error: %s",
                                 path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return tegu_runtime_fail(message, TEGU_STATUS_OPEN,
                                 "%s: error: not a regular file", path);
    if (info.st_size <= 0)
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "%s: error: the file is empty", path);
    if ((uintmax_t)info.st_size > SIZE_MAX / 2)
        return tegu_runtime_fail(message, TEGU_STATUS_MEMORY,
                                 "%s: error: too large to map", path);
    weights->size = (size_t)info.st_size;
    errno = 0;
    tegu_status status = flags & TEGU_WEIGHTS_HUGE ? read_file(file, weights)
                                                   : map_file(file, weights);
    if (status != TEGU_STATUS_OK)
        return tegu_runtime_fail(
            message, status, "%s: error: cannot load %zu bytes: %s", path,
            weights->size,
            errno ? strerror(errno) : "the file shrank while it was read");
    return TEGU_STATUS_OK;
}

tegu_status tegu_weights_open(const char *path, unsigned flags,
                              tegu_weights *weights, tegu_reason *message)
{
    if (!path || !weights || (flags & ~(unsigned)TEGU_WEIGHTS_HUGE))
        return tegu_runtime_fail(message, TEGU_STATUS_ARGUMENT,
                                 "tegu_weights_open: invalid argument");
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return tegu_runtime_fail(message, TEGU_STATUS_OPEN, "%s: error: %s",
                                 path, strerror(errno));
    tegu_weights loaded = {0};
    tegu_status status = load(path, file, flags, &loaded, message);
    close(file);
    if (status == TEGU_STATUS_OK)
        *weights = loaded;
    return status;
}

void tegu_weights_close(tegu_weights *weights)
{
    if (weights && weights->base)
        munmap(weights->base, weights->extent);
    if (weights)
        *weights = (tegu_weights){0};
}
