/* SPDX-License-Identifier: Apache-2.0 */
/* measure.c - timed runs of a language model, and their statistics. */
#include "frontend/cli/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts x and gives its median. */
static double median(double *x, uint32_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n & 1 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

tegu_summary tegu_summarise(tegu_arena *arena, const tegu_samples *samples)
{
    tegu_summary s = {0};
    uint32_t n = samples->count;
    if (!n)
        return s;
    double *x = tegu_arena_copy(arena, samples->seconds, n * sizeof *x);
    s.median = median(x, n);
    s.least = x[0];
    s.most = x[n - 1];
    for (uint32_t i = 0; i < n; i++)
        s.mean += x[i] / n;
    for (uint32_t i = 0; i < n; i++)
        s.deviation += (x[i] - s.mean) * (x[i] - s.mean);
    s.deviation = n > 1 ? sqrt(s.deviation / (n - 1)) : 0;
    for (uint32_t i = 0; i < n; i++)
        x[i] = fabs(x[i] - s.median);
    s.mad = median(x, n);
    return s;
}

void tegu_workload_init(tegu_cli *cli, const tegu_lm *lm, int64_t prompt,
                        int64_t generate, tegu_workload *work)
{
    if (prompt > lm->context)
        prompt = lm->context;
    if (generate > lm->context)
        generate = lm->context;
    *work = (tegu_workload){.lm = lm, .prompt = prompt, .generate = generate};
    work->tokens = TEGU_ARRAY(cli->arena, int32_t, (size_t)lm->context + 1);
    uint64_t seed = 1;
    for (int64_t i = 0; i < lm->context; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        work->tokens[i] = (int32_t)((seed >> 33) % (uint64_t)lm->vocab);
    }
    work->logits = TEGU_ARRAY(cli->arena, float, (size_t)lm->vocab);
    if (!lm->prompt)
        work->rows = TEGU_ARRAY(cli->arena, float,
                                (size_t)lm->vocab *(size_t)lm->context);
}

static tegu_executor *restart(const tegu_workload *work)
{
    tegu_executor *executor = work->lm->session->executor;
    executor->reset(executor->self);
    return executor;
}

double tegu_time_prompt(tegu_workload *work)
{
    restart(work);
    double start = tegu_seconds();
    if (!tegu_lm_prompt(work->lm, work->tokens, work->prompt, work->logits,
                        work->rows))
        return -1;
    return tegu_seconds() - start;
}

double tegu_time_generate(tegu_workload *work, int64_t position)
{
    restart(work);
    if (position + work->generate > work->lm->context)
        position = work->lm->context - work->generate;
    if (position > 0 && !tegu_lm_prompt(work->lm, work->tokens, position,
                                        work->logits, work->rows))
        return -1;
    double start = tegu_seconds();
    for (int64_t i = 0; i < work->generate; i++)
        if (!tegu_lm_step(work->lm, work->tokens + position + i, 1,
                          work->logits))
            return -1;
    return tegu_seconds() - start;
}
