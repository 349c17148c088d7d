/* SPDX-License-Identifier: Apache-2.0 */
/* hidden.c - one hidden layer: reading its map and statistics, the order in
 * which its elements may go, and cutting its parameters.
 *
 * Takes a region of the unit (region.h) and statistics of what its reader
 * reads.  Produces new data for the region's parameters, each under its old
 * name, with the cut dimension on an axis of its own (hidden_482), which later
 * passes find again by the first one's name.
 */
#include "passes/intermediate.h"
#include "passes/linalg.h"
#include "passes/obs.h"

#include <math.h>
#include <string.h>

/* What regularises the inverse of the Gram matrix, of its mean diagonal. */
static const double damp = 1e-4;

tegu_site_request tegu_hidden_request(const tegu_region *region)
{
    const tegu_node *reader = tegu_graph_node(region->graph, region->reader);

    return (tegu_site_request){.value = reader->inputs[0], .gram = true};
}

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
    const tegu_node *reader = tegu_graph_node(region->graph, region->reader);
    const double *weight =
        tegu_constant_read(region->graph, reader->inputs[1], arena);
    const double *bias = NULL;
    tegu_hidden h = {.region = region,
                     .width = region->width,
                     .inputs = region->width + (region->bias != NULL),
                     .stats = stats};

    if (region->bias)
        bias = tegu_constant_read(region->graph, reader->inputs[2], arena);
    if (!weight || (region->bias && !bias))
        return false;
    h.out = tegu_graph_type(region->graph, reader->inputs[1])->dims[0].offset;
    h.map = tegu_arena_array(arena, (size_t)h.out,
                             (size_t)h.inputs * sizeof(double));
    for (int64_t r = 0; r < h.out; r++) {
        memcpy(h.map + r * h.inputs, weight + r * h.width,
               (size_t)h.width * sizeof *weight);
        if (bias)
            h.map[r * h.inputs + h.width] = bias[r];
    }
    h.gram = tegu_arena_array(arena, (size_t)h.inputs,
                              (size_t)h.inputs * sizeof(double));
    widen_gram(&h);
    *hidden = h;
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

/* Element k of the cut part: element kept[k], or a mixture of all. */
static double cut_element(const tegu_hidden *h, const double *from,
                          int64_t stride, const int64_t *kept,
                          const double *mix, int64_t count, int64_t k)
{
    double sum = 0;

    if (!mix)
        return from[kept[k] * stride];
    for (int64_t i = 0; i < h->width; i++)
        sum += mix[i * count + k] * from[i * stride];
    return sum;
}

/* Cuts a part along its first axis, or a vector along its last. */
static bool cut_part(tegu_unit *unit, const tegu_hidden *h,
                     const tegu_region_part *part, tegu_dim dim,
                     const int64_t *kept, const double *mix,
                     tegu_arena *scratch)
{
    tegu_type type = *tegu_graph_type(h->region->graph, part->value);
    int64_t rest = tegu_type_elements(&type) / h->width, count = dim.offset;
    const double *from =
        tegu_constant_read(h->region->graph, part->value, scratch);
    double *to =
        tegu_arena_array(scratch, (size_t)rest, (size_t)count * sizeof(double));

    if (!from)
        return false;
    for (int64_t k = 0; k < count; k++)
        for (int64_t i = 0; i < rest; i++)
            if (part->is_vector)
                to[i * count + k] =
                    cut_element(h, from + i * h->width, 1, kept, mix, count, k);
            else
                to[k * rest + i] =
                    cut_element(h, from + i, rest, kept, mix, count, k);
    type.dims[part->is_vector ? type.rank - 1 : 0] = dim;
    tegu_param_store(unit, part->name, &type, to);
    return true;
}

/* The reader's new weight and bias out of the map [out, count]. */
static void cut_reader(tegu_unit *unit, const tegu_hidden *h, tegu_dim dim,
                       int64_t count, const double *cut, tegu_arena *scratch)
{
    const tegu_node *reader =
        tegu_graph_node(h->region->graph, h->region->reader);
    tegu_type type = *tegu_graph_type(h->region->graph, reader->inputs[1]);
    double *weight = tegu_arena_array(scratch, (size_t)h->out,
                                      (size_t)dim.offset * sizeof(double));
    double *bias = TEGU_ARRAY(scratch, double, (size_t)h->out);

    for (int64_t r = 0; r < h->out; r++) {
        memcpy(weight + r * dim.offset, cut + r * count,
               (size_t)dim.offset * sizeof *weight);
        bias[r] = cut[r * count + count - 1];
    }
    type.dims[1] = dim;
    tegu_param_store(unit, h->region->weight, &type, weight);
    if (h->region->bias)
        tegu_param_store(unit, h->region->bias,
                         tegu_graph_type(h->region->graph, reader->inputs[2]),
                         bias);
}

bool tegu_hidden_cut(tegu_unit *unit, const tegu_hidden *h, tegu_dim dim,
                     const int64_t *kept, int64_t count, const double *cut,
                     const double *mix, tegu_arena *scratch)
{
    tegu_mark mark = tegu_arena_mark(scratch);
    bool ok = true;

    for (uint32_t i = 0; ok && i < h->region->parts.count; i++)
        ok = cut_part(unit, h, &h->region->parts.data[i], dim, kept, mix,
                      scratch);
    if (ok)
        cut_reader(unit, h, dim, count, cut, scratch);
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
