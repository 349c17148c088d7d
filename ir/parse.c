/* SPDX-License-Identifier: Apache-2.0 */
/* parse.c - reads IR text into a unit: the exact inverse of print.c.
 *
 * Takes text of docs/ir.md, one statement a line; produces a unit that
 * verifies.  A line in error is reported and skipped; the value it would have
 * defined is poison, which its users pass on silently, so one mistake makes
 * one message.  Kernel bodies are the only nesting, one level deep.
 */
#include "ir/parse.h"

#include <inttypes.h>
#include <string.h>

typedef struct parser {
    tegu_cursor c;
    uint32_t errors_before;
    bool random; /* a `weights random` line was read */
    uint64_t seed;
    double std;
} parser;

/* A graph being read: values by their number in the text, 0 for poison. */
typedef struct block {
    tegu_graph *g;
    TEGU_VEC(tegu_value) values;
    uint32_t defined; /* smaller numbers may be used */
    bool is_body;
} block;

enum { MOST_ERRORS = 20 };

static bool name_error(parser *p, tegu_loc loc, const char *what,
                       const char *name)
{
    return tegu_error(p->c.diag, loc, TEGU_E_IR_NAME, "%s '%s'", what,
                      tegu_escaped(p->c.arena, name, strlen(name)));
}

static bool too_many_errors(const parser *p)
{
    return tegu_diag_errors(p->c.diag) - p->errors_before >= MOST_ERRORS;
}

/* The location of what comes next. */
static tegu_loc here(parser *p)
{
    tegu_skip_blanks(&p->c);
    return tegu_cursor_loc(&p->c, p->c.at, 1);
}

/* Skips the rest of a line in error, and the block that it opens, if any. */
static void skip_statement(parser *p)
{
    const char *last = NULL;
    for (const char *q = p->c.at; q < p->c.end && *q != '\n'; q++)
        if (*q != ' ' && *q != '\t' && *q != '\r')
            last = q;
    if (!last || *last != '{')
        return;
    int depth = 1;
    while (depth && tegu_next_line(&p->c)) {
        tegu_skip_blanks(&p->c);
        if (p->c.at < p->c.end && *p->c.at == '}')
            depth--;
        else
            while (p->c.at < p->c.end && *p->c.at != '\n') {
                char ch = *p->c.at++;
                if (ch == '{' && (p->c.at == p->c.end || *p->c.at == '\n'))
                    depth++;
            }
    }
}

/* --- nodes --- */

static bool resolve(parser *p, const block *b, tegu_value *value)
{
    uint32_t number;
    tegu_loc loc = here(p);
    if (!tegu_read_value(&p->c, &number))
        return false;
    if (number >= b->defined)
        return tegu_error(p->c.diag, loc, TEGU_E_IR_NAME,
                          "%%%u is not defined above", number);
    *value = b->values.data[number];
    return true;
}

/* The number that the line defines: the next one.  After a line in error,
 * whose number is unknown, some may be skipped. */
static bool claim_number(parser *p, block *b, uint32_t *number)
{
    tegu_loc loc = here(p);
    if (!tegu_read_value(&p->c, number))
        return false;
    bool recovering = tegu_diag_errors(p->c.diag) > p->errors_before;
    bool near =
        *number >= b->values.count && *number - b->values.count < MOST_ERRORS;
    if (*number != b->values.count && !(recovering && near))
        return tegu_error(p->c.diag, loc, TEGU_E_IR_NAME,
                          "values are numbered in order: %%%u comes next",
                          b->values.count);
    while (b->values.count <= *number)
        tegu_vec_push(p->c.arena, &b->values, 0);
    return true;
}

static bool read_op(parser *p, tegu_op *op)
{
    tegu_word word = tegu_peek_word(&p->c, true);
    if (!word.size)
        return tegu_cursor_expected(&p->c, "an operation");
    *op = tegu_op_find(word.text, word.size);
    if (*op == TEGU_OP_COUNT) {
        const char *names[TEGU_OP_COUNT];
        for (int i = 0; i < TEGU_OP_COUNT; i++)
            names[i] = tegu_op_get((tegu_op)i)->text;
        const char *shown = tegu_escaped(p->c.arena, word.text, word.size);
        const char *near = tegu_nearest(shown, names, TEGU_OP_COUNT);
        return tegu_error(
            p->c.diag, tegu_cursor_loc(&p->c, word.text, word.size),
            TEGU_E_IR_NAME, "no operation is named '%s'%s%s%s", shown,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    p->c.at += word.size;
    return true;
}

static bool read_attr_value(parser *p, tegu_attr *attr)
{
    tegu_cursor *c = &p->c;
    switch (attr->info->kind) {
    case TEGU_ATTR_INT: return tegu_read_int(c, &attr->as.i);
    case TEGU_ATTR_FLOAT: return tegu_read_double(c, &attr->as.f);
    case TEGU_ATTR_BOOL: return tegu_read_bool(c, &attr->as.b);
    case TEGU_ATTR_DTYPE: return tegu_read_dtype(c, &attr->as.dtype);
    case TEGU_ATTR_TEXT: return tegu_read_string(c, &attr->as.text);
    case TEGU_ATTR_INTS:
        return tegu_read_ints(c, &attr->as.ints.data, &attr->as.ints.count);
    }
    return false;
}

static bool read_attr(parser *p, tegu_op op, tegu_attr *attr)
{
    const tegu_op_info *info = tegu_op_get(op);
    tegu_word key = tegu_peek_word(&p->c, false);
    if (!key.size)
        return tegu_cursor_expected(&p->c, "an attribute");
    for (uint32_t i = 0; i < info->attr_count; i++)
        if (tegu_word_is(key, info->attrs[i].key)) {
            p->c.at += key.size;
            attr->info = &info->attrs[i];
            return tegu_read_mark(&p->c, '=') && read_attr_value(p, attr);
        }
    return tegu_error(p->c.diag, tegu_cursor_loc(&p->c, key.text, key.size),
                      TEGU_E_ATTRIBUTE, "'%s' has no attribute '%s'",
                      info->text, tegu_escaped(p->c.arena, key.text, key.size));
}

/* Operands, attributes; a constant's literal is left at *literal. */
static bool read_operands(parser *p, const block *b, tegu_node_spec *spec,
                          tegu_cursor *literal)
{
    TEGU_VEC(tegu_value) inputs = {0};
    TEGU_VEC(tegu_attr) attrs = {0};
    tegu_cursor *c = &p->c;
    here(p);
    *literal = *c;
    if (spec->op == TEGU_OP_CONST)
        while (c->at < c->end && *c->at != ':' && *c->at != '\n')
            c->at++;
    if (c->at < c->end && *c->at == '%') {
        do {
            tegu_value v = 0;
            if (!resolve(p, b, &v))
                return false;
            tegu_vec_push(c->arena, &inputs, v);
        } while (tegu_take(c, ','));
    }
    if (tegu_take(c, '{')) {
        do {
            tegu_attr attr = {0};
            if (!read_attr(p, spec->op, &attr))
                return false;
            tegu_vec_push(c->arena, &attrs, attr);
        } while (tegu_take(c, ','));
        if (!tegu_read_mark(c, '}'))
            return false;
    }
    spec->inputs = inputs.data;
    spec->input_count = inputs.count;
    spec->attrs = attrs.data;
    spec->attr_count = attrs.count;
    return true;
}

static bool read_literal(tegu_cursor *literal, tegu_node_spec *spec)
{
    spec->data_borrowed = true;
    if (!tegu_read_elements(literal, spec->type, &spec->data))
        return false;
    tegu_skip_blanks(literal);
    return (literal->at < literal->end && *literal->at == ':') ||
           tegu_cursor_expected(literal, "':'");
}

static bool read_block(parser *p, block *b);

static bool read_body(parser *p, tegu_node_spec *spec)
{
    block body = {.g = tegu_graph_create(p->c.unit, TEGU_LEVEL_CORE),
                  .is_body = true};
    spec->body = body.g;
    return tegu_read_mark(&p->c, '{') && tegu_read_line_end(&p->c) &&
           read_block(p, &body);
}

/* %N ["name"] = op operands {attrs} : type [{ body }] */
static bool read_node(parser *p, block *b)
{
    tegu_cursor literal, *c = &p->c;
    tegu_node_spec spec = {0};
    uint32_t number;
    if (!claim_number(p, b, &number))
        return false;
    here(p);
    if (c->at < c->end && *c->at == '"' && !tegu_read_string(c, &spec.name))
        return false;
    if (!tegu_read_mark(c, '='))
        return false;
    spec.loc = here(p);
    if (!read_op(p, &spec.op))
        return false;
    spec.loc.length = (uint32_t)strlen(tegu_op_get(spec.op)->text);
    if (spec.op == TEGU_OP_KERNEL && b->is_body)
        return tegu_error(c->diag, spec.loc, TEGU_E_IR_RULE,
                          "a kernel's body cannot hold a kernel");
    if (!read_operands(p, b, &spec, &literal) || !tegu_read_mark(c, ':') ||
        !tegu_read_type(c, &spec.type))
        return false;
    if (spec.op == TEGU_OP_CONST && !read_literal(&literal, &spec))
        return false;
    uint32_t errors = tegu_diag_errors(c->diag);
    if (spec.op == TEGU_OP_KERNEL && !read_body(p, &spec))
        return false;
    if (tegu_diag_errors(c->diag) == errors)
        b->values.data[number] = tegu_graph_add(b->g, &spec);
    return true;
}

/* --- blocks --- */

static bool read_return(parser *p, block *b)
{
    const char *name = "";
    tegu_value value = 0;
    here(p);
    if (p->c.at < p->c.end && *p->c.at == '"' &&
        !tegu_read_string(&p->c, &name))
        return false;
    if (!resolve(p, b, &value))
        return false;
    if (value)
        tegu_graph_add_result(b->g, name, value);
    return true;
}

static bool read_update(parser *p, block *b)
{
    const char *state;
    tegu_value value = 0;
    if (!tegu_read_string(&p->c, &state) || !resolve(p, b, &value))
        return false;
    if (value)
        tegu_graph_add_update(b->g, state, value);
    return true;
}

static bool read_statement(parser *p, block *b)
{
    if (*p->c.at == '%')
        return read_node(p, b);
    tegu_word word = tegu_peek_word(&p->c, false);
    if (tegu_word_is(word, "return") || tegu_word_is(word, "update")) {
        p->c.at += word.size;
        return word.text[0] == 'r' ? read_return(p, b) : read_update(p, b);
    }
    return tegu_cursor_expected(&p->c, "a value, 'return', 'update' or '}'");
}

/* Lines up to the closing brace.  Errors inside are reported and skipped; the
 * result is false when the brace is missing. */
static bool read_block(parser *p, block *b)
{
    tegu_cursor *c = &p->c;
    tegu_vec_push(c->arena, &b->values, 0);
    while (tegu_next_line(c) && !too_many_errors(p)) {
        tegu_skip_blanks(c);
        if (c->at == c->end || *c->at == '\n')
            continue;
        if (tegu_take(c, '}'))
            return true;
        bool good = read_statement(p, b) && tegu_read_line_end(c);
        b->defined = b->values.count;
        if (!good)
            skip_statement(p);
    }
    return too_many_errors(p) || tegu_cursor_expected(c, "'}'");
}

/* --- lines of a unit --- */

static bool read_axis_line(parser *p)
{
    tegu_cursor *c = &p->c;
    const char *name;
    int64_t lo, hi;
    tegu_loc loc = here(p);
    if (!tegu_read_name(c, "an axis name", &name))
        return false;
    loc.length = (uint32_t)strlen(name);
    if (tegu_unit_find_axis(c->unit, name))
        return name_error(p, loc, "there is already an axis", name);
    if (c->unit->axes.count > TEGU_MAX_AXES)
        return tegu_error(c->diag, loc, TEGU_E_RESOURCES, "more than %d axes",
                          TEGU_MAX_AXES);
    bool fixed = tegu_take(c, '=');
    if (!fixed) {
        if (!tegu_word_is(tegu_peek_word(c, false), "in"))
            return tegu_cursor_expected(c, "'=' or 'in'");
        c->at += 2;
    }
    if (!tegu_read_int(c, &lo))
        return false;
    hi = lo;
    if (!fixed && (!tegu_read_mark(c, '.') || !tegu_read_mark(c, '.') ||
                   !tegu_read_int(c, &hi)))
        return false;
    if (lo < 0 || hi < lo)
        return tegu_error(c->diag, loc, TEGU_E_SHAPE,
                          "axis '%s' needs bounds 0 <= low <= high", name);
    tegu_unit_add_axis(c->unit, name, !fixed, lo, hi);
    return true;
}

static bool read_tokenizer_line(parser *p)
{
    return tegu_read_string(&p->c, &p->c.unit->tokenizer);
}

static bool read_weights_line(parser *p)
{
    tegu_cursor *c = &p->c;
    tegu_loc loc = here(p);
    if (!tegu_word_is(tegu_peek_word(c, false), "random"))
        return tegu_cursor_expected(c, "'random'");
    c->at += strlen("random");
    if (!tegu_read_uint64(c, &p->seed) || !tegu_read_double(c, &p->std))
        return false;
    if (!(p->std >= 0 && p->std < 1e30))
        return tegu_error(c->diag, loc, TEGU_E_IR_SYNTAX,
                          "the standard deviation must lie in 0 to 1e30");
    p->random = true;
    return true;
}

static bool read_adapter_line(parser *p)
{
    tegu_cursor *c = &p->c;
    tegu_loc loc = here(p);
    const char *name;
    double scale;
    if (!tegu_read_name(c, "an adapter's name", &name))
        return false;
    if (tegu_unit_find_adapter(c->unit, name))
        return name_error(p, loc, "there is already an adapter", name);
    if (c->unit->adapters.count > TEGU_MAX_ADAPTERS)
        return tegu_error(c->diag, loc, TEGU_E_RESOURCES,
                          "more than %d adapters", TEGU_MAX_ADAPTERS);
    if (!tegu_read_double(c, &scale))
        return false;
    if (!(scale >= -1e30 && scale <= 1e30))
        return tegu_error(c->diag, loc, TEGU_E_IR_SYNTAX,
                          "the scale must lie in -1e30 to 1e30");
    tegu_unit_add_adapter(c->unit, name, scale);
    return true;
}

/* [of ADAPTER] */
static bool read_owner(parser *p, uint32_t *adapter)
{
    tegu_cursor *c = &p->c;
    const char *name;
    if (!tegu_word_is(tegu_peek_word(c, false), "of"))
        return true;
    tegu_take_word(c, false);
    tegu_loc loc = here(p);
    if (!tegu_read_name(c, "an adapter's name", &name))
        return false;
    const tegu_unit_adapter *found = tegu_unit_find_adapter(c->unit, name);
    if (!found)
        return name_error(p, loc, "there is no adapter", name);
    *adapter = (uint32_t)(found - c->unit->adapters.data);
    return true;
}

static bool read_param_line(parser *p)
{
    tegu_cursor *c = &p->c;
    tegu_param param = {.loc = here(p)};
    uint32_t index;
    if (!tegu_read_string(c, &param.name) || !tegu_read_mark(c, ':') ||
        !tegu_read_type(c, &param.type) || !read_owner(p, &param.adapter))
        return false;
    if (tegu_unit_find_param(c->unit, param.name))
        return name_error(p, param.loc, "there is already a parameter",
                          param.name);
    param.stored = param.type->dtype;
    return tegu_unit_add_param(c->unit, &param, &index);
}

static bool read_state_line(parser *p)
{
    tegu_cursor *c = &p->c;
    tegu_state state = {.loc = here(p)};
    if (!tegu_read_string(c, &state.name))
        return false;
    state.appended = tegu_word_is(tegu_peek_word(c, false), "append");
    if (state.appended)
        tegu_take_word(c, false);
    if (!tegu_read_mark(c, ':') || !tegu_read_type(c, &state.type))
        return false;
    if (tegu_unit_find_state(c->unit, state.name))
        return name_error(p, state.loc, "there is already a state", state.name);
    if (c->unit->states.count == TEGU_MAX_STATES)
        return tegu_error(c->diag, state.loc, TEGU_E_RESOURCES,
                          "more than %d states", TEGU_MAX_STATES);
    tegu_vec_push(c->arena, &c->unit->states, state);
    return true;
}

/* Adds an argument unless there are too many to look up one by one. */
static bool add_argument(parser *p, tegu_entry *entry, tegu_argument argument)
{
    if (entry->arguments.count == TEGU_MAX_ARGUMENTS)
        return tegu_error(p->c.diag, entry->loc, TEGU_E_RESOURCES,
                          "entry '%s' has more than %d arguments", entry->name,
                          TEGU_MAX_ARGUMENTS);
    tegu_vec_push(p->c.arena, &entry->arguments, argument);
    return true;
}

static bool read_arguments(parser *p, tegu_entry *entry)
{
    tegu_cursor *c = &p->c;
    if (tegu_take(c, ')'))
        return true;
    do {
        tegu_argument argument;
        if (!tegu_read_string(c, &argument.name) || !tegu_read_mark(c, ':') ||
            !tegu_read_type(c, &argument.type) ||
            !add_argument(p, entry, argument))
            return false;
    } while (tegu_take(c, ','));
    return tegu_read_mark(c, ')');
}

/* Without a list, an entry's arguments are its graph's inputs in order. */
static bool collect_arguments(parser *p, tegu_entry *entry)
{
    const tegu_graph *g = entry->graph;
    for (tegu_value v = 1; v < g->nodes.count; v++) {
        const tegu_node *node = tegu_graph_node(g, v);
        if (node->op != TEGU_OP_INPUT)
            continue;
        tegu_argument argument = {tegu_node_text(node, "name"), node->type};
        bool known = false;
        for (uint32_t i = 0; i < entry->arguments.count; i++)
            known = known || entry->arguments.data[i].name == argument.name;
        if (!known && !add_argument(p, entry, argument))
            return false;
    }
    return true;
}

static bool read_entry_line(parser *p)
{
    tegu_cursor *c = &p->c;
    tegu_entry entry = {.loc = here(p)};
    tegu_level level;
    if (!tegu_read_name(c, "an entry name", &entry.name))
        return false;
    if (tegu_unit_find_entry(c->unit, entry.name))
        return name_error(p, entry.loc, "there is already an entry",
                          entry.name);
    if (c->unit->entries.count == TEGU_MAX_ENTRIES)
        return tegu_error(c->diag, entry.loc, TEGU_E_RESOURCES,
                          "more than %d entries", TEGU_MAX_ENTRIES);
    bool listed = tegu_take(c, '(');
    if (listed && !read_arguments(p, &entry))
        return false;
    tegu_word word = tegu_peek_word(c, false);
    if (!tegu_level_find(word.text, word.size, &level))
        return tegu_cursor_expected(c, "model, core or kernel");
    c->at += word.size;
    if (!tegu_read_mark(c, '{') || !tegu_read_line_end(c))
        return false;
    block b = {.g = tegu_graph_create(c->unit, level)};
    entry.graph = b.g;
    if (!read_block(p, &b))
        return false;
    if (!listed && !collect_arguments(p, &entry))
        return false;
    tegu_vec_push(c->arena, &c->unit->entries, entry);
    return true;
}

static bool read_unit_line(parser *p)
{
    if (!tegu_word_is(tegu_peek_word(&p->c, false), "unit"))
        return tegu_cursor_expected(&p->c, "'unit NAME' first");
    tegu_take_word(&p->c, false);
    return tegu_read_name(&p->c, "the unit's name", &p->c.unit->name);
}

static const struct {
    const char *word;
    bool (*read)(parser *p);
} lines[] = {
    {"axis", read_axis_line},       {"tokenizer", read_tokenizer_line},
    {"weights", read_weights_line}, {"param", read_param_line},
    {"state", read_state_line},     {"entry", read_entry_line},
    {"adapter", read_adapter_line},
};

static bool read_line(parser *p)
{
    tegu_word word = tegu_peek_word(&p->c, false);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (tegu_word_is(word, lines[i].word)) {
            p->c.at += word.size;
            return lines[i].read(p);
        }
    return tegu_cursor_expected(
        &p->c, "axis, tokenizer, weights, adapter, param, state or entry");
}

static void give_random_weights(parser *p)
{
    for (uint32_t i = 0; i < p->c.unit->params.count; i++) {
        tegu_param *param = &p->c.unit->params.data[i];
        param->source = TEGU_SOURCE_RANDOM;
        param->seed = p->seed;
        param->std = p->std;
    }
}

tegu_unit *tegu_unit_parse(tegu_arena *arena, tegu_diag *diag, const char *file,
                           const char *text, size_t size)
{
    tegu_unit *unit = tegu_unit_create(arena, diag, "");
    parser p = {.c = {.at = text,
                      .end = text + size,
                      .line_start = text,
                      .line = 1,
                      .file = tegu_intern_cstr(unit->names, file),
                      .diag = diag,
                      .arena = arena,
                      .unit = unit}};
    p.errors_before = tegu_diag_errors(diag);
    tegu_diag_source(diag, p.c.file, text, size);
    unit->source = p.c.file;
    bool started = false;
    do {
        tegu_skip_blanks(&p.c);
        if (p.c.at == p.c.end || *p.c.at == '\n')
            continue;
        bool good = started ? read_line(&p) : read_unit_line(&p);
        started = true;
        if (!good || !tegu_read_line_end(&p.c))
            skip_statement(&p);
    } while (tegu_next_line(&p.c) && !too_many_errors(&p));
    if (!started)
        tegu_cursor_expected(&p.c, "'unit NAME' first");
    if (p.random)
        give_random_weights(&p);
    if (tegu_diag_errors(diag) > p.errors_before ||
        !tegu_unit_check(unit, TEGU_E_IR_RULE))
        return NULL;
    return unit;
}
