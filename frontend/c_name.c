/* SPDX-License-Identifier: Apache-2.0 */
/* c_name.c - which names of a model can stand in its C header. */
#include "frontend/c_name.h"
#include <string.h>

/* Keywords of C17, C23 and C++20 (and alternative tokens); fn, let and the
 * like are the language's own and never come here. */
static const char *const keywords[] = {
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "atomic_cancel",
    "atomic_commit",
    "atomic_noexcept",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "char16_t",
    "char32_t",
    "char8_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "reflexpr",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "switch",
    "synchronized",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "typeof_unqual",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
};

/* NAME_x of docs/abi.md: what an entry must not be called. */
static const char *const entry_words[] = {
    "init",     "context", "status",      "task", "parallel_for",
    "position", "reset",   "rewind",      "save", "save_bytes",
    "load",     "adapter", "set_adapter",
};

/* Parameters, types and macros that an entry's prototype uses. */
static const char *const argument_words[] = {
    "c",       "workspace", "workspace_bytes", "NULL",   "int8_t",
    "int32_t", "int64_t",   "uint8_t",         "size_t",
};

static bool among(const char *name, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, words[i]) == 0)
            return true;
    return false;
}

#define AMONG(name, words) among(name, words, sizeof(words) / sizeof *(words))

static bool is_identifier(const char *name)
{
    if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z')))
        return false;
    for (; *name; name++)
        if (!((*name >= 'a' && *name <= 'z') ||
              (*name >= 'A' && *name <= 'Z') ||
              (*name >= '0' && *name <= '9') || *name == '_'))
            return false;
    return true;
}

/* NAME_step_workspace_bytes belongs to the entry `step`. */
static bool has_entry_suffix(const char *name)
{
    static const char suffix[] = "_workspace_bytes";
    size_t length = strlen(name), tail = sizeof suffix - 1;
    return length > tail && strcmp(name + length - tail, suffix) == 0;
}

bool tegu_c_name_check(tegu_diag *diag, tegu_loc loc, tegu_c_use use,
                       const char *name)
{
    static const char *const what[] = {[TEGU_C_MODEL] = "model",
                                       [TEGU_C_ENTRY] = "entry",
                                       [TEGU_C_ARGUMENT] = "name"};
    const char *why = NULL;
    if (!is_identifier(name))
        why = "is no C name: a letter, then letters, digits and '_'";
    else if (strlen(name) > TEGU_C_NAME_LIMIT)
        why = "is longer than 64 characters";
    else if (AMONG(name, keywords))
        why = "is a keyword of C or C++";
    else if ((use == TEGU_C_ENTRY &&
              (AMONG(name, entry_words) || has_entry_suffix(name))) ||
             (use == TEGU_C_ARGUMENT && AMONG(name, argument_words)))
        why = "is used by the generated header itself";
    if (!why)
        return true;
    char shown[80];
    size_t length =
        strlen(name) < sizeof shown ? strlen(name) : sizeof shown - 1;
    for (size_t i = 0; i < length; i++)
        shown[i] = (char)(name[i] >= ' ' && name[i] <= '~' ? name[i] : '?');
    shown[length] = 0;
    return tegu_error(diag, loc, TEGU_E_C_NAME,
                      "the %s '%s' %s; choose another name", what[use], shown,
                      why);
}
