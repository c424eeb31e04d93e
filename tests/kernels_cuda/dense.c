// Dense layers by cuBLASLt against a plain reference in double, over odd shapes, every activation, with and without
// bias, in TF32, and in bf16, where the reference multiplies what is rounded. Exit status as own.c.
#include "harness.h"

static double activated(mt_activation act, double z) {
    switch (act) {
    case MT_ACT_tanh: return tanh(z);
    case MT_ACT_relu: return z > 0 ? z : 0;
    case MT_ACT_elu: return z > 0 ? z : expm1(z);
    case MT_ACT_gelu: return 0.5 * z * erfc(-z / sqrt(2));
    case MT_ACT_silu: return z / (1 + exp(-z));
    case MT_ACT_identity:
    case MT_ACT_COUNT: break;
    }
    return z;
}
static double slope(mt_activation act, double z) {
    double s;
    switch (act) {
    case MT_ACT_tanh: return 1 - tanh(z) * tanh(z);
    case MT_ACT_relu: return z > 0;
    case MT_ACT_elu: return z > 0 ? 1 : exp(z);
    case MT_ACT_gelu: return 0.5 * erfc(-z / sqrt(2)) + z * exp(-0.5 * z * z) / sqrt(2 * M_PI);
    case MT_ACT_silu: s = 1 / (1 + exp(-z)); return s * (1 + z * (1 - s));
    case MT_ACT_identity:
    case MT_ACT_COUNT: break;
    }
    return 1;
}

static float to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}
// what a product multiplies
static float *multiplied(const float *x, int64_t count, mt_cuda_precision precision) {
    float *y = host_floats(count);
    for (int64_t i = 0; i < count; i++) y[i] = precision == MT_CUDA_BF16 ? to_bf16(x[i]) : x[i];
    return y;
}

static void run(mt_cuda_dense *dense, int64_t rows, int in, int out, mt_activation act, int with_bias, int accumulate,
    mt_cuda_precision precision) {
    // products of `in` (or rows) terms of size 1, in units of the result
    double unit = precision == MT_CUDA_TF32 ? 2e-3 : 2e-6;
    int64_t x_count = rows * in, y_count = rows * out, w_count = (int64_t)in * out;
    float *z = normals_of(x_count, 1), *x = host_floats(x_count), *w = normals_of(w_count, 1 / sqrt(in)),
          *b = normals_of(out, 1);
    float *dz = normals_of(y_count, 1), *dw = normals_of(w_count, 1), *db = normals_of(out, 1),
          *y = host_floats(y_count), *pre = host_floats(y_count);
    float *dx = host_floats(x_count);
    float *dw_up = UP(dw, w_count), *db_up = UP(db, out), *w_up = UP(w, w_count), *dz_up = UP(dz, y_count);
    for (int64_t i = 0; i < x_count; i++) x[i] = (float)activated(act, z[i]);
    const float *mx = multiplied(x, x_count, precision), *mw = multiplied(w, w_count, precision),
                *mdz = multiplied(dz, y_count, precision);
    for (int64_t r = 0; r < rows; r++)
        for (int o = 0; o < out; o++) {
            double sum = with_bias ? b[o] : 0;
            for (int i = 0; i < in; i++) sum += (double)mx[r * in + i] * mw[(int64_t)o * in + i];
            pre[r * out + o] = (float)sum, y[r * out + o] = (float)activated(act, sum);
        }
    float *x_up = UP(x, x_count), *y_up = NEW(float, y_count), *pre_up = NEW(float, y_count),
          *dx_up = NEW(float, x_count);
    int needs_pre = mt_activation_needs_pre(act);
    must(mt_cuda_dense_forward(dense, &(mt_dense_forward){.rows = rows,
                                          .in = in,
                                          .out = out,
                                          .activation = act,
                                          .x = x_up,
                                          .weight = w_up,
                                          .bias = with_bias ? UP(b, out) : NULL,
                                          .y = y_up,
                                          .pre = needs_pre || rows % 2 ? pre_up : NULL}));
    static const char *const forwards[] = {"dense_forward", "dense_forward, TF32", "dense_forward, bf16"},
                             *const backwards[] = {"dense_backward", "dense_backward, TF32", "dense_backward, bf16"};
    const char *forward = forwards[precision], *backward = backwards[precision];
    COMPARE(float, forward, y_up, y, y_count, unit * 5, TOLERANT);
    if (needs_pre || rows % 2) COMPARE(float, forward, pre_up, pre, y_count, unit * 5, TOLERANT);
    for (int o = 0; o < out; o++) {
        double sum = accumulate ? db[o] : 0;
        for (int64_t r = 0; r < rows; r++) sum += dz[r * out + o];
        db[o] = (float)sum;
        for (int i = 0; i < in; i++) {
            sum = accumulate ? dw[(int64_t)o * in + i] : 0;
            for (int64_t r = 0; r < rows; r++) sum += (double)mdz[r * out + o] * mx[r * in + i];
            dw[(int64_t)o * in + i] = (float)sum;
        }
    }
    for (int64_t r = 0; r < rows; r++)
        for (int i = 0; i < in; i++) {
            double sum = 0;
            for (int o = 0; o < out; o++) sum += (double)mdz[r * out + o] * mw[(int64_t)o * in + i];
            dx[r * in + i] = (float)(sum * slope(act, z[r * in + i]));
        }
    must(mt_cuda_dense_backward(dense, &(mt_dense_backward){.rows = rows,
                                           .in = in,
                                           .out = out,
                                           .x = x_up,
                                           .dz = dz_up,
                                           .weight = w_up,
                                           .x_activation = act,
                                           .x_pre = needs_pre ? UP(z, x_count) : NULL,
                                           .dx = x_count % 3 ? dx_up : NULL,
                                           .dw = dw_up,
                                           .db = with_bias ? db_up : NULL,
                                           .accumulate = accumulate}));
    double length = sqrt((double)rows + 1);
    COMPARE(float, backward, dw_up, dw, w_count, unit * 5 * length, TOLERANT);
    if (with_bias) COMPARE(float, backward, db_up, db, out, unit * 5 * length, TOLERANT);
    if (x_count % 3) COMPARE(float, backward, dx_up, dx, x_count, unit * 10 * sqrt(out / (double)in + 1), TOLERANT);
    done(forward);
}

// no rows: gradients of nothing
static void run_empty(mt_cuda_dense *dense) {
    float one[6] = {1, 1, 1, 1, 1, 1}, none[6] = {0};
    float *dw = UP(one, 6), *db = UP(one, 2);
    mt_dense_backward a = {.in = 3, .out = 2, .dw = dw, .db = db, .accumulate = 1};
    must(mt_cuda_dense_backward(dense, &a));
    COMPARE(float, "dense_backward, no rows", dw, one, 6, 0, TOLERANT);
    a.accumulate = 0;
    must(mt_cuda_dense_backward(dense, &a));
    COMPARE(float, "dense_backward, no rows", dw, none, 6, 0, TOLERANT);
    COMPARE(float, "dense_backward, no rows", db, none, 2, 0, TOLERANT);
    done("dense_backward, no rows");
}

// more rows than the rounded copies of fit at once, and less scratch space than one layer needs
static void run_little_space(void) {
    mt_cuda little = cuda;
    mt_cuda_dense *dense;
    little.workspace_bytes = 64 << 10;
    must(mt_cuda_dense_create(&little, MT_CUDA_BF16, &dense));
    for (int act = 0; act < MT_ACT_COUNT; act++)
        for (int accumulate = 0; accumulate < 2; accumulate++)
            run(dense, 1003, 64, 17, (mt_activation)act, 1, accumulate, MT_CUDA_BF16);
    mt_dense_forward a = {.rows = 1, .in = 1024, .out = 1024, .x = NEW(float, 1024), .weight = NEW(float, 1 << 20)};
    a.y = NEW(float, 1024);
    if (mt_cuda_dense_forward(dense, &a) != MT_NO_MEMORY || !strstr(mt_last_error(), "scratch space"))
        failures++, printf("FAILED dense_forward, bf16: too little scratch space\n");
    done("dense, little scratch space");
    mt_cuda_dense_destroy(dense);
}

int main(void) {
    static const int shapes[][3] = {{1, 1, 1}, {1, 4, 64}, {3, 17, 5}, {17, 3, 65}, {64, 64, 64}, {65, 64, 1},
        {65, 1, 64}, {1000, 65, 17}, {4099, 64, 6}, {256, 256, 256}, {1, 256, 18}, {8, 376, 64}};
    int status = harness_open();
    if (status) return status;
    for (mt_cuda_precision precision = MT_CUDA_FP32; precision <= MT_CUDA_BF16; precision++) {
        mt_cuda_dense *dense;
        must(mt_cuda_dense_create(&cuda, precision, &dense));
        // more shapes, places and epilogues than plans are kept: old ones give way
        for (skew = 0; skew < 2; skew++)
            for (int s = 0; s < 12; s++)
                for (int act = 0; act < MT_ACT_COUNT; act++)
                    for (int variant = 0; variant < 4; variant++)
                        run(dense, shapes[s][0], shapes[s][1], shapes[s][2], (mt_activation)act, variant & 1,
                            variant & 2, precision);
        run_empty(dense);
        mt_cuda_dense_destroy(dense);
    }
    run_little_space();
    return harness_close();
}
