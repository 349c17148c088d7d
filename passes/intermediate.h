/* SPDX-License-Identifier: Apache-2.0 */
/* intermediate.h - reduces the width of hidden layers (region.h): axes that
 * linears write, element-wise ops pass and one linear reads.
 */
#ifndef TEGU_PASSES_INTERMEDIATE_H
#define TEGU_PASSES_INTERMEDIATE_H

#include "passes/calibrate.h"
#include "passes/region.h"
#include "passes/replace.h"

/* How to reduce an axis. */
typedef struct tegu_intermediate {
    const char *axis;
    double keep;        /* of each layer's width, in (0, 1] */
    const char *method; /* obs, select, merge, barycentric */
    int64_t round;      /* widths become multiples of this; 1: any width */
    bool sequential;    /* layers see those before them reduced */
} tegu_intermediate;

/* Reduces every region on the axis in all entries; one row per layer in the
 * report.  Needs calibration data. */
tegu_outcome tegu_reduce_intermediate(tegu_unit *unit, tegu_pass_env *env,
                                      const tegu_intermediate *how);

/* --- for passes that choose widths themselves --- */

/* A region with its reader's map and what it reads, or one expert of it.  Where
 * the reader has a bias, a constant 1 is one more input of the map, never
 * dropped, so that the repair may use the inputs' means. */
typedef struct tegu_hidden {
    const tegu_region *region;
    int64_t out, width;
    int64_t inputs; /* width, or width + 1 with a bias */
    double *map;    /* [out, inputs] */
    double *gram;   /* [inputs, inputs] */
    const tegu_site_stats *stats;
} tegu_hidden;

/* What to gather about a region, into requests [experts]: Gram matrices.  Adds
 * nodes to its graph where an expert's inputs or a gate make them needed. */
void tegu_hidden_requests(const tegu_region *region,
                          tegu_site_request *requests);
/* The same of a region without experts, whatever gates it; adds no nodes. */
tegu_site_request tegu_hidden_request(const tegu_region *region);
/* Reads a region of the unit as it is, from stats [experts] into hidden
 * [experts]; false after reporting. */
bool tegu_hidden_open(const tegu_region *region, const tegu_site_stats *stats,
                      tegu_arena *arena, tegu_hidden *hidden);
/* OBS order of the width's elements and the loss after each removal, relative
 * to the output's energy (obs.h); arrays [width].  False after reporting. */
bool tegu_hidden_order(const tegu_hidden *hidden, tegu_arena *scratch,
                       int64_t *order, double *loss);
/* The elements left when the first width - count of `order` go, ascending,
 * into kept [count + 1]; the constant input stands last where there is one.
 * Returns their number. */
int64_t tegu_hidden_kept(const tegu_hidden *hidden, const int64_t *order,
                         int64_t count, int64_t *kept);
/* The reader's map with the columns of dropped elements summed into those of
 * kept ones along a transport plan, into cut [out, count], and the plan with
 * columns of sum 1 into mix [width, elements kept].  Needs samples. */
void tegu_hidden_merge(const tegu_hidden *hidden, const int64_t *kept,
                       int64_t count, tegu_arena *arena, double *cut,
                       double *mix);
/* The least squares repair of the map over `kept` [count], into cut
 * [out, count]; false after reporting. */
bool tegu_hidden_repair(const tegu_hidden *hidden, const int64_t *kept,
                        int64_t count, tegu_arena *scratch, double *cut);
/* Cuts the unit's parameters, on dimension `dim` now, to `kept` [count, of
 * which the constant is one] and the reader to the map `cut` [out, count]; with
 * `mix` [width, elements kept] writers' rows are mixed by it instead of chosen.
 * All three have experts one behind another; `hidden` is any of them.  The
 * graphs wait for tegu_replace_weights. */
bool tegu_hidden_cut(tegu_unit *unit, const tegu_hidden *hidden, tegu_dim dim,
                     const int64_t *kept, int64_t count, const double *cut,
                     const double *mix, tegu_arena *scratch);
/* The names of all parameters that a cut changes, for tegu_replace_weights. */
tegu_replacement *tegu_hidden_replaced(const tegu_hidden *hidden,
                                       tegu_arena *arena, uint32_t *count);
/* `keep` of a width, rounded to a multiple, at least one and at most it. */
int64_t tegu_kept_width(int64_t width, double keep, int64_t round);

#endif
