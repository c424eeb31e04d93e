// A context of the cuda back end: a stream, scratch space and the tickets of one-launch sums. Any thread; see cuda.h.
#include "kernels/cuda/cuda.h"

#include <cuda_runtime_api.h>
#include <string.h>

enum { TICKET_BYTES = 64 };

mt_status mt_cuda_init(mt_cuda *c, const mt_device *device, size_t workspace_bytes) {
    MT_ASSERT(device->kind == MT_DEVICE_CUDA);
    mt_status status;
    void *ticket = NULL;
    memset(c, 0, sizeof *c);
    c->device = device;
    c->workspace_bytes = workspace_bytes;
    MT_TRY_GOTO(mt_cuda_stream_open(device, &c->stream), failed);
    MT_TRY_GOTO(device->ops->alloc(device, TICKET_BYTES, &ticket), failed); // zeroed
    c->ticket = ticket;
    if (workspace_bytes) MT_TRY_GOTO(device->ops->alloc(device, workspace_bytes, &c->workspace), failed);
    return MT_OK;
failed:
    mt_cuda_fini(c);
    return status;
}

void mt_cuda_fini(mt_cuda *c) {
    if (c->stream) (void)mt_cuda_sync(c);
    if (c->workspace) c->device->ops->free(c->device, c->workspace);
    if (c->ticket) c->device->ops->free(c->device, c->ticket);
    if (c->stream) mt_cuda_stream_close(c->device, c->stream);
    memset(c, 0, sizeof *c);
}

mt_status mt_cuda_sync(const mt_cuda *c) { return mt_cuda_stream_sync(c->device, c->stream); }

mt_status mt_cuda_zero(const mt_cuda *c, void *x, size_t bytes) {
    MT_TRY(mt_cuda_use(c->device));
    if (bytes) MT_CUDA(cudaMemsetAsync(x, 0, bytes, c->stream));
    return MT_OK;
}

mt_status mt_cuda_foreign(const mt_cuda *c, const char *kind, const char *name) {
    cudaError_t code = cudaGetLastError();
    if (name && code != cudaSuccess && code != cudaErrorNotReady)
        return MT_FAIL(PLUGIN,
            "%s %s: a CUDA call or launch in it failed on %s: %s (error %d); check the grid, the block and the shared memory of its "
            "launches and what its calls return, or compute on the CPU by --device cpu",
            kind, name, c->device->name, cudaGetErrorString(code), (int)code);
    return mt_cuda_use(c->device); // wherever it left this thread
}
