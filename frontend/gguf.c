/* SPDX-License-Identifier: Apache-2.0 */
/* gguf.c - a GGUF file as metadata and tensors.
 *
 * Takes    the bytes of a file, trusted in nothing.
 * Produces its scalars and strings by key, and its tensors with their data's
 *          place, each inside the file.
 * How      one cursor; every read asks first whether the bytes are there, so
 *          a count or a length can be no larger than the file.  Tensors must
 *          follow each other as ggml's own reader demands: each begins where
 *          the padded one before it ends.
 * Leaves   quantised types to whoever can read them: their tensors have no
 *          dtype and no data, and end the check of what lies where.
 */
#include "frontend/gguf.h"

#include <string.h>

enum {
    NAME_LIMIT = 64, /* ggml's GGML_MAX_NAME, with its NUL */
    KEY_LIMIT = 65535,
    MOST_DIMS = 4,
    DEFAULT_ALIGNMENT = 32
};

/* Value types in the file's numbering; 0 bytes: text or array. */
static const struct {
    unsigned char bytes;
    char kind; /* u i f b: unsigned, signed, float, bool */
} value_types[] = {
    {1, 'u'}, {1, 'i'}, {2, 'u'}, {2, 'i'}, {4, 'u'}, {4, 'i'}, {4, 'f'},
    {1, 'b'}, {0, 's'}, {0, 'a'}, {8, 'u'}, {8, 'i'}, {8, 'f'},
};
enum { VALUE_TYPES = sizeof value_types / sizeof *value_types };

/* Tensor types that are plain numbers. */
static const struct {
    uint32_t type;
    tegu_dtype dtype;
} plain_types[] = {
    {0, TEGU_F32},  {1, TEGU_F16},  {24, TEGU_I8},   {26, TEGU_I32},
    {27, TEGU_I64}, {28, TEGU_F64}, {30, TEGU_BF16},
};

typedef struct cursor {
    tegu_arena *arena;
    tegu_diag *diag;
    tegu_gguf *gguf;
    const unsigned char *data;
    size_t size, at;
    size_t start; /* of the item being read, for messages */
} cursor;

static bool fail(const cursor *c, const char *format, ...) TEGU_PRINTF(2, 3);
static bool fail(const cursor *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = tegu_format_v(c->arena, format, args);
    va_end(args);
    tegu_loc loc = {.file = c->gguf->path, .binary = true, .offset = c->start};
    return tegu_error(c->diag, loc, TEGU_E_GGUF, "%s", text);
}

/* The next n bytes; NULL after reporting. */
static const unsigned char *take(cursor *c, uint64_t n)
{
    c->start = c->at;
    if (n > c->size - c->at) {
        fail(c, "the file ends inside its header");
        return NULL;
    }
    c->at += (size_t)n;
    return c->data + c->at - (size_t)n;
}

static bool take_u32(cursor *c, uint32_t *value)
{
    const unsigned char *bytes = take(c, 4);
    if (bytes)
        memcpy(value, bytes, 4);
    return bytes != NULL;
}

static bool take_u64(cursor *c, uint64_t *value)
{
    const unsigned char *bytes = take(c, 8);
    if (bytes)
        memcpy(value, bytes, 8);
    return bytes != NULL;
}

/* A string as a NUL-terminated copy. */
static bool take_text(cursor *c, const char **text, size_t *size)
{
    uint64_t length;
    if (!take_u64(c, &length))
        return false;
    const unsigned char *bytes = take(c, length);
    if (!bytes)
        return false;
    char *copy = tegu_arena_alloc(c->arena, (size_t)length + 1);
    memcpy(copy, bytes, (size_t)length);
    *text = copy;
    *size = (size_t)length;
    return true;
}

/* --- metadata --- */

static double number_of(const unsigned char *bytes, size_t size, char kind)
{
    uint64_t bits = 0;
    float f;
    double d;
    memcpy(&bits, bytes, size);
    if (kind == 'f' && size == 4) {
        memcpy(&f, bytes, 4);
        return (double)f;
    }
    if (kind == 'f') {
        memcpy(&d, bytes, 8);
        return d;
    }
    if (kind != 'i')
        return (double)bits;
    unsigned unused = 64 - 8 * (unsigned)size;
    return (double)((int64_t)(bits << unused) >> unused);
}

/* Passes over an array; arrays of arrays are not part of what is read. */
static bool skip_array(cursor *c)
{
    uint32_t type;
    uint64_t count, bytes;
    const char *text;
    size_t size;
    if (!take_u32(c, &type) || !take_u64(c, &count))
        return false;
    if (type >= VALUE_TYPES || value_types[type].kind == 'a')
        return fail(c, "an array holds values of type %u", type);
    if (value_types[type].kind != 's') {
        if (__builtin_mul_overflow(count, value_types[type].bytes, &bytes))
            return fail(c, "an array's size overflows");
        return take(c, bytes) != NULL;
    }
    for (uint64_t i = 0; i < count; i++)
        if (!take_text(c, &text, &size))
            return false;
    return true;
}

static bool read_value(cursor *c, tegu_gguf_value *value)
{
    uint32_t type;
    if (!take_u32(c, &type))
        return false;
    if (type >= VALUE_TYPES)
        return fail(c, "unknown value type %u", type);
    char kind = value_types[type].kind;
    value->is_text = kind == 's';
    value->is_array = kind == 'a';
    if (kind == 'a')
        return skip_array(c);
    if (kind == 's')
        return take_text(c, &value->text, &value->size);
    const unsigned char *bytes = take(c, value_types[type].bytes);
    if (!bytes)
        return false;
    if (kind == 'b' && *bytes > 1)
        return fail(c, "a bool is %u", *bytes);
    value->number = number_of(bytes, value_types[type].bytes, kind);
    return true;
}

static bool read_values(cursor *c, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const char *key;
        size_t size, at = c->at;
        tegu_gguf_value value = {0};
        if (!take_text(c, &key, &size))
            return false;
        c->start = at;
        if (size == 0 || size > KEY_LIMIT)
            return fail(c, "a key has %zu bytes; it must have 1 to %d", size,
                        KEY_LIMIT);
        if (!tegu_map_set(c->gguf->keys, key, size, c->gguf->values.count))
            return fail(c, "key '%s' is there twice",
                        tegu_escaped(c->arena, key, size));
        if (!read_value(c, &value))
            return false;
        tegu_vec_push(c->arena, &c->gguf->values, value);
    }
    return true;
}

const tegu_gguf_value *tegu_gguf_find(const tegu_gguf *gguf, const char *key)
{
    const uint64_t *at = tegu_map_find(gguf->keys, key, strlen(key));
    return at ? &gguf->values.data[*at] : NULL;
}

/* --- tensors --- */

static bool read_dims(cursor *c, tegu_stored_tensor *t, uint64_t *elements)
{
    uint32_t rank;
    *elements = 1;
    if (!take_u32(c, &rank))
        return false;
    if (rank > MOST_DIMS)
        return fail(c, "tensor '%s' has %u dimensions; the most is %d", t->name,
                    rank, MOST_DIMS);
    t->rank = rank;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t extent;
        if (!take_u64(c, &extent))
            return false;
        if (extent > INT64_MAX ||
            __builtin_mul_overflow(*elements, extent, elements) ||
            *elements > INT64_MAX / 8)
            return fail(c, "the size of tensor '%s' overflows", t->name);
        t->dims[rank - 1 - i] = (int64_t)extent;
    }
    return true;
}

static void set_dtype(cursor *c, tegu_stored_tensor *t, uint32_t type)
{
    t->dtype = TEGU_DTYPE_COUNT;
    for (size_t i = 0; i < sizeof plain_types / sizeof *plain_types; i++)
        if (plain_types[i].type == type)
            t->dtype = plain_types[i].dtype;
    t->dtype_text = t->dtype == TEGU_DTYPE_COUNT
                        ? tegu_format(c->arena, "GGUF type %u", type)
                        : tegu_dtype_safetensors(t->dtype);
}

/* `offset` counts from the data's start, which is not known yet. */
static bool read_tensor(cursor *c, tegu_map *names, uint64_t *offset)
{
    tegu_stored_tensor t = {0};
    uint64_t elements;
    uint32_t type;
    size_t size, at = c->at;
    const char *name;
    if (!take_text(c, &name, &size))
        return false;
    c->start = at;
    if (size == 0 || size >= NAME_LIMIT)
        return fail(c, "a tensor's name has %zu bytes; it must have 1 to %d",
                    size, NAME_LIMIT - 1);
    t.name = tegu_escaped(c->arena, name, size);
    if (!tegu_map_set(names, name, size, 1))
        return fail(c, "tensor '%s' is there twice", t.name);
    if (!read_dims(c, &t, &elements) || !take_u32(c, &type) ||
        !take_u64(c, offset))
        return false;
    set_dtype(c, &t, type);
    if (t.dtype != TEGU_DTYPE_COUNT)
        t.bytes = (size_t)elements * tegu_dtype_bytes(t.dtype);
    tegu_vec_push(c->arena, &c->gguf->tensors, t);
    return true;
}

static bool alignment_of(cursor *c, uint64_t *alignment)
{
    const tegu_gguf_value *v = tegu_gguf_find(c->gguf, "general.alignment");
    *alignment = DEFAULT_ALIGNMENT;
    if (!v)
        return true;
    double n = v->number;
    bool fits = !v->is_text && !v->is_array && n >= 1 && n <= 1 << 20;
    *alignment = fits ? (uint64_t)n : 0;
    c->start = 0;
    return (fits && (*alignment & (*alignment - 1)) == 0) ||
           fail(c, "general.alignment is not a power of two up to 2^20");
}

/* Gives every tensor its data, in order and without holes. */
static bool place(cursor *c, const uint64_t *offsets)
{
    uint64_t alignment, expected = 0;
    if (!alignment_of(c, &alignment))
        return false;
    size_t begin = (c->at + (size_t)alignment - 1) & ~((size_t)alignment - 1);
    for (uint32_t i = 0; i < c->gguf->tensors.count; i++) {
        tegu_stored_tensor *t = &c->gguf->tensors.data[i];
        c->start = begin;
        if (t->dtype == TEGU_DTYPE_COUNT)
            return true;
        if (offsets[i] != expected)
            return fail(c, "tensor '%s' lies at %llu, not at %llu", t->name,
                        (unsigned long long)offsets[i],
                        (unsigned long long)expected);
        if (begin > c->size || expected > c->size - begin ||
            t->bytes > c->size - begin - (size_t)expected)
            return fail(c, "tensor '%s' reaches past the end of the file",
                        t->name);
        t->data = c->data + begin + (size_t)expected;
        expected += (t->bytes + alignment - 1) & ~(alignment - 1);
    }
    return true;
}

static bool read_tensors(cursor *c, uint64_t count)
{
    tegu_map *names = tegu_map_create(c->arena);
    if (count > c->size / 24) /* of a tensor's least description */
        return fail(c, "%llu tensors do not fit the file",
                    (unsigned long long)count);
    uint64_t *offsets = TEGU_ARRAY(c->arena, uint64_t, (size_t)count + 1);
    for (uint64_t i = 0; i < count; i++)
        if (!read_tensor(c, names, &offsets[i]))
            return false;
    return place(c, offsets);
}

/* --- the file --- */

static bool read_file(cursor *c)
{
    uint32_t version;
    uint64_t tensors, values;
    const unsigned char *magic = take(c, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0)
        return magic && fail(c, "is not GGUF: the magic is missing");
    if (!take_u32(c, &version))
        return false;
    if (version != 2 && version != 3)
        return fail(c, "is GGUF version %u%s; 2 and 3 can be read", version,
                    version & 0xffff ? "" : " (big-endian?)");
    return take_u64(c, &tensors) && take_u64(c, &values) &&
           read_values(c, values) && read_tensors(c, tensors);
}

tegu_gguf *tegu_gguf_parse(tegu_arena *arena, tegu_diag *diag, const char *path,
                           const unsigned char *data, size_t size)
{
    tegu_gguf *gguf = TEGU_NEW(arena, tegu_gguf);
    cursor c = {
        .arena = arena, .diag = diag, .gguf = gguf, .data = data, .size = size};
    gguf->path = path;
    gguf->keys = tegu_map_create(arena);
    return read_file(&c) ? gguf : NULL;
}

tegu_gguf *tegu_gguf_open(tegu_arena *arena, tegu_diag *diag, const char *path)
{
    tegu_file file;
    const char *error;
    if (!tegu_file_map(arena, path, &file, &error)) {
        tegu_error(diag, tegu_loc_file(path), TEGU_E_NO_INPUT, "%s", error);
        return NULL;
    }
    tegu_gguf *gguf = tegu_gguf_parse(arena, diag, path, file.data, file.size);
    if (gguf)
        gguf->file = file;
    else
        tegu_file_unmap(&file);
    return gguf;
}
