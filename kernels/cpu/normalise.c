// Observation and reward normalisation.
//   running_update: (B, C) rows into fp64 running statistics: two passes over the batch for its mean and M2, then one merge
//   (Chan, Golub & LeVeque 1979). Columns are lanes; rows are summed in fixed order. Bytes: 2 · 4 B C read.
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
    double batch_mean[VD], batch_m2[VD];
    const vd m2 = (square[0] + square[1]) + (square[2] + square[3]);
    memcpy(batch_mean, &mean, sizeof mean);
    memcpy(batch_m2, &m2, sizeof m2);
    double weight = (double)rows / (s->count + (double)rows), cross = s->count * weight;
    for (int i = 0; i < n && i < VD; i++) {
        double delta = batch_mean[i] - s->mean[c + i];
        s->mean[c + i] += delta * weight;
        s->m2[c + i] += batch_m2[i] + delta * delta * cross;
    }
}

void MT_ISA_NAME(mt_running_update)(mt_running *stats, int64_t rows, const float *x) {
    if (rows < 1) return;
    int c = 0;
    for (; c + VD <= stats->columns; c += VD) running_columns(stats, rows, x, stats->columns, c, VD);
    if (c < stats->columns) running_columns(stats, rows, x, stats->columns, c, stats->columns - c);
    stats->count += (double)rows;
}

LANE_INLINE vf scale(vf x, vf mean, vf inv_std, vf clip) { return lane_clamp((x - mean) * inv_std, -clip, clip); }

// C divides VF: one vector holds whole rows and the pattern of means repeats
static void normalise_narrow(int64_t count, int columns, const float *mean, const float *inv_std, vf clip, const float *x,
    float *y) {
    vf m, s;
    for (int i = 0; i < VF; i++) m[i] = mean[i % columns], s[i] = inv_std[i % columns];
    int64_t i = 0;
    for (; i + VF <= count; i += VF) vf_store(y + i, scale(vf_load(x + i), m, s, clip));
    int n = (int)(count - i);
    if (n) vf_store_n(y + i, scale(vf_load_n(x + i, n), m, s, clip), n);
}

void MT_ISA_NAME(mt_normalise)(int64_t rows, int columns, const float *mean, const float *inv_std, float clip,
    const float *x, float *y) {
    const vf limit = vf_set(clip);
    if (columns > 0 && columns <= VF && VF % columns == 0) {
        normalise_narrow(rows * columns, columns, mean, inv_std, limit, x, y);
        return;
    }
    for (int64_t b = 0; b < rows; b++, x += columns, y += columns) {
        int c = 0;
        for (; c + VF <= columns; c += VF) vf_store(y + c, scale(vf_load(x + c), vf_load(mean + c), vf_load(inv_std + c), limit));
        int n = columns - c;
        if (n) vf_store_n(y + c, scale(vf_load_n(x + c, n), vf_load_n(mean + c, n), vf_load_n(inv_std + c, n), limit), n);
    }
}
