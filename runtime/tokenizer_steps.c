/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_steps.c: what normalizers, pre-tokenizers and decoders do to text.
 *
 * Takes a list of primitive steps and pieces of UTF-8; produces new pieces.
 * A normalizer, a pre-tokenizer and a decoder of tokenizer.json are each one
 * or a few of the same primitives (tokenizer_json.c lists them), so there is
 * one machine for all three.  Behaviour follows Hugging Face's tokenizers
 * library; splitting regular expressions are run by PCRE2 with Unicode
 * properties, within its match limit.
 */
#include "runtime/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* GPT-2's pattern (Radford et al. 2019, encoder.py). */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
    "|\\s+(?!\\S)|\\s+";

/* ---- building steps ---- */

tegu_status tegu_tok_compile(const char *pattern, bool literal,
                             pcre2_code **code, tegu_reason *message)
{
    int number;
    PCRE2_SIZE at;
    uint32_t options = literal
                           ? PCRE2_LITERAL | PCRE2_UTF
                           : PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options,
                          &number, &at, NULL);
    if (!*code) {
        PCRE2_UCHAR text[160] = "";
        pcre2_get_error_message(number, text, sizeof text);
        return tegu_runtime_fail(message, TEGU_STATUS_FORMAT,
                                 "the pattern '%s' is wrong at character "
                                 "%zu: %s",
                                 pattern, (size_t)at, (char *)text);
    }
    (void)pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE); /* only faster */
    return TEGU_STATUS_OK;
}

static void free_step(tegu_tok_step *step)
{
    pcre2_code_free(step->pattern);
    free(step->content);
}

bool tegu_tok_steps_add(tegu_tok_steps *steps, tegu_tok_step step)
{
    void *items = steps->items;
    bool grown = tegu_tok_reserve(&items, &steps->capacity, steps->count + 1,
                                  sizeof *steps->items);
    steps->items = items;
    if (grown)
        steps->items[steps->count++] = step;
    else
        free_step(&step);
    return grown;
}

bool tegu_tok_steps_text(tegu_tok_steps *steps, tegu_tok_step step,
                         const char *content)
{
    step.size = strlen(content);
    step.content = malloc(step.size + 1);
    if (!step.content) {
        free_step(&step);
        return false;
    }
    memcpy(step.content, content, step.size + 1);
    return tegu_tok_steps_add(steps, step);
}

tegu_status tegu_tok_steps_byte_level(tegu_tok_steps *steps, bool space,
                                      bool regex, tegu_reason *message)
{
    tegu_tok_step prefix = {.kind = TEGU_TOK_PREFIX, .flag = true};
    tegu_tok_step split = {.kind = TEGU_TOK_SPLIT, .mode = TEGU_TOK_ISOLATED};
    tegu_tok_step bytes = {.kind = TEGU_TOK_BYTES};
    if (space && !tegu_tok_steps_text(steps, prefix, " "))
        return tegu_runtime_out_of_memory(message);
    if (regex) {
        tegu_status status =
            tegu_tok_compile(gpt2_pattern, false, &split.pattern, message);
        if (status != TEGU_STATUS_OK)
            return status;
        if (!tegu_tok_steps_add(steps, split))
            return tegu_runtime_out_of_memory(message);
    }
    return tegu_tok_steps_add(steps, bytes)
               ? TEGU_STATUS_OK
               : tegu_runtime_out_of_memory(message);
}

void tegu_tok_steps_free(tegu_tok_steps *steps)
{
    for (size_t i = 0; i < steps->count; i++)
        free_step(&steps->items[i]);
    free(steps->items);
}

/* ---- matching ---- */

typedef struct matcher {
    const tegu_tok_step *step;
    pcre2_match_data *data;
    const char *text;
    size_t size, at;    /* where the next search begins */
    tegu_tok_span span; /* of the last match */
    tegu_reason *message;
} matcher;

static size_t next_character(const char *text, size_t size, size_t at)
{
    do
        at++;
    while (at < size && ((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

/* The next match, into m->span; *found false at the end.  The interpreter
 * takes over where the JIT's small stack is not enough. */
static tegu_status next_match(matcher *m, bool *found)
{
    *found = false;
    if (m->at > m->size)
        return TEGU_STATUS_OK;
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int got = pcre2_match(m->step->pattern, (PCRE2_SPTR)m->text, m->size, m->at,
                          options, m->data, NULL);
    if (got == PCRE2_ERROR_JIT_STACKLIMIT)
        got = pcre2_match(m->step->pattern, (PCRE2_SPTR)m->text, m->size, m->at,
                          options | PCRE2_NO_JIT, m->data, NULL);
    if (got == PCRE2_ERROR_NOMATCH)
        return TEGU_STATUS_OK;
    if (got == PCRE2_ERROR_NOMEMORY)
        return tegu_runtime_out_of_memory(m->message);
    PCRE2_SIZE *span = pcre2_get_ovector_pointer(m->data);
    if (got < 0 || span[0] > span[1] || span[0] < m->at)
        return tegu_runtime_fail(m->message, TEGU_STATUS_UNSUPPORTED,
                                 "the tokenizer's pattern fails on this text: "
                                 "PCRE2 error %d",
                                 got);
    m->span = (tegu_tok_span){span[0], span[1]};
    m->at =
        span[1] > span[0] ? span[1] : next_character(m->text, m->size, span[1]);
    *found = true;
    return TEGU_STATUS_OK;
}

static tegu_status start_matcher(matcher *m, const tegu_tok_step *step,
                                 const char *text, size_t size,
                                 tegu_reason *message)
{
    *m =
        (matcher){.step = step, .text = text, .size = size, .message = message};
    m->data = pcre2_match_data_create(1, NULL);
    return m->data ? TEGU_STATUS_OK : tegu_runtime_out_of_memory(message);
}

/* ---- rewriting steps: text in, text appended to out ---- */

static tegu_status replace(const tegu_tok_step *step, const char *text,
                           size_t size, tegu_tok_text *out,
                           tegu_reason *message)
{
    matcher m;
    tegu_status status = start_matcher(&m, step, text, size, message);
    if (status != TEGU_STATUS_OK)
        return status;
    size_t done = 0;
    bool found, room = true;
    while ((status = next_match(&m, &found)) == TEGU_STATUS_OK && found &&
           room) {
        room = tegu_tok_append(out, text + done, m.span.start - done) &&
               tegu_tok_append(out, step->content, step->size);
        done = m.span.end;
    }
    pcre2_match_data_free(m.data);
    if (status != TEGU_STATUS_OK)
        return status;
    return room && tegu_tok_append(out, text + done, size - done)
               ? TEGU_STATUS_OK
               : tegu_runtime_out_of_memory(message);
}

static bool prefix(const tegu_tok_step *step, bool at_start, const char *text,
                   size_t size, tegu_tok_text *out)
{
    bool has = step->flag && size >= step->size &&
               memcmp(text, step->content, step->size) == 0;
    bool wanted = size > 0 && !has &&
                  (step->where == TEGU_TOK_EVERYWHERE ||
                   (step->where == TEGU_TOK_FIRST) == at_start);
    return (!wanted || tegu_tok_append(out, step->content, step->size)) &&
           tegu_tok_append(out, text, size);
}

static tegu_status normal_form(const tegu_tok_step *step, const char *text,
                               size_t size, tegu_tok_text *out,
                               tegu_reason *message)
{
    utf8proc_uint8_t *form = NULL;
    utf8proc_ssize_t length =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size,
                     &form, (utf8proc_option_t)step->mode);
    bool added =
        length >= 0 && tegu_tok_append(out, (const char *)form, (size_t)length);
    free(form);
    return added ? TEGU_STATUS_OK : tegu_runtime_out_of_memory(message);
}

/* Character by character, as the library does: no final sigma; U+0130 is the
 * only one whose lower case is two characters. */
static bool lower(const char *text, size_t size, tegu_tok_text *out)
{
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t c;
        utf8proc_uint8_t bytes[4];
        at += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                       (utf8proc_ssize_t)(size - at), &c);
        if (c == 0x130) {
            if (!tegu_tok_append(out, "i\xcc\x87", 3))
                return false;
            continue;
        }
        utf8proc_ssize_t n = utf8proc_encode_char(utf8proc_tolower(c), bytes);
        if (!tegu_tok_append(out, (const char *)bytes, (size_t)n))
            return false;
    }
    return true;
}

/* GPT-2 spells a byte by a printable character: itself, or the next free one
 * from U+0100 on. */
static utf8proc_int32_t byte_character(unsigned byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173))
        return (utf8proc_int32_t)byte;
    if (byte <= 32)
        return (utf8proc_int32_t)(256 + byte);
    return (utf8proc_int32_t)(byte == 173 ? 323 : 289 + byte - 127);
}

static bool spell_bytes(const char *text, size_t size, tegu_tok_text *out)
{
    bool room = true;
    for (size_t i = 0; room && i < size; i++) {
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t n =
            utf8proc_encode_char(byte_character((unsigned char)text[i]), bytes);
        room = tegu_tok_append(out, (const char *)bytes, (size_t)n);
    }
    return room;
}

/* The byte that a character spells, or -1: the inverse of byte_character. */
static int spelt_byte(utf8proc_int32_t c)
{
    int byte = (int)c;
    if (c > 255)
        byte = c <= 288 ? c - 256 : c < 323 ? c - 289 + 127 : 173;
    return c >= 0 && c <= 323 && byte_character((unsigned)byte) == c ? byte
                                                                     : -1;
}

/* The inverse of spell_bytes; a token with any other character (an added one)
 * stays as it is. */
static bool unspell_bytes(const char *text, size_t size, tegu_tok_text *out)
{
    size_t start = out->size;
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                             (utf8proc_ssize_t)(size - at), &c);
        int byte = n > 0 ? spelt_byte(c) : -1;
        if (byte < 0) {
            out->size = start;
            return tegu_tok_append(out, text, size);
        }
        char as_char = (char)byte;
        if (!tegu_tok_append(out, &as_char, 1))
            return false;
        at += (size_t)n;
    }
    return true;
}

/* ---- splitting ---- */

typedef struct cut {
    tegu_tok_span span;
    bool match;
} cut;

typedef struct cuts {
    cut *items;
    size_t count, capacity;
} cuts;

static bool add_cut(cuts *c, size_t start, size_t end, bool match)
{
    void *items = c->items;
    bool grown =
        tegu_tok_reserve(&items, &c->capacity, c->count + 1, sizeof *c->items);
    c->items = items;
    if (grown)
        c->items[c->count++] = (cut){{start, end}, match};
    return grown;
}

/* The whole text as matches and gaps in turn. */
static tegu_status find_cuts(const tegu_tok_step *step, const char *text,
                             size_t size, cuts *c, tegu_reason *message)
{
    matcher m;
    tegu_status status = start_matcher(&m, step, text, size, message);
    if (status != TEGU_STATUS_OK)
        return status;
    size_t done = 0;
    bool found, room = true;
    while ((status = next_match(&m, &found)) == TEGU_STATUS_OK && found &&
           room) {
        if (m.span.start > done)
            room = add_cut(c, done, m.span.start, step->flag);
        room = room && add_cut(c, m.span.start, m.span.end, !step->flag);
        done = m.span.end;
    }
    pcre2_match_data_free(m.data);
    if (status != TEGU_STATUS_OK)
        return status;
    if (done < size)
        room = room && add_cut(c, done, size, step->flag);
    return room ? TEGU_STATUS_OK : tegu_runtime_out_of_memory(message);
}

/* Whether cut i belongs to the same piece as cut i - 1.  A match joins the
 * gap before (or the gap after joins it), but matches in a row stay apart. */
static bool joins(const cuts *c, size_t i, int behaviour)
{
    bool before = c->items[i - 1].match, here = c->items[i].match;
    switch (behaviour) {
    case TEGU_TOK_CONTIGUOUS: return before == here;
    case TEGU_TOK_WITH_PREVIOUS: return here && !before;
    case TEGU_TOK_WITH_NEXT: return before && !here;
    default: return false;
    }
}

static bool add_pieces(const cuts *c, int behaviour, const char *text,
                       tegu_tok_pieces *out)
{
    bool room = true;
    for (size_t i = 0, next; room && i < c->count; i = next) {
        for (next = i + 1; next < c->count && joins(c, next, behaviour);)
            next++;
        if (behaviour == TEGU_TOK_REMOVED && c->items[i].match)
            continue;
        size_t start = c->items[i].span.start;
        room = tegu_tok_add_piece(out, text + start,
                                  c->items[next - 1].span.end - start);
    }
    return room;
}

static tegu_status split(const tegu_tok_step *step, const char *text,
                         size_t size, tegu_tok_pieces *out,
                         tegu_reason *message)
{
    cuts c = {0};
    tegu_status status = find_cuts(step, text, size, &c, message);
    if (status == TEGU_STATUS_OK && !add_pieces(&c, step->mode, text, out))
        status = tegu_runtime_out_of_memory(message);
    free(c.items);
    return status;
}

/* ---- running ---- */

static tegu_status rewrite(const tegu_tok_step *step, bool at_start,
                           const char *text, size_t size, tegu_tok_text *out,
                           tegu_reason *message)
{
    bool room = true;
    switch (step->kind) {
    case TEGU_TOK_REPLACE: return replace(step, text, size, out, message);
    case TEGU_TOK_FORM: return normal_form(step, text, size, out, message);
    case TEGU_TOK_PREFIX: room = prefix(step, at_start, text, size, out); break;
    case TEGU_TOK_LOWER: room = lower(text, size, out); break;
    case TEGU_TOK_BYTES: room = spell_bytes(text, size, out); break;
    case TEGU_TOK_UNBYTES: room = unspell_bytes(text, size, out); break;
    default: room = tegu_tok_append(out, text, size); break;
    }
    return room ? TEGU_STATUS_OK : tegu_runtime_out_of_memory(message);
}

static tegu_status run_step(const tegu_tok_step *step, bool at_start,
                            const char *text, size_t size, tegu_tok_pieces *out,
                            tegu_reason *message)
{
    if (step->kind == TEGU_TOK_SPLIT)
        return split(step, text, size, out, message);
    size_t start = out->text.size;
    tegu_status status =
        rewrite(step, at_start, text, size, &out->text, message);
    if (status != TEGU_STATUS_OK || out->text.size == start)
        return status;
    void *spans = out->spans;
    bool grown = tegu_tok_reserve(&spans, &out->capacity, out->count + 1,
                                  sizeof *out->spans);
    out->spans = spans;
    if (!grown)
        return tegu_runtime_out_of_memory(message);
    out->spans[out->count++] = (tegu_tok_span){start, out->text.size};
    return TEGU_STATUS_OK;
}

tegu_status tegu_tok_run(const tegu_tok_steps *steps, bool at_start,
                         tegu_tok_pieces *in, tegu_tok_pieces *spare,
                         tegu_reason *message)
{
    for (size_t i = 0; i < steps->count; i++) {
        spare->count = 0;
        spare->text.size = 0;
        for (size_t j = 0; j < in->count; j++) {
            tegu_tok_span span = in->spans[j];
            tegu_status status =
                run_step(&steps->items[i], at_start && j == 0,
                         in->text.data + span.start, span.end - span.start,
                         spare, message);
            if (status != TEGU_STATUS_OK)
                return status;
        }
        tegu_tok_pieces done = *spare;
        *spare = *in;
        *in = done;
    }
    return TEGU_STATUS_OK;
}

/* ---- decoding ---- */

int tegu_tok_byte_token(const char *token, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    if (size != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>')
        return -1;
    const char *high = memchr(digits, token[3], 16);
    const char *low = memchr(digits, token[4], 16);
    return high && low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

static void strip(const tegu_tok_step *step, tegu_tok_text *text)
{
    size_t start = 0, n = step->size;
    for (int i = 0; i < step->mode && n > 0 && text->size - start >= n &&
                    memcmp(text->data + start, step->content, n) == 0;
         i++)
        start += n;
    text->size -= start;
    memmove(text->data, text->data + start, text->size);
    for (int i = 0; i < step->tail && n > 0 && text->size >= n &&
                    memcmp(text->data + text->size - n, step->content, n) == 0;
         i++)
        text->size -= n;
}

/* One step over *text; *raw: it holds bytes that need not be UTF-8, which
 * only STRIP may touch. */
static tegu_status decode_step(const tegu_tok_step *step, bool first,
                               tegu_tok_text *text, tegu_tok_text *spare,
                               bool *raw, tegu_reason *message)
{
    if (step->where != TEGU_TOK_EVERYWHERE &&
        (step->where == TEGU_TOK_FIRST) != first)
        return TEGU_STATUS_OK;
    if (step->kind == TEGU_TOK_STRIP) {
        strip(step, text);
        return TEGU_STATUS_OK;
    }
    if (*raw)
        return TEGU_STATUS_OK;
    if (step->kind == TEGU_TOK_FALLBACK) {
        int byte = tegu_tok_byte_token(text->data, text->size);
        if (byte >= 0) {
            text->data[0] = (char)byte;
            text->size = 1;
            *raw = true;
        }
        return TEGU_STATUS_OK;
    }
    spare->size = 0;
    tegu_status status =
        rewrite(step, first, text->data, text->size, spare, message);
    tegu_tok_text done = *spare;
    *spare = *text;
    *text = done;
    *raw = step->kind == TEGU_TOK_UNBYTES;
    return status;
}

tegu_status tegu_tok_run_decoder(const tegu_tok_steps *steps, bool first,
                                 const char *token, size_t size,
                                 tegu_tok_text *out, tegu_reason *message)
{
    tegu_tok_text text = {0}, spare = {0};
    bool raw = false;
    tegu_status status = TEGU_STATUS_OK;
    if (!tegu_tok_append(&text, token, size))
        status = tegu_runtime_out_of_memory(message);
    for (size_t i = 0; i < steps->count && status == TEGU_STATUS_OK; i++)
        status =
            decode_step(&steps->items[i], first, &text, &spare, &raw, message);
    if (status == TEGU_STATUS_OK && !tegu_tok_append(out, text.data, text.size))
        status = tegu_runtime_out_of_memory(message);
    free(text.data);
    free(spare.data);
    return status;
}
