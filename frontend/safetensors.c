/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.c - reads, checks and writes safetensors files.
 *
 * Takes a file as it lies on disk: u64 N, N bytes of JSON, data.  Produces the
 * list of tensors, whose data stays in the file.  The rules are those of
 * huggingface/safetensors' tensor.rs (its error names are given where each is
 * checked), but that repeated names and escaped NULs are rejected.
 * Leaves conversion of elements to ir/param.c.
 */
#include "frontend/safetensors.h"
#include "frontend/json.h"

#include <stdlib.h>
#include <string.h>

enum { LARGEST_HEADER = 100000000, LENGTH = 8, DATA_ALIGN = 64 };

/* Element types of the format that no tegu_dtype stands for, in bits. */
static const struct {
    const char *name;
    unsigned bits;
} foreign[] = {
    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"F8_E5M2", 8},
    {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
    {"I16", 16},    {"U16", 16},    {"U32", 32},        {"C64", 64},
    {"U64", 64},
};

/* A tensor as its header entry gives it. */
typedef struct entry {
    tegu_stored_tensor tensor;
    uint64_t begin, end; /* in the data */
} entry;

typedef struct reader {
    tegu_arena *arena;
    tegu_diag *diag;
    const char *path;
    const char *header;
    size_t header_size;
    const unsigned char *data;
    size_t data_size;
    uint32_t errors_before;
    entry *entries; /* as many as the header has members, or fewer */
    uint32_t count;
    tegu_safetensors *file;
} reader;

/* --- errors --- */

static tegu_loc loc_at(const reader *r, uint64_t offset)
{
    return (tegu_loc){.file = r->path, .binary = true, .offset = offset};
}

/* A problem of one tensor, placed at its name in the header. */
static bool tensor_error(const reader *r, const char *name, tegu_diag_id id,
                         const char *text)
{
    const char *const keys[] = {name, NULL};
    size_t at = tegu_json_find(r->header, r->header_size, keys);
    return tegu_error(r->diag, loc_at(r, LENGTH + at), id, "tensor '%s': %s",
                      tegu_escaped(r->arena, name, strlen(name)), text);
}

static bool malformed(const reader *r, const char *name, const char *text)
{
    return tensor_error(r, name, TEGU_E_SAFETENSORS, text);
}

static bool failed(const reader *r)
{
    return tegu_diag_errors(r->diag) > r->errors_before;
}

/* --- the header --- */

/* HeaderTooSmall, HeaderTooLarge, InvalidHeaderLength. */
static bool split(reader *r, const unsigned char *bytes, size_t size)
{
    if (size < LENGTH)
        return tegu_error(r->diag, loc_at(r, 0), TEGU_E_SAFETENSORS,
                          "the file has %zu bytes, but its header's length "
                          "alone takes 8",
                          size);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | bytes[i];
    if (length > LARGEST_HEADER)
        return tegu_error(r->diag, loc_at(r, 0), TEGU_E_SAFETENSORS,
                          "the header's length %llu is over the limit of "
                          "100000000",
                          (unsigned long long)length);
    if (length > size - LENGTH)
        return tegu_error(r->diag, loc_at(r, 0), TEGU_E_SAFETENSORS,
                          "the header's length %llu is beyond the end of a "
                          "file of %zu bytes",
                          (unsigned long long)length, size);
    r->header = (const char *)bytes + LENGTH;
    r->header_size = (size_t)length;
    r->data = bytes + LENGTH + length;
    r->data_size = size - LENGTH - (size_t)length;
    return true;
}

/* Bits of one element; 0 when the format has no such type. */
static unsigned element_bits(const char *name, tegu_dtype *dtype)
{
    *dtype = tegu_dtype_find_safetensors(name, strlen(name));
    if (*dtype != TEGU_DTYPE_COUNT)
        return (unsigned)tegu_dtype_bytes(*dtype) * 8;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (strcmp(foreign[i].name, name) == 0)
            return foreign[i].bits;
    return 0;
}

/* Bytes of a tensor; NULL, or what is wrong (ValidationOverflow,
 * MisalignedSlice). */
static const char *count_bytes(const tegu_stored_tensor *t, unsigned bits,
                               uint64_t *bytes)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(count, (uint64_t)t->dims[i], &count))
            return "its shape has more than 2^64 elements";
    if (__builtin_mul_overflow(count, (uint64_t)bits, &count))
        return "it has more than 2^64 bits";
    if (count % 8)
        return "its data does not fill whole bytes";
    *bytes = count / 8;
    return NULL;
}

static bool read_shape(const reader *r, const char *name, const json_t *shape,
                       tegu_stored_tensor *t)
{
    if (!json_is_array(shape))
        return malformed(r, name, "'shape' must be an array of integers");
    size_t rank = json_array_size(shape);
    if (rank > TEGU_MAX_RANK)
        return tensor_error(r, name, TEGU_E_UNSUPPORTED,
                            tegu_format(r->arena,
                                        "it has %zu axes; tegu takes up to %d",
                                        rank, TEGU_MAX_RANK));
    t->rank = (uint32_t)rank;
    for (uint32_t i = 0; i < t->rank; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return malformed(r, name,
                             tegu_format(r->arena,
                                         "shape[%u] must be an integer of at "
                                         "least 0",
                                         i));
        t->dims[i] = json_integer_value(dim);
    }
    return true;
}

static bool read_offsets(const reader *r, const char *name,
                         const json_t *offsets, entry *e)
{
    const json_t *begin = json_array_get(offsets, 0);
    const json_t *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) ||
        !json_is_integer(end) || json_integer_value(begin) < 0 ||
        json_integer_value(end) < 0)
        return malformed(r, name,
                         "'data_offsets' must be two integers of at least 0");
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    if (e->begin > e->end)
        return malformed(r, name, "its data ends before it begins");
    return true;
}

/* TensorInvalidInfo: the offsets must span what dtype and shape need. */
static bool check_size(const reader *r, const char *name, unsigned bits,
                       entry *e)
{
    uint64_t bytes = 0;
    const char *wrong = count_bytes(&e->tensor, bits, &bytes);
    if (wrong)
        return malformed(r, name, wrong);
    if (bytes != e->end - e->begin)
        return malformed(
            r, name,
            tegu_format(r->arena,
                        "dtype and shape need %llu bytes, its offsets span "
                        "%llu",
                        (unsigned long long)bytes,
                        (unsigned long long)(e->end - e->begin)));
    e->tensor.bytes = (size_t)bytes;
    return true;
}

static void read_tensor(reader *r, const char *key, const json_t *value)
{
    entry e = {0};
    if (!json_is_object(value)) {
        malformed(r, key, "must be an object");
        return;
    }
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (!dtype) {
        malformed(r, key, "'dtype' must be a string");
        return;
    }
    unsigned bits = element_bits(dtype, &e.tensor.dtype);
    if (bits == 0) {
        malformed(r, key,
                  tegu_format(r->arena, "unknown dtype '%s'",
                              tegu_escaped(r->arena, dtype, strlen(dtype))));
        return;
    }
    if (!read_shape(r, key, json_object_get(value, "shape"), &e.tensor) ||
        !read_offsets(r, key, json_object_get(value, "data_offsets"), &e) ||
        !check_size(r, key, bits, &e))
        return;
    e.tensor.name = tegu_arena_copy(r->arena, key, strlen(key) + 1);
    e.tensor.dtype_text = tegu_arena_copy(r->arena, dtype, strlen(dtype) + 1);
    r->entries[r->count++] = e;
}

static void read_metadata(reader *r, json_t *metadata)
{
    static const char *const keys[] = {"__metadata__", NULL};
    const char *key;
    json_t *value;
    bool strings = json_is_object(metadata);
    json_object_foreach(metadata, key, value)
    {
        const char *text = json_string_value(value);
        if (!text) {
            strings = false;
            break;
        }
        tegu_vec_push(r->arena, &r->file->metadata,
                      tegu_format(r->arena, "%s", key));
        tegu_vec_push(r->arena, &r->file->metadata,
                      tegu_format(r->arena, "%s", text));
    }
    if (!strings)
        tegu_error(
            r->diag,
            loc_at(r, LENGTH + tegu_json_find(r->header, r->header_size, keys)),
            TEGU_E_SAFETENSORS,
            "'__metadata__' must be an object that maps text to text");
}

/* InvalidHeader, InvalidHeaderDeserialization, and each entry. */
static bool read_header(reader *r)
{
    enum { ENOUGH = 20 };
    size_t at = 0;
    const char *error;
    json_t *root =
        tegu_json_parse(r->arena, r->header, r->header_size, &at, &error);
    if (!root)
        return tegu_error(r->diag, loc_at(r, LENGTH + at), TEGU_E_SAFETENSORS,
                          "the header %s", error);
    const char *key;
    json_t *value;
    r->entries = TEGU_ARRAY(r->arena, entry, json_object_size(root));
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0)
            read_metadata(r, value);
        else
            read_tensor(r, key, value);
        if (tegu_diag_errors(r->diag) >= r->errors_before + ENOUGH)
            break;
    }
    json_decref(root);
    return !failed(r);
}

/* --- the data --- */

static int by_place(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->tensor.name, y->tensor.name);
}

/* InvalidOffset, MetadataIncompleteBuffer: no holes, no overlap, nothing
 * behind the last tensor. */
static bool check_layout(reader *r)
{
    uint64_t end = 0;
    if (r->count > 1)
        qsort(r->entries, r->count, sizeof(entry), by_place);
    for (uint32_t i = 0; i < r->count; i++) {
        const entry *e = &r->entries[i];
        if (e->begin != end)
            return malformed(
                r, e->tensor.name,
                tegu_format(r->arena,
                            "its data begins at %llu, %s, which ends at %llu",
                            (unsigned long long)e->begin,
                            e->begin < end ? "inside the tensor before it"
                                           : "behind a hole after the data",
                            (unsigned long long)end));
        end = e->end;
    }
    uint64_t start = LENGTH + r->header_size;
    if (end > r->data_size)
        return tegu_error(r->diag, loc_at(r, start + r->data_size),
                          TEGU_E_SAFETENSORS,
                          "the file is cut short: %llu bytes of data are "
                          "missing",
                          (unsigned long long)(end - r->data_size));
    if (end < r->data_size)
        return tegu_error(r->diag, loc_at(r, start + end), TEGU_E_SAFETENSORS,
                          "%llu bytes follow the last tensor",
                          (unsigned long long)(r->data_size - end));
    return true;
}

static void publish(reader *r)
{
    tegu_safetensors *file = r->file;
    file->index = tegu_map_create(r->arena);
    file->tensors.data = TEGU_ARRAY(r->arena, tegu_stored_tensor, r->count);
    file->tensors.capacity = r->count;
    for (uint32_t i = 0; i < r->count; i++) {
        tegu_stored_tensor t = r->entries[i].tensor;
        t.data = r->data + r->entries[i].begin;
        tegu_map_set(file->index, t.name, strlen(t.name), i);
        tegu_vec_push(r->arena, &file->tensors, t);
    }
}

tegu_safetensors *tegu_safetensors_parse(tegu_arena *arena, tegu_diag *diag,
                                         const char *path,
                                         const unsigned char *data, size_t size)
{
    reader r = {.arena = arena,
                .diag = diag,
                .path = path,
                .errors_before = tegu_diag_errors(diag)};
    if (!split(&r, data, size))
        return NULL;
    r.file = TEGU_NEW(arena, tegu_safetensors);
    r.file->path = path;
    r.file->file = (tegu_file){.data = data, .size = size};
    if (!read_header(&r) || !check_layout(&r))
        return NULL;
    publish(&r);
    return r.file;
}

tegu_safetensors *tegu_safetensors_open(tegu_arena *arena, tegu_diag *diag,
                                        const char *path)
{
    tegu_file file;
    const char *error;
    if (!tegu_file_map(arena, path, &file, &error)) {
        tegu_error(diag, tegu_loc_file(path), TEGU_E_NO_INPUT, "%s", error);
        return NULL;
    }
    tegu_safetensors *opened =
        tegu_safetensors_parse(arena, diag, path, file.data, file.size);
    if (opened)
        opened->file = file;
    else
        tegu_file_unmap(&file);
    return opened;
}

const tegu_stored_tensor *tegu_safetensors_find(const tegu_safetensors *st,
                                                const char *name)
{
    const uint64_t *at = tegu_map_find(st->index, name, strlen(name));
    return at ? &st->tensors.data[*at] : NULL;
}

const char *tegu_safetensors_metadata(const tegu_safetensors *st,
                                      const char *key)
{
    for (uint32_t i = 0; i + 1 < st->metadata.count; i += 2)
        if (strcmp(st->metadata.data[i], key) == 0)
            return st->metadata.data[i + 1];
    return NULL;
}

/* --- writing --- */

/* A row of the table of contents: a tensor and its element's bits. */
typedef struct row {
    const tegu_stored_tensor *tensor;
    unsigned bits;
} row;

static int by_alignment(const void *a, const void *b)
{
    const row *x = a, *y = b;
    if (x->bits != y->bits)
        return x->bits > y->bits ? -1 : 1;
    return strcmp(x->tensor->name, y->tensor->name);
}

static void add_json_string(tegu_text *out, const char *text)
{
    tegu_text_add(out, "\"", 1);
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20)
            tegu_text_printf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            tegu_text_printf(out, "\\%c", c);
        else
            tegu_text_add(out, p, 1);
    }
    tegu_text_add(out, "\"", 1);
}

/* NULL, or why the reader would refuse this tensor. */
static const char *check_row(tegu_arena *arena, const row *r)
{
    const tegu_stored_tensor *t = r->tensor;
    uint64_t bytes = 0;
    if (!tegu_utf8_valid(t->name, strlen(t->name)))
        return "its name is not UTF-8";
    if (strcmp(t->name, "__metadata__") == 0)
        return "its name is reserved";
    if (r->bits == 0)
        return tegu_format(arena, "unknown dtype '%s'", t->dtype_text);
    if (t->rank > TEGU_MAX_RANK)
        return "it has too many axes";
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dims[i] < 0)
            return "its shape is negative";
    const char *wrong = count_bytes(t, r->bits, &bytes);
    if (!wrong && bytes != t->bytes)
        wrong = "its bytes do not fit its shape";
    return wrong;
}

/* The tensors in file order; NULL with *error when one cannot be written. */
static row *order(tegu_arena *arena, const tegu_stored_tensor *tensors,
                  uint32_t count, const char **error)
{
    row *rows = TEGU_ARRAY(arena, row, count);
    for (uint32_t i = 0; i < count; i++) {
        tegu_dtype dtype;
        rows[i].tensor = &tensors[i];
        rows[i].bits = element_bits(tensors[i].dtype_text, &dtype);
        *error = check_row(arena, &rows[i]);
        if (*error) {
            const char *name = tensors[i].name;
            *error =
                tegu_format(arena, "tensor '%s': %s",
                            tegu_escaped(arena, name, strlen(name)), *error);
            return NULL;
        }
    }
    if (count > 1)
        qsort(rows, count, sizeof(row), by_alignment);
    return rows;
}

static bool names_are_unique(tegu_arena *arena, const row *rows, uint32_t count,
                             const char **error)
{
    tegu_map *seen = tegu_map_create(arena);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = rows[i].tensor->name;
        if (tegu_map_set(seen, name, strlen(name), i))
            continue;
        *error = tegu_format(arena, "tensor '%s' is given twice",
                             tegu_escaped(arena, name, strlen(name)));
        return false;
    }
    return true;
}

static void add_entry(tegu_text *out, const tegu_stored_tensor *t,
                      uint64_t begin)
{
    add_json_string(out, t->name);
    tegu_text_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", t->dtype_text);
    for (uint32_t i = 0; i < t->rank; i++)
        tegu_text_printf(out, "%s%lld", i ? "," : "", (long long)t->dims[i]);
    tegu_text_printf(out, "],\"data_offsets\":[%llu,%llu]}",
                     (unsigned long long)begin,
                     (unsigned long long)begin + t->bytes);
}

static void add_header(tegu_text *out, const row *rows, uint32_t count,
                       const char *const *metadata, uint32_t metadata_count)
{
    uint64_t begin = 0;
    tegu_text_add(out, "{", 1);
    if (metadata_count > 0) {
        tegu_text_printf(out, "\"__metadata__\":{");
        for (uint32_t i = 0; i + 1 < metadata_count; i += 2) {
            if (i)
                tegu_text_add(out, ",", 1);
            add_json_string(out, metadata[i]);
            tegu_text_add(out, ":", 1);
            add_json_string(out, metadata[i + 1]);
        }
        tegu_text_add(out, "}", 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i || metadata_count > 0)
            tegu_text_add(out, ",", 1);
        add_entry(out, rows[i].tensor, begin);
        begin += rows[i].tensor->bytes;
    }
    tegu_text_add(out, "}", 1);
    while ((LENGTH + out->count) % DATA_ALIGN)
        tegu_text_add(out, " ", 1);
}

bool tegu_safetensors_write(tegu_arena *arena, tegu_outputs *outputs,
                            const char *path, const tegu_stored_tensor *tensors,
                            uint32_t count, const char *const *metadata,
                            uint32_t metadata_count, const char **error)
{
    const row *rows = order(arena, tensors, count, error);
    if (!rows || !names_are_unique(arena, rows, count, error))
        return false;
    tegu_text header = {.arena = arena};
    add_header(&header, rows, count, metadata, metadata_count);
    if (header.count > LARGEST_HEADER) {
        *error = "the header is over the format's 100 MB";
        return false;
    }
    unsigned char length[LENGTH];
    for (int i = 0; i < LENGTH; i++)
        length[i] = (unsigned char)((uint64_t)header.count >> (8 * i));
    if (!tegu_outputs_open(outputs, path, error) ||
        !tegu_outputs_write(outputs, length, LENGTH, error) ||
        !tegu_outputs_write(outputs, header.data, header.count, error))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!tegu_outputs_write(outputs, rows[i].tensor->data,
                                rows[i].tensor->bytes, error))
            return false;
    return true;
}
