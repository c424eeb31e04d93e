// Elementary functions: those of kernels/cpu/vmath.h, operation by operation, so that a GPU's results are the CPU's to
// the bit (AVX2's; AVX-512 differs in tanh alone, and plain C, which has no fused multiply-add, in the last place).
// Accuracies stand there. The library's expf and logf were the alternative: as fast, but their last bits are other
// ones, and an action would now and then fall on the other side of a boundary.
#ifndef MANTA_KERNELS_CUDA_VMATH_CUH
#define MANTA_KERNELS_CUDA_VMATH_CUH

#include <math_constants.h>
#include <stdint.h>

namespace mt {

// the second operand when either is NaN: least(limit, x) keeps x's NaN
__device__ __forceinline__ float least(float a, float b) { return a < b ? a : b; }
__device__ __forceinline__ float most(float a, float b) { return b < a ? a : b; }
__device__ __forceinline__ float clamped(float x, float low, float high) { return least(high, most(low, x)); }

// word → [0, 1): mt_u32_to_unit
__device__ __forceinline__ float unit(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

// round to nearest by adding 1.5·2²³
__device__ __forceinline__ float round_int(float x, int *integer) {
    float sum = x + 0x1.8p23f;
    *integer = __float_as_int(sum) - 0x4b400000;
    return sum - 0x1.8p23f;
}

// 2ⁿ; of a NaN's n, anything
__device__ __forceinline__ float exponent_of(int n) { return __uint_as_float((unsigned)(n + 127) << 23); }

// eʳ - 1 for |r| ≤ ½ ln 2
__device__ __forceinline__ float exp_polynomial(float r) {
    float p = fmaf(1.9875691500e-4f, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    return fmaf(p, r * r, r);
}

// eʳ - 1 and n with x = n ln 2 + r
__device__ __forceinline__ float exp_reduced(float x, int *n) {
    x = most(-110.0f, least(90.0f, x));
    float n_float = round_int(x * 1.44269504088896341f, n);
    float r = fmaf(n_float, -0.693359375f, x);
    return exp_polynomial(fmaf(n_float, 2.12194440e-4f, r));
}

// Nearly all arguments: no clamping, and 2ⁿ goes into the exponent as it is (the integer stands in the low bits of the
// rounded sum). The same bits as the general form below in 16 instructions instead of 27, of which softmax
// needs one for every action.
__device__ __forceinline__ float exp_inside(float x) {
    float sum = x * 1.44269504088896341f + 0x1.8p23f, n = sum - 0x1.8p23f;
    float r = fmaf(n, -0.693359375f, x);
    r = fmaf(n, 2.12194440e-4f, r);
    float q = exp_polynomial(r) + 1.0f;
    return __uint_as_float(__float_as_uint(q) + (__float_as_uint(sum) << 23));
}
__device__ __forceinline__ float exp_outside(float x) {
    int n;
    float q = exp_reduced(x, &n) + 1.0f;
    int half = n >> 1; // two steps: n + 127 alone may leave the exponent's range
    return q * exponent_of(half) * exponent_of(n - half);
}
__device__ __forceinline__ float exp(float x) { return fabsf(x) < 86.5f ? exp_inside(x) : exp_outside(x); }

__device__ __forceinline__ float expm1(float x) {
    int n;
    float q = exp_reduced(most(-80.0f, x), &n), scale = exponent_of(n);
    return fmaf(q, scale, scale - 1.0f);
}

__device__ __forceinline__ float log(float x) {
    bool tiny = x < 0x1p-126f;
    float scaled = tiny ? x * 0x1p25f : x;
    int bits = (int)(__float_as_uint(scaled) - 0x3f3504f3u), e = bits >> 23;
    float m = __int_as_float((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
    float exponent = (float)e - (tiny ? 25.0f : 0.0f);
    float p = fmaf(7.0376836292e-2f, m, -1.1514610310e-1f);
    p = fmaf(p, m, 1.1676998740e-1f);
    p = fmaf(p, m, -1.2420140846e-1f);
    p = fmaf(p, m, 1.4249322787e-1f);
    p = fmaf(p, m, -1.6668057665e-1f);
    p = fmaf(p, m, 2.0000714765e-1f);
    p = fmaf(p, m, -2.4999993993e-1f);
    p = fmaf(p, m, 3.3333331174e-1f);
    float m2 = m * m;
    float y = fmaf(p, m2 * m, exponent * -2.12194440e-4f);
    y = fmaf(m2, -0.5f, y);
    y = fmaf(exponent, 0.693359375f, m + y);
    y = x < CUDART_INF_F ? y : x; // +inf and NaN: themselves
    y = x == 0.0f ? -CUDART_INF_F : y;
    return x < 0.0f ? CUDART_NAN_F : y;
}

// sin and cos of 2πu, |u| < 2²⁰
__device__ __forceinline__ void sincos_turns(float u, float *sine, float *cosine) {
    int k;
    float quarter = round_int(u * 4.0f, &k), theta = (u - quarter * 0.25f) * 6.28318530717958648f, t = theta * theta;
    float s = fmaf(-1.9515295891e-4f, t, 8.3321608736e-3f);
    s = fmaf(s, t, -1.6666654611e-1f);
    s = fmaf(s * t, theta, theta);
    float c = fmaf(2.443315711809948e-5f, t, -1.388731625493765e-3f);
    c = fmaf(c, t, 4.166664568298827e-2f);
    c = fmaf(c, t * t, fmaf(t, -0.5f, 1.0f));
    unsigned q = (unsigned)k;
    float a = q & 1u ? c : s, b = q & 1u ? s : c;
    *sine = __uint_as_float(__float_as_uint(a) ^ ((q & 2u) << 30));
    *cosine = __uint_as_float(__float_as_uint(b) ^ (((q + 1u) & 2u) << 30));
}

__device__ __forceinline__ float tanh(float x) {
    float t = x * x;
    float p = fmaf(-2.76076847742355e-16f, t, 2.00018790482477e-13f);
    p = fmaf(p, t, -8.60467152213735e-11f);
    p = fmaf(p, t, 5.12229709037114e-08f);
    p = fmaf(p, t, 1.48572235717979e-05f);
    p = fmaf(p, t, 6.37261928875436e-04f);
    p = fmaf(p, t, 4.89352455891786e-03f);
    float q = fmaf(1.19825839466702e-06f, t, 1.18534705686654e-04f);
    q = fmaf(q, t, 2.26843463243900e-03f);
    q = fmaf(q, t, 4.89352518554385e-03f);
    float y = most(-1.0f, least(1.0f, x * p / q));
    return 8.0f <= fabsf(x) ? copysignf(1.0f, x) : y;
}

} // namespace mt
#endif
