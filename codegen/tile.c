/* SPDX-License-Identifier: Apache-2.0 */
/* See tile.h. */
#include "codegen/tile.h"

typedef LLVMValueRef value;

value tegu_tile_plus(tegu_emitter *e, value x, value y)
{
    return LLVMBuildAdd(e->builder, x, y, "");
}

value tegu_tile_minus(tegu_emitter *e, value x, value y)
{
    return LLVMBuildSub(e->builder, x, y, "");
}

value tegu_tile_times(tegu_emitter *e, value x, int64_t factor)
{
    return LLVMBuildMul(e->builder, x, tegu_emit_int(e, factor), "");
}

value tegu_tile_least(tegu_emitter *e, value x, value y)
{
    value less = LLVMBuildICmp(e->builder, LLVMIntSLT, x, y, "");
    return LLVMBuildSelect(e->builder, less, x, y, "");
}

value tegu_tile_most(tegu_emitter *e, value x, value y)
{
    value more = LLVMBuildICmp(e->builder, LLVMIntSGT, x, y, "");
    return LLVMBuildSelect(e->builder, more, x, y, "");
}

value tegu_tile_ceil(tegu_emitter *e, value x, int64_t by)
{
    value up = tegu_tile_plus(e, x, tegu_emit_int(e, by - 1));
    return LLVMBuildSDiv(e->builder, up, tegu_emit_int(e, by), "");
}

void tegu_tile_step(tegu_emitter *e, unsigned rows, unsigned nv, value a,
                    int64_t stride, const value *panel, value *acc)
{
    unsigned lanes = tegu_emit_lanes(LLVMTypeOf(panel[0]));
    for (unsigned r = 0; r < rows; r++) {
        value at = tegu_emit_at(e, e->f32, a, tegu_emit_int(e, r * stride));
        value one = tegu_emit_load(e, e->f32, at, 4, NULL);
        value wide = tegu_emit_splat(e, one, lanes);
        for (unsigned v = 0; v < nv; v++)
            acc[r * nv + v] = tegu_emit_fma(e, wide, panel[v], acc[r * nv + v]);
    }
}

tegu_tiling tegu_tile_rows(tegu_emitter *e, value rows, unsigned mr)
{
    tegu_tiling t;
    t.tiles = tegu_tile_ceil(e, rows, mr);
    t.least = LLVMBuildSDiv(e->builder, rows, t.tiles, "");
    t.longer = LLVMBuildSRem(e->builder, rows, t.tiles, "");
    return t;
}

value tegu_tile_first(tegu_emitter *e, const tegu_tiling *t, value tile)
{
    value rows = LLVMBuildMul(e->builder, tile, t->least, "");
    return tegu_tile_plus(e, rows, tegu_tile_least(e, tile, t->longer));
}

void tegu_tile_call(tegu_emitter *e, const value *by_rows, unsigned low,
                    unsigned high, value rows, value *arguments, unsigned count)
{
    LLVMBasicBlockRef done =
        LLVMAppendBasicBlockInContext(e->context, e->function, "");
    LLVMBasicBlockRef last =
        LLVMAppendBasicBlockInContext(e->context, e->function, "");
    value choice = LLVMBuildSwitch(e->builder, rows, last, high - low);
    for (unsigned r = low; r <= high; r++) {
        LLVMBasicBlockRef block = last;
        if (r < high) {
            block = LLVMAppendBasicBlockInContext(e->context, e->function, "");
            LLVMAddCase(choice, tegu_emit_int(e, r), block);
        }
        LLVMPositionBuilderAtEnd(e->builder, block);
        tegu_emit_call(e, by_rows[r], arguments, count);
        LLVMBuildBr(e->builder, done);
    }
    LLVMPositionBuilderAtEnd(e->builder, done);
}
