// product.h: the cache blocks over the tiles of tile.h, and sums over rows.
// Bytes moved: A, B and C once each while a block of A and a column block of B fit L2.
#include "kernels/cpu/product.h"

#include "kernels/cpu/tile.h"

// A block of A (M_BLOCK × K_BLOCK, 240 KiB) and a column block of B (K_BLOCK × TILE_COLUMNS, 64 KiB) stay in L2 while they
// are used. Blocks change nothing in the order of a sum.
enum { K_BLOCK = 256, M_BLOCK = 240, EXPECT_ROWS = 12, EXPECT_FLOATS = 64 * 1024, ACROSS_FLOATS = 32 * 1024 };

// `count` tiles of `rows` rows, one under the other, or `across`, or each a copy further; from row `from` and columns
// n .. n + columns on; `steps` steps from k on
enum direction { DOWN, ACROSS, COPIES };
MT_INLINE void product_tiles(const product *p, int64_t from, int64_t count, int rows, int64_t n, int columns, int64_t k,
    int64_t steps, const enum direction direction, const strip_copies *copies, tile_ahead *ahead) {
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
    switch (direction) {
    case DOWN: t.next_a = rows * t.a_row, t.next_b = 0, t.next_c = rows * t.c_row, t.next_init = rows * t.init_row; break;
    case ACROSS: t.next_a = 0, t.next_b = t.next_c = t.next_init = columns; break;
    case COPIES:
        t.next_a = copies->next_a, t.next_b = 0, t.next_c = copies->next_c;
        t.next_init = t.init == t.c ? t.next_c : 0;   // a bias is the same for all
        break;
    }
    if (ahead) t.ahead = ahead;
    tile_choose(rows, columns, &t)(&t);
}

// a row by itself has the latency of its sums to hide: as many vectors side by side as there are
static int flat_columns(int64_t left) {
    return left >= FLAT_COLUMNS ? FLAT_COLUMNS : left >= FLAT_COLUMNS / 2 ? FLAT_COLUMNS / 2 : TILE_COLUMNS;
}

// the column block of B after this one, of as many rows, a share of which each of the `tiles` asks for
static tile_ahead next_block(const product *p, int64_t n, int64_t k, int64_t steps, int64_t tiles) {
    const int64_t next = n + TILE_COLUMNS < p->n ? n + TILE_COLUMNS : 0;
    if (next == 0) k += steps;
    return (tile_ahead){(const char *)(p->t.b + k * p->t.b_step + next), k < p->k ? (steps + tiles - 1) / tiles : 0,
        p->t.b_step * (int64_t)sizeof(float)};
}

static void product_rows(const product *p, int64_t from, int64_t rows, int64_t k, int64_t steps, int expect) {
    for (int64_t n = 0, width; n < p->n; n += width) {
        width = rows == 1 ? flat_columns(p->n - n) : TILE_COLUMNS;
        int columns = (int)(p->n - n < width ? p->n - n : width);
        // tiles of even height rather than 6, 6, ..., 1: a tile of one row would wait on its own sums
        int64_t rows_max = tile_rows_max(&p->t, p->k, columns), tiles = (rows + rows_max - 1) / rows_max;
        int64_t height = rows / tiles, taller = rows % tiles;
        tile_ahead block, *ahead = NULL;
        if (expect) block = next_block(p, n, k, steps, tiles), ahead = &block;
        if (taller) product_tiles(p, from, taller, (int)height + 1, n, columns, k, steps, DOWN, NULL, ahead);
        product_tiles(p, from + taller * (height + 1), tiles - taller, (int)height, n, columns, k, steps, DOWN, NULL, ahead);
    }
}

// C is large and its sums are short: each row of tiles is written from end to end, or as far as B's part stays in L2
static void product_across(const product *p) {
    const int64_t tiles = (p->m + WHOLE_ROWS - 1) / WHOLE_ROWS, height = p->m / tiles, taller = p->m % tiles;
    const int64_t width = ACROSS_FLOATS / (p->k + 1) / TILE_COLUMNS * TILE_COLUMNS;
    for (int64_t first = 0; first < p->n; first += width) {
        const int64_t end = p->n - first < width ? p->n : first + width, count = (end - first) / TILE_COLUMNS;
        const int64_t rest = first + count * TILE_COLUMNS;
        for (int64_t i = 0, from = 0; i < tiles; i++) {
            const int rows = (int)height + (i < taller);
            if (count) product_tiles(p, from, count, rows, first, TILE_COLUMNS, 0, p->k, ACROSS, NULL, NULL);
            if (rest < end) product_tiles(p, from, 1, rows, rest, (int)(end - rest), 0, p->k, ACROSS, NULL, NULL);
            from += rows;
        }
    }
}

static __attribute__((noinline)) void product_large(const product *p) {
    if (p->m > WHOLE_ROWS && p->m * p->n > ACROSS_FLOATS && p->n >= 4 * TILE_COLUMNS && 4 * TILE_COLUMNS * p->k < ACROSS_FLOATS &&
        !p->t.after && !p->t.part && !p->t.ahead) {
        product_across(p);
        return;
    }
    // B comes from beyond L2, and often enough
    const int expect = p->m >= EXPECT_ROWS && p->n >= TILE_COLUMNS && p->n * p->k > EXPECT_FLOATS && !p->t.part && !p->t.ahead;
    int64_t k = 0;
    do {
        int64_t steps = p->k - k < K_BLOCK || p->t.part ? p->k - k : K_BLOCK;
        for (int64_t m = 0; m < p->m; m += M_BLOCK) product_rows(p, m, p->m - m < M_BLOCK ? p->m - m : M_BLOCK, k, steps, expect);
        k += steps;
    } while (k < p->k);
}

void product_run(const product *p) {
    // all of it in one block; for k = 0 too, where C is its init
    if (p->m <= M_BLOCK && p->k <= K_BLOCK && p->n <= 4 * TILE_COLUMNS) {
        if (p->m) product_rows(p, 0, p->m, 0, p->k, 0);
    } else product_large(p);
}

void product_strip(const product *p, const strip_copies *copies) {
    for (int64_t n = 0, width; n < p->n; n += width) {
        width = p->m == 1 ? flat_columns(p->n - n) : TILE_COLUMNS;
        int columns = (int)(p->n - n < width ? p->n - n : width);
        int64_t rows_max = tile_rows_max(&p->t, p->k, columns), tiles = (p->m + rows_max - 1) / rows_max;
        int64_t height = p->m / tiles, taller = p->m % tiles;
        for (int64_t i = 0, from = 0; i < tiles; i++) {
            const int rows = (int)height + (i < taller);
            product_tiles(p, from, copies->count, rows, n, columns, 0, p->k, COPIES, copies, NULL);
            from += rows;
        }
    }
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

// The product of a row of ones and x, some rows side by side to make a flat tile, whose sums are then added up.
void column_sums(int64_t rows, int columns, const float *x, float *sum, int accumulate) {
    static const float one = 1.0f;
    float wide[FLAT_COLUMNS] __attribute__((aligned(64)));
    int64_t beside = 1;
    while (4 * beside * beside <= rows && 2 * beside * columns <= FLAT_COLUMNS) beside *= 2;
    if (beside == 1) {
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
