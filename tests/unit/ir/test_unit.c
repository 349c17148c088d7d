/* SPDX-License-Identifier: Apache-2.0 */
/* test_unit.c - types and their interning, arithmetic on dimensions,
 * parameters' values, binding an entry's symbols. */
#include "fixture.h"

#include <math.h>
#include <string.h>

/* --- types --- */

static void equal_types_share_one_address(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    tegu_axis_id dim = tegu_unit_find_axis(unit, "dim");
    const tegu_type *plain =
        tegu_unit_shape(unit, TEGU_F32, 1, (int64_t[]){256});
    assert_ptr_equal(plain,
                     tegu_unit_shape(unit, TEGU_F32, 1, (int64_t[]){256}));
    tegu_type named = {.dtype = TEGU_F32, .rank = 1};
    named.dims[0] = tegu_unit_axis_dim(unit, dim);
    /* What lies behind the last axis does not matter. */
    named.dims[5] = tegu_dim_static(77);
    const tegu_type *interned = tegu_unit_type(unit, &named);
    assert_ptr_not_equal(plain, interned);
    assert_true(tegu_type_equal(plain, interned));
    assert_string_equal(tegu_type_string(unit, f.arena, interned),
                        "f32[dim=256]");
    fixture_close(&f);
}

static void an_axis_by_itself_keeps_its_name(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    tegu_axis_id t = tegu_unit_find_axis(unit, "T");
    tegu_type bare = {.dtype = TEGU_F32, .rank = 1};
    bare.dims[0] = (tegu_dim){.scale = 1, .symbol = t};
    tegu_type axis = bare;
    axis.dims[0] = tegu_unit_axis_dim(unit, t);
    assert_ptr_equal(tegu_unit_type(unit, &bare), tegu_unit_type(unit, &axis));
    fixture_close(&f);
}

static void dimensions_print_as_axes_and_value(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    tegu_axis_id t = tegu_unit_find_axis(unit, "T");
    tegu_axis_id h = tegu_unit_find_axis(unit, "heads");
    const struct {
        tegu_dim dim;
        const char *text;
    } rows[] = {
        {{.offset = 7}, "7"},
        {{.offset = 256, .axes = {h, h}}, "heads*heads=256"},
        {{.scale = 1, .symbol = t, .axes = {t}}, "T"},
        {{.scale = 1, .symbol = t, .axes = {h}}, "heads=T"},
        {{.scale = 1, .offset = 1, .symbol = t, .axes = {t}}, "T=T+1"},
        {{.scale = 2, .offset = -3, .symbol = t}, "2T-3"},
        {{.scale = -1, .offset = 512, .symbol = t}, "-T+512"},
        {{.offset = 1, .axes = {t}}, "T=1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tegu_text text = {.arena = f.arena};
        tegu_dim_print(&text, unit, rows[i].dim);
        assert_string_equal(tegu_text_cstr(&text), rows[i].text);
    }
    fixture_close(&f);
}

static void products_stay_affine_or_are_refused(void **state)
{
    (void)state;
    tegu_dim t = {.scale = 2, .offset = 1, .symbol = 1, .axes = {1}};
    tegu_dim three = {.offset = 3, .axes = {2}}, zero = tegu_dim_static(0);
    tegu_dim out;
    assert_true(tegu_dims_product((tegu_dim[]){three, t, three}, 0, 3, &out));
    assert_int_equal(out.scale, 18);
    assert_int_equal(out.offset, 9);
    assert_int_equal(out.symbol, 1);
    assert_int_equal(out.axes[0], 2);
    assert_int_equal(out.axes[1], 1);
    assert_int_equal(out.axes[2], 2);
    assert_false(tegu_dims_product((tegu_dim[]){t, t}, 0, 2, &out));
    assert_true(tegu_dims_product((tegu_dim[]){t, zero}, 0, 2, &out));
    assert_int_equal(out.symbol, 0);
    assert_int_equal(out.offset, 0);
    assert_true(tegu_dims_product(&t, 0, 0, &out));
    assert_true(tegu_dim_is_one(out));
    tegu_dim huge = tegu_dim_static(INT64_MAX);
    assert_false(tegu_dims_product((tegu_dim[]){huge, three}, 0, 2, &out));
    /* Five factors are too many to keep. */
    tegu_dim pair = {.offset = 4, .axes = {2, 3}};
    assert_true(tegu_dims_product((tegu_dim[]){pair, pair, three}, 0, 3, &out));
    assert_int_equal(out.offset, 48);
    assert_int_equal(out.axes[0], 0);
}

static void bounds_and_values_follow_the_symbol(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    tegu_axis_id t = tegu_unit_find_axis(unit, "T");
    int64_t lo, hi, symbols[8] = {0};
    tegu_dim dim = {.scale = -2, .offset = 1024, .symbol = t};
    assert_true(tegu_dim_bounds(unit, dim, &lo, &hi));
    assert_int_equal(lo, 0);
    assert_int_equal(hi, 1022);
    symbols[t] = 12;
    assert_int_equal(tegu_dim_value(dim, symbols), 1000);
    assert_int_equal(tegu_dim_value(tegu_dim_static(5), symbols), 5);
    dim.scale = INT64_MAX;
    assert_false(tegu_dim_bounds(unit, dim, &lo, &hi));
    fixture_close(&f);
}

static void element_counts_are_checked(void **state)
{
    (void)state;
    tegu_type type = {.dtype = TEGU_F32, .rank = 2};
    type.dims[0] = tegu_dim_static((int64_t)1 << 40);
    type.dims[1] = tegu_dim_static((int64_t)1 << 30);
    assert_int_equal(tegu_type_elements(&type), -1);
    type.dims[1] = tegu_dim_static(2);
    assert_true(tegu_type_elements(&type) == (int64_t)1 << 41);
    type.dims[1] = (tegu_dim){.scale = 1, .symbol = 1};
    assert_int_equal(tegu_type_elements(&type), -1);
}

static void dtypes_are_found_by_both_names(void **state)
{
    (void)state;
    for (int d = 0; d < TEGU_DTYPE_COUNT; d++) {
        tegu_dtype dtype = (tegu_dtype)d;
        const char *text = tegu_dtype_text(dtype);
        const char *other = tegu_dtype_safetensors(dtype);
        assert_int_equal(tegu_dtype_find(text, strlen(text)), d);
        assert_int_equal(tegu_dtype_find_safetensors(other, strlen(other)), d);
        assert_true(tegu_dtype_is_compute(dtype) == (d <= TEGU_F32));
    }
    assert_int_equal(tegu_dtype_find("f3", 2), TEGU_DTYPE_COUNT);
    assert_int_equal(tegu_dtype_find("f32x", 4), TEGU_DTYPE_COUNT);
}

/* --- parameters --- */

static tegu_param param_of(tegu_unit *unit, tegu_dtype type, tegu_dtype stored,
                           const void *data, int64_t rows, int64_t columns)
{
    return (tegu_param){
        .name = "w",
        .type = tegu_unit_shape(unit, type, 2, (int64_t[]){rows, columns}),
        .source = TEGU_SOURCE_DATA,
        .stored = stored,
        .data = data};
}

static void stored_types_convert_at_any_alignment(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    /* 1.5, -2, smallest subnormal, -0 and infinity where there are any. */
    static const uint16_t half[] = {0x3e00, 0xc000, 0x0001, 0x8000, 0x7c00};
    static const uint16_t brain[] = {0x3fc0, 0xc000, 0x0001, 0x8000, 0x7f80};
    static const double twice[] = {1.5, -2, 1e-60, -0.0, INFINITY};
    static const float once[] = {1.5f, -2, 1e-45f, -0.0f, INFINITY};
    static const int8_t small[] = {1, -2, -128, 0, 127};
    static const uint8_t byte[] = {1, 2, 255, 0, 127};
    static const struct {
        tegu_dtype stored;
        const void *data;
        float values[5];
    } rows[] = {
        {TEGU_F16, half, {1.5f, -2, 0x1p-24f, -0.0f, INFINITY}},
        {TEGU_BF16, brain, {1.5f, -2, 0x1p-133f, -0.0f, INFINITY}},
        {TEGU_F64, twice, {1.5f, -2, 0, -0.0f, INFINITY}},
        {TEGU_F32, once, {1.5f, -2, 0x1p-149f, -0.0f, INFINITY}},
        {TEGU_I8, small, {1, -2, -128, 0, 127}},
        {TEGU_U8, byte, {1, 2, 255, 0, 127}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char shifted[64];
        memcpy(shifted + 1, rows[i].data, 5 * tegu_dtype_bytes(rows[i].stored));
        tegu_param param =
            param_of(unit, TEGU_F32, rows[i].stored, shifted + 1, 1, 5);
        float out[5] = {9, 9, 9, 9, 9};
        assert_true(tegu_param_read(unit, &param, 0, 5, out));
        assert_memory_equal(out, rows[i].values, sizeof out);
        float part[2];
        assert_true(tegu_param_read(unit, &param, 3, 2, part));
        assert_memory_equal(part, rows[i].values + 3, sizeof part);
    }
    fixture_close(&f);
}

/* The reference: f16 by its definition, in double. */
static double half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double magnitude = exponent == 0    ? ldexp(fraction, -24)
                       : exponent == 31 ? (fraction ? NAN : INFINITY)
                                        : ldexp(1024 + fraction, exponent - 25);
    return h >> 15 ? -magnitude : magnitude;
}

static void all_halves_convert_exactly(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    uint16_t *halves = TEGU_ARRAY(f.arena, uint16_t, 65536);
    float *out = TEGU_ARRAY(f.arena, float, 65536);
    for (uint32_t i = 0; i < 65536; i++)
        halves[i] = (uint16_t)i;
    tegu_param param = param_of(unit, TEGU_F32, TEGU_F16, halves, 256, 256);
    assert_true(tegu_param_read(unit, &param, 0, 65536, out));
    for (uint32_t i = 0; i < 65536; i++) {
        double value = half_value((uint16_t)i);
        assert_true(isnan(value) ? isnan(out[i]) : (double)out[i] == value);
        assert_int_equal(signbit(out[i]) != 0, i >> 15);
    }
    fixture_close(&f);
}

static void transposed_data_reads_in_logical_order(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    static const float stored[3][2] = {{1, 2}, {3, 4}, {5, 6}};
    static const float logical[6] = {1, 3, 5, 2, 4, 6};
    tegu_param param = param_of(unit, TEGU_F32, TEGU_F32, stored, 2, 3);
    param.transposed = true;
    for (int first = 0; first < 6; first++)
        for (int count = 0; first + count <= 6; count++) {
            float out[6];
            assert_true(tegu_param_read(unit, &param, first, count, out));
            for (int i = 0; i < count; i++)
                assert_true(out[i] == logical[first + i]);
        }
    fixture_close(&f);
}

static void integers_and_truth_keep_their_types(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    static const int32_t ints[] = {1, INT32_MIN};
    static const unsigned char truth[] = {0, 7};
    int64_t wide[2];
    unsigned char bools[2];
    tegu_param param = param_of(unit, TEGU_I64, TEGU_I32, ints, 1, 2);
    assert_true(tegu_param_read(unit, &param, 0, 2, wide));
    assert_true(wide[0] == 1 && wide[1] == INT32_MIN);
    param = param_of(unit, TEGU_BOOL, TEGU_BOOL, truth, 1, 2);
    assert_true(tegu_param_read(unit, &param, 0, 2, bools));
    assert_true(bools[0] == 0 && bools[1] == 1);
    fixture_close(&f);
}

static void unreadable_parameters_are_refused(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    static const int64_t wide[] = {1, 2};
    float out[2];
    tegu_param param = param_of(unit, TEGU_F32, TEGU_I64, wide, 1, 2);
    assert_false(tegu_param_read(unit, &param, 0, 2, out));
    assert_message(&f, "parameter 'w' is stored as i64, which cannot be read "
                       "as f32");
    param.source = TEGU_SOURCE_NONE;
    assert_false(tegu_param_read(unit, &param, 0, 2, out));
    assert_message(&f, "parameter 'w' has no data");
    assert_false(tegu_param_read(unit, &param, 1, 2, out));
    assert_message(&f, "parameter 'w' is read past its end");
    fixture_close(&f);
}

static tegu_param random_param(tegu_unit *unit, const char *name,
                               tegu_dtype dtype, int64_t count)
{
    tegu_param param = param_of(unit, dtype, dtype, NULL, 1, count);
    param.name = name;
    param.source = TEGU_SOURCE_RANDOM;
    param.seed = 42;
    param.std = 0.5;
    return param;
}

static void random_values_do_not_depend_on_the_reading_order(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    tegu_param param = random_param(unit, "w", TEGU_F32, 100);
    float all[100], one;
    assert_true(tegu_param_read(unit, &param, 0, 100, all));
    for (int i = 99; i >= 0; i--) {
        assert_true(tegu_param_read(unit, &param, i, 1, &one));
        assert_true(one == all[i]);
    }
    /* Kept for ever: models are reproduced from their seeds. */
    assert_true(all[0] == -0x1.ef22fp-2f);
    assert_true(all[1] == -0x1.4507b8p-4f);
    assert_true(all[99] == -0x1.18cf0ap-1f);
    param.name = "v";
    assert_true(tegu_param_read(unit, &param, 0, 1, &one));
    assert_true(one != all[0]);
    param.name = "w";
    param.seed++;
    assert_true(tegu_param_read(unit, &param, 0, 1, &one));
    assert_true(one != all[0]);
    fixture_close(&f);
}

static void random_values_are_normal(void **state)
{
    (void)state;
    enum { COUNT = 1 << 20 };
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    tegu_param param = random_param(unit, "w", TEGU_F32, COUNT);
    float *x = TEGU_ARRAY(f.arena, float, COUNT);
    assert_true(tegu_param_read(unit, &param, 0, COUNT, x));
    double mean = 0, square = 0, fourth = 0, next = 0;
    int inside = 0;
    for (int i = 0; i < COUNT; i++) {
        double z = (double)x[i] / 0.5;
        mean += z / COUNT;
        square += z * z / COUNT;
        fourth += z * z * z * z / COUNT;
        next += i ? z * (double)x[i - 1] / 0.5 / COUNT : 0;
        inside += z > -1 && z < 1;
    }
    assert_true(fabs(mean) < 0.005);
    assert_true(fabs(square - 1) < 0.01);
    assert_true(fabs(fourth - 2.7) < 0.03);
    assert_true(fabs(next) < 0.005);
    assert_true(fabs((double)inside / COUNT - 0.67) < 0.01);
    fixture_close(&f);
}

static void random_integers_and_truth_are_possible(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    tegu_param param = random_param(unit, "w", TEGU_I32, 1000);
    param.std = 1e12; /* saturates */
    int32_t ints[1000];
    unsigned char truth[1000];
    assert_true(tegu_param_read(unit, &param, 0, 1000, ints));
    int negative = 0, yes = 0;
    for (int i = 0; i < 1000; i++)
        negative += ints[i] < 0;
    assert_in_range(negative, 400, 600);
    param = random_param(unit, "w", TEGU_BOOL, 1000);
    assert_true(tegu_param_read(unit, &param, 0, 1000, truth));
    for (int i = 0; i < 1000; i++)
        yes += truth[i];
    assert_in_range(yes, 400, 600);
    fixture_close(&f);
}

static void a_name_stands_for_one_parameter(void **state)
{
    (void)state;
    fixture f = fixture_open();
    tegu_unit *unit = empty_graph(&f)->unit;
    tegu_param param = random_param(unit, "w", TEGU_F32, 4);
    uint32_t first, second;
    assert_true(tegu_unit_add_param(unit, &param, &first));
    assert_true(tegu_unit_add_param(unit, &param, &second));
    assert_int_equal(first, second);
    assert_int_equal(unit->params.count, 1);
    param.type = tegu_unit_shape(unit, TEGU_F32, 1, (int64_t[]){5});
    assert_false(tegu_unit_add_param(unit, &param, &second));
    assert_message(&f, "parameter 'w' is f32[5] here and f32[1, 4] elsewhere");
    param = random_param(unit, "w", TEGU_F32, 4);
    param.transposed = true;
    assert_false(tegu_unit_add_param(unit, &param, &second));
    assert_message(&f, "parameter 'w' is transposed in one place");
    assert_null(tegu_unit_find_param(unit, "v"));
    fixture_close(&f);
}

/* --- binding --- */

static const char two_inputs[] =
    "unit t\naxis T in 1..512\naxis S in 2..8\n"
    "entry e(\"x\" : f32[T, 2], \"y\" : i32[2T+1, 3S]) core {\n"
    "%1 = input {name=\"x\"} : f32[T, 2]\n"
    "%2 = input {name=\"y\"} : i32[2T+1, 3S]\n"
    "%3 = concat %1, %1 {axis=0} : f32[2T, 2]\n"
    "return \"r\" %3\n}\n";

static void symbols_are_bound_from_shapes(void **state)
{
    (void)state;
    static const struct {
        tegu_tensor x, y;
        const char *message; /* NULL: T = 5, S = 4 */
    } rows[] = {
        {{TEGU_F32, 2, {5, 2}, NULL}, {TEGU_I32, 2, {11, 12}, NULL}, NULL},
        {{TEGU_I32, 2, {5, 2}, NULL},
         {TEGU_I32, 2, {11, 12}, NULL},
         "entry 'e' takes 'x' as f32[T, 2]; got i32 with 2 axes"},
        {{TEGU_F32, 1, {5}, NULL},
         {TEGU_I32, 2, {11, 12}, NULL},
         "entry 'e' takes 'x' as f32[T, 2]; got f32 with 1 axes"},
        {{TEGU_F32, 2, {5, 3}, NULL},
         {TEGU_I32, 2, {11, 12}, NULL},
         "entry 'e' takes 'x' as f32[T, 2]; axis 1 has extent 3"},
        {{TEGU_F32, 2, {0, 2}, NULL},
         {TEGU_I32, 2, {1, 12}, NULL},
         "entry 'e' takes 'x' as f32[T, 2]; axis 0 has extent 0, outside T in "
         "1..512"},
        {{TEGU_F32, 2, {513, 2}, NULL},
         {TEGU_I32, 2, {1, 12}, NULL},
         "entry 'e' takes 'x' as f32[T, 2]; axis 0 has extent 513, outside"},
        {{TEGU_F32, 2, {-1, 2}, NULL},
         {TEGU_I32, 2, {1, 12}, NULL},
         "entry 'e' takes 'x' as f32[T, 2]; axis 0 has extent -1"},
        {{TEGU_F32, 2, {5, 2}, NULL},
         {TEGU_I32, 2, {13, 12}, NULL},
         "entry 'e' takes 'y' as i32[2T+1, 3S]; axis 0 has extent 13, but T "
         "is 5 elsewhere"},
        {{TEGU_F32, 2, {5, 2}, NULL},
         {TEGU_I32, 2, {12, 12}, NULL},
         "entry 'e' takes 'y' as i32[2T+1, 3S]; axis 0 has extent 12"},
        {{TEGU_F32, 2, {5, 2}, NULL},
         {TEGU_I32, 2, {11, 3}, NULL},
         "entry 'e' takes 'y' as i32[2T+1, 3S]; axis 1 has extent 3, outside "
         "S in 2..8"},
    };
    fixture f = fixture_open();
    tegu_unit *unit = parse_good(&f, two_inputs);
    const tegu_entry *entry = &unit->entries.data[0];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t symbols[3] = {0};
        tegu_tensor inputs[] = {rows[i].x, rows[i].y};
        bool good = tegu_entry_bind(unit, entry, inputs, 2, symbols);
        assert_true(good == !rows[i].message);
        if (!good) {
            assert_message(&f, rows[i].message);
            continue;
        }
        assert_int_equal(symbols[1], 5);
        assert_int_equal(symbols[2], 4);
        tegu_tensor out;
        tegu_entry_output(unit, entry, 0, symbols, &out);
        assert_int_equal(out.dtype, TEGU_F32);
        assert_int_equal(out.rank, 2);
        assert_int_equal(out.dims[0], 10);
        assert_int_equal(tegu_tensor_elements(&out), 20);
        assert_false(tegu_entry_bind(unit, entry, inputs, 1, symbols));
        assert_message(&f, "entry 'e' takes 2 inputs, got 1");
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_types_share_one_address),
        cmocka_unit_test(an_axis_by_itself_keeps_its_name),
        cmocka_unit_test(dimensions_print_as_axes_and_value),
        cmocka_unit_test(products_stay_affine_or_are_refused),
        cmocka_unit_test(bounds_and_values_follow_the_symbol),
        cmocka_unit_test(element_counts_are_checked),
        cmocka_unit_test(dtypes_are_found_by_both_names),
        cmocka_unit_test(stored_types_convert_at_any_alignment),
        cmocka_unit_test(all_halves_convert_exactly),
        cmocka_unit_test(transposed_data_reads_in_logical_order),
        cmocka_unit_test(integers_and_truth_keep_their_types),
        cmocka_unit_test(unreadable_parameters_are_refused),
        cmocka_unit_test(random_values_do_not_depend_on_the_reading_order),
        cmocka_unit_test(random_values_are_normal),
        cmocka_unit_test(random_integers_and_truth_are_possible),
        cmocka_unit_test(a_name_stands_for_one_parameter),
        cmocka_unit_test(symbols_are_bound_from_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
