// Generalised advantage estimation (Schulman et al. 2016, eq. 16) over a (T, N) segment on the GPU:
//   δ_t = r_t + γ V'_t - V_t,   A_t = δ_t + γλ (1 - done_t) A_{t+1},   returns_t = A_t + V_t
// with V'_t = 0 where the episode terminated, final_value_t where it was truncated (read only there), V_{t+1}
// otherwise.
//
// Many environments: a thread each runs through all steps backward. Few: the steps are cut into chunks, each run by
// threads of its own, and the recurrence is scanned as the affine maps it consists of: a chunk takes A behind it to D +
// K·A; (K, D) of all chunks meet in shared memory, and each chunk then runs again with what comes in from behind. Which
// form is used depends on (T, N) alone. Bytes moved: 3 × 4 + 2 read (+ 4 where truncated), 8 written for each (t, n);
// the chunked form reads twice, the second time from cache. Determinism: fixed order; the first form has the CPU's
// bits.
#include "kernels/cuda/launch.cuh"

namespace {
using namespace mt;

constexpr int column_unrolled = 16, column_threads = 64, scan_unrolled = 8, scan_threads = 1024, scan_steps = 16,
              envs_enough = 1 << 13;

struct gae_step {
    float delta, keep, value;
};

// the step at i, `ahead` = V_{t+1}
__device__ __forceinline__ gae_step step_at(
    const mt_gae &a, int64_t i, float reward, float v, bool ended, bool cut, float ahead) {
    if (cut && !ended) ahead = a.final_value[i];
    if (ended) ahead = 0.0f;
    return {fmaf(a.gamma, ahead, reward - v), ended || cut ? 0.0f : a.gamma * a.lambda, v};
}

// steps from - 1 down to `to` of environment n; emit(i, step) for each. Loads run ahead of the chain by a few steps.
template <int Unrolled, class Emit>
__device__ __forceinline__ void backward(const mt_gae &a, int64_t n, int64_t from, int64_t to, Emit emit) {
    if (from <= to) return;
    float ahead = a.value[from * a.envs + n];
    int64_t t = from;
    for (; t - Unrolled >= to; t -= Unrolled) {
        float reward[Unrolled], value[Unrolled];
        uint8_t ended[Unrolled], cut[Unrolled];
#pragma unroll
        for (int j = 0; j < Unrolled; j++) {
            int64_t i = (t - 1 - j) * a.envs + n;
            reward[j] = a.reward[i], value[j] = a.value[i], ended[j] = a.terminated[i], cut[j] = a.truncated[i];
        }
#pragma unroll
        for (int j = 0; j < Unrolled; j++) {
            int64_t i = (t - 1 - j) * a.envs + n;
            emit(i, step_at(a, i, reward[j], value[j], ended[j], cut[j], j ? value[j ? j - 1 : 0] : ahead));
        }
        ahead = value[Unrolled - 1];
    }
    for (; t > to; t--) {
        int64_t i = (t - 1) * a.envs + n;
        float v = a.value[i];
        emit(i, step_at(a, i, a.reward[i], v, a.terminated[i], a.truncated[i], ahead));
        ahead = v;
    }
}

__device__ __forceinline__ void finish(const mt_gae &a, int64_t i, gae_step s, float *next) {
    *next = fmaf(s.keep, *next, s.delta);
    a.advantage[i] = *next;
    a.returns[i] = *next + s.value;
}

__global__ void __launch_bounds__(column_threads) column_kernel(mt_gae a) {
    int64_t n = (int64_t)blockIdx.x * column_threads + threadIdx.x;
    if (n >= a.envs) return;
    float next = 0;
    backward<column_unrolled>(a, n, a.steps, 0, [&](int64_t i, gae_step s) { finish(a, i, s, &next); });
}

// a block is `Lanes` environments wide, and each line of its threads has a chunk
template <int Lanes> __global__ void __launch_bounds__(scan_threads) scan_kernel(mt_gae a) {
    constexpr int chunks_most = scan_threads / Lanes;
    MT_SHARED(float, slope, [chunks_most][Lanes]);
    MT_SHARED(float, offset, [chunks_most][Lanes]);
    int64_t n = (int64_t)blockIdx.x * Lanes + threadIdx.x;
    int chunk = (int)threadIdx.y, chunks = (int)blockDim.y;
    int64_t length = (a.steps + chunks - 1) / chunks, to = chunk * length,
            from = to + length < a.steps ? to + length : a.steps;
    float k = 1, d = 0; // A behind the chunk → A at its beginning
    if (n < a.envs)
        backward<scan_unrolled>(a, n, from, to, [&](int64_t, gae_step s) {
            d = fmaf(s.keep, d, s.delta);
            k *= s.keep;
        });
    slope[chunk][threadIdx.x] = k;
    offset[chunk][threadIdx.x] = d;
    __syncthreads();
    if (n >= a.envs) return;
    float next = 0;
#pragma unroll 8
    for (int later = chunks - 1; later > chunk; later--)
        next = fmaf(slope[later][threadIdx.x], next, offset[later][threadIdx.x]);
    backward<scan_unrolled>(a, n, from, to, [&](int64_t i, gae_step s) { finish(a, i, s, &next); });
}

// few environments stand narrow, so that there are more chunks to a block
template <int Lanes> mt_status scan(const mt_cuda *c, const mt_gae *a) {
    int64_t chunks = clamp(ceil_div(a->steps, scan_steps), 1, scan_threads / Lanes);
    return launch(c, "gae", scan_kernel<Lanes>, grid(ceil_div(a->envs, Lanes)), dim3(Lanes, (unsigned)chunks), 0, *a);
}

} // namespace

mt_status mt_cuda_gae(const mt_cuda *c, const mt_gae *a) {
    if (a->steps < 1 || a->envs < 1) return MT_OK;
    if (a->envs >= envs_enough || a->steps <= scan_steps)
        return launch(c, "gae", column_kernel, grid(ceil_div(a->envs, column_threads)), column_threads, 0, *a);
    return a->envs >= envs_enough / 8 ? scan<32>(c, a) : scan<8>(c, a);
}
