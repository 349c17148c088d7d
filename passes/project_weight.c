/* SPDX-License-Identifier: Apache-2.0 */
/* project_weight.c - weights under a change of basis.
 *
 * Takes constants of a model graph and factors for their sides; produces new
 * parameters left^T W right in f32, each rounded once from an f64 product
 * (cblas_dgemm over blocks of rows).  A parameter is made once per (weight,
 * factors) and kept for the life of the model; the old ones are left as they
 * are until tegu_weights_settle.
 */
#include "passes/adapted.h"
#include "passes/project.h"

#include <cblas.h>
#include <inttypes.h>
#include <string.h>

enum { BLOCK_ROWS = 256 };

static const tegu_factor no_factor;

/* FNV-1a over the bytes. */
uint64_t tegu_numbers_key(const double *data, int64_t count)
{
    const unsigned char *bytes = (const unsigned char *)data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; data && i < (size_t)count * sizeof *data; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

/* --- reading constants --- */

/* The constant's elements as f32 in `arena`. */
static float *read_floats(const tegu_graph *g, tegu_value v, tegu_arena *arena)
{
    const tegu_node *node = tegu_graph_node(g, v);
    int64_t count = tegu_type_elements(node->type);
    float *data = tegu_arena_alloc_raw(arena, (size_t)count * sizeof *data);
    if (node->op == TEGU_OP_PARAM) {
        const tegu_param *param =
            tegu_unit_find_param(g->unit, tegu_node_text(node, "name"));
        return tegu_param_read(g->unit, param, 0, count, data) ? data : NULL;
    }
    return tegu_interp_constant(g, v, arena, data) ? data : NULL;
}

/* --- products --- */

/* out = left^T w right, w [rows, columns]; a factor without data is 1. */
static void product(tegu_weights *weights, const float *w, int64_t rows,
                    int64_t columns, const tegu_factor *left,
                    const tegu_factor *right, float *out)
{
    tegu_arena *scratch = weights->scratch;
    int64_t n = right->data ? right->columns : columns;
    int64_t m = left->data ? left->columns : rows;
    double *block = TEGU_ARRAY(scratch, double, (size_t)(BLOCK_ROWS * columns));
    double *half = TEGU_ARRAY(scratch, double, (size_t)(BLOCK_ROWS * n));
    double *sum =
        left->data ? TEGU_ARRAY(scratch, double, (size_t)(m * n)) : NULL;
    for (int64_t r = 0; r < rows; r += BLOCK_ROWS) {
        int64_t some = rows - r < BLOCK_ROWS ? rows - r : BLOCK_ROWS;
        const double *have = block;
        for (int64_t i = 0; i < some * columns; i++)
            block[i] = w[r * columns + i];
        if (right->data) {
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)some,
                        (int)n, (int)columns, 1, block, (int)columns,
                        right->data, (int)n, 0, half, (int)n);
            have = half;
        }
        if (left->data)
            cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)n,
                        (int)some, 1, left->data + r * m, (int)m, have, (int)n,
                        1, sum, (int)n);
        for (int64_t i = 0; !left->data && i < some * n; i++)
            out[r * n + i] = (float)have[i];
    }
    for (int64_t i = 0; sum && i < m * n; i++)
        out[i] = (float)sum[i];
}

/* --- parameters --- */

/* "model.layers.0.mlp.up_proj.weight" -> "model.layers.0.mlp.up_proj" */
static const char *stem(tegu_arena *arena, const char *name)
{
    size_t size = strlen(name), tail = strlen(".weight");
    if (size > tail && !strcmp(name + size - tail, ".weight"))
        size -= tail;
    return tegu_format(arena, "%.*s", (int)size, name);
}

static tegu_weight *find_made(const tegu_weights *weights, const char *key)
{
    for (uint32_t i = 0; i < weights->made.count; i++)
        if (!strcmp(weights->made.data[i].key, key))
            return &weights->made.data[i];
    return NULL;
}

/* A name that neither the unit nor another made weight has. */
static const char *fresh_name(const tegu_weights *weights,
                              const tegu_unit *unit, const char *name)
{
    const char *tried = name;
    for (uint32_t n = 2;; n++) {
        bool taken = tegu_unit_find_param((tegu_unit *)unit, tried) != NULL;
        for (uint32_t i = 0; i < weights->made.count; i++)
            taken |= !strcmp(weights->made.data[i].name, tried);
        if (!taken)
            return tried;
        tried = tegu_format(weights->arena, "%s.%" PRIu32, name, n);
    }
}

/* A PARAM of `into`'s unit for a made weight. */
static tegu_value place(const tegu_weight *made, tegu_graph *into, tegu_loc loc)
{
    tegu_unit *unit = into->unit;
    tegu_param *have = tegu_unit_find_param(unit, made->name);
    tegu_param param = {.name = tegu_intern_cstr(unit->names, made->name),
                        .type = tegu_unit_type(unit, made->type),
                        .loc = loc,
                        .source = TEGU_SOURCE_DATA,
                        .stored = TEGU_F32,
                        .data = made->data,
                        .adapter = made->adapter};
    uint32_t index;
    if (!have && !tegu_unit_add_param(unit, &param, &index))
        return 0;
    return tegu_build_param(into, loc, made->name);
}

/* The made weight of this key; `mark`: scratch memory as it was before. */
static tegu_value put(const tegu_weights *weights, const char *key,
                      tegu_graph *into, tegu_loc loc, tegu_mark mark)
{
    tegu_value made = place(find_made(weights, key), into, loc);
    tegu_arena_release(weights->scratch, mark);
    return made;
}

/* Room for a new weight's elements. */
static float *make(tegu_weights *weights, const tegu_unit *unit,
                   const char *key, const char *name, const char *base,
                   const tegu_type *type)
{
    int64_t count = tegu_type_elements(type);
    float *data =
        tegu_arena_alloc_raw(weights->arena, (size_t)count * sizeof *data);
    tegu_weight made = {.key = tegu_format(weights->arena, "%s", key),
                        .name = fresh_name(weights, unit, name),
                        .wanted = name,
                        .base = base,
                        .type =
                            tegu_arena_copy(weights->arena, type, sizeof *type),
                        .data = data};
    tegu_vec_push(weights->arena, &weights->made, made);
    return data;
}

/* --- weights --- */

static const char *constant_name(const tegu_graph *g, tegu_value v,
                                 tegu_arena *arena)
{
    const tegu_node *node = tegu_graph_node(g, v);
    while (node->op != TEGU_OP_PARAM && node->input_count)
        node = tegu_graph_node(g, node->inputs[0]);
    return node->op == TEGU_OP_PARAM
               ? tegu_node_text(node, "name")
               : tegu_format(arena, "constant.%" PRIu32, v);
}

/* What tells constants over one parameter apart, in whatever entry: 0 for the
 * parameter, else a hash of the computation. */
static uint64_t constant_hash(const tegu_graph *g, tegu_value v)
{
    tegu_graph view = {.unit = g->unit, .level = g->level};
    if (tegu_graph_node(g, v)->op == TEGU_OP_PARAM)
        return 0;
    memcpy(&view.nodes, &g->nodes, sizeof view.nodes);
    tegu_graph_add_result(&view, "", v);
    return tegu_graph_hash(&view);
}

/* A constant as a matrix [.., last dimension]: all or its first rows, maybe
 * transposed. */
typedef struct view {
    tegu_value v;
    int64_t rows; /* leading rows taken; 0: all */
    bool transposed;
    const char *tag; /* tells views of one constant apart */
} view;

static tegu_type view_type(const tegu_graph *from, const view *w,
                           const tegu_factor *left, const tegu_factor *right)
{
    tegu_type type = *tegu_graph_type(from, w->v);
    if (w->rows)
        type.dims[0] = tegu_dim_static(w->rows);
    if (w->transposed) {
        tegu_dim first = type.dims[0];
        type.dims[0] = type.dims[1];
        type.dims[1] = first;
    }
    if (left->data)
        type.dims[0] = left->dim;
    if (right->data)
        type.dims[type.rank - 1] = right->dim;
    return type;
}

static const float *view_data(const tegu_graph *from, const view *w,
                              tegu_arena *scratch, int64_t *rows,
                              int64_t *columns)
{
    const tegu_type *type = tegu_graph_type(from, w->v);
    const float *data = read_floats(from, w->v, scratch);
    *columns = type->dims[type->rank - 1].offset;
    *rows = w->rows ? w->rows : tegu_type_elements(type) / *columns;
    if (!data || !w->transposed)
        return data;
    float *turned = TEGU_ARRAY(scratch, float, (size_t)(*rows * *columns));
    for (int64_t r = 0; r < *rows; r++)
        for (int64_t c = 0; c < *columns; c++)
            turned[c * *rows + r] = data[r * *columns + c];
    int64_t swap = *rows;
    *rows = *columns;
    *columns = swap;
    return turned;
}

static tegu_value project_view(tegu_weights *weights, const tegu_graph *from,
                               tegu_graph *into, const view *w,
                               const tegu_factor *left,
                               const tegu_factor *right)
{
    const tegu_node *node = tegu_graph_node(from, w->v);
    tegu_mark mark = tegu_arena_mark(weights->scratch);
    const char *name = constant_name(from, w->v, weights->arena);
    const char *key =
        tegu_format(weights->scratch, "%s|%s|%" PRIx64 "|%" PRIx64 "|%" PRIx64,
                    name, w->tag, left->data ? left->key : 0,
                    right->data ? right->key : 0, constant_hash(from, w->v));
    if (!find_made(weights, key)) {
        int64_t rows, columns;
        const float *data =
            view_data(from, w, weights->scratch, &rows, &columns);
        tegu_type type = view_type(from, w, left, right);
        if (!data)
            return 0;
        const char *base = node->op == TEGU_OP_PARAM && !*w->tag ? name : NULL;
        const char *called =
            *w->tag ? tegu_format(weights->arena, "%s.%s",
                                  stem(weights->arena, name), w->tag)
                    : name;
        float *out = make(weights, into->unit, key, called, base, &type);
        find_made(weights, key)->adapter = tegu_graph_adapter(from, w->v);
        product(weights, data, rows, columns, left, right, out);
    }
    return put(weights, key, into, node->loc, mark);
}

/* lora(w, a, b) with all three projected; singlora's two prefixes become a
 * pair. */
static tegu_value project_adapter(tegu_weights *weights, const tegu_graph *from,
                                  tegu_graph *into, const tegu_node *node,
                                  const tegu_factor *left,
                                  const tegu_factor *right)
{
    const tegu_type *type = node->type;
    bool pair = node->op == TEGU_OP_LORA;
    view a = {node->inputs[1], 0, false, ""};
    view b = {node->inputs[pair ? 2 : 1], 0, false, ""};
    tegu_attr scale = tegu_attr_of_float(TEGU_OP_LORA, "scale",
                                         tegu_node_float(node, "scale"));
    if (!pair) {
        a = (view){a.v, type->dims[1].offset, true, "lora_A"};
        b = (view){a.v, type->dims[0].offset, false, "lora_B"};
    }
    tegu_value inputs[] = {
        tegu_project_weight(weights, from, into, node->inputs[0], left, right),
        project_view(weights, from, into, &a, &no_factor, right),
        project_view(weights, from, into, &b, left, &no_factor)};
    return tegu_build(into, node->loc, TEGU_OP_LORA, 3, inputs, 1, &scale,
                      NULL);
}

tegu_value tegu_project_weight(tegu_weights *weights, const tegu_graph *from,
                               tegu_graph *into, tegu_value v,
                               const tegu_factor *left,
                               const tegu_factor *right)
{
    const tegu_node *node = tegu_graph_node(from, v);
    view all = {v, 0, false, ""};
    if (node->op == TEGU_OP_LORA || node->op == TEGU_OP_SINGLORA)
        return project_adapter(weights, from, into, node, left, right);
    return project_view(weights, from, into, &all, left, right);
}

/* --- weights of any rank --- */

/* One index of a constant's axes before the first projected one, f64. */
typedef struct block {
    int64_t dims[TEGU_MAX_RANK];
    uint32_t rank;
    double *data;
} block;

/* Projects one axis of a block: out[p, j, q] = sum_i F[i, j] in[p, i, q]. */
static void project_axis(block *b, uint32_t axis, const tegu_factor *factor,
                         tegu_arena *scratch)
{
    int64_t before = 1, after = 1, n = b->dims[axis], m = factor->columns;
    for (uint32_t k = 0; k < axis; k++)
        before *= b->dims[k];
    for (uint32_t k = axis + 1; k < b->rank; k++)
        after *= b->dims[k];
    double *out = tegu_arena_array(scratch, (size_t)(before * after),
                                   (size_t)m * sizeof *out);
    for (int64_t p = 0; after > 1 && p < before; p++)
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)after,
                    (int)n, 1, factor->data, (int)m, b->data + p * n * after,
                    (int)after, 0, out + p * m * after, (int)after);
    if (after == 1)
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)before,
                    (int)m, (int)n, 1, b->data, (int)n, factor->data, (int)m, 0,
                    out, (int)m);
    b->dims[axis] = m;
    b->data = out;
}

/* All blocks of `w`, a constant of this type, one after another. */
static void project_blocks(tegu_weights *weights, const tegu_type *type,
                           const float *w, const int axes[2],
                           const tegu_factor factors[2], float *out)
{
    uint32_t first = type->rank;
    int64_t blocks = 1, size = 1;
    for (uint32_t i = 0; i < 2; i++)
        if (factors[i].data && (uint32_t)axes[i] < first)
            first = (uint32_t)axes[i];
    for (uint32_t k = 0; k < type->rank; k++)
        *(k < first ? &blocks : &size) *= type->dims[k].offset;
    for (int64_t p = 0; p < blocks; p++) {
        tegu_mark mark = tegu_arena_mark(weights->scratch);
        block b = {.rank = type->rank - first};
        int64_t left = 1;
        b.data = TEGU_ARRAY(weights->scratch, double, (size_t)size);
        for (int64_t i = 0; i < size; i++)
            b.data[i] = w[p * size + i];
        for (uint32_t k = 0; k < b.rank; k++)
            b.dims[k] = type->dims[first + k].offset;
        for (uint32_t i = 0; i < 2; i++)
            if (factors[i].data)
                project_axis(&b, (uint32_t)axes[i] - first, &factors[i],
                             weights->scratch);
        for (uint32_t k = 0; k < b.rank; k++)
            left *= b.dims[k];
        for (int64_t i = 0; i < left; i++)
            out[p * left + i] = (float)b.data[i];
        tegu_arena_release(weights->scratch, mark);
    }
}

static tegu_type stack_type(const tegu_type *from, const int axes[2],
                            const tegu_factor factors[2], bool summed)
{
    tegu_type type = *from;
    for (uint32_t i = 0; i < 2; i++)
        if (factors[i].data)
            type.dims[axes[i]] = factors[i].dim;
    for (uint32_t k = (uint32_t)axes[1]; summed && k + 1 < type.rank; k++)
        type.dims[k] = type.dims[k + 1];
    type.rank -= summed;
    return type;
}

tegu_value tegu_project_stack(tegu_weights *weights, const tegu_graph *from,
                              tegu_graph *into, tegu_value v, const int axes[2],
                              const tegu_factor factors[2], const double *shift)
{
    const tegu_node *node = tegu_graph_node(from, v);
    tegu_mark mark = tegu_arena_mark(weights->scratch);
    const char *name = constant_name(from, v, weights->arena);
    tegu_factor by[2] = {factors[0], factors[1]};
    if (shift) {
        int64_t n = node->type->dims[axes[1]].offset;
        by[1] = (tegu_factor){shift, n, 1, tegu_dim_static(1),
                              tegu_numbers_key(shift, n)};
    }
    const char *key = tegu_format(
        weights->scratch, "%s|%s|%d:%" PRIx64 "|%d:%" PRIx64 "|%" PRIx64, name,
        shift ? "sum" : "stack", axes[0], by[0].data ? by[0].key : 0, axes[1],
        by[1].data ? by[1].key : 0, constant_hash(from, v));
    if (!find_made(weights, key)) {
        const float *data = read_floats(from, v, weights->scratch);
        tegu_type type = stack_type(node->type, axes, by, shift != NULL);
        bool param = node->op == TEGU_OP_PARAM && !shift;
        const char *called = shift ? tegu_format(weights->arena, "%s.bias",
                                                 stem(weights->arena, name))
                                   : name;
        if (!data)
            return 0;
        project_blocks(
            weights, node->type, data, axes, by,
            make(weights, into->unit, key, called, param ? name : NULL, &type));
    }
    return put(weights, key, into, node->loc, mark);
}

/* --- vectors and skips --- */

/* left^T x [left.rows]; x itself without a factor. */
static void transposed_times(const tegu_factor *left, const double *x,
                             int64_t n, float *out)
{
    for (int64_t j = 0; !left->data && j < n; j++)
        out[j] = (float)x[j];
    for (int64_t j = 0; left->data && j < left->columns; j++) {
        double sum = 0;
        for (int64_t i = 0; i < left->rows; i++)
            sum += left->data[i * left->columns + j] * x[i];
        out[j] = (float)sum;
    }
}

/* b + W shift in scratch; NULL after reporting. */
static double *whole_bias(tegu_weights *weights, const tegu_graph *from,
                          const tegu_node *linear, const double *shift)
{
    tegu_arena *scratch = weights->scratch;
    const tegu_type *type = tegu_graph_type(from, linear->inputs[1]);
    int64_t rows = type->dims[0].offset, columns = type->dims[1].offset;
    double *sum = linear->input_count > 2
                      ? tegu_constant_read(from, linear->inputs[2], scratch)
                      : TEGU_ARRAY(scratch, double, (size_t)rows);
    const float *w =
        shift ? read_floats(from, linear->inputs[1], scratch) : NULL;
    if (!sum || (shift && !w))
        return NULL;
    for (int64_t r = 0; shift && r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            sum[r] += w[r * columns + c] * shift[c];
    return sum;
}

tegu_value tegu_project_bias(tegu_weights *weights, const tegu_graph *from,
                             tegu_graph *into, const tegu_node *linear,
                             const tegu_factor *left, const double *shift)
{
    const tegu_type *w = tegu_graph_type(from, linear->inputs[1]);
    bool has = linear->input_count > 2;
    tegu_mark mark = tegu_arena_mark(weights->scratch);
    const char *weight = constant_name(from, linear->inputs[1], weights->arena);
    const char *name =
        has ? constant_name(from, linear->inputs[2], weights->arena)
            : tegu_format(weights->arena, "%s.bias",
                          stem(weights->arena, weight));
    const char *key =
        tegu_format(weights->scratch, "%s|%s|bias|%" PRIx64 "|%" PRIx64, name,
                    weight, left->data ? left->key : 0,
                    shift ? tegu_numbers_key(shift, w->dims[1].offset) : 0);
    if (!find_made(weights, key)) {
        double *sum = whole_bias(weights, from, linear, shift);
        tegu_type type = {.dtype = TEGU_F32, .rank = 1, .dims = {w->dims[0]}};
        if (!sum)
            return 0;
        if (left->data)
            type.dims[0] = left->dim;
        bool param = has && tegu_graph_node(from, linear->inputs[2])->op ==
                                TEGU_OP_PARAM;
        float *out =
            make(weights, into->unit, key, name, param ? name : NULL, &type);
        transposed_times(left, sum, w->dims[0].offset, out);
    }
    return put(weights, key, into, linear->loc, mark);
}

tegu_value tegu_project_skip(tegu_weights *weights, tegu_graph *into,
                             tegu_loc loc, const char *name,
                             const tegu_factor *left, const tegu_factor *right)
{
    tegu_mark mark = tegu_arena_mark(weights->scratch);
    const char *key =
        tegu_format(weights->scratch, "%s|skip|%" PRIx64 "|%" PRIx64, name,
                    left->key, right->key);
    if (!find_made(weights, key)) {
        int64_t m = left->columns, n = right->columns;
        tegu_type type = {
            .dtype = TEGU_F32, .rank = 2, .dims = {left->dim, right->dim}};
        double *wide = TEGU_ARRAY(weights->scratch, double, (size_t)(m * n));
        const char *called =
            tegu_format(weights->arena, "%s.skip", stem(weights->arena, name));
        float *out = make(weights, into->unit, key, called, NULL, &type);
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)n,
                    (int)left->rows, 1, left->data, (int)m, right->data, (int)n,
                    0, wide, (int)n);
        for (int64_t i = 0; i < m * n; i++)
            out[i] = (float)wide[i];
    }
    return put(weights, key, into, loc, mark);
}

tegu_value tegu_project_shift(tegu_weights *weights, tegu_graph *into,
                              tegu_loc loc, const char *name,
                              const tegu_factor *left, const double *shift)
{
    tegu_mark mark = tegu_arena_mark(weights->scratch);
    const char *key =
        tegu_format(weights->scratch, "%s|shift|%" PRIx64 "|%" PRIx64, name,
                    left->key, tegu_numbers_key(shift, left->rows));
    if (!find_made(weights, key)) {
        tegu_type type = {.dtype = TEGU_F32, .rank = 1, .dims = {left->dim}};
        const char *called =
            tegu_format(weights->arena, "%s.shift", stem(weights->arena, name));
        float *out = make(weights, into->unit, key, called, NULL, &type);
        transposed_times(left, shift, left->rows, out);
    }
    return put(weights, key, into, loc, mark);
}

/* --- names --- */

static bool is_used(const tegu_unit *unit, const char *name,
                    tegu_arena *scratch)
{
    for (uint32_t i = 0; i < unit->entries.count; i++) {
        const tegu_graph *g = unit->entries.data[i].graph;
        tegu_mark mark = tegu_arena_mark(scratch);
        const uint32_t *uses = tegu_graph_uses(g, scratch);
        bool used = false;
        for (tegu_value v = 1; v < g->nodes.count && !used; v++) {
            const tegu_node *node = tegu_graph_node(g, v);
            used = uses[v] && node->op == TEGU_OP_PARAM &&
                   !strcmp(tegu_node_text(node, "name"), name);
        }
        tegu_arena_release(scratch, mark);
        if (used)
            return true;
    }
    return false;
}

static tegu_value rename_visit(tegu_rewriter *rw, tegu_value v)
{
    const tegu_weights *weights = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);
    const char *name =
        node->op == TEGU_OP_PARAM ? tegu_node_text(node, "name") : NULL;
    for (uint32_t i = 0; name && i < weights->made.count; i++) {
        const tegu_weight *made = &weights->made.data[i];
        if (!made->final || strcmp(made->name, name) != 0)
            continue;
        tegu_attr attr = tegu_attr_of_text(TEGU_OP_PARAM, "name", made->final);
        return tegu_build(rw->into, node->loc, TEGU_OP_PARAM, 0, NULL, 1, &attr,
                          node->type);
    }
    return tegu_rewriter_copy(rw, v);
}

/* True when the name belongs to a weight made before made[i], or to one of
 * the model's own that an entry still needs or that has nothing to do with
 * made[i]. */
static bool is_taken(const tegu_weights *weights, const tegu_unit *unit,
                     uint32_t i, const char *name)
{
    const tegu_weight *made = weights->made.data;
    for (uint32_t k = 0; k < i; k++)
        if (made[k].final && !strcmp(made[k].final, name))
            return true;
    for (uint32_t k = 0; k < weights->made.count; k++)
        if (!strcmp(made[k].name, name))
            return false;
    if (made[i].base && !strcmp(made[i].base, name))
        return is_used(unit, name, weights->scratch);
    return tegu_unit_find_param((tegu_unit *)unit, name) != NULL;
}

/* The name wanted, or with the least number behind it that makes it free. */
static void choose_final(tegu_weights *weights, tegu_unit *unit, uint32_t i)
{
    tegu_weight *made = &weights->made.data[i];
    const char *tried = made->wanted;
    if (!is_used(unit, made->name, weights->scratch))
        return;
    for (uint32_t n = 2; is_taken(weights, unit, i, tried); n++)
        tried = tegu_format(weights->arena, "%s.%" PRIu32, made->wanted, n);
    made->final = tegu_intern_cstr(unit->names, tried);
}

/* Puts a made weight under its final name, over what has it now. */
static bool settle(tegu_unit *unit, const tegu_weight *made)
{
    tegu_param param = {.name = made->final,
                        .type = tegu_unit_type(unit, made->type),
                        .source = TEGU_SOURCE_DATA,
                        .stored = TEGU_F32,
                        .data = made->data,
                        .adapter = made->adapter};
    tegu_param *have = tegu_unit_find_param(unit, made->final);
    uint32_t index;
    if (!have)
        return tegu_unit_add_param(unit, &param, &index);
    param.name = have->name;
    param.loc = have->loc;
    *have = param;
    return true;
}

bool tegu_weights_settle(tegu_weights *weights, tegu_unit *unit)
{
    for (uint32_t i = 0; i < weights->made.count; i++)
        choose_final(weights, unit, i);
    for (uint32_t i = 0; i < unit->entries.count; i++) {
        tegu_entry *entry = &unit->entries.data[i];
        entry->graph = tegu_graph_rewrite(entry->graph, entry->graph->level,
                                          rename_visit, weights);
        if (!entry->graph)
            return false;
    }
    for (uint32_t i = 0; i < weights->made.count; i++)
        if (weights->made.data[i].final &&
            !settle(unit, &weights->made.data[i]))
            return false;
    return true;
}
