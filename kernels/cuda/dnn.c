// The vendor's library of layers on a context's stream. One caller at a time; see dnn.h.
#include "kernels/cuda/dnn.h"

#include <stdlib.h>
#include "kernels/cuda/dense.h"

mt_status mt_cuda_dnn_check(cudnnStatus_t code, const char *call, const char *file, int line) {
    char more[256] = "";
    if (code == CUDNN_STATUS_SUCCESS) return MT_OK;
    cudnnGetLastErrorString(more, sizeof more);
    return mt_cuda_library_check(MT_LIBRARY_CUDNN, (int)code, cudnnGetErrorString(code), more, call, file, line);
}

static mt_status open_handle(mt_cuda_dnn *dnn) {
    MT_TRY(mt_cuda_use(dnn->c->device));
    DNN(cudnnCreate(&dnn->handle));
    DNN(cudnnSetStream(dnn->handle, dnn->c->stream));
    return MT_OK;
}

mt_status mt_cuda_dnn_create(const mt_cuda *c, mt_cuda_dense *dense, int tf32, mt_cuda_dnn **out) {
    *out = NULL;
    if (mt_cuda_dense_precision(dense) == MT_CUDA_BF16)
        return MT_FAIL(INVALID_ARGUMENT, "recurrent layers on the GPU take products in fp32 or TF32, not in bf16");
    mt_cuda_dnn *dnn = calloc(1, sizeof *dnn);
    if (!dnn) return MT_FAIL(NO_MEMORY, "out of memory for the convolutions' plans");
    dnn->c = c;
    dnn->dense = dense;
    dnn->elements_most = INT32_MAX;
    dnn->math = tf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH;
    mt_status status = open_handle(dnn);
    if (status != MT_OK) {
        mt_cuda_dnn_destroy(dnn);
        return status;
    }
    *out = dnn;
    return MT_OK;
}

void mt_cuda_dnn_destroy(mt_cuda_dnn *dnn) {
    if (!dnn) return;
    mt_cuda_conv_plans_destroy(dnn->convs);
    mt_cuda_rnn_plans_destroy(dnn->rnns);
    if (dnn->handle && mt_cuda_use(dnn->c->device) == MT_OK) cudnnDestroy(dnn->handle);
    free(dnn);
}
