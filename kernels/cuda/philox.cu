// Philox4x32-10 (Salmon et al., SC'11) many blocks at once on the GPU, the words of mt_rng_block, and Box–Muller
// normals.
//   streams:  out[i] = block of (seed, stream_first + i, counter),   counters: out[i] = block of (seed, stream,
//   counter_first + i),   words: word c of row i is word c mod 4 of block (seed, stream_first + i, *step·⌈width/4⌉ + c/4)
//   normals:  z0, z1 = √(-2 ln u1) · (cos, sin)(2π u2),  u1 = 1 - unit(w0) in (0, 1],  u2 = unit(w1)
// Shapes: out (B, 4) words; normals (count), count even. A block is a function of its own key and counter, a pair of
// its own two words: deterministic, and the bits of the CPU's. Bytes moved: 16 written a block; normals 8 read and 8
// written a pair.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/philox.cuh"
#include "kernels/cuda/vmath.cuh"

namespace {
using namespace mt;

constexpr int threads = 256;
// block i of (seed, stream + i·stream_step, counter + i·counter_step)
template <bool Aligned>
__global__ void __launch_bounds__(threads) philox_kernel(uint64_t seed, uint64_t stream, uint64_t stream_step,
    uint64_t counter, uint64_t counter_step, int64_t blocks, uint32_t *out) {
    int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x;
    if (i >= blocks) return;
    auto words = philox_block(seed, stream + (uint64_t)i * stream_step, counter + (uint64_t)i * counter_step);
    if constexpr (Aligned)
        store<4>(out + 4 * i, words);
    else
        for (int k = 0; k < 4; k++) out[4 * i + k] = words.at[k];
}

mt_status philox(const mt_cuda *c, uint64_t seed, uint64_t stream, uint64_t stream_step, uint64_t counter,
    uint64_t counter_step, int64_t blocks, uint32_t *out) {
    if (blocks < 1) return MT_OK;
    return launch(c, "philox", aligned(out) ? philox_kernel<true> : philox_kernel<false>,
        grid(ceil_div(blocks, threads)), threads, 0, seed, stream, stream_step, counter, counter_step, blocks, out);
}

// a block each; the last one of a row may be cut
__global__ void __launch_bounds__(threads) words_kernel(uint64_t seed, uint64_t stream_first, const uint64_t *step,
    int64_t rows, int blocks, int width, uint32_t *out) {
    int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x;
    if (i >= rows * blocks) return;
    int64_t row = i / blocks;
    int block = (int)(i - row * blocks);
    auto words = philox_block(seed, stream_first + (uint64_t)row, *step * (uint64_t)blocks + (uint64_t)block);
#pragma unroll
    for (int k = 0; k < 4; k++)
        if (4 * block + k < width) out[row * width + 4 * block + k] = words.at[k];
}

// Pairs a thread: 2 by whole vectors, or 1
template <int Pairs> __device__ __forceinline__ void normals_at(const uint32_t *words, float *out) {
    pack<uint32_t, 4> w = {};
    pack<float, 4> z = {};
    if constexpr (Pairs == 2)
        w = load<4>(words);
    else
        w.at[0] = words[0], w.at[1] = words[1];
#pragma unroll
    for (int p = 0; p < Pairs; p++) {
        float sine, cosine, radius = sqrtf(-2.0f * mt::log(1.0f - unit(w.at[2 * p])));
        sincos_turns(unit(w.at[2 * p + 1]), &sine, &cosine);
        z.at[2 * p] = radius * cosine;
        z.at[2 * p + 1] = radius * sine;
    }
    if constexpr (Pairs == 2)
        store<4>(out, z);
    else
        out[0] = z.at[0], out[1] = z.at[1];
}

template <int Pairs>
__global__ void __launch_bounds__(threads) normals_kernel(int64_t count, const uint32_t *words, float *out) {
    int64_t i = ((int64_t)blockIdx.x * threads + threadIdx.x) * (2 * Pairs);
    if (i + 2 * Pairs <= count)
        normals_at<Pairs>(words + i, out + i);
    else if (i + 2 <= count)
        normals_at<1>(words + i, out + i);
}

} // namespace

mt_status mt_cuda_philox_streams(
    const mt_cuda *c, uint64_t seed, uint64_t stream_first, uint64_t counter, int64_t rows, uint32_t *out) {
    return philox(c, seed, stream_first, 1, counter, 0, rows, out);
}

mt_status mt_cuda_philox_counters(
    const mt_cuda *c, uint64_t seed, uint64_t stream, uint64_t counter_first, int64_t blocks, uint32_t *out) {
    return philox(c, seed, stream, 0, counter_first, 1, blocks, out);
}

mt_status mt_cuda_philox_words(const mt_cuda *c, uint64_t seed, uint64_t stream_first, const uint64_t *step,
    int64_t rows, int width, uint32_t *out) {
    if (rows < 1 || width < 1) return MT_OK;
    int blocks = (width + 3) / 4;
    return launch(c, "philox_words", words_kernel, grid(ceil_div(rows * blocks, threads)), threads, 0, seed,
        stream_first, step, rows, blocks, width, out);
}

mt_status mt_cuda_normals(const mt_cuda *c, int64_t count, const uint32_t *words, float *out) {
    if (count < 2) return MT_OK;
    if (aligned(words, out))
        return launch(
            c, "normals", normals_kernel<2>, grid(ceil_div(count, 4 * threads)), threads, 0, count, words, out);
    return launch(c, "normals", normals_kernel<1>, grid(ceil_div(count, 2 * threads)), threads, 0, count, words, out);
}
