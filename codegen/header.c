/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See header.h: the same plan that the object was written from, as C
 * declarations with their contracts in comments.  Only the model's own names
 * vary: they are checked to be C identifiers by the frontend; text that comes
 * from files is made harmless before it enters a comment.
 */
#include "codegen/header.h"

#include <inttypes.h>
#include <string.h>

typedef struct writer {
    tegu_text *out;
    const tegu_plan *plan;
    const tegu_codegen_options *options;
    const char *name, *up;
} writer;

/* ---- text from outside ---- */

/* Printable ASCII without comment delimiters. */
static void add_harmless(tegu_text *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool bad = c < ' ' || c > '~' || c == '\\' ||
                   (c == '/' && i > 0 && text[i - 1] == '*') ||
                   (c == '*' && i > 0 && text[i - 1] == '/');
        tegu_text_add(out, bad ? "_" : &c, 1);
    }
}

static void add_lines(writer *w, const char *lines)
{
    while (lines && *lines) {
        size_t size = strcspn(lines, "\n");
        tegu_text_printf(w->out, " *   ");
        add_harmless(w->out, lines, size);
        tegu_text_printf(w->out, "\n");
        lines += size + (lines[size] != '\0');
    }
}

static const char *c_type(tegu_dtype dtype)
{
    static const char *const types[TEGU_DTYPE_COUNT] = {
        [TEGU_BOOL] = "uint8_t", [TEGU_I32] = "int32_t",
        [TEGU_I64] = "int64_t",  [TEGU_F32] = "float",
        [TEGU_F16] = "uint16_t", [TEGU_BF16] = "uint16_t",
        [TEGU_F64] = "double",   [TEGU_I8] = "int8_t",
        [TEGU_U8] = "uint8_t",
    };
    return types[dtype];
}

static const char *axis_name(const writer *w, tegu_axis_id id)
{
    return w->plan->unit->axes.data[id].name;
}

/* ---- head ---- */

/* Elements of a tensor at the lower bounds, at least one. */
static int64_t least_elements(const writer *w, const tegu_type *t)
{
    int64_t count = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        count *= tegu_dim_least(w->plan->unit, t->dims[i]);
    return count > 0 ? count : 1;
}

static void example_tensors(writer *w, const tegu_entry *e)
{
    for (uint32_t i = 0; i < e->arguments.count; i++) {
        const tegu_argument *a = &e->arguments.data[i];
        tegu_text_printf(w->out, " *         static %s %s[%" PRId64 "];\n",
                         c_type(a->type->dtype), a->name,
                         least_elements(w, a->type));
    }
    for (uint32_t i = 0; i < e->graph->results.count; i++) {
        const tegu_result *r = &e->graph->results.data[i];
        const tegu_type *t = tegu_graph_type(e->graph, r->value);
        tegu_text_printf(w->out, " *         static %s %s[%" PRId64 "];\n",
                         c_type(t->dtype), r->name, least_elements(w, t));
    }
}

static void example_weights(writer *w)
{
    if (w->options->embed_weights)
        return;
    tegu_text_printf(
        w->out,
        " *         void *weights = aligned_alloc(64, %s_WEIGHTS_BYTES);\n"
        " *         FILE *file = fopen(\"%s.weights\", \"rb\");\n"
        " *         if (!weights || !file ||\n"
        " *             fread(weights, %s_WEIGHTS_BYTES, 1, file) != 1)\n"
        " *             return 1;\n",
        w->up, w->name, w->up);
}

static void example_call(writer *w, const tegu_plan_entry *entry)
{
    tegu_text *o = w->out;
    const tegu_entry *e = entry->entry;
    const char *up = tegu_plan_upper(w->plan, e->name);
    tegu_text_printf(o, " *         return %s_%s(&c", w->name, e->name);
    for (uint32_t i = 0; i < entry->symbols.count; i++)
        tegu_text_printf(o, ", %s_%s_%s_MIN", w->up, up,
                         axis_name(w, entry->symbols.data[i]));
    for (uint32_t i = 0; i < e->arguments.count; i++)
        tegu_text_printf(o, ", %s", e->arguments.data[i].name);
    for (uint32_t i = 0; i < e->graph->results.count; i++)
        tegu_text_printf(o, ", %s", e->graph->results.data[i].name);
    tegu_text_printf(o,
                     ",\n *             work, %s_%s_WORKSPACE_MAX) != %s_OK;\n"
                     " *     }\n",
                     w->up, up, w->up);
}

/* A program that calls the first entry once, at its lower bounds. */
static void write_example(writer *w)
{
    const tegu_plan_entry *entry = &w->plan->entries[0];
    const char *up = tegu_plan_upper(w->plan, entry->entry->name);
    bool embedded = w->options->embed_weights;
    tegu_text_printf(w->out,
                     " * Example:\n"
                     " *\n"
                     " *     #include \"%s.h\"\n"
                     " *     #include <stdio.h>\n"
                     " *     #include <stdlib.h>\n"
                     " *\n"
                     " *     int main(void)\n"
                     " *     {\n",
                     w->name);
    example_tensors(w, entry->entry);
    tegu_text_printf(
        w->out,
        " *         %s_context c;\n"
        " *         void *state = aligned_alloc(64, %s_STATE_BYTES);\n"
        " *         void *work = aligned_alloc(64, %s_%s_WORKSPACE_MAX);\n",
        w->name, w->up, w->up, up);
    example_weights(w);
    tegu_text_printf(w->out,
                     " *         if (%s_init(&c, %s%s%s, state,\n"
                     " *             %s_STATE_BYTES) != %s_OK)\n"
                     " *             return 1;\n",
                     w->name, embedded ? "NULL, 0" : "weights, ",
                     embedded ? "" : w->up, embedded ? "" : "_WEIGHTS_BYTES",
                     w->up, w->up);
    example_call(w, entry);
    tegu_text_printf(
        w->out,
        " *\n"
        "%s",
        embedded ? ""
                 : " * The weights are only read and may be mapped from the\n"
                   " * file; any number of contexts may share them.\n *\n");
}

static void write_head(writer *w)
{
    tegu_text *o = w->out;
    const tegu_target *t = w->options->target;
    tegu_text_printf(
        o,
        "/* %s.h - a compiled model: link %s.o, nothing else is needed.\n"
        " *\n"
        " * Nothing here allocates, keeps globals, or does I/O.  Calls on\n"
        " * distinct contexts with distinct state and workspace may run at "
        "the\n"
        " * same time; one context serves one thread at a time.  Tensors are\n"
        " * row-major and packed.  Outputs must not overlap inputs or the\n"
        " * workspace.  Indices outside a table are clamped.\n"
        " *\n",
        w->name, w->name);
    if (w->plan->unit->entries.count)
        write_example(w);
    tegu_text_printf(o, " * Made by tegu for %s (%s).\n", t->triple, t->cpu);
    if (w->options->pipeline && *w->options->pipeline) {
        tegu_text_printf(o, " * Pipeline:\n");
        add_lines(w, w->options->pipeline);
    }
    if (w->options->provenance && *w->options->provenance) {
        tegu_text_printf(o, " * Made from:\n");
        add_lines(w, w->options->provenance);
    }
    tegu_text_printf(o,
                     " */\n"
                     "#ifndef TEGU_MODEL_%s_H\n"
                     "#define TEGU_MODEL_%s_H\n"
                     "\n"
                     "#include <stddef.h>\n"
                     "#include <stdint.h>\n"
                     "\n"
                     "#ifdef __cplusplus\n"
                     "extern \"C\" {\n"
                     "#endif\n"
                     "\n",
                     w->name, w->name);
}

/* ---- macros ---- */

static void write_size(writer *w, const char *what, size_t bytes,
                       const char *comment)
{
    tegu_text_printf(w->out, "#define %s_%s ((size_t)%zuu) /* %s */\n", w->up,
                     what, bytes, comment);
}

static void write_sizes(writer *w)
{
    const tegu_plan *p = w->plan;
    tegu_text_printf(w->out,
                     "#define %s_ABI UINT64_C(0x%016" PRIx64
                     ") /* ties object, header, weights */\n",
                     w->up, p->abi);
    write_size(w, "WEIGHTS_BYTES",
               w->options->embed_weights ? 0 : p->files[0].bytes,
               w->options->embed_weights ? "they are inside the object"
                                         : "size of the weights file");
    write_size(w, "STATE_BYTES", p->state_bytes, "size of the state block");
    tegu_text_printf(w->out,
                     "#define %s_ALIGNMENT 64 /* of weights, state and "
                     "workspace */\n",
                     w->up);
    if (p->context >= 0)
        tegu_text_printf(w->out,
                         "#define %s_CONTEXT %" PRId64
                         " /* rows that the caches hold */\n",
                         w->up, p->context);
    tegu_text_printf(w->out, "\n");
}

static void write_status(writer *w)
{
    static const struct {
        const char *id, *summary;
    } rows[] = {
#define TEGU_ABI_STATUS(id, summary) {#id, summary},
#include "codegen/status.def"
    };
    size_t count = sizeof rows / sizeof rows[0];
    tegu_text_printf(w->out,
                     "/* Status of every call; after an error nothing "
                     "has changed. */\nenum %s_status {\n",
                     w->name);
    for (size_t i = 0; i < count; i++)
        tegu_text_printf(w->out, "    %s_%s%s%s /* %s */\n", w->up, rows[i].id,
                         i == 0 ? " = 0" : "", i + 1 < count ? "," : "",
                         rows[i].summary);
    tegu_text_printf(w->out, "};\n\n");
}

/* ---- context and state ---- */

static void write_context(writer *w)
{
    const char *n = w->name;
    tegu_text_printf(
        w->out,
        "/* Runs task(data, part, parts) for part = 0 .. parts-1, in any\n"
        " * order, on any threads, and returns when all have returned and\n"
        " * what they wrote is visible. */\n"
        "typedef void (*%s_task)(void *data, int64_t part, int64_t parts);\n"
        "typedef void (*%s_parallel_for)(void *pool, %s_task task,\n"
        "    void *data, int64_t parts);\n"
        "\n"
        "/* One model with one state; filled by %s_init, plain data, may be\n"
        " * copied (copies share the state).  After init the caller may set\n"
        " * parallel_for, pool and threads. */\n"
        "typedef struct %s_context {\n"
        "    const void *weights;\n"
        "    void *state;\n"
        "    %s_parallel_for parallel_for; /* NULL: this thread */\n"
        "    void *pool;                   /* handed to parallel_for */\n"
        "    int64_t threads;              /* parts of one kernel */\n",
        n, n, n, n, n, n);
    if (w->plan->slots)
        tegu_text_printf(w->out,
                         "    struct {\n"
                         "        const void *data;\n"
                         "        float scale;\n"
                         "    } adapters[%s_ADAPTERS]; /* %s_set_adapter */\n",
                         w->up, n);
    tegu_text_printf(w->out, "} %s_context;\n\n", n);
}

/* ---- adapters ---- */

/* The numbers of the slots come before the context, which has so many. */
static void write_slots(writer *w)
{
    const tegu_unit *unit = w->plan->unit;
    tegu_text_printf(w->out,
                     "/* Slots of adapters, in files of their own: "
                     "%s.ADAPTER.adapter. */\nenum %s_adapter {\n",
                     w->name, w->name);
    for (uint32_t i = 1; i < unit->adapters.count; i++)
        if (w->plan->files[i].used)
            tegu_text_printf(
                w->out, "    %s_ADAPTER_%s = %" PRIu32 ",\n", w->up,
                tegu_plan_upper(w->plan, unit->adapters.data[i].name),
                w->plan->files[i].slot);
    tegu_text_printf(w->out, "    %s_ADAPTERS = %" PRIu32 "\n};\n", w->up,
                     w->plan->slots);
    for (uint32_t i = 1; i < unit->adapters.count; i++) {
        const tegu_unit_adapter *a = &unit->adapters.data[i];
        const char *up = tegu_plan_upper(w->plan, a->name);
        if (!w->plan->files[i].used)
            continue;
        write_size(w, tegu_format(w->plan->arena, "ADAPTER_%s_BYTES", up),
                   w->plan->files[i].bytes, "size of its file");
        tegu_text_printf(w->out,
                         "#define %s_ADAPTER_%s_SCALE %#.9gf /* as asked for "
                         "*/\n",
                         w->up, up, a->scale);
    }
    tegu_text_printf(w->out, "\n");
}

static void write_set_adapter(writer *w)
{
    const char *n = w->name;
    tegu_text_printf(
        w->out,
        "/* Switches an adapter from the next call on.  `data` is its file,\n"
        " * aligned to 64, only read, and must stay while it is set; contexts\n"
        " * may share it.  Its part of every result is multiplied by `scale`:\n"
        " * 1 is what it was trained at, 0 is off and costs nothing, as does\n"
        " * data NULL (with bytes 0).  After init all are off.  A slot takes\n"
        " * any adapter of its form (modules, ranks, kind) that was compiled\n"
        " * for this base model and target.  What the state holds was "
        "computed\n"
        " * with the adapters of its time: reset it to begin anew.\n"
        " * E_BOUNDS: no such slot, or a scale that is not finite. */\n"
        "int %s_set_adapter(%s_context *c, int32_t slot, const void *data,\n"
        "    size_t bytes, float scale);\n\n",
        n, n);
}

static void write_init(writer *w)
{
    const char *n = w->name;
    tegu_text_printf(
        w->out,
        "/* Checks alignment, sizes and hashes, resets the state, and leaves\n"
        " * parallel_for NULL and threads 1.%s  The symbol carries the\n"
        " * hash, so that an object of another compilation does not link. */\n"
        "#define %s_init %s_init_%016" PRIx64 "\n"
        "int %s_init(%s_context *c, const void *weights, size_t "
        "weights_bytes,\n"
        "    void *state, size_t state_bytes);\n\n",
        w->options->embed_weights
            ? "  Weights are inside the\n * object: pass NULL and 0."
            : "",
        n, n, w->plan->abi, n, n);
}

static void write_state(writer *w)
{
    const char *n = w->name;
    bool replaced = false;
    for (uint32_t i = 0; i < w->plan->unit->states.count; i++)
        replaced |= !w->plan->unit->states.data[i].appended;
    tegu_text_printf(
        w->out,
        "/* Tokens in the state; -1 for a context that was not initialised. "
        "*/\n"
        "int64_t %s_position(const %s_context *c);\n"
        "/* Position 0 and zeroed state. */\n"
        "int %s_reset(const %s_context *c);\n"
        "/* Back to an earlier position%s. */\n"
        "int %s_rewind(const %s_context *c, int64_t position);\n"
        "/* The rows in use, as bytes for %s_load into a context of the same\n"
        " * model; save_bytes is the exact size now (0: not initialised). */\n"
        "size_t %s_save_bytes(const %s_context *c);\n"
        "int %s_save(const %s_context *c, void *out, size_t out_bytes);\n"
        "int %s_load(const %s_context *c, const void *saved, size_t bytes);\n"
        "\n",
        n, n, n, n,
        replaced ? "; this model can only go to 0, or stay" : ", exactly", n, n,
        n, n, n, n, n, n, n);
}

/* ---- entries ---- */

/* T * 2 - 1 as C would write it; a static extent as its number. */
static void write_extent(writer *w, tegu_dim dim)
{
    tegu_text *o = w->out;
    if (tegu_dim_is_static(dim)) {
        tegu_text_printf(o, "%" PRId64, dim.offset);
        return;
    }
    if (dim.scale != 1)
        tegu_text_printf(o, "%" PRId64 "*", dim.scale);
    tegu_text_printf(o, "%s", axis_name(w, dim.symbol));
    if (dim.offset)
        tegu_text_printf(o, "%+" PRId64, dim.offset);
}

static void write_tensor(writer *w, const char *kind, const char *name,
                         const tegu_type *t)
{
    tegu_text *o = w->out;
    tegu_text_printf(o, " *   %-9s %s: %s[", kind, name,
                     tegu_dtype_text(t->dtype));
    for (uint32_t i = 0; i < t->rank; i++) {
        tegu_text_printf(o, "%s", i ? ", " : "");
        write_extent(w, t->dims[i]);
    }
    tegu_text_printf(o, "]%s\n", t->dtype == TEGU_BOOL ? ", 0 or 1" : "");
}

static void write_entry_macros(writer *w, const tegu_plan_entry *entry)
{
    const char *up = tegu_plan_upper(w->plan, entry->entry->name);
    tegu_text_printf(w->out,
                     "#define %s_%s_WORKSPACE_MAX ((size_t)%zuu) /* at the "
                     "upper bounds */\n",
                     w->up, up, entry->workspace_max);
    for (uint32_t i = 0; i < entry->symbols.count; i++) {
        const tegu_axis *a = &w->plan->unit->axes.data[entry->symbols.data[i]];
        tegu_text_printf(w->out,
                         "#define %s_%s_%s_MIN %" PRId64 "\n"
                         "#define %s_%s_%s_MAX %" PRId64 "\n",
                         w->up, up, a->name, a->lo, w->up, up, a->name, a->hi);
    }
}

static void write_entry_comment(writer *w, const tegu_plan_entry *entry)
{
    tegu_text *o = w->out;
    const tegu_entry *e = entry->entry;
    tegu_text_printf(o, "\n/* Entry %s:\n", e->name);
    for (uint32_t i = 0; i < entry->symbols.count; i++) {
        const tegu_axis *a = &w->plan->unit->axes.data[entry->symbols.data[i]];
        tegu_text_printf(o, " *   %-9s %s in %" PRId64 "..%" PRId64 "\n",
                         "symbol", a->name, a->lo, a->hi);
    }
    for (uint32_t i = 0; i < e->arguments.count; i++)
        write_tensor(w, "input", e->arguments.data[i].name,
                     e->arguments.data[i].type);
    for (uint32_t i = 0; i < e->graph->results.count; i++)
        write_tensor(
            w, "output", e->graph->results.data[i].name,
            tegu_graph_type(e->graph, e->graph->results.data[i].value));
    if (entry->advances) {
        tegu_text_printf(o, " * Advances the position by ");
        write_extent(w, entry->rows);
        tegu_text_printf(o, ".\n");
    }
    tegu_text_printf(o,
                     " * The workspace is scratch: %s_%s_workspace_bytes of "
                     "these symbols (0:\n * they are out of bounds), aligned "
                     "to 64; NULL will do where that is 0. */\n",
                     w->name, e->name);
}

/* A parameter's separator: lines are broken before they grow long. */
static void next_parameter(writer *w, uint32_t *count)
{
    if (*count)
        tegu_text_printf(w->out, ",%s", *count % 3 == 0 ? "\n    " : " ");
    ++*count;
}

static void write_symbols(writer *w, const tegu_plan_entry *entry,
                          uint32_t *count)
{
    for (uint32_t i = 0; i < entry->symbols.count; i++) {
        next_parameter(w, count);
        tegu_text_printf(w->out, "int64_t %s",
                         axis_name(w, entry->symbols.data[i]));
    }
}

static void write_entry_functions(writer *w, const tegu_plan_entry *entry)
{
    tegu_text *o = w->out;
    const tegu_entry *e = entry->entry;
    uint32_t count = 0;
    tegu_text_printf(o, "size_t %s_%s_workspace_bytes(", w->name, e->name);
    write_symbols(w, entry, &count);
    tegu_text_printf(o, "%s);\nint %s_%s(", count ? "" : "void", w->name,
                     e->name);
    count = 0;
    next_parameter(w, &count);
    tegu_text_printf(o, "const %s_context *c", w->name);
    write_symbols(w, entry, &count);
    for (uint32_t i = 0; i < e->arguments.count; i++) {
        next_parameter(w, &count);
        tegu_text_printf(o, "const %s *%s",
                         c_type(e->arguments.data[i].type->dtype),
                         e->arguments.data[i].name);
    }
    for (uint32_t i = 0; i < e->graph->results.count; i++) {
        const tegu_result *r = &e->graph->results.data[i];
        next_parameter(w, &count);
        tegu_text_printf(o, "%s *%s",
                         c_type(tegu_graph_type(e->graph, r->value)->dtype),
                         r->name);
    }
    next_parameter(w, &count);
    tegu_text_printf(o, "void *workspace");
    next_parameter(w, &count);
    tegu_text_printf(o, "size_t workspace_bytes);\n\n");
}

void tegu_header_write(tegu_text *out, const tegu_plan *plan,
                       const tegu_codegen_options *options)
{
    writer w = {.out = out,
                .plan = plan,
                .options = options,
                .name = plan->unit->name,
                .up = tegu_plan_upper(plan, plan->unit->name)};
    write_head(&w);
    write_sizes(&w);
    write_status(&w);
    if (plan->slots)
        write_slots(&w);
    write_context(&w);
    write_init(&w);
    if (plan->slots)
        write_set_adapter(&w);
    write_state(&w);
    for (uint32_t i = 0; i < plan->unit->entries.count; i++) {
        write_entry_macros(&w, &plan->entries[i]);
        write_entry_comment(&w, &plan->entries[i]);
        write_entry_functions(&w, &plan->entries[i]);
    }
    tegu_text_printf(out, "#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}
