/* SPDX-License-Identifier: Apache-2.0 */
/* test_peft.c - adapters: layouts, what they do to a model, and what is
 * refused (tests/bad/adapters.def).
 *
 * Adapters are written to a fresh folder.  An adapted weight is evaluated by
 * the interpreter and held to sums written here from the papers' formulas.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "folder.h"
#include "frontend/frontend.h"
#include "frontend/peft.h"
#include "ir/ir.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char model_text[] =
    "model m\n"
    "axis heads = 3, head_dim = 2, dim = heads * head_dim, wide = 8\n"
    "axis vocab = 10, T in 1..4\n"
    "weights random(seed = 3, std = 0.5)\n"
    "block layer(i, x: f32[T, dim]) from \"model.layers.{i}.\" {\n"
    "  let q = linear(x, param \"self_attn.q_proj.weight\""
    " [heads * head_dim, dim] TRANSPOSED)\n"
    "  let u = linear(q as [T, dim], param \"mlp.up_proj.weight\" [wide, dim],"
    " param \"mlp.up_proj.bias\" [wide])\n"
    "  return x + linear(u, param \"mlp.down_proj.weight\" [dim, wide])\n"
    "}\n"
    "entry step(tokens: i32[T]) -> y: f32[T, vocab] {\n"
    "  let table = param \"model.embed_tokens.weight\" [vocab, dim]\n"
    "  let x = embed(tokens, table) * param \"model.norm.weight\" [dim]\n"
    "  return linear(repeat layer(0..2, x), table)\n"
    "}\n";

static tegu_unit *load_model(folder *f, bool transposed)
{
    const tegu_load_options options = {0};
    char text[sizeof model_text];
    memcpy(text, model_text, sizeof text);
    char *word = strstr(text, "TRANSPOSED");
    if (transposed)
        memcpy(word, "transposed", 10);
    else
        memset(word, ' ', 10);
    tegu_unit *unit = tegu_language_load(f->arena, f->diag, "m.tegu", text,
                                         strlen(text), &options);
    if (!unit)
        fail_msg("%s", folder_messages(f));
    return unit;
}

/* --- adapters on disk --- */

/* Values that repeat, none of them 0. */
static double value_of(const char *name, int64_t i)
{
    double x = sin((double)i * 1.7 + (double)strlen(name)) + 0.3;
    return (double)(float)(x == 0 ? 1 : x);
}

static uint16_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (uint16_t)(bits >> 16);
}

static void fill(tegu_stored_tensor *t, const char *given)
{
    int64_t count = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        count *= t->dims[i];
    size_t width = tegu_dtype_bytes(t->dtype);
    t->bytes = (size_t)count * width;
    unsigned char *data = calloc(t->bytes + 1, 1);
    for (int64_t i = 0; i < count; i++) {
        float x = (float)(given ? strtod(given, NULL) : value_of(t->name, i));
        uint16_t half = t->dtype == TEGU_BF16 ? bf16_of(x) : 0x3800;
        int64_t whole = (int64_t)x;
        memcpy(data + (size_t)i * width,
               width == 2   ? (const void *)&half
               : width == 8 ? (const void *)&whole
                            : (const void *)&x,
               width);
    }
    t->data = data;
}

/* "name DTYPE dims [= fill]" */
static tegu_stored_tensor read_line(folder *f, const char *line, size_t length)
{
    char *copy = tegu_format(f->arena, "%.*s", (int)length, line);
    char *equals = strstr(copy, " = ");
    char name[200], dtype[20];
    int used = 0;
    tegu_stored_tensor t = {0};
    if (equals)
        *equals = 0;
    assert_int_equal(sscanf(copy, "%199s %19s%n", name, dtype, &used), 2);
    for (char *at = copy + used; *at;) {
        char *end;
        int64_t n = strtoll(at + 1, &end, 10);
        if (end == at + 1)
            break;
        t.dims[t.rank++] = n;
        at = end;
    }
    t.name = tegu_format(f->arena, "%s", name);
    t.dtype_text = tegu_format(f->arena, "%s", dtype);
    t.dtype = tegu_dtype_find_safetensors(dtype, strlen(dtype));
    fill(&t, equals ? equals + 3 : NULL);
    return t;
}

static void write_tensors(folder *f, const char *name, const char *lines,
                          const char *const *metadata, uint32_t count)
{
    TEGU_VEC(tegu_stored_tensor) tensors = {0};
    const char *error = "";
    while (*lines) {
        size_t length = strcspn(lines, "\n");
        tegu_vec_push(f->arena, &tensors, read_line(f, lines, length));
        lines += length + (lines[length] == '\n');
    }
    tegu_outputs *outputs = tegu_outputs_create(f->arena);
    if (!tegu_safetensors_write(f->arena, outputs, folder_file(f, name),
                                tensors.data, tensors.count, metadata, count,
                                &error) ||
        !tegu_outputs_commit(outputs, &error))
        fail_msg("%s", error);
    tegu_outputs_destroy(outputs);
    for (uint32_t i = 0; i < tensors.count; i++)
        free((void *)(uintptr_t)tensors.data[i].data);
}

/* Writes an adapter; config NULL: a bare file.  Gives its path. */
static const char *put_adapter(folder *f, const char *config, const char *lines)
{
    if (!config) {
        write_tensors(f, "bare.safetensors", lines, NULL, 0);
        return folder_file(f, "bare.safetensors");
    }
    folder_put(f, "adapter_config.json", config);
    write_tensors(f, "adapter_model.safetensors", lines, NULL, 0);
    return f->path;
}

static bool apply_as(folder *f, tegu_unit *unit, const char *path,
                     const tegu_adapter_options *options, double weight,
                     bool apart)
{
    static const tegu_adapter_options plain = {.ramp = -1};
    tegu_adapter *a =
        tegu_adapter_open(f->arena, f->diag, path, options ? options : &plain);
    bool ok = a && tegu_adapter_apply(unit, a, weight, apart);
    if (a)
        tegu_adapter_close(a);
    return ok;
}

static bool apply(folder *f, tegu_unit *unit, const char *path,
                  const tegu_adapter_options *options, double weight)
{
    return apply_as(f, unit, path, options, weight, false);
}

static void apply_good(folder *f, tegu_unit *unit, const char *config,
                       const char *lines)
{
    if (!apply(f, unit, put_adapter(f, config, lines), NULL, 1))
        fail_msg("%s", folder_messages(f));
    assert_true(tegu_unit_verify(unit));
}

/* --- what became of a weight --- */

/* Operand 1 of the nth op of this kind that is, or adapts, the parameter. */
static tegu_value find_weight(const tegu_unit *unit, tegu_op op,
                              const char *name)
{
    const tegu_graph *g = unit->entries.data[0].graph;
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (node->op != op)
            continue;
        tegu_value w = node->inputs[1];
        const tegu_node *at = tegu_graph_node(g, w);
        while (at->op != TEGU_OP_PARAM)
            at = tegu_graph_node(g, at->inputs[0]);
        if (strcmp(tegu_node_text(at, "name"), name) == 0)
            return w;
    }
    return 0;
}

static float *evaluate(folder *f, const tegu_unit *unit, tegu_value v)
{
    const tegu_graph *g = unit->entries.data[0].graph;
    assert_true(v != 0);
    int64_t count = tegu_type_elements(tegu_graph_type(g, v));
    float *out = TEGU_ARRAY(f->arena, float, (size_t)count);
    assert_true(tegu_interp_constant(g, v, f->arena, out));
    return out;
}

static float *base_of(folder *f, const tegu_unit *unit, const char *name)
{
    const tegu_param *param =
        tegu_unit_find_param((tegu_unit *)(uintptr_t)unit, name);
    int64_t count = tegu_type_elements(param->type);
    float *out = TEGU_ARRAY(f->arena, float, (size_t)count);
    assert_true(tegu_param_read(unit, param, 0, count, out));
    return out;
}

#define M "base_model.model.model."
#define Q M "layers.0.self_attn.q_proj."
#define UP M "layers.0.mlp.up_proj."
#define QW "model.layers.0.self_attn.q_proj.weight"
#define UPW "model.layers.0.mlp.up_proj.weight"
#define TABLE "model.embed_tokens.weight"
#define CONFIG(type, targets, more)                                            \
    "{\"peft_type\": \"" type "\", \"r\": 2, \"lora_alpha\": 4, "              \
    "\"target_modules\": " targets ", \"layers_to_transform\": 0" more "}"
#define PAIR Q "lora_A.weight F32 2,6\n" Q "lora_B.weight F32 6,2\n"

/* w + scale b a with the values that the file holds. */
static void check_pair(folder *f, const tegu_unit *unit, tegu_value v,
                       const char *weight, double scale)
{
    float *got = evaluate(f, unit, v), *base = base_of(f, unit, weight);
    for (int n = 0; n < 6; n++)
        for (int k = 0; k < 6; k++) {
            double sum = 0;
            for (int j = 0; j < 2; j++)
                sum += value_of(Q "lora_B.weight", n * 2 + j) *
                       value_of(Q "lora_A.weight", j * 6 + k);
            double want = (double)base[n * 6 + k] + scale * sum;
            assert_true(fabs((double)got[n * 6 + k] - want) < 1e-5);
        }
}

static void check_single(folder *f, const tegu_unit *unit, const char *weight,
                         const char *tensor, int rows, int columns,
                         double scale)
{
    float *got = evaluate(f, unit, find_weight(unit, TEGU_OP_LINEAR, weight));
    float *base = base_of(f, unit, weight);
    for (int n = 0; n < rows; n++)
        for (int k = 0; k < columns; k++) {
            double sum = 0;
            for (int j = 0; j < 2; j++)
                sum +=
                    value_of(tensor, n * 2 + j) * value_of(tensor, k * 2 + j);
            double want = (double)base[n * columns + k] + scale * sum;
            assert_true(fabs((double)got[n * columns + k] - want) < 1e-5);
        }
}

/* --- layouts --- */

static void a_peft_pair_adds_alpha_over_r_b_a(void **state)
{
    folder *f = *state;
    for (int transposed = 0; transposed < 2; transposed++) {
        tegu_unit *unit = load_model(f, transposed != 0);
        apply_good(f, unit, CONFIG("LORA", "[\"q_proj\"]", ""), PAIR);
        check_pair(f, unit, find_weight(unit, TEGU_OP_LINEAR, QW), QW, 2);
        tegu_unit_destroy(unit);
    }
}

static void rslora_divides_by_the_root(void **state)
{
    folder *f = *state;
    tegu_unit *unit = load_model(f, false);
    apply_good(f, unit,
               CONFIG("LORA", "[\"q_proj\"]", ", \"use_rslora\": true"), PAIR);
    check_pair(f, unit, find_weight(unit, TEGU_OP_LINEAR, QW), QW, 4 / sqrt(2));
    tegu_unit_destroy(unit);
}

static void adapters_add_up_with_their_weights(void **state)
{
    folder *f = *state;
    tegu_unit *unit = load_model(f, false);
    const char *path = put_adapter(f, CONFIG("LORA", "[\"q_proj\"]", ""), PAIR);
    assert_true(apply(f, unit, path, NULL, -0.5));
    write_tensors(f, "bare.safetensors", PAIR,
                  (const char *const[]){"alpha", "6", "rank", "2"}, 4);
    assert_true(apply(f, unit, folder_file(f, "bare.safetensors"), NULL, 1));
    check_pair(f, unit, find_weight(unit, TEGU_OP_LINEAR, QW), QW, 3 - 1);
    assert_false(apply(f, unit, path, NULL, 1));
    assert_non_null(strstr(folder_messages(f), "the adapter is given twice"));
    tegu_unit_destroy(unit);
}

static void singlora_is_found_in_every_layout(void **state)
{
    folder *f = *state;
    static const struct {
        const char *config, *ending, *more;
        double scale;
        const char *warning;
    } rows[] = {
        /* the PEFT port: LORA, lora_A alone, step dropped on saving */
        {CONFIG("LORA", "[\"up_proj\"]", ", \"use_rslora\": false"), "lora_A",
         "", 2,
         "the ramp's step is not stored; taken as done, u = 1; "
         "--singlora-ramp"},
        {CONFIG("LORA", "[\"up_proj\"]",
                ", \"use_rslora\": true, \"ramp_up_steps\": 20"),
         "lora_A", UP "training_step_default F32 1 = 5\n", 0.70710678118654752,
         NULL},
        {CONFIG("LORA", "[\"up_proj\"]", ", \"singlora_ramp\": 1"), "lora_A",
         "", 2, "taken as alpha / r; --singlora-scale"},
        /* our own */
        {CONFIG("SINGLORA", "[\"up_proj\"]", ", \"singlora_ramp\": 0.25"),
         "singlora_A.weight", "", 0.5, NULL},
        {CONFIG("SINGLORA", "[\"up_proj\"]",
                ", \"use_rslora\": true, \"singlora_ramp\": 1"),
         "singlora_A.weight", "", 2.8284271247461901, NULL},
        /* bare files: alpha is taken as r */
        {NULL, "A", UP "training_step I64 1 = 2000\n", 1,
         "the file does not state alpha"},
        {NULL, "lora_A", UP "training_step I64 1 = 500\n", 0.70710678118654752,
         "taken as alpha / sqrt(r)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tegu_unit *unit = load_model(f, false);
        const char *tensor = tegu_format(f->arena, UP "%s", rows[i].ending);
        const char *lines =
            tegu_format(f->arena, "%s F32 8,2\n%s", tensor, rows[i].more);
        tegu_diag_clear(f->diag);
        apply_good(f, unit, rows[i].config, lines);
        check_single(f, unit, UPW, tensor, 8, 6, rows[i].scale);
        const char *messages = folder_messages(f);
        if (rows[i].warning && !strstr(messages, rows[i].warning))
            fail_msg("row %zu: %s", i, messages);
        if (!rows[i].warning)
            assert_string_equal(messages, "");
        tegu_unit_destroy(unit);
    }
}

static void options_decide_what_a_file_leaves_open(void **state)
{
    folder *f = *state;
    const tegu_adapter_options options = {
        .scale = TEGU_SCALE_SQRT, .ramp = 0.5, .alpha = 6};
    tegu_unit *unit = load_model(f, false);
    const char *path = put_adapter(f, NULL, UP "lora_A F32 8,2\n");
    assert_true(apply(f, unit, path, &options, 1));
    assert_string_equal(folder_messages(f), "");
    check_single(f, unit, UPW, UP "lora_A", 8, 6, 3 / sqrt(2));
    tegu_unit_destroy(unit);
}

static void a_ramp_of_0_said_explicitly_changes_nothing(void **state)
{
    folder *f = *state;
    const tegu_adapter_options options = {.ramp = 0, .alpha = 2};
    tegu_unit *unit = load_model(f, false);
    const char *path = put_adapter(f, NULL, UP "A F32 8,2\n");
    assert_true(apply(f, unit, path, &options, 1));
    check_single(f, unit, UPW, UP "A", 8, 6, 0);
    tegu_unit_destroy(unit);
}

static void a_copy_of_the_base_is_accepted_when_it_is_the_base(void **state)
{
    folder *f = *state;
    tegu_unit *unit = load_model(f, false);
    const char *layer = "model.layers.0.self_attn.q_proj";
    float *base = base_of(f, unit, QW);
    tegu_stored_tensor tensors[] = {
        {.name = tegu_format(f->arena, "%s.A", layer),
         .dtype_text = "F32",
         .rank = 2,
         .dims = {6, 2},
         .data = (const unsigned char *)base,
         .bytes = 48},
        {.name = tegu_format(f->arena, "%s.original_layer.weight", layer),
         .dtype_text = "F32",
         .rank = 2,
         .dims = {6, 6},
         .data = (const unsigned char *)base,
         .bytes = 144}};
    const char *error;
    tegu_outputs *outputs = tegu_outputs_create(f->arena);
    const char *path = folder_file(f, "kye.safetensors");
    assert_true(tegu_safetensors_write(f->arena, outputs, path, tensors, 2,
                                       NULL, 0, &error));
    assert_true(tegu_outputs_commit(outputs, &error));
    tegu_outputs_destroy(outputs);
    if (!apply(f, unit, path, NULL, 1))
        fail_msg("%s", folder_messages(f));
    tegu_unit_destroy(unit);
}

/* --- sides of a tied weight, replacements --- */

static void an_embedding_adapter_leaves_the_tied_head(void **state)
{
    folder *f = *state;
    tegu_unit *unit = load_model(f, false);
    const char *a = M "embed_tokens.lora_embedding_A";
    const char *b = M "embed_tokens.lora_embedding_B";
    apply_good(f, unit,
               "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, "
               "\"target_modules\": [\"embed_tokens\"]}",
               M "embed_tokens.lora_embedding_A F32 2,10\n" M
                 "embed_tokens.lora_embedding_B F32 6,2\n");
    tegu_value head = find_weight(unit, TEGU_OP_LINEAR, TABLE);
    const tegu_graph *g = unit->entries.data[0].graph;
    assert_int_equal(tegu_graph_node(g, head)->op, TEGU_OP_PARAM);
    float *got = evaluate(f, unit, find_weight(unit, TEGU_OP_EMBED, TABLE));
    float *base = base_of(f, unit, TABLE);
    for (int n = 0; n < 10; n++)
        for (int d = 0; d < 6; d++) {
            double sum = 0;
            for (int j = 0; j < 2; j++)
                sum += value_of(b, d * 2 + j) * value_of(a, j * 10 + n);
            double want = (double)base[n * 6 + d] + 2 * sum;
            assert_true(fabs((double)got[n * 6 + d] - want) < 1e-5);
        }
    tegu_unit_destroy(unit);
}

static void a_head_adapter_leaves_the_tied_embedding(void **state)
{
    folder *f = *state;
    tegu_unit *unit = load_model(f, false);
    apply_good(f, unit,
               "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, "
               "\"target_modules\": [\"lm_head\"]}",
               "base_model.model.lm_head.lora_A.weight F32 2,6\n"
               "base_model.model.lm_head.lora_B.weight F32 10,2\n");
    const tegu_graph *g = unit->entries.data[0].graph;
    tegu_value head = find_weight(unit, TEGU_OP_LINEAR, TABLE);
    tegu_value table = find_weight(unit, TEGU_OP_EMBED, TABLE);
    assert_int_equal(tegu_graph_node(g, head)->op, TEGU_OP_LORA);
    assert_int_equal(tegu_graph_node(g, table)->op, TEGU_OP_PARAM);
    tegu_unit_destroy(unit);
}

static void saved_modules_and_biases_replace_what_is_there(void **state)
{
    folder *f = *state;
    tegu_unit *unit = load_model(f, false);
    apply_good(f, unit,
               CONFIG("LORA", "[\"q_proj\"]",
                      ", \"bias\": \"all\", \"modules_to_save\": "
                      "[\"norm\", \"lm_head\"]"),
               PAIR UP "bias F32 8\n" M "norm.weight F32 6\n"
                       "base_model.model.lm_head.weight F32 10,6\n");
    float *bias = base_of(f, unit, "model.layers.0.mlp.up_proj.bias");
    float *norm = base_of(f, unit, "model.norm.weight");
    assert_true((double)bias[5] == value_of(UP "bias", 5));
    assert_true((double)norm[3] == value_of(M "norm.weight", 3));
    const tegu_graph *g = unit->entries.data[0].graph;
    tegu_value table = find_weight(unit, TEGU_OP_EMBED, TABLE);
    assert_true(table != 0);
    assert_true(find_weight(unit, TEGU_OP_LINEAR, TABLE) == 0);
    tegu_value y = g->results.data[0].value;
    float *head = evaluate(f, unit, tegu_graph_node(g, y)->inputs[1]);
    assert_true((double)head[7] ==
                value_of("base_model.model.lm_head.weight", 7));
    tegu_unit_destroy(unit);
}

static void dora_sets_the_rows_lengths(void **state)
{
    folder *f = *state;
    tegu_unit *unit = load_model(f, false);
    apply_good(f, unit, CONFIG("LORA", "[\"q_proj\"]", ", \"use_dora\": true"),
               PAIR Q "lora_magnitude_vector F32 6\n");
    float *got = evaluate(f, unit, find_weight(unit, TEGU_OP_LINEAR, QW));
    for (int n = 0; n < 6; n++) {
        double square = 0;
        for (int k = 0; k < 6; k++)
            square += (double)got[n * 6 + k] * (double)got[n * 6 + k];
        double want = fabs(value_of(Q "lora_magnitude_vector", n));
        assert_true(fabs(sqrt(square) - want) < 1e-5);
    }
    tegu_unit_destroy(unit);
}

/* --- adapters apart --- */

static void an_adapter_apart_is_one_of_the_units_own(void **state)
{
    static const char *const files[] = {"1st tone.v2.safetensors",
                                        "A1st_tone.safetensors",
                                        "a1st_tone_bytes.safetensors"};
    static const char *const names[] = {"a1st_tone", "A1st_tone_2",
                                        "a1st_tone_bytes_2"};
    folder *f = *state;
    tegu_unit *unit = load_model(f, false);
    for (uint32_t i = 0; i < 3; i++) {
        write_tensors(f, files[i], PAIR,
                      (const char *const[]){"alpha", "6", "rank", "2"}, 4);
        assert_true(
            apply_as(f, unit, folder_file(f, files[i]), NULL, 0.5, true));
        const tegu_unit_adapter *a = &unit->adapters.data[i + 1];
        assert_string_equal(a->name, names[i]);
        assert_true(a->scale == 0.5);
        const tegu_param *param = tegu_unit_find_param(
            unit, tegu_format(f->arena, "%s:%slora_A.weight", names[i], Q));
        assert_non_null(param);
        assert_int_equal(param->adapter, i + 1);
    }
    assert_int_equal(unit->adapters.count, 4);
    tegu_unit_destroy(unit);
}

static void what_cannot_be_switched_is_not_kept_apart(void **state)
{
    static const struct {
        const char *config, *lines, *message;
    } rows[] = {
        {CONFIG("LORA", "[\"q_proj\"]", ", \"bias\": \"all\""),
         PAIR UP "bias F32 8\n", "cannot be switched: fold the adapter"},
        {CONFIG("LORA", "[\"q_proj\"]", ", \"modules_to_save\": [\"norm\"]"),
         PAIR M "norm.weight F32 6\n", "cannot be switched: fold the adapter"},
        {CONFIG("LORA", "[\"q_proj\"]", ", \"use_dora\": true"),
         PAIR Q "lora_magnitude_vector F32 6\n",
         "cannot be switched, only folded"},
    };
    folder *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tegu_unit *unit = load_model(f, false);
        const char *path = put_adapter(f, rows[i].config, rows[i].lines);
        assert_false(apply_as(f, unit, path, NULL, 1, true));
        assert_non_null(strstr(folder_messages(f), rows[i].message));
        tegu_unit_destroy(unit);
    }
}

/* --- GGUF --- */

typedef struct bytes {
    unsigned char data[4096];
    size_t size;
} bytes;

static void put(bytes *b, const void *data, size_t size)
{
    assert_true(b->size + size <= sizeof b->data);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_number(bytes *b, uint64_t value, size_t size)
{
    put(b, &value, size);
}

static void put_text(bytes *b, const char *text)
{
    put_number(b, strlen(text), 8);
    put(b, text, strlen(text));
}

static void put_string_key(bytes *b, const char *key, const char *value)
{
    put_text(b, key);
    put_number(b, 8, 4);
    put_text(b, value);
}

static void put_info(bytes *b, const char *name, uint64_t fast, uint64_t slow,
                     uint64_t offset)
{
    put_text(b, name);
    put_number(b, 2, 4);
    put_number(b, fast, 8);
    put_number(b, slow, 8);
    put_number(b, 0, 4);
    put_number(b, offset, 8);
}

enum { A_BYTES = 2 * 6 * 4, A_ROOM = 64 };

/* An adapter of q_proj with B's rows in GGUF's order. */
static void make_gguf(bytes *b)
{
    float alpha = 4, matrix[12];
    *b = (bytes){.size = 0};
    put(b, "GGUF", 4);
    put_number(b, 3, 4);
    put_number(b, 2, 8);
    put_number(b, 4, 8);
    put_string_key(b, "general.type", "adapter");
    put_string_key(b, "general.architecture", "llama");
    put_string_key(b, "adapter.type", "lora");
    put_text(b, "adapter.lora.alpha");
    put_number(b, 6, 4);
    put(b, &alpha, 4);
    put_info(b, "blk.0.attn_q.weight.lora_a", 6, 2, 0);
    put_info(b, "blk.0.attn_q.weight.lora_b", 2, 6, A_ROOM);
    while (b->size % 32)
        put_number(b, 0, 1);
    for (int i = 0; i < 12; i++)
        matrix[i] = (float)value_of(Q "lora_A.weight", i);
    put(b, matrix, sizeof matrix);
    while (b->size % 32)
        put_number(b, 0, 1);
    /* Heads of 2 rows: (j, p) of (1, 2) and back is the same order; the model
     * below has one head of 6 where they differ. */
    for (int row = 0; row < 6; row++)
        for (int j = 0; j < 2; j++) {
            int plain = row % 2 * 3 + row / 2; /* p * d/2 + j of 2j + p */
            matrix[row * 2 + j] =
                (float)value_of(Q "lora_B.weight", plain * 2 + j);
        }
    put(b, matrix, sizeof matrix);
}

static const char *put_gguf(folder *f, const bytes *b)
{
    const char *path = folder_file(f, "adapter.gguf");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(b->data, 1, b->size, file), b->size);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void gguf_rows_of_q_are_put_back_in_order(void **state)
{
    folder *f = *state;
    bytes b;
    static const tegu_define one[] = {{"heads", "1"}, {"head_dim", "6"}};
    const tegu_load_options options = {.defines = one, .define_count = 2};
    char text[sizeof model_text];
    memcpy(text, model_text, sizeof text);
    memset(strstr(text, "TRANSPOSED"), ' ', 10);
    tegu_unit *unit = tegu_language_load(f->arena, f->diag, "m.tegu", text,
                                         strlen(text), &options);
    assert_non_null(unit);
    make_gguf(&b);
    if (!apply(f, unit, put_gguf(f, &b), NULL, 1))
        fail_msg("%s", folder_messages(f));
    check_pair(f, unit, find_weight(unit, TEGU_OP_LINEAR, QW), QW, 2);
    tegu_unit_destroy(unit);
}

static void every_cut_of_a_gguf_file_is_refused(void **state)
{
    folder *f = *state;
    bytes b;
    make_gguf(&b);
    const tegu_adapter_options options = {.ramp = -1};
    for (size_t size = b.size; size-- > 0;) {
        bytes cut = b;
        cut.size = size;
        tegu_diag_clear(f->diag);
        assert_null(
            tegu_adapter_open(f->arena, f->diag, put_gguf(f, &cut), &options));
        assert_true(tegu_diag_errors(f->diag) > 0);
    }
}

static void put_at(bytes *b, size_t at, uint64_t value, size_t size)
{
    memcpy(b->data + at, &value, size);
}

static size_t place_of(const bytes *b, const char *text)
{
    for (size_t i = 0; i + strlen(text) <= b->size; i++)
        if (memcmp(b->data + i, text, strlen(text)) == 0)
            return i;
    fail();
    return 0;
}

static void broken_gguf_files_say_what_is_wrong(void **state)
{
    folder *f = *state;
    static const struct {
        const char *where; /* text in the file; the value follows `by` bytes
                              from its start */
        long by;
        uint64_t value;
        size_t size;
        const char *message;
    } rows[] = {
        {"GGUF", 0, 0x46554747 + 1, 4, "the magic is missing"},
        {"GGUF", 4, 1, 4, "is GGUF version 1; 2 and 3 can be read"},
        {"GGUF", 4, 0x03000000, 4, "(big-endian?)"},
        {"GGUF", 8, UINT64_MAX, 8, "do not fit the file"},
        {"GGUF", 16, UINT64_MAX, 8, "the file ends inside its header"},
        {"general.type", -8, UINT64_MAX, 8, "the file ends inside its header"},
        {"general.type", -8, 0, 8, "a key has 0 bytes"},
        {"general.type", 12, 99, 4, "unknown value type 99"},
        {"general.type", 12, 9, 4, "the file ends inside its header"},
        {"blk.0.attn_q.weight.lora_a", 26, 5, 4, "has 5 dimensions"},
        {"blk.0.attn_q.weight.lora_a", 30, UINT64_MAX, 8, "overflows"},
        {"blk.0.attn_q.weight.lora_a", 30, 1u << 30, 8,
         "reaches past the end of the file"},
        {"blk.0.attn_q.weight.lora_a", 25, 'b', 1, "is there twice"},
        {"blk.0.attn_q.weight.lora_a", 46, 2, 4, "holds GGUF type 2"},
        {"blk.0.attn_q.weight.lora_b", 50, 32, 8, "lies at 32, not at 64"},
        {"blk.0.attn_q.weight.lora_a", 6, 'x', 1, "is no tensor of an adapter"},
        {"adapter.type", 24, 'x', 1, "adapter.type is not 'lora'"},
        {"general.architecture", 32, 'x', 1,
         "general.architecture is not 'llama'"},
    };
    const tegu_adapter_options options = {.ramp = -1};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bytes b;
        make_gguf(&b);
        put_at(&b, (size_t)((long)place_of(&b, rows[i].where) + rows[i].by),
               rows[i].value, rows[i].size);
        tegu_diag_clear(f->diag);
        assert_null(
            tegu_adapter_open(f->arena, f->diag, put_gguf(f, &b), &options));
        if (!strstr(folder_messages(f), rows[i].message))
            fail_msg("row %zu: %s", i, folder_messages(f));
    }
}

/* --- what is refused --- */

static void pickle_is_refused_with_the_reason(void **state)
{
    folder *f = *state;
    const tegu_adapter_options options = {.ramp = -1};
    folder_put(f, "adapter_config.json", CONFIG("LORA", "[\"q_proj\"]", ""));
    folder_put(f, "adapter_model.bin", "\x80\x02");
    assert_null(tegu_adapter_open(f->arena, f->diag, f->path, &options));
    assert_non_null(strstr(folder_messages(f), "runs code when it is read"));
    assert_int_equal(tegu_diag_exit_code(f->diag), 69);
}

static void a_missing_adapter_or_config_is_said(void **state)
{
    folder *f = *state;
    const tegu_adapter_options options = {.ramp = -1};
    assert_null(tegu_adapter_open(f->arena, f->diag, folder_file(f, "nothing"),
                                  &options));
    assert_non_null(strstr(folder_messages(f), "adapter does not exist"));
    tegu_diag_clear(f->diag);
    write_tensors(f, "adapter_model.safetensors", PAIR, NULL, 0);
    assert_null(tegu_adapter_open(f->arena, f->diag, f->path, &options));
    assert_non_null(strstr(folder_messages(f),
                           "adapter_config.json is missing; its rank and "
                           "alpha cannot be known"));
}

static void weights_that_scale_nothing_are_refused(void **state)
{
    folder *f = *state;
    static const double weights[] = {0, NAN, INFINITY, 1e30};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        tegu_unit *unit = load_model(f, false);
        tegu_diag_clear(f->diag);
        const char *path =
            put_adapter(f, CONFIG("LORA", "[\"q_proj\"]", ""), PAIR);
        assert_false(apply(f, unit, path, NULL, weights[i]));
        assert_non_null(strstr(folder_messages(f), "is not possible"));
        tegu_unit_destroy(unit);
    }
}

#undef M
#undef Q
#undef UP
#undef CONFIG
#undef PAIR

typedef struct bad_row {
    const char *what;
    tegu_diag_id id; /* TEGU_DIAG_COUNT: a good one */
    const char *message, *config, *tensors;
} bad_row;

static const bad_row bad_rows[] = {
#define TEGU_BAD_ADAPTER(what, id, message, config, tensors)                   \
    {what, TEGU_##id, message, config, tensors},
#define TEGU_GOOD_ADAPTER(what, config, tensors)                               \
    {what, TEGU_DIAG_COUNT, "", config, tensors},
#include "tests/bad/adapters.def"
};

static void check_row(folder *f, const bad_row *row)
{
    tegu_unit *unit = load_model(f, false);
    uint32_t count;
    tegu_diag_clear(f->diag);
    bool ok =
        apply(f, unit, put_adapter(f, row->config, row->tensors), NULL, 1);
    const tegu_message *messages = tegu_diag_messages(f->diag, &count);
    uint32_t first = 0;
    while (first < count && messages[first].severity != TEGU_ERROR)
        first++;
    if (ok != (row->id == TEGU_DIAG_COUNT))
        fail_msg("%s: %s", row->what, folder_messages(f));
    if (!ok && (first == count || messages[first].id != row->id ||
                !strstr(messages[first].text, row->message)))
        fail_msg("%s: %s", row->what, folder_messages(f));
    tegu_unit_destroy(unit);
}

static void bad_adapters_are_refused_in_the_users_words(void **state)
{
    size_t bad = 0;
    for (size_t i = 0; i < sizeof bad_rows / sizeof *bad_rows; i++) {
        check_row(*state, &bad_rows[i]);
        bad += bad_rows[i].id != TEGU_DIAG_COUNT;
    }
    print_message("%zu bad adapters\n", bad);
    assert_true(bad >= 40);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, folder_create, folder_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_peft_pair_adds_alpha_over_r_b_a),
        TEST(rslora_divides_by_the_root),
        TEST(adapters_add_up_with_their_weights),
        TEST(singlora_is_found_in_every_layout),
        TEST(options_decide_what_a_file_leaves_open),
        TEST(a_ramp_of_0_said_explicitly_changes_nothing),
        TEST(a_copy_of_the_base_is_accepted_when_it_is_the_base),
        TEST(an_embedding_adapter_leaves_the_tied_head),
        TEST(a_head_adapter_leaves_the_tied_embedding),
        TEST(saved_modules_and_biases_replace_what_is_there),
        TEST(dora_sets_the_rows_lengths),
        TEST(an_adapter_apart_is_one_of_the_units_own),
        TEST(what_cannot_be_switched_is_not_kept_apart),
        TEST(gguf_rows_of_q_are_put_back_in_order),
        TEST(every_cut_of_a_gguf_file_is_refused),
        TEST(broken_gguf_files_say_what_is_wrong),
        TEST(pickle_is_refused_with_the_reason),
        TEST(a_missing_adapter_or_config_is_said),
        TEST(weights_that_scale_nothing_are_refused),
        TEST(bad_adapters_are_refused_in_the_users_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
