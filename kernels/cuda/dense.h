// What the dense layers' products offer to the recurrent layers, and what they need of a kernel. One caller at a time, as
// for the context.
#ifndef MANTA_KERNELS_CUDA_DENSE_H
#define MANTA_KERNELS_CUDA_DENSE_H

#include "kernels/cuda/cuda.h"

// dx (B, I) (+)= dz (B, O) W (O, I)
mt_status mt_cuda_dense_inputs(mt_cuda_dense *dense, int64_t rows, int in, int out, const float *weight, const float *dz,
    float *dx, int accumulate);
mt_cuda_precision mt_cuda_dense_precision(const mt_cuda_dense *dense);

#ifdef __cplusplus
extern "C" {
#endif
// y = x rounded to bf16, to the nearest and to even (round_bf16.cu)
mt_status mt_cuda_round_bf16(const mt_cuda *c, int64_t count, const float *x, uint16_t *y);
#ifdef __cplusplus
}
#endif

#endif
