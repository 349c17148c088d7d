/* SPDX-License-Identifier: Apache-2.0 */
/* adapters.c - --adapter PATH[=WEIGHT]: adapters on the command line.
 *
 * Applied in the order given, right after the model is loaded and before any
 * pass, so that they are folded before weights are quantised or rotated.  With
 * --keep-adapters each stays an adapter of the unit, to be switched.
 */
#include "frontend/cli/cli.h"
#include "frontend/peft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool read_options(tegu_cli *cli, tegu_adapter_options *options)
{
    const char *scale = tegu_args_text(&cli->args, TEGU_CLI_ADAPTER_SCALE, "");
    *options = (tegu_adapter_options){
        .scale = strcmp(scale, "r") == 0      ? TEGU_SCALE_R
                 : strcmp(scale, "sqrt") == 0 ? TEGU_SCALE_SQRT
                                              : TEGU_SCALE_FROM_FILE};
    if (*scale && options->scale == TEGU_SCALE_FROM_FILE)
        return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "--singlora-scale takes r or sqrt, not '%s'",
                          tegu_escaped(cli->arena, scale, strlen(scale)));
    return tegu_args_float(cli, TEGU_CLI_ADAPTER_RAMP, -1, 0, 1,
                           &options->ramp) &&
           tegu_args_float(cli, TEGU_CLI_ADAPTER_ALPHA, 0, 1e-6, 1e6,
                           &options->alpha);
}

/* Splits PATH=WEIGHT; a path that exists as it stands is one. */
static bool read_weight(tegu_cli *cli, const char *word, const char **path,
                        double *weight)
{
    const char *equals = strrchr(word, '=');
    char *end;
    *path = word;
    *weight = 1;
    if (!equals || tegu_path_exists(word))
        return true;
    *path = tegu_format(cli->arena, "%.*s", (int)(equals - word), word);
    *weight = strtod(equals + 1, &end);
    if (end != equals + 1 && !*end && isfinite(*weight) && *weight != 0)
        return true;
    return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "--adapter takes PATH or PATH=WEIGHT with a weight "
                      "other than 0, not '%s'",
                      tegu_escaped(cli->arena, word, strlen(word)));
}

bool tegu_session_adapters(tegu_cli *cli, tegu_session *session)
{
    const tegu_texts *words = &cli->args.values[TEGU_CLI_ADAPTER];
    bool apart = tegu_args_has(&cli->args, TEGU_CLI_KEEP_ADAPTERS);
    tegu_adapter_options options;
    if (!read_options(cli, &options))
        return false;
    if (apart && words->count == 0)
        return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "--keep-adapters keeps what --adapter gives; there "
                          "is none");
    for (uint32_t i = 0; i < words->count; i++) {
        const char *path;
        double weight;
        if (!read_weight(cli, words->data[i], &path, &weight))
            return false;
        tegu_adapter *adapter =
            tegu_adapter_open(session->arena, cli->diag, path, &options);
        if (!adapter)
            return false;
        tegu_input_add(cli, path);
        bool ok = tegu_adapter_apply(session->unit, adapter, weight, apart);
        tegu_adapter_close(adapter);
        if (!ok)
            return false;
        tegu_vec_push(session->arena, &session->adapter_weights, weight);
    }
    return true;
}
