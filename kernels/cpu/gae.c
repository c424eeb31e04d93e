// Generalised advantage estimation (Schulman et al. 2016, eq. 16) over a (T, N) segment, backward in time:
//   δ_t = r_t + γ V'_t - V_t,   A_t = δ_t + γλ (1 - done_t) A_{t+1},   returns_t = A_t + V_t
// with V'_t = 0 where the episode terminated, final_value_t where it was truncated, V_{t+1} otherwise, and
// done = terminated or truncated (final_value is read only under that condition: elsewhere it may be anything).
//
// Environments are lanes. Few environments: a tile of them runs through all steps, its carry in registers (the chain is
// one FMA a step). Many: a step runs through all environments, the carry is the row of `advantage` just written, and
// memory is read in order (columns a power of two apart would fall into one cache set). Both do the same operations, so
// an environment's numbers do not depend on N. Bytes moved: 3 × 4 + 2 read (+ 4 where truncated), 8 written for each
// (t, n).
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

#if !defined(MT_ISA_AVX512)
static float fma_1(float a, float b, float c) { // vf_fma's rounding, for one lane
#if defined(MT_ISA_PLAIN)
    return a * b + c;
#else
    return __builtin_fmaf(a, b, c);
#endif
}

// one environment, for what is left of N after whole vectors
static void gae_column(const mt_gae *a, int64_t n) {
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

#endif

enum { BY_STEP = 128 }; // environments from which a step at a time is faster

#if defined(MT_ISA_AVX512)

// one step of `lanes` environments at `at`; *next is A_{t+1} in, A_t out; *v_next is V_{t+1} in, V_t out
LANE_INLINE void gae_step(
    const mt_gae *a, int64_t at, __mmask16 lanes, vf gamma, vf gamma_lambda, __m512 *next, __m512 *v_next) {
    __m128i cut = _mm_maskz_loadu_epi8(lanes, a->truncated + at), end = _mm_maskz_loadu_epi8(lanes, a->terminated + at);
    __mmask16 ended = _mm_test_epi8_mask(end, end), was_cut = _mm_test_epi8_mask(cut, cut);
    __m512 ahead = _mm512_mask_loadu_ps(*v_next, was_cut & (__mmask16)~ended, a->final_value + at);
    ahead = _mm512_maskz_mov_ps((__mmask16)~ended, ahead);
    __m512 v = _mm512_maskz_loadu_ps(lanes, a->value + at);
    __m512 delta =
        _mm512_fmadd_ps((__m512)gamma, ahead, _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, a->reward + at), v));
    __m512 keep = _mm512_maskz_mov_ps((__mmask16) ~(ended | was_cut), (__m512)gamma_lambda);
    *next = _mm512_fmadd_ps(keep, *next, delta);
    _mm512_mask_storeu_ps(a->advantage + at, lanes, *next);
    _mm512_mask_storeu_ps(a->returns + at, lanes, _mm512_add_ps(*next, v));
    *v_next = v;
}

static void gae_by_tile(const mt_gae *a, vf gamma, vf gamma_lambda) {
    for (int64_t n = 0; n < a->envs; n += VF) {
        __mmask16 lanes = (__mmask16)((1u << lane_count(a->envs - n)) - 1);
        int64_t at = a->steps * a->envs + n;
        __m512 next = _mm512_setzero_ps(), v_next = _mm512_maskz_loadu_ps(lanes, a->value + at);
        for (int64_t t = a->steps; t-- > 0;) gae_step(a, at -= a->envs, lanes, gamma, gamma_lambda, &next, &v_next);
    }
}

static void gae_by_step(const mt_gae *a, vf gamma, vf gamma_lambda) {
    for (int64_t t = a->steps; t-- > 0;)
        for (int64_t n = 0; n < a->envs; n += VF) {
            __mmask16 lanes = (__mmask16)((1u << lane_count(a->envs - n)) - 1);
            int64_t at = t * a->envs + n, after = at + a->envs;
            __m512 v_next = _mm512_maskz_loadu_ps(lanes, a->value + after);
            __m512 next = t + 1 < a->steps ? _mm512_maskz_loadu_ps(lanes, a->advantage + after) : _mm512_setzero_ps();
            gae_step(a, at, lanes, gamma, gamma_lambda, &next, &v_next);
        }
}

#else

LANE_INLINE vi load_flags(const uint8_t *p) {
    typedef uint8_t bytes __attribute__((vector_size(VF)));
    bytes b;
    memcpy(&b, p, sizeof b);
    return __builtin_convertvector(b, vi) != 0;
}

LANE_INLINE void gae_step(const mt_gae *a, int64_t at, vf gamma, vf gamma_lambda, vf *next, vf *v_next) {
    vi ended = load_flags(a->terminated + at), cut = load_flags(a->truncated + at);
    vf reward = vf_load(a->reward + at), v = vf_load(a->value + at), ahead = *v_next;
    if (vm_any(cut & ~ended)) // the only lanes whose final_value may be read
        for (int i = 0; i < VF; i++)
            if (a->truncated[at + i] && !a->terminated[at + i]) ahead[i] = a->final_value[at + i];
    ahead = (vf)((vi)ahead & ~ended);
    vf keep = (vf)((vi)gamma_lambda & ~(ended | cut));
    *next = vf_fma(keep, *next, vf_fma(gamma, ahead, reward - v));
    vf_store(a->advantage + at, *next);
    vf_store(a->returns + at, *next + v);
    *v_next = v;
}

static void gae_by_tile(const mt_gae *a, vf gamma, vf gamma_lambda) {
    int64_t n = 0;
    for (; n + VF <= a->envs; n += VF) {
        int64_t at = a->steps * a->envs + n;
        vf next = {}, v_next = vf_load(a->value + at);
        for (int64_t t = a->steps; t-- > 0;) gae_step(a, at -= a->envs, gamma, gamma_lambda, &next, &v_next);
    }
    for (; n < a->envs; n++) gae_column(a, n);
}

static void gae_by_step(const mt_gae *a, vf gamma, vf gamma_lambda) {
    int64_t whole = a->envs / VF * VF;
    for (int64_t t = a->steps; t-- > 0;)
        for (int64_t n = 0; n < whole; n += VF) {
            int64_t at = t * a->envs + n, after = at + a->envs;
            vf v_next = vf_load(a->value + after), next = t + 1 < a->steps ? vf_load(a->advantage + after) : (vf){};
            gae_step(a, at, gamma, gamma_lambda, &next, &v_next);
        }
    for (int64_t n = whole; n < a->envs; n++) gae_column(a, n);
}

#endif

void MT_ISA_NAME(mt_gae)(const mt_gae *a) {
    const vf gamma = vf_set(a->gamma), gamma_lambda = vf_set(a->gamma * a->lambda);
    if (a->envs < BY_STEP)
        gae_by_tile(a, gamma, gamma_lambda);
    else
        gae_by_step(a, gamma, gamma_lambda);
}
