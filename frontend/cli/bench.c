/* SPDX-License-Identifier: Apache-2.0 */
/* bench.c - `tegu bench`: pp<N> and tg<N> in tokens per second, beside the
 * machine's limits measured in the same run.
 *
 * Runs are interleaved (limits, prompt, generation, limits, ...) so that a
 * drifting machine touches every figure alike; the table shows medians.
 * --json has llama-bench's field names (ecosystem.md 3.7) and ours after them.
 */
#include "codegen/limits.h"
#include "frontend/cli/measure.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct figure {
    bool prompt;    /* pp, else tg */
    int64_t tokens; /* per run */
    tegu_samples samples;
    tegu_cost cost; /* of one call: whole prompt, or one token */
} figure;

typedef struct bench {
    tegu_cli *cli;
    int64_t threads, repeat, prompt, generate;
    tegu_session *session;
    tegu_lm lm;
    tegu_workload work;
    figure figures[2];
    tegu_samples flops, bytes; /* limits, one per repetition */
    tegu_target target;
} bench;

static void push(bench *b, tegu_samples *samples, double x)
{
    if (!samples->seconds)
        samples->seconds = TEGU_ARRAY(b->cli->arena, double, (size_t)b->repeat);
    samples->seconds[samples->count++] = x;
}

static bool cost_of(bench *b, const tegu_entry *entry, int64_t length,
                    int64_t position, tegu_cost *cost)
{
    tegu_unit *unit = b->session->unit;
    return tegu_entry_cost(unit, entry, tegu_symbols_at(b->cli, unit, length),
                           position, false, cost);
}

static bool measure(bench *b, void *pool)
{
    tegu_failure failure;
    tegu_limits_probe *probe = tegu_limits_create(&b->target, &failure);
    if (!probe)
        return tegu_error(b->cli->diag, tegu_loc_none(), TEGU_E_RESOURCES, "%s",
                          failure.text);
    tegu_jit_options threads = {pool ? tegu_pool_run : NULL, pool, b->threads};
    tegu_progress progress;
    tegu_progress_start(&progress, b->cli, "measuring");
    bool ok =
        tegu_time_prompt(&b->work) >= 0 && tegu_time_generate(&b->work, 0) >= 0;
    for (int64_t r = 0; ok && r < b->repeat; r++) {
        tegu_limits limits;
        tegu_limits_measure(probe, &threads, &limits);
        push(b, &b->flops, limits.flops);
        push(b, &b->bytes, limits.bytes);
        double prompt = tegu_time_prompt(&b->work);
        double generate = tegu_time_generate(&b->work, 0);
        push(b, &b->figures[0].samples, prompt);
        push(b, &b->figures[1].samples, generate);
        ok = prompt >= 0 && generate >= 0;
        tegu_progress_step(&progress, (double)r + 1, (double)b->repeat);
    }
    tegu_progress_end(&progress);
    tegu_limits_destroy(probe);
    return ok;
}

static void print_figure(bench *b, const figure *f)
{
    tegu_arena *arena = b->cli->arena;
    tegu_summary s = tegu_summarise(arena, &f->samples);
    double calls = f->prompt ? 1 : (double)f->tokens;
    double flops = f->cost.contraction_flops * calls / s.median;
    double bytes =
        (f->cost.bytes_weights + f->cost.bytes_state) * calls / s.median;
    double peak = tegu_summarise(arena, &b->flops).median;
    double stream = tegu_summarise(arena, &b->bytes).median;
    printf("| %-16s | %8s | %7lld | %5s%-4lld | %10.2f ± %-8.2f | %7.1f | "
           "%5.1f %% | %6.1f | %5.1f %% |\n",
           b->session->unit->name,
           tegu_count_text(arena, tegu_unit_parameters(b->session->unit)),
           (long long)b->threads, f->prompt ? "pp" : "tg", (long long)f->tokens,
           (double)f->tokens / s.median,
           (double)f->tokens * s.mad / (s.median * s.median), flops / 1e9,
           100 * flops / peak, bytes / 1e9, 100 * bytes / stream);
}

static json_t *samples_json(const figure *f, bool rate)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < f->samples.count; i++) {
        double s = f->samples.seconds[i];
        json_array_append_new(array, rate
                                         ? json_real((double)f->tokens / s)
                                         : json_integer((json_int_t)(s * 1e9)));
    }
    return array;
}

static const char *timestamp(tegu_arena *arena)
{
    char text[32];
    time_t t = time(NULL);
    struct tm utc;
    gmtime_r(&t, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return tegu_format(arena, "%s", text);
}

static json_t *figure_json(bench *b, const figure *f)
{
    tegu_arena *arena = b->cli->arena;
    tegu_summary s = tegu_summarise(arena, &f->samples);
    double n = (double)f->tokens, calls = f->prompt ? 1 : n;
    double parameters = tegu_unit_parameters(b->session->unit);
    json_t *json = json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}",
        "build_commit", TEGU_VERSION, "build_number", 0, "cpu_info",
        b->target.cpu, "gpu_info", "", "backends", "CPU", "model_filename",
        b->cli->args.operands.data[0], "model_type", b->session->unit->name,
        "model_size", (json_int_t)b->session->artifact->weights_bytes,
        "model_n_params", (json_int_t)parameters, "n_threads",
        (json_int_t)b->threads, "n_prompt",
        (json_int_t)(f->prompt ? f->tokens : 0), "n_gen",
        (json_int_t)(f->prompt ? 0 : f->tokens));
    json_object_set_new(json, "type_k", json_string("f32"));
    json_object_set_new(json, "type_v", json_string("f32"));
    json_object_set_new(json, "n_gpu_layers", json_integer(0));
    json_object_set_new(json, "use_mmap", json_true());
    json_object_set_new(json, "test_time", json_string(timestamp(arena)));
    json_object_set_new(json, "avg_ns",
                        json_integer((json_int_t)(s.mean * 1e9)));
    json_object_set_new(json, "stddev_ns",
                        json_integer((json_int_t)(s.deviation * 1e9)));
    json_object_set_new(json, "avg_ts", json_real(n / s.mean));
    json_object_set_new(json, "stddev_ts",
                        json_real(n * s.deviation / (s.mean * s.mean)));
    json_object_set_new(json, "samples_ns", samples_json(f, false));
    json_object_set_new(json, "samples_ts", samples_json(f, true));
    json_object_set_new(json, "pipeline", json_string(b->session->pipeline));
    json_object_set_new(json, "median_ts", json_real(n / s.median));
    json_object_set_new(
        json, "gflops",
        json_real(f->cost.contraction_flops * calls / s.median / 1e9));
    json_object_set_new(
        json, "peak_gflops",
        json_real(tegu_summarise(arena, &b->flops).median / 1e9));
    json_object_set_new(
        json, "gbytes",
        json_real((f->cost.bytes_weights + f->cost.bytes_state) * calls /
                  s.median / 1e9));
    json_object_set_new(
        json, "stream_gbytes",
        json_real(tegu_summarise(arena, &b->bytes).median / 1e9));
    json_object_set_new(json, "compile_ms",
                        json_real(1e3 * b->session->compile_seconds));
    json_object_set_new(
        json, "object_bytes",
        json_integer((json_int_t)b->session->artifact->object.size));
    return json;
}

static bool report(bench *b, json_t *all)
{
    tegu_arena *arena = b->cli->arena;
    if (!tegu_args_has(&b->cli->args, TEGU_CLI_QUIET)) {
        if (!json_array_size(all))
            printf("| %-16s | %8s | threads | %9s | %21s | GFLOP/s | of peak | "
                   "  GB/s | of read |\n",
                   "model", "params", "test", "tokens/s (median)");
        printf("limits with %lld thread%s: %.1f GFLOP/s, %.1f GB/s read\n",
               (long long)b->threads, b->threads == 1 ? "" : "s",
               tegu_summarise(arena, &b->flops).median / 1e9,
               tegu_summarise(arena, &b->bytes).median / 1e9);
        for (int i = 0; i < 2; i++)
            if (b->figures[i].tokens)
                print_figure(b, &b->figures[i]);
        fflush(stdout);
    }
    for (int i = 0; i < 2; i++)
        if (b->figures[i].tokens)
            json_array_append_new(all, figure_json(b, &b->figures[i]));
    return true;
}

static bool read_options(bench *b)
{
    tegu_cli *cli = b->cli;
    tegu_failure failure;
    if (!tegu_args_int(cli, TEGU_CLI_PROMPT_LENGTH, 512, 1, INT32_MAX,
                       &b->prompt) ||
        !tegu_args_int(cli, TEGU_CLI_GENERATE, 128, 1, INT32_MAX,
                       &b->generate) ||
        !tegu_args_int(cli, TEGU_CLI_REPEAT, 5, 1, 1000, &b->repeat))
        return false;
    return tegu_target_find(&b->target, NULL, NULL, NULL, &failure) ||
           tegu_error(cli->diag, tegu_loc_none(), TEGU_E_UNSUPPORTED, "%s",
                      failure.text);
}

/* Loads and compiles the model, once for all thread counts. */
static bool prepare(bench *b)
{
    tegu_cli *cli = b->cli;
    b->session = tegu_session_open(cli, false);
    if (!b->session || !tegu_session_passes(cli, b->session, NULL, true) ||
        !tegu_session_codegen(cli, b->session, NULL, false, false, false,
                              false) ||
        !tegu_lm_init(cli, b->session, &b->lm))
        return false;
    tegu_workload_init(cli, &b->lm, b->prompt, b->generate, &b->work);
    const tegu_entry *reader = b->lm.prompt ? b->lm.prompt : b->lm.step;
    b->figures[0] = (figure){.prompt = true, .tokens = b->work.prompt};
    b->figures[1] = (figure){.tokens = b->work.generate};
    return cost_of(b, reader, b->work.prompt, 0, &b->figures[0].cost) &&
           cost_of(b, b->lm.step, 1, b->work.generate / 2, &b->figures[1].cost);
}

/* One thread count: samples of its own over the model at hand. */
static bool bench_threads(const bench *model, int64_t threads, json_t *all)
{
    bench b = *model;
    tegu_pool *pool = NULL;
    b.threads = threads;
    b.work.lm = &b.lm;
    if (!tegu_open_pool(b.cli, threads, &pool))
        return false;
    bool ok = tegu_session_jit(b.cli, b.session, threads, pool) &&
              measure(&b, pool) && report(&b, all);
    if (b.session->executor)
        b.session->executor->destroy(b.session->executor->self);
    b.session->executor = NULL;
    tegu_pool_destroy(pool);
    return ok;
}

enum { MOST_COUNTS = 64 };

/* The thread counts of "1,2,4"; 0 after reporting. */
static int read_threads(tegu_cli *cli, int64_t *counts)
{
    const char *list = tegu_args_text(&cli->args, TEGU_CLI_THREAD_LIST, "1");
    int count = 0;
    for (const char *at = list; count < MOST_COUNTS; at++) {
        char *end;
        long threads = strtol(at, &end, 10);
        if (end == at || (*end && *end != ',') || threads < 1 ||
            threads > TEGU_POOL_MAX_THREADS)
            break;
        counts[count++] = threads;
        if (!*end)
            return count;
        at = end;
    }
    tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
               "--threads takes up to %d numbers from 1 to %d, such as 1,2, "
               "not '%s'",
               MOST_COUNTS, TEGU_POOL_MAX_THREADS,
               tegu_escaped(cli->arena, list, strlen(list)));
    return 0;
}

int tegu_command_BENCH(tegu_cli *cli)
{
    bench b = {.cli = cli};
    int64_t counts[MOST_COUNTS];
    int count = read_threads(cli, counts);
    if (!count || !read_options(&b))
        return 64;
    json_t *all = json_array();
    bool ok = prepare(&b);
    for (int i = 0; ok && i < count; i++)
        ok = bench_threads(&b, counts[i], all);
    tegu_session_close(b.session);
    if (ok && tegu_args_has(&cli->args, TEGU_CLI_JSON))
        return tegu_write_json(cli, all) ? 0 : 73;
    json_decref(all);
    return ok ? 0 : 70;
}
