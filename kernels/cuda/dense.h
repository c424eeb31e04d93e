// What the dense layers' products offer to the recurrent layers. One caller at a time, as for the context.
#ifndef MANTA_KERNELS_CUDA_DENSE_H
#define MANTA_KERNELS_CUDA_DENSE_H

#include "kernels/cuda/cuda.h"

// dx (B, I) (+)= dz (B, O) W (O, I)
mt_status mt_cuda_dense_inputs(mt_cuda_dense *dense, int64_t rows, int in, int out, const float *weight, const float *dz,
    float *dx, int accumulate);

#endif
