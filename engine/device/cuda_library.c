// The codes of cuBLASLt, cuDNN and NCCL, one table a library. Any thread; no library is called.
#include "engine/device/cuda_library.h"

#include <cublasLt.h>
#include <cudnn.h>
#include <nccl.h>
#include <stddef.h>

typedef struct advice {
    int code;
    mt_status status;
    const char *what_to_do;
} advice;

static const char leave_memory[] = "leave more of the GPU's memory free (nvidia-smi), or use smaller batches";
static const char same_library[] = "use the library's version that manta was built with, or --device cpu";
static const char see_system[] = "see nvidia-smi and the system's log for what happened to the GPU";
static const char see_parts[] =
    "libcudnn.so and its parts (libcudnn_*.so) must stand in one folder that the loader finds, all of one version";
static const char our_fault[] = "this is a fault in manta: please report it with these words";

static const advice cublaslt_codes[] = {
    {CUBLAS_STATUS_NOT_INITIALIZED, MT_NO_MEMORY, leave_memory},
    {CUBLAS_STATUS_ALLOC_FAILED, MT_NO_MEMORY, leave_memory},
    {CUBLAS_STATUS_NOT_SUPPORTED, MT_UNSUPPORTED, same_library},
    {CUBLAS_STATUS_ARCH_MISMATCH, MT_UNSUPPORTED, same_library},
    {CUBLAS_STATUS_INVALID_VALUE, MT_INTERNAL, our_fault},
};

static const advice cudnn_codes[] = {
    {CUDNN_STATUS_NOT_INITIALIZED, MT_UNSUPPORTED, see_parts},
    {CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED, MT_UNSUPPORTED, see_parts},
    {CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH, MT_UNSUPPORTED, see_parts},
    {CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, MT_NO_MEMORY, "the process has no main memory left"},
    {CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, MT_NO_MEMORY, leave_memory},
    {CUDNN_STATUS_NOT_SUPPORTED, MT_UNSUPPORTED, same_library},
    {CUDNN_STATUS_BAD_PARAM, MT_INTERNAL, our_fault},
};

static const advice nccl_codes[] = {
    {ncclUnhandledCudaError, MT_COMM, see_system},
    {ncclSystemError, MT_COMM,
        "NCCL_DEBUG=WARN makes it say which call of the system failed; shared memory (/dev/shm) is often too small"},
    {ncclInvalidArgument, MT_INTERNAL, our_fault},
    {ncclInvalidUsage, MT_UNSUPPORTED,
        "NCCL wants a GPU of its own for each rank: give each rank one, or let gradients go through MPI"},
    {ncclRemoteError, MT_COMM, "another rank ended or lost its network; its own output says why"},
    {ncclInternalError, MT_COMM,
        "NCCL_DEBUG=WARN makes it say more; use the library's version that manta was built with"},
};

static const struct {
    const char *name;
    const advice *codes;
    size_t count;
} libraries[MT_LIBRARY_COUNT] = {
    [MT_LIBRARY_CUBLASLT] = {"cuBLASLt", cublaslt_codes, sizeof cublaslt_codes / sizeof *cublaslt_codes},
    [MT_LIBRARY_CUDNN] = {"cuDNN", cudnn_codes, sizeof cudnn_codes / sizeof *cudnn_codes},
    [MT_LIBRARY_NCCL] = {"NCCL", nccl_codes, sizeof nccl_codes / sizeof *nccl_codes},
};

// cuDNN 9 numbers a code's particulars behind its thousands: 3003 is a way of not being supported
static int same_code(mt_cuda_library library, int code, int known) {
    return code == known || (library == MT_LIBRARY_CUDNN && known % 1000 == 0 && code / 1000 * 1000 == known);
}

mt_status mt_cuda_library_check(mt_cuda_library library, int code, const char *says, const char *more, const char *call,
    const char *file, int line) {
    if (code == 0) return MT_OK;
    const advice *found = NULL;
    for (size_t i = 0; i < libraries[library].count; i++) {
        const advice *a = &libraries[library].codes[i];
        if (a->code == code || (!found && same_code(library, code, a->code))) found = a;
    }
    return mt_fail(found ? found->status : MT_INTERNAL, file, line, "%s: %s%s%.300s (error %d, in %.60s); %s",
        libraries[library].name, says, more && more[0] ? ": " : "", more ? more : "", code, call,
        found ? found->what_to_do : see_system);
}
