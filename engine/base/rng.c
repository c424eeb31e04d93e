// Philox4x32-10 through Random123. Pure functions of their arguments; any thread.
#include "engine/base/rng.h"

#include <Random123/philox.h>
#include <math.h>

void mt_rng_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
    philox4x32_ctr_t at = {{(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t words = philox4x32(at, key);
    for (int i = 0; i < 4; i++) out[i] = words.v[i];
}

mt_rng mt_rng_at(uint64_t seed, uint64_t stream, uint64_t counter) {
    return (mt_rng){.seed = seed, .stream = stream, .counter = counter, .used = 4};
}

uint32_t mt_rng_u32(mt_rng *rng) {
    if (rng->used == 4) {
        mt_rng_block(rng->seed, rng->stream, rng->counter++, rng->block);
        rng->used = 0;
    }
    return rng->block[rng->used++];
}

uint64_t mt_rng_u64(mt_rng *rng) {
    uint64_t low = mt_rng_u32(rng);
    return low | (uint64_t)mt_rng_u32(rng) << 32;
}

float mt_rng_uniform_f(mt_rng *rng) { return mt_u32_to_unit(mt_rng_u32(rng)); }
double mt_rng_uniform(mt_rng *rng) { return (double)(mt_rng_u64(rng) >> 11) * 0x1p-53; }

uint32_t mt_rng_below(mt_rng *rng, uint32_t bound) {
    // Lemire's multiply-and-reject: unbiased, almost always one word
    uint64_t product = (uint64_t)mt_rng_u32(rng) * bound;
    if ((uint32_t)product < bound) {
        uint32_t threshold = -bound % bound;
        while ((uint32_t)product < threshold) product = (uint64_t)mt_rng_u32(rng) * bound;
    }
    return (uint32_t)(product >> 32);
}

double mt_rng_normal(mt_rng *rng) {
    double radius = sqrt(-2.0 * log(1.0 - mt_rng_uniform(rng)));
    return radius * cos(6.283185307179586476925 * mt_rng_uniform(rng));
}
