// transpose() of product.h: the turning of matrices under every pack and gradient. 8 bytes moved an element.
#include "kernels/cpu/activate.h"
#include "kernels/cpu/product.h"

// ---- dst[c·dst_row + r] (+)= src[r·src_row + c], in blocks of 16×16 (AVX-512), 8×8 (AVX2) and 4×4
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

#if defined(MT_ISA_AVX512)
// A 4×4 block to each quarter of a register: of 16×16, 48 loads under a mask, which any pipe merges, and 32 shuffles, which
// two of four pipes take; four blocks of 8×8 take 96 shuffles and insertions. Of a training run of 64×64 layers, whose
// matrices come from L2, all turning takes 7 % less time.
enum { TRANSPOSE_BLOCK = 16 };
MT_INLINE __m512 four_rows(const float *src, int64_t row) {
    __m512 v = _mm512_broadcast_f32x4(_mm_loadu_ps(src));
    v = _mm512_mask_broadcast_f32x4(v, 0x00f0, _mm_loadu_ps(src + 4 * row));
    v = _mm512_mask_broadcast_f32x4(v, 0x0f00, _mm_loadu_ps(src + 8 * row));
    return _mm512_mask_broadcast_f32x4(v, 0xf000, _mm_loadu_ps(src + 12 * row));
}
MT_INLINE void store_or_add(float *p, __m512 v, int add) { _mm512_storeu_ps(p, add ? _mm512_add_ps(_mm512_loadu_ps(p), v) : v); }
MT_INLINE void transpose_16x4(const float *src, int64_t src_row, float *dst, int64_t dst_row, int add) {
    // rows r, r + 4, r + 8 and r + 12 side by side
    __m512 v[4], u[4];
    for (int r = 0; r < 4; r++) v[r] = four_rows(src + r * src_row, src_row);
    u[0] = _mm512_unpacklo_ps(v[0], v[1]), u[1] = _mm512_unpackhi_ps(v[0], v[1]);
    u[2] = _mm512_unpacklo_ps(v[2], v[3]), u[3] = _mm512_unpackhi_ps(v[2], v[3]);
    store_or_add(dst, _mm512_shuffle_ps(u[0], u[2], 0x44), add);
    store_or_add(dst + dst_row, _mm512_shuffle_ps(u[0], u[2], 0xee), add);
    store_or_add(dst + 2 * dst_row, _mm512_shuffle_ps(u[1], u[3], 0x44), add);
    store_or_add(dst + 3 * dst_row, _mm512_shuffle_ps(u[1], u[3], 0xee), add);
}
MT_INLINE void transpose_block(const float *src, int64_t src_row, float *dst, int64_t dst_row, int add) {
    for (int c = 0; c < TRANSPOSE_BLOCK; c += 4) transpose_16x4(src + c, src_row, dst + c * dst_row, dst_row, add);
}
#elif defined(MT_ISA_AVX2)
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

// fewer rows or columns than a block has: heads, the last ones
MT_INLINE void transpose_thin(int64_t rows, int64_t columns, const float *src, int64_t src_row, float *dst, int64_t dst_row, int add) {
    if (rows == 1 && dst_row == 1 && !add) {
        memcpy(dst, src, sizeof *dst * (size_t)columns);
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        if (add)
            for (int64_t c = 0; c < columns; c++) dst[c * dst_row + r] += src[r * src_row + c];
        else
            for (int64_t c = 0; c < columns; c++) dst[c * dst_row + r] = src[r * src_row + c];
}

void transpose(int64_t rows, int64_t columns, const float *src, int64_t src_row, float *dst, int64_t dst_row, int add) {
    enum { B = TRANSPOSE_BLOCK, SUPER = 64 };   // 64×64: both sides' lines stay in L1 until they are used up
    if (rows < 4) {
        transpose_thin(rows, columns, src, src_row, dst, dst_row, add);
        return;
    }
    for (int64_t r0 = 0; r0 < rows; r0 += SUPER)
        for (int64_t c0 = 0; c0 < columns; c0 += SUPER) {
            int64_t r1 = r0 + SUPER < rows ? r0 + SUPER : rows, c1 = c0 + SUPER < columns ? c0 + SUPER : columns;
            for (int64_t c = c0; c < c1;) {
                int64_t r = r0, width = c1 - c >= B ? B : c1 - c >= 4 ? 4 : 1;
                if (width == B) {
                    transpose_strip((r1 - r) / B, src + r * src_row + c, src_row, dst + c * dst_row + r, dst_row, add);
                    r += (r1 - r) / B * B;
                }
#if defined(MT_ISA_AVX512)
                if (width == 4)
                    for (; r + B <= r1; r += B) transpose_16x4(src + r * src_row + c, src_row, dst + c * dst_row + r, dst_row, add);
#endif
                if (width >= 4)
                    for (; r + 4 <= r1; r += 4)
                        for (int64_t h = 0; h < width; h += 4)
                            transpose_4x4(src + r * src_row + c + h, src_row, dst + (c + h) * dst_row + r, dst_row, add);
                if (r < r1) transpose_thin(r1 - r, width, src + r * src_row + c, src_row, dst + c * dst_row + r, dst_row, add);
                c += width;
            }
        }
}
