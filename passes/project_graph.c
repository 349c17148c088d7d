/* SPDX-License-Identifier: Apache-2.0 */
/* project_graph.c - a graph with its streams in other bases.
 *
 * Takes an analysed model graph and a basis per site; produces the graph in
 * which the stream at a site is z = x Q.  Norm scales (and layer_norm's
 * offsets) are not applied where they stand but wait as a gain g and a shift
 * b, so that the stream is x = Q z, y = g Q z + b, for what reads it:
 *   writers   W <- Q^T W,  b <- Q^T b     tables  E <- E Q
 *   readers   W <- W diag(g) Q,  bias <- bias + W b
 *   both      along whatever axes of their weights, slice by slice of a stack
 *   sums of streams in other bases: z' = (Q'^T diag(g) Q) z + Q'^T b
 *   norms     rms_norm of z, whose mean keeps the original extent
 * With layer_norm every write is centred first, (I - 11^T/D), after which
 * layer_norm is rms_norm (Ashkboos et al. 2024, SliceGPT, sections 3.1-3.3;
 * papers.md 3.3).  Arguments, state and results keep the original basis.
 */
#include "passes/project.h"

#include <string.h>

typedef struct builder {
    tegu_projection *p;
    const tegu_axis_flow *f;
    const tegu_graph *from;
    tegu_graph *into;
    tegu_value *map;      /* old -> new; a carried value is in its site's
                             basis, its gain and shift pending */
    tegu_arena *arena;    /* of pending gains and factors */
    double **gain;        /* per old value; [extent], NULL: ones */
    double **shift;       /* per old value; [extent], NULL: zeros */
    bool *off_centre;     /* per old value: of a centred stream, but not so */
    tegu_factor *writers; /* per site, data NULL until asked for */
    tegu_factor original; /* the identity */
} builder;

static const tegu_factor no_factor;

/* --- factors --- */

static double *identity(tegu_arena *arena, int64_t n)
{
    double *q = TEGU_ARRAY(arena, double, (size_t)(n * n));
    for (int64_t i = 0; i < n; i++)
        q[i * n + i] = 1;
    return q;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    return (a * 31 + b + 1) * 0x9e3779b97f4a7c15u;
}

static bool is_original(const builder *b, uint32_t site)
{
    return !b->p->bases[site].q;
}

/* Q of a site as a factor, the identity for the original basis. */
static tegu_factor basis_factor(builder *b, uint32_t site)
{
    const tegu_basis *basis = &b->p->bases[site];
    if (!basis->q)
        return b->original;
    return (tegu_factor){basis->q, b->f->extent, basis->width, basis->dim,
                         mix(basis->id, 1)};
}

/* What writes into a site is multiplied by: Q, centred for layer_norm. */
static const tegu_factor *writer(builder *b, uint32_t site)
{
    tegu_factor *w = &b->writers[site];
    if (!site || (!b->f->centred && is_original(b, site)))
        return &no_factor;
    if (w->data)
        return w;
    *w = basis_factor(b, site);
    if (!b->f->centred)
        return w;
    double *q = tegu_arena_copy(b->arena, w->data,
                                (size_t)(w->rows * w->columns) * sizeof *q);
    for (int64_t j = 0; j < w->columns; j++) {
        double mean = 0;
        for (int64_t i = 0; i < w->rows; i++)
            mean += q[i * w->columns + j] / (double)w->rows;
        for (int64_t i = 0; i < w->rows; i++)
            q[i * w->columns + j] -= mean;
    }
    w->data = q;
    w->key = mix(w->key, 2);
    return w;
}

/* y = z (diag(g) Q)^T + b: what reads a carried value multiplies by. */
static tegu_factor reader(builder *b, tegu_value v)
{
    uint32_t site = b->f->site[v];
    const double *gain = b->gain[v];
    if (!gain && is_original(b, site))
        return no_factor;
    tegu_factor r = basis_factor(b, site);
    if (!gain)
        return r;
    double *q = tegu_arena_copy(b->arena, r.data,
                                (size_t)(r.rows * r.columns) * sizeof *q);
    for (int64_t i = 0; i < r.rows; i++)
        for (int64_t j = 0; j < r.columns; j++)
            q[i * r.columns + j] *= gain[i];
    r.data = q;
    r.key = mix(r.key, tegu_numbers_key(gain, r.rows));
    return r;
}

/* --- carried values in a wanted basis --- */

/* to^T (diag(g) Q z + b): carried value v by way of its original basis. */
static tegu_value turn(builder *b, tegu_value v, const tegu_factor *to,
                       const char *name, tegu_loc loc)
{
    tegu_value inputs[3] = {b->map[v], 0, 0};
    tegu_factor from = reader(b, v);
    if (!from.data)
        from = b->original;
    if (!to->data)
        to = &b->original;
    inputs[1] = tegu_project_skip(b->p->weights, b->into, loc, name, to, &from);
    if (b->shift[v])
        inputs[2] = tegu_project_shift(b->p->weights, b->into, loc, name, to,
                                       b->shift[v]);
    return tegu_build(b->into, loc, TEGU_OP_LINEAR, b->shift[v] ? 3 : 2, inputs,
                      0, NULL, NULL);
}

/* Carried value v in the basis of `site` (0: the original, for what takes no
 * part), its gain and shift applied, centred where the site is. */
static tegu_value hold(builder *b, tegu_value v, uint32_t site, tegu_loc loc)
{
    uint32_t have = b->f->site[v];
    bool same = b->p->bases[have].id == b->p->bases[site].id;

    if (b->f->centred && site && (!have || b->off_centre[v]))
        same = false;
    if (same && !b->gain[v] && !b->shift[v])
        return b->map[v];
    return turn(b, v, writer(b, site),
                b->f->sites.data[site ? site : have].name, loc);
}

/* v in its own site's basis with nothing pending, for a norm. */
static tegu_value settled(builder *b, tegu_value v, tegu_loc loc)
{
    return hold(b, v, b->f->site[v], loc);
}

/* The same with its mean, for an op on rows whose result is `result`. */
static tegu_value applied(builder *b, tegu_value v, tegu_value result,
                          tegu_loc loc)
{
    uint32_t site = b->f->site[v];
    tegu_factor to = basis_factor(b, site);

    b->off_centre[result] = b->f->centred;
    return turn(b, v, &to, b->f->sites.data[site].name, loc);
}

static void inherit(builder *b, tegu_value v, tegu_value from)
{
    b->gain[v] = b->gain[from];
    b->shift[v] = b->shift[from];
    b->off_centre[v] = b->off_centre[from];
}

static double *constant(builder *b, tegu_value v)
{
    return tegu_constant_read(b->from, v, b->arena);
}

/* --- ops --- */

/* The node again over other inputs; a type that is not inferred takes the
 * new last dimension. */
static tegu_value rebuild(builder *b, const tegu_node *node,
                          const tegu_value *inputs, const tegu_dim *last)
{
    tegu_type type = *node->type;
    bool given = tegu_op_kind_of(node->op) == TEGU_KIND_LEAF ||
                 node->op == TEGU_OP_RESHAPE || node->op == TEGU_OP_SLICE ||
                 node->op == TEGU_OP_BROADCAST;
    tegu_node_spec spec = tegu_node_spec_of(node, inputs);
    if (last)
        type.dims[type.rank - 1] = *last;
    spec.type = given ? tegu_unit_type(b->into->unit, &type) : NULL;
    return tegu_graph_add(b->into, &spec);
}

/* A constant operand along the axis, in the basis of a site. */
static tegu_value constant_operand(builder *b, tegu_value v,
                                   const tegu_factor *right)
{
    if (!right->data)
        return b->map[v];
    return tegu_project_weight(b->p->weights, b->from, b->into, v, &no_factor,
                               right);
}

static tegu_value build_linear(builder *b, tegu_value v, const tegu_node *node)
{
    const tegu_axis_flow *f = b->f;
    tegu_value x = node->inputs[0], w = node->inputs[1];
    const double *shift = f->carried[x] ? b->shift[x] : NULL;
    tegu_factor right = f->carried[x] ? reader(b, x) : no_factor;
    const tegu_factor *left =
        f->carried[v] ? writer(b, f->site[v]) : &no_factor;
    tegu_value inputs[3] = {b->map[x], b->map[w], 0};
    bool biased = node->input_count > 2 || shift;

    if (right.data || left->data)
        inputs[1] = tegu_project_weight(b->p->weights, b->from, b->into, w,
                                        left, &right);
    if (biased)
        inputs[2] = left->data || shift
                        ? tegu_project_bias(b->p->weights, b->from, b->into,
                                            node, left, shift)
                        : b->map[node->inputs[2]];
    return tegu_build(b->into, node->loc, TEGU_OP_LINEAR, biased ? 3 : 2,
                      inputs, 0, NULL, NULL);
}

/* True where what the weight makes of the shift is a constant over the free
 * axes of the weight, which stand last. */
static bool shifts_apart(const builder *b, const tegu_node *node,
                         const tegu_axis_stack *s)
{
    const tegu_type *w = tegu_graph_type(b->from, s->weight);
    return s->operand == 1 && !s->rows && w->rank > 1 &&
           tegu_node_attr(node, "b")->as.ints.count == 1 &&
           !tegu_node_attr(node, "batch_b")->as.ints.count;
}

/* A contraction by a weight: linear with more axes. */
static tegu_value build_contract(builder *b, tegu_value v,
                                 const tegu_node *node)
{
    const tegu_axis_flow *f = b->f;
    tegu_axis_stack s;
    tegu_axis_find_stack(f, v, &s);
    tegu_value x = node->inputs[1 - s.operand], inputs[2], sum[2];
    const double *shift = s.reads >= 0 ? b->shift[x] : NULL;
    bool apart = shift && shifts_apart(b, node, &s);
    const int axes[2] = {s.writes, s.reads};
    tegu_factor factors[2] = {
        s.writes >= 0 ? *writer(b, f->site[v]) : no_factor, no_factor};

    inputs[1 - s.operand] = b->map[x];
    if (shift && !apart)
        inputs[1 - s.operand] = hold(b, x, 0, node->loc);
    else if (s.reads >= 0)
        factors[1] = reader(b, x);
    inputs[s.operand] = b->map[s.weight];
    if (factors[0].data || factors[1].data)
        inputs[s.operand] = tegu_project_stack(b->p->weights, b->from, b->into,
                                               s.weight, axes, factors, NULL);
    if (s.rows)
        inputs[s.operand] =
            tegu_build_binary(b->into, node->loc, TEGU_OP_GATHER,
                              inputs[s.operand], b->map[s.rows]);
    sum[0] = rebuild(b, node, inputs, NULL);
    if (!apart)
        return sum[0];
    sum[1] = tegu_project_stack(b->p->weights, b->from, b->into, s.weight, axes,
                                factors, shift);
    return tegu_build_binary(b->into, node->loc, TEGU_OP_ADD, sum[0], sum[1]);
}

static tegu_value build_table(builder *b, tegu_value v, const tegu_node *node)
{
    uint32_t table = node->op == TEGU_OP_EMBED;
    tegu_value inputs[2];
    inputs[table] =
        constant_operand(b, node->inputs[table], writer(b, b->f->site[v]));
    inputs[1 - table] = b->map[node->inputs[1 - table]];
    return rebuild(b, node, inputs, NULL);
}

/* Sums, and ops element by element, over operands in the site's basis. */
static tegu_value build_together(builder *b, tegu_value v,
                                 const tegu_node *node)
{
    const tegu_axis_flow *f = b->f;
    uint32_t site = f->site[v];
    const tegu_factor *right = writer(b, site);
    tegu_value *inputs = TEGU_ARRAY(b->arena, tegu_value, node->input_count);
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_value in = node->inputs[i];
        const tegu_type *type = tegu_graph_type(b->from, in);
        if (f->carried[in])
            inputs[i] = hold(b, in, site, node->loc);
        else if (tegu_axis_is_row_factor(type))
            inputs[i] = b->map[in];
        else
            inputs[i] = constant_operand(b, in, right);
    }
    return rebuild(b, node, inputs, NULL);
}

/* Times a row factor: as it is.  Times a vector: into the gain. */
static tegu_value build_scale(builder *b, tegu_value v, const tegu_node *node)
{
    const tegu_axis_flow *f = b->f;
    uint32_t at = node->input_count > 1 && !f->carried[node->inputs[0]];
    tegu_value x = node->inputs[at], by = node->inputs[1 - at];
    if (tegu_axis_is_row_factor(tegu_graph_type(b->from, by))) {
        tegu_value inputs[2] = {b->map[by], b->map[by]};
        inputs[at] = b->shift[x] ? applied(b, x, v, node->loc) : b->map[x];
        if (!b->shift[x])
            inherit(b, v, x);
        return rebuild(b, node, inputs, NULL);
    }
    const double *k = constant(b, by);
    int64_t n = f->extent;
    if (!k)
        return 0;
    inherit(b, v, x);
    b->gain[v] = TEGU_ARRAY(b->arena, double, (size_t)n);
    if (b->shift[x])
        b->shift[v] = TEGU_ARRAY(b->arena, double, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        double factor = node->op == TEGU_OP_DIV ? 1 / k[i] : k[i];
        b->gain[v][i] = (b->gain[x] ? b->gain[x][i] : 1) * factor;
        if (b->shift[x])
            b->shift[v][i] = b->shift[x][i] * factor;
    }
    return b->map[x];
}

static tegu_value ones(builder *b, const tegu_node *node, tegu_dim dim)
{
    tegu_type type = {.dtype = TEGU_F32, .rank = 1, .dims = {dim}};
    tegu_value one = tegu_build_scalar(b->into, node->loc, TEGU_F32, 1);
    return tegu_build(b->into, node->loc, TEGU_OP_BROADCAST, 1, &one, 0, NULL,
                      tegu_unit_type(b->into->unit, &type));
}

static tegu_value build_norm(builder *b, tegu_value v, const tegu_node *node)
{
    const tegu_axis_flow *f = b->f;
    const tegu_basis *basis = &b->p->bases[f->site[v]];
    bool rms = node->op == TEGU_OP_RMS_NORM;
    tegu_value inputs[] = {settled(b, node->inputs[0], node->loc),
                           ones(b, node, basis->dim)};
    tegu_attr eps =
        tegu_attr_of_float(node->op, "eps", tegu_node_float(node, "eps"));
    int64_t extent = rms ? tegu_node_int(node, "extent") : 0;

    b->gain[v] = constant(b, node->inputs[1]);
    if (node->input_count > 2)
        b->shift[v] = constant(b, node->inputs[2]);
    if (!b->gain[v] || (node->input_count > 2 && !b->shift[v]))
        return 0;
    if (!f->site[v] && !rms) /* nothing has centred an argument */
        return tegu_build(b->into, node->loc, node->op, 2, inputs, 1, &eps,
                          NULL);
    if (!extent && basis->width != f->extent)
        extent = f->extent;
    tegu_attr attrs[] = {tegu_attr_of_float(TEGU_OP_RMS_NORM, "eps",
                                            tegu_node_float(node, "eps")),
                         tegu_attr_of_int(TEGU_OP_RMS_NORM, "extent", extent)};
    return tegu_build(b->into, node->loc, TEGU_OP_RMS_NORM, 2, inputs, 2, attrs,
                      NULL);
}

/* Rows moved keep gain and shift; of rows that are added up the shift is
 * added first. */
static tegu_value build_move(builder *b, tegu_value v, const tegu_node *node)
{
    uint32_t at = 0;
    bool mixes = tegu_axis_mixes(b->f, v, &at);
    tegu_value x = node->inputs[at];
    bool sums = (mixes || node->op == TEGU_OP_REDUCE_SUM) && b->shift[x];
    tegu_value inputs[2];
    const tegu_basis *basis = &b->p->bases[b->f->site[v]];
    for (uint32_t i = 0; i < node->input_count; i++)
        inputs[i] = b->map[node->inputs[i]];
    if (sums)
        inputs[at] = applied(b, x, v, node->loc);
    else
        inherit(b, v, x);
    return rebuild(b, node, inputs, basis->q ? &basis->dim : NULL);
}

/* What takes no part, or takes the axis in its original basis. */
static tegu_value build_plain(builder *b, const tegu_node *node)
{
    tegu_value *inputs = TEGU_ARRAY(b->arena, tegu_value, node->input_count);
    bool full = node->op != TEGU_OP_SIZE;
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_value in = node->inputs[i];
        inputs[i] =
            full && b->f->carried[in] ? hold(b, in, 0, node->loc) : b->map[in];
    }
    return rebuild(b, node, inputs, NULL);
}

static tegu_value build_node(builder *b, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(b->from, v);
    switch ((tegu_axis_role)b->f->role[v]) {
    case TEGU_AXIS_NONE:
    case TEGU_AXIS_FULL: return build_plain(b, node);
    case TEGU_AXIS_TABLE: return build_table(b, v, node);
    case TEGU_AXIS_LINEAR:
        return node->op == TEGU_OP_CONTRACT ? build_contract(b, v, node)
                                            : build_linear(b, v, node);
    case TEGU_AXIS_SUM:
    case TEGU_AXIS_EACH: return build_together(b, v, node);
    case TEGU_AXIS_SCALE: return build_scale(b, v, node);
    case TEGU_AXIS_NORM: return build_norm(b, v, node);
    case TEGU_AXIS_MOVE: return build_move(b, v, node);
    }
    return 0;
}

/* --- the graph --- */

static void need(bool *needed, const tegu_graph *g, tegu_value v)
{
    needed[v] = true;
    for (; v; v--)
        for (uint32_t i = 0;
             needed[v] && i < tegu_graph_node(g, v)->input_count; i++)
            needed[tegu_graph_node(g, v)->inputs[i]] = true;
}

static bool *choose_needed(const builder *b, const tegu_value *wanted,
                           uint32_t count)
{
    bool *needed = TEGU_ARRAY(b->arena, bool, b->from->nodes.count);
    for (uint32_t i = 0; i < count; i++)
        need(needed, b->from, wanted[i]);
    for (tegu_value v = 1; !count && v < b->from->nodes.count; v++)
        needed[v] = b->f->uses[v] > 0;
    return needed;
}

/* A value for whoever knows nothing of bases. */
static tegu_value plain(builder *b, tegu_value v)
{
    return b->f->carried[v] ? hold(b, v, 0, tegu_graph_node(b->from, v)->loc)
                            : b->map[v];
}

static bool finish(builder *b, const tegu_value *wanted, uint32_t count,
                   const bool *needed)
{
    const tegu_graph *from = b->from;
    bool ok = true;
    for (uint32_t i = 0; i < count; i++) {
        tegu_value out = plain(b, wanted[i]);
        ok &= out != 0;
        tegu_graph_add_result(b->into, tegu_format(b->arena, "site%u", i), out);
    }
    for (uint32_t i = 0; !count && i < from->results.count; i++) {
        tegu_value out = plain(b, from->results.data[i].value);
        ok &= out != 0;
        tegu_graph_add_result(b->into, from->results.data[i].name, out);
    }
    for (uint32_t i = 0; i < from->updates.count; i++) {
        if (!needed[from->updates.data[i].value])
            continue;
        tegu_value out = plain(b, from->updates.data[i].value);
        ok &= out != 0;
        tegu_graph_add_update(b->into, from->updates.data[i].state, out);
    }
    return ok;
}

tegu_graph *tegu_project_graph(tegu_projection *p, const tegu_graph *from,
                               const tegu_value *wanted, uint32_t wanted_count)
{
    const tegu_axis_flow *f = p->flow;
    uint32_t count = from->nodes.count;
    tegu_arena *arena = p->weights->scratch;
    builder b = {.p = p,
                 .f = f,
                 .from = from,
                 .into = tegu_graph_create(from->unit, from->level),
                 .map = TEGU_ARRAY(arena, tegu_value, count),
                 .arena = arena,
                 .gain = TEGU_ARRAY(arena, double *, count),
                 .shift = TEGU_ARRAY(arena, double *, count),
                 .off_centre = TEGU_ARRAY(arena, bool, count),
                 .writers = TEGU_ARRAY(arena, tegu_factor, f->sites.count)};

    b.original = (tegu_factor){identity(arena, f->extent), f->extent, f->extent,
                               p->bases[0].dim, 1};
    bool *needed = choose_needed(&b, wanted, wanted_count);
    for (tegu_value v = 1; v < count; v++) {
        if (!needed[v])
            continue;
        b.map[v] = build_node(&b, v);
        if (!b.map[v])
            return NULL;
    }
    if (!finish(&b, wanted, wanted_count, needed))
        return NULL;
    /* Again, without the weights that nothing needs any more. */
    return tegu_graph_rewrite(b.into, from->level, NULL, NULL);
}
