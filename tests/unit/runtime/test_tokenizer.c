/* SPDX-License-Identifier: Apache-2.0 */
/* Every family of tokenizers: ids computed by hand for small ones, reference
 * ids and round trips for real ones (skipped without the shared data). */
#include "tests/unit/runtime/support.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tegu_tokenizer *open_path(const char *path)
{
    tegu_tokenizer *t = NULL;
    tegu_reason why = {""};
    if (tegu_tokenizer_open(path, &t, &why) != TEGU_STATUS_OK)
        fail_msg("%s", why.text);
    return t;
}

static tegu_tokenizer *open_json(void **state, const char *json)
{
    return open_path(write_file(state, "tokenizer.json", json, strlen(json)));
}

static tegu_ids encode(const tegu_tokenizer *t, const char *text, size_t size,
                       unsigned flags)
{
    tegu_ids ids = {NULL, 0};
    tegu_reason why = {""};
    if (tegu_tokenizer_encode(t, text, size, flags, &ids, &why) != 0)
        fail_msg("'%.60s': %s", text, why.text);
    assert_non_null(ids.data);
    return ids;
}

/* ids: "1 13 2". */
static void check_ids(const tegu_tokenizer *t, const char *text, unsigned flags,
                      const char *expected)
{
    char found[1024] = "";
    size_t at = 0;
    tegu_ids ids = encode(t, text, strlen(text), flags);
    for (size_t i = 0; i < ids.count && at < sizeof found; i++)
        at += (size_t)snprintf(found + at, sizeof found - at, "%s%" PRId32,
                               i ? " " : "", ids.data[i]);
    free(ids.data);
    if (strcmp(found, expected) != 0)
        fail_msg("'%s': ids %s, expected %s", text, found, expected);
}

static void check_round_trip(const tegu_tokenizer *t, const char *text,
                             size_t size)
{
    tegu_ids ids = encode(t, text, size, 0);
    size_t at = 0;
    int32_t previous = -1;
    for (size_t i = 0; i < ids.count; i++) {
        size_t length;
        const char *part =
            tegu_tokenizer_decode(t, previous, ids.data[i], &length);
        assert_true(length <= size - at);
        assert_memory_equal(part, text + at, length);
        at += length;
        previous = ids.data[i];
    }
    assert_int_equal(at, size);
    free(ids.data);
}

static void check_file_round_trip(const tegu_tokenizer *t, const char *path)
{
    size_t size;
    char *text = read_file(path, &size);
    assert_non_null(text);
    check_round_trip(t, text, size);
    free(text);
}

/* ---- small tokenizers of every family ---- */

#define LLAMA2(merges)                                                           \
    "{\"added_tokens\":["                                                        \
    "{\"id\":0,\"content\":\"<unk>\",\"special\":true},"                         \
    "{\"id\":1,\"content\":\"<s>\",\"special\":true},"                           \
    "{\"id\":2,\"content\":\"</s>\",\"special\":true}],"                         \
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["                    \
    "{\"type\":\"Prepend\",\"prepend\":\"▁\"},"                                \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"                      \
    "\"content\":\"▁\"}]},\"pre_tokenizer\":null,"                             \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["           \
    "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"                         \
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{"          \
    "\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}},"               \
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":["                          \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"▁\"},"                    \
    "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"        \
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"           \
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<unk>\","      \
    "\"fuse_unk\":true,\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,"           \
    "\"<s>\":1,\"</s>\":2,\"▁\":3,\"h\":4,\"e\":5,\"l\":6,\"o\":7,\"▁h\":8," \
    "\"he\":9,\"ll\":10,\"▁he\":11,\"llo\":12,\"▁hello\":13,\"<0xE6>\":14,"  \
    "\"<0x97>\":15,\"<0xA5>\":16,\"<0x0A>\":17},\"merges\":" merges "}}"

static void sentencepiece_style_follows_llama2(void **state)
{
    static const char *const files[] = {
        LLAMA2("[\"▁ h\",\"h e\",\"l l\",\"▁h e\",\"ll o\",\"▁he llo\"]"),
        LLAMA2("[[\"▁\",\"h\"],[\"h\",\"e\"],[\"l\",\"l\"],[\"▁h\",\"e\"],"
               "[\"ll\",\"o\"],[\"▁he\",\"llo\"]]")};
    for (int i = 0; i < 2; i++) {
        tegu_tokenizer *t = open_json(state, files[i]);
        check_ids(t, "", 0, "1");
        check_ids(t, "", TEGU_ENCODE_BARE, "");
        check_ids(t, "hello", 0, "1 13");
        check_ids(t, "hello hello", TEGU_ENCODE_BARE, "13 13");
        check_ids(t, "\nhello", 0, "1 3 17 9 12");
        check_ids(t, "日", 0, "1 3 14 15 16");
        check_ids(t, "xyz", 0, "1 3 0");
        check_ids(t, "xyhz", 0, "1 3 0 4 0");
        check_ids(t, "hello</s>hello", 0, "1 13 2 13");
        check_ids(t, "</s>", TEGU_ENCODE_LITERAL | TEGU_ENCODE_BARE, "3 0");
        check_round_trip(t, "hello\n日 hell ooo  he", 22);
        check_round_trip(t, "  he", 4);
        assert_int_equal(tegu_tokenizer_size(t), 18);
        assert_int_equal(tegu_tokenizer_bos(t), 1);
        assert_int_equal(tegu_tokenizer_eos(t), 2);
        assert_int_equal(tegu_tokenizer_find(t, "▁hello", 8), 13);
        assert_int_equal(tegu_tokenizer_find(t, "hello", 5), -1);
        tegu_tokenizer_close(t);
    }
}

static void leading_space_goes_only_after_nothing_or_bos(void **state)
{
    tegu_tokenizer *t = open_json(state, LLAMA2("[]"));
    size_t length;
    assert_memory_equal(tegu_tokenizer_decode(t, -1, 13, &length), "hello", 5);
    assert_int_equal(length, 5);
    tegu_tokenizer_decode(t, 1, 13, &length);
    assert_int_equal(length, 5);
    assert_memory_equal(tegu_tokenizer_decode(t, 2, 13, &length), " hello", 6);
    assert_int_equal(length, 6);
    static const int32_t silent[] = {0, 1, 2, -1, 18, INT32_MIN, INT32_MAX};
    for (int i = 0; i < 7; i++) {
        assert_non_null(tegu_tokenizer_decode(t, 13, silent[i], &length));
        assert_int_equal(length, 0);
    }
    assert_memory_equal(tegu_tokenizer_token(t, 13, &length), "▁hello", 8);
    assert_int_equal(length, 8);
    assert_null(tegu_tokenizer_token(t, 18, &length));
    assert_null(tegu_tokenizer_token(t, -1, &length));
    tegu_tokenizer_close(t);
}

static void llama3_style_takes_whole_words_before_merges(void **state)
{
    static const char format[] =
        "{\"added_tokens\":[{\"id\":9,\"content\":\"<|begin_of_text|>\","
        "\"special\":true}],\"pre_tokenizer\":{\"type\":\"Sequence\","
        "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
        "\"\\\\p{N}{1,3}| ?\\\\p{L}+|\\\\s+\"},\"behavior\":\"Isolated\","
        "\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
        "\"use_regex\":false}]},\"decoder\":{\"type\":\"ByteLevel\"},"
        "\"post_processor\":{\"type\":\"Sequence\",\"processors\":["
        "{\"type\":\"ByteLevel\"},{\"type\":\"TemplateProcessing\",\"single\":"
        "[{\"SpecialToken\":{\"id\":\"b\",\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":"
        "{\"b\":{\"id\":\"b\",\"ids\":[9]}}}]},\"model\":{\"type\":\"BPE\","
        "\"ignore_merges\":%s,\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"Ġ\":3,"
        "\"ab\":4,\"abc\":5,\"Ã\":6,\"©\":7,\"bc\":8},"
        "\"merges\":[\"a b\",\"b c\"]}}";
    char json[2000];
    snprintf(json, sizeof json, format, "true");
    tegu_tokenizer *t = open_json(state, json);
    check_ids(t, "abc abc", 0, "9 5 3 4 2");
    check_ids(t, "bcé", 0, "9 8 6 7");
    assert_int_equal(tegu_tokenizer_bos(t), 9);
    assert_int_equal(tegu_tokenizer_eos(t), -1);
    tegu_tokenizer_close(t);
    snprintf(json, sizeof json, format, "false");
    t = open_json(state, json);
    check_ids(t, "abc abc", 0, "9 4 2 3 4 2");
    check_round_trip(t, "abc é ab", 9);
    tegu_tokenizer_close(t);
}

static void word_prefix_and_suffix_are_part_of_tokens(void **state)
{
    tegu_tokenizer *t = open_json(
        state, "{\"model\":{\"type\":\"BPE\",\"continuing_subword_prefix\":"
               "\"##\",\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0,"
               "\"##b\":1,\"ab\":2,\"##b</w>\":3,\"ab</w>\":4,\"a</w>\":5},"
               "\"merges\":[\"a ##b\",\"a ##b</w>\"]}}");
    check_ids(t, "ab", 0, "4");
    check_ids(t, "a", 0, "5");
    check_ids(t, "abb", 0, "2 3");
    tegu_tokenizer_close(t);
}

static void added_tokens_are_found_by_their_rules(void **state)
{
    static const struct {
        const char *tokens, *text, *expected;
    } rows[] = {
        {"{\"id\":10,\"content\":\"<x>\"}", "a<x>b", "1 10 2"},
        {"{\"id\":10,\"content\":\"<x>\"}", "<x><x>", "10 10"},
        {"{\"id\":10,\"content\":\"<x>\"}", "a <x> b", "1 0 10 0 2"},
        {"{\"id\":10,\"content\":\"<x>\",\"lstrip\":true}", "a \t<x> b",
         "1 10 0 2"},
        {"{\"id\":10,\"content\":\"<x>\",\"rstrip\":true}", "a <x> \n b",
         "1 0 10 2"},
        {"{\"id\":10,\"content\":\"<x>\",\"lstrip\":true,\"rstrip\":true}",
         "  <x>  <x>", "10 10"},
        {"{\"id\":10,\"content\":\"ab\",\"single_word\":true}", "ab", "10"},
        {"{\"id\":10,\"content\":\"ab\",\"single_word\":true}", "cab", "3 1 2"},
        {"{\"id\":10,\"content\":\"ab\",\"single_word\":true}", "abc", "1 2 3"},
        {"{\"id\":10,\"content\":\"ab\",\"single_word\":true}", " ab c",
         "0 10 0 3"},
        {"{\"id\":10,\"content\":\"ab\"},{\"id\":11,\"content\":\"abc\"}",
         "ababc", "10 11"},
        {"{\"id\":10,\"content\":\"abc\"},{\"id\":11,\"content\":\"bb\"}",
         "aabb", "1 1 11"},
        {"{\"id\":10,\"content\":\"AB\",\"normalized\":true}", "cAb", "3 10"},
        {"{\"id\":10,\"content\":\"AB\"}", "cAbAB", "3 1 2 10"},
        {"{\"id\":2,\"content\":\"b\"}", "ab", "1 2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[1000];
        snprintf(json, sizeof json,
                 "{\"added_tokens\":[%s],\"normalizer\":{\"type\":"
                 "\"Lowercase\"},\"model\":{\"vocab\":{\" \":0,\"a\":1,"
                 "\"b\":2,\"c\":3},\"merges\":[]}}",
                 rows[i].tokens);
        tegu_tokenizer *t = open_json(state, json);
        check_ids(t, rows[i].text, 0, rows[i].expected);
        tegu_tokenizer_close(t);
    }
}

static void check_encode_error(const tegu_tokenizer *t, const char *text,
                               size_t size, unsigned flags, tegu_status status,
                               const char *message)
{
    tegu_ids ids = {NULL, 123};
    tegu_reason why = {""};
    assert_int_equal(tegu_tokenizer_encode(t, text, size, flags, &ids, &why),
                     status);
    assert_string_equal(why.text, message);
    assert_int_equal(ids.count, 123);
}

static void text_that_cannot_be_encoded_is_refused(void **state)
{
    static const char *const wrong[] = {"a\xff", "a\xc3", "a\xc0\x80",
                                        "a\xed\xa0\x80", "a\xf4\x90\x80\x80"};
    tegu_tokenizer *t =
        open_json(state, "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}");
    for (int i = 0; i < 5; i++)
        check_encode_error(t, wrong[i], strlen(wrong[i]), 0,
                           TEGU_STATUS_ARGUMENT,
                           "the text is not UTF-8 at byte 1");
    check_encode_error(t, "aé", 3, 0, TEGU_STATUS_UNSUPPORTED,
                       "the vocabulary has no token for 'é'");
    check_encode_error(t, NULL, 1, 0, TEGU_STATUS_ARGUMENT,
                       "the text must be below 1 GiB and not NULL");
    check_encode_error(t, "a", 1, 8, TEGU_STATUS_ARGUMENT,
                       "tegu_tokenizer_encode: invalid argument");
    check_ids(t, "aa", 0, "0 0");
    tegu_ids none = encode(t, NULL, 0, 0);
    assert_int_equal(none.count, 0);
    free(none.data);
    tegu_tokenizer_close(t);
}

static void zero_bytes_are_text(void **state)
{
    tegu_tokenizer *t = open_json(
        state, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space"
               "\":false},\"model\":{\"vocab\":{\"a\":0,\"Ā\":1},"
               "\"merges\":[]},\"decoder\":{\"type\":\"ByteLevel\"}}");
    check_round_trip(t, "a\0\0a", 4);
    tegu_tokenizer_close(t);
}

static void config_beside_the_file_names_bos_and_eos(void **state)
{
    static const char json[] =
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<s>\"},"
        "{\"id\":1,\"content\":\"</s>\"}],"
        "\"model\":{\"vocab\":{\"x\":2},\"merges\":[]}}";
    static const char config[] =
        "{\"bos_token\":null,\"eos_token\":{\"content\":\"x\"}}";
    write_file(state, "tokenizer_config.json", config, strlen(config));
    tegu_tokenizer *t = open_json(state, json);
    assert_int_equal(tegu_tokenizer_bos(t), -1);
    assert_int_equal(tegu_tokenizer_eos(t), 2);
    tegu_tokenizer_close(t);
    write_file(state, "tokenizer_config.json", "{\"bos_token\":\"x\"}", 17);
    t = open_path(*state);
    assert_int_equal(tegu_tokenizer_bos(t), 2);
    assert_int_equal(tegu_tokenizer_eos(t), 1);
    tegu_tokenizer_close(t);
    remove(write_file(state, "tokenizer_config.json", "", 0));
    t = open_path(*state);
    assert_int_equal(tegu_tokenizer_bos(t), 0);
    assert_int_equal(tegu_tokenizer_eos(t), 1);
    tegu_tokenizer_close(t);
    remove(write_file(state, "tokenizer.json", "", 0));
}

static void folders_may_hold_the_gpt2_pair(void **state)
{
    static const char vocab[] = "{\"a\":0,\"b\":1,\"Ġ\":2,\"ab\":3,"
                                "\"Ġab\":4,\"<|endoftext|>\":5}";
    static const char merges[] = "#version: 0.2\na b\r\nĠ ab\n\n";
    write_file(state, "vocab.json", vocab, strlen(vocab));
    write_file(state, "merges.txt", merges, strlen(merges));
    tegu_tokenizer *t = open_path(*state);
    check_ids(t, "ab ab<|endoftext|>", 0, "3 4 5");
    check_round_trip(t, "ab ab a", 7);
    assert_int_equal(tegu_tokenizer_bos(t), 5);
    assert_int_equal(tegu_tokenizer_eos(t), 5);
    tegu_tokenizer_close(t);
    remove(write_file(state, "vocab.json", "", 0));
}

/* ---- llama2.c ---- */

static void llama2c_merges_the_best_score_first(void **state)
{
    static const struct {
        float score;
        const char *text;
    } tokens[] = {{0, "<unk>"}, {0, "\n<s>\n"}, {0, "\n</s>\n"}, {-5, " "},
                  {-5, "a"},    {-5, "b"},      {-2, "ab"},      {-1, "ba"},
                  {-1, " a"},   {0, "<0xC3>"},  {0, "<0xA9>"}};
    char file[400];
    int32_t longest = 6, length;
    size_t at = 4;
    memcpy(file, &longest, 4);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        length = (int32_t)strlen(tokens[i].text);
        memcpy(file + at, &tokens[i].score, 4);
        memcpy(file + at + 4, &length, 4);
        memcpy(file + at + 8, tokens[i].text, (size_t)length);
        at += 8 + (size_t)length;
    }
    tegu_tokenizer *t = open_path(write_file(state, "tok.bin", file, at));
    check_ids(t, "", 0, "1");
    check_ids(t, "ab", 0, "1 8 5");    /* " a" beats "ab" */
    check_ids(t, "bab", 0, "1 3 7 5"); /* "ba" beats "ab" */
    check_ids(t, "bba", TEGU_ENCODE_BARE, "3 5 7");
    check_ids(t, "é", 0, "1 3 9 10");
    check_round_trip(t, "ab ba é  b", 11);
    tegu_tokenizer_close(t);
}

/* ---- real files ---- */

static const int32_t *tensor(const char *file, const json_t *header,
                             size_t data, const char *name, size_t *count)
{
    const json_t *offsets =
        json_object_get(json_object_get(header, name), "data_offsets");
    size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0));
    size_t end = (size_t)json_integer_value(json_array_get(offsets, 1));
    assert_true(end > begin);
    *count = (end - begin) / 4;
    return (const int32_t *)(const void *)(file + data + begin);
}

static void check_prompts(const tegu_tokenizer *t, const json_t *header,
                          const int32_t *expected, size_t count)
{
    const json_t *meta = json_object_get(header, "__metadata__");
    json_t *prompts = json_loads(
        json_string_value(json_object_get(meta, "prompts")), 0, NULL);
    assert_int_equal(json_array_size(prompts) * 32, count);
    for (size_t i = 0; i < json_array_size(prompts); i++) {
        const char *text = json_string_value(json_array_get(prompts, i));
        tegu_ids ids = encode(t, text, strlen(text), 0);
        assert_true(ids.count >= 32);
        assert_memory_equal(ids.data, expected + i * 32, 32 * 4);
        free(ids.data);
        check_round_trip(t, text, strlen(text));
    }
    json_decref(prompts);
}

static void wiki5m_ids_equal_the_reference(void **state)
{
    (void)state;
    static const char text_path[] = SHARED "corpora/wikitext2_valid.txt";
    static const char reference[] = SHARED "wiki5m/reference.safetensors";
    need_file(text_path);
    need_file(reference);
    tegu_tokenizer *t = open_path(SHARED "wiki5m");
    size_t size, text_size, count;
    char *file = read_file(reference, &size);
    char *text = read_file(text_path, &text_size);
    uint64_t length;
    memcpy(&length, file, 8);
    json_t *header = json_loadb(file + 8, (size_t)length, 0, NULL);
    assert_non_null(header);
    size_t data = 8 + (size_t)length;
    const int32_t *valid = tensor(file, header, data, "valid_ids", &count);
    tegu_ids ids = encode(t, text, text_size, 0);
    assert_int_equal(count, 20481);
    assert_true(ids.count >= count);
    assert_memory_equal(ids.data, valid, count * 4);
    const int32_t *prompts = tensor(file, header, data, "prompt_ids", &count);
    check_prompts(t, header, prompts, count);
    check_round_trip(t, text, text_size);
    assert_int_equal(tegu_tokenizer_size(t), 2048);
    assert_int_equal(tegu_tokenizer_bos(t), -1);
    assert_int_equal(tegu_tokenizer_eos(t), 0);
    json_decref(header);
    free(ids.data);
    free(text);
    free(file);
    tegu_tokenizer_close(t);
}

static void stories260k_ids_equal_llama2c(void **state)
{
    (void)state;
    need_file(SHARED "stories260K/tok512.bin");
    tegu_tokenizer *t = open_path(SHARED "stories260K/tok512.bin");
    check_ids(t, "", 0, "1");
    check_ids(t, "Once upon a", TEGU_ENCODE_BARE, "403 407 261");
    assert_int_equal(tegu_tokenizer_size(t), 512);
    assert_int_equal(tegu_tokenizer_bos(t), 1);
    assert_int_equal(tegu_tokenizer_eos(t), 2);
    check_file_round_trip(t, SHARED "corpora/tinystories_sample.txt");
    check_file_round_trip(t, SHARED "corpora/tinyshakespeare.txt");
    tegu_tokenizer_close(t);
}

static void gpt2_ids_are_those_of_gpt2(void **state)
{
    (void)state;
    need_file(SHARED "tokenizers/gpt2_vocab.json");
    tegu_tokenizer *t = NULL;
    assert_int_equal(
        tegu_tokenizer_open_gpt2(SHARED "tokenizers/gpt2_vocab.json",
                                 SHARED "tokenizers/gpt2_merges.txt", &t, NULL),
        0);
    check_ids(t, "Hello world", 0, "15496 995");
    check_ids(t, "Hello, I'm a language model,", 0,
              "15496 11 314 1101 257 3303 2746 11");
    check_ids(t, "x<|endoftext|>", 0, "87 50256");
    check_file_round_trip(t, SHARED "corpora/tinyshakespeare.txt");
    check_file_round_trip(t, SHARED "corpora/wikitext2_test.txt");
    tegu_tokenizer_close(t);
}

static void whisper_puts_its_special_tokens_around(void **state)
{
    (void)state;
    need_file(SHARED "tokenizers/tokenizer.json");
    tegu_tokenizer *t = open_path(SHARED "tokenizers/tokenizer.json");
    check_ids(t, "Hello", 0, "50258 50363 15947 50257");
    check_ids(t, "<|en|>", TEGU_ENCODE_BARE, "50259");
    check_file_round_trip(t, SHARED "corpora/tinyshakespeare.txt");
    assert_int_equal(tegu_tokenizer_eos(t), 50257);
    tegu_tokenizer_close(t);
}

/* ---- size and threads ---- */

/* A quadratic merge would take hours here. */
static void long_words_take_little_time(void **state)
{
    tegu_tokenizer *t =
        open_json(state, "{\"model\":{\"vocab\":{\"a\":0,\"aa\":1,\"aaaa\":2},"
                         "\"merges\":[\"a a\",\"aa aa\"]}}");
    size_t size = 2000000;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'a', size);
    tegu_ids ids = encode(t, text, size, 0);
    assert_int_equal(ids.count, size / 4);
    assert_int_equal(ids.data[size / 4 - 1], 2);
    free(ids.data);
    free(text);
    tegu_tokenizer_close(t);
}

typedef struct shared_use {
    const tegu_tokenizer *t;
    tegu_ids ids;
} shared_use;

static void *encode_often(void *data)
{
    shared_use *use = data;
    static const char text[] = "hello hello\n日 oh hell";
    for (int i = 0; i < 500; i++) {
        free(use->ids.data);
        tegu_tokenizer_encode(use->t, text, sizeof text - 1, 0, &use->ids,
                              NULL);
    }
    return NULL;
}

static void threads_may_share_a_tokenizer(void **state)
{
    tegu_tokenizer *t = open_json(
        state,
        LLAMA2("[\"▁ h\",\"h e\",\"l l\",\"▁h e\",\"ll o\",\"▁he llo\"]"));
    shared_use uses[4] = {
        {t, {NULL, 0}}, {t, {NULL, 0}}, {t, {NULL, 0}}, {t, {NULL, 0}}};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, encode_often, &uses[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_true(uses[0].ids.count > 5);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(uses[i].ids.count, uses[0].ids.count);
        assert_memory_equal(uses[i].ids.data, uses[0].ids.data,
                            uses[0].ids.count * 4);
    }
    for (int i = 0; i < 4; i++)
        free(uses[i].ids.data);
    tegu_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentencepiece_style_follows_llama2),
        cmocka_unit_test(leading_space_goes_only_after_nothing_or_bos),
        cmocka_unit_test(llama3_style_takes_whole_words_before_merges),
        cmocka_unit_test(word_prefix_and_suffix_are_part_of_tokens),
        cmocka_unit_test(added_tokens_are_found_by_their_rules),
        cmocka_unit_test(text_that_cannot_be_encoded_is_refused),
        cmocka_unit_test(zero_bytes_are_text),
        cmocka_unit_test(config_beside_the_file_names_bos_and_eos),
        cmocka_unit_test(folders_may_hold_the_gpt2_pair),
        cmocka_unit_test(llama2c_merges_the_best_score_first),
        cmocka_unit_test(wiki5m_ids_equal_the_reference),
        cmocka_unit_test(stories260k_ids_equal_llama2c),
        cmocka_unit_test(gpt2_ids_are_those_of_gpt2),
        cmocka_unit_test(whisper_puts_its_special_tokens_around),
        cmocka_unit_test(long_words_take_little_time),
        cmocka_unit_test(threads_may_share_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
