// dst[b] = src[index[b]], rows of row_bytes bytes, on the GPU: the minibatch out of the segment. Random reads of whole
// rows, sequential writes; by 16, 8, 4 or 1 bytes, as the row's size and the arrays' places allow, neighbouring threads
// on neighbouring words of a row. Bytes moved: 2 · rows · row_bytes + 4 · rows; of a row shorter than 32 bytes the
// memory reads 32. Beside it the numbers of the rows of whole sequences: row[t·count + j] = t·envs + env[j]. Copies: deterministic.
#include "kernels/cuda/launch.cuh"

namespace {
using namespace mt;

constexpr int threads = 256, words_each = 4;

// words: of T in a row. Place is what counts words of all rows: 32 bits where that is enough, for its division
template <class T, class Place>
__global__ void __launch_bounds__(threads)
    gather_kernel(Place total, uint32_t words, const T *src, const int32_t *index, T *dst) {
    Place first = (Place)blockIdx.x * (threads * words_each) + threadIdx.x;
    T word[words_each];
#pragma unroll
    for (int j = 0; j < words_each; j++) {
        Place i = first + j * threads;
        if (i >= total) continue;
        Place row = words == 1 ? i : i / words;
        word[j] = src[(int64_t)index[row] * words + (uint32_t)(i - row * words)];
    }
#pragma unroll
    for (int j = 0; j < words_each; j++)
        if (first + j * threads < total) dst[first + j * threads] = word[j];
}

template <class T>
mt_status gather(const mt_cuda *c, int64_t rows, int64_t row_bytes, const void *src, const int32_t *index, void *dst) {
    int64_t words = row_bytes / (int64_t)sizeof(T), total = rows * words;
    dim3 blocks = grid(ceil_div(total, threads * words_each));
    if (total < UINT32_MAX - threads * words_each)
        return launch(c, "gather_rows", gather_kernel<T, uint32_t>, blocks, threads, 0, total, words,
            static_cast<const T *>(src), index, static_cast<T *>(dst));
    return launch(c, "gather_rows", gather_kernel<T, int64_t>, blocks, threads, 0, total, words,
        static_cast<const T *>(src), index, static_cast<T *>(dst));
}

struct sequence_op {
    const int32_t *env;
    int32_t *row;
    int64_t envs;
    uint32_t count;
    template <int N> __device__ void at(int64_t i) const {
        uint32_t step = (uint32_t)i / count, j = (uint32_t)i - step * count;
        row[i] = (int32_t)(step * envs) + env[j];
    }
};

} // namespace

mt_status mt_cuda_gather_rows(
    const mt_cuda *c, int64_t rows, int64_t row_bytes, const void *src, const int32_t *index, void *dst) {
    if (rows < 1 || row_bytes < 1) return MT_OK;
    if (row_bytes > UINT32_MAX)
        return MT_FAIL(UNSUPPORTED, "gather_rows: a row of %lld bytes, at most 4 GiB", (long long)row_bytes);
    uintptr_t places = reinterpret_cast<uintptr_t>(src) | reinterpret_cast<uintptr_t>(dst) | (uintptr_t)row_bytes;
    if (places % 16 == 0) return gather<uint4>(c, rows, row_bytes, src, index, dst);
    if (places % 8 == 0) return gather<uint2>(c, rows, row_bytes, src, index, dst);
    if (places % 4 == 0) return gather<uint32_t>(c, rows, row_bytes, src, index, dst);
    return gather<uint8_t>(c, rows, row_bytes, src, index, dst);
}

mt_status mt_cuda_sequence_rows(
    const mt_cuda *c, int64_t steps, int64_t envs, int64_t count, const int32_t *env, int32_t *row) {
    MT_ASSERT(steps * envs <= INT32_MAX); // rows are counted in 32 bits
    return each(c, "sequence_rows", steps * count, false, sequence_op{env, row, envs, (uint32_t)count});
}
