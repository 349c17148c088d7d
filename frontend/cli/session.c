/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - one model from its files to running code, step by step.
 *
 * Takes the command line's options; produces a tegu_session in an arena of its
 * own, so that compare can hold several pipelines of one model.
 */
#include "frontend/cli/report.h"
#include "tegu/runtime.h"

#include <string.h>

/* -D KEY=VALUE as pairs; false after reporting a word without '='. */
static bool read_defines(tegu_cli *cli, tegu_load_options *options)
{
    const tegu_texts *words = &cli->args.values[TEGU_CLI_DEFINE];
    tegu_define *defines = TEGU_ARRAY(cli->arena, tegu_define, words->count);
    for (uint32_t i = 0; i < words->count; i++) {
        const char *equals = strchr(words->data[i], '=');
        if (!equals || equals == words->data[i])
            return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                              "-D takes KEY=VALUE, not '%s'",
                              tegu_escaped(cli->arena, words->data[i],
                                           strlen(words->data[i])));
        defines[i].key = tegu_format(
            cli->arena, "%.*s", (int)(equals - words->data[i]), words->data[i]);
        defines[i].value = equals + 1;
    }
    options->defines = defines;
    options->define_count = words->count;
    return true;
}

static void note_files(tegu_cli *cli, const tegu_files *files)
{
    for (uint32_t i = 0; i < files->count; i++) {
        tegu_file_id id = {files->data[i].device, files->data[i].inode};
        tegu_vec_push(cli->arena, &cli->inputs, id);
    }
}

/* Everything that the command line names to be read. */
static void note_inputs(tegu_cli *cli, const tegu_unit *unit)
{
    static const tegu_cli_option files[] = {
        TEGU_CLI_INPUTS, TEGU_CLI_TEXT,  TEGU_CLI_TOKENS,
        TEGU_CLI_CALIB,  TEGU_CLI_STATS, TEGU_CLI_TOKENIZER};
    tegu_input_add(cli, cli->args.operands.data[0]);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        tegu_input_add(cli, tegu_args_text(&cli->args, files[i], "-"));
    if (unit->tokenizer)
        tegu_input_add(cli, unit->tokenizer);
    note_files(cli, &unit->files);
    note_files(cli, &unit->adapter_files);
}

/* Asked before the long work; compile's outputs have names of their own. */
static bool check_outputs(tegu_cli *cli)
{
    static const tegu_cli_option files[] = {TEGU_CLI_FILE, TEGU_CLI_OUTPUTS,
                                            TEGU_CLI_JSON, TEGU_CLI_HTML,
                                            TEGU_CLI_SAVE_STATS};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!tegu_output_check(cli, tegu_args_text(&cli->args, files[i], "-")))
            return false;
    return true;
}

tegu_session *tegu_session_open(tegu_cli *cli, bool without_weights)
{
    tegu_load_options options = {
        .name = tegu_args_text(&cli->args, TEGU_CLI_NAME, NULL),
        .without_weights = without_weights,
    };
    if (!read_defines(cli, &options))
        return NULL;
    tegu_session *session = TEGU_NEW(cli->arena, tegu_session);
    session->arena = tegu_arena_create();
    if (!session->arena) {
        tegu_error(cli->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                   "out of memory");
        return NULL;
    }
    tegu_arena_on_failure(session->arena, tegu_arena_failure(cli->arena));
    double start = tegu_seconds();
    session->unit = tegu_load(session->arena, cli->diag,
                              cli->args.operands.data[0], &options);
    session->load_seconds = tegu_seconds() - start;
    if (session->unit && tegu_session_adapters(cli, session)) {
        note_inputs(cli, session->unit);
        if (check_outputs(cli))
            return session;
    }
    tegu_session_close(session);
    return NULL;
}

static void print_times(const tegu_manager_report *report)
{
    fprintf(stderr, "%10s  %6s  %6s  pass\n", "ms", "before", "after");
    for (uint32_t i = 0; i < report->steps.count; i++) {
        const tegu_step_report *step = &report->steps.data[i];
        fprintf(stderr, "%10.2f  %6u  %6u  %s%s\n", 1e3 * step->seconds,
                step->nodes_before, step->nodes_after, step->text,
                step->changed ? "" : " (no change)");
    }
}

static bool unknown_pass(tegu_cli *cli, tegu_cli_option option,
                         const char *name)
{
    uint32_t count;
    const tegu_pass *passes = tegu_pass_table(&count);
    const char **names = TEGU_ARRAY(cli->arena, const char *, count);
    for (uint32_t i = 0; i < count; i++)
        names[i] = passes[i].name;
    const char *near = tegu_nearest(name, names, count);
    return tegu_error(
        cli->diag, tegu_loc_none(), TEGU_E_USAGE,
        "--%s: unknown pass '%s'%s%s%s", tegu_cli_options[option].long_name,
        tegu_escaped(cli->arena, name, strlen(name)),
        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* --print-before, --print-after and --stop-after name passes that exist. */
static bool check_pass_names(tegu_cli *cli)
{
    static const struct {
        tegu_cli_option option;
        bool all;
    } named[] = {{TEGU_CLI_PRINT_BEFORE, true},
                 {TEGU_CLI_PRINT_AFTER, true},
                 {TEGU_CLI_STOP_AFTER, false}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        const char *name = tegu_args_text(&cli->args, named[i].option, NULL);
        if (name && !tegu_pass_find(name) &&
            !(named[i].all && strcmp(name, "all") == 0))
            return unknown_pass(cli, named[i].option, name);
    }
    return true;
}

/* The pipeline, and after it keep-adapters if they are to be kept, so that
 * passes before it take adapters along. */
static const char *with_adapters(const tegu_cli *cli, const char *pipeline)
{
    if (!tegu_args_has(&cli->args, TEGU_CLI_KEEP_ADAPTERS))
        return pipeline;
    return tegu_format(cli->arena, "%s%skeep-adapters", pipeline,
                       *pipeline ? "," : "");
}

/* Every adapter that was to be kept can still be switched. */
static bool check_adapters(const tegu_cli *cli, const tegu_unit *unit)
{
    for (uint32_t a = 1; a < unit->adapters.count; a++) {
        const char *name = unit->adapters.data[a].name;
        bool found = !tegu_args_has(&cli->args, TEGU_CLI_KEEP_ADAPTERS);
        for (uint32_t i = 0; i < unit->entries.count; i++) {
            const tegu_graph *g = unit->entries.data[i].graph;
            for (tegu_value v = 1; v < g->nodes.count; v++) {
                const tegu_node *node = tegu_graph_node(g, v);
                found |= node->op == TEGU_OP_ADAPTER_SCALE &&
                         strcmp(tegu_node_text(node, "name"), name) == 0;
            }
        }
        if (!found)
            return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                              "--keep-adapters: nothing of adapter '%s' is "
                              "left to switch; a pass of the pipeline took it "
                              "into the weights",
                              name);
    }
    return true;
}

bool tegu_session_passes(tegu_cli *cli, tegu_session *session,
                         const char *pipeline, bool to_kernel)
{
    if (!pipeline)
        pipeline = tegu_args_text(&cli->args, TEGU_CLI_PIPELINE, "");
    pipeline = with_adapters(cli, pipeline);
    tegu_pipeline *steps =
        tegu_pipeline_parse(session->arena, cli->diag, pipeline);
    int64_t level;
    if (!steps || !check_pass_names(cli) ||
        !tegu_args_int(cli, TEGU_CLI_LEVEL, 2, 0, 2, &level))
        return false;
    session->pipeline = tegu_pipeline_print(steps, session->arena);
    const tegu_calibration *calibration;
    if (!tegu_session_calibration(cli, session, &calibration))
        return false;
    if (to_kernel)
        tegu_pipeline_add_preset(steps, (int)level);
    const tegu_args *args = &cli->args;
    tegu_manager_options options = {
        .verify_each = tegu_args_has(args, TEGU_CLI_VERIFY_EACH),
        .check_each = tegu_args_has(args, TEGU_CLI_CHECK_EACH),
        .check_seed = 1,
        .print_before = tegu_args_text(args, TEGU_CLI_PRINT_BEFORE, NULL),
        .print_after = tegu_args_text(args, TEGU_CLI_PRINT_AFTER, NULL),
        .print_changed = tegu_args_has(args, TEGU_CLI_PRINT_CHANGED),
        .stop_after = tegu_args_text(args, TEGU_CLI_STOP_AFTER, NULL),
        .print_to = stderr,
        .calibration = calibration,
        .lanes = session->lanes,
    };
    double start = tegu_seconds();
    bool ok =
        tegu_size_measure(session->unit, &session->before) &&
        tegu_manager_run(session->unit, steps, &options, &session->report) &&
        (options.stop_after || check_adapters(cli, session->unit)) &&
        tegu_size_measure(session->unit, &session->after);
    session->compile_seconds += tegu_seconds() - start;
    if (ok)
        tegu_calibration_report(cli, session);
    if (tegu_args_has(args, TEGU_CLI_TIME_PASSES))
        print_times(&session->report);
    return ok;
}

bool tegu_session_codegen(tegu_cli *cli, tegu_session *session,
                          const tegu_target *target, bool embed_weights,
                          bool want_asm, bool want_llvm, bool want_bitcode)
{
    tegu_target here;
    tegu_failure failure;
    if (!target) {
        if (!tegu_target_find(&here, NULL, NULL, NULL, &failure))
            return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_UNSUPPORTED,
                              "%s", failure.text);
        target = &here;
    }
    int64_t level;
    if (!tegu_args_int(cli, TEGU_CLI_LEVEL, 2, 0, 2, &level))
        return false;
    tegu_codegen_options options = {
        .target = target,
        .level = (int)level,
        .embed_weights = embed_weights,
        .pipeline = session->pipeline,
        .provenance = tegu_provenance(cli, session),
        .want_asm = want_asm,
        .want_llvm = want_llvm,
        .want_bitcode = want_bitcode,
    };
    double start = tegu_seconds();
    session->artifact = tegu_codegen(session->unit, session->arena, &options);
    session->compile_seconds += tegu_seconds() - start;
    return session->artifact != NULL;
}

bool tegu_session_jit(tegu_cli *cli, tegu_session *session, int64_t threads,
                      void *pool)
{
    (void)cli;
    tegu_jit_options options = {
        .parallel_for = pool ? tegu_pool_run : NULL,
        .pool = pool,
        .threads = threads,
    };
    session->executor = tegu_jit_create(session->unit, session->arena,
                                        session->artifact, &options);
    return session->executor != NULL;
}

bool tegu_session_native(tegu_cli *cli, tegu_session *session,
                         const char *pipeline, int64_t threads, void *pool)
{
    return tegu_session_passes(cli, session, pipeline, true) &&
           tegu_session_codegen(cli, session, NULL, false, false, false,
                                false) &&
           tegu_session_jit(cli, session, threads, pool);
}

void tegu_session_close(tegu_session *session)
{
    if (!session || !session->arena)
        return;
    if (session->executor)
        session->executor->destroy(session->executor->self);
    if (session->unit)
        tegu_unit_destroy(session->unit);
    tegu_arena_destroy(session->arena);
    session->arena = NULL;
}
