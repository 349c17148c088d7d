/* SPDX-License-Identifier: Apache-2.0 */
/* archive.c: archives that nm, ar and the linker read, and objects that are
 * none. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "frontend/cli/archive.h"
#include "frontend/cli/cli.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fixture {
    tegu_arena *arena;
    tegu_blob object;
} fixture;

/* The object of a one-entry model, compiled for this machine. */
static tegu_blob compile(tegu_arena *arena)
{
    static const char source[] =
        "model m\naxis N in 1..8\n"
        "entry e(x: f32[N]) -> y: f32[N] { return x + 1.0 }\n";
    tegu_diag *diag = tegu_diag_create(arena);
    tegu_unit *unit = tegu_language_load(arena, diag, "m.tegu", source,
                                         sizeof source - 1, NULL);
    tegu_pipeline *pipeline = tegu_pipeline_parse(arena, diag, "");
    tegu_manager_options options = {0};
    tegu_manager_report report = {0};
    tegu_target target;
    tegu_failure failure;
    assert_non_null(unit);
    tegu_pipeline_add_preset(pipeline, 2);
    assert_true(tegu_manager_run(unit, pipeline, &options, &report));
    assert_true(tegu_target_find(&target, NULL, NULL, NULL, &failure));
    tegu_codegen_options codegen = {.target = &target,
                                    .level = 2,
                                    .pipeline = "cse",
                                    .provenance = "input number 7\n"};
    tegu_artifact *artifact = tegu_codegen(unit, arena, &codegen);
    assert_non_null(artifact);
    return artifact->object;
}

static int enter(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->arena = tegu_arena_create();
    f->object = compile(f->arena);
    *state = f;
    return 0;
}

static int leave(void **state)
{
    fixture *f = *state;
    tegu_arena_destroy(f->arena);
    free(f);
    return 0;
}

/* What `command FILE` prints for an archive; the command names it $1. */
static const char *shown_by(fixture *f, const char *command, tegu_blob archive)
{
    char path[] = "/tmp/tegu-archive-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, archive.data, archive.size), archive.size);
    close(fd);
    tegu_text out = {.arena = f->arena};
    FILE *from = popen(
        tegu_format(f->arena, "set -- %s; { %s; } 2>&1", path, command), "r");
    assert_non_null(from);
    for (int c; (c = getc(from)) != EOF;) {
        char byte = (char)c;
        tegu_text_add(&out, &byte, 1);
    }
    int status = pclose(from);
    unlink(path);
    if (status != 0)
        fail_msg("%s: %s", command, tegu_text_cstr(&out));
    return tegu_text_cstr(&out);
}

static tegu_blob make(fixture *f, const char *member)
{
    tegu_blob archive;
    const char *error = "";
    if (!tegu_archive(f->arena, member, f->object, &archive, &error))
        fail_msg("%s", error);
    return archive;
}

static void assert_has(const char *whole, const char *part)
{
    if (!strstr(whole, part))
        fail_msg("'%s' is missing in\n%s", part, whole);
}

static void the_index_lists_the_symbols_that_the_object_defines(void **state)
{
    fixture *f = *state;
    const char *index = shown_by(f, "nm -s \"$1\"", make(f, "m.o"));
    assert_has(index, "Archive index:\nm_");
    assert_has(index, "m_e in m.o");
    assert_has(index, "m_init_");
    /* As many as nm counts itself: what ranlib would write. */
    shown_by(f,
             "test $(nm -s \"$1\" | grep -c ' in m.o$') -eq "
             "$(nm --defined-only -g \"$1\" | grep -c ' [A-Z] ')",
             make(f, "m.o"));
}

static void the_member_comes_out_as_it_went_in(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {
        "m.o", "fifteen_long_.o", "sixteen_letters.o",
        "a_name_that_is_quite_a_bit_longer_than_the_header_has_room_for.o"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tegu_blob archive = make(f, names[i]);
        assert_int_equal(archive.size % 2, 0);
        assert_has(shown_by(f, "ar t \"$1\"", archive), names[i]);
        const char *size = shown_by(f, "ar p \"$1\" | wc -c", archive);
        assert_int_equal(strtoull(size, NULL, 10), f->object.size);
    }
}

static void equal_objects_give_equal_archives(void **state)
{
    fixture *f = *state;
    tegu_blob a = make(f, "m.o"), b = make(f, "m.o");
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
}

static void an_object_tells_how_it_was_made(void **state)
{
    fixture *f = *state;
    const char *comment = shown_by(f, "strings -n 8 \"$1\"", f->object);
    assert_has(comment, "tegu-provenance\nmodel m, abi ");
    assert_has(comment, "\npipeline 'cse', then -O2\ninput number 7\n");
}

static void what_is_no_object_is_refused(void **state)
{
    fixture *f = *state;
    tegu_blob archive;
    const char *error = NULL;
    static const unsigned char text[200] = "no object";
    assert_false(tegu_archive(f->arena, "m.o", (tegu_blob){text, sizeof text},
                              &archive, &error));
    assert_string_equal(error, "the object has no symbol table");
}

/* Cut anywhere, or with any header field replaced, nothing outside of the
 * object is read (ASan) and the answer is an archive or an error. */
static void broken_objects_are_not_read_beyond_their_end(void **state)
{
    fixture *f = *state;
    tegu_blob archive;
    const char *error;
    for (size_t size = 0; size < f->object.size; size += 61) {
        unsigned char *cut = malloc(size + 1);
        memcpy(cut, f->object.data, size);
        tegu_archive(f->arena, "m.o", (tegu_blob){cut, size}, &archive, &error);
        free(cut);
    }
    unsigned char *whole = malloc(f->object.size);
    for (size_t at = 0; at < sizeof(Elf64_Ehdr); at++) {
        memcpy(whole, f->object.data, f->object.size);
        whole[at] ^= 0xff;
        tegu_archive(f->arena, "m.o", (tegu_blob){whole, f->object.size},
                     &archive, &error);
    }
    free(whole);
}

static void a_shared_library_has_the_same_symbols(void **state)
{
    fixture *f = *state;
    tegu_target target;
    tegu_failure failure;
    tegu_blob shared;
    const char *error = "";
    assert_true(tegu_target_find(&target, NULL, NULL, NULL, &failure));
    if (!tegu_link_shared(f->arena, &target, f->object, &shared, &error))
        fail_msg("%s", error);
    assert_has(shown_by(f, "nm -D --defined-only \"$1\"", shared), " T m_e\n");
}

static void a_compiler_that_is_missing_is_an_error(void **state)
{
    fixture *f = *state;
    tegu_target target;
    tegu_failure failure;
    tegu_blob shared;
    const char *error = "", *cc = getenv("CC");
    char *old = cc ? tegu_format(f->arena, "%s", cc) : NULL;
    assert_true(tegu_target_find(&target, NULL, NULL, NULL, &failure));
    setenv("CC", "/nowhere/cc", 1);
    assert_false(
        tegu_link_shared(f->arena, &target, f->object, &shared, &error));
    assert_string_equal(error, "'/nowhere/cc -shared' failed");
    if (old)
        setenv("CC", old, 1);
    else
        unsetenv("CC");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_lists_the_symbols_that_the_object_defines),
        cmocka_unit_test(the_member_comes_out_as_it_went_in),
        cmocka_unit_test(equal_objects_give_equal_archives),
        cmocka_unit_test(an_object_tells_how_it_was_made),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(broken_objects_are_not_read_beyond_their_end),
        cmocka_unit_test(a_shared_library_has_the_same_symbols),
        cmocka_unit_test(a_compiler_that_is_missing_is_an_error),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
