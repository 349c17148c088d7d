/* SPDX-License-Identifier: Apache-2.0 */
/* executor.c - what every executor does before and after a call: binding an
 * entry's symbols from its inputs' shapes, and the shapes of its outputs.
 */
#include "ir/ir.h"

#include <inttypes.h>
#include <string.h>

int64_t tegu_tensor_elements(const tegu_tensor *t)
{
    int64_t count = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(count, t->dims[i], &count))
            return -1;
    return count;
}

typedef struct binding {
    tegu_unit *unit;
    const tegu_entry *entry;
    const tegu_argument *argument;
    int64_t *symbols;
    bool *bound;
} binding;

static bool wrong_extent(const binding *b, uint32_t axis, int64_t got,
                         const char *why)
{
    return tegu_error(
        b->unit->diag, b->entry->loc, TEGU_E_CALL,
        "entry '%s' takes '%s' as %s; axis %u has extent %" PRId64 "%s",
        b->entry->name, b->argument->name,
        tegu_type_string(b->unit, b->unit->arena, b->argument->type), axis, got,
        why);
}

/* Solves scale * symbol + offset = extent. */
static bool bind_extent(const binding *b, uint32_t i, int64_t extent)
{
    tegu_dim dim = b->argument->type->dims[i];
    if (tegu_dim_is_static(dim))
        return extent == dim.offset || wrong_extent(b, i, extent, "");
    const tegu_axis *axis = &b->unit->axes.data[dim.symbol];
    int64_t rest;
    if (extent < 0 || __builtin_sub_overflow(extent, dim.offset, &rest) ||
        rest % dim.scale != 0)
        return wrong_extent(b, i, extent, "");
    int64_t value = rest / dim.scale;
    if (value < axis->lo || value > axis->hi)
        return wrong_extent(b, i, extent,
                            tegu_format(b->unit->arena,
                                        ", outside %s in %" PRId64 "..%" PRId64,
                                        axis->name, axis->lo, axis->hi));
    if (b->bound[dim.symbol] && b->symbols[dim.symbol] != value)
        return wrong_extent(b, i, extent,
                            tegu_format(b->unit->arena,
                                        ", but %s is %" PRId64 " elsewhere",
                                        axis->name, b->symbols[dim.symbol]));
    b->bound[dim.symbol] = true;
    b->symbols[dim.symbol] = value;
    return true;
}

static bool bind_input(const binding *b, const tegu_tensor *input)
{
    const tegu_type *type = b->argument->type;
    if (input->dtype != type->dtype || input->rank != type->rank)
        return tegu_error(b->unit->diag, b->entry->loc, TEGU_E_CALL,
                          "entry '%s' takes '%s' as %s; got %s with %u axes",
                          b->entry->name, b->argument->name,
                          tegu_type_string(b->unit, b->unit->arena, type),
                          tegu_dtype_text(input->dtype), input->rank);
    for (uint32_t i = 0; i < type->rank; i++)
        if (!bind_extent(b, i, input->dims[i]))
            return false;
    return true;
}

bool tegu_entry_bind(tegu_unit *unit, const tegu_entry *entry,
                     const tegu_tensor *inputs, uint32_t input_count,
                     int64_t *symbols)
{
    if (input_count != entry->arguments.count)
        return tegu_error(unit->diag, entry->loc, TEGU_E_CALL,
                          "entry '%s' takes %u inputs, got %u", entry->name,
                          entry->arguments.count, input_count);
    tegu_mark mark = tegu_arena_mark(unit->arena);
    binding b = {.unit = unit, .entry = entry, .symbols = symbols};
    b.bound = TEGU_ARRAY(unit->arena, bool, unit->axes.count);
    for (uint32_t i = 0; i < input_count; i++) {
        b.argument = &entry->arguments.data[i];
        if (!bind_input(&b, &inputs[i]))
            return false; /* the message lies above the mark */
    }
    tegu_arena_release(unit->arena, mark);
    return true;
}

const tegu_entry *tegu_unit_bind(tegu_unit *unit, const char *name,
                                 const tegu_tensor *inputs,
                                 uint32_t input_count, uint32_t output_count,
                                 int64_t *symbols)
{
    const tegu_entry *entry = tegu_unit_find_entry(unit, name);
    bool bound = false;
    if (!entry) {
        tegu_error(unit->diag, tegu_loc_none(), TEGU_E_CALL,
                   "the model has no entry '%s'", name);
    } else if (output_count != entry->graph->results.count) {
        tegu_error(unit->diag, entry->loc, TEGU_E_CALL,
                   "entry '%s' gives %u results, not %u", name,
                   entry->graph->results.count, output_count);
    } else {
        memset(symbols, 0, unit->axes.count * sizeof *symbols);
        bound = tegu_entry_bind(unit, entry, inputs, input_count, symbols);
    }
    return bound ? entry : NULL;
}

void tegu_entry_output(const tegu_unit *unit, const tegu_entry *entry,
                       uint32_t i, const int64_t *symbols, tegu_tensor *out)
{
    const tegu_type *type =
        tegu_graph_type(entry->graph, entry->graph->results.data[i].value);
    (void)unit;
    *out = (tegu_tensor){.dtype = type->dtype, .rank = type->rank};
    for (uint32_t k = 0; k < type->rank; k++)
        out->dims[k] = tegu_dim_value(type->dims[k], symbols);
}
