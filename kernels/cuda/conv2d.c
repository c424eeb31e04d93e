// Convolutions on the GPU, forward and backward, by the vendor's library of layers (cuDNN):
//   forward    y = act(x ⋆ W + b)                                          2·B·H'·W'·O·k²·C flop
//   backward   dw (+)= x ⋆ dz,  db (+)= Σ dz,  dx = (dz ⋆ Wᵀ) ∘ act'(x)    4·B·H'·W'·O·k²·C flop
// Shapes in kernels.h. Images are channels-last, and so is the filter that the library reads, (O, k, k, C): conv2d_pack turns
// PyTorch's into it, and dw is turned back as it is added. The library adds the bias and applies relu or nothing where nobody
// wants the pre-activation; another activation follows with the bias as activate.cu's pass over the result, act' as its backward
// pass. db is reduce.cu's sum over rows: in fp64 and in fixed order, and no slower than the library's, since both read dz once.
//
// What the library needs to know about a shape, its choice of algorithm included, is found once and kept. Only algorithms that
// always give the same bits and that fit the context's scratch space are taken. Determinism: the same bits from the same call on
// the same GPU and library. The library counts elements in 31 bits: more rows than that allows are done in parts.
#include "kernels/cuda/dnn.h"

#include <stdlib.h>
#include <string.h>

enum { PLANS = 64, CHOICES = 10, ALIGNMENT = 16 };

typedef enum conv_kind {
    CONV_FORWARD,      // y = x ⋆ W
    CONV_FORWARD_RELU, // y = relu(x ⋆ W + b)
    CONV_FORWARD_BIAS, // y = x ⋆ W + b
    CONV_DATA,
    CONV_FILTER
} conv_kind;

typedef struct conv_key {
    int32_t kind, rows;
    mt_conv2d conv;
} conv_key; // no padding: compared as bytes
_Static_assert(sizeof(conv_key) == 9 * sizeof(int32_t), "no padding");

typedef struct conv_plan {
    conv_key key;
    int used, unusable; // unusable: the library has no algorithm for this fused form
    cudnnTensorDescriptor_t x, y, bias;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t conv;
    cudnnActivationDescriptor_t activation;
    int algorithm; // of the kind's own enumeration
    size_t workspace_bytes;
} conv_plan;

struct conv_plans {
    int next; // the plan that the next new shape replaces once all are taken
    conv_plan plans[PLANS];
};

static int64_t in_floats(const mt_conv2d *c) { return (int64_t)c->height * c->width * c->in; }
static int64_t out_pixels(const mt_conv2d *c) { return (int64_t)mt_conv2d_out_height(c) * mt_conv2d_out_width(c); }
static int64_t weight_floats(const mt_conv2d *c) { return (int64_t)c->out * c->in * c->kernel * c->kernel; }

// ---- plans: one a shape and direction

static void plan_fini(conv_plan *p) {
    if (p->activation) cudnnDestroyActivationDescriptor(p->activation);
    if (p->conv) cudnnDestroyConvolutionDescriptor(p->conv);
    if (p->w) cudnnDestroyFilterDescriptor(p->w);
    if (p->bias) cudnnDestroyTensorDescriptor(p->bias);
    if (p->y) cudnnDestroyTensorDescriptor(p->y);
    if (p->x) cudnnDestroyTensorDescriptor(p->x);
    memset(p, 0, sizeof *p);
}

void mt_cuda_conv_plans_destroy(struct conv_plans *plans) {
    if (!plans) return;
    for (int i = 0; i < PLANS; i++) plan_fini(&plans->plans[i]);
    free(plans);
}

static mt_status plan_describe(const mt_cuda_dnn *dnn, conv_plan *p) {
    const mt_conv2d *c = &p->key.conv;
    const int n = p->key.rows, k = c->kernel, height = mt_conv2d_out_height(c), width = mt_conv2d_out_width(c);
    const cudnnActivationMode_t act = p->key.kind == CONV_FORWARD_RELU ? CUDNN_ACTIVATION_RELU : CUDNN_ACTIVATION_IDENTITY;
    DNN(cudnnCreateTensorDescriptor(&p->x));
    DNN(cudnnCreateTensorDescriptor(&p->y));
    DNN(cudnnCreateTensorDescriptor(&p->bias));
    DNN(cudnnCreateFilterDescriptor(&p->w));
    DNN(cudnnCreateConvolutionDescriptor(&p->conv));
    DNN(cudnnCreateActivationDescriptor(&p->activation));
    DNN(cudnnSetTensor4dDescriptor(p->x, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, n, c->in, c->height, c->width));
    DNN(cudnnSetTensor4dDescriptor(p->y, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, n, c->out, height, width));
    DNN(cudnnSetTensor4dDescriptor(p->bias, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, c->out, 1, 1));
    DNN(cudnnSetFilter4dDescriptor(p->w, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, c->out, c->in, k, k));
    DNN(cudnnSetConvolution2dDescriptor(p->conv, c->padding, c->padding, c->stride, c->stride, 1, 1, CUDNN_CROSS_CORRELATION,
        CUDNN_DATA_FLOAT));
    DNN(cudnnSetConvolutionMathType(p->conv, dnn->math));
    DNN(cudnnSetActivationDescriptor(p->activation, act, CUDNN_PROPAGATE_NAN, 0));
    return MT_OK;
}

// What the library proposes, best first. It names the algorithms of each direction by a type of its own.
typedef struct choice {
    int algorithm;
    cudnnStatus_t status;
    size_t bytes;
    cudnnDeterminism_t determinism;
    cudnnMathType_t math;
} choice;

#define PROPOSED(found, count, out)                                                                                    \
    for (int i_ = 0; i_ < (count); i_++)                                                                               \
    (out)[i_] = (choice){                                                                                              \
        (int)(found)[i_].algo, (found)[i_].status, (found)[i_].memory, (found)[i_].determinism, (found)[i_].mathType}

static mt_status propose(const mt_cuda_dnn *dnn, const conv_plan *p, choice *out, int *count) {
    *count = 0;
    if (p->key.kind == CONV_DATA) {
        cudnnConvolutionBwdDataAlgoPerf_t found[CHOICES];
        DNN(cudnnGetConvolutionBackwardDataAlgorithm_v7(dnn->handle, p->w, p->y, p->conv, p->x, CHOICES, count, found));
        PROPOSED(found, *count, out);
    } else if (p->key.kind == CONV_FILTER) {
        cudnnConvolutionBwdFilterAlgoPerf_t found[CHOICES];
        DNN(cudnnGetConvolutionBackwardFilterAlgorithm_v7(dnn->handle, p->x, p->y, p->conv, p->w, CHOICES, count, found));
        PROPOSED(found, *count, out);
    } else {
        cudnnConvolutionFwdAlgoPerf_t found[CHOICES];
        DNN(cudnnGetConvolutionForwardAlgorithm_v7(dnn->handle, p->x, p->w, p->conv, p->y, CHOICES, count, found));
        PROPOSED(found, *count, out);
    }
    return MT_OK;
}

static mt_status plan_choose(const mt_cuda_dnn *dnn, conv_plan *p) {
    choice proposed[CHOICES];
    int count;
    MT_TRY(propose(dnn, p, proposed, &count));
    for (int i = 0; i < count; i++) {
        const choice *found = &proposed[i];
        if (found->status != CUDNN_STATUS_SUCCESS || found->determinism != CUDNN_DETERMINISTIC) continue;
        if (found->bytes > dnn->c->workspace_bytes) continue;
        // the only one that the library fuses with a bias and no activation
        if (p->key.kind == CONV_FORWARD_BIAS && found->algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM) continue;
        p->algorithm = found->algorithm;
        p->workspace_bytes = found->bytes;
        if (dnn->math != CUDNN_FMA_MATH) DNN(cudnnSetConvolutionMathType(p->conv, found->math));
        return MT_OK;
    }
    if (p->key.kind == CONV_FORWARD_RELU || p->key.kind == CONV_FORWARD_BIAS) {
        p->unusable = 1;
        return MT_OK;
    }
    const mt_conv2d *c = &p->key.conv;
    return MT_FAIL(UNSUPPORTED,
        "cuDNN has no algorithm that always gives the same result for a convolution of %d images %d x %d x %d with %d filters of "
        "%d x %d in %zu bytes of scratch space; give mt_cuda_init more, or use --device cpu",
        p->key.rows, c->height, c->width, c->in, c->out, c->kernel, c->kernel, dnn->c->workspace_bytes);
}

static mt_status plan_of(mt_cuda_dnn *dnn, conv_kind kind, int64_t rows, const mt_conv2d *conv, conv_plan **out) {
    conv_key key = {.kind = kind, .rows = (int32_t)rows, .conv = *conv};
    if (!dnn->convs) dnn->convs = calloc(1, sizeof *dnn->convs);
    if (!dnn->convs) return MT_FAIL(NO_MEMORY, "out of memory for the convolutions' plans");
    for (int i = 0; i < PLANS; i++) {
        *out = &dnn->convs->plans[i];
        if ((*out)->used && memcmp(&(*out)->key, &key, sizeof key) == 0) return MT_OK;
    }
    conv_plan *p = *out = &dnn->convs->plans[dnn->convs->next];
    plan_fini(p);
    p->key = key;
    mt_status status = plan_describe(dnn, p);
    if (status == MT_OK) status = plan_choose(dnn, p);
    if (status != MT_OK) {
        plan_fini(p);
        return status;
    }
    p->used = 1;
    dnn->convs->next = (dnn->convs->next + 1) % PLANS;
    return MT_OK;
}

// ---- the layer

// how many rows the library can take at once, by fours so that parts begin where vectors can
static mt_status rows_at_once(const mt_cuda_dnn *dnn, const mt_conv2d *c, int64_t *rows) {
    int64_t in = in_floats(c), out = out_pixels(c) * c->out;
    *rows = dnn->elements_most / (in > out ? in : out) / 4 * 4;
    if (*rows >= 4) return MT_OK;
    return MT_FAIL(UNSUPPORTED, "a convolution of images %d x %d x %d: too large for cuDNN; use --device cpu", c->height, c->width,
        c->in);
}

static mt_status aligned(const void *a, const void *b, const void *c, const void *d) {
    uintptr_t places = (uintptr_t)a | (uintptr_t)b | (uintptr_t)c | (uintptr_t)d;
    if (places % ALIGNMENT == 0) return MT_OK;
    return MT_FAIL(INVALID_ARGUMENT, "a convolution's arrays must begin at multiples of %d bytes on the GPU", ALIGNMENT);
}

static mt_status forward_fused(mt_cuda_dnn *dnn, const conv_plan *p, const float *x, const mt_conv2d_forward *a, float *y) {
    const float one = 1, zero = 0;
    DNN(cudnnConvolutionBiasActivationForward(dnn->handle, &one, p->x, x, p->w, a->weight_t, p->conv,
        (cudnnConvolutionFwdAlgo_t)p->algorithm, dnn->c->workspace, p->workspace_bytes, &zero, p->y, y, p->bias, a->bias,
        p->activation, p->y, y));
    return MT_OK;
}

static mt_status forward_part(mt_cuda_dnn *dnn, const mt_conv2d_forward *a, int64_t first, int64_t rows) {
    const float one = 1, zero = 0;
    const mt_conv2d *c = &a->conv;
    int64_t at = first * out_pixels(c) * c->out;
    const float *x = a->x + first * in_floats(c);
    float *y = a->y + at, *pre = a->pre ? a->pre + at : NULL;
    conv_plan *p;
    if (a->bias && !pre && (a->activation == MT_ACT_relu || a->activation == MT_ACT_identity)) {
        MT_TRY(plan_of(dnn, a->activation == MT_ACT_relu ? CONV_FORWARD_RELU : CONV_FORWARD_BIAS, rows, c, &p));
        mt_status status = p->unusable ? MT_UNSUPPORTED : forward_fused(dnn, p, x, a, y);
        if (status != MT_UNSUPPORTED) return status;
        p->unusable = 1; // an algorithm may turn out not to fuse when it is asked to
    }
    MT_TRY(plan_of(dnn, CONV_FORWARD, rows, c, &p));
    DNN(cudnnConvolutionForward(dnn->handle, &one, p->x, x, p->w, a->weight_t, p->conv, (cudnnConvolutionFwdAlgo_t)p->algorithm,
        dnn->c->workspace, p->workspace_bytes, &zero, p->y, y));
    if (!a->bias && !pre && a->activation == MT_ACT_identity) return MT_OK;
    return mt_cuda_bias_activate(dnn->c, a->activation, rows * out_pixels(c), c->out, y, a->bias, pre, y);
}

mt_status mt_cuda_conv2d_forward(mt_cuda_dnn *dnn, const mt_conv2d_forward *a) {
    MT_ASSERT(a->pre || !mt_activation_needs_pre(a->activation));
    int64_t most;
    MT_TRY(aligned(a->x, a->weight_t, a->y, a->pre));
    MT_TRY(rows_at_once(dnn, &a->conv, &most));
    MT_TRY(mt_cuda_use(dnn->c->device));
    for (int64_t first = 0; first < a->rows; first += most)
        MT_TRY(forward_part(dnn, a, first, a->rows - first < most ? a->rows - first : most));
    return MT_OK;
}

static mt_status backward_part(mt_cuda_dnn *dnn, const mt_conv2d_backward *a, int64_t first, int64_t rows) {
    const float one = 1, beta = first ? 1.0f : 0.0f, zero = 0;
    const mt_conv2d *c = &a->conv;
    const float *x = a->x + first * in_floats(c), *dz = a->dz + first * out_pixels(c) * c->out;
    conv_plan *p;
    MT_TRY(plan_of(dnn, CONV_FILTER, rows, c, &p));
    DNN(cudnnConvolutionBackwardFilter(dnn->handle, &one, p->x, x, p->y, dz, p->conv, (cudnnConvolutionBwdFilterAlgo_t)p->algorithm,
        dnn->c->workspace, p->workspace_bytes, &beta, p->w, a->scratch));
    if (!a->dx) return MT_OK;
    MT_TRY(plan_of(dnn, CONV_DATA, rows, c, &p));
    DNN(cudnnConvolutionBackwardData(dnn->handle, &one, p->w, a->weight_rows, p->y, dz, p->conv,
        (cudnnConvolutionBwdDataAlgo_t)p->algorithm, dnn->c->workspace, p->workspace_bytes, &zero, p->x,
        a->dx + first * in_floats(c)));
    return MT_OK;
}

mt_status mt_cuda_conv2d_backward(mt_cuda_dnn *dnn, const mt_conv2d_backward *a) {
    const mt_conv2d *c = &a->conv;
    int64_t most, taps = (int64_t)c->kernel * c->kernel;
    MT_TRY(mt_cuda_use(dnn->c->device));
    if (a->rows < 1) {
        if (a->accumulate) return MT_OK;
        if (a->db) MT_TRY(mt_cuda_zero(dnn->c, a->db, sizeof *a->db * (size_t)c->out));
        return mt_cuda_zero(dnn->c, a->dw, sizeof *a->dw * (size_t)weight_floats(c));
    }
    MT_TRY(aligned(a->x, a->dz, a->dx, a->scratch));
    MT_TRY(aligned(a->dx ? a->weight_rows : NULL, NULL, NULL, NULL));
    MT_TRY(rows_at_once(dnn, c, &most));
    for (int64_t first = 0; first < a->rows; first += most)
        MT_TRY(backward_part(dnn, a, first, a->rows - first < most ? a->rows - first : most));
    MT_TRY(mt_cuda_turn(dnn->c, c->out, taps, c->in, a->scratch, a->dw, a->accumulate));
    if (a->db) MT_TRY(mt_cuda_column_sums(dnn->c, a->rows * out_pixels(c), c->out, a->dz, a->db, a->accumulate));
    if (!a->dx || a->x_activation == MT_ACT_identity) return MT_OK;
    return mt_cuda_activate_backward(dnn->c, a->x_activation, a->rows * in_floats(c), a->x, a->x_pre, a->dx, a->dx);
}

// ---- parameters

int64_t mt_cuda_conv2d_scratch(const mt_conv2d *conv) { return weight_floats(conv); } // dw in the library's order

mt_status mt_cuda_conv2d_pack(const mt_cuda *c, const mt_conv2d *conv, const float *weight, float *weight_t, float *weight_rows) {
    int64_t taps = (int64_t)conv->kernel * conv->kernel;
    MT_TRY(mt_cuda_turn(c, conv->out, conv->in, taps, weight, weight_rows, 0));
    return weight_t == weight_rows ? MT_OK : mt_cuda_turn(c, conv->out, conv->in, taps, weight, weight_t, 0);
}
