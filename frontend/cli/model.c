/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - drives a compiled language model and reads its tokens.
 *
 * Takes a session with an executor; calls its entries through tegu_executor.
 * What a language model is: entry `step`, tokens i32[T], logits
 * f32[T, vocab] (docs/tutorial.md).
 */
#include "frontend/cli/model.h"

#include "frontend/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static bool not_a_model(tegu_cli *cli, const char *why)
{
    return tegu_error(cli->diag, tegu_loc_file(cli->args.operands.data[0]),
                      TEGU_E_UNSUPPORTED,
                      "this needs a language model: entry step(tokens: "
                      "i32[T]) -> logits: f32[T, vocab], but %s",
                      why);
}

static bool takes_tokens(const tegu_entry *entry)
{
    const tegu_type *type =
        entry->arguments.count == 1 ? entry->arguments.data[0].type : NULL;
    return type && type->dtype == TEGU_I32 && type->rank == 1 &&
           entry->graph->results.count == 1;
}

static const tegu_type *result_type(const tegu_entry *entry)
{
    return tegu_graph_type(entry->graph, entry->graph->results.data[0].value);
}

bool tegu_lm_init(tegu_cli *cli, tegu_session *session, tegu_lm *lm)
{
    tegu_unit *unit = session->unit;
    *lm = (tegu_lm){.session = session};
    lm->step = tegu_unit_find_entry(unit, "step");
    if (!lm->step)
        return not_a_model(cli, "it has no entry step");
    if (!takes_tokens(lm->step))
        return not_a_model(cli, "step does not take one i32[T]");
    const tegu_type *logits = result_type(lm->step);
    if (logits->dtype != TEGU_F32 || logits->rank != 2 ||
        !tegu_dim_is_static(logits->dims[1]))
        return not_a_model(cli, "step does not give f32[T, vocab]");
    lm->vocab = logits->dims[1].offset;
    int64_t lo;
    tegu_dim_bounds(unit, lm->step->arguments.data[0].type->dims[0], &lo,
                    &lm->most);
    lm->context = lm->most;
    for (uint32_t s = 0; s < unit->states.count; s++)
        if (unit->states.data[s].appended)
            lm->context = unit->states.data[s].type->dims[0].offset;
    const tegu_entry *prompt = tegu_unit_find_entry(unit, "prompt");
    if (prompt && takes_tokens(prompt))
        lm->prompt = prompt;
    return true;
}

static bool call(const tegu_lm *lm, const tegu_entry *entry,
                 const int32_t *tokens, int64_t count, float *logits,
                 int64_t rows)
{
    tegu_tensor in = {TEGU_I32, 1, {count}, NULL};
    tegu_tensor out = {TEGU_F32, 2, {rows, lm->vocab}, logits};
    memcpy(&in.data, &tokens, sizeof in.data);
    tegu_executor *executor = lm->session->executor;
    return executor->call(executor->self, entry->name, &in, 1, &out, 1);
}

bool tegu_lm_step(const tegu_lm *lm, const int32_t *tokens, int64_t count,
                  float *logits)
{
    for (int64_t done = 0; done < count; done += lm->most) {
        int64_t n = count - done < lm->most ? count - done : lm->most;
        if (!call(lm, lm->step, tokens + done, n, logits + done * lm->vocab, n))
            return false;
    }
    return true;
}

bool tegu_lm_prompt(const tegu_lm *lm, const int32_t *tokens, int64_t count,
                    float *logits, float *scratch)
{
    if (!lm->prompt) {
        if (!tegu_lm_step(lm, tokens, count, scratch))
            return false;
        memcpy(logits, scratch + (count - 1) * lm->vocab,
               (size_t)lm->vocab * sizeof *logits);
        return true;
    }
    for (int64_t done = 0; done < count; done += lm->most) {
        int64_t n = count - done < lm->most ? count - done : lm->most;
        if (!call(lm, lm->prompt, tokens + done, n, logits, 1))
            return false;
    }
    return true;
}

int64_t *tegu_symbols_at(tegu_cli *cli, const tegu_unit *unit, int64_t length)
{
    int64_t *symbols = TEGU_ARRAY(cli->arena, int64_t, unit->axes.count);
    for (uint32_t a = 1; a < unit->axes.count; a++) {
        const tegu_axis *axis = &unit->axes.data[a];
        symbols[a] = length < axis->lo   ? axis->lo
                     : length > axis->hi ? axis->hi
                                         : length;
    }
    return symbols;
}

bool tegu_open_tokenizer(tegu_cli *cli, const tegu_unit *unit,
                         tegu_tokenizer **tokenizer)
{
    const char *path =
        tegu_args_text(&cli->args, TEGU_CLI_TOKENIZER, unit->tokenizer);
    tegu_reason reason;
    if (!path)
        return tegu_error(cli->diag, tegu_loc_file(cli->args.operands.data[0]),
                          TEGU_E_NO_INPUT,
                          "the model names no tokenizer; give --tokenizer");
    tegu_status status = tegu_tokenizer_open(path, tokenizer, &reason);
    if (status == TEGU_STATUS_OK)
        return true;
    /* The reason reads `path: error: text`; the location shows the path. */
    const char *text = strstr(reason.text, ": error: ");
    return tegu_error(cli->diag, tegu_loc_file(path),
                      status == TEGU_STATUS_OPEN          ? TEGU_E_NO_INPUT
                      : status == TEGU_STATUS_MEMORY      ? TEGU_E_RESOURCES
                      : status == TEGU_STATUS_UNSUPPORTED ? TEGU_E_UNSUPPORTED
                                                          : TEGU_E_TOKENIZER,
                      "%s", text ? text + strlen(": error: ") : reason.text);
}

/* Converts a tensor of ids into int32 in the arena. */
static bool convert_ids(tegu_cli *cli, const char *path,
                        const tegu_stored_tensor *tensor, tegu_tokens *tokens)
{
    size_t width = tensor->dtype == TEGU_I64 ? 8 : 4;
    if (tensor->dtype != TEGU_I32 && tensor->dtype != TEGU_I64)
        return tegu_error(cli->diag, tegu_loc_file(path), TEGU_E_TOKENS,
                          "tensor '%s' holds %s; token ids are I32 or I64",
                          tensor->name, tensor->dtype_text);
    size_t count = tensor->bytes / width;
    int32_t *ids = TEGU_ARRAY(cli->arena, int32_t, count + 1);
    for (size_t i = 0; i < count; i++) {
        int64_t id = 0;
        int32_t narrow;
        if (width == 8) {
            memcpy(&id, tensor->data + 8 * i, 8);
        } else {
            memcpy(&narrow, tensor->data + 4 * i, 4);
            id = narrow;
        }
        ids[i] = id < INT32_MIN || id > INT32_MAX ? -1 : (int32_t)id;
    }
    tokens->ids = ids;
    tokens->count = (int64_t)count;
    tokens->row = tensor->rank == 2 ? tensor->dims[1] : 0;
    return true;
}

static bool tokens_from_file(tegu_cli *cli, const char *spec,
                             tegu_tokens *tokens)
{
    const char *colon = strrchr(spec, ':');
    const char *path = spec, *name = NULL;
    if (colon && !tegu_path_exists(spec)) {
        path = tegu_format(cli->arena, "%.*s", (int)(colon - spec), spec);
        name = colon + 1;
    }
    tokens->source = path;
    tegu_safetensors *st = tegu_safetensors_open(cli->arena, cli->diag, path);
    if (!st)
        return false;
    tegu_text made_from = {.arena = cli->arena};
    tegu_provenance_add(&made_from, "tokens", &st->file);
    tokens->made_from = tegu_text_cstr(&made_from);
    const tegu_stored_tensor *tensor = name ? tegu_safetensors_find(st, name)
                                       : st->tensors.count == 1
                                           ? st->tensors.data
                                           : NULL;
    bool ok;
    if (tensor)
        ok = convert_ids(cli, path, tensor, tokens);
    else
        ok = tegu_error(cli->diag, tegu_loc_file(path), TEGU_E_TOKENS,
                        name ? "no tensor '%s'; give FILE:TENSOR"
                             : "several tensors; name one as FILE:TENSOR%s",
                        name ? tegu_escaped(cli->arena, name, strlen(name))
                             : "");
    tegu_file_unmap(&st->file);
    return ok;
}

/* Lines for a text and for the files of the tokenizer that cut it. */
static bool note_text(tegu_cli *cli, const tegu_file *text,
                      const tegu_tokenizer *tokenizer, tegu_tokens *tokens)
{
    tegu_text made_from = {.arena = cli->arena};
    const char *path, *error;
    tegu_provenance_add(&made_from, "text", text);
    for (size_t i = 0; (path = tegu_tokenizer_file(tokenizer, i)); i++) {
        tegu_file file;
        if (!tegu_file_map(cli->arena, path, &file, &error))
            return tegu_error(cli->diag, tegu_loc_file(path), TEGU_E_NO_INPUT,
                              "%s", error);
        tegu_provenance_add(&made_from, "tokenizer", &file);
        tegu_file_unmap(&file);
    }
    tokens->made_from = tegu_text_cstr(&made_from);
    return true;
}

static bool tokens_from_text(tegu_cli *cli, const tegu_lm *lm, const char *path,
                             tegu_tokens *tokens)
{
    tegu_file file;
    const char *error;
    if (!tegu_file_read(cli->arena, path, 0, &file, &error))
        return tegu_error(cli->diag, tegu_loc_file(path), TEGU_E_NO_INPUT, "%s",
                          error);
    tegu_tokenizer *tokenizer;
    if (!tegu_open_tokenizer(cli, lm->session->unit, &tokenizer))
        return false;
    tegu_ids ids;
    tegu_reason reason;
    bool noted = note_text(cli, &file, tokenizer, tokens);
    tegu_status status = tegu_tokenizer_encode(
        tokenizer, (const char *)file.data, file.size, 0, &ids, &reason);
    tegu_tokenizer_close(tokenizer);
    if (status != TEGU_STATUS_OK)
        return tegu_error(cli->diag, tegu_loc_file(path), TEGU_E_TOKENS, "%s",
                          reason.text);
    tokens->source = path;
    tokens->ids =
        tegu_arena_copy(cli->arena, ids.data, ids.count * sizeof *ids.data);
    tokens->count = (int64_t)ids.count;
    free(ids.data);
    return noted;
}

bool tegu_load_tokens(tegu_cli *cli, const tegu_lm *lm, const char *file,
                      const char *text, tegu_tokens *tokens)
{
    *tokens = (tegu_tokens){0};
    if (file && !tokens_from_file(cli, file, tokens))
        return false;
    if (text && !tokens_from_text(cli, lm, text, tokens))
        return false;
    for (int64_t i = 0; i < tokens->count; i++)
        if (tokens->ids[i] < 0 || tokens->ids[i] >= lm->vocab)
            return tegu_error(
                cli->diag, tegu_loc_file(tokens->source), TEGU_E_TOKENS,
                "token %lld has the id %d, outside the "
                "vocabulary of %lld",
                (long long)i, tokens->ids[i], (long long)lm->vocab);
    return true;
}

bool tegu_read_tokens(tegu_cli *cli, const tegu_lm *lm, tegu_tokens *tokens)
{
    const char *file = tegu_args_text(&cli->args, TEGU_CLI_TOKENS, NULL);
    const char *text = tegu_args_text(&cli->args, TEGU_CLI_TEXT, NULL);
    if (file && text)
        return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "give --text or --tokens, not both");
    return tegu_load_tokens(cli, lm, file, text, tokens);
}

bool tegu_open_pool(tegu_cli *cli, int64_t threads, tegu_pool **pool)
{
    *pool = NULL;
    if (threads == 1)
        return true;
    tegu_reason reason;
    if (tegu_pool_create((int)threads, TEGU_POOL_PIN_CALLER, pool, &reason) !=
        TEGU_STATUS_OK)
        return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                          "cannot start %lld threads: %s", (long long)threads,
                          reason.text);
    return true;
}

bool tegu_write_json(tegu_cli *cli, json_t *json)
{
    const char *path = tegu_args_text(&cli->args, TEGU_CLI_JSON, NULL);
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(json);
    if (!text)
        return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                          "out of memory");
    char *line = tegu_format(cli->arena, "%s\n", text);
    bool ok = tegu_output_write(cli, path, line, strlen(line));
    free(text);
    return ok;
}
