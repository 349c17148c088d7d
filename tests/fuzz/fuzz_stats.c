/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_stats.c - a file of statistics in memory: what is accepted has all the
 * numbers that its shape promises. */
#include "tests/fuzz/fuzz.h"

#include "frontend/cli/stats.h"

#include <string.h>

/* Reads every number, so that ASan sees where it lies. */
static double total(const double *x, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; x && i < count; i++)
        sum += x[i];
    return sum;
}

static void check_stats(fuzz_case *c, const tegu_stored_stats *stored)
{
    tegu_site_stats stats = tegu_stats_load(stored, c->arena);
    int64_t n = stats.columns;
    FUZZ_CHECK(n >= 1 && stats.rows >= 1);
    FUZZ_CHECK(stats.sum && stats.sum_abs && stats.sum_square);
    FUZZ_CHECK(!stats.samples == !stats.sample_rows);
    volatile double sum = total(stats.gram, n * n) + total(stats.sum, n) +
                          total(stats.sum_abs, n) + total(stats.sum_square, n);
    for (int64_t i = 0; i < stats.sample_rows * n; i++)
        sum += (double)stats.samples[i];
    (void)sum;
    for (int p = 0; p < TEGU_STATS_PARTS; p++) {
        tegu_stored_tensor t = tegu_stats_tensor(&stats, (tegu_stats_part)p);
        FUZZ_CHECK(t.bytes == stored->parts[p].bytes);
        FUZZ_CHECK(!t.bytes ||
                   memcmp(t.data, stored->parts[p].data, t.bytes) == 0);
    }
}

static bool read_stats(fuzz_case *c)
{
    tegu_cli cli = {.arena = c->arena, .diag = c->diag};
    tegu_stats_file file;
    tegu_safetensors *st =
        tegu_safetensors_parse(c->arena, c->diag, "fuzz.safetensors",
                               (const unsigned char *)c->text, c->size);
    if (!st || !tegu_stats_parse(&cli, st, &file))
        return false;
    FUZZ_CHECK(file.sequences >= 1 && file.length >= 1);
    for (uint32_t i = 0; i < file.list.count; i++)
        check_stats(c, &file.list.data[i]);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read(data, size, read_stats);
    return 0;
}
