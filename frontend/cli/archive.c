/* SPDX-License-Identifier: Apache-2.0 */
/* archive.c - static and shared libraries around one object.
 *
 * The archive is the GNU/System V form: "!<arch>\n", a member "/" with the
 * symbol index (big-endian offsets, then names), and the object.  Global
 * symbols are read from the object's own ELF64 tables, every offset checked.
 */
#define _GNU_SOURCE /* mkdtemp, environ */
#include "frontend/cli/archive.h"

#include "ir/base/io.h"

#include <elf.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What tegu_text can hold; the format's own limit is ten digits. */
static const size_t largest_member = UINT32_MAX / 2 - 4096;

/* True when [offset, offset + size) lies inside the object. */
static bool inside(tegu_blob object, uint64_t offset, uint64_t size)
{
    return offset <= object.size && size <= object.size - offset;
}

/* The object's symbol table section; false when it is no ELF64 file. */
static bool find_symbols(tegu_blob object, Elf64_Shdr *symbols,
                         Elf64_Shdr *names)
{
    Elf64_Ehdr head;
    if (object.size < sizeof head)
        return false;
    memcpy(&head, object.data, sizeof head);
    if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 ||
        !inside(object, head.e_shoff, (uint64_t)head.e_shnum * sizeof *names))
        return false;
    for (int i = 0; i < head.e_shnum; i++) {
        const unsigned char *table = object.data + head.e_shoff;
        memcpy(symbols, table + (size_t)i * sizeof *symbols, sizeof *symbols);
        if (symbols->sh_type != SHT_SYMTAB || symbols->sh_link >= head.e_shnum)
            continue;
        memcpy(names, table + (size_t)symbols->sh_link * sizeof *names,
               sizeof *names);
        return inside(object, symbols->sh_offset, symbols->sh_size) &&
               inside(object, names->sh_offset, names->sh_size) &&
               names->sh_size &&
               object.data[names->sh_offset + names->sh_size - 1] == 0;
    }
    return false;
}

/* Names of the defined global symbols, each with its NUL; their count. */
static bool global_names(tegu_blob object, tegu_text *out, uint32_t *count)
{
    Elf64_Shdr symbols, names;
    *count = 0;
    if (!find_symbols(object, &symbols, &names))
        return false;
    for (uint64_t i = 0; i < symbols.sh_size / sizeof(Elf64_Sym); i++) {
        Elf64_Sym symbol;
        memcpy(&symbol, object.data + symbols.sh_offset + i * sizeof symbol,
               sizeof symbol);
        if (ELF64_ST_BIND(symbol.st_info) != STB_GLOBAL ||
            symbol.st_shndx == SHN_UNDEF || symbol.st_name >= names.sh_size)
            continue;
        const char *name =
            (const char *)object.data + names.sh_offset + symbol.st_name;
        tegu_text_add(out, name, strlen(name) + 1);
        (*count)++;
    }
    return true;
}

static void add_big_endian(tegu_text *out, uint32_t n)
{
    char bytes[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    tegu_text_add(out, bytes, 4);
}

/* The 60-byte header of a member; times and owners are zero. */
static void add_member(tegu_text *out, const char *name, size_t size)
{
    tegu_text_printf(out, "%-16s%-12s%-6s%-6s%-8s%-10zu`\n", name, "0", "0",
                     "0", "644", size);
}

bool tegu_archive(tegu_arena *arena, const char *member, tegu_blob object,
                  tegu_blob *archive, const char **error)
{
    tegu_text names = {.arena = arena}, out = {.arena = arena};
    uint32_t count;
    if (!global_names(object, &names, &count)) {
        *error = "the object has no symbol table";
        return false;
    }
    if (object.size > largest_member - names.count) {
        *error = "the object is too large for one";
        return false;
    }
    /* Long names live in a "//" member; a short one ends in '/'. */
    bool is_long = strlen(member) > 15;
    size_t index = 4 + 4 * (size_t)count + names.count;
    size_t long_size = is_long ? strlen(member) + 2 : 0;
    size_t start = 8 + 60 + index + (index & 1);
    if (is_long)
        start += 60 + long_size + (long_size & 1);
    tegu_text_add(&out, "!<arch>\n", 8);
    add_member(&out, "/", index);
    add_big_endian(&out, count);
    for (uint32_t i = 0; i < count; i++)
        add_big_endian(&out, (uint32_t)start);
    tegu_text_add(&out, names.data, names.count);
    if (index & 1)
        tegu_text_add(&out, "\n", 1);
    if (is_long) {
        add_member(&out, "//", long_size);
        tegu_text_printf(&out, "%s/\n", member);
        if (long_size & 1)
            tegu_text_add(&out, "\n", 1);
    }
    const char *shown = is_long ? "/0" : tegu_format(arena, "%s/", member);
    add_member(&out, shown, object.size);
    tegu_text_add(&out, (const char *)object.data, object.size);
    if (object.size & 1)
        tegu_text_add(&out, "\n", 1);
    *archive = (tegu_blob){(const unsigned char *)out.data, out.count};
    return true;
}

static const char *compiler_for(const tegu_target *target)
{
    const char *cc = getenv("CC");
    if (cc && *cc)
        return cc;
    if (target->arch == TEGU_ARCH_AARCH64 && !tegu_target_runs_here(target))
        return "aarch64-linux-gnu-gcc";
    return "cc";
}

static bool run(const char *program, const char *object, const char *shared)
{
    const char *argv[] = {program, "-shared", "-nostdlib", "-o",
                          shared,  object,    NULL};
    pid_t child;
    int status;
    if (posix_spawnp(&child, program, NULL, NULL, (char *const *)argv,
                     environ) != 0)
        return false;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static bool write_temporary(tegu_arena *arena, const char *path,
                            tegu_blob object, const char **error)
{
    tegu_outputs *outputs = tegu_outputs_create(arena);
    bool ok = tegu_outputs_open(outputs, path, error) &&
              tegu_outputs_write(outputs, object.data, object.size, error) &&
              tegu_outputs_commit(outputs, error);
    tegu_outputs_destroy(outputs);
    return ok;
}

bool tegu_link_shared(tegu_arena *arena, const tegu_target *target,
                      tegu_blob object, tegu_blob *shared, const char **error)
{
    char folder[] = "/tmp/tegu-XXXXXX";
    if (!mkdtemp(folder)) {
        *error = "no temporary folder";
        return false;
    }
    char *in = tegu_path_join(arena, folder, "model.o");
    char *out = tegu_path_join(arena, folder, "model.so");
    const char *program = compiler_for(target);
    tegu_file file;
    bool ok = write_temporary(arena, in, object, error);
    if (ok && !run(program, in, out)) {
        *error = tegu_format(arena, "'%s -shared' failed", program);
        ok = false;
    }
    if (ok && tegu_file_read(arena, out, 0, &file, error))
        *shared = (tegu_blob){file.data, file.size};
    else
        ok = false;
    unlink(in);
    unlink(out);
    rmdir(folder);
    return ok;
}
