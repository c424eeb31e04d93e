// Sums over (count) floats. Fixed order: element i belongs to lane i mod VF of accumulator (i / VF) mod 4, accumulators are
// folded pairwise at the end, so a result depends on nothing but the data (and the instruction set). Sums are fp64 from
// the first addition on. Bytes moved: 4 · count read (mean_var twice that).
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

typedef struct lanes_d { vd low, high; } lanes_d;

LANE_INLINE lanes_d widen(vf v) { return (lanes_d){lane_low_d(v), lane_high_d(v)}; }

double MT_ISA_NAME(mt_sum)(int64_t count, const float *x) {
    vd sum[4] = {};
    int64_t i = 0;
    for (; i + 2 * VF <= count; i += 2 * VF) {
        lanes_d a = widen(vf_load(x + i)), b = widen(vf_load(x + i + VF));
        sum[0] += a.low, sum[1] += a.high, sum[2] += b.low, sum[3] += b.high;
    }
    for (; i < count; i += VF) {
        lanes_d a = widen(vf_load_n(x + i, count - i < VF ? (int)(count - i) : VF));
        sum[0] += a.low, sum[1] += a.high;
    }
    return lane_sum_d((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// Σ (x - centre)²
static double sum_squares_about(int64_t count, const float *x, double centre) {
    vd sum[4] = {};
    const vd c = centre - (vd){};
    int64_t i = 0;
    for (; i + 2 * VF <= count; i += 2 * VF) {
        lanes_d a = widen(vf_load(x + i)), b = widen(vf_load(x + i + VF));
        a.low -= c, a.high -= c, b.low -= c, b.high -= c;
        sum[0] += a.low * a.low, sum[1] += a.high * a.high, sum[2] += b.low * b.low, sum[3] += b.high * b.high;
    }
    double tail = 0;
    for (; i < count; i++) tail += ((double)x[i] - centre) * ((double)x[i] - centre);
    return lane_sum_d((sum[0] + sum[1]) + (sum[2] + sum[3])) + tail;
}

double MT_ISA_NAME(mt_sum_squares)(int64_t count, const float *x) { return sum_squares_about(count, x, 0.0); }

// two passes: the second about the mean, so that a large mean costs no digits
void MT_ISA_NAME(mt_mean_var)(int64_t count, const float *x, double *mean, double *var) {
    *mean = *var = 0;
    if (count < 1) return;
    *mean = MT_ISA_NAME(mt_sum)(count, x) / (double)count;
    *var = sum_squares_about(count, x, *mean) / (double)count;
}

int64_t MT_ISA_NAME(mt_count_nonfinite)(int64_t count, const float *x) {
    const vi exponent = 0x7f800000 - (vi){};
    int64_t found = 0, i = 0;
    while (i + VF <= count) {
        // a lane counts at most 2^20 before the fold, far from its limit
        int64_t stop = count - i > VF << 20 ? i + (VF << 20) : count;
        vi lanes = {};
        for (; i + VF <= stop; i += VF) lanes -= ((vi)vf_load(x + i) & exponent) == exponent;
        for (int l = 0; l < VF; l++) found += lanes[l];
    }
    for (; i < count; i++) {
        int32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        found += (bits & 0x7f800000) == 0x7f800000;
    }
    return found;
}

void MT_ISA_NAME(mt_axpy)(int64_t count, float alpha, const float *x, float *y) {
    const vf a = vf_set(alpha);
    int64_t i = 0;
    for (; i + VF <= count; i += VF) vf_store(y + i, vf_fma(a, vf_load(x + i), vf_load(y + i)));
    int n = (int)(count - i);
    if (n) vf_store_n(y + i, vf_fma(a, vf_load_n(x + i, n), vf_load_n(y + i, n)), n);
}
