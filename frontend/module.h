/* SPDX-License-Identifier: Apache-2.0 */
/* module.h - what load.c, module.c and weights.c share. */
#ifndef TEGU_FRONTEND_MODULE_H
#define TEGU_FRONTEND_MODULE_H

#include "frontend/elab.h"
#include "frontend/frontend.h"

/* The declarations of a model's files in order, and what stands once in it. */
typedef struct tegu_source {
    tegu_elab *el;
    const tegu_load_options *options;
    const char *path;                             /* the model's own file */
    tegu_decls decls;                             /* imports followed */
    const tegu_decl *model, *weights, *tokenizer; /* NULL: not there */
    bool *defines_used;
} tegu_source;

/* Enters all names into the module: evaluates axes and constants with their
 * -D overrides.  Reports. */
void tegu_module_declare(tegu_source *source);

/* Gives every parameter of the unit its data.  False after reporting. */
bool tegu_weights_bind(tegu_source *source);

/* The path of a file that the model names: relative to its folder, and not
 * out of it.  NULL after reporting at loc. */
const char *tegu_source_path(tegu_source *source, const char *name,
                             tegu_loc loc);

#endif
