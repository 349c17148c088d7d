/* SPDX-License-Identifier: Apache-2.0 */
/* support.h: what the runtime's tests share: files in a folder of their own,
 * reading a file whole, and the data next to the repository. */
#ifndef TEGU_TESTS_RUNTIME_SUPPORT_H
#define TEGU_TESTS_RUNTIME_SUPPORT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tegu/runtime.h"

/* The folder that optional test data lies in, seen from the repository. */
#define SHARED "../shared/data/"

/* cmocka fixtures: *state is the name of a fresh folder, removed with all its
 * files by the teardown. */
int make_folder(void **state);
int remove_folder(void **state);

/* Writes a file into the folder; its path is good until the next call. */
const char *write_file(void **state, const char *name, const void *data,
                       size_t size);

/* The whole file, terminated, or NULL; free() it. */
char *read_file(const char *path, size_t *size);

/* Skips the running test unless the file can be read. */
void need_file(const char *path);

#endif
