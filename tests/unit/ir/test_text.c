/* SPDX-License-Identifier: Apache-2.0 */
/* test_text.c - IR text: the round trip at every level, located errors, and
 * damaged text, which is refused or read but never crashes. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Printed form, so that printing gives the same bytes. */
static const char model_text[] =
    "unit llama\n"
    "axis T in 1..512\n"
    "axis dim = 256\n"
    "axis heads = 8\n"
    "axis head_dim = 32\n"
    "axis context = 512\n"
    "tokenizer \"a \\\"b\\\\c\\n\\x7f\\xc3\\xa4\"\n"
    "adapter tone 0.5\n"
    "adapter style_2 -1\n"
    "weights random 18446744073709551615 0.02\n"
    "param \"tone:a\" : f32[2] of tone\n"
    "param \"style_2:a\" : f32[2] of style_2\n"
    "param \"model.embed_tokens.weight\" : f32[100, dim=256]\n"
    "param \"norm\" : f32[dim=256]\n"
    "state \"keys_0\" append : f32[context=512, heads=8, head_dim=32]\n"
    "state \"sum\" : f32[]\n"
    "\n"
    "entry step model {\n"
    "  %1 = input {name=\"tokens\"} : i32[T]\n"
    "  %2 = param {name=\"model.embed_tokens.weight\"} : f32[100, dim=256]\n"
    "  %3 \"x\" = embed %1, %2 : f32[T, dim=256]\n"
    "  %4 = param {name=\"norm\"} : f32[dim=256]\n"
    "  %5 = rms_norm %3, %4 {eps=1e-06} : f32[T, dim=256]\n"
    "  %6 = reshape %5 : f32[T, heads=8, head_dim=32]\n"
    "  %7 = position : i32[]\n"
    "  %8 = rope %6, %7 {theta=500000, style=\"interleaved\"} : "
    "f32[T, heads=8, head_dim=32]\n"
    "  %9 = state {name=\"keys_0\"} : "
    "f32[context=512, heads=8, head_dim=32]\n"
    "  %10 = append %9, %8 : f32[context=512, heads=8, head_dim=32]\n"
    "  %11 = attention %8, %10, %10, %7 {causal=false, window=64} : "
    "f32[T, heads=8, head_dim=32]\n"
    "  %12 = reduce.sum %11 {axes=[0, 1, 2]} : f32[]\n"
    "  return \"y\" %11\n"
    "  return \"z\" %12\n"
    "  update \"keys_0\" %10\n"
    "  update \"sum\" %12\n"
    "}\n"
    "\n"
    "entry short(\"tokens\" : i32[T], \"unused\" : f32[2T+1, dim=T]) model {\n"
    "  %1 = iota {axis=0} : i32[T]\n"
    "  return \"y\" %1\n"
    "}\n";

static const char core_text[] =
    "unit t\n"
    "axis T in 0..8\n"
    "axis rows = 2\n"
    "axis columns = 3\n"
    "\n"
    "entry e core {\n"
    "  %1 = const -0 : f32[]\n"
    "  %2 = const [1.4013e-45, 3.4028235e+38, inf, -inf, nan, 0.1] : f32[6]\n"
    "  %3 = const [] : i32[0, 4]\n"
    "  %4 = const [-9223372036854775808, 9223372036854775807] : i64[2, 1]\n"
    "  %5 = const [true, false] : bool[2]\n"
    "  %6 = const [2147483647, -2147483648] : i32[2]\n"
    "  %7 = input {name=\"x\"} : f32[T, rows=2, columns=3]\n"
    "  %8 = reshape %7 : f32[rows*columns=6T]\n"
    "  %9 = concat %8, %8 {axis=0} : f32[12T]\n"
    "  %10 = pad %9 {low=[1], high=[0], value=-inf} : f32[12T+1]\n"
    "  %11 = slice %7 {start=[0, -1, 0], step=[1, -1, 1]} : "
    "f32[T, rows=2, columns=3]\n"
    "  %12 = transpose %11 {perm=[2, 1, 0]} : f32[columns=3, rows=2, T]\n"
    "  %13 = contract %12, %11 {a=[2], b=[0], batch_a=[1], batch_b=[1]} : "
    "f32[rows=2, columns=3, columns=3]\n"
    "  %14 = size %13 {axis=1} : i32[]\n"
    "  %15 = cast %14 {dtype=f32} : f32[]\n"
    "  return \"r\" %10\n"
    "  return \"s\" %15\n"
    "}\n";

static const char kernel_text[] =
    "unit t\n"
    "axis T in 1..4\n"
    "\n"
    "entry e kernel {\n"
    "  %1 = input {name=\"x\"} : f32[T]\n"
    "  %2 \"y\" = kernel %1, %1 {family=\"loop\", slot=3} : f32[T] {\n"
    "    %1 = arg {index=0} : f32[T]\n"
    "    %2 \"bias\" = const 0.5 : f32[]\n"
    "    %3 = add %1, %2 : f32[T]\n"
    "    return %3\n"
    "  }\n"
    "  %3 = kernel {family=\"loop\"} : f32[2] {\n"
    "    %1 = const [1, 2] : f32[2]\n"
    "    return %1\n"
    "  }\n"
    "  return \"r\" %2\n"
    "}\n";

static const char *const texts[] = {model_text, core_text, kernel_text,
                                    "unit empty\n"};
enum { TEXTS = sizeof texts / sizeof texts[0] };

static void text_round_trips_at_every_level(void **state)
{
    (void)state;
    for (int i = 0; i < TEXTS; i++) {
        fixture f = fixture_open();
        assert_string_equal(printed(&f, parse_good(&f, texts[i])), texts[i]);
        fixture_close(&f);
    }
}

static void blanks_comments_and_defaults_do_not_matter(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit =
        parse_good(&f, "# comment\r\n\n  unit t // more\r\naxis T in 1 .. 4\n"
                       "entry e core{#\n%1=input{name=\"x\"}:f32[ T ,2]\n\n"
                       "%2 = reduce.sum %1{axes=[ 1 ],keep=false}:f32[1T+0]\t\n"
                       "return\"r\"%2\n } // end");
    assert_string_equal(printed(&f, unit),
                        "unit t\naxis T in 1..4\n\nentry e core {\n"
                        "  %1 = input {name=\"x\"} : f32[T, 2]\n"
                        "  %2 = reduce.sum %1 {axes=[1]} : f32[T]\n"
                        "  return \"r\" %2\n}\n");
    fixture_close(&f);
}

static void arguments_that_the_graph_dropped_stay(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = parse_good(&f, model_text);
    assert_int_equal(unit->entries.data[0].arguments.count, 1);
    const tegu_entry *entry = tegu_unit_find_entry(unit, "short");
    assert_int_equal(entry->arguments.count, 2);
    assert_string_equal(entry->arguments.data[1].name, "unused");
    fixture_close(&f);
}

static void every_finite_number_reads_back_exactly(void **state)
{
    (void)state;
    fixture f = fixture_open();
    uint64_t seed = 1;
    for (int round = 0; round < 2000; round++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        float value;
        uint32_t bits = (uint32_t)(seed >> 32);
        memcpy(&value, &bits, sizeof value);
        tegu_graph *g = empty_graph(&f);
        tegu_entry entry = {.name = "e", .graph = g};
        tegu_value v = tegu_build_const(
            g, tegu_loc_none(), tegu_unit_scalar(g->unit, TEGU_F32), &value);
        tegu_attr eps = tegu_attr_of_float(TEGU_OP_PAD, "value", value);
        tegu_attr none[] = {
            tegu_attr_of_ints(g->unit, TEGU_OP_PAD, "low", NULL, 0),
            tegu_attr_of_ints(g->unit, TEGU_OP_PAD, "high", NULL, 0), eps};
        tegu_value p =
            tegu_build(g, tegu_loc_none(), TEGU_OP_PAD, 1, &v, 3, none, NULL);
        tegu_graph_add_result(g, "r", p);
        tegu_vec_push(f.arena, &g->unit->entries, entry);
        const char *first = printed(&f, g->unit);
        tegu_unit *again = parse_good(&f, first);
        const tegu_graph *h = again->entries.data[0].graph;
        float back = *(const float *)tegu_graph_node(h, 1)->data;
        if (value == value)
            assert_memory_equal(&back, &value, sizeof value);
        else
            assert_true(back != back);
        double attr = tegu_node_float(tegu_graph_node(h, 2), "value");
        assert_true(attr == (double)value || value != value);
        assert_string_equal(printed(&f, again), first);
    }
    fixture_close(&f);
}

typedef struct bad_row {
    const char *text;
    uint32_t line, column;
    const char *message;
} bad_row;

#define AXES "unit t\naxis T in 1..4\naxis d = 2\n"
#define ENTRY AXES "entry e core {\n%1 = input {name=\"x\"} : f32[T, 2]\n"
#define END "return \"r\" %1\n}\n"

/* clang-format off */
static const bad_row bad_rows[] = {
    {"", 1, 1, "expected 'unit NAME' first before the line ends"},
    {"# nothing\n", 2, 1, "expected 'unit NAME' first before the line ends"},
    {"axis T in 1..4\n", 1, 1, "expected 'unit NAME' first, found 'axis'"},
    {"unit\n", 1, 5, "expected the unit's name before the line ends"},
    {"unit 3x\n", 1, 6, "expected the unit's name, found '3x'"},
    {"unit a b\n", 1, 8, "expected the end of the line, found 'b'"},
    {"unit t\nfoo\n", 2, 1, "expected axis, tokenizer, weights, adapter, param, state or entry, found 'foo'"},
    {"unit t\nadapter\n", 2, 8, "expected an adapter's name before the line ends"},
    {"unit t\nadapter a\n", 2, 10, "expected a number before the line ends"},
    {"unit t\nadapter a 1\nadapter a 2\n", 3, 9, "there is already an adapter 'a'"},
    {"unit t\nadapter a inf\n", 2, 9, "the scale must lie in -1e30 to 1e30"},
    {"unit t\nparam \"a\" : f32[2] of a\n", 2, 23, "there is no adapter 'a'"},
    {"unit t\nparam \"a\" : f32[2] of\n", 2, 22, "expected an adapter's name before the line ends"},
    {"unit t\naxis T of 3\n", 2, 8, "expected '=' or 'in', found 'of'"},
    {"unit t\naxis T in 4..1\n", 2, 6, "axis 'T' needs bounds 0 <= low <= high"},
    {"unit t\naxis T = -1\n", 2, 6, "axis 'T' needs bounds 0 <= low <= high"},
    {"unit t\naxis T = 9223372036854775808\n", 2, 10, "9223372036854775808 does not fit i64"},
    {"unit t\naxis T = 1\naxis T = 1\n", 3, 6, "there is already an axis 'T'"},
    {"unit t\nweights zero\n", 2, 9, "expected 'random', found 'zero'"},
    {"unit t\nweights random -1 1\n", 2, 16, "expected a whole number, found '-'"},
    {"unit t\nweights random 18446744073709551616 1\n", 2, 16, "18446744073709551616 does not fit 64 bits"},
    {"unit t\nweights random 1 nan\n", 2, 9, "the standard deviation must lie in 0 to 1e30"},
    {"unit t\nparam \"a : f32[]\n", 2, 17, "expected '\"' before the line ends"},
    {"unit t\nparam \"a\\q\" : f32[]\n", 2, 9, "expected a character or an escape, found '\\\\'"},
    {"unit t\nparam \"\\x00\" : f32[]\n", 2, 8, "expected a character or an escape"},
    {"unit t\nparam \"a\" : f32[]\nparam \"a\" : f32[]\n", 3, 7, "there is already a parameter 'a'"},
    {"unit t\nparam \"a\" : f16[]\n", 2, 7, "parameter 'a' cannot be f16[]"},
    {"unit t\nparam \"a\" : f32[2\n", 2, 18, "expected ']' before the line ends"},
    {"unit t\nparam \"a\" : f32[-2]\n", 2, 19, "expected an extent >= 0"},
    {"unit t\nparam \"a\" : f32[X=2]\n", 2, 17, "no axis is named 'X'"},
    {"unit t\nparam \"a\" : f32[1,1,1,1,1,1,1,1,1]\n", 2, 33, "expected at most eight axes"},
    {"unit t\nparam \"a\" : f32[2147483648, 2147483648]\n", 2, 13, "this is f32[2147483648, 2147483648]: too large"},
    {"unit t\nparam \"a\" : f32[0, 4611686018427387904]\n", 2, 13, "this is f32[0, 4611686018427387904]: too large"},
    {AXES "param \"a\" : f32[d]\n", 4, 18, "axis 'd' has a fixed extent: write d=2"},
    {AXES "param \"a\" : f32[0T]\n", 4, 18, "expected a factor other than 0, found 'T'"},
    {AXES "param \"a\" : f32[T-2]\n", 4, 13, "this is f32[T-2]: axis 0 can be negative"},
    {AXES "param \"a\" : f32[9223372036854775807T]\n", 4, 13, "this is f32[9223372036854775807T]: too large"},
    {AXES "param \"a\" : f32[T+-1]\n", 4, 19, "expected an offset, found '-'"},
    {AXES "param \"a\" : f32[d*d*d*d*d=2]\n", 4, 25, "expected at most four axes, found 'd'"},
    {AXES "param \"a\" : f33[2]\n", 4, 13, "expected an element type, found 'f33'"},
    {AXES "state \"a\" : f32[T]\n", 4, 7, "state 'a' cannot be f32[T]"},
    {AXES "state \"a\" append : f32[]\n", 4, 7, "state 'a' has no axis to append along"},
    {AXES "state \"a\" : f32[]\nstate \"a\" : f32[]\n", 5, 7, "there is already a state 'a'"},
    {AXES "entry e middle {\n}\n", 4, 9, "expected model, core or kernel, found 'middle'"},
    {AXES "entry e core\n", 4, 13, "expected '{' before the line ends"},
    {AXES "entry e core {\n", 5, 1, "expected '}' before the line ends"},
    {AXES "entry e core {\n}\n", 4, 7, "entry 'e' gives no result"},
    {ENTRY END "entry e core {\n}\n", 8, 7, "there is already an entry 'e'"},
    {ENTRY "%3 = neg %1 : f32[T, 2]\n" END, 6, 1, "values are numbered in order: %2 comes next"},
    {ENTRY "%2 = neg %2 : f32[T, 2]\n" END, 6, 10, "%2 is not defined above"},
    {ENTRY "%2 = neg %9 : f32[T, 2]\n" END, 6, 10, "%9 is not defined above"},
    {ENTRY "%2 = neg %0 : f32[T, 2]\n" END, 6, 11, "0 does not fit the number of a value"},
    {ENTRY "%2 = neg %4294967296 : f32[T, 2]\n" END, 6, 11, "4294967296 does not fit the number of a value"},
    {ENTRY "%2 = ned %1 : f32[T, 2]\n" END, 6, 6, "no operation is named 'ned'; did you mean 'neg'?"},
    {ENTRY "%2 = iota {axes=0} : i32[T]\n" END, 6, 12, "'iota' has no attribute 'axes'"},
    {ENTRY "%2 = iota {axis=0, axis=0} : i32[T]\n" END, 6, 6, "'iota' is given twice the attribute 'axis'"},
    {ENTRY "%2 = iota {axis=0.5} : i32[T]\n" END, 6, 18, "expected '}', found '.'"},
    {ENTRY "%2 = pad %1 {low=[0,0], high=[0,0], value=1e999} : f32[T, 2]\n" END, 6, 43, "1e999 does not fit f64"},
    {ENTRY "%2 = const 1e39 : f32[]\n" END, 6, 12, "1e39 does not fit f32"},
    {ENTRY "%2 = const [1 2] : f32[2]\n" END, 6, 13, "1 values given for f32[2]"},
    {ENTRY "%2 = const [1, x] : f32[2]\n" END, 6, 16, "expected a number, found 'x'"},
    {ENTRY "%2 = const 1 : bool[]\n" END, 6, 12, "expected true or false, found '1'"},
    {ENTRY "%2 = relu %1 : f32[T, 2]\n" END, 6, 6, "%2: 'relu' cannot stand in a core graph"},
    {ENTRY "%2 = arg {index=0} : f32[T, 2]\n" END, 6, 6, "%2: 'arg' cannot stand in a core graph"},
    {ENTRY "return %1\n}\n", 5, 6, "entry 'e' has a result named ''"},
    {ENTRY "return \"x\" %1\n}\n", 5, 6, "entry 'e' uses the name 'x' twice"},
    {ENTRY "return \"r\" %1\nreturn \"r\" %1\n}\n", 5, 6, "entry 'e' uses the name 'r' twice"},
    {ENTRY "update \"q\" %1\n}\n", 4, 7, "entry 'e' gives 0 results and updates 1 of 0 states"},
    {ENTRY "jump %1\n}\n", 6, 1, "expected a value, 'return', 'update' or '}', found 'jump'"},
    {ENTRY "%2 = kernel %1 {family=\"loop\"} : f32[T, 2] {\n%1 = kernel {family=\"loop\"} : f32[] {\n}\n}\n" END, 7, 6, "a kernel's body cannot hold a kernel"},
    {"unit t\n\x01\n", 2, 1, "expected axis, tokenizer, weights, adapter, param, state or entry, found '\\x01'"},
    {"unit t\naxis \xff = 2\n", 2, 6, "expected an axis name, found '\\xff'"},
};
/* clang-format on */

static void errors_are_located(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_rows / sizeof bad_rows[0]; i++) {
        const bad_row *row = &bad_rows[i];
        fixture f = fixture_open();
        if (parse(&f, row->text))
            fail_msg("accepted:\n%s", row->text);
        uint32_t count;
        const tegu_message *m = tegu_diag_messages(f.diag, &count);
        assert_true(count > 0);
        if (strncmp(m->text, row->message, strlen(row->message)) != 0 ||
            m->loc.line != row->line || m->loc.column != row->column)
            fail_msg("%s\n%u:%u: \"%s\", expected %u:%u: \"%s\"", row->text,
                     m->loc.line, m->loc.column, m->text, row->line,
                     row->column, row->message);
        assert_int_equal(tegu_diag_exit_code(f.diag), 65);
        fixture_close(&f);
    }
}

static void one_mistake_makes_one_message(void **state)
{
    (void)state;
    fixture f = fixture_open();
    assert_null(parse(&f,
                      ENTRY "%2 = nag %1 : f32[T, 2]\n"
                            "%3 = exp %2 : f32[T, 2]\n"
                            "%4 = add %3, %9 : f32[T, 2]\n"
                            "%5 = mul %3, %1 : f32[T, 3]\n"
                            "%6 = neg %1 : f32[T, 3]\n" END "axis d = 4\n"));
    assert_int_equal(tegu_diag_errors(f.diag), 4);
    fixture_close(&f);
}

static void many_mistakes_stop_at_twenty(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_text text = {.arena = f.arena};
    tegu_text_printf(&text, "unit t\n");
    for (int i = 0; i < 1000; i++)
        tegu_text_printf(&text, "axis 3\n");
    assert_null(parse(&f, tegu_text_cstr(&text)));
    assert_int_equal(tegu_diag_errors(f.diag), 20);
    fixture_close(&f);
}

/* Parses; what is accepted must print to something that reads back. */
static void survive(fixture *f, const char *text, size_t size)
{
    tegu_mark mark = tegu_arena_mark(f->arena);
    /* A copy of exactly this size lets a sanitizer see over-reads. */
    char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    tegu_diag *diag = tegu_diag_create(f->arena);
    tegu_unit *unit = tegu_unit_parse(f->arena, diag, "t", copy, size);
    if (unit) {
        const char *once = printed(f, unit);
        tegu_unit *again =
            tegu_unit_parse(f->arena, diag, "t", once, strlen(once));
        assert_non_null(again);
        assert_string_equal(printed(f, again), once);
    } else {
        assert_true(tegu_diag_errors(diag) > 0);
        if (tegu_diag_exit_code(diag) != 65) {
            tegu_diag_render(diag, stderr, false);
            fail_msg("not the text's fault:\n%.*s", (int)size, text);
        }
    }
    free(copy);
    tegu_arena_release(f->arena, mark);
}

static void text_cut_anywhere_is_survived(void **state)
{
    (void)state;
    fixture f = fixture_open();
    for (int i = 0; i < TEXTS; i++)
        for (size_t size = 0; size <= strlen(texts[i]); size++)
            survive(&f, texts[i], size);
    fixture_close(&f);
}

static void changed_bytes_are_survived(void **state)
{
    (void)state;
    fixture f = fixture_open();
    uint64_t seed = 7;
    for (int i = 0; i < TEXTS - 1; i++) {
        size_t size = strlen(texts[i]);
        char *copy = tegu_arena_copy(f.arena, texts[i], size);
        for (int round = 0; round < 4000; round++) {
            size_t at[2];
            for (int k = 0; k < 2; k++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                at[k] = (size_t)(seed >> 33) % size;
                copy[at[k]] = round % 2 ? texts[i][(seed >> 20) % size]
                                        : (char)(seed >> 56);
            }
            survive(&f, copy, size);
            copy[at[0]] = texts[i][at[0]];
            copy[at[1]] = texts[i][at[1]];
        }
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_round_trips_at_every_level),
        cmocka_unit_test(blanks_comments_and_defaults_do_not_matter),
        cmocka_unit_test(arguments_that_the_graph_dropped_stay),
        cmocka_unit_test(every_finite_number_reads_back_exactly),
        cmocka_unit_test(errors_are_located),
        cmocka_unit_test(one_mistake_makes_one_message),
        cmocka_unit_test(many_mistakes_stop_at_twenty),
        cmocka_unit_test(text_cut_anywhere_is_survived),
        cmocka_unit_test(changed_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
