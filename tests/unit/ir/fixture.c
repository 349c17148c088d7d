/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.c - see fixture.h. */
#include "fixture.h"

#include <string.h>

fixture fixture_open(void)
{
    fixture f = {.arena = tegu_arena_create()};
    f.diag = tegu_diag_create(f.arena);
    return f;
}

void fixture_close(fixture *f)
{
    tegu_arena_destroy(f->arena);
}

tegu_unit *parse(fixture *f, const char *text)
{
    return tegu_unit_parse(f->arena, f->diag, "test.tir", text, strlen(text));
}

tegu_unit *parse_good(fixture *f, const char *text)
{
    tegu_unit *unit = parse(f, text);
    if (!unit) {
        tegu_diag_render(f->diag, stderr, false);
        fail_msg("rejected:\n%s", text);
    }
    return unit;
}

const char *printed(fixture *f, const tegu_unit *unit)
{
    tegu_text out = {.arena = f->arena};
    tegu_unit_print(&out, unit);
    return tegu_text_cstr(&out);
}

const char *take_message(fixture *f)
{
    uint32_t count;
    const tegu_message *messages = tegu_diag_messages(f->diag, &count);
    const char *text = count ? messages[0].text : "";
    tegu_diag_clear(f->diag);
    return text;
}

void assert_message(fixture *f, const char *prefix)
{
    const char *text = take_message(f);
    if (strncmp(text, prefix, strlen(prefix)) != 0)
        fail_msg("message \"%s\", expected \"%s\"", text, prefix);
}

tegu_graph *empty_graph(fixture *f)
{
    tegu_unit *unit = tegu_unit_create(f->arena, f->diag, "t");
    tegu_unit_add_axis(unit, "T", true, 1, 512);
    tegu_unit_add_axis(unit, "S", true, 1, 64);
    tegu_unit_add_axis(unit, "dim", false, 256, 256);
    tegu_unit_add_axis(unit, "heads", false, 8, 8);
    return tegu_graph_create(unit, TEGU_LEVEL_CORE);
}

tegu_value input(tegu_graph *g, const char *name, const tegu_type *type)
{
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_INPUT, "name", name);
    return tegu_build(g, tegu_loc_none(), TEGU_OP_INPUT, 0, NULL, 1, &attr,
                      type);
}
