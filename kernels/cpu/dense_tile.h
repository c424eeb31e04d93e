// The register-blocked product under product.c:  C[m, n] = init + Σ_k A(m, k)·B[k, n].
//
// B is row-major and read as vectors along n; A is read one element at a time and broadcast, through a stride along m and
// one along k, so that one kernel serves x Wᵀ (A = x), dz W (A = dz) and dzᵀ x (A = dzᵀ). A tile is up to 6 rows by
// NV_MAX vectors, all of it in registers: 24 accumulators of AVX-512's 32, 12 of the 16 of AVX2 and SSE2.
// Determinism: an element of C is one chain of FMAs over k in ascending order, whatever tile it lies in.
// Never reads past the n columns of B and C: the last vector of a narrow tile is masked.
#ifndef MANTA_KERNELS_CPU_DENSE_TILE_H
#define MANTA_KERNELS_CPU_DENSE_TILE_H

#include "kernels/cpu/product.h"
#include "kernels/cpu/tile_lanes.h"

#if defined(MT_ISA_AVX512)
enum { TILE_ROWS = 6, NV_MAX = 4 };
#else
enum { TILE_ROWS = 6, NV_MAX = 2 };
#endif
enum { TILE_COLUMNS = NV_MAX * VF };

static __attribute__((noinline)) void epilogue_rows(const epilogue *e, int rows, int columns, int64_t stride, float *c,
    float *y, const float *pre) {
    int64_t run = columns;
    if (columns == stride) run = (int64_t)columns * rows, rows = 1;   // a tile as wide as the array is one run
    for (int r = 0; r < rows; r++, c += stride, y += stride, pre = pre ? pre + stride : NULL) {
        switch (e->act) {
#define MT_X(name)                                                                                                     \
    case MT_ACT_##name:                                                                                                \
        if (e->backward) activate_backward_loop(MT_ACT_##name, run, y, pre, c, c);                                     \
        else activate_loop(MT_ACT_##name, run, c, y);                                                                  \
        break;
            MT_ACTIVATION_LIST(MT_X)
#undef MT_X
        case MT_ACT_COUNT: break;
        }
    }
}

typedef vf tile_sums[TILE_ROWS][NV_MAX];

MT_INLINE void tile_begin(const int rows, const int nv, const int masked, const lanes tail, const float *init,
    int64_t init_row, tile_sums acc) {
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            acc[i][j] = vf_set(0.0f);
            if (!init) continue;
            const float *p = init + i * init_row + j * VF;
            acc[i][j] = masked && j == nv - 1 ? lanes_load(p, tail) : vf_load(p);
        }
}

MT_INLINE void tile_step(const int rows, const int nv, const int masked, const lanes tail, const float *a, int64_t a_row,
    const float *b, tile_sums acc) {
    vf column[NV_MAX];
#pragma GCC unroll 4
    for (int j = 0; j < nv; j++) column[j] = masked && j == nv - 1 ? lanes_load(b + j * VF, tail) : vf_load(b + j * VF);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        vf x = vf_set(a[i * a_row]);
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) acc[i][j] = vf_fma(x, column[j], acc[i][j]);
    }
}

MT_INLINE void tile_end(const int rows, const int nv, const int masked, const lanes tail, float *c, int64_t c_row,
    tile_sums acc) {
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            float *p = c + i * c_row + j * VF;
            if (masked && j == nv - 1) lanes_store(p, acc[i][j], tail);
            else vf_store(p, acc[i][j]);
        }
}

// What a tile does with its sums, whole and unmasked, before they are stored.
typedef enum tile_finish {
    STORE,                       // nothing; `after`, if any, is applied to what was stored
    TANH,                        // the forward epilogue of tanh, where C is y and there is no `pre` to keep
    TANH_SLOPE                   // the backward one: dx of 64 → 2 spends its time in stores
} tile_finish;

// tanh where the sums hold the registers: the table is read from memory each time
MT_INLINE vf tanh_beside_sums(vf z) {
#if defined(MT_ISA_AVX512)
    const float(*table)[32] = tanh_table;
    __asm__("" : "+r"(table));   // not a constant, says this, so that it is not hoisted into registers that are not there
    return vf_tanh_from(table, z);
#else
    return vf_tanh(z);
#endif
}

// rows, nv, masked and finish are constants at every call: one kernel for each is made below
MT_INLINE void tile_run(const int rows, const int nv, const int masked, const tile_finish finish, const tile *t) {
    const lanes tail = lanes_first(masked ? t->tail : VF);
    const float *a_tile = t->a, *init = t->init, *pre = t->pre;
    float *c = t->c, *y = t->y;
    const int64_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step, c_row = t->c_row;
    for (int64_t count = t->count; count > 0; count--) {
        tile_sums acc;
        const float *a = a_tile, *b = t->b;
        tile_begin(rows, nv, masked, tail, init, t->init_row, acc);
        for (int64_t k = t->k; k > 0; k--, a += a_step, b += b_step) tile_step(rows, nv, masked, tail, a, a_row, b, acc);
#pragma GCC unroll 6
        for (int i = 0; finish != STORE && i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++)
                acc[i][j] = finish == TANH ? tanh_beside_sums(acc[i][j])
                                           : vf_activate_backward(MT_ACT_tanh, vf_load(y + i * c_row + j * VF), acc[i][j], acc[i][j]);
        tile_end(rows, nv, masked, tail, c, c_row, acc);
        if (t->after && finish == STORE) epilogue_rows(t->after, rows, masked ? (nv - 1) * VF + t->tail : nv * VF, c_row, c, y, pre);
        a_tile += rows * a_row;
        c += rows * c_row;
        if (init) init += rows * t->init_row;
        if (t->after) y += rows * c_row;
        if (pre) pre += rows * c_row;
    }
}

#if defined(MT_ISA_AVX512)
// The whole-width tile followed by tanh, the pair that small networks live on. The tanh of one tile is computed between the
// products of the next, a vector every second step of k, which fills the permute and add pipes while the FMA pipes are
// busy: 64 → 64 takes 1755 cycles a tile of 6 rows instead of 1840, of which 1536 are FMAs. Same operations, same bits as
// tile_run. One loop and one place for the tanh: written otherwise, GCC 12 spills sums.
static __attribute__((noinline)) void tanh_vectors(int64_t from, int64_t to, int64_t row, const float *z, float *y) {
    for (int64_t v = from; v < to; v++) {
        int64_t at = v / NV_MAX * row + v % NV_MAX * VF;
        vf_store(y + at, vf_tanh(vf_load(z + at)));
    }
}
MT_INLINE void tile_run_overlapped(const int rows, const tile *t) {
    const lanes all = lanes_first(VF);
    const float *a_tile = t->a, *init = t->init, *z = t->c;
    float *c = t->c, *y = t->y;
    const int64_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step, c_row = t->c_row;
    int64_t waiting = 0;         // vectors stored from z on whose tanh is not yet at y
    for (int64_t count = t->count; count > 0; count--) {
        tile_sums acc;
        const float *a = a_tile, *b = t->b;
        int64_t done = 0, at = 0;
        tile_begin(rows, NV_MAX, 0, all, init, t->init_row, acc);
        for (int64_t k = t->k; k > 0; k--, a += a_step, b += b_step) {
            tile_step(rows, NV_MAX, 0, all, a, a_row, b, acc);
            if ((k & 1) || done == waiting) continue;
            vf_store(y + at, tanh_beside_sums(vf_load(z + at)));
            done++;
            at += done % NV_MAX ? VF : c_row - (NV_MAX - 1) * VF;
        }
        tile_end(rows, NV_MAX, 0, all, c, c_row, acc);
        if (done < waiting) tanh_vectors(done, waiting, c_row, z, y);
        if (waiting) y += rows * c_row;
        z = c;
        waiting = rows * NV_MAX;
        a_tile += rows * a_row;
        c += rows * c_row;
        if (init) init += rows * t->init_row;
    }
    tanh_vectors(0, waiting, c_row, z, y);
}
#endif

typedef void tile_fn(const tile *t);
#define MT_TILE(rows, nv)                                                                                              \
    static void tile_##rows##_##nv(const tile *t) { tile_run(rows, nv, 0, STORE, t); }                                 \
    static void tile_##rows##_##nv##_masked(const tile *t) { tile_run(rows, nv, 1, STORE, t); }
#define MT_TILE_SLOPE(rows)                                                                                            \
    static void tile_##rows##_slope(const tile *t) { tile_run(rows, NV_MAX, 0, TANH_SLOPE, t); }
#define MT_TILE_TANH(rows)                                                                                             \
    static void tile_##rows##_tanh(const tile *t) { tile_run(rows, NV_MAX, 0, TANH, t); }
#define MT_TILE_OVERLAPPED(rows)                                                                                       \
    static void tile_##rows##_overlapped(const tile *t) { tile_run_overlapped(rows, t); }
#define MT_TILE_ROW(nv) MT_TILE(1, nv) MT_TILE(2, nv) MT_TILE(3, nv) MT_TILE(4, nv) MT_TILE(5, nv) MT_TILE(6, nv)
#define MT_TILE_NAMES(nv, m)                                                                                           \
    {tile_1_##nv##m, tile_2_##nv##m, tile_3_##nv##m, tile_4_##nv##m, tile_5_##nv##m, tile_6_##nv##m}
MT_TILE_ROW(1)
MT_TILE_ROW(2)
MT_TILE_SLOPE(1) MT_TILE_SLOPE(2) MT_TILE_SLOPE(3) MT_TILE_SLOPE(4) MT_TILE_SLOPE(5) MT_TILE_SLOPE(6)
MT_TILE_TANH(1) MT_TILE_TANH(2) MT_TILE_TANH(3) MT_TILE_TANH(4)
#if defined(MT_ISA_AVX512)
MT_TILE_ROW(3)
MT_TILE_ROW(4)
MT_TILE_OVERLAPPED(4) MT_TILE_OVERLAPPED(5) MT_TILE_OVERLAPPED(6)
#endif

// [masked][vectors - 1][rows - 1]
static tile_fn *const tile_kernels[2][NV_MAX][TILE_ROWS] = {
#if defined(MT_ISA_AVX512)
    {MT_TILE_NAMES(1, ), MT_TILE_NAMES(2, ), MT_TILE_NAMES(3, ), MT_TILE_NAMES(4, )},
    {MT_TILE_NAMES(1, _masked), MT_TILE_NAMES(2, _masked), MT_TILE_NAMES(3, _masked), MT_TILE_NAMES(4, _masked)},
#else
    {MT_TILE_NAMES(1, ), MT_TILE_NAMES(2, )},
    {MT_TILE_NAMES(1, _masked), MT_TILE_NAMES(2, _masked)},
#endif
};

// A forward tanh over few inputs (the first layer of a network) has its tanh in the registers of tiles of 4 rows: 62
// cycles a row for 4 → 64, where 6 rows that are stored and read again take 67.
enum { SHORT_K = 32, SHORT_ROWS = 4 };
MT_INLINE int tile_rows_max(const tile *t, int64_t k) {
    return k < SHORT_K && t->after && t->after->act == MT_ACT_tanh && !t->after->backward ? SHORT_ROWS : TILE_ROWS;
}

static tile_fn *tile_choose(int rows, int columns, const tile *t) {
    static tile_fn *const slopes[TILE_ROWS] = {
        tile_1_slope, tile_2_slope, tile_3_slope, tile_4_slope, tile_5_slope, tile_6_slope};
    static tile_fn *const tanhs[SHORT_ROWS] = {tile_1_tanh, tile_2_tanh, tile_3_tanh, tile_4_tanh};
    if (columns == TILE_COLUMNS && t->after && t->after->act == MT_ACT_tanh) {
        if (t->after->backward) return slopes[rows - 1];
        if (rows <= SHORT_ROWS && t->c == t->y && (t->k < SHORT_K || t->count == 1)) return tanhs[rows - 1];
#if defined(MT_ISA_AVX512)
        static tile_fn *const overlapped[TILE_ROWS] = {NULL, NULL, NULL, tile_4_overlapped, tile_5_overlapped, tile_6_overlapped};
        if (rows >= 4 && t->count > 1 && t->k >= SHORT_K) return overlapped[rows - 1];
#endif
    }
    int nv = (columns + VF - 1) / VF;
    return tile_kernels[columns % VF != 0][nv - 1][rows - 1];
}

// ---- transpose: dst[c·dst_row + r] (+)= src[r·src_row + c], in blocks of 8×8 (AVX) and 4×4
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

#endif
