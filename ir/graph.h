/* SPDX-License-Identifier: Apache-2.0 */
/* graph.h - a tensor program in SSA form.
 *
 * Nodes sit in one array in topological order: a node's inputs have smaller
 * references.  References are 32-bit indices; never keep a node's address
 * across tegu_graph_add.  A graph is never edited in place: a pass rewrites it
 * into a new one (tegu_graph_rewrite), so order and types hold by
 * construction.  Memory: the unit's arena.
 */
#ifndef TEGU_IR_GRAPH_H
#define TEGU_IR_GRAPH_H

#include "ir/base/diag.h"
#include "ir/ops.h"

typedef struct tegu_unit tegu_unit;
typedef struct tegu_graph tegu_graph;

/* A value: index of the node that makes it; 0 is "no value" (an error was
 * reported; every builder passes it on silently). */
typedef uint32_t tegu_value;

typedef struct tegu_attr {
    const tegu_attr_info *info;
    union {
        int64_t i;        /* INT */
        double f;         /* FLOAT */
        bool b;           /* BOOL */
        tegu_dtype dtype; /* DTYPE */
        const char *text; /* TEXT, interned */
        struct {
            const int64_t *data;
            uint32_t count;
        } ints; /* INTS */
    } as;
} tegu_attr;

typedef struct tegu_node {
    tegu_op op;
    const tegu_type *type;
    const tegu_value *inputs;
    uint32_t input_count;
    const tegu_attr *attrs; /* all of ops.def's, in its order */
    const void *data;       /* CONST: elements, row-major */
    tegu_graph *body;       /* KERNEL: its definition */
    const char *name;       /* for people; NULL if none */
    tegu_loc loc;
} tegu_node;

typedef struct tegu_result {
    const char *name;
    tegu_value value;
} tegu_result;

/* `update S %v`: the state's value after the call. */
typedef struct tegu_update {
    const char *state;
    tegu_value value;
} tegu_update;

struct tegu_graph {
    tegu_unit *unit;
    tegu_level level;
    TEGU_VEC(tegu_node) nodes; /* [0] is unused */
    TEGU_VEC(tegu_result) results;
    TEGU_VEC(tegu_update) updates;
};

tegu_graph *tegu_graph_create(tegu_unit *unit, tegu_level level);

static inline const tegu_node *tegu_graph_node(const tegu_graph *g,
                                               tegu_value v)
{
    return &g->nodes.data[v];
}
static inline const tegu_type *tegu_graph_type(const tegu_graph *g,
                                               tegu_value v)
{
    return g->nodes.data[v].type;
}

/* Everything about a node to be added; zero what is not needed. */
typedef struct tegu_node_spec {
    tegu_op op;
    const tegu_value *inputs;
    uint32_t input_count;
    const tegu_type *type;  /* result type where it cannot be inferred;
                               else NULL, or checked against inference */
    const tegu_attr *attrs; /* any order, absent ones take the default */
    uint32_t attr_count;
    const void *data; /* CONST; copied unless data_borrowed */
    bool data_borrowed;
    tegu_graph *body; /* KERNEL */
    const char *name;
    tegu_loc loc;
} tegu_node_spec;

/* What adds `node` again over other inputs; its data is borrowed. */
tegu_node_spec tegu_node_spec_of(const tegu_node *node,
                                 const tegu_value *inputs);

/* Adds a node: checks arity, attributes, dtypes and shapes, infers the type.
 * On an error reports it at spec->loc and returns 0.  An input of 0 returns 0
 * silently. */
tegu_value tegu_graph_add(tegu_graph *g, const tegu_node_spec *spec);

/* Short builders over tegu_graph_add. */
tegu_value tegu_build(tegu_graph *g, tegu_loc loc, tegu_op op,
                      uint32_t input_count, const tegu_value *inputs,
                      uint32_t attr_count, const tegu_attr *attrs,
                      const tegu_type *type);
tegu_value tegu_build_unary(tegu_graph *g, tegu_loc loc, tegu_op op,
                            tegu_value x);
tegu_value tegu_build_binary(tegu_graph *g, tegu_loc loc, tegu_op op,
                             tegu_value a, tegu_value b);
/* The parameter of this name, which the unit has. */
tegu_value tegu_build_param(tegu_graph *g, tegu_loc loc, const char *name);
/* A scalar constant of the dtype. */
tegu_value tegu_build_scalar(tegu_graph *g, tegu_loc loc, tegu_dtype dtype,
                             double value);
/* A constant tensor; data is copied into the unit's arena. */
tegu_value tegu_build_const(tegu_graph *g, tegu_loc loc, const tegu_type *type,
                            const void *data);
tegu_value tegu_build_reshape(tegu_graph *g, tegu_loc loc, tegu_value x,
                              const tegu_type *type);

void tegu_graph_add_result(tegu_graph *g, const char *name, tegu_value v);
void tegu_graph_add_update(tegu_graph *g, const char *state, tegu_value v);

/* "[1, 2]": a list as IR and language write it. */
void tegu_ints_print(tegu_text *out, const tegu_attr *attr);
/* Attribute constructors for specs: tegu_attr_of_int(TEGU_OP_IOTA, "axis",
 * 1).  The key must exist in ops.def (asserted). */
tegu_attr tegu_attr_of_int(tegu_op op, const char *key, int64_t i);
tegu_attr tegu_attr_of_float(tegu_op op, const char *key, double f);
tegu_attr tegu_attr_of_bool(tegu_op op, const char *key, bool b);
tegu_attr tegu_attr_of_dtype(tegu_op op, const char *key, tegu_dtype d);
tegu_attr tegu_attr_of_text(tegu_op op, const char *key, const char *text);
/* Copies the numbers into the unit's arena. */
tegu_attr tegu_attr_of_ints(tegu_unit *unit, tegu_op op, const char *key,
                            const int64_t *data, uint32_t count);
/* Reading: the key must exist for the node's op (asserted). */
const tegu_attr *tegu_node_attr(const tegu_node *node, const char *key);
static inline int64_t tegu_node_int(const tegu_node *n, const char *key)
{
    return tegu_node_attr(n, key)->as.i;
}
static inline double tegu_node_float(const tegu_node *n, const char *key)
{
    return tegu_node_attr(n, key)->as.f;
}
static inline bool tegu_node_bool(const tegu_node *n, const char *key)
{
    return tegu_node_attr(n, key)->as.b;
}
static inline const char *tegu_node_text(const tegu_node *n, const char *key)
{
    return tegu_node_attr(n, key)->as.text;
}
/* True when the attribute has the value that ops.def gives an absent one. */
bool tegu_attr_is_default(tegu_unit *unit, const tegu_attr *attr);
bool tegu_attr_equal(const tegu_attr *a, const tegu_attr *b);

/* Rewriting: visits the old graph's nodes in order and builds a new graph.
 * `visit` returns the new value for old node v (usually after
 * tegu_rewriter_copy, or after adding other nodes to rw->into), or 0 after
 * reporting an error.  NULL visit copies everything reachable.
 * Only nodes reachable from results and updates are visited. */
typedef struct tegu_rewriter tegu_rewriter;
struct tegu_rewriter {
    const tegu_graph *from;
    tegu_graph *into;
    tegu_value *map;      /* old value -> new value, 0 when not yet */
    const uint32_t *uses; /* per old value: reachable uses, results count */
    void *data;           /* the pass's own */
};
typedef tegu_value (*tegu_visit)(tegu_rewriter *rw, tegu_value v);
/* Copies old node v with its inputs mapped. */
tegu_value tegu_rewriter_copy(tegu_rewriter *rw, tegu_value v);
/* The new graph at `level`, or NULL when a visit reported an error. */
tegu_graph *tegu_graph_rewrite(const tegu_graph *from, tegu_level level,
                               tegu_visit visit, void *data);

/* Uses of each value by reachable nodes, results and updates; array of
 * nodes.count in the arena; 0 marks an unreachable node. */
uint32_t *tegu_graph_uses(const tegu_graph *g, tegu_arena *arena);
/* Per value: true when it depends on PARAM, CONST and static IOTA only, so
 * that the compiler can evaluate it (weights emission does). */
bool *tegu_graph_constant(const tegu_graph *g, tegu_arena *arena);
/* The adapter (unit->adapters) whose parameters a constant value is made from;
 * 0: the model's alone.  No value is made from two adapters'. */
uint32_t tegu_graph_adapter(const tegu_graph *g, tegu_value v);
/* A hash of the graph's meaning (ops, inputs, attributes, types, constants,
 * results), independent of names and locations. */
uint64_t tegu_graph_hash(const tegu_graph *g);

#endif
