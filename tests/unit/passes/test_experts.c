/* SPDX-License-Identifier: Apache-2.0 */
/* Mixtures of experts under the passes on widths: experts' weights lie in
 * stacks of rank 3 that contractions read, whole or by the experts that tokens
 * chose. */
#include "bench.h"
#include "frontend/frontend.h"

#include <stdio.h>
#include <string.h>

/* --- models --- */

/* The head of all; norms with offsets, so that shifts must arrive too. */
static const char head[] =
    "model experts\n"
    "axis dim = 12, experts = 3, hidden = 10, vocab = 30\n"
    "axis T in 1..16\n"
    "weights random(seed = 8, std = 0.4)\n"
    "fn gates(x: f32[T, dim]) -> f32[T, experts] {\n"
    "  return softmax(linear(x, param \"router\" [experts, dim], param "
    "\"router_bias\" [experts]))\n}\n"
    "fn normed(x: f32[T, dim]) {\n"
    "  return layer_norm(x, param \"norm\" [dim], param \"norm_bias\" [dim])\n"
    "}\n"
    "fn hidden_of(x: f32[T, dim]) {\n"
    "  let up = contract(x, param \"up\" [experts, hidden, dim], a = [1], b = "
    "[2])\n"
    "  return gelu(up + param \"up_bias\" [experts, hidden])\n}\n"
    "fn logits_of(x: f32[T, dim]) {\n"
    "  return linear(normed(x), param \"out\" [vocab, dim])\n}\n"
    "entry step(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
    "  let x = embed(tokens, param \"in\" [vocab, dim])\n"
    "  let n = normed(x)\n"
    "  let g = gates(n)\n";

static const struct mixture {
    const char *name, *body;
} mixtures[] = {
    {"summed over experts",
     "  let h = hidden_of(n) * reshape(g, [T, experts, 1])\n"
     "  return logits_of(x + contract(h, param \"down\" [experts, dim, "
     "hidden], a = [1, 2], b = [0, 2]))\n"},
    {"along experts, then scaled and summed",
     "  let each = contract(hidden_of(n), param \"down\" [experts, dim, "
     "hidden], a = [2], b = [2], batch_a = [1], batch_b = [0])\n"
     "  let scaled = each * reshape(transpose(g, [1, 0]), [experts, T, 1])\n"
     "  return logits_of(x + sum(scaled, axis = 0))\n"},
    {"along experts, then mixed by a contraction",
     "  let each = contract(hidden_of(n), param \"down\" [experts, dim, "
     "hidden], a = [2], b = [2], batch_a = [1], batch_b = [0])\n"
     "  return logits_of(x + contract(each, g, a = [0], b = [1], batch_a = "
     "[1], batch_b = [0]))\n"},
    {"weights in other orders of axes",
     "  let up = contract(param \"up\" [dim, experts, hidden], n, a = [0], b = "
     "[1])\n"
     "  let h = gelu(transpose(up, [2, 0, 1]))\n"
     "  let each = contract(h, param \"down\" [hidden, experts, dim], a = "
     "[2], b = [0], batch_a = [1], batch_b = [1])\n"
     "  return logits_of(x + sum(each * reshape(transpose(g, [1, 0]), "
     "[experts, T, 1]), axis = 0))\n"},
    {"the one expert that a token chose",
     "  let best = argmax(g, axis = -1)\n"
     "  let up = contract(n, gather(param \"up\" [experts, hidden, dim], "
     "best), a = [1], b = [2], batch_a = [0], batch_b = [0])\n"
     "  let h = gelu(up + gather(param \"up_bias\" [experts, hidden], best))\n"
     "  let y = contract(h, gather(param \"down\" [experts, dim, hidden], "
     "best), a = [1], b = [2], batch_a = [0], batch_b = [0])\n"
     "  return logits_of(x + y + gather(param \"down_bias\" [experts, dim], "
     "best))\n"},
    {"square experts, read and written at once",
     "  let y = contract(n, param \"square\" [experts, dim, dim], a = [1], b = "
     "[2])\n"
     "  return logits_of(x + contract(y, g, a = [1], b = [1], batch_a = [0], "
     "batch_b = [0]))\n"},
    {"rows mixed over tokens",
     "  let near = softmax(cast(iota([T, T], axis = 0) - iota([T, T], axis = "
     "1), f32)"
     ")\n"
     "  return logits_of(x + contract(near, n, a = [1], b = [0]))\n"},
    {"rows scaled and summed behind a norm",
     "  let masked = n * cast(reshape(iota(T) % 2, [T, 1]), f32)\n"
     "  let all = sum(n, axis = 0)\n"
     "  let w = param \"out2\" [vocab, dim]\n"
     "  return logits_of(x + masked) + linear(masked, w) + linear(all, w)\n"},
};

enum { MIXTURES = sizeof mixtures / sizeof *mixtures };

static bench bench_mixture(const struct mixture *m)
{
    char text[4096];

    snprintf(text, sizeof text, "%s%s}\n", head, m->body);
    return bench_language(text);
}

/* The example, with its rotary attention around the experts. */
static bench bench_example(void)
{
    bench b = bench_open();
    tegu_define defines[] = {{"dim", "16"},
                             {"heads", "2"},
                             {"hidden", "12"},
                             {"vocab", "40"},
                             {"context", "16"}};
    tegu_load_options options = {.defines = defines, .define_count = 5};

    b.unit = tegu_load(b.arena, b.diag, "examples/models/moe.tegu", &options);
    if (!b.unit)
        tegu_diag_render(b.diag, stderr, false);
    assert_non_null(b.unit);
    return b;
}

static bench bench_any(int i)
{
    return i < MIXTURES ? bench_mixture(&mixtures[i]) : bench_example();
}

static const char *name_any(int i)
{
    return i < MIXTURES ? mixtures[i].name : "the example";
}

/* --- the residual width --- */

static void rotations_change_no_logit_of_a_mixture(void **state)
{
    static const char *const pipelines[] = {
        "rotate{provider=random}", "rotate{provider=random,basis=shared}",
        "rotate{provider=random,seed=9},rotate{provider=random,seed=10}",
        "dotresize{keep=1}", "rotate"};
    static float before[BENCH_MOST], after[BENCH_MOST];

    (void)state;
    for (int i = 0; i <= MIXTURES; i++)
        for (size_t k = 0; k < sizeof pipelines / sizeof *pipelines; k++) {
            bench b = bench_any(i);
            int64_t n = bench_call(&b, "step", before);
            bench_must_reduce(&b, pipelines[k]);
            assert_int_equal(bench_call(&b, "step", after), n);
            double worst = bench_difference(before, after, n);
            if (!(worst < 2e-4))
                fail_msg("%s: %s differs by %g", name_any(i), pipelines[k],
                         worst);
            bench_close(&b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotations_change_no_logit_of_a_mixture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
