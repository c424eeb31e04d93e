// The activation functions and their derivatives, of one element. Formulae and bits are those of kernels/cpu/activate.h.
#ifndef MANTA_KERNELS_CUDA_ACTIVATE_CUH
#define MANTA_KERNELS_CUDA_ACTIVATE_CUH

#include "kernels/cuda/vmath.cuh"
#include "kernels/kernels.h"

namespace mt {

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

// dy ∘ act'(z) from the output y or, where the activation needs it, the pre-activation z
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

} // namespace mt
#endif
