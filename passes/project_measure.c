/* SPDX-License-Identifier: Apache-2.0 */
/* project_measure.c - how far a projected model's streams are from the
 * model's own, token by token.
 *
 * Takes a clone of the unit and its projected graph; puts both computations
 * into one graph, with states of their own, and the differences of their
 * streams beside the streams; calibration's sums of squares over the tokens
 * give the relative errors.  What earlier cuts did to later sites is in them,
 * which the kept energy does not see.
 */
#include "passes/project.h"

#include <math.h>
#include <string.h>

/* A second set of states, for the projected half. */
static const char *second(tegu_unit *unit, const char *state)
{
    return tegu_intern_cstr(unit->names,
                            tegu_format(unit->arena, "%s.projected", state));
}

static void double_states(tegu_unit *unit)
{
    uint32_t count = unit->states.count;
    for (uint32_t i = 0; i < count; i++) {
        tegu_state state = unit->states.data[i];
        state.name = second(unit, state.name);
        tegu_vec_push(unit->arena, &unit->states, state);
    }
}

static tegu_value add_node(tegu_graph *g, const tegu_node *node,
                           const tegu_value *map)
{
    tegu_unit *unit = g->unit;
    tegu_value *inputs = TEGU_ARRAY(unit->arena, tegu_value, node->input_count);
    tegu_node_spec spec = tegu_node_spec_of(node, inputs);
    tegu_attr name;
    for (uint32_t i = 0; i < node->input_count; i++)
        inputs[i] = map[node->inputs[i]];
    if (node->op == TEGU_OP_STATE) {
        name = tegu_attr_of_text(TEGU_OP_STATE, "name",
                                 second(unit, tegu_node_text(node, "name")));
        spec.attrs = &name;
        spec.attr_count = 1;
    }
    return tegu_graph_add(g, &spec);
}

/* Appends the projected graph; its results' values into `out`. */
static bool append(tegu_graph *g, const tegu_graph *projected, tegu_value *out)
{
    tegu_unit *unit = g->unit;
    tegu_value *map =
        TEGU_ARRAY(unit->arena, tegu_value, projected->nodes.count);
    for (tegu_value v = 1; v < projected->nodes.count; v++) {
        map[v] = add_node(g, tegu_graph_node(projected, v), map);
        if (!map[v])
            return false;
    }
    for (uint32_t i = 0; i < projected->results.count; i++)
        out[i] = map[projected->results.data[i].value];
    for (uint32_t i = 0; i < projected->updates.count; i++)
        tegu_graph_add_update(g, second(unit, projected->updates.data[i].state),
                              map[projected->updates.data[i].value]);
    return true;
}

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

static double total(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

bool tegu_project_measure(tegu_unit *unit, tegu_entry *step,
                          const tegu_graph *projected, const tegu_value *values,
                          uint32_t count, bool centred,
                          const tegu_calibration *data, int64_t most_tokens,
                          double *errors)
{
    tegu_graph *g = step->graph;
    tegu_value *out = TEGU_ARRAY(unit->arena, tegu_value, count);
    tegu_site_request *requests =
        TEGU_ARRAY(unit->arena, tegu_site_request, 2 * (size_t)count);
    tegu_site_stats *stats =
        TEGU_ARRAY(unit->arena, tegu_site_stats, 2 * (size_t)count);

    double_states(unit);
    if (!append(g, projected, out))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        tegu_value x = centred ? centre(g, values[i]) : values[i];
        requests[2 * i].value = x;
        requests[2 * i + 1].value = tegu_build_binary(
            g, tegu_graph_node(g, values[i])->loc, TEGU_OP_SUB, out[i], x);
        if (!requests[2 * i + 1].value)
            return false;
    }
    if (!tegu_calibrate(unit, data, unit->arena, requests, 2 * count,
                        most_tokens, stats))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        int64_t n = stats[2 * i].columns;
        double whole = total(stats[2 * i].sum_square, n);
        double error = total(stats[2 * i + 1].sum_square, n);
        errors[i] = whole > 0 ? sqrt(error / whole) : 0;
    }
    return true;
}
