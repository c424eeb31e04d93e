// y[b, 0..columns) = x[b, 0..columns) on the GPU, rows x_stride and y_stride floats apart: what several inputs of a network are
// put side by side with, and a state is taken apart. By fours where columns, strides and places allow.
// Bytes moved: 8 an element. A copy: deterministic.
#include "kernels/cuda/launch.cuh"

namespace {
using namespace mt;

// Place counts elements: 32 bits where that is enough, for its division
template <class Place> struct copy_op {
    const float *x;
    float *y;
    int64_t x_stride, y_stride;
    Place columns;
    template <int N> __device__ void at(int64_t i) const {
        Place row = (Place)i / columns, column = (Place)i - row * columns;
        store<N>(y + row * y_stride + column, load<N>(x + row * x_stride + column));
    }
};

} // namespace

mt_status mt_cuda_copy_columns(
    const mt_cuda *c, int64_t rows, int64_t columns, const float *x, int64_t x_stride, float *y, int64_t y_stride) {
    bool by_four = aligned(x, y) && ((columns | x_stride | y_stride) & 3) == 0;
    if (rows * columns < UINT32_MAX)
        return each(c, "copy_columns", rows * columns, by_four, copy_op<uint32_t>{x, y, x_stride, y_stride, (uint32_t)columns});
    return each(c, "copy_columns", rows * columns, by_four, copy_op<int64_t>{x, y, x_stride, y_stride, columns});
}
