/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_language.c - the language, with imports and weights out of reach: what
 * the checker accepts is a valid unit. */
#include "tests/fuzz/fuzz.h"

#include "frontend/frontend.h"

static bool read_language(fuzz_case *c)
{
    tegu_load_options options = {.without_weights = true};
    tegu_unit *unit = tegu_language_load(
        c->arena, c->diag, "/nowhere/fuzz.tegu", c->text, c->size, &options);
    if (unit) {
        fuzz_unit(c, unit);
        tegu_unit_destroy(unit);
    }
    return unit != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read(data, size, read_language);
    return 0;
}
