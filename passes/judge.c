/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c - compares two models' predictions over the same tokens.
 *
 * Takes units at model level; runs copies of them, compiled, in arenas of
 * their own.  The divergence of whole distributions tells small changes apart
 * that the loss of 2000 tokens does not: it has no variance from the text.
 */
#include "passes/judge.h"

#include <math.h>
#include <string.h>

typedef struct hearing {
    const tegu_judge *judge;
    tegu_arena *arena;
    tegu_unit *unit; /* the copy */
    tegu_executor *executor;
    float *rows; /* [length, vocab] of one sequence */
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

static void to_log_probabilities(float *row, int64_t n)
{
    double most = (double)row[0], sum = 0;

    for (int64_t i = 1; i < n; i++)
        most = (double)row[i] > most ? (double)row[i] : most;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)row[i] - most);
    for (int64_t i = 0; i < n; i++)
        row[i] = (float)((double)row[i] - most - log(sum));
}

/* Log probabilities of one sequence, into rows. */
static bool predict(const hearing *h, int64_t sequence, float *rows)
{
    const tegu_judge *j = h->judge;
    const int32_t *tokens =
        j->data->tokens +
        (j->data->sequences - j->sequences + sequence) * j->data->length;
    tegu_tensor in = {TEGU_I32, 1, {j->length}, NULL};
    tegu_tensor out = {TEGU_F32, 2, {j->length, j->vocab}, rows};

    memcpy(&in.data, &tokens, sizeof in.data);
    h->executor->reset(h->executor->self);
    if (!h->executor->call(h->executor->self, "step", &in, 1, &out, 1))
        return false;
    for (int64_t i = 0; i < j->length; i++)
        to_log_probabilities(rows + i * j->vocab, j->vocab);
    return true;
}

static void compare(const hearing *h, int64_t sequence, const float *rows,
                    tegu_verdict *verdict)
{
    const tegu_judge *j = h->judge;
    const float *base = j->base + sequence * j->length * j->vocab;
    const int32_t *tokens =
        j->data->tokens +
        (j->data->sequences - j->sequences + sequence) * j->data->length;

    for (int64_t i = 0; i < j->length; i++) {
        const float *p = base + i * j->vocab, *q = rows + i * j->vocab;
        for (int64_t k = 0; k < j->vocab; k++)
            verdict->divergence +=
                exp((double)p[k]) * ((double)p[k] - (double)q[k]);
        if (i + 1 < j->length)
            verdict->loss -= (double)q[tokens[i + 1]];
    }
}

static bool hear(hearing *h, float *into, tegu_verdict *verdict)
{
    const tegu_judge *j = h->judge;
    double tokens = (double)(j->sequences * j->length);
    bool ok = true;

    *verdict = (tegu_verdict){0, 0};
    for (int64_t s = 0; ok && s < j->sequences; s++) {
        float *rows = into ? into + s * j->length * j->vocab : h->rows;
        ok = predict(h, s, rows);
        if (ok)
            compare(h, s, rows, verdict);
    }
    verdict->divergence /= tokens;
    verdict->loss /= tokens - (double)j->sequences;
    return ok;
}

static bool run(const tegu_judge *judge, const tegu_unit *unit, float *into,
                tegu_verdict *verdict)
{
    hearing h = {.judge = judge, .arena = tegu_arena_create()};
    int64_t vocab;
    bool ok;

    if (!h.arena)
        return tegu_error(unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                          "out of memory");
    tegu_arena_on_failure(h.arena, tegu_arena_failure(unit->arena));
    h.unit = tegu_unit_clone(unit, h.arena);
    h.rows = tegu_arena_array(h.arena, (size_t)judge->length,
                              (size_t)judge->vocab * sizeof(float));
    ok = choose_entry(h.unit, &vocab) != NULL;
    if (ok)
        h.executor = judge->data->compile(judge->data->data, h.unit);
    ok = h.executor && hear(&h, into, verdict);
    if (h.executor)
        h.executor->destroy(h.executor->self);
    tegu_arena_destroy(h.arena);
    return ok;
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
    double fit;

    *judge = (tegu_judge){.data = data, .sequences = 1};
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
    judge->base =
        tegu_arena_array(arena, (size_t)(judge->sequences * judge->length),
                         (size_t)judge->vocab * sizeof(float));
    return run(judge, unit, judge->base, original);
}

bool tegu_judge_unit(const tegu_judge *judge, const tegu_unit *unit,
                     tegu_verdict *verdict)
{
    return run(judge, unit, NULL, verdict);
}
