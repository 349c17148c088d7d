/* SPDX-License-Identifier: Apache-2.0 */
/* registry.c - the passes and their options as tables, from passes.def, and
 * reading parsed options.
 */
#include "passes/passes.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { M = TEGU_LEVEL_MODEL, C = TEGU_LEVEL_CORE, K = TEGU_LEVEL_KERNEL };
enum { EXACT = 0, LOSSY = 1 };

static const tegu_pass passes[] = {
#define TEGU_PASS(id, name, needs, gives, loss, summary)                       \
    {name, summary, needs, gives, (loss) == LOSSY, tegu_pass_##id},
#include "passes/passes.def"
};

static const char *const ids[] = {
#define TEGU_PASS(id, name, needs, gives, loss, summary) #id,
#include "passes/passes.def"
};

static const tegu_option options[] = {
#define TEGU_OPTION(pass, key, kind, value, lo, hi, summary)                   \
    {#pass, key, TEGU_OPTION_##kind, value, lo, hi, summary},
#include "passes/passes.def"
};

enum {
    PASS_COUNT = sizeof passes / sizeof passes[0],
    OPTION_COUNT = sizeof options / sizeof options[0]
};

const tegu_pass *tegu_pass_table(uint32_t *count)
{
    *count = PASS_COUNT;
    return passes;
}

const tegu_pass *tegu_pass_find(const char *name)
{
    for (uint32_t i = 0; i < PASS_COUNT; i++)
        if (strcmp(passes[i].name, name) == 0)
            return &passes[i];
    return NULL;
}

static const tegu_option *options_of(const char *id, uint32_t *count)
{
    const tegu_option *first = NULL;

    *count = 0;
    for (uint32_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(options[i].pass, id) != 0)
            continue;
        if (!first)
            first = &options[i];
        (*count)++;
    }
    return first;
}

const tegu_option *tegu_pass_options(const tegu_pass *pass, uint32_t *count)
{
    return options_of(ids[pass - passes], count);
}

const char *tegu_pass_id(const tegu_pass *pass)
{
    return ids[pass - passes];
}

const char *tegu_option_text(const tegu_options *values, const char *key)
{
    uint32_t count;
    const tegu_option *first = options_of(values->pass, &count);

    for (uint32_t i = 0; i < count; i++)
        if (strcmp(first[i].key, key) == 0)
            return values->values[i];
    assert(!"option of passes.def");
    return "";
}

int64_t tegu_option_int(const tegu_options *values, const char *key)
{
    return strtoll(tegu_option_text(values, key), NULL, 10);
}

double tegu_option_float(const tegu_options *values, const char *key)
{
    return strtod(tegu_option_text(values, key), NULL);
}

bool tegu_option_bool(const tegu_options *values, const char *key)
{
    return strcmp(tegu_option_text(values, key), "true") == 0;
}
