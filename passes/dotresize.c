/* SPDX-License-Identifier: Apache-2.0 */
/* dotresize.c - the passes that project an axis: dotresize, slice, prune-width
 * and rotate are project.c with a provider each.  Takes their options; leaves
 * everything else to tegu_project_axis.
 */
#include "passes/project.h"
#include "passes/provider.h"

#include <string.h>

static const tegu_provider *const providers[] = {
    &tegu_provider_ot, &tegu_provider_pca, &tegu_provider_select,
    &tegu_provider_random};

static const tegu_provider *find_provider(tegu_unit *unit, tegu_pass_env *env)
{
    const char *name = tegu_option_text(env->options, "provider");
    for (size_t i = 0; i < sizeof providers / sizeof *providers; i++)
        if (!strcmp(providers[i]->name, name))
            return providers[i];
    tegu_error(unit->diag, tegu_loc_none(), TEGU_E_USAGE,
               "pass '%s': provider is '%s'; it must be ot, pca, select or "
               "random",
               tegu_options_pass(env->options),
               tegu_escaped(env->scratch, name, strlen(name)));
    return NULL;
}

/* The options that all four have. */
static tegu_reduction common(const tegu_pass_env *env,
                             const tegu_provider *provider)
{
    return (tegu_reduction){.axis = tegu_option_text(env->options, "axis"),
                            .basis = tegu_option_text(env->options, "basis"),
                            .keep = 1,
                            .round = 1,
                            .provider = provider,
                            .seed = 1,
                            .eps = 10,
                            .measure =
                                tegu_option_bool(env->options, "measure")};
}

static tegu_reduction narrower(const tegu_pass_env *env,
                               const tegu_provider *provider)
{
    tegu_reduction how = common(env, provider);
    how.keep = tegu_option_float(env->options, "keep");
    how.round = tegu_option_int(env->options, "round");
    return how;
}

tegu_outcome tegu_pass_dotresize(tegu_unit *unit, tegu_pass_env *env)
{
    const tegu_provider *provider = find_provider(unit, env);
    const char *cost = tegu_option_text(env->options, "cost");

    if (!provider)
        return TEGU_FAILED;
    if (strcmp(cost, "l1") != 0 && strcmp(cost, "l2") != 0) {
        tegu_error(unit->diag, tegu_loc_none(), TEGU_E_USAGE,
                   "pass 'dotresize': cost is '%s'; it must be l1 or l2",
                   tegu_escaped(env->scratch, cost, strlen(cost)));
        return TEGU_FAILED;
    }
    tegu_reduction how = narrower(env, provider);
    how.manhattan = !strcmp(cost, "l1");
    how.eps = tegu_option_float(env->options, "eps");
    how.seed = (uint64_t)tegu_option_int(env->options, "seed");
    return tegu_project_axis(unit, env, &how);
}

tegu_outcome tegu_pass_slice(tegu_unit *unit, tegu_pass_env *env)
{
    tegu_reduction how = narrower(env, &tegu_provider_pca);
    return tegu_project_axis(unit, env, &how);
}

tegu_outcome tegu_pass_prune_width(tegu_unit *unit, tegu_pass_env *env)
{
    tegu_reduction how = narrower(env, &tegu_provider_select);
    return tegu_project_axis(unit, env, &how);
}

tegu_outcome tegu_pass_rotate(tegu_unit *unit, tegu_pass_env *env)
{
    const tegu_provider *provider = find_provider(unit, env);

    if (!provider)
        return TEGU_FAILED;
    tegu_reduction how = common(env, provider);
    how.seed = (uint64_t)tegu_option_int(env->options, "seed");
    return tegu_project_axis(unit, env, &how);
}
