/* SPDX-License-Identifier: Apache-2.0 */
/* See model.h. */
#include "tests/unit/codegen/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/pass.h"

static void fail_with(const numeric_model *model, const char *what)
{
    numeric_dump(model, what);
    abort();
}

static double random_element(numeric_rng *rng, tegu_dtype dtype, int64_t i)
{
    if (dtype == TEGU_BOOL)
        return numeric_below(rng, 2);
    if (dtype == TEGU_F32)
        return numeric_normal(rng);
    return i % 7 == 6 ? 1e9 * (numeric_below(rng, 2) ? 1 : -1)
                      : (double)numeric_below(rng, 9) - 2;
}

/* Any bits: all numbers of the storage types occur, NaN included. */
static void fill_bytes(numeric_rng *rng, tegu_tensor *x)
{
    size_t size = (size_t)tegu_tensor_elements(x) * tegu_dtype_bytes(x->dtype);
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)x->data)[i] = (unsigned char)numeric_next(rng);
}

numeric_model model_open(const char *text, int64_t symbol)
{
    numeric_model m = numeric_parse(text);
    numeric_rng rng = {17};
    const tegu_entry *entry = numeric_entry(&m);
    for (uint32_t i = 1; i < m.unit->axes.count; i++)
        m.symbols[i] = m.unit->axes.data[i].symbolic ? symbol : 0;
    for (uint32_t i = 0; i < entry->arguments.count; i++) {
        const tegu_type *t = entry->arguments.data[i].type;
        tegu_tensor *x = &m.inputs[i];
        x->dtype = t->dtype;
        x->rank = t->rank;
        for (uint32_t k = 0; k < t->rank; k++)
            x->dims[k] = tegu_dim_value(t->dims[k], m.symbols);
        numeric_allocate(m.arena, x);
        if (!tegu_dtype_is_compute(t->dtype))
            fill_bytes(&rng, x);
        else
            for (int64_t k = 0; k < tegu_tensor_elements(x); k++)
                numeric_set(x, k, random_element(&rng, t->dtype, k));
    }
    return m;
}

void model_run_passes(numeric_model *model, const char *pipeline)
{
    if (!*pipeline)
        return;
    tegu_manager_options options = {.verify_each = true};
    tegu_manager_report report = {.remarks = {.arena = model->arena}};
    tegu_pipeline *p = tegu_pipeline_parse(model->arena, model->diag, pipeline);
    if (!p || !tegu_manager_run(model->unit, p, &options, &report))
        fail_with(model, pipeline);
}

tegu_artifact *model_compile(numeric_model *model, const char *target,
                             int level, bool embed)
{
    tegu_target found;
    tegu_failure failure;
    if (!tegu_unit_verify(model->unit))
        fail_with(model, "verify");
    if (!tegu_target_find(&found, target, NULL, NULL, &failure))
        fail_with(model, failure.text);
    tegu_codegen_options options = {.target = &found,
                                    .level = level,
                                    .embed_weights = embed,
                                    .want_asm = true};
    tegu_artifact *a = tegu_codegen(model->unit, model->arena, &options);
    if (!a)
        fail_with(model, "codegen");
    return a;
}

void model_parallel_for(void *pool, tegu_kernel_task task, void *data,
                        int64_t parts)
{
    ((model_pool *)pool)->calls++;
    for (int64_t part = parts; part-- > 0;)
        task(data, part, parts);
}

void model_check(const char *text, const char *pipeline, int64_t symbol,
                 int64_t threads, uint32_t calls, model_pool *pool)
{
    numeric_model m = model_open(text, symbol);
    numeric_tally tally = {0};
    numeric_mismatch mismatch = {0};
    tegu_jit_options jit = {model_parallel_for, pool, threads};
    m.calls = calls;
    model_run_passes(&m, pipeline);
    tegu_artifact *a = model_compile(&m, NULL, 2, false);
    tegu_executor *run = tegu_jit_create(m.unit, m.arena, a, &jit);
    if (!run)
        fail_with(&m, "load");
    if (!numeric_agrees(&m, run, &tally, &mismatch)) {
        fprintf(stderr,
                "symbol %lld, %lld threads, call %u, result %u, element %lld: "
                "got %.9g, not %.9g within %g\n",
                (long long)symbol, (long long)threads, mismatch.call,
                mismatch.result, (long long)mismatch.element, mismatch.got,
                mismatch.exact, mismatch.bound);
        fail_with(&m, "compare");
    }
    run->destroy(run->self);
    numeric_destroy(&m);
}
