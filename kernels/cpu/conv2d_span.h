// A convolution cut into rectangles of pixels that use the same taps, so that no loop inside asks where the image ends: an
// image without padding is one rectangle, with padding nine, and the input's gradient at stride s has s² times as many.
#ifndef MANTA_KERNELS_CPU_CONV2D_SPAN_H
#define MANTA_KERNELS_CPU_CONV2D_SPAN_H

#include "kernels/cpu/product.h"

// One axis of it: `in` pixels of x, `out` pixels of y.
typedef struct axis {
    int in, out, kernel, stride, padding;
} axis;
static inline axis axis_height(const mt_conv2d *c) {
    return (axis){c->height, mt_conv2d_out_height(c), c->kernel, c->stride, c->padding};
}
static inline axis axis_width(const mt_conv2d *c) {
    return (axis){c->width, mt_conv2d_out_width(c), c->kernel, c->stride, c->padding};
}

// Pixels first, first + step, ... that use `taps` taps from `tap` on; `from` is what the first pixel reads through the first tap.
//   output_span   pixels of y, step 1; taps and pixels of x one apart; the next pixel reads `stride` further
//   input_span    pixels of x, step and taps `stride` apart; the next tap reads one pixel of dz less, the next pixel one more
typedef struct span {
    int first, count, step, tap, taps, from;
} span;

static inline span output_pixel(const axis *a, int y) {
    int from = y * a->stride - a->padding, tap = from < 0 ? -from : 0;
    int end = a->in - from < a->kernel ? a->in - from : a->kernel;
    return (span){y, 1, 1, tap, end - tap, from + tap};
}
static inline span input_pixel(const axis *a, int x) {
    int q = x + a->padding, s = a->stride, low = q / s - a->out + 1, first = low < 0 ? 0 : low;   // taps q % s + s·j, first ≤ j
    int tap = q % s + s * first, from = q / s - first;
    int taps = a->kernel > tap ? (a->kernel - tap - 1) / s + 1 : 0;
    return (span){x, 1, s, tap, taps < from + 1 ? taps : from + 1, from};
}

// 1 and the span after `s`; 0 after the last. Begin with a span of zeros.
static inline int output_span(const axis *a, span *s) {
    int y = s->first + s->count;
    if (y >= a->out) return 0;
    *s = output_pixel(a, y);
    while (++y < a->out) {
        span next = output_pixel(a, y);
        if (next.tap != s->tap || next.taps != s->taps) break;
        s->count++;
    }
    return 1;
}
// of the pixels phase, phase + stride, ..., 0 ≤ phase < stride
static inline int input_span(const axis *a, int phase, span *s) {
    int x = s->step ? s->first + s->count * s->step : phase;
    if (x >= a->in) return 0;
    *s = input_pixel(a, x);
    while ((x += a->stride) < a->in) {
        span next = input_pixel(a, x);
        if (next.tap != s->tap || next.taps != s->taps) break;
        s->count++;
    }
    return 1;
}

#endif
