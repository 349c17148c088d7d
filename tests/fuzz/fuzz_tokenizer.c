/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_tokenizer.c - a tokenizer file: JSON when it begins with '{', else
 * llama2.c's binary form.  What opens also encodes and decodes.
 *
 * The runtime reads files only, so the input goes through one in memory.
 */
#define _GNU_SOURCE /* memfd_create */
#include "tests/fuzz/fuzz.h"

#include "tegu/runtime.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const texts[] = {
    "",
    " ",
    "Hello, world",
    "a\nb\t 12 345",
    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
    "<s></s><unk><|endoftext|>",
    "\0\1\2",
};

static void check_ids(const tegu_tokenizer *t, const tegu_ids *ids)
{
    int32_t previous = -1;
    for (size_t i = 0; i < ids->count; i++) {
        size_t length = 0;
        const char *bytes =
            tegu_tokenizer_decode(t, previous, ids->data[i], &length);
        FUZZ_CHECK(ids->data[i] >= 0);
        FUZZ_CHECK(ids->data[i] < tegu_tokenizer_size(t));
        FUZZ_CHECK(length == 0 || bytes != NULL);
        previous = ids->data[i];
    }
}

static void check_tokens(const tegu_tokenizer *t)
{
    int32_t size = tegu_tokenizer_size(t);
    for (int32_t id = -1; id <= size && id < 1000; id++) {
        size_t length = 0;
        const char *token = tegu_tokenizer_token(t, id, &length);
        FUZZ_CHECK(token || length == 0);
        if (token)
            FUZZ_CHECK(tegu_tokenizer_find(t, token, length) >= 0);
    }
}

static void use(const tegu_tokenizer *t)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (unsigned flags = 0; flags < 4; flags++) {
            tegu_ids ids = {0};
            tegu_reason why = {""};
            size_t length =
                i + 1 < sizeof texts / sizeof *texts ? strlen(texts[i]) : 3;
            if (tegu_tokenizer_encode(t, texts[i], length, flags, &ids, &why) ==
                TEGU_STATUS_OK)
                check_ids(t, &ids);
            else
                fuzz_check_line(why.text);
            free(ids.data);
        }
    }
    check_tokens(t);
}

/* A file in memory and a name for it that ends as the reader wants. */
static int open_input(const uint8_t *data, size_t size, char *path,
                      size_t path_size)
{
    bool json = size && data[0] == '{';
    int fd = memfd_create("fuzz", 0);
    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(write(fd, data, size) == (ssize_t)size);
    snprintf(path, path_size, "/tmp/fuzz-tokenizer-%ld.%s", (long)getpid(),
             json ? "json" : "bin");
    char target[64];
    snprintf(target, sizeof target, "/proc/%ld/fd/%d", (long)getpid(), fd);
    unlink(path);
    FUZZ_CHECK(symlink(target, path) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[96];
    tegu_tokenizer *t = NULL;
    tegu_reason why = {""};
    int fd = open_input(data, size, path, sizeof path);
    tegu_status status = tegu_tokenizer_open(path, &t, &why);
    unlink(path);
    close(fd);
    FUZZ_CHECK((status == TEGU_STATUS_OK) == (t != NULL));
    if (t)
        use(t);
    else
        fuzz_check_line(why.text);
    tegu_tokenizer_close(t);
    return 0;
}
