/* SPDX-License-Identifier: Apache-2.0 */
/* compare.c - `tegu compare`: several pipelines over one model, side by side.
 *
 * Takes one -p per variant; loads and compiles the model once for each, times
 * them interleaved (A B C A B C ...), measures quality over the same windows,
 * and prints one table; --json and --html get the same figures.
 */
#include "frontend/cli/compare.h"
#include "frontend/cli/report.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#define VALUE(name, expression)                                                \
    static double name(const tegu_variant *v)                                  \
    {                                                                          \
        return expression;                                                     \
    }
VALUE(parameters, v->parameters)
VALUE(weight_bytes, (double)v->session->artifact->weights_bytes)
VALUE(prefill_flops, v->prefill.flops)
VALUE(decode_flops, v->decode.flops)
VALUE(prefill_macs, v->prefill.macs)
VALUE(decode_macs, v->decode.macs)
VALUE(workspace, v->workspace)
VALUE(state, (double)v->session->artifact->state_bytes)
VALUE(object, (double)v->session->artifact->object.size)
VALUE(compile_time, v->compile_seconds)
VALUE(prefill_time, v->prefill_time.median)
VALUE(prefill_spread, v->prefill_time.mad)
VALUE(decode_time, v->decode_time.median)
VALUE(decode_spread, v->decode_time.mad)
VALUE(perplexity, v->has_quality ? v->quality.perplexity : NAN)
VALUE(kl, v->has_quality ? v->quality.kl : NAN)
#undef VALUE

const tegu_compare_row tegu_compare_rows[] = {
    {"parameters", "parameters", parameters, NULL, TEGU_SHOW_COUNT, false},
    {"weight bytes", "bytes_weights", weight_bytes, NULL, TEGU_SHOW_BYTES,
     true},
    {"MACs/token, prefill", "macs_prefill", prefill_macs, NULL, TEGU_SHOW_COUNT,
     false},
    {"FLOPs/token, prefill", "flops_prefill", prefill_flops, NULL,
     TEGU_SHOW_COUNT, false},
    {"MACs/token, decode", "macs_decode", decode_macs, NULL, TEGU_SHOW_COUNT,
     false},
    {"FLOPs/token, decode", "flops_decode", decode_flops, NULL, TEGU_SHOW_COUNT,
     true},
    {"workspace", "workspace_bytes", workspace, NULL, TEGU_SHOW_BYTES, false},
    {"state", "state_bytes", state, NULL, TEGU_SHOW_BYTES, false},
    {"object", "object_bytes", object, NULL, TEGU_SHOW_BYTES, false},
    {"compile time", "compile_seconds", compile_time, NULL, TEGU_SHOW_TIME,
     false},
    {"prefill/token", "prefill_seconds", prefill_time, prefill_spread,
     TEGU_SHOW_TIME, true},
    {"decode/token", "decode_seconds", decode_time, decode_spread,
     TEGU_SHOW_TIME, true},
    {"perplexity", "perplexity", perplexity, NULL, TEGU_SHOW_PLAIN, true},
    {"KL to unchanged", "kl_div", kl, NULL, TEGU_SHOW_PLAIN, false},
};
const uint32_t tegu_compare_row_count =
    sizeof tegu_compare_rows / sizeof *tegu_compare_rows;

static const char *time_text(tegu_arena *arena, double seconds)
{
    if (seconds >= 1)
        return tegu_format(arena, "%.2f s", seconds);
    if (seconds >= 1e-3)
        return tegu_format(arena, "%.2f ms", seconds * 1e3);
    return tegu_format(arena, "%.1f us", seconds * 1e6);
}

const char *tegu_compare_text(tegu_arena *arena, const tegu_compare_row *row,
                              double value)
{
    if (isnan(value))
        return "-";
    switch (row->show) {
    case TEGU_SHOW_COUNT: return tegu_count_text(arena, value);
    case TEGU_SHOW_BYTES: return tegu_bytes_text(arena, value);
    case TEGU_SHOW_TIME: return time_text(arena, value);
    case TEGU_SHOW_PLAIN: break;
    }
    return tegu_format(arena, value < 0.01 ? "%.2e" : "%.4f", value);
}

/* One run of the command. */
typedef struct comparison {
    tegu_cli *cli;
    tegu_variant *variants;
    uint32_t count;
    int64_t length, position, repeat, threads;
    tegu_pool *pool;
} comparison;

static tegu_cost scaled(tegu_cost cost, double factor)
{
    cost.macs *= factor;
    cost.flops *= factor;
    cost.transcendentals *= factor;
    return cost;
}

static bool measure_cost(comparison *c, tegu_variant *v)
{
    tegu_unit *unit = v->session->unit;
    const tegu_entry *entry = v->lm.step;
    int64_t length = c->length < v->lm.most ? c->length : v->lm.most;
    int64_t *symbols = tegu_symbols_at(c->cli, unit, length);
    v->parameters = tegu_unit_parameters(unit);
    v->workspace = (double)tegu_artifact_workspace(unit, entry, symbols);
    v->compile_seconds = v->session->compile_seconds;
    if (!tegu_entry_cost(unit, entry, symbols, 0, false, &v->prefill))
        return false;
    v->prefill = scaled(v->prefill, 1.0 / (double)length);
    return tegu_entry_cost(unit, entry, tegu_symbols_at(c->cli, unit, 1),
                           c->position, false, &v->decode);
}

static bool open_variant(comparison *c, tegu_variant *v)
{
    v->session = tegu_session_open(c->cli, false);
    if (!v->session ||
        !tegu_session_native(c->cli, v->session, v->pipeline, c->threads,
                             c->pool) ||
        !tegu_lm_init(c->cli, v->session, &v->lm))
        return false;
    tegu_workload_init(c->cli, &v->lm, c->length, 16, &v->work);
    v->prefill_samples.seconds =
        TEGU_ARRAY(c->cli->arena, double, (size_t)c->repeat);
    v->decode_samples.seconds =
        TEGU_ARRAY(c->cli->arena, double, (size_t)c->repeat);
    return measure_cost(c, v);
}

static void take(tegu_samples *samples, double seconds, int64_t tokens)
{
    samples->seconds[samples->count++] = seconds / (double)tokens;
}

static bool time_variants(comparison *c)
{
    tegu_progress progress;
    tegu_progress_start(&progress, c->cli, "timing");
    for (int64_t r = -1; r < c->repeat; r++) { /* -1: warm-up */
        for (uint32_t i = 0; i < c->count; i++) {
            tegu_variant *v = &c->variants[i];
            double prompt = tegu_time_prompt(&v->work);
            double generate = tegu_time_generate(&v->work, c->position);
            if (prompt < 0 || generate < 0)
                return false;
            if (r < 0)
                continue;
            take(&v->prefill_samples, prompt, v->work.prompt);
            take(&v->decode_samples, generate, v->work.generate);
        }
        tegu_progress_step(&progress, (double)r + 1, (double)c->repeat);
    }
    tegu_progress_end(&progress);
    for (uint32_t i = 0; i < c->count; i++) {
        tegu_variant *v = &c->variants[i];
        v->prefill_time = tegu_summarise(c->cli->arena, &v->prefill_samples);
        v->decode_time = tegu_summarise(c->cli->arena, &v->decode_samples);
    }
    return true;
}

static bool same_pipeline(const tegu_variant *v)
{
    return v->session->pipeline[0] == 0;
}

/* Opens the unchanged model as the reference unless a variant is it. */
static bool open_reference(comparison *c, tegu_variant *reference)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (same_pipeline(&c->variants[i])) {
            *reference = c->variants[i];
            reference->session = NULL; /* borrowed */
            return true;
        }
    reference->pipeline = "";
    return open_variant(c, reference);
}

static bool measure_quality(comparison *c)
{
    tegu_cli *cli = c->cli;
    tegu_tokens tokens;
    tegu_windows windows = {0};
    int64_t usual = c->variants[0].lm.context;
    if (!tegu_read_tokens(cli, &c->variants[0].lm, &tokens))
        return false;
    if (!tokens.source)
        return true;
    if (!tegu_args_int(cli, TEGU_CLI_CONTEXT, usual < 256 ? usual : 256, 1,
                       INT32_MAX, &windows.length) ||
        !tegu_args_int(cli, TEGU_CLI_LIMIT, 0, 0, INT64_MAX,
                       &windows.predictions))
        return false;
    windows.stride = windows.length;
    tegu_variant reference = {0};
    bool ok = open_reference(c, &reference);
    tegu_lm *models = TEGU_ARRAY(cli->arena, tegu_lm, c->count + 1);
    tegu_quality *quality = TEGU_ARRAY(cli->arena, tegu_quality, c->count + 1);
    models[0] = reference.lm;
    for (uint32_t i = 0; i < c->count; i++)
        models[i + 1] = c->variants[i].lm;
    ok = ok && tegu_measure_quality(cli, models, c->count + 1, &tokens,
                                    &windows, quality);
    for (uint32_t i = 0; ok && i < c->count; i++) {
        c->variants[i].quality = quality[i + 1];
        c->variants[i].has_quality = true;
    }
    tegu_session_close(reference.session);
    return ok;
}

static void print_table(const comparison *c)
{
    tegu_arena *arena = c->cli->arena;
    for (uint32_t i = 0; i < c->count; i++)
        printf("%c: %s\n", 'A' + (int)(i % 26),
               c->variants[i].pipeline[0] ? c->variants[i].pipeline
                                          : "(unchanged)");
    printf("\n%-22s", "");
    for (uint32_t i = 0; i < c->count; i++)
        printf("%20c", 'A' + (int)(i % 26));
    putchar('\n');
    for (uint32_t r = 0; r < tegu_compare_row_count; r++) {
        const tegu_compare_row *row = &tegu_compare_rows[r];
        printf("%-22s", row->label);
        for (uint32_t i = 0; i < c->count; i++) {
            const tegu_variant *v = &c->variants[i];
            double value = row->value(v);
            const char *text = tegu_compare_text(arena, row, value);
            if (row->spread && !isnan(value))
                text = tegu_format(arena, "%s +-%.1f %%", text,
                                   100 * row->spread(v) / value);
            printf("%20s", text);
        }
        putchar('\n');
    }
    printf("\nmedians of %lld interleaved runs, %lld thread%s; prefill of "
           "%lld tokens, decode at %lld\n",
           (long long)c->repeat, (long long)c->threads,
           c->threads == 1 ? "" : "s", (long long)c->variants[0].work.prompt,
           (long long)c->position);
}

/* What the pipelines' passes reported, under the letters of the table. */
static void print_reports(const comparison *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        const tegu_session *session = c->variants[i].session;
        if (!session->report.remarks.count)
            continue;
        printf("\n%c:\n", 'A' + (int)(i % 26));
        tegu_report_print(stdout, c->cli, session);
    }
}

static bool write_json(const comparison *c)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < c->count; i++) {
        const tegu_variant *v = &c->variants[i];
        json_t *json = json_pack("{s:s}", "pipeline", v->pipeline);
        for (uint32_t r = 0; r < tegu_compare_row_count; r++) {
            double value = tegu_compare_rows[r].value(v);
            json_object_set_new(json, tegu_compare_rows[r].key,
                                isnan(value) ? json_null() : json_real(value));
        }
        json_object_set_new(json, "prefill_mad_seconds",
                            json_real(v->prefill_time.mad));
        json_object_set_new(json, "decode_mad_seconds",
                            json_real(v->decode_time.mad));
        json_object_set_new(json, "sites", tegu_report_json(v->session));
        json_array_append_new(all, json);
    }
    return tegu_write_json(c->cli, all);
}

static bool write_html(const comparison *c, const char *path)
{
    tegu_text text = {.arena = c->cli->arena};
    tegu_compare_html(&text, c->variants[0].session->unit->name, c->variants,
                      c->count);
    return tegu_output_write(c->cli, path, tegu_text_cstr(&text), text.count);
}

static bool report(const comparison *c)
{
    const tegu_args *args = &c->cli->args;
    const char *html = tegu_args_text(args, TEGU_CLI_HTML, NULL);
    if (!tegu_args_has(args, TEGU_CLI_QUIET)) {
        print_table(c);
        print_reports(c);
    }
    if (tegu_args_has(args, TEGU_CLI_JSON) && !write_json(c))
        return false;
    return !html || write_html(c, html);
}

static bool read_options(comparison *c)
{
    tegu_cli *cli = c->cli;
    const tegu_texts *pipelines = &cli->args.values[TEGU_CLI_PIPELINE];
    c->count = pipelines->count ? pipelines->count : 1;
    c->variants = TEGU_ARRAY(cli->arena, tegu_variant, c->count);
    for (uint32_t i = 0; i < c->count; i++)
        c->variants[i].pipeline =
            i < pipelines->count ? pipelines->data[i] : "";
    return tegu_args_int(cli, TEGU_CLI_LENGTH, 256, 1, INT32_MAX, &c->length) &&
           tegu_args_int(cli, TEGU_CLI_POSITION, 256, 0, INT32_MAX,
                         &c->position) &&
           tegu_args_int(cli, TEGU_CLI_REPEAT, 5, 1, 1000, &c->repeat) &&
           tegu_args_int(cli, TEGU_CLI_THREADS, 1, 1, 1024, &c->threads) &&
           tegu_open_pool(cli, c->threads, &c->pool);
}

int tegu_command_COMPARE(tegu_cli *cli)
{
    comparison c = {.cli = cli};
    if (!read_options(&c))
        return 64;
    bool ok = true;
    for (uint32_t i = 0; ok && i < c.count; i++)
        ok = open_variant(&c, &c.variants[i]);
    ok = ok && time_variants(&c) && measure_quality(&c) && report(&c);
    for (uint32_t i = 0; i < c.count; i++)
        tegu_session_close(c.variants[i].session);
    tegu_pool_destroy(c.pool);
    return ok ? 0 : 70;
}
