/* SPDX-License-Identifier: Apache-2.0 */
/* docs/passes.md names every pass with its levels and options, every step of
 * every preset with its reason, and every rule. */
#include "bench.h"
#include "ir/base/io.h"
#include "passes/pipeline.h"
#include "passes/rules.h"
#include <string.h>

static const char *read_docs(const bench *b)
{
    tegu_file file;
    const char *error;

    if (!tegu_file_read(b->arena, "docs/passes.md", 0, &file, &error))
        fail_msg("docs/passes.md: %s", error);
    return (const char *)file.data;
}

static void has(const char *docs, const char *text)
{
    if (!strstr(docs, text))
        fail_msg("docs/passes.md does not hold \"%s\"", text);
}

static void docs_name_every_pass_and_option(void **state)
{
    bench b = bench_open();
    const char *docs = read_docs(&b);
    uint32_t count, options;
    const tegu_pass *table = tegu_pass_table(&count);

    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        const tegu_option *o = tegu_pass_options(&table[i], &options);
        has(docs, tegu_format(b.arena, "\n**%s** (", table[i].name));
        for (uint32_t k = 0; k < options; k++)
            has(docs, tegu_format(b.arena, "`%s`", o[k].key));
    }
    bench_close(&b);
}

/* "model, core", "core to kernel" or "all levels". */
static const char *levels_text(const bench *b, const tegu_pass *pass)
{
    static const tegu_level levels[] = {TEGU_LEVEL_MODEL, TEGU_LEVEL_CORE,
                                        TEGU_LEVEL_KERNEL};
    tegu_text text = {.arena = b->arena};

    if (pass->needs == (TEGU_LEVEL_MODEL | TEGU_LEVEL_CORE | TEGU_LEVEL_KERNEL))
        return "all levels";
    for (int i = 0; i < 3; i++)
        if (pass->needs & levels[i])
            tegu_text_printf(&text, "%s%s", text.count ? ", " : "",
                             tegu_level_text(levels[i]));
    if (pass->gives)
        tegu_text_printf(&text, " to %s",
                         tegu_level_text((tegu_level)pass->gives));
    return tegu_text_cstr(&text);
}

static void docs_state_levels_and_losses(void **state)
{
    bench b = bench_open();
    const char *docs = read_docs(&b);
    uint32_t count;
    const tegu_pass *table = tegu_pass_table(&count);

    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        const char *head = tegu_format(b.arena, "\n**%s** (%s%s", table[i].name,
                                       levels_text(&b, &table[i]),
                                       table[i].lossy ? ", lossy" : ")");
        has(docs, head);
    }
    bench_close(&b);
}

static void docs_give_every_preset_with_its_reasons(void **state)
{
    bench b = bench_open();
    const char *docs = read_docs(&b), *why, *step;

    (void)state;
    for (int level = 0; level <= 2; level++) {
        const char *at = strstr(docs, tegu_format(b.arena, "| -O%d |", level));
        assert_non_null(at);
        for (uint32_t i = 0; (step = tegu_preset_step(level, i, &why)); i++) {
            const char *line =
                tegu_format(b.arena, " `%s` | %s |\n", step, why);
            at = strstr(at, line);
            if (!at)
                fail_msg("-O%d lacks \"%s\"", level, line);
            at += strlen(line);
        }
        assert_true(*at != '|' || !strncmp(at, "| -O", 4));
    }
    bench_close(&b);
}

static void docs_list_every_rule(void **state)
{
    bench b = bench_open();
    const char *docs = read_docs(&b);
    tegu_rule_table tables[] = {tegu_rules_algebra(), tegu_rules_movement()};

    (void)state;
    for (uint32_t t = 0; t < 2; t++)
        for (uint32_t i = 0; i < tables[t].count; i++)
            has(docs,
                tegu_format(b.arena, "\n| %s | ", tables[t].rules[i].name));
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(docs_name_every_pass_and_option),
        cmocka_unit_test(docs_state_levels_and_losses),
        cmocka_unit_test(docs_give_every_preset_with_its_reasons),
        cmocka_unit_test(docs_list_every_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
