// The cuda device: an NVIDIA GPU through the CUDA runtime, found when it is opened. Any thread.
//
// Opening asks the driver and nothing else: no context, no memory on the GPU, so that counting devices costs nothing
// and a process that computes on the CPU takes nothing from one that does not. The first allocation makes the context.
// Memory is plain cudaMalloc: what manta allocates on a device lives as long as the run (arenas, workspaces), and a
// stream-ordered pool has nothing to reuse there. CUDA_VISIBLE_DEVICES is the runtime's business; ordinals count what
// it leaves.
#include "engine/device/cuda.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"

enum { COMPUTE_LEAST = 75, // what nvcc 13 still compiles for: Turing
    POLL_NS = 100000 };

// ---- codes

typedef struct cuda_advice {
    int code;
    mt_status status;
    const char *what_to_do;
} cuda_advice;

static const cuda_advice advices[] = {
    {cudaErrorMemoryAllocation, MT_NO_MEMORY,
        "use smaller batches or networks, or a GPU that others leave free (nvidia-smi)"},
    {cudaErrorInsufficientDriver, MT_UNSUPPORTED, "update the NVIDIA driver, or use --device cpu"},
    {cudaErrorNoDevice, MT_UNSUPPORTED, "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu"},
    {cudaErrorInvalidDevice, MT_UNSUPPORTED, "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu"},
    {cudaErrorDevicesUnavailable, MT_UNSUPPORTED,
        "another process has this GPU to itself (nvidia-smi shows its compute mode); use another, or --device cpu"},
    {cudaErrorNoKernelImageForDevice, MT_UNSUPPORTED,
        "this build has no code for this GPU: build with -DCMAKE_CUDA_ARCHITECTURES=native, or use --device cpu"},
    {cudaErrorUnsupportedPtxVersion, MT_UNSUPPORTED,
        "the driver is older than the toolkit manta was built with: update it, or use --device cpu"},
    {cudaErrorSystemNotReady, MT_UNSUPPORTED,
        "the GPU's fabric manager or driver is not running: ask who administers this machine"},
    {cudaErrorSystemDriverMismatch, MT_UNSUPPORTED,
        "the driver's kernel module and library differ: reboot, or reload the module, after its update"},
    {cudaErrorECCUncorrectable, MT_IO,
        "the GPU's memory is damaged: use another GPU, and tell who administers this one"},
    {cudaErrorIllegalAddress, MT_INTERNAL,
        "this is a fault in manta: run it under compute-sanitizer and report what that says"},
    {cudaErrorLaunchFailure, MT_INTERNAL,
        "this is a fault in manta: run it under compute-sanitizer and report what that says"},
    {cudaErrorLaunchTimeout, MT_DEADLINE, "a display's watchdog stopped the GPU: use one that drives no display"},
};

mt_status mt_cuda_check(int code, const char *call, const char *file, int line) {
    if (code == cudaSuccess) return MT_OK;
    cudaGetLastError(); // it is told here; the check of a later launch should not find it
    mt_status status = MT_INTERNAL;
    const char *what_to_do =
        "see nvidia-smi and the system's log for what happened to the GPU; --device cpu does without it";
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (advices[i].code == code) status = advices[i].status, what_to_do = advices[i].what_to_do;
    return mt_fail(status, file, line, "CUDA: %s (error %d, in %.80s); %s", cudaGetErrorString((cudaError_t)code), code,
        call, what_to_do);
}

mt_status mt_cuda_use(const mt_device *device) {
    MT_CUDA(cudaSetDevice(device->ordinal));
    return MT_OK;
}

// ---- opening: each reason why there is no such device has its own words

static mt_status no_device(int code, int driver, int built_for) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (driver == 0)
        return MT_FAIL(UNSUPPORTED,
            "device cuda: this machine has no NVIDIA driver; install one for CUDA %d.%d or newer, or use --device cpu",
            built_for / 1000, built_for % 1000 / 10);
    if (code == cudaErrorInsufficientDriver)
        return MT_FAIL(UNSUPPORTED,
            "device cuda: the NVIDIA driver is made for CUDA %d.%d, this build of manta for %d.%d; update the driver, "
            "or use --device cpu",
            driver / 1000, driver % 1000 / 10, built_for / 1000, built_for % 1000 / 10);
    if (code == cudaErrorNoDevice && visible)
        return MT_FAIL(UNSUPPORTED,
            "device cuda: the driver shows no GPU under CUDA_VISIBLE_DEVICES=\"%.60s\"; change it, or use --device cpu",
            visible);
    return mt_cuda_check(code, "cudaGetDeviceCount", __FILE__, __LINE__);
}

static mt_status cuda_open(mt_device *device, int ordinal) {
    int driver = 0, built_for = 0, count = 0;
    MT_CUDA(cudaDriverGetVersion(&driver));
    MT_CUDA(cudaRuntimeGetVersion(&built_for));
    int code = (int)cudaGetDeviceCount(&count);
    if (code != cudaSuccess) {
        cudaGetLastError(); // it is told here; no later call should stumble over it
        return no_device(code, driver, built_for);
    }
    if (ordinal >= count)
        return MT_FAIL(UNSUPPORTED,
            "device cuda:%d: this process sees %d GPU%s, cuda:0 is the first; check CUDA_VISIBLE_DEVICES, or use "
            "--device cpu",
            ordinal, count, count == 1 ? "" : "s");
    struct cudaDeviceProp properties;
    MT_CUDA(cudaGetDeviceProperties(&properties, ordinal));
    if (properties.major * 10 + properties.minor < COMPUTE_LEAST)
        return MT_FAIL(UNSUPPORTED,
            "device cuda:%d: a %.60s (compute capability %d.%d) is older than manta's kernels (7.5); use another GPU, "
            "or --device cpu",
            ordinal, properties.name, properties.major, properties.minor);
    snprintf(device->name, sizeof device->name, "%.*s", MT_DEVICE_NAME_BYTES - 1, properties.name);
    snprintf(device->place, sizeof device->place, "%04x:%02x:%02x", (unsigned)properties.pciDomainID & 0xffffu,
        (unsigned)properties.pciBusID & 0xffu, (unsigned)properties.pciDeviceID & 0xffu);
    device->memory_bytes = properties.totalGlobalMem;
    return MT_OK;
}

int mt_cuda_device_count(void) {
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
    cudaGetLastError(); // told by who opens a device
    return 0;
}

mt_status mt_cuda_peer_open(const mt_device *device, const mt_device *other, int *direct) {
    *direct = device->ordinal == other->ordinal;
    if (*direct) return MT_OK;
    MT_CUDA(cudaDeviceCanAccessPeer(direct, device->ordinal, other->ordinal));
    if (!*direct) return MT_OK;
    MT_TRY(mt_cuda_use(device));
    cudaError_t code = cudaDeviceEnablePeerAccess(other->ordinal, 0);
    if (code == cudaErrorPeerAccessAlreadyEnabled) {
        cudaGetLastError();
        return MT_OK;
    }
    MT_CUDA(code);
    return MT_OK;
}

static void cuda_close(mt_device *device) { (void)device; }

// ---- the table

static mt_status cuda_alloc(const mt_device *device, size_t bytes, void **out) {
    void *memory = NULL;
    MT_TRY(mt_cuda_use(device));
    cudaError_t code = cudaMalloc(&memory, bytes);
    if (code == cudaErrorMemoryAllocation) {
        size_t left = 0, all = 0;
        cudaGetLastError();
        MT_CUDA(cudaMemGetInfo(&left, &all));
        return MT_FAIL(NO_MEMORY,
            "cannot allocate %zu bytes on %s: %zu of %zu are free; use smaller batches or networks, or a GPU that "
            "others leave free",
            bytes, device->name, left, all);
    }
    MT_CUDA(code);
    mt_status status = mt_cuda_check((int)cudaMemset(memory, 0, bytes), "cudaMemset", __FILE__, __LINE__);
    // a stream that does not wait for the default one must find zeros, too
    if (status == MT_OK)
        status = mt_cuda_check((int)cudaStreamSynchronize(NULL), "cudaStreamSynchronize", __FILE__, __LINE__);
    if (status != MT_OK) {
        cudaFree(memory);
        return status;
    }
    *out = memory;
    return MT_OK;
}

static void cuda_free(const mt_device *device, void *memory) {
    if (mt_cuda_use(device) == MT_OK) cudaFree(memory);
}

static mt_status cuda_copy(const mt_device *device, void *to, const void *from, size_t bytes) {
    MT_TRY(mt_cuda_use(device));
    MT_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, NULL));
    return MT_OK;
}

static mt_status cuda_fill(const mt_device *device, void *memory, unsigned char byte, size_t bytes) {
    MT_TRY(mt_cuda_use(device));
    MT_CUDA(cudaMemsetAsync(memory, byte, bytes, NULL));
    return MT_OK;
}

static mt_status cuda_sync(const mt_device *device) {
    MT_TRY(mt_cuda_use(device));
    MT_CUDA(cudaDeviceSynchronize());
    return MT_OK;
}

static mt_status cuda_memory_free(const mt_device *device, uint64_t *bytes) {
    size_t left = 0, all = 0;
    MT_TRY(mt_cuda_use(device));
    MT_CUDA(cudaMemGetInfo(&left, &all));
    *bytes = left;
    return MT_OK;
}

// ---- streams and events

mt_status mt_cuda_stream_open(const mt_device *device, mt_stream *out) {
    *out = NULL;
    MT_TRY(mt_cuda_use(device));
    MT_CUDA(cudaStreamCreateWithFlags(out, cudaStreamNonBlocking));
    return MT_OK;
}

mt_status mt_cuda_stream_sync(const mt_device *device, mt_stream stream) {
    MT_TRY(mt_cuda_use(device));
    MT_CUDA(cudaStreamSynchronize(stream));
    return MT_OK;
}

mt_status mt_cuda_stream_wait(const mt_device *device, mt_stream stream, mt_progress *progress) {
    if (!progress || !progress->pulse) return mt_cuda_stream_sync(device, stream);   // nobody looks
    for (int done = 0;;) {
        MT_TRY(mt_cuda_stream_done(device, stream, &done));
        mt_progress_made(progress);
        if (done) return MT_OK;
        mt_sleep_ns(POLL_NS);
    }
}

mt_status mt_cuda_stream_done(const mt_device *device, mt_stream stream, int *done) {
    MT_TRY(mt_cuda_use(device));
    cudaError_t code = cudaStreamQuery(stream);
    *done = code != cudaErrorNotReady;
    if (!*done) {
        cudaGetLastError(); // an answer, not an error
        return MT_OK;
    }
    MT_CUDA(code);
    return MT_OK;
}

void mt_cuda_stream_close(const mt_device *device, mt_stream stream) {
    if (stream && mt_cuda_use(device) == MT_OK) cudaStreamDestroy(stream);
}

mt_status mt_cuda_stream_copy(const mt_device *device, mt_stream stream, void *to, const void *from, size_t bytes) {
    MT_TRY(mt_cuda_use(device));
    if (bytes) MT_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream));
    return MT_OK;
}

mt_status mt_cuda_event_open(const mt_device *device, mt_event *out) {
    *out = NULL;
    MT_TRY(mt_cuda_use(device));
    MT_CUDA(cudaEventCreateWithFlags(out, cudaEventDefault));
    return MT_OK;
}

mt_status mt_cuda_event_record(const mt_device *device, mt_event event, mt_stream stream) {
    MT_TRY(mt_cuda_use(device));
    MT_CUDA(cudaEventRecord(event, stream));
    return MT_OK;
}

mt_status mt_cuda_event_wait(const mt_device *device, mt_stream stream, mt_event event) {
    MT_TRY(mt_cuda_use(device));
    MT_CUDA(cudaStreamWaitEvent(stream, event, 0));
    return MT_OK;
}

mt_status mt_cuda_event_elapsed_s(const mt_device *device, mt_event from, mt_event to, double *seconds) {
    float milliseconds = 0;
    MT_TRY(mt_cuda_use(device));
    MT_CUDA(cudaEventSynchronize(to));
    MT_CUDA(cudaEventElapsedTime(&milliseconds, from, to));
    *seconds = 1e-3 * (double)milliseconds;
    return MT_OK;
}

void mt_cuda_event_close(const mt_device *device, mt_event event) {
    if (event && mt_cuda_use(device) == MT_OK) cudaEventDestroy(event);
}

// ---- pinned memory

mt_status mt_cuda_pinned_alloc(const mt_device *device, size_t bytes, void **out) {
    *out = NULL;
    if (bytes == 0) return MT_OK;
    MT_TRY(mt_cuda_use(device));
    cudaError_t code = cudaHostAlloc(out, bytes, cudaHostAllocPortable);
    if (code == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return MT_FAIL(NO_MEMORY,
            "cannot pin %zu bytes of main memory for the GPU; raise the limit (ulimit -l, the container's memory), or "
            "use smaller batches",
            bytes);
    }
    MT_CUDA(code);
    memset(*out, 0, bytes);
    return MT_OK;
}

void mt_cuda_pinned_free(const mt_device *device, void *memory) {
    if (memory && mt_cuda_use(device) == MT_OK) cudaFreeHost(memory);
}

const mt_device_ops mt_device_cuda = {
    .kind_name = "cuda",
    .kind = MT_DEVICE_CUDA,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .copy = cuda_copy,
    .fill = cuda_fill,
    .sync = cuda_sync,
    .memory_free = cuda_memory_free,
};
