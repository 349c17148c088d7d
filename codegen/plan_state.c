/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States of a plan (plan.h): which appends write in place, which caches take
 * the layout of the attention kernels, and where each state lies.
 *
 * An append is in place when it is the state's own update and nothing reads
 * the old state after it.  A cache takes KEYS (VALUES) when in every entry
 * its only reader is attention, as keys (values), beside values (keys) of the
 * other layout; a pair that does not fit falls back to ROWS together.
 */
#include <string.h>

#include "codegen/attention.h"
#include "codegen/plan.h"

bool tegu_align_size(size_t size, size_t *aligned)
{
    if (__builtin_add_overflow(size, (size_t)TEGU_ALIGNMENT - 1, aligned))
        return false;
    *aligned &= ~((size_t)TEGU_ALIGNMENT - 1);
    return true;
}

bool tegu_type_size(const tegu_type *type, const int64_t *symbols,
                    size_t *bytes)
{
    size_t size = tegu_dtype_bytes(type->dtype);
    for (uint32_t i = 0; i < type->rank; i++) {
        int64_t extent = tegu_dim_value(type->dims[i], symbols);
        if (extent < 0 || __builtin_mul_overflow(size, (size_t)extent, &size))
            return false;
    }
    *bytes = size;
    return size < (size_t)1 << 62;
}

bool tegu_state_size(const tegu_state *state, size_t *bytes)
{
    const tegu_type *t = state->type;
    int64_t count = tegu_type_elements(t);
    if (state->layout != TEGU_LAYOUT_ROWS)
        count = tegu_cache_elements(t->dims[0].offset, t->dims[1].offset,
                                    t->dims[2].offset);
    return count >= 0 && !__builtin_mul_overflow(
                             (size_t)count, tegu_dtype_bytes(t->dtype), bytes);
}

/* ---- appends in place ---- */

static tegu_state *state_of_leaf(const tegu_plan *plan, const tegu_graph *g,
                                 tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);
    if (node->op != TEGU_OP_STATE)
        return NULL;
    return tegu_unit_find_state(plan->unit, tegu_node_text(node, "name"));
}

/* The value of the entry that the append in a kernel's body writes into; 0
 * when its root is no such append. */
static tegu_value appended_value(const tegu_plan *plan, const tegu_graph *g,
                                 tegu_value v)
{
    const tegu_node *node = tegu_graph_node(g, v);
    tegu_body body;
    if (node->op != TEGU_OP_KERNEL ||
        !tegu_body_read(node->body, node->input_count, true,
                        plan->kernels->scratch, &body) ||
        !body.in_place)
        return 0;
    const tegu_node *root = tegu_graph_node(node->body, body.root);
    const tegu_node *arg = tegu_graph_node(node->body, root->inputs[0]);
    return node->inputs[tegu_node_int(arg, "index")];
}

static bool read_later(const tegu_graph *g, tegu_value leaf, tegu_value v,
                       const uint32_t *uses)
{
    const tegu_node *state = tegu_graph_node(g, leaf);
    for (tegu_value w = 1; w < g->nodes.count; w++) {
        const tegu_node *node = tegu_graph_node(g, w);
        for (uint32_t i = 0; uses[w] && i < node->input_count; i++) {
            const tegu_node *in = tegu_graph_node(g, node->inputs[i]);
            bool same = in->op == TEGU_OP_STATE &&
                        strcmp(tegu_node_text(in, "name"),
                               tegu_node_text(state, "name")) == 0;
            if (same && w > v)
                return true;
        }
    }
    return false;
}

static bool is_leaf_of(const tegu_graph *g, tegu_value v, const char *name)
{
    const tegu_node *node = tegu_graph_node(g, v);
    return node->op == TEGU_OP_STATE &&
           strcmp(tegu_node_text(node, "name"), name) == 0;
}

/* The state is the result of v and nothing else reads it in the end. */
static bool is_own_update(const tegu_graph *g, tegu_value v, const char *name)
{
    bool own = false;
    for (uint32_t i = 0; i < g->updates.count; i++) {
        const tegu_update *u = &g->updates.data[i];
        own |= u->value == v && strcmp(u->state, name) == 0;
        if (is_leaf_of(g, u->value, name))
            return false;
    }
    for (uint32_t i = 0; i < g->results.count; i++)
        if (is_leaf_of(g, g->results.data[i].value, name))
            return false;
    return own;
}

bool tegu_plan_in_place(const tegu_plan *plan, const tegu_graph *g,
                        tegu_value v, tegu_arena *scratch)
{
    tegu_value leaf = appended_value(plan, g, v);
    if (!leaf)
        return false;
    tegu_state *state = state_of_leaf(plan, g, leaf);
    const tegu_node *node = tegu_graph_node(g, v);
    uint32_t operands = 0;
    if (!state || !is_own_update(g, v, state->name))
        return false;
    for (uint32_t i = 0; i < node->input_count; i++)
        operands += is_leaf_of(g, node->inputs[i], state->name);
    tegu_mark mark = tegu_arena_mark(scratch);
    bool later = read_later(g, leaf, v, tegu_graph_uses(g, scratch));
    tegu_arena_release(scratch, mark);
    return operands == 1 && !later;
}

/* The state that v is the in-place update of. */
static tegu_state *state_of_append(const tegu_plan *plan, const tegu_graph *g,
                                   tegu_value v)
{
    if (!tegu_plan_in_place(plan, g, v, plan->kernels->scratch))
        return NULL;
    return state_of_leaf(plan, g, appended_value(plan, g, v));
}

/* ---- layouts ---- */

/* What is known of each state while entries are looked through. */
typedef struct role {
    bool wanted;              /* some attention reads it as ... */
    tegu_state_layout layout; /* ... KEYS or VALUES */
    bool rows;                /* it must be ROWS */
} role;

static bool can_be_cache(const tegu_state *state)
{
    const tegu_type *t = state->type;
    return t->rank == 3 && t->dtype == TEGU_F32 && tegu_type_is_static(t);
}

static role *role_of(const tegu_plan *plan, role *roles,
                     const tegu_state *state)
{
    return &roles[state - plan->unit->states.data];
}

static void want(const tegu_plan *plan, role *roles, const tegu_state *state,
                 tegu_state_layout layout)
{
    role *r = role_of(plan, roles, state);
    if (!can_be_cache(state) || (r->wanted && r->layout != layout))
        r->rows = true;
    r->wanted = true;
    r->layout = layout;
}

static bool offset_is_position(const tegu_graph *g, const tegu_node *kernel,
                               const tegu_body_attention *a)
{
    const tegu_node *offset = tegu_graph_node(kernel->body, a->offset);
    if (offset->op == TEGU_OP_ARG)
        offset =
            tegu_graph_node(g, kernel->inputs[tegu_node_int(offset, "index")]);
    return offset->op == TEGU_OP_POSITION;
}

/* True when kernel v is attention that could read caches. */
static bool is_cache_reader(const tegu_plan *plan, const tegu_graph *g,
                            tegu_value v, tegu_body_attention *a)
{
    const tegu_node *node = tegu_graph_node(g, v);
    tegu_body body;
    if (node->op != TEGU_OP_KERNEL ||
        !tegu_body_read(node->body, node->input_count, false,
                        plan->kernels->scratch, &body) ||
        !tegu_body_is_attention(&body, a))
        return false;
    const tegu_node *op = tegu_graph_node(node->body, a->node);
    return a->q != a->k && a->q != a->v && a->k != a->v &&
           tegu_node_bool(op, "causal") &&
           tegu_attention_fits(node->body, op) &&
           offset_is_position(g, node, a);
}

static void visit_node(const tegu_plan *plan, const tegu_graph *g, tegu_value v,
                       role *roles)
{
    const tegu_node *node = tegu_graph_node(g, v);
    tegu_body_attention a;
    bool reader = is_cache_reader(plan, g, v, &a);
    tegu_state *own = state_of_append(plan, g, v);
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_state *leaf = state_of_leaf(plan, g, node->inputs[i]);
        tegu_state *made = state_of_append(plan, g, node->inputs[i]);
        if (leaf && leaf != own)
            role_of(plan, roles, leaf)->rows = true;
        if (made && reader && (i == a.k || i == a.v))
            want(plan, roles, made,
                 i == a.k ? TEGU_LAYOUT_KEYS : TEGU_LAYOUT_VALUES);
        else if (made)
            role_of(plan, roles, made)->rows = true;
    }
}

static void visit_outputs(const tegu_plan *plan, const tegu_graph *g,
                          role *roles)
{
    for (uint32_t i = 0; i < g->results.count; i++) {
        tegu_state *s = state_of_append(plan, g, g->results.data[i].value);
        if (s)
            role_of(plan, roles, s)->rows = true;
    }
    for (uint32_t i = 0; i < g->updates.count; i++) {
        tegu_value v = g->updates.data[i].value;
        tegu_state *s = state_of_append(plan, g, v);
        tegu_state *into =
            tegu_unit_find_state(plan->unit, g->updates.data[i].state);
        if (s != into)
            role_of(plan, roles, into)->rows = true;
        if (s && s != into)
            role_of(plan, roles, s)->rows = true;
    }
}

/* Keys and values of one attention are both caches or both not; true when
 * that changed a role. */
static bool settle_pair(const tegu_plan *plan, const tegu_graph *g,
                        tegu_value v, role *roles)
{
    tegu_body_attention a;
    if (!is_cache_reader(plan, g, v, &a))
        return false;
    const tegu_node *node = tegu_graph_node(g, v);
    tegu_state *k = state_of_append(plan, g, node->inputs[a.k]);
    tegu_state *w = state_of_append(plan, g, node->inputs[a.v]);
    bool k_rows = !k || role_of(plan, roles, k)->rows;
    bool w_rows = !w || role_of(plan, roles, w)->rows;
    if (k_rows == w_rows)
        return false;
    role_of(plan, roles, k_rows ? w : k)->rows = true;
    return true;
}

static bool walk_entries(const tegu_plan *plan, role *roles, bool settle)
{
    tegu_unit *unit = plan->unit;
    tegu_arena *arena = plan->arena;
    bool changed = false;
    for (uint32_t i = 0; i < unit->entries.count; i++) {
        const tegu_graph *g = unit->entries.data[i].graph;
        uint32_t *uses = tegu_graph_uses(g, arena);
        for (tegu_value v = 1; v < g->nodes.count; v++) {
            if (uses[v] && settle)
                changed |= settle_pair(plan, g, v, roles);
            else if (uses[v])
                visit_node(plan, g, v, roles);
        }
        if (!settle)
            visit_outputs(plan, g, roles);
    }
    return changed;
}

static bool place_states(tegu_plan *plan)
{
    tegu_unit *unit = plan->unit;
    size_t end = TEGU_STATE_HEAD;
    plan->state_offsets = TEGU_ARRAY(plan->arena, size_t, unit->states.count);
    for (uint32_t i = 0; i < unit->states.count; i++) {
        size_t bytes;
        plan->state_offsets[i] = end;
        if (!tegu_state_size(&unit->states.data[i], &bytes) ||
            __builtin_add_overflow(end, bytes, &end) ||
            !tegu_align_size(end, &end) || end > (size_t)1 << 62)
            return tegu_error(unit->diag, unit->states.data[i].loc,
                              TEGU_E_RESOURCES,
                              "state '%s' makes the state block larger than "
                              "any memory",
                              unit->states.data[i].name);
    }
    plan->state_bytes = end;
    return true;
}

bool tegu_plan_states(tegu_plan *plan)
{
    tegu_unit *unit = plan->unit;
    role *roles = TEGU_ARRAY(plan->arena, role, unit->states.count);
    walk_entries(plan, roles, false);
    while (walk_entries(plan, roles, true))
        continue;
    plan->context = -1;
    for (uint32_t i = 0; i < unit->states.count; i++) {
        tegu_state *s = &unit->states.data[i];
        s->layout = roles[i].wanted && !roles[i].rows ? roles[i].layout
                                                      : TEGU_LAYOUT_ROWS;
        if (!s->appended || s->type->rank == 0)
            continue;
        int64_t rows = s->type->dims[0].offset;
        if (plan->context < 0 || rows < plan->context)
            plan->context = rows;
        if (rows > plan->longest)
            plan->longest = rows;
    }
    return place_states(plan);
}

bool tegu_plan_cached(const tegu_plan *plan, const tegu_graph *g, tegu_value v,
                      const tegu_body_attention *a)
{
    const tegu_node *node = tegu_graph_node(g, v);
    const tegu_state *k = state_of_append(plan, g, node->inputs[a->k]);
    const tegu_state *w = state_of_append(plan, g, node->inputs[a->v]);
    return k && w && k->layout == TEGU_LAYOUT_KEYS &&
           w->layout == TEGU_LAYOUT_VALUES;
}
