/* SPDX-License-Identifier: Apache-2.0 */
/* infer_composite.c - types of composite ops and of kernels.
 *
 * Rules of infer.h.  What a composite means is frontend/prelude.tegu's; here
 * stands what its operands must be for that meaning to exist.
 */
#include "ir/infer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static bool want_vector(const tegu_inference *c, uint32_t i, tegu_dim extent)
{
    const tegu_type *type = tegu_operand(c, i);
    if (!tegu_want_floats(c, i))
        return false;
    if (type->rank == 1 && tegu_dim_equal(type->dims[0], extent))
        return true;
    return tegu_refuse(c, TEGU_E_SHAPE,
                       "got %s and %s as operand %u; it must be f32[%s]",
                       tegu_shown(c, tegu_operand(c, 0)), tegu_shown(c, type),
                       i + 1, tegu_extent(c, extent));
}

static bool want_axis(const tegu_inference *c)
{
    const tegu_type *x = tegu_operand(c, 0);
    return x->rank > 0 ||
           tegu_refuse(c, TEGU_E_SHAPE, "got %s; it works along the last axis",
                       tegu_shown(c, x));
}

bool tegu_shape_LINEAR(tegu_inference *c)
{
    const tegu_type *x = tegu_operand(c, 0), *w = tegu_operand(c, 1);
    if (!tegu_want_floats(c, 0) || !tegu_want_floats(c, 1) || !want_axis(c) ||
        !tegu_want_rank(c, 1, 2, "a matrix [out, in]") ||
        !tegu_want_same(c, 0, x->rank - 1, 1, 1, "contracted extents"))
        return false;
    if (c->spec->input_count == 3 && !want_vector(c, 2, w->dims[0]))
        return false;
    c->out = *x;
    c->out.dims[x->rank - 1] = w->dims[0];
    return true;
}

static bool norm_extent(const tegu_inference *c)
{
    int64_t extent = 0;
    if (c->spec->op == TEGU_OP_RMS_NORM)
        extent = tegu_inference_attr(c, "extent")->as.i;
    return extent >= 0 ||
           tegu_refuse(c, TEGU_E_ATTRIBUTE,
                       "got extent=%" PRId64 "; it must not be negative",
                       extent);
}

bool tegu_shape_NORM(tegu_inference *c)
{
    const tegu_type *x = tegu_operand(c, 0);
    double eps = tegu_inference_attr(c, "eps")->as.f;
    if (!tegu_want_floats(c, 0) || !want_axis(c))
        return false;
    for (uint32_t i = 1; i < c->spec->input_count; i++)
        if (!want_vector(c, i, x->dims[x->rank - 1]))
            return false;
    c->out = *x;
    if (!norm_extent(c))
        return false;
    return (eps >= 0 && eps <= 1) ||
           tegu_refuse(c, TEGU_E_ATTRIBUTE, "got eps=%g; it must lie in 0 to 1",
                       eps);
}

/* --- adapted weights --- */

static bool want_scale(const tegu_inference *c)
{
    double scale = tegu_inference_attr(c, "scale")->as.f;
    return isfinite(scale) ||
           tegu_refuse(c, TEGU_E_ATTRIBUTE, "got scale=%g; it must be finite",
                       scale);
}

bool tegu_shape_LORA(tegu_inference *c)
{
    if (!tegu_want_rank(c, 0, 2, "a matrix [out, in]") ||
        !tegu_want_rank(c, 1, 2, "a matrix [r, in]") ||
        !tegu_want_rank(c, 2, 2, "a matrix [out, r]") ||
        !tegu_want_same(c, 0, 1, 1, 1, "input extents") ||
        !tegu_want_same(c, 0, 0, 2, 0, "output extents") ||
        !tegu_want_same(c, 1, 0, 2, 1, "ranks") || !want_scale(c))
        return false;
    c->out = *tegu_operand(c, 0);
    return true;
}

bool tegu_shape_SINGLORA(tegu_inference *c)
{
    const tegu_type *w = tegu_operand(c, 0);
    if (!tegu_want_rank(c, 0, 2, "a matrix [out, in]") ||
        !tegu_want_rank(c, 1, 2, "a matrix [max(out, in), r]") ||
        !want_scale(c))
        return false;
    if (!tegu_dim_is_static(w->dims[0]) || !tegu_dim_is_static(w->dims[1]))
        return tegu_refuse(c, TEGU_E_SHAPE,
                           "got %s; its extents must be static",
                           tegu_shown(c, w));
    uint32_t longer = w->dims[0].offset < w->dims[1].offset;
    c->out = *w;
    return tegu_want_same(c, 0, longer, 1, 0, "larger extents");
}

bool tegu_shape_DORA(tegu_inference *c)
{
    return tegu_shape_LORA(c) && want_vector(c, 3, tegu_operand(c, 0)->dims[0]);
}

/* --- rope --- */

static bool rope_numbers(const tegu_inference *c)
{
    double theta = tegu_inference_attr(c, "theta")->as.f;
    double factor = tegu_inference_attr(c, "factor")->as.f;
    double low = tegu_inference_attr(c, "low")->as.f;
    double high = tegu_inference_attr(c, "high")->as.f;
    int64_t original = tegu_inference_attr(c, "original")->as.i;
    if (!(theta > 0 && theta < 1e30) || !(factor > 0 && factor < 1e30))
        return tegu_refuse(c, TEGU_E_ATTRIBUTE,
                           "got theta=%g, factor=%g; both must be positive",
                           theta, factor);
    if (low == 0)
        return (high == 0 && original == 0) ||
               tegu_refuse(c, TEGU_E_ATTRIBUTE,
                           "got 'high' or 'original' without 'low'");
    return (low > 0 && high > low && high < 1e30 && original > 0) ||
           tegu_refuse(c, TEGU_E_ATTRIBUTE,
                       "got low=%g, high=%g, original=%" PRId64
                       "; llama3 scaling needs 0 < low < high and a positive "
                       "original",
                       low, high, original);
}

bool tegu_shape_ROPE(tegu_inference *c)
{
    const tegu_type *x = tegu_operand(c, 0);
    const char *style = tegu_inference_attr(c, "style")->as.text;
    int64_t dims = tegu_inference_attr(c, "dims")->as.i;
    if (!tegu_want_floats(c, 0) ||
        !tegu_want_rank(c, 0, 3, "[tokens, heads, head_dim]") ||
        !tegu_want_position(c, 1) || !rope_numbers(c))
        return false;
    if (strcmp(style, "half") != 0 && strcmp(style, "interleaved") != 0)
        return tegu_refuse(
            c, TEGU_E_ATTRIBUTE,
            "got style \"%s\"; it is \"half\" or \"interleaved\"",
            tegu_escaped(c->unit->arena, style, strlen(style)));
    tegu_dim head = x->dims[2];
    if (!tegu_dim_is_static(head) || head.offset % 2 || head.offset < 2)
        return tegu_refuse(c, TEGU_E_SHAPE,
                           "got %s; the last extent must be even",
                           tegu_shown(c, x));
    c->out = *x;
    return (dims >= 0 && dims <= head.offset && dims % 2 == 0) ||
           tegu_refuse(c, TEGU_E_ATTRIBUTE,
                       "got dims=%" PRId64
                       "; it must be even and at most %" PRId64,
                       dims, head.offset);
}

/* --- attention --- */

static bool attention_shapes(const tegu_inference *c)
{
    const char *keys = "[keys, kv_heads, head_dim]";
    if (!tegu_want_rank(c, 0, 3, "[tokens, heads, head_dim]") ||
        !tegu_want_rank(c, 1, 3, keys) || !tegu_want_rank(c, 2, 3, keys))
        return false;
    if (!tegu_want_same(c, 1, 0, 2, 0, "numbers of keys") ||
        !tegu_want_same(c, 1, 1, 2, 1, "numbers of heads") ||
        !tegu_want_same(c, 0, 2, 1, 2, "head dimensions") ||
        !tegu_want_same(c, 0, 2, 2, 2, "head dimensions"))
        return false;
    tegu_dim heads = tegu_operand(c, 0)->dims[1];
    tegu_dim shared = tegu_operand(c, 1)->dims[1];
    bool whole = tegu_dim_is_static(heads) && tegu_dim_is_static(shared) &&
                 shared.offset > 0 && heads.offset % shared.offset == 0;
    tegu_dim head = tegu_operand(c, 0)->dims[2];
    if (!tegu_dim_is_static(head) || head.offset < 1)
        return tegu_refuse(c, TEGU_E_SHAPE, "got head dimension %s",
                           tegu_extent(c, head));
    return whole ||
           tegu_refuse(c, TEGU_E_SHAPE,
                       "got %s heads and %s key heads; the first must be a "
                       "multiple of the second",
                       tegu_extent(c, heads), tegu_extent(c, shared));
}

bool tegu_shape_ATTENTION(tegu_inference *c)
{
    double scale = tegu_inference_attr(c, "scale")->as.f;
    int64_t window = tegu_inference_attr(c, "window")->as.i;
    for (uint32_t i = 0; i < 3; i++)
        if (!tegu_want_floats(c, i))
            return false;
    if (!attention_shapes(c) || !tegu_want_position(c, 3))
        return false;
    if (!(scale >= 0 && scale < 1e30))
        return tegu_refuse(c, TEGU_E_ATTRIBUTE,
                           "got scale=%g; it must not be negative", scale);
    c->out = *tegu_operand(c, 0);
    return window >= 0 ||
           tegu_refuse(c, TEGU_E_ATTRIBUTE,
                       "got window=%" PRId64 "; it must not be negative",
                       window);
}

/* --- kernels --- */

static bool known_family(const char *family)
{
    static const char *const families[] = {"contract", "attention", "loop"};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(family, families[i]) == 0)
            return true;
    return false;
}

/* Each arg of the body is one of the kernel's operands, of its type. */
static bool check_args(const tegu_inference *c, const tegu_graph *body)
{
    for (tegu_value v = 1; v < body->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(body, v);
        if (node->op != TEGU_OP_ARG)
            continue;
        int64_t index = tegu_node_int(node, "index");
        if (index >= (int64_t)c->spec->input_count)
            return tegu_refuse(c, TEGU_E_OPERANDS,
                               "has %u operands; its body uses arg %" PRId64,
                               c->spec->input_count, index);
        const tegu_type *given = tegu_operand(c, (uint32_t)index);
        if (!tegu_type_equal(given, node->type))
            return tegu_refuse(
                c, TEGU_E_SHAPE,
                "got %s as operand %" PRId64 "; its body takes %s",
                tegu_shown(c, given), index + 1, tegu_shown(c, node->type));
    }
    return true;
}

bool tegu_shape_BODY(tegu_inference *c)
{
    const tegu_graph *body = c->spec->body;
    const char *family = tegu_inference_attr(c, "family")->as.text;
    if (!known_family(family))
        return tegu_refuse(
            c, TEGU_E_ATTRIBUTE,
            "got family \"%s\"; it is \"contract\", \"attention\" or \"loop\"",
            tegu_escaped(c->unit->arena, family, strlen(family)));
    if (tegu_inference_attr(c, "slot")->as.i < -1)
        return tegu_refuse(c, TEGU_E_ATTRIBUTE, "has a negative slot");
    if (!body || body->results.count != 1 || body->updates.count ||
        body->unit != c->unit)
        return tegu_refuse(c, TEGU_E_OPERANDS,
                           "needs a body with one result and no updates");
    if (!check_args(c, body))
        return false;
    c->out = *tegu_graph_type(body, body->results.data[0].value);
    return true;
}
