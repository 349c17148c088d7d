/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - the keys of statistics.
 *
 * Takes a graph; gives each value that is asked about a digest of all that it
 * is computed from.  A node is written as a record - op, type, attributes,
 * literals, its operands' digests - and the record's digest is the node's
 * (Merkle 1987).  A parameter stands for its bytes, not for its name.  States
 * make the graph cyclic: a state stands for its name and type, and the key has
 * the digests of the updates of all states that the value reads, directly or
 * through updates.  Names of nodes, axes and parameters, and all that the value
 * does not need, take no part.
 */
#include "passes/stats.h"

#include <string.h>

/* Changes when equal keys would mean other statistics. */
static const char edition[] = "tegu statistics 1";

typedef struct keying {
    tegu_stats_store *store;
    const tegu_unit *unit;
    const tegu_graph *graph;
    tegu_arena *scratch;
    tegu_digest *nodes; /* of needed values */
    bool *needed;
} keying;

/* --- records --- */

static void add_int(tegu_text *record, int64_t x)
{
    tegu_text_add(record, (const char *)&x, sizeof x);
}

static void add_double(tegu_text *record, double x)
{
    tegu_text_add(record, (const char *)&x, sizeof x);
}

static void add_digest(tegu_text *record, tegu_digest digest)
{
    tegu_text_add(record, (const char *)&digest, sizeof digest);
}

/* With its length, so that no two lists of texts give the same bytes. */
static void add_string(tegu_text *record, const char *text)
{
    add_int(record, (int64_t)strlen(text));
    tegu_text_add(record, text, strlen(text));
}

static tegu_digest close_record(const tegu_text *record)
{
    return tegu_digest_of(record->data, record->count);
}

static void add_type(const keying *k, tegu_text *record, const tegu_type *type)
{
    add_string(record, tegu_dtype_text(type->dtype));
    add_int(record, type->rank);
    for (uint32_t i = 0; i < type->rank; i++) {
        const tegu_dim *dim = &type->dims[i];
        add_int(record, dim->scale);
        add_int(record, dim->offset);
        if (!tegu_dim_is_static(*dim))
            add_string(record, k->unit->axes.data[dim->symbol].name);
    }
}

static void add_attr(tegu_text *record, const tegu_attr *attr)
{
    add_string(record, attr->info->key);
    switch (attr->info->kind) {
    case TEGU_ATTR_INT: add_int(record, attr->as.i); break;
    case TEGU_ATTR_FLOAT: add_double(record, attr->as.f); break;
    case TEGU_ATTR_BOOL: add_int(record, attr->as.b); break;
    case TEGU_ATTR_DTYPE: add_int(record, attr->as.dtype); break;
    case TEGU_ATTR_TEXT: add_string(record, attr->as.text); break;
    case TEGU_ATTR_INTS:
        add_int(record, attr->as.ints.count);
        for (uint32_t i = 0; i < attr->as.ints.count; i++)
            add_int(record, attr->as.ints.data[i]);
    }
}

/* --- parameters --- */

static bool is_pinned(const tegu_stats_store *store, const unsigned char *data,
                      size_t size)
{
    for (uint32_t i = 0; i < store->pinned.count; i++) {
        const tegu_pinned *p = &store->pinned.data[i];
        if (data >= p->data && size <= p->size &&
            (size_t)(data - p->data) <= p->size - size)
            return true;
    }
    return false;
}

static tegu_digest digest_data(tegu_stats_store *store, const void *data,
                               size_t size)
{
    const struct {
        uintptr_t data;
        size_t size;
    } place = {(uintptr_t)data, size};
    const uint64_t *known = NULL;
    tegu_digest digest;

    if (!is_pinned(store, data, size))
        return tegu_digest_of(data, size);
    if (!store->digests)
        store->digests = tegu_map_create(store->arena);
    known = tegu_map_find(store->digests, &place, sizeof place);
    if (known)
        return store->made.data[*known];
    digest = tegu_digest_of(data, size);
    tegu_map_set(store->digests, &place, sizeof place, store->made.count);
    tegu_vec_push(store->arena, &store->made, digest);
    return digest;
}

/* What the parameter's elements are. */
static void add_param(const keying *k, tegu_text *record, const char *name)
{
    const uint64_t *index =
        tegu_map_find(k->unit->param_index, name, strlen(name));
    const tegu_param *param = index ? &k->unit->params.data[*index] : NULL;
    int64_t count = param ? tegu_type_elements(param->type) : 0;

    if (param && param->source == TEGU_SOURCE_DATA) {
        add_string(record, tegu_dtype_text(param->stored));
        add_int(record, param->transposed);
        add_digest(record, digest_data(k->store, param->data,
                                       (size_t)count *
                                           tegu_dtype_bytes(param->stored)));
        return;
    }
    add_string(record, name);
    if (param && param->source == TEGU_SOURCE_RANDOM) {
        add_int(record, (int64_t)param->seed);
        add_double(record, param->std);
    }
}

/* --- nodes --- */

/* What an adapter is switched to is part of the model. */
static void add_scale(const keying *k, tegu_text *record, const char *name)
{
    const tegu_unit_adapter *adapter = tegu_unit_find_adapter(k->unit, name);

    add_double(record, adapter ? adapter->scale : 0);
}

static tegu_digest digest_node(const keying *k, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(k->graph, v);
    tegu_mark mark = tegu_arena_mark(k->scratch);
    tegu_text record = {.arena = k->scratch};
    tegu_digest digest;

    add_string(&record, tegu_op_get(node->op)->text);
    add_type(k, &record, node->type);
    if (node->op == TEGU_OP_PARAM) {
        add_param(k, &record, tegu_node_text(node, "name"));
    } else {
        uint32_t count = tegu_op_get(node->op)->attr_count;
        for (uint32_t i = 0; i < count; i++)
            add_attr(&record, &node->attrs[i]);
    }
    if (node->op == TEGU_OP_ADAPTER_SCALE)
        add_scale(k, &record, tegu_node_text(node, "name"));
    if (node->data)
        add_digest(&record,
                   tegu_digest_of(node->data,
                                  (size_t)tegu_type_elements(node->type) *
                                      tegu_dtype_bytes(node->type->dtype)));
    add_int(&record, node->input_count);
    for (uint32_t i = 0; i < node->input_count; i++)
        add_digest(&record, k->nodes[node->inputs[i]]);
    digest = close_record(&record);
    tegu_arena_release(k->scratch, mark);
    return digest;
}

static const tegu_update *find_update(const tegu_graph *g, const char *state)
{
    for (uint32_t i = 0; i < g->updates.count; i++)
        if (!strcmp(g->updates.data[i].state, state))
            return &g->updates.data[i];
    return NULL;
}

/* Marks what v needs, through the updates of states too. */
static void mark(const keying *k, bool *needed, tegu_value v)
{
    const tegu_graph *g = k->graph;
    bool again = true;

    needed[v] = true;
    while (again) {
        again = false;
        for (v = g->nodes.count - 1; v; v--) {
            const tegu_node *node = tegu_graph_node(g, v);
            const tegu_update *update = NULL;
            for (uint32_t i = 0; needed[v] && i < node->input_count; i++)
                needed[node->inputs[i]] = true;
            if (needed[v] && node->op == TEGU_OP_STATE)
                update = find_update(g, tegu_node_text(node, "name"));
            if (update && !needed[update->value])
                again = needed[update->value] = true;
        }
    }
}

/* --- keys --- */

/* The updates of all states that are needed. */
static void add_updates(const keying *k, tegu_text *record, const bool *needed)
{
    for (tegu_value v = 1; v < k->graph->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(k->graph, v);
        const tegu_update *update;
        if (!needed[v] || node->op != TEGU_OP_STATE)
            continue;
        update = find_update(k->graph, tegu_node_text(node, "name"));
        add_string(record, tegu_node_text(node, "name"));
        if (update)
            add_digest(record, k->nodes[update->value]);
    }
}

static tegu_digest key_of(const keying *k, const tegu_site_request *request,
                          int64_t sequences, int64_t call)
{
    tegu_mark before = tegu_arena_mark(k->scratch);
    tegu_text record = {.arena = k->scratch};
    bool *needed = TEGU_ARRAY(k->scratch, bool, k->graph->nodes.count);
    tegu_digest key;

    mark(k, needed, request->value);
    add_string(&record, edition);
    add_digest(&record, k->nodes[request->value]);
    add_updates(k, &record, needed);
    add_digest(&record, k->store->tokens);
    add_int(&record, sequences);
    add_int(&record, call);
    add_int(&record, request->gram);
    add_int(&record, request->normalised);
    add_int(&record, request->sample_stride);
    key = close_record(&record);
    tegu_arena_release(k->scratch, before);
    return key;
}

void tegu_stats_keys(tegu_stats_store *store, const tegu_unit *unit,
                     const tegu_entry *step, const tegu_site_request *requests,
                     uint32_t count, int64_t sequences, int64_t call,
                     tegu_arena *scratch, tegu_digest *keys)
{
    const tegu_graph *g = step->graph;
    keying k = {.store = store,
                .unit = unit,
                .graph = g,
                .scratch = scratch,
                .nodes = TEGU_ARRAY(scratch, tegu_digest, g->nodes.count),
                .needed = TEGU_ARRAY(scratch, bool, g->nodes.count)};

    for (uint32_t i = 0; i < count; i++)
        mark(&k, k.needed, requests[i].value);
    for (tegu_value v = 1; v < g->nodes.count; v++)
        if (k.needed[v])
            k.nodes[v] = digest_node(&k, v);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = key_of(&k, &requests[i], sequences, call);
}

tegu_digest tegu_tokens_digest(const int32_t *tokens, int64_t sequences,
                               int64_t length)
{
    const int64_t shape[2] = {sequences, length};
    tegu_digest parts[2];

    parts[0] = tegu_digest_of(shape, sizeof shape);
    parts[1] = tegu_digest_of(tokens, (size_t)sequences * (size_t)length *
                                          sizeof *tokens);
    return tegu_digest_of(parts, sizeof parts);
}

void tegu_stats_pin(tegu_stats_store *store, const void *data, size_t size)
{
    tegu_pinned pinned = {data, size};

    tegu_vec_push(store->arena, &store->pinned, pinned);
}
