/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.c: the next token from logits: greedy, temperature, top-k, top-p.
 *
 * Takes a row of logits; leaves it unchanged.  Works in the caller's scratch:
 * one candidate per token, of which a heap gives the largest first, so that
 * only what top-k and top-p keep is ever sorted.
 * Everything is IEEE double arithmetic in a fixed order with our own exp and
 * no contraction, hence the same on every host.  Generator: xoshiro256**
 * seeded by SplitMix64 (Blackman and Vigna 2018).  Top-p: Holtzman et al.
 * 2019.
 */
#ifdef __clang__ /* gcc -std=c17 does not contract */
#pragma STDC FP_CONTRACT OFF
#endif
#include "tegu/runtime.h"

#include <math.h>
#include <stdbool.h>

typedef struct candidate {
    float logit;
    int32_t id;
} candidate;

/* ---- generator ---- */

static uint64_t split_mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

static uint64_t next_random(uint64_t s[4])
{
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

/* Uniform in [0, 1), a multiple of 2^-53. */
static double uniform(uint64_t state[4])
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

/* ---- weights ---- */

/* exp(x) for x <= 0, below 2 ulp: x = k ln2 + r with |r| <= ln2 / 2, and the
 * Taylor series of exp(r) to degree 13 (remainder below 2^-57). */
static double exponential(double x)
{
    if (x < -708)
        return 0;
    double k = floor(x * 0x1.71547652b82fep+0 + 0.5);
    double r = (x - k * 0x1.62e42feep-1) - k * 0x1.a39ef35793c76p-33;
    double sum = 1;
    for (int i = 13; i > 0; i--)
        sum = 1 + sum * r / i;
    return ldexp(sum, (int)k);
}

/* Unnormalised probability of a logit, 1 for the largest. */
static double weight(float logit, float largest, float temperature)
{
    if (isinf(largest) || logit == largest)
        return logit == largest ? 1 : 0;
    return exponential(((double)logit - (double)largest) / (double)temperature);
}

/* ---- candidates ---- */

/* Every usable logit; NaN and minus infinity are left out. */
static int32_t collect(const float *logits, int32_t vocab, candidate *out)
{
    int32_t count = 0;
    for (int32_t i = 0; i < vocab; i++)
        if (logits[i] > -INFINITY)
            out[count++] = (candidate){logits[i], i};
    return count;
}

static bool before(candidate a, candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void sift_down(candidate *heap, int64_t count, int64_t at)
{
    candidate item = heap[at];
    for (int64_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], item))
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static void make_heap(candidate *heap, int64_t count)
{
    for (int64_t i = count / 2; i-- > 0;)
        sift_down(heap, count, i);
}

/* Moves the largest behind the heap, to heap[count - 1]. */
static candidate pop(candidate *heap, int64_t count)
{
    candidate top = heap[0];
    heap[0] = heap[count - 1];
    sift_down(heap, count - 1, 0);
    heap[count - 1] = top;
    return top;
}

/* Draws from from[0], from[step], ..., `count` items whose weights sum to
 * `total`. */
static int32_t draw(tegu_sampler *s, const candidate *from, int step,
                    int32_t count, float largest, double total)
{
    double target = uniform(s->state) * total, sum = 0;
    int32_t last = from->id;
    for (int32_t i = 0; i < count && sum <= target; i++) {
        candidate item = from[(ptrdiff_t)step * i];
        double w = weight(item.logit, largest, s->temperature);
        sum += w;
        if (w > 0)
            last = item.id;
    }
    return last;
}

static double sum_weights(const candidate *items, int32_t count, float largest,
                          float temperature)
{
    double sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += weight(items[i].logit, largest, temperature);
    return sum;
}

/* Sorted from the top of the heap: the kept ones end up behind it, the
 * largest at the very end. */
static int32_t pick_from_top(tegu_sampler *s, candidate *items, int32_t count,
                             float largest)
{
    int32_t limit = s->top_k > 0 && s->top_k < count ? s->top_k : count;
    bool nucleus = s->top_p < 1;
    double total = 0, sum = 0;
    if (nucleus && limit == count)
        total = sum_weights(items, count, largest, s->temperature);
    make_heap(items, count);
    int32_t kept = 0;
    while (kept < limit) {
        candidate top = pop(items, count - kept);
        kept++;
        sum += weight(top.logit, largest, s->temperature);
        if (nucleus && limit == count && sum >= (double)s->top_p * total)
            break;
    }
    if (nucleus && limit < count) {
        total = sum;
        sum = 0;
        kept = 0;
        while (kept < limit && (kept == 0 || sum < (double)s->top_p * total))
            sum += weight(items[count - ++kept].logit, largest, s->temperature);
    }
    return draw(s, items + count - 1, -1, kept, largest, sum);
}

static int32_t greedy(const float *logits, int32_t vocab)
{
    int32_t best = -1;
    float largest = -INFINITY;
    for (int32_t i = 0; i < vocab; i++)
        if (logits[i] > largest) {
            largest = logits[i];
            best = i;
        }
    return best;
}

tegu_status tegu_sampler_init(tegu_sampler *sampler, float temperature,
                              int32_t top_k, float top_p, uint64_t seed)
{
    if (!sampler || !(temperature >= 0) || isinf(temperature) || top_k < 0 ||
        !(top_p > 0 && top_p <= 1))
        return TEGU_STATUS_ARGUMENT;
    *sampler = (tegu_sampler){
        .temperature = temperature, .top_p = top_p, .top_k = top_k};
    for (int i = 0; i < 4; i++)
        sampler->state[i] = split_mix(&seed);
    return TEGU_STATUS_OK;
}

size_t tegu_sampler_scratch(int32_t vocab)
{
    return vocab > 0 ? (size_t)vocab * sizeof(candidate) : 0;
}

int32_t tegu_sampler_pick(tegu_sampler *sampler, const float *logits,
                          int32_t vocab, void *scratch)
{
    int32_t best = greedy(logits, vocab);
    if (best < 0 || sampler->temperature == 0)
        return best;
    float largest = logits[best];
    candidate *items = scratch;
    int32_t count = collect(logits, vocab, items);
    bool all = sampler->top_k == 0 || sampler->top_k >= count;
    if (!all || sampler->top_p < 1)
        return pick_from_top(sampler, items, count, largest);
    double total = sum_weights(items, count, largest, sampler->temperature);
    return draw(sampler, items, 1, count, largest, total);
}
