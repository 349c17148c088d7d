/* SPDX-License-Identifier: Apache-2.0 */
/* reduce_hidden.c - the pass over hidden layers' widths; intermediate.c does
 * it.
 */
#include "passes/intermediate.h"
#include "passes/passes.h"

tegu_outcome tegu_pass_reduce_hidden(tegu_unit *unit, tegu_pass_env *env)
{
    const tegu_intermediate how = {
        .axis = tegu_option_text(env->options, "axis"),
        .keep = tegu_option_float(env->options, "keep"),
        .method = tegu_option_text(env->options, "method"),
        .round =
            tegu_pass_multiple(env, tegu_option_int(env->options, "round")),
        .sequential = tegu_option_bool(env->options, "sequential"),
    };

    return tegu_reduce_intermediate(unit, env, &how);
}
