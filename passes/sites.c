/* SPDX-License-Identifier: Apache-2.0 */
/* sites.c - hidden widths and ranks under one roof: loss by size, allocation
 * of sizes, and applying them.
 */
#include "passes/sites.h"

#include <math.h>
#include <string.h>

/* p of factors here: what measured best (reference.md 2.3). */
static const double gram_power = 0.5;

typedef struct opening {
    tegu_sites *sites;
    tegu_unit *unit;
    const tegu_calibration *data;
    tegu_arena *arena;
    tegu_regions regions;
    tegu_matrices matrices;
    int64_t round;
} opening;

/* --- opening --- */

static double part_elements(const tegu_region *region)
{
    double sum = 0;

    for (uint32_t i = 0; i < region->parts.count; i++)
        sum += (double)tegu_type_elements(tegu_graph_type(
                   region->graph, region->parts.data[i].value)) /
               (double)region->width;
    return sum;
}

static bool add_hidden(const opening *o, const tegu_region *region,
                       const tegu_site_stats *stats)
{
    size_t width = (size_t)region->width;
    tegu_hidden *hidden = TEGU_NEW(o->arena, tegu_hidden);
    int64_t *order = TEGU_ARRAY(o->arena, int64_t, width);
    double *loss = TEGU_ARRAY(o->arena, double, width);
    tegu_site site = {.weight = region->weight,
                      .is_hidden = true,
                      .full = region->width,
                      .most = region->width - 1,
                      .round = o->round,
                      .sensitivity = 1,
                      .hidden = hidden,
                      .order = order};

    if (!tegu_hidden_open(region, stats, o->arena, hidden) ||
        !tegu_hidden_order(hidden, o->arena, order, loss))
        return false;
    site.lost = TEGU_ARRAY(o->arena, double, width + 1);
    for (size_t k = 0; k < width; k++)
        site.lost[width - 1 - k] = loss[k];
    site.unit_elements = part_elements(region) + (double)hidden->out;
    site.full_elements = site.unit_elements * (double)site.full;
    tegu_vec_push(o->arena, &o->sites->list, site);
    return true;
}

static bool add_matrix(const opening *o, const tegu_matrix *matrix,
                       const tegu_site_stats *stats)
{
    tegu_factors *factors = TEGU_NEW(o->arena, tegu_factors);
    tegu_site site = {.weight = matrix->weight,
                      .round = 1,
                      .sensitivity = 1,
                      .factors = factors};

    if (!tegu_factor_weight(matrix, stats->gram, gram_power, o->arena, factors))
        return false;
    site.full = factors->full;
    site.most = tegu_break_even(matrix->out, matrix->in);
    site.lost = factors->lost;
    site.unit_elements = (double)(matrix->out + matrix->in);
    site.full_elements = (double)matrix->out * (double)matrix->in;
    tegu_vec_push(o->arena, &o->sites->list, site);
    return true;
}

static bool measure(const opening *o)
{
    uint32_t regions = o->regions.count, matrices = o->matrices.count;
    tegu_site_request *requests =
        TEGU_ARRAY(o->arena, tegu_site_request, regions + matrices);
    tegu_site_stats *stats =
        TEGU_ARRAY(o->arena, tegu_site_stats, regions + matrices);

    for (uint32_t i = 0; i < regions; i++)
        requests[i] = tegu_hidden_request(&o->regions.data[i]);
    for (uint32_t i = 0; i < matrices; i++) {
        const tegu_matrix *m = &o->matrices.data[i];
        requests[regions + i] = (tegu_site_request){
            .value = tegu_graph_node(m->graph, m->linear)->inputs[0],
            .gram = true};
    }
    if (!tegu_calibrate(o->unit, o->data, o->arena, requests,
                        regions + matrices, 0, stats))
        return false;
    for (uint32_t i = 0; i < regions; i++)
        if (!add_hidden(o, &o->regions.data[i], &stats[i]))
            return false;
    for (uint32_t i = 0; i < matrices; i++)
        if (!add_matrix(o, &o->matrices.data[i], &stats[regions + i]))
            return false;
    return true;
}

bool tegu_sites_open(tegu_sites *sites, tegu_unit *unit,
                     const tegu_calibration *data, const char *axis,
                     const char *targets, int64_t round, tegu_arena *arena)
{
    opening *o = TEGU_NEW(arena, opening);

    *sites = (tegu_sites){.axis = axis};
    *o = (opening){.sites = sites,
                   .unit = unit,
                   .data = data,
                   .arena = arena,
                   .round = round};
    if (!tegu_axis_regions(unit, axis, arena, &o->regions))
        return false;
    for (uint32_t i = 0; i < o->regions.count; i++)
        if (!tegu_region_measurable(unit, &o->regions.data[i]))
            return false;
    if (*targets && !tegu_find_matrices(unit, targets, arena, &o->matrices))
        return false;
    return measure(o);
}

/* --- allocation --- */

/* Weights of a site at a size. */
static double elements_of(const tegu_site *site, int64_t size)
{
    return size == site->full ? site->full_elements
                              : site->unit_elements * (double)size;
}

/* The size of least error plus `price` per weight. */
static int64_t best_size(const tegu_site *site, double price)
{
    int64_t best = site->full;
    double least = price * site->full_elements;

    for (int64_t size = site->round; size <= site->most; size += site->round) {
        double cost = site->sensitivity * site->lost[size] +
                      price * elements_of(site, size);
        if (cost < least) {
            least = cost;
            best = size;
        }
    }
    return best;
}

static double choose(const tegu_sites *sites, double price, int64_t *sizes)
{
    double sum = 0;

    for (uint32_t i = 0; i < sites->list.count; i++) {
        sizes[i] = best_size(&sites->list.data[i], price);
        sum += elements_of(&sites->list.data[i], sizes[i]);
    }
    return sum;
}

void tegu_sites_allocate(const tegu_sites *sites, double elements,
                         int64_t *sizes)
{
    double low = 1e-18, high = 1e6; /* divergence per weight */

    if (choose(sites, 0, sizes) <= elements)
        return;
    for (int i = 0; i < 100; i++) {
        double middle = sqrt(low * high);
        if (choose(sites, middle, sizes) > elements)
            low = middle;
        else
            high = middle;
    }
    choose(sites, high, sizes);
}

/* --- applying --- */

static bool apply_hidden(const tegu_sites *sites, const tegu_site *site,
                         tegu_unit *unit, int64_t size, tegu_arena *scratch)
{
    const tegu_hidden *h = site->hidden;
    int64_t *kept = TEGU_ARRAY(scratch, int64_t, (size_t)h->inputs);
    int64_t count = tegu_hidden_kept(h, site->order, size, kept);
    double *cut = tegu_arena_array(scratch, (size_t)h->out,
                                   (size_t)count * sizeof(double));

    return tegu_hidden_repair(h, kept, count, scratch, cut) &&
           tegu_hidden_cut(unit, h, tegu_width_dim(unit, sites->axis, size),
                           kept, count, cut, NULL, scratch);
}

bool tegu_sites_apply(const tegu_sites *sites, tegu_unit *unit,
                      const int64_t *sizes, tegu_arena *scratch)
{
    TEGU_VEC(tegu_replacement) all = {0};

    for (uint32_t i = 0; i < sites->list.count; i++) {
        const tegu_site *site = &sites->list.data[i];
        tegu_replacement one, *list = &one;
        uint32_t count = 1;
        if (sizes[i] == site->full)
            continue;
        if (site->is_hidden) {
            if (!apply_hidden(sites, site, unit, sizes[i], scratch))
                return false;
            list = tegu_hidden_replaced(site->hidden, scratch, &count);
        } else if (!tegu_factor_store(unit, site->factors, sizes[i], scratch,
                                      &one)) {
            return false;
        }
        for (uint32_t k = 0; k < count; k++)
            tegu_vec_push(scratch, &all, list[k]);
    }
    return tegu_replace_weights(unit, scratch, all.data, all.count);
}
