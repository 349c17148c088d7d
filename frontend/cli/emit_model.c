/* SPDX-License-Identifier: Apache-2.0 */
/* emit_model.c - `tegu opt --emit model`: the model that passes left, as a
 * source file with weights of its own.
 *
 * Takes a session at model level; writes NAME.tegu, NAME.safetensors with
 * every tensor in the element type that it is stored in, and a copy of the
 * tokenizer where that lies in another folder.  All appear together.
 */
#include "frontend/cli/emit_model.h"
#include "frontend/safetensors.h"

#include <string.h>

typedef struct emission {
    tegu_cli *cli;
    tegu_unit *unit;
    const char *path;      /* of the .tegu file */
    const char *stem;      /* its path without the suffix; NULL: printed */
    const char *tokenizer; /* where a copy goes; NULL: none is needed */
    tegu_outputs *outputs;
} emission;

/* --- names --- */

static const char suffix[] = ".tegu";

bool tegu_emit_model_check(tegu_cli *cli, const char *path)
{
    size_t size = strlen(path), tail = sizeof suffix - 1;
    if (tegu_args_has(&cli->args, TEGU_CLI_KEEP_ADAPTERS))
        return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "--emit model writes adapters into the source, where "
                          "nothing switches them: leave --keep-adapters out");
    if (strcmp(path, "-") == 0 || (strlen(tegu_path_base(path)) > tail &&
                                   strcmp(path + size - tail, suffix) == 0))
        return true;
    return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                      "--emit model writes a source file and its weights; "
                      "give -o NAME.tegu, not '%s'",
                      tegu_escaped(cli->arena, path, size));
}

static bool is_beside(const emission *job, const char *path)
{
    return strcmp(tegu_path_dir(job->cli->arena, job->path),
                  tegu_path_dir(job->cli->arena, path)) == 0;
}

/* Where the tokenizer goes; NULL: there is none, or it lies beside. */
static const char *tokenizer_copy(const emission *job)
{
    const char *from = job->unit->tokenizer;
    if (!from || is_beside(job, from))
        return NULL;
    return tegu_format(job->cli->arena, "%s.%s", job->stem,
                       tegu_path_base(from));
}

/* --- tensors --- */

/* Parameters that an entry still uses. */
static bool *used_params(tegu_cli *cli, const tegu_unit *unit)
{
    bool *used = TEGU_ARRAY(cli->arena, bool, unit->params.count + 1);
    for (uint32_t e = 0; e < unit->entries.count; e++) {
        const tegu_graph *g = unit->entries.data[e].graph;
        const uint32_t *uses = tegu_graph_uses(g, cli->arena);
        for (tegu_value v = 1; v < g->nodes.count; v++) {
            const tegu_node *node = tegu_graph_node(g, v);
            const uint64_t *index;
            if (!uses[v] || node->op != TEGU_OP_PARAM)
                continue;
            const char *name = tegu_node_text(node, "name");
            index = tegu_map_find(unit->param_index, name, strlen(name));
            if (index)
                used[*index] = true;
        }
    }
    return used;
}

/* Fills *tensor; random values are worked out. */
static bool store(tegu_cli *cli, const tegu_unit *unit, const tegu_param *param,
                  tegu_stored_tensor *tensor)
{
    const tegu_type *type = param->type;
    bool made = param->source != TEGU_SOURCE_DATA;
    tegu_dtype dtype = made ? type->dtype : param->stored;
    int64_t count = tegu_type_elements(type);
    *tensor = (tegu_stored_tensor){.name = param->name,
                                   .dtype = dtype,
                                   .dtype_text = tegu_dtype_safetensors(dtype),
                                   .rank = type->rank,
                                   .data = param->data};
    tensor->bytes = (size_t)count * tegu_dtype_bytes(dtype);
    for (uint32_t i = 0; i < type->rank; i++) {
        bool turned = param->transposed && !made;
        tensor->dims[i] = type->dims[turned ? type->rank - 1 - i : i].offset;
    }
    if (!made)
        return true;
    void *data =
        tegu_arena_array(cli->arena, (size_t)count, tegu_dtype_bytes(dtype));
    tensor->data = data;
    return tegu_param_read(unit, param, 0, count, data);
}

static bool write_weights(emission *job)
{
    tegu_cli *cli = job->cli;
    const tegu_unit *unit = job->unit;
    const bool *used = used_params(cli, unit);
    uint32_t count = 0;
    const char *error;
    tegu_stored_tensor *tensors =
        TEGU_ARRAY(cli->arena, tegu_stored_tensor, unit->params.count + 1);
    const char *path = tegu_format(cli->arena, "%s.safetensors", job->stem);
    for (uint32_t i = 0; i < unit->params.count; i++)
        if (used[i] &&
            !store(cli, unit, &unit->params.data[i], &tensors[count++]))
            return false;
    return tegu_output_check(cli, path) &&
           (tegu_safetensors_write(cli->arena, job->outputs, path, tensors,
                                   count, NULL, 0, &error) ||
            tegu_cannot_write(cli, path, error));
}

/* --- files --- */

static bool write_file(emission *job, const char *path, const void *data,
                       size_t size)
{
    const char *error;
    return tegu_output_open(job->cli, job->outputs, path) &&
           (tegu_outputs_write(job->outputs, data, size, &error) ||
            tegu_cannot_write(job->cli, path, error));
}

static bool copy_tokenizer(emission *job, const char *path)
{
    tegu_file file;
    const char *error;
    if (!tegu_file_read(job->cli->arena, job->unit->tokenizer, 0, &file,
                        &error))
        return tegu_error(job->cli->diag, tegu_loc_file(job->unit->tokenizer),
                          TEGU_E_NO_INPUT, "cannot read the tokenizer: %s",
                          error);
    return write_file(job, path, file.data, file.size);
}

static bool write_all(emission *job, const tegu_text *text)
{
    const char *error;
    return write_file(job, job->path, tegu_text_cstr(text), text->count) &&
           (!tegu_write_needs_weights(job->unit) || write_weights(job)) &&
           (!job->tokenizer || copy_tokenizer(job, job->tokenizer)) &&
           (tegu_outputs_commit(job->outputs, &error) ||
            tegu_cannot_write(job->cli, job->path, error));
}

/* A parameter is stored as its file has it, or as worked out. */
static void settle_random(tegu_unit *unit)
{
    for (uint32_t i = 0; i < unit->params.count; i++)
        if (unit->params.data[i].source == TEGU_SOURCE_RANDOM)
            unit->params.data[i].transposed = false;
}

/* The names of the files written, and of those that the source mentions. */
static void name_files(emission *job, tegu_write_options *options)
{
    tegu_arena *arena = job->cli->arena;
    bool print = strcmp(job->path, "-") == 0;
    size_t tail = sizeof suffix - 1;
    const char *name = job->unit->name;
    if (job->unit->tokenizer)
        options->tokenizer = tegu_path_base(job->unit->tokenizer);
    if (!print) {
        job->stem = tegu_format(arena, "%.*s", (int)(strlen(job->path) - tail),
                                job->path);
        job->tokenizer = tokenizer_copy(job);
        name = tegu_path_base(job->stem);
    }
    options->weights = tegu_format(arena, "%s.safetensors", name);
    if (job->tokenizer)
        options->tokenizer = tegu_path_base(job->tokenizer);
}

bool tegu_emit_model(tegu_cli *cli, tegu_session *session, const char *path)
{
    emission job = {.cli = cli, .unit = session->unit, .path = path};
    tegu_text text = {.arena = cli->arena};
    tegu_write_options options = {0};
    name_files(&job, &options);
    if (*session->pipeline)
        options.comment = tegu_format(cli->arena, "%s after %s",
                                      session->unit->name, session->pipeline);
    if (tegu_write_needs_weights(session->unit))
        settle_random(session->unit);
    if (!tegu_write_language(session->unit, &options, &text))
        return false;
    if (!job.stem)
        return tegu_output_write(cli, path, tegu_text_cstr(&text), text.count);
    job.outputs = tegu_outputs_create(cli->arena);
    bool ok = write_all(&job, &text);
    tegu_outputs_destroy(job.outputs);
    return ok;
}
