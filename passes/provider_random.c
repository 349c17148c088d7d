/* SPDX-License-Identifier: Apache-2.0 */
/* provider_random.c - a random subspace: the control that others must beat,
 * and with keep = 1 the test that a change of basis changes nothing.
 *
 * Normal numbers (Box and Muller 1958 over splitmix64, Steele, Lea, Flood
 * 2014) orthonormalised: uniform over subspaces.
 */
#include "passes/provider.h"

#include <math.h>

static double uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}

static bool find(tegu_subspace *s)
{
    const double turn = 6.283185307179586;
    uint64_t state = s->seed;
    int64_t rank;

    for (int64_t i = 0; i < s->extent * s->width; i++) {
        double radius = sqrt(-2 * log(uniform(&state)));
        s->q[i] = radius * cos(turn * uniform(&state));
    }
    return tegu_orthonormalise(s->unit, s->scratch, s->q, s->extent, s->width,
                               &rank);
}

const tegu_provider tegu_provider_random = {"random", false, false, find};
