/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - what the passes of a command line did to a model: its size before
 * and after, and the rows that lossy passes report per site.
 */
#include "frontend/cli/report.h"

#include <jansson.h>
#include <string.h>

bool tegu_size_measure(tegu_unit *unit, tegu_size *size)
{
    const tegu_entry *entry = tegu_unit_find_entry(unit, "step");
    int64_t *symbols = TEGU_ARRAY(unit->arena, int64_t, unit->axes.count);
    tegu_cost cost;
    *size = (tegu_size){0};
    if (!entry && unit->entries.count)
        entry = &unit->entries.data[0];
    if (!entry)
        return true;
    for (uint32_t a = 1; a < unit->axes.count; a++)
        symbols[a] = unit->axes.data[a].lo;
    if (!tegu_entry_cost(unit, entry, symbols, 0, false, &cost))
        return false;
    size->parameters = tegu_unit_parameters(unit);
    size->macs = cost.macs;
    size->bytes = cost.bytes_weights;
    return true;
}

static void print_change(FILE *out, const char *what, const char *before,
                         const char *after, double ratio)
{
    fprintf(out, "%s %s -> %s (%+.1f %%)", what, before, after,
            100 * (ratio - 1));
}

void tegu_report_print(FILE *out, tegu_cli *cli, const tegu_session *session)
{
    const tegu_size *a = &session->before, *b = &session->after;
    tegu_arena *arena = cli->arena;
    if (a->parameters > 0 && a->parameters != b->parameters) {
        print_change(out, "  parameters", tegu_count_text(arena, a->parameters),
                     tegu_count_text(arena, b->parameters),
                     b->parameters / a->parameters);
        print_change(out, ", MACs/token", tegu_count_text(arena, a->macs),
                     tegu_count_text(arena, b->macs), b->macs / a->macs);
        print_change(out, ", weights read/token",
                     tegu_bytes_text(arena, a->bytes),
                     tegu_bytes_text(arena, b->bytes), b->bytes / a->bytes);
        fputc('\n', out);
    }
    fputs(tegu_text_cstr(&session->report.remarks), out);
}

json_t *tegu_report_json(const tegu_session *session)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < session->report.sites.count; i++) {
        const tegu_site_row *row = &session->report.sites.data[i];
        json_t *site =
            json_pack("{s:s, s:s}", "pass", row->pass, "site", row->site);
        for (uint32_t k = 0; k < row->count; k++)
            json_object_set_new(site, row->figures[k].name,
                                json_real(row->figures[k].value));
        json_array_append_new(all, site);
    }
    return all;
}
