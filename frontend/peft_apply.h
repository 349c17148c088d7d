/* SPDX-License-Identifier: Apache-2.0 */
/* peft_apply.h - private to peft_apply.c and peft_check.c. */
#ifndef TEGU_FRONTEND_PEFT_APPLY_H
#define TEGU_FRONTEND_PEFT_APPLY_H

#include "frontend/peft_file.h"

/* How entries use a parameter. */
enum {
    TEGU_USED_AS_MATRIX = 1, /* in any other way */
    TEGU_USED_AS_TABLE = 2,  /* read by index */
    TEGU_USED_BY_LINEAR = 4  /* a linear's weight; AS_MATRIX as well */
};

/* What becomes of one parameter on one side of a tie. */
typedef struct change {
    const tegu_adapter_site *site;
    const char *param; /* the one that changes */
    tegu_op op;        /* LORA, SINGLORA, DORA; PARAM: replaced */
    double scale;
    const char *params[4]; /* operands behind the weight, NULL at the end */
    bool used;
    tegu_graph *graph; /* the last value built, and of what */
    tegu_value base, adapted;
} change;

typedef struct applying {
    tegu_unit *unit;
    tegu_adapter *adapter;
    double weight;
    const char *label; /* in front of new parameters' names */
    uint32_t owner;    /* the new parameters' in unit->adapters, or 0 */
    const char *more;  /* what modules have in front of parameters' names */
    uint32_t site;     /* the one at hand */
    bool replaced;     /* some tensor replaces another */
    tegu_map *uses;    /* parameter -> how entries use it */
    tegu_map *index;   /* "use:parameter" -> change */
    TEGU_VEC(change) changes;
} applying;

/* Values are finite, not all updates zero, the base is the one that the file
 * keeps a copy of, and targeted modules have tensors; false after reporting. */
bool tegu_adapter_check(applying *ap);

#endif
