/* SPDX-License-Identifier: Apache-2.0 */
/* emit_model.h - a model written back as source and weights. */
#ifndef TEGU_CLI_EMIT_MODEL_H
#define TEGU_CLI_EMIT_MODEL_H

#include "frontend/cli/cli.h"

/* False after reporting a path that is neither "-" nor NAME.tegu. */
bool tegu_emit_model_check(tegu_cli *cli, const char *path);
/* Writes the session's unit, at model level, to `path` (NAME.tegu) with
 * NAME.safetensors and its tokenizer beside it; "-" prints the source alone.
 * False after reporting. */
bool tegu_emit_model(tegu_cli *cli, tegu_session *session, const char *path);

#endif
