/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_gguf.c - a GGUF file in memory: keys are found, and the data of every
 * tensor up to the first of a type we do not know lies in the file. */
#include "tests/fuzz/fuzz.h"

#include "frontend/gguf.h"

static unsigned sum_of(const unsigned char *data, size_t size)
{
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    return sum;
}

static void check_tensor(const fuzz_case *c, const tegu_stored_tensor *t)
{
    const unsigned char *start = (const unsigned char *)c->text;
    uint64_t bytes = tegu_dtype_bytes(t->dtype);
    FUZZ_CHECK(t->rank <= TEGU_MAX_RANK);
    FUZZ_CHECK(t->data >= start && t->data <= start + c->size);
    FUZZ_CHECK(t->bytes <= (size_t)(start + c->size - t->data));
    /* Every byte is read, so that ASan sees where it lies. */
    volatile unsigned sum = sum_of(t->data, t->bytes);
    (void)sum;
    for (uint32_t i = 0; i < t->rank; i++)
        bytes *= (uint64_t)t->dims[i];
    FUZZ_CHECK(bytes == t->bytes);
}

static void check_value(const tegu_gguf_value *value)
{
    FUZZ_CHECK(!value->is_text || value->text[value->size] == 0);
    FUZZ_CHECK(!value->is_text || !value->is_array);
}

static bool read_gguf(fuzz_case *c)
{
    tegu_gguf *gguf = tegu_gguf_parse(c->arena, c->diag, "fuzz.gguf",
                                      (const unsigned char *)c->text, c->size);
    if (!gguf)
        return false;
    for (uint32_t i = 0; i < gguf->values.count; i++)
        check_value(&gguf->values.data[i]);
    for (uint32_t i = 0; i < gguf->tensors.count &&
                         gguf->tensors.data[i].dtype != TEGU_DTYPE_COUNT;
         i++)
        check_tensor(c, &gguf->tensors.data[i]);
    const tegu_gguf_value *type = tegu_gguf_find(gguf, "general.type");
    FUZZ_CHECK(!type || (type >= gguf->values.data &&
                         type < gguf->values.data + gguf->values.count));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read(data, size, read_gguf);
    return 0;
}
