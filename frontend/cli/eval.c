/* SPDX-License-Identifier: Apache-2.0 */
/* eval.c - `tegu eval`: perplexity of a model, and the KL divergence to the
 * unchanged model when passes were asked for. */
#include "frontend/cli/model.h"
#include "frontend/cli/report.h"

#include <jansson.h>

static bool read_windows(tegu_cli *cli, const tegu_lm *lm,
                         tegu_windows *windows)
{
    int64_t usual = lm->context < 256 ? lm->context : 256;
    if (!tegu_args_int(cli, TEGU_CLI_CONTEXT, usual, 1, INT32_MAX,
                       &windows->length) ||
        !tegu_args_int(cli, TEGU_CLI_STRIDE, windows->length, 1,
                       windows->length, &windows->stride) ||
        !tegu_args_int(cli, TEGU_CLI_LIMIT, 0, 0, INT64_MAX,
                       &windows->predictions))
        return false;
    return true;
}

static bool print_result(tegu_cli *cli, const tegu_session *session,
                         const tegu_windows *windows,
                         const tegu_quality *quality, bool compared)
{
    if (!tegu_args_has(&cli->args, TEGU_CLI_QUIET)) {
        tegu_report_print(stdout, cli, session);
        printf("perplexity %.4f  (nll %.6f, %lld predictions, context %lld)"
               "\n",
               quality->perplexity, quality->nll,
               (long long)quality->predictions, (long long)windows->length);
        if (compared)
            printf("KL to the unchanged model %.6f nats, same top token "
                   "%.2f %%\n",
                   quality->kl, 100 * quality->same_top);
    }
    if (!tegu_args_has(&cli->args, TEGU_CLI_JSON))
        return true;
    json_t *json = json_pack(
        "{s:f, s:f, s:I, s:I, s:I}", "perplexity", quality->perplexity, "nll",
        quality->nll, "tokens", (json_int_t)quality->predictions, "context",
        (json_int_t)windows->length, "stride", (json_int_t)windows->stride);
    if (compared) {
        json_object_set_new(json, "kl_div", json_real(quality->kl));
        json_object_set_new(json, "same_top", json_real(quality->same_top));
        json_object_set_new(json, "sites", tegu_report_json(session));
    }
    return tegu_write_json(cli, json);
}

/* Measures lm[0 .. count - 1], the unchanged model first. */
static bool measure(tegu_cli *cli, tegu_lm *lm, uint32_t count)
{
    tegu_tokens tokens;
    tegu_windows windows;
    tegu_quality quality[2];
    if (!read_windows(cli, &lm[0], &windows) ||
        !tegu_read_tokens(cli, &lm[0], &tokens))
        return false;
    if (!tokens.source)
        return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "'tegu eval' needs --text or --tokens");
    return tegu_measure_quality(cli, lm, count, &tokens, &windows, quality) &&
           print_result(cli, lm[count - 1].session, &windows,
                        &quality[count - 1], count == 2);
}

int tegu_command_EVAL(tegu_cli *cli)
{
    int64_t threads;
    tegu_pool *pool;
    if (!tegu_args_int(cli, TEGU_CLI_THREADS, 1, 1, 1024, &threads) ||
        !tegu_open_pool(cli, threads, &pool))
        return 64;
    const char *pipeline = tegu_args_text(&cli->args, TEGU_CLI_PIPELINE, "");
    uint32_t count = pipeline[0] ? 2 : 1, opened = 0;
    tegu_session *sessions[2] = {NULL, NULL};
    tegu_lm lm[2];
    bool ok = true;
    for (; ok && opened < count; opened++) {
        tegu_session *session = tegu_session_open(cli, false);
        sessions[opened] = session;
        ok = session &&
             tegu_session_native(cli, session, opened ? pipeline : "", threads,
                                 pool) &&
             tegu_lm_init(cli, session, &lm[opened]);
    }
    ok = ok && measure(cli, lm, count);
    for (uint32_t i = 0; i < count; i++)
        tegu_session_close(sessions[i]);
    tegu_pool_destroy(pool);
    return ok ? 0 : 70;
}
