/* SPDX-License-Identifier: Apache-2.0 */
/* adapt.c - `w adapt lora(a, b, alpha = 16)`: an adapted weight.
 *
 * Takes    an expression for the weight and an adapter's name and arguments.
 * Produces the op of that name (lora, singlora, dora) with the scale that
 *          alpha, the rank, rslora and ramp make: alpha/r (Hu et al. 2021) or
 *          alpha/sqrt(r) (Kalajdzievski 2023), times the ramp (SingLoRA).
 */
#include "frontend/elab.h"
#include <math.h>
#include <string.h>

static const struct {
    tegu_op op;
    uint32_t count; /* matrices given */
    const char *form;
} adapters[] = {
    {TEGU_OP_LORA, 2, "lora(a [r, in], b [out, r])"},
    {TEGU_OP_SINGLORA, 1, "singlora(a [max(out, in), r])"},
    {TEGU_OP_DORA, 3, "dora(a [r, in], b [out, r], m [out])"},
};
enum { ADAPTERS = sizeof adapters / sizeof *adapters };

/* A named number; `value` stays when it is not given. */
static bool number(tegu_elab *el, tegu_site *site, const char *name,
                   double *value)
{
    const tegu_site_arg *arg = tegu_site_take(site, name);
    if (!arg)
        return true;
    if (!tegu_term_is_number(&arg->term) ||
        (arg->term.kind == TEGU_TERM_INTEGER &&
         !tegu_term_is_static(&arg->term)))
        return tegu_elab_error(el, arg->loc, TEGU_E_ATTRIBUTE,
                               "'%s' must be a number, not %s", name,
                               tegu_term_describe(&arg->term));
    *value = tegu_term_number(&arg->term);
    bool ramp = strcmp(name, "ramp") == 0;
    if (ramp ? *value >= 0 && *value <= 1 : *value > 0 && *value <= 1e6)
        return true;
    return tegu_elab_error(el, arg->loc, TEGU_E_ATTRIBUTE,
                           "'%s' must be a number %s, not %g", name,
                           ramp ? "from 0 to 1" : "above 0", *value);
}

static bool root_of(tegu_elab *el, tegu_site *site, bool *root)
{
    const tegu_site_arg *arg = tegu_site_take(site, "rslora");
    *root = arg && arg->term.kind == TEGU_TERM_BOOL && arg->term.u.truth;
    return !arg || arg->term.kind == TEGU_TERM_BOOL ||
           tegu_elab_error(el, arg->loc, TEGU_E_ATTRIBUTE,
                           "'rslora' must be true or false, not %s",
                           tegu_term_describe(&arg->term));
}

/* The rank, from the first matrix; 0 after reporting. */
static int64_t rank_of(tegu_elab *el, const tegu_site *site, tegu_op op)
{
    const tegu_site_arg *first = &site->args.data[0];
    if (first->term.kind == TEGU_TERM_TENSOR) {
        const tegu_type *type = tegu_elab_type_of(el, &first->term);
        tegu_dim dim = type->dims[op == TEGU_OP_SINGLORA];
        if (type->rank == 2 && tegu_dim_is_static(dim) && dim.offset > 0)
            return dim.offset;
    }
    tegu_elab_error(el, first->loc, TEGU_E_SHAPE,
                    "an adapter's first argument is a matrix");
    return 0;
}

static bool scale_of(tegu_elab *el, tegu_site *site, tegu_op op, double *scale)
{
    static const char *const known[] = {"alpha", "rslora", "ramp"};
    int64_t r = rank_of(el, site, op);
    double alpha = (double)r, ramp = 1;
    bool root;
    if (!r || !number(el, site, "alpha", &alpha) || !root_of(el, site, &root) ||
        (op == TEGU_OP_SINGLORA && !number(el, site, "ramp", &ramp)) ||
        !tegu_site_finish(el, site, known, op == TEGU_OP_SINGLORA ? 3 : 2))
        return false;
    *scale = ramp * alpha / (root ? sqrt((double)r) : (double)r);
    return true;
}

/* What is adapted; other terms than tensors have messages of their own. */
static bool is_matrix(tegu_elab *el, const tegu_expr *e, const tegu_term *base)
{
    const tegu_type *type =
        base->kind == TEGU_TERM_TENSOR ? tegu_elab_type_of(el, base) : NULL;
    if (!type || type->rank == 2)
        return true;
    tegu_elab_error(el, e->loc, TEGU_E_SHAPE,
                    "'%s' adapts a matrix [out, in], not %s; of a stack, give "
                    "each matrix a parameter of its own",
                    e->u.call.name,
                    tegu_type_string(el->unit, el->arena, type));
    return false;
}

tegu_term tegu_elab_adapt(tegu_elab *el, const tegu_expr *e)
{
    tegu_site given = {.name = e->u.call.name, .loc = e->loc};
    tegu_site site = {.name = e->u.call.name, .loc = e->loc};
    tegu_term base = tegu_elab_expr(el, e->u.call.lo);
    size_t row = 0;
    double scale;
    while (row < ADAPTERS &&
           strcmp(tegu_op_get(adapters[row].op)->text, given.name) != 0)
        row++;
    if (row == ADAPTERS) {
        tegu_elab_error(el, e->loc, TEGU_E_NAME,
                        "unknown adapter '%s'; there are lora, singlora and "
                        "dora",
                        given.name);
        return tegu_term_error();
    }
    if (base.kind == TEGU_TERM_ERROR || !is_matrix(el, e, &base) ||
        !tegu_elab_args(el, &e->u.call.args, &given))
        return tegu_term_error();
    if (given.positional != adapters[row].count) {
        tegu_elab_error(el, e->loc, TEGU_E_ARGUMENT,
                        "'%s' takes %u, got %u: %s", given.name,
                        adapters[row].count, given.positional,
                        adapters[row].form);
        return tegu_term_error();
    }
    if (!scale_of(el, &given, adapters[row].op, &scale))
        return tegu_term_error();
    tegu_site_arg weight = {.loc = e->u.call.lo->loc, .term = base};
    tegu_site_arg last = {
        .name = "scale", .loc = e->loc, .term = tegu_term_float(scale)};
    tegu_vec_push(el->arena, &site.args, weight);
    for (uint32_t i = 0; i < given.positional; i++)
        tegu_vec_push(el->arena, &site.args, given.args.data[i]);
    site.positional = site.args.count;
    tegu_vec_push(el->arena, &site.args, last);
    return tegu_op_apply(el, &site, adapters[row].op);
}
