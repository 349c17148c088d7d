/* SPDX-License-Identifier: Apache-2.0 */
/* fuse.h - private to fuse: where every value of a core graph is computed.
 *
 * fuse_contract.c claims the contractions with their epilogues, fuse_place.c
 * places all other values, fuse.c builds the kernels from the placement.
 */
#ifndef TEGU_PASSES_FUSE_H
#define TEGU_PASSES_FUSE_H

#include "passes/passes.h"

typedef enum fuse_kind {
    FUSE_LOOP,      /* any body of core ops */
    FUSE_CONTRACT,  /* one contraction by constant weights, and epilogue */
    FUSE_ATTENTION, /* the attention op alone */
    FUSE_CONSTANT   /* depends on parameters only */
} fuse_kind;

typedef enum fuse_place {
    FUSE_UNUSED,
    FUSE_LEAF,
    FUSE_OWN,   /* materialised: the root of a kernel */
    FUSE_IN,    /* computed inside one kernel */
    FUSE_COPIED /* free: computed inside each kernel that reads it */
} fuse_place;

/* How often and in which order a kernel's loops evaluate an inlined value,
 * from best to worst. */
typedef enum fuse_order {
    FUSE_FULL,  /* once per element, in the order of the iteration space */
    FUSE_INNER, /* once per element, in the inner loop of a row reduction */
    FUSE_ROW,   /* once per row: depends on leading axes only */
    FUSE_ONCE,  /* once per element, in some order */
    FUSE_MANY   /* several times per element */
} fuse_order;

enum { FUSE_NOWHERE = 0, FUSE_ANYWHERE = INT32_MAX };

typedef struct fuse_slot {
    fuse_place place;
    fuse_order order;
    uint32_t home;     /* root of the kernel that computes it */
    uint32_t depth;    /* arithmetic ops from leaves, saturating */
    uint32_t repeated; /* arithmetic ops above it, evaluated several times */
    bool root;         /* a result or update of the graph */
    bool operand;      /* must be a kernel operand */
    bool region;       /* in a contraction's epilogue */
    bool chain;        /* reshape between an operand and a contraction */
    bool tail;         /* reshape at the end of a kernel: moves no index */
    bool stale;        /* a state overwritten in this call: read as a copy */
    bool index_only;   /* cheap function of iotas, position, scalars */
    /* of kernels' roots */
    fuse_kind kind;
    tegu_value anchor; /* the contraction of a contract kernel */
    uint32_t size;     /* values inside */
    uint32_t row;      /* leading axes of its row reductions + 1; 0: none */
} fuse_slot;

typedef struct fusion {
    const tegu_graph *g;
    tegu_arena *scratch;
    bool epilogues, loops;
    const uint32_t *uses;
    const bool *constant;
    const uint32_t *first_user; /* users of v: [first_user[v], [v + 1]) */
    const tegu_value *users;
    fuse_slot *slots;
} fusion;

/* True when `from`, aligned at the last axis and repeated where its extent is
 * 1, differs from `to` in trailing axes only: it is constant along rows.
 * *lead: leading axes of `to` that it follows. */
bool fuse_trailing(const tegu_type *to, const tegu_type *from, uint32_t *lead);
/* Claims contractions and their epilogues. */
void fuse_claim_contracts(fusion *f);
/* Places every value that is not claimed. */
void fuse_place_values(fusion *f);

#endif
