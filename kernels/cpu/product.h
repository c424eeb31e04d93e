// The matrix product under dense.c, conv2d.c and rnn.c, in tiles (tile.h) and cache blocks (product.c), and the two
// helpers that go with it. Pure and deterministic: an element of C is one chain of FMAs over k in ascending order, whatever the
// other rows and columns of the call.
#ifndef MANTA_KERNELS_CPU_PRODUCT_H
#define MANTA_KERNELS_CPU_PRODUCT_H

#include "kernels/cpu/isa.h"
#include "kernels/kernels.h"

// What will be wanted soon: each part of each tile asks for some units of it, on its way. For memory whose rows are too short or
// too far apart for the caches' own foresight.
enum { AHEAD_BYTES = 256 };      // of a unit
typedef struct tile_ahead {
    const char *at;              // moves on
    int64_t units, step;         // of a part; bytes from one to the next
} tile_ahead;

// Where one part of the sums begins, added to the origins of A and B.
typedef struct tile_part {
    int64_t a, b;
} tile_part;

// One call: `count` tiles one under the other or side by side.
typedef struct tile {
    int64_t count, k;
    const float *a;              // A(i, k) = a[i·a_row + k·a_step]
    int64_t a_row, a_step;
    const float *b;              // B[k, n] = b[k·b_step + n]
    int64_t b_step;
    const tile_part *part;       // (parts): each of k steps. Nullable: one at the origins
    int parts;
    const float *init;           // what the sums start from: init[i·init_row + n]; init_row 0 = a bias. Nullable: zeros
    int64_t init_row;
    float *c;                    // C[i, n] = c[i·c_row + n]; may be init
    int64_t c_row;
    int64_t next_a, next_b, next_init, next_c;   // from one tile's origins to the next one's
    int tail;                    // valid lanes of the last vector (masked tiles only)
    const struct epilogue *after;  // what is done to each tile once its sums are complete. Nullable
    float *y;                    // the epilogue's other array, same strides as C
    const float *pre;            // Nullable
    tile_ahead *ahead;           // Nullable
    int relu;                    // `after` is relu, or its slope, on the way to C
} tile;

typedef struct epilogue {
    mt_activation act;
    int backward;                // 0: y = act(c)   1: c = c ∘ act'(y), from y and pre
} epilogue;

// C (m, n) = init + A (m, k)·B (k, n)
typedef struct product {
    int64_t m, n, k;
    tile t;                      // of the whole product; count, k, next_.., tail, relu and the origins are set block by block
} product;

#define product_run   MT_ISA_NAME(mt_product_run)
#define product_strip MT_ISA_NAME(mt_product_strip)
#define product_sums  MT_ISA_NAME(mt_product_sums)
#define product_strip_tiles MT_ISA_NAME(mt_product_strip_tiles)
#define column_sums   MT_ISA_NAME(mt_column_sums)
#define transpose     MT_ISA_NAME(mt_transpose)

// In blocks over m and, where there is one part, over k: for operands larger than the caches.
void product_run(const product *p);
// All of k at once, `copies` times, A and C each time so much further: for tiles whose operands the caller keeps in a cache.
typedef struct strip_copies {
    int64_t count, next_a, next_c;
} strip_copies;
void product_strip(const product *p, const strip_copies *copies);
int64_t product_strip_tiles(const product *p);   // of one copy
double product_sums(const product *p, int64_t m);   // vectors of sums that a tile has, on average, if there are m rows
// sum[c] (+)= Σ_rows x[row, c]
void column_sums(int64_t rows, int columns, const float *x, float *sum, int accumulate);
// dst (columns, rows) (+)= srcᵀ, src (rows, columns); rows src_row and dst_row floats apart
void transpose(int64_t rows, int64_t columns, const float *src, int64_t src_row, float *dst, int64_t dst_row, int add);

#endif
