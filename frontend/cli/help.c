/* SPDX-License-Identifier: Apache-2.0 */
/* help.c - help texts, the man page and the bash completion, all printed from
 * options.def. */
#include "frontend/cli/cli.h"

#include <string.h>

enum { HELP_COLUMN = 26, HELP_WIDTH = 79 };

/* Prints `text` wrapped at HELP_WIDTH, continuation lines at `indent`;
 * `column` is where the cursor stands. */
static void print_wrapped(FILE *out, const char *text, int column, int indent)
{
    while (*text) {
        int length = (int)strcspn(text, " ");
        fprintf(out, "%.*s", length, text);
        column += length;
        text += length;
        if (*text != ' ')
            continue;
        text++;
        if (column + 1 + (int)strcspn(text, " ") <= HELP_WIDTH) {
            fputc(' ', out);
            column++;
        } else {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        }
    }
    fputc('\n', out);
}

static void print_option(FILE *out, const tegu_cli_info *info)
{
    char left[64];
    size_t dots = info->placeholder ? strlen(info->placeholder) : 0;
    if (dots > 3 && strcmp(info->placeholder + dots - 3, "...") == 0)
        dots -= 3;
    snprintf(left, sizeof left, "  %c%c%s--%s%s%.*s",
             info->short_name ? '-' : ' ',
             info->short_name ? info->short_name : ' ',
             info->short_name ? ", " : "  ", info->long_name, dots ? " " : "",
             (int)dots, dots ? info->placeholder : "");
    if (strlen(left) < HELP_COLUMN)
        fprintf(out, "%-*s", HELP_COLUMN, left);
    else
        fprintf(out, "%s\n%*s", left, HELP_COLUMN, "");
    print_wrapped(out, info->help, HELP_COLUMN, HELP_COLUMN);
}

void tegu_help_command(FILE *out, tegu_command command)
{
    const tegu_command_info *info = &tegu_commands[command];
    bool options = false;
    for (int i = 0; i < TEGU_CLI_END; i++)
        options |= tegu_cli_options[i].commands >> command & 1;
    fprintf(out, "usage: tegu %s%s%s%s\n\n%s\n", info->name,
            info->operands[0] ? " " : "", info->operands,
            options ? " [options]" : "", info->summary);
    if (info->details[0])
        fprintf(out, "\n%s", info->details);
    if (options)
        fputs("\noptions:\n", out);
    for (int i = 0; i < TEGU_CLI_END; i++)
        if (tegu_cli_options[i].commands >> command & 1)
            print_option(out, &tegu_cli_options[i]);
}

static void help_overview(FILE *out)
{
    fputs("tegu compiles tensor programs to object files.\n\n"
          "usage: tegu COMMAND [operands] [options]\n\ncommands:\n",
          out);
    for (int i = 0; i < TEGU_COMMAND_COUNT; i++)
        fprintf(out, "  %-9s %s\n", tegu_commands[i].name,
                tegu_commands[i].summary);
    fputs("\n'tegu help COMMAND' or 'tegu COMMAND --help' tells more.\n"
          "'tegu --version' prints the version.\n"
          "Exit codes: 0 done, 64 usage, 65 bad input, 66 no input, 69 "
          "unsupported,\n70 internal, 71 out of resources, 73 cannot "
          "write.\n",
          out);
}

/* roff: backslashes and leading dots and quotes are escaped. */
static void man_text(FILE *out, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
        line_start = *text == '\n';
    }
}

static void man_option(FILE *out, const tegu_cli_info *info)
{
    fputs(".TP\n", out);
    if (info->short_name)
        fprintf(out, "\\fB\\-%c\\fR, ", info->short_name);
    fputs("\\fB\\-\\-", out);
    man_text(out, info->long_name);
    fputs("\\fR", out);
    if (info->placeholder)
        fprintf(out, " \\fI%s\\fR", info->placeholder);
    fputc('\n', out);
    man_text(out, info->help);
    fputc('\n', out);
}

void tegu_help_man(FILE *out)
{
    fputs(".TH TEGU 1\n.SH NAME\ntegu \\- compile tensor programs to object "
          "files\n.SH SYNOPSIS\n.B tegu\n.I COMMAND\n[operands] [options]\n",
          out);
    for (int c = 0; c < TEGU_COMMAND_COUNT; c++) {
        const tegu_command_info *info = &tegu_commands[c];
        fprintf(out, ".SH tegu %s\n.B tegu %s\n%s\n.PP\n", info->name,
                info->name, info->operands);
        man_text(out, info->summary);
        fputs("\n.PP\n.nf\n", out);
        man_text(out, info->details);
        fputs(".fi\n", out);
        for (int i = 0; i < TEGU_CLI_END; i++)
            if (tegu_cli_options[i].commands >> c & 1)
                man_option(out, &tegu_cli_options[i]);
    }
    fputs(".SH EXIT STATUS\n0 done, 64 usage, 65 bad input, 66 no input, 69 "
          "unsupported, 70 internal, 71 out of resources, 73 cannot write.\n",
          out);
}

void tegu_help_bash(FILE *out)
{
    fputs("# bash completion for tegu\n_tegu()\n{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} options=\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        options=\"",
          out);
    for (int c = 0; c < TEGU_COMMAND_COUNT; c++)
        fprintf(out, "%s%s", c ? " " : "", tegu_commands[c].name);
    fputs("\"\n    else\n        case ${COMP_WORDS[1]} in\n", out);
    for (int c = 0; c < TEGU_COMMAND_COUNT; c++) {
        fprintf(out, "        %s) options=\"", tegu_commands[c].name);
        for (int i = 0; i < TEGU_CLI_END; i++)
            if (tegu_cli_options[i].commands >> c & 1)
                fprintf(out, "--%s ", tegu_cli_options[i].long_name);
        fputs("\" ;;\n", out);
    }
    fputs("        esac\n    fi\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ] || [ \"${word:0:1}\" = - ]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
          "    else\n        COMPREPLY=($(compgen -f -- \"$word\"))\n    fi\n"
          "}\ncomplete -o filenames -F _tegu tegu\n",
          out);
}

int tegu_command_HELP(tegu_cli *cli)
{
    if (tegu_args_has(&cli->args, TEGU_CLI_MAN)) {
        tegu_help_man(stdout);
        return 0;
    }
    if (tegu_args_has(&cli->args, TEGU_CLI_BASH)) {
        tegu_help_bash(stdout);
        return 0;
    }
    if (!cli->args.operands.count) {
        help_overview(stdout);
        return 0;
    }
    const char *names[TEGU_COMMAND_COUNT];
    const char *word = cli->args.operands.data[0];
    for (int i = 0; i < TEGU_COMMAND_COUNT; i++) {
        names[i] = tegu_commands[i].name;
        if (strcmp(names[i], word) == 0) {
            tegu_help_command(stdout, (tegu_command)i);
            return 0;
        }
    }
    const char *near = tegu_nearest(word, names, TEGU_COMMAND_COUNT);
    tegu_error(
        cli->diag, tegu_loc_none(), TEGU_E_USAGE, "unknown command '%s'%s%s%s",
        tegu_escaped(cli->arena, word, strlen(word)),
        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return 64;
}
