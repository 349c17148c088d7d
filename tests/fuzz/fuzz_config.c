/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_config.c - config.json of a Hugging Face folder without weights: what
 * the importer accepts, it writes as text that the language takes. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include "tests/fuzz/fuzz.h"

#include "frontend/frontend.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/fuzz-config-XXXXXX";

static const char *config_path(tegu_arena *arena)
{
    return tegu_path_join(arena, folder, "config.json");
}

static void remove_folder(void)
{
    tegu_arena *arena = tegu_arena_create();
    unlink(config_path(arena));
    rmdir(folder);
    tegu_arena_destroy(arena);
}

static void put_config(fuzz_case *c)
{
    static bool made;
    if (!made) {
        FUZZ_CHECK(mkdtemp(folder) != NULL);
        atexit(remove_folder);
        made = true;
    }
    FILE *file = fopen(config_path(c->arena), "wb");
    FUZZ_CHECK(file != NULL);
    FUZZ_CHECK(fwrite(c->text, 1, c->size, file) == c->size);
    fclose(file);
}

/* Sizes may turn out too large for a tensor; that the text is the language is
 * the importer's promise. */
static bool load_text(fuzz_case *c, const tegu_text *text)
{
    static const tegu_define one_layer = {"layers", "1"};
    tegu_load_options options = {
        .without_weights = true, .defines = &one_layer, .define_count = 1};
    tegu_unit *unit =
        tegu_language_load(c->arena, c->diag, "/nowhere/imported.tegu",
                           tegu_text_cstr(text), text->count, &options);
    uint32_t count;
    const tegu_message *m = tegu_diag_messages(c->diag, &count);
    for (uint32_t i = 0; i < count; i++)
        FUZZ_CHECK(m[i].severity != TEGU_ERROR || m[i].id == TEGU_E_TOO_LARGE ||
                   m[i].id == TEGU_E_RESOURCES);
    if (!unit)
        return false;
    fuzz_unit(c, unit);
    tegu_unit_destroy(unit);
    return true;
}

static bool import(fuzz_case *c)
{
    tegu_text text = {.arena = c->arena};
    tegu_file config;
    put_config(c);
    return tegu_import_hf(c->arena, c->diag, folder, &text, &config) &&
           load_text(c, &text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read(data, size, import);
    return 0;
}
