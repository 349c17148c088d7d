/* SPDX-License-Identifier: Apache-2.0 */
/* codegen.h - from a kernel-level unit to an object, a header and weights.
 *
 * Takes a verified unit whose entries are at kernel level with slots planned,
 * and a target.  Produces an artifact in memory; weights are streamed, one
 * tensor at a time, because they may be larger than memory allows twice.
 * The interface holds no LLVM types.  ABI of the output: docs/abi.md.
 */
#ifndef TEGU_CODEGEN_CODEGEN_H
#define TEGU_CODEGEN_CODEGEN_H

#include "codegen/target.h"
#include "ir/ir.h"

/* What the text in an object's comment section begins with; it ends with a
 * NUL. */
#define TEGU_PROVENANCE "tegu-provenance\n"

typedef struct tegu_codegen_options {
    const tegu_target *target;
    int level;              /* 0..2: LLVM effort for loop kernels */
    bool embed_weights;     /* weights inside the object */
    const char *pipeline;   /* printed into the header and the object */
    const char *provenance; /* hashes of the inputs, one line each; they are
                               part of the ABI's hash */
    bool want_asm, want_llvm, want_bitcode;
} tegu_codegen_options;

typedef struct tegu_blob {
    const unsigned char *data;
    size_t size;
} tegu_blob;

typedef struct tegu_entry_sizes {
    const char *name;
    size_t workspace_max; /* at the axes' upper bounds */
} tegu_entry_sizes;

/* An adapter that can be switched: slot i of the header is adapters[i]. */
typedef struct tegu_artifact_slot {
    const char *name;
    uint32_t adapter; /* in unit->adapters */
    size_t bytes;     /* of its file */
} tegu_artifact_slot;

typedef struct tegu_artifact tegu_artifact;
struct tegu_artifact {
    tegu_blob object, header, assembly, llvm, bitcode; /* data NULL: not
                                                          asked for */
    uint64_t abi; /* hash that ties object, header and weights */
    size_t weights_bytes;
    size_t state_bytes;
    tegu_entry_sizes *entries;
    uint32_t entry_count;
    tegu_artifact_slot *adapters;
    uint32_t adapter_count;
    uint32_t kernel_count; /* distinct kernels emitted */
    double seconds;
    void *layout; /* codegen's own: what the weights file holds */
};

/* Compiles; NULL after reporting.  Memory: the arena. */
tegu_artifact *tegu_codegen(tegu_unit *unit, tegu_arena *arena,
                            const tegu_codegen_options *options);
/* Bytes of the state block that tegu_codegen would give the unit. */
size_t tegu_artifact_state(const tegu_unit *unit);
/* Bytes needed in the workspace of an entry for given symbols. */
size_t tegu_artifact_workspace(const tegu_unit *unit, const tegu_entry *entry,
                               const int64_t *symbols);
/* Streams the weights file to `write` (returns false to stop). */
bool tegu_artifact_weights(tegu_unit *unit, const tegu_artifact *artifact,
                           bool (*write)(void *data, const void *bytes,
                                         size_t size),
                           void *data);

/* Streams the file of an adapter, which `slot` takes, as above. */
bool tegu_artifact_adapter(const tegu_artifact *artifact, uint32_t slot,
                           bool (*write)(void *data, const void *bytes,
                                         size_t size),
                           void *data);

/* JIT: runs the artifact's very object in this process.  parallel_for is
 * called as documented in docs/abi.md (NULL: one thread). */
typedef void (*tegu_kernel_task)(void *data, int64_t part, int64_t parts);
typedef void (*tegu_kernel_parallel)(void *pool, tegu_kernel_task task,
                                     void *data, int64_t parts);
typedef struct tegu_jit_options {
    tegu_kernel_parallel parallel_for;
    void *pool;
    int64_t threads;
} tegu_jit_options;
/* An executor over the compiled unit, its adapters at the scales that
 * unit->adapters has at each call; NULL after reporting. */
tegu_executor *tegu_jit_create(tegu_unit *unit, tegu_arena *arena,
                               const tegu_artifact *artifact,
                               const tegu_jit_options *options);

#endif
