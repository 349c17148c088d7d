/* SPDX-License-Identifier: Apache-2.0 */
/* provenance.c - the lines that say what a compilation was made from.
 *
 * Takes    the files that readers left in the unit, what calibration was made
 *          from, and the options that change what these mean.
 * Produces a line each: what the file is, its name, size and hash.  No paths,
 *          so that equal inputs give equal objects wherever they lie.
 * The lines are part of the ABI's hash (codegen.h), so that objects of
 * different inputs do not pass for one another.
 */
#include "frontend/cli/cli.h"

#include <string.h>

uint64_t tegu_input_hash(const void *bytes, size_t size)
{
    const unsigned char *data = bytes;
    uint64_t hash = size, word;
    for (; size >= sizeof word; data += sizeof word, size -= sizeof word) {
        memcpy(&word, data, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

void tegu_provenance_add(tegu_text *lines, const char *what,
                         const tegu_file *file)
{
    tegu_text_printf(lines, "%s ", what);
    tegu_text_escape(lines, file->name, strlen(file->name));
    tegu_text_printf(
        lines, " of %zu bytes, hash %016llx\n", file->size,
        (unsigned long long)tegu_input_hash(file->data, file->size));
}

static void add_files(tegu_text *lines, const char *what,
                      const tegu_files *files)
{
    for (uint32_t i = 0; i < files->count; i++)
        tegu_provenance_add(lines, what, &files->data[i]);
}

/* Options that were given, as they were written. */
static void add_options(tegu_text *lines, const tegu_args *args,
                        const tegu_cli_option *options, size_t count)
{
    for (size_t o = 0; o < count; o++) {
        const tegu_texts *values = &args->values[options[o]];
        for (uint32_t i = 0; i < values->count; i++) {
            tegu_text_printf(lines, "option %s ",
                             tegu_cli_options[options[o]].long_name);
            tegu_text_escape(lines, values->data[i], strlen(values->data[i]));
            tegu_text_printf(lines, "\n");
        }
    }
}

static void add_model(tegu_text *lines, const tegu_cli *cli,
                      const tegu_session *session)
{
    static const tegu_cli_option options[] = {TEGU_CLI_DEFINE};
    add_files(lines, "model", &session->unit->files);
    add_options(lines, &cli->args, options, sizeof options / sizeof *options);
}

static void add_adapters(tegu_text *lines, const tegu_cli *cli,
                         const tegu_session *session)
{
    static const tegu_cli_option options[] = {
        TEGU_CLI_ADAPTER_SCALE, TEGU_CLI_ADAPTER_RAMP, TEGU_CLI_ADAPTER_ALPHA};
    add_files(lines, "adapter", &session->unit->adapter_files);
    for (uint32_t i = 0; i < session->adapter_weights.count; i++)
        tegu_text_printf(lines, "adapter number %u weighs %.17g\n", i + 1,
                         session->adapter_weights.data[i]);
    add_options(lines, &cli->args, options, sizeof options / sizeof *options);
}

const char *tegu_provenance(const tegu_cli *cli, const tegu_session *session)
{
    const char *calibrated = tegu_calibration_provenance(cli);
    tegu_text lines = {.arena = session->arena};
    add_model(&lines, cli, session);
    if (session->unit->adapters.count < 2 || *calibrated)
        add_adapters(&lines, cli, session);
    tegu_text_printf(&lines, "%s", calibrated);
    return tegu_text_cstr(&lines);
}
