/* SPDX-License-Identifier: Apache-2.0 */
/* interp_run.c - the interpreter's interface: shadows of a graph, constants,
 * and the executor, which keeps a model's state between calls.
 *
 * Each run works in an arena of its own, because bodies of composites and
 * messages made on the way outlive it in the unit's.
 */
#include "ir/interp.h"

#include <string.h>

/* --- one run --- */

/* True when every INPUT of the graph is an argument of the entry. */
static bool names_arguments(const tegu_entry *entry, const tegu_graph *graph)
{
    for (tegu_value v = 1; v < graph->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(graph, v);
        uint32_t i = 0, count = entry->arguments.count;
        if (node->op != TEGU_OP_INPUT)
            continue;
        while (i < count && strcmp(entry->arguments.data[i].name,
                                   tegu_node_text(node, "name")) != 0)
            i++;
        if (i == count)
            return false;
    }
    return true;
}

/* The entry whose arguments the graph's inputs name: its own, or that which a
 * pass took the graph from. */
static const tegu_entry *entry_of(const tegu_graph *graph, uint32_t inputs)
{
    const tegu_unit *unit = graph->unit;
    for (uint32_t i = 0; i < unit->entries.count; i++)
        if (unit->entries.data[i].graph == graph)
            return &unit->entries.data[i];
    for (uint32_t i = 0; i < unit->entries.count; i++)
        if (unit->entries.data[i].arguments.count == inputs &&
            names_arguments(&unit->entries.data[i], graph))
            return &unit->entries.data[i];
    return NULL;
}

/* Starts a run with an arena that fails as `like` does; finish destroys it. */
static void start(tegu_interp *it, const tegu_graph *graph, tegu_arena *like)
{
    memset(it, 0, sizeof *it);
    it->unit = graph->unit;
    it->graph = graph;
    it->arena = tegu_arena_create();
    if (!it->arena)
        tegu_arena_fail(like);
    tegu_arena_on_failure(it->arena, tegu_arena_failure(like));
}

static void finish(tegu_interp *it)
{
    tegu_arena_destroy(it->arena);
}

/* Copies what the cell borrows: it may be a state that an update writes. */
static void detach(tegu_interp *it, tegu_cell *cell)
{
    for (int p = 0; p < TEGU_PLANE_COUNT; p++) {
        tegu_block *old = cell->planes[p];
        if (!old || !old->borrowed)
            continue;
        void *to = tegu_cell_plane(it, cell, (tegu_plane)p);
        memcpy(to, old->data,
               (size_t)cell->count * tegu_plane_bytes(cell, (tegu_plane)p));
        tegu_block_drop(it, old);
    }
}

/* Evaluates the graph's results, then its updates, into cells. */
static bool run_entry(tegu_interp *it, tegu_cell **cells)
{
    const tegu_graph *g = it->graph;
    uint32_t count = g->results.count + g->updates.count;
    tegu_value *roots = TEGU_ARRAY(it->arena, tegu_value, count + 1);
    *cells = TEGU_ARRAY(it->arena, tegu_cell, count + 1);
    for (uint32_t i = 0; i < g->results.count; i++)
        roots[i] = g->results.data[i].value;
    for (uint32_t i = 0; i < g->updates.count; i++)
        roots[g->results.count + i] = g->updates.data[i].value;
    if (!tegu_interp_graph(it, g, roots, count, *cells))
        return false;
    for (uint32_t i = g->results.count; i < count; i++)
        detach(it, &(*cells)[i]);
    return true;
}

/* --- cells out --- */

/* The cell's values: f32 (rounded from the shadow) or integers. */
static void store_values(const tegu_cell *cell, void *to)
{
    const double *exact = tegu_cell_at(cell, TEGU_PLANE_EXACT);
    size_t bytes =
        (size_t)cell->count * tegu_plane_bytes(cell, TEGU_PLANE_DATA);
    for (int64_t i = 0; exact && i < cell->count; i++)
        ((float *)to)[i] = (float)exact[i];
    if (!exact && bytes)
        memcpy(to, tegu_cell_at(cell, TEGU_PLANE_DATA), bytes);
}

/* Fills what the shadow has not, in the arena, and copies the cell there. */
static void store_shadow(const tegu_cell *cell, tegu_arena *arena,
                         tegu_shadow *out)
{
    size_t count = (size_t)cell->count;
    out->value.dtype = cell->dtype;
    out->value.rank = cell->rank;
    memcpy(out->value.dims, cell->dims, sizeof cell->dims);
    if (!out->value.data)
        out->value.data =
            tegu_arena_array(arena, count, tegu_dtype_bytes(cell->dtype));
    store_values(cell, out->value.data);
    if (cell->dtype == TEGU_F32) {
        if (!out->exact)
            out->exact = TEGU_ARRAY(arena, double, count);
        if (!out->bound)
            out->bound = TEGU_ARRAY(arena, double, count);
        tegu_cell_load(cell, 0, cell->count, out->exact, out->bound);
        return;
    }
    const uint8_t *unsure = tegu_cell_at(cell, TEGU_PLANE_UNSURE);
    if (unsure && !out->uncertain)
        out->uncertain = TEGU_ARRAY(arena, uint8_t, count);
    if (unsure)
        memcpy(out->uncertain, unsure, count);
    else
        out->uncertain = NULL;
}

/* --- shadows and constants --- */

tegu_shadow *tegu_interp_states(const tegu_unit *unit, tegu_arena *arena)
{
    tegu_shadow *states =
        TEGU_ARRAY(arena, tegu_shadow, unit->states.count + 1);
    for (uint32_t i = 0; i < unit->states.count; i++) {
        const tegu_type *type = unit->states.data[i].type;
        tegu_tensor *t = &states[i].value;
        t->dtype = type->dtype;
        t->rank = type->rank;
        for (uint32_t d = 0; d < t->rank; d++)
            t->dims[d] = type->dims[d].offset;
        t->data = tegu_arena_array(arena, (size_t)tegu_tensor_elements(t),
                                   tegu_dtype_bytes(t->dtype));
    }
    return states;
}

static bool run_shadows(const tegu_graph *graph, tegu_arena *arena,
                        const tegu_tensor *inputs, uint32_t input_count,
                        tegu_shadow *states, int64_t position,
                        const int64_t *symbols, bool likely,
                        tegu_shadow *results)
{
    tegu_interp it;
    start(&it, graph, arena);
    it.shadow = true;
    it.likely = likely;
    it.symbols = symbols;
    it.position = position;
    it.inputs = inputs;
    it.entry = entry_of(graph, input_count);
    it.states = states;
    tegu_cell *cells;
    bool done = run_entry(&it, &cells);
    for (uint32_t i = 0; done && i < graph->results.count; i++) {
        results[i] = (tegu_shadow){0};
        store_shadow(&cells[i], arena, &results[i]);
    }
    for (uint32_t i = 0; done && i < graph->updates.count; i++) {
        const tegu_state *state =
            tegu_unit_find_state(graph->unit, graph->updates.data[i].state);
        store_shadow(&cells[graph->results.count + i], arena,
                     &states[state - graph->unit->states.data]);
    }
    finish(&it);
    return done;
}

bool tegu_interp_shadow(const tegu_graph *graph, tegu_arena *arena,
                        const tegu_tensor *inputs, uint32_t input_count,
                        tegu_shadow *states, int64_t position,
                        const int64_t *symbols, tegu_shadow *results)
{
    return run_shadows(graph, arena, inputs, input_count, states, position,
                       symbols, false, results);
}

bool tegu_interp_likely(const tegu_graph *graph, tegu_arena *arena,
                        const tegu_tensor *inputs, uint32_t input_count,
                        tegu_shadow *states, int64_t position,
                        const int64_t *symbols, tegu_shadow *results)
{
    return run_shadows(graph, arena, inputs, input_count, states, position,
                       symbols, true, results);
}

bool tegu_interp_constant(const tegu_graph *graph, tegu_value v,
                          tegu_arena *scratch, void *out)
{
    tegu_interp it;
    tegu_cell cell = {0};
    start(&it, graph, scratch);
    bool done = tegu_interp_graph(&it, graph, &v, 1, &cell);
    if (done)
        store_values(&cell, out);
    finish(&it);
    return done;
}

/* --- executor --- */

typedef struct session {
    tegu_executor executor;
    tegu_unit *unit;
    tegu_arena *arena;
    tegu_shadow *states;
    int64_t *symbols;
    int64_t position;
} session;

static void store_results(const tegu_interp *it, const tegu_cell *cells,
                          session *s, tegu_tensor *outputs)
{
    const tegu_graph *g = it->entry->graph;
    for (uint32_t i = 0; i < g->results.count; i++)
        store_values(&cells[i], outputs[i].data);
    for (uint32_t i = 0; i < g->updates.count; i++) {
        const tegu_state *state =
            tegu_unit_find_state(s->unit, g->updates.data[i].state);
        store_values(&cells[g->results.count + i],
                     s->states[state - s->unit->states.data].value.data);
    }
    if (g->updates.count)
        s->position += it->appended;
}

static bool session_call(void *self, const char *name,
                         const tegu_tensor *inputs, uint32_t input_count,
                         tegu_tensor *outputs, uint32_t output_count)
{
    session *s = self;
    const tegu_entry *entry = tegu_unit_bind(s->unit, name, inputs, input_count,
                                             output_count, s->symbols);
    if (!entry)
        return false;
    tegu_interp it;
    tegu_cell *cells;
    start(&it, entry->graph, s->arena);
    it.symbols = s->symbols;
    it.position = s->position;
    it.inputs = inputs;
    it.entry = entry;
    it.states = s->states;
    bool done = run_entry(&it, &cells);
    if (done)
        store_results(&it, cells, s, outputs);
    finish(&it);
    return done;
}

/* Rows of every state from `first` on become zero, as they were at first. */
static void clear_rows(session *s, int64_t first)
{
    for (uint32_t i = 0; i < s->unit->states.count; i++) {
        tegu_tensor *t = &s->states[i].value;
        size_t bytes =
            (size_t)tegu_tensor_elements(t) * tegu_dtype_bytes(t->dtype);
        int64_t rows = t->rank ? t->dims[0] : 1;
        if (!bytes || first >= rows)
            continue;
        size_t kept = bytes / (size_t)rows * (size_t)first;
        memset((char *)t->data + kept, 0, bytes - kept);
    }
}

static void session_reset(void *self)
{
    session *s = self;
    s->position = 0;
    clear_rows(s, 0);
}

static int64_t session_position(void *self)
{
    return ((session *)self)->position;
}

/* Caches keep their earlier rows and forget the later ones, as the ABI's
 * rewind does; a state that was replaced is gone. */
static bool session_rewind(void *self, int64_t position)
{
    session *s = self;
    if (position < 0 || position > s->position)
        return false;
    if (position == 0) {
        session_reset(self);
        return true;
    }
    if (position == s->position)
        return true;
    for (uint32_t i = 0; i < s->unit->states.count; i++)
        if (!s->unit->states.data[i].appended)
            return false;
    clear_rows(s, position);
    s->position = position;
    return true;
}

/* Parameters are read at every call. */
static bool session_reload(void *self, const char *param)
{
    session *s = self;
    return tegu_unit_find_param(s->unit, param) != NULL;
}

static void session_destroy(void *self)
{
    (void)self; /* the arena's owner frees it */
}

tegu_executor *tegu_interp_create(tegu_unit *unit, tegu_arena *arena)
{
    session *s = TEGU_NEW(arena, session);
    s->unit = unit;
    s->arena = arena;
    s->states = tegu_interp_states(unit, arena);
    s->symbols = TEGU_ARRAY(arena, int64_t, unit->axes.count);
    s->executor = (tegu_executor){
        .self = s,
        .call = session_call,
        .reset = session_reset,
        .position = session_position,
        .rewind = session_rewind,
        .reload = session_reload,
        .destroy = session_destroy,
    };
    return &s->executor;
}
