/* SPDX-License-Identifier: Apache-2.0 */
/* weights.c - gives the parameters of a unit their data.
 *
 * Takes    the `weights` declaration: a safetensors file, an index of several,
 *          or random(...).
 * Produces parameters that point into the mapped files, which the unit then
 *          owns; nothing is copied or converted.
 */
#include "frontend/module.h"
#include "frontend/safetensors.h"
#include <float.h>
#include <inttypes.h>
#include <string.h>

/* Stored types that a parameter of a compute type may be read from: floats
 * from floats, i32 from integers that fit it, the others from themselves. */
static bool can_read(tegu_dtype compute, tegu_dtype stored)
{
    if (stored == TEGU_DTYPE_COUNT)
        return false;
    tegu_dtype_kind kind = tegu_dtype_kind_of(stored);
    return stored == compute ||
           (compute == TEGU_F32 && kind == TEGU_STORAGE_FLOAT) ||
           (compute == TEGU_I32 && kind == TEGU_STORAGE_INT);
}

static const char *stored_text(tegu_arena *arena, const tegu_stored_tensor *t)
{
    tegu_text text = {.arena = arena};
    tegu_text_escape(&text, t->dtype_text, strlen(t->dtype_text));
    tegu_text_printf(&text, "[");
    for (uint32_t i = 0; i < t->rank; i++)
        tegu_text_printf(&text, "%s%" PRId64, i ? ", " : "", t->dims[i]);
    tegu_text_printf(&text, "]");
    return tegu_text_cstr(&text);
}

static bool same_shape(const tegu_param *param, const tegu_stored_tensor *t)
{
    const tegu_type *type = param->type;
    if (t->rank != type->rank)
        return false;
    for (uint32_t i = 0; i < t->rank; i++) {
        uint32_t from = param->transposed ? t->rank - 1 - i : i;
        if (t->dims[from] != type->dims[i].offset)
            return false;
    }
    return true;
}

/* A square or swapped matrix is the usual mistake. */
static bool is_swapped(const tegu_param *param, const tegu_stored_tensor *t)
{
    tegu_param other = *param;
    other.transposed = !param->transposed;
    return param->type->rank == 2 && same_shape(&other, t);
}

/* Reports a parameter that the weights do not have. */
static bool missing(tegu_elab *el, const tegu_param *param,
                    const tegu_tensors *tensors)
{
    TEGU_VEC(const char *) known = {0};
    for (uint32_t f = 0; f < tensors->files.count; f++) {
        const tegu_safetensors *st = tensors->files.data[f];
        for (uint32_t i = 0; i < st->tensors.count; i++)
            tegu_vec_push(el->arena, &known, st->tensors.data[i].name);
    }
    const char *name =
        tegu_escaped(el->arena, param->name, strlen(param->name));
    const char *near = tegu_nearest(param->name, known.data, known.count);
    if (!near)
        return tegu_error(el->diag, param->loc, TEGU_E_WEIGHTS,
                          "the weights have no tensor '%s'", name);
    return tegu_error(el->diag, param->loc, TEGU_E_WEIGHTS,
                      "the weights have no tensor '%s'; did you mean '%s'?",
                      name, tegu_escaped(el->arena, near, strlen(near)));
}

static bool bind(tegu_elab *el, tegu_param *param, const tegu_tensors *tensors)
{
    const tegu_stored_tensor *t = tegu_tensors_find(tensors, param->name);
    if (!t)
        return missing(el, param, tensors);
    if (!same_shape(param, t) || !can_read(param->type->dtype, t->dtype))
        return tegu_error(
            el->diag, param->loc, TEGU_E_WEIGHTS,
            "tensor '%s' is %s in the weights, but %s%s here%s",
            tegu_escaped(el->arena, param->name, strlen(param->name)),
            stored_text(el->arena, t), tegu_elab_type_text(el, param->type),
            param->transposed ? " transposed" : "",
            !is_swapped(param, t) ? ""
            : param->transposed   ? "; it is not stored transposed"
                                  : "; is it stored transposed?");
    param->source = TEGU_SOURCE_DATA;
    param->stored = t->dtype;
    param->data = t->data;
    return true;
}

/* --- random weights --- */

static bool random_args(tegu_elab *el, const tegu_decl *decl, uint64_t *seed,
                        double *std)
{
    *seed = 0;
    *std = 0.02;
    for (uint32_t i = 0; i < decl->args.count; i++) {
        const tegu_call_arg *arg = &decl->args.data[i];
        tegu_term term = tegu_elab_expr(el, arg->value);
        int64_t n;
        if (term.kind == TEGU_TERM_ERROR)
            return false;
        if (arg->name && strcmp(arg->name, "seed") == 0) {
            if (!tegu_term_to_integer(el, arg->loc, "the seed", &term, 0,
                                      INT64_MAX, &n))
                return false;
            *seed = (uint64_t)n;
        } else if (arg->name && strcmp(arg->name, "std") == 0) {
            *std = tegu_term_is_number(&term) ? tegu_term_number(&term) : -1;
            if (!(*std >= 0 && *std <= FLT_MAX))
                return tegu_elab_error(el, arg->loc, TEGU_E_CONSTANT,
                                       "the standard deviation is a number of "
                                       "0 or more");
        } else {
            return tegu_elab_error(el, arg->loc, TEGU_E_ARGUMENT,
                                   "random takes seed and std by name");
        }
    }
    return true;
}

static bool bind_random(tegu_elab *el, const tegu_decl *decl)
{
    uint64_t seed;
    double std;
    if (!random_args(el, decl, &seed, &std))
        return false;
    for (uint32_t i = 0; i < el->unit->params.count; i++) {
        tegu_param *param = &el->unit->params.data[i];
        if (param->type->dtype != TEGU_F32)
            return tegu_elab_error(el, param->loc, TEGU_E_WEIGHTS,
                                   "random weights are f32; this one is %s",
                                   tegu_elab_type_text(el, param->type));
        param->source = TEGU_SOURCE_RANDOM;
        param->stored = TEGU_F32;
        param->seed = seed;
        param->std = std;
    }
    return true;
}

bool tegu_weights_bind(tegu_source *source)
{
    tegu_elab *el = source->el;
    const tegu_decl *decl = source->weights;
    if (!decl)
        return true;
    if (decl->random)
        return bind_random(el, decl);
    const char *path = tegu_source_path(source, decl->name, decl->loc);
    if (!path || source->options->without_weights)
        return path != NULL;
    if (!tegu_path_exists(path))
        return tegu_error(el->diag, decl->loc, TEGU_E_NO_INPUT,
                          "weights file '%s' does not exist",
                          tegu_escaped(el->arena, path, strlen(path)));
    tegu_tensors *tensors = tegu_tensors_open(el->arena, el->diag, path);
    if (!tensors)
        return false;
    tegu_files *files = &el->unit->files;
    if (tensors->listing.data)
        tegu_vec_push(el->arena, files, tensors->listing);
    for (uint32_t i = 0; i < tensors->files.count; i++)
        tegu_vec_push(el->arena, files, tensors->files.data[i]->file);
    bool ok = true;
    for (uint32_t i = 0; i < el->unit->params.count; i++)
        ok = bind(el, &el->unit->params.data[i], tensors) && ok;
    return ok;
}
