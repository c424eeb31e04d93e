// What convolutions and recurrent layers share: the vendor's library of layers (cuDNN) on a context's stream, its codes, and the
// plans that each of the two keeps. One caller at a time, as for the context.
#ifndef MANTA_KERNELS_CUDA_DNN_H
#define MANTA_KERNELS_CUDA_DNN_H

#include <cudnn.h>
#include "engine/device/cuda_library.h"
#include "kernels/cuda/cuda.h"

struct conv_plans;
struct rnn_plans;

struct mt_cuda_dnn {
    const mt_cuda *c;            // borrowed
    mt_cuda_dense *dense;        // borrowed
    cudnnHandle_t handle;        // owned
    cudnnMathType_t math;        // FMA alone, or with TF32 where the GPU has it
    int64_t elements_most;       // that a convolution's arrays may have at once: the library counts in 31 bits. Tests set it lower
    struct conv_plans *convs;    // owned: conv2d.c
    struct rnn_plans *rnns;      // owned: rnn_dnn.c
};

// a code of the library's, with its last error in detail
mt_status mt_cuda_dnn_check(cudnnStatus_t code, const char *call, const char *file, int line);
#define DNN(call) MT_TRY(mt_cuda_dnn_check((call), #call, __FILE__, __LINE__))

// conv2d.c, rnn_dnn.c. Nullable
void mt_cuda_conv_plans_destroy(struct conv_plans *plans);
void mt_cuda_rnn_plans_destroy(struct rnn_plans *plans);

#endif
