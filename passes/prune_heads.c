/* SPDX-License-Identifier: Apache-2.0 */
/* prune_heads.c - drops whole attention heads and repairs what reads them.
 *
 * Takes attentions of entry `step` whose queries, keys and values come from
 * linears, each its own or slices of joint ones (GPT-2's c_attn), by reshape,
 * rope and append, and whose result one linear reads.  Heads that share keys
 * and values go together: rows of q, k and v, a slice of the caches.  The
 * reader is repaired by least squares over the heads that stay (obs.h);
 * greedily that group goes whose loss after the repair is least.  Other
 * arrangements are refused by name.
 */
#include "passes/intermediate.h"
#include "passes/obs.h"
#include "passes/passes.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* One attention and what is cut with it. */
typedef struct heads {
    tegu_value attention;
    tegu_value linears[3];       /* of q, k, v */
    int64_t starts[3];           /* of their rows in a joint linear */
    bool joint[3];               /* sliced from it */
    const char *states[3];       /* caches of k, v; NULL: none */
    int64_t count, groups, size; /* query heads, kv heads, head_dim */
    tegu_region region;          /* reader and q, as a hidden layer */
    tegu_dim dims[2];            /* of heads, of kv heads, as they are */
    tegu_dim within;             /* of head_dim */
} heads;

typedef struct pruning {
    tegu_unit *unit;
    tegu_pass_env *env;
    tegu_graph *g;
    const uint32_t *uses;
    const bool *constant;
    TEGU_VEC(heads) found;
    TEGU_VEC(const char *) names; /* of the parameters that are cut */
    TEGU_VEC(tegu_replacement) replacements;
} pruning;

/* --- finding --- */

static bool refuse(const pruning *p, const tegu_node *node, const char *why)
{
    return tegu_error(p->unit->diag, node->loc, TEGU_E_UNSUPPORTED,
                      "heads cannot be pruned: '%s' %s",
                      tegu_op_get(node->op)->text, why);
}

/* A slice of the last axis alone, without steps. */
static bool slices_columns(const pruning *p, const tegu_node *node)
{
    const tegu_type *from = tegu_graph_type(p->g, node->inputs[0]);
    const int64_t *start = tegu_node_attr(node, "start")->as.ints.data;
    const int64_t *step = tegu_node_attr(node, "step")->as.ints.data;
    uint32_t last = node->type->rank - 1;

    for (uint32_t k = 0; k <= last; k++)
        if (step[k] != 1 ||
            (k < last &&
             (start[k] || !tegu_dim_equal(from->dims[k], node->type->dims[k]))))
            return false;
    return start[last] >= 0;
}

/* One step back from an attention's operand at v; 0 after reporting. */
static tegu_value step_back(const pruning *p, heads *h, uint32_t operand,
                            tegu_value v)
{
    const tegu_node *node = tegu_graph_node(p->g, v);
    const tegu_node *from;

    switch ((int)node->op) {
    case TEGU_OP_APPEND:
        from = tegu_graph_node(p->g, node->inputs[0]);
        h->states[operand] = tegu_node_text(from, "name");
        return node->inputs[1];
    case TEGU_OP_ROPE:
    case TEGU_OP_RESHAPE: return node->inputs[0];
    case TEGU_OP_SLICE:
        from = tegu_graph_node(p->g, node->inputs[0]);
        if (from->op != TEGU_OP_LINEAR || !slices_columns(p, node))
            break;
        h->joint[operand] = true;
        h->starts[operand] =
            tegu_node_attr(node, "start")->as.ints.data[node->type->rank - 1];
        return node->inputs[0];
    default: break;
    }
    refuse(p, node, "stands between a linear and the attention");
    return 0;
}

/* From an attention's operand back to the linear that makes it. */
static bool trace(const pruning *p, heads *h, uint32_t operand)
{
    tegu_value v = tegu_graph_node(p->g, h->attention)->inputs[operand];

    while (v && tegu_graph_node(p->g, v)->op != TEGU_OP_LINEAR) {
        const tegu_node *node = tegu_graph_node(p->g, v);
        if (p->uses[v] != (node->op == TEGU_OP_APPEND ? 2 : 1))
            return refuse(p, node, "has other readers");
        v = step_back(p, h, operand, v);
    }
    h->linears[operand] = v;
    return v && (p->constant[tegu_graph_node(p->g, v)->inputs[1]] ||
                 refuse(p, tegu_graph_node(p->g, v), "has a computed weight"));
}

/* Linears serve this attention alone, and slices of one do not overlap. */
static bool check_linears(const pruning *p, const heads *h)
{
    for (uint32_t i = 0; i < 3; i++) {
        const tegu_node *node = tegu_graph_node(p->g, h->linears[i]);
        int64_t size = (i ? h->groups : h->count) * h->size;
        uint32_t readers = 0;
        for (uint32_t k = 0; k < 3; k++) {
            readers += h->linears[k] == h->linears[i];
            if (k != i && h->linears[k] == h->linears[i] &&
                h->starts[k] >= h->starts[i] &&
                h->starts[k] < h->starts[i] + size)
                return refuse(p, node,
                              "makes several operands of the same "
                              "rows");
        }
        if (p->uses[h->linears[i]] != readers)
            return refuse(p, node, "has other readers");
    }
    return true;
}

/* The only reader of v; 0: none, or several. */
static tegu_value reader_of(const pruning *p, tegu_value v)
{
    tegu_value reader = 0;

    for (tegu_value u = v + 1; u < p->g->nodes.count && p->uses[v] == 1; u++) {
        const tegu_node *node = tegu_graph_node(p->g, u);
        for (uint32_t i = 0; p->uses[u] && i < node->input_count; i++)
            if (node->inputs[i] == v)
                reader = u;
    }
    return reader;
}

static const char *param_name(const pruning *p, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(p->g, v);

    return node->op == TEGU_OP_PARAM ? tegu_node_text(node, "name") : NULL;
}

static bool is_taken(const pruning *p, const char *name)
{
    for (uint32_t i = 0; i < p->names.count; i++)
        if (p->names.data[i] == name)
            return true;
    return false;
}

/* The parameters of a linear must be its own: nobody else is cut. */
static bool claim(pruning *p, tegu_value linear)
{
    const tegu_node *node = tegu_graph_node(p->g, linear);

    for (uint32_t i = 1; i < node->input_count; i++) {
        const char *name = param_name(p, node->inputs[i]);
        if (!name)
            return refuse(p, node, "has adapters; fold-adapters comes first");
        if (is_taken(p, name))
            return refuse(p, node, "shares its weight with another");
        tegu_vec_push(p->env->scratch, &p->names, name);
    }
    return true;
}

/* The reader as that of a hidden layer. */
static bool describe(pruning *p, heads *h, tegu_value reader)
{
    const tegu_node *o = tegu_graph_node(p->g, reader);

    h->region = (tegu_region){
        .graph = p->g,
        .reader = reader,
        .input = o->inputs[0],
        .map = o->inputs[1],
        .axes = {1, -1},
        .experts = 1,
        .input_experts = -1,
        .weight = param_name(p, o->inputs[1]),
        .bias = o->input_count > 2 ? param_name(p, o->inputs[2]) : NULL,
        .width = h->count * h->size,
        .loc = o->loc};
    for (uint32_t i = 0; i < 3; i++) {
        bool again = (i > 0 && h->linears[i] == h->linears[0]) ||
                     (i > 1 && h->linears[i] == h->linears[1]);
        if (!again && !claim(p, h->linears[i]))
            return false;
    }
    return claim(p, reader);
}

static bool find_heads(pruning *p, tegu_value v)
{
    const tegu_node *node = tegu_graph_node(p->g, v);
    const tegu_type *q = tegu_graph_type(p->g, node->inputs[0]);
    const tegu_type *k = tegu_graph_type(p->g, node->inputs[1]);
    heads h = {.attention = v,
               .count = q->dims[1].offset,
               .groups = k->dims[1].offset,
               .size = q->dims[2].offset,
               .dims = {q->dims[1], k->dims[1]},
               .within = q->dims[2]};
    tegu_value reader = reader_of(p, v);

    for (uint32_t i = 0; i < 3; i++)
        if (!trace(p, &h, i))
            return false;
    if (reader && tegu_graph_node(p->g, reader)->op == TEGU_OP_RESHAPE)
        reader = reader_of(p, reader);
    if (!reader || tegu_graph_node(p->g, reader)->op != TEGU_OP_LINEAR ||
        !p->constant[tegu_graph_node(p->g, reader)->inputs[1]])
        return refuse(p, node, "is not read by one linear alone");
    if (!check_linears(p, &h) || !describe(p, &h, reader))
        return false;
    tegu_vec_push(p->env->scratch, &p->found, h);
    return true;
}

static bool find_all(pruning *p)
{
    const tegu_entry *step = tegu_unit_find_entry(p->unit, "step");

    if (step) {
        p->g = step->graph;
        p->uses = tegu_graph_uses(p->g, p->env->scratch);
        p->constant = tegu_graph_constant(p->g, p->env->scratch);
    }
    for (tegu_value v = 1; step && v < p->g->nodes.count; v++)
        if (p->uses[v] && tegu_graph_node(p->g, v)->op == TEGU_OP_ATTENTION &&
            !find_heads(p, v))
            return false;
    return p->found.count ||
           tegu_error(p->unit->diag, tegu_loc_file(p->unit->source),
                      TEGU_E_UNSUPPORTED, "entry step has no attention");
}

/* --- choosing --- */

/* The map's inputs that the groups in `alive` make, and the constant one. */
static int64_t list_kept(const heads *h, const tegu_hidden *hidden,
                         const bool *alive, int64_t *kept)
{
    int64_t block = h->count / h->groups * h->size, n = 0;

    for (int64_t i = 0; i < hidden->inputs; i++)
        if (i >= hidden->width || alive[i / block])
            kept[n++] = i;
    return n;
}

static bool try_without(const pruning *p, const heads *h,
                        const tegu_hidden *hidden, bool *alive, int64_t group,
                        double *loss)
{
    tegu_arena *scratch = p->env->scratch;
    tegu_mark mark = tegu_arena_mark(scratch);
    int64_t *kept = TEGU_ARRAY(scratch, int64_t, (size_t)hidden->inputs), count;
    double *cut = tegu_arena_array(scratch, (size_t)hidden->out,
                                   (size_t)hidden->inputs * sizeof(double));
    bool ok;

    alive[group] = false;
    count = list_kept(h, hidden, alive, kept);
    alive[group] = true;
    ok = tegu_hidden_repair(hidden, kept, count, scratch, cut);
    *loss = tegu_cut_loss(hidden->out, hidden->inputs, hidden->map,
                          hidden->gram, cut, kept, count, scratch);
    tegu_arena_release(scratch, mark);
    return ok;
}

/* Leaves `left` groups alive. */
static bool choose(const pruning *p, const heads *h, const tegu_hidden *hidden,
                   int64_t left, bool *alive)
{
    for (int64_t n = h->groups; n > left; n--) {
        double least = INFINITY;
        int64_t best = -1;
        for (int64_t g = 0; g < h->groups; g++) {
            double loss;
            if (!alive[g])
                continue;
            if (!try_without(p, h, hidden, alive, g, &loss))
                return false;
            if (best < 0 || loss < least) {
                least = loss;
                best = g;
            }
        }
        alive[best] = false;
    }
    return true;
}

/* --- cutting --- */

/* An axis' name without the number that an earlier cut put behind it. */
static const char *first_name(const pruning *p, tegu_dim dim, const char *none)
{
    const char *name =
        dim.axes[0] ? p->unit->axes.data[dim.axes[0]].name : none;
    size_t size = strlen(name);

    while (size && isdigit((unsigned char)name[size - 1]))
        size--;
    if (size < 2 || name[size - 1] != '_' || !name[size])
        return name;
    return tegu_format(p->env->scratch, "%.*s", (int)size - 1, name);
}

/* What a linear's rows become. */
typedef struct rows {
    bool *kept;    /* [count] */
    int64_t count; /* before */
    tegu_dim dim;  /* after */
    const tegu_slicing *slices;
    uint32_t slice_count;
} rows;

/* Cuts a weight or bias of a linear. */
static bool cut_rows(pruning *p, tegu_value v, const rows *r)
{
    tegu_arena *scratch = p->env->scratch;
    tegu_type type = *tegu_graph_type(p->g, v);
    int64_t row = tegu_type_elements(&type) / r->count, n = 0;
    double *data = tegu_constant_read(p->g, v, scratch);
    double *to = tegu_arena_array(scratch, (size_t)r->dim.offset,
                                  (size_t)row * sizeof(double));
    tegu_replacement one = {.name = param_name(p, v),
                            .slices = r->slices,
                            .slice_count = r->slice_count};

    if (!data)
        return false;
    for (int64_t i = 0; i < r->count; i++)
        if (r->kept[i])
            memcpy(to + n++ * row, data + i * row, (size_t)row * sizeof *to);
    type.dims[0] = r->dim;
    tegu_param_store(p->unit, one.name, &type, to);
    tegu_vec_push(scratch, &p->replacements, one);
    return true;
}

/* The rows of the linear of operand `first` when the groups alive stay, and
 * where its operands begin then; dims: of q, k and v. */
static rows choose_rows(const pruning *p, const heads *h, uint32_t first,
                        const bool *alive, const tegu_dim dims[3])
{
    tegu_arena *scratch = p->env->scratch;
    const tegu_node *linear = tegu_graph_node(p->g, h->linears[first]);
    tegu_slicing *slices = TEGU_ARRAY(scratch, tegu_slicing, 3);
    rows r = {.count = tegu_graph_type(p->g, linear->inputs[1])->dims[0].offset,
              .dim = dims[first],
              .slices = slices};

    r.kept = TEGU_ARRAY(scratch, bool, (size_t)r.count);
    memset(r.kept, true, (size_t)r.count);
    for (uint32_t k = first; k < 3; k++) {
        int64_t block = (k ? 1 : h->count / h->groups) * h->size;
        if (h->linears[k] != h->linears[first])
            continue;
        for (int64_t i = 0; i < h->groups * block; i++)
            r.kept[h->starts[k] + i] = alive[i / block];
        if (h->joint[k])
            slices[r.slice_count++] =
                (tegu_slicing){.was = h->starts[k], .dim = dims[k]};
    }
    r.dim.offset = 0;
    for (int64_t i = 0; i < r.count; i++)
        r.dim.offset += r.kept[i];
    for (uint32_t k = 0; k < r.slice_count; k++)
        for (int64_t i = 0; i < slices[k].was; i++)
            slices[k].now += r.kept[i];
    return r;
}

/* Cuts the linears of q, k and v, each once, and the caches. */
static bool cut_operands(pruning *p, const heads *h, const bool *alive,
                         tegu_dim all, tegu_dim groups)
{
    tegu_dim keys = tegu_dim_times(groups, h->within);
    const tegu_dim dims[] = {tegu_dim_times(all, h->within), keys, keys};

    for (uint32_t k = 0; k < 3; k++) {
        const tegu_node *linear = tegu_graph_node(p->g, h->linears[k]);
        bool again = (k > 0 && h->linears[k] == h->linears[0]) ||
                     (k > 1 && h->linears[k] == h->linears[1]);
        rows r = choose_rows(p, h, k, alive, dims);
        for (uint32_t i = 1; !again && i < linear->input_count; i++)
            if (!cut_rows(p, linear->inputs[i], &r))
                return false;
        if (!h->states[k])
            continue;
        tegu_state *state = tegu_unit_find_state(p->unit, h->states[k]);
        tegu_type type = *state->type;
        type.dims[1] = groups;
        state->type = tegu_unit_type(p->unit, &type);
    }
    return true;
}

static void report(const pruning *p, const heads *h, int64_t kept, double loss)
{
    const tegu_figure figures[] = {{"heads", (double)h->count},
                                   {"kept", (double)kept},
                                   {"relative_error", loss}};

    tegu_report_site(p->env, h->region.weight, figures, 3);
}

static bool cut_attention(pruning *p, const heads *h, const tegu_hidden *hidden,
                          int64_t left, const bool *alive)
{
    tegu_arena *scratch = p->env->scratch;
    int64_t each = h->count / h->groups;
    tegu_dim groups =
        tegu_width_dim(p->unit, first_name(p, h->dims[1], "kv_heads"), left);
    tegu_dim all = tegu_width_dim(p->unit, first_name(p, h->dims[0], "heads"),
                                  left * each);
    int64_t *kept = TEGU_ARRAY(scratch, int64_t, (size_t)hidden->inputs);
    int64_t count = list_kept(h, hidden, alive, kept);
    double *cut = tegu_arena_array(scratch, (size_t)hidden->out,
                                   (size_t)count * sizeof(double));
    tegu_replacement *list;
    uint32_t n;

    if (!tegu_hidden_repair(hidden, kept, count, scratch, cut) ||
        !tegu_hidden_cut(p->unit, hidden, tegu_dim_times(all, h->within), kept,
                         count, cut, NULL, scratch) ||
        !cut_operands(p, h, alive, all, groups))
        return false;
    list = tegu_hidden_replaced(hidden, scratch, &n);
    for (uint32_t i = 0; i < n; i++)
        tegu_vec_push(scratch, &p->replacements, list[i]);
    report(p, h, left * each,
           tegu_cut_loss(hidden->out, hidden->inputs, hidden->map, hidden->gram,
                         cut, kept, count, scratch));
    return true;
}

/* --- the pass --- */

static bool prune(pruning *p, const heads *h, const tegu_site_stats *stats)
{
    tegu_arena *scratch = p->env->scratch;
    double keep = tegu_option_float(p->env->options, "keep");
    int64_t left = tegu_kept_width(h->groups, keep, 1);
    bool *alive = TEGU_ARRAY(scratch, bool, (size_t)h->groups);
    tegu_hidden hidden;

    memset(alive, true, (size_t)h->groups);
    if (left == h->groups) { /* nothing to repair */
        report(p, h, h->count, 0);
        return true;
    }
    return tegu_hidden_open(&h->region, stats, scratch, &hidden) &&
           choose(p, h, &hidden, left, alive) &&
           cut_attention(p, h, &hidden, left, alive);
}

tegu_outcome tegu_pass_prune_heads(tegu_unit *unit, tegu_pass_env *env)
{
    pruning p = {.unit = unit, .env = env};
    const tegu_calibration *data;
    tegu_site_request *requests;
    tegu_site_stats *stats;

    if (!find_all(&p))
        return TEGU_FAILED;
    data = tegu_pass_calibration(unit, env);
    requests = TEGU_ARRAY(env->scratch, tegu_site_request, p.found.count);
    stats = TEGU_ARRAY(env->scratch, tegu_site_stats, p.found.count);
    for (uint32_t i = 0; i < p.found.count; i++)
        requests[i] = tegu_hidden_request(&p.found.data[i].region);
    if (!data || !tegu_calibrate(unit, data, env->scratch, requests,
                                 p.found.count, 0, stats))
        return TEGU_FAILED;
    for (uint32_t i = 0; i < p.found.count; i++)
        if (!prune(&p, &p.found.data[i], &stats[i]))
            return TEGU_FAILED;
    return tegu_replace_weights(unit, env->scratch, p.replacements.data,
                                p.replacements.count)
               ? TEGU_CHANGED
               : TEGU_FAILED;
}
