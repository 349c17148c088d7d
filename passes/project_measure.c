/* SPDX-License-Identifier: Apache-2.0 */
/* project_measure.c - how far a projected model's streams are from the
 * model's own, token by token.
 *
 * Takes a clone of the unit and its projected graph; runs one after the other
 * over the same tokens, so that only one of them has its weights packed, and
 * compares the rows that calibration sampled.  What earlier cuts did to later
 * sites is in the errors, which the kept energy does not see.
 */
#include "passes/project.h"

#include <math.h>
#include <string.h>

/* Of samples, for each of the two runs. */
static const double most_bytes = 64e6;

/* x without its mean over the last axis. */
static tegu_value centre(tegu_graph *g, tegu_value x)
{
    tegu_loc loc = tegu_graph_node(g, x)->loc;
    int64_t last = (int64_t)tegu_graph_type(g, x)->rank - 1;
    tegu_attr attrs[] = {
        tegu_attr_of_ints(g->unit, TEGU_OP_MEAN, "axes", &last, 1),
        tegu_attr_of_bool(TEGU_OP_MEAN, "keep", true)};
    tegu_value mean = tegu_build(g, loc, TEGU_OP_MEAN, 1, &x, 2, attrs, NULL);
    return tegu_build_binary(g, loc, TEGU_OP_SUB, x, mean);
}

/* Whole sequences whose rows at all sites fit. */
static int64_t choose_tokens(const tegu_graph *g, const tegu_value *values,
                             uint32_t count, const tegu_calibration *data,
                             int64_t most)
{
    double row = 0;
    int64_t sequences;
    for (uint32_t i = 0; i < count; i++) {
        const tegu_type *type = tegu_graph_type(g, values[i]);
        row += (double)type->dims[type->rank - 1].offset * sizeof(float);
    }
    if (row * (double)most > most_bytes)
        most = (int64_t)(most_bytes / row);
    sequences = most / data->length;
    return (sequences ? sequences : 1) * data->length;
}

/* Rows at the values of entry `step`, one statistic each; NULL after
 * reporting. */
static tegu_site_stats *sample(tegu_unit *unit, const tegu_value *values,
                               uint32_t count, const tegu_calibration *data,
                               int64_t tokens)
{
    tegu_site_request *requests =
        TEGU_ARRAY(unit->arena, tegu_site_request, count);
    tegu_site_stats *stats = TEGU_ARRAY(unit->arena, tegu_site_stats, count);
    for (uint32_t i = 0; i < count; i++)
        requests[i] =
            (tegu_site_request){.value = values[i], .sample_stride = 1};
    return tegu_calibrate(unit, data, unit->arena, requests, count, tokens,
                          stats)
               ? stats
               : NULL;
}

/* |b - a| / |a| of all rows. */
static double error_of(const tegu_site_stats *a, const tegu_site_stats *b)
{
    double whole = 0, error = 0;
    for (int64_t i = 0; i < a->sample_rows * a->columns; i++) {
        double x = (double)a->samples[i], d = (double)b->samples[i] - x;
        whole += x * x;
        error += d * d;
    }
    return whole > 0 ? sqrt(error / whole) : 0;
}

bool tegu_project_measure(tegu_unit *unit, tegu_entry *step,
                          tegu_graph *projected, const tegu_value *values,
                          uint32_t count, bool centred,
                          const tegu_calibration *data, int64_t most_tokens,
                          double *errors)
{
    tegu_graph *g = step->graph;
    tegu_calibration once = *data;
    tegu_value *sites = TEGU_ARRAY(unit->arena, tegu_value, count);
    int64_t tokens = choose_tokens(g, values, count, data, most_tokens);
    tegu_site_stats *own, *now;

    once.store = NULL; /* rows are not worth keeping */
    for (uint32_t i = 0; i < count; i++)
        sites[i] = centred ? centre(g, values[i]) : values[i];
    own = sample(unit, sites, count, &once, tokens);
    if (!own)
        return false;
    step->graph = projected;
    for (uint32_t i = 0; i < count; i++)
        sites[i] = projected->results.data[i].value;
    now = sample(unit, sites, count, &once, tokens);
    for (uint32_t i = 0; now && i < count; i++)
        errors[i] = error_of(&own[i], &now[i]);
    return now != NULL;
}
