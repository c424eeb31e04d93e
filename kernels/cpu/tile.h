// The register-blocked product under product.c:  C[m, n] = init + Σ_k A(m, k)·B[k, n].
//
// B is row-major and read as vectors along n; A is read one element at a time and broadcast, through a stride along m and
// one along k, so that one kernel serves x Wᵀ (A = x), dz W (A = dz) and dzᵀ x (A = dzᵀ). The sum may have several parts, each
// with its own origins of A and B: the rows of a convolution's kernel, read where they lie in the image.
// A tile is some rows by some vectors, all of it in registers: up to 24 accumulators of AVX-512's 32, 12 of the 16 of AVX2 and
// SSE2, and 8 of them at least where there is the work, for that is what two FMA pipes of four cycles each have in flight.
// Determinism: an element of C is one chain of FMAs over the parts and k in ascending order, whatever tile it lies in.
// Never reads past the n columns of B and C: the last vector of a narrow tile is masked.
#ifndef MANTA_KERNELS_CPU_TILE_H
#define MANTA_KERNELS_CPU_TILE_H

#include "kernels/cpu/product.h"
#include "kernels/cpu/tile_lanes.h"

// NV_MAX vectors make a whole tile; a single row alone (MT_FLAT) goes on to FLAT_MAX. TILE_ROWS: of the narrowest.
#if defined(MT_ISA_AVX512)
enum { TILE_ROWS = 12, NV_MAX = 4, FLAT_MAX = 16, SUMS_MAX = 24 };
#else
enum { TILE_ROWS = 12, NV_MAX = 2, FLAT_MAX = 8, SUMS_MAX = 12 };
#endif
enum { TILE_COLUMNS = NV_MAX * VF, WHOLE_ROWS = 6, FLAT_COLUMNS = FLAT_MAX * VF };

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

typedef vf tile_sums[SUMS_MAX];   // row i, vector j: i·nv + j

MT_INLINE void tile_begin(const int rows, const int nv, const int masked, const lanes tail, const float *init,
    int64_t init_row, tile_sums acc) {
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) {
            acc[i * nv + j] = vf_set(0.0f);
            if (!init) continue;
            const float *p = init + i * init_row + j * VF;
            acc[i * nv + j] = masked && j == nv - 1 ? lanes_load(p, tail) : vf_load(p);
        }
}

// a[r]: row 3r's element; the two rows after it lie a_row and 2·a_row further, which needs no register of its own
enum { A_POINTERS = TILE_ROWS / 3 };
MT_INLINE void tile_step(const int rows, const int nv, const int masked, const lanes tail, const float *const *a, int64_t a_row,
    const float *b, tile_sums acc) {
    vf column[FLAT_MAX];
#pragma GCC unroll 16
    for (int j = 0; j < nv; j++) column[j] = masked && j == nv - 1 ? lanes_load(b + j * VF, tail) : vf_load(b + j * VF);
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
        vf x = vf_set(a[i / 3][i % 3 * a_row]);
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) acc[i * nv + j] = vf_fma(x, column[j], acc[i * nv + j]);
    }
}

MT_INLINE void tile_end(const int rows, const int nv, const int masked, const lanes tail, float *c, int64_t c_row,
    tile_sums acc) {
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) {
            float *p = c + i * c_row + j * VF;
            if (masked && j == nv - 1) lanes_store(p, acc[i * nv + j], tail);
            else vf_store(p, acc[i * nv + j]);
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

// relu and its slope cost too little for a kernel of their own: they are applied to any tile's sums
MT_INLINE void tile_relu(const int rows, const int nv, const int masked, const lanes tail, const float *y, int64_t c_row,
    tile_sums acc) {
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) {
            vf *z = &acc[i * nv + j];
            if (!y) {
                *z = vf_activate(MT_ACT_relu, *z);
                continue;
            }
            const float *p = y + i * c_row + j * VF;
            *z = vf_activate_backward(MT_ACT_relu, masked && j == nv - 1 ? lanes_load(p, tail) : vf_load(p), *z, *z);
        }
}

// rows, nv, masked and finish are constants at every call: one kernel for each is made below
MT_INLINE void tile_run(const int rows, const int nv, const int masked, const tile_finish finish, const tile *t) {
    const lanes tail = lanes_first(masked ? t->tail : VF);
    const float *a_tile = t->a, *b_tile = t->b, *init = t->init, *pre = t->pre;
    float *c = t->c, *y = t->y;
    const int64_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step, c_row = t->c_row;
    const int64_t units = finish == STORE && t->ahead ? t->ahead->units : 0;
    const char *ahead = units ? t->ahead->at : NULL;
    for (int64_t count = t->count; count > 0; count--) {
        tile_sums acc;
        tile_begin(rows, nv, masked, tail, init, t->init_row, acc);
        for (int part = 0; part < (finish == STORE ? t->parts : 1); part++) {
            const tile_part at = finish == STORE ? t->part[part] : (tile_part){0, 0};
            const float *a[A_POINTERS], *b = b_tile + at.b;
            for (int r = 0; 3 * r < rows; r++) a[r] = a_tile + at.a + 3 * r * a_row;
            for (int64_t n = units; n > 0; n--, ahead += t->ahead->step)
#pragma GCC unroll 4
                for (int line = 0; line < AHEAD_BYTES / 64; line++) __builtin_prefetch(ahead + 64 * line, 0, 2);
            for (int64_t k = t->k; k > 0; k--, b += b_step) {
                tile_step(rows, nv, masked, tail, a, a_row, b, acc);
                for (int r = 0; 3 * r < rows; r++) a[r] += a_step;
            }
        }
#pragma GCC unroll 6
        for (int i = 0; finish != STORE && i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++) {
                vf *z = &acc[i * nv + j];
                *z = finish == TANH ? tanh_beside_sums(*z)
                                    : vf_activate_backward(MT_ACT_tanh, vf_load(y + i * c_row + j * VF), *z, *z);
            }
        if (finish == STORE && t->relu) tile_relu(rows, nv, masked, tail, t->after->backward ? y : NULL, c_row, acc);
        tile_end(rows, nv, masked, tail, c, c_row, acc);
        if (finish == STORE && t->after && !t->relu)
            epilogue_rows(t->after, rows, masked ? (nv - 1) * VF + t->tail : nv * VF, c_row, c, y, pre);
        a_tile += t->next_a;
        b_tile += t->next_b;
        c += t->next_c;
        if (init) init += t->next_init;
        if (t->after) y += t->next_c;
        if (pre) pre += t->next_c;
    }
    if (units) t->ahead->at = ahead;
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
        const float *a[A_POINTERS], *b = t->b;
        int64_t done = 0, at = 0;
        tile_begin(rows, NV_MAX, 0, all, init, t->init_row, acc);
        for (int r = 0; 3 * r < rows; r++) a[r] = a_tile + 3 * r * a_row;
        for (int64_t k = t->k; k > 0; k--, b += b_step) {
            tile_step(rows, NV_MAX, 0, all, a, a_row, b, acc);
            for (int r = 0; 3 * r < rows; r++) a[r] += a_step;
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
#define MT_FLAT(nv) static void tile_1_##nv(const tile *t) { tile_run(1, nv, 0, STORE, t); }
#define MT_TILE_SLOPE(rows)                                                                                            \
    static void tile_##rows##_slope(const tile *t) { tile_run(rows, NV_MAX, 0, TANH_SLOPE, t); }
#define MT_TILE_TANH(rows)                                                                                             \
    static void tile_##rows##_tanh(const tile *t) { tile_run(rows, NV_MAX, 0, TANH, t); }
#define MT_TILE_OVERLAPPED(rows)                                                                                       \
    static void tile_##rows##_overlapped(const tile *t) { tile_run_overlapped(rows, t); }
#define MT_TILES_6(nv)  MT_TILE(1, nv) MT_TILE(2, nv) MT_TILE(3, nv) MT_TILE(4, nv) MT_TILE(5, nv) MT_TILE(6, nv)
#define MT_TILES_8(nv)  MT_TILES_6(nv) MT_TILE(7, nv) MT_TILE(8, nv)
#define MT_TILES_12(nv) MT_TILES_8(nv) MT_TILE(9, nv) MT_TILE(10, nv) MT_TILE(11, nv) MT_TILE(12, nv)
#define MT_NAMES_6(nv, m)  tile_1_##nv##m, tile_2_##nv##m, tile_3_##nv##m, tile_4_##nv##m, tile_5_##nv##m, tile_6_##nv##m
#define MT_NAMES_8(nv, m)  MT_NAMES_6(nv, m), tile_7_##nv##m, tile_8_##nv##m
#define MT_NAMES_12(nv, m) MT_NAMES_8(nv, m), tile_9_##nv##m, tile_10_##nv##m, tile_11_##nv##m, tile_12_##nv##m
MT_TILES_12(1)
MT_TILE_SLOPE(1) MT_TILE_SLOPE(2) MT_TILE_SLOPE(3) MT_TILE_SLOPE(4) MT_TILE_SLOPE(5) MT_TILE_SLOPE(6)
MT_TILE_TANH(1) MT_TILE_TANH(2) MT_TILE_TANH(3) MT_TILE_TANH(4)
#if defined(MT_ISA_AVX512)
MT_TILES_12(2)
MT_TILES_8(3)
MT_TILES_6(4)
MT_FLAT(8) MT_FLAT(16)
MT_TILE_OVERLAPPED(4) MT_TILE_OVERLAPPED(5) MT_TILE_OVERLAPPED(6)
#else
MT_TILES_6(2)
MT_FLAT(4) MT_FLAT(8)
#endif

// [masked][vectors - 1][rows - 1]
static tile_fn *const tile_kernels[2][NV_MAX][TILE_ROWS] = {
#if defined(MT_ISA_AVX512)
    {{MT_NAMES_12(1, )}, {MT_NAMES_12(2, )}, {MT_NAMES_8(3, )}, {MT_NAMES_6(4, )}},
    {{MT_NAMES_12(1, _masked)}, {MT_NAMES_12(2, _masked)}, {MT_NAMES_8(3, _masked)}, {MT_NAMES_6(4, _masked)}},
#else
    {{MT_NAMES_12(1, )}, {MT_NAMES_6(2, )}},
    {{MT_NAMES_12(1, _masked)}, {MT_NAMES_6(2, _masked)}},
#endif
};

static const tile_part one_part = {0, 0};   // what a sum of one part has

// A forward tanh over few inputs (the first layer of a network) has its tanh in the registers of tiles of 4 rows: 62
// cycles a row for 4 → 64, where 6 rows that are stored and read again take 67.
enum { SHORT_K = 32, SHORT_ROWS = 4 };
// The height of tiles of so many columns.
MT_INLINE int tile_rows_max(const tile *t, int64_t k, int columns) {
    if (k < SHORT_K && t->after && t->after->act == MT_ACT_tanh && !t->after->backward) return SHORT_ROWS;
    return columns > 3 * VF ? 6 : columns > 2 * VF ? 8 : columns > VF ? SUMS_MAX / 2 : TILE_ROWS;
}

static tile_fn *tile_choose(int rows, int columns, const tile *t) {
    static tile_fn *const slopes[WHOLE_ROWS] = {
        tile_1_slope, tile_2_slope, tile_3_slope, tile_4_slope, tile_5_slope, tile_6_slope};
    static tile_fn *const tanhs[SHORT_ROWS] = {tile_1_tanh, tile_2_tanh, tile_3_tanh, tile_4_tanh};
#if defined(MT_ISA_AVX512)
    if (columns > TILE_COLUMNS) return columns > 8 * VF ? tile_1_16 : tile_1_8;
#else
    if (columns > TILE_COLUMNS) return columns > 4 * VF ? tile_1_8 : tile_1_4;
#endif
    if (columns == TILE_COLUMNS && t->after && t->after->act == MT_ACT_tanh && t->part == &one_part) {
        if (t->after->backward) return slopes[rows - 1];
        if (rows <= SHORT_ROWS && t->c == t->y && (t->k < SHORT_K || t->count == 1)) return tanhs[rows - 1];
#if defined(MT_ISA_AVX512)
        static tile_fn *const overlapped[WHOLE_ROWS] = {NULL, NULL, NULL, tile_4_overlapped, tile_5_overlapped, tile_6_overlapped};
        if (rows >= 4 && t->count > 1 && t->k >= SHORT_K) return overlapped[rows - 1];
#endif
    }
    int nv = (columns + VF - 1) / VF;
    return tile_kernels[columns % VF != 0][nv - 1][rows - 1];
}

#endif
