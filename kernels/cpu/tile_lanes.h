// What the tiles of tile.h and the dot products of dense.c share: short vectors made for an inner loop, and the sums of VF
// vectors at once.
#ifndef MANTA_KERNELS_CPU_TILE_LANES_H
#define MANTA_KERNELS_CPU_TILE_LANES_H

#include "kernels/cpu/activate.h"

// ---- the first n (1 ≤ n ≤ VF) lanes; the rest 0 / untouched. As vf_load_n, made for the inner loop.
#if defined(MT_ISA_AVX512)
typedef __mmask16 lanes;
MT_INLINE lanes lanes_first(int n) { return (__mmask16)((1u << n) - 1); }
MT_INLINE vf lanes_load(const float *p, lanes n) { return (vf)_mm512_maskz_loadu_ps(n, p); }
MT_INLINE void lanes_store(float *p, vf v, lanes n) { _mm512_mask_storeu_ps(p, n, (__m512)v); }
#elif defined(MT_ISA_AVX2)
typedef __m256i lanes;
MT_INLINE lanes lanes_first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
MT_INLINE vf lanes_load(const float *p, lanes n) { return (vf)_mm256_maskload_ps(p, n); }
MT_INLINE void lanes_store(float *p, vf v, lanes n) { _mm256_maskstore_ps(p, n, (__m256)v); }
#else
typedef int lanes;
MT_INLINE lanes lanes_first(int n) { return n; }
MT_INLINE vf lanes_load(const float *p, lanes n) {
    switch (n) {
    case 1: return (vf){p[0]};
    case 2: return (vf){p[0], p[1]};
    case 3: return (vf){p[0], p[1], p[2]};
    default: return vf_load(p);
    }
}
MT_INLINE void lanes_store(float *p, vf v, lanes n) {
    for (int i = 0; i < n; i++) p[i] = v[i];
}
#endif

// ---- VF vectors → one vector whose lane i is the sum of v[i]'s lanes, every lane by the same tree
MT_INLINE vf vf_sum_each(vf v[VF]) {
#if defined(MT_ISA_AVX512)
    __m512 q[4];
    for (int i = 0; i < 4; i++) {
        __m512 a = (__m512)v[4 * i], b = (__m512)v[4 * i + 1], c = (__m512)v[4 * i + 2], d = (__m512)v[4 * i + 3];
        __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
        __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
        q[i] = _mm512_add_ps(
            _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    }
    __m512 lo = _mm512_add_ps(_mm512_shuffle_f32x4(q[0], q[1], 0x88), _mm512_shuffle_f32x4(q[0], q[1], 0xdd));
    __m512 hi = _mm512_add_ps(_mm512_shuffle_f32x4(q[2], q[3], 0x88), _mm512_shuffle_f32x4(q[2], q[3], 0xdd));
    return (vf)_mm512_add_ps(_mm512_shuffle_f32x4(lo, hi, 0x88), _mm512_shuffle_f32x4(lo, hi, 0xdd));
#elif defined(MT_ISA_AVX2)
    __m256 q[2];
    for (int i = 0; i < 2; i++) {
        __m256 a = (__m256)v[4 * i], b = (__m256)v[4 * i + 1], c = (__m256)v[4 * i + 2], d = (__m256)v[4 * i + 3];
        __m256d ab = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));
        __m256d cd = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)));
        q[i] = _mm256_add_ps(
            _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)), _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)));
    }
    return (vf)_mm256_add_ps(_mm256_permute2f128_ps(q[0], q[1], 0x20), _mm256_permute2f128_ps(q[0], q[1], 0x31));
#else
    vf ab = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5) + __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
    vf cd = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5) + __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
#endif
}

#endif
