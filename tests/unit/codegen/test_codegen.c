/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_codegen.c - whole compiled models: agreement with the interpreter,
 * what is in the object, the header, and an application (abi_client.c) linked
 * with cc here and with the cross compiler for AArch64.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/frontend.h"
#include "tests/unit/codegen/model.h"

/* A Llama of two layers; 8 components per head, a vocabulary that is no
 * multiple of any panel. */
static const char source[] =
    "model tiny\n"
    "axis layers = 2, dim = 32, heads = 4, kv_heads = 2\n"
    "axis head_dim = dim / heads, hidden = 44, vocab = 50, context = 40\n"
    "axis T in 1..context\n"
    "weights random(seed = 5, std = 0.2)\n"
    "block layer(i, x: f32[T, dim]) from \"l.{i}.\" {\n"
    "  state keys: append f32[context, kv_heads, head_dim]\n"
    "  state values: append f32[context, kv_heads, head_dim]\n"
    "  let h = rms_norm(x, param \"n\" [dim], eps = 1e-5)\n"
    "  let q = split(linear(h, param \"q\" [heads * head_dim, dim]), heads)\n"
    "  let k = split(linear(h, param \"k\" [kv_heads * head_dim, dim]), "
    "kv_heads)\n"
    "  let v = split(linear(h, param \"v\" [kv_heads * head_dim, dim]), "
    "kv_heads)\n"
    "  let a = attention(rope(q, position(), theta = 10000.0),\n"
    "                    append(keys, rope(k, position(), theta = 10000.0)),\n"
    "                    append(values, v), position(), causal = true)\n"
    "  let y = x + linear(merge(a), param \"o\" [dim, heads * head_dim])\n"
    "  let g = rms_norm(y, param \"m\" [dim], eps = 1e-5)\n"
    "  let m = swiglu(linear(g, param \"g\" [hidden, dim]),\n"
    "                 linear(g, param \"u\" [hidden, dim]))\n"
    "  return y + linear(m, param \"d\" [dim, hidden])\n"
    "}\n"
    "entry step(tokens: i32[T]) -> logits: f32[T, vocab] {\n"
    "  let x = embed(tokens, param \"e\" [vocab, dim])\n"
    "  let y = repeat layer(0..layers, x)\n"
    "  return linear(rms_norm(y, param \"f\" [dim]), param \"h\" [vocab, "
    "dim])\n"
    "}\n"
    "entry sizes(x: f32[T, 3]) -> (n: i32[], b: bool[T]) {\n"
    "  let s = sum(x, axis = 1)\n"
    "  return size(x, 0), s < 0.5\n"
    "}\n";

enum { T = 7, VOCAB = 50 };
static const int32_t tokens[T] = {3, 49, 0, 17, 17, 1000000, -5};

typedef struct fixture {
    char directory[64];
} fixture;

static char *path_of(const fixture *f, const char *name, char *path)
{
    sprintf(path, "%s/%s", f->directory, name);
    return path;
}

static void write_file(const fixture *f, const char *name, const void *data,
                       size_t size)
{
    char path[128];
    FILE *file = fopen(path_of(f, name, path), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    strcpy(f->directory, "/tmp/tegu-codegen-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    write_file(f, "tiny.tegu", source, strlen(source));
    *state = f;
    return 0;
}

static int run(const char *format, const char *a, const char *b, const char *c)
{
    char command[1024];
    snprintf(command, sizeof command, format, a, b, c);
    return system(command);
}

static int tear_down(void **state)
{
    fixture *f = *state;
    run("rm -r %s", f->directory, "", "");
    free(f);
    return 0;
}

static bool has_program(const char *name)
{
    return run("command -v %s >/dev/null 2>&1", name, "", "") == 0;
}

/* The model at kernel level, ready to be compiled. */
static numeric_model load_tiny(const fixture *f, const char *pipeline)
{
    char path[128];
    numeric_model m = {.arena = tegu_arena_create(), .calls = 1};
    tegu_load_options options = {0};
    m.diag = tegu_diag_create(m.arena);
    m.unit =
        tegu_load(m.arena, m.diag, path_of(f, "tiny.tegu", path), &options);
    if (!m.unit)
        tegu_diag_render(m.diag, stderr, false);
    assert_non_null(m.unit);
    m.symbols = TEGU_ARRAY(m.arena, int64_t, m.unit->axes.count);
    m.symbols[tegu_unit_find_axis(m.unit, "T")] = T;
    m.inputs[0] = (tegu_tensor){
        .dtype = TEGU_I32, .rank = 1, .dims = {T}, .data = (void *)tokens};
    model_run_passes(&m, pipeline);
    return m;
}

/* ---- values ---- */

static void tiny_agrees(void **state, const char *pipeline, int level)
{
    numeric_model m = load_tiny(*state, pipeline);
    numeric_tally tally = {0};
    numeric_mismatch mismatch;
    tegu_artifact *a = model_compile(&m, NULL, level, false);
    tegu_executor *jit = tegu_jit_create(m.unit, m.arena, a, NULL);
    assert_non_null(jit);
    m.calls = 5;
    assert_true(numeric_agrees(&m, jit, &tally, &mismatch));
    assert_int_equal(jit->position(jit->self), 5 * T);
    jit->destroy(jit->self);
    numeric_destroy(&m);
}

static void a_small_llama_agrees_with_the_interpreter(void **state)
{
    tiny_agrees(state, "-O2", 2);
    tiny_agrees(state, "-O1", 1);
}

static void attention_by_its_definition_agrees_too(void **state)
{
    tiny_agrees(state, "-O0", 0);
    tiny_agrees(state, "legalise{native=false},cse,fuse,plan-memory", 2);
}

static void equal_layers_share_their_kernels(void **state)
{
    numeric_model m = load_tiny(*state, "-O2");
    tegu_artifact *a = model_compile(&m, NULL, 2, false);
    uint32_t calls = 0;
    for (uint32_t i = 0; i < m.unit->entries.count; i++) {
        const tegu_graph *g = m.unit->entries.data[i].graph;
        for (tegu_value v = 1; v < g->nodes.count; v++)
            calls += tegu_graph_node(g, v)->op == TEGU_OP_KERNEL;
    }
    assert_true(a->kernel_count < calls);
    numeric_destroy(&m);
}

static void caches_of_attention_take_its_layout(void **state)
{
    numeric_model m = load_tiny(*state, "-O2");
    model_compile(&m, NULL, 2, false);
    for (uint32_t i = 0; i < m.unit->states.count; i++)
        assert_int_not_equal(m.unit->states.data[i].layout, TEGU_LAYOUT_ROWS);
    numeric_destroy(&m);
}

static void workspace_is_exact_at_every_size(void **state)
{
    numeric_model m = load_tiny(*state, "-O2");
    tegu_artifact *a = model_compile(&m, NULL, 2, false);
    const tegu_entry *step = numeric_entry(&m);
    tegu_axis_id id = tegu_unit_find_axis(m.unit, "T");
    size_t last = 0;
    for (int64_t t = 1; t <= 40; t++) {
        m.symbols[id] = t;
        size_t bytes = tegu_artifact_workspace(m.unit, step, m.symbols);
        assert_true(bytes >= last && bytes % 64 == 0);
        last = bytes;
    }
    assert_int_equal(last, a->entries[0].workspace_max);
    numeric_destroy(&m);
}

/* ---- one parameter read again ---- */

typedef float tiny_logits[T * VOCAB];

static void run_tiny(const numeric_model *m, tegu_executor *run,
                     tiny_logits logits)
{
    tegu_tensor out = {TEGU_F32, 2, {T, VOCAB}, logits};
    run->reset(run->self);
    assert_true(run->call(run->self, "step", m->inputs, 1, &out, 1));
}

static tegu_executor *open_tiny(numeric_model *m)
{
    tegu_executor *run = tegu_jit_create(
        m->unit, m->arena, model_compile(m, NULL, 2, false), NULL);
    assert_non_null(run);
    return run;
}

/* Other numbers under the name; what runs is not told. */
static void change(const numeric_model *m, const char *param)
{
    tegu_unit_find_param(m->unit, param)->seed = 99;
}

static void a_reloaded_parameter_equals_a_fresh_compilation(void **state)
{
    /* packed, behind a folded norm, packed, a scale folded into three, a table
     * read by rows */
    static const char *const params[] = {"l.1.d", "l.0.q", "h", "l.0.n", "e"};
    tiny_logits before, after, fresh;
    numeric_model m = load_tiny(*state, "-O2");
    tegu_executor *run = open_tiny(&m);
    run_tiny(&m, run, before);
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        numeric_model other = load_tiny(*state, "-O2");
        for (size_t k = 0; k <= i; k++)
            change(&other, params[k]);
        tegu_executor *whole = open_tiny(&other);
        run_tiny(&other, whole, fresh);
        change(&m, params[i]);
        assert_true(run->reload(run->self, params[i]));
        run_tiny(&m, run, after);
        assert_memory_equal(after, fresh, sizeof after);
        assert_memory_not_equal(after, before, sizeof after);
        memcpy(before, after, sizeof before);
        whole->destroy(whole->self);
        numeric_destroy(&other);
    }
    run->destroy(run->self);
    numeric_destroy(&m);
}

static void what_nothing_depends_on_is_not_reloaded(void **state)
{
    numeric_model m = load_tiny(*state, "-O2");
    tegu_executor *run = open_tiny(&m);
    assert_false(run->reload(run->self, "l.2.d"));
    run->destroy(run->self);
    run = tegu_jit_create(m.unit, m.arena, model_compile(&m, NULL, 2, true),
                          NULL);
    assert_non_null(run);
    assert_false(run->reload(run->self, "l.1.d")); /* it is in the object */
    run->destroy(run->self);
    numeric_destroy(&m);
}

static void errors_of_calls_are_reported(void **state)
{
    numeric_model m = load_tiny(*state, "-O2");
    tegu_artifact *a = model_compile(&m, NULL, 2, false);
    tegu_executor *jit = tegu_jit_create(m.unit, m.arena, a, NULL);
    tegu_tensor out;
    tegu_entry_output(m.unit, numeric_entry(&m), 0, m.symbols, &out);
    numeric_allocate(m.arena, &out);
    assert_false(jit->call(jit->self, "stop", m.inputs, 1, &out, 1));
    assert_false(jit->call(jit->self, "step", m.inputs, 1, &out, 2));
    assert_false(jit->call(jit->self, "step", m.inputs, 0, &out, 1));
    for (int i = 0; i < 5; i++)
        assert_true(jit->call(jit->self, "step", m.inputs, 1, &out, 1));
    assert_false(jit->call(jit->self, "step", m.inputs, 1, &out, 1));
    assert_int_equal(tegu_diag_errors(m.diag), 4);
    assert_false(jit->rewind(jit->self, 5 * T + 1));
    assert_true(jit->rewind(jit->self, 5));
    assert_int_equal(jit->position(jit->self), 5);
    jit->reset(jit->self);
    assert_int_equal(jit->position(jit->self), 0);
    jit->destroy(jit->self);
    numeric_destroy(&m);
}

/* Rows 1, 2 and 4, back to row 1, then 10: what is left sums to 11. */
static void assert_rewind_forgets_rows(tegu_executor *e)
{
    static const float rows[] = {1, 2, 4, 10};
    float sum = 0;
    tegu_tensor out = {.dtype = TEGU_F32, .data = &sum};
    for (int i = 0; i < 4; i++) {
        float x = rows[i];
        tegu_tensor in = {
            .dtype = TEGU_F32, .rank = 1, .dims = {1}, .data = &x};
        if (i == 3)
            assert_true(e->rewind(e->self, 1));
        assert_true(e->call(e->self, "f", &in, 1, &out, 1));
    }
    assert_true(sum == 11);
    e->destroy(e->self);
}

static void compiled_and_interpreted_rewinds_forget_the_same_rows(void **state)
{
    (void)state;
    numeric_model m = model_open("unit m\n"
                                 "state \"s\" append : f32[4]\n"
                                 "entry f core {\n"
                                 "  %1 = input {name=\"x\"} : f32[1]\n"
                                 "  %2 = state {name=\"s\"} : f32[4]\n"
                                 "  %3 = append %2, %1 : f32[4]\n"
                                 "  %4 = reduce.sum %3 {axes=[0]} : f32[]\n"
                                 "  return \"sum\" %4\n"
                                 "  update \"s\" %3\n}\n",
                                 1);
    assert_rewind_forgets_rows(tegu_interp_create(m.unit, m.arena));
    model_run_passes(&m, "-O2");
    tegu_artifact *a = model_compile(&m, NULL, 2, false);
    assert_rewind_forgets_rows(tegu_jit_create(m.unit, m.arena, a, NULL));
    numeric_destroy(&m);
}

static bool count_bytes(void *data, const void *from, size_t size)
{
    (void)from;
    *(size_t *)data += size;
    return true;
}

static void weights_without_data_are_reported(void **state)
{
    static const char text[] =
        "unit m\nparam \"w\" : f32[3]\n"
        "entry f kernel {\n"
        "  %1 = input {name=\"x\"} : f32[3]\n"
        "  %2 = param {name=\"w\"} : f32[3]\n"
        "  %3 = kernel %1, %2 {family=\"loop\"} : f32[3] {\n"
        "    %1 = arg {index=0} : f32[3]\n"
        "    %2 = arg {index=1} : f32[3]\n"
        "    %3 = mul %1, %2 : f32[3]\n"
        "    return %3\n  }\n"
        "  return \"y\" %3\n}\n";
    (void)state;
    numeric_model m = model_open(text, 0);
    tegu_target target;
    tegu_failure failure;
    size_t written = 0;
    tegu_artifact *a = model_compile(&m, NULL, 2, false);
    assert_false(tegu_artifact_weights(m.unit, a, count_bytes, &written));
    assert_int_equal(tegu_diag_errors(m.diag), 1);
    assert_true(tegu_target_find(&target, NULL, NULL, NULL, &failure));
    tegu_codegen_options options = {.target = &target, .embed_weights = true};
    assert_null(tegu_codegen(m.unit, m.arena, &options));
    assert_int_equal(tegu_diag_errors(m.diag), 2);
    assert_null(tegu_jit_create(m.unit, m.arena, a, NULL));
    numeric_destroy(&m);
}

static void other_machines_code_is_not_run(void **state)
{
    numeric_model m = load_tiny(*state, "-O2");
    tegu_artifact *a = model_compile(&m, "aarch64", 2, false);
    tegu_target here;
    tegu_failure failure;
    assert_true(tegu_target_find(&here, NULL, NULL, NULL, &failure));
    if (here.arch == TEGU_ARCH_X86_64) {
        assert_null(tegu_jit_create(m.unit, m.arena, a, NULL));
        assert_int_equal(tegu_diag_exit_code(m.diag), 69);
    }
    numeric_destroy(&m);
}

/* ---- the object ---- */

static void check_section(const Elf64_Shdr *s, const char *name)
{
    bool stack = strcmp(name, ".note.GNU-stack") == 0;
    assert_false(s->sh_flags & SHF_WRITE);
    assert_false(s->sh_flags & SHF_TLS);
    assert_int_not_equal(s->sh_type, SHT_INIT_ARRAY);
    assert_int_not_equal(s->sh_type, SHT_NOBITS);
    if (stack)
        assert_false(s->sh_flags & SHF_EXECINSTR);
}

static void check_symbol(const Elf64_Sym *s, const char *name)
{
    int bind = ELF64_ST_BIND(s->st_info);
    if (s->st_shndx == SHN_UNDEF)
        assert_int_equal(name[0], '\0');
    else if (bind != STB_LOCAL)
        assert_memory_equal(name, "tiny_", 5);
}

static void check_object(const tegu_blob *object)
{
    const unsigned char *base = object->data;
    Elf64_Ehdr head;
    bool stack = false;
    memcpy(&head, base, sizeof head);
    assert_memory_equal(head.e_ident, ELFMAG, SELFMAG);
    assert_int_equal(head.e_type, ET_REL);
    const Elf64_Shdr *sections = (const void *)(base + head.e_shoff);
    const char *names =
        (const char *)base + sections[head.e_shstrndx].sh_offset;
    for (int i = 0; i < head.e_shnum; i++) {
        const char *name = names + sections[i].sh_name;
        check_section(&sections[i], name);
        stack |= strcmp(name, ".note.GNU-stack") == 0;
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *symbols = (const void *)(base + sections[i].sh_offset);
        const char *strings =
            (const char *)base + sections[sections[i].sh_link].sh_offset;
        size_t count = sections[i].sh_size / sizeof *symbols;
        for (size_t k = 0; k < count; k++)
            check_symbol(&symbols[k], strings + symbols[k].st_name);
    }
    assert_true(stack);
}

static void objects_hold_code_and_constants_only(void **state)
{
    static const char *const targets[] = {"native", "x86-64-v2", "x86-64-v3",
                                          "aarch64"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        numeric_model m = load_tiny(*state, "-O2");
        check_object(&model_compile(&m, targets[i], 2, i & 1)->object);
        numeric_destroy(&m);
    }
}

typedef struct bytes {
    unsigned char *data;
    size_t count, capacity;
} bytes;

static bool collect(void *data, const void *from, size_t size)
{
    bytes *b = data;
    assert_true(b->count + size <= b->capacity);
    memcpy(b->data + b->count, from, size);
    b->count += size;
    return true;
}

static bytes weights_of(numeric_model *m, const tegu_artifact *a)
{
    bytes b = {.capacity = a->weights_bytes};
    b.data = malloc(b.capacity);
    assert_true(tegu_artifact_weights(m->unit, a, collect, &b));
    assert_int_equal(b.count, a->weights_bytes);
    return b;
}

static void assert_same(tegu_blob a, tegu_blob b)
{
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
}

/* ---- adapters ---- */

/* The hash in the file of the adapter on `w`, whose tensors are named NAME:a
 * and NAME:b of module `on`. */
static uint64_t slot_hash(const char *name, const char *on, int rank)
{
    tegu_arena *arena = tegu_arena_create();
    numeric_model m = numeric_parse(tegu_format(
        arena,
        "unit m\nadapter %s 1\nweights random 3 0.5\n"
        "param \"w\" : f32[4, 6]\nparam \"%s:%s.a\" : f32[%d, 6] of %s\n"
        "param \"%s:%s.b\" : f32[4, %d] of %s\nentry f core {\n"
        "%%1 = input {name=\"x\"} : f32[2, 6]\n"
        "%%2 = param {name=\"w\"} : f32[4, 6]\n"
        "%%3 = param {name=\"%s:%s.a\"} : f32[%d, 6]\n"
        "%%4 = param {name=\"%s:%s.b\"} : f32[4, %d]\n"
        "%%5 = adapter_scale {name=\"%s\"} : f32[]\n"
        "%%6 = contract %%1, %%2 {a=[1], b=[1]} : f32[2, 4]\n"
        "%%7 = contract %%1, %%3 {a=[1], b=[1]} : f32[2, %d]\n"
        "%%8 = contract %%7, %%4 {a=[1], b=[1]} : f32[2, 4]\n"
        "%%9 = add_if %%6, %%8, %%5 : f32[2, 4]\nreturn \"y\" %%9\n}\n",
        name, name, on, rank, name, name, on, rank, name, name, on, rank, name,
        on, rank, name, rank));
    model_run_passes(&m, "-O2");
    tegu_artifact *a = model_compile(&m, NULL, 2, false);
    assert_int_equal(a->adapter_count, 1);
    assert_string_equal(a->adapters[0].name, name);
    bytes b = {.capacity = a->adapters[0].bytes};
    b.data = malloc(b.capacity);
    assert_true(tegu_artifact_adapter(a, 0, collect, &b));
    assert_int_equal(b.count, b.capacity);
    assert_memory_equal(b.data, "tegu-a01", 8);
    uint64_t hash, size;
    memcpy(&hash, (char *)b.data + 8, sizeof hash);
    memcpy(&size, (char *)b.data + 16, sizeof size);
    assert_int_equal(size, b.count);
    free(b.data);
    numeric_destroy(&m);
    tegu_arena_destroy(arena);
    return hash;
}

static void a_slot_takes_adapters_of_its_form_alone(void **state)
{
    (void)state;
    uint64_t one = slot_hash("one", "q", 2);
    assert_true(one == slot_hash("other", "q", 2));
    assert_true(one != slot_hash("one", "k", 2));
    assert_true(one != slot_hash("one", "q", 3));
}

static void identical_input_gives_identical_bytes(void **state)
{
    numeric_model m = load_tiny(*state, "-O2"), n = load_tiny(*state, "-O2");
    tegu_artifact *a = model_compile(&m, "x86-64-v3", 2, false);
    tegu_artifact *b = model_compile(&n, "x86-64-v3", 2, false);
    bytes wa = weights_of(&m, a), wb = weights_of(&n, b);
    assert_same(a->object, b->object);
    assert_same(a->header, b->header);
    assert_same(a->assembly, b->assembly);
    assert_memory_equal(wa.data, wb.data, wa.count);
    free(wa.data);
    free(wb.data);
    numeric_destroy(&m);
    numeric_destroy(&n);
}

static void the_hash_tells_compilations_apart(void **state)
{
    numeric_model m = load_tiny(*state, "-O2"), n = load_tiny(*state, "-O2");
    uint64_t a = model_compile(&m, "x86-64-v3", 2, false)->abi;
    uint64_t b = model_compile(&n, "x86-64-v2", 2, false)->abi;
    assert_true(a != b);
    bytes w = weights_of(&m, model_compile(&m, "x86-64-v3", 2, false));
    assert_memory_equal(w.data, "tegu-w01", 8);
    assert_memory_equal(w.data + 8, &a, sizeof a);
    free(w.data);
    numeric_destroy(&m);
    numeric_destroy(&n);
}

/* ---- header and application ---- */

static void write_outputs(const fixture *f, numeric_model *m,
                          const tegu_artifact *a, bool embed)
{
    write_file(f, "tiny.o", a->object.data, a->object.size);
    write_file(f, "tiny.h", a->header.data, a->header.size);
    if (embed)
        return;
    bytes w = weights_of(m, a);
    write_file(f, "tiny.weights", w.data, w.count);
    free(w.data);
}

static void headers_compile_as_c99_and_as_cxx(void **state)
{
    static const char use[] = "#include \"tiny.h\"\n"
                              "int used(tiny_context *c);\n"
                              "int used(tiny_context *c)\n"
                              "{ return tiny_reset(c) == TINY_OK; }\n";
    const fixture *f = *state;
    numeric_model m = load_tiny(f, "-O2");
    write_outputs(f, &m, model_compile(&m, NULL, 2, false), false);
    numeric_destroy(&m);
    write_file(f, "use.c", use, strlen(use));
    write_file(f, "use.cc", use, strlen(use));
    if (!has_program("cc")) {
        print_message("no cc\n");
        skip();
    }
    assert_int_equal(run("cd %s && cc -std=c99 -Wall -Wextra -Wpedantic "
                         "-Werror -fsyntax-only use.c",
                         f->directory, "", ""),
                     0);
    if (has_program("c++"))
        assert_int_equal(run("cd %s && c++ -std=c++17 -Wall -Wextra "
                             "-Wpedantic -Werror -fsyntax-only use.cc",
                             f->directory, "", ""),
                         0);
}

/* Logits of the seven tokens by the interpreter. */
static void reference(const fixture *f, float *logits)
{
    numeric_model m = load_tiny(f, "");
    tegu_executor *interp = tegu_interp_create(m.unit, m.arena);
    tegu_tensor out = {
        .dtype = TEGU_F32, .rank = 2, .dims = {T, VOCAB}, .data = logits};
    assert_true(interp->call(interp->self, "step", m.inputs, 1, &out, 1));
    numeric_destroy(&m);
}

static void compare_logits(const fixture *f)
{
    float want[T * VOCAB], got[T * VOCAB];
    char path[128];
    FILE *file = fopen(path_of(f, "out", path), "rb");
    assert_non_null(file);
    assert_int_equal(fread(got, sizeof got, 1, file), 1);
    fclose(file);
    reference(f, want);
    for (int i = 0; i < T * VOCAB; i++)
        if (!(fabsf(got[i] - want[i]) < 1e-4f))
            fail_msg("logit %d is %g, not %g", i, (double)got[i],
                     (double)want[i]);
}

/* Compiles the client with `cc` and runs it with `emulator`. */
static void run_client(const fixture *f, const char *target, bool embed,
                       const char *cc, const char *emulator)
{
    numeric_model m = load_tiny(f, "-O2");
    write_outputs(f, &m, model_compile(&m, target, 2, embed), embed);
    numeric_destroy(&m);
    char command[512];
    snprintf(command, sizeof command,
             "%s -O1 -Wall -Wextra -Werror -I%s -o %s/client "
             "tests/unit/codegen/abi_client.c %s/tiny.o -lm -lpthread",
             cc, f->directory, f->directory, f->directory);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "%s %s/client %s/out %s%s", emulator,
             f->directory, f->directory, embed ? "" : f->directory,
             embed ? "" : "/tiny.weights");
    assert_int_equal(system(command), 0);
    compare_logits(f);
}

static void a_c_program_links_and_all_promises_hold(void **state)
{
    if (!has_program("cc")) {
        print_message("no cc\n");
        skip();
    }
    run_client(*state, NULL, false, "cc", "");
    run_client(*state, "x86-64-v2", false, "cc", "");
}

/* The program in the head comment, without the comment's margin. */
static void write_example(const fixture *f, const char *header)
{
    static const char margin[] = " *     ";
    char path[128];
    const char *line = strstr(header, " * Example:\n");
    assert_non_null(line);
    FILE *file = fopen(path_of(f, "example.c", path), "w");
    assert_non_null(file);
    for (line = strchr(line, '\n') + 1; strncmp(line, " *", 2) == 0;
         line = strchr(line, '\n') + 1) {
        int length = (int)strcspn(line, "\n");
        if (strncmp(line, margin, strlen(margin)) == 0)
            fprintf(file, "%.*s\n", length - (int)strlen(margin),
                    line + strlen(margin));
        else if (length > 2)
            break;
    }
    assert_int_equal(fclose(file), 0);
}

static void the_header_s_example_runs(void **state)
{
    const fixture *f = *state;
    if (!has_program("cc")) {
        print_message("no cc\n");
        skip();
    }
    for (int embed = 0; embed < 2; embed++) {
        numeric_model m = load_tiny(f, "-O2");
        tegu_artifact *a = model_compile(&m, NULL, 2, embed);
        write_outputs(f, &m, a, embed);
        write_example(f, (const char *)a->header.data);
        numeric_destroy(&m);
        assert_int_equal(run("cd %s && cc -std=c11 -Wall -Wextra -Werror "
                             "-o example example.c tiny.o && ./example",
                             f->directory, "", ""),
                         0);
    }
}

static void embedded_weights_need_no_file(void **state)
{
    if (!has_program("cc")) {
        print_message("no cc\n");
        skip();
    }
    run_client(*state, NULL, true, "cc", "");
}

static void aarch64_objects_do_the_same(void **state)
{
    if (!has_program("aarch64-linux-gnu-gcc") || !has_program("qemu-aarch64")) {
        print_message("no AArch64 cross compiler or no qemu-aarch64\n");
        skip();
    }
    run_client(*state, "aarch64", false, "aarch64-linux-gnu-gcc -static",
               "qemu-aarch64");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_small_llama_agrees_with_the_interpreter),
        TEST(attention_by_its_definition_agrees_too),
        TEST(equal_layers_share_their_kernels),
        TEST(caches_of_attention_take_its_layout),
        TEST(workspace_is_exact_at_every_size),
        TEST(compiled_and_interpreted_rewinds_forget_the_same_rows),
        TEST(a_reloaded_parameter_equals_a_fresh_compilation),
        TEST(what_nothing_depends_on_is_not_reloaded),
        TEST(errors_of_calls_are_reported),
        TEST(weights_without_data_are_reported),
        TEST(other_machines_code_is_not_run),
        TEST(objects_hold_code_and_constants_only),
        TEST(a_slot_takes_adapters_of_its_form_alone),
        TEST(identical_input_gives_identical_bytes),
        TEST(the_hash_tells_compilations_apart),
        TEST(headers_compile_as_c99_and_as_cxx),
        TEST(a_c_program_links_and_all_promises_hold),
        TEST(the_header_s_example_runs),
        TEST(embedded_weights_need_no_file),
        TEST(aarch64_objects_do_the_same),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
