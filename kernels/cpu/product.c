// product.h: the cache blocks over the tiles of tile.h, and sums over rows.
// Bytes moved: A, B and C once each while a block of A and a column block of B fit L2.
#include "kernels/cpu/product.h"

#include "kernels/cpu/tile.h"

// A block of A (M_BLOCK × K_BLOCK, 240 KiB) and a column block of B (K_BLOCK × TILE_COLUMNS, 64 KiB) stay in L2 while they
// are used. Blocks change nothing in the order of a sum.
enum { K_BLOCK = 256, M_BLOCK = 240 };

// `count` tiles of `rows` rows from row `from` on, columns n .. n + columns, `steps` steps from k on
static void product_tiles(product *p, int64_t from, int64_t count, int rows, int64_t n, int columns, int64_t k,
    int64_t steps) {
    tile t = p->t;
    int64_t at = from * t.c_row + n;
    t.count = count;
    t.k = steps;
    t.tail = (columns - 1) % VF + 1;
    if (!t.part) t.part = &one_part, t.parts = 1;
    t.a += from * t.a_row + k * t.a_step;
    t.b += k * t.b_step + n;
    if (k > 0) t.init = t.c, t.init_row = t.c_row;   // the sums so far
    if (t.init) t.init += from * t.init_row + n;
    t.c += at;
    if (k + t.k < p->k) t.after = NULL;
    if (t.after) t.y += at, t.relu = t.after->act == MT_ACT_relu && (t.after->backward || t.c == t.y);
    if (t.pre) t.pre += at;
    tile_choose(rows, columns, &t)(&t);
    if (t.ahead_lines) p->t.ahead += count * t.parts * t.ahead_lines * 64;
}

// a row by itself has the latency of its sums to hide: as many vectors side by side as there are
static int flat_columns(int64_t left) {
    return left >= FLAT_COLUMNS ? FLAT_COLUMNS : left >= FLAT_COLUMNS / 2 ? FLAT_COLUMNS / 2 : TILE_COLUMNS;
}

static void product_rows(product *p, int64_t from, int64_t rows, int64_t k, int64_t steps) {
    for (int64_t n = 0, width; n < p->n; n += width) {
        width = rows == 1 ? flat_columns(p->n - n) : TILE_COLUMNS;
        int columns = (int)(p->n - n < width ? p->n - n : width);
        // tiles of even height rather than 6, 6, ..., 1: a tile of one row would wait on its own sums
        int64_t rows_max = tile_rows_max(&p->t, p->k, columns), tiles = (rows + rows_max - 1) / rows_max;
        int64_t height = rows / tiles, taller = rows % tiles;
        if (taller) product_tiles(p, from, taller, (int)height + 1, n, columns, k, steps);
        product_tiles(p, from + taller * (height + 1), tiles - taller, (int)height, n, columns, k, steps);
    }
}

void product_run(const product *all) {
    product p[1] = {*all};
    int64_t k = 0;
    do {   // once for k = 0 too: C is its init then
        int64_t steps = p->k - k < K_BLOCK || p->t.part ? p->k - k : K_BLOCK;
        for (int64_t m = 0; m < p->m; m += M_BLOCK) product_rows(p, m, p->m - m < M_BLOCK ? p->m - m : M_BLOCK, k, steps);
        k += steps > 0 ? steps : 1;
    } while (k < p->k);
}

void product_strip(const product *all) {
    product p = *all;
    product_rows(&p, 0, p.m, 0, p.k);
}

double product_sums(const product *p, int64_t m) {
    if (m == 0) return 0;
    int columns = p->n < TILE_COLUMNS ? (int)p->n : TILE_COLUMNS, rows_max = tile_rows_max(&p->t, p->k, columns);
    int64_t vectors = (columns + VF - 1) / VF, tiles = (m + rows_max - 1) / rows_max;
    return (double)(m * vectors) / (double)tiles;
}

int64_t product_strip_tiles(const product *p) {
    int64_t tiles = 0;
    for (int64_t n = 0, width; n < p->n; n += width) {
        width = p->m == 1 ? flat_columns(p->n - n) : TILE_COLUMNS;
        int columns = (int)(p->n - n < width ? p->n - n : width), rows_max = tile_rows_max(&p->t, p->k, columns);
        tiles += (p->m + rows_max - 1) / rows_max;
    }
    return tiles;
}

// The product of a row of ones and x, as many rows side by side as make a flat tile, whose sums are then added up.
void column_sums(int64_t rows, int columns, const float *x, float *sum, int accumulate) {
    static const float one = 1.0f;
    float wide[FLAT_COLUMNS] __attribute__((aligned(64)));
    int64_t beside = FLAT_COLUMNS / columns < rows ? FLAT_COLUMNS / columns : rows;
    if (beside < 2) {
        product p = {.m = 1, .n = columns, .k = rows,
            .t = {.a = &one, .b = x, .b_step = columns, .c = sum, .init = accumulate ? sum : NULL}};
        product_run(&p);
        return;
    }
    int64_t width = beside * columns, deep = rows / beside;
    product p = {.m = 1, .n = width, .k = deep, .t = {.a = &one, .b = x, .b_step = width, .c = wide}};
    product_run(&p);
    for (int c = 0; c < columns; c += VF) {
        const int n = columns - c < VF ? columns - c : VF;
        const lanes use = lanes_first(n);
        vf total = accumulate ? lanes_load(sum + c, use) : vf_set(0.0f);
        for (int64_t i = 0; i < beside; i++) total += lanes_load(wide + i * columns + c, use);
        for (int64_t r = deep * beside; r < rows; r++) total += lanes_load(x + r * columns + c, use);
        lanes_store(sum + c, total, use);
    }
}
