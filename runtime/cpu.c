/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c: which of cpu_features.def this machine has.
 *
 * x86: CPUID says what the CPU can do, XGETBV what the operating system
 * saves; a feature counts when both agree.  AArch64: the kernel's HWCAP words
 * say both at once.  Elsewhere no feature is known.
 */
#include "tegu/runtime.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

enum { A, B, C, D };
enum { NONE, YMM, ZMM, TILE };

typedef struct feature {
    const char *name;
    uint32_t leaf, subleaf;
    uint8_t reg, bit, state, level;
} feature;

static const feature features[] = {
#define TEGU_CPU_X86(name, leaf, subleaf, reg, bit, state, level)              \
    {name, leaf, subleaf, reg, bit, state, level},
#include "runtime/cpu_features.def"
#undef TEGU_CPU_X86
};

/* Bits of XCR0 that each state needs: SSE and AVX; opmask and ZMM; AMX. */
static const uint32_t saved[] = {
    [NONE] = 0, [YMM] = 0x6, [ZMM] = 0xe6, [TILE] = 0x60000};

static uint32_t enabled_states(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) /* OSXSAVE */
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static bool present(const feature *f)
{
    uint32_t r[4], need = saved[f->state];
    if (!__get_cpuid_count(f->leaf, 0, &r[A], &r[B], &r[C], &r[D]))
        return false;
    if (f->subleaf > 0) {
        if (f->subleaf > r[A]) /* leaf 7: EAX is the last subleaf */
            return false;
        __cpuid_count(f->leaf, f->subleaf, r[A], r[B], r[C], r[D]);
    }
    return (r[f->reg] >> f->bit & 1) && (enabled_states() & need) == need;
}

const char *tegu_cpu_level(void)
{
#if defined(__x86_64__)
    static const char *const names[] = {"x86-64", "x86-64-v2", "x86-64-v3",
                                        "x86-64-v4"};
    int level = 4;
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        const feature *f = &features[i];
        if (f->level && f->level <= level && !present(f))
            level = f->level - 1;
    }
    return names[level - 1];
#else
    return "generic";
#endif
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

typedef struct feature {
    const char *name;
    int word, bit;
} feature;

static const feature features[] = {
#define TEGU_CPU_ARM(name, word, bit) {name, word, bit},
#include "runtime/cpu_features.def"
#undef TEGU_CPU_ARM
};

static bool present(const feature *f)
{
    unsigned long word = getauxval(f->word == 1 ? AT_HWCAP : AT_HWCAP2);
    return word >> f->bit & 1;
}

const char *tegu_cpu_level(void)
{
    return "generic";
}

#else
typedef struct feature {
    const char *name;
} feature;

static const feature features[] = {{"none"}};

static bool present(const feature *f)
{
    (void)f;
    return false;
}

const char *tegu_cpu_level(void)
{
    return "generic";
}
#endif

/* Copies what fits of `part` to text[at..], leaving room for the end. */
static size_t append(char *text, size_t size, size_t at, const char *part)
{
    size_t length = strlen(part);
    if (at + 1 < size) {
        size_t room = size - 1 - at;
        memcpy(text + at, part, length < room ? length : room);
    }
    return at + length;
}

size_t tegu_cpu_features(char *text, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (!present(&features[i]))
            continue;
        at = append(text, size, at, at ? ",+" : "+");
        at = append(text, size, at, features[i].name);
    }
    if (size > 0)
        text[at < size ? at : size - 1] = '\0';
    return at;
}

int tegu_cpu_has(const char *name)
{
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (strcmp(features[i].name, name) == 0)
            return present(&features[i]);
    return 0;
}
