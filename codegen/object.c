/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See object.h.  LLVM has three ways to say no: an error value, a message to
 * the context's diagnostic handler (bad inline assembly: the write itself
 * "succeeds"), and a fatal error that ends the process.  The last is caught
 * by a handler that jumps back into tegu_object_write or _optimise; LLVM
 * gives such a handler no argument, hence the one thread-local below.
 */
#include "codegen/object.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <llvm-c/Analysis.h>
#include <llvm-c/BitWriter.h>
#include <llvm-c/Error.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Linker.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "codegen/emit.h"

/* ---- LLVM, once per process ---- */

typedef struct escape {
    jmp_buf where;
    tegu_failure *failure;
} escape;

static _Thread_local escape *current_escape;

/* Returning lets LLVM end the process: only for calls that are not ours. */
static void on_fatal_error(const char *reason)
{
    if (!current_escape)
        return;
    tegu_fail(current_escape->failure, "LLVM gave up: %s", reason);
    longjmp(current_escape->where, 1);
}

static void initialise_once(void)
{
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeAArch64AsmParser();
    LLVMInstallFatalErrorHandler(on_fatal_error);
}

void tegu_object_initialise(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise_once);
}

void tegu_bytes_free(tegu_bytes *bytes)
{
    free(bytes->data);
    bytes->data = NULL;
    bytes->size = 0;
}

LLVMTargetMachineRef tegu_object_machine(const tegu_target *target,
                                         tegu_failure *failure)
{
    LLVMTargetRef backend;
    char *text = NULL;
    tegu_object_initialise();
    if (LLVMGetTargetFromTriple(target->triple, &backend, &text)) {
        tegu_fail(failure, "this LLVM cannot generate code for %s: %s",
                  target->triple, text);
        LLVMDisposeMessage(text);
        return NULL;
    }
    LLVMTargetMachineRef machine = LLVMCreateTargetMachine(
        backend, target->triple, target->cpu, target->features,
        LLVMCodeGenLevelAggressive, LLVMRelocPIC, LLVMCodeModelDefault);
    if (!machine)
        tegu_fail(failure, "LLVM has no machine for %s", target->triple);
    else
        LLVMSetTargetMachineAsmVerbosity(machine, 1);
    return machine;
}

/* ---- steps; each runs with current_escape set ---- */

typedef bool step(tegu_emitter *e, int which, void *out, tegu_failure *failure);

/* `volatile`-free by design: nothing local is read after the jump. */
static bool guarded(step *run, tegu_emitter *e, int which, void *out,
                    tegu_failure *failure)
{
    escape here = {.failure = failure};
    current_escape = &here;
    bool done = setjmp(here.where) == 0 && run(e, which, out, failure);
    current_escape = NULL;
    if (done && e->failed) {
        *failure = e->message;
        return false;
    }
    return done;
}

/* LLVM's verifier and the errors it reported while the module was built. */
static bool verify(tegu_emitter *e, tegu_failure *failure)
{
    char *text = NULL;
    bool bad = LLVMVerifyModule(e->module, LLVMReturnStatusAction, &text);
    if (bad)
        tegu_fail(failure, "internal error: malformed code: %.400s", text);
    LLVMDisposeMessage(text);
    if (!bad && e->failed)
        *failure = e->message;
    return !bad && !e->failed;
}

/* The light list was timed in kernels.md 2a.4: on template kernels it does
 * what O2 does to their speed in a tenth of its time. */
static const char *const pipelines[] = {
    [TEGU_EFFORT_NONE] = NULL,
    [TEGU_EFFORT_LIGHT] =
        "always-inline,function(early-cse<memssa>,"
        "loop-mssa(loop-rotate,licm),instcombine,simplifycfg),globaldce",
    [TEGU_EFFORT_O1] = "default<O1>",
    [TEGU_EFFORT_O2] = "default<O2>",
};

static bool run_passes(tegu_emitter *e, int effort, void *out,
                       tegu_failure *failure)
{
    (void)out;
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMPassBuilderOptionsSetLoopVectorization(options, 1);
    LLVMPassBuilderOptionsSetSLPVectorization(options, 1);
    LLVMPassBuilderOptionsSetLoopInterleaving(options, 1);
    LLVMErrorRef error =
        LLVMRunPasses(e->module, pipelines[effort], e->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!error)
        return true;
    char *text = LLVMGetErrorMessage(error);
    tegu_fail(failure, "LLVM: %s", text);
    LLVMDisposeErrorMessage(text);
    return false;
}

bool tegu_object_optimise(tegu_emitter *e, tegu_effort effort,
                          tegu_failure *failure)
{
    if (!verify(e, failure))
        return false;
    return !pipelines[effort] || guarded(run_passes, e, effort, NULL, failure);
}

bool tegu_object_join(tegu_emitter *into, tegu_emitter *from,
                      tegu_failure *failure)
{
    LLVMBool bad = LLVMLinkModules2(into->module, from->module);
    from->module = NULL;
    if (!bad && !into->failed)
        return true;
    return tegu_fail(failure, "internal error: modules do not fit: %.400s",
                     into->message.text);
}

static bool copy_out(const char *data, size_t size, tegu_bytes *out,
                     tegu_failure *failure)
{
    char *copy = malloc(size + 1);
    if (!copy)
        return tegu_fail(failure, "out of memory");
    memcpy(copy, data, size);
    copy[size] = '\0';
    out->data = copy;
    out->size = size;
    return true;
}

static bool write_text(tegu_emitter *e, tegu_bytes *out, tegu_failure *failure)
{
    char *text = LLVMPrintModuleToString(e->module);
    bool done = copy_out(text, strlen(text), out, failure);
    LLVMDisposeMessage(text);
    return done;
}

static bool copy_buffer(LLVMMemoryBufferRef buffer, tegu_bytes *out,
                        tegu_failure *failure)
{
    bool done = copy_out(LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer),
                         out, failure);
    LLVMDisposeMemoryBuffer(buffer);
    return done;
}

/* The code generator changes the module that it is given: it gets a copy. */
static bool write_code(tegu_emitter *e, LLVMCodeGenFileType type,
                       tegu_bytes *out, tegu_failure *failure)
{
    LLVMModuleRef copy = LLVMCloneModule(e->module);
    LLVMMemoryBufferRef buffer = NULL;
    char *text = NULL;
    LLVMBool bad = LLVMTargetMachineEmitToMemoryBuffer(e->machine, copy, type,
                                                       &text, &buffer);
    LLVMDisposeModule(copy);
    if (!bad)
        return copy_buffer(buffer, out, failure);
    tegu_fail(failure, "LLVM: %s", text);
    LLVMDisposeMessage(text);
    return false;
}

static bool write_kind(tegu_emitter *e, int kind, void *out,
                       tegu_failure *failure)
{
    switch ((tegu_object_kind)kind) {
    case TEGU_OBJECT_ELF: return write_code(e, LLVMObjectFile, out, failure);
    case TEGU_OBJECT_ASSEMBLY:
        return write_code(e, LLVMAssemblyFile, out, failure);
    case TEGU_OBJECT_LLVM: return write_text(e, out, failure);
    case TEGU_OBJECT_BITCODE:
        return copy_buffer(LLVMWriteBitcodeToMemoryBuffer(e->module), out,
                           failure);
    }
    return tegu_fail(failure, "unknown kind of output");
}

bool tegu_object_write(tegu_emitter *e, tegu_object_kind kind, tegu_bytes *out,
                       tegu_failure *failure)
{
    tegu_bytes made = {NULL, 0};
    if (!verify(e, failure))
        return false;
    if (!guarded(write_kind, e, (int)kind, &made, failure)) {
        tegu_bytes_free(&made);
        return false;
    }
    *out = made;
    return true;
}
