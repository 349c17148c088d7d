/* SPDX-License-Identifier: Apache-2.0 */
/* stats_file.c - files of statistics: reading, every check before use, and
 * writing.  stats.h has the format.
 */
#include "frontend/cli/stats.h"

#include <stdlib.h>
#include <string.h>

static const char format[] = "tegu-statistics";

static const struct {
    const char *name, *dtype;
    bool optional;
} parts[TEGU_STATS_PARTS] = {
    [TEGU_STATS_ROWS] = {"rows", "I64", false},
    [TEGU_STATS_GRAM] = {"gram", "F64", true},
    [TEGU_STATS_SUM] = {"sum", "F64", false},
    [TEGU_STATS_SUM_ABS] = {"sum_abs", "F64", false},
    [TEGU_STATS_SUM_SQUARE] = {"sum_square", "F64", false},
    [TEGU_STATS_SAMPLES] = {"samples", "F32", true},
};

typedef struct reader {
    tegu_cli *cli;
    tegu_stats_file *file;
    tegu_map *index; /* key -> place in the list */
} reader;

static bool wrong(const reader *r, const char *text)
{
    return tegu_error(r->cli->diag, tegu_loc_file(r->file->path),
                      TEGU_E_STATISTICS, "%s", text);
}

static bool wrong_tensor(const reader *r, const char *name, const char *text)
{
    return tegu_error(r->cli->diag, tegu_loc_file(r->file->path),
                      TEGU_E_STATISTICS, "tensor '%s' %s",
                      tegu_escaped(r->cli->arena, name, strlen(name)), text);
}

/* --- what the file says about itself --- */

static bool read_count(const reader *r, const tegu_safetensors *st,
                       const char *key, int64_t *value)
{
    const char *text = tegu_safetensors_metadata(st, key);
    char *end = NULL;

    *value = text ? strtoll(text, &end, 10) : 0;
    return (text && *text && !*end && *value >= 1 && *value <= INT32_MAX) ||
           wrong(r,
                 tegu_format(r->cli->arena,
                             "metadata '%s' must be a positive number", key));
}

/* Equal keys mean equal statistics within one version only. */
static bool check_version(const reader *r, const tegu_safetensors *st)
{
    const char *is = tegu_safetensors_metadata(st, "format");
    const char *version = tegu_safetensors_metadata(st, "tegu");

    if (!is || strcmp(is, format) != 0)
        return wrong(r, "this is no file of statistics, as --save-stats "
                        "writes them: its metadata does not say format "
                        "tegu-statistics");
    return (version && !strcmp(version, TEGU_VERSION)) ||
           wrong(r, tegu_format(r->cli->arena,
                                "the statistics were computed by tegu %s, this "
                                "is tegu " TEGU_VERSION "; compute them again "
                                "with --calib and --save-stats",
                                version ? tegu_escaped(r->cli->arena, version,
                                                       strlen(version))
                                        : "of an unknown version"));
}

static bool read_head(const reader *r, const tegu_safetensors *st)
{
    const char *tokens = tegu_safetensors_metadata(st, "tokens");
    const char *source = tegu_safetensors_metadata(st, "calibration");

    if (!tokens || strlen(tokens) != TEGU_DIGEST_TEXT ||
        !tegu_digest_parse(tokens, strlen(tokens), &r->file->tokens))
        return wrong(r, "metadata 'tokens' must be 32 hexadecimal digits");
    r->file->source = source ? source : "unknown data";
    return read_count(r, st, "sequences", &r->file->sequences) &&
           read_count(r, st, "length", &r->file->length);
}

/* --- its statistics --- */

/* KEY.part; TEGU_STATS_PARTS when the name is no such. */
static tegu_stats_part parse_name(const char *name, tegu_digest *key)
{
    if (!tegu_digest_parse(name, strlen(name), key) ||
        name[TEGU_DIGEST_TEXT] != '.')
        return TEGU_STATS_PARTS;
    for (int p = 0; p < TEGU_STATS_PARTS; p++)
        if (!strcmp(name + TEGU_DIGEST_TEXT + 1, parts[p].name))
            return (tegu_stats_part)p;
    return TEGU_STATS_PARTS;
}

static bool read_tensor(const reader *r, const tegu_stored_tensor *tensor)
{
    tegu_digest key;
    tegu_stats_part part = parse_name(tensor->name, &key);
    const uint64_t *found;
    tegu_stored_stats fresh = {0};

    if (part == TEGU_STATS_PARTS)
        return wrong_tensor(r, tensor->name, "is no part of a statistic");
    if (strcmp(tensor->dtype_text, parts[part].dtype) != 0)
        return wrong_tensor(r, tensor->name,
                            tegu_format(r->cli->arena, "is %s, not %s",
                                        tensor->dtype_text, parts[part].dtype));
    if (!tensor->bytes)
        return wrong_tensor(r, tensor->name, "has no elements");
    found = tegu_map_find(r->index, &key, sizeof key);
    if (!found) {
        fresh.key = key;
        tegu_map_set(r->index, &key, sizeof key, r->file->list.count);
        tegu_vec_push(r->cli->arena, &r->file->list, fresh);
        found = tegu_map_find(r->index, &key, sizeof key);
    }
    r->file->list.data[*found].parts[part] = *tensor;
    return true;
}

static bool has_shape(const tegu_stored_tensor *tensor, uint32_t rank,
                      int64_t first, int64_t last)
{
    return !tensor->bytes ||
           (tensor->rank == rank && tensor->dims[rank - 1] == last &&
            (rank == 1 || first == 0 || tensor->dims[0] == first));
}

static int64_t row_count(const tegu_stored_stats *stats)
{
    int64_t rows;
    memcpy(&rows, stats->parts[TEGU_STATS_ROWS].data, sizeof rows);
    return rows;
}

/* Whether the parts belong together. */
static bool check_stats(const reader *r, const tegu_stored_stats *stats)
{
    const char *key = tegu_digest_text(r->cli->arena, stats->key);

    for (int p = 0; p < TEGU_STATS_PARTS; p++)
        if (!stats->parts[p].bytes && !parts[p].optional)
            return wrong(r,
                         tegu_format(r->cli->arena, "statistic %s has no '%s'",
                                     key, parts[p].name));
    const tegu_stored_tensor *sum = &stats->parts[TEGU_STATS_SUM];
    int64_t n = sum->rank == 1 ? sum->dims[0] : -1;
    bool fits = has_shape(&stats->parts[TEGU_STATS_ROWS], 1, 0, 1) &&
                has_shape(&stats->parts[TEGU_STATS_GRAM], 2, n, n) &&
                has_shape(sum, 1, 0, n) &&
                has_shape(&stats->parts[TEGU_STATS_SUM_ABS], 1, 0, n) &&
                has_shape(&stats->parts[TEGU_STATS_SUM_SQUARE], 1, 0, n) &&
                has_shape(&stats->parts[TEGU_STATS_SAMPLES], 2, 0, n);
    if (!fits)
        return wrong(r, tegu_format(r->cli->arena,
                                    "the shapes of statistic %s do not fit "
                                    "each other",
                                    key));
    return row_count(stats) >= 1 ||
           wrong(r,
                 tegu_format(r->cli->arena, "statistic %s is of no rows", key));
}

static bool read_all(const reader *r, const tegu_safetensors *st)
{
    if (!read_head(r, st))
        return false;
    for (uint32_t i = 0; i < st->tensors.count; i++)
        if (!read_tensor(r, &st->tensors.data[i]))
            return false;
    for (uint32_t i = 0; i < r->file->list.count; i++)
        if (!check_stats(r, &r->file->list.data[i]))
            return false;
    return true;
}

bool tegu_stats_parse(tegu_cli *cli, const tegu_safetensors *st,
                      tegu_stats_file *file)
{
    reader r = {cli, file, tegu_map_create(cli->arena)};

    *file = (tegu_stats_file){.path = st->path, .mapped = st->file};
    return read_all(&r, st);
}

bool tegu_stats_read(tegu_cli *cli, const char *path, tegu_stats_file *file)
{
    tegu_safetensors *st = tegu_safetensors_open(cli->arena, cli->diag, path);
    reader r = {.cli = cli, .file = file};

    *file = (tegu_stats_file){.path = path};
    if (!st)
        return false;
    if (check_version(&r, st) && tegu_stats_parse(cli, st, file))
        return true;
    tegu_file_unmap(&st->file);
    return false;
}

/* --- between files and memory --- */

static tegu_stored_tensor tensor_of(tegu_stats_part part, const void *data,
                                    uint32_t rank, int64_t first, int64_t last)
{
    size_t size = (size_t)last * (rank == 2 ? (size_t)first : 1);
    tegu_stored_tensor tensor = {.dtype_text = parts[part].dtype,
                                 .rank = rank,
                                 .dims = {rank == 2 ? first : last, last},
                                 .data = data};
    if (data)
        tensor.bytes = size * (part == TEGU_STATS_SAMPLES ? 4 : 8);
    return tensor;
}

tegu_stored_tensor tegu_stats_tensor(const tegu_site_stats *stats,
                                     tegu_stats_part part)
{
    int64_t n = stats->columns;

    switch (part) {
    case TEGU_STATS_ROWS: return tensor_of(part, &stats->rows, 1, 0, 1);
    case TEGU_STATS_GRAM: return tensor_of(part, stats->gram, 2, n, n);
    case TEGU_STATS_SUM: return tensor_of(part, stats->sum, 1, 0, n);
    case TEGU_STATS_SUM_ABS: return tensor_of(part, stats->sum_abs, 1, 0, n);
    case TEGU_STATS_SUM_SQUARE:
        return tensor_of(part, stats->sum_square, 1, 0, n);
    case TEGU_STATS_SAMPLES:
        return tensor_of(part, stats->samples, 2, stats->sample_rows, n);
    case TEGU_STATS_PARTS: break;
    }
    return (tegu_stored_tensor){0};
}

static void *copy_part(const tegu_stored_stats *stored, tegu_stats_part part,
                       tegu_arena *arena)
{
    const tegu_stored_tensor *tensor = &stored->parts[part];

    return tensor->bytes ? tegu_arena_copy(arena, tensor->data, tensor->bytes)
                         : NULL;
}

tegu_site_stats tegu_stats_load(const tegu_stored_stats *stored,
                                tegu_arena *arena)
{
    const tegu_stored_tensor *samples = &stored->parts[TEGU_STATS_SAMPLES];

    return (tegu_site_stats){
        .columns = stored->parts[TEGU_STATS_SUM].dims[0],
        .rows = row_count(stored),
        .gram = copy_part(stored, TEGU_STATS_GRAM, arena),
        .sum = copy_part(stored, TEGU_STATS_SUM, arena),
        .sum_abs = copy_part(stored, TEGU_STATS_SUM_ABS, arena),
        .sum_square = copy_part(stored, TEGU_STATS_SUM_SQUARE, arena),
        .samples = copy_part(stored, TEGU_STATS_SAMPLES, arena),
        .sample_rows = samples->bytes ? samples->dims[0] : 0,
    };
}

/* --- writing --- */

static uint32_t list_tensors(tegu_arena *arena, const tegu_stored_stats *list,
                             uint32_t count, tegu_stored_tensor *tensors)
{
    uint32_t some = 0;

    for (uint32_t i = 0; i < count; i++) {
        const char *key = tegu_digest_text(arena, list[i].key);
        for (int p = 0; list[i].used && p < TEGU_STATS_PARTS; p++) {
            if (!list[i].parts[p].bytes)
                continue;
            tensors[some] = list[i].parts[p];
            tensors[some++].name =
                tegu_format(arena, "%s.%s", key, parts[p].name);
        }
    }
    return some;
}

bool tegu_stats_write(tegu_cli *cli, const tegu_stats_file *head,
                      const char *model, const tegu_stored_stats *list,
                      uint32_t count)
{
    tegu_arena *arena = cli->arena;
    const char *const metadata[] = {
        "format",      format,
        "tegu",        TEGU_VERSION,
        "model",       model,
        "calibration", head->source,
        "tokens",      tegu_digest_text(arena, head->tokens),
        "sequences",   tegu_format(arena, "%lld", (long long)head->sequences),
        "length",      tegu_format(arena, "%lld", (long long)head->length)};
    tegu_stored_tensor *tensors = TEGU_ARRAY(
        arena, tegu_stored_tensor, (size_t)count * TEGU_STATS_PARTS + 1);
    uint32_t some = list_tensors(arena, list, count, tensors);
    tegu_outputs *outputs = tegu_outputs_create(arena);
    const char *error;
    bool ok = tegu_output_check(cli, head->path);

    if (ok && (!tegu_safetensors_write(
                   arena, outputs, head->path, tensors, some, metadata,
                   sizeof metadata / sizeof *metadata, &error) ||
               !tegu_outputs_commit(outputs, &error)))
        ok = tegu_cannot_write(cli, head->path, error);
    tegu_outputs_destroy(outputs);
    return ok;
}
