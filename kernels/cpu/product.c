// product.h: the cache blocks over the tiles of dense_tile.h, sums over rows, and the transpose.
// Bytes moved: A, B and C once each while a block of A and a column block of B fit L2.
#include "kernels/cpu/product.h"

#include "kernels/cpu/dense_tile.h"

// A block of A (M_BLOCK × K_BLOCK, 240 KiB) and a column block of B (K_BLOCK × TILE_COLUMNS, 64 KiB) stay in L2 while they
// are used. Blocks change nothing in the order of a sum.
enum { K_BLOCK = 256, M_BLOCK = 240 };

// `count` tiles of `rows` rows from row `from` on, columns n .. n + columns, K_BLOCK steps from k on
static void product_tiles(const product *p, int64_t from, int64_t count, int rows, int64_t n, int columns, int64_t k) {
    tile t = p->t;
    int64_t at = from * t.c_row + n;
    t.count = count;
    t.k = p->k - k < K_BLOCK ? p->k - k : K_BLOCK;
    t.tail = (columns - 1) % VF + 1;
    t.a += from * t.a_row + k * t.a_step;
    t.b += k * t.b_step + n;
    if (k > 0) t.init = t.c, t.init_row = t.c_row;   // the sums so far
    if (t.init) t.init += from * t.init_row + n;
    t.c += at;
    if (k + t.k < p->k) t.after = NULL;
    if (t.after) t.y += at;
    if (t.pre) t.pre += at;
    tile_choose(rows, columns, &t)(&t);
}

static void product_rows(const product *p, int64_t from, int64_t rows, int64_t k) {
    // tiles of even height rather than 6, 6, ..., 1: a tile of one row would wait on its own sums
    int64_t rows_max = tile_rows_max(&p->t, p->k), tiles = (rows + rows_max - 1) / rows_max;
    int64_t height = rows / tiles, taller = rows % tiles;
    for (int64_t n = 0; n < p->n; n += TILE_COLUMNS) {
        int columns = (int)(p->n - n < TILE_COLUMNS ? p->n - n : TILE_COLUMNS);
        if (taller) product_tiles(p, from, taller, (int)height + 1, n, columns, k);
        product_tiles(p, from + taller * (height + 1), tiles - taller, (int)height, n, columns, k);
    }
}

void product_run(const product *p) {
    int64_t k = 0;
    do {   // once for k = 0 too: C is its init then
        for (int64_t m = 0; m < p->m; m += M_BLOCK) product_rows(p, m, p->m - m < M_BLOCK ? p->m - m : M_BLOCK, k);
        k += K_BLOCK;
    } while (k < p->k);
}

// The product of a row of ones and x. Narrow rows are summed as they lie, VF/columns of them to a vector.
void column_sums(int64_t rows, int columns, const float *x, float *sum, int accumulate) {
    static const float one = 1.0f;
    if (columns >= VF || VF % columns) {
        product p = {.m = 1, .n = columns, .k = rows,
            .t = {.a = &one, .b = x, .b_step = columns, .c = sum, .init = accumulate ? sum : NULL}};
        product_run(&p);
        return;
    }
    float lane[VF];
    int64_t whole = rows * columns / VF;
    product p = {.m = 1, .n = VF, .k = whole, .t = {.a = &one, .b = x, .b_step = VF, .c = lane}};
    product_run(&p);
    for (int c = 0; c < columns; c++) {
        float total = accumulate ? sum[c] : 0.0f;
        for (int i = c; i < VF; i += columns) total += lane[i];
        for (int64_t i = whole * VF + c; i < rows * columns; i += columns) total += x[i];
        sum[c] = total;
    }
}

// ---- transpose

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
