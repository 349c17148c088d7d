/* SPDX-License-Identifier: Apache-2.0 */
/* info.c - the commands that print tegu's own tables: passes, ops, targets,
 * and `explain` for an error code or an object file. */
#include "frontend/cli/cli.h"

#include <string.h>

static const char *level_letters(char *buffer, unsigned levels)
{
    int n = 0;
    if (levels & TEGU_LEVEL_MODEL)
        buffer[n++] = 'M';
    if (levels & TEGU_LEVEL_CORE)
        buffer[n++] = 'C';
    if (levels & TEGU_LEVEL_KERNEL)
        buffer[n++] = 'K';
    buffer[n] = 0;
    return buffer;
}

int tegu_command_PASSES(tegu_cli *cli)
{
    (void)cli;
    uint32_t count;
    char needs[4], gives[4];
    const tegu_pass *passes = tegu_pass_table(&count);
    printf("levels: M model, C core, K kernel\n\n");
    for (uint32_t i = 0; i < count; i++) {
        const tegu_pass *pass = &passes[i];
        printf("%-13s %-3s %s%-2s %-5s  %s\n", pass->name,
               level_letters(needs, pass->needs), pass->gives ? "-> " : "   ",
               level_letters(gives, pass->gives),
               pass->lossy ? "lossy" : "exact", pass->summary);
        uint32_t options;
        const tegu_option *option = tegu_pass_options(pass, &options);
        for (uint32_t o = 0; o < options; o++)
            printf("    %s=%s  %s\n", option[o].key, option[o].value,
                   option[o].summary);
    }
    return 0;
}

int tegu_command_OPS(tegu_cli *cli)
{
    (void)cli;
    char levels[4];
    printf("%-12s %-6s %-6s %s\n", "op", "inputs", "levels", "meaning");
    for (int op = 0; op < TEGU_OP_COUNT; op++) {
        const tegu_op_info *info = tegu_op_get((tegu_op)op);
        char inputs[16];
        if (info->max == 255)
            snprintf(inputs, sizeof inputs, "%u+", info->min);
        else if (info->min == info->max)
            snprintf(inputs, sizeof inputs, "%u", info->min);
        else
            snprintf(inputs, sizeof inputs, "%u-%u", info->min, info->max);
        printf("%-12s %-6s %-6s %s\n", info->text, inputs,
               level_letters(levels, info->levels), info->summary);
        for (uint32_t a = 0; a < info->attr_count; a++)
            printf("    %s%s%s: %s\n", info->attrs[a].key,
                   info->attrs[a].value ? "=" : "",
                   info->attrs[a].value ? info->attrs[a].value : "",
                   info->attrs[a].summary);
    }
    return 0;
}

static void print_words(tegu_arch arch,
                        const char *(*name)(size_t, tegu_arch *))
{
    int column = 0;
    tegu_arch of;
    for (size_t i = 0; name(i, &of); i++) {
        if (of != arch)
            continue;
        int length = (int)strlen(name(i, &of)) + 1;
        if (column + length > 76) {
            putchar('\n');
            column = 0;
        }
        printf("%s%s", column ? " " : "    ", name(i, &of));
        column += length;
    }
    putchar('\n');
}

int tegu_command_TARGETS(tegu_cli *cli)
{
    static const struct {
        tegu_arch arch;
        const char *name;
    } archs[] = {{TEGU_ARCH_X86_64, "x86-64"}, {TEGU_ARCH_AARCH64, "aarch64"}};
    tegu_target target;
    tegu_failure failure;
    for (size_t i = 0; tegu_target_name(i); i++) {
        if (!tegu_target_find(&target, tegu_target_name(i), NULL, NULL,
                              &failure)) {
            tegu_error(cli->diag, tegu_loc_none(), TEGU_E_INTERNAL, "%s",
                       failure.text);
            return 70;
        }
        printf("%-12s cpu %s, %u-bit vectors, %u registers, tile %ux%u\n",
               tegu_target_name(i), target.cpu, target.lanes * 32,
               target.registers, target.mr, target.nv);
    }
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++) {
        printf("\n--cpu for %s:\n", archs[a].name);
        print_words(archs[a].arch, tegu_target_cpu_name);
        printf("--features for %s:\n", archs[a].name);
        print_words(archs[a].arch, tegu_target_feature_name);
    }
    return 0;
}

static bool is_code(const char *word)
{
    return (word[0] == 'E' || word[0] == 'e') && strlen(word) == 5 &&
           strspn(word + 1, "0123456789") == 4;
}

static int explain_code(tegu_cli *cli, const char *word)
{
    char code[6] = {'E', word[1], word[2], word[3], word[4], 0};
    tegu_diag_id id = tegu_diag_find(code);
    if (id == TEGU_DIAG_COUNT) {
        tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                   "no message has the code %s", code);
        return 64;
    }
    printf("%s: %s\n\n%s\n", code, tegu_diag_title(id), tegu_diag_help(id));
    return 0;
}

static int explain_object(tegu_cli *cli, const char *path)
{
    tegu_file file;
    const char *error;
    if (!tegu_file_read(cli->arena, path, 0, &file, &error)) {
        tegu_error(cli->diag, tegu_loc_file(path), TEGU_E_NO_INPUT, "%s",
                   error);
        return 66;
    }
    size_t mark = sizeof TEGU_PROVENANCE - 1;
    for (size_t i = 0; i + mark < file.size; i++) {
        if (memcmp(file.data + i, TEGU_PROVENANCE, mark) != 0)
            continue;
        size_t end = i + mark;
        while (end < file.size && file.data[end])
            end++;
        fwrite(file.data + i + mark, 1, end - i - mark, stdout);
        return 0;
    }
    tegu_error(cli->diag, tegu_loc_file(path), TEGU_E_UNSUPPORTED,
               "no provenance of tegu in this file");
    return 69;
}

int tegu_command_EXPLAIN(tegu_cli *cli)
{
    const char *word = cli->args.operands.data[0];
    return is_code(word) ? explain_code(cli, word) : explain_object(cli, word);
}
