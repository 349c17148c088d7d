/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - `tegu plan`: what a model costs, from shapes alone.
 *
 * Reads no weights.  Symbolic axes take --length for the prompt figure and
 * their least value for the decode figure, at --position.
 */
#include "frontend/cli/model.h"

#include <jansson.h>

typedef struct plan_row {
    const char *entry, *what;
    int64_t length, position;
    tegu_cost cost, dense;
    double workspace;
} plan_row;

static bool fill_row(tegu_cli *cli, tegu_unit *unit, const tegu_entry *entry,
                     plan_row *row)
{
    int64_t *symbols = tegu_symbols_at(cli, unit, row->length);
    row->entry = entry->name;
    row->workspace = (double)tegu_artifact_workspace(unit, entry, symbols);
    return tegu_entry_cost(unit, entry, symbols, row->position, false,
                           &row->cost) &&
           tegu_entry_cost(unit, entry, symbols, row->position, true,
                           &row->dense);
}

static void print_row(tegu_cli *cli, const plan_row *row)
{
    tegu_arena *arena = cli->arena;
    const tegu_cost *c = &row->cost;
    printf("%-10s %-16s %9s %9s %9s %9s %9s %9s %9s\n", row->entry, row->what,
           tegu_count_text(arena, c->macs), tegu_count_text(arena, c->flops),
           tegu_count_text(arena, row->dense.flops),
           tegu_count_text(arena, c->transcendentals),
           tegu_bytes_text(arena, c->bytes_weights),
           tegu_bytes_text(arena, c->bytes_activations),
           tegu_bytes_text(arena, row->workspace));
}

static json_t *row_json(const plan_row *row)
{
    const tegu_cost *c = &row->cost;
    return json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
                     "entry", row->entry, "length", (json_int_t)row->length,
                     "position", (json_int_t)row->position, "macs", c->macs,
                     "flops", c->flops, "flops_dense", row->dense.flops,
                     "transcendentals", c->transcendentals, "bytes_weights",
                     c->bytes_weights, "bytes_activations",
                     c->bytes_activations, "bytes_state", c->bytes_state,
                     "workspace_bytes", row->workspace);
}

static bool plan(tegu_cli *cli, tegu_unit *unit)
{
    int64_t length, position;
    if (!tegu_args_int(cli, TEGU_CLI_LENGTH, 256, 1, INT32_MAX, &length) ||
        !tegu_args_int(cli, TEGU_CLI_POSITION, 256, 0, INT32_MAX, &position))
        return false;
    tegu_arena *arena = cli->arena;
    bool quiet = tegu_args_has(&cli->args, TEGU_CLI_QUIET);
    if (!quiet) {
        double parameters = tegu_unit_parameters(unit);
        printf("%s: %s parameters (%s as f32), state %s\n\n", unit->name,
               tegu_count_text(arena, parameters),
               tegu_bytes_text(arena, 4 * parameters),
               tegu_bytes_text(arena, (double)tegu_artifact_state(unit)));
        printf("%-10s %-16s %9s %9s %9s %9s %9s %9s %9s\n", "entry", "call",
               "macs", "flops", "dense", "transc.", "weights", "activ.",
               "workspace");
    }
    json_t *rows = json_array();
    bool ok = true;
    for (uint32_t e = 0; ok && e < unit->entries.count; e++) {
        plan_row kinds[2] = {
            {.what = tegu_format(arena, "prompt %lld", (long long)length),
             .length = length},
            {.what = tegu_format(arena, "decode at %lld", (long long)position),
             .length = 1,
             .position = position}};
        for (int k = 0; ok && k < 2; k++) {
            ok = fill_row(cli, unit, &unit->entries.data[e], &kinds[k]);
            if (ok && !quiet)
                print_row(cli, &kinds[k]);
            if (ok)
                json_array_append_new(rows, row_json(&kinds[k]));
        }
    }
    if (ok && tegu_args_has(&cli->args, TEGU_CLI_JSON))
        return tegu_write_json(
            cli,
            json_pack("{s:s, s:f, s:f, s:o}", "model", unit->name, "parameters",
                      tegu_unit_parameters(unit), "state_bytes",
                      (double)tegu_artifact_state(unit), "calls", rows));
    json_decref(rows);
    return ok;
}

int tegu_command_PLAN(tegu_cli *cli)
{
    tegu_session *session = tegu_session_open(cli, true);
    bool ok = session && tegu_session_passes(cli, session, NULL, true) &&
              plan(cli, session->unit);
    tegu_session_close(session);
    return ok ? 0 : 70;
}
