/* SPDX-License-Identifier: Apache-2.0 */
/* emit_model.c: what `opt --emit model` writes is the model that the passes
 * left, weights and all, and a model like any other. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/cli/emit_model.h"
#include "frontend/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tegu_cli cli;
static char folder[] = "/tmp/tegu-model-XXXXXX";

static const char *at(const char *name)
{
    return tegu_path_join(cli.arena, folder, name);
}

static int enter(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/tegu-model-XXXXXX");
    tegu_arena *arena = tegu_arena_create();
    cli = (tegu_cli){.arena = arena, .diag = tegu_diag_create(arena)};
    return mkdtemp(folder) ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    static const char *const names[] = {"slim.tegu", "slim.safetensors",
                                        "slim.tokenizer.json", "again.tegu",
                                        "again.safetensors"};
    tegu_calibration_close(&cli);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(at(names[i]));
    int failed = rmdir(folder);
    tegu_arena_destroy(cli.arena);
    return failed;
}

static void check(bool ok)
{
    if (ok)
        return;
    tegu_diag_render(cli.diag, stderr, false);
    fail_msg("a step that should work does not");
}

/* `tegu opt MODEL -q -p PIPELINE more...` up to the end of the passes. */
static tegu_session *run(const char *model, const char *pipeline,
                         const char *calib)
{
    const char *words[] = {
        "tegu",           "opt", model, "-q", "-p", pipeline, "--calib", calib,
        "--calib-tokens", "512"};
    int count = calib ? 10 : 6;
    char *argv[11] = {NULL};
    for (int i = 0; i < count; i++)
        argv[i] = tegu_format(cli.arena, "%s", words[i]);
    cli.args = (tegu_args){0};
    check(tegu_args_parse(&cli, count, argv));
    tegu_session *session = tegu_session_open(&cli, false);
    check(session && tegu_session_passes(&cli, session, NULL, false));
    return session;
}

static tegu_unit *load(const char *path)
{
    tegu_load_options options = {0};
    tegu_unit *unit = tegu_load(cli.arena, cli.diag, path, &options);
    check(unit && tegu_unit_verify(unit));
    return unit;
}

static const void *values(const tegu_unit *unit, const tegu_param *param)
{
    int64_t count = tegu_type_elements(param->type);
    void *data = tegu_arena_array(cli.arena, (size_t)count,
                                  tegu_dtype_bytes(param->type->dtype));
    check(tegu_param_read(unit, param, 0, count, data));
    return data;
}

/* The same entries over the same weights, of which none is left over. */
static void assert_same_model(tegu_unit *a, tegu_unit *b)
{
    assert_int_equal(a->entries.count, b->entries.count);
    for (uint32_t e = 0; e < a->entries.count; e++)
        assert_true(tegu_graph_hash(a->entries.data[e].graph) ==
                    tegu_graph_hash(b->entries.data[e].graph));
    assert_true(tegu_unit_parameters(a) == tegu_unit_parameters(b));
    for (uint32_t i = 0; i < b->params.count; i++) {
        const tegu_param *got = &b->params.data[i];
        const tegu_param *want = tegu_unit_find_param(a, got->name);
        tegu_mark mark = tegu_arena_mark(cli.arena);
        assert_non_null(want);
        assert_memory_equal(values(b, got), values(a, want),
                            (size_t)tegu_type_elements(got->type) *
                                tegu_dtype_bytes(got->type->dtype));
        tegu_arena_release(cli.arena, mark);
    }
}

/* Emits, loads, compares; the unit that was loaded. */
static tegu_unit *emit(tegu_session *session, const char *name)
{
    check(tegu_emit_model(&cli, session, at(name)));
    tegu_unit *unit = load(at(name));
    assert_same_model(session->unit, unit);
    return unit;
}

static void an_unchanged_model_comes_back(void **state)
{
    (void)state;
    tegu_session *session = run("examples/models/wiki5m", "", NULL);
    tegu_unit *unit = emit(session, "slim.tegu");
    assert_string_equal(unit->tokenizer, at("slim.tokenizer.json"));
    assert_int_equal(unit->params.data[0].stored, TEGU_BF16);
    tegu_unit_destroy(unit);
    tegu_session_close(session);
}

/* Beside its own tokenizer and again: nothing is copied twice. */
static void a_written_model_can_be_written_again(void **state)
{
    (void)state;
    tegu_session *session = run("examples/models/wiki5m", "", NULL);
    tegu_unit_destroy(emit(session, "slim.tegu"));
    tegu_session_close(session);
    session = run(at("slim.tegu"), "", NULL);
    tegu_unit *unit = emit(session, "again.tegu");
    assert_string_equal(unit->tokenizer, at("slim.tokenizer.json"));
    tegu_unit_destroy(unit);
    tegu_session_close(session);
}

static void weights_that_passes_changed_are_written(void **state)
{
    (void)state;
    tegu_session *session = run("examples/models/wiki5m", "fold-norms", NULL);
    tegu_unit_destroy(emit(session, "slim.tegu"));
    tegu_session_close(session);
}

static void a_calibrated_model_is_smaller_and_goes_through_passes(void **state)
{
    (void)state;
    tegu_session *session =
        run("examples/models/wiki5m", "reduce-hidden{keep=0.5}",
            "examples/models/wiki5m/valid.safetensors:valid_ids");
    assert_true(session->after.parameters < 0.75 * session->before.parameters);
    assert_true(session->after.macs < session->before.macs);
    assert_int_equal(session->report.sites.count, 6);
    tegu_unit *unit = emit(session, "slim.tegu");
    tegu_pipeline *steps = tegu_pipeline_parse(cli.arena, cli.diag, "cse");
    tegu_manager_options options = {.verify_each = true};
    tegu_manager_report report = {0};
    tegu_pipeline_add_preset(steps, 2);
    check(tegu_manager_run(unit, steps, &options, &report));
    tegu_unit_destroy(unit);
    tegu_session_close(session);
}

/* What GPT-2 has: a matrix stored the other way round, here in f16, beside
 * integers and a vector in f32. */
static void weights_keep_how_they_are_stored(void **state)
{
    static const char source[] =
        "model m\naxis dim = 3, wide = 2, T in 1..4\n"
        "weights \"again.safetensors\"\n"
        "entry f(x: f32[T, dim]) -> (y: f32[T, wide], n: i32[2]) {\n"
        "  let h = linear(x, param \"w\" [wide, dim] transposed, param \"b\" "
        "[wide])\n"
        "  return h, param \"n\" i32[2]\n}\n";
    static const uint16_t w[] = {0x3c00, 0x4000, 0xc200,
                                 0x3555, 0x0001, 0x7bff};
    static const float b[] = {0.5f, -0.25f};
    static const int32_t n[] = {7, -9};
    const tegu_stored_tensor tensors[] = {
        {"w", TEGU_F16, "F16", 2, {3, 2}, (const void *)w, sizeof w},
        {"b", TEGU_F32, "F32", 1, {2}, (const void *)b, sizeof b},
        {"n", TEGU_I32, "I32", 1, {2}, (const void *)n, sizeof n}};
    const char *error;
    tegu_outputs *outputs = tegu_outputs_create(cli.arena);
    (void)state;
    assert_true(tegu_safetensors_write(cli.arena, outputs,
                                       at("again.safetensors"), tensors, 3,
                                       NULL, 0, &error));
    assert_true(tegu_outputs_open(outputs, at("again.tegu"), &error));
    assert_true(tegu_outputs_write(outputs, source, sizeof source - 1, &error));
    assert_true(tegu_outputs_commit(outputs, &error));
    tegu_outputs_destroy(outputs);
    tegu_session *session = run(at("again.tegu"), "", NULL);
    tegu_unit *unit = emit(session, "slim.tegu");
    assert_true(tegu_unit_find_param(unit, "w")->transposed);
    assert_int_equal(tegu_unit_find_param(unit, "w")->stored, TEGU_F16);
    tegu_unit_destroy(unit);
    tegu_session_close(session);
}

static void random_weights_stay_a_line_of_source(void **state)
{
    (void)state;
    tegu_session *session = run("examples/02_mlp/mlp.tegu", "", NULL);
    tegu_unit *unit = emit(session, "slim.tegu");
    assert_int_not_equal(access(at("slim.safetensors"), F_OK), 0);
    tegu_unit_destroy(unit);
    tegu_session_close(session);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)
    const struct CMUnitTest all[] = {
        TEST(an_unchanged_model_comes_back),
        TEST(a_written_model_can_be_written_again),
        TEST(weights_that_passes_changed_are_written),
        TEST(a_calibrated_model_is_smaller_and_goes_through_passes),
        TEST(weights_keep_how_they_are_stored),
        TEST(random_weights_stay_a_line_of_source),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
