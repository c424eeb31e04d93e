// What every operation of the cuda back end shares: launching with a check, elements by fours, and sums in fixed order.
#ifndef MANTA_KERNELS_CUDA_LAUNCH_CUH
#define MANTA_KERNELS_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>
#include <stdint.h>
#include "kernels/cuda/cuda.h"

// Shared memory is declared by these two: MT_SHARED(float, tile, [32][33]); and, outside of functions, what a launch asks for:
// MT_SHARED_DYNAMIC(float, shared); The host build (tests/cuda_host) has words of its own for them, which put the arrays
// between guard zones.
#ifndef MT_SHARED
#define MT_SHARED(type, name, ...)    __shared__ type name __VA_ARGS__
#define MT_SHARED_DYNAMIC(type, name) extern __shared__ __align__(16) type name[]
#endif

namespace mt {

// ---- launching

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

// kernel<<<blocks, threads, shared_bytes>>>(...) on the context's stream, as a status. By the function and not by the brackets: a
// host's compiler knows it, too, and it returns its own error.
template <class... Parameters, class... Arguments>
mt_status launch(const mt_cuda *c, const char *name, void (*kernel)(Parameters...), dim3 blocks, dim3 threads,
    size_t shared_bytes, Arguments... arguments) {
    MT_CUDA(cudaSetDevice(c->device->ordinal));
    cudaLaunchConfig_t config = {};
    config.gridDim = blocks, config.blockDim = threads, config.dynamicSmemBytes = shared_bytes, config.stream = c->stream;
    cudaError_t code = cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...);
    if (code != cudaSuccess) cudaGetLastError(); // it is told here; no later call should stumble over it
    return mt_cuda_check(code, name, __FILE__, __LINE__);
}
inline dim3 grid(int64_t x, int64_t y = 1, int64_t z = 1) { return dim3((unsigned)x, (unsigned)y, (unsigned)z); }

// the context's scratch space as `count` elements of T
template <class T> mt_status workspace(const mt_cuda *c, int64_t count, T **out) {
    *out = static_cast<T *>(c->workspace);
    if ((size_t)count <= c->workspace_bytes / sizeof(T)) return MT_OK;
    return MT_FAIL(NO_MEMORY,
        "this needs %lld bytes of scratch space on the GPU, the context has %zu; give mt_cuda_init more",
        (long long)count * (long long)sizeof(T), c->workspace_bytes);
}

// ---- elements: N at a time, N = 4 when every array is 16-byte aligned, else 1

template <class T, int N> struct pack { T at[N]; };
template <int N, class T> __device__ __forceinline__ pack<T, N> load(const T *p) {
    static_assert(sizeof(T) == 4, "words");
    pack<T, N> v;
    if constexpr (N == 4) {
        uint4 w = *reinterpret_cast<const uint4 *>(p);
        __builtin_memcpy(&v, &w, sizeof w);
    } else {
        v.at[0] = *p;
    }
    return v;
}
template <int N, class T> __device__ __forceinline__ void store(T *p, const pack<T, N> &v) {
    if constexpr (N == 4) {
        uint4 w;
        __builtin_memcpy(&w, &v, sizeof w);
        *reinterpret_cast<uint4 *>(p) = w;
    } else {
        *p = v.at[0];
    }
}

template <class... T> bool aligned(const T *...p) { return ((reinterpret_cast<uintptr_t>(p) | ...) & 15) == 0; }

// op.template at<N>(i) for i in 0 .. count, N elements from i on
constexpr int each_threads = 256;
template <int N, class Op> __global__ void __launch_bounds__(each_threads) each_kernel(int64_t count, Op op) {
    int64_t i = ((int64_t)blockIdx.x * each_threads + threadIdx.x) * N;
    if (i + N <= count) {
        op.template at<N>(i);
    } else {
        for (; i < count; i++) op.template at<1>(i);
    }
}
template <class Op> mt_status each(const mt_cuda *c, const char *name, int64_t count, bool by_four, Op op) {
    if (count <= 0) return MT_OK;
    if (by_four)
        return launch(c, name, each_kernel<4, Op>, grid(ceil_div(count, 4 * each_threads)), each_threads, 0, count, op);
    return launch(c, name, each_kernel<1, Op>, grid(ceil_div(count, each_threads)), each_threads, 0, count, op);
}

// ---- sums

// Σ over a warp, by halves; in every lane
template <class T> __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
    for (int offset = 16; offset; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

// Σ over the block of N quantities, warp by warp in order; in thread 0. All threads call it.
template <int N, int Threads, class T> __device__ __forceinline__ void block_sum(T (&x)[N]) {
    constexpr int warps = Threads / 32;
    MT_SHARED(T, part, [N][warps]);
    __syncthreads(); // from an earlier call
#pragma unroll
    for (int i = 0; i < N; i++) {
        T sum = warp_sum(x[i]);
        if (threadIdx.x % 32 == 0) part[i][threadIdx.x / 32] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0)
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = part[i][0];
#pragma unroll
            for (int w = 1; w < warps; w++) x[i] += part[i][w];
        }
}

// True in all threads of the block that gets here last; what the others wrote before is then visible. Which block that
// is changes nothing: it adds all parts in their order. The ticket counts blocks and is 0 again afterwards.
__device__ __forceinline__ bool last_block(uint32_t *ticket) {
    MT_SHARED(bool, last);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (last) __threadfence();
    return last;
}

// Each block hands in N sums (in thread 0); true in thread 0 of the last block, which then has the totals in x.
// part: (N, blocks)
template <int N, int Threads, class T> __device__ __forceinline__ bool grid_sum(T (&x)[N], T *part, uint32_t *ticket) {
    block_sum<N, Threads>(x);
    if (threadIdx.x == 0)
#pragma unroll
        for (int i = 0; i < N; i++) part[i * gridDim.x + blockIdx.x] = x[i];
    if (!last_block(ticket)) return false;
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = T(0);
    for (unsigned b = threadIdx.x; b < gridDim.x; b += Threads)
#pragma unroll
        for (int i = 0; i < N; i++) x[i] += __ldcg(part + i * gridDim.x + b);
    block_sum<N, Threads>(x);
    return threadIdx.x == 0;
}

// ---- sums over rows: (parts, columns) partial sums, added part by part in a fixed tree; then finish(column, total)
constexpr int fold_width = 32, fold_height = 32;
template <class Finish>
__global__ void __launch_bounds__(fold_width *fold_height)
    fold_kernel(int64_t parts, int columns, const double *part, Finish finish) {
    MT_SHARED(double, sums, [fold_height][fold_width]);
    int column = (int)blockIdx.x * fold_width + (int)threadIdx.x;
    double sum = 0;
    if (column < columns)
#pragma unroll 4
        for (int64_t p = threadIdx.y; p < parts; p += fold_height) sum += part[p * columns + column];
    sums[threadIdx.y][threadIdx.x] = sum;
    for (int half = fold_height / 2; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.y < half) sums[threadIdx.y][threadIdx.x] += sums[threadIdx.y + half][threadIdx.x];
    }
    if (threadIdx.y == 0 && column < columns) finish(column, sums[0][threadIdx.x]);
}
template <class Finish>
mt_status fold(const mt_cuda *c, const char *name, int64_t parts, int columns, const double *part, Finish finish) {
    return launch(c, name, fold_kernel<Finish>, grid(ceil_div(columns, fold_width)), dim3(fold_width, fold_height), 0,
        parts, columns, part, finish);
}

// to (+)= total
struct fold_to_float {
    float *to;
    int accumulate;
    __device__ void operator()(int column, double total) const {
        to[column] = accumulate ? (float)((double)to[column] + total) : (float)total;
    }
};

} // namespace mt
#endif
