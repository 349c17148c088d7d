/* SPDX-License-Identifier: Apache-2.0 */
/* The golden files of tests/golden/rules and tests/golden/passes, run through
 * the library: the pipeline of their RUN line, checked after each step, and
 * their CHECK and CHECK-NEXT lines as plain text.  Every rule has a file of
 * its name in which it applies, and every file its rule. */
#include "bench.h"
#include "frontend/prelude.h"
#include "ir/base/io.h"
#include "passes/rules.h"
#include <dirent.h>
#include <string.h>

#define RULES "tests/golden/rules"
#define PASSES "tests/golden/passes"

static const char *read_text(const bench *b, const char *path)
{
    tegu_file file;
    const char *error;

    if (!tegu_file_read(b->arena, path, 0, &file, &error))
        fail_msg("%s: %s", path, error);
    return (const char *)file.data;
}

/* "PIPELINE" of "# RUN: ... -p PIPELINE --check-each", maybe in quotes. */
static const char *pipeline_of(const bench *b, const char *text)
{
    const char *at = strstr(text, "# RUN: ");
    const char *option = at ? strstr(at, " -p ") : NULL;
    size_t size;

    assert_non_null(option);
    option += 4;
    option += *option == '\'';
    size = strcspn(option, "' ");
    assert_non_null(strstr(option, "--check-each"));
    return tegu_format(b->arena, "%.*s", (int)size, option);
}

/* The line of `text` that holds `wanted`; NULL: none. */
static const char *line_with(const char *text, const char *wanted)
{
    const char *at = strstr(text, wanted);

    while (at && at > text && at[-1] != '\n')
        at--;
    return at;
}

static const char *line_after(const char *text)
{
    const char *end = strchr(text, '\n');

    return end ? end + 1 : text + strlen(text);
}

static void check_lines(bench *b, const char *path, const char *text)
{
    const char *out = bench_printed(b), *at = out;
    uint32_t checks = 0;

    for (; *text; text = line_after(text)) {
        bool next = !strncmp(text, "# CHECK-NEXT: ", 14);
        size_t skip = next ? 14 : 9;
        const char *wanted, *found;
        if (!next && strncmp(text, "# CHECK: ", 9) != 0)
            continue;
        wanted = tegu_format(b->arena, "%.*s",
                             (int)(strcspn(text, "\n") - skip), text + skip);
        found = line_with(at, wanted);
        if (!found || (next && found != at))
            fail_msg("%s: expected \"%s\" in\n%s", path, wanted, out);
        at = line_after(found);
        checks++;
    }
    assert_int_not_equal(checks, 0);
}

static void run_golden(const char *folder, const char *name,
                       const char *pipeline)
{
    bench b = bench_open();
    const char *path = tegu_path_join(b.arena, folder, name);
    const char *text = read_text(&b, path);

    b.unit = tegu_unit_parse(b.arena, b.diag, path, text, strlen(text));
    if (!b.unit)
        tegu_diag_render(b.diag, stderr, false);
    assert_non_null(b.unit);
    tegu_prelude_attach(b.unit);
    bench_run(&b, pipeline ? pipeline : pipeline_of(&b, text));
    check_lines(&b, path, text);
    if (pipeline) {
        const char *rule = tegu_format(b.arena, "canonicalise: %.*s ",
                                       (int)strcspn(name, "."), name);
        if (!strstr(tegu_text_cstr(&b.report.remarks), rule))
            fail_msg("%s: its rule does not apply", path);
    }
    bench_close(&b);
}

/* Runs every file of a folder; how many there are. */
static uint32_t run_folder(const char *folder, const char *pipeline)
{
    DIR *dir = opendir(folder);
    uint32_t count = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (size < 4 || strcmp(entry->d_name + size - 4, ".tir") != 0)
            continue;
        run_golden(folder, entry->d_name, pipeline);
        count++;
    }
    closedir(dir);
    return count;
}

static void every_rule_applies_in_the_file_of_its_name(void **state)
{
    tegu_rule_table tables[] = {tegu_rules_algebra(), tegu_rules_movement()};
    uint32_t rules = tables[0].count + tables[1].count;

    (void)state;
    for (uint32_t t = 0; t < 2; t++) {
        for (uint32_t i = 0; i < tables[t].count; i++) {
            char path[256];
            snprintf(path, sizeof path, RULES "/%s.tir",
                     tables[t].rules[i].name);
            if (!tegu_path_exists(path))
                fail_msg("rule '%s' has no golden file",
                         tables[t].rules[i].name);
        }
    }
    assert_int_equal(run_folder(RULES, "canonicalise{trace=true}"), rules);
}

static void passes_do_what_their_golden_files_say(void **state)
{
    (void)state;
    assert_true(run_folder(PASSES, NULL) >= 15);
}

static void goldens_keep_their_meaning_in_every_preset(void **state)
{
    static const char *const presets[] = {"-O0", "-O1", "-O2"};
    DIR *dir = opendir(RULES);

    (void)state;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        for (int i = 0; i < 3; i++) {
            bench b = bench_open();
            const char *text =
                read_text(&b, tegu_path_join(b.arena, RULES, entry->d_name));
            b.unit = tegu_unit_parse(b.arena, b.diag, entry->d_name, text,
                                     strlen(text));
            bench_run(&b, presets[i]);
            bench_close(&b);
        }
    }
    closedir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_applies_in_the_file_of_its_name),
        cmocka_unit_test(passes_do_what_their_golden_files_say),
        cmocka_unit_test(goldens_keep_their_meaning_in_every_preset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
