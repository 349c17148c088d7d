/* SPDX-License-Identifier: Apache-2.0 */
/* slim.c - see slim.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "frontend/safetensors.h"
#include "tests/numeric/slim.h"

#include <math.h>
#include <string.h>

#define MODEL "../shared/data/wiki5m"
#define REFERENCE MODEL "/reference.safetensors"

/* --- running compiled copies --- */

typedef struct compiled {
    tegu_arena *arena;
    tegu_executor *inner;
} compiled;

static bool call(void *self, const char *entry, const tegu_tensor *inputs,
                 uint32_t input_count, tegu_tensor *outputs,
                 uint32_t output_count)
{
    compiled *c = self;

    return c->inner->call(c->inner->self, entry, inputs, input_count, outputs,
                          output_count);
}

static void reset(void *self)
{
    compiled *c = self;

    c->inner->reset(c->inner->self);
}

static bool reload(void *self, const char *param)
{
    compiled *c = self;

    return c->inner->reload(c->inner->self, param);
}

static void destroy(void *self)
{
    compiled *c = self;

    c->inner->destroy(c->inner->self);
    tegu_arena_destroy(c->arena);
}

static bool lower(tegu_unit *unit, tegu_arena *arena)
{
    tegu_pipeline *pipeline = tegu_pipeline_parse(arena, unit->diag, "-O2");
    tegu_manager_options options = {.verify_each = true};
    tegu_manager_report report = {.remarks = {.arena = arena}};

    return tegu_manager_run(unit, pipeline, &options, &report);
}

/* The compile function of a calibration: rewrites the unit it is given. */
static tegu_executor *compile(void *data, tegu_unit *unit)
{
    tegu_arena *arena = tegu_arena_create();
    tegu_executor *run = TEGU_NEW(arena, tegu_executor);
    compiled *c = TEGU_NEW(arena, compiled);
    tegu_target target;
    tegu_failure failure;
    tegu_codegen_options options = {
        .target = &target, .level = 2, .pipeline = "", .provenance = ""};
    tegu_jit_options jit = {.threads = 1};
    tegu_artifact *artifact;

    (void)data;
    if (!tegu_target_find(&target, NULL, NULL, NULL, &failure) ||
        !lower(unit, arena))
        return NULL;
    artifact = tegu_codegen(unit, arena, &options);
    *c = (compiled){arena, NULL};
    if (artifact)
        c->inner = tegu_jit_create(unit, arena, artifact, &jit);
    *run = (tegu_executor){.self = c,
                           .call = call,
                           .reset = reset,
                           .reload = reload,
                           .destroy = destroy};
    return c->inner ? run : NULL;
}

/* --- the model --- */

static void require(const slim *s, bool ok)
{
    if (!ok)
        tegu_diag_render(s->diag, stderr, false);
    assert_true(ok);
}

/* Token ids as the file has them, aligned. */
static const int32_t *ids_of(slim *s, const tegu_safetensors *st,
                             const char *name, int64_t *dims)
{
    const tegu_stored_tensor *t = tegu_safetensors_find(st, name);

    assert_non_null(t);
    assert_int_equal(t->dtype, TEGU_I32);
    dims[0] = t->dims[0];
    dims[1] = t->rank > 1 ? t->dims[1] : 1;
    return tegu_arena_copy(s->arena, t->data, t->bytes);
}

static void read_reference(slim *s)
{
    tegu_safetensors *st = tegu_safetensors_open(s->arena, s->diag, REFERENCE);
    int64_t dims[2];

    require(s, st != NULL);
    s->valid = ids_of(s, st, "valid_ids", dims);
    s->calibration =
        (tegu_calibration){.tokens = ids_of(s, st, "calib_ids", dims),
                           .source = "calib_ids",
                           .compile = compile};
    s->calibration.sequences = dims[0];
    s->calibration.length = dims[1];
    tegu_file_unmap(&st->file);
}

bool slim_open(slim *s)
{
    tegu_load_options options = {0};

    if (!tegu_path_exists(REFERENCE))
        return false;
    *s = (slim){.arena = tegu_arena_create()};
    s->diag = tegu_diag_create(s->arena);
    s->unit = tegu_load(s->arena, s->diag, MODEL, &options);
    require(s, s->unit != NULL);
    read_reference(s);
    return true;
}

void slim_close(slim *s)
{
    tegu_unit_destroy(s->unit);
    tegu_arena_destroy(s->arena);
}

void slim_run(slim *s, const char *text)
{
    tegu_pipeline *pipeline = tegu_pipeline_parse(s->arena, s->diag, text);
    tegu_manager_options options = {.verify_each = true,
                                    .calibration = &s->calibration};

    require(s, pipeline != NULL);
    s->report = (tegu_manager_report){.remarks = {.arena = s->arena}};
    require(s, tegu_manager_run(s->unit, pipeline, &options, &s->report));
}

/* --- measuring --- */

static double window_loss(slim *s, tegu_executor *run, const int32_t *ids,
                          float *logits, int64_t vocab)
{
    tegu_tensor in = {TEGU_I32, 1, {256}, NULL};
    tegu_tensor out = {TEGU_F32, 2, {256, vocab}, logits};
    double loss = 0;

    memcpy(&in.data, &ids, sizeof in.data);
    run->reset(run->self);
    require(s, run->call(run->self, "step", &in, 1, &out, 1));
    for (int64_t i = 0; i < 256; i++) {
        const float *row = logits + i * vocab;
        double most = row[0], sum = 0;
        for (int64_t k = 1; k < vocab; k++)
            most = row[k] > most ? row[k] : most;
        for (int64_t k = 0; k < vocab; k++)
            sum += exp(row[k] - most);
        loss += most + log(sum) - row[ids[i + 1]];
    }
    return loss;
}

double slim_perplexity(slim *s, int64_t windows)
{
    tegu_mark mark = tegu_arena_mark(s->arena);
    tegu_unit *unit = tegu_unit_clone(s->unit, s->arena);
    tegu_graph *step = tegu_unit_find_entry(unit, "step")->graph;
    int64_t vocab =
        tegu_graph_type(step, step->results.data[0].value)->dims[1].offset;
    float *logits =
        tegu_arena_array(s->arena, 256, (size_t)vocab * sizeof *logits);
    tegu_executor *run = compile(NULL, unit);
    double loss = 0;

    require(s, run != NULL);
    for (int64_t w = 0; w < windows; w++)
        loss += window_loss(s, run, s->valid + 256 * w, logits, vocab);
    run->destroy(run->self);
    tegu_arena_release(s->arena, mark);
    return exp(loss / (double)(windows * 256));
}

double slim_figure(const slim *s, uint32_t row, const char *name)
{
    const tegu_site_row *r;

    assert_true(row < s->report.sites.count);
    r = &s->report.sites.data[row];
    for (uint32_t i = 0; i < r->count; i++)
        if (!strcmp(r->figures[i].name, name))
            return r->figures[i].value;
    fail_msg("no figure '%s'", name);
    return 0;
}
