/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builder layer over LLVM's C API: one emitter owns a module and all that
 * is needed to fill it.  Generators call these functions and LLVMBuild*, in
 * the order in which the code shall run.
 *
 * Values are scalars or fixed vectors; "any" functions take both.  Nothing
 * here fails on valid input: what can go wrong (names, sizes) is checked by
 * the callers, and object.c verifies the module once it is complete.
 * An emitter is used by one thread at a time; distinct emitters are
 * independent.
 */
#ifndef TEGU_CODEGEN_EMIT_H
#define TEGU_CODEGEN_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "codegen/failure.h"
#include "codegen/target.h"

typedef struct tegu_emitter {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTargetMachineRef machine;
    LLVMTargetDataRef layout;
    const tegu_target *target; /* borrowed */
    LLVMTypeRef none, i1, i8, i16, i32, i64, f32, f64, ptr;
    LLVMValueRef function;   /* the one being filled */
    LLVMFastMathFlags flags; /* given to every floating instruction made by
                                tegu_emit_*; LLVMFastMathNone at first */
    bool owns_context;
    bool failed; /* LLVM reported an error: message below */
    tegu_failure message;
} tegu_emitter;

/*
 * Creates an emitter for a module called `name` (also its source file name,
 * so that output does not depend on paths).  `beside`, if not NULL, is an
 * emitter of the same target that lends its context: the new one must be
 * joined to it (tegu_object_join) or destroyed before it.  NULL with a
 * message on failure.
 */
tegu_emitter *tegu_emitter_create(const tegu_target *target, const char *name,
                                  tegu_emitter *beside, tegu_failure *failure);
void tegu_emitter_destroy(tegu_emitter *e);

/* ---- functions ---- */
typedef enum tegu_linkage {
    TEGU_LINKAGE_PRIVATE, /* internal to the object */
    TEGU_LINKAGE_HIDDEN,  /* between objects of one link */
    TEGU_LINKAGE_PUBLIC   /* the application's */
} tegu_linkage;

/* Starts a function with an empty entry block; e->function is set.  It will
 * not unwind, call builtins or use a frame pointer. */
LLVMValueRef tegu_emit_function(tegu_emitter *e, const char *name,
                                LLVMTypeRef result, LLVMTypeRef *parameters,
                                unsigned count, tegu_linkage linkage);
/* Parameter i (from 0) points to memory that nothing else touches. */
void tegu_emit_noalias(tegu_emitter *e, LLVMValueRef function, unsigned i);
/* The function is kept apart. */
void tegu_emit_noinline(tegu_emitter *e, LLVMValueRef function);

/*
 * All kernels: void NAME(ptr args, i64 part, i64 parts), hidden.  `args` is
 * an array of 8-byte slots, pointers or i64, that the kernel only reads.
 */
LLVMValueRef tegu_emit_kernel(tegu_emitter *e, const char *name);
LLVMValueRef tegu_emit_slot_ptr(tegu_emitter *e, LLVMValueRef args,
                                unsigned slot);
LLVMValueRef tegu_emit_slot_i64(tegu_emitter *e, LLVMValueRef args,
                                unsigned slot);
LLVMValueRef tegu_emit_call(tegu_emitter *e, LLVMValueRef function,
                            LLVMValueRef *arguments, unsigned count);
/* The share of [0, count) that belongs to `part` of `parts` (all i64):
 * contiguous, in order, sizes within one of each other. */
void tegu_emit_share(tegu_emitter *e, LLVMValueRef count, LLVMValueRef part,
                     LLVMValueRef parts, LLVMValueRef *lo, LLVMValueRef *hi);

/* ---- constants and types ---- */
LLVMValueRef tegu_emit_int(tegu_emitter *e, int64_t value); /* i64 */
/* lanes == 1 gives the element itself */
LLVMTypeRef tegu_emit_type(LLVMTypeRef element, unsigned lanes);
unsigned tegu_emit_lanes(LLVMTypeRef any);
/* The same lane count with another element. */
LLVMTypeRef tegu_emit_retype(LLVMTypeRef any, LLVMTypeRef element);
/* Constants of any scalar or vector type, every lane alike. */
LLVMValueRef tegu_emit_real(LLVMTypeRef any, double value);
LLVMValueRef tegu_emit_integer(LLVMTypeRef any, int64_t value);
LLVMValueRef tegu_emit_splat(tegu_emitter *e, LLVMValueRef scalar,
                             unsigned lanes);
/* Lanes below `count` (i64), a vector of i1; a constant if count is one. */
LLVMValueRef tegu_emit_mask(tegu_emitter *e, unsigned lanes,
                            LLVMValueRef count);

/* ---- memory ---- */
/* Address of element `index` (i64) of an array of `element` at base. */
LLVMValueRef tegu_emit_at(tegu_emitter *e, LLVMTypeRef element,
                          LLVMValueRef base, LLVMValueRef index);
/* Aligned to `align` bytes; lanes where mask is false are neither read nor
 * written (a load gives zero there); mask NULL means all. */
LLVMValueRef tegu_emit_load(tegu_emitter *e, LLVMTypeRef any, LLVMValueRef ptr,
                            unsigned align, LLVMValueRef mask);
LLVMValueRef tegu_emit_store(tegu_emitter *e, LLVMValueRef value,
                             LLVMValueRef ptr, unsigned align,
                             LLVMValueRef mask);
/* Array on the stack of the current function, whatever block we are in. */
LLVMValueRef tegu_emit_stack(tegu_emitter *e, LLVMTypeRef element,
                             uint64_t count, unsigned align);
/* Says that the access goes to buffer i of the current function's n buffers,
 * which do not overlap. */
void tegu_emit_buffer(tegu_emitter *e, LLVMValueRef access, unsigned i,
                      unsigned n);

/* ---- arithmetic on any ---- */
LLVMValueRef tegu_emit_fadd(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef tegu_emit_fsub(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef tegu_emit_fmul(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef tegu_emit_fdiv(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef tegu_emit_fneg(tegu_emitter *e, LLVMValueRef a);
/* a * b + c: fused where the target can, two roundings elsewhere. */
LLVMValueRef tegu_emit_fma(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b,
                           LLVMValueRef c);
/* An intrinsic overloaded on the type of its first argument only:
 * "llvm.fabs", "llvm.sqrt", "llvm.roundeven", "llvm.minnum", ... */
LLVMValueRef tegu_emit_intrinsic(tegu_emitter *e, const char *name,
                                 LLVMValueRef *arguments, unsigned count);
LLVMValueRef tegu_emit_unary(tegu_emitter *e, const char *name, LLVMValueRef a);
LLVMValueRef tegu_emit_binary(tegu_emitter *e, const char *name, LLVMValueRef a,
                              LLVMValueRef b);
/* a < b ? a : b and a > b ? a : b: the second operand if either is NaN. */
LLVMValueRef tegu_emit_fmin(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef tegu_emit_fmax(tegu_emitter *e, LLVMValueRef a, LLVMValueRef b);
/* Sum, or greatest, of the lanes by halves; a scalar is returned as is. */
LLVMValueRef tegu_emit_sum(tegu_emitter *e, LLVMValueRef vector);
LLVMValueRef tegu_emit_max(tegu_emitter *e, LLVMValueRef vector);

/* ---- control ---- */
#define TEGU_LOOP_VALUES 64

typedef enum tegu_loop_kind {
    TEGU_LOOP_OPEN,   /* LLVM may unroll and vectorise */
    TEGU_LOOP_AS_IS,  /* neither: the generator has decided */
    TEGU_LOOP_COUNTED /* as is, and known to run at least once */
} tegu_loop_kind;

/*
 * for (index = lo; index < hi; index += step) with `count` values carried
 * from one round to the next (all indices i64, step > 0):
 *
 *     tegu_loop_begin(e, &loop, kind, lo, hi, step, count, init);
 *     ... loop.index, loop.value[i] ...
 *     tegu_loop_end(e, &loop, next);
 *     ... loop.value[i]: the values after the last round, or init ...
 */
typedef struct tegu_loop {
    LLVMValueRef index, value[TEGU_LOOP_VALUES];
    unsigned count;
    tegu_loop_kind kind;
    LLVMValueRef hi, step, init[TEGU_LOOP_VALUES];
    LLVMBasicBlockRef before, body, after;
    bool guarded; /* the test before the first round exists */
} tegu_loop;

void tegu_loop_begin(tegu_emitter *e, tegu_loop *loop, tegu_loop_kind kind,
                     LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef step,
                     unsigned count, LLVMValueRef *init);
void tegu_loop_end(tegu_emitter *e, tegu_loop *loop, LLVMValueRef *next);

/* if (condition) ... [tegu_if_else ...] tegu_if_end */
typedef struct tegu_if {
    LLVMBasicBlockRef otherwise, after;
    bool has_else;
} tegu_if;
void tegu_if_begin(tegu_emitter *e, tegu_if *branch, LLVMValueRef condition);
void tegu_if_else(tegu_emitter *e, tegu_if *branch);
void tegu_if_end(tegu_emitter *e, tegu_if *branch);

#endif
