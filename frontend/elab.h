/* SPDX-License-Identifier: Apache-2.0 */
/* elab.h - what the files of elaboration share: the values of the language,
 * its scopes, and the walk that turns a syntax tree into graphs.
 *
 * Elaboration evaluates the tree.  Sizes, attributes and conditions are known
 * at compile time; tensors become nodes of the current graph.  Functions are
 * inlined at their calls and blocks once per round of `repeat`, so nothing of
 * them is left in the IR.  The same walk expands composite ops by the prelude
 * (`core` is set then).
 *
 * An ERROR term means "reported": every function passes it on silently, so
 * that one mistake gives one message.
 */
#ifndef TEGU_FRONTEND_ELAB_H
#define TEGU_FRONTEND_ELAB_H

#include "frontend/ast.h"
#include "ir/unit.h"

typedef enum tegu_term_kind {
    TEGU_TERM_ERROR,
    TEGU_TERM_NONE,
    TEGU_TERM_INTEGER, /* dim: maybe symbolic, with the axes it came from */
    TEGU_TERM_FLOAT,
    TEGU_TERM_BOOL,
    TEGU_TERM_TEXT,
    TEGU_TERM_DTYPE,
    TEGU_TERM_LIST,
    TEGU_TERM_TENSOR, /* a value of the current graph */
    TEGU_TERM_STATE,  /* a state: its value before the call, or what append
                         and set write to */
    TEGU_TERM_TUPLE   /* several results of a call; a list's fields */
} tegu_term_kind;

typedef struct tegu_term tegu_term;
struct tegu_term {
    tegu_term_kind kind;
    union {
        tegu_dim dim;
        double number;
        bool truth;
        const char *text;
        tegu_dtype dtype;
        struct {
            const tegu_term *items;
            uint32_t count;
        } list;
        tegu_value tensor;
        const char *state; /* the unit's name of it */
    } u;
};

typedef struct tegu_binding {
    const char *name;
    tegu_loc loc;
    tegu_term term;
} tegu_binding;

/* A name of a file: an axis or constant (term), a state or parameter (stmt),
 * something to call (decl). */
typedef struct tegu_symbol {
    const char *name;
    tegu_loc loc;
    const tegu_decl *decl;
    tegu_term term;
    bool called; /* its body has been elaborated */
    bool failed; /* ... with errors: calls are silent from then on */
} tegu_symbol;

/* All names of a model's files, or of the prelude. */
typedef struct tegu_module {
    tegu_map *index; /* name -> position in symbols */
    TEGU_VEC(tegu_symbol) symbols;
} tegu_module;

/* One call being elaborated. */
typedef struct tegu_frame tegu_frame;
struct tegu_frame {
    tegu_frame *parent;
    const tegu_decl *decl;
    TEGU_VEC(tegu_binding) bindings;
    tegu_map *index;    /* name -> binding, once there are many */
    const char *prefix; /* of parameters' names */
    const char *suffix; /* "_0_2": the indices of the blocks around it */
    tegu_term result;
    bool returned;
};

typedef struct tegu_elab {
    tegu_unit *unit;
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_module *module;
    tegu_graph *graph;      /* at file level: one that is thrown away */
    tegu_frame *frame;      /* NULL: at file level */
    tegu_map *leaves;       /* param and state nodes of the graph, by name */
    tegu_map *state_owners; /* state's name -> its statement */
    bool core;              /* expanding a composite into core ops */
    bool dry;               /* checking what nothing calls: adds no params */
    tegu_loc at;            /* core: where the composite stands */
    uint32_t depth;         /* of recursion, bounded */
    uint32_t steps;         /* expressions evaluated, bounded */
} tegu_elab;

enum {
    TEGU_DEPTH_LIMIT = 1000,    /* nested evaluations */
    TEGU_STEP_LIMIT = 20000000, /* evaluations of one entry */
    TEGU_NODE_LIMIT = 250000    /* nodes of one graph */
};

/* An argument list, evaluated. */
typedef struct tegu_site_arg {
    const char *name; /* NULL: by position */
    tegu_loc loc;
    tegu_term term;
    bool used;
} tegu_site_arg;

typedef struct tegu_site {
    const char *name; /* what is called */
    tegu_loc loc;
    TEGU_VEC(tegu_site_arg) args; /* positional ones first */
    uint32_t positional;
} tegu_site;

/* --- terms (term.c): constants and their arithmetic --- */
tegu_term tegu_term_integer(int64_t value);
tegu_term tegu_term_dim(tegu_dim dim);
tegu_term tegu_term_float(double value);
tegu_term tegu_term_bool(bool value);
tegu_term tegu_term_tensor(tegu_value v); /* ERROR for 0 */
static inline tegu_term tegu_term_error(void)
{
    return (tegu_term){0};
}
/* "an integer", "a tensor": for messages. */
const char *tegu_term_describe(const tegu_term *term);
bool tegu_term_is_number(const tegu_term *term); /* INTEGER or FLOAT */
/* The number as a double; symbolic integers have none (asserted). */
double tegu_term_number(const tegu_term *term);
/* True for INTEGER that is no symbol. */
bool tegu_term_is_static(const tegu_term *term);
/* Reported unless the term is a static integer within [lo, hi]. */
bool tegu_term_to_integer(tegu_elab *el, tegu_loc loc, const char *what,
                          const tegu_term *term, int64_t lo, int64_t hi,
                          int64_t *value);
/* Operators on two constants; ERROR after reporting. */
tegu_term tegu_term_binary(tegu_elab *el, tegu_loc loc, tegu_token_kind op,
                           const tegu_term *a, const tegu_term *b);
tegu_term tegu_term_negate(tegu_elab *el, tegu_loc loc, const tegu_term *a);
/* sqrt(2.0) and the like; false when the op has no such form. */
bool tegu_term_apply(tegu_op op, const tegu_term *args, uint32_t count,
                     tegu_term *result);

/* --- axes (axes.c): do dimensions go together? --- */
/* "dim=256", "T" */
const char *tegu_elab_dim_text(const tegu_elab *el, tegu_dim dim);
const char *tegu_elab_type_text(const tegu_elab *el, const tegu_type *type);
/* Reports unless a and b have equal sizes and no differing axes; the message
 * begins with `what`, in the words of the caller. */
bool tegu_dims_agree(tegu_elab *el, tegu_loc loc, const char *what, tegu_dim a,
                     tegu_dim b);
/* Same dtype, rank and dimensions. */
bool tegu_types_agree(tegu_elab *el, tegu_loc loc, const char *what,
                      const tegu_type *got, const tegu_type *want);
/* Checks the axes of an op's operands by its row in ops.def. */
bool tegu_op_axes_agree(tegu_elab *el, const tegu_node_spec *spec);

/* --- shapes (shape.c): written types --- */
/* A type whose dimensions are all known; false after reporting. */
bool tegu_elab_type(tegu_elab *el, const tegu_type_expr *expr, tegu_type *type);
/* The same; the extents must not be symbolic (`what`: "a parameter"). */
bool tegu_elab_static_type(tegu_elab *el, const tegu_type_expr *expr,
                           const char *what, tegu_type *type);
/* Does an argument fit a pattern ([.., D])?  Binds new names in `frame`. */
bool tegu_elab_match(tegu_elab *el, tegu_frame *frame,
                     const tegu_formal *formal, tegu_loc loc,
                     const tegu_type *type);
/* `x as [dims]` */
tegu_term tegu_elab_as(tegu_elab *el, const tegu_expr *e);
/* A list of integers as dimensions; -1 as the only unknown when `whole` is
 * given: the rest of whole's elements. */
bool tegu_elab_dims(tegu_elab *el, tegu_loc loc, const tegu_term *list,
                    const tegu_type *whole, tegu_type *type);

/* --- nodes (node.c) --- */
/* The type of a TENSOR or STATE term. */
const tegu_type *tegu_elab_type_of(tegu_elab *el, const tegu_term *term);
/* The term as a value of the graph; numbers take the dtype `hint`
 * (TEGU_DTYPE_COUNT: f32 or i32).  0 after reporting. */
tegu_value tegu_elab_tensor(tegu_elab *el, tegu_loc loc, const tegu_term *term,
                            tegu_dtype hint);
/* Adds a node after checking axes; an ERROR term after reporting. */
tegu_term tegu_elab_node(tegu_elab *el, const tegu_node_spec *spec);
tegu_term tegu_elab_reshape(tegu_elab *el, tegu_loc loc, tegu_value x,
                            const tegu_type *type);
/* param "name" dims */
tegu_term tegu_elab_param(tegu_elab *el, const tegu_expr *e);
/* A state statement: declares the state, or finds it again. */
tegu_term tegu_elab_state(tegu_elab *el, const tegu_stmt *stmt);
/* `set s = v` and append: records the update. */
bool tegu_elab_update(tegu_elab *el, tegu_loc loc, const char *state,
                      tegu_value v);
/* a[0..2, ..] */
tegu_term tegu_elab_index(tegu_elab *el, const tegu_expr *e);
/* Replaces {name} in a string by integers in scope; NULL after reporting. */
const char *tegu_elab_interpolate(tegu_elab *el, tegu_loc loc,
                                  const char *text);

/* --- calls (call.c, builtin.c) --- */
/* The named argument, marked as used; NULL when not given. */
tegu_site_arg *tegu_site_take(tegu_site *site, const char *name);
/* Reports named arguments that nothing took. */
bool tegu_site_finish(tegu_elab *el, tegu_site *site, const char *const *known,
                      uint32_t count);
/* Builtin functions; false when none has the name. */
bool tegu_builtin_call(tegu_elab *el, tegu_site *site, tegu_term *result);
/* An op of ops.def by its text; false when none has the name. */
bool tegu_op_call(tegu_elab *el, tegu_site *site, tegu_term *result);
tegu_term tegu_op_apply(tegu_elab *el, tegu_site *site, tegu_op op);
const char *const *tegu_builtin_names(uint32_t *count);
/* A negative axis counts from the end; false after reporting. */
bool tegu_elab_axis(tegu_elab *el, tegu_loc loc, const tegu_term *term,
                    const tegu_type *type, int64_t *axis);

/* --- the walk (eval.c, body.c) --- */
tegu_term tegu_elab_expr(tegu_elab *el, const tegu_expr *e);
/* Looks a name up in the frame, then in the module. */
bool tegu_elab_find(tegu_elab *el, const char *name, tegu_term *term);
/* Names with a fixed meaning: element types, inf, pi. */
bool tegu_elab_reserved(const char *name, tegu_term *term);
/* Binds a name in the frame; reports a name that is taken. */
bool tegu_elab_bind(tegu_elab *el, tegu_frame *frame, const char *name,
                    tegu_loc loc, tegu_term term);
tegu_symbol *tegu_module_find(const tegu_module *module, const char *name);
/* Reports an unknown name with the nearest known one. */
bool tegu_elab_unknown(tegu_elab *el, tegu_loc loc, const char *what,
                       const char *name, bool calls);
/* Evaluates an argument list into the site; false after reporting. */
bool tegu_elab_args(tegu_elab *el, const tegu_call_args *args, tegu_site *site);
/* w adapt lora(a, b, alpha = 16) (adapt.c) */
tegu_term tegu_elab_adapt(tegu_elab *el, const tegu_expr *e);
/* Calls a function or block with evaluated arguments. */
tegu_term tegu_elab_call(tegu_elab *el, tegu_symbol *symbol, tegu_site *site);
/* Begins a graph for `decl` with an empty frame. */
void tegu_elab_begin(tegu_elab *el, tegu_frame *frame, const tegu_decl *decl);
/* Elaborates an entry into the unit. */
void tegu_elab_entry(tegu_elab *el, tegu_symbol *symbol);
/* Checks a function or block that nothing calls, as far as its types are
 * known. */
void tegu_elab_uncalled(tegu_elab *el, tegu_symbol *symbol);

/* Reports; in an expansion at the place of the composite. */
bool tegu_elab_error(tegu_elab *el, tegu_loc loc, tegu_diag_id id,
                     const char *format, ...) TEGU_PRINTF(4, 5);
tegu_loc tegu_elab_loc(const tegu_elab *el, tegu_loc loc);

#endif
