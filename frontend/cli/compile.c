/* SPDX-License-Identifier: Apache-2.0 */
/* compile.c - `tegu compile`: writes what --emit asks for, all or nothing.
 *
 * Takes a session brought to an artifact; produces files in the output folder
 * under temporary names, renamed together when every one is complete.
 */
#include "frontend/cli/archive.h"
#include "frontend/cli/cli.h"
#include "frontend/cli/demo.h"
#include "frontend/cli/dot.h"
#include "frontend/cli/report.h"

#include <ctype.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

typedef enum emit_kind {
    EMIT_OBJ,
    EMIT_HEADER,
    EMIT_WEIGHTS,
    EMIT_ASM,
    EMIT_LLVM,
    EMIT_BITCODE,
    EMIT_IR,
    EMIT_STATIC,
    EMIT_SHARED,
    EMIT_DOT,
    EMIT_DEMO,
    EMIT_COUNT
} emit_kind;

static const struct {
    const char *name, *suffix;
} kinds[EMIT_COUNT] = {
    [EMIT_OBJ] = {"obj", ".o"},
    [EMIT_HEADER] = {"header", ".h"},
    [EMIT_WEIGHTS] = {"weights", ".weights"},
    [EMIT_ASM] = {"asm", ".s"},
    [EMIT_LLVM] = {"llvm", ".ll"},
    [EMIT_BITCODE] = {"bitcode", ".bc"},
    [EMIT_IR] = {"ir", ".tir"},
    [EMIT_STATIC] = {"static", ".a"},
    [EMIT_SHARED] = {"shared", ".so"},
    [EMIT_DOT] = {"dot", ".dot"},
    [EMIT_DEMO] = {"demo", "_demo.c"},
};

/* One run of the command. */
typedef struct emission {
    tegu_cli *cli;
    tegu_session *session;
    const char *folder;
    unsigned kinds; /* bits of emit_kind */
    bool embed;
    tegu_target target;
    tegu_outputs *outputs;
    tegu_text written;
} emission;

static bool unknown_kind(emission *job, const char *word)
{
    tegu_arena *arena = job->cli->arena;
    tegu_text all = {.arena = arena};
    const char *names[EMIT_COUNT];
    for (int k = 0; k < EMIT_COUNT; k++) {
        names[k] = kinds[k].name;
        tegu_text_printf(&all, "%s%s", k ? ", " : "", names[k]);
    }
    const char *near = tegu_nearest(word, names, EMIT_COUNT);
    return tegu_error(job->cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "compile cannot emit '%s'%s%s%s",
                      tegu_escaped(arena, word, strlen(word)),
                      near ? "; did you mean '" : ": it emits ",
                      near ? near : tegu_text_cstr(&all), near ? "'?" : "");
}

static bool parse_kinds(emission *job)
{
    const char *text =
        tegu_args_text(&job->cli->args, TEGU_CLI_EMIT, "obj,header,weights");
    for (bool more = true; more;) {
        size_t length = strcspn(text, ",");
        int k = 0;
        while (k < EMIT_COUNT && (strlen(kinds[k].name) != length ||
                                  memcmp(kinds[k].name, text, length) != 0))
            k++;
        if (k == EMIT_COUNT)
            return unknown_kind(
                job, tegu_format(job->cli->arena, "%.*s", (int)length, text));
        job->kinds |= 1u << k;
        more = text[length] == ',';
        text += length + more;
    }
    return true;
}

static bool read_options(emission *job)
{
    const tegu_args *args = &job->cli->args;
    const char *weights = tegu_args_text(args, TEGU_CLI_WEIGHTS, "file");
    job->embed = strcmp(weights, "embed") == 0;
    if (!job->embed && strcmp(weights, "file") != 0)
        return tegu_error(
            job->cli->diag, tegu_loc_none(), TEGU_E_USAGE,
            "--weights takes file or embed, not '%s'",
            tegu_escaped(job->cli->arena, weights, strlen(weights)));
    tegu_failure failure;
    if (!tegu_target_find(
            &job->target, tegu_args_text(args, TEGU_CLI_TARGET, NULL),
            tegu_args_text(args, TEGU_CLI_CPU, NULL),
            tegu_args_text(args, TEGU_CLI_FEATURES, NULL), &failure))
        return tegu_error(job->cli->diag, tegu_loc_none(), TEGU_E_USAGE, "%s",
                          failure.text);
    job->folder = tegu_args_text(args, TEGU_CLI_OUTPUT, ".");
    return parse_kinds(job);
}

static char *path_of(emission *job, emit_kind kind)
{
    char *name = tegu_format(job->cli->arena, "%s%s", job->session->unit->name,
                             kinds[kind].suffix);
    return tegu_path_join(job->cli->arena, job->folder, name);
}

static bool write_bytes(emission *job, emit_kind kind, const void *data,
                        size_t size)
{
    const char *error;
    char *path = path_of(job, kind);
    if (!tegu_output_open(job->cli, job->outputs, path))
        return false;
    if (!tegu_outputs_write(job->outputs, data, size, &error))
        return tegu_cannot_write(job->cli, path, error);
    tegu_text_printf(&job->written, "  %-28s %s\n", path,
                     tegu_bytes_text(job->cli->arena, (double)size));
    return true;
}

static bool write_blob(emission *job, emit_kind kind, tegu_blob blob)
{
    return write_bytes(job, kind, blob.data, blob.size);
}

static bool write_text(emission *job, emit_kind kind, const tegu_text *text)
{
    return write_bytes(job, kind, tegu_text_cstr(text), text->count);
}

typedef struct weights_sink {
    emission *job;
    const char *path;
    tegu_progress progress;
    double done, total;
} weights_sink;

static bool sink_write(void *data, const void *bytes, size_t size)
{
    weights_sink *sink = data;
    const char *error;
    if (!tegu_outputs_write(sink->job->outputs, bytes, size, &error))
        return tegu_cannot_write(sink->job->cli, sink->path, error);
    sink->done += (double)size;
    tegu_progress_step(&sink->progress, sink->done, sink->total);
    return true;
}

/* The file of an adapter; NULL: the model's own. */
static bool write_tensors(emission *job, const char *path,
                          const tegu_artifact_slot *adapter)
{
    const tegu_artifact *artifact = job->session->artifact;
    size_t bytes = adapter ? adapter->bytes : artifact->weights_bytes;
    weights_sink sink = {.job = job, .path = path, .total = (double)bytes};
    if (!tegu_output_open(job->cli, job->outputs, path))
        return false;
    tegu_progress_start(&sink.progress, job->cli, "writing weights");
    bool ok = adapter ? tegu_artifact_adapter(
                            artifact, (uint32_t)(adapter - artifact->adapters),
                            sink_write, &sink)
                      : tegu_artifact_weights(job->session->unit, artifact,
                                              sink_write, &sink);
    tegu_progress_end(&sink.progress);
    tegu_text_printf(&job->written, "  %-28s %s\n", path,
                     tegu_bytes_text(job->cli->arena, sink.total));
    return ok;
}

static bool write_weights(emission *job)
{
    const tegu_artifact *artifact = job->session->artifact;
    if (!job->embed && !write_tensors(job, path_of(job, EMIT_WEIGHTS), NULL))
        return false;
    for (uint32_t i = 0; i < artifact->adapter_count; i++) {
        char *name =
            tegu_format(job->cli->arena, "%s.%s.adapter",
                        job->session->unit->name, artifact->adapters[i].name);
        if (!write_tensors(job,
                           tegu_path_join(job->cli->arena, job->folder, name),
                           &artifact->adapters[i]))
            return false;
    }
    return true;
}

static bool write_archive(emission *job)
{
    const char *member =
        tegu_format(job->cli->arena, "%s.o", job->session->unit->name);
    tegu_blob archive;
    const char *error;
    if (!tegu_archive(job->cli->arena, member, job->session->artifact->object,
                      &archive, &error))
        return tegu_error(job->cli->diag, tegu_loc_none(), TEGU_E_INTERNAL,
                          "cannot make an archive: %s", error);
    return write_blob(job, EMIT_STATIC, archive);
}

static bool write_shared(emission *job)
{
    tegu_blob shared;
    const char *error;
    if (!tegu_link_shared(job->cli->arena, &job->target,
                          job->session->artifact->object, &shared, &error))
        return tegu_error(job->cli->diag, tegu_loc_none(), TEGU_E_UNSUPPORTED,
                          "cannot link a shared library: %s", error);
    return write_blob(job, EMIT_SHARED, shared);
}

static bool wants(const emission *job, emit_kind kind)
{
    return job->kinds >> kind & 1;
}

static bool write_texts(emission *job)
{
    tegu_text text = {.arena = job->cli->arena};
    if (wants(job, EMIT_IR)) {
        tegu_unit_print(&text, job->session->unit);
        if (!write_text(job, EMIT_IR, &text))
            return false;
    }
    if (wants(job, EMIT_DOT)) {
        text = (tegu_text){.arena = job->cli->arena};
        tegu_dot_print(&text, job->session->unit);
        if (!write_text(job, EMIT_DOT, &text))
            return false;
    }
    if (wants(job, EMIT_DEMO)) {
        text = (tegu_text){.arena = job->cli->arena};
        tegu_demo_print(&text, job->session->unit, job->embed);
        if (!write_text(job, EMIT_DEMO, &text))
            return false;
    }
    return true;
}

static bool write_all(emission *job)
{
    const tegu_artifact *artifact = job->session->artifact;
    const struct {
        emit_kind kind;
        tegu_blob blob;
    } blobs[] = {
        {EMIT_OBJ, artifact->object},      {EMIT_HEADER, artifact->header},
        {EMIT_ASM, artifact->assembly},    {EMIT_LLVM, artifact->llvm},
        {EMIT_BITCODE, artifact->bitcode},
    };
    for (size_t i = 0; i < sizeof blobs / sizeof *blobs; i++)
        if (wants(job, blobs[i].kind) &&
            !write_blob(job, blobs[i].kind, blobs[i].blob))
            return false;
    if (wants(job, EMIT_WEIGHTS) && !write_weights(job))
        return false;
    if (wants(job, EMIT_STATIC) && !write_archive(job))
        return false;
    if (wants(job, EMIT_SHARED) && !write_shared(job))
        return false;
    return write_texts(job);
}

static void print_summary(emission *job)
{
    tegu_arena *arena = job->cli->arena;
    const tegu_artifact *artifact = job->session->artifact;
    printf("%s: target %s (cpu %s, %u-bit vectors), %u kernels, %.2f s\n%s",
           job->session->unit->name, job->target.name, job->target.cpu,
           job->target.lanes * 32, artifact->kernel_count,
           job->session->compile_seconds, tegu_text_cstr(&job->written));
    printf("  state %s", tegu_bytes_text(arena, (double)artifact->state_bytes));
    for (uint32_t i = 0; i < artifact->entry_count; i++)
        printf(
            ", workspace of %s up to %s", artifact->entries[i].name,
            tegu_bytes_text(arena, (double)artifact->entries[i].workspace_max));
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        printf("\n  peak memory %s",
               tegu_bytes_text(arena, 1024.0 * (double)usage.ru_maxrss));
    putchar('\n');
    tegu_report_print(stdout, job->cli, job->session);
}

/* The part of the folder's path that is not there yet; "" when all is. */
static const char *missing_part(emission *job)
{
    char *path = tegu_format(job->cli->arena, "%s", job->folder);
    size_t size = strlen(path);
    while (size && !tegu_path_exists(path)) {
        while (size && path[size - 1] == '/')
            size--;
        while (size && path[size - 1] != '/')
            size--;
        path[size] = 0;
    }
    return job->folder + size;
}

/* Removes the folders that were made for outputs which did not come; those
 * that are not empty stay. */
static void remove_folders(emission *job, const char *made)
{
    char *path = tegu_format(job->cli->arena, "%s", job->folder);
    size_t kept = (size_t)(made - job->folder), size = strlen(path);
    do {
        while (size > kept && path[size - 1] == '/')
            size--;
        path[size] = 0;
        if (size == kept || rmdir(path) != 0)
            return;
        while (size > kept && path[size - 1] != '/')
            size--;
    } while (size > kept);
}

static bool emit(emission *job)
{
    const char *error, *made = missing_part(job);
    if (!tegu_make_directory(job->cli->arena, job->folder, &error))
        return tegu_cannot_write(job->cli, job->folder, error);
    job->outputs = tegu_outputs_create(job->cli->arena);
    bool ok = write_all(job);
    if (ok && !tegu_outputs_commit(job->outputs, &error))
        ok = tegu_cannot_write(job->cli, job->folder, error);
    tegu_outputs_destroy(job->outputs);
    if (!ok)
        remove_folders(job, made);
    return ok;
}

int tegu_command_COMPILE(tegu_cli *cli)
{
    emission job = {.cli = cli, .written = {.arena = cli->arena}};
    if (!read_options(&job))
        return 64;
    job.session = tegu_session_open(cli, false);
    if (!job.session)
        return 65;
    job.session->lanes = (int)(2 * job.target.lanes);
    bool ok =
        tegu_session_passes(cli, job.session, NULL, true) &&
        tegu_session_codegen(cli, job.session, &job.target, job.embed,
                             wants(&job, EMIT_ASM), wants(&job, EMIT_LLVM),
                             wants(&job, EMIT_BITCODE)) &&
        emit(&job);
    if (ok && !tegu_args_has(&cli->args, TEGU_CLI_QUIET))
        print_summary(&job);
    tegu_session_close(job.session);
    return ok ? 0 : 70;
}
