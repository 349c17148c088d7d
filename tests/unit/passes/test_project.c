/* SPDX-License-Identifier: Apache-2.0 */
/* The change of basis of a named axis: what it must leave as it was, what it
 * must refuse, and what each provider must find on planted data. */
#include "bench.h"
#include "passes/provider.h"
#include "passes/sinkhorn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- models --- */

static const char gpt2[] =
    "model gpt\n"
    "axis dim = 24, heads = 4, head_dim = dim / heads, hidden = 40\n"
    "axis vocab = 50, positions = 32\n"
    "axis T in 1..32\n"
    "weights random(seed = 5, std = 0.2)\n"
    "block layer(i, x: f32[T, dim]) from \"h.{i}.\" {\n"
    "  state keys: append f32[positions, heads, head_dim]\n"
    "  state values: append f32[positions, heads, head_dim]\n"
    "  let h = layer_norm(x, param \"ln_1.weight\" [dim], param \"ln_1.bias\" "
    "[dim])\n"
    "  let qkv = linear(h, param \"c_attn.weight\" [3 * heads * head_dim, "
    "dim], param \"c_attn.bias\" [3 * heads * head_dim])\n"
    "  let w = heads * head_dim\n"
    "  let q = split(qkv[.., 0..w], heads)\n"
    "  let k = split(qkv[.., w..2 * w], heads)\n"
    "  let v = split(qkv[.., 2 * w..3 * w], heads)\n"
    "  let a = attention(q, append(keys, k), append(values, v), position())\n"
    "  let y = x + linear(merge(a), param \"c_proj.weight\" [dim, heads * "
    "head_dim], param \"c_proj.bias\" [dim])\n"
    "  let g = layer_norm(y, param \"ln_2.weight\" [dim], param \"ln_2.bias\" "
    "[dim])\n"
    "  let m = gelu_tanh(linear(g, param \"fc.weight\" [hidden, dim], param "
    "\"fc.bias\" [hidden]))\n"
    "  return y + linear(m, param \"proj.weight\" [dim, hidden], param "
    "\"proj.bias\" [dim])\n"
    "}\n"
    "fn trunk(tokens: i32[T]) -> f32[T, dim] {\n"
    "  let x = embed(tokens, param \"wte.weight\" [vocab, dim])\n"
    "  let p = embed(position() + iota(T), param \"wpe.weight\" [positions, "
    "dim])\n"
    "  let y = repeat layer(0..2, x + p)\n"
    "  return layer_norm(y, param \"ln_f.weight\" [dim], param \"ln_f.bias\" "
    "[dim])\n"
    "}\n"
    "entry step(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
    "  return linear(trunk(tokens), param \"wte.weight\" [vocab, dim])\n}\n"
    "entry prompt(tokens: i32[T]) -> logits: f32[1, vocab] {\n"
    "  return linear(last(trunk(tokens)), param \"wte.weight\" [vocab, dim])\n"
    "}\n";

/* Residual blocks without norms; the stream is a result too. */
static const char residual_mlp[] =
    "model mlp\n"
    "axis dim = 12, hidden = 20, classes = 5, vocab = 30\n"
    "axis T in 1..32\n"
    "weights random(seed = 6, std = 0.3)\n"
    "entry step(tokens: i32[T]) -> logits: f32[T, classes] {\n"
    "  let x = embed(tokens, param \"in\" [vocab, dim]) * 2.0\n"
    "  let y = linear(relu(linear(x, param \"a\" [hidden, dim], param \"ab\" "
    "[hidden])), param \"b\" [dim, hidden]) + param \"bb\" [dim]\n"
    "  let z = x - y * param \"layer_scale\" [dim]\n"
    "  return linear(z, param \"out\" [classes, dim])\n}\n"
    "entry inner(tokens: i32[T]) -> stream: f32[T, dim] {\n"
    "  return embed(tokens, param \"in\" [vocab, dim])\n}\n";

/* Norms after the sums, a square projection that is split into heads, and
 * adapters on both sides. */
static const char adapted[] =
    "model adapted\n"
    "axis dim = 16, heads = 4, hidden = 20, vocab = 30\n"
    "axis r = 3\n"
    "axis T in 1..32\n"
    "weights random(seed = 7, std = 0.3)\n"
    "entry step(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
    "  let x = embed(tokens, param \"in\" [vocab, dim])\n"
    "  let q = split(linear(x, param \"q\" [dim, dim] adapt singlora(param "
    "\"qa\" [dim, r], alpha = 2)), heads)\n"
    "  let a = attention(q, q, q, 0)\n"
    "  let o = linear(merge(a), param \"o\" [dim, dim] adapt lora(param "
    "\"oa\" [r, dim], param \"ob\" [dim, r], alpha = 5))\n"
    "  let y = rms_norm(x + o, param \"n\" [dim])\n"
    "  let m = linear(relu(linear(y, param \"u\" [hidden, dim] adapt dora("
    "param \"ua\" [r, dim], param \"ub\" [hidden, r], param \"um\" [hidden], "
    "alpha = 3))), param \"d\" [dim, hidden] adapt singlora(param \"da\" "
    "[hidden, r], alpha = 2))\n"
    "  let z = rms_norm(y + m, param \"n2\" [dim])\n"
    "  return linear(z, param \"out\" [vocab, dim])\n}\n";

static bench bench_random_llama(void)
{
    bench b = bench_llama("2");

    bench_randomise(&b, 0.3);
    return b;
}

/* --- invariance --- */

static bench open_llama(const char *text)
{
    (void)text;
    return bench_random_llama();
}

static const struct invariant {
    bench (*open)(const char *text);
    const char *text;
    const char *entries[2];
} invariants[] = {
    {open_llama, NULL, {"step", "prompt"}},
    {bench_language, gpt2, {"step", "prompt"}},
    {bench_language, residual_mlp, {"step", "inner"}},
    {bench_language, adapted, {"step", NULL}},
};

static void check_invariant(const struct invariant *c, const char *pipeline)
{
    static float before[2][BENCH_MOST], after[BENCH_MOST];
    bench b = c->open(c->text);
    int64_t n[2] = {0};

    for (int e = 0; e < 2 && c->entries[e]; e++)
        n[e] = bench_call(&b, c->entries[e], before[e]);
    bench_must_reduce(&b, pipeline);
    for (int e = 0; e < 2 && c->entries[e]; e++) {
        assert_int_equal(bench_call(&b, c->entries[e], after), n[e]);
        double worst = bench_difference(before[e], after, n[e]);
        if (!(worst < 5e-5))
            fail_msg("%s: %s of %s differs by %g", pipeline, c->entries[e],
                     b.unit->name, worst);
    }
    bench_close(&b);
}

static void another_basis_of_full_width_changes_no_result(void **state)
{
    static const char *const pipelines[] = {
        "rotate{provider=random}",
        "rotate{provider=random,basis=shared}",
        "rotate{provider=random,seed=9},rotate{provider=random,seed=10}",
        "dotresize{keep=1,provider=random,basis=per-site}",
        "rotate",
        "dotresize{keep=1}",
        "fold-adapters,rotate{provider=random}"};

    (void)state;
    for (size_t i = 0; i < sizeof invariants / sizeof *invariants; i++)
        for (size_t k = 0; k < sizeof pipelines / sizeof *pipelines; k++)
            check_invariant(&invariants[i], pipelines[k]);
}

static void projected_models_compile_down_like_others(void **state)
{
    (void)state;
    bench b = bench_random_llama();
    bench_must_reduce(&b, "slice{keep=0.6,basis=per-site}");
    bench_run(&b, "-O2");
    bench_close(&b);
    b = bench_language(gpt2);
    bench_must_reduce(&b, "dotresize{keep=0.6}");
    bench_run(&b, "-O2");
    bench_close(&b);
}

/* --- what the reduced model looks like --- */

static void a_shared_basis_adds_no_matrix_and_keeps_the_names(void **state)
{
    (void)state;
    bench b = bench_random_llama();
    uint32_t linears = count_ops(bench_graph(&b), TEGU_OP_LINEAR);
    bench_must_reduce(&b, "slice{keep=0.5}");
    tegu_graph *g = bench_graph(&b);
    tegu_axis_id reduced = tegu_unit_find_axis(b.unit, "dim_r");

    assert_int_equal(count_ops(g, TEGU_OP_LINEAR), linears);
    assert_true(reduced);
    assert_int_equal(b.unit->axes.data[reduced].hi, 16);
    const tegu_type *down =
        tegu_unit_find_param(b.unit, "model.layers.1.mlp.down_proj.weight")
            ->type;
    assert_int_equal(down->dims[0].offset, 16);
    assert_int_equal(down->dims[1].offset, 48);
    for (tegu_value v = 1; v < g->nodes.count; v++)
        if (tegu_graph_node(g, v)->op == TEGU_OP_RMS_NORM)
            assert_int_equal(tegu_node_int(tegu_graph_node(g, v), "extent"),
                             32);
    assert_int_equal(b.report.sites.count, 5);
    bench_close(&b);
}

static void a_basis_per_site_adds_a_skip_per_residual_sum(void **state)
{
    (void)state;
    bench b = bench_random_llama();
    uint32_t linears = count_ops(bench_graph(&b), TEGU_OP_LINEAR);
    bench_must_reduce(&b, "slice{keep=0.5,basis=per-site}");
    assert_int_equal(count_ops(bench_graph(&b), TEGU_OP_LINEAR), linears + 4);
    assert_non_null(
        tegu_unit_find_param(b.unit, "model.layers.1.mlp.down_proj.skip"));
    bench_close(&b);
}

static void a_tied_head_is_untied(void **state)
{
    (void)state;
    bench b = bench_language(gpt2);
    bench_must_reduce(&b, "slice{keep=0.5}");
    const tegu_param *one = tegu_unit_find_param(b.unit, "wte.weight");
    const tegu_param *two = tegu_unit_find_param(b.unit, "wte.weight.2");
    assert_non_null(two);
    assert_true(one->data != two->data);
    assert_int_equal(one->type->dims[1].offset, 12);
    assert_int_equal(two->type->dims[1].offset, 12);
    bench_close(&b);
}

static void adapters_are_projected_with_their_weights(void **state)
{
    (void)state;
    bench b = bench_language(adapted);
    bench_must_reduce(&b, "slice{keep=0.5}");
    const tegu_graph *g = bench_graph(&b);
    assert_int_equal(count_ops(g, TEGU_OP_LORA), 3);
    assert_int_equal(count_ops(g, TEGU_OP_SINGLORA), 0);
    assert_int_equal(count_ops(g, TEGU_OP_DORA), 0);
    bench_close(&b);
}

static void entries_stay_one_model(void **state)
{
    static float all[BENCH_MOST], last[BENCH_MOST];
    static const char *const pipelines[] = {"slice{keep=0.5}",
                                            "dotresize{keep=0.4,cost=l1}",
                                            "prune-width{basis=per-site}"};

    (void)state;
    for (size_t i = 0; i < sizeof pipelines / sizeof *pipelines; i++) {
        bench b = bench_language(gpt2);
        bench_must_reduce(&b, pipelines[i]);
        int64_t n = bench_call(&b, "step", all),
                one = bench_call(&b, "prompt", last);
        assert_true(bench_difference(all + n - one, last, one) < 1e-5);
        bench_close(&b);
    }
}

/* The first site has no cut before it; a basis of full width has no error. */
static void errors_are_predicted_and_measured(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof invariants / sizeof *invariants; i++) {
        bench b = invariants[i].open(invariants[i].text);
        bench_must_reduce(&b, "slice{keep=0.6,basis=per-site}");
        double predicted = bench_figure(&b, 0, "predicted_error");
        double measured = bench_figure(&b, 0, "measured_error");
        assert_true(predicted > 1e-3);
        assert_true(fabs(measured / predicted - 1) < 1e-3);
        bench_close(&b);
        b = invariants[i].open(invariants[i].text);
        bench_must_reduce(&b, "rotate{provider=random}");
        for (uint32_t row = 0; row < b.report.sites.count; row++)
            assert_true(bench_figure(&b, row, "measured_error") < 1e-5);
        bench_close(&b);
        b = invariants[i].open(invariants[i].text);
        bench_must_reduce(&b, "slice{measure=false}");
        assert_string_equal(b.report.sites.data[0]
                                .figures[b.report.sites.data[0].count - 1]
                                .name,
                            "predicted_error");
        bench_close(&b);
    }
}

static void widths_round_to_a_multiple(void **state)
{
    static const struct {
        const char *pipeline;
        int64_t width;
    } cases[] = {
        {"slice{keep=0.5}", 12},         {"slice{keep=0.6}", 14},
        {"slice{keep=0.6,round=4}", 16}, {"slice{keep=0.6,round=0}", 16},
        {"slice{keep=0.05,round=8}", 8}, {"slice{keep=0.01}", 1}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b = bench_language(gpt2);
        bench_must_reduce(&b, cases[i].pipeline);
        const tegu_param *p = tegu_unit_find_param(b.unit, "h.0.fc.weight");
        if (p->type->dims[1].offset != cases[i].width)
            fail_msg("%s: %d", cases[i].pipeline, (int)p->type->dims[1].offset);
        bench_close(&b);
    }
}

/* --- refusals --- */

static const char stream_through[] =
    "model m\naxis dim = 8, vocab = 9, spare = 3\naxis T in 1..32\n"
    "weights random(seed = 1, std = 0.1)\n"
    "entry step(tokens: i32[T]) -> y: f32[T, vocab] {\n"
    "  let x = embed(tokens, param \"e\" [vocab, dim])\n"
    "  let w = param \"w\" [vocab, dim]\n  ";

static const struct {
    const char *body, *pipeline, *message;
} refusals[] = {
    {"return linear(gelu(x), w)", "slice",
     "'gelu' works on the elements of axis 'dim' one by one"},
    {"return linear(x * x, w)", "rotate{provider=random}",
     "'mul' works on the elements of axis 'dim' one by one"},
    {"return linear(x + 1.0, w)", "slice",
     "'add' works on the elements of axis 'dim' one by one"},
    {"return linear(softmax(x), w)", "slice",
     "'softmax' needs axis 'dim' as it is"},
    {"return linear(merge(split(x, 2)), w)", "slice",
     "'reshape' needs axis 'dim' as it is"},
    {"return linear(reverse(x, axis = 1), w)", "slice",
     "'slice' needs axis 'dim' as it is"},
    {"return linear(layer_norm(x, param \"n\" [dim]), w) + linear(x, w)",
     "slice", "'linear' reads axis 'dim' with its mean, which layer_norm"},
    {"return linear(x, w)", "slice{axis=dam}",
     "pass 'slice': the model has no axis 'dam'; did you mean 'dim'?"},
    {"return linear(x, w)", "slice{axis=T}",
     "pass 'slice': axis 'T' is the caller's to choose"},
    {"return linear(x, w)", "slice{axis=spare}",
     "pass 'slice': nothing carries axis 'spare'"},
    {"return linear(x, w)", "slice{basis=own}",
     "pass 'slice': basis is 'own'; it must be shared or per-site"},
    {"return linear(x, w)", "dotresize{provider=svd}",
     "pass 'dotresize': provider is 'svd'"},
    {"return linear(x, w)", "dotresize{cost=l3}",
     "pass 'dotresize': cost is 'l3'; it must be l1 or l2"},
};

static bench bench_stream(const char *body)
{
    char text[1024];
    snprintf(text, sizeof text, "%s%s\n}\n", stream_through, body);
    return bench_language(text);
}

static void what_forbids_a_basis_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        bench b = bench_stream(refusals[i].body);
        if (bench_reduce(&b, refusals[i].pipeline))
            fail_msg("%s accepts %s", refusals[i].pipeline, refusals[i].body);
        uint32_t count;
        const tegu_message *m = tegu_diag_messages(b.diag, &count);
        assert_int_equal(m[0].severity, TEGU_ERROR);
        if (m[0].text[0] == '\'')
            assert_in_range(m[0].loc.line, 8, 9);
        assert_message(&b, refusals[i].message);
        bench_close(&b);
    }
}

static void calibration_is_asked_for(void **state)
{
    (void)state;
    bench b = bench_language(residual_mlp);
    assert_false(bench_try(&b, "slice"));
    assert_message(&b, "pass 'slice' needs calibration data; give --calib");
    bench_close(&b);
}

static void a_selection_passes_element_wise_ops(void **state)
{
    (void)state;
    bench b = bench_stream("return linear(gelu(x), w)");
    bench_must_reduce(&b, "prune-width{keep=0.5}");
    assert_int_equal(tegu_unit_find_param(b.unit, "w")->type->dims[1].offset,
                     4);
    bench_close(&b);
}

static void hidden_layers_are_reduce_hiddens(void **state)
{
    (void)state;
    bench b = bench_language(gpt2);
    bench_must_reduce(&b, "dotresize{axis=hidden,keep=0.5}");
    assert_int_equal(
        tegu_unit_find_param(b.unit, "h.1.fc.weight")->type->dims[0].offset,
        20);
    bench_close(&b);
}

/* --- providers on planted data --- */

enum { PAIRS = 6, NEURONS = 2 * PAIRS, ROWS = 64 };

/* Neuron PAIRS + i is nearly a copy of neuron i, a little smaller, so that
 * the targets are the first PAIRS. */
static tegu_site_stats plant(tegu_arena *arena)
{
    tegu_site_stats s = {.columns = NEURONS, .rows = ROWS, .sample_rows = ROWS};
    uint32_t random = 1;

    s.gram = TEGU_ARRAY(arena, double, NEURONS *NEURONS);
    s.sum_abs = TEGU_ARRAY(arena, double, NEURONS);
    s.samples = TEGU_ARRAY(arena, float, ROWS *NEURONS);
    for (int t = 0; t < ROWS; t++) {
        float *x = s.samples + t * NEURONS;
        for (int i = 0; i < PAIRS; i++) {
            random = random * 1664525u + 1013904223u;
            x[i] = random >> 31 ? 1.0f : -1.0f;
            x[PAIRS + i] = 0.99f * x[i];
        }
        for (int i = 0; i < NEURONS; i++) {
            s.sum_abs[i] += fabs((double)x[i]);
            for (int k = 0; k < NEURONS; k++)
                s.gram[i * NEURONS + k] += (double)x[i] * x[k];
        }
    }
    return s;
}

static tegu_subspace find(bench *b, const tegu_provider *provider,
                          const tegu_site_stats *stats, double eps,
                          bool manhattan)
{
    tegu_subspace s = {.scratch = b->arena,
                       .extent = NEURONS,
                       .width = PAIRS,
                       .stats = stats,
                       .seed = 3,
                       .eps = eps,
                       .manhattan = manhattan,
                       .q = TEGU_ARRAY(b->arena, double, NEURONS *PAIRS)};

    assert_true(provider->find(&s));
    return s;
}

/* (Q Q^T)_ik */
static double projector(const tegu_subspace *s, int i, int k)
{
    double sum = 0;
    for (int j = 0; j < PAIRS; j++)
        sum += s->q[i * PAIRS + j] * s->q[k * PAIRS + j];
    return sum;
}

static void transport_merges_exactly_the_duplicates(void **state)
{
    (void)state;
    for (int l1 = 0; l1 < 2; l1++) {
        bench b = bench_open();
        tegu_site_stats stats = plant(b.arena);
        tegu_subspace s = find(&b, &tegu_provider_ot, &stats, 0.005, l1 != 0);
        for (int i = 0; i < NEURONS; i++)
            for (int k = 0; k < NEURONS; k++) {
                double want = i % PAIRS == k % PAIRS ? 0.5 : 0;
                if (!(fabs(projector(&s, i, k) - want) < 1e-6))
                    fail_msg("neurons %d and %d: %g", i, k,
                             projector(&s, i, k));
            }
        assert_int_equal(s.rank, PAIRS);
        assert_true(s.marginal_error < 1e-6);
        bench_close(&b);
    }
}

static double kept(const tegu_subspace *s)
{
    double sum = 0, all = 0;
    for (int i = 0; i < NEURONS; i++) {
        all += s->stats->gram[i * NEURONS + i];
        for (int k = 0; k < NEURONS; k++)
            sum += projector(s, i, k) * s->stats->gram[i * NEURONS + k];
    }
    return sum / all;
}

static void principal_components_keep_the_most_energy(void **state)
{
    (void)state;
    bench b = bench_open();
    tegu_site_stats stats = plant(b.arena);
    tegu_subspace pca = find(&b, &tegu_provider_pca, &stats, 10, false);
    tegu_subspace ot = find(&b, &tegu_provider_ot, &stats, 10, false);
    tegu_subspace some = find(&b, &tegu_provider_select, &stats, 10, false);
    tegu_subspace any = find(&b, &tegu_provider_random, &stats, 10, false);

    assert_true(fabs(kept(&pca) - 1) < 1e-10); /* rank PAIRS */
    assert_true(kept(&pca) >= kept(&ot) - 1e-12);
    assert_true(kept(&ot) > kept(&some));
    assert_true(kept(&any) < kept(&ot));
    for (int j = 0; j < PAIRS; j++)
        assert_true(some.q[j * PAIRS + j] == 1);
    bench_close(&b);
}

static void sinkhorn_meets_its_marginals(void **state)
{
    static const double strengths[] = {0.01, 0.05, 0.2, 1, 10, 100};
    double cost[9 * 5], plan[9 * 5];

    (void)state;
    bench b = bench_open();
    for (int i = 0; i < 9 * 5; i++)
        cost[i] = fabs(sin(i * 7.3)) + (i % 4) * 0.1;
    for (size_t e = 0; e < sizeof strengths / sizeof *strengths; e++) {
        tegu_sinkhorn r = tegu_sinkhorn_plan(b.arena, 9, 5, cost, strengths[e],
                                             5000, 1e-9, plan);
        double worst = 0;
        for (int i = 0; i < 9; i++) {
            double row = -1.0 / 9;
            for (int j = 0; j < 5; j++)
                row += plan[i * 5 + j];
            worst = fmax(worst, fabs(row));
        }
        for (int j = 0; j < 5; j++) {
            double column = -1.0 / 5;
            for (int i = 0; i < 9; i++)
                column += plan[i * 5 + j];
            worst = fmax(worst, fabs(column));
        }
        assert_true(r.converged && worst < 1e-6 && r.error < 1e-6);
        assert_true(r.entropy > 0 && r.entropy <= 1 + 1e-12);
    }
    bench_close(&b);
}

static void sinkhorn_says_when_it_has_not_converged(void **state)
{
    double cost[] = {0, 1, 1, 0, 0.1, 0.9}, plan[6];

    (void)state;
    bench b = bench_open();
    tegu_sinkhorn r =
        tegu_sinkhorn_plan(b.arena, 3, 2, cost, 0.001, 3, 1e-12, plan);
    assert_false(r.converged);
    assert_int_equal(r.iterations, 3);
    assert_true(r.error > 1e-12);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_basis_of_full_width_changes_no_result),
        cmocka_unit_test(projected_models_compile_down_like_others),
        cmocka_unit_test(a_shared_basis_adds_no_matrix_and_keeps_the_names),
        cmocka_unit_test(a_basis_per_site_adds_a_skip_per_residual_sum),
        cmocka_unit_test(a_tied_head_is_untied),
        cmocka_unit_test(adapters_are_projected_with_their_weights),
        cmocka_unit_test(entries_stay_one_model),
        cmocka_unit_test(errors_are_predicted_and_measured),
        cmocka_unit_test(widths_round_to_a_multiple),
        cmocka_unit_test(what_forbids_a_basis_is_named),
        cmocka_unit_test(calibration_is_asked_for),
        cmocka_unit_test(a_selection_passes_element_wise_ops),
        cmocka_unit_test(hidden_layers_are_reduce_hiddens),
        cmocka_unit_test(transport_merges_exactly_the_duplicates),
        cmocka_unit_test(principal_components_keep_the_most_energy),
        cmocka_unit_test(sinkhorn_meets_its_marginals),
        cmocka_unit_test(sinkhorn_says_when_it_has_not_converged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
