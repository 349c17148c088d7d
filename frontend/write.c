/* SPDX-License-Identifier: Apache-2.0 */
/* write.c - a unit at model level as a file of the language.
 *
 * Takes a unit, as loaded or as passes left it; produces declarations and one
 * straight-line body per entry.  Values that are used once and have no name
 * stand where they are used, the others are named by let; every parameter
 * carries its own shape, so that layers may differ.  Loading the text gives
 * graphs that compute the same.
 */
#include "frontend/frontend.h"
#include "frontend/writer.h"
#include <inttypes.h>
#include <string.h>

enum { LINE = 76, INLINE_LENGTH = 96, SMALL_LITERAL = 8 };

/* --- names --- */

static const char *const words[] = {
#define TEGU_KEYWORD(id, text, starts) text,
#include "frontend/tokens.def"
    "_", "inf", "pi", "by", "of", "transposed", "adapt",
};

static void take(tegu_writer *w, const char *name)
{
    tegu_map_set(w->taken, name, strlen(name), 1);
}

static bool is_taken(const tegu_writer *w, const char *name)
{
    size_t size = strlen(name);
    return tegu_map_find(w->taken, name, size) ||
           tegu_dtype_find(name, size) != TEGU_DTYPE_COUNT;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* A free name like `wanted`, taken from now on. */
static const char *free_name(tegu_writer *w, const char *wanted)
{
    size_t size = strlen(wanted);
    char *name = tegu_format(w->arena, "%s%.*s", is_letter(*wanted) ? "" : "v",
                             (int)(size < 200 ? size : 200), wanted);
    for (char *c = name; *c; c++)
        if (!is_letter(*c) && !(*c >= '0' && *c <= '9'))
            *c = '_';
    const char *found = name;
    for (unsigned n = 2; is_taken(w, found); n++)
        found = tegu_format(w->arena, "%s_%u", name, n);
    take(w, found);
    return found;
}

static tegu_map *names_of_file(tegu_writer *w)
{
    w->taken = tegu_map_create(w->arena);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        take(w, words[i]);
    for (uint32_t a = 1; a < w->unit->axes.count; a++)
        take(w, w->unit->axes.data[a].name);
    w->states = TEGU_ARRAY(w->arena, const char *, w->unit->states.count + 1);
    for (uint32_t s = 0; s < w->unit->states.count; s++)
        w->states[s] = free_name(w, w->unit->states.data[s].name);
    return w->taken;
}

/* --- declarations --- */

/* Fixed sizes share lines; their order is the unit's. */
static void write_axes(tegu_writer *w)
{
    uint32_t line = 0;
    for (uint32_t a = 1; a < w->unit->axes.count; a++) {
        const tegu_axis *axis = &w->unit->axes.data[a];
        const char *text =
            axis->symbolic
                ? tegu_format(w->arena, "%s in %" PRId64 "..%" PRId64,
                              axis->name, axis->lo, axis->hi)
                : tegu_format(w->arena, "%s = %" PRId64, axis->name, axis->lo);
        bool joins = line && line + strlen(text) + 2 < LINE;
        tegu_text_printf(w->out, "%s%s",
                         joins   ? ", "
                         : a > 1 ? "\naxis "
                                 : "axis ",
                         text);
        line = (joins ? line + 2 : 5) + (uint32_t)strlen(text);
    }
    if (w->unit->axes.count > 1)
        tegu_text_printf(w->out, "\n\n");
}

bool tegu_write_needs_weights(const tegu_unit *unit)
{
    bool any = false;
    for (uint32_t i = 0; i < unit->params.count; i++)
        any |= unit->params.data[i].source != TEGU_SOURCE_NONE;
    return any && !tegu_unit_is_random(unit);
}

static void write_sources(tegu_writer *w, const tegu_write_options *options)
{
    const tegu_unit *unit = w->unit;
    bool random = tegu_unit_is_random(unit),
         file = tegu_write_needs_weights(unit);
    if (random) {
        tegu_text_printf(w->out, "weights random(seed = %" PRIu64 ", std = ",
                         unit->params.data[0].seed);
        tegu_write_number(w->out, unit->params.data[0].std);
        tegu_text_printf(w->out, ")\n");
    } else if (file) {
        tegu_text_printf(w->out, "weights ");
        tegu_write_string(w->out, options->weights);
        tegu_text_printf(w->out, "\n");
    }
    if (options->tokenizer) {
        tegu_text_printf(w->out, "tokenizer ");
        tegu_write_string(w->out, options->tokenizer);
        tegu_text_printf(w->out, "\n");
    }
    if (random || file || options->tokenizer)
        tegu_text_printf(w->out, "\n");
}

static void write_states(tegu_writer *w)
{
    for (uint32_t s = 0; s < w->unit->states.count; s++) {
        const tegu_state *state = &w->unit->states.data[s];
        tegu_text_printf(w->out, "state %s: %s", w->states[s],
                         state->appended ? "append " : "");
        tegu_write_type(w, w->out, state->type);
        tegu_text_printf(w->out, "\n");
    }
    if (w->unit->states.count)
        tegu_text_printf(w->out, "\n");
}

/* --- bodies --- */

/* Uses that read the value: an append's update comes with the call. */
static uint32_t readers(const tegu_graph *g, tegu_value v, const uint32_t *uses)
{
    return uses[v] - (tegu_graph_node(g, v)->op == TEGU_OP_APPEND);
}

static bool stands_inline(const tegu_graph *g, tegu_value v,
                          const uint32_t *uses, const char *text)
{
    const tegu_node *node = tegu_graph_node(g, v);
    if (node->op == TEGU_OP_CONST)
        return tegu_type_elements(node->type) <= SMALL_LITERAL;
    if (tegu_op_kind_of(node->op) == TEGU_KIND_LEAF)
        return node->op != TEGU_OP_IOTA;
    return !node->name && readers(g, v, uses) == 1 &&
           strlen(text) <= INLINE_LENGTH;
}

static bool write_value(tegu_writer *w, tegu_value v, const uint32_t *uses)
{
    const tegu_node *node = tegu_graph_node(w->graph, v);
    tegu_written *value = &w->values[v];
    if (!tegu_write_node(w, v, value))
        return false;
    if (stands_inline(w->graph, v, uses, value->text))
        return true;
    const char *name =
        free_name(w, node->name ? node->name : tegu_format(w->arena, "v%u", v));
    tegu_text_printf(w->out, "  let %s = %s\n", name, value->text);
    *value = (tegu_written){name, false};
    return true;
}

static void write_ends(tegu_writer *w)
{
    const tegu_graph *g = w->graph;
    for (uint32_t i = 0; i < g->updates.count; i++) {
        const tegu_update *update = &g->updates.data[i];
        const tegu_state *state = tegu_unit_find_state(w->unit, update->state);
        if (!state->appended)
            tegu_text_printf(w->out, "  set %s = %s\n",
                             w->states[state - w->unit->states.data],
                             w->values[update->value].text);
    }
    tegu_text_printf(w->out, "  return ");
    for (uint32_t i = 0; i < g->results.count; i++)
        tegu_text_printf(w->out, "%s%s", i ? ", " : "",
                         w->values[g->results.data[i].value].text);
    tegu_text_printf(w->out, "\n}\n");
}

static void write_header(tegu_writer *w, const tegu_entry *entry)
{
    const tegu_graph *g = entry->graph;
    tegu_text_printf(w->out, "entry %s(", entry->name);
    for (uint32_t i = 0; i < entry->arguments.count; i++) {
        const tegu_argument *argument = &entry->arguments.data[i];
        take(w, argument->name);
        tegu_text_printf(w->out, "%s%s: ", i ? ", " : "", argument->name);
        tegu_write_type(w, w->out, argument->type);
    }
    tegu_text_printf(w->out, ") -> %s", g->results.count > 1 ? "(" : "");
    for (uint32_t i = 0; i < g->results.count; i++) {
        const tegu_result *result = &g->results.data[i];
        tegu_text_printf(w->out, "%s%s: ", i ? ", " : "", result->name);
        tegu_write_type(w, w->out, tegu_graph_type(g, result->value));
    }
    tegu_text_printf(w->out, "%s {\n", g->results.count > 1 ? ")" : "");
}

static bool write_entry(tegu_writer *w, const tegu_entry *entry)
{
    const uint32_t *uses = tegu_graph_uses(entry->graph, w->arena);
    uint32_t count = entry->graph->nodes.count;
    names_of_file(w);
    w->graph = entry->graph;
    w->values = TEGU_ARRAY(w->arena, tegu_written, count);
    write_header(w, entry);
    for (tegu_value v = 1; v < count; v++)
        if (uses[v] && !write_value(w, v, uses))
            return false;
    write_ends(w);
    return true;
}

bool tegu_write_language(tegu_unit *unit, const tegu_write_options *options,
                         tegu_text *out)
{
    tegu_writer w = {.unit = unit, .arena = out->arena, .out = out};
    for (uint32_t i = 0; i < unit->entries.count; i++)
        if (unit->entries.data[i].graph->level != TEGU_LEVEL_MODEL)
            return tegu_error(unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                              "the language has model level only; the pipeline "
                              "goes below it");
    names_of_file(&w);
    if (options->comment)
        tegu_text_printf(out, "# %s\n", options->comment);
    tegu_text_printf(out, "model %s\n\n", unit->name);
    write_axes(&w);
    write_sources(&w, options);
    write_states(&w);
    for (uint32_t i = 0; i < unit->entries.count; i++) {
        tegu_text_printf(out, "%s", i ? "\n" : "");
        if (!write_entry(&w, &unit->entries.data[i]))
            return false;
    }
    return true;
}
