/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_pipeline.c - what the command line takes as text: the first line is a
 * pipeline, the next three a target, a CPU and features.
 *
 * An accepted pipeline prints as itself and runs over a small model, checked
 * after each pass against the interpreter.
 */
#include "tests/fuzz/fuzz.h"

#include "codegen/target.h"
#include "frontend/prelude.h"
#include "passes/pass.h"

#include <string.h>

enum { MOST_CHECKED_STEPS = 8 };

static const char model[] = "unit small\n"
                            "axis T in 1..4\n"
                            "param \"w\" : f32[3, 2]\n"
                            "param \"g\" : f32[2]\n"
                            "weights random 1 0.5\n"
                            "entry step model {\n"
                            "  %1 = input {name=\"x\"} : f32[T, 2]\n"
                            "  %2 = param {name=\"g\"} : f32[2]\n"
                            "  %3 = param {name=\"w\"} : f32[3, 2]\n"
                            "  %4 = rms_norm %1, %2 : f32[T, 2]\n"
                            "  %5 = linear %4, %3 : f32[T, 3]\n"
                            "  %6 = softmax %5 : f32[T, 3]\n"
                            "  return \"y\" %6\n"
                            "}\n";

static tegu_unit *small_model(fuzz_case *c)
{
    tegu_unit *unit = tegu_unit_parse(c->arena, c->diag, "small.tir", model,
                                      sizeof model - 1);
    if (!unit)
        tegu_diag_render(c->diag, stderr, false);
    FUZZ_CHECK(unit != NULL);
    tegu_prelude_attach(unit);
    return unit;
}

static bool read_pipeline(fuzz_case *c)
{
    tegu_pipeline *pipeline = tegu_pipeline_parse(c->arena, c->diag, c->text);
    if (!pipeline)
        return false;
    const char *printed = tegu_pipeline_print(pipeline, c->arena);
    tegu_pipeline *again = tegu_pipeline_parse(c->arena, c->diag, printed);
    FUZZ_CHECK(again != NULL);
    FUZZ_CHECK(strcmp(tegu_pipeline_print(again, c->arena), printed) == 0);
    uint32_t steps = *printed != 0;
    for (const char *p = printed; *p; p++)
        steps += *p == ',';
    if (steps > MOST_CHECKED_STEPS)
        return true;
    tegu_manager_options options = {
        .verify_each = true, .check_each = true, .check_seed = 1};
    tegu_manager_report report = {0};
    tegu_unit *unit = small_model(c);
    bool done = tegu_manager_run(unit, pipeline, &options, &report);
    return done && tegu_unit_verify(unit);
}

static void read_target(const char *name, const char *cpu, const char *features)
{
    tegu_target target;
    tegu_failure failure = {""};
    if (!tegu_target_find(&target, name, cpu, features, &failure)) {
        fuzz_check_line(failure.text);
        return;
    }
    fuzz_check_line(target.triple);
    fuzz_check_line(target.cpu);
    FUZZ_CHECK(target.lanes > 0 && target.mr > 0 && target.nv > 0);
    FUZZ_CHECK(strcmp(target.cpu, "native") != 0);
}

static bool read_texts(fuzz_case *c)
{
    char *lines[4] = {(char *)(uintptr_t)c->text, "", "", ""};
    for (int i = 1; i < 4; i++) {
        char *end = strchr(lines[i - 1], '\n');
        if (!end)
            break;
        *end = 0;
        lines[i] = end + 1;
    }
    read_target(lines[1], lines[2], lines[3]);
    return read_pipeline(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read(data, size, read_texts);
    return 0;
}
