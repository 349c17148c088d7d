/* SPDX-License-Identifier: Apache-2.0 */
/* diag.c - collects messages and renders them with their source lines.
 *
 * Takes messages in order of report; keeps the first 20 errors and the first
 * 20 warnings with their notes and counts the others.  Source lines are copied
 * when a message is reported, so a source may go away before rendering.
 * Rendering makes every byte of file names, texts and lines safe to show.
 */
#include "ir/base/diag.h"
#include "ir/base/map.h"

#include <string.h>

enum {
    KEPT = 20,           /* errors, and warnings, that are kept */
    LONGEST_LINE = 65536 /* longer source lines are not shown */
};

typedef struct source {
    const char *text;
    size_t size;
} source;

struct tegu_diag {
    tegu_arena *arena;
    TEGU_VEC(tegu_message) messages;
    uint32_t seen[TEGU_ERROR + 1]; /* by severity, kept or not */
    bool last_kept;                /* notes follow their message */
    tegu_map *files;               /* path -> position in sources */
    TEGU_VEC(source) sources;
};

typedef struct kind {
    const char *code;
    const char *title;
    const char *help;
    int exit;
} kind;

static const kind kinds[TEGU_DIAG_COUNT] = {
#define TEGU_DIAG(id, code, exit, title, help) {code, title, help, exit},
#include "ir/base/diag.def"
#undef TEGU_DIAG
};

tegu_diag *tegu_diag_create(tegu_arena *arena)
{
    tegu_diag *diag = TEGU_NEW(arena, tegu_diag);
    diag->arena = arena;
    diag->files = tegu_map_create(arena);
    return diag;
}

void tegu_diag_source(tegu_diag *diag, const char *file, const char *text,
                      size_t size)
{
    source added = {text, size};
    const uint64_t *known = tegu_map_find(diag->files, file, strlen(file));
    if (known) {
        diag->sources.data[*known] = added;
        return;
    }
    tegu_map_set(diag->files, file, strlen(file), diag->sources.count);
    tegu_vec_push(diag->arena, &diag->sources, added);
}

/* A copy of the line a location is on; NULL when it cannot be shown. */
static const char *line_of(const tegu_diag *diag, tegu_loc loc)
{
    if (!loc.file || loc.line == 0)
        return NULL;
    const uint64_t *known =
        tegu_map_find(diag->files, loc.file, strlen(loc.file));
    if (!known)
        return NULL;
    const char *at = diag->sources.data[*known].text;
    const char *end = at + diag->sources.data[*known].size;
    for (uint32_t line = 1; line < loc.line; line++) {
        at = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (!at)
            return NULL;
        at++;
    }
    const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    size_t size = (size_t)((stop ? stop : end) - at);
    if (size > 0 && at[size - 1] == '\r')
        size--;
    if (size > LONGEST_LINE)
        return NULL;
    return tegu_format(diag->arena, "%.*s", (int)size, at);
}

static void report(tegu_diag *diag, tegu_severity severity, tegu_loc loc,
                   tegu_diag_id id, const char *format, va_list args)
{
    diag->seen[severity]++;
    if (severity != TEGU_NOTE)
        diag->last_kept = diag->seen[severity] <= KEPT;
    if (!diag->last_kept)
        return;
    if (loc.line && loc.length == 0)
        loc.length = 1;
    /* The path may belong to a unit that is gone when messages are shown. */
    if (loc.file)
        loc.file = tegu_format(diag->arena, "%s", loc.file);
    tegu_message message = {.severity = severity, .id = id, .loc = loc};
    message.text = tegu_format_v(diag->arena, format, args);
    message.source = line_of(diag, loc);
    tegu_vec_push(diag->arena, &diag->messages, message);
}

bool tegu_error(tegu_diag *diag, tegu_loc loc, tegu_diag_id id,
                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report(diag, TEGU_ERROR, loc, id, format, args);
    va_end(args);
    return false;
}

void tegu_warning(tegu_diag *diag, tegu_loc loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report(diag, TEGU_WARNING, loc, TEGU_DIAG_COUNT, format, args);
    va_end(args);
}

void tegu_note(tegu_diag *diag, tegu_loc loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report(diag, TEGU_NOTE, loc, TEGU_DIAG_COUNT, format, args);
    va_end(args);
}

uint32_t tegu_diag_errors(const tegu_diag *diag)
{
    return diag->seen[TEGU_ERROR];
}

const tegu_message *tegu_diag_messages(const tegu_diag *diag, uint32_t *count)
{
    *count = diag->messages.count;
    return diag->messages.data;
}

int tegu_diag_exit_code(const tegu_diag *diag)
{
    for (uint32_t i = 0; i < diag->messages.count; i++)
        if (diag->messages.data[i].severity == TEGU_ERROR)
            return kinds[diag->messages.data[i].id].exit;
    return 0;
}

void tegu_diag_clear(tegu_diag *diag)
{
    diag->messages.count = 0;
    memset(diag->seen, 0, sizeof diag->seen);
    diag->last_kept = false;
}

/* --- rendering --- */

enum { WINDOW = 96, INDENT = 4, TAB = 4 };

/* One source line, cut into cells of a terminal. */
typedef struct shown_line {
    tegu_text text;
    uint32_t caret; /* cells before the underlined part */
    uint32_t width; /* cells underlined, at least 1 */
} shown_line;

/* Cells of text: every byte but the continuation bytes of UTF-8. */
static uint32_t cells(const char *text)
{
    uint32_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* Adds line[from, to) with tabs expanded and all else printable. */
static void add_part(tegu_text *text, const char *line, size_t from, size_t to)
{
    while (from < to) {
        const char *tab = memchr(line + from, '\t', to - from);
        size_t stop = tab ? (size_t)(tab - line) : to;
        tegu_text_printable(text, line + from, stop - from);
        if (tab)
            tegu_text_printf(text, "%*s", TAB, "");
        from = stop + (tab != NULL);
    }
}

/* Keeps WINDOW cells around the caret of a line that is too long. */
static void window(shown_line *shown, tegu_arena *arena)
{
    const char *at = tegu_text_cstr(&shown->text);
    uint32_t total = cells(at);
    if (total <= WINDOW)
        return;
    uint32_t first = shown->caret > WINDOW / 2 ? shown->caret - WINDOW / 2 : 0;
    if (first > total - WINDOW)
        first = total - WINDOW;
    tegu_text cut = {.arena = arena};
    if (first > 0)
        tegu_text_add(&cut, "...", 3);
    uint32_t cell = 0;
    for (const char *p = at; *p; p++) {
        cell += ((unsigned char)*p & 0xc0) != 0x80;
        if (cell > first && cell <= first + WINDOW)
            tegu_text_add(&cut, p, 1);
    }
    if (first + WINDOW < total)
        tegu_text_add(&cut, "...", 3);
    shown->caret = shown->caret - first + (first > 0 ? 3 : 0);
    shown->text = cut;
}

static shown_line show_line(tegu_arena *arena, const tegu_message *m)
{
    size_t size = strlen(m->source);
    size_t from = m->loc.column ? m->loc.column - 1 : 0;
    from = from < size ? from : size;
    size_t to = m->loc.length < size - from ? from + m->loc.length : size;
    shown_line shown = {.text = {.arena = arena}};
    add_part(&shown.text, m->source, 0, from);
    shown.caret = cells(tegu_text_cstr(&shown.text));
    add_part(&shown.text, m->source, from, to);
    shown.width = cells(tegu_text_cstr(&shown.text)) - shown.caret;
    add_part(&shown.text, m->source, to, size);
    window(&shown, arena);
    uint32_t end = cells(tegu_text_cstr(&shown.text));
    if (shown.caret + shown.width > end)
        shown.width = end > shown.caret ? end - shown.caret : 1;
    shown.width = shown.width ? shown.width : 1;
    return shown;
}

static void render_place(tegu_text *line, tegu_loc loc)
{
    if (!loc.file) {
        tegu_text_printf(line, "tegu: ");
        return;
    }
    tegu_text_printable(line, loc.file, strlen(loc.file));
    if (loc.binary)
        tegu_text_printf(line, "@0x%llx", (unsigned long long)loc.offset);
    else if (loc.line && loc.column)
        tegu_text_printf(line, ":%u:%u", loc.line, loc.column);
    else if (loc.line)
        tegu_text_printf(line, ":%u", loc.line);
    tegu_text_add(line, ": ", 2);
}

static void render_message(const tegu_diag *diag, const tegu_message *m,
                           FILE *out, bool colour)
{
    static const struct {
        const char *word, *colour;
    } severities[] = {[TEGU_NOTE] = {"note", "\033[1;36m"},
                      [TEGU_WARNING] = {"warning", "\033[1;35m"},
                      [TEGU_ERROR] = {"error", "\033[1;31m"}};
    const char *bold = colour ? "\033[1m" : "", *off = colour ? "\033[0m" : "";
    const char *hue = colour ? severities[m->severity].colour : "";
    tegu_text line = {.arena = diag->arena};
    tegu_text_printf(&line, "%s", bold);
    render_place(&line, m->loc);
    tegu_text_printf(&line, "%s%s%s:%s ", off, hue,
                     severities[m->severity].word, off);
    tegu_text_printable(&line, m->text, strlen(m->text));
    if (m->id < TEGU_DIAG_COUNT)
        tegu_text_printf(&line, " [%s]", kinds[m->id].code);
    tegu_text_add(&line, "\n", 1);
    if (m->source) {
        shown_line shown = show_line(diag->arena, m);
        tegu_text_printf(&line, "%*s%s\n%*s%s^", INDENT, "",
                         tegu_text_cstr(&shown.text), INDENT + (int)shown.caret,
                         "", hue);
        for (uint32_t i = 1; i < shown.width; i++)
            tegu_text_add(&line, "~", 1);
        tegu_text_printf(&line, "%s\n", off);
    }
    fwrite(line.data, 1, line.count, out);
}

void tegu_diag_render(const tegu_diag *diag, FILE *out, bool colour)
{
    for (uint32_t i = 0; i < diag->messages.count; i++) {
        tegu_mark mark = tegu_arena_mark(diag->arena);
        render_message(diag, &diag->messages.data[i], out, colour);
        tegu_arena_release(diag->arena, mark);
    }
    static const char *const words[] = {
        [TEGU_WARNING] = "warning", [TEGU_ERROR] = "error"};
    for (tegu_severity s = TEGU_WARNING; s <= TEGU_ERROR; s++) {
        uint32_t hidden = diag->seen[s] > KEPT ? diag->seen[s] - KEPT : 0;
        if (hidden)
            fprintf(out, "tegu: note: %u more %s%s not shown\n", hidden,
                    words[s], hidden == 1 ? "" : "s");
    }
}

const char *tegu_diag_code(tegu_diag_id id)
{
    return kinds[id].code;
}

const char *tegu_diag_title(tegu_diag_id id)
{
    return kinds[id].title;
}

const char *tegu_diag_help(tegu_diag_id id)
{
    return kinds[id].help;
}

tegu_diag_id tegu_diag_find(const char *code)
{
    int id = 0;
    while (id < TEGU_DIAG_COUNT && strcmp(kinds[id].code, code) != 0)
        id++;
    return (tegu_diag_id)id;
}
