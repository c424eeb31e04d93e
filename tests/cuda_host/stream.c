// The CUDA runtime's streams and events. Any thread; work.h says how their work is done.
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/capture.h"
#include "tests/cuda_host/report.h"
#include "tests/cuda_host/work.h"

typedef struct event {
    int device;
    unsigned flags;
    mt_host_work *work;       // of its last record, a reference; NULL: never recorded, or in a capture
    mt_host_capture *capture; // in which it was recorded last, a reference
    int *nodes, node_count;   // owned: of the graph, that a record stands behind
    struct event *next;
} event;
static event *events;

// ---- streams

static cudaError_t stream_create(cudaStream_t *out, unsigned flags) {
    *out = NULL;
    if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
    if (mt_host_device_current() >= mt_host_settings_get()->visible_count) return cudaErrorNoDevice;
    mt_host_stream *s = calloc(1, sizeof *s);
    if (!s) mt_host_fatal("out of memory");
    *s = (mt_host_stream){.device = mt_host_device_current(), .blocking = flags == cudaStreamDefault, .next = mt_host_streams};
    mt_host_streams = s;
    mt_host_object_count(MT_HOST_STREAM, 1);
    *out = (cudaStream_t)s;
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *out) { MT_HOST_CALL(stream_create(out, cudaStreamDefault)); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) { MT_HOST_CALL(stream_create(out, flags)); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority) {
    (void)priority;
    MT_HOST_CALL(stream_create(out, flags));
}

// its work is still done; the last of it takes the stream along
static cudaError_t stream_destroy(mt_host_stream *s) {
    if (s == mt_host_devices[s->device].null_stream) return cudaErrorInvalidResourceHandle;
    if (s->capture) mt_host_fatal("a stream is destroyed while it is captured");
    mt_host_object_count(MT_HOST_STREAM, -1);
    s->dying = 1;
    if (s->first) return cudaSuccess;
    for (mt_host_stream **at = &mt_host_streams; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    free(s->nodes);
    free(s);
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) { MT_HOST_CALL(stream_destroy(mt_host_stream_of(stream))); }

static cudaError_t stream_wait(mt_host_stream *s) {
    if (s->capture) return mt_host_capture_refuse(s->capture, cudaErrorStreamCaptureUnsupported);
    cudaError_t code = s == mt_host_devices[s->device].null_stream ? mt_host_capture_forbids_null(s->device) : cudaSuccess;
    return code == cudaSuccess ? mt_host_work_wait_stream(s) : code;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { MT_HOST_CALL(stream_wait(mt_host_stream_of(stream))); }

static cudaError_t stream_query(mt_host_stream *s) {
    if (s->capture) return mt_host_capture_refuse(s->capture, cudaErrorStreamCaptureUnsupported);
    mt_host_work *w = s->last;
    if (!w) return cudaSuccess;
    w->references++;
    int done = mt_host_work_poll(w);
    mt_host_work_release(w);
    return done ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { MT_HOST_CALL(stream_query(mt_host_stream_of(stream))); }

static cudaError_t device_wait(void) {
    cudaError_t code = mt_host_capture_forbids_wait(mt_host_device_current());
    return code == cudaSuccess ? mt_host_work_wait_device(mt_host_device_current()) : code;
}
cudaError_t cudaDeviceSynchronize(void) { MT_HOST_CALL(device_wait()); }

// ---- events

static event *event_of(cudaEvent_t handle) {
    for (event *e = events; e; e = e->next)
        if ((cudaEvent_t)e == handle) return e;
    mt_host_fatal("%p is no event, or was destroyed", (void *)handle);
}

static cudaError_t event_create(cudaEvent_t *out, unsigned flags) {
    event *e = calloc(1, sizeof *e);
    if (!e) mt_host_fatal("out of memory");
    *e = (event){.device = mt_host_device_current(), .flags = flags, .next = events};
    events = e;
    mt_host_object_count(MT_HOST_EVENT, 1);
    *out = (cudaEvent_t)e;
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *out) { MT_HOST_CALL(event_create(out, cudaEventDefault)); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) { MT_HOST_CALL(event_create(out, flags)); }

static void forget(event *e) {
    mt_host_work_release(e->work);
    mt_host_capture_release(e->capture);
    free(e->nodes);
    e->work = NULL, e->capture = NULL, e->nodes = NULL, e->node_count = 0;
}

static cudaError_t event_destroy(event *e) {
    forget(e);
    for (event **at = &events; *at; at = &(*at)->next)
        if (*at == e) {
            *at = e->next;
            break;
        }
    free(e);
    mt_host_object_count(MT_HOST_EVENT, -1);
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t handle) { MT_HOST_CALL(event_destroy(event_of(handle))); }

static mt_host_step nothing(mt_host_operation *o, void **state) {
    (void)o, (void)state;
    return MT_HOST_DONE;
}

static cudaError_t record(event *e, mt_host_stream *s) {
    if (e->device != s->device) return cudaErrorInvalidResourceHandle;
    forget(e);
    if (!s->capture)
        return mt_host_submit(s, mt_host_operation_create(sizeof(mt_host_operation), "event record", s->device, nothing, NULL),
            NULL, 0, &e->work);
    if (s->capture->broken != cudaSuccess) return cudaErrorStreamCaptureInvalidated;
    e->capture = s->capture;
    e->capture->references++;
    e->nodes = malloc((size_t)(s->node_count + 1) * sizeof *e->nodes);
    if (!e->nodes) mt_host_fatal("out of memory");
    memcpy(e->nodes, s->nodes, (size_t)s->node_count * sizeof *e->nodes);
    e->node_count = s->node_count;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream) {
    MT_HOST_CALL(record(event_of(handle), mt_host_stream_of(stream)));
}

static cudaError_t wait_event(mt_host_stream *s, event *e) {
    if (e->capture && !e->capture->ended) return mt_host_capture_join(s, e->capture, e->nodes, e->node_count);
    if (e->capture) return cudaErrorInvalidValue; // of a capture that is over
    if (s->capture) return e->work ? mt_host_capture_refuse(s->capture, cudaErrorStreamCaptureIsolation) : cudaSuccess;
    if (!e->work || e->work->done) return cudaSuccess;
    return mt_host_submit(
        s, mt_host_operation_create(sizeof(mt_host_operation), "event wait", s->device, nothing, NULL), &e->work, 1, NULL);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t handle, unsigned flags) {
    (void)flags;
    MT_HOST_CALL(wait_event(mt_host_stream_of(stream), event_of(handle)));
}

static cudaError_t event_wait(const event *e) {
    if (e->capture) return cudaErrorCapturedEvent;
    mt_host_work *w = e->work;
    if (w) w->references++;
    cudaError_t code = mt_host_work_wait(w);
    mt_host_work_release(w);
    return code;
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) { MT_HOST_CALL(event_wait(event_of(handle))); }

static cudaError_t event_query(const event *e) {
    if (e->capture) return cudaErrorCapturedEvent;
    return mt_host_work_poll(e->work) ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventQuery(cudaEvent_t handle) { MT_HOST_CALL(event_query(event_of(handle))); }

static cudaError_t elapsed(float *milliseconds, const event *from, const event *to) {
    if ((from->flags | to->flags) & cudaEventDisableTiming || !from->work || !to->work || from->device != to->device)
        return cudaErrorInvalidResourceHandle;
    if (!from->work->done || !to->work->done) return cudaErrorNotReady;
    *milliseconds = (float)(1e-6 * (double)(to->work->done_ns - from->work->done_ns));
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to) {
    MT_HOST_CALL(elapsed(milliseconds, event_of(from), event_of(to)));
}
