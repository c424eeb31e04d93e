// V-trace (Espeholt et al. 2018, eq. 1) over a (T, N) segment on the GPU, as what is added to V:
//   w = exp(log π - log μ),  ρ = min(ρ̄, w),  c = min(c̄, w)
//   δ_t = r_t + γ V'_t - V_t,   D_t = ρ_t δ_t + γλ c_t (1 - done_t) D_{t+1}
//   vs_t = V_t + D_t,   advantage_t = ρ_t (δ_t + γ (1 - done_t) D_{t+1})
// with V' and done as in gae.cu.
//
// The recurrence of D in the two forms of backward.cuh. Bytes moved: 5 × 4 + 2 read (+ 4 where truncated), 8 written for each
// (t, n). Determinism: fixed order; with many environments the CPU's bits.
#include "kernels/cuda/backward.cuh"
#include "kernels/cuda/vmath.cuh"

namespace {

struct vtrace_op {
    static constexpr int unrolled = 8, scan_unrolled = 4; // a row has twice a GAE's
    struct row {
        float reward, value, target, behaviour;
        uint8_t ended, cut;
    };
    struct step {
        float offset, slope, value, rho, delta;
        bool done;
    };
    mt_vtrace a;

    __device__ __forceinline__ row load(int64_t i) const {
        return {a.reward[i], a.value[i], a.target_log_prob[i], a.behaviour_log_prob[i], a.terminated[i], a.truncated[i]};
    }
    __device__ __forceinline__ step at(int64_t i, const row &r, float ahead) const {
        float w = mt::exp(r.target - r.behaviour), rho = mt::least(a.rho_bar, w), c = mt::least(a.c_bar, w);
        bool done = r.ended || r.cut;
        if (r.cut && !r.ended) ahead = a.final_value[i];
        if (r.ended) ahead = 0.0f;
        float delta = fmaf(a.gamma, ahead, r.reward - r.value);
        return {rho * delta, done ? 0.0f : a.gamma * a.lambda * c, r.value, rho, delta, done};
    }
    __device__ __forceinline__ void finish(int64_t i, const step &s, float *next) const {
        a.advantage[i] = s.rho * fmaf(a.gamma, s.done ? 0.0f : *next, s.delta);
        *next = fmaf(s.slope, s.done ? 0.0f : *next, s.offset);
        a.vs[i] = *next + s.value;
    }
};

} // namespace

mt_status mt_cuda_vtrace(const mt_cuda *c, const mt_vtrace *a) { return mt::backward(c, "vtrace", vtrace_op{*a}); }
