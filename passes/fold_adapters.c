/* SPDX-License-Identifier: Apache-2.0 */
/* fold_adapters.c - evaluate adapted weights into parameters.
 *
 * Takes    model graphs in which weights are lora, singlora or dora of a
 *          constant weight, maybe several deep.
 * Produces the same graphs over a parameter that holds the adapted weight: the
 *          base's own, when nothing else reads it, else a new one named
 *          `NAME (folded)`.
 * How      fold_rows.c: f64 sums, rounded once to f32.  A scale of 0 adds
 *          nothing and leaves the weight's bits as they are.  Entries that
 *          adapt a weight alike share the parameter.
 * Why      a folded model costs what its base costs; kept apart, each site
 *          costs 2 r (in + out) flops per token more.  That is only worth it
 *          for a base that is shared, or is to be switched at run time
 *          (papers: SingLoRA, arXiv 2507.05566, section 4; Hu et al. 2021).
 * Leaves   weights without data, and keep-adapters' choice when it was made.
 */
#include "passes/adapted.h"
#include "passes/fold_rows.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* A weight with all its adapters: the outermost value. */
typedef struct site {
    const tegu_graph *graph;
    tegu_value value;
    const char *base;   /* the parameter below, NULL: another constant */
    const char *folded; /* the parameter that takes its place */
} site;

typedef struct folder {
    tegu_unit *unit;
    tegu_pass_env *env;
    TEGU_VEC(site) sites;
    const bool *constant; /* of the graph at hand */
    tegu_text *lines;
} folder;

/* --- sites --- */

/* Equal definitions, in graphs of one unit. */
static bool same_value(const tegu_graph *g, tegu_value a, const tegu_graph *h,
                       tegu_value b)
{
    const tegu_node *x = tegu_graph_node(g, a), *y = tegu_graph_node(h, b);

    if (x->op != y->op || x->type != y->type ||
        x->input_count != y->input_count)
        return false;
    for (uint32_t i = 0; i < tegu_op_get(x->op)->attr_count; i++)
        if (!tegu_attr_equal(&x->attrs[i], &y->attrs[i]))
            return false;
    if (x->op == TEGU_OP_CONST &&
        memcmp(x->data, y->data,
               (size_t)tegu_type_elements(x->type) *
                   tegu_dtype_bytes(x->type->dtype)) != 0)
        return false;
    for (uint32_t i = 0; i < x->input_count; i++)
        if (!same_value(g, x->inputs[i], h, y->inputs[i]))
            return false;
    return true;
}

static site *find_site(folder *f, const tegu_graph *g, tegu_value v)
{
    for (uint32_t i = 0; i < f->sites.count; i++)
        if (same_value(f->sites.data[i].graph, f->sites.data[i].value, g, v))
            return &f->sites.data[i];
    return NULL;
}

static const char *param_name(const tegu_graph *g, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);

    return node->op == TEGU_OP_PARAM ? tegu_node_text(node, "name") : NULL;
}

/* True when the value stands for an adapted constant seen from outside. */
static bool is_site(const bool *constant, const tegu_graph *g,
                    const tegu_node *user, uint32_t i)
{
    tegu_value v = user->inputs[i];

    return constant[v] && tegu_node_is_adapted(tegu_graph_node(g, v)) &&
           !(tegu_node_is_adapted(user) && i == 0);
}

static void add_site(folder *f, const tegu_graph *g, tegu_value v)
{
    site s = {
        .graph = g, .value = v, .base = param_name(g, tegu_adapted_base(g, v))};

    if (!find_site(f, g, v))
        tegu_vec_push(f->env->scratch, &f->sites, s);
}

static void collect(folder *f, const tegu_graph *g)
{
    uint32_t *uses = tegu_graph_uses(g, f->env->scratch);
    const bool *constant = tegu_graph_constant(g, f->env->scratch);

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        for (uint32_t i = 0; uses[v] && i < node->input_count; i++)
            if (is_site(constant, g, node, i))
                add_site(f, g, node->inputs[i]);
    }
    for (uint32_t i = 0; i < g->results.count; i++) {
        tegu_value v = g->results.data[i].value;
        if (constant[v] && tegu_node_is_adapted(tegu_graph_node(g, v)))
            add_site(f, g, v);
    }
}

/* --- does anything else read the base? --- */

static bool reads_otherwise(const site *s, const tegu_graph *g,
                            tegu_arena *scratch)
{
    uint32_t *uses = tegu_graph_uses(g, scratch);

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        for (uint32_t i = 0; uses[v] && i < node->input_count; i++) {
            tegu_value in = node->inputs[i];
            const char *name = param_name(g, tegu_adapted_base(g, in));
            if (!name || strcmp(name, s->base) != 0 ||
                (tegu_node_is_adapted(node) && i == 0))
                continue;
            if (!same_value(s->graph, s->value, g, in))
                return true;
        }
    }
    for (uint32_t i = 0; i < g->results.count; i++) {
        tegu_value v = g->results.data[i].value;
        const char *name = param_name(g, tegu_adapted_base(g, v));
        if (name && strcmp(name, s->base) == 0 &&
            !same_value(s->graph, s->value, g, v))
            return true;
    }
    return false;
}

static bool is_shared(const folder *f, const site *s)
{
    for (uint32_t i = 0; i < f->unit->entries.count; i++) {
        tegu_mark mark = tegu_arena_mark(f->env->scratch);
        bool other =
            reads_otherwise(s, f->unit->entries.data[i].graph, f->env->scratch);
        tegu_arena_release(f->env->scratch, mark);
        if (other)
            return true;
    }
    return false;
}

/* --- evaluation --- */

/* A constant's elements as f64; NULL after reporting. */
static double *read_values(folder *f, const tegu_graph *g, tegu_value v)
{
    int64_t count = tegu_type_elements(tegu_graph_type(g, v));
    float *values = TEGU_ARRAY(f->env->scratch, float, (size_t)count + 1);
    double *out = TEGU_ARRAY(f->env->scratch, double, (size_t)count + 1);

    if (!tegu_interp_constant(g, v, f->env->scratch, values))
        return NULL;
    for (int64_t i = 0; i < count; i++)
        out[i] = (double)values[i];
    return out;
}

/* [columns][rank] as [rank][columns]. */
static double *turned(folder *f, const double *a, int64_t columns, int64_t rank)
{
    double *out =
        TEGU_ARRAY(f->env->scratch, double, (size_t)(columns * rank) + 1);

    for (int64_t k = 0; k < columns; k++)
        for (int64_t j = 0; j < rank; j++)
            out[j * columns + k] = a[k * rank + j];
    return out;
}

static bool read_layer(folder *f, const tegu_graph *g, const tegu_node *node,
                       tegu_layer *layer)
{
    int64_t columns = node->type->dims[1].offset;
    double *a = read_values(f, g, node->inputs[1]);

    *layer = (tegu_layer){.op = node->op,
                          .scale = tegu_node_float(node, "scale"),
                          .rank = tegu_adapted_rank(g, node)};
    if (!a)
        return false;
    if (node->op == TEGU_OP_SINGLORA) {
        layer->a = turned(f, a, columns, layer->rank);
        layer->b = a;
        return true;
    }
    layer->a = a;
    layer->b = read_values(f, g, node->inputs[2]);
    if (layer->b && node->op == TEGU_OP_DORA)
        layer->m = read_values(f, g, node->inputs[3]);
    return layer->b && (node->op != TEGU_OP_DORA || layer->m);
}

/* The layers that change anything, innermost first. */
static bool read_layers(folder *f, const site *s, tegu_layer **layers,
                        uint32_t *count)
{
    tegu_value v = s->value, base = tegu_adapted_base(s->graph, v);
    uint32_t depth = 0;

    for (tegu_value u = v; u != base;
         u = tegu_graph_node(s->graph, u)->inputs[0])
        depth++;
    *layers = TEGU_ARRAY(f->env->scratch, tegu_layer, depth + 1);
    *count = 0;
    for (uint32_t at = depth; v != base;
         v = tegu_graph_node(s->graph, v)->inputs[0])
        if (!read_layer(f, s->graph, tegu_graph_node(s->graph, v),
                        &(*layers)[--at]))
            return false;
    for (uint32_t i = 0; i < depth; i++)
        if ((*layers)[i].scale != 0 || (*layers)[i].op == TEGU_OP_DORA)
            (*layers)[(*count)++] = (*layers)[i];
    return true;
}

static bool read_base(folder *f, const site *s, float *out)
{
    const tegu_type *type = tegu_graph_type(s->graph, s->value);

    if (!s->base)
        return tegu_interp_constant(s->graph,
                                    tegu_adapted_base(s->graph, s->value),
                                    f->env->scratch, out);
    return tegu_param_read(f->unit, tegu_unit_find_param(f->unit, s->base), 0,
                           tegu_type_elements(type), out);
}

/* --- the folded parameter --- */

static bool store(folder *f, site *s, const float *data)
{
    const char *name =
        s->base ? s->base
                : tegu_format(f->unit->arena, "adapted weight %" PRIu32,
                              (uint32_t)(s - f->sites.data));
    tegu_param param = {.type = tegu_graph_type(s->graph, s->value),
                        .loc = tegu_graph_node(s->graph, s->value)->loc,
                        .source = TEGU_SOURCE_DATA,
                        .stored = TEGU_F32,
                        .data = data};
    uint32_t index;

    if (s->base && !is_shared(f, s)) {
        tegu_param *own = tegu_unit_find_param(f->unit, s->base);
        param.name = own->name;
        param.type = own->type;
        *own = param;
        s->folded = own->name;
        return true;
    }
    param.name = tegu_format(f->unit->arena, "%s (folded)", name);
    for (int n = 2; tegu_unit_find_param(f->unit, param.name); n++)
        param.name = tegu_format(f->unit->arena, "%s (folded %d)", name, n);
    if (!tegu_unit_add_param(f->unit, &param, &index))
        return false;
    s->folded = f->unit->params.data[index].name;
    return true;
}

static void report_site(folder *f, const site *s, const tegu_layer *layers,
                        uint32_t count, const tegu_fold_measure *measure)
{
    const char *name = s->base ? s->base : "a constant";

    tegu_text_printf(
        f->lines, "  %s:", tegu_escaped(f->env->scratch, name, strlen(name)));
    for (uint32_t i = 0; i < count; i++)
        tegu_text_printf(f->lines, "%s %s rank %" PRId64 " scale %.6g",
                         i ? "," : "", tegu_op_get(layers[i].op)->text,
                         layers[i].rank, layers[i].scale);
    if (count == 0)
        tegu_text_printf(f->lines, " scale 0, bits unchanged\n");
    else
        tegu_text_printf(f->lines, ", ||dW||/||W|| %.4g, error/bound %.3f\n",
                         measure->change, measure->error);
}

static bool fold_site(folder *f, site *s)
{
    const tegu_type *type = tegu_graph_type(s->graph, s->value);
    tegu_mark mark = tegu_arena_mark(f->env->scratch);
    tegu_fold_measure measure = {0};
    tegu_layer *layers;
    uint32_t count;
    float *data;

    if (!read_layers(f, s, &layers, &count))
        return false;
    if (count == 0 && s->base) {
        report_site(f, s, layers, 0, &measure);
        s->folded = s->base;
        return true;
    }
    data = tegu_arena_alloc_raw(
        f->unit->arena, (size_t)tegu_type_elements(type) * sizeof *data + 4);
    if (!read_base(f, s, data))
        return false;
    tegu_fold_rows(f->env->scratch, data, type->dims[0].offset,
                   type->dims[1].offset, layers, count, &measure);
    if (!measure.finite)
        return tegu_error(f->unit->diag,
                          tegu_graph_node(s->graph, s->value)->loc,
                          TEGU_E_PARAM,
                          "folding an adapter into '%s' gives weights that "
                          "are not finite",
                          s->base ? s->base : "a constant");
    report_site(f, s, layers, count, &measure);
    tegu_arena_release(f->env->scratch, mark);
    return store(f, s, data);
}

/* --- graphs --- */

static tegu_value visit(tegu_rewriter *rw, tegu_value v)
{
    folder *f = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);
    const site *s = NULL;

    if (f->constant[v] && tegu_node_is_adapted(node))
        s = find_site(f, rw->from, v);
    if (!s)
        return tegu_rewriter_copy(rw, v);
    return tegu_build_param(rw->into, node->loc, s->folded);
}

static bool rewrite(folder *f)
{
    for (uint32_t i = 0; i < f->unit->entries.count; i++) {
        tegu_entry *entry = &f->unit->entries.data[i];
        tegu_graph *g;
        f->constant = tegu_graph_constant(entry->graph, f->env->scratch);
        g = tegu_graph_rewrite(entry->graph, entry->graph->level, visit, f);
        /* The adapters' matrices are no longer reached. */
        g = g ? tegu_graph_rewrite(g, g->level, NULL, NULL) : NULL;
        if (!g)
            return false;
        entry->graph = g;
    }
    return true;
}

/* A value below the site that has no data yet: planning without weights. */
static bool has_data(const folder *f, const site *s, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(s->graph, v);

    if (node->op == TEGU_OP_PARAM)
        return tegu_unit_find_param(f->unit, tegu_node_text(node, "name"))
                   ->source != TEGU_SOURCE_NONE;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (!has_data(f, s, node->inputs[i]))
            return false;
    return true;
}

tegu_outcome tegu_pass_fold_adapters(tegu_unit *unit, tegu_pass_env *env)
{
    folder f = {.unit = unit, .env = env, .lines = env->report};

    for (uint32_t i = 0; i < unit->entries.count; i++)
        collect(&f, unit->entries.data[i].graph);
    if (f.sites.count == 0)
        return TEGU_UNCHANGED;
    for (uint32_t i = 0; i < f.sites.count; i++)
        if (!has_data(&f, &f.sites.data[i], f.sites.data[i].value)) {
            tegu_text_printf(f.lines, "fold-adapters: not folded, the model "
                                      "has no weights\n");
            return TEGU_UNCHANGED;
        }
    tegu_text_printf(f.lines,
                     "fold-adapters: %" PRIu32 " weights folded; kept apart "
                     "they would cost 2 r (in + out) flops per token each\n",
                     f.sites.count);
    for (uint32_t i = 0; i < f.sites.count; i++)
        if (!fold_site(&f, &f.sites.data[i]))
            return TEGU_FAILED;
    return rewrite(&f) ? TEGU_CHANGED : TEGU_FAILED;
}
