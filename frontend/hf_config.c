/* SPDX-License-Identifier: Apache-2.0 */
/* hf_config.c - one getter per kind of key; see the header. */
#include "frontend/hf_config.h"

#include <math.h>
#include <string.h>

static tegu_loc loc_of(const tegu_hf_config *c, const char *outer,
                       const char *name)
{
    const char *const keys[] = {outer ? outer : name, outer ? name : NULL,
                                NULL};
    return tegu_json_loc(&c->json, keys);
}

void tegu_config_error(const tegu_hf_config *c, const char *outer,
                       const char *name, tegu_diag_id id, const char *format,
                       ...)
{
    va_list args;
    va_start(args, format);
    const char *text = tegu_format_v(c->arena, format, args);
    va_end(args);
    tegu_error(c->diag, loc_of(c, outer, name), id, "'%s%s%s' %s",
               outer ? outer : "", outer ? "." : "", name, text);
}

static const char *kind_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: break;
    }
    return "null";
}

static void mistyped(const tegu_hf_config *c, const char *outer,
                     const char *name, const char *wanted, const json_t *value)
{
    tegu_config_error(c, outer, name, TEGU_E_CONFIG, "must be %s, not %s",
                      wanted, kind_of(value));
}

static void missing_key(const tegu_hf_config *c, const char *outer,
                        const char *name)
{
    tegu_config_error(c, outer, name, TEGU_E_CONFIG, "is missing");
}

json_t *tegu_config_get(const tegu_hf_config *c, const char *outer,
                        const char *name)
{
    json_t *object = c->json.root;
    if (outer)
        object = json_object_get(object, outer);
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

int64_t tegu_config_int(const tegu_hf_config *c, const char *outer,
                        const char *name, int64_t missing, int64_t lo,
                        int64_t hi)
{
    const json_t *value = tegu_config_get(c, outer, name);
    if (!value) {
        if (missing >= lo && missing <= hi)
            return missing;
        missing_key(c, outer, name);
        return lo;
    }
    if (!json_is_integer(value)) {
        mistyped(c, outer, name, "an integer", value);
        return lo;
    }
    int64_t number = json_integer_value(value);
    if (number >= lo && number <= hi)
        return number;
    tegu_config_error(c, outer, name, TEGU_E_CONFIG,
                      "is %lld; it must be %lld to %lld", (long long)number,
                      (long long)lo, (long long)hi);
    return lo;
}

double tegu_config_positive(const tegu_hf_config *c, const char *outer,
                            const char *name, double missing)
{
    const json_t *value = tegu_config_get(c, outer, name);
    if (!value) {
        if (missing > 0)
            return missing;
        missing_key(c, outer, name);
        return 1;
    }
    if (!json_is_number(value)) {
        mistyped(c, outer, name, "a number", value);
        return 1;
    }
    double number = json_number_value(value);
    if (number > 0 && isfinite(number))
        return number;
    tegu_config_error(c, outer, name, TEGU_E_CONFIG,
                      "is %g; it must be above 0", number);
    return 1;
}

bool tegu_config_bool(const tegu_hf_config *c, const char *name, bool missing)
{
    const json_t *value = tegu_config_get(c, NULL, name);
    if (!value)
        return missing;
    if (json_is_boolean(value))
        return json_is_true(value);
    mistyped(c, NULL, name, "true or false", value);
    return missing;
}

const char *tegu_config_text(const tegu_hf_config *c, const char *outer,
                             const char *name, const char *missing)
{
    const json_t *value = tegu_config_get(c, outer, name);
    if (!value) {
        if (!missing)
            missing_key(c, outer, name);
        return missing ? missing : "";
    }
    if (json_is_string(value))
        return json_string_value(value);
    mistyped(c, outer, name, "a string", value);
    return missing ? missing : "";
}
