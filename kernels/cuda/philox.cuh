// A block of Philox4x32-10 (Salmon et al., SC'11) in a thread: the four words of mt_rng_block.
#ifndef MANTA_KERNELS_CUDA_PHILOX_CUH
#define MANTA_KERNELS_CUDA_PHILOX_CUH

#include "kernels/cuda/launch.cuh"

namespace mt {

__device__ __forceinline__ pack<uint32_t, 4> philox_block(uint64_t seed, uint64_t stream, uint64_t counter) {
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = (uint32_t)stream,
             c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
    }
    return {c0, c1, c2, c3};
}

} // namespace mt
#endif
