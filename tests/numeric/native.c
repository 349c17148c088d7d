/* SPDX-License-Identifier: Apache-2.0 */
/* native.c - see native.h. */
#include "tests/numeric/native.h"

static tegu_executor *interpreted(numeric_model *model)
{
    return tegu_interp_create(model->unit, model->arena);
}

const numeric_named_backend *numeric_backends(uint32_t *count)
{
    static const numeric_named_backend backends[] = {
        {"interpreter", interpreted},
    };
    *count = sizeof backends / sizeof *backends;
    return backends;
}
