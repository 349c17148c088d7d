/* SPDX-License-Identifier: Apache-2.0 */
/* docs/ir.md against the tables that it describes: ops.def and dtypes.def. */
#include "fixture.h"
#include "ir/base/io.h"

#include <string.h>

typedef struct document {
    tegu_arena *arena;
    const char *text;
} document;

static int set_up(void **state)
{
    static document d;
    tegu_file file;
    const char *error;
    d.arena = tegu_arena_create();
    if (!tegu_file_read(d.arena, "docs/ir.md", 0, &file, &error))
        return -1;
    d.text = (const char *)file.data;
    *state = &d;
    return 0;
}

static int tear_down(void **state)
{
    tegu_arena_destroy(((document *)*state)->arena);
    return 0;
}

/* The text of "## TITLE", up to the next one. */
static const char *section(const document *d, const char *title)
{
    const char *begin =
        strstr(d->text, tegu_format(d->arena, "\n## %s\n", title));
    if (!begin) {
        fail_msg("docs/ir.md has no section %s", title);
        return "";
    }
    const char *end = strstr(begin + 1, "\n## ");
    size_t size = end ? (size_t)(end - begin) : strlen(begin);
    return tegu_format(d->arena, "%.*s", (int)size, begin);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c >= '0' && c <= '9');
}

static bool has_word(const char *text, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += size)
        if ((at == text || !is_letter(at[-1])) && !is_letter(at[size]))
            return true;
    return false;
}

static void needs(const char *title, const char *text, const char *word)
{
    if (!has_word(text, word))
        fail_msg("docs/ir.md, %s: '%s' is missing", title, word);
}

static void every_inference_rule_is_described(void **state)
{
    const char *text = section(*state, "Inference rules");
    static const char *const rules[] = {
#define TEGU_OP(id, text, min, max, infer, ...) #infer,
#include "ir/ops.def"
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        needs("Inference rules", text, rules[i]);
}

static void every_element_type_is_named(void **state)
{
    const char *text = section(*state, "Types");
    for (int d = 0; d < TEGU_DTYPE_COUNT; d++)
        needs("Types", text, tegu_dtype_text((tegu_dtype)d));
}

static void every_gradient_has_a_row(void **state)
{
    const document *d = *state;
    const char *text = section(d, "Gradients");
    static const tegu_op ops[] = {
#define TEGU_GRADIENT(op) TEGU_OP_##op,
#include "ir/ops.def"
    };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!strstr(text, tegu_format(d->arena, "\n| %s | ",
                                      tegu_op_get(ops[i])->text)))
            fail_msg("docs/ir.md, Gradients: no row for '%s'",
                     tegu_op_get(ops[i])->text);
}

/* Element-wise ops are either transcendental, or free, or counted once. */
static void costs_say_what_is_transcendental_and_what_is_free(void **state)
{
    const document *d = *state;
    const char *text = section(d, "Costs");
    const char *trans = strstr(text, "`transcendentals` ("),
               *free_ops = strstr(text, "nothing for ");
    assert_true(trans && free_ops);
    trans = tegu_format(d->arena, "%.*s", (int)strcspn(trans, ")"), trans);
    free_ops =
        tegu_format(d->arena, "%.*s", (int)strcspn(free_ops, ";"), free_ops);
    for (int op = 0; op < TEGU_OP_COUNT; op++) {
        const tegu_op_info *info = tegu_op_get((tegu_op)op);
        if (info->kind != TEGU_KIND_MAP)
            continue;
        bool listed = has_word(trans, info->text),
             nothing = has_word(free_ops, info->text);
        if (listed != (info->flops == TEGU_FLOPS_TRANS) ||
            nothing != (info->flops == TEGU_FLOPS_NONE))
            fail_msg("docs/ir.md, Costs: '%s' is counted otherwise",
                     info->text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_inference_rule_is_described),
        cmocka_unit_test(every_element_type_is_named),
        cmocka_unit_test(every_gradient_has_a_row),
        cmocka_unit_test(costs_say_what_is_transcendental_and_what_is_free),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
