/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_safetensors.c - a safetensors file in memory: accepted tensors lie in
 * the file, one behind the other, and are found by their names. */
#include "tests/fuzz/fuzz.h"

#include "frontend/safetensors.h"

static unsigned sum_of(const unsigned char *data, size_t size)
{
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    return sum;
}

static void check_tensor(const fuzz_case *c, const tegu_safetensors *st,
                         const tegu_stored_tensor *t,
                         const unsigned char **next)
{
    const unsigned char *end = (const unsigned char *)c->text + c->size;
    FUZZ_CHECK(tegu_safetensors_find(st, t->name) == t);
    FUZZ_CHECK(t->rank <= TEGU_MAX_RANK);
    FUZZ_CHECK(!*next || t->data == *next);
    FUZZ_CHECK(t->data <= end && t->bytes <= (size_t)(end - t->data));
    *next = t->data + t->bytes;
    /* Every byte is read, so that ASan sees where it lies. */
    volatile unsigned sum = sum_of(t->data, t->bytes);
    (void)sum;
    if (t->dtype == TEGU_DTYPE_COUNT)
        return;
    uint64_t bytes = tegu_dtype_bytes(t->dtype);
    for (uint32_t i = 0; i < t->rank; i++)
        bytes *= (uint64_t)t->dims[i];
    FUZZ_CHECK(bytes == t->bytes);
}

static bool read_tensors(fuzz_case *c)
{
    tegu_safetensors *st =
        tegu_safetensors_parse(c->arena, c->diag, "fuzz.safetensors",
                               (const unsigned char *)c->text, c->size);
    const unsigned char *next = NULL;
    if (!st)
        return false;
    for (uint32_t i = 0; i < st->tensors.count; i++)
        check_tensor(c, st, &st->tensors.data[i], &next);
    FUZZ_CHECK(!next || next == (const unsigned char *)c->text + c->size);
    FUZZ_CHECK(st->metadata.count % 2 == 0);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read(data, size, read_tensors);
    return 0;
}
