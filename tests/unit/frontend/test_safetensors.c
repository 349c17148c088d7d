/* SPDX-License-Identifier: Apache-2.0 */
/* test_safetensors.c - what the reader accepts, how it refuses, what the
 * writer makes; shards.  The files of `reference` are those of the tests in
 * huggingface/safetensors' tensor.rs. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parses a copy that ends where the file ends, so that ASan sees any step
 * beyond it.  *copy is for the caller to free. */
static tegu_safetensors *parse(folder *f, const void *bytes, size_t size,
                               unsigned char **copy)
{
    *copy = malloc(size ? size : 1);
    if (size)
        memcpy(*copy, bytes, size);
    tegu_diag_clear(f->diag);
    return tegu_safetensors_parse(f->arena, f->diag, "w.st", *copy, size);
}

/* A file of this header and `data` zero bytes. */
static char *build(folder *f, const char *header, size_t data, size_t *size)
{
    size_t length = strlen(header);
    *size = 8 + length + data;
    char *bytes = tegu_arena_alloc(f->arena, *size);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)((uint64_t)length >> (8 * i));
    memcpy(bytes + 8, header, length);
    return bytes;
}

/* expected NULL: accepted; else part of the rendered messages. */
static void check(folder *f, const void *bytes, size_t size,
                  const char *expected)
{
    unsigned char *copy;
    tegu_safetensors *st = parse(f, bytes, size, &copy);
    const char *messages = folder_messages(f);
    if (expected && (st || !strstr(messages, expected)))
        fail_msg("expected '%s', got '%s'", expected, messages);
    if (!expected && !st)
        fail_msg("refused: %s", messages);
    if (!st)
        assert_int_equal(tegu_diag_exit_code(f->diag) == 0, 0);
    free(copy);
}

#define W(fields) "{\"w\":{" fields "}}"
#define F32_2 "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"

static void headers_are_judged_by_the_reference_rules(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *expected;
    } cases[] = {
        {W(F32_2), 8, NULL},
        {" \t\r\n" W(F32_2) " \n ", 8, NULL},
        {"{}", 0, NULL},
        {"{\"__metadata__\":{\"format\":\"pt\"}}", 0, NULL},
        {W(F32_2 ",\"extra\":1"), 8, NULL},
        {"{\"\":{" F32_2 "}}", 8, NULL},
        {"{\"../x\":{" F32_2 "}}", 8, NULL},
        {W("\"dtype\":\"F4\",\"shape\":[3,2],\"data_offsets\":[0,3]"), 3, NULL},
        {W("\"dtype\":\"C64\",\"shape\":[],\"data_offsets\":[0,8]"), 8, NULL},
        {W("\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]"), 3,
         NULL},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"c\":{\"dtype\":\"U8\",\"shape\":[3,0],\"data_offsets\":[2,2]}}",
         2, NULL},

        {"", 0, "w.st@0x8: error: the header is not JSON"},
        {"[]", 0, "w.st@0x8: error: the header is not a JSON object"},
        {"{", 0, "the header is not JSON"},
        {"{}x", 0, "the header is not JSON"},
        {"nope", 0, "the header is not JSON"},
        {"{\"w\":1,\"w\":2}", 0, "duplicate object key"},
        {"{\"\\ud800\":1}", 0, "the header is not JSON"},
        {"{\"a\\u0000b\":1}", 0, "the header is not JSON"},
        {"{\"a\xff\":1}", 0, "w.st@0xb: error: the header is not UTF-8"},
        {"{\"w\":[]}", 0, "w.st@0x9: error: tensor 'w': must be an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "maps text to text"},
        {"{\"__metadata__\":[]}", 0, "maps text to text"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
        {W("\"shape\":[2],\"data_offsets\":[0,8]"), 8, "'dtype' must be"},
        {W("\"dtype\":1,\"shape\":[2],\"data_offsets\":[0,8]"), 8,
         "'dtype' must be"},
        {W("\"dtype\":\"f32\",\"shape\":[2],\"data_offsets\":[0,8]"), 8,
         "unknown dtype 'f32'"},
        {W("\"dtype\":\"F32\\n\",\"shape\":[2],\"data_offsets\":[0,8]"), 8,
         "unknown dtype 'F32\\n'"},
        {W("\"dtype\":\"F32\",\"data_offsets\":[0,8]"), 8, "'shape' must be"},
        {W("\"dtype\":\"F32\",\"shape\":null,\"data_offsets\":[0,8]"), 8,
         "'shape' must be"},
        {W("\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]"), 8,
         "shape[0] must be an integer"},
        {W("\"dtype\":\"F32\",\"shape\":[2e0],\"data_offsets\":[0,8]"), 8,
         "shape[0] must be an integer"},
        {W("\"dtype\":\"F32\",\"shape\":[1,\"2\"],\"data_offsets\":[0,8]"), 8,
         "shape[1] must be an integer"},
        {W("\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]"), 8,
         "shape[0] must be an integer"},
        {W("\"dtype\":\"F32\",\"shape\":[18446744073709551616],"
           "\"data_offsets\":[0,8]"),
         8, "the header is not JSON: too big integer"},
        {W("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
           "\"data_offsets\":[0,0]"),
         0, "more than 2^64 elements"},
        {W("\"dtype\":\"F32\",\"shape\":[4611686018427387904],"
           "\"data_offsets\":[0,0]"),
         0, "more than 2^64 bits"},
        {W("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],"
           "\"data_offsets\":[0,1]"),
         1, "it has 9 axes; tegu takes up to 8 [E0006]"},
        {W("\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]"), 1,
         "does not fill whole bytes"},
        {W("\"dtype\":\"F32\",\"shape\":[2]"), 8, "'data_offsets' must be"},
        {W("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]"), 8,
         "'data_offsets' must be"},
        {W("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]"), 8,
         "'data_offsets' must be"},
        {W("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]"), 8,
         "'data_offsets' must be"},
        {W("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8.0]"), 8,
         "'data_offsets' must be"},
        {W("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]"), 8,
         "ends before it begins"},
        {W("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), 4,
         "dtype and shape need 8 bytes, its offsets span 4"},
        {W("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]"), 12,
         "behind a hole"},
        {"{\"a\":{" F32_2 "},\"b\":{\"dtype\":\"F32\",\"shape\":[2],"
         "\"data_offsets\":[4,12]}}",
         12, "tensor 'b': its data begins at 4, inside the tensor before it"},
        {"{\"a\":{" F32_2 "},\"b\":{" F32_2 "}}", 8, "inside the tensor"},
        {W(F32_2), 7, "the file is cut short: 1 bytes of data are missing"},
        {W(F32_2), 9, "1 bytes follow the last tensor"},
        {"{}", 4, "4 bytes follow the last tensor"},
    };
    folder *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        char *bytes = build(f, cases[i].header, cases[i].data, &size);
        check(f, bytes, size, cases[i].expected);
    }
}

static void every_bad_tensor_is_reported_at_its_name(void **state)
{
    folder *f = *state;
    size_t size;
    const char *header = "{\"a\": 1, \"b\" :{" F32_2 "}, \"c\": {}}";
    char *bytes = build(f, header, 8, &size);
    unsigned char *copy;
    assert_null(parse(f, bytes, size, &copy));
    assert_string_equal(
        folder_messages(f),
        "w.st@0x9: error: tensor 'a': must be an object [E0302]\n"
        "w.st@0x48: error: tensor 'c': 'dtype' must be a string [E0302]\n");
    assert_int_equal(tegu_diag_exit_code(f->diag), 65);
    free(copy);
}

static void deep_nesting_is_an_error_and_no_crash(void **state)
{
    folder *f = *state;
    enum { DEPTH = 100000 };
    char *header = tegu_arena_alloc(f->arena, DEPTH + 6);
    memcpy(header, "{\"w\":", 5);
    memset(header + 5, '[', DEPTH);
    size_t size;
    char *bytes = build(f, header, 0, &size);
    check(f, bytes, size, "maximum parsing depth");
}

/* What the reference calls an error -> what we say. */
static const struct {
    const char *name, *message;
} reference_errors[] = {
    {"OK", NULL},
    {"HeaderTooSmall", "header's length alone takes 8"},
    {"HeaderTooLarge", "is over the limit of 100000000"},
    {"InvalidHeaderLength", "is beyond the end"},
    {"InvalidHeader", "is not UTF-8"},
    {"InvalidHeaderDeserialization", "is not JSON"},
    {"TensorInvalidInfo", "its offsets span"},
    {"ValidationOverflow", ""},
    {"MetadataIncompleteBuffer", "[E0302]"},
};

static const char *message_of(const char *name)
{
    for (size_t i = 0; i < sizeof reference_errors / sizeof *reference_errors;
         i++)
        if (strcmp(reference_errors[i].name, name) == 0)
            return reference_errors[i].message;
    fail_msg("unknown error '%s'", name);
    return NULL;
}

#define TEST_2_2(offsets)                                                      \
    "<\0\0\0\0\0\0\0{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],"             \
    "\"data_offsets\":" offsets "}}"
#define ZEROS_16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define FILE_OF(text) (text), sizeof(text) - 1

static const struct {
    const char *bytes;
    size_t size;
    const char *expected;
} reference[] = {
    {FILE_OF(TEST_2_2("[0,16]") ZEROS_16), "OK"},
    {FILE_OF("8\0\0\0\0\0\0\0{\"test\":{\"dtype\":\"I32\",\"shape\":[],"
             "\"data_offsets\":[0,4]}}\0\0\0\0"),
     "OK"},
    {FILE_OF(TEST_2_2("[0,16]") ZEROS_16 "extra_bogus_data_for_polyglot_file"),
     "MetadataIncompleteBuffer"},
    {FILE_OF(TEST_2_2("[0,16]") "\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
     "MetadataIncompleteBuffer"},
    {FILE_OF("<\0\0\0\0\xff\xff\xff{\"test\":{\"dtype\":\"I32\",\"shape\":"
             "[2,2],\"data_offsets\":[0,16]}}" ZEROS_16),
     "HeaderTooLarge"},
    {FILE_OF(""), "HeaderTooSmall"},
    {FILE_OF("<\0\0\0\0\0\0\0"), "InvalidHeaderLength"},
    {FILE_OF("\1\0\0\0\0\0\0\0\xff"), "InvalidHeader"},
    {FILE_OF("\1\0\0\0\0\0\0\0{"), "InvalidHeaderDeserialization"},
    {FILE_OF("\6\0\0\0\0\0\0\0{}\r \t\n"), "OK"},
    {FILE_OF("\6\0\0\0\0\0\0\0\t\n{}\r "), "OK"},
    {FILE_OF("<\0\0\0\0\0\0\0{\"test\":{\"dtype\":\"I32\",\"shape\":[2,0],"
             "\"data_offsets\":[0, 0]}}"),
     "OK"},
    {FILE_OF(TEST_2_2("[0, 4]")), "TensorInvalidInfo"},
    {FILE_OF("O\0\0\0\0\0\0\0{\"test\":{\"dtype\":\"I32\",\"shape\":"
             "[2,18446744073709551614],\"data_offsets\":[0,16]}}" ZEROS_16),
     "ValidationOverflow"},
    {FILE_OF("N\0\0\0\0\0\0\0{\"test\":{\"dtype\":\"I32\",\"shape\":"
             "[2,9223372036854775807],\"data_offsets\":[0,16]}}" ZEROS_16),
     "ValidationOverflow"},
};

static void the_reference_files_are_judged_as_there(void **state)
{
    for (size_t i = 0; i < sizeof reference / sizeof *reference; i++)
        check(*state, reference[i].bytes, reference[i].size,
              message_of(reference[i].expected));
}

static void the_shared_malformed_files_are_judged_as_expected(void **state)
{
    folder *f = *state;
    const char *dir = "../shared/data/safetensors_malformed";
    const char *list = tegu_path_join(f->arena, dir, "EXPECTED.txt");
    tegu_file file;
    const char *error;
    if (!tegu_file_read(f->arena, list, 0, &file, &error)) {
        print_message("%s: %s: skipped\n", list, error);
        skip();
    }
    char *text = tegu_format(f->arena, "%s", (const char *)file.data);
    int count = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char name[200], expected[64];
        if (sscanf(line, "%199s %63s", name, expected) != 2)
            continue;
        tegu_file bytes;
        const char *path = tegu_path_join(f->arena, dir, name);
        assert_true(tegu_file_read(f->arena, path, 0, &bytes, &error));
        check(f, bytes.data, bytes.size, message_of(expected));
        count++;
    }
    assert_int_equal(count, 16);
}

static const char *const two_tensors =
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[2,10]},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]}}";

static void a_file_cut_anywhere_is_refused(void **state)
{
    folder *f = *state;
    size_t size;
    char *bytes = build(f, two_tensors, 10, &size);
    check(f, bytes, size, NULL);
    for (size_t cut = 0; cut < size; cut++)
        check(f, bytes, cut, "w.st@0x");
}

static void flipped_bits_never_lead_outside_the_file(void **state)
{
    folder *f = *state;
    size_t size, accepted = 0;
    char *bytes = build(f, two_tensors, 10, &size);
    for (size_t bit = 0; bit < (size - 10) * 8; bit++) {
        unsigned char *copy;
        tegu_mark mark = tegu_arena_mark(f->arena);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        tegu_safetensors *st = parse(f, bytes, size, &copy);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        for (uint32_t i = 0; st && i < st->tensors.count; i++) {
            const tegu_stored_tensor *t = &st->tensors.data[i];
            assert_true(t->data >= copy && t->data <= copy + size);
            assert_true(t->bytes <= (size_t)(copy + size - t->data));
        }
        accepted += st != NULL;
        free(copy);
        tegu_diag_clear(f->diag);
        tegu_arena_release(f->arena, mark);
        f->diag = tegu_diag_create(f->arena);
    }
    assert_true(accepted > 0); /* other names are other files */
}

static void a_hundred_thousand_tensors_are_read(void **state)
{
    enum { COUNT = 100000 };
    folder *f = *state;
    tegu_text header = {.arena = f->arena};
    tegu_text_printf(&header, "{");
    for (int i = 0; i < COUNT; i++)
        tegu_text_printf(&header,
                         "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],"
                         "\"data_offsets\":[%d,%d]}",
                         i ? "," : "", i, COUNT - 1 - i, COUNT - i);
    tegu_text_printf(&header, "}");
    size_t size;
    char *bytes = build(f, header.data, COUNT, &size);
    unsigned char *copy;
    tegu_safetensors *st = parse(f, bytes, size, &copy);
    assert_non_null(st);
    assert_int_equal(st->tensors.count, COUNT);
    assert_string_equal(st->tensors.data[0].name, "t99999");
    assert_ptr_equal(tegu_safetensors_find(st, "t0")->data, copy + size - 1);
    assert_null(tegu_safetensors_find(st, "t100000"));
    free(copy);
}

static void tensors_carry_type_shape_data_and_metadata(void **state)
{
    folder *f = *state;
    size_t size;
    char *bytes = build(
        f,
        "{\"__metadata__\":{\"format\":\"pt\",\"x\":\"y\"},"
        "\"a\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
        "\"b\":{\"dtype\":\"U32\",\"shape\":[],\"data_offsets\":[12,16]}}",
        16, &size);
    unsigned char *copy;
    tegu_safetensors *st = parse(f, bytes, size, &copy);
    assert_non_null(st);
    const tegu_stored_tensor *a = tegu_safetensors_find(st, "a");
    assert_int_equal(a->dtype, TEGU_F16);
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->dims[0] * 10 + a->dims[1], 23);
    assert_ptr_equal(a->data, copy + size - 16);
    const tegu_stored_tensor *b = tegu_safetensors_find(st, "b");
    assert_int_equal(b->dtype, TEGU_DTYPE_COUNT);
    assert_string_equal(b->dtype_text, "U32");
    assert_int_equal(b->bytes, 4);
    assert_string_equal(tegu_safetensors_metadata(st, "x"), "y");
    assert_null(tegu_safetensors_metadata(st, "z"));
    free(copy);
}

static void written_files_are_ordered_and_read_back(void **state)
{
    folder *f = *state;
    static const unsigned char data[16] = {1, 2,  3,  4,  5,  6,  7,  8,
                                           9, 10, 11, 12, 13, 14, 15, 16};
    const tegu_stored_tensor tensors[] = {
        {.name = "b",
         .dtype_text = "BF16",
         .rank = 1,
         .dims = {2},
         .data = data,
         .bytes = 4},
        {.name = "z\"\n",
         .dtype_text = "F32",
         .rank = 2,
         .dims = {1, 3},
         .data = data,
         .bytes = 12},
        {.name = "a", .dtype_text = "BF16", .data = data + 14, .bytes = 2},
        {.name = "\xc3\xa9",
         .dtype_text = "U8",
         .rank = 1,
         .dims = {0},
         .data = data,
         .bytes = 0},
    };
    const char *metadata[] = {"format", "pt", "by", "te\tgu"};
    const char *path = folder_file(f, "out.safetensors"), *error = NULL;
    tegu_outputs *outputs = tegu_outputs_create(f->arena);
    assert_true(tegu_safetensors_write(f->arena, outputs, path, tensors, 4,
                                       metadata, 4, &error));
    assert_true(tegu_outputs_commit(outputs, &error));
    tegu_safetensors *st = tegu_safetensors_open(f->arena, f->diag, path);
    assert_non_null(st);
    static const char *const order[] = {"z\"\n", "a", "b", "\xc3\xa9"};
    assert_int_equal(st->tensors.count, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_string_equal(st->tensors.data[i].name, order[i]);
    assert_int_equal((st->tensors.data[0].data - st->file.data) % 64, 0);
    assert_memory_equal(st->tensors.data[0].data, data, 12);
    assert_memory_equal(tegu_safetensors_find(st, "a")->data, data + 14, 2);
    assert_string_equal(tegu_safetensors_metadata(st, "by"), "te\tgu");
    tegu_file_unmap(&st->file);
}

static void what_cannot_be_read_is_not_written(void **state)
{
    folder *f = *state;
    static const unsigned char data[8];
    const tegu_stored_tensor good = {.name = "a",
                                     .dtype_text = "F32",
                                     .rank = 1,
                                     .dims = {2},
                                     .data = data,
                                     .bytes = 8};
    tegu_stored_tensor cases[6];
    for (int i = 0; i < 6; i++)
        cases[i] = good;
    cases[0].name = "__metadata__";
    cases[1].name = "\xff";
    cases[2].dtype_text = "float";
    cases[3].bytes = 4;
    cases[4].dims[0] = -2;
    static const char *const errors[] = {
        "its name is reserved",  "its name is not UTF-8",
        "unknown dtype 'float'", "its bytes do not fit its shape",
        "its shape is negative", "tensor 'a' is given twice"};
    for (int i = 0; i < 6; i++) {
        const tegu_stored_tensor both[] = {good, cases[i]};
        const char *error = "";
        tegu_outputs *outputs = tegu_outputs_create(f->arena);
        assert_false(tegu_safetensors_write(
            f->arena, outputs, folder_file(f, "x"), both, 2, NULL, 0, &error));
        assert_non_null(strstr(error, errors[i]));
        tegu_outputs_destroy(outputs);
    }
    assert_false(tegu_path_exists(folder_file(f, "x")));
}

static void an_index_joins_its_shards(void **state)
{
    folder *f = *state;
    folder_put_tensors(f, "one.safetensors", "a F32 2,3\nb F32 4");
    folder_put_tensors(f, "two.safetensors", "c BF16 5");
    const char *index =
        folder_put(f, "model.safetensors.index.json",
                   "{\"metadata\": {\"total_size\": 50}, \"weight_map\": {"
                   "\"a\": \"one.safetensors\", \"c\": \"two.safetensors\","
                   "\"b\": \"one.safetensors\"}}");
    tegu_tensors *tensors = tegu_tensors_open(f->arena, f->diag, index);
    assert_non_null(tensors);
    assert_int_equal(tensors->files.count, 2);
    assert_int_equal(tegu_tensors_find(tensors, "c")->dims[0], 5);
    assert_int_equal(tegu_tensors_find(tensors, "b")->dims[0], 4);
    assert_null(tegu_tensors_find(tensors, "d"));
    tegu_tensors_close(tensors);
}

static void an_index_that_does_not_fit_is_refused(void **state)
{
    static const struct {
        const char *map, *expected;
        int exit;
    } cases[] = {
        {"[]", "'weight_map' must be an object", 65},
        {"{\"a\": \"../one\"}",
         ":1:17: error: shard '../one' is not a file name in the index's "
         "folder [E0304]",
         65},
        {"{\"a\": \"/etc/passwd\"}", "is not a file name in", 65},
        {"{\"a\": \"..\"}", "is not a file name in", 65},
        {"{\"a\": \"\"}", "is not a file name in", 65},
        {"{\"a\": 1}", "the file of tensor 'a' must be a string", 65},
        {"{\"a\": \"absent\"}", "absent: error: no such file", 66},
        {"{\"a\": \"one\", \"x\": \"one\"}", "tensor 'x' is not in shard 'one'",
         65},
        {"{\"a\": \"one\"}", "one: error: tensor 'b' is not in the index", 65},
        {"{\"a\": \"one\", \"b\": \"two\"}",
         "two: error: tensor 'b' is also in another shard", 65},
        {"{\"a\": \"one\", \"a\": \"one\"}", "duplicate object key", 65},
    };
    folder *f = *state;
    folder_put_tensors(f, "one", "a F32 2,3\nb F32 1");
    folder_put_tensors(f, "two", "b F32 1");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tegu_diag_clear(f->diag);
        const char *index = folder_put(
            f, "i.json",
            tegu_format(f->arena, "{\"weight_map\": %s}", cases[i].map));
        assert_null(tegu_tensors_open(f->arena, f->diag, index));
        const char *messages = folder_messages(f);
        if (!strstr(messages, cases[i].expected))
            fail_msg("expected '%s', got '%s'", cases[i].expected, messages);
        assert_int_equal(tegu_diag_exit_code(f->diag), cases[i].exit);
    }
}

#define IN_FOLDER(test)                                                        \
    cmocka_unit_test_setup_teardown(test, folder_create, folder_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(headers_are_judged_by_the_reference_rules),
        IN_FOLDER(every_bad_tensor_is_reported_at_its_name),
        IN_FOLDER(deep_nesting_is_an_error_and_no_crash),
        IN_FOLDER(the_reference_files_are_judged_as_there),
        IN_FOLDER(the_shared_malformed_files_are_judged_as_expected),
        IN_FOLDER(a_file_cut_anywhere_is_refused),
        IN_FOLDER(flipped_bits_never_lead_outside_the_file),
        IN_FOLDER(a_hundred_thousand_tensors_are_read),
        IN_FOLDER(tensors_carry_type_shape_data_and_metadata),
        IN_FOLDER(written_files_are_ordered_and_read_back),
        IN_FOLDER(what_cannot_be_read_is_not_written),
        IN_FOLDER(an_index_joins_its_shards),
        IN_FOLDER(an_index_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
