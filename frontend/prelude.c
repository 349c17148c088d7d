/* SPDX-License-Identifier: Apache-2.0 */
/* prelude.c - expands composite ops by their definitions in prelude.tegu.
 *
 * Takes    a composite node and its inputs in a core graph.
 * Produces core nodes, by calling the prelude's function of the op's name with
 *          the inputs by position and the attributes by name.  Every new node
 *          has the composite's location, so that messages of later passes
 *          point into the model's source.
 */
#include "frontend/prelude.h"
#include "frontend/elab.h"
#include <string.h>

static tegu_module *parse_prelude(tegu_unit *unit)
{
    tegu_decls decls = {0};
    tegu_module *module = TEGU_NEW(unit->arena, tegu_module);
    module->index = tegu_map_create(unit->arena);
    tegu_parse(unit->arena, unit->diag, unit->names, "<prelude>",
               (const char *)tegu_prelude_text, tegu_prelude_size, &decls);
    for (uint32_t i = 0; i < decls.count; i++) {
        const tegu_decl *d = decls.data[i];
        tegu_symbol symbol = {.name = d->name, .loc = d->loc, .decl = d};
        tegu_map_set(module->index, d->name, strlen(d->name), i);
        tegu_vec_push(unit->arena, &module->symbols, symbol);
    }
    return module;
}

static tegu_term attr_term(tegu_arena *arena, const tegu_attr *attr)
{
    tegu_term list = {.kind = TEGU_TERM_LIST};
    switch (attr->info->kind) {
    case TEGU_ATTR_INT: return tegu_term_integer(attr->as.i);
    case TEGU_ATTR_FLOAT: return tegu_term_float(attr->as.f);
    case TEGU_ATTR_BOOL: return tegu_term_bool(attr->as.b);
    case TEGU_ATTR_TEXT:
        return (tegu_term){TEGU_TERM_TEXT, {.text = attr->as.text}};
    case TEGU_ATTR_DTYPE:
        return (tegu_term){TEGU_TERM_DTYPE, {.dtype = attr->as.dtype}};
    case TEGU_ATTR_INTS: break;
    }
    uint32_t count = attr->as.ints.count;
    tegu_term *items = TEGU_ARRAY(arena, tegu_term, count ? count : 1);
    for (uint32_t i = 0; i < count; i++)
        items[i] = tegu_term_integer(attr->as.ints.data[i]);
    list.u.list.items = items;
    list.u.list.count = count;
    return list;
}

static void collect(tegu_arena *arena, const tegu_node *node,
                    const tegu_value *inputs, tegu_site *site)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_site_arg arg = {.loc = node->loc,
                             .term = tegu_term_tensor(inputs[i])};
        tegu_vec_push(arena, &site->args, arg);
    }
    site->positional = site->args.count;
    for (uint32_t i = 0; i < tegu_op_get(node->op)->attr_count; i++) {
        const tegu_attr *attr = &node->attrs[i];
        tegu_site_arg arg = {.name = attr->info->key,
                             .loc = node->loc,
                             .term = attr_term(arena, attr)};
        tegu_vec_push(arena, &site->args, arg);
    }
}

static tegu_value expand(void *data, tegu_graph *into, const tegu_node *node,
                         const tegu_value *inputs)
{
    tegu_module *module = data;
    tegu_unit *unit = into->unit;
    tegu_elab el = {.unit = unit,
                    .arena = unit->arena,
                    .diag = unit->diag,
                    .module = module,
                    .graph = into,
                    .leaves = tegu_map_create(unit->arena),
                    .core = true,
                    .at = node->loc};
    tegu_site site = {.name = tegu_op_get(node->op)->text, .loc = node->loc};
    for (uint32_t i = 0; i < module->symbols.count; i++)
        module->symbols.data[i].failed = false;
    tegu_symbol *symbol = tegu_module_find(module, site.name);
    if (!symbol) {
        tegu_error(unit->diag, node->loc, TEGU_E_INTERNAL,
                   "the prelude does not define '%s'", site.name);
        return 0;
    }
    collect(unit->arena, node, inputs, &site);
    tegu_term result = tegu_elab_call(&el, symbol, &site);
    return tegu_elab_tensor(&el, node->loc, &result, TEGU_DTYPE_COUNT);
}

void tegu_prelude_attach(tegu_unit *unit)
{
    unit->expander.data = parse_prelude(unit);
    unit->expander.expand = expand;
}
