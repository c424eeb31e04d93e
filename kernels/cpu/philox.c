// Philox4x32-10 (Salmon et al., SC'11) many blocks at once, the same words as mt_rng_block, and Box–Muller normals.
//
// A block's four words sit in the low halves of four vectors of 64-bit lanes, which is what the widening multiplication
// wants; the high halves hold rubbish that it ignores. A block is a function of its own key and counter: deterministic
// and independent of the others. Bytes moved: 16 written a block. Normals: 8 read and 8 written a pair.
#include <math.h>
#include "engine/base/rng.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

#define M0 0xD2511F53u
#define M1 0xCD9E8D57u
#define W0 0x9E3779B9u
#define W1 0xBB67AE85u

__attribute__((unused)) static void block_1(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t *out) {
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = (uint32_t)stream,
             c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++, k0 += W0, k1 += W1) {
        uint64_t p0 = (uint64_t)M0 * c0, p1 = (uint64_t)M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

#if defined(MT_ISA_AVX512) || defined(MT_ISA_AVX2)

#if defined(MT_ISA_AVX512)
typedef __m512i v64;
enum { BLOCKS = 8 }; // a vector's worth
#define V64(op) _mm512_##op
LANE_INLINE v64 xor_3(v64 a, v64 b, v64 c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
LANE_INLINE v64 ramp(uint64_t first) {
    return _mm512_add_epi64(_mm512_set1_epi64((long long)first), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
}
#else
typedef __m256i v64;
enum { BLOCKS = 4 };
#define V64(op)              _mm256_##op
LANE_INLINE v64 xor_3(v64 a, v64 b, v64 c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
LANE_INLINE v64 ramp(uint64_t first) {
    return _mm256_add_epi64(_mm256_set1_epi64x((long long)first), _mm256_set_epi64x(3, 2, 1, 0));
}
#define _mm256_set1_epi64(x) _mm256_set1_epi64x(x)
#endif

typedef struct philox_state {
    v64 c0, c1, c2, c3;
} philox_state;

LANE_INLINE philox_state state_of(v64 counter, v64 stream) {
    return (philox_state){counter, V64(srli_epi64)(counter, 32), stream, V64(srli_epi64)(stream, 32)};
}
LANE_INLINE philox_state philox_round(philox_state s, v64 k0, v64 k1) {
    v64 p0 = V64(mul_epu32)(s.c0, V64(set1_epi64)(M0)), p1 = V64(mul_epu32)(s.c2, V64(set1_epi64)(M1));
    return (philox_state){xor_3(V64(srli_epi64)(p1, 32), s.c1, k0), p1, xor_3(V64(srli_epi64)(p0, 32), s.c3, k1), p0};
}

// words of one block side by side, blocks in order; the first n blocks are stored
LANE_INLINE void store_blocks(uint32_t *out, philox_state s, int n) {
    const v64 low = V64(set1_epi64)(0xffffffffll);
    v64 a = (s.c0 & low) | V64(slli_epi64)(s.c1, 32), b = (s.c2 & low) | V64(slli_epi64)(s.c3, 32);
    v64 even = V64(unpacklo_epi64)(a, b), odd = V64(unpackhi_epi64)(a, b); // blocks 0, 2, .. and 1, 3, ..
#if defined(MT_ISA_AVX512)
    v64 first = _mm512_permutex2var_epi64(even, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), odd);
    v64 second = _mm512_permutex2var_epi64(even, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), odd);
    unsigned words = (1u << (2 * n)) - 1;
    _mm512_mask_storeu_epi64(out, (__mmask8)words, first);
    _mm512_mask_storeu_epi64(out + 16, (__mmask8)(words >> 8), second);
#else
    v64 half[2] = {_mm256_permute2x128_si256(even, odd, 0x20), _mm256_permute2x128_si256(even, odd, 0x31)};
    if (n == BLOCKS)
        memcpy(out, half, sizeof half);
    else
        for (int i = 0; i < n; i++) memcpy(out + 4 * i, (const char *)half + 16 * i, 16);
#endif
}

// up to two vectors of blocks, so that one's multiplications hide the other's latency
LANE_INLINE void run_2(uint64_t seed, philox_state s, philox_state t, uint32_t *out, int n) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++, k0 += W0, k1 += W1) {
        v64 v0 = V64(set1_epi64)((long long)k0), v1 = V64(set1_epi64)((long long)k1);
        s = philox_round(s, v0, v1);
        t = philox_round(t, v0, v1);
    }
    store_blocks(out, s, n < BLOCKS ? n : BLOCKS);
    if (n > BLOCKS) store_blocks(out + 4 * BLOCKS, t, n - BLOCKS);
}

void MT_ISA_NAME(mt_philox_streams)(
    uint64_t seed, uint64_t stream_first, uint64_t counter, int64_t rows, uint32_t *out) {
    const v64 c = V64(set1_epi64)((long long)counter);
    for (int64_t i = 0; i < rows; i += 2 * BLOCKS) {
        uint64_t first = stream_first + (uint64_t)i;
        int n = rows - i < 2 * BLOCKS ? (int)(rows - i) : 2 * BLOCKS;
        run_2(seed, state_of(c, ramp(first)), state_of(c, ramp(first + BLOCKS)), out + 4 * i, n);
    }
}

void MT_ISA_NAME(mt_philox_counters)(
    uint64_t seed, uint64_t stream, uint64_t counter_first, int64_t blocks, uint32_t *out) {
    const v64 s = V64(set1_epi64)((long long)stream);
    for (int64_t i = 0; i < blocks; i += 2 * BLOCKS) {
        uint64_t first = counter_first + (uint64_t)i;
        int n = blocks - i < 2 * BLOCKS ? (int)(blocks - i) : 2 * BLOCKS;
        run_2(seed, state_of(ramp(first), s), state_of(ramp(first + BLOCKS), s), out + 4 * i, n);
    }
}

#else

void MT_ISA_NAME(mt_philox_streams)(
    uint64_t seed, uint64_t stream_first, uint64_t counter, int64_t rows, uint32_t *out) {
    for (int64_t i = 0; i < rows; i++) block_1(seed, stream_first + (uint64_t)i, counter, out + 4 * i);
}

void MT_ISA_NAME(mt_philox_counters)(
    uint64_t seed, uint64_t stream, uint64_t counter_first, int64_t blocks, uint32_t *out) {
    for (int64_t i = 0; i < blocks; i++) block_1(seed, stream, counter_first + (uint64_t)i, out + 4 * i);
}

#endif

// ---- words by row

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Few rows of many words: block after block of a row. Many rows of few: a block of each row at a time.
void MT_ISA_NAME(mt_philox_words)(
    uint64_t seed, uint64_t stream_first, const uint64_t *step, int64_t rows, int width, uint32_t *out) {
    enum { AT_ONCE = 64 };
    uint32_t block[4 * AT_ONCE];
    const int64_t blocks = (width + 3) / 4;
    const uint64_t counter = *step * (uint64_t)blocks;
    if (blocks > rows) {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t b = 0; b < blocks; b += AT_ONCE) {
                int64_t n = least(AT_ONCE, blocks - b), words = least(4 * n, width - 4 * b);
                MT_ISA_NAME(mt_philox_counters)(seed, stream_first + (uint64_t)r, counter + (uint64_t)b, n, block);
                memcpy(out + r * width + 4 * b, block, sizeof *out * (size_t)words);
            }
        return;
    }
    for (int64_t first = 0; first < rows; first += AT_ONCE)
        for (int64_t b = 0; b < blocks; b++) {
            int64_t n = least(AT_ONCE, rows - first), words = least(4, width - 4 * b);
            MT_ISA_NAME(mt_philox_streams)(seed, stream_first + (uint64_t)first, counter + (uint64_t)b, n, block);
            for (int64_t r = 0; r < n; r++)
                for (int64_t c = 0; c < words; c++) out[(first + r) * width + 4 * b + c] = block[4 * r + c];
        }
}

// ---- normals: z0, z1 = √(-2 ln u1) · (cos, sin)(2π u2) with u1 = 1 - unit(w0) in (0, 1], u2 = unit(w1)

LANE_INLINE vf unit(vf words) { return vf_from_int((vi)((vu)words >> 8)) * 0x1p-24f; }

LANE_INLINE void normals_tile(const float *words, float *out, int n) {
    vf w[2], z[2], sine, cosine;
    tile_load(w, 2, words, n);
    vf radius = vf_sqrt(-2.0f * vf_log(1.0f - unit(w[0])));
    vf_sincos_turns(unit(w[1]), &sine, &cosine);
    z[0] = radius * cosine;
    z[1] = radius * sine;
    tile_store(out, 2, z, n);
}

void MT_ISA_NAME(mt_normals)(int64_t count, const uint32_t *words, float *out) {
    int64_t i = 0, pairs = count / 2;
    const float *bits = (const float *)(const void *)words; // moved, never computed with, as floats
    for (; i + VF <= pairs; i += VF) normals_tile(bits + 2 * i, out + 2 * i, VF);
    if (i < pairs) normals_tile(bits + 2 * i, out + 2 * i, (int)(pairs - i));
}
