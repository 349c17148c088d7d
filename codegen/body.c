/* SPDX-License-Identifier: Apache-2.0 */
/* See body.h. */
#include "codegen/body.h"

#include <math.h>
#include <string.h>

enum { LARGEST_BODY = 400 };

static const tegu_node *node_of(const tegu_body *b, tegu_value v)
{
    return tegu_graph_node(b->graph, v);
}

/* The node behind trailing or leading reshapes. */
static tegu_value strip(const tegu_graph *g, tegu_value v)
{
    while (tegu_graph_node(g, v)->op == TEGU_OP_RESHAPE)
        v = tegu_graph_node(g, v)->inputs[0];
    return v;
}

/* ---- symbols and position ---- */

static bool add_symbol(tegu_body *b, tegu_axis_id symbol)
{
    for (uint32_t i = 0; i < b->symbol_count; i++)
        if (b->symbols[i] == symbol)
            return true;
    if (b->symbol_count == sizeof b->symbols / sizeof b->symbols[0])
        return false;
    b->symbols[b->symbol_count++] = symbol;
    return true;
}

static bool read_needs(tegu_body *b, const uint32_t *uses)
{
    for (tegu_value v = 1; v < b->graph->nodes.count; v++) {
        const tegu_node *node = node_of(b, v);
        if (!uses[v])
            continue;
        if (node->op == TEGU_OP_POSITION || node->op == TEGU_OP_APPEND)
            b->position = true;
        for (uint32_t i = 0; i < node->type->rank; i++) {
            tegu_dim dim = node->type->dims[i];
            if (!tegu_dim_is_static(dim) && !add_symbol(b, dim.symbol))
                return false;
        }
    }
    return true;
}

/* ---- which of the root's axes a value's axes run along ---- */

/* Per axis of one value: a set of axes of the space. */
typedef struct axis_sets {
    uint16_t axis[TEGU_MAX_RANK];
} axis_sets;

static uint16_t any_of(const axis_sets *s, uint32_t rank)
{
    uint16_t all = 0;
    for (uint32_t i = 0; i < rank; i++)
        all |= s->axis[i];
    return all;
}

static bool listed(const tegu_node *node, const char *key, int64_t axis)
{
    const tegu_attr *a = tegu_node_attr(node, key);
    for (uint32_t i = 0; i < a->as.ints.count; i++)
        if (a->as.ints.data[i] == axis)
            return true;
    return false;
}

static void spread_reduce(const tegu_node *node, const tegu_type *from,
                          const axis_sets *at, axis_sets *in)
{
    bool argmax = node->op == TEGU_OP_ARGMAX;
    bool keep = !argmax && tegu_node_bool(node, "keep");
    uint32_t next = 0;
    for (uint32_t i = 0; i < from->rank; i++) {
        bool gone =
            argmax ? tegu_node_int(node, "axis") == i : listed(node, "axes", i);
        if (!gone)
            in->axis[i] |= at->axis[next];
        next += !gone || keep;
    }
}

static void spread_contract(const tegu_node *node, const tegu_type *from,
                            uint32_t input, uint32_t first, const axis_sets *at,
                            axis_sets *in)
{
    const char *summed = input ? "b" : "a";
    const char *batch = input ? "batch_b" : "batch_a";
    const tegu_attr *along = tegu_node_attr(node, batch);
    for (uint32_t i = 0; i < along->as.ints.count; i++)
        in->axis[along->as.ints.data[i]] |= at->axis[i];
    for (uint32_t i = 0; i < from->rank; i++)
        if (!listed(node, summed, i) && !listed(node, batch, i))
            in->axis[i] |= at->axis[first++];
}

static void spread_move(const tegu_body *b, const tegu_node *node,
                        uint32_t input, const axis_sets *at, axis_sets *in)
{
    const tegu_type *from = tegu_graph_type(b->graph, node->inputs[input]);
    uint32_t rank = node->type->rank;
    for (uint32_t i = 0; i < from->rank; i++)
        if (node->op == TEGU_OP_RESHAPE)
            in->axis[i] |= any_of(at, rank);
        else if (node->op == TEGU_OP_GATHER)
            in->axis[i] |= input ? at->axis[i]
                           : i   ? at->axis[rank - from->rank + i]
                                 : any_of(at, rank);
        else if (node->op == TEGU_OP_TRANSPOSE)
            in->axis[tegu_node_attr(node, "perm")->as.ints.data[i]] |=
                at->axis[i];
        else if (!tegu_dim_is_one(from->dims[i]))
            in->axis[i] |= at->axis[rank - from->rank + i];
}

/* A reshape passes on axis by axis what both shapes begin with alike. */
static void spread_reshape(const tegu_node *node, const tegu_type *from,
                           const axis_sets *at, axis_sets *in)
{
    uint32_t i = 0, rank = node->type->rank;
    while (i < from->rank && i < rank &&
           tegu_dim_equal(from->dims[i], node->type->dims[i])) {
        in->axis[i] |= at->axis[i];
        i++;
    }
    uint16_t rest = 0;
    for (uint32_t j = i; j < rank; j++)
        rest |= at->axis[j];
    for (; i < from->rank; i++)
        in->axis[i] |= rest;
}

static void spread(const tegu_body *b, tegu_value v, axis_sets *sets)
{
    const tegu_node *node = node_of(b, v);
    uint32_t first = 0;
    if (node->op == TEGU_OP_CONTRACT)
        first = tegu_node_attr(node, "batch_a")->as.ints.count;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const tegu_type *from = tegu_graph_type(b->graph, node->inputs[i]);
        axis_sets *in = &sets[node->inputs[i]];
        if (node->op == TEGU_OP_SIZE)
            continue;
        if (node->op == TEGU_OP_CONTRACT) {
            spread_contract(node, from, i, first, &sets[v], in);
            first +=
                from->rank - first - tegu_node_attr(node, "a")->as.ints.count;
        } else if (tegu_op_kind_of(node->op) == TEGU_KIND_REDUCE) {
            spread_reduce(node, from, &sets[v], in);
        } else if (node->op == TEGU_OP_RESHAPE) {
            spread_reshape(node, from, &sets[v], in);
        } else {
            spread_move(b, node, i, &sets[v], in);
        }
    }
}

static bool is_reduction(tegu_op op)
{
    tegu_op_kind kind = tegu_op_kind_of(op);
    return kind == TEGU_KIND_REDUCE || kind == TEGU_KIND_CONTRACT;
}

/* The leading axes that parts may share out together: so few that no
 * reduction is repeated for two values of them. */
static uint32_t choose_split(const tegu_body *b, const uint32_t *uses,
                             axis_sets *sets)
{
    uint32_t rank = b->space->rank, split = rank > 1 ? rank - 1 : rank;
    tegu_value top = b->root;
    if (b->in_place)
        top = node_of(b, top)->inputs[1];
    for (uint32_t i = 0; i < rank; i++)
        sets[top].axis[i] = (uint16_t)(1u << i);
    for (tegu_value v = top; v > 0; v--) {
        const tegu_node *node = node_of(b, v);
        uint16_t all = any_of(&sets[v], node->type->rank);
        uint32_t depth = 0;
        if (!uses[v])
            continue;
        for (uint32_t i = 0; i < rank; i++)
            if (all >> i & 1)
                depth = i + 1;
        if (is_reduction(node->op) && depth > 0 && depth < split)
            split = depth;
        spread(b, v, sets);
    }
    return split;
}

/* ---- cost ---- */

int64_t tegu_dim_most(const tegu_unit *unit, tegu_dim dim)
{
    int64_t lo, hi;
    return tegu_dim_bounds(unit, dim, &lo, &hi) ? hi : INT64_MAX / 4;
}

int64_t tegu_dim_least(const tegu_unit *unit, tegu_dim dim)
{
    int64_t lo, hi;
    return tegu_dim_bounds(unit, dim, &lo, &hi) ? lo : 0;
}

static double elements(const tegu_unit *unit, const tegu_type *t)
{
    double count = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        count *= (double)tegu_dim_most(unit, t->dims[i]);
    return count;
}

/* Multiply-adds of a contraction: sqrt of the three extents' products. */
static double node_cost(const tegu_body *b, const tegu_node *node)
{
    const tegu_unit *unit = b->graph->unit;
    double count = elements(unit, node->type);
    if (tegu_op_kind_of(node->op) == TEGU_KIND_REDUCE)
        return elements(unit, tegu_graph_type(b->graph, node->inputs[0]));
    if (node->op == TEGU_OP_CONTRACT)
        return 2 *
               sqrt(count *
                    elements(unit, tegu_graph_type(b->graph, node->inputs[0])) *
                    elements(unit, tegu_graph_type(b->graph, node->inputs[1])));
    if (node->op == TEGU_OP_ATTENTION)
        return 2 * count *
               (double)tegu_dim_most(
                   unit, tegu_graph_type(b->graph, node->inputs[1])->dims[0]);
    return tegu_op_get(node->op)->flops == TEGU_FLOPS_TRANS ? 8 * count : count;
}

static double body_cost(const tegu_body *b, const uint32_t *uses)
{
    double sum = 0, space = elements(b->graph->unit, b->space);
    for (tegu_value v = 1; v < b->graph->nodes.count; v++)
        if (uses[v] && node_of(b, v)->op != TEGU_OP_ARG &&
            node_of(b, v)->op != TEGU_OP_APPEND)
            sum += node_cost(b, node_of(b, v));
    return 1 + (space > 0 ? sum / space : 0);
}

/* ---- the whole ---- */

/* An append in place: the state is an operand that nothing else reads. */
static bool appends_in_place(const tegu_body *b, const uint32_t *uses)
{
    const tegu_node *root = node_of(b, b->root);
    if (root->op != TEGU_OP_APPEND ||
        b->graph->results.data[0].value != b->root)
        return false;
    const tegu_node *state = node_of(b, root->inputs[0]);
    if (state->op != TEGU_OP_ARG)
        return false;
    for (tegu_value v = 1; v < b->graph->nodes.count; v++)
        if (v != root->inputs[0] && uses[v] &&
            node_of(b, v)->op == TEGU_OP_ARG &&
            tegu_node_int(node_of(b, v), "index") ==
                tegu_node_int(state, "index"))
            return false;
    return uses[root->inputs[0]] == 1;
}

bool tegu_body_read(const tegu_graph *graph, uint32_t operands, bool may_append,
                    tegu_arena *scratch, tegu_body *out)
{
    tegu_mark mark = tegu_arena_mark(scratch);
    uint32_t *uses = tegu_graph_uses(graph, scratch);
    axis_sets *sets = TEGU_ARRAY(scratch, axis_sets, graph->nodes.count);
    *out = (tegu_body){.graph = graph, .operands = operands};
    out->root = strip(graph, graph->results.data[0].value);
    out->in_place = may_append && appends_in_place(out, uses);
    out->space = tegu_graph_type(graph, out->root);
    if (out->in_place)
        out->space = tegu_graph_type(graph, node_of(out, out->root)->inputs[1]);
    bool fits = read_needs(out, uses);
    if (fits) {
        out->split = choose_split(out, uses, sets);
        out->cost = body_cost(out, uses);
    }
    tegu_arena_release(scratch, mark);
    return fits;
}

bool tegu_body_is_loops(const tegu_body *body)
{
    if (body->graph->nodes.count > LARGEST_BODY)
        return false;
    for (tegu_value v = 1; v < body->graph->nodes.count; v++)
        if (tegu_op_kind_of(node_of(body, v)->op) == TEGU_KIND_COMPOSITE)
            return false;
    return true;
}

/* ---- attention ---- */

static bool arg_behind(const tegu_body *b, tegu_value v, uint32_t *index)
{
    const tegu_node *node = node_of(b, v);
    if (node->op != TEGU_OP_ARG)
        return false;
    *index = (uint32_t)tegu_node_int(node, "index");
    return true;
}

bool tegu_body_is_attention(const tegu_body *body, tegu_body_attention *out)
{
    const tegu_node *node = node_of(body, body->root);
    out->node = body->root;
    if (node->op != TEGU_OP_ATTENTION ||
        !arg_behind(body, node->inputs[0], &out->q) ||
        !arg_behind(body, node->inputs[1], &out->k) ||
        !arg_behind(body, node->inputs[2], &out->v))
        return false;
    out->offset = node->inputs[3];
    tegu_op offset = node_of(body, out->offset)->op;
    return offset == TEGU_OP_ARG || offset == TEGU_OP_POSITION ||
           offset == TEGU_OP_CONST;
}

/* ---- contract ---- */

static tegu_value first_contract(const tegu_body *b, const uint32_t *uses)
{
    for (tegu_value v = 1; v < b->graph->nodes.count; v++)
        if (uses[v] && node_of(b, v)->op == TEGU_OP_CONTRACT)
            return v;
    return 0;
}

static bool last_axis_only(const tegu_node *node, const char *key,
                           const tegu_type *t)
{
    const tegu_attr *a = tegu_node_attr(node, key);
    return a->as.ints.count == 1 && a->as.ints.data[0] + 1 == t->rank;
}

/* [.., K] by [N, K], both static. */
static bool sums_last_axes(const tegu_body *b, const tegu_node *node)
{
    const tegu_type *ta = tegu_graph_type(b->graph, node->inputs[0]);
    const tegu_type *tb = tegu_graph_type(b->graph, node->inputs[1]);
    return !tegu_node_attr(node, "batch_a")->as.ints.count &&
           last_axis_only(node, "a", ta) && last_axis_only(node, "b", tb) &&
           tb->rank == 2 && tegu_type_is_static(tb);
}

/* The operands of the contract: an argument, reshaped at most, whose last
 * axis is summed, and a plain argument [N, K]. */
static bool read_operands(const tegu_body *b, const tegu_node *node,
                          tegu_body_contract *out)
{
    const tegu_type *ta = tegu_graph_type(b->graph, node->inputs[0]);
    const tegu_type *tb = tegu_graph_type(b->graph, node->inputs[1]);
    if (!sums_last_axes(b, node))
        return false;
    out->n = tb->dims[0].offset;
    out->k = tb->dims[1].offset;
    out->rows_rank = ta->rank - 1;
    return out->n > 0 && out->k > 0 &&
           arg_behind(b, strip(b->graph, node->inputs[0]), &out->a) &&
           arg_behind(b, node->inputs[1], &out->b) && out->a != out->b;
}

/* An argument that the epilogue can load: of the result's shape, one row for
 * all, one column for all, or a scalar. */
static bool is_loadable(const tegu_type *t, const tegu_type *shape)
{
    uint32_t skip = shape->rank - t->rank, same = 0, ones = 0;
    if (t->rank == 0)
        return true;
    for (uint32_t i = 0; i + 1 < t->rank; i++) {
        same += tegu_dim_equal(t->dims[i], shape->dims[skip + i]);
        ones += tegu_dim_is_one(t->dims[i]);
    }
    uint32_t leading = t->rank - 1;
    return ones == leading || (same == leading && skip == 0);
}

/* The left operand of a thin contraction: an argument with the result's rows,
 * or some of its columns. */
static bool read_thin_rows(const tegu_body *b, tegu_value v,
                           const tegu_type *shape, tegu_body_thin *out)
{
    const tegu_node *node = node_of(b, v);
    uint32_t last = shape->rank - 1;
    if (node->op == TEGU_OP_SLICE) {
        const int64_t *step = tegu_node_attr(node, "step")->as.ints.data;
        out->start = tegu_node_attr(node, "start")->as.ints.data[last];
        for (uint32_t i = 0; i <= last; i++)
            if (step[i] != 1)
                return false;
        v = node->inputs[0];
    }
    const tegu_type *t = tegu_graph_type(b->graph, v);
    for (uint32_t i = 0; i < last; i++)
        if (!tegu_dim_equal(t->dims[i], shape->dims[i]))
            return false;
    if (!arg_behind(b, v, &out->a) || !tegu_dim_is_static(t->dims[last]))
        return false;
    out->stride = t->dims[last].offset;
    if (out->start < 0)
        out->start += out->stride;
    return t->dtype == TEGU_F32;
}

/* The condition under which an add_if, its only reader, adds v. */
static int32_t gate_of(const tegu_body *b, tegu_value v)
{
    int32_t gate = -1;
    for (tegu_value u = v + 1; u < b->graph->nodes.count; u++) {
        const tegu_node *node = node_of(b, u);
        uint32_t operand;
        for (uint32_t i = 0; i < node->input_count; i++) {
            if (node->inputs[i] != v)
                continue;
            if (gate >= 0 || i != 1 || node->op != TEGU_OP_ADD_IF ||
                tegu_graph_type(b->graph, node->inputs[2])->rank > 0 ||
                !arg_behind(b, node->inputs[2], &operand))
                return -1;
            gate = (int32_t)operand;
        }
    }
    return gate;
}

static bool read_thin(const tegu_body *b, tegu_value v, tegu_body_contract *out)
{
    const tegu_node *node = node_of(b, v);
    tegu_body_thin *thin = &out->thin[out->thin_count];
    if (out->thin_count == TEGU_BODY_THIN || !sums_last_axes(b, node) ||
        !tegu_type_same_shape(node->type, tegu_graph_type(b->graph, out->node)))
        return false;
    *thin = (tegu_body_thin){.node = v, .gate = gate_of(b, v)};
    thin->k = tegu_graph_type(b->graph, node->inputs[1])->dims[1].offset;
    if (thin->k < 1 || !arg_behind(b, node->inputs[1], &thin->b) ||
        !read_thin_rows(b, node->inputs[0], node->type, thin))
        return false;
    out->thin_count++;
    return true;
}

int64_t tegu_body_packed(const tegu_body_contract *c, uint32_t i)
{
    if (i == c->b)
        return c->k;
    for (uint32_t t = 0; t < c->thin_count; t++)
        if (i == c->thin[t].b)
            return c->thin[t].k;
    return 0;
}

/* True when no constant has two uses: each is packed for one. */
static bool reads_apart(const tegu_body_contract *c)
{
    for (uint32_t t = 0; t < c->thin_count; t++) {
        uint32_t b = c->thin[t].b;
        if (b == c->a || b == c->b || b == c->thin[t].a)
            return false;
        for (uint32_t u = 0; u < t; u++)
            if (c->thin[u].b == b)
                return false;
    }
    return true;
}

/* Everything that the result is computed from, but for the contract's own
 * operands, is element-wise, thin, or a leaf that broadcasts to its shape. */
static bool is_epilogue(const tegu_body *b, tegu_value v,
                        tegu_body_contract *out, bool *seen)
{
    const tegu_node *node = node_of(b, v);
    const tegu_type *shape = tegu_graph_type(b->graph, out->node);
    if (seen[v] || v == out->node)
        return true;
    seen[v] = true;
    if (node->type->rank > shape->rank)
        return false;
    switch (node->op) {
    case TEGU_OP_POSITION:
    case TEGU_OP_SIZE: return true;
    case TEGU_OP_CONST: return tegu_type_elements(node->type) == 1;
    case TEGU_OP_ARG: return is_loadable(node->type, shape);
    case TEGU_OP_CONTRACT: return read_thin(b, v, out);
    case TEGU_OP_MOD: return false;
    default: break;
    }
    if (tegu_op_kind_of(node->op) != TEGU_KIND_MAP &&
        node->op != TEGU_OP_BROADCAST)
        return false;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (!is_epilogue(b, node->inputs[i], out, seen))
            return false;
    return true;
}

bool tegu_body_is_contract(const tegu_body *body, tegu_body_contract *out)
{
    tegu_arena *scratch = body->graph->unit->arena;
    tegu_mark mark = tegu_arena_mark(scratch);
    uint32_t *uses = tegu_graph_uses(body->graph, scratch);
    bool *seen = TEGU_ARRAY(scratch, bool, body->graph->nodes.count);
    *out = (tegu_body_contract){.node = first_contract(body, uses)};
    bool fits = out->node && body->graph->nodes.count <= LARGEST_BODY &&
                tegu_type_same_shape(tegu_graph_type(body->graph, out->node),
                                     body->space) &&
                body->space->dtype == TEGU_F32 &&
                read_operands(body, node_of(body, out->node), out) &&
                is_epilogue(body, body->root, out, seen) && reads_apart(out);
    tegu_arena_release(scratch, mark);
    return fits;
}
