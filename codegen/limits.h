/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - what this machine can do at most, measured: the figures that
 * benchmarks are held against. */
#ifndef TEGU_CODEGEN_LIMITS_H
#define TEGU_CODEGEN_LIMITS_H

#include "codegen/codegen.h"

typedef struct tegu_limits {
    double flops; /* f32 multiply-adds in registers, 2 per, per second */
    double bytes; /* read from memory beyond all caches, per second */
} tegu_limits;

/* A prepared measurement: generated code and a buffer of 256 MiB. */
typedef struct tegu_limits_probe tegu_limits_probe;
/* NULL with a message on failure. */
tegu_limits_probe *tegu_limits_create(const tegu_target *target,
                                      tegu_failure *failure);
void tegu_limits_destroy(tegu_limits_probe *probe);
/* Takes about 0.15 s with the given threads.  Measure again between
 * benchmark runs and use medians: the machine drifts. */
void tegu_limits_measure(tegu_limits_probe *probe,
                         const tegu_jit_options *threads, tegu_limits *limits);

#endif
