// Launching kernels: what a launch is allowed to ask for, and a grid as a piece of work. Any thread.
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/block.h"
#include "tests/cuda_host/capture.h"
#include "tests/cuda_host/launch.h"
#include "tests/cuda_host/memory.h"
#include "tests/cuda_host/report.h"
#include "tests/cuda_host/settings.h"
#include "tests/cuda_host/work.h"

enum { SHARED_STANDARD = 48 << 10, SHARED_MOST = 227 << 10, ALLOWANCES_MOST = 64 };

// kernels that may have more shared memory than the standard
static struct allowance {
    const void *kernel;
    size_t bytes;
} allowances[ALLOWANCES_MOST];

typedef struct kernel {
    mt_host_operation operation;
    mt_host_grid grid;
    void *closure; // owned
    void (*destroy)(void *closure);
} kernel;

static void kernel_fini(mt_host_operation *o) { ((kernel *)o)->destroy(((kernel *)o)->closure); }

static mt_host_step kernel_run(mt_host_operation *o, void **state) {
    (void)state;
    int code = mt_host_settings_fail("kernel", cudaErrorLaunchFailure);
    if (code)
        mt_host_break((cudaError_t)code);
    else
        mt_host_grid_run(&((kernel *)o)->grid, &mt_host_chance);
    return MT_HOST_DONE;
}

static size_t allowed(const void *function) {
    for (int i = 0; i < ALLOWANCES_MOST; i++)
        if (allowances[i].kernel == function) return allowances[i].bytes;
    return SHARED_STANDARD;
}

static int sane(const cudaLaunchConfig_t *c) {
    dim3 g = c->gridDim, b = c->blockDim;
    if (!g.x || !g.y || !g.z || g.x > INT32_MAX || g.y > 65535 || g.z > 65535) return 0;
    if (!b.x || !b.y || !b.z || b.x > 1024 || b.y > 1024 || b.z > 64) return 0;
    return (uint64_t)b.x * b.y * b.z <= MT_HOST_THREADS_MOST;
}

static cudaError_t submit(const cudaLaunchConfig_t *c, const void *function, void (*call)(const void *), void *closure,
    size_t bytes, void (*destroy)(void *)) {
    mt_host_stream *s = mt_host_stream_of(c->stream);
    cudaError_t code = !sane(c)                                  ? cudaErrorInvalidConfiguration
                       : c->dynamicSmemBytes > allowed(function) ? cudaErrorInvalidValue
                       : s->device != mt_host_device_current()   ? cudaErrorInvalidResourceHandle
                                                                 : cudaSuccess;
    if (code != cudaSuccess) {
        destroy(closure);
        return code;
    }
    kernel *k =
        (kernel *)mt_host_operation_create(sizeof *k, mt_host_function_name(function), s->device, kernel_run, kernel_fini);
    dim3 g = c->gridDim, b = c->blockDim;
    k->grid = (mt_host_grid){.kernel = function,
        .call = call,
        .closure = closure,
        .closure_bytes = bytes,
        .grid = {g.x, g.y, g.z},
        .block = {b.x, b.y, b.z},
        .dynamic_bytes = c->dynamicSmemBytes,
        .shared_most = allowed(function) > SHARED_STANDARD ? SHARED_MOST : SHARED_STANDARD,
        .device = s->device};
    k->closure = closure, k->destroy = destroy;
    return mt_host_submit(s, &k->operation, NULL, 0, NULL);
}

cudaError_t mt_host_launch(const cudaLaunchConfig_t *config, const void *function, void (*call)(const void *closure),
    void *closure, size_t bytes, void (*destroy)(void *closure)) {
    cudaError_t code = mt_host_enter("cudaLaunchKernel");
    if (code != cudaSuccess) {
        destroy(closure);
        return code;
    }
    return mt_host_leave(submit(config, function, call, closure, bytes, destroy));
}

static cudaError_t set_attribute(const void *function, enum cudaFuncAttribute which, int value) {
    if (which == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (which != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > SHARED_MOST) return cudaErrorInvalidValue;
    for (int i = 0; i < ALLOWANCES_MOST; i++)
        if (!allowances[i].kernel || allowances[i].kernel == function) {
            allowances[i] = (struct allowance){function, value > SHARED_STANDARD ? (size_t)value : SHARED_STANDARD};
            return cudaSuccess;
        }
    mt_host_fatal("more than %d kernels with much shared memory: raise ALLOWANCES_MOST", ALLOWANCES_MOST);
}
cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute which, int value) {
    MT_HOST_CALL(set_attribute(function, which, value));
}
