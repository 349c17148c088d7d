/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contractions with a constant right-hand side:
 *
 *     Y[m, n] = epilogue(sum over k of A[m, k] * W[n, k])      all f32
 *
 * K and N are constants of the kernel, M is given at run time.  W has been
 * packed by tegu_pack_panels into panels of `panel` columns (NR =
 * tegu_target_panel of N), [N/NR][K][NR], padded with zeros, 64-byte aligned;
 * one layout serves every M, from matrix times vector to long prefill.
 *
 * The error of an element is at most (b + K/b) u sum |A| |W| for blocks of b
 * terms, u = 2^-24: b is at most 2048, or K/2 where M is 1.  Sums of a row do
 * not depend on parts, but may differ in the last bits between values of M.
 */
#ifndef TEGU_CODEGEN_CONTRACT_H
#define TEGU_CODEGEN_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codegen/emit.h"

/*
 * What becomes of a sum before it is stored.  `acc` is a vector of
 * target->lanes columns of `row`, starting at column `col` (both i64); the
 * result has the same type.  more[i] are the sums of the i-th thin product
 * there; of one that is switched off anything.  `args` is the kernel's argument
 * array.  `mask` is NULL, or a vector of i1 that is false in the lanes past the
 * last column, where nothing may be read.  Called a few times per kernel,
 * inside a loop over rows; it may emit control flow.
 */
typedef LLVMValueRef tegu_epilogue(void *data, tegu_emitter *e,
                                   LLVMValueRef args, LLVMValueRef row,
                                   LLVMValueRef col, LLVMValueRef acc,
                                   const LLVMValueRef *more, LLVMValueRef mask);

enum { TEGU_CONTRACT_THIN = 8 };

/* Another product of the same shape, over few terms, for the epilogue: columns
 * [start, start + k) of an A with `stride` columns, with a packed W. */
typedef struct tegu_contract_thin {
    int64_t k, start, stride;
    unsigned slot_a, slot_w;
    int slot_gate; /* of an f32: computed unless it is 0; -1: always */
} tegu_contract_thin;

typedef struct tegu_contract {
    const char *name;
    int64_t n, k;     /* at least 1 */
    int64_t a_stride; /* elements from one row of A to the next */
    int64_t y_stride;
    unsigned slot_m; /* i64: rows, may be 0 */
    unsigned slot_a, slot_w, slot_y;
    tegu_contract_thin thin[TEGU_CONTRACT_THIN];
    unsigned thin_count;
    tegu_epilogue *epilogue; /* NULL: store the sums */
    void *data;
} tegu_contract;

/*
 * Emits the kernel (signature: tegu_emit_kernel) and returns its function.
 * Parts are ranges of panels, or of panels of blocks of rows when M is
 * large; any number of parts is right, and a part may be empty.  Parts write
 * disjoint elements of Y.  Y must not overlap A or W, but may be an operand
 * of the epilogue at the same element.
 */
LLVMValueRef tegu_emit_contract(tegu_emitter *e, const tegu_contract *c);

/* Bytes of a packed W; false if that overflows. */
bool tegu_pack_size(int64_t n, int64_t k, unsigned panel, size_t *bytes);

/*
 * Packs the panels first <= p < last into `out`, which starts with panel
 * `first`.  Element (n, k) of W is w[n * n_stride + k * k_stride], so that
 * transposed weights need no copy.
 */
void tegu_pack_panels(float *out, const float *w, int64_t n, int64_t k,
                      int64_t n_stride, int64_t k_stride, unsigned panel,
                      int64_t first, int64_t last);

#endif
