// Layer normalisation (Ba et al. 2016), PyTorch's: population variance, eps 1e-5.
//   forward:  xhat = (x - mean) · inv_std,  y = xhat ∘ gain + bias,  inv_std = 1/√(var + eps), mean and var over a row
//   backward: with u = dy ∘ gain:  dx = inv_std · (u - mean(u) - xhat · mean(u ∘ xhat)),  dgain = Σ_B dy ∘ xhat,  dbias
//   = Σ_B dy
// Shapes: x, y, xhat, dy, dx (B, C); gain, bias, dgain, dbias (C); inv_std (B). y may be x, dx may be dy.
// Sums over a row run in VF lanes, sums over rows in row order: deterministic, and a row of y, xhat, dx knows of no
// other. Bytes moved: forward 4·(B C read three times, mostly from cache; 2 B C written), backward 8 B C read twice, 4
// B C written.
#include <math.h>
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

LANE_INLINE int left(int columns, int c) { return lane_count(columns - c); }

static void forward_row(
    int columns, const float *x, const float *gain, const float *bias, float *y, float *xhat, float *inv_std) {
    vf sum = {}, square = {};
    for (int c = 0; c < columns; c += VF) sum += lane_load_n(x + c, left(columns, c));
    const vf mean = vf_set(lane_sum(sum) / (float)columns);
    for (int c = 0; c < columns; c += VF) {
        int n = left(columns, c);
        vf d = lane_load_n(x + c, n) - mean;
        if (n < VF) d = vf_where(lane_first(n), d);
        square = vf_fma(d, d, square);
    }
    *inv_std = 1.0f / sqrtf(lane_sum(square) / (float)columns + 1e-5f);
    const vf scale = vf_set(*inv_std);
    for (int c = 0; c < columns; c += VF) {
        int n = left(columns, c);
        vf h = (lane_load_n(x + c, n) - mean) * scale;
        lane_store_n(xhat + c, h, n);
        lane_store_n(y + c, vf_fma(h, lane_load_n(gain + c, n), lane_load_n(bias + c, n)), n);
    }
}

void MT_ISA_NAME(mt_layer_norm_forward)(int64_t rows, int columns, const float *x, const float *gain, const float *bias,
    float *y, float *xhat, float *inv_std) {
    for (int64_t b = 0; b < rows; b++) {
        int64_t at = b * columns;
        forward_row(columns, x + at, gain, bias, y + at, xhat + at, inv_std + b);
    }
}

static void backward_row(int columns, const float *dy, const float *gain, const float *xhat, float inv_std, float *dx) {
    vf sum = {}, product = {};
    for (int c = 0; c < columns; c += VF) {
        int n = left(columns, c);
        vf u = lane_load_n(dy + c, n) * lane_load_n(gain + c, n);
        sum += u;
        product = vf_fma(u, lane_load_n(xhat + c, n), product);
    }
    const vf mean = vf_set(lane_sum(sum) / (float)columns), slope = vf_set(lane_sum(product) / (float)columns);
    const vf scale = vf_set(inv_std);
    for (int c = 0; c < columns; c += VF) {
        int n = left(columns, c);
        vf u = lane_load_n(dy + c, n) * lane_load_n(gain + c, n);
        lane_store_n(dx + c, scale * (u - mean - lane_load_n(xhat + c, n) * slope), n);
    }
}

// dgain and dbias of n ≤ VF columns
static void backward_columns(
    int64_t rows, int columns, int n, const float *dy, const float *xhat, float *dgain, float *dbias, int accumulate) {
    vf gain = {}, bias = {};
    for (int64_t b = 0; b < rows; b++) {
        vf d = lane_load_n(dy + b * columns, n);
        gain = vf_fma(d, lane_load_n(xhat + b * columns, n), gain);
        bias += d;
    }
    if (accumulate) gain += lane_load_n(dgain, n), bias += lane_load_n(dbias, n);
    lane_store_n(dgain, gain, n);
    lane_store_n(dbias, bias, n);
}

void MT_ISA_NAME(mt_layer_norm_backward)(int64_t rows, int columns, const float *dy, const float *gain,
    const float *xhat, const float *inv_std, float *dx, float *dgain, float *dbias, int accumulate) {
    // the sums first: dx may then overwrite dy
    for (int c = 0; c < columns; c += VF)
        backward_columns(rows, columns, left(columns, c), dy + c, xhat + c, dgain + c, dbias + c, accumulate);
    for (int64_t b = 0; b < rows; b++) {
        int64_t at = b * columns;
        backward_row(columns, dy + at, gain, xhat + at, inv_std[b], dx + at);
    }
}
