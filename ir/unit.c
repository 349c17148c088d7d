/* SPDX-License-Identifier: Apache-2.0 */
/* unit.c - the container of a model: axes, interned types, parameters, states,
 * entries; bounds and text of dimensions and types.
 *
 * Leaves to param.c the reading of weights, to graph.c the graphs.
 */
#include "ir/unit.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

tegu_unit *tegu_unit_create(tegu_arena *arena, tegu_diag *diag,
                            const char *name)
{
    tegu_unit *unit = TEGU_NEW(arena, tegu_unit);
    unit->arena = arena;
    unit->diag = diag;
    unit->names = tegu_interner_create(arena);
    unit->name = tegu_intern_cstr(unit->names, name);
    unit->types = tegu_map_create(arena);
    unit->param_index = tegu_map_create(arena);
    tegu_vec_push(arena, &unit->axes, (tegu_axis){.name = ""});
    tegu_vec_push(arena, &unit->adapters, (tegu_unit_adapter){.name = ""});
    return unit;
}

void tegu_unit_destroy(tegu_unit *unit)
{
    tegu_files *lists[] = {&unit->files, &unit->adapter_files};
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
        for (uint32_t i = 0; i < lists[l]->count; i++)
            tegu_file_unmap(&lists[l]->data[i]);
        lists[l]->count = 0;
    }
}

/* --- types --- */

/* A copy in which equal types have equal bytes: unused dimensions and padding
 * are zero, and an axis standing for itself is its own provenance. */
static void canonical_type(const tegu_type *type, tegu_type *out)
{
    memset(out, 0, sizeof *out);
    out->dtype = type->dtype;
    out->rank = type->rank;
    for (uint32_t i = 0; i < type->rank; i++) {
        const tegu_dim *from = &type->dims[i];
        tegu_dim *to = &out->dims[i];
        to->scale = from->scale;
        to->offset = from->offset;
        to->symbol = from->symbol;
        memcpy(to->axes, from->axes, sizeof to->axes);
        if (!to->axes[0] && to->scale == 1 && to->offset == 0)
            to->axes[0] = to->symbol;
    }
}

const tegu_type *tegu_unit_type(tegu_unit *unit, const tegu_type *type)
{
    assert(type->rank <= TEGU_MAX_RANK);
    tegu_type key;
    canonical_type(type, &key);
    size_t size = offsetof(tegu_type, dims) + key.rank * sizeof key.dims[0];
    const uint64_t *found = tegu_map_find(unit->types, &key, size);
    if (found)
        return (const tegu_type *)(uintptr_t)*found;
    const tegu_type *copy = tegu_arena_copy(unit->arena, &key, sizeof key);
    tegu_map_set(unit->types, &key, size, (uint64_t)(uintptr_t)copy);
    return copy;
}

const tegu_type *tegu_unit_shape(tegu_unit *unit, tegu_dtype dtype,
                                 uint32_t rank, const int64_t *dims)
{
    tegu_type type = {.dtype = dtype, .rank = rank};
    for (uint32_t i = 0; i < rank; i++)
        type.dims[i] = tegu_dim_static(dims[i]);
    return tegu_unit_type(unit, &type);
}

const tegu_type *tegu_unit_scalar(tegu_unit *unit, tegu_dtype dtype)
{
    return tegu_unit_shape(unit, dtype, 0, NULL);
}

/* --- axes --- */

tegu_axis_id tegu_unit_add_axis(tegu_unit *unit, const char *name,
                                bool symbolic, int64_t lo, int64_t hi)
{
    assert(!tegu_unit_find_axis(unit, name));
    tegu_axis axis = {tegu_intern_cstr(unit->names, name), symbolic, lo, hi};
    tegu_vec_push(unit->arena, &unit->axes, axis);
    return unit->axes.count - 1;
}

tegu_axis_id tegu_unit_find_axis(const tegu_unit *unit, const char *name)
{
    for (tegu_axis_id i = 1; i < unit->axes.count; i++)
        if (strcmp(unit->axes.data[i].name, name) == 0)
            return i;
    return 0;
}

tegu_dim tegu_unit_axis_dim(const tegu_unit *unit, tegu_axis_id axis)
{
    const tegu_axis *a = &unit->axes.data[axis];
    if (a->symbolic)
        return (tegu_dim){.scale = 1, .symbol = axis, .axes = {axis}};
    return (tegu_dim){.offset = a->lo, .axes = {axis}};
}

static bool affine(tegu_dim dim, int64_t value, int64_t *result)
{
    return !__builtin_mul_overflow(dim.scale, value, result) &&
           !__builtin_add_overflow(*result, dim.offset, result);
}

bool tegu_dim_bounds(const tegu_unit *unit, tegu_dim dim, int64_t *lo,
                     int64_t *hi)
{
    *lo = *hi = dim.offset;
    if (tegu_dim_is_static(dim))
        return true;
    const tegu_axis *axis = &unit->axes.data[dim.symbol];
    int64_t first = dim.scale < 0 ? axis->hi : axis->lo;
    int64_t last = dim.scale < 0 ? axis->lo : axis->hi;
    return affine(dim, first, lo) && affine(dim, last, hi);
}

int64_t tegu_dim_value(tegu_dim dim, const int64_t *symbols)
{
    if (tegu_dim_is_static(dim))
        return dim.offset;
    return dim.scale * symbols[dim.symbol] + dim.offset;
}

/* --- parameters, states, entries --- */

static bool add_again(tegu_unit *unit, const tegu_param *old,
                      const tegu_param *param)
{
    const char *name =
        tegu_escaped(unit->arena, param->name, strlen(param->name));
    if (!tegu_type_equal(old->type, param->type))
        return tegu_error(unit->diag, param->loc, TEGU_E_PARAM,
                          "parameter '%s' is %s here and %s elsewhere", name,
                          tegu_type_string(unit, unit->arena, param->type),
                          tegu_type_string(unit, unit->arena, old->type));
    if (old->transposed != param->transposed)
        return tegu_error(unit->diag, param->loc, TEGU_E_PARAM,
                          "parameter '%s' is transposed in one place and not "
                          "in another",
                          name);
    return true;
}

bool tegu_unit_add_param(tegu_unit *unit, const tegu_param *param,
                         uint32_t *index)
{
    size_t size = strlen(param->name);
    const uint64_t *found = tegu_map_find(unit->param_index, param->name, size);
    if (found) {
        *index = (uint32_t)*found;
        return add_again(unit, &unit->params.data[*index], param);
    }
    *index = unit->params.count;
    tegu_map_set(unit->param_index, param->name, size, *index);
    tegu_vec_push(unit->arena, &unit->params, *param);
    tegu_param *added = &unit->params.data[*index];
    added->name = tegu_intern(unit->names, param->name, size);
    added->type = tegu_unit_type(unit, param->type);
    return true;
}

tegu_param *tegu_unit_find_param(tegu_unit *unit, const char *name)
{
    const uint64_t *found =
        tegu_map_find(unit->param_index, name, strlen(name));
    return found ? &unit->params.data[*found] : NULL;
}

uint32_t tegu_unit_add_adapter(tegu_unit *unit, const char *name, double scale)
{
    assert(!tegu_unit_find_adapter(unit, name));
    tegu_unit_adapter adapter = {tegu_intern_cstr(unit->names, name), scale};
    tegu_vec_push(unit->arena, &unit->adapters, adapter);
    return unit->adapters.count - 1;
}

tegu_unit_adapter *tegu_unit_find_adapter(const tegu_unit *unit,
                                          const char *name)
{
    for (uint32_t i = 1; i < unit->adapters.count; i++)
        if (strcmp(unit->adapters.data[i].name, name) == 0)
            return &unit->adapters.data[i];
    return NULL;
}

tegu_state *tegu_unit_find_state(tegu_unit *unit, const char *name)
{
    for (uint32_t i = 0; i < unit->states.count; i++)
        if (strcmp(unit->states.data[i].name, name) == 0)
            return &unit->states.data[i];
    return NULL;
}

tegu_entry *tegu_unit_find_entry(tegu_unit *unit, const char *name)
{
    for (uint32_t i = 0; i < unit->entries.count; i++)
        if (strcmp(unit->entries.data[i].name, name) == 0)
            return &unit->entries.data[i];
    return NULL;
}

/* --- text --- */

/* The value alone: 256, T, 2T+1. */
static void print_value(tegu_text *text, const tegu_unit *unit, tegu_dim dim)
{
    if (tegu_dim_is_static(dim)) {
        tegu_text_printf(text, "%" PRId64, dim.offset);
        return;
    }
    if (dim.scale == -1)
        tegu_text_printf(text, "-");
    else if (dim.scale != 1)
        tegu_text_printf(text, "%" PRId64, dim.scale);
    tegu_text_printf(text, "%s", unit->axes.data[dim.symbol].name);
    if (dim.offset)
        tegu_text_printf(text, "%+" PRId64, dim.offset);
}

/* True when the axes say no more than the value: T, or none at all. */
static bool axes_are_plain(tegu_dim dim)
{
    if (!dim.axes[0])
        return true;
    return dim.axes[0] == dim.symbol && !dim.axes[1] && dim.scale == 1 &&
           dim.offset == 0;
}

void tegu_dim_print(tegu_text *text, const tegu_unit *unit, tegu_dim dim)
{
    if (!axes_are_plain(dim)) {
        for (int i = 0; i < TEGU_MAX_FACTORS && dim.axes[i]; i++)
            tegu_text_printf(text, "%s%s", i ? "*" : "",
                             unit->axes.data[dim.axes[i]].name);
        tegu_text_printf(text, "=");
    }
    print_value(text, unit, dim);
}

void tegu_type_print(tegu_text *text, const tegu_unit *unit,
                     const tegu_type *type)
{
    tegu_text_printf(text, "%s[", tegu_dtype_text(type->dtype));
    for (uint32_t i = 0; i < type->rank; i++) {
        tegu_text_printf(text, i ? ", " : "");
        tegu_dim_print(text, unit, type->dims[i]);
    }
    tegu_text_printf(text, "]");
}

const char *tegu_type_string(const tegu_unit *unit, tegu_arena *arena,
                             const tegu_type *type)
{
    tegu_text text = {.arena = arena};
    tegu_type_print(&text, unit, type);
    return tegu_text_cstr(&text);
}

bool tegu_unit_is_random(const tegu_unit *unit)
{
    const tegu_param *first = unit->params.data;
    for (uint32_t i = 0; i < unit->params.count; i++) {
        const tegu_param *param = &unit->params.data[i];
        if (param->source != TEGU_SOURCE_RANDOM || param->seed != first->seed ||
            param->std != first->std)
            return false;
    }
    return unit->params.count > 0;
}
