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
    {"turned, and stored in another order",
     "  let up = contract(n, param \"up\" [dim, experts, hidden], a = [1], b = "
     "[0])\n"
     "  let each = contract(transpose(gelu(up), [1, 0, 2]), param \"down\" "
     "[hidden, experts, dim], a = [2], b = [0], batch_a = [0], batch_b = "
     "[1])\n"
     "  return logits_of(x + sum(each * reshape(transpose(g, [1, 0]), "
     "[experts, T, 1]), axis = 0))\n"},
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
    {"matrices that contractions read",
     "  let h = relu(matmul(n, param \"up\" [dim, hidden]))\n"
     "  return logits_of(x + matmul(h, param \"down\" [hidden, dim]))\n"},
    {"experts with a parameter each",
     "  let a = linear(silu(linear(n, param \"up.0\" [hidden, dim])), param "
     "\"down.0\" [dim, hidden])\n"
     "  let b = linear(silu(linear(n, param \"up.1\" [hidden, dim])), param "
     "\"down.1\" [dim, hidden])\n"
     "  return logits_of(x + (a * g[.., 0..1] + b * g[.., 1..2]))\n"},
    {"rows scaled and summed behind a norm",
     "  let masked = n * cast(reshape(iota(T) % 2, [T, 1]), f32)\n"
     "  let all = sum(n, axis = 0)\n"
     "  let w = param \"out2\" [vocab, dim]\n"
     "  return logits_of(x + masked) + linear(masked, w) + linear(all, w)\n"},
    /* The same twice: TOP_TWO and the next. */
    {"the best two of all",
     "  let one = max(g, axis = -1, keep = true)\n"
     "  let two = max(where(g < one, g, 0.0), axis = -1, keep = true)\n"
     "  let best = where(g >= two, g, 0.0)\n"
     "  let h = hidden_of(n) * reshape(best, [T, experts, 1])\n"
     "  return logits_of(x + contract(h, param \"down\" [experts, dim, "
     "hidden], a = [1, 2], b = [0, 2]))\n"},
    {"the two that a token chose",
     "  let one = max(g, axis = -1, keep = true)\n"
     "  let rest = where(g < one, g, 0.0)\n"
     "  let two = max(rest, axis = -1, keep = true)\n"
     "  let best = concat(reshape(argmax(g, axis = -1), [T, 1]), "
     "reshape(argmax(rest, axis = -1), [T, 1]), axis = 1)\n"
     "  let up = contract(n, gather(param \"up\" [experts, hidden, dim], "
     "best), a = [1], b = [3], batch_a = [0], batch_b = [0])\n"
     "  let h = gelu(up + gather(param \"up_bias\" [experts, hidden], best))\n"
     "  let each = contract(h, gather(param \"down\" [experts, dim, hidden], "
     "best), a = [2], b = [3], batch_a = [0, 1], batch_b = [0, 1])\n"
     "  let taken = reshape(concat(one, two, axis = 1), [T, 2, 1])\n"
     "  return logits_of(x + sum(each * taken, axis = 1))\n"},
};

enum { MIXTURES = sizeof mixtures / sizeof *mixtures, TOP_TWO = MIXTURES - 2 };

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
        "rotate{provider=random}",
        "rotate{provider=random,basis=shared}",
        "rotate{provider=random,seed=9},rotate{provider=random,seed=10}",
        "dotresize{keep=1}",
        "canonicalise,cse,rotate{provider=random}",
        "rotate"};
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

/* Two entries that read different parts of one stack at the same place of
 * their graphs. */
static void parts_of_a_stack_stay_apart(void **state)
{
    static const char text[] =
        "model parts\n"
        "axis dim = 6, vocab = 30\n"
        "axis T in 1..16\n"
        "weights random(seed = 2, std = 0.4)\n"
        "param stack: f32[2, vocab, dim] = \"stack\"\n"
        "fn stream(tokens: i32[T]) {\n"
        "  return embed(tokens, param \"in\" [vocab, dim])\n}\n"
        "entry step(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
        "  return linear(stream(tokens), stack[0])\n}\n"
        "entry other(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
        "  return linear(stream(tokens), stack[1])\n}\n";
    static const char *const entries[] = {"step", "other"};
    static float before[2][BENCH_MOST], after[BENCH_MOST];
    bench b = bench_language(text);
    int64_t n = 0;

    (void)state;
    for (int e = 0; e < 2; e++)
        n = bench_call(&b, entries[e], before[e]);
    bench_must_reduce(&b, "rotate{provider=random}");
    for (int e = 0; e < 2; e++) {
        bench_call(&b, entries[e], after);
        assert_true(bench_difference(before[e], after, n) < 2e-4);
    }
    bench_close(&b);
}

/* The sites are named by what writes there, and the stacks have the width. */
static void reduced_mixtures_keep_their_names_and_compile(void **state)
{
    static const char *const pipelines[] = {
        "slice{keep=0.5}", "dotresize{keep=0.5}", "prune-width{keep=0.5}",
        "slice{keep=0.5,basis=per-site}"};

    (void)state;
    for (size_t k = 0; k < sizeof pipelines / sizeof *pipelines; k++)
        for (int i = 0; i <= MIXTURES; i++) {
            bench b = bench_any(i);
            static float logits[BENCH_MOST];
            bench_must_reduce(&b, pipelines[k]);
            int64_t n = bench_call(&b, "step", logits);
            for (int64_t at = 0; at < n; at++)
                assert_true(logits[at] - logits[at] == 0);
            bench_must_reduce(&b, "-O2");
            bench_close(&b);
        }
    bench b = bench_example();
    bench_must_reduce(&b, "slice{keep=0.5}");
    const tegu_type *up =
        tegu_unit_find_param(b.unit, "model.layers.1.experts.up_proj.weight")
            ->type;
    const tegu_type *down =
        tegu_unit_find_param(b.unit, "model.layers.1.experts.down_proj.weight")
            ->type;
    assert_int_equal(up->dims[2].offset, 8);
    assert_int_equal(down->dims[1].offset, 8);
    assert_int_equal(b.report.sites.count, 5);
    assert_string_equal(b.report.sites.data[2].site,
                        "model.layers.0.experts.down_proj.weight");
    bench_close(&b);
}

/* A written value goes through gates and sums to the residual sum's basis, so
 * that mixtures cost no skip of their own. */
static void experts_are_written_in_the_basis_of_their_sum(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        bench b = bench_mixture(&mixtures[i]);
        uint32_t linears = count_ops(bench_graph(&b), TEGU_OP_LINEAR);
        bench_must_reduce(&b, "slice{keep=0.5,basis=per-site}");
        assert_int_equal(count_ops(bench_graph(&b), TEGU_OP_LINEAR),
                         linears + 1);
        assert_int_equal(b.report.sites.count, 2);
        bench_close(&b);
    }
}

/* --- hidden layers of experts --- */

enum { EXPERTS = 3, HIDDEN = 10, DIM = 12, PLAIN = 4 };

/* Element `to` of expert e becomes a copy of `from`. */
static void copy_element(bench *b, bool turned, int e, int to, int from)
{
    float *up = bench_numbers(b, "up");
    int stride = turned ? EXPERTS * HIDDEN : 1;

    for (int d = 0; d < DIM; d++) {
        float *row =
            turned ? up + e * HIDDEN + d * stride : up + e * HIDDEN * DIM + d;
        row[turned ? to : to * DIM] = row[turned ? from : from * DIM];
    }
    if (!turned) {
        float *bias = bench_numbers(b, "up_bias");
        bias[e * HIDDEN + to] = bias[e * HIDDEN + from];
    }
}

/* Each expert has its own duplicates; all lose as many elements. */
static void duplicates_of_each_expert_merge_without_loss(void **state)
{
    static float before[BENCH_MOST], after[BENCH_MOST];

    (void)state;
    for (int i = 0; i < PLAIN; i++) {
        bench b = bench_mixture(&mixtures[i]);
        copy_element(&b, i == 3, 0, 7, 2);
        copy_element(&b, i == 3, 1, 0, 9);
        copy_element(&b, i == 3, 2, 4, 5);
        int64_t n = bench_call(&b, "step", before);
        bench_must_reduce(&b, "reduce-hidden{keep=0.9}");
        bench_call(&b, "step", after);
        double worst = bench_difference(before, after, n);
        if (!(worst < 5e-3 && bench_figure(&b, 0, "relative_error") < 1e-5))
            fail_msg("%s: %g, error %g", mixtures[i].name, worst,
                     bench_figure(&b, 0, "relative_error"));
        assert_int_equal((int)bench_figure(&b, 0, "experts"), EXPERTS);
        assert_int_equal((int)bench_figure(&b, 0, "kept"), HIDDEN - 1);
        bench_must_reduce(&b, "-O2");
        bench_close(&b);
    }
}

static void experts_keep_different_elements(void **state)
{
    (void)state;
    bench b = bench_mixture(&mixtures[0]);
    float *down = bench_numbers(&b, "down");
    const float *up = bench_numbers(&b, "up");
    for (int e = 0; e < EXPERTS; e++)
        for (int d = 0; d < DIM; d++)
            down[(e * DIM + d) * HIDDEN + 2 * e] = 0; /* nobody reads it */
    bench_must_reduce(&b, "reduce-hidden{keep=0.9,method=select}");
    const float *left = bench_numbers(&b, "up");
    for (int e = 0; e < EXPERTS; e++)
        for (int k = 0; k < HIDDEN - 1; k++)
            assert_memory_equal(left + (e * (HIDDEN - 1) + k) * DIM,
                                up + (e * HIDDEN + k + (k >= 2 * e)) * DIM,
                                DIM * sizeof *up);
    assert_true(bench_figure(&b, 0, "worst_expert") < 1e-4);
    bench_close(&b);
}

/* Where the gate stands changes no choice: what an expert reads counts by how
 * much of what it makes is taken. */
static void statistics_are_weighted_by_the_gate(void **state)
{
    static const char *const pipelines[] = {
        "reduce-hidden{keep=0.5}", "reduce-hidden{keep=0.5,method=select}",
        "reduce-hidden{keep=0.5,method=merge}",
        "reduce-hidden{keep=0.5,sequential=true}",
        "dotresize{axis=hidden,keep=0.5,round=1}"};
    static float first[BENCH_MOST], logits[BENCH_MOST];

    (void)state;
    for (size_t k = 0; k < sizeof pipelines / sizeof *pipelines; k++)
        for (int i = 0; i < 3; i++) {
            bench b = bench_mixture(&mixtures[i]);
            bench_must_reduce(&b, pipelines[k]);
            int64_t n = bench_call(&b, "step", i ? logits : first);
            double worst = i ? bench_difference(first, logits, n) : 0;
            if (!(worst < 1e-4))
                fail_msg("%s: %s differs by %g", pipelines[k], mixtures[i].name,
                         worst);
            bench_close(&b);
        }
}

/* Experts that tokens choose see the rows that they would count in if all were
 * computed. */
static void chosen_experts_are_reduced_like_gated_ones(void **state)
{
    static const char *const pipelines[] = {
        "reduce-hidden{keep=1}", "reduce-hidden{keep=0.5}",
        "reduce-hidden{keep=0.5,method=select,sequential=true}"};
    static float all[BENCH_MOST], chosen[BENCH_MOST];

    (void)state;
    for (size_t k = 0; k < sizeof pipelines / sizeof *pipelines; k++) {
        bench a = bench_mixture(&mixtures[TOP_TWO]);
        bench b = bench_mixture(&mixtures[TOP_TWO + 1]);
        bench_must_reduce(&a, pipelines[k]);
        bench_must_reduce(&b, pipelines[k]);
        int64_t n = bench_call(&a, "step", all);
        bench_call(&b, "step", chosen);
        double worst = bench_difference(all, chosen, n);
        if (!(worst < 1e-4))
            fail_msg("%s: they differ by %g", pipelines[k], worst);
        assert_int_equal((int)bench_figure(&b, 0, "experts"), EXPERTS);
        bench_close(&a);
        bench_close(&b);
    }
}

/* Calibration text says nothing of an expert that it never uses: what stays of
 * that one stays as it is. */
static void unused_experts_keep_their_weights(void **state)
{
    (void)state;
    bench b = bench_mixture(&mixtures[TOP_TWO + 1]);
    float *bias = bench_numbers(&b, "router_bias");
    const float *up = bench_numbers(&b, "up");
    const float *down = bench_numbers(&b, "down");
    enum { UNUSED = 1, LEFT = HIDDEN / 2 };
    bias[UNUSED] = -100;
    bench_must_reduce(&b, "reduce-hidden{keep=0.5}");
    const float *rows = bench_numbers(&b, "up") + UNUSED * LEFT * DIM;
    const float *columns = bench_numbers(&b, "down") + UNUSED * DIM * LEFT;
    for (int k = 0; k < LEFT; k++) {
        int was = 0;
        while (was < HIDDEN && memcmp(up + (UNUSED * HIDDEN + was) * DIM,
                                      rows + k * DIM, DIM * sizeof *up) != 0)
            was++;
        assert_in_range(was, 0, HIDDEN - 1);
        for (int d = 0; d < DIM; d++)
            assert_true(columns[d * LEFT + k] ==
                        down[(UNUSED * DIM + d) * HIDDEN + was]);
    }
    bench_close(&b);
}

/* Least squares per expert: no other map over the same elements is nearer. */
static void obs_loses_less_than_selection_on_every_stack(void **state)
{
    (void)state;
    for (int i = 0; i < PLAIN; i++) {
        double obs, some;
        bench b = bench_mixture(&mixtures[i]);
        bench_must_reduce(&b, "reduce-hidden{keep=0.5}");
        obs = bench_figure(&b, 0, "relative_error");
        assert_true(bench_figure(&b, 0, "worst_expert") >= obs);
        bench_close(&b);
        b = bench_mixture(&mixtures[i]);
        bench_must_reduce(&b, "reduce-hidden{keep=0.5,method=merge}");
        some = bench_figure(&b, 0, "relative_error");
        assert_true(obs > 0 && obs < some);
        bench_close(&b);
    }
}

static void a_contraction_without_experts_is_a_hidden_layer(void **state)
{
    (void)state;
    static float before[BENCH_MOST], after[BENCH_MOST];
    bench b = bench_mixture(&(struct mixture){
        "", "  let h = silu(matmul(n, param \"up\" [dim, hidden]))\n"
            "  return logits_of(x + matmul(h, param \"down\" [hidden, dim]) * "
            "g[.., 0..1])\n"});
    int64_t n = bench_call(&b, "step", before);
    bench_must_reduce(&b, "reduce-hidden{keep=1}");
    bench_call(&b, "step", after);
    double worst = bench_difference(before, after, n);
    if (!(worst < 1e-4))
        fail_msg("differs by %g", worst);
    bench_must_reduce(&b, "reduce-hidden{keep=0.5}");
    assert_int_equal(tegu_unit_find_param(b.unit, "down")->type->dims[0].offset,
                     5);
    assert_int_equal(tegu_unit_find_param(b.unit, "up")->type->dims[1].offset,
                     5);
    bench_close(&b);
}

/* --- refusals --- */

static const struct refusal {
    const char *body, *pipeline, *message;
} refusals[] = {
    {"  let y = contract(n, n, a = [1], b = [1])\n"
     "  return logits_of(x) + sum(y)\n",
     "slice", "'contract' needs axis 'dim' as it is"},
    {"  let w = reshape(gates(n), [T, experts, 1]) * param \"w\" [dim]\n"
     "  return logits_of(x + contract(n, w, a = [1], b = [2], batch_a = [0], "
     "batch_b = [0])[.., 0..1] * n)\n",
     "slice", "'contract' needs axis 'dim' as it is"},
    {"  let best = argmax(g, axis = -1)\n"
     "  let worst = argmax(-g, axis = -1)\n"
     "  let h = gelu(contract(n, gather(param \"up\" [experts, hidden, dim], "
     "worst), a = [1], b = [2], batch_a = [0], batch_b = [0]))\n"
     "  return logits_of(x + contract(h, gather(param \"down\" [experts, dim, "
     "hidden], best), a = [1], b = [2], batch_a = [0], batch_b = [0]))\n",
     "reduce-hidden",
     "axis 'hidden' cannot be cut: 'contract' takes the weights of other "
     "experts than its reader does"},
    {"  let best = argmax(g, axis = -1)\n"
     "  let down = param \"down\" [experts, dim, hidden]\n"
     "  let h = gelu(contract(n, gather(param \"up\" [experts, hidden, dim], "
     "best), a = [1], b = [2], batch_a = [0], batch_b = [0]))\n"
     "  let all = contract(h, gather(down, best), a = [1], b = [2])\n"
     "  return logits_of(x + sum(all, axis = 1))\n",
     "reduce-hidden",
     "axis 'hidden' cannot be cut: 'contract' does not run along the rows that "
     "chose experts"},
    {"  let best = argmax(g, axis = -1)\n"
     "  let h = gelu(linear(n, param \"up\" [hidden, dim]))\n"
     "  return logits_of(x + contract(h, gather(param \"down\" [experts, dim, "
     "hidden], best), a = [1], b = [2], batch_a = [0], batch_b = [0]))\n",
     "reduce-hidden",
     "axis 'hidden' cannot be cut: 'linear' gives all experts the same"},
    {"  let h = gelu(linear(n, param \"up\" [hidden, dim]))\n"
     "  let all = reshape(h, [T, 1, hidden]) * reshape(g, [T, experts, 1])\n"
     "  return logits_of(x + contract(all, param \"down\" [experts, dim, "
     "hidden], a = [1, 2], b = [0, 2]))\n",
     "reduce-hidden", "axis 'hidden' cannot be cut: 'reshape' is not"},
    {"  let h = relu(hidden_of(n) * param \"scale\" [hidden])\n"
     "  return logits_of(x + contract(h, param \"down\" [experts, dim, "
     "hidden], a = [1, 2], b = [0, 2]))\n",
     "reduce-hidden",
     "axis 'hidden' cannot be cut: 'mul' gives all experts the same elements"},
    {"  let h = gelu(contract(reshape(g, [T, experts, 1]), param \"up\" "
     "[hidden, 1], a = [2], b = [1]))\n"
     "  return logits_of(x + contract(h, param \"down\" [experts, dim, "
     "hidden], a = [1, 2], b = [0, 2]))\n",
     "reduce-hidden",
     "axis 'hidden' cannot be cut: 'contract' gives all experts the same "
     "elements"},
    {"  let h = gelu(linear(reshape(g, [T, experts, 1]), param \"up\" "
     "[hidden, 1]))\n"
     "  return logits_of(x + contract(h, param \"down\" [experts, dim, "
     "hidden], a = [1, 2], b = [0, 2]))\n",
     "reduce-hidden",
     "axis 'hidden' cannot be cut: 'linear' gives all experts the same"},
    {"  let up = contract(param \"up\" [hidden, dim], n, a = [1], b = [1])\n"
     "  return logits_of(x + contract(gelu(up), param \"down\" [hidden, dim], "
     "a = [0], b = [0]))\n",
     "reduce-hidden",
     "axis 'hidden' cannot be cut: 'contract' sums over it where it is not the "
     "last axis"},
};

/* Linears around them are factored; stacks that a target names as well stay. */
static void low_rank_leaves_stacks_alone(void **state)
{
    (void)state;
    bench b = bench_example();
    bench_must_reduce(&b, "low-rank{targets=layers.0,keep=0.5}");
    assert_int_equal(b.report.sites.count, 5); /* q, k, v, o, router */
    assert_int_equal(
        tegu_unit_find_param(b.unit, "model.layers.0.experts.up_proj.weight")
            ->type->rank,
        3);
    assert_false(bench_reduce(&b, "low-rank{targets=up_proj}"));
    assert_message(&b, "'model.layers.0.experts.up_proj.weight' is read by "
                       "'contract', and only linears' weights are factored; "
                       "reduce-hidden makes experts narrower");
    bench_close(&b);
}

/* Sizes of other sites meet a budget; stacks keep their width. */
static void budgets_leave_stacks_alone(void **state)
{
    (void)state;
    bench b = bench_example();
    double before = tegu_unit_parameters(b.unit);
    bench_must_reduce(&b, "budget{params=0.9}");
    assert_true(tegu_unit_parameters(b.unit) <= 0.9 * before);
    assert_int_equal(
        tegu_unit_find_param(b.unit, "model.layers.0.experts.up_proj.weight")
            ->type->dims[1]
            .offset,
        12);
    bench_close(&b);
}

static void what_stacks_cannot_do_is_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct mixture m = {"", refusals[i].body};
        bench b = bench_mixture(&m);
        uint32_t count;
        if (bench_reduce(&b, refusals[i].pipeline))
            fail_msg("refusal %d: no message", (int)i);
        assert_true(tegu_diag_messages(b.diag, &count)[0].loc.line >= 17);
        assert_message(&b, refusals[i].message);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotations_change_no_logit_of_a_mixture),
        cmocka_unit_test(parts_of_a_stack_stay_apart),
        cmocka_unit_test(reduced_mixtures_keep_their_names_and_compile),
        cmocka_unit_test(experts_are_written_in_the_basis_of_their_sum),
        cmocka_unit_test(duplicates_of_each_expert_merge_without_loss),
        cmocka_unit_test(experts_keep_different_elements),
        cmocka_unit_test(statistics_are_weighted_by_the_gate),
        cmocka_unit_test(chosen_experts_are_reduced_like_gated_ones),
        cmocka_unit_test(unused_experts_keep_their_weights),
        cmocka_unit_test(obs_loses_less_than_selection_on_every_stack),
        cmocka_unit_test(a_contraction_without_experts_is_a_hidden_layer),
        cmocka_unit_test(low_rank_leaves_stacks_alone),
        cmocka_unit_test(budgets_leave_stacks_alone),
        cmocka_unit_test(what_stacks_cannot_do_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
