/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.h - reading and writing safetensors files.
 *
 * The rules are those of huggingface/safetensors' reader (tensor.rs): header
 * at most 100 MB, offsets without holes or overlap, sizes checked; duplicate
 * names are rejected.  Data is mapped and never copied; it may be unaligned.
 */
#ifndef TEGU_FRONTEND_SAFETENSORS_H
#define TEGU_FRONTEND_SAFETENSORS_H

#include "ir/base/diag.h"
#include "ir/base/io.h"
#include "ir/base/map.h"
#include "ir/types.h"

typedef struct tegu_stored_tensor {
    const char *name;
    tegu_dtype dtype;       /* TEGU_DTYPE_COUNT: a type we do not know */
    const char *dtype_text; /* as in the file */
    uint32_t rank;
    int64_t dims[TEGU_MAX_RANK];
    const unsigned char *data;
    size_t bytes;
} tegu_stored_tensor;

typedef struct tegu_safetensors {
    const char *path;
    tegu_file file;
    TEGU_VEC(tegu_stored_tensor) tensors; /* in file order */
    tegu_map *index;                      /* name -> position */
    TEGU_VEC(const char *) metadata;      /* key, value, key, value, ... */
} tegu_safetensors;

/* Opens and checks a file; NULL after reporting every problem (up to 20).  The
 * caller unmaps st->file (tegu_file_unmap), or hands it to a unit's files. */
tegu_safetensors *tegu_safetensors_open(tegu_arena *arena, tegu_diag *diag,
                                        const char *path);
/* The same over bytes in memory (tests, fuzzing). */
tegu_safetensors *tegu_safetensors_parse(tegu_arena *arena, tegu_diag *diag,
                                         const char *path,
                                         const unsigned char *data,
                                         size_t size);
const tegu_stored_tensor *tegu_safetensors_find(const tegu_safetensors *st,
                                                const char *name);
const char *tegu_safetensors_metadata(const tegu_safetensors *st,
                                      const char *key);

/* All weights of a model: one file, or the shards that an index names. */
typedef struct tegu_tensors {
    tegu_file listing; /* the index as read; data NULL: one file, none */
    TEGU_VEC(tegu_safetensors *) files;
    tegu_map *index; /* tensor name -> file number << 32 | position in it */
} tegu_tensors;

/* Opens the weights at `path`: a safetensors file, or an index (a name that
 * ends in .json) whose shards lie in its own folder; an index must give every
 * tensor of every shard, in that shard.  NULL after reporting.  The caller
 * unmaps the files (tegu_tensors_close), or hands each files.data[i]->file to
 * a unit. */
tegu_tensors *tegu_tensors_open(tegu_arena *arena, tegu_diag *diag,
                                const char *path);
const tegu_stored_tensor *tegu_tensors_find(const tegu_tensors *tensors,
                                            const char *name);
void tegu_tensors_close(tegu_tensors *tensors);

/* Writes tensors (any order; the file is sorted by descending element size,
 * then name; its data starts at a multiple of 64 and has no holes) as one
 * staged output.  `metadata_count` strings, in pairs: key, value.  Refuses
 * what the reader would: *error says why, in the arena. */
bool tegu_safetensors_write(tegu_arena *arena, tegu_outputs *outputs,
                            const char *path, const tegu_stored_tensor *tensors,
                            uint32_t count, const char *const *metadata,
                            uint32_t metadata_count, const char **error);

#endif
