/* SPDX-License-Identifier: Apache-2.0 */
/* Malformed tokenizers: each gives its status and one line that begins with
 * the path, ": error: " and the text of its row. */
#include "tests/unit/runtime/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Statuses by initials, to keep the tables narrow. */
enum {
    F = TEGU_STATUS_FORMAT,
    U = TEGU_STATUS_UNSUPPORTED,
    O = TEGU_STATUS_OPEN
};

typedef struct bad {
    int status;
    const char *json, *message;
} bad;

static void check_bad(const char *path, int status, const char *message)
{
    char expected[600];
    tegu_tokenizer *t = NULL;
    tegu_reason why = {""};
    snprintf(expected, sizeof expected, "%s: error: %s", path, message);
    int found = (int)tegu_tokenizer_open(path, &t, &why);
    if (found != status || strncmp(why.text, expected, strlen(expected)) != 0)
        fail_msg("status %d '%s', expected %d '%s'", found, why.text, status,
                 expected);
    assert_null(t);
    assert_int_equal(tegu_tokenizer_open(path, &t, NULL), status);
}

static void check_table(void **state, const bad *rows, size_t count,
                        const char *before, const char *after)
{
    for (size_t i = 0; i < count; i++) {
        char json[3000];
        int size =
            snprintf(json, sizeof json, "%s%s%s", before, rows[i].json, after);
        check_bad(write_file(state, "t.json", json, (size_t)size),
                  rows[i].status, rows[i].message);
    }
}

#define CHECK(rows, before, after)                                             \
    check_table(state, rows, sizeof(rows) / sizeof *(rows), before, after)

static void files_that_are_not_a_json_object(void **state)
{
    static const bad rows[] = {
        {F, "", "line 1 column 0: '[' or '{' expected near end of file"},
        {F, "{", "line 1 column 1: string or '}' expected near end of file"},
        {F, "[]", "the file must be a JSON object"},
        {F, "17", "line 1 column 2: '[' or '{' expected near '17'"},
        {F, "{\"a\":1,}", "line 1 column 8: string or '}' expected near '}'"},
        {F, "{\n\"a\" 1}", "line 2 column 5: ':' expected near '1'"},
        {F, "{\"model\":{},\"model\":{}}", "line 1 column 19: duplicate"},
        {F, "{\"a\":\"\xff\"}", "line 1 column 6: unable to decode byte 0xff"},
        {F, "{\"a\":\"\\ud800\"}", "line 1 column 13: invalid Unicode"},
        {F, "{} x", "line 1 column 4: end of file expected near 'x'"},
    };
    CHECK(rows, "", "");
    char deep[20000];
    memset(deep, '[', sizeof deep);
    check_bad(write_file(state, "t.json", deep, sizeof deep), F,
              "line 1 column 2049: maximum parsing depth reached near '['");
}

static void models_that_are_wrong(void **state)
{
    static const bad rows[] = {
        {F, "", "model must be an object"},
        {F, "\"model\":null", "model must be an object"},
        {F, "\"model\":[]", "model must be an object"},
        {F, "\"model\":{\"type\":7}", "model.type must be a string"},
        {U, "\"model\":{\"type\":\"Unigram\"}",
         "the model 'Unigram' is not supported, only BPE"},
        {F, "\"model\":{\"type\":\"BPE\"}",
         "model.vocab must be an object of tokens and their ids"},
        {F, "\"model\":{\"vocab\":{},\"merges\":[]}",
         "model.vocab must be an object of tokens and their ids"},
        {F, "\"model\":{\"vocab\":[\"a\"]}",
         "model.vocab must be an object of tokens and their ids"},
    };
    CHECK(rows, "{", "}");
}

static void vocabularies_and_merges_that_are_wrong(void **state)
{
    static const bad rows[] = {
        {F, "{\"a\":\"0\"}", "model.vocab: the id of 'a' must be an integer"},
        {F, "{\"a\":0.5}", "model.vocab: the id of 'a' must be an integer"},
        {F, "{\"a\":-1}",
         "model.vocab: the id -1 of 'a' is outside 0..4194303"},
        {F, "{\"a\":4194304}",
         "model.vocab: the id 4194304 of 'a' is outside 0..4194303"},
        {F, "{\"a\":4294967296}",
         "model.vocab: the id 4294967296 of 'a' is outside"},
        {F, "{\"a\":99999999999999999999}",
         "line 1 column 43: too big integer"},
        {F, "{\"a\":3,\"b\":3}", "model.vocab: 'b' and 'a' both have the id 3"},
        {F, "{\"a\":3,\"a\":4}", "line 1 column 28: duplicate object key"},
        {F, "{\"a\":0}", "model.merges must be an array"},
        {F, "{\"a\":0},\"merges\":{}", "model.merges must be an array"},
        {F, "{\"a\":0},\"merges\":[7]",
         "model.merges[0]: a merge must be \"left right\" or"},
        {F, "{\"a\":0},\"merges\":[[\"a\"]]",
         "model.merges[0]: a merge must be \"left right\" or"},
        {F, "{\"a\":0},\"merges\":[[\"a\",1]]",
         "model.merges[0]: a merge must be \"left right\" or"},
        {F, "{\"a\":0},\"merges\":[[\"a\",\"a\",\"a\"]]",
         "model.merges[0]: a merge must be \"left right\" or"},
        {F, "{\"a\":0},\"merges\":[\"aa\"]",
         "model.merges[0]: the merge 'aa' must be two tokens with one space"},
        {F, "{\"a\":0},\"merges\":[\"a a a\"]",
         "model.merges[0]: the merge 'a a a' must be two tokens"},
        {F, "{\"a\":0},\"merges\":[\" a\"]",
         "model.merges[0]: the merge ' a' must be two tokens"},
        {F, "{\"a\":0},\"merges\":[\"\"]",
         "model.merges[0]: the merge '' must be two tokens"},
        {F, "{\"a\":0,\"aa\":1},\"merges\":[\"a a\",\"a b\"]",
         "model.merges[1]: the merge's token 'b' is not in the vocabulary"},
        {F, "{\"a\":0},\"merges\":[\"a a\"]",
         "model.merges[0]: the merged token 'aa' is not in the vocabulary"},
        {F, "{\"a\":0},\"merges\":[[\"\",\"a\"]]",
         "model.merges[0]: the merge's token '' is not in the vocabulary"},
        {F, "{\"a\":0},\"merges\":[],\"unk_token\":\"b\"",
         "model.unk_token 'b' is not in the vocabulary"},
        {F, "{\"a\":0},\"merges\":[],\"unk_token\":0",
         "model.unk_token must be a string"},
        {F, "{\"a\":0},\"merges\":[],\"byte_fallback\":\"yes\"",
         "model.byte_fallback must be true or false"},
        {F, "{\"a\":0},\"merges\":[],\"ignore_merges\":1",
         "model.ignore_merges must be true or false"},
        {F, "{\"a\":0},\"merges\":[],\"end_of_word_suffix\":1",
         "model.end_of_word_suffix must be a string"},
        {U, "{\"a\":0},\"merges\":[],\"dropout\":0.1",
         "model.dropout would make ids random: not supported"},
    };
    CHECK(rows, "{\"model\":{\"vocab\":", "}}");
}

#define MODEL "{\"model\":{\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]},"

static void added_tokens_that_are_wrong(void **state)
{
    static const bad rows[] = {
        {F, "7", "added_tokens must be an array"},
        {F, "[7]", "added_tokens[0] must be an object"},
        {F, "[{}]", "added_tokens[0].id must be an integer"},
        {F, "[{\"id\":-5,\"content\":\"c\"}]",
         "added_tokens[0].id is -5, outside 0..4194303"},
        {F, "[{\"id\":2}]", "added_tokens[0].content must be a string"},
        {F, "[{\"id\":2,\"content\":\"\"}]",
         "added_tokens[0].content is empty"},
        {F, "[{\"id\":2,\"content\":\"a\"}]",
         "added_tokens[0]: 'a' has the id 0 in the vocabulary and 2 here"},
        {F, "[{\"id\":1,\"content\":\"c\"}]",
         "added_tokens[0]: 'c' and 'b' both have the id 1"},
        {F, "[{\"id\":2,\"content\":\"c\"},{\"id\":2,\"content\":\"d\"}]",
         "added_tokens[1]: 'd' and 'c' both have the id 2"},
        {F, "[{\"id\":2,\"content\":\"c\",\"special\":3}]",
         "added_tokens[0].special must be true or false"},
    };
    CHECK(rows, MODEL "\"added_tokens\":", "}");
}

static void normalizers_that_are_wrong(void **state)
{
    static const bad rows[] = {
        {F, "[]", "normalizer must be an object"},
        {F, "{}", "normalizer.type must be a string"},
        {U, "{\"type\":\"BertNormalizer\"}",
         "normalizer: the normalizer 'BertNormalizer' is not supported"},
        {F, "{\"type\":\"Sequence\"}",
         "normalizer.normalizers must be an array"},
        {F, "{\"type\":\"Sequence\",\"normalizers\":[1]}",
         "normalizer.normalizers[0] must be an object"},
        {U,
         "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
         "{\"type\":\"Odd\\nname\"}]}",
         "normalizer.normalizers[1]: the normalizer 'Odd?name' is not"},
        {F, "{\"type\":\"Prepend\"}", "normalizer.prepend must be a string"},
        {F, "{\"type\":\"Replace\",\"content\":\"\"}",
         "normalizer.pattern must be {\"String\": text} or"},
        {F, "{\"type\":\"Replace\",\"content\":\"\",\"pattern\":\" \"}",
         "normalizer.pattern must be {\"String\": text} or"},
        {F, "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"}}",
         "normalizer.content must be a string"},
        {F,
         "{\"type\":\"Replace\",\"content\":\"\",\"pattern\":"
         "{\"Regex\":\"(a\"}}",
         "normalizer: the pattern '(a' is wrong at character 2: missing"},
    };
    CHECK(rows, MODEL "\"normalizer\":", "}");
}

static void pre_tokenizers_that_are_wrong(void **state)
{
    static const bad rows[] = {
        {F, "true", "pre_tokenizer must be an object"},
        {U, "{\"type\":\"Whitespace\"}",
         "pre_tokenizer: the pre-tokenizer 'Whitespace' is not supported"},
        {F, "{\"type\":\"ByteLevel\",\"use_regex\":1}",
         "pre_tokenizer.use_regex must be true or false"},
        {F, "{\"type\":\"Split\",\"behavior\":\"Odd\"}",
         "pre_tokenizer: unknown behavior 'Odd'"},
        {F, "{\"type\":\"Split\",\"behavior\":\"Removed\"}",
         "pre_tokenizer.pattern must be {\"String\": text} or"},
        {F,
         "{\"type\":\"Split\",\"behavior\":\"Removed\",\"pattern\":"
         "{\"Regex\":\"[z-a]\"}}",
         "pre_tokenizer: the pattern '[z-a]' is wrong at character 3: range"},
        {F,
         "{\"type\":\"Split\",\"behavior\":\"Removed\",\"pattern\":"
         "{\"Regex\":\"\\\\p{Nonsense}\"}}",
         "pre_tokenizer: the pattern '\\p{Nonsense}' is wrong"},
        {F,
         "{\"type\":\"Split\",\"behavior\":\"Removed\",\"pattern\":"
         "{\"Regex\":\"\\\\C\"}}",
         "pre_tokenizer: the pattern '\\C' is wrong"},
        {F, "{\"type\":\"Digits\",\"individual_digits\":\"x\"}",
         "pre_tokenizer.individual_digits must be true or false"},
        {F, "{\"type\":\"Metaspace\"}",
         "pre_tokenizer.replacement must be a string"},
        {F, "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}",
         "pre_tokenizer.replacement must be one character"},
        {F, "{\"type\":\"Metaspace\",\"replacement\":\"\"}",
         "pre_tokenizer.replacement must be one character"},
        {F,
         "{\"type\":\"Metaspace\",\"replacement\":\"_\","
         "\"prepend_scheme\":\"last\"}",
         "pre_tokenizer: unknown prepend_scheme 'last'"},
    };
    CHECK(rows, MODEL "\"pre_tokenizer\":", "}");
}

static void decoders_that_are_wrong(void **state)
{
    static const bad rows[] = {
        {U, "{\"type\":\"WordPiece\"}",
         "decoder: the decoder 'WordPiece' is not supported"},
        {F, "{\"type\":\"Strip\",\"content\":\" \",\"start\":1.5}",
         "decoder.start must be an integer"},
        {F, "{\"type\":\"Strip\",\"content\":\" \",\"start\":-1}",
         "decoder.start is -1, outside 0..1048576"},
        {U,
         "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":"
         "\"Strip\",\"content\":\" \",\"start\":0,\"stop\":1}]}",
         "decoder.decoders[1]: stripping the end of the whole text"},
    };
    CHECK(rows, MODEL "\"decoder\":", "}");
}

static void post_processors_that_are_wrong(void **state)
{
    static const bad rows[] = {
        {F, "1", "post_processor must be an object"},
        {U, "{\"type\":\"BertProcessing\"}",
         "the post-processor 'BertProcessing' is not supported"},
        {F, "{\"type\":\"Sequence\"}",
         "post_processor.processors must be an array"},
        {F, "{\"type\":\"TemplateProcessing\"}",
         "post_processor.single must be an array"},
        {F, "{\"type\":\"TemplateProcessing\",\"single\":[]}",
         "post_processor.single has no Sequence"},
        {F, "{\"type\":\"TemplateProcessing\",\"single\":[{}]}",
         "post_processor.single[0] must be one Sequence or a"},
        {F,
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
         "{\"id\":\"c\"}}]}",
         "post_processor.special_tokens: 'c' has no ids"},
        {F,
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
         "{\"id\":\"c\"}}],\"special_tokens\":{\"c\":{\"ids\":[77]}}}",
         "post_processor.special_tokens: 'c' names an id that is not in"},
        {F,
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
         "{\"id\":\"c\"}}],\"special_tokens\":{\"c\":{\"ids\":[-1]}}}",
         "post_processor.special_tokens: 'c' names an id that is not in"},
    };
    CHECK(rows, MODEL "\"post_processor\":", "}");
}

static void sequences_nested_too_deeply(void **state)
{
    char json[6000] = MODEL "\"normalizer\":";
    for (int i = 0; i < 20; i++)
        strcat(json, "{\"type\":\"Sequence\",\"normalizers\":[");
    strcat(json, "{\"type\":\"NFC\"}");
    for (int i = 0; i < 20; i++)
        strcat(json, "]}");
    strcat(json, "}");
    char path[512];
    snprintf(path, sizeof path, "%s",
             write_file(state, "t.json", json, strlen(json)));
    tegu_tokenizer *t = NULL;
    tegu_reason why = {""};
    assert_int_equal(tegu_tokenizer_open(path, &t, &why), F);
    assert_non_null(strstr(why.text, ": more than 16 sequences deep"));
}

static void configs_beside_that_are_wrong(void **state)
{
    static const char model[] = MODEL "\"added_tokens\":[]}";
    static const struct {
        const char *config, *message;
    } rows[] = {
        {"{\"bos_token\":7}", "bos_token must be a string"},
        {"{\"eos_token\":\"zzz\"}", "eos_token 'zzz' is not in the vocabulary"},
        {"{\"eos_token\":{\"content\":[]}}", "eos_token must be a string"},
        {"nonsense", "line 1 column 8: '[' or '{' expected near 'nonsense'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char config[512], expected[600];
        snprintf(config, sizeof config, "%s",
                 write_file(state, "tokenizer_config.json", rows[i].config,
                            strlen(rows[i].config)));
        snprintf(expected, sizeof expected, "%s: error: %s", config,
                 rows[i].message);
        tegu_tokenizer *t = NULL;
        tegu_reason why = {""};
        assert_int_equal(
            tegu_tokenizer_open(
                write_file(state, "t.json", model, strlen(model)), &t, &why),
            F);
        assert_string_equal(why.text, expected);
        remove(config);
    }
}

static void paths_without_a_tokenizer(void **state)
{
    char path[512];
    check_bad("/nowhere/tokenizer.json", O, "No such file or directory");
    check_bad("/dev/null", O, "not a regular file");
    snprintf(path, sizeof path, "%s", (char *)*state);
    check_bad(path, O, "the folder has no tokenizer.json, nor vocab.json");
    tegu_tokenizer *t = NULL;
    assert_int_equal(tegu_tokenizer_open(NULL, &t, NULL), TEGU_STATUS_ARGUMENT);
    assert_int_equal(tegu_tokenizer_open(path, NULL, NULL),
                     TEGU_STATUS_ARGUMENT);
    tegu_tokenizer_close(NULL);
}

/* ---- llama2.c ---- */

#define HEAD "\x05\0\0\0"
#define TOKEN(score, text) score "\x01\0\0\0" text
#define ZERO "\0\0\0\0"

static void llama2c_files_that_are_wrong(void **state)
{
    static const struct {
        size_t size;
        const char *bytes, *message;
    } rows[] = {
        {0, "", "not a llama2.c tokenizer: the file has 0 bytes"},
        {3, "\0\0\0", "not a llama2.c tokenizer: the file has 3 bytes"},
        {4, ZERO, "not a llama2.c tokenizer: longest token 0"},
        {4, "\xff\xff\xff\xff",
         "not a llama2.c tokenizer: longest token 4294967295"},
        {4, HEAD, "0 tokens, but unknown, bos and eos must be there"},
        {13, HEAD TOKEN(ZERO, "a"),
         "1 tokens, but unknown, bos and eos must be there"},
        {7, HEAD "\0\0\0", "the file ends inside token 0"},
        {12, HEAD ZERO "\x01\0\0\0", "the file ends inside token 0"},
        {20, HEAD TOKEN(ZERO, "a") "\0\0\0\0\0\0\0",
         "the file ends inside token 1"},
        {12, HEAD ZERO ZERO, "token 0 has 0 bytes, the file's limit is 5"},
        {18, HEAD ZERO "\x06\0\0\0abcdef",
         "token 0 has 6 bytes, the file's limit is 5"},
        {13,
         HEAD ZERO "\xff\xff\xff\xff"
                   "a",
         "token 0 has 4294967295 bytes, the file's limit is 5"},
        {13, HEAD TOKEN("\xff\xff\xff\x7f", "a"), "token 0 has no score"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_bad(write_file(state, "t.bin", rows[i].bytes, rows[i].size), F,
                  rows[i].message);
}

/* ---- GPT-2's pair ---- */

static void merges_files_that_are_wrong(void **state)
{
    static const struct {
        const char *merges, *message;
    } rows[] = {
        {"a b\n", "line 1: the merge's token 'b' is not in the vocabulary"},
        {"#version: 0.2\na a\na a\naa\n",
         "line 4: the merge 'aa' must be two tokens with one space between"},
        {"a a\n\n#version: 0.2\n", "line 3: the merge's token '#version:'"},
        {"a  a", "line 1: the merge 'a  a' must be two tokens"},
    };
    char vocab[512], expected[600];
    snprintf(vocab, sizeof vocab, "%s",
             write_file(state, "vocab.txt", "{\"a\":0,\"aa\":1}", 14));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *merges =
            write_file(state, "merges", rows[i].merges, strlen(rows[i].merges));
        tegu_tokenizer *t = NULL;
        tegu_reason why = {""};
        assert_int_equal(tegu_tokenizer_open_gpt2(vocab, merges, &t, &why), F);
        snprintf(expected, sizeof expected, "%s: error: %s", merges,
                 rows[i].message);
        if (strncmp(why.text, expected, strlen(expected)) != 0)
            fail_msg("'%s', expected '%s'", why.text, expected);
        assert_null(t);
    }
    tegu_tokenizer *t = NULL;
    assert_int_equal(tegu_tokenizer_open_gpt2(vocab, "/nowhere", &t, NULL), O);
    assert_int_equal(tegu_tokenizer_open_gpt2("/nowhere", vocab, &t, NULL), O);
    assert_int_equal(tegu_tokenizer_open_gpt2(vocab, NULL, &t, NULL),
                     TEGU_STATUS_ARGUMENT);
}

/* Every prefix of a good file, and the file with every byte changed, is read
 * or refused with a message that begins with the path. */
static void damaged_files_never_crash(void **state)
{
    static const char good[] =
        "{\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true}],"
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
        "\"NFC\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(a|b)+\\\\s\"}"
        ",\"content\":\"\\u2581\"}]},\"pre_tokenizer\":{\"type\":\"Metaspace\","
        "\"replacement\":\"\\u2581\"},\"decoder\":{\"type\":\"ByteFallback\"},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,"
        "\"<0x41>\":3},\"merges\":[\"a b\"],\"unk_token\":\"a\"}}";
    size_t size = sizeof good - 1, opened = 0;
    char text[sizeof good];
    for (size_t i = 0; i < 3 * size; i++) {
        memcpy(text, good, size);
        text[i % size] ^= i < 2 * size ? 1 << (i / size * 4 + i % 4) : 0x20;
        const char *path = write_file(state, "t.json", text,
                                      i < 2 * size ? size : i - 2 * size);
        tegu_tokenizer *t = NULL;
        tegu_reason why = {""};
        if (tegu_tokenizer_open(path, &t, &why) == TEGU_STATUS_OK) {
            tegu_ids ids = {NULL, 0};
            tegu_tokenizer_encode(t, "ab <s> A", 8, 0, &ids, NULL);
            free(ids.data);
            tegu_tokenizer_close(t);
            opened++;
        } else {
            assert_memory_equal(why.text, path, strlen(path));
        }
    }
    assert_true(opened > 10 && opened < 2 * size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_without_a_tokenizer),
        cmocka_unit_test(files_that_are_not_a_json_object),
        cmocka_unit_test(models_that_are_wrong),
        cmocka_unit_test(vocabularies_and_merges_that_are_wrong),
        cmocka_unit_test(added_tokens_that_are_wrong),
        cmocka_unit_test(normalizers_that_are_wrong),
        cmocka_unit_test(pre_tokenizers_that_are_wrong),
        cmocka_unit_test(decoders_that_are_wrong),
        cmocka_unit_test(post_processors_that_are_wrong),
        cmocka_unit_test(sequences_nested_too_deeply),
        cmocka_unit_test(configs_beside_that_are_wrong),
        cmocka_unit_test(llama2c_files_that_are_wrong),
        cmocka_unit_test(merges_files_that_are_wrong),
        cmocka_unit_test(damaged_files_never_crash),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
