// rows[*time] = row, then *time and *step go on by one: what a step of a rollout leaves, put down behind what the steps before left.
// Where it goes stands in device memory, so that one CUDA graph serves every step. Bytes moved: `bytes`, a multiple of 4, read and
// written. The block that is through last moves time and step; all have read them by then.
#include "kernels/cuda/launch.cuh"

namespace {
using namespace mt;

constexpr int threads = 256;

template <int N>
__global__ void __launch_bounds__(threads)
    append_kernel(int64_t words, const uint32_t *row, uint32_t *rows, int64_t *time, uint64_t *step, uint32_t *ticket) {
    int64_t i = ((int64_t)blockIdx.x * threads + threadIdx.x) * N;
    uint32_t *to = rows + *time * words;
    if (i + N <= words)
        store<N>(to + i, load<N>(row + i));
    else
        for (; i < words; i++) to[i] = row[i];
    if (last_block(ticket) && threadIdx.x == 0) ++*time, ++*step;
}

} // namespace

mt_status mt_cuda_append_row(
    const mt_cuda *c, int64_t bytes, const void *row, void *rows, int64_t *time, uint64_t *step) {
    if (bytes % 4) return MT_FAIL(INVALID_ARGUMENT, "a row of %lld bytes; rows are of whole words", (long long)bytes);
    auto from = static_cast<const uint32_t *>(row);
    auto to = static_cast<uint32_t *>(rows);
    int64_t words = bytes / 4;
    if (words % 4 == 0 && aligned(from, to))
        return launch(c, "append_row", append_kernel<4>, grid(clamp(ceil_div(words, 4 * threads), 1, INT32_MAX)),
            threads, 0, words, from, to, time, step, c->ticket);
    return launch(c, "append_row", append_kernel<1>, grid(clamp(ceil_div(words, threads), 1, INT32_MAX)), threads, 0,
        words, from, to, time, step, c->ticket);
}
