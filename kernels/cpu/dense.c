// Dense layers, forward and backward, with the activation fused.
//   forward    y = act(x Wᵀ + b)                                   2·B·I·O flop
//   backward   dw (+)= dzᵀ x,  db (+)= Σ_B dz,  dx = (dz W) ∘ act'(x)   4·B·I·O flop
// All three products go through the tiles of tile.h; which form a product takes depends on I and O alone, never on
// B, so that a row of a forward result does not depend on its neighbours:
//   O ≤ VF/2 (policy and value heads)   forward as dot products along I, VF of them reduced together: no idle lanes
//   I narrow (the input layer)          dw is computed transposed, (I, O), on the stack, and turned on its way out
// The activation is applied to a tile while it is in registers or first-level cache (tile.h).
//
// BLAS is not linked: in bench_kernels_dense (Zen 4, one core) forward and backward with bias and tanh take less time than
// OpenBLAS 0.3.21's three sgemm without either from 256×256 up, and 64×64 is within 7 % of it.
#include "kernels/cpu/ops.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/tile_lanes.h"

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

void MT_ISA_NAME(mt_dense_pack)(int out, int in, const float *weight, float *weight_t) {
    transpose(out, in, weight, in, weight_t, out, 0);
}

// ---- backward

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
