/* SPDX-License-Identifier: Apache-2.0 */
/* numeric.c - see numeric.h. */
#include "tests/numeric/numeric.h"
#include "frontend/prelude.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

numeric_model numeric_create(void)
{
    numeric_model model = {.arena = tegu_arena_create(), .calls = 1};
    model.diag = tegu_diag_create(model.arena);
    model.unit = tegu_unit_create(model.arena, model.diag, "m");
    tegu_prelude_attach(model.unit);
    return model;
}

void numeric_destroy(numeric_model *model)
{
    tegu_arena_destroy(model->arena);
}

numeric_model numeric_parse(const char *text)
{
    numeric_model model = {.arena = tegu_arena_create(), .calls = 1};
    model.diag = tegu_diag_create(model.arena);
    model.unit =
        tegu_unit_parse(model.arena, model.diag, "test", text, strlen(text));
    if (!model.unit) {
        tegu_diag_render(model.diag, stderr, false);
        fprintf(stderr, "%s\n", text);
        abort();
    }
    model.symbols = TEGU_ARRAY(model.arena, int64_t, model.unit->axes.count);
    return model;
}

tegu_entry *numeric_entry(const numeric_model *model)
{
    return &model->unit->entries.data[0];
}

void numeric_dump(const numeric_model *model, const char *repeat)
{
    tegu_text text = {.arena = model->arena};
    tegu_unit_print(&text, model->unit);
    tegu_diag_render(model->diag, stderr, false);
    fprintf(stderr, "%s\nrepeat: %s\n", tegu_text_cstr(&text), repeat);
}

/* --- random numbers --- */

uint64_t numeric_next(numeric_rng *rng)
{
    uint64_t x = rng->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint32_t numeric_below(numeric_rng *rng, uint32_t n)
{
    return (uint32_t)(numeric_next(rng) % n);
}

bool numeric_chance(numeric_rng *rng, double probability)
{
    return (double)(numeric_next(rng) >> 11) * 0x1p-53 < probability;
}

double numeric_normal(numeric_rng *rng)
{
    double u = ((double)(numeric_next(rng) >> 11) + 1) * 0x1p-53;
    double v = (double)(numeric_next(rng) >> 11) * 0x1p-53;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* --- tensors --- */

double numeric_get(const tegu_tensor *tensor, int64_t i)
{
    switch (tensor->dtype) {
    case TEGU_BOOL: return ((const uint8_t *)tensor->data)[i];
    case TEGU_I32: return ((const int32_t *)tensor->data)[i];
    case TEGU_I64: return (double)((const int64_t *)tensor->data)[i];
    default: return (double)((const float *)tensor->data)[i];
    }
}

void numeric_set(tegu_tensor *tensor, int64_t i, double value)
{
    switch (tensor->dtype) {
    case TEGU_BOOL: ((uint8_t *)tensor->data)[i] = value != 0; break;
    case TEGU_I32: ((int32_t *)tensor->data)[i] = (int32_t)value; break;
    case TEGU_I64: ((int64_t *)tensor->data)[i] = (int64_t)value; break;
    default: ((float *)tensor->data)[i] = (float)value; break;
    }
}

void numeric_allocate(tegu_arena *arena, tegu_tensor *tensor)
{
    tensor->data =
        tegu_arena_array(arena, (size_t)tegu_tensor_elements(tensor) + 1,
                         tegu_dtype_bytes(tensor->dtype));
}

/* --- comparison --- */

bool numeric_accepts(double got, double exact, double bound)
{
    if (isinf(bound))
        return true;
    if (isnan(exact))
        return isnan(got);
    if (isinf(exact) || bound == 0)
        return got == (double)(float)exact;
    return fabs(got - exact) <= 2 * bound + 0x1p-149;
}

static bool integer_equal(const tegu_shadow *want, const tegu_tensor *got,
                          int64_t i)
{
    size_t bytes = tegu_dtype_bytes(got->dtype);
    const char *a = want->value.data, *b = got->data;
    return (want->uncertain && want->uncertain[i]) ||
           memcmp(a + (size_t)i * bytes, b + (size_t)i * bytes, bytes) == 0;
}

static bool compare_result(const tegu_shadow *want, const tegu_tensor *got,
                           tegu_op op, numeric_tally *tally,
                           numeric_mismatch *mismatch)
{
    int64_t count = tegu_tensor_elements(got);
    for (int64_t i = 0; i < count; i++) {
        double value = numeric_get(got, i);
        double exact =
            want->exact ? want->exact[i] : numeric_get(&want->value, i);
        double bound = want->bound ? want->bound[i] : 0;
        bool right = want->exact ? numeric_accepts(value, exact, bound)
                                 : integer_equal(want, got, i);
        tally->elements++;
        tally->certain += want->exact
                              ? isfinite(bound)
                              : !(want->uncertain && want->uncertain[i]);
        if (!right) {
            mismatch->element = i;
            mismatch->got = value;
            mismatch->exact = exact;
            mismatch->bound = bound;
            return false;
        }
        if (isfinite(exact) && bound > 0x1p-140 && isfinite(bound))
            tally->worst[op] =
                fmax(tally->worst[op], fabs(value - exact) / bound);
    }
    return true;
}

static bool one_call(const numeric_model *model, tegu_executor *executor,
                     tegu_shadow *states, numeric_tally *tally,
                     numeric_mismatch *mismatch)
{
    const tegu_entry *entry = numeric_entry(model);
    const tegu_graph *reference = entry->graph;
    uint32_t inputs = entry->arguments.count;
    uint32_t results = reference->results.count;
    tegu_shadow shadows[NUMERIC_MAX_RESULTS];
    tegu_tensor outputs[NUMERIC_MAX_RESULTS] = {{0}};
    int64_t position = executor->position(executor->self);
    mismatch->element = -1;
    if (!tegu_interp_shadow(reference, model->arena, model->inputs, inputs,
                            states, position, model->symbols, shadows))
        return false;
    for (uint32_t i = 0; i < results; i++) {
        tegu_entry_output(model->unit, entry, i, model->symbols, &outputs[i]);
        numeric_allocate(model->arena, &outputs[i]);
    }
    if (!executor->call(executor->self, entry->name, model->inputs, inputs,
                        outputs, results))
        return false;
    for (uint32_t i = 0; i < results; i++) {
        mismatch->result = i;
        tegu_op op =
            tegu_graph_node(reference, reference->results.data[i].value)->op;
        if (!compare_result(&shadows[i], &outputs[i], op, tally, mismatch))
            return false;
    }
    return true;
}

bool numeric_agrees(const numeric_model *model, tegu_executor *executor,
                    numeric_tally *tally, numeric_mismatch *mismatch)
{
    tegu_shadow *states = tegu_interp_states(model->unit, model->arena);
    for (uint32_t i = 0; i < model->calls; i++) {
        mismatch->call = i;
        if (!one_call(model, executor, states, tally, mismatch))
            return false;
    }
    return true;
}

void numeric_print_tally(const numeric_tally *tally, const char *title)
{
    printf("%s: %lld elements, %.1f %% with a finite bound; greatest error / "
           "bound by op of the result:\n",
           title, (long long)tally->elements,
           100.0 * (double)tally->certain /
               (double)(tally->elements ? tally->elements : 1));
    int column = 0;
    for (int op = 0; op < TEGU_OP_COUNT; op++)
        if (tally->worst[op] > 0)
            printf("  %-10s %-6.3f%s", tegu_op_get((tegu_op)op)->text,
                   tally->worst[op], ++column % 4 == 0 ? "\n" : "");
    printf(column % 4 ? "\n" : "");
}
