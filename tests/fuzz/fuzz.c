/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.c - running one input, and the promises that hold for every input. */
#include "tests/fuzz/fuzz.h"

#include "frontend/prelude.h"
#include "passes/pass.h"

#include <stdlib.h>
#include <string.h>

/* Passes over larger graphs would only slow the search down. */
enum { ARENA_BYTES = 256 << 20, LARGEST_GRAPH = 200 };

_Noreturn void fuzz_fail(const char *file, int line, const char *text)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
    abort();
}

void fuzz_check_line(const char *text)
{
    FUZZ_CHECK(*text && !strchr(text, '\n'));
}

/* What a user would see has no control bytes but the ends of lines. */
static void check_rendered(const tegu_diag *diag)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    FUZZ_CHECK(out != NULL);
    tegu_diag_render(diag, out, false);
    fclose(out);
    for (const char *p = text; *p; p++)
        FUZZ_CHECK(((unsigned char)*p >= 0x20 && *p != 0x7f) || *p == '\n');
    FUZZ_CHECK(tegu_utf8_valid(text, size));
    free(text);
}

static void check_messages(const tegu_diag *diag, bool accepted)
{
    uint32_t count;
    const tegu_message *messages = tegu_diag_messages(diag, &count);
    int code = tegu_diag_exit_code(diag);
    FUZZ_CHECK(accepted == (tegu_diag_errors(diag) == 0));
    if (code == 70)
        tegu_diag_render(diag, stderr, false);
    FUZZ_CHECK(code == 0 || code == 64 || code == 65 || code == 66 ||
               code == 69 || code == 71);
    for (uint32_t i = 0; i < count; i++)
        fuzz_check_line(messages[i].text);
    check_rendered(diag);
}

void fuzz_read(const uint8_t *data, size_t size, bool (*read)(fuzz_case *c))
{
    tegu_arena *arena = tegu_arena_create();
    FUZZ_CHECK(arena != NULL);
    jmp_buf failure;
    if (setjmp(failure) == 0) {
        tegu_arena_on_failure(arena, &failure);
        tegu_arena_limit(arena, ARENA_BYTES);
        char *text = tegu_arena_alloc(arena, size + 1);
        if (size)
            memcpy(text, data, size);
        fuzz_case c = {arena, tegu_diag_create(arena), text, size};
        bool accepted = read(&c);
        check_messages(c.diag, accepted);
    }
    tegu_arena_destroy(arena);
}

static tegu_unit *read_back(fuzz_case *c, const tegu_text *printed)
{
    tegu_unit *unit = tegu_unit_parse(c->arena, c->diag, "printed.tir",
                                      tegu_text_cstr(printed), printed->count);
    if (!unit)
        tegu_diag_render(c->diag, stderr, false);
    FUZZ_CHECK(unit != NULL);
    return unit;
}

static uint32_t nodes_of(const tegu_unit *unit)
{
    uint32_t count = 0;
    for (uint32_t e = 0; e < unit->entries.count; e++)
        count += unit->entries.data[e].graph->nodes.count;
    return count;
}

/* A refusal for want of support or memory is an answer; a broken graph or an
 * internal error is a find. */
static void run_passes(fuzz_case *c, tegu_unit *unit)
{
    tegu_pipeline *pipeline = tegu_pipeline_parse(c->arena, c->diag, "");
    tegu_manager_options options = {.verify_each = true};
    tegu_manager_report report = {0};
    tegu_pipeline_add_preset(pipeline, 2);
    bool done = tegu_manager_run(unit, pipeline, &options, &report);
    check_messages(c->diag, done);
    tegu_diag_clear(c->diag);
}

void fuzz_unit(fuzz_case *c, tegu_unit *unit)
{
    tegu_text first = {.arena = c->arena}, second = {.arena = c->arena};
    FUZZ_CHECK(tegu_unit_verify(unit));
    tegu_unit_print(&first, unit);
    tegu_unit *again = read_back(c, &first);
    tegu_unit_print(&second, again);
    FUZZ_CHECK(strcmp(tegu_text_cstr(&first), tegu_text_cstr(&second)) == 0);
    if (nodes_of(again) > LARGEST_GRAPH)
        return;
    tegu_prelude_attach(again);
    run_passes(c, again);
}
