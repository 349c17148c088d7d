/* SPDX-License-Identifier: Apache-2.0 */
/* Whole heads under prune-heads where one linear makes queries, keys and
 * values together (GPT-2's c_attn), with and without shared keys. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DIM = 24, HEADS = 4, SIZE = 6, WIDTH = HEADS * SIZE };

/* %s: the operands' linears, and extents that they share. */
static const char frame[] =
    "model heads\n"
    "axis dim = 24, heads = 4, kv_heads = %d, head_dim = 6\n"
    "axis vocab = 40, positions = 32\n"
    "axis T in 1..32\n"
    "weights random(seed = 4, std = 0.3)\n"
    "block layer(i, x: f32[T, dim]) from \"h.{i}.\" {\n"
    "  state keys: append f32[positions, kv_heads, head_dim]\n"
    "  state values: append f32[positions, kv_heads, head_dim]\n"
    "  let h = layer_norm(x, param \"ln.weight\" [dim], param \"ln.bias\" "
    "[dim])\n"
    "  let w = heads * head_dim\n"
    "  let n = kv_heads * head_dim\n"
    "%s"
    "  let a = attention(q, append(keys, k), append(values, v), position())\n"
    "  return x + linear(merge(a), param \"c_proj.weight\" [dim, heads * "
    "head_dim], param \"c_proj.bias\" [dim])\n"
    "}\n"
    "fn trunk(tokens: i32[T]) -> f32[T, dim] {\n"
    "  let y = repeat layer(0..2, embed(tokens, param \"wte\" [vocab, dim]))\n"
    "  return layer_norm(y, param \"ln_f\" [dim])\n"
    "}\n"
    "entry step(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
    "  return linear(trunk(tokens), param \"out\" [vocab, dim])\n}\n"
    "entry prompt(tokens: i32[T]) -> logits: f32[1, vocab] {\n"
    "  return linear(last(trunk(tokens)), param \"out\" [vocab, dim])\n}\n";

static const struct fused {
    const char *name;
    int kv_heads;
    const char *operands;
} fused[] = {
    {"queries, keys, values", HEADS,
     "  let qkv = linear(h, param \"c_attn.weight\" [3 * heads * head_dim, "
     "dim], param \"c_attn.bias\" [3 * heads * head_dim])\n"
     "  let q = split(qkv[.., 0..w], heads)\n"
     "  let k = split(qkv[.., w..2 * w], kv_heads)\n"
     "  let v = split(qkv[.., 2 * w..3 * w], kv_heads)\n"},
    {"shared keys behind a gap, turned", 2,
     "  let qkv = linear(h, param \"c_attn.weight\" [w + 2 * n + 3, dim])\n"
     "  let v = split(qkv[.., 0..n], kv_heads)\n"
     "  let q = rope(split(qkv[.., n..n + w], heads), position())\n"
     "  let k = rope(split(qkv[.., n + w + 3..], kv_heads), position())\n"},
    {"keys and values", 2,
     "  let q = split(linear(h, param \"q.weight\" [heads * head_dim, dim]), "
     "heads)\n"
     "  let kv = linear(h, param \"kv.weight\" [2 * kv_heads * head_dim, "
     "dim])\n"
     "  let k = split(kv[.., 0..n], kv_heads)\n"
     "  let v = split(kv[.., n..2 * n], kv_heads)\n"},
};

enum { FUSED = sizeof fused / sizeof *fused };

static bench bench_heads(int kv_heads, const char *operands)
{
    char text[4096];

    snprintf(text, sizeof text, frame, kv_heads, operands);
    return bench_language(text);
}

static bench bench_fused(int i)
{
    return bench_heads(fused[i].kv_heads, fused[i].operands);
}

static void keeping_all_heads_changes_nothing(void **state)
{
    static float before[BENCH_MOST], after[BENCH_MOST];

    (void)state;
    for (int i = 0; i < FUSED; i++) {
        bench b = bench_fused(i);
        int64_t n = bench_call(&b, "step", before);
        bench_must_reduce(&b, "prune-heads{keep=1}");
        bench_call(&b, "step", after);
        assert_memory_equal(before, after, (size_t)n * sizeof *before);
        assert_int_equal(b.report.sites.count, 2);
        assert_int_equal((int)bench_figure(&b, 1, "kept"), HEADS);
        bench_close(&b);
    }
}

/* The first row of whole's that is row 0 of part's; rows of DIM. */
static int64_t find_row(const float *whole, int64_t rows, const float *part)
{
    for (int64_t r = 0; r < rows; r++)
        if (!memcmp(whole + r * DIM, part, DIM * sizeof *part))
            return r;
    fail_msg("a row is none of the old ones");
    return 0;
}

static int64_t rows_of(const bench *b, const char *name)
{
    return tegu_unit_find_param(b->unit, name)->type->dims[0].offset;
}

/* Puts the repaired projection of the heads that stayed, [DIM, left], back to
 * where they were in the whole model, and 0 to the others: the whole model
 * then computes what the pruned one must. */
static void mask_heads(bench *whole, bench *pruned, int layer)
{
    const char *attn = tegu_format(whole->arena, "h.%d.c_attn.weight", layer);
    const char *proj = tegu_format(whole->arena, "h.%d.c_proj.weight", layer);
    const char *bias = tegu_format(whole->arena, "h.%d.c_proj.bias", layer);
    const float *rows = bench_numbers(whole, attn);
    const float *left = bench_numbers(pruned, attn);
    const float *repaired = bench_numbers(pruned, proj);
    int64_t all = rows_of(whole, attn), width = rows_of(pruned, attn) / 3;
    float *to = bench_numbers(whole, proj);

    memset(to, 0, DIM * WIDTH * sizeof *to);
    for (int64_t head = 0; head < width / SIZE; head++) {
        int64_t was = find_row(rows, all, left + head * SIZE * DIM);
        assert_int_equal(was % SIZE, 0);
        for (int64_t r = 0; r < DIM; r++)
            memcpy(to + r * WIDTH + was, repaired + r * width + head * SIZE,
                   SIZE * sizeof *to);
    }
    memcpy(bench_numbers(whole, bias), bench_numbers(pruned, bias),
           DIM * sizeof *to);
}

static void
pruned_heads_are_masked_heads_with_a_repaired_projection(void **state)
{
    static float masked[BENCH_MOST], pruned[BENCH_MOST];
    static const double keeps[] = {0.75, 0.5, 0.25};

    (void)state;
    for (size_t k = 0; k < sizeof keeps / sizeof *keeps; k++) {
        bench whole = bench_fused(0), b = bench_fused(0);
        bench_must_reduce(
            &b, tegu_format(b.arena, "prune-heads{keep=%g}", keeps[k]));
        assert_int_equal(rows_of(&b, "h.1.c_attn.weight"),
                         (int)(3 * WIDTH * keeps[k]));
        assert_int_equal(rows_of(&b, "h.1.c_attn.bias"),
                         (int)(3 * WIDTH * keeps[k]));
        for (int layer = 0; layer < 2; layer++)
            mask_heads(&whole, &b, layer);
        static const char *const entries[] = {"step", "prompt"};
        for (int e = 0; e < 2; e++) {
            int64_t n = bench_call(&whole, entries[e], masked);
            assert_int_equal(bench_call(&b, entries[e], pruned), n);
            double worst = bench_difference(masked, pruned, n);
            if (!(worst < 1e-5))
                fail_msg("keep %g: %s differs by %g", keeps[k], entries[e],
                         worst);
        }
        bench_close(&whole);
        bench_close(&b);
    }
}

/* Heads whose outputs nobody reads go, with their keys and values. */
static void unread_heads_go_from_joint_weights(void **state)
{
    static float before[BENCH_MOST], after[BENCH_MOST];

    (void)state;
    for (int i = 0; i < FUSED; i++) {
        bench b = bench_fused(i);
        for (int layer = 0; layer < 2; layer++) {
            float *to = bench_numbers(
                &b, tegu_format(b.arena, "h.%d.c_proj.weight", layer));
            for (int r = 0; r < DIM; r++)
                memset(to + r * WIDTH, 0, WIDTH / 2 * sizeof *to);
        }
        int64_t n = bench_call(&b, "step", before);
        bench_must_reduce(&b, "prune-heads{keep=0.5}");
        bench_call(&b, "step", after);
        double worst = bench_difference(before, after, n);
        double most = 0;
        for (int64_t k = 0; k < n; k++)
            most = fmax(most, fabs((double)before[k]));
        if (!(worst < 1e-3 * most &&
              bench_figure(&b, 0, "relative_error") < 1e-5))
            fail_msg("%s: differs by %g of %g", fused[i].name, worst, most);
        for (uint32_t s = 0; s < b.unit->states.count; s++)
            assert_int_equal(b.unit->states.data[s].type->dims[1].offset,
                             fused[i].kv_heads / 2);
        bench_must_reduce(&b, "slice{keep=0.5},-O2");
        bench_close(&b);
    }
}

/* --- refusals --- */

static const struct {
    const char *operands, *message;
} refusals[] = {
    {"  let qk = linear(h, param \"qk\" [2 * w, dim])\n"
     "  let q = split(qk[.., 0..w], heads)\n"
     "  let k = split(qk[.., 0..n], kv_heads)\n"
     "  let v = split(linear(h, param \"v\" [n, dim]), kv_heads)\n",
     "heads cannot be pruned: 'linear' makes several operands of the same "
     "rows"},
    {"  let qk = linear(h, param \"qk\" [2 * w, dim])\n"
     "  let q = split(qk[.., 0..w], heads) + split(qk[.., w..2 * w], heads)\n"
     "  let k = split(linear(h, param \"k\" [n, dim]), kv_heads)\n"
     "  let v = split(linear(h, param \"v\" [n, dim]), kv_heads)\n",
     "heads cannot be pruned: 'add' stands between a linear and the "
     "attention"},
    {"  let qk = linear(h, param \"qk\" [2 * w, dim])\n"
     "  let q = split(qk[.., 0..2 * w by 2], heads)\n"
     "  let k = split(linear(h, param \"k\" [n, dim]), kv_heads)\n"
     "  let v = split(linear(h, param \"v\" [n, dim]), kv_heads)\n",
     "heads cannot be pruned: 'slice' stands between a linear and the "
     "attention"},
    {"  let q = split(linear(h, param \"k\" [w, dim]), heads)\n"
     "  let k = split(linear(h, param \"v\" [n, dim]), kv_heads)\n"
     "  let v = split(linear(h, param \"v\" [n, dim]), kv_heads)\n",
     "heads cannot be pruned: 'linear' shares its weight with another"},
    {"  let low = param \"a\" [2, dim]\n"
     "  let q = split(linear(h, param \"q\" [w, dim] adapt lora(low, param "
     "\"b\" [w, 2])), heads)\n"
     "  let k = split(linear(h, param \"k\" [n, dim]), kv_heads)\n"
     "  let v = split(linear(h, param \"v\" [n, dim]), kv_heads)\n",
     "heads cannot be pruned: 'linear' has adapters; fold-adapters comes "
     "first"},
};

static void what_heads_cannot_be_pruned_of_is_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        bench b = bench_heads(HEADS, refusals[i].operands);
        uint32_t count;
        if (bench_reduce(&b, "prune-heads"))
            fail_msg("refusal %d: no message", (int)i);
        assert_true(tegu_diag_messages(b.diag, &count)[0].loc.line > 8);
        assert_message(&b, refusals[i].message);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeping_all_heads_changes_nothing),
        cmocka_unit_test(
            pruned_heads_are_masked_heads_with_a_repaired_projection),
        cmocka_unit_test(unread_heads_go_from_joint_weights),
        cmocka_unit_test(what_heads_cannot_be_pruned_of_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
