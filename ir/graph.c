/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c - builds graphs: nodes are checked and typed as they are added.
 *
 * Takes specifications of nodes; produces nodes whose inputs precede them,
 * whose attributes are complete and whose type infer.c agrees with.  Leaves
 * levels, names and entries to verify.c, rewriting to rewrite.c.
 */
#include "ir/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

tegu_graph *tegu_graph_create(tegu_unit *unit, tegu_level level)
{
    tegu_graph *g = TEGU_NEW(unit->arena, tegu_graph);
    g->unit = unit;
    g->level = level;
    tegu_vec_push(unit->arena, &g->nodes, (tegu_node){0});
    return g;
}

/* --- attributes --- */

static const tegu_attr_info *find_info(tegu_op op, const char *key)
{
    const tegu_op_info *info = tegu_op_get(op);
    for (uint32_t i = 0; i < info->attr_count; i++)
        if (strcmp(info->attrs[i].key, key) == 0)
            return &info->attrs[i];
    return NULL;
}

static const tegu_attr_info *info_of(tegu_op op, const char *key,
                                     tegu_attr_kind kind)
{
    const tegu_attr_info *info = find_info(op, key);
    assert(info && info->kind == kind);
    (void)kind;
    return info;
}

tegu_attr tegu_attr_of_int(tegu_op op, const char *key, int64_t i)
{
    return (tegu_attr){info_of(op, key, TEGU_ATTR_INT), {.i = i}};
}

tegu_attr tegu_attr_of_float(tegu_op op, const char *key, double f)
{
    return (tegu_attr){info_of(op, key, TEGU_ATTR_FLOAT), {.f = f}};
}

tegu_attr tegu_attr_of_bool(tegu_op op, const char *key, bool b)
{
    return (tegu_attr){info_of(op, key, TEGU_ATTR_BOOL), {.b = b}};
}

tegu_attr tegu_attr_of_dtype(tegu_op op, const char *key, tegu_dtype d)
{
    return (tegu_attr){info_of(op, key, TEGU_ATTR_DTYPE), {.dtype = d}};
}

tegu_attr tegu_attr_of_text(tegu_op op, const char *key, const char *text)
{
    return (tegu_attr){info_of(op, key, TEGU_ATTR_TEXT), {.text = text}};
}

tegu_attr tegu_attr_of_ints(tegu_unit *unit, tegu_op op, const char *key,
                            const int64_t *data, uint32_t count)
{
    tegu_attr attr = {.info = info_of(op, key, TEGU_ATTR_INTS)};
    attr.as.ints.count = count;
    attr.as.ints.data =
        count ? tegu_arena_copy(unit->arena, data, count * sizeof *data) : NULL;
    return attr;
}

const tegu_attr *tegu_node_attr(const tegu_node *node, const char *key)
{
    const tegu_op_info *info = tegu_op_get(node->op);
    uint32_t i = 0;
    while (i < info->attr_count && strcmp(info->attrs[i].key, key) != 0)
        i++;
    assert(i < info->attr_count);
    return &node->attrs[i];
}

/* NaN equals NaN, and -0 differs from 0: equality of what is printed. */
static bool same_double(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

bool tegu_attr_equal(const tegu_attr *a, const tegu_attr *b)
{
    if (a->info->kind != b->info->kind)
        return false;
    switch (a->info->kind) {
    case TEGU_ATTR_INT: return a->as.i == b->as.i;
    case TEGU_ATTR_FLOAT: return same_double(a->as.f, b->as.f);
    case TEGU_ATTR_BOOL: return a->as.b == b->as.b;
    case TEGU_ATTR_DTYPE: return a->as.dtype == b->as.dtype;
    case TEGU_ATTR_TEXT: return strcmp(a->as.text, b->as.text) == 0;
    case TEGU_ATTR_INTS:
        return a->as.ints.count == b->as.ints.count &&
               (a->as.ints.count == 0 ||
                memcmp(a->as.ints.data, b->as.ints.data,
                       a->as.ints.count * sizeof(int64_t)) == 0);
    }
    return false;
}

/* The attribute's default; false when it is required. */
static bool attr_default(tegu_unit *unit, const tegu_attr_info *info,
                         tegu_attr *attr)
{
    *attr = (tegu_attr){.info = info};
    if (!info->value)
        return false;
    switch (info->kind) {
    case TEGU_ATTR_INT: attr->as.i = strtoll(info->value, NULL, 10); break;
    case TEGU_ATTR_FLOAT: attr->as.f = strtod(info->value, NULL); break;
    case TEGU_ATTR_BOOL: attr->as.b = strcmp(info->value, "true") == 0; break;
    case TEGU_ATTR_DTYPE:
        attr->as.dtype = tegu_dtype_find(info->value, strlen(info->value));
        break;
    case TEGU_ATTR_TEXT:
        attr->as.text = tegu_intern_cstr(unit->names, info->value);
        break;
    case TEGU_ATTR_INTS:
        assert(strcmp(info->value, "[]") == 0); /* the only default in use */
        break;
    }
    return true;
}

bool tegu_attr_is_default(tegu_unit *unit, const tegu_attr *attr)
{
    tegu_attr absent;
    return attr_default(unit, attr->info, &absent) &&
           tegu_attr_equal(attr, &absent);
}

static bool attr_error(const tegu_graph *g, const tegu_node_spec *spec,
                       const char *key, const char *what)
{
    return tegu_error(g->unit->diag, spec->loc, TEGU_E_ATTRIBUTE,
                      "'%s' %s attribute '%s'", tegu_op_get(spec->op)->text,
                      what, key);
}

/* Puts one attribute of the spec at its place. */
static bool place_attr(const tegu_graph *g, const tegu_node_spec *spec,
                       const tegu_attr *given, tegu_attr *attrs, bool *seen)
{
    const char *key = given->info->key;
    const tegu_attr_info *info = find_info(spec->op, key);
    if (!info)
        return attr_error(g, spec, key, "has no");
    if (info->kind != given->info->kind)
        return attr_error(g, spec, key, "takes another kind of value for");
    size_t at = (size_t)(info - tegu_op_get(spec->op)->attrs);
    if (seen[at])
        return attr_error(g, spec, key, "is given twice the");
    seen[at] = true;
    attrs[at] = *given;
    attrs[at].info = info;
    if (info->kind == TEGU_ATTR_TEXT)
        attrs[at].as.text = tegu_intern_cstr(g->unit->names, given->as.text);
    return true;
}

bool tegu_spec_attrs(const tegu_graph *g, const tegu_node_spec *spec,
                     const tegu_attr **result)
{
    enum { MOST = 16 };
    const tegu_op_info *op = tegu_op_get(spec->op);
    bool seen[MOST] = {false};
    assert(op->attr_count <= MOST);
    *result = NULL;
    if (!op->attr_count && !spec->attr_count)
        return true;
    tegu_attr *attrs = TEGU_ARRAY(g->unit->arena, tegu_attr, op->attr_count);
    for (uint32_t i = 0; i < spec->attr_count; i++)
        if (!place_attr(g, spec, &spec->attrs[i], attrs, seen))
            return false;
    for (uint32_t i = 0; i < op->attr_count; i++)
        if (!seen[i] && !attr_default(g->unit, &op->attrs[i], &attrs[i]))
            return attr_error(g, spec, op->attrs[i].key, "needs the");
    *result = attrs;
    return true;
}

/* --- nodes --- */

/* False when an input is 0 (silently) or no earlier node (reported). */
static bool inputs_exist(const tegu_graph *g, const tegu_node_spec *spec)
{
    for (uint32_t i = 0; i < spec->input_count; i++)
        if (!spec->inputs[i])
            return false;
    for (uint32_t i = 0; i < spec->input_count; i++)
        if (spec->inputs[i] >= g->nodes.count)
            return tegu_error(g->unit->diag, spec->loc, TEGU_E_INTERNAL,
                              "'%s' uses %%%u, which is no earlier value",
                              tegu_op_get(spec->op)->text, spec->inputs[i]);
    return true;
}

static const void *const_data(const tegu_graph *g, const tegu_node_spec *spec,
                              const tegu_type *type)
{
    if (spec->op != TEGU_OP_CONST || spec->data_borrowed)
        return spec->data;
    size_t bytes =
        (size_t)tegu_type_elements(type) * tegu_dtype_bytes(type->dtype);
    if (!bytes)
        return tegu_arena_alloc(g->unit->arena, 1);
    return tegu_arena_copy(g->unit->arena, spec->data, bytes);
}

tegu_node_spec tegu_node_spec_of(const tegu_node *node,
                                 const tegu_value *inputs)
{
    return (tegu_node_spec){.op = node->op,
                            .inputs = inputs,
                            .input_count = node->input_count,
                            .type = node->type,
                            .attrs = node->attrs,
                            .attr_count = tegu_op_get(node->op)->attr_count,
                            .data = node->data,
                            .data_borrowed = true,
                            .body = node->body,
                            .name = node->name,
                            .loc = node->loc};
}

tegu_value tegu_graph_add(tegu_graph *g, const tegu_node_spec *spec)
{
    tegu_unit *unit = g->unit;
    const tegu_attr *attrs;
    if (!inputs_exist(g, spec) || !tegu_spec_attrs(g, spec, &attrs))
        return 0;
    const tegu_type *type = tegu_infer_with(g, spec, attrs);
    if (!type)
        return 0;
    tegu_node node = {
        .op = spec->op,
        .type = type,
        .input_count = spec->input_count,
        .attrs = attrs,
        .data = const_data(g, spec, type),
        .body = spec->body,
        .loc = spec->loc,
    };
    if (spec->input_count)
        node.inputs = tegu_arena_copy(unit->arena, spec->inputs,
                                      spec->input_count * sizeof *spec->inputs);
    if (spec->name)
        node.name = tegu_intern_cstr(unit->names, spec->name);
    tegu_vec_push(unit->arena, &g->nodes, node);
    return g->nodes.count - 1;
}

void tegu_graph_add_result(tegu_graph *g, const char *name, tegu_value v)
{
    tegu_result result = {tegu_intern_cstr(g->unit->names, name), v};
    tegu_vec_push(g->unit->arena, &g->results, result);
}

void tegu_graph_add_update(tegu_graph *g, const char *state, tegu_value v)
{
    tegu_update update = {tegu_intern_cstr(g->unit->names, state), v};
    tegu_vec_push(g->unit->arena, &g->updates, update);
}

/* --- short builders --- */

tegu_value tegu_build(tegu_graph *g, tegu_loc loc, tegu_op op,
                      uint32_t input_count, const tegu_value *inputs,
                      uint32_t attr_count, const tegu_attr *attrs,
                      const tegu_type *type)
{
    tegu_node_spec spec = {.op = op,
                           .inputs = inputs,
                           .input_count = input_count,
                           .type = type,
                           .attrs = attrs,
                           .attr_count = attr_count,
                           .loc = loc};
    return tegu_graph_add(g, &spec);
}

tegu_value tegu_build_unary(tegu_graph *g, tegu_loc loc, tegu_op op,
                            tegu_value x)
{
    return tegu_build(g, loc, op, 1, &x, 0, NULL, NULL);
}

tegu_value tegu_build_binary(tegu_graph *g, tegu_loc loc, tegu_op op,
                             tegu_value a, tegu_value b)
{
    return tegu_build(g, loc, op, 2, (tegu_value[]){a, b}, 0, NULL, NULL);
}

tegu_value tegu_build_const(tegu_graph *g, tegu_loc loc, const tegu_type *type,
                            const void *data)
{
    tegu_node_spec spec = {
        .op = TEGU_OP_CONST, .type = type, .data = data, .loc = loc};
    return tegu_graph_add(g, &spec);
}

/* An integer within [lo, hi]; NaN gives 0. */
static int64_t saturate(double value, double lo, double hi)
{
    if (value != value)
        return 0;
    return (int64_t)(value < lo ? lo : value > hi ? hi : value);
}

tegu_value tegu_build_param(tegu_graph *g, tegu_loc loc, const char *name)
{
    const tegu_param *param = tegu_unit_find_param(g->unit, name);
    tegu_attr attr = tegu_attr_of_text(TEGU_OP_PARAM, "name", param->name);
    return tegu_build(g, loc, TEGU_OP_PARAM, 0, NULL, 1, &attr, param->type);
}

tegu_value tegu_build_scalar(tegu_graph *g, tegu_loc loc, tegu_dtype dtype,
                             double value)
{
    union {
        unsigned char b;
        int32_t i32;
        int64_t i64;
        float f;
    } data = {.i64 = 0};
    switch (tegu_dtype_kind_of(dtype)) {
    case TEGU_COMPUTE_BOOL: data.b = value != 0; break;
    case TEGU_COMPUTE_INT:
        if (dtype == TEGU_I32)
            data.i32 = (int32_t)saturate(value, INT32_MIN, INT32_MAX);
        else
            data.i64 = saturate(value, -0x1p63, 0x1.fffffffffffffp62);
        break;
    default: data.f = (float)value; break;
    }
    return tegu_build_const(g, loc, tegu_unit_scalar(g->unit, dtype), &data);
}

tegu_value tegu_build_reshape(tegu_graph *g, tegu_loc loc, tegu_value x,
                              const tegu_type *type)
{
    return tegu_build(g, loc, TEGU_OP_RESHAPE, 1, &x, 0, NULL, type);
}
