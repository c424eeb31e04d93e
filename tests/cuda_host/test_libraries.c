// cuBLASLt and cuDNN of the host implementation: misuse is told. That their numbers are right, tests/kernels_cuda shows.
#include <cublasLt.h>
#include <cudnn.h>
#include <math.h>
#include "tests/cuda_host/check.h"

static void check_code(int code, const char *call, int line) {
    if (code == 0) return;
    fprintf(stderr, "test_libraries.c:%d: %s: %d\n", line, call, code);
    exit(3);
}
#define LT(call)  check_code((int)(call), #call, __LINE__)
#define DNN(call) check_code((int)(call), #call, __LINE__)
enum { SCRATCH_BYTES = 1 << 20 };

static float *device(int count) {
    void *p;
    CHECK_CUDA(cudaMalloc(&p, 4 * (size_t)count));
    CHECK_CUDA(cudaMemset(p, 0, 4 * (size_t)count));
    return p;
}
static float *filled(int count, float scale) {
    float *host = malloc(4 * (size_t)count), *p = device(count);
    for (int i = 0; i < count; i++) host[i] = scale * sinf((float)i + 0.5f);
    CHECK_CUDA(cudaMemcpy(p, host, 4 * (size_t)count, cudaMemcpyDefault));
    free(host);
    return p;
}
static void settle(void) { CHECK_CUDA(cudaDeviceSynchronize()); }

// ---- cuBLASLt: D (3 × 2) = A (3 × 4) · B (4 × 2)

enum { M = 3, N = 2, K = 4 };
static cublasLtHandle_t handle;
static cublasLtMatmulDesc_t operation;
static cublasLtMatrixLayout_t a_layout, b_layout, d_layout;
static cublasLtMatmulHeuristicResult_t found;
static float *a, *b, *d, *bias;
static char *scratch;

static void choose(cublasLtMatrixLayout_t b_shape, cublasLtMatrixLayout_t d_shape) {
    cublasLtMatmulPreference_t preference;
    size_t most = SCRATCH_BYTES;
    int count;
    LT(cublasLtMatmulPreferenceCreate(&preference));
    LT(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most));
    LT(cublasLtMatmulAlgoGetHeuristic(handle, operation, a_layout, b_shape, d_shape, d_shape, preference, 1, &found, &count));
    CHECK(count == 1 && found.workspaceSize > 0);
    LT(cublasLtMatmulPreferenceDestroy(preference));
}
static void set_epilogue(cublasLtEpilogue_t epilogue) {
    LT(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    LT(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
}
static void make_product(void) {
    LT(cublasLtCreate(&handle));
    LT(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    LT(cublasLtMatrixLayoutCreate(&a_layout, CUDA_R_32F, M, K, M));
    LT(cublasLtMatrixLayoutCreate(&b_layout, CUDA_R_32F, K, N, K));
    LT(cublasLtMatrixLayoutCreate(&d_layout, CUDA_R_32F, M, N, M));
    a = filled(M * K, 1), b = filled(K * N, 1), d = filled(M * N, 1), bias = filled(M, 1);
    scratch = (char *)device(SCRATCH_BYTES / 4);
    choose(b_layout, d_layout);
}
static cublasStatus_t multiply(const float *a_, float *d_, size_t scratch_bytes) {
    const float one = 1, zero = 0;
    return cublasLtMatmul(handle, operation, &one, a_, a_layout, b, b_layout, &zero, d_, d_layout, d_, d_layout, &found.algo,
        scratch, scratch_bytes, NULL);
}
static void free_product(void) {
    LT(cublasLtMatrixLayoutDestroy(a_layout)), LT(cublasLtMatrixLayoutDestroy(b_layout)),
        LT(cublasLtMatrixLayoutDestroy(d_layout));
    LT(cublasLtMatmulDescDestroy(operation)), LT(cublasLtDestroy(handle));
    cudaFree(a), cudaFree(b), cudaFree(d), cudaFree(bias), cudaFree(scratch);
}

static void product(void) {
    float ha[M * K], hb[K * N], hd[M * N];
    make_product();
    CHECK(multiply(a, d, found.workspaceSize - 1) == CUBLAS_STATUS_INVALID_VALUE);
    LT(multiply(a, d, found.workspaceSize));
    CHECK_CUDA(cudaMemcpy(ha, a, sizeof ha, cudaMemcpyDefault)), CHECK_CUDA(cudaMemcpy(hb, b, sizeof hb, cudaMemcpyDefault));
    CHECK_CUDA(cudaMemcpy(hd, d, sizeof hd, cudaMemcpyDefault));
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            float sum = 0;
            for (int k = 0; k < K; k++) sum += ha[m + k * M] * hb[k + n * K];
            CHECK(fabsf(hd[m + n * M] - sum) < 1e-6f);
        }
    // nobody keeps anything in the scratch space
    CHECK_CUDA(cudaMemcpy(ha, scratch, sizeof ha, cudaMemcpyDefault));
    CHECK(ha[0] != ha[0]);
    free_product();
}
static void other_shape(void) {
    make_product();
    cublasLtMatrixLayout_t wide_b, wide_d;
    LT(cublasLtMatrixLayoutCreate(&wide_b, CUDA_R_32F, K, N + 1, K));
    LT(cublasLtMatrixLayoutCreate(&wide_d, CUDA_R_32F, M, N + 1, M));
    choose(wide_b, wide_d);
    multiply(a, d, SCRATCH_BYTES);
}
static void misaligned(void) {
    make_product();
    LT(multiply(filled(M * K + 1, 1) + 1, d, SCRATCH_BYTES));
    settle();
}
static void overlap(void) {
    make_product();
    LT(multiply(a, a, SCRATCH_BYTES));
    settle();
}
static void in_scratch(void) {
    make_product();
    LT(multiply(a, (float *)(void *)scratch, SCRATCH_BYTES));
    settle();
}
static void no_bias(void) {
    make_product();
    bias = NULL;
    set_epilogue(CUBLASLT_EPILOGUE_BIAS);
    choose(b_layout, d_layout);
    LT(multiply(a, d, SCRATCH_BYTES));
    settle();
}
static void short_bias(void) {
    make_product();
    bias = device(M - 1);
    set_epilogue(CUBLASLT_EPILOGUE_RELU_BIAS);
    choose(b_layout, d_layout);
    LT(multiply(a, d, SCRATCH_BYTES));
    settle();
}
static void unknown_epilogue(void) {
    make_product();
    set_epilogue(CUBLASLT_EPILOGUE_GELU);
    choose(b_layout, d_layout);
    multiply(a, d, SCRATCH_BYTES);
}
static void destroyed(void) {
    make_product();
    cublasLtMatmulDesc_t gone = operation;
    LT(cublasLtMatmulDescDestroy(gone));
    multiply(a, d, SCRATCH_BYTES);
}
static void leak(void) {
    cublasLtMatrixLayout_t l;
    LT(cublasLtMatrixLayoutCreate(&l, CUDA_R_32F, M, K, M));
}
static void fails(void) {
    make_product();
    LT(multiply(a, d, SCRATCH_BYTES));
    CHECK(multiply(a, d, SCRATCH_BYTES) == CUBLAS_STATUS_EXECUTION_FAILED);
    free_product();
}

// ---- cuDNN: an LSTM over sequences of 4, 2 and 1 steps

enum { IN = 3, UNITS = 5, STEPS = 4, SEQUENCES = 3 };
static const int lengths[SEQUENCES] = {4, 2, 1};
static cudnnHandle_t dnn;
static cudnnDropoutDescriptor_t dropout;
static cudnnRNNDescriptor_t rnn;
static size_t param_bytes, work_bytes, reserve_bytes;
static float *params, *work, *reserved, *gradients;

typedef struct sequences {
    cudnnRNNDataDescriptor_t x_shape, y_shape;
    cudnnTensorDescriptor_t state;
    int32_t *lengths;
    float *x, *y, *dy, *dx, *h, *c, *h_after, *c_after;
    int count, rows;
} sequences;

static void make_layer(cudnnRNNMode_t cell) {
    DNN(cudnnCreate(&dnn));
    DNN(cudnnCreateDropoutDescriptor(&dropout)), DNN(cudnnSetDropoutDescriptor(dropout, dnn, 0, NULL, 0, 0));
    DNN(cudnnCreateRNNDescriptor(&rnn));
    DNN(cudnnSetRNNDescriptor_v8(rnn, CUDNN_RNN_ALGO_STANDARD, cell, CUDNN_RNN_DOUBLE_BIAS, CUDNN_UNIDIRECTIONAL,
        CUDNN_LINEAR_INPUT, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, CUDNN_FMA_MATH, IN, UNITS, UNITS, 1, dropout,
        CUDNN_RNN_PADDED_IO_DISABLED));
    DNN(cudnnGetRNNWeightSpaceSize(dnn, rnn, &param_bytes));
    params = filled((int)(param_bytes / 4), 0.4f), gradients = device((int)(param_bytes / 4));
}
static sequences make_sequences(int count, const int *of, const float *x, const float *dy) {
    sequences s = {.count = count};
    const int state[] = {1, count, UNITS}, strides[] = {count * UNITS, UNITS, 1};
    for (int n = 0; n < count; n++) s.rows += of[n];
    DNN(cudnnCreateRNNDataDescriptor(&s.x_shape)), DNN(cudnnCreateRNNDataDescriptor(&s.y_shape)),
        DNN(cudnnCreateTensorDescriptor(&s.state));
    DNN(cudnnSetRNNDataDescriptor(
        s.x_shape, CUDNN_DATA_FLOAT, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED, of[0], count, IN, of, NULL));
    DNN(cudnnSetRNNDataDescriptor(
        s.y_shape, CUDNN_DATA_FLOAT, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED, of[0], count, UNITS, of, NULL));
    DNN(cudnnSetTensorNdDescriptor(s.state, CUDNN_DATA_FLOAT, 3, state, strides));
    DNN(cudnnGetRNNTempSpaceSizes(dnn, rnn, CUDNN_FWD_MODE_TRAINING, s.x_shape, &work_bytes, &reserve_bytes));
    work = device((int)(work_bytes / 4)), reserved = device((int)(reserve_bytes / 4));
    s.lengths = (int32_t *)device(count);
    CHECK_CUDA(cudaMemcpy(s.lengths, of, sizeof(int32_t) * (size_t)count, cudaMemcpyDefault));
    s.x = device(s.rows * IN), s.y = device(s.rows * UNITS), s.dy = device(s.rows * UNITS), s.dx = device(s.rows * IN);
    s.h = device(count * UNITS), s.c = device(count * UNITS), s.h_after = device(count * UNITS),
    s.c_after = device(count * UNITS);
    CHECK_CUDA(cudaMemcpy(s.x, x, 4 * (size_t)(s.rows * IN), cudaMemcpyDefault));
    CHECK_CUDA(cudaMemcpy(s.dy, dy, 4 * (size_t)(s.rows * UNITS), cudaMemcpyDefault));
    return s;
}
static cudnnStatus_t forward(const sequences *s) {
    return cudnnRNNForward(dnn, rnn, CUDNN_FWD_MODE_TRAINING, s->lengths, s->x_shape, s->x, s->y_shape, s->y, s->state, s->h,
        s->h_after, s->state, s->c, s->c_after, param_bytes, params, work_bytes, work, reserve_bytes, reserved);
}
static cudnnStatus_t by_data(const sequences *s) {
    return cudnnRNNBackwardData_v8(dnn, rnn, s->lengths, s->y_shape, s->y, s->dy, s->x_shape, s->dx, s->state, s->h, NULL, NULL,
        s->state, s->c, NULL, NULL, param_bytes, params, work_bytes, work, reserve_bytes, reserved);
}
static cudnnStatus_t by_weights(const sequences *s) {
    return cudnnRNNBackwardWeights_v8(dnn, rnn, CUDNN_WGRAD_MODE_ADD, s->lengths, s->x_shape, s->x, s->state, s->h, s->y_shape,
        s->y, param_bytes, gradients, work_bytes, work, reserve_bytes, reserved);
}
static void free_sequences(sequences *s) {
    DNN(cudnnDestroyRNNDataDescriptor(s->x_shape)), DNN(cudnnDestroyRNNDataDescriptor(s->y_shape)),
        DNN(cudnnDestroyTensorDescriptor(s->state));
    void *all[] = {s->lengths, s->x, s->y, s->dy, s->dx, s->h, s->c, s->h_after, s->c_after, work, reserved};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) CHECK_CUDA(cudaFree(all[i]));
}
static void free_layer(void) {
    DNN(cudnnDestroyRNNDescriptor(rnn)), DNN(cudnnDestroyDropoutDescriptor(dropout)), DNN(cudnnDestroy(dnn));
    CHECK_CUDA(cudaFree(params)), CHECK_CUDA(cudaFree(gradients));
}
static float *fetch(const float *from, int count) {
    float *to = malloc(4 * (size_t)count);
    CHECK_CUDA(cudaMemcpy(to, from, 4 * (size_t)count, cudaMemcpyDefault));
    return to;
}
static void same(const float *got, const float *want, int count) {
    for (int i = 0; i < count; i++) CHECK(fabsf(got[i] - want[i]) < 1e-5f);
}

static float inputs[7 * UNITS], backs[7 * UNITS];
static sequences all_sequences(void) {
    for (int i = 0; i < 7 * UNITS; i++) inputs[i] = cosf((float)i), backs[i] = sinf(3 * (float)i);
    return make_sequences(SEQUENCES, lengths, inputs, backs);
}
// where step t of sequence n is among the packed rows
static int packed(int t, int n) {
    static const int before[] = {0, 3, 5, 6};
    return before[t] + n;
}

// together as one by one
static void lengths_differ(cudnnRNNMode_t cell) {
    const int floats = ((void)make_layer(cell), (int)(param_bytes / 4));
    sequences all = all_sequences();
    DNN(forward(&all)), DNN(by_data(&all)), DNN(by_weights(&all));
    float *y = fetch(all.y, 7 * UNITS), *dx = fetch(all.dx, 7 * IN), *h = fetch(all.h_after, SEQUENCES * UNITS),
          *sum = fetch(gradients, floats);
    free_sequences(&all);
    CHECK_CUDA(cudaMemset(gradients, 0, param_bytes));
    for (int n = 0; n < SEQUENCES; n++) {
        float x[STEPS * IN], dy[STEPS * UNITS];
        for (int t = 0; t < lengths[n]; t++)
            memcpy(x + t * IN, inputs + packed(t, n) * IN, 4 * IN),
                memcpy(dy + t * UNITS, backs + packed(t, n) * UNITS, 4 * UNITS);
        sequences one = make_sequences(1, &lengths[n], x, dy);
        DNN(forward(&one)), DNN(by_data(&one)), DNN(by_weights(&one));
        float *y_one = fetch(one.y, lengths[n] * UNITS), *dx_one = fetch(one.dx, lengths[n] * IN),
              *h_one = fetch(one.h_after, UNITS);
        for (int t = 0; t < lengths[n]; t++)
            same(y + packed(t, n) * UNITS, y_one + t * UNITS, UNITS), same(dx + packed(t, n) * IN, dx_one + t * IN, IN);
        same(h + n * UNITS, h_one, UNITS);
        free(y_one), free(dx_one), free(h_one);
        free_sequences(&one);
    }
    float *sum_of_all = fetch(gradients, floats);
    same(sum, sum_of_all, floats);
    free(y), free(dx), free(h), free(sum), free(sum_of_all);
    free_layer();
}
static void lengths_lstm(void) { lengths_differ(CUDNN_LSTM); }
static void lengths_gru(void) { lengths_differ(CUDNN_GRU); }

static void clobbered(void) {
    make_layer(CUDNN_LSTM);
    sequences s = all_sequences();
    DNN(forward(&s));
    CHECK_CUDA(cudaMemset(reserved, 0, reserve_bytes));
    DNN(by_data(&s));
    settle();
}
static void too_early(void) {
    make_layer(CUDNN_GRU);
    sequences s = all_sequences();
    DNN(forward(&s)), DNN(by_weights(&s));
    settle();
}
static void other_lengths(void) {
    make_layer(CUDNN_LSTM);
    sequences s = all_sequences();
    CHECK_CUDA(cudaMemset(s.lengths, 1, 4));
    DNN(forward(&s));
    settle();
}
static void little_space(void) {
    make_layer(CUDNN_LSTM);
    sequences s = all_sequences();
    char why[100];
    work_bytes--;
    CHECK(forward(&s) == CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT);
    cudnnGetLastErrorString(why, sizeof why);
    CHECK(strstr(why, "reserve"));
    free_sequences(&s);
    free_layer();
}

// ---- cuDNN: a convolution, 2 images of 6 × 6 × 4 with 8 filters of 3 × 3

static cudnnTensorDescriptor_t x_shape, y_shape;
static cudnnFilterDescriptor_t w_shape;
static cudnnConvolutionDescriptor_t how;

static void make_convolution(void) {
    DNN(cudnnCreate(&dnn));
    DNN(cudnnCreateTensorDescriptor(&x_shape)), DNN(cudnnCreateTensorDescriptor(&y_shape));
    DNN(cudnnCreateFilterDescriptor(&w_shape)), DNN(cudnnCreateConvolutionDescriptor(&how));
    DNN(cudnnSetTensor4dDescriptor(x_shape, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 2, 4, 6, 6));
    DNN(cudnnSetTensor4dDescriptor(y_shape, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 2, 8, 4, 4));
    DNN(cudnnSetFilter4dDescriptor(w_shape, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, 8, 4, 3, 3));
    DNN(cudnnSetConvolution2dDescriptor(how, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
}
static void free_convolution(void) {
    DNN(cudnnDestroyTensorDescriptor(x_shape)), DNN(cudnnDestroyTensorDescriptor(y_shape)),
        DNN(cudnnDestroyFilterDescriptor(w_shape));
    DNN(cudnnDestroyConvolutionDescriptor(how)), DNN(cudnnDestroy(dnn));
}
static void proposals(void) {
    cudnnConvolutionBwdFilterAlgoPerf_t proposed[8];
    int count, same_bits = 0, other_bits = 0;
    const float one = 1, zero = 0;
    make_convolution();
    DNN(cudnnGetConvolutionBackwardFilterAlgorithm_v7(dnn, x_shape, y_shape, how, w_shape, 8, &count, proposed));
    for (int i = 0; i < count; i++) {
        same_bits += proposed[i].determinism == CUDNN_DETERMINISTIC,
            other_bits += proposed[i].determinism != CUDNN_DETERMINISTIC;
        if (proposed[i].memory) // wants it, too
            CHECK(cudnnConvolutionBackwardFilter(dnn, &one, x_shape, NULL, y_shape, NULL, how, proposed[i].algo, NULL,
                      proposed[i].memory - 1, &zero, w_shape, NULL) == CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT);
    }
    CHECK(same_bits && other_bits && proposed[0].determinism != CUDNN_DETERMINISTIC); // the first is not the one to take
    DNN(cudnnSetTensor4dDescriptor(y_shape, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 2, 8, 5, 4));
    CHECK(cudnnGetConvolutionBackwardFilterAlgorithm_v7(dnn, x_shape, y_shape, how, w_shape, 8, &count, proposed) ==
          CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH);
    free_convolution();
}
static void misaligned_image(void) {
    const float one = 1, zero = 0;
    float *x = filled(2 * 6 * 6 * 4 + 1, 1), *w = filled(8 * 9 * 4, 1), *y = device(2 * 16 * 8);
    make_convolution();
    DNN(cudnnConvolutionForward(
        dnn, &one, x_shape, x + 1, w_shape, w, how, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, NULL, 0, &zero, y_shape, y));
    settle();
}

int main(int argc, char **argv) {
    static const check_case cases[] = {
        {"product", product, NULL, NULL, 0},
        {"product, an algorithm for another shape", other_shape, "chosen for another operation or shape", NULL, 0},
        {"product, misaligned", misaligned, "A at 0x", NULL, 0},
        {"product, onto itself", overlap, "A and D overlap", NULL, 0},
        {"product, into the scratch space", in_scratch, "D and the scratch space overlap", NULL, 0},
        {"product, no bias", no_bias, "is not device memory", NULL, 0},
        {"product, a short bias", short_bias, "4 bytes past allocation", NULL, 0},
        {"product, an epilogue that nobody asked for", unknown_epilogue, "does not know epilogue", NULL, 0},
        {"product, a descriptor that is gone", destroyed, "or was destroyed", NULL, 0},
        {"product, a descriptor that stays", leak, "1 descriptors are never destroyed", NULL, 1},
        {"product, fails", fails, NULL, "MANTA_CUDA_HOST_FAIL=cublasLtMatmul:2=13", 0},
        {"lstm, lengths differ", lengths_lstm, NULL, NULL, 0},
        {"gru, lengths differ", lengths_gru, NULL, "MANTA_CUDA_HOST_SEED=5", 0},
        {"lstm, the reserve space is overwritten", clobbered, "the reserve space is not what cudnnRNNForward", NULL, 0},
        {"gru, weights before data", too_early, "the reserve space is not what cudnnRNNBackwardData_v8", NULL, 0},
        {"lstm, other lengths on the device", other_lengths, "steps long on the device", NULL, 0},
        {"lstm, little space", little_space, NULL, NULL, 0},
        {"convolution, proposals", proposals, NULL, NULL, 0},
        {"convolution, misaligned", misaligned_image, "is no multiple of 16", NULL, 0},
    };
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
