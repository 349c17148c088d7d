/* SPDX-License-Identifier: Apache-2.0 */
/* Stored statistics: what changes a key and what does not, that a second run
 * computes nothing and reduces to the same bits, and digests. */
#include "bench.h"
#include "passes/stats.h"

#include <math.h>
#include <string.h>

enum { LENGTH = 12, SEQUENCES = 5, VOCAB = 64, MOST_STORED = 64 };

/* --- a store in memory --- */

typedef struct shelf {
    tegu_stats_store store;
    tegu_arena *arena;
    tegu_digest keys[MOST_STORED];
    tegu_site_stats stats[MOST_STORED];
    int count, compiled;
} shelf;

static bool find(void *data, tegu_digest key, tegu_arena *arena,
                 tegu_site_stats *stats)
{
    shelf *s = data;

    (void)arena;
    for (int i = 0; i < s->count; i++)
        if (tegu_digest_equal(s->keys[i], key))
            *stats = s->stats[i];
    return true;
}

static void *copied(shelf *s, const void *data, int64_t size)
{
    return data ? tegu_arena_copy(s->arena, data, (size_t)size) : NULL;
}

static bool keep(void *data, tegu_digest key, const tegu_site_stats *stats)
{
    shelf *s = data;
    tegu_site_stats *to = &s->stats[s->count];
    int64_t n = stats->columns;

    assert_in_range(s->count, 0, MOST_STORED - 1);
    s->keys[s->count++] = key;
    *to = *stats;
    to->gram = copied(s, stats->gram, n * n * 8);
    to->sum = copied(s, stats->sum, n * 8);
    to->sum_abs = copied(s, stats->sum_abs, n * 8);
    to->sum_square = copied(s, stats->sum_square, n * 8);
    to->samples = copied(s, stats->samples, stats->sample_rows * n * 4);
    return true;
}

static void shelf_open(shelf *s)
{
    memset(s, 0, sizeof *s);
    s->arena = tegu_arena_create();
    s->store = (tegu_stats_store){.data = s,
                                  .find = find,
                                  .keep = keep,
                                  .path = "stats.safetensors",
                                  .arena = s->arena};
}

/* --- a model with weights, and tokens --- */

typedef struct lab {
    bench b;
    int32_t tokens[SEQUENCES * LENGTH];
    tegu_calibration data;
    shelf *shelf;
} lab;

static tegu_executor *interpret(void *data, tegu_unit *unit)
{
    shelf *s = data;

    s->compiled++;
    return tegu_interp_create(unit, unit->arena);
}

/* Weights in memory: elements of a sine per tensor. */
static void fill(bench *b)
{
    for (uint32_t i = 0; i < b->unit->params.count; i++) {
        tegu_param *param = &b->unit->params.data[i];
        int64_t n = tegu_type_elements(param->type);
        float *data = TEGU_ARRAY(b->arena, float, (size_t)n);
        for (int64_t k = 0; k < n; k++)
            data[k] = (float)sin(0.7 * (double)k + (double)(i * i));
        param->source = TEGU_SOURCE_DATA;
        param->stored = TEGU_F32;
        param->data = data;
    }
}

static void take_tokens(lab *l)
{
    l->data.tokens = l->tokens;
    l->data.store->tokens =
        tegu_tokens_digest(l->tokens, l->data.sequences, l->data.length);
}

static void lab_open(lab *l, shelf *s)
{
    memset(l, 0, sizeof *l);
    l->b = bench_llama("3");
    l->shelf = s;
    fill(&l->b);
    bench_tokens(l->tokens, SEQUENCES * LENGTH, VOCAB);
    l->data = (tegu_calibration){.sequences = SEQUENCES,
                                 .length = LENGTH,
                                 .source = "test",
                                 .compile = interpret,
                                 .data = s,
                                 .store = &s->store};
    take_tokens(l);
}

/* The last linear of layer 1: it has layers before and behind it. */
static tegu_value find_site(const bench *b)
{
    const tegu_graph *g = tegu_unit_find_entry(b->unit, "step")->graph;

    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        const char *name;
        if (node->op != TEGU_OP_LINEAR)
            continue;
        name = tegu_node_text(tegu_graph_node(g, node->inputs[1]), "name");
        if (strstr(name, "layers.1.mlp.down_proj"))
            return node->inputs[0];
    }
    fail_msg("the model has no layer 1");
    return 0;
}

static tegu_site_request usual_request(const lab *l)
{
    return (tegu_site_request){
        .value = find_site(&l->b), .gram = true, .sample_stride = 7};
}

static tegu_site_stats ask_for(lab *l, const tegu_site_request *request)
{
    tegu_site_stats stats = {0};

    if (!tegu_calibrate(l->b.unit, &l->data, l->b.arena, request, 1, 0,
                        &stats)) {
        tegu_diag_render(l->b.diag, stderr, false);
        fail_msg("calibration fails");
    }
    return stats;
}

/* --- keys --- */

typedef struct change {
    const char *what;
    void (*apply)(lab *l, tegu_site_request *request);
    bool counts;                                        /* another statistic */
    void (*before)(lab *l, tegu_site_request *request); /* NULL, or to both */
} change;

static tegu_param *param_of(lab *l, const char *part)
{
    for (uint32_t i = 0; i < l->b.unit->params.count; i++)
        if (strstr(l->b.unit->params.data[i].name, part))
            return &l->b.unit->params.data[i];
    fail_msg("no parameter %s", part);
    return NULL;
}

/* One bit of one element. */
static void flip(lab *l, const char *part, int64_t element)
{
    tegu_param *param = param_of(l, part);
    size_t bytes = (size_t)tegu_type_elements(param->type) * 4;
    unsigned char *data = tegu_arena_copy(l->b.arena, param->data, bytes);

    assert_in_range(element, 0, bytes / 4 - 1);
    data[4 * element] ^= 1;
    param->data = data;
}

static void nothing(lab *l, tegu_site_request *r)
{
    (void)l;
    (void)r;
}

static void first_weight(lab *l, tegu_site_request *r)
{
    (void)r;
    flip(l, "embed", 0);
}

static void last_weight(lab *l, tegu_site_request *r)
{
    (void)r;
    flip(l, "layers.1.mlp.up_proj", 48 * 32 - 1);
}

static void cached_weight(lab *l, tegu_site_request *r)
{
    (void)r;
    flip(l, "layers.0.self_attn.k_proj", 100);
}

static void weight_behind(lab *l, tegu_site_request *r)
{
    (void)r;
    flip(l, "layers.1.mlp.down_proj", 3);
    flip(l, "layers.2.self_attn.q_proj", 3);
}

static void transposed(lab *l, tegu_site_request *r)
{
    (void)r;
    param_of(l, "layers.0.self_attn.q_proj")->transposed = true;
}

static void stored_half(lab *l, tegu_site_request *r)
{
    (void)r;
    param_of(l, "layers.0.input_layernorm")->stored = TEGU_F16;
}

static void stored_bfloat(lab *l, tegu_site_request *r)
{
    (void)r;
    param_of(l, "layers.0.input_layernorm")->stored = TEGU_BF16;
}

static void swapped_weights(lab *l, tegu_site_request *r)
{
    tegu_param *a = param_of(l, "layers.0.mlp.gate_proj");
    tegu_param *b = param_of(l, "layers.0.mlp.up_proj");
    const void *data = a->data;

    (void)r;
    a->data = b->data;
    b->data = data;
}

static void random_weights(lab *l, tegu_site_request *r)
{
    tegu_param *param = param_of(l, "layers.0.mlp.gate_proj");

    (void)r;
    param->source = TEGU_SOURCE_RANDOM;
    param->seed = 3;
    param->std = 0.1;
}

static void other_seed(lab *l, tegu_site_request *r)
{
    random_weights(l, r);
    param_of(l, "layers.0.mlp.gate_proj")->seed = 4;
}

static void other_deviation(lab *l, tegu_site_request *r)
{
    random_weights(l, r);
    param_of(l, "layers.0.mlp.gate_proj")->std = 0.2;
}

static void moved_weights(lab *l, tegu_site_request *r)
{
    (void)r;
    flip(l, "embed", 0);
    flip(l, "embed", 0);
}

static void node_names(lab *l, tegu_site_request *r)
{
    tegu_graph *g = tegu_unit_find_entry(l->b.unit, "step")->graph;

    (void)r;
    for (tegu_value v = 1; v < g->nodes.count; v++)
        g->nodes.data[v].name = "x";
}

static void model_name(lab *l, tegu_site_request *r)
{
    (void)r;
    l->b.unit->name = "other";
}

static tegu_attr *attr_of(lab *l, tegu_op op, const char *key)
{
    tegu_graph *g = tegu_unit_find_entry(l->b.unit, "step")->graph;
    tegu_value v = 1;

    while (tegu_graph_node(g, v)->op != op)
        v++;
    tegu_node *node = &g->nodes.data[v];
    uint32_t count = tegu_op_get(op)->attr_count;
    tegu_attr *copy =
        tegu_arena_copy(l->b.arena, node->attrs, count * sizeof *copy);
    node->attrs = copy;
    while (strcmp(copy->info->key, key) != 0)
        copy++;
    return copy;
}

static void norm_epsilon(lab *l, tegu_site_request *r)
{
    (void)r;
    attr_of(l, TEGU_OP_RMS_NORM, "eps")->as.f *= 1.0000001;
}

static void rope_base(lab *l, tegu_site_request *r)
{
    (void)r;
    attr_of(l, TEGU_OP_ROPE, "theta")->as.f += 1;
}

static void one_token(lab *l, tegu_site_request *r)
{
    (void)r;
    l->tokens[SEQUENCES * LENGTH - 1] ^= 1;
    take_tokens(l);
}

static void fewer_sequences(lab *l, tegu_site_request *r)
{
    (void)r;
    l->data.sequences--;
    take_tokens(l);
}

static void other_cut(lab *l, tegu_site_request *r)
{
    (void)r;
    l->data.sequences = LENGTH;
    l->data.length = SEQUENCES;
    take_tokens(l);
}

static void shorter_calls(lab *l, tegu_site_request *r)
{
    const tegu_entry *step = tegu_unit_find_entry(l->b.unit, "step");
    tegu_axis_id axis = step->arguments.data[0].type->dims[0].symbol;

    (void)r;
    l->b.unit->axes.data[axis].hi = 5;
}

static void without_gram(lab *l, tegu_site_request *r)
{
    (void)l;
    r->gram = false;
}

static void normalised(lab *l, tegu_site_request *r)
{
    (void)l;
    r->normalised = true;
}

static void other_stride(lab *l, tegu_site_request *r)
{
    (void)l;
    r->sample_stride = 8;
}

static void other_value(lab *l, tegu_site_request *r)
{
    const tegu_graph *g = tegu_unit_find_entry(l->b.unit, "step")->graph;

    r->value = tegu_graph_node(g, r->value)->inputs[0];
}

static const change changes[] = {
    {"nothing", nothing, false, NULL},
    {"the first bit of the embedding", first_weight, true, NULL},
    {"the last element of a weight in front", last_weight, true, NULL},
    {"a weight that only the cache knows", cached_weight, true, NULL},
    {"weights behind the value", weight_behind, false, NULL},
    {"a weight stored the other way round", transposed, true, NULL},
    {"a weight's stored type", stored_bfloat, true, stored_half},
    {"two weights changing places", swapped_weights, true, NULL},
    {"a weight drawn at random", random_weights, true, NULL},
    {"the seed of one", other_seed, true, random_weights},
    {"the deviation of one", other_deviation, true, random_weights},
    {"equal weights at another address", moved_weights, false, NULL},
    {"names of nodes", node_names, false, NULL},
    {"the model's name", model_name, false, NULL},
    {"a norm's epsilon", norm_epsilon, true, NULL},
    {"the base of positions", rope_base, true, NULL},
    {"the last token", one_token, true, NULL},
    {"a sequence less", fewer_sequences, true, NULL},
    {"the same tokens in other sequences", other_cut, true, NULL},
    {"sequences in several calls", shorter_calls, true, NULL},
    {"no Gram matrix", without_gram, true, NULL},
    {"normalised rows", normalised, true, NULL},
    {"another sample", other_stride, true, NULL},
    {"the value before", other_value, true, NULL},
};

static void what_the_statistic_depends_on_changes_its_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        shelf s;
        lab first, second;
        tegu_site_request request;
        shelf_open(&s);
        lab_open(&first, &s);
        request = usual_request(&first);
        if (changes[i].before)
            changes[i].before(&first, &request);
        ask_for(&first, &request);
        assert_int_equal(s.compiled, 1);
        lab_open(&second, &s);
        request = usual_request(&second);
        changes[i].apply(&second, &request);
        ask_for(&second, &request);
        if (s.compiled != 1 + changes[i].counts)
            fail_msg("after changing %s the statistic was %s", changes[i].what,
                     changes[i].counts ? "reused" : "computed again");
        assert_int_equal(s.store.reused, !changes[i].counts);
        assert_int_equal(s.store.computed, 1 + changes[i].counts);
        bench_close(&second.b);
        bench_close(&first.b);
        tegu_arena_destroy(s.arena);
    }
}

/* Statistics of the first tokens are none of all of them. */
static void fewer_tokens_are_other_statistics(void **state)
{
    shelf s;
    lab l;
    tegu_site_request request;
    tegu_site_stats stats;

    (void)state;
    shelf_open(&s);
    lab_open(&l, &s);
    request = usual_request(&l);
    ask_for(&l, &request);
    for (int i = 0; i < 2; i++) {
        assert_true(tegu_calibrate(l.b.unit, &l.data, l.b.arena, &request, 1,
                                   LENGTH, &stats));
        assert_int_equal(stats.rows, LENGTH);
        assert_int_equal(s.compiled, 2);
    }
    bench_close(&l.b);
    tegu_arena_destroy(s.arena);
}

/* What the value reads is what an update left, over another update. */
static const char recurrent[] =
    "unit t\naxis T in 1..8\nparam \"w\" : f32[4, 4]\n"
    "param \"u\" : f32[4, 4]\nparam \"e\" : f32[64, 4]\n"
    "state \"s\" : f32[1, 4]\nstate \"t\" : f32[1, 4]\n"
    "state \"z\" : f32[1, 4]\n"
    "entry step model {\n"
    "  %1 = input {name=\"tokens\"} : i32[T]\n"
    "  %2 = param {name=\"e\"} : f32[64, 4]\n"
    "  %3 = embed %1, %2 : f32[T, 4]\n"
    "  %4 = state {name=\"s\"} : f32[1, 4]\n"
    "  %5 = add %3, %4 : f32[T, 4]\n"
    "  %6 = state {name=\"t\"} : f32[1, 4]\n"
    "  %7 = param {name=\"w\"} : f32[4, 4]\n"
    "  %8 = linear %6, %7 : f32[1, 4]\n"
    "  %9 = param {name=\"u\"} : f32[4, 4]\n"
    "  %10 = linear %4, %9 : f32[1, 4]\n"
    "  return \"logits\" %5\n"
    "  update \"s\" %8\n  update \"t\" %8\n  update \"z\" %10\n}\n";

static void what_a_state_is_updated_with_counts(void **state)
{
    static const struct {
        const char *param;
        bool counts;
    } cases[] = {{"w", true}, {"u", false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shelf s;
        lab l;
        tegu_site_request request = {.value = 5, .gram = true};
        shelf_open(&s);
        lab_open(&l, &s);
        bench_close(&l.b);
        l.b = bench_text(recurrent);
        fill(&l.b);
        ask_for(&l, &request);
        flip(&l, cases[i].param, 0);
        ask_for(&l, &request);
        assert_int_equal(s.compiled, 1 + cases[i].counts);
        bench_close(&l.b);
        tegu_arena_destroy(s.arena);
    }
}

static const char switched[] = "unit t\naxis T in 1..8\nadapter tone 0.5\n"
                               "param \"e\" : f32[64, 4]\n"
                               "entry step model {\n"
                               "  %1 = input {name=\"tokens\"} : i32[T]\n"
                               "  %2 = param {name=\"e\"} : f32[64, 4]\n"
                               "  %3 = embed %1, %2 : f32[T, 4]\n"
                               "  %4 = adapter_scale {name=\"tone\"} : f32[]\n"
                               "  %5 = mul %3, %4 : f32[T, 4]\n"
                               "  return \"logits\" %5\n}\n";

static void what_an_adapter_is_switched_to_counts(void **state)
{
    shelf s;
    lab l;
    tegu_site_request request = {.value = 5, .gram = true};

    (void)state;
    shelf_open(&s);
    lab_open(&l, &s);
    bench_close(&l.b);
    l.b = bench_text(switched);
    fill(&l.b);
    ask_for(&l, &request);
    ask_for(&l, &request);
    assert_int_equal(s.compiled, 1);
    tegu_unit_find_adapter(l.b.unit, "tone")->scale = 0.25;
    ask_for(&l, &request);
    assert_int_equal(s.compiled, 2);
    bench_close(&l.b);
    tegu_arena_destroy(s.arena);
}

/* The rows of a table in halves or in quarters. */
static void what_a_value_is_reshaped_to_counts(void **state)
{
    static const char text[] =
        "unit t\naxis T in 1..8\n"
        "param \"e\" : f32[64, 16]\n"
        "entry step model {\n"
        "  %%1 = input {name=\"tokens\"} : i32[T]\n"
        "  %%2 = param {name=\"e\"} : f32[64, 16]\n"
        "  %%3 = embed %%1, %%2 : f32[T, 16]\n"
        "  %%4 = reshape %%3 : f32[T, %d, %d]\n"
        "  %%5 = reduce.sum %%4 {axes=[1]} : f32[T, %d]\n"
        "  return \"logits\" %%5\n}\n";
    tegu_site_request request = {.value = 5, .gram = true};
    shelf s;
    lab l;

    (void)state;
    shelf_open(&s);
    lab_open(&l, &s);
    for (int parts = 2; parts <= 4; parts += 2) {
        bench_close(&l.b);
        l.b = bench_text(
            tegu_format(s.arena, text, parts, 16 / parts, 16 / parts));
        fill(&l.b);
        assert_int_equal(ask_for(&l, &request).columns, 16 / parts);
    }
    assert_int_equal(s.compiled, 2);
    bench_close(&l.b);
    tegu_arena_destroy(s.arena);
}

/* Three requests, two stored: one is run, and each gets its own. */
static void only_what_is_missing_is_computed(void **state)
{
    shelf s;
    lab l;
    tegu_site_request requests[3];
    tegu_site_stats one[3], all[3];

    (void)state;
    shelf_open(&s);
    lab_open(&l, &s);
    requests[0] = requests[1] = requests[2] = usual_request(&l);
    requests[1].normalised = true;
    requests[2].sample_stride = 0;
    one[1] = ask_for(&l, &requests[1]);
    s.count = 0;
    one[0] = ask_for(&l, &requests[0]);
    one[2] = ask_for(&l, &requests[2]);
    assert_int_equal(s.store.computed, 3);
    assert_true(
        tegu_calibrate(l.b.unit, &l.data, l.b.arena, requests, 3, 0, all));
    assert_int_equal(s.store.computed, 4);
    assert_int_equal(s.store.reused, 2);
    for (int i = 0; i < 3; i++) {
        int64_t n = one[i].columns;
        assert_int_equal(all[i].columns, n);
        assert_int_equal(all[i].rows, one[i].rows);
        assert_int_equal(all[i].sample_rows, one[i].sample_rows);
        assert_memory_equal(all[i].gram, one[i].gram, (size_t)(n * n) * 8);
        assert_memory_equal(all[i].sum_abs, one[i].sum_abs, (size_t)n * 8);
    }
    assert_null(all[2].samples);
    bench_close(&l.b);
    tegu_arena_destroy(s.arena);
}

static void pinned_weights_are_hashed_once(void **state)
{
    shelf s;
    lab l;
    tegu_site_request request;
    tegu_param *param;
    float *data;

    (void)state;
    shelf_open(&s);
    lab_open(&l, &s);
    request = usual_request(&l);
    param = param_of(&l, "embed");
    data = tegu_arena_copy(l.b.arena, param->data, VOCAB * 32 * 4);
    param->data = data;
    tegu_stats_pin(&s.store, data, VOCAB * 32 * 4);
    ask_for(&l, &request);
    data[0] += 1; /* which pinned bytes must not do */
    ask_for(&l, &request);
    assert_int_equal(s.compiled, 1);
    s.store.pinned.data[0].size--;
    ask_for(&l, &request);
    assert_int_equal(s.compiled, 2);
    bench_close(&l.b);
    tegu_arena_destroy(s.arena);
}

/* --- passes --- */

static bool run(lab *l, const char *text)
{
    tegu_manager_options options = {.verify_each = true,
                                    .calibration = &l->data};
    tegu_pipeline *pipeline = tegu_pipeline_parse(l->b.arena, l->b.diag, text);

    l->b.report = (tegu_manager_report){0};
    return pipeline &&
           tegu_manager_run(l->b.unit, pipeline, &options, &l->b.report);
}

static void must_run(lab *l, const char *text)
{
    if (run(l, text))
        return;
    tegu_diag_render(l->b.diag, stderr, false);
    fail_msg("%s fails", text);
}

static void assert_same_weights(const bench *a, const bench *b)
{
    assert_int_equal(a->unit->params.count, b->unit->params.count);
    for (uint32_t i = 0; i < a->unit->params.count; i++) {
        const tegu_param *x = &a->unit->params.data[i];
        const tegu_param *y = &b->unit->params.data[i];
        assert_string_equal(x->name, y->name);
        assert_memory_equal(x->data, y->data,
                            (size_t)tegu_type_elements(x->type) * 4);
    }
}

static const char *const pipelines[] = {
    "dotresize{keep=0.75,measure=false}",
    "dotresize{keep=0.75,basis=per-site,cost=l1,measure=false}",
    "slice{keep=0.5,basis=per-site,measure=false},"
    "reduce-hidden{keep=0.5,sequential=true}",
    "reduce-hidden{keep=0.5,method=merge}",
    "low-rank{keep=0.6}",
    "prune-heads{keep=0.5}",
};

/* Also without tokens, and without anything that could compile. */
static void a_second_run_computes_nothing_and_gives_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pipelines / sizeof *pipelines; i++) {
        shelf s;
        lab first, second;
        uint32_t computed;
        shelf_open(&s);
        lab_open(&first, &s);
        must_run(&first, pipelines[i]);
        computed = s.store.computed;
        assert_true(computed > 0);
        lab_open(&second, &s);
        second.data.tokens = NULL;
        second.data.compile = NULL;
        must_run(&second, pipelines[i]);
        assert_int_equal(s.store.computed, computed);
        assert_string_equal(bench_printed(&second.b), bench_printed(&first.b));
        assert_same_weights(&second.b, &first.b);
        assert_string_equal(tegu_text_cstr(&second.b.report.remarks),
                            tegu_text_cstr(&first.b.report.remarks));
        bench_close(&second.b);
        bench_close(&first.b);
        tegu_arena_destroy(s.arena);
    }
}

static void streams_are_compared_where_there_are_tokens(void **state)
{
    shelf s;
    lab first, second;

    (void)state;
    shelf_open(&s);
    lab_open(&first, &s);
    must_run(&first, "slice{keep=0.5}");
    lab_open(&second, &s);
    second.data.tokens = NULL;
    must_run(&second, "slice{keep=0.5}");
    assert_same_weights(&second.b, &first.b);
    assert_non_null(
        strstr(tegu_text_cstr(&first.b.report.remarks), "measured_error"));
    assert_null(
        strstr(tegu_text_cstr(&second.b.report.remarks), "measured_error"));
    bench_close(&second.b);
    bench_close(&first.b);
    tegu_arena_destroy(s.arena);
}

/* Layer 0 is the same; behind it all differs. */
static void a_prefix_reduced_otherwise_is_another_model(void **state)
{
    static const char text[] = "reduce-hidden{keep=%s,sequential=true}";
    shelf s;
    lab first, second;

    (void)state;
    shelf_open(&s);
    lab_open(&first, &s);
    must_run(&first, tegu_format(first.b.arena, text, "0.5"));
    assert_int_equal(s.store.computed, 3);
    lab_open(&second, &s);
    must_run(&second, tegu_format(second.b.arena, text, "0.75"));
    assert_int_equal(s.store.reused, 1);
    assert_int_equal(s.store.computed, 5);
    bench_close(&second.b);
    bench_close(&first.b);
    tegu_arena_destroy(s.arena);
}

static const struct {
    const char *pipeline, *message;
} lacking[] = {
    {"reduce-hidden{keep=0.5}",
     "this file lacks 3 of the statistics that a pass asks for: it is of"},
    {"budget{params=0.7}", "judging predictions needs calibration tokens"},
};

static void what_the_store_lacks_needs_tokens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++) {
        shelf s;
        lab l;
        shelf_open(&s);
        lab_open(&l, &s);
        l.data.tokens = NULL;
        assert_false(run(&l, lacking[i].pipeline));
        assert_message(&l.b, lacking[i].message);
        assert_int_equal(s.compiled, 0);
        bench_close(&l.b);
        tegu_arena_destroy(s.arena);
    }
}

static void what_does_not_answer_the_request_is_refused(void **state)
{
    shelf s;
    lab l;
    tegu_site_request request;
    tegu_site_stats stats;

    (void)state;
    shelf_open(&s);
    lab_open(&l, &s);
    request = usual_request(&l);
    ask_for(&l, &request);
    s.stats[0].gram = NULL;
    assert_false(
        tegu_calibrate(l.b.unit, &l.data, l.b.arena, &request, 1, 0, &stats));
    assert_message(&l.b, "what is stored of a value of type f32[T, hidden=48]");
    bench_close(&l.b);
    tegu_arena_destroy(s.arena);
}

/* --- digests --- */

/* Each bit of each length changes both words; zeros at the end count. */
static void every_bit_changes_both_words_of_a_digest(void **state)
{
    unsigned char bytes[100];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        tegu_digest whole = tegu_digest_of(bytes, size);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            tegu_digest other = tegu_digest_of(bytes, size);
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            assert_true(other.words[0] != whole.words[0]);
            assert_true(other.words[1] != whole.words[1]);
        }
    }
    memset(bytes, 0, sizeof bytes);
    for (size_t a = 0; a < sizeof bytes; a++)
        for (size_t b = 0; b < a; b++)
            assert_false(tegu_digest_equal(tegu_digest_of(bytes, a),
                                           tegu_digest_of(bytes, b)));
}

static void digests_are_read_as_they_are_written(void **state)
{
    static const char *const wrong[] = {"", "0123456789abcdef0123456789abcde",
                                        "0123456789ABCDEF0123456789abcdef",
                                        "0123456789abcdef 123456789abcdef"};
    tegu_arena *arena = tegu_arena_create();
    tegu_digest digest = tegu_digest_of("tegu", 4), read;
    const char *text = tegu_digest_text(arena, digest);

    (void)state;
    assert_int_equal(strlen(text), TEGU_DIGEST_TEXT);
    assert_true(tegu_digest_parse(text, TEGU_DIGEST_TEXT, &read));
    assert_true(tegu_digest_equal(read, digest));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(tegu_digest_parse(wrong[i], strlen(wrong[i]), &read));
    tegu_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_statistic_depends_on_changes_its_key),
        cmocka_unit_test(fewer_tokens_are_other_statistics),
        cmocka_unit_test(what_a_state_is_updated_with_counts),
        cmocka_unit_test(what_an_adapter_is_switched_to_counts),
        cmocka_unit_test(what_a_value_is_reshaped_to_counts),
        cmocka_unit_test(only_what_is_missing_is_computed),
        cmocka_unit_test(pinned_weights_are_hashed_once),
        cmocka_unit_test(a_second_run_computes_nothing_and_gives_the_same_bits),
        cmocka_unit_test(streams_are_compared_where_there_are_tokens),
        cmocka_unit_test(a_prefix_reduced_otherwise_is_another_model),
        cmocka_unit_test(what_the_store_lacks_needs_tokens),
        cmocka_unit_test(what_does_not_answer_the_request_is_refused),
        cmocka_unit_test(every_bit_changes_both_words_of_a_digest),
        cmocka_unit_test(digests_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
