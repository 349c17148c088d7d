/* SPDX-License-Identifier: Apache-2.0 */
/* write_expr.c - nodes, sizes and numbers as expressions of the language.
 *
 * Takes a node of a graph at model level whose inputs have texts; produces the
 * text that elaborates to the same node.  Ops are called by name with the
 * attributes that differ from their defaults; sums and products are operators.
 * Operands whose named axes the language would not let meet (passes may leave
 * such) are given plain sizes with `as`.
 */
#include "frontend/elab.h"
#include "frontend/writer.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

static void put(tegu_text *out, const char *text)
{
    tegu_text_add(out, text, strlen(text));
}

/* --- strings and numbers --- */

void tegu_write_string(tegu_text *out, const char *text)
{
    put(out, "\"");
    for (const char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte == '"' || byte == '\\')
            tegu_text_printf(out, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            tegu_text_printf(out, "\\x%02x", byte);
        else
            tegu_text_add(out, c, 1);
    }
    put(out, "\"");
}

/* Digits that the language reads as a float. */
static void put_digits(tegu_text *out, double x, bool single)
{
    uint32_t start = out->count;
    tegu_text_number(out, x, single);
    if (!strpbrk(out->data + start, ".e"))
        put(out, ".0");
}

static void put_float(tegu_text *out, double x, bool single)
{
    if (signbit(x) && !isnan(x)) {
        put(out, "-");
        x = -x;
    }
    if (isnan(x))
        put(out, "(inf - inf)");
    else if (isinf(x))
        put(out, "inf");
    else
        put_digits(out, x, single);
}

void tegu_write_number(tegu_text *out, double number)
{
    put_float(out, number, false);
}

/* --- sizes --- */

static void put_value(const tegu_writer *w, tegu_text *out, tegu_dim dim)
{
    if (tegu_dim_is_static(dim)) {
        tegu_text_printf(out, "%" PRId64, dim.offset);
        return;
    }
    if (dim.scale != 1)
        tegu_text_printf(out, "%" PRId64 " * ", dim.scale);
    put(out, w->unit->axes.data[dim.symbol].name);
    if (dim.offset)
        tegu_text_printf(out, " %c %" PRId64, dim.offset < 0 ? '-' : '+',
                         dim.offset < 0 ? -dim.offset : dim.offset);
}

/* The dimension that the named factors multiply to; false: none. */
static bool product_of(const tegu_writer *w, tegu_dim dim, tegu_dim *product)
{
    tegu_dim factors[TEGU_MAX_FACTORS];
    uint32_t count = 0;
    while (count < TEGU_MAX_FACTORS && dim.axes[count]) {
        factors[count] = tegu_unit_axis_dim(w->unit, dim.axes[count]);
        count++;
    }
    return count && tegu_dims_product(factors, 0, count, product);
}

/* "T", "heads * head_dim", "205 of dim" */
static void write_dim(const tegu_writer *w, tegu_text *out, tegu_dim dim)
{
    tegu_dim product;
    bool named = product_of(w, dim, &product);
    if (named && !tegu_dim_equal(product, dim)) {
        put_value(w, out, dim);
        put(out, " of ");
    }
    if (!named) {
        put_value(w, out, dim);
        return;
    }
    for (int i = 0; i < TEGU_MAX_FACTORS && dim.axes[i]; i++)
        tegu_text_printf(out, "%s%s", i ? " * " : "",
                         w->unit->axes.data[dim.axes[i]].name);
}

static void put_dims(const tegu_writer *w, tegu_text *out,
                     const tegu_type *type, bool plain)
{
    put(out, "[");
    for (uint32_t i = 0; i < type->rank; i++) {
        put(out, i ? ", " : "");
        if (plain)
            put_value(w, out, type->dims[i]);
        else
            write_dim(w, out, type->dims[i]);
    }
    put(out, "]");
}

void tegu_write_type(const tegu_writer *w, tegu_text *out,
                     const tegu_type *type)
{
    put(out, tegu_dtype_text(type->dtype));
    put_dims(w, out, type, false);
}

/* --- literals --- */

static void put_element(tegu_text *out, const tegu_node *node, int64_t i)
{
    switch (node->type->dtype) {
    case TEGU_BOOL:
        put(out, ((const unsigned char *)node->data)[i] ? "true" : "false");
        break;
    case TEGU_I32:
        tegu_text_printf(out, "%" PRId32, ((const int32_t *)node->data)[i]);
        break;
    case TEGU_I64:
        tegu_text_printf(out, "%" PRId64, ((const int64_t *)node->data)[i]);
        break;
    default:
        put_float(out, (double)((const float *)node->data)[i], true);
        break;
    }
}

/* Rows of axis `axis` from element *at on. */
static void put_rows(tegu_text *out, const tegu_node *node, uint32_t axis,
                     int64_t *at)
{
    if (axis == node->type->rank) {
        put_element(out, node, (*at)++);
        return;
    }
    put(out, "[");
    for (int64_t i = 0; i < node->type->dims[axis].offset; i++) {
        put(out, i ? ", " : "");
        put_rows(out, node, axis + 1, at);
    }
    put(out, "]");
}

static bool write_const(const tegu_node *node, tegu_text *out)
{
    int64_t at = 0;
    bool wide = node->type->dtype == TEGU_I64;
    put(out, wide ? "cast(" : "");
    put_rows(out, node, 0, &at);
    put(out, wide ? ", i64)" : "");
    return true;
}

/* --- operands --- */

/* Input i, in parentheses where an operator could tear it apart. */
static void put_tight(tegu_writer *w, tegu_text *out, const tegu_node *node,
                      uint32_t i)
{
    const tegu_written *x = &w->values[node->inputs[i]];
    tegu_text_printf(out, x->loose ? "(%s)" : "%s", x->text);
}

static void put_input(tegu_writer *w, tegu_text *out, const tegu_node *node,
                      uint32_t i, bool plain)
{
    if (!plain) {
        put(out, w->values[node->inputs[i]].text);
        return;
    }
    put_tight(w, out, node, i);
    put(out, " as ");
    put_dims(w, out, tegu_graph_type(w->graph, node->inputs[i]), true);
}

/* Would the language let these operands meet? */
static bool axes_agree(tegu_writer *w, const tegu_node *node)
{
    tegu_elab el = {.unit = w->unit,
                    .arena = w->arena,
                    .diag = tegu_diag_create(w->arena),
                    .graph = w->graph};
    tegu_node_spec spec = tegu_node_spec_of(node, node->inputs);
    return tegu_op_axes_agree(&el, &spec);
}

/* --- attributes --- */

static void put_attr(tegu_text *out, const tegu_attr *attr)
{
    tegu_text_printf(out, ", %s = ", attr->info->key);
    switch (attr->info->kind) {
    case TEGU_ATTR_INT: tegu_text_printf(out, "%" PRId64, attr->as.i); break;
    case TEGU_ATTR_FLOAT: put_float(out, attr->as.f, false); break;
    case TEGU_ATTR_BOOL: put(out, attr->as.b ? "true" : "false"); break;
    case TEGU_ATTR_TEXT: tegu_write_string(out, attr->as.text); break;
    case TEGU_ATTR_DTYPE: put(out, tegu_dtype_text(attr->as.dtype)); break;
    case TEGU_ATTR_INTS: tegu_ints_print(out, attr); break;
    }
}

/* --- nodes --- */

/* Ops whose calls have another name than the op. */
static const char *call_name(tegu_op op)
{
    switch ((int)op) {
    case TEGU_OP_REDUCE_SUM: return "sum";
    case TEGU_OP_REDUCE_MAX: return "max";
    case TEGU_OP_REDUCE_MIN: return "min";
    case TEGU_OP_SELECT: return "where";
    default: return tegu_op_get(op)->text;
    }
}

static bool write_call(tegu_writer *w, const tegu_node *node, tegu_text *out)
{
    bool plain = !axes_agree(w, node);
    tegu_text_printf(out, "%s(", call_name(node->op));
    for (uint32_t i = 0; i < node->input_count; i++) {
        put(out, i ? ", " : "");
        put_input(w, out, node, i, plain);
    }
    for (uint32_t i = 0; i < tegu_op_get(node->op)->attr_count; i++)
        if (!tegu_attr_is_default(w->unit, &node->attrs[i]))
            put_attr(out, &node->attrs[i]);
    put(out, ")");
    return true;
}

static bool write_operator(tegu_writer *w, const tegu_node *node,
                           tegu_text *out, const char *sign)
{
    put_tight(w, out, node, 0);
    tegu_text_printf(out, " %s ", sign);
    put_tight(w, out, node, 1);
    return true;
}

static bool write_shaped(tegu_writer *w, const tegu_node *node, tegu_text *out,
                         const char *call)
{
    tegu_text_printf(out, "%s(%s, ", call, w->values[node->inputs[0]].text);
    put_dims(w, out, node->type, false);
    put(out, ")");
    return true;
}

static bool write_iota(tegu_writer *w, const tegu_node *node, tegu_text *out)
{
    bool cast = node->type->dtype != TEGU_I32;
    put(out, cast ? "cast(iota(" : "iota(");
    put_dims(w, out, node->type, false);
    tegu_text_printf(out, ", axis = %" PRId64 ")", tegu_node_int(node, "axis"));
    if (cast)
        tegu_text_printf(out, ", %s)", tegu_dtype_text(node->type->dtype));
    return true;
}

static bool write_size(tegu_writer *w, const tegu_node *node, tegu_text *out)
{
    int64_t axis = tegu_node_int(node, "axis");
    tegu_dim dim = tegu_graph_type(w->graph, node->inputs[0])->dims[axis];
    if (tegu_dim_is_static(dim))
        tegu_text_printf(out, "%" PRId64, dim.offset);
    else
        tegu_text_printf(out, "size(%s, %" PRId64 ")",
                         w->values[node->inputs[0]].text, axis);
    return true;
}

static bool cannot_write(const tegu_writer *w, const tegu_node *node,
                         const char *what)
{
    return tegu_error(w->unit->diag, node->loc, TEGU_E_UNSUPPORTED,
                      "the language has no form for %s", what);
}

static bool write_param(tegu_writer *w, const tegu_node *node, tegu_text *out)
{
    const char *name = tegu_node_text(node, "name");
    const tegu_param *param = tegu_unit_find_param(w->unit, name);
    if (strchr(name, '{'))
        return cannot_write(
            w, node,
            tegu_format(w->arena, "the tensor name '%s'",
                        tegu_escaped(w->arena, name, strlen(name))));
    put(out, "param ");
    tegu_write_string(out, name);
    put(out, " ");
    if (param->type->dtype == TEGU_F32)
        put_dims(w, out, param->type, false);
    else
        tegu_write_type(w, out, param->type);
    put(out, param->transposed ? " transposed" : "");
    return true;
}

static bool write_state(tegu_writer *w, const tegu_node *node, tegu_text *out)
{
    const tegu_state *state =
        tegu_unit_find_state(w->unit, tegu_node_text(node, "name"));
    put(out, w->states[state - w->unit->states.data]);
    return true;
}

/* --- slices --- */

/* Rows [start, start + (extent - 1) * step] of one axis. */
static bool put_range(const tegu_writer *w, tegu_text *out, tegu_dim axis,
                      tegu_dim extent, int64_t start, int64_t step)
{
    tegu_dim end = extent;
    if (start < 0 && tegu_dim_is_static(axis))
        start += axis.offset;
    if (start == 0 && step == 1 && tegu_dim_equal(axis, extent)) {
        put(out, "0..");
        return true;
    }
    if (step < 1 || (step > 1 && !tegu_dim_is_static(extent)) ||
        (start < 0 && !tegu_dim_is_static(extent)))
        return false;
    if (start || step > 1) {
        memset(end.axes, 0, sizeof end.axes);
        if (step > 1)
            end.offset = (extent.offset - 1) * step + 1;
        end.offset += start;
    }
    tegu_text_printf(out, "%" PRId64 "..", start);
    if (start >= 0)
        write_dim(w, out, end);
    else if (end.offset < 0)
        tegu_text_printf(out, "%" PRId64, end.offset);
    if (step > 1)
        tegu_text_printf(out, " by %" PRId64, step);
    return start >= 0 || end.offset <= 0;
}

/* The axis that alone changes, by running backwards from its end; -1. */
static int reversed_axis(const tegu_writer *w, const tegu_node *node)
{
    const tegu_type *from = tegu_graph_type(w->graph, node->inputs[0]);
    const int64_t *start = tegu_node_attr(node, "start")->as.ints.data;
    const int64_t *step = tegu_node_attr(node, "step")->as.ints.data;
    int found = -1;
    for (uint32_t i = 0; i < from->rank; i++) {
        tegu_dim dim = from->dims[i];
        if (!tegu_dim_equal(dim, node->type->dims[i]))
            return -1;
        if (step[i] == 1 && start[i] == 0)
            continue;
        bool all = step[i] == -1 && tegu_dim_is_static(dim) &&
                   (start[i] == -1 || start[i] == dim.offset - 1);
        if (!all || found >= 0)
            return -1;
        found = (int)i;
    }
    return found;
}

static bool write_slice(tegu_writer *w, const tegu_node *node, tegu_text *out)
{
    const tegu_type *from = tegu_graph_type(w->graph, node->inputs[0]);
    const int64_t *start = tegu_node_attr(node, "start")->as.ints.data;
    const int64_t *step = tegu_node_attr(node, "step")->as.ints.data;
    int reversed = reversed_axis(w, node);
    if (reversed >= 0) {
        tegu_text_printf(out, "reverse(%s, axis = %d)",
                         w->values[node->inputs[0]].text, reversed);
        return true;
    }
    put_tight(w, out, node, 0);
    put(out, "[");
    for (uint32_t i = 0; i < from->rank; i++) {
        put(out, i ? ", " : "");
        if (!put_range(w, out, from->dims[i], node->type->dims[i], start[i],
                       step[i]))
            return cannot_write(w, node, "this slice");
    }
    put(out, "]");
    return true;
}

/* --- the dispatch --- */

static bool write_op(tegu_writer *w, const tegu_node *node, tegu_text *out,
                     bool *loose)
{
    const char *sign = node->op == TEGU_OP_ADD   ? "+"
                       : node->op == TEGU_OP_SUB ? "-"
                       : node->op == TEGU_OP_MUL ? "*"
                       : node->op == TEGU_OP_DIV ? "/"
                                                 : NULL;
    switch ((int)node->op) {
    case TEGU_OP_INPUT: put(out, tegu_node_text(node, "name")); return true;
    case TEGU_OP_PARAM: return write_param(w, node, out);
    case TEGU_OP_STATE: return write_state(w, node, out);
    case TEGU_OP_CONST: return write_const(node, out);
    case TEGU_OP_IOTA: return write_iota(w, node, out);
    case TEGU_OP_SIZE: return write_size(w, node, out);
    case TEGU_OP_RESHAPE: return write_shaped(w, node, out, "reshape");
    case TEGU_OP_BROADCAST: return write_shaped(w, node, out, "broadcast");
    case TEGU_OP_SLICE: return write_slice(w, node, out);
    default: break;
    }
    *loose = sign && axes_agree(w, node);
    return *loose ? write_operator(w, node, out, sign)
                  : write_call(w, node, out);
}

bool tegu_write_node(tegu_writer *w, tegu_value v, tegu_written *expr)
{
    tegu_text text = {.arena = w->arena};
    expr->loose = false;
    if (!write_op(w, tegu_graph_node(w->graph, v), &text, &expr->loose))
        return false;
    expr->text = tegu_text_cstr(&text);
    expr->loose = expr->loose || expr->text[0] == '-';
    return true;
}
