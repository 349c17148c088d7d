/* SPDX-License-Identifier: Apache-2.0 */
/* test_verify.c - each invariant broken once.
 *
 * A sound unit is read from text, one field of it is damaged in place, as a
 * wrong pass would, and the verifier has to say so; a second table breaks by
 * text what can be written down.
 */
#include "fixture.h"

#include <string.h>

static const char sound[] =
    "unit t\n"
    "axis T in 1..8\n"
    "axis S in 1..8\n"
    "axis d = 2\n"
    "param \"w\" : f32[2]\n"
    "state \"k\" append : f32[8, d=2]\n"
    "state \"v\" append : f32[8, d=2]\n"
    "state \"h\" : f32[2]\n"
    "entry e core {\n"
    "  %1 = input {name=\"x\"} : f32[T, d=2]\n"
    "  %2 = param {name=\"w\"} : f32[2]\n"
    "  %3 = add %1, %2 : f32[T, d=2]\n"
    "  %4 = reduce.sum %3 {axes=[0]} : f32[d=2]\n"
    "  %5 = state {name=\"k\"} : f32[8, d=2]\n"
    "  %6 = append %5, %3 : f32[8, d=2]\n"
    "  return \"r\" %3\n"
    "  update \"k\" %6\n"
    "  update \"h\" %4\n"
    "}\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"x\"} : f32[T, d=2]\n"
    "  %2 = state {name=\"v\"} : f32[8, d=2]\n"
    "  %3 = kernel %2, %1 {family=\"loop\"} : f32[8, d=2] {\n"
    "    %1 = arg {index=0} : f32[8, d=2]\n"
    "    %2 = arg {index=1} : f32[T, d=2]\n"
    "    %3 = neg %2 : f32[T, d=2]\n"
    "    %4 = append %1, %3 : f32[8, d=2]\n"
    "    return %4\n"
    "  }\n"
    "  %4 = kernel %1 {family=\"loop\"} : f32[T, d=2] {\n"
    "    %1 = arg {index=0} : f32[T, d=2]\n"
    "    %2 = exp %1 : f32[T, d=2]\n"
    "    return %2\n"
    "  }\n"
    "  return \"r\" %4\n"
    "  update \"v\" %3\n"
    "}\n";

/* --- damage in place --- */

static tegu_graph *graph_of(tegu_unit *unit, uint32_t entry)
{
    return unit->entries.data[entry].graph;
}

static tegu_node *node_of(tegu_unit *unit, uint32_t entry, tegu_value v)
{
    return &graph_of(unit, entry)->nodes.data[v];
}

static const tegu_type *other_type(tegu_unit *unit)
{
    return tegu_unit_shape(unit, TEGU_F32, 1, (int64_t[]){3});
}

static void set_input(tegu_node *node, uint32_t i, tegu_value v)
{
    ((tegu_value *)(uintptr_t)node->inputs)[i] = v;
}

static void order(tegu_unit *unit)
{
    set_input(node_of(unit, 0, 3), 0, 4);
}
static void self_use(tegu_unit *unit)
{
    set_input(node_of(unit, 0, 3), 0, 3);
}
static void no_input(tegu_unit *unit)
{
    set_input(node_of(unit, 0, 3), 0, 0);
}
static void no_type(tegu_unit *unit)
{
    node_of(unit, 0, 3)->type = NULL;
}
static void wrong_type(tegu_unit *unit)
{
    node_of(unit, 0, 4)->type = other_type(unit);
}
static void wrong_arity(tegu_unit *unit)
{
    node_of(unit, 0, 3)->input_count = 1;
}
static void no_attributes(tegu_unit *unit)
{
    node_of(unit, 0, 4)->attrs = NULL;
}
static void foreign_attribute(tegu_unit *unit)
{
    ((tegu_attr *)(uintptr_t)node_of(unit, 0, 4)->attrs)[0].info =
        tegu_op_get(TEGU_OP_ARGMAX)->attrs;
}
static void composite_in_core(tegu_unit *unit)
{
    node_of(unit, 0, 3)->op = TEGU_OP_SWIGLU;
}
static void arg_in_entry(tegu_unit *unit)
{
    node_of(unit, 0, 2)->op = TEGU_OP_ARG;
}
static void core_in_kernel(tegu_unit *unit)
{
    graph_of(unit, 0)->level = TEGU_LEVEL_KERNEL;
}
static void no_level(tegu_unit *unit)
{
    graph_of(unit, 0)->level = (tegu_level)0;
}
static void no_graph(tegu_unit *unit)
{
    unit->entries.data[0].graph = NULL;
}
static void foreign_graph(tegu_unit *unit)
{
    graph_of(unit, 0)->unit =
        tegu_unit_create(unit->arena, unit->diag, "other");
}
static void body_on_add(tegu_unit *unit)
{
    node_of(unit, 0, 3)->body = graph_of(unit, 1);
}
static void no_body(tegu_unit *unit)
{
    node_of(unit, 1, 4)->body = NULL;
}
static void body_without_result(tegu_unit *unit)
{
    node_of(unit, 1, 4)->body->results.count = 0;
}
static void body_at_model_level(tegu_unit *unit)
{
    node_of(unit, 1, 4)->body->level = TEGU_LEVEL_MODEL;
}
static void body_reads_param(tegu_unit *unit)
{
    *(tegu_node *)(uintptr_t)tegu_graph_node(node_of(unit, 1, 4)->body, 1) =
        *node_of(unit, 0, 2);
}
static void body_order(tegu_unit *unit)
{
    set_input(&node_of(unit, 1, 4)->body->nodes.data[2], 0, 2);
}
static void operand_of_other_type(tegu_unit *unit)
{
    set_input(node_of(unit, 1, 4), 0, 2);
}
static void append_inside_body(tegu_unit *unit)
{
    node_of(unit, 1, 3)->body->results.data[0].value = 1;
}
static void unknown_param(tegu_unit *unit)
{
    unit->params.data[0].name = "u";
    unit->param_index = tegu_map_create(unit->arena);
    tegu_map_set(unit->param_index, "u", 1, 0);
}
static void param_off_index(tegu_unit *unit)
{
    unit->param_index = tegu_map_create(unit->arena);
}
static void param_type(tegu_unit *unit)
{
    unit->params.data[0].type = other_type(unit);
}
static void param_lost_data(tegu_unit *unit)
{
    unit->params.data[0].source = TEGU_SOURCE_DATA;
}
static void param_vector_transposed(tegu_unit *unit)
{
    unit->params.data[0].transposed = true;
}
static void param_symbolic(tegu_unit *unit)
{
    unit->params.data[0].type = node_of(unit, 0, 1)->type;
}
static void unknown_state(tegu_unit *unit)
{
    unit->states.data[0].name = "z";
}
static void states_alike(tegu_unit *unit)
{
    unit->states.data[1].name = unit->states.data[0].name;
}
static void state_type(tegu_unit *unit)
{
    unit->states.data[2].type = other_type(unit);
}
static void state_layout(tegu_unit *unit)
{
    unit->states.data[2].layout = TEGU_LAYOUT_KEYS;
}
static void state_not_appended(tegu_unit *unit)
{
    unit->states.data[0].appended = false;
}
static void state_only_appended(tegu_unit *unit)
{
    unit->states.data[2].appended = true;
}
static void append_without_update(tegu_unit *unit)
{
    graph_of(unit, 0)->updates.data[0] = graph_of(unit, 0)->updates.data[1];
    graph_of(unit, 0)->updates.count = 1;
}
static void kernel_append_without_update(tegu_unit *unit)
{
    graph_of(unit, 1)->updates.count = 0;
}
static void update_crossed(tegu_unit *unit)
{
    graph_of(unit, 1)->updates.data[0].state = unit->states.data[0].name;
}
static void updated_twice(tegu_unit *unit)
{
    graph_of(unit, 0)->updates.data[1] = graph_of(unit, 0)->updates.data[0];
}
static void update_of_nothing(tegu_unit *unit)
{
    graph_of(unit, 0)->updates.data[1].value = 99;
}
static void result_of_nothing(tegu_unit *unit)
{
    graph_of(unit, 0)->results.data[0].value = 0;
}
static void result_name(tegu_unit *unit)
{
    graph_of(unit, 0)->results.data[0].name = "a b";
}
static void result_named_as_argument(tegu_unit *unit)
{
    graph_of(unit, 0)->results.data[0].name = "x";
}
static void no_outputs(tegu_unit *unit)
{
    graph_of(unit, 1)->results.count = 0;
    graph_of(unit, 1)->updates.count = 0;
    graph_of(unit, 1)->nodes.count = 2;
}
static void argument_type(tegu_unit *unit)
{
    unit->entries.data[0].arguments.data[0].type = other_type(unit);
}
static void argument_name(tegu_unit *unit)
{
    unit->entries.data[0].arguments.data[0].name = "2x";
}
static void no_arguments(tegu_unit *unit)
{
    unit->entries.data[0].arguments.count = 0;
}
static void entries_alike(tegu_unit *unit)
{
    unit->entries.data[1].name = "e";
}
static void entry_name(tegu_unit *unit)
{
    unit->entries.data[0].name = "";
}
static void unit_name(tegu_unit *unit)
{
    unit->name = "a-b";
}
static void axis_bounds(tegu_unit *unit)
{
    unit->axes.data[1].hi = 0;
}
static void axis_unfixed(tegu_unit *unit)
{
    unit->axes.data[3].hi = 9;
}
static void axis_name(tegu_unit *unit)
{
    unit->axes.data[1].name = "2";
}
static void axes_alike(tegu_unit *unit)
{
    unit->axes.data[2].name = unit->axes.data[1].name;
}
static void axis_lost(tegu_unit *unit)
{
    unit->axes.count = 3;
}
static void symbol_fixed(tegu_unit *unit)
{
    unit->axes.data[1] = unit->axes.data[3];
    unit->axes.data[1].name = "T";
}

/* clang-format off */
static const struct {
    void (*damage)(tegu_unit *unit);
    const char *message;
} damages[] = {
    {order, "%3: 'add' uses %4, which is no earlier value"},
    {self_use, "%3: 'add' uses %3, which is no earlier value"},
    {no_input, "%3: 'add' uses %0, which is no earlier value"},
    {no_type, "%3 has no op or no type"},
    {wrong_type, "'reduce.sum' gives f32[d=2], not f32[3]"},
    {wrong_arity, "'add' takes 2 operands, got 1"},
    {no_attributes, "%4: 'reduce.sum' lacks attribute 'axes' at its place"},
    {foreign_attribute, "%4: 'reduce.sum' lacks attribute 'axes' at its place"},
    {composite_in_core, "%3: 'swiglu' cannot stand in a core graph"},
    {arg_in_entry, "%2: 'arg' cannot stand in a core graph"},
    {core_in_kernel, "%3: 'add' cannot stand in a kernel graph"},
    {no_level, "a graph has no level"},
    {no_graph, "entry 'e' has no graph"},
    {foreign_graph, "a graph belongs to no unit"},
    {body_on_add, "%3: only kernels have bodies"},
    {no_body, "%4: only kernels have bodies"},
    {body_without_result, "%4: a kernel's body is a core graph with one result"},
    {body_at_model_level, "%4: a kernel's body is a core graph with one result"},
    {body_reads_param, "%1: 'param' cannot stand in a kernel's body"},
    {body_order, "%2: 'exp' uses %2, which is no earlier value"},
    {operand_of_other_type, "'kernel' got f32[8, d=2] as operand 1; its body takes f32[T, d=2]"},
    {append_inside_body, "%4: an append in a body must be its result"},
    {unknown_param, "%2: no param is named 'w'"},
    {param_off_index, "parameter 'w' is not in the index"},
    {param_type, "%2: param 'w' is f32[3], not f32[2]"},
    {param_lost_data, "parameter 'w' has lost its data"},
    {param_vector_transposed, "parameter 'w' is transposed, yet f32[2]"},
    {param_symbolic, "parameter 'w' cannot be f32[T, d=2]"},
    {unknown_state, "%5: no state is named 'k'"},
    {states_alike, "two states are named 'k'"},
    {state_type, "state 'h' is f32[3] and cannot become f32[d=2]"},
    {state_layout, "state 'h' is no cache of heads"},
    {state_not_appended, "%6 appends to what is no appended state"},
    {state_only_appended, "state 'h' may only be appended to"},
    {append_without_update, "%6 appends to 'k' without updating it"},
    {kernel_append_without_update, "%3 appends to 'v' without updating it"},
    {update_crossed, "%3 appends to 'v' without updating it"},
    {updated_twice, "entry 'e' updates 'k' twice"},
    {update_of_nothing, "update 1 is no value"},
    {result_of_nothing, "result 0 is no value"},
    {result_name, "entry 'e' has a result named 'a b'"},
    {result_named_as_argument, "entry 'e' uses the name 'x' twice"},
    {no_outputs, "entry 'f' gives no result"},
    {argument_type, "'input' has extent T, which no input of entry 'e' has"},
    {argument_name, "entry 'e' has an argument named '2x'"},
    {no_arguments, "'input' has extent T, which no input of entry 'e' has"},
    {entries_alike, "two entries are named 'e'"},
    {entry_name, "an entry is named ''"},
    {unit_name, "a unit is named 'a-b'"},
    {axis_bounds, "axis 'T' has wrong bounds"},
    {axis_unfixed, "axis 'd' has wrong bounds"},
    {axis_name, "an axis is named '2'"},
    {axes_alike, "two axes are named 'T'"},
    {axis_lost, "'state' has an extent over an unknown axis"},
    {symbol_fixed, "'x' has an extent over an unknown axis"},
};
/* clang-format on */

static void each_broken_invariant_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        fixture f = fixture_open();
        tegu_unit *unit = parse_good(&f, sound);
        assert_true(tegu_unit_verify(unit));
        damages[i].damage(unit);
        if (tegu_unit_verify(unit))
            fail_msg("not found: %s", damages[i].message);
        assert_int_equal(tegu_diag_exit_code(f.diag), 70);
        assert_message(&f, damages[i].message);
        fixture_close(&f);
    }
}

/* --- by text --- */

#define HEAD                                                                   \
    "unit t\naxis T in 1..8\naxis S in 1..8\n"                                 \
    "state \"k\" append : f32[8]\nstate \"h\" : f32[8]\n"

/* clang-format off */
static const struct {
    const char *entry;
    const char *message;
} refusals[] = {
    {"entry e(\"x\" : f32[T]) core {\n%1 = iota {axis=0} : i32[S]\nreturn \"r\" %1\n}\n",
     "'iota' has extent S, which no input of entry 'e' has"},
    {"entry e(\"x\" : f32[T], \"x\" : f32[T]) core {\n%1 = position : i32[]\nreturn \"r\" %1\n}\n",
     "entry 'e' has two arguments named 'x'"},
    {"entry e core {\n%1 = state {name=\"h\"} : f32[8]\n%2 = const [1] : f32[1]\n%3 = append %1, %2 : f32[8]\nupdate \"h\" %3\n}\n",
     "%3 appends to what is no appended state"},
    {"entry e core {\n%1 = state {name=\"k\"} : f32[8]\n%2 = neg %1 : f32[8]\nupdate \"k\" %2\n}\n",
     "state 'k' may only be appended to"},
    {"entry e core {\n%1 = state {name=\"k\"} : f32[8]\nupdate \"q\" %1\n}\n",
     "entry 'e' updates 'q', which is no state"},
    {"entry e core {\n%1 = state {name=\"h\"} : f32[8]\n%2 = const [1] : f32[1]\n%3 = neg %1 : f32[8]\n%4 = append %3, %2 : f32[8]\nreturn \"r\" %4\n}\n",
     "%4 appends to what is no appended state"},
    {"state \"l\" append : f32[8]\nentry e(\"x\" : f32[T], \"y\" : f32[S]) core {\n%1 = state {name=\"k\"} : f32[8]\n%2 = state {name=\"l\"} : f32[8]\n"
     "%3 = input {name=\"x\"} : f32[T]\n%4 = input {name=\"y\"} : f32[S]\n%5 = append %1, %3 : f32[8]\n%6 = append %2, %4 : f32[8]\nupdate \"k\" %5\nupdate \"l\" %6\n}\n",
     "entry 'e' appends different numbers of rows"},
    {"entry e core {\n%1 = const [1, 2] : f32[2]\n%2 = softmax %1 : f32[2]\nreturn \"r\" %2\n}\n",
     "%2: 'softmax' cannot stand in a core graph"},
    {"entry e model {\n%1 = const [1, 2] : f32[2]\n%2 = kernel %1 {family=\"loop\"} : f32[2] {\n%1 = arg {index=0} : f32[2]\nreturn %1\n}\nreturn \"r\" %2\n}\n",
     "%2: 'kernel' cannot stand in a model graph"},
    {"entry e kernel {\n%1 = const [1, 2] : f32[2]\n%2 = kernel %1 {family=\"loop\"} : f32[2] {\n%1 = arg {index=0} : f32[2]\n%2 = softmax %1 : f32[2]\nreturn %2\n}\nreturn \"r\" %2\n}\n",
     "%2: 'softmax' cannot stand in a kernel's body"},
    {"entry e kernel {\n%1 = const [1, 2] : f32[2]\n%2 = kernel %1 {family=\"loop\"} : f32[2] {\n%1 = input {name=\"x\"} : f32[2]\nreturn %1\n}\nreturn \"r\" %2\n}\n",
     "%1: 'input' cannot stand in a kernel's body"},
    {"entry e kernel {\n%1 = kernel {family=\"loop\"} : i32[T] {\n%1 = iota {axis=0} : i32[T]\nreturn %1\n}\nreturn \"r\" %1\n}\n",
     "'iota' has extent T, which no input of entry 'e' has"},
};
/* clang-format on */

static void what_text_breaks_is_the_users(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        fixture f = fixture_open();
        const char *text = tegu_format(f.arena, HEAD "%s", refusals[i].entry);
        if (parse(&f, text))
            fail_msg("accepted:\n%s", text);
        assert_int_equal(tegu_diag_exit_code(f.diag), 65);
        uint32_t count;
        const tegu_message *m = tegu_diag_messages(f.diag, &count);
        assert_true(m->loc.line > 5);
        assert_message(&f, refusals[i].message);
        fixture_close(&f);
    }
}

static void native_composites_may_stay_in_core(void **state)
{
    (void)state;
    fixture f = fixture_open();
    parse_good(&f, "unit t\naxis T in 1..8\nentry e core {\n"
                   "%1 = input {name=\"q\"} : f32[T, 2, 4]\n"
                   "%2 = position : i32[]\n"
                   "%3 = attention %1, %1, %1, %2 : f32[T, 2, 4]\n"
                   "return \"r\" %3\n}\n");
    fixture_close(&f);
}

static void a_graph_by_itself_may_have_args(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_graph *g = empty_graph(&f);
    tegu_attr index = tegu_attr_of_int(TEGU_OP_ARG, "index", 0);
    tegu_value x =
        tegu_build(g, tegu_loc_none(), TEGU_OP_ARG, 0, NULL, 1, &index,
                   tegu_unit_shape(g->unit, TEGU_F32, 1, (int64_t[]){4}));
    tegu_graph_add_result(g, "",
                          tegu_build_unary(g, tegu_loc_none(), TEGU_OP_NEG, x));
    assert_true(tegu_graph_verify(g));
    g->results.data[0].value = 9;
    assert_false(tegu_graph_verify(g));
    assert_message(&f, "result 0 is no value");
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_broken_invariant_is_found),
        cmocka_unit_test(what_text_breaks_is_the_users),
        cmocka_unit_test(native_composites_may_stay_in_core),
        cmocka_unit_test(a_graph_by_itself_may_have_args),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
