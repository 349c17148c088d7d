/* SPDX-License-Identifier: Apache-2.0 */
/* pass.c - the manager.
 *
 * Takes a unit and a pipeline.  Runs the steps in order and alone does what
 * surrounds a pass: the level it needs, verification after it, its time and
 * node counts, printing before and after it, stopping after it, and with
 * check_each the comparison of what the unit computes before and after it
 * (check.c).  Stops at the first failure; a note names the pass.
 *
 * Memory: new IR in the unit's arena; passes' working memory in a scratch
 * arena, released after each pass; what the unit computed in an arena of its
 * own per step.
 */
#include "passes/check.h"
#include "passes/pipeline.h"
#include <string.h>
#include <time.h>

typedef struct manager {
    tegu_unit *unit;
    const tegu_manager_options *options;
    tegu_manager_report *report;
    tegu_arena *scratch;
    tegu_arena *before_arena; /* of `before` */
    tegu_meaning *before;     /* check_each: the unit as it is */
} manager;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t count_nodes(const tegu_unit *unit)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < unit->entries.count; i++)
        count += unit->entries.data[i].graph->nodes.count - 1;
    return count;
}

/* --- levels --- */

static const char *level_name(tegu_level level)
{
    return level == TEGU_LEVEL_MODEL  ? "model"
           : level == TEGU_LEVEL_CORE ? "core"
                                      : "kernel";
}

static tegu_level level_of(const tegu_unit *unit)
{
    return unit->entries.count ? unit->entries.data[0].graph->level
                               : TEGU_LEVEL_MODEL;
}

static bool check_level(const manager *m, const tegu_step *step)
{
    tegu_level level = level_of(m->unit);
    uint32_t count;
    const tegu_pass *table = tegu_pass_table(&count);
    const char *hint = "";

    if (step->pass->needs & level)
        return true;
    for (uint32_t i = 0; i < count; i++)
        if ((table[i].needs & level) && (table[i].gives & step->pass->needs))
            hint =
                tegu_format(m->scratch, "; run '%s' before it", table[i].name);
    if (!*hint && level > step->pass->needs)
        hint = "; it must come earlier";
    return tegu_error(m->unit->diag, step->loc, TEGU_E_USAGE,
                      "pass '%s' cannot run at %s level%s", step->pass->name,
                      level_name(level), hint);
}

/* --- printing --- */

static bool names(const char *wanted, const tegu_pass *pass)
{
    return wanted && (!strcmp(wanted, "all") || !strcmp(wanted, pass->name));
}

static void print_unit(const manager *m, const char *when, const char *step)
{
    tegu_text text = {.arena = m->scratch};

    if (!m->options->print_to)
        return;
    tegu_text_printf(&text, "# %s %s\n", when, step);
    tegu_unit_print(&text, m->unit);
    fputs(tegu_text_cstr(&text), m->options->print_to);
}

static bool check_name(const manager *m, const char *name, bool all)
{
    uint32_t count;
    const tegu_pass *table = tegu_pass_table(&count);
    const char **known = TEGU_ARRAY(m->scratch, const char *, count);
    const char *near;

    if (!name || tegu_pass_find(name) || (all && !strcmp(name, "all")))
        return true;
    for (uint32_t i = 0; i < count; i++)
        known[i] = table[i].name;
    near = tegu_nearest(name, known, count);
    return tegu_error(
        m->unit->diag, tegu_loc_none(), TEGU_E_USAGE, "unknown pass '%s'%s%s%s",
        tegu_escaped(m->scratch, name, strlen(name)),
        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* --- checking --- */

static bool verify(const manager *m, const char *step)
{
#ifdef NDEBUG
    if (!m->options->verify_each && !m->options->check_each)
        return true;
#endif
    if (tegu_unit_verify(m->unit))
        return true;
    tegu_note(m->unit->diag, tegu_loc_none(), "after pass %s", step);
    return false;
}

static tegu_arena *create_arena(const manager *m)
{
    tegu_arena *arena = tegu_arena_create();

    if (!arena) {
        tegu_error(m->unit->diag, tegu_loc_none(), TEGU_E_RESOURCES,
                   "out of memory");
        return NULL;
    }
    tegu_arena_on_failure(arena, tegu_arena_failure(m->unit->arena));
    return arena;
}

/* Replaces m->before by what the unit computes now; compares them when there
 * was one and `step` is exact. */
static bool check_meaning(manager *m, const tegu_pass *step, double *ratio)
{
    tegu_arena *arena = create_arena(m);
    tegu_meaning *after;
    bool ok;

    if (!arena)
        return false;
    after = tegu_meaning_of(m->unit, arena, m->options->check_seed);
    ok = after != NULL;
    if (ok && m->before && !step->lossy)
        ok = tegu_meaning_agrees(m->unit, step->name, m->before, after, ratio);
    tegu_arena_destroy(m->before_arena);
    m->before_arena = arena;
    m->before = after;
    return ok;
}

/* --- steps --- */

static bool run_pass(manager *m, const tegu_step *step,
                     tegu_step_report *report)
{
    tegu_pass_env env = {.scratch = m->scratch,
                         .options = &step->options,
                         .report = &m->report->remarks,
                         .sites = &m->report->sites,
                         .calibration = m->options->calibration,
                         .lanes = m->options->lanes ? m->options->lanes : 16};
    tegu_mark mark = tegu_arena_mark(m->scratch);
    double start = now();
    tegu_outcome outcome;

    report->nodes_before = count_nodes(m->unit);
    outcome = step->pass->run(m->unit, &env);
    report->seconds = now() - start;
    report->changed = outcome == TEGU_CHANGED;
    report->nodes_after = count_nodes(m->unit);
    tegu_arena_release(m->scratch, mark);
    return outcome != TEGU_FAILED;
}

static bool run_step(manager *m, const tegu_step *step)
{
    tegu_text text = {.arena = m->unit->arena};
    tegu_step_report report = {0};
    bool ok;

    if (!check_level(m, step))
        return false;
    tegu_step_print(&text, step);
    report.text = tegu_text_cstr(&text);
    if (names(m->options->print_before, step->pass))
        print_unit(m, "before", report.text);
    ok = run_pass(m, step, &report) && verify(m, report.text);
    if (ok && names(m->options->print_after, step->pass) &&
        (report.changed || !m->options->print_changed))
        print_unit(m, "after", report.text);
    if (ok && m->options->check_each && report.changed)
        ok = check_meaning(m, step->pass, &report.check_ratio);
    tegu_vec_push(m->unit->arena, &m->report->steps, report);
    return ok;
}

static bool run_steps(manager *m, const tegu_pipeline *pipeline)
{
    const tegu_manager_options *o = m->options;
    double ratio = 0;

    if (!check_name(m, o->print_before, true) ||
        !check_name(m, o->print_after, true) ||
        !check_name(m, o->stop_after, false))
        return false;
    if (o->check_each && !check_meaning(m, NULL, &ratio))
        return false;
    for (uint32_t i = 0; i < pipeline->steps.count; i++) {
        const tegu_step *step = &pipeline->steps.data[i];
        if (step->preset && !(step->pass->needs & level_of(m->unit)))
            continue;
        if (!run_step(m, step))
            return false;
        if (o->stop_after && !strcmp(o->stop_after, step->pass->name))
            break;
    }
    return true;
}

bool tegu_manager_run(tegu_unit *unit, const tegu_pipeline *pipeline,
                      const tegu_manager_options *options,
                      tegu_manager_report *report)
{
    manager m = {.unit = unit, .options = options, .report = report};
    bool ok;

    if (!report->remarks.arena)
        report->remarks.arena = unit->arena;
    m.scratch = create_arena(&m);
    if (!m.scratch)
        return false;
    ok = run_steps(&m, pipeline);
    tegu_arena_destroy(m.scratch);
    tegu_arena_destroy(m.before_arena);
    return ok;
}
