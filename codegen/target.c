/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target strings to tegu_target, by the tables of targets.def.  LLVM is asked
 * for two things only: the host's CPU name and its features.  It is never
 * asked whether a name is valid, because for some names it aborts.
 */
#include "codegen/target.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#define HAS(id) (1u << TEGU_FEATURE_##id)

typedef struct arch_row {
    const char *text, *triple;
} arch_row;
typedef struct feature_row {
    const char *text;
    tegu_arch arch;
    unsigned implies;
} feature_row;
typedef struct vector_row {
    tegu_arch arch;
    unsigned needs, lanes, registers, fma, mr, nv;
} vector_row;
typedef struct cpu_row {
    const char *text;
    tegu_arch arch;
    unsigned has, l1, l2, l3;
} cpu_row;
typedef struct target_row {
    const char *text;
    tegu_arch arch;
    const char *cpu;
} target_row;

static const arch_row arches[] = {
#define TEGU_ARCH(id, text, triple) {text, triple},
#include "codegen/targets.def"
};
static const feature_row features_known[] = {
#define TEGU_FEATURE(id, text, arch, implies) {text, TEGU_ARCH_##arch, implies},
#include "codegen/targets.def"
};
static const vector_row vectors[] = {
#define TEGU_VECTOR(id, arch, needs, lanes, registers, fma, mr, nv)            \
    {TEGU_ARCH_##arch, needs, lanes, registers, fma, mr, nv},
#include "codegen/targets.def"
};
static const cpu_row cpus[] = {
#define TEGU_CPU(text, arch, has, l1, l2, l3)                                  \
    {text, TEGU_ARCH_##arch, has, l1, l2, l3},
#include "codegen/targets.def"
};
static const target_row targets[] = {
#define TEGU_TARGET(text, arch, cpu) {text, TEGU_ARCH_##arch, cpu},
#include "codegen/targets.def"
};

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])
_Static_assert(COUNT(features_known) == TEGU_FEATURE_COUNT, "one row each");
_Static_assert(TEGU_FEATURE_COUNT <= 32, "features are bits of an unsigned");

/* Rows of a narrow tile: enough accumulators to hide the latency of a
 * multiply-add, no more than the panel's loads are worth. */
enum { NARROW_ROWS = 12 };

tegu_tile_shape tegu_target_tile(const tegu_target *target, int64_t n)
{
    tegu_tile_shape tile = {target->mr, target->nv};
    if (n > (int64_t)target->lanes * (target->nv - 1))
        return tile;
    tile.nv = (unsigned)((n + target->lanes - 1) / target->lanes);
    tile.mr = (target->registers - 2 - tile.nv) / tile.nv;
    if (tile.mr > NARROW_ROWS)
        tile.mr = NARROW_ROWS;
    return tile;
}

unsigned tegu_target_panel(const tegu_target *target, int64_t n)
{
    return target->lanes * tegu_target_tile(target, n).nv;
}

const char *tegu_target_name(size_t i)
{
    if (i == 0)
        return "native";
    return i <= COUNT(targets) ? targets[i - 1].text : NULL;
}

const char *tegu_target_cpu_name(size_t i, tegu_arch *arch)
{
    if (i >= COUNT(cpus))
        return NULL;
    *arch = cpus[i].arch;
    return cpus[i].text;
}

const char *tegu_target_feature_name(size_t i, tegu_arch *arch)
{
    if (i >= COUNT(features_known))
        return NULL;
    *arch = features_known[i].arch;
    return features_known[i].text;
}

/* Edits (insert, delete, replace) between two short words; Levenshtein 1966.
 * Words longer than the row count as far apart. */
static size_t distance(const char *a, const char *b)
{
    size_t row[65], n = strlen(b);
    if (n > 64 || strlen(a) > 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

typedef struct guess {
    const char *word, *best;
    size_t far;
} guess;

static void consider(guess *g, const char *candidate)
{
    size_t d = distance(g->word, candidate);
    if (d < g->far) {
        g->far = d;
        g->best = candidate;
    }
}

static bool refuse(tegu_failure *failure, const char *what, const guess *g)
{
    if (g->best)
        return tegu_fail(failure, "unknown %s '%.64s', did you mean '%s'?",
                         what, g->word, g->best);
    return tegu_fail(failure, "unknown %s '%.64s'; `tegu targets` lists them",
                     what, g->word);
}

/* A guess further away than this is no help. */
static guess guess_of(const char *word)
{
    return (guess){word, NULL, strlen(word) / 3 + 1};
}

static const target_row *find_target(const char *text, tegu_failure *failure)
{
    guess g = guess_of(text);
    consider(&g, "native");
    for (size_t i = 0; i < COUNT(targets); i++) {
        if (!strcmp(targets[i].text, text))
            return &targets[i];
        consider(&g, targets[i].text);
    }
    refuse(failure, "target", &g);
    return NULL;
}

static const cpu_row *find_cpu(const char *text, tegu_arch arch,
                               tegu_failure *failure)
{
    guess g = guess_of(text);
    char what[40];
    for (size_t i = 0; i < COUNT(cpus); i++) {
        if (cpus[i].arch != arch)
            continue;
        if (!strcmp(cpus[i].text, text))
            return &cpus[i];
        consider(&g, cpus[i].text);
    }
    snprintf(what, sizeof what, "%s cpu", arches[arch].text);
    refuse(failure, what, &g);
    return NULL;
}

/* The feature and everything that it brings along. */
static unsigned closure(unsigned bits)
{
    for (unsigned before = 0; before != bits;) {
        before = bits;
        for (size_t i = 0; i < COUNT(features_known); i++)
            if (bits >> i & 1)
                bits |= features_known[i].implies;
    }
    return bits;
}

/* What is left of `has` when `gone` goes: whatever needs it goes too. */
static unsigned without(unsigned has, size_t gone)
{
    for (size_t i = 0; i < COUNT(features_known); i++)
        if (closure(1u << i) >> gone & 1)
            has &= ~(1u << i);
    return has;
}

static bool toggle(tegu_target *out, const char *word, tegu_failure *failure)
{
    if (word[0] != '+' && word[0] != '-')
        return tegu_fail(failure,
                         "feature '%.64s' needs a '+' or '-' before it", word);
    guess g = guess_of(word + 1);
    for (size_t i = 0; i < COUNT(features_known); i++) {
        if (features_known[i].arch != out->arch)
            continue;
        if (!strcmp(features_known[i].text, word + 1)) {
            out->has = word[0] == '+' ? out->has | closure(1u << i)
                                      : without(out->has, i);
            return true;
        }
        consider(&g, features_known[i].text);
    }
    char what[40];
    snprintf(what, sizeof what, "%s feature", arches[out->arch].text);
    return refuse(failure, what, &g);
}

/* Appends a checked toggle to LLVM's string. */
static bool append(tegu_target *out, const char *word, tegu_failure *failure)
{
    size_t used = strlen(out->features);
    int n = snprintf(out->features + used, sizeof out->features - used, "%s%s",
                     used ? "," : "", word);
    if (n < 0 || (size_t)n >= sizeof out->features - used)
        return tegu_fail(failure, "the list of target features is too long");
    return true;
}

static bool apply_features(tegu_target *out, const char *list,
                           tegu_failure *failure)
{
    while (*list) {
        char word[96];
        size_t n = strcspn(list, ",");
        if (n == 0 || n >= sizeof word)
            return tegu_fail(failure,
                             "features are written '+x,-y', not '%.64s'", list);
        memcpy(word, list, n);
        word[n] = '\0';
        if (!toggle(out, word, failure) || !append(out, word, failure))
            return false;
        list += n + (list[n] == ',');
        if (list[-1] == ',' && !*list)
            return tegu_fail(failure, "the list of features ends in a comma");
    }
    return true;
}

/* The bits of our table that occur in LLVM's list of host features. */
static unsigned known_bits(const char *list, tegu_arch arch)
{
    unsigned bits = 0;
    while (*list) {
        size_t n = strcspn(list, ",");
        for (size_t i = 0; i < COUNT(features_known); i++) {
            const char *text = features_known[i].text;
            if (features_known[i].arch == arch && *list == '+' &&
                strlen(text) == n - 1 && !strncmp(list + 1, text, n - 1))
                bits |= 1u << i;
        }
        list += n + (list[n] == ',');
    }
    return bits;
}

static bool host_arch(tegu_arch *arch)
{
    char *triple = LLVMGetDefaultTargetTriple();
    bool found = false;
    for (size_t i = 0; i < COUNT(arches) && !found; i++) {
        size_t n = strcspn(arches[i].triple, "-");
        found = !strncmp(triple, arches[i].triple, n) && triple[n] == '-';
        if (found)
            *arch = (tegu_arch)i;
    }
    LLVMDisposeMessage(triple);
    return found;
}

static bool fill_native(tegu_target *out, tegu_failure *failure)
{
    if (!host_arch(&out->arch))
        return tegu_fail(failure,
                         "this machine is neither x86-64 nor aarch64; name a "
                         "target instead of 'native'");
    char *cpu = LLVMGetHostCPUName(), *features = LLVMGetHostCPUFeatures();
    int a = snprintf(out->cpu, sizeof out->cpu, "%s", cpu);
    int b = snprintf(out->features, sizeof out->features, "%s", features);
    LLVMDisposeMessage(cpu);
    LLVMDisposeMessage(features);
    if (a < 0 || b < 0 || (size_t)a >= sizeof out->cpu ||
        (size_t)b >= sizeof out->features)
        return tegu_fail(failure, "the host's feature list is too long");
    out->has = known_bits(out->features, out->arch);
    return true;
}

static void fill_cpu(tegu_target *out, const cpu_row *row)
{
    snprintf(out->cpu, sizeof out->cpu, "%s", row->text);
    out->has = closure(row->has);
}

static void fill_caches(tegu_target *out)
{
    out->l1 = 32u << 10;
    out->l2 = 512u << 10;
    out->l3 = 8u << 20;
    for (size_t i = 0; i < COUNT(cpus); i++)
        if (!strcmp(cpus[i].text, out->cpu)) {
            out->l1 = (size_t)cpus[i].l1 << 10;
            out->l2 = (size_t)cpus[i].l2 << 10;
            out->l3 = (size_t)cpus[i].l3 << 20;
        }
}

static bool fill_vectors(tegu_target *out, tegu_failure *failure)
{
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const vector_row *row = &vectors[i];
        if (row->arch != out->arch || (out->has & row->needs) != row->needs)
            continue;
        out->lanes = row->lanes;
        out->registers = row->registers;
        out->fma = row->fma;
        out->mr = row->mr;
        out->nv = row->nv;
        return true;
    }
    return tegu_fail(failure,
                     "%s code without vector registers is not "
                     "supported; leave '%s' on",
                     arches[out->arch].text, "neon");
}

static bool is_set(const char *text)
{
    return text && *text;
}

bool tegu_target_find(tegu_target *out, const char *target, const char *cpu,
                      const char *features, tegu_failure *failure)
{
    memset(out, 0, sizeof *out);
    if (!is_set(target))
        target = "native";
    bool native = !strcmp(target, "native");
    const char *named = is_set(cpu) && strcmp(cpu, "native") ? cpu : NULL;
    if (native) {
        if (named ? !host_arch(&out->arch) : !fill_native(out, failure))
            return named ? tegu_fail(failure, "the host is not supported")
                         : false;
    } else {
        const target_row *row = find_target(target, failure);
        if (!row)
            return false;
        out->arch = row->arch;
        if (is_set(cpu) && !named)
            return tegu_fail(failure, "cpu 'native' needs target 'native'");
        named = named ? named : row->cpu;
    }
    snprintf(out->name, sizeof out->name, "%s", target);
    snprintf(out->triple, sizeof out->triple, "%s", arches[out->arch].triple);
    if (named) {
        const cpu_row *row = find_cpu(named, out->arch, failure);
        if (!row)
            return false;
        fill_cpu(out, row);
    }
    fill_caches(out);
    return (!is_set(features) || apply_features(out, features, failure)) &&
           fill_vectors(out, failure);
}

bool tegu_target_runs_here(const tegu_target *target)
{
    tegu_target host;
    tegu_failure ignored;
    return tegu_target_find(&host, "native", NULL, NULL, &ignored) &&
           host.arch == target->arch && !(target->has & ~host.has);
}
