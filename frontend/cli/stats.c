/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - the statistics that a command reuses and computes.
 *
 * Takes --stats and --save-stats; gives calibration a store.  What is computed
 * and shall be saved goes to a nameless file beside the output at once and is
 * mapped from there, so that memory stays bounded by one calibration's
 * statistics; the output itself is written when the command has succeeded.
 */
#include "frontend/cli/stats.h"

#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Statistics of one block of the nameless file. */
typedef struct block {
    void *data;
    size_t size;
} block;

struct tegu_kept_stats {
    tegu_cli *cli;
    tegu_stats_store store;
    tegu_stats_file input;  /* path NULL: no --stats */
    tegu_stats_file output; /* path NULL: no --save-stats */
    const char *model;
    TEGU_VEC(tegu_stored_stats) list; /* the input's first */
    tegu_map *index;                  /* key -> place in the list */
    uint32_t reused, computed;        /* as reported last */
    int spill;                        /* the nameless file; -1: none yet */
    off_t end;                        /* of it */
    TEGU_VEC(block) blocks;
};

/* --- the store --- */

static bool find(void *data, tegu_digest key, tegu_arena *arena,
                 tegu_site_stats *stats)
{
    tegu_kept_stats *k = data;
    const uint64_t *place = tegu_map_find(k->index, &key, sizeof key);

    if (place) {
        k->list.data[*place].used = true;
        *stats = tegu_stats_load(&k->list.data[*place], arena);
    }
    return true;
}

static void add(tegu_kept_stats *k, const tegu_stored_stats *stored)
{
    if (tegu_map_set(k->index, &stored->key, sizeof stored->key, k->list.count))
        tegu_vec_push(k->cli->arena, &k->list, *stored);
}

static bool cannot_keep(tegu_kept_stats *k)
{
    return tegu_cannot_write(k->cli, k->output.path, strerror(errno));
}

static bool open_spill(tegu_kept_stats *k)
{
    char *path = tegu_path_join(k->cli->arena,
                                tegu_path_dir(k->cli->arena, k->output.path),
                                ".tegu-stats-XXXXXX");

    k->spill = mkstemp(path);
    return (k->spill >= 0 && unlink(path) == 0) || cannot_keep(k);
}

static bool write_at(int file, const void *data, size_t size, off_t at)
{
    const char *bytes = data;

    while (size) {
        ssize_t some = pwrite(file, bytes, size, at);
        if (some < 0 && errno != EINTR)
            return false;
        if (some > 0) {
            bytes += some;
            size -= (size_t)some;
            at += some;
        }
    }
    return true;
}

static size_t round_up(size_t size, size_t to)
{
    return (size + to - 1) / to * to;
}

/* Writes the parts one after another to the end of the file and maps them. */
static bool spill(tegu_kept_stats *k, tegu_stored_stats *stored)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), at[TEGU_STATS_PARTS];
    block b = {NULL, 0};

    for (int p = 0; p < TEGU_STATS_PARTS; p++) {
        const tegu_stored_tensor *part = &stored->parts[p];
        at[p] = b.size;
        if (!write_at(k->spill, part->data, part->bytes,
                      k->end + (off_t)b.size))
            return false;
        b.size = round_up(b.size + part->bytes, 64);
    }
    b.size = round_up(b.size, page);
    if (ftruncate(k->spill, k->end + (off_t)b.size) != 0)
        return false;
    b.data = mmap(NULL, b.size, PROT_READ, MAP_SHARED, k->spill, k->end);
    if (b.data == MAP_FAILED)
        return false;
    k->end += (off_t)b.size;
    tegu_vec_push(k->cli->arena, &k->blocks, b);
    for (int p = 0; p < TEGU_STATS_PARTS; p++)
        stored->parts[p].data = (unsigned char *)b.data + at[p];
    return true;
}

static bool keep(void *data, tegu_digest key, const tegu_site_stats *stats)
{
    tegu_kept_stats *k = data;
    tegu_stored_stats stored = {.key = key, .used = true};

    if (!k->output.path || tegu_map_find(k->index, &key, sizeof key))
        return true;
    for (int p = 0; p < TEGU_STATS_PARTS; p++)
        stored.parts[p] = tegu_stats_tensor(stats, (tegu_stats_part)p);
    if (k->spill < 0 && !open_spill(k))
        return false;
    if (!spill(k, &stored))
        return cannot_keep(k);
    add(k, &stored);
    return true;
}

/* --- opening and closing --- */

bool tegu_kept_open(tegu_cli *cli, tegu_kept_stats **kept)
{
    const char *from = tegu_args_text(&cli->args, TEGU_CLI_STATS, NULL);
    const char *to = tegu_args_text(&cli->args, TEGU_CLI_SAVE_STATS, NULL);
    tegu_stats_file input = {0};

    *kept = NULL;
    if (!from && !to)
        return true;
    if (to && (!*to || strcmp(to, "-") == 0))
        return tegu_error(cli->diag, tegu_loc_none(), TEGU_E_USAGE,
                          "--save-stats writes a file; give its name");
    if (from && !tegu_stats_read(cli, from, &input))
        return false;
    tegu_kept_stats *k = TEGU_NEW(cli->arena, tegu_kept_stats);
    k->cli = cli;
    k->input = input;
    k->output = (tegu_stats_file){.path = to};
    k->index = tegu_map_create(cli->arena);
    k->spill = -1;
    k->store = (tegu_stats_store){.data = k,
                                  .find = find,
                                  .keep = keep,
                                  .path = from,
                                  .arena = cli->arena};
    for (uint32_t i = 0; i < input.list.count; i++)
        add(k, &input.list.data[i]);
    *kept = k;
    return true;
}

const tegu_file *tegu_kept_input(const tegu_kept_stats *kept)
{
    return kept->input.path ? &kept->input.mapped : NULL;
}

/* Says that the file is of other tokens than these. */
static void warn(const tegu_kept_stats *k)
{
    tegu_warning(
        k->cli->diag, tegu_loc_file(k->input.path),
        "the statistics are of other calibration data: %lld sequences "
        "of %lld tokens of %s; none is used",
        (long long)k->input.sequences, (long long)k->input.length,
        tegu_escaped(k->cli->arena, k->input.source, strlen(k->input.source)));
}

void tegu_kept_attach(tegu_kept_stats *k, tegu_calibration *c)
{
    tegu_stats_store *store = &k->store;

    if (c->tokens) {
        store->tokens = tegu_tokens_digest(c->tokens, c->sequences, c->length);
        if (k->input.path && !tegu_digest_equal(store->tokens, k->input.tokens))
            warn(k);
    } else {
        store->tokens = k->input.tokens;
        c->sequences = k->input.sequences;
        c->length = k->input.length;
        c->source = k->input.source;
    }
    k->output.source = c->source;
    k->output.tokens = store->tokens;
    k->output.sequences = c->sequences;
    k->output.length = c->length;
    c->store = store;
}

void tegu_kept_note(tegu_kept_stats *k, const tegu_unit *unit)
{
    k->model = tegu_format(k->cli->arena, "%s", unit->name);
    for (uint32_t i = 0; i < unit->files.count; i++)
        tegu_stats_pin(&k->store, unit->files.data[i].data,
                       unit->files.data[i].size);
}

void tegu_kept_report(tegu_kept_stats *k, tegu_text *remarks)
{
    uint32_t reused = k->store.reused - k->reused;
    uint32_t computed = k->store.computed - k->computed;

    k->reused = k->store.reused;
    k->computed = k->store.computed;
    if (reused || computed)
        tegu_text_printf(remarks, "statistics: %u reused, %u computed\n",
                         (unsigned)reused, (unsigned)computed);
}

bool tegu_kept_save(tegu_kept_stats *k)
{
    bool any = false;

    if (!k || !k->output.path)
        return true;
    for (uint32_t i = 0; i < k->list.count; i++)
        any |= k->list.data[i].used;
    if (any)
        return tegu_stats_write(k->cli, &k->output, k->model, k->list.data,
                                k->list.count);
    tegu_warning(k->cli->diag, tegu_loc_file(k->output.path),
                 "not written: no pass asked for statistics");
    return true;
}

void tegu_kept_close(tegu_kept_stats *k)
{
    if (!k)
        return;
    for (uint32_t i = 0; i < k->blocks.count; i++)
        munmap(k->blocks.data[i].data, k->blocks.data[i].size);
    if (k->spill >= 0)
        close(k->spill);
    if (k->input.path)
        tegu_file_unmap(&k->input.mapped);
}
