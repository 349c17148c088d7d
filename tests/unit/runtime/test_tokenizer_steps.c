/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of tokenizer.json against what Hugging Face's library does, one row
 * per behaviour; expected pieces are joined by '|'. */
#include "tests/unit/runtime/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer_json.h"

typedef struct row {
    const char *rule, *text, *expected;
} row;

static tegu_tokenizer *read_rules(const char *member, const char *rule)
{
    tegu_reason why = {""};
    tegu_tok_source source = {"f", &why};
    json_t *root = json_object();
    json_t *value = json_loads(rule, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    json_object_set_new(root, member, value);
    tegu_tokenizer *t = tegu_tok_create();
    assert_non_null(t);
    if (tegu_tok_read_rules(&source, root, t) != TEGU_STATUS_OK)
        fail_msg("%s: %s", rule, why.text);
    json_decref(root);
    return t;
}

static void join(const tegu_tok_pieces *pieces, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < pieces->count && at < size; i++)
        at += (size_t)snprintf(
            out + at, size - at, "%s%.*s", i ? "|" : "",
            (int)(pieces->spans[i].end - pieces->spans[i].start),
            pieces->text.data + pieces->spans[i].start);
}

static void check(const char *member, const row *r, bool at_start)
{
    char joined[512];
    tegu_tokenizer *t = read_rules(member, r->rule);
    tegu_tok_pieces a = {.count = 0}, b = {.count = 0};
    assert_true(tegu_tok_add_piece(&a, r->text, strlen(r->text)));
    const tegu_tok_steps *steps =
        t->normalizers.count ? &t->normalizers : &t->splitters;
    assert_int_equal(tegu_tok_run(steps, at_start, &a, &b, NULL), 0);
    join(&a, joined, sizeof joined);
    if (strcmp(joined, r->expected) != 0)
        fail_msg("%s on '%s': '%s', expected '%s'", r->rule, r->text, joined,
                 r->expected);
    free(a.text.data);
    free(a.spans);
    free(b.text.data);
    free(b.spans);
    tegu_tokenizer_close(t);
}

#define SPLIT(pattern, behaviour)                                              \
    "{\"type\":\"Split\",\"pattern\":" pattern ",\"behavior\":\"" behaviour    \
    "\",\"invert\":"
#define DASH "{\"String\":\"-\"}"
#define LLAMA3                                                                 \
    "{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" \
    "\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"        \
    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}"
#define METASPACE "{\"type\":\"Metaspace\",\"replacement\":\"▁\""

static void pre_tokenizers_split_as_the_library_does(void **state)
{
    (void)state;
    static const row rows[] = {
        {SPLIT(DASH, "Removed") "false}", "the-final--countdown",
         "the|final|countdown"},
        {SPLIT(DASH, "Isolated") "false}", "the-final--countdown",
         "the|-|final|-|-|countdown"},
        {SPLIT(DASH, "MergedWithPrevious") "false}", "the-final--countdown",
         "the-|final-|-|countdown"},
        {SPLIT(DASH, "MergedWithNext") "false}", "the-final--countdown",
         "the|-final|-|-countdown"},
        {SPLIT(DASH, "Contiguous") "false}", "the-final--countdown",
         "the|-|final|--|countdown"},
        {SPLIT("{\"Regex\":\"[a-z]+\"}", "Removed") "true}", "ab cd-ef",
         "ab|cd|ef"},
        {SPLIT("{\"Regex\":\"[a-z]+\"}", "Isolated") "true}", "ab cd-ef",
         "ab| |cd|-|ef"},
        {SPLIT("{\"String\":\".\"}", "Isolated") "false}", "a.b+", "a|.|b+"},
        {SPLIT("{\"Regex\":\"(?=[A-Z])\"}", "Isolated") "false}", "oneTwoThree",
         "one|Two|Three"},
        {SPLIT(DASH, "Isolated") "false}", "", ""},
        {SPLIT(LLAMA3, "Isolated") "false}", "I'LL pay 12345 $!\n\n  ok  ",
         "I|'LL| pay| |123|45| $!\n\n| | ok|  "},
        {SPLIT(LLAMA3, "Isolated") "false}", "日本語です。été",
         "日本語です|。été"},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":false}",
         "Hello my friend, it's 2\n\nday ",
         "Hello|Ġmy|Ġfriend|,|Ġit|'s|Ġ2|"
         "Ċ|Ċ|day|Ġ"},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", "a  b",
         "Ġa|Ġ|Ġb"},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", " a", "Ġa"},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
         "\"use_regex\":false}",
         "é a\x7f\xc2\xad", "ĠÃ©Ġaġ\xc3\x82\xc5\x83"},
        {"{\"type\":\"Digits\",\"individual_digits\":true}", "Hey 123 you",
         "Hey |1|2|3| you"},
        {"{\"type\":\"Digits\",\"individual_digits\":false}", "Hey 123 you",
         "Hey |123| you"},
        {METASPACE "}", "Hey   friend!", "▁Hey|▁|▁|▁friend!"},
        {METASPACE ",\"prepend_scheme\":\"never\"}", "Hey you", "Hey|▁you"},
        {METASPACE ",\"add_prefix_space\":false}", "Hey you", "Hey|▁you"},
        {METASPACE ",\"prepend_scheme\":\"first\",\"split\":false}", "Hey you",
         "▁Hey▁you"},
        {METASPACE "}", " Hey", "▁Hey"},
        {"{\"type\":\"Sequence\",\"pretokenizers\":["
         "{\"type\":\"Digits\",\"individual_digits\":true},"
         "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}",
         "a 12", "a|Ġ|1|2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check("pre_tokenizer", &rows[i], true);
}

static void first_means_the_start_of_the_text(void **state)
{
    (void)state;
    static const row later = {METASPACE ",\"prepend_scheme\":\"first\"}",
                              "Hey you", "Hey|▁you"};
    static const row always = {METASPACE "}", "Hey you", "▁Hey|▁you"};
    check("pre_tokenizer", &later, false);
    check("pre_tokenizer", &always, false);
}

static void normalizers_rewrite_as_the_library_does(void **state)
{
    (void)state;
    static const row rows[] = {
        {"{\"type\":\"NFC\"}", "e\xcc\x81ﬁ", "éﬁ"},
        {"{\"type\":\"NFD\"}", "é", "e\xcc\x81"},
        {"{\"type\":\"NFKC\"}", "e\xcc\x81ﬁ①", "éfi1"},
        {"{\"type\":\"NFKD\"}", "éﬁ",
         "e\xcc\x81"
         "fi"},
        {"{\"type\":\"Lowercase\"}", "ÀBΣİß", "àbσi\xcc\x87ß"},
        {"{\"type\":\"Prepend\",\"prepend\":\"▁\"}", "a", "▁a"},
        {"{\"type\":\"Prepend\",\"prepend\":\"▁\"}", "▁a", "▁▁a"},
        {"{\"type\":\"Prepend\",\"prepend\":\"▁\"}", "", ""},
        {"{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
         "\"content\":\"▁\"}",
         " a  b", "▁a▁▁b"},
        {"{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}|^a\"},"
         "\"content\":\"\"}",
         "a  b c   ", "b c"},
        {"{\"type\":\"Sequence\",\"normalizers\":["
         "{\"type\":\"Prepend\",\"prepend\":\"▁\"},"
         "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
         "\"content\":\"▁\"}]}",
         "a b", "▁a▁b"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check("normalizer", &rows[i], true);
}

#define LLAMA_DECODER                                                          \
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\","              \
    "\"pattern\":{\"String\":\"▁\"},\"content\":\" \"},"                     \
    "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"                         \
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}"

static void decoders_write_tokens_as_the_library_does(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *token, *first, *later;
    } rows[] = {
        {"{\"type\":\"ByteLevel\"}", "ĠÃ©Ċ", " é\n", " é\n"},
        {"{\"type\":\"ByteLevel\"}", "a b é", "a b é", "a b é"},
        {LLAMA_DECODER, "▁the", "the", " the"},
        {LLAMA_DECODER, "▁▁▁", "  ", "   "},
        {LLAMA_DECODER, "<0xE6>", "\xe6", "\xe6"},
        {LLAMA_DECODER, "<0xe6>", "<0xe6>", "<0xe6>"},
        {LLAMA_DECODER, "<0x20>", "", " "},
        {METASPACE "}", "▁▁a", "a", "  a"},
        {METASPACE ",\"prepend_scheme\":\"never\"}", "▁a", " a", " a"},
        {"{\"type\":\"Strip\",\"content\":\"x\",\"start\":1,\"stop\":2}",
         "xxaxxx", "xax", "xax"},
        {"null", "word", "word", " word"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tegu_tokenizer *t = read_rules("decoder", rows[i].rule);
        for (int first = 0; first < 2; first++) {
            const char *expected = first ? rows[i].first : rows[i].later;
            tegu_tok_text out = {NULL, 0, 0};
            assert_int_equal(
                tegu_tok_run_decoder(&t->decoders, first, rows[i].token,
                                     strlen(rows[i].token), &out, NULL),
                0);
            if (out.size != strlen(expected) ||
                memcmp(out.data, expected, out.size) != 0)
                fail_msg("%s on '%s' (first %d): '%.*s', expected '%s'",
                         rows[i].rule, rows[i].token, first, (int)out.size,
                         out.data, expected);
            free(out.data);
        }
        tegu_tokenizer_close(t);
    }
}

static void all_bytes_survive_their_spelling(void **state)
{
    (void)state;
    char text[256], spelt[1024];
    for (int i = 0; i < 256; i++)
        text[i] = (char)i;
    tegu_tokenizer *t = read_rules(
        "pre_tokenizer", "{\"type\":\"ByteLevel\","
                         "\"add_prefix_space\":false,\"use_regex\":false}");
    tegu_tokenizer *d = read_rules("decoder", "{\"type\":\"ByteLevel\"}");
    tegu_tok_pieces a = {.count = 0}, b = {.count = 0};
    tegu_tok_text out = {NULL, 0, 0};
    assert_true(tegu_tok_add_piece(&a, text, sizeof text));
    assert_int_equal(tegu_tok_run(&t->splitters, true, &a, &b, NULL), 0);
    assert_true(a.text.size < sizeof spelt);
    for (size_t i = 0; i < a.text.size; i++)
        assert_true((unsigned char)a.text.data[i] > 32);
    assert_int_equal(tegu_tok_run_decoder(&d->decoders, false, a.text.data,
                                          a.text.size, &out, NULL),
                     0);
    assert_int_equal(out.size, sizeof text);
    assert_memory_equal(out.data, text, sizeof text);
    free(a.text.data);
    free(a.spans);
    free(b.text.data);
    free(b.spans);
    free(out.data);
    tegu_tokenizer_close(t);
    tegu_tokenizer_close(d);
}

/* ---- merging against the definition ---- */

enum { letters = 4, merges = 60, word_size = 200 };

/* Random merges over a few letters; every token's text is its merge's. */
static tegu_tokenizer *random_merges(unsigned *seed)
{
    tegu_tokenizer *t = tegu_tok_create();
    assert_non_null(t);
    for (int i = 0; i < letters; i++) {
        char c = (char)('a' + i);
        assert_true(tegu_tok_vocab_add(&t->vocab, i, &c, 1));
    }
    for (uint32_t rank = 0; rank < merges; rank++) {
        int32_t size = (int32_t)t->vocab.size;
        *seed = *seed * 1664525u + 1013904223u;
        int32_t left = (int32_t)(*seed >> 8) % size;
        int32_t right = (int32_t)(*seed >> 16) % size;
        size_t n, m;
        const char *a = tegu_tok_vocab_text(&t->vocab, left, &n);
        const char *b = tegu_tok_vocab_text(&t->vocab, right, &m);
        char text[word_size];
        if (n + m > sizeof text || tegu_tok_pairs_find(&t->pairs, left, right))
            continue;
        memcpy(text, a, n);
        memcpy(text + n, b, m);
        assert_true(tegu_tok_vocab_add(&t->vocab, size, text, n + m));
        /* Equal ranks, as equal scores give, too. */
        assert_true(tegu_tok_pairs_add(
            &t->pairs, (tegu_tok_pair){left, right, size, rank / 2}));
    }
    return t;
}

/* Merges the leftmost pair of the lowest rank until there is none. */
static size_t merge_slowly(const tegu_tokenizer *t, int32_t *ids, size_t n)
{
    for (;;) {
        const tegu_tok_pair *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const tegu_tok_pair *pair =
                tegu_tok_pairs_find(&t->pairs, ids[i], ids[i + 1]);
            if (pair && (!best || pair->rank < best->rank)) {
                best = pair;
                at = i;
            }
        }
        if (!best)
            return n;
        ids[at] = best->result;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

static void heap_merges_like_the_definition(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 200; round++) {
        tegu_tokenizer *t = random_merges(&seed);
        char word[word_size];
        int32_t ids[word_size];
        tegu_tok_work work = {.message = NULL};
        for (int i = 0; i < word_size; i++) {
            seed = seed * 1664525u + 1013904223u;
            ids[i] = (int32_t)(seed >> 24) % letters;
            word[i] = (char)('a' + ids[i]);
        }
        size_t n = merge_slowly(t, ids, word_size);
        assert_int_equal(tegu_tok_merge(t, word, word_size, &work), 0);
        assert_int_equal(work.ids.count, n);
        assert_memory_equal(work.ids.data, ids, n * sizeof *ids);
        free(work.ids.data);
        free(work.symbols);
        free(work.heap);
        tegu_tokenizer_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pre_tokenizers_split_as_the_library_does),
        cmocka_unit_test(first_means_the_start_of_the_text),
        cmocka_unit_test(normalizers_rewrite_as_the_library_does),
        cmocka_unit_test(decoders_write_tokens_as_the_library_does),
        cmocka_unit_test(all_bytes_survive_their_spelling),
        cmocka_unit_test(heap_merges_like_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
