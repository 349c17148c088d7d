/* SPDX-License-Identifier: Apache-2.0 */
/* module.c - the names of a model's files: axes, constants, what can be
 * called.
 *
 * Takes    declarations in order, imports followed, and -D overrides.
 * Produces the module that elaboration looks names up in, and the unit's axes.
 *          A declaration that is wrong keeps its name with an ERROR value.
 */
#include "frontend/module.h"
#include "frontend/c_name.h"
#include <inttypes.h>
#include <string.h>

/* The value that -D gives a name; NULL: none. */
static const char *override_of(tegu_source *source, const char *name)
{
    const char *value = NULL;
    for (uint32_t i = 0; i < source->options->define_count; i++)
        if (strcmp(source->options->defines[i].key, name) == 0) {
            source->defines_used[i] = true;
            value = source->options->defines[i].value;
        }
    return value;
}

/* A declaration with the value of -D in place of its own. */
static bool apply_override(tegu_source *source, tegu_decl *decl)
{
    tegu_elab *el = source->el;
    const char *text = override_of(source, decl->name);
    if (!text)
        return true;
    tegu_expr *hi;
    const char *file = tegu_format(el->arena, "-D %s", decl->name);
    tegu_expr *value =
        tegu_parse_value(el->arena, el->diag, el->unit->names, file, text, &hi);
    if (!value)
        return false;
    if (hi && !decl->lo)
        return tegu_elab_error(el, value->loc, TEGU_E_CONSTANT,
                               "'%s' is one value, not a range", decl->name);
    decl->value = hi ? NULL : value;
    decl->lo = hi ? value : NULL;
    decl->hi = hi;
    return true;
}

static tegu_term declare_axis(tegu_source *source, tegu_decl decl)
{
    tegu_elab *el = source->el;
    bool ranged = decl.lo != NULL;
    int64_t lo, hi;
    const char *what = tegu_format(el->arena, "axis '%s'", decl.name);
    if (!apply_override(source, &decl))
        return tegu_term_error();
    if (decl.value) {
        tegu_term value = tegu_elab_expr(el, decl.value);
        if (!tegu_term_to_integer(el, decl.value->loc, what, &value, 1,
                                  INT32_MAX, &lo))
            return tegu_term_error();
        hi = lo;
    } else {
        tegu_term from = tegu_elab_expr(el, decl.lo);
        tegu_term to = tegu_elab_expr(el, decl.hi);
        if (!tegu_term_to_integer(el, decl.lo->loc, what, &from, 1, INT32_MAX,
                                  &lo) ||
            !tegu_term_to_integer(
                el, decl.hi->loc,
                tegu_format(el->arena, "the upper bound of %s", what), &to, lo,
                INT32_MAX, &hi))
            return tegu_term_error();
    }
    if (ranged &&
        !tegu_c_name_check(el->diag, decl.loc, TEGU_C_ARGUMENT, decl.name))
        return tegu_term_error();
    tegu_axis_id id =
        tegu_unit_add_axis(el->unit, decl.name, !decl.value, lo, hi);
    return tegu_term_dim(tegu_unit_axis_dim(el->unit, id));
}

static tegu_term declare_const(tegu_source *source, tegu_decl decl)
{
    tegu_elab *el = source->el;
    if (!apply_override(source, &decl))
        return tegu_term_error();
    tegu_term value = tegu_elab_expr(el, decl.value);
    if (value.kind != TEGU_TERM_TENSOR && value.kind != TEGU_TERM_STATE &&
        value.kind != TEGU_TERM_TUPLE)
        return value;
    tegu_elab_error(el, decl.value->loc, TEGU_E_CONSTANT,
                    "constant '%s' must be known at compile time, not %s",
                    decl.name, tegu_term_describe(&value));
    return tegu_term_error();
}

/* Names that a file may not define: ops, builtins, element types. */
static bool is_taken(const char *name, bool callable)
{
    tegu_term term;
    uint32_t count;
    if (!callable)
        return tegu_elab_reserved(name, &term);
    const char *const *builtins = tegu_builtin_names(&count);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(builtins[i], name) == 0)
            return true;
    return tegu_op_find(name, strlen(name)) != TEGU_OP_COUNT;
}

static bool check_new(tegu_elab *el, const tegu_decl *decl)
{
    const tegu_symbol *old = tegu_module_find(el->module, decl->name);
    if (old) {
        tegu_elab_error(el, decl->loc, TEGU_E_NAME,
                        "'%s' is defined already; choose another name",
                        decl->name);
        tegu_note(el->diag, old->loc, "the first one");
        return false;
    }
    if (is_taken(decl->name, tegu_decl_is_callable(decl)))
        return tegu_elab_error(el, decl->loc, TEGU_E_NAME,
                               "'%s' has a meaning already; choose another "
                               "name",
                               decl->name);
    return true;
}

static bool same_but_case(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        int x = *a >= 'A' && *a <= 'Z' ? *a + 32 : *a;
        int y = *b >= 'A' && *b <= 'Z' ? *b + 32 : *b;
        if (x != y)
            return false;
    }
    return *a == *b;
}

/* The header's macros are in upper case: NAME_STEP_T_MAX. */
static void check_entry_case(tegu_elab *el, const tegu_decl *decl)
{
    for (uint32_t i = 0; i < el->module->symbols.count; i++) {
        const tegu_symbol *s = &el->module->symbols.data[i];
        if (s->decl != decl && s->decl->kind == TEGU_DECL_ENTRY &&
            same_but_case(s->name, decl->name))
            tegu_elab_error(el, decl->loc, TEGU_E_C_NAME,
                            "entries '%s' and '%s' differ in case only, which "
                            "the header's macros do not show",
                            s->name, decl->name);
    }
}

static void declare(tegu_source *source, const tegu_decl *decl)
{
    tegu_elab *el = source->el;
    bool fresh = check_new(el, decl);
    if (!fresh && tegu_module_find(el->module, decl->name))
        return;
    tegu_symbol symbol = {.name = decl->name, .loc = decl->loc, .decl = decl};
    if (fresh && decl->kind == TEGU_DECL_AXIS)
        symbol.term = declare_axis(source, *decl);
    else if (fresh && decl->kind == TEGU_DECL_CONST)
        symbol.term = declare_const(source, *decl);
    tegu_map_set(el->module->index, decl->name, strlen(decl->name),
                 el->module->symbols.count);
    tegu_vec_push(el->arena, &el->module->symbols, symbol);
    if (decl->kind == TEGU_DECL_ENTRY)
        check_entry_case(el, decl);
}

/* model, weights, tokenizer: once, and in the model's own file. */
static void declare_once(tegu_source *source, const tegu_decl *decl,
                         const tegu_decl **slot, const char *what)
{
    tegu_elab *el = source->el;
    if (strcmp(decl->loc.file, source->path) != 0) {
        tegu_elab_error(el, decl->loc, TEGU_E_NAME,
                        "only the model's own file has '%s'; this one is "
                        "imported",
                        what);
    } else if (*slot) {
        tegu_elab_error(el, decl->loc, TEGU_E_NAME, "'%s' is given twice",
                        what);
        tegu_note(el->diag, (*slot)->loc, "the first one");
    } else {
        *slot = decl;
    }
}

static void unused_defines(tegu_source *source)
{
    tegu_elab *el = source->el;
    TEGU_VEC(const char *) known = {0};
    for (uint32_t i = 0; i < el->module->symbols.count; i++) {
        const tegu_symbol *s = &el->module->symbols.data[i];
        if (s->decl->kind == TEGU_DECL_AXIS || s->decl->kind == TEGU_DECL_CONST)
            tegu_vec_push(el->arena, &known, s->name);
    }
    for (uint32_t i = 0; i < source->options->define_count; i++) {
        const char *key = source->options->defines[i].key;
        if (source->defines_used[i])
            continue;
        const char *near = tegu_nearest(key, known.data, known.count);
        tegu_error(el->diag, tegu_loc_file(source->path), TEGU_E_USAGE,
                   "-D %s: the model has no such axis or constant%s",
                   tegu_escaped(el->arena, key, strlen(key)),
                   near ? tegu_format(el->arena, "; did you mean '%s'?", near)
                        : "");
    }
}

void tegu_module_declare(tegu_source *source)
{
    tegu_elab *el = source->el;
    tegu_frame frame;
    source->defines_used =
        TEGU_ARRAY(el->arena, bool, source->options->define_count + 1);
    tegu_elab_begin(el, &frame, NULL);
    el->frame = NULL;
    el->dry = true;
    for (uint32_t i = 0; i < source->decls.count; i++) {
        const tegu_decl *decl = source->decls.data[i];
        if (decl->kind == TEGU_DECL_MODEL)
            declare_once(source, decl, &source->model, "model");
        else if (decl->kind == TEGU_DECL_WEIGHTS)
            declare_once(source, decl, &source->weights, "weights");
        else if (decl->kind == TEGU_DECL_TOKENIZER)
            declare_once(source, decl, &source->tokenizer, "tokenizer");
        else if (decl->kind != TEGU_DECL_IMPORT && decl->name)
            declare(source, decl);
    }
    el->dry = false;
    unused_defines(source);
}
