/* SPDX-License-Identifier: Apache-2.0 */
/* test_flops.c - costs of small programs, counted by hand. */
#include "fixture.h"

typedef struct count {
    const char *program;
    int64_t T, position;
    bool dense;
    tegu_cost want;
} count;

/* clang-format off */
#define PROGRAM(state, lines) \
    "unit m\naxis T in 1..64\nparam \"w\" : f32[8, 16]\n" state \
    "entry f core {\n%1 = input {name=\"x\"} : f32[T, 8]\n" lines "}\n"
#define ATTENTION(attributes) PROGRAM("", \
    "%2 = input {name=\"k\"} : f32[32, 2, 4]\n" \
    "%3 = reshape %1 : f32[T, 2, 4]\n%4 = position : i32[]\n" \
    "%5 = attention %3, %2, %2, %4" attributes " : f32[T, 2, 4]\n" \
    "return \"r\" %5\n")
static const count counts[] = {
    {PROGRAM("", "%2 = param {name=\"w\"} : f32[8, 16]\n"
             "%3 = contract %1, %2 {a=[1], b=[0]} : f32[T, 16]\n"
             "return \"r\" %3\n"), 3, 0, false,
     {.macs = 3 * 8 * 16, .flops = 2 * 3 * 8 * 16,
      .contraction_flops = 2 * 3 * 8 * 16, .bytes_weights = 4 * 8 * 16,
      .bytes_activations = 4 * (3 * 8 + 3 * 16)}},
    /* element-wise, transcendental, reduction; dead nodes cost nothing */
    {PROGRAM("", "%2 = add %1, %1 : f32[T, 8]\n%3 = exp %2 : f32[T, 8]\n"
             "%4 = reduce.sum %3 {axes=[0]} : f32[8]\n"
             "%5 = neg %4 : f32[8]\nreturn \"r\" %4\n"), 5, 0, false,
     {.flops = 40 + 40, .transcendentals = 40,
      .bytes_activations = 4 * (3 * 40 + 2 * 40 + 40 + 8)}},
    /* a table of which rows are read; weights count once */
    {PROGRAM("", "%2 = param {name=\"w\"} : f32[8, 16]\n"
             "%3 = cast %1 {dtype=i32} : i32[T, 8]\n"
             "%4 = slice %3 {start=[0, 0], step=[1, 1]} : i32[T, 1]\n"
             "%5 = gather %2, %4 : f32[T, 1, 16]\nreturn \"r\" %5\n"),
     2, 0, false,
     {.bytes_weights = 4 * 2 * 16, .bytes_activations =
      4 * (2 * 16 + 16 + 2 + 2 + 2 * 16)}},
    {PROGRAM("", "%2 = param {name=\"w\"} : f32[8, 16]\n"
             "%3 = contract %1, %2 {a=[1], b=[0]} : f32[T, 16]\n"
             "%4 = contract %3, %2 {a=[1], b=[1]} : f32[T, 8]\n"
             "return \"r\" %4\n"), 1, 0, false,
     {.macs = 2 * 8 * 16, .flops = 4 * 8 * 16, .contraction_flops = 4 * 8 * 16,
      .bytes_weights = 4 * 8 * 16,
      .bytes_activations = 4 * (8 + 16 + 16 + 8)}},
    /* constant expressions are computed before; their result is a weight */
    {PROGRAM("", "%2 = param {name=\"w\"} : f32[8, 16]\n"
             "%3 = exp %2 : f32[8, 16]\n%4 = mul %3, %3 : f32[8, 16]\n"
             "%5 = contract %1, %4 {a=[1], b=[0]} : f32[T, 16]\n"
             "return \"r\" %5\n"), 3, 0, false,
     {.macs = 3 * 8 * 16, .flops = 2 * 3 * 8 * 16,
      .contraction_flops = 2 * 3 * 8 * 16, .bytes_weights = 4 * 8 * 16,
      .bytes_activations = 4 * (3 * 8 + 3 * 16)}},
    /* attention: two heads of 4; rows see 6, 7 and 8 keys */
    {ATTENTION(""), 3, 5, false,
     {.macs = 2 * 21 * 8, .flops = 2 * 21 * (16 + 5),
      .transcendentals = 2 * 21, .contraction_flops = 4 * 21 * 8,
      .bytes_activations = 4 * (24 + 2 * 256 + 24)}},
    {ATTENTION(""), 3, 5, true,
     {.macs = 2 * 96 * 8, .flops = 2 * 96 * (16 + 5),
      .transcendentals = 2 * 96, .contraction_flops = 4 * 96 * 8,
      .bytes_activations = 4 * (24 + 2 * 256 + 24)}},
    {ATTENTION(" {window=4}"), 3, 2, false, /* 3, 4, 4 */
     {.macs = 2 * 11 * 8, .flops = 2 * 11 * (16 + 5),
      .transcendentals = 2 * 11, .contraction_flops = 4 * 11 * 8,
      .bytes_activations = 4 * (24 + 2 * 256 + 24)}},
    {ATTENTION(" {causal=false}"), 2, 0, false,
     {.macs = 2 * 64 * 8, .flops = 2 * 64 * (16 + 5),
      .transcendentals = 2 * 64, .contraction_flops = 4 * 64 * 8,
      .bytes_activations = 4 * (16 + 2 * 256 + 16)}},
    /* a cache: rows written, rows in use read */
    {PROGRAM("state \"s\" append : f32[64, 8]\n",
             "%2 = state {name=\"s\"} : f32[64, 8]\n"
             "%3 = append %2, %1 : f32[64, 8]\n"
             "%4 = reduce.sum %3 {axes=[0]} : f32[8]\n"
             "return \"r\" %4\nupdate \"s\" %3\n"), 2, 10, false,
     {.flops = 64 * 8, .bytes_state = 4 * (2 * 8 + 12 * 8),
      .bytes_activations = 4 * (2 * 8 + 8)}},
    /* a state replaced as a whole */
    {PROGRAM("state \"s\" : f32[8]\n",
             "%2 = state {name=\"s\"} : f32[8]\n"
             "%3 = neg %2 : f32[8]\nreturn \"r\" %3\nupdate \"s\" %3\n"),
     1, 0, false,
     {.flops = 8, .bytes_state = 4 * (8 + 8), .bytes_activations = 4 * 8}},
};
/* clang-format on */

static tegu_cost cost_of(tegu_unit *unit, const count *c)
{
    tegu_cost got;
    int64_t symbols[8] = {0};
    symbols[tegu_unit_find_axis(unit, "T")] = c->T;
    assert_true(tegu_entry_cost(unit, &unit->entries.data[0], symbols,
                                c->position, c->dense, &got));
    return got;
}

static void assert_cost(size_t i, const tegu_cost *got, const tegu_cost *want)
{
#define SAME(field)                                                            \
    if (got->field != want->field)                                             \
        fail_msg("program %zu: " #field " %g, not %g", i, got->field,          \
                 want->field);
    SAME(macs)
    SAME(flops)
    SAME(transcendentals)
    SAME(bytes_weights)
    SAME(bytes_activations)
    SAME(bytes_state)
    SAME(contraction_flops)
#undef SAME
}

static void programs_cost_what_counting_by_hand_gives(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        fixture f = fixture_open();
        tegu_unit *unit = parse_good(&f, counts[i].program);
        tegu_cost got = cost_of(unit, &counts[i]);
        assert_cost(i, &got, &counts[i].want);
        fixture_close(&f);
    }
}

static void kernels_cost_what_their_bodies_cost(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = parse_good(
        &f, "unit m\naxis T in 1..64\nparam \"w\" : f32[8, 16]\n"
            "entry f kernel {\n"
            "  %1 = input {name=\"x\"} : f32[T, 8]\n"
            "  %2 = param {name=\"w\"} : f32[8, 16]\n"
            "  %3 = kernel %1, %2 {family=\"contract\"} : f32[T, 16] {\n"
            "    %1 = arg {index=0} : f32[T, 8]\n"
            "    %2 = arg {index=1} : f32[8, 16]\n"
            "    %3 = contract %1, %2 {a=[1], b=[0]} : f32[T, 16]\n"
            "    %4 = tanh %3 : f32[T, 16]\n"
            "    return %4\n  }\n"
            "  return \"r\" %3\n}\n");
    count c = {.T = 3};
    tegu_cost got = cost_of(unit, &c);
    assert_cost(0, &got,
                &(tegu_cost){.macs = 3 * 8 * 16,
                             .flops = 2 * 3 * 8 * 16,
                             .contraction_flops = 2 * 3 * 8 * 16,
                             .transcendentals = 3 * 16,
                             .bytes_weights = 4 * 8 * 16,
                             .bytes_activations = 4 * (3 * 8 + 3 * 16)});
    fixture_close(&f);
}

static void parameters_are_those_that_entries_use(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit =
        parse_good(&f, "unit m\nparam \"a\" : f32[8]\nparam \"b\" : f32[100]\n"
                       "param \"c\" : f32[3]\n"
                       "entry f core {\n  %1 = param {name=\"a\"} : f32[8]\n"
                       "  %2 = param {name=\"b\"} : f32[100]\n"
                       "  return \"r\" %1\n}\n"
                       "entry g core {\n  %1 = param {name=\"a\"} : f32[8]\n"
                       "  %2 = param {name=\"c\"} : f32[3]\n"
                       "  return \"r\" %1\n  return \"s\" %2\n}\n");
    assert_true(tegu_unit_parameters(unit) == 11);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_cost_what_counting_by_hand_gives),
        cmocka_unit_test(kernels_cost_what_their_bodies_cost),
        cmocka_unit_test(parameters_are_those_that_entries_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
