// Recurrences backward in time over a (T, N) segment: A_t = offset_t + slope_t · A_{t+1} for each environment, A_T = 0, where a
// step's offset and slope follow from what stands at (t, n) and V_{t+1}. What recurs is an Op:
//
//     unrolled, scan_unrolled         steps whose loads run ahead of the chain, in either form below
//     row load(i)                     what is read at i = t·N + n whatever comes; its `value` is V_t
//     step at(i, row, ahead)          the step; `ahead` = V_{t+1}. It has an `offset` and a `slope`
//     void finish(i, step, &next)     next: A_{t+1} in, A_t out
//
// Many environments: a thread each runs through all steps backward. Few: the steps are cut into chunks, each run by threads of its
// own, and the recurrence is scanned as the affine maps it consists of: a chunk takes A behind it to D + K·A; (K, D) of all chunks
// meet in shared memory, and each chunk then runs again with what comes in from behind, reading from cache. Which form is used
// depends on (T, N) alone. Determinism: fixed order; the first form is the plain recurrence.
#ifndef MANTA_KERNELS_CUDA_BACKWARD_CUH
#define MANTA_KERNELS_CUDA_BACKWARD_CUH

#include "kernels/cuda/launch.cuh"

namespace mt {

constexpr int backward_column_threads = 64, backward_scan_threads = 1024, backward_scan_steps = 16, backward_envs_enough = 1 << 13;

// steps from - 1 down to `to` of environment n; emit(i, step) for each
template <int Unrolled, class Op, class Emit>
__device__ __forceinline__ void backward_steps(const Op &op, int64_t n, int64_t from, int64_t to, Emit emit) {
    if (from <= to) return;
    const int64_t envs = op.a.envs;
    float ahead = op.a.value[from * envs + n];
    int64_t t = from;
    for (; t - Unrolled >= to; t -= Unrolled) {
        typename Op::row row[Unrolled];
#pragma unroll
        for (int j = 0; j < Unrolled; j++) row[j] = op.load((t - 1 - j) * envs + n);
#pragma unroll
        for (int j = 0; j < Unrolled; j++) {
            int64_t i = (t - 1 - j) * envs + n;
            emit(i, op.at(i, row[j], j ? row[j ? j - 1 : 0].value : ahead));
        }
        ahead = row[Unrolled - 1].value;
    }
    for (; t > to; t--) {
        int64_t i = (t - 1) * envs + n;
        typename Op::row row = op.load(i);
        emit(i, op.at(i, row, ahead));
        ahead = row.value;
    }
}

template <class Op> __global__ void __launch_bounds__(backward_column_threads) backward_column_kernel(Op op) {
    int64_t n = (int64_t)blockIdx.x * backward_column_threads + threadIdx.x;
    if (n >= op.a.envs) return;
    float next = 0;
    backward_steps<Op::unrolled>(op, n, op.a.steps, 0, [&](int64_t i, const typename Op::step &s) { op.finish(i, s, &next); });
}

// a block is `Lanes` environments wide, and each line of its threads has a chunk
template <int Lanes, class Op> __global__ void __launch_bounds__(backward_scan_threads) backward_scan_kernel(Op op) {
    constexpr int chunks_most = backward_scan_threads / Lanes;
    MT_SHARED(float, slope, [chunks_most][Lanes]);
    MT_SHARED(float, offset, [chunks_most][Lanes]);
    int64_t n = (int64_t)blockIdx.x * Lanes + threadIdx.x;
    int chunk = (int)threadIdx.y, chunks = (int)blockDim.y;
    int64_t length = (op.a.steps + chunks - 1) / chunks, to = chunk * length,
            from = to + length < op.a.steps ? to + length : op.a.steps;
    float k = 1, d = 0; // A behind the chunk → A at its beginning
    if (n < op.a.envs)
        backward_steps<Op::scan_unrolled>(op, n, from, to, [&](int64_t, const typename Op::step &s) {
            d = fmaf(s.slope, d, s.offset);
            k *= s.slope;
        });
    slope[chunk][threadIdx.x] = k;
    offset[chunk][threadIdx.x] = d;
    __syncthreads();
    if (n >= op.a.envs) return;
    float next = 0;
#pragma unroll 8
    for (int later = chunks - 1; later > chunk; later--)
        next = fmaf(slope[later][threadIdx.x], next, offset[later][threadIdx.x]);
    backward_steps<Op::scan_unrolled>(
        op, n, from, to, [&](int64_t i, const typename Op::step &s) { op.finish(i, s, &next); });
}

// few environments stand narrow, so that there are more chunks to a block
template <int Lanes, class Op> mt_status backward_scan(const mt_cuda *c, const char *name, const Op &op) {
    int64_t chunks = clamp(ceil_div(op.a.steps, backward_scan_steps), 1, backward_scan_threads / Lanes);
    return launch(c, name, backward_scan_kernel<Lanes, Op>, grid(ceil_div(op.a.envs, Lanes)), dim3(Lanes, (unsigned)chunks), 0, op);
}

template <class Op> mt_status backward(const mt_cuda *c, const char *name, const Op &op) {
    if (op.a.steps < 1 || op.a.envs < 1) return MT_OK;
    if (op.a.envs >= backward_envs_enough || op.a.steps <= backward_scan_steps)
        return launch(c, name, backward_column_kernel<Op>, grid(ceil_div(op.a.envs, backward_column_threads)),
            backward_column_threads, 0, op);
    return op.a.envs >= backward_envs_enough / 8 ? backward_scan<32>(c, name, op) : backward_scan<8>(c, name, op);
}

} // namespace mt
#endif
