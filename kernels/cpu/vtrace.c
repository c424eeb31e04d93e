// V-trace (Espeholt et al. 2018, eq. 1) over a (T, N) segment, backward in time, as what is added to V:
//   w = exp(log π - log μ),  ρ = min(ρ̄, w),  c = min(c̄, w)
//   δ_t = r_t + γ V'_t - V_t,   D_t = ρ_t δ_t + γλ c_t (1 - done_t) D_{t+1}
//   vs_t = V_t + D_t,   advantage_t = ρ_t (δ_t + γ (1 - done_t) D_{t+1})
// with V' and done as in gae.c, and the advantage for what the paper writes as ρ_t (r_t + γ vs_{t+1} - V_t).
//
// Environments are lanes; a step runs through a block of them, so that memory is read in order and D, which nobody asked for,
// stays in the first cache. An environment's numbers do not depend on N. Bytes moved: 5 × 4 + 2 read (+ 4 where truncated), 8
// written for each (t, n).
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

enum { BLOCK = 1024 };

LANE_INLINE vm load_flags(const uint8_t *p, int n) {
#if defined(MT_ISA_AVX512)
    __m128i flags = _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p);
    return _mm_test_epi8_mask(flags, flags);
#else
    typedef uint8_t bytes __attribute__((vector_size(VF)));
    bytes flags = {};
    memcpy(&flags, p, (size_t)n);
    return __builtin_convertvector(flags, vi) != 0;
#endif
}

// p's in those lanes, which alone are read
LANE_INLINE vf load_where(vm lanes, const float *p, vf otherwise) {
#if defined(MT_ISA_AVX512)
    return (vf)_mm512_mask_loadu_ps((__m512)otherwise, lanes, p);
#else
    if (vm_any(lanes))
        for (int i = 0; i < VF; i++)
            if (lanes[i]) otherwise[i] = p[i];
    return otherwise;
#endif
}

// n environments at `at`; *added is D_{t+1} in, D_t out
LANE_INLINE void vtrace_step(const mt_vtrace *a, int64_t at, int n, vf *added) {
    vm ended = load_flags(a->terminated + at, n), cut = load_flags(a->truncated + at, n);
    vf v = lane_load_n(a->value + at, n), ahead = lane_load_n(a->value + at + a->envs, n);
    vf w = vf_exp(lane_load_n(a->target_log_prob + at, n) - lane_load_n(a->behaviour_log_prob + at, n));
    vf rho = vf_min(vf_set(a->rho_bar), w), c = vf_min(vf_set(a->c_bar), w), gamma = vf_set(a->gamma);
    ahead = load_where(vm_and(cut, (vm)~ended), a->final_value + at, ahead);
    ahead = vf_select(ended, vf_set(0), ahead);
    vf delta = vf_fma(gamma, ahead, lane_load_n(a->reward + at, n) - v);
    vf later = vf_select(vm_or(ended, cut), vf_set(0), *added);
    lane_store_n(a->advantage + at, rho * vf_fma(gamma, later, delta), n);
    *added = vf_fma(vf_set(a->gamma * a->lambda) * c, later, rho * delta);
    lane_store_n(a->vs + at, *added + v, n);
}

static void vtrace_block(const mt_vtrace *a, int64_t first, int64_t envs) {
    vf added[BLOCK / VF] = {};
    for (int64_t t = a->steps; t-- > 0;) {
        int64_t at = t * a->envs + first, n = 0;
        for (; n + VF <= envs; n += VF) vtrace_step(a, at + n, VF, &added[n / VF]);
        if (n < envs) vtrace_step(a, at + n, (int)(envs - n), &added[n / VF]);
    }
}

void MT_ISA_NAME(mt_vtrace)(const mt_vtrace *a) {
    for (int64_t n = 0; n < a->envs; n += BLOCK) vtrace_block(a, n, a->envs - n < BLOCK ? a->envs - n : BLOCK);
}
