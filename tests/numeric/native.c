/* SPDX-License-Identifier: Apache-2.0 */
/* native.c - see native.h. */
#include "tests/numeric/native.h"
#include "codegen/codegen.h"
#include "passes/pass.h"

static tegu_executor *interpreted(numeric_model *model)
{
    return tegu_interp_create(model->unit, model->arena);
}

/* Down to kernel level by the preset; verified after each pass. */
static bool lower(numeric_model *model, const char *preset)
{
    tegu_pipeline *pipeline =
        tegu_pipeline_parse(model->arena, model->diag, preset);
    tegu_manager_options options = {.verify_each = true};
    tegu_manager_report report = {.remarks = {.arena = model->arena}};
    return pipeline &&
           tegu_manager_run(model->unit, pipeline, &options, &report);
}

static tegu_executor *lowered_0(numeric_model *model)
{
    return lower(model, "-O0") ? interpreted(model) : NULL;
}

static tegu_executor *lowered_2(numeric_model *model)
{
    return lower(model, "-O2") ? interpreted(model) : NULL;
}

/* A thread pool of one thread, which takes the parts last to first. */
static void run_backwards(void *pool, tegu_kernel_task task, void *data,
                          int64_t parts)
{
    (void)pool;
    for (int64_t i = parts; i-- > 0;)
        task(data, i, parts);
}

/* The object that `tegu compile` would write, run in this process. */
static tegu_executor *compiled(numeric_model *model, int level, int64_t parts)
{
    tegu_target target;
    tegu_failure failure;
    if (!lower(model, level == 0 ? "-O0" : "-O2") ||
        !tegu_target_find(&target, NULL, NULL, NULL, &failure))
        return NULL;
    tegu_codegen_options options = {
        .target = &target, .level = level, .pipeline = "", .provenance = ""};
    tegu_artifact *artifact = tegu_codegen(model->unit, model->arena, &options);
    tegu_jit_options jit = {.parallel_for = parts > 1 ? run_backwards : NULL,
                            .threads = parts};
    return artifact ? tegu_jit_create(model->unit, model->arena, artifact, &jit)
                    : NULL;
}

static tegu_executor *compiled_0(numeric_model *model)
{
    return compiled(model, 0, 1);
}

static tegu_executor *compiled_2(numeric_model *model)
{
    return compiled(model, 2, 1);
}

static tegu_executor *compiled_2_in_parts(numeric_model *model)
{
    return compiled(model, 2, 3);
}

const numeric_named_backend *numeric_backends(uint32_t *count)
{
    static const numeric_named_backend backends[] = {
        {"interpreter", interpreted, 500},
        {"kernels of -O0, interpreted", lowered_0, 1000},
        {"kernels of -O2, interpreted", lowered_2, 1000},
        {"native code of -O0", compiled_0, 1000},
        {"native code of -O2", compiled_2, 1000},
        {"native code of -O2, in three parts", compiled_2_in_parts, 200},
    };
    *count = sizeof backends / sizeof *backends;
    return backends;
}
