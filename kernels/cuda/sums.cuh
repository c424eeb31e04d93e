// Sums of a function of each of (count) floats in one launch. The number of blocks depends on `count` alone, a block
// adds every blocks-th span by thread, warp and block, and the block that ends last adds the blocks' sums in their
// order.
#ifndef MANTA_KERNELS_CUDA_SUMS_CUH
#define MANTA_KERNELS_CUDA_SUMS_CUH

#include "kernels/cuda/launch.cuh"

namespace mt {

constexpr int sum_threads = 256, sum_blocks = 1024;

struct square_value {
    __device__ void operator()(float x, double &sum) const { sum = fma((double)x, (double)x, sum); }
};

// four elements side by side, whether or not they stand at a multiple of 16 bytes: the order of a sum does not depend
// on it
template <bool Aligned> __device__ __forceinline__ pack<float, 4> load_4(const float *x) {
    if constexpr (Aligned)
        return load<4>(x);
    else
        return pack<float, 4>{x[0], x[1], x[2], x[3]};
}

template <bool Aligned, class T, class Value, class Finish>
__global__ void __launch_bounds__(sum_threads)
    sum_kernel(int64_t count, const float *x, Value value, Finish finish, T *part, uint32_t *ticket) {
    T sum[1] = {T(0)};
    const int64_t step = (int64_t)gridDim.x * sum_threads * 4;
    int64_t i = ((int64_t)blockIdx.x * sum_threads + threadIdx.x) * 4;
    // four loads on their way at a time
    for (; i + 3 * step + 4 <= count; i += 4 * step) {
        pack<float, 4> v[4];
#pragma unroll
        for (int j = 0; j < 4; j++) v[j] = load_4<Aligned>(x + i + j * step);
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int k = 0; k < 4; k++) value(v[j].at[k], sum[0]);
    }
    for (; i < count; i += step)
        for (int k = 0; k < 4 && i + k < count; k++) value(x[i + k], sum[0]);
    if (grid_sum<1, sum_threads>(sum, part, ticket)) finish(sum[0]);
}

// value(x, sum) adds one element's part to sum; finish(total) runs once
template <class T, class Value, class Finish>
mt_status sum_of(const mt_cuda *c, const char *name, int64_t count, const float *x, Value value, Finish finish) {
    T *part;
    int64_t blocks = clamp(ceil_div(count, 16 * sum_threads), 1, sum_blocks);
    MT_TRY(workspace(c, blocks, &part));
    auto kernel = aligned(x) ? sum_kernel<true, T, Value, Finish> : sum_kernel<false, T, Value, Finish>;
    return launch(c, name, kernel, grid(blocks), sum_threads, 0, count, x, value, finish, part, c->ticket);
}

} // namespace mt
#endif
