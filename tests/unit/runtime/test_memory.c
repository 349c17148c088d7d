/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the helpers fails once: the k-th one, for k = 0, 1, ...
 * until a run needs no more.  Each failure must come back as a status, leave
 * the outputs alone and leak nothing (run under ASan).  The linker sends the
 * allocations of the test and the helpers here; those inside other libraries
 * are not touched. */
#include "tests/unit/runtime/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static long countdown = -1; /* allocations until the one that fails */

static int fails(void)
{
    return countdown >= 0 && countdown-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

/* Opens with the k-th allocation failing; 1 when none was left to fail. */
static int open_failing(const char *path, long k, tegu_tokenizer **t)
{
    tegu_reason why = {""};
    *t = NULL;
    countdown = k;
    tegu_status status = tegu_tokenizer_open(path, t, &why);
    int done = countdown >= 0;
    countdown = -1;
    if (done) {
        assert_int_equal(status, TEGU_STATUS_OK);
        return 1;
    }
    assert_int_equal(status, TEGU_STATUS_MEMORY);
    assert_string_equal(why.text, "out of memory");
    assert_null(*t);
    return 0;
}

static int encode_failing(const tegu_tokenizer *t, const char *text, long k)
{
    tegu_reason why = {""};
    tegu_ids ids = {NULL, 77};
    countdown = k;
    tegu_status status =
        tegu_tokenizer_encode(t, text, strlen(text), 0, &ids, &why);
    int done = countdown >= 0;
    countdown = -1;
    if (done) {
        assert_int_equal(status, TEGU_STATUS_OK);
        free(ids.data);
        return 1;
    }
    assert_int_equal(status, TEGU_STATUS_MEMORY);
    assert_string_equal(why.text, "out of memory");
    assert_int_equal(ids.count, 77);
    return 0;
}

static void check_all_failures(const char *path, const char *text)
{
    tegu_tokenizer *t;
    long k = 0;
    while (!open_failing(path, k, &t))
        k++;
    assert_true(k > 10);
    for (k = 0; !encode_failing(t, text, k);)
        k++;
    assert_true(k > 4);
    tegu_tokenizer_close(t);
}

static void tokenizers_report_failed_allocations(void **state)
{
    static const char json[] =
        "{\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true},"
        "{\"id\":5,\"content\":\"Q\",\"normalized\":true}],"
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
        "\"NFC\"},{\"type\":\"Prepend\",\"prepend\":\"▁\"},{\"type\":"
        "\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}]},"
        "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
        "{\"type\":\"Metaspace\",\"replacement\":\"▁\"},{\"type\":\"Digits\"},"
        "{\"type\":\"ByteLevel\"}]},\"decoder\":{\"type\":\"Sequence\","
        "\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},"
        "\"content\":\"b\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\","
        "\"content\":\" \",\"start\":1,\"stop\":0}]},\"post_processor\":"
        "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
        "{\"id\":\"s\"}},{\"Sequence\":{}}],\"special_tokens\":{\"s\":"
        "{\"ids\":[4]}}},\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,"
        "\"<0x41>\":3},\"merges\":[\"a b\",[\"a\",\"b\"]],"
        "\"unk_token\":\"a\"}}";
    check_all_failures(
        write_file(state, "t.json", json, strlen(json)),
        "ab 12 ab<s> Q ababababababababababab abababababababababababab");
}

static void llama2c_reports_failed_allocations(void **state)
{
    static const char file[] = "\x02\0\0\0"
                               "\0\0\0\0\x01\0\0\0u"
                               "\0\0\0\0\x01\0\0\0s"
                               "\0\0\0\0\x01\0\0\0e"
                               "\0\0\0\0\x01\0\0\0 "
                               "\0\0\0\0\x01\0\0\0a"
                               "\0\0\0\0\x02\0\0\0aa";
    check_all_failures(write_file(state, "t.bin", file, sizeof file - 1),
                       "aaa aaaaaaa aaaaaaaaaaaaaaaaaaaaaaaaa");
}

static void a_pool_reports_failed_allocations(void **state)
{
    (void)state;
    tegu_pool *pool = NULL;
    tegu_reason why = {""};
    countdown = 0;
    tegu_status status = tegu_pool_create(2, 0, &pool, &why);
    countdown = -1;
    assert_int_equal(status, TEGU_STATUS_MEMORY);
    assert_string_equal(why.text, "out of memory");
    assert_null(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizers_report_failed_allocations),
        cmocka_unit_test(llama2c_reports_failed_allocations),
        cmocka_unit_test(a_pool_reports_failed_allocations),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
