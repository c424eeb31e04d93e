// Launching a kernel from a .cu file that was compiled for the host (language.h): the kernel as a call that a thread makes.
#ifndef MANTA_TESTS_CUDA_HOST_LAUNCH_H
#define MANTA_TESTS_CUDA_HOST_LAUNCH_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

// call(closure): the body of one thread. The closure holds the arguments and is taken over; `bytes` of it are host memory that
// a kernel may read.
cudaError_t mt_host_launch(const cudaLaunchConfig_t *config, const void *function, void (*call)(const void *closure), void *closure,
    size_t bytes, void (*destroy)(void *closure));

#ifdef __cplusplus
}
#endif
#endif
