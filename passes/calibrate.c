/* SPDX-License-Identifier: Apache-2.0 */
/* calibrate.c - runs part of a model over tokens and streams statistics.
 *
 * Takes a unit at model level and values of its entry `step`.  Works on a copy
 * in an arena of its own: `step` alone, with the values as its results, cut
 * down to what they need; the caller's compile function makes it run.  Sums
 * and Gram matrices are in f64: rows are widened in blocks, and BLAS adds
 * X^T X of each (dsyrk), on one thread so that the order of additions never
 * changes.  Leaves the unit as it was.  With a store, requests that it knows
 * are answered from it, and only the others run.
 */
#include "passes/passes.h"
#include "passes/stats.h"

#include <cblas.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

enum { BLOCK_ROWS = 256 };

/* One calibration. */
typedef struct calibration {
    tegu_unit *unit; /* the copy */
    const tegu_calibration *data;
    tegu_arena *scratch; /* of the copy and of what runs it */
    tegu_arena *buffers; /* of one call */
    const tegu_site_request *requests;
    tegu_site_stats *stats;
    uint32_t count;
    uint32_t *result; /* per request: the copy's result */
    tegu_entry *entry;
    tegu_executor *executor;
    int64_t most;  /* tokens of one call */
    double *block; /* [BLOCK_ROWS, widest columns] */
} calibration;

/* --- the part of `step` that the values need --- */

static void mark(bool *needed, const tegu_graph *g, tegu_value v)
{
    needed[v] = true;
    for (; v; v--) {
        const tegu_node *node = tegu_graph_node(g, v);
        for (uint32_t i = 0; needed[v] && i < node->input_count; i++)
            needed[node->inputs[i]] = true;
    }
}

static bool reads_state(const bool *needed, const tegu_graph *g,
                        const char *state)
{
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (needed[v] && node->op == TEGU_OP_STATE &&
            strcmp(tegu_node_text(node, "name"), state) == 0)
            return true;
    }
    return false;
}

/* Keeps the updates of states that the results depend on, and what these
 * depend on in turn; the rest go. */
static void keep_updates(tegu_graph *g, const tegu_graph *from,
                         tegu_arena *scratch)
{
    bool *needed = TEGU_ARRAY(scratch, bool, from->nodes.count);
    bool *kept = TEGU_ARRAY(scratch, bool, from->updates.count + 1);
    bool again = true;
    for (uint32_t i = 0; i < g->results.count; i++)
        mark(needed, from, g->results.data[i].value);
    while (again) {
        again = false;
        for (uint32_t i = 0; i < from->updates.count; i++) {
            const tegu_update *update = &from->updates.data[i];
            if (kept[i] || !(needed[update->value] ||
                             reads_state(needed, from, update->state)))
                continue;
            kept[i] = again = true;
            mark(needed, from, update->value);
        }
    }
    for (uint32_t i = 0; i < from->updates.count; i++)
        if (kept[i])
            tegu_graph_add_update(g, from->updates.data[i].state,
                                  from->updates.data[i].value);
}

/* Gives the entry the requested values as its results, each once. */
static bool ask(calibration *c)
{
    tegu_graph *from = c->entry->graph;
    tegu_graph view = {.unit = c->unit, .level = from->level};
    memcpy(&view.nodes, &from->nodes, sizeof view.nodes);
    c->result = TEGU_ARRAY(c->scratch, uint32_t, c->count + 1);
    for (uint32_t i = 0; i < c->count; i++) {
        tegu_value v = c->requests[i].value;
        uint32_t r = 0;
        while (r < view.results.count && view.results.data[r].value != v)
            r++;
        c->result[i] = r;
        if (r == view.results.count)
            tegu_graph_add_result(
                &view, tegu_format(c->scratch, "site%u", (unsigned)r), v);
    }
    keep_updates(&view, from, c->scratch);
    c->entry->graph = tegu_graph_rewrite(&view, from->level, NULL, NULL);
    return c->entry->graph != NULL;
}

static bool refuse(const tegu_unit *unit, const char *why)
{
    return tegu_error(
        unit->diag, tegu_loc_file(unit->source), TEGU_E_UNSUPPORTED,
        "calibration needs entry step(tokens: i32[T]), but %s", why);
}

static bool takes_tokens(const tegu_entry *entry)
{
    const tegu_type *type =
        entry->arguments.count == 1 ? entry->arguments.data[0].type : NULL;
    return type && type->dtype == TEGU_I32 && type->rank == 1;
}

/* Leaves the copy with entry `step` alone. */
static bool choose_entry(calibration *c)
{
    tegu_entry *step = tegu_unit_find_entry(c->unit, "step");
    int64_t lo;
    if (!step)
        return refuse(c->unit, "the model has no entry step");
    if (!takes_tokens(step))
        return refuse(c->unit, "its step takes something else");
    c->unit->entries.data[0] = *step;
    c->unit->entries.count = 1;
    c->entry = &c->unit->entries.data[0];
    return tegu_dim_bounds(c->unit, c->entry->arguments.data[0].type->dims[0],
                           &lo, &c->most);
}

static bool check_requests(const calibration *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        const tegu_type *type =
            tegu_graph_type(c->entry->graph, c->requests[i].value);
        tegu_dim last = {0};
        if (type->rank)
            last = type->dims[type->rank - 1];
        if (type->dtype != TEGU_F32 || !tegu_dim_is_static(last) ||
            last.offset < 1 || last.offset > INT_MAX)
            return tegu_error(c->unit->diag, tegu_loc_none(), TEGU_E_INTERNAL,
                              "no statistics of a value of type %s",
                              tegu_type_string(c->unit, c->scratch, type));
    }
    return true;
}

/* --- statistics --- */

static void add_row(const tegu_site_request *request, tegu_site_stats *stats,
                    const float *row, double *wide)
{
    int64_t n = stats->columns;
    double square = 0, scale = 1;
    for (int64_t i = 0; i < n; i++)
        square += (double)row[i] * row[i];
    if (request->normalised && square > 0)
        scale = sqrt((double)n / square);
    for (int64_t i = 0; i < n; i++) {
        wide[i] = row[i] * scale;
        stats->sum[i] += wide[i];
        stats->sum_abs[i] += fabs(wide[i]);
        stats->sum_square[i] += wide[i] * wide[i];
    }
    if (request->sample_stride && stats->rows % request->sample_stride == 0) {
        float *sample = stats->samples + stats->sample_rows++ * n;
        for (int64_t i = 0; i < n; i++)
            sample[i] = (float)wide[i];
    }
    stats->rows++;
}

static void add_rows(calibration *c, uint32_t site, const tegu_tensor *t)
{
    tegu_site_stats *stats = &c->stats[site];
    int64_t n = stats->columns, rows = tegu_tensor_elements(t) / n;
    const float *data = t->data;
    for (int64_t done = 0; done < rows; done += BLOCK_ROWS) {
        int64_t some = rows - done < BLOCK_ROWS ? rows - done : BLOCK_ROWS;
        for (int64_t r = 0; r < some; r++)
            add_row(&c->requests[site], stats, data + (done + r) * n,
                    c->block + r * n);
        if (stats->gram)
            cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)n,
                        (int)some, 1, c->block, (int)n, 1, stats->gram, (int)n);
    }
}

/* dsyrk gives the lower triangle. */
static void mirror(double *gram, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < i; k++)
            gram[k * n + i] = gram[i * n + k];
}

/* --- running --- */

static bool bind(calibration *c, tegu_tensor *in, int64_t *symbols)
{
    memset(symbols, 0, c->unit->axes.count * sizeof *symbols);
    return tegu_entry_bind(c->unit, c->entry, in, 1, symbols);
}

/* Rows of a request's value over all calls of `sequences`. */
static bool count_rows(calibration *c, uint32_t site, int64_t sequences,
                       int64_t *rows)
{
    int64_t *symbols = TEGU_ARRAY(c->scratch, int64_t, c->unit->axes.count);
    int64_t length = c->data->length, sum = 0;
    for (int64_t done = 0; done < length; done += c->most) {
        tegu_tensor in = {TEGU_I32, 1, {0}, NULL}, out;
        in.dims[0] = length - done < c->most ? length - done : c->most;
        if (!bind(c, &in, symbols))
            return false;
        tegu_entry_output(c->unit, c->entry, c->result[site], symbols, &out);
        sum += tegu_tensor_elements(&out) / out.dims[out.rank - 1];
    }
    if (__builtin_mul_overflow(sum, sequences, rows))
        tegu_arena_fail(c->scratch);
    return true;
}

static bool prepare(calibration *c, tegu_arena *arena, int64_t sequences)
{
    int64_t widest = 1;
    for (uint32_t i = 0; i < c->count; i++) {
        const tegu_site_request *request = &c->requests[i];
        tegu_site_stats *stats = &c->stats[i];
        const tegu_type *type = tegu_graph_type(
            c->entry->graph, c->entry->graph->results.data[c->result[i]].value);
        int64_t n = type->dims[type->rank - 1].offset, rows;
        if (!count_rows(c, i, sequences, &rows))
            return false;
        size_t size = (size_t)n;
        *stats = (tegu_site_stats){.columns = n};
        stats->sum = TEGU_ARRAY(arena, double, size);
        stats->sum_abs = TEGU_ARRAY(arena, double, size);
        stats->sum_square = TEGU_ARRAY(arena, double, size);
        if (request->gram)
            stats->gram = tegu_arena_array(arena, size, size * sizeof(double));
        if (request->sample_stride)
            stats->samples = tegu_arena_array(
                arena, (size_t)((rows - 1) / request->sample_stride + 1),
                size * sizeof(float));
        widest = n > widest ? n : widest;
    }
    c->block = tegu_arena_array(c->scratch, BLOCK_ROWS,
                                (size_t)widest * sizeof(double));
    return true;
}

/* One call over tokens [count]. */
static bool run_call(calibration *c, const int32_t *tokens, int64_t count)
{
    uint32_t results = c->entry->graph->results.count;
    int64_t *symbols = TEGU_ARRAY(c->buffers, int64_t, c->unit->axes.count);
    tegu_tensor *out = TEGU_ARRAY(c->buffers, tegu_tensor, results + 1);
    tegu_tensor in = {TEGU_I32, 1, {count}, NULL};
    in.data =
        tegu_arena_copy(c->buffers, tokens, (size_t)count * sizeof *tokens);
    if (!bind(c, &in, symbols))
        return false;
    for (uint32_t r = 0; r < results; r++) {
        tegu_entry_output(c->unit, c->entry, r, symbols, &out[r]);
        out[r].data = tegu_arena_array(
            c->buffers, (size_t)tegu_tensor_elements(&out[r]), sizeof(float));
    }
    if (!c->executor->call(c->executor->self, c->entry->name, &in, 1, out,
                           results))
        return false;
    for (uint32_t i = 0; i < c->count; i++)
        add_rows(c, i, &out[c->result[i]]);
    return true;
}

static bool run_sequences(calibration *c, int64_t sequences)
{
    const tegu_calibration *data = c->data;
    for (int64_t s = 0; s < sequences; s++) {
        const int32_t *tokens = data->tokens + s * data->length;
        c->executor->reset(c->executor->self);
        for (int64_t done = 0; done < data->length; done += c->most) {
            int64_t left = data->length - done;
            tegu_mark before = tegu_arena_mark(c->buffers);
            if (!run_call(c, tokens + done, left < c->most ? left : c->most))
                return false;
            tegu_arena_release(c->buffers, before);
        }
        if (data->progress)
            data->progress(data->data, "calibrating", (double)(s + 1),
                           (double)sequences);
    }
    for (uint32_t i = 0; i < c->count; i++)
        if (c->stats[i].gram)
            mirror(c->stats[i].gram, c->stats[i].columns);
    return true;
}

static int64_t choose_sequences(const tegu_calibration *data, int64_t most)
{
    int64_t wanted = (most - 1) / data->length + 1;
    return most && wanted < data->sequences ? wanted : data->sequences;
}

/* Runs the requests over the tokens. */
static bool run(calibration *c, tegu_arena *arena, int64_t sequences)
{
    if (!ask(c) || !prepare(c, arena, sequences))
        return false;
    c->executor = c->data->compile(c->data->data, c->unit);
    if (!c->executor)
        return false;
    c->entry = &c->unit->entries.data[0];
    bool ok = run_sequences(c, sequences);
    c->executor->destroy(c->executor->self);
    return ok;
}

/* --- the store --- */

/* Requests that the store does not have. */
typedef struct missing {
    tegu_site_request *requests;
    tegu_site_stats *stats;
    uint32_t *place; /* among all */
    uint32_t count;
} missing;

/* Whether what was stored under the request's key is what was asked for. */
static bool answers(const calibration *c, uint32_t i)
{
    const tegu_site_request *request = &c->requests[i];
    const tegu_site_stats *stats = &c->stats[i];
    const tegu_type *type = tegu_graph_type(c->entry->graph, request->value);
    return (stats->columns == type->dims[type->rank - 1].offset &&
            !stats->gram == !request->gram &&
            !stats->samples == !request->sample_stride) ||
           tegu_error(c->unit->diag, tegu_loc_file(c->data->store->path),
                      TEGU_E_STATISTICS,
                      "what is stored of a value of type %s is not what was "
                      "asked about it; the file is damaged",
                      tegu_type_string(c->unit, c->scratch, type));
}

static bool look_up(const calibration *c, const tegu_digest *keys,
                    tegu_arena *arena, missing *m)
{
    tegu_stats_store *store = c->data->store;
    m->requests = TEGU_ARRAY(c->scratch, tegu_site_request, c->count + 1);
    m->stats = TEGU_ARRAY(c->scratch, tegu_site_stats, c->count + 1);
    m->place = TEGU_ARRAY(c->scratch, uint32_t, c->count + 1);
    for (uint32_t i = 0; i < c->count; i++) {
        c->stats[i] = (tegu_site_stats){0};
        if (!store->find(store->data, keys[i], arena, &c->stats[i]))
            return false;
        if (!c->stats[i].columns) {
            m->requests[m->count] = c->requests[i];
            m->place[m->count++] = i;
        } else if (!answers(c, i)) {
            return false;
        }
    }
    store->reused += c->count - m->count;
    store->computed += m->count;
    return true;
}

static bool lacks(const calibration *c, const missing *m)
{
    return tegu_error(
        c->unit->diag, tegu_loc_file(c->data->store->path), TEGU_E_STATISTICS,
        "this file lacks %" PRIu32 " of the statistics that a pass asks for: "
        "it is of another model, of other passes before this one, or of other "
        "options; give --calib FILE to compute them",
        m->count);
}

/* Takes what the store has, runs the rest and keeps it. */
static bool reuse(calibration *c, tegu_arena *arena, int64_t sequences)
{
    tegu_stats_store *store = c->data->store;
    tegu_digest *keys = TEGU_ARRAY(c->scratch, tegu_digest, c->count + 1);
    tegu_site_stats *all = c->stats;
    int64_t call = c->most < c->data->length ? c->most : c->data->length;
    missing m = {0};
    tegu_stats_keys(store, c->unit, c->entry, c->requests, c->count, sequences,
                    call, c->scratch, keys);
    if (!look_up(c, keys, arena, &m))
        return false;
    if (!m.count)
        return true;
    if (!c->data->tokens)
        return lacks(c, &m);
    c->requests = m.requests;
    c->stats = m.stats;
    c->count = m.count;
    if (!run(c, arena, sequences))
        return false;
    for (uint32_t i = 0; i < m.count; i++) {
        all[m.place[i]] = m.stats[i];
        if (!store->keep(store->data, keys[m.place[i]], &m.stats[i]))
            return false;
    }
    return true;
}

static bool calibrate(calibration *c, tegu_arena *arena, int64_t most_tokens)
{
    int64_t sequences = choose_sequences(c->data, most_tokens);
    if (!choose_entry(c) || !check_requests(c))
        return false;
    return c->data->store ? reuse(c, arena, sequences)
                          : run(c, arena, sequences);
}

bool tegu_calibrate(tegu_unit *unit, const tegu_calibration *data,
                    tegu_arena *arena, const tegu_site_request *requests,
                    uint32_t count, int64_t most_tokens, tegu_site_stats *stats)
{
    if (!data || data->sequences < 1 || data->length < 1)
        return tegu_error(unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "there is no calibration data; give --calib FILE");
    calibration c = {.data = data,
                     .requests = requests,
                     .stats = stats,
                     .count = count,
                     .scratch = tegu_arena_create(),
                     .buffers = tegu_arena_create()};
    bool ok = c.scratch && c.buffers;
    if (ok) {
        tegu_arena_on_failure(c.scratch, tegu_arena_failure(arena));
        tegu_arena_on_failure(c.buffers, tegu_arena_failure(arena));
        openblas_set_num_threads(1);
        c.unit = tegu_unit_clone(unit, c.scratch);
        ok = calibrate(&c, arena, most_tokens);
    } else {
        tegu_error(unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                   "out of memory");
    }
    tegu_arena_destroy(c.buffers);
    tegu_arena_destroy(c.scratch);
    return ok;
}

const tegu_calibration *tegu_pass_calibration(const tegu_unit *unit,
                                              const tegu_pass_env *env)
{
    if (!env->calibration)
        tegu_error(unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                   "pass '%s' needs calibration data; give --calib FILE",
                   tegu_options_pass(env->options));
    return env->calibration;
}

bool tegu_calibration_has_tokens(const tegu_unit *unit,
                                 const tegu_calibration *data, const char *what)
{
    return data->tokens ||
           tegu_error(unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "%s needs calibration tokens, which stored statistics "
                      "cannot replace; give --calib FILE",
                      what);
}
