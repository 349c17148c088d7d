/* SPDX-License-Identifier: Apache-2.0 */
/* demo.c - writes a C program that shows how to call a compiled model.
 *
 * Takes a unit; produces text that compiles beside NAME.h and links with
 * NAME.o.  The program's own comment says how to build it.
 */
#include "frontend/cli/demo.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

static const char *c_type(tegu_dtype dtype)
{
    switch (dtype) {
    case TEGU_BOOL: return "uint8_t";
    case TEGU_I32: return "int32_t";
    case TEGU_I64: return "int64_t";
    default: return "float";
    }
}

/* Symbols used by the arguments of an entry, in order of the unit's axes. */
static uint32_t entry_symbols(const tegu_unit *unit, const tegu_entry *entry,
                              tegu_axis_id *symbols)
{
    uint32_t count = 0;
    for (tegu_axis_id a = 1; a < unit->axes.count; a++) {
        bool used = false;
        for (uint32_t i = 0; i < entry->arguments.count; i++) {
            const tegu_type *type = entry->arguments.data[i].type;
            for (uint32_t d = 0; d < type->rank; d++)
                used |= type->dims[d].symbol == a;
        }
        if (used && unit->axes.data[a].symbolic && count < TEGU_MAX_RANK)
            symbols[count++] = a;
    }
    return count;
}

/* Elements at the symbols' lower bounds. */
static int64_t least_elements(const tegu_unit *unit, const tegu_type *type)
{
    int64_t n = 1;
    for (uint32_t d = 0; d < type->rank; d++) {
        int64_t lo = 0, hi = 0;
        tegu_dim_bounds(unit, type->dims[d], &lo, &hi);
        n *= lo;
    }
    return n > 0 ? n : 1;
}

static void print_entry(tegu_text *out, const tegu_unit *unit,
                        const tegu_entry *entry)
{
    const char *name = unit->name;
    tegu_axis_id symbols[TEGU_MAX_RANK];
    uint32_t count = entry_symbols(unit, entry, symbols);
    tegu_text call = {.arena = unit->arena}, sizes = {.arena = unit->arena};
    for (uint32_t i = 0; i < count; i++) {
        int64_t lo = unit->axes.data[symbols[i]].lo;
        tegu_text_printf(&sizes, "%s%" PRId64, i ? ", " : "", lo);
        tegu_text_printf(&call, ", %" PRId64, lo);
    }
    tegu_text_printf(out, "    { /* entry %s */\n", entry->name);
    for (uint32_t i = 0; i < entry->arguments.count; i++) {
        const tegu_type *type = entry->arguments.data[i].type;
        tegu_text_printf(out, "        static %s in%u[%" PRId64 "];\n",
                         c_type(type->dtype), i, least_elements(unit, type));
        tegu_text_printf(&call, ", in%u", i);
    }
    for (uint32_t i = 0; i < entry->graph->results.count; i++) {
        const tegu_type *type =
            tegu_graph_type(entry->graph, entry->graph->results.data[i].value);
        tegu_text_printf(out, "        static %s out%u[%" PRId64 "];\n",
                         c_type(type->dtype), i, least_elements(unit, type));
        tegu_text_printf(&call, ", out%u", i);
    }
    tegu_text_printf(
        out,
        "        size_t bytes = %s_%s_workspace_bytes(%s);\n"
        "        void *workspace = block(bytes);\n"
        "        int status = %s_%s(&model%s, workspace, bytes);\n"
        "        printf(\"%s: status %%d, first result %%g\\n\", status,\n"
        "               (double)out0[0]);\n"
        "        if (status != 0)\n            return 1;\n"
        "        free(workspace);\n    }\n",
        name, entry->name, tegu_text_cstr(&sizes), name, entry->name,
        tegu_text_cstr(&call), entry->name);
}

static const char *upper(const tegu_unit *unit)
{
    char *text = tegu_format(unit->arena, "%s", unit->name);
    for (char *c = text; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return text;
}

static void print_weights(tegu_text *out, const tegu_unit *unit, bool embedded)
{
    if (embedded) {
        tegu_text_printf(out, "    const void *weights = NULL;\n"
                              "    size_t weights_bytes = 0;\n");
        return;
    }
    tegu_text_printf(
        out,
        "    size_t weights_bytes = %s_WEIGHTS_BYTES;\n"
        "    void *weights = block(weights_bytes);\n"
        "    FILE *file = fopen(argc > 1 ? argv[1] : \"%s.weights\", "
        "\"rb\");\n"
        "    if (!file || fread(weights, 1, weights_bytes, file) != "
        "weights_bytes) {\n"
        "        fputs(\"cannot read %s.weights\\n\", stderr);\n"
        "        return 1;\n    }\n    fclose(file);\n",
        upper(unit), unit->name, unit->name);
}

void tegu_demo_print(tegu_text *out, const tegu_unit *unit,
                     bool embedded_weights)
{
    const char *name = unit->name;
    tegu_text_printf(
        out,
        "/* Calls every entry of %s once on zeros.  Build and run:\n"
        " *   cc %s_demo.c %s.o -o demo && ./demo%s%s%s\n */\n"
        "#define _POSIX_C_SOURCE 200809L\n"
        "#include <stdio.h>\n#include <stdlib.h>\n\n#include \"%s.h\"\n\n"
        "/* Memory as the model wants it: 64-byte aligned, zeroed. */\n"
        "static void *block(size_t bytes)\n{\n"
        "    void *p = NULL;\n    size_t i;\n"
        "    if (posix_memalign(&p, 64, bytes ? bytes : 64) != 0)\n"
        "        exit(1);\n"
        "    for (i = 0; i < bytes; i++)\n        ((char *)p)[i] = 0;\n"
        "    return p;\n}\n\n"
        "int main(int argc, char **argv)\n{\n    %s_context model;\n",
        name, name, name, embedded_weights ? "" : " ",
        embedded_weights ? "" : name, embedded_weights ? "" : ".weights", name,
        name);
    print_weights(out, unit, embedded_weights);
    tegu_text_printf(
        out,
        "    void *state = block(%s_STATE_BYTES);\n    (void)argc;\n"
        "    (void)argv;\n"
        "    if (%s_init(&model, weights, weights_bytes, state,\n"
        "                %s_STATE_BYTES) != 0) {\n"
        "        fputs(\"init failed\\n\", stderr);\n        return 1;\n"
        "    }\n",
        upper(unit), name, upper(unit));
    for (uint32_t e = 0; e < unit->entries.count; e++)
        print_entry(out, unit, &unit->entries.data[e]);
    tegu_text_printf(out, "    return 0;\n}\n");
}
