// Dense layers, forward and backward, with the activation fused.
//   forward    y = act(x Wᵀ + b)                                   2·B·I·O flop
//   backward   dw (+)= dzᵀ x,  db (+)= Σ_B dz,  dx = (dz W) ∘ act'(x)   4·B·I·O flop
// All three products go through the tiles of dense_tile.h; which form a product takes depends on I and O alone, never on
// B, so that a row of a forward result does not depend on its neighbours:
//   O ≤ VF/2 (policy and value heads)   forward as dot products along I, VF of them reduced together: no idle lanes
//   I narrow (the input layer)          dw is computed transposed, (I, O), on the stack, and turned on its way out
// The activation is applied to a tile while it is in registers or first-level cache (dense_tile.h).
//
// BLAS is not linked: in bench_kernels_dense (Zen 4, one core) forward and backward with bias and tanh take less time than
// OpenBLAS 0.3.21's three sgemm without either from 256×256 up, and 64×64 is within 7 % of it.
#include "kernels/cpu/dense_tile.h"
#include "kernels/cpu/ops.h"

// A block of A (M_BLOCK × K_BLOCK, 240 KiB) and a column block of B (K_BLOCK × TILE_COLUMNS, 64 KiB) stay in L2 while they
// are used. Blocks change nothing in the order of a sum.
enum { K_BLOCK = 256, M_BLOCK = 240 };

// ---- the product

typedef struct product {
    int64_t m, n, k;
    tile t;                      // of the whole product; count, k, tail and the origins are set block by block
} product;

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

static void product_run(const product *p) {
    int64_t k = 0;
    do {   // once for k = 0 too: C is its init then
        for (int64_t m = 0; m < p->m; m += M_BLOCK) product_rows(p, m, p->m - m < M_BLOCK ? p->m - m : M_BLOCK, k);
        k += K_BLOCK;
    } while (k < p->k);
}

// ---- forward as dot products: y's elements in memory order, VF at a time
// `out` is a constant at every call. A group is VF/out rows; where fewer are left, the last row is computed again and not
// stored, so that every row is summed by the same instructions.
MT_INLINE void dot_forward(const int out, const mt_dense_forward *a) {
    const int group = VF / out, in = a->in, whole = in / VF * VF;
    const lanes tail = lanes_first(in > whole ? in - whole : 1);
    float bias_lane[VF] = {0};
    for (int i = 0; a->bias && i < group * out; i++) bias_lane[i] = a->bias[i % out];
    const vf bias = vf_load(bias_lane);
    for (int64_t row = 0; row < a->rows; row += group) {
        int64_t rows = a->rows - row < group ? a->rows - row : group;
        const float *x[VF];
        for (int r = 0; r < group; r++) x[r] = a->x + (row + (r < rows ? r : rows - 1)) * in;
        vf sum[VF] = {};
        for (int i = 0; i < in; i += VF)
#pragma GCC unroll 16
            for (int r = 0; r < group; r++) {
                vf v = i < whole ? vf_load(x[r] + i) : lanes_load(x[r] + i, tail);
#pragma GCC unroll 16
                for (int o = 0; o < out; o++) {
                    const float *w = a->weight + (int64_t)o * in + i;
                    sum[r * out + o] = vf_fma(v, i < whole ? vf_load(w) : lanes_load(w, tail), sum[r * out + o]);
                }
            }
        vf z = vf_sum_each(sum) + bias;
        lanes used = lanes_first((int)rows * out);
        if (a->pre) lanes_store(a->pre + row * out, z, used);
        vf y = z;
        switch (a->activation) {
#define MT_X(name) case MT_ACT_##name: y = vf_activate(MT_ACT_##name, z); break;
            MT_ACTIVATION_LIST(MT_X)
#undef MT_X
        case MT_ACT_COUNT: break;
        }
        lanes_store(a->y + row * out, y, used);
    }
}

static __attribute__((noinline)) void dot_forward_1(const mt_dense_forward *a) { dot_forward(1, a); }
static __attribute__((noinline)) void dot_forward_2(const mt_dense_forward *a) { dot_forward(2, a); }
#if !defined(MT_ISA_PLAIN)
static __attribute__((noinline)) void dot_forward_3(const mt_dense_forward *a) { dot_forward(3, a); }
static __attribute__((noinline)) void dot_forward_4(const mt_dense_forward *a) { dot_forward(4, a); }
#endif
#if defined(MT_ISA_AVX512)
static __attribute__((noinline)) void dot_forward_5(const mt_dense_forward *a) { dot_forward(5, a); }
static __attribute__((noinline)) void dot_forward_6(const mt_dense_forward *a) { dot_forward(6, a); }
static __attribute__((noinline)) void dot_forward_7(const mt_dense_forward *a) { dot_forward(7, a); }
static __attribute__((noinline)) void dot_forward_8(const mt_dense_forward *a) { dot_forward(8, a); }
#endif
static void (*const dot_forwards[VF / 2])(const mt_dense_forward *a) = {
    dot_forward_1, dot_forward_2,
#if !defined(MT_ISA_PLAIN)
    dot_forward_3, dot_forward_4,
#endif
#if defined(MT_ISA_AVX512)
    dot_forward_5, dot_forward_6, dot_forward_7, dot_forward_8,
#endif
};

void MT_ISA_NAME(mt_dense_forward)(const mt_dense_forward *a) {
    if (a->out <= VF / 2 && a->in >= VF) {
        dot_forwards[a->out - 1](a);
        return;
    }
    epilogue e = {.act = a->activation};
    product p = {.m = a->rows, .n = a->out, .k = a->in,
        .t = {.a = a->x, .a_row = a->in, .a_step = 1, .b = a->weight_t, .b_step = a->out, .init = a->bias,
            .c = a->pre ? a->pre : a->y, .c_row = a->out, .y = a->y,
            .after = a->pre || a->activation != MT_ACT_identity ? &e : NULL}};
    product_run(&p);
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

// dst (columns, rows) (+)= srcᵀ, src (rows, columns)
static void transpose(int64_t rows, int64_t columns, const float *src, int64_t src_row, float *dst, int64_t dst_row, int add) {
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

void MT_ISA_NAME(mt_dense_pack)(int out, int in, const float *weight, float *weight_t) {
    transpose(out, in, weight, in, weight_t, out, 0);
}

// ---- backward

// db (+)= Σ_B dz: the product of a row of ones and dz. Narrow rows are summed as they lie, VF/columns of them to a vector.
static void column_sums(int64_t rows, int columns, const float *x, float *sum, int accumulate) {
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

// dw (+)= dzᵀ x for narrow x: (xᵀ dz), 16 inputs by 64 outputs at a time on the stack, then turned
static void narrow_weight_gradient(const mt_dense_backward *a) {
    enum { INPUTS = 16, OUTPUTS = 64 };
    float turned[INPUTS * OUTPUTS] __attribute__((aligned(64)));
    for (int i = 0; i < a->in; i += INPUTS)
        for (int o = 0; o < a->out; o += OUTPUTS) {
            int inputs = a->in - i < INPUTS ? a->in - i : INPUTS, outputs = a->out - o < OUTPUTS ? a->out - o : OUTPUTS;
            product p = {.m = inputs, .n = outputs, .k = a->rows,
                .t = {.a = a->x + i, .a_row = 1, .a_step = a->in, .b = a->dz + o, .b_step = a->out, .c = turned, .c_row = OUTPUTS}};
            product_run(&p);
            float *dw = a->dw + (int64_t)o * a->in + i;
            transpose(inputs, outputs, turned, OUTPUTS, dw, a->in, a->accumulate);
        }
}

static int64_t vectors(int n) { return (n + VF - 1) / VF; }

void MT_ISA_NAME(mt_dense_backward)(const mt_dense_backward *a) {
    if (a->db) column_sums(a->rows, a->out, a->dz, a->db, a->accumulate);
    if (vectors(a->in) * a->out > vectors(a->out) * a->in) {
        narrow_weight_gradient(a);
    } else {
        product p = {.m = a->out, .n = a->in, .k = a->rows,
            .t = {.a = a->dz, .a_row = 1, .a_step = a->out, .b = a->x, .b_step = a->in, .c = a->dw, .c_row = a->in,
                .init = a->accumulate ? a->dw : NULL, .init_row = a->in}};
        product_run(&p);
    }
    if (!a->dx) return;
    epilogue e = {.act = a->x_activation, .backward = 1};
    product p = {.m = a->rows, .n = a->in, .k = a->out,
        .t = {.a = a->dz, .a_row = a->out, .a_step = 1, .b = a->weight, .b_step = a->in, .c = a->dx, .c_row = a->in,
            .y = (float *)(uintptr_t)a->x, .pre = a->x_pre,   // a backward epilogue only reads y
            .after = a->x_activation != MT_ACT_identity ? &e : NULL}};
    product_run(&p);
}
