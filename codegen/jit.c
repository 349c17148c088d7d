/* SPDX-License-Identifier: Apache-2.0 */
/* See jit.h; LLVM's ORC (Orc.h, LLJIT.h) does the work. */
#include "codegen/jit.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>

#include "codegen/object.h"

struct tegu_code {
    LLVMOrcLLJITRef engine;
};

typedef double unary(double);
typedef float unaryf(float);
typedef double binary(double, double);
typedef float binaryf(float, float);

/* What a generated object may leave undefined. */
/* clang-format off */
#define UNARY(X)                                                               \
    X(acos) X(acosh) X(asin) X(asinh) X(atan) X(atanh) X(cbrt) X(ceil) X(cos)  \
    X(cosh) X(erf) X(exp) X(exp2) X(expm1) X(fabs) X(floor) X(log) X(log10)    \
    X(log1p) X(log2) X(rint) X(round) X(sin) X(sinh) X(sqrt) X(tan) X(tanh)    \
    X(trunc)
#define BINARY(X) X(atan2) X(fmod) X(hypot) X(pow)
/* clang-format on */

typedef struct entry {
    const char *name;
    void (*address)(void);
} entry;

/* One table for both precisions: NAME and NAMEf. */
#define ROW_UNARY(n)                                                           \
    {#n, (void (*)(void))(unary *)n}, {#n "f", (void (*)(void))(unaryf *)n##f},
#define ROW_BINARY(n)                                                          \
    {#n, (void (*)(void))(binary *)n},                                         \
        {#n "f", (void (*)(void))(binaryf *)n##f},

static const entry libm[] = {UNARY(ROW_UNARY) BINARY(ROW_BINARY)};

#define LIBM_COUNT (sizeof libm / sizeof libm[0])

static bool check(LLVMErrorRef error, const char *what, tegu_failure *failure)
{
    if (!error)
        return true;
    char *text = LLVMGetErrorMessage(error);
    tegu_fail(failure, "%s: %s", what, text);
    LLVMDisposeErrorMessage(text);
    return false;
}

static bool define_libm(LLVMOrcLLJITRef engine, tegu_failure *failure)
{
    LLVMOrcCSymbolMapPair pairs[LIBM_COUNT];
    for (size_t i = 0; i < LIBM_COUNT; i++) {
        uintptr_t address;
        memcpy(&address, &libm[i].address, sizeof address);
        pairs[i].Name = LLVMOrcLLJITMangleAndIntern(engine, libm[i].name);
        pairs[i].Sym.Address = address;
        pairs[i].Sym.Flags.GenericFlags = LLVMJITSymbolGenericFlagsExported |
                                          LLVMJITSymbolGenericFlagsCallable;
        pairs[i].Sym.Flags.TargetFlags = 0;
    }
    LLVMOrcMaterializationUnitRef unit =
        LLVMOrcAbsoluteSymbols(pairs, LIBM_COUNT);
    LLVMErrorRef error =
        LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(engine), unit);
    if (error)
        LLVMOrcDisposeMaterializationUnit(unit);
    return check(error, "cannot define the functions of libm", failure);
}

tegu_code *tegu_code_create(tegu_failure *failure)
{
    tegu_code *code = calloc(1, sizeof *code);
    if (!code) {
        tegu_fail(failure, "out of memory");
        return NULL;
    }
    tegu_object_initialise();
    if (!check(LLVMOrcCreateLLJIT(&code->engine, NULL), "cannot start the JIT",
               failure)) {
        free(code);
        return NULL;
    }
    if (!define_libm(code->engine, failure)) {
        tegu_code_destroy(code);
        return NULL;
    }
    return code;
}

/* An engine that cannot be taken down has nothing left to free. */
void tegu_code_destroy(tegu_code *code)
{
    if (!code)
        return;
    LLVMConsumeError(LLVMOrcDisposeLLJIT(code->engine));
    free(code);
}

bool tegu_code_add(tegu_code *code, const void *object, size_t size,
                   tegu_failure *failure)
{
    LLVMMemoryBufferRef buffer =
        LLVMCreateMemoryBufferWithMemoryRangeCopy(object, size, "tegu");
    return check(
        LLVMOrcLLJITAddObjectFile(
            code->engine, LLVMOrcLLJITGetMainJITDylib(code->engine), buffer),
        "cannot load the object", failure);
}

tegu_code_function *tegu_code_find(tegu_code *code, const char *name,
                                   tegu_failure *failure)
{
    LLVMOrcExecutorAddress address = 0;
    if (!check(LLVMOrcLLJITLookup(code->engine, &address, name),
               "cannot link the object", failure))
        return NULL;
    uintptr_t bits = (uintptr_t)address;
    tegu_code_function *function;
    memcpy(&function, &bits, sizeof function);
    return function;
}
