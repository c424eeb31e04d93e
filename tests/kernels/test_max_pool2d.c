// Pooling and turning against plain loops; the gradient is checked against where the reference found its maxima.
#include "activation_ref.h"
#include "fixture.h"

// H, W, C, k, s, p
static const mt_max_pool2d shapes[] = {{1, 1, 1, 1, 1, 0}, {3, 5, 3, 3, 1, 2}, {84, 84, 16, 3, 2, 1},
    {7, 6, 17, 2, 2, 0}, {7, 7, 65, 3, 3, 1}, {5, 9, 2, 4, 1, 3}, {17, 3, 16, 3, 2, 1}, {8, 8, 33, 1, 3, 0},
    {11, 11, 32, 3, 2, 1}, {4, 4, 130, 4, 4, 0}};
enum { shape_count = sizeof shapes / sizeof *shapes };

static void compare(const mt_kernels *k, const mt_max_pool2d *p, int64_t rows, mt_activation act) {
    const int height = mt_max_pool2d_out_height(p), width = mt_max_pool2d_out_width(p), C = p->channels;
    const int64_t x_count = rows * p->height * p->width * C, y_count = rows * height * width * C;
    float *x_pre = normals_of(x_count, 1), *x = floats(x_count), *y = filled(y_count, NAN),
          *dy = normals_of(y_count, 1);
    float *dx = filled(x_count, NAN);
    int32_t *argmax = fenced(y_count * 4);
    double *want = calloc((size_t)x_count, sizeof *want);
    for (int64_t i = 0; i < x_count; i++) {
        if (i % 3) x_pre[i] = (float)(random_u32() % 5) - 2; // many equals
        x[i] = (float)activation_ref(act, x_pre[i]);
    }
    k->max_pool2d_forward(rows, p, x, y, argmax);
    k->max_pool2d_backward(rows, p, dy, argmax, act, x, mt_activation_needs_pre(act) ? x_pre : NULL, dx);
    int64_t at = 0;
    for (int64_t b = 0; b < rows; b++)
        for (int h = 0; h < height; h++)
            for (int w = 0; w < width; w++)
                for (int c = 0; c < C; c++, at++) {
                    int best = -1;
                    for (int i = h * p->stride - p->padding; i < h * p->stride - p->padding + p->kernel; i++)
                        for (int j = w * p->stride - p->padding; j < w * p->stride - p->padding + p->kernel; j++) {
                            if (i < 0 || i >= p->height || j < 0 || j >= p->width) continue;
                            const float *image = x + b * p->height * p->width * C + c;
                            if (best < 0 || image[(int64_t)(i * p->width + j) * C] > image[(int64_t)best * C])
                                best = i * p->width + j;
                        }
                    int64_t from = (b * p->height * p->width + best) * C + c;
                    check(y[at] == x[from] && argmax[at] == best, "%s: y[%ld] = %g at %d, want %g at %d", k->name,
                        (long)at, (double)y[at], argmax[at], (double)x[from], best);
                    want[from] += (double)dy[at];
                }
    for (int64_t i = 0; i < x_count; i++)
        near(dx[i], want[i] * activation_slope_ref(act, x_pre[i] == 0 ? -1e-300 : x_pre[i]), 1e-5, "%s: dx[%ld]",
            mt_activation_name(act), (long)i);
    free(want);
    unfence();
}
static void parity(const mt_kernels *k) {
    for (int s = 0; s < shape_count; s++)
        for (int64_t rows = 1; rows <= 17; rows += s == 2 ? 17 : 8)
            compare(k, &shapes[s], rows, (mt_activation)(s % MT_ACT_COUNT));
    for (int act = 0; act < MT_ACT_COUNT; act++) compare(k, &shapes[6], 3, (mt_activation)act);
    compare(k, &shapes[0], 0, MT_ACT_relu);
}
Test(max_pool2d, parity_and_gradient, .timeout = 120) { each_isa(parity); }

static void odd_values(const mt_kernels *k) {
    const mt_max_pool2d p = {1, 4, 1, 2, 2, 0};
    float x[4] = {-INFINITY, -INFINITY, NAN, 7}, y[2];
    int32_t argmax[2];
    k->max_pool2d_forward(1, &p, x, y, argmax);
    check(y[0] == -INFINITY && argmax[0] == 0, "%s: %g at %d", k->name, (double)y[0], argmax[0]);
    check(isnan(y[1]) && argmax[1] == 2, "%s: %g at %d", k->name, (double)y[1], argmax[1]);
}
Test(max_pool2d, infinities_and_nan) { each_isa(odd_values); }

static void turned(const mt_kernels *k) {
    static const int64_t sizes[][2] = {{1, 1}, {1, 17}, {3, 1}, {49, 64}, {65, 17}, {17, 65}, {81, 3}, {130, 33}};
    for (int s = 0; s < 8; s++)
        for (int64_t rows = 0; rows < 4; rows++) {
            int64_t m = sizes[s][0], n = sizes[s][1];
            float *x = normals_of(rows * m * n, 1), *y = floats(rows * m * n);
            k->turn(rows, m, n, x, y);
            for (int64_t i = 0; i < rows * m * n; i++)
                check_eq(y[i / (m * n) * m * n + i % n * m + i % (m * n) / n], x[i], "%s: (%ld, %ld)", k->name, (long)m,
                    (long)n);
            unfence();
        }
}
Test(turn, moves_every_value) { each_isa(turned); }
