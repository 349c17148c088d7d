/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register tile that contractions and attention are made of, and the way
 * in which rows are dealt to tiles.
 */
#ifndef TEGU_CODEGEN_TILE_H
#define TEGU_CODEGEN_TILE_H

#include "codegen/emit.h"

/* acc[r * nv + v] += a[r * stride] * panel[v] for `rows` rows; `a` points to
 * f32, the stride is in elements, panel and acc are vectors. */
void tegu_tile_step(tegu_emitter *e, unsigned rows, unsigned nv, LLVMValueRef a,
                    int64_t stride, const LLVMValueRef *panel,
                    LLVMValueRef *acc);

/* `rows` dealt to `tiles` tiles (i64 both, tiles > 0): the first `longer`
 * tiles have least + 1 rows, the others `least`. */
typedef struct tegu_tiling {
    LLVMValueRef tiles, least, longer;
} tegu_tiling;

/* As few tiles of at most `mr` rows as do. */
tegu_tiling tegu_tile_rows(tegu_emitter *e, LLVMValueRef rows, unsigned mr);
/* First row of a tile; of tile `tiles`: the number of rows. */
LLVMValueRef tegu_tile_first(tegu_emitter *e, const tegu_tiling *t,
                             LLVMValueRef tile);

/* Calls by_rows[rows] for rows (i64) in [low, high]. */
void tegu_tile_call(tegu_emitter *e, const LLVMValueRef *by_rows, unsigned low,
                    unsigned high, LLVMValueRef rows, LLVMValueRef *arguments,
                    unsigned count);

/* Small arithmetic on i64 that both generators are full of. */
LLVMValueRef tegu_tile_plus(tegu_emitter *e, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef tegu_tile_minus(tegu_emitter *e, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef tegu_tile_times(tegu_emitter *e, LLVMValueRef x, int64_t factor);
LLVMValueRef tegu_tile_least(tegu_emitter *e, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef tegu_tile_most(tegu_emitter *e, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef tegu_tile_ceil(tegu_emitter *e, LLVMValueRef x, int64_t by);

#endif
