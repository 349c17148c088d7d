/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer over LLVM: target strings, control flow of the builder, the
 * kinds of output and their promises, the loader.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/math.h"
#include "tests/unit/codegen/harness.h"

/* ---- targets ---- */

typedef struct accepted {
    const char *target, *cpu, *features;
    unsigned lanes, registers, fma;
} accepted;

static const accepted good[] = {
    {"x86-64-v2", NULL, NULL, 4, 16, 0},
    {"x86-64-v3", NULL, NULL, 8, 16, 1},
    {"x86-64-v4", NULL, NULL, 16, 32, 1},
    {"x86-64-v4", "", "-avx512f", 8, 16, 1},
    {"x86-64-v4", "", "-avx512vl", 8, 16, 1},
    {"x86-64-v3", "", "-fma", 4, 16, 0},
    {"x86-64-v3", "", "-avx", 4, 16, 0},
    {"x86-64-v2", "", "+avx2,+fma", 8, 16, 1},
    {"x86-64-v3", "znver4", NULL, 16, 32, 1},
    {"x86_64-linux-gnu", "haswell", "", 8, 16, 1},
    {"x86-64-v2", "skylake-avx512", "+avx512vnni", 16, 32, 1},
    {"aarch64", NULL, NULL, 4, 32, 1},
    {"aarch64-linux-gnu", "neoverse-n1", "+dotprod,+i8mm,+bf16,+sve", 4, 32, 1},
};

static void known_targets_resolve_to_their_vector_unit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        tegu_target t;
        tegu_failure failure = {""};
        const accepted *g = &good[i];
        if (!tegu_target_find(&t, g->target, g->cpu, g->features, &failure))
            fail_msg("%s: %s", g->target, failure.text);
        assert_int_equal(t.lanes, g->lanes);
        assert_int_equal(t.registers, g->registers);
        assert_int_equal(t.fma, g->fma);
        assert_true(t.mr * t.nv + t.nv + 1 + !t.fma <= t.registers);
    }
}

typedef struct refused {
    const char *target, *cpu, *features, *message;
} refused;

static const refused bad[] = {
    {"x86-64-v33", "", "",
     "unknown target 'x86-64-v33', did you mean "
     "'x86-64-v3'?"},
    {"wasm", "", "", "unknown target 'wasm'; `tegu targets` lists them"},
    {"riscv64", "", "", "unknown target 'riscv64'; `tegu targets` lists them"},
    {"x86-64-v3", "znver44", "",
     "unknown x86-64 cpu 'znver44', did you mean "
     "'znver4'?"},
    {"x86-64-v3", "neoverse-n1", "",
     "unknown x86-64 cpu 'neoverse-n1'; "
     "`tegu targets` lists them"},
    {"aarch64", "native", "", "cpu 'native' needs target 'native'"},
    {"x86-64-v3", "", "avx2", "feature 'avx2' needs a '+' or '-' before it"},
    {"x86-64-v3", "", "+avx22",
     "unknown x86-64 feature 'avx22', did you mean "
     "'avx2'?"},
    {"aarch64", "", "+avx2",
     "unknown aarch64 feature 'avx2'; `tegu targets` "
     "lists them"},
    {"x86-64-v3", "", "+fma,", "the list of features ends in a comma"},
    {"x86-64-v3", "", ",+fma", "features are written '+x,-y', not ',+fma'"},
    {"aarch64", "", "-neon",
     "aarch64 code without vector registers is not "
     "supported; leave 'neon' on"},
};

static void unknown_names_are_refused_with_a_suggestion(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tegu_target t;
        tegu_failure failure = {""};
        assert_false(tegu_target_find(&t, bad[i].target, bad[i].cpu,
                                      bad[i].features, &failure));
        assert_string_equal(failure.text, bad[i].message);
    }
}

static void overlong_names_are_refused(void **state)
{
    (void)state;
    tegu_target t;
    tegu_failure failure;
    char name[20001], features[20001];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_false(tegu_target_find(&t, name, NULL, NULL, &failure));
    assert_false(tegu_target_find(&t, "x86-64-v3", name, NULL, &failure));
    assert_false(tegu_target_find(&t, "x86-64-v3", NULL, name, &failure));
    for (size_t i = 0; i + 5 < sizeof features; i += 5)
        memcpy(features + i, "+fma,", 6);
    features[19994] = '\0';
    assert_false(tegu_target_find(&t, "x86-64-v3", NULL, features, &failure));
}

static void native_is_resolved_to_plain_names(void **state)
{
    (void)state;
    tegu_target t = target_named("native");
    assert_string_not_equal(t.cpu, "native");
    assert_true(tegu_target_runs_here(&t));
}

/* Every row must be one that this LLVM can make a machine of. */
static void llvm_knows_every_cpu_and_feature_of_the_table(void **state)
{
    (void)state;
    static const char *const of_arch[] = {
        [TEGU_ARCH_X86_64] = "x86-64-v4", [TEGU_ARCH_AARCH64] = "aarch64"};
    tegu_arch arch;
    const char *name;
    char list[64];
    for (size_t i = 0; (name = tegu_target_cpu_name(i, &arch)); i++) {
        tegu_target t;
        tegu_failure failure;
        assert_true(tegu_target_find(&t, of_arch[arch], name, NULL, &failure));
        LLVMTargetMachineRef m = tegu_object_machine(&t, &failure);
        assert_non_null(m);
        LLVMDisposeTargetMachine(m);
    }
    for (size_t i = 0; (name = tegu_target_feature_name(i, &arch)); i++) {
        tegu_target t;
        tegu_failure failure;
        snprintf(list, sizeof list, "+%s", name);
        assert_true(tegu_target_find(&t, of_arch[arch], NULL, list, &failure));
        LLVMTargetMachineRef m = tegu_object_machine(&t, &failure);
        assert_non_null(m);
        LLVMDisposeTargetMachine(m);
    }
}

/* ---- builder ---- */

/* sums(args): slot 0 n, slot 1 out[4]: sum of i < n, of i * j for j < i, the
 * share of part in n, and whether n is odd. */
static void emit_sums(void *data, tegu_emitter *e)
{
    (void)data;
    LLVMBuilderRef b = e->builder;
    LLVMValueRef self = tegu_emit_kernel(e, "sums");
    LLVMValueRef args = LLVMGetParam(self, 0);
    LLVMValueRef n = tegu_emit_slot_i64(e, args, 0), lo, hi;
    LLVMValueRef out = tegu_emit_slot_ptr(e, args, 1);
    LLVMValueRef zero = tegu_emit_int(e, 0), one = tegu_emit_int(e, 1);
    LLVMValueRef values[] = {zero, zero};
    tegu_loop i, j;
    tegu_if odd;
    tegu_loop_begin(e, &i, TEGU_LOOP_OPEN, zero, n, one, 2, values);
    tegu_loop_begin(e, &j, TEGU_LOOP_AS_IS, zero, i.index, one, 1, &i.value[1]);
    LLVMValueRef product = LLVMBuildMul(b, i.index, j.index, "");
    LLVMValueRef more = LLVMBuildAdd(b, j.value[0], product, "");
    tegu_loop_end(e, &j, &more);
    values[0] = LLVMBuildAdd(b, i.value[0], i.index, "");
    values[1] = j.value[0];
    tegu_loop_end(e, &i, values);
    tegu_emit_store(e, i.value[0], out, 8, NULL);
    tegu_emit_store(e, i.value[1], tegu_emit_at(e, e->i64, out, one), 8, NULL);
    tegu_emit_share(e, n, LLVMGetParam(self, 1), LLVMGetParam(self, 2), &lo,
                    &hi);
    LLVMValueRef third = tegu_emit_at(e, e->i64, out, tegu_emit_int(e, 2));
    LLVMValueRef old = tegu_emit_load(e, e->i64, third, 8, NULL);
    LLVMValueRef size = LLVMBuildSub(b, hi, lo, "");
    tegu_emit_store(e, LLVMBuildAdd(b, old, size, ""), third, 8, NULL);
    LLVMValueRef fourth = tegu_emit_at(e, e->i64, out, tegu_emit_int(e, 3));
    tegu_if_begin(e, &odd, LLVMBuildTrunc(b, n, e->i1, ""));
    tegu_emit_store(e, one, fourth, 8, NULL);
    tegu_if_else(e, &odd);
    tegu_emit_store(e, zero, fourth, 8, NULL);
    tegu_if_end(e, &odd);
    LLVMBuildRetVoid(b);
}

static void loops_carry_values_and_may_run_not_at_all(void **state)
{
    (void)state;
    static const tegu_effort efforts[] = {TEGU_EFFORT_NONE, TEGU_EFFORT_LIGHT,
                                          TEGU_EFFORT_O1, TEGU_EFFORT_O2};
    tegu_target t = target_named("native");
    for (size_t k = 0; k < 4; k++) {
        tegu_code *code = load(&t, efforts[k], emit_sums, NULL);
        kernel *run = find(code, "sums");
        for (int64_t n = 0; n < 20; n++) {
            int64_t out[4] = {0}, sum = 0, products = 0;
            int64_t args[] = {n, (int64_t)(intptr_t)out};
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = (sum += i, 0); j < i; j++)
                    products += i * j;
            for (int64_t part = 0; part < 3; part++)
                run(args, part, 3);
            assert_int_equal(out[0], sum);
            assert_int_equal(out[1], products);
            assert_int_equal(out[2], n);
            assert_int_equal(out[3], n & 1);
        }
        tegu_code_destroy(code);
    }
}

/* masked(args): slot 0 count, slot 1 in, slot 2 out, slot 3 sum and max */
static void emit_masked(void *data, tegu_emitter *e)
{
    (void)data;
    unsigned lanes = e->target->lanes;
    LLVMTypeRef type = tegu_emit_type(e->f32, lanes);
    LLVMValueRef self = tegu_emit_kernel(e, "masked");
    LLVMValueRef args = LLVMGetParam(self, 0);
    LLVMValueRef count = tegu_emit_slot_i64(e, args, 0);
    LLVMValueRef mask = tegu_emit_mask(e, lanes, count);
    LLVMValueRef x =
        tegu_emit_load(e, type, tegu_emit_slot_ptr(e, args, 1), 4, mask);
    tegu_emit_store(e, x, tegu_emit_slot_ptr(e, args, 2), 4, mask);
    LLVMValueRef out = tegu_emit_slot_ptr(e, args, 3);
    tegu_emit_store(e, tegu_emit_sum(e, x), out, 4, NULL);
    tegu_emit_store(e, tegu_emit_max(e, x),
                    tegu_emit_at(e, e->f32, out, tegu_emit_int(e, 1)), 4, NULL);
    LLVMBuildRetVoid(e->builder);
}

static void masked_lanes_are_neither_read_nor_written(void **state)
{
    (void)state;
    static const char *const names[] = {"x86-64-v2", "x86-64-v3", "native"};
    for (size_t k = 0; k < 3; k++) {
        tegu_target t = target_named(names[k]);
        if (!tegu_target_runs_here(&t))
            continue;
        tegu_code *code = load(&t, TEGU_EFFORT_LIGHT, emit_masked, NULL);
        for (int64_t count = -1; count <= (int64_t)t.lanes + 1; count++) {
            float in[16], out[16], folded[2], sum = 0;
            int64_t args[] = {count, (int64_t)(intptr_t)in,
                              (int64_t)(intptr_t)out,
                              (int64_t)(intptr_t)folded};
            for (int i = 0; i < 16; i++) {
                in[i] = (float)(i + 1);
                out[i] = -1;
            }
            find(code, "masked")(args, 0, 1);
            int64_t seen = count < 0         ? 0
                           : count > t.lanes ? (int64_t)t.lanes
                                             : count;
            for (int i = 0; i < (int)t.lanes; i++) {
                assert_true(out[i] == (i < seen ? in[i] : -1));
                sum += i < seen ? in[i] : 0;
            }
            assert_true(folded[0] == sum);
            assert_true(folded[1] == (float)seen);
        }
        tegu_code_destroy(code);
    }
}

/* ---- output ---- */

/* exp of eight numbers, as a loop for the vectoriser: no libm may appear. */
static void emit_loop(void *data, tegu_emitter *e)
{
    (void)data;
    LLVMValueRef self = tegu_emit_kernel(e, "loop");
    LLVMValueRef args = LLVMGetParam(self, 0);
    LLVMValueRef in = tegu_emit_slot_ptr(e, args, 0);
    LLVMValueRef out = tegu_emit_slot_ptr(e, args, 1);
    tegu_loop i;
    tegu_loop_begin(e, &i, TEGU_LOOP_OPEN, tegu_emit_int(e, 0),
                    tegu_emit_slot_i64(e, args, 2), tegu_emit_int(e, 1), 0,
                    NULL);
    LLVMValueRef x = tegu_emit_load(
        e, e->f32, tegu_emit_at(e, e->f32, in, i.index), 4, NULL);
    tegu_emit_buffer(e, x, 0, 2);
    LLVMValueRef store = tegu_emit_store(
        e, tegu_math_exp(e, x), tegu_emit_at(e, e->f32, out, i.index), 4, NULL);
    tegu_emit_buffer(e, store, 1, 2);
    tegu_loop_end(e, &i, NULL);
    LLVMBuildRetVoid(e->builder);
}

static void scalar_loops_vectorise_to_the_full_width(void **state)
{
    (void)state;
    static const struct {
        const char *target, *wide;
    } each[] = {
        {"x86-64-v3", "%ymm"}, {"x86-64-v4", "%zmm"}, {"aarch64", ".4s"}};
    for (size_t i = 0; i < 3; i++) {
        tegu_target t = target_named(each[i].target);
        tegu_bytes text =
            build(&t, TEGU_EFFORT_O2, emit_loop, NULL, TEGU_OBJECT_ASSEMBLY);
        assert_non_null(strstr(text.data, each[i].wide));
        assert_null(strstr(text.data, "call"));
        assert_null(strstr(text.data, "\tbl\t"));
        tegu_bytes_free(&text);
    }
}

static void *build_object(void *data)
{
    tegu_target t = target_named("x86-64-v3");
    *(tegu_bytes *)data =
        build(&t, TEGU_EFFORT_O2, emit_loop, NULL, TEGU_OBJECT_ELF);
    return NULL;
}

static void objects_are_identical_whichever_thread_made_them(void **state)
{
    (void)state;
    tegu_bytes made[3];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_false(pthread_create(&threads[i], NULL, build_object, &made[i]));
    build_object(&made[2]);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_true(made[i].size == made[2].size);
        assert_memory_equal(made[i].data, made[2].data, made[2].size);
    }
    for (int i = 0; i < 3; i++)
        tegu_bytes_free(&made[i]);
}

static void every_kind_of_output_can_be_written_from_one_module(void **state)
{
    (void)state;
    static const char *const part[] = {
        [TEGU_OBJECT_ELF] = "\177ELF",
        [TEGU_OBJECT_ASSEMBLY] = "\t.file\t\"named\"",
        [TEGU_OBJECT_LLVM] = "source_filename = \"named\"",
        [TEGU_OBJECT_BITCODE] = "BC\xc0\xde"};
    tegu_failure failure;
    tegu_target t = target_named("x86-64-v3");
    tegu_emitter *e = tegu_emitter_create(&t, "named", NULL, &failure);
    assert_non_null(e);
    emit_loop(NULL, e);
    for (int round = 0; round < 2; round++)
        for (int kind = 0; kind < 4; kind++) {
            tegu_bytes out;
            assert_true(
                tegu_object_write(e, (tegu_object_kind)kind, &out, &failure));
            assert_non_null(strstr(out.data, part[kind]));
            tegu_bytes_free(&out);
        }
    tegu_emitter_destroy(e);
}

static void joined_modules_keep_the_code_of_both(void **state)
{
    (void)state;
    tegu_failure failure;
    tegu_bytes object;
    tegu_target t = target_named("native");
    tegu_emitter *a = tegu_emitter_create(&t, "a", NULL, &failure);
    tegu_emitter *b = tegu_emitter_create(&t, "b", a, &failure);
    emit_loop(NULL, b);
    emit_sums(NULL, a);
    assert_true(tegu_object_optimise(b, TEGU_EFFORT_O2, &failure));
    assert_true(tegu_object_optimise(a, TEGU_EFFORT_LIGHT, &failure));
    assert_true(tegu_object_join(a, b, &failure));
    tegu_emitter_destroy(b);
    assert_true(tegu_object_write(a, TEGU_OBJECT_ELF, &object, &failure));
    tegu_emitter_destroy(a);
    tegu_code *code = tegu_code_create(&failure);
    assert_true(tegu_code_add(code, object.data, object.size, &failure));
    assert_non_null(tegu_code_find(code, "loop", &failure));
    assert_non_null(tegu_code_find(code, "sums", &failure));
    assert_null(tegu_code_find(code, "nothing", &failure));
    tegu_code_destroy(code);
    tegu_bytes_free(&object);
}

static void malformed_code_is_an_error_and_not_a_crash(void **state)
{
    (void)state;
    tegu_failure failure = {""};
    tegu_bytes out;
    tegu_target t = target_named("native");
    tegu_emitter *e = tegu_emitter_create(&t, "bad", NULL, &failure);
    tegu_emit_kernel(e, "unfinished");
    assert_false(tegu_object_optimise(e, TEGU_EFFORT_O2, &failure));
    assert_non_null(strstr(failure.text, "malformed code"));
    assert_false(tegu_object_write(e, TEGU_OBJECT_ELF, &out, &failure));
    tegu_emitter_destroy(e);
}

/* LLVM reports this only to the diagnostic handler and "succeeds". */
static void bad_assembly_is_an_error(void **state)
{
    (void)state;
    static const char line[] = "no_such_instruction";
    tegu_failure failure = {""};
    tegu_bytes out;
    tegu_target t = target_named("x86-64-v3");
    tegu_emitter *e = tegu_emitter_create(&t, "bad", NULL, &failure);
    emit_loop(NULL, e);
    LLVMSetModuleInlineAsm2(e->module, line, sizeof line - 1);
    assert_false(tegu_object_write(e, TEGU_OBJECT_ELF, &out, &failure));
    assert_non_null(strstr(failure.text, "LLVM"));
    tegu_emitter_destroy(e);
}

/* An instruction of another machine makes LLVM call its fatal handler, from
 * which we jump: what it held then is lost, hence not under LeakSanitizer. */
static void a_fatal_error_of_llvm_is_an_error(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    tegu_failure failure = {""};
    tegu_bytes out;
    tegu_target t = target_named("x86-64-v3");
    tegu_emitter *e = tegu_emitter_create(&t, "bad", NULL, &failure);
    LLVMValueRef self = tegu_emit_kernel(e, "foreign");
    LLVMTypeRef type = tegu_emit_type(e->f32, 4);
    LLVMValueRef at = tegu_emit_slot_ptr(e, LLVMGetParam(self, 0), 0);
    LLVMValueRef x = tegu_emit_load(e, type, at, 4, NULL);
    tegu_emit_store(e, tegu_emit_unary(e, "llvm.aarch64.neon.frecpe", x), at, 4,
                    NULL);
    LLVMBuildRetVoid(e->builder);
    assert_false(tegu_object_write(e, TEGU_OBJECT_ELF, &out, &failure));
    assert_non_null(strstr(failure.text, "LLVM gave up"));
    tegu_emitter_destroy(e);
    loops_carry_values_and_may_run_not_at_all(NULL);
}

static void a_broken_object_is_refused_by_the_loader(void **state)
{
    (void)state;
    tegu_failure failure = {""};
    tegu_code *code = tegu_code_create(&failure);
    assert_non_null(code);
    assert_false(tegu_code_add(code, "not an object", 13, &failure) &&
                 tegu_code_find(code, "x", &failure));
    assert_true(failure.text[0] != '\0');
    tegu_code_destroy(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_targets_resolve_to_their_vector_unit),
        cmocka_unit_test(unknown_names_are_refused_with_a_suggestion),
        cmocka_unit_test(overlong_names_are_refused),
        cmocka_unit_test(native_is_resolved_to_plain_names),
        cmocka_unit_test(llvm_knows_every_cpu_and_feature_of_the_table),
        cmocka_unit_test(loops_carry_values_and_may_run_not_at_all),
        cmocka_unit_test(masked_lanes_are_neither_read_nor_written),
        cmocka_unit_test(scalar_loops_vectorise_to_the_full_width),
        cmocka_unit_test(objects_are_identical_whichever_thread_made_them),
        cmocka_unit_test(every_kind_of_output_can_be_written_from_one_module),
        cmocka_unit_test(joined_modules_keep_the_code_of_both),
        cmocka_unit_test(malformed_code_is_an_error_and_not_a_crash),
        cmocka_unit_test(bad_assembly_is_an_error),
        cmocka_unit_test(a_fatal_error_of_llvm_is_an_error),
        cmocka_unit_test(a_broken_object_is_refused_by_the_loader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
