// The words of vec.h with one lane: numbers. For C and CUDA C++; included by vec.h. Masks are 1 or 0, and so is what comparisons give.
#ifndef MANTA_KERNELS_CLASSIC_LANE_H
#define MANTA_KERNELS_CLASSIC_LANE_H

#include <math.h>
#include <stdint.h>

#if defined(__cplusplus)
#define VEC_FN __device__ __forceinline__
#else
#define VEC_FN static inline
#endif

typedef double vd;
typedef int64_t vl;
typedef float vs;
typedef int32_t vw;

VEC_FN vd vd_set(double x) { return x; }
VEC_FN vl vl_set(int64_t x) { return x; }
VEC_FN vs vs_set(float x) { return x; }
VEC_FN double vd_first(vd v) { return v; }
VEC_FN vl vd_as_vl(vd v) {
    vl bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    return bits;
}
VEC_FN vd vl_as_vd(vl bits) {
    vd v;
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
}
VEC_FN vd vd_of_int(vl v) { return (vd)v; }
VEC_FN vl vl_of_int32(vw v) { return v; }
VEC_FN vl vl_shift_left(vl v, int bits) { return (vl)((uint64_t)v << bits); }
VEC_FN vs vs_from(vd v) { return (vs)v; }
VEC_FN vd vd_from(vs v) { return (vd)v; }
VEC_FN vd vd_to_float(vd v) { return (vd)(vs)v; }
VEC_FN vd vd_select(vl mask, vd yes, vd no) { return mask ? yes : no; }
VEC_FN vl vl_not(vl mask) { return !mask; }
VEC_FN int vl_any(vl mask) { return mask != 0; }

VEC_FN void vd_sincos_libm(vd x, vd *sine, vd *cosine) { *sine = sin(x), *cosine = cos(x); }
VEC_FN vd vd_remainder(vd x, double y) { return remainder(x, y); }
VEC_FN vd vd_fmod(vd x, double y) { return fmod(x, y); }

#endif
