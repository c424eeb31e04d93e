// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019) exactly as PyTorch writes them:
//   g = grad·grad_scale,  m ← β1 m + (1-β1) g,  v ← β2 v + (1-β2) g²
//   p ← p (1 - lr·wd) - lr/(1-β1ᵗ) · m / (√v/√(1-β2ᵗ) + eps)
// All arrays (count), in place. Elementwise: deterministic. Bytes moved per parameter: 16 read, 12 written.
//
// √ and division share one unit that takes 16 cycles a vector (Zen 4); in the cache that, not memory, is the limit. The
// AVX-512 form therefore takes √v from rsqrt14 and one Newton step (error below 2⁻²⁴ of √v) and divides exactly: 11.7
// cycles a vector. rcp14 with a Newton step instead of the division was slower (14.4): the multipliers are then the
// limit. rsqrt14's last bits are the processor maker's: results are the same to the bit on processors of one make.
#include <float.h>
#include <math.h>
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

#if defined(MT_ISA_AVX512)

typedef struct adam_constants {
    vf scale; // grad_scale
    vf one_beta1, one_beta2;
    vf decay;     // 1 - lr·wd
    vf root, eps; // √v·root + eps = -(√v/√(1-β2ᵗ) + eps) (1-β1ᵗ)/lr, so that m over it is what p changes by
    vf smallest, largest; // v is held between them for the root: rsqrt14 has no use for 0 and inf
} adam_constants;

static adam_constants adam_prepare(const mt_adam *a) {
    double bias1 = 1.0 - pow((double)a->beta1, (double)a->step), bias2 = 1.0 - pow((double)a->beta2, (double)a->step);
    double per_step = -bias1 / (double)a->lr; // -inf at a learning rate of 0: p changes by m / -inf = 0
    return (adam_constants){
        .scale = vf_set(a->grad_scale),
        .one_beta1 = vf_set((float)(1.0 - (double)a->beta1)),
        .one_beta2 = vf_set((float)(1.0 - (double)a->beta2)),
        .decay = vf_set((float)(1.0 - (double)a->lr * (double)a->weight_decay)),
        .root = vf_set((float)(per_step / sqrt(bias2))),
        .eps = vf_set((float)(a->eps > 0 ? per_step * (double)a->eps : 0.0)),
        .smallest = vf_set(FLT_MIN),
        .largest = vf_set(FLT_MAX),
    };
}

// `vectors` (1 or 4) vectors side by side, a step of the formula at a time: one's latency hides behind the others'
// work. n < VF only with one vector
LANE_INLINE void adam_vectors(
    int vectors, int decays, float *param, float *m, float *v, const float *grad, const adam_constants *c, int n) {
    vf g[4], mm[4], vv[4], p[4], s[4], half[4];
    for (int u = 0; u < vectors; u++) {
        g[u] = lane_load_n(grad + VF * u, n) * c->scale;
        mm[u] = lane_load_n(m + VF * u, n);
        vv[u] = lane_load_n(v + VF * u, n);
    }
    for (int u = 0; u < vectors; u++) {
        mm[u] = vf_fma(g[u] - mm[u], c->one_beta1, mm[u]);
        vv[u] = vf_fma((vf)_mm512_fmsub_ps((__m512)g[u], (__m512)g[u], (__m512)vv[u]), c->one_beta2, vv[u]);
        lane_store_n(m + VF * u, mm[u], n);
        lane_store_n(v + VF * u, vv[u], n);
    }
    // s ≈ √v from s0 = v y0, y0 ≈ 1/√v:  s = s0 + (v - s0²) y0/2; y0/2 by the exponent, not by a multiplier
    for (int u = 0; u < vectors; u++) {
        vv[u] = vf_max(c->smallest, vf_min(c->largest, vv[u]));
        vf y = (vf)_mm512_rsqrt14_ps((__m512)vv[u]);
        s[u] = vv[u] * y;
        half[u] = (vf)((vi)y - 0x00800000);
    }
    for (int u = 0; u < vectors; u++) s[u] = vf_fma(vf_fma(-s[u], s[u], vv[u]), half[u], s[u]);
    for (int u = 0; u < vectors; u++) {
        vf change = mm[u] / vf_fma(s[u], c->root, c->eps);
        p[u] = lane_load_n(param + VF * u, n);
        p[u] = decays ? vf_fma(p[u], c->decay, change) : p[u] + change;
    }
    for (int u = 0; u < vectors; u++) lane_store_n(param + VF * u, p[u], n);
}

LANE_INLINE void adam_array(int decays, const mt_adam *a) {
    const adam_constants c = adam_prepare(a);
    int64_t i = 0;
    for (; i + 4 * VF <= a->count; i += 4 * VF)
        adam_vectors(4, decays, a->param + i, a->m + i, a->v + i, a->grad + i, &c, VF);
    for (; i + VF <= a->count; i += VF) adam_vectors(1, decays, a->param + i, a->m + i, a->v + i, a->grad + i, &c, VF);
    if (i < a->count) adam_vectors(1, decays, a->param + i, a->m + i, a->v + i, a->grad + i, &c, (int)(a->count - i));
}

void mt_adam_avx512(const mt_adam *a) {
    if (a->weight_decay != 0)
        adam_array(1, a);
    else
        adam_array(0, a);
}

#else

void MT_ISA_NAME(mt_adam)(const mt_adam *a) {
    double bias1 = 1.0 - pow((double)a->beta1, (double)a->step), bias2 = 1.0 - pow((double)a->beta2, (double)a->step);
    const float beta1 = a->beta1, beta2 = a->beta2, grad_m = (float)(1.0 - (double)beta1),
                grad_v = (float)(1.0 - (double)beta2);
    const float decay = (float)(1.0 - (double)a->lr * (double)a->weight_decay), step = (float)((double)a->lr / bias1);
    const float root = (float)(1.0 / sqrt(bias2)), eps = a->eps, scale = a->grad_scale;
    float *restrict param = a->param, *restrict m = a->m, *restrict v = a->v;
    const float *restrict grad = a->grad;
    // plain enough for the compiler's own vectors; √ and division are exact in any of them
    for (int64_t i = 0; i < a->count; i++) {
        float g = grad[i] * scale, mi = beta1 * m[i] + grad_m * g, v_new = beta2 * v[i] + grad_v * (g * g);
        m[i] = mi;
        v[i] = v_new;
        param[i] = param[i] * decay - step * (mi / (__builtin_sqrtf(v_new) * root + eps));
    }
}

#endif

void MT_ISA_NAME(mt_adam_clipped)(const mt_adam *a, float max_norm, mt_adam_scalars *scalars, float *norms) {
    double norm = sqrt(MT_ISA_NAME(mt_sum_squares)(a->count, a->grad));
    scalars->norm = (float)norm;
    if (norms) *norms = (float)norm;
    if (!isfinite(norm)) scalars->halted = 1;
    if (scalars->halted) return;
    mt_adam now = *a;
    now.grad_scale = max_norm > 0 && norm > (double)max_norm ? (float)((double)max_norm / (norm + 1e-6)) : 1.0f;
    now.lr = scalars->lr, now.step = ++scalars->step;
    MT_ISA_NAME(mt_adam)(&now);
}
