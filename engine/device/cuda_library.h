// The codes of the vendor's libraries beside the runtime (cuBLASLt, cuDNN, NCCL) as an mt_status, whose message says what was
// called, what the library says and what the user can do. Any thread.
//
// Who calls a library passes its words for the code along, so that nothing here links it and a program that uses one of them does
// not need the others.
#ifndef MANTA_ENGINE_DEVICE_CUDA_LIBRARY_H
#define MANTA_ENGINE_DEVICE_CUDA_LIBRARY_H

#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mt_cuda_library { MT_LIBRARY_CUBLASLT, MT_LIBRARY_CUDNN, MT_LIBRARY_NCCL, MT_LIBRARY_COUNT } mt_cuda_library;

// code: the library's; 0 is success in all of them. says: its text for the code. more (Nullable, may be empty): its last error in
// detail.
mt_status mt_cuda_library_check(mt_cuda_library library, int code, const char *says, const char *more, const char *call,
    const char *file, int line);

#ifdef __cplusplus
}
#endif
#endif
