/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - what a unit computes on samples, for --check-each.
 *
 * Takes a verified unit of any level.  Interprets every entry on a few
 * samples: the symbols at their lower bounds and at other small values, the
 * state random at a position past 0 where the caches have room, inputs from a
 * seeded generator (integers small and partly negative, because gather
 * clamps).  Results and new states come with error bounds; two meanings agree
 * when every element differs by no more than the sum of both bounds.  The
 * method is translation validation by execution (Pnueli, Siegel and Singerman
 * 1998, by testing instead of proof).
 */
#include "passes/check.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { SAMPLES = 3 };

typedef struct outcome {
    bool run; /* false: no room in the caches for these symbols */
    tegu_shadow *results;
    tegu_shadow *states;
} outcome;

struct tegu_meaning {
    outcome *outcomes; /* entries x SAMPLES */
};

/* --- random data: splitmix64 (Steele, Lea and Flood 2014) --- */

static uint64_t next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static float next_float(uint64_t *state)
{
    return (float)((double)(next(state) >> 11) * 0x1p-53 * 4 - 2);
}

static void fill(tegu_tensor *t, uint64_t *state)
{
    int64_t count = tegu_tensor_elements(t);

    for (int64_t i = 0; i < count; i++) {
        switch (t->dtype) {
        case TEGU_F32: ((float *)t->data)[i] = next_float(state); break;
        case TEGU_I32:
            ((int32_t *)t->data)[i] = (int32_t)(next(state) % 64) - 2;
            break;
        case TEGU_I64:
            ((int64_t *)t->data)[i] = (int64_t)(next(state) % 64) - 2;
            break;
        default: ((uint8_t *)t->data)[i] = next(state) & 1; break;
        }
    }
}

static void shape(tegu_tensor *t, const tegu_type *type, const int64_t *symbols,
                  tegu_arena *arena)
{
    t->dtype = type->dtype;
    t->rank = type->rank;
    for (uint32_t i = 0; i < type->rank; i++)
        t->dims[i] = tegu_dim_value(type->dims[i], symbols);
    t->data = tegu_arena_array(arena, (size_t)tegu_tensor_elements(t) + 1,
                               tegu_dtype_bytes(type->dtype));
}

/* --- samples --- */

static int64_t *choose_symbols(const tegu_unit *unit, tegu_arena *arena,
                               uint32_t sample)
{
    int64_t *symbols = TEGU_ARRAY(arena, int64_t, unit->axes.count + 1);
    uint32_t nth = sample;

    for (tegu_axis_id i = 1; i < unit->axes.count; i++) {
        const tegu_axis *axis = &unit->axes.data[i];
        int64_t choices[SAMPLES] = {axis->lo, 3, 5};
        int64_t n = choices[nth % SAMPLES];
        if (!axis->symbolic)
            continue;
        nth++;
        symbols[i] = n < axis->lo ? axis->lo : n > axis->hi ? axis->hi : n;
    }
    return symbols;
}

/* A position that leaves room for every append, at most 5; -1: none. */
static int64_t choose_position(const tegu_graph *g, const int64_t *symbols,
                               uint32_t sample)
{
    int64_t position = sample == 0 ? 0 : 5;

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        int64_t room;
        if (node->op == TEGU_OP_KERNEL && tegu_kernel_appends(node)) {
            int64_t inner = choose_position(node->body, symbols, sample);
            position = inner < position ? inner : position;
        }
        if (node->op != TEGU_OP_APPEND)
            continue;
        room = tegu_dim_value(node->type->dims[0], symbols) -
               tegu_dim_value(tegu_graph_type(g, node->inputs[1])->dims[0],
                              symbols);
        position = room < position ? room : position;
    }
    return position < -1 ? -1 : position;
}

/* State as `position` tokens may have left it: rows before it of caches,
 * everything of the rest. */
static void fill_states(const tegu_unit *unit, tegu_shadow *states,
                        int64_t position, uint64_t *random)
{
    for (uint32_t i = 0; i < unit->states.count; i++) {
        tegu_tensor rows = states[i].value;
        if (position == 0)
            continue;
        if (unit->states.data[i].appended && rows.rank > 0 &&
            position < rows.dims[0])
            rows.dims[0] = position;
        fill(&rows, random);
    }
}

static bool run_sample(tegu_unit *unit, const tegu_entry *entry,
                       tegu_arena *arena, uint32_t sample, uint64_t random,
                       outcome *out)
{
    int64_t *symbols = choose_symbols(unit, arena, sample);
    int64_t position = choose_position(entry->graph, symbols, sample);
    tegu_tensor *inputs =
        TEGU_ARRAY(arena, tegu_tensor, entry->arguments.count + 1);

    out->run = position >= 0;
    if (!out->run)
        return true;
    for (uint32_t i = 0; i < entry->arguments.count; i++) {
        shape(&inputs[i], entry->arguments.data[i].type, symbols, arena);
        fill(&inputs[i], &random);
    }
    out->states = tegu_interp_states(unit, arena);
    fill_states(unit, out->states, position, &random);
    out->results =
        TEGU_ARRAY(arena, tegu_shadow, entry->graph->results.count + 1);
    return tegu_interp_likely(entry->graph, arena, inputs,
                              entry->arguments.count, out->states, position,
                              symbols, out->results);
}

/* Gives parameters without data random values, or takes them away again. */
static void borrow_parameters(tegu_unit *unit, bool *borrowed, uint64_t seed)
{
    for (uint32_t i = 0; i < unit->params.count; i++) {
        tegu_param *param = &unit->params.data[i];
        borrowed[i] = param->source == TEGU_SOURCE_NONE;
        if (!borrowed[i])
            continue;
        param->source = TEGU_SOURCE_RANDOM;
        param->seed = seed;
        param->std = 0.25;
    }
}

static void return_parameters(tegu_unit *unit, const bool *borrowed)
{
    for (uint32_t i = 0; i < unit->params.count; i++)
        if (borrowed[i])
            unit->params.data[i].source = TEGU_SOURCE_NONE;
}

tegu_meaning *tegu_meaning_of(tegu_unit *unit, tegu_arena *arena, uint64_t seed)
{
    tegu_meaning *meaning = TEGU_NEW(arena, tegu_meaning);
    bool *borrowed = TEGU_ARRAY(arena, bool, unit->params.count + 1);
    uint32_t count = unit->entries.count * SAMPLES;
    bool ok = true;

    meaning->outcomes = TEGU_ARRAY(arena, outcome, count + 1);
    borrow_parameters(unit, borrowed, seed);
    for (uint32_t i = 0; ok && i < count; i++)
        ok = run_sample(unit, &unit->entries.data[i / SAMPLES], arena,
                        i % SAMPLES, seed + i, &meaning->outcomes[i]);
    return_parameters(unit, borrowed);
    return ok ? meaning : NULL;
}

/* --- comparing --- */

typedef struct comparison {
    tegu_unit *unit;
    const char *pass;
    const tegu_entry *entry;
    const char *kind; /* "result" or "state" */
    const char *name;
    double *ratio;
} comparison;

static double bound_at(const tegu_shadow *s, int64_t i)
{
    if (s->uncertain && s->uncertain[i])
        return INFINITY;
    return s->bound ? s->bound[i] : 0;
}

static double value_at(const tegu_shadow *s, int64_t i)
{
    if (s->exact)
        return s->exact[i];
    switch (s->value.dtype) {
    case TEGU_F32: return ((const float *)s->value.data)[i];
    case TEGU_I32: return ((const int32_t *)s->value.data)[i];
    case TEGU_I64: return (double)((const int64_t *)s->value.data)[i];
    default: return ((const uint8_t *)s->value.data)[i];
    }
}

/* |a - b|, 0 for equal infinities and for two NaN. */
static double distance(double a, double b)
{
    if (a == b || (isnan(a) && isnan(b)))
        return 0;
    return isnan(a) || isnan(b) ? INFINITY : fabs(a - b);
}

static bool compare(const comparison *c, const tegu_shadow *before,
                    const tegu_shadow *after)
{
    int64_t count = tegu_tensor_elements(&before->value);

    if (count != tegu_tensor_elements(&after->value))
        return tegu_error(c->unit->diag, c->entry->loc, TEGU_E_INTERNAL,
                          "pass '%s' changed the shape of %s '%s' of entry "
                          "'%s'",
                          c->pass, c->kind, c->name, c->entry->name);
    for (int64_t i = 0; i < count; i++) {
        double a = value_at(before, i), b = value_at(after, i);
        double bound = bound_at(before, i) + bound_at(after, i);
        double apart = distance(a, b);
        if (isinf(bound) || isnan(bound) || apart == 0)
            continue;
        if (!(apart <= bound))
            return tegu_error(
                c->unit->diag, c->entry->loc, TEGU_E_INTERNAL,
                "pass '%s' changed %s '%s' of entry '%s' at element "
                "%" PRId64 ": %.9g before, %.9g after, bound %.3g",
                c->pass, c->kind, c->name, c->entry->name, i, a, b, bound);
        if (apart / bound > *c->ratio)
            *c->ratio = apart / bound;
    }
    return true;
}

static bool compare_outcomes(comparison *c, const outcome *before,
                             const outcome *after)
{
    const tegu_graph *g = c->entry->graph;

    if (!before->run)
        return true;
    c->kind = "result";
    for (uint32_t i = 0; i < g->results.count; i++) {
        c->name = g->results.data[i].name;
        if (!compare(c, &before->results[i], &after->results[i]))
            return false;
    }
    c->kind = "state";
    for (uint32_t i = 0; i < c->unit->states.count; i++) {
        c->name = c->unit->states.data[i].name;
        if (!compare(c, &before->states[i], &after->states[i]))
            return false;
    }
    return true;
}

bool tegu_meaning_agrees(tegu_unit *unit, const char *pass,
                         const tegu_meaning *before, const tegu_meaning *after,
                         double *ratio)
{
    comparison c = {.unit = unit, .pass = pass, .ratio = ratio};

    for (uint32_t i = 0; i < unit->entries.count * SAMPLES; i++) {
        c.entry = &unit->entries.data[i / SAMPLES];
        if (!compare_outcomes(&c, &before->outcomes[i], &after->outcomes[i]))
            return false;
    }
    return true;
}
