/* SPDX-License-Identifier: Apache-2.0 */
/* test_interp.c - the interpreter against itself: values within the bounds
 * of the shadows, laws that hold between ops, and faults that must be seen.
 *
 * TEGU_NUMERIC_COUNT sets the number of random programs, TEGU_NUMERIC_SEED
 * the first seed.
 */
#include "frontend/frontend.h"
#include "tests/numeric/generate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void fail_with(const numeric_model *model, uint64_t seed,
                      const numeric_mismatch *m)
{
    numeric_dump(model, tegu_format(model->arena,
                                    "TEGU_NUMERIC_SEED=%llu "
                                    "TEGU_NUMERIC_COUNT=1 test_interp",
                                    (unsigned long long)seed));
    fail_msg("seed %llu, call %u, result %u, element %lld: %.9g, exact %.17g, "
             "bound %.3g",
             (unsigned long long)seed, m->call, m->result,
             (long long)m->element, m->got, m->exact, m->bound);
}

/* --- random programs --- */

static void check_programs(const generate_options *options, uint64_t count,
                           numeric_tally *tally, uint32_t *nodes)
{
    uint64_t seed = setting("TEGU_NUMERIC_SEED", 1);
    for (uint64_t end = seed + count; seed < end; seed++) {
        numeric_model model = generate_model(seed, options);
        numeric_mismatch m;
        if (!tegu_unit_verify(model.unit))
            fail_with(&model, seed, &(numeric_mismatch){.element = -1});
        tegu_executor *executor = tegu_interp_create(model.unit, model.arena);
        if (!numeric_agrees(&model, executor, tally, &m))
            fail_with(&model, seed, &m);
        executor->destroy(executor->self);
        generate_count(&model, nodes);
        numeric_destroy(&model);
    }
}

static void values_stay_within_the_shadows_bounds(void **state)
{
    (void)state;
    generate_options options = generate_defaults();
    numeric_tally tally = {0};
    uint32_t nodes[TEGU_OP_COUNT] = {0};
    uint64_t count = setting("TEGU_NUMERIC_COUNT", 1500);
    check_programs(&options, count, &tally, nodes);
    numeric_print_tally(&tally, "interpreter in f32");
    if (count >= 1000)
        assert_true(tally.certain > tally.elements * 8 / 10);
    for (int op = 0; count >= 1000 && op < TEGU_OP_COUNT; op++)
        if (!nodes[op] && op != TEGU_OP_ARG && op != TEGU_OP_KERNEL &&
            op != TEGU_OP_ADAPTER_SCALE) /* test_ops has it */
            fail_msg("no program has '%s'", tegu_op_get((tegu_op)op)->text);
}

static void special_values_stay_within_the_shadows_bounds(void **state)
{
    (void)state;
    generate_options options = generate_defaults();
    options.specials = true;
    options.max_nodes = 20;
    numeric_tally tally = {0};
    uint32_t nodes[TEGU_OP_COUNT] = {0};
    check_programs(&options, setting("TEGU_NUMERIC_COUNT", 500), &tally, nodes);
    numeric_print_tally(&tally, "with NaN and infinities");
}

/* --- laws: two programs that mean the same --- */

static const char *const laws[][2] = {
#define PROGRAM(lines)                                                         \
    "unit m\nentry f core {\n"                                                 \
    "  %1 = input {name=\"a\"} : f32[5, 33]\n"                                 \
    "  %2 = input {name=\"b\"} : f32[33, 4]\n" lines "}\n"
    /* a contraction is a sum of products */
    {PROGRAM("  %3 = contract %1, %2 {a=[1], b=[0]} : f32[5, 4]\n"
             "  return \"r\" %3\n"),
     PROGRAM("  %3 = reshape %1 : f32[5, 33, 1]\n"
             "  %4 = mul %3, %2 : f32[5, 33, 4]\n"
             "  %5 = reduce.sum %4 {axes=[1]} : f32[5, 4]\n"
             "  return \"r\" %5\n")},
    /* operands may lie transposed */
    {PROGRAM("  %3 = contract %1, %2 {a=[1], b=[0]} : f32[5, 4]\n"
             "  return \"r\" %3\n"),
     PROGRAM("  %3 = transpose %2 {perm=[1, 0]} : f32[4, 33]\n"
             "  %4 = contract %3, %1 {a=[1], b=[1]} : f32[4, 5]\n"
             "  %5 = transpose %4 {perm=[1, 0]} : f32[5, 4]\n"
             "  return \"r\" %5\n")},
    /* a sum is the sum of its parts' sums */
    {PROGRAM("  %3 = reduce.sum %1 {axes=[1]} : f32[5]\n"
             "  return \"r\" %3\n"),
     PROGRAM("  %3 = slice %1 {start=[0, 0], step=[1, 1]} : f32[5, 10]\n"
             "  %4 = slice %1 {start=[0, 10], step=[1, 1]} : f32[5, 23]\n"
             "  %5 = reduce.sum %3 {axes=[1]} : f32[5]\n"
             "  %6 = reduce.sum %4 {axes=[1]} : f32[5]\n"
             "  %7 = add %5, %6 : f32[5]\n"
             "  return \"r\" %7\n")},
    /* parts put together again */
    {PROGRAM("  return \"r\" %1\n"),
     PROGRAM("  %3 = slice %1 {start=[0, 0], step=[1, 1]} : f32[5, 10]\n"
             "  %4 = slice %1 {start=[0, 10], step=[1, 1]} : f32[5, 23]\n"
             "  %5 = concat %3, %4 {axis=1} : f32[5, 33]\n"
             "  return \"r\" %5\n")},
    /* backwards twice */
    {PROGRAM("  return \"r\" %1\n"),
     PROGRAM("  %3 = slice %1 {start=[-1, 0], step=[-1, 1]} : f32[5, 33]\n"
             "  %4 = slice %3 {start=[-1, 0], step=[-1, 1]} : f32[5, 33]\n"
             "  return \"r\" %4\n")},
    /* padding is cut off again */
    {PROGRAM("  return \"r\" %1\n"),
     PROGRAM("  %3 = pad %1 {low=[1, 2], high=[0, 3], value=7} : f32[6, 38]\n"
             "  %4 = slice %3 {start=[1, 2], step=[1, 1]} : f32[5, 33]\n"
             "  return \"r\" %4\n")},
    /* a maximum is a negated minimum */
    {PROGRAM("  %3 = reduce.max %1 {axes=[0], keep=true} : f32[1, 33]\n"
             "  return \"r\" %3\n"),
     PROGRAM("  %3 = neg %1 : f32[5, 33]\n"
             "  %4 = reduce.min %3 {axes=[0], keep=true} : f32[1, 33]\n"
             "  %5 = neg %4 : f32[1, 33]\n"
             "  return \"r\" %5\n")},
    /* the maximum lies at its index */
    {PROGRAM("  %3 = reduce.max %2 {axes=[0]} : f32[4]\n"
             "  %4 = const 0 : f32[]\n"
             "  %5 = add %3, %4 : f32[4]\n"
             "  return \"r\" %5\n"),
     PROGRAM("  %3 = argmax %2 {axis=0} : i32[4]\n"
             "  %4 = gather %2, %3 : f32[4, 4]\n"
             "  %5 = iota {axis=0} : i32[4, 4]\n"
             "  %6 = iota {axis=1} : i32[4, 4]\n"
             "  %7 = eq %5, %6 : bool[4, 4]\n"
             "  %8 = const 0 : f32[]\n"
             "  %9 = select %7, %4, %8 : f32[4, 4]\n"
             "  %10 = reduce.sum %9 {axes=[1]} : f32[4]\n"
             "  return \"r\" %10\n")},
    /* a sum that is switched off, and on */
    {PROGRAM("  %3 = const inf : f32[]\n"
             "  %4 = const 0 : f32[]\n"
             "  %5 = add_if %1, %3, %4 : f32[5, 33]\n"
             "  return \"r\" %5\n"),
     PROGRAM("  return \"r\" %1\n")},
    {PROGRAM("  %3 = const -0.5 : f32[]\n"
             "  %4 = add_if %1, %1, %3 : f32[5, 33]\n"
             "  return \"r\" %4\n"),
     PROGRAM("  %3 = add %1, %1 : f32[5, 33]\n"
             "  return \"r\" %3\n")},
    /* logarithm and power */
    {PROGRAM("  %3 = abs %2 : f32[33, 4]\n"
             "  return \"r\" %3\n"),
     PROGRAM("  %3 = mul %2, %2 : f32[33, 4]\n"
             "  %4 = sqrt %3 : f32[33, 4]\n"
             "  return \"r\" %4\n")},
    {PROGRAM("  %3 = exp %1 : f32[5, 33]\n"
             "  %4 = log %3 : f32[5, 33]\n"
             "  return \"r\" %4\n"),
     PROGRAM("  return \"r\" %1\n")},
    /* sine and cosine */
    {PROGRAM("  %3 = sin %1 : f32[5, 33]\n"
             "  %4 = cos %1 : f32[5, 33]\n"
             "  %5 = mul %3, %3 : f32[5, 33]\n"
             "  %6 = mul %4, %4 : f32[5, 33]\n"
             "  %7 = add %5, %6 : f32[5, 33]\n"
             "  return \"r\" %7\n"),
     PROGRAM("  %3 = const 1 : f32[]\n"
             "  %4 = broadcast %3 : f32[5, 33]\n"
             "  return \"r\" %4\n")},
    /* sigmoid is a shifted tanh */
    {PROGRAM("  %3 = sigmoid %1 : f32[5, 33]\n"
             "  return \"r\" %3\n"),
     PROGRAM("  %3 = const 0.5 : f32[]\n"
             "  %4 = mul %1, %3 : f32[5, 33]\n"
             "  %5 = tanh %4 : f32[5, 33]\n"
             "  %6 = mul %5, %3 : f32[5, 33]\n"
             "  %7 = add %6, %3 : f32[5, 33]\n"
             "  return \"r\" %7\n")},
#undef PROGRAM
};

static void give_inputs(numeric_model *model, uint64_t seed)
{
    const tegu_entry *entry = numeric_entry(model);
    numeric_rng rng = {seed};
    for (uint32_t i = 0; i < entry->arguments.count; i++) {
        const tegu_type *type = entry->arguments.data[i].type;
        tegu_tensor *t = &model->inputs[i];
        t->dtype = type->dtype;
        t->rank = type->rank;
        for (uint32_t d = 0; d < type->rank; d++)
            t->dims[d] = type->dims[d].offset;
        numeric_allocate(model->arena, t);
        for (int64_t k = 0; k < tegu_tensor_elements(t); k++)
            numeric_set(t, k, numeric_normal(&rng));
    }
}

static tegu_shadow shadow_of(numeric_model *model)
{
    tegu_shadow result;
    const tegu_graph *graph = numeric_entry(model)->graph;
    assert_true(tegu_interp_shadow(graph, model->arena, model->inputs,
                                   numeric_entry(model)->arguments.count, NULL,
                                   0, model->symbols, &result));
    return result;
}

static void programs_that_mean_the_same_agree_within_their_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++) {
        numeric_model left = numeric_parse(laws[i][0]);
        numeric_model right = numeric_parse(laws[i][1]);
        give_inputs(&left, i);
        give_inputs(&right, i);
        tegu_shadow a = shadow_of(&left), b = shadow_of(&right);
        int64_t count = tegu_tensor_elements(&a.value);
        assert_int_equal(count, tegu_tensor_elements(&b.value));
        assert_true(count > 0);
        for (int64_t k = 0; k < count; k++) {
            double off = fabs(a.exact[k] - b.exact[k]);
            if (!(off <= a.bound[k] + b.bound[k]) || isinf(a.bound[k]))
                fail_msg("law %zu, element %lld: %.17g and %.17g, bounds %g "
                         "and %g",
                         i, (long long)k, a.exact[k], b.exact[k], a.bound[k],
                         b.bound[k]);
        }
        numeric_destroy(&left);
        numeric_destroy(&right);
    }
}

/* --- uncertainty --- */

static void decisions_within_the_bound_are_marked_uncertain(void **state)
{
    (void)state;
    numeric_model model = numeric_parse(
        "unit m\nentry f core {\n"
        "  %1 = const [0.1, 0.3, 0.5, 3] : f32[4]\n"
        "  %2 = const 10 : f32[]\n"
        "  %3 = mul %1, %2 : f32[4]\n" /* near 1, 3, exactly 5, 30 */
        "  %4 = const [1, 3, 5, 31] : f32[4]\n"
        "  %5 = lt %3, %4 : bool[4]\n"
        "  %6 = cast %3 {dtype=i32} : i32[4]\n"
        "  %7 = floor %3 : f32[4]\n"
        "  %8 = argmax %3 {axis=0} : i32[]\n"
        "  return \"less\" %5\n  return \"whole\" %6\n"
        "  return \"floor\" %7\n  return \"most\" %8\n}\n");
    tegu_shadow r[4];
    assert_true(tegu_interp_shadow(numeric_entry(&model)->graph, model.arena,
                                   NULL, 0, NULL, 0, model.symbols, r));
    const uint8_t unsure[] = {1, 1, 0, 0};
    assert_memory_equal(r[0].uncertain, unsure, 4);
    assert_memory_equal(r[1].uncertain, unsure, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(r[2].bound[i] >= 1, unsure[i]);
    assert_int_equal(((const int32_t *)r[3].value.data)[0], 3);
    assert_true(!r[3].uncertain || !r[3].uncertain[0]);
    numeric_destroy(&model);
}

/* --- a whole model --- */

enum { TOKENS = 16 };

typedef struct logits {
    tegu_shadow shadow;
    float *values;
    int64_t count;
} logits;

/* The bundled model's logits of a few tokens, both ways. */
static logits run_model(tegu_unit *unit, tegu_arena *arena, tegu_diag *diag)
{
    int32_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        ids[i] = 37 * i % 2048;
    const tegu_entry *step = tegu_unit_find_entry(unit, "step");
    tegu_tensor in = {TEGU_I32, 1, {TOKENS}, ids}, out;
    int64_t *symbols = TEGU_ARRAY(arena, int64_t, unit->axes.count);
    assert_true(tegu_entry_bind(unit, step, &in, 1, symbols));
    tegu_entry_output(unit, step, 0, symbols, &out);
    numeric_allocate(arena, &out);
    logits l = {.values = out.data, .count = tegu_tensor_elements(&out)};
    tegu_executor *executor = tegu_interp_create(unit, arena);
    bool done = executor->call(executor->self, "step", &in, 1, &out, 1) &&
                tegu_interp_likely(step->graph, arena, &in, 1,
                                   tegu_interp_states(unit, arena), 0, symbols,
                                   &l.shadow);
    if (!done)
        tegu_diag_render(diag, stderr, false);
    assert_true(done);
    return l;
}

static void a_whole_models_likely_bound_tells_right_from_wrong(void **state)
{
    (void)state;
    tegu_arena *arena = tegu_arena_create();
    tegu_diag *diag = tegu_diag_create(arena);
    tegu_load_options options = {0};
    tegu_unit *unit =
        tegu_load(arena, diag, "examples/models/wiki5m", &options);
    assert_non_null(unit);
    logits right = run_model(unit, arena, diag);
    double bound = 0, apart = 0;
    for (int64_t i = 0; i < right.count; i++) {
        bound = fmax(bound, right.shadow.bound[i]);
        assert_true(fabs((double)right.values[i] - right.shadow.exact[i]) <=
                    right.shadow.bound[i]);
    }
    printf("wiki5m: greatest likely bound of %d x 2048 logits %.2g\n", TOKENS,
           bound);
    assert_true(bound < 0.02);

    tegu_param *norm = tegu_unit_find_param(unit, "model.norm.weight");
    int64_t count = tegu_type_elements(norm->type);
    float *scaled = TEGU_ARRAY(arena, float, count);
    assert_true(tegu_param_read(unit, norm, 0, count, scaled));
    for (int64_t i = 0; i < count; i++)
        scaled[i] *= 1.02f;
    norm->data = scaled;
    norm->stored = TEGU_F32;
    logits wrong = run_model(unit, arena, diag);
    for (int64_t i = 0; i < right.count; i++)
        apart =
            fmax(apart, fabs((double)wrong.values[i] - right.shadow.exact[i]) /
                            right.shadow.bound[i]);
    assert_true(apart > 10);
    tegu_unit_destroy(unit);
    tegu_arena_destroy(arena);
}

/* --- faults --- */

typedef struct fault {
    tegu_op from, to; /* `to` in place of `from`; COUNT: scaled by 1 + 2e-5 */
    bool hit;
} fault;

static tegu_value scaled(tegu_rewriter *rw, tegu_value v)
{
    tegu_loc loc = tegu_loc_none();
    tegu_value s = tegu_build_scalar(rw->into, loc, TEGU_F32, 1 + 2e-5);
    return tegu_build_binary(rw->into, loc, TEGU_OP_MUL, v, s);
}

/* Replaces the ops that decide results. */
static tegu_value plant(tegu_rewriter *rw, tegu_value v)
{
    fault *f = rw->data;
    const tegu_node *node = tegu_graph_node(rw->from, v);
    if (node->op != f->from)
        return tegu_rewriter_copy(rw, v);
    f->hit = true;
    if (f->to == TEGU_OP_COUNT)
        return scaled(rw, tegu_rewriter_copy(rw, v));
    tegu_value in[3];
    for (uint32_t i = 0; i < node->input_count; i++)
        in[i] = rw->map[node->inputs[i]];
    return tegu_build(
        rw->into, node->loc, f->to, node->input_count, in,
        tegu_op_get(f->to)->attr_count ? 2 : 0,
        tegu_op_get(f->to)->attr_count
            ? (tegu_attr[]){tegu_attr_of_ints(rw->into->unit, f->to, "axes",
                                              node->attrs[0].as.ints.data,
                                              node->attrs[0].as.ints.count),
                            tegu_attr_of_bool(f->to, "keep",
                                              node->attrs[1].as.b)}
            : NULL,
        NULL);
}

/* Runs programs with the fault until one differs from what it should give;
 * the number of programs it took, 0 when none did. */
static int programs_until_caught(fault f)
{
    generate_options options = generate_defaults();
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        numeric_model right = generate_model(seed, &options);
        numeric_model wrong = generate_model(seed, &options);
        tegu_entry *entry = numeric_entry(&wrong);
        bool agrees = true;
        f.hit = false;
        entry->graph =
            tegu_graph_rewrite(entry->graph, entry->graph->level, plant, &f);
        if (f.hit && entry->graph) {
            numeric_tally tally = {0};
            numeric_mismatch m;
            agrees = numeric_agrees(&right,
                                    tegu_interp_create(wrong.unit, wrong.arena),
                                    &tally, &m);
        }
        numeric_destroy(&right);
        numeric_destroy(&wrong);
        if (!agrees)
            return (int)seed;
    }
    return 0;
}

static void a_wrong_op_is_caught_by_the_comparison(void **state)
{
    (void)state;
    static const tegu_op faults[][2] = {
        {TEGU_OP_ADD, TEGU_OP_SUB},
        {TEGU_OP_SUB, TEGU_OP_ADD},
        {TEGU_OP_MUL, TEGU_OP_ADD},
        {TEGU_OP_DIV, TEGU_OP_MUL},
        {TEGU_OP_MAX, TEGU_OP_MIN},
        {TEGU_OP_MIN, TEGU_OP_MAX},
        {TEGU_OP_MOD, TEGU_OP_DIV},
        {TEGU_OP_LT, TEGU_OP_LE},
        {TEGU_OP_LE, TEGU_OP_LT},
        {TEGU_OP_EQ, TEGU_OP_NE},
        {TEGU_OP_AND, TEGU_OP_OR},
        {TEGU_OP_OR, TEGU_OP_AND},
        {TEGU_OP_FLOOR, TEGU_OP_CEIL},
        {TEGU_OP_CEIL, TEGU_OP_ROUND},
        {TEGU_OP_ROUND, TEGU_OP_FLOOR},
        {TEGU_OP_SIN, TEGU_OP_COS},
        {TEGU_OP_ABS, TEGU_OP_NEG},
        {TEGU_OP_SIGN, TEGU_OP_ABS},
        {TEGU_OP_REDUCE_MAX, TEGU_OP_REDUCE_MIN},
        {TEGU_OP_REDUCE_SUM, TEGU_OP_REDUCE_MAX},
        {TEGU_OP_EXP, TEGU_OP_COUNT},
        {TEGU_OP_LOG, TEGU_OP_COUNT},
        {TEGU_OP_TANH, TEGU_OP_COUNT},
        {TEGU_OP_ERF, TEGU_OP_COUNT},
        {TEGU_OP_POW, TEGU_OP_COUNT},
        {TEGU_OP_SQRT, TEGU_OP_COUNT},
        {TEGU_OP_RSQRT, TEGU_OP_COUNT},
        {TEGU_OP_SIGMOID, TEGU_OP_COUNT},
        {TEGU_OP_COS, TEGU_OP_COUNT},
        {TEGU_OP_CONTRACT, TEGU_OP_COUNT},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        int taken = programs_until_caught(
            (fault){.from = faults[i][0], .to = faults[i][1]});
        if (!taken)
            fail_msg("'%s' gone wrong was not noticed",
                     tegu_op_get(faults[i][0])->text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_stay_within_the_shadows_bounds),
        cmocka_unit_test(special_values_stay_within_the_shadows_bounds),
        cmocka_unit_test(programs_that_mean_the_same_agree_within_their_bounds),
        cmocka_unit_test(decisions_within_the_bound_are_marked_uncertain),
        cmocka_unit_test(a_whole_models_likely_bound_tells_right_from_wrong),
        cmocka_unit_test(a_wrong_op_is_caught_by_the_comparison),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
