/* SPDX-License-Identifier: Apache-2.0 */
/* unit.h - one model: its axes, parameters, states and entries.
 *
 * A unit owns all IR of one model in one arena.  Entries (step, prompt, ...)
 * have a graph each and share axes, parameters and states.  Parameters point
 * into mapped files; passes that change weights replace a parameter's data.
 */
#ifndef TEGU_IR_UNIT_H
#define TEGU_IR_UNIT_H

#include "ir/base/io.h"
#include "ir/base/map.h"
#include "ir/graph.h"

/* A named extent: static (lo == hi == value) or symbolic with bounds. */
typedef struct tegu_axis {
    const char *name; /* interned */
    bool symbolic;
    int64_t lo, hi;
} tegu_axis;

typedef enum tegu_source_kind {
    TEGU_SOURCE_NONE,  /* no data: plan and check only */
    TEGU_SOURCE_DATA,  /* bytes in memory or a mapped file */
    TEGU_SOURCE_RANDOM /* normal(0, std) from seed and name; integers
                           truncated */
} tegu_source_kind;

typedef struct tegu_param {
    const char *name;      /* tensor name, interned */
    const tegu_type *type; /* static shape, compute dtype */
    tegu_loc loc;
    tegu_source_kind source;
    tegu_dtype stored; /* element type of the data (bf16, ...) */
    const void *data;  /* any alignment; row-major; borrowed or arena */
    bool transposed;   /* rank 2: stored as [in, out] (GPT-2's Conv1D) */
    uint64_t seed;     /* RANDOM */
    double std;
    uint32_t adapter; /* whose it is, in unit->adapters; 0: the model's */
} tegu_param;

/* An adapter that is kept apart: its parameters lie in a file of their own,
 * and between calls it can be switched on, off, or to another scale. */
typedef struct tegu_unit_adapter {
    const char *name; /* a C identifier, interned, unique */
    double scale;     /* as asked for; what executors use */
} tegu_unit_adapter;

/* How a state tensor lies in the state block.  ROWS: row-major.  The two
 * attention layouts are for caches [C, kv_heads, d] used only by append and
 * attention; codegen/attention.h defines them. */
typedef enum tegu_state_layout {
    TEGU_LAYOUT_ROWS,
    TEGU_LAYOUT_KEYS,
    TEGU_LAYOUT_VALUES
} tegu_state_layout;

typedef struct tegu_state {
    const char *name;      /* interned, unique */
    const tegu_type *type; /* static shape; zero at reset */
    bool appended;         /* a cache: rows along axis 0 by position, so it
                              can be rewound; else replaced as a whole */
    tegu_state_layout layout;
    tegu_loc loc;
} tegu_state;

typedef struct tegu_argument {
    const char *name;
    const tegu_type *type;
} tegu_argument;

typedef struct tegu_entry {
    const char *name; /* a C identifier */
    TEGU_VEC(tegu_argument) arguments;
    tegu_graph *graph;
    tegu_loc loc;
} tegu_entry;

/* Gives the definition of composite ops (frontend: the prelude). */
typedef struct tegu_expander {
    void *data;
    /* Adds the definition of `node` (a composite) over `inputs` to `into`;
     * the value of its result, 0 on error. */
    tegu_value (*expand)(void *data, tegu_graph *into, const tegu_node *node,
                         const tegu_value *inputs);
} tegu_expander;

struct tegu_unit {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_interner *names;
    const char *name;         /* model name, a C identifier */
    TEGU_VEC(tegu_axis) axes; /* [0] is unused */
    TEGU_VEC(tegu_param) params;
    TEGU_VEC(tegu_unit_adapter) adapters; /* [0] is unused */
    TEGU_VEC(tegu_state) states;
    TEGU_VEC(tegu_entry) entries;
    tegu_files files;         /* what the model was read from, in that
                                 order; mapped ones unmapped by destroy */
    tegu_files adapter_files; /* the same for the adapters applied */
    tegu_map *types;          /* interning table */
    tegu_map *param_index;    /* name -> index */
    tegu_expander expander;
    tegu_map *bodies; /* definitions made so far (expand.c) */
    /* Where a tokenizer for `tokens` lies; NULL: none known. */
    const char *tokenizer;
    const char *source; /* path of the model as given */
};

/* Creates an empty unit in `arena`; diag must live as long. */
tegu_unit *tegu_unit_create(tegu_arena *arena, tegu_diag *diag,
                            const char *name);
/* Unmaps files; the arena's owner frees the rest. */
void tegu_unit_destroy(tegu_unit *unit);

/* A copy in `arena` whose graphs and parameters can be changed without
 * touching the original (clone.c).  Values keep their numbers.  It borrows
 * names, attributes and weights from the original, which must live longer;
 * files stay the original's. */
tegu_unit *tegu_unit_clone(const tegu_unit *unit, tegu_arena *arena);

/* The interned copy of a type. */
const tegu_type *tegu_unit_type(tegu_unit *unit, const tegu_type *type);
/* Interned static shape without axes, for tests and constants. */
const tegu_type *tegu_unit_shape(tegu_unit *unit, tegu_dtype dtype,
                                 uint32_t rank, const int64_t *dims);
const tegu_type *tegu_unit_scalar(tegu_unit *unit, tegu_dtype dtype);
/* Adds an axis; names are unique (asserted). */
tegu_axis_id tegu_unit_add_axis(tegu_unit *unit, const char *name,
                                bool symbolic, int64_t lo, int64_t hi);
tegu_axis_id tegu_unit_find_axis(const tegu_unit *unit, const char *name);
/* The dimension that an axis stands for. */
tegu_dim tegu_unit_axis_dim(const tegu_unit *unit, tegu_axis_id axis);

/* Adds or finds a parameter; false (reported) when it exists with another
 * shape. */
bool tegu_unit_add_param(tegu_unit *unit, const tegu_param *param,
                         uint32_t *index);
tegu_param *tegu_unit_find_param(tegu_unit *unit, const char *name);
/* Adds an adapter and gives its number; names are unique (asserted). */
uint32_t tegu_unit_add_adapter(tegu_unit *unit, const char *name, double scale);
/* NULL: none of that name. */
tegu_unit_adapter *tegu_unit_find_adapter(const tegu_unit *unit,
                                          const char *name);
tegu_state *tegu_unit_find_state(tegu_unit *unit, const char *name);
tegu_entry *tegu_unit_find_entry(tegu_unit *unit, const char *name);

/* True when every parameter is random from one seed and deviation, so that one
 * line of text can stand for all. */
bool tegu_unit_is_random(const tegu_unit *unit);
/* Reads elements [first, first + count) of a parameter in its own (logical,
 * row-major) order as its compute type: f32 for floats, i32/i64/bool as is.
 * False (reported) when the parameter has no data. */
bool tegu_param_read(const tegu_unit *unit, const tegu_param *param,
                     int64_t first, int64_t count, void *out);

/* Largest and smallest value of a dimension under the axes' bounds; false on
 * overflow. */
bool tegu_dim_bounds(const tegu_unit *unit, tegu_dim dim, int64_t *lo,
                     int64_t *hi);
/* The value of a dimension for given symbol values (indexed by axis id). */
int64_t tegu_dim_value(tegu_dim dim, const int64_t *symbols);

/* "f32[T, dim=256]" into text; a bare dimension. */
void tegu_type_print(tegu_text *text, const tegu_unit *unit,
                     const tegu_type *type);
void tegu_dim_print(tegu_text *text, const tegu_unit *unit, tegu_dim dim);
const char *tegu_type_string(const tegu_unit *unit, tegu_arena *arena,
                             const tegu_type *type);

#endif
