// The activation functions on vf, and the two loops that apply one to an array. Included by activate.c (the table's
// entries) and dense.c (the fused epilogues), which therefore give the same bits.
#ifndef MANTA_KERNELS_CPU_ACTIVATE_H
#define MANTA_KERNELS_CPU_ACTIVATE_H

#include "kernels/cpu/vmath.h"
#include "kernels/kernels.h"

#define MT_INLINE static inline __attribute__((always_inline))

// Φ(z), the standard normal's cumulative probability, and e^(-z²/2). Φ(-|z|) = ½ erfc(|z|/√2) = e^(-z²/2) p(t),
// t = 1/(1 + 0.3275911 |z|/√2), p minimax of degree 8: relative error 1.3e-7 before the exponential's.
MT_INLINE vf vf_normal_cdf(vf z, vf *gauss) {
    vf a = vf_abs(z) * 0.707106781186547524f;
    vf t = 1.0f / vf_fma(a, vf_set(0.3275911f), vf_set(1.0f));
    vf p = vf_fma(vf_set(-0.14064651400481312f), t, vf_set(0.49450705040225307f));
    p = vf_fma(p, t, vf_set(-0.40177351432964603f));
    p = vf_fma(p, t, vf_set(0.4490201838961454f));
    p = vf_fma(p, t, vf_set(0.02793139830710723f));
    p = vf_fma(p, t, vf_set(0.2050342390093393f));
    p = vf_fma(p, t, vf_set(0.18088605701379173f));
    p = vf_fma(p, t, vf_set(0.18504123372713985f));
    *gauss = vf_exp(-0.5f * z * z);
    vf lower = 0.5f * p * t * *gauss;
    return vf_select(vf_lt(z, vf_set(0.0f)), lower, 1.0f - lower);
}

// 1/(1 + e⁻ᶻ)
MT_INLINE vf vf_sigmoid(vf z) { return 1.0f / (1.0f + vf_exp(-z)); }

MT_INLINE vf vf_activate(mt_activation act, vf z) {
    vf gauss;
    switch (act) {
    case MT_ACT_tanh: return vf_tanh(z);
    case MT_ACT_relu: return vf_max(vf_set(0.0f), z);   // this order keeps NaN
    case MT_ACT_elu: return vf_select(vf_lt(vf_set(0.0f), z), z, vf_expm1(vf_min(vf_set(0.0f), z)));
    case MT_ACT_gelu: return z * vf_normal_cdf(z, &gauss);
    case MT_ACT_silu: return z * vf_sigmoid(z);
    case MT_ACT_identity:
    case MT_ACT_COUNT: break;
    }
    return z;
}

// dy ∘ act'(z), from the output y or, for gelu and silu, the pre-activation z
MT_INLINE vf vf_activate_backward(mt_activation act, vf y, vf z, vf dy) {
    vf zero = vf_set(0.0f), one = vf_set(1.0f), gauss, s;
    switch (act) {
    case MT_ACT_tanh: return dy * vf_fma(-y, y, one);
    case MT_ACT_relu: return vf_select(vf_le(y, zero), zero, dy);
    case MT_ACT_elu: return dy * vf_select(vf_lt(zero, y), one, y + 1.0f);
    case MT_ACT_gelu: s = vf_normal_cdf(z, &gauss); return dy * vf_fma(z * 0.398942280401432678f, gauss, s);
    case MT_ACT_silu: s = vf_sigmoid(z); return dy * (s * vf_fma(z, one - s, one));
    case MT_ACT_identity:
    case MT_ACT_COUNT: break;
    }
    return dy;
}

// y[i] = act(z[i]); y may be z. `act` is a constant at every call, so that the switch above is gone from the loop.
MT_INLINE void activate_loop(mt_activation act, int64_t count, const float *z, float *y) {
    int64_t i = 0;
    for (; i + VF <= count; i += VF) vf_store(y + i, vf_activate(act, vf_load(z + i)));
    if (i < count) vf_store_n(y + i, vf_activate(act, vf_load_n(z + i, (int)(count - i))), (int)(count - i));
}

// dz[i] = dy[i] act'(z[i]); dz may be dy
MT_INLINE void activate_backward_loop(mt_activation act, int64_t count, const float *y, const float *pre, const float *dy,
    float *dz) {
    int64_t i = 0;
    for (; i + VF <= count; i += VF)
        vf_store(dz + i,
            vf_activate_backward(act, vf_load(y + i), pre ? vf_load(pre + i) : vf_set(0.0f), vf_load(dy + i)));
    if (i < count) {
        int n = (int)(count - i);
        vf z = pre ? vf_load_n(pre + i, n) : vf_set(0.0f);
        vf_store_n(dz + i, vf_activate_backward(act, vf_load_n(y + i, n), z, vf_load_n(dy + i, n)), n);
    }
}

#endif
