/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The weights file, or an adapter's (docs/abi.md), from a plan: a head, then
 * the tensors in the plan's order, each padded to 64 bytes, written as they are
 * made.  A parameter is read, packed and written a block of rows at a time; a
 * constant expression is evaluated whole.  Memory: that, and one block.  One
 * changed parameter can be written again into a file held in memory.
 */
#include "codegen/weights.h"

#include <string.h>

#include "codegen/contract.h"

enum { BLOCK_BYTES = 8 << 20 };

typedef struct stream {
    const tegu_plan *plan;
    uint32_t adapter; /* which file; 0: the model's */
    tegu_arena *scratch;
    bool (*write)(void *data, const void *bytes, size_t size);
    void *data;
} stream;

static bool put(const stream *s, const void *bytes, size_t size)
{
    return size == 0 || s->write(s->data, bytes, size);
}

static bool pad(const stream *s, size_t written)
{
    static const unsigned char zeros[TEGU_ALIGNMENT];
    size_t over = written % TEGU_ALIGNMENT;
    return over == 0 || put(s, zeros, TEGU_ALIGNMENT - over);
}

static bool put_head(const stream *s)
{
    unsigned char head[TEGU_WEIGHTS_HEAD] = {0};
    const tegu_weights_file *file = &s->plan->files[s->adapter];
    uint64_t hash = file->hash, size = file->bytes;
    memcpy(head, s->adapter ? TEGU_ADAPTER_MAGIC : TEGU_WEIGHTS_MAGIC, 8);
    memcpy(head + 8, &hash, sizeof hash);
    memcpy(head + 16, &size, sizeof size);
    return put(s, head, sizeof head);
}

/* ---- packed ---- */

/* `rows` rows of the weight, from w on, as panels; they are a whole number of
 * panels but at the weight's end. */
static bool put_panels(const stream *s, const tegu_weight *weight,
                       const float *w, int64_t rows)
{
    unsigned panel = tegu_target_panel(s->plan->target, weight->n);
    int64_t k = weight->k;
    int64_t panels = (rows + panel - 1) / panel;
    size_t bytes = (size_t)panels * panel * (size_t)k * sizeof(float);
    float *packed = tegu_arena_alloc_raw(s->scratch, bytes);
    tegu_pack_panels(packed, w, rows, k, k, 1, panel, 0, panels);
    return put(s, packed, bytes);
}

/* Rows that make up a block, a whole number of panels. */
static int64_t block_rows(const stream *s, const tegu_weight *weight)
{
    int64_t panel = tegu_target_panel(s->plan->target, weight->n);
    int64_t rows = BLOCK_BYTES / (weight->k * (int64_t)sizeof(float));
    return rows < panel ? panel : rows / panel * panel;
}

static bool put_packed_param(const stream *s, const tegu_param *param,
                             const tegu_weight *w)
{
    int64_t step = block_rows(s, w);
    for (int64_t n = 0; n < w->n; n += step) {
        int64_t rows = w->n - n < step ? w->n - n : step;
        tegu_mark mark = tegu_arena_mark(s->scratch);
        float *block = tegu_arena_alloc_raw(
            s->scratch, (size_t)rows * (size_t)w->k * sizeof(float));
        bool done = tegu_param_read(s->plan->unit, param, n * w->k, rows * w->k,
                                    block) &&
                    put_panels(s, w, block, rows);
        tegu_arena_release(s->scratch, mark);
        if (!done)
            return false;
    }
    return true;
}

/* ---- row-major ---- */

static bool put_param(const stream *s, const tegu_param *param)
{
    int64_t count = tegu_type_elements(param->type);
    size_t element = tegu_dtype_bytes(param->type->dtype);
    int64_t step = BLOCK_BYTES / (int64_t)element;
    void *block = tegu_arena_alloc_raw(s->scratch, BLOCK_BYTES);
    for (int64_t i = 0; i < count; i += step) {
        int64_t n = count - i < step ? count - i : step;
        if (!tegu_param_read(s->plan->unit, param, i, n, block) ||
            !put(s, block, (size_t)n * element))
            return false;
    }
    return true;
}

static bool put_value(const stream *s, const tegu_weight *w)
{
    const tegu_type *t = tegu_graph_type(w->graph, w->value);
    size_t bytes = (size_t)tegu_type_elements(t) * tegu_dtype_bytes(t->dtype);
    void *values = tegu_arena_alloc_raw(s->scratch, bytes ? bytes : 1);
    if (!tegu_interp_constant(w->graph, w->value, s->scratch, values))
        return false;
    return w->packed ? put_panels(s, w, values, w->n) : put(s, values, bytes);
}

static bool put_weight(const stream *s, const tegu_weight *w)
{
    const tegu_node *node = tegu_graph_node(w->graph, w->value);
    if (node->op != TEGU_OP_PARAM)
        return put_value(s, w);
    const tegu_param *param =
        tegu_unit_find_param(s->plan->unit, tegu_node_text(node, "name"));
    return w->packed ? put_packed_param(s, param, w) : put_param(s, param);
}

bool tegu_weights_stream(const tegu_plan *plan, uint32_t adapter,
                         bool (*write)(void *data, const void *bytes,
                                       size_t size),
                         void *data)
{
    stream s = {.plan = plan, .adapter = adapter, .write = write, .data = data};
    s.scratch = tegu_arena_create();
    if (!s.scratch)
        return tegu_error(plan->unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                          "no memory to pack weights");
    tegu_arena_on_failure(s.scratch, tegu_arena_failure(plan->unit->arena));
    bool done = put_head(&s);
    for (uint32_t i = 0; done && i < plan->weights.count; i++) {
        const tegu_weight *w = &plan->weights.data[i];
        if (w->adapter != adapter)
            continue;
        tegu_mark mark = tegu_arena_mark(s.scratch);
        done = put_weight(&s, w) && pad(&s, w->bytes);
        tegu_arena_release(s.scratch, mark);
    }
    tegu_arena_destroy(s.scratch);
    return done;
}

/* ---- one parameter again ---- */

static bool depends(const tegu_graph *g, tegu_value v, const char *param)
{
    const tegu_node *node = tegu_graph_node(g, v);
    if (node->op == TEGU_OP_PARAM)
        return strcmp(tegu_node_text(node, "name"), param) == 0;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (depends(g, node->inputs[i], param))
            return true;
    return false;
}

/* Where the next bytes of a tensor in memory go. */
static bool put_there(void *data, const void *bytes, size_t size)
{
    unsigned char **to = data;
    memcpy(*to, bytes, size);
    *to += size;
    return true;
}

bool tegu_weights_reload(const tegu_plan *plan, const char *param, void *file)
{
    unsigned char *to;
    stream s = {.plan = plan, .write = put_there, .data = &to};
    bool done = true, found = false;
    s.scratch = tegu_arena_create();
    if (!s.scratch)
        return tegu_error(plan->unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                          "no memory to pack weights");
    tegu_arena_on_failure(s.scratch, tegu_arena_failure(plan->unit->arena));
    for (uint32_t i = 0; done && i < plan->weights.count; i++) {
        const tegu_weight *w = &plan->weights.data[i];
        if (w->adapter || !depends(w->graph, w->value, param))
            continue;
        tegu_mark mark = tegu_arena_mark(s.scratch);
        to = (unsigned char *)file + w->offset;
        found = true;
        done = put_weight(&s, w);
        tegu_arena_release(s.scratch, mark);
    }
    tegu_arena_destroy(s.scratch);
    return done && found;
}
