// Sums over (count) floats. Fixed order: element i belongs to lane i mod VD of accumulator (i / VD) mod 8, the
// accumulators are folded pairwise and the tail is added last, so a result depends on nothing but the data (and the
// instruction set). Sums are fp64 from the first addition on (squares: from the sixteenth). Bytes moved: 4 · count read
// (mean_var twice that).
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

enum { CHAINS = 8 }; // an addition takes 3 to 4 cycles and two may start in each

LANE_INLINE double fold(vd *sum) {
    for (int width = CHAINS / 2; width >= 1; width /= 2)
        for (int j = 0; j < width; j++) sum[j] += sum[j + width];
    return lane_sum_d(sum[0]);
}

double MT_ISA_NAME(mt_sum)(int64_t count, const float *x) {
    vd sum[CHAINS] = {};
    double tail = 0;
    int64_t i = 0;
    for (; i + CHAINS * VD <= count; i += CHAINS * VD)
        for (int j = 0; j < CHAINS; j++) sum[j] += lane_load_d(x + i + j * VD);
    for (; i + VD <= count; i += VD) sum[0] += lane_load_d(x + i);
    for (; i < count; i++) tail += x[i];
    return fold(sum) + tail;
}

// Σ (x - centre)²
static double sum_squares_about(int64_t count, const float *x, double centre) {
    vd sum[CHAINS] = {};
    const vd c = centre - (vd){};
    double tail = 0;
    int64_t i = 0;
    for (; i + CHAINS * VD <= count; i += CHAINS * VD)
        for (int j = 0; j < CHAINS; j++) {
            vd d = lane_load_d(x + i + j * VD) - c;
            sum[j] = lane_fma_d(d, d, sum[j]);
        }
    for (; i + VD <= count; i += VD) {
        vd d = lane_load_d(x + i) - c;
        sum[0] = lane_fma_d(d, d, sum[0]);
    }
    for (; i < count; i++) tail += ((double)x[i] - centre) * ((double)x[i] - centre);
    return fold(sum) + tail;
}

// The gradient's norm, once a minibatch: squares are summed as floats in groups of GROUP a lane (each sum at most a few
// 2⁻²⁴ off, and the errors average out), groups as doubles: 2.5 times as fast as doubles throughout. Where a float's
// range does not do, the sum is taken again in doubles.
double MT_ISA_NAME(mt_sum_squares)(int64_t count, const float *x) {
    enum { STREAMS = 4, GROUP = 4 };
    vd sum[2] = {};
    int64_t i = 0;
    for (; i + STREAMS * GROUP * VF <= count; i += STREAMS * GROUP * VF) {
        vf part[STREAMS] = {};
        for (int g = 0; g < GROUP; g++)
            for (int j = 0; j < STREAMS; j++) {
                vf v = vf_load(x + i + (g * STREAMS + j) * VF);
                part[j] = vf_fma(v, v, part[j]);
            }
        vf all = (part[0] + part[1]) + (part[2] + part[3]);
        sum[0] += lane_low_d(all);
        sum[1] += lane_high_d(all);
    }
    double total = lane_sum_d(sum[0] + sum[1]) + sum_squares_about(count - i, x + i, 0.0);
    return total > 1e-24 && total < 1e36 ? total : sum_squares_about(count, x, 0.0);
}

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
