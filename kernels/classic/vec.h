// The words in which the environments of classic control are written (kernels/classic): vectors of doubles. On the CPU each environment
// is compiled once per instruction set (cmake/MantaIsa.cmake) and steps VD of them at once; outside those files VD is 2. On a GPU, and
// where MT_VEC_ONE_LANE is defined, the same words are plain numbers (lane.h) and a thread steps one.
//
// All of them give the same bits: only IEEE operations that round the same everywhere, in the order written, and no
// FMA. A trajectory is therefore a property of seed and actions, not of the machine that computed it.
#ifndef MANTA_KERNELS_CLASSIC_VEC_H
#define MANTA_KERNELS_CLASSIC_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__cplusplus) || defined(MT_VEC_ONE_LANE)
#include "kernels/classic/lane.h"
#else
#include "kernels/cpu/isa.h"

#define VEC_FN static inline

#if defined(MT_ISA_AVX512)
enum { VD = 8 };
#elif defined(MT_ISA_AVX2)
enum { VD = 4 };
#else
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
enum { VD = 2 };
#endif

typedef double vd __attribute__((vector_size(8 * VD)));
typedef int64_t vl __attribute__((vector_size(8 * VD)));   // integers, and masks: all ones or 0
typedef double vd_unaligned __attribute__((vector_size(8 * VD), aligned(4), may_alias));
typedef int64_t vl_unaligned __attribute__((vector_size(8 * VD), aligned(4), may_alias));
typedef float vs __attribute__((vector_size(4 * VD)));
typedef float vs_unaligned __attribute__((vector_size(4 * VD), aligned(4), may_alias));
typedef int32_t vw __attribute__((vector_size(4 * VD)));
typedef int32_t vw_unaligned __attribute__((vector_size(4 * VD), aligned(4), may_alias));
typedef uint8_t vb __attribute__((vector_size(VD)));
typedef uint8_t vb_unaligned __attribute__((vector_size(VD), aligned(1), may_alias));

VEC_FN vd vd_load(const double *p) { return *(const vd_unaligned *)p; }
VEC_FN void vd_store(double *p, vd v) { *(vd_unaligned *)p = v; }
VEC_FN vl vl_load(const int64_t *p) { return *(const vl_unaligned *)p; }
VEC_FN void vl_store(int64_t *p, vl v) { *(vl_unaligned *)p = v; }
VEC_FN vd vd_set(double x) { return x - (vd){}; }
VEC_FN vl vl_set(int64_t x) { return x - (vl){}; }
VEC_FN vs vs_set(float x) { return x - (vs){}; }
VEC_FN double vd_first(vd v) { return v[0]; }   // lane 0
VEC_FN vl vd_as_vl(vd v) { return (vl)v; }      // the bits
VEC_FN vd vl_as_vd(vl v) { return (vd)v; }
VEC_FN vd vd_of_int(vl v) { return __builtin_convertvector(v, vd); }
VEC_FN vl vl_of_int32(vw v) { return __builtin_convertvector(v, vl); }
VEC_FN vl vl_shift_left(vl v, int bits) { return v << bits; }
VEC_FN vs vs_from(vd v) { return __builtin_convertvector(v, vs); }
VEC_FN vd vd_from(vs v) { return __builtin_convertvector(v, vd); }
VEC_FN vd vd_to_float(vd v) { return vd_from(vs_from(v)); }   // rounded to float, still doubles
VEC_FN vs vs_load(const float *p) { return *(const vs_unaligned *)p; }
VEC_FN void vs_store(float *p, vs v) { *(vs_unaligned *)p = v; }
VEC_FN vw vw_load(const int32_t *p) { return *(const vw_unaligned *)p; }
VEC_FN vd vd_select(vl mask, vd yes, vd no) { return (vd)((mask & (vl)yes) | (~mask & (vl)no)); }
// mask → bytes 0 or 1
VEC_FN void vb_store_flags(uint8_t *p, vl mask) { *(vb_unaligned *)p = __builtin_convertvector(mask, vb) & 1; }

// bit i = lane i of a mask
VEC_FN unsigned vl_bits(vl mask) {
#if defined(MT_ISA_AVX512)
    return _mm512_movepi64_mask((__m512i)mask);
#elif defined(MT_ISA_AVX2)
    return (unsigned)_mm256_movemask_pd((__m256d)mask);
#elif defined(__SSE2__)
    return (unsigned)_mm_movemask_pd((__m128d)mask);
#else
    return (unsigned)((mask[0] & 1) | (mask[1] & 2));
#endif
}

// Writes VD rows of `columns` floats: row-major out of one vector a column.
VEC_FN void vs_store_rows(float *out, const vs *column, int columns) {
#if defined(MT_ISA_AVX512)
    if (columns == 4) {   // 8×4: the hot one, CartPole
        typedef float v16 __attribute__((vector_size(64)));
        typedef float v16_unaligned __attribute__((vector_size(64), aligned(4), may_alias));
        v16 ab = __builtin_shufflevector(column[0], column[1], 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
        v16 cd = __builtin_shufflevector(column[2], column[3], 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
        *(v16_unaligned *)out =
            __builtin_shufflevector(ab, cd, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
        *(v16_unaligned *)(out + 16) =
            __builtin_shufflevector(ab, cd, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
        return;
    }
#endif
    for (int lane = 0; lane < VD; lane++)
        for (int c = 0; c < columns; c++) out[lane * columns + c] = column[c][lane];
}

VEC_FN vl vl_not(vl mask) { return ~mask; }
VEC_FN int vl_any(vl mask) { return vl_bits(mask) != 0; }

// ---- one lane after the other, by the C library

VEC_FN void vd_sincos_libm(vd x, vd *sine, vd *cosine) {
    *sine = *cosine = x;
    for (int i = 0; i < VD; i++) {
        (*sine)[i] = sin(x[i]);
        (*cosine)[i] = cos(x[i]);
    }
}
VEC_FN vd vd_remainder(vd x, double y) {
    for (int i = 0; i < VD; i++) x[i] = remainder(x[i], y);
    return x;
}
VEC_FN vd vd_fmod(vd x, double y) {
    for (int i = 0; i < VD; i++) x[i] = fmod(x[i], y);
    return x;
}
#endif

VEC_FN vd vd_abs(vd v) { return vl_as_vd(vd_as_vl(v) & INT64_MAX); }
// Python's min(max(v, low), high), NumPy's clip: NaN passes through
VEC_FN vd vd_clip(vd v, double low, double high) {
    v = vd_select(v < low, vd_set(low), v);
    return vd_select(v > high, vd_set(high), v);
}

// ---- sine and cosine
//
// On |x| ≤ π/4 with z = x²: sin x = x + x·z·P(z), cos x = 1 − z/2 + z²·Q(z); near-minimax polynomials whose own error is
// below 0.01 units in the last place, summed so that the large term is added last: results are the nearest double but
// for a few in ten thousand where |x| is small, as libm's are.

#define VD_POLY(z, c0, c1, c2, c3, c4, c5) ((c0) + (z) * ((c1) + (z) * ((c2) + (z) * ((c3) + (z) * ((c4) + (z) * (c5))))))
VEC_FN vd vd_sin_poly(vd z) {
    return VD_POLY(z, -0x1.5555555555555p-3, 0x1.1111111111110p-7, -0x1.a01a01a019881p-13, 0x1.71de3a544a89fp-19,
        -0x1.ae6453ecdcd92p-26, (0x1.6121614ce309ep-33 + z * -0x1.ab0677caffaf3p-41));
}
VEC_FN vd vd_cos_poly(vd z) {
    return VD_POLY(z, 0x1.5555555555555p-5, -0x1.6c16c16c1691fp-10, 0x1.a01a019f3df42p-16, -0x1.27e4fa025e03dp-22,
        0x1.1eeb52bea9072p-29, -0x1.906dd38cb66a1p-37);
}

// |x| ≤ π/4. The square is taken in two parts, so that even a sum near 1 rounds correctly.
VEC_FN void vd_sincos_small(vd x, vd *sine, vd *cosine) {
    vd z = x * x;
    *sine = x + x * vd_sin_poly(z) * z;
    vd high = vl_as_vd(vd_as_vl(x) & ~INT64_C(0x7ffffff));   // 26 bits: its square is exact
    vd z_high = high * high, z_low = (x + high) * (x - high);
    vd one = 1.0 - 0.5 * z_high;
    *cosine = one + (((1.0 - one) - 0.5 * z_high) + (z * z * vd_cos_poly(z) - 0.5 * z_low));
}

// Any x. |x| < 1e5 by reduction to [−π/4, π/4] (Cody and Waite, π/2 in three parts), the rest by libm: the one place where a GPU's
// last bits may be others. No episode of fewer than 250,000 steps gets there.
VEC_FN void vd_sincos(vd x, vd *sine, vd *cosine) {
    if (__builtin_expect(vl_any(vl_not(vd_abs(x) < 1e5)), 0)) {
        vd_sincos_libm(x, sine, cosine);
        return;
    }
    const double round_to_integer = 0x1.8p52;
    vd shifted = x * 0x1.45f306dc9c883p-1 + round_to_integer;
    vl quadrant = vd_as_vl(shifted);   // its low bits
    vd n = shifted - round_to_integer;
    vd t = x - n * 0x1.921fb544p+0;   // both products are exact: 33 bits × 17 bits
    vd w = n * 0x1.0b4611a6p-34;
    vd r = t - w;
    vd tail = ((t - r) - w) - n * 0x1.3198a2e037073p-69;
    vd z = r * r, half = 0.5 * z;
    vd s = r + (r * vd_sin_poly(z) * z + tail * (1.0 - half));
    vd one = 1.0 - half;
    vd c = one + (((1.0 - one) - half) + (z * z * vd_cos_poly(z) - r * tail));
    vl swap = -(quadrant & 1);
    *sine = vl_as_vd(vd_as_vl(vd_select(swap, c, s)) ^ vl_shift_left(quadrant & 2, 62));
    *cosine = vl_as_vd(vd_as_vl(vd_select(swap, s, c)) ^ vl_shift_left((quadrant + 1) & 2, 62));
}

#endif
