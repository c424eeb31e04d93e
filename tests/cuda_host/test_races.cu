// What kernels may not do to memory: races, with and without the words that order accesses, and accesses out of bounds. Each
// mistake is told at once, whatever the seed.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sums.cuh"
#include "tests/cuda_host/check.h"

namespace {

template <class... Parameters, class... Arguments>
void run(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, Arguments... arguments) {
    cudaLaunchConfig_t config = {};
    config.gridDim = blocks, config.blockDim = threads;
    CHECK_CUDA(cudaLaunchKernelEx(&config, kernel, arguments...));
    CHECK_CUDA(cudaDeviceSynchronize());
}
template <class T> T *device(size_t count) {
    void *p;
    CHECK_CUDA(cudaMalloc(&p, count * sizeof(T)));
    CHECK_CUDA(cudaMemset(p, 0, count * sizeof(T)));
    return static_cast<T *>(p);
}

// ---- within a block

// turns a tile round; 1: without the barrier between writing and reading, 2: without the one before the next tile
template <int Mistake> __global__ void turn_kernel(const float *in, float *out, int tiles) {
    MT_SHARED(float, tile, [8][9]);
    for (int i = 0; i < tiles; i++) {
        tile[threadIdx.y][threadIdx.x] = in[64 * i + 8 * threadIdx.y + threadIdx.x];
        if (Mistake != 1) __syncthreads();
        out[64 * i + 8 * threadIdx.y + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
        if (Mistake != 2) __syncthreads();
    }
}
template <int Mistake> void turn() {
    float *in = device<float>(256), *out = device<float>(256);
    run(turn_kernel<Mistake>, 1, dim3(8, 8), in, out, 4);
    cudaFree(in), cudaFree(out);
}

// neighbouring bytes are not the same byte; 1: two threads, one byte
template <int Mistake> __global__ void bytes_kernel(uint8_t *out) { out[threadIdx.x / (Mistake ? 2 : 1)] = 1; }
template <int Mistake> void bytes() {
    auto *out = device<uint8_t>(64);
    run(bytes_kernel<Mistake>, 1, 64, out);
    cudaFree(out);
}

// a warp hands over through shared memory; 1: a shuffle orders no memory
template <int Mistake> __global__ void warp_kernel(int *out) {
    MT_SHARED(int, slots, [32]);
    slots[threadIdx.x] = (int)threadIdx.x;
    if (Mistake == 0)
        __syncwarp();
    else
        __shfl_sync(0xffffffffu, 1, 0);
    out[threadIdx.x] = slots[31 - threadIdx.x];
}
template <int Mistake> void warp() {
    int *out = device<int>(32);
    run(warp_kernel<Mistake>, 1, 32, out);
    cudaFree(out);
}

// ---- across blocks

// the last block adds what the others left; 1: no fence before the ticket, 2: no ticket, 3: the ticket's news reach other
// threads without a barrier
template <int Mistake> __global__ void sum_kernel(float *part, unsigned *ticket, float *out) {
    MT_SHARED(bool, last);
    if (threadIdx.x == 0) {
        part[blockIdx.x] = 1;
        if (Mistake != 1) __threadfence();
        last = Mistake == 2 ? blockIdx.x == 0 : atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    }
    if (Mistake != 3) __syncthreads();
    if (Mistake == 3 && threadIdx.x == 1) {
        while (!__ldcv(&last)) return;
    }
    if (threadIdx.x == 0 && last) {
        float sum = 0;
        for (unsigned b = 0; b < gridDim.x; b++) sum += part[b];
        *out = sum;
    }
}
template <int Mistake> void sum() {
    float *part = device<float>(40), *out = device<float>(1), host;
    unsigned *ticket = device<unsigned>(1);
    for (int twice = 0; twice < 2; twice++) run(sum_kernel<Mistake>, 40, 64, part, ticket, out);
    CHECK_CUDA(cudaMemcpy(&host, out, sizeof host, cudaMemcpyDefault));
    CHECK(host == 40);
    cudaFree(part), cudaFree(out), cudaFree(ticket);
}

// in place: 1: a block reads its neighbour's element, which that one overwrites
template <int Mistake> __global__ void halo_kernel(float *x, int count) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= count) return;
    float y = x[Mistake ? (i + 32) % count : i];
    x[i] = y + 1;
}
template <int Mistake> void halo() {
    float *x = device<float>(96);
    run(halo_kernel<Mistake>, 3, 32, x, 96);
    cudaFree(x);
}

// 0: atomic operations; 1: one of the threads reads without
template <int Mistake> __global__ void count_kernel(unsigned *x, unsigned *seen) {
    atomicAdd(x, 1u);
    if (Mistake) seen[threadIdx.x] = *x;
}
template <int Mistake> void count() {
    unsigned *x = device<unsigned>(1), *seen = device<unsigned>(32);
    run(count_kernel<Mistake>, 1, 32, x, seen);
    cudaFree(x), cudaFree(seen);
}

// ---- bounds

template <int Mistake> __global__ void bounds_kernel(float *x, const float *host, uint8_t *bytes) {
    if (Mistake == 1) x[16] = 1;
    if (Mistake == 2) x[-1] = 1;
    if (Mistake == 3) x[0] = *host;
    if (Mistake == 4) *reinterpret_cast<float4 *>(x + 1) = make_float4(1, 1, 1, 1);
    if (Mistake == 5) x[0] = x[1 << 20];
    if (Mistake == 6) bytes[3] = 1;
    float local[4] = {1, 2, 3, 4};
    if (Mistake == 7) x[0] = local[x[0] < 1 ? 4 : 0];
}
template <int Mistake> void bounds() {
    static float on_host[4];
    float *x = device<float>(16), *heap = static_cast<float *>(malloc(4));
    auto *three = device<uint8_t>(3);
    (void)on_host;
    run(bounds_kernel<Mistake>, 1, 1, x, heap, three);
    free(heap);
    cudaFree(x), cudaFree(three);
}
void freed() {
    float *x = device<float>(16);
    CHECK_CUDA(cudaFree(x));
    run(bounds_kernel<4>, 1, 1, x - 1, x, nullptr);
}
void pinned() {
    float *x = device<float>(16);
    void *host;
    CHECK_CUDA(cudaMallocHost(&host, 64));
    static_cast<float *>(host)[0] = 5;
    run(bounds_kernel<3>, 1, 1, x, static_cast<const float *>(host), nullptr);
    float back;
    CHECK_CUDA(cudaMemcpy(&back, x, 4, cudaMemcpyDefault));
    CHECK(back == 5);
    cudaFree(x), cudaFreeHost(host);
}
void other_device() {
    float *x = device<float>(16);
    CHECK_CUDA(cudaSetDevice(1));
    run(bounds_kernel<4>, 1, 1, x - 1, x, nullptr);
}
void peer() {
    float *x = device<float>(16);
    CHECK_CUDA(cudaSetDevice(1));
    CHECK_CUDA(cudaDeviceEnablePeerAccess(0, 0));
    run(bounds_kernel<4>, 1, 1, x - 1, x, nullptr);
    CHECK_CUDA(cudaFree(x));
}

// ---- the host's own code

void host_follows() {
    float *x = device<float>(16);
    CHECK_CUDA(cudaDeviceSynchronize());
    printf("%g\n", (double)*x);
}

// are accesses seen at all? Without that every case above would pass for nothing
void seen() {
    turn<0>();
    CHECK(mt_host_accesses() >= 64 * 4 * 4);
}

} // namespace

int main(int argc, char **argv) {
    static const check_case cases[] = {
        {"seen", seen, NULL, NULL, 0},
        {"turn", turn<0>, NULL, NULL, 0},
        {"turn, no barrier before reading", turn<1>, "a race at", NULL, 0},
        {"turn, no barrier before writing again", turn<2>, "shared array tile", NULL, 0},
        {"bytes", bytes<0>, NULL, NULL, 0},
        {"bytes, two threads", bytes<1>, "a race at", NULL, 0},
        {"warp", warp<0>, NULL, NULL, 0},
        {"warp, a shuffle alone", warp<1>, "shared array slots", NULL, 0},
        {"sum", sum<0>, NULL, NULL, 0},
        {"sum, no fence", sum<1>, "a race at", NULL, 0},
        {"sum, no ticket", sum<2>, "a race at", NULL, 0},
        {"sum, no barrier", sum<3>, "shared array last", NULL, 0},
        {"halo", halo<0>, NULL, NULL, 0},
        {"halo, in place", halo<1>, "a race at", NULL, 0},
        {"count", count<0>, NULL, NULL, 0},
        {"count, read without", count<1>, "a race at", NULL, 0},
        {"count, read without, unseen", count<1>, NULL, "MANTA_CUDA_HOST_RACES=0", 0},
        {"bounds", bounds<0>, NULL, NULL, 0},
        {"bounds, past the end", bounds<1>, "4 bytes past allocation", NULL, 0},
        {"bounds, before the beginning", bounds<2>, "4 bytes before allocation", NULL, 0},
        {"bounds, the host's memory", bounds<3>, "not pinned", NULL, 0},
        {"bounds, misaligned", bounds<4>, "must be a multiple of 16", NULL, 0},
        {"bounds, far away", bounds<5>, "it is in no allocation", NULL, 0},
        {"bounds, one byte", bounds<6>, "1 bytes past allocation", NULL, 0},
        {"bounds, of a thread's own array", bounds<7>, "index 4 is outside of", NULL, 0},
        {"freed", freed, "was freed", NULL, 0},
        {"pinned", pinned, NULL, NULL, 0},
        {"another device", other_device, "no access as a peer", NULL, 0},
        {"peer", peer, NULL, NULL, 0},
        {"the host follows a device pointer", host_follows, "in the host's code: copy it", NULL, 0},
    };
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
