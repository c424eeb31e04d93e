// The CUDA runtime's functions that are about no work: devices, errors, versions, memory. Any thread; see runtime.h.
#include "tests/cuda_host/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/capture.h"
#include "tests/cuda_host/memory.h"
#include "tests/cuda_host/report.h"
#include "tests/cuda_host/work.h"

pthread_mutex_t mt_host_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t mt_host_news = PTHREAD_COND_INITIALIZER;
uint64_t mt_host_chance;
mt_host_device mt_host_devices[MT_HOST_DEVICES_MOST];
static _Thread_local int current;
static _Thread_local cudaError_t last_error;
static cudaError_t broken;
static pthread_once_t once = PTHREAD_ONCE_INIT;

// ---- entering

static void at_exit(void) {
    if (broken != cudaSuccess) return; // what a lost device held is lost with it
    mt_host_work_end();
    mt_host_memory_guards_check("at exit");
    mt_host_memory_leaks_check();
    mt_host_objects_check();
}

static void begin(void) {
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"); // ranks should not all do the same
    mt_host_chance = mt_host_settings_get()->seed + (rank ? (uint64_t)atoi(rank) << 32 : 0);
    atexit(at_exit);
}

void mt_host_begin(void) { pthread_once(&once, begin); }

// what a device does not recover from
static int stays(cudaError_t code) {
    return code == cudaErrorIllegalAddress || code == cudaErrorLaunchFailure || code == cudaErrorLaunchTimeout ||
           code == cudaErrorECCUncorrectable || code == cudaErrorMisalignedAddress || code == cudaErrorAssert ||
           code == cudaErrorHardwareStackError || code == cudaErrorIllegalInstruction;
}
void mt_host_break(cudaError_t code) {
    if (broken == cudaSuccess) broken = code;
}
cudaError_t mt_host_broken(void) { return broken; }

cudaError_t mt_host_enter(const char *function) {
    mt_host_begin();
    cudaError_t code = (cudaError_t)mt_host_settings_fail(function, cudaErrorMemoryAllocation);
    pthread_mutex_lock(&mt_host_lock);
    if (stays(code)) mt_host_break(code);
    if (broken != cudaSuccess) code = broken;
    return code == cudaSuccess ? code : mt_host_leave(code);
}
cudaError_t mt_host_leave(cudaError_t code) {
    if (broken != cudaSuccess) code = broken;
    if (code != cudaSuccess && code != cudaErrorNotReady) last_error = code;
    pthread_mutex_unlock(&mt_host_lock);
    return code;
}

cudaError_t cudaGetLastError(void) {
    cudaError_t code = broken != cudaSuccess ? broken : last_error;
    last_error = cudaSuccess;
    return code;
}
cudaError_t cudaPeekAtLastError(void) { return broken != cudaSuccess ? broken : last_error; }

#define MT_HOST_ERRORS(X)                                                                                                      \
    X(cudaSuccess, "no error")                                                                                                 \
    X(cudaErrorInvalidValue, "invalid argument")                                                                               \
    X(cudaErrorMemoryAllocation, "out of memory")                                                                              \
    X(cudaErrorInitializationError, "initialization error")                                                                    \
    X(cudaErrorInvalidConfiguration, "invalid configuration argument")                                                         \
    X(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy")                                                    \
    X(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version")                             \
    X(cudaErrorNoDevice, "no CUDA-capable device is detected")                                                                 \
    X(cudaErrorInvalidDevice, "invalid device ordinal")                                                                        \
    X(cudaErrorInvalidDeviceFunction, "invalid device function")                                                               \
    X(cudaErrorInvalidResourceHandle, "invalid resource handle")                                                               \
    X(cudaErrorNotReady, "device not ready")                                                                                   \
    X(cudaErrorIllegalAddress, "an illegal memory access was encountered")                                                     \
    X(cudaErrorMisalignedAddress, "misaligned address")                                                                        \
    X(cudaErrorLaunchFailure, "unspecified launch failure")                                                                    \
    X(cudaErrorLaunchTimeout, "the launch timed out and was terminated")                                                       \
    X(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered")                                                        \
    X(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable")                                        \
    X(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled")                                                     \
    X(cudaErrorPeerAccessUnsupported, "peer access is not supported between these two devices")                                \
    X(cudaErrorIllegalState, "the operation cannot be performed in the present state")                                         \
    X(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing")                                   \
    X(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture")                            \
    X(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences")                          \
    X(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began")                                 \
    X(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work")                                                    \
    X(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream")                              \
    X(cudaErrorStreamCaptureImplicit, "operation would make the legacy stream depend on a capturing blocking stream")          \
    X(cudaErrorStreamCaptureWrongThread, "attempt to terminate a thread-local capture sequence from another thread")           \
    X(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream")                       \
    X(cudaErrorUnsupportedPtxVersion, "the provided PTX was compiled with an unsupported toolchain.")                          \
    X(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device")                             \
    X(cudaErrorNotSupported, "operation not supported")                                                                        \
    X(cudaErrorSystemNotReady, "system not yet initialized")                                                                   \
    X(cudaErrorSystemDriverMismatch, "system has unsupported display driver / cuda driver combination")                        \
    X(cudaErrorUnknown, "unknown error")

const char *cudaGetErrorString(cudaError_t error) {
    switch ((int)error) {
#define MT_HOST_CASE(code, text)                                                                                               \
    case code: return text;
        MT_HOST_ERRORS(MT_HOST_CASE)
#undef MT_HOST_CASE
    default: return "unrecognized error code";
    }
}
const char *cudaGetErrorName(cudaError_t error) {
    switch ((int)error) {
#define MT_HOST_CASE(code, text)                                                                                               \
    case code: return #code;
        MT_HOST_ERRORS(MT_HOST_CASE)
#undef MT_HOST_CASE
    default: return "unrecognized error code";
    }
}

// ---- devices

cudaError_t cudaDriverGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

int mt_host_device_current(void) { return current; }

static cudaError_t device_count(int *count) {
    *count = mt_host_settings_get()->visible_count;
    return *count ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaGetDeviceCount(int *count) { MT_HOST_CALL(device_count(count)); }

static cudaError_t check_device(int device) {
    int count = mt_host_settings_get()->visible_count;
    return !count ? cudaErrorNoDevice : device < 0 || device >= count ? cudaErrorInvalidDevice : cudaSuccess;
}
static cudaError_t set_device(int device) {
    cudaError_t code = check_device(device);
    if (code == cudaSuccess) current = device;
    return code;
}
cudaError_t cudaSetDevice(int device) { MT_HOST_CALL(set_device(device)); }
cudaError_t cudaGetDevice(int *device) {
    *device = current;
    return cudaSuccess;
}

enum { MULTIPROCESSORS = 16, BUS_FIRST = 0x10 };

static cudaError_t properties(struct cudaDeviceProp *p, int device) {
    cudaError_t code = check_device(device);
    if (code != cudaSuccess) return code;
    int physical = mt_host_settings_get()->visible[device];
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "host CPU as CUDA device %d (tests/cuda_host)", physical);
    memset(p->uuid.bytes, 0x20 + physical, sizeof p->uuid.bytes);
    p->totalGlobalMem = mt_host_settings_get()->memory_bytes;
    p->sharedMemPerBlock = 48 << 10;
    p->sharedMemPerBlockOptin = 227 << 10;
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = INT32_MAX, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->major = 9, p->minor = 0;
    p->multiProcessorCount = MULTIPROCESSORS;
    p->maxThreadsPerMultiProcessor = 2048;
    p->concurrentKernels = p->unifiedAddressing = p->canMapHostMemory = 1;
    p->asyncEngineCount = 2;
    p->pciBusID = BUS_FIRST + physical;
    p->l2CacheSize = 1 << 20;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) { MT_HOST_CALL(properties(p, device)); }

static cudaError_t attribute(int *value, enum cudaDeviceAttr which, int device) {
    struct cudaDeviceProp p;
    cudaError_t code = properties(&p, device);
    if (code != cudaSuccess) return code;
    switch (which) {
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)p.sharedMemPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = (int)p.sharedMemPerBlockOptin; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrWarpSize: *value = p.warpSize; break;
    case cudaDevAttrPciBusId: *value = p.pciBusID; break;
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId: *value = 0; break;
    default: mt_host_fatal("cudaDeviceGetAttribute: tests/cuda_host does not know attribute %d", (int)which);
    }
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr which, int device) {
    MT_HOST_CALL(attribute(value, which, device));
}

static cudaError_t bus_id(char *text, int bytes, int device) {
    struct cudaDeviceProp p;
    cudaError_t code = properties(&p, device);
    if (code != cudaSuccess) return code;
    return snprintf(text, (size_t)bytes, "0000:%02X:00.0", (unsigned)p.pciBusID) < bytes ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaDeviceGetPCIBusId(char *text, int bytes, int device) { MT_HOST_CALL(bus_id(text, bytes, device)); }

// ---- peers

int mt_host_device_reaches(int device, int peer) { return device == peer || mt_host_devices[device].peers[peer]; }

static cudaError_t can_access(int *can, int device, int peer) {
    cudaError_t code = check_device(device);
    if (code == cudaSuccess) code = check_device(peer);
    if (code == cudaSuccess) *can = device != peer;
    return code;
}
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) { MT_HOST_CALL(can_access(can, device, peer)); }

static cudaError_t enable_peer(int peer, unsigned flags) {
    cudaError_t code = check_device(peer);
    if (code != cudaSuccess) return code;
    if (flags || peer == current) return cudaErrorInvalidValue;
    if (mt_host_devices[current].peers[peer]) return cudaErrorPeerAccessAlreadyEnabled;
    mt_host_devices[current].peers[peer] = 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) { MT_HOST_CALL(enable_peer(peer, flags)); }

// ---- memory

static cudaError_t take(void **out, size_t bytes, mt_host_memory_kind kind) {
    cudaError_t code = check_device(current);
    if (code == cudaSuccess) code = mt_host_capture_forbids();
    if (code != cudaSuccess) return code;
    *out = NULL;
    if (!bytes) return kind == MT_HOST_MEMORY_DEVICE ? cudaSuccess : cudaErrorInvalidValue;
    mt_host_allocation *a = mt_host_memory_alloc(kind, current, bytes);
    if (!a) return cudaErrorMemoryAllocation;
    *out = a->at;
    return cudaSuccess;
}
// both wait for everything on the device, as a real one does
static cudaError_t give_back(void *memory, mt_host_memory_kind kind, const char *function) {
    if (!memory) return cudaSuccess;
    cudaError_t code = mt_host_capture_forbids();
    if (code != cudaSuccess) return code;
    mt_host_allocation *a = mt_host_memory_find(memory);
    if (!a || a->at != memory || a->kind != kind || a->freed)
        mt_host_fatal("%s(%p): %s", function, memory,
            a && a->freed          ? "it was freed before"
            : a && a->at == memory ? "it is memory of the other kind"
                                   : "no allocation begins there");
    code = mt_host_work_wait_device(a->device);
    mt_host_memory_free(a);
    return code;
}
cudaError_t cudaMalloc(void **out, size_t bytes) { MT_HOST_CALL(take(out, bytes, MT_HOST_MEMORY_DEVICE)); }
cudaError_t cudaFree(void *memory) { MT_HOST_CALL(give_back(memory, MT_HOST_MEMORY_DEVICE, "cudaFree")); }
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags) {
    (void)flags;
    MT_HOST_CALL(take(out, bytes, MT_HOST_MEMORY_PINNED));
}
cudaError_t cudaMallocHost(void **out, size_t bytes) { MT_HOST_CALL(take(out, bytes, MT_HOST_MEMORY_PINNED)); }
cudaError_t cudaFreeHost(void *memory) { MT_HOST_CALL(give_back(memory, MT_HOST_MEMORY_PINNED, "cudaFreeHost")); }

static cudaError_t memory_info(size_t *left, size_t *all) {
    cudaError_t code = check_device(current);
    if (code != cudaSuccess) return code;
    *all = mt_host_settings_get()->memory_bytes;
    *left = *all - mt_host_memory_used(current);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *left, size_t *all) { MT_HOST_CALL(memory_info(left, all)); }

static cudaError_t pointer_attributes(struct cudaPointerAttributes *attributes, const void *pointer) {
    mt_host_allocation *a = mt_host_memory_find(pointer);
    memset(attributes, 0, sizeof *attributes);
    attributes->type = cudaMemoryTypeUnregistered;
    if (!a || a->freed) return cudaSuccess;
    attributes->type = a->kind == MT_HOST_MEMORY_DEVICE ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
    attributes->device = a->device;
    attributes->devicePointer = (void *)(uintptr_t)pointer;
    attributes->hostPointer = a->kind == MT_HOST_MEMORY_DEVICE ? NULL : (void *)(uintptr_t)pointer;
    return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer) {
    MT_HOST_CALL(pointer_attributes(attributes, pointer));
}
