/* SPDX-License-Identifier: Apache-2.0 */
/* args.c - parses the command line by options.def.
 *
 * Takes argv; produces tegu_args.  `--name value`, `--name=value`, `-n value`,
 * `-nvalue` and `--` are understood; an unknown word is answered with the
 * nearest known one.  What values mean is the commands' business.
 */
#include "frontend/cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const tegu_command_info tegu_commands[TEGU_COMMAND_COUNT] = {
#define TEGU_COMMAND(id, name, operands, min, max, summary, details)           \
    [TEGU_COMMAND_##id] = {name, operands, min, max, summary, details},
#include "frontend/cli/options.def"
};

enum command_bits {
#define TEGU_COMMAND(id, name, operands, min, max, summary, details)           \
    id = 1 << TEGU_COMMAND_##id,
#include "frontend/cli/options.def"
};

const tegu_cli_info tegu_cli_options[TEGU_CLI_END] = {
#define TEGU_CLI(id, long_name, short_name, placeholder, commands, help)       \
    [TEGU_CLI_##id] = {long_name, short_name, placeholder, commands, help},
#include "frontend/cli/options.def"
};

static bool usage(tegu_cli *cli, const char *format, const char *word)
{
    const char *shown = tegu_escaped(cli->arena, word, strlen(word));
    char *text = tegu_format(cli->arena, format, shown);
    return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE, "%s", text);
}

static bool unknown_command(tegu_cli *cli, const char *word,
                            const char *const *names, size_t count)
{
    const char *shown = tegu_escaped(cli->arena, word, strlen(word));
    const char *near = tegu_nearest(word, names, count);
    return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "unknown command '%s'%s%s%s", shown,
                      near ? "; did you mean '" : ": see 'tegu help'",
                      near ? near : "", near ? "'?" : "");
}

static bool parse_command(tegu_cli *cli, const char *word)
{
    const char *names[TEGU_COMMAND_COUNT];
    for (int i = 0; i < TEGU_COMMAND_COUNT; i++) {
        names[i] = tegu_commands[i].name;
        if (strcmp(word, names[i]) == 0) {
            cli->args.command = (tegu_command)i;
            return true;
        }
    }
    return unknown_command(cli, word, names, TEGU_COMMAND_COUNT);
}

static bool applies(const tegu_cli *cli, int option)
{
    return tegu_cli_options[option].commands >> cli->args.command & 1;
}

/* The option that `name` (length given) spells; TEGU_CLI_END if none. */
static tegu_cli_option find_long(const tegu_cli *cli, const char *name,
                                 size_t length)
{
    for (int i = 0; i < TEGU_CLI_END; i++) {
        const char *known = tegu_cli_options[i].long_name;
        if (applies(cli, i) && strlen(known) == length &&
            memcmp(known, name, length) == 0)
            return (tegu_cli_option)i;
    }
    return TEGU_CLI_END;
}

static tegu_cli_option find_short(const tegu_cli *cli, char name)
{
    for (int i = 0; i < TEGU_CLI_END; i++)
        if (applies(cli, i) && tegu_cli_options[i].short_name == name)
            return (tegu_cli_option)i;
    return TEGU_CLI_END;
}

static bool unknown_option(tegu_cli *cli, const char *word)
{
    const char *names[TEGU_CLI_END];
    size_t count = 0;
    for (int i = 0; i < TEGU_CLI_END; i++)
        if (applies(cli, i))
            names[count++] = tegu_cli_options[i].long_name;
    const char *bare = word + strspn(word, "-");
    const char *shown = tegu_escaped(cli->arena, word, strlen(word));
    const char *near = tegu_nearest(bare, names, count);
    const char *command = tegu_commands[cli->args.command].name;
    return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "'tegu %s' has no option '%s'%s%s'%s", command, shown,
                      near ? "; did you mean '--" : ": see 'tegu help ",
                      near ? near : command, near ? "?" : "");
}

/* Stores an option whose value is `inline_value` or the next word. */
static bool take_option(tegu_cli *cli, tegu_cli_option option,
                        const char *inline_value, int argc, char **argv, int *i)
{
    const tegu_cli_info *info = &tegu_cli_options[option];
    const char *value = inline_value;
    if (!info->placeholder) {
        if (inline_value)
            return usage(cli, "option '--%s' takes no value", info->long_name);
        value = "";
    } else if (!value) {
        if (*i + 1 >= argc)
            return usage(cli, "option '--%s' needs a value", info->long_name);
        value = argv[++*i];
    }
    tegu_vec_push(cli->arena, &cli->args.values[option], value);
    return true;
}

static bool take_word(tegu_cli *cli, int argc, char **argv, int *i)
{
    char *word = argv[*i];
    if (word[0] != '-' || word[1] == 0) {
        tegu_vec_push(cli->arena, &cli->args.operands, word);
        return true;
    }
    if (word[1] != '-') {
        tegu_cli_option option = find_short(cli, word[1]);
        if (option == TEGU_CLI_END)
            return unknown_option(cli, word);
        const char *rest = word[2] ? word + 2 : NULL;
        return take_option(cli, option, rest, argc, argv, i);
    }
    char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
    tegu_cli_option option = find_long(cli, word + 2, length);
    if (option == TEGU_CLI_END)
        return unknown_option(cli, word);
    return take_option(cli, option, equals ? equals + 1 : NULL, argc, argv, i);
}

bool tegu_args_parse(tegu_cli *cli, int argc, char **argv)
{
    if (argc < 2)
        return usage(cli, "no command%s: see 'tegu help'", "");
    if (!parse_command(cli, argv[1]))
        return false;
    bool words_only = false;
    for (int i = 2; i < argc; i++) {
        if (words_only)
            tegu_vec_push(cli->arena, &cli->args.operands, argv[i]);
        else if (strcmp(argv[i], "--") == 0)
            words_only = true;
        else if (!take_word(cli, argc, argv, &i))
            return false;
    }
    const tegu_command_info *info = &tegu_commands[cli->args.command];
    if ((int)cli->args.operands.count < info->min)
        return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "'tegu %s' needs %s: see 'tegu help %s'", info->name,
                          info->operands, info->name);
    if ((int)cli->args.operands.count > info->max)
        return usage(cli, "one word too many: '%s'",
                     cli->args.operands.data[info->max]);
    for (uint32_t i = 0; i < cli->args.operands.count; i++)
        if (!cli->args.operands.data[i][0])
            return usage(cli, "%s is empty", info->operands);
    return true;
}

bool tegu_args_has(const tegu_args *args, tegu_cli_option option)
{
    return args->values[option].count != 0;
}

const char *tegu_args_text(const tegu_args *args, tegu_cli_option option,
                           const char *fallback)
{
    uint32_t n = args->values[option].count;
    return n ? args->values[option].data[n - 1] : fallback;
}

static bool out_of_range(tegu_cli *cli, tegu_cli_option option,
                         const char *text, const char *lo, const char *hi)
{
    return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "--%s takes a number from %s to %s, not '%s'",
                      tegu_cli_options[option].long_name, lo, hi,
                      tegu_escaped(cli->arena, text, strlen(text)));
}

bool tegu_args_int(tegu_cli *cli, tegu_cli_option option, int64_t fallback,
                   int64_t lo, int64_t hi, int64_t *value)
{
    *value = fallback;
    const char *text = tegu_args_text(&cli->args, option, NULL);
    if (!text)
        return true;
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < lo || n > hi)
        return out_of_range(cli, option, text,
                            tegu_format(cli->arena, "%lld", (long long)lo),
                            tegu_format(cli->arena, "%lld", (long long)hi));
    *value = n;
    return true;
}

bool tegu_args_float(tegu_cli *cli, tegu_cli_option option, double fallback,
                     double lo, double hi, double *value)
{
    *value = fallback;
    const char *text = tegu_args_text(&cli->args, option, NULL);
    if (!text)
        return true;
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end || !isfinite(x) || x < lo || x > hi)
        return out_of_range(cli, option, text,
                            tegu_format(cli->arena, "%g", lo),
                            tegu_format(cli->arena, "%g", hi));
    *value = x;
    return true;
}
