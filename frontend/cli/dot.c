/* SPDX-License-Identifier: Apache-2.0 */
/* dot.c - draws the entries' graphs for Graphviz (`dot -Tsvg`).
 *
 * Takes a unit at any level; produces text.  Constants and parameters are
 * plain text, kernels show their family and the ops inside.
 */
#include "frontend/cli/dot.h"

#include <string.h>

static void escape_label(tegu_text *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            tegu_text_add(out, "\\", 1);
        tegu_text_add(out, text, 1);
    }
}

static void print_kernel(tegu_text *out, const tegu_node *node)
{
    const tegu_graph *body = node->body;
    escape_label(out, tegu_node_text(node, "family"));
    tegu_text_printf(out, ":");
    for (tegu_value v = 1; v < body->nodes.count; v++) {
        const tegu_op_info *info = tegu_op_get(body->nodes.data[v].op);
        if (info->kind != TEGU_KIND_LEAF)
            tegu_text_printf(out, " %s", info->text);
    }
}

static void print_label(tegu_text *out, const tegu_unit *unit,
                        const tegu_node *node)
{
    if (node->op == TEGU_OP_KERNEL)
        print_kernel(out, node);
    else
        escape_label(out, tegu_op_get(node->op)->text);
    if (node->op == TEGU_OP_PARAM || node->op == TEGU_OP_INPUT ||
        node->op == TEGU_OP_STATE) {
        tegu_text_printf(out, " ");
        escape_label(out, tegu_node_text(node, "name"));
    }
    tegu_text type = {.arena = unit->arena};
    tegu_type_print(&type, unit, node->type);
    tegu_text_printf(out, "\\n");
    escape_label(out, tegu_text_cstr(&type));
}

static void print_node(tegu_text *out, const tegu_unit *unit, uint32_t entry,
                       tegu_value v, const tegu_node *node)
{
    bool leaf = tegu_op_kind_of(node->op) == TEGU_KIND_LEAF;
    tegu_text_printf(out, "    n%u_%u [shape=%s,label=\"", entry, v,
                     leaf ? "plaintext" : "box");
    print_label(out, unit, node);
    tegu_text_printf(out, "\"];\n");
    for (uint32_t i = 0; i < node->input_count; i++)
        tegu_text_printf(out, "    n%u_%u -> n%u_%u;\n", entry, node->inputs[i],
                         entry, v);
}

void tegu_dot_print(tegu_text *out, const tegu_unit *unit)
{
    tegu_text_printf(out,
                     "digraph \"%s\" {\n  node [fontname=\"sans\","
                     "fontsize=10];\n",
                     unit->name);
    for (uint32_t e = 0; e < unit->entries.count; e++) {
        const tegu_entry *entry = &unit->entries.data[e];
        const tegu_graph *g = entry->graph;
        tegu_text_printf(out, "  subgraph cluster_%u {\n    label=\"%s\";\n", e,
                         entry->name);
        for (tegu_value v = 1; v < g->nodes.count; v++)
            print_node(out, unit, e, v, tegu_graph_node(g, v));
        for (uint32_t r = 0; r < g->results.count; r++)
            tegu_text_printf(out,
                             "    r%u_%u [shape=plaintext,label=\"%s\"];\n"
                             "    n%u_%u -> r%u_%u;\n",
                             e, r, g->results.data[r].name, e,
                             g->results.data[r].value, e, r);
        tegu_text_printf(out, "  }\n");
    }
    tegu_text_printf(out, "}\n");
}
