/* SPDX-License-Identifier: Apache-2.0 */
/* Pipeline strings: what is accepted, how it prints, what is refused. */
#include "bench.h"
#include "passes/pass.h"
#include <stdlib.h>
#include <string.h>

static void pipelines_print_as_canonical_text(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"  ", ""},
        {"cse", "cse"},
        {"cse,dce,cse", "cse,dce,cse"},
        {" cse , fold { limit = 8 } ", "cse,fold{limit=8}"},
        {"fold{limit=4096}", "fold"},
        {"fuse{epilogues=true,loops=false}", "fuse{loops=false}"},
        {"-O0", "fold-adapters,legalise,fuse{epilogues=false,loops=false},"
                "plan-memory{reuse=false}"},
        {"cse,-O1",
         "cse,fold-adapters,canonicalise,legalise,canonicalise,cse,dce,fuse,"
         "plan-memory"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench b = bench_open();
        tegu_pipeline *p = tegu_pipeline_parse(b.arena, b.diag, cases[i][0]);
        assert_non_null(p);
        assert_string_equal(tegu_pipeline_print(p, b.arena), cases[i][1]);
        bench_close(&b);
    }
}

static void printed_pipelines_parse_to_the_same(void **state)
{
    bench b = bench_open();
    tegu_pipeline *p = tegu_pipeline_parse(b.arena, b.diag, "-O2,-O0");
    const char *once = tegu_pipeline_print(p, b.arena);

    (void)state;
    p = tegu_pipeline_parse(b.arena, b.diag, once);
    assert_non_null(p);
    assert_string_equal(tegu_pipeline_print(p, b.arena), once);
    bench_close(&b);
}

static const struct {
    const char *text;
    uint32_t column;
    const char *message;
} refused[] = {
    {",", 1, "expected the name of a pass"},
    {"cse,", 5, "expected the name of a pass"},
    {"cse,,dce", 5, "expected the name of a pass"},
    {"cs", 1, "unknown pass 'cs'"},
    {"cse,fuze", 5, "unknown pass 'fuze'; did you mean 'fuse'?"},
    {"cse dce", 5, "expected ',' before 'dce'"},
    {"-O3", 1, "unknown preset '-O3': there are -O0, -O1, -O2"},
    {"-O", 1, "unknown preset '-O'"},
    {"fold{limit=8", 5, "'{' has no matching '}'"},
    {"fold{limit=8,", 14, "pass 'fold' has no option ''"},
    {"fold{}", 6, "pass 'fold' has no option ''"},
    {"fold}", 5, "expected ',' before '}'"},
    {"fold{limit}", 11, "expected '=' after 'limit'"},
    {"fold{limit=}", 12, "option 'limit' needs a whole number, not ''"},
    {"fold{limt=8}", 6,
     "pass 'fold' has no option 'limt'; did you mean 'limit'?"},
    {"fold{limit=8,limit=9}", 14, "option 'limit' is given twice"},
    {"fold{limit=0}", 12, "option 'limit' must be from 1 to 1e+09, not 0"},
    {"fold{limit=-1}", 12, "option 'limit' must be from 1 to 1e+09"},
    {"fold{limit=9223372036854775808}", 12,
     "option 'limit' must be from 1 to 1e+09"},
    {"fold{limit=1e3}", 12, "option 'limit' needs a whole number"},
    {"fold{limit=nan}", 12, "option 'limit' needs a whole number"},
    {"fold{limit=0x10}", 12, "option 'limit' needs a whole number"},
    {"fuse{loops=1}", 12, "option 'loops' needs true or false, not '1'"},
    {"cse{x=1}", 5, "pass 'cse' has no option 'x'"},
    {"\001\xff", 1, "unknown pass '\\x01\\xff'"},
};

static void wrong_pipelines_are_refused_with_their_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        bench b = bench_open();
        uint32_t count;
        const tegu_message *m;
        assert_null(tegu_pipeline_parse(b.arena, b.diag, refused[i].text));
        m = tegu_diag_messages(b.diag, &count);
        assert_int_equal(count, 1);
        assert_int_equal(m->loc.line, 1);
        if (m->loc.column != refused[i].column)
            fail_msg("'%s': column %u, expected %u", refused[i].text,
                     m->loc.column, refused[i].column);
        assert_int_equal(tegu_diag_exit_code(b.diag), 64);
        assert_message(&b, refused[i].message);
        bench_close(&b);
    }
}

static void a_pipeline_has_at_most_1000_steps(void **state)
{
    bench b = bench_open();
    char *text = tegu_arena_alloc(b.arena, 4 * 1001 + 1);

    (void)state;
    for (int i = 0; i < 1001; i++)
        memcpy(text + 4 * i, "cse,", 4);
    text[4 * 1000 - 1] = '\0';
    assert_non_null(tegu_pipeline_parse(b.arena, b.diag, text));
    text[4 * 1000 - 1] = ',';
    text[4 * 1001 - 1] = '\0';
    assert_null(tegu_pipeline_parse(b.arena, b.diag, text));
    assert_message(&b, "a pipeline has at most 1000 steps");
    bench_close(&b);
}

static void every_pass_is_found_and_has_defaults_in_bounds(void **state)
{
    uint32_t count, options;
    const tegu_pass *table = tegu_pass_table(&count);

    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        const tegu_option *o = tegu_pass_options(&table[i], &options);
        assert_ptr_equal(tegu_pass_find(table[i].name), &table[i]);
        for (uint32_t k = 0; k < options; k++) {
            double value = strtod(o[k].value, NULL);
            if (o[k].kind == TEGU_OPTION_INT || o[k].kind == TEGU_OPTION_FLOAT)
                assert_true(o[k].lo <= value && value <= o[k].hi);
        }
    }
    assert_null(tegu_pass_find("no-such-pass"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelines_print_as_canonical_text),
        cmocka_unit_test(printed_pipelines_parse_to_the_same),
        cmocka_unit_test(wrong_pipelines_are_refused_with_their_place),
        cmocka_unit_test(a_pipeline_has_at_most_1000_steps),
        cmocka_unit_test(every_pass_is_found_and_has_defaults_in_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
