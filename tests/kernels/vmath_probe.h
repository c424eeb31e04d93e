// See vmath_probe.c.
#ifndef MANTA_TESTS_KERNELS_VMATH_PROBE_H
#define MANTA_TESTS_KERNELS_VMATH_PROBE_H

#include <stdint.h>

typedef enum vmath_function { VMATH_EXP, VMATH_EXPM1, VMATH_LOG, VMATH_SIN, VMATH_COS, VMATH_TANH } vmath_function;

void vmath_probe_plain(vmath_function f, int64_t count, const float *x, float *y);
void vmath_probe_avx2(vmath_function f, int64_t count, const float *x, float *y);
void vmath_probe_avx512(vmath_function f, int64_t count, const float *x, float *y);

#endif
