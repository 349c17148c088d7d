/* SPDX-License-Identifier: Apache-2.0 */
/* peft_apply.c - an adapter's sites to adapted weights of a unit.
 *
 * Takes    a unit at model level and a settled adapter.
 * Produces the same entries, in which every use of a targeted parameter is
 *          lora, singlora or dora of it; parameters whose data the adapter
 *          replaces; and new parameters that point into the adapter's file.
 * How      a site names a module; its parameter is found by name, with more or
 *          fewer leading components, or, for a head that shares the token
 *          table, by that table's use.  An embedding's update is applied where
 *          the table is read by index, every other one where it is multiplied,
 *          so that a tied weight changes on one side only.  A weight that is
 *          adapted already is wrapped once more, outermost last.
 * Checks   every site is used; no parameter is adapted twice by one adapter;
 *          shapes fit; values are finite; not all updates are zero; modules
 *          that the config targets have tensors.
 */
#include "frontend/peft_apply.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

/* --- uses of parameters --- */

/* lora, singlora or dora. */
static bool is_adapted(const tegu_node *node)
{
    return node->op == TEGU_OP_LORA || node->op == TEGU_OP_SINGLORA ||
           node->op == TEGU_OP_DORA;
}

/* The parameter under the adapters on a value; NULL: none. */
static const char *root_of(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);
    while (is_adapted(node))
        node = tegu_graph_node(g, node->inputs[0]);
    return node->op == TEGU_OP_PARAM ? tegu_node_text(node, "name") : NULL;
}

static bool is_table_use(const tegu_node *node, uint32_t i)
{
    return (node->op == TEGU_OP_EMBED && i == 1) ||
           (node->op == TEGU_OP_GATHER && i == 0);
}

/* True for a use that counts: an adapted weight is looked at from outside. */
static bool is_use(const tegu_node *node, uint32_t i)
{
    return !(is_adapted(node) && i == 0);
}

/* How the entries use the parameter. */
static unsigned uses_of(const applying *ap, const char *name)
{
    const uint64_t *uses = tegu_map_find(ap->uses, name, strlen(name));
    return uses ? (unsigned)*uses : 0;
}

static void note_uses(applying *ap, const tegu_graph *g)
{
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        for (uint32_t i = 0; i < node->input_count; i++) {
            const char *name = root_of(g, node->inputs[i]);
            if (!name || !is_use(node, i))
                continue;
            unsigned use = is_table_use(node, i) ? TEGU_USED_AS_TABLE
                                                 : TEGU_USED_AS_MATRIX;
            if (node->op == TEGU_OP_LINEAR && i == 1)
                use |= TEGU_USED_BY_LINEAR;
            tegu_map_set(ap->uses, name, strlen(name), uses_of(ap, name) | use);
        }
    }
}

/* --- modules to parameters --- */

static tegu_param *find_param(const applying *ap, const char *module,
                              const char *leaf)
{
    const char *name = tegu_format(ap->adapter->arena, "%s.%s", module, leaf);
    return tegu_unit_find_param(ap->unit, name);
}

/* The only parameter whose name ends with ".module.leaf". */
static tegu_param *find_ending(const applying *ap, const char *module,
                               const char *leaf)
{
    const char *end = tegu_format(ap->adapter->arena, ".%s.%s", module, leaf);
    size_t n = strlen(end);
    tegu_param *found = NULL;
    for (uint32_t i = 0; i < ap->unit->params.count; i++) {
        tegu_param *param = &ap->unit->params.data[i];
        size_t length = strlen(param->name);
        if (length < n || strcmp(param->name + length - n, end) != 0)
            continue;
        if (found)
            return NULL;
        found = param;
    }
    return found;
}

/* The token table, when the head reads it too. */
static tegu_param *find_tied(const applying *ap, const char *module)
{
    static const char *const heads[] = {"lm_head", "output", "embed_out"};
    if (!tegu_peft_is_named(module, heads, sizeof heads / sizeof *heads))
        return NULL;
    for (uint32_t i = 0; i < ap->unit->params.count; i++) {
        tegu_param *param = &ap->unit->params.data[i];
        unsigned uses = uses_of(ap, param->name);
        if ((uses & TEGU_USED_AS_TABLE) && (uses & TEGU_USED_BY_LINEAR))
            return param;
    }
    return NULL;
}

static tegu_param *no_module(const applying *ap, const char *module,
                             const char *leaf)
{
    const tegu_unit *unit = ap->unit;
    tegu_arena *arena = ap->adapter->arena;
    const char **known = TEGU_ARRAY(arena, const char *, unit->params.count);
    const char *name = tegu_format(arena, "%s.%s", module, leaf);
    for (uint32_t i = 0; i < unit->params.count; i++)
        known[i] = unit->params.data[i].name;
    const char *near = tegu_nearest(name, known, unit->params.count);
    tegu_adapter_error(ap->adapter, TEGU_E_ADAPTER_BASE, module,
                       "is no module of the model: it has no '%s'%s%s%s",
                       tegu_escaped(arena, name, strlen(name)),
                       near ? "; the nearest is '" : "",
                       near ? tegu_escaped(arena, near, strlen(near)) : "",
                       near ? "'" : "");
    return NULL;
}

/* *tied: found through the table that the head shares. */
static tegu_param *resolve(applying *ap, const char *module, const char *leaf,
                           bool *tied)
{
    tegu_param *param = NULL;
    *tied = false;
    for (const char *rest = module; rest; rest = strchr(rest, '.')) {
        rest += *rest == '.';
        param = find_param(ap, rest, leaf);
        if (!param)
            continue;
        ap->more = tegu_format(ap->adapter->arena, "%.*s", (int)(rest - module),
                               module);
        return param;
    }
    param = find_ending(ap, module, leaf);
    if (!param && strcmp(leaf, "weight") == 0) {
        param = find_tied(ap, module);
        *tied = param != NULL;
    }
    return param ? param : no_module(ap, module, leaf);
}

/* --- new parameters --- */

/* A tensor of the file as a matrix or vector of the unit. */
static const tegu_param *add_param(applying *ap, const tegu_stored_tensor *t,
                                   uint32_t rank, int64_t rows, int64_t columns,
                                   bool transposed)
{
    const int64_t dims[] = {rows, columns};
    uint32_t index;
    tegu_param param = {
        .name = tegu_format(ap->adapter->arena, "%s:%s", ap->label, t->name),
        .type = tegu_unit_shape(ap->unit, TEGU_F32, rank, dims),
        .loc = tegu_loc_file(ap->adapter->path),
        .source = TEGU_SOURCE_DATA,
        .stored = t->dtype,
        .data = t->data,
        .transposed = transposed,
        .adapter = ap->owner,
    };
    if (!tegu_unit_add_param(ap->unit, &param, &index))
        return NULL;
    return &ap->unit->params.data[index];
}

static bool wrong_shape(const applying *ap, const tegu_stored_tensor *t,
                        const tegu_param *base, int64_t rows, int64_t columns)
{
    const char *name = base->name;
    return tegu_adapter_error(
        ap->adapter, TEGU_E_ADAPTER_BASE, t->name,
        "has shape %s, but '%s' is %s here, which takes [%" PRId64 ", %" PRId64
        "]%s",
        tegu_adapter_shape(ap->adapter, t),
        tegu_escaped(ap->adapter->arena, name, strlen(name)),
        tegu_type_string(ap->unit, ap->adapter->arena, base->type), rows,
        columns,
        t->rank == 2 && t->dims[0] == columns && t->dims[1] == rows &&
                rows != columns
            ? "; it is transposed"
            : "");
}

/* Adds part `part` as [rows, columns]; `swapped`: stored transposed. */
static bool add_matrix(applying *ap, const tegu_adapter_site *site,
                       const tegu_param *base, tegu_adapter_part part,
                       int64_t rows, int64_t columns, bool swapped,
                       const char **name)
{
    const tegu_stored_tensor *t = site->parts[part];
    int64_t first = swapped ? columns : rows, last = swapped ? rows : columns;
    if (t->rank != 2 || t->dims[0] != first || t->dims[1] != last)
        return wrong_shape(ap, t, base, first, last);
    const tegu_param *param = add_param(ap, t, 2, rows, columns, swapped);
    if (param)
        *name = param->name;
    return param != NULL;
}

static bool add_magnitude(applying *ap, const tegu_adapter_site *site,
                          const tegu_param *base, int64_t rows,
                          const char **name)
{
    const tegu_stored_tensor *t = site->parts[TEGU_PART_MAGNITUDE];
    int64_t count = 1, longest = 0;
    for (uint32_t i = 0; i < t->rank; i++) {
        count *= t->dims[i];
        longest = t->dims[i] > longest ? t->dims[i] : longest;
    }
    if (longest != rows || count != rows)
        return wrong_shape(ap, t, base, rows, 1);
    const tegu_param *param = add_param(ap, t, 1, rows, 1, false);
    if (param)
        *name = param->name;
    return param != NULL;
}

/* llama.cpp's converter reorders rows of q and k: row 2j + p of a head was row
 * p d/2 + j.  Undone on B, whose rows are the weight's. */
static bool unpermute(applying *ap, const tegu_adapter_site *site,
                      const tegu_param *base)
{
    static const char *const turned[] = {"q_proj", "k_proj"};
    const tegu_stored_tensor *t = site->parts[TEGU_PART_B];
    tegu_dim rows = base->type->dims[0];
    if (!ap->adapter->gguf || !t ||
        !tegu_peft_is_named(site->module, turned, 2))
        return true;
    const tegu_axis *heads = &ap->unit->axes.data[rows.axes[0]];
    if (!rows.axes[0] || !rows.axes[1] || rows.offset % (2 * heads->lo) ||
        t->dims[0] != rows.offset)
        return tegu_adapter_error(
            ap->adapter, TEGU_E_ADAPTER_BASE, t->name,
            "cannot be put back in order: the model does not name the heads "
            "of '%s' (heads * head_dim)",
            base->name);
    size_t bytes = t->bytes / (size_t)t->dims[0];
    int64_t size = rows.offset / heads->lo;
    unsigned char *data = tegu_arena_alloc_raw(ap->unit->arena, t->bytes);
    for (int64_t i = 0; i < rows.offset; i++) {
        int64_t j = i % size;
        int64_t from = i - j + 2 * (j % (size / 2)) + j / (size / 2);
        memcpy(data + (size_t)i * bytes, t->data + (size_t)from * bytes, bytes);
    }
    tegu_stored_tensor *copy = TEGU_NEW(ap->unit->arena, tegu_stored_tensor);
    *copy = *t;
    copy->data = data;
    /* The site is ours: its adapter is used up by applying it. */
    ap->adapter->sites.data[ap->site].parts[TEGU_PART_B] = copy;
    return true;
}

/* --- changes --- */

static bool add_change(applying *ap, const tegu_adapter_site *site,
                       const char *param, unsigned use, change c)
{
    c.site = site;
    c.param = param;
    const char *key = tegu_format(ap->adapter->arena, "%u:%s", use, param);
    const uint64_t *other = tegu_map_find(ap->index, key, strlen(key));
    if (other)
        return tegu_adapter_error(ap->adapter, TEGU_E_ADAPTER, site->module,
                                  "and '%s' adapt the same weight '%s'",
                                  ap->changes.data[*other].site->module, param);
    tegu_map_set(ap->index, key, strlen(key), ap->changes.count);
    tegu_vec_push(ap->adapter->arena, &ap->changes, c);
    return true;
}

static bool add_update(applying *ap, const tegu_adapter_site *site)
{
    const tegu_adapter *a = ap->adapter;
    bool tied, ok = true;
    const tegu_param *base = resolve(ap, site->module, "weight", &tied);
    if (!base)
        return false;
    if (base->type->rank != 2)
        return tegu_adapter_error(
            a, TEGU_E_ADAPTER_BASE, site->module,
            "cannot be adapted: '%s' is %s, no matrix", base->name,
            tegu_type_string(ap->unit, a->arena, base->type));
    if (ap->owner && site->kind == TEGU_ADAPTER_DORA)
        return tegu_adapter_error(a, TEGU_E_ADAPTER, site->module,
                                  "is DoRA, whose row lengths depend on the "
                                  "whole weight: it cannot be switched, only "
                                  "folded");
    const char *name = base->name;
    tegu_param kept = *base; /* adding parameters moves them */
    int64_t rows = kept.type->dims[0].offset, r = site->rank;
    int64_t columns = kept.type->dims[1].offset;
    int64_t longer = rows > columns ? rows : columns;
    change c = {.op = TEGU_OP_LORA, .scale = site->scale * ap->weight};
    if (!unpermute(ap, site, &kept))
        return false;
    switch (site->kind) {
    case TEGU_ADAPTER_SINGLORA:
        c.op = TEGU_OP_SINGLORA;
        ok = add_matrix(ap, site, &kept, TEGU_PART_SINGLE, longer, r, false,
                        &c.params[0]);
        break;
    case TEGU_ADAPTER_EMBEDDING:
        ok = add_matrix(ap, site, &kept, TEGU_PART_EMBEDDING_B, r, columns,
                        true, &c.params[0]) &&
             add_matrix(ap, site, &kept, TEGU_PART_EMBEDDING_A, rows, r,
                        !a->gguf, &c.params[1]);
        break;
    default:
        ok = add_matrix(ap, site, &kept, TEGU_PART_A, r, columns, false,
                        &c.params[0]) &&
             add_matrix(ap, site, &kept, TEGU_PART_B, rows, r, false,
                        &c.params[1]);
    }
    if (ok && site->kind == TEGU_ADAPTER_DORA) {
        c.op = TEGU_OP_DORA;
        ok = add_magnitude(ap, site, &kept, rows, &c.params[2]);
    }
    unsigned use = site->kind == TEGU_ADAPTER_EMBEDDING ? TEGU_USED_AS_TABLE
                                                        : TEGU_USED_AS_MATRIX;
    return ok && add_change(ap, site, name, use, c);
}

/* --- replacements --- */

static bool same_shape(const tegu_param *param, const tegu_stored_tensor *t)
{
    uint32_t rank = param->type->rank;
    bool same = t->rank == rank;
    for (uint32_t i = 0; same && i < rank; i++)
        same = t->dims[param->transposed ? rank - 1 - i : i] ==
               param->type->dims[i].offset;
    return same;
}

/* The parameter's data in place, or, where it has uses on both sides of a tie,
 * a new parameter on the module's side. */
static bool replace(applying *ap, const tegu_adapter_site *site,
                    tegu_adapter_part part, const char *leaf)
{
    const tegu_stored_tensor *t = site->parts[part];
    bool tied;
    if (!t)
        return true;
    tegu_param *base = resolve(ap, site->module, leaf, &tied);
    if (!base)
        return false;
    if (!same_shape(base, t))
        return tegu_adapter_error(
            ap->adapter, TEGU_E_ADAPTER_BASE, t->name,
            "has shape %s, but '%s' is %s here",
            tegu_adapter_shape(ap->adapter, t), base->name,
            tegu_type_string(ap->unit, ap->adapter->arena, base->type));
    if (ap->owner)
        return tegu_adapter_error(ap->adapter, TEGU_E_ADAPTER, t->name,
                                  "replaces a tensor of the model, which "
                                  "cannot be switched: fold the adapter");
    if (ap->weight != 1)
        return tegu_adapter_error(ap->adapter, TEGU_E_ADAPTER, t->name,
                                  "replaces a tensor, which a weight of %g "
                                  "cannot scale",
                                  ap->weight);
    if (base->loc.file && base->loc.line == 0)
        return tegu_adapter_error(ap->adapter, TEGU_E_ADAPTER, t->name,
                                  "replaces a tensor that another adapter "
                                  "replaced");
    ap->replaced = true;
    unsigned uses = uses_of(ap, base->name);
    if ((uses & TEGU_USED_AS_TABLE) && (uses & TEGU_USED_AS_MATRIX)) {
        const char *name = base->name;
        change c = {.op = TEGU_OP_PARAM};
        const tegu_param *own =
            add_param(ap, t, 2, base->type->dims[0].offset,
                      base->type->dims[1].offset, base->transposed);
        if (!own)
            return false;
        c.params[0] = own->name;
        return add_change(ap, site, name,
                          tied ? TEGU_USED_AS_MATRIX : TEGU_USED_AS_TABLE, c);
    }
    base->source = TEGU_SOURCE_DATA;
    base->stored = t->dtype;
    base->data = t->data;
    base->loc = tegu_loc_file(ap->adapter->path);
    return true;
}

static bool add_changes(applying *ap)
{
    tegu_adapter *a = ap->adapter;
    for (uint32_t i = 0; i < a->sites.count; i++) {
        const tegu_adapter_site *site = &a->sites.data[i];
        ap->site = i;
        if (!replace(ap, site, TEGU_PART_WEIGHT, "weight") ||
            !replace(ap, site, TEGU_PART_BIAS, "bias"))
            return false;
        if (site->kind != TEGU_ADAPTER_NONE && !add_update(ap, site))
            return false;
    }
    return true;
}

/* --- graphs --- */

/* A parameter, located where the adapter's file has it. */
static tegu_value build_leaf(applying *ap, tegu_graph *g, const char *name)
{
    return tegu_build_param(g, tegu_unit_find_param(ap->unit, name)->loc, name);
}

static tegu_value build_change(applying *ap, tegu_graph *g, change *c,
                               tegu_value base)
{
    tegu_value inputs[4] = {base};
    uint32_t count = 1;
    if (c->op == TEGU_OP_PARAM)
        return build_leaf(ap, g, c->params[0]);
    while (count < 4 && c->params[count - 1]) {
        inputs[count] = build_leaf(ap, g, c->params[count - 1]);
        count++;
    }
    tegu_attr scale = tegu_attr_of_float(c->op, "scale", c->scale);
    return tegu_build(g, tegu_graph_node(g, base)->loc, c->op, count, inputs, 1,
                      &scale, NULL);
}

/* What operand i of `node` becomes; its mapped value when nothing changes. */
static tegu_value adapt_operand(tegu_rewriter *rw, const tegu_node *node,
                                uint32_t i)
{
    applying *ap = rw->data;
    tegu_value mapped = rw->map[node->inputs[i]];
    const char *name = root_of(rw->from, node->inputs[i]);
    if (!name || !is_use(node, i))
        return mapped;
    unsigned use =
        is_table_use(node, i) ? TEGU_USED_AS_TABLE : TEGU_USED_AS_MATRIX;
    const char *key = tegu_format(ap->adapter->arena, "%u:%s", use, name);
    const uint64_t *found = tegu_map_find(ap->index, key, strlen(key));
    if (!found)
        return mapped;
    change *c = &ap->changes.data[*found];
    c->used = true;
    if (c->graph != rw->into || c->base != mapped) {
        c->graph = rw->into;
        c->base = mapped;
        c->adapted = build_change(ap, rw->into, c, mapped);
    }
    return c->adapted;
}

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(rw->from, v);
    tegu_value kept[8], value;
    uint32_t count = node->input_count < 8 ? node->input_count : 8;
    for (uint32_t i = 0; i < count; i++)
        kept[i] = adapt_operand(rw, node, i);
    for (uint32_t i = 0; i < count; i++) {
        tegu_value adapted = kept[i];
        kept[i] = rw->map[node->inputs[i]];
        rw->map[node->inputs[i]] = adapted;
    }
    value = tegu_rewriter_copy(rw, v);
    for (uint32_t i = count; i-- > 0;)
        rw->map[node->inputs[i]] = kept[i];
    return value;
}

static bool rewrite(applying *ap)
{
    tegu_unit *unit = ap->unit;
    for (uint32_t i = 0; i < unit->entries.count; i++) {
        tegu_graph *g = unit->entries.data[i].graph;
        tegu_graph *next = tegu_graph_rewrite(g, g->level, visit, ap);
        if (!next)
            return false;
        unit->entries.data[i].graph = next;
    }
    for (uint32_t i = 0; i < ap->changes.count; i++)
        if (!ap->changes.data[i].used)
            return tegu_adapter_error(
                ap->adapter, TEGU_E_ADAPTER_BASE,
                ap->changes.data[i].site->module,
                "is not used in the model the way the adapter changes it%s",
                ap->changes.data[i].site->kind == TEGU_ADAPTER_EMBEDDING
                    ? ": no entry reads it by index"
                    : "");
    return true;
}

/* --- the whole --- */

/* Names in front of its tensors' names: of the adapter, made unique. */
static const char *label_of(const tegu_unit *unit, const tegu_adapter *a)
{
    const char *label = a->name;
    for (int n = 2;; n++) {
        const char *prefix = tegu_format(a->arena, "%s:", label);
        bool taken = false;
        for (uint32_t i = 0; i < unit->params.count; i++)
            taken |=
                strncmp(unit->params.data[i].name, prefix, strlen(prefix)) == 0;
        if (!taken)
            return label;
        label = tegu_format(a->arena, "%s#%d", a->name, n);
    }
}

/* Whether two names would give the header one macro twice: ADAPTER_X, or
 * ADAPTER_X_BYTES and _SCALE of another X. */
static bool names_clash(const char *a, const char *b)
{
    size_t n = strlen(a);
    return strncasecmp(a, b, n) == 0 &&
           (!b[n] || strcasecmp(b + n, "_bytes") == 0 ||
            strcasecmp(b + n, "_scale") == 0);
}

/* The adapter's name as a C identifier that no other adapter of the unit has;
 * a folder's or file's name without what follows the first dot. */
static const char *c_label_of(const tegu_unit *unit, const tegu_adapter *a)
{
    char *stem =
        tegu_format(a->arena, "%.*s", (int)strcspn(a->name, "."), a->name);
    if (strlen(stem) > 48)
        stem[48] = 0;
    for (char *c = stem; *c; c++)
        if (!isalnum((unsigned char)*c))
            *c = '_';
    if (!isalpha((unsigned char)*stem))
        stem = tegu_format(a->arena, "a%s", stem);
    const char *label = stem;
    for (int n = 2;; n++) {
        bool taken = false;
        for (uint32_t i = 1; i < unit->adapters.count; i++)
            taken |= names_clash(label, unit->adapters.data[i].name) ||
                     names_clash(unit->adapters.data[i].name, label);
        if (!taken)
            return label;
        label = tegu_format(a->arena, "%s_%d", stem, n);
    }
}

static bool is_applied(const tegu_unit *unit, const tegu_adapter *a)
{
    for (uint32_t i = 0; i < unit->adapter_files.count; i++) {
        const tegu_file *file = &unit->adapter_files.data[i];
        if (file->inode && file->inode == a->file.inode &&
            file->device == a->file.device)
            return true;
    }
    return false;
}

bool tegu_adapter_apply(tegu_unit *unit, tegu_adapter *adapter, double weight,
                        bool apart)
{
    applying ap = {.unit = unit,
                   .adapter = adapter,
                   .weight = weight,
                   .more = "",
                   .uses = tegu_map_create(adapter->arena),
                   .index = tegu_map_create(adapter->arena)};
    if (!isfinite(weight) || weight == 0 || fabs(weight) > 1e6)
        return tegu_adapter_error(adapter, TEGU_E_ADAPTER, NULL,
                                  "a weight of %g is not possible; it is a "
                                  "number other than 0",
                                  weight);
    if (is_applied(unit, adapter))
        return tegu_adapter_error(adapter, TEGU_E_ADAPTER, NULL,
                                  "the adapter is given twice");
    ap.label = apart ? c_label_of(unit, adapter) : label_of(unit, adapter);
    if (apart)
        ap.owner = tegu_unit_add_adapter(unit, ap.label, weight);
    for (uint32_t i = 0; i < unit->entries.count; i++)
        note_uses(&ap, unit->entries.data[i].graph);
    if (adapter->config.data)
        tegu_vec_push(unit->arena, &unit->adapter_files, adapter->config);
    tegu_vec_push(unit->arena, &unit->adapter_files, adapter->file);
    adapter->file = (tegu_file){0};
    return add_changes(&ap) && tegu_adapter_check(&ap) && rewrite(&ap);
}
