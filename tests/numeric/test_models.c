/* SPDX-License-Identifier: Apache-2.0 */
/* test_models.c - trained models, compiled, against reference logits.
 *
 * The fp32 originals and their references (PyTorch; llama2.c) lie in
 * ../shared/data and are skipped when absent; the bundled bf16 model is
 * compared with the interpreter everywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "frontend/safetensors.h"
#include "passes/pass.h"
#include "tegu/runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHARED "../shared/data/"
#define BUNDLED "examples/models/wiki5m"

typedef struct model {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_unit *unit;
    tegu_executor *run;
    int64_t vocab;
} model;

static void require(const model *m, bool ok)
{
    if (!ok)
        tegu_diag_render(m->diag, stderr, false);
    assert_true(ok);
}

static void open_model(model *m, const char *path)
{
    *m = (model){.arena = tegu_arena_create()};
    m->diag = tegu_diag_create(m->arena);
    tegu_load_options options = {0};
    m->unit = tegu_load(m->arena, m->diag, path, &options);
    require(m, m->unit != NULL);
    tegu_entry *step = tegu_unit_find_entry(m->unit, "step");
    assert_non_null(step);
    m->vocab = tegu_graph_type(step->graph, step->graph->results.data[0].value)
                   ->dims[1]
                   .offset;
}

static void compile(model *m, int level)
{
    tegu_pipeline *pipeline = tegu_pipeline_parse(m->arena, m->diag, "");
    tegu_pipeline_add_preset(pipeline, level);
    tegu_manager_options options = {.verify_each = true};
    tegu_manager_report report = {.remarks = {.arena = m->arena}};
    require(m, tegu_manager_run(m->unit, pipeline, &options, &report));
    tegu_target target;
    tegu_failure failure;
    assert_true(tegu_target_find(&target, NULL, NULL, NULL, &failure));
    tegu_codegen_options codegen = {
        .target = &target, .level = level, .pipeline = "", .provenance = ""};
    tegu_artifact *artifact = tegu_codegen(m->unit, m->arena, &codegen);
    require(m, artifact != NULL);
    tegu_jit_options jit = {.threads = 1};
    m->run = tegu_jit_create(m->unit, m->arena, artifact, &jit);
    require(m, m->run != NULL);
}

static void interpret(model *m)
{
    m->run = tegu_interp_create(m->unit, m->arena);
    require(m, m->run != NULL);
}

static void close_model(model *m)
{
    if (m->run)
        m->run->destroy(m->run->self);
    tegu_unit_destroy(m->unit);
    tegu_arena_destroy(m->arena);
}

static void step(const model *m, const int32_t *tokens, int64_t count,
                 float *logits)
{
    tegu_tensor in = {TEGU_I32, 1, {count}, NULL};
    tegu_tensor out = {TEGU_F32, 2, {count, m->vocab}, logits};
    memcpy(&in.data, &tokens, sizeof in.data);
    require(m, m->run->call(m->run->self, "step", &in, 1, &out, 1));
}

static float largest_difference(const float *a, const float *b, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        float d = fabsf(a[i] - b[i]);
        if (!(d <= most))
            most = d;
    }
    return most;
}

static tegu_safetensors *reference_of(model *m, const char *path)
{
    tegu_safetensors *st = tegu_safetensors_open(m->arena, m->diag, path);
    require(m, st != NULL);
    return st;
}

static void wiki5m_matches_pytorch(int level)
{
    if (!tegu_path_exists(SHARED "wiki5m/reference.safetensors")) {
        print_message("skipped: no " SHARED "wiki5m\n");
        skip();
    }
    model m;
    open_model(&m, SHARED "wiki5m");
    compile(&m, level);
    tegu_safetensors *st =
        reference_of(&m, SHARED "wiki5m/reference.safetensors");
    const int32_t *ids =
        (const void *)tegu_safetensors_find(st, "prompt_ids")->data;
    const float *want = (const void *)tegu_safetensors_find(st, "logits")->data;
    enum { PROMPTS = 4, LENGTH = 32, VOCAB = 2048 };
    float *got = malloc(sizeof(float) * LENGTH * VOCAB);
    float prefill = 0, decode = 0;
    for (int p = 0; p < PROMPTS; p++) {
        const float *expected = want + p * LENGTH * VOCAB;
        m.run->reset(m.run->self);
        step(&m, ids + p * LENGTH, LENGTH, got);
        float d = largest_difference(got, expected, LENGTH * VOCAB);
        prefill = d > prefill ? d : prefill;
        m.run->reset(m.run->self);
        for (int t = 0; t < LENGTH; t++)
            step(&m, ids + p * LENGTH + t, 1, got + t * VOCAB);
        d = largest_difference(got, expected, LENGTH * VOCAB);
        decode = d > decode ? d : decode;
    }
    print_message("-O%d: max |difference| prefill %.2e, token by token %.2e\n",
                  level, (double)prefill, (double)decode);
    free(got);
    tegu_file_unmap(&st->file);
    close_model(&m);
    assert_true(prefill <= 2e-4f && decode <= 2e-4f);
}

static void wiki5m_at_O2_matches_pytorch(void **state)
{
    (void)state;
    wiki5m_matches_pytorch(2);
}

static void wiki5m_at_O0_matches_pytorch(void **state)
{
    (void)state;
    wiki5m_matches_pytorch(0);
}

static double window_nll(const model *m, const int32_t *ids, int64_t length,
                         float *logits)
{
    m->run->reset(m->run->self);
    step(m, ids, length, logits);
    double nll = 0;
    for (int64_t t = 0; t < length; t++) {
        const float *x = logits + t * m->vocab;
        double sum = 0;
        for (int64_t i = 0; i < m->vocab; i++)
            sum += exp((double)x[i]);
        nll += log(sum) - (double)x[ids[t + 1]];
    }
    return nll;
}

static void wiki5m_has_its_stored_perplexity(void **state)
{
    (void)state;
    if (!tegu_path_exists(SHARED "wiki5m/reference.safetensors")) {
        print_message("skipped: no " SHARED "wiki5m\n");
        skip();
    }
    model m;
    open_model(&m, SHARED "wiki5m");
    compile(&m, 2);
    tegu_safetensors *st =
        reference_of(&m, SHARED "wiki5m/reference.safetensors");
    const int32_t *ids =
        (const void *)tegu_safetensors_find(st, "valid_ids")->data;
    enum { PREDICTIONS = 20480 };
    float *logits = malloc(sizeof(float) * 512 * 2048);
    const struct {
        int64_t context;
        double perplexity;
    } rows[] = {{256, 31.7003}, {512, 32.0518}};
    for (size_t r = 0; r < 2; r++) {
        double nll = 0;
        for (int64_t s = 0; s < PREDICTIONS; s += rows[r].context)
            nll += window_nll(&m, ids + s, rows[r].context, logits);
        double perplexity = exp(nll / PREDICTIONS);
        print_message("context %d: perplexity %.4f\n", (int)rows[r].context,
                      perplexity);
        assert_true(fabs(perplexity - rows[r].perplexity) < 5.1e-5);
    }
    free(logits);
    tegu_file_unmap(&st->file);
    close_model(&m);
}

/* NumPy's .npy, version 1: the data follows the header. */
static float *read_npy(tegu_arena *arena, const char *path)
{
    tegu_file file;
    const char *error;
    assert_true(tegu_file_read(arena, path, 0, &file, &error));
    size_t header = file.data[8] + 256u * file.data[9];
    return tegu_arena_copy(arena, file.data + 10 + header,
                           file.size - 10 - header);
}

static void stories260K_gives_its_golden_logits(void **state)
{
    (void)state;
    if (!tegu_path_exists(SHARED "stories260K/hf/config.json")) {
        print_message("skipped: no " SHARED "stories260K\n");
        skip();
    }
    model m;
    open_model(&m, SHARED "stories260K/hf");
    compile(&m, 2);
    const int32_t ids[] = {1, 403, 407, 261, 378};
    float *want = read_npy(m.arena, SHARED
                           "stories260K/golden_logits_1_403_407_261_378.npy");
    float got[5 * 512];
    step(&m, ids, 5, got);
    float d = largest_difference(got, want, 5 * 512);
    print_message("max |difference| %.2e\n", (double)d);
    close_model(&m);
    assert_true(d <= 2e-4f);
}

/* The text between "exactly:" and the next line about perplexity. */
static const char story[] =
    "Once upon a time, there was a little girl named Lily. She loved to play "
    "outside in the park. One day, she saw a big, red ball. She wanted to "
    "play with it, but it was too high.\nLily's mom said, \"Lily, let's go to "
    "the park.\" Lily was sad and didn't know what to do. She said, \"I want "
    "to play with your ball, but I can't find it.\"\n";

static void stories260K_tells_its_story(void **state)
{
    (void)state;
    if (!tegu_path_exists(SHARED "stories260K/tok512.bin")) {
        print_message("skipped: no " SHARED "stories260K\n");
        skip();
    }
    model m;
    open_model(&m, SHARED "stories260K/hf");
    compile(&m, 2);
    tegu_tokenizer *tokenizer;
    tegu_reason why;
    assert_int_equal(
        tegu_tokenizer_open(SHARED "stories260K/tok512.bin", &tokenizer, &why),
        TEGU_STATUS_OK);
    float logits[512];
    tegu_text text = {.arena = m.arena};
    int32_t id = 1;
    while (text.count < sizeof story - 1) {
        step(&m, &id, 1, logits);
        int32_t next = 0;
        for (int32_t i = 1; i < 512; i++)
            if (logits[i] > logits[next])
                next = i;
        size_t length;
        const char *bytes = tegu_tokenizer_decode(tokenizer, id, next, &length);
        tegu_text_add(&text, bytes, length);
        id = next;
    }
    char begin[sizeof story] = {0};
    memcpy(begin, text.data, sizeof story - 1);
    assert_string_equal(begin, story);
    tegu_tokenizer_close(tokenizer);
    close_model(&m);
}

static void bundled_model_matches_the_interpreter(void **state)
{
    (void)state;
    enum { LENGTH = 12, VOCAB = 2048 };
    const int32_t ids[LENGTH] = {359, 1044, 72,  500, 11,   263,
                                 900, 17,   333, 1,   2047, 64};
    static float native[LENGTH * VOCAB], defined[LENGTH * VOCAB];
    model m;
    open_model(&m, BUNDLED);
    interpret(&m);
    step(&m, ids, 7, defined);
    step(&m, ids + 7, LENGTH - 7, defined + 7 * VOCAB);
    close_model(&m);
    open_model(&m, BUNDLED);
    compile(&m, 2);
    step(&m, ids, 7, native);
    step(&m, ids + 7, LENGTH - 7, native + 7 * VOCAB);
    close_model(&m);
    float d = largest_difference(native, defined, LENGTH * VOCAB);
    print_message("max |difference| %.2e\n", (double)d);
    assert_true(d <= 2e-4f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundled_model_matches_the_interpreter),
        cmocka_unit_test(wiki5m_at_O2_matches_pytorch),
        cmocka_unit_test(wiki5m_at_O0_matches_pytorch),
        cmocka_unit_test(wiki5m_has_its_stored_perplexity),
        cmocka_unit_test(stories260K_gives_its_golden_logits),
        cmocka_unit_test(stories260K_tells_its_story),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
