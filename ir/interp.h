/* SPDX-License-Identifier: Apache-2.0 */
/* interp.h - what the interpreter's files share; private to interp*.c.
 *
 * A cell is an evaluated value.  Its elements lie in planes of reference
 * counted blocks, so that a reshape shares and a dead value's memory serves
 * the next one.  Arguments of storage types are held in a carrier: f16, bf16
 * and f64 as f32 (f64 rounded), i8 and u8 as i32.
 *
 * Planes of a float cell: DATA alone (f32) when the value is exactly that, as
 * all values are when shadows are not asked for; else EXACT (f64) and maybe
 * BOUND (f64; absent: zeros).  Planes of an integer or bool cell: DATA, and
 * UNSURE (1 where another answer is right as well; absent: nowhere).
 *
 * A bound of infinity says that any f32, NaN included, is right; a NaN or
 * infinite EXACT has bound 0 (exactly that) or infinity.
 */
#ifndef TEGU_IR_INTERP_H
#define TEGU_IR_INTERP_H

#include "ir/ir.h"

typedef enum tegu_plane {
    TEGU_PLANE_DATA,
    TEGU_PLANE_EXACT,
    TEGU_PLANE_BOUND,
    TEGU_PLANE_UNSURE,
    TEGU_PLANE_COUNT
} tegu_plane;

typedef struct tegu_block tegu_block;
struct tegu_block {
    void *data;
    uint32_t references;
    uint32_t size_class;
    bool borrowed;    /* data belongs to somebody else */
    tegu_block *next; /* in the pool's list of free ones */
};

enum { TEGU_SIZE_CLASSES = 4 * 60 };

typedef struct tegu_cell {
    tegu_dtype dtype; /* as the type says; the carrier holds it */
    uint32_t rank;
    int64_t dims[TEGU_MAX_RANK];
    int64_t count; /* elements */
    tegu_block *planes[TEGU_PLANE_COUNT];
} tegu_cell;

/* One run of a graph and of the bodies that it holds. */
typedef struct tegu_interp {
    tegu_unit *unit;
    tegu_arena *arena;
    tegu_block *free[TEGU_SIZE_CLASSES];
    tegu_block *spare; /* block headers without data */
    bool shadow;
    bool likely; /* bounds of independent errors (ir.h) */
    const int64_t *symbols;
    int64_t position;
    const tegu_tensor *inputs; /* by argument of the entry */
    const tegu_entry *entry;   /* names the arguments */
    const tegu_shadow *states; /* by state of the unit */
    const tegu_graph *graph;   /* the one being evaluated */
    const tegu_cell *args;     /* of the body being evaluated */
    int64_t appended;          /* rows that an append wrote */
} tegu_interp;

/* Evaluates node into out, whose dtype, dims and count are set and whose
 * planes are NULL; false after reporting. */
typedef bool (*tegu_eval)(tegu_interp *it, const tegu_node *node,
                          const tegu_cell *const *in, tegu_cell *out);

/* --- interp.c: graphs, blocks and cells --- */
/* Evaluates the roots, which the caller drops; false after reporting. */
bool tegu_interp_graph(tegu_interp *it, const tegu_graph *g,
                       const tegu_value *roots, uint32_t count,
                       tegu_cell *results);
tegu_block *tegu_block_take(tegu_interp *it, size_t bytes);
tegu_block *tegu_block_borrow(tegu_interp *it, const void *data);
void tegu_block_drop(tegu_interp *it, tegu_block *block);
void tegu_cell_drop(tegu_interp *it, tegu_cell *cell);
/* The same elements under out's shape; both hold them from now on. */
void tegu_cell_share(const tegu_cell *cell, tegu_cell *out);
/* Takes a block for a plane of the cell's size. */
void *tegu_cell_plane(tegu_interp *it, tegu_cell *cell, tegu_plane plane);
/* Takes EXACT and BOUND of a float cell, or DATA without shadows. */
void tegu_cell_allocate(tegu_interp *it, tegu_cell *cell);
static inline void *tegu_cell_at(const tegu_cell *cell, tegu_plane plane)
{
    return cell->planes[plane] ? cell->planes[plane]->data : NULL;
}
/* F32, I32, I64 or BOOL. */
tegu_dtype tegu_carrier(tegu_dtype dtype);
size_t tegu_plane_bytes(const tegu_cell *cell, tegu_plane plane);
/* The cell with `perm` applied to its axes (result axis i is perm[i]); a
 * shared cell when nothing moves. */
void tegu_cell_transpose(tegu_interp *it, const tegu_cell *cell,
                         const uint32_t *perm, tegu_cell *out);
/* x and bound of elements [first, first + n) of a float cell as f64. */
void tegu_cell_load(const tegu_cell *cell, int64_t first, int64_t n,
                    double *exact, double *bound);

/* --- interp_map.c --- */
/* n elements of inputs' carriers to the result's; inputs are contiguous. */
typedef void (*tegu_map_rows)(size_t n, const void *const *in, void *out);
bool tegu_eval_map(tegu_interp *it, const tegu_node *node,
                   const tegu_cell *const *in, tegu_cell *out);

/* --- interp_bound.c: element-wise ops on shadows --- */
/* n elements of one operand: floats by exact and bound; integers and bool by
 * data, unsure.  Never NULL where the kind needs them. */
typedef struct tegu_shade {
    const double *exact, *bound;
    const void *data;
    const uint8_t *unsure;
} tegu_shade;
typedef struct tegu_shade_out {
    double *exact, *bound;
    void *data;
    uint8_t *unsure;
} tegu_shade_out;
typedef void (*tegu_bound_rows)(size_t n, const tegu_shade *in,
                                const tegu_shade_out *out);
/* For operands of carrier `from` and a result of type `to` of which at least
 * one is a float. */
tegu_bound_rows tegu_bound_kernel(tegu_op op, tegu_dtype from, tegu_dtype to,
                                  bool likely);
/* What f32 makes of an exact result: overflow to infinity, infinite bounds
 * near it; a NaN bound becomes infinity. */
void tegu_bound_settle(double *exact, double *bound);
/* Adds to the result's bounds what native attention may do with weights that
 * f32 hardly holds; v: the values [S, groups, d]. */
void tegu_bound_attention(tegu_interp *it, const tegu_cell *v, tegu_cell *out);
/* n u / (1 - n u), u = 2^-24; infinity when n u >= 1. */
double tegu_bound_gamma(int64_t n);

/* --- interp_reduce.c, interp_contract.c, interp_move.c --- */
bool tegu_eval_reduce(tegu_interp *it, const tegu_node *node,
                      const tegu_cell *const *in, tegu_cell *out);
bool tegu_eval_contract(tegu_interp *it, const tegu_node *node,
                        const tegu_cell *const *in, tegu_cell *out);
bool tegu_eval_move(tegu_interp *it, const tegu_node *node,
                    const tegu_cell *const *in, tegu_cell *out);
bool tegu_eval_gather(tegu_interp *it, const tegu_node *node,
                      const tegu_cell *const *in, tegu_cell *out);
bool tegu_eval_append(tegu_interp *it, const tegu_node *node,
                      const tegu_cell *const *in, tegu_cell *out);
bool tegu_eval_leaf(tegu_interp *it, const tegu_node *node,
                    const tegu_cell *const *in, tegu_cell *out);

/* --- interp_convert.c: between element types --- */
/* Saturating truncation; NaN gives 0.  bool: x != 0. */
int64_t tegu_float_to_int(tegu_dtype dtype, double x);
/* Elements of `dtype` in memory (any alignment) to the carrier. */
void tegu_elements_load(tegu_dtype dtype, const void *from, int64_t n,
                        void *to);

#endif
