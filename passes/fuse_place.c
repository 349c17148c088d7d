/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_place.c - which kernel computes each value that no contraction claimed.
 *
 * Values are visited from the last to the first, so that the kernels of all
 * readers are known.  A value
 *  - is the root of its own kernel when it is a result, an append, attention,
 *    a contraction, or must be an operand of a kernel;
 *  - else joins the one kernel that all its readers are in, when that
 *    kernel's loops evaluate it no more than once per element or it is cheap;
 *  - else is copied into each kernel when it is free: movement, or a cheap
 *    function of iotas, the position and scalars;
 *  - else is the root of its own kernel.
 * Constant values are kept apart: one that a non-constant value reads is the
 * root of a constant kernel, evaluated when weights are written.
 *
 * How often a kernel evaluates a value follows from the path to its root
 * (fuse_order): element-wise steps keep the order, a reduction over trailing
 * axes opens an inner loop, an operand repeated along trailing axes is
 * computed once per row, movement keeps the count but not the order, and all
 * other repetition evaluates several times.  The idea of deciding fusion by
 * recomputation, consumers first, is that of XLA's instruction fusion.
 */
#include "passes/fuse.h"

enum {
    SIZE_MAX_NODES = 96, /* values in one kernel */
    REPEATED_MAX = 4     /* arithmetic ops evaluated several times */
};

bool fuse_trailing(const tegu_type *to, const tegu_type *from, uint32_t *lead)
{
    uint32_t shift, i = 0;

    if (from->rank > to->rank)
        return false;
    shift = to->rank - from->rank;
    for (; i < to->rank; i++) {
        tegu_dim d = i < shift ? tegu_dim_static(1) : from->dims[i - shift];
        if (!tegu_dim_equal(d, to->dims[i]))
            break;
    }
    *lead = i;
    for (; i < to->rank; i++)
        if (i >= shift && !tegu_dim_is_one(from->dims[i - shift]))
            return false;
    return true;
}

/* --- what a reader's order makes of its operands' --- */

static fuse_order through_broadcast(const fusion *f, tegu_value u, tegu_value v,
                                    fuse_order order)
{
    const tegu_type *to = tegu_graph_type(f->g, u);
    const tegu_type *from = tegu_graph_type(f->g, v);
    const fuse_slot *kernel = &f->slots[f->slots[u].home];
    uint32_t lead;

    if (tegu_type_same_shape(to, from))
        return order;
    if (!fuse_trailing(to, from, &lead))
        return FUSE_MANY;
    if (order == FUSE_FULL || order == FUSE_ROW)
        return FUSE_ROW;
    if (order == FUSE_INNER && lead < kernel->row)
        return FUSE_ROW;
    return FUSE_MANY;
}

static fuse_order through_movement(fuse_order order)
{
    bool once = order == FUSE_FULL || order == FUSE_INNER || order == FUSE_ONCE;

    return once ? FUSE_ONCE : FUSE_MANY;
}

static fuse_order through_reshape(const fusion *f, tegu_value u, tegu_value v)
{
    const fuse_slot *slot = &f->slots[u];

    if (slot->tail ||
        tegu_type_squeezes(tegu_graph_type(f->g, u), tegu_graph_type(f->g, v)))
        return slot->order;
    return through_movement(slot->order);
}

/* Leading axes that a reduction over trailing axes keeps; false when other
 * axes are reduced. */
static bool reduces_rows(const tegu_graph *g, tegu_value u, uint32_t *kept)
{
    const tegu_node *node = tegu_graph_node(g, u);
    uint32_t rank = tegu_graph_type(g, node->inputs[0])->rank;
    const tegu_attr *axes;

    if (node->op == TEGU_OP_ARGMAX) {
        *kept = rank - 1;
        return tegu_node_int(node, "axis") == (int64_t)rank - 1;
    }
    axes = tegu_node_attr(node, "axes");
    *kept = rank - axes->as.ints.count;
    for (uint32_t i = 0; i < axes->as.ints.count; i++)
        if (axes->as.ints.data[i] != (int64_t)*kept + i)
            return false;
    return true;
}

static fuse_order through_gather(const fusion *f, tegu_value u, uint32_t i)
{
    const tegu_node *node = tegu_graph_node(f->g, u);
    fuse_order order = f->slots[u].order;
    bool rows = tegu_graph_type(f->g, node->inputs[0])->rank > 1;

    if (i == 0)
        return FUSE_MANY;
    if (!rows)
        return order;
    return order == FUSE_FULL || order == FUSE_ROW ? FUSE_ROW : FUSE_MANY;
}

/* The order in which u's kernel evaluates operand i of u. */
static fuse_order operand_order(const fusion *f, tegu_value u, uint32_t i)
{
    const tegu_node *node = tegu_graph_node(f->g, u);
    tegu_value v = node->inputs[i];
    fuse_order order = f->slots[u].order;
    uint32_t kept;

    switch (tegu_op_kind_of(node->op)) {
    case TEGU_KIND_MAP: return through_broadcast(f, u, v, order);
    case TEGU_KIND_REDUCE:
        return reduces_rows(f->g, u, &kept) ? FUSE_INNER : FUSE_ONCE;
    case TEGU_KIND_INDEX: return through_gather(f, u, i);
    case TEGU_KIND_STATE: return i == 1 ? FUSE_FULL : FUSE_MANY;
    case TEGU_KIND_MOVE:
        if (node->op == TEGU_OP_RESHAPE)
            return through_reshape(f, u, v);
        if (node->op == TEGU_OP_BROADCAST)
            return through_broadcast(f, u, v, order);
        return through_movement(order);
    default: return FUSE_MANY;
    }
}

static fuse_order both(fuse_order a, fuse_order b)
{
    if (a == b)
        return a == FUSE_ONCE ? FUSE_MANY : a;
    if (a <= FUSE_INNER && b <= FUSE_INNER)
        return FUSE_FULL; /* a row is read in two loops of one kernel */
    return FUSE_MANY;
}

/* --- where a value may go --- */

/* The kernel that all readers of v are in, or FUSE_ANYWHERE; *order: how it
 * evaluates v. */
static uint32_t common_home(const fusion *f, tegu_value v, fuse_order *order)
{
    uint32_t home = FUSE_NOWHERE;
    bool first = true;

    for (uint32_t k = f->first_user[v]; k < f->first_user[v + 1]; k++) {
        tegu_value u = f->users[k];
        const tegu_node *node = tegu_graph_node(f->g, u);
        if (home != FUSE_NOWHERE && home != f->slots[u].home)
            home = FUSE_ANYWHERE;
        else
            home = f->slots[u].home;
        for (uint32_t i = 0; i < node->input_count; i++) {
            if (node->inputs[i] != v)
                continue;
            fuse_order o = operand_order(f, u, i);
            *order = first ? o : both(*order, o);
            first = false;
        }
    }
    return home;
}

static bool free_to_copy(const fusion *f, tegu_value v)
{
    tegu_op op = tegu_graph_node(f->g, v)->op;

    if (f->slots[v].index_only)
        return true;
    return f->loops && tegu_op_kind_of(op) == TEGU_KIND_MOVE &&
           op != TEGU_OP_CONCAT && op != TEGU_OP_PAD;
}

/* Whether a loop kernel may hold v when it evaluates v in this order. */
static bool loop_holds(const fusion *f, tegu_value v, fuse_order order,
                       fuse_slot *kernel)
{
    tegu_op op = tegu_graph_node(f->g, v)->op;
    uint32_t kept;

    if (kernel->size >= SIZE_MAX_NODES)
        return false;
    switch (tegu_op_kind_of(op)) {
    case TEGU_KIND_MOVE: return true;
    case TEGU_KIND_MAP:
        if (order != FUSE_MANY)
            return true;
        return tegu_op_has(op, TEGU_CHEAP) &&
               f->slots[v].repeated <= REPEATED_MAX;
    case TEGU_KIND_INDEX: return order != FUSE_MANY;
    case TEGU_KIND_REDUCE:
        if (order != FUSE_FULL && order != FUSE_ROW)
            return false;
        if (!reduces_rows(f->g, v, &kept) ||
            (kernel->row && kernel->row != kept + 1))
            return false;
        kernel->row = kept + 1;
        return true;
    default: return false;
    }
}

/* Whether a contract kernel may hold v beside its region. */
static bool contract_holds(const fusion *f, tegu_value v,
                           const fuse_slot *kernel)
{
    const tegu_node *node = tegu_graph_node(f->g, v);
    const tegu_type *result = tegu_graph_type(f->g, kernel->anchor);

    if (f->slots[v].chain)
        return true;
    if (kernel->size >= SIZE_MAX_NODES || !f->epilogues ||
        tegu_op_kind_of(node->op) != TEGU_KIND_MAP ||
        !tegu_type_same_shape(node->type, result))
        return false;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const tegu_type *type = tegu_graph_type(f->g, node->inputs[i]);
        if (type->dtype != TEGU_F32 || !tegu_type_same_shape(type, result))
            return false;
    }
    return true;
}

static bool holds(const fusion *f, tegu_value v, fuse_order order,
                  uint32_t home)
{
    fuse_slot *kernel = &f->slots[home];

    if (home == FUSE_ANYWHERE || !f->loops)
        return false;
    switch (kernel->kind) {
    case FUSE_LOOP: return loop_holds(f, v, order, kernel);
    case FUSE_CONTRACT: return contract_holds(f, v, kernel);
    default: return false;
    }
}

/* Epilogues read operands and scalars only, besides what contract_holds
 * admits. */
static bool epilogue_reads(const fusion *f, tegu_value v)
{
    if (tegu_type_elements(tegu_graph_type(f->g, v)) == 1 &&
        f->slots[v].index_only)
        return false;
    for (uint32_t k = f->first_user[v]; k < f->first_user[v + 1]; k++) {
        const fuse_slot *u = &f->slots[f->users[k]];
        bool sums = tegu_graph_node(f->g, f->users[k])->op == TEGU_OP_CONTRACT;
        if (u->region && !(sums && f->slots[v].chain))
            return true;
    }
    return false;
}

/* What an adapter adds has kernels of its own, which are left out while it is
 * off. */
static bool is_update(const fusion *f, tegu_value v)
{
    for (uint32_t k = f->first_user[v]; k < f->first_user[v + 1]; k++) {
        const tegu_node *user = tegu_graph_node(f->g, f->users[k]);
        if (user->op == TEGU_OP_ADD_IF && user->inputs[1] == v)
            return true;
    }
    return false;
}

static bool must_own(const fusion *f, tegu_value v)
{
    const fuse_slot *slot = &f->slots[v];
    tegu_op op = tegu_graph_node(f->g, v)->op;

    return slot->root || is_update(f, v) || slot->operand ||
           op == TEGU_OP_CONTRACT || op == TEGU_OP_APPEND ||
           op == TEGU_OP_ATTENTION;
}

/* --- placing --- */

static void place_constant(fusion *f, tegu_value v)
{
    fuse_slot *slot = &f->slots[v];
    bool read = slot->root || slot->operand || epilogue_reads(f, v);

    for (uint32_t k = f->first_user[v]; k < f->first_user[v + 1]; k++)
        read |= !f->constant[f->users[k]] && !slot->index_only;
    slot->place = read ? FUSE_OWN : FUSE_COPIED;
    slot->home = read ? v : FUSE_ANYWHERE;
    slot->kind = FUSE_CONSTANT;
    slot->order = FUSE_MANY;
}

static void place_own(fusion *f, tegu_value v)
{
    fuse_slot *slot = &f->slots[v];
    const tegu_node *node = tegu_graph_node(f->g, v);
    uint32_t kept;

    slot->place = FUSE_OWN;
    slot->home = v;
    slot->order = FUSE_FULL;
    slot->repeated = 0;
    slot->size = 1;
    slot->tail = node->op == TEGU_OP_RESHAPE;
    if (node->op != TEGU_OP_ATTENTION) {
        slot->kind = FUSE_LOOP;
        if (tegu_op_kind_of(node->op) == TEGU_KIND_REDUCE &&
            reduces_rows(f->g, v, &kept))
            slot->row = kept + 1;
        return;
    }
    slot->kind = FUSE_ATTENTION;
    for (uint32_t i = 0; i < node->input_count; i++)
        f->slots[node->inputs[i]].operand = true;
}

static void place_inside(fusion *f, tegu_value v, uint32_t home,
                         fuse_order order)
{
    fuse_slot *slot = &f->slots[v];
    uint32_t first = f->first_user[v];
    bool single = f->first_user[v + 1] == first + 1;

    slot->place = FUSE_IN;
    slot->home = home;
    slot->order = order;
    slot->tail = tegu_graph_node(f->g, v)->op == TEGU_OP_RESHAPE && single &&
                 f->slots[f->users[first]].tail;
    f->slots[home].size++;
}

/* Arithmetic ops from v to where its kernel starts to evaluate several times,
 * v included. */
static uint32_t repetition(const fusion *f, tegu_value v, fuse_order order)
{
    tegu_op op = tegu_graph_node(f->g, v)->op;
    uint32_t most = 0;

    if (order != FUSE_MANY)
        return 0;
    for (uint32_t k = f->first_user[v]; k < f->first_user[v + 1]; k++)
        if (f->slots[f->users[k]].repeated > most)
            most = f->slots[f->users[k]].repeated;
    return most + (tegu_op_kind_of(op) == TEGU_KIND_MAP);
}

static void place_value(fusion *f, tegu_value v)
{
    fuse_slot *slot = &f->slots[v];
    fuse_order order = FUSE_MANY;
    uint32_t home;

    if (tegu_op_kind_of(tegu_graph_node(f->g, v)->op) == TEGU_KIND_LEAF) {
        slot->place = slot->stale ? FUSE_OWN : FUSE_LEAF;
        slot->home = v;
        return;
    }
    if (slot->region)
        return;
    if (f->constant[v]) {
        place_constant(f, v);
        return;
    }
    if (must_own(f, v)) {
        place_own(f, v);
        return;
    }
    home = common_home(f, v, &order);
    slot->repeated = repetition(f, v, order);
    if (holds(f, v, order, home)) {
        place_inside(f, v, home, order);
    } else if (free_to_copy(f, v) && !epilogue_reads(f, v)) {
        slot->place = FUSE_COPIED;
        slot->home = home;
        slot->order = FUSE_MANY;
    } else {
        place_own(f, v);
    }
}

void fuse_place_values(fusion *f)
{
    for (tegu_value v = f->g->nodes.count - 1; v > 0; v--)
        if (f->uses[v])
            place_value(f, v);
}
