/* SPDX-License-Identifier: Apache-2.0 */
/* opt.c - `tegu opt`: runs passes and prints the IR, and `tegu check`, which
 * only loads.
 *
 * --emit model writes source and weights (emit_model.c), core prints the IR
 * after `legalise`, kernel after the whole preset, ir wherever the given
 * pipeline ends.
 */
#include "frontend/cli/cli.h"
#include "frontend/cli/dot.h"
#include "frontend/cli/emit_model.h"
#include "frontend/cli/report.h"

#include <string.h>

static bool write_output(tegu_cli *cli, const tegu_text *text)
{
    return tegu_output_write(cli,
                             tegu_args_text(&cli->args, TEGU_CLI_FILE, "-"),
                             tegu_text_cstr(text), text->count);
}

static bool unknown_level(tegu_cli *cli, const char *word)
{
    static const char *const levels[] = {"model", "core", "kernel", "ir",
                                         "dot"};
    const char *near = tegu_nearest(word, levels, 5);
    return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "opt cannot emit '%s'%s%s%s",
                      tegu_escaped(cli->arena, word, strlen(word)),
                      near ? "; did you mean '"
                           : ": it emits model, core, "
                             "kernel, ir or dot",
                      near ? near : "", near ? "'?" : "");
}

/* The pipeline that ends at the level asked for. */
static bool run_passes(tegu_cli *cli, tegu_session *session, const char *emit)
{
    const char *given = tegu_args_text(&cli->args, TEGU_CLI_PIPELINE, "");
    if (strcmp(emit, "kernel") == 0)
        return tegu_session_passes(cli, session, given, true);
    if (strcmp(emit, "core") == 0)
        given =
            tegu_format(cli->arena, "%s%slegalise", given, *given ? "," : "");
    else if (strcmp(emit, "model") != 0 && strcmp(emit, "ir") != 0 &&
             strcmp(emit, "dot") != 0)
        return unknown_level(cli, emit);
    return tegu_session_passes(cli, session, given, false);
}

int tegu_command_OPT(tegu_cli *cli)
{
    const char *emit = tegu_args_text(&cli->args, TEGU_CLI_STAGE, "ir");
    const char *path = tegu_args_text(&cli->args, TEGU_CLI_FILE, "-");
    bool source = strcmp(emit, "model") == 0;
    if (source && !tegu_emit_model_check(cli, path))
        return 64;
    tegu_session *session = tegu_session_open(cli, false);
    if (!session)
        return 65;
    bool ok = run_passes(cli, session, emit);
    tegu_text text = {.arena = cli->arena};
    if (ok && !tegu_args_has(&cli->args, TEGU_CLI_QUIET))
        tegu_report_print(stderr, cli, session);
    if (ok && source) {
        ok = tegu_emit_model(cli, session, path);
    } else if (ok) {
        if (strcmp(emit, "dot") == 0)
            tegu_dot_print(&text, session->unit);
        else
            tegu_unit_print(&text, session->unit);
        ok = write_output(cli, &text);
    }
    tegu_session_close(session);
    return ok ? 0 : 70;
}

int tegu_command_CHECK(tegu_cli *cli)
{
    tegu_session *session = tegu_session_open(cli, false);
    if (!session)
        return 65;
    tegu_unit *unit = session->unit;
    if (!tegu_args_has(&cli->args, TEGU_CLI_QUIET)) {
        printf("%s: %u entries, %u parameter tensors (%s values), %u "
               "states\n",
               unit->name, unit->entries.count, unit->params.count,
               tegu_count_text(cli->arena, tegu_unit_parameters(unit)),
               unit->states.count);
        for (uint32_t e = 0; e < unit->entries.count; e++)
            printf("  entry %s: %u operations\n", unit->entries.data[e].name,
                   unit->entries.data[e].graph->nodes.count - 1);
    }
    tegu_session_close(session);
    return 0;
}

int tegu_command_IMPORT(tegu_cli *cli)
{
    tegu_text text = {.arena = cli->arena};
    tegu_file config;
    tegu_input_add(cli, cli->args.operands.data[0]);
    bool ok = tegu_import_hf(cli->arena, cli->diag, cli->args.operands.data[0],
                             &text, &config) &&
              write_output(cli, &text);
    return ok ? 0 : 65;
}
