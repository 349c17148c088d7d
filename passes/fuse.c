/* SPDX-License-Identifier: Apache-2.0 */
/* fuse.c - from core ops to kernels.
 *
 * Takes a core graph.  Produces a kernel-level graph: leaves and KERNEL nodes,
 * each with a body over ARG leaves that defines it.  What goes where is
 * decided by fuse_contract.c and fuse_place.c; this file marks the facts they
 * need and builds the bodies.
 *
 * In a body, inputs, parameters, states and constant tensors are operands;
 * scalars, iotas, the position and sizes are leaves (a size is that of an iota
 * of the same extent, so that it needs no operand).  A result or new state
 * that is a leaf, or that is wanted twice, gets a kernel that copies it.
 *
 * An append writes into the state itself; whatever else reads that state
 * reads a copy made before.
 */
#include "passes/fuse.h"
#include <string.h>

/* Arithmetic on indices longer than this is computed once, not copied. */
enum { INDEX_DEPTH_MAX = 8 };

/* --- facts --- */

static bool is_leaf(const tegu_graph *g, tegu_value v)
{
    return tegu_op_kind_of(tegu_graph_node(g, v)->op) == TEGU_KIND_LEAF;
}

static void mark_users(fusion *f)
{
    uint32_t count = f->g->nodes.count;
    uint32_t *first = TEGU_ARRAY(f->scratch, uint32_t, count + 2);
    tegu_value *users;
    uint32_t *next;

    for (tegu_value u = 1; u < count; u++)
        for (uint32_t i = 0;
             f->uses[u] && i < tegu_graph_node(f->g, u)->input_count; i++)
            first[tegu_graph_node(f->g, u)->inputs[i] + 1]++;
    for (uint32_t v = 1; v <= count; v++)
        first[v] += first[v - 1];
    users = TEGU_ARRAY(f->scratch, tegu_value, first[count] + 1);
    next = tegu_arena_copy(f->scratch, first, (count + 1) * sizeof *first);
    for (tegu_value u = 1; u < count; u++)
        for (uint32_t i = 0;
             f->uses[u] && i < tegu_graph_node(f->g, u)->input_count; i++)
            users[next[tegu_graph_node(f->g, u)->inputs[i]]++] = u;
    f->first_user = first;
    f->users = users;
}

static void mark_arithmetic(fusion *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);
    fuse_slot *slot = &f->slots[v];
    tegu_op_kind kind = tegu_op_kind_of(node->op);

    if (kind == TEGU_KIND_LEAF) {
        slot->index_only =
            node->op == TEGU_OP_IOTA || node->op == TEGU_OP_POSITION ||
            node->op == TEGU_OP_SIZE || tegu_node_is_scalar_const(node);
        return;
    }
    slot->index_only = tegu_op_has(node->op, TEGU_CHEAP);
    for (uint32_t i = 0; i < node->input_count; i++) {
        const fuse_slot *input = &f->slots[node->inputs[i]];
        slot->index_only &= input->index_only;
        if (input->depth > slot->depth)
            slot->depth = input->depth;
    }
    if (kind == TEGU_KIND_MAP && slot->depth < UINT32_MAX)
        slot->depth++;
    slot->index_only &= slot->depth <= INDEX_DEPTH_MAX;
}

/* Marks states that are read beside the append that overwrites them. */
static void mark_stale(fusion *f)
{
    const tegu_graph *g = f->g;

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (node->op != TEGU_OP_STATE || !f->uses[v] ||
            (!f->slots[v].root && f->uses[v] == 1 &&
             tegu_graph_node(g, f->users[f->first_user[v]])->op ==
                 TEGU_OP_APPEND))
            continue;
        for (uint32_t i = 0; i < g->updates.count; i++)
            f->slots[v].stale |=
                !strcmp(g->updates.data[i].state,
                        tegu_node_text(node, "name")) &&
                tegu_graph_node(g, g->updates.data[i].value)->op ==
                    TEGU_OP_APPEND;
    }
}

static void mark(fusion *f)
{
    const tegu_graph *g = f->g;

    f->uses = tegu_graph_uses(g, f->scratch);
    f->constant = tegu_graph_constant(g, f->scratch);
    f->slots = TEGU_ARRAY(f->scratch, fuse_slot, g->nodes.count);
    mark_users(f);
    for (tegu_value v = 1; v < g->nodes.count; v++)
        mark_arithmetic(f, v);
    for (uint32_t i = 0; i < g->results.count; i++)
        f->slots[g->results.data[i].value].root = true;
    for (uint32_t i = 0; i < g->updates.count; i++)
        f->slots[g->updates.data[i].value].root = true;
    mark_stale(f);
}

static tegu_value copy_node(tegu_graph *into, const tegu_node *node,
                            const tegu_value *inputs)
{
    tegu_node_spec spec = tegu_node_spec_of(node, inputs);
    return tegu_graph_add(into, &spec);
}

/* --- preparation --- */

static tegu_value iota_of_rows(tegu_graph *g, tegu_loc loc, tegu_dim rows)
{
    tegu_type type = {.dtype = TEGU_I32, .rank = 1, .dims = {rows}};
    tegu_attr axis = tegu_attr_of_int(TEGU_OP_IOTA, "axis", 0);

    return tegu_build(g, loc, TEGU_OP_IOTA, 0, NULL, 1, &axis,
                      tegu_unit_type(g->unit, &type));
}

/* size x as the size of an iota as long as that axis of x, which is a value of
 * `from`. */
static tegu_value size_of_iota(tegu_graph *into, const tegu_graph *from,
                               const tegu_node *node)
{
    const tegu_type *type = tegu_graph_type(from, node->inputs[0]);
    tegu_dim extent = type->dims[tegu_node_int(node, "axis")];
    tegu_attr axis = tegu_attr_of_int(TEGU_OP_SIZE, "axis", 0);
    tegu_value iota = iota_of_rows(into, node->loc, extent);

    return tegu_build(into, node->loc, TEGU_OP_SIZE, 1, &iota, 1, &axis, NULL);
}

/* Gives an append a state node of its own. */
static tegu_value separate_append(tegu_rewriter *rw, const tegu_node *node)
{
    tegu_value inputs[] = {rw->map[node->inputs[0]], rw->map[node->inputs[1]]};

    if (rw->uses[node->inputs[0]] > 1)
        inputs[0] = copy_node(rw->into,
                              tegu_graph_node(rw->from, node->inputs[0]), NULL);
    return copy_node(rw->into, node, inputs);
}

static tegu_value prepare(tegu_rewriter *rw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(rw->from, v);

    if (node->op == TEGU_OP_SIZE)
        return size_of_iota(rw->into, rw->from, node);
    if (node->op == TEGU_OP_APPEND)
        return separate_append(rw, node);
    return tegu_rewriter_copy(rw, v);
}

/* The graph with sizes of nothing but iotas, and states for one append each.
 */
static tegu_graph *prepare_graph(const tegu_graph *graph)
{
    tegu_graph *g = tegu_graph_rewrite(graph, TEGU_LEVEL_CORE, prepare, NULL);

    return g ? tegu_graph_rewrite(g, TEGU_LEVEL_CORE, NULL, NULL) : NULL;
}

/* --- building --- */

typedef struct builder {
    const fusion *f;
    tegu_graph *into;
    tegu_value *map;    /* old value -> value of `into` */
    tegu_value *inside; /* old value -> value of the body being built */
    bool *wanted;       /* old values of the body being built */
    tegu_graph *body;
    TEGU_VEC(tegu_value) operands; /* values of `into` */
} builder;

static bool is_inlined_leaf(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);

    return node->op == TEGU_OP_IOTA || node->op == TEGU_OP_POSITION ||
           node->op == TEGU_OP_SIZE || tegu_node_is_scalar_const(node);
}

static tegu_value inline_leaf(builder *b, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(b->f->g, v);

    if (node->op == TEGU_OP_SIZE)
        return size_of_iota(b->body, b->f->g, node);
    return copy_node(b->body, node, NULL);
}

static tegu_value add_operand(builder *b, tegu_value value,
                              const tegu_type *type)
{
    tegu_attr index = tegu_attr_of_int(TEGU_OP_ARG, "index", b->operands.count);

    tegu_vec_push(b->f->scratch, &b->operands, value);
    return tegu_build(b->body, tegu_loc_none(), TEGU_OP_ARG, 0, NULL, 1, &index,
                      type);
}

static void begin_kernel(builder *b)
{
    b->body = tegu_graph_create(b->into->unit, TEGU_LEVEL_CORE);
    b->operands.count = 0;
}

static tegu_value end_kernel(builder *b, fuse_kind kind, tegu_value result,
                             const char *name, tegu_loc loc)
{
    static const char *const family[] = {[FUSE_LOOP] = "loop",
                                         [FUSE_CONTRACT] = "contract",
                                         [FUSE_ATTENTION] = "attention",
                                         [FUSE_CONSTANT] = "loop"};
    tegu_attr attr =
        tegu_attr_of_text(TEGU_OP_KERNEL, "family",
                          tegu_intern_cstr(b->into->unit->names, family[kind]));
    tegu_node_spec spec = {.op = TEGU_OP_KERNEL,
                           .inputs = b->operands.data,
                           .input_count = b->operands.count,
                           .attrs = &attr,
                           .attr_count = 1,
                           .body = b->body,
                           .name = name,
                           .loc = loc};

    tegu_graph_add_result(b->body, "", result);
    return tegu_graph_add(b->into, &spec);
}

/* A kernel of one value: the inlined leaf, or a copy of `value`. */
static tegu_value build_copy(builder *b, tegu_value value, tegu_value leaf)
{
    const tegu_node *node;
    tegu_value result;

    begin_kernel(b);
    if (leaf) {
        node = tegu_graph_node(b->f->g, leaf);
        result = inline_leaf(b, leaf);
    } else {
        node = tegu_graph_node(b->into, value);
        result = add_operand(b, value, node->type);
    }
    return end_kernel(b, FUSE_LOOP, result, node->name, node->loc);
}

/* The value of `into` for a leaf; sizes never leave bodies. */
static tegu_value leaf_value(builder *b, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(b->f->g, v);

    if (!b->map[v])
        b->map[v] = copy_node(b->into, node, NULL);
    return b->map[v];
}

/* Marks the values that the kernel of `root` computes or reads. */
static void mark_wanted(builder *b, tegu_value root)
{
    memset(b->wanted, 0, root + 1);
    b->wanted[root] = true;
    for (tegu_value v = root; v > 0; v--) {
        const tegu_node *node = tegu_graph_node(b->f->g, v);
        fuse_place place = b->f->slots[v].place;
        if (!b->wanted[v] || place == FUSE_LEAF ||
            (place == FUSE_OWN && v != root))
            continue;
        for (uint32_t i = 0; i < node->input_count; i++)
            b->wanted[node->inputs[i]] = true;
    }
}

static tegu_value build_inside(builder *b, tegu_value v, tegu_value root)
{
    const fusion *f = b->f;
    const tegu_node *node = tegu_graph_node(f->g, v);
    tegu_value *inputs;

    if (f->slots[v].place == FUSE_LEAF) {
        if (is_inlined_leaf(f->g, v))
            return inline_leaf(b, v);
        return add_operand(b, leaf_value(b, v), node->type);
    }
    if (f->slots[v].place == FUSE_OWN && v != root)
        return add_operand(b, b->map[v], node->type);
    inputs = TEGU_ARRAY(f->scratch, tegu_value, node->input_count + 1);
    for (uint32_t i = 0; i < node->input_count; i++)
        inputs[i] = b->inside[node->inputs[i]];
    return copy_node(b->body, node, inputs);
}

/* The kernel of an own value: everything it wants, in the old order. */
static tegu_value build_kernel(builder *b, tegu_value root)
{
    const tegu_node *node = tegu_graph_node(b->f->g, root);

    begin_kernel(b);
    mark_wanted(b, root);
    for (tegu_value v = 1; v <= root; v++)
        if (b->wanted[v])
            b->inside[v] = build_inside(b, v, root);
    return end_kernel(b, b->f->slots[root].kind, b->inside[root], node->name,
                      node->loc);
}

/* The value for a result or update; a kernel that no other one has. */
static tegu_value build_root(builder *b, tegu_value v, bool *taken)
{
    bool leaf = b->f->slots[v].place == FUSE_LEAF;
    bool inlined = leaf && is_inlined_leaf(b->f->g, v);
    tegu_value value = b->map[v];

    if (leaf && !inlined)
        value = leaf_value(b, v);
    if (leaf || taken[v])
        return build_copy(b, value, inlined ? v : 0);
    taken[v] = true;
    return value;
}

static void build_roots(builder *b)
{
    const tegu_graph *g = b->f->g;
    bool *taken = TEGU_ARRAY(b->f->scratch, bool, g->nodes.count);

    for (uint32_t i = 0; i < g->updates.count; i++)
        tegu_graph_add_update(b->into, g->updates.data[i].state,
                              build_root(b, g->updates.data[i].value, taken));
    for (uint32_t i = 0; i < g->results.count; i++)
        tegu_graph_add_result(b->into, g->results.data[i].name,
                              build_root(b, g->results.data[i].value, taken));
}

static tegu_graph *build(const fusion *f)
{
    uint32_t count = f->g->nodes.count;
    builder b = {.f = f,
                 .into = tegu_graph_create(f->g->unit, TEGU_LEVEL_KERNEL),
                 .map = TEGU_ARRAY(f->scratch, tegu_value, count),
                 .inside = TEGU_ARRAY(f->scratch, tegu_value, count),
                 .wanted = TEGU_ARRAY(f->scratch, bool, count)};

    for (tegu_value v = 1; v < count; v++) {
        if (f->slots[v].place != FUSE_OWN)
            continue;
        b.map[v] =
            is_leaf(f->g, v)
                ? build_copy(
                      &b, copy_node(b.into, tegu_graph_node(f->g, v), NULL), 0)
                : build_kernel(&b, v);
        if (!b.map[v])
            return NULL;
    }
    build_roots(&b);
    return b.into;
}

static tegu_graph *fuse_graph(tegu_graph *graph, tegu_pass_env *env)
{
    fusion f = {.scratch = env->scratch,
                .epilogues = tegu_option_bool(env->options, "epilogues"),
                .loops = tegu_option_bool(env->options, "loops")};

    f.g = prepare_graph(graph);
    if (!f.g)
        return NULL;
    mark(&f);
    fuse_claim_contracts(&f);
    fuse_place_values(&f);
    return build(&f);
}

tegu_outcome tegu_pass_fuse(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, fuse_graph);
}
