// Threads of a block, and what they share: barriers, exchanges within a warp, shared memory, in good order and in bad.
#include "kernels/cuda/launch.cuh"
#include "tests/cuda_host/check.h"

namespace {

template <class... Parameters, class... Arguments>
void run(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared_bytes, Arguments... arguments) {
    cudaLaunchConfig_t config = {};
    config.gridDim = blocks, config.blockDim = threads, config.dynamicSmemBytes = shared_bytes;
    CHECK_CUDA(cudaLaunchKernelEx(&config, kernel, arguments...));
    CHECK_CUDA(cudaDeviceSynchronize());
}
template <class T> T *device(size_t count) {
    void *p;
    CHECK_CUDA(cudaMalloc(&p, count * sizeof(T)));
    CHECK_CUDA(cudaMemset(p, 0, count * sizeof(T)));
    return static_cast<T *>(p);
}
template <class T> T *fetch(const T *from, size_t count) { // the caller frees
    T *to = static_cast<T *>(malloc(count * sizeof(T)));
    CHECK_CUDA(cudaMemcpy(to, from, count * sizeof(T), cudaMemcpyDefault));
    return to;
}

// ---- every thread of every block runs once, and knows where

__global__ void places_kernel(int *seen, dim3 grid, dim3 block) {
    if (gridDim.x != grid.x || gridDim.y != grid.y || gridDim.z != grid.z || blockDim.x != block.x) __trap();
    unsigned b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    unsigned t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    atomicAdd(&seen[b * blockDim.x * blockDim.y * blockDim.z + t], 1);
}
void places() {
    dim3 grid(5, 3, 2), block(33, 2, 3);
    size_t count = 5 * 3 * 2 * 33 * 2 * 3;
    int *seen = device<int>(count);
    run(places_kernel, grid, block, 0, seen, grid, block);
    int *host = fetch(seen, count);
    for (size_t i = 0; i < count; i++) CHECK(host[i] == 1);
    free(host);
    CHECK_CUDA(cudaFree(seen));
}

// ---- threads do not run in their order, nor as one, and blocks neither

__global__ void order_kernel(unsigned *ticket, unsigned *when) {
    when[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(ticket, 1u);
}
void order() {
    enum { BLOCKS = 8, THREADS = 64 };
    unsigned *ticket = device<unsigned>(1), *when = device<unsigned>(BLOCKS * THREADS);
    run(order_kernel, BLOCKS, THREADS, 0, ticket, when);
    unsigned *host = fetch(when, BLOCKS * THREADS);
    int threads_in_order = 0, blocks_in_order = 0;
    for (int i = 1; i < BLOCKS * THREADS; i++) threads_in_order += host[i] == host[i - 1] + 1;
    for (int b = 1; b < BLOCKS; b++) blocks_in_order += host[b * THREADS] > host[(b - 1) * THREADS];
    CHECK(threads_in_order < BLOCKS * THREADS / 4 && blocks_in_order < BLOCKS - 1);
    free(host);
    CHECK_CUDA(cudaFree(ticket));
    CHECK_CUDA(cudaFree(when));
}

// ---- barriers

template <int Mistake> __global__ void barrier_kernel(float *out) {
    MT_SHARED(float, tile, [128]);
    tile[threadIdx.x] = (float)threadIdx.x;
    if (Mistake == 1 && threadIdx.x >= 96) return;
    if (Mistake == 2 && threadIdx.x < 64)
        __syncthreads();
    else
        __syncthreads();
    if (Mistake == 3 && threadIdx.x < 32) __syncthreads();
    if (Mistake == 4 && threadIdx.x < 32) __syncwarp();
    if (blockIdx.x == 0) out[threadIdx.x] = tile[127 - threadIdx.x];
    if (Mistake == 4 && threadIdx.x == 40) __shfl_sync(0xffffffffu, 1, 0);
}
template <int Mistake> void barrier() {
    float *out = device<float>(128);
    run(barrier_kernel<Mistake>, 3, 128, 0, out);
    float *host = fetch(out, 128);
    for (int i = 0; i < 128; i++) CHECK(host[i] == (float)(127 - i));
    free(host);
    CHECK_CUDA(cudaFree(out));
}

// ---- exchanges

__global__ void exchange_kernel(int *bad) {
    int lane = threadIdx.x % 32;
    auto want = [&](bool right) {
        if (!right) atomicAdd(bad, 1);
    };
    want(__shfl_sync(0xffffffffu, lane, 5) == 5);
    want(__shfl_sync(0xffffffffu, lane, 5, 8) == lane / 8 * 8 + 5);
    want(__shfl_xor_sync(0xffffffffu, (float)lane, 9) == (float)(lane ^ 9));
    want(__shfl_up_sync(0xffffffffu, lane, 3) == (lane < 3 ? lane : lane - 3));
    want(__shfl_down_sync(0xffffffffu, (double)lane, 3, 16) == (lane % 16 < 13 ? lane + 3 : lane));
    want(__ballot_sync(0xffffffffu, lane % 3 == 0) == 0x49249249u);
    want(__any_sync(0xffffffffu, lane == 7) && !__any_sync(0xffffffffu, lane == 32));
    want(__all_sync(0xffffffffu, lane < 32) && !__all_sync(0xffffffffu, lane < 31));
    want(__reduce_add_sync(0xffffffffu, (unsigned)lane) == 496);
    want(__reduce_max_sync(0xffffffffu, (unsigned)lane) == 31 && __reduce_min_sync(0xffffffffu, (unsigned)lane + 2) == 2);
    // halves on their own, one of them having ended
    if (lane >= 16) return;
    want(__shfl_xor_sync(0x0000ffffu, lane, 1) == (lane ^ 1));
    __syncwarp(0x0000ffffu);
    want(__syncthreads_count(0) == 0);
}
void exchange() {
    int *bad = device<int>(1);
    run(exchange_kernel, 1, 32, 0, bad); // the last line's barrier is refused
    CHECK_CUDA(cudaFree(bad));
}

template <int Mistake> __global__ void mask_kernel(int *out) {
    int lane = threadIdx.x % 32, x = 0;
    if (Mistake == 0) x = __shfl_xor_sync(0xffffffffu, lane, 1);
    if (Mistake == 1 && lane < 16) x = __shfl_xor_sync(0xffffffffu, lane, 16);           // reads lanes that do not come
    if (Mistake == 2) x = __shfl_xor_sync(0x0000ffffu, lane, 1);                         // misses itself
    if (Mistake == 3) x = __shfl_xor_sync(lane < 16 ? 0xffffu : 0xffffffffu, lane, 1);   // do not agree
    if (Mistake == 4 && lane < 16) x = __shfl_xor_sync(0x0000ffffu, lane, 16);           // reads one outside
    if (Mistake == 5 && lane == 3) return;
    if (Mistake == 5) x = __shfl_xor_sync(0xffffffffu, lane, 1);                         // reads one that has ended
    if (Mistake == 3) __syncthreads();
    if (blockIdx.x == 0) out[threadIdx.x] = x;
}
template <int Mistake> void mask() {
    int *out = device<int>(64);
    run(mask_kernel<Mistake>, 2, 32, 0, out);
    CHECK_CUDA(cudaFree(out));
}
// a block that ends within a warp has no lanes there
void mask_short() {
    int *out = device<int>(64);
    run(mask_kernel<0>, 1, 31, 0, out);
}

// ---- shared memory

MT_SHARED_DYNAMIC(float, dynamic);
__global__ void shared_kernel(float *out, int count) {
    MT_SHARED(float, first, [8]);
    MT_SHARED(double, second, [3][5]);
    MT_SHARED(bool, flag);
    // new in each block: NaN throughout
    bool fresh = first[threadIdx.x % 8] != first[threadIdx.x % 8] && second[2][4] != second[2][4];
    __syncthreads();
    if (threadIdx.x < 8) first[threadIdx.x] = 1;
    if (threadIdx.x < 15) second[threadIdx.x / 5][threadIdx.x % 5] = 2;
    if (threadIdx.x == 0) flag = fresh;
    if ((int)threadIdx.x < count) dynamic[threadIdx.x] = 3;
    __syncthreads();
    if (threadIdx.x == 0) out[blockIdx.x] = flag ? first[7] + (float)second[2][4] + dynamic[count - 1] : -1;
}
void shared() {
    float *out = device<float>(20);
    run(shared_kernel, 20, 64, 50 * sizeof(float), out, 50);
    float *host = fetch(out, 20);
    for (int i = 0; i < 20; i++) CHECK(host[i] == 6);
    free(host);
    CHECK_CUDA(cudaFree(out));
}

template <int Mistake> __global__ void shared_bad_kernel(float *out, int at) {
    MT_SHARED(float, small, [16]);
    MT_SHARED(float, large, [Mistake == 3 ? 13000 : 16]);
    float *p = small;
    if (Mistake == 1) p[at] = 1; // past its end
    if (Mistake == 2) dynamic[at] = 1;
    if (Mistake == 3) large[threadIdx.x] = 1;
    if (Mistake == 4) dynamic[threadIdx.x] = 1;
    out[threadIdx.x] = large[threadIdx.x % 16] + small[0];
}
template <int Mistake> void shared_bad() {
    float *out = device<float>(1);
    run(shared_bad_kernel<Mistake>, 1, 1, 64, out, 16);
}
void shared_too_much() {
    float *out = device<float>(1);
    cudaLaunchConfig_t config = {};
    config.gridDim = 1, config.blockDim = 1, config.dynamicSmemBytes = 49 << 10;
    CHECK(cudaLaunchKernelEx(&config, shared_bad_kernel<4>, out, 0) == cudaErrorInvalidValue);
    CHECK_CUDA(cudaFuncSetAttribute(shared_bad_kernel<4>, cudaFuncAttributeMaxDynamicSharedMemorySize, 49 << 10));
    CHECK(cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess);
    CHECK_CUDA(cudaLaunchKernelEx(&config, shared_bad_kernel<4>, out, 0));
    config.blockDim = dim3(1024, 2);
    CHECK(cudaLaunchKernelEx(&config, shared_bad_kernel<4>, out, 0) == cudaErrorInvalidConfiguration);
    config.blockDim = 1, config.gridDim = dim3(1, 65536);
    CHECK(cudaLaunchKernelEx(&config, shared_bad_kernel<4>, out, 0) == cudaErrorInvalidConfiguration);
    CHECK_CUDA(cudaFree(out));
}

// ---- atomic operations: the old value, and wrapping as the language says

__global__ void atomics_kernel(unsigned *u, int *i, float *f, double *d, unsigned long long *l) {
    atomicAdd(u, 1u), atomicAdd(i, -1), atomicAdd(f, 0.5f), atomicAdd(d, 0.25), atomicAdd(l, 1ull << 33);
    atomicInc(u + 1, 9u), atomicMax(i + 1, (int)threadIdx.x - 5), atomicMin(i + 2, -(int)threadIdx.x);
    atomicCAS(u + 2, threadIdx.x, threadIdx.x + 1), atomicOr(u + 3, 1u << threadIdx.x % 32), atomicExch(i + 3, 7);
}
void atomics() {
    auto *u = device<unsigned>(4);
    auto *i = device<int>(4);
    auto *f = device<float>(1);
    auto *d = device<double>(1);
    auto *l = device<unsigned long long>(1);
    run(atomics_kernel, 1, 64, 0, u, i, f, d, l);
    auto *hu = fetch(u, 4);
    auto *hi = fetch(i, 4);
    auto *hf = fetch(f, 1);
    auto *hd = fetch(d, 1);
    auto *hl = fetch(l, 1);
    CHECK(hu[0] == 64 && hi[0] == -64 && *hf == 32 && *hd == 16 && *hl == 64ull << 33);
    CHECK(hu[1] == 4 && hi[1] == 58 && hi[2] == -63 && hu[2] >= 1 && hu[3] == 0xffffffffu && hi[3] == 7);
    free(hu), free(hi), free(hf), free(hd), free(hl);
    cudaFree(u), cudaFree(i), cudaFree(f), cudaFree(d), cudaFree(l);
}

} // namespace

int main(int argc, char **argv) {
    static const check_case cases[] = {
        {"places", places, NULL, NULL, 0},
        {"order", order, NULL, NULL, 0},
        {"barrier", barrier<0>, NULL, NULL, 0},
        {"barrier, some have ended", barrier<1>, "have ended before a barrier", NULL, 0},
        {"barrier, two of them", barrier<2>, "meet at different barriers", NULL, 0},
        {"barrier, some wait for another", barrier<3>, "have ended before a barrier", NULL, 0},
        {"barrier, a lane waits for a warp that ended", barrier<4>, "has ended", NULL, 0},
        {"exchange", exchange, "have ended before a barrier", NULL, 0},
        {"mask", mask<0>, NULL, NULL, 0},
        {"mask, lanes that do not come", mask<1>, "has ended", NULL, 0},
        {"mask, without itself", mask<2>, "does not name it", NULL, 0},
        {"mask, no agreement", mask<3>, "wait for each other", NULL, 0},
        {"mask, a lane outside", mask<4>, "is not in the mask", NULL, 0},
        {"mask, a lane that ended", mask<5>, "has ended", NULL, 0},
        {"mask, a lane that is not there", mask_short, "does not exist", NULL, 0},
        {"shared", shared, NULL, NULL, 0},
        {"shared, past the end", shared_bad<1>, "shared array small", NULL, 0},
        {"shared, past the launch's own", shared_bad<2>, "shared array the launch's own", NULL, 0},
        {"shared, too much of it", shared_bad<3>, "a block may have 49152", NULL, 0},
        {"shared, too much at launch", shared_too_much, NULL, NULL, 0},
        {"atomics", atomics, NULL, NULL, 0},
    };
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
