/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See emit.h.  The shape of the loops (rotated, guarded, values as phis) is
 * the one that LLVM's own passes would make, so that template kernels need
 * none of them (kernels.md 5.9).
 */
#include "codegen/emit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llvm-c/DebugInfo.h>

#include "codegen/compat.h"
#include "codegen/object.h"

/* ---- life ---- */

/* LLVM's reports of this context; errors are kept, the first one wins. */
static void note_diagnostic(LLVMDiagnosticInfoRef info, void *data)
{
    tegu_emitter *e = data;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError || e->failed)
        return;
    char *text = LLVMGetDiagInfoDescription(info);
    e->failed = true;
    tegu_fail(&e->message, "LLVM: %s", text);
    LLVMDisposeMessage(text);
}

static void fill_types(tegu_emitter *e)
{
    e->none = LLVMVoidTypeInContext(e->context);
    e->i1 = LLVMInt1TypeInContext(e->context);
    e->i8 = LLVMInt8TypeInContext(e->context);
    e->i16 = LLVMInt16TypeInContext(e->context);
    e->i32 = LLVMInt32TypeInContext(e->context);
    e->i64 = LLVMInt64TypeInContext(e->context);
    e->f32 = LLVMFloatTypeInContext(e->context);
    e->f64 = LLVMDoubleTypeInContext(e->context);
    e->ptr = LLVMPointerTypeInContext(e->context, 0);
}

tegu_emitter *tegu_emitter_create(const tegu_target *target, const char *name,
                                  tegu_emitter *beside, tegu_failure *failure)
{
    tegu_emitter *e = calloc(1, sizeof *e);
    if (!e) {
        tegu_fail(failure, "out of memory");
        return NULL;
    }
    e->target = target;
    e->machine = tegu_object_machine(target, failure);
    if (!e->machine) {
        free(e);
        return NULL;
    }
    e->owns_context = !beside;
    e->context = beside ? beside->context : LLVMContextCreate();
    if (e->owns_context)
        LLVMContextSetDiagnosticHandler(e->context, note_diagnostic, e);
    e->module = LLVMModuleCreateWithNameInContext(name, e->context);
    e->builder = LLVMCreateBuilderInContext(e->context);
    e->layout = LLVMCreateTargetDataLayout(e->machine);
    LLVMSetModuleDataLayout(e->module, e->layout);
    LLVMSetTarget(e->module, target->triple);
    LLVMSetSourceFileName(e->module, name, strlen(name));
    fill_types(e);
    return e;
}

void tegu_emitter_destroy(tegu_emitter *e)
{
    if (!e)
        return;
    LLVMDisposeBuilder(e->builder);
    if (e->module)
        LLVMDisposeModule(e->module);
    if (e->owns_context)
        LLVMContextDispose(e->context);
    LLVMDisposeTargetData(e->layout);
    LLVMDisposeTargetMachine(e->machine);
    free(e);
}

/* ---- functions ---- */

static void add_enum(tegu_emitter *e, LLVMValueRef function,
                     LLVMAttributeIndex where, const char *name)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(function, where,
                            LLVMCreateEnumAttribute(e->context, kind, 0));
}

static void add_string(tegu_emitter *e, LLVMValueRef function, const char *name,
                       const char *value)
{
    LLVMAddAttributeAtIndex(
        function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
        LLVMCreateStringAttribute(e->context, name, (unsigned)strlen(name),
                                  value, (unsigned)strlen(value)));
}

static void add_attributes(tegu_emitter *e, LLVMValueRef function)
{
    char width[16];
    snprintf(width, sizeof width, "%u", e->target->lanes * 32);
    add_enum(e, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
             "nounwind");
    add_string(e, function, "no-builtins", "");
    add_string(e, function, "frame-pointer", "none");
    add_string(e, function, "target-cpu", e->target->cpu);
    if (e->target->features[0])
        add_string(e, function, "target-features", e->target->features);
    if (e->target->arch == TEGU_ARCH_X86_64) {
        add_string(e, function, "prefer-vector-width", width);
        add_string(e, function, "min-legal-vector-width", width);
    }
}

static void set_linkage(LLVMValueRef function, tegu_linkage linkage)
{
    if (linkage == TEGU_LINKAGE_PRIVATE)
        LLVMSetLinkage(function, LLVMInternalLinkage);
    else if (linkage == TEGU_LINKAGE_HIDDEN)
        LLVMSetVisibility(function, LLVMHiddenVisibility);
}

LLVMValueRef tegu_emit_function(tegu_emitter *e, const char *name,
                                LLVMTypeRef result, LLVMTypeRef *parameters,
                                unsigned count, tegu_linkage linkage)
{
    LLVMTypeRef type = LLVMFunctionType(result, parameters, count, 0);
    LLVMValueRef function = LLVMAddFunction(e->module, name, type);
    set_linkage(function, linkage);
    add_attributes(e, function);
    e->function = function;
    LLVMPositionBuilderAtEnd(
        e->builder, LLVMAppendBasicBlockInContext(e->context, function, ""));
    return function;
}

void tegu_emit_noalias(tegu_emitter *e, LLVMValueRef function, unsigned i)
{
    add_enum(e, function, i + 1, "noalias");
}

void tegu_emit_noinline(tegu_emitter *e, LLVMValueRef function)
{
    add_enum(e, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
             "noinline");
}

LLVMValueRef tegu_emit_kernel(tegu_emitter *e, const char *name)
{
    LLVMTypeRef parameters[] = {e->ptr, e->i64, e->i64};
    return tegu_emit_function(e, name, e->none, parameters, 3,
                              TEGU_LINKAGE_HIDDEN);
}

/* Slots are never written while a kernel runs: LLVM may move the loads. */
static LLVMValueRef load_slot(tegu_emitter *e, LLVMTypeRef type,
                              LLVMValueRef args, unsigned slot)
{
    LLVMValueRef at = tegu_emit_at(e, e->i64, args, tegu_emit_int(e, slot));
    LLVMValueRef load = tegu_emit_load(e, type, at, 8, NULL);
    LLVMMetadataRef empty = LLVMMDNodeInContext2(e->context, NULL, 0);
    LLVMSetMetadata(load,
                    LLVMGetMDKindIDInContext(e->context, "invariant.load", 14),
                    LLVMMetadataAsValue(e->context, empty));
    return load;
}

LLVMValueRef tegu_emit_slot_ptr(tegu_emitter *e, LLVMValueRef args,
                                unsigned slot)
{
    return load_slot(e, e->ptr, args, slot);
}

LLVMValueRef tegu_emit_slot_i64(tegu_emitter *e, LLVMValueRef args,
                                unsigned slot)
{
    return load_slot(e, e->i64, args, slot);
}

LLVMValueRef tegu_emit_call(tegu_emitter *e, LLVMValueRef function,
                            LLVMValueRef *arguments, unsigned count)
{
    return LLVMBuildCall2(e->builder, LLVMGlobalGetValueType(function),
                          function, arguments, count, "");
}

void tegu_emit_share(tegu_emitter *e, LLVMValueRef count, LLVMValueRef part,
                     LLVMValueRef parts, LLVMValueRef *lo, LLVMValueRef *hi)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef next = LLVMBuildAdd(b, part, tegu_emit_int(e, 1), "");
    *lo = LLVMBuildSDiv(b, LLVMBuildMul(b, count, part, ""), parts, "");
    *hi = LLVMBuildSDiv(b, LLVMBuildMul(b, count, next, ""), parts, "");
}

/* ---- constants and types ---- */

LLVMValueRef tegu_emit_int(tegu_emitter *e, int64_t value)
{
    return LLVMConstInt(e->i64, (unsigned long long)value, /*sext=*/1);
}

LLVMTypeRef tegu_emit_type(LLVMTypeRef element, unsigned lanes)
{
    return lanes == 1 ? element : LLVMVectorType(element, lanes);
}

unsigned tegu_emit_lanes(LLVMTypeRef any)
{
    return LLVMGetTypeKind(any) == LLVMVectorTypeKind ? LLVMGetVectorSize(any)
                                                      : 1;
}

static LLVMTypeRef element_of(LLVMTypeRef any)
{
    return LLVMGetTypeKind(any) == LLVMVectorTypeKind ? LLVMGetElementType(any)
                                                      : any;
}

LLVMTypeRef tegu_emit_retype(LLVMTypeRef any, LLVMTypeRef element)
{
    return tegu_emit_type(element, tegu_emit_lanes(any));
}

static LLVMValueRef constant_splat(LLVMValueRef scalar, unsigned lanes)
{
    LLVMValueRef each[64];
    if (lanes == 1)
        return scalar;
    assert(lanes <= 64);
    for (unsigned i = 0; i < lanes; i++)
        each[i] = scalar;
    return LLVMConstVector(each, lanes);
}

LLVMValueRef tegu_emit_real(LLVMTypeRef any, double value)
{
    return constant_splat(LLVMConstReal(element_of(any), value),
                          tegu_emit_lanes(any));
}

LLVMValueRef tegu_emit_integer(LLVMTypeRef any, int64_t value)
{
    return constant_splat(
        LLVMConstInt(element_of(any), (unsigned long long)value, 1),
        tegu_emit_lanes(any));
}

LLVMValueRef tegu_emit_splat(tegu_emitter *e, LLVMValueRef scalar,
                             unsigned lanes)
{
    if (lanes == 1)
        return scalar;
    if (LLVMIsConstant(scalar))
        return constant_splat(scalar, lanes);
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), lanes);
    LLVMValueRef poison = LLVMGetPoison(type);
    LLVMValueRef zero = LLVMConstInt(e->i32, 0, 0);
    LLVMValueRef first =
        LLVMBuildInsertElement(e->builder, poison, scalar, zero, "");
    return LLVMBuildShuffleVector(e->builder, first, poison,
                                  LLVMConstNull(LLVMVectorType(e->i32, lanes)),
                                  "");
}

/* <0, 1, 2, ...> of i32 */
static LLVMValueRef iota(tegu_emitter *e, unsigned lanes)
{
    LLVMValueRef each[64];
    assert(lanes <= 64);
    for (unsigned i = 0; i < lanes; i++)
        each[i] = LLVMConstInt(e->i32, i, 0);
    return lanes == 1 ? each[0] : LLVMConstVector(each, lanes);
}

LLVMValueRef tegu_emit_mask(tegu_emitter *e, unsigned lanes, LLVMValueRef count)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef most = tegu_emit_int(e, lanes);
    LLVMValueRef more = LLVMBuildICmp(b, LLVMIntSGT, count, most, "");
    LLVMValueRef few = LLVMBuildSelect(b, more, most, count, "");
    LLVMValueRef narrow = LLVMBuildTrunc(b, few, e->i32, "");
    return LLVMBuildICmp(b, LLVMIntSLT, iota(e, lanes),
                         tegu_emit_splat(e, narrow, lanes), "");
}

/* ---- memory ---- */

LLVMValueRef tegu_emit_at(tegu_emitter *e, LLVMTypeRef element,
                          LLVMValueRef base, LLVMValueRef index)
{
    return LLVMBuildInBoundsGEP2(e->builder, element, base, &index, 1, "");
}

/* Masked access through the intrinsic of one name and overload list. */
static LLVMValueRef masked(tegu_emitter *e, const char *name, LLVMTypeRef any,
                           LLVMValueRef *arguments, unsigned count)
{
    LLVMTypeRef overload[] = {any, e->ptr};
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef declared =
        LLVMGetIntrinsicDeclaration(e->module, id, overload, 2);
    return LLVMBuildCall2(e->builder, LLVMGlobalGetValueType(declared),
                          declared, arguments, count, "");
}

LLVMValueRef tegu_emit_load(tegu_emitter *e, LLVMTypeRef any, LLVMValueRef ptr,
                            unsigned align, LLVMValueRef mask)
{
    if (!mask) {
        LLVMValueRef load = LLVMBuildLoad2(e->builder, any, ptr, "");
        LLVMSetAlignment(load, align);
        return load;
    }
    LLVMValueRef arguments[4], after[] = {mask, LLVMConstNull(any)};
    unsigned n = tegu_compat_masked_arguments(e->context, arguments, &ptr, 1,
                                              after, 2, align);
    LLVMValueRef call = masked(e, "llvm.masked.load", any, arguments, n);
    tegu_compat_masked_align(e->context, call, 1, align);
    return call;
}

LLVMValueRef tegu_emit_store(tegu_emitter *e, LLVMValueRef value,
                             LLVMValueRef ptr, unsigned align,
                             LLVMValueRef mask)
{
    if (!mask) {
        LLVMValueRef store = LLVMBuildStore(e->builder, value, ptr);
        LLVMSetAlignment(store, align);
        return store;
    }
    LLVMValueRef arguments[4], before[] = {value, ptr};
    unsigned n = tegu_compat_masked_arguments(e->context, arguments, before, 2,
                                              &mask, 1, align);
    LLVMValueRef call =
        masked(e, "llvm.masked.store", LLVMTypeOf(value), arguments, n);
    tegu_compat_masked_align(e->context, call, 2, align);
    return call;
}

LLVMValueRef tegu_emit_stack(tegu_emitter *e, LLVMTypeRef element,
                             uint64_t count, unsigned align)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->builder);
    LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(e->function);
    LLVMValueRef first = LLVMGetFirstInstruction(entry);
    if (first)
        LLVMPositionBuilderBefore(e->builder, first);
    else
        LLVMPositionBuilderAtEnd(e->builder, entry);
    LLVMValueRef array =
        LLVMBuildAlloca(e->builder, LLVMArrayType2(element, count), "");
    LLVMSetAlignment(array, align);
    LLVMPositionBuilderAtEnd(e->builder, here);
    return array;
}

/* Scopes are named after function and buffer, so that asking twice gives the
 * same node (LangRef, 'noalias' and 'alias.scope' Metadata). */
static LLVMMetadataRef scope_of(tegu_emitter *e, unsigned i)
{
    size_t length;
    const char *function = LLVMGetValueName2(e->function, &length);
    char number[16];
    int digits = snprintf(number, sizeof number, "%u", i);
    LLVMMetadataRef text = LLVMMDStringInContext2(e->context, function, length);
    LLVMMetadataRef domain = LLVMMDNodeInContext2(e->context, &text, 1);
    LLVMMetadataRef operands[] = {
        LLVMMDStringInContext2(e->context, number, (size_t)digits), domain};
    return LLVMMDNodeInContext2(e->context, operands, 2);
}

void tegu_emit_buffer(tegu_emitter *e, LLVMValueRef access, unsigned i,
                      unsigned n)
{
    LLVMMetadataRef own = scope_of(e, i), others[64];
    unsigned count = 0;
    for (unsigned k = 0; k < n && count < 64; k++)
        if (k != i)
            others[count++] = scope_of(e, k);
    LLVMSetMetadata(access,
                    LLVMGetMDKindIDInContext(e->context, "alias.scope", 11),
                    LLVMMetadataAsValue(
                        e->context, LLVMMDNodeInContext2(e->context, &own, 1)));
    LLVMSetMetadata(
        access, LLVMGetMDKindIDInContext(e->context, "noalias", 7),
        LLVMMetadataAsValue(e->context,
                            LLVMMDNodeInContext2(e->context, others, count)));
}

/* ---- arithmetic ---- */

/* Gives the value e->flags if it is an instruction that takes them. */
static LLVMValueRef flagged(tegu_emitter *e, LLVMValueRef value)
{
    if (e->flags && LLVMIsAInstruction(value) &&
        LLVMCanValueUseFastMathFlags(value))
        LLVMSetFastMathFlags(value, e->flags);
    return value;
}

LLVMValueRef tegu_emit_fadd(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b)
{
    return flagged(e, LLVMBuildFAdd(e->builder, a, b, ""));
}

LLVMValueRef tegu_emit_fsub(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b)
{
    return flagged(e, LLVMBuildFSub(e->builder, a, b, ""));
}

LLVMValueRef tegu_emit_fmul(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b)
{
    return flagged(e, LLVMBuildFMul(e->builder, a, b, ""));
}

LLVMValueRef tegu_emit_fdiv(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b)
{
    return flagged(e, LLVMBuildFDiv(e->builder, a, b, ""));
}

LLVMValueRef tegu_emit_fneg(tegu_emitter *e, LLVMValueRef a)
{
    return flagged(e, LLVMBuildFNeg(e->builder, a, ""));
}

LLVMValueRef tegu_emit_intrinsic(tegu_emitter *e, const char *name,
                                 LLVMValueRef *arguments, unsigned count)
{
    LLVMTypeRef type = LLVMTypeOf(arguments[0]);
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef declared =
        LLVMGetIntrinsicDeclaration(e->module, id, &type, 1);
    LLVMTypeRef signature = LLVMGlobalGetValueType(declared);
    return flagged(e, LLVMBuildCall2(e->builder, signature, declared, arguments,
                                     count, ""));
}

LLVMValueRef tegu_emit_fma(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b,
                           LLVMValueRef c)
{
    LLVMValueRef arguments[] = {a, b, c};
    if (e->target->fma)
        return tegu_emit_intrinsic(e, "llvm.fma", arguments, 3);
    return tegu_emit_fadd(e, tegu_emit_fmul(e, a, b), c);
}

LLVMValueRef tegu_emit_unary(tegu_emitter *e, const char *name, LLVMValueRef a)
{
    return tegu_emit_intrinsic(e, name, &a, 1);
}

LLVMValueRef tegu_emit_binary(tegu_emitter *e, const char *name, LLVMValueRef a,
                              LLVMValueRef b)
{
    LLVMValueRef arguments[] = {a, b};
    return tegu_emit_intrinsic(e, name, arguments, 2);
}

LLVMValueRef tegu_emit_fmin(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef less = LLVMBuildFCmp(e->builder, LLVMRealOLT, a, b, "");
    return LLVMBuildSelect(e->builder, less, a, b, "");
}

LLVMValueRef tegu_emit_fmax(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef more = LLVMBuildFCmp(e->builder, LLVMRealOGT, a, b, "");
    return LLVMBuildSelect(e->builder, more, a, b, "");
}

typedef LLVMValueRef combine(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b);

/* Half `which` (0 or 1) of a vector of n lanes. */
static LLVMValueRef half_of(tegu_emitter *e, LLVMValueRef v, unsigned n,
                            unsigned which)
{
    LLVMValueRef pick[64];
    assert(n <= 64);
    for (unsigned i = 0; i < n / 2; i++)
        pick[i] = LLVMConstInt(e->i32, which * (n / 2) + i, 0);
    return LLVMBuildShuffleVector(e->builder, v, LLVMGetPoison(LLVMTypeOf(v)),
                                  LLVMConstVector(pick, n / 2), "");
}

static LLVMValueRef fold_lanes(tegu_emitter *e, LLVMValueRef v, combine *f)
{
    unsigned n = tegu_emit_lanes(LLVMTypeOf(v));
    if (LLVMGetTypeKind(LLVMTypeOf(v)) != LLVMVectorTypeKind)
        return v;
    for (; n > 1; n /= 2)
        v = f(e, half_of(e, v, n, 0), half_of(e, v, n, 1));
    return LLVMBuildExtractElement(e->builder, v, LLVMConstInt(e->i32, 0, 0),
                                   "");
}

LLVMValueRef tegu_emit_sum(tegu_emitter *e, LLVMValueRef vector)
{
    return fold_lanes(e, vector, tegu_emit_fadd);
}

LLVMValueRef tegu_emit_max(tegu_emitter *e, LLVMValueRef vector)
{
    return fold_lanes(e, vector, tegu_emit_fmax);
}

/* ---- control ---- */

static LLVMBasicBlockRef new_block(tegu_emitter *e)
{
    return LLVMAppendBasicBlockInContext(e->context, e->function, "");
}

void tegu_loop_begin(tegu_emitter *e, tegu_loop *loop, tegu_loop_kind kind,
                     LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef step,
                     unsigned count, LLVMValueRef *init)
{
    assert(count <= TEGU_LOOP_VALUES);
    LLVMBuilderRef b = e->builder;
    LLVMValueRef some = LLVMBuildICmp(b, LLVMIntSLT, lo, hi, "");
    bool sure = LLVMIsAConstantInt(some) && LLVMConstIntGetZExtValue(some);
    loop->kind = kind;
    loop->count = count;
    loop->hi = hi;
    loop->step = step;
    loop->before = LLVMGetInsertBlock(b);
    loop->body = new_block(e);
    loop->after = new_block(e);
    loop->guarded = kind != TEGU_LOOP_COUNTED && !sure;
    if (loop->guarded)
        LLVMBuildCondBr(b, some, loop->body, loop->after);
    else
        LLVMBuildBr(b, loop->body);
    LLVMPositionBuilderAtEnd(b, loop->body);
    loop->index = LLVMBuildPhi(b, e->i64, "");
    LLVMAddIncoming(loop->index, &lo, &loop->before, 1);
    for (unsigned i = 0; i < count; i++) {
        loop->init[i] = init[i];
        loop->value[i] = LLVMBuildPhi(b, LLVMTypeOf(init[i]), "");
        LLVMAddIncoming(loop->value[i], &init[i], &loop->before, 1);
    }
}

/* llvm.loop metadata: a node whose first operand is itself. */
static void keep_as_is(tegu_emitter *e, LLVMValueRef branch)
{
    static const char *const hints[] = {"llvm.loop.unroll.disable",
                                        "llvm.loop.vectorize.enable"};
    LLVMMetadataRef operands[3];
    LLVMMetadataRef off[] = {
        LLVMMDStringInContext2(e->context, hints[1], strlen(hints[1])),
        LLVMValueAsMetadata(LLVMConstInt(e->i1, 0, 0))};
    LLVMMetadataRef unroll =
        LLVMMDStringInContext2(e->context, hints[0], strlen(hints[0]));
    LLVMMetadataRef self = LLVMTemporaryMDNode(e->context, NULL, 0);
    operands[0] = self;
    operands[1] = LLVMMDNodeInContext2(e->context, &unroll, 1);
    operands[2] = LLVMMDNodeInContext2(e->context, off, 2);
    LLVMMetadataRef node = LLVMMDNodeInContext2(e->context, operands, 3);
    LLVMMetadataReplaceAllUsesWith(self, node);
    LLVMSetMetadata(branch,
                    LLVMGetMDKindIDInContext(e->context, "llvm.loop", 9),
                    LLVMMetadataAsValue(e->context, node));
}

void tegu_loop_end(tegu_emitter *e, tegu_loop *loop, LLVMValueRef *next)
{
    LLVMBuilderRef b = e->builder;
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(b);
    LLVMValueRef index = LLVMBuildNSWAdd(b, loop->index, loop->step, "");
    LLVMValueRef more = LLVMBuildICmp(b, LLVMIntSLT, index, loop->hi, "");
    LLVMValueRef branch = LLVMBuildCondBr(b, more, loop->body, loop->after);
    if (loop->kind != TEGU_LOOP_OPEN)
        keep_as_is(e, branch);
    LLVMAddIncoming(loop->index, &index, &latch, 1);
    LLVMPositionBuilderAtEnd(b, loop->after);
    for (unsigned i = 0; i < loop->count; i++) {
        LLVMAddIncoming(loop->value[i], &next[i], &latch, 1);
        loop->value[i] = LLVMBuildPhi(b, LLVMTypeOf(next[i]), "");
        LLVMAddIncoming(loop->value[i], &next[i], &latch, 1);
        if (loop->guarded)
            LLVMAddIncoming(loop->value[i], &loop->init[i], &loop->before, 1);
    }
}

void tegu_if_begin(tegu_emitter *e, tegu_if *branch, LLVMValueRef condition)
{
    LLVMBasicBlockRef then = new_block(e);
    branch->otherwise = new_block(e);
    branch->after = new_block(e);
    branch->has_else = false;
    LLVMBuildCondBr(e->builder, condition, then, branch->otherwise);
    LLVMPositionBuilderAtEnd(e->builder, then);
}

void tegu_if_else(tegu_emitter *e, tegu_if *branch)
{
    branch->has_else = true;
    LLVMBuildBr(e->builder, branch->after);
    LLVMPositionBuilderAtEnd(e->builder, branch->otherwise);
}

void tegu_if_end(tegu_emitter *e, tegu_if *branch)
{
    LLVMBuildBr(e->builder, branch->after);
    if (!branch->has_else) {
        LLVMPositionBuilderAtEnd(e->builder, branch->otherwise);
        LLVMBuildBr(e->builder, branch->after);
    }
    LLVMPositionBuilderAtEnd(e->builder, branch->after);
}
