/* SPDX-License-Identifier: Apache-2.0 */
/* native.h - the ways to run a model under test. */
#ifndef TEGU_TESTS_NATIVE_H
#define TEGU_TESTS_NATIVE_H

#include "tests/numeric/numeric.h"

/* An executor for the model's unit, which it may rewrite; NULL after
 * reporting.  The model's arena owns it. */
typedef tegu_executor *(*numeric_backend)(numeric_model *model);

typedef struct numeric_named_backend {
    const char *name;
    numeric_backend backend;
    uint32_t programs; /* random ones that ctest runs */
} numeric_named_backend;

/* The interpreter first. */
const numeric_named_backend *numeric_backends(uint32_t *count);

#endif
