/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - a model's files to a unit.
 *
 * Takes    a .tegu file, a .tir file or a Hugging Face folder.
 * Produces a unit at model level with mapped weights and the prelude attached.
 * How      files are parsed, imports followed in place, names declared, then
 *          every entry is elaborated, then what no entry calls is checked.
 *          Weights come last, once the rest is right.
 */
#include "frontend/c_name.h"
#include "frontend/module.h"
#include "frontend/prelude.h"
#include "ir/ir.h"
#include <string.h>

enum { IMPORT_LIMIT = 64 }; /* files open at once */

/* --- paths --- */

/* No '..', no root: the file lies in the model's folder or below. */
static bool stays_inside(const char *name)
{
    if (!*name || *name == '/')
        return false;
    for (const char *part = name;;) {
        size_t length = strcspn(part, "/");
        if (length == 2 && part[0] == '.' && part[1] == '.')
            return false;
        if (!part[length])
            return length > 0;
        part += length + 1;
    }
}

const char *tegu_source_path(tegu_source *source, const char *name,
                             tegu_loc loc)
{
    tegu_elab *el = source->el;
    if (!stays_inside(name)) {
        tegu_error(el->diag, loc, TEGU_E_NAME,
                   "'%s' must be a file in the model's folder or below it",
                   tegu_escaped(el->arena, name, strlen(name)));
        return NULL;
    }
    const char *folder = tegu_path_dir(el->arena, source->path);
    if (strcmp(folder, ".") == 0 && !strchr(source->path, '/'))
        folder = "";
    return tegu_intern_cstr(el->unit->names,
                            tegu_path_join(el->arena, folder, name));
}

/* --- imports --- */

typedef struct importer {
    tegu_source *source;
    tegu_map *done; /* paths that were read */
    const char *open[IMPORT_LIMIT];
    uint32_t depth;
} importer;

static void add_file(importer *im, const char *path, const char *text,
                     size_t size);

static void import_cycle(importer *im, tegu_loc loc, const char *path)
{
    tegu_elab *el = im->source->el;
    tegu_text chain = {.arena = el->arena};
    uint32_t from = 0;
    while (strcmp(im->open[from], path) != 0)
        from++;
    for (uint32_t i = from; i < im->depth; i++)
        tegu_text_printf(
            &chain, "%s imports ",
            tegu_escaped(el->arena, im->open[i], strlen(im->open[i])));
    tegu_text_escape(&chain, path, strlen(path));
    tegu_error(el->diag, loc, TEGU_E_NAME, "files import each other: %s",
               tegu_text_cstr(&chain));
}

/* "./a//b" and "a/b" are one file. */
static const char *plain_path(tegu_elab *el, const char *name)
{
    tegu_text out = {.arena = el->arena};
    for (const char *part = name; *part;) {
        size_t length = strcspn(part, "/");
        bool skip = length == 0 || (length == 1 && *part == '.');
        if (!skip) {
            tegu_text_add(&out, "/", out.count ? 1 : 0);
            tegu_text_add(&out, part, length);
        }
        part += length + (part[length] == '/');
    }
    return tegu_text_cstr(&out);
}

/* The unit keeps the file, so that no output is written over it. */
static void add_read_file(importer *im, const char *path, const tegu_file *file)
{
    tegu_vec_push(im->source->el->arena, &im->source->el->unit->files, *file);
    add_file(im, path, (const char *)file->data, file->size);
}

static void follow(importer *im, const tegu_decl *decl)
{
    tegu_elab *el = im->source->el;
    tegu_file file;
    const char *error;
    if (!decl->name || !*decl->name)
        return;
    const char *path = tegu_source_path(
        im->source,
        stays_inside(decl->name) ? plain_path(el, decl->name) : decl->name,
        decl->loc);
    if (!path)
        return;
    for (uint32_t i = 0; i < im->depth; i++)
        if (strcmp(im->open[i], path) == 0) {
            import_cycle(im, decl->loc, path);
            return;
        }
    if (tegu_map_find(im->done, path, strlen(path)))
        return;
    if (im->depth == IMPORT_LIMIT)
        tegu_error(el->diag, decl->loc, TEGU_E_RESOURCES,
                   "imports nest more than %d deep", IMPORT_LIMIT);
    else if (!tegu_file_read(el->arena, path, TEGU_SOURCE_LIMIT, &file, &error))
        tegu_error(el->diag, decl->loc, TEGU_E_NO_INPUT, "cannot read '%s': %s",
                   tegu_escaped(el->arena, path, strlen(path)), error);
    else
        add_read_file(im, path, &file);
}

/* Appends a file's declarations, each import in place of its own. */
static void add_file(importer *im, const char *path, const char *text,
                     size_t size)
{
    tegu_elab *el = im->source->el;
    tegu_decls decls = {0};
    tegu_map_set(im->done, path, strlen(path), 1);
    im->open[im->depth++] = path;
    tegu_parse(el->arena, el->diag, el->unit->names, path, text, size, &decls);
    for (uint32_t i = 0; i < decls.count; i++)
        if (decls.data[i]->kind == TEGU_DECL_IMPORT)
            follow(im, decls.data[i]);
        else
            tegu_vec_push(el->arena, &im->source->decls, decls.data[i]);
    im->depth--;
}

/* --- the unit --- */

static void set_name(tegu_source *source)
{
    tegu_elab *el = source->el;
    const char *name = source->options->name;
    tegu_loc loc = tegu_loc_file(source->path);
    if (!name && !source->model) {
        tegu_error(el->diag, loc, TEGU_E_NAME,
                   "the model has no name; begin the file with: model NAME");
        return;
    }
    if (!name) {
        name = source->model->name;
        loc = source->model->loc;
    }
    if (name && tegu_c_name_check(el->diag, loc, TEGU_C_MODEL, name))
        el->unit->name = tegu_intern_cstr(el->unit->names, name);
}

static void set_tokenizer(tegu_source *source)
{
    const tegu_decl *decl = source->tokenizer;
    if (decl && decl->name)
        source->el->unit->tokenizer =
            tegu_source_path(source, decl->name, decl->loc);
}

static void elaborate(tegu_source *source)
{
    tegu_elab *el = source->el;
    bool any = false;
    for (uint32_t i = 0; i < el->module->symbols.count; i++)
        if (el->module->symbols.data[i].decl->kind == TEGU_DECL_ENTRY) {
            tegu_elab_entry(el, &el->module->symbols.data[i]);
            any = true;
        }
    for (uint32_t i = 0; i < el->module->symbols.count; i++) {
        tegu_symbol *s = &el->module->symbols.data[i];
        if (tegu_decl_is_callable(s->decl) && !s->called)
            tegu_elab_uncalled(el, s);
    }
    if (!any && tegu_diag_errors(el->diag) == 0)
        tegu_error(el->diag, tegu_loc_file(source->path), TEGU_E_NAME,
                   "the model has no entry: entry step(x: f32[n]) -> y: "
                   "f32[n] { ... }");
}

static void build(tegu_source *source, const char *text, size_t size)
{
    tegu_elab *el = source->el;
    importer im = {.source = source, .done = tegu_map_create(el->arena)};
    uint32_t before = tegu_diag_errors(el->diag);
    add_file(&im, source->path, text, size);
    if (tegu_diag_errors(el->diag) != before && source->decls.count == 0)
        return;
    tegu_module_declare(source);
    set_name(source);
    set_tokenizer(source);
    elaborate(source);
    if (tegu_diag_errors(el->diag) == before)
        tegu_weights_bind(source);
}

tegu_unit *tegu_language_load(tegu_arena *arena, tegu_diag *diag,
                              const char *path, const char *text, size_t size,
                              const tegu_load_options *options)
{
    static const tegu_load_options none = {0};
    tegu_unit *unit = tegu_unit_create(arena, diag, "");
    tegu_module module = {.index = tegu_map_create(arena)};
    tegu_elab el = {.unit = unit,
                    .arena = arena,
                    .diag = diag,
                    .module = &module,
                    .state_owners = tegu_map_create(arena)};
    tegu_source source = {.el = &el, .options = options ? options : &none};
    uint32_t before = tegu_diag_errors(diag);
    unit->source = source.path = tegu_intern_cstr(unit->names, path);
    tegu_prelude_attach(unit);
    build(&source, text, size);
    if (tegu_diag_errors(diag) == before)
        return unit;
    tegu_unit_destroy(unit);
    return NULL;
}

/* --- files --- */

static bool ends_with(const char *path, const char *suffix)
{
    size_t length = strlen(path), tail = strlen(suffix);
    return length > tail && strcmp(path + length - tail, suffix) == 0;
}

static tegu_unit *load_folder(tegu_arena *arena, tegu_diag *diag,
                              const char *folder,
                              const tegu_load_options *options)
{
    tegu_text text = {.arena = arena};
    tegu_file config;
    if (!tegu_import_hf(arena, diag, folder, &text, &config))
        return NULL;
    const char *path = tegu_path_join(arena, folder, "<imported>.tegu");
    tegu_unit *unit = tegu_language_load(
        arena, diag, path, tegu_text_cstr(&text), text.count, options);
    if (!unit)
        return NULL;
    tegu_vec_push(arena, &unit->files, config);
    unit->source = tegu_intern_cstr(unit->names, folder);
    return unit;
}

/* The names that IR text gives to what the C header declares; its axes' too.
 * The language checks these where they are declared. */
static bool check_c_names(tegu_diag *diag, const tegu_unit *unit)
{
    bool ok = true;
    for (uint32_t a = 1; a < unit->axes.count; a++)
        if (unit->axes.data[a].symbolic)
            ok = tegu_c_name_check(diag, tegu_loc_file(unit->source),
                                   TEGU_C_ARGUMENT, unit->axes.data[a].name) &&
                 ok;
    for (uint32_t e = 0; e < unit->entries.count; e++) {
        const tegu_entry *entry = &unit->entries.data[e];
        ok = tegu_c_name_check(diag, entry->loc, TEGU_C_ENTRY, entry->name) &&
             ok;
        for (uint32_t i = 0; i < entry->arguments.count; i++)
            ok = tegu_c_name_check(diag, entry->loc, TEGU_C_ARGUMENT,
                                   entry->arguments.data[i].name) &&
                 ok;
        for (uint32_t i = 0; i < entry->graph->results.count; i++)
            ok = tegu_c_name_check(diag, entry->loc, TEGU_C_ARGUMENT,
                                   entry->graph->results.data[i].name) &&
                 ok;
    }
    return ok;
}

static tegu_unit *load_ir(tegu_arena *arena, tegu_diag *diag, const char *path,
                          const tegu_file *file,
                          const tegu_load_options *options)
{
    if (options && options->define_count) {
        tegu_error(diag, tegu_loc_file(path), TEGU_E_USAGE,
                   "IR text has no names for -D to change");
        return NULL;
    }
    tegu_unit *unit = tegu_unit_parse(arena, diag, path,
                                      (const char *)file->data, file->size);
    if (!unit)
        return NULL;
    unit->source = tegu_intern_cstr(unit->names, path);
    tegu_prelude_attach(unit);
    const char *name = options && options->name ? options->name : unit->name;
    if (!unit->entries.count)
        tegu_error(diag, tegu_loc_file(path), TEGU_E_IR_RULE,
                   "the unit has no entry");
    if (!tegu_c_name_check(diag, tegu_loc_file(path), TEGU_C_MODEL, name) ||
        !check_c_names(diag, unit) || !unit->entries.count)
        return NULL;
    unit->name = tegu_intern_cstr(unit->names, name);
    return unit;
}

tegu_unit *tegu_load(tegu_arena *arena, tegu_diag *diag, const char *path,
                     const tegu_load_options *options)
{
    tegu_file file;
    const char *error;
    if (tegu_path_is_dir(path))
        return load_folder(arena, diag, path, options);
    bool ir = ends_with(path, ".tir");
    if (!ir && !ends_with(path, ".tegu") && strcmp(path, "-") != 0 &&
        tegu_path_exists(path)) {
        tegu_error(diag, tegu_loc_file(path), TEGU_E_UNSUPPORTED,
                   "a model is a .tegu file, a .tir file or a Hugging Face "
                   "folder");
        return NULL;
    }
    if (!tegu_file_read(arena, path, ir ? 0 : TEGU_SOURCE_LIMIT, &file,
                        &error)) {
        tegu_error(diag, tegu_loc_file(path), TEGU_E_NO_INPUT,
                   "cannot read the model: %s", error);
        return NULL;
    }
    tegu_unit *unit =
        ir ? load_ir(arena, diag, path, &file, options)
           : tegu_language_load(arena, diag, path, (const char *)file.data,
                                file.size, options);
    if (unit)
        tegu_vec_push(arena, &unit->files, file);
    return unit;
}
