/* SPDX-License-Identifier: Apache-2.0 */
/* peft_check.c - does an adapter change the model, and the right one?
 *
 * Users of other tools save adapters that are empty, of another base, or lack
 * some of their modules, and notice late or never.  Here each is an error.
 */
#include "frontend/peft_apply.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 4096 };

/* Largest magnitude; NaN and infinities are reported. */
static bool largest_of(const applying *ap, const tegu_param *param,
                       float *largest)
{
    float values[CHUNK];
    int64_t count = tegu_type_elements(param->type);
    *largest = 0;
    for (int64_t at = 0; at < count; at += CHUNK) {
        int64_t n = count - at < CHUNK ? count - at : CHUNK;
        if (!tegu_param_read(ap->unit, param, at, n, values))
            return false;
        for (int64_t i = 0; i < n; i++) {
            if (!isfinite(values[i]))
                return tegu_adapter_error(ap->adapter, TEGU_E_ADAPTER,
                                          param->name + strlen(ap->label) + 1,
                                          "holds a value that is not finite");
            *largest = fmaxf(*largest, fabsf(values[i]));
        }
    }
    return true;
}

/* *changes: the update is not zero, or was asked to be. */
static bool check_values(const applying *ap, const change *c, bool *changes)
{
    bool zero = false;
    for (uint32_t i = 0; i < 4 && c->params[i]; i++) {
        float largest;
        if (!largest_of(ap, tegu_unit_find_param(ap->unit, c->params[i]),
                        &largest))
            return false;
        zero = zero || largest == 0;
    }
    *changes |= !zero || c->op == TEGU_OP_DORA || c->scale == 0;
    return true;
}

/* The file's copy of the base weight, bit for bit. */
static bool check_base(const applying *ap, const tegu_adapter_site *site,
                       const tegu_param *base)
{
    const tegu_stored_tensor *t = site->parts[TEGU_PART_BASE];
    float ours[CHUNK], theirs[CHUNK];
    tegu_param copy = *base;
    int64_t count = tegu_type_elements(base->type);
    if (!t || base->source == TEGU_SOURCE_NONE)
        return true;
    bool same = t->rank == 2 &&
                t->dims[copy.transposed] == base->type->dims[0].offset &&
                t->dims[!copy.transposed] == base->type->dims[1].offset;
    copy.source = TEGU_SOURCE_DATA;
    copy.stored = t->dtype;
    copy.data = t->data;
    for (int64_t at = 0; same && at < count; at += CHUNK) {
        int64_t n = count - at < CHUNK ? count - at : CHUNK;
        if (!tegu_param_read(ap->unit, base, at, n, ours) ||
            !tegu_param_read(ap->unit, &copy, at, n, theirs))
            return false;
        same = memcmp(ours, theirs, (size_t)n * sizeof *ours) == 0;
    }
    return same ||
           tegu_adapter_error(ap->adapter, TEGU_E_ADAPTER_BASE, t->name,
                              "differs from the model's '%s': the adapter was "
                              "trained on other weights",
                              base->name);
}

/* Weights of linears that the config targets, but the file leaves out. */
static bool check_coverage(const applying *ap)
{
    const tegu_adapter *a = ap->adapter;
    bool ok = true;
    for (uint32_t i = 0; a->targets.stated && i < ap->unit->params.count; i++) {
        const char *name = ap->unit->params.data[i].name;
        const uint64_t *uses = tegu_map_find(ap->uses, name, strlen(name));
        size_t length = strlen(name);
        if (!uses || !(*uses & TEGU_USED_BY_LINEAR) || length < 8 ||
            strcmp(name + length - 7, ".weight") != 0)
            continue;
        const char *key = tegu_format(a->arena, "1:%s", name);
        const char *module =
            tegu_format(a->arena, "%s%.*s", ap->more, (int)length - 7, name);
        bool head =
            (*uses & TEGU_USED_AS_TABLE) || strcmp(name, "lm_head.weight") == 0;
        const char *table = tegu_format(a->arena, "2:%s", name);
        if (tegu_map_find(ap->index, key, strlen(key)) ||
            tegu_map_find(ap->index, table, strlen(table)) ||
            (head && a->targets.all_linear) ||
            !tegu_peft_is_target(a, module, &ok))
            continue;
        return tegu_adapter_error(
            a, TEGU_E_ADAPTER, module,
            "is one of target_modules, but the adapter has no tensors for it");
    }
    return ok;
}

bool tegu_adapter_check(applying *ap)
{
    bool changes = ap->replaced;
    for (uint32_t i = 0; i < ap->changes.count; i++) {
        const change *c = &ap->changes.data[i];
        if (!check_values(ap, c, &changes) ||
            !check_base(ap, c->site, tegu_unit_find_param(ap->unit, c->param)))
            return false;
    }
    if (!changes)
        return tegu_adapter_error(ap->adapter, TEGU_E_ADAPTER, NULL,
                                  "adapter '%s' changes nothing: every update "
                                  "is zero",
                                  ap->adapter->name);
    return check_coverage(ap);
}
