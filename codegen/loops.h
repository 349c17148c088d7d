/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop emitter: any body of core ops as loops over its result, scalar
 * code that LLVM vectorises.  Movement is index arithmetic, reductions are
 * inner loops placed in the outermost loop that determines them, an append
 * writes only the new rows, in the layout of its state.
 */
#ifndef TEGU_CODEGEN_LOOPS_H
#define TEGU_CODEGEN_LOOPS_H

#include "codegen/body.h"
#include "codegen/emit.h"

typedef struct tegu_loops {
    const char *name;
    const tegu_body *body;
    tegu_state_layout layout; /* of the state that an in-place append writes */
} tegu_loops;

/*
 * Emits the kernel (signature: tegu_emit_kernel; slots: body.h).  Parts share
 * out the leading axes; any number of parts is right.  NULL when the body
 * would expand beyond reason: it must be cut up then.  `scratch` is left as
 * it was.
 */
LLVMValueRef tegu_emit_loops(tegu_emitter *e, tegu_arena *scratch,
                             const tegu_loops *loops);

#endif
