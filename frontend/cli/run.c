/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - `tegu run`: generates text, or calls one entry on given tensors. */
#include "frontend/cli/model.h"

#include "frontend/safetensors.h"

#include <stdlib.h>
#include <string.h>

typedef struct generation {
    tegu_cli *cli;
    tegu_lm lm;
    tegu_tokenizer *tokenizer;
    tegu_sampler sampler;
    float *logits;
    void *scratch;
    int64_t count; /* tokens to generate */
} generation;

static bool read_sampler(generation *g)
{
    tegu_cli *cli = g->cli;
    double temperature, top_p;
    int64_t top_k, seed;
    if (!tegu_args_float(cli, TEGU_CLI_TEMPERATURE, 0.8, 0, 100,
                         &temperature) ||
        !tegu_args_float(cli, TEGU_CLI_TOP_P, 0.95, 1e-6, 1, &top_p) ||
        !tegu_args_int(cli, TEGU_CLI_TOP_K, 40, 0, INT32_MAX, &top_k) ||
        !tegu_args_int(cli, TEGU_CLI_SEED, 1, 0, INT64_MAX, &seed) ||
        !tegu_args_int(cli, TEGU_CLI_COUNT, 64, 0, INT32_MAX, &g->count))
        return false;
    return tegu_sampler_init(&g->sampler, (float)temperature, (int32_t)top_k,
                             (float)top_p, (uint64_t)seed) == TEGU_STATUS_OK;
}

static void print_token(const generation *g, int32_t previous, int32_t id)
{
    size_t length;
    const char *bytes =
        tegu_tokenizer_decode(g->tokenizer, previous, id, &length);
    fwrite(bytes, 1, length, stdout);
    fflush(stdout);
}

/* Feeds the prompt, then generates until count, eos or a full context. */
static bool generate(generation *g, const tegu_ids *prompt)
{
    tegu_lm *lm = &g->lm;
    int64_t position = (int64_t)prompt->count;
    float *rows =
        lm->prompt ? NULL
                   : tegu_arena_alloc_raw(
                         g->cli->arena, prompt->count * (size_t)lm->vocab * 4);
    if (!tegu_lm_prompt(lm, prompt->data, position, g->logits, rows))
        return false;
    int32_t previous = prompt->data[prompt->count - 1];
    int32_t eos = tegu_tokenizer_eos(g->tokenizer);
    double start = tegu_seconds();
    int64_t n = 0;
    for (; n < g->count; n++) {
        int32_t id = tegu_sampler_pick(&g->sampler, g->logits,
                                       (int32_t)lm->vocab, g->scratch);
        if (id < 0 || id == eos)
            break;
        print_token(g, previous, id);
        previous = id;
        if (position++ >= lm->context)
            break;
        if (n + 1 < g->count && !tegu_lm_step(lm, &id, 1, g->logits))
            return false;
    }
    putchar('\n');
    double seconds = tegu_seconds() - start;
    if (!tegu_args_has(&g->cli->args, TEGU_CLI_QUIET) && n)
        fprintf(stderr, "%lld tokens, %.1f tokens/s; compiled in %.2f s\n",
                (long long)n, (double)n / seconds,
                lm->session->load_seconds + lm->session->compile_seconds);
    return true;
}

static bool encode_prompt(generation *g, tegu_ids *ids)
{
    const char *text = tegu_args_text(&g->cli->args, TEGU_CLI_PROMPT, "");
    tegu_reason reason;
    if (tegu_tokenizer_encode(g->tokenizer, text, strlen(text), 0, ids,
                              &reason) != TEGU_STATUS_OK)
        return tegu_error(g->cli->diag, tegu_loc_none(), TEGU_E_TOKENS,
                          "--prompt: %s", reason.text);
    if (!ids->count) {
        int32_t bos = tegu_tokenizer_bos(g->tokenizer);
        ids->count = 1;
        ids->data[0] = bos < 0 ? 0 : bos;
    }
    if ((int64_t)ids->count > g->lm.context)
        return tegu_error(g->cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "the prompt has %zu tokens, the model holds %lld",
                          ids->count, (long long)g->lm.context);
    for (size_t i = 0; i < ids->count; i++)
        if (ids->data[i] >= g->lm.vocab)
            return tegu_error(g->cli->diag, tegu_loc_none(), TEGU_E_TOKENS,
                              "the tokenizer has more tokens than the model");
    fwrite(text, 1, strlen(text), stdout);
    return true;
}

static bool run_text(tegu_cli *cli, tegu_session *session)
{
    generation g = {.cli = cli};
    if (!read_sampler(&g) || !tegu_lm_init(cli, session, &g.lm) ||
        !tegu_open_tokenizer(cli, session->unit, &g.tokenizer))
        return false;
    g.logits = tegu_arena_alloc(cli->arena, (size_t)g.lm.vocab * 4);
    g.scratch =
        tegu_arena_alloc(cli->arena, tegu_sampler_scratch((int32_t)g.lm.vocab));
    tegu_ids ids = {0};
    bool ok = encode_prompt(&g, &ids) && generate(&g, &ids);
    free(ids.data);
    tegu_tokenizer_close(g.tokenizer);
    return ok;
}

static bool read_inputs(tegu_cli *cli, const tegu_entry *entry,
                        const tegu_safetensors *st, tegu_tensor *inputs)
{
    for (uint32_t i = 0; i < entry->arguments.count; i++) {
        const tegu_argument *argument = &entry->arguments.data[i];
        const tegu_stored_tensor *t = tegu_safetensors_find(st, argument->name);
        if (!t)
            return tegu_error(cli->diag, tegu_loc_file(st->path), TEGU_E_TOKENS,
                              "no tensor '%s' for entry %s", argument->name,
                              entry->name);
        if (t->dtype != argument->type->dtype)
            return tegu_error(cli->diag, tegu_loc_file(st->path), TEGU_E_TOKENS,
                              "tensor '%s' holds %s, entry %s takes %s",
                              t->name, t->dtype_text, entry->name,
                              tegu_dtype_safetensors(argument->type->dtype));
        inputs[i] = (tegu_tensor){.dtype = t->dtype, .rank = t->rank};
        memcpy(inputs[i].dims, t->dims, sizeof inputs[i].dims);
        inputs[i].data = tegu_arena_copy(cli->arena, t->data, t->bytes);
    }
    return true;
}

static bool write_results(tegu_cli *cli, const tegu_entry *entry,
                          const tegu_tensor *results)
{
    const char *path = tegu_args_text(&cli->args, TEGU_CLI_OUTPUTS, NULL);
    uint32_t count = entry->graph->results.count;
    tegu_stored_tensor *stored =
        TEGU_ARRAY(cli->arena, tegu_stored_tensor, count);
    for (uint32_t i = 0; i < count; i++) {
        stored[i] = (tegu_stored_tensor){
            .name = entry->graph->results.data[i].name,
            .dtype = results[i].dtype,
            .dtype_text = tegu_dtype_safetensors(results[i].dtype),
            .rank = results[i].rank,
            .data = results[i].data,
            .bytes = (size_t)tegu_tensor_elements(&results[i]) *
                     tegu_dtype_bytes(results[i].dtype),
        };
        memcpy(stored[i].dims, results[i].dims, sizeof stored[i].dims);
    }
    const char *error;
    if (!tegu_output_check(cli, path))
        return false;
    tegu_outputs *outputs = tegu_outputs_create(cli->arena);
    cli->outputs = outputs;
    bool ok = tegu_safetensors_write(cli->arena, outputs, path, stored, count,
                                     NULL, 0, &error) &&
              tegu_outputs_commit(outputs, &error);
    tegu_outputs_destroy(outputs);
    return ok || tegu_cannot_write(cli, path, error);
}

static bool run_entry(tegu_cli *cli, tegu_session *session)
{
    const char *name = tegu_args_text(&cli->args, TEGU_CLI_ENTRY, NULL);
    const char *in = tegu_args_text(&cli->args, TEGU_CLI_INPUTS, NULL);
    const tegu_entry *entry = tegu_unit_find_entry(session->unit, name);
    if (!entry)
        return tegu_error(cli->diag, tegu_loc_file(cli->args.operands.data[0]),
                          TEGU_E_USAGE, "the model has no entry '%s'",
                          tegu_escaped(cli->arena, name, strlen(name)));
    if (!in || !tegu_args_has(&cli->args, TEGU_CLI_OUTPUTS))
        return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "--entry needs --inputs and --outputs");
    tegu_tensor *inputs =
        TEGU_ARRAY(cli->arena, tegu_tensor, entry->arguments.count + 1);
    uint32_t count = entry->graph->results.count;
    tegu_tensor *results = TEGU_ARRAY(cli->arena, tegu_tensor, count);
    int64_t *symbols =
        TEGU_ARRAY(cli->arena, int64_t, session->unit->axes.count);
    tegu_safetensors *st = tegu_safetensors_open(cli->arena, cli->diag, in);
    if (!st)
        return false;
    bool ok = read_inputs(cli, entry, st, inputs) &&
              tegu_entry_bind(session->unit, entry, inputs,
                              entry->arguments.count, symbols);
    tegu_file_unmap(&st->file);
    for (uint32_t i = 0; ok && i < count; i++) {
        tegu_entry_output(session->unit, entry, i, symbols, &results[i]);
        results[i].data = tegu_arena_alloc(
            cli->arena, (size_t)tegu_tensor_elements(&results[i]) *
                                tegu_dtype_bytes(results[i].dtype) +
                            1);
    }
    tegu_executor *executor = session->executor;
    return ok &&
           executor->call(executor->self, name, inputs, entry->arguments.count,
                          results, count) &&
           write_results(cli, entry, results);
}

int tegu_command_RUN(tegu_cli *cli)
{
    bool call = tegu_args_has(&cli->args, TEGU_CLI_ENTRY);
    if (!call && !tegu_args_has(&cli->args, TEGU_CLI_PROMPT)) {
        tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                   "'tegu run' needs --prompt or --entry");
        return 64;
    }
    int64_t threads;
    tegu_pool *pool;
    if (!tegu_args_int(cli, TEGU_CLI_THREADS, 1, 1, 1024, &threads) ||
        !tegu_open_pool(cli, threads, &pool))
        return 64;
    tegu_session *session = tegu_session_open(cli, false);
    bool ok = session &&
              tegu_session_native(cli, session, NULL, threads, pool) &&
              (call ? run_entry(cli, session) : run_text(cli, session));
    tegu_session_close(session);
    tegu_pool_destroy(pool);
    return ok ? 0 : 70;
}
