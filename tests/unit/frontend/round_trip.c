/* SPDX-License-Identifier: Apache-2.0 */
/* round_trip.c - takes a unit, writes it as source, loads that, and holds the
 * entries that load to the unit's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/frontend.h"
#include "ir/ir.h"
#include "round_trip.h"
#include <stdio.h>
#include <string.h>

const char *written(tegu_arena *arena, tegu_unit *unit)
{
    tegu_text text = {.arena = arena};
    tegu_write_options options = {.weights = "w.safetensors"};

    if (!tegu_write_language(unit, &options, &text)) {
        tegu_diag_render(unit->diag, stderr, false);
        fail_msg("a unit cannot be written");
    }
    return tegu_text_cstr(&text);
}

static void compare(const char *text, const tegu_entry *a, const tegu_entry *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->arguments.count, b->arguments.count);
    for (uint32_t i = 0; i < a->arguments.count; i++)
        assert_string_equal(a->arguments.data[i].name,
                            b->arguments.data[i].name);
    if (tegu_graph_hash(a->graph) != tegu_graph_hash(b->graph))
        fail_msg("entry %s has another graph after\n%s", a->name, text);
}

tegu_unit *round_trip(tegu_arena *arena, tegu_unit *unit)
{
    const char *text = written(arena, unit);
    tegu_diag *diag = tegu_diag_create(arena);
    tegu_load_options options = {.without_weights = true, .name = "again"};
    tegu_unit *again = tegu_language_load(arena, diag, "again.tegu", text,
                                          strlen(text), &options);

    if (!again || !tegu_unit_verify(again)) {
        tegu_diag_render(diag, stderr, false);
        fail_msg("this does not load:\n%s", text);
    }
    assert_int_equal(again->entries.count, unit->entries.count);
    for (uint32_t e = 0; e < unit->entries.count; e++)
        compare(text, &unit->entries.data[e], &again->entries.data[e]);
    return again;
}
