// Observation and reward normalisation.
//   running_update: (B, C) rows into fp64 running statistics: two passes over the batch for its mean and M2, then one
//   merge (Chan, Golub & LeVeque 1979). Columns are lanes; rows are summed in fixed order. Bytes: 2 · 4 B C read.
//   normalise: y = clip((x - mean)·inv_std, ±clip), elementwise, a NaN stays a NaN. Bytes: 4 B C read, 4 B C written.
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

// n ≤ VD columns of one row, as fp64
LANE_INLINE vd load_d(const float *p, int n) {
    if (n == VD) return __builtin_convertvector(*(const vf_half_unaligned *)p, vd);
#if defined(MT_ISA_AVX512)
    return (vd)_mm512_cvtps_pd(_mm256_maskz_loadu_ps((__mmask8)((1u << n) - 1), p));
#else
    vd v = {};
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
#endif
}

// n ≤ VD doubles
LANE_INLINE vd load_n_d(const double *p, int n) {
    vd v = {};
    if (n == VD)
        memcpy(&v, p, sizeof v);
    else
#if defined(MT_ISA_AVX512)
        v = (vd)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#else
        memcpy(&v, p, sizeof(double) * (size_t)n);
#endif
    return v;
}
LANE_INLINE void store_n_d(double *p, vd v, int n) {
    if (n == VD)
        memcpy(p, &v, sizeof v);
    else
#if defined(MT_ISA_AVX512)
        _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#else
        memcpy(p, &v, sizeof(double) * (size_t)n);
#endif
}

LANE_INLINE void running_columns(mt_running *s, int64_t rows, const float *x, int64_t stride, int c, int n) {
    x += c;
    // four chains: a chain of additions takes 3 to 4 cycles each, and a step of 8 rows should cost no more than a few
    vd sum[4] = {}, square[4] = {};
    int64_t b = 0;
    for (; b + 4 <= rows; b += 4)
        for (int j = 0; j < 4; j++) sum[j] += load_d(x + (b + j) * stride, n);
    for (; b < rows; b++) sum[0] += load_d(x + b * stride, n);
    const vd mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / (double)rows;
    for (b = 0; b + 4 <= rows; b += 4)
        for (int j = 0; j < 4; j++) {
            vd d = load_d(x + (b + j) * stride, n) - mean;
            square[j] = lane_fma_d(d, d, square[j]);
        }
    for (; b < rows; b++) {
        vd d = load_d(x + b * stride, n) - mean;
        square[0] = lane_fma_d(d, d, square[0]);
    }
    const vd m2 = (square[0] + square[1]) + (square[2] + square[3]);
    double weight = (double)rows / (s->count + (double)rows), cross = s->count * weight;
    vd old_mean = load_n_d(s->mean + c, n), old_m2 = load_n_d(s->m2 + c, n), delta = mean - old_mean;
    store_n_d(s->mean + c, old_mean + delta * weight, n);
    store_n_d(s->m2 + c, old_m2 + (m2 + delta * delta * cross), n);
}

void MT_ISA_NAME(mt_running_update)(mt_running *stats, int64_t rows, const float *x) {
    if (rows < 1) return;
    int c = 0;
    for (; c + VD <= stats->columns; c += VD) running_columns(stats, rows, x, stats->columns, c, VD);
    if (c < stats->columns) running_columns(stats, rows, x, stats->columns, c, stats->columns - c);
    stats->count += (double)rows;
}

LANE_INLINE vf scale(vf x, vf mean, vf inv_std, vf clip) { return lane_clamp((x - mean) * inv_std, -clip, clip); }

// C divides VF (a constant): one vector holds whole rows and the pattern of means repeats
LANE_INLINE void normalise_narrow(
    int columns, int64_t rows, const float *mean, const float *inv_std, vf clip, const float *x, float *y) {
    float m[VF] __attribute__((aligned(64))), s[VF] __attribute__((aligned(64)));
    for (int i = 0; i < VF; i += columns) {
        memcpy(m + i, mean, sizeof(float) * (size_t)columns);
        memcpy(s + i, inv_std, sizeof(float) * (size_t)columns);
    }
    const vf centre = vf_load(m), factor = vf_load(s);
    int64_t i = 0, count = rows * columns;
    for (; i + VF <= count; i += VF) vf_store(y + i, scale(vf_load(x + i), centre, factor, clip));
    int n = (int)(count - i);
    if (n) vf_store_n(y + i, scale(vf_load_n(x + i, n), centre, factor, clip), n);
}

void MT_ISA_NAME(mt_normalise)(
    int64_t rows, int columns, const float *mean, const float *inv_std, float clip, const float *x, float *y) {
    const vf limit = vf_set(clip);
    switch (columns) {
    case 1: normalise_narrow(1, rows, mean, inv_std, limit, x, y); return;
    case 2: normalise_narrow(2, rows, mean, inv_std, limit, x, y); return;
    case 4: normalise_narrow(4, rows, mean, inv_std, limit, x, y); return;
#if !defined(MT_ISA_PLAIN)
    case 8: normalise_narrow(8, rows, mean, inv_std, limit, x, y); return;
#endif
    default: break;
    }
    for (int64_t b = 0; b < rows; b++, x += columns, y += columns) {
        int c = 0;
        for (; c + VF <= columns; c += VF)
            vf_store(y + c, scale(vf_load(x + c), vf_load(mean + c), vf_load(inv_std + c), limit));
        int n = columns - c;
        if (n)
            vf_store_n(y + c, scale(vf_load_n(x + c, n), vf_load_n(mean + c, n), vf_load_n(inv_std + c, n), limit), n);
    }
}
