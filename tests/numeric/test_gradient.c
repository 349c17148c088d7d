/* SPDX-License-Identifier: Apache-2.0 */
/* test_gradient.c - gradient graphs against central differences.
 *
 * The loss is sum(y * dy) for a fixed dy.  It is evaluated in f64
 * through the interpreter's shadow.  y is at most quadratic in any input, so a
 * central difference is exact but for f64 rounding; inputs and steps are
 * dyadic, so that shifted inputs are exact in f32.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "ir/gradient.h"
#include "ir/ir.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 6 };

typedef struct program {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_unit *unit;
    tegu_graph *g;
    tegu_tensor inputs[MOST]; /* the last one is dy */
    uint32_t count;
    int64_t *symbols;
} program;

static void require(const program *p, bool ok)
{
    if (!ok)
        tegu_diag_render(p->diag, stderr, false);
    assert_true(ok);
}

/* Multiples of 1/16 in -2..2. */
static void fill(tegu_tensor *t, uint64_t seed)
{
    float *data = t->data;
    for (int64_t i = 0; i < tegu_tensor_elements(t); i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        data[i] = (float)((int64_t)(seed >> 40) % 33) / 16;
        data[i] -= 1;
    }
}

static void load(program *p, const char *text)
{
    const tegu_load_options options = {0};
    *p = (program){.arena = tegu_arena_create()};
    p->diag = tegu_diag_create(p->arena);
    p->unit = tegu_language_load(p->arena, p->diag, "g.tegu", text,
                                 strlen(text), &options);
    require(p, p->unit != NULL);
    const tegu_entry *entry = &p->unit->entries.data[0];
    p->g = entry->graph;
    p->count = entry->arguments.count;
    p->symbols = TEGU_ARRAY(p->arena, int64_t, p->unit->axes.count + 1);
    for (uint32_t i = 0; i < p->count; i++) {
        const tegu_type *type = entry->arguments.data[i].type;
        p->inputs[i].dtype = TEGU_F32;
        p->inputs[i].rank = type->rank;
        for (uint32_t d = 0; d < type->rank; d++)
            p->inputs[i].dims[d] = type->dims[d].offset;
        p->inputs[i].data = TEGU_ARRAY(
            p->arena, float, (size_t)tegu_tensor_elements(&p->inputs[i]));
        fill(&p->inputs[i], i + 1);
    }
}

static void unload(program *p)
{
    tegu_unit_destroy(p->unit);
    tegu_arena_destroy(p->arena);
}

/* The node of argument `name`. */
static tegu_value argument(const program *p, const char *name)
{
    for (tegu_value v = 1; v < p->g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(p->g, v);
        if (node->op == TEGU_OP_INPUT &&
            strcmp(tegu_node_text(node, "name"), name) == 0)
            return v;
    }
    fail_msg("no argument %s", name);
    return 0;
}

static void evaluate(const program *p, tegu_arena *arena, tegu_shadow *results)
{
    require(p, tegu_interp_shadow(p->g, arena, p->inputs, p->count,
                                  tegu_interp_states(p->unit, arena), 0,
                                  p->symbols, results));
}

/* sum(y * dy): y is result 0, dy the last argument. */
static double loss(const program *p)
{
    tegu_arena *arena = tegu_arena_create();
    tegu_shadow *results = TEGU_ARRAY(arena, tegu_shadow, p->g->results.count);
    const tegu_tensor *c = &p->inputs[p->count - 1];
    double sum = 0;
    evaluate(p, arena, results);
    for (int64_t i = 0; i < tegu_tensor_elements(c); i++)
        sum += results[0].exact[i] * (double)((const float *)c->data)[i];
    tegu_arena_destroy(arena);
    return sum;
}

/* Result `n` of the graph against differences of argument `i`. */
static void check_input(const program *p, uint32_t n, uint32_t i,
                        const char *what)
{
    const float step = 0.0625f;
    tegu_arena *arena = tegu_arena_create();
    tegu_shadow *results = TEGU_ARRAY(arena, tegu_shadow, p->g->results.count);
    const tegu_tensor *t = &p->inputs[i];
    float *data = t->data;
    evaluate(p, arena, results);
    assert_int_equal(tegu_tensor_elements(&results[n].value),
                     tegu_tensor_elements(t));
    for (int64_t k = 0; k < tegu_tensor_elements(t); k++) {
        float kept = data[k];
        data[k] = kept + step;
        double above = loss(p);
        data[k] = kept - step;
        double below = loss(p);
        data[k] = kept;
        double want = (above - below) / (2 * (double)step);
        double got = results[n].exact[k];
        if (!(fabs(got - want) <= 1e-9 * fmax(1, fabs(want))))
            fail_msg("%s[%lld]: %.12g, by differences %.12g", what,
                     (long long)k, got, want);
    }
    tegu_arena_destroy(arena);
}

/* One op: every input by its rule. */
static void check_rule(const char *text, tegu_op op)
{
    program p;
    bool wanted[MOST];
    tegu_value gradients[MOST];
    load(&p, text);
    tegu_value v = p.g->results.data[0].value, dy = argument(&p, "dy");
    assert_int_equal(tegu_graph_node(p.g, v)->op, op);
    uint32_t count = tegu_graph_node(p.g, v)->input_count;
    for (uint32_t i = 0; i < count; i++)
        wanted[i] = true;
    require(&p, tegu_gradient(p.g, v, dy, wanted, gradients));
    for (uint32_t i = 0; i < count; i++)
        tegu_graph_add_result(p.g, tegu_format(p.arena, "d%u", i),
                              gradients[i]);
    assert_true(tegu_graph_verify(p.g));
    for (uint32_t i = 0; i < count; i++)
        check_input(
            &p, i + 1, i,
            tegu_format(p.arena, "%s, input %u", tegu_op_get(op)->text, i));
    unload(&p);
}

#define MODEL "model g entry f("

static void linear_is_differentiated_in_all_inputs(void **state)
{
    (void)state;
    check_rule(MODEL "x: f32[3, 5], w: f32[4, 5], b: f32[4], dy: f32[3, 4]) -> "
                     "y: f32[3, 4] { return linear(x, w, b) }",
               TEGU_OP_LINEAR);
    check_rule(MODEL "x: f32[2, 3, 5], w: f32[4, 5], dy: f32[2, 3, 4]) -> "
                     "y: f32[2, 3, 4] { return linear(x, w) }",
               TEGU_OP_LINEAR);
    check_rule(MODEL "x: f32[5], w: f32[4, 5], b: f32[4], dy: f32[4]) -> "
                     "y: f32[4] { return linear(x, w, b) }",
               TEGU_OP_LINEAR);
}

static void adapted_weights_are_differentiated_in_all_inputs(void **state)
{
    (void)state;
    check_rule(MODEL "w: f32[4, 5], a: f32[2, 5], b: f32[4, 2], dy: f32[4, 5])"
                     " -> y: f32[4, 5] { return lora(w, a, b, scale = 0.5) }",
               TEGU_OP_LORA);
    check_rule(MODEL "w: f32[4, 4], a: f32[4, 3], dy: f32[4, 4]) -> "
                     "y: f32[4, 4] { return singlora(w, a, scale = 0.25) }",
               TEGU_OP_SINGLORA);
    check_rule(MODEL "w: f32[3, 6], a: f32[6, 2], dy: f32[3, 6]) -> "
                     "y: f32[3, 6] { return singlora(w, a, scale = 2) }",
               TEGU_OP_SINGLORA);
    check_rule(MODEL "w: f32[7, 3], a: f32[7, 2], dy: f32[7, 3]) -> "
                     "y: f32[7, 3] { return singlora(w, a) }",
               TEGU_OP_SINGLORA);
}

/* A whole site by thin products: arguments x, w, a and maybe b. */
static void check_adapted(const char *text, bool single)
{
    program p;
    tegu_adapter_gradient d;
    load(&p, text);
    tegu_value y = p.g->results.data[0].value;
    require(&p, tegu_gradient_adapted(p.g, y, argument(&p, "dy"), &d));
    tegu_graph_add_result(p.g, "dx", d.x);
    tegu_graph_add_result(p.g, "da", d.a);
    assert_int_equal(d.b == 0, single);
    if (!single)
        tegu_graph_add_result(p.g, "db", d.b);
    assert_true(tegu_graph_verify(p.g));
    check_input(&p, 1, 0, "dx");
    check_input(&p, 2, 2, "da");
    if (!single)
        check_input(&p, 3, 3, "db");
    unload(&p);
}

static void adapted_linears_are_differentiated_by_thin_products(void **state)
{
    (void)state;
    check_adapted(MODEL "x: f32[3, 5], w: f32[4, 5], a: f32[2, 5], "
                        "b: f32[4, 2], dy: f32[3, 4]) -> y: f32[3, 4] {\n"
                        "  return linear(x, lora(w, a, b, scale = 0.5))\n}",
                  false);
    check_adapted(MODEL "x: f32[3, 4], w: f32[4, 4], a: f32[4, 2], "
                        "dy: f32[3, 4]) -> y: f32[3, 4] {\n"
                        "  return linear(x, singlora(w, a, scale = 0.5))\n}",
                  true);
    check_adapted(MODEL "x: f32[2, 2, 3], w: f32[6, 3], a: f32[6, 2], "
                        "dy: f32[2, 2, 6]) -> y: f32[2, 2, 6] {\n"
                        "  return linear(x, singlora(w, a, scale = 0.5))\n}",
                  true);
    check_adapted(MODEL "x: f32[2, 6], w: f32[3, 6], a: f32[6, 4], "
                        "dy: f32[2, 3]) -> y: f32[2, 3] {\n"
                        "  return linear(x, singlora(w, a, scale = 0.5))\n}",
                  true);
}

static void an_op_without_a_rule_is_refused(void **state)
{
    (void)state;
    program p;
    bool wanted[] = {true, true};
    tegu_value gradients[2];
    tegu_adapter_gradient d;
    uint32_t count;
    load(&p, MODEL "x: f32[3], dy: f32[3]) -> y: f32[3] { return silu(x) }");
    tegu_value y = p.g->results.data[0].value;
    assert_false(tegu_gradient_is_known(TEGU_OP_SILU));
    assert_false(tegu_gradient(p.g, y, 1, wanted, gradients));
    assert_false(tegu_gradient_adapted(p.g, y, 1, &d));
    const tegu_message *m = tegu_diag_messages(p.diag, &count);
    assert_string_equal(m[0].text, "'silu' has no gradient rule");
    unload(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_differentiated_in_all_inputs),
        cmocka_unit_test(adapted_weights_are_differentiated_in_all_inputs),
        cmocka_unit_test(adapted_linears_are_differentiated_by_thin_products),
        cmocka_unit_test(an_op_without_a_rule_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
