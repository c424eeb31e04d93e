// cuDNN: handles, descriptors and words for codes. Convolutions are in cudnn_convolution.c, recurrent layers in cudnn_rnn.c. Any
// thread, one at a time per handle.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/dnn.h"
#include "tests/cuda_host/report.h"

static _Thread_local const char *last_error = "";

static const char *kind_name(uint32_t kind) {
    switch (kind) {
    case MT_HOST_DNN_HANDLE: return "cudnnHandle_t";
    case MT_HOST_DNN_TENSOR: return "cudnnTensorDescriptor_t";
    case MT_HOST_DNN_FILTER: return "cudnnFilterDescriptor_t";
    case MT_HOST_DNN_CONVOLUTION: return "cudnnConvolutionDescriptor_t";
    case MT_HOST_DNN_ACTIVATION: return "cudnnActivationDescriptor_t";
    case MT_HOST_DNN_DROPOUT: return "cudnnDropoutDescriptor_t";
    case MT_HOST_DNN_RNN: return "cudnnRNNDescriptor_t";
    default: return "cudnnRNNDataDescriptor_t";
    }
}
const void *mt_host_dnn_descriptor(const void *handle, uint32_t kind) {
    mt_host_handle_check(handle, kind, kind_name(kind));
    return handle;
}

cudnnStatus_t mt_host_dnn_fail(cudnnStatus_t code, const char *why) {
    last_error = why;
    return code;
}
void cudnnGetLastErrorString(char *text, size_t bytes) { snprintf(text, bytes, "%s", last_error); }

const char *cudnnGetErrorString(cudnnStatus_t code) {
    switch (code) {
    case CUDNN_STATUS_SUCCESS: return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED: return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT: return "CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT";
    case CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH: return "CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH";
    case CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER: return "CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER";
    case CUDNN_STATUS_NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_INTERNAL_ERROR: return "CUDNN_STATUS_INTERNAL_ERROR";
    case CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED: return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
    case CUDNN_STATUS_EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
    case CUDNN_STATUS_EXECUTION_FAILED_CUDART: return "CUDNN_STATUS_EXECUTION_FAILED_CUDART";
    default: return "an unknown cuDNN status";
    }
}

float mt_host_dnn_round(float x, cudnnMathType_t math) {
    uint32_t bits;
    if (math == CUDNN_FMA_MATH) return x;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + 0xfffu + (bits >> 13 & 1u)) & 0xffffe000u; // 10 bits of mantissa
    memcpy(&x, &bits, sizeof x);
    return x;
}

// ---- handles

static cudnnStatus_t handle_create(cudnnHandle_t *out) {
    if (mt_host_device_current() >= mt_host_settings_get()->visible_count) return CUDNN_STATUS_NOT_INITIALIZED;
    mt_host_dnn *dnn = mt_host_handle_create(sizeof *dnn, MT_HOST_DNN_HANDLE, MT_HOST_LIBRARY_HANDLE);
    dnn->device = mt_host_device_current();
    *out = (cudnnHandle_t)dnn;
    return CUDNN_STATUS_SUCCESS;
}
static cudnnStatus_t destroy(void *handle, uint32_t kind, mt_host_object count) {
    mt_host_handle_destroy(handle, kind, kind_name(kind), count);
    return CUDNN_STATUS_SUCCESS;
}
static cudnnStatus_t set_stream(cudnnHandle_t handle, cudaStream_t stream) {
    mt_host_dnn_descriptor(handle, MT_HOST_DNN_HANDLE);
    ((mt_host_dnn *)(void *)handle)->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreate(cudnnHandle_t *out) { MT_HOST_DNN(handle_create(out)); }
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) { MT_HOST_DNN(destroy(handle, MT_HOST_DNN_HANDLE, MT_HOST_LIBRARY_HANDLE)); }
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) { MT_HOST_DNN(set_stream(handle, stream)); }

cudnnStatus_t mt_host_dnn_submit(const mt_host_dnn *dnn, mt_host_operation *operation) {
    mt_host_stream *s = mt_host_stream_of(dnn->stream);
    if (s->device != mt_host_device_current())
        mt_host_fatal("cuDNN: the handle's stream is not of the calling thread's device");
    return mt_host_submit(s, operation, NULL, 0, NULL) == cudaSuccess ? CUDNN_STATUS_SUCCESS
                                                                      : CUDNN_STATUS_EXECUTION_FAILED_CUDART;
}

// ---- descriptors: made and destroyed all in the same way

static cudnnStatus_t create(void **out, size_t bytes, uint32_t kind) {
    *out = mt_host_handle_create(bytes, kind, MT_HOST_DESCRIPTOR);
    return CUDNN_STATUS_SUCCESS;
}
#define MT_HOST_PAIR(Name, kind, type)                                                                                         \
    cudnnStatus_t cudnnCreate##Name##Descriptor(cudnn##Name##Descriptor_t *out) {                                              \
        MT_HOST_DNN(create((void **)out, sizeof(type), kind));                                                                 \
    }                                                                                                                          \
    cudnnStatus_t cudnnDestroy##Name##Descriptor(cudnn##Name##Descriptor_t d) {                                                \
        MT_HOST_DNN(destroy(d, kind, MT_HOST_DESCRIPTOR));                                                                     \
    }
MT_HOST_PAIR(Tensor, MT_HOST_DNN_TENSOR, mt_host_tensor)
MT_HOST_PAIR(Filter, MT_HOST_DNN_FILTER, mt_host_tensor)
MT_HOST_PAIR(Convolution, MT_HOST_DNN_CONVOLUTION, mt_host_convolution)
MT_HOST_PAIR(Activation, MT_HOST_DNN_ACTIVATION, mt_host_activation)
MT_HOST_PAIR(Dropout, MT_HOST_DNN_DROPOUT, mt_host_activation)
MT_HOST_PAIR(RNN, MT_HOST_DNN_RNN, mt_host_rnn)

cudnnStatus_t cudnnCreateRNNDataDescriptor(cudnnRNNDataDescriptor_t *out) {
    MT_HOST_DNN(create((void **)out, sizeof(mt_host_rnn_data), MT_HOST_DNN_RNN_DATA));
}
static cudnnStatus_t data_destroy(mt_host_rnn_data *d) {
    mt_host_dnn_descriptor(d, MT_HOST_DNN_RNN_DATA);
    free(d->lengths);
    return destroy(d, MT_HOST_DNN_RNN_DATA, MT_HOST_DESCRIPTOR);
}
cudnnStatus_t cudnnDestroyRNNDataDescriptor(cudnnRNNDataDescriptor_t d) {
    MT_HOST_DNN(data_destroy((mt_host_rnn_data *)(void *)d));
}

// ---- what they say

static cudnnStatus_t tensor_set(void *handle, uint32_t kind, cudnnTensorFormat_t format, cudnnDataType_t type, int rows,
    int channels, int height, int width) {
    mt_host_tensor *t = handle;
    mt_host_dnn_descriptor(handle, kind);
    if (rows < 1 || channels < 1 || height < 1 || width < 1)
        return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM, "a dimension below 1");
    if (format != CUDNN_TENSOR_NHWC || type != CUDNN_DATA_FLOAT)
        mt_host_fatal("cuDNN: tests/cuda_host knows channels-last arrays of floats alone");
    t->rows = rows, t->channels = channels, t->height = height, t->width = width;
    t->set = 1;
    if (mt_host_tensor_count(t) > INT32_MAX)
        return mt_host_dnn_fail(CUDNN_STATUS_NOT_SUPPORTED, "more than 2147483647 elements");
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetTensor4dDescriptor(
    cudnnTensorDescriptor_t t, cudnnTensorFormat_t format, cudnnDataType_t type, int n, int c, int h, int w) {
    MT_HOST_DNN(tensor_set(t, MT_HOST_DNN_TENSOR, format, type, n, c, h, w));
}
cudnnStatus_t cudnnSetFilter4dDescriptor(
    cudnnFilterDescriptor_t t, cudnnDataType_t type, cudnnTensorFormat_t format, int k, int c, int h, int w) {
    MT_HOST_DNN(tensor_set(t, MT_HOST_DNN_FILTER, format, type, k, c, h, w));
}

// of a dense array
static cudnnStatus_t tensor_set_nd(void *handle, cudnnDataType_t type, int count, const int *sizes, const int *strides) {
    mt_host_tensor *t = handle;
    int64_t all = 1;
    mt_host_dnn_descriptor(handle, MT_HOST_DNN_TENSOR);
    if (count < 3 || count > 8 || type != CUDNN_DATA_FLOAT)
        return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM, "3 to 8 dimensions of floats are wanted");
    for (int i = count - 1; i >= 0; i--) {
        if (sizes[i] < 1 || strides[i] != (int)all) return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM, "not a dense array");
        all *= sizes[i];
    }
    *t = (mt_host_tensor){
        .kind = MT_HOST_DNN_TENSOR, .set = 1, .rows = sizes[0], .channels = (int)(all / sizes[0]), .height = 1, .width = 1};
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetTensorNdDescriptor(
    cudnnTensorDescriptor_t t, cudnnDataType_t type, int count, const int sizes[], const int strides[]) {
    MT_HOST_DNN(tensor_set_nd(t, type, count, sizes, strides));
}

static cudnnStatus_t convolution_set(
    void *handle, mt_host_convolution to, int dilation_h, int dilation_w, cudnnConvolutionMode_t mode, cudnnDataType_t type) {
    mt_host_dnn_descriptor(handle, MT_HOST_DNN_CONVOLUTION);
    if (to.padding_h < 0 || to.padding_w < 0 || to.stride_h < 1 || to.stride_w < 1)
        return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM, "padding or stride");
    if (dilation_h != 1 || dilation_w != 1 || mode != CUDNN_CROSS_CORRELATION || type != CUDNN_DATA_FLOAT)
        mt_host_fatal("cuDNN: tests/cuda_host knows cross-correlations of floats without dilation alone");
    *(mt_host_convolution *)handle = to;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t c, int padding_h, int padding_w, int stride_h,
    int stride_w, int dilation_h, int dilation_w, cudnnConvolutionMode_t mode, cudnnDataType_t type) {
    mt_host_convolution to = {MT_HOST_DNN_CONVOLUTION, padding_h, padding_w, stride_h, stride_w, CUDNN_DEFAULT_MATH};
    MT_HOST_DNN(convolution_set(c, to, dilation_h, dilation_w, mode, type));
}
static cudnnStatus_t convolution_set_math(void *handle, cudnnMathType_t math) {
    mt_host_dnn_descriptor(handle, MT_HOST_DNN_CONVOLUTION);
    ((mt_host_convolution *)handle)->math = math;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t c, cudnnMathType_t math) {
    MT_HOST_DNN(convolution_set_math(c, math));
}

static cudnnStatus_t activation_set(void *handle, cudnnActivationMode_t mode) {
    mt_host_dnn_descriptor(handle, MT_HOST_DNN_ACTIVATION);
    if (mode != CUDNN_ACTIVATION_RELU && mode != CUDNN_ACTIVATION_IDENTITY)
        return mt_host_dnn_fail(CUDNN_STATUS_NOT_SUPPORTED, "relu or none");
    ((mt_host_activation *)handle)->mode = mode;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetActivationDescriptor(
    cudnnActivationDescriptor_t a, cudnnActivationMode_t mode, cudnnNanPropagation_t nan, double ceiling) {
    (void)nan, (void)ceiling;
    MT_HOST_DNN(activation_set(a, mode));
}

static cudnnStatus_t dropout_set(void *handle, cudnnHandle_t dnn, float rate) {
    mt_host_dnn_descriptor(handle, MT_HOST_DNN_DROPOUT);
    mt_host_dnn_descriptor(dnn, MT_HOST_DNN_HANDLE);
    if (rate != 0) mt_host_fatal("cuDNN: tests/cuda_host knows no dropout");
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetDropoutDescriptor(
    cudnnDropoutDescriptor_t d, cudnnHandle_t dnn, float rate, void *states, size_t bytes, unsigned long long seed) {
    (void)states, (void)bytes, (void)seed;
    MT_HOST_DNN(dropout_set(d, dnn, rate));
}

static cudnnStatus_t rnn_set(void *handle, mt_host_rnn to, int known) {
    mt_host_dnn_descriptor(handle, MT_HOST_DNN_RNN);
    if (to.in < 1 || to.units < 1) return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM, "a size below 1");
    if (!known || (to.cell != CUDNN_LSTM && to.cell != CUDNN_GRU))
        mt_host_fatal(
            "cuDNN: tests/cuda_host knows LSTM and GRU of one layer and direction, of floats, with both biases, alone");
    *(mt_host_rnn *)handle = to;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetRNNDescriptor_v8(cudnnRNNDescriptor_t r, cudnnRNNAlgo_t algorithm, cudnnRNNMode_t cell,
    cudnnRNNBiasMode_t bias, cudnnDirectionMode_t direction, cudnnRNNInputMode_t input, cudnnDataType_t type,
    cudnnDataType_t math_type, cudnnMathType_t math, int32_t in, int32_t units, int32_t projected, int32_t layers,
    cudnnDropoutDescriptor_t dropout, uint32_t flags) {
    int known = algorithm == CUDNN_RNN_ALGO_STANDARD && bias == CUDNN_RNN_DOUBLE_BIAS && direction == CUDNN_UNIDIRECTIONAL &&
                input == CUDNN_LINEAR_INPUT && type == CUDNN_DATA_FLOAT && math_type == CUDNN_DATA_FLOAT &&
                projected == units && layers == 1 && dropout && flags == CUDNN_RNN_PADDED_IO_DISABLED;
    MT_HOST_DNN(rnn_set(r, (mt_host_rnn){MT_HOST_DNN_RNN, cell, math, in, units}, known));
}

static cudnnStatus_t data_set(mt_host_rnn_data *d, cudnnDataType_t type, cudnnRNNDataLayout_t layout, int steps, int sequences,
    int width, const int *lengths) {
    mt_host_dnn_descriptor(d, MT_HOST_DNN_RNN_DATA);
    if (type != CUDNN_DATA_FLOAT || layout != CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED)
        mt_host_fatal("cuDNN: tests/cuda_host knows packed sequences of floats, step by step, alone");
    if (steps < 1 || sequences < 1 || width < 1) return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM, "a size below 1");
    for (int n = 0; n < sequences; n++)
        if (lengths[n] < 1 || lengths[n] > steps || (n && lengths[n] > lengths[n - 1]))
            return mt_host_dnn_fail(
                CUDNN_STATUS_BAD_PARAM, "lengths of packed sequences must not grow, nor leave 1 to maxSeqLength");
    free(d->lengths);
    d->steps = steps, d->sequences = sequences, d->width = width;
    d->lengths = mt_host_scratch_memory(sizeof *lengths * (size_t)sequences);
    memcpy(d->lengths, lengths, sizeof *lengths * (size_t)sequences);
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetRNNDataDescriptor(cudnnRNNDataDescriptor_t d, cudnnDataType_t type, cudnnRNNDataLayout_t layout,
    int steps, int sequences, int width, const int lengths[], void *fill) {
    (void)fill;
    MT_HOST_DNN(data_set((mt_host_rnn_data *)(void *)d, type, layout, steps, sequences, width, lengths));
}
