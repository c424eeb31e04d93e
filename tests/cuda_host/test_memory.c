// Memory of the host implementation: patterns, guard zones, limits, leaks, and whose it is; devices, and failures on request.
#include <stdint.h>
#include "tests/cuda_host/check.h"

static void *device(size_t bytes) {
    void *p;
    CHECK_CUDA(cudaMalloc(&p, bytes));
    CHECK((uintptr_t)p % 256 == 0);
    return p;
}
static void *pinned(size_t bytes) {
    void *p;
    CHECK_CUDA(cudaHostAlloc(&p, bytes, cudaHostAllocPortable));
    return p;
}

// ---- what is in it

static void patterns(void) {
    char *p = device(1000), back[1000];
    float f;
    double d;
    int32_t i;
    CHECK_CUDA(cudaMemcpy(back, p, sizeof back, cudaMemcpyDeviceToHost));
    for (int at = 0; at + 8 <= 1000; at += 8) {
        memcpy(&f, back + at, sizeof f), memcpy(&d, back + at, sizeof d), memcpy(&i, back + at, sizeof i);
        CHECK(f != f && d != d && i > 1 << 30);
    }
    CHECK_CUDA(cudaMemset(p, 3, 1000));
    CHECK_CUDA(cudaMemcpy(back, p, sizeof back, cudaMemcpyDefault));
    for (int at = 0; at < 1000; at++) CHECK(back[at] == 3);
    CHECK_CUDA(cudaFree(p));
    float *h = pinned(8);
    CHECK(h[0] != h[0] && h[1] != h[1]);
    CHECK_CUDA(cudaFreeHost(h));
    void *none = &none;
    CHECK_CUDA(cudaMalloc(&none, 0));
    CHECK(!none);
    CHECK_CUDA(cudaFree(NULL));
}

// ---- outside of it

static void copy_past(void) { CHECK_CUDA(cudaMemset(device(100), 0, 101)); }
static void copy_before(void) {
    char one;
    CHECK_CUDA(cudaMemcpy(&one, (char *)device(100) - 1, 1, cudaMemcpyDefault));
}
static void pinned_past(void) {
    volatile char *p = pinned(100);
    p[100] = 1; // nobody but the guard zone sees that
    CHECK_CUDA(cudaDeviceSynchronize());
}
static void pinned_before(void) {
    volatile char *p = pinned(100);
    p[-3] = 1;
    cudaFreeHost((void *)(uintptr_t)p);
}
static void pinned_far(void) {
    volatile char *p = pinned(100);
    p[2000] = 1;
}
static void freed_twice(void) {
    void *p = device(100);
    CHECK_CUDA(cudaFree(p));
    cudaFree(p);
}
static void freed_inside(void) { cudaFree((char *)device(1000) + 256); }
static void freed_as_other(void) { cudaFreeHost(device(1000)); }
static void freed_and_used(void) {
    volatile char *p = pinned(100);
    CHECK_CUDA(cudaFreeHost((void *)(uintptr_t)p));
    p[0] = 1;
}
static void overlap(void) {
    char *p = device(100);
    CHECK_CUDA(cudaMemcpy(p, p + 10, 20, cudaMemcpyDefault));
    CHECK_CUDA(cudaDeviceSynchronize());
}
static void host_follows(void) {
    volatile char *p = device(100);
    CHECK_CUDA(cudaMemset((void *)(uintptr_t)p, 0, 100));
    CHECK_CUDA(cudaDeviceSynchronize());
    p[5] = 1;
}

// ---- left behind

static void leak(void) {
    void *p;
    CHECK_CUDA(cudaMalloc(&p, 12345));
}
static void leak_pinned(void) { pinned(100); }
static void leak_stream(void) {
    cudaStream_t s;
    CHECK_CUDA(cudaStreamCreate(&s));
}
static void leak_of_parent(void) { // what a forked child has is its parent's
    void *p = device(100);
    pid_t child = fork();
    if (child == 0) exit(0);
    int status;
    waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK_CUDA(cudaFree(p));
}

// ---- how much there is

static void limit(void) {
    size_t left, all;
    void *a = device(600 << 10), *b = &b;
    CHECK(cudaMalloc(&b, 600 << 10) == cudaErrorMemoryAllocation && !b);
    CHECK(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess);
    CHECK_CUDA(cudaMemGetInfo(&left, &all));
    CHECK(all == 1 << 20 && left == all - (600 << 10));
    CHECK_CUDA(cudaSetDevice(1)); // has its own
    CHECK_CUDA(cudaMalloc(&b, 600 << 10));
    CHECK_CUDA(cudaFree(a));
    CHECK_CUDA(cudaFree(b));
}
static void devices(void) {
    int count, device;
    struct cudaDeviceProp p;
    CHECK_CUDA(cudaGetDeviceCount(&count));
    CHECK(count == 2);
    CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice && cudaSetDevice(-1) == cudaErrorInvalidDevice);
    CHECK_CUDA(cudaSetDevice(1));
    CHECK_CUDA(cudaGetDevice(&device));
    CHECK(device == 1);
    CHECK_CUDA(cudaGetDeviceProperties(&p, 0));
    CHECK(strstr(p.name, "device 3"));
    CHECK_CUDA(cudaGetDeviceProperties(&p, 1));
    CHECK(strstr(p.name, "device 1"));
}
static void no_devices(void) {
    int count;
    void *p;
    CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice && cudaSetDevice(0) == cudaErrorNoDevice);
    CHECK(cudaMalloc(&p, 1) == cudaErrorNoDevice);
}

// ---- failures

static void fails(void) {
    void *p[4], *h;
    for (int i = 0; i < 4; i++) CHECK(cudaMalloc(&p[i], 100) == (i == 2 ? cudaErrorMemoryAllocation : cudaSuccess));
    CHECK(cudaHostAlloc(&h, 100, 0) == cudaErrorNotSupported && cudaGetLastError() == cudaErrorNotSupported);
    CHECK_CUDA(cudaDeviceSynchronize());
    for (int i = 0; i < 4; i++)
        if (i != 2) CHECK_CUDA(cudaFree(p[i]));
}
static void fails_for_good(void) {
    void *p = device(100);
    CHECK_CUDA(cudaMemset(p, 0, 100));
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress && cudaMemset(p, 0, 100) == cudaErrorIllegalAddress);
    CHECK(cudaGetLastError() == cudaErrorIllegalAddress && cudaGetLastError() == cudaErrorIllegalAddress);
    CHECK(cudaFree(p) == cudaErrorIllegalAddress); // nothing is told about leaks then
}
static void nonsense(void) { device(1); }

int main(int argc, char **argv) {
    static const check_case cases[] = {
        {"patterns", patterns, NULL, NULL, 0},
        {"a fill past the end", copy_past, "1 bytes past allocation", NULL, 0},
        {"a copy from before the beginning", copy_before, "1 bytes before allocation", NULL, 0},
        {"the host writes past the end", pinned_past, "guard zone", NULL, 0},
        {"the host writes before the beginning", pinned_before, "3 bytes before it", NULL, 0},
        {"the host writes far past the end", pinned_far, "past allocation", NULL, 0},
        {"freed twice", freed_twice, "it was freed before", NULL, 0},
        {"freed inside", freed_inside, "no allocation begins there", NULL, 0},
        {"freed as the other kind", freed_as_other, "memory of the other kind", NULL, 0},
        {"freed and used", freed_and_used, "was freed", NULL, 0},
        {"overlap", overlap, "they overlap", NULL, 0},
        {"the host follows a device pointer", host_follows, "the host's code touches device memory",
            "MANTA_CUDA_HOST_PROTECT=1", 0},
        {"the host follows a device pointer, unprotected", host_follows, "leaks 100 bytes", "MANTA_CUDA_HOST_PROTECT=0", 1},
        {"leak", leak, "12345 bytes of device memory (allocation 1) are never freed; allocated in leak", NULL, 1},
        {"leak of pinned memory", leak_pinned, "100 bytes of pinned memory", NULL, 1},
        {"leak of a stream", leak_stream, "1 streams are never destroyed", NULL, 1},
        {"leak of a parent", leak_of_parent, NULL, NULL, 0},
        {"limit", limit, NULL, "MANTA_CUDA_HOST_MEMORY=1M", 0},
        {"devices", devices, NULL, "MANTA_CUDA_HOST_DEVICES=4 CUDA_VISIBLE_DEVICES=3,1,9,2", 0},
        {"no devices", no_devices, NULL, "MANTA_CUDA_HOST_DEVICES=0", 0},
        {"no visible devices", no_devices, NULL, "CUDA_VISIBLE_DEVICES=", 0},
        {"fails", fails, NULL, "MANTA_CUDA_HOST_FAIL=cudaMalloc:3,cudaHostAlloc:1=801", 0},
        {"fails for good", fails_for_good, NULL, "MANTA_CUDA_HOST_FAIL=cudaDeviceSynchronize:1=700", 0},
        {"nonsense", nonsense, "NAME:N[=CODE]", "MANTA_CUDA_HOST_FAIL=cudaMalloc", 0},
        {"nonsense, a number", nonsense, "a number between", "MANTA_CUDA_HOST_MEMORY=12Q", 0},
    };
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
