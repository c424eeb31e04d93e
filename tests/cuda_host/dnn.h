// What the files of cuDNN here share: a handle with its stream, and descriptors as structs. Descriptors are copied when work is
// queued, as the vendor does.
#ifndef MANTA_TESTS_CUDA_HOST_DNN_H
#define MANTA_TESTS_CUDA_HOST_DNN_H

#include <cudnn.h>
#include "tests/cuda_host/vendor.h"

enum {
    MT_HOST_DNN_HANDLE = 0x63640001,
    MT_HOST_DNN_TENSOR,
    MT_HOST_DNN_FILTER,
    MT_HOST_DNN_CONVOLUTION,
    MT_HOST_DNN_ACTIVATION,
    MT_HOST_DNN_DROPOUT,
    MT_HOST_DNN_RNN,
    MT_HOST_DNN_RNN_DATA
};

typedef struct mt_host_dnn {
    uint32_t kind;
    int device;
    cudaStream_t stream;
} mt_host_dnn;

typedef struct mt_host_tensor { // also a filter, whose rows are its outputs
    uint32_t kind;
    int set, rows, channels, height, width; // channels-last; of what has other axes: rows and the product of the rest
} mt_host_tensor;

typedef struct mt_host_convolution {
    uint32_t kind;
    int padding_h, padding_w, stride_h, stride_w;
    cudnnMathType_t math;
} mt_host_convolution;

typedef struct mt_host_activation {
    uint32_t kind;
    cudnnActivationMode_t mode;
} mt_host_activation;

typedef struct mt_host_rnn {
    uint32_t kind;
    cudnnRNNMode_t cell; // CUDNN_LSTM or CUDNN_GRU
    cudnnMathType_t math;
    int in, units;
} mt_host_rnn;

typedef struct mt_host_rnn_data {
    uint32_t kind;
    int steps, sequences, width;
    int *lengths; // owned: (sequences), none longer than the one before
} mt_host_rnn_data;

#define MT_HOST_DNN(...)                                                                                               \
    MT_HOST_VENDOR(cudnnStatus_t, CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED,                                \
        CUDNN_STATUS_EXECUTION_FAILED_CUDART, __VA_ARGS__)

// the struct behind a handle; ends the process when it is of another kind
const void *mt_host_dnn_descriptor(const void *handle, uint32_t kind);
cudnnStatus_t mt_host_dnn_fail(cudnnStatus_t code, const char *why);   // for cudnnGetLastErrorString
static inline int64_t mt_host_tensor_count(const mt_host_tensor *t) {
    return (int64_t)t->rows * t->channels * t->height * t->width;
}
float mt_host_dnn_round(float x, cudnnMathType_t math);                // to TF32 where that may be used
cudnnStatus_t mt_host_dnn_submit(const mt_host_dnn *dnn, mt_host_operation *operation);   // takes it over

#endif
