/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - what passes did to a model, for people and for scripts. */
#ifndef TEGU_CLI_REPORT_H
#define TEGU_CLI_REPORT_H

#include "frontend/cli/cli.h"

/* Parameters, and MACs and weight bytes of one call of `step` (or the first
 * entry) with symbolic axes at their least.  False after reporting. */
bool tegu_size_measure(tegu_unit *unit, tegu_size *size);
/* The change of size, where there is one, and what passes reported. */
void tegu_report_print(FILE *out, tegu_cli *cli, const tegu_session *session);
/* [{"pass", "site", figures...}]: rows of lossy passes; the caller's. */
struct json_t;
struct json_t *tegu_report_json(const tegu_session *session);

#endif
