// What the row operations (distributions, losses, layer norm, ...) need from a vector beyond isa.h and vmath.h: fp64
// sums over lanes, and tiles: VF rows of a row-major matrix held with one row a lane, so that a row's arithmetic is the
// same wherever the row stands and whatever stands beside it. A short tile's spare lanes hold zeros and are never
// stored.
//
// Everything is inlined: a column count that is a constant at the call unrolls away.
#ifndef MANTA_KERNELS_CPU_LANES_H
#define MANTA_KERNELS_CPU_LANES_H

#include "kernels/cpu/isa.h"
#include "kernels/cpu/vmath.h"

#define LANE_INLINE static inline __attribute__((always_inline, unused))

LANE_INLINE vf lane_clamp(vf x, vf low, vf high) { return vf_min(high, vf_max(low, x)); } // NaN stays NaN

LANE_INLINE vm vm_and(vm a, vm b) { return a & b; }
LANE_INLINE vm vm_or(vm a, vm b) { return a | b; }
LANE_INLINE vf vf_where(vm m, vf x) { return vf_select(m, x, vf_set(0.0f)); } // 0 elsewhere
LANE_INLINE vm vi_eq(vi a, int32_t b) {
#if defined(MT_ISA_AVX512)
    return _mm512_cmpeq_epi32_mask((__m512i)a, _mm512_set1_epi32(b));
#else
    return a == b;
#endif
}
LANE_INLINE vi vi_select(vm m, vi yes, vi no) { return (vi)vf_select(m, (vf)yes, (vf)no); }

// the first n lanes
LANE_INLINE vm lane_first(int n) {
#if defined(MT_ISA_AVX512)
    return (__mmask16)((1u << n) - 1);
#else
    vi index;
    for (int i = 0; i < VF; i++) index[i] = i;
    return index < n;
#endif
}

// ---- fp64

typedef double vd __attribute__((vector_size(4 * VF))); // half as many lanes
enum { VD = VF / 2 };
typedef float vf_half __attribute__((vector_size(2 * VF)));
typedef float vf_half_unaligned __attribute__((vector_size(2 * VF), aligned(4), may_alias));

LANE_INLINE double lane_sum_d(vd v) { // by halves
#if defined(MT_ISA_AVX512)
    __m256d h = _mm256_add_pd(_mm512_castpd512_pd256((__m512d)v), _mm512_extractf64x4_pd((__m512d)v, 1));
    __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
#elif defined(MT_ISA_AVX2)
    __m128d q = _mm_add_pd(_mm256_castpd256_pd128((__m256d)v), _mm256_extractf128_pd((__m256d)v, 1));
#else
    vd q = v;
#endif
    return q[0] + q[1];
}
LANE_INLINE vd lane_low_d(vf v) { // lanes 0 .. VF/2 - 1
    vf_half h;
    memcpy(&h, &v, sizeof h);
    return __builtin_convertvector(h, vd);
}
LANE_INLINE vd lane_high_d(vf v) {
    vf_half h;
    memcpy(&h, (const char *)&v + sizeof h, sizeof h);
    return __builtin_convertvector(h, vd);
}

LANE_INLINE vd lane_load_d(const float *p) {
    return __builtin_convertvector(*(const vf_half_unaligned *)p, vd);
} // VD floats
LANE_INLINE vd lane_fma_d(vd a, vd b, vd c) {
#if defined(MT_ISA_AVX512)
    return (vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(MT_ISA_AVX2)
    return (vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;
#endif
}

// ---- sum of the lanes by halves, in registers: vf_sum's order without its way through memory

LANE_INLINE float lane_sum(vf v) {
#if defined(MT_ISA_AVX512)
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256((__m512)v), _mm512_extractf32x8_ps((__m512)v, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
#elif defined(MT_ISA_AVX2)
    __m128 q = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
#else
    vf q = v;
#endif
    return (q[0] + q[2]) + (q[1] + q[3]);
}

// ---- whole or short vectors

LANE_INLINE vf lane_load_n(const float *p, int n) { return n == VF ? vf_load(p) : vf_load_n(p, n); }
LANE_INLINE void lane_store_n(float *p, vf v, int n) {
    if (n == VF)
        vf_store(p, v);
    else
        vf_store_n(p, v, n);
}
// n is a constant VF for all but the last tile
LANE_INLINE int lane_count(int64_t left) { return left < VF ? (int)left : VF; }

// ---- tiles: n ≤ VF rows, one a lane

// runs `call`, which names b and n, over tiles; whole tiles get a constant n
#define FOR_TILES(rows, call)                                                                                          \
    do {                                                                                                               \
        int64_t b = 0;                                                                                                 \
        for (; b + VF <= (rows); b += VF) {                                                                            \
            enum { n = VF };                                                                                           \
            call;                                                                                                      \
        }                                                                                                              \
        if (b < (rows)) {                                                                                              \
            int n = (int)((rows)-b);                                                                                   \
            call;                                                                                                      \
        }                                                                                                              \
    } while (0)

// column k of n rows that are `stride` floats apart
LANE_INLINE vf tile_column(const float *p, int64_t stride, int n) {
    if (stride == 1) return lane_load_n(p, n);
    vf v = {};
    for (int i = 0; i < n; i++) v[i] = p[i * stride];
    return v;
}
LANE_INLINE void tile_column_store(float *p, int64_t stride, vf v, int n) {
    if (stride == 1) {
        lane_store_n(p, v, n);
        return;
    }
    for (int i = 0; i < n; i++) p[i * stride] = v[i];
}
// 32-bit words of any kind, moved as they are
LANE_INLINE vi tile_column_i(const void *p, int64_t stride, int n) { return (vi)tile_column(p, stride, n); }
LANE_INLINE void tile_column_store_i(int32_t *p, int64_t stride, vi v, int n) {
    tile_column_store((float *)(void *)p, stride, (vf)v, n);
}
// which bytes of a column are not 0
LANE_INLINE vm tile_column_mask(const uint8_t *p, int64_t stride, int n) {
    vi v = {};
    for (int i = 0; i < n; i++) v[i] = p[i * stride];
    return vi_nonzero(v);
}

// ---- contiguous tiles of 2, 3 or 4 columns: loads and permutes, no gathers

#if defined(MT_ISA_AVX512)
#define LANES(f, k)                                                                                                    \
    f(0, k), f(1, k), f(2, k), f(3, k), f(4, k), f(5, k), f(6, k), f(7, k), f(8, k), f(9, k), f(10, k), f(11, k),      \
        f(12, k), f(13, k), f(14, k), f(15, k)
#elif defined(MT_ISA_AVX2)
#define LANES(f, k) f(0, k), f(1, k), f(2, k), f(3, k), f(4, k), f(5, k), f(6, k), f(7, k)
#else
#define LANES(f, k) f(0, k), f(1, k), f(2, k), f(3, k)
#endif

#define LANE_SPLIT(i, k)     (2 * (i) + (k))                             // (a, b) → every second, from k
#define LANE_ZIP(i, k)       (((i) % 2) * VF + (i) / 2 + (k) * (VF / 2)) // (even, odd) → half k of the sequence
#define LANE_3(i, k)         (3 * (i) + (k))                             // where column k of row i stands
#define LANE_3_FIRST(i, k)   (LANE_3(i, k) < 2 * VF ? LANE_3(i, k) : -1)
#define LANE_3_THEN(i, k)    (LANE_3(i, k) < 2 * VF ? (i) : LANE_3(i, k) - VF)
#define LANE_OUT(i, j)       ((j)*VF + (i)) // place i of vector j in the sequence
#define LANE_OUT_FIRST(i, j) (LANE_OUT(i, j) % 3 == 2 ? -1 : LANE_OUT(i, j) % 3 * VF + LANE_OUT(i, j) / 3)
#define LANE_OUT_THEN(i, j)  (LANE_OUT(i, j) % 3 == 2 ? VF + LANE_OUT(i, j) / 3 : (i))

LANE_INLINE void lane_split(vf a, vf b, vf *even, vf *odd) {
    *even = __builtin_shufflevector(a, b, LANES(LANE_SPLIT, 0));
    *odd = __builtin_shufflevector(a, b, LANES(LANE_SPLIT, 1));
}
LANE_INLINE void lane_zip(vf even, vf odd, vf *a, vf *b) {
    *a = __builtin_shufflevector(even, odd, LANES(LANE_ZIP, 0));
    *b = __builtin_shufflevector(even, odd, LANES(LANE_ZIP, 1));
}

// `columns` (1 .. 4, a constant) columns of n rows of that many floats
LANE_INLINE void tile_load(vf *z, int columns, const float *p, int n) {
    vf v[4], e[2], o[2];
    for (int j = 0; j < columns; j++) {
        int left = n * columns - j * VF;
        v[j] = n == VF ? vf_load(p + j * VF) : left > 0 ? lane_load_n(p + j * VF, lane_count(left)) : vf_set(0.0f);
    }
    switch (columns) {
    case 1: z[0] = v[0]; break;
    case 2: lane_split(v[0], v[1], &z[0], &z[1]); break;
    case 3:
        z[0] = __builtin_shufflevector(
            __builtin_shufflevector(v[0], v[1], LANES(LANE_3_FIRST, 0)), v[2], LANES(LANE_3_THEN, 0));
        z[1] = __builtin_shufflevector(
            __builtin_shufflevector(v[0], v[1], LANES(LANE_3_FIRST, 1)), v[2], LANES(LANE_3_THEN, 1));
        z[2] = __builtin_shufflevector(
            __builtin_shufflevector(v[0], v[1], LANES(LANE_3_FIRST, 2)), v[2], LANES(LANE_3_THEN, 2));
        break;
    default:
        lane_split(v[0], v[1], &e[0], &o[0]);
        lane_split(v[2], v[3], &e[1], &o[1]);
        lane_split(e[0], e[1], &z[0], &z[2]);
        lane_split(o[0], o[1], &z[1], &z[3]);
        break;
    }
}
LANE_INLINE void tile_store(float *p, int columns, const vf *z, int n) {
    vf v[4], e[2], o[2];
    switch (columns) {
    case 1: v[0] = z[0]; break;
    case 2: lane_zip(z[0], z[1], &v[0], &v[1]); break;
    case 3:
        v[0] = __builtin_shufflevector(
            __builtin_shufflevector(z[0], z[1], LANES(LANE_OUT_FIRST, 0)), z[2], LANES(LANE_OUT_THEN, 0));
        v[1] = __builtin_shufflevector(
            __builtin_shufflevector(z[0], z[1], LANES(LANE_OUT_FIRST, 1)), z[2], LANES(LANE_OUT_THEN, 1));
        v[2] = __builtin_shufflevector(
            __builtin_shufflevector(z[0], z[1], LANES(LANE_OUT_FIRST, 2)), z[2], LANES(LANE_OUT_THEN, 2));
        break;
    default:
        lane_zip(z[0], z[2], &e[0], &e[1]);
        lane_zip(z[1], z[3], &o[0], &o[1]);
        lane_zip(e[0], o[0], &v[0], &v[1]);
        lane_zip(e[1], o[1], &v[2], &v[3]);
        break;
    }
    for (int j = 0; j < columns; j++) {
        int left = n * columns - j * VF;
        if (n == VF)
            vf_store(p + j * VF, v[j]);
        else if (left > 0)
            lane_store_n(p + j * VF, v[j], lane_count(left));
    }
}

#endif
