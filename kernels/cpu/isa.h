// One source, several instruction sets: every file in kernels/cpu is compiled once per set (cmake/MantaIsa.cmake) and its
// public names end in the set's name. `vf` is the widest vector of floats of the set being compiled, as a GCC vector type,
// so that a + b, a < b ? … work as they read; what the language lacks (FMA, masks, permutes) has a helper here or an
// #if MT_ISA_AVX512 branch beside its plain form.
#ifndef MANTA_KERNELS_CPU_ISA_H
#define MANTA_KERNELS_CPU_ISA_H

#include <stdint.h>
#include <string.h>

#define MT_ISA_CAT_(a, b) a##_##b
#define MT_ISA_CAT(a, b) MT_ISA_CAT_(a, b)
#define MT_ISA_NAME(name) MT_ISA_CAT(name, MT_ISA)   // MT_ISA_NAME(mt_adam) → mt_adam_avx512
#define MT_ISA_STRING_(x) #x
#define MT_ISA_STRING(x) MT_ISA_STRING_(x)

#if defined(MT_ISA_AVX512)
#include <immintrin.h>
enum { VF = 16 };
#elif defined(MT_ISA_AVX2)
#include <immintrin.h>
enum { VF = 8 };
#else
enum { VF = 4 };   // SSE2, NEON: what every 64-bit machine has
#endif

typedef float vf __attribute__((vector_size(4 * VF)));
typedef int32_t vi __attribute__((vector_size(4 * VF)));
typedef uint32_t vu __attribute__((vector_size(4 * VF)));
typedef float vf_unaligned __attribute__((vector_size(4 * VF), aligned(4), may_alias));

static inline vf vf_load(const float *p) { return *(const vf_unaligned *)p; }
static inline void vf_store(float *p, vf v) { *(vf_unaligned *)p = v; }
static inline vf vf_set(float x) { return x - (vf){}; }

static inline vf vf_fma(vf a, vf b, vf c) {   // a·b + c
#if defined(MT_ISA_AVX512)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(MT_ISA_AVX2)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

// the first n (0 ≤ n ≤ VF) lanes; the others are 0 / untouched. Never reads or writes past p + n.
static inline vf vf_load_n(const float *p, int n) {
#if defined(MT_ISA_AVX512)
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vf v = {};
    memcpy(&v, p, sizeof(float) * (size_t)n);
    return v;
#endif
}
static inline void vf_store_n(float *p, vf v, int n) {
#if defined(MT_ISA_AVX512)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    memcpy(p, &v, sizeof(float) * (size_t)n);
#endif
}

#endif
