/* SPDX-License-Identifier: Apache-2.0 */
/* archive.h - static and shared libraries around one object. */
#ifndef TEGU_CLI_ARCHIVE_H
#define TEGU_CLI_ARCHIVE_H

#include "codegen/codegen.h"

/* A GNU ar archive with a symbol index that holds `object` as `member`. */
bool tegu_archive(tegu_arena *arena, const char *member, tegu_blob object,
                  tegu_blob *archive, const char **error);
/* Runs the C compiler (CC, or the target's cross compiler, or cc) with
 * -shared; the result is read back.  Nothing is left behind. */
bool tegu_link_shared(tegu_arena *arena, const tegu_target *target,
                      tegu_blob object, tegu_blob *shared, const char **error);

#endif
