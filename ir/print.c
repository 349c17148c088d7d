/* SPDX-License-Identifier: Apache-2.0 */
/* print.c - a unit or a graph as IR text.
 *
 * Produces the form of docs/ir.md that parse.c reads back: parsing and
 * printing again gives the same bytes.  Takes any graph, verified or not, as
 * long as its references lie inside it.  Weights' data is not printed.
 */
#include "ir/internal.h"

#include <inttypes.h>
#include <string.h>

static void put(tegu_text *out, const char *text)
{
    tegu_text_add(out, text, strlen(text));
}

/* --- literals --- */

static void print_string(tegu_text *out, const char *text)
{
    put(out, "\"");
    for (const char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte == '\n')
            put(out, "\\n");
        else if (byte == '"' || byte == '\\')
            tegu_text_printf(out, "\\%c", byte);
        else if (byte < 0x20 || byte > 0x7e)
            tegu_text_printf(out, "\\x%02x", byte);
        else
            tegu_text_add(out, c, 1);
    }
    put(out, "\"");
}

static void print_number(tegu_text *out, double x, bool single)
{
    if (x - x == 0)
        tegu_text_number(out, x, single);
    else
        put(out, x != x ? "nan" : x > 0 ? "inf" : "-inf");
}

static void print_element(tegu_text *out, tegu_dtype dtype, const void *data,
                          int64_t i)
{
    switch (dtype) {
    case TEGU_BOOL:
        put(out, ((const unsigned char *)data)[i] ? "true" : "false");
        break;
    case TEGU_I32:
        tegu_text_printf(out, "%" PRId32, ((const int32_t *)data)[i]);
        break;
    case TEGU_I64:
        tegu_text_printf(out, "%" PRId64, ((const int64_t *)data)[i]);
        break;
    default: print_number(out, (double)((const float *)data)[i], true); break;
    }
}

static void print_const(tegu_text *out, const tegu_node *node)
{
    int64_t count = tegu_type_elements(node->type);
    put(out, node->type->rank ? " [" : " ");
    for (int64_t i = 0; i < count; i++) {
        if (i)
            put(out, ", ");
        print_element(out, node->type->dtype, node->data, i);
    }
    put(out, node->type->rank ? "]" : "");
}

void tegu_ints_print(tegu_text *out, const tegu_attr *attr)
{
    put(out, "[");
    for (uint32_t i = 0; i < attr->as.ints.count; i++)
        tegu_text_printf(out, "%s%" PRId64, i ? ", " : "",
                         attr->as.ints.data[i]);
    put(out, "]");
}

static void print_attr(tegu_text *out, const tegu_attr *attr)
{
    tegu_text_printf(out, "%s=", attr->info->key);
    switch (attr->info->kind) {
    case TEGU_ATTR_INT: tegu_text_printf(out, "%" PRId64, attr->as.i); break;
    case TEGU_ATTR_FLOAT: print_number(out, attr->as.f, false); break;
    case TEGU_ATTR_BOOL: put(out, attr->as.b ? "true" : "false"); break;
    case TEGU_ATTR_INTS: tegu_ints_print(out, attr); break;
    case TEGU_ATTR_DTYPE: put(out, tegu_dtype_text(attr->as.dtype)); break;
    case TEGU_ATTR_TEXT: print_string(out, attr->as.text); break;
    }
}

/* Those that differ from their defaults, in braces. */
static void print_attrs(tegu_text *out, tegu_unit *unit, const tegu_node *node)
{
    const char *before = " {";
    for (uint32_t i = 0; i < tegu_op_get(node->op)->attr_count; i++) {
        const tegu_attr *attr = &node->attrs[i];
        if (tegu_attr_is_default(unit, attr))
            continue;
        put(out, before);
        print_attr(out, attr);
        before = ", ";
    }
    if (before[0] == ',')
        put(out, "}");
}

/* --- graphs --- */

static void print_lines(tegu_text *out, const tegu_graph *g, int indent);

static void print_node(tegu_text *out, const tegu_graph *g, tegu_value v,
                       int indent)
{
    const tegu_node *node = tegu_graph_node(g, v);
    tegu_text_printf(out, "%*s%%%u ", indent, "", v);
    if (node->name) {
        print_string(out, node->name);
        put(out, " ");
    }
    tegu_text_printf(out, "= %s", tegu_op_get(node->op)->text);
    for (uint32_t i = 0; i < node->input_count; i++)
        tegu_text_printf(out, "%s%%%u", i ? ", " : " ", node->inputs[i]);
    if (node->op == TEGU_OP_CONST)
        print_const(out, node);
    print_attrs(out, g->unit, node);
    put(out, " : ");
    tegu_type_print(out, g->unit, node->type);
    if (node->body) {
        put(out, " {\n");
        print_lines(out, node->body, indent + 2);
        tegu_text_printf(out, "%*s}", indent, "");
    }
    put(out, "\n");
}

static void print_lines(tegu_text *out, const tegu_graph *g, int indent)
{
    for (tegu_value v = 1; v < g->nodes.count; v++)
        print_node(out, g, v, indent);
    for (uint32_t i = 0; i < g->results.count; i++) {
        const tegu_result *result = &g->results.data[i];
        tegu_text_printf(out, "%*sreturn ", indent, "");
        if (result->name[0]) {
            print_string(out, result->name);
            put(out, " ");
        }
        tegu_text_printf(out, "%%%u\n", result->value);
    }
    for (uint32_t i = 0; i < g->updates.count; i++) {
        tegu_text_printf(out, "%*supdate ", indent, "");
        print_string(out, g->updates.data[i].state);
        tegu_text_printf(out, " %%%u\n", g->updates.data[i].value);
    }
}

/* --- units --- */

static void print_axes(tegu_text *out, const tegu_unit *unit)
{
    for (tegu_axis_id i = 1; i < unit->axes.count; i++) {
        const tegu_axis *axis = &unit->axes.data[i];
        if (axis->symbolic)
            tegu_text_printf(out, "axis %s in %" PRId64 "..%" PRId64 "\n",
                             axis->name, axis->lo, axis->hi);
        else
            tegu_text_printf(out, "axis %s = %" PRId64 "\n", axis->name,
                             axis->lo);
    }
}

static void print_adapters(tegu_text *out, const tegu_unit *unit)
{
    for (uint32_t i = 1; i < unit->adapters.count; i++) {
        tegu_text_printf(out, "adapter %s ", unit->adapters.data[i].name);
        print_number(out, unit->adapters.data[i].scale, false);
        put(out, "\n");
    }
}

static void print_params(tegu_text *out, const tegu_unit *unit)
{
    if (tegu_unit_is_random(unit)) {
        tegu_text_printf(out, "weights random %" PRIu64 " ",
                         unit->params.data[0].seed);
        print_number(out, unit->params.data[0].std, false);
        put(out, "\n");
    }
    for (uint32_t i = 0; i < unit->params.count; i++) {
        put(out, "param ");
        print_string(out, unit->params.data[i].name);
        put(out, " : ");
        tegu_type_print(out, unit, unit->params.data[i].type);
        if (unit->params.data[i].adapter)
            tegu_text_printf(
                out, " of %s",
                unit->adapters.data[unit->params.data[i].adapter].name);
        put(out, "\n");
    }
}

static void print_states(tegu_text *out, const tegu_unit *unit)
{
    for (uint32_t i = 0; i < unit->states.count; i++) {
        const tegu_state *state = &unit->states.data[i];
        put(out, "state ");
        print_string(out, state->name);
        tegu_text_printf(out, "%s : ", state->appended ? " append" : "");
        tegu_type_print(out, unit, state->type);
        put(out, "\n");
    }
}

/* True when the graph's inputs, in order, are the entry's arguments, so that
 * the argument list says nothing new. */
static bool inputs_are_arguments(const tegu_entry *entry)
{
    const tegu_graph *g = entry->graph;
    uint32_t count = 0;
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (node->op != TEGU_OP_INPUT)
            continue;
        if (count == entry->arguments.count ||
            strcmp(entry->arguments.data[count].name,
                   tegu_node_text(node, "name")) != 0 ||
            entry->arguments.data[count].type != node->type)
            return false;
        count++;
    }
    return count == entry->arguments.count;
}

static void print_entry(tegu_text *out, const tegu_unit *unit,
                        const tegu_entry *entry)
{
    tegu_level level = entry->graph->level;
    tegu_text_printf(out, "\nentry %s", entry->name);
    if (!inputs_are_arguments(entry)) {
        put(out, "(");
        for (uint32_t i = 0; i < entry->arguments.count; i++) {
            put(out, i ? ", " : "");
            print_string(out, entry->arguments.data[i].name);
            put(out, " : ");
            tegu_type_print(out, unit, entry->arguments.data[i].type);
        }
        put(out, ")");
    }
    tegu_text_printf(out, " %s {\n", tegu_level_text(level));
    print_lines(out, entry->graph, 2);
    put(out, "}\n");
}

void tegu_unit_print(tegu_text *out, const tegu_unit *unit)
{
    tegu_text_printf(out, "unit %s\n", unit->name);
    print_axes(out, unit);
    if (unit->tokenizer) {
        put(out, "tokenizer ");
        print_string(out, unit->tokenizer);
        put(out, "\n");
    }
    print_adapters(out, unit);
    print_params(out, unit);
    print_states(out, unit);
    for (uint32_t i = 0; i < unit->entries.count; i++)
        print_entry(out, unit, &unit->entries.data[i]);
}
