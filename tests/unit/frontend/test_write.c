/* SPDX-License-Identifier: Apache-2.0 */
/* Units written as source: what loads again is the same, for every form that
 * the language has and for graphs as passes leave them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "folder.h"
#include "frontend/frontend.h"
#include "frontend/prelude.h"
#include "ir/ir.h"
#include "round_trip.h"
#include <string.h>

static tegu_unit *load(folder *f, const char *text)
{
    tegu_load_options options = {.without_weights = true, .name = "m"};
    tegu_unit *unit = tegu_language_load(f->arena, f->diag, "m.tegu", text,
                                         strlen(text), &options);
    if (!unit)
        fail_msg("%s", folder_messages(f));
    return unit;
}

static void example_models_come_back_equal(void **state)
{
    static const char *const paths[] = {
        "examples/models/wiki5m", "examples/models/llama110m.tegu",
        "examples/03_llama/llama.tegu", "examples/02_mlp/mlp.tegu",
        "examples/01_vector/axpy.tegu"};
    folder *f = *state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        tegu_load_options options = {.without_weights = true};
        tegu_unit *unit = tegu_load(f->arena, f->diag, paths[i], &options);
        if (!unit)
            fail_msg("%s", folder_messages(f));
        tegu_unit *again = round_trip(f->arena, unit);
        assert_int_equal(again->params.count, unit->params.count);
        assert_int_equal(again->states.count, unit->states.count);
        for (uint32_t p = 0; p < unit->params.count; p++) {
            const tegu_param *a = &unit->params.data[p];
            const tegu_param *b = tegu_unit_find_param(again, a->name);
            assert_non_null(b);
            assert_string_equal(tegu_type_string(unit, f->arena, a->type),
                                tegu_type_string(again, f->arena, b->type));
        }
        tegu_unit_destroy(again);
        tegu_unit_destroy(unit);
    }
}

/* GPT-2's ways: LayerNorm with bias, learned positions, one projection for
 * queries, keys and values, matrices stored transposed, a tied head. */
static const char gpt2[] =
    "axis layers = 2, dim = 24, heads = 4, head_dim = dim / heads, vocab = 40\n"
    "axis context = 16, T in 1..context\n"
    "param table: f32[vocab, dim] = \"wte.weight\"\n"
    "block layer(i, x: f32[T, dim]) from \"h.{i}.\" {\n"
    "  state keys: append f32[context, heads, head_dim]\n"
    "  state values: append f32[context, heads, head_dim]\n"
    "  let h = layer_norm(x, param \"ln_1.weight\" [dim], param \"ln_1.bias\" "
    "[dim], eps = 1e-6)\n"
    "  let all = linear(h, param \"attn.weight\" [3 * dim, dim] transposed, "
    "param \"attn.bias\" [3 * dim])\n"
    "  let q = split(all[.., 0..dim] as [.., heads * head_dim], heads)\n"
    "  let k = split(all[.., dim..2 * dim] as [.., heads * head_dim], heads)\n"
    "  let v = split(all[.., 2 * dim..] as [.., heads * head_dim], heads)\n"
    "  let a = attention(q, append(keys, k), append(values, v), position(), "
    "window = 8)\n"
    "  let y = x + (merge(a) as [.., dim])\n"
    "  return y + gelu_tanh(y) * 0.1\n"
    "}\n"
    "entry step(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
    "  let p = iota(T) + position()\n"
    "  let x = embed(tokens, table) + embed(p, param \"wpe.weight\" [context, "
    "dim])\n"
    "  return linear(repeat layer(0..layers, x), table)\n"
    "}\n";

static const char *const sources[] = {
    gpt2,
    /* literals of every kind */
    "entry f(x: f32[3], n: i32[3], mask: bool[3], z: i64[3]) -> (a: f32[3], b: "
    "i32[3], d: f32[3], e: f32[2, 3], g: i64[3]) {\n"
    "  let s = where(mask, x * [0.1, -1e-30, 3e38], -inf)\n"
    "  let t = max(min(s, inf), -0.0) + 1.0\n"
    "  return t, n * 7 + [1, -2, 3], where([true, false, true], s, t),\n"
    "         broadcast(x, [2, 3]) + [[1.5, 2.0, 16777216.0], [0.0, 1.0, 2.0]],"
    " z + z\n"
    "}\n",
    /* parts of tensors */
    "axis T in 4..16, dim = 8\n"
    "entry f(x: f32[T, dim]) -> (a: f32[2, 4], b: f32[1, dim], h: f32[T, dim],"
    " d: f32[2, dim], e: f32[T, 3]) {\n"
    "  return x[1..3, 1..8 by 2], last(x), reverse(x), x[-3..-1],\n"
    "         x[.., 2..5] + reverse(x)[0..T, 0..3]\n"
    "}\n",
    /* sizes, indices, reductions, products */
    "axis T in 1..8, dim = 6, heads = 2\n"
    "entry f(x: f32[T, dim], n: i32[T]) -> (a: f32[T], b: f32[], h: i32[T], d:"
    " f32[T, T], e: f32[2 * T, dim], g: f32[T, dim]) {\n"
    "  let s = sum(x, axis = 1) / cast(size(x, 0), f32)\n"
    "  let y = split(x, heads)\n"
    "  let u = contract(y, y, a = [1, 2], b = [1, 2])\n"
    "  let big = concat(x, x, axis = 0)\n"
    "  return s - mean(x, axes = [1]), min(x), argmax(x, axis = 1) + iota(T) "
    "% 3,\n"
    "         u, pad(big, low = [0, 0], high = [0, 0], value = 2.5),\n"
    "         gather(big, n) * softmax(x, ) + max(x, axis = 0, keep = true)\n"
    "}\n",
    /* states, both kinds, and an append that nothing reads */
    "axis T in 1..8, dim = 4\n"
    "state total: f32[dim]\nstate seen: append f32[32, dim]\n"
    "state kept: append f32[32, dim]\n"
    "entry f(x: f32[T, dim]) -> y: f32[dim] {\n"
    "  let all = append(seen, x)\n"
    "  let quiet = append(kept, x * 2.0)\n"
    "  set total = total + sum(x, axis = 0)\n"
    "  return total + sum(all, axis = 0)\n"
    "}\n"
    "entry g(x: f32[dim]) -> y: f32[dim] { return x - total }\n",
    /* names that must step aside */
    "axis T in 1..8, dim = 4\n"
    "entry step(of: f32[T, dim], by: f32[T, dim]) -> y: f32[T, dim] {\n"
    "  let v3 = silu(of)\n"
    "  let w = v3 * v3\n"
    "  return w + v3 - by\n"
    "}\n",
    /* adapters on weights, factors, logic */
    "axis dim = 4, rank = 2\n"
    "entry f(x: f32[dim], on: bool[dim]) -> (y: f32[dim], z: bool[dim]) {\n"
    "  let w = lora(param \"w\" [dim, dim], param \"a\" [rank, dim], param "
    "\"b\" [dim, rank], scale = 0.5)\n"
    "  return linear(x, w), !on || (x > 0.25 && on)\n"
    "}\n",
    /* sizes of an axis that are not the axis' own */
    "axis T in 1..8, dim = 8, heads = 2, head_dim = 4\n"
    "entry f(x: f32[T, dim]) -> y: f32[T, 6 of heads * head_dim] {\n"
    "  let h = silu(linear(x, param \"a\" [5 of dim, dim]))\n"
    "  let g = rms_norm(h, param \"n\" [5 of dim])\n"
    "  return linear(g, param \"b\" [6 of heads * head_dim, 5 of dim])\n"
    "}\n",
};

static void every_form_comes_back_equal(void **state)
{
    folder *f = *state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        round_trip(f->arena, load(f, sources[i]));
}

static void sizes_keep_the_axes_they_are_of(void **state)
{
    folder *f = *state;
    tegu_unit *unit = load(f, sources[sizeof sources / sizeof *sources - 1]);
    tegu_unit *again = round_trip(f->arena, unit);
    static const char *const params[][2] = {
        {"a", "f32[dim=5, dim=8]"},
        {"n", "f32[dim=5]"},
        {"b", "f32[heads*head_dim=6, dim=5]"}};
    for (size_t i = 0; i < sizeof params / sizeof *params; i++)
        assert_string_equal(
            tegu_type_string(again, f->arena,
                             tegu_unit_find_param(again, params[i][0])->type),
            params[i][1]);
}

/* What the language would refuse of itself, and passes may leave. */
static void axes_that_do_not_fit_are_written_plain(void **state)
{
    static const char text[] =
        "unit t\naxis dim = 4\naxis hidden = 4\nparam \"w\" : f32[3, "
        "hidden=4]\n"
        "entry f model {\n"
        "  %1 = input {name=\"x\"} : f32[2, dim=4]\n"
        "  %2 = param {name=\"w\"} : f32[3, hidden=4]\n"
        "  %3 = linear %1, %2 : f32[2, 3]\n"
        "  return \"y\" %3\n}\n";
    folder *f = *state;
    tegu_unit *unit =
        tegu_unit_parse(f->arena, f->diag, "t.tir", text, strlen(text));
    assert_non_null(unit);
    tegu_prelude_attach(unit);
    const char *source = written(f->arena, unit);
    assert_non_null(strstr(source, "x as [2, 4]"));
    tegu_unit *again = load(f, source);
    assert_string_equal(
        tegu_type_string(
            again, f->arena,
            tegu_graph_type(
                again->entries.data[0].graph,
                again->entries.data[0].graph->results.data[0].value)),
        "f32[2, 3]");
}

static void what_has_no_form_is_said(void **state)
{
    static const char *const cases[][2] = {
        {"unit t\naxis T in 4..8\nentry f model {\n"
         "  %1 = input {name=\"x\"} : f32[T, 6]\n"
         "  %2 = slice %1 {start=[0, 5], step=[1, -2]} : f32[T, 3]\n"
         "  return \"y\" %2\n}\n",
         "the language has no form for this slice"},
        {"unit t\nparam \"a{b\" : f32[4]\nentry f model {\n"
         "  %1 = param {name=\"a{b\"} : f32[4]\n  return \"y\" %1\n}\n",
         "the language has no form for the tensor name 'a{b'"},
        {"unit t\nentry f core {\n  %1 = input {name=\"x\"} : f32[4]\n"
         "  return \"y\" %1\n}\n",
         "the language has model level only; the pipeline goes below it"},
    };
    folder *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tegu_text out = {.arena = f->arena};
        tegu_write_options options = {.weights = "w.safetensors"};
        tegu_unit *unit = tegu_unit_parse(f->arena, f->diag, "t.tir",
                                          cases[i][0], strlen(cases[i][0]));
        if (!unit)
            fail_msg("%s", folder_messages(f));
        assert_false(tegu_write_language(unit, &options, &out));
        if (!strstr(folder_messages(f), cases[i][1]))
            fail_msg("no `%s` in\n%s", cases[i][1], folder_messages(f));
        tegu_diag_clear(f->diag);
    }
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, folder_create, folder_destroy)
    const struct CMUnitTest tests[] = {
        TEST(example_models_come_back_equal),
        TEST(every_form_comes_back_equal),
        TEST(sizes_keep_the_axes_they_are_of),
        TEST(axes_that_do_not_fit_are_written_plain),
        TEST(what_has_no_form_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
