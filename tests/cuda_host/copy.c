// The CUDA runtime's copies and fills. Any thread.
//
// When the host's side is read or written is what programs get wrong, so each case does the least that the vendor promises:
//   from pageable memory  read before the call returns (a copy is kept), written to the device late
//   to pageable memory    the call waits for the stream, and returns when the bytes are there
//   pinned memory         both late: whoever touches it before the stream got there sees what was there before
//   between devices, or within one: late, cudaMemcpy included
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/capture.h"
#include "tests/cuda_host/memory.h"
#include "tests/cuda_host/report.h"
#include "tests/cuda_host/work.h"

typedef struct copy {
    mt_host_operation operation;
    char *to;
    const char *from;
    char *kept; // owned: what was in pageable memory; NULL: from where it is
    size_t bytes;
    int byte; // a fill with this
} copy;

static void copy_fini(mt_host_operation *o) { free(((copy *)o)->kept); }

// of allocations: still whole when the copy is made?
static void check_range(const void *at, size_t bytes, const char *what) {
    const char *bad = mt_host_memory_inside(at) ? mt_host_memory_check(at, bytes, NULL) : NULL;
    if (bad) mt_host_fatal("%s %zu bytes at %p: %s", what, bytes, at, bad);
}

static mt_host_step copy_run(mt_host_operation *o, void **state) {
    const copy *c = (copy *)o;
    const char *from = c->kept ? c->kept : c->from;
    (void)state;
    check_range(c->to, c->bytes, "a copy writes");
    check_range(from, c->bytes, "a copy reads");
    if (c->to < from + c->bytes && from < c->to + c->bytes)
        mt_host_fatal("a copy of %zu bytes from %p to %p: they overlap", c->bytes, (const void *)from, (void *)c->to);
    memcpy(c->to, from, c->bytes);
    return MT_HOST_DONE;
}
static mt_host_step fill_run(mt_host_operation *o, void **state) {
    const copy *c = (copy *)o;
    (void)state;
    check_range(c->to, c->bytes, "a fill writes");
    memset(c->to, c->byte, c->bytes);
    return MT_HOST_DONE;
}

typedef enum side { PAGEABLE, PINNED, DEVICE } side;
static side side_of(const void *at, size_t bytes, const char *what) {
    if (!mt_host_memory_inside(at)) return PAGEABLE;
    check_range(at, bytes, what);
    return mt_host_memory_find(at)->kind == MT_HOST_MEMORY_DEVICE ? DEVICE : PINNED;
}

static int fits(enum cudaMemcpyKind kind, side to, side from) {
    switch (kind) {
    case cudaMemcpyHostToHost: return to != DEVICE && from != DEVICE;
    case cudaMemcpyHostToDevice: return to == DEVICE && from != DEVICE;
    case cudaMemcpyDeviceToHost: return to != DEVICE && from == DEVICE;
    case cudaMemcpyDeviceToDevice: return to == DEVICE && from == DEVICE;
    default: return kind == cudaMemcpyDefault;
    }
}

static cudaError_t copy_async(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, mt_host_stream *s, int wait) {
    if (!bytes) return cudaSuccess;
    if (!to || !from) return cudaErrorInvalidValue;
    side to_side = side_of(to, bytes, "a copy writes"), from_side = side_of(from, bytes, "a copy reads");
    if (!fits(kind, to_side, from_side)) return cudaErrorInvalidMemcpyDirection;
    if (s->capture && (to_side == PAGEABLE || from_side == PAGEABLE))
        return mt_host_capture_refuse(s->capture, cudaErrorStreamCaptureUnsupported);
    copy *c = (copy *)mt_host_operation_create(sizeof *c, "copy", s->device, copy_run, copy_fini);
    c->to = to, c->from = from, c->bytes = bytes;
    if (from_side == PAGEABLE) {
        c->kept = malloc(bytes);
        if (!c->kept) mt_host_fatal("out of memory");
        memcpy(c->kept, from, bytes);
    }
    mt_host_work *w;
    cudaError_t code = mt_host_submit(s, &c->operation, NULL, 0, &w);
    if (code != cudaSuccess) return code;
    // both sides the host's, or one that the device cannot reach by itself
    if (to_side == PAGEABLE || (wait && (from_side == PINNED || to_side == PINNED)) ||
        (to_side != DEVICE && from_side != DEVICE))
        code = mt_host_work_wait(w);
    mt_host_work_release(w);
    return code;
}

static cudaError_t copy_sync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
    cudaError_t code = mt_host_capture_forbids();
    return code == cudaSuccess ? copy_async(to, from, bytes, kind, mt_host_stream_of(NULL), 1) : code;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    MT_HOST_CALL(copy_async(to, from, bytes, kind, mt_host_stream_of(stream), 0));
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
    MT_HOST_CALL(copy_sync(to, from, bytes, kind));
}
cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device, size_t bytes, cudaStream_t stream) {
    (void)to_device, (void)from_device;
    MT_HOST_CALL(copy_async(to, from, bytes, cudaMemcpyDeviceToDevice, mt_host_stream_of(stream), 0));
}

static cudaError_t fill_async(void *to, int byte, size_t bytes, mt_host_stream *s) {
    if (!bytes) return cudaSuccess;
    if (side_of(to, bytes, "a fill writes") == PAGEABLE) return cudaErrorInvalidValue;
    copy *c = (copy *)mt_host_operation_create(sizeof *c, "fill", s->device, fill_run, copy_fini);
    c->to = to, c->bytes = bytes, c->byte = byte;
    return mt_host_submit(s, &c->operation, NULL, 0, NULL);
}
static cudaError_t fill_sync(void *to, int byte, size_t bytes) {
    cudaError_t code = mt_host_capture_forbids();
    return code == cudaSuccess ? fill_async(to, byte, bytes, mt_host_stream_of(NULL)) : code;
}
cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream) {
    MT_HOST_CALL(fill_async(to, byte, bytes, mt_host_stream_of(stream)));
}
cudaError_t cudaMemset(void *to, int byte, size_t bytes) { MT_HOST_CALL(fill_sync(to, byte, bytes)); }
