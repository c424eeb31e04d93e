// The largest value of each k×k window of channels-last images on the GPU (NaN counts as the largest), and where it stood;
// backward, each input's sum over the windows that chose it, ∘ act'(x) of the layer that made x. Shapes in kernels.h.
// Forward a thread has an output, backward an input: it looks at the windows over it in row-major order, so that nothing is added
// by several threads and the order of a sum is fixed. Neighbouring threads have neighbouring channels.
// Bytes moved, where windows do not overlap: forward 4 read an input, 8 written an output; backward 8 read an output, 4 to 8 read
// and 4 written an input. Deterministic.
#include "kernels/cuda/activate.cuh"
#include "kernels/cuda/launch.cuh"

namespace {
using namespace mt;

constexpr int threads = 256;

struct window_range {
    int first, last; // last is one behind
};
// the outputs along one side whose windows hold input i
__device__ __forceinline__ window_range windows_over(int i, int kernel, int stride, int padding, int outputs) {
    int reach = i + padding - kernel + 1, first = reach <= 0 ? 0 : (reach + stride - 1) / stride, last = (i + padding) / stride + 1;
    return {first, last < outputs ? last : outputs};
}

// place of element i of images (rows, height, width, channels)
struct pixel {
    int64_t row;
    int h, w, channel;
};
template <class Place> __device__ __forceinline__ pixel pixel_at(Place i, int height, int width, int channels) {
    Place place = i / channels, line = place / width, row = line / height;
    return {(int64_t)row, (int)(line - row * height), (int)(place - line * width), (int)(i - place * channels)};
}

template <class Place>
__global__ void __launch_bounds__(threads)
    forward_kernel(Place count, mt_max_pool2d p, int height, int width, const float *x, float *y, int32_t *argmax) {
    Place i = (Place)blockIdx.x * threads + threadIdx.x;
    if (i >= count) return;
    pixel to = pixel_at(i, height, width, p.channels);
    const float *from = x + to.row * p.height * p.width * p.channels + to.channel;
    int top = to.h * p.stride - p.padding, left = to.w * p.stride - p.padding;
    int bottom = top + p.kernel < p.height ? top + p.kernel : p.height;
    int right = left + p.kernel < p.width ? left + p.kernel : p.width;
    int best_at = -1;
    float best = 0;
    for (int h = top < 0 ? 0 : top; h < bottom; h++)
        for (int w = left < 0 ? 0 : left; w < right; w++) {
            float v = from[(int64_t)(h * p.width + w) * p.channels];
            if (best_at < 0 || best < v || v != v) best = v, best_at = h * p.width + w;
        }
    y[i] = best;
    argmax[i] = best_at;
}

template <mt_activation Act, class Place>
__global__ void __launch_bounds__(threads) backward_kernel(Place count, mt_max_pool2d p, int height, int width, const float *dy,
    const int32_t *argmax, const float *x, float *dx) {
    Place i = (Place)blockIdx.x * threads + threadIdx.x;
    if (i >= count) return;
    pixel at = pixel_at(i, p.height, p.width, p.channels);
    window_range lines = windows_over(at.h, p.kernel, p.stride, p.padding, height),
                 columns = windows_over(at.w, p.kernel, p.stride, p.padding, width);
    int64_t first = at.row * height * width * p.channels + at.channel;
    float sum = 0;
    for (int h = lines.first; h < lines.last; h++)
        for (int w = columns.first; w < columns.last; w++) {
            int64_t from = first + (int64_t)(h * width + w) * p.channels;
            if (argmax[from] == at.h * p.width + at.w) sum += dy[from];
        }
    dx[i] = Act == MT_ACT_identity ? sum : activated_backward<Act>(x[i], x[i], sum);
}

template <mt_activation Act>
mt_status backward(const mt_cuda *c, int64_t rows, const mt_max_pool2d *p, const float *dy, const int32_t *argmax, const float *x,
    float *dx) {
    int64_t count = rows * p->height * p->width * p->channels;
    int height = mt_max_pool2d_out_height(p), width = mt_max_pool2d_out_width(p);
    if (count < UINT32_MAX - threads)
        return launch(c, "max_pool2d_backward", backward_kernel<Act, uint32_t>, grid(ceil_div(count, threads)), threads, 0, count,
            *p, height, width, dy, argmax, x, dx);
    return launch(c, "max_pool2d_backward", backward_kernel<Act, int64_t>, grid(ceil_div(count, threads)), threads, 0, count, *p,
        height, width, dy, argmax, x, dx);
}

} // namespace

mt_status mt_cuda_max_pool2d_forward(
    const mt_cuda *c, int64_t rows, const mt_max_pool2d *p, const float *x, float *y, int32_t *argmax) {
    int height = mt_max_pool2d_out_height(p), width = mt_max_pool2d_out_width(p);
    int64_t count = rows * height * width * p->channels;
    if (count < 1) return MT_OK;
    if (count < UINT32_MAX - threads)
        return launch(c, "max_pool2d_forward", forward_kernel<uint32_t>, grid(ceil_div(count, threads)), threads, 0, count, *p,
            height, width, x, y, argmax);
    return launch(c, "max_pool2d_forward", forward_kernel<int64_t>, grid(ceil_div(count, threads)), threads, 0, count, *p, height,
        width, x, y, argmax);
}

mt_status mt_cuda_max_pool2d_backward(const mt_cuda *c, int64_t rows, const mt_max_pool2d *p, const float *dy,
    const int32_t *argmax, mt_activation x_activation, const float *x, const float *x_pre, float *dx) {
    MT_ASSERT(x_pre || !mt_activation_needs_pre(x_activation));
    if (rows < 1) return MT_OK;
    switch (x_activation) {
#define MT_X(name)                                                                                                     \
    case MT_ACT_##name:                                                                                                \
        return backward<MT_ACT_##name>(c, rows, p, dy, argmax, mt_activation_needs_pre(MT_ACT_##name) ? x_pre : x, dx);
        MT_ACTIVATION_LIST(MT_X)
#undef MT_X
    case MT_ACT_COUNT: break;
    }
    return MT_FAIL(INVALID_ARGUMENT, "there is no activation number %d", (int)x_activation);
}
