// Elementary functions on vf, the same source for every instruction set. All are pure and branch-free.
//
// Accuracy, measured against libm over 4 M points each: exp 1.0 ulp, expm1 1.6, log 0.9, sin and cos 1.1e-7 absolute,
// tanh 3e-7 (AVX-512) and 4e-7 (the others) absolute and relatively accurate near 0. NaN gives NaN; ±inf and large
// arguments give the limits. sin and cos of radians take the library's way, a lane at a time, beyond |x| = 8192; the
// *_turns form, whose reduction is exact, is the one for Box–Muller.
//
// Coefficients of exp, log, sin, cos: Moshier's Cephes (single precision). C has no ?: on vectors, hence vm and
// vf_select; on AVX-512 a vm is a mask register.
#ifndef MANTA_KERNELS_CPU_VMATH_H
#define MANTA_KERNELS_CPU_VMATH_H

#include "kernels/cpu/isa.h"

#if defined(MT_ISA_AVX512)
typedef __mmask16 vm;
#else
typedef vi vm;   // all ones or all zeros
#endif

// ---- comparisons and choice (false on NaN)
#if defined(MT_ISA_AVX512)
static inline vm vf_lt(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
static inline vm vf_le(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LE_OQ); }
static inline vm vf_eq(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ); }
static inline vm vf_isnan(vf a) { return _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q); }
static inline vm vi_nonzero(vi a) { return _mm512_test_epi32_mask((__m512i)a, (__m512i)a); }
static inline vf vf_select(vm m, vf yes, vf no) { return (vf)_mm512_mask_blend_ps(m, (__m512)no, (__m512)yes); }
#else
static inline vm vf_lt(vf a, vf b) { return a < b; }
static inline vm vf_le(vf a, vf b) { return a <= b; }
static inline vm vf_eq(vf a, vf b) { return a == b; }
static inline vm vf_isnan(vf a) { return a != a; }
static inline vm vi_nonzero(vi a) { return a != 0; }
static inline vf vf_select(vm m, vf yes, vf no) { return (vf)((m & (vi)yes) | (~m & (vi)no)); }
#endif

static inline int vm_any(vm m) {
#if defined(MT_ISA_AVX512)
    return m != 0;
#elif defined(MT_ISA_AVX2)
    return _mm256_movemask_ps((__m256)m) != 0;
#else
    return (m[0] | m[1] | m[2] | m[3]) != 0;
#endif
}

// as x86's min and max: the second operand when either is NaN, so that vf_min(limit, x) keeps x's NaN
static inline vf vf_min(vf a, vf b) {
#if defined(MT_ISA_AVX512)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(MT_ISA_AVX2)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return vf_select(vf_lt(a, b), a, b);
#endif
}
static inline vf vf_max(vf a, vf b) {
#if defined(MT_ISA_AVX512)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(MT_ISA_AVX2)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return vf_select(vf_lt(b, a), a, b);
#endif
}

#define VI_SIGN ((vi)((vu){} + 0x80000000u))
static inline vi vi_set(int32_t x) { return x - (vi){}; }
static inline vf vf_abs(vf x) { return (vf)((vi)x & ~VI_SIGN); }
static inline vf vf_copysign(vf magnitude, vf sign) { return (vf)(((vi)magnitude & ~VI_SIGN) | ((vi)sign & VI_SIGN)); }
static inline vf vf_from_int(vi x) { return __builtin_convertvector(x, vf); }   // nearest; what Philox needs

static inline vf vf_sqrt(vf x) {   // correctly rounded
#if defined(MT_ISA_AVX512)
    return (vf)_mm512_sqrt_ps((__m512)x);
#elif defined(MT_ISA_AVX2)
    return (vf)_mm256_sqrt_ps((__m256)x);
#else
    for (int i = 0; i < VF; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}

// Σ of the lanes, always by halves: (i, i + VF/2), ... so that the order is a property of VF alone
static inline float vf_sum(vf v) {
    float lane[VF];
    vf_store(lane, v);
    for (int n = VF / 2; n; n /= 2)
        for (int i = 0; i < n; i++) lane[i] += lane[i + n];
    return lane[0];
}

// round to nearest by adding 1.5·2²³: the integer stands in the low bits of the sum. |x| < 2²²
static inline vf vf_round_int(vf x, vi *integer) {
    vf magic = vf_set(0x1.8p23f), sum = x + magic;
    *integer = (vi)((vu)sum - (vu)magic);
    return sum - magic;
}

// ---- exp
// x · 2ⁿ for -160 ≤ n ≤ 160, through denormals and overflow
static inline vf vf_ldexp(vf x, vf n_float, vi n) {
#if defined(MT_ISA_AVX512)
    (void)n;
    return (vf)_mm512_scalef_ps((__m512)x, (__m512)n_float);
#else
    (void)n_float;
    vi half = n >> 1;   // two steps: n + 127 alone may leave the exponent's range
    return x * (vf)((half + 127) << 23) * (vf)((n - half + 127) << 23);
#endif
}

// eʳ - 1 and n with x = n ln 2 + r, |r| ≤ ½ ln 2
static inline vf vf_exp_reduced(vf x, vf *n_float, vi *n) {
    x = vf_max(vf_set(-110.0f), vf_min(vf_set(90.0f), x));
    *n_float = vf_round_int(x * 1.44269504088896341f, n);
    vf r = vf_fma(*n_float, vf_set(-0.693359375f), x);
    r = vf_fma(*n_float, vf_set(2.12194440e-4f), r);
    vf p = vf_fma(vf_set(1.9875691500e-4f), r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(5.0000001201e-1f));
    return vf_fma(p, r * r, r);
}

static inline vf vf_exp(vf x) {
    vf n_float;
    vi n;
    vf q = vf_exp_reduced(x, &n_float, &n);
    return vf_ldexp(q + 1.0f, n_float, n);
}

// eˣ - 1, accurate near 0 too; for x ≤ 88 (elu uses it for x ≤ 0)
static inline vf vf_expm1(vf x) {
    vf n_float;
    vi n;
    vf q = vf_exp_reduced(vf_max(vf_set(-80.0f), x), &n_float, &n);
    vf scale = (vf)((n + 127) << 23);
    return vf_fma(q, scale, scale - 1.0f);
}

// ---- log: 0 → -inf, negative → NaN, denormals right
static inline vf vf_log(vf x) {
    vm tiny = vf_lt(x, vf_set(0x1p-126f));
    vf scaled = vf_select(tiny, x * 0x1p25f, x);
    // m in [√½, √2): take the exponent of scaled/√½ so that no comparison is needed
    vi bits = (vi)((vu)scaled - 0x3f3504f3u);
    vi e = bits >> 23;
    vf m = (vf)((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
    vf exponent = vf_from_int(e) - vf_select(tiny, vf_set(25.0f), vf_set(0.0f));
    vf p = vf_fma(vf_set(7.0376836292e-2f), m, vf_set(-1.1514610310e-1f));
    p = vf_fma(p, m, vf_set(1.1676998740e-1f));
    p = vf_fma(p, m, vf_set(-1.2420140846e-1f));
    p = vf_fma(p, m, vf_set(1.4249322787e-1f));
    p = vf_fma(p, m, vf_set(-1.6668057665e-1f));
    p = vf_fma(p, m, vf_set(2.0000714765e-1f));
    p = vf_fma(p, m, vf_set(-2.4999993993e-1f));
    p = vf_fma(p, m, vf_set(3.3333331174e-1f));
    vf m2 = m * m;
    vf y = vf_fma(p, m2 * m, exponent * -2.12194440e-4f);
    y = vf_fma(m2, vf_set(-0.5f), y);
    y = vf_fma(exponent, vf_set(0.693359375f), m + y);
    vf inf = vf_set(__builtin_inff());
    y = vf_select(vf_lt(x, inf), y, x);                            // +inf and NaN: themselves
    y = vf_select(vf_eq(x, vf_set(0.0f)), -inf, y);
    return vf_select(vf_lt(x, vf_set(0.0f)), vf_set(__builtin_nanf("")), y);
}

// ---- sine and cosine: quadrant k and remainder θ in [-π/4, π/4]
static inline void vf_sincos_quadrant(vf theta, vi k, vf *sine, vf *cosine) {
    vf t = theta * theta;
    vf s = vf_fma(vf_set(-1.9515295891e-4f), t, vf_set(8.3321608736e-3f));
    s = vf_fma(s, t, vf_set(-1.6666654611e-1f));
    s = vf_fma(s * t, theta, theta);
    vf c = vf_fma(vf_set(2.443315711809948e-5f), t, vf_set(-1.388731625493765e-3f));
    c = vf_fma(c, t, vf_set(4.166664568298827e-2f));
    c = vf_fma(c, t * t, vf_fma(t, vf_set(-0.5f), vf_set(1.0f)));
    vm swap = vi_nonzero(k & 1);
    vu q = (vu)k;
    *sine = (vf)((vu)vf_select(swap, c, s) ^ ((q & 2u) << 30));
    *cosine = (vf)((vu)vf_select(swap, s, c) ^ (((q + 1u) & 2u) << 30));
}

// sin and cos of 2πu, |u| < 2²⁰; the reduction is exact
static inline void vf_sincos_turns(vf u, vf *sine, vf *cosine) {
    vi k;
    vf quarter = vf_round_int(u * 4.0f, &k);
    vf_sincos_quadrant((u - quarter * 0.25f) * 6.28318530717958648f, k, sine, cosine);
}

static inline void vf_sincos(vf x, vf *sine, vf *cosine) {
    vi k;
    vf n = vf_round_int(x * 0.636619772367581343f, &k);
    vf r = vf_fma(n, vf_set(-1.5703125f), x);
    r = vf_fma(n, vf_set(-4.837512969970703125e-4f), r);
    vf_sincos_quadrant(vf_fma(n, vf_set(-7.549789948768648e-8f), r), k, sine, cosine);
    vm far = vf_lt(vf_set(8192.0f), vf_abs(x));
    if (__builtin_expect(vm_any(far), 0))
        for (int i = 0; i < VF; i++)
            if (__builtin_fabsf(x[i]) > 8192.0f) {
                (*sine)[i] = __builtin_sinf(x[i]);
                (*cosine)[i] = __builtin_cosf(x[i]);
            }
}
static inline vf vf_sin(vf x) {
    vf s, c;
    vf_sincos(x, &s, &c);
    return s;
}
static inline vf vf_cos(vf x) {
    vf s, c;
    vf_sincos(x, &s, &c);
    return c;
}

// ---- tanh
#if defined(MT_ISA_AVX512)
#include "kernels/cpu/tanh_table.h"
// 32 segments of degree 4, whose coefficients a two-register permute each fetches. Measured on Zen 4, cycles for 16
// values: this 10.8; 16 segments of degree 6 (one-register permutes) 12.3, of degree 5 and growing width 11.9; the rational
// form below with a 14-bit reciprocal and one Newton step 15.6. Largest error 3e-7; near 0 it is relative.
// The table is an argument so that a caller short of registers can hide that it is constant.
static inline __attribute__((always_inline)) vf vf_tanh_from(const float (*table)[32], vf x) {
    vf limit = vf_set(0x1.f7fffep+2f);                     // just below 7.875; NaN stays
    vf a = vf_min(limit, vf_abs(x));
    __m512i j = (__m512i)(a + 0x1.8p21f);                  // rounded to quarters: the low bits are the segment
    vf t = a - ((a + 0x1.8p21f) - 0x1.8p21f);              // a less the same quarters, exactly; adders idle here
#define MT_COEFFICIENT(p) ((vf)_mm512_permutex2var_ps(_mm512_load_ps(table[p]), j, _mm512_load_ps(table[p] + 16)))
    vf y = vf_fma(MT_COEFFICIENT(4), t, MT_COEFFICIENT(3));
    y = vf_fma(y, t, MT_COEFFICIENT(2));
    y = vf_fma(y, t, MT_COEFFICIENT(1));
    y = vf_fma(y, t, MT_COEFFICIENT(0));
#undef MT_COEFFICIENT
    return (vf)((vi)y | ((vi)x & VI_SIGN));                // every segment is ≥ 0
}
static inline vf vf_tanh(vf x) { return vf_tanh_from(tanh_table, x); }
#else
// x P(x²) / Q(x²), the coefficients Eigen's; ±1 from |x| = 8
static inline vf vf_tanh(vf x) {
    vf one = vf_set(1.0f), t = x * x;
    vf p = vf_fma(vf_set(-2.76076847742355e-16f), t, vf_set(2.00018790482477e-13f));
    p = vf_fma(p, t, vf_set(-8.60467152213735e-11f));
    p = vf_fma(p, t, vf_set(5.12229709037114e-08f));
    p = vf_fma(p, t, vf_set(1.48572235717979e-05f));
    p = vf_fma(p, t, vf_set(6.37261928875436e-04f));
    p = vf_fma(p, t, vf_set(4.89352455891786e-03f));
    vf q = vf_fma(vf_set(1.19825839466702e-06f), t, vf_set(1.18534705686654e-04f));
    q = vf_fma(q, t, vf_set(2.26843463243900e-03f));
    q = vf_fma(q, t, vf_set(4.89352518554385e-03f));
    vf y = vf_max(-one, vf_min(one, x * p / q));
    return vf_select(vf_le(vf_set(8.0f), vf_abs(x)), vf_copysign(one, x), y);
}
#endif

#endif
