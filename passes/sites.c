/* SPDX-License-Identifier: Apache-2.0 */
/* sites.c - hidden widths and ranks under one roof: loss by size, allocation
 * of sizes, weights as if reduced, and reducing them.
 *
 * Takes a unit at model level and calibration data.  Memory: one run's Gram
 * matrices while measuring; afterwards per hidden layer half of its Gram
 * matrix, from which any size can be repaired, and per matrix its subspaces.
 * Weights are read again where they are needed.
 */
#include "passes/sites.h"
#include "passes/linalg.h"

#include <math.h>
#include <string.h>

/* p of factors here: what measured best (reference.md 2.3). */
static const double gram_power = 0.5;
/* Statistics gathered in one run. */
static const double statistics_bytes = 512e6;

/* Progress of work on site i. */
static void show(const tegu_sites *sites, const char *what, uint32_t i)
{
    const tegu_calibration *data = sites->data;

    if (data->progress)
        data->progress(data->data, what, i + 1, sites->list.count);
}

/* --- finding --- */

/* How many of a type's dimensions shrink with the residual axis. */
static double carries(const tegu_type *type, tegu_axis_id residual)
{
    double count = 0;

    for (uint32_t i = 0; residual && i < type->rank; i++)
        count += type->dims[i].axes[0] == residual && !type->dims[i].axes[1];
    return count;
}

/* A parameter of a hidden layer: its elements per element of the width. */
static void add_part(tegu_site *site, const tegu_type *type,
                     tegu_axis_id residual)
{
    double elements = (double)tegu_type_elements(type) / (double)site->full;

    site->unit_elements += elements;
    site->unit_carried += elements * carries(type, residual);
}

static void add_hidden(tegu_sites *sites, const tegu_region *region,
                       tegu_axis_id residual, int64_t round, tegu_arena *arena)
{
    const tegu_graph *g = region->graph;
    tegu_site site = {.weight = region->weight,
                      .is_hidden = true,
                      .full = region->width,
                      .most = region->width - 1,
                      .round = round,
                      .sensitivity = 1,
                      .region = region};

    for (uint32_t i = 0; i < region->parts.count; i++)
        add_part(&site, tegu_graph_type(g, region->parts.data[i].value),
                 residual);
    add_part(&site, tegu_graph_type(g, region->map), residual);
    site.full_elements = site.unit_elements * (double)site.full;
    site.full_carried = site.unit_carried * (double)site.full;
    tegu_vec_push(arena, &sites->list, site);
}

static void add_matrix(tegu_sites *sites, const tegu_matrix *matrix,
                       tegu_axis_id residual, int64_t round, tegu_arena *arena)
{
    const tegu_node *linear = tegu_graph_node(matrix->graph, matrix->linear);
    tegu_type type = *tegu_graph_type(matrix->graph, linear->inputs[1]);
    double out = (double)matrix->out, in = (double)matrix->in;
    tegu_site site = {.weight = matrix->weight,
                      .full =
                          matrix->out < matrix->in ? matrix->out : matrix->in,
                      .most = tegu_break_even(matrix->out, matrix->in),
                      .unit_elements = out + in,
                      .full_elements = out * in,
                      .sensitivity = 1,
                      .matrix = matrix};

    site.round = site.most < round ? 1 : round;
    site.full_carried = out * in * carries(&type, residual);
    type.rank = 1;
    site.unit_carried = out * carries(&type, residual);
    type.dims[0] = type.dims[1];
    site.unit_carried += in * carries(&type, residual);
    tegu_vec_push(arena, &sites->list, site);
}

bool tegu_sites_find(tegu_sites *sites, tegu_unit *unit, const char *axis,
                     const char *targets, const char *residual, int64_t round,
                     tegu_arena *arena)
{
    tegu_axis_id id = tegu_unit_find_axis(unit, residual);

    *sites = (tegu_sites){.unit = unit, .axis = axis, .residual = 1};
    if (!tegu_axis_regions(unit, axis, arena, &sites->regions))
        return false;
    for (uint32_t i = 0; i < sites->regions.count; i++)
        if (!tegu_region_measurable(unit, &sites->regions.data[i]))
            return false;
    if (*targets && !tegu_find_matrices(unit, targets, arena, &sites->matrices))
        return false;
    for (uint32_t i = 0; i < sites->regions.count; i++)
        if (sites->regions.data[i].experts == 1) /* stacks are left alone */
            add_hidden(sites, &sites->regions.data[i], id, round, arena);
    for (uint32_t i = 0; i < sites->matrices.count; i++)
        add_matrix(sites, &sites->matrices.data[i], id, round, arena);
    return true;
}

/* --- measuring --- */

typedef struct measuring {
    tegu_sites *sites;
    const tegu_calibration *data;
    tegu_arena *arena; /* of the sites */
    tegu_arena *run;   /* of one run's statistics */
    tegu_site_request *requests;
    tegu_site_stats *stats;
    tegu_powers *powers;
    uint32_t *of; /* per site: its request */
} measuring;

static tegu_site_request request_of(const tegu_site *site)
{
    const tegu_matrix *m = site->matrix;

    if (site->is_hidden)
        return tegu_hidden_request(site->region);
    return (tegu_site_request){
        .value = tegu_graph_node(m->graph, m->linear)->inputs[0], .gram = true};
}

/* The site with its Gram matrix whole again, in `scratch`. */
static bool open_hidden(const tegu_site *site, tegu_arena *scratch,
                        tegu_hidden *hidden)
{
    tegu_site_stats *stats = TEGU_NEW(scratch, tegu_site_stats);
    int64_t n = site->full;
    const double *from = site->triangle;

    *stats = site->stats;
    stats->gram =
        tegu_arena_array(scratch, (size_t)n, (size_t)n * sizeof(double));
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k <= i; k++)
            stats->gram[k * n + i] = stats->gram[i * n + k] = *from++;
    return tegu_hidden_open(site->region, stats, scratch, hidden);
}

/* Keeps what repairing needs of the statistics. */
static void keep_stats(tegu_site *site, const tegu_site_stats *stats,
                       tegu_arena *arena)
{
    size_t n = (size_t)site->full;
    double *to = tegu_arena_array(arena, n * (n + 1) / 2, sizeof *to);

    site->triangle = to;
    site->stats =
        (tegu_site_stats){.columns = stats->columns, .rows = stats->rows};
    site->stats.sum =
        tegu_arena_copy(arena, stats->sum, n * sizeof *stats->sum);
    for (size_t i = 0; i < n; i++, to += i)
        memcpy(to, stats->gram + i * n, (i + 1) * sizeof *to);
}

static bool measure_hidden(tegu_site *site, const tegu_site_stats *stats,
                           tegu_arena *arena)
{
    size_t width = (size_t)site->full;
    tegu_hidden hidden;
    tegu_mark mark;
    double *loss;
    bool ok;

    site->order = TEGU_ARRAY(arena, int64_t, width);
    site->lost = TEGU_ARRAY(arena, double, width + 1);
    keep_stats(site, stats, arena);
    mark = tegu_arena_mark(arena);
    loss = TEGU_ARRAY(arena, double, width);
    ok = tegu_hidden_open(site->region, stats, arena, &hidden) &&
         tegu_hidden_order(&hidden, arena, site->order, loss);
    for (size_t k = 0; ok && k < width; k++)
        site->lost[width - 1 - k] = loss[k];
    tegu_arena_release(arena, mark);
    return ok;
}

static bool measure_site(const measuring *m, uint32_t i)
{
    tegu_site *site = &m->sites->list.data[i];
    uint32_t r = m->of[i];

    show(m->sites, "measuring layers", i);
    if (site->is_hidden)
        return measure_hidden(site, &m->stats[r], m->arena);
    if (!tegu_factor_weight(site->matrix, &m->powers[r], m->arena,
                            &site->factors))
        return false;
    site->lost = site->factors.lost;
    return true;
}

/* Chooses sites [first, result) for one run, whose values are the requests
 * [*count], each once. */
static uint32_t choose_run(const measuring *m, uint32_t first, uint32_t *count)
{
    double bytes = 0;
    uint32_t i = first;

    for (*count = 0; i < m->sites->list.count; i++) {
        const tegu_site *site = &m->sites->list.data[i];
        double n = (double)(site->is_hidden ? site->full : site->matrix->in);
        tegu_site_request request = request_of(site);
        uint32_t r = 0;
        while (r < *count && m->requests[r].value != request.value)
            r++;
        bytes += r < *count ? 0 : n * n * sizeof(double);
        if (i > first && bytes > statistics_bytes)
            break;
        m->of[i] = r;
        m->requests[r] = request;
        *count += r == *count;
    }
    return i;
}

/* Measures the sites of one run, from `*next` on. */
static bool measure_run(measuring *m, uint32_t *next)
{
    uint32_t count, first = *next;

    *next = choose_run(m, first, &count);
    if (!tegu_calibrate(m->sites->unit, m->data, m->run, m->requests, count, 0,
                        m->stats))
        return false;
    for (uint32_t i = 0; i < count; i++)
        m->powers[i] = (tegu_powers){.n = m->stats[i].columns,
                                     .gram = m->stats[i].gram,
                                     .power = gram_power,
                                     .arena = m->run};
    for (uint32_t i = first; i < *next; i++)
        if (!measure_site(m, i))
            return false;
    return true;
}

bool tegu_sites_measure(tegu_sites *sites, const tegu_calibration *data,
                        tegu_arena *arena)
{
    uint32_t count = sites->list.count;
    measuring m = {.sites = sites,
                   .data = data,
                   .arena = arena,
                   .requests = TEGU_ARRAY(arena, tegu_site_request, count),
                   .stats = TEGU_ARRAY(arena, tegu_site_stats, count),
                   .powers = TEGU_ARRAY(arena, tegu_powers, count),
                   .of = TEGU_ARRAY(arena, uint32_t, count)};
    bool ok = true;

    sites->data = data;
    for (uint32_t next = 0; ok && next < count;) {
        m.run = tegu_arena_create();
        if (!m.run)
            return tegu_error(sites->unit->diag, tegu_loc_none(),
                              TEGU_E_RESOURCES, "out of memory");
        tegu_arena_on_failure(m.run, tegu_arena_failure(arena));
        ok = measure_run(&m, &next);
        tegu_arena_destroy(m.run);
    }
    return ok;
}

/* --- allocation --- */

double tegu_site_elements(const tegu_site *site, double residual, int64_t size)
{
    double gone = 1 - residual;

    return size == site->full
               ? site->full_elements - gone * site->full_carried
               : (site->unit_elements - gone * site->unit_carried) *
                     (double)size;
}

double tegu_sites_elements(const tegu_sites *sites, const int64_t *sizes)
{
    double sum = 0;

    for (uint32_t i = 0; i < sites->list.count; i++) {
        const tegu_site *site = &sites->list.data[i];
        sum += tegu_site_elements(site, sites->residual,
                                  sizes ? sizes[i] : site->full);
    }
    return sum;
}

/* The size of least error plus `price` per weight. */
static int64_t best_size(const tegu_site *site, double residual, double price)
{
    int64_t best = site->full;
    double least = price * tegu_site_elements(site, residual, best);

    for (int64_t size = site->round; size <= site->most; size += site->round) {
        double cost = site->sensitivity * site->lost[size] +
                      price * tegu_site_elements(site, residual, size);
        if (cost < least) {
            least = cost;
            best = size;
        }
    }
    return best;
}

static double choose(const tegu_sites *sites, double price, int64_t *sizes)
{
    for (uint32_t i = 0; i < sites->list.count; i++)
        sizes[i] = best_size(&sites->list.data[i], sites->residual, price);
    return tegu_sites_elements(sites, sizes);
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

/* --- one weight in its full shape --- */

/* The reader's weight and bias with the repaired columns in their places. */
static bool change_hidden(const tegu_site *site, int64_t size,
                          tegu_arena *scratch, tegu_change *changes,
                          uint32_t *count)
{
    int64_t width = site->full;
    tegu_hidden *h = TEGU_NEW(scratch, tegu_hidden);
    double *cut, *weight, *bias;
    int64_t *kept, some;

    if (!open_hidden(site, scratch, h))
        return false;
    kept = TEGU_ARRAY(scratch, int64_t, (size_t)h->inputs);
    some = tegu_hidden_kept(h, site->order, size, kept);
    cut = tegu_arena_array(scratch, (size_t)h->out,
                           (size_t)some * sizeof(double));
    weight = tegu_arena_array(scratch, (size_t)h->out,
                              (size_t)width * sizeof(double));
    bias = TEGU_ARRAY(scratch, double, (size_t)h->out);
    if (!tegu_hidden_repair(h, kept, some, scratch, cut))
        return false;
    for (int64_t r = 0; r < h->out; r++)
        for (int64_t k = 0; k < some; k++)
            *(kept[k] < width ? &weight[r * width + kept[k]] : &bias[r]) =
                cut[r * some + k];
    changes[0] = (tegu_change){site->region->weight, weight};
    changes[1] = (tegu_change){site->region->bias, bias};
    *count = site->region->bias ? 2 : 1;
    return true;
}

bool tegu_site_change(const tegu_site *site, int64_t size, tegu_arena *scratch,
                      tegu_change *changes, uint32_t *count)
{
    if (site->is_hidden)
        return change_hidden(site, size, scratch, changes, count);
    changes[0] = (tegu_change){
        site->weight, tegu_factor_product(&site->factors, size, scratch)};
    *count = 1;
    return changes[0].data != NULL;
}

/* --- applying --- */

static bool apply_hidden(const tegu_sites *sites, const tegu_site *site,
                         tegu_unit *unit, int64_t size, tegu_arena *scratch)
{
    tegu_hidden h;
    int64_t *kept, count;
    double *cut;

    if (!open_hidden(site, scratch, &h))
        return false;
    kept = TEGU_ARRAY(scratch, int64_t, (size_t)h.inputs);
    count = tegu_hidden_kept(&h, site->order, size, kept);
    cut = tegu_arena_array(scratch, (size_t)h.out,
                           (size_t)count * sizeof(double));
    return tegu_hidden_repair(&h, kept, count, scratch, cut) &&
           tegu_hidden_cut(unit, &h, tegu_width_dim(unit, sites->axis, size),
                           kept, count, cut, NULL, scratch);
}

/* The names that a site's reduction changes, in `scratch`. */
static tegu_replacement *replaced(const tegu_site *site, tegu_arena *scratch,
                                  uint32_t *count)
{
    const tegu_hidden h = {.region = site->region};

    return tegu_hidden_replaced(&h, scratch, count);
}

bool tegu_sites_apply(const tegu_sites *sites, tegu_unit *unit,
                      const int64_t *sizes, tegu_arena *scratch)
{
    TEGU_VEC(tegu_replacement) all = {0};

    for (uint32_t i = 0; i < sites->list.count; i++) {
        const tegu_site *site = &sites->list.data[i];
        tegu_replacement one, *list = &one;
        tegu_mark mark = tegu_arena_mark(scratch);
        uint32_t count = 1;
        bool ok;
        show(sites, "reducing layers", i);
        if (sizes[i] == site->full)
            continue;
        ok = site->is_hidden
                 ? apply_hidden(sites, site, unit, sizes[i], scratch)
                 : tegu_factor_store(unit, &site->factors, sizes[i], scratch,
                                     &one);
        tegu_arena_release(scratch, mark);
        if (!ok)
            return false;
        if (site->is_hidden)
            list = replaced(site, scratch, &count);
        for (uint32_t k = 0; k < count; k++)
            tegu_vec_push(scratch, &all, list[k]);
    }
    return tegu_replace_weights(unit, scratch, all.data, all.count);
}
