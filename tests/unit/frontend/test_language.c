/* SPDX-License-Identifier: Apache-2.0 */
/* What sources of the language mean: axes, overrides, names, calls, states,
 * files, weights.  What is refused is in tests/bad/language.def. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "folder.h"
#include "frontend/frontend.h"
#include "ir/ir.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static tegu_unit *load_with(folder *f, const char *text,
                            const tegu_load_options *options)
{
    const char *path = folder_put(f, "model.tegu", text);
    return tegu_load(f->arena, f->diag, path, options);
}

static tegu_unit *load(folder *f, const char *text)
{
    tegu_load_options options = {.name = "m"};
    tegu_unit *unit = load_with(f, text, &options);
    if (!unit)
        fail_msg("%s", folder_messages(f));
    assert_true(tegu_unit_verify(unit));
    return unit;
}

/* The unit's text must hold `want`. */
static void expect_text(folder *f, const tegu_unit *unit, const char *want)
{
    tegu_text text = {.arena = f->arena};
    tegu_unit_print(&text, unit);
    if (!strstr(tegu_text_cstr(&text), want))
        fail_msg("no `%s` in\n%s", want, tegu_text_cstr(&text));
}

/* The first message must begin with `want`. */
static void expect_error(folder *f, const tegu_unit *unit, int code,
                         const char *want)
{
    assert_null(unit);
    assert_int_equal(tegu_diag_exit_code(f->diag), code);
    if (!strstr(folder_messages(f), want))
        fail_msg("no `%s` in\n%s", want, folder_messages(f));
}

static uint32_t count_ops(const tegu_unit *unit, tegu_op op)
{
    const tegu_graph *g = unit->entries.data[0].graph;
    uint32_t count = 0;
    for (uint32_t v = 1; v < g->nodes.count; v++)
        count += tegu_graph_node(g, v)->op == op;
    return count;
}

/* --- axes --- */

static void axes_are_computed_from_earlier_ones(void **state)
{
    tegu_unit *u = load(*state, "axis dim = 12, heads = 3\n"
                                "axis head_dim = dim / heads\n"
                                "axis T in 1..dim % 5\n"
                                "entry f(x: f32[T, head_dim]) -> y: f32[T, 4]"
                                " { return x }");
    expect_text(*state, u, "axis head_dim = 4\n");
    expect_text(*state, u, "axis T in 1..2\n");
}

static void dimensions_keep_the_axes_they_come_from(void **state)
{
    tegu_unit *u =
        load(*state, "axis T in 1..4, a = 2, b = 3\n"
                     "entry f(x: f32[T, a * b]) -> y: f32[T, a * b] {\n"
                     "  let s = split(x, a)\n  return merge(s)\n}");
    expect_text(*state, u, "%2 \"s\" = reshape %1 : f32[T, a=2, b=3]");
    expect_text(*state, u, "reshape %2 : f32[T, a*b=6]");
}

static void slices_from_0_take_the_name_of_their_bound(void **state)
{
    tegu_unit *u = load(*state, "axis a = 4, b = 2\n"
                                "entry f(x: f32[a]) -> y: f32[b]"
                                " { return x[0..b] }");
    expect_text(*state, u, ": f32[b=2]\n");
}

/* --- overrides --- */

static void defines_replace_values_before_others_use_them(void **state)
{
    tegu_define defines[] = {
        {"dim", "layers * 4"}, {"T", "2..8"}, {"layers", "3"}};
    tegu_load_options options = {.defines = defines, .define_count = 3};
    tegu_unit *u =
        load_with(*state,
                  "model m\nconst layers = 2\naxis dim = 4, twice = 2 * dim\n"
                  "axis T in 1..4\n"
                  "entry f(x: f32[T, twice]) -> y: f32[T, twice] { return x }",
                  &options);
    assert_non_null(u);
    expect_text(*state, u, "axis twice = 24\n");
    expect_text(*state, u, "axis T in 2..8\n");
}

static void a_symbolic_axis_can_be_fixed(void **state)
{
    tegu_define define = {"T", "4"};
    tegu_load_options options = {.defines = &define, .define_count = 1};
    tegu_unit *u = load_with(*state,
                             "model m axis T in 1..8\n"
                             "entry f(x: f32[T]) -> y: f32[T] { return x }",
                             &options);
    expect_text(*state, u, "%1 = input {name=\"x\"} : f32[T=4]");
}

static void unknown_defines_are_refused_with_the_nearest_name(void **state)
{
    tegu_define define = {"layer", "4"};
    tegu_load_options options = {.defines = &define, .define_count = 1};
    tegu_unit *u = load_with(*state,
                             "model m axis layers = 8\n"
                             "entry f(x: f32[1]) -> y: f32[1] { return x }",
                             &options);
    expect_error(*state, u, 64,
                 "-D layer: the model has no such axis or "
                 "constant; did you mean 'layers'?");
}

static void defines_are_located_in_themselves(void **state)
{
    static const struct {
        const char *value, *message;
    } rows[] = {
        {"", "-D dim:1:1: error: expected an expression"},
        {"4x", "-D dim:1:1: error: malformed number '4x'"},
        {"4 5", "-D dim:1:3: error: expected a value or lo..hi"},
        {"1..4", "-D dim:1:1: error: 'dim' is one value, not a range"},
        {"0", "-D dim:1:1: error: axis 'dim' is 0"},
        {"hidden", "-D dim:1:1: error: unknown name 'hidden'"},
    };
    folder *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tegu_define define = {"dim", rows[i].value};
        tegu_load_options options = {.defines = &define, .define_count = 1};
        tegu_diag_clear(f->diag);
        expect_error(f,
                     load_with(f,
                               "model m axis dim = 8\n"
                               "entry f(x: f32[1]) -> y: f32[1] { return x }",
                               &options),
                     65, rows[i].message);
    }
}

/* --- names, places --- */

static void nodes_carry_names_and_places_of_the_source(void **state)
{
    tegu_unit *u = load(*state, "block b(i, x: f32[4]) {\n"
                                "  let h = x * 2.0\n"
                                "  return h + x\n}\n"
                                "entry f(x: f32[4]) -> y: f32[4] {\n"
                                "  return repeat b(0..2, x)\n}");
    const tegu_graph *g = u->entries.data[0].graph;
    const tegu_node *named = NULL;
    for (uint32_t v = 1; v < g->nodes.count; v++)
        if (g->nodes.data[v].name && !strcmp(g->nodes.data[v].name, "h_1"))
            named = &g->nodes.data[v];
    assert_non_null(named);
    assert_int_equal(named->loc.line, 2);
    assert_int_equal(named->loc.column, 13);
}

static void an_expanded_op_is_placed_where_it_was_written(void **state)
{
    tegu_unit *u = load(*state, "entry f(x: f32[4]) -> y: f32[4] {\n"
                                "  return softmax(x)\n}");
    const tegu_graph *g = u->entries.data[0].graph;
    uint32_t composite = g->results.data[0].value;
    const tegu_graph *body =
        tegu_composite_body(g, tegu_graph_node(g, composite));
    assert_non_null(body);
    const tegu_node *last = tegu_graph_node(body, body->results.data[0].value);
    assert_int_equal(last->op, TEGU_OP_DIV);
    assert_int_equal(last->loc.line, 2);
    assert_int_equal(last->loc.column, 10);
}

static void one_mistake_in_a_layer_is_one_message(void **state)
{
    folder *f = *state;
    assert_null(load_with(f,
                          "model m\nblock b(i, x: f32[4]) { return x + z }\n"
                          "entry f(x: f32[4]) -> y: f32[4] {\n"
                          "  let h = repeat b(0..9, x)\n  let k = h * 2.0\n"
                          "  return k + b(11, k)\n}\n"
                          "entry g(x: f32[4]) -> y: f32[4]"
                          " { return b(0, x) }",
                          NULL));
    assert_int_equal(tegu_diag_errors(f->diag), 1);
}

static void all_mistakes_of_a_file_are_reported_at_once(void **state)
{
    folder *f = *state;
    assert_null(load_with(f,
                          "model m\naxis a = b\n"
                          "fn g(x: f32[4]) { let h = x ? return x }\n"
                          "fn h(x: f32[4]) { return sofmax(x) }\n"
                          "entry f(x: f32[4]) -> y: f32[5] { return h(x) }\n"
                          "entry int(x: f32[4]) -> y: f32[4] { return x }",
                          NULL));
    const char *all = folder_messages(f);
    assert_non_null(strstr(all, "unknown name 'b'"));
    assert_non_null(strstr(all, "unexpected character '?'"));
    assert_non_null(strstr(all, "unknown function 'sofmax'"));
    assert_non_null(strstr(all, "the entry 'int'"));
    assert_int_equal(tegu_diag_errors(f->diag), 4);
}

/* --- calls --- */

static void prefixes_of_blocks_follow_each_other(void **state)
{
    tegu_unit *u =
        load(*state, "fn scale(x: f32[4]) { return x * param \"s\" [4] }\n"
                     "block inner(k, x: f32[4]) from \"k{k}.\""
                     " { return scale(x) }\n"
                     "block outer(i, x: f32[4]) from \"l{i}.\""
                     " { return repeat inner(0..2, x) }\n"
                     "entry f(x: f32[4]) -> y: f32[4]"
                     " { return repeat outer(0..2, x) }");
    expect_text(*state, u, "param \"l1.k0.s\" : f32[4]");
    assert_int_equal(u->params.count, 4);
}

static void a_parameter_is_one_node_however_often_it_is_named(void **state)
{
    tegu_unit *u = load(*state, "param w: f32[4] = \"w\"\n"
                                "entry f(x: f32[4]) -> y: f32[4]"
                                " { return x * w + w * param \"w\" [4] }");
    assert_int_equal(u->params.count, 1);
    assert_int_equal(count_ops(u, TEGU_OP_PARAM), 1);
}

static void repeat_threads_several_results(void **state)
{
    tegu_unit *u =
        load(*state, "block b(i, x: f32[4], y: f32[4], by)"
                     " { return y, x * by }\n"
                     "entry f(x: f32[4]) -> y: f32[4]"
                     " { return repeat b(0..3, x, x + 1.0, by = 2.0) }");
    assert_int_equal(count_ops(u, TEGU_OP_MUL), 3);
}

static void a_missing_tensor_can_be_passed_on(void **state)
{
    tegu_unit *u = load(
        *state, "fn norm(x: f32[.., D], b: f32[D] = none)"
                " { return layer_norm(x, param \"w\" [D], b) }\n"
                "entry f(x: f32[2, 4]) -> y: f32[2, 4] { return norm(x) }");
    expect_text(*state, u, "layer_norm %1, %2 : f32[2, 4]");
}

static void attributes_follow_inputs_by_position_or_by_name(void **state)
{
    tegu_unit *u = load(*state, "entry f(x: f32[2, 4]) -> y: i32[4, 2]"
                                " { return cast(transpose(x, [-1, 0]),"
                                " dtype = i32) }");
    expect_text(*state, u, "transpose %1 {perm=[1, 0]} : f32[4, 2]");
    expect_text(*state, u, "cast %2 {dtype=i32} : i32[4, 2]");
}

static void sums_of_symbolic_axes_divide_by_their_size(void **state)
{
    tegu_unit *u = load(*state, "axis T in 1..8\n"
                                "entry f(x: f32[T, 4]) -> y: f32[] {"
                                " return sum(x) / count(x, [0, 1]) }");
    assert_int_equal(count_ops(u, TEGU_OP_SIZE), 1);
}

static void only_the_chosen_side_of_if_is_looked_at(void **state)
{
    load(*state, "entry f(x: f32[4]) -> y: f32[4] {"
                 " return if 1 < 2 { x } else { nothing(x) } }");
}

/* --- state --- */

static void states_are_shared_between_entries(void **state)
{
    tegu_unit *u = load(*state, "block b(i, x: f32[1, 4]) {\n"
                                "  state c: append f32[8, 4]\n"
                                "  return append(c, x)[0..1]\n}\n"
                                "entry f(x: f32[1, 4]) -> y: f32[1, 4]"
                                " { return repeat b(0..2, x) }\n"
                                "entry g(x: f32[1, 4]) -> y: f32[1, 4]"
                                " { return repeat b(0..2, x) }");
    assert_int_equal(u->states.count, 2);
    assert_true(u->states.data[0].appended);
    assert_string_equal(u->states.data[1].name, "c_1");
    assert_int_equal(u->entries.data[1].graph->updates.count, 2);
}

static void a_state_is_read_as_it_was_before_the_call(void **state)
{
    tegu_unit *u = load(*state, "state s: f32[4]\n"
                                "entry f(x: f32[4]) -> y: f32[4] {\n"
                                "  set s = s + x\n  return s\n}");
    const tegu_graph *g = u->entries.data[0].graph;
    assert_int_equal(tegu_graph_node(g, g->results.data[0].value)->op,
                     TEGU_OP_STATE);
    assert_int_equal(tegu_graph_node(g, g->updates.data[0].value)->op,
                     TEGU_OP_ADD);
}

/* --- files --- */

static void imports_are_read_once_and_in_place(void **state)
{
    folder *f = *state;
    folder_put(f, "sizes.tegu", "axis dim = 4");
    folder_put(f, "layer.tegu",
               "import \"./sizes.tegu\"\n"
               "fn twice(x: f32[dim]) { return x * 2.0 }");
    tegu_unit *u = load(f, "import \"sizes.tegu\"\nimport \"layer.tegu\"\n"
                           "entry f(x: f32[dim]) -> y: f32[dim]"
                           " { return twice(x) }");
    expect_text(f, u, "axis dim = 4\n");
}

static void circles_of_imports_are_named(void **state)
{
    folder *f = *state;
    folder_put(f, "a.tegu", "import \"b.tegu\"");
    folder_put(f, "b.tegu", "import \"a.tegu\"");
    expect_error(f,
                 load_with(f,
                           "model m import \"a.tegu\"\n"
                           "entry f(x: f32[1]) -> y: f32[1] { return x }",
                           NULL),
                 65, "b.tegu:1:8: error: files import each other: ");
}

static void errors_of_imported_files_are_located_there(void **state)
{
    folder *f = *state;
    folder_put(f, "a.tegu", "axis a = 4\nweights \"w.safetensors\"");
    expect_error(f,
                 load_with(f,
                           "model m import \"a.tegu\"\n"
                           "entry f(x: f32[1]) -> y: f32[1] { return x }",
                           NULL),
                 65,
                 "a.tegu:2:9: error: only the model's own file has "
                 "'weights'");
}

static void files_of_other_kinds_are_refused(void **state)
{
    folder *f = *state;
    const char *path = folder_put(f, "model.onnx", "");
    expect_error(f, tegu_load(f->arena, f->diag, path, NULL), 69,
                 "a model is a .tegu file, a .tir file or a Hugging Face");
    tegu_diag_clear(f->diag);
    expect_error(f,
                 tegu_load(f->arena, f->diag, folder_file(f, "no.tegu"), NULL),
                 66, "cannot read the model");
}

static void ir_text_is_loaded_with_the_prelude(void **state)
{
    folder *f = *state;
    const char *path =
        folder_put(f, "model.tir",
                   "unit m\n\nentry f model {\n"
                   "  %1 = input {name=\"x\"} : f32[4]\n"
                   "  %2 = softmax %1 : f32[4]\n  return \"y\" %2\n}\n");
    tegu_unit *u = tegu_load(f->arena, f->diag, path, NULL);
    assert_non_null(u);
    const tegu_graph *g = u->entries.data[0].graph;
    assert_non_null(tegu_composite_body(g, tegu_graph_node(g, 2)));
}

/* --- weights --- */

static const char linear_model[] =
    "model m\nweights \"w.safetensors\"\naxis in = 4, out = 3\n"
    "entry f(x: f32[input]) -> y: f32[out]"
    " { return linear(x, param \"w\" [out, input]) }";

static const char *model_with(folder *f, const char *param)
{
    return tegu_format(f->arena,
                       "model m\nweights \"w.safetensors\"\n"
                       "axis wide = 4, slim = 3\n"
                       "entry f(x: f32[wide]) -> y: f32[slim]"
                       " { return linear(x, %s) }",
                       param);
}

static void words_of_the_language_are_no_axes(void **state)
{
    expect_error(*state, load_with(*state, linear_model, NULL), 65,
                 "3:6: error: expected the axis' name, but 'in' is a word");
}

static void weights_are_mapped_and_checked(void **state)
{
    folder *f = *state;
    folder_put_tensors(f, "w.safetensors",
                       "w F32 3,4\nt F32 4,3\nh BF16 3,4\n");
    static const struct {
        const char *param, *message; /* NULL: accepted */
    } rows[] = {
        {"param \"w\" [slim, wide]", NULL},
        {"param \"h\" [slim, wide]", NULL},
        {"param \"t\" [slim, wide] transposed", NULL},
        {"param \"v\" [slim, wide]", "the weights have no tensor 'v'"},
        {"param \"t\" [slim, wide]",
         "tensor 't' is F32[4, 3] in the weights, but f32[slim=3, wide=4] "
         "here; is it stored transposed?"},
        {"param \"w\" [slim, wide] transposed",
         "tensor 'w' is F32[3, 4] in the weights, but f32[slim=3, wide=4] "
         "transposed here; it is not stored transposed"},
        {"cast(param \"w\" i32[slim, wide], f32)",
         "tensor 'w' is F32[3, 4] in the weights, but i32[slim=3, wide=4]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tegu_diag_clear(f->diag);
        tegu_unit *u = load_with(f, model_with(f, rows[i].param), NULL);
        if (rows[i].message) {
            expect_error(f, u, 65, rows[i].message);
            continue;
        }
        if (!u)
            fail_msg("%s", folder_messages(f));
        float values[12];
        assert_int_equal(u->params.data[0].source, TEGU_SOURCE_DATA);
        assert_true(tegu_param_read(u, &u->params.data[0], 0, 12, values));
        tegu_unit_destroy(u);
    }
}

static void missing_weights_are_located_at_their_statement(void **state)
{
    folder *f = *state;
    const char *text = model_with(f, "param \"w\" [slim, wide]");
    expect_error(f, load_with(f, text, NULL), 66,
                 "model.tegu:2:9: error: "
                 "weights file '");
    tegu_load_options shapes = {.without_weights = true};
    assert_non_null(load_with(f, text, &shapes));
}

static void random_weights_keep_seed_and_deviation(void **state)
{
    tegu_unit *u = load(*state, "weights random(seed = 7, std = 0.5)\n"
                                "entry f(x: f32[4]) -> y: f32[4]"
                                " { return x * param \"w\" [4] }");
    assert_int_equal(u->params.data[0].source, TEGU_SOURCE_RANDOM);
    assert_int_equal(u->params.data[0].seed, 7);
    assert_true(u->params.data[0].std == 0.5);
}

static void the_llama_example_loads_as_written(void **state)
{
    folder *f = *state;
    tegu_load_options options = {.without_weights = true};
    tegu_unit *u =
        tegu_load(f->arena, f->diag, "examples/03_llama/llama.tegu", &options);
    if (!u)
        fail_msg("%s", folder_messages(f));
    assert_true(tegu_unit_verify(u));
    assert_int_equal(u->entries.count, 2);
    assert_int_equal(u->params.count, 57);
    assert_int_equal(u->states.count, 12);
    assert_string_equal(u->tokenizer, "examples/03_llama/tokenizer.json");
    expect_text(f, u, "\"a_5\" = attention");
}

#define ROW(name)                                                              \
    cmocka_unit_test_setup_teardown(name, folder_create, folder_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(axes_are_computed_from_earlier_ones),
        ROW(dimensions_keep_the_axes_they_come_from),
        ROW(slices_from_0_take_the_name_of_their_bound),
        ROW(defines_replace_values_before_others_use_them),
        ROW(a_symbolic_axis_can_be_fixed),
        ROW(unknown_defines_are_refused_with_the_nearest_name),
        ROW(defines_are_located_in_themselves),
        ROW(nodes_carry_names_and_places_of_the_source),
        ROW(an_expanded_op_is_placed_where_it_was_written),
        ROW(one_mistake_in_a_layer_is_one_message),
        ROW(all_mistakes_of_a_file_are_reported_at_once),
        ROW(prefixes_of_blocks_follow_each_other),
        ROW(a_parameter_is_one_node_however_often_it_is_named),
        ROW(repeat_threads_several_results),
        ROW(a_missing_tensor_can_be_passed_on),
        ROW(attributes_follow_inputs_by_position_or_by_name),
        ROW(sums_of_symbolic_axes_divide_by_their_size),
        ROW(only_the_chosen_side_of_if_is_looked_at),
        ROW(states_are_shared_between_entries),
        ROW(a_state_is_read_as_it_was_before_the_call),
        ROW(imports_are_read_once_and_in_place),
        ROW(circles_of_imports_are_named),
        ROW(errors_of_imported_files_are_located_there),
        ROW(files_of_other_kinds_are_refused),
        ROW(ir_text_is_loaded_with_the_prelude),
        ROW(words_of_the_language_are_no_axes),
        ROW(weights_are_mapped_and_checked),
        ROW(missing_weights_are_located_at_their_statement),
        ROW(random_weights_keep_seed_and_deviation),
        ROW(the_llama_example_loads_as_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
