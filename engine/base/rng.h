// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11).
//
// A number is a pure function of (seed, stream, counter): no state is shared, so results do not depend on which thread or
// rank computed them, and "the random numbers' state" in a checkpoint is a counter.
//   key     = seed (64 bits)
//   counter = (counter: low 64 bits, stream: high 64 bits)
// One evaluation gives a block of four 32-bit words.
#ifndef MANTA_ENGINE_BASE_RNG_H
#define MANTA_ENGINE_BASE_RNG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// What a stream is for: the top byte of the stream id, so that two uses never share numbers.
typedef enum mt_rng_use {
    MT_RNG_INIT = 1,      // parameter initialisation; low bits: tensor index
    MT_RNG_ENV = 2,       // environment; low bits: environment's global index
    MT_RNG_ACTION = 3,    // action sampling; low bits: environment's global index, counter: step
    MT_RNG_SHUFFLE = 4,   // minibatch order; low bits: logical worker, counter: (iteration, epoch)
    MT_RNG_EXPLORE = 5,   // gSDE exploration matrices; low bits: environment's global index
    MT_RNG_EVAL = 6,      // evaluation episodes
    MT_RNG_USER = 7
} mt_rng_use;

static inline uint64_t mt_rng_stream(mt_rng_use use, uint64_t index) {
    return ((uint64_t)use << 56) | (index & 0x00ffffffffffffffull);
}

// A cursor over one stream. Copyable; `counter` is the next block.
typedef struct mt_rng {
    uint64_t seed, stream, counter;
    uint32_t block[4];
    uint32_t used;   // words of `block` handed out; 4 = take a new block
} mt_rng;

void mt_rng_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);

mt_rng mt_rng_at(uint64_t seed, uint64_t stream, uint64_t counter);
uint32_t mt_rng_u32(mt_rng *rng);
uint64_t mt_rng_u64(mt_rng *rng);
float mt_rng_uniform_f(mt_rng *rng);                      // [0, 1), 24 bits
double mt_rng_uniform(mt_rng *rng);                       // [0, 1), 53 bits
uint32_t mt_rng_below(mt_rng *rng, uint32_t bound);       // [0, bound), unbiased; bound ≥ 1
double mt_rng_normal(mt_rng *rng);                        // standard normal (Box–Muller, one of the pair kept by nobody)

// word → [0, 1): the one conversion that every back end uses
static inline float mt_u32_to_unit(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

#ifdef __cplusplus
}
#endif
#endif
