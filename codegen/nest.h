/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of one loop kernel while its code is written: index expressions,
 * scopes, and what has been computed in them.  Shared by nest.c (scopes and
 * indices), value.c, move.c, reduce.c (expressions) and loops.c
 * (the loops around them); nobody else includes it.
 *
 * An index is an affine expression over atoms: loop variables, quotients and
 * remainders of other indices, gathered numbers.  Atoms have bounds, so that
 * reshapes divide only where they must.
 *
 * A scope is a region of code whose values dominate what is nested in it: the
 * function, a loop's body, a branch.  An index lives in the innermost scope
 * of its atoms, and a reduction is computed there, however deep it is asked
 * for: every loop leaves open the block before it (tegu_nest_enter).
 */
#ifndef TEGU_CODEGEN_NEST_H
#define TEGU_CODEGEN_NEST_H

#include "codegen/emit.h"
#include "ir/ir.h"

enum { TEGU_INDEX_TERMS = 10, TEGU_NEST_BUDGET = 6000 };

typedef struct tegu_term {
    uint32_t atom;
    int64_t factor; /* never 0 */
} tegu_term;

/* offset + sum of factor * atom, terms by rising atom. */
typedef struct tegu_index {
    int64_t offset;
    uint32_t count;
    tegu_term terms[TEGU_INDEX_TERMS];
} tegu_index;

typedef struct tegu_scope tegu_scope;

typedef enum tegu_atom_kind {
    TEGU_ATOM_GIVEN,    /* a loop variable, a gathered index */
    TEGU_ATOM_QUOTIENT, /* of / by */
    TEGU_ATOM_REMAINDER,
    TEGU_ATOM_PRODUCT, /* of * by */
    TEGU_ATOM_CLAMPED  /* of, held within [0, by - 1] */
} tegu_atom_kind;

typedef struct tegu_atom {
    LLVMValueRef value; /* i64 */
    int64_t lo, hi;     /* bounds, inclusive */
    tegu_scope *scope;  /* where the value is defined */
    tegu_atom_kind kind;
    tegu_index of;   /* what it was made from, so that asking twice */
    LLVMValueRef by; /* gives the same atom */
} tegu_atom;

/* A computed element: node v at an index. */
typedef struct tegu_memo {
    struct tegu_memo *next;
    LLVMValueRef value;
    const tegu_index *at;
} tegu_memo;

struct tegu_scope {
    tegu_scope *parent;
    LLVMBasicBlockRef before; /* open block in the parent; NULL: a branch,
                                 which nothing inside may leave */
    LLVMBasicBlockRef start;  /* the block that `before` shall jump to */
    tegu_memo **memo;         /* per value of the body */
};

typedef struct tegu_nest {
    tegu_emitter *e;
    tegu_arena *arena; /* lives as long as the kernel's emission */
    const tegu_unit *unit;
    const tegu_graph *body;
    const LLVMValueRef *operands; /* pointers, per ARG index */
    uint32_t operand_count;
    LLVMValueRef *symbols; /* i64 per axis id; NULL where unused */
    LLVMValueRef position; /* i64; NULL where unused */
    tegu_scope *scope;     /* the innermost */
    TEGU_VEC(tegu_atom) atoms;
    uint32_t spent;   /* elements computed so far */
    bool too_complex; /* over TEGU_NEST_BUDGET: drop the kernel */
} tegu_nest;

/* ---- scopes (nest.c) ---- */
/* Opens the scope of a branch or of the whole function. */
tegu_scope *tegu_nest_push(tegu_nest *n);
void tegu_nest_pop(tegu_nest *n);

/* A loop over [0, count) or [lo, hi) that is a scope; its variable is an
 * atom with the given upper bound. */
typedef struct tegu_nest_loop {
    tegu_loop loop;
    uint32_t atom;
} tegu_nest_loop;
void tegu_nest_loop_begin(tegu_nest *n, tegu_nest_loop *l, LLVMValueRef lo,
                          LLVMValueRef hi, int64_t bound, unsigned count,
                          LLVMValueRef *init);
void tegu_nest_loop_end(tegu_nest *n, tegu_nest_loop *l, LLVMValueRef *next);

/* Code between enter and leave goes to `scope`, an ancestor of the present
 * one (or to the nearest that a branch allows). */
typedef struct tegu_detour {
    tegu_scope *from, *child;
    LLVMBasicBlockRef block;
} tegu_detour;
void tegu_nest_enter(tegu_nest *n, tegu_scope *scope, tegu_detour *d);
void tegu_nest_leave(tegu_nest *n, tegu_detour *d);
/* The innermost scope of the atoms of `count` indices. */
tegu_scope *tegu_nest_home(const tegu_nest *n, const tegu_index *at,
                           uint32_t count);

/* ---- extents and indices (nest.c) ---- */
LLVMValueRef tegu_nest_extent(tegu_nest *n, tegu_dim dim);
/* Greatest value of a dimension. */
int64_t tegu_nest_bound(const tegu_nest *n, tegu_dim dim);
/* Least value of a dimension. */
int64_t tegu_nest_least(const tegu_nest *n, tegu_dim dim);

tegu_index tegu_index_constant(int64_t value);
tegu_index tegu_index_given(tegu_nest *n, LLVMValueRef value, int64_t lo,
                            int64_t hi);
tegu_index tegu_index_atom(uint32_t atom);
tegu_index tegu_index_add(tegu_nest *n, const tegu_index *a,
                          const tegu_index *b);
tegu_index tegu_index_scale(const tegu_index *a, int64_t factor);
/* a + dim, for starts that count from the end. */
tegu_index tegu_index_plus(tegu_nest *n, const tegu_index *a, tegu_dim dim);
tegu_index tegu_index_clamp(tegu_nest *n, const tegu_index *a, tegu_dim size);
void tegu_index_range(const tegu_nest *n, const tegu_index *a, int64_t *lo,
                      int64_t *hi);
/* Row-major position in dims, and back. */
tegu_index tegu_index_join(tegu_nest *n, const tegu_index *at,
                           const tegu_dim *dims, uint32_t count);
void tegu_index_split(tegu_nest *n, const tegu_index *linear,
                      const tegu_dim *dims, uint32_t count, tegu_index *out);
/* The i64 that an index stands for, computed here. */
LLVMValueRef tegu_index_value(tegu_nest *n, const tegu_index *a);

/* ---- elements (value.c) ---- */
/* Element `at` (one index per axis of its type) of node v, in its dtype's
 * carrier (cast.h). */
LLVMValueRef tegu_nest_value(tegu_nest *n, tegu_value v, const tegu_index *at);
/* The same without looking for an earlier computation: the rule of the op. */
typedef LLVMValueRef tegu_rule(tegu_nest *n, const tegu_node *node,
                               const tegu_index *at);
/* A constant of the carrier's LLVM type. */
LLVMValueRef tegu_nest_constant(const tegu_nest *n, tegu_dtype dtype,
                                double value);
/* The value of `then` where the condition holds, else `otherwise`; the former
 * is computed in a branch of its own. */
typedef LLVMValueRef tegu_thunk(tegu_nest *n, void *data);
LLVMValueRef tegu_nest_guard(tegu_nest *n, LLVMValueRef condition,
                             tegu_thunk *then, void *data,
                             LLVMValueRef otherwise);
void tegu_nest_store(tegu_nest *n, tegu_dtype dtype, LLVMValueRef value,
                     LLVMValueRef base, const tegu_index *linear);

/* ---- rules of move.c and reduce.c ---- */
tegu_rule tegu_rule_reshape, tegu_rule_transpose, tegu_rule_slice,
    tegu_rule_pad, tegu_rule_concat, tegu_rule_gather, tegu_rule_append;
tegu_rule tegu_rule_reduce, tegu_rule_argmax, tegu_rule_contract;

#endif
