/* SPDX-License-Identifier: Apache-2.0 */
/* native.c - see native.h. */
#include "tests/numeric/native.h"
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

const numeric_named_backend *numeric_backends(uint32_t *count)
{
    static const numeric_named_backend backends[] = {
        {"interpreter", interpreted, 500},
        {"kernels of -O0, interpreted", lowered_0, 1000},
        {"kernels of -O2, interpreted", lowered_2, 1000},
    };
    *count = sizeof backends / sizeof *backends;
    return backends;
}
