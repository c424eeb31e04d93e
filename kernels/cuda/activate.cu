// Element-wise activation functions, forward and backward, on the GPU.
//   y = act(z)                  8 bytes moved an element
//   dz = dy ∘ act'(z)           12 bytes, 16 for gelu and silu
//   pre = z + b,  y = act(pre)  8 bytes, 12 where pre is kept
// Shapes: all (count), z of the last (rows, columns) and b (columns); y may be z, dz may be dy. Formulae and bits are those
// of kernels/cpu/activate.h.
// Determinism: each element depends on its own input only.
#include "kernels/cuda/activate.cuh"
#include "kernels/cuda/launch.cuh"

namespace {
using namespace mt;

template <mt_activation Act> struct forward_op {
    const float *z;
    float *y;
    template <int N> __device__ void at(int64_t i) const {
        auto v = load<N>(z + i);
#pragma unroll
        for (int k = 0; k < N; k++) v.at[k] = activated<Act>(v.at[k]);
        store<N>(y + i, v);
    }
};

template <mt_activation Act> struct backward_op {
    const float *y, *pre, *dy;
    float *dz;
    template <int N> __device__ void at(int64_t i) const {
        constexpr bool by_pre = Act == MT_ACT_gelu || Act == MT_ACT_silu;
        auto d = load<N>(dy + i), a = load<N>((by_pre ? pre : y) + i);
#pragma unroll
        for (int k = 0; k < N; k++) d.at[k] = activated_backward<Act>(a.at[k], a.at[k], d.at[k]);
        store<N>(dz + i, d);
    }
};

// N neighbours are in one row: columns is a multiple of N. Place counts elements: 32 bits where that is enough, for its division
template <mt_activation Act, class Place> struct bias_op {
    const float *z, *bias;
    float *pre, *y;
    Place columns;
    template <int N> __device__ void at(int64_t i) const {
        auto v = load<N>(z + i);
        if (bias) {
            auto b = load<N>(bias + (Place)i % columns);
#pragma unroll
            for (int k = 0; k < N; k++) v.at[k] += b.at[k];
        }
        if (pre) store<N>(pre + i, v);
#pragma unroll
        for (int k = 0; k < N; k++) v.at[k] = activated<Act>(v.at[k]);
        store<N>(y + i, v);
    }
};

template <mt_activation Act>
mt_status bias_activate(
    const mt_cuda *c, int64_t rows, int columns, const float *z, const float *bias, float *pre, float *y) {
    bool by_four = aligned(z, bias, pre, y) && columns % 4 == 0;
    if (rows * columns < UINT32_MAX)
        return each(c, "bias_activate", rows * columns, by_four, bias_op<Act, uint32_t>{z, bias, pre, y, (uint32_t)columns});
    return each(c, "bias_activate", rows * columns, by_four, bias_op<Act, int64_t>{z, bias, pre, y, columns});
}

} // namespace

mt_status mt_cuda_activate(const mt_cuda *c, mt_activation act, int64_t count, const float *z, float *y) {
    bool by_four = aligned(z, y);
    switch (act) {
#define MT_X(name)                                                                                                     \
    case MT_ACT_##name: return each(c, "activate", count, by_four, forward_op<MT_ACT_##name>{z, y});
        MT_ACTIVATION_LIST(MT_X)
#undef MT_X
    case MT_ACT_COUNT: break;
    }
    return MT_FAIL(INVALID_ARGUMENT, "there is no activation number %d", (int)act);
}

mt_status mt_cuda_activate_backward(
    const mt_cuda *c, mt_activation act, int64_t count, const float *y, const float *pre, const float *dy, float *dz) {
    MT_ASSERT(pre || !mt_activation_needs_pre(act));
    bool by_four = aligned(y, pre, dy, dz);
    switch (act) {
#define MT_X(name)                                                                                                     \
    case MT_ACT_##name: return each(c, "activate_backward", count, by_four, backward_op<MT_ACT_##name>{y, pre, dy, dz});
        MT_ACTIVATION_LIST(MT_X)
#undef MT_X
    case MT_ACT_COUNT: break;
    }
    return MT_FAIL(INVALID_ARGUMENT, "there is no activation number %d", (int)act);
}

mt_status mt_cuda_bias_activate(const mt_cuda *c, mt_activation act, int64_t rows, int columns, const float *z,
    const float *bias, float *pre, float *y) {
    switch (act) {
#define MT_X(name)                                                                                                     \
    case MT_ACT_##name: return bias_activate<MT_ACT_##name>(c, rows, columns, z, bias, pre, y);
        MT_ACTIVATION_LIST(MT_X)
#undef MT_X
    case MT_ACT_COUNT: break;
    }
    return MT_FAIL(INVALID_ARGUMENT, "there is no activation number %d", (int)act);
}
