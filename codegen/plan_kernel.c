/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One kernel node of an entry becomes calls (plan.h): the families are tried
 * in the order of kernels.def, from the one that the node was formed for; a
 * body that none takes is cut up into kernels of one op each, composites by
 * their definitions.
 */
#include "codegen/planner.h"

#include <string.h>

/* ---- calls ---- */

static tegu_slot slot_of_place(tegu_place place)
{
    return (tegu_slot){.kind = TEGU_SLOT_PLACE, .place = place};
}

static tegu_place placed(tegu_planner *p, const tegu_operand *o)
{
    return o->place.kind == TEGU_PLACE_NONE
               ? tegu_planner_weight(p, o->value, 0, 0)
               : o->place;
}

/* The adapter without which the call has nothing to do: one whose weights it
 * reads, unless it is a contraction with others, whose thin products have
 * gates. */
static uint32_t adapter_of(const tegu_plan *plan, const tegu_call *call,
                           const tegu_body *body, const tegu_body_contract *c)
{
    for (uint32_t i = 0; i < body->operands; i++) {
        tegu_place place = call->slots[TEGU_SLOT_OPERAND + i].place;
        uint32_t adapter = place.kind == TEGU_PLACE_WEIGHT
                               ? plan->weights.data[place.index].adapter
                               : 0;
        if (adapter && (!c || i == c->b || !tegu_body_packed(c, i)))
            return adapter;
    }
    return 0;
}

/* The slots that every kernel has (body.h), and room for a family's own.
 * Weights of contractions are packed into panels. */
static tegu_call call_of(tegu_planner *p, const tegu_job *job,
                         const tegu_body *body, int32_t kernel, uint32_t own,
                         const tegu_body_contract *c)
{
    tegu_call call = {.kernel = kernel,
                      .slot_count = tegu_body_slots(body) + own,
                      .space = body->space,
                      .cost = body->cost};
    call.slots = TEGU_ARRAY(p->plan->arena, tegu_slot, call.slot_count);
    call.slots[TEGU_SLOT_RESULT] = slot_of_place(job->result);
    for (uint32_t i = 0; i < job->operand_count; i++) {
        const tegu_operand *o = &job->operands[i];
        int64_t k = c ? tegu_body_packed(c, i) : 0;
        call.slots[TEGU_SLOT_OPERAND + i] = slot_of_place(
            k ? tegu_planner_weight(p, o->value, c->n, k) : placed(p, o));
    }
    for (uint32_t i = 0; i < body->symbol_count; i++)
        call.slots[tegu_body_slot_symbol(body, i)] =
            (tegu_slot){.kind = TEGU_SLOT_SYMBOL, .index = body->symbols[i]};
    if (body->position)
        call.slots[tegu_body_slot_position(body)] =
            (tegu_slot){.kind = TEGU_SLOT_POSITION};
    call.adapter = adapter_of(p->plan, &call, body, c);
    return call;
}

static void add_call(tegu_planner *p, const tegu_call *call)
{
    tegu_vec_push(p->plan->arena, &p->entry->calls, *call);
}

/* ---- families: true when the job is done ---- */

static bool try_contract(tegu_planner *p, const tegu_job *job,
                         const tegu_body *body)
{
    tegu_body_contract c;
    if (!tegu_body_is_contract(body, &c))
        return false;
    for (uint32_t i = 0; i < job->operand_count; i++)
        if (tegu_body_packed(&c, i) &&
            job->operands[i].place.kind != TEGU_PLACE_NONE)
            return false;
    const tegu_node *node = tegu_graph_node(body->graph, c.node);
    tegu_call call = call_of(
        p, job, body, tegu_kernels_contract(p->plan->kernels, body, &c), 1, &c);
    call.slots[tegu_body_slots(body)] =
        (tegu_slot){.kind = TEGU_SLOT_COUNT,
                    .type = tegu_graph_type(body->graph, node->inputs[0]),
                    .index = c.rows_rank};
    add_call(p, &call);
    return true;
}

/* True when the entry has checked that position + queries <= keys. */
static bool within_checks(const tegu_planner *p, tegu_dim keys,
                          tegu_dim queries)
{
    for (uint32_t i = 0; i < p->entry->appends.count; i++) {
        const tegu_append_check *check = &p->entry->appends.data[i];
        if (tegu_dim_is_static(keys) && keys.offset >= check->capacity &&
            tegu_dim_equal(queries, check->rows))
            return true;
    }
    return false;
}

/* The slot with the number of tokens before the queries; false when the keys
 * are not known to reach as far as the queries see. */
static bool attention_offset(const tegu_planner *p, const tegu_job *job,
                             const tegu_body_attention *a, tegu_slot *slot)
{
    const tegu_node *op = tegu_graph_node(job->body, a->node);
    const tegu_node *offset = tegu_graph_node(job->body, a->offset);
    tegu_dim keys = tegu_graph_type(job->body, op->inputs[1])->dims[0];
    tegu_dim queries = op->type->dims[0];
    if (!tegu_node_bool(op, "causal")) {
        *slot = (tegu_slot){.kind = TEGU_SLOT_COUNT,
                            .index = 1,
                            .type = tegu_graph_type(job->body, op->inputs[1])};
        return true;
    }
    if (offset->op == TEGU_OP_ARG) {
        int64_t i = tegu_node_int(offset, "index");
        if (!job->node || !job->operands[i].value)
            return false;
        offset = tegu_graph_node(p->graph, job->operands[i].value);
    }
    if (offset->op == TEGU_OP_POSITION) {
        *slot = (tegu_slot){.kind = TEGU_SLOT_POSITION};
        return within_checks(p, keys, queries);
    }
    if (offset->op != TEGU_OP_CONST)
        return false;
    int32_t number;
    memcpy(&number, offset->data, sizeof number);
    *slot = (tegu_slot){.kind = TEGU_SLOT_NUMBER, .number = number};
    return number >= 0 && keys.scale == queries.scale &&
           keys.symbol == queries.symbol &&
           keys.offset - queries.offset >= number;
}

static bool try_attention(tegu_planner *p, const tegu_job *job,
                          const tegu_body *body)
{
    tegu_body_attention a;
    tegu_slot offset;
    if (!tegu_body_is_attention(body, &a))
        return false;
    const tegu_node *op = tegu_graph_node(body->graph, a.node);
    if (!tegu_attention_fits(body->graph, op) ||
        !attention_offset(p, job, &a, &offset))
        return false;
    bool cached =
        job->node && tegu_plan_cached(p->plan, p->graph, job->node, &a);
    tegu_call call = call_of(
        p, job, body,
        tegu_kernels_attention(p->plan->kernels, body, &a, cached), 2, NULL);
    call.slots[tegu_body_slots(body)] =
        (tegu_slot){.kind = TEGU_SLOT_COUNT, .type = op->type, .index = 1};
    call.slots[tegu_body_slots(body) + 1] = offset;
    add_call(p, &call);
    return true;
}

static bool try_loop(tegu_planner *p, const tegu_job *job,
                     const tegu_body *body)
{
    tegu_state_layout layout = TEGU_LAYOUT_ROWS;
    if (!tegu_body_is_loops(body))
        return false;
    if (body->in_place)
        layout = p->plan->unit->states.data[job->result.index].layout;
    int32_t kernel = tegu_kernels_loop(p->plan->kernels, body, layout);
    if (kernel == TEGU_NO_KERNEL)
        return false;
    tegu_call call = call_of(p, job, body, kernel, 0, NULL);
    add_call(p, &call);
    return true;
}

typedef bool attempt(tegu_planner *p, const tegu_job *job,
                     const tegu_body *body);

static attempt *const attempts[TEGU_FAMILY_COUNT] = {
    [TEGU_FAMILY_CONTRACT] = try_contract,
    [TEGU_FAMILY_ATTENTION] = try_attention,
    [TEGU_FAMILY_LOOP] = try_loop,
};

/* ---- cutting up ---- */

/* A leaf that a piece takes along instead of reading it. */
static bool is_inlined(const tegu_node *node)
{
    return node->op == TEGU_OP_POSITION ||
           (node->op == TEGU_OP_CONST && node->type->rank == 0);
}

static tegu_value copy_node(tegu_graph *into, const tegu_node *node,
                            const tegu_value *inputs)
{
    tegu_node_spec spec = tegu_node_spec_of(node, inputs);
    return tegu_graph_add(into, &spec);
}

static tegu_value add_arg(tegu_graph *into, const tegu_type *type,
                          uint32_t index)
{
    tegu_attr attr = tegu_attr_of_int(TEGU_OP_ARG, "index", index);
    return tegu_build(into, tegu_loc_none(), TEGU_OP_ARG, 0, NULL, 1, &attr,
                      type);
}

bool tegu_planner_single(tegu_planner *p, const tegu_graph *from, tegu_value v,
                         const tegu_operand *operands, tegu_place result,
                         bool in_place)
{
    const tegu_node *node = tegu_graph_node(from, v);
    tegu_arena *arena = p->plan->arena;
    tegu_graph *body = tegu_graph_create(p->plan->unit, TEGU_LEVEL_CORE);
    tegu_value *inputs = TEGU_ARRAY(arena, tegu_value, node->input_count);
    tegu_operand *own = TEGU_ARRAY(arena, tegu_operand, node->input_count);
    tegu_job job = {.body = body,
                    .operands = own,
                    .result = result,
                    .family = TEGU_FAMILY_CONTRACT,
                    .in_place = in_place};
    for (uint32_t i = 0; i < node->input_count; i++) {
        const tegu_node *in = tegu_graph_node(from, node->inputs[i]);
        if (is_inlined(in)) {
            inputs[i] = copy_node(body, in, NULL);
            continue;
        }
        inputs[i] = add_arg(body, in->type, job.operand_count);
        own[job.operand_count++] = operands[i];
    }
    tegu_value value = copy_node(body, node, inputs);
    if (!value)
        return false;
    tegu_graph_add_result(body, "value", value);
    return tegu_planner_run(p, &job);
}

bool tegu_planner_copy(tegu_planner *p, const tegu_operand *from, tegu_place to)
{
    tegu_graph *body = tegu_graph_create(p->plan->unit, TEGU_LEVEL_CORE);
    tegu_graph_add_result(body, "value", add_arg(body, from->type, 0));
    tegu_job job = {.body = body,
                    .operands = from,
                    .operand_count = 1,
                    .result = to,
                    .family = TEGU_FAMILY_LOOP};
    return tegu_planner_run(p, &job);
}

static bool cut(tegu_planner *p, const tegu_job *job);

/* A composite by its definition; its operands must all lie somewhere. */
static bool cut_composite(tegu_planner *p, const tegu_job *job,
                          const tegu_node *node, tegu_operand *operands,
                          tegu_place result)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        tegu_operand *o = &operands[i];
        if (o->place.kind != TEGU_PLACE_NONE || o->value)
            continue;
        o->place = tegu_planner_buffer(p, o->type);
        if (!tegu_planner_single(p, job->body, node->inputs[i], NULL, o->place,
                                 false))
            return false;
    }
    tegu_job whole = {.operands = operands,
                      .operand_count = node->input_count,
                      .result = result,
                      .body = tegu_composite_body(job->body, node)};
    return whole.body && cut(p, &whole);
}

/* One node of a body that is cut up, computed into `result`. */
static bool cut_node(tegu_planner *p, const tegu_job *job, tegu_value v,
                     const tegu_operand *values, tegu_place result)
{
    const tegu_node *node = tegu_graph_node(job->body, v);
    bool in_place = job->in_place && v == job->body->results.data[0].value;
    tegu_operand *operands =
        TEGU_ARRAY(p->plan->arena, tegu_operand, node->input_count);
    for (uint32_t i = 0; i < node->input_count; i++)
        operands[i] = values[node->inputs[i]];
    if (tegu_op_kind_of(node->op) == TEGU_KIND_COMPOSITE)
        return cut_composite(p, job, node, operands, result);
    return tegu_planner_single(p, job->body, v, operands, result, in_place);
}

static bool cut(tegu_planner *p, const tegu_job *job)
{
    const tegu_graph *g = job->body;
    tegu_arena *arena = p->plan->arena;
    uint32_t *uses = tegu_graph_uses(g, arena);
    tegu_value root = g->results.data[0].value;
    tegu_operand *values = TEGU_ARRAY(arena, tegu_operand, g->nodes.count);
    for (tegu_value v = 1; v <= root; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (!uses[v])
            continue;
        if (node->op == TEGU_OP_ARG) {
            values[v] = job->operands[tegu_node_int(node, "index")];
            continue;
        }
        values[v].type = node->type;
        if (v != root && is_inlined(node))
            continue;
        values[v].place =
            v == root ? job->result : tegu_planner_buffer(p, node->type);
        if (!cut_node(p, job, v, values, values[v].place))
            return false;
    }
    if (tegu_graph_node(g, root)->op == TEGU_OP_ARG)
        return tegu_planner_copy(p, &values[root], job->result);
    return true;
}

/* True for a body of one op, which cannot be cut further. */
static bool is_single(const tegu_graph *g)
{
    uint32_t ops = 0;
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        tegu_op_kind kind = tegu_op_kind_of(tegu_graph_node(g, v)->op);
        if (kind == TEGU_KIND_COMPOSITE)
            return false;
        ops += kind != TEGU_KIND_LEAF;
    }
    return ops <= 1;
}

bool tegu_planner_run(tegu_planner *p, const tegu_job *job)
{
    tegu_body body;
    if (tegu_body_read(job->body, job->operand_count, job->in_place,
                       p->plan->kernels->scratch, &body))
        for (int f = (int)job->family; f < TEGU_FAMILY_COUNT; f++)
            if (attempts[f](p, job, &body))
                return true;
    if (!is_single(job->body))
        return cut(p, job);
    const tegu_node *root =
        tegu_graph_node(job->body, job->body->results.data[0].value);
    return tegu_error(p->plan->unit->diag, root->loc, TEGU_E_RESOURCES,
                      "one '%s' is too large to be compiled",
                      tegu_op_get(root->op)->text);
}
