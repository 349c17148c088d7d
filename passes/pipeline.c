/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.c - pipeline strings and the presets.
 *
 * Grammar:  pipeline = [ step { "," step } ]
 *           step     = pass [ "{" key "=" value { "," key "=" value } "}" ]
 *                    | "-O0" | "-O1" | "-O2"
 * Blanks may stand around every token.  A preset stands for its steps below;
 * those that the unit is already past (legalise on a core graph) are left
 * out.  Parsing stops at the first error.
 */
#include "passes/pipeline.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 1000 };

/* --- presets --- */

typedef struct preset_step {
    const char *text;
    const char *why; /* why it stands here */
} preset_step;

static const preset_step preset_0[] = {
    {"fold-adapters",
     "a folded weight costs nothing; keep-adapters before leaves none"},
    {"legalise", "kernels are made of core ops"},
    {"fuse{epilogues=false,loops=false}",
     "one op per kernel: the plain meaning, to compare others with"},
    {"plan-memory{reuse=false}", "every value keeps its own place"},
};

static const preset_step preset_1[] = {
    {"fold-adapters",
     "a folded weight costs nothing; keep-adapters before leaves none"},
    {"canonicalise", "short graphs before they are expanded"},
    {"legalise", "kernels are made of core ops"},
    {"canonicalise", "definitions are general, their uses are not"},
    {"cse", "definitions repeat what they share, such as rope's tables"},
    {"dce", "what rules left behind"},
    {"fuse", "values between kernels are what memory traffic is"},
    {"plan-memory", "workspace no larger than what is alive at once"},
};

static const preset_step preset_2[] = {
    {"fold-adapters",
     "a folded weight costs nothing; keep-adapters before leaves none"},
    {"canonicalise", "one form of every composite for the passes to match"},
    {"cse", "a norm read through two equal nodes would look like two"},
    {"narrow", "a prompt's head and last layer serve one row"},
    {"fold-norms", "norm scales go into weights while linears are visible"},
    {"legalise", "kernels are made of core ops"},
    {"canonicalise", "definitions are general, their uses are not"},
    {"fold", "constants that the definitions brought"},
    {"canonicalise", "rules that wait for the folded constants"},
    {"cse", "definitions repeat what they share, such as rope's tables"},
    {"dce", "what rules and sharing left behind"},
    {"fuse", "values between kernels are what memory traffic is"},
    {"plan-memory", "workspace no larger than what is alive at once"},
};

static const struct {
    const preset_step *steps;
    uint32_t count;
} presets[] = {
    {preset_0, sizeof preset_0 / sizeof preset_0[0]},
    {preset_1, sizeof preset_1 / sizeof preset_1[0]},
    {preset_2, sizeof preset_2 / sizeof preset_2[0]},
};

enum { PRESET_COUNT = sizeof presets / sizeof presets[0] };

const char *tegu_preset_step(int level, uint32_t i, const char **why)
{
    if (i >= presets[level].count)
        return NULL;
    *why = presets[level].steps[i].why;
    return presets[level].steps[i].text;
}

/* --- parsing --- */

typedef struct parser {
    tegu_pipeline *pipeline;
    tegu_diag *diag;
    const char *file;
    const char *text, *at;
    bool preset;
} parser;

typedef struct word {
    const char *text; /* in the arena */
    tegu_loc loc;
} word;

static void skip_blanks(parser *p)
{
    while (*p->at && isspace((unsigned char)*p->at))
        p->at++;
}

static tegu_loc loc_at(const parser *p, const char *at, size_t length)
{
    tegu_loc loc = {.file = p->file, .line = 1, .column = 1};

    for (const char *c = p->text; c < at; c++) {
        loc.column++;
        if (*c == '\n') {
            loc.line++;
            loc.column = 1;
        }
    }
    loc.length = length ? (uint32_t)length : 1;
    return loc;
}

static bool is_word(char c)
{
    return c && !strchr(",{}=", c) && !isspace((unsigned char)c);
}

static word read_word(parser *p)
{
    const char *from;
    word w;
    size_t size;

    skip_blanks(p);
    from = p->at;
    while (is_word(*p->at))
        p->at++;
    size = (size_t)(p->at - from);
    w.loc = loc_at(p, from, size);
    w.text = tegu_format(p->pipeline->arena, "%.*s", (int)size, from);
    skip_blanks(p);
    return w;
}

static bool fail(const parser *p, tegu_loc loc, const char *format, ...)
    TEGU_PRINTF(3, 4);
static bool fail(const parser *p, tegu_loc loc, const char *format, ...)
{
    va_list args;
    const char *text;

    va_start(args, format);
    text = tegu_format_v(p->pipeline->arena, format, args);
    va_end(args);
    return tegu_error(p->diag, loc, TEGU_E_USAGE, "%s", text);
}

static const char *shown(const parser *p, const char *text)
{
    return tegu_escaped(p->pipeline->arena, text, strlen(text));
}

/* ", did you mean 'x'?" or "". */
static const char *guess(const parser *p, const char *text,
                         const char *const *candidates, size_t count)
{
    const char *near = tegu_nearest(text, candidates, count);

    if (!near)
        return "";
    return tegu_format(p->pipeline->arena, "; did you mean '%s'?", near);
}

static bool fail_unknown_pass(const parser *p, word name)
{
    uint32_t count;
    const tegu_pass *table = tegu_pass_table(&count);
    const char **names = TEGU_ARRAY(p->pipeline->arena, const char *, count);

    for (uint32_t i = 0; i < count; i++)
        names[i] = table[i].name;
    return fail(p, name.loc, "unknown pass '%s'%s", shown(p, name.text),
                guess(p, name.text, names, count));
}

static bool fail_unknown_option(const parser *p, const tegu_pass *pass,
                                word key)
{
    uint32_t count;
    const tegu_option *options = tegu_pass_options(pass, &count);
    const char **keys = TEGU_ARRAY(p->pipeline->arena, const char *, count);

    for (uint32_t i = 0; i < count; i++)
        keys[i] = options[i].key;
    return fail(p, key.loc, "pass '%s' has no option '%s'%s", pass->name,
                shown(p, key.text), guess(p, key.text, keys, count));
}

static bool check_number(const parser *p, const tegu_option *option, word value)
{
    const char *kind =
        option->kind == TEGU_OPTION_INT ? "a whole number" : "a number";
    char *end = NULL;
    double number = strtod(value.text, &end);
    bool whole = value.text[strspn(value.text, "+-0123456789")] == '\0';

    if (!*value.text || *end || !isfinite(number) ||
        (option->kind == TEGU_OPTION_INT && !whole))
        return fail(p, value.loc, "option '%s' needs %s, not '%s'", option->key,
                    kind, shown(p, value.text));
    if (number < option->lo || number > option->hi)
        return fail(p, value.loc, "option '%s' must be from %g to %g, not %s",
                    option->key, option->lo, option->hi, shown(p, value.text));
    return true;
}

static bool check_value(const parser *p, const tegu_option *option, word value)
{
    switch (option->kind) {
    case TEGU_OPTION_INT:
    case TEGU_OPTION_FLOAT: return check_number(p, option, value);
    case TEGU_OPTION_BOOL:
        if (strcmp(value.text, "true") != 0 && strcmp(value.text, "false") != 0)
            return fail(p, value.loc,
                        "option '%s' needs true or false, not '%s'",
                        option->key, shown(p, value.text));
        return true;
    case TEGU_OPTION_TEXT:
        return *value.text ||
               fail(p, value.loc, "option '%s' needs a value", option->key);
    }
    return false;
}

static bool parse_option(parser *p, tegu_step *step, bool *seen)
{
    uint32_t count;
    const tegu_option *options = tegu_pass_options(step->pass, &count);
    word key = read_word(p), value;

    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(options[i].key, key.text) != 0)
            continue;
        if (seen[i])
            return fail(p, key.loc, "option '%s' is given twice", key.text);
        if (*p->at != '=')
            return fail(p, loc_at(p, p->at, 1), "expected '=' after '%s'",
                        key.text);
        p->at++;
        value = read_word(p);
        if (!check_value(p, &options[i], value))
            return false;
        step->options.values[i] = value.text;
        seen[i] = true;
        return true;
    }
    return fail_unknown_option(p, step->pass, key);
}

static bool parse_options(parser *p, tegu_step *step, uint32_t count)
{
    const char *open = p->at;
    bool *seen = TEGU_ARRAY(p->pipeline->arena, bool, count + 1);

    do {
        p->at++;
        if (!parse_option(p, step, seen))
            return false;
    } while (*p->at == ',');
    if (*p->at != '}')
        return fail(p, loc_at(p, open, 1), "'{' has no matching '}'");
    p->at++;
    skip_blanks(p);
    return true;
}

static bool parse_step(parser *p, word name)
{
    uint32_t count;
    tegu_step step = {.pass = tegu_pass_find(name.text),
                      .preset = p->preset,
                      .loc = name.loc};
    const tegu_option *options;

    if (!step.pass)
        return fail_unknown_pass(p, name);
    options = tegu_pass_options(step.pass, &count);
    step.options.pass = tegu_pass_id(step.pass);
    step.options.values =
        TEGU_ARRAY(p->pipeline->arena, const char *, count + 1);
    for (uint32_t i = 0; i < count; i++)
        step.options.values[i] = options[i].value;
    if (*p->at == '{' && !parse_options(p, &step, count))
        return false;
    if (p->pipeline->steps.count >= STEPS_MAX)
        return fail(p, name.loc, "a pipeline has at most %d steps", STEPS_MAX);
    tegu_vec_push(p->pipeline->arena, &p->pipeline->steps, step);
    return true;
}

static bool parse_item(parser *p)
{
    word name = read_word(p);

    if (!*name.text)
        return fail(p, name.loc, "expected the name of a pass");
    if (*name.text != '-')
        return parse_step(p, name);
    for (int level = 0; level < PRESET_COUNT; level++) {
        char preset[] = {'-', 'O', (char)('0' + level), '\0'};
        if (strcmp(name.text, preset) != 0)
            continue;
        tegu_pipeline_add_preset(p->pipeline, level);
        return true;
    }
    return fail(p, name.loc, "unknown preset '%s': there are -O0, -O1, -O2",
                shown(p, name.text));
}

static bool parse(parser *p)
{
    skip_blanks(p);
    if (!*p->at)
        return true;
    for (;;) {
        if (!parse_item(p))
            return false;
        if (!*p->at)
            return true;
        if (*p->at != ',')
            return fail(
                p, loc_at(p, p->at, 1), "expected ',' before '%s'",
                tegu_escaped(p->pipeline->arena, p->at, strcspn(p->at, ",")));
        p->at++;
    }
}

tegu_pipeline *tegu_pipeline_parse(tegu_arena *arena, tegu_diag *diag,
                                   const char *text)
{
    tegu_pipeline *pipeline = TEGU_NEW(arena, tegu_pipeline);
    parser p = {.pipeline = pipeline,
                .diag = diag,
                .file = "<pipeline>",
                .text = text,
                .at = text};

    pipeline->arena = arena;
    tegu_diag_source(diag, p.file, text, strlen(text));
    return parse(&p) ? pipeline : NULL;
}

void tegu_pipeline_add_preset(tegu_pipeline *pipeline, int level)
{
    /* Presets are correct by test, so that nothing is ever reported. */
    for (uint32_t i = 0; i < presets[level].count; i++) {
        const char *text = presets[level].steps[i].text;
        parser p = {.pipeline = pipeline,
                    .diag = tegu_diag_create(pipeline->arena),
                    .file = "<preset>",
                    .text = text,
                    .at = text,
                    .preset = true};
        parse(&p);
    }
}

/* --- printing --- */

void tegu_step_print(tegu_text *text, const tegu_step *step)
{
    uint32_t count;
    const tegu_option *options = tegu_pass_options(step->pass, &count);
    const char *before = "{";

    tegu_text_printf(text, "%s", step->pass->name);
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(step->options.values[i], options[i].value) == 0)
            continue;
        tegu_text_printf(text, "%s%s=%s", before, options[i].key,
                         step->options.values[i]);
        before = ",";
    }
    if (*before == ',')
        tegu_text_printf(text, "}");
}

const char *tegu_pipeline_print(const tegu_pipeline *pipeline,
                                tegu_arena *arena)
{
    tegu_text text = {.arena = arena};

    for (uint32_t i = 0; i < pipeline->steps.count; i++) {
        if (i > 0)
            tegu_text_printf(&text, ",");
        tegu_step_print(&text, &pipeline->steps.data[i]);
    }
    return tegu_text_cstr(&text);
}
