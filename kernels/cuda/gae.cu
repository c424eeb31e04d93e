// Generalised advantage estimation (Schulman et al. 2016, eq. 16) over a (T, N) segment on the GPU:
//   δ_t = r_t + γ V'_t - V_t,   A_t = δ_t + γλ (1 - done_t) A_{t+1},   returns_t = A_t + V_t
// with V'_t = 0 where the episode terminated, final_value_t where it was truncated (read only there), V_{t+1}
// otherwise.
//
// The recurrence in the two forms of backward.cuh. Bytes moved: 3 × 4 + 2 read (+ 4 where truncated), 8 written for each (t, n).
// Determinism: fixed order; with many environments the CPU's bits.
#include "kernels/cuda/backward.cuh"

namespace {

struct gae_op {
    static constexpr int unrolled = 16, scan_unrolled = 8;
    struct row {
        float reward, value;
        uint8_t ended, cut;
    };
    struct step {
        float offset, slope, value;
    };
    mt_gae a;

    __device__ __forceinline__ row load(int64_t i) const {
        return {a.reward[i], a.value[i], a.terminated[i], a.truncated[i]};
    }
    __device__ __forceinline__ step at(int64_t i, const row &r, float ahead) const {
        if (r.cut && !r.ended) ahead = a.final_value[i];
        if (r.ended) ahead = 0.0f;
        return {fmaf(a.gamma, ahead, r.reward - r.value), r.ended || r.cut ? 0.0f : a.gamma * a.lambda, r.value};
    }
    __device__ __forceinline__ void finish(int64_t i, const step &s, float *next) const {
        *next = fmaf(s.slope, *next, s.offset);
        a.advantage[i] = *next;
        a.returns[i] = *next + s.value;
    }
};

} // namespace

mt_status mt_cuda_gae(const mt_cuda *c, const mt_gae *a) { return mt::backward(c, "gae", gae_op{*a}); }
