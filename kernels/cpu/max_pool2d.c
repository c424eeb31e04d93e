// The largest of each window of channels-last images, and the way back; turning channels-last rows.
//   forward    y = max over the window, argmax its place: the first of equals; NaN counts as the largest
//   backward   dx = act'(x) ∘ Σ over the windows that hold a pixel and whose largest it is of dy
// Backward gathers rather than scatters: a pixel's windows in row-major order, so that the sum has a fixed order and no
// zeroing pass. Vectors run over channels. Bytes moved a pixel and channel of y: forward 4·k² read (cache) and 8 written;
// backward 8 read for each pixel of the window.
#include "kernels/cpu/activate.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/product.h"

static int clip_low(int at) { return at < 0 ? 0 : at; }
static int clip_high(int at, int limit) { return at > limit ? limit : at; }

// n ≤ VF channels of one window [h0, h1) × [w0, w1), none of it in the padding
LANE_INLINE void window_max(const mt_max_pool2d *p, const float *x, int h0, int h1, int w0, int w1, int n, float *y,
    int32_t *argmax) {
    vf best = vf_set(0.0f);
    vi place = vi_set(-1);
    for (int h = h0; h < h1; h++)
        for (int w = w0; w < w1; w++) {
            int at = h * p->width + w;
            vf v = lane_load_n(x + (int64_t)at * p->channels, n);
            vm take = vm_or(vf_lt(best, v), vf_isnan(v));
            if (h == h0 && w == w0) take = vf_le(vf_set(0.0f), vf_set(0.0f));   // all
            best = vf_select(take, v, best);
            place = vi_select(take, vi_set(at), place);
        }
    lane_store_n(y, best, n);
    lane_store_n((float *)(void *)argmax, (vf)place, n);
}

void MT_ISA_NAME(mt_max_pool2d_forward)(int64_t rows, const mt_max_pool2d *p, const float *x, float *y, int32_t *argmax) {
    const int height = mt_max_pool2d_out_height(p), width = mt_max_pool2d_out_width(p), channels = p->channels;
    for (int64_t b = 0; b < rows; b++, x += (int64_t)p->height * p->width * channels)
        for (int h = 0; h < height; h++)
            for (int w = 0; w < width; w++, y += channels, argmax += channels) {
                int top = h * p->stride - p->padding, left = w * p->stride - p->padding;
                int h1 = clip_high(top + p->kernel, p->height), w1 = clip_high(left + p->kernel, p->width);
                for (int c = 0; c < channels; c += VF)
                    window_max(p, x + c, clip_low(top), h1, clip_low(left), w1, lane_count(channels - c), y + c, argmax + c);
            }
}

// the windows [first, end) along one axis that hold pixel `at`
static void windows_of(int at, const mt_max_pool2d *p, int count, int *first, int *end) {
    int past = at + p->padding - p->kernel;   // windows that start up to here end before the pixel
    *first = past < 0 ? 0 : past / p->stride + 1;
    *end = clip_high((at + p->padding) / p->stride + 1, count);
}

void MT_ISA_NAME(mt_max_pool2d_backward)(int64_t rows, const mt_max_pool2d *p, const float *dy, const int32_t *argmax,
    mt_activation x_activation, const float *x, const float *x_pre, float *dx) {
    const int height = mt_max_pool2d_out_height(p), width = mt_max_pool2d_out_width(p), channels = p->channels;
    const int64_t area = (int64_t)p->height * p->width * channels, area_y = (int64_t)height * width * channels;
    for (int64_t b = 0; b < rows; b++)
        for (int h = 0; h < p->height; h++) {
            int h0, h1, w0, w1;
            windows_of(h, p, height, &h0, &h1);
            for (int w = 0; w < p->width; w++) {
                windows_of(w, p, width, &w0, &w1);
                for (int c = 0; c < channels; c += VF) {
                    const int n = lane_count(channels - c), at = h * p->width + w;
                    vf sum = vf_set(0.0f);
                    for (int i = h0; i < h1; i++)
                        for (int j = w0; j < w1; j++) {
                            int64_t from = b * area_y + ((int64_t)i * width + j) * channels + c;
                            vi largest = (vi)lane_load_n((const float *)(const void *)(argmax + from), n);
                            sum += vf_where(vi_eq(largest, at), lane_load_n(dy + from, n));
                        }
                    lane_store_n(dx + b * area + (int64_t)at * channels + c, sum, n);
                }
            }
        }
    MT_ISA_NAME(mt_activate_backward)(x_activation, rows * area, x, x_pre, dx, dx);
}

void MT_ISA_NAME(mt_turn)(int64_t rows, int64_t m, int64_t n, const float *x, float *y) {
    for (int64_t b = 0; b < rows; b++, x += m * n, y += m * n) transpose(m, n, x, n, y, m, 0);
}
