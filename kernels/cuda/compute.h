// Computing on a GPU: kernels/compute.h for the cuda device.
#ifndef MANTA_KERNELS_CUDA_COMPUTE_H
#define MANTA_KERNELS_CUDA_COMPUTE_H

#include "kernels/compute.h"
#include "kernels/cuda/cuda.h"

typedef struct mt_cuda_compute {
    mt_compute base;
    mt_cuda cuda;
    mt_cuda_dense *dense;            // owned
    mt_cuda_dense *dnn_dense;        // owned where the recurrent layers' products have a precision of their own. Nullable
    mt_cuda_dnn *dnn;                // owned
    struct mt_gpu_group *group;      // owned. Nullable
    mt_comm *comm;                   // borrowed: the group's
    mt_progress progress;            // of what is waited for
    double *results;                 // owned, device memory (2): what an operation returns as a number
    int32_t *nvec;                   // owned, device memory (most components): of the last categorical with several
    int32_t *host_nvec;              // owned: what stands there
    int components;
    mt_status status;                // the first failure since begin
    char message[1024];              // with it
} mt_cuda_compute;

mt_status mt_cuda_compute_open(const mt_compute_desc *desc, mt_compute **out);

// The table whose calls go to the calling thread's current compute (table.c).
extern const mt_kernels mt_cuda_kernels;
void mt_cuda_table_enter(mt_cuda_compute *compute);   // NULL: none

#endif
