/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_contract.c - contractions by constant weights, with their epilogues.
 *
 * Takes the fusion's slots with roots, users and constants marked.  Claims a
 * region per contraction that the packed kernels can run: a [.., K] by
 * constant b [N, K].  Growing an epilogue: the region starts as the
 * contraction; while some reader of the region is element-wise over the
 * result's shape, the first such reader joins.  Whenever only the last joined
 * value is read from outside, the region may end there; the last such point
 * is taken, so a diamond (x * sigmoid(x)) joins whole or not at all.  An
 * operand from outside cannot depend on the region: every path out of it
 * leads through its end.  Reshapes may end a region; nothing follows them.
 *
 * A thin contraction, such as the second product of a kept adapter, joins with
 * the op that reads it, so that its sums are added to the region's where these
 * lie in registers; with it a slice of its left operand's columns, by which
 * adapters share one product of x.
 */
#include "passes/fuse.h"

enum {
    EPILOGUE_MAX = 32,
    THIN_MAX = 64,  /* terms of a thin contraction, */
    THIN_RATIO = 4, /* and so many times fewer than the region's */
    THIN_COUNT = 8  /* in one region; as in codegen/body.h */
};

typedef struct region {
    tegu_value values[EPILOGUE_MAX];
    uint32_t count, thin;
    bool reshaped;
} region;

static bool is_operand(const fusion *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);

    switch (node->op) {
    case TEGU_OP_IOTA:
    case TEGU_OP_POSITION:
    case TEGU_OP_SIZE: return false;
    case TEGU_OP_CONST: return !tegu_node_is_scalar_const(node);
    default: return true;
    }
}

/* The value under reshapes that only the contraction needs. */
static tegu_value under_reshapes(const fusion *f, tegu_value v)
{
    while (tegu_graph_node(f->g, v)->op == TEGU_OP_RESHAPE &&
           !f->slots[v].root && !f->slots[v].region && !f->constant[v] &&
           f->loops)
        v = tegu_graph_node(f->g, v)->inputs[0];
    return v;
}

static bool sums_last_axis(const tegu_node *node, const char *key,
                           const tegu_type *type)
{
    const tegu_attr *axes = tegu_node_attr(node, key);

    return axes->as.ints.count == 1 && type->rank > 0 &&
           axes->as.ints.data[0] == (int64_t)type->rank - 1;
}

static bool fits(const fusion *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);
    tegu_value a, b;

    if (node->op != TEGU_OP_CONTRACT || f->constant[v])
        return false;
    a = node->inputs[0];
    b = node->inputs[1];
    return node->type->dtype == TEGU_F32 && f->constant[b] &&
           tegu_graph_type(f->g, b)->rank == 2 &&
           tegu_node_attr(node, "batch_a")->as.ints.count == 0 &&
           sums_last_axis(node, "a", tegu_graph_type(f->g, a)) &&
           sums_last_axis(node, "b", tegu_graph_type(f->g, b)) &&
           is_operand(f, b) && is_operand(f, under_reshapes(f, a));
}

static bool contains(const region *r, tegu_value v)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->values[i] == v)
            return true;
    return false;
}

/* True when all readers of the region's values but the last are inside. */
static bool closed(const fusion *f, const region *r)
{
    for (uint32_t i = 0; i + 1 < r->count; i++) {
        tegu_value v = r->values[i];
        if (f->slots[v].root)
            return false;
        for (uint32_t k = f->first_user[v]; k < f->first_user[v + 1]; k++)
            if (!contains(r, f->users[k]))
                return false;
    }
    return true;
}

/* The first reader outside the region of any of its values; 0: none. */
static tegu_value next_reader(const fusion *f, const region *r)
{
    tegu_value first = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        tegu_value v = r->values[i];
        for (uint32_t k = f->first_user[v]; k < f->first_user[v + 1]; k++) {
            tegu_value u = f->users[k];
            if (!contains(r, u) && (!first || u < first))
                first = u;
        }
    }
    return first;
}

/* An operand of the epilogue: result-shaped, [N], [.., 1] or scalar. */
static bool side_fits(const fusion *f, const tegu_type *result, tegu_value v)
{
    const tegu_type *side = tegu_graph_type(f->g, v);
    uint32_t lead;

    if (side->dtype != TEGU_F32 ||
        (!is_operand(f, v) && tegu_type_elements(side) != 1))
        return false;
    if (fuse_trailing(result, side, &lead))
        return lead == 0 || lead + 1 >= result->rank;
    for (uint32_t i = 0; i + 1 < side->rank; i++)
        if (!tegu_dim_is_one(side->dims[i]))
            return false;
    return side->rank > 0 && result->rank > 0 &&
           tegu_dim_equal(side->dims[side->rank - 1],
                          result->dims[result->rank - 1]);
}

/* A value that one reader alone wants, and no kernel has taken. */
static bool is_private(const fusion *f, tegu_value v)
{
    return !f->slots[v].root && !f->slots[v].region && !f->constant[v] &&
           f->first_user[v + 1] == f->first_user[v] + 1;
}

/* Columns in a row of the last axis alone. */
static bool is_column_slice(const fusion *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);
    const tegu_type *from;

    if (node->op != TEGU_OP_SLICE || !is_private(f, v))
        return false;
    from = tegu_graph_type(f->g, node->inputs[0]);
    for (uint32_t i = 0; i < from->rank; i++)
        if (tegu_node_attr(node, "step")->as.ints.data[i] != 1 ||
            (i + 1 < from->rank &&
             (tegu_node_attr(node, "start")->as.ints.data[i] != 0 ||
              !tegu_dim_equal(from->dims[i], node->type->dims[i]))))
            return false;
    return tegu_dim_is_static(from->dims[from->rank - 1]) &&
           is_operand(f, node->inputs[0]);
}

static int64_t terms(const fusion *f, tegu_value contract)
{
    const tegu_node *node = tegu_graph_node(f->g, contract);

    return tegu_graph_type(f->g, node->inputs[1])->dims[1].offset;
}

/* A contraction that the region's epilogue may compute on its way; later than
 * the region's own, so that the first one of a kernel is the large one. */
static bool is_thin(const fusion *f, const region *r, tegu_value v)
{
    return v > r->values[0] && r->thin < THIN_COUNT && is_private(f, v) &&
           fits(f, v) && terms(f, v) <= THIN_MAX &&
           terms(f, v) * THIN_RATIO <= terms(f, r->values[0]) &&
           tegu_type_same_shape(tegu_graph_type(f->g, v),
                                tegu_graph_type(f->g, r->values[0]));
}

/* Lets the thin contractions join that v reads. */
static void join_thin(const fusion *f, region *r, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);

    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_value x = node->inputs[i];
        if (contains(r, x) || r->count + 3 > EPILOGUE_MAX || !is_thin(f, r, x))
            continue;
        tegu_value left = tegu_graph_node(f->g, x)->inputs[0];
        if (is_column_slice(f, left))
            r->values[r->count++] = left;
        r->values[r->count++] = x;
        r->thin++;
    }
}

/* An adapter's own contraction is not computed while the adapter is off, when
 * an add_if still gives its first operand. */
static bool runs_always(const fusion *f, const region *r)
{
    const tegu_node *node = tegu_graph_node(f->g, r->values[0]);

    return !tegu_graph_adapter(f->g, node->inputs[1]);
}

static bool joins(const fusion *f, const region *r, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->g, v);
    const tegu_type *result = tegu_graph_type(f->g, r->values[0]);

    if (f->slots[v].region || r->count == EPILOGUE_MAX)
        return false;
    if (node->op == TEGU_OP_RESHAPE)
        return closed(f, r);
    if (node->op == TEGU_OP_ADD_IF && !runs_always(f, r))
        return false;
    if (r->reshaped || tegu_op_kind_of(node->op) != TEGU_KIND_MAP ||
        !tegu_type_same_shape(node->type, result) ||
        node->type->dtype != TEGU_F32)
        return false;
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_value x = node->inputs[i];
        if (!contains(r, x) && !side_fits(f, result, x))
            return false;
    }
    return true;
}

static region grow(const fusion *f, tegu_value contract)
{
    region r = {.values = {contract}, .count = 1}, best = r;

    while (!f->slots[r.values[r.count - 1]].root) {
        tegu_value next = next_reader(f, &r);
        if (!next || !joins(f, &r, next))
            break;
        r.reshaped |= tegu_graph_node(f->g, next)->op == TEGU_OP_RESHAPE;
        join_thin(f, &r, next);
        r.values[r.count++] = next;
        if (closed(f, &r))
            best = r;
    }
    return best;
}

/* The left operand of one of the region's contractions. */
static void claim_left(fusion *f, const region *r, tegu_value contract)
{
    tegu_value a = tegu_graph_node(f->g, contract)->inputs[0], bottom;

    if (contract != r->values[0]) {
        f->slots[contains(r, a) ? tegu_graph_node(f->g, a)->inputs[0] : a]
            .operand = true;
        return;
    }
    bottom = under_reshapes(f, a);
    for (; a != bottom; a = tegu_graph_node(f->g, a)->inputs[0])
        f->slots[a].chain = true;
    f->slots[bottom].operand = true;
}

static void claim(fusion *f, const region *r)
{
    tegu_value root = r->values[r->count - 1];

    for (uint32_t i = 0; i < r->count; i++) {
        tegu_value v = r->values[i];
        fuse_slot *slot = &f->slots[v];
        slot->region = true;
        slot->place = FUSE_IN;
        slot->home = root;
        slot->order = FUSE_FULL;
        if (tegu_graph_node(f->g, v)->op != TEGU_OP_CONTRACT)
            continue;
        claim_left(f, r, v);
        f->slots[tegu_graph_node(f->g, v)->inputs[1]].operand = true;
    }
    f->slots[root].place = FUSE_OWN;
    f->slots[root].kind = FUSE_CONTRACT;
    f->slots[root].anchor = r->values[0];
    f->slots[root].size = r->count;
}

void fuse_claim_contracts(fusion *f)
{
    for (tegu_value v = 1; v < f->g->nodes.count; v++) {
        if (!f->uses[v] || f->slots[v].region || !fits(f, v))
            continue;
        region r = {.values = {v}, .count = 1};
        if (f->epilogues)
            r = grow(f, v);
        claim(f, &r);
    }
}
