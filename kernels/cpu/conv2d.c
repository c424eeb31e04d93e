// Convolution of channels-last images, forward and backward, as products over patches.
//   forward    y = act(patch · weight_t + b)                        2·B·H'·W'·k·k·C·O flop
//   backward   dw (+)= patchᵀ dz,  db (+)= Σ dz,  dx = act'(x) ∘ Σ_taps dz · weight_rows        twice as many
// A patch is the k·k·C values that make one pixel of y, in the order (k, k, C); a block of them is laid out in scratch.
// Packed parameters: weight_t (k, k, C, O), weight_rows (k, k, O, C).
// Determinism: a pixel of y is one chain of FMAs over its patch, whatever block it lies in.
#include "kernels/cpu/activate.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/product.h"

enum { PIXELS = 240 };   // of a block

static int64_t taps(const mt_conv2d *c) { return (int64_t)c->kernel * c->kernel; }
static int64_t patch_floats(const mt_conv2d *c) { return taps(c) * c->in; }

int64_t MT_ISA_NAME(mt_conv2d_scratch)(const mt_conv2d *c) {
    return patch_floats(c) * (PIXELS + c->out);   // the patches of a block, then dw as (k, k, C, O)
}

void MT_ISA_NAME(mt_conv2d_pack)(const mt_conv2d *c, const float *weight, float *weight_t, float *weight_rows) {
    int64_t n = taps(c);
    for (int o = 0; o < c->out; o++)
        for (int i = 0; i < c->in; i++)
            for (int64_t tap = 0; tap < n; tap++) {
                float w = weight[((int64_t)o * c->in + i) * n + tap];
                weight_t[(tap * c->in + i) * c->out + o] = w;
                weight_rows[(tap * c->out + o) * c->in + i] = w;
            }
}

// where a pixel of y stands, and the first pixel of x that it reads
typedef struct place {
    int64_t row;
    int y, x;                    // of the image; negative in the padding
} place;
static place place_of(const mt_conv2d *c, int64_t pixel) {
    int64_t width = mt_conv2d_out_width(c), area = width * mt_conv2d_out_height(c), at = pixel % area;
    return (place){pixel / area, (int)(at / width) * c->stride - c->padding, (int)(at % width) * c->stride - c->padding};
}

// patches (count, k·k·C) of `count` pixels from `first` on
static void lower(const mt_conv2d *c, const float *x, int64_t first, int64_t count, float *patch) {
    for (int64_t p = 0; p < count; p++) {
        place at = place_of(c, first + p);
        for (int kh = 0; kh < c->kernel; kh++)
            for (int kw = 0; kw < c->kernel; kw++, patch += c->in) {
                int h = at.y + kh, w = at.x + kw;
                size_t bytes = sizeof(float) * (size_t)c->in;
                if (h < 0 || h >= c->height || w < 0 || w >= c->width) memset(patch, 0, bytes);
                else memcpy(patch, x + ((at.row * c->height + h) * c->width + w) * c->in, bytes);
            }
    }
}

// its transpose: adds a block's patches to where they came from
static void raise(const mt_conv2d *c, const float *patch, int64_t first, int64_t count, float *dx) {
    for (int64_t p = 0; p < count; p++) {
        place at = place_of(c, first + p);
        for (int kh = 0; kh < c->kernel; kh++)
            for (int kw = 0; kw < c->kernel; kw++, patch += c->in) {
                int h = at.y + kh, w = at.x + kw;
                if (h < 0 || h >= c->height || w < 0 || w >= c->width) continue;
                float *to = dx + ((at.row * c->height + h) * c->width + w) * c->in;
                for (int i = 0; i < c->in; i++) to[i] += patch[i];
            }
    }
}

static int64_t pixels(int64_t rows, const mt_conv2d *c) {
    return rows * mt_conv2d_out_height(c) * mt_conv2d_out_width(c);
}

void MT_ISA_NAME(mt_conv2d_forward)(const mt_conv2d_forward *a) {
    const mt_conv2d *c = &a->conv;
    const int64_t n = pixels(a->rows, c), depth = patch_floats(c);
    epilogue e = {.act = a->activation};
    for (int64_t first = 0; first < n; first += PIXELS) {
        int64_t count = n - first < PIXELS ? n - first : PIXELS;
        float *y = a->y + first * c->out, *pre = a->pre ? a->pre + first * c->out : NULL;
        lower(c, a->x, first, count, a->scratch);
        product p = {.m = count, .n = c->out, .k = depth,
            .t = {.a = a->scratch, .a_row = depth, .a_step = 1, .b = a->weight_t, .b_step = c->out, .init = a->bias,
                .c = pre ? pre : y, .c_row = c->out, .y = y,
                .after = pre || a->activation != MT_ACT_identity ? &e : NULL}};
        product_run(&p);
    }
}

static void input_gradient(const mt_conv2d_backward *a) {
    const mt_conv2d *c = &a->conv;
    const int64_t n = pixels(a->rows, c), depth = patch_floats(c);
    const int64_t count_x = a->rows * c->height * c->width * c->in;
    memset(a->dx, 0, sizeof(float) * (size_t)count_x);
    for (int64_t first = 0; first < n; first += PIXELS) {
        int64_t count = n - first < PIXELS ? n - first : PIXELS;
        for (int64_t tap = 0; tap < taps(c); tap++) {
            product p = {.m = count, .n = c->in, .k = c->out,
                .t = {.a = a->dz + first * c->out, .a_row = c->out, .a_step = 1, .b = a->weight_rows + tap * c->out * c->in,
                    .b_step = c->in, .c = a->scratch + tap * c->in, .c_row = depth}};
            product_run(&p);
        }
        raise(c, a->scratch, first, count, a->dx);
    }
    MT_ISA_NAME(mt_activate_backward)(a->x_activation, count_x, a->x, a->x_pre, a->dx, a->dx);
}

void MT_ISA_NAME(mt_conv2d_backward)(const mt_conv2d_backward *a) {
    const mt_conv2d *c = &a->conv;
    const int64_t n = pixels(a->rows, c), depth = patch_floats(c);
    float *turned = a->scratch + depth * PIXELS;   // (k, k, C, O)
    memset(turned, 0, sizeof(float) * (size_t)(depth * c->out));
    for (int64_t first = 0; first < n; first += PIXELS) {
        int64_t count = n - first < PIXELS ? n - first : PIXELS;
        lower(c, a->x, first, count, a->scratch);
        product p = {.m = depth, .n = c->out, .k = count,
            .t = {.a = a->scratch, .a_row = 1, .a_step = depth, .b = a->dz + first * c->out, .b_step = c->out, .init = turned,
                .init_row = c->out, .c = turned, .c_row = c->out}};
        product_run(&p);
    }
    for (int o = 0; o < c->out; o++)
        for (int i = 0; i < c->in; i++)
            for (int64_t tap = 0; tap < taps(c); tap++) {
                float *dw = a->dw + ((int64_t)o * c->in + i) * taps(c) + tap, sum = turned[(tap * c->in + i) * c->out + o];
                *dw = a->accumulate ? *dw + sum : sum;
            }
    if (a->db) column_sums(n, c->out, a->dz, a->db, a->accumulate);
    if (a->dx) input_gradient(a);
}
