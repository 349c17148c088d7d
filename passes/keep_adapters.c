/* SPDX-License-Identifier: Apache-2.0 */
/* keep_adapters.c - compute adapters beside their weights.
 *
 * Takes    model graphs in which linear or embed read adapted weights.
 * Produces linear(x, w + s b a) = linear(x, w) + (s (x a^T)) b^T, and for
 *          singlora (s (x a_in)) a_out^T, where a_in and a_out are the
 *          prefixes of one matrix, or that matrix itself where the weight is
 *          square; embed(t, w + s b a) = embed(t, w) + s embed(t, b) a.
 *          All adapters of all linears that read one x share one product of
 *          x with their a's, one below the other; each takes its columns.
 *          Several adapters add up; a bias stays with the base.
 *          What belongs to an adapter of the unit (unit->adapters) is apart:
 *          its x a^T are a product of their own, times its run-time scale, and
 *          its updates are added with add_if, so that it can be switched.
 * Why      the base's weights stay as they are, to be shared or to switch
 *          adapters at run time, for 2 r (in + out) flops per token; the
 *          scale costs r products per row, and the second product joins the
 *          base's contraction (fuse_contract.c).
 * Refuses  dora, whose row lengths depend on the whole sum, and adapted
 *          weights that are read in other ways.
 */
#include "passes/adapted.h"

#include <inttypes.h>
#include <string.h>

/* An adapter on the weight of a linear: columns [start, start + rank) of a
 * product that the linear's x shares.  All values are the old graph's. */
typedef struct thin {
    tegu_value x, linear, adapter;
    uint32_t owner; /* in unit->adapters; 0: the model */
    uint32_t shared;
    int64_t start, rank;
} thin;

typedef struct keeping {
    TEGU_VEC(thin) thins;
    uint32_t count;       /* values of the old graph */
    tegu_value *products; /* per owner and old x: the product; 0: none yet */
    int64_t *ranks;       /* of the same: the product's columns */
    uint32_t linears, tables;
    double flops; /* per token */
} keeping;

/* x [.., K] times m along m's axis `axis`. */
static tegu_value times(tegu_graph *g, tegu_loc loc, tegu_value x, tegu_value m,
                        int64_t axis)
{
    int64_t last = (int64_t)tegu_graph_type(g, x)->rank - 1;
    tegu_value inputs[] = {x, m};
    tegu_attr attrs[] = {
        tegu_attr_of_ints(g->unit, TEGU_OP_CONTRACT, "a", &last, 1),
        tegu_attr_of_ints(g->unit, TEGU_OP_CONTRACT, "b", &axis, 1)};

    return tegu_build(g, loc, TEGU_OP_CONTRACT, 2, inputs, 2, attrs, NULL);
}

static tegu_value linear(tegu_graph *g, tegu_loc loc, tegu_value x,
                         tegu_value w)
{
    tegu_value inputs[] = {x, w};

    return tegu_build(g, loc, TEGU_OP_LINEAR, 2, inputs, 0, NULL, NULL);
}

/* The new value of a constant that may not have been visited yet. */
static tegu_value fetch(tegu_rewriter *rw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(rw->from, v);

    for (uint32_t i = 0; !rw->map[v] && i < node->input_count; i++)
        if (!fetch(rw, node->inputs[i]))
            return 0;
    if (!rw->map[v])
        rw->map[v] = tegu_rewriter_copy(rw, v);
    return rw->map[v];
}

/* ---- scales ---- */

/* The scale at which an adapter's run-time scale is 1. */
static float own_scale(const tegu_unit *unit, const tegu_node *adapter,
                       uint32_t owner)
{
    double scale = tegu_node_float(adapter, "scale");

    return (float)(owner ? scale / unit->adapters.data[owner].scale : scale);
}

/* True for a parameter that scale_param made of the same scales. */
static bool is_scales(const tegu_param *param, uint32_t owner,
                      const float *scales, int64_t count)
{
    return param->adapter == owner && param->source == TEGU_SOURCE_DATA &&
           param->stored == TEGU_F32 &&
           tegu_type_elements(param->type) == count &&
           memcmp(param->data, scales, (size_t)count * sizeof *scales) == 0;
}

/* An adapter's scales as a parameter of its own: they go into its file.  Named
 * after its first matrix, so that entries share it. */
static tegu_value scale_param(tegu_rewriter *rw, const thin *first,
                              const float *scales, int64_t count)
{
    tegu_graph *g = rw->into;
    const tegu_node *adapter = tegu_graph_node(rw->from, first->adapter);
    const tegu_node *a = tegu_graph_node(rw->from, adapter->inputs[1]);
    const char *base = tegu_format(
        g->unit->arena, "%s%s",
        a->op == TEGU_OP_PARAM ? tegu_node_text(a, "name")
                               : g->unit->adapters.data[first->owner].name,
        a->op == TEGU_OP_PARAM ? ".scales" : ":scales");
    size_t bytes = (size_t)count * sizeof *scales;
    const char *name = base;
    const tegu_param *old;

    for (int n = 2; (old = tegu_unit_find_param(g->unit, name)) != NULL &&
                    !is_scales(old, first->owner, scales, count);
         n++)
        name = tegu_format(g->unit->arena, "%s.%d", base, n);
    return tegu_adapted_param(g, adapter->loc, name, first->owner,
                              tegu_unit_shape(g->unit, TEGU_F32, 1, &count),
                              tegu_arena_copy(g->unit->arena, scales, bytes));
}

/* y times the run-time scale of an adapter. */
static tegu_value times_run_time(tegu_graph *g, tegu_loc loc, tegu_value y,
                                 uint32_t owner)
{
    return tegu_build_binary(g, loc, TEGU_OP_MUL, y,
                             tegu_adapted_scale(g, loc, owner));
}

/* ---- the first products ---- */

/* What x is multiplied by, [r, in]. */
static tegu_value first_matrix(tegu_rewriter *rw, const tegu_node *adapter)
{
    const int64_t perm[] = {1, 0};
    tegu_graph *g = rw->into;
    tegu_attr turn =
        tegu_attr_of_ints(g->unit, TEGU_OP_TRANSPOSE, "perm", perm, 2);
    tegu_value a = fetch(rw, adapter->inputs[1]);

    if (!a || adapter->op != TEGU_OP_SINGLORA)
        return a;
    a = tegu_adapted_prefix(g, adapter->loc, a, adapter->type->dims[1].offset);
    return tegu_build(g, adapter->loc, TEGU_OP_TRANSPOSE, 1, &a, 1, &turn,
                      NULL);
}

/* The product that t shares, times the scales of its columns: one number if
 * they agree and belong to the model. */
static tegu_value scaled(tegu_rewriter *rw, const thin *t, tegu_value y)
{
    const keeping *k = rw->data;
    tegu_graph *g = rw->into;
    tegu_loc loc = tegu_graph_node(rw->from, t->linear)->loc;
    int64_t columns = k->ranks[t->shared];
    float *all = TEGU_ARRAY(g->unit->arena, float, (size_t)columns);
    bool equal = !t->owner;
    tegu_value scale;

    for (uint32_t i = 0; i < k->thins.count; i++) {
        const thin *u = &k->thins.data[i];
        const tegu_node *adapter = tegu_graph_node(rw->from, u->adapter);
        for (int64_t j = 0; u->shared == t->shared && j < u->rank; j++) {
            all[u->start + j] = own_scale(g->unit, adapter, u->owner);
            equal = equal && all[u->start + j] == all[0];
        }
    }
    if (t->owner)
        scale = scale_param(rw, t, all, columns);
    else if (equal)
        scale = tegu_build_scalar(g, loc, TEGU_F32, (double)all[0]);
    else
        scale = tegu_build_const(
            g, loc, tegu_unit_shape(g->unit, TEGU_F32, 1, &columns), all);
    y = tegu_build_binary(g, loc, TEGU_OP_MUL, y, scale);
    return t->owner ? times_run_time(g, loc, y, t->owner) : y;
}

/* s (x a^T) for all adapters of one owner on all linears of x, side by side;
 * `t` is the first of them that is asked for. */
static tegu_value product(tegu_rewriter *rw, const thin *t)
{
    keeping *k = rw->data;
    tegu_graph *g = rw->into;
    tegu_loc loc = tegu_graph_node(rw->from, t->linear)->loc;
    tegu_attr axis = tegu_attr_of_int(TEGU_OP_CONCAT, "axis", 0);
    TEGU_VEC(tegu_value) parts = {0};

    if (k->products[t->shared])
        return k->products[t->shared];
    for (uint32_t i = 0; i < k->thins.count; i++) {
        const thin *u = &k->thins.data[i];
        if (u->shared == t->shared)
            tegu_vec_push(
                g->unit->arena, &parts,
                first_matrix(rw, tegu_graph_node(rw->from, u->adapter)));
    }
    tegu_value a = parts.data[0];
    if (parts.count > 1)
        a = tegu_build(g, loc, TEGU_OP_CONCAT, parts.count, parts.data, 1,
                       &axis, NULL);
    k->products[t->shared] = scaled(rw, t, linear(g, loc, rw->map[t->x], a));
    return k->products[t->shared];
}

/* An adapter's own columns of the product. */
static tegu_value columns(tegu_rewriter *rw, const thin *t, tegu_loc loc)
{
    const keeping *k = rw->data;
    tegu_graph *g = rw->into;
    tegu_value y = product(rw, t);
    int64_t start[TEGU_MAX_RANK] = {0}, step[TEGU_MAX_RANK];

    if (!y || k->ranks[t->shared] == t->rank)
        return y;
    tegu_type type = *tegu_graph_type(g, y);
    type.dims[type.rank - 1] = tegu_dim_static(t->rank);
    start[type.rank - 1] = t->start;
    for (uint32_t i = 0; i < type.rank; i++)
        step[i] = 1;
    tegu_attr attrs[] = {
        tegu_attr_of_ints(g->unit, TEGU_OP_SLICE, "start", start, type.rank),
        tegu_attr_of_ints(g->unit, TEGU_OP_SLICE, "step", step, type.rank)};
    return tegu_build(g, loc, TEGU_OP_SLICE, 1, &y, 2, attrs,
                      tegu_unit_type(g->unit, &type));
}

static const thin *find(const keeping *k, tegu_value user, tegu_value adapter)
{
    uint32_t i = 0;

    while (k->thins.data[i].linear != user ||
           k->thins.data[i].adapter != adapter)
        i++;
    return &k->thins.data[i];
}

/* Gives every adapter of a linear its columns. */
static void collect(keeping *k, const tegu_graph *g, tegu_arena *scratch)
{
    uint32_t *uses = tegu_graph_uses(g, scratch);

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        tegu_value w = node->op == TEGU_OP_LINEAR ? node->inputs[1] : 0;
        for (; uses[v] && w && tegu_node_is_adapted(tegu_graph_node(g, w));
             w = tegu_graph_node(g, w)->inputs[0]) {
            const tegu_node *adapter = tegu_graph_node(g, w);
            thin t = {.x = node->inputs[0], .linear = v, .adapter = w};
            t.owner = tegu_graph_adapter(g, adapter->inputs[1]);
            t.shared = t.owner * k->count + t.x;
            t.rank = tegu_adapted_rank(g, adapter);
            t.start = k->ranks[t.shared];
            k->ranks[t.shared] += t.rank;
            tegu_vec_push(scratch, &k->thins, t);
        }
    }
}

/* ---- updates ---- */

/* s embed(t, b) a */
static tegu_value table_update(tegu_rewriter *rw, tegu_value v,
                               tegu_value adapted)
{
    tegu_graph *g = rw->into;
    const tegu_node *user = tegu_graph_node(rw->from, v);
    const tegu_node *adapter = tegu_graph_node(rw->from, adapted);
    bool single = adapter->op == TEGU_OP_SINGLORA;
    thin t = {.adapter = adapted,
              .owner = tegu_graph_adapter(rw->from, adapter->inputs[1])};
    float scale = own_scale(g->unit, adapter, t.owner);
    tegu_value a = rw->map[adapter->inputs[1]];
    tegu_value b = single ? a : rw->map[adapter->inputs[2]];

    if (single) {
        b = tegu_adapted_prefix(g, user->loc, a, adapter->type->dims[0].offset);
        a = tegu_adapted_prefix(g, user->loc, a, adapter->type->dims[1].offset);
    }
    tegu_value inputs[] = {rw->map[user->inputs[0]], b};
    tegu_value y =
        tegu_build(g, user->loc, TEGU_OP_EMBED, 2, inputs, 0, NULL, NULL);
    y = y ? times(g, user->loc, y, a, single) : 0;
    y = tegu_build_binary(
        g, user->loc, TEGU_OP_MUL, y,
        t.owner ? scale_param(rw, &t, &scale, 1)
                : tegu_build_scalar(g, user->loc, TEGU_F32, (double)scale));
    return t.owner ? times_run_time(g, user->loc, y, t.owner) : y;
}

/* (s (x a^T)) b^T */
static tegu_value linear_update(tegu_rewriter *rw, tegu_value user,
                                tegu_value v)
{
    tegu_graph *g = rw->into;
    const tegu_node *adapter = tegu_graph_node(rw->from, v);
    tegu_loc loc = tegu_graph_node(rw->from, user)->loc;
    bool single = adapter->op == TEGU_OP_SINGLORA;
    tegu_value b = rw->map[adapter->inputs[single ? 1 : 2]];
    tegu_value y = columns(rw, find(rw->data, user, v), loc);

    if (single)
        b = tegu_adapted_prefix(g, loc, b, adapter->type->dims[0].offset);
    return y ? linear(g, loc, y, b) : 0;
}

/* y + more, of an adapter of the unit only while it is on. */
static tegu_value add_update(tegu_graph *g, tegu_loc loc, tegu_value y,
                             tegu_value more, uint32_t owner)
{
    tegu_value inputs[] = {y, more, 0};

    if (!owner || !y || !more)
        return tegu_build_binary(g, loc, TEGU_OP_ADD, y, more);
    inputs[2] = tegu_adapted_scale(g, loc, owner);
    return tegu_build(g, loc, TEGU_OP_ADD_IF, 3, inputs, 0, NULL, NULL);
}

static tegu_value keep(tegu_rewriter *rw, tegu_value user)
{
    keeping *k = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, user);
    tegu_value v = node->inputs[1];
    tegu_value base = rw->map[tegu_adapted_base(rw->from, v)], y;
    tegu_value inputs[] = {rw->map[node->inputs[0]], base, 0};
    bool table = node->op == TEGU_OP_EMBED;

    if (node->input_count == 3)
        inputs[2] = rw->map[node->inputs[2]];
    y = tegu_build(rw->into, node->loc, node->op, node->input_count, inputs, 0,
                   NULL, NULL);
    while (tegu_node_is_adapted(tegu_graph_node(rw->from, v))) {
        const tegu_node *adapter = tegu_graph_node(rw->from, v);
        tegu_value more =
            table ? table_update(rw, user, v) : linear_update(rw, user, v);
        y = add_update(rw->into, node->loc, y, more,
                       tegu_graph_adapter(rw->from, adapter->inputs[1]));
        k->flops += 2 * (double)tegu_adapted_rank(rw->from, adapter) *
                    (double)(adapter->type->dims[0].offset +
                             adapter->type->dims[1].offset);
        v = adapter->inputs[0];
    }
    if (table)
        k->tables++;
    else
        k->linears++;
    return y;
}

/* Why an adapter on the way to the base cannot be kept; NULL: it can. */
static const char *obstacle(const tegu_graph *g, tegu_value v,
                            const tegu_node *user, uint32_t i)
{
    bool reads =
        (user->op == TEGU_OP_LINEAR || user->op == TEGU_OP_EMBED) && i == 1;

    if (tegu_node_is_adapted(user) && i == 0)
        return NULL; /* asked of the outermost */
    if (!reads)
        return "is read by an op other than linear and embed";
    for (; tegu_node_is_adapted(tegu_graph_node(g, v));
         v = tegu_graph_node(g, v)->inputs[0])
        if (tegu_graph_node(g, v)->op == TEGU_OP_DORA)
            return "is dora: its row lengths depend on the whole weight, so "
                   "only fold-adapters can take it";
    return NULL;
}

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(rw->from, v);

    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_value in = node->inputs[i];
        const char *why = NULL;
        if (tegu_node_is_adapted(tegu_graph_node(rw->from, in)))
            why = obstacle(rw->from, in, node, i);
        if (why) {
            tegu_error(rw->into->unit->diag, node->loc, TEGU_E_UNSUPPORTED,
                       "an adapted weight cannot be kept apart: it %s", why);
            return 0;
        }
    }
    if ((node->op == TEGU_OP_LINEAR || node->op == TEGU_OP_EMBED) &&
        tegu_node_is_adapted(tegu_graph_node(rw->from, node->inputs[1])))
        return keep(rw, v);
    return rw->map[v] ? rw->map[v] : tegu_rewriter_copy(rw, v);
}

static tegu_graph *keep_graph(tegu_graph *graph, tegu_pass_env *env)
{
    uint32_t count = graph->nodes.count;
    size_t shared = (size_t)count * graph->unit->adapters.count;
    keeping k = {.count = count,
                 .products = TEGU_ARRAY(env->scratch, tegu_value, shared),
                 .ranks = TEGU_ARRAY(env->scratch, int64_t, shared)};
    tegu_graph *g;

    collect(&k, graph, env->scratch);
    g = tegu_graph_rewrite(graph, graph->level, visit, &k);
    if (!g || k.linears + k.tables == 0)
        return g ? graph : NULL;
    tegu_text_printf(env->report,
                     "keep-adapters: %" PRIu32 " linears and %" PRIu32
                     " tables adapted beside the base, %.4g flops per token\n",
                     k.linears, k.tables, k.flops);
    return tegu_graph_rewrite(g, g->level, NULL, NULL);
}

tegu_outcome tegu_pass_keep_adapters(tegu_unit *unit, tegu_pass_env *env)
{
    return tegu_pass_entries(unit, env, keep_graph);
}
