/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that code is generated for: an immutable value made from the
 * rows of targets.def.  No LLVM types here, so that the schedule, the packing
 * and the command line can read it; every question about the instruction set
 * is a field of this struct.
 */
#ifndef TEGU_CODEGEN_TARGET_H
#define TEGU_CODEGEN_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codegen/failure.h"

typedef enum tegu_arch {
#define TEGU_ARCH(id, text, triple) TEGU_ARCH_##id,
#include "codegen/targets.def"
} tegu_arch;

/* Features are bits: 1u << TEGU_FEATURE_x. */
typedef enum tegu_feature {
#define TEGU_FEATURE(id, text, arch, implies) TEGU_FEATURE_##id,
#include "codegen/targets.def"
    TEGU_FEATURE_COUNT
} tegu_feature;

typedef struct tegu_target {
    char name[32];       /* as asked for: "native", "x86-64-v3", ... */
    char triple[40];     /* LLVM's */
    char cpu[40];        /* LLVM's; never "native" */
    char features[4096]; /* LLVM's "+x,-y"; may be empty */
    tegu_arch arch;
    unsigned has;       /* bit set of tegu_feature */
    unsigned lanes;     /* f32 per vector register */
    unsigned registers; /* vector registers */
    bool fma;           /* fused multiply-add in hardware */
    unsigned mr, nv;    /* contraction tile: rows x vectors of lanes */
    size_t l1, l2, l3;  /* bytes of cache that one core can count on */
} tegu_target;

/* The register tile of a contraction with n result columns: rows times
 * vectors of lanes.  Fewer columns than mr x nv has get a narrower tile with
 * more rows, so that a rank-8 product costs 8 columns' work and not 64. */
typedef struct tegu_tile_shape {
    unsigned mr, nv;
} tegu_tile_shape;
tegu_tile_shape tegu_target_tile(const tegu_target *target, int64_t n);
/* Width of its packed weight panels in columns: the NR of kernels.md. */
unsigned tegu_target_panel(const tegu_target *target, int64_t n);

/*
 * Fills `out` from what the user wrote.  Each string may be NULL or empty:
 * target defaults to "native", cpu to the target's own, features to none.
 * False with a message that names the closest known spelling otherwise.
 * Thread-safe.
 */
bool tegu_target_find(tegu_target *out, const char *target, const char *cpu,
                      const char *features, tegu_failure *failure);

/* True when the code of `target` runs on the machine that compiles. */
bool tegu_target_runs_here(const tegu_target *target);

/* The tables for `tegu targets`: text of row i, NULL after the last. */
const char *tegu_target_name(size_t i);
const char *tegu_target_cpu_name(size_t i, tegu_arch *arch);
const char *tegu_target_feature_name(size_t i, tegu_arch *arch);

#endif
