/* SPDX-License-Identifier: Apache-2.0 */
/* interp_map.c - element-wise ops: their values, and the walk over broadcast
 * operands.
 *
 * The value of an f32 op is the f32 nearest to the f64 result on its f32
 * operands; for + - * / and sqrt that is the f32 instruction itself (Figueroa
 * 1995: 53 >= 2 * 24 + 2), so the loops below vectorise.  Integers wrap, x/0
 * and x mod 0 are 0.  interp_bound.c has the same ops on shadows.
 */
#include "ir/interp.h"

#include <math.h>
#include <string.h>

/* --- kernels --- */

#define MAP1(name, FROM, TO, ...)                                              \
    static void name(size_t n, const void *const *in, void *out)               \
    {                                                                          \
        const FROM *a = in[0];                                                 \
        TO *y = out;                                                           \
        for (size_t i = 0; i < n; i++) {                                       \
            FROM x = a[i];                                                     \
            y[i] = (TO)(__VA_ARGS__);                                          \
        }                                                                      \
    }
#define MAP2(name, FROM, TO, ...)                                              \
    static void name(size_t n, const void *const *in, void *out)               \
    {                                                                          \
        const FROM *a = in[0], *b = in[1];                                     \
        TO *y = out;                                                           \
        for (size_t i = 0; i < n; i++) {                                       \
            FROM x = a[i], z = b[i];                                           \
            y[i] = (TO)(__VA_ARGS__);                                          \
        }                                                                      \
    }
#define SELECT(name, TYPE)                                                     \
    static void name(size_t n, const void *const *in, void *out)               \
    {                                                                          \
        const uint8_t *c = in[0];                                              \
        const TYPE *a = in[1], *b = in[2];                                     \
        TYPE *y = out;                                                         \
        for (size_t i = 0; i < n; i++)                                         \
            y[i] = c[i] ? a[i] : b[i];                                         \
    }

/* An f64 function, rounded. */
#define F64(f) (f)((double)x)

static float sign_of(float x)
{
    return x > 0 ? 1.0f : x < 0 ? -1.0f : x;
}

MAP1(neg_f32, float, float, -x)
MAP1(abs_f32, float, float, fabsf(x))
MAP1(sign_f32, float, float, sign_of(x))
MAP1(floor_f32, float, float, floorf(x))
MAP1(ceil_f32, float, float, ceilf(x))
MAP1(round_f32, float, float, nearbyintf(x))
MAP1(exp_f32, float, float, F64(exp))
MAP1(log_f32, float, float, F64(log))
MAP1(sqrt_f32, float, float, sqrtf(x))
MAP1(rsqrt_f32, float, float, 1 / F64(sqrt))
MAP1(tanh_f32, float, float, F64(tanh))
MAP1(erf_f32, float, float, F64(erf))
MAP1(sin_f32, float, float, F64(sin))
MAP1(cos_f32, float, float, F64(cos))
MAP1(sigmoid_f32, float, float, 1 / (1 + exp(-(double)x)))

MAP2(add_f32, float, float, x + z)
MAP2(sub_f32, float, float, x - z)
MAP2(mul_f32, float, float, x *z)
MAP2(div_f32, float, float, x / z)
MAP2(mod_f32, float, float, fmodf(x, z))
MAP2(pow_f32, float, float, pow((double)x, (double)z))
/* NaN wins; of two zeros max takes +0 and min -0 (IEEE 754-2019 maximum). */
MAP2(max_f32, float, float,
     x != x   ? x
     : x > z  ? x
     : x == z ? (signbit(x) ? z : x)
              : z)
MAP2(min_f32, float, float,
     x != x   ? x
     : x < z  ? x
     : x == z ? (signbit(x) ? x : z)
              : z)
MAP2(eq_f32, float, uint8_t, x == z)
MAP2(ne_f32, float, uint8_t, x != z)
MAP2(lt_f32, float, uint8_t, x < z)
MAP2(le_f32, float, uint8_t, x <= z)
SELECT(select_f32, float)

static void add_if_f32(size_t n, const void *const *in, void *out)
{
    const float *a = in[0], *b = in[1], *s = in[2];
    float *y = out;
    for (size_t i = 0; i < n; i++)
        y[i] = s[i] != 0 ? a[i] + b[i] : a[i];
}

/* Integers: signed TYPE, computed in unsigned U so that they wrap. */
#define INTEGER(suffix, TYPE, U, LEAST)                                        \
    MAP1(neg_##suffix, TYPE, TYPE, (U)0 - (U)x)                                \
    MAP1(abs_##suffix, TYPE, TYPE, x < 0 ? (U)0 - (U)x : (U)x)                 \
    MAP1(sign_##suffix, TYPE, TYPE, (x > 0) - (x < 0))                         \
    MAP2(add_##suffix, TYPE, TYPE, (U)x + (U)z)                                \
    MAP2(sub_##suffix, TYPE, TYPE, (U)x - (U)z)                                \
    MAP2(mul_##suffix, TYPE, TYPE, (U)x *(U)z)                                 \
    MAP2(div_##suffix, TYPE, TYPE,                                             \
         z == 0                    ? 0                                         \
         : (x == LEAST && z == -1) ? LEAST                                     \
                                   : x / z)                                    \
    MAP2(mod_##suffix, TYPE, TYPE, (z == 0 || z == -1) ? 0 : x % z)            \
    MAP2(max_##suffix, TYPE, TYPE, x > z ? x : z)                              \
    MAP2(min_##suffix, TYPE, TYPE, x < z ? x : z)                              \
    MAP2(eq_##suffix, TYPE, uint8_t, x == z)                                   \
    MAP2(ne_##suffix, TYPE, uint8_t, x != z)                                   \
    MAP2(lt_##suffix, TYPE, uint8_t, x < z)                                    \
    MAP2(le_##suffix, TYPE, uint8_t, x <= z)                                   \
    SELECT(select_##suffix, TYPE)
INTEGER(i32, int32_t, uint32_t, INT32_MIN)
INTEGER(i64, int64_t, uint64_t, INT64_MIN)

MAP1(not_bool, uint8_t, uint8_t, !x)
MAP2(and_bool, uint8_t, uint8_t, x &z)
MAP2(or_bool, uint8_t, uint8_t, x | z)
MAP2(eq_bool, uint8_t, uint8_t, x == z)
MAP2(ne_bool, uint8_t, uint8_t, x != z)
MAP2(lt_bool, uint8_t, uint8_t, x < z)
MAP2(le_bool, uint8_t, uint8_t, x <= z)
SELECT(select_bool, uint8_t)

/* clang-format off */
static const tegu_map_rows kernels[TEGU_OP_COUNT][4] = {
#define ALL(ID, name) [TEGU_OP_##ID] = {[TEGU_BOOL] = name##_bool, \
    [TEGU_I32] = name##_i32, [TEGU_I64] = name##_i64, [TEGU_F32] = name##_f32}
#define NUMBER(ID, name) [TEGU_OP_##ID] = {[TEGU_I32] = name##_i32, \
    [TEGU_I64] = name##_i64, [TEGU_F32] = name##_f32}
#define FLOAT(ID, name) [TEGU_OP_##ID] = {[TEGU_F32] = name##_f32}
#define BOOLEAN(ID, name) [TEGU_OP_##ID] = {[TEGU_BOOL] = name##_bool}
    NUMBER(NEG, neg), NUMBER(ABS, abs), NUMBER(SIGN, sign),
    FLOAT(FLOOR, floor), FLOAT(CEIL, ceil), FLOAT(ROUND, round),
    FLOAT(EXP, exp), FLOAT(LOG, log), FLOAT(SQRT, sqrt),
    FLOAT(RSQRT, rsqrt), FLOAT(TANH, tanh), FLOAT(ERF, erf),
    FLOAT(SIN, sin), FLOAT(COS, cos), FLOAT(SIGMOID, sigmoid),
    BOOLEAN(NOT, not), BOOLEAN(AND, and), BOOLEAN(OR, or),
    NUMBER(ADD, add), NUMBER(SUB, sub), NUMBER(MUL, mul), NUMBER(DIV, div),
    NUMBER(MOD, mod), FLOAT(POW, pow), NUMBER(MAX, max), NUMBER(MIN, min),
    FLOAT(ADD_IF, add_if), ALL(EQ, eq), ALL(NE, ne), ALL(LT, lt), ALL(LE, le), ALL(SELECT, select),
#undef ALL
#undef NUMBER
#undef FLOAT
#undef BOOLEAN
};
/* clang-format on */

/* --- cast --- */

#define CASTS(suffix, FROM)                                                    \
    MAP1(suffix##_to_bool, FROM, uint8_t, x != 0)                              \
    MAP1(suffix##_to_f32, FROM, float, x)
#define INTEGER_CASTS(suffix, FROM)                                            \
    MAP1(suffix##_to_i32, FROM, int32_t, x)                                    \
    MAP1(suffix##_to_i64, FROM, int64_t, x)
#define FLOAT_CAST(name, TO, DTYPE)                                            \
    MAP1(name, float, TO, tegu_float_to_int(DTYPE, (double)x))
CASTS(b8, uint8_t)
CASTS(i32, int32_t)
CASTS(i64, int64_t)
CASTS(f32, float)
INTEGER_CASTS(b8, uint8_t)
INTEGER_CASTS(i32, int32_t)
INTEGER_CASTS(i64, int64_t)
FLOAT_CAST(f32_to_i32, int32_t, TEGU_I32)
FLOAT_CAST(f32_to_i64, int64_t, TEGU_I64)

/* clang-format off */
static const tegu_map_rows casts[4][4] = {
#define CAST_ROW(ID, s) [TEGU_##ID] = { \
    [TEGU_BOOL] = s##_to_bool, [TEGU_I32] = s##_to_i32, \
    [TEGU_I64] = s##_to_i64, [TEGU_F32] = s##_to_f32}
    CAST_ROW(BOOL, b8), CAST_ROW(I32, i32), CAST_ROW(I64, i64),
    CAST_ROW(F32, f32),
#undef CAST_ROW
};
/* clang-format on */

static tegu_map_rows map_kernel(tegu_op op, tegu_dtype from, tegu_dtype to)
{
    tegu_dtype carrier = tegu_carrier(from);
    return op == TEGU_OP_CAST ? casts[carrier][to] : kernels[op][carrier];
}

/* --- the walk: rows of at most CHUNK elements --- */

enum { CHUNK = 1024, OPERANDS = 3 };

/* Result and operands as loops of the fewest dimensions, strides in elements,
 * 0 where an operand repeats; at least one loop. */
typedef struct walk {
    uint32_t rank;
    uint32_t operands;
    int64_t dims[TEGU_MAX_RANK];
    int64_t strides[OPERANDS][TEGU_MAX_RANK];
} walk;

static void operand_strides(const tegu_cell *in, const tegu_cell *out,
                            int64_t *strides)
{
    int64_t step = 1;
    for (uint32_t d = 0; d < out->rank; d++)
        strides[d] = 0;
    for (uint32_t i = in->rank; i-- > 0;) {
        uint32_t d = i + out->rank - in->rank;
        strides[d] = in->dims[i] == 1 ? 0 : step;
        step *= in->dims[i];
    }
}

/* True when dimension d of the result continues the walk's last one. */
static bool continues(const walk *w, int64_t extent,
                      int64_t (*strides)[TEGU_MAX_RANK], uint32_t d)
{
    for (uint32_t k = 0; k < w->operands; k++)
        if (w->strides[k][w->rank - 1] != strides[k][d] * extent)
            return false;
    return true;
}

static walk walk_of(const tegu_cell *const *in, uint32_t operands,
                    const tegu_cell *out)
{
    walk w = {.operands = operands};
    int64_t strides[OPERANDS][TEGU_MAX_RANK];
    for (uint32_t k = 0; k < operands; k++)
        operand_strides(in[k], out, strides[k]);
    for (uint32_t d = 0; d < out->rank; d++) {
        if (out->dims[d] == 1)
            continue;
        if (w.rank && continues(&w, out->dims[d], strides, d))
            w.dims[w.rank - 1] *= out->dims[d];
        else
            w.dims[w.rank++] = out->dims[d];
        for (uint32_t k = 0; k < operands; k++)
            w.strides[k][w.rank - 1] = strides[k][d];
    }
    if (w.rank == 0)
        w.dims[w.rank++] = 1;
    return w;
}

/* Fills n elements of `bytes` bytes with the first one at `from`. */
static void splat(const void *from, size_t bytes, size_t n, void *to)
{
    switch (bytes) {
    case 1: memset(to, *(const unsigned char *)from, n); break;
    case 4:
        for (size_t i = 0; i < n; i++)
            ((uint32_t *)to)[i] = *(const uint32_t *)from;
        break;
    default:
        for (size_t i = 0; i < n; i++)
            ((uint64_t *)to)[i] = *(const uint64_t *)from;
    }
}

/* One operand's rows, where they have to be made. */
typedef struct operand_rows {
    uint64_t data[CHUNK];
    double exact[CHUNK], bound[CHUNK];
    uint8_t unsure[CHUNK];
} operand_rows;

/* What one chunk needs: offsets of the operands, their steps (0 or 1). */
typedef struct chunk {
    int64_t at[OPERANDS], step[OPERANDS];
    int64_t out;
    size_t n;
} chunk;

/* n elements of a plane from `at` on: in place, or spread into `room`. */
static const void *plane_row(const tegu_cell *cell, tegu_plane plane,
                             int64_t at, int64_t step, size_t n, void *room)
{
    size_t bytes = tegu_plane_bytes(cell, plane);
    const char *from =
        (const char *)tegu_cell_at(cell, plane) + (size_t)at * bytes;
    if (step || n == 1)
        return from;
    splat(from, bytes, n, room);
    return room;
}

static void run_values(tegu_map_rows kernel, const tegu_cell *const *in,
                       uint32_t operands, operand_rows *rooms, const chunk *c,
                       tegu_cell *out)
{
    const void *rows[OPERANDS];
    for (uint32_t k = 0; k < operands; k++)
        rows[k] = plane_row(in[k], TEGU_PLANE_DATA, c->at[k], c->step[k], c->n,
                            rooms[k].data);
    kernel(c->n, rows,
           (char *)tegu_cell_at(out, TEGU_PLANE_DATA) +
               (size_t)c->out * tegu_plane_bytes(out, TEGU_PLANE_DATA));
}

static bool is_float(const tegu_cell *cell)
{
    return tegu_carrier(cell->dtype) == TEGU_F32;
}

static tegu_shade shade_row(const tegu_cell *in, operand_rows *room,
                            const chunk *c, uint32_t k)
{
    tegu_shade s = {0};
    int64_t at = c->at[k], step = c->step[k];
    if (!is_float(in)) {
        s.data = plane_row(in, TEGU_PLANE_DATA, at, step, c->n, room->data);
        memset(room->unsure, 0, in->planes[TEGU_PLANE_UNSURE] ? 0 : c->n);
        s.unsure =
            in->planes[TEGU_PLANE_UNSURE]
                ? plane_row(in, TEGU_PLANE_UNSURE, at, step, c->n, room->unsure)
                : room->unsure;
        return s;
    }
    s.exact = room->exact;
    s.bound = room->bound;
    tegu_cell_load(in, at, step ? (int64_t)c->n : 1, room->exact, room->bound);
    if (!step) {
        splat(room->exact, sizeof(double), c->n, room->exact);
        splat(room->bound, sizeof(double), c->n, room->bound);
    }
    return s;
}

static void run_shades(tegu_bound_rows kernel, const tegu_cell *const *in,
                       uint32_t operands, operand_rows *rooms, const chunk *c,
                       tegu_cell *out)
{
    tegu_shade shades[OPERANDS];
    tegu_shade_out o = {0};
    for (uint32_t k = 0; k < operands; k++)
        shades[k] = shade_row(in[k], &rooms[k], c, k);
    if (is_float(out)) {
        o.exact = (double *)tegu_cell_at(out, TEGU_PLANE_EXACT) + c->out;
        o.bound = (double *)tegu_cell_at(out, TEGU_PLANE_BOUND) + c->out;
    } else {
        o.data = (char *)tegu_cell_at(out, TEGU_PLANE_DATA) +
                 (size_t)c->out * tegu_plane_bytes(out, TEGU_PLANE_DATA);
        o.unsure = (uint8_t *)tegu_cell_at(out, TEGU_PLANE_UNSURE) + c->out;
    }
    kernel(c->n, shades, &o);
}

/* Integers and bool in a shadow run: as sure as their operands. */
static void spread_unsure(const tegu_cell *const *in, uint32_t operands,
                          const chunk *c, tegu_cell *out)
{
    uint8_t *y = (uint8_t *)tegu_cell_at(out, TEGU_PLANE_UNSURE) + c->out;
    memset(y, 0, c->n);
    for (uint32_t k = 0; k < operands; k++) {
        const uint8_t *x = tegu_cell_at(in[k], TEGU_PLANE_UNSURE);
        for (size_t i = 0; x && i < c->n; i++)
            y[i] |= x[c->at[k] + (int64_t)i * c->step[k]];
    }
}

/* What to do with each chunk. */
typedef struct plan {
    tegu_map_rows values;
    tegu_bound_rows shades;
    bool unsure;
    operand_rows *rooms;
} plan;

static void run_chunk(const plan *p, const tegu_cell *const *in,
                      uint32_t operands, const chunk *c, tegu_cell *out)
{
    if (p->shades)
        run_shades(p->shades, in, operands, p->rooms, c, out);
    else
        run_values(p->values, in, operands, p->rooms, c, out);
    if (p->unsure)
        spread_unsure(in, operands, c, out);
}

static void run_row(const plan *p, const walk *w, const tegu_cell *const *in,
                    chunk c, tegu_cell *out)
{
    int64_t extent = w->dims[w->rank - 1];
    for (int64_t i = 0; i < extent; i += CHUNK) {
        c.n = (size_t)(extent - i < CHUNK ? extent - i : CHUNK);
        run_chunk(p, in, w->operands, &c, out);
        c.out += (int64_t)c.n;
        for (uint32_t k = 0; k < w->operands; k++)
            c.at[k] += (int64_t)c.n * c.step[k];
    }
}

static void run_walk(const plan *p, const walk *w, const tegu_cell *const *in,
                     tegu_cell *out)
{
    int64_t index[TEGU_MAX_RANK] = {0};
    uint32_t last = w->rank - 1;
    chunk c = {0};
    for (uint32_t k = 0; k < w->operands; k++)
        c.step[k] = w->strides[k][last];
    while (c.out < out->count) {
        run_row(p, w, in, c, out);
        c.out += w->dims[last];
        for (uint32_t d = last; d-- > 0;) {
            for (uint32_t k = 0; k < w->operands; k++)
                c.at[k] += w->strides[k][d];
            if (++index[d] < w->dims[d])
                break;
            for (uint32_t k = 0; k < w->operands; k++)
                c.at[k] -= w->strides[k][d] * w->dims[d];
            index[d] = 0;
        }
    }
}

/* Which planes the result gets and which kernel fills them. */
static bool make_plan(tegu_interp *it, const tegu_node *node,
                      const tegu_cell *const *in, tegu_cell *out, plan *p)
{
    uint32_t operands = node->input_count;
    tegu_dtype from = in[operands - 1]->dtype;
    bool floats = is_float(out), unsure = false;
    for (uint32_t k = 0; k < operands; k++) {
        floats |= is_float(in[k]);
        unsure |= in[k]->planes[TEGU_PLANE_UNSURE] != NULL;
    }
    if (it->shadow && floats)
        p->shades = tegu_bound_kernel(node->op, from, out->dtype, it->likely);
    else
        p->values = map_kernel(node->op, from, out->dtype);
    if (!p->shades && !p->values)
        return tegu_error(it->unit->diag, node->loc, TEGU_E_INTERNAL,
                          "'%s' of %s has no meaning",
                          tegu_op_get(node->op)->text, tegu_dtype_text(from));
    tegu_cell_allocate(it, out);
    p->unsure = unsure && !p->shades;
    if (!is_float(out) && (p->unsure || p->shades))
        tegu_cell_plane(it, out, TEGU_PLANE_UNSURE);
    return true;
}

bool tegu_eval_map(tegu_interp *it, const tegu_node *node,
                   const tegu_cell *const *in, tegu_cell *out)
{
    plan p = {0};
    if (!make_plan(it, node, in, out, &p))
        return false;
    if (out->count == 0)
        return true;
    tegu_block *rooms =
        tegu_block_take(it, node->input_count * sizeof(operand_rows));
    p.rooms = rooms->data;
    walk w = walk_of(in, node->input_count, out);
    run_walk(&p, &w, in, out);
    tegu_block_drop(it, rooms);
    return true;
}
