/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loops.c - kernels by hand through the whole code generator, against
 * the interpreter: what loops, index arithmetic, hoisting, state and the
 * families' limits have to get right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/codegen/model.h"

/* Runs at every size of the row, in one part and in many. */
static void check(const char *text, const char *pipeline, const int64_t *sizes,
                  uint32_t calls)
{
    static const int64_t threads[] = {1, 3};
    for (; *sizes >= 0; sizes++)
        for (int t = 0; t < 2; t++) {
            model_pool pool = {0};
            model_check(text, pipeline, *sizes, threads[t], calls, &pool);
        }
}
#define SIZES(...) ((const int64_t[]){__VA_ARGS__, -1})

/* ---- reductions ---- */

static const char rms_norm[] =
    "unit m\naxis T in 0..70\nweights random 3 1\nparam \"w\" : f32[96]\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"x\"} : f32[T, 96]\n"
    "  %2 = param {name=\"w\"} : f32[96]\n"
    "  %3 = kernel %1, %2 {family=\"loop\"} : f32[T, 96] {\n"
    "    %1 = arg {index=0} : f32[T, 96]\n"
    "    %2 = mul %1, %1 : f32[T, 96]\n"
    "    %3 = reduce.sum %2 {axes=[1], keep=true} : f32[T, 1]\n"
    "    %4 = const 0.01 : f32[]\n"
    "    %5 = add %3, %4 : f32[T, 1]\n"
    "    %6 = rsqrt %5 : f32[T, 1]\n"
    "    %7 = mul %1, %6 : f32[T, 96]\n"
    "    %8 = arg {index=1} : f32[96]\n"
    "    %9 = mul %7, %8 : f32[T, 96]\n"
    "    return %9\n  }\n"
    "  return \"y\" %3\n}\n";

static const char softmax_of_softmax[] =
    "unit m\naxis T in 0..70\n"
    "entry f core {\n"
    "  %1 = input {name=\"x\"} : f32[3, T, 40]\n"
    "  %2 = reduce.max %1 {axes=[2], keep=true} : f32[3, T, 1]\n"
    "  %3 = sub %1, %2 : f32[3, T, 40]\n"
    "  %4 = exp %3 : f32[3, T, 40]\n"
    "  %5 = reduce.sum %4 {axes=[2], keep=true} : f32[3, T, 1]\n"
    "  %6 = div %4, %5 : f32[3, T, 40]\n"
    "  %7 = reduce.max %6 {axes=[0, 2], keep=true} : f32[1, T, 1]\n"
    "  %8 = sub %6, %7 : f32[3, T, 40]\n"
    "  %9 = reduce.sum %8 {axes=[0, 1, 2]} : f32[]\n"
    "  return \"y\" %8\n  return \"s\" %9\n}\n";

static const char mixed_reductions[] =
    "unit m\naxis T in 0..70\n"
    "entry f core {\n"
    "  %1 = input {name=\"x\"} : f32[T, 5, 7]\n"
    "  %2 = input {name=\"i\"} : i32[T, 5, 7]\n"
    "  %3 = reduce.min %1 {axes=[1]} : f32[T, 7]\n"
    "  %4 = reduce.sum %2 {axes=[0, 2]} : i32[5]\n"
    "  %5 = argmax %1 {axis=1} : i32[T, 7]\n"
    "  %6 = argmax %2 {axis=2} : i32[T, 5]\n"
    "  %7 = reduce.max %2 {axes=[0]} : i32[5, 7]\n"
    "  return \"a\" %3\n  return \"b\" %4\n  return \"c\" %5\n"
    "  return \"d\" %6\n  return \"e\" %7\n}\n";

static void row_factors_are_computed_once_per_row(void **state)
{
    (void)state;
    check(rms_norm, "", SIZES(0, 1, 2, 70), 1);
}

static void reductions_may_nest_and_feed_each_other(void **state)
{
    (void)state;
    check(softmax_of_softmax, "fuse,plan-memory", SIZES(1, 3, 70), 1);
}

static void reductions_run_over_any_axes(void **state)
{
    (void)state;
    check(mixed_reductions, "fuse{epilogues=false},plan-memory",
          SIZES(0, 1, 70), 1);
}

static void parts_share_the_work_of_large_kernels(void **state)
{
    (void)state;
    for (int64_t threads = 2; threads <= 7; threads++) {
        model_pool pool = {0};
        model_check(rms_norm, "", 70, threads, 1, &pool);
        assert_int_equal(pool.calls, 1);
    }
}

static void small_kernels_stay_on_the_calling_thread(void **state)
{
    (void)state;
    model_pool pool = {0};
    model_check(rms_norm, "", 2, 4, 1, &pool);
    assert_int_equal(pool.calls, 0);
}

/* ---- movement ---- */

static const char reshapes[] =
    "unit m\naxis T in 1..20\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"x\"} : f32[T, 6, 35]\n"
    "  %2 = kernel %1 {family=\"loop\"} : f32[2T, 7, 3, 5] {\n"
    "    %1 = arg {index=0} : f32[T, 6, 35]\n"
    "    %2 = neg %1 : f32[T, 6, 35]\n"
    "    %3 = reshape %2 : f32[T, 10, 21]\n"
    "    %4 = transpose %3 {perm=[0, 2, 1]} : f32[T, 21, 10]\n"
    "    %5 = exp %4 : f32[T, 21, 10]\n"
    "    %6 = reshape %5 : f32[2T, 105]\n"
    "    %7 = reshape %6 : f32[2T, 5, 21]\n"
    "    %8 = slice %7 {start=[0, -1, 20], step=[1, -1, -1]} : f32[2T, 5, 21]\n"
    "    %9 = abs %8 : f32[2T, 5, 21]\n"
    "    %10 = reshape %9 : f32[2T, 7, 3, 5]\n"
    "    return %10\n  }\n"
    "  return \"y\" %2\n}\n";

static const char symbolic_inside[] =
    "unit m\naxis T in 0..9\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"x\"} : f32[4, T, 3]\n"
    "  %2 = kernel %1 {family=\"loop\"} : f32[T, 4, 3] {\n"
    "    %1 = arg {index=0} : f32[4, T, 3]\n"
    "    %2 = reshape %1 : f32[4T, 3]\n"
    "    %3 = exp %2 : f32[4T, 3]\n"
    "    %4 = reshape %3 : f32[4, T, 3]\n"
    "    %5 = transpose %4 {perm=[1, 0, 2]} : f32[T, 4, 3]\n"
    "    return %5\n  }\n"
    "  return \"y\" %2\n}\n";

static const char borders[] =
    "unit m\naxis T in 0..9\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"x\"} : f32[T, 3]\n"
    "  %2 = input {name=\"z\"} : f32[2, 3]\n"
    "  %3 = kernel %1, %2 {family=\"loop\"} : f32[2T+5, 6] {\n"
    "    %1 = arg {index=0} : f32[T, 3]\n"
    "    %2 = arg {index=1} : f32[2, 3]\n"
    "    %3 = concat %1, %2, %1 {axis=0} : f32[2T+2, 3]\n"
    "    %4 = pad %3 {low=[1, 2], high=[2, 1], value=-3.5} : f32[2T+5, 6]\n"
    "    return %4\n  }\n"
    "  return \"y\" %3\n}\n";

static const char gathers[] =
    "unit m\naxis T in 0..30\nweights random 9 1\nparam \"t\" : f32[5, 6, 3]\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"i\"} : i32[T, 2]\n"
    "  %2 = param {name=\"t\"} : f32[5, 6, 3]\n"
    "  %3 = kernel %2, %1 {family=\"loop\"} : f32[T, 2, 2, 3] {\n"
    "    %1 = arg {index=0} : f32[5, 6, 3]\n"
    "    %2 = arg {index=1} : i32[T, 2]\n"
    "    %3 = transpose %1 {perm=[1, 0, 2]} : f32[6, 5, 3]\n"
    "    %4 = gather %3, %2 : f32[T, 2, 5, 3]\n"
    "    %5 = slice %4 {start=[0, 0, 1, 0], step=[1, 1, 2, 1]} : "
    "f32[T, 2, 2, 3]\n"
    "    return %5\n  }\n"
    "  return \"y\" %3\n}\n";

static void reshapes_divide_only_where_shapes_disagree(void **state)
{
    (void)state;
    check(reshapes, "", SIZES(1, 2, 20), 1);
    check(symbolic_inside, "", SIZES(0, 1, 9), 1);
}

static void borders_never_read_outside(void **state)
{
    (void)state;
    check(borders, "", SIZES(0, 1, 9), 1);
}

static void gathered_indices_are_clamped(void **state)
{
    (void)state;
    check(gathers, "", SIZES(0, 1, 30), 1);
}

/* ---- bodies beyond reason ---- */

/* y <- y + y[id]: two elements for each, 2^13 in all. */
static void a_body_that_would_explode_is_cut_up(void **state)
{
    (void)state;
    char text[4096];
    size_t n = 0;
    n += (size_t)sprintf(
        text + n, "unit m\naxis T in 4..4\nentry f kernel {\n"
                  "  %%1 = input {name=\"x\"} : f32[8]\n"
                  "  %%2 = input {name=\"i\"} : i32[8]\n"
                  "  %%3 = kernel %%1, %%2 {family=\"loop\"} : f32[8] {\n"
                  "    %%1 = arg {index=0} : f32[8]\n"
                  "    %%2 = arg {index=1} : i32[8]\n");
    for (int i = 0; i < 13; i++) {
        int y = i ? 2 * i + 2 : 1;
        n += (size_t)sprintf(text + n,
                             "    %%%d = gather %%%d, %%2 : f32[8]\n"
                             "    %%%d = add %%%d, %%%d : f32[8]\n",
                             2 * i + 3, y, 2 * i + 4, y, 2 * i + 3);
    }
    n += (size_t)sprintf(text + n, "    return %%28\n  }\n"
                                   "  return \"y\" %%3\n}\n");
    assert_true(n < sizeof text);
    check(text, "", SIZES(4), 1);
}

/* ---- contractions ---- */

static const char epilogues[] =
    "unit m\naxis T in 0..70\nweights random 5 0.3\n"
    "param \"w\" : f32[40, 36]\nparam \"b\" : f32[40]\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"x\"} : f32[T, 6, 6]\n"
    "  %2 = param {name=\"w\"} : f32[40, 36]\n"
    "  %3 = param {name=\"b\"} : f32[40]\n"
    "  %4 = input {name=\"r\"} : f32[T, 40]\n"
    "  %5 = input {name=\"s\"} : f32[T, 1]\n"
    "  %6 = input {name=\"k\"} : bool[T, 40]\n"
    "  %7 = kernel %1, %2, %3, %4, %5, %6 {family=\"contract\"} : "
    "f32[T, 5, 8] {\n"
    "    %1 = arg {index=0} : f32[T, 6, 6]\n"
    "    %2 = reshape %1 : f32[T, 36]\n"
    "    %3 = arg {index=1} : f32[40, 36]\n"
    "    %4 = contract %2, %3 {a=[1], b=[1]} : f32[T, 40]\n"
    "    %5 = arg {index=4} : f32[T, 1]\n"
    "    %6 = mul %4, %5 : f32[T, 40]\n"
    "    %7 = arg {index=2} : f32[40]\n"
    "    %8 = add %6, %7 : f32[T, 40]\n"
    "    %9 = sigmoid %8 : f32[T, 40]\n"
    "    %10 = mul %8, %9 : f32[T, 40]\n"
    "    %11 = arg {index=3} : f32[T, 40]\n"
    "    %12 = add %11, %10 : f32[T, 40]\n"
    "    %13 = position : i32[]\n"
    "    %14 = size %2 {axis=0} : i32[]\n"
    "    %15 = add %13, %14 : i32[]\n"
    "    %16 = cast %15 {dtype=f32} : f32[]\n"
    "    %17 = arg {index=5} : bool[T, 40]\n"
    "    %18 = select %17, %12, %16 : f32[T, 40]\n"
    "    %19 = reshape %18 : f32[T, 5, 8]\n"
    "    return %19\n  }\n"
    "  return \"y\" %7\n}\n";

static const char weights_at_run_time[] =
    "unit m\naxis T in 0..70\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"x\"} : f32[T, 36]\n"
    "  %2 = input {name=\"w\"} : f32[40, 36]\n"
    "  %3 = kernel %1, %2 {family=\"contract\"} : f32[T, 40] {\n"
    "    %1 = arg {index=0} : f32[T, 36]\n"
    "    %2 = arg {index=1} : f32[40, 36]\n"
    "    %3 = contract %1, %2 {a=[1], b=[1]} : f32[T, 40]\n"
    "    return %3\n  }\n"
    "  return \"y\" %3\n}\n";

static const char batched[] =
    "unit m\naxis T in 0..20\n"
    "entry f core {\n"
    "  %1 = input {name=\"q\"} : f32[T, 4, 8]\n"
    "  %2 = input {name=\"k\"} : f32[T, 4, 8]\n"
    "  %3 = contract %1, %2 {a=[2], b=[2], batch_a=[1], batch_b=[1]} : "
    "f32[4, T, T]\n"
    "  %4 = contract %3, %2 {a=[2], b=[0], batch_a=[0], batch_b=[1]} : "
    "f32[4, T, 8]\n"
    "  return \"y\" %4\n}\n";

static void epilogues_load_by_row_by_column_and_whole(void **state)
{
    (void)state;
    check(epilogues, "", SIZES(0, 1, 2, 7, 70), 1);
}

static void contractions_that_no_template_takes_are_loops(void **state)
{
    (void)state;
    check(weights_at_run_time, "", SIZES(0, 1, 70), 1);
    check(batched, "fuse,plan-memory", SIZES(0, 1, 20), 1);
}

/* ---- state ---- */

static const char append_then_read[] =
    "unit m\naxis T in 1..4\nstate \"s\" append : f32[16, 3]\n"
    "entry f core {\n"
    "  %1 = input {name=\"x\"} : f32[T, 3]\n"
    "  %2 = state {name=\"s\"} : f32[16, 3]\n"
    "  %3 = exp %1 : f32[T, 3]\n"
    "  %4 = append %2, %3 : f32[16, 3]\n"
    "  %5 = reduce.sum %4 {axes=[0]} : f32[3]\n"
    "  return \"y\" %5\n  return \"all\" %4\n  update \"s\" %4\n}\n";

static const char old_rows_read_after_append[] =
    "unit m\naxis T in 1..4\nstate \"s\" append : f32[16, 3]\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"x\"} : f32[T, 3]\n"
    "  %2 = state {name=\"s\"} : f32[16, 3]\n"
    "  %3 = kernel %2, %1 {family=\"loop\"} : f32[16, 3] {\n"
    "    %1 = arg {index=0} : f32[16, 3]\n"
    "    %2 = arg {index=1} : f32[T, 3]\n"
    "    %3 = append %1, %2 : f32[16, 3]\n"
    "    return %3\n  }\n"
    "  %4 = kernel %2, %3 {family=\"loop\"} : f32[16, 3] {\n"
    "    %1 = arg {index=0} : f32[16, 3]\n"
    "    %2 = arg {index=1} : f32[16, 3]\n"
    "    %3 = sub %2, %1 : f32[16, 3]\n"
    "    return %3\n  }\n"
    "  return \"new\" %4\n  return \"old\" %2\n  update \"s\" %3\n}\n";

static const char swapped_states[] =
    "unit m\nstate \"a\" : f32[5]\nstate \"b\" : f32[5]\n"
    "entry f core {\n"
    "  %1 = input {name=\"x\"} : f32[5]\n"
    "  %2 = state {name=\"a\"} : f32[5]\n"
    "  %3 = state {name=\"b\"} : f32[5]\n"
    "  %4 = add %3, %1 : f32[5]\n"
    "  %5 = sub %2, %3 : f32[5]\n"
    "  return \"y\" %5\n  update \"a\" %4\n  update \"b\" %2\n}\n";

static void appended_rows_are_seen_by_later_kernels(void **state)
{
    (void)state;
    check(append_then_read, "fuse,plan-memory", SIZES(1, 3, 4), 4);
}

static void old_state_read_after_an_append_is_the_old_one(void **state)
{
    (void)state;
    check(old_rows_read_after_append, "", SIZES(1, 4), 4);
}

static void states_replaced_as_a_whole_may_swap(void **state)
{
    (void)state;
    check(swapped_states, "fuse,plan-memory", SIZES(0), 4);
    check(swapped_states, "fuse{epilogues=false},plan-memory{reuse=false}",
          SIZES(0), 4);
}

/* ---- leaves as results ---- */

static const char leaves[] =
    "unit m\naxis T in 0..9\nweights random 1 1\nparam \"w\" : f32[3]\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"x\"} : i64[T]\n"
    "  %2 = param {name=\"w\"} : f32[3]\n"
    "  %3 = position : i32[]\n"
    "  %4 = size %1 {axis=0} : i32[]\n"
    "  %5 = iota {axis=0} : f32[T]\n"
    "  %6 = const [1, -2, 3] : i32[3]\n"
    "  return \"a\" %1\n  return \"b\" %2\n  return \"c\" %3\n"
    "  return \"d\" %4\n  return \"e\" %5\n  return \"f\" %6\n"
    "  return \"g\" %5\n}\n";

static void leaves_can_be_results(void **state)
{
    (void)state;
    check(leaves, "", SIZES(0, 1, 9), 1);
}

/* ---- storage types ---- */

static const char storage[] =
    "unit m\naxis T in 0..40\n"
    "entry f core {\n"
    "  %1 = input {name=\"b\"} : bf16[T, 33]\n"
    "  %2 = input {name=\"h\"} : f16[T, 33]\n"
    "  %3 = input {name=\"d\"} : f64[T, 33]\n"
    "  %4 = input {name=\"i\"} : i8[T, 33]\n"
    "  %5 = input {name=\"u\"} : u8[T, 33]\n"
    "  %6 = cast %1 {dtype=f32} : f32[T, 33]\n"
    "  %7 = cast %2 {dtype=f32} : f32[T, 33]\n"
    "  %8 = cast %3 {dtype=f32} : f32[T, 33]\n"
    "  %9 = cast %4 {dtype=i32} : i32[T, 33]\n"
    "  %10 = cast %5 {dtype=i32} : i32[T, 33]\n"
    "  return \"x\" %6\n  return \"y\" %7\n  return \"z\" %8\n"
    "  return \"v\" %9\n  return \"w\" %10\n}\n";

static void storage_types_are_cast_exactly(void **state)
{
    (void)state;
    check(storage, "fuse,plan-memory", SIZES(0, 1, 40), 1);
}

/* ---- thin contractions in epilogues ---- */

/* Kept adapters as keep-adapters leaves them: two products of one x, three
 * adapters of 3, 8 and 5 ranks, columns past the last whole panel, a bias. */
static const char adapters[] =
    "unit m\naxis T in 0..70\nweights random 3 0.3\n"
    "param \"w\" : f32[70, 96]\nparam \"v\" : f32[70, 96]\n"
    "param \"a\" : f32[16, 96]\nparam \"b\" : f32[70, 3]\n"
    "param \"d\" : f32[70, 8]\nparam \"s\" : f32[96, 5]\n"
    "param \"bias\" : f32[70]\n"
    "entry f core {\n"
    "  %1 = input {name=\"x\"} : f32[2, T, 96]\n"
    "  %2 = param {name=\"w\"} : f32[70, 96]\n"
    "  %3 = param {name=\"v\"} : f32[70, 96]\n"
    "  %4 = param {name=\"a\"} : f32[16, 96]\n"
    "  %5 = param {name=\"b\"} : f32[70, 3]\n"
    "  %6 = param {name=\"d\"} : f32[70, 8]\n"
    "  %7 = param {name=\"s\"} : f32[96, 5]\n"
    "  %8 = param {name=\"bias\"} : f32[70]\n"
    "  %9 = slice %7 {start=[0, 0], step=[1, 1]} : f32[70, 5]\n"
    "  %10 = contract %1, %2 {a=[2], b=[1]} : f32[2, T, 70]\n"
    "  %11 = add %10, %8 : f32[2, T, 70]\n"
    "  %12 = contract %1, %4 {a=[2], b=[1]} : f32[2, T, 16]\n"
    "  %13 = const 0.5 : f32[]\n"
    "  %14 = mul %12, %13 : f32[2, T, 16]\n"
    "  %15 = slice %14 {start=[0, 0, 8], step=[1, 1, 1]} : f32[2, T, 3]\n"
    "  %16 = contract %15, %5 {a=[2], b=[1]} : f32[2, T, 70]\n"
    "  %17 = add %11, %16 : f32[2, T, 70]\n"
    "  %18 = slice %14 {start=[0, 0, 0], step=[1, 1, 1]} : f32[2, T, 8]\n"
    "  %19 = contract %18, %6 {a=[2], b=[1]} : f32[2, T, 70]\n"
    "  %20 = add %17, %19 : f32[2, T, 70]\n"
    "  %21 = contract %1, %3 {a=[2], b=[1]} : f32[2, T, 70]\n"
    "  %22 = slice %14 {start=[0, 0, 11], step=[1, 1, 1]} : f32[2, T, 5]\n"
    "  %23 = contract %22, %9 {a=[2], b=[1]} : f32[2, T, 70]\n"
    "  %24 = add %21, %23 : f32[2, T, 70]\n"
    "  %25 = mul %20, %24 : f32[2, T, 70]\n"
    "  return \"y\" %25\n}\n";

static void thin_contractions_join_epilogues(void **state)
{
    (void)state;
    const int64_t *sizes = SIZES(0, 1, 2, 7, 13, 70);
    check(adapters, "fuse,plan-memory", sizes, 1);
    check(adapters, "fuse{epilogues=false},plan-memory", sizes, 1);
}

/* One constant packed for two contractions, a thin one that is not packed,
 * and an operand with other rows: bodies that must be cut up. */
static const char thin_by_hand[] =
    "unit m\naxis T in 0..70\nweights random 3 0.3\n"
    "param \"w\" : f32[8, 8]\n"
    "entry f kernel {\n"
    "  %1 = input {name=\"x\"} : f32[T, 8]\n"
    "  %2 = input {name=\"z\"} : f32[8, 8]\n"
    "  %3 = param {name=\"w\"} : f32[8, 8]\n"
    "  %4 = kernel %1, %3, %2 {family=\"contract\"} : f32[T, 8] {\n"
    "    %1 = arg {index=0} : f32[T, 8]\n"
    "    %2 = arg {index=1} : f32[8, 8]\n"
    "    %3 = contract %1, %2 {a=[1], b=[1]} : f32[T, 8]\n"
    "    %4 = contract %1, %2 {a=[1], b=[1]} : f32[T, 8]\n"
    "    %5 = arg {index=2} : f32[8, 8]\n"
    "    %6 = contract %1, %5 {a=[1], b=[1]} : f32[T, 8]\n"
    "    %7 = sub %3, %6 : f32[T, 8]\n"
    "    %8 = mul %7, %4 : f32[T, 8]\n"
    "    return %8\n  }\n"
    "  return \"y\" %4\n}\n";

static void kernels_with_unpacked_thin_weights_are_cut(void **state)
{
    (void)state;
    check(thin_by_hand, "plan-memory", SIZES(0, 1, 13), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_factors_are_computed_once_per_row),
        cmocka_unit_test(reductions_may_nest_and_feed_each_other),
        cmocka_unit_test(reductions_run_over_any_axes),
        cmocka_unit_test(parts_share_the_work_of_large_kernels),
        cmocka_unit_test(small_kernels_stay_on_the_calling_thread),
        cmocka_unit_test(reshapes_divide_only_where_shapes_disagree),
        cmocka_unit_test(borders_never_read_outside),
        cmocka_unit_test(gathered_indices_are_clamped),
        cmocka_unit_test(a_body_that_would_explode_is_cut_up),
        cmocka_unit_test(epilogues_load_by_row_by_column_and_whole),
        cmocka_unit_test(contractions_that_no_template_takes_are_loops),
        cmocka_unit_test(appended_rows_are_seen_by_later_kernels),
        cmocka_unit_test(old_state_read_after_an_append_is_the_old_one),
        cmocka_unit_test(states_replaced_as_a_whole_may_swap),
        cmocka_unit_test(leaves_can_be_results),
        cmocka_unit_test(thin_contractions_join_epilogues),
        cmocka_unit_test(kernels_with_unpacked_thin_weights_are_cut),
        cmocka_unit_test(storage_types_are_cast_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
