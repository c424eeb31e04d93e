// Generalised advantage estimation (Schulman et al. 2016, eq. 16) over a (T, N) segment, backward in time:
//   δ_t = r_t + γ V'_t - V_t,   A_t = δ_t + γλ (1 - done_t) A_{t+1},   returns_t = A_t + V_t
// with V'_t = 0 where the episode terminated, final_value_t where it was truncated, V_{t+1} otherwise, and
// done = terminated or truncated (final_value is read only under that condition: elsewhere it may be anything).
//
// Environments are lanes; the chain over t is one FMA a step, everything else lies beside it. An environment's numbers do
// not depend on N: vector and scalar columns do the same operations. Bytes moved: 3 × 4 + 2 read (+ 4 where truncated),
// 8 written for each (t, n).
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

static float fma_1(float a, float b, float c) {   // vf_fma's rounding, for one lane
#if defined(MT_ISA_PLAIN)
    return a * b + c;
#else
    return __builtin_fmaf(a, b, c);
#endif
}

// one environment, for what is left of N after whole vectors
__attribute__((unused)) static void gae_column(const mt_gae *a, int64_t n) {
    float next = 0, gamma_lambda = a->gamma * a->lambda;
    for (int64_t t = a->steps - 1; t >= 0; t--) {
        int64_t i = t * a->envs + n;
        float v = a->value[i], v_next = a->value[i + a->envs];
        if (a->truncated[i]) v_next = a->terminated[i] ? 0.0f : a->final_value[i];
        if (a->terminated[i]) v_next = 0;
        float keep = a->terminated[i] || a->truncated[i] ? 0.0f : gamma_lambda;
        next = fma_1(keep, next, fma_1(a->gamma, v_next, a->reward[i] - v));
        a->advantage[i] = next;
        a->returns[i] = next + v;
    }
}

#if defined(MT_ISA_AVX512)

// `lanes` environments from n on
static void gae_tile(const mt_gae *a, int64_t n, __mmask16 lanes) {
    const __m512 gamma = _mm512_set1_ps(a->gamma), gamma_lambda = _mm512_set1_ps(a->gamma * a->lambda);
    __m512 next = _mm512_setzero_ps();
    int64_t at = a->steps * a->envs + n;
    __m512 v_next = _mm512_maskz_loadu_ps(lanes, a->value + at);
    for (int64_t t = a->steps; t-- > 0;) {
        at -= a->envs;
        __m128i cut = _mm_maskz_loadu_epi8(lanes, a->truncated + at), end = _mm_maskz_loadu_epi8(lanes, a->terminated + at);
        __mmask16 ended = _mm_test_epi8_mask(end, end), was_cut = _mm_test_epi8_mask(cut, cut);
        __mmask16 bootstrap = was_cut & (__mmask16)~ended;
        v_next = _mm512_mask_loadu_ps(v_next, bootstrap, a->final_value + at);
        v_next = _mm512_maskz_mov_ps((__mmask16)~ended, v_next);
        __m512 v = _mm512_maskz_loadu_ps(lanes, a->value + at);
        __m512 delta = _mm512_fmadd_ps(gamma, v_next, _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, a->reward + at), v));
        __m512 keep = _mm512_maskz_mov_ps((__mmask16)~(ended | was_cut), gamma_lambda);
        next = _mm512_fmadd_ps(keep, next, delta);
        _mm512_mask_storeu_ps(a->advantage + at, lanes, next);
        _mm512_mask_storeu_ps(a->returns + at, lanes, _mm512_add_ps(next, v));
        v_next = v;
    }
}

void mt_gae_avx512(const mt_gae *a) {
    for (int64_t n = 0; n < a->envs; n += VF) {
        int64_t left = a->envs - n;
        gae_tile(a, n, left >= VF ? (__mmask16)0xffff : (__mmask16)((1u << left) - 1));
    }
}

#else

static vi load_flags(const uint8_t *p) {
    typedef uint8_t bytes __attribute__((vector_size(VF)));
    bytes b;
    memcpy(&b, p, sizeof b);
    return __builtin_convertvector(b, vi) != 0;
}

static void gae_tile(const mt_gae *a, int64_t n) {
    const vf gamma = vf_set(a->gamma);
    vf next = {}, gamma_lambda = vf_set(a->gamma * a->lambda);
    int64_t at = a->steps * a->envs + n;
    vf v_next = vf_load(a->value + at);
    for (int64_t t = a->steps; t-- > 0;) {
        at -= a->envs;
        vi ended = load_flags(a->terminated + at), cut = load_flags(a->truncated + at);
        vf reward = vf_load(a->reward + at), v = vf_load(a->value + at);
        for (int i = 0; i < VF; i++)   // rare, and the only lanes whose final_value may be read
            if (a->truncated[at + i] && !a->terminated[at + i]) v_next[i] = a->final_value[at + i];
        v_next = (vf)((vi)v_next & ~ended);
        vf keep = (vf)((vi)gamma_lambda & ~(ended | cut));
        next = vf_fma(keep, next, vf_fma(gamma, v_next, reward - v));
        vf_store(a->advantage + at, next);
        vf_store(a->returns + at, next + v);
        v_next = v;
    }
}

void MT_ISA_NAME(mt_gae)(const mt_gae *a) {
    int64_t n = 0;
    for (; n + VF <= a->envs; n += VF) gae_tile(a, n);
    for (; n < a->envs; n++) gae_column(a, n);
}

#endif
