// One step of LSTM and GRU cells on the GPU, forward and backward, between two matrix products: everything that is element by
// element. Formulae in kernels.h, a thread has a unit of a sequence. What an episode's start cuts is cut here, by choosing rather
// than by multiplying: nothing of the episode before, NaN included, gets through.
//   forward    gates a = W_x x + b_x + W_h h + b_h (where an episode starts W_h h + b_h is b_h), then the cell
//   backward   dz of the gates' sums, and what goes back to the step before without a product
// Bytes moved a unit: lstm forward 36 read, 24 written, backward 36 read, 24 written; gru 28 and 20, 32 and 32. Deterministic.
#include "kernels/cuda/activate.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rnn.h"

namespace {
using namespace mt;

constexpr int threads = 256;

// ---- forward

__device__ __forceinline__ void lstm_forward(const mt_rnn_step &a, int64_t n, int unit) {
    const int units = a.units;
    const bool start = a.start && a.start[n];
    const float *x = a.gates_x + n * 4 * units + unit, *h = start ? a.bias_h + unit : a.gates_h + n * 4 * units + unit;
    float before = start ? 0.0f : a.before[n * a.before_stride + unit];
    float i = sigmoid(x[0] + h[0]), f = sigmoid(x[units] + h[units]), g = mt::tanh(x[2 * units] + h[2 * units]),
          o = sigmoid(x[3 * units] + h[3 * units]);
    float c = fmaf(f, before, i * g), y = o * mt::tanh(c);
    float *kept = a.kept + n * 5 * units + unit;
    kept[0] = i, kept[units] = f, kept[2 * units] = g, kept[3 * units] = o, kept[4 * units] = c;
    a.y[n * units + unit] = y;
    if (!a.state_out) return;
    a.state_out[n * a.state_stride + unit] = y;
    a.state_out[n * a.state_stride + units + unit] = c;
}

__device__ __forceinline__ void gru_forward(const mt_rnn_step &a, int64_t n, int unit) {
    const int units = a.units;
    const bool start = a.start && a.start[n];
    const float *x = a.gates_x + n * 3 * units + unit, *h = start ? a.bias_h + unit : a.gates_h + n * 3 * units + unit;
    float before = start ? 0.0f : a.before[n * a.before_stride + unit];
    float r = sigmoid(x[0] + h[0]), z = sigmoid(x[units] + h[units]), own = h[2 * units], c = mt::tanh(fmaf(r, own, x[2 * units]));
    float y = fmaf(z, before - c, c);
    float *kept = a.kept + n * 4 * units + unit;
    kept[0] = r, kept[units] = z, kept[2 * units] = c, kept[3 * units] = own;
    a.y[n * units + unit] = y;
    if (a.state_out) a.state_out[n * a.state_stride + unit] = y;
}

template <mt_rnn_cell Cell> __global__ void __launch_bounds__(threads) step_kernel(mt_rnn_step a) {
    int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x, n = i / a.units;
    int unit = (int)(i - n * a.units);
    if (n >= a.envs) return;
    if constexpr (Cell == MT_RNN_LSTM)
        lstm_forward(a, n, unit);
    else
        gru_forward(a, n, unit);
}

// ---- backward

__device__ __forceinline__ void lstm_backward(const mt_rnn_step_back &a, int64_t n, int unit) {
    const int units = a.units;
    const int64_t at = n * units + unit;
    const bool start = a.start && a.start[n], cut = a.last || (a.start_after && a.start_after[n]);
    const float *kept = a.kept + n * 5 * units + unit;
    float i = kept[0], f = kept[units], g = kept[2 * units], o = kept[3 * units], squashed = mt::tanh(kept[4 * units]);
    float before = start ? 0.0f : a.before[n * a.before_stride + unit];
    float dh = a.dy[at], dc = 0;
    if (!cut) dh += a.dh[at], dc = a.dc[at];
    dc = fmaf(dh * o, fmaf(-squashed, squashed, 1.0f), dc);
    float *dz = a.dz_x + n * 4 * units + unit;
    dz[0] = dc * g * (i * (1.0f - i));
    dz[units] = dc * before * (f * (1.0f - f));
    dz[2 * units] = dc * i * fmaf(-g, g, 1.0f);
    dz[3 * units] = dh * squashed * (o * (1.0f - o));
    a.dc[at] = dc * f;
}

__device__ __forceinline__ void gru_backward(const mt_rnn_step_back &a, int64_t n, int unit) {
    const int units = a.units;
    const int64_t at = n * units + unit;
    const bool start = a.start && a.start[n], cut = a.last || (a.start_after && a.start_after[n]);
    const float *kept = a.kept + n * 4 * units + unit;
    float r = kept[0], z = kept[units], c = kept[2 * units], own = kept[3 * units];
    float before = start ? 0.0f : a.before[n * a.before_stride + unit];
    float dh = a.dy[at];
    if (!cut) dh += a.dh[at];
    float dc = dh * (1.0f - z) * fmaf(-c, c, 1.0f), dz = dh * (before - c) * (z * (1.0f - z)), dr = dc * own * (r * (1.0f - r));
    float *to_x = a.dz_x + n * 3 * units + unit, *to_h = a.dz_h + n * 3 * units + unit;
    to_x[0] = to_h[0] = dr;
    to_x[units] = to_h[units] = dz;
    to_x[2 * units] = dc;
    to_h[2 * units] = dc * r;
    a.dh[at] = dh * z;
}

template <mt_rnn_cell Cell> __global__ void __launch_bounds__(threads) step_back_kernel(mt_rnn_step_back a) {
    int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x, n = i / a.units;
    int unit = (int)(i - n * a.units);
    if (n >= a.envs) return;
    if constexpr (Cell == MT_RNN_LSTM)
        lstm_backward(a, n, unit);
    else
        gru_backward(a, n, unit);
}

// ---- h before each step

__global__ void __launch_bounds__(threads) before_kernel(mt_rnn a, float *before) {
    int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x, row = i / a.units, t = row / a.envs, n = row - t * a.envs;
    if (t >= a.steps) return;
    int unit = (int)(i - row * a.units);
    bool start = a.start && a.start[t * a.start_stride + n];
    before[i] = start ? 0.0f : t ? a.y[i - a.envs * a.units] : a.state[n * a.state_stride + unit];
}

} // namespace

mt_status mt_cuda_rnn_step(const mt_cuda *c, const mt_rnn_step *a) {
    return launch(c, "rnn_forward", a->cell == MT_RNN_LSTM ? step_kernel<MT_RNN_LSTM> : step_kernel<MT_RNN_GRU>,
        grid(ceil_div(a->envs * a->units, threads)), threads, 0, *a);
}

mt_status mt_cuda_rnn_step_back(const mt_cuda *c, const mt_rnn_step_back *a) {
    return launch(c, "rnn_backward", a->cell == MT_RNN_LSTM ? step_back_kernel<MT_RNN_LSTM> : step_back_kernel<MT_RNN_GRU>,
        grid(ceil_div(a->envs * a->units, threads)), threads, 0, *a);
}

mt_status mt_cuda_rnn_before(const mt_cuda *c, const mt_rnn *a, float *before) {
    return launch(c, "rnn_backward, h before", before_kernel, grid(ceil_div(a->steps * a->envs * a->units, threads)), threads, 0,
        *a, before);
}
