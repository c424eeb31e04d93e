// Dense layers and activations against plain loops in double, for every instruction set this machine has.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

static const char *const isa_names[MT_ISA_COUNT] = {"plain", "avx2", "avx512"};

// calls test(kernels) for each instruction set; one that is missing is named, not passed over
static void each_isa(void (*test)(const mt_kernels *k)) {
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        const mt_kernels *k = mt_kernels_cpu((mt_isa)isa);
        if (k) test(k);
        else printf("skipped %s: this machine or build has no %s\n", isa_names[isa], isa_names[isa]);
    }
}

// ---- inputs: a small generator of its own, so that a failure names a reproducible case
static uint64_t lcg_state = 1;
static float uniform(void) {   // (-1, 1)
    lcg_state = lcg_state * 6364136223846793005ull + 1442695040888963407ull;
    return (float)((double)(lcg_state >> 11) * 0x1p-52 - 1.0);
}

// ---- arrays with guards: `guard` floats of a pattern on either side, checked when the array is freed
enum { guard = 64 };
static const uint32_t guard_word = 0x7fa5a5a5u;   // a NaN: reading one shows in the results

static float *array(int64_t count, float scale) {
    float *base = aligned_alloc(64, sizeof(float) * (size_t)((count + 2 * guard + 15) / 16 * 16));
    cr_assert(base);
    for (int64_t i = 0; i < count + 2 * guard; i++) memcpy(base + i, &guard_word, sizeof guard_word);
    for (int64_t i = 0; i < count; i++) base[guard + i] = scale * uniform();
    return base + guard;
}
static void array_free(float *p, int64_t count, const char *what) {
    for (int64_t i = -guard; i < count + guard; i++) {
        if (i >= 0 && i < count) continue;
        uint32_t word;
        memcpy(&word, p + i, sizeof word);
        cr_assert_eq(word, guard_word, "%s: wrote at [%lld] of %lld", what, (long long)i, (long long)count);
    }
    free(p - guard);
}

// ---- reference
static double act_ref(mt_activation act, double z) {
    switch (act) {
    case MT_ACT_tanh: return tanh(z);
    case MT_ACT_relu: return z > 0 ? z : 0;
    case MT_ACT_elu: return z > 0 ? z : expm1(z);
    case MT_ACT_gelu: return 0.5 * z * erfc(-z / sqrt(2));
    case MT_ACT_silu: return z / (1 + exp(-z));
    default: return z;
    }
}
static double act_slope_ref(mt_activation act, double z) {
    double h = 1e-5;
    if (act == MT_ACT_relu) return z > 0;
    if (act == MT_ACT_elu) return z > 0 ? 1 : exp(z);
    return (act_ref(act, z + h) - act_ref(act, z - h)) / (2 * h);
}

typedef struct layer {
    int64_t rows;
    int in, out;
    float *x, *x_pre, *weight, *weight_t, *bias, *y, *pre, *dz, *dx, *dw, *db;
} layer;

static layer layer_new(const mt_kernels *k, int64_t rows, int in, int out, mt_activation x_act) {
    layer l = {.rows = rows, .in = in, .out = out};
    l.x_pre = array(rows * in, 2.0f);
    l.x = array(rows * in, 1.0f);
    for (int64_t i = 0; i < rows * in; i++) l.x[i] = (float)act_ref(x_act, l.x_pre[i]);
    l.weight = array((int64_t)out * in, 1.0f);
    l.weight_t = array((int64_t)out * in, 1.0f);
    l.bias = array(out, 1.0f);
    l.y = array(rows * out, 1.0f);
    l.pre = array(rows * out, 1.0f);
    l.dz = array(rows * out, 1.0f);
    l.dx = array(rows * in, 1.0f);
    l.dw = array((int64_t)out * in, 1.0f);
    l.db = array(out, 1.0f);
    k->dense_pack(out, in, l.weight, l.weight_t);
    return l;
}
static void layer_free(layer *l) {
    array_free(l->x, l->rows * l->in, "x");
    array_free(l->x_pre, l->rows * l->in, "x_pre");
    array_free(l->weight, (int64_t)l->out * l->in, "weight");
    array_free(l->weight_t, (int64_t)l->out * l->in, "weight_t");
    array_free(l->bias, l->out, "bias");
    array_free(l->y, l->rows * l->out, "y");
    array_free(l->pre, l->rows * l->out, "pre");
    array_free(l->dz, l->rows * l->out, "dz");
    array_free(l->dx, l->rows * l->in, "dx");
    array_free(l->dw, (int64_t)l->out * l->in, "dw");
    array_free(l->db, l->out, "db");
}
static void layer_forward(const mt_kernels *k, const layer *l, mt_activation act, int bias, int pre) {
    mt_dense_forward f = {.rows = l->rows, .in = l->in, .out = l->out, .activation = act, .x = l->x, .weight = l->weight,
        .weight_t = l->weight_t, .bias = bias ? l->bias : NULL, .y = l->y,
        .pre = pre || mt_activation_needs_pre(act) ? l->pre : NULL};
    k->dense_forward(&f);
}
static void layer_backward(const mt_kernels *k, const layer *l, mt_activation x_act, int dx, int db, int accumulate) {
    mt_dense_backward b = {.rows = l->rows, .in = l->in, .out = l->out, .x = l->x, .dz = l->dz, .weight = l->weight,
        .x_activation = x_act, .x_pre = mt_activation_needs_pre(x_act) ? l->x_pre : NULL, .dx = dx ? l->dx : NULL,
        .dw = l->dw, .db = db ? l->db : NULL, .accumulate = accumulate};
    k->dense_backward(&b);
}

// |got - want| within `ulps` roundings of the sum of the terms' magnitudes
static void near(float got, double want, double magnitude, const char *isa, const char *what, int64_t rows, int in, int out,
    int64_t at) {
    double bound = 4e-7 * magnitude + 8e-7;
    cr_assert(fabs(got - want) <= bound, "%s: %s[%lld] of (%lld, %d → %d) is %.9g, should be %.9g ± %.2g", isa, what,
        (long long)at, (long long)rows, in, out, (double)got, want, bound);
}

static void check_forward(const mt_kernels *k, const layer *l, mt_activation act, int bias, int pre) {
    layer_forward(k, l, act, bias, pre);
    for (int64_t r = 0; r < l->rows; r++)
        for (int o = 0; o < l->out; o++) {
            double z = bias ? (double)l->bias[o] : 0.0, magnitude = fabs(z);
            for (int i = 0; i < l->in; i++) {
                double term = (double)l->x[r * l->in + i] * (double)l->weight[(int64_t)o * l->in + i];
                z += term;
                magnitude += fabs(term);
            }
            int64_t at = r * l->out + o;
            near(l->y[at], act_ref(act, z), magnitude, k->name, "y", l->rows, l->in, l->out, at);
            if (pre || mt_activation_needs_pre(act)) near(l->pre[at], z, magnitude, k->name, "pre", l->rows, l->in, l->out, at);
        }
}

static void check_backward(const mt_kernels *k, layer *l, mt_activation x_act, int dx, int db, int accumulate) {
    int64_t weights = (int64_t)l->in * l->out;
    double *dw0 = calloc((size_t)(weights + l->out), sizeof *dw0);
    if (accumulate) {
        for (int64_t i = 0; i < weights; i++) dw0[i] = l->dw[i];
        for (int o = 0; o < l->out; o++) dw0[weights + o] = l->db[o];
    }
    layer_backward(k, l, x_act, dx, db, accumulate);
    for (int o = 0; o < l->out; o++)
        for (int i = 0; i <= l->in; i++) {   // i = in: the bias
            if (i == l->in && !db) continue;
            int64_t at = i < l->in ? (int64_t)o * l->in + i : o;
            double sum = i < l->in ? dw0[at] : dw0[weights + o], magnitude = fabs(sum);
            for (int64_t r = 0; r < l->rows; r++) {
                double term = (double)l->dz[r * l->out + o] * (i < l->in ? (double)l->x[r * l->in + i] : 1.0);
                sum += term;
                magnitude += fabs(term);
            }
            near(i < l->in ? l->dw[at] : l->db[o], sum, magnitude, k->name, i < l->in ? "dw" : "db", l->rows, l->in, l->out, at);
        }
    for (int64_t r = 0; dx && r < l->rows; r++)
        for (int i = 0; i < l->in; i++) {
            double sum = 0, magnitude = 0, slope = act_slope_ref(x_act, l->x_pre[r * l->in + i]);
            for (int o = 0; o < l->out; o++) {
                double term = (double)l->dz[r * l->out + o] * (double)l->weight[(int64_t)o * l->in + i];
                sum += term;
                magnitude += fabs(term);
            }
            near(l->dx[r * l->in + i], sum * slope, 3 * magnitude, k->name, "dx", l->rows, l->in, l->out, r * l->in + i);
        }
    free(dw0);
}

// ---- every combination of odd and round sizes
static const int sizes[] = {1, 2, 3, 4, 7, 15, 16, 17, 33, 64, 65, 128, 130};
enum { size_count = sizeof sizes / sizeof *sizes };

static void odd_sizes(const mt_kernels *k) {
    for (int r = 0; r < size_count; r++)
        for (int i = 0; i < size_count; i++)
            for (int o = 0; o < size_count; o++) {
                int odd = r + i + o;   // walks the flags through the combinations
                mt_activation act = (mt_activation)(odd % MT_ACT_COUNT), x_act = (mt_activation)((odd / 2) % MT_ACT_COUNT);
                layer l = layer_new(k, sizes[r], sizes[i], sizes[o], x_act);
                check_forward(k, &l, act, odd % 5 != 0, odd % 3 == 0);
                check_backward(k, &l, x_act, odd % 4 != 0, odd % 7 != 0, odd & 1);
                layer_free(&l);
            }
}
Test(dense, matches_reference_over_odd_sizes, .timeout = 120) { each_isa(odd_sizes); }

static void big_sizes(const mt_kernels *k) {
    static const int shapes[][3] = {{70, 300, 520}, {300, 64, 64}, {37, 1030, 70}, {5, 40, 1100}, {700, 33, 5}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        layer l = layer_new(k, shapes[s][0], shapes[s][1], shapes[s][2], MT_ACT_tanh);
        check_forward(k, &l, MT_ACT_identity, 1, 1);
        check_backward(k, &l, MT_ACT_tanh, 1, 1, s & 1);
        layer_free(&l);
    }
}
Test(dense, matches_reference_beyond_a_cache_block, .timeout = 120) { each_isa(big_sizes); }

static void activations(const mt_kernels *k) {
    for (int act = 0; act < MT_ACT_COUNT; act++)
        for (int x_act = 0; x_act < MT_ACT_COUNT; x_act++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                layer l = layer_new(k, 13, 19, 37, (mt_activation)x_act);
                check_forward(k, &l, (mt_activation)act, 1, accumulate);
                check_backward(k, &l, (mt_activation)x_act, 1, 1, accumulate);
                layer_free(&l);
            }
}
Test(dense, every_activation) { each_isa(activations); }

static void no_rows(const mt_kernels *k) {
    layer l = layer_new(k, 0, 5, 7, MT_ACT_identity);
    layer_forward(k, &l, MT_ACT_tanh, 1, 0);
    check_backward(k, &l, MT_ACT_identity, 1, 1, 0);   // zeros
    check_backward(k, &l, MT_ACT_identity, 1, 1, 1);   // untouched
    layer_free(&l);
}
Test(dense, zero_rows) { each_isa(no_rows); }

// ---- gradients by central differences of L = Σ c ∘ y through two layers
static double two_layer_loss(const mt_kernels *k, layer *a, layer *b, mt_activation act, const float *c) {
    layer_forward(k, a, act, 1, 1);
    memcpy(b->x, a->y, sizeof(float) * (size_t)(b->rows * b->in));
    layer_forward(k, b, MT_ACT_identity, 1, 0);
    double loss = 0;
    for (int64_t i = 0; i < b->rows * b->out; i++) loss += (double)c[i] * (double)b->y[i];
    return loss;
}
static void finite_differences(const mt_kernels *k) {
    for (int act = 0; act < MT_ACT_COUNT; act++) {
        layer a = layer_new(k, 9, 5, 21, MT_ACT_identity), b = layer_new(k, 9, 21, 3, MT_ACT_identity);
        float *c = array(b.rows * b.out, 1.0f);
        two_layer_loss(k, &a, &b, (mt_activation)act, c);
        memcpy(b.dz, c, sizeof(float) * (size_t)(b.rows * b.out));
        memcpy(b.x_pre, a.pre, sizeof(float) * (size_t)(a.rows * a.out));
        layer_backward(k, &b, (mt_activation)act, 1, 1, 0);
        memcpy(a.dz, b.dx, sizeof(float) * (size_t)(a.rows * a.out));
        layer_backward(k, &a, MT_ACT_identity, 1, 1, 0);
        for (int w = 0; w < a.in * a.out; w++) {
            int kink = 0;   // relu's, between the two points of the difference, in any row
            for (int64_t r = 0; r < a.rows; r++) kink |= fabsf(b.x_pre[r * a.out + w / a.in]) < 2e-2f;
            if (act == MT_ACT_relu && kink) continue;
            float kept = a.weight[w], h = 1e-2f;
            a.weight[w] = kept + h;
            k->dense_pack(a.out, a.in, a.weight, a.weight_t);
            double up = two_layer_loss(k, &a, &b, (mt_activation)act, c);
            a.weight[w] = kept - h;
            k->dense_pack(a.out, a.in, a.weight, a.weight_t);
            double slope = (up - two_layer_loss(k, &a, &b, (mt_activation)act, c)) / (2 * (double)h);
            a.weight[w] = kept;
            k->dense_pack(a.out, a.in, a.weight, a.weight_t);
            cr_assert(fabs(slope - (double)a.dw[w]) < 4e-3 * (1 + fabs(slope)), "%s %s: dw[%d] %g, difference %g",
                k->name, mt_activation_name((mt_activation)act), w, (double)a.dw[w], slope);
        }
        array_free(c, b.rows * b.out, "c");
        layer_free(&a);
        layer_free(&b);
    }
}
Test(dense, gradient_matches_finite_differences) { each_isa(finite_differences); }

// ---- a row's result has the same bits whatever rows are beside it
static void row_independence(const mt_kernels *k) {
    static const int shapes[][2] = {{4, 64}, {64, 64}, {64, 2}, {64, 1}, {65, 3}, {17, 5}, {33, 70}, {3, 3}, {130, 17}, {600, 80}};
    static const int starts[] = {0, 1, 5, 16, 30}, counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 17, 40};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        layer l = layer_new(k, 70, shapes[s][0], shapes[s][1], MT_ACT_identity);
        layer_forward(k, &l, MT_ACT_tanh, 1, 0);
        float *whole = array(l.rows * l.out, 1.0f);
        memcpy(whole, l.y, sizeof(float) * (size_t)(l.rows * l.out));
        for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
            for (size_t j = 0; j < sizeof counts / sizeof *counts; j++) {
                layer part = l;
                part.x += (int64_t)starts[i] * l.in;
                part.y += (int64_t)starts[i] * l.out;
                part.rows = counts[j];
                for (int64_t n = 0; n < part.rows * l.out; n++) part.y[n] = 9;
                layer_forward(k, &part, MT_ACT_tanh, 1, 0);
                cr_assert(memcmp(whole, l.y, sizeof(float) * (size_t)(l.rows * l.out)) == 0,
                    "%s (%d → %d): rows %d..+%d differ from the whole batch's", k->name, l.in, l.out, starts[i], counts[j]);
            }
        array_free(whole, l.rows * l.out, "whole");
        layer_free(&l);
    }
}
Test(dense, row_does_not_depend_on_its_neighbours) { each_isa(row_independence); }

// ---- NaN in one row of x shows in that row of y and nowhere else
static void nan_rows(const mt_kernels *k) {
    static const int shapes[][2] = {{4, 64}, {64, 64}, {64, 2}, {65, 3}, {3, 3}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int act = 0; act < MT_ACT_COUNT; act++) {
            layer l = layer_new(k, 23, shapes[s][0], shapes[s][1], MT_ACT_identity);
            l.x[11 * l.in + l.in / 2] = NAN;
            layer_forward(k, &l, (mt_activation)act, 1, 0);
            for (int64_t i = 0; i < l.rows * l.out; i++)
                cr_assert_eq(isnan(l.y[i]) != 0, i / l.out == 11, "%s %s (%d → %d): y[%lld] = %g", k->name,
                    mt_activation_name((mt_activation)act), l.in, l.out, (long long)i, (double)l.y[i]);
            layer_free(&l);
        }
}
Test(dense, nan_stays_in_its_row) { each_isa(nan_rows); }

static void pack(const mt_kernels *k) {
    for (int i = 0; i < size_count; i++)
        for (int o = 0; o < size_count; o++) {
            int in = sizes[i], out = sizes[o];
            float *w = array((int64_t)in * out, 1.0f), *wt = array((int64_t)in * out, 1.0f);
            k->dense_pack(out, in, w, wt);
            for (int a = 0; a < in; a++)
                for (int b = 0; b < out; b++) cr_assert(wt[a * out + b] == w[b * in + a], "%s (%d, %d)", k->name, out, in);
            array_free(w, (int64_t)in * out, "weight");
            array_free(wt, (int64_t)in * out, "weight_t");
        }
}
Test(dense, pack_transposes) { each_isa(pack); }

// ---- activations by themselves
static void activate_accuracy(const mt_kernels *k) {
    static const double bound[MT_ACT_COUNT] = {
        [MT_ACT_tanh] = 5e-7, [MT_ACT_elu] = 2e-7, [MT_ACT_gelu] = 2e-6, [MT_ACT_silu] = 2e-6};
    enum { n = 200001 };
    float *z = array(n, 1.0f), *y = array(n, 1.0f);
    for (int act = 0; act < MT_ACT_COUNT; act++) {
        for (int i = 0; i < n; i++) z[i] = (float)(i - n / 2) * 24.0f / n;   // (-12, 12) in steps of 1.2e-4
        k->activate((mt_activation)act, n, z, y);
        for (int i = 0; i < n; i++)
            cr_assert(fabs((double)y[i] - act_ref((mt_activation)act, z[i])) <= bound[act], "%s %s(%.9g) = %.9g, is %.9g", k->name,
                mt_activation_name((mt_activation)act), (double)z[i], (double)y[i], act_ref((mt_activation)act, z[i]));
        k->activate((mt_activation)act, n, z, z);   // in place: the same bits
        cr_assert_eq(memcmp(z, y, sizeof(float) * n), 0);
    }
    array_free(z, n, "z");
    array_free(y, n, "y");
}
Test(activate, accuracy) { each_isa(activate_accuracy); }

static void tanh_shape(const mt_kernels *k) {
    enum { n = 400003 };
    float *z = array(n, 1.0f), *y = array(n, 1.0f), *negative = array(n, 1.0f);
    for (int i = 0; i < n; i++) z[i] = (float)exp(-30 + 35.0 * i / n);   // 1e-13 .. 148
    k->activate(MT_ACT_tanh, n, z, y);
    for (int i = 0; i < n; i++) {
        double want = tanh(z[i]);
        cr_assert(fabs((double)y[i] - want) <= fmin(5e-7, 2e-6 * want), "%s tanh(%.9g) = %.9g", k->name, (double)z[i], (double)y[i]);
        cr_assert(y[i] <= 1.0f, "%s tanh(%.9g) = %.9g > 1", k->name, (double)z[i], (double)y[i]);
        z[i] = -z[i];
    }
    k->activate(MT_ACT_tanh, n, z, negative);
    for (int i = 0; i < n; i++) cr_assert(negative[i] == -y[i], "%s: tanh is not odd at %.9g", k->name, (double)z[i]);
    array_free(z, n, "z");
    array_free(y, n, "y");
    array_free(negative, n, "negative");

    float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 3e38f, -3e38f, 1e-40f, 9.5f}, out[9];
    k->activate(MT_ACT_tanh, 9, special, out);
    cr_assert(out[0] == 0 && !signbit(out[0]) && out[1] == 0 && signbit(out[1]), "%s: zeros", k->name);
    cr_assert(out[2] == 1 && out[3] == -1 && isnan(out[4]) && out[5] == 1 && out[6] == -1 && out[8] == 1, "%s: saturation", k->name);
    cr_assert(fabsf(out[7] - 1e-40f) < 1e-42f, "%s: denormal %g", k->name, (double)out[7]);
}
Test(activate, tanh_is_odd_bounded_and_relatively_accurate) { each_isa(tanh_shape); }

static void slopes(const mt_kernels *k) {
    enum { n = 4001 };
    float *z = array(n, 1.0f), *y = array(n, 1.0f), *dy = array(n, 1.0f), *dz = array(n, 1.0f);
    for (int act = 0; act < MT_ACT_COUNT; act++) {
        for (int i = 0; i < n; i++) z[i] = (float)(i - n / 2 + 0.25f) * 16.0f / n;
        k->activate((mt_activation)act, n, z, y);
        k->activate_backward((mt_activation)act, n, y, mt_activation_needs_pre((mt_activation)act) ? z : NULL, dy, dz);
        for (int i = 0; i < n; i++) {
            double want = (double)dy[i] * act_slope_ref((mt_activation)act, z[i]);
            cr_assert(fabs((double)dz[i] - want) < 4e-6, "%s %s'(%g): %.9g, is %.9g", k->name, mt_activation_name((mt_activation)act),
                (double)z[i], (double)dz[i], want);
        }
    }
    array_free(z, n, "z");
    array_free(y, n, "y");
    array_free(dy, n, "dy");
    array_free(dz, n, "dz");
}
Test(activate, slopes_match_differences) { each_isa(slopes); }
