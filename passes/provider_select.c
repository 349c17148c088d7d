/* SPDX-License-Identifier: Apache-2.0 */
/* provider_select.c - coordinates as they are: those with the largest mean
 * |x|.
 */
#include "passes/provider.h"

static bool find(tegu_subspace *s)
{
    int64_t *chosen = TEGU_ARRAY(s->scratch, int64_t, (size_t)s->width);

    tegu_select_largest(s->scratch, s->stats->sum_abs, s->extent, s->width,
                        chosen);
    for (int64_t j = 0; j < s->width; j++)
        s->q[chosen[j] * s->width + j] = 1;
    return true;
}

const tegu_provider tegu_provider_select = {"select", true, false, find};
