/* SPDX-License-Identifier: Apache-2.0 */
/* hidden.c - one hidden layer: reading its map and statistics, the order in
 * which its elements may go, and cutting its parameters.
 *
 * Takes a region of the unit (region.h) and statistics of what its reader
 * reads; of stacked experts each is a hidden layer, and all are cut at once.
 * Produces new data for the region's parameters, each under its old name, with
 * the cut dimension on an axis of its own (hidden_482), which later passes find
 * again by the first one's name.
 */
#include "passes/intermediate.h"
#include "passes/linalg.h"
#include "passes/obs.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* What regularises the inverse of the Gram matrix, of its mean diagonal. */
static const double damp = 1e-4;

void tegu_hidden_requests(const tegu_region *region,
                          tegu_site_request *requests)
{
    for (int64_t e = 0; e < region->experts; e++)
        requests[e] = (tegu_site_request){.value = tegu_stack_input(region, e),
                                          .gram = true};
}

tegu_site_request tegu_hidden_request(const tegu_region *region)
{
    assert(region->experts == 1);
    return (tegu_site_request){.value = region->input, .gram = true};
}

/* --- stacks: tensors as [experts, rest, width] --- */

typedef struct stack {
    int64_t experts, width, rest; /* extents */
    int64_t expert_stride, width_stride;
} stack;

static stack stack_of(const tegu_type *type, tegu_region_axes axes)
{
    stack s = {.experts = 1,
               .width = type->dims[axes.width].offset,
               .expert_stride = 1,
               .width_stride = 1};

    for (uint32_t k = axes.width + 1; k < type->rank; k++)
        s.width_stride *= type->dims[k].offset;
    for (uint32_t k = type->rank; axes.experts >= 0 && k-- > 0;) {
        if (k == (uint32_t)axes.experts) {
            s.experts = type->dims[k].offset;
            break;
        }
        s.expert_stride *= type->dims[k].offset;
    }
    s.rest = tegu_type_elements(type) / (s.experts * s.width);
    return s;
}

/* Where element n of the tensor is in the stack; elements of one expert and
 * one place of the width come in order: `seen` counts them. */
static int64_t stack_place(const stack *s, int64_t n, int64_t *seen)
{
    int64_t i = n / s->width_stride % s->width;
    int64_t e = n / s->expert_stride % s->experts;
    int64_t r = seen[e * s->width + i]++;

    return (e * s->rest + r) * s->width + i;
}

/* The constant as a stack of its own. */
static double *read_stack(const tegu_graph *g, tegu_value v,
                          tegu_region_axes axes, tegu_arena *arena)
{
    const tegu_type *type = tegu_graph_type(g, v);
    int64_t count = tegu_type_elements(type);
    double *to = TEGU_ARRAY(arena, double, (size_t)count);
    tegu_mark mark = tegu_arena_mark(arena);
    stack s = stack_of(type, axes);
    const double *from = tegu_constant_read(g, v, arena);
    int64_t *seen = TEGU_ARRAY(arena, int64_t, (size_t)(s.experts * s.width));

    for (int64_t n = 0; from && n < count; n++)
        to[stack_place(&s, n, seen)] = from[n];
    tegu_arena_release(arena, mark);
    return from ? to : NULL;
}

static void store_stack(tegu_unit *unit, const char *name,
                        const tegu_type *type, tegu_region_axes axes,
                        const double *from, tegu_arena *scratch)
{
    int64_t count = tegu_type_elements(type);
    double *to = TEGU_ARRAY(scratch, double, (size_t)count);
    stack s = stack_of(type, axes);
    int64_t *seen = TEGU_ARRAY(scratch, int64_t, (size_t)(s.experts * s.width));

    for (int64_t n = 0; n < count; n++)
        to[n] = from[stack_place(&s, n, seen)];
    tegu_param_store(unit, name, type, to);
}

/* --- opening --- */

/* gram with the constant input: sums, and the number of rows. */
static void widen_gram(tegu_hidden *h)
{
    int64_t n = h->inputs;

    for (int64_t i = 0; i < h->width; i++) {
        memcpy(h->gram + i * n, h->stats->gram + i * h->width,
               (size_t)h->width * sizeof *h->gram);
        if (n > h->width)
            h->gram[i * n + n - 1] = h->gram[(n - 1) * n + i] =
                h->stats->sum[i];
    }
    if (n > h->width)
        h->gram[n * n - 1] = (double)h->stats->rows;
}

bool tegu_hidden_open(const tegu_region *region, const tegu_site_stats *stats,
                      tegu_arena *arena, tegu_hidden *hidden)
{
    const tegu_graph *g = region->graph;
    const tegu_node *reader = tegu_graph_node(g, region->reader);
    const double *weight = read_stack(g, region->map, region->axes, arena);
    const double *bias = NULL;
    int64_t out = tegu_type_elements(tegu_graph_type(g, region->map)) /
                  (region->width * region->experts);

    if (region->bias)
        bias = tegu_constant_read(g, reader->inputs[2], arena);
    if (!weight || (region->bias && !bias))
        return false;
    for (int64_t e = 0; e < region->experts; e++) {
        tegu_hidden h = {.region = region,
                         .out = out,
                         .width = region->width,
                         .inputs = region->width + (bias != NULL),
                         .stats = &stats[e]};
        h.map = tegu_arena_array(arena, (size_t)out,
                                 (size_t)h.inputs * sizeof(double));
        for (int64_t r = 0; r < out; r++) {
            memcpy(h.map + r * h.inputs, weight + (e * out + r) * h.width,
                   (size_t)h.width * sizeof *weight);
            if (bias)
                h.map[r * h.inputs + h.width] = bias[r];
        }
        h.gram = tegu_arena_array(arena, (size_t)h.inputs,
                                  (size_t)h.inputs * sizeof(double));
        widen_gram(&h);
        hidden[e] = h;
    }
    return true;
}

static bool refuse(const tegu_hidden *h)
{
    return tegu_error(h->region->graph->unit->diag, h->region->loc,
                      TEGU_E_UNSUPPORTED,
                      "what '%s' reads over the calibration data has no finite "
                      "statistics",
                      h->region->weight);
}

bool tegu_hidden_order(const tegu_hidden *h, tegu_arena *scratch,
                       int64_t *order, double *loss)
{
    int64_t n = h->inputs;
    tegu_mark mark = tegu_arena_mark(scratch);
    double *work =
        tegu_arena_array(scratch, (size_t)h->out, (size_t)n * sizeof(double));
    double all = tegu_energy(h->out, n, h->map, h->gram, work);

    tegu_arena_release(scratch, mark);
    if (!isfinite(all) || !tegu_obs_order(h->out, n, h->map, h->gram, damp,
                                          n - h->width, scratch, order, loss))
        return refuse(h);
    for (int64_t i = 0; i < h->width; i++)
        loss[i] = all > 0 ? loss[i] / all : 0;
    return true;
}

int64_t tegu_hidden_kept(const tegu_hidden *h, const int64_t *order,
                         int64_t count, int64_t *kept)
{
    int64_t n = 0;

    for (int64_t i = 0; i < h->inputs; i++) {
        bool gone = false;
        for (int64_t k = 0; k < h->width - count; k++)
            gone |= order[k] == i;
        if (!gone)
            kept[n++] = i;
    }
    return n;
}

bool tegu_hidden_repair(const tegu_hidden *h, const int64_t *kept,
                        int64_t count, tegu_arena *scratch, double *cut)
{
    return tegu_least_squares(h->out, h->inputs, h->map, h->gram, damp, kept,
                              count, scratch, cut) ||
           refuse(h);
}

/* --- cutting --- */

/* How to cut: of each expert, one behind another, the elements kept
 * [count], the reader's map over them [out, count] and the mixture of the
 * writers' [width, dim] (NULL: elements are chosen). */
typedef struct cutting {
    tegu_unit *unit;
    const tegu_hidden *hidden;
    tegu_dim dim;
    const int64_t *kept;
    int64_t count;
    const double *map, *mix;
    tegu_arena *scratch;
} cutting;

/* Rows of one expert [rest, width], cut or mixed, into [rest, dim]. */
static void cut_rows(const cutting *c, int64_t expert, int64_t rest,
                     const double *from, double *to)
{
    int64_t width = c->hidden->width, left = c->dim.offset;

    for (int64_t r = 0; r < rest; r++, from += width, to += left)
        for (int64_t k = 0; k < left; k++) {
            if (!c->mix) {
                to[k] = from[c->kept[expert * c->count + k]];
                continue;
            }
            to[k] = 0;
            for (int64_t i = 0; i < width; i++)
                to[k] += c->mix[(expert * width + i) * left + k] * from[i];
        }
}

static bool cut_part(const cutting *c, const tegu_region_part *part)
{
    const tegu_graph *g = c->hidden->region->graph;
    tegu_type type = *tegu_graph_type(g, part->value);
    stack s = stack_of(&type, part->axes);
    const double *from = read_stack(g, part->value, part->axes, c->scratch);
    double *to = tegu_arena_array(c->scratch, (size_t)(s.experts * s.rest),
                                  (size_t)c->dim.offset * sizeof(double));

    if (!from)
        return false;
    for (int64_t e = 0; e < s.experts; e++)
        cut_rows(c, e, s.rest, from + e * s.rest * s.width,
                 to + e * s.rest * c->dim.offset);
    type.dims[part->axes.width] = c->dim;
    store_stack(c->unit, part->name, &type, part->axes, to, c->scratch);
    return true;
}

/* The reader's new weight and bias out of the maps. */
static void cut_reader(const cutting *c)
{
    const tegu_region *region = c->hidden->region;
    const tegu_graph *g = region->graph;
    int64_t rows = region->experts * c->hidden->out, left = c->dim.offset;
    tegu_type type = *tegu_graph_type(g, region->map);
    double *weight = tegu_arena_array(c->scratch, (size_t)rows,
                                      (size_t)left * sizeof(double));
    double *bias = TEGU_ARRAY(c->scratch, double, (size_t)rows);

    for (int64_t r = 0; r < rows; r++) {
        memcpy(weight + r * left, c->map + r * c->count,
               (size_t)left * sizeof *weight);
        bias[r] = c->map[r * c->count + c->count - 1];
    }
    type.dims[region->axes.width] = c->dim;
    store_stack(c->unit, region->weight, &type, region->axes, weight,
                c->scratch);
    if (region->bias)
        tegu_param_store(
            c->unit, region->bias,
            tegu_graph_type(g, tegu_graph_node(g, region->reader)->inputs[2]),
            bias);
}

bool tegu_hidden_cut(tegu_unit *unit, const tegu_hidden *h, tegu_dim dim,
                     const int64_t *kept, int64_t count, const double *cut,
                     const double *mix, tegu_arena *scratch)
{
    tegu_mark mark = tegu_arena_mark(scratch);
    cutting c = {unit, h, dim, kept, count, cut, mix, scratch};
    bool ok = true;

    for (uint32_t i = 0; ok && i < h->region->parts.count; i++)
        ok = cut_part(&c, &h->region->parts.data[i]);
    if (ok)
        cut_reader(&c);
    tegu_arena_release(scratch, mark);
    return ok;
}

tegu_replacement *tegu_hidden_replaced(const tegu_hidden *h, tegu_arena *arena,
                                       uint32_t *count)
{
    uint32_t parts = h->region->parts.count;
    tegu_replacement *list = TEGU_ARRAY(arena, tegu_replacement, parts + 2);

    for (uint32_t i = 0; i < parts; i++)
        list[i].name = h->region->parts.data[i].name;
    list[parts].name = h->region->weight;
    *count = parts + 1;
    if (h->region->bias)
        list[(*count)++].name = h->region->bias;
    return list;
}

int64_t tegu_kept_width(int64_t width, double keep, int64_t round)
{
    int64_t kept = llround((double)width * keep / (double)round) * round;

    if (kept > width)
        return width;
    return kept > 0 ? kept : (round < width ? round : width);
}
