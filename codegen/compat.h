/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every difference between LLVM 19 and LLVM 22 that our code meets, and the
 * only place where the version is asked for.
 */
#ifndef TEGU_CODEGEN_COMPAT_H
#define TEGU_CODEGEN_COMPAT_H

#include <llvm-c/Core.h>
#include <llvm/Config/llvm-config.h>

#if LLVM_VERSION_MAJOR < 19
#error "tegu needs LLVM 19 or newer"
#endif

/* llvm.masked.load and .store lost their i32 alignment operand in LLVM 22:
 * the alignment is an attribute of the pointer argument there. */
#define TEGU_MASKED_TAKES_ALIGNMENT (LLVM_VERSION_MAJOR < 22)

/*
 * Arguments of a masked access in the order of this LLVM: `before` values,
 * the alignment where it is an operand, then `after` values.  Returns the
 * number written to out[4].
 */
static inline unsigned
tegu_compat_masked_arguments(LLVMContextRef context, LLVMValueRef *out,
                             const LLVMValueRef *before, unsigned befores,
                             const LLVMValueRef *after, unsigned afters,
                             unsigned align)
{
    unsigned n = 0;
    for (unsigned i = 0; i < befores; i++)
        out[n++] = before[i];
    if (TEGU_MASKED_TAKES_ALIGNMENT)
        out[n++] =
            LLVMConstInt(LLVMInt32TypeInContext(context), align, /*sext=*/0);
    for (unsigned i = 0; i < afters; i++)
        out[n++] = after[i];
    return n;
}

/* Gives the call its alignment where it is an attribute; `pointer` is the
 * index of the pointer argument, from 1. */
static inline void tegu_compat_masked_align(LLVMContextRef context,
                                            LLVMValueRef call, unsigned pointer,
                                            unsigned align)
{
    if (TEGU_MASKED_TAKES_ALIGNMENT)
        return;
    unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
    LLVMAddCallSiteAttribute(call, pointer,
                             LLVMCreateEnumAttribute(context, kind, align));
}

/* Constant bytes: one call on 22, a string without terminator on 19. */
static inline LLVMValueRef tegu_compat_bytes(LLVMContextRef context,
                                             const char *data, size_t size)
{
#if LLVM_VERSION_MAJOR < 22
    return LLVMConstStringInContext2(context, data, size,
                                     /*DontNullTerminate=*/1);
#else
    return LLVMConstDataArray(LLVMInt8TypeInContext(context), data, size);
#endif
}

#endif
