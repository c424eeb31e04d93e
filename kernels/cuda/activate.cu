// Element-wise activation functions, forward and backward, on the GPU.
//   y = act(z)                  8 bytes moved an element
//   dz = dy ∘ act'(z)           12 bytes, 16 for gelu and silu
// Shapes: all (count); y may be z, dz may be dy. Formulae and bits are those of kernels/cpu/activate.h.
// Determinism: each element depends on its own input only.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vmath.cuh"

namespace {
using namespace mt;

// Φ(z) and e^(-z²/2)
__device__ __forceinline__ float normal_cdf(float z, float *gauss) {
    float a = fabsf(z) * 0.707106781186547524f, t = 1.0f / fmaf(a, 0.3275911f, 1.0f);
    float p = fmaf(-0.14064651400481312f, t, 0.49450705040225307f);
    p = fmaf(p, t, -0.40177351432964603f);
    p = fmaf(p, t, 0.4490201838961454f);
    p = fmaf(p, t, 0.02793139830710723f);
    p = fmaf(p, t, 0.2050342390093393f);
    p = fmaf(p, t, 0.18088605701379173f);
    p = fmaf(p, t, 0.18504123372713985f);
    *gauss = mt::exp(-0.5f * z * z);
    float lower = 0.5f * p * t * *gauss;
    return z < 0.0f ? lower : 1.0f - lower;
}
__device__ __forceinline__ float sigmoid(float z) { return 1.0f / (1.0f + mt::exp(-z)); }

template <mt_activation Act> __device__ __forceinline__ float activated(float z) {
    float gauss;
    if constexpr (Act == MT_ACT_tanh)
        return mt::tanh(z);
    else if constexpr (Act == MT_ACT_relu)
        return most(0.0f, z); // this order keeps NaN
    else if constexpr (Act == MT_ACT_elu)
        return 0.0f < z ? z : mt::expm1(least(0.0f, z));
    else if constexpr (Act == MT_ACT_gelu)
        return z * normal_cdf(z, &gauss);
    else if constexpr (Act == MT_ACT_silu)
        return z * sigmoid(z);
    else
        return z;
}

template <mt_activation Act> __device__ __forceinline__ float activated_backward(float y, float z, float dy) {
    float gauss;
    if constexpr (Act == MT_ACT_tanh)
        return dy * fmaf(-y, y, 1.0f);
    else if constexpr (Act == MT_ACT_relu)
        return y <= 0.0f ? 0.0f : dy;
    else if constexpr (Act == MT_ACT_elu)
        return dy * (0.0f < y ? 1.0f : y + 1.0f);
    else if constexpr (Act == MT_ACT_gelu) {
        float s = normal_cdf(z, &gauss);
        return dy * fmaf(z * 0.398942280401432678f, gauss, s);
    } else if constexpr (Act == MT_ACT_silu) {
        float s = sigmoid(z);
        return dy * (s * fmaf(z, 1.0f - s, 1.0f));
    } else
        return dy;
}

template <mt_activation Act> struct forward_op {
    const float *z;
    float *y;
    template <int N> __device__ void at(int64_t i) const {
        auto v = load<N>(z + i);
#pragma unroll
        for (int k = 0; k < N; k++) v.at[k] = activated<Act>(v.at[k]);
        store<N>(y + i, v);
    }
};

template <mt_activation Act> struct backward_op {
    const float *y, *pre, *dy;
    float *dz;
    template <int N> __device__ void at(int64_t i) const {
        constexpr bool by_pre = Act == MT_ACT_gelu || Act == MT_ACT_silu;
        auto d = load<N>(dy + i), a = load<N>((by_pre ? pre : y) + i);
#pragma unroll
        for (int k = 0; k < N; k++) d.at[k] = activated_backward<Act>(a.at[k], a.at[k], d.at[k]);
        store<N>(dz + i, d);
    }
};

} // namespace

mt_status mt_cuda_activate(const mt_cuda *c, mt_activation act, int64_t count, const float *z, float *y) {
    bool by_four = aligned(z, y);
    switch (act) {
#define MT_X(name)                                                                                                     \
    case MT_ACT_##name: return each(c, "activate", count, by_four, forward_op<MT_ACT_##name>{z, y});
        MT_ACTIVATION_LIST(MT_X)
#undef MT_X
    case MT_ACT_COUNT: break;
    }
    return MT_FAIL(INVALID_ARGUMENT, "there is no activation number %d", (int)act);
}

mt_status mt_cuda_activate_backward(
    const mt_cuda *c, mt_activation act, int64_t count, const float *y, const float *pre, const float *dy, float *dz) {
    MT_ASSERT(pre || !mt_activation_needs_pre(act));
    bool by_four = aligned(y, pre, dy, dz);
    switch (act) {
#define MT_X(name)                                                                                                     \
    case MT_ACT_##name: return each(c, "activate_backward", count, by_four, backward_op<MT_ACT_##name>{y, pre, dy, dz});
        MT_ACTIVATION_LIST(MT_X)
#undef MT_X
    case MT_ACT_COUNT: break;
    }
    return MT_FAIL(INVALID_ARGUMENT, "there is no activation number %d", (int)act);
}
