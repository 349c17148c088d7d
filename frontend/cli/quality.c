/* SPDX-License-Identifier: Apache-2.0 */
/* quality.c - perplexity and KL divergence over windows of tokens.
 *
 * Takes models with the same vocabulary and one list of tokens; runs each
 * window through every model before the next, so that only one window of
 * logits per model is held.  Log-probabilities are computed in f64.
 */
#include "frontend/cli/model.h"

#include <math.h>
#include <string.h>

typedef struct totals {
    double nll, kl, same;
} totals;

/* log(sum exp x) and the index of the largest. */
static double log_sum(const float *x, int64_t n, int64_t *top)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)x[i] - (double)x[best]);
    *top = best;
    return (double)x[best] + log(sum);
}

static double divergence(const float *p, double log_p, const float *q,
                         double log_q, int64_t n)
{
    double kl = 0;
    for (int64_t i = 0; i < n; i++) {
        double lp = (double)p[i] - log_p;
        kl += exp(lp) * (lp - ((double)q[i] - log_q));
    }
    return kl;
}

/* Scores one position of every model. */
static void score(float *const *logits, uint32_t count, int64_t row,
                  int64_t vocab, int32_t target, totals *sums)
{
    const float *reference = logits[0] + row * vocab;
    int64_t reference_top = 0;
    double reference_log = log_sum(reference, vocab, &reference_top);
    sums[0].nll += reference_log - (double)reference[target];
    for (uint32_t m = 1; m < count; m++) {
        const float *x = logits[m] + row * vocab;
        int64_t top;
        double log_x = log_sum(x, vocab, &top);
        sums[m].nll += log_x - (double)x[target];
        sums[m].kl += divergence(reference, reference_log, x, log_x, vocab);
        sums[m].same += top == reference_top;
    }
}

static bool run_window(const tegu_lm *models, uint32_t count,
                       const int32_t *ids, int64_t length, float **logits)
{
    for (uint32_t m = 0; m < count; m++) {
        tegu_executor *executor = models[m].session->executor;
        executor->reset(executor->self);
        if (!tegu_lm_step(&models[m], ids, length, logits[m]))
            return false;
    }
    return true;
}

static void finish(const totals *sums, uint32_t count, int64_t predictions,
                   tegu_quality *quality)
{
    double n = (double)predictions;
    for (uint32_t m = 0; m < count; m++)
        quality[m] = (tegu_quality){
            .nll = sums[m].nll / n,
            .perplexity = exp(sums[m].nll / n),
            .kl = m ? sums[m].kl / n : NAN,
            .same_top = m ? sums[m].same / n : NAN,
            .predictions = predictions,
        };
}

static bool check_windows(tegu_cli *cli, const tegu_lm *models, uint32_t count,
                          const tegu_tokens *tokens,
                          const tegu_windows *windows)
{
    for (uint32_t m = 0; m < count; m++)
        if (windows->length > models[m].context)
            return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                              "--context %lld is more than the model holds "
                              "(%lld tokens)",
                              (long long)windows->length,
                              (long long)models[m].context);
    if (tokens->count < 2)
        return tegu_error(cli->diag, tegu_loc_file(tokens->source),
                          TEGU_E_TOKENS, "fewer than two tokens");
    return true;
}

bool tegu_measure_quality(tegu_cli *cli, const tegu_lm *models, uint32_t count,
                          const tegu_tokens *tokens,
                          const tegu_windows *windows, tegu_quality *quality)
{
    if (!check_windows(cli, models, count, tokens, windows))
        return false;
    int64_t vocab = models[0].vocab, total = tokens->count - 1, scored = 0;
    if (windows->predictions && windows->predictions < total)
        total = windows->predictions;
    float **logits = TEGU_ARRAY(cli->arena, float *, count);
    totals *sums = TEGU_ARRAY(cli->arena, totals, count);
    for (uint32_t m = 0; m < count; m++)
        logits[m] = tegu_arena_alloc_raw(cli->arena, (size_t)windows->length *
                                                         (size_t)vocab * 4);
    tegu_progress progress;
    tegu_progress_start(&progress, cli, "measuring quality");
    for (int64_t start = 0; scored < total; start += windows->stride) {
        int64_t length = tokens->count - 1 - start;
        if (length > windows->length)
            length = windows->length;
        if (length > total - start)
            length = total - start;
        if (!run_window(models, count, tokens->ids + start, length, logits))
            return false;
        /* Rows before `scored` were predicted by an earlier window. */
        for (int64_t r = scored - start; r < length; r++, scored++)
            score(logits, count, r, vocab, tokens->ids[start + r + 1], sums);
        tegu_progress_step(&progress, (double)scored, (double)total);
    }
    tegu_progress_end(&progress);
    finish(sums, count, scored, quality);
    return true;
}
