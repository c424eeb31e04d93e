// Reduction kernels. Plain loops, one pass for up to four sources, blocks of the level-1 cache for more. Bytes moved:
// (sources + 1) * count * element. The additions are written in source order and -ffp-contract=off keeps them there.
#include "engine/collective/reduce.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

// One body, several instruction sets, chosen at load time. Sanitizers do not survive the resolvers.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) &&                       \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif

// dst may be one of the sources: the same index is read before it is written, nothing is carried from index to index
#if defined(__clang__)
#define IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define IVDEP _Pragma("GCC ivdep")
#endif

enum { BLOCK_BYTES = 4096 };

#define ADD(x, y) ((x) + (y))
#define MAX(x, y) ((y) > (x) ? (y) : (x))
#define MIN(x, y) ((y) < (x) ? (y) : (x))

// one pass over two, three or four sources
#define DEFINE_PASS(name, T, OP)                                                                                       \
    CLONES static void name##_pass(T *d, const T *a, const T *b, const T *c, const T *e, int n, size_t count) {        \
        if (n == 2) {                                                                                                  \
            IVDEP for (size_t i = 0; i < count; i++) d[i] = OP(a[i], b[i]);                                            \
        } else if (n == 3) {                                                                                           \
            IVDEP for (size_t i = 0; i < count; i++) {                                                                 \
                T x = OP(a[i], b[i]);                                                                                  \
                d[i] = OP(x, c[i]);                                                                                    \
            }                                                                                                          \
        } else {                                                                                                       \
            IVDEP for (size_t i = 0; i < count; i++) {                                                                 \
                T x = OP(a[i], b[i]);                                                                                  \
                x = OP(x, c[i]);                                                                                       \
                d[i] = OP(x, e[i]);                                                                                    \
            }                                                                                                          \
        }                                                                                                              \
    }

// more than four: block by block through a local, so that dst may be any of the sources
#define DEFINE_REDUCE(name, T, OP)                                                                                     \
    DEFINE_PASS(name, T, OP)                                                                                           \
    static void name(void *dst, const void *const *src, int sources, size_t count) {                                   \
        enum { BLOCK = BLOCK_BYTES / sizeof(T) };                                                                      \
        const T *const *s = (const T *const *)src;                                                                     \
        T *d = dst, block[BLOCK];                                                                                      \
        if (count == 0) return;                                                                                        \
        if (sources == 1 && d != s[0]) memcpy(d, s[0], count * sizeof(T));                                             \
        if (sources == 1) return;                                                                                      \
        if (sources <= 4) {                                                                                            \
            name##_pass(d, s[0], s[1], s[sources > 2 ? 2 : 0], s[sources > 3 ? 3 : 0], sources, count);                \
            return;                                                                                                    \
        }                                                                                                              \
        for (size_t at = 0; at < count; at += BLOCK) {                                                                 \
            size_t n = count - at < BLOCK ? count - at : BLOCK;                                                        \
            name##_pass(block, s[0] + at, s[1] + at, s[2] + at, s[3] + at, 4, n);                                      \
            for (int k = 4; k < sources; k += 3) {                                                                     \
                int more = sources - k < 3 ? sources - k : 3;                                                          \
                name##_pass(                                                                                           \
                    block, block, s[k] + at, s[more > 1 ? k + 1 : k] + at, s[more > 2 ? k + 2 : k] + at, 1 + more, n); \
            }                                                                                                          \
            memcpy(d + at, block, n * sizeof(T));                                                                      \
        }                                                                                                              \
    }

DEFINE_REDUCE(sum_f32, float, ADD)
DEFINE_REDUCE(max_f32, float, MAX)
DEFINE_REDUCE(min_f32, float, MIN)
DEFINE_REDUCE(sum_f64, double, ADD)
DEFINE_REDUCE(max_f64, double, MAX)
DEFINE_REDUCE(min_f64, double, MIN)
DEFINE_REDUCE(max_i64, int64_t, MAX)
DEFINE_REDUCE(min_i64, int64_t, MIN)
// two's complement: an overflow wraps, as in every MPI
DEFINE_REDUCE(sum_i64, uint64_t, ADD)

mt_reduce_fn *mt_reduce_find(mt_dtype dtype, mt_reduce_op op) {
    static mt_reduce_fn *const table[MT_DTYPE_COUNT][MT_REDUCE_OP_COUNT] = {
        [MT_F32] = {sum_f32, max_f32, min_f32},
        [MT_F64] = {sum_f64, max_f64, min_f64},
        [MT_I64] = {sum_i64, max_i64, min_i64},
    };
    if ((unsigned)dtype >= MT_DTYPE_COUNT || (unsigned)op >= MT_REDUCE_OP_COUNT) return NULL;
    return table[dtype][op];
}

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)

static size_t to_line(const void *p) { return (size_t)(-(uintptr_t)p & 63); } // bytes up to the next cache line

void mt_copy_stream(void *dst, const void *src, size_t bytes) {
    char *d = dst;
    const char *s = src;
    size_t head = to_line(d);
    if (bytes < 1024) {
        memcpy(d, s, bytes);
        return;
    }
    memcpy(d, s, head);
    d += head, s += head, bytes -= head;
    for (; bytes >= 64; d += 64, s += 64, bytes -= 64) {
        __m128i a = _mm_loadu_si128((const __m128i *)s), b = _mm_loadu_si128((const __m128i *)(s + 16));
        __m128i c = _mm_loadu_si128((const __m128i *)(s + 32)), e = _mm_loadu_si128((const __m128i *)(s + 48));
        _mm_stream_si128((__m128i *)d, a);
        _mm_stream_si128((__m128i *)(d + 16), b);
        _mm_stream_si128((__m128i *)(d + 32), c);
        _mm_stream_si128((__m128i *)(d + 48), e);
    }
    memcpy(d, s, bytes);
    _mm_sfence();
}

void mt_sum2_stream_f32(float *dst, const float *a, const float *b, size_t count) {
    const void *sources[2] = {a, b};
    size_t head = to_line(dst) / sizeof(float);
    if (count < 256 || (uintptr_t)dst % sizeof(float) != 0) {
        sum_f32(dst, sources, 2, count);
        return;
    }
    sum_f32(dst, sources, 2, head);
    size_t i = head;
    for (; i + 16 <= count; i += 16)
        for (size_t k = i; k < i + 16; k += 4)
            _mm_stream_ps(dst + k, _mm_add_ps(_mm_loadu_ps(a + k), _mm_loadu_ps(b + k)));
    const void *rest[2] = {a + i, b + i};
    sum_f32(dst + i, rest, 2, count - i);
    _mm_sfence();
}

#else

void mt_copy_stream(void *dst, const void *src, size_t bytes) { memcpy(dst, src, bytes); }

void mt_sum2_stream_f32(float *dst, const float *a, const float *b, size_t count) {
    const void *sources[2] = {a, b};
    sum_f32(dst, sources, 2, count);
}

#endif
