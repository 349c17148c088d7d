/* SPDX-License-Identifier: Apache-2.0 */
/* flops.c - what one call of an entry costs, from its graph and its shapes.
 *
 * Takes a graph of any level and values for the symbols; produces counts by
 * the rules of docs/ir.md, "Costs" (conventions: ecosystem.md 3.6).  A
 * composite costs what its definition costs, a kernel what its body costs, what
 * depends on parameters only is evaluated by the compiler and costs a read;
 * attention alone has a rule of its own, because no kernel computes the
 * scores that the mask throws away.
 */
#include "ir/ir.h"

#include <string.h>

/* The graph being counted; inside a kernel, the call that it defines. */
typedef struct frame {
    const tegu_graph *graph;
    const tegu_node *call;
    const struct frame *outer;
} frame;

typedef struct counter {
    tegu_unit *unit;
    const int64_t *symbols;
    int64_t position;
    bool dense;
    tegu_cost *cost;
} counter;

static double extent(const counter *c, const tegu_type *type, uint32_t axis)
{
    return (double)tegu_dim_value(type->dims[axis], c->symbols);
}

static double elements(const counter *c, const tegu_type *type)
{
    double n = 1;
    for (uint32_t d = 0; d < type->rank; d++)
        n *= extent(c, type, d);
    return n;
}

static double bytes(const counter *c, const tegu_type *type)
{
    return elements(c, type) * (double)tegu_dtype_bytes(type->dtype);
}

/* Bytes of one step along axis 0. */
static double row_bytes(const counter *c, const tegu_type *type)
{
    double n = (double)tegu_dtype_bytes(type->dtype);
    for (uint32_t d = 1; d < type->rank; d++)
        n *= extent(c, type, d);
    return n;
}

/* --- work --- */

/* Where query 0 stands among the keys: a constant, or the call's position. */
static int64_t first_query(const counter *c, const frame *f, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(f->graph, v);
    if (node->op == TEGU_OP_CONST)
        return *(const int32_t *)node->data;
    if (node->op == TEGU_OP_ARG && f->outer)
        return first_query(c, f->outer,
                           f->call->inputs[tegu_node_int(node, "index")]);
    return c->position;
}

/* Pairs of a query and a key that it sees. */
static double visible_pairs(const counter *c, const frame *f,
                            const tegu_node *node)
{
    const tegu_type *q = tegu_graph_type(f->graph, node->inputs[0]);
    const tegu_type *k = tegu_graph_type(f->graph, node->inputs[1]);
    int64_t queries = tegu_dim_value(q->dims[0], c->symbols);
    int64_t keys = tegu_dim_value(k->dims[0], c->symbols);
    int64_t window = tegu_node_int(node, "window");
    bool causal = tegu_node_bool(node, "causal");
    if (c->dense)
        return (double)queries * (double)keys;
    int64_t row = first_query(c, f, node->inputs[3]);
    double pairs = 0;
    for (int64_t i = 0; i < queries; i++, row++) {
        int64_t end = causal && row + 1 < keys ? row + 1 : keys;
        int64_t begin = window > 0 && row >= window ? row - window + 1 : 0;
        pairs += end > begin ? (double)(end - begin) : 0;
    }
    return pairs;
}

/* Per head and pair: d multiply-adds each for the score and for the value,
 * an exp, and five operations of the softmax (scale, maximum, difference, sum,
 * quotient), as in its definition. */
static void attention_work(counter *c, const frame *f, const tegu_node *node)
{
    double heads = extent(c, node->type, 1), d = extent(c, node->type, 2);
    double pairs = heads * visible_pairs(c, f, node);
    c->cost->macs += 2 * d * pairs;
    c->cost->flops += 5 * pairs;
    c->cost->transcendentals += pairs;
}

static bool graph_work(counter *c, const frame *f);

static bool expand_work(counter *c, const frame *f, const tegu_node *node)
{
    if (node->op == TEGU_OP_ATTENTION) {
        attention_work(c, f, node);
        return true;
    }
    frame inner = {node->body, node, f};
    if (node->op != TEGU_OP_KERNEL)
        inner.graph = tegu_composite_body(f->graph, node);
    return inner.graph && graph_work(c, &inner);
}

static double summed(const counter *c, const tegu_graph *g,
                     const tegu_node *node)
{
    const tegu_attr *axes = tegu_node_attr(node, "a");
    double k = 1;
    for (uint32_t i = 0; i < axes->as.ints.count; i++)
        k *= extent(c, tegu_graph_type(g, node->inputs[0]),
                    (uint32_t)axes->as.ints.data[i]);
    return k;
}

static bool node_work(counter *c, const frame *f, const tegu_node *node)
{
    double n = elements(c, node->type);
    switch (tegu_op_get(node->op)->flops) {
    case TEGU_FLOPS_NONE: return true;
    case TEGU_FLOPS_MAP: c->cost->flops += n; return true;
    case TEGU_FLOPS_TRANS: c->cost->transcendentals += n; return true;
    case TEGU_FLOPS_REDUCE:
        c->cost->flops +=
            elements(c, tegu_graph_type(f->graph, node->inputs[0]));
        return true;
    case TEGU_FLOPS_CONTRACT:
        c->cost->macs += n * summed(c, f->graph, node);
        return true;
    case TEGU_FLOPS_EXPAND: break;
    }
    return expand_work(c, f, node);
}

static bool graph_work(counter *c, const frame *f)
{
    tegu_arena *arena = c->unit->arena;
    const uint32_t *uses = tegu_graph_uses(f->graph, arena);
    const bool *constant =
        f->outer ? NULL : tegu_graph_constant(f->graph, arena);
    for (tegu_value v = 1; v < f->graph->nodes.count; v++)
        if (uses[v] && !(constant && constant[v]) &&
            !node_work(c, f, tegu_graph_node(f->graph, v)))
            return false;
    return true;
}

/* --- bytes --- */

/* The append that a value is the result of: an op, or a kernel of one. */
static const tegu_node *append_of(const tegu_graph *g, tegu_value v,
                                  const tegu_type **rows)
{
    const tegu_node *node = tegu_graph_node(g, v);
    const tegu_graph *in = g;
    if (node->op == TEGU_OP_KERNEL) {
        in = node->body;
        node = tegu_graph_node(in, in->results.data[0].value);
    }
    if (node->op != TEGU_OP_APPEND)
        return NULL;
    *rows = tegu_graph_type(in, node->inputs[1]);
    return node;
}

/* Rows of a state that its reader sees; false when v is no state.  A cache
 * has as many as it was given. */
static bool state_rows(const counter *c, const tegu_graph *g, tegu_value v,
                       double *rows)
{
    const tegu_node *node = tegu_graph_node(g, v);
    const tegu_type *added = NULL;
    bool append = append_of(g, v, &added) != NULL;
    if (!append && node->op != TEGU_OP_STATE)
        return false;
    *rows = node->type->rank ? extent(c, node->type, 0) : 1;
    bool cache = append;
    if (!append) {
        const tegu_state *state =
            tegu_unit_find_state(c->unit, tegu_node_text(node, "name"));
        cache = state && state->appended;
    }
    double used = (double)c->position + (append ? extent(c, added, 0) : 0);
    if (cache && used < *rows)
        *rows = used;
    return true;
}

/* The window of the attention that a node is or holds; 0: none. */
static double window_of(const tegu_node *node)
{
    if (node->op == TEGU_OP_KERNEL)
        node = tegu_graph_node(node->body, node->body->results.data[0].value);
    return node->op == TEGU_OP_ATTENTION ? (double)tegu_node_int(node, "window")
                                         : 0;
}

/* True when the reader takes only rows of its operand i. */
static bool reads_rows(const tegu_node *node, uint32_t i)
{
    if (node->op == TEGU_OP_GATHER || node->op == TEGU_OP_EMBED)
        return i == (node->op == TEGU_OP_GATHER ? 0u : 1u);
    if (node->op != TEGU_OP_KERNEL)
        return false;
    const tegu_graph *body = node->body;
    bool rows = false;
    for (tegu_value v = 1; v < body->nodes.count; v++) {
        const tegu_node *user = tegu_graph_node(body, v);
        for (uint32_t k = 0; k < user->input_count; k++) {
            const tegu_node *from = tegu_graph_node(body, user->inputs[k]);
            if (from->op != TEGU_OP_ARG ||
                tegu_node_int(from, "index") != (int64_t)i)
                continue;
            if (!reads_rows(user, k))
                return false;
            rows = true;
        }
    }
    return rows;
}

/* What lies in the weights file: parameters, by index, then constant
 * expressions over them, by value; bytes read of each. */
typedef struct stored {
    const bool *constant;
    double *bytes;
} stored;

static uint32_t stored_index(const counter *c, const tegu_node *node,
                             tegu_value v)
{
    if (node->op != TEGU_OP_PARAM)
        return c->unit->params.count + v;
    return (
        uint32_t)(tegu_unit_find_param(c->unit, tegu_node_text(node, "name")) -
                  c->unit->params.data);
}

/* What one reader takes from its operand i. */
static void read_bytes(counter *c, const tegu_graph *g, const tegu_node *node,
                       uint32_t i, const stored *weights)
{
    tegu_value v = node->inputs[i];
    const tegu_node *from = tegu_graph_node(g, v);
    double rows, all = bytes(c, from->type);
    const tegu_type *added;
    if (weights->constant[v] && from->op != TEGU_OP_CONST &&
        from->op != TEGU_OP_IOTA) {
        double *seen = &weights->bytes[stored_index(c, from, v)];
        *seen += reads_rows(node, i) ? bytes(c, node->type) : all;
        if (*seen > all)
            *seen = all;
    } else if (state_rows(c, g, v, &rows)) {
        tegu_value self = (tegu_value)(node - g->nodes.data);
        if (append_of(g, self, &added) && from->op == TEGU_OP_STATE)
            return; /* appended to in place */
        double seen = window_of(node) + extent(c, node->type, 0) - 1;
        if (window_of(node) > 0 && seen < rows)
            rows = seen;
        c->cost->bytes_state += rows * row_bytes(c, from->type);
    } else if (tegu_op_kind_of(from->op) != TEGU_KIND_LEAF ||
               from->op == TEGU_OP_INPUT) {
        c->cost->bytes_activations += all;
    }
}

static void write_bytes(counter *c, const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);
    const tegu_type *added;
    if (append_of(g, v, &added))
        c->cost->bytes_state += bytes(c, added);
    else
        c->cost->bytes_activations += bytes(c, node->type);
}

static void graph_bytes(counter *c, const tegu_graph *g)
{
    tegu_arena *arena = c->unit->arena;
    const uint32_t *uses = tegu_graph_uses(g, arena);
    uint32_t count = c->unit->params.count + g->nodes.count;
    stored weights = {tegu_graph_constant(g, arena),
                      TEGU_ARRAY(arena, double, count)};
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (!uses[v] || weights.constant[v] ||
            tegu_op_kind_of(node->op) == TEGU_KIND_LEAF ||
            node->op == TEGU_OP_RESHAPE) /* moves nothing */
            continue;
        for (uint32_t i = 0; i < node->input_count; i++)
            read_bytes(c, g, node, i, &weights);
        write_bytes(c, g, v);
    }
    for (uint32_t i = 0; i < g->updates.count; i++) {
        tegu_value v = g->updates.data[i].value;
        const tegu_type *added;
        if (!append_of(g, v, &added))
            c->cost->bytes_state += bytes(c, tegu_graph_type(g, v));
    }
    for (uint32_t i = 0; i < count; i++)
        c->cost->bytes_weights += weights.bytes[i];
}

/* --- interface --- */

bool tegu_entry_cost(tegu_unit *unit, const tegu_entry *entry,
                     const int64_t *symbols, int64_t position, bool dense,
                     tegu_cost *cost)
{
    *cost = (tegu_cost){0};
    counter c = {unit, symbols, position, dense, cost};
    frame f = {.graph = entry->graph};
    if (!graph_work(&c, &f))
        return false;
    cost->contraction_flops = 2 * cost->macs;
    cost->flops += cost->contraction_flops;
    graph_bytes(&c, entry->graph);
    return true;
}

/* Marks the parameters that a graph, or a body in it, reads. */
static void mark_params(tegu_unit *unit, const tegu_graph *g, bool *used)
{
    const uint32_t *uses = tegu_graph_uses(g, unit->arena);
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (uses[v] && node->op == TEGU_OP_PARAM) {
            const tegu_param *param =
                tegu_unit_find_param(unit, tegu_node_text(node, "name"));
            used[param - unit->params.data] = true;
        }
        if (uses[v] && node->body)
            mark_params(unit, node->body, used);
    }
}

double tegu_unit_parameters(const tegu_unit *unit)
{
    tegu_unit *u =
        unit->entries.count ? unit->entries.data[0].graph->unit : NULL;
    double count = 0;
    if (!u)
        return 0;
    bool *used = TEGU_ARRAY(u->arena, bool, u->params.count + 1);
    for (uint32_t i = 0; i < u->entries.count; i++)
        mark_params(u, u->entries.data[i].graph, used);
    for (uint32_t i = 0; i < u->params.count; i++)
        if (used[i])
            count += (double)tegu_type_elements(u->params.data[i].type);
    return count;
}
