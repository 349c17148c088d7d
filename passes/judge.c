/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c - compares two models' predictions over the same tokens.
 *
 * Takes units at model level; runs copies of them, compiled, in arenas of
 * their own.  The divergence of whole distributions tells small changes apart
 * that the loss of 2000 tokens does not: it has no variance from the text.
 *
 * KL(p || q) = sum p log p - sum p log q is taken from the original's p,
 * rounded to f32 once, and the changed model's logits: one exponential per
 * element.
 */
#include "passes/judge.h"
#include "passes/adapted.h"
#include "passes/replace.h"

#include <math.h>
#include <string.h>

/* A compiled copy of a unit. */
typedef struct tegu_hearing {
    const tegu_judge *judge;
    tegu_arena *arena;
    tegu_unit *unit; /* the copy */
    tegu_executor *executor;
    float *rows; /* [length, vocab]: logits of one sequence */
} hearing;

static bool refuse(const tegu_unit *unit)
{
    return tegu_error(unit->diag, tegu_loc_file(unit->source),
                      TEGU_E_UNSUPPORTED,
                      "judging needs entry step(tokens: i32[T]) -> logits: "
                      "f32[T, vocab]");
}

/* The copy's entry `step` alone, checked to give logits. */
static tegu_entry *choose_entry(tegu_unit *unit, int64_t *vocab)
{
    tegu_entry *step = tegu_unit_find_entry(unit, "step");
    const tegu_type *type;

    if (!step || step->arguments.count != 1 ||
        step->graph->results.count != 1) {
        refuse(unit);
        return NULL;
    }
    type = tegu_graph_type(step->graph, step->graph->results.data[0].value);
    if (type->dtype != TEGU_F32 || type->rank != 2 ||
        !tegu_dim_is_static(type->dims[1]) ||
        step->arguments.data[0].type->rank != 1) {
        refuse(unit);
        return NULL;
    }
    *vocab = type->dims[1].offset;
    unit->entries.data[0] = *step;
    unit->entries.count = 1;
    return &unit->entries.data[0];
}

/* log sum exp of a row. */
static double scale_of(const float *row, int64_t n)
{
    double most = (double)row[0], sum = 0;

    for (int64_t i = 1; i < n; i++)
        most = (double)row[i] > most ? (double)row[i] : most;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)row[i] - most);
    return most + log(sum);
}

static const int32_t *tokens_of(const tegu_judge *j, int64_t sequence)
{
    return j->data->tokens +
           (j->data->sequences - j->sequences + sequence) * j->data->length;
}

/* Logits of one sequence, into h->rows. */
static bool predict(const hearing *h, int64_t sequence)
{
    const tegu_judge *j = h->judge;
    const int32_t *tokens = tokens_of(j, sequence);
    tegu_tensor in = {TEGU_I32, 1, {j->length}, NULL};
    tegu_tensor out = {TEGU_F32, 2, {j->length, j->vocab}, h->rows};

    memcpy(&in.data, &tokens, sizeof in.data);
    h->executor->reset(h->executor->self);
    return h->executor->call(h->executor->self, "step", &in, 1, &out, 1);
}

/* Keeps the original's probabilities of one row. */
static void keep(const tegu_judge *j, int64_t at, const float *row)
{
    double scale = scale_of(row, j->vocab), sum = 0;
    float *p = j->base + at * j->vocab;

    for (int64_t k = 0; k < j->vocab; k++) {
        double log_p = (double)row[k] - scale;
        p[k] = (float)exp(log_p);
        sum += (double)p[k] * log_p;
    }
    j->self[at] = sum;
}

/* sum of p log q over a row. */
static double cross(const float *p, const float *row, double scale, int64_t n)
{
    double sum = 0, whole = 0;

    for (int64_t k = 0; k < n; k++) {
        sum += (double)p[k] * (double)row[k];
        whole += (double)p[k];
    }
    return sum - whole * scale;
}

static void compare(const hearing *h, int64_t sequence, tegu_verdict *verdict)
{
    const tegu_judge *j = h->judge;
    const int32_t *tokens = tokens_of(j, sequence);

    for (int64_t i = 0; i < j->length; i++) {
        const float *row = h->rows + i * j->vocab;
        int64_t at = sequence * j->length + i;
        double scale = scale_of(row, j->vocab);
        verdict->divergence +=
            j->self[at] - cross(j->base + at * j->vocab, row, scale, j->vocab);
        if (i + 1 < j->length)
            verdict->loss -= (double)row[tokens[i + 1]] - scale;
    }
}

/* Runs all sequences; the first time the original's rows are kept. */
static bool hear(const hearing *h, bool first, tegu_verdict *verdict)
{
    const tegu_judge *j = h->judge;
    double tokens = (double)(j->sequences * j->length);

    *verdict = (tegu_verdict){0, 0};
    for (int64_t s = 0; s < j->sequences; s++) {
        if (!predict(h, s))
            return false;
        for (int64_t i = 0; first && i < j->length; i++)
            keep(j, s * j->length + i, h->rows + i * j->vocab);
        compare(h, s, verdict);
    }
    verdict->divergence /= tokens;
    verdict->loss /= tokens - (double)j->sequences;
    return true;
}

static void stop(hearing *h)
{
    tegu_arena *arena = h ? h->arena : NULL;

    if (h && h->executor)
        h->executor->destroy(h->executor->self);
    tegu_arena_destroy(arena);
}

/* Compiles a copy of the unit; NULL after reporting. */
static hearing *start(const tegu_judge *judge, const tegu_unit *unit)
{
    tegu_arena *arena = tegu_arena_create();
    hearing *h;
    int64_t vocab;

    if (!arena) {
        tegu_error(unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                   "out of memory");
        return NULL;
    }
    tegu_arena_on_failure(arena, tegu_arena_failure(unit->arena));
    h = TEGU_NEW(arena, hearing);
    *h = (hearing){.judge = judge, .arena = arena};
    h->unit = tegu_unit_clone(unit, arena);
    h->rows = tegu_arena_array(arena, (size_t)judge->length,
                               (size_t)judge->vocab * sizeof(float));
    if (choose_entry(h->unit, &vocab) != NULL)
        h->executor = judge->data->compile(judge->data->data, h->unit);
    if (h->executor)
        return h;
    stop(h);
    return NULL;
}

/* Tokens of one call: a sequence, cut to the entry's bound. */
static bool choose_length(tegu_judge *judge, const tegu_unit *unit)
{
    const tegu_entry *step = tegu_unit_find_entry((tegu_unit *)unit, "step");
    int64_t lo, hi;

    if (!step || step->arguments.count != 1 ||
        step->arguments.data[0].type->rank != 1 ||
        !tegu_dim_bounds(unit, step->arguments.data[0].type->dims[0], &lo, &hi))
        return refuse(unit);
    judge->length = judge->data->length < hi ? judge->data->length : hi;
    return judge->length > 1 || refuse(unit);
}

bool tegu_judge_open(tegu_judge *judge, const tegu_unit *unit,
                     const tegu_calibration *data, int64_t most_tokens,
                     tegu_arena *arena, tegu_verdict *original)
{
    const double most_bytes = 64e6;
    const tegu_entry *step = tegu_unit_find_entry((tegu_unit *)unit, "step");
    const tegu_type *type;
    size_t rows;
    double fit;

    *judge = (tegu_judge){.unit = unit, .data = data, .sequences = 1};
    if (!tegu_calibration_has_tokens(unit, data, "judging predictions"))
        return false;
    if (!choose_length(judge, unit) || step->graph->results.count != 1)
        return refuse(unit);
    type = tegu_graph_type(step->graph, step->graph->results.data[0].value);
    if (type->rank != 2 || !tegu_dim_is_static(type->dims[1]))
        return refuse(unit);
    judge->vocab = type->dims[1].offset;
    fit = most_bytes /
          ((double)judge->length * (double)judge->vocab * sizeof(float));
    while (judge->sequences < data->sequences &&
           (double)judge->sequences + 1 <= fit &&
           (judge->sequences + 1) * judge->length <= most_tokens)
        judge->sequences++;
    rows = (size_t)(judge->sequences * judge->length);
    judge->base =
        tegu_arena_array(arena, rows, (size_t)judge->vocab * sizeof(float));
    judge->self = TEGU_ARRAY(arena, double, rows);
    judge->original = start(judge, unit);
    return judge->original && hear(judge->original, true, original);
}

void tegu_judge_close(tegu_judge *judge)
{
    stop(judge->original);
    judge->original = NULL;
}

bool tegu_judge_unit(const tegu_judge *judge, const tegu_unit *unit,
                     tegu_verdict *verdict)
{
    hearing *h = start(judge, unit);
    bool ok = h && hear(h, false, verdict);

    stop(h);
    return ok;
}

/* --- changed parameters --- */

/* True when linears read the parameter itself, not through adapters. */
static bool is_plain(const tegu_unit *unit, const char *param)
{
    const tegu_graph *g =
        tegu_unit_find_entry((tegu_unit *)unit, "step")->graph;

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (!tegu_node_is_adapted(node))
            continue;
        node = tegu_graph_node(g, tegu_adapted_base(g, v));
        if (node->op == TEGU_OP_PARAM &&
            strcmp(tegu_node_text(node, "name"), param) == 0)
            return false;
    }
    return true;
}

/* True when the compiled original has read the changes. */
static bool reload(const hearing *h, const tegu_change *changes, uint32_t count)
{
    tegu_executor *e = h->executor;

    for (uint32_t i = 0; i < count; i++)
        if (!e->reload || !is_plain(h->judge->unit, changes[i].param) ||
            !e->reload(e->self, changes[i].param))
            return false;
    return true;
}

/* Gives the copy's parameters these numbers, in `scratch`; old [count] takes
 * what they were. */
static void change(const hearing *h, const tegu_change *changes, uint32_t count,
                   tegu_arena *scratch, tegu_param *old)
{
    for (uint32_t i = 0; i < count; i++) {
        tegu_param *param = tegu_unit_find_param(h->unit, changes[i].param);
        size_t n = (size_t)tegu_type_elements(param->type);
        float *data = tegu_arena_alloc_raw(scratch, n * sizeof *data);
        for (size_t k = 0; k < n; k++)
            data[k] = (float)changes[i].data[k];
        old[i] = *param;
        param->source = TEGU_SOURCE_DATA;
        param->stored = TEGU_F32;
        param->data = data;
        param->transposed = false;
    }
}

/* The changes as a unit of their own. */
static bool judge_copy(const tegu_judge *judge, const tegu_change *changes,
                       uint32_t count, tegu_arena *scratch,
                       tegu_verdict *verdict)
{
    tegu_unit *copy = tegu_unit_clone(judge->unit, scratch);
    tegu_replacement *list = TEGU_ARRAY(scratch, tegu_replacement, count);

    for (uint32_t i = 0; i < count; i++) {
        list[i].name = changes[i].param;
        tegu_param_store(copy, changes[i].param,
                         tegu_unit_find_param(copy, changes[i].param)->type,
                         changes[i].data);
    }
    return tegu_replace_weights(copy, scratch, list, count) &&
           tegu_judge_unit(judge, copy, verdict);
}

bool tegu_judge_changes(const tegu_judge *judge, const tegu_change *changes,
                        uint32_t count, tegu_arena *scratch,
                        tegu_verdict *verdict)
{
    const hearing *h = judge->original;
    tegu_mark mark = tegu_arena_mark(scratch);
    tegu_param *old = TEGU_ARRAY(scratch, tegu_param, count);
    bool loaded, ok;

    change(h, changes, count, scratch, old);
    loaded = reload(h, changes, count);
    ok = loaded && hear(h, false, verdict);
    for (uint32_t i = 0; i < count; i++)
        *tegu_unit_find_param(h->unit, changes[i].param) = old[i];
    if (!reload(h, changes, count) && loaded)
        ok = false;
    if (!loaded)
        ok = judge_copy(judge, changes, count, scratch, verdict);
    tegu_arena_release(scratch, mark);
    return ok;
}
