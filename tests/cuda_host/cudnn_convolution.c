// cuDNN's convolutions of channels-last images, forward and backward, as products with the images' patches laid out. Any thread.
//
// An algorithm is what was proposed for the shape, wants the scratch space that was said then, and may be one of those that give
// another result each time: that one adds in another order when the seed says so. Fusing fails for some shapes when it is
// asked for, as the vendor's does.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/dnn.h"
#include "tests/cuda_host/report.h"

enum { ALIGN = 16, SCRATCH_LEAST = 4096, FUSES_NOT_ONE_IN = 8 };

typedef enum direction { FORWARD, DATA, FILTER } direction;

typedef struct convolution {
    mt_host_operation operation;
    direction way;
    mt_host_tensor x, y, w;
    mt_host_convolution how;
    const float *in_x, *in_y, *in_w;
    float *out;
    float alpha, beta;
    // fused
    int fused, relu;
    const float *bias;
    // scratch
    void *scratch;
    size_t scratch_bytes;
    int any_order;
} convolution;

static int taps(const convolution *c) { return c->w.height * c->w.width * c->w.channels; }
static int pixels(const convolution *c) { return c->y.height * c->y.width; }

// ---- the patches of an image: a row of H'·W' has what a filter sees there

static void each_patch_row(
    const convolution *c, void (*row)(const convolution *c, int64_t patch, int64_t image, int width, void *to), void *to) {
    const mt_host_convolution *h = &c->how;
    for (int oy = 0; oy < c->y.height; oy++)
        for (int ox = 0; ox < c->y.width; ox++)
            for (int ky = 0; ky < c->w.height; ky++)
                for (int kx = 0; kx < c->w.width; kx++) {
                    int iy = oy * h->stride_h - h->padding_h + ky, ix = ox * h->stride_w - h->padding_w + kx;
                    if (iy < 0 || iy >= c->x.height || ix < 0 || ix >= c->x.width) continue;
                    int64_t patch = (int64_t)(oy * c->y.width + ox) * taps(c) + (int64_t)(ky * c->w.width + kx) * c->w.channels;
                    row(c, patch, (int64_t)(iy * c->x.width + ix) * c->x.channels, c->x.channels, to);
                }
}
typedef struct patches {
    float *patches;
    const float *image;
    float *into; // when patches are added to an image
} patches;
static void take_row(const convolution *c, int64_t patch, int64_t image, int width, void *to) {
    const patches *p = to;
    for (int i = 0; i < width; i++) p->patches[patch + i] = mt_host_dnn_round(p->image[image + i], c->how.math);
}
static void add_row(const convolution *c, int64_t patch, int64_t image, int width, void *to) {
    const patches *p = to;
    (void)c;
    for (int i = 0; i < width; i++) p->into[image + i] += p->patches[patch + i];
}

// a (rows, columns) turned, what is in it rounded
static float *turned(const float *a, int64_t rows, int64_t columns, cudnnMathType_t math) {
    float *out = mt_host_scratch_memory(sizeof *out * (size_t)(rows * columns));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) out[c * rows + r] = mt_host_dnn_round(a[r * columns + c], math);
    return out;
}
static float *rounded(const float *a, int64_t count, cudnnMathType_t math) {
    float *out = mt_host_scratch_memory(sizeof *out * (size_t)count);
    for (int64_t i = 0; i < count; i++) out[i] = mt_host_dnn_round(a[i], math);
    return out;
}

// ---- the three ways, image by image

static void forward(const convolution *c) {
    const int64_t in = (int64_t)c->x.height * c->x.width * c->x.channels, out = (int64_t)pixels(c) * c->w.rows;
    float *filter = turned(c->in_w, c->w.rows, taps(c), c->how.math),
          *made = mt_host_scratch_memory(sizeof(float) * (size_t)out);
    patches p = {.patches = mt_host_scratch_memory(sizeof(float) * (size_t)pixels(c) * (size_t)taps(c))};
    for (int b = 0; b < c->x.rows; b++) {
        memset(p.patches, 0, sizeof(float) * (size_t)pixels(c) * (size_t)taps(c));
        memset(made, 0, sizeof(float) * (size_t)out);
        p.image = c->in_x + b * in;
        each_patch_row(c, take_row, &p);
        mt_host_product(pixels(c), c->w.rows, taps(c), p.patches, filter, made);
        for (int64_t i = 0; i < out; i++) {
            float *to = &c->out[b * out + i], x = c->alpha * made[i] + (c->beta != 0 ? c->beta * *to : 0);
            if (c->fused) x += c->bias[i % c->w.rows];
            *to = c->relu && x < 0 ? 0 : x;
        }
    }
    free(p.patches), free(made), free(filter);
}

static void backward_data(const convolution *c) {
    const int64_t in = (int64_t)c->x.height * c->x.width * c->x.channels, out = (int64_t)pixels(c) * c->w.rows;
    float *filter = rounded(c->in_w, (int64_t)c->w.rows * taps(c), c->how.math);
    patches p = {.patches = mt_host_scratch_memory(sizeof(float) * (size_t)pixels(c) * (size_t)taps(c)),
        .into = mt_host_scratch_memory(sizeof(float) * (size_t)in)};
    for (int b = 0; b < c->x.rows; b++) {
        float *dz = rounded(c->in_y + b * out, out, c->how.math);
        memset(p.patches, 0, sizeof(float) * (size_t)pixels(c) * (size_t)taps(c));
        memset(p.into, 0, sizeof(float) * (size_t)in);
        mt_host_product(pixels(c), taps(c), c->w.rows, dz, filter, p.patches);
        each_patch_row(c, add_row, &p);
        for (int64_t i = 0; i < in; i++) {
            float *to = &c->out[b * in + i];
            *to = c->alpha * p.into[i] + (c->beta != 0 ? c->beta * *to : 0);
        }
        free(dz);
    }
    free(p.patches), free(p.into), free(filter);
}

static void backward_filter(const convolution *c) {
    const int64_t in = (int64_t)c->x.height * c->x.width * c->x.channels, out = (int64_t)pixels(c) * c->w.rows,
                  count = (int64_t)c->w.rows * taps(c);
    float *sum = mt_host_scratch_memory(sizeof(float) * (size_t)count);
    patches p = {.patches = mt_host_scratch_memory(sizeof(float) * (size_t)pixels(c) * (size_t)taps(c))};
    int backwards = c->any_order && mt_host_random_below(&mt_host_chance, 2);
    for (int i = 0; i < c->x.rows; i++) {
        const int b = backwards ? c->x.rows - 1 - i : i;
        float *dz = turned(c->in_y + b * out, pixels(c), c->w.rows, c->how.math);
        memset(p.patches, 0, sizeof(float) * (size_t)pixels(c) * (size_t)taps(c));
        p.image = c->in_x + b * in;
        each_patch_row(c, take_row, &p);
        mt_host_product(c->w.rows, taps(c), pixels(c), dz, p.patches, sum);
        free(dz);
    }
    for (int64_t i = 0; i < count; i++) c->out[i] = c->alpha * sum[i] + (c->beta != 0 ? c->beta * c->out[i] : 0);
    free(p.patches), free(sum);
}

static mt_host_step convolution_run(mt_host_operation *o, void **state) {
    const convolution *c = (convolution *)o;
    const size_t x = 4 * (size_t)mt_host_tensor_count(&c->x), y = 4 * (size_t)mt_host_tensor_count(&c->y),
                 w = 4 * (size_t)mt_host_tensor_count(&c->w);
    const void *arrays[] = {
        c->way == DATA ? c->out : c->in_x, c->way == FORWARD ? c->out : c->in_y, c->way == FILTER ? c->out : c->in_w};
    const size_t bytes[] = {x, y, w};
    (void)state;
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"the images", "the results", "the filter"};
        mt_host_vendor_array(o->name, names[i], arrays[i], bytes[i], ALIGN);
        mt_host_vendor_apart(o->name, "arrays", arrays[i], bytes[i], arrays[(i + 1) % 3], bytes[(i + 1) % 3]);
        mt_host_vendor_apart(o->name, "an array and the scratch space", arrays[i], bytes[i], c->scratch, c->scratch_bytes);
    }
    if (c->fused) mt_host_vendor_array(o->name, "the bias", c->bias, 4 * (size_t)c->w.rows, 4);
    mt_host_vendor_scratch(o->name, c->scratch, c->scratch_bytes);
    if (c->way == FORWARD)
        forward(c);
    else if (c->way == DATA)
        backward_data(c);
    else
        backward_filter(c);
    return MT_HOST_DONE;
}

// ---- what is asked for

static int fits(const convolution *c) {
    const mt_host_convolution *h = &c->how;
    return c->x.set && c->y.set && c->w.set && c->x.rows == c->y.rows && c->x.channels == c->w.channels &&
           c->y.channels == c->w.rows && (c->x.height + 2 * h->padding_h - c->w.height) / h->stride_h + 1 == c->y.height &&
           (c->x.width + 2 * h->padding_w - c->w.width) / h->stride_w + 1 == c->y.width;
}

static cudnnStatus_t describe(convolution *c, direction way, const void *x, const void *y, const void *w, const void *how) {
    memset(c, 0, sizeof *c);
    c->way = way;
    c->x = *(const mt_host_tensor *)mt_host_dnn_descriptor(x, MT_HOST_DNN_TENSOR);
    c->y = *(const mt_host_tensor *)mt_host_dnn_descriptor(y, MT_HOST_DNN_TENSOR);
    c->w = *(const mt_host_tensor *)mt_host_dnn_descriptor(w, MT_HOST_DNN_FILTER);
    c->how = *(const mt_host_convolution *)mt_host_dnn_descriptor(how, MT_HOST_DNN_CONVOLUTION);
    return fits(c)
               ? CUDNN_STATUS_SUCCESS
               : mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "the sizes of images, filter and results do not fit");
}

// What there is, the fastest first: the number that a direction calls it by, whether it always gives the same bits, whether it
// wants as much as the patches of an image.
typedef struct algorithm {
    int number, same, large;
} algorithm;
enum { ALGORITHMS = 3 };
static const algorithm algorithms[][ALGORITHMS] = {
    [FORWARD] = {{CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED, 1, 2}, {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, 1, 1},
        {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, 1, 0}},
    [DATA] = {{CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, 0, 0}, {CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, 1, 1},
        {CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD, 1, 2}},
    [FILTER] = {{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, 0, 0}, {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3, 0, 0},
        {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, 1, 1}},
};

// large 2: not for this layout at all
static size_t scratch_of(const convolution *c, const algorithm *a) {
    size_t patch = sizeof(float) * (size_t)pixels(c) * (size_t)taps(c);
    return a->large ? (patch > SCRATCH_LEAST ? (patch + 255) / 256 * 256 : SCRATCH_LEAST) : 0;
}
static const algorithm *find(direction way, int number) {
    for (int i = 0; i < ALGORITHMS; i++)
        if (algorithms[way][i].number == number) return &algorithms[way][i];
    return NULL;
}

#define MT_HOST_PROPOSE(way, c, most, count, out, type)                                                                        \
    do {                                                                                                                       \
        *(count) = (most) < ALGORITHMS ? (most) : ALGORITHMS;                                                                  \
        for (int i_ = 0; i_ < *(count); i_++) {                                                                                \
            const algorithm *a_ = &algorithms[way][i_];                                                                        \
            memset(&(out)[i_], 0, sizeof(out)[i_]);                                                                            \
            (out)[i_].algo = (type)a_->number;                                                                                 \
            (out)[i_].status = a_->large == 2 ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;                             \
            (out)[i_].memory = scratch_of(c, a_);                                                                              \
            (out)[i_].determinism = a_->same ? CUDNN_DETERMINISTIC : CUDNN_NON_DETERMINISTIC;                                  \
            (out)[i_].mathType = (c)->how.math;                                                                                \
        }                                                                                                                      \
    } while (0)

static cudnnStatus_t propose_forward(
    const void *x, const void *w, const void *how, const void *y, int most, int *count, cudnnConvolutionFwdAlgoPerf_t *out) {
    convolution c;
    cudnnStatus_t code = describe(&c, FORWARD, x, y, w, how);
    if (code == CUDNN_STATUS_SUCCESS) MT_HOST_PROPOSE(FORWARD, &c, most, count, out, cudnnConvolutionFwdAlgo_t);
    return code;
}
static cudnnStatus_t propose_data(const void *w, const void *y, const void *how, const void *x, int most, int *count,
    cudnnConvolutionBwdDataAlgoPerf_t *out) {
    convolution c;
    cudnnStatus_t code = describe(&c, DATA, x, y, w, how);
    if (code == CUDNN_STATUS_SUCCESS) MT_HOST_PROPOSE(DATA, &c, most, count, out, cudnnConvolutionBwdDataAlgo_t);
    return code;
}
static cudnnStatus_t propose_filter(const void *x, const void *y, const void *how, const void *w, int most, int *count,
    cudnnConvolutionBwdFilterAlgoPerf_t *out) {
    convolution c;
    cudnnStatus_t code = describe(&c, FILTER, x, y, w, how);
    if (code == CUDNN_STATUS_SUCCESS) MT_HOST_PROPOSE(FILTER, &c, most, count, out, cudnnConvolutionBwdFilterAlgo_t);
    return code;
}
cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t handle, const cudnnTensorDescriptor_t x,
    const cudnnFilterDescriptor_t w, const cudnnConvolutionDescriptor_t how, const cudnnTensorDescriptor_t y, const int most,
    int *count, cudnnConvolutionFwdAlgoPerf_t *out) {
    (void)handle;
    MT_HOST_DNN(propose_forward(x, w, how, y, most, count, out));
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t handle, const cudnnFilterDescriptor_t w,
    const cudnnTensorDescriptor_t y, const cudnnConvolutionDescriptor_t how, const cudnnTensorDescriptor_t x, const int most,
    int *count, cudnnConvolutionBwdDataAlgoPerf_t *out) {
    (void)handle;
    MT_HOST_DNN(propose_data(w, y, how, x, most, count, out));
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t handle, const cudnnTensorDescriptor_t x,
    const cudnnTensorDescriptor_t y, const cudnnConvolutionDescriptor_t how, const cudnnFilterDescriptor_t w, const int most,
    int *count, cudnnConvolutionBwdFilterAlgoPerf_t *out) {
    (void)handle;
    MT_HOST_DNN(propose_filter(x, y, how, w, most, count, out));
}

// ---- queueing

static cudnnStatus_t queue(cudnnHandle_t handle, convolution *say, const char *name, int number, void *scratch, size_t bytes) {
    const mt_host_dnn *dnn = mt_host_dnn_descriptor(handle, MT_HOST_DNN_HANDLE);
    const algorithm *a = find(say->way, number);
    if (!a || a->large == 2) return mt_host_dnn_fail(CUDNN_STATUS_NOT_SUPPORTED, "this algorithm does not do that");
    if (bytes < scratch_of(say, a))
        return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT, "too little scratch space");
    convolution *c = (convolution *)mt_host_operation_create(sizeof *c, name, dnn->device, convolution_run, NULL);
    say->operation = c->operation;
    say->scratch = scratch, say->scratch_bytes = scratch_of(say, a), say->any_order = !a->same;
    *c = *say;
    return mt_host_dnn_submit(dnn, &c->operation);
}
static void take_factors(convolution *c, const void *alpha, const void *beta) {
    c->alpha = *(const float *)alpha;
    c->beta = *(const float *)beta;
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t x_shape,
    const void *x, const cudnnFilterDescriptor_t w_shape, const void *w, const cudnnConvolutionDescriptor_t how,
    cudnnConvolutionFwdAlgo_t algorithm_, void *scratch, size_t bytes, const void *beta, const cudnnTensorDescriptor_t y_shape,
    void *y) {
    convolution c;
    cudnnStatus_t code = describe(&c, FORWARD, x_shape, y_shape, w_shape, how);
    if (code != CUDNN_STATUS_SUCCESS) return code;
    take_factors(&c, alpha, beta);
    c.in_x = x, c.in_w = w, c.out = y;
    MT_HOST_DNN(queue(handle, &c, "cudnnConvolutionForward", (int)algorithm_, scratch, bytes));
}

static uint64_t shape_sum(const convolution *c) {
    uint64_t sum = mt_host_settings_get()->seed;
    const int words[] = {c->x.rows, c->x.channels, c->x.height, c->w.rows, c->w.height, c->how.stride_h, c->relu};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) sum += (uint64_t)words[i], sum = mt_host_random(&sum);
    return sum;
}
static cudnnStatus_t queue_fused(cudnnHandle_t handle, convolution *c, const void *bias_shape, const void *activation,
    int number, void *scratch, size_t bytes) {
    const mt_host_tensor *b = mt_host_dnn_descriptor(bias_shape, MT_HOST_DNN_TENSOR);
    const mt_host_activation *a = mt_host_dnn_descriptor(activation, MT_HOST_DNN_ACTIVATION);
    if (b->channels != c->w.rows || mt_host_tensor_count(b) != c->w.rows)
        return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "the bias");
    c->relu = a->mode == CUDNN_ACTIVATION_RELU;
    if (!c->relu && number != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM)
        return mt_host_dnn_fail(CUDNN_STATUS_NOT_SUPPORTED, "no activation goes with one algorithm alone");
    if (shape_sum(c) % FUSES_NOT_ONE_IN == 0)
        return mt_host_dnn_fail(CUDNN_STATUS_NOT_SUPPORTED, "nothing is fused for this shape");
    return queue(handle, c, "cudnnConvolutionBiasActivationForward", number, scratch, bytes);
}
cudnnStatus_t cudnnConvolutionBiasActivationForward(cudnnHandle_t handle, const void *alpha,
    const cudnnTensorDescriptor_t x_shape, const void *x, const cudnnFilterDescriptor_t w_shape, const void *w,
    const cudnnConvolutionDescriptor_t how, cudnnConvolutionFwdAlgo_t algorithm_, void *scratch, size_t bytes, const void *beta,
    const cudnnTensorDescriptor_t z_shape, const void *z, const cudnnTensorDescriptor_t bias_shape, const void *bias,
    const cudnnActivationDescriptor_t activation, const cudnnTensorDescriptor_t y_shape, void *y) {
    convolution c;
    cudnnStatus_t code = describe(&c, FORWARD, x_shape, y_shape, w_shape, how);
    if (code != CUDNN_STATUS_SUCCESS) return code;
    take_factors(&c, alpha, beta);
    if (c.beta != 0 && (z != y || z_shape != y_shape)) mt_host_fatal("cuDNN: tests/cuda_host adds no other array");
    c.in_x = x, c.in_w = w, c.out = y, c.bias = bias, c.fused = 1;
    MT_HOST_DNN(queue_fused(handle, &c, bias_shape, activation, (int)algorithm_, scratch, bytes));
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha, const cudnnFilterDescriptor_t w_shape,
    const void *w, const cudnnTensorDescriptor_t y_shape, const void *dy, const cudnnConvolutionDescriptor_t how,
    cudnnConvolutionBwdDataAlgo_t algorithm_, void *scratch, size_t bytes, const void *beta,
    const cudnnTensorDescriptor_t x_shape, void *dx) {
    convolution c;
    cudnnStatus_t code = describe(&c, DATA, x_shape, y_shape, w_shape, how);
    if (code != CUDNN_STATUS_SUCCESS) return code;
    take_factors(&c, alpha, beta);
    c.in_y = dy, c.in_w = w, c.out = dx;
    MT_HOST_DNN(queue(handle, &c, "cudnnConvolutionBackwardData", (int)algorithm_, scratch, bytes));
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t x_shape,
    const void *x, const cudnnTensorDescriptor_t y_shape, const void *dy, const cudnnConvolutionDescriptor_t how,
    cudnnConvolutionBwdFilterAlgo_t algorithm_, void *scratch, size_t bytes, const void *beta,
    const cudnnFilterDescriptor_t w_shape, void *dw) {
    convolution c;
    cudnnStatus_t code = describe(&c, FILTER, x_shape, y_shape, w_shape, how);
    if (code != CUDNN_STATUS_SUCCESS) return code;
    take_factors(&c, alpha, beta);
    c.in_x = x, c.in_y = dy, c.out = dw;
    MT_HOST_DNN(queue(handle, &c, "cudnnConvolutionBackwardFilter", (int)algorithm_, scratch, bytes));
}
