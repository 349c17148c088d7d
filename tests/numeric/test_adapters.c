/* SPDX-License-Identifier: Apache-2.0 */
/* test_adapters.c - adapted weights: folded, kept apart, and as defined.
 *
 * Trained adapters and their PyTorch logits lie in ../shared/data/wiki5m
 * (skipped when absent); random shapes are held to an f64 oracle written here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "frontend/peft.h"
#include "ir/ir.h"
#include "passes/pass.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARED "../shared/data/"
#define WIKI SHARED "wiki5m"

typedef struct model {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_unit *unit;
    tegu_manager_report report;
} model;

static void require(const model *m, bool ok)
{
    if (!ok)
        tegu_diag_render(m->diag, stderr, false);
    assert_true(ok);
}

static void begin(model *m)
{
    *m = (model){.arena = tegu_arena_create()};
    m->diag = tegu_diag_create(m->arena);
    m->report.remarks.arena = m->arena;
}

static void finish(model *m)
{
    if (m->unit)
        tegu_unit_destroy(m->unit);
    tegu_arena_destroy(m->arena);
}

static void run_passes(model *m, const char *pipeline, bool check)
{
    tegu_manager_options options = {.verify_each = true, .check_each = check};
    tegu_pipeline *steps = tegu_pipeline_parse(m->arena, m->diag, pipeline);
    require(m, steps && tegu_manager_run(m->unit, steps, &options, &m->report));
}

static bool have(const char *path)
{
    if (tegu_path_exists(path))
        return true;
    print_message("skipped: no %s\n", path);
    return false;
}

/* --- trained adapters --- */

static const char *const trained[] = {
    "lora_r8",
    "rslora_r8",
    "singlora_r8",
    "singlora_r16",
    "singlora_r8_kyegomez/singlora.safetensors",
    "emloc_lora_r8_corrected",
    "emloc_lora_r8_uncorrected",
};

/* The path below adapters/ up to the first slash. */
static const char *folder_of(const model *m, const char *name)
{
    return tegu_format(m->arena, WIKI "/adapters/%.*s", (int)strcspn(name, "/"),
                       name);
}

/* `apart`: as one of the unit's own adapters. */
static void open_adapted(model *m, const char *name, bool apart)
{
    const tegu_load_options load = {0};
    const tegu_adapter_options options = {.ramp = -1};
    begin(m);
    m->unit = tegu_load(m->arena, m->diag, WIKI, &load);
    require(m, m->unit != NULL);
    tegu_adapter *adapter = tegu_adapter_open(
        m->arena, m->diag, tegu_format(m->arena, WIKI "/adapters/%s", name),
        &options);
    require(m, adapter && tegu_adapter_apply(m->unit, adapter, 1, apart));
    tegu_adapter_close(adapter);
}

enum { PROMPTS = 4, LENGTH = 32, LAST = 8, VOCAB = 2048 };

static tegu_executor *compile(model *m)
{
    tegu_target target;
    tegu_failure failure;
    assert_true(tegu_target_find(&target, NULL, NULL, NULL, &failure));
    tegu_codegen_options options = {
        .target = &target, .level = 2, .pipeline = "", .provenance = ""};
    tegu_artifact *artifact = tegu_codegen(m->unit, m->arena, &options);
    require(m, artifact != NULL);
    tegu_jit_options jit = {.threads = 1};
    return tegu_jit_create(m->unit, m->arena, artifact, &jit);
}

/* Logits of the last positions of every prompt. */
static float *logits_of(model *m, const int32_t *ids, bool native)
{
    float *all = TEGU_ARRAY(m->arena, float, LENGTH *VOCAB);
    float *last = TEGU_ARRAY(m->arena, float, PROMPTS *LAST *VOCAB);
    tegu_executor *run =
        native ? compile(m) : tegu_interp_create(m->unit, m->arena);
    require(m, run != NULL);
    for (int p = 0; p < PROMPTS; p++) {
        tegu_tensor in = {TEGU_I32, 1, {LENGTH}, NULL};
        tegu_tensor out = {TEGU_F32, 2, {LENGTH, VOCAB}, all};
        const int32_t *prompt = ids + p * LENGTH;
        memcpy(&in.data, &prompt, sizeof in.data);
        run->reset(run->self);
        require(m, run->call(run->self, "step", &in, 1, &out, 1));
        memcpy(last + p * LAST * VOCAB, all + (LENGTH - LAST) * VOCAB,
               LAST * VOCAB * sizeof *all);
    }
    run->destroy(run->self);
    return last;
}

static double difference(const float *a, const float *b, int64_t n,
                         double *largest)
{
    double most = 0;
    *largest = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        *largest = fmax(*largest, fabs((double)b[i]));
    }
    return most;
}

/* The reference of the adapter; of the same weights in another layout. */
static tegu_safetensors *reference_of(model *m, const char *name)
{
    const char *folder = folder_of(m, name);
    if (strstr(name, "kyegomez"))
        folder = folder_of(m, "singlora_r8");
    tegu_safetensors *st = tegu_safetensors_open(
        m->arena, m->diag,
        tegu_path_join(m->arena, folder, "reference_logits.safetensors"));
    require(m, st != NULL);
    return st;
}

static const void *tensor(const tegu_safetensors *st, const char *name)
{
    const tegu_stored_tensor *t = tegu_safetensors_find(st, name);
    assert_non_null(t);
    return t->data;
}

static double frobenius(const model *m, const char *name)
{
    const tegu_param *param = tegu_unit_find_param(m->unit, name);
    assert_non_null(param);
    int64_t n = tegu_type_elements(param->type);
    float *values = malloc((size_t)n * sizeof *values);
    double sum = 0;
    require(m, tegu_param_read(m->unit, param, 0, n, values));
    for (int64_t i = 0; i < n; i++)
        sum += (double)values[i] * (double)values[i];
    free(values);
    return sqrt(sum);
}

static void check_norms(const model *m, const double *want)
{
    static const char *const names[] = {"self_attn.q_proj", "self_attn.k_proj",
                                        "self_attn.v_proj", "self_attn.o_proj",
                                        "mlp.gate_proj",    "mlp.up_proj",
                                        "mlp.down_proj"};
    for (int i = 0; i < 42; i++) {
        char name[80];
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", i / 7,
                 names[i % 7]);
        double got = frobenius(m, name);
        if (fabs(got - want[i]) > 1e-5 * want[i])
            fail_msg("%s: norm %.9g, not %.9g", name, got, want[i]);
    }
}

static void trained_adapters_give_their_logits_folded_and_kept(void **state)
{
    (void)state;
    if (!have(WIKI "/adapters"))
        skip();
    for (size_t i = 0; i < sizeof trained / sizeof *trained; i++) {
        model folded, kept;
        double largest;
        open_adapted(&folded, trained[i], false);
        run_passes(&folded, "fold-adapters", false);
        tegu_safetensors *st = reference_of(&folded, trained[i]);
        const int32_t *ids = tensor(st, "prompt_ids");
        float *a = logits_of(&folded, ids, false);
        check_norms(&folded, tensor(st, "row_norms"));
        open_adapted(&kept, trained[i], false);
        run_passes(&kept, "keep-adapters", false);
        float *b = logits_of(&kept, ids, false);
        double off = difference(a, tensor(st, "logits_last8"),
                                PROMPTS * LAST * VOCAB, &largest);
        double apart = difference(b, a, PROMPTS * LAST * VOCAB, &largest);
        print_message("%s: folded %.2e from PyTorch, kept %.2e from folded "
                      "(relative)\n",
                      trained[i], off, apart / largest);
        tegu_file_unmap(&st->file);
        finish(&kept);
        finish(&folded);
        assert_true(off <= 3e-4);
        assert_true(apart <= 1e-5 * largest);
    }
}

static void compiled_adapters_give_their_logits_folded_and_kept(void **state)
{
    (void)state;
    static const char *const names[] = {"lora_r8", "singlora_r16"};
    static const struct {
        const char *pipeline;
        bool apart;
    } forms[] = {{"-O2", false},
                 {"keep-adapters,-O2", false},
                 {"keep-adapters,-O2", true},
                 {"singlora-to-lora,-O2", false}};
    enum { FORMS = sizeof forms / sizeof *forms };
    if (!have(WIKI "/adapters"))
        skip();
    float *folded = NULL;
    for (size_t i = 0; i < 2 * FORMS; i++) {
        model m;
        double largest, size;
        const char *name = names[i / FORMS];
        open_adapted(&m, name, forms[i % FORMS].apart);
        run_passes(&m, forms[i % FORMS].pipeline, false);
        tegu_safetensors *st = reference_of(&m, name);
        float *y = logits_of(&m, tensor(st, "prompt_ids"), true);
        double off = difference(y, tensor(st, "logits_last8"),
                                PROMPTS * LAST * VOCAB, &largest);
        if (i % FORMS == 0) {
            free(folded);
            folded = malloc(PROMPTS * LAST * VOCAB * sizeof *folded);
            assert_non_null(folded);
            memcpy(folded, y, PROMPTS * LAST * VOCAB * sizeof *folded);
        }
        double apart = difference(y, folded, PROMPTS * LAST * VOCAB, &size);
        print_message("%s, %s%s: %.2e from PyTorch, %.2e from folded\n", name,
                      forms[i % FORMS].pipeline,
                      forms[i % FORMS].apart ? ", switched on" : "", off,
                      apart / size);
        tegu_file_unmap(&st->file);
        finish(&m);
        assert_true(off <= 3e-4);
        assert_true(apart <= 1e-5 * size);
    }
    free(folded);
}

static void other_files_parse_and_say_what_they_hold(void **state)
{
    (void)state;
    static const struct {
        const char *path, *line;
        uint32_t sites, adapted;
    } rows[] = {
        {SHARED "lora_adapters/tiny_lora",
         "transformer.h.0.attn.c_attn: lora, rank 8, scale 2\n", 12, 12},
        {SHARED "lora_adapters/roberta_base_lora_mnli.converted.safetensors",
         "roberta.encoder.layer.0.attention.self.query: lora, rank 8, "
         "scale 2\n",
         26, 24},
    };
    if (!have(SHARED "lora_adapters"))
        skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        model m;
        const tegu_adapter_options options = {.ramp = -1, .alpha = 16};
        begin(&m);
        tegu_adapter *a =
            tegu_adapter_open(m.arena, m.diag, rows[i].path, &options);
        require(&m, a != NULL);
        tegu_text text = {.arena = m.arena};
        tegu_adapter_print(&text, a);
        uint32_t adapted = 0;
        for (uint32_t k = 0; k < a->sites.count; k++)
            adapted += a->sites.data[k].kind == TEGU_ADAPTER_LORA;
        assert_int_equal(a->sites.count, rows[i].sites);
        assert_int_equal(adapted, rows[i].adapted);
        assert_non_null(strstr(tegu_text_cstr(&text), rows[i].line));
        tegu_adapter_close(a);
        finish(&m);
    }
}

/* --- random shapes against an f64 oracle --- */

static uint64_t random_state;

static double uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)random_state * 0x1p-63;
}

static int64_t between(int64_t lo, int64_t hi)
{
    return lo + (int64_t)((uniform() + 1) / 2 * (double)(hi - lo + 1)) %
                    (hi - lo + 1);
}

typedef struct sample {
    const char *kind; /* "lora", "singlora", "dora" */
    int64_t rows, columns, rank;
    double scale;
} sample;

enum { TOKENS = 3 };

static float *random_data(const model *m, int64_t n, double size)
{
    float *data = TEGU_ARRAY(m->arena, float, (size_t)n + 1);
    for (int64_t i = 0; i < n; i++)
        data[i] = (float)(uniform() * size);
    return data;
}

static void set_param(model *m, const char *name, const float *data)
{
    tegu_param *param = tegu_unit_find_param(m->unit, name);
    assert_non_null(param);
    param->source = TEGU_SOURCE_DATA;
    param->stored = TEGU_F32;
    param->data = data;
}

static const char *text_of(const model *m, const sample *s)
{
    int64_t longer = s->rows > s->columns ? s->rows : s->columns;
    const char *rest = "";
    if (strcmp(s->kind, "singlora") == 0)
        rest = tegu_format(m->arena, "param \"a\" [%lld, %lld]",
                           (long long)longer, (long long)s->rank);
    else
        rest = tegu_format(
            m->arena, "param \"a\" [%lld, %lld], param \"b\" [%lld, %lld]%s",
            (long long)s->rank, (long long)s->columns, (long long)s->rows,
            (long long)s->rank,
            strcmp(s->kind, "dora") == 0
                ? tegu_format(m->arena, ", param \"m\" [%lld]",
                              (long long)s->rows)
                : "");
    return tegu_format(
        m->arena,
        "model m entry f(x: f32[%d, %lld]) -> y: f32[%d, %lld] {\n"
        "  return linear(x, %s(param \"w\" [%lld, %lld], %s, scale = %.17g))\n"
        "}\n",
        TOKENS, (long long)s->columns, TOKENS, (long long)s->rows, s->kind,
        (long long)s->rows, (long long)s->columns, rest, s->scale);
}

typedef struct tensors {
    float *w, *a, *b, *m, *x;
} tensors;

static void load_sample(model *m, const sample *s, tensors *t)
{
    const tegu_load_options load = {0};
    begin(m);
    const char *text = text_of(m, s);
    m->unit = tegu_language_load(m->arena, m->diag, "m.tegu", text,
                                 strlen(text), &load);
    require(m, m->unit != NULL);
    int64_t longer = s->rows > s->columns ? s->rows : s->columns;
    bool single = strcmp(s->kind, "singlora") == 0;
    t->w = random_data(m, s->rows * s->columns, 0.1);
    t->a = random_data(m, (single ? longer : s->columns) * s->rank, 0.3);
    t->x = random_data(m, TOKENS * s->columns, 1);
    set_param(m, "w", t->w);
    set_param(m, "a", t->a);
    t->b = random_data(m, s->rows * s->rank, 0.3);
    t->m = random_data(m, s->rows, 1);
    if (!single)
        set_param(m, "b", t->b);
    if (strcmp(s->kind, "dora") == 0)
        set_param(m, "m", t->m);
}

/* The adapted weight in f64, element by element, from the papers. */
static double *oracle(const model *m, const sample *s, const tensors *t)
{
    double *w =
        TEGU_ARRAY(m->arena, double, (size_t)(s->rows * s->columns) + 1);
    bool single = strcmp(s->kind, "singlora") == 0;
    for (int64_t n = 0; n < s->rows; n++) {
        double square = 0;
        for (int64_t k = 0; k < s->columns; k++) {
            double sum = 0;
            for (int64_t j = 0; j < s->rank; j++)
                sum += single ? (double)t->a[n * s->rank + j] *
                                    (double)t->a[k * s->rank + j]
                              : (double)t->b[n * s->rank + j] *
                                    (double)t->a[j * s->columns + k];
            sum = (double)t->w[n * s->columns + k] + s->scale * sum;
            w[n * s->columns + k] = sum;
            square += sum * sum;
        }
        for (int64_t k = 0; k < s->columns && strcmp(s->kind, "dora") == 0; k++)
            w[n * s->columns + k] *= (double)t->m[n] / sqrt(square);
    }
    return w;
}

/* y of the model by the interpreter's shadow, and its bound. */
static tegu_shadow shadow_of(model *m, const sample *s, const tensors *t)
{
    tegu_shadow result;
    tegu_tensor x = {TEGU_F32, 2, {TOKENS, s->columns}, t->x};
    int64_t *symbols = TEGU_ARRAY(m->arena, int64_t, m->unit->axes.count + 1);
    require(m, tegu_interp_shadow(m->unit->entries.data[0].graph, m->arena, &x,
                                  1, tegu_interp_states(m->unit, m->arena), 0,
                                  symbols, &result));
    return result;
}

/* Every output within its bound of the oracle's. */
static void check_outputs(const sample *s, const tensors *t, const double *w,
                          const tegu_shadow *y, const char *form)
{
    for (int64_t i = 0; i < TOKENS; i++)
        for (int64_t n = 0; n < s->rows; n++) {
            double want = 0, size = 0;
            for (int64_t k = 0; k < s->columns; k++) {
                double p =
                    (double)t->x[i * s->columns + k] * w[n * s->columns + k];
                want += p;
                size += fabs(p);
            }
            double got = y->exact[i * s->rows + n];
            /* A folded weight is rounded once: half an ulp of each. */
            double bound = size * 0x1p-24 * 1.001 + 1e-12;
            if (!(fabs(got - want) <= bound))
                fail_msg("%s %s [%lld, %lld] r %lld scale %g: %.9g, not %.9g "
                         "(bound %.3g)",
                         form, s->kind, (long long)s->rows,
                         (long long)s->columns, (long long)s->rank, s->scale,
                         got, want, bound);
        }
}

/* Makes the sample's adapter one of the unit's own, at a scale of 2. */
static void take_apart(model *m)
{
    uint32_t number = tegu_unit_add_adapter(m->unit, "tone", 2);
    for (uint32_t i = 0; i < m->unit->params.count; i++)
        if (strcmp(m->unit->params.data[i].name, "w") != 0)
            m->unit->params.data[i].adapter = number;
}

static void check_form(const sample *s, uint64_t seed, const char *pipeline,
                       bool apart)
{
    model m;
    tensors t;
    random_state = seed;
    load_sample(&m, s, &t);
    if (apart)
        take_apart(&m);
    double *w = oracle(&m, s, &t);
    run_passes(&m, pipeline, true);
    tegu_shadow y = shadow_of(&m, s, &t);
    check_outputs(s, &t, w, &y, *pipeline ? pipeline : "as defined");
    if (strcmp(pipeline, "fold-adapters") == 0) {
        const tegu_param *own = tegu_unit_find_param(m.unit, "w");
        const float *got = own->data;
        for (int64_t i = 0; i < s->rows * s->columns; i++)
            assert_true(fabs((double)got[i] - w[i]) <=
                        fabs(w[i]) * 0x1p-24 * (1 + 1e-6) + 1e-14);
        assert_int_equal(m.unit->entries.data[0].graph->nodes.count, 4);
        if (s->scale == 0 && strcmp(s->kind, "dora") != 0)
            assert_memory_equal(got, t.w,
                                (size_t)(s->rows * s->columns) * sizeof *got);
    }
    finish(&m);
}

static void random_shapes_follow_the_papers_in_every_form(void **state)
{
    (void)state;
    static const double ramps[] = {0, 0.5, 1};
    static const char *const kinds[] = {"singlora", "lora", "dora"};
    for (uint64_t i = 0; i < 60; i++) {
        random_state = 77 + i;
        sample s = {.kind = kinds[i % 3],
                    .rows = between(1, 70),
                    .columns = between(1, 70),
                    .rank = i < 6 ? 64 : between(1, 20)};
        if (i % 4 == 0)
            s.columns = s.rows;
        /* The definition's scale is an f32, so take one of those. */
        s.scale = (double)(float)(ramps[i / 3 % 3] * 8.0 / (double)s.rank);
        check_form(&s, i, "", false);
        check_form(&s, i, "fold-adapters", false);
        if (strcmp(s.kind, "dora") != 0) {
            check_form(&s, i, "keep-adapters", false);
            check_form(&s, i, "keep-adapters", true);
            check_form(&s, i, "singlora-to-lora,keep-adapters", true);
        }
        check_form(&s, i, "singlora-to-lora", false);
        check_form(&s, i, "singlora-to-lora,fold-adapters", false);
    }
}

static void the_conversion_to_lora_folds_to_the_same_bits(void **state)
{
    (void)state;
    const sample shapes[] = {{"singlora", 9, 9, 4, 0.5},
                             {"singlora", 40, 7, 5, 2},
                             {"singlora", 7, 40, 64, 0.1}};
    for (size_t i = 0; i < 3; i++) {
        model one, two;
        tensors a, b;
        size_t bytes =
            (size_t)(shapes[i].rows * shapes[i].columns) * sizeof(float);
        random_state = i;
        load_sample(&one, &shapes[i], &a);
        random_state = i;
        load_sample(&two, &shapes[i], &b);
        run_passes(&one, "fold-adapters", false);
        run_passes(&two, "singlora-to-lora,fold-adapters", false);
        assert_memory_equal(tegu_unit_find_param(one.unit, "w")->data,
                            tegu_unit_find_param(two.unit, "w")->data, bytes);
        finish(&one);
        finish(&two);
    }
}

static void dora_cannot_be_kept_and_says_why(void **state)
{
    (void)state;
    model m;
    tensors t;
    const sample s = {"dora", 4, 6, 2, 1};
    uint32_t count;
    load_sample(&m, &s, &t);
    tegu_manager_options options = {0};
    tegu_pipeline *steps =
        tegu_pipeline_parse(m.arena, m.diag, "keep-adapters");
    assert_false(tegu_manager_run(m.unit, steps, &options, &m.report));
    const tegu_message *message = tegu_diag_messages(m.diag, &count);
    assert_true(count >= 1);
    assert_non_null(strstr(message->text, "only fold-adapters can take it"));
    finish(&m);
}

static void the_report_lists_sites_within_their_bound(void **state)
{
    (void)state;
    model m;
    tensors t;
    const sample s = {"singlora", 30, 20, 4, 0.25};
    load_sample(&m, &s, &t);
    run_passes(&m, "fold-adapters", true);
    const char *text = tegu_text_cstr(&m.report.remarks);
    double change = 0, error = 9;
    const char *line = strstr(text, "w: singlora rank 4 scale 0.25");
    assert_non_null(line);
    const char *measures = strstr(line, "||dW||");
    assert_non_null(measures);
    assert_int_equal(
        sscanf(measures, "||dW||/||W|| %lf, error/bound %lf", &change, &error),
        2);
    assert_true(change > 0.01 && error > 0 && error <= 1);
    finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_shapes_follow_the_papers_in_every_form),
        cmocka_unit_test(the_conversion_to_lora_folds_to_the_same_bits),
        cmocka_unit_test(dora_cannot_be_kept_and_says_why),
        cmocka_unit_test(the_report_lists_sites_within_their_bound),
        cmocka_unit_test(other_files_parse_and_say_what_they_hold),
        cmocka_unit_test(trained_adapters_give_their_logits_folded_and_kept),
        cmocka_unit_test(compiled_adapters_give_their_logits_folded_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
