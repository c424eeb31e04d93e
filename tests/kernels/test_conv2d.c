// Convolution against plain loops in double, and its gradients against differences of its own forward pass.
#include "activation_ref.h"
#include "fixture.h"

// H, W, C, O, k, s, p: kernels as large as the image and of one pixel, strides that leave pixels out or skip some,
// padding of every width, channel counts round vectors, and the layers that agents use
static const mt_conv2d shapes[] = {
    {1, 1, 1, 1, 1, 1, 0},
    {3, 1, 1, 3, 1, 1, 0},
    {1, 3, 3, 1, 1, 2, 0},
    {3, 3, 1, 17, 3, 1, 2},
    {5, 4, 3, 17, 3, 1, 1},
    {4, 7, 17, 3, 2, 1, 0},
    {7, 5, 2, 65, 3, 2, 1},
    {17, 3, 3, 16, 3, 3, 1},
    {6, 6, 4, 32, 2, 3, 0},
    {9, 8, 5, 33, 4, 2, 3},
    {12, 12, 4, 32, 8, 4, 0},
    {14, 11, 4, 8, 8, 4, 2},
    {9, 9, 32, 64, 4, 2, 0},
    {8, 9, 64, 64, 3, 1, 0},
    {11, 11, 16, 32, 3, 1, 1},
    {10, 21, 16, 16, 3, 1, 1},
    {5, 5, 65, 17, 5, 1, 4},
    {3, 17, 1, 130, 1, 1, 0},
    {13, 5, 3, 20, 3, 2, 2},
    {2, 2, 3, 5, 4, 1, 3},
    {8, 8, 12, 24, 5, 3, 2},
    {6, 6, 130, 3, 3, 1, 1},
    {20, 20, 3, 16, 1, 4, 0},
    {15, 15, 7, 48, 3, 5, 0},
    {7, 7, 3, 96, 3, 1, 1},
};
enum { shape_count = sizeof shapes / sizeof *shapes };

typedef struct layer {
    mt_conv2d c;
    int64_t rows, x_count, y_count, w_count;
    float *x, *x_pre, *weight, *weight_t, *weight_rows, *bias, *y, *pre, *dz, *dx, *dw, *db, *scratch;
} layer;

static layer layer_new(const mt_kernels *k, const mt_conv2d *c, int64_t rows, mt_activation x_act) {
    layer l = {.c = *c, .rows = rows};
    l.x_count = rows * c->height * c->width * c->in;
    l.y_count = rows * mt_conv2d_out_height(c) * mt_conv2d_out_width(c) * c->out;
    l.w_count = (int64_t)c->out * c->in * c->kernel * c->kernel;
    l.x_pre = normals_of(l.x_count, 1);
    l.x = floats(l.x_count);
    for (int64_t i = 0; i < l.x_count; i++) l.x[i] = (float)activation_ref(x_act, l.x_pre[i]);
    l.weight = normals_of(l.w_count, 0.5);
    l.weight_t = filled(l.w_count, NAN), l.weight_rows = filled(l.w_count, NAN);
    l.bias = normals_of(c->out, 1);
    l.y = filled(l.y_count, NAN), l.pre = filled(l.y_count, NAN);
    l.dz = normals_of(l.y_count, 1);
    l.dx = filled(l.x_count, NAN);
    l.dw = normals_of(l.w_count, 1), l.db = normals_of(c->out, 1);
    l.scratch = filled(k->conv2d_scratch(c), NAN);
    k->conv2d_pack(c, l.weight, l.weight_t, l.weight_rows);
    return l;
}
static void forward(const mt_kernels *k, const layer *l, mt_activation act, int bias, int pre) {
    mt_conv2d_forward f = {.rows = l->rows,
        .conv = l->c,
        .activation = act,
        .x = l->x,
        .weight_t = l->weight_t,
        .bias = bias ? l->bias : NULL,
        .y = l->y,
        .pre = pre || mt_activation_needs_pre(act) ? l->pre : NULL,
        .scratch = l->scratch};
    k->conv2d_forward(&f);
}
static void backward(const mt_kernels *k, const layer *l, mt_activation x_act, int dx, int db, int accumulate) {
    mt_conv2d_backward b = {.rows = l->rows,
        .conv = l->c,
        .x = l->x,
        .dz = l->dz,
        .weight_rows = l->weight_rows,
        .x_activation = x_act,
        .x_pre = mt_activation_needs_pre(x_act) ? l->x_pre : NULL,
        .dx = dx ? l->dx : NULL,
        .dw = l->dw,
        .db = db ? l->db : NULL,
        .accumulate = accumulate,
        .scratch = l->scratch};
    k->conv2d_backward(&b);
}

// calls term(i, w, o, context) for every product x[i]·w[w] that is part of y[o]
typedef void term_fn(int64_t x, int64_t w, int64_t y, void *context);
static void each_term(const layer *l, term_fn *term, void *context) {
    const mt_conv2d *c = &l->c;
    int64_t y = 0;
    for (int64_t b = 0; b < l->rows; b++)
        for (int h = 0; h < mt_conv2d_out_height(c); h++)
            for (int w = 0; w < mt_conv2d_out_width(c); w++)
                for (int o = 0; o < c->out; o++, y++)
                    for (int i = 0; i < c->in; i++)
                        for (int kh = 0; kh < c->kernel; kh++)
                            for (int kw = 0; kw < c->kernel; kw++) {
                                int from_h = h * c->stride - c->padding + kh, from_w = w * c->stride - c->padding + kw;
                                if (from_h < 0 || from_h >= c->height || from_w < 0 || from_w >= c->width) continue;
                                term(((b * c->height + from_h) * c->width + from_w) * c->in + i,
                                    (((int64_t)o * c->in + i) * c->kernel + kh) * c->kernel + kw, y, context);
                            }
}
typedef struct sums {
    const layer *l;
    double *y, *dx, *dw, *y_size, *dx_size, *dw_size; // the second three: Σ of magnitudes, for the tolerance
} sums;
static void add_term(int64_t x, int64_t w, int64_t y, void *context) {
    sums *s = context;
    double vx = s->l->x[x], vw = s->l->weight[w], vz = s->l->dz[y];
    s->y[y] += vx * vw, s->y_size[y] += fabs(vx * vw);
    s->dx[x] += vz * vw, s->dx_size[x] += fabs(vz * vw);
    s->dw[w] += vz * vx, s->dw_size[w] += fabs(vz * vx);
}
static void within(
    const mt_kernels *k, const layer *l, const char *what, int64_t at, double got, double want, double size) {
    const mt_conv2d *c = &l->c;
    check(fabs(got - want) <= 4e-7 * size + 1e-6,
        "%s: %s[%ld] of %ld × (%d, %d, %d) → %d, kernel %d, stride %d, padding %d: got %.9g, want %.9g", k->name, what,
        (long)at, (long)l->rows, c->height, c->width, c->in, c->out, c->kernel, c->stride, c->padding, got, want);
}

static void compare(
    const mt_kernels *k, const mt_conv2d *c, int64_t rows, mt_activation act, mt_activation x_act, int odd) {
    const int bias = odd % 5 != 0, keep = odd % 3 == 0, dx = odd % 4 != 0, db = odd % 7 != 0, accumulate = odd & 1;
    layer l = layer_new(k, c, rows, x_act);
    double *zeros = calloc((size_t)(2 * (l.x_count + l.y_count + l.w_count)), sizeof *zeros);
    sums s = {.l = &l, .y = zeros};
    s.y_size = s.y + l.y_count, s.dx = s.y_size + l.y_count, s.dx_size = s.dx + l.x_count;
    s.dw = s.dx_size + l.x_count, s.dw_size = s.dw + l.w_count;
    each_term(&l, add_term, &s);
    for (int64_t i = 0; accumulate && i < l.w_count; i++) s.dw[i] += l.dw[i];
    double db_want[256] = {0};
    check(c->out <= 256);
    for (int o = 0; accumulate && o < c->out; o++) db_want[o] = l.db[o];
    for (int64_t i = 0; i < l.y_count; i++) db_want[i % c->out] += l.dz[i];

    forward(k, &l, act, bias, keep);
    backward(k, &l, x_act, dx, db, accumulate);
    for (int64_t i = 0; i < l.y_count; i++) {
        double z = s.y[i] + (bias ? (double)l.bias[i % c->out] : 0.0);
        within(k, &l, "y", i, l.y[i], activation_ref(act, z), s.y_size[i] + fabs(z));
        if (keep || mt_activation_needs_pre(act))
            within(k, &l, "pre", i, l.pre[i], z, s.y_size[i] + fabs(z));
        else
            check(isnan(l.pre[i]));
    }
    for (int64_t i = 0; i < l.x_count; i++)
        if (dx)
            within(k, &l, "dx", i, l.dx[i], s.dx[i] * activation_slope_ref(x_act, l.x_pre[i]), 2 * s.dx_size[i]);
        else
            check(isnan(l.dx[i]));
    for (int64_t i = 0; i < l.w_count; i++) within(k, &l, "dw", i, l.dw[i], s.dw[i], s.dw_size[i] + 1);
    for (int o = 0; db && o < c->out; o++) within(k, &l, "db", o, l.db[o], db_want[o], (double)l.y_count);
    free(zeros);
    unfence();
}

static void parity(const mt_kernels *k) {
    static const int64_t rows[] = {1, 2, 3, 17};
    for (int s = 0; s < shape_count; s++)
        for (int r = 0; r < 4; r++) {
            int odd = s * 4 + r; // walks the flags through the combinations
            compare(k, &shapes[s], rows[r], (mt_activation)(odd % MT_ACT_COUNT),
                (mt_activation)(odd / 2 % MT_ACT_COUNT), odd);
        }
}
Test(conv2d, matches_reference, .timeout = 300) { each_isa(parity); }

static void many_rows(const mt_kernels *k) {
    compare(k, &(mt_conv2d){9, 9, 4, 32, 4, 2, 0}, 65, MT_ACT_relu, MT_ACT_relu, 1);
    compare(k, &(mt_conv2d){84, 84, 4, 16, 8, 4, 0}, 3, MT_ACT_relu, MT_ACT_identity, 2);
    compare(k, &(mt_conv2d){42, 42, 16, 16, 3, 1, 1}, 2, MT_ACT_identity, MT_ACT_relu, 3);
}
Test(conv2d, matches_reference_on_real_sizes, .timeout = 300) { each_isa(many_rows); }

static void every_activation(const mt_kernels *k) {
    for (int act = 0; act < MT_ACT_COUNT; act++)
        for (int x_act = 0; x_act < MT_ACT_COUNT; x_act++)
            compare(k, &(mt_conv2d){6, 5, 3, 19, 3, 1, 1}, 2, (mt_activation)act, (mt_activation)x_act, 1 + act);
}
Test(conv2d, every_activation) { each_isa(every_activation); }

static void no_rows(const mt_kernels *k) {
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        layer l = layer_new(k, &shapes[14], 0, MT_ACT_relu);
        forward(k, &l, MT_ACT_relu, 1, 0);
        for (int64_t i = 0; i < l.w_count; i++) l.dw[i] = 3;
        backward(k, &l, MT_ACT_relu, 1, 1, accumulate);
        for (int64_t i = 0; i < l.w_count; i++)
            check_eq(l.dw[i], accumulate ? 3.0f : 0.0f, "%s: dw of no rows", k->name);
        unfence();
    }
}
Test(conv2d, zero_rows) { each_isa(no_rows); }

// ---- gradients by central differences of L = Σ c ∘ conv(act(conv(x)))
static double two_layer_loss(const mt_kernels *k, layer *a, layer *b, mt_activation act, const float *c) {
    double loss = 0;
    k->conv2d_pack(&a->c, a->weight, a->weight_t, a->weight_rows);
    forward(k, a, act, 1, 1);
    memcpy(b->x, a->y, sizeof(float) * (size_t)b->x_count);
    forward(k, b, MT_ACT_identity, 1, 0);
    for (int64_t i = 0; i < b->y_count; i++) loss += (double)c[i] * (double)b->y[i];
    return loss;
}
static void differences(const mt_kernels *k) {
    static const mt_conv2d first = {5, 6, 2, 5, 3, 1, 1}, second = {5, 6, 5, 3, 3, 2, 1};
    for (int act = 0; act < MT_ACT_COUNT; act++) {
        if (act == MT_ACT_relu) continue; // its kinks; the slope itself is in every_activation
        layer a = layer_new(k, &first, 2, MT_ACT_identity), b = layer_new(k, &second, 2, MT_ACT_identity);
        two_layer_loss(k, &a, &b, (mt_activation)act, b.dz);
        memcpy(b.x_pre, a.pre, sizeof(float) * (size_t)b.x_count);
        backward(k, &b, (mt_activation)act, 1, 1, 0);
        memcpy(a.dz, b.dx, sizeof(float) * (size_t)b.x_count);
        backward(k, &a, MT_ACT_identity, 1, 1, 0);
        struct {
            float *value, *gradient;
            int64_t count;
        } parts[] = {{a.weight, a.dw, a.w_count}, {a.bias, a.db, first.out}, {a.x, a.dx, a.x_count}};
        for (int p = 0; p < 3; p++)
            for (int64_t i = 0; i < parts[p].count; i++) {
                float kept = parts[p].value[i], h = 1e-2f;
                parts[p].value[i] = kept + h;
                double up = two_layer_loss(k, &a, &b, (mt_activation)act, b.dz);
                parts[p].value[i] = kept - h;
                double slope = (up - two_layer_loss(k, &a, &b, (mt_activation)act, b.dz)) / (2 * (double)h);
                parts[p].value[i] = kept;
                near(parts[p].gradient[i], slope, 1e-2, "%s: gradient %d[%ld]", mt_activation_name((mt_activation)act),
                    p, (long)i);
            }
        unfence();
    }
}
Test(conv2d, gradients_match_differences, .timeout = 300) { each_isa(differences); }

// ---- a row's result has the same bits whatever rows are beside it
static void independence(const mt_kernels *k) {
    static const int64_t counts[] = {1, 2, 3, 6, 7, 16, 17};
    for (int s = 0; s < shape_count; s++) {
        layer l = layer_new(k, &shapes[s], 19, MT_ACT_identity);
        forward(k, &l, MT_ACT_tanh, 1, 0);
        float *whole = floats(l.y_count);
        memcpy(whole, l.y, sizeof(float) * (size_t)l.y_count);
        for (int n = 0; n < 7; n++)
            for (int start = 0; start <= 2; start++) {
                layer part = l;
                part.rows = counts[n];
                part.x += start * l.x_count / l.rows;
                part.y += start * l.y_count / l.rows;
                for (int64_t i = 0; i < counts[n] * l.y_count / l.rows; i++) part.y[i] = NAN;
                forward(k, &part, MT_ACT_tanh, 1, 0);
                check_eq(memcmp(whole, l.y, sizeof(float) * (size_t)l.y_count), 0, "%s: shape %d, rows %d..+%ld differ",
                    k->name, s, start, (long)counts[n]);
            }
        unfence();
    }
}
Test(conv2d, row_does_not_depend_on_its_neighbours, .timeout = 300) { each_isa(independence); }

// a pixel that is NaN shows in its own row and nowhere else, forward and in dx
static void nan_rows(const mt_kernels *k) {
    for (int s = 0; s < shape_count; s++) {
        const mt_conv2d *c = &shapes[s];
        layer l = layer_new(k, c, 5, MT_ACT_identity);
        int64_t image = l.x_count / 5, first = 0;
        for (int64_t i = 0; i < image; i++) l.x[2 * image + i] = NAN;
        for (int64_t i = 0; i < l.y_count / 5; i++) l.dz[3 * l.y_count / 5 + i] = NAN;
        forward(k, &l, MT_ACT_relu, 1, 0);
        backward(k, &l, MT_ACT_identity, 1, 0, 0);
        for (int64_t i = 0; i < l.y_count; i++)
            check_eq(isnan(l.y[i]) != 0, i / (l.y_count / 5) == 2, "%s: shape %d, y[%ld] = %g", k->name, s, (long)i,
                (double)l.y[i]);
        for (int64_t i = 0; i < l.x_count; i++)
            check(
                !isnan(l.dx[i]) || i / image == 3, "%s: shape %d, dx[%ld] = %g", k->name, s, (long)i, (double)l.dx[i]);
        for (int64_t i = 0; i < image; i++) first += isnan(l.dx[3 * image + i]) != 0;
        check_gt(first, 0, "%s: shape %d: no NaN in dx", k->name, s);
        unfence();
    }
}
Test(conv2d, nan_stays_in_its_row, .timeout = 300) { each_isa(nan_rows); }
