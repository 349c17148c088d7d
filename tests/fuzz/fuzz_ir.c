/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_ir.c - IR text: what the reader accepts is valid, prints, reads back
 * the same, and goes through the passes. */
#include "tests/fuzz/fuzz.h"

static bool read_ir(fuzz_case *c)
{
    tegu_unit *unit =
        tegu_unit_parse(c->arena, c->diag, "fuzz.tir", c->text, c->size);
    if (unit)
        fuzz_unit(c, unit);
    return unit != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read(data, size, read_ir);
    return 0;
}
