// Dense layers by cuBLASLt, forward (bias, tanh) and backward (dw, db, dx), against the vendor's own rate: a product of
// 8192 × 8192 matrices without anything around it, in fp32, in TF32 and in bf16
// (the rounding of what is multiplied included).
#include "bench/gpu/gpu.h"

static mt_cuda_dense *dense;
static mt_status call_forward(void *context) { return mt_cuda_dense_forward(dense, context); }
static mt_status call_backward(void *context) { return mt_cuda_dense_backward(dense, context); }

static void shape(int64_t rows, int in, int out, const char *mode, double peak) {
    char name[64];
    int64_t most = rows * (in > out ? in : out), weights = (int64_t)in * out;
    float *x = gpu_floats(most, -1, 1), *dz = gpu_floats(most, -1, 1), *w = gpu_floats(weights, -0.1f, 0.1f),
          *b = gpu_floats(out, -1, 1);
    float *y = gpu_zeros(4 * most), *dw = gpu_zeros(4 * weights), *db = gpu_zeros(4 * (int64_t)out);
    mt_dense_forward f = {
        .rows = rows, .in = in, .out = out, .activation = MT_ACT_tanh, .x = x, .weight = w, .bias = b, .y = y};
    mt_dense_backward g = {.rows = rows,
        .in = in,
        .out = out,
        .x = x,
        .dz = dz,
        .weight = w,
        .x_activation = MT_ACT_tanh,
        .dx = y,
        .dw = dw,
        .db = db};
    double flop = 2.0 * (double)rows * in * out;
    snprintf(name, sizeof name, "forward, %s, %lld rows, %d to %d", mode, (long long)rows, in, out);
    gpu_row(name, flop / gpu_seconds(call_forward, &f) * 1e-12, "TFLOP/s", "product of 8192", peak);
    snprintf(name, sizeof name, "backward, %s, %lld rows, %d to %d", mode, (long long)rows, in, out);
    gpu_row(name, 2 * flop / gpu_seconds(call_backward, &g) * 1e-12, "TFLOP/s", "product of 8192", peak);
    float *all[] = {x, dz, w, b, y, dw, db};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) gpu_free(all[i]);
}

double gpu_product_rate(mt_cuda_dense *of) {
    enum { SIDE = 8192 };
    float *x = gpu_floats((int64_t)SIDE * SIDE, -1, 1), *w = gpu_floats((int64_t)SIDE * SIDE, -1, 1),
          *y = gpu_zeros(4 * (int64_t)SIDE * SIDE);
    mt_dense_forward whole = {.rows = SIDE, .in = SIDE, .out = SIDE, .x = x, .weight = w, .y = y};
    dense = of;
    double rate = 2.0 * SIDE * (double)SIDE * SIDE / gpu_seconds(call_forward, &whole) * 1e-12;
    gpu_free(x), gpu_free(w), gpu_free(y);
    return rate;
}

void bench_dense(void) {
    static const int shapes[][3] = {{64, 64, 64}, {4096, 64, 64}, {65536, 64, 64}, {4096, 256, 256}, {65536, 256, 256},
        {65536, 512, 512}, {16384, 1024, 1024}};
    static const char *const modes[] = {"fp32", "TF32", "bf16"};
    for (mt_cuda_precision precision = MT_CUDA_FP32; precision <= MT_CUDA_BF16; precision++) {
        const char *mode = modes[precision];
        mt_cuda wide = bench_gpu.cuda; // the same stream; scratch space for the rounded copies of a whole product
        if (precision == MT_CUDA_BF16) wide.workspace_bytes = (size_t)1 << 30, wide.workspace = gpu_zeros((int64_t)1 << 30);
        gpu_must(mt_cuda_dense_create(&wide, precision, &dense));
        char name[64];
        double peak = gpu_product_rate(dense);
        snprintf(name, sizeof name, "product of 8192 x 8192, %s", mode);
        gpu_row(name, peak, "TFLOP/s", NULL, 0);
        mt_cuda_dense_destroy(dense);
        if (precision == MT_CUDA_BF16) gpu_free(wide.workspace);
        gpu_must(mt_cuda_dense_create(&bench_gpu.cuda, precision, &dense));
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            shape(shapes[i][0], shapes[i][1], shapes[i][2], mode, peak);
        mt_cuda_dense_destroy(dense);
    }
}
