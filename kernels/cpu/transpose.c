// transpose() of product.h: the turning of matrices under every pack and gradient. 8 bytes moved an element.
#include "kernels/cpu/activate.h"
#include "kernels/cpu/product.h"

// ---- dst[c·dst_row + r] (+)= src[r·src_row + c], in blocks of 8×8 (AVX) and 4×4
typedef float f4 __attribute__((vector_size(16)));
typedef float f4_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

MT_INLINE void transpose_4x4(const float *src, int64_t src_row, float *dst, int64_t dst_row, int add) {
    f4 a = *(const f4_unaligned *)src, b = *(const f4_unaligned *)(src + src_row);
    f4 c = *(const f4_unaligned *)(src + 2 * src_row), d = *(const f4_unaligned *)(src + 3 * src_row);
    f4 ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    f4 cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    f4 out[4] = {__builtin_shufflevector(ab0, cd0, 0, 1, 4, 5), __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7),
        __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5), __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7)};
    for (int i = 0; i < 4; i++) {
        f4_unaligned *p = (f4_unaligned *)(dst + i * dst_row);
        *p = add ? (f4)*p + out[i] : out[i];
    }
}

#if defined(MT_ISA_AVX512) || defined(MT_ISA_AVX2)
enum { TRANSPOSE_BLOCK = 8 };
MT_INLINE void transpose_block(const float *src, int64_t src_row, float *dst, int64_t dst_row, int add) {
    __m256 v[8], u[8];
    // rows r and r + 4 side by side, so that what follows is 4×4 inside each half
    for (int h = 0; h < 2; h++)
        for (int r = 0; r < 4; r++)
            v[4 * h + r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(src + r * src_row + 4 * h)),
                _mm_loadu_ps(src + (r + 4) * src_row + 4 * h), 1);
    for (int h = 0; h < 8; h += 4) {
        u[h] = _mm256_unpacklo_ps(v[h], v[h + 1]), u[h + 1] = _mm256_unpackhi_ps(v[h], v[h + 1]);
        u[h + 2] = _mm256_unpacklo_ps(v[h + 2], v[h + 3]), u[h + 3] = _mm256_unpackhi_ps(v[h + 2], v[h + 3]);
        v[h] = _mm256_shuffle_ps(u[h], u[h + 2], 0x44), v[h + 1] = _mm256_shuffle_ps(u[h], u[h + 2], 0xee);
        v[h + 2] = _mm256_shuffle_ps(u[h + 1], u[h + 3], 0x44), v[h + 3] = _mm256_shuffle_ps(u[h + 1], u[h + 3], 0xee);
    }
    for (int i = 0; i < 8; i++) {
        float *p = dst + i * dst_row;
        _mm256_storeu_ps(p, add ? _mm256_add_ps(_mm256_loadu_ps(p), v[i]) : v[i]);
    }
}
#else
enum { TRANSPOSE_BLOCK = 4 };
MT_INLINE void transpose_block(const float *src, int64_t src_row, float *dst, int64_t dst_row, int add) {
    transpose_4x4(src, src_row, dst, dst_row, add);
}
#endif

// `blocks` square blocks one under the other. A function of its own: inside the loops below GCC runs out of registers.
static __attribute__((noinline)) void transpose_strip(int64_t blocks, const float *src, int64_t src_row, float *dst,
    int64_t dst_row, int add) {
    enum { B = TRANSPOSE_BLOCK };
    if (add)
        for (; blocks > 0; blocks--, src += B * src_row, dst += B) transpose_block(src, src_row, dst, dst_row, 1);
    else
        for (; blocks > 0; blocks--, src += B * src_row, dst += B) transpose_block(src, src_row, dst, dst_row, 0);
}

void transpose(int64_t rows, int64_t columns, const float *src, int64_t src_row, float *dst, int64_t dst_row, int add) {
    enum { B = TRANSPOSE_BLOCK, SUPER = 64 };   // 64×64: both sides' lines stay in L1 until they are used up
    for (int64_t r0 = 0; r0 < rows; r0 += SUPER)
        for (int64_t c0 = 0; c0 < columns; c0 += SUPER) {
            int64_t r1 = r0 + SUPER < rows ? r0 + SUPER : rows, c1 = c0 + SUPER < columns ? c0 + SUPER : columns;
            for (int64_t c = c0; c < c1;) {
                int64_t r = r0, width = c1 - c >= B ? B : c1 - c >= 4 ? 4 : 1;
                if (width == B) {
                    transpose_strip((r1 - r) / B, src + r * src_row + c, src_row, dst + c * dst_row + r, dst_row, add);
                    r += (r1 - r) / B * B;
                }
                if (width >= 4)
                    for (; r + 4 <= r1; r += 4)
                        for (int64_t h = 0; h < width; h += 4)
                            transpose_4x4(src + r * src_row + c + h, src_row, dst + (c + h) * dst_row + r, dst_row, add);
                for (; r < r1; r++)
                    for (int64_t h = c; h < c + width; h++)
                        dst[h * dst_row + r] = src[r * src_row + h] + (add ? dst[h * dst_row + r] : 0.0f);
                c += width;
            }
        }
}
