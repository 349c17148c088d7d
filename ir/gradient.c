/* SPDX-License-Identifier: Apache-2.0 */
/* gradient.c - gradient rules of linear and of adapted weights.
 *
 * With rows X [n, in], dY [n, out] and the scale s (Hu et al. 2021; SingLoRA,
 * arXiv 2507.05566, by the product rule):
 *   linear    dX = dY W,  dW = dY^T X,  db = the rows of dY summed
 *   lora      dw = dW',   da = s b^T dW',   db = s dW' a^T
 *   singlora  dw = dW',   dA[:out] += s dW' A[:in],  dA[:in] += s dW'^T A[:out]
 * where W' is the adapted weight.  Both parts of dA fall into one matrix and
 * overlap in their first rows.  A linear over an adapted weight is cheaper as
 * a whole, since dW' = dY^T X need not be made:
 *   T = s dY b,  U = X a^T:   da = T^T X,  db = s dY^T U,  dX = dY w + T a
 */
#include "ir/gradient.h"
#include "ir/unit.h"

/* What a rule works with. */
typedef struct site {
    tegu_graph *g;
    tegu_node node; /* a copy: adding nodes moves the graph's */
    tegu_loc loc;
    tegu_value dv;
} site;

typedef bool (*rule)(const site *s, const bool *wanted, tegu_value *out);

/* --- products --- */

static tegu_value contract(const site *s, tegu_value x, tegu_value y,
                           const int64_t *x_axes, const int64_t *y_axes,
                           uint32_t count)
{
    tegu_unit *unit = s->g->unit;
    tegu_value inputs[] = {x, y};
    tegu_attr attrs[] = {
        tegu_attr_of_ints(unit, TEGU_OP_CONTRACT, "a", x_axes, count),
        tegu_attr_of_ints(unit, TEGU_OP_CONTRACT, "b", y_axes, count)};
    if (!x || !y)
        return 0;
    return tegu_build(s->g, s->loc, TEGU_OP_CONTRACT, 2, inputs, 2, attrs,
                      NULL);
}

/* The last axis of x against one of m's. */
static tegu_value apply(const site *s, tegu_value x, tegu_value m, int64_t axis)
{
    if (!x || !m)
        return 0;
    int64_t last = (int64_t)tegu_graph_type(s->g, x)->rank - 1;
    return contract(s, x, m, &last, &axis, 1);
}

/* x^T y over all axes but the last. */
static tegu_value outer(const site *s, tegu_value x, tegu_value y)
{
    int64_t axes[TEGU_MAX_RANK];
    if (!x || !y)
        return 0;
    uint32_t count = tegu_graph_type(s->g, x)->rank - 1;
    for (uint32_t i = 0; i < count; i++)
        axes[i] = i;
    return contract(s, x, y, axes, axes, count);
}

static tegu_value scaled(const site *s, tegu_value x, double scale)
{
    if (!x)
        return 0;
    return tegu_build_binary(s->g, s->loc, TEGU_OP_MUL, x,
                             tegu_build_scalar(s->g, s->loc, TEGU_F32, scale));
}

static tegu_value sum(const site *s, tegu_value x, tegu_value y)
{
    return x && y ? tegu_build_binary(s->g, s->loc, TEGU_OP_ADD, x, y) : 0;
}

/* The first rows of a matrix. */
static tegu_value prefix(const site *s, tegu_value a, int64_t rows)
{
    tegu_type type = *tegu_graph_type(s->g, a);
    const int64_t start[] = {0, 0}, step[] = {1, 1};
    tegu_unit *unit = s->g->unit;
    if (type.dims[0].offset == rows)
        return a;
    type.dims[0] = tegu_dim_static(rows);
    tegu_attr attrs[] = {
        tegu_attr_of_ints(unit, TEGU_OP_SLICE, "start", start, 2),
        tegu_attr_of_ints(unit, TEGU_OP_SLICE, "step", step, 2)};
    return tegu_build(s->g, s->loc, TEGU_OP_SLICE, 1, &a, 2, attrs,
                      tegu_unit_type(unit, &type));
}

/* Zeros below, so that the matrix has `rows` rows. */
static tegu_value padded(const site *s, tegu_value m, int64_t rows)
{
    if (!m || tegu_graph_type(s->g, m)->dims[0].offset == rows)
        return m;
    const int64_t low[] = {0, 0};
    const int64_t high[] = {rows - tegu_graph_type(s->g, m)->dims[0].offset, 0};
    tegu_unit *unit = s->g->unit;
    tegu_attr attrs[] = {tegu_attr_of_ints(unit, TEGU_OP_PAD, "low", low, 2),
                         tegu_attr_of_ints(unit, TEGU_OP_PAD, "high", high, 2)};
    return tegu_build(s->g, s->loc, TEGU_OP_PAD, 1, &m, 2, attrs, NULL);
}

/* --- rules --- */

static tegu_value sum_rows(const site *s)
{
    int64_t axes[TEGU_MAX_RANK];
    uint32_t count = tegu_graph_type(s->g, s->dv)->rank - 1;
    for (uint32_t i = 0; i < count; i++)
        axes[i] = i;
    if (count == 0)
        return s->dv;
    tegu_attr attr =
        tegu_attr_of_ints(s->g->unit, TEGU_OP_REDUCE_SUM, "axes", axes, count);
    return tegu_build(s->g, s->loc, TEGU_OP_REDUCE_SUM, 1, &s->dv, 1, &attr,
                      NULL);
}

static bool gradient_LINEAR(const site *s, const bool *wanted, tegu_value *out)
{
    const tegu_value *in = s->node.inputs;
    bool ok = true;
    if (wanted[0])
        ok = (out[0] = apply(s, s->dv, in[1], 0)) && ok;
    if (wanted[1])
        ok = (out[1] = outer(s, s->dv, in[0])) && ok;
    if (s->node.input_count == 3 && wanted[2])
        ok = (out[2] = sum_rows(s)) && ok;
    return ok;
}

static bool gradient_LORA(const site *s, const bool *wanted, tegu_value *out)
{
    const tegu_value *in = s->node.inputs;
    double scale = tegu_node_float(&s->node, "scale");
    const int64_t first = 0, second = 1;
    bool ok = true;
    if (wanted[0])
        out[0] = s->dv;
    if (wanted[1])
        ok = (out[1] = scaled(s, contract(s, in[2], s->dv, &first, &first, 1),
                              scale)) &&
             ok;
    if (wanted[2])
        ok = (out[2] = scaled(s, contract(s, s->dv, in[1], &second, &second, 1),
                              scale)) &&
             ok;
    return ok;
}

static bool gradient_SINGLORA(const site *s, const bool *wanted,
                              tegu_value *out)
{
    tegu_value a = s->node.inputs[1];
    int64_t rows = s->node.type->dims[0].offset;
    int64_t columns = s->node.type->dims[1].offset;
    int64_t longer = rows > columns ? rows : columns;
    const int64_t first = 0, second = 1;
    if (wanted[0])
        out[0] = s->dv;
    if (!wanted[1])
        return true;
    tegu_value above =
        contract(s, s->dv, prefix(s, a, columns), &second, &first, 1);
    tegu_value beside =
        contract(s, s->dv, prefix(s, a, rows), &first, &first, 1);
    out[1] =
        scaled(s, sum(s, padded(s, above, longer), padded(s, beside, longer)),
               tegu_node_float(&s->node, "scale"));
    return out[1] != 0;
}

static const rule rules[TEGU_OP_COUNT] = {
#define TEGU_GRADIENT(op) [TEGU_OP_##op] = gradient_##op,
#include "ir/ops.def"
};

/* --- the interface --- */

static site site_of(tegu_graph *g, tegu_value v, tegu_value dv)
{
    const tegu_node *node = tegu_graph_node(g, v);
    return (site){.g = g, .node = *node, .loc = node->loc, .dv = dv};
}

bool tegu_gradient_is_known(tegu_op op)
{
    return rules[op] != NULL;
}

bool tegu_gradient(tegu_graph *g, tegu_value v, tegu_value dv,
                   const bool *wanted, tegu_value *gradients)
{
    site s = site_of(g, v, dv);
    for (uint32_t i = 0; i < s.node.input_count; i++)
        gradients[i] = 0;
    if (!tegu_gradient_is_known(s.node.op))
        return tegu_error(g->unit->diag, s.loc, TEGU_E_UNSUPPORTED,
                          "'%s' has no gradient rule",
                          tegu_op_get(s.node.op)->text);
    return rules[s.node.op](&s, wanted, gradients);
}

bool tegu_gradient_adapted(tegu_graph *g, tegu_value linear, tegu_value dy,
                           tegu_adapter_gradient *gradient)
{
    site s = site_of(g, linear, dy);
    *gradient = (tegu_adapter_gradient){0};
    if (s.node.op != TEGU_OP_LINEAR)
        return tegu_error(g->unit->diag, s.loc, TEGU_E_UNSUPPORTED,
                          "'%s' is no linear over an adapted weight",
                          tegu_op_get(s.node.op)->text);
    tegu_node adapter = *tegu_graph_node(g, s.node.inputs[1]);
    bool single = adapter.op == TEGU_OP_SINGLORA;
    if (!single && adapter.op != TEGU_OP_LORA)
        return tegu_error(g->unit->diag, s.loc, TEGU_E_UNSUPPORTED,
                          "the weight of this linear is not lora or singlora");
    double scale = tegu_node_float(&adapter, "scale");
    tegu_value x = s.node.inputs[0], w = adapter.inputs[0];
    tegu_value a = adapter.inputs[1], in = a;
    tegu_value out = single ? a : adapter.inputs[2];
    int64_t longer = tegu_graph_type(g, a)->dims[0].offset;
    if (single) {
        in = prefix(&s, a, adapter.type->dims[1].offset);
        out = prefix(&s, a, adapter.type->dims[0].offset);
    }
    tegu_value u = apply(&s, x, in, single ? 0 : 1);
    tegu_value t = scaled(&s, apply(&s, dy, out, 0), scale);
    tegu_value d_out = scaled(&s, outer(&s, dy, u), scale); /* [out, r] */
    tegu_value d_in = single ? outer(&s, x, t) : outer(&s, t, x);
    gradient->x =
        sum(&s, apply(&s, dy, w, 0), apply(&s, t, in, single ? 1 : 0));
    gradient->a =
        single ? sum(&s, padded(&s, d_out, longer), padded(&s, d_in, longer))
               : d_in;
    gradient->b = single ? 0 : d_out;
    return gradient->x && gradient->a && (single || gradient->b);
}
