/* SPDX-License-Identifier: Apache-2.0 */
/* shards.c - the weights of a model: one safetensors file or several.
 *
 * Takes a safetensors file, or an index (model.safetensors.index.json) whose
 * weight_map names a shard for each tensor.  Every shard is opened once; the
 * index and the shards must tell the same story, in both directions.
 */
#include "frontend/json.h"
#include "frontend/safetensors.h"

#include <string.h>

/* Errors after which reading stops: more would not be shown. */
enum { ENOUGH = 20 };

static const size_t largest_index = (size_t)256 << 20;

typedef struct loader {
    tegu_arena *arena;
    tegu_diag *diag;
    const char *folder;
    const tegu_json *json;
    tegu_tensors *tensors;
    tegu_map *shards; /* file name -> file number */
    uint32_t errors_before;
} loader;

static tegu_loc tensor_loc(const loader *l, const char *tensor)
{
    const char *const keys[] = {"weight_map", tensor, NULL};
    return tegu_json_loc(l->json, keys);
}

static const char *shown(const loader *l, const char *text)
{
    return tegu_escaped(l->arena, text, strlen(text));
}

/* A plain name: nothing that leads out of the index's folder. */
static bool stays_in_folder(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* Adds a file's tensors to the index; a name in two files is an error. */
static bool add_file(tegu_arena *arena, tegu_diag *diag, tegu_tensors *tensors,
                     tegu_safetensors *file)
{
    uint64_t number = tensors->files.count;
    bool unique = true;
    tegu_vec_push(arena, &tensors->files, file);
    for (uint32_t i = 0; i < file->tensors.count; i++) {
        const char *name = file->tensors.data[i].name;
        if (!tegu_map_set(tensors->index, name, strlen(name), number << 32 | i))
            unique = tegu_error(diag, tegu_loc_file(file->path), TEGU_E_SHARDS,
                                "tensor '%s' is also in another shard",
                                tegu_escaped(arena, name, strlen(name)));
    }
    return unique;
}

/* The number of a shard, opened at its first use; -1 after reporting. */
static int64_t shard_number(loader *l, const char *tensor, const char *name)
{
    const uint64_t *known = tegu_map_find(l->shards, name, strlen(name));
    if (known)
        return (int64_t)*known;
    uint64_t failed = UINT64_MAX;
    if (!stays_in_folder(name)) {
        tegu_error(l->diag, tensor_loc(l, tensor), TEGU_E_SHARDS,
                   "shard '%s' is not a file name in the index's folder",
                   shown(l, name));
        tegu_map_set(l->shards, name, strlen(name), failed);
        return -1;
    }
    const char *path = tegu_path_join(l->arena, l->folder, name);
    tegu_safetensors *file = tegu_safetensors_open(l->arena, l->diag, path);
    uint64_t number = file ? l->tensors->files.count : failed;
    tegu_map_set(l->shards, name, strlen(name), number);
    if (file && !add_file(l->arena, l->diag, l->tensors, file))
        return -1;
    return (int64_t)number;
}

static void check_place(loader *l, const char *tensor, const char *shard)
{
    int64_t number = shard_number(l, tensor, shard);
    if (number < 0)
        return;
    const tegu_safetensors *file = l->tensors->files.data[number];
    if (!tegu_safetensors_find(file, tensor))
        tegu_error(l->diag, tensor_loc(l, tensor), TEGU_E_SHARDS,
                   "tensor '%s' is not in shard '%s'", shown(l, tensor),
                   shown(l, shard));
}

/* Each tensor that a shard holds must be in the map, too. */
static void check_listed(loader *l, const json_t *map)
{
    for (uint32_t i = 0; i < l->tensors->files.count; i++) {
        const tegu_safetensors *file = l->tensors->files.data[i];
        for (uint32_t k = 0; k < file->tensors.count; k++) {
            const char *name = file->tensors.data[k].name;
            if (!json_object_get(map, name))
                tegu_error(l->diag, tegu_loc_file(file->path), TEGU_E_SHARDS,
                           "tensor '%s' is not in the index", shown(l, name));
        }
    }
}

static void load_shards(loader *l)
{
    static const char *const keys[] = {"weight_map", NULL};
    json_t *map = json_object_get(l->json->root, "weight_map");
    if (!json_is_object(map)) {
        tegu_error(l->diag, tegu_json_loc(l->json, keys), TEGU_E_SHARDS,
                   "'weight_map' must be an object that gives each tensor's "
                   "file");
        return;
    }
    const char *tensor;
    json_t *shard;
    json_object_foreach(map, tensor, shard)
    {
        if (tegu_diag_errors(l->diag) >= l->errors_before + ENOUGH)
            return;
        if (json_is_string(shard))
            check_place(l, tensor, json_string_value(shard));
        else
            tegu_error(l->diag, tensor_loc(l, tensor), TEGU_E_SHARDS,
                       "the file of tensor '%s' must be a string",
                       shown(l, tensor));
    }
    check_listed(l, map);
}

static bool open_index(tegu_arena *arena, tegu_diag *diag, const char *path,
                       tegu_tensors *tensors)
{
    tegu_json json;
    uint32_t before = tegu_diag_errors(diag);
    if (!tegu_json_open(arena, diag, path, largest_index, &json))
        return false;
    loader l = {.arena = arena,
                .diag = diag,
                .folder = tegu_path_dir(arena, path),
                .json = &json,
                .tensors = tensors,
                .shards = tegu_map_create(arena),
                .errors_before = before};
    load_shards(&l);
    tensors->listing = json.file;
    tegu_json_close(&json);
    return tegu_diag_errors(diag) == before;
}

static bool ends_in_json(const char *path)
{
    size_t size = strlen(path);
    return size > 5 && strcmp(path + size - 5, ".json") == 0;
}

tegu_tensors *tegu_tensors_open(tegu_arena *arena, tegu_diag *diag,
                                const char *path)
{
    tegu_tensors *tensors = TEGU_NEW(arena, tegu_tensors);
    tensors->index = tegu_map_create(arena);
    bool opened;
    if (ends_in_json(path)) {
        opened = open_index(arena, diag, path, tensors);
    } else {
        tegu_safetensors *file = tegu_safetensors_open(arena, diag, path);
        opened = file && add_file(arena, diag, tensors, file);
    }
    if (opened)
        return tensors;
    tegu_tensors_close(tensors);
    return NULL;
}

const tegu_stored_tensor *tegu_tensors_find(const tegu_tensors *tensors,
                                            const char *name)
{
    const uint64_t *at = tegu_map_find(tensors->index, name, strlen(name));
    if (!at)
        return NULL;
    const tegu_safetensors *file = tensors->files.data[*at >> 32];
    return &file->tensors.data[*at & UINT32_MAX];
}

void tegu_tensors_close(tegu_tensors *tensors)
{
    for (uint32_t i = 0; i < tensors->files.count; i++)
        tegu_file_unmap(&tensors->files.data[i]->file);
    tensors->files.count = 0;
}
