/* SPDX-License-Identifier: Apache-2.0 */
/* calib.c - calibration data for passes: --calib, read once per command, the
 * compiler that runs models over it, and the statistics kept of it.
 *
 * Takes text or stored token ids; produces sequences of equal length.  Graphs
 * are compiled by preset -O2 for this machine and run on all its threads:
 * kernels give the same bits for every number of threads.
 */
#include "frontend/cli/model.h"
#include "frontend/cli/stats.h"

#include <string.h>
#include <unistd.h>

enum { USUAL_LENGTH = 256, MOST_THREADS = 16 };

/* What the command keeps between calibrations; reached by tegu_cli. */
struct tegu_cli_calibration {
    tegu_calibration data;
    tegu_cli *cli;
    const char *made_from; /* lines of provenance */
    tegu_pool *pool;       /* NULL until the first model is compiled */
    int64_t threads;
    tegu_progress progress;
    tegu_kept_stats *kept; /* NULL: neither --stats nor --save-stats */
};

static bool start_pool(tegu_cli_calibration *c)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (c->threads)
        return true;
    c->threads = cpus < 1 ? 1 : cpus < MOST_THREADS ? cpus : MOST_THREADS;
    return tegu_open_pool(c->cli, c->threads, &c->pool);
}

static tegu_executor *compile(void *data, tegu_unit *unit)
{
    tegu_cli_calibration *c = data;
    tegu_manager_options options = {0};
    tegu_session session = {.arena = unit->arena, .unit = unit};
    tegu_pipeline *steps = tegu_pipeline_parse(unit->arena, unit->diag, "");
    session.pipeline = "";
    tegu_pipeline_add_preset(steps, 2);
    bool ok = start_pool(c) &&
              tegu_manager_run(unit, steps, &options, &session.report) &&
              tegu_session_codegen(c->cli, &session, NULL, false, false, false,
                                   false) &&
              tegu_session_jit(c->cli, &session, c->threads, c->pool);
    return ok ? session.executor : NULL;
}

static void progress(void *data, const char *what, double done, double total)
{
    tegu_cli_calibration *c = data;
    if (done <= 1)
        tegu_progress_start(&c->progress, c->cli, what);
    tegu_progress_step(&c->progress, done, total);
    if (done >= total)
        tegu_progress_end(&c->progress);
}

static bool is_safetensors(const char *spec)
{
    const char *found = strstr(spec, ".safetensors");
    while (found && found[12] && found[12] != ':')
        found = strstr(found + 1, ".safetensors");
    return found != NULL;
}

/* Sequences: the rows of a matrix of ids where the model holds one, else
 * pieces of 256 tokens, as many as --calib-tokens allows. */
static bool cut(tegu_cli_calibration *c, const tegu_lm *lm,
                const tegu_tokens *tokens)
{
    int64_t most, length = USUAL_LENGTH;
    if (!tegu_args_int(c->cli, TEGU_CLI_CALIB_TOKENS, 16384, 1, INT64_MAX,
                       &most))
        return false;
    if (tokens->count < 2)
        return tegu_error(c->cli->diag, tegu_loc_file(tokens->source),
                          TEGU_E_TOKENS, "fewer than two tokens");
    if (tokens->row && tokens->row <= lm->context)
        length = tokens->row;
    if (length > lm->context)
        length = lm->context;
    if (length > tokens->count)
        length = tokens->count;
    most = most < tokens->count ? most : tokens->count;
    length = length < most ? length : most;
    c->data.tokens = tokens->ids;
    c->data.length = length;
    c->data.sequences = most / length;
    c->data.source = tokens->source;
    return true;
}

/* The files name the data; the ids that were used also say which tensor, how
 * many tokens and what the model's tokenizer made of the text. */
static const char *describe(const tegu_cli_calibration *c,
                            const tegu_tokens *tokens)
{
    size_t bytes =
        (size_t)(c->data.sequences * c->data.length) * sizeof *c->data.tokens;
    return tegu_format(
        c->cli->arena,
        "%scalibration of %lld sequences of %lld tokens, hash %016llx\n",
        tokens->made_from, (long long)c->data.sequences,
        (long long)c->data.length,
        (unsigned long long)tegu_input_hash(c->data.tokens, bytes));
}

/* The same without tokens. */
static const char *describe_stored(const tegu_cli_calibration *c)
{
    return tegu_format(
        c->cli->arena,
        "statistics of %lld sequences of %lld tokens, digest %s\n",
        (long long)c->data.sequences, (long long)c->data.length,
        tegu_digest_text(c->cli->arena, c->data.store->tokens));
}

/* Adds the file of --stats, whose statistics stand for those of the data. */
static void note_statistics(tegu_cli_calibration *c)
{
    const tegu_file *file = c->kept ? tegu_kept_input(c->kept) : NULL;
    tegu_text lines = {.arena = c->cli->arena};
    if (!file)
        return;
    tegu_text_printf(&lines, "%s", c->made_from);
    tegu_provenance_add(&lines, "statistics", file);
    c->made_from = tegu_text_cstr(&lines);
}

/* Reads --calib for the session's model; every model of the command gets the
 * same. */
static bool read_data(tegu_cli_calibration *c, tegu_session *session,
                      const char *spec)
{
    tegu_lm lm;
    tegu_tokens tokens;
    bool stored = is_safetensors(spec);
    if (!tegu_lm_init(c->cli, session, &lm) ||
        !tegu_load_tokens(c->cli, &lm, stored ? spec : NULL,
                          stored ? NULL : spec, &tokens) ||
        !cut(c, &lm, &tokens))
        return false;
    c->made_from = describe(c, &tokens);
    return true;
}

/* Opens what the options name; `spec` NULL: statistics alone. */
static bool open_data(tegu_cli *cli, tegu_session *session, const char *spec)
{
    tegu_cli_calibration *c = TEGU_NEW(cli->arena, tegu_cli_calibration);
    c->cli = cli;
    c->data.compile = compile;
    c->data.progress = progress;
    c->data.data = c;
    if (!tegu_kept_open(cli, &c->kept) ||
        (spec && !read_data(c, session, spec)))
        return false;
    if (c->kept)
        tegu_kept_attach(c->kept, &c->data);
    if (!spec)
        c->made_from = describe_stored(c);
    note_statistics(c);
    cli->calibration = c;
    return true;
}

static bool needs(tegu_cli *cli, tegu_cli_option option, const char *what)
{
    return !tegu_args_has(&cli->args, option) ||
           tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE, "--%s needs %s",
                      tegu_cli_options[option].long_name, what);
}

bool tegu_session_calibration(tegu_cli *cli, tegu_session *session,
                              const tegu_calibration **calibration)
{
    const char *spec = tegu_args_text(&cli->args, TEGU_CLI_CALIB, NULL);
    bool stored = tegu_args_has(&cli->args, TEGU_CLI_STATS);
    *calibration = NULL;
    if (!spec &&
        (!needs(cli, TEGU_CLI_CALIB_TOKENS, "--calib") ||
         (!stored && !needs(cli, TEGU_CLI_SAVE_STATS, "--calib or --stats"))))
        return false;
    if (!spec && !stored)
        return true;
    if (!cli->calibration && !open_data(cli, session, spec))
        return false;
    if (cli->calibration->kept)
        tegu_kept_note(cli->calibration->kept, session->unit);
    *calibration = &cli->calibration->data;
    return true;
}

void tegu_calibration_report(const tegu_cli *cli, tegu_session *session)
{
    if (cli->calibration && cli->calibration->kept)
        tegu_kept_report(cli->calibration->kept, &session->report.remarks);
}

const char *tegu_calibration_provenance(const tegu_cli *cli)
{
    return cli->calibration ? cli->calibration->made_from : "";
}

bool tegu_calibration_save(tegu_cli *cli)
{
    return !cli->calibration || tegu_kept_save(cli->calibration->kept);
}

void tegu_calibration_close(tegu_cli *cli)
{
    if (cli->calibration) {
        tegu_pool_destroy(cli->calibration->pool);
        tegu_kept_close(cli->calibration->kept);
    }
    cli->calibration = NULL;
}
